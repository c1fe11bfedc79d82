//! `vv-eval inspect`: what was detected of a model, or its exact logits.

mod card;
mod check;

use std::path::Path;

use super::args;
use super::args_inspect::{Inspect, InspectFormat};
use super::exit::Exit;
use super::output::print;
use super::settings::load_settings;
use super::{Failure, progress};
use crate::artifact;
use crate::durable::{shown, write_atomic};
use crate::engine::{self, BuildError};
use crate::model::ModelBundle;
use crate::report::escape::one_line;
use crate::run::{load_options, text_limits};

/// Prints the card, and what a check found where one is asked for, or writes logits.
pub(super) fn run(args: &Inspect) -> Result<(), Failure> {
    let found = artifact::resolve(&args.model).map_err(Failure::invalid)?;
    // The logits are for comparison with other implementations, so nothing is rounded for them.
    let head = args.head.unwrap_or(match args.logits {
        Some(_) => args::Head::Exact,
        None => args::Head::default(),
    });
    // Here the flag wins over the manifest: whoever inspects may try the other layout.
    let stated = found
        .options
        .as_ref()
        .and_then(|options| options.i2s_layout);
    let i2s_layout = args.i2s_layout.map(args::I2sBlock::values).or(stated);
    let settings = load_settings(found.options.as_ref(), head, i2s_layout);
    let options = load_options(&settings).expect("flags and manifests have known values only");
    let bundle = ModelBundle::load(&found.files, &options).map_err(Failure::invalid)?;
    for warning in found.warnings.iter().chain(&bundle.card.warnings) {
        progress::say(&format!("warning: {}", one_line(warning)));
    }
    if let Some(path) = &args.logits {
        return write_logits(bundle, &args.token_ids, path);
    }
    let mut text = card::text(&found, &bundle.card);
    let mut json = card::json(&found, &bundle.card);
    let checked = args
        .check
        .then(|| check::run(bundle, text_limits(&settings)));
    if let Some(Ok(checked)) = &checked {
        text.push_str(&checked.text());
        json["check"] = checked.json();
    }
    match args.format {
        InspectFormat::Text => print(text.as_bytes())?,
        InspectFormat::Json => print(format!("{json:#}\n").as_bytes())?,
    }
    checked.transpose()?.map_or(Ok(()), check::Checked::verdict)
}

/// Repacked weights that are not those of the file are not the model's fault, but this program's.
fn not_built(error: BuildError) -> Failure {
    let exit = match error {
        BuildError::Repacked(_) => Exit::Internal,
        _ => Exit::Invalid,
    };
    Failure::invalid(error).with_exit(exit)
}

/// `{"token_ids": […], "logits": [[…], …]}`, one row of logits for every position.
fn write_logits(bundle: ModelBundle, ids: &[u32], path: &Path) -> Result<(), Failure> {
    let mut engine = engine::build(bundle.network, None).map_err(not_built)?;
    let mut logits = Vec::new();
    engine
        .feed_all(ids, &mut logits)
        .map_err(Failure::invalid)?;
    let rows: Vec<&[f32]> = logits.chunks(engine.vocab_size()).collect();
    for (position, row) in rows.iter().enumerate() {
        engine::check_finite(row, position).map_err(Failure::invalid)?;
    }
    let json = serde_json::json!({ "token_ids": ids, "logits": rows });
    write_atomic(path, format!("{json}\n").as_bytes()).map_err(Failure::invalid)?;
    progress::say(&format!(
        "{} rows of {} logits in {}",
        rows.len(),
        engine.vocab_size(),
        shown(path)
    ));
    Ok(())
}
