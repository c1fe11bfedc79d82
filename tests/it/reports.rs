//! Reports as the commands write and read them.

use std::fs;

use crate::common::{Lab, root};

/// Files of a run, and the format that prints each.
const FILES: [(&str, &str); 6] = [
    ("json", "report.json"),
    ("markdown", "report.md"),
    ("summary", "summary.md"),
    ("html", "report.html"),
    ("junit", "junit.xml"),
    ("csv", "scores.csv"),
];

fn sample() -> String {
    root().join("reports/sample").display().to_string()
}

/// Refused with exit code 3; both texts stand on stderr.
#[track_caller]
fn check_refused(arguments: &[&str], message: &str, hint: &str) {
    let ran = Lab::new().run(arguments);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains(message), "{}", ran.stderr);
    assert!(ran.stderr.contains(hint), "{}", ran.stderr);
}

#[test]
fn a_saved_report_is_rendered_again_as_it_was() {
    let lab = Lab::new();
    for (format, file) in FILES {
        let ran = lab.run(&["report", &sample(), "--format", format]);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        let expected = fs::read_to_string(root().join("reports/sample").join(file)).unwrap();
        assert!(ran.stdout == expected, "{format} is not {file}");
    }
    let json = format!("{}/report.json", sample());
    let ran = lab.run(&["report", &json, "--lang", "pt-BR", "--out", "relatorio.txt"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ran.all()
    );
    let written = fs::read_to_string(lab.path("relatorio.txt")).unwrap();
    let expected = root().join("reports/sample/terminal.pt-BR.txt");
    assert!(written == fs::read_to_string(expected).unwrap());
}

#[test]
fn every_file_of_a_run_is_what_the_command_prints() {
    let lab = Lab::new();
    let further = ["--report", "html=public/index.html", "--lang", "pt-BR"];
    let ran = lab.compare("1.0.0", "1.0.0", &further);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.starts_with("✓ APROVADO"), "{}", ran.stdout);
    for (format, file) in FILES {
        let printed = lab.run(&["report", "out", "--format", format, "--lang", "pt-BR"]);
        assert!(printed.stdout.as_bytes() == lab.output(file), "{file}");
    }
    assert!(fs::read(lab.path("public/index.html")).unwrap() == lab.output("report.html"));
}

#[test]
fn a_build_service_is_handed_the_summary_and_the_outputs() {
    let lab = Lab::new();
    lab.write("summary", "before\n");
    let arguments = lab.compare_arguments("1.0.0", "1.0.0");
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--format", "github"]);
    let [summary, outputs] = ["summary", "outputs"].map(|it| lab.path(it).display().to_string());
    let variables = [
        ("GITHUB_STEP_SUMMARY", summary.as_str()),
        ("GITHUB_OUTPUT", outputs.as_str()),
    ];
    let ran = lab.run_with(&arguments, &variables);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(
        ran.stdout.starts_with("::notice title=vv-eval%3A PASS::"),
        "{}",
        ran.stdout
    );
    let outputs = fs::read_to_string(lab.path("outputs")).unwrap();
    assert_eq!(
        outputs,
        "verdict=pass\nexit-code=0\nreport=out/report.json\n"
    );
    let summary = fs::read_to_string(lab.path("summary")).unwrap();
    let expected = String::from_utf8(lab.output("summary.md")).unwrap();
    assert_eq!(summary, format!("before\n{expected}"));

    // What cannot be handed over is told, and the verdict stays.
    let ran = lab.run_with(&arguments, &[("GITHUB_OUTPUT", "/nowhere/outputs")]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(
        ran.stderr.contains("warning: cannot add to GITHUB_OUTPUT"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_run() {
    let lab = Lab::new();
    lab.write("file", "");
    let ran = lab.compare("1.0.0", "1.1.0", &["--report", "html=file/x.html"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("cannot make the directory `file`"),
        "{}",
        ran.stderr
    );
    assert!(!lab.has_output("journal.jsonl"));
    let ran = lab.compare("1.0.0", "1.1.0", &["--report", "htm=x"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr
            .contains("`htm` is no format; there are terminal, json"),
        "{}",
        ran.stderr
    );
}

#[test]
fn one_scene_is_shown_side_by_side() {
    let lab = Lab::new();
    let csv = fs::read_to_string(root().join("reports/sample/scores.csv")).unwrap();
    let row = csv.lines().find(|line| line.starts_with("score,")).unwrap();
    let id = row.split(',').nth(1).unwrap();
    for (format, begins) in [
        ("terminal", id),
        ("markdown", "` "),
        ("html", "<!doctype html>"),
    ] {
        let ran = lab.run(&["report", &sample(), "--scene", id, "--format", format]);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert!(
            ran.stdout.starts_with(begins) && ran.stdout.contains(id),
            "{}",
            ran.stdout
        );
    }
    check_refused(
        &["report", &sample(), "--scene", &format!("{id}x")],
        "the report has no text of scene",
        &format!("hint: did you mean `{id}`?"),
    );
    check_refused(
        &["report", &sample(), "--scene", id, "--format", "csv"],
        "one scene is shown as terminal, markdown or html",
        "hint: leave --scene out",
    );
}

#[test]
fn what_is_no_report_is_refused() {
    check_refused(
        &["report", "missing"],
        "cannot read report missing",
        "hint: name a report.json",
    );
    let lab = Lab::new();
    lab.write("report.json", "{\"schema_version\": 99}");
    let ran = lab.run(&["report", "report.json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("has schema_version 99"),
        "{}",
        ran.stderr
    );
    lab.write("report.json", "{\"schema_version\": 2, \"verdict\": \u{7}}");
    let ran = lab.run(&["report", "report.json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("not a report") && !ran.stderr.contains('\u{7}'),
        "{}",
        ran.stderr
    );
}

#[test]
fn earlier_runs_are_listed_with_their_trends() {
    let lab = Lab::new();
    let json = fs::read(root().join("reports/sample/report.json")).unwrap();
    for run in ["reports/a", "reports/deeper/b", "reports/broken"] {
        fs::create_dir_all(lab.path(run)).unwrap();
        lab.write(&format!("{run}/report.json"), &json);
    }
    lab.write("reports/broken/report.json", "{}");
    let ran = lab.run(&["history"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for words in [
        "reports/a\n",
        "reports/deeper/b\n",
        "✗ FAIL",
        "object_recall",
        "▅▅",
    ] {
        assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
    }
    assert!(
        ran.stdout
            .contains("cannot use report reports/broken/report.json"),
        "{}",
        ran.stdout
    );

    let ran = lab.run(&["history", "reports", "--format", "json"]);
    let history: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(history["runs"].as_array().map(Vec::len), Some(2));
    let ran = lab.run(&[
        "history", "--format", "html", "--lang", "pt-BR", "--out", "t.html",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let page = fs::read_to_string(lab.path("t.html")).unwrap();
    assert!(page.contains("Execuções anteriores"));
    check_refused(
        &["history", "missing"],
        "cannot look for reports in missing",
        "hint: name the",
    );
}
