//! Signs that the timed pairs were no fair comparison: they decide nothing, and then nothing is
//! decided by the times.
//!
//! Both signs are taken from the measurements themselves. They can take a pass or a fail back to
//! inconclusive and never make one.

use super::comparison::Comparison;
use super::pace;
use super::policy::Policy;
use super::rule::{Rule, rule};
use super::verdict::{CheckResult, Outcome};
use crate::metric::cost::{self, ForcedCost};
use crate::record::{RunRecord, Segment};
use crate::stats::Error;
use crate::stats::mean::{moments, t_estimate};
use crate::stats::rank::hodges_lehmann;

/// Launches of each half below which halves are not compared: Welch's t of three against three
/// exceeds the line by chance.
const HALF: usize = 5;
/// Welch's t of the halves beyond which the machine drifted.
const DRIFT: f64 = 3.0;
/// One-sided level of the interval of the order effect: 95 % two-sided.
const ORDER_LEVEL: f64 = 0.025;
/// Order effect that is still accepted, as a ratio.
const ORDER_EFFECT: f64 = 0.02;

/// Takes decisions on times back where the pairs were no fair comparison.
pub(crate) fn downgrade(comparison: &Comparison, checks: &mut [CheckResult]) {
    for result in checks {
        let Some(Rule::Launches(cost)) = rule(&result.metric) else {
            continue;
        };
        let is_decided = matches!(result.outcome, Some(Outcome::Pass | Outcome::Fail));
        if is_decided && let Some(reason) = sign(comparison, cost) {
            result.outcome = Some(Outcome::Inconclusive);
            result.reason = Some(format!("{}: {reason}", result.metric));
            result.needed = Some(pace::again(comparison, "on a quieter machine"));
        }
    }
}

/// Whether any required time shows a sign that the pairs were no fair comparison.
pub(crate) fn has_signs(comparison: &Comparison, policy: &Policy) -> bool {
    let mut required = policy.checks.iter().filter(|check| check.required);
    required.any(|check| {
        matches!(rule(&check.metric), Some(Rule::Launches(cost)) if sign(comparison, cost).is_some())
    })
}

/// Why times under `cost` are not to be trusted, if they are not.
fn sign(comparison: &Comparison, cost: ForcedCost) -> Option<String> {
    let (base, cand) = (comparison.baseline(), comparison.candidate());
    let ratios = cost::log_ratios(cost, base, cand).ok()?;
    let centres: Vec<f64> = ratios
        .iter()
        .filter_map(|pairs| hodges_lehmann(pairs).ok())
        .collect();
    let (first, second) = centres.split_at(centres.len() / 2);
    if let Some(t) = welch(first, second).filter(|t| t.abs() > DRIFT) {
        return Some(format!(
            "the machine drifted: the first and the second half of the launches differ (t = {t:.1})"
        ));
    }
    let effects = order_effects(base, cand, cost)?;
    let (point, low, high) = match t_estimate(&effects, ORDER_LEVEL) {
        Ok(effect) => (effect.point, effect.low, effect.high),
        // The same in every launch: that is the effect.
        Err(Error::NoSpread { .. }) => (effects[0], effects[0], effects[0]),
        Err(_) => return None,
    };
    let line = ORDER_EFFECT.ln_1p();
    (low > line || high < -line).then(|| {
        format!(
            "whoever goes second takes {:+.1} % longer, more than coin flips make up for",
            point.exp_m1() * 100.0
        )
    })
}

/// Welch's t statistic of two halves; `None` below [`HALF`] values or without a spread.
///
/// Source: Welch (1947), *Biometrika* 34(1–2), 28–35.
fn welch(first: &[f64], second: &[f64]) -> Option<f64> {
    if first.len() < HALF || second.len() < HALF {
        return None;
    }
    let (a, b) = (moments(first).ok()?, moments(second).ok()?);
    Some((b.mean - a.mean) / a.standard_error().hypot(b.standard_error()))
}

/// Mean log ratio of the second to the first turn, launch by launch.
fn order_effects(base: &RunRecord, cand: &RunRecord, cost: ForcedCost) -> Option<Vec<f64>> {
    let launches = cost.segments(base).zip(cost.segments(cand));
    let of = |(base, cand): (&[Segment], &[Segment])| {
        let pairs = base.iter().zip(cand);
        let effects: Option<Vec<f64>> = pairs
            .map(|(base, cand)| {
                let ratio = cost.ms_per_token(cand)?.ln() - cost.ms_per_token(base)?.ln();
                Some(if base.went_first { ratio } else { -ratio })
            })
            .collect();
        hodges_lehmann(&effects?).ok()
    };
    launches.map(of).collect()
}
