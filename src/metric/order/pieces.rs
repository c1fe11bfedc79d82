//! Words, numbers and marks of a text, with their classes.

use unicode_normalization::char::is_combining_mark;

use super::super::text::is_white_space;
use super::table::{COMMA, Class, DIGITS, END, MARK, NOUN, OPEN, PAUSE, TIME, Table};
use crate::scene::lexicon::{Gender, Kind, Lexicon, Number, WordId};
use crate::scene::text::{nfc, tokens};

/// What is known of a noun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noun {
    /// The label or wider word it stands for, or the noun itself.
    key: String,
    /// `None` where the form does not tell, or nobody says.
    pub(super) gender: Option<Gender>,
    pub(super) number: Number,
}

impl Noun {
    /// Whether two nouns stand for the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// One word, number or mark; a phrase of the lexicon is one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// As written.
    pub(super) raw: &'a str,
    /// In lower case and NFC.
    pub(super) lower: String,
    /// Bytes of the text as given.
    pub(super) span: (usize, usize),
    pub(super) class: Class,
    /// Set for every piece of the class `noun`, and for no other.
    pub(super) noun: Option<Noun>,
}

impl Piece<'_> {
    pub(super) fn is_word(&self) -> bool {
        self.raw.starts_with(char::is_alphabetic)
    }

    pub(super) fn is_word_or_number(&self) -> bool {
        self.raw.starts_with(char::is_alphanumeric)
    }

    pub(super) fn is_lower(&self) -> bool {
        self.is_word() && !self.raw.chars().any(char::is_uppercase)
    }

    pub(super) fn begins_upper(&self) -> bool {
        self.raw.starts_with(char::is_uppercase)
    }

    /// One capital, and small letters if there are more.
    pub(super) fn is_capitalised(&self) -> bool {
        self.begins_upper() && !self.raw.chars().skip(1).any(char::is_uppercase)
    }

    /// A single capital letter: a name, an initial, or the first word of a sentence.
    pub(super) fn is_initial(&self) -> bool {
        self.begins_upper() && self.lower.chars().count() == 1
    }

    /// `.`, `!` or `?`.
    pub(super) fn ends_sentence(&self) -> bool {
        matches!(self.raw, "." | "!" | "?")
    }
}

/// Splits a text, in any normal form.
pub(super) fn pieces<'a>(text: &'a str, table: &Table, lexicon: &Lexicon) -> Vec<Piece<'a>> {
    let phrases = phrases(text, lexicon);
    let mut phrases = phrases.iter().peekable();
    let has_lower = text.chars().any(char::is_lowercase);
    let last = text.trim_end_matches(is_white_space).len();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if is_white_space(first) {
            let is_new_line = first == '\n' && pieces.last().is_some_and(|it| it.raw != "\n");
            if is_new_line && at < last {
                pieces.push(line_break(&text[at..=at], at));
            }
            at += first.len_utf8();
            continue;
        }
        while phrases.peek().is_some_and(|phrase| phrase.span.0 < at) {
            phrases.next();
        }
        let phrase = phrases.peek().filter(|phrase| phrase.span.0 == at);
        let end = piece_end(text, at).max(phrase.map_or(0, |phrase| phrase.span.1));
        let raw = &text[at..end];
        let lower = nfc(raw).to_lowercase();
        // A phrase is a part of a longer word only by its first letters: *carro-forte*.
        let phrase = phrase.filter(|phrase| phrase.span.1 == end);
        let before = pieces.last();
        let noun = phrase.and_then(|phrase| phrase.noun.clone());
        let (class, noun) = classed(raw, &lower, noun, table);
        let mut piece = Piece {
            raw,
            lower,
            span: (at, end),
            class,
            noun,
        };
        let is_inside = before.is_some_and(|it| !matches!(it.class, END | PAUSE | MARK));
        if has_lower && is_inside && piece.is_initial() {
            (piece.class, piece.noun) = (OPEN, None);
        }
        pieces.push(piece);
        at = end;
    }
    pieces
}

/// A line break ends what goes together, as a dash does.
fn line_break(raw: &str, at: usize) -> Piece<'_> {
    Piece {
        raw,
        lower: raw.to_owned(),
        span: (at, at + 1),
        class: MARK,
        noun: None,
    }
}

