//! Bounds of a proportion.

use super::distribution::{beta_quantile, normal_upper};
use super::error::{Error, check_count, check_level};

/// Upper confidence bound of a proportion, Clopper–Pearson.
///
/// * `k`, `n`: successes and trials, `k <= n`
/// * `alpha`: one-sided error rate in (0, 0.5]
///
/// Gives a proportion in [0, 1]; exactly 1 when `k == n`. Conservative at every n for independent
/// trials.
///
/// # Errors
/// [`Error::TooFew`] when `n` is 0: no bound is invented. [`Error::Setting`] when `k > n`;
/// [`Error::Level`].
///
/// Source: Clopper & Pearson (1934), *Biometrika* 26(4), 404–413.
pub fn upper_bound(k: u64, n: u64, alpha: f64) -> Result<f64, Error> {
    check_trials(k, n, alpha)?;
    if k == n {
        return Ok(1.0);
    }
    Ok(beta_quantile(1.0 - alpha, (k + 1) as f64, (n - k) as f64))
}

/// Lower confidence bound of a proportion, Clopper–Pearson; exactly 0 when `k` is 0.
///
/// Arguments and source as for [`upper_bound`].
///
/// # Errors
/// Those of [`upper_bound`].
pub fn lower_bound(k: u64, n: u64, alpha: f64) -> Result<f64, Error> {
    check_trials(k, n, alpha)?;
    if k == 0 {
        return Ok(0.0);
    }
    Ok(beta_quantile(alpha, k as f64, (n - k + 1) as f64))
}

/// Both bounds of a proportion by Wilson's score: lower, then upper.
///
/// * `alpha`: one-sided error rate of each bound, in (0, 0.5]; 0.025 for a 95 % interval
///
/// Asymptotic, narrower than Clopper–Pearson and good from a handful of trials on, but it may miss
/// a little more often than `alpha`. For display; verdicts use the exact bounds.
///
/// # Errors
/// Those of [`upper_bound`].
///
/// Source: Wilson (1927), *JASA* 22(158), 209–212.
pub fn wilson(k: u64, n: u64, alpha: f64) -> Result<(f64, f64), Error> {
    check_trials(k, n, alpha)?;
    let (k, n, z) = (k as f64, n as f64, normal_upper(alpha));
    let centre = k + z * z / 2.0;
    let reach = z * (k * (n - k) / n + z * z / 4.0).sqrt();
    let total = n + z * z;
    // At the ends the square root is exact only up to rounding: 0 and 1 are the limits.
    let low = if k == 0.0 {
        0.0
    } else {
        (centre - reach) / total
    };
    let high = if k >= n {
        1.0
    } else {
        (centre + reach) / total
    };
    Ok((low, high))
}

fn check_trials(k: u64, n: u64, alpha: f64) -> Result<(), Error> {
    check_level(alpha)?;
    check_count(usize::try_from(n).unwrap_or(usize::MAX), 1)?;
    if k > n {
        return Err(Error::Setting {
            name: "number of successes",
            value: k as f64,
            demand: "at most the number of trials",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    #[test]
    fn bounds_agree_with_scipy() {
        for case in cases("cp_") {
            let k = case["input"]["k"].as_u64().unwrap();
            let n = case["input"]["n"].as_u64().unwrap();
            let output = &case["output"];
            let low = lower_bound(k, n, 0.025).unwrap();
            assert_close(low, number(&output["low"]), 1e-9);
            let high = upper_bound(k, n, 0.025).unwrap();
            assert_close(high, number(&output["high"]), 1e-9);
            let one_sided = upper_bound(k, n, 0.05).unwrap();
            assert_close(one_sided, number(&output["upper95"]), 1e-9);
        }
    }

    #[test]
    fn score_interval_agrees_with_statsmodels() {
        for case in cases("cp_") {
            let k = case["input"]["k"].as_u64().unwrap();
            let n = case["input"]["n"].as_u64().unwrap();
            let (low, high) = wilson(k, n, 0.025).unwrap();
            let expected = numbers(&case["output"]["wilson"]);
            // statsmodels leaves a rounding error of 1e-18 where the bound is 0.
            if k > 0 {
                assert_close(low, expected[0], 1e-9);
            }
            assert_close(high, expected[1], 1e-9);
        }
    }

    #[test]
    fn the_ends_are_exact_and_nothing_is_invented() {
        assert_eq!(upper_bound(7, 7, 0.05), Ok(1.0));
        assert_eq!(lower_bound(0, 7, 0.05), Ok(0.0));
        let none = Err(Error::TooFew {
            found: 0,
            needed: 1,
        });
        assert_eq!(upper_bound(0, 0, 0.05), none);
        assert_eq!(lower_bound(0, 0, 0.05), none);
        assert!(matches!(
            upper_bound(8, 7, 0.05),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(wilson(1, 7, 0.0), Err(Error::Level { .. })));
        assert_close(wilson(0, 7, 0.05).unwrap().0, 0.0, 0.0);
        assert_close(wilson(7, 7, 0.05).unwrap().1, 1.0, 0.0);
    }

    #[test]
    fn allowed_collapses_are_those_of_the_table() {
        // docs/statistics.md: collapses among n scenes with which a rate below 5 % is shown.
        for (n, k) in [
            (59, 0),
            (100, 1),
            (120, 1),
            (150, 2),
            (200, 4),
            (300, 8),
            (600, 20),
        ] {
            assert!(upper_bound(k, n, 0.05).unwrap() <= 0.05, "n = {n}");
            assert!(upper_bound(k + 1, n, 0.05).unwrap() > 0.05, "n = {n}");
        }
    }
}
