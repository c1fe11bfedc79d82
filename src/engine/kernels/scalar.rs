//! Ternary products in plain Rust, written so that compilers turn them into integer SIMD.
//!
//! This is the definition every faster kernel must equal bit for bit.

use std::hint::black_box;

use super::pack::{GROUP, GROUP_BYTES, PackedMatrix};

/// Quantized inputs of a few tokens, ready for products.
///
/// `q = clip(round(x * r), -128, 127)` with `r = 127 / max(max |x|, 1e-5)`, halves to even.
#[derive(Debug, Default, Clone)]
pub struct Quantized {
    n_in: usize,
    /// `[tokens, n_in padded to whole planes]`, kept in the width the products use; padding is 0.
    q: Vec<i16>,
    /// `[tokens]` factors r.
    factors: Vec<f32>,
    /// `[tokens]` sums of q.
    sums: Vec<i32>,
}

impl Quantized {
    /// Room for `tokens` inputs of up to `n_in` values.
    pub fn with_capacity(tokens: usize, n_in: usize) -> Self {
        Self {
            n_in: 0,
            q: Vec::with_capacity(tokens * whole_planes(n_in)),
            factors: Vec::with_capacity(tokens),
            sums: Vec::with_capacity(tokens),
        }
    }

    /// Replaces the content with the rows of `x`, `[tokens, n_in]`.
    ///
    /// A NaN or an infinity in a row makes its factor NaN or 0, so that the products of that row
    /// are not finite either: it is never hidden by the rounding.
    ///
    /// # Panics
    /// When `n_in` is 0 or does not divide the length of `x`.
    pub fn fill(&mut self, x: &[f32], n_in: usize) {
        assert!(n_in > 0 && x.len().is_multiple_of(n_in), "rows are whole");
        self.n_in = n_in;
        let width = whole_planes(n_in);
        let n_tokens = x.len() / n_in;
        self.q.clear();
        self.q.resize(n_tokens * width, 0);
        self.factors.clear();
        self.sums.clear();
        for (row, q) in x.chunks_exact(n_in).zip(self.q.chunks_exact_mut(width)) {
            let factor = factor(row);
            let mut sum = 0i32;
            for (q, &x) in q.iter_mut().zip(row) {
                *q = round_to_i16(x * factor);
                // At most 128 * n_in in magnitude: no overflow below 16 million columns.
                sum = sum.wrapping_add(i32::from(*q));
            }
            self.factors.push(factor);
            self.sums.push(sum);
        }
    }

    /// Number of rows.
    pub fn n_tokens(&self) -> usize {
        self.factors.len()
    }

    /// Values per row, padding not counted.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Quantized values `[n_in]` of one row, each in -128..=127.
    pub fn row(&self, token: usize) -> &[i16] {
        &self.q[token * whole_planes(self.n_in)..][..self.n_in]
    }

    /// `[tokens]` factors r with `q = round(x * r)`.
    pub fn factors(&self) -> &[f32] {
        &self.factors
    }
}

/// `n` columns rounded up to whole planes; planes of a last group without columns are skipped.
fn whole_planes(n: usize) -> usize {
    n.next_multiple_of(GROUP_BYTES)
}

/// `127 / max(max |x|, 1e-5)`; NaN when a value is NaN, 0 when one is infinite.
fn factor(row: &[f32]) -> f32 {
    // Magnitudes of floats are ordered as their bits are, and NaN is above everything.
    let largest = row
        .iter()
        .fold(0, |m, x| (x.to_bits() & 0x7fff_ffff).max(m));
    let largest = f32::from_bits(largest);
    127.0 / if largest < 1e-5 { 1e-5 } else { largest }
}

/// Nearest integer, halves to even, for `|x|` up to 128; rounding 127 plus an ulp gives 127.
fn round_to_i16(x: f32) -> i16 {
    // Adding 1.5 * 2^23 leaves no bits for a fraction, so the addition itself rounds as IEEE does.
    // `round_ties_even` would be a function call without SSE4.1.
    const SHIFT: f32 = 12_582_912.0;
    let bits = (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low byte carries the value"
    )]
    let low = bits as u8;
    i16::from(low.cast_signed())
}

