//! Bounds of a proportion.

use super::distribution::beta_quantile;

/// No trials: there is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no trials, no bound")]
pub struct NoTrials;

/// Upper confidence bound of a proportion, Clopper–Pearson.
///
/// * `k`, `n`: successes and trials, `k <= n`
/// * `alpha`: one-sided error rate in (0, 1)
///
/// Gives a proportion in [0, 1]; exactly 1 when `k == n`. Conservative at every n for independent
/// trials.
///
/// # Errors
/// [`NoTrials`] when `n` is 0: no bound is invented.
///
/// # Panics
/// When `k > n`.
///
/// Source: Clopper & Pearson (1934), *Biometrika* 26(4), 404–413.
pub fn upper_bound(k: u64, n: u64, alpha: f64) -> Result<f64, NoTrials> {
    assert!(k <= n, "{k} successes in {n} trials");
    match n {
        0 => Err(NoTrials),
        _ if k == n => Ok(1.0),
        _ => Ok(beta_quantile(1.0 - alpha, (k + 1) as f64, (n - k) as f64)),
    }
}

/// Lower confidence bound of a proportion, Clopper–Pearson; exactly 0 when `k` is 0.
///
/// Arguments, errors, panics and source as for [`upper_bound`].
///
/// # Errors
/// [`NoTrials`] when `n` is 0.
///
/// # Panics
/// When `k > n`.
pub fn lower_bound(k: u64, n: u64, alpha: f64) -> Result<f64, NoTrials> {
    assert!(k <= n, "{k} successes in {n} trials");
    match n {
        0 => Err(NoTrials),
        _ if k == 0 => Ok(0.0),
        _ => Ok(beta_quantile(alpha, k as f64, (n - k + 1) as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number};

    #[test]
    fn bounds_agree_with_scipy() {
        for case in cases("cp_") {
            let k = case["input"]["k"].as_u64().unwrap();
            let n = case["input"]["n"].as_u64().unwrap();
            let output = &case["output"];
            assert_close(
                lower_bound(k, n, 0.025).unwrap(),
                number(&output["low"]),
                1e-9,
            );
            assert_close(
                upper_bound(k, n, 0.025).unwrap(),
                number(&output["high"]),
                1e-9,
            );
            assert_close(
                upper_bound(k, n, 0.05).unwrap(),
                number(&output["upper95"]),
                1e-9,
            );
        }
    }

    #[test]
    fn the_ends_are_exact_and_nothing_is_invented() {
        assert_eq!(upper_bound(7, 7, 0.05), Ok(1.0));
        assert_eq!(lower_bound(0, 7, 0.05), Ok(0.0));
        assert_eq!(upper_bound(0, 0, 0.05), Err(NoTrials));
        assert_eq!(lower_bound(0, 0, 0.05), Err(NoTrials));
    }
}
