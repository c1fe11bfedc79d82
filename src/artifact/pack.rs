//! Packs a model's directory into an archive: the same files give the same bytes, anywhere.
//!
//! Names are sorted, times are 0, owners are nobody, modes are 0644; directories have no entries of
//! their own.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::durable;
use crate::manifest::FILE_NAME;
use crate::units::{Bytes, Hasher, Sha256};

/// Permission bits of every entry; an installer sets its own.
const MODE: u32 = 0o644;

/// An archive that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Digest of the archive.
    pub sha256: Sha256,
    /// Its length.
    pub size: Bytes,
    /// Sum of the lengths of its files.
    pub unpacked: Bytes,
    /// Paths of its files, sorted.
    pub files: Vec<String>,
    /// Paths left out: hidden files, and the manifest, which cannot hold its own archive's digest.
    pub left_out: Vec<String>,
}

/// Why a directory was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something in the directory does not belong into an archive.
    #[error("cannot pack `{}`: {problem}", durable::shown(.path))]
    Unfit {
        /// What.
        path: std::path::PathBuf,
        /// Why.
        problem: String,
    },
    /// The archive could not be written.
    #[error(transparent)]
    Write(#[from] durable::Error),
}

impl crate::hint::Hint for PackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unfit { .. } => Some("a model's directory holds regular files only".into()),
            Self::Write(error) => error.hint(),
        }
    }
}

/// Packs every regular file below `directory` into `out`, a tar.gz that must not exist yet.
///
/// # Errors
/// [`PackError::Unfit`] for links, devices, names that are not UTF-8, files that change meanwhile,
/// and an empty directory; [`PackError::Write`]. Nothing is left at `out` then.
pub fn pack(directory: &Path, out: &Path) -> Result<Packed, PackError> {
    let found = list(directory)?;
    let failed = |source| durable::Error {
        operation: "write the archive",
        path: out.to_owned(),
        source,
    };
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".vv-eval-")
        .tempfile_in(parent)
        .map_err(failed)?;
    let (sha256, size, unpacked) = {
        let hashing = Hashing {
            inner: io::BufWriter::new(file.as_file_mut()),
            hasher: Hasher::default(),
            n: 0,
        };
        let encoder = GzBuilder::new()
            .mtime(0)
            .write(hashing, Compression::default());
        write_entries(directory, &found.files, encoder, out)?
    };
    durable::set_mode(file.path(), MODE)?;
    durable::sync(file.path())?;
    file.persist_noclobber(out)
        .map_err(|refused| failed(refused.error))?;
    durable::sync(parent)?;
    Ok(Packed {
        sha256,
        size,
        unpacked,
        files: found.files,
        left_out: found.left_out,
    })
}

/// What of a directory would be packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Paths of its files, sorted.
    pub files: Vec<String>,
    /// Paths that would be left out, sorted.
    pub left_out: Vec<String>,
}

/// Lists what [`pack`] would take.
///
/// # Errors
/// [`PackError::Unfit`].
pub fn list(directory: &Path) -> Result<Found, PackError> {
    let mut found = Found::default();
    walk(directory, "", &mut found)?;
    found.files.sort();
    found.left_out.sort();
    if found.files.is_empty() {
        return Err(unfit(directory, "it holds no files"));
    }
    Ok(found)
}

fn unfit(path: &Path, problem: impl Into<String>) -> PackError {
    PackError::Unfit {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn walk(directory: &Path, below: &str, found: &mut Found) -> Result<(), PackError> {
    let unreadable = |error: io::Error| unfit(directory, error.to_string());
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(unfit(&path, "its name is not UTF-8"));
        };
        let relative = format!("{below}{name}");
        if name.starts_with('.') || relative == FILE_NAME {
            found.left_out.push(relative);
        } else if kind.is_dir() {
            walk(&path, &format!("{relative}/"), found)?;
        } else if kind.is_file() {
            found.files.push(relative);
        } else {
            return Err(unfit(&path, "it is neither a regular file nor a directory"));
        }
    }
    Ok(())
}

fn write_entries<W: Write>(
    directory: &Path,
    files: &[String],
    encoder: GzEncoder<Hashing<W>>,
    out: &Path,
) -> Result<(Sha256, Bytes, Bytes), PackError> {
    let failed = |source| durable::Error {
        operation: "write the archive",
        path: out.to_owned(),
        source,
    };
    let mut archive = tar::Builder::new(encoder);
    let mut unpacked = 0;
    for name in files {
        let path = directory.join(name);
        let unreadable = |error: io::Error| unfit(&path, error.to_string());
        let (file, metadata) = durable::open_regular(&path).map_err(unreadable)?;
        let size = metadata.len();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(MODE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        let mut counted = Counted { file, n: 0 };
        archive
            .append_data(&mut header, name, (&mut counted).take(size))
            .map_err(failed)?;
        if counted.n != size || counted.file.metadata().map_err(unreadable)?.len() != size {
            return Err(unfit(&path, "it changed while it was packed"));
        }
        unpacked += size;
    }
    let encoder = archive.into_inner().map_err(failed)?;
    let mut hashing = encoder.finish().map_err(failed)?;
    hashing.flush().map_err(failed)?;
    Ok((hashing.hasher.finish(), Bytes(hashing.n), Bytes(unpacked)))
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    n: u64,
}

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.n += n as u64;
        Ok(n)
    }
}

/// A writer that digests what passes through it.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
    n: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.n += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_same_files_give_the_same_bytes_whenever_and_by_whomever() {
        let out = tempfile::tempdir().unwrap();
        let files = [
            ("b.json", "{}"),
            ("a/long.txt", "x"),
            (".git/config", "x"),
            (FILE_NAME, "{}"),
        ];
        let first = pack(directory(&files).path(), &out.path().join("1.tar.gz")).unwrap();
        let again = directory(&files);
        let old = File::open(again.path().join("b.json")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH).unwrap();
        durable::set_mode(&again.path().join("b.json"), 0o600).unwrap();
        let second = pack(again.path(), &out.path().join("2.tar.gz")).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.files, ["a/long.txt", "b.json"]);
        assert_eq!(first.left_out, [".git", FILE_NAME]);
        assert_eq!(first.unpacked, Bytes(3));
        let bytes = fs::read(out.path().join("1.tar.gz")).unwrap();
        assert_eq!(
            (Sha256::of(&bytes), Bytes(bytes.len() as u64)),
            (first.sha256, first.size)
        );
    }

    #[test]
    fn tar_lists_and_unpacks_it() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("m.tar.gz");
        let long = format!("{}/weights.txt", "d".repeat(120));
        let dir = directory(&[(&long, "weights")]);
        pack(dir.path(), &path).unwrap();
        let listed = std::process::Command::new("tar")
            .args(["-tzf"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap().trim(), long);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_nothing_is_left() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("m.tar.gz");
        let dir = directory(&[("a.json", "{}")]);
        std::os::unix::fs::symlink("a.json", dir.path().join("b.json")).unwrap();
        let error = pack(dir.path(), &path).unwrap_err();
        assert!(error.to_string().contains("b.json"), "{error}");
        assert!(pack(directory(&[]).path(), &path).is_err());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
        fs::write(&path, "taken").unwrap();
        assert!(pack(directory(&[("a.json", "{}")]).path(), &path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"taken");
    }
}
