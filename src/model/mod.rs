//! Turns verified files into a model: configuration, weights, tokenizer, template.
//!
//! In: [`ModelFiles`]. Out: a [`ModelBundle`] and the [`ModelCard`] that says what was detected.
//! Reads Hugging Face directories with safetensors in one file or several, and GGUF files. Refuses
//! what it does not understand rather than guessing: most mistakes in this format give fluent but
//! wrong output.

pub mod arena;
mod checkpoint;
mod checks;
mod codec;
pub mod config;
pub mod convert;
pub mod detect;
mod error;
pub mod gguf;
mod hf;
pub mod rope;
pub mod safetensors;
mod source;
pub mod synthetic;
mod table;
mod template;
mod ternary;
mod tokenizer;
mod weights;
mod witness;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use codec::Codec;
pub use config::{Activation, Family, ModelConfig, Quantization, ScaleConvention};
pub use detect::{ModelCard, Numerics, Origin};
pub use error::Error;
pub use gguf::PlainModel;
pub use table::{HeadStorage, Rows, Table, TablePiece, UnknownHeadStorage};
pub use template::ChatTemplate;
pub use ternary::TernaryMatrix;
pub use tokenizer::Tokenizer;
pub use weights::{Identity, LayerWeights, Weights};
pub use witness::Witness;

use crate::artifact::ModelFiles;
use codec::{Facts, Vocabulary};
use gguf::Gguf;

/// How the values of an `I2_S` tensor stand in its bytes; the file does not say it.
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
    /// How to read `I2_S` tensors.
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
    /// Ordinary quantized weights, run through candle.
    Plain(PlainModel),
}

