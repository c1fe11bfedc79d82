//! The verdict, check by check.

use super::policy::Lane;
use crate::record::ModelIdentity;
use crate::stats::Estimate;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Every required check was shown to stay within its margin.
    Pass,
    /// Neither a pass nor a fail could be shown.
    Inconclusive,
    /// A loss was shown, a rule broken, or the candidate did not finish.
    Fail,
    /// The run may not be judged.
    Invalid,
}

impl Outcome {
    /// Stable name, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        }
    }
}

/// The scale on which a change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Candidate − baseline, in the metric's unit.
    Difference,
    /// Candidate ÷ baseline − 1.
    Ratio,
}

impl Scale {
    /// Stable name, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Difference => "difference",
            Self::Ratio => "ratio",
        }
    }
}

/// Result of one check. Unknown numbers are `None`, and `reason` then says why.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckResult {
    /// Metric id.
    pub metric: String,
    /// Lane of a time; `None` where lanes mean nothing.
    pub lane: Option<Lane>,
    /// Whether the check decides.
    pub required: bool,
    /// What was decided; `None` for a watched check, or when a model's failure left it unmeasured.
    pub outcome: Option<Outcome>,
    /// Unit of `baseline` and `candidate`: `fraction`, `ms`, `bytes`, `tokens`.
    pub unit: &'static str,
    /// The baseline's mean or median.
    pub baseline: Option<f64>,
    /// The candidate's mean or median.
    pub candidate: Option<f64>,
    /// Scale of `change`, `estimate`, `fail_bound` and `allowed`.
    pub scale: Scale,
    /// The change seen; equals `estimate.point` where there is an estimate.
    pub change: Option<f64>,
    /// The change with one-sided bounds at the false-pass rate; the pass side of the decision.
    pub estimate: Option<Estimate>,
    /// Bound of the change towards no loss, at `fail_level`.
    pub fail_bound: Option<f64>,
    /// p-value of "the candidate is no worse"; the fail side of the decision.
    pub p_worse: Option<f64>,
    /// Level of `p_worse` at or below which a loss is shown: by Holm over all required checks.
    pub fail_level: Option<f64>,
    /// Largest loss that cannot be ruled out whatever the distribution, as a change; `None` where
    /// no such bound is computed.
    pub certified: Option<f64>,
    /// Largest change for the worse that is accepted, with the sign of the harm.
    pub allowed: Option<f64>,
    /// Limit the candidate must reach by itself, in `unit`.
    pub at_least: Option<f64>,
    /// Limit the candidate must not exceed by itself, in `unit`.
    pub at_most: Option<f64>,
    /// Units of inference behind the numbers.
    pub n: usize,
    /// What `n` counts: `scenes`, `launches` or `runs`.
    pub n_unit: &'static str,
    /// Scenes without a value in at least one role.
    pub n_absent: usize,
    /// One sentence: why this outcome, or why a number is missing.
    pub reason: Option<String>,
    /// What would settle an inconclusive check.
    pub needed: Option<String>,
}

/// What one check says of one slice: a veto, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceResult {
    /// Name of the slice.
    pub slice: String,
    /// Metric id.
    pub metric: String,
    /// Scenes of the slice with a value in both roles.
    pub n: usize,
    /// The change with one-sided bounds at the false-pass rate; `None` for too few scenes.
    pub estimate: Option<Estimate>,
    /// As [`CheckResult::certified`], on the slice.
    pub certified: Option<f64>,
    /// p-value of "the candidate is no worse" on the slice.
    pub p_worse: Option<f64>,
    /// Level of `p_worse` at or below which a loss is shown: by Holm over all slices and checks.
    pub fail_level: Option<f64>,
    /// Change for the worse from which on a slice vetoes: twice the margin, or what is waived.
    pub veto_from: f64,
    /// Last day of the waiver that put `veto_from` there, `YYYY-MM-DD`; `None` without one.
    pub waived_until: Option<String>,
    /// Whether the slice vetoes.
    pub vetoes: bool,
}

/// What became of the sentinels.
#[derive(Debug, Clone, PartialEq)]
pub struct SentinelsResult {
    /// Pass or fail; invalid when they were not run.
    pub outcome: Outcome,
    /// Sentinels judged, the exempt ones left out.
    pub n: usize,
    /// Of them, those the candidate holds.
    pub n_held: usize,
    /// Sentinels that are not held and count, with the errors of the candidate's text.
    pub violations: Vec<Violation>,
    /// Exempt sentinels that the candidate does not hold.
    pub exempt: Vec<String>,
}

/// A sentinel that is not held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Scene id.
    pub scene: String,
    /// What is wrong with the candidate's text, one line each.
    pub notes: Vec<String>,
    /// Whether the baseline holds it.
    pub baseline_holds: bool,
}

/// The outcome for the promotion, with everything it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The decision; the most severe of the checks and of the run as a whole.
    pub outcome: Outcome,
    /// Whether it may be acted on; `false` for records with a planted harm.
    pub counts: bool,
    /// Whether both roles have the same files.
    pub identical_artifacts: bool,
    /// One entry per check of the policy, in its order.
    pub checks: Vec<CheckResult>,
    /// One entry per slice and check it may veto, in the order of the policy.
    pub slices: Vec<SliceResult>,
    /// The sentinels; `None` when the policy demands none.
    pub sentinels: Option<SentinelsResult>,
    /// Sentences behind the outcome: the run's first, then those of undecided or failed checks.
    pub reasons: Vec<String>,
}

/// The verdict on two models with equal files: a pass without a run.
///
/// Gives `None` when the release digests differ, or when a model has no files at all.
pub fn identical_verdict(baseline: &ModelIdentity, candidate: &ModelIdentity) -> Option<Verdict> {
    let identical = are_identical(baseline, candidate);
    identical.then(|| Verdict {
        outcome: Outcome::Pass,
        counts: true,
        identical_artifacts: true,
        checks: Vec::new(),
        slices: Vec::new(),
        sentinels: None,
        reasons: vec!["identical artifacts: both roles have the same files, byte for byte".into()],
    })
}

/// Whether two models are the same bytes.
pub(crate) fn are_identical(baseline: &ModelIdentity, candidate: &ModelIdentity) -> bool {
    baseline.release_digest == candidate.release_digest && !baseline.files.is_empty()
}
