//! The loader and the forward pass against independent implementations.
//!
//! A fixture that is missing fails its test: a comparison that compared nothing proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use vv_eval::artifact::digest_directory;
use vv_eval::engine::bitnet::{Input, Projection, Trace};
use vv_eval::engine::kernels::quantize::Quantized;
use vv_eval::engine::{BitNet, DecodeLimits, Engine as _, StopReason, generate_greedy};
use vv_eval::model::safetensors::SafeTensors;
use vv_eval::model::{
    Family, HeadStorage, I2sLayout, LayerWeights, LoadOptions, ModelBundle, TernaryMatrix,
};

/// The promise to users of a loaded model: far below the smallest gap between two best logits in
/// the fixtures, 0.05.
const LOGIT_TOLERANCE: f64 = 1e-4;
/// What rounding alone explains with weights and head in f32; the smallest mistake listed in the
/// fixture's README moves a logit by 2e-2.
const TIGHT_LOGIT_TOLERANCE: f64 = 1e-5;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn json(name: &str, file: &str) -> Value {
    let path = folder(name).join(file);
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).expect("fixtures are JSON")
}

fn load(name: &str) -> ModelBundle {
    let files = digest_directory(&folder(name)).expect("the fixture is readable");
    let exact = LoadOptions {
        head: HeadStorage::Exact,
        ..LoadOptions::default()
    };
    ModelBundle::load(&files, &exact).expect("the fixture is a valid model")
}

fn ids(value: &Value) -> Vec<u32> {
    let id = |v: &Value| u32::try_from(v.as_u64().unwrap()).unwrap();
    value
        .as_array()
        .expect("a list of ids")
        .iter()
        .map(id)
        .collect()
}

fn integers(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(list) => list.iter().flat_map(integers).collect(),
        other => vec![other.as_i64().expect("an integer")],
    }
}

