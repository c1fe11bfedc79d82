//! Mean of a sample with Student's t bounds.

use super::distribution::t_upper;
use super::{Estimate, Method};

/// Fewest values that have a spread.
pub const MIN_VALUES: usize = 2;

/// Why there is no t interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeanError {
    /// Fewer than [`MIN_VALUES`] values.
    #[error("{found} values have no spread, at least {MIN_VALUES} are needed")]
    TooFewPairs {
        /// Values given.
        found: usize,
    },
    /// All values are equal: the spread of the population is unknown, not zero.
    #[error("all {n} values are equal")]
    NoSpread {
        /// Values given.
        n: usize,
    },
}

/// Mean and sample standard deviation (divisor n − 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, > 0.
    pub sd: f64,
    /// Number of values.
    pub n: usize,
}

/// Mean and spread of `values`.
///
/// # Errors
/// [`MeanError::TooFewPairs`] below two values; [`MeanError::NoSpread`] when all are equal, or
/// differ by no more than the rounding of their own sum.
pub fn moments(values: &[f64]) -> Result<Moments, MeanError> {
    let n = values.len();
    if n < MIN_VALUES {
        return Err(MeanError::TooFewPairs { found: n });
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    let sd = (squares / (n - 1) as f64).sqrt();
    // Scores such as 0.8 − 0.7 carry rounding errors of about 1e-16: that is not a spread.
    let largest = values
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    if sd <= 1e-12 * largest.max(1e-3) {
        return Err(MeanError::NoSpread { n });
    }
    Ok(Moments { mean, sd, n })
}

/// Mean with one-sided lower and upper bounds, Student's t: `mean ∓ t·sd/√n`.
///
/// * `values`: `[n]` differences or log ratios, one per unit of inference
/// * `alpha`: one-sided error rate of each bound, in (0, 1)
///
/// Exact for normal values, asymptotic otherwise. Assumes the units are independent draws: scenes
/// of one camera, or timed pairs of one launch, are not.
///
/// # Errors
/// Those of [`moments`]: no interval is invented without a spread.
///
/// Source: Student (1908), *Biometrika* 6(1), 1–25.
pub fn t_estimate(values: &[f64], alpha: f64) -> Result<Estimate, MeanError> {
    let Moments { mean, sd, n } = moments(values)?;
    let reach = t_upper(alpha, (n - 1) as f64) * sd / (n as f64).sqrt();
    Ok(Estimate {
        point: mean,
        low: mean - reach,
        high: mean + reach,
        alpha,
        n,
        method: Method::StudentT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    #[test]
    fn bounds_agree_with_scipy() {
        for case in cases("ni_t_") {
            let values = numbers(&case["input"]["d"]);
            let found = t_estimate(&values, 0.05).unwrap();
            assert_close(found.low, number(&case["output"]["low"]), 1e-9);
            let Moments { mean, sd, n } = moments(&values).unwrap();
            let t = (mean + number(&case["input"]["delta"])) / (sd / (n as f64).sqrt());
            assert_close(t, number(&case["output"]["t"]), 1e-9);
        }
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert_eq!(
            t_estimate(&[], 0.05),
            Err(MeanError::TooFewPairs { found: 0 })
        );
        assert_eq!(
            t_estimate(&[0.1], 0.05),
            Err(MeanError::TooFewPairs { found: 1 })
        );
    }

    #[test]
    fn equal_values_have_no_interval() {
        assert_eq!(
            t_estimate(&[0.1; 5], 0.05),
            Err(MeanError::NoSpread { n: 5 })
        );
        let nearly: Vec<f64> = [(0.8, 0.7), (0.3, 0.2), (0.9, 0.8)]
            .map(|(a, b)| a - b)
            .to_vec();
        assert_eq!(t_estimate(&nearly, 0.05), Err(MeanError::NoSpread { n: 3 }));
    }
}
