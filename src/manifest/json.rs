//! Strict JSON with positions: RFC 8259 and nothing beyond it.
//!
//! In: text. Out: a tree whose every key and value knows its byte offset, so that a rule broken
//! far from the syntax can still point at line and column. Duplicate keys are reported and the
//! first one kept. `serde_json` gives no positions for values, hence this reader; a property test
//! holds the two to the same judgement.

/// Deepest nesting of lists and objects.
const MAX_DEPTH: usize = 32;

/// A value and where its first byte stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Byte offset of the first character.
    pub(super) at: usize,
    /// The value.
    pub(super) value: Value,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// A number exactly as written; it fits a finite f64.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// Members in written order, keys unique.
    Object(Vec<Member>),
}

/// One `"key": value` of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    /// Byte offset of the key's opening quote.
    pub(super) at: usize,
    /// The key, unescaped.
    pub(super) key: String,
    /// Its value.
    pub(super) node: Node,
}

impl Value {
    /// The kind in words, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The text departs from the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Byte offset.
    pub(super) at: usize,
    /// Path of the value being read.
    pub(super) path: String,
    /// What would have been right.
    pub(super) expected: String,
    /// What stands there.
    pub(super) found: String,
}

/// A key given a second time in one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DuplicateKey {
    /// Byte offset of the second key.
    pub(super) at: usize,
    /// Path of the key.
    pub(super) path: String,
}

/// A document and the keys it gives twice.
#[derive(Debug)]
pub(super) struct Document {
    /// The whole document.
    pub(super) root: Node,
    /// Duplicates in written order.
    pub(super) duplicates: Vec<DuplicateKey>,
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Document, SyntaxError> {
    let mut reader = Reader {
        text,
        at: 0,
        path: Vec::new(),
        duplicates: Vec::new(),
    };
    reader.skip_white_space();
    let root = reader.value()?;
    reader.skip_white_space();
    if reader.at < text.len() {
        return Err(reader.wrong("the end of the file"));
    }
    Ok(Document {
        root,
        duplicates: reader.duplicates,
    })
}

/// The text of a tree: two spaces a level, members in their order, numbers as they were written.
pub(super) fn write(node: &Node) -> String {
    let mut out = String::new();
    write_value(&node.value, 0, &mut out);
    out
}

fn write_value(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(text) => out.push_str(text),
        Value::Text(text) => write_text(text, out),
        Value::List(items) => write_items(items, ['[', ']'], depth, out, |item, depth, out| {
            write_value(&item.value, depth, out);
        }),
        Value::Object(members) => {
            write_items(members, ['{', '}'], depth, out, |member, depth, out| {
                write_text(&member.key, out);
                out.push_str(": ");
                write_value(&member.node.value, depth, out);
            });
        }
    }
}

