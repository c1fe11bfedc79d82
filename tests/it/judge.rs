//! `judge`, `verify` and `plan` on what one comparison left behind.

use serde_json::Value;
use vv_eval::gate::file::ReportFile;

use super::common::{Lab, Ran, scene_set};

/// Verifies `name` of the working directory with the scenes of the repository.
fn verify(lab: &Lab, name: &str) -> Ran {
    let scenes = scene_set();
    lab.run(&["verify", name, "--scenes", scenes.to_str().unwrap()])
}

/// Writes the report after an edit of its JSON.
fn edited(lab: &Lab, edit: impl FnOnce(&mut Value)) {
    let mut report: Value = serde_json::from_slice(&lab.output("report.json")).unwrap();
    edit(&mut report);
    let mut bytes = serde_json::to_vec_pretty(&report).unwrap();
    bytes.push(b'\n');
    lab.write("edited.json", bytes);
}

const RECORDS: [&str; 2] = ["out/baseline.record.json", "out/candidate.record.json"];

/// Judges the records of the comparison again.
fn judge(lab: &Lab, further: &[&str]) -> Ran {
    let scenes = scene_set();
    let scenes = ["--scenes", scenes.to_str().unwrap()];
    lab.run(&[&["judge"], &RECORDS[..], &scenes, further].concat())
}

#[test]
fn a_comparison_is_judged_again_verified_and_planned_from() {
    let lab = Lab::new();
    // Records do not tell what earlier runs found, and without a cache nobody looks.
    let ran = lab.compare("1.0.0", "1.1.0", &["--no-cache"]);
    assert!(matches!(ran.code, Some(0..=2)), "{}", ran.all());
    the_same_records_are_the_same_report(&lab, ran.code);
    another_policy_is_another_verdict(&lab);
    other_records_or_scenes_are_refused(&lab);
    the_report_holds_until_it_is_changed(&lab);
    margins_are_planned(&lab);
}

fn the_same_records_are_the_same_report(lab: &Lab, code: Option<i32>) {
    let again = judge(lab, &["--format", "json"]);
    assert_eq!(again.code, code, "{}", again.all());
    assert_eq!(again.stdout.as_bytes(), lab.output("report.json"));
    let again = judge(lab, &["--out", "again"]);
    assert_eq!(again.code, code, "{}", again.all());
    assert!(lab.path("again/report.json").is_file() && lab.path("again/report.md").is_file());
}

fn another_policy_is_another_verdict(lab: &Lab) {
    lab.write(
        "strict.toml",
        "schema_version = 1\nmode = \"smoke\"\n[[check]]\nmetric = \"chrf_pp\"\n\
         limit = { at_least = 0.9 }\n",
    );
    let strict = judge(lab, &["--policy", "strict.toml", "--out", "strict"]);
    assert_eq!(strict.code, Some(1), "{}", strict.all());
    assert!(
        strict.stdout.contains("at least 90.0 % is demanded"),
        "{}",
        strict.all()
    );
    // The orders are those of the run's own policy, and whoever verifies is told.
    let told = "do not follow from the policy it is judged by";
    assert!(strict.stdout.contains(told), "{}", strict.all());
    let holds = verify(lab, "strict/report.json");
    assert_eq!(holds.code, Some(0), "{}", holds.all());
    let report = std::fs::read(lab.path("strict/report.json")).unwrap();
    let mut report: Value = serde_json::from_slice(&report).unwrap();
    report.as_object_mut().unwrap().remove("notices").unwrap();
    lab.write("untold.json", serde_json::to_vec_pretty(&report).unwrap());
    let broken = verify(lab, "untold.json");
    assert_eq!(broken.code, Some(1), "{}", broken.all());
    let field = "`evidence.baseline_record.plan.seed` is ";
    assert!(broken.stdout.contains(field), "{}", broken.stdout);
}

fn other_records_or_scenes_are_refused(lab: &Lab) {
    let scenes = scene_set();
    let scenes = scenes.to_str().unwrap();
    let swapped = lab.run(&["judge", RECORDS[1], RECORDS[0], "--scenes", scenes]);
    assert_eq!(swapped.code, Some(3), "{}", swapped.all());
    let elsewhere = lab.run(&["judge", RECORDS[0], RECORDS[1]]);
    assert_eq!(elsewhere.code, Some(3), "{}", elsewhere.all());
    assert!(elsewhere.stderr.contains("hint: "), "{}", elsewhere.stderr);
}

