//! Integer sums in plain Rust, written so that compilers turn them into integer SIMD.
//!
//! This is the definition every faster kernel must equal bit for bit.

use super::pack::GROUP_BYTES;
use super::quantize::CHUNK;

/// Sums of code times activation over one packed row, for every token of a tile.
///
/// * `row`: whole groups of [`GROUP_BYTES`]
/// * `q`: a tile, `[chunk][token][64]`
/// * `sums`: `[tokens]`
pub(super) fn codes(row: &[u8], q: &[i8], sums: &mut [i32]) {
    // One group adds at most 4 * 2 * 128 to a lane, so 31 of them stay inside i16.
    const GROUPS: usize = 31;
    let width = sums.len();
    for (token, sum) in sums.iter_mut().enumerate() {
        let mut chunks = q.chunks_exact(CHUNK).skip(token).step_by(width);
        *sum = 0;
        for bytes in row.chunks(GROUPS * GROUP_BYTES) {
            let mut lanes = [0i16; GROUP_BYTES];
            for bytes in bytes.as_chunks::<GROUP_BYTES>().0 {
                for p in 0..4 {
                    let q = chunks.next().expect("a tile is as long as a row");
                    for j in 0..GROUP_BYTES {
                        let code = i16::from(bytes[j] >> (2 * p) & 3);
                        lanes[j] = lanes[j].wrapping_add(code.wrapping_mul(i16::from(q[j])));
                    }
                }
            }
            *sum = lanes
                .iter()
                .fold(*sum, |sum, lane| sum.wrapping_add(i32::from(*lane)));
        }
    }
}

/// Sums over both planes of one 8-bit row of the head, for every token of a tile.
///
/// * `row`: `[chunks * 64]` unsigned
/// * `planes`: `[chunk][token][2][64]`
/// * `sums`: `[tokens][2]`
pub(super) fn bytes(row: &[u8], planes: &[i8], sums: &mut [[i32; 2]]) {
    let width = sums.len();
    for (token, sums) in sums.iter_mut().enumerate() {
        for (plane, sum) in sums.iter_mut().enumerate() {
            let first = 2 * token + plane;
            let q = planes.chunks_exact(CHUNK).skip(first).step_by(2 * width);
            *sum = row.chunks_exact(CHUNK).zip(q).fold(0, |sum, (row, q)| {
                let products = row
                    .iter()
                    .zip(q)
                    .map(|(&w, &q)| i32::from(w) * i32::from(q));
                products.fold(sum, i32::wrapping_add)
            });
        }
    }
}
