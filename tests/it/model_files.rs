//! Damaged and contradictory model directories: each is refused with a sentence that names the
//! trouble.

use std::error::Error as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use vv_eval::artifact::digest_directory;
use vv_eval::model::{Error, LoadOptions, ModelBundle};

/// A copy of a fixture, parsed, to be changed and loaded.
struct Files {
    config: Value,
    tensors: Vec<(String, Tensor)>,
    others: Vec<(&'static str, String)>,
}

#[derive(Clone)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Files {
    fn of(fixture: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(fixture);
        let config =
            serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let raw = fs::read(folder.join("model.safetensors")).unwrap();
        let n = usize::try_from(u64::from_le_bytes(raw[..8].try_into().unwrap())).unwrap();
        let header: Map<String, Value> = serde_json::from_slice(&raw[8..8 + n]).unwrap();
        let data = &raw[8 + n..];
        let number = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
        let mut tensors = Vec::new();
        for (name, entry) in header
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
        {
            let offsets = &entry["data_offsets"];
            let tensor = Tensor {
                dtype: entry["dtype"].as_str().unwrap().to_owned(),
                shape: entry["shape"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(number)
                    .collect(),
                bytes: data[number(&offsets[0])..number(&offsets[1])].to_vec(),
            };
            tensors.push((name, tensor));
        }
        Self {
            config,
            tensors,
            others: Vec::new(),
        }
    }

    fn tensor(&mut self, name: &str) -> &mut Tensor {
        &mut self
            .tensors
            .iter_mut()
            .find(|(n, _)| n == name)
            .expect("the fixture has it")
            .1
    }

    fn container(&self) -> Vec<u8> {
        Self::container_of(&self.tensors)
    }

    fn container_of(tensors: &[(String, Tensor)]) -> Vec<u8> {
        let mut header = Vec::new();
        let mut data = Vec::new();
        for (name, t) in tensors {
            let end = data.len() + t.bytes.len();
            let entry = json!({
                "dtype": t.dtype, "shape": t.shape, "data_offsets": [data.len(), end]
            });
            // Written by hand, because a JSON map could not hold a name twice.
            header.push(format!("{}:{entry}", Value::from(name.as_str())));
            data.extend_from_slice(&t.bytes);
        }
        let header = format!("{{{}}}", header.join(","));
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            &data,
        ]
        .concat()
    }

    fn load(&self) -> Result<ModelBundle, Error> {
        self.load_with(&self.container())
    }

    fn load_with(&self, container: &[u8]) -> Result<ModelBundle, Error> {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), self.config.to_string()).unwrap();
        fs::write(folder.path().join("model.safetensors"), container).unwrap();
        for (name, text) in &self.others {
            fs::write(folder.path().join(name), text).unwrap();
        }
        ModelBundle::load(
            &digest_directory(folder.path()).unwrap(),
            &LoadOptions::default(),
        )
    }

    #[track_caller]
    fn check_refused(&self, words: &str) {
        self.check_refused_with(&self.container(), words);
    }

    #[track_caller]
    fn check_refused_with(&self, container: &[u8], words: &str) {
        let Err(error) = self.load_with(container) else {
            panic!("accepted, expected `{words}`");
        };
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        assert!(text.contains(words), "`{text}` lacks `{words}`");
    }
}

const GATE: &str = "model.layers.1.mlp.gate_proj.weight";
const GATE_SCALE: &str = "model.layers.1.mlp.gate_proj.weight_scale";
const EMBEDDING: &str = "model.embed_tokens.weight";
const NORM: &str = "model.layers.0.input_layernorm.weight";

#[test]
fn a_rewritten_fixture_still_loads() {
    for fixture in [
        "bitnet-tiny-direct",
        "bitnet-tiny-online",
        "bitnet-tiny-llama",
    ] {
        assert!(Files::of(fixture).load().is_ok(), "{fixture}");
    }
}

#[test]
fn a_truncated_file_is_refused_at_every_place() {
    let files = Files::of("bitnet-tiny-direct");
    let whole = files.container();
    for length in [0, 7, 8, 100, 3000, whole.len() / 2, whole.len() - 1] {
        files.check_refused_with(&whole[..length], "is not a valid safetensors file");
    }
}

