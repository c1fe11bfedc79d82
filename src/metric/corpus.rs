//! Scores of many outputs together, printed beside the means over scenes.

use std::collections::HashSet;

use super::text::Vocabulary;
use super::{bleu, chrf};

/// What one scene adds to the scores of the corpus.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Counts against the best reference by chrF2; `None` without a reference.
    pub chrf2: Option<chrf::Counts>,
    /// Counts against the best reference by chrF++.
    pub chrf_pp: Option<chrf::Counts>,
    /// Counts against all references.
    pub bleu: Option<bleu::Counts>,
    /// Words of the output.
    pub words: Vec<String>,
}

/// Scores of all outputs of one system; fractions, `None` without anything to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corpus {
    /// chrF2 of the summed counts.
    pub chrf2: Option<f64>,
    /// chrF++ of the summed counts.
    pub chrf_pp: Option<f64>,
    /// BLEU of the summed counts.
    pub bleu: Option<f64>,
    /// Different words by words.
    pub distinct_1: Option<f64>,
    /// Different pairs of neighbouring words by such pairs; none crosses from one output to the
    /// next.
    pub distinct_2: Option<f64>,
}

impl Corpus {
    /// Adds up the counts of some scenes.
    pub fn of<'a>(scenes: impl Iterator<Item = &'a Counts>) -> Self {
        let [mut chrf2, mut chrf_pp] = [None::<chrf::Counts>; 2];
        let mut bleu = None::<bleu::Counts>;
        let mut vocabulary = Vocabulary::default();
        let (mut words, mut pairs) = (HashSet::new(), HashSet::new());
        let (mut n_words, mut n_pairs) = (0usize, 0usize);
        for scene in scenes {
            for (sum, counts) in [(&mut chrf2, &scene.chrf2), (&mut chrf_pp, &scene.chrf_pp)] {
                if let Some(counts) = counts {
                    sum.get_or_insert_default().add(counts);
                }
            }
            if let Some(counts) = &scene.bleu {
                bleu.get_or_insert_default().add(counts);
            }
            let ids = vocabulary.learn(&scene.words);
            n_words += ids.len();
            n_pairs += ids.len().saturating_sub(1);
            pairs.extend(ids.windows(2).map(|pair| (pair[0], pair[1])));
            words.extend(ids);
        }
        let share = |distinct: usize, n: usize| (n > 0).then(|| distinct as f64 / n as f64);
        Self {
            chrf2: chrf2.map(|counts| counts.score(chrf::Kind::Chrf2)),
            chrf_pp: chrf_pp.map(|counts| counts.score(chrf::Kind::ChrfPp)),
            bleu: bleu.map(|counts| counts.score()),
            distinct_1: share(words.len(), n_words),
            distinct_2: share(pairs.len(), n_pairs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::text::words;

    fn counts(text: &str) -> Counts {
        Counts {
            words: words(text),
            ..Counts::default()
        }
    }

    #[test]
    fn words_are_counted_over_all_outputs_and_pairs_within_each() {
        let scenes = [counts("um carro passa"), counts("um carro")];
        let corpus = Corpus::of(scenes.iter());
        assert_eq!(corpus.distinct_1, Some(3.0 / 5.0));
        assert_eq!(corpus.distinct_2, Some(2.0 / 3.0));
        assert_eq!(
            (corpus.bleu, corpus.chrf2, corpus.chrf_pp),
            (None, None, None)
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        let corpus = Corpus::of([counts("")].iter());
        assert_eq!((corpus.distinct_1, corpus.distinct_2), (None, None));
    }
}
