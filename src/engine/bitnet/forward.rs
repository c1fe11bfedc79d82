//! The layers, region by region: each region is one parallel step of all threads.

use super::cache::Cache;
use super::trace::{Input, Projection, Stage, Trace};
use super::{Layer, Scratch, Token};
use crate::engine::kernels::float::{attend, gate_relu2, gate_silu, rms_norm, rotate};
use crate::engine::kernels::pack::PackedMatrix;
use crate::engine::kernels::pool::Pool;
use crate::engine::kernels::quantize::{Quantized, TILE};
use crate::engine::kernels::ternary::{multiply, multiply_add, products};
use crate::engine::kernels::{Columns, Kernel, MAX_PARTS, Split};
use crate::engine::rope::RopeTable;
use crate::model::{Activation, ModelConfig};

/// Rows of a matrix handed to a thread come in pairs, as the kernels take them.
const ROWS: usize = 2;

/// Values to normalize and quantize from which on a region of all threads pays: it costs about as
/// much as a thousand of them.
const WORTH_WAKING: usize = 8192;

/// What every region of a chunk needs.
pub(super) struct Pass<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) kernel: Kernel,
    pub(super) pool: &'a mut Pool,
    pub(super) rope: &'a RopeTable,
    pub(super) cache: &'a mut Cache,
    pub(super) scratch: &'a mut Scratch,
    /// Sequence and position of every token of the chunk; positions of one sequence ascend.
    pub(super) tokens: &'a [Token],
}

