//! ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum.
//!
//! Follows rouge-score 0.1.2 without stemmer (Lin 2004, *ROUGE: A Package for Automatic Evaluation
//! of Summaries*). The profile that is reported keeps accents; the original one turns every
//! non-ASCII letter into a space, which breaks Portuguese words, and is here for parity only.

use std::collections::HashMap;

use super::text::{Grams, UNKNOWN, Vocabulary, words};

/// How a text becomes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Lower-case runs of letters and digits of any script; expects NFC.
    Unicode,
    /// Lower-case, every run outside `[a-z0-9]` separates: the tokenizer of the original.
    Google,
}

/// Precision, recall and their harmonic mean; fractions, 0 where there is nothing to count.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Triple {
    /// Share of the output found in the reference.
    pub precision: f64,
    /// Share of the reference found in the output.
    pub recall: f64,
    /// F1.
    pub f1: f64,
}

impl Triple {
    fn new(matched: usize, in_output: usize, in_reference: usize) -> Self {
        let precision = matched as f64 / in_output.max(1) as f64;
        let recall = matched as f64 / in_reference.max(1) as f64;
        let f1 = if precision + recall > 0.0 {
            2.0 * precision * recall / (precision + recall)
        } else {
            0.0
        };
        Self {
            precision,
            recall,
            f1,
        }
    }
}

/// The four scores of one output, each against its own best reference.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rouge {
    /// Single words.
    pub rouge1: Triple,
    /// Pairs of words.
    pub rouge2: Triple,
    /// Longest common subsequence of the whole texts.
    pub rouge_l: Triple,
    /// Union of the longest common subsequences line by line; equal to `rouge_l` without line
    /// breaks.
    pub rouge_lsum: Triple,
}

/// References ready to be compared with any number of outputs.
#[derive(Debug)]
pub struct References {
    profile: Profile,
    vocabulary: Vocabulary,
    texts: Vec<Text>,
}

/// A text as word ids.
#[derive(Debug)]
struct Text {
    ids: Vec<u32>,
    /// End of each line with words, in `ids`.
    line_ends: Vec<usize>,
    singles: Grams,
    pairs: Grams,
}

impl References {
    /// Splits and numbers the words of `references`.
    pub fn new(references: &[String], profile: Profile) -> Self {
        let mut vocabulary = Vocabulary::default();
        let texts = references
            .iter()
            .map(|text| Text::new(text, profile, |words| vocabulary.learn(words)))
            .collect();
        Self {
            profile,
            vocabulary,
            texts,
        }
    }

    /// Scores `output`; `None` without a reference.
    ///
    /// Of several references each score takes the one with the largest F1, the first on ties.
    pub fn score(&self, output: &str) -> Option<Rouge> {
        let output = Text::new(output, self.profile, |words| self.vocabulary.look_up(words));
        self.texts
            .iter()
            .map(|reference| compare(&output, reference))
            .reduce(|best, next| Rouge {
                rouge1: better(best.rouge1, next.rouge1),
                rouge2: better(best.rouge2, next.rouge2),
                rouge_l: better(best.rouge_l, next.rouge_l),
                rouge_lsum: better(best.rouge_lsum, next.rouge_lsum),
            })
    }
}

fn better(best: Triple, next: Triple) -> Triple {
    if next.f1 > best.f1 { next } else { best }
}

impl Text {
    fn new(text: &str, profile: Profile, mut ids: impl FnMut(&[String]) -> Vec<u32>) -> Self {
        let (mut all, mut line_ends) = (Vec::new(), Vec::new());
        for line in text.split('\n') {
            let words = ids(&profile.words(line));
            if !words.is_empty() {
                all.extend(words);
                line_ends.push(all.len());
            }
        }
        Self {
            singles: Grams::of_words(&all, 1),
            pairs: Grams::of_words(&all, 2),
            ids: all,
            line_ends,
        }
    }

    fn lines(&self) -> impl Iterator<Item = &[u32]> {
        let starts = [0].into_iter().chain(self.line_ends.iter().copied());
        starts
            .zip(&self.line_ends)
            .map(|(start, &end)| &self.ids[start..end])
    }
}

