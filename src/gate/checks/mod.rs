//! Decides every check of a policy.

mod collapse;
mod limit;
mod memory;
mod sampled;
mod scenes;
mod times;

use super::comparison::Comparison;
use super::pace::Pace;
use super::policy::{Check, Policy};
use super::rule::{Rule, rule};
use super::sample::{Levels, Shown, holm_levels};
use super::sizing::{self, Units};
use super::verdict::{CheckResult, Outcome, Scale};
use super::words;
use crate::metric::{self, Better};
use crate::stats::Estimate;
pub(crate) use sampled::{Sampled, Statistical, statistical};
pub(in crate::gate) use times::times_settled;

/// One check under judgement.
#[derive(Clone, Copy)]
struct Case<'a> {
    comparison: &'a Comparison,
    policy: &'a Policy,
    check: &'a Check,
    levels: Levels,
}

/// Judges every check, in the order of the policy.
///
/// All required statistical checks share the false-fail rate by Holm's step-down: whether any
/// fails is decided as by Bonferroni, and more of those that fail are named.
pub(crate) fn judge_checks(comparison: &Comparison, policy: &Policy) -> Vec<CheckResult> {
    let family = statistical(comparison, policy);
    let p: Vec<f64> = family.iter().map(Statistical::p_worse).collect();
    let levels = holm_levels(&p, policy.confidence.false_fail);
    let share = policy.confidence.false_fail / family.len().max(1) as f64;
    let judge = |check: &Check| {
        let place = family.iter().position(|it| it.metric == check.metric);
        let fail = place.map_or(share, |place| levels[place]);
        let pass = policy.confidence.false_pass;
        let case = Case {
            comparison,
            policy,
            check,
            levels: Levels { pass, fail },
        };
        case.judge()
    };
    policy.checks.iter().map(judge).collect()
}

impl Case<'_> {
    fn judge(&self) -> CheckResult {
        let result = blank(self.check);
        let Some(rule) = rule(&self.check.metric) else {
            let reason = format!("{} is not a metric", self.check.metric);
            return result.settle(Outcome::Invalid, reason);
        };
        if let Some(role) = self.failed_role() {
            return CheckResult {
                reason: Some(format!("the {role} failed")),
                ..result
            };
        }
        let result = match rule {
            Rule::SceneMean | Rule::SceneRate => self.scene_mean(result),
            Rule::Tripwire => self.tripwire(result),
            Rule::Collapse => self.collapse(result),
            Rule::SceneUnboundedShown => self.scene_unbounded(result),
            Rule::SceneRatio => self.scene_ratio(result),
            // It knows its own limit.
            Rule::ValidRate => return self.valid_rate(result),
            Rule::Launches(cost) => self.launches(result, cost),
            Rule::NaturalShown(time) => self.natural(result, time),
            Rule::DistanceShown(distance) => self.distance(result, distance),
            Rule::LoadShown => self.load(result),
            Rule::Peak => self.peak(result),
        };
        self.limited(result)
    }

    fn failed_role(&self) -> Option<&'static str> {
        if self.comparison.baseline().failure.is_some() {
            Some("baseline")
        } else if self.comparison.candidate().failure.is_some() {
            Some("candidate")
        } else {
            None
        }
    }

    /// Enters what a sample shows and settles the check by it.
    ///
    /// * `change`: from the scale of losses to that of the change shown
    fn decide(
        &self,
        mut result: CheckResult,
        sampled: &Sampled,
        units: Units,
        change: impl Fn(Estimate) -> Estimate,
    ) -> CheckResult {
        let Sampled { sample, rules, .. } = sampled;
        let shown = match sample.shown(rules, self.levels) {
            Ok(shown) => shown,
            Err(error) => {
                let reason = format!("{} has no bounds: {error}", self.check.metric);
                let more = match units {
                    Units::Scenes => "more scenes would settle it",
                    Units::Launches => "more launches would settle it",
                };
                return result.undecided(reason, more);
            }
        };
        let Shown {
            outcome,
            loss,
            fail_bound,
        } = shown;
        let point = |value: f64| {
            change(Estimate {
                point: value,
                low: value,
                high: value,
                ..loss
            })
            .point
        };
        let seen = change(loss);
        result.change = Some(seen.point);
        result.estimate = Some(seen);
        result.fail_bound = Some(point(fail_bound));
        result.p_worse = Some(sample.p_worse(rules));
        result.fail_level = Some(self.levels.fail);
        result.certified = sample.certified(rules, self.levels.pass).map(point);
        let Some(allowed) = result.allowed else {
            return result;
        };
        let is_loss = sample.p_worse(rules) <= self.levels.fail;
        match outcome {
            Outcome::Pass => {
                let note = is_loss.then(|| words::small_loss(&result, &seen));
                result.settle(Outcome::Pass, note)
            }
            Outcome::Fail => {
                let reason = words::shown_loss(&result, &seen, allowed);
                result.settle(Outcome::Fail, reason)
            }
            _ => {
                let reason = words::undecided(&result, &seen, allowed);
                let pace = Pace::of(self.comparison);
                let needed = sizing::needed(sample, rules, self.levels, units, pace);
                result.undecided(reason, needed)
            }
        }
    }
}

/// +1 when an increase of `metric` is a loss, −1 when a decrease is.
pub(crate) fn harm_sign(metric: &str) -> f64 {
    match metric::find(metric).map(|row| row.better) {
        Some(Better::Higher) => -1.0,
        Some(Better::Lower | Better::Neither) | None => 1.0,
    }
}

/// A loss as a change of the metric.
pub(crate) fn oriented(loss: Estimate, sign: f64) -> Estimate {
    if sign < 0.0 { loss.negated() } else { loss }
}

/// A result with nothing known yet.
fn blank(check: &Check) -> CheckResult {
    let row = metric::find(&check.metric);
    CheckResult {
        metric: check.metric.clone(),
        lane: check.lane,
        required: check.required,
        outcome: None,
        unit: row.map_or("", |row| row.unit),
        baseline: None,
        candidate: None,
        scale: Scale::Ratio,
        change: None,
        estimate: None,
        fail_bound: None,
        p_worse: None,
        fail_level: None,
        certified: None,
        allowed: None,
        at_least: None,
        at_most: None,
        n: 0,
        n_unit: "scenes",
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

    /// Leaves a check undecided, with what would settle it.
    fn undecided(self, reason: impl Into<String>, needed: impl Into<String>) -> Self {
        let mut settled = self.settle(Outcome::Inconclusive, reason.into());
        settled.needed = settled.required.then(|| needed.into());
        settled
    }
}

/// What a sample is not decided on, with what would change that.
struct TooFew {
    reason: String,
    more: String,
}
