//! A check that a model reads text as a language model should.
//!
//! A wrong activation, block layout, rotary pairing or weight scale still gives fluent-looking
//! logits, but multiplies the perplexity of any text the model was made for. Which texts those are
//! nobody knows beforehand: a general model reads plain paragraphs, a model trained for scenes
//! alone reads those badly whatever is wrong, and is told by summaries behind their prompts. So
//! both are read. The texts are fixed and part of the program: a figure means the same wherever it
//! is taken with the same tokenizer.

mod judged;
mod summaries;

pub use judged::{Limits, check};
pub use summaries::SUMMARIES;

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::fmt;

use super::likelihood::{Reader, log_prob};
use super::{Engine, Error as EngineError};
use crate::hint::Hint;
use crate::model::{self, Codec};

/// The paragraphs, written for this purpose.
const PARAGRAPHS: [(Text, &str); 2] = [
    (Text::Portuguese, include_str!("pt.txt")),
    (Text::English, include_str!("en.txt")),
];

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// A plain paragraph in Portuguese.
    Portuguese,
    /// A plain paragraph in English.
    English,
    /// [`SUMMARIES`], each behind its prompt in the model's chat template.
    Summaries,
}

impl Text {
    /// The word for it in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portuguese => "portuguese_paragraph",
            Self::English => "english_paragraph",
            Self::Summaries => "summaries",
        }
    }

    /// The key of `model_options` that limits its perplexity.
    pub fn limit_key(self) -> &'static str {
        match self {
            Self::Portuguese | Self::English => "max_load_perplexity",
            Self::Summaries => "max_summary_perplexity",
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portuguese => "Portuguese paragraph",
            Self::English => "English paragraph",
            Self::Summaries => "summaries behind their prompts",
        })
    }
}

/// What a model makes of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What was read.
    pub text: Text,
    /// Tokens predicted: all but the first of a paragraph, all of the summaries; fewer where the
    /// context ends.
    pub n_tokens: usize,
    /// The same without an end of the context.
    pub n_whole: usize,
    /// `exp` of the mean negative log-probability of the tokens.
    pub perplexity: f64,
    /// Negative log-probability of the tokens in bits, for each byte of UTF-8 they stand for: the
    /// figure that may be compared between tokenizers. Where the context ends, the bytes are taken
    /// in proportion to the tokens.
    pub bits_per_byte: f64,
    /// The least perplexity these tokens have when each is guessed without those before it: that
    /// of their own frequencies in this very text.
    ///
    /// No fixed distribution does better, since cross entropy is at least the entropy (Gibbs'
    /// inequality). A model above it shows no use of context.
    pub without_context: f64,
}

impl Reading {
    /// Whether the model reads better than anything could that sees no context.
    pub fn is_better_than_guessed(&self) -> bool {
        self.perplexity < self.without_context
    }
}

/// Why the texts could not be read, or were read too badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tokenizer or the chat template failed.
    #[error("the built-in {text} cannot be encoded")]
    Encode {
        /// What was to be read.
        text: Text,
        /// Why.
        #[source]
        source: Box<model::Error>,
    },
    /// The paragraph has fewer than two tokens.
    #[error("the built-in {text} has {n_tokens} tokens, expected 2 or more")]
    TooShort {
        /// What was to be read.
        text: Text,
        /// Tokens found.
        n_tokens: usize,
    },
    /// The model failed.
    #[error("the built-in {text} cannot be read")]
    Engine {
        /// What was to be read.
        text: Text,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// The model reads worse than its manifest allows.
    #[error(
        "perplexity of the built-in {} is {:.1} over {} tokens, the manifest allows {allowed} ({})",
        .reading.text, .reading.perplexity, .reading.n_tokens, .reading.text.limit_key()
    )]
    TooPerplexed {
        /// What was read.
        reading: Reading,
        /// The manifest's limit.
        allowed: f64,
    },
    /// The manifest limits what the context has no room for.
    #[error(
        "the manifest limits the perplexity of the built-in {text}, and the context holds none"
    )]
    NotRead {
        /// What was to be read.
        text: Text,
    },
    /// No text is read better than by guessing, and no limit says that this may be.
    #[error(
        "the model reads none of the built-in texts better than without context: {}",
        listed(.readings)
    )]
    Guessed {
        /// What was read.
        readings: Vec<Reading>,
    },
}

