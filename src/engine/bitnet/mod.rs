//! The BitNet b1.58 forward pass.
//!
//! Paper: Ma et al. (2024), "The Era of 1-bit LLMs"; reference implementation followed:
//! transformers, `models/bitnet/modeling_bitnet.py` with `integrations/bitnet.py`, in f32.
//! Also runs Llama-type BitNet models, which lack the norms before `o` and `down`.
//! Does not support q/k norms, rope scaling, biases, or activations of other than 8 bits.
//!
//! Every step treats each token by itself or reads the cache, so splitting the input differently,
//! feeding sequences together, other threads or another instruction set give the same bits.

mod cache;
mod check;
mod forward;
#[cfg(test)]
mod tests;
mod trace;

pub use check::Repacked;
pub use trace::{Input, Projection, Stage, Trace};

use super::kernels::float::rms_norm;
use super::kernels::head::{HeadInput, logits};
use super::kernels::pack::PackedMatrix;
use super::kernels::pool::Pool;
use super::kernels::quantize::{MAX_TOKENS, Quantized, TILE};
use super::kernels::{Kernel, Split};
use super::rope::RopeTable;
use super::{Batch, Engine, Error, Rewind};
use crate::model::arena::{Arena, Slab};
use crate::model::{LayerWeights, ModelConfig, Table, TernaryMatrix, Weights};
use cache::Cache;
use forward::Pass;

/// Tokens computed together; bounds the scratch memory of a long prompt.
const CHUNK: usize = MAX_TOKENS;

/// Rows of the head handed to a thread come in multiples of this.
const HEAD_ROWS: usize = 16;

/// How an engine computes; no choice changes a bit of its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Instruction set.
    pub kernel: Kernel,
    /// Threads, the caller's included; 1 to 64.
    pub n_threads: usize,
}

impl Default for Setup {
    /// The kernel of this process, one thread.
    fn default() -> Self {
        Self {
            kernel: Kernel::chosen(),
            n_threads: 1,
        }
    }
}

/// A BitNet model with its contexts.
pub struct BitNet {
    config: ModelConfig,
    kernel: Kernel,
    pool: Pool,
    /// `[vocab, hidden]`, also the head when `head` is `None`.
    embedding: Table,
    head: Option<Table>,
    final_norm: Vec<f32>,
    layers: Vec<Layer>,
    cache: Cache,
    rope: RopeTable,
    scratch: Scratch,
    /// Tokens of the chunk being computed.
    tokens: Vec<Token>,
    /// `[sequences, vocab]`
    logits: Vec<f32>,
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    sequence: usize,
    position: usize,
}

/// One layer in compute layout.
struct Layer {
    input_norm: Vec<f32>,
    post_norm: Vec<f32>,
    attn_sub_norm: Option<Vec<f32>>,
    ffn_sub_norm: Option<Vec<f32>>,
    q: PackedMatrix,
    k: PackedMatrix,
    v: PackedMatrix,
    o: PackedMatrix,
    gate: PackedMatrix,
    up: PackedMatrix,
    down: PackedMatrix,
}

impl Layer {
    /// Repacks matrix by matrix; each source is given back before the next copy is made.
    ///
    /// * `n`: number of the layer, for messages
    fn new(
        arena: &mut Arena,
        kernel: Kernel,
        n: usize,
        weights: LayerWeights,
    ) -> Result<Self, Repacked> {
        let mut pack = |projection, matrix: TernaryMatrix| {
            let packed = PackedMatrix::in_arena(arena, &matrix);
            let difference = matrix
                .witness()
                .and_then(|witness| check::difference(kernel, &packed, witness));
            match difference {
                None => Ok(packed),
                Some((row, expected, found)) => Err(Repacked {
                    layer: n,
                    projection,
                    row,
                    expected,
                    found,
                }),
            }
        };
        Ok(Self {
            q: pack("self_attn.q_proj", weights.q)?,
            k: pack("self_attn.k_proj", weights.k)?,
            v: pack("self_attn.v_proj", weights.v)?,
            o: pack("self_attn.o_proj", weights.o)?,
            gate: pack("mlp.gate_proj", weights.gate)?,
            up: pack("mlp.up_proj", weights.up)?,
            down: pack("mlp.down_proj", weights.down)?,
            input_norm: weights.input_norm,
            post_norm: weights.post_norm,
            attn_sub_norm: weights.attn_sub_norm,
            ffn_sub_norm: weights.ffn_sub_norm,
        })
    }
}

