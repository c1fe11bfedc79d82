//! Turns a manifest's promise, or a bare directory, into files whose bytes were checked.
//!
//! In: a [`Release`](crate::manifest::Release) and the directory its `repo:` URLs are relative
//! to, or a directory without a manifest. Out: [`ModelFiles`]. Fetches nothing from a network.

pub mod digest;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use digest::VerifiedArtifact;

use crate::units::Sha256;

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
