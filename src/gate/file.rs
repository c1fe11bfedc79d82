//! The canonical JSON report: verdict, policy and every raw sample behind them.
//!
//! Everything another format shows comes from here, and the verdict can be computed again from it.
//! Keys stand in the order of the structs, maps in the order of their keys, so equal verdicts give
//! equal bytes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::comparison::{Comparison, SceneTags};
use super::earlier::Earlier;
use super::file_rules::{SentinelsFile, VetoFile};
use super::likelihood_file::LikelihoodsFile;
use super::policy::{Lane, Policy};
use super::scene_file::{SceneFile, SliceFile};
use super::seal::Seal;
use super::verdict::{CheckResult, Verdict};
use super::worst::{self, RANKED_BY, worst_scenes};
use crate::metric::{SceneScores, Score, fidelity};
use crate::record::{ModelIdentity, RunRecord, SceneSetIdentity};
use crate::stats::Estimate;
use crate::units::Sha256;

/// Version of the on-disk form.
pub const SCHEMA_VERSION: u32 = 3;

/// Worst scenes kept ready; the rest can be found from the scores.
const MOST_WORST_SCENES: usize = 50;

/// A report as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportFile {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The decision.
    pub verdict: VerdictFile,
    /// Sentences that belong directly below it: what a pull request would change of its own trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// The model now pinned.
    pub baseline: ModelIdentity,
    /// The model proposed.
    pub candidate: ModelIdentity,
    /// The scenes; absent when nothing was run.
    pub scenes: Option<SceneSetIdentity>,
    /// What was demanded.
    pub policy: Policy,
    /// Digest of `policy` without its origin.
    pub policy_sha256: Sha256,
    /// Scenes on which the candidate lost anything.
    pub n_scenes_worse: usize,
    /// The worst of them, the largest loss first.
    pub worst_scenes: Vec<WorstSceneFile>,
    /// How the outputs agree token by token; absent when nothing was run.
    #[serde(default)]
    pub agreement: Option<AgreementFile>,
    /// What both models make of the references and of each other's outputs; absent when nothing was
    /// read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihoods: Option<LikelihoodsFile>,
    /// What is known of each scene, in planned order; empty when nothing was run, and in older
    /// reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scene_details: Vec<SceneFile>,
    /// Changes by slice, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceFile>,
    /// Measured error rates of the gate on these samples; absent when nothing was run, or nothing
    /// rests on a sample.
    pub certificate: Option<Certificate>,
    /// Key under which times of other runs have anything to do with those of this one; absent when
    /// nothing was run, and in older reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparability_key: Option<Sha256>,
    /// What earlier runs on that machine found; absent where nobody looked, as in `judge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    /// Raw samples; absent when nothing was run because both roles have the same files.
    pub evidence: Option<EvidenceFile>,
    /// Digests by which a change of any of it shows.
    pub seal: Seal,
}

/// Agreement of greedy outputs as it is saved: a distance, which has no direction and decides
/// nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementFile {
    /// Scenes that both roles have written.
    pub n: usize,
    /// Of them, those with the same tokens.
    pub n_exact: usize,
    /// Mean of the least edits by the length of the longer output; absent without a scene.
    pub edit_distance: Option<f64>,
    /// Place of the first token that differs, from 0, by scene; equal outputs are left out.
    pub first_divergence: BTreeMap<String, usize>,
    /// Why nothing could be compared: the tokenizers with both digests.
    pub absent: Option<String>,
}

impl AgreementFile {
    fn of(comparison: &Comparison) -> Self {
        let (base, cand) = (comparison.baseline(), comparison.candidate());
        let (scenes, absent) = match fidelity::agreements(base, cand) {
            Ok(scenes) => (scenes, None),
            Err(differ) => (Vec::new(), Some(differ.to_string())),
        };
        let n = scenes.len();
        let edits: f64 = scenes.iter().map(|(_, it)| it.edit_distance).sum();
        let divergent = scenes.iter().filter_map(|(scene, agreement)| {
            Some(((*scene).to_owned(), agreement.first_divergence?))
        });
        Self {
            n,
            n_exact: scenes.iter().filter(|(_, it)| it.is_exact()).count(),
            edit_distance: (n > 0).then(|| edits / n as f64),
            first_divergence: divergent.collect(),
            absent,
        }
    }
}

