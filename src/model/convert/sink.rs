//! The file of weights under construction: tensors are put where the header says they stand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use crate::model::gguf::{self, GgmlType};
use crate::model::source::Place;
use crate::model::{ModelConfig, TernaryMatrix};

/// Where a tensor stands.
#[derive(Debug, Clone, Copy)]
struct Spot {
    offset: u64,
    bytes: u64,
}

/// How a tensor's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Names and packed codes of a checkpoint.
    Checkpoint,
    /// Names and blocks of a GGUF; `is_permuted`: q and k in the order of interleaved pairs.
    Gguf { kind: GgmlType, is_permuted: bool },
}

/// A file of weights with its header written.
pub(super) struct Sink {
    path: PathBuf,
    file: File,
    style: Style,
    spots: BTreeMap<String, Spot>,
    types: BTreeMap<String, usize>,
    len: u64,
}

/// A tensor of the file: name, name of its type, bytes, and bytes up to the next tensor.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) bytes: u64,
    pub(super) step: u64,
}

impl Sink {
    /// Writes the header and makes room for the tensors, which follow it in the order given.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn create(
        path: &Path,
        header: &[u8],
        style: Style,
        entries: &[Entry],
    ) -> Result<Self, Error> {
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let mut file = File::create_new(path).map_err(failed)?;
        file.write_all(header).map_err(failed)?;
        let mut len = header.len() as u64;
        let mut spots = BTreeMap::new();
        let mut types: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            let spot = Spot {
                offset: len,
                bytes: entry.bytes,
            };
            spots.insert(entry.name.clone(), spot);
            *types.entry(entry.kind.clone()).or_default() += 1;
            len += entry.step;
        }
        // What stands between tensors is zeros.
        file.set_len(len).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            style,
            spots,
            types,
            len,
        })
    }

    /// Bytes of the whole file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Number of tensors by type.
    pub(super) fn types(&self) -> BTreeMap<String, usize> {
        self.types.clone()
    }

    /// Name of the tensor at a place.
    fn name(&self, place: Place, end: &str) -> String {
        match self.style {
            Style::Checkpoint => format!("{}.{end}", place.in_checkpoint()),
            Style::Gguf { .. } => format!("{}.{end}", place.in_gguf()),
        }
    }

    /// Puts bytes into a tensor from its byte `start` on.
    fn put(&self, tensor: &str, start: u64, bytes: &[u8]) -> Result<(), Error> {
        let spot = self.spots[tensor];
        assert!(
            start + bytes.len() as u64 <= spot.bytes,
            "`{tensor}` has {} bytes",
            spot.bytes
        );
        self.file
            .write_all_at(bytes, spot.offset + start)
            .map_err(|source| Error::Write {
                path: self.path.clone(),
                source,
            })
    }

    /// Puts a part of a table or of gains.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn put_rows(&self, place: Place, start: u64, bytes: &[u8]) -> Result<(), Error> {
        self.put(&self.name(place, "weight"), start, bytes)
    }

    /// Whether a table of a stored type is written as it is stored; as floats otherwise.
    pub(super) fn keeps(&self, kind: GgmlType) -> bool {
        match self.style {
            Style::Gguf { .. } => true,
            Style::Checkpoint => is_float(kind),
        }
    }

    /// Puts a projection with its scale.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn put_matrix(
        &self,
        place: Place,
        matrix: &TernaryMatrix,
        config: &ModelConfig,
    ) -> Result<(), Error> {
        let weight = self.name(place, "weight");
        let scale = matrix.scale().to_le_bytes();
        match self.style {
            Style::Checkpoint => {
                self.put(&weight, 0, &matrix.packed())?;
                self.put(&self.name(place, "weight_scale"), 0, &scale)
            }
            Style::Gguf { kind, is_permuted } => {
                let head_dim = (is_permuted && place.is_rotated()).then_some(config.head_dim);
                let codes = codes_in_file_order(matrix, head_dim);
                let mut bytes = Vec::new();
                gguf::encode(kind, &codes, matrix.scale(), &mut bytes);
                self.put(&weight, 0, &bytes)?;
                if gguf::has_scale_tensor(kind) {
                    self.put(&self.name(place, "scale"), 0, &scale)?;
                }
                Ok(())
            }
        }
    }
}

/// Whether values of this type are floats.
pub(super) fn is_float(kind: GgmlType) -> bool {
    matches!(kind, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16)
}

/// `T + 1` of every value, one a byte.
///
/// * `head_dim`: where set, file row `h*d + 2i + half` is row `h*d + half*d/2 + i`, for heads of
///   this width d: the order llama.cpp's converter makes for its own rotary form
fn codes_in_file_order(matrix: &TernaryMatrix, head_dim: Option<usize>) -> Vec<u8> {
    let mut codes = vec![0; matrix.n_out() * matrix.n_in()];
    for (row, out) in codes.chunks_exact_mut(matrix.n_in()).enumerate() {
        let from = head_dim.map_or(row, |d| {
            let (head, within) = (row / d, row % d);
            head * d + within % 2 * (d / 2) + within / 2
        });
        matrix.unpack_row(from, out);
    }
    codes
}
