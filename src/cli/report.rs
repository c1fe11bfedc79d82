//! `vv-eval report`: a saved report in another format or language. Nothing is judged again.

use std::path::{Path, PathBuf};

use super::args::{self, Color, Format};
use super::deliver::Rendered;
use super::output::{print, write};
use super::{Failure, settings};
use crate::durable;
use crate::gate::file::ReportFile;
use crate::hint::did_you_mean;
use crate::report::{Report, html, markdown, terminal};

/// File of a run that holds its report.
pub(super) const REPORT: &str = "report.json";

/// Renders the report, or one scene of it.
pub(super) fn run(args: &args::Report, color: Color) -> Result<(), Failure> {
    let file = read(&file_of(&args.from))?;
    let uses_color = args.out.is_none() && settings::uses_color(color);
    let bytes = match &args.scene {
        None => Rendered::new(&file, args.lang.lang())
            .beside(args.annotate.clone())
            .bytes(args.format, uses_color),
        Some(id) => scene(&file, id, args)?,
    };
    match &args.out {
        Some(path) => write(path, &bytes),
        None => print(&bytes),
    }
}

/// The report a path names: the file itself, or that of a run's directory.
pub(super) fn file_of(from: &Path) -> PathBuf {
    if from.is_dir() {
        from.join(REPORT)
    } else {
        from.to_owned()
    }
}

/// Reads a report; unknown keys and other versions are refused.
pub(super) fn read(path: &PathBuf) -> Result<ReportFile, Failure> {
    let shown = durable::shown(path);
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(
            format!("cannot read report {shown}: {error}"),
            "name a report.json, or the directory of a run that holds one",
        )
    })?;
    ReportFile::from_json(&bytes).map_err(|error| {
        let failure = Failure::invalid(error);
        Failure {
            error: failure.error.context(format!("cannot use report {shown}")),
            ..failure
        }
    })
}

fn scene(file: &ReportFile, id: &str, args: &args::Report) -> Result<Vec<u8>, Failure> {
    let lang = args.lang.lang();
    let view = Report::scene(file, id, lang).ok_or_else(|| {
        let records = file.evidence.iter();
        let ids = records.flat_map(|evidence| &evidence.baseline_record.plan.scene_ids);
        let hint = did_you_mean(id, ids.map(String::as_str)).map_or_else(
            || "scene ids stand in scores.csv".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        Failure::usage(format!("the report has no text of scene `{id}`"), hint)
    })?;
    match args.format {
        Format::Terminal => Ok(terminal::render_scene(&view, lang).into_bytes()),
        Format::Markdown => Ok(markdown::render_scene(&view, lang).into_bytes()),
        Format::Html => Ok(html::render_scene(&view, lang)),
        Format::Json | Format::Summary | Format::Junit | Format::Csv | Format::Github => {
            Err(Failure::usage(
                "one scene is shown as terminal, markdown or html",
                "leave --scene out for the whole report in this format",
            ))
        }
    }
}

/// Whether a directory holds a report.
pub(super) fn is_run(directory: &Path) -> bool {
    directory.join(REPORT).is_file()
}
