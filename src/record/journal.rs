//! What a run has finished so far, one JSON line per unit, on disk before the next unit begins.
//!
//! A killed run leaves its evidence here and is taken up again from it. Each line carries a digest
//! of its unit and the digest of the line before it, so a line that was edited, lost or doubled
//! shows. A last line that a kill tore apart is dropped.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::Error;
use super::{
    Environment, Failure, HostKey, Launch, LoadSettings, MemoryRun, ModelIdentity, NaturalTimes,
    OutputObservation, PlanSummary, Reading, ReusedOutput, Role, SceneSetIdentity, Sentinels,
    WorkerFacts,
};
use crate::units::Sha256;

/// How long a lock is waited for that a process holds which is about to become another program: it
/// has it until then.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// Name of the journal in the run's folder.
pub const FILE_NAME: &str = "journal.jsonl";

/// What a run was started with; the first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION) of the entries' parts.
    pub schema_version: u32,
    /// Identifies the run.
    pub run_id: String,
    /// RFC 3339 UTC, when the run began.
    pub started_at: String,
    /// Order, sizes and limits.
    pub plan: PlanSummary,
    /// The scenes and what shapes their prompts.
    pub scenes: SceneSetIdentity,
    /// The sentinels among them.
    pub sentinels: Option<Sentinels>,
    /// The machine and the build.
    pub host: HostKey,
    /// Digest of the program's file.
    pub binary_sha256: Option<Sha256>,
    /// What surrounds the run; absent in older journals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The baseline, as far as it is known before it is loaded.
    pub baseline: ModelIdentity,
    /// The candidate, likewise.
    pub candidate: ModelIdentity,
    /// How each is loaded; the baseline first.
    pub load: [LoadSettings; 2],
    /// What was planted in each; the baseline first.
    pub planted: [Option<String>; 2],
}

/// One finished unit of a run.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, for as long as it is written or read"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry<'a> {
    /// The first line: what is run and how.
    Header(Cow<'a, Header>),
    /// A worker that loaded a model.
    Worker {
        /// Whose model.
        role: Role,
        /// What the worker was.
        facts: Cow<'a, WorkerFacts>,
        /// The model, now that it was loaded.
        model: Cow<'a, ModelIdentity>,
    },
    /// A model passed the check of loading it alone.
    Loads {
        /// Whose.
        role: Role,
    },
    /// One run of the memory pass.
    Memory {
        /// Whose.
        role: Role,
        /// What was read.
        run: Cow<'a, MemoryRun>,
    },
    /// One scene of the outputs pass.
    Output {
        /// Whose.
        role: Role,
        /// What was written.
        output: Cow<'a, OutputObservation>,
        /// Where it was taken from, unless it was written in this run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reused: Option<Cow<'a, ReusedOutput>>,
    },
    /// The same output once more, written alone.
    Times {
        /// Whose.
        role: Role,
        /// Scene id.
        scene: Cow<'a, str>,
        /// How long it took.
        times: Cow<'a, NaturalTimes>,
    },
    /// Sizes of the timed segments, in tokens.
    Calibration {
        /// Context used.
        context: usize,
        /// Tokens of the prompt, at most.
        prompt: usize,
        /// Tokens of a decode segment.
        decode: usize,
    },
    /// One launch of the latency pass, whole.
    Launch {
        /// The baseline's half.
        baseline: Cow<'a, Launch>,
        /// The candidate's half.
        candidate: Cow<'a, Launch>,
    },
    /// One launch with the baseline's files in both workers, whole.
    Control {
        /// The half in the baseline's place.
        baseline: Cow<'a, Launch>,
        /// The half in the candidate's place.
        candidate: Cow<'a, Launch>,
    },
    /// The texts of one scene of the likelihood pass, read by both.
    Readings {
        /// What the baseline made of them.
        baseline: Cow<'a, [Reading]>,
        /// What the candidate made of them.
        candidate: Cow<'a, [Reading]>,
    },
    /// The end of a model's run.
    Failure {
        /// Whose.
        role: Role,
        /// What ended it.
        failure: Cow<'a, Failure>,
    },
    /// Launches end here, although the plan has more.
    Stopped {
        /// Why.
        reason: Cow<'a, str>,
    },
    /// The run can be judged by nobody, and is not gone on from.
    Invalid {
        /// Why.
        reason: Cow<'a, str>,
    },
    /// Something a reader should know, in words.
    Note {
        /// One sentence.
        text: Cow<'a, str>,
        /// The role whose first crash or hang is forgiven by it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pardons: Option<Role>,
        /// Whether a launch has to be repeated for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        repeats_launch: bool,
    },
    /// The run was taken up again here.
    Resumed,
}

