//! `*.summary.json`, the output contract of the pipeline, and the two ways a model may fill it: a
//! JSON object, or plain text.
//!
//! Every violation is named; nothing is repaired except escapes that are no character, which become
//! U+FFFD and make the output invalid.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::text::nfc;
use crate::units::Sha256;

/// One `*.summary.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The analytic file it was written from.
    pub source_analytic_json_path: String,
    /// SHA-256 of the video, equal to the analytic's.
    pub source_video_hash_sha256: String,
    /// When it was written, RFC 3339 UTC.
    pub processing_timestamp_utc: String,
    /// Name of the model, equal to the manifest's.
    pub model_name: String,
    /// Version of the model, equal to the manifest's.
    pub model_version: String,
    /// SHA-256 of the prompt template's bytes.
    pub prompt_used_hash_sha256: String,
    /// The summary; holds a character that is not blank.
    pub summary_text: String,
    /// Different, non-empty words; may be none.
    pub keywords: Vec<String>,
    /// Free word; absent and null are the same.
    pub sentiment: Option<String>,
    /// In [0, 1]; absent and null are the same.
    pub confidence_score: Option<f64>,
}

/// A rule of the contract that a summary breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct Violation {
    /// The key, e.g. `keywords[1]`; `.` for the whole document.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What a summary must agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected<'a> {
    /// Digest of the video in the analytic file.
    pub source_video_hash_sha256: &'a str,
    /// Name in the manifest.
    pub model_name: &'a str,
    /// Version in the manifest.
    pub model_version: &'a str,
    /// Digest of the prompt template in force.
    pub prompt_sha256: Sha256,
}

/// What may stand under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotEmpty,
    Sha256,
    Timestamp,
    NotBlank,
    Keywords,
    Text,
    Confidence,
}

/// A key of the contract.
struct Key {
    name: &'static str,
    kind: Kind,
    is_required: bool,
    /// Whether the model writes it; the pipeline knows the others.
    is_model: bool,
}

const fn required(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        is_required: true,
        is_model: false,
    }
}

const KEYS: [Key; 10] = [
    required("source_analytic_json_path", Kind::NotEmpty),
    required("source_video_hash_sha256", Kind::Sha256),
    required("processing_timestamp_utc", Kind::Timestamp),
    required("model_name", Kind::NotEmpty),
    required("model_version", Kind::NotEmpty),
    required("prompt_used_hash_sha256", Kind::Sha256),
    Key {
        is_model: true,
        ..required("summary_text", Kind::NotBlank)
    },
    Key {
        is_model: true,
        ..required("keywords", Kind::Keywords)
    },
    Key {
        is_model: true,
        is_required: false,
        ..required("sentiment", Kind::Text)
    },
    Key {
        is_model: true,
        is_required: false,
        ..required("confidence_score", Kind::Confidence)
    },
];

impl Summary {
    /// Reads a summary file.
    ///
    /// # Errors
    /// Every rule it breaks, in the order of the file's keys and then of the missing ones.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<Violation>> {
        let entries: Entries = serde_json::from_slice(bytes)
            .map_err(|error| vec![violation(".", format!("is not a JSON object: {error}"))])?;
        let violations = check(&entries, |_| true);
        if !violations.is_empty() {
            return Err(violations);
        }
        let text = |name: &str| entries.text(name).unwrap_or_default();
        Ok(Self {
            source_analytic_json_path: text("source_analytic_json_path"),
            source_video_hash_sha256: text("source_video_hash_sha256"),
            processing_timestamp_utc: text("processing_timestamp_utc"),
            model_name: text("model_name"),
            model_version: text("model_version"),
            prompt_used_hash_sha256: text("prompt_used_hash_sha256"),
            summary_text: text("summary_text"),
            keywords: entries.keywords().unwrap_or_default(),
            sentiment: entries.text("sentiment"),
            confidence_score: entries.get("confidence_score").and_then(Value::as_f64),
        })
    }

    /// What in the summary disagrees with its scene, its model or its prompt.
    pub fn disagreements(&self, expected: &Expected<'_>) -> Vec<Violation> {
        let prompt = expected.prompt_sha256.to_string();
        [
            (
                "source_video_hash_sha256",
                &*self.source_video_hash_sha256,
                expected.source_video_hash_sha256,
            ),
            ("model_name", &self.model_name, expected.model_name),
            ("model_version", &self.model_version, expected.model_version),
            (
                "prompt_used_hash_sha256",
                &self.prompt_used_hash_sha256,
                &prompt,
            ),
        ]
        .into_iter()
        .filter(|(_, found, expected)| found != expected)
        .map(|(key, found, expected)| {
            violation(key, format!("is {found:?}, expected {expected:?}"))
        })
        .collect()
    }
}

/// A model's text, split into the parts of a summary.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelText {
    /// The summary as written; byte spans of claims are places in it.
    pub written: String,
    /// The summary in NFC, trimmed.
    pub summary: String,
    /// Keywords the model gave; `None` leaves them to be derived from the summary.
    pub keywords: Option<Vec<String>>,
    /// Whether the text was one JSON object with a `summary_text`.
    pub is_object: bool,
    /// Rules of the contract that the object breaks; none for plain text.
    pub violations: Vec<Violation>,
}

impl ModelText {
    /// Splits the text of a model: one JSON object, a code fence around it aside, or else plain
    /// text.
    pub fn read(text: &str) -> Self {
        let trimmed = text.trim();
        let Some(entries) = object(trimmed).filter(|entries| entries.get("summary_text").is_some())
        else {
            return Self {
                written: text.to_owned(),
                summary: nfc(trimmed),
                ..Self::default()
            };
        };
        let written = entries.text("summary_text").unwrap_or_default();
        Self {
            summary: nfc(written.trim()),
            written,
            keywords: entries.keywords(),
            is_object: true,
            violations: check(&entries, |key| key.is_model),
        }
    }

