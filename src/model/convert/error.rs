//! Why a model could not be converted.

use std::path::PathBuf;

use super::Form;
use crate::artifact;
use crate::durable::shown;
use crate::hint::Hint;
use crate::model::gguf::GgmlType;

/// Why a model could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot be read, or is no ternary model.
    #[error(transparent)]
    Source(super::super::Error),
    /// Rows that are not whole blocks of the type asked for.
    #[error("tensor `{tensor}` has {values} {what}, {kind} has blocks of {block}")]
    Fit {
        /// The tensor as it would be named.
        tensor: String,
        /// What is counted: values of a row or of the whole.
        what: &'static str,
        /// How many there are.
        values: usize,
        /// Type asked for.
        kind: GgmlType,
        /// Values of a block.
        block: usize,
        /// Containers that would do.
        fitting: Vec<Form>,
    },
    /// A file could not be written.
    #[error("cannot write {}", shown(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The files written could not be digested.
    #[error("cannot digest what was written")]
    Digest(#[source] artifact::Error),
    /// What was written cannot be read: a bug.
    #[error("the model that was written cannot be read back")]
    Reread(#[source] super::super::Error),
    /// What was written is another model: a bug.
    #[error("the model that was written differs from its source in {what}")]
    Differs {
        /// What differs.
        what: String,
    },
}

impl Error {
    /// Whether it is a bug of this program.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Reread(_) | Self::Differs { .. })
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Fit { fitting, .. } => {
                let names: Vec<&str> = fitting.iter().map(|form| form.as_str()).collect();
                Some(format!(
                    "containers that fit: --to {}",
                    names.join(", --to ")
                ))
            }
            Self::Write { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Some("free some space on that file system and run the command again".into())
                }
                _ => None,
            },
            Self::Digest(error) => error.hint(),
            Self::Reread(_) | Self::Differs { .. } => {
                Some("this is a bug of vv-eval, nothing was kept; please report it".into())
            }
        }
    }
}
