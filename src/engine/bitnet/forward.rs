//! The layers, region by region: each region is one parallel step of all threads.

use super::cache::Cache;
use super::trace::{Input, Projection, Stage, Trace};
use super::{Layer, Scratch, Token};
use crate::engine::kernels::float::{attend, gate_relu2, gate_silu, rms_norm, rotate};
use crate::engine::kernels::pack::PackedMatrix;
use crate::engine::kernels::pool::Pool;
use crate::engine::kernels::quantize::{Quantized, TILE};
use crate::engine::kernels::ternary::{multiply, multiply_add, products};
use crate::engine::kernels::{Columns, Kernel, Split};
use crate::engine::rope::RopeTable;
use crate::model::{Activation, ModelConfig};

/// Rows of a matrix handed to a thread come in pairs, as the kernels take them.
const ROWS: usize = 2;

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
        // Threads take whole tiles; a single tile is not worth waking them for.
        let n_parts = self.pool.n_threads().min(n_tokens.div_ceil(TILE));
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
        self.heads(n);
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

    /// Turns queries and keys to their positions, keeps keys and values, and attends: all of it
    /// concerns one key head and the query heads that share it, so threads share out key heads.
    #[expect(clippy::many_single_char_names, reason = "the names of the paper")]
    fn heads(&mut self, layer: usize) {
        let ModelConfig {
            n_heads,
            n_kv_heads,
            head_dim: d,
            ..
        } = *self.config;
        let group = n_heads / n_kv_heads;
        let (q_width, kv_width) = (self.config.q_width(), self.config.kv_width());
        let (n_q, n_kv) = (self.width(q_width), self.width(kv_width));
        let n_threads = self.pool.n_threads();
        let capacity = self.cache.capacity();
        let (keys, values) = self.cache.split(layer, n_threads);
        let s = &mut *self.scratch;
        let q = Split::new(&mut s.q[..n_q], q_width, n_threads, group * d);
        let k = Split::new(&mut s.k[..n_kv], kv_width, n_threads, d);
        let v = Split::new(&mut s.v[..n_kv], kv_width, n_threads, d);
        let attended = Split::new(&mut s.attended[..n_q], q_width, n_threads, group * d);
        let weights = s.weights.len() / n_threads;
        let weights = Split::new(&mut s.weights, weights * n_threads, n_threads, weights);
        let (kernel, rope, tokens) = (self.kernel, self.rope, self.tokens);
        self.pool.run(|thread| {
            let (mut keys, mut values) = (keys.take(thread), values.take(thread));
            let (mut q, mut k, mut v) = (q.take(thread), k.take(thread), v.take(thread));
            let mut attended = attended.take(thread);
            let weights = weights.take(thread).into_row();
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
            for (i, token) in tokens.iter().enumerate() {
                let n_positions = token.position + 1;
                let (queries, results) = (q.row(i), attended.row(i));
                let heads = queries
                    .chunks_exact(group * d)
                    .zip(results.chunks_exact_mut(group * d));
                for (head, (queries, results)) in heads.enumerate() {
                    let at = head * capacity * d;
                    attend(
                        kernel,
                        queries,
                        &keys.row(token.sequence)[at..][..n_positions * d],
                        &values.row(token.sequence)[at..][..n_positions * d],
                        &mut weights[..group * n_positions],
                        results,
                        d,
                    );
                }
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
