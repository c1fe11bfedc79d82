//! Gets the artifacts of a release and lays their files out: the seam to [`crate::artifact`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::Layout;
use super::record::{FileRecord, Target};
use super::{Error, durable_failure};
use crate::artifact::archive::{self, Destination, Limits};
use crate::artifact::fetch::check_means;
use crate::artifact::reach::Event;
use crate::artifact::source::{Rules, Source};
use crate::artifact::{self, Blob, Cache, Fetcher, Reach};
use crate::manifest::{Artifact, Format, Release, Url};
use crate::units::Bytes;

/// Where artifacts may come from, and what archives may write.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Which sources are allowed.
    pub rules: Rules,
    /// How servers are reached.
    pub reach: Reach,
    /// What one archive may write.
    pub limits: Limits,
}

/// Hears of downloads, one line each.
pub type Listener<'a> = &'a mut dyn FnMut(Event);

impl Sources {
    /// Refuses sources and sizes that are not allowed, and opens nothing.
    ///
    /// * `manifest`: the manifest's path
    pub(super) fn check(
        &self,
        release: &Release,
        manifest: &Path,
    ) -> Result<Vec<Vec<Source>>, Error> {
        let sources = self.rules.sources(release, directory_of(manifest));
        let sources = sources.map_err(artifact::Error::from)?;
        check_means(&sources)?;
        Ok(sources)
    }

    /// Every artifact of a release, verified; in written order. What has to be fetched goes to the
    /// store's blobs, so that a later failure costs none of it.
    pub(super) fn obtain(
        &self,
        layout: &Layout,
        release: &Release,
        manifest: &Path,
        listener: Listener<'_>,
    ) -> Result<Vec<Blob>, Error> {
        let sources = self.check(release, manifest)?;
        let cache = Cache::open(&layout.root())?;
        let fetcher = Fetcher::new(self.rules.clone(), self.reach.clone(), cache)?;
        let artifacts = release.artifacts.iter().enumerate().zip(&sources);
        artifacts
            .map(|(artifact, sources)| Ok(fetcher.obtain(artifact, sources, listener)?))
            .collect()
    }

    /// Writes the files of all artifacts below a generation's directory, one directory a target.
    ///
    /// Gives the targets in written order, digested while they were written.
    pub(super) fn lay_out(
        &self,
        release: &Release,
        blobs: &[Blob],
        generation: &Path,
    ) -> Result<Vec<Target>, Error> {
        let mut destinations: Vec<(&str, Destination)> = Vec::new();
        for (artifact, blob) in release.artifacts.iter().zip(blobs) {
            let known = destinations
                .iter()
                .position(|(name, _)| *name == artifact.target);
            let at = known.unwrap_or(destinations.len());
            if known.is_none() {
                let path = generation.join(&artifact.target);
                fs::create_dir(&path).map_err(durable_failure("make the directory", &path))?;
                let opened = Destination::open(&path).map_err(|e| refused(artifact, e))?;
                destinations.push((&artifact.target, opened));
            }
            archive::unpack(blob, artifact, &self.limits, &mut destinations[at].1)
                .map_err(|error| refused(artifact, error))?;
        }
        let target = |(name, destination): &(&str, Destination)| {
            let files = destination.files().iter().map(|(path, file)| FileRecord {
                path: path.clone(),
                size_bytes: file.size,
                sha256: file.sha256,
            });
            Target::new(name, files.collect())
        };
        Ok(destinations.iter().map(target).collect())
    }
}

/// Drops downloads, finished and unfinished: what they were for is installed.
pub(super) fn drop_blobs(layout: &Layout) -> Result<(), Error> {
    empty(&layout.blobs().join("sha256"))?;
    drop_partials(layout)
}

/// Drops unfinished downloads.
pub(super) fn drop_partials(layout: &Layout) -> Result<(), Error> {
    empty(&layout.partial())
}

