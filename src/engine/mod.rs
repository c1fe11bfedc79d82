//! Runs a loaded model: token ids in, logits out.
//!
//! In: the [`Network`](crate::model::Network) of a [`ModelBundle`](crate::model::ModelBundle). Out: logits after each token, and outputs
//! decoded from them. Knows nothing of scenes, roles or clocks.

pub mod bitnet;
mod build;
pub mod conformance;
mod generate;
pub mod kernels;
pub mod likelihood;
pub mod planted;
pub mod quantized;
mod rope;
mod sampler;
pub mod texts;

pub use bitnet::{BitNet, Repacked, Setup};
pub use build::{BuildError, build};
pub use generate::{Decoded, generate_all, generate_batch, generate_greedy};
pub use planted::{Harm, NotPlantable, Planted};
pub use quantized::Quantized;
pub use sampler::argmax;

use crate::hint::Hint;
use crate::model::Numerics;

/// Why a forward step could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// More tokens than the model was trained for, or than the cache holds.
    #[error("context is full: {wanted} tokens wanted, {limit} possible")]
    ContextFull {
        /// Longest context, in tokens.
        limit: usize,
        /// Context length asked for, in tokens.
        wanted: usize,
    },
    /// A token id the embedding table does not have.
    #[error("token id {id} is outside the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The offending id.
        id: u32,
        /// Rows of the embedding table.
        vocab_size: usize,
    },
    /// A logit that is NaN or infinite.
    #[error("logit {index} at position {position} is {value}")]
    NotFinite {
        /// Position in the context, from 0.
        position: usize,
        /// Vocabulary index.
        index: usize,
        /// The value found.
        value: f32,
    },
    /// candle failed on a model that passed its checks. The context is empty then.
    #[error("candle failed: {reason}")]
    Library {
        /// Its words.
        reason: String,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::ContextFull { .. } => {
                Some("shorten the scene, or lower the limit of new tokens".to_owned())
            }
            Self::UnknownToken { vocab_size, .. } => Some(format!(
                "token ids of this model run from 0 to {}",
                vocab_size.saturating_sub(1)
            )),
            Self::NotFinite { .. } | Self::Library { .. } => None,
        }
    }
}

/// A model that can be fed tokens one after another.
///
/// Holds one context (keys and values of the tokens fed so far). All calls are deterministic: the
/// same calls after a [`reset`](Engine::reset) give bit-identical logits. With
/// [`Numerics::Fixed`], so do the same tokens, however they are split between calls.
pub trait Engine {
    /// Number of logits per position.
    fn vocab_size(&self) -> usize;

    /// Longest context, in tokens.
    fn context_limit(&self) -> usize;

    /// What is promised of the logits.
    fn numerics(&self) -> Numerics {
        Numerics::Fixed
    }

    /// Tokens fed since the last [`reset`](Engine::reset).
    fn position(&self) -> usize;

    /// Forgets the context.
    fn reset(&mut self);

    /// Makes room for a context of `tokens` tokens, as far as the engine takes memory by itself:
    /// feeding them to a [`BitNet`] allocates nothing then.
    ///
    /// # Errors
    /// [`Error::ContextFull`] when the model cannot hold that many.
    fn reserve(&mut self, tokens: usize) -> Result<(), Error>;

    /// Feeds `ids` (one or more) and gives the logits `[vocab_size]` after the last of them.
    ///
    /// # Errors
    /// [`Error::ContextFull`], [`Error::UnknownToken`]; the context is then unchanged.
    /// [`Error::Library`].
    ///
    /// # Panics
    /// When `ids` is empty: there is no last token then.
    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error>;

    /// Feeds `ids` and writes the logits after each of them, `[ids.len(), vocab_size]`.
    ///
    /// # Errors
    /// As [`feed`](Engine::feed).
    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error>;

    /// The engine as one that feeds several contexts together, where it is one.
    fn as_batch(&mut self) -> Option<&mut dyn Batch> {
        None
    }

    /// The engine as one that takes tokens back, where it is one.
    fn as_rewind(&mut self) -> Option<&mut dyn Rewind> {
        None
    }
}

/// An engine that holds several contexts and feeds them together.
///
/// A sequence is one of these contexts, numbered from 0; sequence 0 is the one the calls of
/// [`Engine`] use. Every sequence gets the bits it would get alone.
pub trait Batch: Engine {
    /// Empties every sequence and makes room for `n` of `tokens` tokens each.
    ///
    /// # Errors
    /// [`Error::ContextFull`] when the model cannot hold that many tokens.
    fn open(&mut self, n: usize, tokens: usize) -> Result<(), Error>;

    /// Makes sequence `to` a copy of the first `tokens` tokens of sequence `from`.
    ///
    /// # Panics
    /// When a sequence is not open or `from` holds fewer tokens.
    fn copy_prefix(&mut self, from: usize, to: usize, tokens: usize);

    /// Feeds `ids` (one or more) to one sequence and gives the logits `[vocab_size]` after the
    /// last of them.
    ///
    /// # Errors
    /// As [`Engine::feed`].
    ///
    /// # Panics
    /// When `ids` is empty or the sequence is not open.
    fn feed_sequence(&mut self, sequence: usize, ids: &[u32]) -> Result<&[f32], Error>;

    /// Feeds one token to each of some sequences and gives their logits,
    /// `[sequences.len(), vocab_size]`.
    ///
    /// * `next`: sequence and id, every sequence at most once
    ///
    /// # Errors
    /// As [`Engine::feed`]; then no sequence was fed.
    ///
    /// # Panics
    /// When `next` is empty, or names a sequence twice or one that is not open.
    fn feed_each(&mut self, next: &[(usize, u32)]) -> Result<&[f32], Error>;
}

/// An engine that can take tokens back.
pub trait Rewind: Engine {
    /// Forgets the last `tokens` tokens; what stands before them is untouched.
    ///
    /// # Panics
    /// When fewer tokens were fed.
    fn rewind(&mut self, tokens: usize);
}

/// Refuses logits that are not numbers; one NaN makes every choice after it meaningless.
///
/// * `logits`: `[vocab_size]`
/// * `position`: of the token they follow, from 0; for the message
///
/// # Errors
/// [`Error::NotFinite`] with the first offending logit.
pub fn check_finite(logits: &[f32], position: usize) -> Result<(), Error> {
    match logits.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite {
            position,
            index,
            value: logits[index],
        }),
    }
}

/// Limits of one natural decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Tokens after the prompt, the stop token not counted.
    pub max_new_tokens: usize,
    /// Ids that end the output.
    pub stop_ids: Vec<u32>,
}

/// Why an output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A stop token was chosen.
    Eos,
    /// The token limit was reached.
    MaxTokens,
    /// The context was full.
    ContextFull,
}
