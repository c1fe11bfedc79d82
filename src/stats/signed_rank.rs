//! Wilcoxon's signed-rank test, exact and by normal approximation.

use super::distribution::normal_sf;
use super::error::{Error, check_count, check_finite};

/// Which deviation from zero is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// Values tend to lie above zero.
    Greater,
    /// Values tend to lie below zero.
    Less,
    /// Either.
    TwoSided,
}

/// What happens to values that are exactly zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// Dropped before ranking (Wilcoxon 1945).
    Drop,
    /// Ranked, then their ranks dropped (Pratt 1959, *JASA* 54).
    RankThenDrop,
    /// Ranked, and half of their ranks counted as positive.
    Split,
}

/// How the p-value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computation {
    /// From all 2^n sign vectors given the ranks, ties and dropped zeros included.
    Exact,
    /// Normal approximation, with the variance corrected for ties.
    Normal {
        /// Whether one half is taken off the distance (continuity correction).
        correction: bool,
    },
}

/// Most values for which [`signed_rank`] may be asked for the exact distribution.
pub const MOST_EXACT: usize = 400;

/// Result of a signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedRank {
    /// Sum of the ranks of positive values, W⁺.
    pub w: f64,
    /// Values that are not zero.
    pub n_nonzero: usize,
    /// The p-value.
    pub p: f64,
}

/// Signed-rank test of H0 "the values are symmetric around zero".
///
/// * `values`: `[n]` differences or log ratios
///
/// Equal absolute values share the mean of their ranks. The exact p-value needs only that signs are
/// exchangeable, which coin-flipped pairs give by design when both roles cost the same, however the
/// machine drifts. It says nothing of means: quality differences are not symmetric, and this test
/// must not judge them.
///
/// # Errors
/// [`Error::NotFinite`]; [`Error::TooFew`] without a value other than zero; [`Error::Setting`] when
/// the exact distribution is asked for more than [`MOST_EXACT`] values or with [`Zeros::Split`],
/// whose halves of ranks have no sign to flip.
///
/// Source: Wilcoxon (1945), *Biometrics Bulletin* 1(6), 80–83; Hollander, Wolfe & Chicken (2014),
/// *Nonparametric Statistical Methods*, 3rd ed., section 3.1.
pub fn signed_rank(
    values: &[f64],
    alternative: Alternative,
    zeros: Zeros,
    computation: Computation,
) -> Result<SignedRank, Error> {
    check_finite(values)?;
    let ranked = Ranked::of(values, zeros);
    check_count(ranked.n_nonzero, 1)?;
    let p = match computation {
        Computation::Exact => ranked.exact(alternative, zeros)?,
        Computation::Normal { correction } => ranked.normal(alternative, correction)?,
    };
    Ok(SignedRank {
        w: ranked.w(),
        n_nonzero: ranked.n_nonzero,
        p,
    })
}

/// Ranks of absolute values, as whole numbers: twice the mid-ranks.
struct Ranked {
    /// Twice the rank of each value that keeps one.
    doubled: Vec<usize>,
    /// Twice the sum of the positive values' ranks, with half of the zeros' under [`Zeros::Split`].
    doubled_w: f64,
    n_nonzero: usize,
    /// Values that were ranked.
    n_with_rank: usize,
    /// Zeros whose ranks were dropped.
    n_dropped_ranks: usize,
    /// Σ(g³ − g) over groups of equal absolute values that count.
    ties: f64,
}

impl Ranked {
    fn of(values: &[f64], zeros: Zeros) -> Self {
        let mut sorted: Vec<f64> = values
            .iter()
            .copied()
            .filter(|value| *value != 0.0 || zeros != Zeros::Drop)
            .collect();
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let mut ranked = Self {
            doubled: Vec::with_capacity(sorted.len()),
            doubled_w: 0.0,
            n_nonzero: 0,
            n_with_rank: sorted.len(),
            n_dropped_ranks: 0,
            ties: 0.0,
        };
        let mut before = 0;
        #[expect(clippy::float_cmp, reason = "a tie is an equal value, not a near one")]
        let groups = sorted.chunk_by(|a, b| a.abs() == b.abs());
        for group in groups {
            // Ranks before + 1 ..= before + g have the mean before + (g + 1) / 2.
            let doubled = 2 * before + group.len() + 1;
            before += group.len();
            ranked.add(group, doubled, zeros);
        }
        ranked
    }

