//! Sample quantiles for display, and bounds of population quantiles that refuse small samples.

use super::distribution::binomial_cdf;

/// Why there is no quantile or no bound.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum QuantileError {
    /// No values.
    #[error("no values, no quantile")]
    NoValues,
    /// Even the largest value may lie below the quantile with more than the allowed probability.
    #[error("n = {n}, at least {needed} values are needed")]
    TooFew {
        /// Values given.
        n: usize,
        /// Fewest values that have such a bound.
        needed: usize,
    },
}

/// Sample quantile, type 7: linear between order statistics, the default of numpy and R.
///
/// * `values`: `[n]` finite numbers in any order
/// * `q`: in [0, 1]
///
/// # Errors
/// [`QuantileError::NoValues`] for an empty slice.
///
/// # Panics
/// When `q` is outside [0, 1].
///
/// Source: Hyndman & Fan (1996), *The American Statistician* 50(4), 361–365.
pub fn type7(values: &[f64], q: f64) -> Result<f64, QuantileError> {
    assert!((0.0..=1.0).contains(&q), "quantile {q} is not in [0, 1]");
    if values.is_empty() {
        return Err(QuantileError::NoValues);
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = (sorted.len() - 1) as f64 * q;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the length"
    )]
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let share = position - position.floor();
    Ok(sorted[below] + (sorted[above] - sorted[below]) * share)
}

/// One-sided upper bound of the population's `q` quantile: an order statistic.
///
/// * `values`: `[n]` independent draws
/// * `q`: in (0, 1)
/// * `alpha`: one-sided error rate in (0, 1)
///
/// The r-th smallest value with the smallest r for which P(Bin(n, q) ≥ r) ≤ `alpha`. Exact for
/// any continuous distribution. At `alpha = 0.05` it exists from n = 29 (q = 0.9), 59 (0.95),
/// 299 (0.99).
///
/// # Errors
/// [`QuantileError::TooFew`] with the number needed, when no order statistic is high enough.
///
/// # Panics
/// When `q` or `alpha` is outside (0, 1).
///
/// Source: Conover (1999), *Practical Nonparametric Statistics*, 3rd ed., section 3.2.
pub fn upper_bound(values: &[f64], q: f64, alpha: f64) -> Result<f64, QuantileError> {
    assert!(q > 0.0 && q < 1.0, "quantile {q} is not in (0, 1)");
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is not in (0, 1)");
    let n = values.len() as u64;
    // P(Bin >= r) <= alpha is P(Bin <= r - 1) >= 1 - alpha.
    let rank = (1..=values.len()).find(|r| binomial_cdf(*r as u64 - 1, n, q) >= 1.0 - alpha);
    let Some(rank) = rank else {
        return Err(QuantileError::TooFew {
            n: values.len(),
            needed: needed(q, alpha),
        });
    };
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted[rank - 1])
}

/// Smallest n for which the largest of n values bounds the quantile: `q^n <= alpha`.
fn needed(q: f64, alpha: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and the ratio of two logarithms of shares is positive"
    )]
    let n = (alpha.ln() / q.ln()).ceil() as usize;
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    #[test]
    fn quantiles_agree_with_numpy() {
        for case in cases("quantile7_") {
            let found = type7(&numbers(&case["input"]["y"]), number(&case["input"]["q"])).unwrap();
            assert_close(found, number(&case["output"]), 1e-14);
        }
    }

    #[test]
    fn bounds_are_the_order_statistic_scipy_names_or_do_not_exist() {
        for case in cases("quantile_ub_") {
            let found = upper_bound(
                &numbers(&case["input"]["y"]),
                number(&case["input"]["q"]),
                0.05,
            );
            match case["output"]["high"].as_f64() {
                Some(expected) => assert_eq!(found, Ok(expected), "{}", case["name"]),
                None => assert!(matches!(found, Err(QuantileError::TooFew { .. }))),
            }
        }
    }

    #[test]
    fn smallest_samples_that_have_a_bound() {
        for (q, n) in [(0.9, 29), (0.95, 59), (0.99, 299)] {
            let values = vec![1.0; n];
            assert_eq!(upper_bound(&values, q, 0.05), Ok(1.0));
            let refused = Err(QuantileError::TooFew {
                n: n - 1,
                needed: n,
            });
            assert_eq!(upper_bound(&values[1..], q, 0.05), refused);
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(type7(&[], 0.5), Err(QuantileError::NoValues));
        assert!(upper_bound(&[], 0.5, 0.05).is_err());
    }
}
