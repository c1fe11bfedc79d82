//! Numbers and bounds as words, for the sentences of a verdict and for reports.

use super::verdict::{CheckResult, Scale};
use crate::stats::Estimate;
use crate::units::Bytes;

/// A value of one role: `91.3 %`, `30.4 ms`, `812.0 MiB`, `41.2 tokens`.
pub(crate) fn value(value: f64, unit: &str) -> String {
    match unit {
        "fraction" => format!("{:.1} %", value * 100.0),
        "bytes" => bytes(value).to_string(),
        unit => format!("{} {unit}", significant(value)),
    }
}

/// Bytes from a number that was one, or the mean of some.
fn bytes(value: f64) -> Bytes {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are positive and far below 2^64; a float cast saturates"
    )]
    Bytes(value.round() as u64)
}

/// Three digits, more for numbers from a thousand up, which lose none before the point.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        m if m >= 99.95 || m == 0.0 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Decimals a change deserves: one, or more when its interval is narrow.
pub(crate) fn decimals(low: f64, high: f64) -> usize {
    match (high - low) * 100.0 {
        width if width < 0.1 => 3,
        width if width < 1.0 => 2,
        _ => 1,
    }
}

/// A change as a signed number of points or percent, without its unit.
pub(crate) fn signed(change: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", (change * 100.0).abs());
    let is_zero = text.bytes().all(|byte| byte == b'0' || byte == b'.');
    match (is_zero, change < 0.0) {
        (true, _) => text,
        (false, true) => format!("−{text}"),
        (false, false) => format!("+{text}"),
    }
}

/// The unit of a change: points of a share, or percent of the baseline.
pub(crate) fn unit_of(scale: Scale) -> &'static str {
    match scale {
        Scale::Difference => "pt",
        Scale::Ratio => "%",
    }
}

/// The unit of a change in a sentence.
fn long_unit(scale: Scale) -> &'static str {
    match scale {
        Scale::Difference => " points",
        Scale::Ratio => " %",
    }
}

/// `95 % bounds −12.0 to −4.6, 120 scenes`.
fn interval(result: &CheckResult, estimate: &Estimate) -> String {
    let decimals = decimals(estimate.low, estimate.high);
    format!(
        "{} % bounds {} to {}, {} {}",
        level(estimate.alpha),
        signed(estimate.low, decimals),
        signed(estimate.high, decimals),
        result.n,
        result.n_unit,
    )
}

/// Confidence of one bound in percent, without needless digits: `95`, `97.5`.
pub(crate) fn level(alpha: f64) -> String {
    let text = format!("{:.3}", (1.0 - alpha) * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A change without its sign, with its unit: `5.0 points`.
fn size(change: f64, scale: Scale) -> String {
    format!("{:.1}{}", (change * 100.0).abs(), long_unit(scale))
}

/// Why a check with an interval failed.
pub(crate) fn shown_loss(result: &CheckResult, estimate: &Estimate, allowed: f64) -> String {
    let (id, scale) = (&result.metric, result.scale);
    let verb = if estimate.point < 0.0 { "fell" } else { "rose" };
    let by = format!(
        "{:.*}",
        decimals(estimate.low, estimate.high),
        (estimate.point * 100.0).abs()
    );
    let tail = if estimate.point.abs() <= allowed.abs() {
        format!(
            "it is worse for certain and not shown to stay within {}",
            size(allowed, scale)
        )
    } else {
        format!("at most {} are allowed", size(allowed, scale))
    };
    format!(
        "{id} {verb} by {by}{} ({}); {tail}",
        long_unit(scale),
        interval(result, estimate)
    )
}

/// Why a check on the scenes at hand failed.
pub(crate) fn seen_loss(result: &CheckResult, change: f64) -> String {
    let verb = if change < 0.0 { "fell" } else { "rose" };
    format!(
        "{} {verb} by {} on these {} {}; at most {} are allowed",
        result.metric,
        size(change, result.scale),
        result.n,
        result.n_unit,
        size(result.allowed.unwrap_or_default(), result.scale)
    )
}

/// Why too many scenes fell apart.
pub(crate) fn collapsed(result: &CheckResult, k: u64, margin: f64) -> String {
    let estimate = result.estimate.as_ref();
    let bounds = estimate.map_or(String::new(), |e| format!(" ({})", interval(result, e)));
    format!(
        "{k} of {} scenes fell apart{bounds}; at most {:.1} % may",
        result.n,
        margin * 100.0
    )
}

/// Why one scene blocks a pass.
pub(crate) fn severe(scene: &str, metric: &str, loss: f64) -> String {
    format!(
        "scene {scene} lost {:.0} points of {metric}, and plug-in bounds do not see how often that \
         happens",
        loss * 100.0
    )
}

/// Why a check with an interval is undecided.
pub(crate) fn undecided(result: &CheckResult, estimate: &Estimate, allowed: f64) -> String {
    let decimals = decimals(estimate.low, estimate.high);
    let direction = if allowed < 0.0 { "down" } else { "up" };
    format!(
        "{}: the change lies between {} and {}{} ({} % bounds, {} {}); {direction} to {}{} is allowed",
        result.metric,
        signed(estimate.low, decimals),
        signed(estimate.high, decimals),
        long_unit(result.scale),
        level(estimate.alpha),
        result.n,
        result.n_unit,
        signed(allowed, 1),
        long_unit(result.scale),
    )
}

/// Note on a pass that hides a certain but small loss.
pub(crate) fn small_loss(result: &CheckResult, estimate: &Estimate) -> String {
    format!(
        "{} is worse for certain ({}), but within the allowance",
        result.metric,
        interval(result, estimate)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_carry_their_unit() {
        assert_eq!(value(0.913, "fraction"), "91.3 %");
        assert_eq!(value(30.44, "ms"), "30.4 ms");
        assert_eq!(value(912.4, "ms"), "912 ms");
        assert_eq!(value(0.0123, "ms"), "0.012 ms");
        assert_eq!(value(f64::from(12 << 20), "bytes"), "12.0 MiB");
    }

    #[test]
    fn signs_are_shown_and_zero_has_none() {
        assert_eq!(signed(-0.05, 1), "−5.0");
        assert_eq!(signed(0.012, 1), "+1.2");
        assert_eq!(signed(-0.0001, 1), "0.0");
        assert_eq!(signed(-0.0001, 2), "−0.01");
    }

    #[test]
    fn levels_have_no_needless_digits() {
        assert_eq!(level(0.05), "95");
        assert_eq!(level(0.025), "97.5");
    }
}
