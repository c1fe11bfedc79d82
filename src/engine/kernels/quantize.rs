//! Activations as signed bytes, in the order the products read them.

use std::ops::Range;

use super::pack::{GROUP, padded};
use super::{Columns, Kernel, Split, for_every_kernel};
use crate::model::arena::{Arena, Slab};

/// Tokens of one tile: products read the bytes of a tile's tokens side by side.
pub const TILE: usize = 8;
/// Most tokens computed together.
pub const MAX_TOKENS: usize = 128;
/// Columns that stand together: one plane of a packed group, one AVX-512 register.
pub const CHUNK: usize = 64;

/// Quantized inputs of a few tokens, ready for products.
///
/// `q = clip(round(x * r), -128, 127)` with `r = 127 / max(max |x|, 1e-5)`, halves to even.
///
/// Bytes stand as `[tile][chunk of 64 columns][token of the tile][64]`; the last tile is as wide
/// as tokens are left, and rows are filled up with zeros to whole groups of 256.
#[derive(Debug)]
pub struct Quantized {
    n_in: usize,
    n_tokens: usize,
    q: Slab<i8>,
    /// `[tokens]` factors r.
    factors: Slab<f32>,
    /// `[tokens]` sums of q.
    sums: Slab<i32>,
}

/// The part of [`Quantized`] one thread fills: whole tiles, or some tokens of the only tile.
pub struct QuantizedPart<'a> {
    tokens: Range<usize>,
    n_tokens: usize,
    row_bytes: usize,
    q: Columns<'a, i8>,
    factors: &'a mut [f32],
    sums: &'a mut [i32],
}

/// [`Quantized`] shared out to threads.
pub struct QuantizedSplit<'a> {
    n_tokens: usize,
    row_bytes: usize,
    q: Split<'a, i8>,
    factors: Split<'a, f32>,
    sums: Split<'a, i32>,
}

impl Quantized {
    /// Room for `tokens` inputs of up to `n_in` values.
    ///
    /// # Panics
    /// When there is no memory.
    pub fn new(tokens: usize, n_in: usize) -> Self {
        Self::in_arena(&mut Arena::new(Self::room(tokens, n_in)), tokens, n_in)
    }

    /// Bytes of an arena that [`in_arena`](Self::in_arena) takes.
    pub fn room(tokens: usize, n_in: usize) -> usize {
        Arena::room::<i8>(tokens * padded(n_in))
            + Arena::room::<f32>(tokens)
            + Arena::room::<i32>(tokens)
    }

    /// As [`new`](Self::new), in a given arena.
    ///
    /// # Panics
    /// When the arena is too small.
    pub fn in_arena(arena: &mut Arena, tokens: usize, n_in: usize) -> Self {
        Self {
            n_in: 0,
            n_tokens: 0,
            q: arena.take(tokens * padded(n_in)),
            factors: arena.take(tokens),
            sums: arena.take(tokens),
        }
    }

    /// Begins new content, `n_tokens` rows of `n_in` values, to be filled by `n_parts` threads:
    /// they share out tiles, or the tokens of a single one.
    ///
    /// # Panics
    /// When there is no room for it, or it is empty.
    pub fn split(&mut self, n_tokens: usize, n_in: usize, n_parts: usize) -> QuantizedSplit<'_> {
        assert!(n_tokens > 0 && n_in > 0, "there are rows to quantize");
        let row_bytes = padded(n_in);
        assert!(
            n_tokens <= self.factors.len() && n_tokens * row_bytes <= self.q.len(),
            "the rows fit the buffer"
        );
        self.n_in = n_in;
        self.n_tokens = n_tokens;
        let q = &mut self.q[..n_tokens * row_bytes];
        // A single tile is a matrix of chunks, its tokens side by side.
        let (width, columns, tokens) = if n_tokens <= TILE {
            (n_tokens * CHUNK, CHUNK, 1)
        } else {
            (q.len(), TILE * row_bytes, TILE)
        };
        QuantizedSplit {
            n_tokens,
            row_bytes,
            q: Split::new(q, width, n_parts, columns),
            factors: Split::new(&mut self.factors[..n_tokens], n_tokens, n_parts, tokens),
            sums: Split::new(&mut self.sums[..n_tokens], n_tokens, n_parts, tokens),
        }
    }

    /// Replaces the content with the rows of `x`, `[tokens, n_in]`.
    ///
    /// # Panics
    /// When `n_in` is 0 or does not divide the length of `x`, or there is no room.
    pub fn fill(&mut self, kernel: Kernel, x: &[f32], n_in: usize) {
        assert!(n_in > 0 && x.len().is_multiple_of(n_in), "rows are whole");
        let split = self.split(x.len() / n_in, n_in, 1);
        let mut part = split.take(0);
        for (token, row) in x.chunks_exact(n_in).enumerate() {
            part.set(kernel, token, row);
        }
    }

    /// Number of rows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Values per row, padding not counted.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Quantized values `[n_in]` of one row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, token: usize) -> Vec<i8> {
        assert!(token < self.n_tokens, "there are {} rows", self.n_tokens);
        let (tile, width, q) = self.tile(token / TILE);
        let at = |column: usize| (column / CHUNK * width + token - tile) * CHUNK + column % CHUNK;
        (0..self.n_in).map(|column| q[at(column)]).collect()
    }

    /// `[tokens]` factors r with `q = round(x * r)`.
    pub fn factors(&self) -> &[f32] {
        &self.factors[..self.n_tokens]
    }

    /// `[tokens]` sums of q.
    pub(super) fn sums(&self) -> &[i32] {
        &self.sums[..self.n_tokens]
    }

    /// Number of tiles.
    pub(super) fn n_tiles(&self) -> usize {
        self.n_tokens.div_ceil(TILE)
    }

    /// First token, number of tokens and bytes of one tile.
    pub(super) fn tile(&self, tile: usize) -> (usize, usize, &[i8]) {
        let first = tile * TILE;
        let width = TILE.min(self.n_tokens - first);
        let row_bytes = padded(self.n_in);
        (
            first,
            width,
            &self.q[first * row_bytes..][..width * row_bytes],
        )
    }
}

