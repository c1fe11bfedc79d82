//! Changes of level in a series: for the history of a metric and for drift in production.

use super::error::{Error, check_count, check_finite, check_level};
use super::rng::Seed;

/// Fewest values in which a change is looked for.
pub const MIN_VALUES: usize = 10;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Position of the first value of the new level, from 0; it may be off by one or two, because
    /// ranks tell little of values next to the change.
    pub at: usize,
    /// Pettitt's K: the largest difference between the wins and losses of values before against
    /// those after.
    pub k: f64,
    /// Chance of such a K, or a larger one, in a series without order.
    pub p: f64,
    /// Whether values rise at the change; otherwise they fall.
    pub rises: bool,
}

/// The most likely single change of level, with Pettitt's approximate p-value.
///
/// * `values`: `[n]` in the order of time
///
/// With r the mid-ranks, `U_t = 2·Σ_{i<t} r_i − t(n+1)`, K the largest `|U_t|` and
/// `p ≈ 2·exp(−6K²/(n³ + n²))`. Robust against outliers, because it sees ranks only. Assumes
/// independent values: a slow wave looks like a change. The approximation is conservative for short
/// series; [`changes`] computes p by permutation.
///
/// # Errors
/// [`Error::TooFew`] below [`MIN_VALUES`], [`Error::NotFinite`]; [`Error::NoSpread`] when all values
/// are equal.
///
/// Source: Pettitt (1979), *Journal of the Royal Statistical Society C* 28(2), 126–135.
pub fn pettitt(values: &[f64]) -> Result<Change, Error> {
    let ranks = ranks(values)?;
    let n = values.len() as f64;
    let (at, u) = extreme(&ranks);
    let k = u.abs();
    let p = (2.0 * (-6.0 * k * k / (n * n * n + n * n)).exp()).min(1.0);
    Ok(Change {
        at,
        k,
        p,
        rises: u < 0.0,
    })
}

/// All changes of level that are shown at level `alpha`, in the order of time.
///
/// * `values`: `[n]` in the order of time, n ≥ [`MIN_VALUES`]
/// * `alpha`: in (0, 0.5]; in a series without any change one is reported with at most this chance
/// * `permutations`: at least 1/alpha, usually 999
/// * `seed`: from the digests of the data
///
/// Binary segmentation: the strongest change of the series is tested by permutation,
/// `p = (1 + as strong)/(1 + permutations)`, exact for exchangeable values. Where it holds, both
/// sides are searched again at half the level. Segments below [`MIN_VALUES`] are left alone.
///
/// # Errors
/// Those of [`pettitt`]; [`Error::Level`]; [`Error::TooFewResamples`].
///
/// Source: Pettitt (1979); Scott & Knott (1974), *Biometrics* 30(3), 507–512, for the segmentation.
pub fn changes(
    values: &[f64],
    alpha: f64,
    permutations: usize,
    seed: &Seed,
) -> Result<Vec<Change>, Error> {
    check_level(alpha)?;
    let all_equal = Error::NoSpread { n: values.len() };
    ranks(values).or_else(|error| match error {
        // Nothing ever changed.
        error if error == all_equal => Ok(Vec::new()),
        error => Err(error),
    })?;
    if ((1 + permutations) as f64) < 1.0 / alpha {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive; a float cast saturates"
        )]
        let needed = (1.0 / alpha).ceil() as usize - 1;
        let found = permutations;
        return Err(Error::TooFewResamples { found, needed });
    }
    let mut found = Vec::new();
    let mut open = vec![(0, values.len(), alpha)];
    while let Some((start, end, alpha)) = open.pop() {
        if end - start < MIN_VALUES {
            continue;
        }
        let seed = seed.derive(&format!("change in {start}..{end}"));
        let change = strongest(&values[start..end], permutations, &seed);
        if let Some(change) = change.filter(|change| change.p <= alpha) {
            let at = start + change.at;
            found.push(Change { at, ..change });
            open.push((start, at, alpha / 2.0));
            open.push((at, end, alpha / 2.0));
        }
    }
    found.sort_by_key(|change| change.at);
    Ok(found)
}

/// The strongest change of a segment with its permutation p-value; `None` without any spread.
fn strongest(values: &[f64], permutations: usize, seed: &Seed) -> Option<Change> {
    let ranks = ranks(values).ok()?;
    let (at, u) = extreme(&ranks);
    let k = u.abs();
    let is_as_strong = |row: &usize| {
        let mut order = ranks.clone();
        seed.stream(*row as u64).shuffle(&mut order);
        extreme(&order).1.abs() >= k
    };
    let n_as_strong = (0..permutations).filter(is_as_strong).count();
    Some(Change {
        at,
        k,
        p: (1 + n_as_strong) as f64 / (1 + permutations) as f64,
        rises: u < 0.0,
    })
}

/// Where `|U_t|` is largest, the first such place, and U there. Ranks are halves, so sums are exact.
fn extreme(ranks: &[f64]) -> (usize, f64) {
    let each = (ranks.len() + 1) as f64;
    let (mut u, mut best) = (0.0, (1, 0.0f64));
    for (i, rank) in ranks[..ranks.len() - 1].iter().enumerate() {
        u += 2.0 * rank - each;
        if u.abs() > best.1.abs() {
            best = (i + 1, u);
        }
    }
    best
}

