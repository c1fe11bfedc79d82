//! Likelihoods of given texts as they stand in the JSON report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use crate::metric::fidelity::{Fidelity, Mean, Quantiles};
use crate::metric::likelihood::{Both, Likelihoods};

/// What both models make of the same texts; decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LikelihoodsFile {
    /// Scenes whose texts were to be read.
    pub n_scenes: usize,
    /// The references; absent when none was read by both.
    pub references: Option<BothFile>,
    /// What the baseline wrote.
    pub baseline_outputs: Option<BothFile>,
    /// What the candidate wrote.
    pub candidate_outputs: Option<BothFile>,
    /// Next-token distributions on the references.
    pub fidelity: Option<FidelityFile>,
    /// Why they were not compared: the tokenizers with both digests, or that nothing was read.
    pub absent: Option<String>,
}

/// Texts of one sort under both models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BothFile {
    /// Texts, the same under both.
    pub n_texts: usize,
    /// Bits of all texts by their bytes, under the baseline.
    pub baseline_bits_per_byte: f64,
    /// The same, under the candidate.
    pub candidate_bits_per_byte: f64,
}

/// The candidate's next-token distributions against the baseline's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FidelityFile {
    /// Tokens of the references that both read.
    pub n_tokens: usize,
    /// Kullback–Leibler divergence of the candidate from the baseline, in nats.
    pub divergence: MeanFile,
    /// Its largest value.
    pub divergence_max: f64,
    /// Its quantiles; absent below a hundred tokens.
    pub divergence_quantiles: Option<QuantilesFile>,
    /// Share of tokens where both find the same one most probable.
    pub same_first: MeanFile,
    /// Root mean square of the change in the probability of the token that follows.
    pub rms_probability_change: f64,
}

/// A mean over tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanFile {
    /// The mean.
    pub mean: f64,
    /// Its standard error as if tokens were independent, which they are not; absent for one token.
    pub standard_error: Option<f64>,
}

/// Quantiles over tokens, linear at f·(n − 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantilesFile {
    /// 50 %.
    pub median: f64,
    /// 90 %.
    pub p90: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
}

impl LikelihoodsFile {
    /// Of a comparison; `None` when its plan has no likelihood pass.
    pub(super) fn of(comparison: &Comparison) -> Option<Self> {
        let (base, cand) = (comparison.baseline(), comparison.candidate());
        let n_scenes = base.plan.n_read;
        if n_scenes == 0 {
            return None;
        }
        let found = Likelihoods::of(base, cand);
        let (fidelity, absent) = match &found.fidelity {
            Ok(fidelity) => (Some(FidelityFile::from(fidelity)), None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        Some(Self {
            n_scenes,
            references: found.references.map(BothFile::from),
            baseline_outputs: found.baseline_outputs.map(BothFile::from),
            candidate_outputs: found.candidate_outputs.map(BothFile::from),
            fidelity,
            absent,
        })
    }
}

impl From<Both> for BothFile {
    fn from(both: Both) -> Self {
        Self {
            n_texts: both.baseline.n_texts,
            baseline_bits_per_byte: both.baseline.bits_per_byte,
            candidate_bits_per_byte: both.candidate.bits_per_byte,
        }
    }
}

impl From<&Fidelity> for FidelityFile {
    fn from(fidelity: &Fidelity) -> Self {
        Self {
            n_tokens: fidelity.divergence.n,
            divergence: fidelity.divergence.mean.into(),
            divergence_max: fidelity.divergence.max,
            divergence_quantiles: fidelity.divergence.quantiles.map(QuantilesFile::from),
            same_first: fidelity.same_first.into(),
            rms_probability_change: fidelity.rms_probability_change,
        }
    }
}

impl From<Mean> for MeanFile {
    fn from(mean: Mean) -> Self {
        Self {
            mean: mean.mean,
            standard_error: mean.standard_error,
        }
    }
}

impl From<Quantiles> for QuantilesFile {
    fn from(quantiles: Quantiles) -> Self {
        let Quantiles {
            median,
            p90,
            p95,
            p99,
            p999,
        } = quantiles;
        Self {
            median,
            p90,
            p95,
            p99,
            p999,
        }
    }
}
