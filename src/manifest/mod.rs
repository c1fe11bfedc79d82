//! Reads `model_manifest.json`: which files make up a model, by digest.
//!
//! In: a path. Out: [`Loaded`], a [`ModelManifest`] that keeps every rule that can be checked
//! without a network or a store, with its warnings. Obtains no artifact and checks no artifact's
//! bytes.

mod diff;
mod edit;
mod finding;
mod host;
mod http_url;
mod json;
mod lint;
mod object_url;
mod options;
mod reader;
mod url;
mod version;
mod wire;
mod write;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use diff::{Change, Weight, diff};
pub use edit::{Draft, NewArtifact};
pub(crate) use finding::quoted;
pub use finding::{Class, Error, Finding, Position, Warning};
pub use host::{Host, is_public};
pub use http_url::HttpUrl;
pub use object_url::{Bucket, ObjectUrl, Store};
pub use url::{Scheme, Url};
pub use version::{compare as compare_versions, is_version};
pub use write::Local;

use crate::durable;
use crate::units::{Bytes, Hasher, Sha256};

/// File name under which a manifest is looked for in a directory.
pub const FILE_NAME: &str = "model_manifest.json";

/// Name of the directory below `/app/models/` used by the flat form, which cannot name its own.
pub const DEFAULT_TARGET: &str = "bitnet";

/// The JSON Schema of a manifest, as it is published.
pub const SCHEMA: &str = include_str!("../../schema/manifest.v1.json");

/// Longest manifest accepted, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A manifest that was read, with what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub manifest: ModelManifest,
    /// What is odd, sorted by position.
    pub warnings: Vec<Warning>,
    /// Digest of the bytes that were read.
    pub sha256: Sha256,
}

/// What a manifest says: labels for people, and the release they describe.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelManifest {
    /// Label, 1–128 characters.
    pub model_name: String,
    /// Label as written, e.g. `v1.2.0-rc.1`.
    pub version: String,
    /// `YYYY-MM-DD`; `None` when absent or not a date.
    pub release_date: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// Versions of the summarizer it works with, e.g. `>=2.1,<3`.
    pub requires_summarize_scene: Option<String>,
    /// What is pinned.
    pub release: Release,
}

/// Everything that decides what a model says: its identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// 1–16 files, in written order.
    pub artifacts: Vec<Artifact>,
    /// How the files are to be read; `None` when the manifest has no `model_options`.
    pub model_options: Option<ModelOptions>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its name: one path component.
    pub filename: String,
    /// Where to get it, in the order to be tried; never empty.
    pub urls: Vec<Url>,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Its length; `None` when the manifest does not say.
    pub size: Option<Bytes>,
    /// Upper bound of what the archive may write; `None` when the manifest does not say.
    pub unpacked: Option<Bytes>,
    /// Directory below `/app/models/` it is installed into: one path component.
    pub target: String,
    /// Leading directories removed from every entry of an archive, 0–3.
    pub strip_components: u8,
    /// How it is packed.
    pub format: Format,
}

/// How an artifact is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A compressed archive.
    TarGz,
    /// An archive.
    Tar,
    /// A file of the model itself.
    File,
}

impl Format {
    /// The word used in manifests and in the release digest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TarGz => "tar.gz",
            Self::Tar => "tar",
            Self::File => "file",
        }
    }

    /// The format a file name stands for when the manifest does not say.
    fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let ends = |suffix: &str| name.strip_suffix(suffix).is_some();
        match () {
            () if ends(".tar.gz") || ends(".tgz") => Self::TarGz,
            () if ends(".tar") => Self::Tar,
            () => Self::File,
        }
    }
}

/// How the files of a model are to be read where they do not say so themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// Values per block of `I2_S` tensors: 128 or 64.
    pub i2s_layout: Option<u32>,
    /// Whether float projections are ternary already or masters to be quantised.
    pub quantization_mode: Option<QuantizationMode>,
    /// Token ids that end an output.
    pub stop_token_ids: Option<Vec<u32>>,
    /// Largest perplexity of the built-in paragraphs accepted when loading, above 0.
    pub max_load_perplexity: Option<f64>,
    /// Largest perplexity of the built-in summaries accepted when loading, above 0.
    pub max_summary_perplexity: Option<f64>,
    /// Compact JSON with sorted keys and numbers as given; part of the identity.
    canonical_json: String,
}

