//! What the headers of an answer say, read strictly.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::http::{HeaderMap, header};

use super::Condition;
use super::error::{Fetched, Transfer};
use crate::units::Bytes;

/// Longest content type put into a message, in characters.
const MAX_TYPE: usize = 60;

/// An answer: who gave it, and what its headers say.
#[derive(Debug)]
pub(super) struct Answer {
    shown: String,
    /// Whether a cloud store gave it.
    is_of_store: bool,
    /// The name a store has for what went wrong.
    store_error: Option<String>,
    pub(super) status: u16,
    content_type: Option<String>,
    is_encoded: bool,
    length: Result<Option<u64>, &'static str>,
}

impl Answer {
    /// * `shown`: what was asked for, as messages name it
    pub(super) fn new(shown: String, status: u16, headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars()
                .take(MAX_TYPE)
                .flat_map(char::escape_debug)
                .collect()
        });
        let encoding = headers.get(header::CONTENT_ENCODING);
        Self {
            shown,
            is_of_store: false,
            store_error: None,
            status,
            content_type,
            is_encoded: encoding.is_some_and(|value| value != "identity"),
            length: length(headers),
        }
    }

    /// The same as the answer of a cloud store.
    ///
    /// * `error`: the beginning of its body, when it tells an error
    pub(super) fn of_store(self, error: Option<&[u8]>) -> Self {
        Self {
            is_of_store: true,
            store_error: error.and_then(error_code),
            ..self
        }
    }

    /// Declared length of the body.
    ///
    /// # Errors
    /// A transfer that ends here: the header is no number, or given twice differently.
    pub(super) fn length(&self) -> Result<Option<u64>, super::Error> {
        self.length
            .map_err(|problem| super::Error::Transfer(Box::new(self.unusable(problem))))
    }

    /// The range the body is; `None` without one, or with one that is malformed.
    pub(super) fn range(&self, headers: &HeaderMap) -> Option<ContentRange> {
        let is_parts = self
            .content_type
            .as_deref()
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/"));
        let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        ContentRange::parse(value).filter(|_| !is_parts)
    }

    fn transfer(&self, condition: Condition, problem: String) -> Transfer {
        Transfer {
            content_type: self.content_type.clone(),
            ..Transfer::new(condition, self.shown.clone(), problem)
        }
    }

    /// An answer that cannot be used.
    pub(super) fn unusable(&self, problem: &str) -> Transfer {
        let problem = format!("status {}: {problem}", self.status);
        self.transfer(Condition::ServerUnusable, problem)
    }

    /// A status that is no answer to the question.
    pub(super) fn refused(&self) -> Transfer {
        let is_temporary = matches!(self.status, 408 | 425 | 429 | 500..=599);
        let code = self.store_error.as_ref();
        let problem = match code {
            Some(code) => format!("status {} ({code})", self.status),
            None => format!("status {}", self.status),
        };
        Transfer {
            advice: self.advice(code.map(String::as_str)),
            is_retryable: is_temporary,
            ..self.transfer(Condition::ServerUnusable, problem)
        }
    }

    fn advice(&self, code: Option<&str>) -> Option<&'static str> {
        match (self.is_of_store, self.status) {
            (false, 401 | 403) => Some(
                "a presigned URL may have expired; otherwise set VV_EVAL_AUTHORIZATION and \
                 VV_EVAL_AUTHORIZATION_HOST",
            ),
            (false, 404 | 410) => {
                Some("look whether the URL of the manifest is right and still served")
            }
            (true, 403) if code == Some("RequestTimeTooSkewed") => {
                Some("set the clock of this host: the store refuses requests of another time")
            }
            (true, 301 | 307 | 308) => {
                Some("the bucket may be in another region: set AWS_REGION to it")
            }
            (true, 400 | 401 | 403) => Some(
                "look at the credentials and the region in the environment (AWS_*, GOOGLE_* or \
                 AZURE_*); docs/manifest.md lists the variables",
            ),
            (true, 404) => Some(
                "look whether bucket, key and version of the manifest are right, and whether the \
                 object was deleted",
            ),
            _ => None,
        }
    }

    /// A connection that failed.
    pub(super) fn network(&self, problem: impl Into<String>) -> Transfer {
        self.transfer(Condition::Network, problem.into())
    }

    /// Where bytes came from.
    pub(super) fn fetched(&self) -> Fetched {
        Fetched {
            url: self.shown.clone(),
            content_type: self.content_type.clone(),
            is_encoded: self.is_encoded,
        }
    }
}

/// The name a store gives an error, such as `NoSuchKey`: all stores answer in XML with a `Code`.
fn error_code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_name =
        (1..=60).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| code.to_owned())
}

/// Declared length of a body; `None` when it is not declared.
///
/// # Errors
/// What is wrong with the header, when it is no number or given twice differently.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let digits = value.to_str().unwrap_or_default();
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_plain.then(|| digits.parse::<u64>().ok()).flatten();
        let number = number.ok_or("its Content-Length is no number")?;
        if found.is_some_and(|found| found != number) {
            return Err("two values of Content-Length");
        }
        found = Some(number);
    }
    Ok(found)
}

