//! Whether the words of a text stand in an order that Portuguese has.
//!
//! In: a text and the lexicon. Out: the slips, each with its rule, words and place, and whether they
//! are so many that the text is no prose: words in random order. No grammar is parsed and no word
//! needs to be known: a slip is a pair of neighbours of closed classes that sound prose has never or
//! hardly ever, such as an article before a preposition or at the end, or marks and capitals that
//! contradict each other. A single one is a slip of the pen and changes nothing.
//!
//! The classes and rules are data (`pt-br-0.1.toml`), the nouns come from the lexicon. Time and
//! memory grow with the length of the text.

mod marks;
mod pieces;
mod table;

use std::collections::BTreeMap;

use pieces::{Piece, pieces};
use serde_json::{Value, json};
use table::{END, Item, NOUN, Rule, TABLE, Table};

use crate::scene::lexicon::{Lexicon, Number};
use crate::units::Sha256;

/// Points from which a text is out of order.
const NEEDED: u32 = 3;
/// Points by words from which it is: a long text may have a slip here and there.
const NEEDED_SHARE: f64 = 0.15;
/// Points that all errors of agreement count together, at most: they are errors of form, not of order.
const AGREEMENT_AT_MOST: u32 = 2;
/// The rule of a determiner of another gender or number than its noun.
const AGREEMENT: &str = "agreement";
/// Points of an opening that is not gone on with.
const FRAME_POINTS: u32 = 2;
/// Slips that are shown of one text.
const MOST_SHOWN: usize = 50;

/// One oddity of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// The rule it breaks.
    pub rule: &'static str,
    /// Bytes in the text as given.
    pub span: (usize, usize),
    /// The words, as written.
    pub surface: String,
    /// 1 or 2: what sound prose has hardly ever, or never.
    pub points: u32,
}

impl Slip {
    fn of(rule: &'static str, points: u32, text: &str, pieces: &[Piece<'_>]) -> Self {
        let span = (
            pieces.first().map_or(0, |first| first.span.0),
            pieces.last().map_or(0, |last| last.span.1),
        );
        Self {
            rule,
            span,
            surface: text[span.0..span.1].to_owned(),
            points,
        }
    }

    /// The slip as `{"rule", "what", "span", "surface", "points"}`.
    pub fn to_json(&self) -> Value {
        json!({
            "rule": self.rule,
            "what": rule_text(self.rule),
            "span": [self.span.0, self.span.1],
            "surface": self.surface,
            "points": self.points,
        })
    }
}

/// What is odd about the order of the words of one text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WordOrder {
    /// In the order of the rules, by place within a rule.
    slips: Vec<Slip>,
    n_words: usize,
    /// Points of the words, without those of marks and capitals.
    word_points: u32,
    mark_points: u32,
    has_misplaced_capital: bool,
}

impl WordOrder {
    /// Looks at a text, in any normal form.
    pub fn of(text: &str, lexicon: &Lexicon) -> Self {
        let table = &*TABLE;
        let pieces = pieces(text, table, lexicon);
        let mut slips = neighbours(text, &pieces, table);
        slips.extend(frames(text, &pieces, table));
        let word_points = points(&slips, table);
        let marks = marks::slips(text, &pieces, lexicon, table);
        let mark_points = marks.iter().map(|slip| slip.points).sum();
        let has_misplaced_capital = marks.iter().any(|slip| slip.rule == marks::CAPITAL);
        slips.extend(marks);
        Self {
            slips,
            n_words: pieces.iter().filter(|it| it.is_word_or_number()).count(),
            word_points,
            mark_points,
            has_misplaced_capital,
        }
    }

    /// Whether so much is odd that the words are in no order.
    ///
    /// Marks and capitals alone do not tell, unless a word inside a sentence has a capital.
    pub fn is_disordered(&self) -> bool {
        let points = self.word_points + self.mark_points;
        let tells = self.word_points > 0 || self.has_misplaced_capital;
        tells && points >= NEEDED && f64::from(points) >= NEEDED_SHARE * self.n_words as f64
    }

    /// What is odd, by place; of very many the first.
    pub fn slips(&self) -> Vec<&Slip> {
        let mut slips: Vec<&Slip> = self.slips.iter().collect();
        slips.sort_by_key(|slip| slip.span);
        slips.truncate(MOST_SHOWN);
        slips
    }

    /// Determiners of another gender or number than the noun behind them.
    pub fn n_agreement_errors(&self) -> usize {
        let errors = self.slips.iter();
        errors.filter(|slip| slip.rule == AGREEMENT).count()
    }
}

/// Version and digest of the word-order file in force.
pub fn version() -> (&'static str, Sha256) {
    (&TABLE.version, TABLE.sha256)
}

