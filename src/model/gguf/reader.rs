//! An opened GGUF model: one file, or the parts of a split one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::FormatError;
use super::header::{Header, RawTensor};
use super::kind::{GgmlType, Mismatch};
use super::value::Value;
use crate::model::Error;

/// Place and type of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Dimensions, fastest first: reversed against the shapes of other formats.
    pub dims: Vec<u64>,
    /// Type of its values.
    pub kind: GgmlType,
    /// First byte in the data part of its file.
    pub offset: u64,
    /// Bytes, padding left out; for types of unknown size, all there are.
    pub bytes: u64,
    /// Which of the files holds it.
    part: usize,
}

impl TensorInfo {
    /// Number of values.
    pub fn n_values(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Dimensions, outermost first, as other formats write them.
    pub fn shape(&self) -> Vec<usize> {
        let size = |n: &u64| usize::try_from(*n).unwrap_or(usize::MAX);
        self.dims.iter().rev().map(size).collect()
    }
}

/// One file of a model.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    data_offset: u64,
}

/// A model in GGUF form; headers checked, no tensor read yet.
#[derive(Debug)]
pub struct Gguf {
    /// Values by key, of the first file.
    pub metadata: BTreeMap<String, Value>,
    /// Tensors by name, of all files.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// Where the data begins in the first file.
    pub data_offset: u64,
    /// Power of two on whose multiples tensors of the first file begin.
    pub alignment: u64,
    parts: Vec<Part>,
}

impl Gguf {
    /// Opens a model that is one file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Gguf`] with every variant of [`FormatError`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_parts(&[path])
    }

    /// Opens a model in several files, given in any order.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Panics
    /// When no file is given.
    pub fn open_parts(paths: &[&Path]) -> Result<Self, Error> {
        let mut opened = paths
            .iter()
            .map(|path| open(path))
            .collect::<Result<Vec<_>, _>>()?;
        for part in &opened {
            let count = part.split_key("split.count")?.unwrap_or(1).max(1);
            let number = part.number()? + 1;
            if count != paths.len() as u64 || number > count {
                return Err(part.failed(FormatError::Parts {
                    number,
                    count,
                    found: paths.len(),
                }));
            }
        }
        opened.sort_by_key(|part| part.number().unwrap_or(0));
        let mut tensors = BTreeMap::new();
        for (index, part) in opened.iter().enumerate() {
            if part.number()? != index as u64 {
                return Err(part.failed(FormatError::Split {
                    key: "split.no",
                    found: part.number()?.to_string(),
                    expected: index.to_string(),
                }));
            }
            part.place(index, &mut tensors)
                .map_err(|source| part.failed(source))?;
        }
        let first = &opened[0];
        let announced = first.split_key("split.tensors.count")?;
        if let Some(announced) = announced.filter(|n| *n != tensors.len() as u64) {
            return Err(first.failed(FormatError::Split {
                key: "split.tensors.count",
                found: announced.to_string(),
                expected: tensors.len().to_string(),
            }));
        }
        let mut metadata = BTreeMap::new();
        std::mem::swap(&mut metadata, &mut opened[0].header.metadata);
        Ok(Self {
            metadata,
            tensors,
            data_offset: opened[0].header.data_offset,
            alignment: opened[0].header.alignment,
            parts: opened.into_iter().map(Opened::into_part).collect(),
        })
    }

    /// The first file, for messages.
    pub fn path(&self) -> &Path {
        &self.parts[0].path
    }

    /// Fills `out` with the bytes of a tensor from its byte `start` on.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// When there is no such tensor, or it has fewer bytes.
    pub fn read(&self, name: &str, start: u64, out: &mut [u8]) -> Result<(), Error> {
        let info = &self.tensors[name];
        let end = start.checked_add(out.len() as u64);
        assert!(
            end.is_some_and(|end| end <= info.bytes),
            "`{name}` has {} bytes",
            info.bytes
        );
        let part = &self.parts[info.part];
        part.file
            .read_exact_at(out, part.data_offset + info.offset + start)
            .map_err(|source| Error::Io {
                path: part.path.clone(),
                source,
            })
    }
}

/// A file whose header was read.
struct Opened<'a> {
    path: &'a Path,
    file: File,
    bytes: u64,
    header: Header,
}

