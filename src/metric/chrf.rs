//! chrF2 and chrF++: character n-grams of order 1 to 6, for chrF++ word n-grams of order 1 and 2
//! besides; β = 2.
//!
//! Follows sacrebleu 2.6.0, signatures `nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no` and
//! `…|nw:2|…` (Popović 2015, *chrF: character n-gram F-score*; 2017, *chrF++: words helping
//! character n-grams*). Scores are fractions, not points. Texts are compared as they are:
//! normalise to NFC before.

use super::text::{Grams, Vocabulary, is_white_space};

const CHARACTER_ORDERS: usize = 6;
const WORD_ORDERS: usize = 2;
const ORDERS: usize = CHARACTER_ORDERS + WORD_ORDERS;
const BETA: f64 = 2.0;

/// Which n-grams count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// chrF2: characters only.
    Chrf2,
    /// chrF++: characters and words.
    ChrfPp,
}

impl Kind {
    fn orders(self) -> usize {
        match self {
            Self::Chrf2 => CHARACTER_ORDERS,
            Self::ChrfPp => ORDERS,
        }
    }
}

/// N-grams of each order: in the output, in the reference, and matched between them, clipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    in_output: [u64; ORDERS],
    in_reference: [u64; ORDERS],
    matched: [u64; ORDERS],
}

impl Counts {
    /// Adds the counts of another scene, for the score of a corpus.
    pub fn add(&mut self, other: &Self) {
        let add = |here: &mut [u64; ORDERS], there: &[u64; ORDERS]| {
            here.iter_mut().zip(there).for_each(|(a, b)| *a += b);
        };
        add(&mut self.in_output, &other.in_output);
        add(&mut self.in_reference, &other.in_reference);
        add(&mut self.matched, &other.matched);
    }

    /// The F score, a fraction; 0 when output and reference share no order.
    pub fn score(&self, kind: Kind) -> f64 {
        let (mut precision, mut recall, mut n_orders) = (0.0, 0.0, 0u32);
        for n in 0..kind.orders() {
            let (h, r, m) = (self.in_output[n], self.in_reference[n], self.matched[n]);
            if h > 0 && r > 0 {
                precision += m as f64 / h as f64;
                recall += m as f64 / r as f64;
                n_orders += 1;
            }
        }
        if n_orders == 0 {
            return 0.0;
        }
        let (p, r) = (
            precision / f64::from(n_orders),
            recall / f64::from(n_orders),
        );
        let weight = BETA * BETA;
        if p + r == 0.0 {
            0.0
        } else {
            (1.0 + weight) * p * r / (weight * p + r)
        }
    }
}

/// The reference with the highest score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// The score against it, a fraction.
    pub score: f64,
    /// The counts behind it.
    pub counts: Counts,
}

/// References ready to be compared with any number of outputs.
#[derive(Debug)]
pub struct References {
    vocabulary: Vocabulary,
    texts: Vec<[Grams; ORDERS]>,
}

impl References {
    /// Counts the n-grams of `references`.
    pub fn new(references: &[String]) -> Self {
        let mut vocabulary = Vocabulary::default();
        let texts = references
            .iter()
            .map(|text| grams(text, &vocabulary.learn(&words(text))))
            .collect();
        Self { vocabulary, texts }
    }

    /// Counts of `output` against each reference, in order.
    pub fn counts(&self, output: &str) -> Vec<Counts> {
        let output = grams(output, &self.vocabulary.look_up(&words(output)));
        self.texts
            .iter()
            .map(|reference| counts(&output, reference))
            .collect()
    }
}

/// The best of the counts; the first on ties, `None` of nothing.
pub fn best(counts: &[Counts], kind: Kind) -> Option<Best> {
    counts
        .iter()
        .map(|counts| Best {
            score: counts.score(kind),
            counts: *counts,
        })
        .reduce(|best, next| if next.score > best.score { next } else { best })
}

fn grams(text: &str, words: &[u32]) -> [Grams; ORDERS] {
    let characters: Vec<char> = text.chars().filter(|c| !is_white_space(*c)).collect();
    std::array::from_fn(|i| {
        if i < CHARACTER_ORDERS {
            Grams::of_characters(&characters, i + 1)
        } else {
            Grams::of_words(words, i + 1 - CHARACTER_ORDERS)
        }
    })
}

fn counts(output: &[Grams; ORDERS], reference: &[Grams; ORDERS]) -> Counts {
    let mut counts = Counts::default();
    for (n, (output, reference)) in output.iter().zip(reference).enumerate() {
        counts.in_reference[n] = reference.len() as u64;
        // An order the reference does not have counts as absent from the output too.
        if reference.len() > 0 {
            counts.in_output[n] = output.len() as u64;
        }
        counts.matched[n] = output.matches(reference) as u64;
    }
    counts
}

/// Words at white space; one leading or trailing ASCII punctuation mark becomes a word of its own.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in text.split(is_white_space).filter(|word| !word.is_empty()) {
        let (first, last) = (word.chars().next(), word.chars().next_back());
        let is_mark = |c: Option<char>| c.is_some_and(|c| c.is_ascii_punctuation());
        if word.chars().count() == 1 {
            found.push(word.to_owned());
        } else if is_mark(last) {
            let (head, tail) = word.split_at(word.len() - 1);
            found.extend([head.to_owned(), tail.to_owned()]);
        } else if is_mark(first) {
            let (head, tail) = word.split_at(1);
            found.extend([head.to_owned(), tail.to_owned()]);
        } else {
            found.push(word.to_owned());
        }
    }
    found
}
