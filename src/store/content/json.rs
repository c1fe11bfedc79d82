//! JSON files of a model: well formed, not nested beyond reason, no key twice.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Most keys of one object, which are held to tell one that stands twice: four times the largest
/// vocabularies.
const MAX_KEYS: usize = 1 << 20;

/// Most tensors of a safetensors header, as the reader of models has it: each takes several times
/// the memory of its bytes. The largest mixtures of experts list some 100,000.
pub(super) const MAX_TENSORS: usize = 1 << 17;

/// Longest name of a tensor, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// Longest name of a type of numbers, in bytes; the longest known has 11.
const MAX_DTYPE_BYTES: usize = 32;

/// Most dimensions of a tensor; weights have two, those of convolutions up to five.
const MAX_RANK: usize = 8;

/// Reads a whole document and keeps nothing. Nesting is limited by the parser, to 128.
pub(super) fn check(reader: &mut impl Read) -> Result<(), String> {
    serde_json::from_reader::<_, Strict>(reader)
        .map(|_| ())
        .map_err(|error| format!("it is not strict JSON: {error}"))
}

/// Any value without a key twice in one object.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            if keys.contains(&key) {
                let key: String = key.chars().take(80).collect();
                return Err(A::Error::custom(format!(
                    "the key `{}` twice",
                    key.escape_debug()
                )));
            }
            if keys.len() == MAX_KEYS {
                let words = format!("an object of more than {MAX_KEYS} keys");
                return Err(A::Error::custom(words));
            }
            keys.insert(key);
            members.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

/// One tensor of a safetensors header: its place. Type and shape are looked at and dropped.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorEntry {
    #[serde(rename = "dtype")]
    _dtype: Word,
    #[serde(rename = "shape")]
    _shape: Shape,
    data_offsets: [u64; 2],
}

/// A short text.
struct Word;

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type of numbers")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Word, E> {
                if text.len() > MAX_DTYPE_BYTES {
                    let n = text.len();
                    return Err(E::custom(format!("a type of numbers of {n} bytes")));
                }
                Ok(Word)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A few sizes.
struct Shape;

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RANK} sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> Result<Shape, A::Error> {
                let mut n = 0;
                while sizes.next_element::<u64>()?.is_some() {
                    n += 1;
                    if n > MAX_RANK {
                        let words = format!("a shape of more than {MAX_RANK} sizes");
                        return Err(A::Error::custom(words));
                    }
                }
                Ok(Shape)
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

/// Where the tensors of a safetensors header lie, by name.
pub(super) struct Tensors(pub(super) BTreeMap<String, [u64; 2]>);

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TensorsVisitor)
    }
}

struct TensorsVisitor;

impl<'de> Visitor<'de> for TensorsVisitor {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tensors, A::Error> {
        let mut tensors = BTreeMap::new();
        let mut has_metadata = false;
        while let Some(name) = members.next_key::<String>()? {
            if name.len() > MAX_NAME_BYTES {
                let n = name.len();
                let words = format!("a name of {n} bytes, expected at most {MAX_NAME_BYTES}");
                return Err(A::Error::custom(words));
            }
            let is_metadata = name == "__metadata__";
            if has_metadata && is_metadata || tensors.contains_key(&name) {
                let name: String = name.chars().take(80).collect();
                return Err(A::Error::custom(format!(
                    "tensor `{}` twice",
                    name.escape_debug()
                )));
            }
            if is_metadata {
                has_metadata = true;
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if tensors.len() == MAX_TENSORS {
                let words = format!("more than {MAX_TENSORS} tensors, which no model has");
                return Err(A::Error::custom(words));
            }
            let entry: TensorEntry = members.next_value()?;
            tensors.insert(name, entry.data_offsets);
        }
        Ok(Tensors(tensors))
    }
}
