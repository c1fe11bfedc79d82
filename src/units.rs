//! Units that travel through the whole program: byte counts, SHA-256 digests, and which characters
//! cannot be seen.
//!
//! Plain values with parsing and formatting; nothing here touches a file.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A number of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Whether a count is zero; such counts are left out of files where older ones lack them.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Bytes {
    /// The count in binary mebibytes (2^20 bytes).
    pub fn mib(self) -> f64 {
        self.0 as f64 / f64::from(1u32 << 20)
    }
}

impl fmt::Display for Bytes {
    /// Prints with a binary unit: `812 B`, `3.1 KiB`, `12.4 MiB`, `1.2 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 {
            format!("{value:.0} {}", UNITS[unit])
        } else {
            format!("{value:.1} {}", UNITS[unit])
        };
        f.pad(&text)
    }
}

/// A SHA-256 digest; the identity of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// Why a text is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestSyntax {
    /// The text does not have 64 digits.
    #[error("a sha256 has 64 hex digits, found {found}")]
    Length {
        /// Number of characters found.
        found: usize,
    },
    /// A character is not a hexadecimal digit.
    #[error("`{0}` is not a hex digit")]
    Digit(char),
}

impl Sha256 {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// First 12 hex digits, for people; never used for comparing.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = DigestSyntax;

    /// Reads 64 hex digits in either case; no prefix, no white space.
    fn from_str(text: &str) -> Result<Self, DigestSyntax> {
        let found = text.chars().count();
        if found != 64 {
            return Err(DigestSyntax::Length { found });
        }
        let mut out = [0u8; 32];
        for (i, c) in text.chars().enumerate() {
            let digit = c.to_digit(16).ok_or(DigestSyntax::Digit(c))?;
            // A hex digit is below 16, so it fits u8.
            out[i / 2] = out[i / 2] << 4 | u8::try_from(digit).unwrap_or(0);
        }
        Ok(Self(out))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Sha256 {
    fn schema_name() -> Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9a-fA-F]{64}$",
            "description": "A SHA-256 digest as 64 hex digits.",
        })
    }
}

/// A SHA-256 over bytes that arrive in pieces.
#[derive(Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Adds `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// RFC 3339 UTC, whole seconds, of a moment `seconds` after 1970.
///
/// Source: Hinnant (2013), *chrono-Compatible Low-Level Date Algorithms*, `civil_from_days`.
pub fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

/// Characters that print nothing, or change how their neighbours print, control characters aside.
///
/// Names that hold one are refused and texts that do are shown with an escape: what a reader sees
/// is what is there. These are the code points of property `Default_Ignorable_Code_Point` (Unicode
/// 16.0, `DerivedCoreProperties.txt`), both separators of lines, and the marks of annotations.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'   // Mongolian variation selectors
            | '\u{200b}'..='\u{200f}'   // zero width, direction marks
            | '\u{2028}'..='\u{202e}'   // line breaks, direction overrides
            | '\u{2060}'..='\u{206f}'   // joiners, direction isolates
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fe00}'..='\u{fe0f}'   // variation selectors
            | '\u{fff0}'..='\u{fffb}'   // unassigned, and marks of annotations
            | '\u{1bca0}'..='\u{1bca3}' // shorthand controls
            | '\u{1d173}'..='\u{1d17a}' // musical controls
            | '\u{e0000}'..='\u{e0fff}' // tags, more variation selectors, and their like
    )
}

/// Whether `text` is a day of the calendar of the form `2027-01-31`.
pub fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let &[year, month, day] = parts.as_slice() else {
        return false;
    };
    let number = |part: &str, width: usize| {
        let is_plain = part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
        is_plain.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2))
    else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_known_messages() {
        assert_eq!(
            Sha256::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut hasher = Hasher::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), Sha256::of(b"abc"));
    }

    #[test]
    fn digest_text_round_trips_and_rejects_the_rest() {
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(
            "ab".parse::<Sha256>(),
            Err(DigestSyntax::Length { found: 2 })
        );
        let bad = "g".repeat(64);
        assert_eq!(bad.parse::<Sha256>(), Err(DigestSyntax::Digit('g')));
    }

    #[test]
    fn bytes_print_with_binary_units() {
        let check = |n, text: &str| assert_eq!(Bytes(n).to_string(), text);
        check(812, "812 B");
        check(4096, "4.0 KiB");
        check(12 << 20, "12.0 MiB");
    }

    #[test]
    fn dates_follow_the_calendar() {
        // From `date -u -d @N +%FT%TZ`.
        let check = |seconds, text: &str| assert_eq!(rfc3339(seconds), text);
        check(59 * 86_400, "1970-03-01T00:00:00Z");
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_251_199, "2024-02-29T23:59:59Z");
        check(1_709_251_200, "2024-03-01T00:00:00Z");
        check(4_107_542_399, "2100-02-28T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn what_cannot_be_seen_is_what_unicode_says() {
        // Counted with the `regex` module of Python (Unicode 16.0): 4174 of \p{DI}, and five more.
        let all = ('\0'..=char::MAX).filter(|c| is_invisible(*c));
        assert_eq!(all.count(), 4174 + 2 + 3);
        for seen in ['a', 'ç', ' ', '\u{a0}', '\n', '\u{301}', '日', '🚗'] {
            assert!(!is_invisible(seen), "{seen:?}");
        }
    }
}
