//! Turns observations into scores: one table, one function per metric.
//!
//! In: a scene and what a model did on it. Out: a [`Score`] per metric. Pure.
//!
//! Scores of texts are taken scene by scene; times and memory ([`cost`]) come straight from the
//! records, because their unit of inference is the launch and not the scene.

pub mod chrf;
pub mod claims;
pub mod cost;
pub mod facts;
pub mod form;
pub mod outputs;

use std::collections::BTreeMap;

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

/// One row of the metric table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Stable name, as written in policies and reports.
    pub id: &'static str,
    /// Raised whenever the same output may score differently.
    pub version: u32,
    /// Unit of one value: `fraction`, `ms`, `bytes` or `tokens`.
    pub unit: &'static str,
    /// Which direction is an improvement.
    pub better: Better,
    /// One line for people.
    pub summary: &'static str,
    /// Smallest and largest possible value; times and counts have no upper end.
    pub range: (f64, f64),
}

/// Scores of one model on one scene.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneScores {
    /// Scene id.
    pub scene: String,
    /// Score by metric id.
    pub scores: BTreeMap<&'static str, Score>,
    /// Reasons of factual errors, e.g. `missing: truck`.
    pub notes: Vec<String>,
}

/// Every metric, those of texts first.
pub const METRICS: &[Metric] = &[
    share("fact_ok", Better::Higher, "1 when no fact is wrong"),
    share(
        "hallucination_rate",
        Better::Lower,
        "1 when something is invented or denied",
    ),
    share(
        "fact_score",
        Better::Higher,
        "1 less errors per slot, of at least five slots",
    ),
    // Version 2 of these three: what a text mentions is read by more rules.
    at_version(
        2,
        share(
            "object_recall",
            Better::Higher,
            "share of salient objects the summary names",
        ),
    ),
    at_version(
        2,
        share(
            "object_precision",
            Better::Higher,
            "share of named objects the scene supports",
        ),
    ),
    at_version(
        2,
        share(
            "objects_exact",
            Better::Higher,
            "1 when the named objects are exactly the salient ones",
        ),
    ),
    share(
        "count_accuracy",
        Better::Higher,
        "share of stated numbers that are possible",
    ),
    share(
        "time_accuracy",
        Better::Higher,
        "share of stated times that are right",
    ),
    share(
        "order_accuracy",
        Better::Higher,
        "share of stated orders that are right",
    ),
    Metric {
        range: (0.0, f64::INFINITY),
        ..share(
            "slot_error_rate",
            Better::Lower,
            "factual errors per slot, order left out",
        )
    },
    share(
        "valid",
        Better::Higher,
        "1 when the output keeps the output contract",
    ),
    share("empty", Better::Lower, "1 when the output has no words"),
    share("truncated", Better::Lower, "1 when a limit cut the output"),
    share("loop", Better::Lower, "1 when the output repeats itself"),
    share(
        "chrf_pp",
        Better::Higher,
        "chrF++ against the best reference",
    ),
    cost_row(
        "output_tokens",
        "tokens",
        "tokens of the output without the stop token",
    ),
    cost_row(
        "cpu_ms_per_token",
        "ms",
        "CPU time per decoded token, forced lane",
    ),
    cost_row(
        "wall_ms_per_token",
        "ms",
        "wall time per decoded token, forced lane",
    ),
    cost_row(
        "prefill_cpu_ms_per_token",
        "ms",
        "CPU time per prompt token, forced lane",
    ),
    // Version 2: of the scenes written alone, not of every scene.
    at_version(
        2,
        cost_row(
            "ttft_ms",
            "ms",
            "request accepted to first token chosen, natural lane, alone",
        ),
    ),
    at_version(
        2,
        cost_row(
            "tpot_ms",
            "ms",
            "time per token after the first, natural lane, alone",
        ),
    ),
    at_version(
        2,
        cost_row(
            "e2e_ms",
            "ms",
            "request accepted to text ready, natural lane, alone",
        ),
    ),
    cost_row("load_ms", "ms", "load request to ready, warm page cache"),
    cost_row("peak_bytes", "bytes", "peak resident memory of the worker"),
];

/// The row of `id`.
pub fn find(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id)
}

const fn share(id: &'static str, better: Better, summary: &'static str) -> Metric {
    Metric {
        id,
        version: 1,
        unit: "fraction",
        better,
        summary,
        range: (0.0, 1.0),
    }
}

const fn at_version(version: u32, metric: Metric) -> Metric {
    Metric { version, ..metric }
}

const fn cost_row(id: &'static str, unit: &'static str, summary: &'static str) -> Metric {
    Metric {
        id,
        version: 1,
        unit,
        better: Better::Lower,
        summary,
        range: (0.0, f64::INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_ids_are_unique() {
        let mut ids: Vec<_> = METRICS.iter().map(|metric| metric.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), METRICS.len());
    }
}
