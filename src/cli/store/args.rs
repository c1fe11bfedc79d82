//! Arguments of the commands that install models; what they mean is decided in `settings`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What can be done with the models installed on a host.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Install the release the manifest names; what is current stays so until the new one is whole.
    Install(Install),
    /// Show what is installed and whether it is what the manifest wants.
    Status(Status),
    /// Digest an installed generation again, confirm it, or judge it by the service's events log.
    Verify(Verify),
    /// Return to an earlier generation, without any network; or condemn one.
    Rollback(Rollback),
    /// Show which release was in production when.
    History(History),
    /// Delete generations nobody needs.
    Gc(Gc),
    /// Look for what is wrong with the store, and repair what can be proved.
    Doctor(Doctor),
    /// Pack a model's directory: the same files give the same archive, byte for byte.
    Pack(Pack),
    /// Download and verify what the manifest names, and install nothing.
    Fetch(Fetch),
}

impl StoreCommand {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Install(_) => "install",
            Self::Status(_) => "status",
            Self::Verify(_) => "verify",
            Self::Rollback(_) => "rollback",
            Self::History(_) => "history",
            Self::Gc(_) => "gc",
            Self::Doctor(_) => "doctor",
            Self::Pack(_) => "pack",
            Self::Fetch(_) => "fetch",
        }
    }

    /// What all of them share.
    pub fn common(&self) -> &Common {
        match self {
            Self::Install(args) => &args.common,
            Self::Status(args) => &args.common,
            Self::Verify(args) => &args.common,
            Self::Rollback(args) => &args.common,
            Self::History(args) => &args.common,
            Self::Gc(args) => &args.common,
            Self::Doctor(args) => &args.common,
            Self::Pack(args) => &args.common,
            Self::Fetch(args) => &args.common,
        }
    }
}

/// What every command of the store understands.
#[derive(Debug, Args)]
pub struct Common {
    /// Models directory (default: `$VV_MODELS_DIR`, else /opt/vv-video-ai-system/models).
    #[arg(long, value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
    /// Manifest (default: `$VV_MODEL_MANIFEST`, else /opt/vv-video-ai-system/model_manifest.json).
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Policy with `[store]` and `[health]` (default: gate.toml beside the manifest, where it is);
    /// rollback, history, doctor and verify without --health read none.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Print one JSON object on stdout, for errors too.
    #[arg(long)]
    pub json: bool,
    /// Say what would be done and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Use no network.
    #[arg(long)]
    pub offline: bool,
    /// How long to wait while another process changes the store, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub wait: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected 0 to 86400 seconds".to_owned())
    }
}

/// A wait that ends: of no time at all, no server could answer.
fn patience(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        wait if wait >= 0.001 => Ok(wait),
        _ => Err("expected at least 0.001 seconds".to_owned()),
    }
}

const INSTALL_EXAMPLES: &str = "\
Examples:
  vv-eval model install
  vv-eval model install --manifest model_manifest.json --models-dir ./models --wait 60
  vv-eval model install --smoke scene --notify-cmd docker-compose restart scene_summarizer

The steps and what a crash at each of them leaves behind are in docs/store.md.

Exit codes besides those of other commands: 10 manifest invalid · 11 refused by policy · 20 network · \
21 server answer unusable · 22 size · 23 digest · 30 archive or model malformed · 31 unsafe · 32 over \
limits · 40 no space · 41 I/O · 42 permission · 50 lock busy · 51 store corrupt · 60 smoke test failed \
· 61 nothing to roll back to. Whatever fails, what is installed stays.";

/// Arguments of `model install`.
#[derive(Debug, Args)]
#[command(after_help = INSTALL_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Install {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Refuse a manifest that gives rise to warnings.
    #[arg(long)]
    pub strict: bool,
    /// How artifacts are obtained.
    #[command(flatten)]
    pub download: Download,
    /// How the new release is tried in a worker process before it becomes current.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub smoke: Smoke,
    /// Longest time of the smoke test, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub smoke_timeout: u64,
    /// Accept a version below the installed one that never was installed here.
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Accept a release that was marked bad on this host.
    #[arg(long)]
    pub allow_known_bad: bool,
    /// Accept a moment without a model where the file system cannot exchange two names.
    #[arg(long)]
    pub allow_gap: bool,
    /// Keep this many of the newest generations, the current one counted (default: the policy's,
    /// else 2).
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Keep the artifacts after they were installed.
    #[arg(long)]
    pub keep_blobs: bool,
    /// Version of the summarizer on this host, `summarize_scene=VERSION` (default:
    /// `$VV_SUMMARIZE_SCENE_VERSION`).
    #[arg(long, value_name = "NAME=VERSION")]
    pub consumer: Option<String>,
    /// Command to run when another generation became current: program and arguments, no shell, at
    /// most 60 s. Must be the last flag.
    #[arg(long, value_name = "ARG", num_args = 1.., allow_hyphen_values = true)]
    pub notify_cmd: Vec<OsString>,
}

/// How artifacts are obtained.
#[derive(Debug, Args)]
pub struct Download {
    /// Accept `http:` beyond loopback addresses.
    #[arg(long)]
    pub allow_http: bool,
    /// Accept `file:` URLs.
    #[arg(long)]
    pub allow_file: bool,
    /// Attempts after the first one (default: 5).
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Longest wait for a connection, in seconds (default: 10).
    #[arg(long, value_name = "SECONDS", value_parser = patience)]
    pub connect_timeout: Option<f64>,
    /// Longest silence of a server, in seconds (default: 30); how long a download takes in all has no
    /// limit.
    #[arg(long, value_name = "SECONDS", value_parser = patience)]
    pub idle_timeout: Option<f64>,
    /// Wait before the second attempt, in milliseconds (default: 500); doubled before each further
    /// one, up to 30 s.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=30_000))]
    pub backoff_ms: Option<u32>,
}

