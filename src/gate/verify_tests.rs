use super::*;
use crate::gate::earlier::{Earlier, SelftestFound};
use crate::gate::fixture::{compare_edited, roles, set_scores};
use crate::gate::policy::Policy;
use crate::record::Environment;

fn report() -> ReportFile {
    let comparison = compare_edited(|_, cand| {
        set_scores(cand, "object_recall", |i| 0.8 - 0.02 * (i % 3) as f64);
    })
    .unwrap();
    let policy = Policy::built_in();
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    let certificate = Certificate::of(&comparison, &policy, 20);
    ReportFile::of_comparison(&comparison, &policy, &verdict).with_certificate(certificate)
}

/// The report after an edit of its JSON, read again.
fn edited(edit: impl FnOnce(&mut Value)) -> ReportFile {
    let mut value = serde_json::to_value(report()).unwrap();
    edit(&mut value);
    ReportFile::from_json(&serde_json::to_vec(&value).unwrap()).unwrap()
}

#[track_caller]
fn check(edit: impl FnOnce(&mut Value), field: &str) {
    let found = verify(&edited(edit)).unwrap();
    let fields: Vec<&str> = found.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields.first().copied(), Some(field), "{found:#?}");
    assert_eq!(fields.last().copied(), Some("seal.report"));
}

#[test]
fn a_report_holds_as_it_was_written() {
    let file = report();
    assert_eq!(verify(&file), Ok(Vec::new()));
    let bytes = serde_json::to_vec_pretty(&file).unwrap();
    assert_eq!(
        verify(&ReportFile::from_json(&bytes).unwrap()),
        Ok(Vec::new())
    );
}

#[test]
fn what_was_changed_is_named() {
    check(
        |report| report["verdict"]["outcome"] = "fail".into(),
        "verdict.outcome",
    );
    check(
        |report| report["verdict"]["checks"][2]["estimate"]["low"] = (-0.01).into(),
        "verdict.checks[2].estimate.low",
    );
    check(
        |report| report["verdict"]["checks"][2]["reason"] = "all is well".into(),
        "verdict.checks[2].reason",
    );
    check(
        |report| report["policy"]["check"][2]["margin"]["absolute"] = 0.2.into(),
        "policy_sha256",
    );
    check(
        |report| report["policy_sha256"] = "0".repeat(64).into(),
        "policy_sha256",
    );
    check(
        |report| report["evidence"]["candidate_scores"][3]["metrics"]["fact_ok"] = 0.into(),
        "evidence.candidate_scores[3]",
    );
    check(
        |report| report["evidence"]["baseline_record"]["outputs"][5]["text"] = "x".into(),
        "evidence.baseline_record.outputs[5]",
    );
    check(
        |report| {
            let launch = &mut report["evidence"]["candidate_record"]["launches"][2];
            launch["decode"][0]["cpu_ns"] = 1.into();
        },
        "evidence.candidate_record.launches[2]",
    );
    check(
        |report| report["evidence"]["candidate_record"]["host"]["cpu"] = "other".into(),
        "evidence.candidate_record.host.cpu",
    );
    check(
        |report| {
            let outputs = &mut report["evidence"]["candidate_record"]["outputs"];
            outputs.as_array_mut().unwrap().pop();
        },
        "evidence.candidate_record.outputs[59]",
    );
    check(
        |report| report["candidate"]["version"] = "9.9.9".into(),
        "candidate.version",
    );
    check(
        |report| report["certificate"]["equal"]["fail"] = 0.5.into(),
        "certificate.equal.fail",
    );
    check(
        |report| report["n_scenes_worse"] = 0.into(),
        "n_scenes_worse",
    );
}

#[test]
fn what_follows_from_nothing_is_sealed_all_the_same() {
    check(
        |report| report["policy"]["origin"] = serde_json::json!({"file": "other.toml"}),
        "seal.report",
    );
    check(
        |report| report["seal"]["report"] = "1".repeat(64).into(),
        "seal.report",
    );
}