impl<'a> QuantizedSplit<'a> {
    /// What thread `part` fills.
    ///
    /// # Panics
    /// When the part was taken before or does not exist.
    pub fn take(&self, part: usize) -> QuantizedPart<'a> {
        let factors = self.factors.take(part);
        QuantizedPart {
            tokens: factors.range(),
            n_tokens: self.n_tokens,
            row_bytes: self.row_bytes,
            q: self.q.take(part),
            factors: factors.into_row(),
            sums: self.sums.take(part).into_row(),
        }
    }
}

impl QuantizedPart<'_> {
    /// Rows of this part.
    pub fn tokens(&self) -> Range<usize> {
        self.tokens.clone()
    }

    /// Quantizes one row of this part, `[n_in]`.
    ///
    /// A NaN or an infinity makes the row's factor NaN or 0, so that its products are not finite
    /// either: it is never hidden by the rounding.
    ///
    /// # Panics
    /// When the row is not of this part, or longer than the rows announced.
    pub fn set(&mut self, kernel: Kernel, token: usize, x: &[f32]) {
        assert!(self.tokens.contains(&token), "rows {:?}", self.tokens);
        assert!(
            padded(x.len()) == self.row_bytes,
            "rows are as long as announced"
        );
        let index = token - self.tokens.start;
        let factor = factor(kernel, x);
        self.factors[index] = factor;
        self.sums[index] = if self.n_tokens <= TILE {
            quantize(kernel, x, factor, &mut self.q, index)
        } else {
            let first = token / TILE * TILE;
            let width = TILE.min(self.n_tokens - first);
            let tile = &mut self.q.row(0)[(first - self.tokens.start) * self.row_bytes..];
            let tile = &mut tile[..width * self.row_bytes];
            let mut chunks = Columns::of(tile, width * CHUNK);
            quantize(kernel, x, factor, &mut chunks, token - first)
        };
    }
}

for_every_kernel! {
    /// `127 / max(max |x|, 1e-5)`; NaN when a value is NaN, 0 when one is infinite.
    pub fn factor(x: &[f32]) -> f32 {
        // Magnitudes of floats are ordered as their bits are, and NaN is above everything.
        let largest = x
            .iter()
            .fold(0, |m, x| (x.to_bits() & 0x7fff_ffff).max(m));
        let largest = f32::from_bits(largest);
        127.0 / if largest < 1e-5 { 1e-5 } else { largest }
    }

    /// Writes token `index` of a tile and gives its sum.
    ///
    /// * `tile`: `[chunks, tokens * 64]`
    pub fn quantize(x: &[f32], factor: f32, tile: &mut Columns<'_, i8>, index: usize) -> i32 {
        let mut sum = 0i32;
        let (whole, rest) = x.as_chunks::<CHUNK>();
        for (chunk, x) in whole.iter().enumerate() {
            let q = &mut tile.row(chunk)[index * CHUNK..][..CHUNK];
            for (q, x) in q.iter_mut().zip(x) {
                *q = round_to_i8(x * factor);
                // At most 128 * n_in in magnitude: no overflow below 16 million columns.
                sum = sum.wrapping_add(i32::from(*q));
            }
        }
        // The last chunk and at most three more up to a whole group.
        for chunk in whole.len()..tile.n_rows() {
            let q = &mut tile.row(chunk)[index * CHUNK..][..CHUNK];
            q.fill(0);
            let rest = if chunk == whole.len() { rest } else { &[] };
            for (q, x) in q.iter_mut().zip(rest) {
                *q = round_to_i8(x * factor);
                sum = sum.wrapping_add(i32::from(*q));
            }
        }
        sum
    }
}

