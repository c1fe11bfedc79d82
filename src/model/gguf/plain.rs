//! Ordinary quantized models: checked from end to end here, computed by an engine over candle.
//!
//! candle looks tensors up by name and takes what it finds, so everything it would pass over in
//! silence is refused first: names that fit nothing, biases and rotary factors it has no use for,
//! keys that change what is computed. Source of names and shapes: llama.cpp, `llama-arch.cpp` and
//! `llama-model.cpp`.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::keys::{self, Architecture, Keys};
use super::kind::GgmlType;
use super::load::{PIECE_BYTES, PROJECTIONS, bytes_of, container, projections, shape_of};
use super::reader::{Gguf, TensorInfo};
use super::{blocks, codes};
use crate::model::config::{Activation, Family, ModelConfig};
use crate::model::{Error, I2sLayout, checks};

/// Longest context that is run, in tokens. candle's tables for `llama` end here, and the others
/// allocate theirs for as many positions as they are told.
pub const MAX_POSITIONS: usize = 4096;

/// Keys below the architecture that change what is computed, in ways candle does not know.
const VARIANTS: &[&str] = &[
    "attention.scale",
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "embedding_scale",
    "residual_scale",
    "use_parallel_residual",
    "pooling_type",
    "classifier.output_labels",
];

/// A plain model, its files still open; every tensor was checked.
#[derive(Debug)]
pub struct PlainModel {
    /// Hyper-parameters; the family is one of [`Family::Llama`], [`Family::Qwen2`] and
    /// [`Family::Qwen3`], the context at most [`MAX_POSITIONS`].
    pub config: ModelConfig,
    gguf: Gguf,
}

impl PlainModel {
    /// Keeps the files to read the weights from, without their metadata: a vocabulary is large.
    pub(in crate::model) fn new(config: ModelConfig, mut gguf: Gguf) -> Self {
        gguf.metadata = BTreeMap::new();
        Self { config, gguf }
    }

    /// Its files, the metadata left out.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }
}

/// A plain model with what was learned while checking it.
pub(in crate::model) struct Checked {
    pub(in crate::model) config: ModelConfig,
    /// `gguf-` and the type of the projections.
    pub(in crate::model) container: &'static str,
    /// What decided the activation.
    pub(in crate::model) act_source: &'static str,
    /// Number of tensors by type.
    pub(in crate::model) types: BTreeMap<String, usize>,
    pub(in crate::model) n_parameters: usize,
    pub(in crate::model) warnings: Vec<String>,
}

/// What a tensor is for; decides its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Embedding table, head or projection.
    Matrix,
    Gains,
    Bias,
}

/// A tensor the family has, with its shape, outermost dimension first.
struct Expected {
    name: String,
    shape: Vec<usize>,
    role: Role,
}

/// Checks configuration, names, shapes, types and every value.
///
/// # Errors
/// Every variant of [`Error`] about keys and tensors.
pub(in crate::model) fn check(gguf: &Gguf, family: Family) -> Result<Checked, Error> {
    let keys = Keys::of(gguf)?;
    let keys::Read {
        mut config,
        act_source,
        mut warnings,
    } = keys::config(gguf, Architecture::Plain(family))?;
    refuse_variants(&keys, &config)?;
    if config.max_positions > MAX_POSITIONS {
        warnings.push(format!(
            "context of {} tokens cut to {MAX_POSITIONS}",
            config.max_positions
        ));
        config.max_positions = MAX_POSITIONS;
    }
    let expected = expected(&config);
    check_tensors(gguf, &config, &expected)?;
    check_values(gguf, &expected)?;
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for info in gguf.tensors.values() {
        *types.entry(info.kind.to_string()).or_default() += 1;
    }
    let kinds = projections(gguf).map(|(_, info)| info.kind).collect();
    let n_values = |info: &TensorInfo| {
        usize::try_from(info.n_values()).expect("the reader checked that it fits")
    };
    Ok(Checked {
        container: container(&kinds, I2sLayout::default()),
        act_source,
        types,
        n_parameters: gguf.tensors.values().map(n_values).sum(),
        warnings,
        config,
    })
}

/// Refuses what candle would compute differently without a word.
fn refuse_variants(keys: &Keys<'_>, config: &ModelConfig) -> Result<(), Error> {
    if config.act != Activation::Silu {
        return Err(keys.unsupported(format!("activation {} in a plain model", config.act)));
    }
    let mut variants = VARIANTS.iter().map(|key| keys.own(key));
    if let Some(key) = variants.find(|key| keys.get(key).is_some()) {
        return Err(keys.unsupported(format!("`{key}`")));
    }
    let causal = keys.own("attention.causal");
    if keys.flag(&causal)? == Some(false) {
        return Err(keys.unsupported("attention that is not causal".to_owned()));
    }
    if let Some(window) = keys.count("attention.sliding_window")?
        && window < config.max_positions.min(MAX_POSITIONS)
    {
        return Err(keys.unsupported(format!("a sliding window of {window} tokens")));
    }
    let takes_any_width = config.family == Family::Qwen3;
    if !takes_any_width && config.q_width() != config.hidden_size {
        return Err(keys.unsupported(format!(
            "{} heads of {} beside a width of {} in architecture `{}`",
            config.n_heads, config.head_dim, config.hidden_size, config.family
        )));
    }
    Ok(())
}

