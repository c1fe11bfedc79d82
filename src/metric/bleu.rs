//! BLEU of order 4 with the 13a tokenizer, exponential smoothing and effective order.
//!
//! Follows sacrebleu 2.6.0, signature `nrefs:var|case:mixed|eff:yes|tok:13a|smooth:exp` (Papineni
//! et al. 2002; Post 2018, *A Call for Clarity in Reporting BLEU Scores*). Scores are fractions.

use super::text::{Grams, Vocabulary, is_white_space};

const ORDERS: usize = 4;

/// Counts behind a score; those of many scenes add up to the counts of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    matched: [u64; ORDERS],
    in_output: [u64; ORDERS],
    output_length: u64,
    reference_length: u64,
}

impl Counts {
    /// Adds the counts of another scene.
    pub fn add(&mut self, other: &Self) {
        for n in 0..ORDERS {
            self.matched[n] += other.matched[n];
            self.in_output[n] += other.in_output[n];
        }
        self.output_length += other.output_length;
        self.reference_length += other.reference_length;
    }

    /// The score, a fraction; 0 when nothing matches.
    pub fn score(&self) -> f64 {
        if self.matched.iter().all(|&n| n == 0) {
            return 0.0;
        }
        let (mut log_sum, mut n_orders, mut smoothing) = (0.0, 0u32, 1.0);
        for (&matched, &total) in self.matched.iter().zip(&self.in_output) {
            if total == 0 {
                // Effective order: a short text is not punished for having no longer n-grams.
                break;
            }
            n_orders += 1;
            let precision = if matched == 0 {
                smoothing *= 2.0;
                1.0 / (smoothing * total as f64)
            } else {
                matched as f64 / total as f64
            };
            log_sum += precision.ln();
        }
        let (c, r) = (self.output_length as f64, self.reference_length as f64);
        let brevity = if c < r { (1.0 - r / c).exp() } else { 1.0 };
        brevity * (log_sum / f64::from(n_orders)).exp()
    }
}

/// References ready to be compared with any number of outputs.
#[derive(Debug)]
pub struct References {
    vocabulary: Vocabulary,
    texts: Vec<Text>,
}

#[derive(Debug)]
struct Text {
    length: u64,
    grams: [Grams; ORDERS],
}

impl Text {
    fn new(ids: &[u32]) -> Self {
        Self {
            length: ids.len() as u64,
            grams: std::array::from_fn(|i| Grams::of_words(ids, i + 1)),
        }
    }
}

impl References {
    /// Splits and numbers the tokens of `references`.
    pub fn new(references: &[String]) -> Self {
        let mut vocabulary = Vocabulary::default();
        let texts = references
            .iter()
            .map(|text| Text::new(&vocabulary.learn(&tokens_13a(text))))
            .collect();
        Self { vocabulary, texts }
    }

    /// Counts of `output` against all references together; `None` without one.
    pub fn counts(&self, output: &str) -> Option<Counts> {
        let output = Text::new(&self.vocabulary.look_up(&tokens_13a(output)));
        let closest = self
            .texts
            .iter()
            .map(|text| (text.length.abs_diff(output.length), text.length))
            .min()?;
        let mut counts = Counts {
            output_length: output.length,
            reference_length: closest.1,
            ..Counts::default()
        };
        for n in 0..ORDERS {
            counts.in_output[n] = output.grams[n].len() as u64;
            counts.matched[n] = output.grams[n]
                .runs()
                .map(|(gram, n_output)| {
                    let of = |text: &Text| text.grams[n].count(gram);
                    n_output.min(self.texts.iter().map(of).max().unwrap_or(0)) as u64
                })
                .sum();
        }
        Some(counts)
    }
}

/// Tokens of the standard tokenizer of machine translation evaluation, `mteval-v13a`.
fn tokens_13a(text: &str) -> Vec<String> {
    let text = text
        .trim_end_matches(is_white_space)
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    let text = text
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    let mut apart = vec![' '];
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.') {
            apart.extend([' ', c, ' ']);
        } else {
            apart.push(c);
        }
    }
    apart.push(' ');
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c: char| matches!(c, '.' | ',');
    let apart = pairs(
        &apart,
        |a, b| !is_digit(a) && is_point(b),
        &[A, SPACE, B, SPACE],
    );
    let apart = pairs(
        &apart,
        |a, b| is_point(a) && !is_digit(b),
        &[SPACE, A, SPACE, B],
    );
    let apart = pairs(
        &apart,
        |a, b| is_digit(a) && b == '-',
        &[A, SPACE, B, SPACE],
    );
    apart
        .split(|c| is_white_space(*c))
        .filter(|token| !token.is_empty())
        .map(|token| token.iter().collect())
        .collect()
}

/// Part of a replacement: the first character of the pair, the second, or a space.
#[derive(Clone, Copy)]
enum Part {
    First,
    Second,
    Space,
}

const A: Part = Part::First;
const B: Part = Part::Second;
const SPACE: Part = Part::Space;

/// Replaces neighbours that satisfy `is_pair`, from left to right; pairs do not overlap.
fn pairs(text: &[char], is_pair: impl Fn(char, char) -> bool, by: &[Part]) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text.get(at + 1) {
            Some(&next) if is_pair(text[at], next) => {
                out.extend(by.iter().map(|part| match part {
                    Part::First => text[at],
                    Part::Second => next,
                    Part::Space => ' ',
                }));
                at += 2;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_tokens(text: &str, expected: &[&str]) {
        assert_eq!(tokens_13a(text), expected, "{text}");
    }

    #[test]
    fn points_split_from_words_but_not_inside_numbers() {
        check_tokens(
            "Às 10:02, 3,5 m.",
            &["Às", "10", ":", "02", ",", "3,5", "m", "."],
        );
        check_tokens(
            "guarda-chuva 3-4 d'água",
            &["guarda-chuva", "3", "-", "4", "d'água"],
        );
        check_tokens("fim... <skipped>&amp;", &["fim", ".", ".", ".", "&"]);
        check_tokens("duas-\nlinhas\ne mais", &["duaslinhas", "e", "mais"]);
        check_tokens(" \u{1c} ", &[]);
    }

    #[test]
    fn the_closest_reference_length_is_the_shorter_on_ties() {
        let references = ["a b c d e", "a b c"].map(str::to_owned);
        let counts = References::new(&references).counts("a b c d").unwrap();
        assert_eq!(counts.reference_length, 3);
        assert_eq!(References::new(&[]).counts("a"), None);
    }

    #[test]
    fn nothing_in_common_is_zero() {
        let references = ["a b c".to_owned()];
        let score = |output| References::new(&references).counts(output).unwrap().score();
        assert!(score("x y z").abs() < f64::EPSILON);
        assert!(score("").abs() < f64::EPSILON);
        assert!((score("a b c") - 1.0).abs() < 1e-12);
    }
}
