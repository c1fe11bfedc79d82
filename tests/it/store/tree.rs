//! A directory as it stands, to be held against itself later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// By path: kind and permission bits, and the bytes of a file or the text of a link.
pub(super) type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// A directory and everything below it, itself under the empty path; empty where it is missing.
///
/// Times are left out: a file that is made and removed again moves those of its directory.
pub(super) fn tree(directory: &Path) -> Tree {
    let mut found = Tree::new();
    let mut pending = Vec::new();
    if directory.exists() {
        pending.push(directory.to_owned());
    }
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let bytes = if metadata.is_symlink() {
            let text = fs::read_link(&path).unwrap();
            text.into_os_string().into_vec()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let name = path.strip_prefix(directory).unwrap().to_owned();
        found.insert(name, (metadata.mode(), bytes));
    }
    found
}

/// Paths of what came, went or changed between two looks.
pub(super) fn changes(before: &Tree, after: &Tree) -> BTreeSet<PathBuf> {
    let paths = before.keys().chain(after.keys());
    let changed = paths.filter(|path| before.get(*path) != after.get(*path));
    changed.cloned().collect()
}
