//! `vv-eval model convert`: the same weights from container to container, and everything that
//! must not become one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vv_eval::artifact::digest_directory;
use vv_eval::engine::{BitNet, DecodeLimits, generate_greedy};
use vv_eval::model::gguf::{GgmlType, Gguf};
use vv_eval::model::synthetic::{Spec, synthetic};
use vv_eval::model::{HeadStorage, LoadOptions, ModelBundle, ModelCard, TernaryMatrix};

use super::common::{Lab, PROGRAM, Ran, model, root};

const ALL: [&str; 5] = [
    "hf-packed",
    "gguf-i2_s",
    "gguf-tq1_0",
    "gguf-tq2_0",
    "gguf-q4_0",
];

/// Everything about a model that no container may change.
#[derive(Debug, PartialEq)]
struct Essence {
    /// Codes, shape and bits of the scale of every projection.
    matrices: Vec<(String, Vec<u8>, u32)>,
    /// Bits of every other weight.
    floats: Vec<u32>,
    /// 64 tokens after a fixed prompt.
    greedy: Vec<u32>,
    tokenizer: Option<String>,
    template: Option<String>,
    stop_ids: Vec<u32>,
}

fn load(directory: &Path) -> ModelBundle {
    let options = LoadOptions {
        head: HeadStorage::Exact,
        ..LoadOptions::default()
    };
    ModelBundle::load(&digest_directory(directory).unwrap(), &options).unwrap()
}

fn essence(directory: &Path) -> (Essence, ModelCard) {
    let ModelBundle {
        network,
        codec,
        stop_ids,
        card,
    } = load(directory);
    let (config, weights) = network.into_bitnet();
    let matrices = weights.layers.iter().enumerate().flat_map(|(n, layer)| {
        let entry = |(name, matrix): (&str, &TernaryMatrix)| {
            let codes = matrix.codes().to_vec();
            (format!("{n}.{name}"), codes, matrix.scale().to_bits())
        };
        layer.projections().map(entry)
    });
    let matrices: Vec<_> = matrices.collect();
    let mut floats: Vec<f32> = weights.final_norm.clone();
    for layer in &weights.layers {
        floats.extend(layer.input_norm.iter().chain(&layer.post_norm));
        for sub_norm in [&layer.attn_sub_norm, &layer.ffn_sub_norm] {
            floats.extend(sub_norm.iter().flatten());
        }
    }
    let mut row = vec![0.0; config.hidden_size];
    for table in [Some(&weights.embedding), weights.head.as_ref()]
        .into_iter()
        .flatten()
    {
        for n in 0..table.n_rows() {
            table.read(n, &mut row);
            floats.extend(&row);
        }
    }
    let mut engine = BitNet::new(&config, weights);
    let limits = DecodeLimits {
        max_new_tokens: 64,
        stop_ids: Vec::new(),
    };
    let (greedy, _) =
        generate_greedy(&mut engine, &[1, 5, 9, 33], &limits, &mut |_, _| ()).unwrap();
    assert_eq!(greedy.len(), 64);
    let essence = Essence {
        matrices,
        floats: floats.into_iter().map(f32::to_bits).collect(),
        greedy,
        tokenizer: card
            .tokenizer
            .as_ref()
            .map(|origin| origin.digest.to_string()),
        template: codec.template.map(|template| template.source().to_owned()),
        stop_ids,
    };
    (essence, card)
}

#[track_caller]
fn convert(lab: &Lab, from: &str, to: &str, form: &str) -> Ran {
    let ran = lab.run(&["model", "convert", from, to, "--to", form]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let line = |name: &str| ran.stdout.lines().find(|line| line.starts_with(name));
    assert!(
        line("layers digest").is_some_and(|line| line.ends_with("equal in both")),
        "{}",
        ran.all()
    );
    assert!(line("written").is_some_and(|line| line.ends_with(to)));
    assert_nothing_hidden(lab);
    ran
}

/// No half model was left beside the whole ones.
#[track_caller]
fn assert_nothing_hidden(lab: &Lab) {
    let entries = fs::read_dir(lab.path("")).unwrap();
    let hidden = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with('.'));
    assert_eq!(hidden, None);
}

