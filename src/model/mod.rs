//! Turns verified files into a model: configuration, weights, tokenizer, template.
//!
//! In: [`ModelFiles`]. Out: a [`ModelBundle`] and the [`ModelCard`] that says what was detected.
//! Reads Hugging Face directories with one or several safetensors files. Refuses what it does not understand
//! rather than guessing: most mistakes in this format give fluent but wrong output.

pub mod arena;
mod checkpoint;
pub mod config;
pub mod detect;
mod error;
mod hf;
pub mod safetensors;
pub mod synthetic;
mod table;
mod template;
mod ternary;
mod tokenizer;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use config::{Activation, Family, ModelConfig, Quantization, ScaleConvention};
pub use detect::{ModelCard, Origin};
pub use error::Error;
pub use table::{HeadStorage, Rows, Table, TablePiece, UnknownHeadStorage};
pub use template::ChatTemplate;
pub use ternary::TernaryMatrix;
pub use tokenizer::Tokenizer;
pub use weights::{Identity, LayerWeights, Weights};

use crate::artifact::ModelFiles;
use crate::units::Sha256;
use config::Keys;

/// The token that ends a turn in Llama-3 vocabularies, which published files do not declare.
const END_OF_TURN: &str = "<|eot_id|>";

/// How the values of an I2_S tensor stand in its bytes; the file does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum I2sLayout {
    /// Blocks of 128 values, 32 bytes each: published files and all x86 writers.
    #[default]
    Blocks128,
    /// Blocks of 64 values, 16 bytes each: files quantized by old builds on ARM.
    Blocks64,
}

/// What the files do not say, or what the user decides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadOptions {
    /// How the output head is kept in memory.
    pub head: HeadStorage,
    /// How to read I2_S tensors.
    pub i2s_layout: I2sLayout,
    /// Whether float projections are masters, where the files do not say.
    pub is_online: Option<bool>,
    /// Ids that end an output, besides those the files name.
    pub stop_ids: Vec<u32>,
}

/// The part of a model that computes.
#[derive(Debug)]
pub enum Network {
    /// Ternary projections, run by the project's own kernels.
    BitNet {
        /// Hyper-parameters.
        config: ModelConfig,
        /// Weights; the engine takes them over.
        weights: Weights,
    },
}

impl Network {
    /// Hyper-parameters and weights of a ternary model.
    ///
    /// # Panics
    /// When it is none.
    pub fn into_bitnet(self) -> (ModelConfig, Weights) {
        match self {
            Self::BitNet { config, weights } => (config, weights),
        }
    }
}

/// A loaded model.
pub struct ModelBundle {
    /// What computes; the engine takes it over.
    pub network: Network,
    /// Text to ids and back.
    pub codec: Codec,
    /// Ids that end an output, ascending.
    pub stop_ids: Vec<u32>,
    /// What was detected.
    pub card: ModelCard,
}

/// How a model reads and writes text.
pub struct Codec {
    /// Absent for models that are only fed ids.
    pub tokenizer: Option<Tokenizer>,
    /// Absent for models that continue plain text.
    pub template: Option<ChatTemplate>,
    /// Beginning-of-sequence id and its spelling.
    bos: Option<(u32, String)>,
}

impl ModelBundle {
    /// Loads a model and checks it.
    ///
    /// # Errors
    /// Every variant of [`Error`] but [`Error::NoTokenizer`], [`Error::Encode`] and
    /// [`Error::BosCount`].
    pub fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error> {
        let (path, bytes) = needed(files, "config.json")?;
        let config = ModelConfig::parse_as(&path, &bytes, options.is_online)?;
        let loaded = hf::load(files, &config, options)?;
        let weights = loaded.weights;
        let mut card = ModelCard::new(&config, weights.n_parameters(), weights.identity());
        card.container = match config.quantization {
            Quantization::Online => "hf-masters",
            _ if loaded.is_packed => "hf-packed",
            _ => "hf-ternary",
        };
        card.weight_types = loaded.types;
        card.warnings = loaded.warnings;

        let generation = Settings::read(files, "generation_config.json")?;
        let codec = codec(files, &config, &mut card)?;
        let mut stop_ids = stop_ids(&config, generation.as_ref(), &codec)?;
        stop_ids.extend_from_slice(&options.stop_ids);
        stop_ids.sort_unstable();
        stop_ids.dedup();
        check_special_ids(&config, &stop_ids, &codec, &mut card)?;
        if stop_ids.is_empty() && codec.tokenizer.is_some() {
            return Err(Error::NoStop {
                origin: files.origin.clone(),
            });
        }
        card.stop_ids.clone_from(&stop_ids);
        card.head = options.head;
        Ok(Self {
            network: Network::BitNet { config, weights },
            codec,
            stop_ids,
            card,
        })
    }

