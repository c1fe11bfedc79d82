//! Arguments of `report` and `history`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{Format, Lang};

const REPORT_EXAMPLES: &str = "\
Examples:
  vv-eval report reports/20260102T030405Z-1.0.0-vs-1.1.0
  vv-eval report report.json --format html --lang pt-BR --out relatorio.html
  vv-eval report report.json --scene patio-07
  vv-eval report report.json --format github --annotate model_manifest.json";

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub struct Report {
    /// A report.json, or the directory of a run that holds one.
    #[arg(value_name = "RUN_OR_JSON")]
    pub from: PathBuf,
    /// The format.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Language of the texts.
    #[arg(long, value_enum, default_value_t, value_name = "LANG")]
    pub lang: Lang,
    /// Only this scene, both texts side by side; terminal, markdown or html.
    #[arg(long, value_name = "ID")]
    pub scene: Option<String>,
    /// File of the pull request that the annotations of format github stand beside.
    #[arg(long, value_name = "PATH")]
    pub annotate: Option<String>,
    /// Write to this file, whole or not at all, instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

const HISTORY_EXAMPLES: &str = "\
Examples:
  vv-eval history
  vv-eval history reports --format html --out trend.html";

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct History {
    /// Directory below which reports are looked for.
    #[arg(value_name = "DIR", default_value = "reports")]
    pub directory: PathBuf,
    /// The format.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: HistoryFormat,
    /// Language of the texts.
    #[arg(long, value_enum, default_value_t, value_name = "LANG")]
    pub lang: Lang,
    /// Write to this file, whole or not at all, instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A format of the list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum HistoryFormat {
    /// Text for people, with a small curve for each metric.
    #[default]
    Terminal,
    /// One object.
    Json,
    /// A page with a plot for each metric.
    Html,
}
