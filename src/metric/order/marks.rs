//! Marks and capitals that contradict each other.
//!
//! A capital inside a sentence, a sentence that goes on in lower case behind a full stop, a text that
//! begins in lower case although its sentences begin with capitals, one that ends without a mark
//! although it has full stops: each alone is a habit or a slip of writing.

use super::Slip;
use super::pieces::Piece;
use super::table::{COMMA, DIGITS, NOUN, OPEN, TIME, Table};
use crate::scene::lexicon::Lexicon;

/// A full stop behind a shorter word may end an abbreviation.
const SHORTEST_BEFORE_STOP: usize = 3;

/// The rules of this file, as they stand in reasons.
pub(super) const CAPITAL: &str = "capital";
const GOES_ON: &str = "lower_case_after_stop";
const BEGINS_LOWER: &str = "lower_case_start";
const NO_END: &str = "no_end";

/// What a rule of this file is about.
pub(super) fn what(rule: &str) -> &'static str {
    match rule {
        CAPITAL => "a capital inside a sentence",
        GOES_ON => "lower case behind a full stop",
        BEGINS_LOWER => "a text with capitals that begins in lower case",
        NO_END => "a text with full stops that ends without one",
        _ => "",
    }
}

/// Marks and capitals of a text that contradict each other.
pub(super) fn slips(
    text: &str,
    pieces: &[Piece<'_>],
    lexicon: &Lexicon,
    table: &Table,
) -> Vec<Slip> {
    let has_lower = pieces.iter().any(Piece::is_lower);
    let mut slips: Vec<Slip> = (1..pieces.len())
        .filter(|at| has_lower && is_misplaced(pieces, *at, lexicon, table))
        .map(|at| Slip::of(CAPITAL, 1, text, &pieces[at - 1..=at]))
        .collect();
    let inner = |at: &usize| {
        let before = &pieces[at - 1];
        let is_abbreviation = before.is_word() && before.raw.chars().count() < SHORTEST_BEFORE_STOP;
        let is_ellipsis = before.ends_sentence() || pieces[at + 1].ends_sentence();
        pieces[*at].ends_sentence() && !is_abbreviation && !is_ellipsis
    };
    let stops: Vec<usize> = (1..pieces.len().saturating_sub(1)).filter(inner).collect();
    let first = pieces.iter().find(|piece| piece.is_word_or_number());
    let begins_upper = first.is_some_and(Piece::begins_upper);
    let has_sentences = !slips.is_empty()
        || begins_upper && has_lower
        || stops.iter().any(|at| pieces[at + 1].begins_upper());
    if !has_sentences {
        return slips;
    }
    for at in stops {
        if pieces[at + 1].is_lower() {
            slips.push(Slip::of(GOES_ON, 1, text, &pieces[at - 1..=at + 1]));
        }
    }
    if let Some(first) = first.filter(|first| first.is_lower()) {
        slips.push(Slip::of(BEGINS_LOWER, 1, text, std::slice::from_ref(first)));
    }
    let has_stop = pieces.iter().any(Piece::ends_sentence);
    let is_open = |last: &&Piece<'_>| last.is_word_or_number() || last.class == COMMA;
    if let Some(last) = pieces.last().filter(is_open).filter(|_| has_stop) {
        slips.push(Slip::of(NO_END, 1, text, std::slice::from_ref(last)));
    }
    slips
}

/// Whether a word that is no name has a capital behind a word in lower case, a number or a comma.
fn is_misplaced(pieces: &[Piece<'_>], at: usize, lexicon: &Lexicon, table: &Table) -> bool {
    let (before, piece) = (&pieces[at - 1], &pieces[at]);
    let goes_on = before.is_lower() || matches!(before.class, TIME | DIGITS | COMMA);
    // *São Paulo*, *Banco Central*
    let begins_a_name = pieces.get(at + 1).is_some_and(Piece::begins_upper);
    if !goes_on || !piece.is_capitalised() || begins_a_name {
        return false;
    }
    if piece.is_initial() {
        return matches!(piece.lower.as_str(), "o" | "a");
    }
    let is_closed = !matches!(piece.class, OPEN | NOUN) || table.begins_no_name(&piece.lower);
    let is_known = piece.class == NOUN || lexicon.is_function_word(&piece.lower);
    // *o Banco*, *da Noite*
    let may_be_named = table.takes_a_name(before.class);
    is_closed || is_known && !may_be_named
}
