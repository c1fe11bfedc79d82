//! Scores of given texts, without a model and without a verdict.
//!
//! In: a [`Sheet`]. Out: text. Strings of a sheet may hold untrusted text: each renderer escapes it.

pub mod csv;
pub mod json;
pub mod terminal;

use crate::metric::corpus::Corpus;
use crate::metric::outputs::{Aggregate, Explained, Scored};
use crate::metric::{METRICS, Metric};
use crate::units::Sha256;

/// What stands below every table of factual scores until the checker was held against labelled
/// texts of a production model.
pub const NOT_VALIDATED: &str = "fact checker not yet validated on this model's language";

/// A scene set as it stands above its scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetView {
    /// Name from `set.toml`; `None` for a bare `scenes.jsonl`, which is unpinned.
    pub name: Option<String>,
    /// Version from `set.toml`.
    pub version: Option<String>,
    /// SHA-256 of the bytes of `scenes.jsonl`.
    pub scenes_sha256: Sha256,
    /// Version of the lexicon.
    pub lexicon_version: String,
    /// SHA-256 of the lexicon's bytes.
    pub lexicon_sha256: Sha256,
}

/// The outputs of one system on one set, scored.
#[derive(Debug)]
pub struct Sheet {
    /// The scenes.
    pub set: SetView,
    /// One entry per scene, in the order of the set.
    pub scored: Vec<Scored>,
    /// One entry per scene where the facts at other confidences were asked for.
    pub explained: Option<Vec<Vec<Explained>>>,
}

impl Sheet {
    /// Rows of the metric table that were scored, in its order, with what they come to.
    pub fn aggregates(&self) -> impl Iterator<Item = (&'static Metric, Aggregate)> {
        let of = |metric: &'static Metric| {
            let scenes = self.scored.iter().map(|scored| &scored.scores);
            Some((metric, Aggregate::of(scenes, metric.id)?))
        };
        METRICS.iter().filter_map(of)
    }

    /// Scores of all outputs together.
    pub fn corpus(&self) -> Corpus {
        Corpus::of(self.scored.iter().map(|scored| &scored.counts))
    }
}

#[cfg(test)]
mod tests;
