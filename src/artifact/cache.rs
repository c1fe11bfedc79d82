//! Files kept by digest, and downloads that were not finished yet.
//!
//! ```text
//! ROOT/blobs/sha256/<hex>   whole files, named by their digest, read-only
//! ROOT/partial/<hex>.part   the beginning of a file that is wanted under that digest
//! ROOT/partial/<hex>.json   which answer of which server the beginning came from
//! ```
//!
//! Nothing found here is trusted: a blob is digested again each time it is used, and dropped when
//! it is damaged; a partial file is digested whole once it is complete.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, Promise, VerifiedArtifact, digest};
use crate::durable;
use crate::units::{Bytes, Sha256};

/// A file that was digested, still open: what was digested is what is read.
#[derive(Debug)]
pub struct Blob {
    file: File,
    checked: VerifiedArtifact,
}

impl Blob {
    /// Opens and digests a file of this host.
    ///
    /// # Errors
    /// As [`digest::verify_file`].
    pub fn open(path: &Path, promise: Promise) -> Result<Self, Error> {
        let (file, checked) = digest::verify_open(path, promise)?;
        Ok(Self { file, checked })
    }

    /// Opens a file under the name it was given since it was digested, without digesting it again:
    /// it has to be the same file, and untouched.
    fn renamed(checked: VerifiedArtifact, to: &Path) -> Result<Self, Error> {
        let checked = checked.renamed(to);
        let file = checked.open().map_err(|source| Error::Unreadable {
            path: to.to_owned(),
            source,
        })?;
        Ok(Self { file, checked })
    }

    /// The file that was digested, positioned at its beginning.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its path, digest and length.
    pub fn checked(&self) -> &VerifiedArtifact {
        &self.checked
    }
}

/// A directory of files by digest.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens a cache, and makes its directories where they are missing.
    ///
    /// # Errors
    /// [`Error::Write`] when they cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let cache = Self {
            root: root.to_owned(),
        };
        for directory in [cache.blobs(), cache.partials()] {
            std::fs::create_dir_all(&directory).map_err(|source| durable::Error {
                operation: "make the directory",
                path: directory,
                source,
            })?;
        }
        Ok(cache)
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Where the blob with this digest stands, or would.
    pub fn blob_path(&self, sha256: Sha256) -> PathBuf {
        self.blobs().join(sha256.to_string())
    }

    /// The blob that keeps `promise`; `None` when it is not there. One that is damaged is removed.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::Write`].
    pub fn find(&self, promise: Promise) -> Result<Option<Blob>, Error> {
        let path = self.blob_path(promise.sha256);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        match Blob::open(&path, promise) {
            Ok(blob) => Ok(Some(blob)),
            Err(Error::Mismatch(mismatch)) => {
                // A blob whose bytes are right, and whose promised length is not, is no damage.
                if mismatch.found_sha256.is_none()
                    && digest::digest_file(&path)?.sha256() == promise.sha256
                {
                    return Err(Error::Mismatch(mismatch));
                }
                std::fs::remove_file(&path).map_err(|source| durable::Error {
                    operation: "remove the damaged",
                    path,
                    source,
                })?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The unfinished file wanted under a digest, held against other processes until dropped.
    ///
    /// # Errors
    /// [`Error::Write`] when it cannot be made or locked.
    pub(super) fn partial(&self, sha256: Sha256) -> Result<Partial, Error> {
        let path = self.partials().join(format!("{sha256}.part"));
        let failed = |operation: &'static str| {
            let path = path.clone();
            move |source| durable::Error {
                operation,
                path,
                source,
            }
        };
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .custom_flags(no_follow)
                .open(&path)
                .map_err(failed("open the unfinished"))?;
            file.lock().map_err(failed("lock the unfinished"))?;
            // Who held it before may have given it its final name.
            let is_same = std::fs::metadata(&path).is_ok_and(|there| {
                file.metadata()
                    .is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
            });
            if is_same {
                break file;
            }
        };
        let length = file
            .metadata()
            .map_err(failed("look at the unfinished"))?
            .len();
        let notes = path.with_extension("json");
        let origin = std::fs::read(&notes)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Partial {
            file,
            path,
            notes,
            length,
            origin,
        })
    }

    /// Gives a finished file its name, if its bytes are the promised ones.
    ///
    /// # Errors
    /// [`Error::Mismatch`]; [`Error::Unreadable`]; [`Error::Write`]. The partial file is emptied
    /// when the bytes are others.
    pub(super) fn settle(&self, mut partial: Partial, promise: Promise) -> Result<Blob, Error> {
        let file = partial
            .file
            .try_clone()
            .map_err(|source| Error::Unreadable {
                path: partial.path.clone(),
                source,
            })?;
        let (_, found) = digest::digest_open(&partial.path, file)?;
        let is_size = promise.size.is_none_or(|size| size == found.size());
        if found.sha256() != promise.sha256 || !is_size {
            let error =
                digest::mismatch(&partial.path, promise, Some(found.sha256()), found.size());
            partial.clear()?;
            return Err(error);
        }
        let path = self.blob_path(promise.sha256);
        durable::settle(&partial.file, &partial.path, &path)?;
        let _ = std::fs::remove_file(&partial.notes);
        Blob::renamed(found, &path)
    }
}

