//! A disk that fails is told from one that holds something else: of the first nothing is known, and
//! what is said to be missing or damaged there may be whole.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Error;

/// What a disk, or the file system on it, answers when it does not work.
const FAILURES: [Errno; 8] = [
    Errno::IO,
    Errno::NXIO,
    Errno::NODEV,
    Errno::STALE,
    Errno::TIMEDOUT,
    Errno::REMOTEIO,
    // Checksums and structures of the file system itself.
    Errno::BADMSG,
    Errno::UCLEAN,
];

/// Whether the disk failed.
pub(super) fn has_failed(error: &io::Error) -> bool {
    let is_known = |code| FAILURES.iter().any(|it| it.raw_os_error() == code);
    error.raw_os_error().is_some_and(is_known)
}

/// What the disk answered, where its failure is what an error comes from.
pub(super) fn failure_in(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.find_map(|cause| {
        let cause = cause.downcast_ref::<io::Error>()?;
        cause.raw_os_error().filter(|_| has_failed(cause))
    })
}

/// Whether something stands at a path, links followed.
///
/// # Errors
/// [`Error::Unreadable`] when the system does not say.
pub(super) fn exists(path: &Path) -> Result<bool, Error> {
    found(path).map(|found| found.is_some())
}

/// Whether a directory stands at a path, links followed.
///
/// # Errors
/// [`Error::Unreadable`] when the system does not say.
pub(super) fn is_directory(path: &Path) -> Result<bool, Error> {
    found(path).map(|found| found.is_some_and(|it| it.is_dir()))
}

fn found(path: &Path) -> Result<Option<fs::Metadata>, Error> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(Error::unreadable(path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_is_told_from_one_that_holds_something_else() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(has_failed(&of(Errno::IO)) && has_failed(&of(Errno::UCLEAN)));
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::ISDIR, Errno::LOOP] {
            assert!(!has_failed(&of(errno)), "{errno}");
        }
        assert!(!has_failed(&io::Error::other("EIO")));
    }

    #[test]
    fn what_is_below_a_file_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(exists(&file).unwrap() && !is_directory(&file).unwrap());
        assert!(is_directory(dir.path()).unwrap());
        assert!(!exists(&file.join("below")).unwrap());
        assert!(!exists(&dir.path().join("absent")).unwrap());
        let endless = dir.path().join("endless");
        std::os::unix::fs::symlink("endless", &endless).unwrap();
        assert!(matches!(exists(&endless), Err(Error::Unreadable { .. })));
    }
}
