//! A model opened to be read tensor by tensor, whatever container it is in.
//!
//! Every check of a load is made here too, so what can be read this way can be loaded.

use serde_json::Value as Json;

use super::checkpoint::Checkpoint;
use super::codec::{Facts, Vocabulary};
use super::gguf::{self, GgmlType, Gguf, Streamed, blocks};
use super::hf::{self, Notes};
use super::safetensors::Dtype;
use super::{Codec, Containers, Error, LoadOptions, ModelConfig, TernaryMatrix};
use super::{checks, config::Quantization, needed};
use crate::artifact::ModelFiles;

/// Projections of a layer: names in checkpoints, below `model.layers.N.`, and in GGUF files.
const PROJECTIONS: [[&str; 2]; 7] = [
    ["self_attn.q_proj", "attn_q"],
    ["self_attn.k_proj", "attn_k"],
    ["self_attn.v_proj", "attn_v"],
    ["self_attn.o_proj", "attn_output"],
    ["mlp.gate_proj", "ffn_gate"],
    ["mlp.up_proj", "ffn_up"],
    ["mlp.down_proj", "ffn_down"],
];

/// What a tensor is in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Embedding table.
    Embedding,
    /// Output head, where it is a table of its own.
    Head,
    /// Gains of the last norm.
    FinalNorm,
    /// Gains of a norm in a layer.
    Norm(usize, Norm),
    /// A ternary projection: layer, and index of its kind, q, k, v, o, gate, up, down.
    Projection(usize, usize),
}

/// A norm in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Norm {
    /// Before attention.
    Input,
    /// Before the feed-forward layer.
    Post,
    /// Before the output projection.
    AttnSub,
    /// Before the down projection.
    FfnSub,
}

impl Place {
    /// Every place of a model, first the tables, then layer by layer.
    pub(super) fn all(config: &ModelConfig) -> Vec<Self> {
        let mut all = vec![Self::Embedding, Self::FinalNorm];
        all.extend((!config.is_head_tied).then_some(Self::Head));
        let norms: &[Norm] = if config.has_sub_norms() {
            &[Norm::Input, Norm::Post, Norm::AttnSub, Norm::FfnSub]
        } else {
            &[Norm::Input, Norm::Post]
        };
        for n in 0..config.n_layers {
            all.extend(norms.iter().map(|norm| Self::Norm(n, *norm)));
            all.extend((0..PROJECTIONS.len()).map(|index| Self::Projection(n, index)));
        }
        all
    }

    /// Name in a checkpoint, without `.weight`.
    pub(super) fn in_checkpoint(self) -> String {
        match self {
            Self::Embedding => "model.embed_tokens".to_owned(),
            Self::Head => "lm_head".to_owned(),
            Self::FinalNorm => "model.norm".to_owned(),
            Self::Norm(n, norm) => {
                let part = match norm {
                    Norm::Input => "input_layernorm",
                    Norm::Post => "post_attention_layernorm",
                    Norm::AttnSub => hf::ATTN_SUB_NORM[0],
                    Norm::FfnSub => hf::FFN_SUB_NORM[0],
                };
                format!("model.layers.{n}.{part}")
            }
            Self::Projection(n, index) => format!("model.layers.{n}.{}", PROJECTIONS[index][0]),
        }
    }

    /// Name in a GGUF, without `.weight`.
    pub(super) fn in_gguf(self) -> String {
        match self {
            Self::Embedding => "token_embd".to_owned(),
            Self::Head => "output".to_owned(),
            Self::FinalNorm => "output_norm".to_owned(),
            Self::Norm(n, norm) => {
                let part = match norm {
                    Norm::Input => "attn_norm",
                    Norm::Post => "ffn_norm",
                    Norm::AttnSub => "attn_sub_norm",
                    Norm::FfnSub => "ffn_sub_norm",
                };
                format!("blk.{n}.{part}")
            }
            Self::Projection(n, index) => format!("blk.{n}.{}", PROJECTIONS[index][1]),
        }
    }

    /// Rows and columns; gains are one row.
    pub(super) fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (hidden, inter) = (config.hidden_size, config.intermediate_size);
        let (q_width, kv_width) = (config.q_width(), config.kv_width());
        match self {
            Self::Embedding | Self::Head => [config.vocab_size, hidden],
            Self::FinalNorm | Self::Norm(_, Norm::Input | Norm::Post) => [1, hidden],
            Self::Norm(_, Norm::AttnSub) => [1, q_width],
            Self::Norm(_, Norm::FfnSub) => [1, inter],
            Self::Projection(_, index) => match index {
                0 => [q_width, hidden],
                1 | 2 => [kv_width, hidden],
                3 => [hidden, q_width],
                4 | 5 => [inter, hidden],
                _ => [hidden, inter],
            },
        }
    }

    /// Whether its rows are queries or keys, whose order depends on the rotary form.
    pub(super) fn is_rotated(self) -> bool {
        matches!(self, Self::Projection(_, 0 | 1))
    }
}

