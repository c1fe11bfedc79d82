//! Text to ids and back: tokenizer, chat template, and the ids that begin and end a text.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::config::{Family, Keys};
use super::gguf::{self, Gguf};
use super::{ChatTemplate, Error, ModelConfig, Origin, Tokenizer, optional};
use crate::artifact::ModelFiles;
use crate::units::Sha256;

/// The token that ends a turn in Llama-3 vocabularies, which published files do not declare.
const END_OF_TURN: &str = "<|eot_id|>";

/// Source of a template that only a GGUF holds.
pub(super) const TEMPLATE_IN_METADATA: &str = "gguf metadata";

/// The template of 2B-4T, whose GGUF files hold a placeholder instead.
const BUILT_IN: &str = concat!(
    "{% for message in messages %}",
    "{% if loop.first %}{{ bos_token }}{% endif %}",
    "{{ message['role'] | capitalize }}: {{ message['content'] | trim }}<|eot_id|>",
    "{% endfor %}",
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
);

/// How a model reads and writes text.
pub struct Codec {
    /// Absent for models that are only fed ids.
    pub tokenizer: Option<Tokenizer>,
    /// Absent for models that continue plain text.
    pub template: Option<ChatTemplate>,
    /// Beginning-of-sequence id and its spelling.
    pub(super) bos: Option<(u32, String)>,
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

/// What shaped the text side of a model, for its card.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The tokenizer, where there is one.
    pub(super) tokenizer: Option<Origin>,
    /// The chat template, where there is one.
    pub(super) template: Option<Origin>,
    /// Whatever is odd but not wrong.
    pub(super) warnings: Vec<String>,
}

/// What the weights say about the ids they know.
pub(super) struct Vocabulary {
    /// Rows of the embedding table.
    pub(super) n_rows: usize,
    /// Beginning-of-sequence id, where declared.
    pub(super) bos_id: Option<u32>,
    /// End ids, where declared.
    pub(super) eos_ids: Vec<u32>,
    /// Whether the template of 2B-4T may stand in for one that is missing.
    pub(super) is_bitnet: bool,
}

impl From<&ModelConfig> for Vocabulary {
    fn from(config: &ModelConfig) -> Self {
        Self {
            n_rows: config.vocab_size,
            bos_id: config.bos_id,
            eos_ids: config.eos_ids.clone(),
            is_bitnet: config.family == Family::BitNet,
        }
    }
}

impl Codec {
    /// Tokenizer, template and beginning-of-sequence token, checked against the embedding table.
    ///
    /// Files beside the weights win over what a GGUF holds.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::TokenizerMismatch`], [`Error::Template`], and those about
    /// reading files and keys.
    pub(super) fn read(
        files: &ModelFiles,
        vocabulary: &Vocabulary,
        gguf: Option<&Gguf>,
        facts: &mut Facts,
    ) -> Result<Self, Error> {
        let settings = Settings::read(files, "tokenizer_config.json")?;
        let tokenizer = tokenizer(files, vocabulary, gguf, facts)?;
        let special = |key: &str| settings.as_ref().map_or(Ok(None), |s| s.special_token(key));
        let spelling = |id: Option<u32>| tokenizer.as_ref()?.token(id?);
        let bos_token = special("bos_token")?.or_else(|| spelling(vocabulary.bos_id));
        let first_eos = vocabulary.eos_ids.first().copied();
        let eos_token = special("eos_token")?.or_else(|| spelling(first_eos));
        let bos = bos_token
            .as_ref()
            .and_then(|text| Some((tokenizer.as_ref()?.id(text)?, text.clone())));

        let mut source = template_source(files, settings.as_ref(), gguf)?;
        let has_turns = |t: &Tokenizer| t.id(END_OF_TURN).is_some();
        if source.is_none() && vocabulary.is_bitnet && tokenizer.as_ref().is_some_and(has_turns) {
            source = Some(("built-in", BUILT_IN.to_owned()));
        }
        let template = source
            .map(|(origin, text)| {
                facts.template = Some(Origin {
                    source: origin.to_owned(),
                    digest: Sha256::of(text.as_bytes()),
                });
                ChatTemplate::new(origin, text, bos_token, eos_token)
            })
            .transpose()?;
        if tokenizer.is_some() && template.is_none() {
            facts
                .warnings
                .push("no chat template: prompts are fed as plain text".to_owned());
        }
        Ok(Self {
            tokenizer,
            template,
            bos,
        })
    }

