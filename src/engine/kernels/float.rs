//! Float operations in a fixed order.
//!
//! Reductions use 16 virtual lanes: lane l adds elements l, l + 16, l + 32 … in order, then lanes
//! l and l + n/2 are added until one is left. Multiplications and additions are separate, each
//! rounded by itself.

use super::for_every_kernel;

/// Virtual lanes of a reduction.
pub(super) const LANES: usize = 16;

for_every_kernel! {
    /// Sum of products.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        dot_body(a, b)
    }

    /// Root-mean-square norm: `out = x * (1 / sqrt(mean(x^2) + eps)) * gains`.
    ///
    /// Source: Zhang & Sennrich (2019), "Root Mean Square Layer Normalization".
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn rms_norm(x: &[f32], gains: &[f32], eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), gains.len(), "one gain per value");
        assert_eq!(x.len(), out.len(), "one output per value");
        let inverse = 1.0 / (dot_body(x, x) / x.len() as f32 + eps).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(x).zip(gains) {
            *out = x * inverse * gain;
        }
    }

    /// Attention of the queries of one key head over its keys and values.
    ///
    /// * `queries`, `out`: `[n, d]`, heads that share the keys
    /// * `keys`, `values`: `[positions, d]`
    /// * `weights`: scratch `[n, positions]`
    ///
    /// Per query: scores `q k / sqrt(d)`, their maximum, exponentials, the sum of these in lanes,
    /// and the weighted sum of the values position by position.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn attend(
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        weights: &mut [f32],
        out: &mut [f32],
        d: usize,
    ) {
        let (n, n_positions) = (queries.len() / d, keys.len() / d);
        assert!(
            queries.len() == n * d && keys.len() == n_positions * d && n_positions > 0,
            "heads are whole"
        );
        assert!(
            values.len() == keys.len() && out.len() == queries.len(),
            "one value per key, one result per query"
        );
        assert_eq!(weights.len(), n * n_positions, "one weight per query and key");
        let scale = 1.0 / (d as f32).sqrt();
        for (position, key) in keys.chunks_exact(d).enumerate() {
            for (i, query) in queries.chunks_exact(d).enumerate() {
                weights[i * n_positions + position] = dot_body(query, key) * scale;
            }
        }
        let rows = weights.chunks_exact_mut(n_positions);
        for (weights, out) in rows.zip(out.chunks_exact_mut(d)) {
            let inverse = 1.0 / softmax_weights(weights);
            // Columns are independent; blocks of them stay in registers over all positions.
            let mut first = 0;
            while first + 4 * LANES <= d {
                weigh::<{ 4 * LANES }>(weights, values, d, first, inverse, out);
                first += 4 * LANES;
            }
            while first + LANES <= d {
                weigh::<LANES>(weights, values, d, first, inverse, out);
                first += LANES;
            }
            for column in first..d {
                weigh::<1>(weights, values, d, column, inverse, out);
            }
        }
    }

    /// Rotates the two halves of a head: value i with value i + d/2.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        assert!(head.len() == 2 * half && sin.len() == half, "half a head of angles");
        let (low, high) = head.split_at_mut(half);
        for i in 0..half {
            let (a, b) = (low[i], high[i]);
            low[i] = a * cos[i] - b * sin[i];
            high[i] = b * cos[i] + a * sin[i];
        }
    }

    /// `z = max(z, 0)^2 * up`
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn gate_relu2(z: &mut [f32], up: &[f32]) {
        assert_eq!(z.len(), up.len(), "one gate per value");
        for (z, up) in z.iter_mut().zip(up) {
            // A comparison, because `max` would turn NaN into 0.
            let positive = if *z < 0.0 { 0.0 } else { *z };
            *z = positive * positive * up;
        }
    }

    /// `z = z / (1 + e^-z) * up`
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn gate_silu(z: &mut [f32], up: &[f32]) {
        assert_eq!(z.len(), up.len(), "one gate per value");
        for (z, up) in z.iter_mut().zip(up) {
            *z = *z / (1.0 + exp(-*z)) * up;
        }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into every version")]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "operands differ in length");
    let mut lanes = [0f32; LANES];
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for l in 0..LANES {
            lanes[l] += a[l] * b[l];
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += a * b;
    }
    tree(lanes)
}

