//! Ternary tensors of every GGUF type, turned into canonical codes and one scale.
//!
//! Canonical: `T + 1` four to a byte, first in the low bits. Blocks are unpacked with arithmetic
//! on whole words, so that reading two billion weights takes a fraction of a second.

use half::f16;

use super::kind::GgmlType;
use crate::model::I2sLayout;
use crate::model::arena::{Plain, Slab};

/// Codes of a whole tensor, rows joined without padding, and the magnitude of its weights.
pub(super) struct Codes {
    pub(super) bytes: Slab<u8>,
    pub(super) scale: f32,
    /// Whether 4-bit blocks hold -7/8 for -1, as a rounding quantizer leaves it.
    pub(super) is_rounded: bool,
}

/// Why a tensor has no such form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NotTernary {
    /// A block with several magnitudes; its number, and a value that is odd.
    Values { block: usize, value: f32 },
    /// Blocks of different magnitude; the number of the one that differs from the first.
    Scales {
        block: usize,
        first: f32,
        other: f32,
    },
    /// A block scale that is no number, or negative where the type allows none.
    Scale(f32),
}

/// Whether [`extract`] reads this type.
pub(super) fn may_be_ternary(kind: GgmlType) -> bool {
    matches!(
        kind,
        GgmlType::I2S
            | GgmlType::TQ1_0
            | GgmlType::TQ2_0
            | GgmlType::Q2_0
            | GgmlType::Q2_0Wide
            | GgmlType::Q4_0
    )
}

/// Values that a block of codes holds; the tensor is a multiple of it.
pub(super) fn block_values(kind: GgmlType, layout: I2sLayout) -> u64 {
    match (kind, layout) {
        (GgmlType::I2S, I2sLayout::Blocks128) => 128,
        (GgmlType::I2S, I2sLayout::Blocks64) => 64,
        _ => kind.block().map_or(1, |(values, _)| values),
    }
}

/// Codes and scale of a tensor, or of whole blocks at its beginning; for `I2_S` of the whole.
///
/// # Errors
/// [`NotTernary`].
///
/// # Panics
/// When the type cannot be ternary or the bytes are not whole blocks.
pub(super) fn extract(
    kind: GgmlType,
    layout: I2sLayout,
    bytes: &[u8],
) -> Result<Codes, NotTernary> {
    match kind {
        GgmlType::I2S => Ok(i2_s(layout, bytes)),
        GgmlType::TQ1_0 => scaled::<54, 64, 52>(bytes, tq1_0),
        GgmlType::TQ2_0 => scaled::<66, 64, 64>(bytes, tq2_0),
        GgmlType::Q2_0 => scaled::<18, 16, 0>(bytes, |block, out| {
            out.copy_from_slice(&block[2..]);
        }),
        GgmlType::Q2_0Wide => scaled::<34, 32, 0>(bytes, |block, out| {
            out.copy_from_slice(&block[2..]);
        }),
        GgmlType::Q4_0 => q4_0(bytes),
        other => panic!("{other} holds no ternary weights"),
    }
}

/// Four codes in the low bits of four bytes, joined in the lowest byte.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the joined codes are in the lowest byte"
)]
fn join(word: u32) -> u8 {
    let pairs = word | word >> 6;
    (pairs | pairs >> 12) as u8
}

/// Codes of a plane: bits `shift` and `shift + 1` of every byte, in order.
fn plane(bytes: &[u8], shift: u32, out: &mut [u8]) {
    let (words, _) = bytes.as_chunks::<4>();
    for (out, word) in out.iter_mut().zip(words) {
        *out = join(u32::from_le_bytes(*word) >> shift & 0x0303_0303);
    }
}

fn i2_s(layout: I2sLayout, bytes: &[u8]) -> Codes {
    let n = bytes.len() - 32;
    let (codes, rest) = bytes.split_at(n);
    let mut out = Slab::zeroed(n);
    match layout {
        I2sLayout::Blocks128 => i2_s_blocks::<32>(codes, &mut out),
        I2sLayout::Blocks64 => i2_s_blocks::<16>(codes, &mut out),
    }
    Codes {
        bytes: out,
        scale: f32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]),
        is_rounded: false,
    }
}

/// A block of `N` bytes holds four planes of `N` codes, the first in the high bits.
fn i2_s_blocks<const N: usize>(codes: &[u8], out: &mut [u8]) {
    let (blocks, rest) = codes.as_chunks::<N>();
    assert!(rest.is_empty(), "blocks are whole");
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<N>().0) {
        for (out, shift) in out.chunks_exact_mut(N / 4).zip([6, 4, 2, 0]) {
            plane(block, shift, out);
        }
    }
}

