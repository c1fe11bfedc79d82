//! Decoders of float and quantized blocks to rows of f32.
//!
//! Layouts as in ggml's `ggml-quants.c`, held against vectors of its Python implementation.

use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};

use super::kind::GgmlType;

/// Whether [`decode`] reads this type.
pub fn is_decodable(kind: GgmlType) -> bool {
    matches!(
        kind,
        GgmlType::F32
            | GgmlType::F16
            | GgmlType::BF16
            | GgmlType::Q4_0
            | GgmlType::Q8_0
            | GgmlType::Q4K
            | GgmlType::Q6K
            | GgmlType::TQ1_0
            | GgmlType::TQ2_0
            | GgmlType::Q2_0
            | GgmlType::Q2_0Wide
    )
}

/// Decodes whole blocks.
///
/// * `bytes`: blocks of `kind`, one after the other
/// * `out`: one place per value
///
/// # Panics
/// When the type is not [decodable](is_decodable) or the lengths disagree.
pub fn decode(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    match kind {
        GgmlType::F32 => singles(bytes, out, f32::from_le_bytes),
        GgmlType::F16 => halves(bytes, out),
        GgmlType::BF16 => singles(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
        GgmlType::Q4_0 => blocks::<18, 32>(bytes, out, q4_0),
        GgmlType::Q8_0 => blocks::<34, 32>(bytes, out, q8_0),
        GgmlType::Q4K => blocks::<144, 256>(bytes, out, q4_k),
        GgmlType::Q6K => blocks::<210, 256>(bytes, out, q6_k),
        GgmlType::TQ1_0 => blocks::<54, 256>(bytes, out, tq1_0),
        GgmlType::TQ2_0 => blocks::<66, 256>(bytes, out, tq2_0),
        GgmlType::Q2_0 => blocks::<18, 64>(bytes, out, |block, out| q2_0(block, out)),
        GgmlType::Q2_0Wide => blocks::<34, 128>(bytes, out, |block, out| q2_0(block, out)),
        other => panic!("{other} is not decoded here"),
    }
}

/// The first scale in whole blocks that is not finite, with the number of its block.
///
/// A value of a block is a small integer times its scale, less a small integer times its minimum:
/// finite wherever both are.
///
/// * `bytes`: blocks of a quantized `kind` with scales in half precision, one after the other
///
/// # Panics
/// When the type is no such kind or the bytes are not whole blocks.
pub(super) fn odd_scale(kind: GgmlType, bytes: &[u8]) -> Option<(usize, f32)> {
    let places: &[usize] = match kind {
        GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q8_0 => &[0],
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => &[0, 2],
        GgmlType::Q2K => &[80, 82],
        GgmlType::Q3K => &[108],
        GgmlType::Q6K => &[208],
        other => panic!("{other} has no scales of this kind"),
    };
    let (_, size) = kind.block().expect("the type has blocks");
    let blocks = bytes.chunks_exact(usize::try_from(size).expect("a block is short"));
    assert!(blocks.remainder().is_empty(), "blocks are whole");
    blocks.enumerate().find_map(|(n, block)| {
        let mut scales = places.iter().map(|at| half_at(block, *at));
        let odd = scales.find(|scale| !scale.is_finite())?;
        Some((n, odd))
    })
}

fn singles<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    let (values, rest) = bytes.as_chunks::<N>();
    assert!(
        rest.is_empty() && values.len() == out.len(),
        "lengths agree"
    );
    for (out, bytes) in out.iter_mut().zip(values) {
        *out = value(*bytes);
    }
}

/// Through a short buffer, so that the conversion runs on whole vectors.
fn halves(bytes: &[u8], out: &mut [f32]) {
    let (values, rest) = bytes.as_chunks::<2>();
    assert!(
        rest.is_empty() && values.len() == out.len(),
        "lengths agree"
    );
    let mut buffer = [f16::ZERO; 512];
    for (out, values) in out.chunks_mut(buffer.len()).zip(values.chunks(512)) {
        for (half, bytes) in buffer.iter_mut().zip(values) {
            *half = f16::from_le_bytes(*bytes);
        }
        buffer[..out.len()].convert_to_f32_slice(out);
    }
}