/// Drops finished downloads that are no artifact of `release`.
pub(super) fn drop_other_blobs(layout: &Layout, release: &Release) -> Result<(), Error> {
    let is_wanted = |path: &Path| {
        let digests = release.artifacts.iter().map(|it| it.sha256.to_string());
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| digests.into_iter().any(|digest| digest == name))
    };
    for path in files(&layout.blobs().join("sha256"))? {
        if !is_wanted(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Drops downloads, finished and unfinished, that were last written to so long ago.
///
/// * `is_dry_run`: whether only to say what they take
///
/// Gives the bytes that are free then.
pub(super) fn drop_older(layout: &Layout, age: Duration, is_dry_run: bool) -> Result<Bytes, Error> {
    let mut sum = 0;
    for directory in [layout.blobs().join("sha256"), layout.partial()] {
        for path in files(&directory)? {
            let found = fs::symlink_metadata(&path).map_err(|e| Error::unreadable(&path, e))?;
            let written = found.modified().map_err(|e| Error::unreadable(&path, e))?;
            // A time in the future says nothing: it counts as now.
            if written.elapsed().unwrap_or_default() < age {
                continue;
            }
            sum += found.len();
            if !is_dry_run {
                remove(&path)?;
            }
        }
    }
    Ok(Bytes(sum))
}

fn empty(directory: &Path) -> Result<(), Error> {
    files(directory)?.iter().try_for_each(|path| remove(path))
}

/// What stands in a directory, which may be missing.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::unreadable(directory, source);
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(unreadable)?.path()))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(unreadable(source)),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|source| Error::unwritable(path, source))
}

fn refused(artifact: &Artifact, error: archive::Error) -> Error {
    artifact::Error::Archive {
        name: crate::manifest::quoted(&artifact.filename),
        source: Box::new(error),
    }
    .into()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Most bytes a release may take once it is laid out, as far as its manifest tells.
pub(super) fn unpacked_bound(release: &Release) -> Bytes {
    let bound = |artifact: &Artifact| {
        let size = artifact.size.map_or(0, |Bytes(size)| size);
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

/// Bytes that still have to be fetched, as far as the manifest tells: what of an artifact is on the
/// disk, by the whole or in part, takes no more room.
pub(super) fn download_bound(layout: &Layout, release: &Release) -> Bytes {
    let is_remote = |artifact: &&Artifact| {
        artifact
            .urls
            .iter()
            .any(|url| matches!(url, Url::Remote { .. }))
    };
    let missing = |artifact: &Artifact| {
        let Bytes(size) = artifact.size?;
        Some(size.saturating_sub(fetched(layout, artifact)))
    };
    let sizes = release.artifacts.iter().filter(is_remote);
    Bytes(sizes.filter_map(missing).fold(0, u64::saturating_add))
}

/// Bytes an artifact takes in the cache. Where they prove wrong they are dropped before others come.
fn fetched(layout: &Layout, artifact: &Artifact) -> u64 {
    let sha256 = artifact.sha256;
    let whole = layout.blobs().join("sha256").join(sha256.to_string());
    let part = layout.partial().join(format!("{sha256}.part"));
    let length = |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.len());
    length(&whole).or_else(|| length(&part)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Sha256;

    #[test]
    fn what_is_in_the_cache_takes_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"model_name":"m","version":"1","url":"https://models.acme.dev/a","size_bytes":10,"sha256":"{}"}}"#,
            Sha256::of(b"0123456789")
        );
        let manifest = dir.path().join("model_manifest.json");
        fs::write(&manifest, text).unwrap();
        let release = crate::manifest::read(&manifest).unwrap().manifest.release;
        let layout = Layout::new(&dir.path().join("models"));
        let bound = || download_bound(&layout, &release).0;
        assert_eq!(bound(), 10);

        let sha256 = release.artifacts[0].sha256;
        let part = layout.partial().join(format!("{sha256}.part"));
        fs::create_dir_all(layout.partial()).unwrap();
        fs::write(&part, "0123").unwrap();
        assert_eq!(bound(), 6);
        // More than there can be is no credit for another artifact.
        fs::write(&part, "0123456789abc").unwrap();
        assert_eq!(bound(), 0);
        fs::remove_file(&part).unwrap();

        let blobs = layout.blobs().join("sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(sha256.to_string()), "0123456789").unwrap();
        assert_eq!(bound(), 0);
    }
}