/// Weighted sums of columns `first..first + N` of `values`, `[positions, d]`, times `inverse`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into every version")]
fn weigh<const N: usize>(
    weights: &[f32],
    values: &[f32],
    d: usize,
    first: usize,
    inverse: f32,
    out: &mut [f32],
) {
    let mut sums = [0f32; N];
    for (weight, value) in weights.iter().zip(values.chunks_exact(d)) {
        for (sum, v) in sums.iter_mut().zip(&value[first..first + N]) {
            *sum += weight * v;
        }
    }
    for (out, sum) in out[first..first + N].iter_mut().zip(sums) {
        *out = sum * inverse;
    }
}

/// Sum of values.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into every version")]
fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for l in 0..LANES {
            lanes[l] += values[l];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    tree(lanes)
}

/// Adds lanes l and l + n/2 until one is left.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into every version")]
pub(super) fn tree(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

/// `e^x` within 2 ulp; 0 below -87.3, `e^88` above 88, NaN for NaN.
///
/// The same few operations on every machine, unlike the platform's `expf`. Method: Cody & Waite
/// (1980), *Software Manual for the Elementary Functions*, reduction by multiples of ln 2 in two
/// parts; polynomial: Taylor to the seventh power, enough for |r| <= ln 2 / 2.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bounded = if x > 88.0 { 88.0 } else { x };
    let bounded = if bounded < -87.3 { -87.3 } else { bounded };
    let shifted = bounded * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = bounded - n * LN2_HIGH - n * LN2_LOW;
    let mut y = 1.0 / 5040.0;
    y = y * r + 1.0 / 720.0;
    y = y * r + 1.0 / 120.0;
    y = y * r + 1.0 / 24.0;
    y = y * r + 1.0 / 6.0;
    y = y * r + 0.5;
    y = y * r + 1.0;
    y = y * r + 1.0;
    let exponent = shifted
        .to_bits()
        .wrapping_sub(SHIFT.to_bits())
        .wrapping_add(127);
    let power = y * f32::from_bits(exponent << 23);
    if x < -87.3 { 0.0 } else { power }
}

/// Turns scores into weights `e^(score - max)` and gives their sum; not yet divided by it.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into every version")]
fn softmax_weights(scores: &mut [f32]) -> f32 {
    // The maximum needs no order; lanes let it run at full width. NaN loses every comparison.
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = scores.as_chunks::<LANES>();
    for scores in whole {
        for l in 0..LANES {
            lanes[l] = if scores[l] > lanes[l] {
                scores[l]
            } else {
                lanes[l]
            };
        }
    }
    let max = lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |m, s| if *s > m { *s } else { m });
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    sum(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::Kernel;

    #[test]
    fn exp_is_accurate() {
        let mut worst = 0f64;
        for i in -87_300..=88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        // Two units in the last place of f32.
        assert!(worst < 2.4e-7, "{worst}");
        assert_eq!(exp(0.0).to_bits(), 1f32.to_bits());
    }

    #[test]
    fn exp_at_its_limits() {
        assert_eq!(exp(-1e30).to_bits(), 0);
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert!(exp(1e30).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_have_the_documented_order() {
        let values: Vec<f32> = (0..37).map(|i| (i as f32).exp2() * 1.1).collect();
        let mut lanes = [0f32; 16];
        values
            .iter()
            .enumerate()
            .for_each(|(i, v)| lanes[i % 16] += v);
        let fold = |v: &[f32]| -> Vec<f32> {
            let (low, high) = v.split_at(v.len() / 2);
            low.iter().zip(high).map(|(a, b)| a + b).collect()
        };
        let one = fold(&fold(&fold(&fold(&lanes))));
        assert_eq!(sum(&values).to_bits(), one[0].to_bits());
        assert_eq!(
            dot(Kernel::SCALAR, &values, &[1.0; 37]).to_bits(),
            one[0].to_bits()
        );
    }

    #[test]
    fn the_norm_follows_its_formula() {
        let mut out = [0.0; 2];
        rms_norm(Kernel::SCALAR, &[3.0, 4.0], &[1.0, 2.0], 0.0, &mut out);
        let rms = 12.5f32.sqrt();
        assert!((out[0] - 3.0 / rms).abs() < 1e-6 && (out[1] - 8.0 / rms).abs() < 1e-6);
    }

    #[test]
    fn a_nan_score_is_not_lost() {
        assert!(softmax_weights(&mut [1.0, f32::NAN, 2.0]).is_nan());
    }
}
