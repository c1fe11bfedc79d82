//! Tensors of a checkpoint, read one by one into the form the engine takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::checks;
use super::config::{ModelConfig, Quantization, ScaleConvention};
use super::safetensors::{Dtype, SafeTensors};
use super::{Error, HeadStorage, LoadOptions, Table, TernaryMatrix};
use crate::units::{Hasher, Sha256};

/// Bytes read from the file at a time; a multiple of every element size.
const PIECE_BYTES: usize = 4 << 20;

/// The weights of one model.
#[derive(Debug)]
pub struct Weights {
    /// Embedding table `[vocab, hidden]`.
    pub embedding: Table,
    /// Output head `[vocab, hidden]`; `None` when the embedding table serves.
    pub head: Option<Table>,
    /// Gains `[hidden]` of the last norm.
    pub final_norm: Vec<f32>,
    /// Layers, first to last.
    pub layers: Vec<LayerWeights>,
}

/// The weights of one layer.
#[derive(Debug)]
pub struct LayerWeights {
    /// Gains `[hidden]` before attention.
    pub input_norm: Vec<f32>,
    /// Gains `[hidden]` before the feed-forward layer.
    pub post_norm: Vec<f32>,
    /// Gains `[heads * head_dim]` before `o`, where the family has them.
    pub attn_sub_norm: Option<Vec<f32>>,
    /// Gains `[intermediate]` before `down`, where the family has them.
    pub ffn_sub_norm: Option<Vec<f32>>,
    /// `[heads * head_dim, hidden]`
    pub q: TernaryMatrix,
    /// `[kv_heads * head_dim, hidden]`
    pub k: TernaryMatrix,
    /// `[kv_heads * head_dim, hidden]`
    pub v: TernaryMatrix,
    /// `[hidden, heads * head_dim]`
    pub o: TernaryMatrix,
    /// `[intermediate, hidden]`
    pub gate: TernaryMatrix,
    /// `[intermediate, hidden]`
    pub up: TernaryMatrix,
    /// `[hidden, intermediate]`
    pub down: TernaryMatrix,
}

impl LayerWeights {
    /// The projections with their names in the checkpoint, below `model.layers.N.`.
    pub fn projections(&self) -> [(&'static str, &TernaryMatrix); 7] {
        [
            ("self_attn.q_proj", &self.q),
            ("self_attn.k_proj", &self.k),
            ("self_attn.v_proj", &self.v),
            ("self_attn.o_proj", &self.o),
            ("mlp.gate_proj", &self.gate),
            ("mlp.up_proj", &self.up),
            ("mlp.down_proj", &self.down),
        ]
    }
}

impl Weights {
    /// Identity of all ternary codes, independent of container and scale convention.
    ///
    /// sha256 over (tensor name, 0x00, its codes digest), sorted by name.
    pub fn codes_digest(&self) -> Sha256 {
        let mut digests = BTreeMap::new();
        for (n, layer) in self.layers.iter().enumerate() {
            for (name, matrix) in layer.projections() {
                digests.insert(
                    format!("model.layers.{n}.{name}.weight"),
                    matrix.codes_digest(),
                );
            }
        }
        let mut hasher = Hasher::default();
        for (name, digest) in digests {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
            hasher.update(digest.as_bytes());
        }
        hasher.finish()
    }