fn tq2_0(block: &[u8; 66], out: &mut [u8; 64]) {
    for (bytes, out) in block.chunks_exact(32).zip(out.chunks_exact_mut(32)) {
        for (out, shift) in out.chunks_exact_mut(8).zip([0, 2, 4, 6]) {
            plane(bytes, shift, out);
        }
    }
}

/// The five digits of every byte, two bits each, the first in the low bits.
const DIGITS: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u16;
    while byte < 256 {
        let mut n = 0;
        let mut value = byte;
        while n < 5 {
            table[byte as usize] |= ((value * 3) >> 8) << (2 * n);
            value = value * 3 % 256;
            n += 1;
        }
        byte += 1;
    }
    table
};

fn tq1_0(block: &[u8; 54], out: &mut [u8; 64]) {
    // Bytes of a part, digits used, and where its codes begin.
    for (bytes, n_digits, at) in [
        (&block[..32], 5, 0),
        (&block[32..48], 5, 40),
        (&block[48..52], 4, 60),
    ] {
        let per_digit = bytes.len() / 4;
        for (k, four) in bytes.chunks_exact(4).enumerate() {
            let digit = |i: usize| u64::from(DIGITS[usize::from(four[i])]) << (16 * i);
            let digits = digit(0) | digit(1) | digit(2) | digit(3);
            for n in 0..n_digits {
                let codes = digits >> (2 * n) & 0x0003_0003_0003_0003;
                let pairs = codes | codes >> 14;
                out[at + per_digit * n + k] = (pairs | pairs >> 28).to_le_bytes()[0];
            }
        }
    }
}

/// Blocks that hold codes and, at byte `AT`, a scale of their own.
fn scaled<const BYTES: usize, const CODES: usize, const AT: usize>(
    bytes: &[u8],
    unpack: impl Fn(&[u8; BYTES], &mut [u8; CODES]),
) -> Result<Codes, NotTernary> {
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    assert!(rest.is_empty(), "blocks are whole");
    let mut out = Slab::zeroed(blocks.len() * CODES);
    let mut bits = None;
    for (index, (block, out)) in blocks
        .iter()
        .zip(out.as_chunks_mut::<CODES>().0)
        .enumerate()
    {
        unpack(block, out);
        let found = u16::from_le_bytes([block[AT], block[AT + 1]]);
        if bits == Some(found) {
            continue;
        }
        // Quantizers write any scale, often 0, beside a block of zeros.
        let is_zero = out.iter().all(|codes| *codes == 0b01_01_01_01);
        let scale = f16::from_bits(found).to_f32();
        if !scale.is_finite() || scale < 0.0 {
            return Err(NotTernary::Scale(scale));
        }
        match bits {
            _ if is_zero => {}
            None => bits = Some(found),
            Some(first) => {
                return Err(NotTernary::Scales {
                    block: index,
                    first: f16::from_bits(first).to_f32(),
                    other: scale,
                });
            }
        }
    }
    let scale = f16::from_bits(bits.unwrap_or_default()).to_f32();
    if let Some(block) = first_with_code_3(&out, CODES) {
        let value = 2.0 * scale;
        return Err(NotTernary::Values { block, value });
    }
    Ok(Codes {
        bytes: out,
        scale,
        is_rounded: false,
    })
}

/// Number of the first block that holds a code 3.
fn first_with_code_3(codes: &[u8], block_bytes: usize) -> Option<usize> {
    codes
        .chunks_exact(block_bytes)
        .position(|block| block.iter().fold(0, |any, b| any | b & (b >> 1) & 0x55) != 0)
}

/// What the nibbles of a block mean: two codes for each byte, 3 for a value that does not occur.
struct Meaning {
    d: u16,
    codes: [u8; 256],
}

/// 4-bit blocks with values -s, 0 and s only.
///
/// A rounding quantizer makes the block's scale from the weight it meets first, so that this sign
/// becomes -8 and the other one, for want of a +8, +7: such blocks count as ternary too.
fn q4_0(bytes: &[u8]) -> Result<Codes, NotTernary> {
    let (blocks, rest) = bytes.as_chunks::<18>();
    assert!(rest.is_empty(), "blocks are whole");
    let mut out = Slab::zeroed(blocks.len() * 8);
    let mut scale = None;
    let mut is_rounded = false;
    // The last meanings of blocks with positive and with negative scale.
    let mut meanings: [Option<Meaning>; 2] = [None, None];
    for (index, (block, out)) in blocks.iter().zip(out.as_chunks_mut::<8>().0).enumerate() {
        let d = u16::from_le_bytes([block[0], block[1]]);
        let meaning = &mut meanings[usize::from(d >> 15)];
        if let Some(meaning) = meaning.as_ref().filter(|meaning| meaning.d == d)
            && apply(&meaning.codes, &block[2..], out)
        {
            continue;
        }
        let found = magnitude(d, &block[2..], index)?;
        if let Some(found) = found {
            let first = *scale.get_or_insert(found.scale);
            #[expect(clippy::float_cmp, reason = "equal weights repeat the same bits")]
            if first != found.scale {
                return Err(NotTernary::Scales {
                    block: index,
                    first,
                    other: found.scale,
                });
            }
            is_rounded |= found.is_rounded;
            let fresh = meaning.insert(Meaning {
                d,
                codes: found.codes(),
            });
            apply(&fresh.codes, &block[2..], out);
        } else {
            out.fill(0b01_01_01_01);
        }
    }
    Ok(Codes {
        bytes: out,
        scale: scale.unwrap_or_default(),
        is_rounded,
    })
}