type Edit = fn(&mut Value);

/// A change of a report, and the field that no longer holds.
const EDITS: [(&str, Edit); 6] = [
    ("evidence.baseline_record.plan.seed", |report| {
        report["evidence"]["baseline_record"]["plan"]["seed"] = "0".repeat(64).into();
    }),
    ("verdict.outcome", |report| {
        report["verdict"]["outcome"] = "invalid".into();
    }),
    ("policy_sha256", |report| {
        report["policy"]["confidence"]["false_pass"] = 0.4.into();
    }),
    ("evidence.candidate_record.outputs[0]", |report| {
        report["evidence"]["candidate_record"]["outputs"][0]["text"] = "Nada.".into();
    }),
    ("evidence.candidate_scores[0]", |report| {
        let scores = &mut report["evidence"]["candidate_scores"][0];
        scores["metrics"]["chrf_pp"] = 0.999.into();
    }),
    ("seal.report", |report| {
        report["policy"]["origin"] = "built_in".into();
    }),
];

fn the_report_holds_until_it_is_changed(lab: &Lab) {
    let holds = verify(lab, "out/report.json");
    assert_eq!(holds.code, Some(0), "{}", holds.all());
    assert!(holds.stdout.contains("taken again"), "{}", holds.stdout);
    // Also where its scene set is not at hand.
    let holds = lab.run(&["verify", "out"]);
    assert_eq!(holds.code, Some(0), "{}", holds.all());
    assert!(holds.stdout.contains("as they stand"), "{}", holds.stdout);
    for (field, edit) in EDITS {
        edited(lab, edit);
        let broken = verify(lab, "edited.json");
        assert_eq!(broken.code, Some(1), "{field}: {}", broken.all());
        let is_named = broken.stdout.contains(&format!("`{field}"));
        assert!(is_named, "{field}: {}", broken.stdout);
    }
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    lab.write("compact.json", serde_json::to_vec(&report).unwrap());
    assert_eq!(verify(lab, "compact.json").code, Some(1));
    lab.write("cut.json", &lab.output("report.json")[..500]);
    assert_eq!(verify(lab, "cut.json").code, Some(3));
}

fn margins_are_planned(lab: &Lab) {
    let from = ["plan", "--from", "out/report.json"];
    let plan = lab.run(&from);
    assert_eq!(plan.code, Some(0), "{}", plan.all());
    assert!(plan.stdout.contains("object_recall"), "{}", plan.stdout);
    let scenes_for = |margin: &str| {
        let ran = lab.run(&[&from[..], &["--format", "json", "--margin", margin]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
        plan["checks"][0]["n_to_pass"].as_u64().unwrap()
    };
    assert!(scenes_for("object_recall=0.1") < scenes_for("object_recall=0.05"));
    for bad in [
        "object_recall",
        "object_recall=0",
        "object_recal=0.1",
        "valid=0.1",
    ] {
        let ran = lab.run(&[&from[..], &["--margin", bad]].concat());
        assert_eq!(ran.code, Some(3), "{bad}: {}", ran.all());
    }
}

#[test]
fn a_report_that_needed_no_run_holds_and_plans_nothing() {
    let lab = Lab::new();
    let ran = lab.compare("1.0.0", "1.0.0", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let holds = lab.run(&["verify", "out/report.json"]);
    assert_eq!(holds.code, Some(0), "{}", holds.all());
    assert!(holds.stdout.contains("the same files"), "{}", holds.stdout);
    let plan = lab.run(&["plan", "--from", "out/report.json"]);
    assert_eq!(plan.code, Some(3), "{}", plan.all());
    assert!(plan.stderr.contains("--force-run"), "{}", plan.stderr);
}

#[test]
fn files_that_are_no_reports_or_records_are_refused() {
    let lab = Lab::new();
    lab.write("x.json", "{\"schema_version\": 3}");
    for arguments in [
        &["verify", "x.json"][..],
        &["verify", "nowhere.json"],
        &["plan", "--from", "x.json"],
        &["judge", "x.json", "x.json"],
    ] {
        let ran = lab.run(arguments);
        assert_eq!(ran.code, Some(3), "{arguments:?}: {}", ran.all());
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
}
