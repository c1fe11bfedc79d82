//! Distribution functions and quantiles: Student's t, noncentral t, beta, binomial, normal.
//!
//! `statrs` has accurate distribution functions, but its quantiles drift (1e-8 at 10⁴ degrees of
//! freedom, several percent far in the tail). So the distribution functions are used and inverted
//! here by bisection down to neighbouring floats: slower, plain, and good to 1e-9 relative.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::beta::beta_reg;

/// Probability that Student's t with `freedom` > 0 degrees of freedom exceeds `t`.
///
/// # Panics
/// When `freedom` is not positive.
pub fn t_sf(t: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .expect("degrees of freedom are positive")
        .sf(t)
}

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

/// Probability that a standard normal exceeds `z`.
pub fn normal_sf(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// Quantile of the standard normal: `z` with `P(Z <= z) = p`.
///
/// # Panics
/// When `p` is outside (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    -normal_upper(p)
}

/// `P(X <= k)` of a binomial with `n` trials of probability `p` in (0, 1).
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_reg((n - k) as f64, (k + 1) as f64, 1.0 - p)
}

/// `P(X >= k)` of a binomial with `n` trials of probability `p` in (0, 1).
pub fn binomial_sf(k: u64, n: u64, p: f64) -> f64 {
    match k {
        0 => 1.0,
        _ if k > n => 0.0,
        _ => beta_reg(k as f64, (n - k + 1) as f64, p),
    }
}

/// `P(T <= t)` of the noncentral t distribution: `T = (Z + shift) / sqrt(V / freedom)` with Z
/// standard normal and V chi-squared with `freedom` degrees of freedom.
///
/// * `freedom`: > 0, need not be whole
/// * `shift`: noncentrality, finite
///
/// The mean of Φ(t·s − shift) over s = sqrt(V / freedom). With s = eᵘ the integrand is smooth and
/// falls off at both ends, so the trapezoid rule converges exponentially; the density is
/// normalised by its own sum. Good to 1e-9.
///
/// # Panics
/// When `freedom` is not positive.
///
/// Source: Johnson, Kotz & Balakrishnan (1995), *Continuous Univariate Distributions 2*, chapter 31.
pub fn noncentral_t_cdf(t: f64, freedom: f64, shift: f64) -> f64 {
    const NODES: u32 = 2_000;
    /// Relative densities below e^−45 cannot be seen in a double.
    const NEGLIGIBLE: f64 = -45.0;
    assert!(freedom > 0.0, "{freedom} degrees of freedom");
    let log_density = |u: f64| freedom * (u - (2.0 * u).exp_m1() / 2.0);
    // Left of 0 the density is at most e^(freedom·(u + 1/2)), right of 0 it falls ever faster.
    let left = NEGLIGIBLE / freedom - 0.5;
    let low = crossing(left, 0.0, |u| log_density(u) > NEGLIGIBLE);
    let high = crossing(0.0, -left + 1.0, |u| log_density(u) < NEGLIGIBLE);
    let step = (high - low) / f64::from(NODES);
    let (mut total, mut below) = (0.0, 0.0);
    for node in 0..=NODES {
        let u = low + f64::from(node) * step;
        let density = log_density(u).exp();
        total += density;
        below += density * normal_sf(shift - t * u.exp());
    }
    below / total
}

/// First float in [`low`, `high`] where `reached`, false before and true after, turns true.
pub(super) fn crossing(mut low: f64, mut high: f64, reached: impl Fn(f64) -> bool) -> f64 {
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
    use crate::stats::golden::{assert_close, cases, number};

    #[test]
    fn tails_and_quantiles_agree_with_scipy() {
        for case in cases("dist_t_upper_") {
            let input = &case["input"];
            let found = t_upper(number(&input["alpha"]), number(&input["df"]));
            assert_close(found, number(&case["output"]), 1e-9);
        }
        for case in cases("dist_t_sf_") {
            let found = t_sf(number(&case["input"]["t"]), number(&case["input"]["df"]));
            assert_close(found, number(&case["output"]), 1e-9);
        }
        for case in cases("dist_beta_") {
            let input = &case["input"];
            let (a, b) = (number(&input["a"]), number(&input["b"]));
            let found = beta_quantile(number(&input["p"]), a, b);
            assert_close(found, number(&case["output"]), 1e-9);
        }
        for case in cases("dist_binom_") {
            let count = |key: &str| case["input"][key].as_u64().unwrap();
            let (k, n, p) = (count("k"), count("n"), number(&case["input"]["p"]));
            assert_close(binomial_cdf(k, n, p), number(&case["output"]["cdf"]), 1e-9);
            assert_close(binomial_sf(k, n, p), number(&case["output"]["sf"]), 1e-9);
        }
        for case in cases("dist_normal_") {
            let z = number(&case["input"]["z"]);
            assert_close(normal_sf(z), number(&case["output"]), 1e-9);
        }
    }

    #[test]
    fn the_noncentral_t_agrees_with_scipy() {
        for case in cases("dist_nct_") {
            let input = &case["input"];
            let (t, freedom) = (number(&input["t"]), number(&input["df"]));
            let found = noncentral_t_cdf(t, freedom, number(&input["shift"]));
            assert_close(found, number(&case["output"]), 1e-6);
        }
        // Without a shift it is the central distribution.
        assert_close(noncentral_t_cdf(1.3, 7.0, 0.0), 1.0 - t_sf(1.3, 7.0), 1e-9);
    }

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
