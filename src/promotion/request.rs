//! The two manifests of a pull request, and everything that judges them, which the base decides.

use std::path::{Path, PathBuf};

use super::files::write_out;
use super::git::{self, Commit, Repository};
use crate::durable::shown;
use crate::gate::Policy;
use crate::gate::policy::{Mode, Origin, PolicyError};
use crate::hint::Hint;
use crate::manifest::{self, Change, Loaded, MAX_MANIFEST_BYTES, Warning, diff};

/// Longest policy, in bytes.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Where a policy usually is; a base without one is judged by the built-in policy.
const DEFAULT_POLICY: &str = "gate.toml";

/// Folder of scene sets.
const EVAL_SETS: &str = "eval-sets";

/// Places, besides policy and scenes, whose change decides what is judged or how it is run.
const GUARDED: [&str; 7] = [
    "eval-sets/",
    "prompts/",
    "scripts/",
    ".github/",
    "action.yml",
    "keys/",
    "model_attestations/",
];

/// Where the files of a pull request stand, from the top of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The manifest.
    pub manifest: String,
    /// The policy.
    pub policy: String,
}

/// The side that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A commit.
    Commit(Commit),
    /// What stands in the work tree.
    WorkTree,
}

/// A pull request, read whole.
#[derive(Debug)]
pub struct Request {
    /// Tip of the branch it goes to.
    pub base: Commit,
    /// What it proposes.
    pub head: Head,
    /// The manifest now pinned; `None` when the base has none.
    pub baseline: Option<Loaded>,
    /// The manifest proposed.
    pub candidate: Loaded,
    /// The base's policy, or the built-in one where the base has none.
    pub policy: Policy,
    /// Files of the pull request that would change how it is judged: the base's copies count.
    pub edited: Vec<String>,
    /// What changes between the manifests; empty without a baseline.
    pub changes: Vec<Change>,
}

/// Why a pull request cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Git did not answer.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A manifest breaks its rules.
    #[error("the {role} manifest cannot be used")]
    Manifest {
        /// `baseline` or `candidate`.
        role: &'static str,
        /// What is wrong.
        source: manifest::Error,
    },
    /// The candidate's manifest has warnings, which a gate does not let pass.
    #[error("the candidate manifest `{path}` is not strict{}", listed(warnings))]
    NotStrict {
        /// Its path.
        path: String,
        /// What is odd.
        warnings: Vec<Warning>,
    },
    /// The head has no manifest.
    #[error("there is no manifest `{path}` in the pull request")]
    NoManifest {
        /// Where it was looked for, escaped.
        path: String,
    },
    /// The base has no manifest, and its policy does not say that this is the first model.
    #[error("there is no manifest `{path}` at the base {base}, so there is no baseline")]
    NoBaseline {
        /// Where it was looked for, escaped.
        path: String,
        /// The base.
        base: String,
    },
    /// The base's policy says that this is the first model, and the base has one.
    #[error(
        "the base {base} pins a model already, but its policy still says `mode = \"bootstrap\"`"
    )]
    NotTheFirst {
        /// The base.
        base: String,
    },
    /// The base moved on under the pull request.
    #[error(
        "the pull request is out of date: `{path}` at the base {base} is not the one it started \
         from ({merge_base})"
    )]
    OutOfDate {
        /// The manifest, escaped.
        path: String,
        /// The base.
        base: String,
        /// Where it started.
        merge_base: String,
    },
    /// The base's policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The base has no policy of that name.
    #[error("there is no policy `{path}` at the base {base}")]
    NoPolicy {
        /// Its path, escaped.
        path: String,
        /// The base.
        base: String,
    },
    /// The base's policy is not text.
    #[error("the policy `{path}` at the base is not UTF-8")]
    PolicyNotText {
        /// Its path, escaped.
        path: String,
    },
    /// A path that leads out of the repository.
    #[error("`{path}` is no path inside the repository")]
    Outside {
        /// The path, escaped.
        path: String,
    },
    /// The base has no such scene set.
    #[error("there is no scene set `{set}` at the base {base}")]
    NoScenes {
        /// `eval-sets/NAME/VERSION`.
        set: String,
        /// The base.
        base: String,
    },
    /// A file of a revision could not be written out.
    #[error("cannot write `{}`", shown(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
}