    /// Number of weights, norm gains included.
    pub fn n_parameters(&self) -> usize {
        let floats = |values: &Option<Vec<f32>>| values.as_ref().map_or(0, Vec::len);
        let layers = self.layers.iter().map(|layer| {
            let ternary = layer.projections().map(|(_, m)| m.n_out() * m.n_in());
            ternary.iter().sum::<usize>()
                + layer.input_norm.len()
                + layer.post_norm.len()
                + floats(&layer.attn_sub_norm)
                + floats(&layer.ffn_sub_norm)
        });
        let table = |table: &Table| table.n_rows() * table.width();
        table(&self.embedding)
            + self.head.as_ref().map_or(0, table)
            + self.final_norm.len()
            + layers.sum::<usize>()
    }
}

/// Weights with what was learned while reading them.
pub(super) struct Loaded {
    pub(super) weights: Weights,
    /// Number of tensors by type: `ternary`, `F32`, `BF16`, `F16`.
    pub(super) types: BTreeMap<String, usize>,
    /// Whether projections were stored packed.
    pub(super) is_packed: bool,
    pub(super) warnings: Vec<String>,
}

/// Reads every tensor of a checkpoint.
///
/// # Errors
/// [`Error::Io`], [`Error::Container`], and every variant about tensors.
pub(super) fn load(
    path: &Path,
    config: &ModelConfig,
    options: &LoadOptions,
) -> Result<Loaded, Error> {
    let file = File::open(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    let container = SafeTensors::open(BufReader::new(file)).map_err(|source| Error::Container {
        path: path.to_owned(),
        source,
    })?;
    let unread = container.tensors().keys().cloned().collect();
    let mut loader = Loader {
        path,
        head: options.head,
        config,
        container,
        unread,
        types: BTreeMap::new(),
        is_packed: false,
        warnings: Vec::new(),
    };
    let weights = loader.weights()?;
    if let Some(tensor) = loader.unread.pop_first() {
        return Err(Error::UnknownTensor {
            tensor,
            family: config.family.to_string(),
        });
    }
    let Loader {
        types,
        is_packed,
        warnings,
        ..
    } = loader;
    Ok(Loaded {
        weights,
        types,
        is_packed,
        warnings,
    })
}

struct Loader<'a> {
    path: &'a Path,
    head: HeadStorage,
    config: &'a ModelConfig,
    container: SafeTensors<BufReader<File>>,
    unread: BTreeSet<String>,
    types: BTreeMap<String, usize>,
    is_packed: bool,
    warnings: Vec<String>,
}

impl Loader<'_> {
    fn weights(&mut self) -> Result<Weights, Error> {
        let config = self.config;
        let table = [config.vocab_size, config.hidden_size];
        let embedding_storage = checks::embedding_storage(config, self.head);
        Ok(Weights {
            embedding: self.table("model.embed_tokens.weight", &table, embedding_storage)?,
            head: if config.is_head_tied {
                None
            } else {
                Some(self.table("lm_head.weight", &table, self.head)?)
            },
            final_norm: self.gains("model.norm", config.hidden_size)?,
            layers: (0..config.n_layers)
                .map(|n| self.layer(n))
                .collect::<Result<_, _>>()?,
        })
    }

    fn layer(&mut self, n: usize) -> Result<LayerWeights, Error> {
        let ModelConfig {
            hidden_size: hidden,
            intermediate_size: inter,
            ..
        } = *self.config;
        let (q_width, kv_width) = (self.config.q_width(), self.config.kv_width());
        let has_sub_norms = self.config.has_sub_norms();
        let name = |part: &str| format!("model.layers.{n}.{part}");
        let mut sub_norm = |part: &str, width| {
            has_sub_norms
                .then(|| self.gains(&name(part), width))
                .transpose()
        };
        Ok(LayerWeights {
            attn_sub_norm: sub_norm("self_attn.attn_sub_norm", q_width)?,
            ffn_sub_norm: sub_norm("mlp.ffn_sub_norm", inter)?,
            input_norm: self.gains(&name("input_layernorm"), hidden)?,
            post_norm: self.gains(&name("post_attention_layernorm"), hidden)?,
            q: self.projection(&name("self_attn.q_proj"), [q_width, hidden])?,
            k: self.projection(&name("self_attn.k_proj"), [kv_width, hidden])?,
            v: self.projection(&name("self_attn.v_proj"), [kv_width, hidden])?,
            o: self.projection(&name("self_attn.o_proj"), [hidden, q_width])?,
            gate: self.projection(&name("mlp.gate_proj"), [inter, hidden])?,
            up: self.projection(&name("mlp.up_proj"), [inter, hidden])?,
            down: self.projection(&name("mlp.down_proj"), [hidden, inter])?,
        })
    }

    /// One ternary projection from whichever storage holds it.
    fn projection(&mut self, name: &str, shape: [usize; 2]) -> Result<TernaryMatrix, Error> {
        let tensor = format!("{name}.weight");
        let dtype = self.dtype(&tensor)?;
        let mode = self.config.quantization;
        let matrix = match (dtype, mode) {
            (Dtype::U8, Quantization::Offline { convention, .. }) => {
                let packed = self.bytes(&tensor, &[shape[0].div_ceil(4), shape[1]])?;
                let scale = self.scale(name, convention)?;
                self.is_packed = true;
                TernaryMatrix::from_packed(&tensor, shape, &packed, scale)?
            }
            (Dtype::U8, Quantization::Online | Quantization::Unstated) => {
                return Err(Error::Dtype {
                    tensor,
                    expected: "a float type: packed weights need quantization_mode `offline`"
                        .to_owned(),
                    found: dtype.to_string(),
                });
            }
            (Dtype::F32 | Dtype::F16 | Dtype::BF16, Quantization::Online) => {
                let values = self.float_values(&tensor, &shape)?;
                TernaryMatrix::from_masters(&tensor, shape, &values)?
            }
            (Dtype::F32 | Dtype::F16 | Dtype::BF16, _) => {
                let values = self.float_values(&tensor, &shape)?;
                let scale = match mode {
                    Quantization::Offline { convention, .. }
                        if self.unread.contains(&format!("{name}.weight_scale")) =>
                    {
                        Some(self.scale(name, convention)?)
                    }
                    _ => None,
                };
                TernaryMatrix::from_ternary_floats(&tensor, shape, &values, scale)?
            }
        };
        *self.types.entry("ternary".to_owned()).or_default() += 1;
        self.warnings.extend(checks::oddities(&tensor, &matrix));
        Ok(matrix)
    }

