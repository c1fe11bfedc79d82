//! Holds what stands on disk against what a generation's record says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::layout::{DIRECTORY_MODE, FILE_MODE, Layout, OWN_MODE, RECORD_FILE, kind_of};
use super::record::{FileRecord, Record};
use super::{Error, disk};
use crate::artifact::digest::digest_file;
use crate::durable::shown;
use crate::units::{Bytes, Sha256};

/// How thoroughly a generation is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Names, kinds, lengths and permission bits.
    Quick,
    /// Every byte as well.
    Full,
}

/// Something that is not as recorded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Where, below the generation's directory, escaped.
    pub path: String,
    /// What is wrong, in words.
    pub problem: String,
    /// Whether the model's own files are concerned, and not only what is written about them.
    pub is_in_files: bool,
    /// Whether only permission bits differ.
    pub is_mode_only: bool,
    /// What the system answered instead of the bytes: nothing is known of the file then.
    #[serde(skip)]
    pub os_error: Option<i32>,
}

/// A generation held against its record.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What the record says; `None` when it cannot be read.
    pub record: Option<Record>,
    /// Digest of the record's bytes.
    pub record_sha256: Option<Sha256>,
    /// Everything that is wrong.
    pub damages: Vec<Damage>,
}

impl Examined {
    /// The record of a generation without any damage.
    pub fn sound(&self) -> Option<&Record> {
        self.record.as_ref().filter(|_| self.damages.is_empty())
    }

    /// Whether something could not be read, so that nobody knows how it is.
    pub(super) fn is_unread(&self) -> bool {
        self.damages.iter().any(|damage| damage.os_error.is_some())
    }

    /// The record when at least the model's files are as it says.
    pub(super) fn files_sound(&self) -> Option<&Record> {
        let record = self.record.as_ref();
        record.filter(|_| self.damages.iter().all(|damage| !damage.is_in_files))
    }
}

/// An error of the system by its cause alone, which says more than that reading failed.
fn unread(error: &(dyn std::error::Error + 'static)) -> String {
    match disk::silence_in(error) {
        Some(code) => format!("it cannot be read: {}", io::Error::from_raw_os_error(code)),
        None => error.to_string(),
    }
}

/// Examines a generation on disk.
///
/// * `promised`: digest of its record, where the journal remembers it
///
/// # Errors
/// Only what keeps the directory from being read at all; damages are not errors.
pub fn examine(
    layout: &Layout,
    generation: u64,
    promised: Option<Sha256>,
    depth: Depth,
) -> Result<Examined, Error> {
    let directory = layout.generation(generation);
    let (record, record_sha256) = match Record::read(&directory) {
        Ok(read) => read,
        Err(error) => {
            let damage = Damage {
                path: RECORD_FILE.to_owned(),
                problem: unread(&error),
                is_in_files: true,
                is_mode_only: false,
                os_error: disk::silence_in(&error),
            };
            return Ok(Examined {
                record: None,
                record_sha256: None,
                damages: vec![damage],
            });
        }
    };
    let mut search = Search {
        directory: &directory,
        depth,
        damages: Vec::new(),
    };
    if record.generation != generation {
        let problem = format!("it is the record of generation {}", record.generation);
        search.damage(RECORD_FILE, problem, true);
    }
    if promised.is_some_and(|promised| promised != record_sha256) {
        let problem = "it is not the one the journal remembers".to_owned();
        search.damage(RECORD_FILE, problem, true);
    }
    search.top(&record)?;
    Ok(Examined {
        damages: search.damages,
        record: Some(record),
        record_sha256: Some(record_sha256),
    })
}

struct Search<'a> {
    directory: &'a Path,
    depth: Depth,
    damages: Vec<Damage>,
}

