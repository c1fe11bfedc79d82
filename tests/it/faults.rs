//! Models that crash, hang or compute nonsense.

use vv_eval::gate::file::ReportFile;
use vv_eval::record::{Failure, FailureKind};

use super::common::{FAST_POLICY, Lab};

/// Compares two models, one of them harmed, and gives the failure of that one.
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
fn a_model_that_wants_more_memory_than_a_worker_may_take_has_failed() {
    for (role, code) in [("candidate", 1), ("baseline", 3)] {
        let lab = Lab::new();
        let limited = "scene_timeout_s = 60\nworker_memory_bytes = 134217728";
        lab.write(
            "gate.toml",
            FAST_POLICY.replace("scene_timeout_s = 60", limited),
        );
        let found = failure(&lab, role, "ballast:256", code);
        assert_eq!(found.kind, FailureKind::OutOfMemory, "{role}: {found:?}");
        assert!(
            found.detail.contains("a worker may take 128.0 MiB"),
            "{role}: {}",
            found.detail
        );
    }
}

#[test]
fn a_planted_run_is_invalid_unless_asked_for() {
    let lab = Lab::new();
    let ran = lab.compare("1.0.0", "1.1.0", &["--plant", "candidate=panic@0"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
}
