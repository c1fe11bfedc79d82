//! Tensors of a GGUF, read into the form the engine takes.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::blocks;
use super::codes;
use super::keys::{self, Architecture, Keys};
use super::kind::GgmlType;
use super::reader::{Gguf, TensorInfo};
use crate::model::checks;
use crate::model::config::{Family, ModelConfig, Quantization};
use crate::model::witness;
use crate::model::{Error, HeadStorage, I2sLayout, LayerWeights, LoadOptions, Table, Weights};
use crate::units::Sha256;

/// Bytes of a table read at a time by one thread.
pub(super) const PIECE_BYTES: usize = 2 << 20;

/// Bytes of a 4-bit tensor that tell whether it is ternary: ordinary weights fail in the first
/// block. Blocks behind them are looked at when the tensor is read; one that is not ternary is an
/// error then.
const PROBE_BYTES: u64 = 64 << 10;

/// Projections of a layer: name here, below `blk.N.`.
pub(super) const PROJECTIONS: [&str; 7] = [
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

/// What kind of model a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Detected {
    /// Every projection ternary, run by the project's own kernels.
    Ternary(Ternary),
    /// An ordinary quantized model of a family, run through candle.
    Plain(Family),
}

/// A ternary model of an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) struct Ternary(pub(super) Architecture);

/// A model with what was learned while reading it.
pub(in crate::model) struct Loaded {
    pub(in crate::model) config: ModelConfig,
    pub(in crate::model) weights: Weights,
    /// `gguf-` and the type of the projections, or `masters`.
    pub(in crate::model) container: &'static str,
    /// Where the scales stand, or what asks to compute them.
    pub(in crate::model) scale_source: &'static str,
    /// What decided the activation.
    pub(in crate::model) act_source: &'static str,
    /// Number of tensors by type; scales are not counted.
    pub(in crate::model) types: BTreeMap<String, usize>,
    pub(in crate::model) warnings: Vec<String>,
}

/// Tells ternary models from ordinary ones, by architecture and the types of the projections.
///
/// # Errors
/// [`Error::UnreadType`], [`Error::Unsupported`] for what is neither, [`Error::MissingKey`], [`Error::BadKey`],
/// [`Error::Io`].
pub(in crate::model) fn detect(gguf: &Gguf, options: &LoadOptions) -> Result<Detected, Error> {
    let keys = Keys::of(gguf)?;
    for (name, info) in &gguf.tensors {
        if let Some(advice) = info.kind.refusal() {
            return Err(Error::UnreadType {
                path: gguf.path().to_owned(),
                tensor: name.escape_debug().to_string(),
                kind: info.kind.to_string(),
                advice: advice.to_owned(),
            });
        }
    }
    let architecture = match keys.architecture() {
        "bitnet" => Architecture::BitNet,
        "bitnet-b1.58" | "bitnet-25" => Architecture::BitNet2B4T,
        "llama" => Architecture::Llama,
        name @ ("qwen2" | "qwen3") => {
            let is_ternary_only =
                |kind: GgmlType| codes::may_be_ternary(kind) && kind != GgmlType::Q4_0;
            return match projections(gguf).find(|(_, info)| is_ternary_only(info.kind)) {
                None => Ok(Detected::Plain(match name {
                    "qwen2" => Family::Qwen2,
                    _ => Family::Qwen3,
                })),
                Some((_, info)) => Err(keys.unsupported(format!(
                    "architecture `{name}` with ternary weights ({})",
                    info.kind
                ))),
            };
        }
        other => {
            let name = other.escape_debug();
            return Err(keys.unsupported(format!("architecture `{name}`")));
        }
    };
    let is_ternary = architecture != Architecture::Llama
        || options.is_online == Some(true) && has_float_projections(gguf)
        || has_ternary_projections(gguf, options)?;
    Ok(if is_ternary {
        Detected::Ternary(Ternary(architecture))
    } else {
        Detected::Plain(Family::Llama)
    })
}

/// The projections that are there.
pub(super) fn projections(gguf: &Gguf) -> impl Iterator<Item = (&str, &TensorInfo)> {
    let is_projection = |name: &str| {
        let part = name.strip_prefix("blk.").and_then(|name| {
            let (_, part) = name.split_once('.')?;
            part.strip_suffix(".weight")
        });
        part.is_some_and(|part| PROJECTIONS.contains(&part))
    };
    gguf.tensors
        .iter()
        .filter(move |(name, _)| is_projection(name))
        .map(|(name, info)| (name.as_str(), info))
}

