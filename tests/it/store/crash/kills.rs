//! S05, S06: a process that ends at any system call.
//!
//! One thread of the program changes a store, and what it does between two calls changes nothing
//! anyone sees: to end after a call is to end before the next one, and ending it before every call
//! of a run is both.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;

use super::super::{Host, tell};
use super::trace::{self, Call};
use super::{Scene, Stage};

/// A scene's run, recorded.
pub(super) struct Recorded {
    pub(super) stage: Stage,
    /// Where it ran.
    pub(super) host: Host,
    pub(super) calls: Vec<Call>,
    /// Which of them change the store, or make a change last.
    pub(super) changes: Vec<usize>,
    /// The call that makes another generation current.
    commit: Option<usize>,
}

impl Recorded {
    pub(super) fn new(scene: Scene) -> Self {
        let stage = Stage::new(scene);
        let host = stage.copy();
        let mut calls = trace::record(&host, scene);
        // Who asks for the address of a server is another thread; a call of its own and one of the
        // same kind and number are told apart by nothing, and the first of them is met.
        let mut met = HashSet::new();
        calls.retain(|call| met.insert((call.name.clone(), call.nth)));
        let at = |is_it: &dyn Fn(&Call) -> bool| -> Vec<usize> {
            let found = calls.iter().enumerate().filter(|(_, call)| is_it(call));
            found.map(|(i, _)| i).collect()
        };
        let changes = at(&|call| call.is_change(&host));
        let commit = at(&|call| call.is_commit()).last().copied();
        assert_eq!(commit.is_none(), scene == Scene::Collection, "{scene:?}");
        assert!(changes.len() >= 15, "{scene:?}: {} changes", changes.len());
        Self {
            stage,
            host,
            calls,
            changes,
            commit,
        }
    }

    /// Which of the changes makes another generation current.
    pub(super) fn commit_change(&self) -> Option<usize> {
        let commit = self.commit?;
        self.changes.iter().position(|change| *change == commit)
    }

    /// What is left when the run ended before its `i`-th call: the version before up to the
    /// commit, the version after from then on.
    #[track_caller]
    fn check(&self, host: &Host, i: usize, at: &str) {
        let scene = self.stage.scene;
        let found = scene.survives(host).unwrap_or_else(|e| panic!("{at}: {e}"));
        let is_committed = self.commit.is_none_or(|commit| i > commit);
        let expected = if is_committed {
            Some(scene.after())
        } else {
            scene.before()
        };
        assert_eq!(found.as_deref(), expected, "{at}");
        scene.converges(host, at);
    }

    /// Kills the run at some of its calls. Gives how many processes died.
    fn kill_at(&self, calls: impl Iterator<Item = usize>) -> usize {
        let scene = self.stage.scene;
        let (mut n_asked, mut n_killed) = (0, 0);
        for i in calls {
            let call = &self.calls[i];
            let host = self.stage.copy();
            n_asked += 1;
            // How often a run waits or reads may differ from that of the recorded one.
            if !trace::kill_at(&host, scene, call) {
                continue;
            }
            n_killed += 1;
            let at = format!("{scene:?}, killed before {} {}", call.name, call.nth);
            self.check(&host, i, &at);
        }
        assert!(
            n_killed * 10 >= n_asked * 9,
            "{scene:?}: only {n_killed} of {n_asked} died"
        );
        n_killed
    }
}

/// Kills at every call of a scene.
fn check_every_call(scene: Scene) {
    assert!(
        trace::can_trace(),
        "strace is missing or may not trace here"
    );
    let recorded = Recorded::new(scene);
    let n_killed = recorded.kill_at(0..recorded.calls.len());
    tell(&format!(
        "{scene:?}: {n_killed} processes killed, one before each of {} calls, {} of which change the store",
        recorded.calls.len(),
        recorded.changes.len()
    ));
}

#[test]
#[ignore = "some 400 processes; see docs/store.md"]
fn s05_killed_at_every_call_of_a_first_installation() {
    check_every_call(Scene::First);
}

#[test]
#[ignore = "some 500 processes; see docs/store.md"]
fn s05_killed_at_every_call_of_an_upgrade() {
    check_every_call(Scene::Upgrade);
}

#[test]
#[ignore = "some 600 processes; see docs/store.md"]
fn s05_killed_at_every_call_of_an_upgrade_over_http() {
    check_every_call(Scene::Download);
}

#[test]
#[ignore = "some 600 processes; see docs/store.md"]
fn s05_killed_at_every_call_of_a_migration() {
    check_every_call(Scene::Migration);
}

#[test]
#[ignore = "some 400 processes; see docs/store.md"]
fn s05_killed_at_every_call_of_a_rollback() {
    check_every_call(Scene::Rollback);
}

#[test]
#[ignore = "some 400 processes; see docs/store.md"]
fn s05_killed_at_every_call_of_a_collection() {
    check_every_call(Scene::Collection);
}

#[test]
fn s05_killed_at_calls_that_change_the_store() {
    const STRIDE: usize = 7;
    if !trace::can_trace() {
        return;
    }
    let mut n_killed = 0;
    for (first, scene) in Scene::ALL.into_iter().enumerate() {
        let recorded = Recorded::new(scene);
        let calls = recorded.changes.iter().copied();
        n_killed += recorded.kill_at(calls.skip(first).step_by(STRIDE));
    }
    tell(&format!("{n_killed} processes killed"));
    assert!(n_killed >= 30, "only {n_killed} processes died");
}

#[test]
fn s06_a_signal_ends_a_run_at_once_and_leaves_the_lock_free() {
    if !trace::can_trace() {
        return;
    }
    let recorded = Recorded::new(Scene::Upgrade);
    let commit = recorded.commit.unwrap();
    let some = recorded.changes.iter().copied().step_by(12);
    let moments: Vec<usize> = some.chain([commit - 1, commit, commit + 1]).collect();
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        for &i in &moments {
            let call = &recorded.calls[i];
            let host = recorded.stage.copy();
            let status = trace::signal_at(&host, Scene::Upgrade, call, signal);
            let at = format!("{signal} at {} {}", call.name, call.nth);
            // A shell shows it as 143 and 130.
            assert_eq!(status.signal(), Some(number), "{at}: {status}");
            let found = Scene::Upgrade.survives(&host).unwrap();
            // Unlike SIGKILL the signal comes when the call is over.
            let expected = if i >= commit { "1.1.0" } else { "1.0.0" };
            assert_eq!(found.as_deref(), Some(expected), "{at}");
            Scene::Upgrade.converges(&host, &at);
        }
    }
}