#[test]
fn a_huge_header_length_is_refused() {
    let files = Files::of("bitnet-tiny-direct");
    let mut container = files.container();
    container[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    files.check_refused_with(&container, "header announces 1152921504606846976 bytes");
}

#[test]
fn a_tensor_named_twice_is_refused() {
    let mut files = Files::of("bitnet-tiny-direct");
    let again = files.tensors[3].clone();
    files.tensors.push(again);
    files.check_refused("occurs twice");
}

#[test]
fn a_wrong_shape_names_tensor_and_both_shapes() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensor(GATE).shape = vec![64, 24];
    files.check_refused(
        "tensor `model.layers.1.mlp.gate_proj.weight` has shape [64, 24], the configuration gives [24, 64]",
    );
    let mut files = Files::of("bitnet-tiny-direct");
    files.config["vocab_size"] = json!(65);
    files.check_refused(
        "`model.embed_tokens.weight` has shape [64, 64], the configuration gives [65, 64]",
    );
}

#[test]
fn a_wrong_dtype_names_tensor_and_both_types() {
    let mut files = Files::of("bitnet-tiny-direct");
    let norm = files.tensor(NORM);
    norm.dtype = "U8".to_owned();
    norm.bytes.truncate(64);
    files.check_refused("input_layernorm.weight` has dtype U8, expected F32, F16 or BF16");
}

#[test]
fn missing_and_unknown_tensors_are_refused() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensors.retain(|(name, _)| name != GATE_SCALE);
    // Packed codes without a scale mean nothing.
    files.check_refused("tensor `model.layers.1.mlp.gate_proj.weight_scale` is missing");

    let mut files = Files::of("bitnet-tiny-direct");
    let bias = Tensor {
        dtype: "F32".to_owned(),
        shape: vec![1],
        bytes: vec![0; 4],
    };
    files
        .tensors
        .push(("model.layers.0.self_attn.q_proj.bias".to_owned(), bias));
    files.check_refused("q_proj.bias` fits nothing in a bitnet model");
}

#[test]
fn code_three_is_refused() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensor(GATE).bytes[65] |= 0b0000_1100;
    // Byte (1, 1), second slot: row 1 + 24, column 1.
    files.check_refused("holds code 3 at row 25, column 1");
}

#[test]
fn a_matrix_of_zeros_is_refused() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensor(GATE).bytes.fill(0b01_01_01_01);
    files.check_refused("has a fraction of zeros of 1");
}

#[test]
fn odd_scales_are_refused() {
    for value in [f32::NAN, f32::INFINITY, 0.0, -0.25] {
        for fixture in ["bitnet-tiny-direct", "bitnet-tiny-inverse"] {
            let mut files = Files::of(fixture);
            files.tensor(GATE_SCALE).bytes = value.to_le_bytes().to_vec();
            files.check_refused("expected a finite number above 0");
        }
    }
}

#[test]
fn an_unusual_scale_is_a_warning() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensor(GATE_SCALE).bytes = 4f32.to_le_bytes().to_vec();
    let card = files.load().unwrap().card;
    assert!(
        card.warnings
            .iter()
            .any(|w| w.ends_with("gate_proj.weight: unusual scale 4"))
    );
}

#[test]
fn floats_that_are_not_numbers_are_refused() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensor(EMBEDDING).bytes[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
    files.check_refused("tensor `model.embed_tokens.weight` holds NaN at index 10");
    let mut files = Files::of("bitnet-tiny-online");
    // The upper half of an infinity, as BF16 stores it.
    files.tensor(GATE).bytes[6..8].copy_from_slice(&0x7f80u16.to_le_bytes());
    files.check_refused("holds inf at index 3");
}

#[test]
fn silent_norms_are_refused_and_faint_ones_are_not() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.tensor(NORM).bytes.fill(0);
    files.check_refused("holds only zeros");
    files.tensor(NORM).bytes = 1e-12f32.to_le_bytes().repeat(64);
    assert!(files.load().is_ok());
}

#[test]
fn contradictions_between_config_and_storage_are_refused() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.config["quantization_config"]["quantization_mode"] = json!("online");
    files.check_refused("has dtype U8, expected a float type");

    let mut files = Files::of("bitnet-tiny-online");
    files.config["quantization_config"]["quantization_mode"] = json!("offline");
    files.check_refused("should hold 0 and one magnitude");

    let mut files = Files::of("bitnet-tiny-direct");
    files.config["tie_word_embeddings"] = json!(false);
    files.check_refused("tensor `lm_head.weight` is missing");

    let mut files = Files::of("bitnet-tiny-llama");
    files.config["tie_word_embeddings"] = json!(true);
    files.check_refused("`lm_head.weight` fits nothing");
}

