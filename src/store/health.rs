//! Confirms or condemns the trial generation by what the service's events log says of it, and goes
//! back by itself where it is told to.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::events::{self, Subject, Tally};
use super::journal::{Event, News};
use super::layout::{Current, Layout};
use super::ledger::{Ledger, State};
use super::lock::Lock;
use super::policy::HealthRules;
use super::record::Record;
use super::recover::{self, Recovered};
use super::rollback::{self, Named};
use super::{Error, clock, disk};

/// What the log says of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It has written enough good summaries.
    Good,
    /// Too early to tell.
    Pending,
    /// It does not work.
    Bad,
}

/// What was seen and done.
#[derive(Debug, Clone)]
pub struct Report {
    /// The generation judged.
    pub generation: u64,
    /// What the log says of it.
    pub health: Health,
    /// Why, in words.
    pub reason: String,
    /// The counts behind it.
    pub tally: Tally,
    /// Starts without a summary, those an older log told of included.
    pub n_tries: usize,
    /// The generation current now.
    pub current: u64,
    /// Whether the current generation was changed.
    pub is_rolled_back: bool,
    /// What was tidied up, and what is left to the next run; one line each.
    pub notes: Vec<String>,
}

/// What to do with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing: only say it. Takes no lock and writes nothing, so that a run under way may be
    /// seen in the middle.
    Say,
    /// Confirm a good generation and note lost tries, as many as condemn it.
    Note,
    /// And condemn a bad one and leave it for the last good one.
    RollBack,
}

/// Judges the current generation.
///
/// * `events`: the log
///
/// A generation that was confirmed or condemned before is left alone. Starts without a summary are
/// kept in the journal, so that a log may be rotated.
///
/// # Errors
/// [`Error::NothingToRollBackTo`] when a bad generation is the only one: it stays current and is
/// not condemned. [`Error::Usage`] when nothing is installed.
pub fn judge(
    layout: &Layout,
    events: &Path,
    rules: &HealthRules,
    consequence: Consequence,
    wait: Duration,
) -> Result<Report, Error> {
    if !disk::exists(&layout.root())? {
        return Err(nothing_current());
    }
    let is_told_only = consequence == Consequence::Say;
    let _lock = if is_told_only {
        None
    } else {
        Some(Lock::take(layout, wait)?)
    };
    layout.check_format()?;
    let mut recovered = if is_told_only {
        recover::look(layout)?
    } else {
        recover::recover(layout)?
    };
    let Current::Generation(generation) = recovered.current else {
        return Err(nothing_current());
    };
    let (record, record_sha256) = Record::read(&layout.generation(generation))?;
    let account = recovered.ledger.generations.get(&generation);
    let since = account.and_then(|account| clock::seconds(account.since.as_deref()?));
    let subject = Subject {
        generation,
        release: record.release_digest,
        since,
    };
    let mut notes = std::mem::take(&mut recovered.notes);
    let tally = match events::tally(events, &subject) {
        // A service that never wrote one has a deadline all the same.
        Err(Error::Unreadable { path, source }) if source.kind() == io::ErrorKind::NotFound => {
            let path = crate::durable::shown(&path);
            notes.push(format!(
                "there is no events log at `{path}`; it counts as empty"
            ));
            Tally::default()
        }
        done => done?,
    };
    let state = recovered.ledger.state(generation);
    let news = |event, reason: String| News {
        event,
        generation: Some(generation),
        release: Some(record.release_digest),
        record: Some(record_sha256),
        version: None,
        manifest: None,
        reason: Some(reason),
    };
    let known = account
        .map(|account| account.tries.clone())
        .unwrap_or_default();
    let n_tries = known.union(&tally.dead_starts).count();
    let is_noted = !is_told_only && state == State::Trial;
    if is_noted {
        // A host that restarts for ever must not fill the journal: more tries say nothing more.
        let n_missing = rules.tries.saturating_sub(known.len());
        for start in tally.dead_starts.difference(&known).take(n_missing) {
            recovered.journal.append(news(Event::Try, start.clone()))?;
        }
    }
    let age = since.map(|since| Duration::from_secs(clock::now().saturating_sub(since)));
    let (health, reason) = match state {
        State::Good => (Health::Good, "it was confirmed before".to_owned()),
        State::Bad => (Health::Bad, "it was condemned before".to_owned()),
        State::Trial => verdict(&tally, n_tries, age, rules),
    };
    let mut report = Report {
        generation,
        health,
        reason,
        tally,
        n_tries,
        current: generation,
        is_rolled_back: false,
        notes,
    };
    if is_noted && health == Health::Good {
        recovered
            .journal
            .append(news(Event::Good, report.reason.clone()))?;
    }
    if health == Health::Bad && consequence == Consequence::RollBack {
        let outcome = roll_back(layout, &mut recovered, generation, &report.reason)?;
        report.current = outcome.generation.unwrap_or(generation);
        report.notes.extend(outcome.notes);
        report.is_rolled_back = true;
    }
    Ok(report)
}

