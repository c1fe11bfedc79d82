//! Quantiles of Student's t, the beta and the normal distribution.
//!
//! `statrs` has accurate distribution functions, but its quantiles drift (1e-8 at 10⁴ degrees of
//! freedom, several percent far in the tail). So the distribution functions are used and inverted
//! here by bisection down to neighbouring floats: slower, plain, and good to 1e-9 relative.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::beta::beta_reg;

/// Value that Student's t exceeds with probability `alpha`.
///
/// * `alpha`: upper tail probability in (0, 1)
/// * `freedom`: degrees of freedom, > 0
///
/// Gives a positive number for `alpha < 0.5`; symmetric around zero.
///
/// # Panics
/// When `alpha` is outside (0, 1) or `freedom` is not positive.
///
/// Source: Student (1908), *Biometrika* 6(1), 1–25.
pub fn t_upper(alpha: f64, freedom: f64) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is not in (0, 1)");
    if alpha > 0.5 {
        return -t_upper(1.0 - alpha, freedom);
    }
    let t = StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are positive");
    let mut high = 1.0;
    while t.sf(high) > alpha {
        high *= 2.0;
    }
    crossing(0.0, high, |x| t.sf(x) <= alpha)
}

/// Quantile of the beta distribution: `x` with `P(X <= x) = p`.
///
/// * `p`: probability in (0, 1)
/// * `a`, `b`: shapes, > 0
///
/// # Panics
/// When `p` is outside (0, 1) or a shape is not positive.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "p {p} is not in (0, 1)");
    assert!(a > 0.0 && b > 0.0, "shapes {a}, {b} are not positive");
    crossing(0.0, 1.0, |x| beta_reg(a, b, x) >= p)
}

/// Value that a standard normal exceeds with probability `alpha` in (0, 1).
///
/// # Panics
/// When `alpha` is outside (0, 1).
pub fn normal_upper(alpha: f64) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is not in (0, 1)");
    -Normal::standard().inverse_cdf(alpha)
}

/// `P(X <= k)` of a binomial with `n` trials of probability `p` in (0, 1).
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_reg((n - k) as f64, (k + 1) as f64, 1.0 - p)
}

/// First float in [`low`, `high`] where `reached`, false before and true after, turns true.
fn crossing(mut low: f64, mut high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if reached(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::assert_close;

    #[test]
    fn t_quantiles_agree_with_closed_forms() {
        // One degree of freedom is the Cauchy distribution: tan(π(1/2 − α)).
        for alpha in [0.25, 0.05, 0.01, 1e-4, 1e-8] {
            let cauchy = 1.0 / (std::f64::consts::PI * alpha).tan();
            assert_close(t_upper(alpha, 1.0), cauchy, 1e-9);
        }
        // Two degrees of freedom: (1 − 2α)·sqrt(2 / (4α(1 − α))).
        for alpha in [0.3, 0.05, 0.002] {
            let two = (1.0 - 2.0 * alpha) * (2.0f64 / (4.0 * alpha * (1.0 - alpha))).sqrt();
            assert_close(t_upper(alpha, 2.0), two, 1e-9);
        }
    }

    #[test]
    fn t_is_symmetric_and_tends_to_the_normal() {
        assert_close(t_upper(0.95, 7.0), -t_upper(0.05, 7.0), 1e-12);
        assert_close(t_upper(0.05, 1e7), normal_upper(0.05), 1e-6);
    }

    #[test]
    fn beta_quantiles_agree_with_closed_forms() {
        // Beta(1, b): 1 − (1 − p)^(1/b).
        for (p, b) in [(0.95, 59.0), (0.05, 3.0), (0.5, 300.0)] {
            assert_close(
                beta_quantile(p, 1.0, b),
                1.0 - (1.0f64 - p).powf(1.0 / b),
                1e-9,
            );
        }
        assert_close(beta_quantile(0.5, 4.0, 4.0), 0.5, 1e-9);
    }

    #[test]
    fn binomial_tails_of_small_cases() {
        assert_close(binomial_cdf(0, 3, 0.5), 0.125, 1e-12);
        assert_close(binomial_cdf(2, 3, 0.5), 0.875, 1e-12);
        assert_close(binomial_cdf(3, 3, 0.5), 1.0, 0.0);
    }
}
