//! What was detected of a model, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::artifact::Resolved;
use crate::model::{ModelCard, Numerics, Origin};
use crate::report::escape::one_line;
use crate::units::Sha256;

/// The card, one property a line.
pub(super) fn text(found: &Resolved, card: &ModelCard) -> String {
    let pinned = if found.files.is_pinned {
        "pinned by its manifest"
    } else {
        "unpinned"
    };
    let version = found.version.as_deref().unwrap_or("without version");
    let origin = |origin: &Option<Origin>| {
        origin.as_ref().map_or("none".to_owned(), |origin| {
            format!("{}, sha256 {}", origin.source, origin.digest)
        })
    };
    let digest = |digest: Option<Sha256>| match digest {
        Some(digest) => format!("sha256 {digest}"),
        None => "none: the weights are not ternary".to_owned(),
    };
    let types: Vec<String> = card
        .weight_types
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let stops: Vec<String> = card.stop_ids.iter().map(ToString::to_string).collect();
    let (layers, hidden, inter) = (card.n_layers, card.hidden_size, card.intermediate_size);
    let yes_no = |is_so: bool| if is_so { "yes" } else { "no" };
    let mut text = String::new();
    let rows = [
        ("model", format!("{} {version}, {pinned}", found.name)),
        (
            "release digest",
            format!("sha256 {}", found.files.release_digest),
        ),
        ("family", card.family.to_string()),
        ("container", card.container.to_owned()),
        (
            "shape",
            format!("{layers} layers, width {hidden}, feed-forward {inter}"),
        ),
        ("activation", card.act.to_string()),
        ("sub-norms", yes_no(card.sub_norms).to_owned()),
        ("q/k norms", yes_no(card.qk_norms).to_owned()),
        (
            "rope",
            format!("{}, theta {}", card.rope_pairs, card.rope_theta),
        ),
        (
            "scale",
            format!("{} (from {})", card.scale, card.scale_source),
        ),
        ("tensors", types.join(", ")),
        ("parameters", card.n_parameters.to_string()),
        ("vocabulary", card.vocab_size.to_string()),
        ("tokenizer", origin(&card.tokenizer)),
        ("chat template", origin(&card.template)),
        (
            "stop tokens",
            if stops.is_empty() {
                "none".into()
            } else {
                stops.join(", ")
            },
        ),
        (
            "activations",
            match card.numerics {
                Numerics::Fixed => "8 bit",
                Numerics::CpuDependent => "as candle rounds them",
            }
            .to_owned(),
        ),
        ("numerics", card.numerics.to_string()),
        (
            "head",
            card.head
                .map_or("as stored".to_owned(), |head| head.to_string()),
        ),
        ("codes digest", digest(card.codes_digest)),
        ("layers digest", digest(card.layers_digest)),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<16}{}", one_line(&value));
    }
    text.push_str("\nfiles\n");
    for (name, file) in &found.files.files {
        let (size, digest) = (file.size(), file.sha256());
        let _ = writeln!(text, "  {:<26}{size:>10}  sha256 {digest}", one_line(name));
    }
    text
}

/// The same as one object.
pub(super) fn json(found: &Resolved, card: &ModelCard) -> Value {
    let origin = |origin: &Option<Origin>| {
        origin
            .as_ref()
            .map(|origin| json!({ "source": origin.source, "sha256": origin.digest.to_string() }))
    };
    let digest = |digest: Option<Sha256>| digest.map(|digest| digest.to_string());
    let files = found.files.files.iter().map(|(name, file)| {
        json!({
            "name": name,
            "size_bytes": file.size().0,
            "sha256": file.sha256().to_string(),
        })
    });
    json!({
        "schema_version": 1,
        "name": found.name,
        "version": found.version,
        "is_pinned": found.files.is_pinned,
        "release_sha256": found.files.release_digest.to_string(),
        "card": {
            "family": card.family.to_string(),
            "container": card.container,
            "n_layers": card.n_layers,
            "hidden_size": card.hidden_size,
            "intermediate_size": card.intermediate_size,
            "vocab_size": card.vocab_size,
            "n_parameters": card.n_parameters,
            "activation": { "name": card.act.to_string(), "source": card.act_source },
            "sub_norms": card.sub_norms,
            "qk_norms": card.qk_norms,
            "rope": { "pairs": card.rope_pairs, "theta": card.rope_theta },
            "scale": { "convention": card.scale, "source": card.scale_source },
            "weight_types": card.weight_types,
            "tokenizer": origin(&card.tokenizer),
            "template": origin(&card.template),
            "stop_ids": card.stop_ids,
            "head": card.head.map(|head| head.to_string()),
            "numerics": card.numerics.to_string(),
            "codes_sha256": digest(card.codes_digest),
            "layers_sha256": digest(card.layers_digest),
            "warnings": card.warnings,
        },
        "files": files.collect::<Vec<_>>(),
    })
}
