//! Sample quantiles for display, and bounds of population quantiles that refuse small samples.

use super::distribution::{beta_quantile, binomial_cdf};
use super::error::{Error, check_count, check_finite, check_level};
use super::{Estimate, Method};

/// Sample quantile, type 7: linear between order statistics, the default of numpy and R.
///
/// * `values`: `[n]` numbers in any order
/// * `q`: in [0, 1]
///
/// # Errors
/// [`Error::TooFew`] for an empty slice, [`Error::NotFinite`]; [`Error::Setting`] when `q` is
/// outside [0, 1].
///
/// Source: Hyndman & Fan (1996), *The American Statistician* 50(4), 361–365.
pub fn type7(values: &[f64], q: f64) -> Result<f64, Error> {
    if !(0.0..=1.0).contains(&q) {
        return Err(not_a_share("quantile", q));
    }
    check_count(values.len(), 1)?;
    check_finite(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(of_sorted(&sorted, q))
}

/// Type-7 quantile of values already sorted; `sorted` is not empty and `q` in [0, 1].
pub(super) fn of_sorted(sorted: &[f64], q: f64) -> f64 {
    let position = (sorted.len() - 1) as f64 * q;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the length"
    )]
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let share = position - position.floor();
    sorted[below] + (sorted[above] - sorted[below]) * share
}

/// One-sided upper bound of the population's `q` quantile: an order statistic.
///
/// * `values`: `[n]` independent draws
/// * `q`: in (0, 1)
/// * `alpha`: one-sided error rate in (0, 0.5]
///
/// The r-th smallest value with the smallest r for which P(Bin(n, q) ≥ r) ≤ `alpha`. Exact for
/// any continuous distribution. At `alpha = 0.05` it exists from n = 29 (q = 0.9), 59 (0.95),
/// 299 (0.99).
///
/// # Errors
/// [`Error::TooFew`] with the number needed, when no order statistic is high enough;
/// [`Error::NotFinite`], [`Error::Level`]; [`Error::Setting`] when `q` is outside (0, 1).
///
/// Source: Conover (1999), *Practical Nonparametric Statistics*, 3rd ed., section 3.2.
pub fn upper_bound(values: &[f64], q: f64, alpha: f64) -> Result<f64, Error> {
    let sorted = checked(values, q, alpha)?;
    let needed = units_needed(q, alpha)?;
    let rank = rank_above(sorted.len(), q, alpha).ok_or(Error::TooFew {
        found: sorted.len(),
        needed: needed.max(sorted.len() + 1),
    })?;
    Ok(sorted[rank - 1])
}

/// One-sided lower bound of the population's `q` quantile: the mirror of [`upper_bound`].
///
/// Exists at `alpha = 0.05` from n = 5 for the median, but from n = 2 for `q = 0.9`.
///
/// # Errors
/// Those of [`upper_bound`].
pub fn lower_bound(values: &[f64], q: f64, alpha: f64) -> Result<f64, Error> {
    let sorted = checked(values, q, alpha)?;
    let needed = units_needed(1.0 - q, alpha)?;
    let rank = rank_above(sorted.len(), 1.0 - q, alpha).ok_or(Error::TooFew {
        found: sorted.len(),
        needed: needed.max(sorted.len() + 1),
    })?;
    Ok(sorted[sorted.len() - rank])
}

/// Sample quantile with both bounds; arguments as for [`upper_bound`].
///
/// At `alpha = 0.025` on each side it exists from n = 36 (q = 0.9), 72 (0.95), 368 (0.99). The
/// population's quantile lies between the bounds; the type-7 point lies there too.
///
/// # Errors
/// Those of [`upper_bound`], from whichever side lacks values.
pub fn estimate(values: &[f64], q: f64, alpha: f64) -> Result<Estimate, Error> {
    let (low, high) = (
        lower_bound(values, q, alpha)?,
        upper_bound(values, q, alpha)?,
    );
    let point = type7(values, q)?;
    if point < low || point > high {
        return Err(Error::Unstable);
    }
    Ok(Estimate {
        point,
        low,
        high,
        alpha,
        n: values.len(),
        method: Method::OrderStatistic,
    })
}

