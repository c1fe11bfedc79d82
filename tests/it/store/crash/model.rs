//! A file system that keeps through a power cut only what it was told to keep.
//!
//! Stricter than any real one: a flush of a file keeps its bytes, its length and its mode, a flush
//! of a directory the names in it, and nothing else is kept by either. Of everything that was not
//! flushed any part may be on the disk, in any order; bytes may be there by half or as zeros. Only
//! one thing is given, as every journaling file system gives it: a rename is on the disk whole or
//! not at all.
//!
//! After Pillai et al. (2014), "All File Systems Are Not Created Equal", OSDI, section 3.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use vv_eval::units::Sha256;

/// A file, directory or symbolic link, whatever its names.
pub(super) type Id = usize;

/// The directory everything stands in.
pub(super) const ROOT: Id = 0;

/// What a node is for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// With its text.
    Link(Vec<u8>),
}

/// One change of one thing.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A name of a directory means another node, or none.
    Name {
        directory: Id,
        name: Vec<u8>,
        node: Option<Id>,
    },
    Bytes {
        file: Id,
        at: usize,
        bytes: Vec<u8>,
    },
    Length {
        file: Id,
        length: usize,
    },
    Mode {
        node: Id,
        mode: u32,
    },
}

impl Change {
    /// What has to be flushed to keep it.
    fn keeper(&self) -> Id {
        match self {
            Self::Name { directory, .. } => *directory,
            Self::Bytes { file, .. } | Self::Length { file, .. } => *file,
            Self::Mode { node, .. } => *node,
        }
    }
}

/// What a run did, in order.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Changes that happen together.
    Changed(Vec<Change>),
    Flushed(Id),
}

/// What of an event is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    Whole,
    /// Of bytes the length alone.
    Zeros,
    /// Of bytes the first half.
    Half,
}

/// What is on a disk.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    names: BTreeMap<(Id, Vec<u8>), Id>,
    bytes: HashMap<Id, Vec<u8>>,
    modes: HashMap<Id, u32>,
}

impl State {
    /// The node of a name.
    pub(super) fn find(&self, directory: Id, name: &[u8]) -> Option<Id> {
        self.names.get(&(directory, name.to_vec())).copied()
    }

    pub(super) fn length(&self, file: Id) -> usize {
        self.bytes.get(&file).map_or(0, Vec::len)
    }

    pub(super) fn apply(&mut self, change: &Change, kept: Kept) {
        match change {
            _ if kept == Kept::Nothing => {}
            Change::Name {
                directory,
                name,
                node,
            } => {
                let key = (*directory, name.clone());
                match node {
                    Some(node) => self.names.insert(key, *node),
                    None => self.names.remove(&key),
                };
            }
            Change::Bytes { file, at, bytes } => {
                let n = bytes.len() / if kept == Kept::Half { 2 } else { 1 };
                let held = self.bytes.entry(*file).or_default();
                held.resize(held.len().max(at + n), 0);
                let place = &mut held[*at..at + n];
                if kept == Kept::Zeros {
                    place.fill(0);
                } else {
                    place.copy_from_slice(&bytes[..n]);
                }
            }
            Change::Length { file, length } => {
                self.bytes.entry(*file).or_default().resize(*length, 0);
            }
            Change::Mode { node, mode } => {
                self.modes.insert(*node, *mode);
            }
        }
    }

    /// What stands in a directory, by name.
    fn entries(&self, directory: Id) -> impl Iterator<Item = (&[u8], Id)> {
        let names = self.names.range((directory, Vec::new())..);
        names
            .take_while(move |((holder, _), _)| *holder == directory)
            .map(|((_, name), node)| (name.as_slice(), *node))
    }
}

/// A tree as it was, durable to the last bit, and what happened to it since.
#[derive(Debug, Clone)]
pub(super) struct History {
    kinds: Vec<Kind>,
    before: State,
    pub(super) events: Vec<Event>,
}

