//! The history of a store: append-only JSON lines, each with the digest of the line before.
//!
//! Read as a stream, however long it is. A torn last line is dropped before the next append; where
//! the chain does not hold, reading goes on and says so, and the next append begins a new chain.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{Error, clock, disk};
use crate::durable;
use crate::units::Sha256;

/// Longest line read, in bytes; ours are far below.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Longest reason kept, in characters: whatever it is made of, its line can be read back.
const MAX_REASON_CHARS: usize = 4096;

/// `prev` of the first line of a chain.
const NOTHING: [u8; 0] = [];

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A generation is about to become current.
    Intent,
    /// It became current.
    Committed,
    /// It did not.
    Aborted,
    /// A release that was current before became current again.
    Rollback,
    /// A plain directory of an earlier installer became generation 0 and current.
    Migrated,
    /// A generation was confirmed.
    Good,
    /// A generation was condemned, and its release with it.
    Bad,
    /// A start of the service on a trial generation ended without a summary.
    Try,
    /// A generation was deleted.
    Gc,
    /// An A/B experiment changed.
    Experiment,
    /// What stands before is no unbroken chain.
    ChainBreak,
}

impl Event {
    /// Whether the generation it names became current by it.
    pub fn is_flip(self) -> bool {
        matches!(self, Self::Committed | Self::Rollback | Self::Migrated)
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the line in its journal, from 1; only grows.
    pub seq: u64,
    /// RFC 3339; for people, never for order.
    pub at: String,
    /// What happened.
    pub event: Event,
    /// To which generation.
    pub generation: Option<u64>,
    /// Its release.
    pub release_digest: Option<Sha256>,
    /// Digest of its `generation.json`.
    pub record_sha256: Option<Sha256>,
    /// Its version label.
    #[serde(default)]
    pub version: Option<String>,
    /// Digest of the manifest that asked for it.
    #[serde(default)]
    pub manifest_sha256: Option<Sha256>,
    /// Why, in words.
    pub reason: Option<String>,
    /// SHA-256 of the line before, without its line end; of nothing for the first of a chain.
    pub prev: Sha256,
}

/// What is to be appended: a line without number, time and chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) event: Event,
    pub(super) generation: Option<u64>,
    pub(super) release: Option<Sha256>,
    pub(super) record: Option<Sha256>,
    pub(super) version: Option<String>,
    pub(super) manifest: Option<Sha256>,
    pub(super) reason: Option<String>,
}

impl News {
    pub(super) fn of(event: Event) -> Self {
        Self {
            event,
            generation: None,
            release: None,
            record: None,
            version: None,
            manifest: None,
            reason: None,
        }
    }
}

/// Where a journal ends and whether it holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Number of the last line read; 0 for an empty journal.
    pub seq: u64,
    /// Lines that are not what was written, by line number; the first few.
    pub broken: Vec<u64>,
    /// How many lines are broken.
    pub n_broken: u64,
    /// Bytes up to the end of the last whole line.
    pub(super) end: u64,
    /// Whether bytes without a line end follow.
    pub is_torn: bool,
    /// Digest of the last line.
    last: Sha256,
    /// Whether the last chain holds; the next append begins a new one where it does not.
    holds: bool,
}

/// Most broken lines listed.
const MAX_LISTED: usize = 10;

/// Reads the journal from its beginning.
///
/// * `each`: gets every line that can be read, in order, with the number of the line
///
/// # Errors
/// [`Error::Unreadable`]; a missing journal is an empty one.
pub fn read(layout: &Layout, mut each: impl FnMut(u64, &Entry)) -> Result<Tail, Error> {
    let mut tail = Tail {
        seq: 0,
        broken: Vec::new(),
        n_broken: 0,
        end: 0,
        is_torn: false,
        last: Sha256::of(&NOTHING),
        holds: true,
    };
    let path = layout.journal();
    let unreadable = |source| Error::unreadable(&path, source);
    let file = match durable::open_regular(&path) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tail),
        Err(source) => return Err(unreadable(source)),
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(MAX_LINE_BYTES);
        let n = bounded.read_until(b'\n', &mut line).map_err(unreadable)? as u64;
        if n == 0 {
            return Ok(tail);
        }
        let mut length = n;
        let mut has_end = line.last() == Some(&b'\n');
        let is_too_long = !has_end && n == MAX_LINE_BYTES;
        if is_too_long {
            let skipped = skip_line(&mut reader).map_err(unreadable)?;
            length += skipped.n_bytes;
            has_end = skipped.has_end;
        }
        if !has_end {
            tail.is_torn = true;
            return Ok(tail);
        }
        line.pop();
        number += 1;
        tail.end += length;
        let entry = (!is_too_long)
            .then(|| serde_json::from_slice::<Entry>(&line).ok())
            .flatten();
        tail.take(number, &line, entry.as_ref());
        if let Some(entry) = &entry {
            each(number, entry);
        }
    }
}

