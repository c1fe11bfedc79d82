//! Turns a manifest's promise, or a bare directory or GGUF file, into files whose bytes were checked.
//!
//! In: a [`Release`] and the directory its `repo:` URLs are relative to, a directory without a
//! manifest, or a GGUF file. Out: [`ModelFiles`]. Files are fetched by a [`Fetcher`] where one is
//! given, under rules of its own; archives are unpacked entry by entry. Bytes are checked before
//! anything reads them; [`pack`] makes the archives others unpack.

pub mod archive;
mod assemble;
pub mod cache;
#[cfg(feature = "cloud")]
mod cloud;
mod condition;
pub mod digest;
pub mod dvc;
mod error;
pub mod fetch;
mod http;
mod http_agent;
mod http_answer;
pub mod lfs;
mod lfs_pull;
pub mod mlflow;
pub mod pack;
pub mod reach;
pub mod source;
mod trust;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cache::{Blob, Cache};
pub use condition::Condition;
pub use digest::VerifiedArtifact;
pub use error::{Error, Fetched, Mismatch, Promise, Transfer};
pub use fetch::Fetcher;
pub use reach::Reach;

use crate::durable::{self, Temporary, shown};
use crate::manifest::{self, Artifact, DEFAULT_TARGET, Format, Loaded, ModelOptions, Release, Url};
use crate::units::Sha256;
use source::{Rules, Source};

/// First bytes of a GGUF file.
const GGUF_MAGIC: &[u8] = b"GGUF";

/// Files that shape prompts and ends, and are read when they stand beside a GGUF file.
const BESIDE_GGUF: [&str; 4] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// Files that describe a model to people or tools and change nothing of what it says.
const DOCUMENTATION: [&str; 3] = [manifest::FILE_NAME, "MODEL_CARD.md", "README.md"];

/// The files of one model, every one of them digested.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// File name (one component, never with directories) → the checked file.
    pub files: BTreeMap<String, VerifiedArtifact>,
    /// Whether a manifest promised these digests; a bare directory or file is digested but not
    /// pinned.
    pub is_pinned: bool,
    /// Identity of the whole set (lifecycle rule "release digest").
    pub release_digest: Sha256,
    /// Where the files were found, for messages only.
    pub origin: PathBuf,
}

/// A model as named on the command line, found and checked.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Its files.
    pub files: ModelFiles,
    /// Label: the manifest's `model_name`, or the name of the directory or file.
    pub name: String,
    /// Label of the manifest; `None` without one.
    pub version: Option<String>,
    /// What the manifest says of how to read the files; `None` when it says nothing.
    pub options: Option<ModelOptions>,
    /// What was odd, one line each, escaped.
    pub warnings: Vec<String>,
    /// Keeps unpacked archives on the disk for as long as the files are needed.
    _unpacked: Option<Arc<Temporary>>,
}

/// A way to obtain what is not on this host, and what an archive may write.
pub struct Means<'a> {
    /// Who fetches; `None` when only files of this host may be read.
    pub fetcher: Option<&'a Fetcher>,
    /// What one archive may write.
    pub limits: archive::Limits,
    /// Existing directory below which archives are unpacked; `None` for that of the system.
    pub workspace: Option<&'a Path>,
    /// Who hears of transfers.
    pub listener: &'a mut dyn FnMut(reach::Event),
}

/// Finds the model at `path` and digests its files, all of them on this host.
///
/// * `path`: a manifest (`*.json`), a directory that holds a `model_manifest.json` (read through
///   it, pinned), a directory without one (digested as it is, not pinned), or a file that begins
///   with `GGUF` (digested with what belongs to it, not pinned)
///
/// # Errors
/// As [`resolve_with`]; [`Error::Remote`] for an artifact that would have to be fetched.
pub fn resolve(path: &Path) -> Result<Resolved, Error> {
    resolve_with(
        path,
        &mut Means {
            fetcher: None,
            limits: archive::Limits::default(),
            workspace: None,
            listener: &mut |_| {},
        },
    )
}

/// Finds the model at `path`, fetches what is not on this host, and digests its files.
///
/// * `path`: as for [`resolve`]
///
/// # Errors
/// [`Error::NoModel`] and [`Error::NotAModel`] about the path; otherwise as those of the files,
/// [`digest_directory`], [`digest_gguf`] and [`manifest::read`].
pub fn resolve_with(path: &Path, means: &mut Means<'_>) -> Result<Resolved, Error> {
    let found = std::fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NoModel {
            path: path.to_owned(),
        },
        _ => Error::Unreadable {
            path: path.to_owned(),
            source,
        },
    })?;
    if found.is_dir() {
        let manifest_path = path.join(manifest::FILE_NAME);
        // A dangling link is a broken manifest, not a missing one: it must not unpin the model.
        let has_manifest = manifest_path.symlink_metadata().is_ok();
        return if has_manifest {
            resolve_manifest(&manifest_path, means)
        } else {
            resolve_bare(path)
        };
    }
    if path.extension() == Some(OsStr::new("json")) {
        return resolve_manifest(path, means);
    }
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    if begins_with(path, GGUF_MAGIC).map_err(unreadable)? {
        return resolve_gguf(path);
    }
    Err(Error::NotAModel {
        path: path.to_owned(),
    })
}

