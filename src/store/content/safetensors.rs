//! The header of a safetensors file: its tensors cover the data exactly.
//!
//! A shard cut short and read through a map gives zeros, and a model of zeros writes fluent
//! nonsense.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};

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
    // Read piece by piece: a header as long as this may be is never held as a whole.
    let header = BufReader::new(file.take(length));
    match serde_json::from_reader(header) {
        Ok(Tensors(tensors)) => Ok(check_places(&tensors, size - 8 - length)),
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) => Ok(Err(format!(
            "its header is no list of tensors: {}",
            shown(&error.to_string())
        ))),
    }
}

/// The beginning of a message that may repeat a text of the file.
fn shown(message: &str) -> String {
    message.chars().take(400).collect()
}

/// * `data`: bytes after the header
fn check_places(tensors: &BTreeMap<String, [u64; 2]>, data: u64) -> Result<(), String> {
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
