//! The safetensors files of a Hugging Face directory, one or several, as one set of tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::safetensors::{HeaderError, SafeTensors, TensorInfo, UniqueMap};
use super::{Error, file, read_bounded};
use crate::artifact::ModelFiles;

const SINGLE: &str = "model.safetensors";
/// Longest index read, in bytes; those of the largest models have 10 MB.
const MAX_INDEX_BYTES: u64 = 64 << 20;

const INDEX: &str = "model.safetensors.index.json";

/// Opened containers; headers checked, no tensor read yet.
pub(super) struct Checkpoint {
    shards: Vec<(PathBuf, SafeTensors<File>)>,
    /// Tensor → index of its shard.
    places: BTreeMap<String, usize>,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    /// Sizes for people; the shards' own headers count.
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    weight_map: UniqueMap<String>,
}

impl Checkpoint {
    /// Opens the one container, or every shard of the index.
    ///
    /// # Errors
    /// [`Error::MissingFile`], [`Error::Io`], [`Error::TooLarge`], [`Error::Json`],
    /// [`Error::Container`], [`Error::UnreadType`], [`Error::Shards`].
    pub(super) fn open(files: &ModelFiles) -> Result<Self, Error> {
        if !files.files.contains_key(INDEX) {
            let path = file(files, SINGLE)?;
            let container = open(path)?;
            let places = container.tensors().keys().map(|name| (name.clone(), 0));
            return Ok(Self {
                places: places.collect(),
                shards: vec![(path.to_owned(), container)],
            });
        }
        let path = file(files, INDEX)?;
        let bytes = read_bounded(path, MAX_INDEX_BYTES)?;
        let index: Index = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
        let refuse = |reason| Error::Shards {
            path: path.to_owned(),
            reason,
        };
        let UniqueMap(promised) = index.weight_map;
        let names: BTreeSet<&String> = promised.values().collect();
        let stray = files.files.keys().find(|name| {
            let is_container = Path::new(name)
                .extension()
                .is_some_and(|e| e == "safetensors");
            is_container && !names.contains(name)
        });
        if let Some(name) = stray {
            return Err(refuse(format!("lists no tensor of {name}")));
        }
        if let Some(name) = names.iter().find(|name| !files.files.contains_key(**name)) {
            return Err(refuse(format!(
                "names {name}, which is not among the files"
            )));
        }
        let mut shards = Vec::new();
        let mut places = BTreeMap::new();
        for name in names {
            let shard = &files.files[name];
            let container = open(shard.path())?;
            for tensor in container.tensors().keys() {
                if promised.get(tensor) != Some(name) {
                    let place = promised.get(tensor).map_or("nowhere", String::as_str);
                    return Err(refuse(format!(
                        "places tensor `{tensor}` {place}, it stands in {name}"
                    )));
                }
                places.insert(tensor.clone(), shards.len());
            }
            shards.push((shard.path().to_owned(), container));
        }
        if let Some((tensor, name)) = promised.iter().find(|(t, _)| !places.contains_key(*t)) {
            return Err(refuse(format!(
                "places tensor `{tensor}` in {name}, which does not have it"
            )));
        }
        Ok(Self { shards, places })
    }

    /// Names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.places.keys()
    }

    /// A tensor's place and type.
    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        let (_, container) = &self.shards[*self.places.get(name)?];
        container.tensors().get(name)
    }

    /// Fills `out` with bytes of a tensor, from its byte `start` on; any thread may ask.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// When there is no such tensor, or it has fewer bytes.
    pub(super) fn read_at(&self, name: &str, start: u64, out: &mut [u8]) -> Result<(), Error> {
        let (path, container) = &self.shards[self.places[name]];
        container
            .read_at(name, start, out)
            .map_err(|source| Error::Io {
                path: path.clone(),
                source,
            })
    }
}

fn open(path: &Path) -> Result<SafeTensors<File>, Error> {
    let file = File::open(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    SafeTensors::open(file).map_err(|source| match source {
        HeaderError::UnreadType { tensor, dtype } => Error::UnreadType {
            path: path.to_owned(),
            tensor,
            kind: dtype.to_owned(),
            advice: "save the weights as BF16, F16 or F32, ternary codes as U8".to_owned(),
        },
        source => Error::Container {
            path: path.to_owned(),
            source,
        },
    })
}