/// Which answer a partial file is the beginning of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    /// Always 1.
    schema_version: u32,
    /// The URL asked, without its query.
    url: String,
    /// Strong entity tag of the answer, with its quotes.
    etag: String,
}

/// The beginning of a file.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    notes: PathBuf,
    length: u64,
    origin: Option<Origin>,
}

impl Partial {
    /// Bytes there are.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where it stands, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The entity tag to resume with, when these bytes came from `url`.
    pub(super) fn etag(&self, url: &str) -> Option<&str> {
        let origin = self.origin.as_ref()?;
        let is_from_there = self.length > 0 && origin.schema_version == 1 && origin.url == url;
        is_from_there.then_some(origin.etag.as_str())
    }

    /// Notes which answer the bytes to come belong to.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn note(&mut self, url: &str, etag: Option<&str>) -> Result<(), Error> {
        self.origin = etag.map(|etag| Origin {
            schema_version: 1,
            url: url.to_owned(),
            etag: etag.to_owned(),
        });
        match &self.origin {
            Some(origin) => {
                let bytes = serde_json::to_vec(origin).unwrap_or_default();
                Ok(durable::write_atomic(&self.notes, &bytes)?)
            }
            None => self.forget(),
        }
    }

    fn forget(&mut self) -> Result<(), Error> {
        self.origin = None;
        match std::fs::remove_file(&self.notes) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(durable::Error {
                operation: "remove",
                path: self.notes.clone(),
                source,
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Drops all bytes.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|source| self.failed(source))?;
        self.length = 0;
        self.forget()
    }

    /// Removes it; whoever waits for it makes a new one.
    pub(super) fn discard(mut self) {
        // What stays is empty and is used again.
        let _ = self.clear();
        let _ = std::fs::remove_file(&self.path);
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Error::Write`]; what was written before stays.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(bytes, self.length)
            .map_err(|source| self.failed(source))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The first bytes, at most `n`.
    pub(super) fn start(&self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n.min(usize::try_from(self.length).unwrap_or(n))];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    fn failed(&self, source: io::Error) -> durable::Error {
        durable::Error {
            operation: "write to",
            path: self.path.clone(),
            source,
        }
    }
}

/// Bytes a file system still has room for, for a user without privileges.
///
/// # Errors
/// [`Error::Unreadable`] when `path` is not there.
pub fn free_space(path: &Path) -> Result<Bytes, Error> {
    let found = rustix::fs::statvfs(path).map_err(|errno| Error::Unreadable {
        path: path.to_owned(),
        source: errno.into(),
    })?;
    Ok(Bytes(found.f_bavail.saturating_mul(found.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(bytes: &[u8]) -> Promise {
        Promise {
            sha256: Sha256::of(bytes),
            size: Some(Bytes(bytes.len() as u64)),
        }
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::open(&dir.path().join("deep/er")).expect("made");
        (dir, cache)
    }

    #[test]
    fn a_finished_file_becomes_a_blob_and_leaves_nothing_else() {
        let (_dir, cache) = cache();
        assert!(cache.find(promise(b"abc")).expect("readable").is_none());
        let mut partial = cache.partial(Sha256::of(b"abc")).expect("made");
        partial.note("https://h/a", Some("\"1\"")).expect("noted");
        partial.append(b"ab").expect("written");
        partial.append(b"c").expect("written");
        let blob = cache.settle(partial, promise(b"abc")).expect("as promised");
        assert_eq!(blob.checked().read().expect("readable"), b"abc");
        assert!(cache.find(promise(b"abc")).expect("readable").is_some());
        let left = std::fs::read_dir(cache.partials())
            .expect("readable")
            .count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_file_written_to_after_it_was_digested_is_not_opened_under_its_new_name() {
        let (dir, cache) = cache();
        let (from, to) = (dir.path().join("from"), cache.blob_path(Sha256::of(b"abc")));
        std::fs::write(&from, b"abc").expect("written");
        let checked = digest::digest_file(&from).expect("readable");
        std::fs::rename(&from, &to).expect("renamed");
        let blob = Blob::renamed(checked.clone(), &to).expect("the same file");
        assert_eq!(blob.checked().path(), to);
        std::fs::write(&to, b"abcd").expect("written to");
        assert!(Blob::renamed(checked.clone(), &to).is_err());
        std::fs::remove_file(&to).expect("removed");
        std::fs::write(&to, b"abc").expect("replaced");
        assert!(Blob::renamed(checked, &to).is_err());
    }

    #[test]
    fn other_bytes_never_become_a_blob() {
        let (_dir, cache) = cache();
        let mut partial = cache.partial(Sha256::of(b"abc")).expect("made");
        partial.append(b"abd").expect("written");
        let error = cache
            .settle(partial, promise(b"abc"))
            .expect_err("other bytes");
        assert!(matches!(error, Error::Mismatch(_)), "{error}");
        assert!(cache.find(promise(b"abc")).expect("readable").is_none());
        assert_eq!(cache.partial(Sha256::of(b"abc")).expect("made").length(), 0);
    }

    #[test]
    fn a_damaged_blob_is_removed() {
        let (_dir, cache) = cache();
        let path = cache.blob_path(Sha256::of(b"abc"));
        std::fs::write(&path, b"abd").expect("written");
        assert!(cache.find(promise(b"abc")).expect("readable").is_none());
        assert!(!path.exists());
        std::fs::write(&path, b"abc").expect("written");
        let wrong = Promise {
            size: Some(Bytes(4)),
            ..promise(b"abc")
        };
        assert!(matches!(cache.find(wrong), Err(Error::Mismatch(_))));
        assert!(path.exists(), "the manifest is wrong, not the blob");
    }

    #[test]
    fn a_beginning_is_resumed_only_from_where_it_came() {
        let (_dir, cache) = cache();
        let sha256 = Sha256::of(b"abc");
        let mut partial = cache.partial(sha256).expect("made");
        partial.note("https://h/a", Some("\"1\"")).expect("noted");
        assert_eq!(partial.etag("https://h/a"), None, "there is nothing yet");
        partial.append(b"a").expect("written");
        drop(partial);
        let partial = cache.partial(sha256).expect("made");
        assert_eq!(
            (partial.length(), partial.etag("https://h/a")),
            (1, Some("\"1\""))
        );
        assert_eq!(partial.etag("https://g/a"), None);
        assert_eq!(partial.start(9), b"a");
        let notes = partial.notes.clone();
        drop(partial);
        std::fs::write(notes, b"{\"schema_version\":1,\"url\":").expect("torn");
        assert_eq!(
            cache.partial(sha256).expect("made").etag("https://h/a"),
            None
        );
    }

    #[test]
    fn a_blob_replaced_after_digesting_is_read_as_it_was() {
        use std::io::Read as _;
        let (_dir, cache) = cache();
        let path = cache.blob_path(Sha256::of(b"abc"));
        std::fs::write(&path, b"abc").expect("written");
        let blob = cache
            .find(promise(b"abc"))
            .expect("readable")
            .expect("there");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, b"xyz").expect("swapped");
        let mut bytes = Vec::new();
        blob.file().read_to_end(&mut bytes).expect("readable");
        assert_eq!(bytes, b"abc");
    }
}