#[test]
fn a_missing_key_and_a_missing_file_are_named() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.config.as_object_mut().unwrap().remove("rms_norm_eps");
    files.check_refused("config.json has no key `rms_norm_eps`");

    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("weights.bin"), "weights").unwrap();
    let error = ModelBundle::load(
        &digest_directory(folder.path()).unwrap(),
        &LoadOptions::default(),
    )
    .err()
    .unwrap();
    assert!(
        error
            .to_string()
            .ends_with("has no config.json (found: weights.bin)"),
        "{error}"
    );
}

/// A fixture in two shards, cut after `n` tensors, with its index.
struct Shards {
    files: Files,
    n: usize,
    index: Value,
}

impl Shards {
    fn of(fixture: &str) -> Self {
        let files = Files::of(fixture);
        let n = files.tensors.len() / 3;
        let map: Map<String, Value> = files
            .tensors
            .iter()
            .enumerate()
            .map(|(i, (name, _))| {
                (
                    name.clone(),
                    json!(if i < n {
                        "a.safetensors"
                    } else {
                        "b.safetensors"
                    }),
                )
            })
            .collect();
        let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
        Self { files, n, index }
    }

    fn load(&self, others: &[&str]) -> Result<ModelBundle, Error> {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        let (a, b) = self.files.tensors.split_at(self.n);
        write("config.json", self.files.config.to_string().as_bytes());
        write(
            "model.safetensors.index.json",
            self.index.to_string().as_bytes(),
        );
        write("a.safetensors", &Files::container_of(a));
        write("b.safetensors", &Files::container_of(b));
        for name in others {
            write(name, b"x");
        }
        ModelBundle::load(
            &digest_directory(folder.path()).unwrap(),
            &LoadOptions::default(),
        )
    }

    #[track_caller]
    fn check_refused(&self, others: &[&str], words: &str) {
        let Err(error) = self.load(others) else {
            panic!("accepted, expected `{words}`");
        };
        assert!(
            error.to_string().contains(words),
            "`{error}` lacks `{words}`"
        );
    }
}

#[test]
fn shards_are_one_checkpoint() {
    for fixture in ["bitnet-tiny-inverse", "bitnet-tiny-online"] {
        let whole = Files::of(fixture).load().unwrap().card;
        let shards = Shards::of(fixture).load(&[]).unwrap().card;
        assert_eq!(shards, whole);
    }
}

#[test]
fn an_index_that_contradicts_its_shards_is_refused() {
    let sound = || Shards::of("bitnet-tiny-direct");
    sound().check_refused(&["c.safetensors"], "lists no tensor of c.safetensors");

    let mut shards = sound();
    shards.index["weight_map"][GATE] = json!("c.safetensors");
    shards.check_refused(&[], "names c.safetensors, which is not among the files");
    shards.index["weight_map"][GATE] = json!("../b.safetensors");
    shards.check_refused(&[], "names ../b.safetensors, which is not among the files");

    let mut shards = sound();
    let here = shards.index["weight_map"][GATE].clone();
    let other = if here == "a.safetensors" {
        "b.safetensors"
    } else {
        "a.safetensors"
    };
    shards.index["weight_map"][GATE] = json!(other);
    shards.check_refused(
        &[],
        &format!("places tensor `{GATE}` {other}, it stands in"),
    );

    let mut shards = sound();
    shards.index["weight_map"]
        .as_object_mut()
        .unwrap()
        .remove(GATE);
    shards.check_refused(&[], &format!("places tensor `{GATE}` nowhere"));

    let mut shards = sound();
    shards.index["weight_map"]["model.more"] = json!("b.safetensors");
    shards.check_refused(
        &[],
        "places tensor `model.more` in b.safetensors, which does not have it",
    );
}

#[test]
fn more_layers_announced_than_stored_is_refused_at_once() {
    let mut files = Files::of("bitnet-tiny-direct");
    files.config["num_hidden_layers"] = json!(2_000_000_000);
    files.check_refused("tensor `model.layers.2.input_layernorm.weight` is missing");
}

