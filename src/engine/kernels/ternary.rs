//! Exact integer products of ternary matrices and quantized inputs.

#![expect(
    unsafe_code,
    reason = "calls of functions compiled for an instruction set"
)]

use std::ops::Range;

use super::pack::PackedMatrix;
use super::quantize::{MAX_TOKENS, Quantized, TILE};
use super::{Columns, Isa, Kernel, scalar};

/// Rows that meet a tile one after the other. Their weights, a quarter of a byte a column, take no
/// more room than the tile of eight tokens.
const BLOCK_ROWS: usize = 32;

/// Products of some rows of `weights` with every row of `x`.
///
/// * `weights`: `[n_out, n_in]`
/// * `rows`: of `weights`
/// * `emit`: called with row, token and `sum_j T_ij q_j`, which is at most `127 n_in`
///
/// # Panics
/// When the widths differ or there are no such rows.
#[inline]
pub fn products(
    kernel: Kernel,
    weights: &PackedMatrix,
    rows: Range<usize>,
    x: &Quantized,
    mut emit: impl FnMut(usize, usize, i32),
) {
    assert_eq!(weights.n_in(), x.n_in(), "operands differ in width");
    assert!(rows.end <= weights.n_out(), "the matrix has the rows");
    let emit = &mut emit;
    each_block(rows, x.n_tiles(), |rows, tile| match kernel.0 {
        // SAFETY: a kernel exists only where its features were detected.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { super::avx512::products(weights, rows, x, tile, emit) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { super::avx2::products(weights, rows, x, tile, emit) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => unsafe { super::neon::products(weights, rows, x, tile, emit) },
        Isa::Scalar => {
            let (first, width, q) = x.tile(tile);
            for row in rows {
                let mut sums = [0; TILE];
                let sums = &mut sums[..width];
                scalar::codes(weights.row(row), q, sums);
                for (token, sum) in (first..).zip(sums) {
                    emit(row, token, sum.wrapping_sub(x.sums()[token]));
                }
            }
        }
    });
}

/// Calls `multiply` with some rows and a tile until every row has met every tile. A tile is used on
/// a whole block of rows while it is in the nearest cache; all tiles together are larger than that,
/// and row after row would read them from farther away.
#[inline]
fn each_block(rows: Range<usize>, n_tiles: usize, mut multiply: impl FnMut(Range<usize>, usize)) {
    let n_rows = if n_tiles > 1 { BLOCK_ROWS } else { rows.len() };
    for first in rows.clone().step_by(n_rows.max(1)) {
        let block = first..rows.end.min(first + n_rows);
        for tile in 0..n_tiles {
            multiply(block.clone(), tile);
        }
    }
}

/// Writes `sum_j T_ij q_tj * (s / r_t)` for the rows that are the columns of `out`.
///
/// The sums convert to f32 without rounding up to 132,104 columns.
///
/// * `out`: `[tokens, n_out]`
///
/// # Panics
/// As [`products`].
pub fn multiply(kernel: Kernel, weights: &PackedMatrix, x: &Quantized, out: &mut Columns<'_, f32>) {
    let rows = out.range();
    let first = rows.start;
    let factors = factors(weights, x);
    products(kernel, weights, rows, x, |row, token, sum| {
        out.row(token)[row - first] = sum as f32 * factors[token];
    });
}

/// As [`multiply`], added to what `out` holds.
///
/// # Panics
/// As [`products`].
pub fn multiply_add(
    kernel: Kernel,
    weights: &PackedMatrix,
    x: &Quantized,
    out: &mut Columns<'_, f32>,
) {
    let rows = out.range();
    let first = rows.start;
    let factors = factors(weights, x);
    products(kernel, weights, rows, x, |row, token, sum| {
        out.row(token)[row - first] += sum as f32 * factors[token];
    });
}

/// `[tokens]` factors `s / r`: a division for every token instead of every product.
fn factors(weights: &PackedMatrix, x: &Quantized) -> [f32; MAX_TOKENS] {
    let mut factors = [0.0; MAX_TOKENS];
    for (factor, r) in factors.iter_mut().zip(x.factors()) {
        *factor = weights.scale() / r;
    }
    factors
}