/// Converts from form to form and expects the same model at each step.
#[track_caller]
fn check_chain(lab: &Lab, start: &str, forms: &[&str]) {
    let (wanted, card) = essence(&lab.path(start));
    let mut from = start.to_owned();
    for (n, form) in forms.iter().enumerate() {
        let to = format!("step-{n}-{form}");
        convert(lab, &from, &to, form);
        let (found, found_card) = essence(&lab.path(&to));
        assert_eq!(found_card.container, *form);
        assert_eq!(found_card.layers_digest, card.layers_digest, "{form}");
        assert_eq!(found_card.n_parameters, card.n_parameters, "{form}");
        assert!(found == wanted, "{form} is another model");
        from = to;
    }
}

fn tensor(dtype: &str, shape: &[usize], bytes: Vec<u8>) -> (Value, Vec<u8>) {
    (json!({ "dtype": dtype, "shape": shape }), bytes)
}

/// Rows a quarter of the matrix apart in one byte, written plainly.
fn packed(matrix: &TernaryMatrix) -> (Value, Vec<u8>) {
    let (n_out, n_in) = (matrix.n_out(), matrix.n_in());
    let rows = n_out / 4;
    let mut bytes = vec![0; rows * n_in];
    for row in 0..n_out {
        for column in 0..n_in {
            let code = (matrix.sign(row, column) + 1).cast_unsigned();
            bytes[row % rows * n_in + column] |= code << (2 * (row / rows));
        }
    }
    tensor("U8", &[rows, n_in], bytes)
}

fn singles(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Upper halves of floats, which need no more when they end in zeros.
fn halves(values: &[f32]) -> Vec<u8> {
    let upper = |x: &f32| x.to_le_bytes()[2..].to_vec();
    values.iter().flat_map(upper).collect()
}

/// A safetensors file.
fn container(tensors: BTreeMap<String, (Value, Vec<u8>)>) -> Vec<u8> {
    let mut header = json!({});
    let mut data: Vec<u8> = Vec::new();
    for (name, (mut info, bytes)) in tensors {
        info["data_offsets"] = json!([data.len(), data.len() + bytes.len()]);
        header[name] = info;
        data.extend(bytes);
    }
    let header = header.to_string();
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        &data,
    ]
    .concat()
}