/// Perplexities beside what they must be below.
fn listed(readings: &[Reading]) -> String {
    let one = |reading: &Reading| {
        let Reading {
            text,
            perplexity,
            without_context,
            ..
        } = reading;
        format!("perplexity {perplexity:.1} of the {text}, expected below {without_context:.1}")
    };
    readings.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What to look at when a model reads badly.
const CAUSES: &str = "likely causes: the activation (relu2 or silu), the I2_S block layout \
    (--i2s-layout 64 or 128), the rope pairing, the direction of the weight scale, or another \
    model's tokenizer";

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::TooPerplexed { .. } => Some(CAUSES.to_owned()),
            Self::Guessed { .. } => Some(format!(
                "{CAUSES}; a sound model that knows no such texts needs a limit of its own in the \
                 manifest's model_options: max_load_perplexity or max_summary_perplexity"
            )),
            Self::NotRead { text } => Some(format!(
                "remove {} from the manifest's model_options",
                text.limit_key()
            )),
            Self::Encode { source, .. } => source.hint(),
            Self::Engine { source, .. } => source.hint(),
            Self::TooShort { .. } => None,
        }
    }
}

/// Reads every text and leaves an empty context: the paragraphs, then the summaries, which are left
/// out where their prompts fill the context.
///
/// # Errors
/// [`Error::Encode`], [`Error::TooShort`], [`Error::Engine`].
pub fn read_all(engine: &mut dyn Engine, codec: &Codec) -> Result<Vec<Reading>, Error> {
    let limit = engine.context_limit();
    let readings = read_within(limit, &mut Reader::new(engine), codec);
    engine.reset();
    readings
}

/// * `limit`: longest context, in tokens
fn read_within(
    limit: usize,
    reader: &mut Reader<'_>,
    codec: &Codec,
) -> Result<Vec<Reading>, Error> {
    let tokenizer = codec.tokenizer.as_ref().ok_or(model::Error::NoTokenizer);
    let tokenizer = encoded(Text::Portuguese, tokenizer)?;
    let mut readings = Vec::new();
    for (text, paragraph) in PARAGRAPHS {
        let paragraph = paragraph.trim_end();
        let ids = encoded(text, tokenizer.encode(paragraph, true))?;
        let mut tally = Tally::default();
        if let Some((first, rest)) = ids.split_first() {
            tally.n_bytes = paragraph.len();
            let read = tally.read(reader, limit, &[*first], rest);
            read.map_err(|source| Error::Engine { text, source })?;
        }
        let n_tokens = ids.len();
        let reading = tally.reading(text);
        readings.push(reading.ok_or(Error::TooShort { text, n_tokens })?);
    }
    let text = Text::Summaries;
    let mut tally = Tally::default();
    for (prompt, summary) in SUMMARIES {
        let prompt = encoded(text, codec.encode_prompt(prompt))?;
        let ids = encoded(text, tokenizer.encode(summary, false))?;
        tally.n_bytes += summary.len();
        let read = tally.read(reader, limit, &prompt, &ids);
        read.map_err(|source| Error::Engine { text, source })?;
    }
    readings.extend(tally.reading(text));
    Ok(readings)
}

fn encoded<T>(text: Text, result: Result<T, model::Error>) -> Result<T, Error> {
    result.map_err(|source| Error::Encode {
        text,
        source: Box::new(source),
    })
}

/// Log-probabilities of the tokens of one text, or of several read as one.
#[derive(Default)]
struct Tally {
    /// Sum of natural logarithms.
    log_prob: f64,
    /// Tokens predicted, how often each.
    counts: BTreeMap<u32, u32>,
    n_tokens: usize,
    /// The same without an end of the context.
    n_whole: usize,
    /// Bytes of the whole text.
    n_bytes: usize,
}

impl Tally {
    /// Adds the tokens of `ids` that the context holds behind `prompt`.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        limit: usize,
        prompt: &[u32],
        ids: &[u32],
    ) -> Result<(), EngineError> {
        self.n_whole += ids.len();
        // The last token is predicted, but not fed.
        let room = limit.saturating_add(1).saturating_sub(prompt.len());
        let ids = &ids[..ids.len().min(room)];
        if ids.is_empty() || prompt.is_empty() {
            return Ok(());
        }
        reader.read(prompt, ids, &mut |logits: &[f32], id| {
            self.log_prob += log_prob(logits, id);
            self.n_tokens += 1;
            *self.counts.entry(id).or_default() += 1;
            Ok(())
        })
    }

    /// What was read; `None` when nothing was.
    fn reading(&self, text: Text) -> Option<Reading> {
        if self.n_tokens == 0 {
            return None;
        }
        let n = self.n_tokens as f64;
        let n_bytes = self.n_bytes as f64 * n / self.n_whole as f64;
        let surprises = self.counts.values().map(|&count| {
            let share = f64::from(count) / n;
            -share * share.ln()
        });
        Some(Reading {
            text,
            n_tokens: self.n_tokens,
            n_whole: self.n_whole,
            perplexity: (-self.log_prob / n).exp(),
            bits_per_byte: -self.log_prob / LN_2 / n_bytes,
            without_context: surprises.sum::<f64>().exp(),
        })
    }
}

#[cfg(test)]
mod tests;
