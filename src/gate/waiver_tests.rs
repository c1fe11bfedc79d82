use super::fixture::compare_edited;
use super::policy::{MEMORY_FLOOR, Margin};
use super::waiver::{Waiver, notices};
use super::*;
use crate::record::observation::{Failure, FailureKind};
use crate::units::Bytes;

/// The built-in policy, with six percent of memory accepted until a day.
fn policy(expires: &str) -> Policy {
    let mut policy = Policy::built_in();
    policy.waivers.push(Waiver {
        check: "peak_bytes".to_owned(),
        ceiling: Margin::Memory {
            relative: 0.06,
            floor_bytes: MEMORY_FLOOR,
        },
        expires: expires.to_owned(),
        issue: Some("#212".to_owned()),
        reason: "wider vocabulary".to_owned(),
        approved_by: "ana".to_owned(),
    });
    policy.check().expect("good");
    policy
}

/// A candidate with this peak against a baseline of 1000 MiB; records of 2026-01-02.
fn peak(mib: u64) -> Comparison {
    compare_edited(|base, cand| {
        let runs = base.record.memory.iter_mut();
        runs.for_each(|run| run.peak_bytes = Bytes(1000 << 20));
        let runs = cand.record.memory.iter_mut();
        runs.for_each(|run| run.peak_bytes = Bytes(mib << 20));
    })
    .expect("comparable")
}

fn judged(mib: u64, expires: &str) -> (Outcome, String, String) {
    let (comparison, policy) = (peak(mib), policy(expires));
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    let check = verdict
        .checks
        .iter()
        .find(|check| check.metric == "peak_bytes");
    let reason = check
        .and_then(|check| check.reason.clone())
        .unwrap_or_default();
    (
        verdict.outcome,
        reason,
        notices(&comparison, &policy).join("\n"),
    )
}

#[test]
fn a_waived_loss_passes_and_is_told_first() {
    let (outcome, reason, notices) = judged(1050, "2026-01-02");
    assert_eq!(outcome, Outcome::Pass, "{reason}");
    assert!(
        reason.contains("waived until 2026-01-02 up to 6 %"),
        "{reason}"
    );
    assert_eq!(
        notices,
        "waiver: peak_bytes may lose up to 6 % or 4.0 MiB until 2026-01-02 (in use): wider \
         vocabulary (approved by ana, #212)"
    );
}

#[test]
fn a_loss_over_the_ceiling_fails() {
    let (outcome, reason, _) = judged(1070, "2026-12-31");
    assert_eq!(outcome, Outcome::Fail);
    assert!(
        reason.contains("waived until 2026-12-31 up to 6 %"),
        "{reason}"
    );
}

#[test]
fn an_expired_waiver_does_not_count() {
    let (outcome, _, notices) = judged(1050, "2026-01-01");
    assert_eq!(outcome, Outcome::Fail);
    assert!(
        notices.contains("expired, so it does not count"),
        "{notices}"
    );
}

#[test]
fn a_waiver_nobody_needs_is_said_to_be_one() {
    let (outcome, reason, notices) = judged(1010, "2026-12-31");
    assert_eq!((outcome, reason.as_str()), (Outcome::Pass, ""));
    assert!(notices.contains("not needed: remove it"), "{notices}");
}

#[test]
fn a_waiver_covers_neither_a_failed_model_nor_an_invalid_run() {
    let failure = || Failure {
        kind: FailureKind::Crashed,
        pass: "memory".into(),
        scene: None,
        detail: "signal 9".into(),
        stderr_tail: String::new(),
    };
    let policy = policy("2026-12-31");
    let of = |comparison: Comparison| judge(&comparison, &policy, JudgeOptions::default()).outcome;
    let candidate = compare_edited(|_, cand| cand.record.failure = Some(failure()));
    assert_eq!(of(candidate.expect("comparable")), Outcome::Fail);
    let baseline = compare_edited(|base, _| base.record.failure = Some(failure()));
    assert_eq!(of(baseline.expect("comparable")), Outcome::Invalid);
}
