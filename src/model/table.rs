//! The embedding table and the output head: rows of floats, stored as exactly as asked for.

use std::fmt;
use std::str::FromStr;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::arena::Slab;

/// How the rows of the head are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeadStorage {
    /// Signed bytes and one scale per row: a quarter of the memory of floats. The price reported
    /// for 8-bit heads is below 0.1 % of perplexity.
    #[default]
    Int8,
    /// Half precision.
    F16,
    /// Single precision: every stored value, whatever its type, is kept as it is.
    Exact,
}

impl fmt::Display for HeadStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::F16 => "f16",
            Self::Exact => "exact",
        })
    }
}

/// A name that is no head storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a head storage, expected int8, f16 or exact")]
pub struct UnknownHeadStorage {
    /// The text given.
    pub found: String,
}

impl FromStr for HeadStorage {
    type Err = UnknownHeadStorage;

    fn from_str(text: &str) -> Result<Self, UnknownHeadStorage> {
        [Self::Int8, Self::F16, Self::Exact]
            .into_iter()
            .find(|storage| storage.to_string() == text)
            .ok_or_else(|| UnknownHeadStorage {
                found: text.to_owned(),
            })
    }
}

/// Columns of an 8-bit row are filled up to a multiple of this with zeros.
pub(super) const INT8_PADDING: usize = 64;

/// A table `[rows, width]`.
#[derive(Debug, Clone)]
pub struct Table {
    n_rows: usize,
    width: usize,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    F32(Slab<f32>),
    F16(Slab<u16>),
    Int8 { q: Slab<u8>, scales: Slab<f32> },
}

/// The values of a table, for kernels.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// `[rows, width]`
    F32(&'a [f32]),
    /// `[rows, width]`, bits of IEEE binary16
    F16(&'a [u16]),
    /// A value is `(q - 128) * scale`.
    Int8 {
        /// `[rows, width padded to a multiple of 64]`, padding is 128
        q: &'a [u8],
        /// `[rows]`
        scales: &'a [f32],
    },
}

/// Some rows of a table under construction; different pieces can be filled by different threads.
pub struct TablePiece<'a> {
    first: usize,
    width: usize,
    values: PieceValues<'a>,
}

enum PieceValues<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
    Int8 {
        q: &'a mut [u8],
        scales: &'a mut [f32],
    },
}

impl Table {
    /// A table of zeros, to be filled through [`pieces`](Self::pieces).
    ///
    /// # Panics
    /// When a size is 0.
    pub fn zeroed(storage: HeadStorage, n_rows: usize, width: usize) -> Self {
        assert!(n_rows > 0 && width > 0, "a table has values");
        let values = match storage {
            HeadStorage::Exact => Values::F32(Slab::zeroed(n_rows * width)),
            HeadStorage::F16 => Values::F16(Slab::zeroed(n_rows * width)),
            HeadStorage::Int8 => Values::Int8 {
                q: Slab::zeroed(n_rows * width.next_multiple_of(INT8_PADDING)),
                scales: Slab::zeroed(n_rows),
            },
        };
        Self {
            n_rows,
            width,
            values,
        }
    }

    /// A table of given values, `[rows, width]`.
    ///
    /// # Panics
    /// When the values do not make whole rows.
    pub fn from_values(storage: HeadStorage, width: usize, values: &[f32]) -> Self {
        assert!(values.len().is_multiple_of(width), "rows are whole");
        let mut table = Self::zeroed(storage, values.len() / width, width);
        for mut piece in table.pieces(values.len() / width) {
            for (row, values) in values.chunks_exact(width).enumerate() {
                piece.set(row, values);
            }
        }
        table
    }

    /// Pieces of at most `rows` rows, first to last.
    pub fn pieces(&mut self, rows: usize) -> Vec<TablePiece<'_>> {
        let width = self.width;
        let piece = |(i, values)| TablePiece {
            first: i * rows,
            width,
            values,
        };
        let padded = width.next_multiple_of(INT8_PADDING);
        match &mut self.values {
            Values::F32(all) => all
                .chunks_mut(rows * width)
                .map(PieceValues::F32)
                .enumerate()
                .map(piece)
                .collect(),
            Values::F16(all) => all
                .chunks_mut(rows * width)
                .map(PieceValues::F16)
                .enumerate()
                .map(piece)
                .collect(),
            Values::Int8 { q, scales } => q
                .chunks_mut(rows * padded)
                .zip(scales.chunks_mut(rows))
                .map(|(q, scales)| PieceValues::Int8 { q, scales })
                .enumerate()
                .map(piece)
                .collect(),
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How the rows are kept.
    pub fn storage(&self) -> HeadStorage {
        match &self.values {
            Values::F32(_) => HeadStorage::Exact,
            Values::F16(_) => HeadStorage::F16,
            Values::Int8 { .. } => HeadStorage::Int8,
        }
    }

    /// Bytes the rows take.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(all) => size_of_val(&**all),
            Values::F16(all) => size_of_val(&**all),
            Values::Int8 { q, scales } => size_of_val(&**q) + size_of_val(&**scales),
        }
    }

    /// The values, for kernels.
    pub fn rows(&self) -> Rows<'_> {
        match &self.values {
            Values::F32(all) => Rows::F32(all),
            Values::F16(all) => Rows::F16(all),
            Values::Int8 { q, scales } => Rows::Int8 { q, scales },
        }
    }

    /// Copies one row, `[width]`, as floats.
    ///
    /// # Panics
    /// When there is no such row or `out` has another length.
    pub fn read(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.width, "one place per value");
        let at = row * self.width;
        match &self.values {
            Values::F32(all) => out.copy_from_slice(&all[at..][..self.width]),
            Values::F16(all) => {
                for (out, bits) in out.iter_mut().zip(&all[at..][..self.width]) {
                    *out = f16::from_bits(*bits).to_f32();
                }
            }
            Values::Int8 { q, scales } => {
                let at = row * self.width.next_multiple_of(INT8_PADDING);
                for (out, q) in out.iter_mut().zip(&q[at..][..self.width]) {
                    *out = f32::from(i16::from(*q) - 128) * scales[row];
                }
            }
        }
    }
}

