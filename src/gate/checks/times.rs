//! Checks on times: the launch is the unit of inference, and pairs are never pooled across launches.

use super::super::policy::{MIN_LAUNCHES, Margin};
use super::super::rule::NaturalTime;
use super::super::sizing::{Units, more};
use super::super::verdict::{CheckResult, Outcome};
use super::{Bounds, Case};
use crate::metric::cost::{self, ForcedCost};
use crate::record::{OutputObservation, RunRecord};
use crate::stats::mean::t_estimate;
use crate::stats::quantile::type7;
use crate::stats::rank::{hodges_lehmann, median};

impl Case<'_> {
    pub(super) fn launches(&self, mut result: CheckResult, cost: ForcedCost) -> CheckResult {
        let (base, cand) = (self.comparison.baseline(), self.comparison.candidate());
        let id = &self.check.metric;
        result.n_unit = "launches";
        result.baseline = segment_median(cost, base);
        result.candidate = segment_median(cost, cand);
        if base.model.tokenizer_sha256 != cand.model.tokenizer_sha256 {
            let reason = format!(
                "{id} cannot be compared: the tokenizers differ, so the roles cannot be fed the \
                 same tokens"
            );
            return result.settle(Outcome::Invalid, reason);
        }
        let ratios = match cost::log_ratios(cost, base, cand) {
            Ok(ratios) if ratios.is_empty() => {
                return result.settle(
                    Outcome::Invalid,
                    format!("{id} was not measured: no launches"),
                );
            }
            Ok(ratios) => ratios,
            Err(problem) => return result.settle(Outcome::Invalid, format!("{id}: {problem}")),
        };
        let Ok(centres) = ratios
            .iter()
            .map(|pairs| hodges_lehmann(pairs))
            .collect::<Result<Vec<_>, _>>()
        else {
            return result.settle(Outcome::Invalid, format!("{id}: a launch has no pairs"));
        };
        result.n = centres.len();
        result.change = Some((centres.iter().sum::<f64>() / centres.len() as f64).exp_m1());
        if let Some(Margin::Relative(margin)) = self.check.margin {
            result.allowed = Some(margin);
        }
        if centres.len() < MIN_LAUNCHES {
            let reason = format!(
                "{id} has {} launches, fewer than the {MIN_LAUNCHES} it takes to decide",
                centres.len()
            );
            let more = more(MIN_LAUNCHES - centres.len(), Units::Launches);
            return result.settle(Outcome::Inconclusive, reason).needing(more);
        }
        let at = |alpha| t_estimate(&centres, alpha);
        let (Ok(loss), Ok(strict)) = (at(self.levels.pass), at(self.levels.fail)) else {
            let reason = format!(
                "{id} has no interval: all launches agree to the last digit, so the clock is too \
                 coarse or the times are not real"
            );
            return result.settle(Outcome::Inconclusive, reason);
        };
        result.show(loss.map(f64::exp_m1), strict.low.exp_m1());
        let Some(Margin::Relative(margin)) = self.check.margin else {
            return result;
        };
        let bounds = Bounds {
            loss,
            strict,
            margin: margin.ln_1p(),
            units: Units::Launches,
        };
        self.decide(result, &centres, &bounds)
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
