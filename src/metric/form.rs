//! Whether an output keeps its form: not empty, not cut, not looping, of bounded size.

use std::collections::HashSet;

use crate::record::StopReason;
use crate::scene::text::{Token, nfc, tokens};

/// Longest text that is scored, in bytes.
pub const SIZE_LIMIT: usize = 16 * 1024;
/// Longest block whose repetition is looked for, in tokens.
const LONGEST_BLOCK: usize = 20;

/// The part of a text that is scored: its first [`SIZE_LIMIT`] bytes, cut between characters.
pub fn scored_part(text: &str) -> &str {
    let end = (0..=SIZE_LIMIT.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

/// The form flags of one text; `true` is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each flag is independent of the others"
)]
pub struct Form {
    /// No alphabetic character.
    pub is_empty: bool,
    /// Ended by a limit instead of the model.
    pub is_truncated: bool,
    /// Some block of words repeats back to back, or most four-word runs are repeats.
    pub is_loop: bool,
    /// Longer than [`SIZE_LIMIT`].
    pub is_too_long: bool,
    /// Holds U+FFFD: the model's bytes were no valid UTF-8.
    pub is_broken_text: bool,
}

impl Form {
    /// Looks at a text and at the reason why it ended.
    pub fn of(text: &str, stop: StopReason) -> Self {
        let words = words(scored_part(text));
        Self {
            is_empty: !text.chars().any(char::is_alphabetic),
            is_truncated: stop != StopReason::Eos,
            is_loop: is_loop(&words),
            is_too_long: text.len() > SIZE_LIMIT,
            is_broken_text: text.contains('\u{fffd}'),
        }
    }

    /// Whether no flag is set.
    pub fn is_valid(self) -> bool {
        self == Self::default()
    }

    /// Names of the flags that are set.
    pub fn flags(self) -> Vec<&'static str> {
        [
            (self.is_empty, "empty"),
            (self.is_truncated, "truncated"),
            (self.is_loop, "loop"),
            (self.is_too_long, "too long"),
            (self.is_broken_text, "broken UTF-8"),
        ]
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name))
        .collect()
    }
}

fn words(text: &str) -> Vec<String> {
    tokens(&nfc(text))
        .into_iter()
        .filter(Token::is_word)
        .map(|t| t.lower)
        .collect()
}

/// Back-to-back repetition: one word four times, or a block of 2 to 20 words three times; or at
/// least 12 words of whose four-word runs more than half are repeats.
fn is_loop(words: &[String]) -> bool {
    (1..=LONGEST_BLOCK).any(|block| {
        let wanted = if block == 1 { 4 } else { 3 };
        // `run` counts how long the text has equalled itself shifted by one block.
        let mut run = 0;
        words.iter().zip(words.iter().skip(block)).any(|(a, b)| {
            run = if a == b { run + 1 } else { 0 };
            run >= block * (wanted - 1)
        })
    }) || (words.len() >= 12 && repeated_share(words) > 0.5)
}

/// Share of four-word runs that are repeats of an earlier one.
fn repeated_share(words: &[String]) -> f64 {
    let n_runs = words.len() - 3;
    let distinct: HashSet<&[String]> = words.windows(4).collect();
    1.0 - distinct.len() as f64 / n_runs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, stop: StopReason, flags: &[&str]) {
        assert_eq!(Form::of(text, stop).flags(), flags, "{text:?}");
    }

    #[test]
    fn each_flag_and_its_harmless_neighbour() {
        use StopReason::{ContextFull, Eos, MaxTokens};
        check("Duas pessoas passam.", Eos, &[]);
        check("", Eos, &["empty"]);
        check("12:30, 14.", Eos, &["empty"]);
        check("Duas pessoas pas", MaxTokens, &["truncated"]);
        check("Duas pessoas pas", ContextFull, &["truncated"]);
        check("um carro um carro um carro", Eos, &["loop"]);
        check("um carro um carro", Eos, &[]);
        check("não não não não", Eos, &["loop"]);
        check("um carro, uma moto, um ônibus e um gato", Eos, &[]);
        check("Duas \u{fffd}", Eos, &["broken UTF-8"]);
    }

    #[test]
    fn a_long_repeated_sentence_is_a_loop() {
        let sentence = "Às 00:10 surgem duas pessoas com um cachorro perto do portão. ";
        check(&sentence.repeat(2), StopReason::Eos, &[]);
        check(&sentence.repeat(3), StopReason::Eos, &["loop"]);
    }

    #[test]
    fn huge_texts_end_in_bounded_time() {
        let text = "carro ".repeat(200_000);
        check(&text, StopReason::Eos, &["loop", "too long"]);
    }
}