/// What float projections of a checkpoint hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantizationMode {
    /// Ternary values.
    Offline,
    /// Masters, quantised when loading.
    Online,
}

impl Release {
    /// Identity of the release: SHA-256 over digests, formats, targets, file names and options.
    ///
    /// URLs, sizes, dates and labels do not enter it: a release that moves to another server is
    /// the same release.
    pub fn digest(&self) -> Sha256 {
        let mut lines: Vec<String> = self.artifacts.iter().map(Artifact::identity_line).collect();
        lines.sort_unstable();
        let options = self
            .model_options
            .as_ref()
            .map(|options| format!("options {}\n", options.canonical_json));
        let mut hasher = Hasher::default();
        hasher.update(b"vv-release-v1\n");
        lines
            .iter()
            .chain(&options)
            .for_each(|line| hasher.update(line.as_bytes()));
        hasher.finish()
    }
}

impl Artifact {
    /// The artifact's line in the text behind [`Release::digest`].
    fn identity_line(&self) -> String {
        // Only a plain file keeps its own name on disk; an archive's name reaches nothing.
        let name = match self.format {
            Format::File => self.filename.as_str(),
            Format::TarGz | Format::Tar => "-",
        };
        let Self {
            sha256,
            strip_components,
            target,
            ..
        } = self;
        format!(
            "{sha256} {} {strip_components} {target} {name}\n",
            self.format.as_str()
        )
    }
}

/// Reads the manifest at `path` and checks every rule that needs neither network nor store.
///
/// The file is opened once; what was read then is what counts, whatever happens to it later.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::LinkLeaves`], [`Error::TooLong`] about the file, and
/// [`Error::Findings`] with every broken rule of its text.
pub fn read(path: &Path) -> Result<Loaded, Error> {
    parse(&read_bytes(path)?, path)
}

/// Reads the text of a manifest that was obtained in another way, e.g. from a revision.
///
/// * `path`: the name under which it was found, for messages
///
/// # Errors
/// [`Error::Findings`] with every broken rule; [`Error::TooLong`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Loaded, Error> {
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(Error::TooLong {
            path: path.to_owned(),
            limit: MAX_MANIFEST_BYTES,
        });
    }
    let (manifest, warnings) =
        wire::parse(bytes, &today()).map_err(|findings| Error::Findings {
            path: path.to_owned(),
            findings,
        })?;
    Ok(Loaded {
        manifest,
        warnings,
        sha256: Sha256::of(bytes),
    })
}

/// Reads the bytes of the manifest at `path`, whatever they say.
///
/// # Errors
/// As [`read`], apart from findings.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let real = follow_inside(path)?;
    let (file, _) = durable::open_regular(&real).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(Error::TooLong {
            path: path.to_owned(),
            limit: MAX_MANIFEST_BYTES,
        });
    }
    Ok(bytes)
}

/// The file itself when `path` is a link that stays in its repository; `path` when it is no link.
fn follow_inside(path: &Path) -> Result<PathBuf, Error> {
    let unreadable = |source: io::Error| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    if !path.symlink_metadata().map_err(unreadable)?.is_symlink() {
        return Ok(path.to_owned());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = parent.canonicalize().map_err(unreadable)?;
    let repository = directory
        .ancestors()
        .find(|ancestor| ancestor.join(".git").exists());
    let root = repository.unwrap_or(&directory).to_owned();
    let target = path.canonicalize().map_err(unreadable)?;
    if target.starts_with(&root) {
        Ok(target)
    } else {
        Err(Error::LinkLeaves {
            path: path.to_owned(),
            root,
            target,
        })
    }
}

/// Today's date in UTC, `YYYY-MM-DD`; a clock before 1970 reads as its first day.
pub fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |past| past.as_secs());
    crate::units::rfc3339(seconds)[..10].to_owned()
}

#[cfg(test)]
mod tests;
