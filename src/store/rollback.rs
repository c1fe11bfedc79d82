//! Back to an earlier generation on this host, without any network; confirmation and condemnation.

use super::journal::{Event, News};
use super::layout::{Current, Layout};
use super::ledger::{Ledger, State};
use super::lock::Lock;
use super::record::Record;
use super::recover::{self, Recovered};
use super::verify::{self, Depth};
use super::{Error, Refusal, disk, flip, install};
use crate::units::Sha256;
use std::time::Duration;

/// A generation as the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Its number.
    Number(u64),
    /// Its version label.
    Version(String),
    /// Its release.
    Release(Sha256),
}

impl Named {
    /// Reads `7`, `000007`, `sha256:…` or a version; a number without a dot is a generation.
    pub fn parse(text: &str) -> Self {
        if let Some(digest) = text.strip_prefix("sha256:")
            && let Ok(digest) = digest.parse()
        {
            return Self::Release(digest);
        }
        text.parse()
            .map_or_else(|_| Self::Version(text.to_owned()), Self::Number)
    }

    fn shown(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Version(version) => version.clone(),
            Self::Release(release) => format!("sha256:{release}"),
        }
    }

    /// The newest generation on disk that is meant.
    pub(super) fn find(&self, layout: &Layout) -> Result<u64, Error> {
        let record = |number| match Record::read(&layout.generation(number)) {
            Ok((record, _)) => Ok(Some(record)),
            // It may be the one that is meant.
            Err(error @ Error::Unreadable { .. }) => Err(error),
            Err(_) => Ok(None),
        };
        for number in layout.generation_numbers()?.into_iter().rev() {
            let is_meant = match self {
                Self::Number(wanted) => number == *wanted,
                Self::Version(version) => record(number)?.is_some_and(|it| it.version == *version),
                Self::Release(release) => {
                    record(number)?.is_some_and(|it| it.release_digest == *release)
                }
            };
            if is_meant {
                return Ok(number);
            }
        }
        Err(Error::NoSuchGeneration {
            named: self.shown(),
        })
    }
}

/// What a rollback is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to; `None` for the last good generation.
    pub to: Option<Named>,
    /// What to condemn first.
    pub mark_bad: Option<Named>,
    /// Why, for the journal.
    pub reason: Option<String>,
    /// How long a busy store is waited for.
    pub wait: Duration,
    /// Whether nothing may be written.
    pub is_dry_run: bool,
}

/// What a rollback did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The generation current before.
    pub previous: Option<u64>,
    /// The generation current now; the same where nothing was to be flipped.
    pub generation: Option<u64>,
    /// Its version label.
    pub version: Option<String>,
    /// Its release.
    pub release: Option<Sha256>,
    /// The release that was condemned.
    pub condemned: Option<Sha256>,
    /// What was tidied up, and what is left to the next run; one line each.
    pub notes: Vec<String>,
    /// Whether an earlier run was cut short after its commit, so that nobody was told of it.
    pub completes_earlier: bool,
}

/// Goes back to an earlier generation, or condemns one.
///
/// With [`Request::mark_bad`] alone the flip happens only when the condemned one is current, so
/// that saying it twice changes nothing.
///
/// # Errors
/// [`Error::NothingToRollBackTo`]; [`Error::Corrupt`] when the target is damaged;
/// [`Error::Refused`] when it was marked bad; what is current stays so.
pub fn rollback(layout: &Layout, request: &Request) -> Result<Outcome, Error> {
    if request.is_dry_run {
        layout.check_format()?;
        let ledger = Ledger::read(layout)?;
        let current = layout.read_current()?;
        return plan(layout, request, &ledger, &current).map(|plan| plan.outcome);
    }
    if !disk::exists(&layout.root())? {
        // Nothing is made where nothing was installed: the path may be a slip.
        return Err(Error::NothingToRollBackTo { because: None });
    }
    let _lock = Lock::take(layout, request.wait)?;
    layout.check_format()?;
    let mut recovered = recover::recover(layout)?;
    let notes = std::mem::take(&mut recovered.notes);
    let mut outcome = run(layout, request, &mut recovered)?;
    outcome.notes.splice(..0, notes);
    outcome.completes_earlier = recovered.has_closed_commit;
    Ok(outcome)
}

struct Plan {
    outcome: Outcome,
    target: Option<(Record, Sha256)>,
}

struct Condemn {
    generation: Option<u64>,
    release: Sha256,
    is_new: bool,
}

fn plan(
    layout: &Layout,
    request: &Request,
    ledger: &Ledger,
    current: &Current,
) -> Result<Plan, Error> {
    let current = match current {
        Current::Generation(number) => Some(*number),
        Current::Absent | Current::Broken { .. } => None,
    };
    let condemn = match &request.mark_bad {
        Some(named) => Some(condemnation(layout, ledger, named)?),
        None => None,
    };
    let mut outcome = Outcome {
        previous: current,
        generation: current,
        version: None,
        release: None,
        condemned: condemn.as_ref().map(|condemn| condemn.release),
        notes: Vec::new(),
        completes_earlier: false,
    };
    // Other labels for the same release make it no other model.
    let is_current_condemned = current.is_some_and(|current| {
        condemn.as_ref().is_some_and(|condemn| {
            condemn.generation == Some(current)
                || ledger.release_of(current) == Some(condemn.release)
        })
    });
    let is_flip = request.to.is_some() || condemn.is_none() || is_current_condemned;
    let mut target = None;
    if is_flip {
        let found = find_target(layout, request, ledger, current, condemn.as_ref())?;
        let (record, sha256) = check_target(layout, ledger, condemn.as_ref(), found)?;
        outcome.generation = Some(found);
        outcome.version = Some(record.version.clone());
        outcome.release = Some(record.release_digest);
        if Some(found) != current {
            target = Some((record, sha256));
        }
    }
    Ok(Plan { outcome, target })
}

