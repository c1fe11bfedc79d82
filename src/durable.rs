//! Files written whole or not at all, and files opened without surprises.
//!
//! The only place that calls fsync or rename. Knows nothing of what the bytes mean.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::hint::Hint;

/// An operation of the file system that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{}`", shown(.path))]
pub struct Error {
    /// What was attempted, as it reads after "cannot".
    pub operation: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the system answered.
    pub source: io::Error,
}

impl Error {
    /// Whether it was a flush that failed: then nobody knows what is on the disk.
    pub fn is_flush(&self) -> bool {
        self.operation.starts_with("flush")
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some space on that file system and run the command again".into())
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some("choose a directory this user may write to".into())
            }
            io::ErrorKind::AlreadyExists => {
                Some("choose a path where nothing is yet; nothing is ever overwritten".into())
            }
            _ => None,
        }
    }
}

/// The text of a path with control characters escaped, for messages.
pub fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// Replaces the file at `path` by one holding `bytes`: readers see the old file or the new one.
///
/// The bytes go to a temporary file in the same directory, reach the disk, are renamed, and the
/// directory reaches the disk too. The new file may be read by everyone the umask lets read it.
///
/// # Errors
/// [`Error`] with the operation that failed; the temporary file is gone then. A `path` that is
/// something else than a regular file (a directory, a device, a pipe) is refused untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |operation| {
        move |source| Error {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    let directory = directory_of(path);
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(failed("replace")(not_regular(&found)));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at")(error)),
    }

    let mut file = tempfile::Builder::new()
        .prefix(".vv-eval-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(failed("create a temporary file for"))?;
    file.write_all(bytes)
        .map_err(failed("write the new content of"))?;
    file.as_file()
        .sync_all()
        .map_err(failed("flush the new content of"))?;
    file.persist(path)
        .map_err(|refused| failed("put the new content in place of")(refused.error))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("flush the directory of"))
}

