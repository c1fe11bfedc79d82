//! The Hugging Face form: `config.json` and one safetensors file with packed codes.
//!
//! Scales are always written direct, under `linear_class: autobitlinear`, also where the source
//! held reciprocals: the reciprocal of a reciprocal is not always the same float.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Error;
use super::sink::{Entry, Sink, Style, is_float};
use crate::model::gguf::GgmlType;
use crate::model::source::{Place, Source};
use crate::model::{Family, ModelConfig};

const WEIGHTS: &str = "model.safetensors";

/// Writes `config.json`, and the header of the file of weights.
///
/// # Errors
/// [`Error::Source`] when a table cannot be read, [`Error::Write`].
pub(super) fn create(source: &mut Source, directory: &Path) -> Result<Sink, Error> {
    let mut tensors = Vec::new();
    let mut table_dtype = "float32";
    for place in Place::all(&source.config) {
        let [n_out, n_in] = place.shape(&source.config);
        let name = place.in_checkpoint();
        match place {
            Place::Projection(..) => {
                tensors.push(Tensor::new(&name, "weight_scale", "F32", vec![1]));
                tensors.push(Tensor::new(
                    &name,
                    "weight",
                    "U8",
                    vec![n_out.div_ceil(4), n_in],
                ));
            }
            Place::FinalNorm | Place::Norm(..) => {
                tensors.push(Tensor::new(&name, "weight", "F32", vec![n_in]));
            }
            Place::Embedding | Place::Head => {
                let kind = source.table_kind(place).map_err(Error::Source)?;
                let (dtype, long) = match kind {
                    GgmlType::F16 => ("F16", "float16"),
                    GgmlType::BF16 => ("BF16", "bfloat16"),
                    _ => ("F32", "float32"),
                };
                assert!(is_float(kind) || dtype == "F32", "blocks become floats");
                if place == Place::Embedding {
                    table_dtype = long;
                }
                tensors.push(Tensor::new(&name, "weight", dtype, vec![n_out, n_in]));
            }
        }
    }
    // Wide elements first, so that each begins at a multiple of its size.
    tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.element));
    let path = directory.join("config.json");
    let config = config(&source.config, source.padding_id, table_dtype);
    std::fs::write(&path, format!("{config:#}\n"))
        .map_err(|source| Error::Write { path, source })?;
    let entries: Vec<Entry> = tensors.iter().map(Tensor::entry).collect();
    let (path, header) = (directory.join(WEIGHTS), header(&tensors));
    Sink::create(&path, &header, Style::Checkpoint, &entries)
}

struct Tensor {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    /// Bytes of an element.
    element: u64,
}

impl Tensor {
    fn new(name: &str, end: &str, dtype: &'static str, shape: Vec<usize>) -> Self {
        let element = match dtype {
            "F32" => 4,
            "U8" => 1,
            _ => 2,
        };
        Self {
            name: format!("{name}.{end}"),
            dtype,
            shape,
            element,
        }
    }

    fn entry(&self) -> Entry {
        let bytes = self.element * self.shape.iter().map(|n| *n as u64).product::<u64>();
        Entry {
            name: self.name.clone(),
            kind: self.dtype.to_owned(),
            bytes,
            step: bytes,
        }
    }
}

/// Length, JSON filled up with spaces to a multiple of 8.
fn header(tensors: &[Tensor]) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut begin = 0;
    for tensor in tensors {
        let end = begin + tensor.entry().bytes;
        let entry = json!({
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [begin, end],
        });
        map.insert(tensor.name.clone(), entry);
        begin = end;
    }
    let mut json = Value::Object(map).to_string();
    let padded = json.len().next_multiple_of(8);
    json.extend(std::iter::repeat_n(' ', padded - json.len()));
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

/// `config.json` with the keys that decide what the model computes.
fn config(config: &ModelConfig, padding_id: Option<u32>, dtype: &str) -> Value {
    let (architecture, model_type) = match config.family {
        Family::BitNet => ("BitNetForCausalLM", "bitnet"),
        Family::LlamaBitNet => ("LlamaForCausalLM", "llama"),
        Family::Llama | Family::Qwen2 | Family::Qwen3 => {
            unreachable!("models that are not ternary were refused when they were opened")
        }
    };
    let mut quantization = json!({
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "offline",
    });
    if !config.is_head_tied {
        quantization["modules_to_not_convert"] = json!(["lm_head"]);
    }
    let mut all = json!({
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": config.act.to_string(),
        "rms_norm_eps": shortest(config.rms_norm_eps),
        "rope_theta": config.rope_theta,
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": config.is_head_tied,
        "torch_dtype": dtype,
        "quantization_config": quantization,
    });
    if let Some(id) = config.bos_id {
        all["bos_token_id"] = json!(id);
    }
    match config.eos_ids.as_slice() {
        [] => {}
        [id] => all["eos_token_id"] = json!(id),
        ids => all["eos_token_id"] = json!(ids),
    }
    if let Some(id) = padding_id {
        all["pad_token_id"] = json!(id);
    }
    all
}

/// The shortest decimal that is read back as this number.
pub(super) fn shortest(x: f32) -> f64 {
    let decimal: f64 = x.to_string().parse().expect("a float is a decimal");
    #[expect(
        clippy::cast_possible_truncation,
        reason = "this is how the number is read"
    )]
    let read = decimal as f32;
    if read.to_bits() == x.to_bits() {
        decimal
    } else {
        f64::from(x)
    }
}
