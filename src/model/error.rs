//! What can be wrong with a model's files.

use std::path::PathBuf;

use super::gguf::FormatError;
use super::safetensors::HeaderError;
use crate::hint::Hint;

/// Why a model could not be loaded, or a prompt not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file the format needs is not among the model's files.
    #[error("{} has no {name} (found: {})", .origin.display(), .found.join(", "))]
    MissingFile {
        /// Where the files came from.
        origin: PathBuf,
        /// The file expected.
        name: &'static str,
        /// The files there are.
        found: Vec<String>,
    },
    /// A file could not be read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file longer than any of its kind.
    #[error("{} has {found} bytes, expected at most {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length, in bytes.
        found: u64,
        /// Bytes that are read of such files.
        limit: u64,
    },
    /// A file is not the JSON it should be.
    #[error("{} is not valid JSON", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A key that has no safe default is absent.
    #[error("{} has no key `{key}`", .path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
    },
    /// A key holds something that cannot be meant.
    #[error("key `{key}` of {} is {found}, expected {expected}", .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A quantization option this version has never heard of; newer variants compute differently.
    #[error("key `quantization_config.{key}` of {} is not known", .path.display())]
    UnknownQuantization {
        /// The file.
        path: PathBuf,
        /// The key below `quantization_config`.
        key: String,
    },
    /// A model this version does not run.
    #[error("{}: {what} is not supported", .path.display())]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// What is not supported.
        what: String,
    },
    /// A tensor of a type that its container knows and this version does not read.
    #[error("{}: tensor `{tensor}` of type {kind} is not supported", .path.display())]
    UnreadType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        kind: String,
        /// Why, and what to do instead.
        advice: String,
    },
    /// The container of the weights is damaged.
    #[error("{} is not a valid safetensors file", .path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: HeaderError,
    },
    /// The index of a checkpoint in several files contradicts them.
    #[error("{} {reason}", .path.display())]
    Shards {
        /// The index.
        path: PathBuf,
        /// What it says and what is so.
        reason: String,
    },
    /// The container of the weights is damaged.
    #[error("{} is not a valid GGUF file", .path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: Box<FormatError>,
    },
    /// A tensor the family needs is absent.
    #[error("tensor `{tensor}` is missing")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor that fits nothing in the family.
    #[error("tensor `{tensor}` fits nothing in a {family} model")]
    UnknownTensor {
        /// Its name.
        tensor: String,
        /// The family detected.
        family: String,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("tensor `{tensor}` has shape {found:?}, the configuration gives {expected:?}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Shape computed from the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's element type is not the one its role needs.
    #[error("tensor `{tensor}` has dtype {found}, expected {expected}")]
    Dtype {
        /// Its name.
        tensor: String,
        /// Types that would do.
        expected: String,
        /// Type in the file.
        found: String,
    },
    /// A packed weight holds the one bit pattern that means nothing.
    #[error("tensor `{tensor}` holds code 3 at row {row}, column {column}")]
    InvalidCode {
        /// Its name.
        tensor: String,
        /// Logical output row.
        row: usize,
        /// Input column.
        column: usize,
    },
    /// A float weight that should be ternary is not.
    #[error("tensor `{tensor}` should hold {expected}, found {value}{}", in_block(*.block))]
    NotTernary {
        /// Its name.
        tensor: String,
        /// The values allowed.
        expected: String,
        /// The offending value.
        value: f32,
        /// Number of its block, from 0, where the type has blocks.
        block: Option<usize>,
    },
    /// Blocks of one tensor with scales of their own.
    #[error(
        "blocks of tensor `{tensor}` have scales {first} and {other} (block {block}): group scales are not supported"
    )]
    GroupScales {
        /// Its name.
        tensor: String,
        /// Magnitude of the first block that is not zero.
        first: f32,
        /// Magnitude of a later one.
        other: f32,
        /// Number of the later one, from 0.
        block: usize,
    },
    /// Counts of tokens that contradict each other.
    #[error("{origin} announces {n} tokens, the embedding table has {rows} rows")]
    VocabularySize {
        /// What announces them.
        origin: String,
        /// Tokens announced.
        n: u64,
        /// Rows of the embedding table.
        rows: u64,
    },
    /// Masters announced, but quantized weights found: quantizing twice shrinks the scale.
    #[error(
        "tensor `{tensor}` is ternary already, but quantization_mode `online` announces masters"
    )]
    AlreadyTernary {
        /// Its name.
        tensor: String,
    },
    /// A ternary weight without information.
    #[error("tensor `{tensor}` has a fraction of zeros of {fraction}")]
    Zeros {
        /// Its name.
        tensor: String,
        /// 0 or 1.
        fraction: f64,
    },
    /// A weight scale that is not a positive number.
    #[error("scale of `{tensor}` is {value}, expected a finite number above 0")]
    Scale {
        /// The weight's name.
        tensor: String,
        /// The value found, direct form.
        value: f32,
    },
    /// A float tensor with a NaN or an infinity.
    #[error("tensor `{tensor}` holds {value} at index {index}")]
    NotFinite {
        /// Its name.
        tensor: String,
        /// Index in row-major order.
        index: usize,
        /// The value found.
        value: f32,
    },
    /// Stored rotary frequencies that are not those of the configuration.
    #[error(
        "tensor `{tensor}` holds {found} at index {index}, the rope base of the configuration gives {expected}"
    )]
    RopeFrequency {
        /// Its name.
        tensor: String,
        /// Index of the pair.
        index: usize,
        /// Frequency the engine computes with.
        expected: f32,
        /// The value stored.
        found: f32,
    },
    /// Norm gains that silence everything.
    #[error("tensor `{tensor}` holds only zeros")]
    AllZero {
        /// Its name.
        tensor: String,
    },
    /// The tokenizer file could not be used.
    #[error("{} is not a usable tokenizer: {reason}", .path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The tokenizer library's words.
        reason: String,
    },
    /// The tokenizer can produce ids the embedding table does not have.
    #[error(
        "tokenizer does not match the vocabulary: token id {id} in {}, {rows} embedding rows", .path.display()
    )]
    TokenizerMismatch {
        /// The tokenizer file.
        path: PathBuf,
        /// Highest id of the tokenizer.
        id: u32,
        /// Rows of the embedding table.
        rows: usize,
    },
    /// A special id that no token has, in a model with a tokenizer.
    #[error("{what} {id} is outside the vocabulary of {vocab_size}")]
    SpecialId {
        /// Which id.
        what: &'static str,
        /// Its value.
        id: u32,
        /// Rows of the embedding table.
        vocab_size: usize,
    },
    /// No token would ever end the output.
    #[error("{} declares no stop token", .origin.display())]
    NoStop {
        /// Where the files came from.
        origin: PathBuf,
    },
    /// The chat template cannot be used.
    #[error("chat template of {origin} failed")]
    Template {
        /// The file it came from.
        origin: String,
        /// Where and why.
        #[source]
        source: minijinja::Error,
    },
    /// A prompt that does not begin with exactly one beginning-of-sequence token.
    #[error("the prompt holds {found} beginning-of-sequence tokens, expected 1 at its start")]
    BosCount {
        /// Number found.
        found: usize,
    },
    /// Text asked of a model that has no tokenizer.
    #[error("the model has no tokenizer.json")]
    NoTokenizer,
    /// The tokenizer failed on a text; the text itself is not repeated here.
    #[error("the tokenizer failed: {reason}")]
    Encode {
        /// The tokenizer library's words.
        reason: String,
    },
}

