//! How near two models are to each other on the same text, and how well each predicts it.
//!
//! In: per position what a run recorded ([`Position`]), and token ids of outputs. Out: summaries.
//! Distance has no direction: near the baseline it says little of quality, and a good new model is
//! supposed to differ.

use std::f64::consts::LN_2;

use crate::record::RunRecord;
use crate::units::Sha256;

/// Fewest positions from which quantiles of a divergence are given.
pub const QUANTILE_MIN_POSITIONS: usize = 100;

/// What two models make of one position of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// −ln of the probability that the baseline gave to the token that follows.
    pub baseline_nll: f64,
    /// The same of the candidate.
    pub candidate_nll: f64,
    /// Kullback–Leibler divergence of the candidate's next-token distribution from the baseline's,
    /// over the whole vocabulary, in nats.
    pub divergence: f64,
    /// Whether both find the same token most probable; ties go to the lowest id.
    pub is_same_first: bool,
}

/// Bits per byte of a text whose tokens had these −ln probabilities; `None` for an empty text.
///
/// Comparable across tokenizers, which a perplexity per token is not.
///
/// * `n_bytes`: length of the text in UTF-8
pub fn bits_per_byte(nll: impl Iterator<Item = f64>, n_bytes: usize) -> Option<f64> {
    (n_bytes > 0).then(|| nll.sum::<f64>() / (LN_2 * n_bytes as f64))
}

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Standard deviation by √n, with n − 1; `None` for a single value.
    pub standard_error: Option<f64>,
}

/// Divergence over the positions of some texts, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Positions.
    pub n: usize,
    /// Mean over positions.
    pub mean: Mean,
    /// Largest.
    pub max: f64,
    /// Quantiles; `None` below [`QUANTILE_MIN_POSITIONS`].
    pub quantiles: Option<Quantiles>,
}

/// Quantiles, linear at f·(n − 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// Median.
    pub median: f64,
    /// 90 %.
    pub p90: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
}

/// Summary of how two models differ on some texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fidelity {
    /// Divergence of the candidate from the baseline.
    pub divergence: Divergence,
    /// Share of positions where both find the same token most probable.
    pub same_first: Mean,
    /// Root mean square of the change in the probability of the token that follows.
    pub rms_probability_change: f64,
}

impl Fidelity {
    /// Summarises positions; `None` of none.
    pub fn of(positions: &[Position]) -> Option<Self> {
        let n = positions.len();
        if n == 0 {
            return None;
        }
        let divergences: Vec<f64> = positions.iter().map(|at| at.divergence).collect();
        let n_same = positions.iter().filter(|at| at.is_same_first).count();
        let share = n_same as f64 / n as f64;
        let squares = positions.iter().map(|at| {
            let change = (-at.candidate_nll).exp() - (-at.baseline_nll).exp();
            change * change
        });
        Some(Self {
            divergence: divergence(divergences),
            same_first: Mean {
                mean: share,
                standard_error: (n > 1).then(|| (share * (1.0 - share) / (n - 1) as f64).sqrt()),
            },
            rms_probability_change: (squares.sum::<f64>() / n as f64).sqrt(),
        })
    }
}

/// Summary of at least one divergence.
fn divergence(mut values: Vec<f64>) -> Divergence {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let standard_error = (n > 1).then(|| {
        let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        (squares / (n - 1) as f64 / n as f64).sqrt()
    });
    values.sort_by(f64::total_cmp);
    let quantiles = (n >= QUANTILE_MIN_POSITIONS).then(|| {
        let at = |f| quantile(&values, f);
        Quantiles {
            median: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
        }
    });
    Divergence {
        n,
        mean: Mean {
            mean,
            standard_error,
        },
        max: values[n - 1],
        quantiles,
    }
}

/// Quantile of ascending values, linear at f·(n − 1).
///
/// * `f`: in [0, 1]
fn quantile(ascending: &[f64], f: f64) -> f64 {
    let place = f * (ascending.len() - 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(ascending.len() - 1);
    ascending[below] + (place - place.floor()) * (ascending[above] - ascending[below])
}

/// How two greedy outputs of the same tokenizer agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Place of the first token that differs, from 0, where one output may have ended; `None` when
    /// the outputs are equal.
    pub first_divergence: Option<usize>,
    /// Least insertions, deletions and substitutions by the length of the longer output; 0 for
    /// equal outputs, two empty ones included.
    pub edit_distance: f64,
}

impl Agreement {
    /// Compares token ids.
    pub fn of(baseline: &[u32], candidate: &[u32]) -> Self {
        let shared = baseline
            .iter()
            .zip(candidate)
            .take_while(|(a, b)| a == b)
            .count();
        let longest = baseline.len().max(candidate.len());
        let is_equal = shared == longest && baseline.len() == candidate.len();
        Self {
            first_divergence: (!is_equal).then_some(shared),
            edit_distance: edits(&baseline[shared..], &candidate[shared..]) as f64
                / longest.max(1) as f64,
        }
    }

    /// Whether both outputs are the same.
    pub fn is_exact(self) -> bool {
        self.first_divergence.is_none()
    }
}

/// Token ids of two vocabularies mean nothing to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tokenizers differ: {} in the baseline and {} in the candidate",
    shown(baseline.as_ref()), shown(candidate.as_ref())
)]
pub struct TokenizersDiffer {
    /// Digest of the baseline's tokenizer; `None` when it never loaded.
    pub baseline: Option<Sha256>,
    /// Digest of the candidate's.
    pub candidate: Option<Sha256>,
}

