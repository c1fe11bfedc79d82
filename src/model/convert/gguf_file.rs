//! The GGUF form: metadata and the list of tensors.

use std::path::Path;

use super::sink::{Entry, Sink, Style};
use super::{Error, Form, text};
use crate::artifact::ModelFiles;
use crate::model::gguf::{self, GgmlType, Value, write};
use crate::model::source::{Place, Source};
use crate::model::{Family, ModelConfig};

/// Version of the block layouts, which llama.cpp asks for beside quantized tensors.
const QUANTIZATION_VERSION: u32 = 2;

/// Keys of the source that describe its container, and so not the new one.
const REPLACED: [&str; 4] = [
    "general.architecture",
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
];

/// Writes the header of the file of weights.
///
/// # Errors
/// [`Error::Source`] when a table cannot be read, [`Error::Write`].
pub(super) fn create(
    source: &mut Source,
    files: &ModelFiles,
    form: Form,
    directory: &Path,
    name: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Sink, Error> {
    let kind = form.kind().expect("the form is a GGUF");
    let mut tensors = Vec::new();
    for place in Place::all(&source.config) {
        let [n_out, n_in] = place.shape(&source.config);
        let name = place.in_gguf();
        match place {
            Place::Projection(..) => {
                let bytes = gguf::encoded_len(kind, n_out * n_in);
                tensors.push(listed(&name, "weight", &[n_in, n_out], kind, bytes));
                if gguf::has_scale_tensor(kind) {
                    tensors.push(listed(&name, "scale", &[1], GgmlType::F32, 4));
                }
            }
            // Other engines want gains in F32; every stored type widens to it exactly.
            Place::FinalNorm | Place::Norm(..) => {
                tensors.push(listed(&name, "weight", &[n_in], GgmlType::F32, 4 * n_in));
            }
            Place::Embedding | Place::Head => {
                let stored = source.table_kind(place).map_err(Error::Source)?;
                let bytes = n_out * stored.row_bytes(n_in);
                tensors.push(listed(&name, "weight", &[n_in, n_out], stored, bytes));
            }
        }
    }
    let metadata = metadata(source, files, form, name, notes);
    let mut header = Vec::new();
    write::header(&mut header, &metadata, &tensors).expect("memory takes any header");
    let entries: Vec<Entry> = tensors
        .iter()
        .map(|tensor| Entry {
            name: tensor.name.clone(),
            kind: tensor.kind.to_string(),
            bytes: tensor.bytes,
            step: tensor.bytes.next_multiple_of(write::ALIGNMENT),
        })
        .collect();
    let style = Style::Gguf {
        kind,
        is_permuted: source.config.family == Family::LlamaBitNet,
    };
    let short = form.as_str().trim_start_matches("gguf-");
    let path = directory.join(format!("model-{short}.gguf"));
    Sink::create(&path, &header, style, &entries)
}

fn listed(name: &str, end: &str, dims: &[usize], kind: GgmlType, bytes: usize) -> write::Listed {
    write::Listed {
        name: format!("{name}.{end}"),
        dims: dims.iter().map(|n| *n as u64).collect(),
        kind,
        bytes: bytes as u64,
    }
}

/// Every key, those of the architecture first.
fn metadata(
    source: &Source,
    files: &ModelFiles,
    form: Form,
    name: Option<&str>,
    notes: &mut Vec<String>,
) -> Vec<(String, Value)> {
    let config = &source.config;
    // `bitnet-b1.58` is the name under which engines run relu2 and norms inside the layers.
    let architecture = match config.family {
        Family::BitNet => "bitnet-b1.58",
        Family::LlamaBitNet => "llama",
        Family::Llama | Family::Qwen2 | Family::Qwen3 => {
            unreachable!("models that are not ternary were refused when they were opened")
        }
    };
    let mut all = vec![(
        "general.architecture".to_owned(),
        Value::String(architecture.to_owned()),
    )];
    if let Some(gguf) = source.gguf() {
        let kept = gguf
            .metadata
            .iter()
            .filter(|(key, _)| key.starts_with("general.") && !REPLACED.contains(&key.as_str()));
        all.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
    } else if let Some(name) = name {
        all.push(("general.name".to_owned(), Value::String(name.to_owned())));
    }
    all.push(("general.file_type".to_owned(), Value::U32(file_type(form))));
    all.push((
        "general.quantization_version".to_owned(),
        Value::U32(QUANTIZATION_VERSION),
    ));
    all.extend(shape(config, notes).into_iter().map(|(key, value)| {
        let key = format!("{architecture}.{key}");
        (key, value)
    }));
    all.extend(text::metadata(source, files, notes));
    all
}

/// Numbers that engines use for these files; some mean another type to other engines.
fn file_type(form: Form) -> u32 {
    match form {
        Form::GgufQ4_0 => 2,
        Form::GgufTq1_0 => 36,
        Form::GgufTq2_0 => 37,
        Form::HfPacked | Form::GgufI2S => 40,
    }
}

/// Keys below the name of the architecture.
fn shape(config: &ModelConfig, notes: &mut Vec<String>) -> Vec<(&'static str, Value)> {
    let number = |n: usize| Value::U32(u32::try_from(n).expect("sizes were checked"));
    let head_dim = || number(config.head_dim);
    #[expect(clippy::cast_possible_truncation, reason = "it is checked to be exact")]
    let theta = config.rope_theta as f32;
    #[expect(clippy::float_cmp, reason = "only an exact value will do")]
    let theta = if f64::from(theta) == config.rope_theta {
        Value::F32(theta)
    } else {
        notes.push(format!(
            "rope theta {} has no exact single-precision form: written in double precision, \
             which llama.cpp does not read",
            config.rope_theta
        ));
        Value::F64(config.rope_theta)
    };
    vec![
        ("vocab_size", number(config.vocab_size)),
        ("context_length", number(config.max_positions)),
        ("embedding_length", number(config.hidden_size)),
        ("block_count", number(config.n_layers)),
        ("feed_forward_length", number(config.intermediate_size)),
        ("attention.head_count", number(config.n_heads)),
        ("attention.head_count_kv", number(config.n_kv_heads)),
        ("attention.key_length", head_dim()),
        ("attention.value_length", head_dim()),
        (
            "attention.layer_norm_rms_epsilon",
            Value::F32(config.rms_norm_eps),
        ),
        ("rope.dimension_count", head_dim()),
        ("rope.freq_base", theta),
        ("hidden_activation", Value::String(config.act.to_string())),
    ]
}