/// Writes the codes of 16 bytes of nibbles; whether all of them have one.
fn apply(codes: &[u8; 256], nibbles: &[u8], out: &mut [u8; 8]) -> bool {
    let mut any = 0;
    for (k, four) in nibbles.as_chunks::<4>().0.iter().enumerate() {
        let word = u32::from_le_bytes(four.map(|byte| codes[usize::from(byte)]));
        any |= word & word >> 1;
        out[k] = join(word & 0x0303_0303);
        out[k + 4] = join(word >> 4 & 0x0303_0303);
    }
    any & 0x1111_1111 == 0
}

/// The magnitude of a 4-bit block and which nibbles stand for it.
struct Magnitude {
    scale: f32,
    /// Nibble below 8, and the one of the opposite weight.
    low: u8,
    high: u8,
    is_negative: bool,
    is_rounded: bool,
}

impl Magnitude {
    /// Codes of both nibbles of every byte, at bits 0 and 4.
    fn codes(&self) -> [u8; 256] {
        let code = |nibble: u8| match nibble {
            8 => 1,
            n if n == self.low => 2 * u8::from(self.is_negative),
            n if n == self.high => 2 * u8::from(!self.is_negative),
            _ => 3,
        };
        std::array::from_fn(|byte| {
            let [byte, ..] = byte.to_le_bytes();
            code(byte & 15) | code(byte >> 4) << 4
        })
    }
}

/// What the values of a block are multiples of; `None` when all are zero.
fn magnitude(d: u16, nibbles: &[u8], block: usize) -> Result<Option<Magnitude>, NotTernary> {
    let d = f16::from_bits(d).to_f32();
    if !d.is_finite() {
        return Err(NotTernary::Scale(d));
    }
    let present = nibbles
        .iter()
        .fold(0u16, |set, byte| set | 1 << (byte & 15) | 1 << (byte >> 4));
    if d == 0.0 {
        return Ok(None);
    }
    let mut others = (0..16u8).filter(|n| *n != 8 && present & 1 << n != 0);
    let Some(first) = others.next() else {
        return Ok(None);
    };
    let (second, third) = (others.next(), others.next());
    let opposite = 16 - first;
    let is_rounded = first == 0 && second == Some(15);
    let is_ternary =
        third.is_none() && (second.is_none() || second == Some(opposite) || is_rounded);
    if !is_ternary {
        let odd = third.or(second).unwrap_or(first);
        return Err(NotTernary::Values {
            block,
            value: f32::from(i16::from(odd) - 8) * d,
        });
    }
    let low = first.min(opposite);
    Ok(Some(Magnitude {
        scale: f32::from(8 - low) * d.abs(),
        low,
        high: if is_rounded { 15 } else { 16 - low },
        is_negative: d < 0.0,
        is_rounded,
    }))
}

/// Rows padded to whole bytes, from codes joined without padding.
pub(super) fn padded_rows(codes: Slab<u8>, [n_out, n_in]: [usize; 2]) -> Slab<u8> {
    if n_in.is_multiple_of(4) {
        return codes;
    }
    let code = |i: usize| codes[i / 4] >> (2 * (i % 4)) & 3;
    let row_bytes = n_in.div_ceil(4);
    let mut out = Slab::zeroed(n_out * row_bytes);
    for (row, out) in out.chunks_exact_mut(row_bytes).enumerate() {
        for column in 0..n_in {
            out[column / 4] |= code(row * n_in + column) << (2 * (column % 4));
        }
    }
    out
}

/// Undoes the row order that llama.cpp's converter gives q and k for its own rotary form.
///
/// File row `h*d + 2i + half` is row `h*d + half*d/2 + i`, for heads of width d.
pub(super) fn unpermuted<T: Plain>(rows: &[T], n_rows: usize, head_dim: usize) -> Slab<T> {
    let width = rows.len() / n_rows;
    let mut out = Slab::zeroed(rows.len());
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        let (head, within) = (row / head_dim, row % head_dim);
        let (half, i) = (within / (head_dim / 2), within % (head_dim / 2));
        let source = head * head_dim + 2 * i + half;
        out.copy_from_slice(&rows[source * width..][..width]);
    }
    out
}
