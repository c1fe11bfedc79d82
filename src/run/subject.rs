//! The real model of a worker: verified files, loaded, with an engine around the weights.

use super::probe::Stopwatch;
use super::protocol::{FileRequest, LoadRequest};
use super::worker::{LoadRefused, Loaded, Subject, chain};
use crate::artifact::digest::digest_file;
use crate::artifact::{ModelFiles, VerifiedArtifact};
use crate::engine::{BitNet, Engine, Harm, Planted};
use crate::hint::Hint as _;
use crate::model::{self, Codec, LoadOptions, ModelBundle};
use crate::units::Sha256;

/// A model with its tokenizer and its engine.
struct Real {
    codec: Codec,
    stop_ids: Vec<u32>,
    card: String,
    tokenizer_sha256: Sha256,
    engine: Box<dyn Engine>,
}

/// Digests the files again, loads the model and plants the harm asked for.
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

    let bundle =
        ModelBundle::load(&files, &LoadOptions::default()).map_err(|error| refused(&error))?;
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
    let (config, weights) = network.into_bitnet();
    let engine = BitNet::new(&config, weights);
    let engine: Box<dyn Engine> = match harm {
        Some(harm) => Box::new(Planted::new(Box::new(engine), harm)),
        None => Box::new(engine),
    };
    let subject = Real {
        codec,
        stop_ids,
        card: card.to_string(),
        tokenizer_sha256,
        engine,
    };
    Ok(Loaded {
        subject: Box::new(subject),
        verify_ns: verified.wall_ns,
        verify_cpu_ns: verified.cpu_ns,
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

/// Well-formed values that no model can compute with speak against the model. Files that are
/// malformed, or that this program cannot read, are invalid input: they show nothing about it.
fn refused(error: &model::Error) -> LoadRefused {
    let is_evidence = matches!(
        error,
        model::Error::NotFinite { .. }
            | model::Error::Scale { .. }
            | model::Error::Zeros { .. }
            | model::Error::AllZero { .. }
    );
    LoadRefused {
        is_evidence,
        message: chain(error),
        hint: error.hint(),
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
    fn a_malformed_file_speaks_against_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), "model.safetensors", Some("short"));
        let refused = check_refused(&request, false, "is not a valid safetensors file: ");
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
        for error in [not_finite, scale, zeros, all_zero] {
            assert!(refused(&error).is_evidence, "{error}");
        }
        let foreign = model::Error::MissingTensor { tensor: tensor() };
        assert!(!refused(&foreign).is_evidence);
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
