//! Gets the artifacts of a release and lays their files out: the seam to [`crate::artifact`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::layout::{Layout, make_missing};
use super::{Error, durable_failure};
use crate::artifact::{self, VerifiedArtifact, digest};
use crate::manifest::{Artifact, Format, Release, Url};
use crate::units::Bytes;

/// Where artifacts may come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {}

/// An artifact on this host, verified.
#[derive(Debug)]
pub(super) struct Obtained(VerifiedArtifact);

impl Obtained {
    pub(super) fn size(&self) -> Bytes {
        self.0.size()
    }
}

impl Sources {
    /// Every artifact of a release, verified; in written order.
    pub(super) fn obtain(
        &self,
        _layout: &Layout,
        release: &Release,
        manifest: &Path,
    ) -> Result<Vec<Obtained>, Error> {
        let directory = manifest.parent().unwrap_or(Path::new("."));
        let artifacts = release.artifacts.iter().enumerate();
        artifacts
            .map(|(index, artifact)| {
                let path = local(artifact, directory).ok_or_else(|| artifact::Error::Remote {
                    index,
                    url: artifact.urls.first().map(Url::shown).unwrap_or_default(),
                })?;
                Ok(Obtained(digest::verify_file(
                    &path,
                    artifact.sha256,
                    artifact.size,
                )?))
            })
            .collect()
    }

    /// Writes the files of one artifact below `directory`, which stands; nothing is replaced.
    ///
    /// * `index`: number of the artifact in its manifest
    pub(super) fn lay_out(
        &self,
        artifact: &Artifact,
        index: usize,
        obtained: &Obtained,
        directory: &Path,
    ) -> Result<(), Error> {
        match artifact.format {
            Format::File => copy_file(&obtained.0, &directory.join(&artifact.filename)),
            Format::Tar | Format::TarGz => Err(artifact::Error::Archive {
                index,
                format: artifact.format.as_str(),
            }
            .into()),
        }
    }

    /// Drops artifacts that are installed.
    pub(super) fn drop_blobs(&self, _layout: &Layout) -> Result<(), Error> {
        Ok(())
    }
}

fn local(artifact: &Artifact, directory: &Path) -> Option<PathBuf> {
    artifact.urls.iter().find_map(|url| match url {
        Url::Repo(path) => Some(directory.join(path)),
        Url::Remote { .. } => None,
    })
}

fn copy_file(verified: &VerifiedArtifact, to: &Path) -> Result<(), Error> {
    let mut from = verified
        .open()
        .map_err(|source| Error::unreadable(verified.path(), source))?;
    let mut file = create(to)?;
    io::copy(&mut from, &mut file).map_err(durable_failure("write", to))?;
    Ok(())
}

fn create(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(durable_failure("create", path))
}

/// Most bytes a release may take once it is laid out, as far as its manifest tells.
///
/// * `default_size`: what an artifact is taken for that states no size
pub(super) fn unpacked_bound(release: &Release, default_size: Bytes) -> Bytes {
    let bound = |artifact: &Artifact| {
        let size = artifact.size.unwrap_or(default_size).0;
        let unpacked = match artifact.format {
            Format::File => size,
            Format::Tar | Format::TarGz => size.saturating_mul(2),
        };
        artifact.unpacked.map_or(unpacked, |Bytes(stated)| stated)
    };
    Bytes(
        release
            .artifacts
            .iter()
            .map(bound)
            .fold(0, u64::saturating_add),
    )
}

/// The directory of a target below a generation, made where it is missing.
pub(super) fn target_directory(generation: &Path, artifact: &Artifact) -> Result<PathBuf, Error> {
    let path = generation.join(&artifact.target);
    make_missing(&path, 0o755)?;
    Ok(path)
}
