//! Turns observations into scores: one table, one function per metric.
//!
//! In: a scene and what a system said of it. Out: a [`Score`] per metric. Pure.
//!
//! Scores of texts are taken scene by scene ([`outputs`]); times and memory ([`cost`]) come
//! straight from the records, because their unit of inference is the launch and not the scene; so do
//! likelihoods ([`likelihood`]), which need what both models made of a text.

pub mod accept;
pub mod bleu;
pub mod chrf;
pub mod claims;
pub mod corpus;
pub mod cost;
pub mod facts;
pub mod fidelity;
pub mod form;
pub mod keywords;
pub mod likelihood;
pub mod order;
pub mod outputs;
pub mod rouge;
mod table;
pub mod text;

use std::collections::BTreeMap;

pub use table::METRICS;

/// A metric's value for one scene, or the reason there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// The value, finite and inside the metric's range.
    Value(f64),
    /// Not applicable here; never counted as 0 or 1.
    Absent(&'static str),
}

impl Score {
    /// The value, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Absent(_) => None,
        }
    }
}

/// Which direction is an improvement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Larger values are better.
    Higher,
    /// Smaller values are better.
    Lower,
    /// Neither direction is: the value describes and never decides.
    Neither,
}

/// One row of the metric table.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Stable name, as written in policies and reports.
    pub id: &'static str,
    /// Raised whenever the same output may score differently.
    pub version: u32,
    /// Unit of one value: `fraction`, `ratio`, `count`, `ms`, `bytes` or `tokens`.
    pub unit: &'static str,
    /// Which direction is an improvement.
    pub better: Better,
    /// One line for people.
    pub summary: &'static str,
    /// Smallest and largest possible value; times and counts have no upper end.
    pub range: (f64, f64),
    /// When there is no value; empty when there always is one.
    pub absent: &'static str,
    /// Where the value comes from.
    pub source: Source,
}

/// Where the values of a metric come from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The claims of a text held against the facts of its scene, by [`facts::judge`].
    Facts,
    /// A text, its scene and its references.
    Text(fn(&outputs::Looked<'_>) -> Score),
    /// The run record; see [`cost`].
    Record,
}

impl Metric {
    /// What is wrong with a value of this metric, which only a bug can give it.
    pub fn fault(&self, value: f64) -> Option<&'static str> {
        if !value.is_finite() {
            Some("not a finite number")
        } else if value < self.range.0 || value > self.range.1 {
            Some("out of range")
        } else {
            None
        }
    }
}

/// Scores of one model on one scene.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneScores {
    /// Scene id.
    pub scene: String,
    /// Score by metric id.
    pub scores: BTreeMap<&'static str, Score>,
    /// What a reader should know, one line each: form flags and factual errors, e.g.
    /// `missing: truck`.
    pub notes: Vec<String>,
    /// The factual errors with their places in the text.
    pub reasons: Vec<facts::FactError>,
}

/// The row of `id`.
pub fn find(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id)
}

#[cfg(test)]
mod corruption;
#[cfg(test)]
mod overlap_tests;
