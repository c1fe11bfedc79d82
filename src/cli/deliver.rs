//! Reports on disk, on stdout, and where a build service looks for them; the exit code comes last.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Failure;
use super::args::Format;
use super::exit::Exit;
use super::output::print;
use super::progress::say;
use crate::durable::{self, write_atomic};
use crate::gate::Outcome;
use crate::gate::file::ReportFile;
use crate::report::markdown::Place;
use crate::report::wording::Lang;
use crate::report::{Report, github, html, json, junit, markdown, terminal};

/// Names of the files of a run, each with its format.
pub(super) const FILES: [(&str, Format); 6] = [
    ("report.json", Format::Json),
    ("report.md", Format::Markdown),
    ("summary.md", Format::Summary),
    ("report.html", Format::Html),
    ("junit.xml", Format::Junit),
    ("scores.csv", Format::Csv),
];

/// Where a verdict goes.
pub(super) struct Delivery<'a> {
    /// Directory of the report files; `None` writes none.
    pub(super) out: Option<&'a Path>,
    /// What is printed.
    pub(super) format: Format,
    /// Further files.
    pub(super) also: &'a [(Format, PathBuf)],
    pub(super) lang: Lang,
    /// Whether the terminal text has colours.
    pub(super) uses_color: bool,
    /// Whether the place of the reports is kept unsaid.
    pub(super) is_quiet: bool,
}

/// A report ready to be rendered in any format.
pub(super) struct Rendered<'a> {
    file: &'a ReportFile,
    report: Report,
    /// File that annotations stand beside.
    annotated: Option<String>,
}

impl<'a> Rendered<'a> {
    pub(super) fn new(file: &'a ReportFile, lang: Lang) -> Self {
        let exit = Exit::from(Outcome::from(file.verdict.outcome));
        Self {
            file,
            report: Report::in_language(file, Some(exit.code()), lang),
            annotated: None,
        }
    }

    /// The same with annotations that stand beside a file of the pull request.
    pub(super) fn beside(self, annotated: Option<String>) -> Self {
        Self { annotated, ..self }
    }

    /// * `uses_color`: matters to the terminal text only
    pub(super) fn bytes(&self, format: Format, uses_color: bool) -> Vec<u8> {
        let (report, file) = (&self.report, self.file);
        match format {
            Format::Terminal => terminal::render(report, uses_color).into_bytes(),
            Format::Json => json::render(file),
            Format::Markdown => markdown::render(report, Place::Comment).into_bytes(),
            Format::Summary => markdown::render(report, Place::Summary).into_bytes(),
            Format::Html => html::render(report, file),
            Format::Junit => junit::render(report),
            // By its whole path: `csv` alone would be the crate.
            Format::Csv => crate::report::csv::render(file),
            Format::Github => github::annotations(report, self.annotated.as_deref()).into_bytes(),
        }
    }
}

/// Writes every report whole, hands the build service its part, prints one, and gives the verdict's
/// exit code.
pub(super) fn deliver(delivery: &Delivery<'_>, file: &ReportFile) -> Result<Exit, Failure> {
    let exit = Exit::from(Outcome::from(file.verdict.outcome));
    let rendered = Rendered::new(file, delivery.lang);
    if let Some(out) = delivery.out {
        for (name, format) in FILES {
            let bytes = rendered.bytes(format, false);
            write_atomic(&out.join(name), &bytes).map_err(Failure::invalid)?;
        }
    }
    for (format, path) in delivery.also {
        write_atomic(path, &rendered.bytes(*format, false)).map_err(Failure::invalid)?;
    }
    if let Some(out) = delivery.out {
        hand_to_github(out, &rendered, exit);
    }
    print(&rendered.bytes(delivery.format, delivery.uses_color))?;
    if let Some(out) = delivery.out.filter(|_| !delivery.is_quiet) {
        say(&format!("reports in {}", durable::shown(out)));
    }
    Ok(exit)
}

/// Adds the step summary and the outputs to the files that the runner of GitHub named.
///
/// A file that cannot be written is told and changes no exit code: the reports themselves are on
/// disk.
fn hand_to_github(out: &Path, rendered: &Rendered<'_>, exit: Exit) {
    let outcome = Outcome::from(rendered.file.verdict.outcome);
    let report = out.join("report.json");
    let outputs = github::outputs(outcome, exit.code(), &report.to_string_lossy());
    for (variable, bytes) in [
        (
            "GITHUB_STEP_SUMMARY",
            rendered.bytes(Format::Summary, false),
        ),
        ("GITHUB_OUTPUT", outputs.into_bytes()),
    ] {
        let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
            continue;
        };
        let file = OpenOptions::new().append(true).create(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(&bytes)) {
            let path = durable::shown(Path::new(&path));
            say(&format!(
                "warning: cannot add to {variable} `{path}`: {error}"
            ));
        }
    }
}
