//! Frequencies of the rotary position embedding.
//!
//! Source: Su et al. (2021), "RoFormer"; rounding steps as in transformers, whose table is in f32.

/// `[head_dim / 2]` frequencies `theta^(-2i / head_dim)` of the pairs of a head.
///
/// One unit in the last place of a frequency moves a cosine by 2.4e-4 at position 4095, so the
/// steps are part of the definition: the exponent in f32, the power in f64 rounded to f32, then
/// its reciprocal in f32.
pub fn frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    let exponent = |i: usize| f64::from((2 * i) as f32 / head_dim as f32);
    #[expect(clippy::cast_possible_truncation, reason = "the reference rounds here")]
    let frequency = |i: usize| 1.0 / libm::pow(theta, exponent(i)) as f32;
    (0..head_dim / 2).map(frequency).collect()
}