    /// Whether a part holds U+FFFD, which stands for what was no Unicode text.
    pub fn has_replacement(&self) -> bool {
        let keywords = self.keywords.iter().flatten();
        keywords
            .chain([&self.summary])
            .any(|text| text.contains('\u{fffd}'))
    }
}

/// Whether a text is a JSON value of any kind.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(&whole_escapes(text)).is_ok()
}

/// Replaces escapes of half a surrogate pair, which name no character, by the escape of U+FFFD.
///
/// Reads any text; outside JSON strings such escapes make no valid JSON either way.
pub fn whole_escapes(json: &str) -> Cow<'_, str> {
    let mut whole = String::new();
    let (mut copied, mut at) = (0, 0);
    let bytes = json.as_bytes();
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match escaped_unit(bytes, at) {
            Some(0xd800..=0xdbff)
                if matches!(escaped_unit(bytes, at + 6), Some(0xdc00..=0xdfff)) =>
            {
                at += 12;
            }
            Some(0xd800..=0xdfff) => {
                whole.push_str(&json[copied..at]);
                whole.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // An escaped backslash does not begin another escape.
            _ => at += 2,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    whole.push_str(&json[copied..]);
    Cow::Owned(whole)
}

/// The number in `\uXXXX` at a place.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// The entries of a text that is one JSON object, with or without a code fence around it.
fn object(text: &str) -> Option<Entries> {
    let inner = match text.strip_prefix("```") {
        Some(fenced) => {
            let (_, body) = fenced.strip_suffix("```")?.split_once('\n')?;
            body.trim()
        }
        None => text,
    };
    if !inner.starts_with('{') {
        return None;
    }
    serde_json::from_str(&whole_escapes(inner)).ok()
}

/// The entries of a JSON object in their order, repeated keys included.
struct Entries(Vec<(String, Value)>);

impl Entries {
    /// The first value of a key.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// The keywords, those that are no text left out; `None` when there is no list.
    fn keywords(&self) -> Option<Vec<String>> {
        let list = self.get("keywords")?.as_array()?;
        let texts = list.iter().filter_map(Value::as_str);
        Some(texts.map(str::to_owned).collect())
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsEntries;
        impl<'de> Visitor<'de> for AsEntries {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(AsEntries)
    }
}

/// Every rule that `entries` break among the keys that `applies` to.
fn check(entries: &Entries, applies: impl Fn(&Key) -> bool) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut names = HashSet::new();
    for (name, value) in &entries.0 {
        let Some(key) = KEYS.iter().find(|key| key.name == name && applies(key)) else {
            found.push(violation(name, "is not a key of the contract"));
            continue;
        };
        if names.insert(key.name) {
            check_value(key, value, &mut found);
        } else {
            found.push(violation(name, "stands twice"));
        }
    }
    let missing = KEYS
        .iter()
        .filter(|key| key.is_required && applies(key) && entries.get(key.name).is_none());
    found.extend(missing.map(|key| violation(key.name, "is missing")));
    found
}

fn check_value(key: &Key, value: &Value, found: &mut Vec<Violation>) {
    if value.is_null() && !key.is_required {
        return;
    }
    let expected = match key.kind {
        Kind::NotEmpty | Kind::NotBlank | Kind::Sha256 | Kind::Timestamp | Kind::Text => "a text",
        Kind::Keywords => return check_keywords(value, found),
        Kind::Confidence => "a number in [0, 1]",
    };
    let holds = match (key.kind, value) {
        (Kind::Confidence, value) => value.as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)),
        (_, Value::String(text)) => {
            if let Some(problem) = text_problem(key.kind, text) {
                found.push(violation(key.name, problem));
            }
            return;
        }
        _ => false,
    };
    if !holds {
        found.push(violation(key.name, format!("is not {expected}")));
    }
}

fn text_problem(kind: Kind, text: &str) -> Option<&'static str> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match kind {
        Kind::NotEmpty if text.is_empty() => Some("is empty"),
        Kind::NotBlank if text.chars().all(char::is_whitespace) => Some("is blank"),
        Kind::Sha256 if text.len() != 64 || !text.bytes().all(is_hex) => {
            Some("is not 64 lower-case hexadecimal digits")
        }
        Kind::Timestamp if !is_timestamp(text) => {
            Some("is not a time like 2026-01-31T12:00:00Z, in UTC")
        }
        _ => None,
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fff](Z|+00:00)`.
fn is_timestamp(text: &str) -> bool {
    let Some(local) = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix("+00:00"))
    else {
        return false;
    };
    let (whole, fraction) = local.split_once('.').unwrap_or((local, "0"));
    let has_form = whole.len() == 19
        && whole
            .bytes()
            .zip(b"0000-00-00T00:00:00")
            .all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == *form,
            });
    has_form && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_keywords(value: &Value, found: &mut Vec<Violation>) {
    let Some(list) = value.as_array() else {
        found.push(violation("keywords", "is not a list"));
        return;
    };
    let mut words = HashSet::new();
    for (i, word) in list.iter().enumerate() {
        let problem = match word.as_str() {
            None => "is not a text",
            Some("") => "is empty",
            Some(word) if words.insert(word) => continue,
            Some(_) => "stands twice",
        };
        found.push(violation(&format!("keywords[{i}]"), problem));
    }
}

fn violation(key: &str, problem: impl Into<String>) -> Violation {
    Violation {
        key: key.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
