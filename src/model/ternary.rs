//! The one form every ternary weight takes after reading: 2-bit codes and a direct scale.
//!
//! Source of the arithmetic: Ma et al. (2024), "The Era of 1-bit LLMs", section 2; of the packed
//! layout: transformers, `integrations/bitnet.py`, `pack_weights`.

use super::arena::Slab;
use super::{Error, Witness};
use crate::units::{Hasher, Sha256};

/// A ternary matrix `[n_out, n_in]`; element (i, j) is `T * scale` with T in {-1, 0, 1}.
#[derive(Debug, Clone)]
pub struct TernaryMatrix {
    n_out: usize,
    n_in: usize,
    /// `T + 1`, four per byte, first in the low bits, each row padded to whole bytes with 0.
    codes: Slab<u8>,
    scale: f32,
    witness: Option<Box<Witness>>,
}

/// Equal weights; a witness is no part of them.
impl PartialEq for TernaryMatrix {
    fn eq(&self, other: &Self) -> bool {
        let parts = |matrix: &Self| (matrix.n_out, matrix.n_in, matrix.scale);
        parts(self) == parts(other) && self.codes == other.codes
    }
}

impl TernaryMatrix {
    /// Builds from the codes themselves.
    ///
    /// * `codes`: `[n_out * ceil(n_in / 4)]`, `T + 1` four per byte, first in the low bits, rows
    ///   padded with 0
    /// * `scale`: direct
    ///
    /// # Errors
    /// [`Error::InvalidCode`], [`Error::Zeros`], [`Error::Scale`]; `name` is for these.
    ///
    /// # Panics
    /// When `codes` has another length.
    pub fn new(
        name: &str,
        [n_out, n_in]: [usize; 2],
        codes: impl Into<Slab<u8>>,
        scale: f32,
    ) -> Result<Self, Error> {
        let codes = codes.into();
        assert_eq!(
            codes.len(),
            n_out * n_in.div_ceil(4),
            "codes fill the matrix"
        );
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::Scale {
                tensor: name.to_owned(),
                value: scale,
            });
        }
        let matrix = Self {
            n_out,
            n_in,
            codes,
            scale,
            witness: None,
        };
        let survey = Survey::of(&matrix.codes);
        if survey.has_three {
            return Err(matrix.invalid_code(name));
        }
        let fraction = survey.n_zeros as f64 / (n_out * n_in) as f64;
        if fraction <= 0.0 || fraction >= 1.0 {
            return Err(Error::Zeros {
                tensor: name.to_owned(),
                fraction,
            });
        }
        Ok(matrix)
    }

    /// Builds from the packed bytes of transformers: bits 2i and 2i+1 of byte (p, j) are the code
    /// of output row `p + i*R`, column j, with `R = ceil(n_out / 4)`.
    ///
    /// * `packed`: `[R, n_in]`
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// When `packed` has another length.
    pub fn from_packed(
        name: &str,
        [n_out, n_in]: [usize; 2],
        packed: &[u8],
        scale: f32,
    ) -> Result<Self, Error> {
        let groups = n_out.div_ceil(4);
        assert_eq!(packed.len(), groups * n_in, "packed bytes fill the matrix");
        let row_bytes = n_in.div_ceil(4);
        let mut codes = Slab::zeroed(n_out * row_bytes);
        // The four rows of a byte lie in the four quarters of the matrix, the last may be short.
        let mut quarters: Vec<&mut [u8]> = codes.chunks_mut(groups * row_bytes).collect();
        for (row, source) in packed.chunks_exact(n_in).enumerate() {
            for (block, source) in source.chunks(64).enumerate() {
                let fours = transposed(source);
                let at = row * row_bytes + block * 16;
                let n = source.len().div_ceil(4);
                for (i, quarter) in quarters.iter_mut().enumerate() {
                    let Some(out) = quarter.get_mut(at..at + n) else {
                        continue;
                    };
                    for (out, four) in out.iter_mut().zip(fours) {
                        *out = four.to_le_bytes()[i];
                    }
                }
            }
        }
        Self::new(name, [n_out, n_in], codes, scale)
    }

    /// Quantizes float masters by the absmean rule: `s = max(mean |W|, 1e-5)`,
    /// `T = clip(round(W / s), -1, 1)`, halves to even.
    ///
    /// * `values`: `[n_out, n_in]`
    ///
    /// # Errors
    /// [`Error::AlreadyTernary`] when the values are {-v, 0, v}: the rule is not idempotent, it
    /// would shrink the scale. Else as [`new`](Self::new).
    ///
    /// # Panics
    /// When `values` has another length.
    pub fn from_masters(name: &str, shape: [usize; 2], values: &[f32]) -> Result<Self, Error> {
        if single_magnitude(values).is_ok() {
            return Err(Error::AlreadyTernary {
                tensor: name.to_owned(),
            });
        }
        let reciprocal = absmean_reciprocal(values);
        let sign = |w: f32| (w * reciprocal).round_ties_even().clamp(-1.0, 1.0);
        let codes = pack_signs(shape, values, sign);
        Self::new(name, shape, codes, 1.0 / reciprocal)
    }

    /// Takes float weights that are ternary already.
    ///
    /// * `values`: `[n_out, n_in]`; {-1, 0, 1} with a stored scale, {-v, 0, v} without
    /// * `scale`: the stored scale in direct form, `None` when the tensor carries none
    ///
    /// # Errors
    /// [`Error::NotTernary`], else as [`new`](Self::new).
    ///
    /// # Panics
    /// When `values` has another length.
    pub fn from_ternary_floats(
        name: &str,
        shape: [usize; 2],
        values: &[f32],
        scale: Option<f32>,
    ) -> Result<Self, Error> {
        let refuse = |expected: &str, value| Error::NotTernary {
            tensor: name.to_owned(),
            expected: expected.to_owned(),
            value,
            block: None,
        };
        let magnitude =
            single_magnitude(values).map_err(|value| refuse("0 and one magnitude", value))?;
        #[expect(clippy::float_cmp, reason = "the stored integers are exact")]
        if scale.is_some() && magnitude != 1.0 && magnitude != 0.0 {
            return Err(refuse("-1, 0 and 1 beside its weight_scale", magnitude));
        }
        let codes = pack_signs(shape, values, |w| if w == 0.0 { 0.0 } else { w.signum() });
        Self::new(name, shape, codes, scale.unwrap_or(magnitude))
    }

    /// The same codes with another scale.
    ///
    /// # Errors
    /// [`Error::Scale`]; `name` is for it.
    pub(super) fn with_scale(self, name: &str, scale: f32) -> Result<Self, Error> {
        if scale.is_finite() && scale > 0.0 {
            return Ok(Self { scale, ..self });
        }
        Err(Error::Scale {
            tensor: name.to_owned(),
            value: scale,
        })
    }

    /// The same matrix with sums that its file gives, for the engine to find again.
    #[must_use]
    pub fn with_witness(self, witness: Option<Witness>) -> Self {
        Self {
            witness: witness.map(Box::new),
            ..self
        }
    }

    /// Sums that the file of these weights gives, where it was read a second time.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_deref()
    }

    /// Output rows.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Input columns.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Direct scale.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Codes of one row, four per byte, first in the low bits.
    pub fn row(&self, row: usize) -> &[u8] {
        let bytes = self.n_in.div_ceil(4);
        &self.codes[row * bytes..][..bytes]
    }

    /// The integer -1, 0 or 1 at one place.
    pub fn sign(&self, row: usize, column: usize) -> i8 {
        let code = self.row(row)[column / 4] >> (2 * (column % 4)) & 3;
        code.cast_signed() - 1
    }

    /// The effective weights `[n_out, n_in]`.
    pub fn dequantize(&self) -> Vec<f32> {
        let all = (0..self.n_out).flat_map(|row| (0..self.n_in).map(move |column| (row, column)));
        all.map(|(row, column)| f32::from(self.sign(row, column)) * self.scale)
            .collect()
    }

    /// Share of zeros in [0, 1].
    pub fn zero_fraction(&self) -> f64 {
        Survey::of(&self.codes).n_zeros as f64 / (self.n_out * self.n_in) as f64
    }

    /// All codes, rows first to last, four per byte, first in the low bits.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// `T + 1` of one row, one a byte.
    ///
    /// * `out`: `[n_in]`
    pub(super) fn unpack_row(&self, row: usize, out: &mut [u8]) {
        assert_eq!(out.len(), self.n_in, "one place per column");
        for (out, byte) in out.chunks_mut(4).zip(self.row(row)) {
            for (slot, out) in out.iter_mut().enumerate() {
                *out = byte >> (2 * slot) & 3;
            }
        }
    }

    /// The bytes [`from_packed`](Self::from_packed) reads, `[ceil(n_out / 4), n_in]`; the places
    /// of rows that do not exist are 0.
    pub(super) fn packed(&self) -> Vec<u8> {
        let groups = self.n_out.div_ceil(4);
        let mut packed = vec![0; groups * self.n_in];
        let mut codes = vec![0; self.n_in];
        for row in 0..self.n_out {
            self.unpack_row(row, &mut codes);
            let (p, shift) = (row % groups, 2 * (row / groups));
            for (byte, code) in packed[p * self.n_in..][..self.n_in].iter_mut().zip(&codes) {
                *byte |= code << shift;
            }
        }
        packed
    }

    /// Identity of the codes, independent of the container they came in and of the scale.
    ///
    /// sha256 over `"vv-ternary-1"`, `n_out` and `n_in` as u64 little-endian, and the codes.
    pub fn codes_digest(&self) -> Sha256 {
        let mut hasher = Hasher::default();
        hasher.update(b"vv-ternary-1");
        hasher.update(&(self.n_out as u64).to_le_bytes());
        hasher.update(&(self.n_in as u64).to_le_bytes());
        hasher.update(&self.codes);
        hasher.finish()
    }

    /// Where the first code 3 stands.
    fn invalid_code(&self, name: &str) -> Error {
        let bytes = self.n_in.div_ceil(4);
        let holds_three = |b: &u8| b & (b >> 1) & 0x55 != 0;
        let at = self.codes.iter().position(holds_three);
        let at = at.expect("the survey found one");
        let byte = self.codes[at];
        let slot = (0..4)
            .find(|slot| byte >> (2 * slot) & 3 == 3)
            .expect("the byte holds a 3");
        Error::InvalidCode {
            tensor: name.to_owned(),
            row: at / bytes,
            column: at % bytes * 4 + slot,
        }
    }
}

