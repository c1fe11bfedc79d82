//! Small edits of Portuguese text that corruptions and paraphrases are made of.

use super::super::claims::Mention;
use crate::scene::lexicon::{Gender, Label};

/// The text with each span replaced; spans must not overlap.
pub(super) fn splice(text: &str, mut edits: Vec<((usize, usize), String)>) -> String {
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.0));
    let mut text = text.to_owned();
    for ((from, to), with) in edits {
        text.replace_range(from..to, &with);
    }
    text
}

/// Words that may stand before a noun and belong to it.
const DETERMINERS: [&str; 24] = [
    "um", "uma", "o", "a", "os", "as", "dois", "duas", "três", "quatro", "cinco", "seis", "sete",
    "oito", "nove", "dez", "onze", "doze", "vinte", "apenas", "só", "mais", "outro", "outra",
];

/// The mention with the article and number before it.
pub(super) fn noun_phrase(text: &str, mention: &Mention) -> (usize, usize) {
    let mut start = mention.span.0;
    loop {
        let before = text[..start].trim_end();
        let word_start = before.rfind(|c: char| !c.is_alphanumeric());
        let word_start = word_start.map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        let word = before[word_start..].to_lowercase();
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if !(DETERMINERS.contains(&word.as_str()) || is_number) {
            return (start, mention.span.1);
        }
        start = word_start;
    }
}

/// `dois`, `duas`, `12`.
pub(super) fn number(n: u32, gender: Gender) -> String {
    let words = [
        "zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez",
    ];
    match (n, gender) {
        (1, Gender::Feminine) => "uma".into(),
        (2, Gender::Feminine) => "duas".into(),
        (0..=10, _) => words[n as usize].into(),
        _ => n.to_string(),
    }
}

/// `um cavalo`, `três cavalos`.
pub(super) fn counted(n: u32, label: &Label) -> String {
    let noun = &label.canon[usize::from(n != 1)];
    format!("{} {noun}", number(n, label.gender))
}

/// `nenhum cavalo`.
pub(super) fn none_of(label: &Label) -> String {
    let none = match label.gender {
        Gender::Feminine => "nenhuma",
        Gender::Masculine => "nenhum",
    };
    format!("{none} {}", label.canon[0])
}

/// Whether a mention looks like a plural: its own number, or the article says so.
pub(super) fn is_plural(mention: &Mention, label: &Label) -> bool {
    let is = |forms: &[String]| {
        forms
            .iter()
            .any(|form| form.eq_ignore_ascii_case(&mention.surface))
    };
    is(&label.plural) && !is(&label.singular) || mention.quantity.is_some_and(|range| range.lo > 1)
}

/// The first letter in upper case.
pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// Replacement written like what it replaces: with a capital if that has one.
pub(super) fn like(old: &str, new: &str) -> String {
    if old.starts_with(char::is_uppercase) {
        capitalised(new)
    } else {
        new.to_owned()
    }
}

/// The sentences of a text, as written, trimmed.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let spans = crate::scene::text::sentences(text).into_iter();
    spans.map(|(from, to)| text[from..to].trim()).collect()
}

/// The words of a text, marks and capitals on them, in an order drawn from `seed`.
pub(super) fn salad_of(text: &str, seed: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    shuffled(&words, seed).join(" ")
}

/// A text in lower case and without the marks of sentences, but for a capital at its start and a
/// full stop at its end.
pub(super) fn tidied(text: &str) -> String {
    let mut text = text.to_lowercase();
    text.retain(|c| !",.;!?".contains(c));
    capitalised(&text) + "."
}

/// The items in an order drawn from `seed`, never the given one if there is another.
fn shuffled<T: Clone + PartialEq>(items: &[T], seed: usize) -> Vec<T> {
    let mut state = seed as u64 + 1;
    let mut draw = |n: usize| {
        // A 64-bit linear congruential generator (Knuth, MMIX); its high bits are good enough.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % n
    };
    let mut shuffled = items.to_vec();
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, draw(at + 1));
    }
    if shuffled == items && !shuffled.is_empty() {
        shuffled.rotate_left(1);
    }
    shuffled
}