/// The decision as it is saved; fields as in [`Verdict`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictFile {
    /// `pass`, `fail`, `inconclusive` or `invalid`.
    pub outcome: OutcomeFile,
    /// Whether it may be acted on.
    pub counts: bool,
    /// Whether both roles have the same files.
    pub identical_artifacts: bool,
    /// Sentences behind the outcome, in English.
    pub reasons: Vec<String>,
    /// One entry per check, in the order of the policy.
    pub checks: Vec<CheckFile>,
    /// One entry per slice and check it may veto.
    pub slices: Vec<VetoFile>,
    /// What became of the sentinels; absent when the policy demands none.
    pub sentinels: Option<SentinelsFile>,
}

/// An outcome as it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeFile {
    /// As [`super::Outcome::Pass`].
    Pass,
    /// As [`super::Outcome::Inconclusive`].
    Inconclusive,
    /// As [`super::Outcome::Fail`].
    Fail,
    /// As [`super::Outcome::Invalid`].
    Invalid,
}

/// A check as it is saved; fields and units as in [`CheckResult`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckFile {
    /// Metric id.
    pub metric: String,
    /// Version of the metric's definition.
    pub metric_version: u32,
    /// Lane of a time; absent where lanes mean nothing.
    pub lane: Option<Lane>,
    /// Whether it decides.
    pub required: bool,
    /// Absent for a watched or unmeasured check.
    pub outcome: Option<OutcomeFile>,
    /// Unit of `baseline` and `candidate`.
    pub unit: String,
    /// The baseline's mean or median.
    pub baseline: Option<f64>,
    /// The candidate's mean or median.
    pub candidate: Option<f64>,
    /// `difference` or `ratio`: scale of the changes below.
    pub scale: ScaleFile,
    /// The change seen.
    pub change: Option<f64>,
    /// The change with its bounds.
    pub estimate: Option<EstimateFile>,
    /// Bound on the fail side, at `fail_level`.
    pub fail_bound: Option<f64>,
    /// p-value of "no worse".
    pub p_worse: Option<f64>,
    /// Level of `p_worse` at or below which a loss is shown.
    pub fail_level: Option<f64>,
    /// Largest loss that cannot be ruled out for any distribution, as a change.
    pub certified: Option<f64>,
    /// Largest change for the worse that is accepted.
    pub allowed: Option<f64>,
    /// Limit the candidate must reach by itself.
    pub at_least: Option<f64>,
    /// Limit the candidate must not exceed by itself.
    pub at_most: Option<f64>,
    /// Units of inference.
    pub n: usize,
    /// What `n` counts.
    pub n_unit: String,
    /// Scenes without a value in at least one role.
    pub n_absent: usize,
    /// Why this outcome, or why a number is missing.
    pub reason: Option<String>,
    /// What would settle it.
    pub needed: Option<String>,
}

/// A scale as it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleFile {
    /// As [`super::Scale::Difference`].
    Difference,
    /// As [`super::Scale::Ratio`].
    Ratio,
}

/// An estimate as it is saved; fields as in [`Estimate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimateFile {
    /// The estimated change.
    pub point: f64,
    /// One-sided lower bound.
    pub low: f64,
    /// One-sided upper bound.
    pub high: f64,
    /// Error rate of each bound.
    pub alpha: f64,
    /// Units of inference behind it.
    pub n: usize,
    /// Name of the method.
    pub method: String,
}

/// A worst scene as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorstSceneFile {
    /// Scene id.
    pub scene: String,
    /// Candidate − baseline by metric; a metric without a value in both roles is left out.
    pub changes: BTreeMap<String, f64>,
    /// Reasons of factual errors of the baseline.
    pub baseline_notes: Vec<String>,
    /// Reasons of factual errors of the candidate.
    pub candidate_notes: Vec<String>,
    /// The baseline's text; absent when it produced none.
    pub baseline_text: Option<String>,
    /// The candidate's text; absent when it produced none.
    pub candidate_text: Option<String>,
}

