//! What is installed, whether it is what the manifest wants, and what was installed when.

use std::path::Path;
use std::time::Duration;

use super::journal::{self, Entry, Event, Tail};
use super::layout::{Current, Layout};
use super::ledger::{Ledger, State};
use super::lock::Lock;
use super::record::Record;
use super::verify::{self, Damage, Depth};
use super::{Error, clock, disk, gc, install, recover};
use crate::manifest::Loaded;
use crate::units::{Bytes, Sha256};

/// One generation on disk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// Its number.
    pub generation: u64,
    /// Version label; `None` when its record cannot be read.
    pub version: Option<String>,
    /// Its release.
    pub release_digest: Option<Sha256>,
    /// How far it has proved itself.
    pub state: State,
    /// When it was installed, as written.
    pub installed_at: Option<String>,
    /// What its files take.
    pub size_bytes: Bytes,
    /// Whether it is current.
    pub is_current: bool,
}

/// The state of a store.
#[derive(Debug, Clone)]
pub struct Status {
    /// What `current` says.
    pub current: Current,
    /// Record of the current generation, where it can be read.
    pub record: Option<Record>,
    /// What is wrong with it.
    pub damages: Vec<Damage>,
    /// Where a rollback would go.
    pub last_good: Option<u64>,
    /// When the current generation became so, as written.
    pub since: Option<String>,
    /// All generations on disk, ascending.
    pub generations: Vec<Line>,
    /// Releases that are not installed again by themselves.
    pub known_bad: Vec<Sha256>,
    /// What the manifest wants and whether it is installed; `None` without a manifest.
    pub wanted: Option<Wanted>,
    /// Whether the journal holds together.
    pub is_journal_sound: bool,
}

/// What a manifest wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its version label.
    pub version: String,
    /// Its release.
    pub release: Sha256,
    /// Whether that release is current.
    pub is_current: bool,
}

/// Looks at a store without locking it or writing anything.
///
/// * `manifest`: what should be installed, where that is known
/// * `depth`: how thoroughly the current generation is examined; `None` for not at all
///
/// # Errors
/// [`Error::Format`], and what keeps the store from being read.
pub fn status(
    layout: &Layout,
    manifest: Option<&Loaded>,
    depth: Option<Depth>,
) -> Result<Status, Error> {
    layout.check_format()?;
    let ledger = Ledger::read(layout)?;
    let current = layout.read_current()?;
    let numbers = layout.generation_numbers()?;
    let number = match current {
        Current::Generation(number) => Some(number),
        Current::Absent | Current::Broken { .. } => None,
    };
    let mut damages = Vec::new();
    let mut record = None;
    if let Some(number) = number {
        record = match Record::read(&layout.generation(number)) {
            Ok((record, _)) => Some(record),
            Err(error @ Error::Unreadable { .. }) => return Err(error),
            Err(_) => None,
        };
        if let Some(depth) = depth {
            let examined = install::examine(layout, &ledger, number, depth)?;
            if examined.is_unread() {
                return Err(verify::damaged(layout, number, &examined.damages));
            }
            damages = examined.damages;
        }
    }
    let generations = numbers.iter().map(|number| {
        line(
            layout,
            &ledger,
            *number,
            current == Current::Generation(*number),
        )
    });
    let wanted = manifest.map(|loaded| {
        let release = loaded.manifest.release.digest();
        Wanted {
            version: loaded.manifest.version.clone(),
            release,
            is_current: record
                .as_ref()
                .is_some_and(|record| record.release_digest == release),
        }
    });
    Ok(Status {
        record,
        damages,
        last_good: ledger.last_good(number, &numbers),
        since: number.and_then(|number| ledger.generations.get(&number)?.since.clone()),
        generations: generations.collect(),
        known_bad: ledger.known_bad.keys().copied().collect(),
        wanted,
        is_journal_sound: ledger.tail.n_broken == 0,
        current,
    })
}

fn line(layout: &Layout, ledger: &Ledger, number: u64, is_current: bool) -> Line {
    let directory = layout.generation(number);
    let record = Record::read(&directory).ok().map(|(record, _)| record);
    Line {
        generation: number,
        version: record.as_ref().map(|record| record.version.clone()),
        release_digest: record.as_ref().map(|record| record.release_digest),
        state: ledger.state(number),
        installed_at: record.map(|record| record.installed_at),
        size_bytes: gc::size(&directory),
        is_current,
    }
}

/// Age of a file by its modification time; `None` when that lies ahead or is not known.
pub fn age(path: &Path) -> Option<Duration> {
    std::fs::metadata(path)
        .ok()?
        .modified()
        .ok()?
        .elapsed()
        .ok()
}