/// Exact integer products of every row of `weights` with every row of `x`.
///
/// * `weights`: `[n_out, n_in]`
/// * `unpacked`: scratch, grown to the padded `n_in` where it is shorter
/// * `out`: `[tokens, n_out]`, row `i` of the result is `sum_j T_ij q_j`; at most `127 n_in`
///
/// # Panics
/// When the widths differ or `out` has another length.
pub fn products(weights: &PackedMatrix, x: &Quantized, unpacked: &mut Vec<i16>, out: &mut [i32]) {
    assert_eq!(weights.n_in(), x.n_in(), "operands differ in width");
    let n_out = weights.n_out();
    assert_eq!(
        out.len(),
        x.n_tokens() * n_out,
        "the output holds every product"
    );
    let width = whole_planes(x.n_in());
    if let [sum] = x.sums[..] {
        for (row, out) in out.iter_mut().enumerate() {
            *out = packed_dot(weights.row(row), &x.q).wrapping_sub(sum);
        }
        return;
    }
    unpacked.resize(width, 0);
    for row in 0..n_out {
        unpack(weights.row(row), unpacked);
        for (token, (q, sum)) in x.q.chunks_exact(width).zip(&x.sums).enumerate() {
            out[token * n_out + row] = dot(unpacked, q).wrapping_sub(*sum);
        }
    }
}

/// Sum of code times activation over one packed row.
///
/// * `row`: whole groups of [`GROUP_BYTES`]
/// * `q`: whole planes; the last ones of the last group may be absent
fn packed_dot(row: &[u8], q: &[i16]) -> i32 {
    // One group adds at most 4 * 2 * 128 to a lane, so 31 of them stay inside i16.
    const GROUPS: usize = 31;
    let mut total = 0i32;
    for (bytes, q) in row
        .chunks(GROUPS * GROUP_BYTES)
        .zip(q.chunks(GROUPS * GROUP))
    {
        let mut lanes = [0i16; GROUP_BYTES];
        for (bytes, q) in bytes
            .as_chunks::<GROUP_BYTES>()
            .0
            .iter()
            .zip(q.chunks(GROUP))
        {
            for (p, q) in q.as_chunks::<GROUP_BYTES>().0.iter().enumerate() {
                for j in 0..GROUP_BYTES {
                    let code = i16::from(bytes[j] >> (2 * p) & 3);
                    lanes[j] = lanes[j].wrapping_add(code.wrapping_mul(q[j]));
                }
            }
        }
        total = lanes
            .iter()
            .fold(total, |sum, lane| sum.wrapping_add(i32::from(*lane)));
    }
    total
}

/// Codes 0, 1, 2 of one packed row, for as many whole planes as `codes` holds.
fn unpack(row: &[u8], codes: &mut [i16]) {
    for (bytes, codes) in row.chunks_exact(GROUP_BYTES).zip(codes.chunks_mut(GROUP)) {
        for (p, codes) in codes.chunks_exact_mut(GROUP_BYTES).enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = i16::from(byte >> (2 * p) & 3);
            }
        }
    }
}

/// Lanes of 16 bits added up side by side: few enough to stay in registers.
const LANES: usize = 32;

