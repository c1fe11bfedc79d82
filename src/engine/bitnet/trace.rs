//! A view into a forward pass, for comparison with other implementations.

use crate::engine::kernels::quantize::Quantized;

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
/// nothing. Called once per chunk of tokens.
pub trait Trace {
    /// Whether anything is watched at all; sums are computed a second time for it.
    const IS_ON: bool = true;

    /// A quantized input.
    fn quantized(&mut self, _layer: usize, _input: Input, _values: &Quantized) {}
    /// Integer sums `[tokens, n_out]` of a product.
    fn sums(&mut self, _layer: usize, _projection: Projection, _sums: &[i32]) {}
    /// Float values.
    fn floats(&mut self, _layer: usize, _stage: Stage, _values: &[f32]) {}
}

impl Trace for () {
    const IS_ON: bool = false;
}
