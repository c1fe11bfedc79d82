//! What was detected in a model's files, for people and for the record.

use std::collections::BTreeMap;
use std::fmt;

use super::config::{Activation, Family, ModelConfig, Quantization};
use super::table::HeadStorage;
use super::weights::Identity;
use crate::units::Sha256;

/// The key that states the activation.
const STATED: &str = "hidden_act";

/// What shaped the model, and its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// File name, or the part of the weights' file.
    pub source: String,
    /// Digest of the bytes used from it.
    pub digest: Sha256,
}

/// What is promised of the numbers a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numerics {
    /// The same bits on every machine, with any number of threads, however the tokens are split
    /// between calls.
    Fixed,
    /// The same bits when the same calls are made on the same machine with as many threads;
    /// elsewhere sums have another order, and activations may be rounded in other blocks.
    CpuDependent,
}

impl fmt::Display for Numerics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "fixed",
            Self::CpuDependent => "cpu-dependent",
        })
    }
}

/// Description of a loaded model; a changed card is shown when two models are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// Model family.
    pub family: Family,
    /// How the projections are stored: `hf-packed`, `hf-ternary`, `hf-masters`, `gguf-masters`,
    /// `gguf-` and a type in lower case, or `synthetic`.
    pub container: &'static str,
    /// Number of layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Function applied to the gate.
    pub act: Activation,
    /// What decided the activation: `hidden_act`, or what stands in where a file states none.
    pub act_source: &'static str,
    /// Whether norms stand before the output and down projections.
    pub sub_norms: bool,
    /// Whether queries and keys are normed per head.
    pub qk_norms: bool,
    /// Which values of a head rotate together: `half-split` or `interleaved`.
    pub rope_pairs: &'static str,
    /// Base of the rotary frequencies, without scaling.
    pub rope_theta: f64,
    /// Scale convention or quantization rule.
    pub scale: &'static str,
    /// Key that decided it.
    pub scale_source: &'static str,
    /// Number of tensors by type; scales are not counted.
    pub weight_types: BTreeMap<String, usize>,
    /// Number of weights.
    pub n_parameters: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// The tokenizer, where there is one.
    pub tokenizer: Option<Origin>,
    /// The chat template, where there is one.
    pub template: Option<Origin>,
    /// Ids that end an output, ascending.
    pub stop_ids: Vec<u32>,
    /// How the output head is kept in memory; `None` where it stays as stored.
    pub head: Option<HeadStorage>,
    /// Identity of the ternary codes; `None` of other weights.
    pub codes_digest: Option<Sha256>,
    /// Identity of the ternary codes with their scales; `None` of other weights.
    pub layers_digest: Option<Sha256>,
    /// What is promised of the numbers it computes.
    pub numerics: Numerics,
    /// Whatever is odd but not wrong.
    pub warnings: Vec<String>,
}

impl ModelCard {
    /// The card of ternary weights with this configuration, nothing known of text.
    pub(super) fn new(config: &ModelConfig, n_parameters: usize, identity: Identity) -> Self {
        let (scale, scale_source) = match config.quantization {
            Quantization::Offline {
                convention,
                is_stated,
            } => (
                match convention {
                    super::ScaleConvention::Direct => "direct",
                    super::ScaleConvention::Inverse => "inverse",
                },
                if is_stated {
                    "linear_class"
                } else {
                    "default of linear_class"
                },
            ),
            Quantization::Online => ("absmean", "quantization_mode"),
            Quantization::Unstated => ("max", "no quantization_config"),
        };
        Self {
            scale,
            scale_source,
            head: Some(HeadStorage::default()),
            codes_digest: Some(identity.codes),
            layers_digest: Some(identity.layers),
            numerics: Numerics::Fixed,
            ..Self::plain(config, n_parameters)
        }
    }

    /// The card of weights that stay as stored, nothing known of text.
    pub(super) fn plain(config: &ModelConfig, n_parameters: usize) -> Self {
        Self {
            family: config.family,
            container: "synthetic",
            n_layers: config.n_layers,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            act: config.act,
            act_source: STATED,
            sub_norms: config.has_sub_norms(),
            qk_norms: config.family == Family::Qwen3,
            rope_pairs: match config.family {
                // Ternary rows are brought to the order of the checkpoint, plain ones stay.
                Family::Llama => "interleaved",
                Family::BitNet | Family::LlamaBitNet | Family::Qwen2 | Family::Qwen3 => {
                    "half-split"
                }
            },
            rope_theta: config.rope_theta,
            scale: "per block",
            scale_source: "tensor types",
            weight_types: BTreeMap::new(),
            n_parameters,
            vocab_size: config.vocab_size,
            tokenizer: None,
            template: None,
            stop_ids: Vec::new(),
            head: None,
            codes_digest: None,
            layers_digest: None,
            numerics: Numerics::CpuDependent,
            warnings: Vec::new(),
        }
    }
}

impl fmt::Display for ModelCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, short_count(self.n_parameters))?;
        write!(f, " · {}", self.container)?;
        write!(
            f,
            " · {}x{}/{}",
            self.n_layers, self.hidden_size, self.intermediate_size
        )?;
        write!(f, " · vocab {} · {}", self.vocab_size, self.act)?;
        if self.act_source != STATED {
            write!(f, " ({})", self.act_source)?;
        }
        f.write_str(if self.sub_norms {
            " · sub-norms"
        } else {
            " · no sub-norms"
        })?;
        if self.qk_norms {
            f.write_str(" · q/k norms")?;
        }
        write!(f, " · rope {} {:e}", self.rope_pairs, self.rope_theta)?;
        write!(f, " · scale {} ({})", self.scale, self.scale_source)?;
        for (i, (kind, n)) in self.weight_types.iter().enumerate() {
            write!(f, "{}{n} {kind}", if i == 0 { " · " } else { " + " })?;
        }
        match &self.tokenizer {
            Some(origin) => write!(f, " · {} {}", origin.source, origin.digest.short())?,
            None => f.write_str(" · no tokenizer")?,
        }
        match &self.template {
            Some(origin) => write!(f, " · template {}", origin.source)?,
            None => f.write_str(" · no template")?,
        }
        let stops: Vec<String> = self.stop_ids.iter().map(ToString::to_string).collect();
        write!(f, " · stop {}", stops.join(","))?;
        match self.head {
            Some(head) => write!(f, " · head {head}")?,
            None => f.write_str(" · head as stored")?,
        }
        match self.numerics {
            Numerics::Fixed => f.write_str(" · act 8 bit"),
            Numerics::CpuDependent => write!(f, " · numerics {}", self.numerics),
        }
    }
}

/// A count with three digits or fewer before a letter: `812`, `74k`, `1.2M`, `2.4B`.
fn short_count(n: usize) -> String {
    let x = n as f64;
    match x {
        x if x < 1e3 => format!("{x}"),
        x if x < 1e6 => format!("{:.0}k", x / 1e3),
        x if x < 1e9 => format!("{:.1}M", x / 1e6),
        _ => format!("{:.1}B", x / 1e9),
    }
}
