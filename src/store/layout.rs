//! Where everything of a store stands, and what `current` says.
//!
//! ```text
//! models/                          mounted read-only at /app/models
//!   bitnet                    -> .vv/current/bitnet
//!   .current_model_info.json  -> .vv/current/.current_model_info.json
//!   .current_model_version    -> .vv/current/.current_model_version
//!   .model_updated_flag          regular file
//!   .vv/FORMAT  .vv/lock  .vv/journal.jsonl  .vv/experiment.json
//!   .vv/current               -> generations/000007          the only commit point
//!   .vv/generations/000007/      bitnet/…  generation.json  and both records
//!   .vv/blobs/sha256/<hex>  .vv/partial/  .vv/staging/<random>/
//! ```

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Error, disk};
use crate::durable;

/// What `FORMAT` holds, a line end apart.
pub(super) const FORMAT: &str = "vv-model-store 1";

/// Record of what is installed, with the three keys the first installer wrote.
pub const INFO_FILE: &str = ".current_model_info.json";

/// Version label of what is installed.
pub const VERSION_FILE: &str = ".current_model_version";

/// Changes when another generation became current.
pub const FLAG_FILE: &str = ".model_updated_flag";

/// Record of a generation inside its directory.
pub(super) const RECORD_FILE: &str = "generation.json";

/// Permission bits of installed files.
pub(super) const FILE_MODE: u32 = 0o444;

/// Permission bits of directories inside a target.
pub(super) const DIRECTORY_MODE: u32 = 0o555;

/// Permission bits of a generation's own directory: one that its owner cannot write could neither
/// be renamed nor emptied by a process without privileges.
pub(super) const OWN_MODE: u32 = 0o755;

/// File systems on which neither locks nor renames keep their promises, or links do not exist.
const REFUSED_FILE_SYSTEMS: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x4d44, "FAT"),
    (0x2011_bab0, "exFAT"),
];

/// The paths of one store.
#[derive(Debug, Clone)]
pub struct Layout {
    models: PathBuf,
}

/// What `current` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// Nothing was ever installed.
    Absent,
    /// The generation of this number.
    Generation(u64),
    /// It stands there but names no generation of this store.
    Broken {
        /// What is wrong, for a message.
        found: String,
    },
}

impl Layout {
    /// The store below a models directory, which need not exist.
    pub fn new(models: &Path) -> Self {
        Self {
            models: models.to_owned(),
        }
    }

    /// The directory that is mounted into containers.
    pub fn models(&self) -> &Path {
        &self.models
    }

    /// The store's own directory.
    pub fn root(&self) -> PathBuf {
        self.models.join(".vv")
    }

    pub(super) fn format(&self) -> PathBuf {
        self.root().join("FORMAT")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root().join("lock")
    }

    /// The link whose rename is the only commit.
    pub fn current(&self) -> PathBuf {
        self.root().join("current")
    }

    pub(super) fn generations(&self) -> PathBuf {
        self.root().join("generations")
    }

    /// Directory of a generation.
    pub fn generation(&self, number: u64) -> PathBuf {
        self.generations().join(generation_name(number))
    }

    /// Verified artifacts by digest.
    pub fn blobs(&self) -> PathBuf {
        self.root().join("blobs")
    }

    /// Unfinished downloads.
    pub fn partial(&self) -> PathBuf {
        self.root().join("partial")
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.root().join("staging")
    }

    /// The history.
    pub fn journal(&self) -> PathBuf {
        self.root().join("journal.jsonl")
    }

    pub(super) fn experiment(&self) -> PathBuf {
        self.root().join("experiment.json")
    }

    pub(super) fn flag(&self) -> PathBuf {
        self.models.join(FLAG_FILE)
    }

    /// Where readers find a target, or one of the two records.
    pub fn public(&self, name: &str) -> PathBuf {
        self.models.join(name)
    }

