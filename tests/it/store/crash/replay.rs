//! Turns the calls of a recorded run into what they changed on the disk.
//!
//! A call that touches the host and is neither known to change nothing nor understood ends the
//! test: nothing is left out by accident.

use std::collections::HashMap;
use std::path::Path;

use super::super::Host;
use super::model::{Change, Event, History, Id, Kind, ROOT, State};
use super::trace::Call;

/// Calls that change nothing on a disk.
const READING: [&str; 25] = [
    "access",
    "chdir",
    "execve",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fgetxattr",
    "flock",
    "fstat",
    "fstatfs",
    "getcwd",
    "getdents64",
    "getxattr",
    "ioctl",
    "lseek",
    "lstat",
    "newfstatat",
    "pread64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "stat",
    "statfs",
    "statx",
];

/// An open file.
#[derive(Debug, Clone, Copy)]
struct Open {
    node: Id,
    /// Where the next write goes; `None` for the end.
    at: Option<usize>,
}

/// The tree as the program sees it while it runs.
struct Replay<'a> {
    root: &'a [u8],
    history: History,
    now: State,
    open: HashMap<i32, Open>,
}

/// What a run changed.
///
/// * `history`: the host's tree before it
pub(super) fn replay(host: &Host, history: History, calls: &[Call]) -> (History, Option<usize>) {
    let now = history.before().clone();
    let mut replay = Replay {
        root: host.root().as_os_str().as_encoded_bytes(),
        history,
        now,
        open: HashMap::new(),
    };
    let mut commit = None;
    for call in calls {
        let is_failed = call.result.starts_with('-') || call.result.starts_with('?');
        if is_failed || !(call.touches(host.root()) || call.name == "close") {
            continue;
        }
        replay.take(call);
        if call.is_commit() {
            commit = Some(replay.history.events.len() - 1);
        }
    }
    (replay.history, commit)
}

