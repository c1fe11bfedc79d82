//! Reads the tensors of a Hugging Face checkpoint into the form the engine takes.
//!
//! Layers are read by several threads, each matrix straight into its final memory; tables row by
//! row into theirs. Whatever is wrong is reported as if everything had been read in order.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::checkpoint::Checkpoint;
use super::checks;
use super::config::{ModelConfig, Quantization, ScaleConvention};
use super::safetensors::Dtype;
use super::ternary::absmean_reciprocal;
use super::weights::{LayerWeights, Loaded, Weights};
use super::witness::{self, Witness};
use super::{Error, HeadStorage, LoadOptions, Table, TernaryMatrix, rope};
use crate::artifact::ModelFiles;

/// Bytes of a table or of a float matrix read at a time; a multiple of every element size.
const PIECE_BYTES: usize = 1 << 20;

/// Projections of a layer.
const N_PROJECTIONS: usize = 7;

/// Names of the norm before the output projection: the usual one, and that of 1bitLLM.
pub(super) const ATTN_SUB_NORM: [&str; 2] = ["self_attn.attn_sub_norm", "self_attn.inner_attn_ln"];

/// Names of the norm before the down projection, likewise.
pub(super) const FFN_SUB_NORM: [&str; 2] = ["mlp.ffn_sub_norm", "mlp.ffn_layernorm"];

/// Reads every tensor of a checkpoint.
///
/// # Errors
/// As [`Checkpoint::open`], and every variant about tensors.
pub(super) fn load(
    files: &ModelFiles,
    config: &ModelConfig,
    options: &LoadOptions,
) -> Result<Loaded, Error> {
    let checkpoint = Checkpoint::open(files)?;
    let loader = Loader {
        checkpoint: &checkpoint,
        witnessed: witness::chosen(&files.release_digest, config.n_layers * N_PROJECTIONS),
        config,
    };
    let mut notes = Notes::default();
    let weights = loader.weights(options.head, &mut notes)?;
    loader.check_frequencies(&mut notes)?;
    loader.check_unread(&notes)?;
    Ok(Loaded {
        weights,
        types: notes.types,
        is_packed: notes.is_packed,
        warnings: notes.warnings,
    })
}

/// What was learned while reading some of the tensors.
#[derive(Default)]
pub(super) struct Notes {
    read: Vec<String>,
    pub(super) types: BTreeMap<String, usize>,
    pub(super) is_packed: bool,
    pub(super) warnings: Vec<String>,
}

impl Notes {
    fn add(&mut self, other: Self) {
        self.read.extend(other.read);
        for (kind, n) in other.types {
            *self.types.entry(kind).or_default() += n;
        }
        self.is_packed |= other.is_packed;
        self.warnings.extend(other.warnings);
    }
}

/// How far a stored frequency may be from the computed one, relative and absolute: a few units of
/// f32 for another `pow`, and what rounding to the stored type adds.
fn frequency_tolerance(dtype: Dtype) -> (f32, f32) {
    const POW: f32 = 1e-6;
    match dtype {
        // 11 bits, and half the distance of subnormal numbers.
        Dtype::F16 => (POW + 1.0 / 2048.0, 1.0 / 33_554_432.0),
        // 8 bits.
        Dtype::BF16 => (POW + 1.0 / 256.0, 0.0),
        _ => (POW, 0.0),
    }
}

/// A projection to read.
pub(super) struct Place<'a> {
    /// Without `.weight`.
    pub(super) name: &'a str,
    pub(super) shape: [usize; 2],
    pub(super) is_witnessed: bool,
}

impl Place<'_> {
    fn witness(&self, signs: impl FnMut(usize, &mut [i8])) -> Option<Witness> {
        self.is_witnessed.then(|| Witness::new(self.shape, signs))
    }
}

/// Reads tensors as the configuration expects them.
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    /// Numbers of the projections that are read a second time.
    pub(super) witnessed: Vec<usize>,
    pub(super) config: &'a ModelConfig,
}

impl<'a> Loader<'a> {
    /// One that reads nothing a second time.
    pub(super) fn plain(checkpoint: &'a Checkpoint, config: &'a ModelConfig) -> Self {
        Self {
            checkpoint,
            witnessed: Vec::new(),
            config,
        }
    }

