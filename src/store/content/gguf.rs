//! The header of a GGUF file: counts and lengths that fit the file, tensors that lie inside it.

use std::fs::File;
use std::io::{self, BufReader, Read};

/// Alignment of tensor data when the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;

/// Fewest bytes a key with its value, or a tensor's description, can take.
const MIN_ENTRY_BYTES: u64 = 12;

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
            let key = self.string()?;
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

    /// Reads the description of a tensor and gives its offset.
    fn tensor(&mut self, alignment: u64) -> Result<u64, Fault> {
        self.string()?;
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
        self.u32()?;
        let offset = self.u64()?;
        if offset % alignment != 0 {
            return Err(wrong(format!(
                "a tensor begins at {offset}, not aligned to {alignment}"
            )));
        }
        Ok(offset)
    }

    fn skip_value(&mut self, kind: u32, depth: u32) -> Result<(), Fault> {
        match kind {
            0 | 1 | 7 => self.skip(1),
            2 | 3 => self.skip(2),
            4..=6 => self.skip(4),
            10..=12 => self.skip(8),
            8 => self.string().map(drop),
            9 if depth < MAX_ARRAY_DEPTH => {
                let (inner, n) = (self.u32()?, self.u64()?);
                if n > self.left() {
                    return Err(wrong(format!(
                        "an array claims {n} values, more than fit in the file"
                    )));
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

    /// A string; its length is held against the file before anything is reserved for it.
    fn string(&mut self) -> Result<Vec<u8>, Fault> {
        let length = self.u64()?;
        if length > self.left() {
            return Err(wrong(format!(
                "a string claims {length} bytes, more than the file has"
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

fn wrong(problem: impl Into<String>) -> Fault {
    Fault::Wrong(problem.into())
}
