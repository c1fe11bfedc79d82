//! Absolute limits on the candidate alone: a rule beside the margin, without statistics.

use super::super::policy::Limit;
use super::super::rule::{Rule, rule};
use super::super::verdict::{CheckResult, Outcome};
use super::super::words;
use super::Case;

impl Case<'_> {
    /// Holds the candidate's own value against the limit of the check.
    ///
    /// A limit broken fails whatever the change. A check that has no margin passes by its limit
    /// alone, but not where there was too little to decide anything.
    pub(super) fn limited(&self, mut result: CheckResult) -> CheckResult {
        let Some(limit) = self.check.limit else {
            return result;
        };
        match limit {
            Limit::AtLeast(value) => result.at_least = Some(value),
            Limit::AtMost(value) => result.at_most = Some(value),
        }
        if result.outcome == Some(Outcome::Invalid) {
            return result;
        }
        let id = &self.check.metric;
        let Some(value) = self.limited_value(&result) else {
            let reason = format!("{id} has no value to hold against its limit");
            return result.settle(Outcome::Invalid, reason);
        };
        let (is_broken, demand) = match limit {
            Limit::AtLeast(least) => (value < least, ("at least", least)),
            Limit::AtMost(most) => (value > most, ("at most", most)),
        };
        if is_broken {
            let shown = |value| words::value(value, result.unit);
            let reason = format!(
                "{id} of the candidate is {}; {} {} is demanded",
                shown(value),
                demand.0,
                shown(demand.1)
            );
            let before = result.reason.take();
            let fails_already = result.outcome == Some(Outcome::Fail);
            let before = before.filter(|_| fails_already);
            let reason = before.map_or(reason.clone(), |before| format!("{before}; {reason}"));
            return result.settle(Outcome::Fail, reason);
        }
        if self.check.margin.is_some() || result.outcome == Some(Outcome::Inconclusive) {
            return result;
        }
        let is_by_scene = matches!(
            rule(id),
            Some(
                Rule::SceneMean
                    | Rule::SceneRate
                    | Rule::Tripwire
                    | Rule::SceneUnboundedShown
                    | Rule::SceneRatio
            )
        );
        if is_by_scene && let Some(few) = self.too_few(result.n) {
            return result.undecided(few.reason, few.more);
        }
        result.settle(Outcome::Pass, None)
    }

    /// The value a limit is held against: the highest peak of all runs, else the candidate's mean
    /// or median.
    fn limited_value(&self, result: &CheckResult) -> Option<f64> {
        if rule(&self.check.metric) != Some(Rule::Peak) {
            return result.candidate;
        }
        let runs = &self.comparison.candidate().memory;
        let peaks = runs.iter().map(crate::metric::cost::peak_bytes);
        peaks.max().map(|peak| peak as f64)
    }
}