/// Whether every projection is stored as floats, so that it can be a master.
fn has_float_projections(gguf: &Gguf) -> bool {
    projections(gguf).all(|(_, info)| keys::is_float(info.kind))
}

/// Whether every projection is of a ternary type, or of 4 bits with three values only.
fn has_ternary_projections(gguf: &Gguf, options: &LoadOptions) -> Result<bool, Error> {
    let mut buffer = Vec::new();
    let mut n = 0;
    for (name, info) in projections(gguf) {
        n += 1;
        if !codes::may_be_ternary(info.kind) {
            return Ok(false);
        }
        if info.kind == GgmlType::Q4_0 {
            let (_, block) = info.kind.block().expect("the type has blocks");
            let probe = info.bytes.min(PROBE_BYTES / block * block);
            buffer.resize(usize::try_from(probe).expect("a probe is short"), 0);
            gguf.read(name, 0, &mut buffer)?;
            if codes::extract(info.kind, options.i2s_layout, &buffer).is_err() {
                return Ok(false);
            }
        }
    }
    Ok(n > 0)
}

/// Reads every tensor of a ternary model.
///
/// * `release`: identity of the files, which chooses what is read a second time
///
/// # Errors
/// Every variant of [`Error`] about keys and tensors.
pub(in crate::model) fn load(
    gguf: &Gguf,
    Ternary(architecture): Ternary,
    options: &LoadOptions,
    release: &Sha256,
) -> Result<Loaded, Error> {
    let keys::Read {
        mut config,
        act_source,
        mut warnings,
    } = keys::config(gguf, architecture)?;
    let is_online = options.is_online == Some(true);
    if is_online {
        config.quantization = Quantization::Online;
    }
    let loader = Loader {
        gguf,
        config: &config,
        layout: options.i2s_layout,
        is_permuted: architecture == Architecture::Llama,
        witnessed: witness::chosen(release, config.n_layers * PROJECTIONS.len()),
    };
    loader.check_names()?;
    let kinds = loader.projection_kinds();
    let weights = loader.weights(options.head, &mut warnings)?;
    let is_i2s = kinds.contains(&GgmlType::I2S);
    if architecture == Architecture::Llama && !is_i2s {
        warnings.push(
            "the file does not say whether activations were trained in 8 bits: 8 assumed"
                .to_owned(),
        );
    }
    let scale_source = match loader.n_scales() {
        _ if is_online => "quantization_mode",
        0 => "blocks",
        _ => "scale tensors",
    };
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for (_, info) in gguf.tensors.iter().filter(|(name, _)| !is_scale(name)) {
        *types.entry(info.kind.to_string()).or_default() += 1;
    }
    Ok(Loaded {
        container: if is_online {
            "gguf-masters"
        } else {
            container(&kinds, options.i2s_layout)
        },
        scale_source,
        act_source,
        types,
        warnings,
        weights,
        config,
    })
}

/// The card's name of the container.
pub(super) fn container(kinds: &BTreeSet<GgmlType>, layout: I2sLayout) -> &'static str {
    let mut kinds = kinds.iter();
    match (kinds.next(), kinds.next(), layout) {
        (Some(GgmlType::I2S), None, I2sLayout::Blocks128) => "gguf-i2_s",
        (Some(GgmlType::I2S), None, I2sLayout::Blocks64) => "gguf-i2_s (blocks of 64)",
        (Some(GgmlType::TQ1_0), None, _) => "gguf-tq1_0",
        (Some(GgmlType::TQ2_0), None, _) => "gguf-tq2_0",
        (Some(GgmlType::Q2_0 | GgmlType::Q2_0Wide), None, _) => "gguf-q2_0",
        (Some(GgmlType::Q4_0), None, _) => "gguf-q4_0",
        (Some(GgmlType::Q4_1), None, _) => "gguf-q4_1",
        (Some(GgmlType::Q5_0), None, _) => "gguf-q5_0",
        (Some(GgmlType::Q5_1), None, _) => "gguf-q5_1",
        (Some(GgmlType::Q8_0), None, _) => "gguf-q8_0",
        (Some(GgmlType::Q2K), None, _) => "gguf-q2_k",
        (Some(GgmlType::Q3K), None, _) => "gguf-q3_k",
        (Some(GgmlType::Q4K), None, _) => "gguf-q4_k",
        (Some(GgmlType::Q5K), None, _) => "gguf-q5_k",
        (Some(GgmlType::Q6K), None, _) => "gguf-q6_k",
        (Some(GgmlType::F32 | GgmlType::F16 | GgmlType::BF16), None, _) => "gguf-float",
        _ => "gguf-mixed",
    }
}

