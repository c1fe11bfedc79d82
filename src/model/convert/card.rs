//! The page that says where a converted model came from.

use std::fmt::Write as _;

use super::Converted;
use crate::units::Sha256;

/// What the source is called.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Version of the source, where it has one.
    pub from_version: Option<&'a str>,
    /// Version of the result, where it has one.
    pub version: Option<&'a str>,
    /// Identity of the source's files.
    pub from_release: Sha256,
}

/// `MODEL_CARD.md` of a converted model: the same for the same source, wherever it is made.
pub fn model_card(converted: &Converted, label: &Label<'_>) -> String {
    let Converted {
        from, form, config, ..
    } = converted;
    let after = |version: Option<&str>| version.map_or(String::new(), |v| format!(" {v}"));
    let (name, before) = (label.name, after(label.from_version));
    let mut text = format!("# {name}{}\n\n", after(label.version));
    let _ = writeln!(
        text,
        "The weights of {name}{before} in another container, made by \
         `vv-eval model convert --to {form}`. Nothing was quantized again: codes, scales, \
         embeddings and norms have the values of the source, bit for bit."
    );
    let types: Vec<String> = converted
        .tensors
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let norms = if config.has_sub_norms() {
        "sub-norms"
    } else {
        "no sub-norms"
    };
    let rows = [
        (
            "network",
            format!(
                "{}: {} layers, width {}, feed-forward {}, {} heads of {}, {} key heads, vocabulary {}, context {}",
                converted.family,
                config.n_layers,
                config.hidden_size,
                config.intermediate_size,
                config.n_heads,
                config.head_dim,
                config.n_kv_heads,
                config.vocab_size,
                config.max_positions
            ),
        ),
        ("activation", format!("{}, {norms}", config.act)),
        ("parameters", converted.n_parameters.to_string()),
        (
            "source",
            format!("{from}, release sha256 `{}`", label.from_release),
        ),
        ("container", format!("{form}: {}", types.join(", "))),
        (
            "layers digest",
            format!("sha256 `{}`, that of the source", converted.identity.layers),
        ),
        (
            "codes digest",
            format!("sha256 `{}`", converted.identity.codes),
        ),
        ("licence", "that of the source".to_owned()),
    ];
    text.push_str("\n| | |\n| --- | --- |\n");
    for (key, value) in rows {
        let _ = writeln!(text, "| {key} | {} |", value.replace('|', "\\|"));
    }
    text.push_str(
        "\n`vv-eval inspect` prints the layers digest of any container; equal ones prove the same \
         ternary weights.\n",
    );
    text
}
