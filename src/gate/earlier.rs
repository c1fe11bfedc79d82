//! What earlier runs of this program on this machine found: told beside a verdict, never judged by.
//!
//! A report is given it and keeps it; its seal covers it, and nothing is computed from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::health::{COSTS, noise_floor};

/// The newest findings of this program on this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// The last whole self-test; absent when none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftest: Option<SelftestFound>,
    /// What control launches showed last, with the same comparability key; absent when none are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<FloorFound>,
}

/// How a whole self-test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelftestFound {
    /// RFC 3339 UTC, when it began.
    pub at: String,
    /// Cases in which the gate did what it had to.
    pub n_caught: usize,
    /// Cases there are.
    pub n_cases: usize,
    /// Names of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<String>,
}

/// What launches with the baseline in both workers showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FloorFound {
    /// RFC 3339 UTC, when that run began.
    pub at: String,
    /// The model that stood beside itself.
    pub model: String,
    /// Control launches of that run.
    pub n_launches: usize,
    /// Decode pairs in each.
    pub pairs: usize,
    /// Change with the bounds of its 95 % interval by metric, as shares: 0.01 is 1 % slower.
    pub changes: BTreeMap<String, [f64; 3]>,
}

impl FloorFound {
    /// The noise floor of a run; `None` when it has none.
    pub fn of(comparison: &Comparison) -> Option<Self> {
        let (base, cand) = (comparison.baseline(), comparison.candidate());
        let change = |(cost, metric): (_, &str)| {
            let floor = noise_floor(base, cand, cost)?;
            let shares = [floor.point, floor.low, floor.high].map(f64::exp_m1);
            Some((metric.to_owned(), shares))
        };
        let changes: BTreeMap<_, _> = COSTS.into_iter().filter_map(change).collect();
        (!changes.is_empty()).then(|| Self {
            at: base.started_at.clone(),
            model: match &base.model.version {
                Some(version) => format!("{} {version}", base.model.name),
                None => base.model.name.clone(),
            },
            n_launches: base.controls.len(),
            pairs: base.plan.pairs_per_launch,
            changes,
        })
    }
}
