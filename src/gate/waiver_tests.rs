use super::certificate::Certificate;
use super::file::ReportFile;
use super::fixture::{compare_edited, set_scores, tags};
use super::policy::{MEMORY_FLOOR, Margin, SlicePolicy};
use super::verify::verify;
use super::waiver::{Waiver, notices};
use super::*;
use crate::record::observation::{Failure, FailureKind};
use crate::units::Bytes;

/// The built-in policy, with six percent of memory accepted until a day.
fn policy(expires: &str) -> Policy {
    let mut policy = Policy::built_in();
    policy.waivers.push(Waiver {
        check: "peak_bytes".to_owned(),
        slice: None,
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

/// A waiver of `object_recall`, whose margin is 5 points, over all scenes or on a slice.
fn of_recall(slice: Option<&str>, ceiling: f64) -> Waiver {
    Waiver {
        check: "object_recall".to_owned(),
        slice: slice.map(str::to_owned),
        ceiling: Margin::Absolute(ceiling),
        expires: "2026-12-31".to_owned(),
        issue: None,
        reason: "new camera".to_owned(),
        approved_by: "ana".to_owned(),
    }
}

/// A policy with two slices that may veto; `dawn` has the scenes of `night`.
fn sliced(waivers: &[Waiver]) -> Policy {
    let mut policy = Policy::built_in();
    for name in ["night", "dawn"] {
        policy.slices.push(SlicePolicy {
            name: name.into(),
            min_scenes: 20,
        });
    }
    policy.waivers = waivers.to_vec();
    policy.check().expect("good");
    policy
}

/// Recall falls by `night` points at night and by `day` elsewhere.
fn losing(night: f64, day: f64) -> Comparison {
    let comparison = compare_edited(|_, cand| {
        set_scores(cand, "object_recall", |i| {
            let wobble = 0.01 * ((i * 7 % 5) as f64 - 2.0);
            0.8 - wobble - if i % 3 == 0 { night } else { day }
        });
    });
    with_both(comparison.expect("comparable"))
}

/// The scenes of `night` are those of `dawn` too.
fn with_both(comparison: Comparison) -> Comparison {
    let mut tags = tags();
    for tags in tags.values_mut().filter(|it| !it.slices.is_empty()) {
        tags.slices.push("dawn".to_owned());
    }
    comparison.with_tags(tags)
}

/// Outcome, slices that veto, and notices.
fn judged_slices(comparison: &Comparison, policy: &Policy) -> (Outcome, Vec<String>, String) {
    let verdict = judge(comparison, policy, JudgeOptions::default());
    let vetoes = verdict.slices.iter().filter(|it| it.vetoes);
    let vetoes = vetoes.map(|it| it.slice.clone()).collect();
    (
        verdict.outcome,
        vetoes,
        notices(comparison, policy).join("\n"),
    )
}

#[test]
fn a_waiver_of_one_slice_covers_no_other() {
    // Fifteen points at night, made up for by day.
    let comparison = losing(0.15, -0.08);
    let strict = judged_slices(&comparison, &sliced(&[]));
    assert_eq!(strict.0, Outcome::Fail);
    assert_eq!(strict.1, ["night", "dawn"]);
    let one = sliced(&[of_recall(Some("night"), 0.20)]);
    let (outcome, vetoes, notice) = judged_slices(&comparison, &one);
    assert_eq!((outcome, vetoes), (Outcome::Fail, vec!["dawn".to_owned()]));
    assert_eq!(
        notice,
        "waiver: object_recall in slice night may lose up to 20 points until 2026-12-31 (in use): \
         new camera (approved by ana)"
    );
    let both = sliced(&[
        of_recall(Some("night"), 0.20),
        of_recall(Some("dawn"), 0.20),
    ]);
    let (outcome, vetoes, _) = judged_slices(&comparison, &both);
    assert_eq!((outcome, vetoes), (Outcome::Pass, Vec::new()));
}

#[test]
fn a_waiver_of_a_slice_covers_neither_the_whole_nor_another_check() {
    let comparison = losing(0.15, 0.06);
    let policy = sliced(&[
        of_recall(Some("night"), 0.20),
        of_recall(Some("dawn"), 0.20),
    ]);
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert!(
        verdict.reasons[0].starts_with("object_recall fell by 9.0 points"),
        "{:?}",
        verdict.reasons
    );
    let other = compare_edited(|_, cand| {
        set_scores(cand, "fact_ok", |i| if i % 3 == 0 { 0.0 } else { 1.0 });
    });
    let (outcome, vetoes, _) = judged_slices(&with_both(other.expect("comparable")), &policy);
    assert_eq!(outcome, Outcome::Fail);
    assert!(vetoes.contains(&"night".to_owned()), "{vetoes:?}");
}

#[test]
fn a_waiver_of_the_whole_leaves_the_vetoes_of_slices() {
    let comparison = losing(0.15, 0.06);
    let whole = sliced(&[of_recall(None, 0.20)]);
    let verdict = judge(&comparison, &whole, JudgeOptions::default());
    let recall = verdict
        .checks
        .iter()
        .find(|check| check.metric == "object_recall");
    assert_eq!(recall.expect("checked").outcome, Some(Outcome::Pass));
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert!(verdict.reasons[0].starts_with("slice night: object_recall fell by 15.0 points"));
    // All three together cover what was lost.
    let all = sliced(&[
        of_recall(None, 0.20),
        of_recall(Some("night"), 0.20),
        of_recall(Some("dawn"), 0.20),
    ]);
    assert_eq!(judged_slices(&comparison, &all).0, Outcome::Pass);
}

#[test]
fn a_slice_vetoes_from_the_ceiling_on() {
    let policy = sliced(&[
        of_recall(Some("night"), 0.12),
        of_recall(Some("dawn"), 0.20),
    ]);
    let comparison = losing(0.15, -0.08);
    let (outcome, vetoes, notice) = judged_slices(&comparison, &policy);
    assert_eq!((outcome, vetoes), (Outcome::Fail, vec!["night".to_owned()]));
    assert!(notice.contains("night may lose up to 12 points until 2026-12-31 (not enough)"));
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    assert_eq!(
        verdict.reasons,
        [
            "slice night: object_recall fell by 15.0 points on 20 scenes, shown to be a loss and at \
             least what is waived until 2026-12-31 (12.0 points)"
        ]
    );
    let night = verdict
        .slices
        .iter()
        .find(|it| it.metric == "object_recall");
    let night = night.expect("judged");
    assert_eq!(night.waived_until.as_deref(), Some("2026-12-31"));
    assert!((night.veto_from + 0.12).abs() < 1e-12, "{night:?}");
}

#[test]
fn a_waiver_of_a_slice_expires_and_is_told_to_be_needless() {
    let mut waiver = of_recall(Some("night"), 0.20);
    waiver.expires = "2026-01-01".to_owned();
    let policy = sliced(&[waiver, of_recall(Some("dawn"), 0.20)]);
    let (outcome, vetoes, notice) = judged_slices(&losing(0.15, -0.08), &policy);
    assert_eq!((outcome, vetoes), (Outcome::Fail, vec!["night".to_owned()]));
    assert!(notice.contains("night may lose up to 20 points until 2026-01-01 (expired"));
    let (outcome, _, notice) = judged_slices(&losing(0.02, 0.0), &policy);
    assert_eq!(outcome, Outcome::Pass);
    assert!(notice.contains("dawn may lose up to 20 points until 2026-12-31 (not needed: remove"));
}

#[test]
fn a_waiver_of_what_was_not_judged_is_not_said_to_be_needless() {
    let failure = Failure {
        kind: FailureKind::Crashed,
        pass: "memory".into(),
        scene: None,
        detail: "signal 9".into(),
        stderr_tail: String::new(),
    };
    let comparison = compare_edited(|_, cand| cand.record.failure = Some(failure));
    let comparison = with_both(comparison.expect("comparable"));
    let policy = sliced(&[of_recall(None, 0.20), of_recall(Some("night"), 0.20)]);
    let notices = notices(&comparison, &policy);
    assert_eq!(notices.len(), 2);
    for notice in notices {
        assert!(notice.contains("(not judged in this run)"), "{notice}");
    }
}

#[test]
fn a_slice_that_is_missing_stays_invalid_whatever_is_waived() {
    let mut policy = sliced(&[of_recall(Some("night"), 0.20)]);
    policy.slices[0].min_scenes = 30;
    let verdict = judge(&losing(0.15, -0.08), &policy, JudgeOptions::default());
    assert_eq!(verdict.outcome, Outcome::Invalid);
}

#[test]
fn what_was_waived_is_computed_again_and_a_wider_waiver_shows() {
    let policy = sliced(&[
        of_recall(Some("night"), 0.20),
        of_recall(Some("dawn"), 0.20),
    ]);
    let comparison = losing(0.15, -0.08);
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    let file = ReportFile::of_comparison(&comparison, &policy, &verdict)
        .with_certificate(Certificate::of(&comparison, &policy, 20))
        .with_notices(notices(&comparison, &policy));
    assert_eq!(verify(&file), Ok(Vec::new()));
    let first_field = |edit: &dyn Fn(&mut ReportFile)| {
        let mut edited = file.clone();
        edit(&mut edited);
        // Whoever edits a report may seal it again.
        edited.policy_sha256 = edited.policy.digest();
        let found = verify(&edited.sealed()).expect("no planted harm");
        found.first().map(|it| it.field.clone())
    };
    let field = first_field(&|it| it.notices.clear());
    assert_eq!(field.as_deref(), Some("notices"));
    let field = first_field(&|it| it.policy.waivers.clear());
    assert_eq!(field.as_deref(), Some("verdict.outcome"));
    let field = first_field(&|it| it.policy.waivers[0].expires = "2026-01-01".into());
    assert_eq!(field.as_deref(), Some("notices"));
    let field = first_field(&|it| it.verdict.slices[2].waived_until = None);
    assert_eq!(field.as_deref(), Some("verdict.slices[2].waived_until"));
}
