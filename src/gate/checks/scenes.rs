//! Checks on what the models wrote: the scene is the unit of inference.

use super::super::comparison::Paired;
use super::super::policy::Margin;
use super::super::rule::VALID_AT_LEAST;
use super::super::sizing::{Units, more};
use super::super::verdict::{CheckResult, Outcome, Scale};
use super::super::words;
use super::{Bounds, Case};
use crate::stats::bounded::mean_loss;
use crate::stats::mean::t_estimate;
use crate::stats::{self, Estimate, PairedSample};

impl Case<'_> {
    pub(super) fn scene_mean(&self, mut result: CheckResult) -> CheckResult {
        let Paired { sample, n_absent } = match self.comparison.paired(&self.check.metric) {
            Ok(paired) => paired,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        result.scale = Scale::Difference;
        result.n = sample.n();
        result.n_absent = n_absent;
        result.baseline = sample.baseline_mean();
        result.candidate = sample.candidate_mean();
        let sign = self.harm_sign();
        let losses: Vec<f64> = sample.differences().iter().map(|d| sign * d).collect();
        let at = |alpha| mean_loss(&losses, alpha);
        let (Ok(loss), Ok(strict)) = (at(self.levels.pass), at(self.levels.fail)) else {
            let reason = format!(
                "{} has no value in both roles on any scene",
                self.check.metric
            );
            return result.settle(Outcome::Invalid, reason);
        };
        result.show(oriented(loss, sign), sign * strict.low);
        let Some(Margin::Absolute(margin)) = self.check.margin else {
            return result;
        };
        result.allowed = Some(sign * margin);
        let least = self.policy.scenes.min_scenes;
        if sample.n() < least {
            let reason = format!(
                "{} has a value in both roles on {} scenes, fewer than the {least} it takes to \
                 decide",
                self.check.metric,
                sample.n()
            );
            let more = more(least - sample.n(), Units::Scenes);
            return result.settle(Outcome::Inconclusive, reason).needing(more);
        }
        self.decide(
            result,
            &losses,
            &Bounds {
                loss,
                strict,
                margin,
                units: Units::Scenes,
            },
        )
    }

    pub(super) fn scene_ratio(&self, mut result: CheckResult) -> CheckResult {
        let Paired { sample, n_absent } = match self.comparison.paired(&self.check.metric) {
            Ok(paired) => paired,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        result.baseline = sample.baseline_mean();
        result.candidate = sample.candidate_mean();
        let ratios = log_ratios(&sample);
        result.n = ratios.len();
        result.n_absent = n_absent + sample.n() - ratios.len();
        match t_estimate(&ratios, self.levels.pass) {
            Ok(estimate) => {
                let change = estimate.map(f64::exp_m1);
                result.change = Some(change.point);
                result.estimate = Some(change);
            }
            Err(stats::Error::NoSpread { .. }) => {
                result.change = ratios.first().map(|ratio| ratio.exp_m1());
                result.reason = Some("every scene has the same ratio".to_owned());
            }
            Err(stats::Error::TooFew { .. }) => {
                result.reason = Some("too few scenes".to_owned());
            }
            Err(error) => result.reason = Some(error.to_string()),
        }
        result
    }

    pub(super) fn valid_rate(&self, mut result: CheckResult) -> CheckResult {
        result.scale = Scale::Difference;
        result.allowed = Some(0.0);
        result.at_least = Some(VALID_AT_LEAST);
        let id = &self.check.metric;
        let sample = match self.comparison.paired(id) {
            Ok(Paired {
                n_absent: 0,
                sample,
            }) => sample,
            Ok(Paired { n_absent, .. }) => {
                let reason = format!("{id} has no value on {n_absent} scenes");
                return result.settle(Outcome::Invalid, reason);
            }
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        let (Some(base), Some(cand)) = (sample.baseline_mean(), sample.candidate_mean()) else {
            return result.settle(Outcome::Invalid, format!("{id} has no value on any scene"));
        };
        result.n = sample.n();
        (result.baseline, result.candidate) = (Some(base), Some(cand));
        result.change = Some(cand - base);
        let shown = |rate| words::value(rate, "fraction");
        if cand < VALID_AT_LEAST {
            let (cand, least) = (shown(cand), shown(VALID_AT_LEAST));
            let reason = format!(
                "{id}: {cand} of {} outputs are valid, at least {least} must be",
                sample.n()
            );
            return result.settle(Outcome::Fail, reason);
        }
        if cand < base {
            let reason = format!(
                "{id} fell from {} to {} of {} outputs; no loss is allowed",
                shown(base),
                shown(cand),
                sample.n()
            );
            return result.settle(Outcome::Fail, reason);
        }
        result.settle(Outcome::Pass, None)
    }
}

/// A loss as a change of the metric.
fn oriented(loss: Estimate, sign: f64) -> Estimate {
    if sign < 0.0 { loss.negated() } else { loss }
}

/// Logarithms of candidate ÷ baseline where both are above zero.
fn log_ratios(sample: &PairedSample) -> Vec<f64> {
    let pairs = sample.pairs().iter();
    pairs
        .filter(|pair| pair.baseline > 0.0 && pair.candidate > 0.0)
        .map(|pair| pair.candidate.ln() - pair.baseline.ln())
        .collect()
}