/// Raw samples: both records and the scores of their outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// Scores of the baseline, in planned order.
    pub baseline_scores: Vec<SceneScoresFile>,
    /// Scores of the candidate, in planned order.
    pub candidate_scores: Vec<SceneScoresFile>,
    /// What was observed of the baseline.
    pub baseline_record: RunRecord,
    /// What was observed of the candidate.
    pub candidate_record: RunRecord,
    /// Camera and slices by scene id, where the set names any.
    pub scene_tags: BTreeMap<String, SceneTags>,
}

/// Scores of one scene as they are saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SceneScoresFile {
    /// Scene id.
    pub scene: String,
    /// Value by metric id; `null` where there is none.
    pub metrics: BTreeMap<String, Option<f64>>,
    /// Why a value is absent, by metric id.
    pub absent: BTreeMap<String, String>,
    /// Reasons of factual errors.
    pub notes: Vec<String>,
}

impl ReportFile {
    /// The report of a judged comparison.
    pub fn of_comparison(comparison: &Comparison, policy: &Policy, verdict: &Verdict) -> Self {
        let (base, cand) = (comparison.baseline(), comparison.candidate());
        let scores = |list: &[SceneScores]| list.iter().map(SceneScoresFile::from).collect();
        let worse = worst_scenes(comparison);
        let file = Self {
            scenes: Some(base.scenes.clone()),
            n_scenes_worse: worse.len(),
            worst_scenes: worse
                .into_iter()
                .take(MOST_WORST_SCENES)
                .map(WorstSceneFile::from)
                .collect(),
            agreement: Some(AgreementFile::of(comparison)),
            comparability_key: base.comparability_key(),
            likelihoods: LikelihoodsFile::of(comparison),
            evidence: Some(EvidenceFile {
                baseline_scores: scores(comparison.baseline_scores()),
                candidate_scores: scores(comparison.candidate_scores()),
                baseline_record: base.clone(),
                candidate_record: cand.clone(),
                scene_tags: comparison.tags().clone(),
            }),
            ..Self::without_run(&base.model, &cand.model, policy, verdict)
        };
        file.sealed()
    }

    /// The same report with a certificate.
    #[must_use]
    pub fn with_certificate(self, certificate: Option<Certificate>) -> Self {
        let file = Self {
            certificate,
            ..self
        };
        file.sealed()
    }

    /// The same report with what earlier runs found.
    #[must_use]
    pub fn with_earlier(self, earlier: Option<Earlier>) -> Self {
        let file = Self { earlier, ..self };
        file.sealed()
    }

    /// The same report with what its reader is to be told first.
    #[must_use]
    pub fn with_notices(self, notices: Vec<String>) -> Self {
        let file = Self { notices, ..self };
        file.sealed()
    }

    /// The report of a verdict that needed no run, e.g. on identical artifacts.
    pub fn without_run(
        baseline: &ModelIdentity,
        candidate: &ModelIdentity,
        policy: &Policy,
        verdict: &Verdict,
    ) -> Self {
        let file = Self {
            schema_version: SCHEMA_VERSION,
            verdict: VerdictFile::from(verdict),
            notices: Vec::new(),
            baseline: baseline.clone(),
            candidate: candidate.clone(),
            scenes: None,
            policy: policy.clone(),
            policy_sha256: policy.digest(),
            n_scenes_worse: 0,
            worst_scenes: Vec::new(),
            agreement: None,
            likelihoods: None,
            scene_details: Vec::new(),
            slices: Vec::new(),
            certificate: None,
            comparability_key: None,
            earlier: None,
            evidence: None,
            seal: Seal::default(),
        };
        file.sealed()
    }
}

