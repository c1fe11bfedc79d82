//! Seeded random models for tests and benches.
//!
//! Like real checkpoints, and unlike plain noise: half of the codes are zeros, input gains are
//! small, and some channels of the feed-forward norm are as good as dead.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use super::config::{Activation, Family, ModelConfig, Quantization, ScaleConvention};
use super::{HeadStorage, LayerWeights, Table, TernaryMatrix, Weights};

/// Shape of a synthetic model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub n_layers: usize,
    /// Query heads; their widths add up to `hidden_size`.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Longest context, in tokens.
    pub max_positions: usize,
    /// How the output head is kept.
    pub head: HeadStorage,
}

impl Spec {
    /// The tiny benchmark shape: about 6 million weights.
    pub const TINY: Self = Self {
        hidden_size: 256,
        intermediate_size: 768,
        n_layers: 6,
        n_heads: 8,
        n_kv_heads: 4,
        vocab_size: 4096,
        max_positions: 4096,
        head: HeadStorage::Int8,
    };

    /// The shape of the published model of 2 billion weights, `bitnet-b1.58-2B-4T`.
    pub const TWO_BILLION: Self = Self {
        hidden_size: 2560,
        intermediate_size: 6912,
        n_layers: 30,
        n_heads: 20,
        n_kv_heads: 5,
        vocab_size: 128_256,
        max_positions: 4096,
        head: HeadStorage::Int8,
    };

    /// The shape of a small reference model: about 2 million weights.
    pub const SMALL: Self = Self {
        hidden_size: 192,
        intermediate_size: 512,
        n_layers: 4,
        n_heads: 6,
        n_kv_heads: 6,
        vocab_size: 1024,
        max_positions: 2048,
        head: HeadStorage::Int8,
    };
}

/// A random BitNet model; equal arguments give equal models.
///
/// # Panics
/// When the spec does not describe a model: a size of 0, or heads that do not divide.
pub fn synthetic(spec: Spec, seed: u64) -> (ModelConfig, Weights) {
    assert!(
        spec.hidden_size.is_multiple_of(2 * spec.n_heads),
        "heads have an even width"
    );
    assert!(
        spec.n_heads.is_multiple_of(spec.n_kv_heads),
        "key heads divide the query heads"
    );
    let config = ModelConfig {
        family: Family::BitNet,
        vocab_size: spec.vocab_size,
        hidden_size: spec.hidden_size,
        intermediate_size: spec.intermediate_size,
        n_layers: spec.n_layers,
        n_heads: spec.n_heads,
        n_kv_heads: spec.n_kv_heads,
        head_dim: spec.hidden_size / spec.n_heads,
        act: Activation::Relu2,
        rms_norm_eps: 1e-5,
        max_positions: spec.max_positions,
        rope_theta: 500_000.0,
        is_head_tied: true,
        quantization: Quantization::Offline {
            convention: ScaleConvention::Direct,
            is_stated: true,
        },
        bos_id: None,
        eos_ids: Vec::new(),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let weights = Weights {
        embedding: Table::from_values(
            spec.head,
            spec.hidden_size,
            &floats(&mut rng, spec.vocab_size * spec.hidden_size, -0.5, 0.5),
        ),
        head: None,
        final_norm: floats(&mut rng, spec.hidden_size, 0.5, 1.5),
        layers: (0..spec.n_layers)
            .map(|_| layer(&mut rng, &config))
            .collect(),
    };
    (config, weights)
}

/// A random ternary matrix `[n_out, n_in]`, half of it zeros.
///
/// # Panics
/// When a size is 0, or so small that all weights are equal by chance.
pub fn random_matrix(rng: &mut ChaCha8Rng, shape: [usize; 2], scale: f32) -> TernaryMatrix {
    let [n_out, n_in] = shape;
    let codes = (0..n_out).flat_map(|_| (0..n_in).step_by(4)).map(|column| {
        let draws = rng.next_u32();
        (0..4.min(n_in - column)).fold(0u8, |byte, slot| {
            let code = match draws >> (2 * slot) & 3 {
                0 => 0,
                1 => 2,
                _ => 1,
            };
            byte | code << (2 * slot)
        })
    });
    let codes: Vec<u8> = codes.collect();
    TernaryMatrix::new("synthetic", shape, codes, scale).expect("random codes are valid")
}

fn layer(rng: &mut ChaCha8Rng, config: &ModelConfig) -> LayerWeights {
    let (hidden, inter) = (config.hidden_size, config.intermediate_size);
    let (q_width, kv_width) = (config.q_width(), config.kv_width());
    let mut ffn_gains = floats(rng, inter, 0.5, 1.5);
    ffn_gains
        .iter_mut()
        .step_by(16)
        .for_each(|gain| *gain = 1e-32);
    LayerWeights {
        input_norm: floats(rng, hidden, 0.013, 0.02),
        post_norm: floats(rng, hidden, 0.5, 1.5),
        attn_sub_norm: Some(floats(rng, q_width, 0.5, 1.5)),
        ffn_sub_norm: Some(ffn_gains),
        q: random_matrix(rng, [q_width, hidden], 0.8),
        k: random_matrix(rng, [kv_width, hidden], 0.8),
        v: random_matrix(rng, [kv_width, hidden], 0.8),
        o: random_matrix(rng, [hidden, q_width], 0.03),
        gate: random_matrix(rng, [inter, hidden], 0.8),
        up: random_matrix(rng, [inter, hidden], 0.8),
        down: random_matrix(rng, [hidden, inter], 0.03),
    }
}

/// `n` floats, uniform in `[low, high)`.
fn floats(rng: &mut ChaCha8Rng, n: usize, low: f32, high: f32) -> Vec<f32> {
    // 24 random bits are exact in f32.
    let unit = |bits: u32| (bits >> 8) as f32 / (1u32 << 24) as f32;
    (0..n)
        .map(|_| low + (high - low) * unit(rng.next_u32()))
        .collect()
}