fn listed(warnings: &[Warning]) -> String {
    let lines = warnings.iter().map(|warning| format!("\n  {warning}"));
    lines.collect()
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Git(error) => return error.hint(),
            Self::Manifest { source, .. } => return source.hint(),
            Self::Policy(error) => return error.hint(),
            Self::NotStrict { .. } => "`vv-eval manifest lint --strict` shows the same findings",
            Self::NoManifest { .. } => {
                "name it with --manifest PATH, from the top of the repository"
            }
            Self::NoBaseline { .. } => {
                "name the right branch with --base and the manifest with --manifest; for the first \
                 model ever, merge a gate.toml with `mode = \"bootstrap\"` before"
            }
            Self::NotTheFirst { .. } => {
                "set `mode` of gate.toml to smoke or promotion, in a pull request of its own"
            }
            Self::OutOfDate { .. } => {
                "rebase the pull request onto the base, so that it is judged \
                 against the model that is pinned now"
            }
            Self::NoScenes { .. } => {
                "add the scene set to the base first, in a pull request of its own"
            }
            Self::NoPolicy { .. } => {
                "name the one at the base with --policy; without a gate.toml the built-in policy \
                 judges"
            }
            Self::PolicyNotText { .. } | Self::Outside { .. } | Self::Write { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl Request {
    /// Reads a pull request.
    ///
    /// * `base`: a revision of the branch it goes to; its tip counts
    /// * `head`: a revision, or `None` for the work tree
    ///
    /// # Errors
    /// [`Error`]; a base without a manifest is none here.
    pub fn read(
        repository: &Repository,
        base: &str,
        head: Option<&str>,
        paths: &Paths,
    ) -> Result<Self, Error> {
        for path in [&paths.manifest, &paths.policy] {
            inside(path)?;
        }
        let base = repository.resolve(base)?;
        let head = match head {
            Some(revision) => Head::Commit(repository.resolve(revision)?),
            None => Head::WorkTree,
        };
        let started_from = match &head {
            Head::Commit(commit) => commit.clone(),
            Head::WorkTree => repository.resolve("HEAD")?,
        };
        let merge_base = repository.merge_base(&base, &started_from)?;
        let policy = policy_at(repository, &base, &paths.policy)?;
        let at = |commit| repository.blob(commit, &paths.manifest, MAX_MANIFEST_BYTES);
        let baseline = at(&base)?;
        if baseline != at(&merge_base)? {
            return Err(Error::OutOfDate {
                path: paths.manifest.escape_debug().to_string(),
                base: base.short().to_owned(),
                merge_base: merge_base.short().to_owned(),
            });
        }
        let baseline = match baseline {
            Some(bytes) => {
                let named = PathBuf::from(format!("{}:{}", base.short(), paths.manifest));
                let loaded = manifest::parse(&bytes, &named);
                Some(loaded.map_err(|source| Error::Manifest {
                    role: "baseline",
                    source,
                })?)
            }
            None => None,
        };
        let candidate = candidate(repository, &head, &paths.manifest)?;
        let to = match &head {
            Head::Commit(commit) => Some(commit),
            Head::WorkTree => None,
        };
        let edited = repository.changed_paths(&merge_base, to)?;
        let edited = edited
            .into_iter()
            .filter(|path| is_guarded(path, paths))
            .collect();
        let changes = baseline
            .as_ref()
            .map(|baseline| diff(&baseline.manifest, &candidate.manifest))
            .unwrap_or_default();
        Ok(Self {
            base,
            head,
            baseline,
            candidate,
            policy,
            edited,
            changes,
        })
    }

    /// Whether the manifest says the same as before, so that there is nothing to judge.
    pub fn is_unchanged(&self) -> bool {
        self.baseline
            .as_ref()
            .is_some_and(|it| it.sha256 == self.candidate.sha256)
    }

    /// The baseline; `None` where the base pins no model and its policy says that the first one is
    /// judged, by its limits alone.
    ///
    /// # Errors
    /// [`Error::NoBaseline`], [`Error::NotTheFirst`].
    pub fn baseline(&self, paths: &Paths) -> Result<Option<&Loaded>, Error> {
        let is_first = self.policy.mode == Mode::Bootstrap;
        let base = self.base.short().to_owned();
        match &self.baseline {
            None if is_first => Ok(None),
            None => Err(Error::NoBaseline {
                path: paths.manifest.escape_debug().to_string(),
                base,
            }),
            Some(baseline) => {
                let digest = |loaded: &Loaded| loaded.manifest.release.digest();
                if is_first && digest(baseline) != digest(&self.candidate) {
                    return Err(Error::NotTheFirst { base });
                }
                Ok(Some(baseline))
            }
        }
    }

    /// Sentences a reviewer must read first: what the pull request would change of its own trial.
    pub fn notices(&self) -> Vec<String> {
        if self.edited.is_empty() {
            return Vec::new();
        }
        let shown: Vec<String> = self
            .edited
            .iter()
            .take(10)
            .map(|path| format!("`{}`", path.escape_debug()))
            .collect();
        let more = self.edited.len().saturating_sub(shown.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let mut notices = vec![format!(
            "this pull request also edits {}{more}: it was judged by the copies at {}",
            shown.join(", "),
            self.base.short()
        )];
        if self.edited.iter().any(|path| path.starts_with(".github/")) {
            notices.push(
                "it edits `.github/`: if the job ran that copy of the workflow, this verdict is \
                 its word"
                    .to_owned(),
            );
        }
        notices
    }

    /// Writes the base's copy of the policy's scene set below `into`; gives its directory.
    ///
    /// # Errors
    /// [`Error::NoScenes`], [`Error::Git`], [`Error::Write`].
    pub fn export_scenes(&self, repository: &Repository, into: &Path) -> Result<PathBuf, Error> {
        let scenes = &self.policy.scenes;
        let set = scenes.set.as_deref().unwrap_or_default();
        self.export_set(repository, set, scenes.version.as_deref(), into)
    }

    /// Writes the sentinels the base's policy demands below `into`, as they stand at the base; gives
    /// their directory, or `None` when it demands none.
    ///
    /// # Errors
    /// As [`Request::export_scenes`].
    pub fn export_sentinels(
        &self,
        repository: &Repository,
        into: &Path,
    ) -> Result<Option<PathBuf>, Error> {
        let demanded = self.policy.sentinels.as_ref();
        demanded
            .map(|it| self.export_set(repository, &it.set, it.version.as_deref(), into))
            .transpose()
    }

    fn export_set(
        &self,
        repository: &Repository,
        set: &str,
        version: Option<&str>,
        into: &Path,
    ) -> Result<PathBuf, Error> {
        let missing = |set: &str| Error::NoScenes {
            set: set.escape_debug().to_string(),
            base: self.base.short().to_owned(),
        };
        let folder = format!("{EVAL_SETS}/{set}");
        inside(&folder).map_err(|_| missing(&folder))?;
        let version = match version {
            Some(version) => version.to_owned(),
            None => newest(repository, &self.base, &folder)?.ok_or_else(|| missing(&folder))?,
        };
        let directory = format!("{folder}/{version}");
        inside(&directory).map_err(|_| missing(&directory))?;
        let files = repository.files_below(&self.base, &directory)?;
        if files.is_empty() {
            return Err(missing(&directory));
        }
        for file in &files {
            write_out(repository, file, into, None)?;
        }
        Ok(into.join(directory))
    }
}

/// The highest version of a scene set at a commit.
fn newest(repository: &Repository, commit: &Commit, folder: &str) -> Result<Option<String>, Error> {
    let files = repository.files_below(commit, folder)?;
    let versions = files.iter().filter_map(|file| {
        let rest = file.path.strip_prefix(folder)?.strip_prefix('/')?;
        rest.strip_suffix("/set.toml")
            .filter(|version| !version.contains('/'))
    });
    let highest = versions.max_by(|a, b| manifest::compare_versions(a, b));
    Ok(highest.map(str::to_owned))
}

/// Refuses paths that are absolute, or lead out, or are an option.
pub(super) fn inside(path: &str) -> Result<(), Error> {
    let is_inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_inside && !path.contains(char::is_control) {
        Ok(())
    } else {
        Err(Error::Outside {
            path: path.escape_debug().to_string(),
        })
    }
}

/// The policy of a commit, or the built-in one.
fn policy_at(repository: &Repository, base: &Commit, path: &str) -> Result<Policy, Error> {
    let Some(bytes) = repository.blob(base, path, MAX_POLICY_BYTES)? else {
        // Only the usual name may be absent: a slip must not mean other rules.
        return if path == DEFAULT_POLICY {
            Ok(Policy::built_in())
        } else {
            Err(Error::NoPolicy {
                path: path.escape_debug().to_string(),
                base: base.short().to_owned(),
            })
        };
    };
    let text = String::from_utf8(bytes).map_err(|_| Error::PolicyNotText {
        path: path.escape_debug().to_string(),
    })?;
    let origin = format!("{path}@{}", base.short());
    let policy = Policy::parse(&text, &origin)?;
    Ok(Policy {
        origin: Origin::File(origin),
        ..policy
    })
}

/// The manifest of the head, without a warning.
fn candidate(repository: &Repository, head: &Head, path: &str) -> Result<Loaded, Error> {
    let missing = || Error::NoManifest {
        path: path.escape_debug().to_string(),
    };
    let wrong = |source| Error::Manifest {
        role: "candidate",
        source,
    };
    let loaded = match head {
        Head::Commit(commit) => {
            let bytes = repository.blob(commit, path, MAX_MANIFEST_BYTES)?;
            manifest::parse(&bytes.ok_or_else(missing)?, Path::new(path)).map_err(wrong)?
        }
        Head::WorkTree => {
            let file = repository.root().join(path);
            if file.symlink_metadata().is_err() {
                return Err(missing());
            }
            manifest::read(&file).map_err(wrong)?
        }
    };
    if loaded.warnings.is_empty() {
        Ok(loaded)
    } else {
        Err(Error::NotStrict {
            path: path.escape_debug().to_string(),
            warnings: loaded.warnings,
        })
    }
}

/// Whether a changed file decides what is judged, or by whom.
fn is_guarded(path: &str, paths: &Paths) -> bool {
    path == paths.policy || GUARDED.iter().any(|guarded| path.starts_with(guarded))
}
