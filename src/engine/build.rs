//! From a loaded network to the engine that runs it.

use super::{BitNet, Engine, Error, Quantized, Repacked, Setup, quantized};
use crate::hint::Hint;
use crate::model::{self, Network};

/// Why no engine could be made of a model that passed its checks.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The files could not be read again.
    #[error("the weights cannot be read")]
    Files(#[source] model::Error),
    /// candle refuses what the checks accept.
    #[error("candle refuses the model: {reason}")]
    Refused {
        /// candle's words.
        reason: String,
    },
    /// candle passed over a tensor, so it would compute another model.
    #[error("candle does not use tensor `{tensor}`")]
    Unused {
        /// Its name.
        tensor: String,
    },
    /// candle fixed its number of threads before.
    #[error("candle computes with {found} threads in this process, {wanted} wanted")]
    Threads {
        /// Threads asked for.
        wanted: usize,
        /// Threads that compute.
        found: usize,
    },
    /// The weights in compute layout are not those of the file.
    #[error(transparent)]
    Repacked(#[from] Repacked),
    /// The first tokens could not be computed.
    #[error("the first tokens cannot be computed")]
    First(#[source] Error),
}

impl Hint for BuildError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Files(error) => error.hint(),
            Self::First(error) => error.hint(),
            Self::Repacked(error) => error.hint(),
            Self::Threads { wanted, .. } => Some(format!(
                "set RAYON_NUM_THREADS to {wanted} before the program starts"
            )),
            Self::Refused { .. } | Self::Unused { .. } => None,
        }
    }
}

/// The engine a model needs, its weights taken over.
///
/// * `n_threads`: threads that compute, 1 to 64; `None` for one where that can be chosen, and
///   whatever candle has fixed where it cannot
///
/// # Errors
/// [`BuildError`]: of a ternary model only [`BuildError::Repacked`].
///
/// # Panics
/// As [`BitNet::checked`].
pub fn build(network: Network, n_threads: Option<usize>) -> Result<Box<dyn Engine>, BuildError> {
    match network {
        Network::BitNet { config, weights } => {
            let setup = Setup {
                n_threads: n_threads.unwrap_or(1),
                ..Setup::default()
            };
            Ok(Box::new(BitNet::checked(&config, weights, setup)?))
        }
        Network::Plain(model) => {
            let found = quantized::n_threads();
            if let Some(wanted) = n_threads.filter(|wanted| *wanted != found) {
                return Err(BuildError::Threads { wanted, found });
            }
            Ok(Box::new(Quantized::new(model)?))
        }
    }
}