/// What one pass over the codes finds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Survey {
    has_three: bool,
    n_zeros: u64,
}

impl Survey {
    fn of(codes: &[u8]) -> Self {
        const LOW: u64 = 0x5555_5555_5555_5555;
        let (mut threes, mut n_zeros) = (0, 0);
        // A byte adds at most 4 to its counter, so a counter of 8 bits holds 63 rounds.
        for block in codes.chunks(63 * 64) {
            let mut counts = [0u64; 8];
            let mut round = |bytes: &[u8; 64]| {
                let (words, _) = bytes.as_chunks();
                for (count, word) in counts.iter_mut().zip(words) {
                    let word = u64::from_le_bytes(*word);
                    threes |= word & word >> 1 & LOW;
                    // The code 01 has its low bit set and its high bit clear; padding is 00.
                    let ones = word & !(word >> 1) & LOW;
                    let pairs =
                        (ones & 0x3333_3333_3333_3333) + (ones >> 2 & 0x3333_3333_3333_3333);
                    *count += (pairs + (pairs >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
                }
            };
            let (rounds, rest) = block.as_chunks();
            rounds.iter().for_each(&mut round);
            if !rest.is_empty() {
                let mut last = [0; 64];
                last[..rest.len()].copy_from_slice(rest);
                round(&last);
            }
            let bytes = counts.iter().flat_map(|count| count.to_le_bytes());
            n_zeros += bytes.map(u64::from).sum::<u64>();
        }
        Self {
            has_three: threes != 0,
            n_zeros,
        }
    }
}

/// Codes of up to 64 packed bytes by row instead of by column: byte i of word k holds what bits
/// 2i and 2i+1 of bytes 4k to 4k+3 held, first in the low bits.
fn transposed(packed: &[u8]) -> [u32; 16] {
    let mut bytes = [0; 64];
    bytes[..packed.len()].copy_from_slice(packed);
    let (words, _) = bytes.as_chunks();
    let mut out = [0; 16];
    for (out, word) in out.iter_mut().zip(words) {
        // A 4 x 4 matrix of 2-bit codes: swap the off-diagonal codes of each 2 x 2 block, then
        // the off-diagonal blocks.
        let mut x = u32::from_le_bytes(*word);
        let swap = (x ^ x >> 6) & 0x00cc_00cc;
        x ^= swap ^ swap << 6;
        let swap = (x ^ x >> 12) & 0x0000_f0f0;
        *out = x ^ swap ^ swap << 12;
    }
    out
}

/// `1 / max(mean |W|, 1e-5)`: what masters are multiplied with before they are rounded.
pub(super) fn absmean_reciprocal(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|w| f64::from(w.abs())).sum();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "one rounding to f32, as documented"
    )]
    let mean = (sum / values.len() as f64) as f32;
    1.0 / mean.max(1e-5)
}

