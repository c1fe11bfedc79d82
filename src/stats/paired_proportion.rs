//! 0/1 scores of two roles on the same scenes: exact McNemar and Tango's bounds.

use super::distribution::{binomial_sf, crossing, normal_upper};
use super::error::{Error, check_count, check_finite, check_level};
use super::{Estimate, Method};

/// Scenes on which the roles disagree, among all.
///
/// Only [`Discordant::new`] and [`Discordant::of_differences`] build one, so the counts fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discordant {
    candidate_only: u64,
    baseline_only: u64,
    n: u64,
}

impl Discordant {
    /// From counts: scenes only the candidate got right, only the baseline got right, all scenes.
    ///
    /// # Errors
    /// [`Error::TooFew`] without scenes; [`Error::Setting`] when the counts exceed `n`.
    pub fn new(candidate_only: u64, baseline_only: u64, n: u64) -> Result<Self, Error> {
        check_count(usize::try_from(n).unwrap_or(usize::MAX), 1)?;
        let discordant = candidate_only.saturating_add(baseline_only);
        if discordant > n {
            return Err(Error::Setting {
                name: "number of discordant scenes",
                value: discordant as f64,
                demand: "at most the number of scenes",
            });
        }
        Ok(Self {
            candidate_only,
            baseline_only,
            n,
        })
    }

    /// From differences candidate − baseline, each −1, 0 or 1.
    ///
    /// # Errors
    /// [`Error::TooFew`] for an empty slice, [`Error::NotFinite`]; [`Error::OutOfRange`] for a value
    /// that is no difference of two 0/1 scores.
    pub fn of_differences(differences: &[f64]) -> Result<Self, Error> {
        check_finite(differences)?;
        let (mut candidate_only, mut baseline_only) = (0, 0);
        for (index, &value) in differences.iter().enumerate() {
            match value {
                1.0 => candidate_only += 1,
                -1.0 => baseline_only += 1,
                0.0 => {}
                _ => {
                    let (low, high) = (-1.0, 1.0);
                    return Err(Error::OutOfRange {
                        index,
                        value,
                        low,
                        high,
                    });
                }
            }
        }
        Self::new(candidate_only, baseline_only, differences.len() as u64)
    }

    /// Rate of the candidate minus rate of the baseline.
    pub fn difference(&self) -> f64 {
        (self.candidate_only as f64 - self.baseline_only as f64) / self.n as f64
    }

    /// The same scenes with the roles exchanged.
    #[must_use]
    pub fn swapped(&self) -> Self {
        Self {
            candidate_only: self.baseline_only,
            baseline_only: self.candidate_only,
            n: self.n,
        }
    }

    /// Exact one-sided McNemar test of "the candidate is worse": [`sign_test`] of the scenes only
    /// the baseline got right against those only the candidate got right.
    ///
    /// 1 without discordant scenes. Assumes that under H0 a discordant scene falls either way with
    /// equal chance.
    ///
    /// Source: McNemar (1947), *Psychometrika* 12(2), 153–157.
    pub fn p_worse(&self) -> f64 {
        sign_test(self.baseline_only, self.candidate_only)
    }

    /// Exact two-sided McNemar test: twice the smaller tail, at most 1.
    pub fn p_two_sided(&self) -> f64 {
        (2.0 * self.p_worse().min(self.swapped().p_worse())).min(1.0)
    }

    /// Difference of the rates with one-sided bounds by Tango's score test.
    ///
    /// * `alpha`: one-sided error rate of each bound, in (0, 0.5]
    ///
    /// The bounds are the differences Δ at which the score statistic, with the discordant rate
    /// fitted under Δ, equals ±z. Asymptotic; holds far better than Wald's at small n, but may miss
    /// up to 7.6 % at a nominal 5 % when few scenes are discordant. Without discordant scenes the
    /// bounds are ∓z²/(n + z²), never of width zero.
    ///
    /// # Errors
    /// [`Error::Level`].
    ///
    /// Source: Tango (1998), *Statistics in Medicine* 17(8), 891–908.
    pub fn tango(&self, alpha: f64) -> Result<Estimate, Error> {
        check_level(alpha)?;
        Ok(Estimate {
            point: self.difference(),
            low: self.tango_lower(alpha).min(self.difference()),
            high: (-self.swapped().tango_lower(alpha)).max(self.difference()),
            alpha,
            n: usize::try_from(self.n).unwrap_or(usize::MAX),
            method: Method::Tango,
        })
    }

    /// Smallest Δ that the score test does not reject from below.
    fn tango_lower(&self, alpha: f64) -> f64 {
        let z = normal_upper(alpha);
        if self.baseline_only == self.n {
            return -1.0;
        }
        crossing(-1.0, self.difference(), |delta| self.score(delta) <= z)
    }

    /// Score statistic of H0 "the difference is `delta`"; falls as `delta` grows.
    fn score(&self, delta: f64) -> f64 {
        let n = self.n as f64;
        let (b, c) = (self.candidate_only as f64, self.baseline_only as f64);
        // Maximum-likelihood rate of `baseline only` under the constraint: root of A·q² + B·q + C.
        let quadratic = 2.0 * n;
        let linear = -b - c + (2.0 * n - b + c) * delta;
        let constant = -c * delta * (1.0 - delta);
        let root = (linear * linear - 4.0 * quadratic * constant)
            .max(0.0)
            .sqrt();
        let q = (root - linear) / (2.0 * quadratic);
        let variance = n * (2.0 * q + delta * (1.0 - delta));
        let distance = b - c - n * delta;
        if variance > 0.0 {
            distance / variance.sqrt()
        } else if distance > 0.0 {
            f64::INFINITY
        } else {
            0.0
        }
    }
}

