//! The vocabulary of a `tokenizer.json` as keys of a GGUF; the way back of `text`.
//!
//! A key for the cutting rule is written only where the rule is one of those that engines know by
//! name. Every other tokenizer needs its `tokenizer.json` beside the weights.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::text::{CONTROL, LLAMA_3, QWEN_2, USER_DEFINED};
use super::value::{Array, Strings, Value};

/// Type of an ordinary token.
const NORMAL: i64 = 1;
/// Type of a row of the embedding table that no token uses.
const UNUSED: i64 = 5;

/// Keys that describe a byte-level BPE vocabulary: kind, cutting rule where it has a name, tokens,
/// their types and merges.
///
/// * `json`: bytes of a `tokenizer.json`
/// * `n_rows`: rows of the embedding table; those without token get a name of their own
///
/// `None` for tokenizers of other kinds.
pub(in crate::model) fn keys_of(json: &[u8], n_rows: usize) -> Option<Vec<(String, Value)>> {
    let root: Map<String, Json> = serde_json::from_slice(json).ok()?;
    let model = root.get("model")?.as_object()?;
    if !is_byte_level_bpe(&root, model) {
        return None;
    }
    let (tokens, types) = tokens(&root, model, n_rows)?;
    let merges = merges(model)?;
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let mut keys = vec![(key("model"), Value::String("gpt2".to_owned()))];
    if let Some(pre) = rule(&root, model) {
        keys.push((key("pre"), Value::String(pre.to_owned())));
    }
    let list = |all: &[String]| {
        let strings: Strings = all.iter().map(String::as_str).collect();
        Value::Array(Array::Strings(strings))
    };
    keys.push((key("tokens"), list(&tokens)));
    keys.push((key("token_type"), Value::Array(Array::I32(types))));
    keys.push((key("merges"), list(&merges)));
    Some(keys)
}

fn is_byte_level_bpe(root: &Map<String, Json>, model: &Map<String, Json>) -> bool {
    let is_unset = |key: &str| match model.get(key) {
        None | Some(Json::Null | Json::Bool(false)) => true,
        Some(Json::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    let is_byte_level = |part: Option<&Json>| {
        let part = part.unwrap_or(&Json::Null);
        kind(part) == Some("ByteLevel") || steps(part).iter().any(|s| kind(s) == Some("ByteLevel"))
    };
    model.get("type").and_then(Json::as_str) == Some("BPE")
        && [
            "byte_fallback",
            "continuing_subword_prefix",
            "end_of_word_suffix",
        ]
        .into_iter()
        .all(is_unset)
        && is_byte_level(root.get("pre_tokenizer"))
        && is_byte_level(root.get("decoder"))
}

fn kind(part: &Json) -> Option<&str> {
    part.get("type")?.as_str()
}

/// The parts of a sequence of pre-tokenizers.
fn steps(part: &Json) -> &[Json] {
    let list = part.get("pretokenizers").and_then(Json::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Spelling and type of every row; `None` when two tokens share an id, or one has no row.
fn tokens(
    root: &Map<String, Json>,
    model: &Map<String, Json>,
    n_rows: usize,
) -> Option<(Vec<String>, Vec<i32>)> {
    let mut all: BTreeMap<usize, (&str, i64)> = BTreeMap::new();
    for (token, id) in model.get("vocab")?.as_object()? {
        let id = usize::try_from(id.as_u64()?).ok()?;
        if all.insert(id, (token, NORMAL)).is_some() {
            return None;
        }
    }
    let added = root.get("added_tokens").and_then(Json::as_array);
    for token in added.into_iter().flatten() {
        let id = usize::try_from(token.get("id")?.as_u64()?).ok()?;
        let content = token.get("content")?.as_str()?;
        let is_special = token.get("special").and_then(Json::as_bool)?;
        let kind = if is_special { CONTROL } else { USER_DEFINED };
        if all
            .insert(id, (content, kind))
            .is_some_and(|(before, _)| before != content)
        {
            return None;
        }
    }
    if all.last_key_value().is_some_and(|(id, _)| *id >= n_rows) {
        return None;
    }
    let spellings: BTreeSet<&str> = all.values().map(|(token, _)| *token).collect();
    if spellings.len() != all.len() {
        return None;
    }
    let unused = |id: usize| {
        let mut name = format!("[PAD{id}]");
        while spellings.contains(name.as_str()) {
            name.push('_');
        }
        (name, UNUSED)
    };
    let rows = (0..n_rows).map(|id| match all.get(&id) {
        Some((token, kind)) => ((*token).to_owned(), *kind),
        None => unused(id),
    });
    let number = |kind: i64| i32::try_from(kind).expect("types are small");
    Some(rows.map(|(token, kind)| (token, number(kind))).unzip())
}

/// Merges as two halves with a space between.
fn merges(model: &Map<String, Json>) -> Option<Vec<String>> {
    let all = model.get("merges")?.as_array()?.iter();
    all.map(|merge| match merge {
        Json::String(text) => Some(text.clone()),
        Json::Array(halves) => match halves.as_slice() {
            [Json::String(a), Json::String(b)] => Some(format!("{a} {b}")),
            _ => None,
        },
        _ => None,
    })
    .collect()
}

/// Name of the cutting rule, where everything that goes with the name is so.
fn rule(root: &Map<String, Json>, model: &Map<String, Json>) -> Option<&'static str> {
    let [split, bytes] = steps(root.get("pre_tokenizer")?) else {
        return None;
    };
    let is = |part: &Json, key: &str, value: bool| part.get(key) == Some(&Json::Bool(value));
    let is_cut = kind(split) == Some("Split")
        && split.get("behavior").and_then(Json::as_str) == Some("Isolated")
        && is(split, "invert", false);
    let is_mapped = kind(bytes) == Some("ByteLevel")
        && is(bytes, "add_prefix_space", false)
        && is(bytes, "use_regex", false);
    if !(is_cut && is_mapped) {
        return None;
    }
    let regex = split.get("pattern")?.get("Regex")?.as_str()?;
    let ignores_merges = model.get("ignore_merges") == Some(&Json::Bool(true));
    let normalizer = root.get("normalizer").filter(|part| !part.is_null());
    match (regex, ignores_merges, normalizer.map(kind)) {
        (LLAMA_3, true, None) => Some("llama-bpe"),
        (QWEN_2, false, Some(Some("NFC"))) => Some("qwen2"),
        _ => None,
    }
}
