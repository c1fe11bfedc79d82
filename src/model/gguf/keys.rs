//! Metadata of a GGUF turned into the shape the engine runs.

use std::path::Path;

use super::kind::GgmlType;
use super::reader::Gguf;
use super::value::Value;
use crate::model::Error;
use crate::model::config::{Activation, Family, ModelConfig, Quantization, ScaleConvention};

/// Longest name of an architecture, a rule or a function, in bytes.
const LONGEST_WORD: usize = 200;

/// Architectures that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    /// `bitnet`, written by converters of 2024 and of 2026 for different activations.
    BitNet,
    /// `bitnet-b1.58` and `bitnet-25`, the published 2B-4T files.
    BitNet2B4T,
    /// `llama` with ternary weights, without norms before the output and down projections.
    Llama,
    /// One whose weights are not ternary.
    Plain(Family),
}

/// Typed access to metadata, with errors that name file and key.
pub(super) struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    /// Access to the keys of the file's architecture.
    pub(super) fn of(gguf: &'a Gguf) -> Result<Self, Error> {
        let mut keys = Self {
            gguf,
            architecture: "",
        };
        keys.architecture =
            keys.needed("general.architecture", keys.word("general.architecture")?)?;
        Ok(keys)
    }

    pub(super) fn architecture(&self) -> &'a str {
        self.architecture
    }

    fn path(&self) -> &Path {
        self.gguf.path()
    }

    /// The full name of a key of this architecture.
    pub(super) fn own(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.gguf.metadata.get(key)
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| Error::MissingKey {
            path: self.path().to_owned(),
            key: key.to_owned(),
        })
    }

    pub(super) fn bad(&self, key: &str, expected: &str, found: &impl ToString) -> Error {
        Error::BadKey {
            path: self.path().to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }

    pub(super) fn unsupported(&self, what: String) -> Error {
        Error::Unsupported {
            path: self.path().to_owned(),
            what,
        }
    }

    /// A text, where present.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| self.bad(key, "a text", value));
        self.get(key).map(read).transpose()
    }

    /// A text that names something, where present; it stands in messages, so it is short.
    pub(super) fn word(&self, key: &str) -> Result<Option<&'a str>, Error> {
        let text = self.text(key)?;
        if let (Some(value), true) = (self.get(key), text.is_some_and(|t| t.len() > LONGEST_WORD)) {
            return Err(self.bad(key, "a name of at most 200 bytes", value));
        }
        Ok(text)
    }

    /// A truth value, where present.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let read = |value: &Value| {
            value
                .as_bool()
                .ok_or_else(|| self.bad(key, "true or false", value))
        };
        self.get(key).map(read).transpose()
    }

    /// A token id, where present.
    pub(super) fn id(&self, key: &str) -> Result<Option<u32>, Error> {
        let read = |value: &Value| {
            value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| self.bad(key, "a token id", value))
        };
        self.get(key).map(read).transpose()
    }

    /// A whole number above 0, where present. Sizes stay below 2^31, so products of two fit u64.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        let key = self.own(key);
        let read = |value: &Value| {
            value
                .as_u64()
                .and_then(|n| i32::try_from(n).ok())
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > 0)
                .ok_or_else(|| self.bad(&key, "a whole number from 1 to 2147483647", value))
        };
        self.get(&key).map(read).transpose()
    }

    fn needed_count(&self, key: &str) -> Result<usize, Error> {
        self.needed(&self.own(key), self.count(key)?)
    }

    /// A number above 0, where present.
    fn positive(&self, key: &str) -> Result<Option<f64>, Error> {
        let key = self.own(key);
        let read = |value: &Value| {
            value
                .as_f64()
                .filter(|x| x.is_finite() && *x > 0.0)
                .ok_or_else(|| self.bad(&key, "a number above 0", value))
        };
        self.get(&key).map(read).transpose()
    }
}