impl Pass<'_> {
    /// Runs one layer over the residual stream in the scratch.
    pub(super) fn layer<T: Trace>(&mut self, n: usize, layer: &Layer, trace: &mut T) {
        self.attention(n, layer, trace);
        self.feed_forward(n, layer, trace);
        if T::IS_ON {
            trace.floats(
                n,
                Stage::Layer,
                &self.scratch.x[..self.width(self.config.hidden_size)],
            );
        }
    }

    /// Values of all tokens of the chunk.
    fn width(&self, width: usize) -> usize {
        self.tokens.len() * width
    }

    /// Quantizes the norm of every row of an input, or the rows themselves where there are no
    /// gains.
    fn quantize(&mut self, input: Input, gains: Option<&[f32]>) {
        let (kernel, eps) = (self.kernel, self.config.rms_norm_eps);
        let n_tokens = self.tokens.len();
        let s = &mut *self.scratch;
        let (values, width) = match input {
            Input::Attention | Input::Mlp => (&s.x, self.config.hidden_size),
            Input::Output => (&s.attended, self.config.q_width()),
            Input::Down => (&s.gate, self.config.intermediate_size),
        };
        // Threads take whole tiles, or tokens of a single one if there is enough to do.
        let n_shares = match n_tokens {
            ..=TILE if n_tokens * width < WORTH_WAKING => 1,
            ..=TILE => n_tokens,
            _ => n_tokens.div_ceil(TILE),
        };
        let n_parts = self.pool.n_threads().min(n_shares);
        let split = s.quantized.split(n_tokens, width, n_parts);
        let rows = &mut s.rows[..n_parts * width];
        let rows = Split::new(rows, n_parts * width, n_parts, width);
        let fill = |thread: usize| {
            let mut part = split.take(thread);
            let normed = rows.take(thread).into_row();
            for token in part.tokens() {
                let x = &values[token * width..][..width];
                match gains {
                    Some(gains) => {
                        rms_norm(kernel, x, gains, eps, normed);
                        part.set(kernel, token, normed);
                    }
                    None => part.set(kernel, token, x),
                }
            }
        };
        if n_parts == 1 {
            fill(0);
        } else {
            self.pool.run(|thread| {
                if thread < n_parts {
                    fill(thread);
                }
            });
        }
    }

    /// `x += o(norm(attend(rope(q), rope(k), v)))` with q, k, v of `norm(x)`.
    #[expect(clippy::many_single_char_names, reason = "the names of the paper")]
    fn attention<T: Trace>(&mut self, n: usize, layer: &Layer, trace: &mut T) {
        let hidden = self.config.hidden_size;
        let (q_width, kv_width) = (self.config.q_width(), self.config.kv_width());
        let [n_hidden, n_q, n_kv] = [hidden, q_width, kv_width].map(|width| self.width(width));
        let n_threads = self.pool.n_threads();
        let kernel = self.kernel;
        self.quantize(Input::Attention, Some(&layer.input_norm));
        let s = &mut *self.scratch;
        if T::IS_ON {
            trace.quantized(n, Input::Attention, &s.quantized);
            for (projection, weights) in [
                (Projection::Q, &layer.q),
                (Projection::K, &layer.k),
                (Projection::V, &layer.v),
            ] {
                trace.sums(n, projection, &sums(kernel, weights, &s.quantized));
            }
        }

        let q = Split::new(&mut s.q[..n_q], q_width, n_threads, ROWS);
        let k = Split::new(&mut s.k[..n_kv], kv_width, n_threads, ROWS);
        let v = Split::new(&mut s.v[..n_kv], kv_width, n_threads, ROWS);
        let x = &s.quantized;
        self.pool.run(|thread| {
            multiply(kernel, &layer.q, x, &mut q.take(thread));
            multiply(kernel, &layer.k, x, &mut k.take(thread));
            multiply(kernel, &layer.v, x, &mut v.take(thread));
        });
        self.place(n);
        self.attend(n);
        let s = &mut *self.scratch;
        if T::IS_ON {
            trace.floats(n, Stage::Queries, &s.q[..n_q]);
            trace.floats(n, Stage::Keys, &s.k[..n_kv]);
            trace.floats(n, Stage::Attended, &s.attended[..n_q]);
        }

        self.quantize(Input::Output, layer.attn_sub_norm.as_deref());
        let s = &mut *self.scratch;
        if T::IS_ON {
            trace.quantized(n, Input::Output, &s.quantized);
            trace.sums(n, Projection::O, &sums(kernel, &layer.o, &s.quantized));
        }
        let x = Split::new(&mut s.x[..n_hidden], hidden, n_threads, ROWS);
        let input = &s.quantized;
        self.pool
            .run(|thread| multiply_add(kernel, &layer.o, input, &mut x.take(thread)));
    }

    /// Turns queries and keys to their positions and keeps keys and values; threads share out key
    /// heads with the query heads that belong to them.
    #[expect(clippy::many_single_char_names, reason = "the names of the paper")]
    fn place(&mut self, layer: usize) {
        let (d, group) = (self.config.head_dim, self.config.group());
        let (q_width, kv_width) = (self.config.q_width(), self.config.kv_width());
        let (n_q, n_kv) = (self.width(q_width), self.width(kv_width));
        let n_threads = self.pool.n_threads();
        let capacity = self.cache.capacity();
        let (keys, values) = self.cache.split(layer, n_threads);
        let s = &mut *self.scratch;
        let q = Split::new(&mut s.q[..n_q], q_width, n_threads, group * d);
        let k = Split::new(&mut s.k[..n_kv], kv_width, n_threads, d);
        let v = Split::new(&mut s.v[..n_kv], kv_width, n_threads, d);
        let (kernel, rope, tokens) = (self.kernel, self.rope, self.tokens);
        self.pool.run(|thread| {
            let (mut keys, mut values) = (keys.take(thread), values.take(thread));
            let (mut q, mut k, mut v) = (q.take(thread), k.take(thread), v.take(thread));
            for (i, token) in tokens.iter().enumerate() {
                let (cos, sin) = rope.angles(token.position);
                for head in q.row(i).chunks_exact_mut(d) {
                    rotate(kernel, head, cos, sin);
                }
                for (head, key) in k.row(i).chunks_exact_mut(d).enumerate() {
                    rotate(kernel, key, cos, sin);
                    let at = (head * capacity + token.position) * d;
                    keys.row(token.sequence)[at..][..d].copy_from_slice(key);
                }
                for (head, value) in v.row(i).chunks_exact(d).enumerate() {
                    let at = (head * capacity + token.position) * d;
                    values.row(token.sequence)[at..][..d].copy_from_slice(value);
                }
            }
        });
    }

    /// Every query attends to the keys of its sequence up to its own position.
    ///
    /// Threads share out pairs of token and query head, so that each has as many keys to read:
    /// later tokens have more of them, and few models have a number of key heads that threads
    /// divide.
    fn attend(&mut self, layer: usize) {
        let (d, group, n_heads) = (
            self.config.head_dim,
            self.config.group(),
            self.config.n_heads,
        );
        let n_q = self.width(self.config.q_width());
        let n_threads = self.pool.n_threads();
        let (cache, tokens, kernel) = (&*self.cache, self.tokens, self.kernel);
        let s = &mut *self.scratch;
        let queries = &s.q[..n_q];
        let edges = shares(tokens, n_heads, n_threads).map(|pair| pair * d);
        let attended = Split::at(&mut s.attended[..n_q], n_q, &edges[..=n_threads]);
        let weights = s.weights.len() / n_threads;
        let weights = Split::new(&mut s.weights, weights * n_threads, n_threads, weights);
        self.pool.run(|thread| {
            let attended = attended.take(thread);
            let first = attended.range().start / d;
            let mut attended = attended.into_row();
            let weights = weights.take(thread).into_row();
            let mut pair = first;
            while !attended.is_empty() {
                let (i, head) = (pair / n_heads, pair % n_heads);
                // Queries that share a key head share the reading of its keys.
                let n = (group - head % group).min(attended.len() / d);
                let results;
                (results, attended) = attended.split_at_mut(n * d);
                let n_positions = tokens[i].position + 1;
                let (keys, values) =
                    cache.read(layer, tokens[i].sequence, head / group, n_positions);
                attend(
                    kernel,
                    &queries[pair * d..][..n * d],
                    keys,
                    values,
                    &mut weights[..n * n_positions],
                    results,
                    d,
                );
                pair += n;
            }
        });
    }

    /// `x += down(norm(act(gate(h)) * up(h)))` with `h = norm(x)`; f32 throughout, because squared
    /// values overflow f16.
    fn feed_forward<T: Trace>(&mut self, n: usize, layer: &Layer, trace: &mut T) {
        let ModelConfig {
            hidden_size: hidden,
            intermediate_size: inter,
            act,
            ..
        } = *self.config;
        let (n_hidden, n_inter) = (self.width(hidden), self.width(inter));
        let n_tokens = self.tokens.len();
        let n_threads = self.pool.n_threads();
        let kernel = self.kernel;
        self.quantize(Input::Mlp, Some(&layer.post_norm));
        let s = &mut *self.scratch;
        if T::IS_ON {
            trace.quantized(n, Input::Mlp, &s.quantized);
            trace.sums(
                n,
                Projection::Gate,
                &sums(kernel, &layer.gate, &s.quantized),
            );
            trace.sums(n, Projection::Up, &sums(kernel, &layer.up, &s.quantized));
        }

        let gate = Split::new(&mut s.gate[..n_inter], inter, n_threads, ROWS);
        let up = Split::new(&mut s.up[..n_inter], inter, n_threads, ROWS);
        let x = &s.quantized;
        self.pool.run(|thread| {
            let (mut gate, mut up) = (gate.take(thread), up.take(thread));
            multiply(kernel, &layer.gate, x, &mut gate);
            multiply(kernel, &layer.up, x, &mut up);
            for token in 0..n_tokens {
                apply_gate(kernel, act, &mut gate, &mut up, token);
            }
        });

        self.quantize(Input::Down, layer.ffn_sub_norm.as_deref());
        let s = &mut *self.scratch;
        if T::IS_ON {
            trace.quantized(n, Input::Down, &s.quantized);
            trace.sums(
                n,
                Projection::Down,
                &sums(kernel, &layer.down, &s.quantized),
            );
        }
        let x = Split::new(&mut s.x[..n_hidden], hidden, n_threads, ROWS);
        let input = &s.quantized;
        self.pool
            .run(|thread| multiply_add(kernel, &layer.down, input, &mut x.take(thread)));
    }
}

