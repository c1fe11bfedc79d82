//! Strict reader of the safetensors container, by position and without mapping.
//!
//! Layout: u64 little-endian N, N bytes of JSON, data. Source: the safetensors format description
//! (huggingface/safetensors, README) with every optional leniency left out.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;

use half::f16;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Longest header accepted, in bytes.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Most entries accepted in a header or an index: each takes several times the memory of its
/// bytes. The largest mixtures of experts list some 100,000 tensors in all their files.
const MAX_ENTRIES: usize = 1 << 17;

/// Longest name accepted, in bytes; messages repeat it.
const MAX_NAME: usize = 1024;

/// Most dimensions accepted; weights have two, those of convolutions up to five.
const MAX_RANK: usize = 8;

/// Element type of a tensor, of those BitNet checkpoints hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// Unsigned bytes: packed ternary codes.
    U8,
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// Upper half of a binary32.
    BF16,
}

impl Dtype {
    /// The type of this name in a header, where it is one that is read.
    fn named(name: &str) -> Option<Self> {
        [Self::U8, Self::F32, Self::F16, Self::BF16]
            .into_iter()
            .find(|dtype| dtype.to_string() == name)
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
        }
    }

    /// Turns stored floats, little-endian, into f32; exact for every type.
    ///
    /// # Panics
    /// When the elements are no floats, or `bytes` does not hold one for each place of `out`.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len(), out.len() * self.size(), "one value per place");
        match self {
            Self::U8 => panic!("bytes are no floats"),
            Self::F32 => {
                let (bytes, _) = bytes.as_chunks();
                for (out, bytes) in out.iter_mut().zip(bytes) {
                    *out = f32::from_le_bytes(*bytes);
                }
            }
            Self::BF16 => {
                let (bytes, _) = bytes.as_chunks();
                for (out, bytes) in out.iter_mut().zip(bytes) {
                    *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                }
            }
            Self::F16 => {
                // Whole slices are converted by the processor's own instruction.
                let mut bits = [0u16; 256];
                let (bytes, _) = bytes.as_chunks();
                for (out, bytes) in out.chunks_mut(256).zip(bytes.chunks(256)) {
                    let bits = &mut bits[..out.len()];
                    for (bits, bytes) in bits.iter_mut().zip(bytes) {
                        *bits = u16::from_le_bytes(*bytes);
                    }
                    bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
                }
            }
        }
    }

    /// Whether elements are floats.
    pub fn is_float(self) -> bool {
        self != Self::U8
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "U8",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        })
    }
}

/// Every element type of the format, with the bits of one element.
///
/// Source: `enum Dtype` of the crate safetensors 0.7; `F8_E4M3FNUZ` and `F8_E5M2FNUZ` came after.
const DTYPES: &[(&str, u64)] = &[
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

/// What is wrong with a container.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file could not be read.
    #[error("reading failed")]
    Io(#[from] io::Error),
    /// Shorter than the length field.
    #[error("file has {found} bytes, the header length alone takes 8")]
    TooShort {
        /// Length of the file, in bytes.
        found: u64,
    },
    /// A header longer than the limit or than the file.
    #[error("header announces {announced} bytes, at most {limit} possible")]
    HeaderLength {
        /// Length in the file.
        announced: u64,
        /// The smaller of [`MAX_HEADER_BYTES`] and the rest of the file.
        limit: u64,
    },
    /// The header is not the JSON it should be; names duplicates, unknown dtypes and keys.
    #[error("header is malformed: {reason}")]
    Json {
        /// What stands where, shortened: it repeats names of the file.
        reason: String,
    },
    /// A sound container with a tensor of a type that is not read.
    #[error("`{tensor}` is of type {dtype}, expected U8, F32, F16 or BF16")]
    UnreadType {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: &'static str,
    },
    /// A shape whose element count or byte count overflows.
    #[error("shape {shape:?} of `{tensor}` overflows")]
    ShapeOverflow {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Offsets that do not enclose the bytes the shape needs.
    #[error(
        "`{tensor}` needs {expected} bytes, its offsets [{begin}, {end}) enclose another count"
    )]
    Size {
        /// The tensor.
        tensor: String,
        /// Bytes by shape and dtype.
        expected: u64,
        /// First byte in the data part.
        begin: u64,
        /// One past its last byte.
        end: u64,
    },
    /// A gap between tensors, or two that overlap.
    #[error("`{tensor}` begins at {found}, the tensor before it ends at {expected}")]
    Layout {
        /// The tensor.
        tensor: String,
        /// End of its predecessor.
        expected: u64,
        /// Its own beginning.
        found: u64,
    },
    /// Data cut short, or bytes after the last tensor.
    #[error("tensors take {expected} bytes, the file holds {found}")]
    DataLength {
        /// End of the last tensor.
        expected: u64,
        /// Bytes after the header.
        found: u64,
    },
}