struct Skipped {
    n_bytes: u64,
    has_end: bool,
}

/// Reads to the end of a line without keeping it.
fn skip_line(reader: &mut impl io::BufRead) -> io::Result<Skipped> {
    let mut n_bytes = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            let has_end = false;
            return Ok(Skipped { n_bytes, has_end });
        }
        if let Some(at) = buffer.iter().position(|b| *b == b'\n') {
            reader.consume(at + 1);
            n_bytes += at as u64 + 1;
            let has_end = true;
            return Ok(Skipped { n_bytes, has_end });
        }
        let n = buffer.len();
        reader.consume(n);
        n_bytes += n as u64;
    }
}

impl Tail {
    fn take(&mut self, number: u64, line: &[u8], entry: Option<&Entry>) {
        let starts_chain = entry.is_some_and(|entry| {
            entry.event == Event::ChainBreak && entry.prev == Sha256::of(&NOTHING)
        });
        let follows = entry.is_some_and(|entry| entry.prev == self.last && entry.seq > self.seq);
        if !starts_chain && !follows {
            self.n_broken += 1;
            if self.broken.len() < MAX_LISTED {
                self.broken.push(number);
            }
        }
        self.holds = starts_chain || follows && self.holds;
        self.last = Sha256::of(line);
        self.seq = self.seq.max(entry.map_or(self.seq + 1, |entry| entry.seq));
    }
}

/// The journal open for writing, under the store's lock.
#[derive(Debug)]
pub(super) struct Writer {
    layout: Layout,
    tail: Tail,
}

impl Writer {
    /// * `tail`: where the journal ends, read since the lock was taken
    pub(super) fn new(layout: &Layout, tail: Tail) -> Self {
        Self {
            layout: layout.clone(),
            tail,
        }
    }

    /// Appends a line and flushes it.
    pub(super) fn append(&mut self, news: News) -> Result<Entry, Error> {
        let path = self.layout.journal();
        let is_new = !disk::exists(&path)?;
        let mut file = self.open()?;
        if !self.tail.holds {
            let mut break_ = News::of(Event::ChainBreak);
            break_.reason = Some(format!("line {} does not follow", self.first_broken()));
            self.tail.last = Sha256::of(&NOTHING);
            self.write(&mut file, break_)?;
            self.tail.holds = true;
        }
        let entry = self.write(&mut file, news)?;
        if is_new {
            durable::sync(&self.layout.root())?;
        }
        Ok(entry)
    }

    /// Cuts a torn last line off: its run was cut short while it wrote. Gives whether there was one.
    pub(super) fn drop_torn(&mut self) -> Result<bool, Error> {
        let is_torn = self.tail.is_torn;
        if is_torn {
            self.open()?;
        }
        Ok(is_torn)
    }

    fn first_broken(&self) -> u64 {
        self.tail.broken.first().copied().unwrap_or(0)
    }

