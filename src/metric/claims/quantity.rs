//! The number a text claims of what it mentions.

use super::Reader;
use crate::scene::facts::CountRange;
use crate::scene::lexicon::{List, Number, Sense};

/// Tokens before a mention among which its number is looked for.
const REACH: usize = 4;

/// What was found before or right after a mention.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Quantity {
    /// The claimed numbers.
    pub(super) range: Option<CountRange>,
    /// *um* or *uma* stands before the mention and claims nothing.
    pub(super) has_article: bool,
}

impl Quantity {
    fn of(range: CountRange) -> Self {
        Self {
            range: Some(range),
            has_article: false,
        }
    }

    /// A collective word such as *casal* brings its own number where none was found.
    pub(super) fn or_collective(self, sense: &Sense) -> Self {
        Self {
            range: self.range.or(sense.collective),
            ..self
        }
    }
}

/// The number claimed of the mention of `n` tokens at `at`.
///
/// * `from`: where the look-back stops, the end of the previous mention
pub(super) fn of_mention(reader: &Reader<'_>, at: usize, n: usize, from: usize) -> Quantity {
    let found = before(reader, at, n, from);
    if found.range.is_some() {
        return found;
    }
    Quantity {
        range: in_parentheses(reader, at + n).map(CountRange::exactly),
        ..found
    }
}

fn before(reader: &Reader<'_>, at: usize, n: usize, from: usize) -> Quantity {
    for place in (from.max(at.saturating_sub(REACH))..at).rev() {
        if reader.tokens[place].is_mark() || reader.is_masked[place] {
            break;
        }
        match number_ending_at(reader, place) {
            Ending::Number { start, value } => return Quantity::of(modified(reader, start, value)),
            Ending::Article => return article(reader, place, at, n),
            Ending::Blocked => break,
            Ending::Nothing => {}
        }
        if let Some(range) = reader.lexicon.vague_before(&reader.words[..=place]) {
            return Quantity::of(range);
        }
    }
    Quantity::default()
}

/// What kind of number ends at a token.
enum Ending {
    /// A number, whose first token is `start`.
    Number { start: usize, value: u32 },
    /// *um* or *uma*.
    Article,
    /// Digits that are a name, as in *câmera 3*, or a part of something else.
    Blocked,
    /// No number.
    Nothing,
}

fn number_ending_at(reader: &Reader<'_>, place: usize) -> Ending {
    if reader.tokens[place].is_digits() {
        return digits_ending_at(reader, place);
    }
    let numeral = |at: usize| reader.lexicon.numeral(reader.words[at]);
    let Some(mut value) = numeral(place) else {
        return Ending::Nothing;
    };
    // "cento e vinte e duas": each part is smaller than the round number before it.
    let mut start = place;
    while start >= 2 && reader.tokens[start - 1].is("e") {
        match numeral(start - 2) {
            Some(round) if takes_after(round, value) => {
                value += round;
                start -= 2;
            }
            _ => break,
        }
    }
    let is_article = start == place && matches!(reader.tokens[place].folded.as_str(), "um" | "uma");
    if is_article {
        Ending::Article
    } else {
        Ending::Number { start, value }
    }
}

/// Whether `round e rest` is one number, such as *vinte e duas*.
pub(super) fn takes_after(round: u32, rest: u32) -> bool {
    match round {
        20..=90 => round.is_multiple_of(10) && (1..10).contains(&rest),
        100..=900 => round.is_multiple_of(100) && (1..100).contains(&rest),
        1000 => (1..1000).contains(&rest),
        _ => false,
    }
}

fn digits_ending_at(reader: &Reader<'_>, place: usize) -> Ending {
    let digits = &reader.tokens[place].lower;
    let before = place.checked_sub(1).map(|at| &reader.tokens[at]);
    let mut start = place;
    let mut text = digits.clone();
    if let Some(before) = before {
        let gap = &reader.text[before.span.1..reader.tokens[place].span.0];
        let is_thousands = gap == "." && before.is_digits() && digits.len() == 3;
        if is_thousands {
            // "1.200 pessoas"
            start = place - 1;
            text = format!("{}{digits}", before.lower);
        } else if matches!(gap, "." | "-" | "/") && before.is_digits() {
            return Ending::Blocked;
        }
        // The rest of a clock time or of a decimal is no number of things.
        let is_decimal = place >= 2 && before.is(",") && {
            reader.tokens[place - 2].is_digits() && reader.touches(place - 1)
        };
        if reader.touches(place) && (before.is(":") || is_decimal) {
            return Ending::Blocked;
        }
    }
    if reader
        .lexicon
        .phrase_before(List::NumberBlocker, &reader.words[..start])
        .is_some()
    {
        return Ending::Blocked;
    }
    match text.parse() {
        Ok(value) => Ending::Number { start, value },
        Err(_) => Ending::Blocked,
    }
}

/// The number as the words right before it change it.
fn modified(reader: &Reader<'_>, start: usize, value: u32) -> CountRange {
    let has = |list| {
        reader
            .lexicon
            .phrase_before(list, &reader.words[..start])
            .is_some()
    };
    let up_to = |hi: u32, lo: u32| CountRange { lo, hi: Some(hi) };
    if has(List::AtLeast) || has(List::OtherWord) {
        // "mais duas pessoas", "outras duas": besides those that were told before.
        CountRange::at_least(value)
    } else if has(List::AtMost) {
        up_to(value, 0)
    } else if has(List::MoreThan) {
        CountRange::at_least(value.saturating_add(1))
    } else if has(List::LessThan) {
        up_to(value.saturating_sub(1), 0)
    } else if has(List::About) {
        let slack = value.div_ceil(5).max(1);
        up_to(value.saturating_add(slack), value.saturating_sub(slack))
    } else {
        CountRange::exactly(value)
    }
}

/// *um* and *uma* claim a number only where another word makes them one.
fn article(reader: &Reader<'_>, place: usize, at: usize, n: usize) -> Quantity {
    let before = &reader.words[..place];
    let has = |list| reader.lexicon.phrase_before(list, before).is_some();
    if has(List::AtLeast) {
        return Quantity::of(CountRange::at_least(1));
    }
    if has(List::MoreThan) {
        return Quantity::of(CountRange::at_least(2));
    }
    let is_only = |word: usize| {
        let word = &reader.words[word..=word];
        reader.lexicon.phrase_at(List::OnlyWord, word).is_some()
    };
    let says_only = has(List::OnlyWord) || (place + 1..at).any(is_only);
    let surface = reader.lexicon.surface_at(&reader.words[at..at + n]);
    let is_plural = surface.is_some_and(|(_, found)| found.sense.number == Number::Plural);
    if says_only && !is_plural {
        return Quantity::of(CountRange::exactly(1));
    }
    Quantity {
        range: None,
        has_article: true,
    }
}

/// A bare number in parentheses: *caminhões (4)*.
fn in_parentheses(reader: &Reader<'_>, at: usize) -> Option<u32> {
    let [open, number, close] = reader.tokens.get(at..at + 3)? else {
        return None;
    };
    let is_bare = open.is("(") && number.is_digits() && close.is(")");
    if is_bare && !reader.is_masked[at + 1] {
        number.lower.parse().ok()
    } else {
        None
    }
}
