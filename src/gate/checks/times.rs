//! Checks on times: the launch is the unit of inference, and pairs are never pooled across launches.

use super::super::comparison::Comparison;
use super::super::pace::{self, Pace};
use super::super::policy::{Check, MIN_LAUNCHES, Margin, Policy};
use super::super::rule::{NaturalTime, Rule, rule};
use super::super::sample::Levels;
use super::super::sizing::{self, Units, more};
use super::super::verdict::{CheckResult, Outcome};
use super::Case;
use super::sampled::{Sampled, statistical};
use crate::metric::cost::{self, ForcedCost};
use crate::record::{OutputObservation, PlannedLook, RunRecord};
use crate::stats::Estimate;
use crate::stats::mean::moments;
use crate::stats::quantile::type7;
use crate::stats::rank::{hodges_lehmann, median};

impl Case<'_> {
    /// Centre of the log ratios of each launch; the error is a sentence without the metric.
    pub(super) fn centres(&self, cost: ForcedCost) -> Result<Vec<f64>, String> {
        let (base, cand) = (self.comparison.baseline(), self.comparison.candidate());
        if base.model.tokenizer_sha256 != cand.model.tokenizer_sha256 {
            return Err(
                " cannot be compared: the tokenizers differ, so the roles cannot be fed the same \
                 tokens"
                    .to_owned(),
            );
        }
        let ratios =
            cost::log_ratios(cost, base, cand).map_err(|problem| format!(": {problem}"))?;
        if ratios.is_empty() {
            return Err(" was not measured: no launches".to_owned());
        }
        let centres = ratios.iter().map(|pairs| hodges_lehmann(pairs));
        centres
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| ": a launch has no pairs".to_owned())
    }

    /// Whether the run could have ended at looks this policy does not know: what it was allowed to
    /// find by looking often is not given a second time.
    fn is_looked_at_otherwise(&self) -> bool {
        let taken = &self.comparison.baseline().plan.looks;
        let effort = &self.policy.effort;
        let known = effort.looks.iter().zip(&effort.shares);
        let known = known.map(|(&launches, &share)| PlannedLook { launches, share });
        !taken.is_empty() && !known.eq(taken.iter().copied())
    }

    pub(super) fn launches(&self, mut result: CheckResult, cost: ForcedCost) -> CheckResult {
        let (base, cand) = (self.comparison.baseline(), self.comparison.candidate());
        let id = &self.check.metric;
        result.n_unit = "launches";
        result.baseline = segment_median(cost, base);
        result.candidate = segment_median(cost, cand);
        let centres = match self.centres(cost) {
            Ok(centres) => centres,
            Err(problem) => return result.settle(Outcome::Invalid, format!("{id}{problem}")),
        };
        result.n = centres.len();
        result.change = Some((centres.iter().sum::<f64>() / centres.len() as f64).exp_m1());
        if let Some(Margin::Relative(margin)) = self.check.margin {
            result.allowed = Some(margin);
        }
        let looks = &self.policy.effort.looks;
        let least = looks.first().copied().unwrap_or(MIN_LAUNCHES);
        if centres.len() < least {
            let reason = format!(
                "{id} has {} launches, fewer than the {least} it takes to decide",
                centres.len()
            );
            let pace = Pace::of(self.comparison);
            let needed = if moments(&centres).is_ok() {
                let Sampled { sample, rules, .. } = self.of_launches(centres);
                sizing::needed(&sample, &rules, self.levels, Units::Launches, pace)
            } else {
                more(least - centres.len(), Units::Launches, pace)
            };
            return result.undecided(reason, needed);
        }
        if self.is_looked_at_otherwise() {
            let reason = format!(
                "{id} was looked at during the run at other moments than this policy's, which spends \
                 the error rates differently"
            );
            return result.undecided(reason, pace::again(self.comparison, "under this policy"));
        }
        if moments(&centres).is_err() {
            let reason = format!(
                "{id} has no interval: all launches agree to the last digit, so the clock is too \
                 coarse or the times are not real"
            );
            let again = pace::again(self.comparison, "on a machine with a finer clock");
            return result.undecided(reason, again);
        }
        let sampled = self.of_launches(centres);
        let percent = |loss: Estimate| loss.map(f64::exp_m1);
        let mut result = self.decide(result, &sampled, Units::Launches, percent);
        // A look that decided early rests on fewer launches than there are.
        result.n = result.estimate.map_or(result.n, |estimate| estimate.n);
        result
    }

    /// Times of one process per role: its placement in memory is one draw, so there is no interval.
    /// Scenes that were only written in a batch have none and are counted as absent.
    pub(super) fn natural(&self, mut result: CheckResult, time: NaturalTime) -> CheckResult {
        let of = |output: &OutputObservation| match time {
            NaturalTime::Ttft => cost::ttft_ms(output),
            NaturalTime::Tpot => cost::tpot_ms(output),
            NaturalTime::EndToEnd => cost::e2e_ms(output),
        };
        let base = self.comparison.baseline().outputs.iter();
        let pairs = base.zip(&self.comparison.candidate().outputs);
        let times: Vec<(f64, f64)> = pairs
            .filter_map(|(base, cand)| of(base).zip(of(cand)))
            .filter(|(base, cand)| *base > 0.0 && *cand > 0.0)
            .collect();
        result.n = times.len();
        result.n_absent = self.comparison.baseline().outputs.len() - times.len();
        let (mut base, mut cand): (Vec<f64>, Vec<f64>) = times.iter().copied().unzip();
        result.baseline = median(&mut base).ok();
        result.candidate = median(&mut cand).ok();
        let ratios: Vec<f64> = times
            .iter()
            .map(|(base, cand)| cand.ln() - base.ln())
            .collect();
        result.change = hodges_lehmann(&ratios).ok().map(f64::exp_m1);
        result.reason = Some("one process per role".to_owned());
        result
    }

    pub(super) fn load(&self, mut result: CheckResult) -> CheckResult {
        let of = |record: &RunRecord| {
            let mut times: Vec<f64> = record.memory.iter().map(cost::load_ms).collect();
            median(&mut times).ok().filter(|time| *time > 0.0)
        };
        result.n_unit = "runs";
        result.n = self
            .comparison
            .baseline()
            .memory
            .len()
            .min(self.comparison.candidate().memory.len());
        result.baseline = of(self.comparison.baseline());
        result.candidate = of(self.comparison.candidate());
        result.change = result
            .baseline
            .zip(result.candidate)
            .map(|(base, cand)| cand / base - 1.0);
        result.reason = Some("too few loads".to_owned());
        result
    }
}

