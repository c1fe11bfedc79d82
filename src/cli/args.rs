//! The command line as typed; what it means is decided in `settings`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Decides whether a candidate BitNet model may replace the baseline pinned in
/// `model_manifest.json`: both answer the same scenes on this machine, and the verdict says
/// whether the candidate is shown to be no worse.
#[derive(Debug, Parser)]
#[command(name = "vv-eval", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// When to use colour; `auto` follows the terminal and `NO_COLOR`.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

const EXIT_CODES: &str = "Exit codes: 0 pass · 1 fail · 2 inconclusive · 3 invalid (usage, \
configuration, input) · 4 internal error. Only 0 may merge.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run two models on the same scenes and judge the candidate.
    Compare(Compare),
    /// Score given texts against a scene set, without a model.
    Score(Score),
    /// Show what was detected of a model, or its exact logits.
    Inspect(Inspect),
    /// The isolated process that owns a model; started by `compare`.
    #[command(name = "__worker", hide = true)]
    Worker,
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  vv-eval compare eval-sets/reference-models/1.0.0 eval-sets/reference-models/1.1.0
  vv-eval compare models/current models/new --policy gate.toml --out reports/new
  vv-eval compare A B --format json > report.json

A MODEL is a manifest file, a directory that holds a model_manifest.json (its files are checked \
against it), or a bare directory (digested as it is and marked unpinned).";

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXAMPLES)]
pub struct Compare {
    /// The model now in use.
    #[arg(value_name = "BASELINE")]
    pub baseline: PathBuf,
    /// The model proposed.
    #[arg(value_name = "CANDIDATE")]
    pub candidate: PathBuf,
    /// Policy file (default: gate.toml of the working directory, else the built-in policy).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Scene set: `NAME`, `NAME@VERSION` below eval-sets/, or a directory (default: the policy's).
    #[arg(long, value_name = "SET")]
    pub scenes: Option<String>,
    /// Directory for reports, records and journal (default: a new one below reports/).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How the output heads of both models are kept in memory.
    #[arg(long, value_enum, default_value_t, value_name = "STORAGE")]
    pub head: Head,
    /// Values per block of `I2_S` tensors, for a model whose manifest does not say (default: 128).
    #[arg(long, value_enum, value_name = "VALUES")]
    pub i2s_layout: Option<I2sBlock>,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Measure even when both models are the same files.
    #[arg(long)]
    pub force_run: bool,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
    /// Plant a known harm, `ROLE=HARM`; such a run never earns a verdict that counts.
    #[arg(long, hide = true, value_name = "ROLE=HARM")]
    pub plant: Vec<String>,
    /// Let the exit code show the computed outcome of a planted run.
    #[arg(long, hide = true)]
    pub judge_scripted: bool,
}

const SCORE_EXAMPLES: &str = "\
Examples:
  vv-eval score --scenes cenas-pt --outputs summaries.jsonl
  vv-eval score --scenes eval-sets/cenas-pt/0.1.0 --outputs summaries.jsonl --format json
  vv-eval score --scenes scenes.jsonl --outputs summaries.jsonl --explain

Each line of the outputs is an object like {\"id\": \"SCENE\", \"summary_text\": \"…\"}, with \
`keywords` (a list) and `stop_reason` (eos, max_tokens, context_full) where they are known. Every \
scene needs exactly one.";

/// Arguments of `score`.
#[derive(Debug, Args)]
#[command(after_help = SCORE_EXAMPLES)]
pub struct Score {
    /// Scene set: `NAME`, `NAME@VERSION` below eval-sets/, a directory, or a bare scenes.jsonl,
    /// which is unpinned.
    #[arg(long, value_name = "SET")]
    pub scenes: String,
    /// One output per scene, as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub outputs: PathBuf,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: ScoreFormat,
    /// Show besides what the facts would be with detections counted from a confidence of 0.4 and
    /// from 0.6 instead of 0.5.
    #[arg(long)]
    pub explain: bool,
}

/// A format of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ScoreFormat {
    /// Text for people.
    #[default]
    Terminal,
    /// One object.
    Json,
    /// One score per row.
    Csv,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  vv-eval inspect eval-sets/reference-models/1.0.0
  vv-eval inspect models/new --check
  vv-eval inspect models/new --token-ids 1,5,9 --logits logits.json";

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct Inspect {
    /// Manifest file or model directory.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Token ids to feed, separated by commas.
    #[arg(
        long,
        value_name = "IDS",
        value_delimiter = ',',
        requires = "logits",
        required = false,
        num_args = 1
    )]
    pub token_ids: Vec<u32>,
    /// Write the logits of every position as JSON, computed with the exact float head.
    #[arg(long, value_name = "FILE", requires = "token_ids")]
    pub logits: Option<PathBuf>,
    /// Read two built-in paragraphs and hold their perplexity against the manifest's
    /// `max_load_perplexity`.
    #[arg(long, conflicts_with = "logits")]
    pub check: bool,
    /// How the output head is kept in memory (default: int8; exact with --logits).
    #[arg(long, value_enum, value_name = "STORAGE")]
    pub head: Option<Head>,
    /// Values per block of `I2_S` tensors (default: the manifest's word, else 128).
    #[arg(long, value_enum, value_name = "VALUES")]
    pub i2s_layout: Option<I2sBlock>,
}

/// How an output head is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Head {
    /// Signed bytes and one scale per row.
    #[default]
    Int8,
    /// Half precision.
    F16,
    /// Single precision, as stored.
    Exact,
}

impl Head {
    /// The word of the flag and of the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::F16 => "f16",
            Self::Exact => "exact",
        }
    }
}

/// Values per block of an `I2_S` tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum I2sBlock {
    /// Files quantized by old builds on ARM.
    #[value(name = "64")]
    Values64,
    /// Published files and all x86 writers.
    #[value(name = "128")]
    Values128,
}

impl I2sBlock {
    /// The number.
    pub fn values(self) -> u32 {
        match self {
            Self::Values64 => 64,
            Self::Values128 => 128,
        }
    }
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A report format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Terminal,
    /// The canonical report.
    Json,
    /// For pull requests.
    Markdown,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
