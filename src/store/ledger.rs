//! What the journal adds up to: the state of every generation and release.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::clock;
use super::journal::{self, Entry, Event, Tail};
use super::layout::Layout;
use crate::units::Sha256;

/// How far a generation has proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Installed, and not yet confirmed.
    Trial,
    /// Confirmed.
    Good,
    /// Condemned.
    Bad,
}

impl State {
    /// The word of records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

/// What the journal says of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its release.
    pub release: Option<Sha256>,
    /// Digest of its record when it became current.
    pub record: Option<Sha256>,
    /// How far it has proved itself.
    pub state: State,
    /// Starts of the service that ended without a summary since it last became current, by the
    /// identity the events log gives them.
    pub tries: BTreeSet<String>,
    /// When it last became current, as written.
    pub since: Option<String>,
    /// When it last ceased to be current, in seconds since 1970, where the journal tells.
    pub left: Option<u64>,
    /// Number of the line by which it last became current; 0 when it never was.
    pub flip_seq: u64,
}

/// A change that was announced and not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) generation: u64,
    pub(super) entry: Entry,
}

/// The journal, added up.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Generations it names.
    pub generations: BTreeMap<u64, Account>,
    /// Releases that were current at any time.
    pub was_current: BTreeSet<Sha256>,
    /// Releases marked bad and not good since, with the reason.
    pub known_bad: BTreeMap<Sha256, Option<String>>,
    /// An announced change that was not closed.
    pub(super) intent: Option<Intent>,
    /// Generation the journal believes to be current.
    pub believed: Option<u64>,
    /// Where it ends.
    pub tail: Tail,
}

impl Ledger {
    /// Reads the whole journal; memory grows with the number of generations only.
    ///
    /// # Errors
    /// As [`journal::read`].
    pub fn read(layout: &Layout) -> Result<Self, Error> {
        let mut sum = Sum::default();
        let tail = journal::read(layout, |_, entry| sum.add(entry))?;
        Ok(Self {
            generations: sum.generations,
            was_current: sum.was_current,
            known_bad: sum.known_bad,
            intent: sum.intent,
            believed: sum.believed,
            tail,
        })
    }

    /// How far a generation has proved itself.
    pub fn state(&self, generation: u64) -> State {
        let account = self.generations.get(&generation);
        account.map_or(State::Trial, |account| account.state)
    }

    /// The release of a generation, where the journal tells.
    pub(super) fn release_of(&self, generation: u64) -> Option<Sha256> {
        self.generations.get(&generation)?.release
    }

    /// Those of some generations that are not known to hold `release`.
    pub(super) fn of_other_releases(&self, numbers: &[u64], release: Sha256) -> Vec<u64> {
        let is_other = |number: &&u64| self.release_of(**number) != Some(release);
        numbers.iter().filter(is_other).copied().collect()
    }

    /// Where to go back to from `current`: the newest other generation marked good; if none is, the
    /// one that was current just before, unless it is bad. A release marked bad is nowhere to go
    /// back to, whichever of its generations was condemned.
    ///
    /// * `on_disk`: generations that can be gone back to
    pub fn last_good(&self, current: Option<u64>, on_disk: &[u64]) -> Option<u64> {
        let others = || {
            self.generations.iter().filter(|(number, account)| {
                let is_condemned = account
                    .release
                    .is_some_and(|release| self.known_bad.contains_key(&release));
                Some(**number) != current && on_disk.contains(number) && !is_condemned
            })
        };
        let good = others().filter(|(_, account)| account.state == State::Good);
        if let Some((number, _)) = good.max_by_key(|(number, _)| **number) {
            return Some(*number);
        }
        let is_usable = |account: &Account| account.state != State::Bad && account.flip_seq > 0;
        others()
            .filter(|(_, account)| is_usable(account))
            .max_by_key(|(_, account)| account.flip_seq)
            .map(|(number, _)| *number)
    }

    /// What it is called when a release becomes current now: a rollback when it was current
    /// before, and another is.
    pub(super) fn flip_event(&self, release: Option<Sha256>) -> Event {
        let believed = self
            .believed
            .and_then(|number| self.generations.get(&number));
        let is_other = believed.is_some_and(|account| account.release != release);
        match release {
            Some(release) if is_other && self.was_current.contains(&release) => Event::Rollback,
            _ => Event::Committed,
        }
    }

    /// The highest number ever used.
    pub fn highest(&self) -> Option<u64> {
        self.generations.last_key_value().map(|(number, _)| *number)
    }
}