/// Median time per token over all segments, for display.
fn segment_median(cost: ForcedCost, record: &RunRecord) -> Option<f64> {
    let times: Vec<f64> = cost
        .segments(record)
        .flatten()
        .filter_map(|segment| cost.ms_per_token(segment))
        .collect();
    type7(&times, 0.5).ok()
}

/// Whether every required check on times is decided by the launches at hand, at one of the looks
/// of the policy: a run may stop then.
///
/// Without looks nothing is settled before the last launch. Levels of the fail side are those of
/// the time checks alone beside the others at their Bonferroni share, so that a run that stops early
/// is never judged more mildly than one that went on.
pub(in crate::gate) fn times_settled(comparison: &Comparison, policy: &Policy) -> bool {
    if policy.effort.looks.is_empty() {
        return false;
    }
    let family = statistical(comparison, policy);
    let share = policy.confidence.false_fail / family.len().max(1) as f64;
    let is_time = |check: &&Check| {
        policy.is_statistical(check) && matches!(rule(&check.metric), Some(Rule::Launches(_)))
    };
    let levels = Levels {
        pass: policy.confidence.false_pass,
        fail: share,
    };
    let mut times = policy.checks.iter().filter(is_time).peekable();
    times.peek().is_some()
        && times.all(|check| {
            let found = family.iter().find(|it| it.metric == check.metric);
            found
                .and_then(|it| it.sampled.as_ref())
                .is_some_and(|it| it.sample.outcome(&it.rules, levels) != Outcome::Inconclusive)
        })
}
