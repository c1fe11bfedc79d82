//! Installs releases on an edge host so that there is never a moment without a model.
//!
//! In: a manifest and a models directory. Out: numbered generations of verified files behind one
//! symbolic link, whose rename is the only commit, and a journal of what was current when. Whatever
//! fails, what is installed stays as it was; what a crash leaves behind, the next run tidies up.
//! Loads no model: a smoke test is a function the command hands in.

mod adopt;
mod clock;
mod compose;
mod content;
mod decide;
mod disk;
pub mod doctor;
mod error;
pub mod events;
mod flip;
pub mod gc;
pub mod health;
pub mod install;
pub mod journal;
mod layout;
pub mod ledger;
mod links;
mod lock;
pub mod notify;
mod policy;
pub mod record;
mod recover;
pub mod rollback;
pub mod source;
mod stage;
pub mod status;
mod step;
pub mod verify;
mod version;

use std::io;
use std::path::Path;

pub use content::check_directory;
pub use error::{ContentProblem, Error, Refusal};
pub use layout::{Current, FLAG_FILE, INFO_FILE, Layout, VERSION_FILE};
pub use policy::{HealthRules, Policy, PolicyError};

use crate::durable;

/// Turns the system's word into the error of an operation on a path.
fn durable_failure(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| {
        Error::File(durable::Error {
            operation,
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