fn blocks<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    let (values, odd) = out.as_chunks_mut::<VALUES>();
    assert!(
        rest.is_empty() && odd.is_empty() && blocks.len() == values.len(),
        "lengths agree"
    );
    for (block, values) in blocks.iter().zip(values) {
        decode(block, values);
    }
}

/// The half-precision number at a place.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (j, byte) in block[2..].iter().enumerate() {
        out[j] = f32::from(i16::from(byte & 15) - 8) * d;
        out[j + 16] = f32::from(i16::from(byte >> 4) - 8) * d;
    }
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (out, byte) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(byte.cast_signed()) * d;
    }
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, d_min) = (half_at(block, 0), half_at(block, 2));
    let (packed, nibbles) = (&block[4..16], &block[16..]);
    for (g, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = if g < 4 {
            (packed[g] & 63, packed[g + 4] & 63)
        } else {
            (
                packed[g + 4] & 15 | packed[g - 4] >> 6 << 4,
                packed[g + 4] >> 4 | packed[g] >> 6 << 4,
            )
        };
        let (scale, min) = (d * f32::from(scale), d_min * f32::from(min));
        let shift = 4 * (g % 2);
        for (out, byte) in out.iter_mut().zip(&nibbles[32 * (g / 2)..]) {
            *out = scale * f32::from(byte >> shift & 15) - min;
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for h in 0..2 {
        let (low, high) = (&block[64 * h..][..64], &block[128 + 32 * h..][..32]);
        let scales: [f32; 8] =
            std::array::from_fn(|i| d * f32::from(block[192 + 8 * h + i].cast_signed()));
        let out = &mut out[128 * h..][..128];
        for l in 0..32 {
            let i = l / 16;
            let value = |nibble: u8, shift: u8| {
                f32::from(i16::from(nibble & 15 | (high[l] >> shift & 3) << 4) - 32)
            };
            out[l] = scales[i] * value(low[l], 0);
            out[l + 32] = scales[i + 2] * value(low[l + 32], 2);
            out[l + 64] = scales[i + 4] * value(low[l] >> 4, 4);
            out[l + 96] = scales[i + 6] * value(low[l + 32] >> 4, 6);
        }
    }
}

fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    let d = half_at(block, 52);
    let mut digit = |at: usize, byte: u8, n: usize| {
        out[at] = f32::from(i16::from(ternary_digit(byte, n)) - 1) * d;
    };
    for n in 0..5 {
        (0..32).for_each(|m| digit(32 * n + m, block[m], n));
        (0..16).for_each(|m| digit(160 + 16 * n + m, block[32 + m], n));
    }
    for n in 0..4 {
        (0..4).for_each(|m| digit(240 + 4 * n + m, block[48 + m], n));
    }
}

/// Digit `n` of a byte in base 3, the most significant one first: 0, 1 or 2.
///
/// The byte is the number times 256 / 243, rounded up, so a digit falls out of the top of a
/// product.
fn ternary_digit(byte: u8, n: usize) -> u8 {
    const POWERS: [u8; 5] = [1, 3, 9, 27, 81];
    let [_, digit] = (u16::from(byte.wrapping_mul(POWERS[n])) * 3).to_le_bytes();
    digit
}

fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half_at(block, 64);
    for (i, out) in out.iter_mut().enumerate() {
        let (c, l, m) = (i / 128, i % 128 / 32, i % 32);
        *out = f32::from(i16::from(block[32 * c + m] >> (2 * l) & 3) - 1) * d;
    }
}

fn q2_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    for (j, out) in out.iter_mut().enumerate() {
        *out = f32::from(i16::from(block[2 + j / 4] >> (2 * (j % 4)) & 3) - 1) * d;
    }
}
