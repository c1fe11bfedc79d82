//! `config.json` as on disk, turned into the shape the engine runs.
//!
//! Keys without a safe default are required: the class defaults of transformers differ from the
//! published files. Unknown keys of `quantization_config` are refused, because newer BitNet
//! variants announce themselves there and compute differently.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use super::Error;

/// Model family, by architecture and quantization method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `BitNetForCausalLM`: norms before the output and down projections.
    BitNet,
    /// `LlamaForCausalLM` with BitNet projections; no such norms.
    LlamaBitNet,
    /// Llama as it is, of any quantization but ternary.
    Llama,
    /// Qwen 2 and 2.5: biases beside q, k and v.
    Qwen2,
    /// Qwen 3: norms on every head of q and k.
    Qwen3,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BitNet => "bitnet",
            Self::LlamaBitNet => "llama-bitnet",
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        })
    }
}

/// Function applied to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(z, 0)^2`
    Relu2,
    /// `z / (1 + e^-z)`
    Silu,
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relu2 => "relu2",
            Self::Silu => "silu",
        })
    }
}

/// What `weight_scale` holds. The key `linear_class` decides, never the magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleConvention {
    /// The scale s: a weight is `T * weight_scale`.
    Direct,
    /// Its reciprocal: a weight is `T / weight_scale`.
    Inverse,
}

impl fmt::Display for ScaleConvention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Inverse => "inverse",
        })
    }
}

/// How the projections are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// Quantized before saving; `weight_scale` follows the convention.
    Offline {
        /// What `weight_scale` holds.
        convention: ScaleConvention,
        /// Whether `linear_class` said so, or its default did.
        is_stated: bool,
    },
    /// Float masters, quantized once at load.
    Online,
    /// No `quantization_config`: a ternary family holds float weights that are ternary already;
    /// others are run as stored.
    Unstated,
}

/// Hyper-parameters as the engine uses them.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Model family.
    pub family: Family,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head, even.
    pub head_dim: usize,
    /// Function applied to the gate.
    pub act: Activation,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f32,
    /// Longest context, in tokens.
    pub max_positions: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether the embedding table is also the head.
    pub is_head_tied: bool,
    /// Storage of the projections.
    pub quantization: Quantization,
    /// Beginning-of-sequence id, where declared; may lie outside the vocabulary.
    pub bos_id: Option<u32>,
    /// End ids, where declared; may lie outside the vocabulary.
    pub eos_ids: Vec<u32>,
}

impl ModelConfig {
    /// Whether norms stand before the output and down projections.
    pub fn has_sub_norms(&self) -> bool {
        self.family == Family::BitNet
    }