/// An opened model.
pub(super) struct Source {
    pub(super) config: ModelConfig,
    pub(super) codec: Codec,
    pub(super) facts: Facts,
    /// Ids that end an output, those of the load options among them.
    pub(super) stop_ids: Vec<u32>,
    /// The id that fills batches, where stated: no engine here uses it.
    pub(super) padding_id: Option<u32>,
    container: Container,
    notes: Notes,
}

enum Container {
    Checkpoint(Checkpoint),
    Gguf(Box<Streamed>),
}

impl Source {
    /// Opens a model and checks everything but the values of its tensors.
    ///
    /// # Errors
    /// As [`ModelBundle::load`](super::ModelBundle::load).
    pub(super) fn open(files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error> {
        let containers = Containers::find(files)?;
        if containers.has_checkpoint || containers.gguf.is_empty() {
            return Self::checkpoint(files, options);
        }
        let gguf = Gguf::open_parts(&containers.gguf)?;
        let ternary = match gguf::detect(&gguf, options)? {
            gguf::Detected::Ternary(ternary) => ternary,
            gguf::Detected::Plain(_) => {
                return Err(Error::Unsupported {
                    path: gguf.path().to_owned(),
                    what: "a conversion of weights that are not ternary".to_owned(),
                });
            }
        };
        let (streamed, config, warnings) = Streamed::open(gguf, ternary, options)?;
        let padding = streamed
            .gguf
            .metadata
            .get("tokenizer.ggml.padding_token_id");
        let padding_id = padding.and_then(gguf::Value::as_u64);
        let container = Container::Gguf(Box::new(streamed));
        Self::with_text(files, options, config, container, padding_id, warnings)
    }

    fn checkpoint(files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error> {
        let (path, bytes) = needed(files, "config.json")?;
        let config = ModelConfig::parse_as(&path, &bytes, options.is_online)?;
        let root: Json = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        let padding_id = root.get("pad_token_id").and_then(Json::as_u64);
        let checkpoint = Checkpoint::open(files)?;
        hf::Loader::plain(&checkpoint, &config).check_layers()?;
        let container = Container::Checkpoint(checkpoint);
        Self::with_text(files, options, config, container, padding_id, Vec::new())
    }

    fn with_text(
        files: &ModelFiles,
        options: &LoadOptions,
        config: ModelConfig,
        container: Container,
        padding_id: Option<u64>,
        warnings: Vec<String>,
    ) -> Result<Self, Error> {
        let vocabulary = Vocabulary::from(&config);
        let gguf = match &container {
            Container::Checkpoint(_) => None,
            Container::Gguf(streamed) => Some(&streamed.gguf),
        };
        let mut facts = Facts {
            warnings,
            ..Facts::default()
        };
        let codec = Codec::read(files, &vocabulary, gguf, &mut facts)?;
        let stop_ids = codec.stop_ids(files, &vocabulary, &options.stop_ids, &mut facts)?;
        Ok(Self {
            config,
            codec,
            facts,
            stop_ids,
            padding_id: padding_id.and_then(|id| u32::try_from(id).ok()),
            container,
            notes: Notes::default(),
        })
    }

    /// The metadata of a GGUF.
    pub(super) fn gguf(&self) -> Option<&Gguf> {
        match &self.container {
            Container::Checkpoint(_) => None,
            Container::Gguf(streamed) => Some(&streamed.gguf),
        }
    }

    /// Name of the container, as on the card; of a checkpoint known once a projection was read.
    pub(super) fn container(&self) -> &'static str {
        match &self.container {
            Container::Gguf(streamed) => streamed.container(&self.config),
            Container::Checkpoint(_) => match self.config.quantization {
                Quantization::Online => "hf-masters",
                _ if self.notes.is_packed => "hf-packed",
                _ => "hf-ternary",
            },
        }
    }

    /// Whatever is odd but not wrong, as far as it was read.
    pub(super) fn warnings(&self) -> Vec<String> {
        let (text, tensors) = (&self.facts.warnings, &self.notes.warnings);
        text.iter().chain(tensors).cloned().collect()
    }

    /// One ternary projection.
    ///
    /// # Errors
    /// Every variant of [`Error`] about tensors.
    pub(super) fn projection(&mut self, place: Place) -> Result<TernaryMatrix, Error> {
        let Place::Projection(n, index) = place else {
            unreachable!("only projections are ternary");
        };
        let Self {
            config,
            container,
            notes,
            ..
        } = self;
        match container {
            Container::Checkpoint(checkpoint) => {
                let loader = hf::Loader::plain(checkpoint, config);
                let stored = hf::Place {
                    name: &place.in_checkpoint(),
                    shape: place.shape(config),
                    is_witnessed: false,
                };
                loader.projection(&stored, &mut Vec::new(), notes)
            }
            Container::Gguf(streamed) => {
                let (matrix, odd) = streamed.projection(config, n, index)?;
                notes.warnings.extend(odd);
                Ok(matrix)
            }
        }
    }

    /// Gains of a norm.
    ///
    /// # Errors
    /// Every variant of [`Error`] about tensors.
    pub(super) fn gains(&mut self, place: Place) -> Result<Vec<f32>, Error> {
        let Self {
            config,
            container,
            notes,
            ..
        } = self;
        let [_, width] = place.shape(config);
        match container {
            Container::Checkpoint(checkpoint) => {
                let loader = hf::Loader::plain(checkpoint, config);
                let name = match place {
                    Place::Norm(n, Norm::AttnSub) => loader.sub_norm_name(n, hf::ATTN_SUB_NORM),
                    Place::Norm(n, Norm::FfnSub) => loader.sub_norm_name(n, hf::FFN_SUB_NORM),
                    _ => place.in_checkpoint(),
                };
                loader.gains(&name, width, notes)
            }
            Container::Gguf(streamed) => streamed.gains(config, &place.in_gguf(), width),
        }
    }

    /// How the values of a table are stored.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Shape`], [`Error::Dtype`].
    pub(super) fn table_kind(&mut self, place: Place) -> Result<GgmlType, Error> {
        let Self {
            config,
            container,
            notes,
            ..
        } = self;
        match container {
            Container::Checkpoint(checkpoint) => {
                let loader = hf::Loader::plain(checkpoint, config);
                let tensor = format!("{}.weight", place.in_checkpoint());
                let dtype = loader.begin_table(&tensor, place.shape(config), notes)?;
                Ok(match dtype {
                    Dtype::F32 => GgmlType::F32,
                    Dtype::F16 => GgmlType::F16,
                    Dtype::BF16 => GgmlType::BF16,
                    Dtype::U8 => unreachable!("bytes were refused"),
                })
            }
            Container::Gguf(streamed) => {
                streamed.table(config, &format!("{}.weight", place.in_gguf()))
            }
        }
    }

    /// Calls `each` with every row of a table, as stored and as floats, every value finite.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotFinite`], and what `each` gives.
    pub(super) fn rows<E: From<Error>>(
        &self,
        place: Place,
        kind: GgmlType,
        mut each: impl FnMut(&[u8], &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        /// Bytes read at a time.
        const PIECE_BYTES: usize = 1 << 20;
        let [n_rows, width] = place.shape(&self.config);
        let row_bytes = kind.row_bytes(width);
        let (checkpoint_name, gguf_name) = (
            format!("{}.weight", place.in_checkpoint()),
            format!("{}.weight", place.in_gguf()),
        );
        let mut values = vec![0.0; width];
        let mut bytes = Vec::new();
        let step = (PIECE_BYTES / row_bytes).max(1);
        for first in (0..n_rows).step_by(step) {
            bytes.resize(step.min(n_rows - first) * row_bytes, 0);
            let start = (first * row_bytes) as u64;
            match &self.container {
                Container::Checkpoint(checkpoint) => {
                    checkpoint.read_at(&checkpoint_name, start, &mut bytes)?;
                }
                Container::Gguf(streamed) => streamed.gguf.read(&gguf_name, start, &mut bytes)?,
            }
            for (row, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
                blocks::decode(kind, bytes, &mut values);
                checks::finite(&checkpoint_name, (first + row) * width, &values)?;
                each(bytes, &values)?;
            }
        }
        Ok(())
    }

    /// No tensor is left that nothing asked for; to be called when all were read.
    ///
    /// # Errors
    /// [`Error::UnknownTensor`], and [`Error::RopeFrequency`] of frequencies that are stored.
    pub(super) fn check_unread(&mut self) -> Result<(), Error> {
        match &self.container {
            Container::Checkpoint(checkpoint) => {
                let loader = hf::Loader::plain(checkpoint, &self.config);
                loader.check_frequencies(&mut self.notes)?;
                loader.check_unread(&self.notes)
            }
            // Names were checked when the file was opened.
            Container::Gguf(_) => Ok(()),
        }
    }
}
