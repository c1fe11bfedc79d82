//! The real model of a worker: verified files, loaded, with an engine around the weights.

use super::probe::Stopwatch;
use super::protocol::{FileRequest, LoadRequest};
use super::worker::{LoadRefused, Loaded, Subject, chain};
use crate::artifact::digest::digest_file;
use crate::artifact::{ModelFiles, VerifiedArtifact};
use crate::engine::{self, BuildError, Engine, Harm, Planted, texts};
use crate::hint::Hint;
use crate::model::gguf::FormatError;
use crate::model::{self, Codec, I2sLayout, LoadOptions, ModelBundle};
use crate::record::LoadSettings;
use crate::units::Sha256;

/// A model with its tokenizer and its engine.
struct Real {
    codec: Codec,
    stop_ids: Vec<u32>,
    card: String,
    tokenizer_sha256: Sha256,
    layers_sha256: Option<Sha256>,
    n_threads: usize,
    engine: Box<dyn Engine>,
}

/// Most threads an engine takes.
const MAX_THREADS: usize = 64;

/// Digests the files again, loads the model, checks it and plants the harm asked for.
pub(super) fn load(request: &LoadRequest) -> Result<Loaded, LoadRefused> {
    let verifying = Stopwatch::start();
    let files = verified(request)?;
    let verified = verifying.stop(0);
    let harm = request
        .planted
        .as_deref()
        .map(str::parse::<Harm>)
        .transpose();
    let harm = harm.map_err(|error| not_judgeable(error.to_string()))?;

    let options = load_options(&request.settings).map_err(not_judgeable)?;
    let bundle = ModelBundle::load(&files, &options).map_err(|error| refused(&error))?;
    let ModelBundle {
        network,
        codec,
        stop_ids,
        card,
    } = bundle;
    let Some(tokenizer) = &card.tokenizer else {
        return Err(refused(&model::Error::NoTokenizer));
    };
    let tokenizer_sha256 = tokenizer.digest;
    let n_threads = request.threads.clamp(1, MAX_THREADS);
    let engine = engine::build(network, Some(n_threads));
    let mut engine = engine.map_err(|error| not_built(&error))?;
    let reading = Stopwatch::start();
    let limits = text_limits(&request.settings);
    if limits.is_any() {
        texts::read_all(engine.as_mut(), &codec)
            .and_then(|readings| texts::check(&readings, limits))
            .map_err(|error| evidence(&error))?;
    }
    let read = reading.stop(0);
    let engine: Box<dyn Engine> = match harm {
        Some(harm) => {
            Box::new(Planted::new(engine, harm).map_err(|error| not_judgeable(error.to_string()))?)
        }
        None => engine,
    };
    let subject = Real {
        codec,
        stop_ids,
        card: card.to_string(),
        tokenizer_sha256,
        layers_sha256: card.layers_digest,
        n_threads,
        engine,
    };
    Ok(Loaded {
        subject: Box::new(subject),
        verify_ns: verified.wall_ns + read.wall_ns,
        verify_cpu_ns: verified.cpu_ns + read.cpu_ns,
    })
}

/// The files of the request, their bytes still the ones the supervisor digested.
fn verified(request: &LoadRequest) -> Result<ModelFiles, LoadRefused> {
    let files = request
        .files
        .iter()
        .map(|file| Ok((file.name.clone(), verify(file)?)));
    Ok(ModelFiles {
        files: files.collect::<Result<_, LoadRefused>>()?,
        is_pinned: request.is_pinned,
        release_digest: request.release_digest,
        origin: request.origin.clone(),
    })
}

fn verify(file: &FileRequest) -> Result<VerifiedArtifact, LoadRefused> {
    let found = digest_file(&file.path).map_err(|error| not_judgeable(chain(&error)))?;
    if (found.sha256(), found.size()) == (file.sha256, file.size_bytes) {
        Ok(found)
    } else {
        Err(not_judgeable(format!(
            "{} changed while the comparison ran",
            file.name
        )))
    }
}

fn not_judgeable(message: String) -> LoadRefused {
    LoadRefused {
        is_evidence: false,
        message,
        hint: None,
    }
}

/// How well a model must read the built-in texts under these settings.
pub fn text_limits(settings: &LoadSettings) -> texts::Limits {
    texts::Limits {
        paragraphs: settings.max_load_perplexity,
        summaries: settings.max_summary_perplexity,
    }
}

