//! The layout ternary products are computed from.
//!
//! Rows are contiguous. Each is cut into groups of 256 columns, 64 bytes each: **bits 2p and 2p+1
//! of byte j hold the code `T + 1` of column 64p + j of the group**. The last group is filled up
//! with weights of 0 (code 1).

use crate::model::TernaryMatrix;

/// Columns of one group.
pub const GROUP: usize = 256;
/// Bytes of one group.
pub const GROUP_BYTES: usize = GROUP / 4;

/// A ternary matrix `[n_out, n_in]` in compute layout.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix {
    n_out: usize,
    n_in: usize,
    bytes: Vec<u8>,
    scale: f32,
}

impl PackedMatrix {
    /// Repacks the canonical form.
    pub fn new(matrix: &TernaryMatrix) -> Self {
        let (n_out, n_in) = (matrix.n_out(), matrix.n_in());
        let row_bytes = padded(n_in) / 4;
        // Code 1, a weight of 0, in every place.
        let mut bytes = vec![0b01_01_01_01; n_out * row_bytes];
        for (row, packed) in bytes.chunks_exact_mut(row_bytes).enumerate() {
            let codes = matrix.row(row);
            for column in 0..n_in {
                let code = codes[column / 4] >> (2 * (column % 4)) & 3;
                let shift = 2 * (column % GROUP / 64);
                let byte = &mut packed[column / GROUP * GROUP_BYTES + column % 64];
                *byte = *byte & !(3 << shift) | code << shift;
            }
        }
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

    /// Packed bytes of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        let bytes = self.padded_in() / 4;
        &self.bytes[row * bytes..][..bytes]
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
