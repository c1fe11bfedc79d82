//! The part of a GGUF file before its data: metadata and the list of tensors.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read;

use super::error::FormatError;
use super::value::{Array, Strings, Value};

/// Longest header accepted, in bytes. Vocabularies take most of it: 8 MB for 128,256 tokens.
pub const MAX_HEADER_BYTES: u64 = 256 << 20;

/// Longest name of a tensor that llama.cpp accepts.
const MAX_TENSOR_NAME: u64 = 63;

/// Longest key accepted.
const MAX_KEY: u64 = 65_535;

/// Most keys accepted: each takes ten times the memory of the 14 bytes it may have in the file.
/// Published files have a few dozen.
const MAX_KEYS: u64 = 1 << 16;

/// Most tensors accepted in a file, likewise. The largest mixtures of experts have some 100,000.
const MAX_TENSORS: u64 = 1 << 17;

/// Alignment of the data where the file states none.
const DEFAULT_ALIGNMENT: u64 = 32;

/// A tensor as listed, nothing checked against the rest of the file yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTensor {
    /// Its name.
    pub name: String,
    /// Dimensions, fastest first: 1 to 4 numbers above 0.
    pub dims: Vec<u64>,
    /// Number of its type.
    pub type_id: u32,
    /// First byte in the data part.
    pub offset: u64,
}

/// Everything before the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Values by key.
    pub metadata: BTreeMap<String, Value>,
    /// Tensors in file order, their names unique.
    pub tensors: Vec<RawTensor>,
    /// Power of two on whose multiples tensors begin.
    pub alignment: u64,
    /// Where the data begins in the file.
    pub data_offset: u64,
}

impl Header {
    /// Reads the header from the beginning of a file.
    ///
    /// * `file_bytes`: length of the whole file; nothing that could not be in it is allocated
    ///
    /// # Errors
    /// Every variant of [`FormatError`] about the header.
    pub fn read(reader: impl Read, file_bytes: u64) -> Result<Self, FormatError> {
        let mut source = Source {
            reader,
            at: 0,
            end: file_bytes.min(MAX_HEADER_BYTES),
        };
        let magic = source.array("the magic number")?;
        if &magic != b"GGUF" {
            return Err(FormatError::Magic { found: magic });
        }
        let version = source.u32("the version")?;
        if !matches!(version, 2 | 3) {
            return Err(FormatError::Version { found: version });
        }
        let n_tensors = source.u64("the number of tensors")?;
        let n_keys = source.u64("the number of keys")?;
        few("keys", n_keys, MAX_KEYS)?;
        few("tensors", n_tensors, MAX_TENSORS)?;
        // Even the smallest entries take this much, so absurd counts end here.
        source.expect("the metadata", n_keys, 8 + 1 + 4 + 1)?;
        source.expect("the list of tensors", n_tensors, 8 + 1 + 4 + 8 + 4 + 8)?;

        let mut metadata = BTreeMap::new();
        for index in 0..n_keys {
            let (key, value) = source.key_value(index)?;
            match metadata.entry(key) {
                Entry::Occupied(entry) => {
                    let what = format!("key `{}`", entry.key().escape_debug());
                    return Err(FormatError::Twice { what });
                }
                Entry::Vacant(entry) => entry.insert(value),
            };
        }
        let alignment = alignment(&metadata)?;
        let mut tensors = Vec::new();
        for index in 0..n_tensors {
            tensors.push(source.tensor(index)?);
        }
        check_names(&tensors)?;
        Ok(Self {
            version,
            metadata,
            tensors,
            alignment,
            data_offset: source.at.next_multiple_of(alignment),
        })
    }
}

fn few(what: &'static str, found: u64, limit: u64) -> Result<(), FormatError> {
    if found <= limit {
        return Ok(());
    }
    Err(FormatError::TooMany { what, found, limit })
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, FormatError> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    match value {
        Value::U32(n) if n.is_power_of_two() && *n <= 1 << 20 => Ok(u64::from(*n)),
        other => Err(FormatError::Alignment {
            found: other.to_string(),
        }),
    }
}

fn check_names(tensors: &[RawTensor]) -> Result<(), FormatError> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(FormatError::Twice {
            what: format!("tensor `{}`", pair[0].escape_debug()),
        }),
    }
}

/// Bytes from the beginning of a file, counted.
struct Source<R> {
    reader: R,
    at: u64,
    /// Where the header must end at the latest.
    end: u64,
}

impl<R: Read> Source<R> {
    fn left(&self) -> u64 {
        self.end - self.at
    }

    /// Checks that `n` things of at least `each` bytes may follow.
    fn expect(&self, what: &str, n: u64, each: u64) -> Result<(), FormatError> {
        let needed = n.saturating_mul(each);
        if needed <= self.left() {
            return Ok(());
        }
        Err(FormatError::Short {
            what: what.to_owned(),
            at: self.at,
            needed,
            left: self.left(),
        })
    }

    /// The next `n` bytes; the memory they take is in the file.
    fn bytes(&mut self, what: &str, n: u64) -> Result<Vec<u8>, FormatError> {
        let mut bytes = Vec::new();
        self.fill(what, n, &mut bytes)?;
        Ok(bytes)
    }

