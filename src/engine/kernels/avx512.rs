//! Integer sums with AVX-512 VNNI: `vpdpbusd` multiplies 64 unsigned by 64 signed bytes and adds
//! groups of four to 16 lanes of i32.
//!
//! Weights are the unsigned operand. One step over 64 packed bytes adds at most 4 * 128 * 127 to
//! a lane of the highest plane, so i32 holds 33,000 steps, rows of 8 million columns.

#![expect(unsafe_code, reason = "vector loads and instructions")]

use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_epi32,
    _mm512_add_ps, _mm512_and_si512, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_reduce_add_epi32, _mm512_set1_epi8,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_srai_epi32,
    _mm512_srli_epi16, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::ops::Range;

use super::float::LANES;
use super::head::add_f16;
use super::pack::{GROUP, GROUP_BYTES, PackedMatrix};
use super::quantize::{CHUNK, Quantized, TILE};

/// How far ahead of the bytes in use weights are asked for: enough to hide memory on huge pages.
const AHEAD: usize = 2048;

/// As [`super::ternary::products`], with one tile of `x`.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
pub(super) unsafe fn products(
    weights: &PackedMatrix,
    rows: Range<usize>,
    x: &Quantized,
    tile: usize,
    emit: &mut impl FnMut(usize, usize, i32),
) {
    let (first, width, q) = x.tile(tile);
    let mut row = rows.start;
    while row < rows.end {
        let is_pair = row + 1 < rows.end;
        let one = weights.row(row);
        let two = if is_pair { weights.row(row + 1) } else { one };
        let mut sums = [0i32; 2 * TILE];
        // SAFETY: both rows hold whole groups, and the tile holds 64 bytes per token for each
        // of their planes.
        unsafe {
            match width {
                1 => gemv(one, two, q, &mut sums),
                2 => tile_sums::<2>(one, two, q, &mut sums),
                3 => tile_sums::<3>(one, two, q, &mut sums),
                4 => tile_sums::<4>(one, two, q, &mut sums),
                5 => tile_sums::<5>(one, two, q, &mut sums),
                6 => tile_sums::<6>(one, two, q, &mut sums),
                7 => tile_sums::<7>(one, two, q, &mut sums),
                _ => tile_sums::<8>(one, two, q, &mut sums),
            }
        }
        for t in 0..width {
            let sum_q = x.sums()[first + t];
            emit(row, first + t, sums[t].wrapping_sub(sum_q));
            if is_pair {
                emit(row + 1, first + t, sums[width + t].wrapping_sub(sum_q));
            }
        }
        row += 2;
    }
}

/// One token: planes are masked without shifting, each adds 4^p times its sum to accumulators of
/// its own, and the shift at the end is exact. Memory is the limit here, not arithmetic.
///
/// # Safety
/// As [`products`]; `q` holds 64 bytes for every plane of the rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
unsafe fn gemv(one: &[u8], two: &[u8], q: &[i8], sums: &mut [i32; 2 * TILE]) {
    assert!(
        one.len() == two.len() && q.len() == 4 * one.len(),
        "a tile fits the rows"
    );
    let masks = [3, 12, 48, -64].map(|m| _mm512_set1_epi8(m));
    let mut acc = [[_mm512_setzero_si512(); 4]; 2];
    for group in 0..one.len() / GROUP_BYTES {
        // SAFETY: `group` is a whole group of both rows and of the tile, as asserted; prefetching
        // reads nothing, wherever it points.
        unsafe {
            let at = one.as_ptr().wrapping_add(2 * GROUP_BYTES * group + AHEAD);
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(GROUP_BYTES).cast());
            let w = [one, two].map(|row| load(row.as_ptr().add(group * GROUP_BYTES)));
            for p in 0..4 {
                let x = load(q.as_ptr().add(group * GROUP + p * CHUNK).cast());
                for (acc, w) in acc.iter_mut().zip(w) {
                    acc[p] = _mm512_dpbusd_epi32(acc[p], _mm512_and_si512(w, masks[p]), x);
                }
            }
        }
    }
    for (sum, acc) in sums.iter_mut().zip(acc) {
        let low = _mm512_add_epi32(acc[0], _mm512_srai_epi32::<2>(acc[1]));
        let high = _mm512_add_epi32(
            _mm512_srai_epi32::<4>(acc[2]),
            _mm512_srai_epi32::<6>(acc[3]),
        );
        *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
    }
}

