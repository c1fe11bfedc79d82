//! The weights of a model in the form the engine takes, and their identity.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Table, TernaryMatrix};
use crate::units::{Hasher, Sha256};

/// The weights of one model.
#[derive(Debug)]
pub struct Weights {
    /// Embedding table `[vocab, hidden]`.
    pub embedding: Table,
    /// Output head `[vocab, hidden]`; `None` when the embedding table serves.
    pub head: Option<Table>,
    /// Gains `[hidden]` of the last norm.
    pub final_norm: Vec<f32>,
    /// Layers, first to last.
    pub layers: Vec<LayerWeights>,
}

/// The weights of one layer.
#[derive(Debug)]
pub struct LayerWeights {
    /// Gains `[hidden]` before attention.
    pub input_norm: Vec<f32>,
    /// Gains `[hidden]` before the feed-forward layer.
    pub post_norm: Vec<f32>,
    /// Gains `[heads * head_dim]` before `o`, where the family has them.
    pub attn_sub_norm: Option<Vec<f32>>,
    /// Gains `[intermediate]` before `down`, where the family has them.
    pub ffn_sub_norm: Option<Vec<f32>>,
    /// `[heads * head_dim, hidden]`
    pub q: TernaryMatrix,
    /// `[kv_heads * head_dim, hidden]`
    pub k: TernaryMatrix,
    /// `[kv_heads * head_dim, hidden]`
    pub v: TernaryMatrix,
    /// `[hidden, heads * head_dim]`
    pub o: TernaryMatrix,
    /// `[intermediate, hidden]`
    pub gate: TernaryMatrix,
    /// `[intermediate, hidden]`
    pub up: TernaryMatrix,
    /// `[hidden, intermediate]`
    pub down: TernaryMatrix,
}

/// Digests of all ternary layers. They do not depend on the container the layers came in, so
/// equal ones prove "same weights, other container".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// sha256 over (tensor name, 0x00, its codes digest), sorted by name. Scales stay outside:
    /// the two conventions differ by rounding.
    pub codes: Sha256,
    /// sha256 over `"vv-layers-1"` and (tensor name, 0x00, its codes digest, bits of its direct
    /// scale as f32 little-endian), sorted by name.
    pub layers: Sha256,
}

impl Identity {
    /// The identity of matrices in any order.
    ///
    /// * `matrices`: name of the tensor in a checkpoint, codes digest, direct scale
    pub(super) fn of(mut matrices: Vec<(String, Sha256, f32)>) -> Self {
        matrices.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let (mut codes, mut layers) = (Hasher::default(), Hasher::default());
        layers.update(b"vv-layers-1");
        for (name, digest, scale) in matrices {
            for hasher in [&mut codes, &mut layers] {
                hasher.update(name.as_bytes());
                hasher.update(&[0]);
                hasher.update(digest.as_bytes());
            }
            layers.update(&scale.to_le_bytes());
        }
        Self {
            codes: codes.finish(),
            layers: layers.finish(),
        }
    }
}

impl LayerWeights {
    /// The projections with their names in the checkpoint, below `model.layers.N.`.
    pub fn projections(&self) -> [(&'static str, &TernaryMatrix); 7] {
        [
            ("self_attn.q_proj", &self.q),
            ("self_attn.k_proj", &self.k),
            ("self_attn.v_proj", &self.v),
            ("self_attn.o_proj", &self.o),
            ("mlp.gate_proj", &self.gate),
            ("mlp.up_proj", &self.up),
            ("mlp.down_proj", &self.down),
        ]
    }
}

impl Weights {
    /// Identity of all ternary codes, independent of container and scale convention; see
    /// [`Identity::codes`].
    pub fn codes_digest(&self) -> Sha256 {
        self.identity().codes
    }

    /// Identity of the ternary layers, whatever container they came in.
    pub fn identity(&self) -> Identity {
        let mut matrices = Vec::new();
        for (n, layer) in self.layers.iter().enumerate() {
            for (name, matrix) in layer.projections() {
                matrices.push((format!("model.layers.{n}.{name}.weight"), matrix));
            }
        }
        Identity::of(
            matrices
                .par_iter()
                .map(|(name, matrix)| (name.clone(), matrix.codes_digest(), matrix.scale()))
                .collect(),
        )
    }

    /// Number of weights, norm gains included.
    pub fn n_parameters(&self) -> usize {
        let floats = |values: &Option<Vec<f32>>| values.as_ref().map_or(0, Vec::len);
        let layers = self.layers.iter().map(|layer| {
            let ternary = layer.projections().map(|(_, m)| m.n_out() * m.n_in());
            ternary.iter().sum::<usize>()
                + layer.input_norm.len()
                + layer.post_norm.len()
                + floats(&layer.attn_sub_norm)
                + floats(&layer.ffn_sub_norm)
        });
        let table = |table: &Table| table.n_rows() * table.width();
        table(&self.embedding)
            + self.head.as_ref().map_or(0, table)
            + self.final_norm.len()
            + layers.sum::<usize>()
    }
}

/// Weights with what was learned while reading them.
pub(super) struct Loaded {
    pub(super) weights: Weights,
    /// Number of tensors by type: `ternary`, `F32`, `BF16`, `F16`.
    pub(super) types: BTreeMap<String, usize>,
    /// Whether projections were stored packed.
    pub(super) is_packed: bool,
    pub(super) warnings: Vec<String>,
}
