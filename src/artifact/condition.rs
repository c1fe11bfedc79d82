//! The conditions a transfer can end in, with the codes `model` commands exit with.

use std::io;

use crate::durable;

/// What stood in the way; every [`super::Error`] is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Usage, configuration or input.
    Invalid,
    /// The manifest, or a Git LFS pointer, breaks its rules.
    ManifestInvalid,
    /// Scheme, host, path, size or placeholder that policy or safety refuses.
    RefusedByPolicy,
    /// Unreachable, TLS, time ran out, or not there while offline.
    Network,
    /// An answer that cannot be used.
    ServerUnusable,
    /// Other length than promised.
    SizeMismatch,
    /// Other bytes than promised.
    DigestMismatch,
    /// Not an archive, or one cut short; a pointer in place of a model.
    ArchiveMalformed,
    /// An archive with an entry that is refused.
    ArchiveUnsafe,
    /// An archive that would write too much.
    ArchiveOverLimits,
    /// The disk is full.
    NoSpace,
    /// The file system failed, or cannot do what is needed.
    Io,
    /// This user may not.
    Permission,
}

impl Condition {
    /// Exit code in `model` commands; other commands end with 3.
    pub fn code(self) -> u8 {
        match self {
            Self::Invalid => 3,
            Self::ManifestInvalid => 10,
            Self::RefusedByPolicy => 11,
            Self::Network => 20,
            Self::ServerUnusable => 21,
            Self::SizeMismatch => 22,
            Self::DigestMismatch => 23,
            Self::ArchiveMalformed => 30,
            Self::ArchiveUnsafe => 31,
            Self::ArchiveOverLimits => 32,
            Self::NoSpace => 40,
            Self::Io => 41,
            Self::Permission => 42,
        }
    }

    /// Stable name, as written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::ManifestInvalid => "manifest_invalid",
            Self::RefusedByPolicy => "refused_by_policy",
            Self::Network => "network",
            Self::ServerUnusable => "server_unusable",
            Self::SizeMismatch => "size_mismatch",
            Self::DigestMismatch => "digest_mismatch",
            Self::ArchiveMalformed => "archive_malformed",
            Self::ArchiveUnsafe => "archive_unsafe",
            Self::ArchiveOverLimits => "archive_over_limits",
            Self::NoSpace => "no_space",
            Self::Io => "io",
            Self::Permission => "permission",
        }
    }

    /// The condition an operation that changes a file system stands for when it fails.
    ///
    /// A flush that failed is final, whatever the system calls it: nobody knows what is on the disk.
    pub fn of_write(error: &durable::Error) -> Self {
        if error.is_flush() {
            return Self::Io;
        }
        Self::of_io(&error.source)
    }

    /// The condition an error of the file system stands for.
    pub fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::NoSpace,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::Permission,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(errno: i32, code: u8) {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(Condition::of_io(&error).code(), code, "{error}");
    }

    #[test]
    fn errors_of_the_system_have_the_documented_codes() {
        use rustix::io::Errno;
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            check(errno.raw_os_error(), 40);
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            check(errno.raw_os_error(), 42);
        }
        for errno in [
            Errno::IO,
            Errno::MFILE,
            Errno::XDEV,
            Errno::NOSYS,
            Errno::STALE,
        ] {
            check(errno.raw_os_error(), 41);
        }
    }
}
