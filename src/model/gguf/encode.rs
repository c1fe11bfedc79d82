//! Ternary codes written as the blocks other programs read; the way back of `codes`.
//!
//! Blocks with a scale of their own get 1, so that nothing is rounded to half precision: the exact
//! scale of the tensor stands beside it. `I2_S` ends with the scale itself.
//!
//! Source of the layouts: ggml's `ggml-quants.c` and its Python implementation, held against
//! vectors of the latter; for `I2_S` the converters of microsoft/BitNet.

use super::kind::GgmlType;

/// 1 in half precision, little-endian.
const ONE: [u8; 2] = [0x00, 0x3c];

/// Bytes after the codes of an `I2_S` tensor: its scale and padding.
const I2S_TAIL: usize = 32;

/// Values that a block holds: of a row, for `I2_S` of the whole tensor. `None` for types that are
/// not written.
pub(in crate::model) fn block_values(kind: GgmlType) -> Option<usize> {
    match kind {
        GgmlType::I2S => Some(128),
        GgmlType::TQ1_0 | GgmlType::TQ2_0 => Some(256),
        GgmlType::Q4_0 => Some(32),
        _ => None,
    }
}

/// Whether the scale of a tensor of this type stands in a tensor of its own.
pub(in crate::model) fn has_scale_tensor(kind: GgmlType) -> bool {
    kind != GgmlType::I2S
}

/// Bytes of a tensor of `n` values.
///
/// # Panics
/// When the type is not written or the values are not whole blocks.
pub(in crate::model) fn encoded_len(kind: GgmlType, n: usize) -> usize {
    let block = block_values(kind).expect("the type is written");
    assert!(n.is_multiple_of(block), "blocks are whole");
    match kind {
        GgmlType::I2S => n / 4 + I2S_TAIL,
        _ => n / block * block_bytes(kind),
    }
}

fn block_bytes(kind: GgmlType) -> usize {
    let (_, bytes) = kind.block().expect("the type has blocks");
    usize::try_from(bytes).expect("blocks are short")
}

/// Appends the blocks of a whole tensor.
///
/// * `codes`: `T + 1` of every value, one a byte, in file order
/// * `scale`: direct; only `I2_S` holds it
///
/// # Panics
/// When the type is not written or the values are not whole blocks.
pub(in crate::model) fn encode(kind: GgmlType, codes: &[u8], scale: f32, out: &mut Vec<u8>) {
    let expected = out.len() + encoded_len(kind, codes.len());
    match kind {
        GgmlType::I2S => {
            codes
                .as_chunks::<128>()
                .0
                .iter()
                .for_each(|block| i2_s(block, out));
            out.extend_from_slice(&scale.to_le_bytes());
            out.resize(expected, 0);
        }
        GgmlType::TQ1_0 => codes
            .as_chunks()
            .0
            .iter()
            .for_each(|block| tq1_0(block, out)),
        GgmlType::TQ2_0 => codes
            .as_chunks()
            .0
            .iter()
            .for_each(|block| tq2_0(block, out)),
        _ => codes
            .as_chunks()
            .0
            .iter()
            .for_each(|block| q4_0(block, out)),
    }
    assert_eq!(out.len(), expected, "sizes agree with the header");
}

/// Nibbles 7, 8 and 9 stand for -1, 0 and 1.
fn q4_0(block: &[u8; 32], out: &mut Vec<u8>) {
    out.extend_from_slice(&ONE);
    let (low, high) = block.split_at(16);
    out.extend(low.iter().zip(high).map(|(a, b)| (a + 7) | (b + 7) << 4));
}

/// Four planes of 32 codes, the first in the high bits.
fn i2_s(block: &[u8; 128], out: &mut Vec<u8>) {
    out.extend((0..32).map(|m| {
        let at = |plane: usize| block[32 * plane + m];
        at(0) << 6 | at(1) << 4 | at(2) << 2 | at(3)
    }));
}

/// Two chunks of four planes of 32 codes, the first in the low bits.
fn tq2_0(block: &[u8; 256], out: &mut Vec<u8>) {
    for chunk in block.as_chunks::<128>().0 {
        out.extend((0..32).map(|m| {
            let at = |plane: usize| chunk[32 * plane + m];
            at(0) | at(1) << 2 | at(2) << 4 | at(3) << 6
        }));
    }
    out.extend_from_slice(&ONE);
}

/// Digits in base 3, the most significant first: five to a byte, and four in the last four bytes.
fn tq1_0(block: &[u8; 256], out: &mut Vec<u8>) {
    for (start, width, n_digits) in [(0, 32, 5), (160, 16, 5), (240, 4, 4)] {
        out.extend((0..width).map(|m| {
            // A byte of four digits is filled up with a zero digit.
            let digits = (0..5).map(|n| {
                if n < n_digits {
                    u16::from(block[start + width * n + m])
                } else {
                    0
                }
            });
            let number = digits.fold(0, |number, digit| 3 * number + digit);
            // Times 256 / 243, rounded up: then the digits fall out of the top of products.
            let [low, _] = (number * 256).div_ceil(243).to_le_bytes();
            low
        }));
    }
    out.extend_from_slice(&ONE);
}