/// A configuration with what had to be inferred.
pub(super) struct Read {
    pub(super) config: ModelConfig,
    pub(super) act_source: &'static str,
    pub(super) warnings: Vec<String>,
}

/// Hyper-parameters of a model.
///
/// # Errors
/// [`Error::MissingKey`], [`Error::BadKey`], [`Error::Unsupported`], [`Error::MissingTensor`],
/// [`Error::VocabularySize`].
pub(super) fn config(gguf: &Gguf, architecture: Architecture) -> Result<Read, Error> {
    let keys = Keys::of(gguf)?;
    let mut warnings = Vec::new();
    refuse_variants(&keys)?;
    let vocab_size = vocab_size(&keys)?;
    let hidden_size = keys.needed_count("embedding_length")?;
    let n_layers = keys.needed_count("block_count")?;
    let n_heads = keys.needed_count("attention.head_count")?;
    let n_kv_heads = keys.count("attention.head_count_kv")?.unwrap_or(n_heads);
    if !n_heads.is_multiple_of(n_kv_heads) {
        let expected = format!("a divisor of the {n_heads} heads");
        let key = keys.own("attention.head_count_kv");
        return Err(keys.bad(&key, &expected, &n_kv_heads));
    }
    let head_dim = head_dim(&keys, hidden_size, n_heads)?;
    let (act, act_source) = activation(&keys, architecture, n_layers, vocab_size, &mut warnings)?;
    let rope_theta = keys.positive("rope.freq_base")?.unwrap_or_else(|| {
        let key = keys.own("rope.freq_base");
        warnings.push(format!("no key `{key}`: 10000 assumed"));
        10_000.0
    });
    let eps_key = "attention.layer_norm_rms_epsilon";
    let eps = keys.needed(&keys.own(eps_key), keys.positive(eps_key)?)?;
    let mut eos_ids = Vec::new();
    for key in ["eos_token_id", "eot_token_id"] {
        eos_ids.extend(keys.id(&format!("tokenizer.ggml.{key}"))?);
    }
    let config = ModelConfig {
        family: match architecture {
            Architecture::BitNet | Architecture::BitNet2B4T => Family::BitNet,
            Architecture::Llama => Family::LlamaBitNet,
            Architecture::Plain(family) => family,
        },
        vocab_size,
        hidden_size,
        intermediate_size: keys.needed_count("feed_forward_length")?,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        act,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the file holds it in f32, and the reference computes so"
        )]
        rms_norm_eps: eps as f32,
        max_positions: keys.needed_count("context_length")?,
        rope_theta,
        is_head_tied: !gguf.tensors.contains_key("output.weight"),
        quantization: match architecture {
            Architecture::Plain(_) => Quantization::Unstated,
            Architecture::BitNet | Architecture::BitNet2B4T | Architecture::Llama => {
                Quantization::Offline {
                    convention: ScaleConvention::Direct,
                    is_stated: true,
                }
            }
        },
        bos_id: keys.id("tokenizer.ggml.bos_token_id")?,
        eos_ids,
    };
    Ok(Read {
        config,
        act_source,
        warnings,
    })
}

/// Rows of the embedding table, which every other place must agree with.
fn vocab_size(keys: &Keys<'_>) -> Result<usize, Error> {
    let tensor = "token_embd.weight";
    let table = keys.gguf.tensors.get(tensor);
    let table = table.ok_or_else(|| Error::MissingTensor {
        tensor: tensor.to_owned(),
    })?;
    // A table with one dimension has one row; its shape is checked where it is read.
    let rows = table.dims.get(1).copied().unwrap_or(1);
    let refuse = |source: &str, n: u64| {
        Err(Error::VocabularySize {
            origin: source.to_owned(),
            n,
            rows,
        })
    };
    let key = keys.own("vocab_size");
    if let Some(n) = keys.count("vocab_size")?.filter(|n| *n as u64 != rows) {
        return refuse(&format!("key `{key}`"), n as u64);
    }
    let tokens = "tokenizer.ggml.tokens";
    let strings = keys.get(tokens).and_then(Value::as_strings);
    if let Some(tokens_there) = strings.filter(|tokens| tokens.len() as u64 != rows) {
        return refuse(&format!("key `{tokens}`"), tokens_there.len() as u64);
    }
    usize::try_from(rows)
        .ok()
        .filter(|n| i32::try_from(*n).is_ok())
        .ok_or_else(|| keys.bad(tensor, "at most 2147483647 rows", &rows))
}

