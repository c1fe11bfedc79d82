//! Arguments of `gate`.

use std::path::PathBuf;

use clap::Args;

use super::args::{Format, Head};

const EXAMPLES: &str = "\
Examples:
  vv-eval gate --base origin/main
  vv-eval gate --base origin/main --head HEAD --out reports/gate --format markdown
  vv-eval gate --base origin/main --manifest models/model_manifest.json --offline

Policy, host list, waivers and scene sets are read from the base alone; the head brings the \
manifest of the candidate. A pull request that edits the rules it is judged by is judged by the \
base's, and the report says so. Identical files pass without a run; an unchanged \
manifest is told in report.md alone, and on stdout unless json is asked for. Without a manifest at the base \
only a policy with `mode = \"bootstrap\"` lets a model pass, by its limits alone.";

/// Arguments of `gate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Gate {
    /// Revision of the branch the pull request goes to; its tip counts.
    #[arg(long, value_name = "REF")]
    pub base: String,
    /// Revision of the pull request (default: the work tree).
    #[arg(long, value_name = "REF")]
    pub head: Option<String>,
    /// The manifest, from the top of the repository.
    #[arg(long, value_name = "PATH", default_value = "model_manifest.json")]
    pub manifest: String,
    /// The policy, from the top of the repository; read from the base.
    #[arg(long, value_name = "PATH", default_value = "gate.toml")]
    pub policy: String,
    /// Directory for reports, records and journal (default: a new one below reports/).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Directory of fetched files (default: `VV_EVAL_CACHE`, else the cache of this user).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Fetch nothing: use what is in the cache.
    #[arg(long)]
    pub offline: bool,
    /// Attempts after a failed download.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub retries: Option<u32>,
    /// How the output heads of both models are kept in memory.
    #[arg(long, value_enum, default_value_t, value_name = "STORAGE")]
    pub head_storage: Head,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
}