fn begins_with(path: &Path, magic: &[u8]) -> io::Result<bool> {
    let (file, _) = durable::open_regular(path)?;
    let mut start = Vec::new();
    file.take(magic.len() as u64).read_to_end(&mut start)?;
    Ok(start == magic)
}

fn resolve_manifest(path: &Path, means: &mut Means<'_>) -> Result<Resolved, Error> {
    let loaded = manifest::read(path)?;
    resolve_loaded(loaded, path, means)
}

/// Finds the model a manifest names that was read already.
///
/// * `path`: where it stands, or would; `repo:` and `lfs:` URLs are relative to its directory
///
/// # Errors
/// Those of the files, and of the network where it is asked.
pub fn resolve_loaded(
    loaded: Loaded,
    path: &Path,
    means: &mut Means<'_>,
) -> Result<Resolved, Error> {
    let (files, unpacked) = verify_release(&loaded, path, means)?;
    let origin = shown(path);
    let warnings = loaded
        .warnings
        .iter()
        .map(|warning| format!("{origin}:{warning}"))
        .collect();
    let manifest::ModelManifest {
        model_name,
        version,
        release,
        ..
    } = loaded.manifest;
    Ok(Resolved {
        files,
        name: model_name,
        version: Some(version),
        options: release.model_options,
        warnings,
        _unpacked: unpacked,
    })
}

fn resolve_bare(path: &Path) -> Result<Resolved, Error> {
    let files = digest_directory(path)?;
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = full
        .file_name()
        .unwrap_or(full.as_os_str())
        .to_string_lossy()
        .into_owned();
    Ok(Resolved {
        files,
        name,
        version: None,
        options: None,
        warnings: Vec::new(),
        _unpacked: None,
    })
}

fn resolve_gguf(path: &Path) -> Result<Resolved, Error> {
    let files = digest_gguf(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = Part::of(&name).map_or(&*name, |part| part.name).to_owned();
    let manifest_path = beside(path, manifest::FILE_NAME);
    let warnings = if manifest_path.symlink_metadata().is_ok() {
        let manifest = shown(&manifest_path);
        vec![format!(
            "{manifest} was not read: name it, or its directory, for a pinned model"
        )]
    } else {
        Vec::new()
    };
    Ok(Resolved {
        files,
        name,
        version: None,
        options: None,
        warnings,
        _unpacked: None,
    })
}

/// Number of one file of a split GGUF, as its name says it: `NAME-00001-of-00003`.
struct Part<'a> {
    name: &'a str,
    of: &'a str,
}

impl<'a> Part<'a> {
    /// * `stem`: file name without `.gguf`
    fn of(stem: &'a str) -> Option<Self> {
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        let (rest, of) = stem.rsplit_once("-of-")?;
        let (name, number) = rest.rsplit_once('-')?;
        (is_number(number) && is_number(of)).then_some(Self { name, of })
    }
}

/// The path of a file in the same directory.
fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

/// Checks every file a manifest names, and unpacks the archives among them.
///
/// * `manifest_path`: where `loaded` was read from; `repo:` URLs are relative to its directory
///
/// # Errors
/// [`Error::SameName`], [`Error::SeveralTargets`], [`Error::Refused`] and [`Error::Remote`] before
/// any file is touched; then those of the files.
fn verify_release(
    loaded: &Loaded,
    manifest_path: &Path,
    means: &mut Means<'_>,
) -> Result<(ModelFiles, Option<Arc<Temporary>>), Error> {
    let release = &loaded.manifest.release;
    assemble::check_together(release)?;
    let base = manifest_path.parent().unwrap_or(Path::new("."));
    let sources = match means.fetcher {
        Some(fetcher) => fetcher.sources(release, base)?,
        None => local_sources(release, base)?,
    };
    let listener = &mut *means.listener;
    let fetcher = means.fetcher;
    let obtain = |(index, artifact): (usize, &Artifact)| {
        let sources = &sources[index];
        match fetcher {
            Some(fetcher) => fetcher.obtain((index, artifact), sources, listener),
            None => fetch::first_of(sources, |source| fetch::open_local(source, artifact)),
        }
        .map_err(|error| promised_by(error, manifest_path, index))
    };
    let assembled = assemble::assemble(release, &means.limits, means.workspace, obtain)?;
    let files = ModelFiles {
        files: assembled.files,
        is_pinned: true,
        release_digest: release.digest(),
        origin: manifest_path.to_owned(),
    };
    Ok((files, assembled.unpacked))
}

