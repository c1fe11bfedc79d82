//! `vv-eval inspect`: what was detected of a model, or its exact logits.

use std::fmt::Write as _;
use std::path::Path;

use super::args;
use super::exit::Exit;
use super::output::print;
use super::settings::load_settings;
use super::{Failure, progress};
use crate::artifact::{self, Resolved};
use crate::durable::{shown, write_atomic};
use crate::engine::{self, BuildError, paragraphs};
use crate::model::{self, ModelBundle, ModelCard, Numerics, Origin};
use crate::report::escape::one_line;
use crate::run::load_options;
use crate::units::Sha256;

/// Prints the card, checks the model, or writes the logits asked for.
pub(super) fn run(args: &args::Inspect) -> Result<(), Failure> {
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
    match &args.logits {
        Some(path) => write_logits(bundle, &args.token_ids, path),
        None if args.check => {
            print(card(&found, &bundle.card).as_bytes())?;
            check(bundle, settings.max_load_perplexity)
        }
        None => print(card(&found, &bundle.card).as_bytes()),
    }
}

/// Prints how the model reads the built-in paragraphs, and refuses it when that is too badly. The
/// sanity gates of every load have been passed by now.
fn check(bundle: ModelBundle, allowed: Option<f64>) -> Result<(), Failure> {
    let Some(tokenizer) = &bundle.codec.tokenizer else {
        return Err(Failure::invalid(model::Error::NoTokenizer));
    };
    let passed = match bundle.card.numerics {
        Numerics::Fixed => "codes, zero share, scales, norms, vocabulary, packing",
        Numerics::CpuDependent => "names, shapes, scales, norms, vocabulary",
    };
    let mut engine = engine::build(bundle.network, None).map_err(not_built)?;
    let readings = paragraphs::read_all(engine.as_mut(), tokenizer).map_err(Failure::invalid)?;
    let mut text = format!("\ncheck\n  passed   {passed}\n");
    for reading in &readings {
        let _ = write!(
            text,
            "  perplexity {} of the {} paragraph, {} tokens",
            figure(reading.perplexity),
            reading.language,
            reading.n_tokens
        );
        if reading.n_tokens < reading.n_paragraph {
            let _ = write!(text, " of {}: the context is full", reading.n_paragraph);
        }
        text.push('\n');
    }
    let _ = match allowed {
        Some(allowed) => writeln!(text, "  allowed    {allowed} (max_load_perplexity)"),
        None => writeln!(
            text,
            "  allowed    any: the manifest has no max_load_perplexity"
        ),
    };
    print(text.as_bytes())?;
    let limit = allowed.unwrap_or(f64::INFINITY);
    paragraphs::check(&readings, limit).map_err(Failure::invalid)
}

/// Repacked weights that are not those of the file are not the model's fault, but this program's.
fn not_built(error: BuildError) -> Failure {
    let exit = match error {
        BuildError::Repacked(_) => Exit::Internal,
        _ => Exit::Invalid,
    };
    Failure::invalid(error).with_exit(exit)
}

/// Two decimals, or a power of ten where nobody reads the digits.
fn figure(perplexity: f64) -> String {
    if perplexity < 1e5 {
        format!("{perplexity:.2}")
    } else {
        format!("{perplexity:.2e}")
    }
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

/// The card, one property a line.
fn card(found: &Resolved, card: &ModelCard) -> String {
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
