//! A check that a model reads plain text as a language model should.
//!
//! A wrong activation, block layout, rotary pairing or weight scale still gives fluent-looking
//! logits, but multiplies the perplexity of any text. The paragraphs are fixed and part of the
//! program: a figure means the same wherever it is taken with the same tokenizer.

use super::likelihood::perplexity;
use super::{Engine, Error as EngineError};
use crate::hint::Hint;
use crate::model::{self, Tokenizer};

/// The paragraphs, written for this purpose: language and text.
const PARAGRAPHS: [(&str, &str); 2] = [
    ("Portuguese", include_str!("pt.txt")),
    ("English", include_str!("en.txt")),
];

/// What a model makes of one paragraph.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Language of the paragraph.
    pub language: &'static str,
    /// Tokens used: all, or as many as the context holds.
    pub n_tokens: usize,
    /// Tokens of the whole paragraph.
    pub n_paragraph: usize,
    /// `exp` of the mean negative log-probability of every token but the first.
    pub perplexity: f64,
}

/// Why the paragraphs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tokenizer failed.
    #[error("the built-in {language} paragraph cannot be encoded")]
    Encode {
        /// Language of the paragraph.
        language: &'static str,
        /// Why.
        #[source]
        source: Box<model::Error>,
    },
    /// The paragraph has fewer than two tokens.
    #[error("the built-in {language} paragraph has {n_tokens} tokens, expected 2 or more")]
    TooShort {
        /// Language of the paragraph.
        language: &'static str,
        /// Tokens found.
        n_tokens: usize,
    },
    /// The model failed.
    #[error("the built-in {language} paragraph cannot be read")]
    Engine {
        /// Language of the paragraph.
        language: &'static str,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// The model reads worse than its manifest allows.
    #[error(
        "perplexity of the built-in {} paragraph is {:.1} over {} tokens, the manifest allows {allowed}",
        .reading.language, .reading.perplexity, .reading.n_tokens
    )]
    TooPerplexed {
        /// What was read.
        reading: Reading,
        /// `max_load_perplexity`.
        allowed: f64,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::TooPerplexed { .. } => Some(
                "likely causes: the activation (relu2 or silu), the I2_S block layout \
                 (--i2s-layout 64 or 128), the rope pairing, the direction of the weight scale, \
                 or another model's tokenizer"
                    .to_owned(),
            ),
            Self::Encode { source, .. } => source.hint(),
            Self::Engine { source, .. } => source.hint(),
            Self::TooShort { .. } => None,
        }
    }
}

/// Reads every paragraph and leaves an empty context.
///
/// # Errors
/// [`Error::Encode`], [`Error::TooShort`], [`Error::Engine`].
pub fn read_all(engine: &mut dyn Engine, tokenizer: &Tokenizer) -> Result<Vec<Reading>, Error> {
    let readings = PARAGRAPHS.into_iter().map(|(language, text)| {
        let mut ids = tokenizer
            .encode(text.trim_end(), true)
            .map_err(|source| Error::Encode {
                language,
                source: Box::new(source),
            })?;
        let n_paragraph = ids.len();
        ids.truncate(engine.context_limit());
        let n_tokens = ids.len();
        perplexity(engine, &ids)
            .map_err(|source| Error::Engine { language, source })?
            .map(|perplexity| Reading {
                language,
                n_tokens,
                n_paragraph,
                perplexity,
            })
            .ok_or(Error::TooShort { language, n_tokens })
    });
    let readings = readings.collect::<Result<Vec<_>, _>>();
    engine.reset();
    readings
}

/// Holds what was read against the largest perplexity allowed.
///
/// # Errors
/// [`Error::TooPerplexed`] with the worst paragraph.
pub fn check(readings: &[Reading], allowed: f64) -> Result<(), Error> {
    let worst = readings
        .iter()
        .max_by(|a, b| a.perplexity.total_cmp(&b.perplexity));
    match worst {
        // What is not a number is not within the limit.
        Some(reading) if reading.perplexity.is_nan() || reading.perplexity > allowed => {
            Err(Error::TooPerplexed {
                reading: reading.clone(),
                allowed,
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(language: &'static str, perplexity: f64) -> Reading {
        Reading {
            language,
            n_tokens: 200,
            n_paragraph: 200,
            perplexity,
        }
    }

    #[track_caller]
    fn check_words(portuguese: f64, english: f64, expected: Option<&str>) {
        let readings = [
            reading("Portuguese", portuguese),
            reading("English", english),
        ];
        let found = check(&readings, 30.0).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(found, Ok(())),
            Some(words) => assert!(found.unwrap_err().contains(words)),
        }
    }

    #[test]
    fn the_worst_paragraph_decides() {
        check_words(17.0, 30.0, None);
        check_words(
            99.8,
            17.0,
            Some("Portuguese paragraph is 99.8 over 200 tokens"),
        );
        check_words(17.0, f64::NAN, Some("English paragraph is NaN"));
        check_words(f64::INFINITY, 17.0, Some("the manifest allows 30"));
    }

    #[test]
    fn the_refusal_names_likely_causes() {
        let error = check(&[reading("English", 100.0)], 30.0).unwrap_err();
        let hint = error.hint().unwrap();
        for cause in ["activation", "I2_S", "rope", "scale"] {
            assert!(hint.contains(cause), "{hint}");
        }
    }

    #[test]
    fn the_paragraphs_are_about_as_long_as_promised() {
        for (language, text) in PARAGRAPHS {
            let words = text.split_whitespace().count();
            assert!((120..=200).contains(&words), "{language}: {words}");
        }
    }
}