fn condemnation(layout: &Layout, ledger: &Ledger, named: &Named) -> Result<Condemn, Error> {
    match named.find(layout) {
        Ok(number) => {
            let account = ledger.generations.get(&number);
            let release = match account.and_then(|account| account.release) {
                Some(release) => release,
                None => Record::read(&layout.generation(number))?.0.release_digest,
            };
            Ok(Condemn {
                generation: Some(number),
                release,
                is_new: ledger.state(number) != State::Bad,
            })
        }
        // A release can be condemned after its generation is gone, or before it was ever here.
        Err(error) => match named {
            Named::Release(release) => Ok(Condemn {
                generation: None,
                release: *release,
                is_new: !ledger.known_bad.contains_key(release),
            }),
            Named::Number(_) | Named::Version(_) => Err(error),
        },
    }
}

fn find_target(
    layout: &Layout,
    request: &Request,
    ledger: &Ledger,
    current: Option<u64>,
    condemn: Option<&Condemn>,
) -> Result<u64, Error> {
    if let Some(named) = &request.to {
        return named.find(layout);
    }
    let mut on_disk = layout.generation_numbers()?;
    if let Some(condemn) = condemn {
        on_disk = ledger.of_other_releases(&on_disk, condemn.release);
        on_disk.retain(|number| Some(*number) != condemn.generation);
    }
    ledger
        .last_good(current, &on_disk)
        .ok_or(Error::NothingToRollBackTo { because: None })
}

/// The record of a generation that may become current again.
fn check_target(
    layout: &Layout,
    ledger: &Ledger,
    condemn: Option<&Condemn>,
    number: u64,
) -> Result<(Record, Sha256), Error> {
    let examined = install::examine(layout, ledger, number, Depth::Full)?;
    let (Some(record), Some(sha256)) = (examined.sound(), examined.record_sha256) else {
        return Err(verify::damaged(layout, number, &examined.damages));
    };
    let release = record.release_digest;
    let reason = ledger.known_bad.get(&release);
    let is_condemned_now = condemn.is_some_and(|condemn| condemn.release == release);
    if is_condemned_now || reason.is_some() || ledger.state(number) == State::Bad {
        let reason = reason.cloned().flatten();
        return Err(Error::Refused(Refusal::KnownBad { release, reason }));
    }
    Ok((record.clone(), sha256))
}

/// As [`rollback`], under the lock and with the store tidied up.
pub(super) fn run(
    layout: &Layout,
    request: &Request,
    recovered: &mut Recovered,
) -> Result<Outcome, Error> {
    // A condemnation holds even where there is nothing to go back to.
    let condemn = match &request.mark_bad {
        Some(named) => Some(condemnation(layout, &recovered.ledger, named)?),
        None => None,
    };
    if let Some(condemn) = condemn.filter(|condemn| condemn.is_new) {
        let mut news = News::of(Event::Bad);
        news.generation = condemn.generation;
        news.release = Some(condemn.release);
        news.reason.clone_from(&request.reason);
        recovered.journal.append(news)?;
        recovered.ledger = Ledger::read(layout)?;
    }
    let Plan {
        mut outcome,
        target,
    } = plan(layout, request, &recovered.ledger, &recovered.current)?;
    if let Some((record, record_sha256)) = target {
        let flip = flip::Flip {
            layout,
            record: &record,
            record_sha256,
            event: Event::Rollback,
            manifest: None,
            reason: request.reason.clone(),
        };
        flip.commit(&mut recovered.journal)?;
        let followed = flip
            .follow(&mut recovered.journal)
            .and_then(|()| recover::sweep(layout));
        if let Err(error) = followed {
            let number = record.generation;
            outcome.notes.push(format!(
                "generation {number} is current, but: {error}; the next run completes it"
            ));
        }
        if let (Some(left), None) = (outcome.previous, &request.mark_bad) {
            outcome.notes.push(format!(
                "the next installation follows the manifest: if that names what generation {left} \
                 holds, it becomes current again; vv-eval model rollback --mark-bad {left} \
                 keeps it away"
            ));
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_named_by_number_version_or_release() {
        let release = Sha256::of(b"x");
        for (text, expected) in [
            ("7", Named::Number(7)),
            ("000007", Named::Number(7)),
            ("1.2", Named::Version("1.2".into())),
            ("v7", Named::Version("v7".into())),
            (&format!("sha256:{release}"), Named::Release(release)),
            ("sha256:12", Named::Version("sha256:12".into())),
        ] {
            assert_eq!(Named::parse(text), expected);
        }
    }
}
