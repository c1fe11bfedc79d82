//! The BitNet b1.58 forward pass.
//!
//! Paper: Ma et al. (2024), "The Era of 1-bit LLMs"; reference implementation followed:
//! transformers, `models/bitnet/modeling_bitnet.py` with `integrations/bitnet.py`, in f32.
//! Also runs Llama-type BitNet models, which lack the norms before `o` and `down`.
//! Does not support q/k norms, rope scaling, biases, or activations of other than 8 bits.
//!
//! Every step treats each token by itself or reads the cache, so splitting the input differently
//! gives the same bits.

use super::kernels::float::{dot, exp, rms_norm, softmax_weights};
use super::kernels::pack::PackedMatrix;
use super::kernels::scalar::{Quantized, products};
use super::rope::RopeTable;
use super::{Engine, Error, Rewind};
use crate::model::{Activation, LayerWeights, ModelConfig, Table, TernaryMatrix, Weights};

/// Tokens computed together; bounds the scratch memory of a long prompt.
const CHUNK: usize = 64;

/// One of the seven ternary products of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Attention output.
    O,
    /// Gate of the feed-forward layer.
    Gate,
    /// The values it gates.
    Up,
    /// Feed-forward output.
    Down,
}

/// A quantized input; some serve several products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Of q, k and v.
    Attention,
    /// Of o.
    Output,
    /// Of gate and up.
    Mlp,
    /// Of down.
    Down,
}

/// A float value inside a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Queries after rope, `[tokens, heads, head_dim]`.
    Queries,
    /// Keys after rope, `[tokens, kv_heads, head_dim]`.
    Keys,
    /// Attention result before its norm, `[tokens, heads * head_dim]`.
    Attended,
    /// Residual stream after the layer, `[tokens, hidden]`.
    Layer,
}

/// Watches inner values, for parity with another implementation; `()` watches nothing and costs
/// nothing. Called once per chunk of at most 64 tokens.
pub trait Trace {
    /// A quantized input.
    fn quantized(&mut self, _layer: usize, _input: Input, _values: &Quantized) {}
    /// Integer sums `[tokens, n_out]` of a product.
    fn sums(&mut self, _layer: usize, _projection: Projection, _sums: &[i32]) {}
    /// Float values.
    fn floats(&mut self, _layer: usize, _stage: Stage, _values: &[f32]) {}
}

impl Trace for () {}

/// A BitNet model with one context.
pub struct BitNet {
    config: ModelConfig,
    /// `[vocab, hidden]`, also the head when `head` is `None`.
    embedding: Table,
    head: Option<Table>,
    final_norm: Vec<f32>,
    layers: Vec<Layer>,
    caches: Vec<Cache>,
    rope: RopeTable,
    scratch: Scratch,
    /// `[vocab]`
    logits: Vec<f32>,
    position: usize,
    capacity: usize,
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
    /// Repacks matrix by matrix; each source is dropped before the next copy is made.
    fn new(weights: LayerWeights) -> Self {
        let pack = |matrix: TernaryMatrix| PackedMatrix::new(&matrix);
        Self {
            input_norm: weights.input_norm,
            post_norm: weights.post_norm,
            attn_sub_norm: weights.attn_sub_norm,
            ffn_sub_norm: weights.ffn_sub_norm,
            q: pack(weights.q),
            k: pack(weights.k),
            v: pack(weights.v),
            o: pack(weights.o),
            gate: pack(weights.gate),
            up: pack(weights.up),
            down: pack(weights.down),
        }
    }
}

