//! The claims of a text against the facts of its scene.
//!
//! In: a text (or its claims) and [`Facts`]. Out: a [`Judgement`]: every factual error with its
//! reason, and the scores that follow. Pure; nothing but scene, lexicon and text decides.

mod error;
mod judge;
mod scores;

pub use error::{Detail, FactError, Rule};
pub use scores::FactScores;

use super::Score;
use super::claims;
use super::form::scored_part;
use crate::scene::Facts;
use crate::scene::lexicon::Lexicon;

/// What a text gets wrong about its scene, and the scores that follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Factual errors in the order of the text; what is missing comes last.
    pub errors: Vec<FactError>,
    /// The scores.
    pub scores: FactScores,
}

/// Judges `text`, of which at most the first 16 KiB are read.
pub fn judge(text: &str, facts: &Facts, lexicon: &Lexicon) -> Judgement {
    judge_claims(
        &claims::read(scored_part(text), facts.time_base, lexicon),
        facts,
    )
}

/// Judges claims that were read before, with the time base of `facts`.
pub fn judge_claims(claims: &claims::Claims, facts: &Facts) -> Judgement {
    let (errors, tally) = judge::judge(claims, facts);
    Judgement {
        scores: FactScores::new(&tally, &errors, facts),
        errors,
    }
}

impl Judgement {
    /// Whether there is no factual error at all, order and emptiness included.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// The scores by metric id.
    pub fn scores(&self) -> Vec<(&'static str, Score)> {
        self.scores.by_id()
    }
}

#[cfg(test)]
mod tests;
