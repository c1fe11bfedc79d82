//! Turns observations into scores: one table, one function per metric.
//!
//! In: a scene and what a model did on it. Out: a [`Score`] per metric. Pure.

pub mod claims;
pub mod facts;

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
}