/// Examines one generation, whole, and confirms it where asked to. To confirm a condemned one
/// pardons its release.
///
/// * `generation`: its number; `None` for the current one
///
/// Gives the number and its record.
///
/// # Errors
/// [`Error::Corrupt`] with everything that is wrong; [`Error::NoSuchGeneration`].
pub fn verify(
    layout: &Layout,
    generation: Option<u64>,
    marks_good: bool,
    wait: Duration,
) -> Result<(u64, Record), Error> {
    layout.check_format()?;
    subject(layout, generation)?;
    let lock = if marks_good {
        Some(Lock::take(layout, wait)?)
    } else {
        None
    };
    let mut recovered = match &lock {
        Some(_) => Some(recover::recover(layout)?),
        None => None,
    };
    let ledger = match &recovered {
        Some(recovered) => recovered.ledger.clone(),
        None => Ledger::read(layout)?,
    };
    let number = subject(layout, generation)?;
    let examined = install::examine(layout, &ledger, number, Depth::Full)?;
    let (Some(record), sha256) = (examined.sound(), examined.record_sha256) else {
        return Err(verify::damaged(layout, number, &examined.damages));
    };
    if let Some(recovered) = &mut recovered
        && (ledger.state(number) != State::Good
            || ledger.known_bad.contains_key(&record.release_digest))
    {
        let mut news = journal::News::of(Event::Good);
        news.generation = Some(number);
        news.release = Some(record.release_digest);
        news.record = sha256;
        recovered.journal.append(news)?;
    }
    Ok((number, record.clone()))
}

/// The generation meant, which must be on disk.
fn subject(layout: &Layout, generation: Option<u64>) -> Result<u64, Error> {
    match (generation, layout.read_current()?) {
        (Some(number), _) if disk::is_directory(&layout.generation(number))? => Ok(number),
        (Some(number), _) => Err(Error::NoSuchGeneration {
            named: number.to_string(),
        }),
        (None, Current::Generation(number)) => Ok(number),
        (None, Current::Absent) => Err(Error::Usage {
            problem: format!(
                "nothing is installed in `{}`",
                crate::durable::shown(layout.models())
            ),
            hint: "vv-eval model install installs what the manifest names".into(),
        }),
        (None, Current::Broken { found }) => {
            Err(Error::corrupt(&layout.current(), format!("it is {found}"))
                .with_hint("vv-eval model doctor --repair returns to the last good generation"))
        }
    }
}

/// A moment at which another generation became current.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reign {
    /// When it began, as written.
    pub since: String,
    /// When the next one began; `None` for the current one.
    pub until: Option<String>,
    /// Its generation.
    pub generation: u64,
    /// Version label.
    pub version: Option<String>,
    /// Its release.
    pub release_digest: Option<Sha256>,
    /// Manifest that asked for it.
    pub manifest_sha256: Option<Sha256>,
    /// `committed`, `rollback` or `migrated`.
    pub event: Event,
    /// Why, in words.
    pub reason: Option<String>,
}

/// What was current when.
#[derive(Debug, Clone)]
pub struct History {
    /// In the order of the journal.
    pub reigns: Vec<Reign>,
    /// Whether the journal holds together.
    pub tail: Tail,
}

/// Reads the journal for what was current when.
///
/// * `at`: only the reign at that moment, RFC 3339 or a date; the last one that had begun by then
///   in the order of the journal
///
/// # Errors
/// [`Error::Usage`] for a moment that is none.
pub fn history(layout: &Layout, at: Option<&str>) -> Result<History, Error> {
    let moment = match at {
        None => None,
        Some(text) => Some(clock::seconds(text).ok_or_else(|| Error::Usage {
            problem: format!("`{}` is no moment", text.escape_debug()),
            hint: "write 2025-11-23 or 2025-11-23T17:30:00Z".into(),
        })?),
    };
    layout.check_format()?;
    let mut reigns: Vec<Reign> = Vec::new();
    let tail = journal::read(layout, |_, entry| {
        let Some(generation) = entry.generation.filter(|_| entry.event.is_flip()) else {
            return;
        };
        if let Some(last) = reigns.last_mut() {
            last.until = Some(entry.at.clone());
        }
        if moment.is_some() {
            keep_at(&mut reigns, moment);
        }
        reigns.push(reign(entry, generation));
    })?;
    if moment.is_some() {
        keep_at(&mut reigns, moment);
    }
    Ok(History { reigns, tail })
}

fn reign(entry: &Entry, generation: u64) -> Reign {
    Reign {
        since: entry.at.clone(),
        until: None,
        generation,
        version: entry.version.clone(),
        release_digest: entry.release_digest,
        manifest_sha256: entry.manifest_sha256,
        event: entry.event,
        reason: entry.reason.clone(),
    }
}

/// Keeps of the reigns read so far only the last that had begun by `moment`.
fn keep_at(reigns: &mut Vec<Reign>, moment: Option<u64>) {
    let has_begun = |reign: &Reign| {
        let since = clock::seconds(&reign.since);
        since
            .zip(moment)
            .is_some_and(|(since, moment)| since <= moment)
    };
    let kept = reigns
        .iter()
        .rposition(has_begun)
        .map(|at| reigns[at].clone());
    reigns.clear();
    reigns.extend(kept);
}
