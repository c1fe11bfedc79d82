//! JUnit XML for the test panes of CI services: one case for the verdict, then one per check.
//!
//! Fail is a failure, inconclusive a failure of that type, invalid an error, a watched check is
//! skipped; so is a required one that a model's failure left unmeasured, which the verdict's own
//! case then tells.

use quick_junit::{
    NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite, XmlString,
};

use super::escape::{cut, one_line};
use super::{Report, Row};
use crate::gate::Outcome;

/// Characters of a case's text; some panes cut what is longer.
pub const MOST_CHARS: usize = 16_000;

/// The document, pretty-printed.
///
/// # Panics
/// Never: nothing fails to be written to memory.
pub fn render(report: &Report) -> Vec<u8> {
    let mut suite = TestSuite::new("vv-eval");
    suite.add_test_case(verdict(report));
    for row in &report.rows {
        suite.add_test_case(check(report, row));
    }
    let mut document = Document::new("vv-eval");
    document.add_test_suite(suite);
    let text = document.to_string().expect("memory takes it");
    text.into_bytes()
}

/// Text for XML 1.0, which has no place for most control characters.
pub(super) fn xml(text: &str) -> XmlString {
    XmlString::new(cut(&one_line(text), MOST_CHARS))
}

fn verdict(report: &Report) -> TestCase {
    let (_, word) = report.lang.outcome(report.outcome);
    // What a reader is to know before the reasons stands before them here too.
    let told: Vec<&str> = report
        .warnings
        .iter()
        .chain(&report.why)
        .map(String::as_str)
        .collect();
    let status = status(report.outcome, word, &told.join("; "));
    let mut case = TestCase::new("verdict", status);
    case.set_classname("vv-eval");
    let exit = report.exit.iter().map(|exit| format!(" · {exit}"));
    let line = format!("{word}: {}{}", report.headline, exit.collect::<String>());
    let lines = [line].into_iter().chain(report.warnings.iter().cloned());
    let lines = lines.chain(report.trust.iter().chain(&report.tested).cloned());
    // One line each: a pane shows the text as it stands.
    let text: Vec<String> = lines.map(|line| cut(&one_line(&line), 1_000)).collect();
    case.set_system_out(XmlString::new(cut(&text.join("\n"), MOST_CHARS)));
    case
}

fn check(report: &Report, row: &Row) -> TestCase {
    let [name, base, cand, change, n, allowed, word] = &row.cells;
    let columns = &report.columns;
    let facts = [
        (1, base),
        (2, cand),
        (3, change),
        (4, n),
        (5, allowed),
        (6, word),
    ];
    let facts: Vec<String> = facts
        .iter()
        .map(|(i, cell)| format!("{}: {cell}", columns[*i]))
        .collect();
    let facts = facts.join(" · ");
    let status = if let Some(outcome) = row.outcome {
        status(outcome, word, &facts)
    } else {
        let mut status = TestCaseStatus::skipped();
        status.set_message(xml(&facts));
        status
    };
    let mut case = TestCase::new(xml(name), status);
    case.set_classname("vv-eval.check");
    case.set_system_out(xml(&facts));
    case
}

fn status(outcome: Outcome, word: &str, message: &str) -> TestCaseStatus {
    let kind = match outcome {
        Outcome::Pass => return TestCaseStatus::success(),
        Outcome::Fail | Outcome::Inconclusive => NonSuccessKind::Failure,
        Outcome::Invalid => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_type(outcome.name())
        .set_message(xml(&format!("{word}: {message}")));
    status
}
