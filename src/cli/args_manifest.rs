//! Arguments of `manifest`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  vv-eval manifest lint model_manifest.json --strict
  vv-eval manifest lint --fix
  vv-eval manifest diff origin/main:model_manifest.json model_manifest.json
  vv-eval manifest bump --from dist/bitnet-1.3.0.tar.gz --version 1.3.0
  vv-eval manifest bump --from mlflow:/bitnet@challenger --version 1.3.0
  vv-eval manifest schema > manifest.v1.json";

/// Arguments of `manifest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Manifest {
    /// What to do.
    #[command(subcommand)]
    pub action: ManifestAction,
}

/// What can be done with manifests.
#[derive(Debug, Subcommand)]
pub enum ManifestAction {
    /// Look for broken rules; exit code 1 on findings.
    Lint(Lint),
    /// Tell what changed between two manifests.
    Diff(Diff),
    /// Pin another artifact: its digest, its size, the new version.
    Bump(Bump),
    /// Print the JSON Schema.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
}

const SCHEMA_EXAMPLES: &str = "\
Example:
  vv-eval manifest schema > manifest.v1.json";

const LINT_EXAMPLES: &str = "\
Examples:
  vv-eval manifest lint
  vv-eval manifest lint models/model_manifest.json --strict
  vv-eval manifest lint --fix

Every finding has its rule, line and path. What --fix does not know, a digest for example, it does \
not invent.";

/// Arguments of `manifest lint`.
#[derive(Debug, Args)]
#[command(after_help = LINT_EXAMPLES)]
pub struct Lint {
    /// The manifest.
    #[arg(value_name = "MANIFEST", default_value = "model_manifest.json")]
    pub manifest: PathBuf,
    /// Count warnings as findings.
    #[arg(long)]
    pub strict: bool,
    /// Upgrade the flat form to the list of artifacts, and write digests in lower case.
    #[arg(long)]
    pub fix: bool,
    /// Policy whose `[sources]` the URLs must keep (default: gate.toml beside the manifest, if any).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

const DIFF_EXAMPLES: &str = "\
Examples:
  vv-eval manifest diff origin/main:model_manifest.json model_manifest.json
  vv-eval manifest diff old.json new.json";

/// Arguments of `manifest diff`.
#[derive(Debug, Args)]
#[command(after_help = DIFF_EXAMPLES)]
pub struct Diff {
    /// The manifest before: a file, or `REVISION:PATH` of git.
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The manifest after: a file, or `REVISION:PATH` of git.
    #[arg(value_name = "AFTER")]
    pub after: String,
}

const BUMP_EXAMPLES: &str = "\
Examples:
  vv-eval manifest bump --from dist/bitnet-1.3.0.tar.gz --version 1.3.0
  vv-eval manifest bump --from dist/bitnet-1.3.0.tar.gz --version 1.3.0 --dry-run
  vv-eval manifest bump --from models/new --version 1.3.0 --manifest models/model_manifest.json

Order and further fields of the manifest stay as they are.";

/// Arguments of `manifest bump`.
#[derive(Debug, Args)]
#[command(after_help = BUMP_EXAMPLES)]
pub struct Bump {
    /// The new artifact: an archive or a file; a directory that holds every file the manifest names;
    /// `dvc:FILE.dvc` for a file DVC keeps; or `mlflow:/NAME@ALIAS` (or `/VERSION`) for one a
    /// registry holds, whose server `$MLFLOW_TRACKING_URI` names. An alias is read once and its file pinned.
    #[arg(long, value_name = "FROM")]
    pub from: PathBuf,
    /// Version of the next release.
    #[arg(long, value_name = "VERSION")]
    pub version: String,
    /// Where the artifact will be served (default: the URL of the manifest, with the new file name
    /// and version in place of the old ones).
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File name of the artifact to replace, where the manifest names several.
    #[arg(long, value_name = "FILENAME")]
    pub artifact: Option<String>,
    /// The manifest.
    #[arg(long, value_name = "MANIFEST", default_value = "model_manifest.json")]
    pub manifest: PathBuf,
    /// Print the new manifest instead of writing it.
    #[arg(long)]
    pub dry_run: bool,
}
