//! A process that dies at any moment leaves the old release or the new one, and the next run
//! finishes the work.
//!
//! The processes are this test program itself, told by the environment what to do and where to die.
//! `tests/it/store/crash` does the same to the program at every system call, and cuts the power.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use super::super::doctor;
use super::super::rollback::{self, rollback};
use super::super::status::verify;
use super::*;

/// Every step, in order.
const STEPS: [&str; 20] = [
    "Locked",
    "Recovered",
    "Judged",
    "Prepared",
    "Obtained",
    "Unpacked",
    "Checked",
    "Recorded",
    "Named",
    "Adopted",
    "AdoptedCurrent",
    "Exchanged",
    "Linked",
    "Intended",
    "Flipped",
    "Unlinked",
    "Flagged",
    "Committed",
    "Unnamed",
    "Collected",
];

const SIGKILL: i32 = 9;

/// What a dying process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// The first installation.
    Fresh,
    /// A confirmed release is replaced.
    Upgrade,
    /// A plain directory is taken over.
    Migration,
    /// Back to the confirmed release.
    Rollback,
}

impl Scene {
    /// A host just before.
    fn host(self) -> Host {
        let host = Host::new();
        match self {
            Self::Fresh => {}
            Self::Upgrade | Self::Rollback => {
                host.release("1.0.0", "one");
                verify(&host.layout(), None, true, Duration::from_secs(10)).unwrap();
            }
            Self::Migration => {
                fs::create_dir_all(host.path("models/bitnet")).unwrap();
                fs::write(host.path("models/bitnet/weights.bin"), "old").unwrap();
                let info =
                    r#"{"version":"0.9.0","model_name":"bitnet","artifact_file":"o.tar.gz"}"#;
                fs::write(host.path("models/.current_model_info.json"), info).unwrap();
            }
        }
        host.publish("1.1.0", "two");
        if self == Self::Rollback {
            host.install();
        }
        host
    }

    /// Does it.
    fn act(self, host: &Host) {
        match self {
            Self::Fresh | Self::Upgrade | Self::Migration => drop(host.try_install().unwrap()),
            Self::Rollback => {
                let request = rollback::Request {
                    to: Some(rollback::Named::Number(1)),
                    mark_bad: None,
                    reason: None,
                    wait: Duration::from_secs(10),
                    is_dry_run: false,
                };
                rollback(&host.layout(), &request).unwrap();
            }
        }
    }

    /// The invariants right after the crash.
    #[track_caller]
    fn survives(self, host: &Host, at: &str) {
        if self == Self::Migration && host.current() == Some(0) {
            // The record of the earlier installer still stands and is about the same files.
            verify(&host.layout(), Some(0), false, Duration::from_secs(10)).unwrap();
            assert!(
                matches!(host.info()["version"].as_str(), Some("0.9.0")),
                "{at}"
            );
            let old = fs::read(host.path("models/bitnet/weights.bin"));
            assert!(old.is_ok_and(|bytes| bytes == b"old"), "{at}: no model");
            return;
        }
        // I1 and I2.
        host.holds();
        let version = host
            .current()
            .map(|_| host.info()["version"].as_str().unwrap().to_owned());
        match self {
            Self::Fresh => {
                assert!(
                    matches!(version.as_deref(), None | Some("1.1.0")),
                    "{at}: {version:?}"
                );
            }
            Self::Upgrade | Self::Rollback => {
                assert!(
                    matches!(version.as_deref(), Some("1.0.0" | "1.1.0")),
                    "{at}: {version:?}"
                );
                // I5: the last good generation is there.
                verify(&host.layout(), Some(1), false, Duration::from_secs(10)).unwrap();
            }
            Self::Migration => {
                let old = fs::read(host.path("models/bitnet/weights.bin"));
                let is_new = host.path("models/bitnet/model.safetensors").is_file();
                assert!(
                    old.is_ok_and(|bytes| bytes == b"old") || is_new,
                    "{at}: no model"
                );
            }
        }
    }

    /// I4: the next run ends where an undisturbed one would have.
    #[track_caller]
    fn converges(self, host: &Host, at: &str) {
        self.act(host);
        host.holds();
        host.is_tidy();
        let expected = if self == Self::Rollback {
            "1.0.0"
        } else {
            "1.1.0"
        };
        assert_eq!(host.info()["version"], expected, "{at}");
        assert!(host.ledger().intent.is_none(), "{at}");
        assert_eq!(host.ledger().believed, host.current(), "{at}");
    }
}

#[test]
#[ignore = "the process that dies; the tests below start it"]
fn child() {
    let Ok(root) = std::env::var("VV_TEST_ROOT") else {
        return;
    };
    let scene = match std::env::var("VV_TEST_SCENE").unwrap().as_str() {
        "Fresh" => Scene::Fresh,
        "Upgrade" => Scene::Upgrade,
        "Migration" => Scene::Migration,
        "Rollback" => Scene::Rollback,
        other => panic!("{other}"),
    };
    scene.act(&Host::at(root.into()));
}

