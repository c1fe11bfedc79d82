//! Slices and sentinels as they stand in the JSON report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{EstimateFile, OutcomeFile};
use super::verdict::{SentinelsResult, SliceResult, Violation};

/// What one check says of one slice; fields as in [`SliceResult`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VetoFile {
    /// Name of the slice.
    pub slice: String,
    /// Metric id.
    pub metric: String,
    /// Scenes of the slice with a value in both roles.
    pub n: usize,
    /// The change with its bounds; absent for too few scenes.
    pub estimate: Option<EstimateFile>,
    /// Largest loss that cannot be ruled out for any distribution, as a change.
    pub certified: Option<f64>,
    /// p-value of "no worse".
    pub p_worse: Option<f64>,
    /// Level of `p_worse` at or below which a loss is shown.
    pub fail_level: Option<f64>,
    /// Change for the worse from which on the slice vetoes: twice the margin, or what is waived.
    pub veto_from: f64,
    /// Last day of the waiver that put `veto_from` there; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived_until: Option<String>,
    /// Whether it vetoes.
    pub vetoes: bool,
}

/// What became of the sentinels; fields as in [`SentinelsResult`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentinelsFile {
    /// `pass`, `fail`, or `invalid` when they were not run.
    pub outcome: OutcomeFile,
    /// Sentinels judged.
    pub n: usize,
    /// Of them, those the candidate holds.
    pub n_held: usize,
    /// Those that are not held and count.
    pub violations: Vec<ViolationFile>,
    /// Exempt sentinels that the candidate does not hold.
    pub exempt: Vec<String>,
}

/// A sentinel that is not held; fields as in [`Violation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViolationFile {
    /// Scene id.
    pub scene: String,
    /// What is wrong with the candidate's text.
    pub notes: Vec<String>,
    /// Whether the baseline holds it.
    pub baseline_holds: bool,
}

impl From<&SliceResult> for VetoFile {
    fn from(result: &SliceResult) -> Self {
        Self {
            slice: result.slice.clone(),
            metric: result.metric.clone(),
            n: result.n,
            estimate: result.estimate.as_ref().map(EstimateFile::from),
            certified: result.certified,
            p_worse: result.p_worse,
            fail_level: result.fail_level,
            veto_from: result.veto_from,
            waived_until: result.waived_until.clone(),
            vetoes: result.vetoes,
        }
    }
}

impl From<&SentinelsResult> for SentinelsFile {
    fn from(result: &SentinelsResult) -> Self {
        Self {
            outcome: result.outcome.into(),
            n: result.n,
            n_held: result.n_held,
            violations: result.violations.iter().map(ViolationFile::from).collect(),
            exempt: result.exempt.clone(),
        }
    }
}

impl From<&Violation> for ViolationFile {
    fn from(violation: &Violation) -> Self {
        Self {
            scene: violation.scene.clone(),
            notes: violation.notes.clone(),
            baseline_holds: violation.baseline_holds,
        }
    }
}
