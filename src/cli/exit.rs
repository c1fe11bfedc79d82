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
    /// A `model` command found no space on the disk.
    NoSpace,
    /// A `model` command could not write for another reason.
    Io,
    /// A `model` command may not write there.
    Permission,
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
            Self::NoSpace => 40,
            Self::Io => 41,
            Self::Permission => 42,
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