/// Width of a head: its own key decides, the quotient is only the default.
fn head_dim(keys: &Keys<'_>, hidden_size: usize, n_heads: usize) -> Result<usize, Error> {
    let key = keys.own("attention.key_length");
    let width = match keys.count("attention.key_length")? {
        Some(width) => width,
        None if hidden_size.is_multiple_of(n_heads) => hidden_size / n_heads,
        None => return keys.needed(&key, None),
    };
    if width % 2 != 0 {
        return Err(keys.bad(&key, "an even number", &width));
    }
    for other in ["attention.value_length", "rope.dimension_count"] {
        if let Some(n) = keys.count(other)?.filter(|n| *n != width) {
            // Other engines run such models, so it speaks against nobody.
            let key = keys.own(other);
            return Err(keys.unsupported(format!("`{key}` of {n} beside heads of {width}")));
        }
    }
    Ok(width)
}

/// The function of the gate: stated by no published file, so the architecture decides.
fn activation(
    keys: &Keys<'_>,
    architecture: Architecture,
    n_layers: usize,
    vocab_size: usize,
    warnings: &mut Vec<String>,
) -> Result<(Activation, &'static str), Error> {
    let key = keys.own("hidden_activation");
    if let Some(stated) = keys.word(&key)? {
        let act = match stated {
            "relu2" | "relu_sqr" | "relu_squared" => Activation::Relu2,
            "silu" => Activation::Silu,
            other => return Err(keys.bad(&key, "relu2 or silu", &format!("`{other}`"))),
        };
        return Ok((act, "hidden_activation"));
    }
    Ok(match architecture {
        Architecture::BitNet2B4T => (Activation::Relu2, "architecture"),
        Architecture::BitNet if (n_layers, vocab_size) == (30, 128_256) => {
            warnings.push(
                "architecture `bitnet` with the shape of 2B-4T: relu2 assumed, other engines run silu"
                    .to_owned(),
            );
            (Activation::Relu2, "shape of 2B-4T")
        }
        Architecture::BitNet | Architecture::Llama | Architecture::Plain(_) => {
            (Activation::Silu, "architecture")
        }
    })
}

/// Variants of an architecture that compute differently.
fn refuse_variants(keys: &Keys<'_>) -> Result<(), Error> {
    if keys.gguf.tensors.contains_key("rope_freqs.weight") {
        return Err(keys.unsupported(
            "tensor `rope_freqs.weight` (scaled rotary frequencies of Llama 3.1)".to_owned(),
        ));
    }
    let scaling = keys.own("rope.scaling.type");
    match keys.word(&scaling)? {
        None | Some("none") => {}
        Some(kind) => {
            return Err(keys.unsupported(format!("rotary scaling `{}`", kind.escape_debug())));
        }
    }
    for key in ["rope.scaling.factor", "rope.scale_linear"] {
        #[expect(clippy::float_cmp, reason = "1 is stored exactly")]
        if let Some(factor) = keys.positive(key)?.filter(|factor| *factor != 1.0) {
            return Err(keys.unsupported(format!("rotary scaling by {factor}")));
        }
    }
    if let Some(n) = keys.count("expert_count").ok().flatten() {
        return Err(keys.unsupported(format!("a mixture of {n} experts")));
    }
    Ok(())
}

/// Whether tensors of this type are floats.
pub(super) fn is_float(kind: GgmlType) -> bool {
    matches!(kind, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16)
}