/// How a release is tried before it becomes current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Smoke {
    /// Not at all.
    None,
    /// Load it, sanity gates included, and feed it some tokens.
    #[default]
    Load,
    /// The same, and let it summarise a scene.
    Scene,
}

/// How thoroughly installed files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Depth {
    /// Not at all.
    None,
    /// Names, lengths and permissions.
    #[default]
    Quick,
    /// Every byte.
    Full,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  vv-eval model status
  vv-eval model status --verify full --json
  vv-eval model status --expect-loaded /var/log/vv/events.jsonl";

/// Arguments of `model status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct Status {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// How thoroughly the current generation is looked at.
    #[arg(long, value_enum, default_value_t, value_name = "DEPTH")]
    pub verify: Depth,
    /// Events log of the service: exit 1 unless its last load is of the current generation.
    #[arg(long, value_name = "EVENTS")]
    pub expect_loaded: Option<PathBuf>,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  vv-eval model verify
  vv-eval model verify --mark good
  vv-eval model verify --health /var/log/vv/events.jsonl --auto-rollback

With --health: exit 0 while the trial is undecided or good, 1 when it is bad, 61 when it is bad and \
there is nothing to go back to.";

/// Arguments of `model verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct Verify {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Number of the generation (default: the current one).
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    /// Confirm the generation when it is intact.
    #[arg(long, value_enum, value_name = "STATE")]
    pub mark: Option<Mark>,
    /// Judge the current generation by the service's events log.
    #[arg(long, value_name = "EVENTS", conflicts_with_all = ["generation", "mark"])]
    pub health: Option<PathBuf>,
    /// Condemn a bad generation and return to the last good one.
    #[arg(long, requires = "health")]
    pub auto_rollback: bool,
    /// Command to run when another generation became current, as for `install`.
    #[arg(long, value_name = "ARG", num_args = 1.., allow_hyphen_values = true)]
    pub notify_cmd: Vec<OsString>,
}

/// What a generation can be marked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mark {
    /// It works.
    Good,
}

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  vv-eval model rollback --reason 'empty summaries at night'
  vv-eval model rollback --to 1.0.0
  vv-eval model rollback --mark-bad 7

With --mark-bad alone the current generation changes only if it is the one condemned.";

/// Arguments of `model rollback`.
#[derive(Debug, Args)]
#[command(after_help = ROLLBACK_EXAMPLES)]
pub struct Rollback {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Generation, version or sha256:RELEASE to return to (default: the last good one).
    #[arg(long, value_name = "WHICH")]
    pub to: Option<String>,
    /// Generation, version or sha256:RELEASE that is never installed again by itself.
    #[arg(long, value_name = "WHICH")]
    pub mark_bad: Option<String>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Command to run when another generation became current, as for `install`.
    #[arg(long, value_name = "ARG", num_args = 1.., allow_hyphen_values = true)]
    pub notify_cmd: Vec<OsString>,
}

const HISTORY_EXAMPLES: &str = "\
Examples:
  vv-eval model history
  vv-eval model history --at 2025-11-23T17:30:00Z";

/// Arguments of `model history`.
#[derive(Debug, Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct History {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Only what was in production at this moment, 2025-11-23 or 2025-11-23T17:30:00Z.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

const GC_EXAMPLES: &str = "\
Examples:
  vv-eval model gc --dry-run
  vv-eval model gc --keep 3 --grace 48

The current generation and the last good one are never deleted.";

/// Arguments of `model gc`.
#[derive(Debug, Args)]
#[command(after_help = GC_EXAMPLES)]
pub struct Gc {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Keep this many of the newest generations, the current one counted (default: the policy's,
    /// else 2).
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Keep what was current, or downloaded, less than this many hours ago (default: the policy's,
    /// else 24).
    #[arg(long, value_name = "HOURS")]
    pub grace: Option<u32>,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  vv-eval model doctor
  vv-eval model doctor --compose docker-compose.yml
  vv-eval model doctor --repair --dry-run";

/// Arguments of `model doctor`.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct Doctor {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Look at the mounts of a compose file as well.
    #[arg(long, value_name = "FILE")]
    pub compose: Option<PathBuf>,
    /// Put right what can be proved to be right afterwards.
    #[arg(long)]
    pub repair: bool,
}

const PACK_EXAMPLES: &str = "\
Example:
  vv-eval model pack models/new --out bitnet_summarizer_v1.1.0.tar.gz

Prints what the manifest needs: sha256, size_bytes and unpacked_bytes. Files an installation would \
refuse are refused here. Hidden files and the manifest itself are left out.";

/// Arguments of `model pack`.
#[derive(Debug, Args)]
#[command(after_help = PACK_EXAMPLES)]
pub struct Pack {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Directory that holds the files of one model.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Archive to write; must not exist.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  vv-eval model fetch
  vv-eval model fetch --manifest model_manifest.json --models-dir ./models --retries 10";

/// Arguments of `model fetch`.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct Fetch {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// Refuse a manifest that gives rise to warnings.
    #[arg(long)]
    pub strict: bool,
    /// How artifacts are obtained.
    #[command(flatten)]
    pub download: Download,
    /// Begin anew instead of going on with unfinished downloads.
    #[arg(long)]
    pub fresh: bool,
}
