//! Strict reading of JSON: no key twice, and every complaint with line and path.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};

/// Why a JSON text cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {}{message}", shown(.path))]
pub struct ReadError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 when only the line is known.
    pub column: usize,
    /// JSON path such as `events[17].confidence`; empty for the text as a whole.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

fn shown(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("`{path}`: ")
    }
}

/// Reads one JSON value of type `T`; nothing may follow it.
///
/// # Errors
/// [`ReadError`] for syntax (`NaN` included), a key that stands twice at any depth, or a wrong type.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ReadError> {
    reject_duplicate_keys(json)?;
    whole(json)
}

/// Checks that `json` is one JSON value in which no object has a key twice.
///
/// # Errors
/// [`ReadError`] with the path of the second occurrence.
pub fn reject_duplicate_keys(json: &[u8]) -> Result<(), ReadError> {
    whole::<Walk>(json).map(|Walk| ())
}

fn whole<T: DeserializeOwned>(json: &[u8]) -> Result<T, ReadError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        // "." is the root, and a trailing "?" an object whose next key could not be read.
        let path = path.trim_end_matches('?').trim_end_matches('.').to_owned();
        failure(&error.into_inner(), path)
    })?;
    reader
        .end()
        .map_err(|error| failure(&error, String::new()))?;
    Ok(value)
}

fn failure(error: &serde_json::Error, path: String) -> ReadError {
    let text = error.to_string();
    // serde_json appends its own position, which stands in the fields.
    let position = format!(" at line {} column {}", error.line(), error.column());
    ReadError {
        line: error.line().max(1),
        column: error.column(),
        path,
        message: text.strip_suffix(&position).unwrap_or(&text).to_owned(),
    }
}

/// A value that is looked through and thrown away.
struct Walk;

impl<'de> serde::Deserialize<'de> for Walk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Walk;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_str<E>(self, _: &str) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_unit<E>(self) -> Result<Walk, E> {
        Ok(Walk)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Walk, A::Error> {
        while items.next_element::<Walk>()?.is_some() {}
        Ok(Walk)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Walk, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.contains(&key) {
                entries.next_value_seed(Twice(key))?;
            } else {
                seen.insert(key);
                entries.next_value::<Walk>()?;
            }
        }
        Ok(Walk)
    }
}

/// Refuses the value of a key that stood before, at the value's own path.
struct Twice(String);

impl<'de> DeserializeSeed<'de> for Twice {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(format!("duplicate key `{}`", self.0)))
    }
}

/// Line and column, from 1, of the value at `path` in a valid JSON text.
///
/// Where the path ends early, because a key is missing, the place of its parent is given.
pub(super) fn position_of(json: &[u8], path: &str) -> (usize, usize) {
    let at = Locator { json, at: 0 }.find(&steps(path));
    let before = &json[..at.min(json.len())];
    let line = before.split(|&byte| byte == b'\n').count();
    let line_start = before.iter().rposition(|&byte| byte == b'\n');
    (line, at - line_start.map_or(0, |n| n + 1) + 1)
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// `events[17].label` as its steps.
fn steps(path: &str) -> Vec<Step<'_>> {
    let pieces = path.split(['.', '[']).filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| match piece.strip_suffix(']') {
            Some(index) => Step::Index(index.parse().unwrap_or(usize::MAX)),
            None => Step::Key(piece),
        })
        .collect()
}

/// Walks over a JSON text that was parsed before; any surprise ends the walk where it stands.
struct Locator<'a> {
    json: &'a [u8],
    at: usize,
}

impl Locator<'_> {
    fn find(mut self, steps: &[Step<'_>]) -> usize {
        self.blank();
        for step in steps {
            let start = self.at;
            let is_there = match step {
                Step::Key(key) => self.enter_key(key),
                Step::Index(index) => self.enter_index(*index),
            };
            if !is_there {
                return start;
            }
        }
        self.at
    }

    fn peek(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    fn blank(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    /// Steps over `mark` and the blanks behind it.
    fn take(&mut self, mark: u8) -> bool {
        let is_there = self.peek() == mark;
        self.at += usize::from(is_there);
        self.blank();
        is_there
    }

    fn enter_key(&mut self, wanted: &str) -> bool {
        if !self.take(b'{') {
            return false;
        }
        while self.peek() == b'"' {
            let start = self.at;
            self.skip();
            let key = serde_json::from_slice::<String>(&self.json[start..self.at]);
            self.blank();
            if !self.take(b':') {
                return false;
            }
            if key.is_ok_and(|key| key == wanted) {
                return true;
            }
            self.skip();
            self.blank();
            if !self.take(b',') {
                return false;
            }
        }
        false
    }

    fn enter_index(&mut self, wanted: usize) -> bool {
        if !self.take(b'[') {
            return false;
        }
        for _ in 0..wanted {
            self.skip();
            self.blank();
            if !self.take(b',') {
                return false;
            }
        }
        self.peek() != b']'
    }

    /// Steps over one value.
    fn skip(&mut self) {
        let mut depth = 0usize;
        while self.at < self.json.len() {
            match self.peek() {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                byte if byte.is_ascii_whitespace() || matches!(byte, b',' | b':') => self.at += 1,
                _ => self.skip_scalar(),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while self.at < self.json.len() && self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    fn skip_scalar(&mut self) {
        let is_scalar = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let start = self.at;
        while is_scalar(self.peek()) {
            self.at += 1;
        }
        // Anything else cannot occur in valid JSON; move on all the same.
        self.at = self.at.max(start + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let error = reject_duplicate_keys(json.as_bytes()).expect_err("is refused");
        assert_eq!(error.to_string(), expected, "{json}");
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        check("{\"a\":1,\n\"a\":2}", "2:4: `a`: duplicate key `a`");
        check(
            "{\"e\":[{},{\"b\":1,\"x\":[],\"b\":1}]}",
            "1:27: `e[1].b`: duplicate key `b`",
        );
        check(
            "{\"unknown\":{\"z\":{\"k\":0,\"k\":0}}}",
            "1:27: `unknown.z.k`: duplicate key `k`",
        );
        assert_eq!(
            reject_duplicate_keys(b"{\"a\":{\"b\":1},\"b\":{\"a\":2}}"),
            Ok(())
        );
    }

    #[test]
    fn no_number_stands_for_nan() {
        check("{\"confidence\":NaN}", "1:15: `confidence`: expected value");
        check("[1,Infinity]", "1:4: `[1]`: expected value");
        check("[1e999]", "1:6: `[0]`: number out of range");
        check("{} {}", "1:4: trailing characters");
    }

    #[test]
    fn places_are_found() {
        let json = b"{\n \"a\\n\": [1, {\"x\": \"]}\", \"y\":\n -2.5e3}],\n \"b\": {}\n}";
        let at = |path| position_of(json, path);
        assert_eq!(at(""), (1, 1));
        assert_eq!(at("b"), (4, 7));
        assert_eq!(at("b.missing"), (4, 7));
        let json = b"{\"e\": [{\"t\": 1},\n{\"t\": 2,\n\"c\": 7}]}";
        assert_eq!(position_of(json, "e[1].c"), (3, 6));
        assert_eq!(position_of(json, "e[1].label"), (2, 1));
        assert_eq!(position_of(json, "e[7].label"), (1, 7));
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let deep = "[".repeat(100_000);
        let error = reject_duplicate_keys(deep.as_bytes()).expect_err("is refused");
        assert_eq!(error.message, "recursion limit exceeded");
    }
}