/// Opens a line; 64 hex digits follow.
const PREVIOUS: &str = "{\"previous\":\"";
/// Stands between the two digests.
const OWN: &str = "\",\"sha256\":\"";
/// Stands between the second digest and the unit.
const UNIT: &str = "\",\"unit\":";
/// Hex digits of a digest.
const DIGITS: usize = 64;

/// One line, newline included: the digest of the line before (of the empty text for the first), the
/// digest of the unit's text, the unit.
fn line_of(previous: Sha256, unit: &Entry) -> Vec<u8> {
    let unit = serde_json::to_string(unit).expect("an entry is plain JSON data");
    let own = Sha256::of(unit.as_bytes());
    format!("{PREVIOUS}{previous}{OWN}{own}{UNIT}{unit}}}\n").into_bytes()
}

/// Reads a line without its newline; the error says what is wrong with it.
fn read_line(line: &str, previous: Sha256) -> Result<Entry<'static>, String> {
    let digest = |text: &str| {
        text.get(..DIGITS)
            .and_then(|text| text.parse::<Sha256>().ok())
    };
    let parts = || {
        let rest = line.strip_prefix(PREVIOUS)?;
        let before = digest(rest)?;
        let rest = rest.get(DIGITS..)?.strip_prefix(OWN)?;
        let own = digest(rest)?;
        let unit = rest.get(DIGITS..)?.strip_prefix(UNIT)?.strip_suffix('}')?;
        Some((before, own, unit))
    };
    let (before, own, unit) = parts().ok_or("it is no line of a journal")?;
    if before != previous {
        return Err("it does not follow the line before it".to_owned());
    }
    if Sha256::of(unit.as_bytes()) != own {
        return Err("its unit is not the one that was written".to_owned());
    }
    serde_json::from_str(unit).map_err(|error| format!("its unit is not understood: {error}"))
}

/// An append-only file of finished units, locked against other writers.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    previous: Sha256,
}

impl Journal {
    /// Starts [`FILE_NAME`] in `folder`; an older one is replaced.
    ///
    /// # Errors
    /// [`Error::Write`] with the path; [`Error::JournalInUse`] while another process writes it.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE_NAME);
        let open = || {
            std::fs::create_dir_all(folder)?;
            // Whoever may write here must not choose what is replaced elsewhere.
            if path.is_symlink() {
                return Err(std::io::Error::other("it is a symbolic link"));
            }
            // Not truncated before it is locked.
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let file = match open() {
            Ok(file) => file,
            Err(source) => return Err(Error::Write { path, source }),
        };
        let journal = Self::locked(path, file)?;
        match journal.file.set_len(0) {
            Ok(()) => Ok(journal),
            Err(source) => Err(journal.failed(source)),
        }
    }

    /// Opens the journal of `folder` to go on, with what stands in it; `None` where nothing was
    /// begun. A torn last line is cut off.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`], [`Error::JournalInUse`]; [`Error::Journal`] with the line
    /// that was edited, lost or doubled.
    pub fn resume(folder: &Path) -> Result<Option<(Self, Vec<Entry<'static>>)>, Error> {
        let path = folder.join(FILE_NAME);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let mut journal = Self::locked(path, file)?;
        let bytes = match std::fs::read(&journal.path) {
            Ok(bytes) => bytes,
            Err(source) => {
                let path = journal.path;
                return Err(Error::Read { path, source });
            }
        };
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut entries = Vec::new();
        for (index, line) in bytes[..whole]
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate()
        {
            let text = String::from_utf8_lossy(&line[..line.len() - 1]);
            let entry = read_line(&text, journal.previous).map_err(|reason| Error::Journal {
                path: journal.path.clone(),
                line: index + 1,
                reason,
            })?;
            entries.push(entry);
            journal.previous = Sha256::of(line);
        }
        if entries.is_empty() {
            // Killed before the first line was whole: nothing was begun.
            return Ok(None);
        }
        let cut = |file: &mut File| {
            file.set_len(whole as u64)?;
            file.sync_data()?;
            io::Seek::seek(file, io::SeekFrom::End(0)).map(drop)
        };
        match cut(&mut journal.file) {
            Ok(()) => Ok(Some((journal, entries))),
            Err(source) => Err(journal.failed(source)),
        }
    }

