//! The one table of exit codes.

use std::process::ExitCode;

use crate::gate::Outcome;

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Pass, or the command did its work.
    Pass,
    /// At least one required check failed.
    Fail,
    /// Not enough evidence either way.
    Inconclusive,
    /// Usage, configuration, input, or evidence that may not be compared.
    Invalid,
    /// A bug of vv-eval, panics included.
    Internal,
    /// A `model` command was given a manifest that is none.
    ManifestInvalid,
    /// A `model` command was asked for something policy or safety refuses.
    RefusedByPolicy,
    /// A `model` command could not reach a server.
    Network,
    /// A `model` command got an answer it cannot use.
    ServerUnusable,
    /// A `model` command got a file of another length.
    SizeMismatch,
    /// A `model` command got a file of other bytes.
    DigestMismatch,
    /// A `model` command got an archive, or files of a model, that cannot be read.
    ArchiveMalformed,
    /// A `model` command got an archive, or a file, that must not be installed.
    ArchiveUnsafe,
    /// A `model` command got an archive beyond its limits.
    ArchiveOverLimits,
    /// A `model` command found no space on the disk.
    NoSpace,
    /// A `model` command could not write for another reason.
    Io,
    /// A `model` command may not write there.
    Permission,
    /// A `model` command found the store held by another process.
    LockBusy,
    /// A `model` command found the store damaged.
    StoreCorrupt,
    /// A `model` command tried a release, and it failed.
    SmokeFailed,
    /// A `model` command found no generation to go back to.
    NothingToRollBackTo,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 2,
            Self::Invalid => 3,
            Self::Internal => 4,
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
            Self::LockBusy => 50,
            Self::StoreCorrupt => 51,
            Self::SmokeFailed => 60,
            Self::NothingToRollBackTo => 61,
        }
    }

    /// The word of JSON reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "ok",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
            Self::Internal => "internal",
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
            Self::LockBusy => "lock_busy",
            Self::StoreCorrupt => "store_corrupt",
            Self::SmokeFailed => "smoke_failed",
            Self::NothingToRollBackTo => "nothing_to_roll_back_to",
        }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pass => Self::Pass,
            Outcome::Fail => Self::Fail,
            Outcome::Inconclusive => Self::Inconclusive,
            Outcome::Invalid => Self::Invalid,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_documented_codes() {
        let code = |outcome| Exit::from(outcome).code();
        assert_eq!(code(Outcome::Pass), 0);
        assert_eq!(code(Outcome::Fail), 1);
        assert_eq!(code(Outcome::Inconclusive), 2);
        assert_eq!(code(Outcome::Invalid), 3);
        assert_eq!(Exit::Internal.code(), 4);
    }
}
