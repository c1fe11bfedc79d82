//! Decides one check.

use super::comparison::{Comparison, Paired};
use super::policy::{Check, MIN_LAUNCHES, Margin, Policy};
use super::rule::{NaturalTime, Rule, VALID_AT_LEAST, rule};
use super::sizing::{Levels, Units, more, needed};
use super::verdict::{CheckResult, Outcome, Scale};
use super::words;
use crate::metric::cost::{self, ForcedCost};
use crate::metric::{self, Better};
use crate::record::{OutputObservation, RunRecord};
use crate::stats::bounded::mean_loss;
use crate::stats::mean::{MeanError, t_estimate};
use crate::stats::quantile::type7;
use crate::stats::rank::{hodges_lehmann, median};
use crate::stats::{Estimate, PairedSample};
use crate::units::Bytes;

/// Memory runs of one role on which peaks are decided.
const MIN_MEMORY_RUNS: usize = 3;
/// Spread of the peaks of one role above which memory is not decided: share of the median.
const PEAK_SPREAD_SHARE: f64 = 0.005;
/// The same in bytes; the larger of the two counts.
const PEAK_SPREAD_BYTES: f64 = 1_048_576.0;

/// One check under judgement.
struct Case<'a> {
    comparison: &'a Comparison,
    policy: &'a Policy,
    check: &'a Check,
    levels: Levels,
}

/// Judges `check` on `comparison`.
pub(crate) fn judge_check(comparison: &Comparison, policy: &Policy, check: &Check) -> CheckResult {
    let confidence = policy.confidence;
    let shares = policy.n_statistical().max(1) as f64;
    let levels = Levels {
        pass: confidence.false_pass,
        fail: confidence.false_fail / shares,
    };
    let case = Case {
        comparison,
        policy,
        check,
        levels,
    };
    let result = blank(check);
    let Some(rule) = rule(&check.metric) else {
        return result.settle(
            Outcome::Invalid,
            format!("{} is not a metric", check.metric),
        );
    };
    if let Some(role) = case.failed_role() {
        return CheckResult {
            reason: Some(format!("the {role} failed")),
            ..result
        };
    }
    match rule {
        Rule::SceneMean | Rule::SceneMeanShown => case.scene_mean(result),
        Rule::SceneRatioShown => case.scene_ratio(result),
        Rule::ValidRate => case.valid_rate(result),
        Rule::Launches(cost) => case.launches(result, cost),
        Rule::NaturalShown(time) => case.natural(result, time),
        Rule::LoadShown => case.load(result),
        Rule::Peak => case.peak(result),
    }
}

/// A result with nothing known yet.
fn blank(check: &Check) -> CheckResult {
    let row = metric::find(&check.metric);
    CheckResult {
        metric: check.metric.clone(),
        lane: check.lane,
        required: check.required,
        outcome: None,
        unit: row.map_or("", |row| row.unit).to_owned(),
        baseline: None,
        candidate: None,
        scale: Scale::Ratio,
        change: None,
        estimate: None,
        fail_bound: None,
        allowed: None,
        at_least: None,
        n: 0,
        n_unit: "scenes".to_owned(),
        n_absent: 0,
        reason: None,
        needed: None,
    }
}

impl CheckResult {
    /// Sets outcome and reason; a watched check keeps the reason only.
    fn settle(mut self, outcome: Outcome, reason: impl Into<Option<String>>) -> Self {
        self.outcome = self.required.then_some(outcome);
        self.reason = reason.into();
        self
    }

    /// Adds what would settle an undecided, deciding check.
    fn needing(mut self, needed: impl Into<Option<String>>) -> Self {
        self.needed = needed.into().filter(|_| self.required);
        self
    }
}

