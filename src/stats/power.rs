//! What a sample can show: power, detectable loss, certifiable margin, units needed.
//!
//! All of it for the mean of normal units with Student's t bounds, where the noncentral t
//! distribution is exact. With an estimated standard deviation plugged in, the answers are orders of
//! magnitude, not promises.

use super::distribution::{noncentral_t_cdf, t_upper};
use super::error::{Error, check_count, check_level};

/// Chance of success that [`units_needed`] plans for.
pub const POWER: f64 = 0.8;

/// Chance that a one-sided t bound at level `alpha` clears a line `effect` standard deviations away.
///
/// * `effect`: distance of the true mean from the line in standard deviations of one unit, finite;
///   negative when the truth lies on the wrong side
/// * `n`: units, at least 2
/// * `alpha`: one-sided level in (0, 0.5]
///
/// `1 − F(t_{n−1, 1−alpha}; n − 1, effect·√n)` with F the noncentral t distribution. At
/// `effect = 0` it is `alpha`.
///
/// # Errors
/// [`Error::TooFew`], [`Error::Level`]; [`Error::Setting`] for an effect that is not finite.
///
/// Source: Cohen (1988), *Statistical Power Analysis*, 2nd ed., chapter 2; Johnson, Kotz &
/// Balakrishnan (1995), chapter 31.
pub fn power(effect: f64, n: usize, alpha: f64) -> Result<f64, Error> {
    check_count(n, 2)?;
    check_level(alpha)?;
    check_effect(effect)?;
    Ok(power_of(effect, n as f64, alpha))
}

/// As [`power`], for a number of units that need not be whole.
fn power_of(effect: f64, n: f64, alpha: f64) -> f64 {
    let freedom = n - 1.0;
    // The upper tail at t is the lower tail at −t with the shift negated: no cancellation.
    noncentral_t_cdf(-t_upper(alpha, freedom), freedom, -effect * n.sqrt())
}

/// Smallest effect, in standard deviations of one unit, that `n` units show with chance `power`.
///
/// * `n`: units, at least 2
/// * `alpha`: one-sided level in (0, 0.5]
/// * `chance`: in (`alpha`, 1), e.g. 0.95
///
/// With the fail level this is the detectable loss; with the pass level and an equal model, the
/// certifiable margin. Multiply by the standard deviation for the metric's unit.
///
/// # Errors
/// [`Error::TooFew`], [`Error::Level`]; [`Error::Setting`] when `chance` is not above `alpha` and
/// below 1.
pub fn detectable_effect(n: usize, alpha: f64, chance: f64) -> Result<f64, Error> {
    check_count(n, 2)?;
    check_chance(alpha, chance)?;
    let reaches = |effect: f64| power_of(effect, n as f64, alpha) >= chance;
    let mut high = 1.0;
    while !reaches(high) {
        high *= 2.0;
        // Two units at a tiny level: nothing finite is detectable in double precision.
        if high > 1e9 {
            return Err(Error::Unstable);
        }
    }
    Ok(bisect(0.0, high, reaches))
}

/// Units, not rounded, with which `effect` is shown with chance `chance`.
///
/// * `effect`: > 0, in standard deviations of one unit
///
/// # Errors
/// [`Error::Level`]; [`Error::Setting`] for an effect that is not positive, a `chance` not above
/// `alpha` and below 1, or more than 10^9 units.
pub fn units_for_power(effect: f64, alpha: f64, chance: f64) -> Result<f64, Error> {
    check_chance(alpha, chance)?;
    check_effect(effect)?;
    let refused = Error::Setting {
        name: "effect",
        value: effect,
        demand: "large enough for a billion units",
    };
    if effect <= 0.0 {
        return Err(refused);
    }
    let reaches = |n: f64| power_of(effect, n, alpha) >= chance;
    let mut high = 2.0;
    while !reaches(high) {
        high *= 2.0;
        if high > 1e9 {
            return Err(refused);
        }
    }
    let low = if high > 2.0 { high / 2.0 } else { 1.0 + 1e-3 };
    Ok(bisect(low, high, reaches))
}

