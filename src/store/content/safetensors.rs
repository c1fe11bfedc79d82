//! The header of a safetensors file: its tensors cover the data exactly.
//!
//! A shard cut short and read through a map gives zeros, and a model of zeros writes fluent
//! nonsense.

use std::fs::File;
use std::io::{self, Read as _};

use super::json::Tensors;

/// Longest header, in bytes.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The outer error is the system's, the inner one what is wrong with the file.
pub(super) fn check(file: &mut File, size: u64) -> io::Result<Result<(), String>> {
    let mut length = [0; 8];
    if size < 8 {
        return Ok(Err(format!(
            "{size} bytes are too few for a safetensors file"
        )));
    }
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > size - 8 {
        return Ok(Err(format!(
            "its header claims {length} bytes, the file has {} after it",
            size - 8
        )));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    Ok(check_header(&header, size - 8 - length))
}

fn check_header(header: &[u8], data: u64) -> Result<(), String> {
    let Tensors(tensors) = serde_json::from_slice(header)
        .map_err(|error| format!("its header is no list of tensors: {error}"))?;
    let mut ranges: Vec<(&str, [u64; 2])> = tensors
        .iter()
        .map(|(name, range)| (name.as_str(), *range))
        .collect();
    ranges.sort_by_key(|(_, range)| *range);
    let mut end = 0;
    for (name, [from, to]) in ranges {
        if from != end || to < from {
            return Err(format!(
                "tensor `{}` takes bytes {from} to {to}, expected from {end} on",
                name.escape_debug()
            ));
        }
        end = to;
    }
    if end == data {
        Ok(())
    } else {
        Err(format!("its tensors take {end} bytes, the file has {data}"))
    }
}