    /// Width of all query heads together.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Query heads that share one key head.
    pub fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Width of all key heads together.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }

    /// Reads `config.json`.
    ///
    /// * `path`: for messages only
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::MissingKey`], [`Error::BadKey`], [`Error::UnknownQuantization`],
    /// [`Error::Unsupported`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        Self::parse_as(path, bytes, None)
    }

    /// As [`parse`](Self::parse), told whether float projections are masters.
    ///
    /// * `is_online`: decides where the file has no `quantization_mode`; must agree with one
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_as(path: &Path, bytes: &[u8], is_online: Option<bool>) -> Result<Self, Error> {
        let root: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|source| Error::Json {
                path: path.to_owned(),
                source,
            })?;
        let keys = Keys {
            path,
            prefix: "",
            map: &root,
        };
        let quantization = quantization(&keys, is_online)?;
        let family = family(&keys, quantization)?;
        for key in ["attention_bias", "mlp_bias"] {
            if root
                .get(key)
                .is_some_and(|v| *v != Value::Bool(false) && !v.is_null())
            {
                return Err(keys.unsupported(format!("`{key}`")));
            }
        }

        let hidden_size = keys.count("hidden_size")?;
        let n_heads = keys.count("num_attention_heads")?;
        let n_kv_heads = keys
            .optional_count("num_key_value_heads")?
            .unwrap_or(n_heads);
        if n_heads % n_kv_heads != 0 {
            let expected = format!("a divisor of the {n_heads} heads");
            return Err(keys.bad("num_key_value_heads", &expected, n_kv_heads));
        }
        let head_dim = match keys.optional_count("head_dim")? {
            Some(width) => width,
            None if hidden_size % n_heads == 0 => hidden_size / n_heads,
            None => return Err(keys.missing("head_dim")),
        };
        if head_dim % 2 != 0 {
            return Err(keys.bad("head_dim", "an even number", head_dim));
        }
        let act = match keys.text("hidden_act")? {
            "relu2" => Activation::Relu2,
            "silu" => Activation::Silu,
            other => return Err(keys.bad("hidden_act", "relu2 or silu", other)),
        };
        let eps = keys.positive("rms_norm_eps")?;
        Ok(Self {
            family,
            vocab_size: keys.count("vocab_size")?,
            hidden_size,
            intermediate_size: keys.count("intermediate_size")?,
            n_layers: keys.count("num_hidden_layers")?,
            n_heads,
            n_kv_heads,
            head_dim,
            act,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the reference computes in f32"
            )]
            rms_norm_eps: eps as f32,
            max_positions: keys.count("max_position_embeddings")?,
            rope_theta: rope_theta(&keys)?,
            is_head_tied: keys.flag("tie_word_embeddings")?,
            quantization,
            bos_id: keys.ids("bos_token_id")?.first().copied(),
            eos_ids: keys.ids("eos_token_id")?,
        })
    }
}

/// Family from `architectures` and `model_type`, which must agree.
fn family(keys: &Keys<'_>, quantization: Quantization) -> Result<Family, Error> {
    let model_type = keys.text("model_type")?;
    let architecture = match keys.map.get("architectures") {
        None | Some(Value::Null) => return Err(keys.missing("architectures")),
        Some(Value::Array(names)) if names.len() == 1 => names[0].as_str().unwrap_or_default(),
        Some(other) => return Err(keys.bad("architectures", "a list of one name", other)),
    };
    match (architecture, model_type) {
        // The second are the 1bitLLM checkpoints, which came with code of their own.
        ("BitNetForCausalLM", "bitnet") | ("BitnetForCausalLM", "llama" | "bitnet") => {
            Ok(Family::BitNet)
        }
        ("LlamaForCausalLM", "llama") if quantization != Quantization::Unstated => {
            Ok(Family::LlamaBitNet)
        }
        ("LlamaForCausalLM", "llama") => {
            Err(keys.unsupported("a llama model without quant_method `bitnet`".to_owned()))
        }
        _ => Err(keys.unsupported(format!(
            "architecture `{architecture}` with model_type `{model_type}`"
        ))),
    }
}

/// The `quantization_config` object, every key of it understood, or what stands for it.
fn quantization(keys: &Keys<'_>, is_online: Option<bool>) -> Result<Quantization, Error> {
    let map = match keys.map.get("quantization_config") {
        None | Some(Value::Null) => return unquantized(keys, is_online),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(keys.bad("quantization_config", "an object", other)),
    };
    let inner = Keys {
        path: keys.path,
        prefix: "quantization_config.",
        map,
    };
    let known = [
        "quant_method",
        "linear_class",
        "quantization_mode",
        "modules_to_not_convert",
        "use_rms_norm",
        "rms_norm_eps",
    ];
    if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Error::UnknownQuantization {
            path: keys.path.to_owned(),
            key: key.clone(),
        });
    }
    let method = inner.text("quant_method")?;
    if method != "bitnet" {
        return Err(keys.unsupported(format!("quant_method `{method}`")));
    }
    if inner.optional_flag("use_rms_norm")?.unwrap_or(false) {
        return Err(keys.unsupported("`quantization_config.use_rms_norm`".to_owned()));
    }
    check_kept_modules(&inner)?;
    let class = inner.optional_text("linear_class")?;
    let convention = match class {
        None | Some("bitlinear") => ScaleConvention::Inverse,
        Some("autobitlinear") => ScaleConvention::Direct,
        Some(other) => return Err(inner.bad("linear_class", "bitlinear or autobitlinear", other)),
    };
    let offline = Quantization::Offline {
        convention,
        is_stated: class.is_some(),
    };
    let key = "quantization_mode";
    let mode = match inner.optional_text(key)? {
        None if is_online == Some(true) => Quantization::Online,
        None | Some("offline") => offline,
        Some("online") => Quantization::Online,
        Some(other) => return Err(inner.bad(key, "offline or online", other)),
    };
    match (is_online, mode) {
        (Some(false), Quantization::Online) => {
            Err(inner.bad(key, "offline, as the manifest says", "online"))
        }
        (Some(true), Quantization::Offline { .. }) => {
            Err(inner.bad(key, "online, as the manifest says", "offline"))
        }
        _ => Ok(mode),
    }
}

/// What files without `quantization_config` say in other ways.
fn unquantized(keys: &Keys<'_>, is_online: Option<bool>) -> Result<Quantization, Error> {
    let bits = [("weight_bits", 1), ("input_bits", 8)];
    for (key, expected) in bits {
        if let Some(found) = keys.optional_count(key)?
            && found != expected
        {
            return Err(keys.bad(key, &expected.to_string(), found));
        }
    }
    let is_marked = keys.optional_flag("is_bitnet_config")?.unwrap_or(false);
    let has_bits = keys.get("weight_bits").is_some();
    // 1bitLLM checkpoints are masters; the tools behind `is_bitnet_config` pack with the
    // reciprocal of the scale, as everything without `linear_class` does.
    let marked = Quantization::Offline {
        convention: ScaleConvention::Inverse,
        is_stated: false,
    };
    Ok(match is_online {
        Some(true) => Quantization::Online,
        None if has_bits => Quantization::Online,
        _ if is_marked => marked,
        _ => Quantization::Unstated,
    })
}

/// Only the head may be left unquantized; a float projection would need another product.
fn check_kept_modules(keys: &Keys<'_>) -> Result<(), Error> {
    let key = "modules_to_not_convert";
    match keys.map.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(names)) if names.iter().all(|name| name == "lm_head") => Ok(()),
        Some(other) => Err(keys.bad(key, "[\"lm_head\"]", other)),
    }
}

/// Base of the rotary frequencies, from either of the two places it is written.
fn rope_theta(keys: &Keys<'_>) -> Result<f64, Error> {
    if let Some(Value::Object(map)) = keys.map.get("rope_scaling") {
        let inner = Keys {
            path: keys.path,
            prefix: "rope_scaling.",
            map,
        };
        let kind = match inner.optional_text("rope_type")? {
            Some(kind) => kind,
            None => inner.text("type")?,
        };
        if kind != "default" {
            return Err(keys.unsupported(format!("rope_type `{kind}`")));
        }
    }
    match keys.map.get("rope_parameters") {
        None | Some(Value::Null) => keys.positive("rope_theta"),
        Some(Value::Object(map)) => {
            let inner = Keys {
                path: keys.path,
                prefix: "rope_parameters.",
                map,
            };
            let theta = match inner.optional_text("rope_type")? {
                None | Some("default") => inner.positive("rope_theta")?,
                Some(kind) => return Err(keys.unsupported(format!("rope_type `{kind}`"))),
            };
            // Neither may be believed where they contradict each other.
            match keys.map.get("rope_theta") {
                None | Some(Value::Null) => Ok(theta),
                Some(_) if keys.positive("rope_theta")?.to_bits() == theta.to_bits() => Ok(theta),
                Some(other) => {
                    let expected = format!("{theta}, as `rope_parameters.rope_theta`");
                    Err(keys.bad("rope_theta", &expected, other))
                }
            }
        }
        Some(other) => Err(keys.bad("rope_parameters", "an object", other)),
    }
}

/// Typed access to one JSON object, with errors that name file and key.
pub(super) struct Keys<'a> {
    pub(super) path: &'a Path,
    pub(super) prefix: &'a str,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn missing(&self, key: &str) -> Error {
        Error::MissingKey {
            path: self.path.to_owned(),
            key: format!("{}{key}", self.prefix),
        }
    }

    fn bad(&self, key: &str, expected: &str, found: impl fmt::Display) -> Error {
        Error::BadKey {
            path: self.path.to_owned(),
            key: format!("{}{key}", self.prefix),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }

    fn unsupported(&self, what: String) -> Error {
        Error::Unsupported {
            path: self.path.to_owned(),
            what,
        }
    }

    /// The value of a key; JSON null counts as absent.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A whole number above 0, where present. Sizes stay below 2^31, so products of two fit u64.
    fn optional_count(&self, key: &str) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value
            .as_u64()
            .and_then(|n| i32::try_from(n).ok())
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0)
            .map(Some)
            .ok_or_else(|| self.bad(key, "a whole number from 1 to 2147483647", value))
    }

    fn count(&self, key: &str) -> Result<usize, Error> {
        self.optional_count(key)?.ok_or_else(|| self.missing(key))
    }

    fn positive(&self, key: &str) -> Result<f64, Error> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        value
            .as_f64()
            .filter(|x| *x > 0.0 && x.is_finite())
            .ok_or_else(|| self.bad(key, "a number above 0", value))
    }

    /// A text, where present.
    pub(super) fn optional_text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| self.bad(key, "a text", value))
    }

    fn text(&self, key: &str) -> Result<&'a str, Error> {
        self.optional_text(key)?.ok_or_else(|| self.missing(key))
    }

    fn optional_flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| self.bad(key, "true or false", value))
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        self.optional_flag(key)?.ok_or_else(|| self.missing(key))
    }

    /// Token ids written as a number or a list of numbers; empty when absent.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let list = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        list.iter()
            .map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
            .collect::<Option<Vec<u32>>>()
            .ok_or_else(|| self.bad(key, "a token id or a list of them", value))
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
