//! What must hold of every statistic, whatever the sample.

use proptest::prelude::*;

use super::betting::{self, Game, bet};
use super::bounded::mean_loss;
use super::cluster::clustered_estimate;
use super::mean::{equivalence, moments, non_inferiority, t_estimate};
use super::multiplicity::{bonferroni, hochberg, holm};
use super::paired_proportion::{Discordant, sign_test};
use super::power::{detectable_effect, power};
use super::proportion::{lower_bound, upper_bound, wilson};
use super::rank::{hodges_lehmann, walsh_estimate};
use super::resample::{Resamples, bca, percentile, sign_flip, studentised};
use super::rng::Seed;
use super::signed_rank::{Alternative, Computation, Zeros, signed_rank};
use super::{Error, Estimate, Method, quantile};

const SEED: [u8; 32] = [3; 32];

/// Differences with zeros, ties and a skew, as scores have them.
fn differences(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        3 => Just(0.0),
        3 => (-20i32..20).prop_map(|value| f64::from(value) / 40.0),
        3 => -0.3..0.3f64,
        1 => -1.0..-0.5f64,
    ];
    prop::collection::vec(value, n)
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

fn shuffle(values: &[f64], seed: u64) -> Vec<f64> {
    let mut values = values.to_vec();
    Seed::of_digest(SEED).stream(seed).shuffle(&mut values);
    values
}

type AtLevel = fn(&[f64], f64) -> Result<Estimate, Error>;
type Bound = fn(&[f64]) -> Result<Estimate, Error>;

/// Estimates that do not resample: name, function.
const CLOSED: [(&str, Bound); 5] = [
    ("t", |values| t_estimate(values, 0.05)),
    ("clustered", |values| {
        let clusters: Vec<usize> = (0..values.len()).collect();
        clustered_estimate(values, &clusters, 0.05)
    }),
    ("walsh", |values| walsh_estimate(values, 0.05)),
    ("median", |values| quantile::estimate(values, 0.5, 0.05)),
    ("largest seen", |values| {
        super::bounded::estimate(values, 1.0, 0.05)
    }),
];

/// Estimates that resample with a fixed seed.
const RESAMPLED: [(&str, Bound); 3] = [
    ("studentised", |values| resampled(values, studentised)),
    ("bca", |values| resampled(values, bca)),
    ("percentile", |values| resampled(values, percentile)),
];

fn resampled(
    values: &[f64],
    method: fn(&[f64], f64, Resamples) -> Result<Estimate, Error>,
) -> Result<Estimate, Error> {
    let seed = Seed::of_digest(SEED);
    let count = 299;
    method(values, 0.05, Resamples::Seeded { seed: &seed, count })
}

