//! Why the files of a model could not be obtained.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::durable::shown;
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
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  file:      {}", shown(&self.path))?;
        write!(f, "  expected:  {}", self.expected)?;
        if let Some(place) = &self.promised_by {
            write!(f, "  ({place})")?;
        }
        write!(f, "\n  found:     ")?;
        if let Some(sha256) = self.found_sha256 {
            write!(f, "sha256 {sha256}, ")?;
        }
        write!(f, "{} bytes", self.found_size.0)
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
    /// The manifest is good, but its artifact is somewhere this build does not reach.
    #[error("this build reads local `repo:` artifacts only; artifacts[{index}] is at `{url}`")]
    Remote {
        /// Number of the artifact in the manifest.
        index: usize,
        /// Its URL without secrets, escaped.
        url: String,
    },
    /// The manifest is good, but its artifact is an archive.
    #[error(
        "this build reads unpacked artifacts only (format `file`); artifacts[{index}] is `{format}`"
    )]
    Archive {
        /// Number of the artifact in the manifest.
        index: usize,
        /// Its format.
        format: &'static str,
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
            Self::Mismatch(_) => {
                "restore the file the manifest names, or, if the new bytes are meant, write their \
                 `sha256sum` and size into the manifest"
            }
            Self::Remote { .. } => {
                "download and unpack the files next to the manifest and name each of them there by \
                 `repo:FILE` with its own digest"
            }
            Self::Archive { .. } => {
                "unpack the archive next to the manifest and name each file there by `repo:FILE` \
                 with its own digest and `\"format\": \"file\"`"
            }
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