    /// The scale of a projection in direct form.
    fn scale(&mut self, name: &str, convention: ScaleConvention) -> Result<f32, Error> {
        let stored = self.float_values_unchecked(&format!("{name}.weight_scale"), &[1])?[0];
        let value = match convention {
            ScaleConvention::Direct => stored,
            ScaleConvention::Inverse => 1.0 / stored,
        };
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(Error::Scale {
            tensor: format!("{name}.weight"),
            value,
        })
    }

    /// Gains of a norm.
    fn gains(&mut self, name: &str, width: usize) -> Result<Vec<f32>, Error> {
        let tensor = format!("{name}.weight");
        let values = self.floats(&tensor, &[width])?;
        checks::gains(&tensor, values)
    }

    /// A table of floats in the storage asked for, counted by its type on disk.
    fn table(
        &mut self,
        tensor: &str,
        shape: &[usize; 2],
        storage: HeadStorage,
    ) -> Result<Table, Error> {
        let values = self.floats(tensor, shape)?;
        Ok(Table::from_values(storage, shape[1], &values))
    }

    /// A float tensor that stays float, counted by its type.
    fn floats(&mut self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let values = self.float_values(tensor, shape)?;
        *self
            .types
            .entry(self.dtype(tensor)?.to_string())
            .or_default() += 1;
        Ok(values)
    }

    /// A float tensor as f32, every value finite.
    fn float_values(&mut self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let values = self.float_values_unchecked(tensor, shape)?;
        checks::finite(tensor, 0, &values)?;
        Ok(values)
    }

    fn float_values_unchecked(&mut self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let dtype = self.dtype(tensor)?;
        let kind = match dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::U8 => {
                return Err(Error::Dtype {
                    tensor: tensor.to_owned(),
                    expected: "F32, F16 or BF16".to_owned(),
                    found: dtype.to_string(),
                });
            }
        };
        self.begin(tensor, shape)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        let path = self.path;
        self.container
            .read(tensor, PIECE_BYTES, |bytes| {
                let n = bytes.len() / dtype.size();
                let decoded = Tensor::from_raw_buffer(bytes, kind, &[n], &Device::Cpu)
                    .and_then(|piece| piece.to_dtype(DType::F32)?.to_vec1::<f32>())
                    .map_err(PieceError::Decode)?;
                values.extend_from_slice(&decoded);
                Ok(())
            })
            .map_err(|error| match error {
                PieceError::Io(source) => Error::Io {
                    path: path.to_owned(),
                    source,
                },
                PieceError::Decode(source) => Error::Decode {
                    tensor: tensor.to_owned(),
                    source,
                },
            })?;
        Ok(values)
    }

    /// The bytes of a tensor that is stored as bytes.
    fn bytes(&mut self, tensor: &str, shape: &[usize]) -> Result<Vec<u8>, Error> {
        self.begin(tensor, shape)?;
        let mut all = Vec::with_capacity(shape.iter().product());
        let path = self.path;
        self.container
            .read(tensor, PIECE_BYTES, |bytes| {
                all.extend_from_slice(bytes);
                Ok::<_, io::Error>(())
            })
            .map_err(|source| Error::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(all)
    }

    fn dtype(&self, tensor: &str) -> Result<Dtype, Error> {
        let info = self.container.tensors().get(tensor);
        info.map(|info| info.dtype)
            .ok_or_else(|| Error::MissingTensor {
                tensor: tensor.to_owned(),
            })
    }

    /// Checks the shape and marks the tensor as used.
    fn begin(&mut self, tensor: &str, expected: &[usize]) -> Result<(), Error> {
        let found = &self.container.tensors()[tensor].shape;
        if found != expected {
            return Err(Error::Shape {
                tensor: tensor.to_owned(),
                expected: expected.to_owned(),
                found: found.clone(),
            });
        }
        self.unread.remove(tensor);
        Ok(())
    }
}

/// Why a piece of a tensor could not be used.
enum PieceError {
    Io(io::Error),
    Decode(candle_core::Error),
}

impl From<io::Error> for PieceError {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}
