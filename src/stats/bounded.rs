//! Bounds of the mean of a bounded quantity that need no spread.
//!
//! When no scene got worse, or all scenes changed by the same amount, Student's t has nothing to
//! work with. What remains is the largest value seen: with n scenes, a share of 1 − alpha^(1/n) of
//! the population may still lie above it, and nothing is known of that share.

use super::error::{Error, check_count, check_level, check_range};
use super::mean::t_estimate;
use super::resample::{Resamples, studentised};
use super::sum::exact_mean;
use super::{Estimate, Method};

/// Share of a population that n draws may all have missed: `1 − alpha^(1/n)`.
///
/// About 3/n at `alpha = 0.05`, the rule of three (Hanley & Lippman-Hand 1983, *JAMA* 249(13)):
/// 4.9 % for 60 scenes, 1.0 % for 300. Gives 1 for `n = 0`.
pub fn unseen_share(n: usize, alpha: f64) -> f64 {
    if n == 0 {
        1.0
    } else {
        -(alpha.ln() / n as f64).exp_m1()
    }
}

/// One-sided upper bound of the mean of a quantity that never exceeds `limit`.
///
/// * `values`: `[n]` draws, each at most `limit`
/// * `limit`: the largest possible value
/// * `alpha`: one-sided error rate in (0, 0.5]
///
/// With `m` the largest value seen and `q` = [`unseen_share`], the bound is `m + (limit − m)·q`. For
/// losses in [−1, 1] of which none is positive it is at most `1 − alpha^(1/n)`.
///
/// Exact at every n for independent draws of any distribution. Proof: let x be the smallest number
/// with P(X > x) ≤ q. The mean is at most x + (limit − x)·q, because all but a share q lies at or
/// below x. The bound grows with m, so it can fail only if m < x, that is if all n draws fell below
/// x. Each does with probability at most 1 − q, since P(X ≥ x) ≥ q by the choice of x. All do with
/// probability at most (1 − q)^n = alpha.
///
/// # Errors
/// [`Error::TooFew`] for an empty sample; [`Error::NotFinite`], [`Error::Level`];
/// [`Error::OutOfRange`] when a value exceeds `limit`.
pub fn mean_upper(values: &[f64], limit: f64, alpha: f64) -> Result<f64, Error> {
    check_level(alpha)?;
    check_count(values.len(), 1)?;
    check_range(values, f64::NEG_INFINITY, limit)?;
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(largest + (limit - largest) * unseen_share(values.len(), alpha))
}

/// Mean with both one-sided bounds of [`mean_upper`], for a quantity in [−`limit`, `limit`].
///
/// # Errors
/// Those of [`mean_upper`], for either side.
pub fn estimate(values: &[f64], limit: f64, alpha: f64) -> Result<Estimate, Error> {
    check_range(values, -limit, limit)?;
    let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
    let low = -mean_upper(&mirrored, limit, alpha)?;
    let high = mean_upper(values, limit, alpha)?;
    // Rounding may put the mean of equal values a hair outside the values themselves.
    let point = exact_mean(values).clamp(low, high);
    Ok(Estimate {
        point,
        low,
        high,
        alpha,
        n: values.len(),
        method: Method::LargestSeen,
    })
}

/// Mean loss with both one-sided bounds, whatever the sample looks like.
///
/// * `losses`: `[n]` in [−1, 1], positive where the candidate got worse
/// * `alpha`: one-sided error rate of each bound, in (0, 0.5]
///
/// Student's t where some scene got worse and the losses differ. Without a spread, [`estimate`].
/// Where no scene got worse, the upper bound is [`mean_upper`]: gains, however they vary, say
/// nothing about losses that were not seen.
///
/// # Errors
/// [`Error::TooFew`] for an empty sample; [`Error::NotFinite`], [`Error::OutOfRange`],
/// [`Error::Level`].
pub fn mean_loss(losses: &[f64], alpha: f64) -> Result<Estimate, Error> {
    check_range(losses, -1.0, 1.0)?;
    let by_t = match t_estimate(losses, alpha) {
        Err(Error::NoSpread { .. } | Error::TooFew { .. }) => return estimate(losses, 1.0, alpha),
        found => found?,
    };
    if losses.iter().any(|loss| *loss > 0.0) {
        return Ok(by_t);
    }
    Ok(Estimate {
        high: mean_upper(losses, 1.0, alpha)?,
        method: Method::NoLoss,
        ..by_t
    })
}