    /// Every id any of the files calls an end, the end of a turn by its name, and the ids the user
    /// adds; ascending.
    ///
    /// # Errors
    /// [`Error::NoStop`] when a model with a tokenizer has none, [`Error::SpecialId`] for ids that
    /// no token has, and those about reading files and keys.
    pub(super) fn stop_ids(
        &self,
        files: &ModelFiles,
        vocabulary: &Vocabulary,
        added: &[u32],
        facts: &mut Facts,
    ) -> Result<Vec<u32>, Error> {
        let mut ids = vocabulary.eos_ids.clone();
        if let Some(generation) = Settings::read(files, "generation_config.json")? {
            ids.extend(generation.keys().ids("eos_token_id")?);
            ids.extend(generation.keys().ids("eot_token_id")?);
        }
        let tokenizer = self.tokenizer.as_ref();
        ids.extend(tokenizer.and_then(|tokenizer| tokenizer.id(END_OF_TURN)));
        ids.extend_from_slice(added);
        ids.sort_unstable();
        ids.dedup();
        self.check_special_ids(vocabulary, &ids, facts)?;
        if ids.is_empty() && self.tokenizer.is_some() {
            return Err(Error::NoStop {
                origin: files.origin.clone(),
            });
        }
        Ok(ids)
    }

    fn check_special_ids(
        &self,
        vocabulary: &Vocabulary,
        stop_ids: &[u32],
        facts: &mut Facts,
    ) -> Result<(), Error> {
        let vocab_size = vocabulary.n_rows;
        let stops = stop_ids.iter().map(|&id| ("stop id", id));
        for (what, id) in vocabulary
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
            if self.tokenizer.is_some() {
                return Err(error);
            }
            facts.warnings.push(error.to_string());
        }
        Ok(())
    }
}

/// The tokenizer beside the weights, else the one in their metadata.
fn tokenizer(
    files: &ModelFiles,
    vocabulary: &Vocabulary,
    gguf: Option<&Gguf>,
    facts: &mut Facts,
) -> Result<Option<Tokenizer>, Error> {
    let (path, tokenizer) = match (optional(files, "tokenizer.json")?, gguf) {
        (Some((path, bytes)), _) => {
            let tokenizer = Tokenizer::parse(&path, &bytes)?;
            facts.tokenizer = Some(Origin {
                source: "tokenizer.json".to_owned(),
                digest: Sha256::of(&bytes),
            });
            (path, tokenizer)
        }
        (None, None) => return Ok(None),
        (None, Some(gguf)) => {
            let Some(embedded) = gguf::tokenizer(gguf)? else {
                return Ok(None);
            };
            facts.tokenizer = Some(embedded.origin);
            facts.warnings.extend(embedded.warnings);
            (gguf.path().to_owned(), embedded.tokenizer)
        }
    };
    let (limit, rows) = (tokenizer.id_limit(), vocabulary.n_rows);
    if limit as usize > rows {
        return Err(Error::TokenizerMismatch {
            path,
            id: limit - 1,
            rows,
        });
    }
    if rows > limit as usize {
        facts
            .warnings
            .push(format!("{rows} embedding rows for {limit} token ids"));
    }
    Ok(Some(tokenizer))
}

/// The chat template of the files, with the name of its source.
fn template_source(
    files: &ModelFiles,
    settings: Option<&Settings>,
    gguf: Option<&Gguf>,
) -> Result<Option<(&'static str, String)>, Error> {
    if let Some((path, bytes)) = optional(files, "chat_template.jinja")? {
        let text = String::from_utf8(bytes).map_err(|error| Error::BadKey {
            path,
            key: "(whole file)".to_owned(),
            expected: "UTF-8 text".to_owned(),
            found: error.to_string(),
        })?;
        return Ok(Some(("chat_template.jinja", text)));
    }
    if let Some(settings) = settings
        && let Some(text) = settings.keys().optional_text("chat_template")?
    {
        return Ok(Some(("tokenizer_config.json", text.to_owned())));
    }
    let text = gguf.map(gguf::template).transpose()?.flatten();
    Ok(text.map(|text| (TEMPLATE_IN_METADATA, text)))
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