/// Keys and values of one layer, both `[kv_heads, capacity, head_dim]`.
#[derive(Default)]
struct Cache {
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Buffers of one chunk; they keep their capacity.
struct Scratch {
    /// Residual stream `[tokens, hidden]`.
    x: Vec<f32>,
    /// Normed values, `[tokens, widest]`.
    normed: Vec<f32>,
    quantized: Quantized,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// `[tokens, heads * head_dim]`
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Output of `o` and `down`, `[tokens, hidden]`.
    branch: Vec<f32>,
    /// `[positions]`
    scores: Vec<f32>,
    product: Product,
}

/// Buffers of one ternary product.
struct Product {
    unpacked: Vec<i16>,
    /// `[tokens, n_out]`
    sums: Vec<i32>,
}

impl BitNet {
    /// Takes over the weights of a bundle; only the compute layout stays in memory.
    pub fn new(config: &ModelConfig, weights: Weights) -> Self {
        let ModelConfig {
            hidden_size: hidden,
            intermediate_size: inter,
            ..
        } = *config;
        let (q_width, kv_width) = (config.q_width(), config.kv_width());
        let widest = hidden.max(inter).max(q_width);
        let room = |width: usize| Vec::with_capacity(CHUNK * width);
        Self {
            config: config.clone(),
            embedding: weights.embedding,
            head: weights.head,
            final_norm: weights.final_norm,
            layers: weights.layers.into_iter().map(Layer::new).collect(),
            caches: (0..config.n_layers).map(|_| Cache::default()).collect(),
            rope: RopeTable::new(config.rope_theta, config.head_dim),
            scratch: Scratch {
                x: room(hidden),
                normed: room(widest),
                quantized: Quantized::with_capacity(CHUNK, widest),
                q: room(q_width),
                k: room(kv_width),
                v: room(kv_width),
                attended: room(q_width),
                gate: room(inter),
                up: room(inter),
                branch: room(hidden),
                scores: Vec::new(),
                product: Product {
                    unpacked: Vec::with_capacity(widest.next_multiple_of(256)),
                    sums: Vec::with_capacity(CHUNK * widest.max(kv_width)),
                },
            },
            logits: vec![0.0; config.vocab_size],
            position: 0,
            capacity: 0,
        }
    }

    /// As [`feed`](Engine::feed), with inner values shown to `trace`.
    ///
    /// # Errors
    /// As [`feed`](Engine::feed).
    ///
    /// # Panics
    /// When `ids` is empty.
    pub fn feed_traced<T: Trace>(&mut self, ids: &[u32], trace: &mut T) -> Result<&[f32], Error> {
        self.admit(ids)?;
        for chunk in ids.chunks(CHUNK) {
            self.forward(chunk, trace);
        }
        let hidden = self.config.hidden_size;
        let last = self.scratch.x.len() - hidden;
        let h = &mut self.scratch.normed;
        h.resize(hidden, 0.0);
        rms_norm(
            &self.scratch.x[last..],
            &self.final_norm,
            self.config.rms_norm_eps,
            h,
        );
        head(
            self.head.as_ref().unwrap_or(&self.embedding),
            h,
            &mut self.logits,
        );
        Ok(&self.logits)
    }

    /// Checks ids and room, and grows the cache if nobody reserved enough.
    fn admit(&mut self, ids: &[u32]) -> Result<(), Error> {
        assert!(!ids.is_empty(), "a feed holds at least one token");
        let vocab_size = self.config.vocab_size;
        if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(Error::UnknownToken { id, vocab_size });
        }
        let wanted = self.position + ids.len();
        let limit = self.config.max_positions;
        if wanted > limit {
            return Err(Error::ContextFull { limit, wanted });
        }
        if wanted > self.capacity {
            self.grow(wanted.max(2 * self.capacity).min(limit));
        }
        Ok(())
    }

    fn grow(&mut self, capacity: usize) {
        let width = self.config.head_dim;
        let (old, used) = (self.capacity * width, self.position * width);
        let extend = |from: &mut Vec<f32>| {
            let mut to = vec![0.0; self.config.n_kv_heads * capacity * width];
            for head in 0..self.config.n_kv_heads {
                let kept = &from[head * old..][..used];
                to[head * capacity * width..][..used].copy_from_slice(kept);
            }
            *from = to;
        };
        for cache in &mut self.caches {
            extend(&mut cache.k);
            extend(&mut cache.v);
        }
        self.rope.grow(capacity);
        self.scratch.scores.resize(capacity, 0.0);
        self.capacity = capacity;
    }

    /// Runs all layers over at most [`CHUNK`] tokens; leaves the residual stream in the scratch.
    fn forward<T: Trace>(&mut self, ids: &[u32], trace: &mut T) {
        let hidden = self.config.hidden_size;
        let s = &mut self.scratch;
        s.x.clear();
        for id in ids {
            let start = s.x.len();
            s.x.resize(start + hidden, 0.0);
            self.embedding.read(*id as usize, &mut s.x[start..]);
        }
        let context = Context {
            config: &self.config,
            rope: &self.rope,
            first: self.position,
            capacity: self.capacity,
        };
        for (n, (layer, cache)) in self.layers.iter().zip(&mut self.caches).enumerate() {
            attention(&context, n, layer, cache, s, trace);
            feed_forward(&context, n, layer, s, trace);
            trace.floats(n, Stage::Layer, &s.x);
        }
        self.position += ids.len();
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
        self.position
    }

