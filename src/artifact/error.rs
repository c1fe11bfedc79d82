//! Why the files of a model could not be obtained.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::dvc::NoLocation;
use super::lfs::NoPointer;
use super::source::Refusal;
use super::{Condition, archive};
use crate::durable::{self, shown};
use crate::hint::Hint;
use crate::manifest;
use crate::units::{Bytes, Sha256};

/// What a manifest says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Its length; `None` when the manifest does not say.
    pub size: Option<Bytes>,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256 {}", self.sha256)?;
        self.size
            .map_or(Ok(()), |Bytes(size)| write!(f, ", {size} bytes"))
    }
}

/// A file and what it should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// What was promised.
    pub expected: Promise,
    /// Where it was promised, e.g. `model_manifest.json, artifacts[0]`.
    pub promised_by: Option<String>,
    /// Digest found; `None` when the length was enough to tell.
    pub found_sha256: Option<Sha256>,
    /// Length found.
    pub found_size: Bytes,
    /// Whether a Git LFS pointer stands where the file should be.
    pub is_lfs_pointer: bool,
    /// Where the bytes were fetched from; `None` for a file that was there.
    pub fetched: Option<Fetched>,
}

/// Where bytes came from that were not the promised ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The URL that answered, without its query.
    pub url: String,
    /// What the server called the bytes; escaped.
    pub content_type: Option<String>,
    /// Whether the server said that it encoded the bytes: then they may be packed on the fly.
    pub is_encoded: bool,
}

impl Mismatch {
    /// Whether only the bytes differ, not their number.
    fn is_size_right(&self) -> bool {
        self.expected
            .size
            .is_none_or(|size| size == self.found_size)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fetched {
            Some(fetched) => writeln!(f, "  from:      {}", fetched.url)?,
            None => writeln!(f, "  file:      {}", shown(&self.path))?,
        }
        write!(f, "  expected:  {}", self.expected)?;
        if let Some(place) = &self.promised_by {
            write!(f, "  ({place})")?;
        }
        write!(f, "\n  found:     ")?;
        if let Some(sha256) = self.found_sha256 {
            write!(f, "sha256 {sha256}, ")?;
        }
        write!(f, "{} bytes", self.found_size.0)?;
        let fetched = self.fetched.as_ref();
        match fetched.and_then(|fetched| fetched.content_type.as_ref()) {
            Some(content_type) => write!(f, ", served as {content_type}"),
            None => Ok(()),
        }
    }
}

/// A file that could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot fetch `{url}`: {problem}{}", tries(*attempts))]
pub struct Transfer {
    /// What stood in the way.
    pub condition: Condition,
    /// The URL asked last, without its query.
    pub url: String,
    /// What went wrong; escaped.
    pub problem: String,
    /// Requests made.
    pub attempts: u32,
    /// What the server called its answer; escaped.
    pub content_type: Option<String>,
    /// What to do about it.
    pub advice: Option<&'static str>,
    /// Whether it may go better another time.
    pub is_retryable: bool,
}

impl Transfer {
    /// * `url`: without secrets, escaped
    pub(super) fn new(condition: Condition, url: String, problem: String) -> Self {
        Self {
            condition,
            url,
            problem,
            attempts: 1,
            content_type: None,
            advice: None,
            is_retryable: condition == Condition::Network,
        }
    }
}

fn tries(attempts: u32) -> String {
    match attempts {
        0 | 1 => String::new(),
        n => format!(" (after {n} requests)"),
    }
}

