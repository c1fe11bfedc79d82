//! Integer sums with NEON: `sdot` multiplies 16 signed by 16 signed bytes and adds groups of four
//! to four lanes of i32.
//!
//! The instruction comes with the `dotprod` extension; its intrinsic is not stable, so it is
//! written as assembly.

#![expect(unsafe_code, reason = "vector loads and instructions")]

use std::arch::aarch64::{
    int8x16_t, int32x4_t, uint8x16_t, vaddvq_s32, vandq_u8, vdupq_n_s32, vdupq_n_u8, vld1q_s8,
    vld1q_u8, vreinterpretq_s8_u8, vshrq_n_u8,
};
use std::arch::asm;
use std::ops::Range;

use super::pack::{GROUP_BYTES, PackedMatrix};
use super::quantize::{CHUNK, Quantized, TILE};

/// Bytes of one register.
const WIDTH: usize = 16;

/// As [`super::ternary::products`], with one tile of `x`.
///
/// # Safety
/// The CPU has NEON with `dotprod`.
#[target_feature(enable = "neon,dotprod")]
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
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn codes<const T: usize>(row: &[u8], q: &[i8], width: usize, from: usize, sums: &mut [i32]) {
    assert!(
        row.len().is_multiple_of(GROUP_BYTES)
            && q.len() == 4 * width * row.len()
            && from + T <= width
            && sums.len() == T,
        "a tile fits the row"
    );
    let mask = vdupq_n_u8(3);
    let mut acc = [vdupq_n_s32(0); T];
    for group in 0..row.len() / GROUP_BYTES {
        for quarter in 0..GROUP_BYTES / WIDTH {
            // SAFETY: a quarter of a group of the row.
            let w: uint8x16_t =
                unsafe { vld1q_u8(row.as_ptr().add(group * GROUP_BYTES + quarter * WIDTH)) };
            let planes = [
                w,
                vshrq_n_u8::<2>(w),
                vshrq_n_u8::<4>(w),
                vshrq_n_u8::<6>(w),
            ];
            for (p, plane) in planes.into_iter().enumerate() {
                let codes = vreinterpretq_s8_u8(vandq_u8(plane, mask));
                for (t, acc) in acc.iter_mut().enumerate() {
                    let at = ((group * 4 + p) * width + from + t) * CHUNK + quarter * WIDTH;
                    // SAFETY: a quarter of a chunk of token `from + t`, inside the tile as
                    // asserted; the CPU has the instruction.
                    *acc = unsafe { dot(*acc, codes, vld1q_s8(q.as_ptr().add(at))) };
                }
            }
        }
    }
    for (sum, acc) in sums.iter_mut().zip(acc) {
        *sum = vaddvq_s32(acc);
    }
}

/// `acc + a * b` in groups of four.
///
/// # Safety
/// The CPU has `dotprod`.
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn dot(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches these three registers only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b",
            acc = inout(vreg) acc,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}