fn classed(raw: &str, lower: &str, noun: Option<Noun>, table: &Table) -> (Class, Option<Noun>) {
    let first = raw.chars().next().unwrap_or(' ');
    if !first.is_alphanumeric() {
        let class = match first {
            '.' | '!' | '?' | '…' => END,
            ',' => COMMA,
            ';' | ':' => PAUSE,
            _ => MARK,
        };
        return (class, None);
    }
    if !first.is_alphabetic() {
        let class = if is_time(lower) { TIME } else { DIGITS };
        return (class, None);
    }
    if let Some(class) = table.class(lower) {
        return (class, None);
    }
    let listed = || {
        let (gender, number) = table.noun(lower)?;
        Some(Noun {
            key: lower.to_owned(),
            gender: Some(gender),
            number,
        })
    };
    let noun = noun.or_else(listed);
    let class = if noun.is_some() { NOUN } else { OPEN };
    (class, noun)
}

/// A phrase of the lexicon.
struct Phrase {
    span: (usize, usize),
    /// `None` for one that claims nothing: *sala de jantar*.
    noun: Option<Noun>,
}

/// The phrases of the lexicon as they are written there, accents included.
fn phrases(text: &str, lexicon: &Lexicon) -> Vec<Phrase> {
    let tokens = tokens(text);
    let ids: Vec<WordId> = tokens.iter().map(|token| lexicon.word_id(token)).collect();
    let mut phrases = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let found = lexicon.surface_at(&ids[at..]);
        let Some((n, surface)) = found.filter(|(n, it)| it.is_spelt_by(&tokens[at..at + n])) else {
            at += 1;
            continue;
        };
        let words = &tokens[at..at + n];
        let span = (words[0].span.0, words[n - 1].span.1);
        // Tokens know no full stop: *carro. De polícia*.
        let is_joined =
            |c: char| c.is_alphanumeric() || c == '-' || is_white_space(c) || is_combining_mark(c);
        if !text[span.0..span.1].chars().all(is_joined) {
            at += 1;
            continue;
        }
        let lower = || {
            let lower: Vec<&str> = words.iter().map(|word| word.lower.as_str()).collect();
            lower.join(" ")
        };
        let noun = (surface.sense.kind != Kind::Nothing).then(|| {
            let label = lexicon.label(&surface.sense.key);
            let is_canonical = |label: &&crate::scene::lexicon::Label| {
                let lower = lower();
                let mut canon = label.canon.iter();
                canon.any(|noun| noun.replace('-', " ").to_lowercase() == lower)
            };
            Noun {
                key: surface.sense.key.clone(),
                gender: label.filter(is_canonical).map(|label| label.gender),
                number: surface.sense.number,
            }
        });
        phrases.push(Phrase { span, noun });
        at += n;
    }
    phrases
}

/// Where the piece that begins at `at` ends: words hold hyphens, apostrophes and full stops between
/// letters (*guarda-chuva*, *d'água*, *exemplo.org*), numbers `:`, `h`, `.` and `,` between digits.
fn piece_end(text: &str, at: usize) -> usize {
    let mut chars = text[at..]
        .char_indices()
        .map(|(i, c)| (at + i, c))
        .peekable();
    let Some((_, first)) = chars.next() else {
        return at;
    };
    let mut end = at + first.len_utf8();
    if !first.is_alphanumeric() {
        return end;
    }
    let is_word = first.is_alphabetic();
    let belongs = |c: char| {
        if is_word {
            c.is_alphabetic() || is_combining_mark(c)
        } else {
            c.is_numeric()
        }
    };
    while let Some((i, c)) = chars.next() {
        let joins = if is_word {
            matches!(c, '-' | '\'' | '’' | '.' | '@')
        } else {
            matches!(c, ':' | 'h' | '.' | ',')
        };
        let goes_on = joins && chars.peek().is_some_and(|(_, next)| belongs(*next));
        // *10h* ends with its unit.
        let is_unit =
            c == 'h' && !is_word && chars.peek().is_none_or(|(_, it)| !it.is_alphanumeric());
        if !(belongs(c) || goes_on || is_unit) {
            break;
        }
        end = i + c.len_utf8();
    }
    end
}

/// `00:12`, `1:02:03`, `10h`, `10h02`.
fn is_time(text: &str) -> bool {
    let is_digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some((hours, minutes)) = text.split_once('h') {
        return is_digits(hours, 1..=2) && (minutes.is_empty() || is_digits(minutes, 2..=2));
    }
    let mut parts = text.split(':');
    let first = parts.next().is_some_and(|part| is_digits(part, 1..=3));
    let rest: Vec<&str> = parts.collect();
    first && (1..=2).contains(&rest.len()) && rest.iter().all(|part| is_digits(part, 2..=2))
}
