//! How each metric is decided, and whether it can decide anything yet.

use crate::metric::cost::ForcedCost;

use super::policy::Lane;

/// The procedure behind a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Mean difference over scenes of a graded score against an absolute margin.
    SceneMean,
    /// The same of a score that is 0 or 1: the difference of two rates.
    SceneRate,
    /// Mean difference over the scenes at hand against an absolute margin, without statistics: a
    /// score that says little about single scenes, and much when it falls deep.
    Tripwire,
    /// Means over scenes of a score without an upper end, shown without a change.
    SceneUnboundedShown,
    /// Mean log ratio over the scenes at hand against a relative margin, without statistics.
    SceneRatio,
    /// Share of scenes that fell apart against an absolute margin.
    Collapse,
    /// The rate of valid outputs: not below the baseline's and not below its limit.
    ValidRate,
    /// Mean log ratio over launches against a relative margin.
    Launches(ForcedCost),
    /// A time of one output each, from a single process per role: shown without an interval.
    NaturalShown(NaturalTime),
    /// A distance between the two models, which belongs to neither: shown without a change.
    DistanceShown(Distance),
    /// Load time, shown without an interval.
    LoadShown,
    /// Peak memory against a relative margin with a floor in bytes.
    Peak,
}

/// A time of the natural lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NaturalTime {
    Ttft,
    Tpot,
    EndToEnd,
}

/// A distance between next-token distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    MeanDivergence,
    P99Divergence,
    SameFirst,
}

/// Smallest share of valid outputs the candidate may have where the policy names none.
pub(crate) const VALID_AT_LEAST: f64 = 0.98;

/// The rule of a metric; `None` for an unknown id.
pub(crate) fn rule(metric: &str) -> Option<Rule> {
    Some(match metric {
        "fact_ok" | "hallucination_rate" | "empty" | "encoding" | "too_long" | "truncated"
        | "loop" | "disorder" | "echo" | "portuguese" | "contract" => Rule::SceneRate,
        "object_recall" | "object_precision" | "fact_score" | "count_accuracy"
        | "time_accuracy" | "order_accuracy" | "rouge1" | "rouge2" | "rougeL" | "rougeLsum"
        | "chrf2" | "bleu" | "keyword_f1" | "distinct_1" | "distinct_2" | "rep_4" => {
            Rule::SceneMean
        }
        "chrf_pp" => Rule::Tripwire,
        "collapse_rate" => Rule::Collapse,
        "slot_error_rate"
        | "accent_errors"
        | "unverifiable"
        | "weak_unsupported"
        | "unknown_labels"
        | "length_ratio"
        | "english_leak"
        | "agreement_errors"
        | "ref_bits_per_byte"
        | "own_bits_per_byte"
        | "cross_bits_per_byte" => Rule::SceneUnboundedShown,
        "kld_mean" => Rule::DistanceShown(Distance::MeanDivergence),
        "kld_p99" => Rule::DistanceShown(Distance::P99Divergence),
        "top1_agreement" => Rule::DistanceShown(Distance::SameFirst),
        "output_tokens" => Rule::SceneRatio,
        "valid" => Rule::ValidRate,
        "cpu_ms_per_token" => Rule::Launches(ForcedCost::CpuPerToken),
        "wall_ms_per_token" => Rule::Launches(ForcedCost::WallPerToken),
        "prefill_cpu_ms_per_token" => Rule::Launches(ForcedCost::PrefillCpuPerToken),
        "ttft_ms" => Rule::NaturalShown(NaturalTime::Ttft),
        "tpot_ms" => Rule::NaturalShown(NaturalTime::Tpot),
        "e2e_ms" => Rule::NaturalShown(NaturalTime::EndToEnd),
        "load_ms" => Rule::LoadShown,
        "peak_bytes" => Rule::Peak,
        _ => return None,
    })
}

impl Rule {
    /// Whether a required check can rest on it.
    pub(crate) fn decides(self) -> bool {
        match self {
            Self::SceneMean
            | Self::SceneRate
            | Self::Tripwire
            | Self::SceneRatio
            | Self::Collapse
            | Self::ValidRate
            | Self::Launches(_)
            | Self::Peak => true,
            Self::SceneUnboundedShown
            | Self::NaturalShown(_)
            | Self::DistanceShown(_)
            | Self::LoadShown => false,
        }
    }

    /// Whether it rests on a sample, so that it takes its share of the false-fail rate.
    pub(crate) fn is_statistical(self) -> bool {
        matches!(
            self,
            Self::SceneMean | Self::SceneRate | Self::Collapse | Self::Launches(_)
        )
    }

    /// The lane its values come from; `None` where lanes mean nothing.
    pub(crate) fn lane(self) -> Option<Lane> {
        match self {
            Self::Launches(_) => Some(Lane::Forced),
            Self::NaturalShown(_) | Self::SceneRatio => Some(Lane::Natural),
            Self::SceneMean
            | Self::SceneRate
            | Self::Tripwire
            | Self::Collapse
            | Self::SceneUnboundedShown
            | Self::ValidRate
            | Self::DistanceShown(_)
            | Self::LoadShown
            | Self::Peak => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_rule() {
        for metric in crate::metric::METRICS {
            assert!(rule(metric.id).is_some(), "{}", metric.id);
        }
        assert_eq!(rule("object_recal"), None);
    }
}
