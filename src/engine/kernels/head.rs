//! Logits: the last hidden state times every row of the head.
//!
//! The reference does not quantize what enters the head, so eight bits would be too few for an
//! 8-bit table: the input is kept in 15 bits, as two planes of signed bytes,
//! `q = round(h * 16256 / max |h|) = 128 hi + lo`. The integer sums are exact.

#![expect(
    unsafe_code,
    reason = "calls of functions compiled for an instruction set"
)]

use half::f16;

use super::float::{LANES, dot, tree};
use super::quantize::{CHUNK, TILE};
use super::{Columns, Isa, Kernel, for_every_kernel, scalar};
use crate::model::arena::{Arena, Slab};
use crate::model::{Rows, Table};

/// Largest magnitude of a quantized input.
const RANGE: f32 = 127.0 * 128.0;

/// Widest table: 255 * 127 * width stays below 2^31.
const MAX_WIDTH: usize = 65_536;

/// Hidden states of up to [`TILE`] tokens, as the head reads them.
pub struct HeadInput {
    width: usize,
    n_tokens: usize,
    /// `[tokens, width]`
    h: Slab<f32>,
    /// `[chunk][token][2][64]`
    planes: Slab<i8>,
    /// `[tokens]`: a value is `q * scale`
    scales: [f32; TILE],
    /// `[tokens]` sums of q
    sums: [i32; TILE],
}

impl HeadInput {
    /// Bytes of an arena that [`in_arena`](Self::in_arena) takes.
    pub fn room(width: usize) -> usize {
        Arena::room::<f32>(TILE * width)
            + Arena::room::<i8>(2 * TILE * width.next_multiple_of(CHUNK))
    }

    /// Room for [`TILE`] tokens of `width` values.
    ///
    /// # Panics
    /// When the arena is too small, or the sums of so wide a table could overflow.
    pub fn in_arena(arena: &mut Arena, width: usize) -> Self {
        assert!(width <= MAX_WIDTH, "sums over a row fit i32");
        Self {
            width,
            n_tokens: 0,
            h: arena.take(TILE * width),
            planes: arena.take(2 * TILE * width.next_multiple_of(CHUNK)),
            scales: [0.0; TILE],
            sums: [0; TILE],
        }
    }

    /// Begins `n_tokens` new rows and gives the room for them, `[tokens, width]`; when they are
    /// written, [`finish`](Self::finish) makes them ready.
    ///
    /// # Panics
    /// When there are more than [`TILE`].
    pub fn begin(&mut self, n_tokens: usize) -> &mut [f32] {
        assert!((1..=TILE).contains(&n_tokens), "at most a tile of tokens");
        self.n_tokens = n_tokens;
        &mut self.h[..n_tokens * self.width]
    }

    /// Prepares what was written for `table`.
    pub fn finish(&mut self, kernel: Kernel, table: &Table) {
        if !matches!(table.rows(), Rows::Int8 { .. }) {
            return;
        }
        let n = self.n_tokens;
        let planes = &mut self.planes[..2 * n * self.width.next_multiple_of(CHUNK)];
        for (token, h) in self.h.chunks_exact(self.width).take(n).enumerate() {
            let factor = factor(kernel, h);
            // The reciprocal of the factor, rounded once more, costs nothing in 15 bits.
            self.scales[token] = 1.0 / factor;
            self.sums[token] = quantize(kernel, h, factor, planes, token, n);
        }
    }

    /// Number of rows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }
}

for_every_kernel! {
    /// `16256 / max |h|`, infinite for zeros; NaN when a value is NaN, 0 when one is infinite.
    pub fn factor(h: &[f32]) -> f32 {
        let largest = h
            .iter()
            .fold(0, |m, x| (x.to_bits() & 0x7fff_ffff).max(m));
        RANGE / f32::from_bits(largest)
    }

    /// Writes both planes of row `token` of `width` and gives the sum of the quantized values.
    pub fn quantize(
        h: &[f32],
        factor: f32,
        planes: &mut [i8],
        token: usize,
        width: usize,
    ) -> i32 {
        // As in `quantize::round_to_i8`; 16 bits are left of the sum.
        const SHIFT: f32 = 12_582_912.0;
        let mut sum = 0i32;
        let rows = planes.chunks_exact_mut(2 * CHUNK).skip(token).step_by(width);
        for (h, planes) in h.chunks(CHUNK).zip(rows) {
            let (high, low) = planes.split_at_mut(CHUNK);
            high.fill(0);
            low.fill(0);
            for ((high, low), x) in high.iter_mut().zip(low).zip(h) {
                // Zeros alone have an infinite factor; 0 * infinity would be NaN.
                let scaled = if *x == 0.0 { 0.0 } else { x * factor };
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the low half carries the value"
                )]
                let q = i32::from(((scaled + SHIFT).to_bits() as u16).cast_signed());
                let hi = (q + 64) >> 7;
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "both parts are in -127..=127 by construction"
                )]
                {
                    *high = hi as i8;
                    *low = (q - 128 * hi) as i8;
                }
                sum = sum.wrapping_add(q);
            }
        }
        sum
    }
}