/// Two rows and `T` tokens: each plane is unpacked once and used for every token.
///
/// * `sums`: `[2][T]`
///
/// # Safety
/// As [`products`]; `q` holds 64 bytes per token for every plane of the rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
unsafe fn tile_sums<const T: usize>(one: &[u8], two: &[u8], q: &[i8], sums: &mut [i32; 2 * TILE]) {
    assert!(
        one.len() == two.len() && q.len() == 4 * T * one.len(),
        "a tile fits the rows"
    );
    let mask = _mm512_set1_epi8(3);
    let mut acc = [[_mm512_setzero_si512(); T]; 2];
    for group in 0..one.len() / GROUP_BYTES {
        // SAFETY: `group` is a whole group of both rows and of the tile, as asserted; prefetching
        // reads nothing, wherever it points.
        unsafe {
            let at = one.as_ptr().wrapping_add(2 * GROUP_BYTES * group + AHEAD);
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(GROUP_BYTES).cast());
            let a = load(one.as_ptr().add(group * GROUP_BYTES));
            let b = load(two.as_ptr().add(group * GROUP_BYTES));
            let planes = [
                [a, b],
                [_mm512_srli_epi16::<2>(a), _mm512_srli_epi16::<2>(b)],
                [_mm512_srli_epi16::<4>(a), _mm512_srli_epi16::<4>(b)],
                [_mm512_srli_epi16::<6>(a), _mm512_srli_epi16::<6>(b)],
            ];
            for (p, plane) in planes.into_iter().enumerate() {
                let codes = plane.map(|codes| _mm512_and_si512(codes, mask));
                let base = q.as_ptr().add((group * 4 + p) * T * CHUNK);
                let [one, two] = &mut acc;
                for (t, (one, two)) in one.iter_mut().zip(two).enumerate() {
                    let x = load(base.add(t * CHUNK).cast());
                    *one = _mm512_dpbusd_epi32(*one, codes[0], x);
                    *two = _mm512_dpbusd_epi32(*two, codes[1], x);
                }
            }
        }
    }
    reduce(acc.as_flattened(), sums);
}

/// Sums over the planes of the head, as [`super::scalar::bytes`], for rows that follow each other.
///
/// * `rows`: `[n][chunks * 64]`
/// * `sums`: `[n][tokens][2]`
///
/// # Safety
/// As [`products`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
pub(super) unsafe fn bytes(row: &[u8], planes: &[i8], sums: &mut [[i32; 2]]) {
    // SAFETY: `head_sums` asserts what it reads.
    unsafe {
        match sums.len() {
            1 => head_sums::<2>(row, planes, sums),
            2 => head_sums::<4>(row, planes, sums),
            3 => head_sums::<6>(row, planes, sums),
            4 => head_sums::<8>(row, planes, sums),
            5 => head_sums::<10>(row, planes, sums),
            6 => head_sums::<12>(row, planes, sums),
            7 => head_sums::<14>(row, planes, sums),
            _ => head_sums::<16>(row, planes, sums),
        }
    }
}

/// One row and `P` planes of tokens.
///
/// # Safety
/// As [`products`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
unsafe fn head_sums<const P: usize>(row: &[u8], planes: &[i8], sums: &mut [[i32; 2]]) {
    assert!(
        row.len().is_multiple_of(CHUNK) && planes.len() == P * row.len() && 2 * sums.len() == P,
        "the planes fit the row"
    );
    let mut acc = [_mm512_setzero_si512(); P];
    for chunk in 0..row.len() / CHUNK {
        // SAFETY: `chunk` is a whole chunk of the row and of the planes, as asserted; prefetching
        // reads nothing, wherever it points.
        unsafe {
            let at = row.as_ptr().wrapping_add(CHUNK * chunk + AHEAD);
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
            let w = load(row.as_ptr().add(chunk * CHUNK));
            let base = planes.as_ptr().add(chunk * P * CHUNK);
            for (p, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_dpbusd_epi32(*acc, w, load(base.add(p * CHUNK).cast()));
            }
        }
    }
    let mut flat = [0; 2 * TILE];
    reduce(&acc, &mut flat);
    sums.as_flattened_mut().copy_from_slice(&flat[..P]);
}

/// Sum of products of halves and floats, in the order of [`super::float::dot`].
///
/// # Safety
/// As [`products`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
pub(super) unsafe fn dot_f16(row: &[u16], h: &[f32]) -> f32 {
    assert_eq!(row.len(), h.len(), "operands differ in length");
    let mut lanes: __m512 = _mm512_setzero_ps();
    for i in 0..row.len() / LANES {
        // SAFETY: 16 values from `i * 16` lie inside both slices.
        unsafe {
            let w = _mm512_cvtph_ps(_mm256_loadu_si256(row.as_ptr().add(i * LANES).cast()));
            let x = _mm512_loadu_ps(h.as_ptr().add(i * LANES));
            lanes = _mm512_add_ps(lanes, _mm512_mul_ps(x, w));
        }
    }
    let mut sums = [0f32; LANES];
    // SAFETY: the array holds 16 values.
    unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), lanes) };
    let done = row.len() / LANES * LANES;
    add_f16(sums, &row[done..], &h[done..])
}

/// # Safety
/// 64 bytes can be read at `at`; the CPU has AVX-512 F.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// Sums of the lanes of up to 16 registers.
#[target_feature(enable = "avx512f")]
#[inline]
fn reduce(acc: &[__m512i], sums: &mut [i32; 2 * TILE]) {
    let Ok(a) = <[__m512i; 16]>::try_from(acc) else {
        for (sum, acc) in sums.iter_mut().zip(acc) {
            *sum = _mm512_reduce_add_epi32(*acc);
        }
        return;
    };
    // Neighbours are interleaved and added, which halves their number each time.
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let two = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let lanes = |a, b| {
        _mm512_add_epi32(
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        )
    };
    let quad = |i: usize| two(pair(a[i], a[i + 1]), pair(a[i + 2], a[i + 3]));
    let all = lanes(lanes(quad(0), quad(4)), lanes(quad(8), quad(12)));
    // SAFETY: the array holds 16 values.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), all) };
}