#[track_caller]
fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_scenes_does_not_matter(values in differences(0..60), seed in any::<u64>()) {
        let other = shuffle(&values, seed);
        for (name, estimate) in CLOSED {
            // Bit for bit: sums are exact.
            prop_assert_eq!(estimate(&values), estimate(&other), "{}", name);
        }
        prop_assert_eq!(mean_loss(&values, 0.05), mean_loss(&other, 0.05));
        prop_assert_eq!(moments(&values), moments(&other));
        prop_assert_eq!(non_inferiority(&values, 0.02), non_inferiority(&other, 0.02));
        prop_assert_eq!(hodges_lehmann(&values), hodges_lehmann(&other));
        let rank = |values: &[f64]| {
            signed_rank(values, Alternative::Less, Zeros::Drop, Computation::Exact)
        };
        prop_assert_eq!(rank(&values), rank(&other));
    }

    #[test]
    fn swapping_roles_mirrors(values in differences(0..60)) {
        let swapped = negated(&values);
        for (name, estimate) in CLOSED {
            let (there, back) = (estimate(&values), estimate(&swapped).map(Estimate::negated));
            match (name, there, back) {
                // Interpolation between two order statistics rounds differently from either side.
                ("median", Ok(there), Ok(back)) => {
                    close(there.point, back.point);
                    prop_assert_eq!((there.low, there.high), (back.low, back.high));
                }
                (_, there, back) => prop_assert_eq!(there, back, "{}", name),
            }
        }
        for (name, estimate) in RESAMPLED {
            match (estimate(&values), estimate(&swapped)) {
                (Ok(there), Ok(back)) => {
                    let back = back.negated();
                    close(there.point, back.point);
                    close(there.low, back.low);
                    close(there.high, back.high);
                }
                (there, back) => prop_assert_eq!(there, back, "{}", name),
            }
        }
        if let Ok(there) = equivalence(&values, 0.05) {
            let back = equivalence(&swapped, 0.05).unwrap();
            close(there.not_below.p, back.not_above.p);
        }
        let p = |values: &[f64], alternative| {
            signed_rank(values, alternative, Zeros::Drop, Computation::Exact).map(|found| found.p)
        };
        match (p(&values, Alternative::Less), p(&swapped, Alternative::Greater)) {
            (Ok(there), Ok(back)) => close(there, back),
            (there, back) => prop_assert_eq!(there, back),
        }
        prop_assert_eq!(
            p(&values, Alternative::TwoSided).is_ok(),
            values.iter().any(|value| *value != 0.0)
        );
    }

    #[test]
    fn bounds_enclose_their_point_or_there_are_none(values in differences(0..60)) {
        for (name, estimate) in CLOSED.into_iter().chain(RESAMPLED) {
            match estimate(&values) {
                Ok(found) => {
                    prop_assert!(found.low <= found.point && found.point <= found.high, "{}", name);
                    let is_flat = found.high - found.low <= 0.0;
                    // Order statistics of tied values may coincide; means never have width zero.
                    let ties = [Method::WalshAverages, Method::OrderStatistic];
                    let may_tie = ties.contains(&found.method);
                    prop_assert!(!is_flat || may_tie, "{}", name);
                    prop_assert!(found.low.is_finite() && found.high.is_finite());
                }
                Err(error) => prop_assert!(
                    matches!(
                        error,
                        Error::TooFew { .. } | Error::NoSpread { .. } | Error::Unstable
                    ),
                    "{name}: {error}"
                ),
            }
        }
    }

    #[test]
    fn a_stricter_level_widens_every_interval(values in differences(20..60)) {
        let bounds: [AtLevel; 4] = [
            t_estimate,
            walsh_estimate,
            mean_loss,
            |values, alpha| quantile::estimate(values, 0.5, alpha),
        ];
        for estimate in bounds {
            if let (Ok(wide), Ok(narrow)) = (estimate(&values, 0.01), estimate(&values, 0.1)) {
                prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
            }
        }
    }

    #[test]
    fn a_gain_for_every_scene_never_hurts(values in differences(5..60), gain in 0.0..0.4f64) {
        let better: Vec<f64> = values.iter().map(|value| value + gain).collect();
        let raises = |bound: &dyn Fn(&[f64]) -> Option<f64>| match (bound(&values), bound(&better)) {
            (Some(before), Some(after)) => after >= before - 1e-9,
            _ => true,
        };
        prop_assert!(raises(&|values| t_estimate(values, 0.05).ok().map(|found| found.low)));
        prop_assert!(raises(&|values| resampled(values, studentised).ok().map(|found| found.low)));
        prop_assert!(raises(&|values| walsh_estimate(values, 0.05).ok().map(|found| found.low)));
        let falls = |p: &dyn Fn(&[f64]) -> Option<f64>| match (p(&values), p(&better)) {
            (Some(before), Some(after)) => after <= before + 1e-9,
            _ => true,
        };
        prop_assert!(falls(&|values| non_inferiority(values, 0.02).ok().map(|test| test.p)));
        // Betting: on the same scale, so that nothing leaves [−1, 1].
        let certified = |values: &[f64]| {
            let small: Vec<f64> = values.iter().map(|value| value / 2.0).collect();
            betting::certified_loss(&small, 60, 0.05).unwrap()
        };
        prop_assert!(certified(&better) <= certified(&values) + 1e-9);
    }

    #[test]
    fn betting_is_monotone_and_valid_at_every_look(values in differences(1..120)) {
        let game = |margin| Game { planned: 120, margin, alpha: 0.05 };
        let mut before = f64::NEG_INFINITY;
        for margin in [0.0, 0.02, 0.05, 0.1, 0.3] {
            let found = bet(&values, &game(margin)).unwrap();
            prop_assert!(found.log_max >= before);
            before = found.log_max;
            // Capital never dies: a later scene may always win it back.
            prop_assert!(found.log_capital.iter().all(|log| log.is_finite()));
        }
        // What the first scenes certify, more scenes never take back.
        let half = &values[..values.len().div_ceil(2)];
        let early = betting::certified_loss(half, 120, 0.05).unwrap();
        prop_assert!(betting::certified_loss(&values, 120, 0.05).unwrap() <= early);
    }

    #[test]
    fn proportions_mirror_and_grow(n in 1u64..400, share in 0.0..1.0f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
        let k = (share * n as f64) as u64;
        let (low, high) = (lower_bound(k, n, 0.05).unwrap(), upper_bound(k, n, 0.05).unwrap());
        let rate = k as f64 / n as f64;
        prop_assert!(low <= rate && rate <= high && low < high);
        close(low, 1.0 - upper_bound(n - k, n, 0.05).unwrap());
        let score = wilson(k, n, 0.05).unwrap();
        prop_assert!(score.0 <= rate && rate <= score.1);
        close(score.0, 1.0 - wilson(n - k, n, 0.05).unwrap().1);
        if k < n {
            prop_assert!(upper_bound(k + 1, n, 0.05).unwrap() > high);
            prop_assert!(lower_bound(k + 1, n, 0.05).unwrap() > low);
        }
        prop_assert!(upper_bound(k, n + 1, 0.05).unwrap() < high || k == n);
    }

    #[test]
    fn paired_proportions_follow_the_losses(b in 0u64..40, c in 0u64..40, spare in 1u64..200) {
        let of = |b, c| Discordant::new(b, c, 40 + 40 + spare).unwrap();
        let found = of(b, c).tango(0.05).unwrap();
        prop_assert!(found.low < found.point && found.point < found.high);
        prop_assert_eq!(found, of(c, b).tango(0.05).unwrap().negated());
        let worse = of(b, c + 1);
        prop_assert!(worse.tango(0.05).unwrap().low < found.low);
        prop_assert!(worse.p_worse() <= of(b, c).p_worse());
        // The two tails share the middle term.
        let both = sign_test(c, b) + sign_test(b, c);
        prop_assert!(both >= 1.0 - 1e-12);
    }

    #[test]
    fn adjusted_values_keep_their_order(p in prop::collection::vec(0.0..1.0f64, 1..12)) {
        let (all, down, up) = (bonferroni(&p).unwrap(), holm(&p).unwrap(), hochberg(&p).unwrap());
        for i in 0..p.len() {
            prop_assert!(p[i] <= up[i] + 1e-15 && up[i] <= down[i] + 1e-15);
            prop_assert!(down[i] <= all[i] + 1e-15 && all[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || down[i] <= down[j] + 1e-15);
            }
        }
    }

    #[test]
    fn power_grows_with_effect_units_and_level(effect in 0.05..2.0f64, n in 3usize..80) {
        let of = |effect, n, alpha| power(effect, n, alpha).unwrap();
        let found = of(effect, n, 0.01);
        prop_assert!((0.0..=1.0).contains(&found));
        prop_assert!(of(effect * 1.1, n, 0.01) >= found - 1e-9);
        prop_assert!(of(effect, n + 1, 0.01) >= found - 1e-9);
        prop_assert!(of(effect, n, 0.02) >= found - 1e-9);
        if n > 4 {
            let least = detectable_effect(n, 0.01, 0.9).unwrap();
            close(of(least, n, 0.01), 0.9);
        }
    }

    #[test]
    fn sign_flips_shrink_with_the_margin(values in differences(1..11), margin in 0.0..0.3f64) {
        let p = sign_flip(&values, margin).unwrap();
        prop_assert!(p > 0.0 && p <= 1.0);
        prop_assert!(sign_flip(&values, margin + 0.1).unwrap() <= p + 1e-12);
        prop_assert_eq!(sign_flip(&shuffle(&values, 1), margin).unwrap().to_bits(), p.to_bits());
    }

    #[test]
    fn values_that_are_not_numbers_never_pass_silently(
        mut values in differences(12..40), at in 0usize..12,
        bad in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ) {
        values[at] = bad;
        let refused = Err(Error::NotFinite { index: at });
        for (name, estimate) in CLOSED.into_iter().chain(RESAMPLED) {
            prop_assert_eq!(estimate(&values), refused, "{}", name);
        }
        prop_assert_eq!(mean_loss(&values, 0.05), refused);
        prop_assert_eq!(betting::estimate(&values, 40, 0.05), refused);
        prop_assert_eq!(Discordant::of_differences(&values), Err(Error::NotFinite { index: at }));
    }
}
