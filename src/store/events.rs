//! The events log of the service, read as far as the health of one generation needs it.
//!
//! JSON lines, one a load and one a summary, written by whoever runs the model. Read as a stream;
//! what is torn, foreign or unknown is skipped and counted.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::{Error, clock};
use crate::durable;
use crate::units::Sha256;

/// Longest line read, in bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Scenes remembered to count each once; beyond them a scene seen twice counts twice.
const MAX_SCENES: usize = 100_000;

/// What of an event matters here; other members are allowed.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    ts: Option<String>,
    #[serde(rename = "event")]
    kind: Kind,
    #[serde(default)]
    boot_id: Option<String>,
    #[serde(default)]
    scene: Option<String>,
    #[serde(default)]
    generation: Option<u64>,
    #[serde(default)]
    release_digest: Option<String>,
    #[serde(default)]
    error_type: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Load,
    Summary,
    #[serde(other)]
    Other,
}

/// Whose events count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub(super) generation: u64,
    pub(super) release: Sha256,
    /// Events before this moment are about an earlier time; in seconds since 1970.
    pub(super) since: Option<u64>,
}

/// What the log says of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Tally {
    /// Summaries that went well, each scene once.
    pub n_good: u64,
    /// Summaries that failed.
    pub n_failed: u64,
    /// Loads that failed.
    pub n_load_errors: u64,
    /// Starts that ended without a summary, by the time and boot their load names.
    pub dead_starts: BTreeSet<String>,
    /// Lines that could not be read.
    pub n_skipped: u64,
    /// Events of other generations, or from before.
    pub n_foreign: u64,
}

/// The generation and release that the last successful load of the log names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastLoad {
    /// Its generation.
    pub generation: Option<u64>,
    /// Its release.
    pub release: Option<Sha256>,
    /// When, as written.
    pub at: Option<String>,
}

/// Counts what a log says of one generation.
pub(super) fn tally(path: &Path, subject: &Subject) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut scenes = BTreeSet::new();
    // The start that has not had a summary yet.
    let mut open_start: Option<String> = None;
    let n_skipped = read(path, |event| {
        if !concerns(&event, subject) {
            tally.n_foreign += 1;
            return;
        }
        match (event.kind, &event.error_type) {
            (Kind::Load, Some(_)) => {
                tally.n_load_errors += 1;
                tally.dead_starts.extend(open_start.take());
            }
            (Kind::Load, None) => {
                tally.dead_starts.extend(open_start.take());
                open_start = Some(start_id(&event));
            }
            (Kind::Summary, Some(_)) => tally.n_failed += 1,
            (Kind::Summary, None) => {
                open_start = None;
                let is_repeated = event.scene.is_some_and(|scene| {
                    let is_new = scenes.len() >= MAX_SCENES || scenes.insert(scene);
                    !is_new
                });
                tally.n_good += u64::from(!is_repeated);
            }
            (Kind::Other, _) => {}
        }
    })?;
    tally.n_skipped = n_skipped;
    Ok(tally)
}

/// Finds the last load that went well.
///
/// # Errors
/// [`Error::Unreadable`].
pub fn last_load(path: &Path) -> Result<Option<LastLoad>, Error> {
    let mut last = None;
    read(path, |event| {
        if event.kind == Kind::Load && event.error_type.is_none() {
            last = Some(LastLoad {
                generation: event.generation,
                release: event.release_digest.as_deref().and_then(digest),
                at: event.ts,
            });
        }
    })?;
    Ok(last)
}

fn start_id(event: &Event) -> String {
    let part = |text: &Option<String>| text.as_deref().unwrap_or("?").chars().take(64).collect();
    let parts: [String; 2] = [part(&event.ts), part(&event.boot_id)];
    parts.join(" ")
}

fn digest(text: &str) -> Option<Sha256> {
    text.strip_prefix("sha256:").unwrap_or(text).parse().ok()
}

fn concerns(event: &Event, subject: &Subject) -> bool {
    let is_release = match event.release_digest.as_deref() {
        Some(text) => digest(text) == Some(subject.release),
        None => true,
    };
    let is_before = match (event.ts.as_deref().and_then(clock::seconds), subject.since) {
        (Some(at), Some(since)) => at < since,
        _ => false,
    };
    event.generation == Some(subject.generation) && is_release && !is_before
}

/// Hands every readable event on; gives how many lines were not.
fn read(path: &Path, mut each: impl FnMut(Event)) -> Result<u64, Error> {
    let unreadable = |source| Error::unreadable(path, source);
    let (file, _) = durable::open_regular(path).map_err(unreadable)?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut n_skipped = 0;
    loop {
        line.clear();
        let n = reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(unreadable)?;
        if n == 0 {
            return Ok(n_skipped);
        }
        if line.last() != Some(&b'\n') && n as u64 == MAX_LINE_BYTES {
            skip(&mut reader).map_err(unreadable)?;
            n_skipped += 1;
            continue;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(event) => each(event),
            Err(_) => n_skipped += 1,
        }
    }
}

fn skip(reader: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let found = buffer.iter().position(|b| *b == b'\n');
        let n = found.map_or(buffer.len(), |at| at + 1);
        reader.consume(n);
        if found.is_some() || n == 0 {
            return Ok(());
        }
    }
}
