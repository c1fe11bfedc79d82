//! Reads models in GGUF containers.
//!
//! In: one file or the parts of a split one. Out: metadata, tensors and, for the model loader, a
//! checked ternary or plain model with its tokenizer. The reader is strict and its own: it maps nothing into
//! memory, allocates no more than the file has bytes, and knows the type ids on which engines
//! disagree.
//!
//! Source of the layout: the GGUF specification (ggml-org/ggml, `docs/gguf.md`) and the checks of
//! llama.cpp's `gguf.cpp`.

pub mod blocks;
mod codes;
mod definition;
mod encode;
mod error;
mod header;
mod keys;
mod kind;
mod load;
mod plain;
mod projection;
mod reader;
mod stream;
mod text;
mod value;
mod vocabulary;
pub(super) mod write;

pub use error::FormatError;
pub use header::{Header, MAX_HEADER_BYTES, RawTensor};
pub use kind::GgmlType;
pub use plain::{MAX_POSITIONS, PlainModel};
pub use reader::{Gguf, TensorInfo};
pub use value::{Array, Strings, Value};

pub(super) use encode::{block_values, encode, encoded_len, has_scale_tensor};
pub(super) use load::{Detected, detect, load};
pub(super) use plain::check as check_plain;
pub(super) use stream::Streamed;
pub(super) use text::{HUGGING_FACE, template, tokenizer};
pub(super) use vocabulary::keys_of;

#[cfg(test)]
mod tests;