/// Smallest n for which the largest of n values bounds the quantile: `q^n <= alpha`.
///
/// # Errors
/// [`Error::Level`]; [`Error::Setting`] when `q` is outside (0, 1).
pub fn units_needed(q: f64, alpha: f64) -> Result<usize, Error> {
    check_quantile(q)?;
    check_level(alpha)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and the ratio of two logarithms of shares is positive"
    )]
    let n = (alpha.ln() / q.ln()).ceil() as usize;
    Ok(n)
}

/// Trials after which `overruns` of them still show that a share `q` stays within the limit.
///
/// * `q`: share of latencies that must stay within their limit, in (0, 1)
/// * `overruns`: trials that exceeded it
/// * `confidence`: in (0, 1), e.g. 0.99
///
/// Gives h + `overruns`, with the smallest h for which `I_q(h, overruns + 1) <= 1 − confidence`:
/// the chance of so few overruns if only a share `q` stayed within. 44 without overruns at
/// q = 0.9 and 99 %.
///
/// # Errors
/// [`Error::Setting`] when `q` or `confidence` is outside (0, 1), or more than a billion trials
/// would be needed.
///
/// Source: Reddi et al. (2020), *MLPerf Inference Benchmark*, section on early stopping.
pub fn trials_with_overruns(q: f64, overruns: u64, confidence: f64) -> Result<u64, Error> {
    const MOST: u64 = 1_000_000_000;
    check_quantile(q)?;
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(not_a_share("confidence", confidence));
    }
    // I_q(h, t + 1) = P(Bin(h + t, 1 − q) <= t), falling in h.
    let shows = |h: u64| binomial_cdf(overruns, h + overruns, 1.0 - q) <= 1.0 - confidence;
    let mut high = 1;
    while !shows(high) {
        high *= 2;
        if high > MOST {
            return Err(not_a_share("quantile", q));
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if shows(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high + overruns)
}

/// Share of the population that the r-th smallest of n draws is sure to exceed, at level `alpha`.
///
/// What a sample too small for [`upper_bound`] does support: with r = n, the largest value bounds
/// the quantile `alpha^(1/n)`.
///
/// # Errors
/// [`Error::TooFew`] without draws, [`Error::Level`]; [`Error::Setting`] when `rank` is not between
/// 1 and n.
pub fn supported_share(rank: usize, n: usize, alpha: f64) -> Result<f64, Error> {
    check_count(n, 1)?;
    check_level(alpha)?;
    if rank == 0 || rank > n {
        return Err(Error::Setting {
            name: "rank",
            value: rank as f64,
            demand: "between 1 and the number of values",
        });
    }
    Ok(beta_quantile(alpha, rank as f64, (n - rank + 1) as f64))
}

/// Smallest r with P(Bin(n, q) >= r) <= alpha, that is P(Bin <= r − 1) >= 1 − alpha.
fn rank_above(n: usize, q: f64, alpha: f64) -> Option<usize> {
    (1..=n).find(|rank| binomial_cdf(*rank as u64 - 1, n as u64, q) >= 1.0 - alpha)
}

/// Sorted values after all checks.
fn checked(values: &[f64], q: f64, alpha: f64) -> Result<Vec<f64>, Error> {
    check_quantile(q)?;
    check_level(alpha)?;
    check_finite(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

fn check_quantile(q: f64) -> Result<(), Error> {
    if q > 0.0 && q < 1.0 {
        Ok(())
    } else {
        Err(not_a_share("quantile", q))
    }
}

fn not_a_share(name: &'static str, value: f64) -> Error {
    Error::Setting {
        name,
        value,
        demand: "between 0 and 1",
    }
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
        let check = |family: &str, key: &str, bound: fn(&[f64], f64, f64) -> Result<f64, Error>| {
            for case in cases(family) {
                let values = numbers(&case["input"]["y"]);
                let found = bound(&values, number(&case["input"]["q"]), 0.05);
                match case["output"][key].as_f64() {
                    Some(expected) => assert_eq!(found, Ok(expected), "{}", case["name"]),
                    None => assert!(matches!(found, Err(Error::TooFew { .. }))),
                }
            }
        };
        check("quantile_ub_", "high", upper_bound);
        check("quantile_lb_", "low", lower_bound);
    }

    #[test]
    fn early_stopping_agrees_with_scipy() {
        for case in cases("mlperf_") {
            let input = &case["input"];
            let overruns = input["t"].as_u64().unwrap();
            let found = trials_with_overruns(number(&input["p"]), overruns, number(&input["c"]));
            let expected = case["output"].as_u64().unwrap() + overruns;
            assert_eq!(found, Ok(expected), "{}", case["name"]);
        }
        for (q, totals) in [
            (0.9, [44, 64, 81, 127]),
            (0.95, [90, 130, 165, 259]),
            (0.99, [459, 662, 838, 1307]),
        ] {
            let found = [0, 1, 2, 5].map(|t| trials_with_overruns(q, t, 0.99).unwrap());
            assert_eq!(found, totals);
        }
    }

    #[test]
    fn smallest_samples_that_have_a_bound() {
        for (q, n) in [(0.9, 29), (0.95, 59), (0.99, 299)] {
            let values = vec![1.0; n];
            assert_eq!(upper_bound(&values, q, 0.05), Ok(1.0));
            let refused = Err(Error::TooFew {
                found: n - 1,
                needed: n,
            });
            assert_eq!(upper_bound(&values[1..], q, 0.05), refused);
        }
        for (q, n) in [(0.9, 36), (0.95, 72), (0.99, 368)] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            assert!(estimate(&values, q, 0.025).is_ok(), "q = {q}");
            assert!(estimate(&values[1..], q, 0.025).is_err(), "q = {q}");
        }
        for (q, n) in [(0.9, 44), (0.95, 90), (0.99, 459)] {
            assert_eq!(units_needed(q, 0.01), Ok(n));
        }
    }

    #[test]
    fn bounds_mirror_each_other() {
        let values: Vec<f64> = (0..80).map(|i| f64::from(i * 37 % 80)).collect();
        let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
        for q in [0.1, 0.5, 0.75, 0.9] {
            let low = lower_bound(&values, q, 0.05);
            let high = upper_bound(&mirrored, 1.0 - q, 0.05);
            assert_eq!(low, high.map(|bound| -bound), "q = {q}");
        }
    }

    #[test]
    fn a_small_sample_says_what_it_supports() {
        // The largest of 40 values exceeds at least the 92.8 % quantile, not the 95 % one.
        let share = supported_share(40, 40, 0.05).unwrap();
        assert_close(share, 0.05f64.powf(1.0 / 40.0), 1e-9);
        assert!(upper_bound(&[1.0; 40], share * 0.9999, 0.05).is_ok());
        assert!(upper_bound(&[1.0; 40], share * 1.0001, 0.05).is_err());
        assert!(supported_share(0, 3, 0.05).is_err() && supported_share(4, 3, 0.05).is_err());
    }

    #[test]
    fn odd_input_is_refused() {
        let none = Err(Error::TooFew {
            found: 0,
            needed: 1,
        });
        assert_eq!(type7(&[], 0.5), none);
        assert!(upper_bound(&[], 0.5, 0.05).is_err());
        assert_eq!(type7(&[f64::NAN], 0.5), Err(Error::NotFinite { index: 0 }));
        assert_eq!(
            upper_bound(&[f64::NAN; 90], 0.5, 0.05),
            Err(Error::NotFinite { index: 0 })
        );
        for q in [0.0, 1.0, f64::NAN] {
            assert!(matches!(
                upper_bound(&[1.0; 90], q, 0.05),
                Err(Error::Setting { .. })
            ));
        }
        assert!(matches!(type7(&[1.0], 1.5), Err(Error::Setting { .. })));
        assert!(trials_with_overruns(0.9, 0, 1.0).is_err());
        assert!(trials_with_overruns(1.0 - 1e-15, 0, 0.99).is_err());
    }
}
