//! The command line as typed; what it means is decided in `settings`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use super::args_judge::{
    Explain, Judge, Plan, PlanFormat, Policy, PolicyFile, PolicyMode, Verify,
};
pub use super::args_report::{History, HistoryFormat, Report};

use super::args_fitness::{Doctor, Selftest};
use super::args_gate::Gate;
use super::args_inspect::Inspect;
use super::args_manifest::Manifest;
use super::store::args::StoreCommand;
use crate::model::convert;
use crate::report::wording;

/// Decides whether a candidate BitNet model may replace the baseline pinned in
/// `model_manifest.json`: both answer the same scenes on this machine, and the verdict says
/// whether the candidate is shown to be no worse.
#[derive(Debug, Parser)]
#[command(name = "vv-eval", version, max_term_width = 100, after_help = START)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// When to use colour; `auto` follows the terminal and `NO_COLOR`.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

const START: &str = "\
Examples:
  vv-eval compare models/current models/new       judge a new model against the one in use
  vv-eval gate --base origin/main                 the same, as the job on a pull request does
  vv-eval report reports/RUN --lang pt-BR         read what was found
  vv-eval model install                           install the promoted model on a host

Exit codes: 0 pass · 1 fail · 2 inconclusive · 3 invalid (usage, configuration, input) · 4 internal \
error. Only 0 may merge.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run two models on the same scenes and judge the candidate.
    Compare(Compare),
    /// Say whether this machine is fit to measure, and what to change.
    Doctor(Doctor),
    /// Prove that the gate can fail: planted harms must be caught, with the right exit code.
    Selftest(Selftest),
    /// Show a saved report in another format or language, or one scene of it; never judges again.
    Report(Report),
    /// List earlier runs and how the candidates' values moved over them.
    History(History),
    /// Judge two saved records again, without a model.
    Judge(Judge),
    /// Compute the verdict of a report again from its raw samples and its policy.
    Verify(Verify),
    /// Say how many scenes, launches and minutes a margin needs on this machine.
    Plan(Plan),
    /// Check or explain the policy in force.
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: Policy,
    },
    /// Judge a pull request on the manifest: policy and baseline of the base, candidate of the head.
    Gate(Gate),
    /// Check manifests, tell what changed, pin the next release.
    Manifest(Manifest),
    /// Score given texts against a scene set, without a model.
    Score(Score),
    /// Generate, import, check and describe scene sets.
    Scenes(Scenes),
    /// Show what was detected of a model, or its exact logits.
    Inspect(Inspect),
    /// Install, try, roll back, check, convert and pack models.
    Model {
        /// What to do.
        #[command(subcommand)]
        command: Model,
    },
    /// Print completions for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command.
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Directory for the pages of all commands.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// The isolated process that owns a model; started by `compare`.
    #[command(name = "__worker", hide = true)]
    Worker,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  vv-eval completions bash > ~/.local/share/bash-completion/completions/vv-eval
  vv-eval completions fish > ~/.config/fish/completions/vv-eval.fish
  vv-eval completions zsh > ~/.zfunc/_vv-eval";

const MAN_EXAMPLES: &str = "\
Examples:
  vv-eval man | man -l -
  vv-eval man --out ~/.local/share/man/man1

Pages are named vv-eval.1, vv-eval-compare.1 and so on; existing ones are replaced.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  vv-eval compare eval-sets/reference-models/1.0.0 eval-sets/reference-models/1.1.0
  vv-eval compare models/current models/new --policy gate.toml --out reports/new
  vv-eval compare A B --format json > report.json
  vv-eval compare A B --lang pt-BR --report html=public/index.html
  vv-eval compare A B --mode promotion --budget 20m --out reports/new
  vv-eval compare A B --mode promotion --out reports/new --resume
  vv-eval compare --mode bootstrap models/first

Written to the output directory, whole, before the exit code is given: report.json, report.md (at \
most 60,000 characters), summary.md (at most 1,000,000 bytes), report.html, junit.xml and \
scores.csv. Where GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name files, the summary and the outputs \
verdict, exit-code and report are added to them.

A MODEL is a manifest file, a directory that holds a model_manifest.json (its files are checked \
against it), a bare directory, or a GGUF file or the first of its parts, with the tokenizer.json \
beside it (both digested as they are and marked unpinned).";