impl Profile {
    /// The words of a text under this profile.
    pub fn words(self, text: &str) -> Vec<String> {
        match self {
            Self::Unicode => words(text),
            Self::Google => text
                .to_lowercase()
                .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }
}

fn compare(output: &Text, reference: &Text) -> Rouge {
    let grams = |output: &Grams, reference: &Grams| {
        Triple::new(output.matches(reference), output.len(), reference.len())
    };
    let rouge_l = Triple::new(
        lcs_length(&reference.ids, &output.ids),
        output.ids.len(),
        reference.ids.len(),
    );
    let has_lines = output.line_ends.len() > 1 || reference.line_ends.len() > 1;
    let rouge_lsum = if has_lines {
        Triple::new(
            union_hits(output, reference),
            output.ids.len(),
            reference.ids.len(),
        )
    } else {
        rouge_l
    };
    Rouge {
        rouge1: grams(&output.singles, &reference.singles),
        rouge2: grams(&output.pairs, &reference.pairs),
        rouge_l,
        rouge_lsum,
    }
}

/// Whether two words are equal; a word no reference has equals nothing.
fn equal(a: u32, b: u32) -> bool {
    a == b && a != UNKNOWN
}

/// Length of the longest common subsequence, in two rows.
fn lcs_length(reference: &[u32], output: &[u32]) -> usize {
    let mut row = vec![0; output.len() + 1];
    let mut above = row.clone();
    for &word in reference {
        std::mem::swap(&mut row, &mut above);
        next_row(word, output, &above, &mut row);
    }
    row[output.len()]
}

fn next_row(word: u32, output: &[u32], above: &[usize], row: &mut [usize]) {
    for (j, &other) in output.iter().enumerate() {
        row[j + 1] = if equal(word, other) {
            above[j] + 1
        } else {
            above[j + 1].max(row[j])
        };
    }
}

/// Marks the positions of `reference` in one longest common subsequence with `output`.
///
/// Which one is fixed by the way back from the end: equal words are taken; else left when the
/// cell there is larger than the one above, else up. One bit a cell says which.
fn mark_lcs(reference: &[u32], output: &[u32], is_hit: &mut [bool]) {
    let width = output.len();
    let mut goes_left = vec![0u64; (reference.len() * width).div_ceil(64)];
    let mut row = vec![0; width + 1];
    let mut above = row.clone();
    for (i, &word) in reference.iter().enumerate() {
        std::mem::swap(&mut row, &mut above);
        next_row(word, output, &above, &mut row);
        for j in 0..width {
            if row[j] > above[j + 1] {
                let cell = i * width + j;
                goes_left[cell / 64] |= 1 << (cell % 64);
            }
        }
    }
    let (mut i, mut j) = (reference.len(), width);
    while i > 0 && j > 0 {
        let cell = (i - 1) * width + j - 1;
        if equal(reference[i - 1], output[j - 1]) {
            is_hit[i - 1] = true;
            (i, j) = (i - 1, j - 1);
        } else if goes_left[cell / 64] >> (cell % 64) & 1 == 1 {
            j -= 1;
        } else {
            i -= 1;
        }
    }
}

/// Hits of ROUGE-Lsum: for each line of the reference the union of its common subsequences with
/// all lines of the output, each word counted at most as often as both texts have it.
fn union_hits(output: &Text, reference: &Text) -> usize {
    let counts = |ids: &[u32]| {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for &id in ids {
            *counts.entry(id).or_default() += 1;
        }
        counts
    };
    let (mut in_output, mut in_reference) = (counts(&output.ids), counts(&reference.ids));
    let mut hits = 0;
    for line in reference.lines() {
        let mut is_hit = vec![false; line.len()];
        for other in output.lines() {
            mark_lcs(line, other, &mut is_hit);
        }
        for (id, _) in line.iter().zip(is_hit).filter(|(_, is_hit)| *is_hit) {
            let (Some(a), Some(b)) = (in_output.get_mut(id), in_reference.get_mut(id)) else {
                continue;
            };
            if *a > 0 && *b > 0 {
                (*a, *b) = (*a - 1, *b - 1);
                hits += 1;
            }
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        output: &str,
        references: &[&str],
        expected: impl Fn(Rouge) -> [f64; 3],
        want: [f64; 3],
    ) {
        let references: Vec<String> = references.iter().map(|&text| text.to_owned()).collect();
        let found = References::new(&references, Profile::Unicode)
            .score(output)
            .unwrap();
        for (found, want) in expected(found).into_iter().zip(want) {
            assert!(
                (found - want).abs() < 1e-9,
                "{output}: {found} against {want}"
            );
        }
    }

    fn all(triple: Triple) -> [f64; 3] {
        [triple.precision, triple.recall, triple.f1]
    }

    #[test]
    fn the_example_worked_by_hand() {
        let (output, reference) = ("a moto parou", &["a moto azul parou"][..]);
        check(output, reference, |r| all(r.rouge1), [1.0, 0.75, 6.0 / 7.0]);
        check(output, reference, |r| all(r.rouge2), [0.5, 1.0 / 3.0, 0.4]);
        check(
            output,
            reference,
            |r| all(r.rouge_l),
            [1.0, 0.75, 6.0 / 7.0],
        );
    }

    #[test]
    fn the_first_of_equally_good_references_wins() {
        let references = ["a moto parou", "uma moto azul parou"];
        let want = [0.75, 1.0, 6.0 / 7.0];
        check("a moto azul parou", &references, |r| all(r.rouge1), want);
    }

    #[test]
    fn empty_texts_score_zero_and_no_reference_nothing() {
        check("", &["a moto"], |r| all(r.rouge_lsum), [0.0; 3]);
        check("a moto", &[""], |r| all(r.rouge1), [0.0; 3]);
        assert_eq!(References::new(&[], Profile::Unicode).score("a"), None);
    }

    #[test]
    fn words_of_no_reference_are_not_equal_to_each_other() {
        check("x x\nx", &["a b\nc"], |r| all(r.rouge_lsum), [0.0; 3]);
    }

    #[test]
    fn the_original_tokenizer_breaks_accented_words() {
        let text = "A criança está à direita do ônibus.";
        let broken = ["a", "crian", "a", "est", "direita", "do", "nibus"];
        assert_eq!(Profile::Google.words(text), broken);
        assert_eq!(Profile::Unicode.words(text)[1], "criança");
    }
}