/// Items between brackets, each on a line of its own.
fn write_items<T>(
    items: &[T],
    [open, close]: [char; 2],
    depth: usize,
    out: &mut String,
    write_item: impl Fn(&T, usize, &mut String),
) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        write_item(item, depth + 1, out);
    }
    if !items.is_empty() {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(close);
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Joins a path and a key, quoting keys that are not plain words.
pub(super) fn join_key(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (is_plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[\"{}\"]", super::finding::quoted(key)),
    }
}

/// A step of the path to the value being read.
enum Step {
    Key(String),
    Index(usize),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step>,
    duplicates: Vec<DuplicateKey>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn path_text(&self) -> String {
        self.path
            .iter()
            .fold(String::new(), |path, step| match step {
                Step::Key(key) => join_key(&path, key),
                Step::Index(index) => format!("{path}[{index}]"),
            })
    }

    /// The error that `expected` does not stand at the current place.
    fn wrong(&self, expected: &str) -> SyntaxError {
        let found = match self.text[self.at..].chars().next() {
            None => "the end of the file".to_owned(),
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        self.refused(self.at, expected, found)
    }

    fn refused(&self, at: usize, expected: &str, found: impl Into<String>) -> SyntaxError {
        let path = self.path_text();
        SyntaxError {
            at,
            path,
            expected: expected.to_owned(),
            found: found.into(),
        }
    }

    fn value(&mut self) -> Result<Node, SyntaxError> {
        let at = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.list()?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.wrong("a JSON value")),
        };
        Ok(Node { at, value })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a JSON value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// Steps over an opening bracket, unless that would nest too deep.
    fn open(&mut self) -> Result<(), SyntaxError> {
        if self.path.len() >= MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} levels of nesting");
            return Err(self.refused(self.at, &expected, "one more"));
        }
        self.at += 1;
        self.skip_white_space();
        Ok(())
    }

    /// After a member or an item: true when another one follows, false when `close` did.
    fn goes_on(&mut self, close: u8) -> Result<bool, SyntaxError> {
        self.skip_white_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_white_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.wrong(&format!("`,` or `{}`", char::from(close)))),
        }
    }

    fn list(&mut self) -> Result<Value, SyntaxError> {
        self.open()?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.path.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.path.pop();
            if !self.goes_on(b']')? {
                return Ok(Value::List(items));
            }
        }
    }

    fn object(&mut self) -> Result<Value, SyntaxError> {
        self.open()?;
        let mut members: Vec<Member> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key in double quotes"));
            }
            let at = self.at;
            let key = self.string()?;
            self.path.push(Step::Key(key.clone()));
            self.skip_white_space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("`:`"));
            }
            self.at += 1;
            self.skip_white_space();
            let node = self.value()?;
            if seen.insert(key.clone()) {
                members.push(Member { at, key, node });
            } else {
                let path = self.path_text();
                self.duplicates.push(DuplicateKey { at, path });
            }
            self.path.pop();
            if !self.goes_on(b'}')? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn number(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.refused(
                    start,
                    "a number without leading zeros",
                    "a leading zero",
                ));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(text.to_owned()),
            _ => Err(self.refused(start, "a number a double can hold", "one beyond its range")),
        }
    }

    /// One or more decimal digits.
    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.wrong("a digit"))
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else {
                return Err(self.wrong("the closing `\"` of a string"));
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => out.push(self.escape()?),
                '\0'..='\u{1f}' => {
                    return Err(self.wrong("no raw control character inside a string"));
                }
                _ => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    /// The character an escape stands for; a surrogate pair is one character.
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let short = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.wrong("an escape of JSON")),
        };
        self.at += 1;
        Ok(short)
    }

    /// `\uXXXX` or a pair of them; `self.at` is on the `u`, `start` on the backslash.
    fn unicode_escape(&mut self, start: usize) -> Result<char, SyntaxError> {
        const WANTED: &str = "a Unicode scalar value";
        let high = self.four_digits()?;
        let code = match high {
            0xD800..=0xDBFF => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(self.refused(start, WANTED, "half of a surrogate pair"));
                }
                self.at += 1;
                let low = self.four_digits()?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(self.refused(start, WANTED, "half of a surrogate pair"));
                }
                0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.refused(start, WANTED, "half of a surrogate pair"))
    }

    /// The four hex digits after a `u`.
    fn four_digits(&mut self) -> Result<u32, SyntaxError> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong("a hex digit"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, at: usize, expected: &str) {
        let error = parse(text).expect_err("not JSON");
        assert_eq!(
            (error.at, error.expected.as_str()),
            (at, expected),
            "{text}"
        );
    }

    #[test]
    fn departures_from_the_grammar_are_located() {
        check("", 0, "a JSON value");
        check("  ", 2, "a JSON value");
        check("hello", 0, "a JSON value");
        check("{\"a\":1", 6, "`,` or `}`");
        check("[1,]", 3, "a JSON value");
        check("{\"a\":1,}", 7, "a key in double quotes");
        check("{'a':1}", 1, "a key in double quotes");
        check("[01]", 1, "a number without leading zeros");
        check("[1.]", 3, "a digit");
        check("[-]", 2, "a digit");
        check("[1e999]", 1, "a number a double can hold");
        check("[NaN]", 1, "a JSON value");
        check("\"a\nb\"", 2, "no raw control character inside a string");
        check("\"\\x\"", 2, "an escape of JSON");
        check("\"\\ud800x\"", 1, "a Unicode scalar value");
        check("1 2", 2, "the end of the file");
        check("// no", 0, "a JSON value");
    }

    #[test]
    fn the_path_of_a_syntax_error_is_known() {
        let error = parse("{\"artifacts\":[{\"sha256\":\"a\",\"x y\":?}]}").expect_err("a hole");
        assert_eq!(error.path, "artifacts[0][\"x y\"]");
    }

    #[test]
    fn duplicates_are_found_at_any_depth() {
        let document = parse(r#"{"a":{"b":1,"c":[{"d":1,"d":2}],"b":2}}"#).expect("JSON");
        let paths: Vec<_> = document
            .duplicates
            .iter()
            .map(|d| d.path.as_str())
            .collect();
        assert_eq!(paths, ["a.c[0].d", "a.b"]);
    }

    #[test]
    fn nesting_stops_at_the_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        check(
            &nested(MAX_DEPTH + 1),
            MAX_DEPTH,
            "at most 32 levels of nesting",
        );
        assert!(parse(&nested(10_000)).is_err());
    }

    /// The tree as `serde_json` would have built it.
    fn as_serde(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => serde_json::from_str(text).expect("a number"),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(as_serde).collect(),
            Value::Object(members) => members
                .iter()
                .map(|m| (m.key.clone(), as_serde(&m.node)))
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn serde_json_agrees(text in r#"[\[\]{},: \n"\\a-fnrtu0-9.eE+truefalsnll\-]{0,40}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (parse(&text), theirs) {
                (Ok(ours), Ok(theirs)) if ours.duplicates.is_empty() => {
                    let again = serde_json::from_str(&write(&ours.root));
                    prop_assert_eq!(again.ok(), Some(theirs.clone()));
                    prop_assert_eq!(as_serde(&ours.root), theirs);
                }
                (Ok(ours), Ok(_)) => prop_assert!(!ours.duplicates.is_empty()),
                (Err(ours), Ok(_)) => prop_assert!(ours.expected.contains("levels")),
                (Ok(_), Err(theirs)) => prop_assert!(false, "serde_json refuses: {theirs}"),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
