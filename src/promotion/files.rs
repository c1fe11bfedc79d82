//! Files of a revision, written out where others can read them.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::git::{self, Commit, Repository};
use super::request::{Error, inside};
use crate::manifest::{self, Loaded, Url};

/// Longest artifact that is copied out of a commit when the manifest states no size, in bytes.
const MAX_ARTIFACT_BYTES: u64 = 16 << 30;

/// Longest `.dvc` file, and settings of DVC, in bytes.
const MAX_SETTINGS_BYTES: u64 = 64 << 10;

/// No Git LFS pointer, which may stand for an artifact, is longer, in bytes.
const POINTER_BYTES: u64 = 1024;

/// Writes the files beside a manifest that it names by `repo:`, `lfs:` or `dvc:` below `into`, as they
/// stand at a commit; gives the path the manifest would have there.
///
/// A file that is missing at the commit is left out: whoever reads it says so.
///
/// # Errors
/// [`Error::Git`], [`Error::Write`].
pub fn export(
    repository: &Repository,
    commit: &Commit,
    loaded: &Loaded,
    manifest_path: &str,
    into: &Path,
) -> Result<PathBuf, Error> {
    let folder = manifest_path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let artifacts = &loaded.manifest.release.artifacts;
    let urls = artifacts
        .iter()
        .flat_map(|it| it.urls.iter().map(|url| (it.size, url)));
    for (size, url) in urls {
        let (relative, is_dvc) = match url {
            Url::Repo(path) => (path.to_string_lossy().into_owned(), false),
            Url::Remote {
                scheme: scheme @ (manifest::Scheme::Lfs | manifest::Scheme::Dvc),
                text,
            } => {
                let path = text.split_once(':').map_or("", |(_, path)| path);
                (path.to_owned(), *scheme == manifest::Scheme::Dvc)
            }
            Url::Remote { .. } => continue,
        };
        let path = if folder.is_empty() {
            relative
        } else {
            format!("{folder}/{relative}")
        };
        if let Some(file) = repository.file(commit, &path)? {
            let limit = size.map_or(MAX_ARTIFACT_BYTES, |size| size.0.max(POINTER_BYTES));
            let limit = if is_dvc { MAX_SETTINGS_BYTES } else { limit };
            write_out(repository, &file, into, Some((commit, limit)))?;
        }
        if is_dvc {
            write_dvc_settings(repository, commit, &path, into)?;
        }
    }
    // Objects of Git LFS are looked for in the repository the files came from.
    let link = into.join(".git");
    if !link.exists() {
        let git = repository.git_directory()?;
        std::fs::create_dir_all(into)
            .and_then(|()| std::fs::write(&link, format!("gitdir: {}\n", git.display())))
            .map_err(|source| Error::Write { path: link, source })?;
    }
    Ok(into.join(manifest_path))
}

/// Writes out the settings of DVC that hold for a file: those of the nearest directory above it
/// that has some.
fn write_dvc_settings(
    repository: &Repository,
    commit: &Commit,
    path: &str,
    into: &Path,
) -> Result<(), Error> {
    let mut folder = path;
    loop {
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let settings = match folder {
            "" => ".dvc/config".to_owned(),
            folder => format!("{folder}/.dvc/config"),
        };
        if let Some(file) = repository.file(commit, &settings)? {
            return write_out(repository, &file, into, Some((commit, MAX_SETTINGS_BYTES)));
        }
        if folder.is_empty() {
            return Ok(());
        }
    }
}

/// * `bound`: a commit and how many bytes a file of it may have; nothing bounds what is trusted
pub(super) fn write_out(
    repository: &Repository,
    file: &git::TreeFile,
    into: &Path,
    bound: Option<(&Commit, u64)>,
) -> Result<(), Error> {
    inside(&file.path)?;
    let path = into.join(&file.path);
    let failed = |source| Error::Write {
        path: path.clone(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut out = std::fs::File::create(&path).map_err(failed)?;
    let limit = bound.map_or(u64::MAX - 1, |(_, limit)| limit);
    let mut n_bytes = 0;
    repository.content(file, |content| {
        n_bytes = std::io::copy(&mut content.take(limit + 1), &mut out)?;
        Ok(())
    })?;
    if let Some((commit, limit)) = bound.filter(|_| n_bytes > limit) {
        return Err(git::Error::TooLong {
            path: file.path.escape_debug().to_string(),
            commit: commit.short().to_owned(),
            limit,
        }
        .into());
    }
    out.flush().map_err(failed)
}
