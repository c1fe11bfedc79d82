//! Tokenizer, chat template and ends, in files and in GGUF metadata.

use serde_json::{Map, Value as Json, json};

use super::{Error, Form};
use crate::artifact::ModelFiles;
use crate::model::codec::TEMPLATE_IN_METADATA;
use crate::model::gguf::{self, Value};
use crate::model::optional;
use crate::model::source::Source;

/// Files that are taken over as they are.
const CARRIED: [&str; 5] = [
    "chat_template.jinja",
    GENERATION,
    "special_tokens_map.json",
    TOKENIZER,
    TOKENIZER_CONFIG,
];

const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// End ids a GGUF has keys for.
const END_KEYS: [&str; 2] = ["eos_token_id", "eot_token_id"];

/// The files that stand beside the weights, with their content.
///
/// # Errors
/// [`Error::Source`].
pub(super) fn files(
    source: &Source,
    files: &ModelFiles,
    form: Form,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut all = Vec::new();
    for name in CARRIED {
        if let Some((_, bytes)) = optional(files, name).map_err(Error::Source)? {
            all.push((name.to_owned(), bytes));
        }
    }
    if form == Form::HfPacked {
        from_metadata(source, &mut all)?;
    } else if source.gguf().is_none() && source.config.eos_ids.len() > END_KEYS.len() {
        more_ends(&source.config.eos_ids, &mut all);
    }
    Ok(all)
}

fn has(all: &[(String, Vec<u8>)], name: &str) -> bool {
    all.iter().any(|(file, _)| file == name)
}

/// Adds what only the metadata of a GGUF says.
fn from_metadata(source: &Source, all: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    let (Some(gguf), Some(tokenizer)) = (source.gguf(), &source.codec.tokenizer) else {
        return Ok(());
    };
    if !has(all, TOKENIZER) {
        let json = match gguf
            .metadata
            .get(gguf::HUGGING_FACE)
            .and_then(Value::as_str)
        {
            Some(json) => json.to_owned(),
            None => tokenizer.to_json().map_err(Error::Source)?,
        };
        all.push((TOKENIZER.to_owned(), json.into_bytes()));
    }
    let template = source.facts.template.as_ref();
    let is_in_metadata = template.is_some_and(|origin| origin.source == TEMPLATE_IN_METADATA);
    let template = source.codec.template.as_ref().filter(|_| is_in_metadata);
    let template = template.map(|template| template.source().to_owned());
    if !has(all, TOKENIZER_CONFIG) {
        let mut settings = json!({ "tokenizer_class": "PreTrainedTokenizerFast" });
        if let Some((_, bos)) = &source.codec.bos {
            settings["bos_token"] = json!(bos);
        }
        let eos = source.config.eos_ids.first();
        if let Some(eos) = eos.and_then(|id| tokenizer.token(*id)) {
            settings["eos_token"] = json!(eos);
        }
        if let Some(template) = template {
            settings["chat_template"] = json!(template);
        }
        let text = format!("{settings:#}\n");
        all.push((TOKENIZER_CONFIG.to_owned(), text.into_bytes()));
    } else if let Some(template) = template {
        all.push(("chat_template.jinja".to_owned(), template.into_bytes()));
    }
    Ok(())
}

/// Puts end ids for which a GGUF has no key into the generation settings.
fn more_ends(eos_ids: &[u32], all: &mut Vec<(String, Vec<u8>)>) {
    let place = all.iter().position(|(name, _)| name == GENERATION);
    let mut settings: Map<String, Json> = place
        .and_then(|place| serde_json::from_slice(&all[place].1).ok())
        .unwrap_or_default();
    let mut ids: Vec<u32> = match settings.get("eos_token_id") {
        Some(Json::Array(list)) => list
            .iter()
            .filter_map(|id| u32::try_from(id.as_u64()?).ok())
            .collect(),
        Some(one) => one
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .into_iter()
            .collect(),
        None => Vec::new(),
    };
    ids.extend(eos_ids);
    ids.sort_unstable();
    ids.dedup();
    settings.insert("eos_token_id".to_owned(), json!(ids));
    let text = format!("{:#}\n", Json::Object(settings)).into_bytes();
    match place {
        Some(place) => all[place].1 = text,
        None => all.push((GENERATION.to_owned(), text)),
    }
}

/// Keys of a GGUF about text: those of the source, or what its files say in the same words.
pub(super) fn metadata(
    source: &Source,
    files: &ModelFiles,
    notes: &mut Vec<String>,
) -> Vec<(String, Value)> {
    if let Some(gguf) = source.gguf() {
        let kept = gguf.metadata.iter();
        return kept
            .filter(|(key, _)| key.starts_with("tokenizer."))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
    }
    let mut keys = Vec::new();
    let json = optional(files, TOKENIZER).ok().flatten();
    if let Some((_, json)) = json {
        match gguf::keys_of(&json, source.config.vocab_size) {
            Some(found) => keys.extend(found),
            None => notes.push(
                "the tokenizer has no form in GGUF metadata: it stands in tokenizer.json beside the file only"
                    .to_owned(),
            ),
        }
    }
    let has_rule = keys.iter().any(|(key, _)| key == "tokenizer.ggml.pre");
    if !keys.is_empty() && !has_rule {
        notes.push(
            "the way the tokenizer cuts text has no name in GGUF: keep tokenizer.json beside the file"
                .to_owned(),
        );
    }
    let mut id = |key: &str, id: Option<u32>| {
        keys.extend(id.map(|id| (format!("tokenizer.ggml.{key}"), Value::U32(id))));
    };
    id("bos_token_id", source.config.bos_id);
    for (key, end) in END_KEYS.into_iter().zip(&source.config.eos_ids) {
        id(key, Some(*end));
    }
    id("padding_token_id", source.padding_id);
    if let Some(tokenizer) = &source.codec.tokenizer {
        // What the tokenizer adds around nothing is what it adds around every text.
        let around = tokenizer.encode("", true).unwrap_or_default();
        let adds = |id: Option<&u32>, end: Option<&u32>| id.is_some() && id == end;
        let leads = adds(source.config.bos_id.as_ref(), around.first());
        let ends = adds(source.config.eos_ids.first(), around.last());
        for (key, is_so) in [("add_bos_token", leads), ("add_eos_token", ends)] {
            keys.push((format!("tokenizer.ggml.{key}"), Value::Bool(is_so)));
        }
    }
    let is_built_in = |origin: &str| origin == "built-in";
    if let Some(template) = &source.codec.template
        && !is_built_in(template.origin())
    {
        let text = template.source().to_owned();
        keys.push(("tokenizer.chat_template".to_owned(), Value::String(text)));
    }
    keys
}
