//! Location by ranks, for times: robust against the slow pairs every machine has.

use super::error::{Error, check_count, check_finite, check_level};
use super::signed_rank::Distribution;
use super::{Estimate, Method};

/// Hodges–Lehmann estimate: the median of all Walsh averages `(y_i + y_k) / 2` with `i <= k`.
///
/// * `values`: `[n]` log ratios of one launch
///
/// Estimates the centre of a symmetric distribution. Symmetry holds by design for timed pairs in
/// coin-flipped order; it does not for quality differences, where this estimator must not be used:
/// it does not see a loss that falls on few scenes.
///
/// # Errors
/// [`Error::TooFew`] for an empty slice, [`Error::NotFinite`]. One value is its own estimate.
///
/// Source: Hodges & Lehmann (1963), *Annals of Mathematical Statistics* 34(2), 598–611.
pub fn hodges_lehmann(values: &[f64]) -> Result<f64, Error> {
    check_finite(values)?;
    median(&mut walsh_averages(values))
}

/// Hodges–Lehmann estimate with one-sided bounds: order statistics of the Walsh averages.
///
/// * `values`: `[n]` draws from one symmetric, continuous distribution
/// * `alpha`: one-sided error rate of each bound, in (0, 0.5]
///
/// The bounds are those shifts that the exact signed-rank test does not reject: the k-th smallest
/// and the k-th largest average with the largest k for which `P(W <= k − 1) <= alpha`. Exact under
/// the assumption, conservative with ties. Within a launch the assumption is made true by the coin
/// flips; over launches [`super::mean::t_estimate`] decides.
///
/// # Errors
/// [`Error::TooFew`] when even the extreme averages do not reach the level (`2^−n > alpha`);
/// [`Error::NotFinite`], [`Error::Level`]; [`Error::NoSpread`] when all values are equal.
///
/// Source: Hollander, Wolfe & Chicken (2014), *Nonparametric Statistical Methods*, 3rd ed.,
/// section 3.3.
pub fn walsh_estimate(values: &[f64], alpha: f64) -> Result<Estimate, Error> {
    check_level(alpha)?;
    check_finite(values)?;
    let n = values.len();
    let needed = units_for(alpha);
    check_count(n, needed)?;
    super::mean::moments(values)?;
    let mut averages = walsh_averages(values);
    let point = median(&mut averages)?;
    let k = Distribution::of_untied(n).largest_rank(alpha);
    Ok(Estimate {
        point,
        low: averages[k - 1],
        high: averages[averages.len() - k],
        alpha,
        n,
        method: Method::WalshAverages,
    })
}

/// Fewest values on which a signed-rank test can reject at `alpha`: `2^−n <= alpha`.
fn units_for(alpha: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 1075 for any positive double"
    )]
    let n = (-alpha.log2()).ceil() as usize;
    n.max(1)
}

/// All `n(n+1)/2` Walsh averages, in no particular order.
fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let mut averages = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (i, a) in values.iter().enumerate() {
        averages.extend(values[i..].iter().map(|b| f64::midpoint(*a, *b)));
    }
    averages
}

/// Middle value, or the mean of the two middle ones. Sorts `values`.
///
/// # Errors
/// [`Error::TooFew`] for an empty slice, [`Error::NotFinite`].
pub fn median(values: &mut [f64]) -> Result<f64, Error> {
    check_count(values.len(), 1)?;
    check_finite(values)?;
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    Ok(if values.len() % 2 == 1 {
        values[half]
    } else {
        f64::midpoint(values[half - 1], values[half])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    #[test]
    fn estimate_agrees_with_numpy() {
        for case in cases("hl_") {
            let values = numbers(&case["input"]["y"]);
            let found = hodges_lehmann(&values).unwrap();
            assert_close(found, number(&case["output"]["hl"]), 1e-12);
            let mut walsh = walsh_averages(&values);
            walsh.sort_by(f64::total_cmp);
            for (found, expected) in walsh.iter().zip(numbers(&case["output"]["first5"])) {
                assert_close(*found, expected, 1e-12);
            }
        }
    }

    #[test]
    fn bounds_agree_with_all_sign_vectors() {
        for case in cases("walsh_ci_") {
            let values = numbers(&case["input"]["y"]);
            let alpha = number(&case["input"]["alpha"]);
            let found = walsh_estimate(&values, alpha).unwrap();
            assert_close(found.low, number(&case["output"]["low"]), 1e-12);
            assert_close(found.high, number(&case["output"]["high"]), 1e-12);
        }
    }

    #[test]
    fn few_values() {
        let none = Err(Error::TooFew {
            found: 0,
            needed: 1,
        });
        assert_eq!(hodges_lehmann(&[]), none);
        assert_eq!(hodges_lehmann(&[0.25]), Ok(0.25));
        assert_eq!(median(&mut [3.0, 1.0]), Ok(2.0));
        let values = [0.1, -0.2, 0.3, 0.7];
        assert_eq!(
            walsh_estimate(&values, 0.05),
            Err(Error::TooFew {
                found: 4,
                needed: 5
            })
        );
        assert!(walsh_estimate(&[0.1, -0.2, 0.3, 0.7, 0.4], 0.05).is_ok());
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        assert_eq!(
            hodges_lehmann(&[0.1, f64::NAN]),
            Err(Error::NotFinite { index: 1 })
        );
        assert_eq!(
            median(&mut [f64::INFINITY]),
            Err(Error::NotFinite { index: 0 })
        );
        assert_eq!(
            walsh_estimate(&[0.5; 9], 0.05),
            Err(Error::NoSpread { n: 9 })
        );
    }
}