    fn weights(&self, head_storage: HeadStorage, notes: &mut Notes) -> Result<Weights, Error> {
        let config = self.config;
        self.check_layers()?;
        let table = [config.vocab_size, config.hidden_size];
        let embedding_storage = checks::embedding_storage(config, head_storage);
        let embedding = self.table("model.embed_tokens.weight", table, embedding_storage, notes)?;
        let head = if config.is_head_tied {
            None
        } else {
            Some(self.table("lm_head.weight", table, head_storage, notes)?)
        };
        let final_norm = self.gains("model.norm", config.hidden_size, notes)?;
        let read: Vec<_> = (0..config.n_layers)
            .into_par_iter()
            .map_init(Vec::new, |buffer, n| {
                let mut notes = Notes::default();
                self.layer(n, buffer, &mut notes)
                    .map(|layer| (layer, notes))
            })
            .collect();
        let mut layers = Vec::new();
        for one in read {
            let (layer, of_layer) = one?;
            layers.push(layer);
            notes.add(of_layer);
        }
        Ok(Weights {
            embedding,
            head,
            final_norm,
            layers,
        })
    }

    /// A configuration that announces more layers than there are must not make work for them.
    pub(super) fn check_layers(&self) -> Result<(), Error> {
        (0..self.config.n_layers).try_for_each(|n| {
            self.dtype(&format!("model.layers.{n}.input_layernorm.weight"))
                .map(|_| ())
        })
    }