/// The one magnitude all non-zero values share, 0 when there is none; else a value that differs.
fn single_magnitude(values: &[f32]) -> Result<f32, f32> {
    let magnitude = values.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    #[expect(clippy::float_cmp, reason = "dequantized weights repeat the same bits")]
    let odd = values.iter().find(|w| **w != 0.0 && w.abs() != magnitude);
    odd.map_or(Ok(magnitude), |w| Err(*w))
}

fn pack_signs([n_out, n_in]: [usize; 2], values: &[f32], sign: impl Fn(f32) -> f32) -> Vec<u8> {
    assert_eq!(values.len(), n_out * n_in, "values fill the matrix");
    let code = |w: f32| {
        let t = sign(w);
        if t > 0.0 { 2 } else { u8::from(t >= 0.0) }
    };
    values
        .chunks_exact(n_in)
        .flat_map(|row| row.chunks(4))
        .map(|four| four.iter().rev().fold(0, |byte, &w| byte << 2 | code(w)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packed_rows_stand_a_quarter_apart() {
        // Six rows of one column make R = 2; byte 0 holds rows 0, 2, 4, byte 1 rows 1, 3, 5.
        let packed = [0b00_10_01_00, 0b00_00_01_10];
        let matrix = TernaryMatrix::from_packed("w", [6, 1], &packed, 1.0).unwrap();
        let signs: Vec<i8> = (0..6).map(|row| matrix.sign(row, 0)).collect();
        assert_eq!(signs, [-1, 1, 0, 0, 1, -1]);
    }

    #[test]
    fn rows_that_do_not_exist_are_not_looked_at() {
        // The unused top bits of both bytes hold code 3.
        let packed = [0b11_10_01_00, 0b11_00_01_10];
        assert!(TernaryMatrix::from_packed("w", [6, 1], &packed, 1.0).is_ok());
    }

    #[test]
    fn packed_bytes_come_back() {
        let packed = [0b00_10_01_00, 0b00_00_01_10];
        let matrix = TernaryMatrix::from_packed("w", [6, 1], &packed, 1.0).unwrap();
        assert_eq!(matrix.packed(), packed);
    }

    #[test]
    fn code_three_is_located() {
        let error = TernaryMatrix::from_packed("w", [4, 2], &[0, 0b00_11_00_01], 1.0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `w` holds code 3 at row 2, column 1"
        );
    }

    #[test]
    fn masters_follow_the_absmean_rule_with_halves_to_even() {
        // Mean magnitude 2; 1.0 is half of it and rounds to 0, 3.0 rounds to 2 and is cut to 1.
        let values = [1.0, -1.0, 3.0, -3.0, 2.0, 2.0];
        let matrix = TernaryMatrix::from_masters("w", [2, 3], &values).unwrap();
        assert_eq!(matrix.dequantize(), [0.0, 0.0, 2.0, -2.0, 2.0, 2.0]);
    }

    #[test]
    fn ternary_weights_are_never_averaged() {
        let values = [0.5, 0.0, -0.5, 0.0];
        let matrix = TernaryMatrix::from_ternary_floats("w", [2, 2], &values, None).unwrap();
        assert_eq!(matrix.dequantize(), values);
        let error = TernaryMatrix::from_masters("w", [2, 2], &values).unwrap_err();
        assert!(matches!(error, Error::AlreadyTernary { .. }));
    }

    #[test]
    fn float_integers_take_their_stored_scale() {
        let values = [1.0, 0.0, -1.0, 1.0];
        let matrix = TernaryMatrix::from_ternary_floats("w", [2, 2], &values, Some(0.25)).unwrap();
        assert_eq!(matrix.dequantize(), [0.25, 0.0, -0.25, 0.25]);
        let odd = TernaryMatrix::from_ternary_floats("w", [2, 2], &[0.5, 0.0, 0.5, 0.5], Some(1.0));
        assert!(matches!(odd, Err(Error::NotTernary { .. })));
        let masters = TernaryMatrix::from_ternary_floats("w", [1, 2], &[0.5, 0.25], None);
        assert!(matches!(masters, Err(Error::NotTernary { .. })));
    }

    #[test]
    fn empty_and_full_matrices_are_refused() {
        let zeros = TernaryMatrix::new("w", [1, 4], vec![0b01_01_01_01], 1.0);
        assert!(matches!(zeros, Err(Error::Zeros { fraction: 1.0, .. })));
        let full = TernaryMatrix::new("w", [1, 4], vec![0b10_00_10_00], 1.0);
        assert!(matches!(full, Err(Error::Zeros { fraction: 0.0, .. })));
    }

    #[test]
    fn odd_scales_are_refused() {
        for scale in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
            let error = TernaryMatrix::new("w", [1, 1], vec![1], scale).unwrap_err();
            assert!(matches!(error, Error::Scale { .. }), "{scale}");
        }
    }

    #[test]
    fn the_codes_digest_covers_shape_and_codes_but_not_the_scale() {
        let matrix = |shape, codes: &[u8], scale| {
            TernaryMatrix::new("w", shape, codes.to_vec(), scale)
                .unwrap()
                .codes_digest()
        };
        let message = [
            b"vv-ternary-1".as_slice(),
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[0b10_01_00_10, 0b01],
        ]
        .concat();
        let digest = matrix([1, 5], &[0b10_01_00_10, 0b01], 1.0);
        assert_eq!(digest, Sha256::of(&message));
        assert_eq!(digest, matrix([1, 5], &[0b10_01_00_10, 0b01], 2.0));
        assert_ne!(digest, matrix([1, 6], &[0b10_01_00_10, 0b01], 1.0));
    }

    /// The plain definition of the packed layout, one code at a time.
    fn unpacked([n_out, n_in]: [usize; 2], packed: &[u8]) -> Vec<i8> {
        let groups = n_out.div_ceil(4);
        let places = (0..n_out).flat_map(|row| (0..n_in).map(move |column| (row, column)));
        places
            .map(|(row, column)| {
                let byte = packed[row % groups * n_in + column];
                (byte >> (2 * (row / groups)) & 3).cast_signed() - 1
            })
            .collect()
    }

    proptest! {
        #[test]
        fn packed_bytes_are_read_as_defined(
            n_out in 1usize..14, n_in in 1usize..150, seed in any::<u64>()
        ) {
            let mut state = seed;
            let mut digit = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                u8::try_from((state >> 33) % 3).unwrap()
            };
            let mut byte = || digit() | digit() << 2 | digit() << 4 | digit() << 6;
            let packed: Vec<u8> = (0..n_out.div_ceil(4) * n_in).map(|_| byte()).collect();
            let expected = unpacked([n_out, n_in], &packed);
            let zeros = expected.iter().filter(|t| **t == 0).count();
            match TernaryMatrix::from_packed("w", [n_out, n_in], &packed, 1.0) {
                Ok(matrix) => {
                    let rows = (0..n_out).flat_map(|row| (0..n_in).map(move |c| (row, c)));
                    let found: Vec<i8> = rows.map(|(row, c)| matrix.sign(row, c)).collect();
                    prop_assert_eq!(&found, &expected);
                    let share = zeros as f64 / expected.len() as f64;
                    prop_assert!((matrix.zero_fraction() - share).abs() < 1e-12);
                    // Padding of rows is no code, so equal matrices have equal bytes.
                    let again = pack_signs([n_out, n_in], &matrix.dequantize(), |w| w);
                    prop_assert_eq!(matrix.codes(), &again[..]);
                }
                Err(_) => prop_assert!(zeros == 0 || zeros == expected.len()),
            }
        }

        #[test]
        fn a_code_three_is_found_wherever_it_stands(at in 0usize..20_000, slot in 0usize..4) {
            let mut codes = vec![0b10_01_00_10; 20_000];
            codes[at] |= 3 << (2 * slot);
            let error = TernaryMatrix::new("w", [20, 4000], codes, 1.0).unwrap_err();
            let place = format!("row {}, column {}", at / 1000, at % 1000 * 4 + slot);
            prop_assert!(error.to_string().ends_with(&place), "{}", error);
        }
    }

    #[test]
    fn zeros_are_counted_beyond_what_one_byte_holds() {
        let mut codes = vec![0b01_01_01_01; 100_000];
        codes[99_999] = 0b01_01_01_00;
        let matrix = TernaryMatrix::new("w", [1, 400_000], codes, 1.0).unwrap();
        assert!((matrix.zero_fraction() - 399_999.0 / 400_000.0).abs() < 1e-12);
    }
}