    fn add(&mut self, group: &[f64], doubled: usize, zeros: Zeros) {
        let g = group.len() as f64;
        let is_zero = group[0] == 0.0;
        if is_zero && zeros == Zeros::RankThenDrop {
            self.n_dropped_ranks = group.len();
            return;
        }
        self.ties += g * g * g - g;
        if is_zero {
            self.doubled_w += g * doubled as f64 / 2.0;
            return;
        }
        self.n_nonzero += group.len();
        let n_positive = group.iter().filter(|value| **value > 0.0).count();
        self.doubled_w += (n_positive * doubled) as f64;
        self.doubled
            .extend(std::iter::repeat_n(doubled, group.len()));
    }

    fn w(&self) -> f64 {
        self.doubled_w / 2.0
    }

    fn exact(&self, alternative: Alternative, zeros: Zeros) -> Result<f64, Error> {
        if zeros == Zeros::Split {
            return Err(Error::Setting {
                name: "zeros",
                value: self.n_with_rank as f64 - self.n_nonzero as f64,
                demand: "dropped for the exact test",
            });
        }
        if self.n_nonzero > MOST_EXACT {
            return Err(Error::Setting {
                name: "number of values",
                value: self.n_nonzero as f64,
                demand: "at most 400 for the exact test",
            });
        }
        let distribution = Distribution::of_ranks(&self.doubled);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sum of at most 400 whole numbers of at most 800"
        )]
        let w = self.doubled_w as usize;
        let greater = distribution.at_least(w);
        let less = distribution.at_most(w);
        Ok(match alternative {
            Alternative::Greater => greater,
            Alternative::Less => less,
            Alternative::TwoSided => (2.0 * greater.min(less)).min(1.0),
        })
    }

    fn normal(&self, alternative: Alternative, correction: bool) -> Result<f64, Error> {
        let (m, z) = (self.n_with_rank as f64, self.n_dropped_ranks as f64);
        let mean = (m * (m + 1.0) - z * (z + 1.0)) / 4.0;
        let variance =
            (m * (m + 1.0) * (2.0 * m + 1.0) - z * (z + 1.0) * (2.0 * z + 1.0) - self.ties / 2.0)
                / 24.0;
        if variance <= 0.0 {
            return Err(Error::NoSpread { n: self.n_nonzero });
        }
        let distance = self.w() - mean;
        let half = match (correction, alternative) {
            (false, _) => 0.0,
            (true, Alternative::Greater) => 0.5,
            (true, Alternative::Less) => -0.5,
            (true, Alternative::TwoSided) if distance == 0.0 => 0.0,
            (true, Alternative::TwoSided) => 0.5f64.copysign(distance),
        };
        let score = (distance - half) / variance.sqrt();
        Ok(match alternative {
            Alternative::Greater => normal_sf(score),
            Alternative::Less => normal_sf(-score),
            Alternative::TwoSided => 2.0 * normal_sf(score.abs()),
        })
    }
}

/// Null distribution of a sum of signed ranks: the share of sign vectors for each sum.
pub(super) struct Distribution {
    /// Probability of each sum, from 0.
    share: Vec<f64>,
}

impl Distribution {
    /// Of the ranks 1..=n.
    pub(super) fn of_untied(n: usize) -> Self {
        Self::of_ranks(&(1..=n).collect::<Vec<_>>())
    }

    /// Of any whole ranks: each is in the sum with probability one half.
    fn of_ranks(ranks: &[usize]) -> Self {
        let most: usize = ranks.iter().sum();
        let mut share = vec![0.0; most + 1];
        share[0] = 1.0;
        let mut top = 0;
        for &rank in ranks {
            top += rank;
            for sum in (0..=top).rev() {
                let with = if sum >= rank { share[sum - rank] } else { 0.0 };
                share[sum] = f64::midpoint(share[sum], with);
            }
        }
        Self { share }
    }

    /// P(W <= sum).
    fn at_most(&self, sum: usize) -> f64 {
        let end = (sum + 1).min(self.share.len());
        self.share[..end].iter().sum::<f64>().min(1.0)
    }

    /// P(W >= sum). The distribution is symmetric, so the small tail is summed from its end.
    fn at_least(&self, sum: usize) -> f64 {
        match (self.share.len() - 1).checked_sub(sum) {
            Some(mirrored) => self.at_most(mirrored),
            None => 0.0,
        }
    }

