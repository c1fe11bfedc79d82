//! Deletes generations nobody needs: never the current one, the last good one, or an arm of a
//! running experiment. What a lost or damaged journal does not account for may be the last good one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use super::journal::{Event, News, Writer};
use super::layout::{Current, Layout, OWN_MODE};
use super::ledger::{Ledger, State};
use super::lock::Lock;
use super::record::Record;
use super::step::{Step, reached};
use super::{Error, clock, disk, recover, source};
use crate::durable;
use crate::units::Bytes;

/// What to keep besides what is always kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// The newest so many generations.
    pub newest: usize,
    /// Those that ceased to be current less than this ago.
    pub grace: Duration,
}

/// A generation that was, or would be, deleted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// Its number.
    pub generation: u64,
    /// What its files take.
    pub size_bytes: Bytes,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freed {
    /// Generations.
    pub collected: Vec<Collected>,
    /// What downloads took that were kept for longer than the grace.
    pub downloads: Bytes,
}

/// Which generations may go.
pub(super) fn candidates(layout: &Layout, ledger: &Ledger, keep: Keep) -> Result<Vec<u64>, Error> {
    let on_disk = layout.generation_numbers()?;
    let current = match layout.read_current()? {
        Current::Generation(current) => current,
        // Without a current generation any of them may be the one to return to.
        Current::Absent | Current::Broken { .. } => return Ok(Vec::new()),
    };
    let Some(arms) = experiment_arms(layout)? else {
        return Ok(Vec::new());
    };
    let now = clock::now();
    let ever_current = |number: &u64| {
        ledger
            .generations
            .get(number)
            .is_some_and(|account| account.flip_seq > 0)
    };
    let used: Vec<u64> = on_disk.iter().copied().filter(ever_current).collect();
    let mut kept: BTreeSet<u64> = used.iter().rev().take(keep.newest).copied().collect();
    kept.insert(current);
    kept.extend(ledger.last_good(Some(current), &on_disk));
    // Where to go when the release itself proves bad.
    if let Some(release) = ledger.release_of(current) {
        let others = ledger.of_other_releases(&on_disk, release);
        kept.extend(ledger.last_good(Some(current), &others));
    }
    kept.extend(arms);
    let is_in_grace = |number: &u64| {
        let account = ledger.generations.get(number);
        // Of a bad generation nobody reads any more.
        account
            .filter(|account| account.state != State::Bad)
            .and_then(|account| account.left)
            .is_some_and(|left| now < left.saturating_add(keep.grace.as_secs()))
    };
    let is_accounted_for =
        ledger.tail.n_broken == 0 && ledger.last_good(Some(current), &on_disk).is_some();
    let may_be_good = |number: &u64| {
        !is_accounted_for
            && !ever_current(number)
            && Record::read(&layout.generation(*number)).is_ok()
    };
    let may_go =
        |number: &u64| !kept.contains(number) && !is_in_grace(number) && !may_be_good(number);
    Ok(on_disk.into_iter().filter(may_go).collect())
}

/// Generations an experiment runs on; `None` when its file cannot be understood.
fn experiment_arms(layout: &Layout) -> Result<Option<BTreeSet<u64>>, Error> {
    let path = layout.experiment();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(BTreeSet::new())),
        Err(source) => return Err(Error::unreadable(&path, source)),
    };
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return Ok(None);
    };
    let mut arms = BTreeSet::new();
    collect_generations(&value, &mut arms);
    Ok(Some(arms))
}

fn collect_generations(value: &serde_json::Value, arms: &mut BTreeSet<u64>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                if key == "generation" {
                    arms.extend(value.as_u64());
                }
                collect_generations(value, arms);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                collect_generations(item, arms);
            }
        }
        _ => {}
    }
}

/// Deletes what may go, or says what would: generations, and downloads older than
/// [`Keep::grace`].
///
/// * `wait`: how long a busy store is waited for
///
/// # Errors
/// What keeps the store from being read or changed; a deletion that was cut short goes on in the
/// next run.
pub fn run(layout: &Layout, keep: Keep, wait: Duration, is_dry_run: bool) -> Result<Freed, Error> {
    if is_dry_run || !disk::exists(&layout.root())? {
        layout.check_format()?;
        let ledger = Ledger::read(layout)?;
        let numbers = candidates(layout, &ledger, keep)?.into_iter();
        let planned = numbers.map(|generation| Collected {
            generation,
            size_bytes: size(&layout.generation(generation)),
        });
        return Ok(Freed {
            collected: planned.collect(),
            downloads: source::drop_older(layout, keep.grace, true)?,
        });
    }
    let _lock = Lock::take(layout, wait)?;
    layout.check_format()?;
    let mut recovered = recover::recover(layout)?;
    Ok(Freed {
        downloads: source::drop_older(layout, keep.grace, false)?,
        collected: collect(layout, &recovered.ledger, &mut recovered.journal, keep)?,
    })
}

/// Deletes what may go; the lock is held.
pub(super) fn collect(
    layout: &Layout,
    ledger: &Ledger,
    journal: &mut Writer,
    keep: Keep,
) -> Result<Vec<Collected>, Error> {
    let mut collected = Vec::new();
    for number in candidates(layout, ledger, keep)? {
        let path = layout.generation(number);
        let size_bytes = size(&path);
        remove(layout, number)?;
        let mut news = News::of(Event::Gc);
        news.generation = Some(number);
        journal.append(news)?;
        collected.push(Collected {
            generation: number,
            size_bytes,
        });
    }
    Ok(collected)
}

/// Deletes a generation: first its name, so that no half of one ever stands under its number.
fn remove(layout: &Layout, number: u64) -> Result<(), Error> {
    let path = layout.generation(number);
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
        // A directory its owner cannot write cannot be moved to another one.
        durable::set_mode(&path, OWN_MODE)?;
    }
    durable::rename_to_free(&path, &layout.temporary("gone")?)?;
    durable::sync(&layout.generations())?;
    reached(Step::Unnamed);
    recover::sweep(layout)
}

/// What the files of a generation take.
pub(super) fn size(directory: &std::path::Path) -> Bytes {
    let sum = |entries: fs::ReadDir| -> u64 {
        entries
            .flatten()
            .map(|entry| match entry.metadata() {
                Ok(found) if found.is_dir() => size(&entry.path()).0,
                Ok(found) => found.len(),
                Err(_) => 0,
            })
            .sum()
    };
    Bytes(fs::read_dir(directory).map_or(0, sum))
}
