//! Mean of a sample: Student's t bounds, and the tests against a margin that go with them.

use super::distribution::{t_sf, t_upper};
use super::error::{Error, check_count, check_finite, check_level};
use super::sum::{exact_mean, exact_sum};
use super::{Estimate, Method};

/// Fewest values that have a spread.
pub const MIN_VALUES: usize = 2;

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

impl Moments {
    /// Standard error of the mean, > 0.
    pub fn standard_error(&self) -> f64 {
        self.sd / (self.n as f64).sqrt()
    }
}

/// Mean and spread of `values`, independent of their order to the last bit.
///
/// # Errors
/// [`Error::TooFew`] below [`MIN_VALUES`]; [`Error::NotFinite`]; [`Error::NoSpread`] when all are
/// equal, or differ by no more than the rounding of their own sum.
pub fn moments(values: &[f64]) -> Result<Moments, Error> {
    let n = values.len();
    check_count(n, MIN_VALUES)?;
    check_finite(values)?;
    let mean = exact_mean(values);
    let squares = exact_sum(values.iter().map(|value| (value - mean) * (value - mean)));
    let sd = (squares / (n - 1) as f64).sqrt();
    // Scores such as 0.8 − 0.7 carry rounding errors of about 1e-16: that is not a spread.
    let largest = values
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    if sd <= 1e-12 * largest.max(1e-3) {
        return Err(Error::NoSpread { n });
    }
    if !sd.is_finite() {
        // Squares of values beyond 1e154 overflow; no score and no time is that large.
        return Err(Error::Unstable);
    }
    Ok(Moments { mean, sd, n })
}

/// Mean with one-sided lower and upper bounds, Student's t: `mean ∓ t·sd/√n`.
///
/// * `values`: `[n]` differences or log ratios, one per unit of inference
/// * `alpha`: one-sided error rate of each bound, in (0, 0.5]
///
/// Exact for normal values, asymptotic otherwise: with rare large losses it is too optimistic (see
/// the table of docs/statistics.md). Assumes the units are independent draws: scenes of one camera
/// go through [`super::cluster`], and timed pairs of one launch are no units at all.
///
/// # Errors
/// Those of [`moments`], and [`Error::Level`]: no interval is invented without a spread.
///
/// Source: Student (1908), *Biometrika* 6(1), 1–25.
pub fn t_estimate(values: &[f64], alpha: f64) -> Result<Estimate, Error> {
    check_level(alpha)?;
    let moments = moments(values)?;
    Ok(t_bounds(
        moments.mean,
        moments.standard_error(),
        moments.n,
        alpha,
    ))
}

/// `mean ∓ t·se` with `n` − 1 degrees of freedom.
pub(super) fn t_bounds(mean: f64, se: f64, n: usize, alpha: f64) -> Estimate {
    let reach = t_upper(alpha, (n - 1) as f64) * se;
    Estimate {
        point: mean,
        low: mean - reach,
        high: mean + reach,
        alpha,
        n,
        method: Method::StudentT,
    }
}

/// A one-sided t test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// Distance of the mean from the null value in standard errors, positive away from it.
    pub t: f64,
    /// Chance of such a distance, or more, under the null.
    pub p: f64,
    /// Degrees of freedom.
    pub freedom: f64,
}

/// Test of non-inferiority: H0 "the mean is at most −`margin`" against "it is above".
///
/// * `differences`: `[n]` candidate − baseline, higher is better
/// * `margin`: loss that is tolerated, in the unit of the differences
///
/// Rejects at level alpha exactly when the lower bound of [`t_estimate`] lies above −`margin`.
/// Assumptions as there.
///
/// # Errors
/// Those of [`moments`]; [`Error::Setting`] for a margin that is not finite.
///
/// Source: Blackwelder (1982), *Controlled Clinical Trials* 3(4), 345–353.
pub fn non_inferiority(differences: &[f64], margin: f64) -> Result<TTest, Error> {
    check_margin(margin)?;
    let moments = moments(differences)?;
    Ok(against(
        &moments,
        (moments.mean + margin) / moments.standard_error(),
    ))
}

/// Two one-sided tests: whether the mean lies within ±`margin`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equivalence {
    /// Test of H0 "the mean is at most −margin".
    pub not_below: TTest,
    /// Test of H0 "the mean is at least +margin".
    pub not_above: TTest,
}

impl Equivalence {
    /// The larger of both p-values: at or below alpha, equivalence is shown at level alpha.
    pub fn p(&self) -> f64 {
        self.not_below.p.max(self.not_above.p)
    }
}

