//! One writer at a time. Readers never lock: their mount is read-only.
//!
//! The kernel releases the lock when its holder dies, so there is no stale lock to deal with.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::layout::{Layout, kind_of, make_missing};
use super::{Error, disk};
use crate::durable;

/// How often a lock that is held is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// The store's lock, held while this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the models directory and the lock file where they are missing, and takes the lock.
    ///
    /// * `wait`: how long a lock held by another process is waited for
    pub(super) fn take(layout: &Layout, wait: Duration) -> Result<Self, Error> {
        let models = layout.models();
        if !disk::exists(models)? {
            durable::make_directories(models)?;
            // Containers read it, whatever the umask.
            durable::set_mode(models, 0o755)?;
        }
        layout.check_file_system()?;
        make_missing(&layout.root(), 0o755)?;
        layout.check_file_system()?;
        let path = layout.lock();
        let deadline = Instant::now() + wait;
        loop {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) if is_still_at(&file, &path) => return Ok(Self { _file: file }),
                // It was replaced after it was opened: the other one is the lock.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(Error::Busy { path, waited: wait });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(source)) => return Err(Error::unwritable(&path, source)),
            }
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    if let Ok(found) = fs::symlink_metadata(path)
        && !found.is_file()
    {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            problem: format!("the lock is {}, not a regular file", kind_of(&found)),
        });
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        // Flags are bits: only the sign of the type differs.
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|source| Error::unwritable(path, source))
}

fn is_still_at(file: &File, path: &Path) -> bool {
    let identity = |found: io::Result<fs::Metadata>| found.ok().map(|it| (it.dev(), it.ino()));
    identity(file.metadata()) == identity(fs::symlink_metadata(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_waited_for_and_then_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("deep/models"));
        let held = Lock::take(&layout, Duration::ZERO).unwrap();
        let begun = Instant::now();
        let refused = Lock::take(&layout, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(refused, Error::Busy { .. }), "{refused}");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        drop(held);
        // Programs that other tests start hold the lock until they are executed.
        assert!(Lock::take(&layout, Duration::from_secs(10)).is_ok());
    }

    #[test]
    fn what_is_no_regular_file_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.lock()).unwrap();
        let refused = Lock::take(&layout, Duration::ZERO).unwrap_err();
        assert!(refused.to_string().contains("a directory"), "{refused}");
        fs::remove_dir(layout.lock()).unwrap();
        std::os::unix::fs::symlink("/dev/null", layout.lock()).unwrap();
        assert!(Lock::take(&layout, Duration::ZERO).is_err());
    }
}