fn floats(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(floats).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

/// One GGUF file, alone in a directory.
fn try_gguf(file: &str, options: &LoadOptions) -> Result<ModelBundle, vv_eval::model::Error> {
    let alone = tempfile::tempdir().unwrap();
    fs::copy(folder("gguf").join(file), alone.path().join("model.gguf"))
        .unwrap_or_else(|e| panic!("{file}: {e}"));
    ModelBundle::load(&digest_directory(alone.path()).unwrap(), options)
}

fn load_gguf(file: &str, i2s_layout: I2sLayout) -> ModelBundle {
    let exact = LoadOptions {
        head: HeadStorage::Exact,
        i2s_layout,
        ..LoadOptions::default()
    };
    try_gguf(file, &exact).expect("the fixture is a valid model")
}

/// Logits of all positions, greedy tokens and every quantized input and integer sum.
fn check_parity(name: &str, trace_of: &str) {
    check_bundle(load(name), name, trace_of);
}

fn check_bundle(bundle: ModelBundle, name: &str, trace_of: &str) {
    let expected = json(name, "expected.json");
    let prompt = ids(&expected["ids"]);
    let (config, weights) = bundle.network.into_bitnet();
    let mut engine = BitNet::new(&config, weights);

    let mut logits = Vec::new();
    engine.feed_all(&prompt, &mut logits).unwrap();
    let wanted = floats(&expected["logits"]);
    assert_eq!(logits.len(), wanted.len(), "every logit is compared");
    assert!(!wanted.is_empty());
    let difference = logits
        .iter()
        .zip(&wanted)
        .map(|(a, b)| (f64::from(*a) - b).abs())
        .fold(0.0, f64::max);
    assert!(difference < LOGIT_TOLERANCE, "{name}: {difference}");
    assert!(difference < TIGHT_LOGIT_TOLERANCE, "{name}: {difference}");

    let greedy = ids(&expected["greedy"]);
    let limits = DecodeLimits {
        max_new_tokens: greedy.len(),
        stop_ids: Vec::new(),
    };
    let output = generate_greedy(&mut engine, &prompt, &limits, &mut |_, _| ()).unwrap();
    assert_eq!(output, (greedy, StopReason::MaxTokens));

    let mut comparison = Comparison {
        expected: json(trace_of, "trace.json"),
        n_compared: 0,
    };
    engine.reset();
    engine.feed_traced(&prompt, &mut comparison).unwrap();
    // Four inputs and seven products in each layer.
    assert_eq!(comparison.n_compared, config.n_layers * (4 + 7));
}

/// Compares integers with a trace; they must be exactly equal.
struct Comparison {
    expected: Value,
    n_compared: usize,
}

impl Comparison {
    fn check(&mut self, key: &str, found: &[i64]) {
        let expected = self
            .expected
            .get(key)
            .unwrap_or_else(|| panic!("the trace lacks {key}"));
        assert_eq!(found, integers(expected), "{key}");
        self.n_compared += 1;
    }
}

impl Trace for Comparison {
    fn quantized(&mut self, layer: usize, input: Input, values: &Quantized) {
        let place = match input {
            Input::Attention => "attn_in",
            Input::Output => "o_in",
            Input::Mlp => "mlp_in",
            Input::Down => "down_in",
        };
        let rows = (0..values.n_tokens()).flat_map(|t| values.row(t));
        let found: Vec<i64> = rows.map(i64::from).collect();
        self.check(&format!("model.layers.{layer}.{place}.q8"), &found);
    }

    fn sums(&mut self, layer: usize, projection: Projection, sums: &[i32]) {
        let place = match projection {
            Projection::Q => "self_attn.q_proj",
            Projection::K => "self_attn.k_proj",
            Projection::V => "self_attn.v_proj",
            Projection::O => "self_attn.o_proj",
            Projection::Gate => "mlp.gate_proj",
            Projection::Up => "mlp.up_proj",
            Projection::Down => "mlp.down_proj",
        };
        let found: Vec<i64> = sums.iter().map(|sum| i64::from(*sum)).collect();
        self.check(&format!("model.layers.{layer}.{place}.acc"), &found);
    }
}

#[test]
fn a_packed_model_with_direct_scales_agrees_with_transformers() {
    check_parity("bitnet-tiny-direct", "bitnet-tiny-direct");
}

#[test]
fn a_packed_model_with_inverse_scales_agrees_with_transformers() {
    check_parity("bitnet-tiny-inverse", "bitnet-tiny-direct");
}

#[test]
fn float_masters_are_quantized_as_in_the_reference() {
    check_parity("bitnet-tiny-online", "bitnet-tiny-online");
}

#[test]
fn a_llama_type_model_agrees_with_the_reference() {
    check_parity("bitnet-tiny-llama", "bitnet-tiny-llama");
}

/// A GGUF against the container it was made from: logits, sums, codes and scales.
#[track_caller]
fn check_gguf(file: &str, layout: I2sLayout, original: &str, container: &str) {
    let bundle = load_gguf(file, layout);
    let wanted = load(original);
    assert_eq!(bundle.card.container, container);
    assert_eq!(bundle.card.codes_digest, wanted.card.codes_digest);
    check_bundle(load_gguf(file, layout), original, original);
    let (n_layers, mut n_compared) = (wanted.card.n_layers, 0);
    let layers = |bundle: ModelBundle| bundle.network.into_bitnet().1.layers;
    for (a, b) in layers(bundle).iter().zip(&layers(wanted)) {
        for ((name, a), (_, b)) in a.projections().into_iter().zip(b.projections()) {
            assert_eq!(a.scale().to_bits(), b.scale().to_bits(), "{name}");
            n_compared += 1;
        }
    }
    assert_eq!(n_compared, n_layers * 7);
    assert_eq!(
        logits(load_gguf(file, layout), original),
        logits(load(original), original)
    );
}

/// Bits of the logits of a fixture's prompt.
fn logits(bundle: ModelBundle, name: &str) -> Vec<u32> {
    let prompt = ids(&json(name, "expected.json")["ids"]);
    let (config, weights) = bundle.network.into_bitnet();
    let mut logits = Vec::new();
    BitNet::new(&config, weights)
        .feed_all(&prompt, &mut logits)
        .unwrap();
    assert!(!logits.is_empty());
    logits.into_iter().map(f32::to_bits).collect()
}

// Pitfalls 3, 5, 8 and 9: activation by architecture, head width by its key, type id 36 beside
// file type 40, and reversed dimensions.
#[test]
fn an_i2_s_file_computes_what_its_checkpoint_computes() {
    let (layout, name) = (I2sLayout::Blocks128, "bitnet-tiny-direct");
    check_gguf("direct-i2_s.gguf", layout, name, "gguf-i2_s");
}

#[test]
fn a_four_bit_file_with_ternary_weights_computes_what_its_checkpoint_computes() {
    let (layout, name) = (I2sLayout::Blocks128, "bitnet-tiny-direct");
    check_gguf("direct-q4_0.gguf", layout, name, "gguf-q4_0");
}

#[test]
fn a_packed_model_of_whole_blocks_agrees_with_the_reference() {
    check_parity("bitnet-wide", "bitnet-wide");
}

#[test]
fn ternary_block_files_compute_what_their_checkpoint_computes() {
    let (layout, name) = (I2sLayout::Blocks128, "bitnet-wide");
    check_gguf("wide-tq1_0.gguf", layout, name, "gguf-tq1_0");
    check_gguf("wide-tq2_0.gguf", layout, name, "gguf-tq2_0");
}

// Pitfall 8: both engines' layouts of id 42.
#[test]
fn q2_0_files_of_both_block_sizes_compute_what_their_checkpoint_computes() {
    let (layout, name) = (I2sLayout::Blocks128, "bitnet-wide");
    check_gguf("wide-q2_0.gguf", layout, name, "gguf-q2_0");
    check_gguf("wide-q2_0-128.gguf", layout, name, "gguf-q2_0");
}

// Pitfall 4: interleaved rope, and q and k permuted, under the architecture `llama`.
#[test]
fn llama_type_files_return_to_the_row_order_of_their_checkpoint() {
    let (layout, name) = (I2sLayout::Blocks128, "bitnet-tiny-llama");
    check_gguf("llama-i2_s.gguf", layout, name, "gguf-i2_s");
    check_gguf("llama-q4_0.gguf", layout, name, "gguf-q4_0");
    let card = load_gguf("llama-q4_0.gguf", layout).card;
    assert!(
        card.warnings.iter().any(|w| w.contains("8 assumed")),
        "{:?}",
        card.warnings
    );
}

// Pitfall 7: the layout is the reader's option, and the wrong one gives other codes.
#[test]
fn i2_s_files_made_on_arm_are_read_with_their_own_layout() {
    let (file, name) = ("direct-i2_s-64.gguf", "bitnet-tiny-direct");
    let layout = I2sLayout::Blocks64;
    check_gguf(file, layout, name, "gguf-i2_s (blocks of 64)");
    let wrong = load_gguf(file, I2sLayout::Blocks128);
    assert_ne!(wrong.card.codes_digest, load(name).card.codes_digest);
}

#[test]
fn weights_that_a_quantizer_rounded_to_four_bits_are_still_ternary() {
    let bundle = load_gguf("direct-q4_0-rounded.gguf", I2sLayout::Blocks128);
    let original = load("bitnet-tiny-direct");
    assert_eq!(bundle.card.codes_digest, original.card.codes_digest);
    let warned = bundle.card.warnings.iter().filter(|w| w.contains("-7/8"));
    assert_eq!(warned.count(), 14);
}

#[test]
fn a_gguf_card_says_where_its_facts_come_from() {
    let line = load_gguf("direct-i2_s.gguf", I2sLayout::Blocks128)
        .card
        .to_string();
    assert_eq!(
        line,
        "bitnet 66k · gguf-i2_s · 2x64/96 · vocab 64 · relu2 (architecture) · sub-norms · rope \
         half-split 5e5 · scale direct (blocks) · 10 F32 + 14 I2_S · no tokenizer · no template · \
         stop 128001 · head exact · act 8 bit"
    );
}

/// Matrices of a model that were read a second time, by the plain definition.
fn n_witnessed(bundle: ModelBundle) -> usize {
    let (_, weights) = bundle.network.into_bitnet();
    let matrices = weights.layers.iter().flat_map(LayerWeights::projections);
    matrices.filter(|(_, m)| m.witness().is_some()).count()
}

#[test]
fn three_matrices_of_every_model_are_held_against_their_file() {
    for name in ["direct", "inverse", "online", "llama"] {
        assert_eq!(
            n_witnessed(load(&format!("bitnet-tiny-{name}"))),
            3,
            "{name}"
        );
    }
    for file in [
        "direct-i2_s",
        "direct-q4_0",
        "direct-q4_0-rounded",
        "llama-i2_s",
        "llama-q4_0",
    ] {
        let bundle = load_gguf(&format!("{file}.gguf"), I2sLayout::Blocks128);
        assert_eq!(n_witnessed(bundle), 3, "{file}");
    }
    let bundle = load_gguf("direct-i2_s-64.gguf", I2sLayout::Blocks64);
    assert_eq!(n_witnessed(bundle), 3);
}

#[test]
fn both_conventions_give_the_same_codes_and_scales() {
    let direct = load("bitnet-tiny-direct");
    let inverse = load("bitnet-tiny-inverse");
    assert_eq!(direct.card.codes_digest, inverse.card.codes_digest);
    assert_ne!(
        direct.card.codes_digest,
        load("bitnet-tiny-online").card.codes_digest
    );
    assert_eq!(
        (direct.card.scale, inverse.card.scale),
        ("direct", "inverse")
    );
    let mut n_compared = 0;
    let layers = |bundle: ModelBundle| bundle.network.into_bitnet().1.layers;
    for (a, b) in layers(direct).iter().zip(&layers(inverse)) {
        for ((name, a), (_, b)) in a.projections().into_iter().zip(b.projections()) {
            assert_eq!(a.codes_digest(), b.codes_digest(), "{name}");
            assert!((a.scale() / b.scale() - 1.0).abs() < 1e-6, "{name}");
            assert!(
                (0.2..0.3).contains(&a.scale()),
                "{name}: the mean magnitude of the masters"
            );
            n_compared += 1;
        }
    }
    assert_eq!(n_compared, 14);
}

// Pitfall 16: the tolerance would not forgive an oracle that rounds to bf16.
#[test]
fn the_oracles_are_finer_than_bf16() {
    for name in ["direct", "inverse", "online", "llama"] {
        let logits = floats(&json(&format!("bitnet-tiny-{name}"), "expected.json")["logits"]);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the oracles compute in f32"
        )]
        let rounded = |x: f64| f64::from(half::bf16::from_f32(x as f32).to_f32());
        let farthest = logits.iter().map(|x| (rounded(*x) - x).abs());
        let farthest = farthest.fold(0.0, f64::max);
        assert!(farthest > 10.0 * LOGIT_TOLERANCE, "{name}: {farthest}");
    }
}