/// Logits of the rows of `table` that are the columns of `out`.
///
/// * `out`: `[tokens, vocab]`
///
/// # Panics
/// When the widths differ, or `out` has rows the table lacks.
pub fn logits(kernel: Kernel, table: &Table, input: &HeadInput, out: &mut Columns<'_, f32>) {
    assert_eq!(table.width(), input.width, "operands differ in width");
    let range = out.range();
    assert!(range.end <= table.n_rows(), "the table has the rows");
    let (first, width, n) = (range.start, table.width(), input.n_tokens);
    match table.rows() {
        Rows::F32(all) => {
            for row in range {
                let weights = &all[row * width..][..width];
                for (token, h) in input.h.chunks_exact(width).take(n).enumerate() {
                    out.row(token)[row - first] = dot(kernel, h, weights);
                }
            }
        }
        Rows::F16(all) => {
            for row in range {
                let weights = &all[row * width..][..width];
                for (token, h) in input.h.chunks_exact(width).take(n).enumerate() {
                    out.row(token)[row - first] = dot_f16(kernel, weights, h);
                }
            }
        }
        Rows::Int8 { q, scales } => {
            let padded = width.next_multiple_of(CHUNK);
            let planes = &input.planes[..2 * n * padded];
            let mut sums = [[0i32; 2]; TILE];
            let sums = &mut sums[..n];
            for row in range {
                bytes(kernel, &q[row * padded..][..padded], planes, sums);
                for (token, [high, low]) in sums.iter().enumerate() {
                    // The table holds w + 128, so 128 times the sum of q is taken off.
                    let sum = 128 * i64::from(*high) + i64::from(*low)
                        - 128 * i64::from(input.sums[token]);
                    out.row(token)[row - first] = sum as f32 * (scales[row] * input.scales[token]);
                }
            }
        }
    }
}

#[inline]
fn bytes(kernel: Kernel, row: &[u8], planes: &[i8], sums: &mut [[i32; 2]]) {
    match kernel.0 {
        // SAFETY: a kernel exists only where its features were detected.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { super::avx512::bytes(row, planes, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { super::avx2::bytes(row, planes, sums) },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => scalar::bytes(row, planes, sums),
        Isa::Scalar => scalar::bytes(row, planes, sums),
    }
}

/// Sum of products of halves and floats, in the order of [`dot`].
#[inline]
fn dot_f16(kernel: Kernel, row: &[u16], h: &[f32]) -> f32 {
    match kernel.0 {
        // SAFETY: a kernel exists only where its features were detected.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { super::avx512::dot_f16(row, h) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { super::avx2::dot_f16(row, h) },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => dot_f16_scalar(row, h),
        Isa::Scalar => dot_f16_scalar(row, h),
    }
}

fn dot_f16_scalar(row: &[u16], h: &[f32]) -> f32 {
    add_f16([0.0; LANES], row, h)
}

/// Adds the products of halves and floats to `lanes` in order and gives the lanes' sum.
///
/// # Panics
/// When the lengths differ.
#[inline]
pub(super) fn add_f16(mut lanes: [f32; LANES], row: &[u16], h: &[f32]) -> f32 {
    assert_eq!(row.len(), h.len(), "operands differ in length");
    for (row, h) in row.chunks(LANES).zip(h.chunks(LANES)) {
        for ((lane, w), x) in lanes.iter_mut().zip(row).zip(h) {
            *lane += x * f16::from_bits(*w).to_f32();
        }
    }
    tree(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sums_of_bytes_do_not_wrap() {
        for chunks in [1, 3, 4, 5, 40] {
            for tokens in 1..=TILE {
                let row = vec![255; chunks * CHUNK];
                for q in [-128i8, 127] {
                    let planes = vec![q; 2 * tokens * row.len()];
                    let sum = 255 * i32::from(q) * i32::try_from(row.len()).unwrap();
                    for kernel in Kernel::all() {
                        let mut sums = [[0; 2]; TILE];
                        let sums = &mut sums[..tokens];
                        bytes(kernel, &row, &planes, sums);
                        assert!(sums.iter().all(|s| *s == [sum; 2]), "{kernel}, {tokens}");
                    }
                }
            }
        }
    }
}
