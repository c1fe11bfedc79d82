//! Models that crash, hang or compute nonsense, and workers killed from outside.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vv_eval::gate::file::ReportFile;
use vv_eval::record::{Failure, FailureKind};

use super::common::{FAST_POLICY, Lab, PROGRAM};

/// CPU time after which a worker has surely said who it is, in clock ticks.
const BUSY_TICKS: u64 = 5;

/// Compares a model with itself, one role harmed, and gives that role's failure.
#[track_caller]
fn failure(lab: &Lab, role: &str, harm: &str, code: i32) -> Failure {
    let plant = format!("{role}={harm}");
    let ran = lab.compare("1.0.0", "1.1.0", &["--plant", &plant, "--judge-scripted"]);
    assert_eq!(ran.code, Some(code), "{}", ran.all());
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    assert!(!report.verdict.counts);
    let evidence = report.evidence.unwrap();
    let record = match role {
        "baseline" => evidence.baseline_record,
        _ => evidence.candidate_record,
    };
    assert_eq!(record.planted.as_deref(), Some(harm));
    record.failure.expect("the failure is in the report")
}

/// A harmed candidate fails; a harmed baseline leaves nothing to compare with.
#[track_caller]
fn check(harm: &str, kind: FailureKind, words: &str) {
    for (role, code) in [("candidate", 1), ("baseline", 3)] {
        let found = failure(&Lab::new(), role, harm, code);
        assert_eq!(found.kind, kind, "{role}");
        let said = format!("{} {:?}", found.detail, found.stderr_tail);
        assert!(said.contains(words), "{role}: {said}");
    }
}

#[test]
fn a_panic_is_a_crash_with_its_last_words() {
    check(
        "panic@40",
        FailureKind::Crashed,
        "planted panic after 40 calls",
    );
}

#[test]
fn an_abort_is_a_crash() {
    check("abort@7", FailureKind::Crashed, "signal");
}

#[test]
fn a_nan_is_found() {
    check("nan@0", FailureKind::NotFinite, "NaN");
}

#[test]
fn a_hang_ends_at_the_time_limit() {
    let lab = Lab::new();
    lab.write(
        "gate.toml",
        FAST_POLICY.replace("scene_timeout_s = 60", "scene_timeout_s = 2"),
    );
    let found = failure(&lab, "candidate", "hang@3", 1);
    assert_eq!(found.kind, FailureKind::TimedOut);
    assert!(
        found.detail.contains("no answer within 2s"),
        "{}",
        found.detail
    );
}

#[test]
fn a_planted_run_is_invalid_unless_asked_for() {
    let lab = Lab::new();
    let ran = lab.compare("1.0.0", "1.1.0", &["--plant", "candidate=panic@0"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
}

/// Process ids of the workers of `parent`, each with the CPU time it has used, in ticks.
fn workers(parent: u32) -> Vec<(u32, u64)> {
    let worker = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name, which may hold anything: state, parent, …, 12th and 13th the CPU time.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        (fields[1].parse() == Ok(parent) && is_worker(pid)).then_some((pid, ticks))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(worker).collect()
}

fn is_worker(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("__worker"))
}

#[test]
#[cfg(target_os = "linux")]
fn workers_killed_from_outside_never_lead_to_a_pass() {
    let lab = Lab::new();
    let mut child = Command::new(PROGRAM)
        .args(lab.compare_arguments("1.0.0", "1.1.0"))
        .current_dir(lab.path(""))
        .stdout(fs::File::create(lab.path("stdout")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut killed = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(100) {
            child.kill().unwrap();
            panic!("the run did not end");
        }
        for (pid, ticks) in workers(child.id()) {
            if ticks >= BUSY_TICKS && !killed.contains(&pid) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
                killed.push(pid);
            }
        }
        thread::sleep(Duration::from_millis(2));
    };
    let stdout = fs::read_to_string(lab.path("stdout")).unwrap();
    assert!(killed.len() >= 2, "{killed:?}");
    assert!(matches!(status.code(), Some(1 | 3)), "{status}\n{stdout}");
    assert!(stdout.contains("signal 9"), "{stdout}");
    assert!(!killed.iter().any(|pid| is_worker(*pid)));
}