/// Arguments of `compare`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXAMPLES)]
pub struct Compare {
    /// The model now in use.
    #[arg(value_name = "BASELINE")]
    pub baseline: PathBuf,
    /// The model proposed; left out in mode bootstrap, which judges the one model there is.
    #[arg(value_name = "CANDIDATE")]
    pub candidate: Option<PathBuf>,
    /// Policy file (default: gate.toml of the working directory, else the built-in policy).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What the verdict is for (default: the policy's mode). What the policy file leaves out is the
    /// mode's.
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<PolicyMode>,
    /// Scene set: `NAME`, `NAME@VERSION` below eval-sets/, or a directory (default: the policy's).
    #[arg(long, value_name = "SET")]
    pub scenes: Option<String>,
    /// Words of your own: a TOML file that extends the lexicon of the scene set.
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
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
    /// Begin no further launch after so long, e.g. `90s`, `20m`, `1h`; what was measured by then is
    /// judged.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub budget: Option<Duration>,
    /// Go on from the journal of a killed run: the one in --out DIR, else the newest one of these
    /// models below reports/.
    #[arg(long)]
    pub resume: bool,
    /// Write all outputs again instead of taking over those of an earlier run of the same model,
    /// scene, prompt and program. Times and memory are never taken over.
    #[arg(long)]
    pub no_cache: bool,
    /// Add launches with the baseline in both places, which show what noise looks like here.
    #[arg(long)]
    pub control: bool,
    /// Write the report in a format to a file besides; may be given more than once.
    #[arg(long, value_name = "FORMAT=FILE", value_parser = report_file)]
    pub report: Vec<(Format, PathBuf)>,
    /// Language of reports; keys, ids and codes are the same in both.
    #[arg(long, value_enum, default_value_t, value_name = "LANG")]
    pub lang: Lang,
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

/// Reads `90s`, `20m`, `1.5h` or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, seconds) = match text.char_indices().last() {
        Some((end, 's')) => (&text[..end], 1.0),
        Some((end, 'm')) => (&text[..end], 60.0),
        Some((end, 'h')) => (&text[..end], 3600.0),
        _ => (text, 1.0),
    };
    let wrong = || format!("`{text}` is no time; write 90s, 20m or 1h");
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * seconds;
    if !(seconds > 0.0 && seconds <= 30.0 * 86_400.0) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

const SCORE_EXAMPLES: &str = "\
Examples:
  vv-eval score --scenes cenas-pt --outputs summaries.jsonl
  vv-eval score --scenes eval-sets/cenas-pt/1.0.0 --outputs summaries.jsonl --format json
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
    /// Words of your own: a TOML file that extends the lexicon of the scene set.
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
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

const SCENES_EXAMPLES: &str = "\
Examples:
  vv-eval scenes generate --seed 7 --n 100 --families F,G,H --out eval-sets/mine/0.0.0-draft
  vv-eval scenes import recordings/ --out eval-sets/patio/0.0.0-draft
  vv-eval scenes lint cenas-pt
  vv-eval scenes stats eval-sets/cenas-pt/1.0.0";

/// Arguments of `scenes`.
#[derive(Debug, Args)]
#[command(after_help = SCENES_EXAMPLES)]
pub struct Scenes {
    /// What to do.
    #[command(subcommand)]
    pub action: ScenesAction,
}

/// What can be done with scene sets.
#[derive(Debug, Subcommand)]
pub enum ScenesAction {
    /// Make a set of scenes of a simulated world, version 0.0.0-draft.
    Generate(Generate),
    /// Make a set of a folder of analytic files with references, version 0.0.0-draft.
    Import(Import),
    /// Look for what is wrong with a set; exit code 1 on findings.
    #[command(after_help = LINT_EXAMPLES)]
    Lint(NamedSet),
    /// Describe a set: slices, labels, lengths, near duplicates.
    #[command(after_help = STATS_EXAMPLES)]
    Stats(NamedSet),
}

const GENERATE_EXAMPLES: &str = "\
Examples:
  vv-eval scenes generate --seed 7 --n 100 --out eval-sets/mine/0.0.0-draft
  vv-eval scenes generate --seed 7 --n 300 --families F,G,H --out eval-sets/mine/0.0.0-draft

The same seed gives the same scenes. The reference models were trained on references of the \
families A to D and checked on E; F to H are for scene sets.";

/// Arguments of `scenes generate`.
#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub struct Generate {
    /// Seed of worlds and texts.
    #[arg(long, value_name = "SEED")]
    pub seed: u64,
    /// Number of scenes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub n: u32,
    /// Template families of the references, A to H.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        default_value = "F,G,H"
    )]
    pub families: Vec<String>,
    /// Directory of the new set; must not exist.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

const IMPORT_EXAMPLES: &str = "\
Example:
  vv-eval scenes import recordings/ --out eval-sets/patio/0.0.0-draft";

/// Arguments of `scenes import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct Import {
    /// Folder with `X.analytic.json`, `X.ref.txt` and, where known, `X.facts.json` and
    /// `X.keywords.txt`.
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// Directory of the new set; must not exist.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