    fn reset(&mut self) {
        self.position = 0;
    }

    fn reserve(&mut self, tokens: usize) -> Result<(), Error> {
        let limit = self.config.max_positions;
        if tokens > limit {
            return Err(Error::ContextFull {
                limit,
                wanted: tokens,
            });
        }
        if tokens > self.capacity {
            self.grow(tokens);
        }
        Ok(())
    }

    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.feed_traced(ids, &mut ())
    }

    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.admit(ids)?;
        let ModelConfig {
            hidden_size: hidden,
            vocab_size,
            ..
        } = self.config;
        logits.clear();
        logits.resize(ids.len() * vocab_size, 0.0);
        let mut rows = logits.chunks_exact_mut(vocab_size);
        for chunk in ids.chunks(CHUNK) {
            self.forward(chunk, &mut ());
            let table = self.head.as_ref().unwrap_or(&self.embedding);
            let h = &mut self.scratch.normed;
            h.resize(hidden, 0.0);
            for (x, row) in self.scratch.x.chunks_exact(hidden).zip(&mut rows) {
                rms_norm(x, &self.final_norm, self.config.rms_norm_eps, h);
                head(table, h, row);
            }
        }
        Ok(())
    }
}

impl Rewind for BitNet {
    fn rewind(&mut self, tokens: usize) {
        assert!(
            tokens <= self.position,
            "only tokens that were fed can be taken back"
        );
        self.position -= tokens;
    }
}

/// What the layers share during one chunk.
struct Context<'a> {
    config: &'a ModelConfig,
    rope: &'a RopeTable,
    /// Position of the chunk's first token.
    first: usize,
    /// Positions of the cache.
    capacity: usize,
}

/// `x += o(norm(attend(rope(q), rope(k), v)))` with q, k, v of `norm(x)`.
fn attention<T: Trace>(
    context: &Context<'_>,
    n: usize,
    layer: &Layer,
    cache: &mut Cache,
    s: &mut Scratch,
    trace: &mut T,
) {
    let ModelConfig {
        hidden_size: hidden,
        head_dim,
        rms_norm_eps: eps,
        ..
    } = *context.config;
    let (q_width, kv_width) = (context.config.q_width(), context.config.kv_width());
    norm_rows(&s.x, &layer.input_norm, eps, &mut s.normed);
    s.quantized.fill(&s.normed, hidden);
    trace.quantized(n, Input::Attention, &s.quantized);
    for (projection, weights, out) in [
        (Projection::Q, &layer.q, &mut s.q),
        (Projection::K, &layer.k, &mut s.k),
        (Projection::V, &layer.v, &mut s.v),
    ] {
        s.product.run(weights, &s.quantized, out);
        trace.sums(n, projection, &s.product.sums);
    }

    for (rows, width) in [(&mut s.q, q_width), (&mut s.k, kv_width)] {
        for (token, row) in rows.chunks_exact_mut(width).enumerate() {
            for head in row.chunks_exact_mut(head_dim) {
                context.rope.rotate(head, context.first + token);
            }
        }
    }
    trace.floats(n, Stage::Queries, &s.q);
    trace.floats(n, Stage::Keys, &s.k);

    for (rows, cache) in [(&s.k, &mut cache.k), (&s.v, &mut cache.v)] {
        for (token, row) in rows.chunks_exact(kv_width).enumerate() {
            for (head, values) in row.chunks_exact(head_dim).enumerate() {
                let at = (head * context.capacity + context.first + token) * head_dim;
                cache[at..][..head_dim].copy_from_slice(values);
            }
        }
    }
    attend(context, cache, &s.q, &mut s.scores, &mut s.attended);
    trace.floats(n, Stage::Attended, &s.attended);

    let input = match &layer.attn_sub_norm {
        Some(gains) => {
            norm_rows(&s.attended, gains, eps, &mut s.normed);
            &s.normed
        }
        None => &s.attended,
    };
    s.quantized.fill(input, q_width);
    trace.quantized(n, Input::Output, &s.quantized);
    s.product.run(&layer.o, &s.quantized, &mut s.branch);
    trace.sums(n, Projection::O, &s.product.sums);
    add(&mut s.x, &s.branch);
}