/// Mean loss with the wider of Student's t and the studentised bootstrap on each side.
///
/// * `losses`, `alpha`: as for [`mean_loss`]
/// * `resamples`: [`super::resample::RESAMPLES`] of them, seeded from the records
///
/// Student's t alone passes a loss at the margin a little too often when losses are skewed or mostly
/// zero; the bootstrap follows the skew. Where [`mean_loss`] needs no spread, or the level is too
/// small to be resampled, the estimate is that of [`mean_loss`], and its method says so.
///
/// # Errors
/// Those of [`mean_loss`] and of [`super::resample::studentised`].
pub fn cautious_loss(losses: &[f64], alpha: f64, resamples: Resamples) -> Result<Estimate, Error> {
    let by_t = mean_loss(losses, alpha)?;
    if by_t.method != Method::StudentT {
        return Ok(by_t);
    }
    match studentised(losses, alpha, resamples) {
        Ok(bootstrap) => Ok(Estimate {
            low: by_t.low.min(bootstrap.low),
            high: by_t.high.max(bootstrap.high),
            method: Method::TOrBootstrap,
            ..by_t
        }),
        Err(Error::TooFewResamples { .. } | Error::Unstable) => Ok(by_t),
        Err(error) => Err(error),
    }
}

/// Fewest draws after which a sample without any loss bounds the mean loss below `margin`.
///
/// * `margin`: in (0, 1), as a share of the largest possible loss
///
/// 59 for 0.05 and 99 for 0.03 at `alpha = 0.05`.
///
/// # Panics
/// When `margin` is not in (0, 1).
pub fn draws_needed(margin: f64, alpha: f64) -> usize {
    assert!(
        margin > 0.0 && margin < 1.0,
        "margin {margin} is not in (0, 1)"
    );
    let exact = alpha.ln() / (-margin).ln_1p();
    if exact > 1e9 {
        return usize::MAX;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1e9"
    )]
    let mut n = exact.floor() as usize;
    while unseen_share(n, alpha) >= margin {
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::assert_close;

    const NOTHING: Result<Estimate, Error> = Err(Error::TooFew {
        found: 0,
        needed: 1,
    });

    #[test]
    fn no_loss_gives_the_rule_of_three() {
        for (n, share) in [(30, 0.095), (60, 0.049), (149, 0.020), (300, 0.010)] {
            let bound = mean_upper(&vec![0.0; n], 1.0, 0.05).unwrap();
            assert!((bound - share).abs() < 5e-4, "n = {n}: {bound}");
        }
        // Clopper–Pearson with no successes says the same.
        let cp = crate::stats::proportion::upper_bound(0, 59, 0.05).unwrap();
        assert_close(mean_upper(&[0.0; 59], 1.0, 0.05).unwrap(), cp, 1e-9);
    }

    #[test]
    fn gains_only_do_not_loosen_the_bound() {
        let gains: Vec<f64> = (0..60).map(|i| -f64::from(i) / 100.0).collect();
        assert_close(
            mean_upper(&gains, 1.0, 0.05).unwrap(),
            unseen_share(60, 0.05),
            1e-12,
        );
    }

    #[test]
    fn an_equal_loss_everywhere_is_bounded_on_both_sides() {
        let found = estimate(&[0.5; 60], 1.0, 0.05).unwrap();
        assert_close(found.point, 0.5, 1e-12);
        assert!(found.low > 0.4 && found.low < 0.5 && found.high > 0.5 && found.high < 0.53);
    }

    #[test]
    fn a_sample_picks_the_bound_it_supports() {
        let method = |losses: &[f64]| mean_loss(losses, 0.05).unwrap().method;
        assert_eq!(method(&[0.1, -0.1, 0.0]), Method::StudentT);
        assert_eq!(method(&[0.0; 60]), Method::LargestSeen);
        assert_eq!(method(&[0.2]), Method::LargestSeen);
        assert_eq!(method(&[0.0, -0.3, 0.0]), Method::NoLoss);
        assert_eq!(mean_loss(&[], 0.05), NOTHING);
    }

    #[test]
    fn the_wider_of_two_bounds_is_taken() {
        let seed = crate::stats::rng::Seed::of_digest([6; 32]);
        let count = 999;
        let resamples = Resamples::Seeded { seed: &seed, count };
        let mut skewed = vec![0.0; 60];
        skewed[..6].copy_from_slice(&[0.5, 0.3, 0.2, 0.1, 0.1, -0.05]);
        let found = cautious_loss(&skewed, 0.05, resamples).unwrap();
        let by_t = t_estimate(&skewed, 0.05).unwrap();
        let by_bootstrap = studentised(&skewed, 0.05, resamples).unwrap();
        assert!(by_bootstrap.high > by_t.high && by_bootstrap.low > by_t.low);
        assert_eq!((found.low, found.high), (by_t.low, by_bootstrap.high));
        assert_eq!(found.method, Method::TOrBootstrap);
        // Nothing to resample, or too fine a level: as without.
        assert_eq!(
            cautious_loss(&[0.0; 60], 0.05, resamples),
            mean_loss(&[0.0; 60], 0.05)
        );
        assert_eq!(
            cautious_loss(&skewed, 0.001, resamples),
            mean_loss(&skewed, 0.001)
        );
        assert_eq!(cautious_loss(&[], 0.05, resamples), NOTHING);
    }

    #[test]
    fn gains_certify_no_more_than_the_number_of_scenes() {
        let mut losses = vec![0.0; 60];
        losses[7] = -0.01;
        let found = mean_loss(&losses, 0.05).unwrap();
        // Gains lie below zero, so the largest seen loss is zero and the rule of three holds.
        assert_close(found.high, unseen_share(60, 0.05), 1e-12);
        assert!(found.low < found.point && found.point < found.high);
    }

    #[test]
    fn draws_needed_are_the_smallest_that_suffice() {
        assert_eq!(draws_needed(0.05, 0.05), 59);
        assert_eq!(draws_needed(0.03, 0.05), 99);
        assert_eq!(draws_needed(0.02, 0.05), 149);
        assert_eq!(draws_needed(1e-300, 0.05), usize::MAX);
    }

    #[test]
    fn nothing_bounds_nothing() {
        assert_eq!(
            mean_upper(&[], 1.0, 0.05),
            Err(Error::TooFew {
                found: 0,
                needed: 1
            })
        );
        assert_close(unseen_share(0, 0.05), 1.0, 0.0);
    }

    #[test]
    fn losses_off_the_scale_are_refused() {
        let refused = |found| matches!(found, Err(Error::OutOfRange { index: 1, .. }));
        assert!(refused(mean_loss(&[0.0, 1.5], 0.05)));
        assert!(refused(mean_loss(&[0.0, -1.5], 0.05)));
        assert!(refused(estimate(&[0.1, 0.3], 0.2, 0.05)));
        assert_eq!(
            mean_loss(&[f64::NAN], 0.05),
            Err(Error::NotFinite { index: 0 })
        );
        assert!(matches!(
            mean_loss(&[0.1, 0.2], 0.7),
            Err(Error::Level { .. })
        ));
    }
}
