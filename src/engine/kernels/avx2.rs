//! Integer sums with AVX2: `vpmaddubsw` multiplies 32 unsigned by 32 signed bytes and adds pairs
//! to 16 lanes of i16.

#![expect(unsafe_code, reason = "vector loads and instructions")]

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_si256, _mm256_cvtph_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_storeu_si256,
};
use std::ops::Range;

use super::float::LANES;
use super::head::add_f16;
use super::pack::{GROUP_BYTES, PackedMatrix};
use super::quantize::{CHUNK, Quantized, TILE};

/// Bytes of one register.
const WIDTH: usize = 32;

/// How far ahead of the bytes in use weights are asked for, as in the AVX-512 kernels.
const AHEAD: usize = 2048;

/// Groups whose products are added in i16: one product of a pair is at most 2 * 2 * 127 = 508,
/// a group adds eight to a lane, and 64 * 508 = 32,512 still fits.
const GROUPS: usize = 8;

/// As [`super::ternary::products`], with one tile of `x`.
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn products(
    weights: &PackedMatrix,
    rows: Range<usize>,
    x: &Quantized,
    tile: usize,
    emit: &mut impl FnMut(usize, usize, i32),
) {
    let (first, width, q) = x.tile(tile);
    for row in rows {
        let bytes = weights.row(row);
        let mut sums = [0i32; TILE];
        // Four accumulators of each kind and the codes of a plane fill the registers.
        for from in (0..width).step_by(4) {
            let n = (width - from).min(4);
            let sums = &mut sums[from..from + n];
            // SAFETY: `codes` asserts what it reads.
            unsafe {
                match n {
                    1 => codes::<1>(bytes, q, width, from, sums),
                    2 => codes::<2>(bytes, q, width, from, sums),
                    3 => codes::<3>(bytes, q, width, from, sums),
                    _ => codes::<4>(bytes, q, width, from, sums),
                }
            }
        }
        for ((token, sum), sum_q) in (first..).zip(&sums[..width]).zip(&x.sums()[first..]) {
            emit(row, token, sum.wrapping_sub(*sum_q));
        }
    }
}

/// One row and `T` tokens of a tile `width` wide, beginning with token `from`.
///
/// # Safety
/// As [`products`].
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn codes<const T: usize>(row: &[u8], q: &[i8], width: usize, from: usize, sums: &mut [i32]) {
    assert!(
        row.len().is_multiple_of(GROUP_BYTES)
            && q.len() == 4 * width * row.len()
            && from + T <= width
            && sums.len() == T,
        "a tile fits the row"
    );
    let mask = _mm256_set1_epi8(3);
    let ones = _mm256_set1_epi16(1);
    let mut wide = [_mm256_setzero_si256(); T];
    let n_groups = row.len() / GROUP_BYTES;
    for begin in (0..n_groups).step_by(GROUPS) {
        let mut narrow = [_mm256_setzero_si256(); T];
        for group in begin..(begin + GROUPS).min(n_groups) {
            ahead(row.as_ptr().wrapping_add(group * GROUP_BYTES));
            for half in 0..2 {
                // SAFETY: half a group of the row.
                let w = unsafe { load(row.as_ptr().add(group * GROUP_BYTES + half * WIDTH)) };
                let planes = [
                    w,
                    _mm256_srli_epi16::<2>(w),
                    _mm256_srli_epi16::<4>(w),
                    _mm256_srli_epi16::<6>(w),
                ];
                for (p, plane) in planes.into_iter().enumerate() {
                    let codes = _mm256_and_si256(plane, mask);
                    for (t, narrow) in narrow.iter_mut().enumerate() {
                        let at = ((group * 4 + p) * width + from + t) * CHUNK + half * WIDTH;
                        // SAFETY: half a chunk of token `from + t`, inside the tile as asserted.
                        let x = unsafe { load(q.as_ptr().add(at).cast()) };
                        *narrow = _mm256_add_epi16(*narrow, _mm256_maddubs_epi16(codes, x));
                    }
                }
            }
        }
        for (wide, narrow) in wide.iter_mut().zip(narrow) {
            *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(narrow, ones));
        }
    }
    for (sum, wide) in sums.iter_mut().zip(wide) {
        *sum = total(wide);
    }
}

