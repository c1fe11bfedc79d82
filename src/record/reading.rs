//! What a model made of given text: nothing was written, only read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How likely one text is to the model, given the prompt of its scene.
///
/// Logarithms are kept in single precision: a relative error below 6e-8 each, which is far below
/// any digit that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Scene id.
    pub scene: String,
    /// Which text.
    pub text: TextSource,
    /// Its length in UTF-8.
    pub n_bytes: usize,
    /// −ln of the probability of each of its tokens, in nats, at least 0; the end of the text is
    /// none of them. Empty when `absent` says why.
    pub nll: Vec<f32>,
    /// How far the model is from the baseline; only in a candidate's record and of references, and
    /// only when both have the same tokenizer and vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<ReadingDistance>,
    /// Why the text was not read, e.g. because it does not fit in the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// A text that both models read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// A reference of the scene, by its place, from 0.
    Reference(usize),
    /// What the baseline wrote.
    BaselineOutput,
    /// What the candidate wrote.
    CandidateOutput,
}

/// Next-token distributions of the candidate against those of the baseline, token by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadingDistance {
    /// Kullback–Leibler divergence of the candidate from the baseline, over the whole vocabulary,
    /// in nats; one per token.
    pub divergence: Vec<f32>,
    /// Places, from 0 and ascending, where the two find different tokens most probable.
    pub other_first: Vec<usize>,
}
