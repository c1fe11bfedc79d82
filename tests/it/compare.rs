//! `vv-eval compare` on models whose order is known.

use std::process::{Command, Stdio};

use vv_eval::gate::file::{OutcomeFile, ReportFile};
use vv_eval::gate::policy::Origin;
use vv_eval::record::RunRecord;

use super::common::{Lab, PROGRAM, Ran};

fn report(lab: &Lab) -> ReportFile {
    serde_json::from_slice(&lab.output("report.json")).unwrap()
}

fn record(lab: &Lab, role: &str) -> RunRecord {
    serde_json::from_slice(&lab.output(&format!("{role}.record.json"))).unwrap()
}

/// Compares two models, expects one of the exit codes and a report that agrees with it.
#[track_caller]
fn check(lab: &Lab, baseline: &str, candidate: &str, codes: &[i32], further: &[&str]) -> Ran {
    let ran = lab.compare(baseline, candidate, further);
    assert!(
        ran.code.is_some_and(|code| codes.contains(&code)),
        "{}",
        ran.all()
    );
    let outcome = match ran.code {
        Some(0) => OutcomeFile::Pass,
        Some(1) => OutcomeFile::Fail,
        _ => OutcomeFile::Inconclusive,
    };
    assert_eq!(report(lab).verdict.outcome, outcome);
    assert!(lab.has_output("report.md"));
    ran
}

/// Why the candidate was not passed.
fn reasons(lab: &Lab) -> String {
    report(lab).verdict.reasons.join("\n")
}

#[test]
fn a_better_model_passes() {
    let lab = Lab::new();
    check(&lab, "1.0.0", "1.1.0", &[0], &[]);
    let report = report(&lab);
    assert!(report.verdict.counts);
    assert_eq!(report.policy.origin, Origin::File("gate.toml".to_owned()));
}

#[test]
fn a_worse_model_does_not_pass() {
    let lab = Lab::new();
    check(&lab, "1.1.0", "1.0.0", &[1, 2], &[]);
    assert!(reasons(&lab).contains("object_recall"), "{}", reasons(&lab));
}

#[test]
fn an_undertrained_model_fails() {
    let lab = Lab::new();
    check(&lab, "1.1.0", "1.1.1-undertrained", &[1], &[]);
    let reasons = reasons(&lab);
    let names_quality = ["object_recall", "valid"]
        .iter()
        .any(|id| reasons.contains(id));
    assert!(names_quality, "{reasons}");
}

#[test]
fn a_heavier_model_with_the_same_function_says_the_same() {
    let lab = Lab::of_few_scenes();
    check(&lab, "1.1.0", "1.1.2-heavy", &[2], &[]);
    let said = |role| {
        let outputs = record(&lab, role).outputs.into_iter();
        let said: Vec<_> = outputs
            .map(|output| (output.scene, output.token_ids))
            .collect();
        assert!(!said.is_empty());
        said
    };
    assert_eq!(said("baseline"), said("candidate"));
}

#[test]
fn the_same_model_twice_passes_without_a_run() {
    let lab = Lab::new();
    let ran = check(&lab, "1.0.0", "1.0.0", &[0], &[]);
    assert!(ran.stdout.contains("identical artifacts"), "{}", ran.all());
    assert!(report(&lab).verdict.identical_artifacts);
    for name in [
        "baseline.record.json",
        "candidate.record.json",
        "journal.jsonl",
    ] {
        assert!(!lab.has_output(name), "{name}");
    }
}

#[test]
fn the_same_model_twice_is_run_when_asked_and_never_fails() {
    let lab = Lab::new();
    check(&lab, "1.0.0", "1.0.0", &[0, 2], &["--force-run"]);
    assert!(!record(&lab, "candidate").outputs.is_empty());
    assert!(!record(&lab, "candidate").launches.is_empty());
}

#[test]
fn workers_compute_with_the_kernel_that_is_named() {
    let lab = Lab::of_few_scenes();
    let arguments = lab.compare_arguments("1.0.0", "1.0.0");
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.push("--force-run");
    let ran = lab.run_with(&arguments, &[("VV_EVAL_KERNEL", "scalar")]);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    for role in ["baseline", "candidate"] {
        assert_eq!(record(&lab, role).host.kernel, "scalar");
    }
}

#[test]
fn a_kernel_this_machine_lacks_is_refused() {
    let lab = Lab::new();
    let arguments = lab.compare_arguments("1.0.0", "1.0.0");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = lab.run_with(&arguments, &[("VV_EVAL_KERNEL", "avx1024")]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    for words in [
        "VV_EVAL_KERNEL is `avx1024`",
        "this machine has scalar",
        "hint: unset",
    ] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn json_and_markdown_on_stdout_are_the_files() {
    for (format, file) in [("json", "report.json"), ("markdown", "report.md")] {
        let lab = Lab::new();
        let ran = check(&lab, "1.0.0", "1.0.0", &[0], &["--format", format]);
        assert!(!ran.stdout.is_empty());
        assert_eq!(ran.stdout.as_bytes(), lab.output(file), "{format}");
    }
}

#[test]
fn colour_is_for_terminals_and_those_who_ask() {
    let no_color: &[(&str, &str)] = &[("NO_COLOR", "1")];
    for (further, environment, is_coloured) in [
        (&[][..], &[][..], false),
        (&[], no_color, false),
        (&["--color", "never"], &[], false),
        (&["--color", "always"], &[], true),
    ] {
        let lab = Lab::new();
        let arguments = lab.compare_arguments("1.0.0", "1.0.0");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = lab.run_with(&[&arguments, further].concat(), environment);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert_eq!(
            ran.stdout.contains('\x1b'),
            is_coloured,
            "{further:?} {environment:?}"
        );
        assert!(!ran.stderr.contains('\x1b'), "{further:?} {environment:?}");
    }
}

#[test]
fn a_reader_that_left_does_not_change_the_exit_code() {
    for format in ["terminal", "json", "markdown"] {
        let lab = Lab::new();
        let mut child = Command::new(PROGRAM)
            .args(lab.compare_arguments("1.0.0", "1.0.0"))
            .args(["--format", format])
            .current_dir(lab.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{format}");
    }
}
