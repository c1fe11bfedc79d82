//! S07, S08: the power goes at any moment, on a file system that keeps as little as it may.
//!
//! A scene is recorded once. For every moment of it the states a disk may be in are made (see
//! [`super::model`]), written into a directory, and looked at as after a crash: the invariants
//! hold, and the next run finishes the work.

use std::collections::{HashMap, HashSet};

use super::super::{Host, tell};
use super::model::{History, Id, Kept, Kind};
use super::{Scene, Stage, replay, trace};

/// How many of the possible states are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// At each moment nothing of what may be missing is there, or all, or all without bytes.
    Few,
    /// Besides, each single change alone, all but one, every beginning, and random choices.
    Many,
}

/// How many random choices are made at each moment.
const N_RANDOM: u64 = 24;

/// A scene and what its run did to the disk.
struct Recorded {
    scene: Scene,
    history: History,
    /// The event that makes another generation current.
    commit: Option<usize>,
}

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    n_moments: usize,
    /// States that differ.
    n_states: usize,
    failures: Vec<String>,
}

impl Recorded {
    fn new(scene: Scene) -> Self {
        let stage = Stage::new(scene);
        let host = stage.copy();
        assert!(replay::is_canonical(&host), "a link leads to the host");
        let before = History::load(host.root());
        let calls = trace::record(&host, scene);
        let (history, commit) = replay::replay(&host, before, &calls);
        let recorded = Self {
            scene,
            history,
            commit,
        };
        // The model is the disk: with nothing lost it is what the run really left.
        let n = recorded.history.events.len();
        let whole = recorded.history.state(n, &HashMap::new());
        let real = History::load(host.root());
        assert_eq!(
            recorded.history.text(&whole),
            real.text(real.before()),
            "{scene:?}: the model went astray"
        );
        recorded
    }

    /// Makes the states and looks at each of them once.
    ///
    /// * `is_forgotten`: flushes that do not happen, by what they are of
    /// * `is_finished`: whether the next run is let finish the work in each state
    fn examine(&self, reach: Reach, is_forgotten: &dyn Fn(Id) -> bool, is_finished: bool) -> Tried {
        let history = &self.history;
        let mut seen = HashSet::new();
        let mut tried = Tried::default();
        let end = history.events.len();
        for n in 0..=end {
            tried.n_moments += 1;
            let pending = history.pending(n, is_forgotten);
            let is_uncommitted = self.commit.is_some_and(|commit| n <= commit);
            for kept in choices(history, &pending, reach, n) {
                let state = history.state(n, &kept);
                // What is promised depends on the moment too.
                if !seen.insert((history.text(&state), is_uncommitted, n == end)) {
                    continue;
                }
                tried.n_states += 1;
                let host = Host::bare();
                history.write(&state, host.root());
                let at = format!("{:?} after {n} of {end} events, {kept:?}", self.scene);
                let promised = if is_uncommitted {
                    Some(self.scene.before())
                } else {
                    (n == end).then_some(Some(self.scene.after()))
                };
                match self.scene.survives(&host) {
                    Err(error) => tried.failures.push(format!("{at}: {error}")),
                    Ok(found) if promised.is_some_and(|it| it != found.as_deref()) => {
                        tried
                            .failures
                            .push(format!("{at}: {found:?} instead of {promised:?}"));
                    }
                    Ok(_) if is_finished => self.scene.converges(&host, &at),
                    Ok(_) => {}
                }
            }
        }
        tried
    }

    /// Looks at the states of an undisturbed recording, which must all be sound.
    #[track_caller]
    fn check(&self, reach: Reach) -> usize {
        let tried = self.examine(reach, &|_| false, true);
        tell(&format!(
            "{:?}: {} states of the disk at {} moments",
            self.scene, tried.n_states, tried.n_moments
        ));
        assert!(
            tried.failures.is_empty(),
            "{} states are unsound, the first:\n{}",
            tried.failures.len(),
            tried.failures[..tried.failures.len().min(5)].join("\n")
        );
        tried.n_states
    }

    /// The node of a path below the host, at the end of the run.
    fn node(&self, path: &str) -> Id {
        let end = self
            .history
            .state(self.history.events.len(), &HashMap::new());
        let find = |node, name: &str| end.find(node, name.as_bytes());
        path.split('/').try_fold(super::model::ROOT, find).unwrap()
    }
}

