//! S02, S03, S04: a call that fails at any moment is an error with its code, not a damaged store.

use super::super::tell;
use super::kills::Recorded;
use super::trace::{self, Call};
use super::{Scene, Stage};

/// What a disk may answer to a call that changes something, with the exit code.
const ERRORS: [(&str, i32); 5] = [
    ("ENOSPC", 40),
    ("EDQUOT", 40),
    ("EIO", 41),
    ("EROFS", 42),
    ("EACCES", 42),
];

/// Runs with calls that fail.
#[derive(Default)]
struct Tried {
    n: usize,
    /// Runs that failed for it; the others did without the call, and said so.
    n_failed: usize,
    /// What should not have happened.
    wrong: Vec<String>,
}

impl Tried {
    /// Lets one call of a scene fail and looks at what is left.
    fn fail(&mut self, stage: &Stage, call: &Call, error: &str, code: i32) {
        let scene = stage.scene;
        let host = stage.copy();
        // Whatever a flush answers, nobody knows what is on the disk then.
        let code = if call.is_flush() { 41 } else { code };
        let ran = trace::fail_at(&host, scene, call, error);
        self.n += 1;
        self.n_failed += usize::from(ran.code != 0);
        let at = format!("{scene:?}, {error} of {} {}", call.name, call.nth);
        let all = format!("{at}, exit {}: {}{}", ran.code, ran.stdout, ran.stderr);
        let found = match scene.survives(&host) {
            Ok(found) => found,
            Err(broken) => return self.wrong.push(format!("{broken}\n{all}")),
        };
        let is_promised = ran.code != 0 || found.as_deref() == Some(scene.after());
        if ![0, code].contains(&ran.code) || !is_promised {
            return self.wrong.push(all);
        }
        scene.converges(&host, &at);
    }

    /// Says what was tried and fails where something was wrong.
    #[track_caller]
    fn tell(&self, scene: Scene) {
        let Self { n, n_failed, wrong } = self;
        tell(&format!(
            "{scene:?}: {n} calls failed, and {n_failed} runs with them"
        ));
        assert!(
            wrong.is_empty(),
            "{} of {n} went wrong:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(10)].join("\n")
        );
    }
}

#[test]
fn s02_s03_s04_a_call_that_fails_keeps_what_is_current() {
    const STRIDE: usize = 7;
    if !trace::can_trace() {
        return;
    }
    let mut n_failed = 0;
    for (first, scene) in Scene::ALL.into_iter().enumerate() {
        let recorded = Recorded::new(scene);
        let mut tried = Tried::default();
        let some = recorded.changes.iter().skip(first).step_by(STRIDE);
        for (nth, &i) in some.enumerate() {
            let (error, code) = ERRORS[nth % ERRORS.len()];
            tried.fail(&recorded.stage, &recorded.calls[i], error, code);
        }
        tried.tell(scene);
        n_failed += tried.n_failed;
    }
    assert!(n_failed >= 20, "only {n_failed} runs failed");
}

#[test]
#[ignore = "every error of every call; see docs/store.md"]
fn s02_s03_s04_every_call_that_fails_keeps_what_is_current() {
    for scene in Scene::ALL {
        let recorded = Recorded::new(scene);
        let mut tried = Tried::default();
        for &i in &recorded.changes {
            for (error, code) in ERRORS {
                tried.fail(&recorded.stage, &recorded.calls[i], error, code);
            }
        }
        tried.tell(scene);
    }
}

/// Lets every `stride`-th call that reads something of the store fail, from the `first` on.
#[track_caller]
fn fail_reading(scene: Scene, first: usize, stride: usize) {
    // Of the fewest calls any scene has.
    const N_READING: usize = 120;
    const READING: [&str; 6] = [
        "openat",
        "read",
        "getdents64",
        "statx",
        "readlink",
        "newfstatat",
    ];
    let recorded = Recorded::new(scene);
    // What is read later is for the report, which says `null` for what it does not know.
    let last = recorded.changes.last().copied().unwrap_or_default();
    // A manifest that cannot be read is one that says nothing.
    let models = recorded.host.path("models");
    let reading = recorded.calls[..last].iter().filter(|call| {
        let is_reading = READING.contains(&call.name.as_str());
        is_reading && !call.result.starts_with('-') && call.touches(&models)
    });
    let mut tried = Tried::default();
    for call in reading.skip(first).step_by(stride) {
        tried.fail(&recorded.stage, call, "EIO", 41);
    }
    tried.tell(scene);
    assert!(
        tried.n >= N_READING / stride,
        "{scene:?}: {} calls",
        tried.n
    );
    assert!(tried.n_failed >= tried.n / 3, "{scene:?}: no run minded");
}

#[test]
fn s03_a_call_that_reads_and_fails_keeps_what_is_current() {
    if !trace::can_trace() {
        return;
    }
    for (first, scene) in Scene::ALL.into_iter().enumerate() {
        fail_reading(scene, first, 13);
    }
}

#[test]
#[ignore = "every call that reads; see docs/store.md"]
fn s03_every_call_that_reads_and_fails_keeps_what_is_current() {
    for scene in Scene::ALL {
        fail_reading(scene, 0, 1);
    }
}

#[test]
fn s03_a_flush_that_failed_is_not_tried_again() {
    if !trace::can_trace() {
        return;
    }
    let recorded = Recorded::new(Scene::Upgrade);
    let flushes: Vec<&Call> = recorded
        .changes
        .iter()
        .map(|i| &recorded.calls[*i])
        .filter(|call| call.is_flush())
        .collect();
    assert!(flushes.len() >= 10, "{} flushes", flushes.len());
    for call in flushes {
        let host = recorded.stage.copy();
        let made = trace::record_failing(&host, Scene::Upgrade, call, "EIO");
        let failed = made
            .iter()
            .position(|it| it.result.contains("INJECTED"))
            .unwrap_or_else(|| panic!("no call failed instead of {call:?}"));
        let what = &made[failed].arguments[0];
        let path = |descriptor: &str| descriptor.split_once('<').map(|(_, it)| it.to_owned());
        let again = made[failed + 1..]
            .iter()
            .find(|it| it.is_flush() && path(&it.arguments[0]) == path(what));
        assert!(again.is_none(), "flushed again: {again:?}");
    }
}