/// Buffers of one chunk, all in one arena.
struct Scratch {
    /// Residual stream `[tokens, hidden]`.
    x: Slab<f32>,
    /// Normed values, `[threads, widest]`.
    rows: Slab<f32>,
    quantized: Quantized,
    q: Slab<f32>,
    k: Slab<f32>,
    v: Slab<f32>,
    /// `[tokens, heads * head_dim]`
    attended: Slab<f32>,
    gate: Slab<f32>,
    up: Slab<f32>,
    head: HeadInput,
    /// Attention weights, `[threads, heads per key head * capacity]`.
    weights: Vec<f32>,
}

impl Scratch {
    fn new(config: &ModelConfig, n_threads: usize) -> Self {
        let (hidden, inter) = (config.hidden_size, config.intermediate_size);
        let (q_width, kv_width) = (config.q_width(), config.kv_width());
        let widest = hidden.max(inter).max(q_width);
        let widths = [hidden, q_width, kv_width, kv_width, q_width, inter, inter];
        let floats = widths.iter().map(|width| Arena::room::<f32>(CHUNK * width));
        let room = floats.sum::<usize>()
            + Arena::room::<f32>(n_threads * widest)
            + Quantized::room(CHUNK, widest)
            + HeadInput::room(hidden);
        let arena = &mut Arena::new(room);
        let [x, q, k, v, attended, gate, up] = widths.map(|width| arena.take(CHUNK * width));
        Self {
            x,
            rows: arena.take(n_threads * widest),
            quantized: Quantized::in_arena(arena, CHUNK, widest),
            q,
            k,
            v,
            attended,
            gate,
            up,
            head: HeadInput::in_arena(arena, hidden),
            weights: Vec::new(),
        }
    }
}