/// Runs [`child`], under another program where one is given.
fn run_child(host: &Host, scene: Scene, step: &str, under: &[&str]) -> ExitStatus {
    let program = std::env::current_exe().unwrap();
    let name = "store::tests::crash::child";
    let mut command = match under.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .args(["--exact", name, "--ignored", "--test-threads=1"])
        .env("VV_TEST_ROOT", host.path(""))
        .env("VV_TEST_SCENE", format!("{scene:?}"))
        .env("VV_TEST_KILL_AT", step)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[track_caller]
fn check_steps(scene: Scene, at_least: usize) {
    let mut n_killed = 0;
    for step in STEPS {
        let host = scene.host();
        let status = run_child(&host, scene, step, &[]);
        if status.success() {
            continue;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "{step}: {status}");
        n_killed += 1;
        scene.survives(&host, step);
        scene.converges(&host, step);
    }
    assert!(n_killed >= at_least, "only {n_killed} steps were reached");
}

#[test]
fn s05_a_first_installation_killed_at_any_step() {
    check_steps(Scene::Fresh, 16);
}

#[test]
fn s05_an_upgrade_killed_at_any_step() {
    check_steps(Scene::Upgrade, 16);
}

#[test]
fn s05_a_migration_killed_at_any_step() {
    check_steps(Scene::Migration, 19);
}

#[test]
fn s05_a_rollback_killed_at_any_step() {
    check_steps(Scene::Rollback, 6);
}

#[test]
fn a_deletion_killed_leaves_no_half_of_a_generation() {
    let host = Scene::Upgrade.host();
    for version in ["1.2.0", "1.3.0"] {
        host.release(version, version);
    }
    host.publish("1.4.0", "five");
    let before = host.layout().generation_numbers().unwrap();
    assert_eq!(before, [1, 2, 3]);
    let status = run_child(&host, Scene::Upgrade, "Unnamed", &[]);
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    host.holds();
    assert_eq!(host.layout().generation_numbers().unwrap(), [1, 3, 4]);
    host.install();
    host.is_tidy();
}

#[test]
fn a_run_cut_short_after_its_commit_is_completed_and_told_once() {
    let host = Scene::Upgrade.host();
    let status = run_child(&host, Scene::Upgrade, "Flipped", &[]);
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    let told: Vec<_> = (0..2)
        .map(|_| host.install())
        .map(|outcome| (outcome.change, outcome.completes_earlier))
        .collect();
    assert_eq!(
        told,
        [(Change::Unchanged, true), (Change::Unchanged, false)]
    );
}

#[test]
fn a_migration_cut_before_it_set_current_is_no_damage() {
    let host = Scene::Migration.host();
    let status = run_child(&host, Scene::Migration, "AdoptedCurrent", &[]);
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    fs::remove_file(host.layout().current()).unwrap();
    let found = doctor::examine(&host.layout(), &doctor::Request::default()).unwrap();
    assert!(found.iter().all(|it| !it.is_damage), "{found:#?}");
    Scene::Migration.converges(&host, "before current");
}

/// A line that is seen whether the test passes or not.
fn tell(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether this machine lets one process trace another.
fn can_trace() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// Runs [`child`] while flushes of `directory` itself fail, from the `first` on.
fn run_without_flush(host: &Host, scene: Scene, directory: &Path, first: usize) -> ExitStatus {
    let fail = format!("inject=fsync:error=EIO:when={first}+");
    let mut under = vec!["strace", "-f", "-qq", "-o", "/dev/null", "-e", &fail];
    under.extend(["-P", directory.to_str().unwrap()]);
    run_child(host, scene, "", &under)
}

#[test]
fn s03_a_commit_that_is_not_flushed_is_no_success() {
    if !can_trace() {
        tell("skipped: strace is missing or may not trace here");
        return;
    }
    // An upgrade flushes the directory of `current` once more, when it prepares the store.
    for (scene, before, first) in [(Scene::Upgrade, 1, 2), (Scene::Rollback, 2, 1)] {
        let host = scene.host();
        let status = run_without_flush(&host, scene, &host.layout().root(), first);
        assert!(!status.success(), "{scene:?}");
        let ledger = host.ledger();
        assert_eq!(ledger.believed, Some(before), "{scene:?}");
        assert!(
            ledger.intent.is_some(),
            "{scene:?}: the commit was not tried"
        );
        scene.survives(&host, "commit");
        scene.converges(&host, "commit");
    }
}

#[test]
fn s03_nothing_is_deleted_before_the_journal_tells_what_is_current() {
    if !can_trace() {
        tell("skipped: strace is missing or may not trace here");
        return;
    }
    let host = Scene::Upgrade.host();
    for version in ["1.2.0", "1.3.0"] {
        host.release(version, version);
    }
    host.publish("1.4.0", "five");
    // The flag follows the commit, and the journal's entry follows the flag.
    let status = run_without_flush(&host, Scene::Upgrade, &host.path("models"), 1);
    assert!(status.success(), "the release is current");
    assert_eq!(host.current(), Some(4));
    assert_eq!(host.ledger().believed, Some(3));
    assert_eq!(host.layout().generation_numbers().unwrap(), [1, 2, 3, 4]);
    host.install();
    assert_eq!(host.ledger().believed, Some(4));

    let host = Scene::Rollback.host();
    let status = run_without_flush(&host, Scene::Rollback, &host.path("models"), 1);
    assert!(status.success(), "the earlier release is current");
    assert_eq!((host.current(), host.ledger().believed), (Some(1), Some(2)));
    Scene::Rollback.converges(&host, "follow");
}
