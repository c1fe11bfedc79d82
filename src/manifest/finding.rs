//! What is wrong or odd in a manifest, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::durable::shown;
use crate::hint::Hint;

/// Longest stretch of untrusted text put into a message, in characters.
const MAX_SHOWN: usize = 80;

/// Most findings, and most warnings, of one manifest: more help nobody and cost time.
pub(super) const MAX_LISTED: usize = 100;

/// A place in a text file, both numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Position {
    /// Where byte `offset` of `text` stands; any offset is answered, even one inside a character.
    pub(super) fn of(text: &[u8], offset: usize) -> Self {
        let before = String::from_utf8_lossy(&text[..offset.min(text.len())]);
        let line = before.split('\n').count();
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count())
            + 1;
        Self { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How bad a manifest is; decides the exit code of `model` commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Well formed, but asks for something policy or safety refuses (code 11).
    Refused,
    /// Not a manifest (code 10).
    Invalid,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub position: Position,
    /// JSON path, e.g. `artifacts[0].sha256`; empty for the document itself.
    pub path: String,
    /// How bad it is.
    pub class: Class,
    /// What would have been right.
    pub expected: String,
    /// What stands there, escaped.
    pub found: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "(top level)"
        } else {
            &self.path
        };
        write!(
            f,
            "{} {path}\n    expected:  {}\n    found:     {}",
            self.position, self.expected, self.found
        )
    }
}

/// Something odd that does not make the manifest unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands.
    pub position: Position,
    /// JSON path; empty for the document itself.
    pub path: String,
    /// What is odd, escaped, in one line.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "(top level)"
        } else {
            &self.path
        };
        write!(f, "{} {path}: {}", self.position, self.text)
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, is no regular file, or may not be read.
    #[error("cannot read manifest `{}`", shown(.path))]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The manifest is a symbolic link that leads out of its repository.
    #[error(
        "manifest `{}` is a link that leaves `{}` (it leads to `{}`)",
        shown(.path), shown(.root), shown(.target)
    )]
    LinkLeaves {
        /// The manifest.
        path: PathBuf,
        /// The repository, or the manifest's directory when there is none.
        root: PathBuf,
        /// Where the link leads.
        target: PathBuf,
    },
    /// The file is longer than any manifest.
    #[error("manifest `{}` is longer than {limit} bytes", shown(.path))]
    TooLong {
        /// The manifest.
        path: PathBuf,
        /// Longest manifest accepted, in bytes.
        limit: u64,
    },
    /// One or more rules are broken; every finding is listed.
    #[error("manifest `{}` breaks {}{}", shown(.path), count(.findings), listed(.findings))]
    Findings {
        /// The manifest.
        path: PathBuf,
        /// Sorted by position, never empty.
        findings: Vec<Finding>,
    },
}

impl Error {
    /// How bad it is: the worst finding decides.
    pub fn class(&self) -> Class {
        match self {
            Self::Findings { findings, .. } => findings
                .iter()
                .map(|finding| finding.class)
                .max()
                .unwrap_or(Class::Invalid),
            Self::Unreadable { .. } | Self::LinkLeaves { .. } | Self::TooLong { .. } => {
                Class::Invalid
            }
        }
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Findings { findings, .. } => {
                let mut hints: Vec<&str> = Vec::new();
                for hint in findings
                    .iter()
                    .filter_map(|finding| finding.hint.as_deref())
                {
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                }
                (!hints.is_empty()).then(|| hints.join("; "))
            }
            Self::LinkLeaves { .. } => Some("name the file itself instead of the link".into()),
            Self::Unreadable { .. } | Self::TooLong { .. } => None,
        }
    }
}

fn count(findings: &[Finding]) -> String {
    match findings.len() {
        1 => "1 rule".to_owned(),
        MAX_LISTED => format!("{MAX_LISTED} rules or more"),
        n => format!("{n} rules"),
    }
}

fn listed(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        out.push_str("\n  ");
        out.push_str(&finding.to_string());
    }
    out
}

/// Untrusted text made safe for a message: escaped, and cut when long.
pub(crate) fn quoted(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(MAX_SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let check = |offset, line, column| {
            let text = "a\nçb\n".as_bytes();
            assert_eq!(
                Position::of(text, offset),
                Position { line, column },
                "{offset}"
            );
        };
        check(0, 1, 1);
        check(2, 2, 1);
        check(4, 2, 2);
        check(6, 3, 1);
        check(99, 3, 1);
    }

    #[test]
    fn quoted_text_is_escaped_and_cut() {
        assert_eq!(quoted("a\u{1b}b"), "a\\u{1b}b");
        assert_eq!(quoted(&"x".repeat(81)).chars().count(), 81);
    }
}
