//! Reads a canonical report back, strictly.

use serde::Deserialize;

use super::file::{ReportFile, SCHEMA_VERSION};
use crate::hint::Hint;

/// Why bytes are not a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not the form of a report.
    #[error("not a report: {reason} at `{key}`")]
    Malformed {
        /// Path of the offending key, `.` for the whole document.
        key: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// Written in another version of the form.
    #[error("the report has schema_version {found}, this program reads {SCHEMA_VERSION}")]
    SchemaVersion {
        /// The version found.
        found: u32,
    },
}

impl Hint for ReadError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed { .. } => {
                Some("name a report.json that `vv-eval compare` has written".to_owned())
            }
            Self::SchemaVersion { .. } => {
                Some("use the version of vv-eval that wrote it, or compare again".to_owned())
            }
        }
    }
}

/// The one field every version of the form has. Lenient on purpose: the rest may be unknown.
#[derive(Deserialize)]
struct Versioned {
    schema_version: u32,
}

impl ReportFile {
    /// Reads the bytes of a `report.json`; unknown keys and other versions are refused.
    ///
    /// # Errors
    /// [`ReadError`] naming the version, or the key.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        // The version comes first: a newer report should be called newer, not malformed.
        let found = parse::<Versioned>(bytes)?.schema_version;
        if found != SCHEMA_VERSION {
            return Err(ReadError::SchemaVersion { found });
        }
        parse(bytes)
    }
}

fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ReadError> {
    let malformed = |key: String, reason: String| ReadError::Malformed { key, reason };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| malformed(error.path().to_string(), error.inner().to_string()))?;
    reader
        .end()
        .map_err(|error| malformed(".".to_owned(), error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::compare_edited;
    use crate::gate::{JudgeOptions, Policy, judge};

    fn json() -> String {
        let comparison = compare_edited(|_, _| ()).expect("comparable");
        let policy = Policy::built_in();
        let verdict = judge(&comparison, &policy, JudgeOptions::default());
        let file = ReportFile::of_comparison(&comparison, &policy, &verdict);
        serde_json::to_string(&file).expect("plain data")
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, expected: &str) {
        let text = json();
        assert!(text.contains(from), "no {from} to replace");
        let error = ReportFile::from_json(text.replacen(from, to, 1).as_bytes());
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_report_comes_back() {
        let text = json();
        let file = ReportFile::from_json(text.as_bytes()).expect("readable");
        assert_eq!(serde_json::to_string(&file).expect("plain data"), text);
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let version = format!("\"schema_version\":{SCHEMA_VERSION}");
        check_refused(
            &version,
            "\"schema_version\":1",
            "has schema_version 1, this program",
        );
        check_refused("\"counts\":true", "\"counts\":1", "at `verdict.counts`");
        check_refused("\"counts\"", "\"count\"", "unknown field `count`");
        let error = ReportFile::from_json(b"{\"schema_version\":2").expect_err("cut");
        assert!(error.to_string().contains("EOF"), "{error}");
        let error = ReportFile::from_json((json() + "{}").as_bytes()).expect_err("continued");
        assert!(error.to_string().contains("trailing characters"), "{error}");
    }
}
