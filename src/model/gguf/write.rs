//! Writes the part of a GGUF file before its data; the way back of `header`.

use std::io::{self, Write};

use super::kind::GgmlType;
use super::value::{Array, Value};

/// Multiples of this are where tensors begin; the default, so no key states it.
pub(in crate::model) const ALIGNMENT: u64 = 32;

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::model) struct Listed {
    /// Its name, at most 63 bytes.
    pub(in crate::model) name: String,
    /// Dimensions, fastest first.
    pub(in crate::model) dims: Vec<u64>,
    pub(in crate::model) kind: GgmlType,
    /// Bytes without padding.
    pub(in crate::model) bytes: u64,
}

/// Writes magic number, metadata and the list of tensors, padded to where the data begins.
///
/// Every tensor's data follows in the order listed, each padded to [`ALIGNMENT`].
///
/// # Errors
/// The writer's.
pub(in crate::model) fn header(
    out: &mut impl Write,
    metadata: &[(String, Value)],
    tensors: &[Listed],
) -> io::Result<()> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"GGUF");
    bytes.extend_from_slice(&3u32.to_le_bytes());
    bytes.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut bytes, key);
        bytes.extend_from_slice(&type_id(value).to_le_bytes());
        payload(&mut bytes, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        text(&mut bytes, &tensor.name);
        let n_dims =
            u32::try_from(tensor.dims.len()).expect("tensors have at most four dimensions");
        bytes.extend_from_slice(&n_dims.to_le_bytes());
        for n in &tensor.dims {
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        bytes.extend_from_slice(&tensor.kind.id().to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        offset += tensor.bytes.next_multiple_of(ALIGNMENT);
    }
    let padding = padding(bytes.len() as u64);
    bytes.extend_from_slice(padding);
    out.write_all(&bytes)
}

/// Zeros that fill up what `n` bytes leave of a multiple of [`ALIGNMENT`].
fn padding(n: u64) -> &'static [u8] {
    const ZEROS: [u8; 32] = [0; 32];
    let missing = n.next_multiple_of(ALIGNMENT) - n;
    &ZEROS[..usize::try_from(missing).expect("less than the alignment")]
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Number of a value's type on disk.
fn type_id(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn payload(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::I8(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::U16(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::I16(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::U32(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::I32(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::F32(x) => out.extend_from_slice(&x.to_le_bytes()),
        Value::Bool(is_so) => out.push(u8::from(*is_so)),
        Value::String(string) => text(out, string),
        Value::Array(array) => elements(out, array),
        Value::U64(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::I64(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::F64(x) => out.extend_from_slice(&x.to_le_bytes()),
    }
}

fn elements(out: &mut Vec<u8>, array: &Array) {
    let id: u32 = match array {
        Array::U8(_) => 0,
        Array::I8(_) => 1,
        Array::U16(_) => 2,
        Array::I16(_) => 3,
        Array::U32(_) => 4,
        Array::I32(_) => 5,
        Array::F32(_) => 6,
        Array::Bool(_) => 7,
        Array::Strings(_) => 8,
        Array::U64(_) => 10,
        Array::I64(_) => 11,
        Array::F64(_) => 12,
    };
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&(array.len() as u64).to_le_bytes());
    match array {
        Array::U8(all) => out.extend_from_slice(all),
        Array::I8(all) => numbers(out, all, i8::to_le_bytes),
        Array::U16(all) => numbers(out, all, u16::to_le_bytes),
        Array::I16(all) => numbers(out, all, i16::to_le_bytes),
        Array::U32(all) => numbers(out, all, u32::to_le_bytes),
        Array::I32(all) => numbers(out, all, i32::to_le_bytes),
        Array::F32(all) => numbers(out, all, f32::to_le_bytes),
        Array::Bool(all) => out.extend(all.iter().map(|is_so| u8::from(*is_so))),
        Array::Strings(all) => all.iter().for_each(|string| text(out, string)),
        Array::U64(all) => numbers(out, all, u64::to_le_bytes),
        Array::I64(all) => numbers(out, all, i64::to_le_bytes),
        Array::F64(all) => numbers(out, all, f64::to_le_bytes),
    }
}

fn numbers<T: Copy, const N: usize>(out: &mut Vec<u8>, all: &[T], bytes: fn(T) -> [u8; N]) {
    out.extend(all.iter().flat_map(|n| bytes(*n)));
}