/// Why the files of a model could not be obtained. Untrusted text inside is escaped when shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing stands at the path given for a model.
    #[error(
        "there is no model at `{}` (looked for a manifest file, a GGUF file, or a directory)",
        shown(.path)
    )]
    NoModel {
        /// The path given.
        path: PathBuf,
    },
    /// The path names a file that is no manifest and holds no model.
    #[error("`{}` is neither a manifest (*.json) nor a GGUF file nor a directory", shown(.path))]
    NotAModel {
        /// The path given.
        path: PathBuf,
    },
    /// The manifest is unreadable or breaks its rules.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A file or directory is missing, of the wrong kind, may not be read, or changed meanwhile.
    #[error("cannot read `{}`", shown(.path))]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The bytes are not the promised ones.
    #[error("artifact does not match the manifest\n{0}")]
    Mismatch(Box<Mismatch>),
    /// The manifest is good, but its artifact is not on this host.
    #[error("this command reads files of this host only; artifacts[{index}] is at `{url}`")]
    Remote {
        /// Number of the artifact in the manifest.
        index: usize,
        /// Its URL without secrets, escaped.
        url: String,
    },
    /// The file system refused something that had to be written.
    #[error(transparent)]
    Write(#[from] durable::Error),
    /// A source or a size that policy or safety refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file could not be fetched.
    #[error(transparent)]
    Transfer(Box<Transfer>),
    /// An object of a cloud store, and no means to ask for it.
    #[error("`{url}` is in a cloud store, and this program was built without feature `cloud`")]
    NoCloud {
        /// Its URL, escaped.
        url: String,
    },
    /// Fetching was forbidden, and the file is not in the cache.
    #[error(
        "artifacts[{index}] (sha256 {sha256}) is not in the cache, and --offline forbids to fetch it"
    )]
    Offline {
        /// Number of the artifact in the manifest.
        index: usize,
        /// Its digest.
        sha256: Sha256,
    },
    /// A Git LFS pointer that is none.
    #[error("`{}` is no Git LFS pointer that can be used", shown(.path))]
    Pointer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NoPointer,
    },
    /// A `.dvc` file that leads to no file.
    #[error(transparent)]
    Dvc(#[from] NoLocation),
    /// A good Git LFS pointer whose file was not fetched.
    #[error("`{}` is a Git LFS pointer, and the file it stands for was not fetched", shown(.path))]
    NotPulled {
        /// The pointer.
        path: PathBuf,
    },
    /// An archive that cannot be unpacked.
    #[error("cannot unpack `{name}`")]
    Archive {
        /// File name of the artifact, escaped.
        name: String,
        /// What is wrong with it.
        source: Box<archive::Error>,
    },
    /// Two artifacts would be the same file of the model.
    #[error("two artifacts are named `{}`: artifacts[{first}] and artifacts[{second}]", manifest::quoted(.name))]
    SameName {
        /// The name.
        name: String,
        /// Number of the first one.
        first: usize,
        /// Number of the second one.
        second: usize,
    },
    /// The release fills several directories, of which only one can be a model's.
    #[error("the release fills several directories ({})", targets.join(", "))]
    SeveralTargets {
        /// Names of the directories.
        targets: Vec<String>,
    },
    /// A directory has no file that could belong to a model.
    #[error("directory `{}` holds no file of a model", shown(.path))]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A file name is not UTF-8, so no record could name it.
    #[error("the name of `{}` is not UTF-8", shown(.path))]
    NameNotUtf8 {
        /// The file.
        path: PathBuf,
    },
}

impl Mismatch {
    /// What to do about wrong bytes of a server.
    fn fetched_hint(&self) -> &'static str {
        let fetched = self.fetched.as_ref();
        let content_type = fetched.and_then(|it| it.content_type.as_deref());
        if fetched.is_some_and(|it| it.is_encoded) {
            "the server compresses files on the fly; make it serve this one as it is stored"
        } else if content_type.is_some_and(|kind| kind.starts_with("text/html")) {
            "the server sent a web page, perhaps one to log in; name the URL of the file itself"
        } else {
            "the file on the server is not the one the manifest pins: publish that one, or pin the \
             new one in a change that is judged"
        }
    }
}

