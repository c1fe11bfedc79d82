//! Builds a complete generation in staging: its files, its records, everything flushed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::layout::{DIRECTORY_MODE, FILE_MODE, Layout, OWN_MODE, RECORD_FILE};
use super::record::{FileRecord, Record, Target};
use super::{Error, durable_failure, verify};
use crate::durable;
use crate::units::Sha256;

/// A generation being built; swept by the next run when this one does not finish.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
}

impl Staged {
    pub(super) fn new(layout: &Layout) -> Result<Self, Error> {
        let path = layout.temporary("generation")?;
        durable::make_directory(&path, OWN_MODE)?;
        Ok(Self { path })
    }

    /// Where it is built.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a directory of another place into it: hard links, or copies where links are not
    /// possible.
    ///
    /// * `files`: what of it, with their digests
    pub(super) fn link_target(
        &self,
        from: &Path,
        name: &str,
        files: &[FileRecord],
    ) -> Result<(), Error> {
        let to = self.path.join(name);
        fs::create_dir(&to).map_err(durable_failure("make the directory", &to))?;
        for file in files {
            let (from, to) = (from.join(&file.path), to.join(&file.path));
            let parent = to.parent().unwrap_or(&to);
            fs::create_dir_all(parent).map_err(durable_failure("make the directory", parent))?;
            match fs::hard_link(&from, &to) {
                Err(error) if is_copied_instead(&error) => {
                    fs::copy(&from, &to).map_err(durable_failure("write", &to))?;
                }
                linked => linked.map_err(durable_failure("link", &to))?,
            }
        }
        Ok(())
    }

    /// Digests everything below a target.
    pub(super) fn digest(&self, name: &str) -> Result<Target, Error> {
        let files = verify::digest_tree(&self.path.join(name))?;
        Ok(Target::new(name, files))
    }

    /// Writes the records, sets all modes, and flushes everything. Gives the digest of the record.
    pub(super) fn finish(&self, record: &Record) -> Result<Sha256, Error> {
        for target in &record.targets {
            set_modes(&self.path.join(&target.name))?;
        }
        for (name, bytes) in record.public_records() {
            durable::write_new(&self.path.join(name), &bytes, FILE_MODE)?;
        }
        let bytes = record.to_bytes();
        durable::write_new(&self.path.join(RECORD_FILE), &bytes, FILE_MODE)?;
        durable::sync_tree(&self.path)?;
        Ok(Sha256::of(&bytes))
    }

    /// Gives it its number. Nothing names it yet.
    pub(super) fn name(self, layout: &Layout, generation: u64) -> Result<(), Error> {
        Ok(durable::rename_to_free(
            &self.path,
            &layout.generation(generation),
        )?)
    }
}

fn is_copied_instead(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::CrossesDevices | Kind::TooManyLinks | Kind::PermissionDenied | Kind::Unsupported
    )
}

/// Modes of a target, from the inside out.
fn set_modes(directory: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::unreadable(directory, source);
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_dir() {
            set_modes(&entry.path())?;
        } else {
            durable::set_mode(&entry.path(), FILE_MODE)?;
        }
    }
    Ok(durable::set_mode(directory, DIRECTORY_MODE)?)
}
