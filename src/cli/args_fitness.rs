//! Arguments of the commands that look at the machine and at the gate itself.

use std::path::PathBuf;

use clap::Args;

const DOCTOR_EXAMPLES: &str = "\
Examples:
  vv-eval doctor
  vv-eval doctor --out /srv/reports --policy gate.toml

Exit codes: 0 fit, or merely poor · 1 times or memory could not be decided here.";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct Doctor {
    /// Policy whose threads are meant (default: as for `compare`).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Where reports will be written (default: reports/).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

const SELFTEST_EXAMPLES: &str = "\
Examples:
  vv-eval selftest
  vv-eval selftest --quick
  vv-eval selftest --case slow-10 --case crash --keep target/selftest
  vv-eval selftest --list

Every case is a whole `compare` of this very program, started through a shell as a CI job would. \
Exit codes: 0 all caught · 1 not.";

/// Arguments of `selftest`.
#[derive(Debug, Args)]
#[command(after_help = SELFTEST_EXAMPLES)]
pub struct Selftest {
    /// Run only this case; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub case: Vec<String>,
    /// Leave out the cases that take times, which need minutes.
    #[arg(long)]
    pub quick: bool,
    /// Show the cases and what is expected of each, and run none.
    #[arg(long)]
    pub list: bool,
    /// Folder of the reference models.
    #[arg(long, value_name = "DIR", default_value = "eval-sets/reference-models")]
    pub models: PathBuf,
    /// Scene set; the default is of the world the reference models were trained in.
    #[arg(long, value_name = "SET", default_value = "cenas-pt@1.0.0")]
    pub scenes: String,
    /// Keep every case's reports in this folder.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
}
