//! Saving and strictly loading a [`RunRecord`].

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Role, RunRecord, SCHEMA_VERSION};
use crate::durable;
use crate::hint::Hint;

/// Why a record could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read run record {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record or the journal could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record could not be replaced atomically.
    #[error("cannot save the run record")]
    Save(#[from] durable::Error),
    /// The file is not JSON, or not a record of the known form.
    #[error("{} is not a run record: {reason} at `{key}`", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Path of the offending key, `.` for the whole document.
        key: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A journal that cannot be gone on from.
    #[error("line {line} of the journal {} cannot be used: {reason}", .path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process writes this journal.
    #[error("the journal {} is in use by another run", .path.display())]
    JournalInUse {
        /// The file.
        path: PathBuf,
    },
    /// The record was written in another version of the form.
    #[error(
        "run record {} has schema_version {found}, this program reads {SCHEMA_VERSION}",
        .path.display()
    )]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::SchemaVersion { .. } => {
                Some("make the record again with `vv-eval compare`".to_owned())
            }
            Self::Journal { .. } => Some(
                "the file was changed after it was written; run without --resume to begin again"
                    .to_owned(),
            ),
            Self::JournalInUse { .. } => {
                Some("wait for it, or name another directory with --out DIR".to_owned())
            }
            Self::Read { .. } | Self::Write { .. } | Self::Save(_) | Self::Malformed { .. } => None,
        }
    }
}

/// The one field every version of the form has. Lenient on purpose: the rest may be unknown.
#[derive(Deserialize)]
struct Versioned {
    schema_version: u32,
}

impl Role {
    /// The role as it stands in file names and messages: `baseline`, `candidate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Candidate => "candidate",
        }
    }

    /// The other model of the pair.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Baseline => Self::Candidate,
            Self::Candidate => Self::Baseline,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl RunRecord {
    /// Saves the record in `folder` as `baseline.record.json` or `candidate.record.json`, whole or
    /// not at all, and gives the path.
    ///
    /// # Errors
    /// [`Error::Save`]; [`Error::Write`] when `folder` cannot be made.
    ///
    /// # Panics
    /// Never: a record holds no maps with odd keys and no values JSON cannot express.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, Error> {
        std::fs::create_dir_all(folder).map_err(|source| Error::Write {
            path: folder.to_owned(),
            source,
        })?;
        let path = folder.join(format!("{}.record.json", self.role));
        let mut bytes = serde_json::to_vec_pretty(self).expect("a record is plain JSON data");
        bytes.push(b'\n');
        durable::write_atomic(&path, &bytes)?;
        Ok(path)
    }

    /// Loads a record; unknown fields and other schema versions are refused.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::SchemaVersion`], [`Error::Malformed`] naming the key.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        // The version comes first: a newer record should be called newer, not malformed.
        let found = parse::<Versioned>(path, &bytes)?.schema_version;
        if found != SCHEMA_VERSION {
            return Err(Error::SchemaVersion {
                path: path.to_owned(),
                found,
            });
        }
        parse(path, &bytes)
    }
}

/// Reads one JSON document and nothing after it.
fn parse<'de, T: Deserialize<'de>>(path: &Path, bytes: &'de [u8]) -> Result<T, Error> {
    let malformed = |key: String, reason: String| Error::Malformed {
        path: path.to_owned(),
        key,
        reason,
    };
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
    use super::super::tests::sample;
    use super::*;

    fn check_refused(edit: impl FnOnce(&mut String), expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = sample().save(folder.path()).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        edit(&mut text);
        std::fs::write(&path, text).unwrap();
        let message = RunRecord::load(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn a_record_comes_back_as_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let record = sample();
        let path = record.save(&folder.path().join("new/folder")).unwrap();
        assert!(path.ends_with("new/folder/candidate.record.json"));
        assert_eq!(RunRecord::load(&path).unwrap(), record);
    }

    #[test]
    fn saving_twice_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = sample().save(folder.path()).unwrap();
        let first = std::fs::read(&path).unwrap();
        sample().save(folder.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
    }

    #[test]
    fn another_schema_version_is_named() {
        check_refused(
            |text| *text = text.replace("\"schema_version\": 2", "\"schema_version\": 1"),
            "has schema_version 1, this program reads 2",
        );
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_place() {
        check_refused(
            |text| *text = text.replace("\"usable_cpus\"", "\"usable_cpu\""),
            "unknown field `usable_cpu`",
        );
        check_refused(
            |text| *text = text.replace("\"wall_ns\": 10", "\"wall_ns\": -10"),
            "`launches[0].decode[0].wall_ns`",
        );
    }

    #[test]
    fn a_cut_or_continued_document_is_refused() {
        check_refused(|text| text.truncate(text.len() / 2), "EOF");
        check_refused(|text| text.push_str("{}"), "trailing characters");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = RunRecord::load(Path::new("/nowhere/x.json"))
            .unwrap_err()
            .to_string();
        assert_eq!(message, "cannot read run record /nowhere/x.json");
    }
}