/// The strong entity tag, with its quotes; weak and malformed ones promise nothing of bytes.
pub(super) fn entity_tag(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::ETAG)?.to_str().ok()?;
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let is_tag = inner
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    (is_tag && inner.len() <= 256).then(|| value.to_owned())
}

/// A `Content-Range: bytes FIRST-LAST/TOTAL` that names all three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    first: u64,
    last: u64,
    /// Length of the whole file.
    pub(super) total: u64,
}

impl ContentRange {
    fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| text.parse::<u64>().ok()).flatten()
        };
        let range = Self {
            first: number(first)?,
            last: number(last)?,
            total: number(total)?,
        };
        unit.eq_ignore_ascii_case("bytes").then_some(range)
    }

    /// Whether it is the rest of the file from `from`, and the file as long as promised.
    pub(super) fn continues(self, from: u64, promised: Option<Bytes>) -> bool {
        self.first == from
            && self.total > from
            && self.last == self.total - 1
            && promised.is_none_or(|size| size == Bytes(self.total))
    }
}

/// How long the server asks to wait: seconds, or a date of RFC 9110; garbage is ignored.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let then = UNIX_EPOCH + Duration::from_secs(seconds_of_date(value)?);
    Some(then.duration_since(now).unwrap_or_default())
}

/// Seconds after 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Source: RFC 9110, section 5.6.7; the day count after Hinnant (2013), "chrono-Compatible
/// Low-Level Date Algorithms".
fn seconds_of_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let [day, month, year, time, zone] = rest.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let number = |text: &str, width: usize, max: u64| {
        let is_plain = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain
            .then(|| text.parse::<u64>().ok())
            .flatten()
            .filter(|n| *n <= max)
    };
    let (day, year) = (number(day, 2, 31)?, number(year, 4, 9999)?);
    let month = 1 + MONTHS.iter().position(|known| *known == month)? as u64;
    let [hours, minutes, seconds] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    let of_day =
        number(hours, 2, 23)? * 3600 + number(minutes, 2, 59)? * 60 + number(seconds, 2, 60)?;
    if zone != "GMT" || year < 1970 || day == 0 {
        return None;
    }
    // Years are counted from March, so that the leap day ends one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    (days * 86_400 + of_day).checked_sub(719_468 * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().expect("a header value"));
        }
        headers
    }

    #[test]
    fn lengths_are_one_number() {
        let check = |values: &[&str]| length(&headers("content-length", values));
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&["12"]), Ok(Some(12)));
        assert_eq!(check(&["12", "12"]), Ok(Some(12)));
        for values in [
            &["12", "13"][..],
            &["+12"],
            &["-1"],
            &["1e3"],
            &[""],
            &["12, 12"],
        ] {
            assert!(check(values).is_err(), "{values:?}");
        }
    }

    #[test]
    fn errors_of_stores_have_names() {
        let check = |text: &str| error_code(text.as_bytes());
        let body = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Key>k</Key></Error>";
        assert_eq!(check(body).as_deref(), Some("NoSuchKey"));
        let long = format!("<Code>{}</Code>", "x".repeat(61));
        for text in [
            "",
            "<Code>",
            "<Code></Code>",
            "<Code>a\x1b[31m</Code>",
            &long,
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }

    #[test]
    fn only_strong_tags_count() {
        let check = |value: &str| entity_tag(&headers("etag", &[value]));
        assert_eq!(check("\"a-1\""), Some("\"a-1\"".to_owned()));
        for value in ["W/\"a\"", "a", "\"a", "\"a\"b\"", "\"a b\""] {
            assert_eq!(check(value), None, "{value}");
        }
    }

    #[test]
    fn ranges_answer_exactly_what_was_asked() {
        let of = |text| ContentRange::parse(text);
        let good = of("bytes 10-99/100").expect("a range");
        assert!(good.continues(10, None) && good.continues(10, Some(Bytes(100))));
        assert!(!good.continues(9, None) && !good.continues(10, Some(Bytes(101))));
        assert!(!of("bytes 10-98/100").expect("a range").continues(10, None));
        assert!(!of("bytes 0-0/0").expect("a range").continues(0, None));
        for text in [
            "bytes */100",
            "bytes 10-99/*",
            "items 10-99/100",
            "bytes 10-99",
            "",
            "x",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_read_as_date_reads_them() {
        // `date -u -d "…" +%s`, GNU coreutils.
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Thu, 26 Nov 2026 00:45:00 GMT", 1_795_653_900),
        ] {
            assert_eq!(seconds_of_date(text), Some(seconds), "{text}");
        }
        for text in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "tomorrow",
        ] {
            assert_eq!(seconds_of_date(text), None, "{text}");
        }
    }

    #[test]
    fn waits_are_read_from_seconds_and_dates() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let check = |value| retry_after(&headers("retry-after", &[value]), now);
        assert_eq!(check("2"), Some(Duration::from_secs(2)));
        assert_eq!(
            check("99999999999999999999"),
            Some(Duration::from_secs(u64::MAX))
        );
        let seven = Some(Duration::from_secs(7));
        assert_eq!(check("Sun, 06 Nov 1994 08:49:37 GMT"), seven);
        assert_eq!(check("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(check("soon"), None);
        assert_eq!(check("-1"), None);
    }
}
