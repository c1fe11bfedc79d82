//! Turns a manifest's promise, or a bare directory, into files whose bytes were checked.
//!
//! In: a [`Release`](crate::manifest::Release) and the directory its `repo:` URLs are relative
//! to, or a directory without a manifest. Out: [`ModelFiles`]. Fetches nothing from a network.

pub mod digest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use digest::VerifiedArtifact;

use crate::units::{Hasher, Sha256};

/// The files of one model, every one of them digested.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// File name (no directories) → the checked file.
    pub files: BTreeMap<String, VerifiedArtifact>,
    /// Whether a manifest promised these digests; a bare directory is digested but not pinned.
    pub is_pinned: bool,
    /// Identity of the whole set (lifecycle rule "release digest").
    pub release_digest: Sha256,
    /// Where the files were found, for messages only.
    pub origin: PathBuf,
}

/// Why a directory could not become [`ModelFiles`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory could not be listed.
    #[error("cannot list {}", .path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be digested.
    #[error(transparent)]
    Digest(#[from] digest::Error),
}

/// Digests every regular file of a directory; the result is not pinned.
///
/// # Errors
/// [`Error::List`] and [`Error::Digest`].
pub fn digest_directory(dir: &Path) -> Result<ModelFiles, Error> {
    let fail = |source| Error::List {
        path: dir.to_owned(),
        source,
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|n| n.to_str())) {
            files.insert(name.to_owned(), digest::digest_file(&path)?);
        }
    }
    let mut hasher = Hasher::default();
    for (name, file) in &files {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(file.sha256().as_bytes());
    }
    let release_digest = hasher.finish();
    Ok(ModelFiles {
        files,
        is_pinned: false,
        release_digest,
        origin: dir.to_owned(),
    })
}