impl TablePiece<'_> {
    /// Index of its first row in the table.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match &self.values {
            PieceValues::F32(all) => all.len() / self.width,
            PieceValues::F16(all) => all.len() / self.width,
            PieceValues::Int8 { scales, .. } => scales.len(),
        }
    }

    /// Stores one row, `[width]` finite values; `row` counts from the piece's first.
    ///
    /// # Panics
    /// When there is no such row or `values` has another length.
    pub fn set(&mut self, row: usize, values: &[f32]) {
        let width = self.width;
        assert_eq!(values.len(), width, "a row is whole");
        match &mut self.values {
            PieceValues::F32(all) => all[row * width..][..width].copy_from_slice(values),
            PieceValues::F16(all) => {
                half::slice::HalfBitsSliceExt::reinterpret_cast_mut::<f16>(
                    &mut all[row * width..][..width],
                )
                .convert_from_f32_slice(values);
            }
            PieceValues::Int8 { q, scales } => {
                let padded = width.next_multiple_of(INT8_PADDING);
                let q = &mut q[row * padded..][..padded];
                scales[row] = quantize_row(values, q);
            }
        }
    }
}

/// Quantizes a row to bytes around 128 and gives its scale, `max |x| / 127`; halves to even.
fn quantize_row(values: &[f32], q: &mut [u8]) -> f32 {
    // A row this small is as good as zero, and its reciprocal would overflow.
    const SMALLEST: f32 = 1e-30;
    // Adding 1.5 * 2^23 leaves no bits for a fraction, so the addition itself rounds as IEEE does.
    const SHIFT: f32 = 12_582_912.0;
    // Magnitudes of finite floats are ordered as their bits are.
    let largest = values
        .iter()
        .fold(0, |m, x| (x.to_bits() & 0x7fff_ffff).max(m));
    let largest = f32::from_bits(largest);
    q.fill(128);
    if largest < SMALLEST {
        return 0.0;
    }
    let reciprocal = 127.0 / largest;
    for (q, x) in q.iter_mut().zip(values) {
        let bits = (x * reciprocal + SHIFT).to_bits();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "only the low byte carries the value"
        )]
        let low = bits as u8;
        *q = low.wrapping_add(128);
    }
    largest / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(storage: HeadStorage, values: &[f32]) -> Vec<f32> {
        let table = Table::from_values(storage, values.len(), &[values, values].concat());
        let mut out = vec![0.0; values.len()];
        table.read(1, &mut out);
        out
    }

    #[test]
    fn exact_rows_keep_every_bit() {
        let values = [0.1, -3e-30, 7e20];
        assert_eq!(
            row(HeadStorage::Exact, &values).as_slice(),
            values.as_slice()
        );
    }

    #[test]
    fn half_precision_rows_round_to_it() {
        assert_eq!(
            row(HeadStorage::F16, &[0.5, -2.0, 0.1]),
            [0.5, -2.0, f16::from_f32(0.1).to_f32()]
        );
    }

    #[test]
    fn a_half_precision_table_takes_two_bytes_a_value() {
        let table = Table::from_values(HeadStorage::F16, 64, &[0.5; 640]);
        assert_eq!((table.bytes(), table.storage()), (1280, HeadStorage::F16));
    }

    #[test]
    fn eight_bit_rows_are_within_half_a_step() {
        let values: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let largest = values.iter().fold(0f32, |m, x| m.max(x.abs()));
        let step = largest / 127.0;
        for (found, value) in row(HeadStorage::Int8, &values).iter().zip(&values) {
            assert!((found - value).abs() <= step * 0.5001, "{found} {value}");
        }
    }

    #[test]
    fn halves_go_to_even_and_the_largest_is_exact() {
        let found = row(HeadStorage::Int8, &[127.0, 0.5, 1.5, -2.5, -127.0]);
        assert_eq!(found, [127.0, 0.0, 2.0, -2.0, -127.0]);
    }

    #[test]
    fn a_row_of_zeros_stays_one() {
        assert_eq!(row(HeadStorage::Int8, &[0.0, 1e-38]), [0.0, 0.0]);
    }

    #[test]
    fn pieces_cover_the_table_once() {
        for storage in [HeadStorage::Exact, HeadStorage::F16, HeadStorage::Int8] {
            let mut table = Table::zeroed(storage, 5, 3);
            let pieces = table.pieces(2);
            let places: Vec<_> = pieces.iter().map(|p| (p.first(), p.n_rows())).collect();
            assert_eq!(places, [(0, 2), (2, 2), (4, 1)]);
        }
    }

    #[test]
    fn names_are_read_back_as_printed() {
        for storage in [HeadStorage::Exact, HeadStorage::F16, HeadStorage::Int8] {
            assert_eq!(storage.to_string().parse(), Ok(storage));
        }
        assert!("q8".parse::<HeadStorage>().is_err());
    }
}
