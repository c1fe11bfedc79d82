//! Writes a trained network as a packed Hugging Face directory with its manifest.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};
use serde_json::json;
use tokenizers::Tokenizer;
use vv_eval::scene::dice::Dice;
use vv_eval::units::Sha256;

use super::lessons::{BOS, EOS, PAD, SCENE, SUMMARY};
use super::network::{Shape, norms, projections};
use super::ops;

/// Float masters by tensor name.
pub(crate) type Masters = HashMap<String, Tensor>;

/// Gain of sub-norms that silence a layer: the activations after it quantise to exactly 0.
const SILENT: f32 = 1e-12;

/// Packs `T + 1`, two bits a code: byte `(p, j)` holds rows `p + i·R` of column `j`.
///
/// * `codes`: `[out, in]` row-major, −1, 0 or 1
fn pack(codes: &[i8], out: usize, inp: usize) -> Vec<u8> {
    let rows = out.div_ceil(4);
    let mut packed = vec![0u8; rows * inp];
    for (row, codes) in codes.chunks(inp).enumerate() {
        let (p, shift) = (row % rows, 2 * (row / rows));
        for (byte, code) in packed[p * inp..(p + 1) * inp].iter_mut().zip(codes) {
            *byte |= (code + 1).cast_unsigned() << shift;
        }
    }
    packed
}

/// Every tensor of the checkpoint: packed projections, scales, float norms and embedding.
///
/// * `n_silent`: layers added after the trained ones that cost time and memory and change nothing:
///   random ternary projections whose branches are multiplied away by their sub-norms
fn tensors(shape: &Shape, masters: &Masters, n_silent: usize) -> Result<Masters> {
    let mut tensors = HashMap::new();
    let device = Device::Cpu;
    let mut dice = Dice::new(1, "silent layers", 0);
    for layer in 0..shape.layers + n_silent {
        let is_trained = layer < shape.layers;
        let prefix = format!("model.layers.{layer}");
        for (part, out, inp) in projections(shape) {
            let name = format!("{prefix}.{part}.weight");
            let (codes, scale) = if is_trained {
                let master = masters
                    .get(&name)
                    .with_context(|| format!("no master {name}"))?;
                ops::ternary(&master.flatten_all()?.to_vec1::<f32>()?)
            } else {
                (
                    (0..out * inp).map(|_| dice.below(3) as i8 - 1).collect(),
                    1.0,
                )
            };
            let packed = Tensor::from_vec(pack(&codes, out, inp), (out.div_ceil(4), inp), &device)?;
            tensors.insert(
                format!("{prefix}.{part}.weight_scale"),
                Tensor::new(&[scale], &device)?,
            );
            tensors.insert(name, packed);
        }
        for (part, n) in norms(shape) {
            let name = format!("{prefix}.{part}.weight");
            let gains = match masters.get(&name) {
                Some(trained) => trained.clone(),
                None if part.ends_with("sub_norm") => Tensor::full(SILENT, n, &device)?,
                None => Tensor::full(1f32, n, &device)?,
            };
            tensors.insert(name, gains);
        }
    }
    for name in ["model.embed_tokens.weight", "model.norm.weight"] {
        let master = masters
            .get(name)
            .with_context(|| format!("no master {name}"))?;
        tensors.insert(name.to_owned(), master.clone());
    }
    Ok(tensors)
}

/// Chat template: the scene between its two markers.
fn chat_template() -> String {
    format!(
        "{{{{ bos_token }}}}{{% for message in messages %}}{{% if message['role'] == 'user' %}}\
         {SCENE}{{{{ message['content'] }}}}{{% endif %}}{{% endfor %}}\
         {{% if add_generation_prompt %}}{SUMMARY}{{% endif %}}"
    )
}

/// What a model of the cast is called and for.
pub(crate) struct Label<'a> {
    pub(crate) version: &'a str,
    pub(crate) description: &'a str,
}

/// Writes the model files and the manifest that pins them.
pub(crate) fn write(
    dir: &Path,
    label: &Label<'_>,
    shape: &Shape,
    masters: &Masters,
    n_silent: usize,
    tokenizer: &Tokenizer,
) -> Result<()> {
    fs::create_dir_all(dir)?;
    let id = |token: &str| {
        tokenizer
            .token_to_id(token)
            .context("special tokens are trained in")
    };
    let config = json!({
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inter,
        "num_hidden_layers": shape.layers + n_silent,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_dim,
        "hidden_act": "relu2",
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.theta,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": true,
        "bos_token_id": id(BOS)?,
        "eos_token_id": id(EOS)?,
        "pad_token_id": id(PAD)?,
        "torch_dtype": "float32",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    });
    let generation = json!({ "eos_token_id": [id(EOS)?], "do_sample": false });
    let tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "chat_template": chat_template(),
    });
    let text = |value: &serde_json::Value| format!("{value:#}\n");
    fs::write(dir.join("config.json"), text(&config))?;
    fs::write(dir.join("generation_config.json"), text(&generation))?;
    fs::write(dir.join("tokenizer_config.json"), text(&tokenizer_config))?;
    tokenizer
        .save(dir.join("tokenizer.json"), true)
        .map_err(anyhow::Error::from_boxed)?;
    let weights = tensors(shape, masters, n_silent)?;
    candle_core::safetensors::save(&weights, dir.join("model.safetensors"))?;
    manifest(dir, label)
}

fn manifest(dir: &Path, label: &Label<'_>) -> Result<()> {
    let names = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    let mut artifacts = Vec::new();
    for name in names {
        let bytes = fs::read(dir.join(name))?;
        artifacts.push(json!({
            "filename": name,
            "url": format!("repo:{name}"),
            "sha256": Sha256::of(&bytes),
            "size_bytes": bytes.len(),
            "target_path_in_container": "/app/models/bitnet",
            "format": "file",
        }));
    }
    let manifest = json!({
        "schema_version": 1,
        "model_name": "bitnet-cenas-pt",
        "version": label.version,
        "description": label.description,
        "artifacts": artifacts,
    });
    fs::write(dir.join("model_manifest.json"), format!("{manifest:#}\n"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_one_byte_are_a_quarter_of_the_rows_apart() {
        // Byte p of two holds rows p, p + 2 and p + 4, the first in the low bits.
        let codes = [-1, 0, 1, 1, 0, -1];
        assert_eq!(pack(&codes, 6, 1), [0b01_10_00, 0b00_10_01]);
    }
}