const LINT_EXAMPLES: &str = "\
Examples:
  vv-eval scenes lint cenas-pt
  vv-eval scenes lint eval-sets/patio/0.0.0-draft";

const STATS_EXAMPLES: &str = "\
Examples:
  vv-eval scenes stats cenas-pt@1.0.0
  vv-eval scenes stats recordings/scenes.jsonl";

/// A scene set by name or path.
#[derive(Debug, Args)]
pub struct NamedSet {
    /// `NAME`, `NAME@VERSION` below eval-sets/, a directory, or a bare scenes.jsonl.
    #[arg(value_name = "SET")]
    pub set: String,
}

/// What can be done with the files of a model.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Write the same weights in another container.
    Convert(Convert),
    /// What is installed on this host.
    #[command(flatten)]
    Store(StoreCommand),
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  vv-eval model convert models/new models/new-q4_0 --to gguf-q4_0
  vv-eval model convert models/bitnet-gguf models/bitnet-hf --to hf-packed

Codes, scales, embeddings and norms keep their values, bit for bit; what was written is read back \
and compared before it gets its name. DST must not exist.

Exit codes besides those of other commands: 40 no disk space · 41 cannot write · 42 not permitted.";

/// Arguments of `model convert`.
#[derive(Debug, Args)]
#[command(after_help = CONVERT_EXAMPLES)]
pub struct Convert {
    /// Manifest file or model directory.
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Directory to make.
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
    /// The container to write.
    #[arg(long, value_enum, value_name = "CONTAINER")]
    pub to: Form,
    /// Values per block of the source's `I2_S` tensors (default: the manifest's word, else 128).
    #[arg(long, value_enum, value_name = "VALUES")]
    pub i2s_layout: Option<I2sBlock>,
}

/// A container that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Hugging Face directory, four codes to a byte.
    #[value(name = "hf-packed")]
    HfPacked,
    /// GGUF of bitnet.cpp, 2 bits a weight.
    #[value(name = "gguf-i2_s")]
    GgufI2S,
    /// GGUF, 1.69 bits a weight; rows of a multiple of 256.
    #[value(name = "gguf-tq1_0")]
    GgufTq1_0,
    /// GGUF, 2.06 bits a weight; rows of a multiple of 256.
    #[value(name = "gguf-tq2_0")]
    GgufTq2_0,
    /// GGUF, 4.5 bits a weight; rows of a multiple of 32.
    #[value(name = "gguf-q4_0")]
    GgufQ4_0,
}

impl Form {
    /// The container meant.
    pub fn form(self) -> convert::Form {
        match self {
            Self::HfPacked => convert::Form::HfPacked,
            Self::GgufI2S => convert::Form::GgufI2S,
            Self::GgufTq1_0 => convert::Form::GgufTq1_0,
            Self::GgufTq2_0 => convert::Form::GgufTq2_0,
            Self::GgufQ4_0 => convert::Form::GgufQ4_0,
        }
    }
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
    /// A comment on a pull request.
    Markdown,
    /// The summary of a job step, with more scenes than the comment.
    Summary,
    /// One page, whole in itself.
    Html,
    /// JUnit XML, one case per check.
    Junit,
    /// One value per row.
    Csv,
    /// Annotations as workflow commands.
    Github,
}

/// A language of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Brazilian Portuguese.
    #[value(name = "pt-BR", alias = "pt-br", alias = "pt")]
    PtBr,
}

impl Lang {
    /// The language meant.
    pub fn lang(self) -> wording::Lang {
        match self {
            Self::En => wording::Lang::En,
            Self::PtBr => wording::Lang::PtBr,
        }
    }
}

/// `FORMAT=FILE`.
fn report_file(text: &str) -> Result<(Format, PathBuf), String> {
    let (format, file) = text.split_once('=').ok_or("takes FORMAT=FILE")?;
    let format = Format::from_str(format, false).map_err(|_| {
        let known: Vec<String> = Format::value_variants()
            .iter()
            .filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!("`{format}` is no format; there are {}", known.join(", "))
    })?;
    if file.is_empty() {
        return Err("names no file".to_owned());
    }
    Ok((format, PathBuf::from(file)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn times_are_read_with_their_unit() {
        use std::time::Duration;
        for (text, seconds) in [("90s", 90.0), ("20m", 1200.0), ("1.5h", 5400.0), ("7", 7.0)] {
            let expected = Duration::from_secs_f64(seconds);
            assert_eq!(super::duration(text), Ok(expected), "{text}");
        }
        for text in ["", "m", "-1s", "0", "nan", "infm", "20 m", "5d", "1e9h"] {
            assert!(super::duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