/// Mid-ranks of `values`, from 1.
fn ranks(values: &[f64]) -> Result<Vec<f64>, Error> {
    let n = values.len();
    check_count(n, MIN_VALUES)?;
    check_finite(values)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; n];
    let mut before = 0;
    #[expect(clippy::float_cmp, reason = "a tie is an equal value, not a near one")]
    let groups = order.chunk_by(|a, b| values[*a] == values[*b]);
    for group in groups {
        if group.len() == n {
            return Err(Error::NoSpread { n });
        }
        for &index in group {
            ranks[index] = before as f64 + (group.len() + 1) as f64 / 2.0;
        }
        before += group.len();
    }
    Ok(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    const SEED: [u8; 32] = [9; 32];

    fn found(values: &[f64], alpha: f64) -> Vec<Change> {
        changes(values, alpha, 999, &Seed::of_digest(SEED)).unwrap()
    }

    /// Steps of the given lengths and levels, with a seeded wobble of ±0.5.
    fn steps(levels: &[(usize, f64)], series: u64) -> Vec<f64> {
        let mut stream = Seed::of_digest(SEED).derive("wobble").stream(series);
        let each = levels
            .iter()
            .flat_map(|&(n, level)| std::iter::repeat_n(level, n));
        each.map(|level| level + stream.share() - 0.5).collect()
    }

    #[test]
    fn statistic_and_place_agree_with_pyhomogeneity() {
        for case in cases("pettitt_") {
            let change = pettitt(&numbers(&case["input"]["x"])).unwrap();
            let output = &case["output"];
            assert_close(change.k, number(&output["u"]), 1e-12);
            assert_eq!(change.at as u64, output["at"].as_u64().unwrap());
        }
    }

    #[test]
    fn steps_are_found_where_they_are() {
        // How many of 40 series show exactly the changes expected, to within one place.
        let n_right = |levels: &[(usize, f64)], expected: &[(usize, bool)]| {
            let is_right = |series: &u64| {
                let changes = found(&steps(levels, *series), 0.01);
                changes.len() == expected.len()
                    && changes.iter().zip(expected).all(|(found, expected)| {
                        found.at.abs_diff(expected.0) <= 1 && found.rises == expected.1
                    })
            };
            (0..40).filter(is_right).count()
        };
        assert!(n_right(&[(40, 0.0)], &[]) >= 38);
        assert!(n_right(&[(20, 0.0), (20, 2.0)], &[(20, true)]) >= 37);
        let up_and_down = [(25, 5.0), (30, 2.0), (25, 9.0)];
        assert!(n_right(&up_and_down, &[(25, false), (55, true)]) >= 37);
    }

    #[test]
    fn an_outlier_is_no_change() {
        let mut values = steps(&[(60, 0.0)], 0);
        values[30] = 1e6;
        assert_eq!(found(&values, 0.01), []);
    }

    #[test]
    fn quiet_series_raise_the_alarm_as_often_as_promised() {
        let seed = Seed::of_digest(SEED);
        let alarms = (0..400u64)
            .filter(|series| {
                let mut stream = seed.stream(1_000 + series);
                let values: Vec<f64> = (0..20).map(|_| stream.share()).collect();
                let seed = seed.derive(&format!("series {series}"));
                !changes(&values, 0.05, 199, &seed).unwrap().is_empty()
            })
            .count();
        // 20 expected, sd 4.4.
        assert!((5..=36).contains(&alarms), "{alarms}");
    }

    #[test]
    fn reversing_time_mirrors_the_change() {
        let values = steps(&[(15, 0.0), (25, 1.0)], 0);
        let mut reversed = values.clone();
        reversed.reverse();
        let (there, back) = (pettitt(&values).unwrap(), pettitt(&reversed).unwrap());
        assert_eq!((there.at, there.k), (40 - back.at, back.k));
        assert!(there.rises && !back.rises);
    }

    #[test]
    fn odd_input_is_refused() {
        assert_eq!(
            pettitt(&[0.0; 9]),
            Err(Error::TooFew {
                found: 9,
                needed: 10
            })
        );
        assert_eq!(pettitt(&[0.0; 12]), Err(Error::NoSpread { n: 12 }));
        assert_eq!(found(&[0.0; 12], 0.05), []);
        let mut values = vec![0.0; 12];
        values[3] = f64::NAN;
        assert_eq!(pettitt(&values), Err(Error::NotFinite { index: 3 }));
        let seed = Seed::of_digest(SEED);
        assert_eq!(
            changes(&values, 0.05, 999, &seed),
            Err(Error::NotFinite { index: 3 })
        );
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(
            changes(&values, 0.001, 500, &seed),
            Err(Error::TooFewResamples {
                found: 500,
                needed: 999
            })
        );
        assert!(changes(&values, f64::NAN, 500, &seed).is_err());
    }
}