    /// Opens for appending and cuts a torn line off.
    fn open(&mut self) -> Result<File, Error> {
        let path = self.layout.journal();
        let failed = |source| Error::unwritable(&path, source);
        if let Ok(found) = fs::symlink_metadata(&path)
            && !found.is_file()
        {
            return Err(Error::corrupt(&path, "it is not a regular file"));
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(&path)
            .map_err(failed)?;
        if self.tail.is_torn {
            durable::truncate(&file, &path, self.tail.end)?;
            self.tail.is_torn = false;
        }
        Ok(file)
    }

    fn write(&mut self, file: &mut File, news: News) -> Result<Entry, Error> {
        let entry = Entry {
            seq: self.tail.seq + 1,
            at: clock::text(clock::now()),
            event: news.event,
            generation: news.generation,
            release_digest: news.release,
            record_sha256: news.record,
            version: news.version,
            manifest_sha256: news.manifest,
            reason: news.reason.map(bounded),
            prev: self.tail.last,
        };
        let mut line = serde_json::to_vec(&entry).expect("an entry is JSON");
        let digest = Sha256::of(&line);
        line.push(b'\n');
        if let Err(error) = durable::append(file, &self.layout.journal(), &line) {
            // Half a line would make the next one unreadable.
            let _ = file.set_len(self.tail.end);
            return Err(error.into());
        }
        self.tail.end += line.len() as u64;
        self.tail.seq = entry.seq;
        self.tail.last = digest;
        Ok(entry)
    }
}

fn bounded(reason: String) -> String {
    match reason.char_indices().nth(MAX_REASON_CHARS) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.root()).unwrap();
        (dir, layout)
    }

    fn append(layout: &Layout, generation: u64) -> Entry {
        let tail = read(layout, |_, _| {}).unwrap();
        let mut news = News::of(Event::Committed);
        news.generation = Some(generation);
        Writer::new(layout, tail).append(news).unwrap()
    }

    fn generations(layout: &Layout) -> (Vec<Option<u64>>, Tail) {
        let mut found = Vec::new();
        let tail = read(layout, |_, entry| found.push(entry.generation)).unwrap();
        (found, tail)
    }

    #[test]
    fn lines_form_a_chain_that_can_be_checked_by_hand() {
        let (_dir, layout) = store();
        append(&layout, 1);
        let second = append(&layout, 2);
        let text = fs::read_to_string(layout.journal()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(second.prev, Sha256::of(lines[0].as_bytes()));
        assert_eq!((second.seq, lines.len()), (2, 2));
        let (found, tail) = generations(&layout);
        assert_eq!(found, [Some(1), Some(2)]);
        assert_eq!((tail.n_broken, tail.seq), (0, 2));
    }

    #[test]
    fn a_torn_last_line_is_dropped_before_the_next_append() {
        let (_dir, layout) = store();
        append(&layout, 1);
        let whole = fs::read(layout.journal()).unwrap();
        fs::write(
            layout.journal(),
            [&whole[..], b"{\"seq\":2,\"at\""].concat(),
        )
        .unwrap();
        let (found, tail) = generations(&layout);
        assert_eq!((found.len(), tail.is_torn, tail.n_broken), (1, true, 0));
        append(&layout, 2);
        let (found, tail) = generations(&layout);
        assert_eq!(found, [Some(1), Some(2)]);
        assert!(!tail.is_torn && tail.n_broken == 0, "{tail:?}");
    }

    #[test]
    fn an_edited_line_is_reported_for_ever_and_a_new_chain_begins() {
        let (_dir, layout) = store();
        for number in 1..=3 {
            append(&layout, number);
        }
        let text = fs::read_to_string(layout.journal()).unwrap();
        fs::write(
            layout.journal(),
            text.replacen("\"generation\":2", "\"generation\":9", 1),
        )
        .unwrap();
        let (found, tail) = generations(&layout);
        assert_eq!(found, [Some(1), Some(9), Some(3)]);
        // The edited line still follows; the one after it does not.
        assert_eq!(tail.broken, [3]);
        append(&layout, 4);
        append(&layout, 5);
        let (found, tail) = generations(&layout);
        assert_eq!(found, [Some(1), Some(9), Some(3), None, Some(4), Some(5)]);
        assert_eq!((tail.broken.as_slice(), tail.holds), (&[3][..], true));
    }

    #[test]
    fn a_reason_of_any_length_can_be_read_back() {
        let (_dir, layout) = store();
        // A control character takes most bytes once it is written.
        for text in ["long", "\u{1}", "ü"] {
            let tail = read(&layout, |_, _| {}).unwrap();
            let mut news = News::of(Event::Bad);
            news.reason = Some(text.repeat(100_000));
            let entry = Writer::new(&layout, tail).append(news).unwrap();
            assert!(entry.reason.unwrap().ends_with('…'));
        }
        let (found, tail) = generations(&layout);
        assert_eq!((found.len(), tail.n_broken), (3, 0));
    }

    #[test]
    fn a_line_without_end_is_read_within_bounds() {
        let (_dir, layout) = store();
        append(&layout, 1);
        let long = vec![b'x'; 3 << 20];
        let whole = fs::read(layout.journal()).unwrap();
        fs::write(layout.journal(), [&whole[..], &long, b"\n"].concat()).unwrap();
        let (found, tail) = generations(&layout);
        assert_eq!((found, tail.broken.as_slice()), (vec![Some(1)], &[2][..]));
        append(&layout, 2);
        assert_eq!(generations(&layout).0, [Some(1), None, Some(2)]);
    }
}