// Pitfall 17: norms hide a wrong scale of v, gate and up from every token, so each projection's
// scale is held against the bytes of the file.
#[test]
fn every_projection_has_the_scale_stored_for_it() {
    let (_, weights) = load("bitnet-tiny-direct").network.into_bitnet();
    let path = folder("bitnet-tiny-direct").join("model.safetensors");
    let file = SafeTensors::open(fs::File::open(path).unwrap()).unwrap();
    let mut different = BTreeSet::new();
    for (n, layer) in weights.layers.iter().enumerate() {
        for (name, matrix) in layer.projections() {
            let mut stored = [0; 4];
            let tensor = format!("model.layers.{n}.{name}.weight_scale");
            file.read_at(&tensor, 0, &mut stored).unwrap();
            assert_eq!(
                matrix.scale().to_bits(),
                u32::from_le_bytes(stored),
                "{tensor}"
            );
            different.insert(stored);
        }
    }
    assert_eq!(different.len(), 14, "no two projections share a scale");
}

// Pitfall 17.
#[test]
fn a_wrong_scale_of_any_projection_changes_the_identity_of_the_layers() {
    let digest = load("bitnet-tiny-direct").card.layers_digest;
    for index in 0..7 {
        let (_, mut weights) = load("bitnet-tiny-direct").network.into_bitnet();
        let layer = &mut weights.layers[1];
        let matrix = match index {
            0 => &mut layer.q,
            1 => &mut layer.k,
            2 => &mut layer.v,
            3 => &mut layer.o,
            4 => &mut layer.gate,
            5 => &mut layer.up,
            _ => &mut layer.down,
        };
        let shape = [matrix.n_out(), matrix.n_in()];
        let codes = matrix.codes().to_vec();
        *matrix = TernaryMatrix::new("w", shape, codes, 1.0 / matrix.scale()).unwrap();
        assert_ne!(
            weights.identity().layers,
            digest.expect("a ternary model has one"),
            "projection {index}"
        );
    }
}

