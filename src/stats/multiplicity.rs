//! Several tests at once: p-values adjusted so that any one below the level may be believed.

use super::error::{Error, check_count, check_range};

/// Bonferroni: each p-value times the number of tests, at most 1.
///
/// * `p`: `[m]` p-values
///
/// Valid for any dependence. A test may be believed when its adjusted value is at most the level of
/// the family.
///
/// # Errors
/// [`Error::TooFew`] without values; [`Error::NotFinite`] and [`Error::OutOfRange`] for what is no
/// p-value.
///
/// Source: Dunn (1961), *JASA* 56(293), 52–64.
pub fn bonferroni(p: &[f64]) -> Result<Vec<f64>, Error> {
    check(p)?;
    let m = p.len() as f64;
    Ok(p.iter().map(|p| (p * m).min(1.0)).collect())
}

/// Holm's step-down adjustment, in the order of `p`.
///
/// Valid for any dependence and never weaker than [`bonferroni`]: whether *any* test falls is the
/// same, but it names more of them. The k-th smallest value is multiplied by m − k + 1, and no value
/// may be smaller than one before it.
///
/// # Errors
/// Those of [`bonferroni`].
///
/// Source: Holm (1979), *Scandinavian Journal of Statistics* 6(2), 65–70.
pub fn holm(p: &[f64]) -> Result<Vec<f64>, Error> {
    check(p)?;
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (step, &index) in order.iter().enumerate() {
        largest = largest.max(p[index] * (p.len() - step) as f64).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// Hochberg's step-up adjustment, in the order of `p`.
///
/// Valid only for independent or positively dependent tests, so no verdict rests on it; at least as
/// strong as [`holm`].
///
/// # Errors
/// Those of [`bonferroni`].
///
/// Source: Hochberg (1988), *Biometrika* 75(4), 800–802.
pub fn hochberg(p: &[f64]) -> Result<Vec<f64>, Error> {
    check(p)?;
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest = 1.0f64;
    for (step, &index) in order.iter().enumerate().rev() {
        smallest = smallest.min(p[index] * (p.len() - step) as f64);
        adjusted[index] = smallest;
    }
    Ok(adjusted)
}

/// Level of each of `n` tests so that all together keep `alpha` (Bonferroni).
///
/// # Errors
/// [`Error::TooFew`] without tests; [`Error::Level`] when `alpha` or the share is no level.
pub fn share_of(alpha: f64, n: usize) -> Result<f64, Error> {
    check_count(n, 1)?;
    super::error::check_level(alpha)?;
    let share = alpha / n as f64;
    super::error::check_level(share)?;
    Ok(share)
}

/// Level of the `attempt`-th judgement, from 1, under halving: `alpha · 2^−attempt`.
///
/// All attempts together keep `alpha`, however many there are, because the shares sum to less.
///
/// # Errors
/// [`Error::Level`] when `alpha` is no level or nothing is left of it; [`Error::Setting`] for
/// attempt 0.
pub fn attempt_level(alpha: f64, attempt: u32) -> Result<f64, Error> {
    super::error::check_level(alpha)?;
    if attempt == 0 {
        return Err(Error::Setting {
            name: "attempt",
            value: 0.0,
            demand: "at least 1",
        });
    }
    let level = alpha * 0.5f64.powi(i32::try_from(attempt).unwrap_or(i32::MAX));
    super::error::check_level(level)?;
    Ok(level)
}

fn check(p: &[f64]) -> Result<(), Error> {
    check_count(p.len(), 1)?;
    check_range(p, 0.0, 1.0)
}

/// Positions of `p` from the smallest value on; equal values in their order.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, numbers};

    #[track_caller]
    fn agrees(name: &str, adjust: fn(&[f64]) -> Result<Vec<f64>, Error>) {
        for case in cases(name) {
            let found = adjust(&numbers(&case["input"])).unwrap();
            let expected = numbers(&case["output"]);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert_close(*found, expected, 1e-14);
            }
        }
    }

    #[test]
    fn adjusted_values_agree_with_statsmodels() {
        agrees("adj_bonferroni", bonferroni);
        agrees("adj_holm", holm);
        agrees("adj_simes-hochberg", hochberg);
    }

    #[test]
    fn holm_decides_like_bonferroni_whether_any_falls() {
        let p = [0.03, 0.004, 0.2, 0.011];
        let least = |values: Vec<f64>| values.into_iter().fold(1.0, f64::min);
        assert_close(
            least(holm(&p).unwrap()),
            least(bonferroni(&p).unwrap()),
            0.0,
        );
    }

    #[test]
    fn what_is_no_p_value_is_refused() {
        for adjust in [bonferroni, holm, hochberg] {
            assert_eq!(
                adjust(&[]),
                Err(Error::TooFew {
                    found: 0,
                    needed: 1
                })
            );
            assert_eq!(adjust(&[0.5, f64::NAN]), Err(Error::NotFinite { index: 1 }));
            assert!(matches!(
                adjust(&[1.5]),
                Err(Error::OutOfRange { index: 0, .. })
            ));
        }
    }

    #[test]
    fn shares_add_up_to_no_more_than_the_level() {
        assert_close(share_of(0.01, 8).unwrap(), 0.00125, 1e-15);
        let spent: f64 = (1..40).map(|j| attempt_level(0.05, j).unwrap()).sum();
        assert!(spent <= 0.05);
        assert_close(attempt_level(0.05, 1).unwrap(), 0.025, 0.0);
        assert!(share_of(0.01, 0).is_err() && share_of(5e-324, 4).is_err());
        assert!(attempt_level(0.05, 0).is_err() && attempt_level(0.05, u32::MAX).is_err());
    }
}
