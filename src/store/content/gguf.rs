//! The header of a GGUF file: counts and lengths that fit the file, tensors that lie inside it.
//!
//! Nothing of any length the file claims is kept in memory. A tensor of a type that is not listed
//! here is held to begin inside the file only.

use std::fs::File;
use std::io::{self, BufReader, Read};

/// Alignment of tensor data when the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;

/// Fewest bytes a key with its value, or a tensor's description, can take.
const MIN_ENTRY_BYTES: u64 = 12;

/// Longest key, in bytes; GGUF allows no longer ones.
const MAX_KEY_BYTES: u64 = (1 << 16) - 1;

/// Id of a tensor's type, values of a block, bytes of a block; of two layouts that share an id the
/// smaller one. From ggml; the store reads no model, so it has a table of its own.
#[rustfmt::skip]
const BLOCKS: [(u32, u64, u64); 34] = [
    (0, 1, 4), (1, 1, 2), (2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24), (8, 32, 34),
    (9, 32, 36), (10, 256, 84), (11, 256, 110), (12, 256, 144), (13, 256, 176), (14, 256, 210),
    (15, 256, 292), (16, 256, 66), (17, 256, 74), (18, 256, 98), (19, 256, 50), (20, 32, 18),
    (21, 256, 110), (22, 256, 82), (23, 256, 136), (24, 1, 1), (25, 1, 2), (26, 1, 4), (27, 1, 8),
    (28, 1, 8), (29, 256, 56), (30, 1, 2), (34, 256, 54), (35, 256, 66), (40, 64, 36),
    (41, 128, 18), (42, 128, 34),
];

/// Type `I2_S` of bitnet.cpp: two bits a value, and 32 bytes for the scale of the whole tensor.
const I2_S: u32 = 36;

/// Deepest nesting of arrays that is followed.
const MAX_ARRAY_DEPTH: u32 = 2;

/// What is wrong, or the system's own error.
enum Fault {
    Wrong(String),
    System(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Wrong("it ends inside its header".into()),
            _ => Self::System(error),
        }
    }
}

/// The outer error is the system's, the inner one what is wrong with the file.
pub(super) fn check(file: &mut File, size: u64) -> io::Result<Result<(), String>> {
    let mut header = Header {
        reader: BufReader::new(file),
        at: 0,
        size,
    };
    match header.check() {
        Ok(()) => Ok(Ok(())),
        Err(Fault::Wrong(problem)) => Ok(Err(problem)),
        Err(Fault::System(error)) => Err(error),
    }
}

struct Header<R> {
    reader: R,
    at: u64,
    size: u64,
}

impl Header<BufReader<&mut File>> {
    fn check(&mut self) -> Result<(), Fault> {
        if self.bytes::<4>()? != *b"GGUF" {
            return Err(wrong("it does not begin with `GGUF`"));
        }
        let version = self.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(wrong(format!(
                "its version is {version}, known are 2 and 3"
            )));
        }
        let (n_tensors, n_keys) = (self.u64()?, self.u64()?);
        for (n, what) in [(n_tensors, "tensors"), (n_keys, "keys")] {
            if n > self.left() / MIN_ENTRY_BYTES {
                return Err(wrong(format!(
                    "it claims {n} {what}, more than fit in the file"
                )));
            }
        }
        let mut alignment = DEFAULT_ALIGNMENT;
        for _ in 0..n_keys {
            let key = self.key()?;
            let kind = self.u32()?;
            if key == b"general.alignment" && kind == 4 {
                alignment = u64::from(self.u32()?);
            } else {
                self.skip_value(kind, 0)?;
            }
        }
        if !alignment.is_power_of_two() {
            return Err(wrong(format!(
                "its alignment is {alignment}, not a power of two"
            )));
        }
        let mut furthest = 0;
        for _ in 0..n_tensors {
            furthest = self.tensor(alignment)?.max(furthest);
        }
        let data = self.at.next_multiple_of(alignment);
        if n_tensors > 0 && data.saturating_add(furthest) >= self.size {
            return Err(wrong("its tensors lie beyond its end"));
        }
        Ok(())
    }

    /// Reads the description of a tensor and gives where its last known byte lies in the data.
    fn tensor(&mut self, alignment: u64) -> Result<u64, Fault> {
        self.skip_string()?;
        let n_dimensions = self.u32()?;
        if n_dimensions > 4 {
            return Err(wrong(format!("a tensor has {n_dimensions} dimensions")));
        }
        let mut n_values: u64 = 1;
        for _ in 0..n_dimensions {
            let dimension = self.u64()?;
            n_values = n_values
                .checked_mul(dimension)
                .ok_or_else(|| wrong("a tensor has more values than can be counted"))?;
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        if offset % alignment != 0 {
            return Err(wrong(format!(
                "a tensor begins at {offset}, not aligned to {alignment}"
            )));
        }
        let last = least_bytes(kind, n_values).saturating_sub(1);
        Ok(offset.saturating_add(last))
    }

    fn skip_value(&mut self, kind: u32, depth: u32) -> Result<(), Fault> {
        if let Some(width) = width(kind) {
            return self.skip(width);
        }
        match kind {
            8 => self.skip_string(),
            9 if depth < MAX_ARRAY_DEPTH => {
                let (inner, n) = (self.u32()?, self.u64()?);
                if n > self.left() {
                    return Err(wrong(format!(
                        "an array claims {n} values, more than fit in the file"
                    )));
                }
                if let Some(width) = width(inner) {
                    return self.skip(n.saturating_mul(width));
                }
                for _ in 0..n {
                    self.skip_value(inner, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(wrong(format!("a value has the unknown type {kind}"))),
        }
    }

    fn left(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// The length of a string that follows, held against the file.
    fn string_length(&mut self) -> Result<u64, Fault> {
        let length = self.u64()?;
        if length > self.left() {
            return Err(wrong(format!(
                "a string claims {length} bytes, more than the file has"
            )));
        }
        Ok(length)
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        let length = self.string_length()?;
        self.skip(length)
    }

    fn key(&mut self) -> Result<Vec<u8>, Fault> {
        let length = self.string_length()?;
        if length > MAX_KEY_BYTES {
            return Err(wrong(format!(
                "a key claims {length} bytes, more than any has ({MAX_KEY_BYTES})"
            )));
        }
        let mut text = Vec::new();
        (&mut self.reader).take(length).read_to_end(&mut text)?;
        self.at += length;
        if text.len() as u64 == length {
            Ok(text)
        } else {
            Err(wrong("it ends inside its header"))
        }
    }

    fn skip(&mut self, n: u64) -> Result<(), Fault> {
        if n > self.left() {
            return Err(wrong("it ends inside its header"));
        }
        self.at += n;
        // Relative, so that the buffer is kept where the place lies inside it.
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.reader.seek_relative(n)?;
        Ok(())
    }
}

/// Bytes of a value of fixed length.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Fewest bytes a tensor of this type can take; 0 for types that are not known.
fn least_bytes(kind: u32, n_values: u64) -> u64 {
    if kind == I2_S {
        return (n_values / 4).saturating_add(32);
    }
    let found = BLOCKS.iter().find(|(id, _, _)| *id == kind);
    found.map_or(0, |(_, values, bytes)| {
        (n_values / values).saturating_mul(*bytes)
    })
}

fn wrong(problem: impl Into<String>) -> Fault {
    Fault::Wrong(problem.into())
}