impl BitNet {
    /// Takes over the weights of a bundle; only the compute layout stays in memory.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn new(config: &ModelConfig, weights: Weights) -> Self {
        Self::with(config, weights, Setup::default())
    }

    /// As [`new`](Self::new), with a given kernel and number of threads.
    ///
    /// # Panics
    /// When [`checked`](Self::checked) gives an error or panics.
    pub fn with(config: &ModelConfig, weights: Weights, setup: Setup) -> Self {
        Self::checked(config, weights, setup).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`with`](Self::with). Matrices that bring a [`Witness`](crate::model::Witness), three of
    /// every model that was read from files, are multiplied once and held against it.
    ///
    /// # Errors
    /// [`Repacked`]: the weights are not those of the file.
    ///
    /// # Panics
    /// When the number of threads is not 1 to 64, or the system refuses memory or a thread.
    pub fn checked(config: &ModelConfig, weights: Weights, setup: Setup) -> Result<Self, Repacked> {
        let matrices = weights.layers.iter().flat_map(LayerWeights::projections);
        let room = matrices.map(|(_, matrix)| PackedMatrix::room(matrix)).sum();
        let arena = &mut Arena::new(room);
        let layers = weights.layers.into_iter().enumerate();
        let layers = layers
            .map(|(n, layer)| Layer::new(arena, setup.kernel, n, layer))
            .collect::<Result<_, Repacked>>()?;
        Ok(Self {
            config: config.clone(),
            kernel: setup.kernel,
            pool: Pool::new(setup.n_threads),
            embedding: weights.embedding,
            head: weights.head,
            final_norm: weights.final_norm,
            layers,
            cache: Cache::new(config),
            rope: RopeTable::new(config.rope_theta, config.head_dim),
            scratch: Scratch::new(config, setup.n_threads),
            tokens: Vec::with_capacity(CHUNK),
            logits: vec![0.0; config.vocab_size],
        })
    }

    /// How it computes.
    pub fn setup(&self) -> Setup {
        Setup {
            kernel: self.kernel,
            n_threads: self.pool.n_threads(),
        }
    }

    /// Bytes read for every token decoded by itself: packed weights and the head.
    pub fn bytes_per_token(&self) -> usize {
        let matrices = self.layers.iter().flat_map(|l| {
            [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down].map(PackedMatrix::bytes)
        });
        matrices.sum::<usize>() + self.head.as_ref().unwrap_or(&self.embedding).bytes()
    }

    /// As [`feed`](Engine::feed), with inner values shown to `trace`.
    ///
    /// # Errors
    /// As [`feed`](Engine::feed).
    ///
    /// # Panics
    /// When `ids` is empty.
    pub fn feed_traced<T: Trace>(&mut self, ids: &[u32], trace: &mut T) -> Result<&[f32], Error> {
        self.feed_to(0, ids, trace)
    }

    fn feed_to<T: Trace>(
        &mut self,
        sequence: usize,
        ids: &[u32],
        trace: &mut T,
    ) -> Result<&[f32], Error> {
        self.admit(sequence, ids)?;
        let mut last = 0;
        for chunk in ids.chunks(CHUNK) {
            last = chunk.len() - 1;
            self.forward_sequence(sequence, chunk, trace);
        }
        let vocab_size = self.config.vocab_size;
        let mut out = std::mem::take(&mut self.logits);
        self.logits_of(last..last + 1, &mut out[..vocab_size]);
        self.logits = out;
        Ok(&self.logits[..vocab_size])
    }

    /// Checks ids and room, and grows the cache if nobody reserved enough.
    fn admit(&mut self, sequence: usize, ids: &[u32]) -> Result<(), Error> {
        assert!(!ids.is_empty(), "a feed holds at least one token");
        self.check_ids(ids)?;
        let wanted = self.cache.length(sequence) + ids.len();
        self.make_room(wanted)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), Error> {
        let vocab_size = self.config.vocab_size;
        match ids.iter().find(|id| **id as usize >= vocab_size) {
            None => Ok(()),
            Some(&id) => Err(Error::UnknownToken { id, vocab_size }),
        }
    }

    /// Room for a sequence of `wanted` tokens.
    fn make_room(&mut self, wanted: usize) -> Result<(), Error> {
        let limit = self.config.max_positions;
        if wanted > limit {
            return Err(Error::ContextFull { limit, wanted });
        }
        if wanted > self.cache.capacity() {
            let capacity = wanted.max(2 * self.cache.capacity()).min(limit);
            self.cache.grow(capacity);
            self.ready_for(capacity);
        }
        Ok(())
    }

    /// Makes everything beside the cache as long as its capacity.
    fn ready_for(&mut self, capacity: usize) {
        self.rope.grow(capacity);
        let size = self.pool.n_threads() * self.config.group() * capacity;
        if size > self.scratch.weights.len() {
            self.scratch.weights.resize(size, 0.0);
        }
    }

    /// Runs a chunk of one sequence through the layers.
    fn forward_sequence<T: Trace>(&mut self, sequence: usize, ids: &[u32], trace: &mut T) {
        let first = self.cache.length(sequence);
        self.tokens.clear();
        self.tokens
            .extend((first..first + ids.len()).map(|position| Token { sequence, position }));
        self.forward(ids, trace);
        self.cache.set_length(sequence, first + ids.len());
    }

    /// Runs at most [`CHUNK`] tokens, placed by `self.tokens`, through the layers; leaves the
    /// residual stream in the scratch.
    fn forward<T: Trace>(&mut self, ids: &[u32], trace: &mut T) {
        let hidden = self.config.hidden_size;
        for (id, x) in ids.iter().zip(self.scratch.x.chunks_exact_mut(hidden)) {
            self.embedding.read(*id as usize, x);
        }
        let mut pass = Pass {
            config: &self.config,
            kernel: self.kernel,
            pool: &mut self.pool,
            rope: &self.rope,
            cache: &mut self.cache,
            scratch: &mut self.scratch,
            tokens: &self.tokens,
        };
        for (n, layer) in self.layers.iter().enumerate() {
            pass.layer(n, layer, trace);
        }
    }

    /// Logits of some tokens of the chunk last computed, `[tokens, vocab]`.
    fn logits_of(&mut self, tokens: std::ops::Range<usize>, out: &mut [f32]) {
        let (hidden, vocab_size) = (self.config.hidden_size, self.config.vocab_size);
        let (kernel, eps) = (self.kernel, self.config.rms_norm_eps);
        let table = self.head.as_ref().unwrap_or(&self.embedding);
        let x = &self.scratch.x[tokens.start * hidden..tokens.end * hidden];
        let tiles = x
            .chunks(TILE * hidden)
            .zip(out.chunks_mut(TILE * vocab_size));
        for (x, out) in tiles {
            let input = &mut self.scratch.head;
            let normed = input.begin(x.len() / hidden).chunks_exact_mut(hidden);
            for (x, normed) in x.chunks_exact(hidden).zip(normed) {
                rms_norm(kernel, x, &self.final_norm, eps, normed);
            }
            input.finish(kernel, table);
            let input = &*input;
            let out = Split::new(out, vocab_size, self.pool.n_threads(), HEAD_ROWS);
            self.pool
                .run(|thread| logits(kernel, table, input, &mut out.take(thread)));
        }
    }
}

