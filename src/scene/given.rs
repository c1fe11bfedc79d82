//! Outputs of any system, given as JSON lines: one summary for each scene of a set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::summary::whole_escapes;
use crate::hint::{Hint, did_you_mean};

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenOutput {
    /// Id of the scene it summarises.
    pub id: String,
    /// The text, as the system wrote it. Escapes and bytes that are no character stand as U+FFFD.
    pub summary_text: String,
    /// Keywords, where the system gives them apart from the text.
    #[serde(default, deserialize_with = "present")]
    pub keywords: Option<Vec<String>>,
    /// Why the text ended, where the system knows.
    #[serde(default)]
    pub stop_reason: Option<GivenStop>,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenStop {
    /// The system ended it by itself.
    Eos,
    /// A limit of new tokens was reached.
    MaxTokens,
    /// The context was full.
    ContextFull,
}

/// Why a file of outputs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing or unreadable.
    #[error("cannot read outputs file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is not an output.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// JSON path and reason.
        message: String,
    },
    /// A scene has two outputs.
    #[error("{}:{line}: a second output for scene `{id}`, the first is in line {first}", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// Line of the second, from 1.
        line: usize,
        /// Line of the first.
        first: usize,
        /// The scene.
        id: String,
    },
    /// An output is of no scene of the set.
    #[error("{}:{line}: no scene of the set has the id `{id}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The id found.
        id: String,
        /// The id it may have meant.
        near: Option<String>,
    },
    /// Scenes of the set have no output.
    #[error("{}: no output for {n} of {n_scenes} scenes, the first is `{first}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// How many.
        n: usize,
        /// Scenes of the set.
        n_scenes: usize,
        /// The first of them, in the order of the set.
        first: String,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("name an existing file with --outputs FILE.jsonl".into()),
            Self::Line { .. } => Some(
                "each line is an object like {\"id\": \"SCENE\", \"summary_text\": \"…\"}, with \
                 `keywords` and `stop_reason` (eos, max_tokens, context_full) where they are known"
                    .into(),
            ),
            Self::Unknown { near, .. } => near.as_ref().map(|id| format!("did you mean `{id}`?")),
            Self::Missing { .. } => Some(
                "every scene needs an output; a system that wrote nothing has an empty \
                 `summary_text`"
                    .into(),
            ),
            Self::Twice { .. } => None,
        }
    }
}

/// Reads the outputs of the scenes called `ids`, in their order.
///
/// # Errors
/// [`Error`] names the file and the line: text that is no output, a second output of a scene, an
/// unknown id; or the first scene without an output.
pub fn read(path: &Path, ids: &[&str]) -> Result<Vec<GivenOutput>, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    parse(path, &bytes, ids)
}

/// As [`read`], of bytes; `path` stands in the messages only.
///
/// # Errors
/// As [`read`], without [`Error::Read`].
pub fn parse(path: &Path, bytes: &[u8], ids: &[&str]) -> Result<Vec<GivenOutput>, Error> {
    let known: BTreeSet<&str> = ids.iter().copied().collect();
    let mut found: BTreeMap<String, (usize, GivenOutput)> = BTreeMap::new();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    for (i, line) in lines.filter(|_| !bytes.is_empty()) {
        let line_number = i + 1;
        let output = parse_line(line).map_err(|message| Error::Line {
            path: path.into(),
            line: line_number,
            message,
        })?;
        let id = output.id.clone();
        if !known.contains(id.as_str()) {
            return Err(Error::Unknown {
                path: path.into(),
                line: line_number,
                near: near(&id, ids),
                id: cut(&id),
            });
        }
        if let Some((first, _)) = found.insert(id.clone(), (line_number, output)) {
            return Err(Error::Twice {
                path: path.into(),
                line: line_number,
                first,
                id,
            });
        }
    }
    let missing: Vec<&&str> = ids.iter().filter(|id| !found.contains_key(**id)).collect();
    if let Some(first) = missing.first() {
        return Err(Error::Missing {
            path: path.into(),
            n: missing.len(),
            n_scenes: ids.len(),
            first: (**first).to_owned(),
        });
    }
    let in_order = ids.iter().filter_map(|id| found.remove(*id));
    Ok(in_order.map(|(_, output)| output).collect())
}

fn parse_line(line: &[u8]) -> Result<GivenOutput, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err("blank line, expected one output per line".to_owned());
    }
    let text = String::from_utf8_lossy(line);
    // A list of the values in order would be taken for the object otherwise.
    if !text.trim_ascii_start().starts_with('{') {
        return Err("not an object, expected one output per line".to_owned());
    }
    let text = whole_escapes(&text);
    let mut json = serde_json::Deserializer::from_str(&text);
    let output: GivenOutput = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let reason = with_suggestion(&error.into_inner().to_string());
        if place == "." || place == "?" {
            reason
        } else {
            format!("`{}`: {reason}", cut(&place))
        }
    })?;
    json.end()
        .map_err(|error| format!("text after the output: {error}"))?;
    Ok(output)
}