    /// Puts the next `n` bytes in place of what `buffer` holds.
    fn fill(&mut self, what: &str, n: u64, buffer: &mut Vec<u8>) -> Result<(), FormatError> {
        self.expect(what, n, 1)?;
        buffer.clear();
        let found = self.reader.by_ref().take(n).read_to_end(buffer)? as u64;
        if found != n {
            return Err(FormatError::Short {
                what: what.to_owned(),
                at: self.at,
                needed: n,
                left: found,
            });
        }
        self.at += n;
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FormatError> {
        self.expect(what, N as u64, 1)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn text(&mut self, what: &str, n: u64) -> Result<String, FormatError> {
        String::from_utf8(self.bytes(what, n)?).map_err(|_| FormatError::NotUtf8 {
            what: what.to_owned(),
        })
    }

    /// A key or a tensor's name.
    fn name(&mut self, what: &str, limit: u64) -> Result<String, FormatError> {
        let found = self.u64(what)?;
        if !(1..=limit).contains(&found) {
            return Err(FormatError::Name {
                what: what.to_owned(),
                found,
                limit,
            });
        }
        self.text(what, found)
    }

    fn key_value(&mut self, index: u64) -> Result<(String, Value), FormatError> {
        let key = self.name(&format!("key {index}"), MAX_KEY)?;
        let what = format!("key `{}`", key.escape_debug());
        let kind = self.u32(&what)?;
        let value = self.value(&what, kind)?;
        Ok((key, value))
    }

    fn value(&mut self, what: &str, kind: u32) -> Result<Value, FormatError> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array(what)?)),
            1 => Value::I8(i8::from_le_bytes(self.array(what)?)),
            2 => Value::U16(u16::from_le_bytes(self.array(what)?)),
            3 => Value::I16(i16::from_le_bytes(self.array(what)?)),
            4 => Value::U32(self.u32(what)?),
            5 => Value::I32(i32::from_le_bytes(self.array(what)?)),
            6 => Value::F32(f32::from_le_bytes(self.array(what)?)),
            7 => Value::Bool(truth(what, self.array::<1>(what)?[0])?),
            8 => {
                let n = self.u64(what)?;
                Value::String(self.text(what, n)?)
            }
            9 => {
                let kind = self.u32(what)?;
                let n = self.u64(what)?;
                Value::Array(self.values(what, kind, n)?)
            }
            10 => Value::U64(self.u64(what)?),
            11 => Value::I64(i64::from_le_bytes(self.array(what)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(what)?)),
            found => {
                return Err(FormatError::ValueType {
                    what: what.to_owned(),
                    found,
                });
            }
        })
    }

    fn values(&mut self, what: &str, kind: u32, n: u64) -> Result<Array, FormatError> {
        Ok(match kind {
            0 => Array::U8(self.bytes(what, n)?),
            1 => Array::I8(self.numbers(what, n, i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(what, n, u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(what, n, i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(what, n, u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(what, n, i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(what, n, f32::from_le_bytes)?),
            7 => {
                let bytes = self.bytes(what, n)?;
                let all = bytes.into_iter().map(|byte| truth(what, byte));
                Array::Bool(all.collect::<Result<_, _>>()?)
            }
            8 => Array::Strings(self.strings(what, n)?),
            9 => {
                return Err(FormatError::NestedArray {
                    what: what.to_owned(),
                });
            }
            10 => Array::U64(self.numbers(what, n, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(what, n, i64::from_le_bytes)?),
            12 => Array::F64(self.numbers(what, n, f64::from_le_bytes)?),
            found => {
                return Err(FormatError::ValueType {
                    what: what.to_owned(),
                    found,
                });
            }
        })
    }

    fn numbers<T, const N: usize>(
        &mut self,
        what: &str,
        n: u64,
        of: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, FormatError> {
        self.expect(what, n, N as u64)?;
        let bytes = self.bytes(what, n * N as u64)?;
        let (whole, _) = bytes.as_chunks();
        Ok(whole.iter().map(|chunk| of(*chunk)).collect())
    }

    fn strings(&mut self, what: &str, n: u64) -> Result<Strings, FormatError> {
        self.expect(what, n, 8)?;
        let mut strings = Strings::default();
        let mut buffer = Vec::new();
        for _ in 0..n {
            let length = self.u64(what)?;
            self.fill(what, length, &mut buffer)?;
            let text = std::str::from_utf8(&buffer).map_err(|_| FormatError::NotUtf8 {
                what: what.to_owned(),
            })?;
            strings.push(text);
        }
        Ok(strings)
    }

    fn tensor(&mut self, index: u64) -> Result<RawTensor, FormatError> {
        let name = self.name(&format!("tensor {index}"), MAX_TENSOR_NAME)?;
        let shown = || name.escape_debug().to_string();
        let what = format!("tensor `{}`", shown());
        let n_dims = self.u32(&what)?;
        if !(1..=4).contains(&n_dims) {
            return Err(FormatError::DimensionCount {
                tensor: shown(),
                found: n_dims,
            });
        }
        let dims = self.numbers(&what, u64::from(n_dims), u64::from_le_bytes)?;
        if dims.contains(&0) {
            return Err(FormatError::Dimensions {
                tensor: shown(),
                found: dims,
            });
        }
        Ok(RawTensor {
            dims,
            type_id: self.u32(&what)?,
            offset: self.u64(&what)?,
            name,
        })
    }
}

fn truth(what: &str, byte: u8) -> Result<bool, FormatError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(FormatError::Bool {
            what: what.to_owned(),
            found,
        }),
    }
}