    /// Refuses a store of another format before anything of it is touched.
    pub(super) fn check_format(&self) -> Result<(), Error> {
        let path = self.format();
        let found = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return if self.current().symlink_metadata().is_ok() {
                    Err(Error::corrupt(&path, "it is missing"))
                } else {
                    Ok(())
                };
            }
            Err(source) => return Err(Error::unreadable(&path, source)),
        };
        if found == FORMAT {
            return Ok(());
        }
        let found: String = found.chars().take(80).collect();
        Err(Error::Format { path, found })
    }

    /// Refuses file systems that break the store's promises, and a `.vv` on another one.
    pub(super) fn check_file_system(&self) -> Result<(), Error> {
        let directory = if disk::is_directory(&self.root())? {
            self.root()
        } else {
            self.models.clone()
        };
        let unreadable = |source| Error::unreadable(&directory, source);
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
        let outer = device(&self.models).map_err(unreadable)?;
        if device(&directory).map_err(unreadable)? != outer {
            return Err(Error::Unsupported {
                path: directory,
                problem: "it is on another file system than the models directory".into(),
            });
        }
        let kind = rustix::fs::statfs(&directory).map_err(|errno| unreadable(errno.into()))?;
        // Some kernels extend the sign of the 32 bits that count.
        let magic = kind.f_type & 0xffff_ffff;
        match REFUSED_FILE_SYSTEMS
            .iter()
            .find(|(known, _)| *known == magic)
        {
            Some((_, name)) => Err(Error::Unsupported {
                path: directory,
                problem: format!("a model store does not work on {name}"),
            }),
            None => Ok(()),
        }
    }

    /// Reads the commit point.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the system does not say.
    pub fn read_current(&self) -> Result<Current, Error> {
        let path = self.current();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Current::Absent);
            }
            Err(source) => return Err(Error::unreadable(&path, source)),
        };
        let broken = |found: String| Ok(Current::Broken { found });
        if !metadata.is_symlink() {
            return broken(kind_of(&metadata).to_owned());
        }
        let text = fs::read_link(&path).map_err(|source| Error::unreadable(&path, source))?;
        let number = text
            .to_str()
            .and_then(|text| text.strip_prefix("generations/"))
            .and_then(generation_number);
        let Some(number) = number else {
            return broken(format!("a link to {}", durable::shown(&text)));
        };
        if disk::is_directory(&self.generation(number))? {
            return Ok(Current::Generation(number));
        }
        broken(format!(
            "a link to {}, which is missing",
            durable::shown(&text)
        ))
    }

    /// Numbers of the generations on disk, ascending.
    pub(super) fn generation_numbers(&self) -> Result<Vec<u64>, Error> {
        let path = self.generations();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::unreadable(&path, source)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| Error::unreadable(&path, source))?;
            numbers.extend(entry.file_name().to_str().and_then(generation_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes the directories of a store that are missing, and marks its format.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let wanted = [
            (self.generations(), 0o755),
            (self.blobs(), 0o755),
            (self.partial(), 0o700),
            (self.staging(), 0o700),
        ];
        for (path, mode) in wanted {
            make_missing(&path, mode)?;
        }
        if !disk::exists(&self.format())? {
            let text = format!("{FORMAT}\n");
            let temporary = self.temporary("format")?;
            durable::replace_file(&self.format(), &temporary, text.as_bytes(), 0o644)?;
        }
        Ok(durable::sync(&self.root())?)
    }

    /// A name in `staging/` that nothing has yet.
    pub(super) fn temporary(&self, purpose: &str) -> Result<PathBuf, Error> {
        let staging = self.staging();
        make_missing(&staging, 0o700)?;
        let holder = tempfile::Builder::new()
            .prefix(&format!("{purpose}-"))
            .tempdir_in(&staging)
            .map_err(|source| Error::unreadable(&staging, source))?;
        Ok(holder.keep().join("new"))
    }
}

/// Makes a directory unless it is there.
pub(super) fn make_missing(path: &Path, mode: u32) -> Result<(), Error> {
    match durable::make_directory(path, mode) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            Ok(())
        }
        done => Ok(done?),
    }
}

/// The directory name of a generation.
pub(super) fn generation_name(number: u64) -> String {
    format!("{number:06}")
}

/// The number of a generation's directory name.
fn generation_number(name: &str) -> Option<u64> {
    let is_number = name.bytes().all(|b| b.is_ascii_digit());
    let number = name.parse().ok().filter(|_| is_number)?;
    (generation_name(number) == name).then_some(number)
}

/// What kind of thing stands somewhere, with its article.
pub(super) fn kind_of(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    match () {
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => "a directory",
        () if kind.is_file() => "a regular file",
        () => "a device or pipe",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(generation_name(7), "000007");
        assert_eq!(generation_name(1_234_567), "1234567");
        for (name, number) in [("000007", Some(7)), ("1234567", Some(1_234_567))] {
            assert_eq!(generation_number(name), number);
        }
        for wrong in ["7", "0000007", "00000x", "", "-00001", "000007/"] {
            assert_eq!(generation_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_current_says_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert_eq!(layout.read_current().unwrap(), Current::Absent);
        fs::create_dir_all(layout.generation(7)).unwrap();
        let check = |text: &str, expected: Option<u64>| {
            let _ = fs::remove_file(layout.current());
            std::os::unix::fs::symlink(text, layout.current()).unwrap();
            match (layout.read_current().unwrap(), expected) {
                (Current::Generation(found), Some(expected)) => assert_eq!(found, expected),
                (Current::Broken { .. }, None) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
        };
        check("generations/000007", Some(7));
        check("generations/000008", None);
        check("generations/../generations/000007", None);
        check("/tmp", None);
        fs::remove_file(layout.current()).unwrap();
        fs::write(layout.current(), "x").unwrap();
        assert!(matches!(
            layout.read_current().unwrap(),
            Current::Broken { .. }
        ));
    }
}
