//! The layout ternary products are computed from.
//!
//! Rows are contiguous. Each is cut into groups of 256 columns, 64 bytes each: **bits 2p and 2p+1
//! of byte j hold the code `T + 1` of column 64p + j of the group**. The last group is filled up
//! with weights of 0 (code 1).

use rayon::prelude::*;

use crate::model::TernaryMatrix;
use crate::model::arena::{Arena, Slab};

/// Columns of one group.
pub const GROUP: usize = 256;
/// Bytes of one group.
pub const GROUP_BYTES: usize = GROUP / 4;

/// A ternary matrix `[n_out, n_in]` in compute layout.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix {
    n_out: usize,
    n_in: usize,
    bytes: Slab<u8>,
    scale: f32,
}

impl PackedMatrix {
    /// Repacks the canonical form into a mapping of its own.
    ///
    /// # Panics
    /// When the system has no memory.
    pub fn new(matrix: &TernaryMatrix) -> Self {
        let bytes = Self::room(matrix);
        Self::in_arena(&mut Arena::new(bytes), matrix)
    }

    /// Bytes of an arena that [`in_arena`](Self::in_arena) takes.
    pub fn room(matrix: &TernaryMatrix) -> usize {
        Arena::room::<u8>(matrix.n_out() * padded(matrix.n_in()) / 4)
    }

    /// Repacks the canonical form, on as many threads as the machine has.
    ///
    /// # Panics
    /// When the arena is too small.
    pub fn in_arena(arena: &mut Arena, matrix: &TernaryMatrix) -> Self {
        let (n_out, n_in) = (matrix.n_out(), matrix.n_in());
        let row_bytes = padded(n_in) / 4;
        let mut bytes = arena.take(n_out * row_bytes);
        // Small matrices cost less than handing them to a thread.
        let rows_per_task = (1usize << 18).div_ceil(row_bytes);
        bytes
            .par_chunks_mut(rows_per_task * row_bytes)
            .enumerate()
            .for_each(|(task, rows)| {
                for (i, packed) in rows.chunks_exact_mut(row_bytes).enumerate() {
                    pack_row(matrix.row(task * rows_per_task + i), n_in, packed);
                }
            });
        Self {
            n_out,
            n_in,
            bytes,
            scale: matrix.scale(),
        }
    }

    /// Output rows.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Input columns, padding not counted.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Input columns with padding, a multiple of [`GROUP`].
    pub fn padded_in(&self) -> usize {
        padded(self.n_in)
    }

    /// Direct scale.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Bytes the codes take, padding included.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Packed bytes of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        let bytes = self.padded_in() / 4;
        &self.bytes[row * bytes..][..bytes]
    }

    /// Packed bytes of one row, to be made wrong.
    #[cfg(test)]
    pub(in crate::engine) fn row_mut(&mut self, row: usize) -> &mut [u8] {
        let bytes = self.padded_in() / 4;
        &mut self.bytes[row * bytes..][..bytes]
    }
}

/// Four neighbouring codes a byte become four planes of 64 columns.
///
/// * `codes`: one row, first code in the low bits
/// * `packed`: whole groups
fn pack_row(codes: &[u8], n_in: usize, packed: &mut [u8]) {
    for (group, packed) in packed
        .as_chunks_mut::<GROUP_BYTES>()
        .0
        .iter_mut()
        .enumerate()
    {
        let first = group * GROUP_BYTES;
        // Code 1, a weight of 0, in every place without a column.
        let mut padded = [0b01_01_01_01; GROUP_BYTES];
        let n_columns = GROUP.min(n_in - group * GROUP);
        let source = &codes[first..][..n_columns.div_ceil(4)];
        padded[..source.len()].copy_from_slice(source);
        let n_last = n_columns % 4;
        if n_last > 0 {
            let keep = (1u8 << (2 * n_last)) - 1;
            let last = &mut padded[source.len() - 1];
            *last = *last & keep | 0b01_01_01_01 & !keep;
        }
        // Byte 16p + m holds columns 64p + 4m ..; output byte 4m + k takes its slot k as plane p.
        for m in 0..16 {
            for k in 0..4 {
                let plane = |p: usize| (padded[16 * p + m] >> (2 * k) & 3) << (2 * p);
                packed[4 * m + k] = plane(0) | plane(1) | plane(2) | plane(3);
            }
        }
    }
}

/// `n` rounded up to whole groups.
pub fn padded(n: usize) -> usize {
    n.next_multiple_of(GROUP)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::model::synthetic::random_matrix;

    #[test]
    fn every_code_is_found_at_its_documented_place() {
        for n_in in [3, 64, 256, 300] {
            let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(1), [5, n_in], 1.0);
            let packed = PackedMatrix::new(&matrix);
            for row in 0..5 {
                for column in 0..packed.padded_in() {
                    let byte = packed.row(row)[column / 256 * 64 + column % 64];
                    let code = byte >> (2 * (column % 256 / 64)) & 3;
                    let sign = if column < n_in {
                        matrix.sign(row, column)
                    } else {
                        0
                    };
                    assert_eq!(
                        i8::try_from(code).unwrap() - 1,
                        sign,
                        "{row}, {column} of {n_in}"
                    );
                }
            }
        }
    }
}