impl Network {
    /// Hyper-parameters and weights of a ternary model.
    ///
    /// # Panics
    /// When it is none.
    pub fn into_bitnet(self) -> (ModelConfig, Weights) {
        match self {
            Self::BitNet { config, weights } => (config, weights),
            Self::Plain(model) => panic!("a {} model is not ternary", model.config.family),
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

impl ModelBundle {
    /// Loads a model and checks it.
    ///
    /// The bytes decide what it is: a `config.json` beside safetensors is a Hugging Face
    /// directory, files that begin with `GGUF` are the parts of one GGUF model. Where both are,
    /// the directory is read and the card says so.
    ///
    /// # Errors
    /// Every variant of [`Error`] but [`Error::NoTokenizer`], [`Error::Encode`] and
    /// [`Error::BosCount`].
    pub fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error> {
        let containers = Containers::find(files)?;
        if !containers.has_checkpoint && !containers.gguf.is_empty() {
            return Self::load_gguf(files, &containers.gguf, options);
        }
        let mut bundle = Self::load_checkpoint(files, options)?;
        if !containers.gguf.is_empty() {
            bundle
                .card
                .warnings
                .push("a GGUF file beside the safetensors was not read".to_owned());
        }
        Ok(bundle)
    }

    fn load_checkpoint(files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error> {
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
        card.head = Some(options.head);
        let text = Text::read(files, &Vocabulary::from(&config), None, options, &mut card)?;
        Ok(text.with(Network::BitNet { config, weights }, card))
    }

    fn load_gguf(
        files: &ModelFiles,
        paths: &[&Path],
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let gguf = Gguf::open_parts(paths)?;
        let ternary = match gguf::detect(&gguf, options)? {
            gguf::Detected::Ternary(ternary) => ternary,
            gguf::Detected::Plain(family) => {
                return Self::load_plain(files, gguf, family, options);
            }
        };
        let loaded = gguf::load(&gguf, ternary, options, &files.release_digest)?;
        let (config, weights) = (loaded.config, loaded.weights);
        let mut card = ModelCard::new(&config, weights.n_parameters(), weights.identity());
        card.container = loaded.container;
        card.scale_source = loaded.scale_source;
        card.act_source = loaded.act_source;
        card.weight_types = loaded.types;
        card.warnings = loaded.warnings;
        card.head = Some(options.head);
        let vocabulary = Vocabulary::from(&config);
        let text = Text::read(files, &vocabulary, Some(&gguf), options, &mut card)?;
        Ok(text.with(Network::BitNet { config, weights }, card))
    }

    fn load_plain(
        files: &ModelFiles,
        gguf: Gguf,
        family: Family,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let checked = gguf::check_plain(&gguf, family)?;
        let config = checked.config;
        let mut card = ModelCard::plain(&config, checked.n_parameters);
        card.container = checked.container;
        card.act_source = checked.act_source;
        card.weight_types = checked.types;
        card.warnings = checked.warnings;
        let vocabulary = Vocabulary::from(&config);
        let text = Text::read(files, &vocabulary, Some(&gguf), options, &mut card)?;
        Ok(text.with(Network::Plain(PlainModel::new(config, gguf)), card))
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

/// The part of a model that reads and writes text.
struct Text {
    codec: Codec,
    stop_ids: Vec<u32>,
}

impl Text {
    /// The last steps of every way to load: tokenizer, template and ends.
    fn read(
        files: &ModelFiles,
        vocabulary: &Vocabulary,
        gguf: Option<&Gguf>,
        options: &LoadOptions,
        card: &mut ModelCard,
    ) -> Result<Self, Error> {
        let mut facts = Facts::default();
        let codec = Codec::read(files, vocabulary, gguf, &mut facts)?;
        let stop_ids = codec.stop_ids(files, vocabulary, &options.stop_ids, &mut facts)?;
        card.tokenizer = facts.tokenizer;
        card.template = facts.template;
        card.warnings.extend(facts.warnings);
        card.stop_ids.clone_from(&stop_ids);
        Ok(Self { codec, stop_ids })
    }

    fn with(self, network: Network, card: ModelCard) -> ModelBundle {
        ModelBundle {
            network,
            codec: self.codec,
            stop_ids: self.stop_ids,
            card,
        }
    }
}

/// What a model's files are, by their first bytes.
struct Containers<'a> {
    /// Whether a `config.json` and safetensors are there.
    has_checkpoint: bool,
    /// Files in GGUF form; without any of them, those that only are named so.
    gguf: Vec<&'a Path>,
}

impl<'a> Containers<'a> {
    fn find(files: &'a ModelFiles) -> Result<Self, Error> {
        let has_name = |end: &str| files.files.keys().any(|name| name.ends_with(end));
        let mut gguf = Vec::new();
        for artifact in files.files.values() {
            if begins_with_magic(artifact.path())? {
                gguf.push(artifact.path());
            }
        }
        let has_checkpoint = files.files.contains_key("config.json") && has_name(".safetensors");
        if gguf.is_empty() && !has_checkpoint {
            let named = files
                .files
                .iter()
                .filter(|(name, _)| Path::new(name).extension().is_some_and(|e| e == "gguf"));
            gguf.extend(named.map(|(_, artifact)| artifact.path()));
        }
        Ok(Self {
            has_checkpoint,
            gguf,
        })
    }
}

fn begins_with_magic(path: &Path) -> Result<bool, Error> {
    let mut magic = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
    Ok(magic == b"GGUF")
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

/// Longest tokenizer read, in bytes; twice the longest published one.
pub(in crate::model) const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// Longest other file beside the weights, in bytes: a list of zeros takes sixteen times its length
/// once it is parsed.
const MAX_SIDE_BYTES: u64 = 16 << 20;

/// A file beside the weights, no longer than such files are.
///
/// # Errors
/// [`Error::Io`], [`Error::TooLarge`].
fn optional(files: &ModelFiles, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
    let Some(artifact) = files.files.get(name) else {
        return Ok(None);
    };
    let path = artifact.path().to_owned();
    let limit = match name {
        "tokenizer.json" => MAX_TOKENIZER_BYTES,
        _ => MAX_SIDE_BYTES,
    };
    let bytes = read_bounded(&path, limit)?;
    Ok(Some((path, bytes)))
}

/// The bytes of a file that has at most `limit`.
///
/// # Errors
/// [`Error::Io`], [`Error::TooLarge`].
fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::new();
    // Read no further than allowed, should it grow meanwhile.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    Err(Error::TooLarge {
        path: path.to_owned(),
        found: found.max(limit + 1),
        limit,
    })
}
