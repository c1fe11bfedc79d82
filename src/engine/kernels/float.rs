//! Float operations in a fixed order.
//!
//! Reductions use 16 virtual lanes: lane l adds elements l, l + 16, l + 32 … in order, then lanes
//! l and l + n/2 are added until one is left. Multiplications and additions are separate, each
//! rounded by itself.

const LANES: usize = 16;

/// Sum of products.
///
/// # Panics
/// When the lengths differ.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
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

/// Sum of values.
pub fn sum(values: &[f32]) -> f32 {
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

fn tree(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
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
    let inverse = 1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt();
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gains) {
        *out = x * inverse * gain;
    }
}

/// `e^x` within 2 ulp; 0 below -87.3, `e^88` above 88, NaN for NaN.
///
/// The same few operations on every machine, unlike the platform's `expf`. Method: Cody & Waite
/// (1980), *Software Manual for the Elementary Functions*, reduction by multiples of ln 2 in two
/// parts; polynomial: Taylor to the seventh power, enough for |r| <= ln 2 / 2.
#[inline]
pub fn exp(x: f32) -> f32 {
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
pub fn softmax_weights(scores: &mut [f32]) -> f32 {
    let max = scores
        .iter()
        .fold(f32::NEG_INFINITY, |m, s| if *s > m { *s } else { m });
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    sum(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(dot(&values, &[1.0; 37]).to_bits(), one[0].to_bits());
    }

    #[test]
    fn the_norm_follows_its_formula() {
        let mut out = [0.0; 2];
        rms_norm(&[3.0, 4.0], &[1.0, 2.0], 0.0, &mut out);
        let rms = 12.5f32.sqrt();
        assert!((out[0] - 3.0 / rms).abs() < 1e-6 && (out[1] - 8.0 / rms).abs() < 1e-6);
    }

    #[test]
    fn a_nan_score_is_not_lost() {
        assert!(softmax_weights(&mut [1.0, f32::NAN, 2.0]).is_nan());
    }
}
