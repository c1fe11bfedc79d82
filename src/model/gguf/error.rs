//! What can be wrong with a GGUF container.

use std::io;

/// Why bytes are not the GGUF they should be.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file could not be read.
    #[error("reading failed")]
    Io(#[from] io::Error),
    /// The first four bytes are others.
    #[error("begins with {found:02x?}, expected \"GGUF\"")]
    Magic {
        /// The bytes found.
        found: [u8; 4],
    },
    /// A version this reader does not know.
    #[error("has version {found}, expected 2 or 3")]
    Version {
        /// The number found.
        found: u32,
    },
    /// The file, or the part of it a header may fill, ends inside the header.
    #[error("{what} at byte {at} takes {needed} bytes, {left} are left for the header")]
    Short {
        /// What was being read.
        what: String,
        /// Its offset in the file.
        at: u64,
        /// Bytes it takes, at least.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// More keys or tensors than any model has.
    #[error("announces {found} {what}, expected at most {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many the file announces.
        found: u64,
        /// How many are read.
        limit: u64,
    },
    /// A text that is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// What was being read.
        what: String,
    },
    /// A number that stands for no type of value.
    #[error("{what} has value type {found}, expected 0 to 12")]
    ValueType {
        /// The key.
        what: String,
        /// The number found.
        found: u32,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("{what} holds the truth value {found}, expected 0 or 1")]
    Bool {
        /// The key.
        what: String,
        /// The byte found.
        found: u8,
    },
    /// An array of arrays.
    #[error("{what} is an array of arrays, which no model needs")]
    NestedArray {
        /// The key.
        what: String,
    },
    /// Two keys, or two tensors, of one name.
    #[error("{what} occurs twice")]
    Twice {
        /// What occurs twice, with its name.
        what: String,
    },
    /// A name that is empty or too long.
    #[error("{what} has a name of {found} bytes, expected 1 to {limit}")]
    Name {
        /// Which of the keys or tensors.
        what: String,
        /// Length found, in bytes.
        found: u64,
        /// Longest length allowed.
        limit: u64,
    },
    /// A tensor with no dimension, too many, or one of no length.
    #[error("tensor `{tensor}` has dimensions {found:?}, expected 1 to 4 numbers above 0")]
    Dimensions {
        /// The tensor.
        tensor: String,
        /// What the file says.
        found: Vec<u64>,
    },
    /// A tensor with more dimensions than can be read.
    #[error("tensor `{tensor}` has {found} dimensions, expected 1 to 4")]
    DimensionCount {
        /// The tensor.
        tensor: String,
        /// Number of dimensions.
        found: u32,
    },
    /// A tensor whose number of values or bytes overflows.
    #[error("dimensions {dims:?} of tensor `{tensor}` overflow")]
    Overflow {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        dims: Vec<u64>,
    },
    /// Rows that do not consist of whole blocks.
    #[error("rows of tensor `{tensor}` have {found} values, {kind} needs a multiple of {block}")]
    Block {
        /// The tensor.
        tensor: String,
        /// Its type.
        kind: &'static str,
        /// Values of a block.
        block: u64,
        /// Values of a row.
        found: u64,
    },
    /// An alignment that is no power of two.
    #[error("key `general.alignment` is {found}, expected a power of two up to 1048576")]
    Alignment {
        /// The value, as text.
        found: String,
    },
    /// A tensor that does not begin where the one before it ends.
    #[error(
        "tensor `{tensor}` begins at data offset {found}, expected a multiple of {alignment} from {least} to {most}"
    )]
    Offset {
        /// The tensor.
        tensor: String,
        /// Offset in the data part.
        found: u64,
        /// Alignment of the file.
        alignment: u64,
        /// Lowest offset possible.
        least: u64,
        /// Highest offset possible.
        most: u64,
    },
    /// A tensor whose bytes do not fit between its offset and the next.
    #[error("tensor `{tensor}` {dims:?} takes {expected}, the file gives it {found}")]
    Size {
        /// The tensor.
        tensor: String,
        /// Its dimensions, fastest first.
        dims: Vec<u64>,
        /// Bytes by type and dimensions, in words.
        expected: String,
        /// Bytes up to the next tensor or the end of the file.
        found: u64,
    },
    /// A type id whose layouts cannot be told apart by the size.
    #[error("tensor `{tensor}` has type id {id}, and {candidates} both fit its {found} bytes")]
    Ambiguous {
        /// The tensor.
        tensor: String,
        /// Number in the file.
        id: u32,
        /// The layouts that fit.
        candidates: String,
        /// Bytes up to the next tensor or the end of the file.
        found: u64,
    },
    /// A part of a split model, without the other parts.
    #[error("is part {number} of {count}, {found} parts are there")]
    Parts {
        /// Number of the part, from 1.
        number: u64,
        /// Number of parts.
        count: u64,
        /// Number of parts given.
        found: usize,
    },
    /// A key about splitting that contradicts the files.
    #[error("key `{key}` is {found}, expected {expected}")]
    Split {
        /// The key.
        key: &'static str,
        /// Its value, as text.
        found: String,
        /// What the files say.
        expected: String,
    },
}
