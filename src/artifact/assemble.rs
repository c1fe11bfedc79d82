//! The artifacts of a release become the files of one model, archives unpacked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::archive::{self, Destination, Limits};
use super::cache::Blob;
use super::{Error, VerifiedArtifact, digest};
use crate::durable::Temporary;
use crate::manifest::{Artifact, Format, Release, quoted};

/// The files of a model, and where its archives were unpacked.
pub(super) struct Assembled {
    /// File name → the checked file.
    pub(super) files: BTreeMap<String, VerifiedArtifact>,
    /// Directory of unpacked files; `None` when no artifact is an archive. Removed when dropped.
    pub(super) unpacked: Option<Arc<Temporary>>,
}

/// Whether the artifacts of a release can make up one model.
///
/// # Errors
/// [`Error::SameName`], [`Error::SeveralTargets`].
pub(super) fn check_together(release: &Release) -> Result<(), Error> {
    let mut names = BTreeMap::new();
    let mut targets: Vec<String> = Vec::new();
    for (index, artifact) in release.artifacts.iter().enumerate() {
        if !targets.contains(&artifact.target) {
            targets.push(artifact.target.clone());
        }
        if artifact.format != Format::File {
            continue;
        }
        if let Some(first) = names.insert(&artifact.filename, index) {
            let name = artifact.filename.clone();
            return Err(Error::SameName {
                name,
                first,
                second: index,
            });
        }
    }
    if targets.len() > 1 {
        return Err(Error::SeveralTargets { targets });
    }
    Ok(())
}

/// Obtains every artifact and unpacks the archives.
///
/// * `obtain`: gives the bytes of an artifact, which are the promised ones
/// * `workspace`: an existing directory below which archives are unpacked; `None` for that of the
///   system
///
/// # Errors
/// As [`check_together`] before anything is obtained, those of `obtain`, and [`Error::Archive`].
pub(super) fn assemble(
    release: &Release,
    limits: &Limits,
    workspace: Option<&Path>,
    mut obtain: impl FnMut((usize, &Artifact)) -> Result<Blob, Error>,
) -> Result<Assembled, Error> {
    check_together(release)?;
    let mut files = BTreeMap::new();
    let mut archives: Vec<&Artifact> = Vec::new();
    let mut blobs = Vec::new();
    // Everything is obtained before anything is unpacked: what is missing is known sooner.
    for (index, artifact) in release.artifacts.iter().enumerate() {
        let blob = obtain((index, artifact))?;
        if artifact.format == Format::File {
            files.insert(artifact.filename.clone(), blob.checked().clone());
        } else {
            archives.push(artifact);
            blobs.push(blob);
        }
    }
    if archives.is_empty() {
        return Ok(Assembled {
            files,
            unpacked: None,
        });
    }
    let directory = Temporary::create(workspace)?;
    let of_archive = |artifact: &Artifact| {
        let name = quoted(&artifact.filename);
        move |source| Error::Archive {
            name,
            source: Box::new(source),
        }
    };
    let mut destination = Destination::open(directory.path()).map_err(of_archive(archives[0]))?;
    for (artifact, blob) in archives.iter().zip(&blobs) {
        archive::unpack(blob, artifact, limits, &mut destination).map_err(of_archive(artifact))?;
    }
    let at_root: Vec<&String> = destination
        .files()
        .keys()
        .filter(|name| !name.contains('/') && !super::DOCUMENTATION.contains(&name.as_str()))
        .collect();
    if at_root.is_empty() && files.is_empty() {
        return Err(of_archive(archives[0])(all_below(&destination)));
    }
    for name in at_root {
        let unpacked = destination.files()[name];
        let path = directory.path().join(name);
        let file = digest::verify_file(&path, unpacked.sha256, Some(unpacked.size))?;
        if files.insert(name.clone(), file).is_some() {
            return Err(of_archive(archives[0])(archive::Error::Unsafe {
                name: quoted(name),
                problem: "is an artifact of its own too".to_owned(),
            }));
        }
    }
    Ok(Assembled {
        files,
        unpacked: Some(Arc::new(directory)),
    })
}

/// What is said when no file is where a model's files are looked for.
fn all_below(destination: &Destination) -> archive::Error {
    let tops: std::collections::BTreeSet<&str> = destination
        .files()
        .keys()
        .filter_map(|name| name.split('/').next())
        .collect();
    let tops: Vec<String> = tops.into_iter().map(quoted).collect();
    archive::Error::Malformed(match tops.as_slice() {
        [one] => format!(
            "all its files are below `{one}`; `\"strip_components\": 1` in the manifest removes it"
        ),
        several => format!(
            "no file is at its top, all are below {}",
            several.join(", ")
        ),
    })
}
