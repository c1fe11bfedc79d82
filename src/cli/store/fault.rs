//! What goes wrong in a command of the store, as an exit code and as JSON.

use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};

use super::super::Failure;
use super::super::exit::Exit;
use crate::artifact::Condition;
use crate::hint::Hint as _;
use crate::manifest::Class;
use crate::store::{ContentProblem, Current, Error, Layout, PolicyError};

/// Why a command of the store did not do its work.
#[derive(Debug)]
pub(super) enum Fault {
    /// The store says why.
    Store(Error),
    /// The policy cannot be used.
    Policy(PolicyError),
    /// Something else, with its code.
    Other(Failure),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl Fault {
    pub(super) fn usage(message: &str, hint: &str) -> Self {
        Self::Other(Failure::usage(message, hint))
    }

    /// As the command line reports failures.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Store(error) => {
                let exit = exit_of(&error);
                Failure::invalid(error).with_exit(exit)
            }
            Self::Policy(error) => Failure::invalid(error),
            Self::Other(failure) => failure,
        }
    }

    /// The object printed with `--json`.
    pub(super) fn to_json(&self, command: &str, layout: &Layout) -> Value {
        let (exit, message, hint) = match self {
            Self::Store(error) => (exit_of(error), chain(error), error.hint()),
            Self::Policy(error) => (Exit::Invalid, chain(error), error.hint()),
            Self::Other(failure) => (
                failure.exit,
                format!("{:#}", failure.error),
                failure.hint.clone(),
            ),
        };
        let current = match layout.read_current() {
            Ok(Current::Generation(number)) => Some(number),
            Ok(Current::Absent | Current::Broken { .. }) | Err(_) => None,
        };
        json!({
            "schema_version": 1,
            "command": command,
            "code": exit.code(),
            "current_generation": current,
            "error": {
                "code": exit.code(),
                "name": exit.name(),
                "message": message,
                "hint": hint,
                "retryable": is_retryable(self, exit),
                "current_generation": current,
                "details": self.details(),
            },
        })
    }

    /// What a program may want to know that is not in the code.
    fn details(&self) -> Value {
        let path = |path: &std::path::Path| json!({ "path": path.to_string_lossy() });
        match self {
            Self::Store(Error::Corrupt { path: at, .. } | Error::Unsupported { path: at, .. }) => {
                path(at)
            }
            Self::Store(Error::File(error)) => path(&error.path),
            Self::Store(Error::Content { file, .. }) => json!({ "file": file }),
            Self::Store(Error::NoSpace { needed, free, .. }) => {
                json!({ "needed_bytes": needed, "free_bytes": free })
            }
            Self::Store(_) | Self::Policy(_) | Self::Other(_) => json!({}),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

/// Whether trying again later may help without anyone changing anything.
fn is_retryable(fault: &Fault, exit: Exit) -> bool {
    match fault {
        Fault::Store(Error::Artifact(error)) => error.is_retryable(),
        _ => matches!(exit, Exit::Network | Exit::NoSpace | Exit::LockBusy),
    }
}

/// The code of a condition.
fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Manifest(error) => match error.class() {
            Class::Invalid => Exit::ManifestInvalid,
            Class::Refused => Exit::RefusedByPolicy,
        },
        Error::Strict { .. } => Exit::ManifestInvalid,
        Error::Refused(_) => Exit::RefusedByPolicy,
        Error::Artifact(error) => exit_of_condition(error.condition()),
        Error::Content { kind, .. } => match kind {
            ContentProblem::Malformed => Exit::ArchiveMalformed,
            ContentProblem::Unsafe => Exit::ArchiveUnsafe,
        },
        Error::NoSpace { .. } => Exit::NoSpace,
        Error::File(error) => exit_of_condition(Condition::of_write(error)),
        Error::Unreadable { source, .. } => exit_of_io(source),
        Error::Unsupported { .. } => Exit::Io,
        Error::Busy { .. } => Exit::LockBusy,
        Error::Format { .. } | Error::Corrupt { .. } => Exit::StoreCorrupt,
        Error::Smoke { .. } => Exit::SmokeFailed,
        Error::NothingToRollBackTo { .. } => Exit::NothingToRollBackTo,
        Error::NoSuchGeneration { .. } | Error::Usage { .. } => Exit::Invalid,
    }
}

/// The code of what keeps an artifact away.
fn exit_of_condition(condition: Condition) -> Exit {
    match condition {
        Condition::Invalid => Exit::Invalid,
        Condition::ManifestInvalid => Exit::ManifestInvalid,
        Condition::RefusedByPolicy => Exit::RefusedByPolicy,
        Condition::Network => Exit::Network,
        Condition::ServerUnusable => Exit::ServerUnusable,
        Condition::SizeMismatch => Exit::SizeMismatch,
        Condition::DigestMismatch => Exit::DigestMismatch,
        Condition::ArchiveMalformed => Exit::ArchiveMalformed,
        Condition::ArchiveUnsafe => Exit::ArchiveUnsafe,
        Condition::ArchiveOverLimits => Exit::ArchiveOverLimits,
        Condition::NoSpace => Exit::NoSpace,
        Condition::Io => Exit::Io,
        Condition::Permission => Exit::Permission,
    }
}

/// The code of what the system answered.
fn exit_of_io(error: &io::Error) -> Exit {
    exit_of_condition(Condition::of_io(error))
}