/// Longest name that is shown or compared: a scene id has at most so many characters.
const LONGEST_NAME: usize = 64;
/// Longest reason that is shown; it may quote the line.
const LONGEST_REASON: usize = 300;

/// A name that may be anything, cut to a length people read.
fn cut(name: &str) -> String {
    shortened(name, LONGEST_NAME)
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn near(id: &str, ids: &[&str]) -> Option<String> {
    let is_id = id.len() <= LONGEST_NAME;
    let near = is_id.then(|| did_you_mean(id, ids.iter().copied()));
    near.flatten().map(str::to_owned)
}

/// A list that is there must be a list; only a key left out means that there is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

/// Adds "did you mean" to serde's message about an unknown field.
fn with_suggestion(message: &str) -> String {
    let message = &shortened(message, LONGEST_REASON);
    let mut names = message.split('`').skip(1).step_by(2);
    let suggestion = message
        .contains("unknown field")
        .then(|| names.next().and_then(|word| did_you_mean(word, names)))
        .flatten();
    match suggestion {
        Some(known) => format!("{message}; did you mean `{known}`?"),
        None => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 2] = ["patio-01", "patio-02"];

    fn read(text: &[u8]) -> Result<Vec<GivenOutput>, Error> {
        parse(Path::new("o.jsonl"), text, &IDS)
    }

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, expected: &str) {
        let message = read(text.as_ref()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    const FIRST: &str = r#"{"id": "patio-01", "summary_text": "Um carro."}"#;
    const SECOND: &str =
        r#"{"id":"patio-02","summary_text":"","keywords":["a"],"stop_reason":"max_tokens"}"#;

    #[test]
    fn outputs_come_in_the_order_of_the_scenes() {
        for text in [
            format!("{SECOND}\n{FIRST}\n"),
            format!("{FIRST}\n{SECOND}"),
            format!("{FIRST}\r\n{SECOND}\r\n"),
        ] {
            let found = read(text.as_bytes()).unwrap();
            assert_eq!(found[0].summary_text, "Um carro.");
            assert_eq!((&found[0].keywords, found[0].stop_reason), (&None, None));
            assert_eq!(found[1].stop_reason, Some(GivenStop::MaxTokens));
            assert_eq!(found[1].keywords.as_deref(), Some(&["a".to_owned()][..]));
        }
    }

    #[test]
    fn wrong_lines_are_named() {
        check(format!("{FIRST}\n{{\n"), "o.jsonl:2: EOF while parsing");
        check(format!("{FIRST}\n\n{SECOND}\n"), "o.jsonl:2: blank line");
        check(format!("{FIRST} x\n"), "o.jsonl:1: text after the output");
        check("[]\n", "o.jsonl:1: not an object");
        check(
            "[\"patio-01\", \"\", null, null]\n",
            "o.jsonl:1: not an object",
        );
        check(
            FIRST.replace("summary_text", "sumary_text"),
            "did you mean `summary_text`?",
        );
        check(
            FIRST.replace("\"Um carro.\"", "3"),
            "`summary_text`: invalid type: integer",
        );
        check(
            SECOND.replace("max_tokens", "length"),
            "`stop_reason`: unknown variant",
        );
        check(
            SECOND.replace("[\"a\"]", "null"),
            "`keywords`: invalid type: null",
        );
        check(
            FIRST.replace("{\"id\"", "{\"id\": \"x\", \"id\""),
            "duplicate field `id`",
        );
        check(r#"{"id": "patio-01"}"#, "missing field `summary_text`");
    }

    #[test]
    fn scenes_and_outputs_must_meet_exactly() {
        check(
            format!("{FIRST}\n{SECOND}\n{FIRST}\n"),
            "o.jsonl:3: a second output for scene `patio-01`, the first is in line 1",
        );
        check(
            FIRST,
            "no output for 1 of 2 scenes, the first is `patio-02`",
        );
        check("", "no output for 2 of 2 scenes");
        let unknown = FIRST.replace("patio-01", "patio-1");
        let error = read(unknown.as_bytes()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no scene of the set has the id `patio-1`")
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("patio-0")));
    }

    #[test]
    fn messages_stay_short() {
        let long = "x".repeat(1 << 20);
        for text in [
            FIRST.replace("patio-01", &long),
            FIRST.replace("summary_text", &long),
        ] {
            assert!(read(text.as_bytes()).unwrap_err().to_string().len() < 400);
        }
    }

    #[test]
    fn what_is_no_text_stands_as_the_replacement_character() {
        let text = [FIRST.replace("Um", r"\udc00"), SECOND.to_owned()].join("\n");
        assert_eq!(
            read(text.as_bytes()).unwrap()[0].summary_text,
            "\u{fffd} carro."
        );
        let mut bytes = [FIRST, SECOND].join("\n").into_bytes();
        let at = bytes.iter().position(|&byte| byte == b'U').unwrap();
        bytes[at] = 0xff;
        assert_eq!(read(&bytes).unwrap()[0].summary_text, "\u{fffd}m carro.");
    }
}
