//! Sums that do not depend on the order of their terms.

/// Sum of `values`, rounded once: the float nearest to the exact sum.
///
/// * `values`: `[n]` finite numbers whose partial sums stay finite
///
/// The same numbers in any order give the same bits, and negated numbers the negated bits, so that
/// neither the order of scenes nor the naming of roles can move a verdict. Keeps a list of
/// non-overlapping partial sums; their last addition is corrected so that ties round to even.
///
/// Source: Shewchuk (1997), *Discrete & Computational Geometry* 18, 305–363; the rounding step
/// follows Python's `math.fsum`.
pub(super) fn exact_sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut partials: Vec<f64> = Vec::with_capacity(8);
    for value in values {
        let mut x = value;
        let mut kept = 0;
        for i in 0..partials.len() {
            let (high, low) = two_sum(x, partials[i]);
            if low != 0.0 {
                partials[kept] = low;
                kept += 1;
            }
            x = high;
        }
        partials.truncate(kept);
        partials.push(x);
    }
    rounded(&partials)
}

/// Mean of `values`, which must not be empty; see [`exact_sum`].
pub(super) fn exact_mean(values: &[f64]) -> f64 {
    exact_sum(values.iter().copied()) / values.len() as f64
}

/// `a + b` as the rounded sum and what the rounding lost.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let (large, small) = if a.abs() < b.abs() { (b, a) } else { (a, b) };
    let high = large + small;
    (high, small - (high - large))
}

/// Sum of non-overlapping partial sums, the smallest first.
fn rounded(partials: &[f64]) -> f64 {
    let Some((&last, rest)) = partials.split_last() else {
        return 0.0;
    };
    let (mut high, mut low, mut left) = (last, 0.0, rest.len());
    while left > 0 && low == 0.0 {
        left -= 1;
        (high, low) = two_sum(high, rest[left]);
    }
    // Half an ulp was lost and what lies below it points the same way: round away from the tie.
    if left > 0 && low * rest[left - 1] > 0.0 {
        let double = low * 2.0;
        let candidate = high + double;
        #[expect(clippy::float_cmp, reason = "asks whether the addition was exact")]
        let was_a_tie = candidate - high == double;
        if was_a_tie {
            high = candidate;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(values: &[f64], expected: f64) {
        assert_eq!(
            exact_sum(values.iter().copied()).to_bits(),
            expected.to_bits()
        );
    }

    // Expected values are those of Python's math.fsum.
    #[test]
    fn nothing_sums_to_zero() {
        check(&[], 0.0);
    }
    #[test]
    fn tenths_sum_to_one() {
        check(&[0.1; 10], 1.0);
    }
    #[test]
    fn a_small_term_survives_large_ones() {
        check(&[1e100, 1.0, -1e100], 1.0);
    }
    #[test]
    fn ties_round_to_even() {
        check(&[1.0, 2f64.powi(-53)], 1.0);
    }
    #[test]
    fn a_term_below_a_tie_breaks_it() {
        check(&[1.0, 2f64.powi(-53), 2f64.powi(-105)], 1.0 + f64::EPSILON);
    }

    proptest! {
        #[test]
        fn order_and_sign_do_not_matter(mut values in prop::collection::vec(-1e3..1e3f64, 0..40)) {
            let sum = exact_sum(values.iter().copied());
            values.reverse();
            prop_assert_eq!(sum.to_bits(), exact_sum(values.iter().copied()).to_bits());
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(sum.to_bits(), exact_sum(values.iter().copied()).to_bits());
            let negated = exact_sum(values.iter().map(|value| -value));
            prop_assert!((negated + sum).abs() <= 0.0);
        }
    }
}