impl Search<'_> {
    fn damage(&mut self, path: &str, problem: String, is_in_files: bool) {
        self.damages.push(Damage {
            path: path.escape_debug().to_string(),
            problem,
            is_in_files,
            is_mode_only: false,
            os_error: None,
        });
    }

    fn mode(&mut self, path: &str, found: u32, expected: u32) {
        if found & 0o7777 != expected {
            let problem = format!("its mode is {:o} instead of {expected:o}", found & 0o7777);
            self.damages.push(Damage {
                path: path.escape_debug().to_string(),
                problem,
                is_in_files: false,
                is_mode_only: true,
                os_error: None,
            });
        }
    }

    /// The generation's own directory: its targets, its records, and nothing else.
    fn top(&mut self, record: &Record) -> Result<(), Error> {
        let own = fs::metadata(self.directory)
            .map_err(|source| Error::unreadable(self.directory, source))?;
        self.mode(".", own.permissions().mode(), OWN_MODE);
        let mut expected: BTreeMap<String, Expected<'_>> = BTreeMap::new();
        expected.insert(RECORD_FILE.to_owned(), Expected::Itself);
        for file in &record.records {
            expected.insert(file.path.clone(), Expected::Record(file));
        }
        for target in &record.targets {
            expected.insert(target.name.clone(), Expected::Directory);
            for file in &target.files {
                let path = format!("{}/{}", target.name, file.path);
                for (at, _) in path.match_indices('/') {
                    expected.insert(path[..at].to_owned(), Expected::Directory);
                }
                expected.insert(path, Expected::File(file));
            }
        }
        self.directory(&PathBuf::new(), &mut expected)?;
        for (path, missing) in expected {
            self.damage(&path, "it is missing".into(), missing.is_in_files());
        }
        Ok(())
    }

    /// Walks a directory and takes what it finds off the list.
    fn directory(
        &mut self,
        below: &Path,
        expected: &mut BTreeMap<String, Expected<'_>>,
    ) -> Result<(), Error> {
        let directory = self.directory.join(below);
        let unreadable = |source| Error::unreadable(&directory, source);
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let relative = below.join(entry.file_name());
            let found = entry.metadata().map_err(unreadable)?;
            let name = relative.to_string_lossy().into_owned();
            let wanted = relative.to_str().and_then(|name| expected.remove(name));
            let mode = found.permissions().mode();
            match wanted {
                None => {
                    let problem = format!("{} nobody recorded", kind_of(&found));
                    self.damage(&name, problem, true);
                }
                Some(Expected::Directory) if found.is_dir() => {
                    self.mode(&name, mode, DIRECTORY_MODE);
                    self.directory(&relative, expected)?;
                }
                Some(Expected::Itself) if found.is_file() => self.mode(&name, mode, FILE_MODE),
                Some(Expected::File(file)) if found.is_file() => {
                    self.mode(&name, mode, FILE_MODE);
                    self.file(&name, file, Bytes(found.len()), self.depth, true);
                }
                Some(Expected::Record(file)) if found.is_file() => {
                    self.mode(&name, mode, FILE_MODE);
                    self.file(&name, file, Bytes(found.len()), Depth::Full, false);
                }
                Some(other) => {
                    self.damage(
                        &name,
                        format!("it is {}", kind_of(&found)),
                        other.is_in_files(),
                    );
                }
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &str,
        file: &FileRecord,
        size: Bytes,
        depth: Depth,
        is_in_files: bool,
    ) {
        if size != file.size_bytes {
            let problem = format!("{} bytes instead of {}", size.0, file.size_bytes.0);
            self.damage(name, problem, is_in_files);
            return;
        }
        if depth == Depth::Quick {
            return;
        }
        match digest_file(&self.directory.join(name)) {
            Ok(found) if found.sha256() == file.sha256 => {}
            Ok(found) => {
                let problem = format!("sha256 {} instead of {}", found.sha256(), file.sha256);
                self.damage(name, problem, is_in_files);
            }
            Err(error) => {
                // With other permissions than recorded, that it cannot be read is no wonder.
                let is_closed = self
                    .damages
                    .iter()
                    .any(|it| it.is_mode_only && it.path == name);
                self.damage(name, unread(&error), is_in_files);
                if let Some(damage) = self.damages.last_mut() {
                    damage.os_error = disk::silence_in(&error).filter(|_| !is_closed);
                }
            }
        }
    }
}

/// What should stand at a path.
enum Expected<'a> {
    Itself,
    Directory,
    Record(&'a FileRecord),
    File(&'a FileRecord),
}

impl Expected<'_> {
    fn is_in_files(&self) -> bool {
        match self {
            Self::Itself | Self::Directory | Self::File(_) => true,
            Self::Record(_) => false,
        }
    }
}

/// Every regular file below a directory with its digest; anything else is refused.
pub(super) fn digest_tree(directory: &Path) -> Result<Vec<FileRecord>, Error> {
    let mut files = Vec::new();
    walk(directory, "", &mut files)?;
    Ok(files)
}

fn walk(directory: &Path, below: &str, files: &mut Vec<FileRecord>) -> Result<(), Error> {
    let unreadable = |source| Error::unreadable(directory, source);
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let found = entry.metadata().map_err(unreadable)?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .map(|name| format!("{below}{name}"))
        else {
            return Err(Error::corrupt(&path, "its name is not UTF-8"));
        };
        if found.is_dir() {
            walk(&path, &format!("{name}/"), files)?;
        } else if found.is_file() {
            let file = digest_file(&path)?;
            files.push(FileRecord {
                path: name,
                size_bytes: file.size(),
                sha256: file.sha256(),
            });
        } else {
            return Err(Error::corrupt(&path, format!("it is {}", kind_of(&found))));
        }
    }
    Ok(())
}

/// The error that names everything wrong with a generation; what kept it from being read, where
/// something did.
pub(super) fn damaged(layout: &Layout, generation: u64, damages: &[Damage]) -> Error {
    const MAX_LISTED: usize = 20;
    let unread = |damage: &Damage| Some((damage.path.clone(), damage.os_error?));
    if let Some((path, code)) = damages.iter().find_map(unread) {
        let path = layout.generation(generation).join(path);
        return Error::unreadable(&path, io::Error::from_raw_os_error(code));
    }
    let mut problem = format!("{} deviations from its record", damages.len());
    if damages.len() == 1 {
        "1 deviation from its record".clone_into(&mut problem);
    }
    for damage in damages.iter().take(MAX_LISTED) {
        let _ = write!(problem, "\n  {}: {}", damage.path, damage.problem);
    }
    Error::Corrupt {
        path: PathBuf::from(shown(&layout.generation(generation))),
        problem,
        hint: Some(
            "vv-eval model install puts a new, verified generation in its place; vv-eval model \
             rollback returns to an earlier one"
                .into(),
        ),
    }
}
