//! `model_options`: how to read files that do not say it themselves.

use std::collections::BTreeMap;

use super::finding::quoted;
use super::json::Node;
use super::lint::Breach;
use super::reader::{Object, Reader, UnknownKey};
use super::{ModelOptions, QuantizationMode};

pub(super) const KEYS: [&str; 5] = [
    "i2s_layout",
    "max_load_perplexity",
    "max_summary_perplexity",
    "quantization_mode",
    "stop_token_ids",
];

/// Reads the object; `None` leaves a finding. Any key beyond the known ones is a finding too.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, path: String) -> Option<ModelOptions> {
    let object = reader.object(node, path, &KEYS, UnknownKey::Refuse)?;
    let mut json = BTreeMap::new();
    let i2s_layout = i2s_layout(reader, &object, &mut json);
    let max_load_perplexity = above_0(reader, &object, "max_load_perplexity", &mut json);
    let max_summary_perplexity = above_0(reader, &object, "max_summary_perplexity", &mut json);
    let quantization_mode = quantization_mode(reader, &object, &mut json);
    let stop_token_ids = stop_token_ids(reader, &object, &mut json);
    let members: Vec<String> = json
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    let canonical_json = format!("{{{}}}", members.join(","));
    Some(ModelOptions {
        i2s_layout,
        quantization_mode,
        stop_token_ids,
        max_load_perplexity,
        max_summary_perplexity,
        canonical_json,
    })
}

/// Key → compact JSON of its value.
type Canonical = BTreeMap<&'static str, String>;

fn i2s_layout(reader: &mut Reader<'_>, object: &Object<'_>, json: &mut Canonical) -> Option<u32> {
    let node = object.get("i2s_layout")?;
    let path = object.path_of("i2s_layout");
    let number = reader.number(node, &path)?;
    let layout = match number {
        "64" => Ok(64),
        "128" => Ok(128),
        _ => Err(Breach::invalid("128 or 64", format!("`{number}`"))),
    };
    let layout = reader.keep(node.at, &path, layout)?;
    json.insert("i2s_layout", layout.to_string());
    Some(layout)
}

fn above_0(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    key: &'static str,
    json: &mut Canonical,
) -> Option<f64> {
    let node = object.get(key)?;
    let path = object.path_of(key);
    let number = reader.number(node, &path)?;
    let wrong = || Breach::invalid("a number above 0", format!("`{number}`"));
    let parsed: Option<serde_json::Number> = serde_json::from_str(number).ok();
    let number = parsed
        .filter(|n| n.as_f64().is_some_and(|value| value > 0.0))
        .ok_or_else(wrong);
    let number = reader.keep(node.at, &path, number)?;
    json.insert(key, number.to_string());
    number.as_f64()
}

fn quantization_mode(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    json: &mut Canonical,
) -> Option<QuantizationMode> {
    let node = object.get("quantization_mode")?;
    let path = object.path_of("quantization_mode");
    let text = reader.text(node, &path)?;
    let mode = match text {
        "offline" => Ok(QuantizationMode::Offline),
        "online" => Ok(QuantizationMode::Online),
        _ => Err(Breach::invalid(
            "offline or online",
            format!("`{}`", quoted(text)),
        )),
    };
    let mode = reader.keep(node.at, &path, mode)?;
    json.insert("quantization_mode", format!("\"{text}\""));
    Some(mode)
}

fn stop_token_ids(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    json: &mut Canonical,
) -> Option<Vec<u32>> {
    let node = object.get("stop_token_ids")?;
    let path = object.path_of("stop_token_ids");
    let mut ids = Vec::new();
    for (index, item) in reader.list(node, &path)?.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let number = reader.number(item, &path)?;
        let wrong = || Breach::invalid("a token id", format!("`{number}`"));
        ids.push(reader.keep(item.at, &path, number.parse::<u32>().map_err(|_| wrong()))?);
    }
    let texts: Vec<String> = ids.iter().map(u32::to_string).collect();
    json.insert("stop_token_ids", format!("[{}]", texts.join(",")));
    Some(ids)
}