fn open(path: &Path) -> Result<Opened<'_>, Error> {
    let unreadable = |source: io::Error| Error::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let reader = BufReader::with_capacity(1 << 16, &file);
    let header = Header::read(reader, bytes).map_err(|source| Error::Gguf {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    Ok(Opened {
        path,
        file,
        bytes,
        header,
    })
}

impl Opened<'_> {
    fn failed(&self, source: FormatError) -> Error {
        Error::Gguf {
            path: self.path.to_owned(),
            source: Box::new(source),
        }
    }

    fn split_key(&self, key: &'static str) -> Result<Option<u64>, Error> {
        let Some(value) = self.header.metadata.get(key) else {
            return Ok(None);
        };
        value.as_u64().map(Some).ok_or_else(|| {
            self.failed(FormatError::Split {
                key,
                found: value.to_string(),
                expected: "a whole number".to_owned(),
            })
        })
    }

    /// Number of the part, from 0.
    fn number(&self) -> Result<u64, Error> {
        Ok(self.split_key("split.no")?.unwrap_or(0).min(u64::MAX - 1))
    }

    /// Checks where the tensors are and adds them to those of the other parts.
    fn place(
        &self,
        part: usize,
        tensors: &mut BTreeMap<String, TensorInfo>,
    ) -> Result<(), FormatError> {
        for (name, info) in place(&self.header, self.bytes, part)? {
            match tensors.entry(name) {
                Entry::Occupied(entry) => {
                    return Err(FormatError::Twice {
                        what: format!("tensor `{}`", entry.key().escape_debug()),
                    });
                }
                Entry::Vacant(entry) => entry.insert(info),
            };
        }
        Ok(())
    }

    fn into_part(self) -> Part {
        Part {
            path: self.path.to_owned(),
            file: self.file,
            data_offset: self.header.data_offset,
        }
    }
}

/// The tensors of one file, which follow each other in the data part, each padded to the
/// alignment, the last one optionally.
fn place(
    header: &Header,
    file_bytes: u64,
    part: usize,
) -> Result<Vec<(String, TensorInfo)>, FormatError> {
    let available = file_bytes.saturating_sub(header.data_offset);
    if header.tensors.is_empty() {
        return Ok(Vec::new());
    }
    let mut placed = Vec::with_capacity(header.tensors.len());
    for (index, tensor) in header.tensors.iter().enumerate() {
        let least = match index {
            0 => 0,
            // The tensor before it has at least one byte and its padding.
            _ => header.tensors[index - 1].offset + header.alignment,
        };
        let most = if index == 0 { 0 } else { available };
        let is_aligned = tensor.offset.is_multiple_of(header.alignment);
        if !is_aligned || tensor.offset < least || tensor.offset > most {
            return Err(FormatError::Offset {
                tensor: tensor.name.escape_debug().to_string(),
                found: tensor.offset,
                alignment: header.alignment,
                least,
                most,
            });
        }
        let next = header.tensors.get(index + 1);
        let end = next.map_or(available, |next| next.offset);
        // An end before the beginning is reported as the next tensor's wrong offset.
        let room = end.saturating_sub(tensor.offset);
        let (kind, bytes) = resolve(tensor, room, header.alignment, next.is_none())?;
        let info = TensorInfo {
            dims: tensor.dims.clone(),
            kind,
            offset: tensor.offset,
            bytes,
            part,
        };
        placed.push((tensor.name.clone(), info));
    }
    Ok(placed)
}

/// Type and bytes of a tensor that has `room` bytes up to the next one.
fn resolve(
    tensor: &RawTensor,
    room: u64,
    alignment: u64,
    is_last: bool,
) -> Result<(GgmlType, u64), FormatError> {
    let name = || tensor.name.escape_debug().to_string();
    let overflow = || FormatError::Overflow {
        tensor: name(),
        dims: tensor.dims.clone(),
    };
    let n = tensor
        .dims
        .iter()
        .try_fold(1u64, |product, &n| product.checked_mul(n))
        .filter(|n| usize::try_from(*n).is_ok())
        .ok_or_else(overflow)?;
    let fits = |size: u64| {
        size.checked_next_multiple_of(alignment) == Some(room) || is_last && size == room
    };
    let resolved = GgmlType::resolve(tensor.type_id, tensor.dims[0], n, fits);
    resolved
        .map(|(kind, size)| (kind, size.unwrap_or(room)))
        .map_err(|mismatch| match mismatch {
            Mismatch::Block(kind, block) => FormatError::Block {
                tensor: name(),
                kind,
                block,
                found: tensor.dims[0],
            },
            Mismatch::Size(kind, size) => FormatError::Size {
                tensor: name(),
                dims: tensor.dims.clone(),
                expected: format!("{size} bytes as {kind} and padding to {alignment}"),
                found: room,
            },
            Mismatch::Ambiguous(candidates) => FormatError::Ambiguous {
                tensor: name(),
                id: tensor.type_id,
                candidates,
                found: room,
            },
            Mismatch::Overflow => overflow(),
        })
}