/// How a model is loaded under these settings.
///
/// # Errors
/// One line naming the setting that has no such value.
pub fn load_options(settings: &LoadSettings) -> Result<LoadOptions, String> {
    let head = settings.head.parse();
    let i2s_layout = match settings.i2s_layout {
        64 => I2sLayout::Blocks64,
        128 => I2sLayout::Blocks128,
        other => return Err(format!("i2s_layout is {other}, expected 64 or 128")),
    };
    Ok(LoadOptions {
        head: head.map_err(|error: model::UnknownHeadStorage| error.to_string())?,
        i2s_layout,
        is_online: settings.is_online,
        stop_ids: settings.stop_token_ids.clone(),
    })
}

fn refused(error: &model::Error) -> LoadRefused {
    match standing(error) {
        Standing::Evidence => evidence(error),
        Standing::Unsupported | Standing::Unreadable => LoadRefused {
            is_evidence: false,
            message: chain(error),
            hint: error.hint(),
        },
    }
}

/// What it says of a model that passed its checks and yet became no engine.
fn not_built(error: &BuildError) -> LoadRefused {
    match error {
        // Its weights are numbers, what they compute is none.
        BuildError::First(engine::Error::NotFinite { .. }) => evidence(error),
        BuildError::Files(_)
        | BuildError::Refused { .. }
        | BuildError::Unused { .. }
        | BuildError::Threads { .. }
        | BuildError::Repacked(_)
        | BuildError::First(_) => LoadRefused {
            is_evidence: false,
            message: chain(error),
            hint: error.hint(),
        },
    }
}

fn evidence<E: std::error::Error + Hint>(error: &E) -> LoadRefused {
    LoadRefused {
        is_evidence: true,
        message: chain(error),
        hint: error.hint(),
    }
}

/// What it says of a model that it could not be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its files contradict themselves or each other: it would not work anywhere.
    Evidence,
    /// It may be fine, but this program does not read its kind.
    Unsupported,
    /// The system did not give the bytes; nothing is known of the model.
    Unreadable,
}

fn standing(error: &model::Error) -> Standing {
    use model::Error as E;
    match error {
        E::Json { .. }
        | E::MissingKey { .. }
        | E::BadKey { .. }
        | E::Container { .. }
        | E::MissingTensor { .. }
        | E::Shape { .. }
        | E::Dtype { .. }
        | E::InvalidCode { .. }
        | E::NotTernary { .. }
        | E::AlreadyTernary { .. }
        | E::Zeros { .. }
        | E::Scale { .. }
        | E::NotFinite { .. }
        | E::AllZero { .. }
        | E::RopeFrequency { .. }
        | E::Shards { .. }
        | E::Tokenizer { .. }
        | E::TokenizerMismatch { .. }
        | E::SpecialId { .. }
        | E::NoStop { .. }
        | E::Template { .. }
        | E::BosCount { .. }
        | E::VocabularySize { .. }
        | E::TooLarge { .. }
        | E::Encode { .. } => Standing::Evidence,
        E::Gguf { source, .. } => match **source {
            FormatError::Io(_) => Standing::Unreadable,
            FormatError::Version { .. } | FormatError::Split { .. } | FormatError::Parts { .. } => {
                Standing::Unsupported
            }
            FormatError::Magic { .. }
            | FormatError::Short { .. }
            | FormatError::TooMany { .. }
            | FormatError::NotUtf8 { .. }
            | FormatError::ValueType { .. }
            | FormatError::Bool { .. }
            | FormatError::NestedArray { .. }
            | FormatError::Twice { .. }
            | FormatError::Name { .. }
            | FormatError::Dimensions { .. }
            | FormatError::DimensionCount { .. }
            | FormatError::Overflow { .. }
            | FormatError::Block { .. }
            | FormatError::Alignment { .. }
            | FormatError::Offset { .. }
            | FormatError::Size { .. }
            | FormatError::Ambiguous { .. } => Standing::Evidence,
        },
        // A file or a tensor too few or too many is how another kind of model looks.
        E::MissingFile { .. }
        | E::NoTokenizer
        | E::UnknownTensor { .. }
        | E::UnknownQuantization { .. }
        | E::GroupScales { .. }
        | E::Unsupported { .. }
        | E::UnreadType { .. } => Standing::Unsupported,
        E::Io { .. } => Standing::Unreadable,
    }
}