/// Place and type of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: Dtype,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
    /// `[begin, end)` in bytes, relative to the data part.
    pub data_offsets: [u64; 2],
}

/// An opened container; header checked, no tensor read yet.
pub struct SafeTensors<R> {
    reader: R,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<R: Read + Seek> SafeTensors<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// Every variant of [`HeaderError`].
    pub fn open(mut reader: R) -> Result<Self, HeaderError> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.seek(SeekFrom::Start(0))?;
        let rest = length
            .checked_sub(8)
            .ok_or(HeaderError::TooShort { found: length })?;
        let mut field = [0; 8];
        reader.read_exact(&mut field)?;
        let announced = u64::from_le_bytes(field);
        let limit = rest.min(MAX_HEADER_BYTES);
        if announced > limit {
            return Err(HeaderError::HeaderLength { announced, limit });
        }
        let mut json = Vec::new();
        reader.by_ref().take(announced).read_to_end(&mut json)?;
        let Header(tensors) = serde_json::from_slice(&json).map_err(|error| HeaderError::Json {
            reason: shown(&error.to_string()),
        })?;
        check_layout(&tensors, rest - announced)?;
        let tensors = tensors.into_iter().map(|(name, listed)| listed.read(name));
        Ok(Self {
            reader,
            data_start: 8 + announced,
            tensors: tensors.collect::<Result<_, _>>()?,
        })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }
}

impl SafeTensors<File> {
    /// Fills `out` with bytes of a tensor, from its byte `start` on; any thread may ask.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// When the container has no such tensor, or it has fewer bytes.
    pub fn read_at(&self, name: &str, start: u64, out: &mut [u8]) -> io::Result<()> {
        let [begin, end] = self.tensors[name].data_offsets;
        assert!(
            start + out.len() as u64 <= end - begin,
            "`{name}` has these bytes"
        );
        self.reader
            .read_exact_at(out, self.data_start + begin + start)
    }
}

/// A tensor as listed, of whatever type the format has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    dtype: ListedType,
    shape: Shape,
    data_offsets: [u64; 2],
}

impl Listed {
    /// Bytes it takes; part of a byte counts as a whole one.
    fn bytes(&self) -> Option<u64> {
        let bits = self.shape.0.iter().try_fold(self.dtype.bits, |bits, &n| {
            bits.checked_mul(u64::try_from(n).ok()?)
        })?;
        // Lengths of slices are `usize` everywhere else.
        usize::try_from(bits).ok()?;
        Some(bits.div_ceil(8))
    }

    fn read(self, name: String) -> Result<(String, TensorInfo), HeaderError> {
        let Some(dtype) = Dtype::named(self.dtype.name) else {
            return Err(HeaderError::UnreadType {
                tensor: shown(&name),
                dtype: self.dtype.name,
            });
        };
        let info = TensorInfo {
            dtype,
            shape: self.shape.0,
            data_offsets: self.data_offsets,
        };
        Ok((name, info))
    }
}