/// What a rule is about, in a few words.
fn rule_text(rule: &str) -> &'static str {
    let of_marks = || match rule {
        AGREEMENT => "a determiner of another gender or number than its noun",
        _ => marks::what(rule),
    };
    TABLE.what(rule).unwrap_or_else(of_marks)
}

/// Neighbours that do not go together; behind the last word the text ends.
fn neighbours(text: &str, pieces: &[Piece<'_>], table: &'static Table) -> Vec<Slip> {
    let has_lower = pieces.iter().any(Piece::is_lower);
    let pairs = pieces.windows(2).enumerate().filter_map(|(at, pair)| {
        let (first, then) = (&pair[0], &pair[1]);
        // *Estação da Luz*: names keep to no rule.
        let is_name = has_lower && at > 0 && first.begins_upper() && then.begins_upper();
        let (points, rule) = odd(first, then, table).filter(|_| !is_name)?;
        Some(Slip::of(rule, points, text, pair))
    });
    let last = pieces.last().filter(|last| last.is_word_or_number());
    let end = last.and_then(|last| {
        let (points, rule) = table.rule(last.class, END)?;
        let is_usual = table.is_usual(&last.lower, ".");
        let last = std::slice::from_ref(last);
        (!is_usual).then(|| Slip::of(&rule.id, points, text, last))
    });
    pairs.chain(end).collect()
}

/// Points and rule of two neighbours; `None` when nothing is odd.
fn odd(first: &Piece<'_>, then: &Piece<'_>, table: &'static Table) -> Option<(u32, &'static str)> {
    let found = table.rule(first.class, then.class);
    let agreement = || disagrees(first, then, table).then_some((1, AGREEMENT));
    let (points, rule): (u32, &'static Rule) = match found {
        None => return agreement().filter(|_| !table.is_usual(&first.lower, written(then))),
        Some(found) => found,
    };
    let nouns = first.noun.as_ref().zip(then.noun.as_ref());
    let goes_together = nouns.is_some_and(|(a, b)| {
        a.is_like(b) || table.is_adjective(&first.lower) || table.is_adjective(&then.lower)
    });
    let is_usual = goes_together || table.is_usual(&first.lower, written(then));
    (!is_usual).then_some((points, rule.id.as_str()))
}

/// A piece as pairs of usual words have it: every end of a sentence as a full stop.
fn written<'a>(piece: &'a Piece<'_>) -> &'a str {
    if piece.class == END {
        "."
    } else {
        &piece.lower
    }
}

/// Whether a determiner stands before a noun of another gender or number, or one of a single thing
/// before a number word.
fn disagrees(first: &Piece<'_>, then: &Piece<'_>, table: &Table) -> bool {
    let Some(asks) = table.determiner(&first.lower) else {
        return false;
    };
    let Some(noun) = &then.noun else {
        return asks.number == Number::Singular && table.is_number(then.class);
    };
    debug_assert_eq!(then.class, NOUN, "only nouns are nouns");
    let is_other_number = noun.number != Number::Either && noun.number != asks.number;
    let is_other_gender = asks.gender.zip(noun.gender).is_some_and(|(a, b)| a != b);
    is_other_number || is_other_gender
}

/// Openings that are not gone on with.
fn frames(text: &str, pieces: &[Piece<'_>], table: &'static Table) -> Vec<Slip> {
    let is = |item: &Item, piece: &Piece<'_>| match item {
        Item::Word(word) => *word == piece.lower,
        Item::Class(class) => *class == piece.class,
    };
    let ends = |item: &Item| *item == Item::Class(END);
    let mut slips = Vec::new();
    for at in 0..pieces.len() {
        for frame in &table.frames {
            let n = frame.opening.len();
            let Some(opening) = pieces.get(at..at + n) else {
                continue;
            };
            if !frame
                .opening
                .iter()
                .zip(opening)
                .all(|(item, it)| is(item, it))
            {
                continue;
            }
            let next = pieces.get(at + n);
            let goes_on = |next: &Piece<'_>| frame.next.iter().any(|item| is(item, next));
            if next.map_or_else(|| frame.next.iter().any(ends), goes_on) {
                continue;
            }
            let shown = &pieces[at..(at + n + 1).min(pieces.len())];
            slips.push(Slip::of(&frame.rule.id, FRAME_POINTS, text, shown));
        }
    }
    slips
}

/// Points of slips, each rule at most what it may count.
fn points(slips: &[Slip], table: &Table) -> u32 {
    let mut by_rule: BTreeMap<&str, u32> = BTreeMap::new();
    for slip in slips {
        *by_rule.entry(slip.rule).or_default() += slip.points;
    }
    let counted = |(rule, points): (&str, u32)| {
        let at_most = if rule == AGREEMENT {
            Some(AGREEMENT_AT_MOST)
        } else {
            table.at_most(rule)
        };
        points.min(at_most.unwrap_or(u32::MAX))
    };
    by_rule.into_iter().map(counted).sum()
}

#[cfg(test)]
mod tests;