/// Whether a tensor is the scale of a projection.
fn is_scale(name: &str) -> bool {
    let last = name
        .strip_prefix("blk.")
        .and_then(|rest| rest.rsplit('.').next());
    last == Some("scale")
}

/// Reads tensors as the configuration expects them.
pub(super) struct Loader<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) config: &'a ModelConfig,
    pub(super) layout: I2sLayout,
    /// Whether q and k have the row order of interleaved rotary pairs.
    pub(super) is_permuted: bool,
    /// Numbers of the projections that are read a second time.
    pub(super) witnessed: Vec<usize>,
}

impl Loader<'_> {
    /// Every expected tensor is there, and no other.
    pub(super) fn check_names(&self) -> Result<(), Error> {
        let mut unread: BTreeSet<&str> = self.gguf.tensors.keys().map(String::as_str).collect();
        let mut need = |name: &str| {
            if unread.remove(name) {
                return Ok(());
            }
            Err(Error::MissingTensor {
                tensor: name.to_owned(),
            })
        };
        need("token_embd.weight")?;
        need("output_norm.weight")?;
        if !self.config.is_head_tied {
            need("output.weight")?;
        }
        let sub_norms: &[&str] = if self.config.has_sub_norms() {
            &["attn_sub_norm", "ffn_sub_norm"]
        } else {
            &[]
        };
        for n in 0..self.config.n_layers {
            for part in ["attn_norm", "ffn_norm"].iter().chain(sub_norms) {
                need(&format!("blk.{n}.{part}.weight"))?;
            }
            for part in PROJECTIONS {
                need(&format!("blk.{n}.{part}.weight"))?;
                // A scale beside the weights is optional.
                let _ = need(&format!("blk.{n}.{part}.scale"));
            }
        }
        match unread.pop_first() {
            None => Ok(()),
            Some(tensor) => Err(Error::UnknownTensor {
                tensor: tensor.escape_debug().to_string(),
                family: self.config.family.to_string(),
            }),
        }
    }

    pub(super) fn projection_kinds(&self) -> BTreeSet<GgmlType> {
        projections(self.gguf).map(|(_, info)| info.kind).collect()
    }

    fn n_scales(&self) -> usize {
        let names = self.gguf.tensors.keys();
        names.filter(|name| is_scale(name)).count()
    }

    fn weights(&self, head: HeadStorage, warnings: &mut Vec<String>) -> Result<Weights, Error> {
        let config = self.config;
        let embedding = self.table("token_embd.weight", checks::embedding_storage(config, head))?;
        let own_head = (!config.is_head_tied)
            .then(|| self.table("output.weight", head))
            .transpose()?;
        // Matrices are independent of each other: all of them at once; what is wrong is reported
        // as if they had been read in order.
        let mut matrices = (0..config.n_layers * PROJECTIONS.len())
            .into_par_iter()
            .map(|number| self.projection(number))
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<Vec<_>, Error>>()?
            .into_iter();
        let mut layers = Vec::with_capacity(config.n_layers);
        for n in 0..config.n_layers {
            let mut next = || {
                let (matrix, found) = matrices.next().expect("each layer has seven projections");
                warnings.extend(found);
                matrix
            };
            layers.push(LayerWeights {
                q: next(),
                k: next(),
                v: next(),
                o: next(),
                gate: next(),
                up: next(),
                down: next(),
                input_norm: self.gains(&format!("blk.{n}.attn_norm"), config.hidden_size)?,
                post_norm: self.gains(&format!("blk.{n}.ffn_norm"), config.hidden_size)?,
                attn_sub_norm: self
                    .sub_norm(&format!("blk.{n}.attn_sub_norm"), config.q_width())?,
                ffn_sub_norm: self
                    .sub_norm(&format!("blk.{n}.ffn_sub_norm"), config.intermediate_size)?,
            });
        }
        Ok(Weights {
            embedding,
            head: own_head,
            final_norm: self.gains("output_norm", config.hidden_size)?,
            layers,
        })
    }

    pub(super) fn gains(&self, name: &str, width: usize) -> Result<Vec<f32>, Error> {
        let tensor = format!("{name}.weight");
        let values = self.values(&tensor, &[width])?;
        checks::gains(&tensor, values)
    }

    fn sub_norm(&self, name: &str, width: usize) -> Result<Option<Vec<f32>>, Error> {
        self.config
            .has_sub_norms()
            .then(|| self.gains(name, width))
            .transpose()
    }

    /// A small float tensor, every value finite.
    pub(super) fn values(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let info = self.info(tensor, shape)?;
        if !keys::is_float(info.kind) {
            return Err(Error::Dtype {
                tensor: tensor.to_owned(),
                expected: "F32, F16 or BF16".to_owned(),
                found: info.kind.to_string(),
            });
        }
        let mut bytes = vec![0; bytes_of(info)];
        self.gguf.read(tensor, 0, &mut bytes)?;
        let mut values = vec![0.0; shape.iter().product()];
        blocks::decode(info.kind, &bytes, &mut values);
        checks::finite(tensor, 0, &values)?;
        Ok(values)
    }

    /// Place and type of a table that can be decoded.
    pub(super) fn table_info(&self, tensor: &str) -> Result<&TensorInfo, Error> {
        let shape = [self.config.vocab_size, self.config.hidden_size];
        let info = self.info(tensor, &shape)?;
        if blocks::is_decodable(info.kind) {
            return Ok(info);
        }
        Err(Error::Dtype {
            tensor: tensor.to_owned(),
            expected: "F32, F16, BF16, Q4_0, Q8_0, Q4_K or Q6_K".to_owned(),
            found: info.kind.to_string(),
        })
    }

    /// A table of rows; pieces of a few MiB are read and decoded by all threads, so the whole
    /// never exists as floats.
    fn table(&self, tensor: &str, storage: HeadStorage) -> Result<Table, Error> {
        let info = self.table_info(tensor)?;
        let (n_rows, width) = (self.config.vocab_size, self.config.hidden_size);
        let row_bytes = bytes_of(info) / n_rows;
        let mut table = Table::zeroed(storage, n_rows, width);
        table
            .pieces((PIECE_BYTES / row_bytes).max(1))
            .into_par_iter()
            .try_for_each_init(
                || (Vec::new(), vec![0.0; width]),
                |(bytes, values), mut piece| {
                    bytes.resize(piece.n_rows() * row_bytes, 0);
                    let first = piece.first();
                    self.gguf.read(tensor, (first * row_bytes) as u64, bytes)?;
                    for (row, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
                        blocks::decode(info.kind, bytes, values);
                        checks::finite(tensor, (first + row) * width, values)?;
                        piece.set(row, values);
                    }
                    Ok(())
                },
            )?;
        Ok(table)
    }

    /// A tensor whose shape, outermost dimension first, is the one expected.
    pub(super) fn info(&self, tensor: &str, expected: &[usize]) -> Result<&TensorInfo, Error> {
        let info = &self.gguf.tensors[tensor];
        let found = info.shape();
        if found == expected {
            return Ok(info);
        }
        Err(Error::Shape {
            tensor: tensor.to_owned(),
            expected: expected.to_owned(),
            found,
        })
    }
}

/// Rows and columns a projection must have, as in other formats.
pub(super) fn shape_of(config: &ModelConfig, projection: &str) -> [usize; 2] {
    let (hidden, inter) = (config.hidden_size, config.intermediate_size);
    match projection {
        "attn_q" => [config.q_width(), hidden],
        "attn_k" | "attn_v" => [config.kv_width(), hidden],
        "attn_output" => [hidden, config.q_width()],
        "ffn_gate" | "ffn_up" => [inter, hidden],
        _ => [hidden, inter],
    }
}

pub(super) fn bytes_of(info: &TensorInfo) -> usize {
    usize::try_from(info.bytes).expect("sizes were checked against the file")
}
