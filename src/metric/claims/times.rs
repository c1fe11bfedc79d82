//! Times and durations in a sentence.
//!
//! Clock times claim an instant. *N units* claims one only after an instant marker (*aos doze
//! segundos*) and is a duration otherwise. Both are masked, so that their digits are no counts.

use super::quantity::takes_after;
use super::{Reader, TimeClaim};
use crate::scene::facts::TimeBase;
use crate::scene::lexicon::{List, WordId};

const SECOND_S: f64 = 2.0;
const MINUTE_S: f64 = 60.0;
const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 24.0 * HOUR_S;
/// Digits beyond which a number is no time: thirty years have fewer seconds.
const MAX_DIGITS: usize = 9;

/// A time that was read: how many tokens it takes and what it says.
struct Found {
    n_tokens: usize,
    /// Seconds since the start of the video or of the day; `None` claims nothing.
    at_s: Option<f64>,
    resolution_s: f64,
    /// Whether it is a time of the clock, to be shifted in wall-clock texts.
    is_clock: bool,
}

/// Finds the times of a sentence, masks their tokens, and gives the instants among them.
pub(super) fn find(reader: &mut Reader<'_>) -> Vec<TimeClaim> {
    let mut claims = Vec::new();
    let mut at = 0;
    while at < reader.tokens.len() {
        let found = colon_time(reader, at)
            .or_else(|| hour_time(reader, at))
            .or_else(|| in_units(reader, at));
        let Some(found) = found else {
            at += 1;
            continue;
        };
        let end = at + found.n_tokens;
        if let Some(at_s) = found.at_s {
            let span = (reader.tokens[at].span.0, reader.tokens[end - 1].span.1);
            claims.push(TimeClaim {
                at_s: if found.is_clock {
                    from_start(at_s, reader.time_base)
                } else {
                    at_s
                },
                resolution_s: found.resolution_s,
                surface: reader.text[span.0..span.1].to_owned(),
                span,
            });
        }
        reader.mask(at, end);
        at = end;
    }
    claims
}

/// Seconds from the start of the video of a clock time.
fn from_start(clock_s: f64, time_base: TimeBase) -> f64 {
    match time_base {
        TimeBase::Offset => clock_s,
        TimeBase::WallClock { start_s } => {
            let offset_s = clock_s - f64::from(start_s);
            // A recording that passes midnight.
            if offset_s < -DAY_S / 2.0 {
                offset_s + DAY_S
            } else {
                offset_s
            }
        }
    }
}

/// `mm:ss` and `h:mm:ss`; in wall-clock texts `hh:mm` and `hh:mm:ss`.
fn colon_time(reader: &Reader<'_>, at: usize) -> Option<Found> {
    let digits = |at: usize| reader.tokens.get(at).filter(|token| token.is_digits());
    digits(at)?;
    // Digits and colons that touch each other: "00:10", "1:02:03".
    let mut parts = vec![at];
    let mut end = at + 1;
    while digits(end + 1).is_some()
        && reader.tokens[end].is(":")
        && reader.touches(end)
        && reader.touches(end + 1)
    {
        parts.push(end + 1);
        end += 2;
    }
    let is_behind_colon = reader.touches(at) && reader.tokens[at - 1].is(":");
    // "00:10h" and "1:2x": what touches the last colon is more than digits.
    let is_cut = reader.tokens.get(end).is_some_and(|token| token.is(":"))
        && reader.touches(end)
        && end + 1 < reader.tokens.len()
        && reader.touches(end + 1);
    if parts.len() < 2 || is_behind_colon || is_cut {
        return None;
    }
    let n_tokens = end - at;
    let nothing = Found {
        n_tokens,
        at_s: None,
        resolution_s: SECOND_S,
        is_clock: true,
    };
    let value = |part: usize| number(&reader.tokens[part].lower);
    let is_sixtieth = |part: usize| reader.tokens[part].lower.len() == 2 && value(part) < 60.0;
    let is_short = reader.tokens[parts[0]].lower.len() <= 3;
    let is_time = is_short && parts.len() <= 3 && parts[1..].iter().all(|&part| is_sixtieth(part));
    if !is_time {
        return Some(nothing);
    }
    let (at_s, resolution_s) = match (parts.as_slice(), reader.time_base) {
        (&[h, m, s], _) => (value(h) * HOUR_S + value(m) * MINUTE_S + value(s), SECOND_S),
        (&[h, m], TimeBase::WallClock { .. }) => {
            (value(h) * HOUR_S + value(m) * MINUTE_S, MINUTE_S)
        }
        (parts, _) => (value(parts[0]) * MINUTE_S + value(parts[1]), SECOND_S),
    };
    Some(Found {
        at_s: Some(at_s),
        resolution_s,
        ..nothing
    })
}

