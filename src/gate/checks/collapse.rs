//! The check on scenes that fell apart: means hide a few of them, readers do not.

use super::super::comparison::Paired;
use super::super::policy::Margin;
use super::super::rule::{COLLAPSE_DROP, COLLAPSE_NORMAL};
use super::super::sizing::{MOST_SCENES, Units, more};
use super::super::verdict::{CheckResult, Outcome, Scale};
use super::super::words;
use super::Case;
use crate::stats::proportion::{lower_bound, upper_bound};
use crate::stats::{self, Estimate, Method};

/// The score whose fall counts.
const SCORE: &str = "fact_score";

impl Case<'_> {
    /// Passes when the share of collapsed scenes is shown to stay within the margin, and fails
    /// when it is shown to lie above what is normal.
    pub(super) fn collapse(&self, mut result: CheckResult) -> CheckResult {
        let Paired { sample, n_absent } = match self.comparison.paired(SCORE) {
            Ok(paired) => paired,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        result.scale = Scale::Difference;
        result.n = sample.n();
        result.n_absent = n_absent;
        let differences = sample.differences();
        let fell = differences.iter().filter(|d| **d <= -COLLAPSE_DROP);
        let (k, n) = (fell.count() as u64, sample.n() as u64);
        let Ok((estimate, strict)) = estimate(k, n, self.levels.pass, self.levels.fail) else {
            let reason = format!("{SCORE} has no value in both roles on any scene");
            return result.settle(Outcome::Invalid, reason);
        };
        result.candidate = Some(estimate.point);
        result.show(estimate, strict);
        let Some(Margin::Absolute(margin)) = self.check.margin else {
            return result;
        };
        result.allowed = Some(margin);
        if let Some((reason, more)) = self.too_few(sample.n()) {
            return result.settle(Outcome::Inconclusive, reason).needing(more);
        }
        if estimate.high <= margin {
            return result.settle(Outcome::Pass, None);
        }
        if strict > COLLAPSE_NORMAL {
            let reason = words::collapsed(&result, k, margin);
            return result.settle(Outcome::Fail, reason);
        }
        let reason = words::undecided(&result, &estimate, margin);
        let needed = needed(k, n, margin, self.levels.pass);
        result.settle(Outcome::Inconclusive, reason).needing(needed)
    }
}

/// The share with its bounds, and its lower bound at the strict level.
///
/// Source: Clopper & Pearson (1934), *Biometrika* 26(4), 404–413.
fn estimate(k: u64, n: u64, alpha: f64, strict: f64) -> Result<(Estimate, f64), stats::Error> {
    let estimate = Estimate {
        point: k as f64 / n as f64,
        low: lower_bound(k, n, alpha)?,
        high: upper_bound(k, n, alpha)?,
        alpha,
        n: usize::try_from(n).expect("a number of scenes"),
        method: Method::ClopperPearson,
    };
    Ok((estimate, lower_bound(k, n, strict)?))
}

/// How many more scenes of the same share would show it to stay within the margin.
fn needed(k: u64, n: u64, margin: f64, alpha: f64) -> String {
    let share = k as f64 / n as f64;
    let most = MOST_SCENES as u64;
    let shows = |total: &u64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of scenes"
        )]
        let k = (share * *total as f64).ceil() as u64;
        upper_bound(k, *total, alpha).is_ok_and(|high| high <= margin)
    };
    match (n + 1..=most).find(shows) {
        Some(total) => more(
            usize::try_from(total - n).expect("a number of scenes"),
            Units::Scenes,
        ),
        None => "the share of collapsed scenes is too near the margin for any affordable sample"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_clopper_and_pearson() {
        let (estimate, strict) = estimate(0, 60, 0.05, 0.002).unwrap();
        assert!((estimate.high - (1.0 - 0.05f64.powf(1.0 / 60.0))).abs() < 1e-12);
        assert_eq!((estimate.point, estimate.low, strict), (0.0, 0.0, 0.0));
    }

    #[test]
    fn what_is_missing_to_a_pass_is_counted_in_scenes() {
        // None of 50: 59 scenes show a share below 5 %, as 0.95^59 < 0.05.
        assert_eq!(
            needed(0, 50, 0.05, 0.05),
            "about 9 more scenes would settle it"
        );
        assert!(needed(10, 50, 0.05, 0.05).contains("too near"));
    }
}
