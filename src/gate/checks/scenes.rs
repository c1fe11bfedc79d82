//! Checks on what the models wrote: the scene is the unit of inference.

use super::super::comparison::Paired;
use super::super::policy::{Limit, Margin};
use super::super::rule::{Distance, VALID_AT_LEAST};
use super::super::sizing::{Units, more};
use super::super::verdict::{CheckResult, Outcome, Scale};
use super::super::words;
use super::{Case, TooFew, harm_sign, oriented};
use crate::metric::likelihood::Likelihoods;
use crate::stats::PairedSample;

impl Case<'_> {
    /// Enters the means of both roles and gives the scene-wise values behind them.
    fn means(&self, result: &mut CheckResult) -> Result<Paired, String> {
        let paired = self.comparison.paired(&self.check.metric)?;
        let sample = &paired.sample;
        result.scale = Scale::Difference;
        result.n = sample.n();
        result.n_absent = paired.n_absent;
        result.baseline = sample.baseline_mean();
        result.candidate = sample.candidate_mean();
        Ok(paired)
    }

    pub(super) fn scene_mean(&self, mut result: CheckResult) -> CheckResult {
        let sampled = match self
            .means(&mut result)
            .and_then(|paired| self.of_scenes(&paired))
        {
            Ok(sampled) => sampled,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        if sampled.scenes.is_empty() {
            let reason = format!(
                "{} has no value in both roles on any scene",
                self.check.metric
            );
            return result.settle(Outcome::Invalid, reason);
        }
        let sign = harm_sign(&self.check.metric);
        let change = |loss| oriented(loss, sign);
        if let Some(Margin::Absolute(margin)) = self.check.margin {
            result.allowed = Some(sign * margin);
        }
        let n = result.n;
        let result = self.decide(result, &sampled, Units::Scenes, change);
        match self.too_few(n) {
            Some(few) if self.check.margin.is_some() => result.undecided(few.reason, few.more),
            _ => result,
        }
    }

    /// Why so few scenes decide nothing, and how many more would.
    pub(super) fn too_few(&self, n: usize) -> Option<TooFew> {
        let least = self.policy.scenes.min_scenes;
        (n < least).then(|| TooFew {
            reason: format!(
                "{} has a value in both roles on {n} scenes, fewer than the {least} it takes to \
                 decide",
                self.check.metric
            ),
            more: more(least - n, Units::Scenes, super::Pace::of(self.comparison)),
        })
    }

    /// The change on the scenes at hand, exact for them.
    pub(super) fn tripwire(&self, mut result: CheckResult) -> CheckResult {
        let sample = match self.means(&mut result) {
            Ok(Paired { sample, .. }) => sample,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        let (Some(base), Some(cand)) = (sample.baseline_mean(), sample.candidate_mean()) else {
            let reason = format!(
                "{} has no value in both roles on any scene",
                self.check.metric
            );
            return result.settle(Outcome::Invalid, reason);
        };
        let change = cand - base;
        result.change = Some(change);
        let sign = harm_sign(&self.check.metric);
        let Some(Margin::Absolute(margin)) = self.check.margin else {
            return result;
        };
        result.allowed = Some(sign * margin);
        if let Some(few) = self.too_few(sample.n()) {
            return result.undecided(few.reason, few.more);
        }
        Self::exact(result, change, sign * change <= margin)
    }

    /// Settles a check by what was seen on these scenes.
    fn exact(result: CheckResult, change: f64, is_within: bool) -> CheckResult {
        if is_within {
            return result.settle(Outcome::Pass, None);
        }
        let reason = words::seen_loss(&result, change);
        result.settle(Outcome::Fail, reason)
    }

    /// Means of a score that may be any number: a change in it is no share of anything.
    pub(super) fn scene_unbounded(&self, mut result: CheckResult) -> CheckResult {
        match self.means(&mut result) {
            Ok(_) => result,
            Err(problem) => result.settle(Outcome::Invalid, problem),
        }
    }

    /// How far the candidate is from the baseline, which has no such value of its own.
    pub(super) fn distance(&self, mut result: CheckResult, distance: Distance) -> CheckResult {
        let (base, cand) = (self.comparison.baseline(), self.comparison.candidate());
        let fidelity = match Likelihoods::of(base, cand).fidelity {
            Ok(fidelity) => fidelity,
            Err(reason) => return result.settle(Outcome::Invalid, reason.to_string()),
        };
        let divergence = fidelity.divergence;
        result.scale = Scale::Difference;
        result.n = divergence.n;
        result.n_unit = "tokens";
        result.candidate = match distance {
            Distance::MeanDivergence => Some(divergence.mean.mean),
            Distance::P99Divergence => divergence.quantiles.map(|quantiles| quantiles.p99),
            Distance::SameFirst => Some(fidelity.same_first.mean),
        };
        if result.candidate.is_none() {
            let n = divergence.n;
            let reason = format!("{n} tokens are too few for a quantile");
            return result.undecided(reason, "more scenes with references would settle it");
        }
        result
    }

    /// The mean log ratio on the scenes at hand; what differs in it is no sample of times but the
    /// outputs themselves, which are the same in every run.
    pub(super) fn scene_ratio(&self, mut result: CheckResult) -> CheckResult {
        let id = &self.check.metric;
        let Paired { sample, n_absent } = match self.comparison.paired(id) {
            Ok(paired) => paired,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        result.baseline = sample.baseline_mean();
        result.candidate = sample.candidate_mean();
        let ratios = log_ratios(&sample);
        result.n = ratios.len();
        result.n_absent = n_absent + sample.n() - ratios.len();
        if ratios.is_empty() {
            let reason = format!("{id} is above zero in both roles on no scene");
            let needed = "scenes to which both models say something would settle it";
            return result.undecided(reason, needed);
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let change = mean.exp_m1();
        result.change = Some(change);
        let Some(Margin::Relative(margin)) = self.check.margin else {
            return result;
        };
        result.allowed = Some(margin);
        if let Some(few) = self.too_few(ratios.len()) {
            return result.undecided(few.reason, few.more);
        }
        Self::exact(result, change, change <= margin)
    }

    pub(super) fn valid_rate(&self, mut result: CheckResult) -> CheckResult {
        result.scale = Scale::Difference;
        result.allowed = Some(0.0);
        let least = match self.check.limit {
            Some(Limit::AtLeast(least)) => least,
            Some(Limit::AtMost(_)) | None => VALID_AT_LEAST,
        };
        result.at_least = Some(least);
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
        if cand < least {
            let (cand, least) = (shown(cand), shown(least));
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
        if let Some(few) = self.too_few(result.n) {
            return result.undecided(few.reason, few.more);
        }
        result.settle(Outcome::Pass, None)
    }
}

/// Logarithms of candidate ÷ baseline where both are above zero.
fn log_ratios(sample: &PairedSample) -> Vec<f64> {
    let pairs = sample.pairs().iter();
    pairs
        .filter(|pair| pair.baseline > 0.0 && pair.candidate > 0.0)
        .map(|pair| pair.candidate.ln() - pair.baseline.ln())
        .collect()
}