/// `10h`, `10h02`, `10 h 02`.
fn hour_time(reader: &Reader<'_>, at: usize) -> Option<Found> {
    let word = reader.tokens[at].lower.as_str();
    let (hours, minutes, n_tokens) = if let Some((hours, minutes)) = word.split_once('h') {
        let minutes = minutes.strip_suffix("min").unwrap_or(minutes);
        (hours, Some(minutes).filter(|text| !text.is_empty()), 1)
    } else {
        if !reader.tokens.get(at + 1)?.is("h") {
            return None;
        }
        let after = reader.tokens.get(at + 2);
        let minutes = after.filter(|token| token.is_digits() && token.lower.len() == 2);
        let minutes = minutes.map(|token| token.lower.as_str());
        (word, minutes, if minutes.is_some() { 3 } else { 2 })
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_hours = (1..=2).contains(&hours.len()) && is_digits(hours);
    let is_minutes = |text: &str| text.len() == 2 && is_digits(text) && number(text) < 60.0;
    if !is_hours || !minutes.is_none_or(is_minutes) || is_behind_colon(reader, at) {
        return None;
    }
    Some(Found {
        n_tokens,
        at_s: Some(number(hours) * HOUR_S + minutes.map_or(0.0, number) * MINUTE_S),
        resolution_s: if minutes.is_some() { MINUTE_S } else { HOUR_S },
        is_clock: true,
    })
}

fn is_behind_colon(reader: &Reader<'_>, at: usize) -> bool {
    reader.touches(at) && reader.tokens[at - 1].is(":")
}

/// `12 segundos`, `2,5 min`, `dois minutos`, `1 minuto e 20 segundos`.
fn in_units(reader: &Reader<'_>, at: usize) -> Option<Found> {
    if is_behind_colon(reader, at) {
        return None;
    }
    let (mut end, mut total_s, mut unit_s) = amount(reader, at)?;
    // Smaller units may follow, joined by "e" or by nothing.
    loop {
        let is_joined = reader.tokens.get(end).is_some_and(|token| token.is("e"));
        let next = amount(reader, end + usize::from(is_joined));
        match next {
            Some((next_end, more_s, smaller_s)) if smaller_s < unit_s => {
                (end, unit_s) = (next_end, smaller_s);
                total_s += more_s;
            }
            _ => break,
        }
    }
    let before = &reader.words[..at];
    let is_instant = reader
        .lexicon
        .phrase_before(List::InstantMarker, before)
        .is_some();
    Some(Found {
        n_tokens: end - at,
        at_s: is_instant.then_some(total_s),
        resolution_s: match unit_s {
            1 => SECOND_S,
            60 => MINUTE_S,
            other => f64::from(other),
        },
        is_clock: false,
    })
}

/// A number and its unit at `at`: the token after it, seconds in all, seconds of the unit.
fn amount(reader: &Reader<'_>, at: usize) -> Option<(usize, f64, u32)> {
    let token = reader.tokens.get(at)?;
    if reader.is_masked[at] {
        return None;
    }
    let n_digits = token.lower.bytes().take_while(u8::is_ascii_digit).count();
    if n_digits > MAX_DIGITS {
        return None;
    }
    let (digits, letters) = token.lower.split_at(n_digits);
    if n_digits > 0 && !letters.is_empty() {
        // "12s", "20min"
        let unit_s = reader.lexicon.unit_named_s(letters)?;
        return Some((at + 1, number(digits) * f64::from(unit_s), unit_s));
    }
    let (end, value) = if n_digits > 0 {
        decimal(reader, at)
    } else {
        number_word(reader, at)?
    };
    let unit_s = reader.lexicon.unit_s(*reader.words.get(end)?)?;
    Some((end + 1, value * f64::from(unit_s), unit_s))
}

/// Digits at `at`, with decimals behind a comma or a point: the token after them, the value.
fn decimal(reader: &Reader<'_>, at: usize) -> (usize, f64) {
    let whole = number(&reader.tokens[at].lower);
    let has_comma =
        reader.tokens.get(at + 1).is_some_and(|token| token.is(",")) && reader.touches(at + 1);
    let part = at + 1 + usize::from(has_comma);
    let Some(decimals) = reader.tokens.get(part).filter(|token| token.is_digits()) else {
        return (at + 1, whole);
    };
    let gap = &reader.text[reader.tokens[at].span.1..decimals.span.0];
    if gap != "." && gap != "," || decimals.lower.len() > MAX_DIGITS {
        return (at + 1, whole);
    }
    let n = i32::try_from(decimals.lower.len()).unwrap_or(i32::MAX);
    (part + 1, whole + number(&decimals.lower) / 10f64.powi(n))
}

/// A number in words at `at`, *vinte e dois* included: the token after it, the value.
fn number_word(reader: &Reader<'_>, at: usize) -> Option<(usize, f64)> {
    let numeral = |word: Option<&WordId>| reader.lexicon.numeral(*word?);
    let mut value = numeral(reader.words.get(at))?;
    let mut end = at + 1;
    let mut last = value;
    while reader.tokens.get(end).is_some_and(|token| token.is("e")) {
        match numeral(reader.words.get(end + 1)) {
            Some(rest) if takes_after(last, rest) => {
                value += rest;
                last = rest;
                end += 2;
            }
            _ => break,
        }
    }
    Some((end, f64::from(value)))
}

/// The value of a short run of ASCII digits.
fn number(digits: &str) -> f64 {
    digits.parse().unwrap_or(f64::INFINITY)
}