/// Makes a directory, parents included, and proves that files can be made in it.
///
/// # Errors
/// [`Error`] when the directory cannot be made or written to; nothing is left in it.
pub fn reserve_directory(path: &Path) -> Result<(), Error> {
    let failed = |operation| {
        move |source| Error {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    std::fs::create_dir_all(path).map_err(failed("make the directory"))?;
    tempfile::tempfile_in(path).map_err(failed("write to"))?;
    Ok(())
}

/// Gives a finished file its final name and takes the right to write from it: what stood under that
/// name is replaced at once.
///
/// * `file`: the file at `from`, opened for writing; both paths are on one file system
///
/// # Errors
/// [`Error`] with the operation that failed; then the file keeps its old name.
pub fn settle(file: &File, from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |operation| {
        move |source| Error {
            operation,
            path: to.to_owned(),
            source,
        }
    };
    file.set_permissions(Permissions::from_mode(0o444))
        .map_err(failed("protect the content of"))?;
    file.sync_all().map_err(failed("flush the content of"))?;
    std::fs::rename(from, to).map_err(failed("give its name to"))?;
    File::open(directory_of(to))
        .and_then(|directory| directory.sync_all())
        .map_err(failed("flush the directory of"))
}

/// A directory of this process alone, removed with everything in it when it is dropped.
#[derive(Debug)]
pub struct Temporary(tempfile::TempDir);

impl Temporary {
    /// * `parent`: an existing directory; `None` for the system's
    ///
    /// # Errors
    /// [`Error`] when none can be made there.
    pub fn create(parent: Option<&Path>) -> Result<Self, Error> {
        let system = std::env::temp_dir();
        let parent = parent.unwrap_or(&system);
        let made = tempfile::Builder::new()
            .prefix(".vv-eval-temporary-")
            .tempdir_in(parent);
        made.map(Self).map_err(|source| Error {
            operation: "make a directory in",
            path: parent.to_owned(),
            source,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A directory that appears under its name complete, or never.
///
/// It is filled under a hidden name beside the wanted one, `.NAME.vv-eval-partial`, and renamed at
/// the end. Dropped before that, it is removed. A process that is killed leaves the hidden
/// directory behind; the next one that makes the same directory removes it.
#[derive(Debug)]
pub struct NewDirectory {
    wanted: PathBuf,
    hidden: PathBuf,
    /// Held while the process lives: a hidden directory without a holder was left behind.
    _lock: File,
    is_complete: bool,
}

impl NewDirectory {
    /// Makes the hidden directory.
    ///
    /// # Errors
    /// [`Error`] when something stands at `wanted`, when its parent cannot be written to, and when
    /// another process is making the same directory.
    pub fn create(wanted: &Path) -> Result<Self, Error> {
        let failed = |operation| {
            move |source| Error {
                operation,
                path: wanted.to_owned(),
                source,
            }
        };
        let make = "make the directory";
        match std::fs::symlink_metadata(wanted) {
            Ok(_) => return Err(failed(make)(io::ErrorKind::AlreadyExists.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at")(error)),
        }
        let Some(name) = wanted.file_name() else {
            return Err(failed(make)(io::ErrorKind::InvalidInput.into()));
        };
        let mut hidden_name = std::ffi::OsString::from(".");
        hidden_name.push(name);
        hidden_name.push(".vv-eval-partial");
        let hidden = directory_of(wanted).join(hidden_name);
        let lock = claim(&hidden).map_err(failed(make))?;
        Ok(Self {
            wanted: wanted.to_owned(),
            hidden,
            _lock: lock,
            is_complete: false,
        })
    }

    /// Where to put the files.
    pub fn path(&self) -> &Path {
        &self.hidden
    }

    /// Gives the directory its name, once all its files reached the disk.
    ///
    /// # Errors
    /// [`Error`] with the operation that failed; the directory is gone then.
    pub fn complete(mut self) -> Result<(), Error> {
        let wanted = self.wanted.clone();
        let failed = |operation| {
            let path = wanted.clone();
            move |source| Error {
                operation,
                path,
                source,
            }
        };
        for entry in std::fs::read_dir(&self.hidden).map_err(failed("read back"))? {
            entry
                .and_then(|entry| File::open(entry.path())?.sync_all())
                .map_err(failed("flush the files of"))?;
        }
        let parent = directory_of(&wanted);
        File::open(&self.hidden)
            .and_then(|hidden| hidden.sync_all())
            .map_err(failed("flush"))?;
        rename_new(&self.hidden, &wanted).map_err(failed("give its name to"))?;
        self.is_complete = true;
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(failed("flush the directory of"))
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.is_complete {
            // Nothing can be said from here; what stays is hidden and removed by the next run.
            let _ = std::fs::remove_dir_all(&self.hidden);
        }
    }
}

/// The directory a path stands in.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes an empty directory and holds it, or takes over one that a dead process left.
fn claim(hidden: &Path) -> io::Result<File> {
    loop {
        match std::fs::create_dir(hidden) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let directory = match File::open(hidden) {
            // Its holder finished between the two steps.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        if directory.try_lock().is_err() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process is making it",
            ));
        }
        let is_still_there = std::fs::metadata(hidden)
            .is_ok_and(|found| is_same(&found, directory.metadata().as_ref().ok()));
        if is_still_there {
            empty(hidden)?;
            return Ok(directory);
        }
    }
}

fn is_same(a: &Metadata, b: Option<&Metadata>) -> bool {
    b.is_some_and(|b| (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

fn empty(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Renames a directory to a name that must be free.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot do both at once; then only an empty directory could be lost.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(from, to)
        }
        done => Ok(done?),
    }
}

/// Flushes one file or directory to the disk.
///
/// # Errors
/// [`Error`]; a flush that failed must never be tried again, for the pages may be gone.
pub fn sync(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| failure("flush", path, source))
}

/// Flushes every file below a directory, then the directories from the inside out.
///
/// # Errors
/// [`Error`] with the first file or directory that could not be read or flushed.
pub fn sync_tree(directory: &Path) -> Result<(), Error> {
    let entries = std::fs::read_dir(directory).map_err(|e| failure("read back", directory, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| failure("read back", directory, e))?;
        let kind = entry
            .file_type()
            .map_err(|e| failure("look at", &entry.path(), e))?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            sync(&entry.path())?;
        }
    }
    sync(directory)
}

/// Makes a directory, parents included, and flushes the names of those that were missing.
///
/// # Errors
/// [`Error`] with the directory that could not be made or flushed.
pub fn make_directories(path: &Path) -> Result<(), Error> {
    let is_missing = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    std::fs::create_dir_all(path).map_err(|e| failure("make the directory", path, e))?;
    // The outermost first: a name is no use below one that is lost.
    let mut made = missing.into_iter().rev();
    made.try_for_each(|it| sync(directory_of(it)))
}

/// Makes one directory with exactly these permission bits, whatever the umask.
///
/// # Errors
/// [`Error`], also when something stands there.
pub fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::create_dir(path).map_err(|e| failure("make the directory", path, e))?;
    set_mode(path, mode)
}

/// Sets the permission bits of a file or directory.
///
/// # Errors
/// [`Error`].
pub fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|e| failure("set the permissions of", path, e))
}

/// Writes a file that must not exist yet, with exactly these permission bits, and flushes it. Its
/// directory is not flushed.
///
/// # Errors
/// [`Error`]; a file that was begun stays, so use it only where leftovers are swept.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| failure("create", path, e))?;
    file.write_all(bytes)
        .map_err(|e| failure("write", path, e))?;
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(|e| failure("set the permissions of", path, e))?;
    file.sync_all().map_err(|e| failure("flush", path, e))
}

/// Replaces the file at `path` by one with `bytes` and these permission bits, through a temporary
/// file the caller names on the same file system, and flushes the directory.
///
/// # Errors
/// [`Error`]; the temporary file may stay.
pub fn replace_file(path: &Path, temporary: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write_new(temporary, bytes, mode)?;
    rename_over(temporary, path)
}

/// Puts a symbolic link with the text `leads_to` at `path`, replacing a file or link that stands
/// there in one step, and flushes the directory.
///
/// * `temporary`: a free name on the same file system
///
/// # Errors
/// [`Error`]; the temporary link may stay. A directory at `path` is refused.
pub fn replace_link(path: &Path, temporary: &Path, leads_to: &Path) -> Result<(), Error> {
    std::os::unix::fs::symlink(leads_to, temporary).map_err(|e| failure("link", temporary, e))?;
    rename_over(temporary, path)
}

/// Renames `from` to `to`, replacing what stands there, and flushes the directory of `to`.
fn rename_over(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(|e| failure("put the new content in place of", to, e))?;
    sync(directory_of(to))
}

/// Renames a directory to a name that must be free and flushes the directory it then stands in.
///
/// # Errors
/// [`Error`]; nothing is ever replaced.
pub fn rename_to_free(from: &Path, to: &Path) -> Result<(), Error> {
    rename_new(from, to).map_err(|e| failure("give its name to", to, e))?;
    sync(directory_of(to))
}

/// Exchanges two names in one step, whatever stands at them, and flushes both directories.
///
/// # Errors
/// [`Error`] with kind `Unsupported` where the file system cannot do that.
pub fn exchange(a: &Path, b: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    let exchanged = match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(io::ErrorKind::Unsupported.into()),
        done => done.map_err(io::Error::from),
    };
    exchanged.map_err(|e| failure("exchange", b, e))?;
    sync(directory_of(a))?;
    sync(directory_of(b))
}

