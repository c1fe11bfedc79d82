//! Signs of ternary rows by the plain definition of each type, one value at a time.
//!
//! Reading uses arithmetic on whole words instead (`codes.rs`); a few matrices of every model are
//! held against this.

use super::blocks;
use super::kind::GgmlType;
use crate::model::I2sLayout;

/// Writes the signs of one row of a tensor.
///
/// * `bytes`: of the whole tensor
/// * `row`: in the order of the file
///
/// # Panics
/// When the type holds no ternary weights or there is no such row.
pub(super) fn signs(kind: GgmlType, layout: I2sLayout, bytes: &[u8], row: usize, out: &mut [i8]) {
    if kind == GgmlType::I2S {
        return i2_s(layout, bytes, row, out);
    }
    let (values, size) = kind.block().expect("the type has blocks");
    let in_blocks = |n: u64| usize::try_from(n).expect("a block is short");
    let row_bytes = out.len() / in_blocks(values) * in_blocks(size);
    let mut floats = vec![0.0; out.len()];
    blocks::decode(kind, &bytes[row * row_bytes..][..row_bytes], &mut floats);
    for (sign, value) in out.iter_mut().zip(floats) {
        *sign = i8::from(value > 0.0) - i8::from(value < 0.0);
    }
}

/// A block of N bytes holds value v in byte `v % N`, the first N values in the high bits.
fn i2_s(layout: I2sLayout, bytes: &[u8], row: usize, out: &mut [i8]) {
    let n = match layout {
        I2sLayout::Blocks128 => 32,
        I2sLayout::Blocks64 => 16,
    };
    let first = row * out.len();
    for (column, sign) in out.iter_mut().enumerate() {
        let (block, v) = ((first + column) / (4 * n), (first + column) % (4 * n));
        let byte = bytes[block * n + v % n];
        *sign = (byte >> (6 - 2 * (v / n)) & 3).cast_signed() - 1;
    }
}

/// The row of the file that is `row` of the checkpoint, where the converter permuted the rows of
/// heads of width `head_dim` for interleaved rotary pairs.
pub(super) fn file_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    let (half, i) = (within / (head_dim / 2), within % (head_dim / 2));
    head * head_dim + 2 * i + half
}
