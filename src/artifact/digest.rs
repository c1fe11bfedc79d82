//! Streaming SHA-256 and length of files; the only constructor of [`VerifiedArtifact`].

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::units::{Bytes, Hasher, Sha256};

/// A file whose length and SHA-256 were computed by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedArtifact {
    path: PathBuf,
    sha256: Sha256,
    size: Bytes,
}

impl VerifiedArtifact {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Digest of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its length.
    pub fn size(&self) -> Bytes {
        self.size
    }
}

/// Why a file could not be digested.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", .path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Reads a file once and gives it with its digest and length.
///
/// # Errors
/// [`Error`] when the file cannot be opened or read.
pub fn digest_file(path: &Path) -> Result<VerifiedArtifact, Error> {
    let fail = |source| Error {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
    }
    Ok(VerifiedArtifact {
        path: path.to_owned(),
        sha256: hasher.finish(),
        size: Bytes(size),
    })
}