/// Exact one-sided sign test: the chance of `k` or more heads among `k + others` fair coins.
///
/// Used for McNemar's test and for the share of slower scenes. Gives 1 when `k` is 0.
///
/// Source: Conover (1999), *Practical Nonparametric Statistics*, 3rd ed., section 3.4.
pub fn sign_test(k: u64, others: u64) -> f64 {
    let n = k.saturating_add(others);
    if n > MOST_SUMMED {
        return binomial_sf(k, n, 0.5);
    }
    // Heads are as likely as tails, so the upper tail is the lower one of the other side. The
    // smaller of the two is summed.
    if k > others {
        fair_coins_at_most(others, n)
    } else if k == 0 {
        1.0
    } else {
        1.0 - fair_coins_at_most(k - 1, n)
    }
}

/// Coins up to which binomial terms are added one by one.
const MOST_SUMMED: u64 = 1_000_000;

/// `P(X <= k)` among `n` fair coins: Σ C(n, i) / 2^n term by term, exact up to rounding.
fn fair_coins_at_most(k: u64, n: u64) -> f64 {
    const STEP: i32 = 512;
    // Terms are kept within range by taking out powers of two, which costs no precision.
    let (mut term, mut sum, mut taken_out) = (1.0f64, 0.0f64, 0i32);
    let scale = 0.5f64.powi(STEP);
    for i in 0..=k {
        sum += term;
        term *= (n - i) as f64 / (i + 1) as f64;
        if sum > 1.0 / scale {
            sum *= scale;
            term *= scale;
            taken_out += STEP;
        }
    }
    let mut left = i32::try_from(n).expect("at most a million") - taken_out;
    // 2^-n in two or more steps: a single power would underflow where the product does not.
    while left > STEP {
        sum *= scale;
        left -= STEP;
    }
    sum * 0.5f64.powi(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number};

    fn of(candidate_only: u64, baseline_only: u64, n: u64) -> Discordant {
        Discordant::new(candidate_only, baseline_only, n).unwrap()
    }

    #[test]
    fn mcnemar_agrees_with_statsmodels() {
        for case in cases("mcnemar_") {
            let b = case["input"]["b"].as_u64().unwrap();
            let c = case["input"]["c"].as_u64().unwrap();
            // The oracle asks for an excess of b; here that is the baseline's side.
            let found = of(c, b, 1000);
            assert_close(found.p_worse(), number(&case["output"]["p1"]), 1e-12);
            assert_close(found.p_two_sided(), number(&case["output"]["p2"]), 1e-12);
        }
    }

    #[test]
    fn sign_test_agrees_with_scipy() {
        for case in cases("sign_") {
            let k = case["input"]["k"].as_u64().unwrap();
            let others = case["input"]["others"].as_u64().unwrap();
            assert_close(sign_test(k, others), number(&case["output"]), 1e-12);
        }
    }

    #[test]
    fn bounds_agree_with_the_constrained_maximum_of_the_likelihood() {
        for case in cases("tango_") {
            let count = |key: &str| case["input"][key].as_u64().unwrap();
            let alpha = number(&case["input"]["alpha"]);
            let found = of(count("b"), count("c"), count("n")).tango(alpha).unwrap();
            let close = |found: f64, expected: f64| {
                assert!((found - expected).abs() < 1e-7, "{found} {expected} {case}");
            };
            close(found.low, number(&case["output"]["low"]));
            close(found.high, number(&case["output"]["high"]));
        }
    }

    #[test]
    fn agreement_everywhere_still_leaves_room() {
        let z = normal_upper(0.05);
        for n in [1, 30, 300] {
            let found = of(0, 0, n).tango(0.05).unwrap();
            let room = z * z / (n as f64 + z * z);
            assert_close(found.low, -room, 1e-9);
            assert_close(found.high, room, 1e-9);
        }
        assert_close(of(0, 0, 9).p_worse(), 1.0, 0.0);
    }

    #[test]
    fn disagreement_everywhere_has_bounds_too() {
        let found = of(0, 20, 20).tango(0.05).unwrap();
        assert_eq!((found.point, found.low), (-1.0, -1.0));
        assert!(found.high > -1.0 && found.high < -0.7);
        let found = of(20, 0, 20).tango(0.05).unwrap();
        assert_eq!((found.point, found.high), (1.0, 1.0));
    }

    #[test]
    fn swapping_roles_mirrors() {
        for (b, c, n) in [(9, 2, 60), (0, 7, 30), (5, 5, 10)] {
            let there = of(b, c, n).tango(0.05).unwrap();
            let back = of(b, c, n).swapped().tango(0.05).unwrap().negated();
            assert_eq!(there, back);
        }
    }

    #[test]
    fn differences_are_counted_or_refused() {
        let found = Discordant::of_differences(&[1.0, 0.0, -1.0, -1.0, 0.0]).unwrap();
        assert_eq!(found, of(1, 2, 5));
        assert!(matches!(
            Discordant::of_differences(&[0.0, 0.5]),
            Err(Error::OutOfRange { index: 1, .. })
        ));
        assert!(matches!(
            Discordant::of_differences(&[f64::NAN]),
            Err(Error::NotFinite { index: 0 })
        ));
        let none = Err(Error::TooFew {
            found: 0,
            needed: 1,
        });
        assert_eq!(Discordant::of_differences(&[]), none);
        assert!(matches!(
            Discordant::new(3, 3, 5),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(of(1, 1, 9).tango(0.9), Err(Error::Level { .. })));
    }

    #[test]
    fn few_discordant_scenes_prove_nothing() {
        // At a sixth of one percent, one-sided, it takes ten of ten.
        assert!(of(0, 9, 300).p_worse() > 0.00167);
        assert!(of(0, 10, 300).p_worse() < 0.00167);
    }
}
