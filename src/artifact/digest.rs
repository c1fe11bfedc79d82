//! Streaming SHA-256 and length of files; the only constructor of [`VerifiedArtifact`].

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Error, Mismatch, Promise, lfs};
use crate::durable;
use crate::units::{Bytes, Hasher, Sha256};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A file whose length and SHA-256 were computed by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedArtifact {
    path: PathBuf,
    sha256: Sha256,
    size: Bytes,
    stamp: Stamp,
}

/// What changes when a file is written to or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }
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

    /// The same file under the name it was given since; [`VerifiedArtifact::open`] says whether it
    /// stands there.
    pub(super) fn renamed(self, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ..self
        }
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// The system's own, or one that says the file was written to or replaced since it was
    /// digested.
    pub fn open(&self) -> io::Result<File> {
        let (file, metadata) = durable::open_regular(&self.path)?;
        if Stamp::of(&metadata) == self.stamp {
            Ok(file)
        } else {
            Err(io::Error::other("it changed after it was digested"))
        }
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// [`Error::Unreadable`], also when the file or its length changed since it was digested.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        let unreadable = |source| Error::Unreadable {
            path: self.path.clone(),
            source,
        };
        let Bytes(size) = self.size;
        let file = self.open().map_err(unreadable)?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(unreadable(io::Error::other(
                "its length changed after it was digested",
            )))
        }
    }
}

/// Digests a file nobody promised anything about.
///
/// # Errors
/// [`Error::Unreadable`] when `path` is missing, may not be read, or is no regular file.
pub fn digest_file(path: &Path) -> Result<VerifiedArtifact, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let (mut file, metadata) = durable::open_regular(path).map_err(unreadable)?;
    digest_opened(path, &mut file, &metadata)
}

/// Digests an open file from its beginning, and gives it back positioned there.
///
/// * `path`: where the file stands, for messages and for [`VerifiedArtifact::open`]
///
/// # Errors
/// [`Error::Unreadable`], also when the file changes meanwhile.
pub(super) fn digest_open(path: &Path, mut file: File) -> Result<(File, VerifiedArtifact), Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let artifact = digest_opened(path, &mut file, &metadata)?;
    file.rewind().map_err(unreadable)?;
    Ok((file, artifact))
}

/// Digests a file and compares it with what was promised; the length first, since it is free.
///
/// # Errors
/// [`Error::Mismatch`] with both sides; [`Error::Unreadable`] as for [`digest_file`].
pub fn verify_file(
    path: &Path,
    expected_sha256: Sha256,
    expected_size: Option<Bytes>,
) -> Result<VerifiedArtifact, Error> {
    let promise = Promise {
        sha256: expected_sha256,
        size: expected_size,
    };
    verify_open(path, promise).map(|(_, artifact)| artifact)
}

/// As [`verify_file`], and gives the open file, positioned at its beginning.
///
/// # Errors
/// As [`verify_file`].
pub(super) fn verify_open(
    path: &Path,
    promise: Promise,
) -> Result<(File, VerifiedArtifact), Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let (file, metadata) = durable::open_regular(path).map_err(unreadable)?;
    let found_size = Bytes(metadata.len());
    if promise.size.is_some_and(|expected| expected != found_size) {
        return Err(mismatch(path, promise, None, found_size));
    }
    let (file, artifact) = digest_open(path, file)?;
    if artifact.sha256 == promise.sha256 {
        Ok((file, artifact))
    } else {
        Err(mismatch(
            path,
            promise,
            Some(artifact.sha256),
            artifact.size,
        ))
    }
}

pub(super) fn mismatch(
    path: &Path,
    expected: Promise,
    sha256: Option<Sha256>,
    size: Bytes,
) -> Error {
    Error::Mismatch(Box::new(Mismatch {
        path: path.to_owned(),
        expected,
        promised_by: None,
        found_sha256: sha256,
        found_size: size,
        is_lfs_pointer: is_lfs_pointer(path),
        fetched: None,
    }))
}

fn is_lfs_pointer(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = durable::open_regular(path)
        .and_then(|(file, _)| file.take(lfs::MAX_POINTER_BYTES).read_to_end(&mut start));
    read.is_ok() && lfs::looks_like_pointer(&start)
}

fn digest_opened(
    path: &Path,
    file: &mut File,
    before: &Metadata,
) -> Result<VerifiedArtifact, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let after = file.metadata().map_err(unreadable)?;
    let stamp = Stamp::of(before);
    if Stamp::of(&after) != stamp || size != stamp.size {
        return Err(unreadable(io::Error::other(
            "it changed while it was digested",
        )));
    }
    Ok(VerifiedArtifact {
        path: path.to_owned(),
        sha256: hasher.finish(),
        size: Bytes(size),
        stamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Hint as _;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("weights.bin");
        std::fs::write(&path, bytes).expect("written");
        (dir, path)
    }

    #[test]
    fn files_larger_than_the_buffer_are_digested_whole() {
        let bytes: Vec<u8> = (0..=250u8).cycle().take(2 * BUFFER_BYTES + 17).collect();
        let (_dir, path) = file(&bytes);
        let artifact = digest_file(&path).expect("readable");
        assert_eq!(artifact.sha256(), Sha256::of(&bytes));
        assert_eq!(artifact.size(), Bytes(bytes.len() as u64));
        assert_eq!(artifact.read().expect("unchanged"), bytes);
    }

    #[test]
    fn what_was_promised_is_accepted() {
        let (_dir, path) = file(b"abc");
        assert!(verify_file(&path, Sha256::of(b"abc"), Some(Bytes(3))).is_ok());
        assert!(verify_file(&path, Sha256::of(b"abc"), None).is_ok());
    }

    #[test]
    fn a_wrong_length_is_found_before_hashing() {
        let (_dir, path) = file(b"abc");
        let error = verify_file(&path, Sha256::of(b"abc"), Some(Bytes(4))).expect_err("too short");
        let Error::Mismatch(mismatch) = error else {
            panic!("{error}")
        };
        assert_eq!(mismatch.found_sha256, None);
    }

    #[test]
    fn a_mismatch_shows_both_sides() {
        let (dir, path) = file(b"abd");
        let error =
            verify_file(&path, Sha256::of(b"abc"), Some(Bytes(3))).expect_err("other bytes");
        let text = error
            .to_string()
            .replace(&dir.path().display().to_string(), "DIR");
        insta::assert_snapshot!(text, @r"
        artifact does not match the manifest
          file:      DIR/weights.bin
          expected:  sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, 3 bytes
          found:     sha256 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, 3 bytes
        ");
    }

    #[test]
    fn a_pointer_in_place_of_the_file_is_recognised() {
        let (_dir, path) = file(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
        let error = verify_file(&path, Sha256::of(b"abc"), Some(Bytes(3))).expect_err("a pointer");
        assert!(error.hint().expect("advice").contains("git lfs pull"));
    }

    #[test]
    fn a_file_changed_after_digesting_is_not_read() {
        let (_dir, path) = file(b"abc");
        let artifact = digest_file(&path).expect("readable");
        std::fs::remove_file(&path).expect("removed");
        assert!(artifact.read().is_err());
        std::fs::write(&path, b"abcd").expect("written");
        assert!(artifact.open().is_err());
        assert!(artifact.read().is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        for path in ["/", "/dev/null", "/nonexistent"] {
            let error = digest_file(Path::new(path)).expect_err("no regular file");
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