const _: () = assert!(GROUP == 4 * CHUNK, "a group has four planes");

/// Nearest integer, halves to even, for `|x|` up to 128; rounding 127 plus an ulp gives 127.
#[inline(always)]
pub(super) fn round_to_i8(x: f32) -> i8 {
    // Adding 1.5 * 2^23 leaves no bits for a fraction, so the addition itself rounds as IEEE does.
    // `round_ties_even` would be a function call without SSE4.1.
    const SHIFT: f32 = 12_582_912.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low byte carries the value"
    )]
    let low = (x + SHIFT).to_bits() as u8;
    low.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantized(x: &[f32], n_in: usize) -> Quantized {
        let mut quantized = Quantized::new(x.len() / n_in, n_in);
        quantized.fill(Kernel::SCALAR, x, n_in);
        quantized
    }

    #[test]
    fn halves_round_to_even_and_the_largest_becomes_127() {
        // 127 as the largest magnitude makes the factor exactly 1.
        let q = quantized(&[0.5, 1.5, 2.5, -0.5, -1.5, 127.0, -127.0, 126.5], 8);
        assert_eq!(q.row(0), [0, 2, 2, 0, -2, 127, -127, 126]);
        assert_eq!(q.sums(), [128]);
    }

    #[test]
    fn rows_are_found_whatever_the_tile() {
        for (n_tokens, n_in) in [(1, 5), (3, 64), (8, 70), (9, 300), (20, 257)] {
            let x: Vec<f32> = (0..n_tokens * n_in)
                .map(|i| (i as f32 * 0.7).sin())
                .collect();
            let q = quantized(&x, n_in);
            for (token, row) in x.chunks(n_in).enumerate() {
                let alone = quantized(row, n_in);
                assert_eq!(q.row(token), alone.row(0));
                assert_eq!(q.sums()[token], alone.sums()[0]);
                assert_eq!(q.factors()[token].to_bits(), alone.factors()[0].to_bits());
            }
        }
    }

    #[test]
    fn threads_fill_the_same_bytes_as_one() {
        for (n_tokens, n_in) in [(2, 5), (5, 64), (8, 300), (20, 257), (128, 70)] {
            let x: Vec<f32> = (0..n_tokens * n_in)
                .map(|i| (i as f32 * 0.7).sin())
                .collect();
            let expected = quantized(&x, n_in);
            for n_parts in 1..=n_tokens.min(4) {
                let mut shared = Quantized::new(n_tokens, n_in);
                let split = shared.split(n_tokens, n_in, n_parts);
                let mut n_filled = 0;
                for part in 0..n_parts {
                    let mut part = split.take(part);
                    for token in part.tokens() {
                        part.set(Kernel::SCALAR, token, &x[token * n_in..][..n_in]);
                        n_filled += 1;
                    }
                }
                assert_eq!(n_filled, n_tokens);
                assert_eq!(shared.q, expected.q);
                assert_eq!(shared.sums(), expected.sums());
                assert_eq!(shared.factors(), expected.factors());
            }
        }
    }

    #[test]
    fn small_rows_use_the_floor_of_the_factor() {
        let q = quantized(&[1e-6, -1e-6], 2);
        assert_eq!(q.factors()[0].to_bits(), (127.0f32 / 1e-5).to_bits());
        assert_eq!(q.row(0), [13, -13]);
    }

    #[test]
    fn what_is_not_finite_stays_visible() {
        assert!(quantized(&[1.0, f32::NAN], 2).factors()[0].is_nan());
        assert_eq!(
            quantized(&[1.0, f32::INFINITY], 2).factors()[0].to_bits(),
            0
        );
    }

    #[test]
    fn padding_is_zero_also_when_the_buffer_is_used_again() {
        let mut q = Quantized::new(1, 256);
        q.fill(Kernel::SCALAR, &[1.0; 256], 256);
        q.fill(Kernel::SCALAR, &[1.0; 3], 3);
        assert!(q.tile(0).2[3..].iter().all(|q| *q == 0));
    }
}
