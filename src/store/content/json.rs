//! JSON files of a model: well formed, not nested beyond reason, no key twice.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

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
            keys.insert(key);
            members.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

/// One tensor of a safetensors header.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorEntry {
    #[serde(rename = "dtype")]
    _dtype: String,
    #[serde(rename = "shape")]
    _shape: Vec<u64>,
    pub(super) data_offsets: [u64; 2],
}

/// The tensors of a safetensors header, in written order, names unique.
pub(super) struct Tensors(pub(super) Vec<(String, [u64; 2])>);

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
        let mut names = HashSet::new();
        let mut tensors = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                let name: String = name.chars().take(80).collect();
                return Err(A::Error::custom(format!(
                    "tensor `{}` twice",
                    name.escape_debug()
                )));
            }
            if name == "__metadata__" {
                members.next_value::<IgnoredAny>()?;
            } else {
                let entry: TensorEntry = members.next_value()?;
                tensors.push((name, entry.data_offsets));
            }
        }
        Ok(Tensors(tensors))
    }
}
