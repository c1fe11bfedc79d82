//! How the model reads the built-in texts.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::not_built;
use crate::cli::Failure;
use crate::engine::{self, texts};
use crate::model::{self, ModelBundle, Numerics};

/// What the check found.
pub(super) struct Checked {
    /// The gates every load passes, in words.
    gates: &'static [&'static str],
    readings: Vec<texts::Reading>,
    limits: texts::Limits,
    /// Whether the model reads well enough.
    verdict: Result<(), texts::Error>,
}

/// Reads the built-in texts. The sanity gates of every load have been passed by now.
pub(super) fn run(bundle: ModelBundle, limits: texts::Limits) -> Result<Checked, Failure> {
    if bundle.codec.tokenizer.is_none() {
        return Err(Failure::invalid(model::Error::NoTokenizer));
    }
    let gates: &[_] = match bundle.card.numerics {
        Numerics::Fixed => &[
            "codes",
            "zero share",
            "scales",
            "norms",
            "vocabulary",
            "packing",
        ],
        Numerics::CpuDependent => &["names", "shapes", "scales", "norms", "vocabulary"],
    };
    let mut engine = engine::build(bundle.network, None).map_err(not_built)?;
    let readings = texts::read_all(engine.as_mut(), &bundle.codec).map_err(Failure::invalid)?;
    let verdict = texts::check(&readings, limits);
    Ok(Checked {
        gates,
        readings,
        limits,
        verdict,
    })
}

impl Checked {
    /// A model that reads too badly is a failure; what was printed stays true.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        self.verdict.map_err(Failure::invalid)
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("\ncheck\n  passed     {}\n", self.gates.join(", "));
        for reading in &self.readings {
            let _ = write!(
                text,
                "  perplexity {} of the {}, {} tokens",
                figure(reading.perplexity),
                reading.text,
                reading.n_tokens
            );
            if reading.n_tokens < reading.n_whole {
                let _ = write!(text, " of {}: the context is full", reading.n_whole);
            }
            let _ = writeln!(
                text,
                "; {} bits a byte; {} without context",
                figure(reading.bits_per_byte),
                figure(reading.without_context)
            );
        }
        if !self.has_read(texts::Text::Summaries) {
            text.push_str("  summaries  not read: their prompts fill the context\n");
        }
        let texts::Limits {
            paragraphs,
            summaries,
        } = self.limits;
        let stated: Vec<String> = [
            (texts::Text::Portuguese, paragraphs),
            (texts::Text::Summaries, summaries),
        ]
        .into_iter()
        .filter_map(|(text, limit)| Some(format!("{} ({})", limit?, text.limit_key())))
        .collect();
        let allowed = if stated.is_empty() {
            "one text below its figure without context: the manifest has no limit".to_owned()
        } else {
            stated.join(", ")
        };
        let _ = writeln!(text, "  allowed    {allowed}");
        text
    }

    pub(super) fn json(&self) -> Value {
        let readings = self.readings.iter().map(|reading| {
            json!({
                "text": reading.text.as_str(),
                "n_tokens": reading.n_tokens,
                "n_tokens_whole": reading.n_whole,
                "perplexity": reading.perplexity,
                "bits_per_byte": reading.bits_per_byte,
                "perplexity_without_context": reading.without_context,
            })
        });
        json!({
            "gates": self.gates,
            "readings": readings.collect::<Vec<_>>(),
            "max_load_perplexity": self.limits.paragraphs,
            "max_summary_perplexity": self.limits.summaries,
            "decided_by": if self.limits.is_any() { "manifest" } else { "rule" },
            "is_sound": self.verdict.is_ok(),
        })
    }

    fn has_read(&self, text: texts::Text) -> bool {
        self.readings.iter().any(|reading| reading.text == text)
    }
}

/// Two decimals, or a power of ten where nobody reads the digits.
fn figure(value: f64) -> String {
    if value < 1e5 {
        format!("{value:.2}")
    } else {
        format!("{value:.2e}")
    }
}
