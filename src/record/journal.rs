//! What a run has finished so far, one JSON line per unit, on disk before the next unit begins.
//!
//! A killed run leaves its evidence here. Each line carries the digest of the line before it, so a
//! line that was edited or lost shows.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::file::Error;
use super::{
    Failure, Launch, MemoryRun, ModelIdentity, NaturalTimes, OutputObservation, PlanSummary,
    Reading, Role,
};
use crate::units::Sha256;

/// One finished unit of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry<'a> {
    /// The first line: what is run and how.
    Header {
        /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION) of the entries' parts.
        schema_version: u32,
        /// Identifies the run.
        run_id: &'a str,
        /// Order, sizes and limits.
        plan: &'a PlanSummary,
        /// The baseline.
        baseline: &'a ModelIdentity,
        /// The candidate.
        candidate: &'a ModelIdentity,
    },
    /// One run of the memory pass.
    Memory {
        /// Whose.
        role: Role,
        /// What was read.
        run: &'a MemoryRun,
    },
    /// One scene of the outputs pass.
    Output {
        /// Whose.
        role: Role,
        /// What was written.
        output: &'a OutputObservation,
    },
    /// The same output once more, written alone.
    Times {
        /// Whose.
        role: Role,
        /// Scene id.
        scene: &'a str,
        /// How long it took.
        times: &'a NaturalTimes,
    },
    /// One launch of the latency pass, whole.
    Launch {
        /// The baseline's half.
        baseline: &'a Launch,
        /// The candidate's half.
        candidate: &'a Launch,
    },
    /// The texts of one scene of the likelihood pass.
    Readings {
        /// Whose.
        role: Role,
        /// What was made of them.
        readings: &'a [Reading],
    },
    /// The end of a model's run.
    Failure {
        /// Whose.
        role: Role,
        /// What ended it.
        failure: &'a Failure,
    },
    /// Something a reader should know, in words.
    Note {
        /// One sentence.
        text: &'a str,
    },
}

/// A line on disk.
#[derive(Serialize)]
struct Line<'a> {
    /// SHA-256 of the line before, newline included; of the empty text for the first.
    previous: Sha256,
    unit: &'a Entry<'a>,
}

/// An append-only file of finished units.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    previous: Sha256,
}

impl Journal {
    /// Starts `journal.jsonl` in `folder`; an older one is replaced.
    ///
    /// # Errors
    /// [`Error::Write`] with the path.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("journal.jsonl");
        let open = || {
            std::fs::create_dir_all(folder)?;
            OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .open(&path)
        };
        match open() {
            Ok(file) => Ok(Self {
                path,
                file,
                previous: Sha256::of(b""),
            }),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    /// Appends one unit and waits until it is on disk.
    ///
    /// # Errors
    /// [`Error::Write`] with the path.
    ///
    /// # Panics
    /// Never: an entry holds nothing JSON cannot express.
    pub fn append(&mut self, unit: &Entry) -> Result<(), Error> {
        let line = Line {
            previous: self.previous,
            unit,
        };
        let mut bytes = serde_json::to_vec(&line).expect("an entry is plain JSON data");
        bytes.push(b'\n');
        self.file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| Error::Write {
                path: self.path.clone(),
                source,
            })?;
        self.previous = Sha256::of(&bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path()).unwrap();
        for text in ["one", "two\nlines", "three"] {
            journal.append(&Entry::Note { text }).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap();
        let mut previous = Sha256::of(b"");
        for line in text.split_inclusive('\n') {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["previous"], previous.to_string());
            previous = Sha256::of(line.as_bytes());
        }
        assert_eq!(text.lines().count(), 3);
    }
}
