//! Streaming SHA-256 and length of files; the only constructor of [`VerifiedArtifact`].

use std::path::{Path, PathBuf};

use crate::units::{Bytes, Sha256};

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