/// Causal attention of every query over the cache, `[tokens, heads * head_dim]`.
fn attend(context: &Context<'_>, cache: &Cache, q: &[f32], scores: &mut [f32], out: &mut Vec<f32>) {
    let ModelConfig {
        n_heads,
        n_kv_heads,
        head_dim,
        ..
    } = *context.config;
    let scale = 1.0 / (head_dim as f32).sqrt();
    out.clear();
    out.resize(q.len(), 0.0);
    let heads = q.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
    for (i, (query, out)) in heads.enumerate() {
        let (token, head) = (i / n_heads, i % n_heads);
        let n_positions = context.first + token + 1;
        let start = head / (n_heads / n_kv_heads) * context.capacity * head_dim;
        let keys = &cache.k[start..][..n_positions * head_dim];
        let values = &cache.v[start..][..n_positions * head_dim];
        let weights = &mut scores[..n_positions];
        for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(head_dim)) {
            *weight = dot(query, key) * scale;
        }
        let inverse = 1.0 / softmax_weights(weights);
        for (weight, value) in weights.iter().zip(values.chunks_exact(head_dim)) {
            for (out, v) in out.iter_mut().zip(value) {
                *out += weight * v;
            }
        }
        for out in out {
            *out *= inverse;
        }
    }
}

/// `x += down(norm(act(gate(h)) * up(h)))` with `h = norm(x)`; f32 throughout, because squared
/// values overflow f16.
fn feed_forward<T: Trace>(
    context: &Context<'_>,
    n: usize,
    layer: &Layer,
    s: &mut Scratch,
    trace: &mut T,
) {
    let ModelConfig {
        hidden_size: hidden,
        intermediate_size: inter,
        ..
    } = *context.config;
    let eps = context.config.rms_norm_eps;
    norm_rows(&s.x, &layer.post_norm, eps, &mut s.normed);
    s.quantized.fill(&s.normed, hidden);
    trace.quantized(n, Input::Mlp, &s.quantized);
    for (projection, weights, out) in [
        (Projection::Gate, &layer.gate, &mut s.gate),
        (Projection::Up, &layer.up, &mut s.up),
    ] {
        s.product.run(weights, &s.quantized, out);
        trace.sums(n, projection, &s.product.sums);
    }
    gate(context.config.act, &mut s.gate, &s.up);

    let input = match &layer.ffn_sub_norm {
        Some(gains) => {
            norm_rows(&s.gate, gains, eps, &mut s.normed);
            &s.normed
        }
        None => &s.gate,
    };
    s.quantized.fill(input, inter);
    trace.quantized(n, Input::Down, &s.quantized);
    s.product.run(&layer.down, &s.quantized, &mut s.branch);
    trace.sums(n, Projection::Down, &s.product.sums);
    add(&mut s.x, &s.branch);
}

/// `z = act(z) * up`
fn gate(act: Activation, z: &mut [f32], up: &[f32]) {
    match act {
        Activation::Relu2 => {
            for (z, up) in z.iter_mut().zip(up) {
                // A comparison, because `max` would turn NaN into 0.
                let positive = if *z < 0.0 { 0.0 } else { *z };
                *z = positive * positive * up;
            }
        }
        Activation::Silu => {
            for (z, up) in z.iter_mut().zip(up) {
                *z = *z / (1.0 + exp(-*z)) * up;
            }
        }
    }
}

impl Product {
    /// `out[t, i] = sum_j T_ij q_tj * (s / r_t)`, `[tokens, n_out]`; the integers stay in `sums`.
    ///
    /// The sums convert to f32 without rounding up to 132,104 columns.
    fn run(&mut self, weights: &PackedMatrix, x: &Quantized, out: &mut Vec<f32>) {
        let n_out = weights.n_out();
        self.sums.resize(x.n_tokens() * n_out, 0);
        products(weights, x, &mut self.unpacked, &mut self.sums);
        out.clear();
        for (sums, r) in self.sums.chunks_exact(n_out).zip(x.factors()) {
            let factor = weights.scale() / r;
            out.extend(sums.iter().map(|sum| *sum as f32 * factor));
        }
    }
}