#[test]
fn one_bit_names_are_read_as_the_family_they_belong_to() {
    let mut files = Files::of("bitnet-tiny-online");
    let published = files.load().unwrap().card;
    files.config["architectures"] = json!(["BitnetForCausalLM"]);
    files.config["model_type"] = json!("llama");
    files.config["weight_bits"] = json!(1);
    files.config["input_bits"] = json!(8);
    files
        .config
        .as_object_mut()
        .unwrap()
        .remove("quantization_config");
    for (name, _) in &mut files.tensors {
        *name = name
            .replace("self_attn.attn_sub_norm", "self_attn.inner_attn_ln")
            .replace("mlp.ffn_sub_norm", "mlp.ffn_layernorm");
    }
    let card = files.load().unwrap().card;
    assert_eq!(card.layers_digest, published.layers_digest);
    assert_eq!((card.family, card.sub_norms), (published.family, true));

    let both = files
        .tensor("model.layers.0.mlp.ffn_layernorm.weight")
        .clone();
    files
        .tensors
        .push(("model.layers.0.mlp.ffn_sub_norm.weight".to_owned(), both));
    files.check_refused("tensor `model.layers.0.mlp.ffn_sub_norm.weight` fits nothing");
}

/// A checkpoint that stores the frequencies of every layer, as 1bitLLM does.
fn with_frequencies(dtype: &str, theta: f64) -> Files {
    let mut files = Files::of("bitnet-tiny-online");
    for n in 0..2 {
        let values = (0..8).map(|i| theta.powf(-f64::from(i) / 8.0));
        #[expect(clippy::cast_possible_truncation, reason = "stored in f32 or less")]
        let bytes = values.flat_map(|f| match dtype {
            "F32" => (f as f32).to_le_bytes().to_vec(),
            "F16" => half::f16::from_f64(f).to_le_bytes().to_vec(),
            _ => half::bf16::from_f64(f).to_le_bytes().to_vec(),
        });
        let tensor = Tensor {
            dtype: dtype.to_owned(),
            shape: vec![8],
            bytes: bytes.collect(),
        };
        let name = format!("model.layers.{n}.self_attn.rotary_emb.inv_freq");
        files.tensors.push((name, tensor));
    }
    files
}

#[test]
fn stored_frequencies_are_held_against_the_rope_base_and_ignored() {
    let plain = Files::of("bitnet-tiny-online").load().unwrap().card;
    for dtype in ["F32", "F16", "BF16"] {
        let card = with_frequencies(dtype, 5e5).load().unwrap().card;
        assert_eq!(card, plain, "{dtype}");
        with_frequencies(dtype, 1e4)
            .check_refused("tensor `model.layers.0.self_attn.rotary_emb.inv_freq` holds 0.31");
    }
    // What rounding to a narrower type would explain is too much in a wider one.
    with_frequencies("F16", 5e5 * 1.00005).load().unwrap();
    with_frequencies("F32", 5e5 * 1.00005).check_refused("at index 1, the rope base");

    let mut files = with_frequencies("F32", 5e5);
    files
        .tensor("model.layers.1.self_attn.rotary_emb.inv_freq")
        .shape = vec![4, 2];
    files.check_refused("has shape [4, 2], the configuration gives [8]");
    let mut files = with_frequencies("F32", 5e5);
    let last = files.tensors.len() - 1;
    files.tensors[last].0 = "model.layers.2.self_attn.rotary_emb.inv_freq".to_owned();
    files.check_refused("`model.layers.2.self_attn.rotary_emb.inv_freq` fits nothing");
}

#[test]
fn unpacked_integers_with_their_scale_are_the_packed_layers() {
    for fixture in ["bitnet-tiny-direct", "bitnet-tiny-inverse"] {
        let mut files = Files::of(fixture);
        let packed = files.load().unwrap().card;
        let mut n_unpacked = 0;
        for (_, tensor) in files.tensors.iter_mut().filter(|(_, t)| t.dtype == "U8") {
            // Every size of these fixtures is a multiple of four.
            let [groups, n_in] = tensor.shape[..] else {
                panic!("a matrix")
            };
            let rows = (0..4 * groups).flat_map(|row| (0..n_in).map(move |j| (row, j)));
            let signs = rows.map(|(row, j)| {
                let byte = tensor.bytes[row % groups * n_in + j];
                f32::from(byte >> (2 * (row / groups)) & 3) - 1.0
            });
            tensor.bytes = signs.flat_map(f32::to_le_bytes).collect();
            tensor.shape = vec![4 * groups, n_in];
            tensor.dtype = "F32".to_owned();
            n_unpacked += 1;
        }
        assert_eq!(n_unpacked, 14);
        let card = files.load().unwrap().card;
        assert_eq!(card.layers_digest, packed.layers_digest);
        assert_eq!(
            (packed.container, card.container),
            ("hf-packed", "hf-ternary")
        );
    }
}