impl Error {
    /// What stood in the way, as `model` commands tell it.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Manifest(error) => match error.class() {
                manifest::Class::Invalid => Condition::ManifestInvalid,
                manifest::Class::Refused => Condition::RefusedByPolicy,
            },
            Self::Unreadable { source, .. } => Condition::of_io(source),
            Self::Write(error) => Condition::of_write(error),
            Self::Mismatch(mismatch) if mismatch.is_lfs_pointer => Condition::ArchiveMalformed,
            Self::Mismatch(mismatch) => match mismatch.found_sha256 {
                Some(_) if mismatch.is_size_right() => Condition::DigestMismatch,
                _ => Condition::SizeMismatch,
            },
            Self::Refused(_) => Condition::RefusedByPolicy,
            Self::Transfer(transfer) => transfer.condition,
            Self::Offline { .. } => Condition::Network,
            Self::Pointer { .. } | Self::Dvc(_) => Condition::ManifestInvalid,
            Self::NotPulled { .. } => Condition::ArchiveMalformed,
            Self::Archive { source, .. } => source.condition(),
            Self::SameName { .. } => Condition::ArchiveUnsafe,
            Self::Remote { .. }
            | Self::NoCloud { .. }
            | Self::NoModel { .. }
            | Self::NotAModel { .. }
            | Self::SeveralTargets { .. }
            | Self::EmptyDirectory { .. }
            | Self::NameNotUtf8 { .. } => Condition::Invalid,
        }
    }

    /// Whether it may go better another time.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transfer(transfer) => transfer.is_retryable,
            other => matches!(other.condition(), Condition::Network | Condition::NoSpace),
        }
    }

    /// Adds to a mismatch where its bytes came from.
    pub(super) fn fetched_from(self, fetched: Fetched) -> Self {
        match self {
            Self::Mismatch(mut mismatch) => {
                mismatch.fetched = Some(fetched);
                Self::Mismatch(mismatch)
            }
            other => other,
        }
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Manifest(error) => return error.hint(),
            Self::NoModel { .. } => {
                "name a manifest such as `models/model_manifest.json`, or the directory that holds \
                 the model's files"
            }
            Self::NotAModel { .. } => "name the directory that holds the file, or its manifest",
            Self::Mismatch(mismatch) if mismatch.is_lfs_pointer => {
                "the file is a Git LFS pointer; run `git lfs pull` to fetch the real one"
            }
            Self::Mismatch(mismatch) if mismatch.fetched.is_some() => {
                return Some(mismatch.fetched_hint().to_owned());
            }
            Self::Mismatch(_) => {
                "restore the file the manifest names, or, if the new bytes are meant, write their \
                 `sha256sum` and size into the manifest"
            }
            Self::Remote { .. } => {
                "download the file and name it in a manifest of its own by `repo:FILE`"
            }
            Self::Write(error) => return error.hint(),
            Self::Refused(refusal) => return refusal.hint(),
            Self::Transfer(transfer) => return transfer.advice.map(str::to_owned),
            Self::NoCloud { .. } => {
                "build it with `cargo install --locked --path . --features cloud`, or name the \
                 object by an https URL, presigned where it is private"
            }
            Self::Offline { .. } => "run once without --offline; what is fetched then is kept",
            Self::Dvc(_) => {
                "write the file with `dvc add`, name the remote with `dvc remote add --default`, and \
                 commit both"
            }
            Self::Pointer { .. } => "restore the pointer that `git lfs` wrote",
            Self::NotPulled { .. } => {
                "run `git lfs pull`; an installation asks git-lfs itself, where it is installed and \
                 the policy lists no hosts"
            }
            Self::Archive { source, .. } => return source.hint(),
            Self::SameName { .. } => "give each artifact its own `filename`",
            Self::SeveralTargets { .. } => {
                "give all files of the model the same `target_path_in_container`"
            }
            Self::EmptyDirectory { .. } => {
                "name the directory that directly holds config.json and the weights"
            }
            Self::Unreadable { .. } | Self::NameNotUtf8 { .. } => return None,
        };
        Some(hint.into())
    }
}