    fn locked(path: PathBuf, file: File) -> Result<Self, Error> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        file,
                        previous: Sha256::of(b""),
                    });
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => return Err(Error::JournalInUse { path }),
                Err(TryLockError::Error(source)) => return Err(Error::Write { path, source }),
            }
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write {
            path: self.path.clone(),
            source,
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
        let bytes = line_of(self.previous, unit);
        self.file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| self.failed(source))?;
        self.previous = Sha256::of(&bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Entry<'static> {
        Entry::Note {
            text: text.to_owned().into(),
            pardons: Some(Role::Candidate),
            repeats_launch: false,
        }
    }

    /// A journal of three notes in a folder, and its text.
    fn written() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path()).unwrap();
        for text in ["one", "two\nlines", "três"] {
            journal.append(&note(text)).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        (folder, text)
    }

    /// Entries read back after the file was replaced, or the error's words.
    fn reread(folder: &Path, text: &[u8]) -> Result<Vec<Entry<'static>>, String> {
        std::fs::write(folder.join(FILE_NAME), text).unwrap();
        match Journal::resume(folder) {
            Ok(found) => Ok(found.map_or(Vec::new(), |(_, entries)| entries)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_line_is_json_and_names_the_one_before() {
        let (_folder, text) = written();
        let mut previous = Sha256::of(b"");
        for line in text.split_inclusive('\n') {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["previous"], previous.to_string());
            previous = Sha256::of(line.as_bytes());
        }
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn what_was_written_is_read_back_and_continued() {
        let (folder, _) = written();
        let (mut journal, entries) = Journal::resume(folder.path()).unwrap().unwrap();
        assert_eq!(entries, [note("one"), note("two\nlines"), note("três")]);
        journal.append(&Entry::Resumed).unwrap();
        drop(journal);
        let (_, entries) = Journal::resume(folder.path()).unwrap().unwrap();
        assert_eq!(entries.last(), Some(&Entry::Resumed));
        assert_eq!(entries.len(), 4);
    }

    #[test]
    fn cut_anywhere_it_holds_the_lines_before_the_cut() {
        let (folder, text) = written();
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let whole = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
            let entries = reread(folder.path(), &bytes[..cut]).unwrap();
            assert_eq!(entries.len(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed_or_tears_the_last_line() {
        let (folder, text) = written();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            match reread(folder.path(), &bytes) {
                Err(words) => assert!(words.contains("line "), "{words}"),
                // Without its newline the last line is a torn one.
                Ok(entries) => assert_eq!((at, entries.len()), (text.len() - 1, 2)),
            }
        }
    }

    #[test]
    fn lost_and_doubled_lines_are_noticed() {
        let (folder, text) = written();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for (edited, line) in [
            (vec![lines[1], lines[2]], 1),
            (vec![lines[0], lines[2]], 2),
            (vec![lines[0], lines[0]], 2),
        ] {
            let words = reread(folder.path(), edited.concat().as_bytes()).unwrap_err();
            let expected = format!("line {line} of the journal");
            assert!(words.contains("it does not follow"), "{words}");
            assert!(words.contains(&expected), "{words}");
        }
    }

    #[test]
    fn nothing_begun_is_nothing_to_resume() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::resume(folder.path()).unwrap().is_none());
    }

    #[test]
    fn two_writers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Journal::create(folder.path()).unwrap();
        for second in [
            Journal::create(folder.path()).map(drop),
            Journal::resume(folder.path()).map(drop),
        ] {
            assert!(matches!(second, Err(Error::JournalInUse { .. })));
        }
    }
}