#[derive(Default)]
struct Sum {
    generations: BTreeMap<u64, Account>,
    was_current: BTreeSet<Sha256>,
    known_bad: BTreeMap<Sha256, Option<String>>,
    intent: Option<Intent>,
    believed: Option<u64>,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        let release = entry.release_digest;
        let Some(number) = entry.generation else {
            // A release may be condemned when its generation is gone.
            match (entry.event, release) {
                (Event::Bad, Some(release)) => self.condemn(release, entry),
                (Event::Good, Some(release)) => drop(self.known_bad.remove(&release)),
                _ => {}
            }
            return;
        };
        let account = self.generations.entry(number).or_insert_with(|| Account {
            release: None,
            record: None,
            state: State::Trial,
            tries: BTreeSet::new(),
            since: None,
            left: None,
            flip_seq: 0,
        });
        account.release = release.or(account.release);
        account.record = entry.record_sha256.or(account.record);
        match entry.event {
            Event::Intent => {
                self.intent = Some(Intent {
                    generation: number,
                    entry: entry.clone(),
                });
            }
            Event::Aborted => self.intent = None,
            Event::Committed | Event::Rollback | Event::Migrated => {
                account.flip_seq = entry.seq;
                account.since = Some(entry.at.clone());
                account.left = None;
                account.tries.clear();
                if account.state == State::Bad {
                    account.state = State::Trial;
                }
                self.was_current.extend(release);
                self.intent = None;
                let before = self.believed.replace(number);
                if let Some(before) = before.filter(|before| *before != number)
                    && let Some(account) = self.generations.get_mut(&before)
                {
                    account.left = clock::seconds(&entry.at);
                }
            }
            Event::Good => {
                account.state = State::Good;
                if let Some(release) = account.release {
                    self.known_bad.remove(&release);
                }
            }
            Event::Bad => {
                account.state = State::Bad;
                if let Some(release) = account.release {
                    self.condemn(release, entry);
                }
            }
            Event::Try => account.tries.extend(entry.reason.clone()),
            Event::Gc | Event::Experiment | Event::ChainBreak => {}
        }
    }

    fn condemn(&mut self, release: Sha256, entry: &Entry) {
        self.known_bad.insert(release, entry.reason.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::journal::{News, Writer};
    use super::*;

    /// A ledger after the given events.
    fn after(events: &[(Event, u64)]) -> Ledger {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.root()).unwrap();
        let tail = journal::read(&layout, |_, _| {}).unwrap();
        let mut writer = Writer::new(&layout, tail);
        for (event, generation) in events {
            let mut news = News::of(*event);
            news.generation = Some(*generation);
            news.release = Some(Sha256::of(&generation.to_le_bytes()));
            writer.append(news).unwrap();
        }
        Ledger::read(&layout).unwrap()
    }

    use Event::{Aborted, Bad, Committed, Good, Intent, Rollback};

    #[track_caller]
    fn check_last_good(
        events: &[(Event, u64)],
        current: u64,
        on_disk: &[u64],
        expected: Option<u64>,
    ) {
        assert_eq!(after(events).last_good(Some(current), on_disk), expected);
    }

    #[test]
    fn the_last_good_is_the_newest_other_confirmed_one() {
        let events = [
            (Committed, 1),
            (Good, 1),
            (Committed, 2),
            (Good, 2),
            (Committed, 3),
        ];
        check_last_good(&events, 3, &[1, 2, 3], Some(2));
        check_last_good(&events, 3, &[1, 3], Some(1));
        check_last_good(&events, 2, &[1, 2, 3], Some(1));
    }

    #[test]
    fn a_host_that_confirms_nothing_can_go_one_step_back() {
        check_last_good(&[(Committed, 1), (Committed, 2)], 2, &[1, 2], Some(1));
        check_last_good(
            &[(Committed, 1), (Bad, 1), (Committed, 2)],
            2,
            &[1, 2],
            None,
        );
        check_last_good(&[(Committed, 1)], 1, &[1], None);
        let there_and_back = [(Committed, 1), (Committed, 2), (Rollback, 1)];
        check_last_good(&there_and_back, 1, &[1, 2], Some(2));
    }

    #[test]
    fn an_intent_is_open_until_it_is_closed() {
        assert!(after(&[(Intent, 1)]).intent.is_some());
        assert!(after(&[(Intent, 1), (Aborted, 1)]).intent.is_none());
        assert!(after(&[(Intent, 1), (Committed, 1)]).intent.is_none());
    }

    #[test]
    fn what_was_condemned_stays_so_until_it_is_confirmed() {
        let release = Sha256::of(&1u64.to_le_bytes());
        let bad = after(&[(Committed, 1), (Bad, 1), (Committed, 1)]);
        assert!(bad.known_bad.contains_key(&release));
        assert_eq!(bad.state(1), State::Trial);
        let good = after(&[(Committed, 1), (Bad, 1), (Committed, 1), (Good, 1)]);
        assert!(good.known_bad.is_empty());
    }
}
