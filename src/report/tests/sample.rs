//! `reports/sample/` is what the code renders of the report that lies there.

use std::path::{Path, PathBuf};

use crate::report::markdown::Place;
use crate::report::wording::Lang;
use crate::report::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample")
}

/// Each file of the sample beside what it must hold.
fn rendered(file: &ReportFile) -> Vec<(&'static str, Vec<u8>)> {
    let report = Report::of(file, Some(1));
    let portuguese = Report::in_language(file, Some(1), Lang::PtBr);
    let outputs = github::outputs(report.outcome, 1, "reports/sample/report.json");
    let history =
        history::History::new(vec![history::Entry::of("reports/sample", file)], Vec::new());
    vec![
        ("report.json", json::render(file)),
        (
            "terminal.txt",
            terminal::render(&report, false).into_bytes(),
        ),
        (
            "report.md",
            markdown::render(&report, Place::Comment).into_bytes(),
        ),
        (
            "summary.md",
            markdown::render(&report, Place::Summary).into_bytes(),
        ),
        ("report.html", html::render(&report, file)),
        ("junit.xml", junit::render(&report)),
        ("scores.csv", csv::render(file)),
        (
            "github.txt",
            (github::annotations(&report, None) + &outputs).into_bytes(),
        ),
        ("history.html", history::html(&history, Lang::En)),
        (
            "terminal.pt-BR.txt",
            terminal::render(&portuguese, false).into_bytes(),
        ),
        (
            "report.pt-BR.md",
            markdown::render(&portuguese, Place::Comment).into_bytes(),
        ),
        ("report.pt-BR.html", html::render(&portuguese, file)),
    ]
}

#[test]
fn every_file_of_the_sample_is_what_the_code_renders() {
    let bytes = std::fs::read(folder().join("report.json")).expect("the sample's report");
    let file = ReportFile::from_json(&bytes).expect("a report");
    let mut stale = Vec::new();
    for (name, bytes) in rendered(&file) {
        let path = folder().join(name);
        if std::env::var_os("VV_EVAL_BLESS").is_some() {
            std::fs::write(&path, &bytes).expect("the sample can be written");
        }
        if std::fs::read(&path).unwrap_or_default() != bytes {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "out of date: {stale:?}; make them again with VV_EVAL_BLESS=1 cargo test --lib sample"
    );
}