/// Smallest number of units with which a t bound at level `alpha` clears a gap, with chance
/// [`POWER`].
///
/// * `gap`: distance between the estimate and the line it must clear, in the sample's unit
/// * `sd`: standard deviation of one unit, > 0
/// * `alpha`: one-sided level of the bound, in (0, 0.5]
/// * `most`: numbers above it are not worth naming
///
/// It takes the estimate for the truth, so the answer is an order of magnitude, not a promise.
///
/// Gives `None` when `gap` is not positive, a number is not usable, or more than `most` units would
/// be needed.
pub fn units_needed(gap: f64, sd: f64, alpha: f64, most: usize) -> Option<usize> {
    let least = 3;
    let effect = gap / sd;
    let usable = effect.is_finite() && effect > 0.0 && check_level(alpha).is_ok();
    let clears = |n: usize| power_of(effect, n as f64, alpha) >= POWER;
    if !usable || most < least || !clears(most) {
        return None;
    }
    // More units always help, so the answer is where `clears` turns true.
    let (mut fails, mut holds) = (least - 1, most);
    while holds - fails > 1 {
        let middle = usize::midpoint(fails, holds);
        if clears(middle) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    Some(holds)
}

/// First point of [`low`, `high`] where `reached` turns true, to nine digits.
fn bisect(mut low: f64, mut high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    while high - low > 1e-10 * high {
        let middle = f64::midpoint(low, high);
        if reached(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

fn check_effect(effect: f64) -> Result<(), Error> {
    if effect.is_finite() {
        return Ok(());
    }
    Err(Error::Setting {
        name: "effect",
        value: effect,
        demand: "a finite number",
    })
}

fn check_chance(alpha: f64, chance: f64) -> Result<(), Error> {
    check_level(alpha)?;
    if chance > alpha && chance < 1.0 {
        return Ok(());
    }
    Err(Error::Setting {
        name: "chance",
        value: chance,
        demand: "above the level and below 1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number};

    #[test]
    fn units_agree_with_statsmodels() {
        for case in cases("power_") {
            let input = &case["input"];
            let (effect, alpha) = (number(&input["es"]), number(&input["alpha"]));
            let found = units_for_power(effect, alpha, number(&input["power"])).unwrap();
            assert_close(found, number(&case["output"]), 1e-6);
        }
    }

    #[test]
    fn power_agrees_with_scipy() {
        for case in cases("nct_power_") {
            let input = &case["input"];
            let n = usize::try_from(input["n"].as_u64().unwrap()).unwrap();
            let found = power(number(&input["es"]), n, number(&input["alpha"])).unwrap();
            assert_close(found, number(&case["output"]), 1e-6);
        }
    }

    #[test]
    fn detectable_effects_agree_with_scipy() {
        for case in cases("detectable_") {
            let input = &case["input"];
            let n = usize::try_from(input["n"].as_u64().unwrap()).unwrap();
            let found = detectable_effect(n, number(&input["alpha"]), number(&input["power"]));
            assert_close(found.unwrap(), number(&case["output"]), 1e-6);
        }
    }

    #[test]
    fn power_without_an_effect_is_the_level() {
        for n in [2, 3, 10, 300] {
            assert_close(power(0.0, n, 0.05).unwrap(), 0.05, 1e-8);
        }
        assert!(power(-0.3, 60, 0.05).unwrap() < 0.001);
    }

    #[test]
    fn units_needed_are_the_smallest_that_suffice() {
        for (effect, alpha, exact) in [
            (0.5, 0.05, 27),
            (0.2, 0.05, 156),
            (1.0, 0.05, 8),
            (0.5, 0.01, 43),
        ] {
            assert_eq!(units_needed(effect, 1.0, alpha, 1_000_000), Some(exact));
            assert!(power(effect, exact, alpha).unwrap() >= POWER);
            assert!(power(effect, exact - 1, alpha).unwrap() < POWER);
        }
    }

    #[test]
    fn hopeless_gaps_have_no_answer() {
        assert_eq!(units_needed(0.0, 1.0, 0.05, 1000), None);
        assert_eq!(units_needed(-0.1, 1.0, 0.05, 1000), None);
        assert_eq!(units_needed(1e-6, 1.0, 0.05, 1000), None);
        assert_eq!(units_needed(f64::NAN, 1.0, 0.05, 1000), None);
        assert_eq!(units_needed(0.1, 0.0, 0.05, 1000), None);
        assert_eq!(units_needed(0.5, 1.0, f64::NAN, 1000), None);
    }

    #[test]
    fn odd_settings_are_refused() {
        assert!(matches!(power(0.5, 1, 0.05), Err(Error::TooFew { .. })));
        assert!(matches!(
            power(f64::NAN, 9, 0.05),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(power(0.5, 9, 0.0), Err(Error::Level { .. })));
        assert!(matches!(
            detectable_effect(9, 0.05, 0.04),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(
            units_for_power(0.0, 0.05, 0.8),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(
            units_for_power(1e-9, 0.05, 0.8),
            Err(Error::Setting { .. })
        ));
    }
}