// Pitfall 18.
#[test]
#[should_panic(expected = "bitnet-tiny-absent/expected.json")]
fn a_comparison_without_its_oracle_fails() {
    check_bundle(
        load("bitnet-tiny-direct"),
        "bitnet-tiny-absent",
        "bitnet-tiny-direct",
    );
}

// Pitfall 18.
#[test]
#[should_panic(expected = "the trace lacks model.layers.0.attn_in.q8")]
fn a_comparison_with_an_empty_trace_fails() {
    let mut comparison = Comparison {
        expected: serde_json::json!({}),
        n_compared: 0,
    };
    let (config, weights) = load("bitnet-tiny-direct").network.into_bitnet();
    let mut engine = BitNet::new(&config, weights);
    let _ = engine.feed_traced(&[1], &mut comparison);
}

#[test]
fn a_card_says_what_was_detected() {
    let line = load("bitnet-tiny-direct").card.to_string();
    assert_eq!(
        line,
        "bitnet 66k · hf-packed · 2x64/96 · vocab 64 · relu2 · sub-norms · rope half-split 5e5 · \
         scale direct (linear_class) · 10 F32 + 14 ternary · no tokenizer · no template · \
         stop 128001 · head exact · act 8 bit"
    );
    let card = load("bitnet-tiny-llama").card;
    assert_eq!((card.family, card.sub_norms), (Family::LlamaBitNet, false));
    assert_eq!(card.scale_source, "default of linear_class");
    assert_eq!(load("bitnet-tiny-online").card.container, "hf-masters");
}

#[test]
fn special_ids_outside_the_vocabulary_only_warn_without_a_tokenizer() {
    let card = load("bitnet-tiny-direct").card;
    let outside = card
        .warnings
        .iter()
        .filter(|w| w.contains("outside the vocabulary"))
        .count();
    assert_eq!(outside, 2, "{:?}", card.warnings);
}