/// A text of the file for messages: its beginning, control characters escaped.
fn shown(whole: &str) -> String {
    /// Characters that are shown.
    const LONGEST: usize = 400;
    let mut text = String::new();
    for c in whole.chars().take(LONGEST) {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if whole.chars().nth(LONGEST).is_some() {
        let _ = write!(text, "… ({} bytes)", whole.len());
    }
    text
}

/// A row of [`DTYPES`].
#[derive(Clone, Copy)]
struct ListedType {
    name: &'static str,
    bits: u64,
}

impl<'de> Deserialize<'de> for ListedType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = ListedType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of")?;
                DTYPES.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ListedType, E> {
                match DTYPES.iter().find(|(name, _)| *name == text) {
                    Some(&(name, bits)) => Ok(ListedType { name, bits }),
                    None => Err(E::custom(format!(
                        "dtype `{}`, expected {}",
                        shown(text),
                        &self as &dyn serde::de::Expected
                    ))),
                }
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// Sizes of few dimensions; a list without an end would take eight bytes for every two.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RANK} sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = all.next_element()? {
                    if shape.len() == MAX_RANK {
                        return Err(A::Error::custom(format!(
                            "a shape of more than {MAX_RANK} sizes"
                        )));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

/// Checks sizes, and that the tensors tile the `available` data bytes.
fn check_layout(tensors: &BTreeMap<String, Listed>, available: u64) -> Result<(), HeaderError> {
    for (name, listed) in tensors {
        let bytes = listed.bytes().ok_or_else(|| HeaderError::ShapeOverflow {
            tensor: shown(name),
            shape: listed.shape.0.clone(),
        })?;
        let [begin, end] = listed.data_offsets;
        if end.checked_sub(begin) != Some(bytes) {
            return Err(HeaderError::Size {
                tensor: shown(name),
                expected: bytes,
                begin,
                end,
            });
        }
    }
    let mut placed: Vec<_> = tensors
        .iter()
        .map(|(name, info)| (info.data_offsets, name))
        .collect();
    placed.sort_unstable();
    let mut expected = 0;
    for ([begin, end], name) in placed {
        if begin != expected {
            return Err(HeaderError::Layout {
                tensor: shown(name),
                expected,
                found: begin,
            });
        }
        expected = end;
    }
    if expected != available {
        return Err(HeaderError::DataLength {
            expected,
            found: available,
        });
    }
    Ok(())
}

/// The header's map, its one entry that is no tensor left out.
struct Header(BTreeMap<String, Listed>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let UniqueMap(entries) = UniqueMap::<Entry>::deserialize(deserializer)?;
        let tensors = entries.into_iter().filter_map(|(name, entry)| match entry {
            Entry::Tensor(listed) => Some((name, listed)),
            Entry::Metadata => None,
        });
        Ok(Self(tensors.collect()))
    }
}

enum Entry {
    Tensor(Listed),
    Metadata,
}

impl Keyed for Entry {
    fn next<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Self, A::Error> {
        if key == "__metadata__" {
            map.next_value::<Pairs>()?;
            return Ok(Self::Metadata);
        }
        map.next_value().map(Self::Tensor)
    }
}

/// Texts by name, checked and dropped one by one: nothing reads them.
struct Pairs;

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                while map.next_entry::<String, String>()?.is_some() {}
                Ok(Pairs)
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl Keyed for String {
    fn next<'de, A: MapAccess<'de>>(_: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }
}

/// A value of a map whose form may depend on its key.
pub(super) trait Keyed: Sized {
    /// The value that follows `key`.
    fn next<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Self, A::Error>;
}

/// A map of tensors; a plain map type would keep the last of two equal names in silence.
pub(super) struct UniqueMap<V>(pub(super) BTreeMap<String, V>);

impl<'de, V: Keyed> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Keyed> Visitor<'de> for Entries<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMap<V>, A::Error> {
                let mut all = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name.len() > MAX_NAME {
                        let n = name.len();
                        return Err(A::Error::custom(format!(
                            "a name of {n} bytes, expected at most {MAX_NAME}"
                        )));
                    }
                    let value = V::next(&name, &mut map)?;
                    if all.contains_key(&name) {
                        let name = shown(&name);
                        return Err(A::Error::custom(format!("tensor `{name}` occurs twice")));
                    }
                    if all.len() == MAX_ENTRIES {
                        return Err(A::Error::custom(format!(
                            "more than {MAX_ENTRIES} tensors, which no model has"
                        )));
                    }
                    all.insert(name, value);
                }
                Ok(UniqueMap(all))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io::{Cursor, Write as _};

    use super::*;

    fn container(header: &str, data_bytes: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data_bytes, 7);
        file
    }

    #[track_caller]
    fn check_refused(file: Vec<u8>, words: &str) {
        let error = SafeTensors::open(Cursor::new(file))
            .map(|_| ())
            .unwrap_err();
        let mut text = error.to_string();
        if let Some(source) = error.source() {
            text = format!("{text}: {source}");
        }
        assert!(text.contains(words), "`{text}` lacks `{words}`");
    }

    const A: &str = r#""a":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]}"#;

    #[test]
    fn a_sound_container_is_read_by_position() {
        let header = format!(r#"{{"__metadata__":{{"format":"pt"}},{A}}}   "#);
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = container(&header, 0);
        bytes.extend(1..=6);
        file.write_all(&bytes).unwrap();
        let file = SafeTensors::open(file).unwrap();
        assert_eq!(file.tensors()["a"].shape, [2, 3]);
        let mut out = [0; 3];
        file.read_at("a", 2, &mut out).unwrap();
        assert_eq!(out, [3, 4, 5]);
    }

    #[test]
    fn a_truncated_file_is_refused_wherever_it_was_cut() {
        let whole = container(&format!("{{{A}}}"), 6);
        for length in 0..whole.len() {
            assert!(
                SafeTensors::open(Cursor::new(whole[..length].to_vec())).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn a_huge_header_is_refused_before_it_is_read() {
        check_refused(u64::MAX.to_le_bytes().to_vec(), "at most 0");
    }

    #[test]
    fn trailing_bytes_are_refused() {
        check_refused(
            container(&format!("{{{A}}}"), 7),
            "take 6 bytes, the file holds 7",
        );
    }

    #[test]
    fn overlaps_and_gaps_are_refused() {
        let second =
            |range| format!(r#"{{{A},"b":{{"dtype":"U8","shape":[4],"data_offsets":{range}}}}}"#);
        check_refused(container(&second("[4,8]"), 8), "begins at 4");
        check_refused(container(&second("[8,12]"), 12), "begins at 8");
        check_refused(container(&second("[6,11]"), 11), "needs 4 bytes");
        check_refused(container(&second("[10,6]"), 10), "needs 4 bytes");
    }

    #[test]
    fn equal_names_are_refused() {
        let header = format!(r#"{{{A},"a":{{"dtype":"U8","shape":[1],"data_offsets":[6,7]}}}}"#);
        check_refused(container(&header, 7), "tensor `a` occurs twice");
    }

    /// The type and bytes of four elements.
    #[track_caller]
    fn check_unread(dtype: &str, bytes: usize) {
        let header =
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":[4],"data_offsets":[0,{bytes}]}}}}"#);
        let found = SafeTensors::open(Cursor::new(container(&header, bytes))).map(|_| ());
        assert!(
            matches!(&found, Err(HeaderError::UnreadType { tensor, dtype: name }) if tensor == "a" && *name == dtype),
            "{found:?}"
        );
        // What does not add up is damaged, whatever its type.
        check_refused(container(&header, bytes + 1), "tensors take");
    }

    #[test]
    fn types_of_the_format_that_are_not_read_are_told_from_damage() {
        for (dtype, bits) in DTYPES {
            if Dtype::named(dtype).is_none() {
                check_unread(dtype, usize::try_from(*bits).unwrap() / 2);
            }
        }
        let read = DTYPES.iter().filter_map(|(name, bits)| {
            let dtype = Dtype::named(name)?;
            assert_eq!(8 * dtype.size() as u64, *bits);
            Some(dtype)
        });
        assert_eq!(read.count(), 4);
    }

    #[test]
    fn what_takes_more_memory_than_bytes_is_bounded() {
        let many = |name: &str, value: &str, n: usize| {
            let entries: Vec<String> = (0..n).map(|i| format!("\"{name}{i}\":{value}")).collect();
            entries.join(",")
        };
        let empty = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
        let header = format!("{{{}}}", many("", empty, MAX_ENTRIES));
        let found = SafeTensors::open(Cursor::new(container(&header, 0))).unwrap();
        assert_eq!(found.tensors().len(), MAX_ENTRIES);
        let header = format!("{{{}}}", many("", empty, MAX_ENTRIES + 1));
        check_refused(container(&header, 0), "more than 131072 tensors");

        let shaped = |rank: usize| {
            let shape = vec!["1"; rank].join(",");
            format!(r#"{{"a":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}}}"#)
        };
        assert!(SafeTensors::open(Cursor::new(container(&shaped(MAX_RANK), 1))).is_ok());
        let header = shaped(MAX_RANK + 1);
        check_refused(container(&header, 1), "a shape of more than 8 sizes");

        let pairs = many("", "\"x\"", 2 * MAX_ENTRIES);
        let header = format!(r#"{{"__metadata__":{{{pairs}}},{A}}}"#);
        assert!(SafeTensors::open(Cursor::new(container(&header, 6))).is_ok());
        check_refused(
            container(r#"{"__metadata__":{"a":[1]}}"#, 0),
            "expected a string",
        );
    }

    #[test]
    fn unknown_keys_dtypes_and_overflows_are_refused() {
        check_refused(
            container(
                r#"{"a":{"dtype":"I4","shape":[1],"data_offsets":[0,1]}}"#,
                1,
            ),
            "I4",
        );
        check_refused(
            container(
                r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}"#,
                1,
            ),
            "unknown field `x`",
        );
        let huge = format!(
            r#"{{"a":{{"dtype":"F32","shape":[{},4],"data_offsets":[0,1]}}}}"#,
            u64::MAX / 4
        );
        check_refused(container(&huge, 1), "overflows");
        check_refused(
            container(
                r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,1]}}"#,
                1,
            ),
            "malformed",
        );
    }
}