/// Sum of code times activation, both in whole planes.
fn dot(codes: &[i16], q: &[i16]) -> i32 {
    // One step adds at most 2 * 128 to a lane, so 127 of them stay inside i16.
    const STEPS: usize = 127;
    let mut total = 0i32;
    for (codes, q) in codes.chunks(STEPS * LANES).zip(q.chunks(STEPS * LANES)) {
        let mut lanes = [0i16; LANES];
        for (codes, q) in codes
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(q.as_chunks::<LANES>().0)
        {
            // Changes nothing but the machine code: without it rustc 1.95 vectorises across the
            // steps, gathering single values, and a prompt takes ten times as long.
            let codes = black_box(codes);
            for l in 0..LANES {
                lanes[l] = lanes[l].wrapping_add(codes[l].wrapping_mul(q[l]));
            }
        }
        total = lanes
            .iter()
            .fold(total, |sum, lane| sum.wrapping_add(i32::from(*lane)));
    }
    total
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::model::synthetic::random_matrix;

    fn quantized(x: &[f32], n_in: usize) -> Quantized {
        let mut q = Quantized::default();
        q.fill(x, n_in);
        q
    }

    #[test]
    fn halves_round_to_even() {
        let q = quantized(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5], 6);
        assert_eq!(q.row(0), [127, 0, 2, 2, 0, -2]);
    }

    #[test]
    fn rounding_equals_round_ties_even_over_the_whole_range() {
        for sixteenth in -2040..=2036i16 {
            let x = f32::from(sixteenth) / 16.0;
            let difference = f32::from(round_to_i16(x)) - x.round_ties_even();
            assert!(difference.abs() < f32::MIN_POSITIVE, "{x}");
        }
    }

    #[test]
    fn silence_stays_silent_and_extremes_stay_in_range() {
        assert_eq!(quantized(&[0.0; 4], 4).row(0), [0; 4]);
        assert_eq!(quantized(&[3e38, -3e38, 1e-30], 3).row(0), [127, -127, 0]);
    }

    #[test]
    fn odd_values_show_in_the_factor() {
        assert!(quantized(&[1.0, f32::NAN, 2.0], 3).factors()[0].is_nan());
        let infinite = quantized(&[1.0, f32::NEG_INFINITY], 2).factors()[0];
        assert!((1.0f32 / infinite).is_infinite());
    }

    /// The product as written in the definition, from the canonical form.
    fn oracle(matrix: &crate::model::TernaryMatrix, q: &[i16]) -> Vec<i32> {
        let row = |i| (0..matrix.n_in()).map(move |j| i32::from(matrix.sign(i, j)));
        (0..matrix.n_out())
            .map(|i| row(i).zip(q).map(|(t, q)| t * i32::from(*q)).sum())
            .collect()
    }

    proptest! {
        #[test]
        fn products_are_exact(n_out in 1usize..9, n_in in 40usize..700, tokens in 1usize..4, seed: u64) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let matrix = random_matrix(&mut rng, [n_out, n_in], 1.0);
            let x: Vec<f32> = (0..tokens * n_in)
                .map(|i| if (i as u64 ^ seed).is_multiple_of(7) { -127.0 } else { (i % 255) as f32 - 127.0 })
                .collect();
            let q = quantized(&x, n_in);
            let mut out = vec![0; tokens * n_out];
            products(&PackedMatrix::new(&matrix), &q, &mut Vec::new(), &mut out);
            for token in 0..tokens {
                prop_assert_eq!(&out[token * n_out..][..n_out], oracle(&matrix, q.row(token)));
            }
        }
    }

    #[test]
    fn the_largest_sums_do_not_wrap() {
        let n_in = 40 * GROUP + 3;
        // Every weight is 1 but the first, every activation 127.
        let mut codes = vec![0b10_10_10_10; n_in.div_ceil(4)];
        codes[0] = 0b10_10_10_01;
        *codes.last_mut().unwrap() = 0b10_10_10;
        let matrix = crate::model::TernaryMatrix::new("w", [1, n_in], codes, 1.0).unwrap();
        let packed = PackedMatrix::new(&matrix);
        let expected = 127 * (i32::try_from(n_in).unwrap() - 1);
        for tokens in [1, 2] {
            let q = quantized(&vec![1.0; tokens * n_in], n_in);
            let mut out = vec![0; tokens];
            products(&packed, &q, &mut Vec::new(), &mut out);
            assert_eq!(out, vec![expected; tokens]);
        }
    }

    #[test]
    fn products_equal_a_dense_product_of_the_dequantized_matrix() {
        let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(3), [40, 300], 0.75);
        let x: Vec<f32> = (0..2 * 300)
            .map(|i| (i as f32 * 0.37).sin() * 127.0)
            .collect();
        let q = quantized(&x, 300);
        let mut out = vec![0; 2 * 40];
        products(&PackedMatrix::new(&matrix), &q, &mut Vec::new(), &mut out);

        let device = Device::Cpu;
        let weights = Tensor::from_vec(matrix.dequantize(), (40, 300), &device).unwrap();
        let values: Vec<f32> = (0..2)
            .flat_map(|t| q.row(t))
            .map(|&q| f32::from(q))
            .collect();
        let inputs = Tensor::from_vec(values, (2, 300), &device).unwrap();
        let dense = inputs.matmul(&weights.t().unwrap()).unwrap();
        let dense: Vec<f32> = dense.flatten_all().unwrap().to_vec1().unwrap();
        for (sum, dense) in out.iter().zip(dense) {
            // Multiples of 0.75 below 2^20 are exact in f32, whatever the order.
            assert_eq!(
                (*sum as f32 * matrix.scale()).to_bits(),
                (dense + 0.0).to_bits()
            );
        }
    }

    #[test]
    #[should_panic(expected = "operands differ in width")]
    fn operands_of_different_width_are_a_bug() {
        let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(1), [2, 64], 1.0);
        let q = quantized(&[1.0; 60], 60);
        products(
            &PackedMatrix::new(&matrix),
            &q,
            &mut Vec::new(),
            &mut [0; 2],
        );
    }
}