impl From<&Verdict> for VerdictFile {
    fn from(verdict: &Verdict) -> Self {
        Self {
            outcome: verdict.outcome.into(),
            counts: verdict.counts,
            identical_artifacts: verdict.identical_artifacts,
            reasons: verdict.reasons.clone(),
            checks: verdict.checks.iter().map(CheckFile::from).collect(),
            slices: verdict.slices.iter().map(VetoFile::from).collect(),
            sentinels: verdict.sentinels.as_ref().map(SentinelsFile::from),
        }
    }
}

impl From<super::Outcome> for OutcomeFile {
    fn from(outcome: super::Outcome) -> Self {
        match outcome {
            super::Outcome::Pass => Self::Pass,
            super::Outcome::Inconclusive => Self::Inconclusive,
            super::Outcome::Fail => Self::Fail,
            super::Outcome::Invalid => Self::Invalid,
        }
    }
}

impl From<OutcomeFile> for super::Outcome {
    fn from(outcome: OutcomeFile) -> Self {
        match outcome {
            OutcomeFile::Pass => Self::Pass,
            OutcomeFile::Inconclusive => Self::Inconclusive,
            OutcomeFile::Fail => Self::Fail,
            OutcomeFile::Invalid => Self::Invalid,
        }
    }
}

impl From<super::Scale> for ScaleFile {
    fn from(scale: super::Scale) -> Self {
        match scale {
            super::Scale::Difference => Self::Difference,
            super::Scale::Ratio => Self::Ratio,
        }
    }
}

impl From<ScaleFile> for super::Scale {
    fn from(scale: ScaleFile) -> Self {
        match scale {
            ScaleFile::Difference => Self::Difference,
            ScaleFile::Ratio => Self::Ratio,
        }
    }
}

impl From<&CheckResult> for CheckFile {
    fn from(check: &CheckResult) -> Self {
        Self {
            metric: check.metric.clone(),
            metric_version: crate::metric::find(&check.metric).map_or(0, |row| row.version),
            lane: check.lane,
            required: check.required,
            outcome: check.outcome.map(OutcomeFile::from),
            unit: check.unit.to_owned(),
            baseline: check.baseline,
            candidate: check.candidate,
            scale: check.scale.into(),
            change: check.change,
            estimate: check.estimate.as_ref().map(EstimateFile::from),
            fail_bound: check.fail_bound,
            p_worse: check.p_worse,
            fail_level: check.fail_level,
            certified: check.certified,
            allowed: check.allowed,
            at_least: check.at_least,
            at_most: check.at_most,
            n: check.n,
            n_unit: check.n_unit.to_owned(),
            n_absent: check.n_absent,
            reason: check.reason.clone(),
            needed: check.needed.clone(),
        }
    }
}

impl From<&Estimate> for EstimateFile {
    fn from(estimate: &Estimate) -> Self {
        Self {
            point: estimate.point,
            low: estimate.low,
            high: estimate.high,
            alpha: estimate.alpha,
            n: estimate.n,
            method: estimate.method.name().to_owned(),
        }
    }
}

impl From<worst::WorstScene> for WorstSceneFile {
    fn from(scene: worst::WorstScene) -> Self {
        let changes = RANKED_BY.iter().zip(scene.changes);
        Self {
            scene: scene.scene,
            changes: changes
                .filter_map(|(metric, change)| Some(((*metric).to_owned(), change?)))
                .collect(),
            baseline_notes: scene.baseline_notes,
            candidate_notes: scene.candidate_notes,
            baseline_text: scene.baseline_text,
            candidate_text: scene.candidate_text,
        }
    }
}

impl From<&SceneScores> for SceneScoresFile {
    fn from(scores: &SceneScores) -> Self {
        let entries = scores.scores.iter();
        let absent = entries.clone().filter_map(|(id, score)| match score {
            Score::Absent(reason) => Some(((*id).to_owned(), (*reason).to_owned())),
            Score::Value(_) => None,
        });
        Self {
            scene: scores.scene.clone(),
            absent: absent.collect(),
            metrics: entries
                .map(|(id, score)| ((*id).to_owned(), score.value()))
                .collect(),
            notes: scores.notes.clone(),
        }
    }
}
