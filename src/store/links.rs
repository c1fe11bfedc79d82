//! The names readers know, all of them links through `current`, and the flag beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::layout::{FLAG_FILE, INFO_FILE, Layout, VERSION_FILE, kind_of};
use super::record::{Record, flag_bytes};
use super::{Error, disk};
use crate::durable::{self, shown};

/// What stands where a compatibility link belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Free,
    /// The link.
    Linked,
    /// A directory or file of an installer that knew no generations.
    Plain,
    /// Something nobody may replace.
    Foreign {
        /// What it is, for a message.
        found: String,
        /// Whether it is a link that leads nowhere.
        is_dangling: bool,
    },
}

/// The text of the compatibility link `name`.
pub(super) fn link_text(name: &str) -> PathBuf {
    Path::new(".vv/current").join(name)
}

/// Looks at the place of a target's link.
pub(super) fn target_place(layout: &Layout, name: &str) -> Result<Place, Error> {
    place(layout, name, fs::Metadata::is_dir)
}

/// Looks at the place of a record's link.
pub(super) fn record_place(layout: &Layout, name: &str) -> Result<Place, Error> {
    place(layout, name, fs::Metadata::is_file)
}

fn place(
    layout: &Layout,
    name: &str,
    is_plain: impl Fn(&fs::Metadata) -> bool,
) -> Result<Place, Error> {
    let path = layout.public(name);
    let unreadable = |source| Error::unreadable(&path, source);
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        Err(source) => return Err(unreadable(source)),
    };
    if !found.is_symlink() {
        return Ok(if is_plain(&found) {
            Place::Plain
        } else {
            let found = kind_of(&found).to_owned();
            let is_dangling = false;
            Place::Foreign { found, is_dangling }
        });
    }
    let text = fs::read_link(&path).map_err(unreadable)?;
    if text == link_text(name) {
        return Ok(Place::Linked);
    }
    Ok(Place::Foreign {
        found: format!("a link to {}", shown(&text)),
        is_dangling: disk::leads_nowhere(&path)?,
    })
}

/// Refuses to install beside things nobody may replace, before anything is changed.
pub(super) fn check(layout: &Layout, targets: &[&str]) -> Result<(), Error> {
    let targets = targets
        .iter()
        .map(|name| (*name, target_place(layout, name)));
    let records = [INFO_FILE, VERSION_FILE].map(|name| (name, record_place(layout, name)));
    for (name, place) in targets.chain(records) {
        if let Place::Foreign { found, .. } = place? {
            return Err(foreign(layout, name, &found));
        }
    }
    let flag = layout.flag();
    match fs::symlink_metadata(&flag) {
        Ok(found) if !found.is_file() => Err(foreign(layout, FLAG_FILE, kind_of(&found))),
        _ => Ok(()),
    }
}

fn foreign(layout: &Layout, name: &str, found: &str) -> Error {
    let problem = format!("{found} stands where a link of the store belongs");
    Error::corrupt(&layout.public(name), problem)
        .with_hint("move it away, or let vv-eval model doctor --repair look at it")
}

/// Puts the links of a generation in place. Plain directories were exchanged before.
pub(super) fn ensure(layout: &Layout, record: &Record) -> Result<(), Error> {
    for target in &record.targets {
        ensure_link(layout, &target.name, &target_place(layout, &target.name)?)?;
    }
    for name in [INFO_FILE, VERSION_FILE] {
        ensure_link(layout, name, &record_place(layout, name)?)?;
    }
    Ok(())
}

fn ensure_link(layout: &Layout, name: &str, place: &Place) -> Result<(), Error> {
    match place {
        Place::Linked => Ok(()),
        Place::Free | Place::Plain => {
            let temporary = layout.temporary("link")?;
            durable::replace_link(&layout.public(name), &temporary, &link_text(name))?;
            Ok(())
        }
        Place::Foreign { found, .. } => Err(foreign(layout, name, found)),
    }
}

/// Removes links of this store whose target the current generation does not have.
pub(super) fn remove_vanished(layout: &Layout, record: &Record) -> Result<(), Error> {
    let models = layout.models();
    let unreadable = |source| Error::unreadable(models, source);
    let mut is_changed = false;
    for entry in fs::read_dir(models).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let is_kept = [INFO_FILE, VERSION_FILE].contains(&name.as_str())
            || record.targets.iter().any(|target| target.name == name);
        if !is_kept && fs::read_link(entry.path()).is_ok_and(|text| text == link_text(&name)) {
            fs::remove_file(entry.path()).map_err(|e| Error::unwritable(&entry.path(), e))?;
            is_changed = true;
        }
    }
    if is_changed {
        durable::sync(models)?;
    }
    Ok(())
}

/// Writes the flag unless it names this generation already. Gives whether it was written.
pub(super) fn set_flag(layout: &Layout, record: &Record) -> Result<bool, Error> {
    let wanted = flag_bytes(record.generation, record.release_digest);
    let path = layout.flag();
    if fs::read(&path).is_ok_and(|found| found == wanted) {
        return Ok(false);
    }
    let temporary = layout.temporary("flag")?;
    durable::replace_file(&path, &temporary, &wanted, 0o644)?;
    Ok(true)
}
