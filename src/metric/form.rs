//! Whether an output keeps its form: the flags that make it invalid, and report-only details.

use std::collections::HashSet;
use std::sync::LazyLock;

use whatlang::{Detector, Lang};

use super::order::WordOrder;
use super::text::{Grams, Vocabulary, is_white_space, words};
pub use super::text::{SIZE_LIMIT, scored_part};
use crate::record::StopReason;
use crate::scene::lexicon::Lexicon;
use crate::scene::summary::{self, ModelText};

/// Longest block whose repetition is looked for, in words.
const LONGEST_BLOCK: usize = 20;
/// Repetitions back to back of one word, and of a block of 2 to [`LONGEST_BLOCK`] words.
const REPEATS: [usize; 2] = [4, 3];
/// From so many words on a text may loop without repeating a block back to back…
const REPEAT_MIN_WORDS: usize = 12;
/// …when more than this share of its four-word runs are repeats.
const REPEAT_SHARE: f64 = 0.5;
/// Fewest words whose language is judged: of shorter Portuguese texts too many look foreign.
const LANGUAGE_MIN_WORDS: usize = 6;
/// Share of function words from which a text passes as Portuguese whatever the detector says.
const FUNCTION_WORD_SHARE: f64 = 0.15;

/// Languages the detector chooses from: those a Portuguese summary is confused with or falls into.
const LANGUAGES: [Lang; 8] = [
    Lang::Por,
    Lang::Spa,
    Lang::Eng,
    Lang::Ita,
    Lang::Fra,
    Lang::Cat,
    Lang::Deu,
    Lang::Nld,
];

static DETECTOR: LazyLock<Detector> =
    LazyLock::new(|| Detector::with_allowlist(LANGUAGES.to_vec()));

/// Keys of the analytic file that no summary has a reason to name.
const ANALYTIC_KEYS: [&str; 3] = ["bounding_box", "frame_timestamp_seconds", "event_type"];

/// The form flags of one text; `true` is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each flag is independent of the others"
)]
pub struct Form {
    /// No alphabetic character.
    pub is_empty: bool,
    /// Holds U+FFFD: bytes or escapes that were no Unicode text.
    pub is_broken_text: bool,
    /// Longer than [`SIZE_LIMIT`].
    pub is_too_long: bool,
    /// Ended by a limit instead of the model; where no reason is known, without a closing mark.
    pub is_truncated: bool,
    /// Some block of words repeats back to back, or most four-word runs are repeats.
    pub is_loop: bool,
    /// The words stand in no order that Portuguese has; a text in another language has none.
    pub is_disordered: bool,
    /// Repeats its input or wraps itself: JSON, a code fence, or a key of the analytic file.
    pub is_echo: bool,
    /// Whether it is Portuguese; `None` below six words.
    pub is_portuguese: Option<bool>,
    /// Whether the summary object breaks its contract; `None` for plain text.
    pub breaks_contract: Option<bool>,
}

impl Form {
    /// Looks at an output.
    ///
    /// * `output`: the model's text, split into its parts; the summary in NFC
    /// * `stop`: why it ended, where that is known
    /// * `order`: of its words, as [`read_part`] has them
    pub fn of(
        output: &ModelText,
        stop: Option<StopReason>,
        order: &WordOrder,
        lexicon: &Lexicon,
    ) -> Self {
        let summary = output.summary.as_str();
        let part = scored_part(summary);
        let words = words(part);
        let is_portuguese = is_portuguese(part, &words, lexicon);
        Self {
            is_empty: !summary.chars().any(char::is_alphabetic),
            is_broken_text: output.has_replacement(),
            is_too_long: summary.len() > SIZE_LIMIT,
            is_truncated: stop.map_or_else(|| lacks_end(summary), |stop| stop != StopReason::Eos),
            is_loop: is_loop(&words),
            is_disordered: is_portuguese != Some(false) && order.is_disordered(),
            is_echo: is_echo(summary),
            is_portuguese,
            breaks_contract: output.is_object.then_some(!output.violations.is_empty()),
        }
    }

    /// Whether no flag is set.
    pub fn is_valid(self) -> bool {
        self.flags().is_empty()
    }