/// A checkpoint whose rows are whole blocks of every type: widths 256 and 512, embedding in BF16.
///
/// * `is_llama`: without norms inside the layers, silu, own head, reciprocal scales
fn wide(lab: &Lab, name: &str, is_llama: bool) {
    let spec = Spec {
        hidden_size: 256,
        intermediate_size: 512,
        n_layers: 2,
        n_heads: 8,
        n_kv_heads: 4,
        vocab_size: 96,
        max_positions: 128,
        head: HeadStorage::Exact,
    };
    let (config, weights) = synthetic(spec, 17);
    let mut tensors: BTreeMap<String, (Value, Vec<u8>)> = BTreeMap::new();
    let mut table = vec![0.0; 96 * 256];
    for (row, values) in table.chunks_mut(256).enumerate() {
        weights.embedding.read(row, values);
    }
    let name_of = |part: &str| format!("{part}.weight");
    tensors.insert(
        name_of("model.embed_tokens"),
        tensor("BF16", &[96, 256], halves(&table)),
    );
    if is_llama {
        table.reverse();
        tensors.insert(
            name_of("lm_head"),
            tensor("F32", &[96, 256], singles(&table)),
        );
    }
    let mut gains = |part: String, values: &[f32]| {
        let found = tensor("F32", &[values.len()], singles(values));
        tensors.insert(format!("{part}.weight"), found);
    };
    gains("model.norm".to_owned(), &weights.final_norm);
    for (n, layer) in weights.layers.iter().enumerate() {
        let prefix = format!("model.layers.{n}");
        gains(format!("{prefix}.input_layernorm"), &layer.input_norm);
        gains(
            format!("{prefix}.post_attention_layernorm"),
            &layer.post_norm,
        );
        if !is_llama {
            let norms = [&layer.attn_sub_norm, &layer.ffn_sub_norm];
            let [attn, ffn] = norms.map(|norm| norm.as_deref().unwrap());
            gains(format!("{prefix}.self_attn.attn_sub_norm"), attn);
            gains(format!("{prefix}.mlp.ffn_sub_norm"), ffn);
        }
    }
    for (n, layer) in weights.layers.iter().enumerate() {
        for (i, (part, matrix)) in layer.projections().into_iter().enumerate() {
            let part = format!("model.layers.{n}.{part}");
            // Scales with a full mantissa: rounding them anywhere would show.
            let scale = 0.037_123_4 * (7 * n + i + 1) as f32;
            let stored = if is_llama { 1.0 / scale } else { scale };
            tensors.insert(format!("{part}.weight"), packed(matrix));
            tensors.insert(
                format!("{part}.weight_scale"),
                tensor("F32", &[1], singles(&[stored])),
            );
        }
    }
    let file = container(tensors);
    let mut keys = json!({
        "architectures": ["BitNetForCausalLM"], "model_type": "bitnet", "hidden_act": "relu2",
        "vocab_size": 96, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32,
        "rms_norm_eps": config.rms_norm_eps, "rope_theta": 500_000.0, "pad_token_id": 3,
        "max_position_embeddings": 128, "tie_word_embeddings": !is_llama,
        "bos_token_id": 1, "eos_token_id": [2, 4, 7],
        "quantization_config": { "quant_method": "bitnet", "linear_class": "autobitlinear" },
    });
    if is_llama {
        keys["architectures"] = json!(["LlamaForCausalLM"]);
        keys["model_type"] = json!("llama");
        keys["hidden_act"] = json!("silu");
        keys["quantization_config"] =
            json!({ "quant_method": "bitnet", "modules_to_not_convert": ["lm_head"] });
    }
    fs::create_dir(lab.path(name)).unwrap();
    lab.write(&format!("{name}/config.json"), keys.to_string());
    lab.write(&format!("{name}/model.safetensors"), file);
}

const CHAIN: [&str; 5] = [
    "gguf-q4_0",
    "gguf-tq1_0",
    "gguf-i2_s",
    "gguf-tq2_0",
    "hf-packed",
];

