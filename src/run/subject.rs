//! The real model of a worker: verified files, loaded, with an engine around the weights.

use super::probe::Stopwatch;
use super::protocol::{FileRequest, LoadRequest};
use super::worker::{LoadRefused, Loaded, Subject, chain};
use crate::artifact::digest::digest_file;
use crate::artifact::{ModelFiles, VerifiedArtifact};
use crate::engine::{BitNet, Engine, Harm, Planted};
use crate::hint::Hint as _;
use crate::model::{self, Codec, ModelBundle};
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

    let bundle = ModelBundle::load(&files).map_err(|error| refused(&error))?;
    let ModelBundle {
        config,
        weights,
        codec,
        stop_ids,
        card,
    } = bundle;
    let Some(tokenizer) = &card.tokenizer else {
        return Err(refused(&model::Error::NoTokenizer));
    };
    let tokenizer_sha256 = tokenizer.digest;
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

/// A model that is broken speaks against itself; one that this program cannot read does not.
fn refused(error: &model::Error) -> LoadRefused {
    let is_foreign = matches!(
        error,
        model::Error::MissingFile { .. }
            | model::Error::Io { .. }
            | model::Error::UnknownQuantization { .. }
            | model::Error::Unsupported { .. }
            | model::Error::NoTokenizer
    );
    LoadRefused {
        is_evidence: !is_foreign,
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