    /// Names of the flags that are set.
    pub fn flags(self) -> Vec<&'static str> {
        [
            (self.is_empty, "empty"),
            (self.is_broken_text, "encoding"),
            (self.is_too_long, "too_long"),
            (self.is_truncated, "truncated"),
            (self.is_loop, "loop"),
            (self.is_disordered, "disorder"),
            (self.is_echo, "echo"),
            (self.is_portuguese == Some(false), "not portuguese"),
            (self.breaks_contract == Some(true), "contract"),
        ]
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name))
        .collect()
    }
}

/// The part of a summary whose claims and whose word order are read: as it was written, so that spans
/// are places in what the reader sees; of a text beyond the size limit the part that is scored.
pub fn read_part(output: &ModelText) -> &str {
    if output.written.len() > SIZE_LIMIT {
        scored_part(&output.summary)
    } else {
        &output.written
    }
}

/// Whether the last character that is not white space closes nothing; an empty text is not cut.
fn lacks_end(text: &str) -> bool {
    text.trim_end_matches(is_white_space)
        .chars()
        .next_back()
        .is_some_and(|last| !".!?…\"')»”".contains(last))
}

fn is_echo(text: &str) -> bool {
    text.contains("```")
        || ANALYTIC_KEYS.iter().any(|key| text.contains(key))
        || summary::is_json(text)
}

fn is_portuguese(text: &str, words: &[String], lexicon: &Lexicon) -> Option<bool> {
    if words.len() < LANGUAGE_MIN_WORDS {
        return None;
    }
    let n_function = words
        .iter()
        .filter(|word| lexicon.is_function_word(word))
        .count();
    let share = n_function as f64 / words.len() as f64;
    Some(share >= FUNCTION_WORD_SHARE || DETECTOR.detect_lang(text) == Some(Lang::Por))
}

/// Back-to-back repetition: one word four times, or a block of 2 to 20 words three times; or at
/// least 12 words of whose four-word runs more than half are repeats.
fn is_loop(words: &[String]) -> bool {
    (1..=LONGEST_BLOCK).any(|block| {
        let wanted = REPEATS[usize::from(block > 1)];
        // `run` counts how long the text has equalled itself shifted by one block.
        let mut run = 0;
        words.iter().zip(words.iter().skip(block)).any(|(a, b)| {
            run = if a == b { run + 1 } else { 0 };
            run >= block * (wanted - 1)
        })
    }) || (words.len() >= REPEAT_MIN_WORDS
        && Repetition::of(words)
            .rep_4
            .is_some_and(|share| share > REPEAT_SHARE))
}

/// How much a text repeats itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repetition {
    /// Different words by words; `None` without a word.
    pub distinct_1: Option<f64>,
    /// Different pairs by pairs; `None` below two words.
    pub distinct_2: Option<f64>,
    /// One less different runs of four words by such runs; `None` below four words.
    pub rep_4: Option<f64>,
}

impl Repetition {
    /// Counts the runs of some words.
    pub fn of(words: &[String]) -> Self {
        let ids = Vocabulary::default().learn(words);
        let distinct = |n| {
            let grams = Grams::of_words(&ids, n);
            (grams.len() > 0).then(|| grams.n_distinct() as f64 / grams.len() as f64)
        };
        Self {
            distinct_1: distinct(1),
            distinct_2: distinct(2),
            rep_4: distinct(4).map(|share| 1.0 - share),
        }
    }
}

/// How often an English label of the detector stands in the text; words that are also Portuguese
/// do not count.
pub fn english_leak(words: &[String], lexicon: &Lexicon) -> usize {
    let exempt: HashSet<&str> = lexicon
        .english_label_exempt()
        .iter()
        .map(String::as_str)
        .collect();
    let labels = lexicon.labels.iter().map(|label| label.coco.as_str());
    let names: HashSet<&str> = labels.filter(|name| !exempt.contains(name)).collect();
    let longest = names
        .iter()
        .map(|name| name.split(' ').count())
        .max()
        .unwrap_or(0);
    let (mut at, mut n) = (0, 0);
    while at < words.len() {
        let length = (1..=longest.min(words.len() - at))
            .rev()
            .find(|&length| names.contains(words[at..at + length].join(" ").as_str()));
        n += usize::from(length.is_some());
        at += length.unwrap_or(1);
    }
    n
}

/// Characters of `text` by the mean of the references'; `None` without a reference that has any.
pub fn length_ratio(text: &str, references: &[String]) -> Option<f64> {
    let n: usize = references.iter().map(|text| text.chars().count()).sum();
    (n > 0).then(|| (text.chars().count() * references.len()) as f64 / n as f64)
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