/// Every tensor of the family.
fn expected(config: &ModelConfig) -> Vec<Expected> {
    let (vocab, hidden) = (config.vocab_size, config.hidden_size);
    let mut all = Vec::new();
    let mut add = |name: String, role, shape: &[usize]| {
        all.push(Expected {
            name,
            shape: shape.to_owned(),
            role,
        });
    };
    add(
        "token_embd.weight".to_owned(),
        Role::Matrix,
        &[vocab, hidden],
    );
    add("output_norm.weight".to_owned(), Role::Gains, &[hidden]);
    if !config.is_head_tied {
        add("output.weight".to_owned(), Role::Matrix, &[vocab, hidden]);
    }
    for n in 0..config.n_layers {
        for part in ["attn_norm", "ffn_norm"] {
            add(format!("blk.{n}.{part}.weight"), Role::Gains, &[hidden]);
        }
        for part in PROJECTIONS {
            let shape = shape_of(config, part);
            add(format!("blk.{n}.{part}.weight"), Role::Matrix, &shape);
            let is_bias = matches!(part, "attn_q" | "attn_k" | "attn_v");
            if config.family == Family::Qwen2 && is_bias {
                add(format!("blk.{n}.{part}.bias"), Role::Bias, &shape[..1]);
            }
        }
        if config.family == Family::Qwen3 {
            for part in ["attn_q_norm", "attn_k_norm"] {
                add(
                    format!("blk.{n}.{part}.weight"),
                    Role::Gains,
                    &[config.head_dim],
                );
            }
        }
    }
    all
}

/// Every expected tensor is there with its shape and a type of its role, and no other is.
fn check_tensors(gguf: &Gguf, config: &ModelConfig, expected: &[Expected]) -> Result<(), Error> {
    let mut unread: BTreeSet<&str> = gguf.tensors.keys().map(String::as_str).collect();
    for Expected { name, shape, role } in expected {
        let Some(info) = gguf.tensors.get(name) else {
            return Err(Error::MissingTensor {
                tensor: name.clone(),
            });
        };
        unread.remove(name.as_str());
        let found = info.shape();
        if found != *shape {
            return Err(Error::Shape {
                tensor: name.clone(),
                expected: shape.clone(),
                found,
            });
        }
        let (fits, types) = match role {
            Role::Matrix => (
                !codes::may_be_ternary(info.kind) || info.kind == GgmlType::Q4_0,
                "a type that is not ternary, as other projections of the model",
            ),
            Role::Gains | Role::Bias => (keys::is_float(info.kind), "F32, F16 or BF16"),
        };
        let row = info.dims[0];
        if *role == Role::Matrix && takes_pairs(info.kind) && !row.is_multiple_of(64) {
            return Err(Error::Unsupported {
                path: gguf.path().to_owned(),
                what: format!("tensor `{name}` of {} in rows of {row} values", info.kind),
            });
        }
        if !fits {
            return Err(Error::Dtype {
                tensor: name.clone(),
                expected: types.to_owned(),
                found: info.kind.to_string(),
            });
        }
    }
    match unread.pop_first() {
        None => Ok(()),
        Some(tensor) => Err(Error::UnknownTensor {
            tensor: tensor.escape_debug().to_string(),
            family: config.family.to_string(),
        }),
    }
}

/// Whether candle multiplies blocks of this type in pairs only, and panics at an odd one.
fn takes_pairs(kind: GgmlType) -> bool {
    matches!(kind, GgmlType::Q4_1 | GgmlType::Q5_0 | GgmlType::Q5_1)
}

/// Some whole blocks of a tensor.
struct Piece<'a> {
    tensor: &'a Expected,
    info: &'a TensorInfo,
    start: u64,
    n_bytes: usize,
}

/// Every value is finite, and no norm silences everything.
fn check_values(gguf: &Gguf, expected: &[Expected]) -> Result<(), Error> {
    let mut pieces = Vec::new();
    for tensor in expected {
        let info = &gguf.tensors[&tensor.name];
        let (_, block) = info.kind.block().expect("types without blocks are refused");
        let block = usize::try_from(block).expect("a block is short");
        let step = (PIECE_BYTES / block).max(1) * block;
        let n_bytes = bytes_of(info);
        pieces.extend((0..n_bytes).step_by(step).map(|start| Piece {
            tensor,
            info,
            start: start as u64,
            n_bytes: step.min(n_bytes - start),
        }));
    }
    // The first in file order is reported, whichever thread is done first.
    let odd = pieces
        .par_iter()
        .map_init(Vec::new, |buffer, piece| piece.check(gguf, buffer))
        .find_first(Result::is_err);
    odd.unwrap_or(Ok(()))
}

impl Piece<'_> {
    fn check(&self, gguf: &Gguf, buffer: &mut Vec<u8>) -> Result<(), Error> {
        let Self { tensor, info, .. } = self;
        buffer.resize(self.n_bytes, 0);
        gguf.read(&tensor.name, self.start, buffer)?;
        let (values, block) = info.kind.block().expect("types without blocks are refused");
        let first = usize::try_from(self.start / block * values).expect("an index of a value");
        if !keys::is_float(info.kind) {
            return match blocks::odd_scale(info.kind, buffer) {
                None => Ok(()),
                Some((n, value)) => Err(Error::NotFinite {
                    tensor: tensor.name.clone(),
                    index: first + n * usize::try_from(values).expect("a block is short"),
                    value,
                }),
            };
        }
        let n_values = self.n_bytes / usize::try_from(block).expect("a float is short");
        let mut floats = vec![0.0; n_values];
        blocks::decode(info.kind, buffer, &mut floats);
        checks::finite(&tensor.name, first, &floats)?;
        if tensor.role == Role::Gains {
            checks::gains(&tensor.name, floats)?;
        }
        Ok(())
    }
}
