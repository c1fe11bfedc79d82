//! Keys and values of the tokens fed so far.

use std::ops::Range;

use crate::engine::kernels::Split;
use crate::model::ModelConfig;
use crate::model::arena::Slab;

/// Keys and values of every sequence and layer.
pub(super) struct Cache {
    n_layers: usize,
    n_kv_heads: usize,
    head_dim: usize,
    /// Positions there is room for, in each sequence.
    capacity: usize,
    /// `[layers, sequences, kv_heads, capacity, head_dim]`
    k: Slab<f32>,
    /// The same of values.
    v: Slab<f32>,
    /// Tokens in each sequence.
    lengths: Vec<usize>,
}

impl Cache {
    /// One empty sequence without room.
    pub(super) fn new(config: &ModelConfig) -> Self {
        Self {
            n_layers: config.n_layers,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            capacity: 0,
            k: Slab::zeroed(0),
            v: Slab::zeroed(0),
            lengths: vec![0],
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn n_sequences(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens in a sequence.
    pub(super) fn length(&self, sequence: usize) -> usize {
        self.lengths[sequence]
    }

    pub(super) fn set_length(&mut self, sequence: usize, tokens: usize) {
        debug_assert!(tokens <= self.capacity);
        self.lengths[sequence] = tokens;
    }

    /// Empties every sequence; there are `n` of them then, each with room for `tokens`.
    pub(super) fn open(&mut self, n: usize, tokens: usize) {
        if n != self.lengths.len() || tokens > self.capacity {
            let values = self.n_layers * n * self.n_kv_heads * tokens * self.head_dim;
            // The old memory goes back before the new is taken.
            (self.k, self.v) = (Slab::zeroed(0), Slab::zeroed(0));
            (self.k, self.v) = (Slab::zeroed(values), Slab::zeroed(values));
            self.capacity = tokens;
        }
        self.lengths.clear();
        self.lengths.resize(n, 0);
    }

    /// Makes room for `capacity` positions and keeps what is there.
    pub(super) fn grow(&mut self, capacity: usize) {
        let d = self.head_dim;
        let used = self.lengths.iter().max().expect("there is a sequence") * d;
        let (before, after) = (self.capacity * d, capacity * d);
        let n_heads = self.n_layers * self.lengths.len() * self.n_kv_heads;
        for values in [&mut self.k, &mut self.v] {
            let mut larger = Slab::zeroed(n_heads * after);
            for head in 0..n_heads {
                larger[head * after..][..used].copy_from_slice(&values[head * before..][..used]);
            }
            *values = larger;
        }
        self.capacity = capacity;
    }

    /// Makes sequence `to` begin with the first `tokens` tokens of `from`, and end there.
    pub(super) fn copy_prefix(&mut self, from: usize, to: usize, tokens: usize) {
        assert!(
            tokens <= self.lengths[from],
            "the sequence holds the tokens"
        );
        assert!(to < self.lengths.len(), "the sequence is open");
        if from != to {
            for layer in 0..self.n_layers {
                for head in 0..self.n_kv_heads {
                    let [source, target] = [from, to].map(|s| self.head(layer, s, head, tokens));
                    self.k.copy_within(source.clone(), target.start);
                    self.v.copy_within(source, target.start);
                }
            }
        }
        self.lengths[to] = tokens;
    }

    /// Where the first `tokens` keys of one head stand.
    fn head(&self, layer: usize, sequence: usize, head: usize, tokens: usize) -> Range<usize> {
        let n_sequences = self.lengths.len();
        let index = (layer * n_sequences + sequence) * self.n_kv_heads + head;
        let start = index * self.capacity * self.head_dim;
        start..start + tokens * self.head_dim
    }

    /// The first `tokens` keys and values of one head, `[tokens, head_dim]` each.
    pub(super) fn read(
        &self,
        layer: usize,
        sequence: usize,
        head: usize,
        tokens: usize,
    ) -> (&[f32], &[f32]) {
        let range = self.head(layer, sequence, head, tokens);
        (&self.k[range.clone()], &self.v[range])
    }

    /// Keys and values of a layer, `[sequences, kv_heads * capacity * head_dim]`, shared out by
    /// key heads.
    pub(super) fn split(
        &mut self,
        layer: usize,
        n_parts: usize,
    ) -> (Split<'_, f32>, Split<'_, f32>) {
        let head = self.capacity * self.head_dim;
        let width = self.n_kv_heads * head;
        let size = self.lengths.len() * width;
        let range = layer * size..(layer + 1) * size;
        (
            Split::new(&mut self.k[range.clone()], width, n_parts, head),
            Split::new(&mut self.v[range], width, n_parts, head),
        )
    }

    /// Where the buffers are, for a test that they do not move.
    #[cfg(test)]
    pub(super) fn places(&self) -> [*const f32; 2] {
        [self.k.as_ptr(), self.v.as_ptr()]
    }
}
