//! Why an archive was not unpacked.

use std::io;

use super::super::Condition;
use crate::durable;
use crate::hint::Hint;

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No archive, or one that is cut or damaged.
    #[error("the archive is malformed: {0}")]
    Malformed(String),
    /// An entry that may not be in an archive.
    #[error("the archive is unsafe: entry `{name}` {problem}")]
    Unsafe {
        /// Its name, escaped.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An entry, or all of them, beyond the limits.
    #[error("the archive is over the limits: {0}")]
    OverLimits(String),
    /// The archive could not be read from the disk.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] durable::Error),
}

impl Error {
    /// What stood in the way, as `model` commands tell it.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Malformed(_) => Condition::ArchiveMalformed,
            Self::Unsafe { .. } => Condition::ArchiveUnsafe,
            Self::OverLimits(_) => Condition::ArchiveOverLimits,
            Self::Read(error) => Condition::of_io(error),
            Self::Write(error) => Condition::of_write(error),
        }
    }

    /// An entry that may not be in an archive.
    ///
    /// * `name`: as it stands there
    pub(super) fn unsafe_entry(name: &[u8], problem: impl Into<String>) -> Self {
        let text = String::from_utf8_lossy(name);
        Self::Unsafe {
            name: crate::manifest::quoted(&text),
            problem: problem.into(),
        }
    }

    /// An error of a stream that is decoded while it is read: the system's own errors are about the
    /// disk, the decoder's about the archive.
    pub(super) fn of_stream(error: io::Error) -> Self {
        if error.raw_os_error().is_some() {
            return Self::Read(error);
        }
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Malformed("it is cut short".to_owned())
            }
            Err(error) => Self::Malformed(format!("its compression is damaged: {error}")),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Malformed(_) => {
                "the bytes are the ones the manifest pins, so the archive was damaged before it was \
                 published: pack and publish it again"
            }
            Self::Unsafe { .. } => {
                "pack the model's files plainly, as regular files below one directory"
            }
            Self::OverLimits(_) => {
                "if the model really is that large, raise the limits in `[archive]` of gate.toml"
            }
            Self::Write(error) => return error.hint(),
            Self::Read(_) => return None,
        };
        Some(hint.to_owned())
    }
}