/// Test of equivalence (TOST): both H0 "mean ≤ −`margin`" and H0 "mean ≥ `margin`" must fall.
///
/// Arguments, assumptions and errors as for [`non_inferiority`]. A note for the reader, never a
/// condition of a promotion: a better model need not be an equivalent one.
///
/// # Errors
/// Those of [`non_inferiority`].
///
/// Source: Schuirmann (1987), *Journal of Pharmacokinetics and Biopharmaceutics* 15(6), 657–680.
pub fn equivalence(differences: &[f64], margin: f64) -> Result<Equivalence, Error> {
    check_margin(margin)?;
    let moments = moments(differences)?;
    let se = moments.standard_error();
    Ok(Equivalence {
        not_below: against(&moments, (moments.mean + margin) / se),
        not_above: against(&moments, (margin - moments.mean) / se),
    })
}

fn against(moments: &Moments, t: f64) -> TTest {
    let freedom = (moments.n - 1) as f64;
    TTest {
        t,
        p: t_sf(t, freedom),
        freedom,
    }
}

fn check_margin(margin: f64) -> Result<(), Error> {
    if margin.is_finite() {
        return Ok(());
    }
    Err(Error::Setting {
        name: "margin",
        value: margin,
        demand: "a finite number",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    #[test]
    fn bounds_and_test_agree_with_scipy() {
        for case in cases("ni_t_") {
            let values = numbers(&case["input"]["d"]);
            let output = &case["output"];
            let found = t_estimate(&values, 0.05).unwrap();
            assert_close(found.low, number(&output["low"]), 1e-9);
            let test = non_inferiority(&values, number(&case["input"]["delta"])).unwrap();
            assert_close(test.t, number(&output["t"]), 1e-9);
            assert_close(test.p, number(&output["p"]), 1e-9);
            assert_close(test.freedom, number(&output["df"]), 0.0);
        }
    }

    #[test]
    fn equivalence_agrees_with_statsmodels() {
        for case in cases("tost_") {
            let (a, b) = (numbers(&case["input"]["a"]), numbers(&case["input"]["b"]));
            let margin = number(&case["input"]["delta"]);
            let output = &case["output"];
            // The oracle subtracts its second list from its first; which of both is the candidate
            // shows in the two one-sided values.
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
            let found = equivalence(&differences, margin).unwrap();
            assert_close(found.not_below.p, number(&output["p_low"]), 1e-9);
            assert_close(found.not_above.p, number(&output["p_high"]), 1e-9);
            assert_close(found.p(), number(&output["p"]), 1e-9);
        }
    }

    #[test]
    fn test_and_bound_decide_alike() {
        for case in cases("ni_t_") {
            let values = numbers(&case["input"]["d"]);
            for margin in [0.0, 0.005, 0.01, 0.02, 0.05, 0.2] {
                let by_test = non_inferiority(&values, margin).unwrap().p < 0.05;
                let by_bound = t_estimate(&values, 0.05).unwrap().low > -margin;
                assert_eq!(by_test, by_bound, "margin {margin}");
            }
        }
    }

    #[test]
    fn too_few_values_have_no_interval() {
        let too_few = |found| Err(Error::TooFew { found, needed: 2 });
        assert_eq!(t_estimate(&[], 0.05), too_few(0));
        assert_eq!(t_estimate(&[0.1], 0.05), too_few(1));
    }

    #[test]
    fn equal_values_have_no_interval() {
        assert_eq!(t_estimate(&[0.1; 5], 0.05), Err(Error::NoSpread { n: 5 }));
        let nearly: Vec<f64> = [(0.8, 0.7), (0.3, 0.2), (0.9, 0.8)]
            .map(|(a, b)| a - b)
            .to_vec();
        assert_eq!(t_estimate(&nearly, 0.05), Err(Error::NoSpread { n: 3 }));
        assert_eq!(equivalence(&[0.0; 4], 0.1), Err(Error::NoSpread { n: 4 }));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let values = [0.1, 0.2, bad];
            assert_eq!(
                t_estimate(&values, 0.05),
                Err(Error::NotFinite { index: 2 })
            );
            assert!(matches!(
                non_inferiority(&[0.1, 0.2], bad),
                Err(Error::Setting { .. })
            ));
        }
        for alpha in [0.0, 0.6, -0.1] {
            assert_eq!(t_estimate(&[0.1, 0.2], alpha), Err(Error::Level { alpha }));
        }
        assert!(matches!(
            t_estimate(&[0.1, 0.2], f64::NAN),
            Err(Error::Level { .. })
        ));
        assert_eq!(moments(&[1e200, -1e200]), Err(Error::Unstable));
    }
}
