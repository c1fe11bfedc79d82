//! A directory that is filled with files and directories of its own making only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Error, name};
use crate::durable;
use crate::units::{Bytes, Hasher, Sha256};

/// Bytes copied at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A file that was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Its length.
    pub size: Bytes,
    /// Digest of the bytes that were written.
    pub sha256: Sha256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

/// A directory under construction. Several artifacts may be added; none may overwrite another's.
///
/// Files are made as 0444 and directories as 0755, ours, whatever an archive says. Nothing is
/// flushed here.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    root: OwnedFd,
    /// What there is, under the name by which two are the same.
    taken: BTreeMap<String, Kind>,
    files: BTreeMap<String, Unpacked>,
}

impl Destination {
    /// * `path`: a directory that is empty
    ///
    /// # Errors
    /// [`Error::Write`] when it is missing, no directory, or not empty.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| durable::Error {
            operation: "fill the directory",
            path: path.to_owned(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(failed(io::ErrorKind::DirectoryNotEmpty.into()).into());
        }
        Ok(Self {
            path: path.to_owned(),
            root,
            taken: BTreeMap::new(),
            files: BTreeMap::new(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files there are, by path with `/`.
    pub fn files(&self) -> &BTreeMap<String, Unpacked> {
        &self.files
    }

    /// A directory; one that is there already is the same.
    pub(super) fn add_directory(&mut self, parts: &[String]) -> Result<(), Error> {
        self.parent(parts).map(drop)
    }

    /// A new file with the next `size` bytes of `data`.
    pub(super) fn add_file(
        &mut self,
        parts: &[String],
        size: u64,
        data: &mut impl Read,
    ) -> Result<(), Error> {
        let (own, above) = parts.split_last().expect("a name has components");
        let joined = parts.join("/");
        let parent = self.parent(above)?;
        if self.taken.insert(fold(parts), Kind::File).is_some() {
            return Err(Error::unsafe_entry(
                joined.as_bytes(),
                "is there already, under this name or one that some systems take for it",
            ));
        }
        let failed = |source| durable::Error {
            operation: "unpack",
            path: self.path.join(&joined),
            source,
        };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file =
            rustix::fs::openat(&parent, own, flags, mode).map_err(|errno| failed(errno.into()))?;
        let mut file = File::from(file);
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(BUFFER_BYTES, |it| it.min(BUFFER_BYTES));
            let n = match data.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(Error::Malformed("it is cut short".to_owned())),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::of_stream(error)),
            };
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(failed)?;
            left -= n as u64;
        }
        // Set on the open file, so that the umask has no say.
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::RGRP | Mode::ROTH)
            .map_err(|errno| failed(errno.into()))?;
        let unpacked = Unpacked {
            size: Bytes(size),
            sha256: hasher.finish(),
        };
        self.files.insert(joined, unpacked);
        Ok(())
    }

    /// The directory with these components, made where it is missing.
    fn parent(&mut self, parts: &[String]) -> Result<OwnedFd, Error> {
        let mut directory = self
            .root
            .as_fd()
            .try_clone_to_owned()
            .map_err(Error::Read)?;
        for depth in 1..=parts.len() {
            let so_far = &parts[..depth];
            let own = &parts[depth - 1];
            let joined = so_far.join("/");
            let failed = |errno: Errno| durable::Error {
                operation: "make the directory",
                path: self.path.join(&joined),
                source: errno.into(),
            };
            match self.taken.insert(fold(so_far), Kind::Directory) {
                Some(Kind::File) => {
                    let problem = "is a file and a directory";
                    return Err(Error::unsafe_entry(joined.as_bytes(), problem));
                }
                Some(Kind::Directory) => {}
                None => {
                    rustix::fs::mkdirat(&directory, own, Mode::RWXU).map_err(failed)?;
                }
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&directory, own, flags, Mode::empty());
            directory = match opened {
                // Taken under another spelling: on this system they are two.
                Err(Errno::NOENT) => {
                    let problem = "differs from another directory in case only";
                    return Err(Error::unsafe_entry(joined.as_bytes(), problem));
                }
                opened => opened.map_err(failed)?,
            };
            let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            rustix::fs::fchmod(&directory, mode).map_err(failed)?;
        }
        Ok(directory)
    }
}

/// The path by which two are the same on some system.
fn fold(parts: &[String]) -> String {
    let folded: Vec<String> = parts.iter().map(|part| name::folded(part)).collect();
    folded.join("/")
}