#[test]
fn a_bitnet_is_the_same_in_every_container() {
    let lab = Lab::new();
    wide(&lab, "wide", false);
    check_chain(&lab, "wide", &CHAIN);
    // The embedding stays in 16 bits, and the checkpoint comes back tensor by tensor.
    let gguf = Gguf::open(&lab.path("step-0-gguf-q4_0/model-q4_0.gguf")).unwrap();
    assert_eq!(gguf.tensors["token_embd.weight"].kind, GgmlType::BF16);
    let tensors = |name: &str| {
        let bytes = fs::read(lab.path(name).join("model.safetensors")).unwrap();
        let n = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
        let place = |offsets: &Value| usize::try_from(offsets.as_u64().unwrap()).unwrap();
        header
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, info)| {
                let [from, to] = [0, 1].map(|i| place(&info["data_offsets"][i]));
                (
                    name,
                    info["dtype"].clone(),
                    bytes[8 + n + from..8 + n + to].to_vec(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert!(tensors("wide") == tensors("step-4-hf-packed"));
}

#[test]
fn a_llama_type_model_is_the_same_in_every_container() {
    let lab = Lab::new();
    wide(&lab, "wide", true);
    check_chain(&lab, "wide", &CHAIN);
    let config = fs::read(lab.path("step-4-hf-packed/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        config["quantization_config"]["linear_class"],
        "autobitlinear"
    );
    assert_eq!(config["eos_token_id"], json!([2, 4]));
    assert_eq!(config["pad_token_id"], json!(3));
    let generation = fs::read(lab.path("step-4-hf-packed/generation_config.json")).unwrap();
    let generation: Value = serde_json::from_slice(&generation).unwrap();
    assert_eq!(generation["eos_token_id"], json!([2, 4, 7]));
}

#[test]
fn the_reference_model_is_the_same_in_every_container_its_rows_fit() {
    let lab = Lab::new();
    lab.bare("1.0.0", "start");
    check_chain(&lab, "start", &["gguf-q4_0", "gguf-i2_s", "hf-packed"]);
}

#[test]
fn the_tiny_llama_is_the_same_in_every_container_its_rows_fit() {
    let lab = Lab::new();
    lab.copy(&root().join("tests/fixtures/bitnet-tiny-llama"), "start");
    check_chain(&lab, "start", &["gguf-q4_0", "gguf-i2_s", "hf-packed"]);
}

#[test]
fn masters_and_reciprocal_scales_become_what_a_load_makes_of_them() {
    for fixture in ["bitnet-tiny-online", "bitnet-tiny-inverse"] {
        let lab = Lab::new();
        lab.copy(&root().join("tests/fixtures").join(fixture), "start");
        check_chain(&lab, "start", &["hf-packed", "gguf-i2_s"]);
    }
}

/// Bytes of a tensor.
fn tensor_bytes(gguf: &Gguf, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(gguf.tensors[name].bytes).unwrap()];
    gguf.read(name, 0, &mut bytes).unwrap();
    bytes
}

/// A converted fixture against the file another program made of it: every tensor, byte for byte.
#[track_caller]
fn check_against_script(fixture: &str, form: &str, file: &str) {
    let lab = Lab::new();
    let from = root().join("tests/fixtures").join(fixture);
    convert(&lab, from.to_str().unwrap(), "out", form);
    let short = form.trim_start_matches("gguf-");
    let found = Gguf::open(&lab.path("out").join(format!("model-{short}.gguf"))).unwrap();
    let wanted = Gguf::open(&root().join("tests/fixtures/gguf").join(file)).unwrap();
    let names: Vec<&String> = wanted.tensors.keys().collect();
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), names);
    assert!(names.len() > 20);
    for name in names {
        let (a, b) = (&found.tensors[name], &wanted.tensors[name]);
        assert_eq!((&a.dims, a.kind), (&b.dims, b.kind), "{name}");
        assert!(
            tensor_bytes(&found, name) == tensor_bytes(&wanted, name),
            "{name}"
        );
    }
}

#[test]
fn files_have_the_bytes_that_an_independent_script_gives_them() {
    check_against_script("bitnet-tiny-direct", "gguf-i2_s", "direct-i2_s.gguf");
    check_against_script("bitnet-tiny-direct", "gguf-q4_0", "direct-q4_0.gguf");
    check_against_script("bitnet-tiny-llama", "gguf-i2_s", "llama-i2_s.gguf");
    check_against_script("bitnet-tiny-llama", "gguf-q4_0", "llama-q4_0.gguf");
}

#[test]
fn four_bit_blocks_of_a_rounding_quantizer_become_exact() {
    let lab = Lab::new();
    fs::create_dir(lab.path("start")).unwrap();
    let rounded = root().join("tests/fixtures/gguf/direct-q4_0-rounded.gguf");
    fs::copy(rounded, lab.path("start/model.gguf")).unwrap();
    check_chain(&lab, "start", &["gguf-q4_0", "hf-packed"]);
}

/// The committed files of a converted reference model are what the conversion gives today.
#[test]
fn the_committed_four_bit_model_is_made_again_byte_for_byte() {
    let lab = Lab::new();
    convert(&lab, model("1.0.0").to_str().unwrap(), "made", "gguf-q4_0");
    let files = |directory: PathBuf| {
        let entries = fs::read_dir(directory).unwrap();
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        };
        let all = entries.map(|entry| read(entry.unwrap()));
        all.collect::<BTreeMap<String, Vec<u8>>>()
    };
    let (made, committed) = (files(lab.path("made")), files(model("1.0.0-q4_0")));
    let names = [
        "MODEL_CARD.md",
        "generation_config.json",
        "model-q4_0.gguf",
        "model_manifest.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(made.keys().collect::<Vec<_>>(), names);
    assert_eq!(committed.keys().collect::<Vec<_>>(), names);
    for name in names {
        assert!(made[name] == committed[name], "{name} differs");
    }
}

#[test]
fn a_pinned_model_stays_pinned_under_a_version_of_its_own() {
    let lab = Lab::new();
    lab.pinned("1.0.0", "start");
    lab.edit(
        "start/model_manifest.json",
        "\"model_name\"",
        "\"model_options\": { \"max_load_perplexity\": 1e9, \"quantization_mode\": \"offline\" },\n  \"requires\": { \"summarize_scene\": \">=2.1\" },\n  \"model_name\"",
    );
    convert(&lab, "start/model_manifest.json", "four", "gguf-q4_0");
    let ran = convert(&lab, "four", "two", "gguf-i2_s");
    assert!(ran.stdout.contains("version 1.0.0-i2-s"), "{}", ran.all());
    let manifest = fs::read(lab.path("two/model_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["version"], "1.0.0-i2-s");
    assert_eq!(manifest["requires"]["summarize_scene"], ">=2.1");
    assert_eq!(
        manifest["model_options"],
        json!({ "max_load_perplexity": 1e9 })
    );
    let ran = lab.run(&["inspect", "two"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("1.0.0-i2-s, pinned by its manifest"));
    // Files that are not pinned by anything do not become so.
    lab.bare("1.0.0", "bare");
    convert(&lab, "bare", "three", "gguf-q4_0");
    assert!(!lab.path("three/model_manifest.json").exists());
    assert!(lab.path("three/MODEL_CARD.md").exists());
}

#[test]
fn a_vocabulary_in_metadata_becomes_a_tokenizer_json() {
    let lab = Lab::new();
    lab.bare("1.0.0", "start");
    // The rule for cutting text is made one that GGUF has a name for.
    let path = lab.path("start/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let named = root().join("tests/fixtures/gguf/vocabulary-qwen2.gguf");
    assert!(named.exists());
    tokenizer["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": QWEN_2 }, "behavior": "Isolated", "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
    ]});
    fs::write(&path, tokenizer.to_string()).unwrap();
    convert(&lab, "start", "gguf", "gguf-q4_0");
    // Without any file beside it, the GGUF alone is the model.
    fs::create_dir(lab.path("alone")).unwrap();
    fs::copy(
        lab.path("gguf/model-q4_0.gguf"),
        lab.path("alone/model.gguf"),
    )
    .unwrap();
    convert(&lab, "alone", "back", "hf-packed");
    convert(&lab, "alone", "again", "gguf-i2_s");
    let texts = [
        "Duas pessoas às 06:41, um caminhão.",
        "  1.250 kg\n\n«fim» 🚚",
    ];
    let [first, back, again] = ["start", "back", "again"].map(|name| load(&lab.path(name)));
    assert_eq!(back.stop_ids, first.stop_ids);
    for bundle in [&back, &again] {
        assert_eq!(
            bundle.template().unwrap().source(),
            first.template().unwrap().source()
        );
        for text in texts {
            assert_eq!(
                bundle.encode_prompt(text).unwrap(),
                first.encode_prompt(text).unwrap()
            );
        }
    }
    assert_eq!(again.card.tokenizer.unwrap().source, "gguf metadata");
    assert_eq!(back.card.tokenizer.unwrap().source, "tokenizer.json");
}

const QWEN_2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

#[test]
fn a_comparison_of_two_containers_says_that_the_weights_are_the_same() {
    let lab = Lab::of_few_scenes();
    let ran = lab.compare("1.0.0", "1.0.0-q4_0", &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    assert!(
        ran.stdout.contains(
            "same weights, other container: hf-packed and gguf-q4_0 hold the same ternary layers"
        ),
        "{}",
        ran.all()
    );
}

/// A conversion that is refused, with what it says, leaving nothing.
#[track_caller]
fn check_refused(lab: &Lab, arguments: &[&str], code: i32, words: &[&str]) {
    let before = names(&lab.path(""));
    let ran = lab.run(&[&["model", "convert"], arguments].concat());
    assert_eq!(ran.code, Some(code), "{}", ran.all());
    for word in words {
        assert!(ran.stderr.contains(word), "no {word} in\n{}", ran.stderr);
    }
    assert!(ran.stdout.is_empty());
    assert_eq!(names(&lab.path("")), before);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused_with_what_fits() {
    let lab = Lab::new();
    let from = model("1.0.0");
    let from = from.to_str().unwrap();
    for (form, kind) in [("gguf-tq1_0", "TQ1_0"), ("gguf-tq2_0", "TQ2_0")] {
        let what =
            format!("`blk.0.attn_q.weight` has 192 values in a row, {kind} has blocks of 256");
        let hint = "hint: containers that fit: --to hf-packed, --to gguf-i2_s, --to gguf-q4_0\n";
        check_refused(&lab, &[from, "out", "--to", form], 3, &[&what, hint]);
    }
}

#[test]
fn a_destination_that_is_there_is_not_touched() {
    let lab = Lab::new();
    lab.pinned("1.0.0", "start");
    lab.write("file", "kept");
    fs::create_dir(lab.path("empty")).unwrap();
    for to in ["start", "start/", "file", "empty"] {
        let words = ["cannot make the directory", to, "hint: choose a path"];
        check_refused(&lab, &["start", to, "--to", "gguf-q4_0"], 3, &words);
    }
    assert_eq!(fs::read(lab.path("file")).unwrap(), b"kept");
    assert!(names(&lab.path("empty")).is_empty());
    assert_eq!(names(&lab.path("start")), names(&model("1.0.0")));
}

#[test]
fn a_destination_that_cannot_be_made_is_named() {
    let lab = Lab::new();
    lab.pinned("1.0.0", "start");
    for to in ["absent/out", "gate.toml/out", "..", "/proc/out"] {
        let ran = lab.run(&["model", "convert", "start", to, "--to", "gguf-q4_0"]);
        assert!(matches!(ran.code, Some(3 | 41 | 42)), "{to} {}", ran.all());
        assert!(
            ran.stderr.contains(&format!(" `{to}`\n  caused by: ")),
            "{}",
            ran.all()
        );
    }
    assert_eq!(names(&lab.path("")), ["gate.toml", "start"]);
}

#[test]
fn words_that_are_no_container_are_refused() {
    let lab = Lab::new();
    let arguments = ["start", "out", "--to", "gguf-q8_0"];
    check_refused(
        &lab,
        &arguments,
        3,
        &["gguf-q8_0", "gguf-q4_0", "hf-packed"],
    );
    check_refused(&lab, &["start", "out"], 3, &["--to"]);
    check_refused(
        &lab,
        &["start", "out", "--to", "hf-packed"],
        3,
        &["error: ", "start"],
    );
}

#[test]
fn sources_that_are_no_sound_ternary_models_are_refused() {
    let lab = Lab::new();
    lab.bare("1.0.0", "short");
    lab.write("short/model.safetensors", "short");
    let words = ["is not a valid safetensors file", "hint: "];
    check_refused(&lab, &["short", "out", "--to", "gguf-q4_0"], 3, &words);

    lab.pinned("1.0.0", "changed");
    lab.edit("changed/config.json", "relu2", "silu");
    let words = ["does not match", "config.json"];
    check_refused(&lab, &["changed", "out", "--to", "gguf-q4_0"], 3, &words);

    // A code that means nothing, found only when the last layer is read.
    lab.bare("1.0.0", "code");
    let mut bytes = fs::read(lab.path("code/model.safetensors")).unwrap();
    let at = bytes.len() - 4000;
    bytes[at..at + 2000].fill(0xff);
    lab.write("code/model.safetensors", bytes);
    let ran = lab.run(&["model", "convert", "code", "out", "--to", "gguf-q4_0"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert_nothing_hidden(&lab);
    assert!(!lab.path("out").exists());

    // Blocks of several magnitudes in a Llama-type file make it an ordinary quantized model.
    fs::create_dir(lab.path("plain")).unwrap();
    let file = root().join("tests/fixtures/gguf/llama-q4_0.gguf");
    let mut bytes = fs::read(&file).unwrap();
    let gguf = Gguf::open(&file).unwrap();
    let at = gguf.data_offset + gguf.tensors["blk.0.attn_q.weight"].offset;
    bytes[usize::try_from(at).unwrap() + 2] = 0x12;
    lab.write("plain/model.gguf", bytes);
    let words = ["not ternary", "not supported"];
    check_refused(&lab, &["plain", "out", "--to", "hf-packed"], 3, &words);
}

// Blocks with scales of their own, which no container holds.
#[test]
fn group_scales_are_refused_with_the_reason() {
    let lab = Lab::new();
    fs::create_dir(lab.path("groups")).unwrap();
    let file = root().join("tests/fixtures/gguf/direct-q4_0.gguf");
    let mut bytes = fs::read(&file).unwrap();
    let gguf = Gguf::open(&file).unwrap();
    let at = gguf.data_offset + gguf.tensors["blk.1.ffn_up.weight"].offset;
    // The second block gets the scale 2.
    let at = usize::try_from(at).unwrap() + 18;
    bytes[at..at + 2].copy_from_slice(&0x4000_u16.to_le_bytes());
    lab.write("groups/model.gguf", bytes);
    let words = [
        "blocks of tensor `blk.1.ffn_up.weight` have scales 1 and 2",
        "group scales are not supported",
        "hint: ",
    ];
    check_refused(&lab, &["groups", "out", "--to", "gguf-q4_0"], 3, &words);
}

/// Starts a conversion to `out` and kills it as soon as there are weights; whether it was still at
/// work.
fn kill_at_work(lab: &Lab, from: &str) -> bool {
    let weights = lab.path(".out.vv-eval-partial/model-q4_0.gguf");
    let mut child = Command::new(PROGRAM)
        .current_dir(lab.path(""))
        .args(["model", "convert", from, "out", "--to", "gguf-q4_0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !weights.exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

// Whenever the process ends, the name is free or leads to a whole model.
#[test]
fn a_killed_conversion_leaves_no_half_model_and_the_next_one_clears_up() {
    let lab = Lab::new();
    let from = model("1.1.2-heavy");
    let digest = |path: &Path| load(path).card.layers_digest;
    let wanted = digest(&from);
    let from = from.to_str().unwrap();
    let hidden = lab.path(".out.vv-eval-partial");
    let mut n_killed = 0;
    // On a busy machine some of them end before they are killed.
    for _ in 0..20 {
        let was_killed = kill_at_work(&lab, from);
        if lab.path("out").exists() {
            assert_eq!(digest(&lab.path("out")), wanted);
            fs::remove_dir_all(lab.path("out")).unwrap();
        } else {
            assert!(was_killed && hidden.exists());
            n_killed += 1;
        }
        if n_killed == 3 {
            break;
        }
    }
    assert!(n_killed > 0, "every conversion ended before it was killed");
    convert(&lab, from, "out", "gguf-q4_0");
    assert_eq!(digest(&lab.path("out")), wanted);
}

#[test]
fn every_container_is_in_the_help() {
    let ran = Lab::new().run(&["model", "convert", "--help"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for form in ALL {
        assert!(ran.stdout.contains(form), "{}", ran.stdout);
    }
}