impl History {
    /// Reads a tree.
    pub(super) fn load(root: &Path) -> Self {
        let mut history = Self {
            kinds: Vec::new(),
            before: State::default(),
            events: Vec::new(),
        };
        let mut inodes = HashMap::new();
        history.load_node(root, &mut inodes);
        history
    }

    fn load_node(&mut self, path: &Path, inodes: &mut HashMap<u64, Id>) -> Id {
        let found = fs::symlink_metadata(path).unwrap();
        if let Some(node) = inodes.get(&found.ino()) {
            return *node;
        }
        let kind = match () {
            () if found.is_dir() => Kind::Directory,
            () if found.is_file() => Kind::File,
            () => Kind::Link(fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()),
        };
        let node = self.add(kind, found.mode() & 0o7777);
        inodes.insert(found.ino(), node);
        if found.is_file() {
            self.before.bytes.insert(node, fs::read(path).unwrap());
        }
        if found.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let inner = self.load_node(&entry.path(), inodes);
                let name = entry.file_name().as_bytes().to_vec();
                self.before.names.insert((node, name), inner);
            }
        }
        node
    }

    /// A new node, which no name means yet.
    pub(super) fn add(&mut self, kind: Kind, mode: u32) -> Id {
        let node = self.kinds.len();
        self.kinds.push(kind);
        self.before.modes.insert(node, mode);
        node
    }

    pub(super) fn kind(&self, node: Id) -> &Kind {
        &self.kinds[node]
    }

    /// The tree as it was.
    pub(super) fn before(&self) -> &State {
        &self.before
    }

    /// Which of the first `n` events may be missing on the disk.
    ///
    /// * `is_forgotten`: flushes, by the node, that did not happen
    pub(super) fn pending(&self, n: usize, is_forgotten: &dyn Fn(Id) -> bool) -> Vec<usize> {
        let mut pending: Vec<usize> = Vec::new();
        for (i, event) in self.events[..n].iter().enumerate() {
            match event {
                Event::Changed(_) => pending.push(i),
                Event::Flushed(node) if !is_forgotten(*node) => {
                    pending.retain(|earlier| match &self.events[*earlier] {
                        Event::Changed(changes) => {
                            changes.iter().all(|change| change.keeper() != *node)
                        }
                        Event::Flushed(_) => false,
                    });
                }
                Event::Flushed(_) => {}
            }
        }
        pending
    }

    /// Whether an event is about bytes of a file.
    pub(super) fn is_data(&self, event: usize) -> bool {
        match &self.events[event] {
            Event::Changed(changes) => changes.iter().any(|it| matches!(it, Change::Bytes { .. })),
            Event::Flushed(_) => false,
        }
    }

    /// The disk after the first `n` events.
    ///
    /// * `kept`: what of an event is there, for those that may be missing
    pub(super) fn state(&self, n: usize, kept: &HashMap<usize, Kept>) -> State {
        let mut state = self.before.clone();
        for (i, event) in self.events[..n].iter().enumerate() {
            let kept = kept.get(&i).copied().unwrap_or(Kept::Whole);
            if let Event::Changed(changes) = event {
                for change in changes {
                    state.apply(change, kept);
                }
            }
        }
        state
    }

    /// What a state looks like, one line a name. Two that look alike have one text.
    pub(super) fn text(&self, state: &State) -> String {
        let mut text = String::new();
        self.describe(state, ROOT, "", &mut Vec::new(), &mut text);
        text
    }

    fn describe(&self, state: &State, node: Id, path: &str, seen: &mut Vec<Id>, text: &mut String) {
        if let Some(at) = seen.iter().position(|it| *it == node) {
            text.push_str(&format!("{path} is {at}\n"));
            return;
        }
        seen.push(node);
        let mode = state.modes.get(&node).copied().unwrap_or_default();
        match &self.kinds[node] {
            Kind::Link(leads_to) => {
                text.push_str(&format!("{path} -> {}\n", leads_to.escape_ascii()));
            }
            Kind::File => {
                let bytes = state.bytes.get(&node).map_or(&[][..], Vec::as_slice);
                let sha256 = Sha256::of(bytes);
                text.push_str(&format!("{path} {mode:o} {} B {sha256}\n", bytes.len()));
            }
            Kind::Directory => text.push_str(&format!("{path}/ {mode:o}\n")),
        }
        for (name, inner) in state.entries(node) {
            let path = format!("{path}/{}", name.escape_ascii());
            self.describe(state, inner, &path, seen, text);
        }
    }

    /// Writes a state into an empty directory.
    pub(super) fn write(&self, state: &State, to: &Path) {
        self.write_inner(state, ROOT, to, &mut HashMap::new());
    }

    fn write_inner<'a>(
        &'a self,
        state: &'a State,
        directory: Id,
        to: &Path,
        written: &mut HashMap<Id, std::path::PathBuf>,
    ) {
        for (name, node) in state.entries(directory) {
            let path = to.join(std::ffi::OsStr::from_bytes(name));
            let mode = state.modes.get(&node).copied();
            match &self.kinds[node] {
                Kind::Link(text) => symlink(std::ffi::OsStr::from_bytes(text), &path).unwrap(),
                Kind::Directory => {
                    fs::create_dir(&path).unwrap();
                    self.write_inner(state, node, &path, written);
                    fs::set_permissions(&path, Permissions::from_mode(mode.unwrap())).unwrap();
                }
                Kind::File => {
                    if let Some(first) = written.get(&node) {
                        fs::hard_link(first, &path).unwrap();
                        continue;
                    }
                    let nothing = Vec::new();
                    fs::write(&path, state.bytes.get(&node).unwrap_or(&nothing)).unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(mode.unwrap())).unwrap();
                    written.insert(node, path);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with one file, in which `x` is written and renamed over `a`.
    fn history() -> History {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "old").unwrap();
        let mut history = History::load(dir.path());
        let file = history.add(Kind::File, 0o600);
        let name = |name: &[u8], node| Change::Name {
            directory: ROOT,
            name: name.to_vec(),
            node,
        };
        let bytes = Change::Bytes {
            file,
            at: 0,
            bytes: b"new!".to_vec(),
        };
        history.events = vec![
            Event::Changed(vec![name(b"x", Some(file))]),
            Event::Changed(vec![bytes]),
            Event::Changed(vec![name(b"x", None), name(b"a", Some(file))]),
        ];
        history
    }

    fn read(history: &History, kept: &[(usize, Kept)]) -> Vec<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let state = history.state(history.events.len(), &kept.iter().copied().collect());
        history.write(&state, dir.path());
        let mut found: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn what_is_not_flushed_may_be_missing_in_part() {
        let history = history();
        let is = |text: &str| vec![("a".to_owned(), text.to_owned())];
        assert_eq!(read(&history, &[]), is("new!"));
        assert_eq!(read(&history, &[(1, Kept::Nothing)]), is(""));
        assert_eq!(read(&history, &[(1, Kept::Half)]), is("ne"));
        assert_eq!(read(&history, &[(1, Kept::Zeros)]), is("\0\0\0\0"));
        let both = [("a", "old"), ("x", "new!")].map(|(n, t)| (n.to_owned(), t.to_owned()));
        assert_eq!(read(&history, &[(2, Kept::Nothing)]), both);
    }

    #[test]
    fn a_flush_keeps_what_it_is_for_and_nothing_else() {
        let mut history = history();
        let pending = |history: &History, node| {
            let n = history.events.len();
            history.pending(n, &move |it| Some(it) == node)
        };
        assert_eq!(pending(&history, None), [0, 1, 2]);
        let file = history.before().find(ROOT, b"a").unwrap() + 1;
        history.events.push(Event::Flushed(file));
        assert_eq!(pending(&history, None), [0, 2]);
        history.events.push(Event::Flushed(ROOT));
        assert!(pending(&history, None).is_empty());
        assert_eq!(pending(&history, Some(ROOT)), [0, 2]);
    }
}
