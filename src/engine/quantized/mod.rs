//! Plain llama, qwen2 and qwen3 models, run through candle-transformers.
//!
//! Reference implementations followed: `quantized_llama`, `quantized_qwen2` and `quantized_qwen3`
//! of candle-transformers 0.11, and what they leave out is refused when a model is loaded.
//! [`Numerics::CpuDependent`]: candle chooses the order of sums, and the blocks in which it rounds
//! activations, by instruction set, by number of threads and by number of tokens in a call.
//! Does not support going back in the context, several contexts at once, or a choice of head
//! storage.

mod source;
#[cfg(test)]
mod tests;

use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2, quantized_qwen3};

use super::{BuildError, Engine, Error};
use crate::model::{Family, ModelConfig, Numerics, PlainModel};
use source::Source;

/// Tokens computed together. candle keeps a causal mask for every length it has seen, so this
/// bounds them: 64 bytes for every token of the context.
const CHUNK: usize = 64;

/// A plain model with its context.
pub struct Quantized {
    config: ModelConfig,
    model: Model,
    /// Tokens fed since the last reset.
    position: usize,
    /// Whether the tokens that follow must be fed one by one.
    is_single: bool,
    /// `[vocab]`, after the last token.
    logits: Vec<f32>,
}

/// candle's models, which have no common trait.
enum Model {
    Llama(Box<quantized_llama::ModelWeights>),
    Qwen2(Box<quantized_qwen2::ModelWeights>),
    Qwen3(Box<quantized_qwen3::ModelWeights>),
}

impl Model {
    fn forward(&mut self, ids: &Tensor, position: usize) -> candle_core::Result<Tensor> {
        match self {
            Self::Llama(model) => model.forward(ids, position),
            Self::Qwen2(model) => model.forward(ids, position),
            Self::Qwen3(model) => model.forward(ids, position),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Llama(model) => model.clear_kv_cache(),
            Self::Qwen2(model) => model.clear_kv_cache(),
            Self::Qwen3(model) => model.clear_kv_cache(),
        }
    }

    /// Whether a token fed alone is kept where later calls with several tokens do not look.
    fn forgets_singles(&self) -> bool {
        matches!(self, Self::Qwen3(_))
    }
}

/// Threads that candle computes with in this process: `RAYON_NUM_THREADS` when it first computed,
/// or else the number of cores.
pub fn n_threads() -> usize {
    candle_core::utils::get_num_threads()
}

impl Quantized {
    /// Reads the weights of a checked model and computes its first tokens, so that the copies
    /// candle makes of weights at their first product are made, and all memory is taken.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn new(plain: PlainModel) -> Result<Self, BuildError> {
        let model = read(&plain)?;
        let mut engine = Self {
            logits: Vec::with_capacity(plain.config.vocab_size),
            config: plain.config,
            model,
            position: 0,
            is_single: false,
        };
        engine.warm_up().map_err(BuildError::First)?;
        Ok(engine)
    }

    /// Kernels for one token and for many have copies of their own.
    fn warm_up(&mut self) -> Result<(), Error> {
        let (vocab, n) = (self.config.vocab_size, self.config.max_positions.min(CHUNK));
        let ids: Vec<u32> = (0..n)
            .map(|i| u32::try_from(i % vocab).expect("token ids fit u32"))
            .collect();
        for ids in [&ids[..], &ids[..1]] {
            let last = ids.len() - 1;
            super::check_finite(self.feed(ids)?, last)?;
            self.reset();
        }
        Ok(())
    }

    fn admit(&self, ids: &[u32]) -> Result<(), Error> {
        assert!(!ids.is_empty(), "a feed holds at least one token");
        let vocab_size = self.config.vocab_size;
        if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(Error::UnknownToken { id, vocab_size });
        }
        self.check_room(self.position + ids.len())
    }

    fn check_room(&self, wanted: usize) -> Result<(), Error> {
        let limit = self.config.max_positions;
        if wanted > limit {
            return Err(Error::ContextFull { limit, wanted });
        }
        Ok(())
    }

    /// One call of candle: appends `ids` and leaves the logits after the last of them.
    fn step(&mut self, ids: &[u32]) -> Result<(), Error> {
        let position = self.position;
        let computed = Device::Cpu.with_context(|| {
            let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
            self.model
                .forward(&input, position)?
                .flatten_all()?
                .to_vec1()
        });
        let logits: Vec<f32> = match computed {
            Ok(logits) => logits,
            Err(error) => {
                // Some layers hold the tokens by now and others do not.
                self.reset();
                return Err(Error::Library {
                    reason: error.to_string(),
                });
            }
        };
        assert_eq!(logits.len(), self.config.vocab_size, "one logit per token");
        self.logits = logits;
        self.position += ids.len();
        self.is_single |= ids.len() == 1 && self.model.forgets_singles();
        Ok(())
    }
}

/// Gives candle the model's tensors, and makes sure that it took all of them.
fn read(plain: &PlainModel) -> Result<Model, BuildError> {
    let mut source = Source::new(plain.gguf());
    let content = source.content(&plain.config);
    let cpu = &Device::Cpu;
    let model = match plain.config.family {
        Family::Llama => quantized_llama::ModelWeights::from_gguf(content, &mut source, cpu)
            .map(|model| Model::Llama(Box::new(model))),
        Family::Qwen2 => quantized_qwen2::ModelWeights::from_gguf(content, &mut source, cpu)
            .map(|model| Model::Qwen2(Box::new(model))),
        Family::Qwen3 => quantized_qwen3::ModelWeights::from_gguf(content, &mut source, cpu)
            .map(|model| Model::Qwen3(Box::new(model))),
        Family::BitNet | Family::LlamaBitNet => {
            unreachable!("plain models are of another family")
        }
    };
    let unused = source.into_unused().map_err(BuildError::Files)?;
    let model = model.map_err(|error| BuildError::Refused {
        reason: error.to_string(),
    })?;
    match unused {
        None => Ok(model),
        Some(tensor) => Err(BuildError::Unused {
            tensor: tensor.to_owned(),
        }),
    }
}

impl Engine for Quantized {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_limit(&self) -> usize {
        self.config.max_positions
    }

    fn numerics(&self) -> Numerics {
        Numerics::CpuDependent
    }

    fn position(&self) -> usize {
        self.position
    }

    fn reset(&mut self) {
        self.model.clear();
        self.position = 0;
        self.is_single = false;
    }

    /// Only checks: candle takes memory as the context grows.
    fn reserve(&mut self, tokens: usize) -> Result<(), Error> {
        self.check_room(tokens)
    }

    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.admit(ids)?;
        let mut rest = ids;
        while !rest.is_empty() {
            let n = if self.is_single { 1 } else { CHUNK };
            let (now, later) = rest.split_at(n.min(rest.len()));
            self.step(now)?;
            rest = later;
        }
        Ok(&self.logits)
    }

    /// Token by token, because candle gives the logits of the last one only.
    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.admit(ids)?;
        logits.clear();
        logits.reserve(ids.len() * self.config.vocab_size);
        for id in ids {
            self.step(&[*id])?;
            logits.extend_from_slice(&self.logits);
        }
        Ok(())
    }
}