fn nothing_current() -> Error {
    Error::Usage {
        problem: "no generation is current, so none can be judged".into(),
        hint: "vv-eval model install installs what the manifest names".into(),
    }
}

/// Condemns a generation and leaves it, when there is another to go to.
fn roll_back(
    layout: &Layout,
    recovered: &mut Recovered,
    generation: u64,
    reason: &str,
) -> Result<rollback::Outcome, Error> {
    recovered.ledger = Ledger::read(layout)?;
    let ledger = &recovered.ledger;
    let mut on_disk = layout.generation_numbers()?;
    if let Some(release) = ledger.release_of(generation) {
        on_disk = ledger.of_other_releases(&on_disk, release);
    }
    if ledger.last_good(Some(generation), &on_disk).is_none() {
        let because = Some(format!("generation {generation} is bad ({reason})"));
        return Err(Error::NothingToRollBackTo { because });
    }
    let request = rollback::Request {
        to: None,
        mark_bad: Some(Named::Number(generation)),
        reason: Some(reason.to_owned()),
        wait: Duration::ZERO,
        is_dry_run: false,
    };
    rollback::run(layout, &request, recovered)
}

/// The rules, in the order in which they decide.
fn verdict(
    tally: &Tally,
    n_tries: usize,
    age: Option<Duration>,
    rules: &HealthRules,
) -> (Health, String) {
    let Tally {
        n_good,
        n_failed,
        n_load_errors,
        ..
    } = *tally;
    if n_load_errors > rules.max_load_errors {
        let allowed = rules.max_load_errors;
        return (
            Health::Bad,
            format!("{n_load_errors} loads failed, {allowed} are allowed"),
        );
    }
    if n_tries >= rules.tries {
        return (
            Health::Bad,
            format!("{n_tries} starts ended without a summary"),
        );
    }
    // Few summaries may fail by chance: the rate is held against at least the number that confirms.
    let n = (n_good + n_failed).max(rules.good_after_scenes);
    if n_failed as f64 > rules.max_inference_error_rate * n as f64 {
        let share = rules.max_inference_error_rate;
        let total = n_good + n_failed;
        return (
            Health::Bad,
            format!("{n_failed} of {total} summaries failed, a share of {share} is allowed"),
        );
    }
    if n_good >= rules.good_after_scenes {
        return (
            Health::Good,
            format!("{n_good} summaries, {n_failed} failures"),
        );
    }
    if age.is_some_and(|age| age > rules.deadline) {
        let hours = rules.deadline.as_secs() / 3600;
        return (Health::Bad, format!("{n_good} summaries in {hours} hours"));
    }
    let wanted = rules.good_after_scenes;
    (Health::Pending, format!("{n_good} of {wanted} summaries"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A verdict after so many good and failed summaries, failed loads, dead starts and hours.
    #[track_caller]
    fn check(counts: [u64; 3], n_tries: usize, hours: u64, expected: Health) {
        let [n_good, n_failed, n_load_errors] = counts;
        let tally = Tally {
            n_good,
            n_failed,
            n_load_errors,
            ..Tally::default()
        };
        let age = Some(Duration::from_secs(hours * 3600));
        let (health, reason) = verdict(&tally, n_tries, age, &HealthRules::default());
        assert_eq!(health, expected, "{reason}");
    }

    #[test]
    fn twenty_good_summaries_confirm() {
        check([20, 0, 0], 0, 1, Health::Good);
        check([19, 0, 0], 0, 1, Health::Pending);
        check([20, 1, 0], 2, 1, Health::Good);
        check([20, 0, 0], 0, 99, Health::Good);
    }

    #[test]
    fn every_limit_condemns() {
        check([50, 0, 1], 0, 1, Health::Bad);
        check([0, 0, 0], 3, 1, Health::Bad);
        check([18, 2, 0], 0, 1, Health::Bad);
        check([5, 0, 0], 0, 25, Health::Bad);
    }

    #[test]
    fn one_failure_among_the_first_is_no_verdict() {
        check([0, 1, 0], 0, 1, Health::Pending);
        check([0, 2, 0], 0, 1, Health::Bad);
    }
}