/// What of the changes that may be missing is there: one map a state.
fn choices(
    history: &History,
    pending: &[usize],
    reach: Reach,
    seed: usize,
) -> Vec<HashMap<usize, Kept>> {
    let each = |kept: &dyn Fn(usize, usize) -> Kept| -> HashMap<usize, Kept> {
        let numbered = pending.iter().enumerate();
        numbered
            .map(|(i, event)| (*event, kept(i, *event)))
            .collect()
    };
    let without_data = |data| {
        move |_: usize, event: usize| {
            if history.is_data(event) {
                data
            } else {
                Kept::Whole
            }
        }
    };
    let mut choices = vec![
        each(&|_, _| Kept::Nothing),
        each(&|_, _| Kept::Whole),
        each(&without_data(Kept::Nothing)),
        each(&without_data(Kept::Zeros)),
        each(&without_data(Kept::Half)),
    ];
    if reach == Reach::Many {
        let when = |is_there: bool| if is_there { Kept::Whole } else { Kept::Nothing };
        for chosen in 0..pending.len() {
            choices.push(each(&|i, _| when(i == chosen)));
            choices.push(each(&|i, _| when(i != chosen)));
            choices.push(each(&|i, _| when(i < chosen)));
        }
        let mut random = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..N_RANDOM {
            let mut drawn = Vec::new();
            for _ in pending {
                // xorshift64
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                drawn.push(match random >> 61 {
                    0..=3 => Kept::Whole,
                    4..=5 => Kept::Nothing,
                    6 => Kept::Zeros,
                    _ => Kept::Half,
                });
            }
            choices.push(each(&|i, event| {
                match drawn[i] {
                    // Only bytes are there in part.
                    Kept::Zeros | Kept::Half if !history.is_data(event) => Kept::Nothing,
                    kept => kept,
                }
            }));
        }
    }
    choices
}

/// Every state of a scene that is made.
fn check_many(scene: Scene) {
    assert!(
        trace::can_trace(),
        "strace is missing or may not trace here"
    );
    Recorded::new(scene).check(Reach::Many);
}

#[test]
#[ignore = "hundreds of disks; see docs/store.md"]
fn s07_any_power_cut_of_a_first_installation() {
    check_many(Scene::First);
}

#[test]
#[ignore = "hundreds of disks; see docs/store.md"]
fn s07_any_power_cut_of_an_upgrade() {
    check_many(Scene::Upgrade);
}

#[test]
#[ignore = "hundreds of disks; see docs/store.md"]
fn s07_any_power_cut_of_an_upgrade_over_http() {
    check_many(Scene::Download);
}

#[test]
#[ignore = "hundreds of disks; see docs/store.md"]
fn s07_any_power_cut_of_a_migration() {
    check_many(Scene::Migration);
}

#[test]
#[ignore = "hundreds of disks; see docs/store.md"]
fn s07_any_power_cut_of_a_rollback() {
    check_many(Scene::Rollback);
}

#[test]
#[ignore = "hundreds of disks; see docs/store.md"]
fn s07_any_power_cut_of_a_collection() {
    check_many(Scene::Collection);
}

#[test]
fn s07_the_power_goes_at_any_moment_of_a_commit() {
    if !trace::can_trace() {
        return;
    }
    let n_states = Recorded::new(Scene::Rollback).check(Reach::Few);
    assert!(n_states >= 20, "only {n_states} states differ");
}

/// The search finds what it is for: without a flush it depends on, an installation is unsound.
#[test]
fn without_its_flushes_an_installation_does_not_survive_a_power_cut() {
    if !trace::can_trace() {
        return;
    }
    let recorded = Recorded::new(Scene::Upgrade);
    let history = &recorded.history;
    let check = |what: &str, is_forgotten: &dyn Fn(Id) -> bool, words: &str| {
        let failures = recorded.examine(Reach::Few, is_forgotten, false).failures;
        let is_found = failures.iter().any(|it| it.contains(words));
        let some = &failures[..failures.len().min(5)];
        assert!(is_found, "without flushes of {what}: {some:#?}");
    };
    let is_file = |node| *history.kind(node) == Kind::File;
    check("files", &is_file, "000002");
    let generations = recorded.node("models/.vv/generations");
    check("the generations", &|it| it == generations, "000002");
    let new = recorded.node("models/.vv/generations/000002");
    check("the generation", &|it| it == new, "000002");
    let own = recorded.node("models/.vv");
    check("the store", &|it| it == own, "1.0.0");
    assert!(
        recorded
            .examine(Reach::Few, &|_| false, false)
            .failures
            .is_empty()
    );
}
