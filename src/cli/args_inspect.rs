//! Arguments of `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{Head, I2sBlock};

const EXAMPLES: &str = "\
Examples:
  vv-eval inspect eval-sets/reference-models/1.0.0
  vv-eval inspect models/new --check
  vv-eval inspect models/new --check --format json
  vv-eval inspect models/ggml-model-i2_s.gguf
  vv-eval inspect models/new --token-ids 1,5,9 --logits logits.json";

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// Manifest file, model directory or GGUF file.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Token ids to feed, separated by commas.
    #[arg(
        long,
        value_name = "IDS",
        value_delimiter = ',',
        requires = "logits",
        required = false,
        num_args = 1
    )]
    pub token_ids: Vec<u32>,
    /// Write the logits of every position as JSON, computed with the exact float head.
    #[arg(long, value_name = "FILE", requires = "token_ids")]
    pub logits: Option<PathBuf>,
    /// Read built-in texts, two plain paragraphs and four summaries behind their prompts, and hold
    /// their perplexity against the manifest's `max_load_perplexity` and `max_summary_perplexity`;
    /// without either, one text must be read better than any guess without context.
    #[arg(long, conflicts_with = "logits")]
    pub check: bool,
    /// Form of what is printed.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        conflicts_with = "logits"
    )]
    pub format: InspectFormat,
    /// How the output head is kept in memory (default: int8; exact with --logits).
    #[arg(long, value_enum, value_name = "STORAGE")]
    pub head: Option<Head>,
    /// Values per block of `I2_S` tensors (default: the manifest's word, else 128).
    #[arg(long, value_enum, value_name = "VALUES")]
    pub i2s_layout: Option<I2sBlock>,
}

/// A form of a model's card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum InspectFormat {
    /// One property a line.
    #[default]
    Text,
    /// One object.
    Json,
}
