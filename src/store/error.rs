//! Why the store did not do what was asked. In every case what is installed stays as it was.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk;
use crate::artifact;
use crate::durable::{self, shown};
use crate::hint::Hint;
use crate::manifest;
use crate::units::{Bytes, Sha256};

/// Why a manifest that is well formed is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its version is below the installed one.
    Downgrade {
        /// Version installed.
        current: String,
        /// Version asked for.
        wanted: String,
    },
    /// The release was condemned on this host.
    KnownBad {
        /// Its release digest.
        release: Sha256,
        /// Why it was, if a reason was given.
        reason: Option<String>,
    },
    /// The policy does not let a version name other bytes than before.
    VersionReused {
        /// The version.
        version: String,
        /// Release installed under it.
        current: Sha256,
        /// Release asked for.
        wanted: Sha256,
    },
    /// The summarizer on this host is not one the release works with.
    Consumer {
        /// What the manifest requires.
        requires: String,
        /// Version of the summarizer.
        found: String,
    },
}

/// Why a release can stand in no directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentProblem {
    /// A model could not be loaded from these files (code 30).
    Malformed,
    /// A file must not be installed at all (code 31).
    Unsafe,
}

/// Why the store did not do what was asked. Untrusted text inside is escaped when shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest is unreadable or breaks its rules.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The manifest gives rise to warnings, and none are accepted.
    #[error("the manifest is not accepted as it is:\n  {}", warnings.join("\n  "))]
    Strict {
        /// The warnings.
        warnings: Vec<String>,
    },
    /// Policy does not allow the installation.
    #[error("{}", refused(.0))]
    Refused(Refusal),
    /// An artifact could not be had.
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    /// The files of the release are not a model, or not only a model.
    #[error("`{}` in the new release: {problem}", manifest::quoted(.file))]
    Content {
        /// The file, by target and path; empty for the release as a whole.
        file: String,
        /// How bad it is.
        kind: ContentProblem,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There is not enough space.
    #[error("{needed} are needed on the file system of `{}`, {free} are free", shown(.path))]
    NoSpace {
        /// The models directory.
        path: PathBuf,
        /// What the installation needs at most, reserve included.
        needed: Bytes,
        /// What is free for this user.
        free: Bytes,
    },
    /// A step of the file system failed.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// Something could not be read.
    #[error("cannot read `{}`", shown(.path))]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The place cannot hold a store.
    #[error("`{}` cannot hold a model store: {problem}", shown(.path))]
    Unsupported {
        /// The place.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Another process is changing the store.
    #[error("another process holds `{}` (waited {:.1} s)", shown(.path), waited.as_secs_f64())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The store was written by a program with another layout.
    #[error("`{}` says `{}`; this program knows `{}`", shown(.path), manifest::quoted(.found), super::layout::FORMAT)]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Something in the store is not what the store put there.
    #[error("`{}` is damaged: {problem}", shown(.path))]
    Corrupt {
        /// What.
        path: PathBuf,
        /// What is wrong with it, escaped.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The smoke test of the new release failed.
    #[error("the new release did not pass its smoke test: {problem}")]
    Smoke {
        /// What happened.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There is no generation to go back to.
    #[error("{}there is no earlier generation to go back to", because.as_deref().map_or(String::new(), |why| format!("{why}, and ")))]
    NothingToRollBackTo {
        /// Why it should be gone back, where that was found here.
        because: Option<String>,
    },
    /// A generation was named that is not on this host.
    #[error("no generation on this host is `{}`", manifest::quoted(.named))]
    NoSuchGeneration {
        /// As it was named.
        named: String,
    },
    /// What was asked for makes no sense here.
    #[error("{problem}")]
    Usage {
        /// Why.
        problem: String,
        /// What would.
        hint: String,
    },
}

impl Error {
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn unwritable(path: &Path, source: io::Error) -> Self {
        Self::File(durable::Error {
            operation: "write to",
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn corrupt(path: &Path, problem: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            problem: problem.into(),
            hint: None,
        }
    }

    pub(super) fn with_hint(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Corrupt { path, problem, .. } => Self::Corrupt {
                path,
                problem,
                hint: Some(advice.into()),
            },
            other => other,
        }
    }
}

fn refused(refusal: &Refusal) -> String {
    let quoted = manifest::quoted;
    match refusal {
        Refusal::Downgrade { current, wanted } => format!(
            "version {} is below the installed {}, and this release was never installed here",
            quoted(wanted),
            quoted(current)
        ),
        Refusal::KnownBad { release, reason } => {
            let reason = reason
                .as_deref()
                .map_or(String::new(), |reason| format!(" ({})", quoted(reason)));
            format!("release sha256:{release} was marked bad on this host{reason}")
        }
        Refusal::VersionReused {
            version,
            current,
            wanted,
        } => format!(
            "version {} is installed with other bytes\n  installed:  sha256:{current}\n  manifest:   sha256:{wanted}",
            quoted(version)
        ),
        Refusal::Consumer { requires, found } => format!(
            "the release requires summarize_scene {}, this host has {}",
            quoted(requires),
            quoted(found)
        ),
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Manifest(error) => return error.hint(),
            Self::Artifact(error) => return error.hint(),
            Self::File(error) => return error.hint(),
            Self::Content { hint, .. } | Self::Corrupt { hint, .. } | Self::Smoke { hint, .. } => {
                return hint.clone();
            }
            Self::Strict { .. } => "correct the manifest, or leave out --strict",
            Self::Refused(Refusal::Downgrade { .. }) => {
                "install a release that was current on this host before, or pass --allow-downgrade"
            }
            Self::Refused(Refusal::KnownBad { .. }) => {
                "name another release in the manifest, or pass --allow-known-bad"
            }
            Self::Refused(Refusal::VersionReused { .. }) => {
                "give the new bytes a new version, or set `immutable_versions = false` in the policy"
            }
            Self::Refused(Refusal::Consumer { .. }) => {
                "update summarize_scene first, or install a release made for this version"
            }
            Self::NoSpace { .. } => {
                "free some space, run `vv-eval model gc`, or state `unpacked_bytes` in the manifest"
            }
            Self::Unsupported { .. } => {
                "keep the models directory on a local file system such as ext4 or xfs"
            }
            Self::Busy { .. } => "try again, or wait for it with --wait SECONDS",
            Self::Format { .. } => "use the version of vv-eval that wrote this store",
            Self::NothingToRollBackTo { .. } => {
                "install an earlier manifest: git show REF:model_manifest.json > old.json, then \
                 vv-eval model install --manifest old.json"
            }
            Self::NoSuchGeneration { .. } => "vv-eval model status lists the generations on disk",
            Self::Usage { hint, .. } => hint,
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "run as the owner of the models directory",
                _ if disk::is_silent(source) => {
                    "the system did not say what is there, so nothing is lost yet: see what its log \
                     says of the disk, and try again"
                }
                _ => return None,
            },
        };
        Some(hint.into())
    }
}
