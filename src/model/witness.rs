//! Sums that a ternary matrix must give, computed from its file by the plain definition of the
//! layout.
//!
//! Weights are unpacked and repacked on whole words, and a mistake there gives fluent text. So of
//! every model a few matrices are read a second time, value by value, and multiplied by known
//! activations; the engine must find the same sums in the layout it computes with.

use crate::units::Sha256;

/// Matrices of a model that are read a second time.
const N_MATRICES: usize = 3;
/// Rows of a matrix that are summed, at most: spread over all of it, the first and last included.
const MAX_ROWS: usize = 256;

/// Products of some rows of a matrix with the activations that [`Witness::activations`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Row, and the exact sum of its weights -1, 0 and 1 times the activations.
    sums: Vec<(usize, i32)>,
}

impl Witness {
    /// Sums the rows of a matrix `[n_out, n_in]`.
    ///
    /// * `signs`: writes the weights of a row, -1, 0 or 1, from the bytes of the file
    pub fn new([n_out, n_in]: [usize; 2], mut signs: impl FnMut(usize, &mut [i8])) -> Self {
        let activations = activations(n_in);
        let mut row_signs = vec![0; n_in];
        let sums = rows(n_out).map(|row| {
            signs(row, &mut row_signs);
            let products = row_signs.iter().zip(&activations);
            // At most 2 * 127 * n_in, for the one value that is no weight and refused later.
            let sum: i32 = products.map(|(t, q)| i32::from(*t) * i32::from(*q)).sum();
            (row, sum)
        });
        Self {
            sums: sums.collect(),
        }
    }

    /// `[n_in]` whole numbers from -127 to 127, one of them 127: quantizing changes none.
    pub fn activations(n_in: usize) -> Vec<f32> {
        activations(n_in).into_iter().map(f32::from).collect()
    }

    /// Rows with their sums, ascending.
    pub fn sums(&self) -> &[(usize, i32)] {
        &self.sums
    }
}

/// Which of `n` matrices are read a second time; the files' own digest chooses.
pub(super) fn chosen(release: &Sha256, n: usize) -> Vec<usize> {
    let mut seed = 0;
    for eight in release.as_bytes().as_chunks().0 {
        seed = mixed(seed ^ u64::from_le_bytes(*eight));
    }
    let mut all = Vec::new();
    while all.len() < N_MATRICES.min(n) {
        seed = mixed(seed);
        let index = below(seed, n);
        if !all.contains(&index) {
            all.push(index);
        }
    }
    all
}

fn activations(n_in: usize) -> Vec<i8> {
    let noise = |column: usize| {
        let [low, ..] = mixed(column as u64).to_le_bytes();
        low.cast_signed().max(-127)
    };
    (0..n_in)
        .map(|column| if column == 0 { 127 } else { noise(column) })
        .collect()
}

fn rows(n_out: usize) -> impl Iterator<Item = usize> {
    let n = n_out.min(MAX_ROWS);
    (0..n).map(move |i| {
        let (start, end) = (i * n_out / n, (i + 1) * n_out / n);
        match i {
            0 => 0,
            _ if i + 1 == n => n_out - 1,
            _ => start + below(mixed(i as u64), end - start),
        }
    })
}

/// Signs of a row in the packed bytes of transformers: bits 2i and 2i+1 of byte (p, j) are the
/// code of row `p + i*R`, column j, with `R = ceil(n_out / 4)`.
pub(super) fn packed_row([n_out, n_in]: [usize; 2], packed: &[u8], row: usize, out: &mut [i8]) {
    let groups = n_out.div_ceil(4);
    let (p, i) = (row % groups, row / groups);
    for (sign, byte) in out.iter_mut().zip(&packed[p * n_in..][..n_in]) {
        *sign = (byte >> (2 * i) & 3).cast_signed() - 1;
    }
}

/// Signs of a row of floats.
///
/// * `values`: `[n_out, n_in]`
/// * `rounded`: a weight divided by the magnitude of all and rounded, or anything of its sign
pub(super) fn float_row(values: &[f32], rounded: impl Fn(f32) -> f32, row: usize, out: &mut [i8]) {
    let n_in = out.len();
    for (sign, w) in out.iter_mut().zip(&values[row * n_in..]) {
        let rounded = rounded(*w);
        *sign = i8::from(rounded > 0.0) - i8::from(rounded < 0.0);
    }
}

/// A number below `n`.
fn below(noise: u64, n: usize) -> usize {
    // The remainder of a number below 2^64 favours no choice by more than n / 2^64.
    usize::try_from(noise % n as u64).unwrap_or(0)
}

/// The output function of `SplitMix64` (Steele, Lea & Flood 2014) for the state after `x`.
fn mixed(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_over_the_matrix_and_hold_its_ends() {
        for n_out in [1, 2, 5, 256, 257, 1000, 6912] {
            let rows: Vec<usize> = rows(n_out).collect();
            assert_eq!(rows.len(), n_out.min(MAX_ROWS));
            assert!(rows.is_sorted_by(|a, b| a < b), "{n_out}: {rows:?}");
            assert_eq!((rows[0], *rows.last().unwrap()), (0, n_out - 1));
        }
    }

    #[test]
    fn matrices_are_different_ones_and_the_files_choose_them() {
        let choice = |text: &[u8], n| chosen(&Sha256::of(text), n);
        assert_eq!(choice(b"a", 2).len(), 2);
        for text in [b"a", b"b", b"c"] {
            let mut found = choice(text, 210);
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), N_MATRICES);
            assert!(found.iter().all(|index| *index < 210));
        }
        assert_eq!(choice(b"a", 210), choice(b"a", 210));
        assert_ne!(choice(b"a", 210), choice(b"b", 210));
    }

    #[test]
    fn activations_stay_in_a_byte_and_reach_its_end() {
        let found = Witness::activations(5000);
        assert_eq!(found[0].to_bits(), 127f32.to_bits());
        assert!(found.iter().all(|q| q.abs() <= 127.0 && q.fract() == 0.0));
        assert!(found.iter().any(|q| *q < -100.0));
    }

    #[test]
    fn sums_are_those_of_the_signs() {
        let signs = |row: usize, out: &mut [i8]| {
            for (column, sign) in out.iter_mut().enumerate() {
                *sign = i8::try_from((row + column) % 3).unwrap() - 1;
            }
        };
        let q = activations(4);
        let sign = |row: usize, j: usize| i32::try_from((row + j) % 3).unwrap() - 1;
        let expected = |row: usize| -> i32 {
            let products = q.iter().enumerate();
            products.map(|(j, q)| sign(row, j) * i32::from(*q)).sum()
        };
        let found = Witness::new([3, 4], signs);
        assert_eq!(found.sums(), [0, 1, 2].map(|row| (row, expected(row))));
    }
}