#[test]
fn what_earlier_runs_found_is_sealed() {
    let found = SelftestFound {
        at: "2026-01-02T03:04:05Z".to_owned(),
        n_caught: 12,
        n_cases: 13,
        missed: vec!["fat".to_owned()],
    };
    let earlier = Earlier {
        selftest: Some(found),
        noise_floor: None,
    };
    let mut file = report().with_earlier(Some(earlier));
    assert_eq!(verify(&file), Ok(Vec::new()));
    let earlier = file.earlier.as_mut().unwrap();
    earlier.selftest.as_mut().unwrap().n_caught = 13;
    let found = verify(&file).unwrap();
    assert_eq!(found[0].field, "earlier.selftest.n_caught", "{found:#?}");
}

#[test]
fn many_changes_have_a_short_answer() {
    let file = edited(|report| {
        let outputs = &mut report["evidence"]["baseline_record"]["outputs"];
        for output in outputs.as_array_mut().unwrap() {
            output["text"] = "x".into();
        }
    });
    let found = verify(&file).unwrap();
    assert_eq!(found[MOST_PARTS].field, "seal.parts");
    assert!(found[MOST_PARTS].written.contains("60 parts"), "{found:#?}");
    assert!(found.len() <= MOST_PARTS + 4, "{found:#?}");
}

#[test]
fn a_report_of_before_parts_were_sealed_holds() {
    let mut older = report();
    let evidence = older.evidence.as_mut().unwrap();
    for record in [
        &mut evidence.baseline_record,
        &mut evidence.candidate_record,
    ] {
        record.environment = Some(Environment::default());
    }
    // Nor did it name a key, although its record tells of its surroundings.
    assert_eq!(older.comparability_key, None);
    older.seal.parts.clear();
    older.seal = Seal::as_written(&older);
    assert!(older.seal.parts.is_empty());
    assert_eq!(verify(&older), Ok(Vec::new()));
    older.evidence.as_mut().unwrap().candidate_record.host.cpu = "other".to_owned();
    let found = verify(&older).unwrap();
    assert_eq!(found[0].field, "evidence.candidate_record", "{found:#?}");
}

#[test]
fn a_flipped_byte_anywhere_shows() {
    let original = report();
    let bytes = serde_json::to_vec_pretty(&original).unwrap();
    let mut n_read = 0;
    // Numbers, words and digests among them; a step that is no multiple of a line's length.
    for place in (0..bytes.len()).step_by(701) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        let Ok(file) = ReportFile::from_json(&flipped) else {
            continue;
        };
        n_read += 1;
        let is_same_data = file == original;
        assert!(
            is_same_data || verify(&file) != Ok(Vec::new()),
            "byte {place}: {}",
            String::from_utf8_lossy(&flipped[place.saturating_sub(40)..place + 40])
        );
    }
    assert!(n_read > 30, "only {n_read} flips could be read");
}

#[test]
fn a_planted_run_proves_nothing() {
    let comparison = compare_edited(|_, cand| cand.record.planted = Some("slow".into())).unwrap();
    let policy = Policy::built_in();
    let verdict = judge(
        &comparison,
        &policy,
        JudgeOptions {
            judge_planted: true,
        },
    );
    let file = ReportFile::of_comparison(&comparison, &policy, &verdict);
    assert_eq!(verify(&file), Err(Error::Planted));
}

#[test]
fn identical_models_need_no_samples_and_others_do() {
    let (base, cand) = roles();
    let model = &base.record.model;
    let verdict = identical_verdict(model, model).unwrap();
    let policy = Policy::built_in();
    let file = ReportFile::without_run(model, model, &policy, &verdict);
    assert_eq!(verify(&file), Ok(Vec::new()));
    let claimed = ReportFile::without_run(model, &cand.record.model, &policy, &verdict);
    let found = verify(&claimed).unwrap();
    assert_eq!(found[0].field, "evidence", "{found:?}");
}