#[test]
fn the_layers_digest_covers_scales_and_the_codes_digest_does_not() {
    let mut files = Files::of("bitnet-tiny-direct");
    let before = files.load().unwrap().card;
    files.tensor(GATE_SCALE).bytes[0] ^= 1;
    let after = files.load().unwrap().card;
    assert_eq!(after.codes_digest, before.codes_digest);
    assert_ne!(after.layers_digest, before.layers_digest);
}

/// A tokenizer of whole words with a beginning and an end token.
fn tokenizer(n_words: u32) -> String {
    let mut vocab = Map::new();
    for (id, word) in ["<s>", "</s>", "<unk>", "User:", "olá", "mundo"]
        .iter()
        .enumerate()
    {
        vocab.insert((*word).to_owned(), json!(id));
    }
    for id in 6..n_words {
        vocab.insert(format!("w{id}"), json!(id));
    }
    let special = |id: u32, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        })
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<s>"), special(1, "</s>")],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
    })
    .to_string()
}

fn with_tokenizer(n_words: u32) -> Files {
    let mut files = Files::of("bitnet-tiny-online");
    files.others.push(("tokenizer.json", tokenizer(n_words)));
    files
}

#[test]
fn a_prompt_begins_with_exactly_one_bos() {
    let prompt = |files: &Files| files.load().unwrap().encode_prompt("olá mundo");
    let mut files = with_tokenizer(48);
    assert_eq!(prompt(&files).unwrap(), [0, 4, 5]);

    let template = "{{ bos_token }}{% for m in messages %}User: {{ m.content }} {% endfor %}";
    let settings = json!({"bos_token": {"content": "<s>"}, "chat_template": template});
    files
        .others
        .push(("tokenizer_config.json", settings.to_string()));
    assert_eq!(prompt(&files).unwrap(), [0, 3, 4, 5]);

    let bundle = files.load().unwrap();
    let error = bundle.encode_prompt("olá <s>").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the prompt holds 2 beginning-of-sequence tokens, expected 1 at its start"
    );
    assert_eq!(bundle.codec.decode(&[0, 4, 5, 1]).unwrap(), "olá mundo");

    // A template file of its own wins.
    files.others.push((
        "chat_template.jinja",
        "{{ messages[0].content }}".to_owned(),
    ));
    assert_eq!(prompt(&files).unwrap(), [0, 4, 5]);
    assert_eq!(
        files.load().unwrap().template().unwrap().origin(),
        "chat_template.jinja"
    );
}

#[test]
fn a_tokenizer_larger_than_the_table_is_refused_and_a_smaller_one_is_not() {
    with_tokenizer(49).check_refused("tokenizer does not match the vocabulary: token id 48");
    let card = with_tokenizer(40).load().unwrap().card;
    assert!(
        card.warnings
            .contains(&"48 embedding rows for 40 token ids".to_owned())
    );
    let mut files = Files::of("bitnet-tiny-online");
    files.others.push(("tokenizer.json", "{}".to_owned()));
    files.check_refused("tokenizer.json is not a usable tokenizer");
}

#[test]
fn stop_ids_come_from_all_files_and_from_the_name() {
    let mut files = with_tokenizer(48);
    files.others.push((
        "generation_config.json",
        r#"{"eos_token_id": [1, 7]}"#.to_owned(),
    ));
    assert_eq!(files.load().unwrap().stop_ids, [1, 7]);
    files.others[0].1 = tokenizer(48).replace("w9\"", "<|eot_id|>\"");
    assert_eq!(files.load().unwrap().stop_ids, [1, 7, 9]);
}

#[test]
fn with_a_tokenizer_stop_ids_must_exist_and_be_possible() {
    let mut files = with_tokenizer(48);
    files.config["eos_token_id"] = json!(48);
    files.check_refused("stop id 48 is outside the vocabulary of 48");
    files.config["eos_token_id"] = Value::Null;
    files.check_refused("declares no stop token");
}
