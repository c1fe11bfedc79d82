//! Why a run gives no pair of records.

use std::path::PathBuf;

use crate::hint::Hint;
use crate::record::{self, Role};

/// Why a run gives no pair of records. A model that crashes, hangs or computes nonsense is not
/// among the reasons: that is evidence, and stands in its record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to run on. Invalid input.
    #[error("the scene set has no scenes")]
    NoScenes,
    /// The plan was made for another number of scenes.
    #[error("the plan covers {planned} scenes, the set has {found}")]
    ForeignPlan {
        /// Scenes in the plan.
        planned: usize,
        /// Scenes given.
        found: usize,
    },
    /// A path that cannot be told to a worker. Invalid input.
    #[error("path {} is not UTF-8", .path.display())]
    PathNotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A model that may not be judged: its files are no longer the ones that were digested or cannot
    /// be read, its format is not supported, or it is a broken baseline. Invalid input.
    #[error("the {role} cannot be judged: {message}")]
    NotJudgeable {
        /// Whose model.
        role: Role,
        /// Why, in the worker's words.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// A model that answers differently when asked again. The evidence is invalid.
    #[error(
        "the {role} is not deterministic: scene `{scene}`, output token {position} was {}, then {}",
        shown(*.first), shown(*.second)
    )]
    NotDeterministic {
        /// Whose model.
        role: Role,
        /// The scene.
        scene: String,
        /// First token that differs, from 0.
        position: usize,
        /// The token of the first output; `None` when it had ended.
        first: Option<u32>,
        /// The token of the second output; `None` when it had ended.
        second: Option<u32>,
    },
    /// The run that is to be gone on from ended as invalid. The evidence is invalid.
    #[error("the run to go on from was invalid: {reason}")]
    EndedInvalid {
        /// Why, in its words.
        reason: String,
    },
    /// Both models together are more than the machine holds. Invalid.
    #[error("there is no memory for both models: the system ended the {role}'s worker")]
    NoRoom {
        /// Whose worker it chose.
        role: Role,
    },
    /// A worker could not be started. Internal.
    #[error("cannot start worker {}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Supervisor and worker did not understand each other: a bug of this program. Internal.
    #[error("the {role}'s worker left the protocol: {detail}")]
    Protocol {
        /// Whose worker.
        role: Role,
        /// What was wrong.
        detail: String,
        /// The last lines the worker wrote to stderr.
        stderr_tail: String,
    },
    /// The journal belongs to a run that was started with something else. Invalid input.
    #[error("the run cannot be resumed: `{field}` was {before}, now it is {now}")]
    ForeignJournal {
        /// What differs.
        field: &'static str,
        /// Its value in the journal.
        before: String,
        /// Its value now.
        now: String,
    },
    /// The journal holds a unit that cannot stand there. Invalid input.
    #[error(
        "the run cannot be resumed: line {line} of its journal is not the next step of the plan"
    )]
    JournalOrder {
        /// The line, from 1.
        line: usize,
    },
    /// The journal could not be written.
    #[error("cannot use the run's journal")]
    Journal(#[from] record::Error),
}

impl Error {
    /// Whether this is a bug of this program or its installation rather than of the inputs.
    pub fn is_internal(&self) -> bool {
        match self {
            Self::ForeignPlan { .. } | Self::Spawn { .. } | Self::Protocol { .. } => true,
            Self::NoScenes
            | Self::PathNotUtf8 { .. }
            | Self::NotJudgeable { .. }
            | Self::NotDeterministic { .. }
            | Self::ForeignJournal { .. }
            | Self::JournalOrder { .. }
            | Self::EndedInvalid { .. }
            | Self::NoRoom { .. }
            | Self::Journal(_) => false,
        }
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotJudgeable { hint, .. } => hint.clone(),
            Self::PathNotUtf8 { .. } => Some("move the model to a path of plain text".to_owned()),
            Self::Protocol { .. } => {
                Some("this is a bug of vv-eval; please report it with the message above".to_owned())
            }
            Self::Journal(error) => error
                .hint()
                .or_else(|| Some("check that the output folder is writable".to_owned())),
            Self::NotDeterministic { .. } => Some(
                "if the first output was taken over from an earlier run, run again with --no-cache"
                    .to_owned(),
            ),
            Self::NoRoom { .. } => {
                Some("measure on a machine with room for both, or lift its memory limit".to_owned())
            }
            Self::ForeignJournal { .. } | Self::JournalOrder { .. } | Self::EndedInvalid { .. } => {
                Some("run without --resume to begin again".to_owned())
            }
            Self::NoScenes | Self::ForeignPlan { .. } | Self::Spawn { .. } => None,
        }
    }
}

fn shown(token: Option<u32>) -> String {
    token.map_or_else(|| "the end".to_owned(), |id| id.to_string())
}
