//! Decides one check.

mod collapse;
mod memory;
mod scenes;
mod times;

use super::comparison::Comparison;
use super::policy::{Check, Policy};
use super::rule::{Rule, rule};
use super::sizing::{Levels, Units, needed};
use super::verdict::{CheckResult, Outcome, Scale};
use super::words;
use crate::metric::{self, Better};
use crate::stats::Estimate;

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
        Rule::SceneMean => case.scene_mean(result),
        Rule::Tripwire => case.tripwire(result),
        Rule::Collapse => case.collapse(result),
        Rule::SceneUnboundedShown => case.scene_unbounded(result),
        Rule::SceneRatio => case.scene_ratio(result),
        Rule::ValidRate => case.valid_rate(result),
        Rule::Launches(cost) => case.launches(result, cost),
        Rule::NaturalShown(time) => case.natural(result, time),
        Rule::DistanceShown(distance) => case.distance(result, distance),
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
        unit: row.map_or("", |row| row.unit),
        baseline: None,
        candidate: None,
        scale: Scale::Ratio,
        change: None,
        estimate: None,
        fail_bound: None,
        allowed: None,
        at_least: None,
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
            Some(Better::Lower | Better::Neither) | None => 1.0,
        }
    }

    /// The verdict rule: pass if the loss is shown below the margin, fail if it is shown to be one.
    fn decide(&self, result: CheckResult, losses: &[f64], bounds: &Bounds) -> CheckResult {
        let &Bounds {
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