    /// Old checkpoints store the rotary frequencies in every layer: nothing is read from them, but
    /// they must be the ones computed with.
    pub(super) fn check_frequencies(&self, notes: &mut Notes) -> Result<(), Error> {
        let expected = rope::frequencies(self.config.rope_theta, self.config.head_dim);
        for n in 0..self.config.n_layers {
            let tensor = format!("model.layers.{n}.self_attn.rotary_emb.inv_freq");
            if self.checkpoint.info(&tensor).is_none() {
                continue;
            }
            let found = self.float_values(&tensor, &[expected.len()], notes)?;
            let (relative, absolute) = frequency_tolerance(self.float_dtype(&tensor)?);
            let is_off = |(_, (found, expected)): &(usize, (&f32, &f32))| {
                (*found - *expected).abs() > relative * *expected + absolute
            };
            let mut pairs = found.iter().zip(&expected).enumerate();
            if let Some((index, (&found, &expected))) = pairs.find(is_off) {
                return Err(Error::RopeFrequency {
                    tensor,
                    index,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    /// No tensor is left that nothing asked for.
    pub(super) fn check_unread(&self, notes: &Notes) -> Result<(), Error> {
        let known: BTreeSet<&String> = notes.read.iter().collect();
        match self.checkpoint.names().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(tensor) => Err(Error::UnknownTensor {
                tensor: tensor.clone(),
                family: self.config.family.to_string(),
            }),
        }
    }

    /// Name of a norm inside a layer. 1bitLLM checkpoints have another; both at once are too many.
    pub(super) fn sub_norm_name(&self, n: usize, [part, other]: [&str; 2]) -> String {
        let name = |part: &str| format!("model.layers.{n}.{part}");
        let other = name(other);
        let is_other = self.checkpoint.info(&format!("{other}.weight")).is_some();
        if is_other { other } else { name(part) }
    }

    fn layer(
        &self,
        n: usize,
        buffer: &mut Vec<u8>,
        notes: &mut Notes,
    ) -> Result<LayerWeights, Error> {
        let ModelConfig {
            hidden_size: hidden,
            intermediate_size: inter,
            ..
        } = *self.config;
        let (q_width, kv_width) = (self.config.q_width(), self.config.kv_width());
        let has_sub_norms = self.config.has_sub_norms();
        let name = |part: &str| format!("model.layers.{n}.{part}");
        let mut sub_norm = |names: [&str; 2], width| {
            let norm = self.sub_norm_name(n, names);
            has_sub_norms
                .then(|| self.gains(&norm, width, notes))
                .transpose()
        };
        let attn_sub_norm = sub_norm(ATTN_SUB_NORM, q_width)?;
        let ffn_sub_norm = sub_norm(FFN_SUB_NORM, inter)?;
        let input_norm = self.gains(&name("input_layernorm"), hidden, notes)?;
        let post_norm = self.gains(&name("post_attention_layernorm"), hidden, notes)?;
        let mut number = n * N_PROJECTIONS;
        let mut ternary = |part: &str, shape| {
            let is_witnessed = self.witnessed.contains(&number);
            number += 1;
            let place = Place {
                name: &name(part),
                shape,
                is_witnessed,
            };
            self.projection(&place, &mut *buffer, notes)
        };
        Ok(LayerWeights {
            input_norm,
            post_norm,
            attn_sub_norm,
            ffn_sub_norm,
            q: ternary("self_attn.q_proj", [q_width, hidden])?,
            k: ternary("self_attn.k_proj", [kv_width, hidden])?,
            v: ternary("self_attn.v_proj", [kv_width, hidden])?,
            o: ternary("self_attn.o_proj", [hidden, q_width])?,
            gate: ternary("mlp.gate_proj", [inter, hidden])?,
            up: ternary("mlp.up_proj", [inter, hidden])?,
            down: ternary("mlp.down_proj", [hidden, inter])?,
        })
    }

    /// One ternary projection from whichever storage holds it.
    pub(super) fn projection(
        &self,
        place: &Place<'_>,
        buffer: &mut Vec<u8>,
        notes: &mut Notes,
    ) -> Result<TernaryMatrix, Error> {
        let &Place { name, shape, .. } = place;
        let tensor = format!("{name}.weight");
        let dtype = self.dtype(&tensor)?;
        let mode = self.config.quantization;
        let matrix = match (dtype, mode) {
            (Dtype::U8, Quantization::Offline { convention, .. }) => {
                let packed_shape = [shape[0].div_ceil(4), shape[1]];
                self.begin(&tensor, &packed_shape, notes)?;
                buffer.resize(packed_shape[0] * packed_shape[1], 0);
                self.checkpoint.read_at(&tensor, 0, buffer)?;
                let scale = self.scale(name, convention, notes)?;
                notes.is_packed = true;
                let packed: &[u8] = buffer;
                let signs = |row, out: &mut [i8]| witness::packed_row(shape, packed, row, out);
                TernaryMatrix::from_packed(&tensor, shape, packed, scale)?
                    .with_witness(place.witness(signs))
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
                let values = self.float_values(&tensor, &shape, notes)?;
                let reciprocal = place.is_witnessed.then(|| absmean_reciprocal(&values));
                let rounded = |w: f32| (w * reciprocal.unwrap_or(1.0)).round_ties_even();
                let signs = |row, out: &mut [i8]| witness::float_row(&values, rounded, row, out);
                TernaryMatrix::from_masters(&tensor, shape, &values)?
                    .with_witness(place.witness(signs))
            }
            (Dtype::F32 | Dtype::F16 | Dtype::BF16, _) => {
                let values = self.float_values(&tensor, &shape, notes)?;
                let has_scale = self
                    .checkpoint
                    .info(&format!("{name}.weight_scale"))
                    .is_some();
                let scale = match mode {
                    Quantization::Offline { convention, .. } if has_scale => {
                        Some(self.scale(name, convention, notes)?)
                    }
                    _ => None,
                };
                let signs = |row, out: &mut [i8]| witness::float_row(&values, |w| w, row, out);
                TernaryMatrix::from_ternary_floats(&tensor, shape, &values, scale)?
                    .with_witness(place.witness(signs))
            }
        };
        *notes.types.entry("ternary".to_owned()).or_default() += 1;
        notes.warnings.extend(checks::oddities(&tensor, &matrix));
        Ok(matrix)
    }

    /// The scale of a projection in direct form.
    fn scale(
        &self,
        name: &str,
        convention: ScaleConvention,
        notes: &mut Notes,
    ) -> Result<f32, Error> {
        let tensor = format!("{name}.weight_scale");
        let stored = self.raw_values(&tensor, &[1], notes)?[0];
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
    pub(super) fn gains(
        &self,
        name: &str,
        width: usize,
        notes: &mut Notes,
    ) -> Result<Vec<f32>, Error> {
        let tensor = format!("{name}.weight");
        let values = self.float_values(&tensor, &[width], notes)?;
        self.count(&tensor, notes)?;
        checks::gains(&tensor, values)
    }

    /// A table of floats in the storage asked for, never as a whole in floats besides.
    fn table(
        &self,
        tensor: &str,
        shape: [usize; 2],
        storage: HeadStorage,
        notes: &mut Notes,
    ) -> Result<Table, Error> {
        let dtype = self.begin_table(tensor, shape, notes)?;
        let [n_rows, width] = shape;
        let row_bytes = width * dtype.size();
        let mut table = Table::zeroed(storage, n_rows, width);
        let pieces = table.pieces((PIECE_BYTES / row_bytes).max(1));
        let read: Vec<Result<(), Error>> = pieces
            .into_par_iter()
            .map_init(
                || (Vec::new(), vec![0.0; width]),
                |(bytes, values), mut piece| {
                    let first = piece.first();
                    bytes.resize(piece.n_rows() * row_bytes, 0);
                    self.checkpoint
                        .read_at(tensor, (first * row_bytes) as u64, bytes)?;
                    for (row, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
                        dtype.widen(bytes, values);
                        checks::finite(tensor, (first + row) * width, values)?;
                        piece.set(row, values);
                    }
                    Ok(())
                },
            )
            .collect();
        read.into_iter().collect::<Result<(), Error>>()?;
        Ok(table)
    }

    /// Checks type and shape of a table and marks it as used.
    pub(super) fn begin_table(
        &self,
        tensor: &str,
        shape: [usize; 2],
        notes: &mut Notes,
    ) -> Result<Dtype, Error> {
        let dtype = self.float_dtype(tensor)?;
        self.begin(tensor, &shape, notes)?;
        self.count(tensor, notes)?;
        Ok(dtype)
    }

    /// A float tensor as f32, every value finite.
    fn float_values(
        &self,
        tensor: &str,
        shape: &[usize],
        notes: &mut Notes,
    ) -> Result<Vec<f32>, Error> {
        let values = self.raw_values(tensor, shape, notes)?;
        checks::finite(tensor, 0, &values)?;
        Ok(values)
    }

    fn raw_values(
        &self,
        tensor: &str,
        shape: &[usize],
        notes: &mut Notes,
    ) -> Result<Vec<f32>, Error> {
        let dtype = self.float_dtype(tensor)?;
        self.begin(tensor, shape, notes)?;
        let mut values = vec![0.0; shape.iter().product()];
        let mut bytes = Vec::new();
        let mut start = 0;
        for piece in values.chunks_mut(PIECE_BYTES / dtype.size()) {
            bytes.resize(piece.len() * dtype.size(), 0);
            self.checkpoint.read_at(tensor, start, &mut bytes)?;
            dtype.widen(&bytes, piece);
            start += bytes.len() as u64;
        }
        Ok(values)
    }

    /// Counts a tensor that stays float by its type.
    fn count(&self, tensor: &str, notes: &mut Notes) -> Result<(), Error> {
        let kind = self.dtype(tensor)?.to_string();
        *notes.types.entry(kind).or_default() += 1;
        Ok(())
    }

    fn dtype(&self, tensor: &str) -> Result<Dtype, Error> {
        let info = self.checkpoint.info(tensor);
        info.map(|info| info.dtype)
            .ok_or_else(|| Error::MissingTensor {
                tensor: tensor.to_owned(),
            })
    }

    fn float_dtype(&self, tensor: &str) -> Result<Dtype, Error> {
        let dtype = self.dtype(tensor)?;
        if dtype.is_float() {
            return Ok(dtype);
        }
        Err(Error::Dtype {
            tensor: tensor.to_owned(),
            expected: "F32, F16 or BF16".to_owned(),
            found: dtype.to_string(),
        })
    }

    /// Checks the shape and marks the tensor as used.
    fn begin(&self, tensor: &str, expected: &[usize], notes: &mut Notes) -> Result<(), Error> {
        let info = self.checkpoint.info(tensor);
        let found = &info.expect("its type was asked before").shape;
        if found != expected {
            return Err(Error::Shape {
                tensor: tensor.to_owned(),
                expected: expected.to_owned(),
                found: found.clone(),
            });
        }
        notes.read.push(tensor.to_owned());
        Ok(())
    }
}