impl Subject for Real {
    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, String> {
        self.codec
            .encode_prompt(text)
            .map_err(|error| chain(&error))
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, String> {
        let tokenizer = self
            .codec
            .tokenizer
            .as_ref()
            .ok_or(model::Error::NoTokenizer);
        let ids = tokenizer.and_then(|tokenizer| tokenizer.encode(text, false));
        ids.map_err(|error| chain(&error))
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.codec.decode(ids).map_err(|error| chain(&error))
    }

    fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    fn card(&self) -> String {
        self.card.clone()
    }

    fn tokenizer_sha256(&self) -> Sha256 {
        self.tokenizer_sha256
    }

    fn layers_sha256(&self) -> Option<Sha256> {
        self.layers_sha256
    }

    fn threads(&self) -> usize {
        self.n_threads
    }

    fn engine(&mut self) -> &mut dyn Engine {
        self.engine.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::artifact::digest_directory;

    /// A fixture's files with one of them replaced, digested, as a request.
    fn request(folder: &Path, name: &str, text: Option<&str>) -> LoadRequest {
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bitnet-tiny-direct");
        for file in ["config.json", "model.safetensors"] {
            if file != name {
                std::fs::copy(fixture.join(file), folder.join(file)).unwrap();
            } else if let Some(text) = text {
                std::fs::write(folder.join(file), text).unwrap();
            }
        }
        let found = digest_directory(folder).unwrap();
        let files = found.files.iter();
        LoadRequest {
            files: files
                .map(|(name, file)| FileRequest {
                    name: name.clone(),
                    path: file.path().to_owned(),
                    sha256: file.sha256(),
                    size_bytes: file.size(),
                })
                .collect(),
            is_pinned: false,
            release_digest: found.release_digest,
            origin: found.origin,
            settings: LoadSettings::default(),
            threads: 1,
            planted: None,
        }
    }

    #[track_caller]
    fn check_refused(request: &LoadRequest, is_evidence: bool, words: &str) -> LoadRefused {
        let Err(refused) = load(request) else {
            panic!("loaded")
        };
        assert!(refused.message.contains(words), "{}", refused.message);
        assert_eq!(refused.is_evidence, is_evidence);
        refused
    }

    #[test]
    fn a_malformed_file_speaks_against_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), "model.safetensors", Some("short"));
        let refused = check_refused(&request, true, "is not a valid safetensors file: ");
        assert!(refused.hint.is_some());
    }

    #[test]
    fn impossible_values_speak_against_the_model() {
        let tensor = || "weight".to_owned();
        let not_finite = model::Error::NotFinite {
            tensor: tensor(),
            index: 0,
            value: f32::NAN,
        };
        let (value, fraction) = (0.0, 1.0);
        let scale = model::Error::Scale {
            tensor: tensor(),
            value,
        };
        let zeros = model::Error::Zeros {
            tensor: tensor(),
            fraction,
        };
        let all_zero = model::Error::AllZero { tensor: tensor() };
        let missing = model::Error::MissingTensor { tensor: tensor() };
        for error in [not_finite, scale, zeros, all_zero, missing] {
            assert_eq!(standing(&error), Standing::Evidence, "{error}");
        }
    }

    #[test]
    fn what_is_not_known_of_the_model_speaks_against_nobody() {
        let path = || "model.gguf".into();
        let unsupported = model::Error::Unsupported {
            path: path(),
            what: "architecture `mamba`".to_owned(),
        };
        assert_eq!(standing(&unsupported), Standing::Unsupported);
        let unreadable = model::Error::Io {
            path: path(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(standing(&unreadable), Standing::Unreadable);
        for error in [unsupported, unreadable] {
            assert!(!refused(&error).is_evidence, "{error}");
        }
    }

    #[test]
    fn settings_become_options() {
        let settings = LoadSettings {
            head: "f16".to_owned(),
            i2s_layout: 64,
            is_online: Some(true),
            stop_token_ids: vec![7],
            max_load_perplexity: None,
            max_summary_perplexity: None,
        };
        let expected = LoadOptions {
            head: model::HeadStorage::F16,
            i2s_layout: I2sLayout::Blocks64,
            is_online: Some(true),
            stop_ids: vec![7],
        };
        assert_eq!(load_options(&settings), Ok(expected));
        assert_eq!(
            load_options(&LoadSettings::default()),
            Ok(LoadOptions::default())
        );
        for wrong in [
            LoadSettings {
                head: "int4".to_owned(),
                ..LoadSettings::default()
            },
            LoadSettings {
                i2s_layout: 32,
                ..LoadSettings::default()
            },
        ] {
            assert!(load_options(&wrong).unwrap_err().contains("expected"));
        }
    }

    #[test]
    fn a_format_that_is_not_read_speaks_against_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), "config.json", None);
        check_refused(&request, false, "has no config.json");
    }

    #[test]
    fn a_model_without_tokenizer_cannot_be_asked() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), "", None);
        check_refused(&request, false, "the model has no tokenizer.json");
    }

    #[test]
    fn bytes_that_changed_since_they_were_digested_are_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), "", None);
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        check_refused(
            &request,
            false,
            "config.json changed while the comparison ran",
        );
    }

    #[test]
    fn an_unknown_harm_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), "", None);
        let request = LoadRequest {
            planted: Some("bogus".to_owned()),
            ..request
        };
        check_refused(&request, false, "`bogus` is not a harm");
    }
}