/// Norm of every row of `x`, `[tokens, gains.len()]`.
fn norm_rows(x: &[f32], gains: &[f32], eps: f32, out: &mut Vec<f32>) {
    out.resize(x.len(), 0.0);
    let width = gains.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        rms_norm(x, gains, eps, out);
    }
}

/// Logits of one position: the table `[vocab, hidden]` times `h`.
fn head(table: &Table, h: &[f32], logits: &mut [f32]) {
    let mut row = vec![0.0; h.len()];
    for (i, logit) in logits.iter_mut().enumerate() {
        table.read(i, &mut row);
        *logit = dot(h, &row);
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance;
    use crate::model::synthetic::{Spec, synthetic};

    fn tiny() -> BitNet {
        let spec = Spec {
            n_layers: 2,
            vocab_size: 128,
            max_positions: 200,
            ..Spec::TINY
        };
        let (config, weights) = synthetic(spec, 7);
        BitNet::new(&config, weights)
    }

    #[test]
    fn it_conforms() {
        conformance::check_all(&mut tiny());
    }

    #[test]
    fn activations_are_the_documented_functions() {
        let mut z = [-2.0, 0.0, 3.0];
        gate(Activation::Relu2, &mut z, &[5.0, 5.0, 2.0]);
        assert_eq!(
            z.map(|z| z.abs().to_bits()),
            [0f32, 0.0, 18.0].map(f32::to_bits)
        );
        let mut z = [-1.0, 2.0];
        gate(Activation::Silu, &mut z, &[1.0, 3.0]);
        let silu = |z: f32| z / (1.0 + (-z).exp());
        assert!((z[0] - silu(-1.0)).abs() < 1e-6 && (z[1] - 3.0 * silu(2.0)).abs() < 1e-5);
    }

    #[test]
    fn the_feed_forward_values_may_exceed_what_f16_holds() {
        let mut z = [300.0];
        gate(Activation::Relu2, &mut z, &[10.0]);
        assert!(z[0] > 65_504.0 && z[0].is_finite());
    }

    #[test]
    fn a_nan_weight_shows_in_the_logits() {
        let mut engine = tiny();
        engine.final_norm[3] = f32::NAN;
        let logits = engine.feed(&[1, 5]).unwrap();
        assert!(logits.iter().all(|x| x.is_nan()));
    }

    #[test]
    fn the_norms_before_o_and_down_matter() {
        let spec = Spec {
            n_layers: 1,
            vocab_size: 64,
            max_positions: 8,
            ..Spec::TINY
        };
        let run = |remove: fn(&mut LayerWeights)| {
            let (config, mut weights) = synthetic(spec, 7);
            remove(&mut weights.layers[0]);
            BitNet::new(&config, weights)
                .feed(&[1, 2])
                .unwrap()
                .to_vec()
        };
        let whole = run(|_| ());
        assert_ne!(whole, run(|layer| layer.attn_sub_norm = None));
        assert_ne!(whole, run(|layer| layer.ffn_sub_norm = None));
    }

    #[test]
    fn feeding_after_a_reservation_moves_no_buffer() {
        let mut engine = tiny();
        engine.reserve(100).unwrap();
        engine.feed(&[1; 70]).unwrap();
        let places = |e: &BitNet| {
            let s = &e.scratch;
            [
                &s.x,
                &s.normed,
                &s.q,
                &s.k,
                &s.v,
                &s.attended,
                &s.gate,
                &s.up,
                &s.branch,
                &s.scores,
            ]
            .map(|v| (v.as_ptr(), v.capacity()))
        };
        let before = (
            places(&engine),
            engine.caches[1].k.as_ptr(),
            engine.scratch.product.sums.as_ptr(),
        );
        engine.reset();
        engine.feed(&[2; 64]).unwrap();
        for id in 0..30 {
            engine.feed(&[id]).unwrap();
        }
        let after = (
            places(&engine),
            engine.caches[1].k.as_ptr(),
            engine.scratch.product.sums.as_ptr(),
        );
        assert_eq!(before, after);
    }
}
