//! Types of tensors. Engines use some type ids for different layouts; the size decides which.

use std::fmt;

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of ggml")]
pub enum GgmlType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
    TQ1_0,
    TQ2_0,
    /// Ternary codes of the whole tensor and one scale; the bitnet.cpp layout.
    I2S,
    /// Blocks of 64 values, as llama.cpp writes id 42.
    Q2_0,
    /// Blocks of 128 values, as another writer of id 42 does.
    Q2_0Wide,
    /// A lookup-table layout of bitnet.cpp, whose tiling the file does not state.
    Tl1,
    /// Likewise.
    Tl2,
    Mxfp4,
    Nvfp4,
    Q1_0,
    /// An id whose size is known, but nothing here reads it.
    Sized(u32),
    /// An id nothing is known of.
    Unknown(u32),
}

/// Id, name, type, values of a block, bytes of a block.
type Row = (u32, &'static str, GgmlType, u64, u64);

/// Layouts made of blocks. An id that occurs twice stands for either.
#[rustfmt::skip]
const BLOCKS: &[Row] = &[
    (0, "F32", GgmlType::F32, 1, 4),
    (1, "F16", GgmlType::F16, 1, 2),
    (2, "Q4_0", GgmlType::Q4_0, 32, 18),
    (3, "Q4_1", GgmlType::Q4_1, 32, 20),
    (6, "Q5_0", GgmlType::Q5_0, 32, 22),
    (7, "Q5_1", GgmlType::Q5_1, 32, 24),
    (8, "Q8_0", GgmlType::Q8_0, 32, 34),
    (9, "Q8_1", GgmlType::Q8_1, 32, 36),
    (10, "Q2_K", GgmlType::Q2K, 256, 84),
    (11, "Q3_K", GgmlType::Q3K, 256, 110),
    (12, "Q4_K", GgmlType::Q4K, 256, 144),
    (13, "Q5_K", GgmlType::Q5K, 256, 176),
    (14, "Q6_K", GgmlType::Q6K, 256, 210),
    (15, "Q8_K", GgmlType::Q8K, 256, 292),
    (16, "IQ2_XXS", GgmlType::Sized(16), 256, 66),
    (17, "IQ2_XS", GgmlType::Sized(17), 256, 74),
    (18, "IQ3_XXS", GgmlType::Sized(18), 256, 98),
    (19, "IQ1_S", GgmlType::Sized(19), 256, 50),
    (20, "IQ4_NL", GgmlType::Sized(20), 32, 18),
    (21, "IQ3_S", GgmlType::Sized(21), 256, 110),
    (22, "IQ2_S", GgmlType::Sized(22), 256, 82),
    (23, "IQ4_XS", GgmlType::Sized(23), 256, 136),
    (24, "I8", GgmlType::Sized(24), 1, 1),
    (25, "I16", GgmlType::Sized(25), 1, 2),
    (26, "I32", GgmlType::Sized(26), 1, 4),
    (27, "I64", GgmlType::Sized(27), 1, 8),
    (28, "F64", GgmlType::Sized(28), 1, 8),
    (29, "IQ1_M", GgmlType::Sized(29), 256, 56),
    (30, "BF16", GgmlType::BF16, 1, 2),
    (34, "TQ1_0", GgmlType::TQ1_0, 256, 54),
    (35, "TQ2_0", GgmlType::TQ2_0, 256, 66),
    (39, "MXFP4", GgmlType::Mxfp4, 32, 17),
    (40, "NVFP4", GgmlType::Nvfp4, 64, 36),
    (41, "Q1_0", GgmlType::Q1_0, 128, 18),
    (42, "Q2_0", GgmlType::Q2_0, 64, 18),
    (42, "Q2_0 (blocks of 128)", GgmlType::Q2_0Wide, 128, 34),
];

const I2S: u32 = 36;
const TL1: u32 = 38;
const TL2: u32 = 39;

/// Why an id could not be resolved.
pub(super) enum Mismatch {
    /// The rows are not whole blocks of this type.
    Block(&'static str, u64),
    /// No layout has this size; names and sizes of the candidates.
    Size(String, String),
    /// Several layouts have it; their names.
    Ambiguous(String),
    /// A size overflows.
    Overflow,
}

impl GgmlType {
    /// The layout an id stands for in a tensor of given size.
    ///
    /// * `row`, `n`: values of a row and of the tensor
    /// * `fits`: whether that many bytes fill the place the file gives the tensor
    ///
    /// Gives the type with its size in bytes; `None` for the size where only the file knows it.
    pub(super) fn resolve(
        id: u32,
        row: u64,
        n: u64,
        fits: impl Fn(u64) -> bool,
    ) -> Result<(Self, Option<u64>), Mismatch> {
        let mut known = BLOCKS.iter().filter(|entry| entry.0 == id).peekable();
        if id == I2S {
            if !n.is_multiple_of(4) {
                return Err(Mismatch::Block("I2_S", 4));
            }
            let size = n / 4 + 32;
            return if fits(size) {
                Ok((Self::I2S, Some(size)))
            } else {
                Err(Mismatch::Size("I2_S".to_owned(), size.to_string()))
            };
        }
        if known.peek().is_none() {
            let kind = if id == TL1 {
                Self::Tl1
            } else {
                Self::Unknown(id)
            };
            return Ok((kind, None));
        }
        let mut fitting = Vec::new();
        let mut sizes = Vec::new();
        let mut uneven = None;
        for &(_, name, kind, block, bytes) in known {
            if !row.is_multiple_of(block) {
                uneven = Some((name, block));
                continue;
            }
            let size = (n / block).checked_mul(bytes).ok_or(Mismatch::Overflow)?;
            sizes.push((name, size));
            if fits(size) {
                fitting.push((name, kind, size));
            }
        }
        match fitting.as_slice() {
            [(_, kind, size)] => Ok((*kind, Some(*size))),
            [] if id == TL2 => Ok((Self::Tl2, None)),
            [] => match (sizes.is_empty(), uneven) {
                (true, Some((name, block))) => Err(Mismatch::Block(name, block)),
                _ => Err(Mismatch::Size(
                    words(sizes.iter().map(|(name, _)| (*name).to_owned())),
                    words(sizes.iter().map(|(_, size)| size.to_string())),
                )),
            },
            several => Err(Mismatch::Ambiguous(words(
                several.iter().map(|(name, ..)| (*name).to_owned()),
            ))),
        }
    }

    /// Values and bytes of a block; `None` where there are no blocks.
    pub fn block(self) -> Option<(u64, u64)> {
        BLOCKS
            .iter()
            .find(|(_, _, kind, ..)| *kind == self)
            .map(|&(_, _, _, values, bytes)| (values, bytes))
    }

    /// Bytes of a row of `n` values.
    ///
    /// # Panics
    /// When the type has no blocks or the row is not whole ones.
    pub(in crate::model) fn row_bytes(self, n: usize) -> usize {
        let (values, bytes) = self.block().expect("the type has blocks");
        let n = n as u64;
        assert!(n.is_multiple_of(values), "rows are whole blocks");
        usize::try_from(n / values * bytes).expect("a row fits in memory")
    }

    /// Number in the file.
    pub fn id(self) -> u32 {
        match self {
            Self::I2S => I2S,
            Self::Tl1 => TL1,
            Self::Tl2 => TL2,
            Self::Unknown(id) => id,
            _ => BLOCKS
                .iter()
                .find(|(_, _, kind, ..)| *kind == self)
                .map_or(u32::MAX, |entry| entry.0),
        }
    }

    /// Why no model with such tensors is read, where that is so, and what to do instead.
    pub fn refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::Tl1 | Self::Tl2 => {
                "the bytes of lookup tables mean nothing without the build that wrote them; convert the original checkpoint to I2_S or TQ2_0 instead"
            }
            Self::Mxfp4 | Self::Nvfp4 => {
                "4-bit floats are not read; convert the original checkpoint to Q8_0 or Q4_0 instead"
            }
            Self::Q1_0 | Self::Q8_1 | Self::Q8K | Self::Sized(_) => {
                "convert the original checkpoint to one of F16, Q8_0, Q4_0, Q4_K, Q6_K, TQ2_0"
            }
            Self::Unknown(_) => {
                "no type with this number is known; convert the original checkpoint with a current converter"
            }
            Self::F32
            | Self::F16
            | Self::BF16
            | Self::Q4_0
            | Self::Q4_1
            | Self::Q5_0
            | Self::Q5_1
            | Self::Q8_0
            | Self::Q2K
            | Self::Q3K
            | Self::Q4K
            | Self::Q5K
            | Self::Q6K
            | Self::TQ1_0
            | Self::TQ2_0
            | Self::I2S
            | Self::Q2_0
            | Self::Q2_0Wide => return None,
        })
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I2S => f.write_str("I2_S"),
            Self::Tl1 => f.write_str("TL1"),
            Self::Tl2 => f.write_str("TL2"),
            Self::Unknown(id) => write!(f, "id {id}"),
            _ => {
                let row = BLOCKS.iter().find(|(_, _, kind, ..)| kind == self);
                f.write_str(row.map_or("?", |entry| entry.1))
            }
        }
    }
}

fn words(list: impl Iterator<Item = String>) -> String {
    list.collect::<Vec<_>>().join(" or ")
}