fn in_block(block: Option<usize>) -> String {
    block.map_or_else(String::new, |block| format!(" in block {block}"))
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::MissingFile { .. } => {
                "a model directory holds config.json beside model.safetensors or its index and shards, or one GGUF model"
            }
            Self::Shards { .. } => {
                "put the index and all the shards published with it into one directory, and no others"
            }
            Self::UnknownQuantization { .. } => {
                "newer BitNet variants compute differently; only quant_method, linear_class, quantization_mode, modules_to_not_convert and use_rms_norm = false are understood"
            }
            Self::AlreadyTernary { .. } => {
                "say quantization_mode = offline when the weights were quantized before saving: in config.json, or in model_options of the manifest"
            }
            Self::NotTernary { block: Some(_), .. } => {
                "the blocks before it are ternary, so the file is damaged or mixes quantizers; compare its SHA-256 with the publisher's"
            }
            Self::NotTernary { block: None, .. } => {
                "float masters need quantization_mode = online: in config.json, or for a GGUF in model_options of its manifest"
            }
            Self::Gguf { source, .. } if matches!(**source, FormatError::TooMany { .. }) => {
                "no published model has so many; compare the file's SHA-256 with the publisher's"
            }
            Self::TooLarge { .. } => {
                "no published file of this name is so long; compare its SHA-256 with the publisher's"
            }
            Self::UnreadType { advice, .. } => advice,
            Self::Gguf { source, .. } if matches!(**source, FormatError::Parts { .. }) => {
                "put all parts of the model into one directory, and nothing else of its kind"
            }
            Self::InvalidCode { .. }
            | Self::Zeros { .. }
            | Self::Container { .. }
            | Self::Gguf { .. } => {
                "the file is damaged or packed in another order; compare its SHA-256 with the publisher's"
            }
            Self::RopeFrequency { .. } => {
                "set rope_theta in config.json to the base these weights were trained with"
            }
            Self::GroupScales { .. } => {
                "quantize the original checkpoint again, to I2_S or with one scale for each tensor"
            }
            Self::TokenizerMismatch { .. } => "use the tokenizer.json published with these weights",
            Self::NoStop { .. } => "add eos_token_id to generation_config.json",
            Self::NoTokenizer => "put the tokenizer.json published with the weights beside them",
            Self::BosCount { .. } => {
                "check add_bos_token and the chat template; scene text must not contain special tokens"
            }
            Self::Io { .. }
            | Self::Json { .. }
            | Self::MissingKey { .. }
            | Self::BadKey { .. }
            | Self::Unsupported { .. }
            | Self::MissingTensor { .. }
            | Self::UnknownTensor { .. }
            | Self::VocabularySize { .. }
            | Self::Shape { .. }
            | Self::Dtype { .. }
            | Self::Scale { .. }
            | Self::NotFinite { .. }
            | Self::AllZero { .. }
            | Self::Tokenizer { .. }
            | Self::SpecialId { .. }
            | Self::Template { .. }
            | Self::Encode { .. } => return None,
        };
        Some(text.to_owned())
    }
}