/// Appends to an open file and flushes it.
///
/// * `path`: where the file stands, for messages
///
/// # Errors
/// [`Error`]; part of `bytes` may have been written.
pub fn append(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes)
        .map_err(|e| failure("append to", path, e))?;
    file.sync_data().map_err(|e| failure("flush", path, e))
}

/// Cuts an open file off after so many bytes and flushes it.
///
/// * `path`: where the file stands, for messages
///
/// # Errors
/// [`Error`] with the operation that failed.
pub fn truncate(file: &File, path: &Path, length: u64) -> Result<(), Error> {
    file.set_len(length)
        .map_err(|e| failure("shorten", path, e))?;
    file.sync_all().map_err(|e| failure("flush", path, e))
}

fn failure(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Opens a regular file for reading and gives its metadata too.
///
/// Never blocks: a named pipe without a writer is refused instead of being waited for.
///
/// # Errors
/// The system's own error, or one that says what stands at `path` instead of a regular file.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let no_wait = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    // Flags are bits: only the sign of the type differs.
    let flags = no_wait.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(not_regular(&metadata))
    }
}

/// The error that names the kind of thing found where a regular file was expected.
fn not_regular(found: &Metadata) -> io::Error {
    if found.is_dir() {
        io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, not a file")
    } else {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a device or pipe, not a regular file",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("the directory is there");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_created_and_replaced_and_nothing_else_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("record.json");
        write_atomic(&path, b"one").expect("created");
        write_atomic(&path, b"two").expect("replaced");
        assert_eq!(std::fs::read(&path).expect("readable"), b"two");
        assert_eq!(names(dir.path()), ["record.json"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind_and_names_the_path() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let occupied = dir.path().join("report.md");
        std::fs::create_dir(&occupied).expect("created");
        let error = write_atomic(&occupied, b"x").expect_err("a directory stands there");
        assert!(error.to_string().contains("cannot replace"), "{error}");
        assert!(error.to_string().contains("report.md"), "{error}");
        assert_eq!(names(dir.path()), ["report.md"]);

        let missing = dir.path().join("absent/report.md");
        let error = write_atomic(&missing, b"x").expect_err("the directory is missing");
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
        assert_eq!(names(dir.path()), ["report.md"]);
    }

    #[test]
    fn a_directory_appears_complete_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wanted = dir.path().join("model");
        let new = NewDirectory::create(&wanted).expect("made");
        std::fs::write(new.path().join("a"), b"1").expect("written");
        assert!(!wanted.exists());
        drop(new);
        assert!(names(dir.path()).is_empty());

        let new = NewDirectory::create(&wanted).expect("made");
        std::fs::write(new.path().join("a"), b"1").expect("written");
        new.complete().expect("renamed");
        assert_eq!(names(dir.path()), ["model"]);
        assert_eq!(names(&wanted), ["a"]);
        let error = NewDirectory::create(&wanted).expect_err("it is there");
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_name_taken_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wanted = dir.path().join("model");
        let new = NewDirectory::create(&wanted).expect("made");
        std::fs::create_dir(&wanted).expect("made by someone else");
        let error = new.complete().expect_err("the name is taken");
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(dir.path()), ["model"]);
        assert!(names(&wanted).is_empty());
    }

    #[test]
    fn what_a_dead_process_left_is_taken_over_and_what_a_live_one_holds_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wanted = dir.path().join("model");
        let left = dir.path().join(".model.vv-eval-partial");
        std::fs::create_dir(&left).expect("made");
        std::fs::write(left.join("half"), b"1").expect("written");
        let new = NewDirectory::create(&wanted).expect("taken over");
        assert!(names(new.path()).is_empty());
        let error = NewDirectory::create(&wanted).expect_err("it is held");
        assert_eq!(error.source.kind(), io::ErrorKind::ResourceBusy);
        assert!(left.exists(), "the holder's directory stays");
        new.complete().expect("renamed");
        assert_eq!(names(dir.path()), ["model"]);
    }

    #[test]
    fn devices_are_neither_replaced_nor_read() {
        let error = write_atomic(Path::new("/dev/null"), b"x").expect_err("a device");
        assert!(error.source.to_string().contains("device"), "{error:?}");
        assert!(open_regular(Path::new("/dev/null")).is_err());
        assert!(open_regular(Path::new("/")).is_err());
    }

    #[test]
    fn directories_are_made_with_their_parents() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let deep = dir.path().join("a/b/c");
        for _ in 0..2 {
            make_directories(&deep).expect("made");
            assert!(deep.is_dir());
        }
        std::fs::write(dir.path().join("file"), "").expect("written");
        let error = make_directories(&dir.path().join("file/d")).expect_err("no directory");
        assert_eq!(error.operation, "make the directory");
    }

    #[test]
    fn control_characters_of_a_path_are_escaped() {
        assert_eq!(shown(Path::new("a\u{1b}[31m\n")), "a\\u{1b}[31m\\n");
    }
}