impl Replay<'_> {
    fn take(&mut self, call: &Call) {
        let arguments: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
        match (call.name.as_str(), arguments.as_slice()) {
            ("open", [_, flags, rest @ ..]) | ("openat", [_, _, flags, rest @ ..]) => {
                self.open(flags, rest.first().copied(), &call.result);
            }
            ("close", [fd]) => {
                self.open.remove(&number(fd));
            }
            ("fcntl", [fd, command, ..]) if command.starts_with("F_DUPFD") => {
                if let Some(open) = self.open.get(&number(fd)).copied() {
                    self.open.insert(number(&call.result), open);
                }
            }
            ("write", [fd, bytes, _]) => self.write(number(fd), bytes, &call.result),
            ("pwrite64", [fd, bytes, _, at]) => {
                if let Some(open) = self.open.get(&number(fd)) {
                    let file = open.node;
                    let mut bytes = unquoted(bytes);
                    bytes.truncate(call.result.parse().unwrap());
                    let at = at.parse().unwrap();
                    self.change(vec![Change::Bytes { file, at, bytes }]);
                }
            }
            ("ftruncate", [fd, length]) => {
                if let Some(open) = self.open.get(&number(fd)) {
                    let length = length.parse().unwrap();
                    let file = open.node;
                    self.change(vec![Change::Length { file, length }]);
                }
            }
            ("fsync" | "fdatasync", [fd]) => {
                if let Some(open) = self.open.get(&number(fd)) {
                    self.history.events.push(Event::Flushed(open.node));
                }
            }
            ("mkdir", [path, mode]) => self.create(&place("", path), Kind::Directory, mode),
            ("mkdirat", [at, path, mode]) => {
                self.create(&place(at, path), Kind::Directory, mode);
            }
            ("symlink", [text, path]) => {
                self.create(&place("", path), Kind::Link(unquoted(text)), "0777");
            }
            ("link", [from, to]) => self.link(&place("", from), &place("", to)),
            ("linkat", [from_at, from, to_at, to, _]) => {
                self.link(&place(from_at, from), &place(to_at, to));
            }
            ("unlink" | "rmdir", [path]) => self.remove(&place("", path)),
            ("unlinkat", [at, path, _]) => self.remove(&place(at, path)),
            ("rename", [from, to]) => self.rename(&place("", from), &place("", to), false),
            ("renameat2", [from_at, from, to_at, to, flags]) => {
                let is_exchange = flags.contains("RENAME_EXCHANGE");
                self.rename(&place(from_at, from), &place(to_at, to), is_exchange);
            }
            ("chmod", [path, mode]) => {
                let node = self.node(&place("", path)).unwrap();
                self.set_mode(node, mode);
            }
            ("fchmod", [fd, mode]) => {
                if let Some(open) = self.open.get(&number(fd)) {
                    self.set_mode(open.node, mode);
                }
            }
            ("mmap", arguments) => {
                let is_shared = arguments.contains(&"MAP_SHARED");
                assert!(!is_shared, "{call:?} may change a file");
            }
            ("fcntl", _) => {}
            (name, _) => assert!(
                READING.contains(&name),
                "nobody knows what {call:?} changes"
            ),
        }
    }

    fn change(&mut self, changes: Vec<Change>) {
        for change in &changes {
            self.now.apply(change, super::model::Kept::Whole);
        }
        self.history.events.push(Event::Changed(changes));
    }

    /// The components of a path below the root; `None` for one outside.
    fn below<'p>(&self, path: &'p [u8]) -> Option<Vec<&'p [u8]>> {
        let inner = path.strip_prefix(self.root)?;
        let parts = inner.split(|byte| *byte == b'/');
        Some(parts.filter(|it| !it.is_empty() && *it != b".").collect())
    }

    fn node(&self, path: &[u8]) -> Option<Id> {
        let find = |node, name: &&[u8]| self.now.find(node, name);
        self.below(path)?.iter().try_fold(ROOT, find)
    }

    /// The directory a path stands in, and its last component.
    fn holder(&self, path: &[u8]) -> (Id, Vec<u8>) {
        let parts = self.below(path).expect("a path below the root");
        let (name, above) = parts.split_last().expect("not the root itself");
        let find = |node, name: &&[u8]| self.now.find(node, name);
        let directory = above.iter().try_fold(ROOT, find);
        (directory.expect("a directory"), name.to_vec())
    }

    fn open(&mut self, flags: &str, mode: Option<&str>, result: &str) {
        // The kernel says which file it is, links followed.
        let path = descriptor_path(result);
        if self.below(&path).is_none() {
            return;
        }
        let node = self.node(&path).unwrap_or_else(|| {
            assert!(flags.contains("O_CREAT"), "{result} was never made");
            self.create(&path, Kind::File, mode.unwrap());
            self.node(&path).unwrap()
        });
        if flags.contains("O_TRUNC") && self.now.length(node) > 0 {
            self.change(vec![Change::Length {
                file: node,
                length: 0,
            }]);
        }
        let at = (!flags.contains("O_APPEND")).then_some(0);
        self.open.insert(number(result), Open { node, at });
    }

    fn write(&mut self, fd: i32, bytes: &str, result: &str) {
        let Some(open) = self.open.get_mut(&fd) else {
            return;
        };
        let file = open.node;
        let at = open.at.unwrap_or_else(|| self.now.length(file));
        let mut bytes = unquoted(bytes);
        bytes.truncate(result.parse().unwrap());
        open.at = open.at.map(|at| at + bytes.len());
        self.change(vec![Change::Bytes { file, at, bytes }]);
    }

    fn create(&mut self, path: &[u8], kind: Kind, mode: &str) {
        /// Of the tests.
        const UMASK: u32 = 0o022;
        let node = self.history.add(kind, octal(mode) & !UMASK);
        self.set_name(path, Some(node));
    }

    fn set_name(&mut self, path: &[u8], node: Option<Id>) {
        let (directory, name) = self.holder(path);
        self.change(vec![Change::Name {
            directory,
            name,
            node,
        }]);
    }

    fn remove(&mut self, path: &[u8]) {
        self.set_name(path, None);
    }

    fn link(&mut self, from: &[u8], to: &[u8]) {
        let node = self.node(from);
        assert!(node.is_some(), "a link to nothing");
        self.set_name(to, node);
    }

    fn rename(&mut self, from: &[u8], to: &[u8], is_exchange: bool) {
        let node = self.node(from);
        let other = is_exchange.then(|| self.node(to)).flatten();
        let change = |(directory, name), node| Change::Name {
            directory,
            name,
            node,
        };
        self.change(vec![
            change(self.holder(from), other),
            change(self.holder(to), node),
        ]);
    }

    fn set_mode(&mut self, node: Id, mode: &str) {
        let mode = octal(mode);
        self.change(vec![Change::Mode { node, mode }]);
    }
}

/// The descriptor of `3<path>`.
fn number(text: &str) -> i32 {
    let end = text.find('<').unwrap_or(text.len());
    text[..end].trim().parse().unwrap_or(-1)
}

/// The path of `3<path>`.
fn descriptor_path(text: &str) -> Vec<u8> {
    let inner = text.split_once('<').and_then(|(_, it)| it.rsplit_once('>'));
    inner.map_or(Vec::new(), |(path, _)| bytes(path))
}

/// The path of a call: relative ones start at the directory of the descriptor `at`.
fn place(at: &str, path: &str) -> Vec<u8> {
    let path = unquoted(path);
    if path.starts_with(b"/") {
        return path;
    }
    let mut whole = descriptor_path(at);
    assert!(!whole.is_empty(), "a relative path below no directory");
    whole.push(b'/');
    whole.extend(path);
    whole
}

/// The bytes of a text in quotes.
fn unquoted(text: &str) -> Vec<u8> {
    let inner = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    bytes(inner.unwrap_or_else(|| panic!("a text was cut off: {text}")))
}

/// The bytes of hexadecimal escapes.
fn bytes(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).unwrap()
}

/// Whether a path of the tests is one: the program says it the way it was told.
pub(super) fn is_canonical(host: &Host) -> bool {
    let root: &Path = host.root();
    root.canonicalize().is_ok_and(|it| it == root)
}
