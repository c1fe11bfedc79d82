//! chrF++: character n-grams of order 1 to 6 and word n-grams of order 1 and 2, β = 2.
//!
//! Follows sacrebleu 2.6.0, signature `nrefs:var|case:mixed|eff:yes|nc:6|nw:2|space:no`
//! (Popović 2017, *chrF++: words helping character n-grams*). Scores are fractions, not points.

use std::collections::HashMap;
use std::hash::Hash;

const CHARACTER_ORDERS: usize = 6;
const WORD_ORDERS: usize = 2;
const BETA: f64 = 2.0;

/// chrF++ of `output` against the best of `references`; `None` without a reference.
///
/// Texts are compared as they are: normalise to NFC before.
pub fn chrf_pp(output: &str, references: &[String]) -> Option<f64> {
    let output = Grams::of(output);
    references
        .iter()
        .map(|reference| output.f_score(&Grams::of(reference)))
        .fold(None, |best, f| {
            // The first of equal references wins, as in the reference implementation.
            Some(best.map_or(f, |best: f64| if f > best { f } else { best }))
        })
}

/// Counted n-grams of one text, one map per order.
struct Grams {
    characters: Vec<HashMap<Vec<char>, u32>>,
    words: Vec<HashMap<Vec<String>, u32>>,
}

impl Grams {
    fn of(text: &str) -> Self {
        let characters: Vec<char> = text.chars().filter(|c| !is_white_space(*c)).collect();
        let words = words(text);
        Self {
            characters: (1..=CHARACTER_ORDERS)
                .map(|n| count(&characters, n))
                .collect(),
            words: (1..=WORD_ORDERS).map(|n| count(&words, n)).collect(),
        }
    }

    fn f_score(&self, reference: &Self) -> f64 {
        let characters = self
            .characters
            .iter()
            .zip(&reference.characters)
            .map(|(h, r)| overlap(h, r));
        let words = self
            .words
            .iter()
            .zip(&reference.words)
            .map(|(h, r)| overlap(h, r));
        let (mut precision, mut recall, mut n_orders) = (0.0, 0.0, 0u32);
        for (in_output, in_reference, matched) in characters.chain(words) {
            if in_output > 0 && in_reference > 0 {
                precision += f64::from(matched) / f64::from(in_output);
                recall += f64::from(matched) / f64::from(in_reference);
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

fn count<T: Clone + Eq + Hash>(items: &[T], n: usize) -> HashMap<Vec<T>, u32> {
    let mut counts = HashMap::new();
    for gram in items.windows(n) {
        *counts.entry(gram.to_vec()).or_insert(0) += 1;
    }
    counts
}

/// N-grams of the output, of the reference, and matched between them, each clipped.
///
/// An order the reference does not have counts as absent from the output too.
fn overlap<T: Eq + Hash>(
    output: &HashMap<Vec<T>, u32>,
    reference: &HashMap<Vec<T>, u32>,
) -> (u32, u32, u32) {
    let in_reference = reference.values().sum();
    let in_output = if in_reference > 0 {
        output.values().sum()
    } else {
        0
    };
    let matched = output
        .iter()
        .map(|(gram, n)| reference.get(gram).map_or(0, |m| *m.min(n)))
        .sum();
    (in_output, in_reference, matched)
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

/// White space as the reference implementation's language has it: Unicode's and U+001C–U+001F.
fn is_white_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../tests/golden/overlap.json");

    #[test]
    fn scores_agree_with_sacrebleu() {
        let golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        for case in cases {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let references: Vec<String> = case["references"]
                .as_array()
                .unwrap()
                .iter()
                .map(text)
                .collect();
            let ours = 100.0 * chrf_pp(&text(&case["output"]), &references).unwrap();
            let theirs = case["chrf2pp"].as_f64().unwrap();
            assert!(
                (ours - theirs).abs() < 1e-9,
                "{}: {ours} against {theirs}",
                case["id"]
            );
        }
        assert_eq!(
            cases.len(),
            206,
            "a comparison that compared less proves less"
        );
    }

    #[test]
    fn identical_accented_texts_score_one_and_no_reference_none() {
        let text = "À noite, três caminhões e um ônibus passam às 00:10.";
        assert_eq!(chrf_pp(text, &[text.to_owned()]), Some(1.0));
        assert_eq!(chrf_pp(text, &[]), None);
    }
}
