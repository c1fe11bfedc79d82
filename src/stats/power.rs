//! How many units would show an effect that looks as it does now.

use super::distribution::{normal_upper, t_upper};

/// Chance of success that [`units_needed`] plans for.
pub const POWER: f64 = 0.8;

/// Smallest number of units with which a t bound at level `alpha` clears a gap, in four of five
/// repetitions.
///
/// * `gap`: distance between the estimate and the line it must clear, in the sample's unit; > 0
/// * `sd`: standard deviation of one unit, > 0
/// * `alpha`: one-sided level of the bound
/// * `most`: numbers above it are not worth naming
///
/// Solves `gap·√N/sd >= t(N − 1, alpha) + z(0.2)`, the shifted-normal approximation of the
/// noncentral t distribution, which is within two units of the exact answer from N = 6 on. It
/// takes the estimate for the truth, so the answer is an order of magnitude, not a promise.
///
/// Gives `None` when `gap` is not positive or more than `most` units would be needed.
///
/// Source: Cohen (1988), *Statistical Power Analysis*, 2nd ed., chapter 2.
pub fn units_needed(gap: f64, sd: f64, alpha: f64, most: usize) -> Option<usize> {
    let clears = |n: usize| {
        let line = t_upper(alpha, (n - 1) as f64) + normal_upper(1.0 - POWER);
        gap * (n as f64).sqrt() >= line * sd
    };
    let low = 3;
    if gap <= 0.0 || most < low || !clears(most) {
        return None;
    }
    // More units always help, so the answer is where `clears` turns true.
    let (mut fails, mut holds) = (low - 1, most);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(effect: f64, alpha: f64, exact: usize) {
        let found = units_needed(effect, 1.0, alpha, 1_000_000).unwrap();
        assert!(found.abs_diff(exact) <= 2, "found {found}, exact {exact}");
    }

    // Exact answers of the noncentral t distribution: the smallest n with power 0.8.
    #[test]
    fn close_to_the_noncentral_t() {
        check(0.5, 0.05, 27);
        check(0.2, 0.05, 156);
        check(1.0, 0.05, 8);
        check(0.5, 0.01, 43);
    }

    #[test]
    fn hopeless_gaps_have_no_answer() {
        assert_eq!(units_needed(0.0, 1.0, 0.05, 1000), None);
        assert_eq!(units_needed(-0.1, 1.0, 0.05, 1000), None);
        assert_eq!(units_needed(1e-6, 1.0, 0.05, 1000), None);
    }
}