    /// As [`Codec::encode_prompt`].
    ///
    /// # Errors
    /// As [`Codec::encode_prompt`].
    pub fn encode_prompt(&self, user_text: &str) -> Result<Vec<u32>, Error> {
        self.codec.encode_prompt(user_text)
    }

    /// The tokenizer, where there is one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.codec.tokenizer.as_ref()
    }

    /// The chat template, where there is one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.codec.template.as_ref()
    }
}

impl Codec {
    /// Token ids of a prompt with one user message; without a template, of the plain text.
    ///
    /// A template that prints the beginning-of-sequence token itself stops the tokenizer from
    /// adding a second one.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::Template`], [`Error::Encode`], [`Error::BosCount`].
    pub fn encode_prompt(&self, user_text: &str) -> Result<Vec<u32>, Error> {
        let tokenizer = self.tokenizer.as_ref().ok_or(Error::NoTokenizer)?;
        let rendered = match &self.template {
            Some(template) => template.render(user_text)?,
            None => user_text.to_owned(),
        };
        let Some((bos, spelling)) = &self.bos else {
            return tokenizer.encode(&rendered, true);
        };
        let is_printed = rendered.starts_with(spelling.as_str());
        let ids = tokenizer.encode(&rendered, !is_printed)?;
        let found = ids.iter().filter(|id| *id == bos).count();
        let is_first = ids.first() == Some(bos);
        // A model whose template and tokenizer both leave the token out does without it.
        if found == usize::from(is_first) && (is_first || !is_printed) {
            return Ok(ids);
        }
        Err(Error::BosCount { found })
    }

    /// Text of token ids, special tokens left out.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::Encode`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.tokenizer
            .as_ref()
            .ok_or(Error::NoTokenizer)?
            .decode(ids)
    }
}

/// Tokenizer, template and beginning-of-sequence token, checked against the embedding table.
fn codec(files: &ModelFiles, config: &ModelConfig, card: &mut ModelCard) -> Result<Codec, Error> {
    let settings = Settings::read(files, "tokenizer_config.json")?;
    let tokenizer = match optional(files, "tokenizer.json")? {
        None => None,
        Some((path, bytes)) => {
            let tokenizer = Tokenizer::parse(&path, &bytes)?;
            let rows = config.vocab_size;
            let limit = tokenizer.id_limit();
            if limit as usize > rows {
                return Err(Error::TokenizerMismatch {
                    path,
                    id: limit - 1,
                    rows,
                });
            }
            if rows > limit as usize {
                card.warnings
                    .push(format!("{rows} embedding rows for {limit} token ids"));
            }
            card.tokenizer = Some(Origin {
                source: "tokenizer.json".to_owned(),
                digest: Sha256::of(&bytes),
            });
            Some(tokenizer)
        }
    };
    let special = |key: &str| settings.as_ref().map_or(Ok(None), |s| s.special_token(key));
    let spelling = |id: Option<u32>| tokenizer.as_ref()?.token(id?);
    let bos_token = special("bos_token")?.or_else(|| spelling(config.bos_id));
    let eos_token = special("eos_token")?.or_else(|| spelling(config.eos_ids.first().copied()));
    let bos = bos_token
        .as_ref()
        .and_then(|text| Some((tokenizer.as_ref()?.id(text)?, text.clone())));

    let source = match optional(files, "chat_template.jinja")? {
        Some((path, bytes)) => {
            let text = String::from_utf8(bytes).map_err(|error| Error::BadKey {
                path,
                key: "(whole file)".to_owned(),
                expected: "UTF-8 text".to_owned(),
                found: error.to_string(),
            })?;
            Some(("chat_template.jinja", text))
        }
        None => match &settings {
            None => None,
            Some(settings) => settings
                .keys()
                .optional_text("chat_template")?
                .map(|text| ("tokenizer_config.json", text.to_owned())),
        },
    };
    let template = source
        .map(|(origin, text)| {
            card.template = Some(Origin {
                source: origin.to_owned(),
                digest: Sha256::of(text.as_bytes()),
            });
            ChatTemplate::new(origin, text, bos_token, eos_token)
        })
        .transpose()?;
    if tokenizer.is_some() && template.is_none() {
        card.warnings
            .push("no chat template: prompts are fed as plain text".to_owned());
    }
    Ok(Codec {
        tokenizer,
        template,
        bos,
    })
}