/// Sums over the planes of the head, as [`super::scalar::bytes`].
///
/// # Safety
/// As [`products`].
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn bytes(row: &[u8], planes: &[i8], sums: &mut [[i32; 2]]) {
    let sums = sums.as_flattened_mut();
    let n = sums.len();
    for from in (0..n).step_by(4) {
        // SAFETY: `head` asserts what it reads.
        unsafe {
            match n - from {
                2 => head::<2>(row, planes, n, from, &mut sums[from..]),
                _ => head::<4>(row, planes, n, from, &mut sums[from..from + 4]),
            }
        }
    }
}

/// One row and `P` of `n` planes, beginning with plane `from`.
///
/// Unsigned bytes up to 255 would overflow pairs in i16, so their halves of four bits are
/// multiplied one by one: a pair is at most 2 * 15 * 128 = 3840, and eight of them fit.
///
/// # Safety
/// As [`products`].
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn head<const P: usize>(row: &[u8], planes: &[i8], n: usize, from: usize, sums: &mut [i32]) {
    /// Chunks whose products are added in i16, two registers each.
    const CHUNKS: usize = 4;
    assert!(
        row.len().is_multiple_of(CHUNK)
            && planes.len() == n * row.len()
            && from + P <= n
            && sums.len() == P,
        "the planes fit the row"
    );
    let mask = _mm256_set1_epi8(15);
    let (ones, sixteens) = (_mm256_set1_epi16(1), _mm256_set1_epi16(16));
    let mut wide = [_mm256_setzero_si256(); P];
    let n_chunks = row.len() / CHUNK;
    for begin in (0..n_chunks).step_by(CHUNKS) {
        let mut narrow = [[_mm256_setzero_si256(); 2]; P];
        for chunk in begin..(begin + CHUNKS).min(n_chunks) {
            ahead(row.as_ptr().wrapping_add(chunk * CHUNK));
            for half in 0..2 {
                // SAFETY: half a chunk of the row.
                let w = unsafe { load(row.as_ptr().add(chunk * CHUNK + half * WIDTH)) };
                let low = _mm256_and_si256(w, mask);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(w), mask);
                for (p, narrow) in narrow.iter_mut().enumerate() {
                    let at = (chunk * n + from + p) * CHUNK + half * WIDTH;
                    // SAFETY: half a chunk of plane `from + p`, inside the planes as asserted.
                    let q = unsafe { load(planes.as_ptr().add(at).cast()) };
                    narrow[0] = _mm256_add_epi16(narrow[0], _mm256_maddubs_epi16(low, q));
                    narrow[1] = _mm256_add_epi16(narrow[1], _mm256_maddubs_epi16(high, q));
                }
            }
        }
        for (wide, [low, high]) in wide.iter_mut().zip(narrow) {
            *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(low, ones));
            *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(high, sixteens));
        }
    }
    for (sum, wide) in sums.iter_mut().zip(wide) {
        *sum = total(wide);
    }
}

/// Asks for the weights that will be read soon after those at `at`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "one instruction")]
fn ahead(at: *const u8) {
    // SAFETY: prefetching reads nothing, wherever it points.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast()) };
}

/// Sum of products of halves and floats, in the order of [`super::float::dot`].
///
/// # Safety
/// The CPU has AVX2 and F16C.
#[target_feature(enable = "avx2,f16c")]
#[inline]
pub(super) unsafe fn dot_f16(row: &[u16], h: &[f32]) -> f32 {
    assert_eq!(row.len(), h.len(), "operands differ in length");
    let mut lanes = [_mm256_setzero_ps(); 2];
    for i in 0..row.len() / LANES {
        for (half, lanes) in lanes.iter_mut().enumerate() {
            let at = i * LANES + half * 8;
            // SAFETY: 8 values from `at` lie inside both slices.
            unsafe {
                let w = _mm256_cvtph_ps(_mm_loadu_si128(row.as_ptr().add(at).cast()));
                let x = _mm256_loadu_ps(h.as_ptr().add(at));
                *lanes = _mm256_add_ps(*lanes, _mm256_mul_ps(x, w));
            }
        }
    }
    let mut sums = [0f32; LANES];
    for (half, lanes) in lanes.into_iter().enumerate() {
        // SAFETY: the array holds 8 values from there.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr().add(half * 8), lanes) };
    }
    let done = row.len() / LANES * LANES;
    add_f16(sums, &row[done..], &h[done..])
}

/// # Safety
/// 32 bytes can be read at `at`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// Sum of eight lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn total(acc: __m256i) -> i32 {
    let mut lanes = [0i32; 8];
    // SAFETY: the array holds 8 values.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), acc) };
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
