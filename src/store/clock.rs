//! Moments as RFC 3339 text and back. Times are information only: nothing is ordered by them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 by this host's clock; 0 for a clock before that.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |past| past.as_secs())
}

pub(super) use crate::units::rfc3339 as text;

/// Seconds since 1970 of an RFC 3339 text, fractions cut; `None` for anything else.
///
/// A date alone means its first second, and a moment without offset is UTC.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let is_number = digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    };
    let mark = |at: usize, known: &[u8]| text.as_bytes().get(at).is_some_and(|b| known.contains(b));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !mark(4, b"-") || !mark(7, b"-") || !(1..=12).contains(&month) {
        return None;
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=days_of_month).contains(&day) {
        return None;
    }
    let (second_of_day, offset) = if text.len() == 10 {
        (0, 0)
    } else {
        let is_time = mark(10, b"Tt ") && mark(13, b":") && mark(16, b":");
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !is_time || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        (hour * 3_600 + minute * 60 + second, offset(&text[19..])?)
    };
    let year = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    u64::try_from(days * 86_400 + second_of_day - offset).ok()
}

/// Seconds east of UTC of what follows the seconds: a fraction, then `Z`, `+hh:mm` or nothing.
fn offset(rest: &str) -> Option<i64> {
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            fraction.get(digits..).filter(|_| digits > 0)?
        }
        None => rest,
    };
    let sign = match rest {
        "" | "Z" | "z" => return Some(0),
        _ if rest.starts_with('+') => 1,
        _ if rest.starts_with('-') => -1,
        _ => return None,
    };
    let (hours, minutes) = rest.get(1..)?.split_once(':')?;
    let part = |text: &str, most: i64| -> Option<i64> {
        let is_pair = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| is_pair && *n <= most)
    };
    Some(sign * (part(hours, 23)? * 3_600 + part(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read_back() {
        // From `date -u -d @N +%FT%TZ`.
        for (moment, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(text(moment), written);
            assert_eq!(seconds(written), Some(moment));
        }
    }

    #[test]
    fn other_spellings_of_a_moment_are_read() {
        let moment = seconds("2025-11-23T17:30:00Z");
        assert!(moment.is_some());
        for other in [
            "2025-11-23T14:30:00-03:00",
            "2025-11-23T17:30:00.250Z",
            "2025-11-23 17:30:00",
            "2025-11-23t19:00:00+01:30",
        ] {
            assert_eq!(seconds(other), moment, "{other}");
        }
        assert_eq!(seconds("2025-11-23"), seconds("2025-11-23T00:00:00Z"));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for wrong in [
            "",
            "yesterday",
            "2025-13-01",
            "2025-02-29",
            "2025-11-23T24:00:00Z",
            "2025-11-23T17:30",
            "2025-11-23T17:30:00.Z",
            "2025-11-23T17:30:00+1:00",
            "1969-12-31T23:59:59Z",
            "2025-11-2\u{e9}",
            "+025-11-23",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
