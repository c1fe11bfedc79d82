//! A system that does not say what is on the disk is told from one that says it is missing or
//! something else: of the first nothing is known, and the store may be whole.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Error;

/// Answers that say what stands at a path: nothing, or something else than was looked for.
const FINDINGS: [Errno; 4] = [Errno::NOENT, Errno::NOTDIR, Errno::ISDIR, Errno::LOOP];

/// Whether the system did not say what is there: the disk fails, a limit is reached, access is
/// refused.
pub(super) fn is_silent(error: &io::Error) -> bool {
    let is_finding = |code| FINDINGS.iter().any(|it| it.raw_os_error() == code);
    error.raw_os_error().is_some_and(|code| !is_finding(code))
}

/// The answer of a system that did not say what is there, where an error comes from one.
pub(super) fn silence_in(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.find_map(|cause| {
        let cause = cause.downcast_ref::<io::Error>()?;
        cause.raw_os_error().filter(|_| is_silent(cause))
    })
}

/// Whether a link leads nowhere; one whose end may not be looked at leads somewhere.
///
/// # Errors
/// [`Error::Unreadable`] when the disk fails.
pub(super) fn leads_nowhere(link: &Path) -> Result<bool, Error> {
    match fs::metadata(link) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(source) if is_silent(&source) => Err(Error::unreadable(link, source)),
        Err(_) => Ok(true),
    }
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
    fn silence_is_told_from_an_answer() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::IO, Errno::UCLEAN, Errno::MFILE, Errno::ACCESS] {
            assert!(is_silent(&of(errno)), "{errno}");
        }
        for errno in FINDINGS {
            assert!(!is_silent(&of(errno)), "{errno}");
        }
        assert!(!is_silent(&io::Error::other("EIO")));
        let error = Error::unreadable(Path::new("x"), of(Errno::IO));
        assert_eq!(silence_in(&error), Some(Errno::IO.raw_os_error()));
        assert_eq!(
            silence_in(&Error::NothingToRollBackTo { because: None }),
            None
        );
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
        assert!(leads_nowhere(&endless).unwrap());
        assert!(!leads_nowhere(dir.path()).unwrap());
    }
}