impl Case<'_> {
    fn failed_role(&self) -> Option<&'static str> {
        if self.comparison.baseline().failure.is_some() {
            Some("baseline")
        } else if self.comparison.candidate().failure.is_some() {
            Some("candidate")
        } else {
            None
        }
    }

    /// +1 when an increase is a loss, −1 when a decrease is.
    fn harm_sign(&self) -> f64 {
        match metric::find(&self.check.metric).map(|row| row.better) {
            Some(Better::Higher) => -1.0,
            Some(Better::Lower) | None => 1.0,
        }
    }

    fn scene_mean(&self, mut result: CheckResult) -> CheckResult {
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
            Bounds {
                loss,
                strict,
                margin,
                units: Units::Scenes,
            },
        )
    }

    /// The verdict rule: pass if the loss is shown below the margin, fail if it is shown to be one.
    fn decide(&self, result: CheckResult, losses: &[f64], bounds: Bounds) -> CheckResult {
        let Bounds {
            loss,
            strict,
            margin,
            units,
        } = bounds;
        let (Some(change), Some(allowed)) = (result.estimate, result.allowed) else {
            return result;
        };
        let is_loss = strict.low > 0.0;
        if loss.high < margin {
            let note = is_loss.then(|| words::small_loss(&result, &change));
            return result.settle(Outcome::Pass, note);
        }
        if is_loss {
            let reason = words::shown_loss(&result, &change, allowed);
            return result.settle(Outcome::Fail, reason);
        }
        let reason = words::undecided(&result, &change, allowed);
        let needed = needed(losses, margin, self.levels, units);
        result.settle(Outcome::Inconclusive, reason).needing(needed)
    }

    fn scene_ratio(&self, mut result: CheckResult) -> CheckResult {
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
            Err(MeanError::NoSpread { .. }) => {
                result.change = ratios.first().map(|ratio| ratio.exp_m1());
                result.reason = Some("every scene has the same ratio".to_owned());
            }
            Err(MeanError::TooFewPairs { .. }) => {
                result.reason = Some("too few scenes".to_owned());
            }
        }
        result
    }

    fn valid_rate(&self, mut result: CheckResult) -> CheckResult {
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

    fn launches(&self, mut result: CheckResult, cost: ForcedCost) -> CheckResult {
        let (base, cand) = (self.comparison.baseline(), self.comparison.candidate());
        let id = &self.check.metric;
        result.n_unit = "launches".to_owned();
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
        self.decide(result, &centres, bounds)
    }

    /// Times of one process per role: its placement in memory is one draw, so there is no interval.
    fn natural(&self, mut result: CheckResult, time: NaturalTime) -> CheckResult {
        let of = |output: &OutputObservation| match time {
            NaturalTime::Ttft => Some(cost::ttft_ms(output)),
            NaturalTime::Tpot => cost::tpot_ms(output),
            NaturalTime::EndToEnd => Some(cost::e2e_ms(output)),
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

    fn load(&self, mut result: CheckResult) -> CheckResult {
        let of = |record: &RunRecord| {
            let mut times: Vec<f64> = record.memory.iter().map(cost::load_ms).collect();
            median(&mut times).ok().filter(|time| *time > 0.0)
        };
        result.n_unit = "runs".to_owned();
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

    fn peak(&self, mut result: CheckResult) -> CheckResult {
        let id = &self.check.metric;
        result.n_unit = "runs".to_owned();
        let base = Peaks::of(self.comparison.baseline());
        let cand = Peaks::of(self.comparison.candidate());
        let (Some(base), Some(cand)) = (base, cand) else {
            return result.settle(Outcome::Invalid, format!("{id} was not measured, or is 0"));
        };
        result.n = base.n.min(cand.n);
        (result.baseline, result.candidate) = (Some(base.median), Some(cand.median));
        result.change = Some(cand.median / base.median - 1.0);
        let Some(Margin::Memory {
            relative,
            floor_bytes,
        }) = self.check.margin
        else {
            return result;
        };
        let limit = |peak: f64| limit(peak, relative, floor_bytes);
        result.allowed = Some(limit(base.median) / base.median - 1.0);
        if result.n < MIN_MEMORY_RUNS {
            let reason = format!(
                "{id} was measured in {} runs, fewer than the {MIN_MEMORY_RUNS} it takes to decide",
                result.n
            );
            return result.settle(Outcome::Inconclusive, reason);
        }
        if let Some(role) = [("baseline", &base), ("candidate", &cand)]
            .iter()
            .find(|it| it.1.varies())
        {
            let reason = format!(
                "{id} of the {} varies from {} to {} between runs, too much to decide",
                role.0,
                words::value(role.1.low, "bytes"),
                words::value(role.1.high, "bytes")
            );
            return result.settle(Outcome::Inconclusive, reason);
        }
        let allowed = words::value(limit(base.median), "bytes");
        let shown = |peak| words::value(peak, "bytes");
        if cand.high <= limit(base.low) {
            return result.settle(Outcome::Pass, None);
        }
        if cand.low > limit(base.high) {
            let reason = format!(
                "{id} rose from {} to {} ({} runs); at most {allowed} are allowed",
                shown(base.median),
                shown(cand.median),
                result.n
            );
            return result.settle(Outcome::Fail, reason);
        }
        let reason = format!(
            "{id}: {} to {} in {} runs, and {allowed} are allowed: the runs straddle the limit",
            shown(cand.low),
            shown(cand.high),
            result.n
        );
        result.settle(Outcome::Inconclusive, reason)
    }
}

/// Both one-sided views of a loss, and the line it is held against, on one scale.
struct Bounds {
    /// At the false-pass rate.
    loss: Estimate,
    /// At the check's share of the false-fail rate.
    strict: Estimate,
    margin: f64,
    units: Units,
}

impl CheckResult {
    /// Enters a change with its bounds.
    fn show(&mut self, change: Estimate, fail_bound: f64) {
        self.change = Some(change.point);
        self.estimate = Some(change);
        self.fail_bound = Some(fail_bound);
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

/// Median time per token over all segments, for display.
fn segment_median(cost: ForcedCost, record: &RunRecord) -> Option<f64> {
    let times: Vec<f64> = cost
        .segments(record)
        .flatten()
        .filter_map(|segment| cost.ms_per_token(segment))
        .collect();
    type7(&times, 0.5).ok()
}

/// Largest accepted peak for a baseline's.
fn limit(peak: f64, relative: f64, floor: Bytes) -> f64 {
    (peak * (1.0 + relative)).max(peak + floor.0 as f64)
}

/// Peaks of one role's memory runs, in bytes.
struct Peaks {
    low: f64,
    median: f64,
    high: f64,
    n: usize,
}

impl Peaks {
    /// `None` without runs, or when a peak is 0: nothing was measured then.
    fn of(record: &RunRecord) -> Option<Self> {
        let mut peaks: Vec<f64> = record
            .memory
            .iter()
            .map(|run| cost::peak_bytes(run) as f64)
            .collect();
        let median = median(&mut peaks).ok()?;
        let (low, high) = (peaks[0], peaks[peaks.len() - 1]);
        (low > 0.0).then_some(Self {
            low,
            median,
            high,
            n: peaks.len(),
        })
    }

    fn varies(&self) -> bool {
        self.high - self.low > (PEAK_SPREAD_SHARE * self.median).max(PEAK_SPREAD_BYTES)
    }
}