/// Every id any of the files calls an end, and the end of a turn by its name.
fn stop_ids(
    config: &ModelConfig,
    generation: Option<&Settings>,
    codec: &Codec,
) -> Result<Vec<u32>, Error> {
    let mut ids = config.eos_ids.clone();
    if let Some(generation) = generation {
        ids.extend(generation.keys().ids("eos_token_id")?);
        ids.extend(generation.keys().ids("eot_token_id")?);
    }
    ids.extend(
        codec
            .tokenizer
            .as_ref()
            .and_then(|tokenizer| tokenizer.id(END_OF_TURN)),
    );
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn check_special_ids(
    config: &ModelConfig,
    stop_ids: &[u32],
    codec: &Codec,
    card: &mut ModelCard,
) -> Result<(), Error> {
    let vocab_size = config.vocab_size;
    let stops = stop_ids.iter().map(|&id| ("stop id", id));
    for (what, id) in config
        .bos_id
        .map(|id| ("bos_token_id", id))
        .into_iter()
        .chain(stops)
    {
        if (id as usize) < vocab_size {
            continue;
        }
        let error = Error::SpecialId {
            what,
            id,
            vocab_size,
        };
        if codec.tokenizer.is_some() {
            return Err(error);
        }
        card.warnings.push(error.to_string());
    }
    Ok(())
}

/// A small JSON file that holds an object.
struct Settings {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Settings {
    fn read(files: &ModelFiles, name: &str) -> Result<Option<Self>, Error> {
        let Some((path, bytes)) = optional(files, name)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(map) => Ok(Some(Self { path, map })),
            Err(source) => Err(Error::Json { path, source }),
        }
    }

    fn keys(&self) -> Keys<'_> {
        Keys {
            path: &self.path,
            prefix: "",
            map: &self.map,
        }
    }

    /// A special token, written as a text or as an object with its `content`.
    fn special_token(&self, key: &str) -> Result<Option<String>, Error> {
        match self.map.get(key) {
            Some(Value::Object(map)) => {
                let keys = Keys {
                    path: &self.path,
                    prefix: &format!("{key}."),
                    map,
                };
                Ok(keys.optional_text("content")?.map(str::to_owned))
            }
            _ => Ok(self.keys().optional_text(key)?.map(str::to_owned)),
        }
    }
}

fn file<'a>(files: &'a ModelFiles, name: &'static str) -> Result<&'a Path, Error> {
    files
        .files
        .get(name)
        .map(crate::artifact::VerifiedArtifact::path)
        .ok_or_else(|| Error::MissingFile {
            origin: files.origin.clone(),
            name,
            found: files.files.keys().cloned().collect(),
        })
}

fn needed(files: &ModelFiles, name: &'static str) -> Result<(PathBuf, Vec<u8>), Error> {
    file(files, name)?;
    Ok(optional(files, name)?.expect("the file was found just now"))
}

fn optional(files: &ModelFiles, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
    let Some(artifact) = files.files.get(name) else {
        return Ok(None);
    };
    let path = artifact.path().to_owned();
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(source) => Err(Error::Io { path, source }),
    }
}