/// The sources of each artifact that are on this host.
fn local_sources(release: &Release, base: &Path) -> Result<Vec<Vec<Source>>, Error> {
    let rules = Rules::default();
    let of = |(index, artifact): (usize, &Artifact)| {
        let is_local = |source: &Source| !source.is_remote();
        let urls = artifact.urls.iter();
        let local: Vec<Source> = urls
            .filter_map(|url| rules.source(url, base).ok())
            .filter(is_local)
            .collect();
        if local.is_empty() {
            let url = artifact.urls.first().map(Url::shown).unwrap_or_default();
            return Err(Error::Remote { index, url });
        }
        Ok(local)
    };
    release.artifacts.iter().enumerate().map(of).collect()
}

/// Adds to a mismatch which entry of which manifest made the promise.
fn promised_by(error: Error, manifest_path: &Path, index: usize) -> Error {
    match error {
        Error::Mismatch(mut mismatch) => {
            let manifest = Path::new(manifest_path.file_name().unwrap_or_default());
            mismatch.promised_by = Some(format!("{}, artifacts[{index}]", shown(manifest)));
            Error::Mismatch(mismatch)
        }
        other => other,
    }
}

/// Digests the files of a directory without a manifest.
///
/// Only regular files at its top level count, links to such files included. Hidden files and
/// documentation (`model_manifest.json`, `MODEL_CARD.md`, `README.md`) do not. The identity is the
/// one a manifest naming the same files for the default target would have.
///
/// # Errors
/// [`Error::EmptyDirectory`] when nothing counts; [`Error::NameNotUtf8`]; [`Error::Unreadable`].
pub fn digest_directory(directory: &Path) -> Result<ModelFiles, Error> {
    let unreadable = |source| Error::Unreadable {
        path: directory.to_owned(),
        source,
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let metadata = std::fs::metadata(&path).map_err(|source| Error::Unreadable {
            path: path.clone(),
            source,
        })?;
        if !metadata.is_file() {
            continue;
        }
        let Some(name) = name.to_str() else {
            return Err(Error::NameNotUtf8 { path });
        };
        if !DOCUMENTATION.contains(&name) {
            files.insert(name.to_owned(), digest::digest_file(&path)?);
        }
    }
    if files.is_empty() {
        return Err(Error::EmptyDirectory {
            path: directory.to_owned(),
        });
    }
    Ok(unpinned(files, directory))
}

/// Digests a GGUF file with what belongs to it: the other parts where its name says that it is one
/// part of several, and `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and
/// `generation_config.json` where they stand beside it.
///
/// The identity is that of a directory with these files only.
///
/// # Errors
/// [`Error::NameNotUtf8`], [`Error::Unreadable`].
pub fn digest_gguf(path: &Path) -> Result<ModelFiles, Error> {
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.ok_or_else(|| Error::NameNotUtf8 {
        path: path.to_owned(),
    })?;
    let mut names = vec![name.to_owned()];
    names.extend(BESIDE_GGUF.map(str::to_owned));
    if let Some((stem, end)) = name.rsplit_once('.')
        && let Some(part) = Part::of(stem)
    {
        // Parts that are missing are the loader's to report: it knows how many there must be.
        let n: u32 = part.of.parse().unwrap_or(0);
        names.extend((1..=n).map(|i| format!("{}-{i:05}-of-{}.{end}", part.name, part.of)));
    }
    let mut files = BTreeMap::new();
    for other in names {
        let path = beside(path, &other);
        if !files.contains_key(&other) && (other == name || path.is_file()) {
            files.insert(other, digest::digest_file(&path)?);
        }
    }
    Ok(unpinned(files, path))
}

/// Files that no manifest promised.
fn unpinned(files: BTreeMap<String, VerifiedArtifact>, origin: &Path) -> ModelFiles {
    let artifacts = files
        .iter()
        .map(|(name, file)| as_artifact(name, file))
        .collect();
    let release = Release {
        artifacts,
        model_options: None,
    };
    ModelFiles {
        files,
        is_pinned: false,
        release_digest: release.digest(),
        origin: origin.to_owned(),
    }
}

/// The manifest entry that would promise this file.
fn as_artifact(name: &str, file: &VerifiedArtifact) -> Artifact {
    Artifact {
        filename: name.to_owned(),
        urls: vec![Url::Repo(name.into())],
        sha256: file.sha256(),
        size: Some(file.size()),
        unpacked: None,
        target: DEFAULT_TARGET.to_owned(),
        strip_components: 0,
        format: Format::File,
    }
}

#[cfg(test)]
mod tests;
