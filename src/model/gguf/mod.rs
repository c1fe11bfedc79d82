//! Reads models in GGUF containers.
//!
//! In: one file or the parts of a split one. Out: metadata, tensors and, through [`load`](self),
//! a checked model. The reader is strict and its own: it maps nothing into memory, allocates no
//! more than the file has bytes, and knows the type ids on which engines disagree.
//!
//! Source of the layout: the GGUF specification (ggml-org/ggml, `docs/gguf.md`) and the checks of
//! llama.cpp's `gguf.cpp`.

mod error;
mod header;
mod kind;
mod reader;
mod value;

pub use error::FormatError;
pub use header::{Header, MAX_HEADER_BYTES, RawTensor};
pub use kind::GgmlType;
pub use reader::{Gguf, TensorInfo};
pub use value::{Array, Strings, Value};
