//! Weights in compute layout against what their file gives.

use crate::engine::kernels::Kernel;
use crate::engine::kernels::pack::PackedMatrix;
use crate::engine::kernels::quantize::Quantized;
use crate::engine::kernels::ternary::products;
use crate::hint::Hint;
use crate::model::Witness;

/// Weights in compute layout that are not those of the file: a defect of this program or of the
/// machine, never of the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{projection} of layer {layer} is not what its file holds: on known activations row {row} gives {found}, expected {expected}"
)]
pub struct Repacked {
    /// Layer, from 0.
    pub layer: usize,
    /// Name of the projection in a checkpoint, below `model.layers.N.`.
    pub projection: &'static str,
    /// Output row.
    pub row: usize,
    /// Sum by the plain definition of the file's layout.
    pub expected: i32,
    /// Sum by the kernel.
    pub found: i32,
}

impl Hint for Repacked {
    fn hint(&self) -> Option<String> {
        Some(
            "this is a defect of vv-eval or of the machine's memory, not of the model; try again \
             with VV_EVAL_KERNEL=scalar and report both results"
                .to_owned(),
        )
    }
}

/// The first row whose sum is another: row, expected, found.
pub(super) fn difference(
    kernel: Kernel,
    matrix: &PackedMatrix,
    witness: &Witness,
) -> Option<(usize, i32, i32)> {
    let mut x = Quantized::new(1, matrix.n_in());
    x.fill(kernel, &Witness::activations(matrix.n_in()), matrix.n_in());
    let mut found = vec![0; matrix.n_out()];
    products(kernel, matrix, 0..matrix.n_out(), &x, |row, _, sum| {
        found[row] = sum;
    });
    let mut sums = witness.sums().iter();
    let &(row, expected) = sums.find(|(row, sum)| found[*row] != *sum)?;
    Some((row, expected, found[row]))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::model::TernaryMatrix;
    use crate::model::synthetic::random_matrix;

    fn matrix(seed: u64) -> TernaryMatrix {
        random_matrix(&mut ChaCha8Rng::seed_from_u64(seed), [300, 333], 1.0)
    }

    fn witness(matrix: &TernaryMatrix) -> Witness {
        Witness::new([matrix.n_out(), matrix.n_in()], |row, out| {
            for (column, sign) in out.iter_mut().enumerate() {
                *sign = matrix.sign(row, column);
            }
        })
    }

    /// Row of the first difference after a change of the packed bytes, on every kernel.
    #[track_caller]
    fn check(change: impl Fn(&mut PackedMatrix), row: Option<usize>) {
        let matrix = matrix(4);
        let witness = witness(&matrix);
        let mut packed = PackedMatrix::new(&matrix);
        change(&mut packed);
        for kernel in Kernel::all() {
            let found = difference(kernel, &packed, &witness);
            assert_eq!(found.map(|(row, ..)| row), row, "{kernel}");
        }
    }

    #[test]
    fn a_sound_repack_has_no_difference() {
        check(|_| (), None);
    }

    #[test]
    fn two_columns_in_each_others_place_are_noticed() {
        check(
            |packed| {
                let row = packed.row_mut(299);
                let at = (0..63).find(|j| row[*j] != row[j + 1]).expect("noise");
                row.swap(at, at + 1);
            },
            Some(299),
        );
    }

    #[test]
    fn planes_in_another_order_are_noticed() {
        check(
            |packed| {
                for row in 0..300 {
                    packed
                        .row_mut(row)
                        .iter_mut()
                        .for_each(|b| *b = b.rotate_left(2));
                }
            },
            Some(0),
        );
    }

    #[test]
    fn one_code_in_the_last_row_is_noticed() {
        check(|packed| packed.row_mut(299)[5] ^= 0b01_00, Some(299));
    }
}
