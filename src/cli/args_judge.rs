//! Arguments of `judge`, `verify`, `plan` and `policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::args::{Format, Lang};
use crate::gate::policy::Mode;

const JUDGE_EXAMPLES: &str = "\
Examples:
  vv-eval judge reports/new/baseline.record.json reports/new/candidate.record.json
  vv-eval judge B.record.json C.record.json --policy stricter.toml --out reports/again

The outputs in the records are scored again, so the scene set they were made with must be there.";

/// Arguments of `judge`.
#[derive(Debug, Args)]
#[command(after_help = JUDGE_EXAMPLES)]
pub struct Judge {
    /// What was observed of the model in use, as `compare` saved it.
    #[arg(value_name = "BASELINE_RECORD")]
    pub baseline: PathBuf,
    /// What was observed of the model proposed, in the same run.
    #[arg(value_name = "CANDIDATE_RECORD")]
    pub candidate: PathBuf,
    /// Policy file (default: gate.toml of the working directory, else the built-in policy).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The scene set of the records (default: the one they name, below eval-sets/).
    #[arg(long, value_name = "SET")]
    pub scenes: Option<String>,
    /// Words of your own the records were made with: the TOML file given to `compare`.
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
    /// The set of the records' sentinels, where they have any (default: the one they name).
    #[arg(long, value_name = "SET")]
    pub sentinels: Option<String>,
    /// Directory for the reports (default: none are written).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Language of reports; keys, ids and codes are the same in both.
    #[arg(long, value_enum, default_value_t, value_name = "LANG")]
    pub lang: Lang,
    /// Let the exit code show the computed outcome of a planted run.
    #[arg(long, hide = true)]
    pub judge_scripted: bool,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  vv-eval verify reports/new/report.json
  vv-eval verify report.json --scenes cenas-pt@1.0.0

Exit codes: 0 it holds · 1 it does not, each field named · 3 the file cannot be read as a report.";

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct Verify {
    /// A report.json, or the directory of the run that wrote it.
    #[arg(value_name = "REPORT")]
    pub report: PathBuf,
    /// The scene set to score the outputs again with (default: the one the report names, where it
    /// is found below eval-sets/; else the scores are taken as they stand).
    #[arg(long, value_name = "SET")]
    pub scenes: Option<String>,
    /// Words of your own the report was made with: the TOML file given to `compare`.
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
}

const PLAN_EXAMPLES: &str = "\
Examples:
  vv-eval plan --from reports/pilot/report.json
  vv-eval plan --from report.json --margin object_recall=0.03 --margin cpu_ms_per_token=0.02
  vv-eval plan --from report.json --policy gate.toml --format json

Spread and pace come from the pilot; the numbers are orders of magnitude, not promises.";

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub struct Plan {
    /// The report of a pilot run on this machine, or the directory of that run.
    #[arg(long, value_name = "REPORT")]
    pub from: PathBuf,
    /// Policy to plan for (default: the pilot's).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Another margin for a check, `METRIC=VALUE`; repeatable.
    #[arg(long, value_name = "METRIC=VALUE")]
    pub margin: Vec<String>,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: PlanFormat,
}

/// A format of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlanFormat {
    /// Text for people.
    #[default]
    Terminal,
    /// One object.
    Json,
}

/// What can be done with a policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Is it valid? Exit code 3 with file, line and key if not.
    Check(PolicyFile),
    /// Every value in force and where it comes from.
    Explain(Explain),
}

const CHECK_EXAMPLES: &str = "\
Examples:
  vv-eval policy check
  vv-eval policy check stricter.toml

Prints mode, checks, digest and waivers, and warns of what weakens the verdict. A waiver that has \
expired makes the policy invalid.";

/// A policy file.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct PolicyFile {
    /// The file (default: gate.toml of the working directory, else the built-in policy).
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  vv-eval policy explain
  vv-eval policy explain --mode promotion
  vv-eval policy explain --schema > gate.schema.json";

/// Arguments of `policy explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct Explain {
    /// The file (default: gate.toml of the working directory, else the built-in policy).
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Show the built-in policy of this mode instead.
    #[arg(long, value_enum, conflicts_with = "file", value_name = "MODE")]
    pub mode: Option<PolicyMode>,
    /// Print the JSON Schema of gate.toml.
    #[arg(long, conflicts_with_all = ["file", "mode"])]
    pub schema: bool,
}

/// What a verdict is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyMode {
    /// A quick look: 60 scenes or more, plug-in statistics.
    Smoke,
    /// A promotion: sets of 300 scenes or more, bounds for any distribution, looks that may stop early.
    Promotion,
    /// The first model ever: no baseline, limits only.
    Bootstrap,
}

impl PolicyMode {
    /// The mode meant.
    pub fn mode(self) -> Mode {
        match self {
            Self::Smoke => Mode::Smoke,
            Self::Promotion => Mode::Promotion,
            Self::Bootstrap => Mode::Bootstrap,
        }
    }
}