fn shown(digest: Option<&Sha256>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| format!("sha256 {digest}"))
}

/// How the outputs of two models agree, for each scene that both have written, in planned order.
///
/// # Errors
/// [`TokenizersDiffer`] with both digests: then there is no agreement to speak of.
pub fn agreements<'a>(
    baseline: &'a RunRecord,
    candidate: &'a RunRecord,
) -> Result<Vec<(&'a str, Agreement)>, TokenizersDiffer> {
    same_tokenizer(baseline, candidate)?;
    let pairs = baseline.outputs.iter().zip(&candidate.outputs);
    let pairs = pairs.filter(|(base, cand)| base.scene == cand.scene);
    Ok(pairs
        .map(|(base, cand)| {
            let agreement = Agreement::of(&base.token_ids, &cand.token_ids);
            (base.scene.as_str(), agreement)
        })
        .collect())
}

/// Whether token ids mean the same to both models.
///
/// # Errors
/// [`TokenizersDiffer`] with both digests.
pub fn same_tokenizer(baseline: &RunRecord, candidate: &RunRecord) -> Result<(), TokenizersDiffer> {
    match [baseline, candidate].map(|record| record.model.tokenizer_sha256) {
        [Some(one), Some(other)] if one == other => Ok(()),
        [baseline, candidate] => Err(TokenizersDiffer {
            baseline,
            candidate,
        }),
    }
}

/// Levenshtein distance, in one row.
fn edits(a: &[u32], b: &[u32]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three positions of a vocabulary of four; figures by numpy in f64 from the logits that the
    /// tests of `engine::likelihood` begin with.
    const POSITIONS: [Position; 3] = [
        position(0.440_190, 0.306_588, 0.038_628, true),
        position(1.167_224, 0.743_668, 0.076_444, false),
        position(0.082_886, 1.493_812, 1.126_466, false),
    ];

    const fn position(
        baseline_nll: f64,
        candidate_nll: f64,
        divergence: f64,
        is_same_first: bool,
    ) -> Position {
        Position {
            baseline_nll,
            candidate_nll,
            divergence,
            is_same_first,
        }
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-6,
            "{found} against {expected}"
        );
    }

    #[test]
    fn the_worked_example() {
        let bits = |nll: fn(&Position) -> f64| bits_per_byte(POSITIONS.iter().map(nll), 9).unwrap();
        close(bits(|at| at.baseline_nll), 0.270_954);
        close(bits(|at| at.candidate_nll), 0.407_813);
        let fidelity = Fidelity::of(&POSITIONS).unwrap();
        close(fidelity.divergence.mean.mean, 0.413_846);
        close(fidelity.divergence.mean.standard_error.unwrap(), 0.356_477);
        close(fidelity.divergence.max, 1.126_466);
        assert_eq!(fidelity.divergence.quantiles, None);
        close(fidelity.same_first.mean, 1.0 / 3.0);
        close(fidelity.rms_probability_change, 0.416_231);
        let mut ascending: Vec<f64> = POSITIONS.iter().map(|at| at.divergence).collect();
        ascending.sort_by(f64::total_cmp);
        close(quantile(&ascending, 0.5), 0.076_444);
        close(quantile(&ascending, 0.9), 0.916_461);
    }

    #[test]
    fn quantiles_come_with_a_hundred_positions() {
        let one = POSITIONS[2];
        let at = |n: usize| {
            let positions: Vec<Position> = (0..n)
                .map(|i| Position {
                    divergence: i as f64,
                    ..one
                })
                .collect();
            Fidelity::of(&positions).unwrap().divergence.quantiles
        };
        assert_eq!(at(99), None);
        let quantiles = at(101).unwrap();
        close(quantiles.median, 50.0);
        close(quantiles.p99, 99.0);
        close(quantiles.p999, 99.9);
    }

    #[test]
    fn nothing_has_no_fidelity_and_an_empty_text_no_bits() {
        assert_eq!(Fidelity::of(&[]), None);
        assert_eq!(bits_per_byte([].into_iter(), 0), None);
        let one = &POSITIONS[..1];
        assert_eq!(
            Fidelity::of(one).unwrap().divergence.mean.standard_error,
            None
        );
    }

    #[test]
    fn outputs_agree_up_to_their_first_difference() {
        #[track_caller]
        fn check(a: &[u32], b: &[u32], first: Option<usize>, distance: f64) {
            let found = Agreement::of(a, b);
            assert_eq!(
                (found.first_divergence, found.is_exact()),
                (first, first.is_none())
            );
            close(found.edit_distance, distance);
            close(Agreement::of(b, a).edit_distance, distance);
        }
        check(&[1, 2, 3], &[1, 2, 3], None, 0.0);
        check(&[], &[], None, 0.0);
        check(&[1, 2, 3], &[1, 2], Some(2), 1.0 / 3.0);
        check(&[1, 2, 3, 4], &[1, 3, 4], Some(1), 0.25);
        check(&[5, 6], &[7, 8, 9], Some(0), 1.0);
        check(&[1, 2, 3, 4, 5], &[1, 9, 3, 8, 5], Some(1), 0.4);
    }
}