    /// Largest k with P(W <= k − 1) <= `alpha`; 0 when there is none.
    pub(super) fn largest_rank(&self, alpha: f64) -> usize {
        let mut below = 0.0;
        let mut k = 0;
        for share in &self.share {
            below += share;
            if below > alpha {
                break;
            }
            k += 1;
        }
        k
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{assert_close, cases, number, numbers};

    const PLAIN: Computation = Computation::Normal { correction: false };

    #[test]
    fn exact_values_agree_with_scipy() {
        for case in cases("wsr_exact_") {
            let values = numbers(&case["input"]["y"]);
            let found = signed_rank(
                &values,
                Alternative::Greater,
                Zeros::Drop,
                Computation::Exact,
            )
            .unwrap();
            assert_close(found.w, number(&case["output"]["W"]), 0.0);
            assert_close(found.p, number(&case["output"]["p"]), 1e-12);
        }
    }

    #[test]
    fn approximate_values_agree_with_scipy() {
        for case in cases("wsr_approx_") {
            let values = numbers(&case["input"]["y"]);
            let how = Computation::Normal { correction: true };
            let found = signed_rank(&values, Alternative::Greater, Zeros::Drop, how).unwrap();
            assert_close(found.w, number(&case["output"]["W"]), 0.0);
            assert_close(found.p, number(&case["output"]["p"]), 1e-9);
        }
    }

    #[test]
    fn every_rule_for_zeros_agrees_with_scipy() {
        for (family, zeros) in [
            ("wsr_zero_wilcox_", Zeros::Drop),
            ("wsr_zero_pratt_", Zeros::RankThenDrop),
            ("wsr_zero_zsplit_", Zeros::Split),
        ] {
            for case in cases(family) {
                let values = numbers(&case["input"]["d"]);
                let found = signed_rank(&values, Alternative::Less, zeros, PLAIN).unwrap();
                assert_close(found.w, number(&case["output"]["W"]), 0.0);
                assert_close(found.p, number(&case["output"]["p"]), 1e-9);
            }
        }
    }

    #[test]
    fn exact_values_with_ties_agree_with_all_sign_vectors() {
        for case in cases("wsr_ties_") {
            let values = numbers(&case["input"]["d"]);
            for (zeros, key) in [(Zeros::Drop, "drop"), (Zeros::RankThenDrop, "pratt")] {
                let p = |alternative| {
                    signed_rank(&values, alternative, zeros, Computation::Exact)
                        .unwrap()
                        .p
                };
                let output = &case["output"][key];
                assert_close(p(Alternative::Greater), number(&output["greater"]), 1e-12);
                assert_close(p(Alternative::Less), number(&output["less"]), 1e-12);
            }
        }
    }

    #[test]
    fn exact_and_approximate_agree_on_many_values() {
        let values: Vec<f64> = (1..=120)
            .map(|i| f64::from(i) * if i % 3 == 0 { -1.0 } else { 0.9 })
            .collect();
        let p = |how| {
            signed_rank(&values, Alternative::TwoSided, Zeros::Drop, how)
                .unwrap()
                .p
        };
        assert_close(
            p(Computation::Exact),
            p(Computation::Normal { correction: true }),
            0.1,
        );
    }

    #[test]
    fn odd_input_is_refused() {
        let test = |values: &[f64], zeros, how| signed_rank(values, Alternative::Less, zeros, how);
        let none = Err(Error::TooFew {
            found: 0,
            needed: 1,
        });
        assert_eq!(test(&[], Zeros::Drop, Computation::Exact), none);
        assert_eq!(test(&[0.0; 5], Zeros::Split, PLAIN), none);
        assert_eq!(
            test(&[0.1, f64::NAN], Zeros::Drop, PLAIN),
            Err(Error::NotFinite { index: 1 })
        );
        let refused = |found| matches!(found, Err(Error::Setting { .. }));
        assert!(refused(test(&[0.1, 0.0], Zeros::Split, Computation::Exact)));
        let many: Vec<f64> = (1..=401).map(f64::from).collect();
        assert!(refused(test(&many, Zeros::Drop, Computation::Exact)));
        assert!(test(&many, Zeros::Drop, PLAIN).is_ok());
    }

    #[test]
    fn one_value_tells_nothing() {
        let found = signed_rank(
            &[3.0],
            Alternative::TwoSided,
            Zeros::Drop,
            Computation::Exact,
        );
        assert_eq!(found.map(|found| found.p), Ok(1.0));
    }
}