impl Engine for BitNet {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_limit(&self) -> usize {
        self.config.max_positions
    }

    fn position(&self) -> usize {
        self.cache.length(0)
    }

    fn reset(&mut self) {
        self.cache.set_length(0, 0);
    }

    fn reserve(&mut self, tokens: usize) -> Result<(), Error> {
        let limit = self.config.max_positions;
        if tokens > limit {
            return Err(Error::ContextFull {
                limit,
                wanted: tokens,
            });
        }
        if tokens > self.cache.capacity() {
            self.cache.grow(tokens);
            self.ready_for(tokens);
        }
        Ok(())
    }

    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.feed_to(0, ids, &mut ())
    }

    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.admit(0, ids)?;
        let vocab_size = self.config.vocab_size;
        logits.resize(ids.len() * vocab_size, 0.0);
        for (chunk, rows) in ids.chunks(CHUNK).zip(logits.chunks_mut(CHUNK * vocab_size)) {
            self.forward_sequence(0, chunk, &mut ());
            self.logits_of(0..chunk.len(), rows);
        }
        Ok(())
    }

    fn as_batch(&mut self) -> Option<&mut dyn Batch> {
        Some(self)
    }

    fn as_rewind(&mut self) -> Option<&mut dyn Rewind> {
        Some(self)
    }
}

impl Batch for BitNet {
    fn open(&mut self, n: usize, tokens: usize) -> Result<(), Error> {
        assert!(n > 0, "there is a sequence");
        let limit = self.config.max_positions;
        if tokens > limit {
            return Err(Error::ContextFull {
                limit,
                wanted: tokens,
            });
        }
        self.cache.open(n, tokens);
        self.ready_for(tokens);
        let size = n * self.config.vocab_size;
        if size > self.logits.len() {
            self.logits.resize(size, 0.0);
        }
        Ok(())
    }

    fn copy_prefix(&mut self, from: usize, to: usize, tokens: usize) {
        self.cache.copy_prefix(from, to, tokens);
    }

    fn feed_sequence(&mut self, sequence: usize, ids: &[u32]) -> Result<&[f32], Error> {
        assert!(sequence < self.cache.n_sequences(), "the sequence is open");
        self.feed_to(sequence, ids, &mut ())
    }

    fn feed_each(&mut self, next: &[(usize, u32)]) -> Result<&[f32], Error> {
        assert!(!next.is_empty(), "a feed holds at least one token");
        let mut longest = 0;
        for (i, &(sequence, id)) in next.iter().enumerate() {
            assert!(sequence < self.cache.n_sequences(), "the sequence is open");
            let is_new = next[..i].iter().all(|(earlier, _)| *earlier != sequence);
            assert!(is_new, "a sequence is fed once");
            self.check_ids(&[id])?;
            longest = longest.max(self.cache.length(sequence) + 1);
        }
        self.make_room(longest)?;
        let vocab_size = self.config.vocab_size;
        let mut out = std::mem::take(&mut self.logits);
        let mut ids = [0; CHUNK];
        for (next, out) in next.chunks(CHUNK).zip(out.chunks_mut(CHUNK * vocab_size)) {
            self.tokens.clear();
            for (&(sequence, id), place) in next.iter().zip(&mut ids) {
                *place = id;
                let position = self.cache.length(sequence);
                self.tokens.push(Token { sequence, position });
            }
            self.forward(&ids[..next.len()], &mut ());
            for &(sequence, _) in next {
                self.cache
                    .set_length(sequence, self.cache.length(sequence) + 1);
            }
            self.logits_of(0..next.len(), &mut out[..next.len() * vocab_size]);
        }
        self.logits = out;
        Ok(&self.logits[..next.len() * vocab_size])
    }
}

impl Rewind for BitNet {
    fn rewind(&mut self, tokens: usize) {
        let length = self.cache.length(0);
        assert!(
            tokens <= length,
            "only tokens that were fed can be taken back"
        );
        self.cache.set_length(0, length - tokens);
    }
}
