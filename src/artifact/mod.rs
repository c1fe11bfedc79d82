//! Turns a manifest's promise, or a bare directory, into files whose bytes were checked.
//!
//! In: a [`Release`] and the directory its `repo:` URLs are relative to, or a directory without a manifest. Out: [`ModelFiles`]. Fetches nothing from a network and
//! unpacks nothing.

pub mod digest;
mod error;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

pub use digest::VerifiedArtifact;
pub use error::{Error, Mismatch, Promise};

use crate::durable::shown;
use crate::manifest::{self, Artifact, DEFAULT_TARGET, Format, Loaded, ModelOptions, Release, Url};
use crate::units::Sha256;

/// Files that describe a model to people or tools and change nothing of what it says.
const DOCUMENTATION: [&str; 3] = [manifest::FILE_NAME, "MODEL_CARD.md", "README.md"];

/// The files of one model, every one of them digested.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// File name (one component, never with directories) → the checked file.
    pub files: BTreeMap<String, VerifiedArtifact>,
    /// Whether a manifest promised these digests; a bare directory is digested but not pinned.
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
    /// Label: the manifest's `model_name`, or the directory's name.
    pub name: String,
    /// Label of the manifest; `None` for a bare directory.
    pub version: Option<String>,
    /// What the manifest says of how to read the files; `None` when it says nothing.
    pub options: Option<ModelOptions>,
    /// What was odd, one line each, escaped.
    pub warnings: Vec<String>,
}

/// Finds the model at `path` and digests its files.
///
/// * `path`: a manifest (`*.json`), a directory that holds a `model_manifest.json` (read through
///   it, pinned), or a directory without one (digested as it is, not pinned)
///
/// # Errors
/// [`Error::NoModel`] and [`Error::NotAModel`] about the path; otherwise as [`verify_release`],
/// [`digest_directory`] and [`manifest::read`].
pub fn resolve(path: &Path) -> Result<Resolved, Error> {
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
            resolve_manifest(&manifest_path)
        } else {
            resolve_bare(path)
        };
    }
    if path.extension() == Some(OsStr::new("json")) {
        resolve_manifest(path)
    } else {
        Err(Error::NotAModel {
            path: path.to_owned(),
        })
    }
}

fn resolve_manifest(path: &Path) -> Result<Resolved, Error> {
    let loaded = manifest::read(path)?;
    let files = verify_release(&loaded, path)?;
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
    })
}

/// Checks every file a manifest names.
///
/// * `manifest_path`: where `loaded` was read from; `repo:` URLs are relative to its directory
///
/// # Errors
/// [`Error::Remote`], [`Error::Archive`], [`Error::SameName`] and [`Error::SeveralTargets`] before
/// any file is touched; then [`Error::Unreadable`] and [`Error::Mismatch`].
pub fn verify_release(loaded: &Loaded, manifest_path: &Path) -> Result<ModelFiles, Error> {
    let release = &loaded.manifest.release;
    let paths = local_paths(release)?;
    let directory = manifest_path.parent().unwrap_or(Path::new("."));
    let mut files = BTreeMap::new();
    for (index, (artifact, path)) in release.artifacts.iter().zip(paths).enumerate() {
        let checked = digest::verify_file(&directory.join(path), artifact.sha256, artifact.size)
            .map_err(|error| promised_by(error, manifest_path, index))?;
        files.insert(artifact.filename.clone(), checked);
    }
    Ok(ModelFiles {
        files,
        is_pinned: true,
        release_digest: release.digest(),
        origin: manifest_path.to_owned(),
    })
}

/// Where each artifact is, relative to the manifest, when together they make up one model.
fn local_paths(release: &Release) -> Result<Vec<&Path>, Error> {
    let mut names = BTreeMap::new();
    let mut targets: Vec<String> = Vec::new();
    let mut paths = Vec::new();
    for (index, artifact) in release.artifacts.iter().enumerate() {
        if artifact.format != Format::File {
            return Err(Error::Archive {
                index,
                format: artifact.format.as_str(),
            });
        }
        let local = artifact.urls.iter().find_map(|url| match url {
            Url::Repo(path) => Some(path.as_path()),
            Url::Remote { .. } => None,
        });
        let url = || artifact.urls.first().map(Url::shown).unwrap_or_default();
        paths.push(local.ok_or_else(|| Error::Remote { index, url: url() })?);
        if let Some(first) = names.insert(&artifact.filename, index) {
            let name = artifact.filename.clone();
            return Err(Error::SameName {
                name,
                first,
                second: index,
            });
        }
        if !targets.contains(&artifact.target) {
            targets.push(artifact.target.clone());
        }
    }
    if targets.len() > 1 {
        Err(Error::SeveralTargets { targets })
    } else {
        Ok(paths)
    }
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
    let artifacts = files
        .iter()
        .map(|(name, file)| as_artifact(name, file))
        .collect();
    let release = Release {
        artifacts,
        model_options: None,
    };
    Ok(ModelFiles {
        files,
        is_pinned: false,
        release_digest: release.digest(),
        origin: directory.to_owned(),
    })
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