/// Edges of the shares of pairs of token and query head, in order, that hold about as many keys.
///
/// Entry `n_threads` is the end; those behind it are not used.
pub(super) fn shares(tokens: &[Token], n_heads: usize, n_threads: usize) -> [usize; MAX_PARTS + 1] {
    let total: usize = tokens.iter().map(|token| token.position + 1).sum();
    let mut edges = [tokens.len() * n_heads; MAX_PARTS + 1];
    edges[0] = 0;
    let (mut part, mut before) = (1, 0);
    for (i, token) in tokens.iter().enumerate() {
        let keys = token.position + 1;
        // In n_threads-ths of a key of one head, so that whole numbers suffice.
        while part < n_threads && total * part <= (before + keys) * n_threads {
            let missing = total * part - before * n_threads;
            edges[part] = i * n_heads + (missing * n_heads).div_ceil(keys * n_threads);
            part += 1;
        }
        before += keys;
    }
    edges
}

/// `gate = act(gate) * up`, one token.
fn apply_gate(
    kernel: Kernel,
    act: Activation,
    gate: &mut Columns<'_, f32>,
    up: &mut Columns<'_, f32>,
    token: usize,
) {
    match act {
        Activation::Relu2 => gate_relu2(kernel, gate.row(token), up.row(token)),
        Activation::Silu => gate_silu(kernel, gate.row(token), up.row(token)),
    }
}

/// All integer sums of a product, `[tokens, n_out]`, for a trace.
fn sums(kernel: Kernel, weights: &PackedMatrix, x: &Quantized) -> Vec<i32> {
    let n_out = weights.n_out();
    let mut sums = vec![0; x.n_tokens() * n_out];
    products(kernel, weights, 0..n_out, x, |row, token, sum| {
        sums[token * n_out + row] = sum;
    });
    sums
}
