//! What a crash left behind: step S1 of every command that writes. Idempotent.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::journal::{Event, News, Writer};
use super::layout::{Current, Layout};
use super::ledger::Ledger;
use super::record::Record;
use super::{Error, flip, links};

/// A store under its lock, tidied up.
pub(super) struct Recovered {
    pub(super) ledger: Ledger,
    pub(super) journal: Writer,
    pub(super) current: Current,
    /// What was done, in words, for the talk.
    pub(super) notes: Vec<String>,
    /// Whether an earlier run was cut short after its commit.
    pub(super) has_closed_commit: bool,
}

/// The store as it is, for a caller without the lock, who writes nothing.
pub(super) fn look(layout: &Layout) -> Result<Recovered, Error> {
    let ledger = Ledger::read(layout)?;
    Ok(Recovered {
        journal: Writer::new(layout, ledger.tail.clone()),
        ledger,
        current: layout.read_current()?,
        notes: Vec::new(),
        has_closed_commit: false,
    })
}

/// Drops what is in staging, closes an open intent by looking at `current`, and brings links and
/// flag up to `current`.
///
/// The lock is held by the caller.
pub(super) fn recover(layout: &Layout) -> Result<Recovered, Error> {
    let mut notes = Vec::new();
    let mut has_closed_commit = false;
    sweep(layout)?;
    let mut ledger = Ledger::read(layout)?;
    let mut journal = Writer::new(layout, ledger.tail.clone());
    if journal.drop_torn()? {
        ledger.tail.is_torn = false;
        notes.push("the last line of the journal was torn; it was cut off".to_owned());
    }
    let current = layout.read_current()?;
    if let Some(intent) = ledger.intent.take() {
        let is_done = current == Current::Generation(intent.generation);
        has_closed_commit = is_done;
        let entry = intent.entry;
        let event = if is_done {
            // The run may have ended between the rename and its flush, or at a flush that failed.
            flip::set_current(layout, intent.generation)?;
            ledger.flip_event(entry.release_digest)
        } else {
            Event::Aborted
        };
        journal.append(News {
            event,
            generation: entry.generation,
            release: entry.release_digest,
            record: entry.record_sha256,
            version: entry.version,
            manifest: entry.manifest_sha256,
            reason: Some(entry.reason.unwrap_or_else(|| "after a crash".into())),
        })?;
        notes.push(format!(
            "an earlier run was cut short while generation {} became current; it {}",
            intent.generation,
            if is_done { "is" } else { "is not" }
        ));
        ledger = Ledger::read(layout)?;
    }
    if let Current::Generation(number) = current
        && let Ok((record, _)) = Record::read(&layout.generation(number))
    {
        links::remove_vanished(layout, &record)?;
        if links::set_flag(layout, &record)? {
            notes.push(format!(
                "{} was brought up to generation {number}",
                super::FLAG_FILE
            ));
        }
        sweep(layout)?;
    }
    Ok(Recovered {
        ledger,
        journal,
        current,
        notes,
        has_closed_commit,
    })
}

/// Empties staging, whatever is in it.
pub(super) fn sweep(layout: &Layout) -> Result<(), Error> {
    let staging = layout.staging();
    let entries = match fs::read_dir(&staging) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::unreadable(&staging, source)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| Error::unreadable(&staging, source))?;
        remove_tree(&entry.path())?;
    }
    Ok(())
}

/// Deletes a file or a directory with everything in it, read-only directories included.
pub(super) fn remove_tree(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::unwritable(path, source);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    if !found.is_dir() {
        return fs::remove_file(path).map_err(failed);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    for entry in fs::read_dir(path).map_err(failed)? {
        remove_tree(&entry.map_err(failed)?.path())?;
    }
    fs::remove_dir(path).map_err(failed)
}
