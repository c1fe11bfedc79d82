//! What GitHub's runner reads: annotations on stdout, and outputs in a file.
//!
//! Every line written here is one of our own commands with escaped values; no text of a model is
//! among them.

use super::Report;
use super::escape::{cut, one_line};
use crate::gate::Outcome;

/// Annotations of one report; the platform shows ten of a kind for each step.
pub const MOST_ANNOTATIONS: usize = 10;
/// Characters of an annotation.
const MOST_TEXT: usize = 1_000;

/// The verdict and its reasons as workflow commands, one line each: at most [`MOST_ANNOTATIONS`].
///
/// * `file`: the file they point at, e.g. the manifest; `None` for none
pub fn annotations(report: &Report, file: Option<&str>) -> String {
    let (level, (_, word)) = (level(report.outcome), report.lang.outcome(report.outcome));
    let exit = report.exit.iter().map(|exit| format!(" ({exit})"));
    let verdict = format!("{}{}", report.headline, exit.collect::<String>());
    let mut lines = vec![command(level, file, word, &verdict)];
    let reasons = report
        .why
        .iter()
        .filter(|_| report.outcome != Outcome::Pass);
    let mut notes: Vec<(&str, &String)> = report
        .warnings
        .iter()
        .map(|warning| ("warning", warning))
        .collect();
    notes.extend(reasons.map(|reason| (level, reason)));
    let room = MOST_ANNOTATIONS - 1;
    let shown = if notes.len() > room { room - 1 } else { room };
    let hidden = notes.len().saturating_sub(shown);
    let shown = notes.into_iter().take(shown);
    lines.extend(shown.map(|(level, text)| command(level, file, word, text)));
    if hidden > 0 {
        lines.push(command("notice", file, word, &report.lang.more(hidden)));
    }
    lines.concat()
}

/// The step's outputs: `verdict`, `exit-code` and `report`, each of a closed set of characters.
///
/// * `report`: path of the report; one that is not plain is left empty rather than written
pub fn outputs(outcome: Outcome, exit_code: u8, report: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let report = if report.chars().all(is_plain) {
        report
    } else {
        ""
    };
    format!(
        "verdict={}\nexit-code={exit_code}\nreport={report}\n",
        outcome.name()
    )
}

fn level(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "notice",
        Outcome::Inconclusive => "warning",
        Outcome::Fail | Outcome::Invalid => "error",
    }
}

fn command(level: &str, file: Option<&str>, title: &str, text: &str) -> String {
    let file = file.map_or(String::new(), |file| format!("file={},", property(file)));
    let title = property(&format!("vv-eval: {title}"));
    let text = data(&cut(&one_line(text), MOST_TEXT));
    format!("::{level} {file}title={title}::{text}\n")
}

/// A value after the last `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A value between commas.
fn property(text: &str) -> String {
    data(&one_line(text))
        .replace(':', "%3A")
        .replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_command_end_no_command() {
        assert_eq!(
            command("error", Some("a,b:c"), "x", "50 % of\n::error::y\r"),
            "::error file=a%2Cb%3Ac,title=vv-eval%3A x::50 %25 of\\n::error::y\\r\n"
        );
    }

    #[test]
    fn outputs_come_from_closed_sets() {
        assert_eq!(
            outputs(Outcome::Fail, 1, "reports/a-1.0/report.json"),
            "verdict=fail\nexit-code=1\nreport=reports/a-1.0/report.json\n"
        );
        let hostile = outputs(Outcome::Pass, 0, "a\nverdict=pass");
        assert_eq!(hostile, "verdict=pass\nexit-code=0\nreport=\n");
    }
}
