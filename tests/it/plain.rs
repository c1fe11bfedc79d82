//! Models that are not ternary: loaded strictly, computed by candle, compared like any other.
//!
//! A fixture that is missing fails its test: a comparison that compared nothing proves nothing.

use std::error::Error as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use vv_eval::artifact::digest_directory;
use vv_eval::engine::{self, Engine, Error, Harm, Planted, conformance, texts};
use vv_eval::gate::file::ReportFile;
use vv_eval::model::gguf::{Gguf, MAX_POSITIONS};
use vv_eval::model::{Family, LoadOptions, ModelBundle, Numerics};
use vv_eval::record::RunRecord;

use super::common::{Lab, root};

/// Largest difference of a logit from the oracle, as a share of the standard deviation of all, when
/// matrices are floats: candle computes in f32, sums over at most 80 values, and takes the rotary
/// angle in f32, 1e-5 off at the last position.
const FLOAT_TOLERANCE: f64 = 1e-4;

/// The same for quantized matrices. candle rounds their inputs to 8 bits, the oracle does not: 1/254
/// of the largest value of a block at each of seven products a layer. A forgotten bias, norm or
/// rotation is an order of magnitude above.
const ROUNDED_TOLERANCE: f64 = 0.1;

const FLOATS: [&str; 3] = ["llama-f32", "qwen2-f16", "qwen3-f16"];
const ROUNDED: [&str; 4] = ["llama-q4_0", "llama-k", "qwen2-mixed", "qwen3-q8_0"];

fn fixture(name: &str) -> PathBuf {
    root().join(format!("tests/fixtures/plain/{name}.gguf"))
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A directory that holds one model.
fn alone(bytes: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("model.gguf"), bytes).unwrap();
    folder
}

fn try_load(bytes: &[u8]) -> Result<ModelBundle, vv_eval::model::Error> {
    let folder = alone(bytes);
    ModelBundle::load(
        &digest_directory(folder.path()).unwrap(),
        &LoadOptions::default(),
    )
}

fn load(name: &str) -> ModelBundle {
    try_load(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn engine(name: &str) -> Box<dyn Engine> {
    engine::build(load(name).network, None).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Ids, positions, and the logits of a model after each of them.
struct Oracle {
    ids: Vec<u32>,
    positions: Vec<usize>,
    rows: Vec<Vec<f64>>,
}

fn oracle(name: &str) -> Oracle {
    let path = root().join("tests/fixtures/plain/logits.json");
    let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let of = |value: &Value| value.clone();
    Oracle {
        ids: serde_json::from_value(of(&json["ids"])).unwrap(),
        positions: serde_json::from_value(of(&json["positions"])).unwrap(),
        rows: serde_json::from_value(of(&json["logits"][name])).unwrap(),
    }
}

/// Largest difference, as a share of the standard deviation of the row expected.
fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "every logit is compared");
    let n = expected.len() as f64;
    let mean = expected.iter().sum::<f64>() / n;
    let variance = expected.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let pairs = found.iter().zip(expected);
    let largest = pairs.map(|(a, b)| (f64::from(*a) - b).abs());
    largest.fold(0.0, f64::max) / variance.sqrt()
}

/// Fed in chunks and token by token, the logits are those of the oracle.
#[track_caller]
fn check_parity(name: &str, tolerance: f64) {
    let Oracle {
        ids,
        positions,
        rows,
    } = oracle(name);
    assert_eq!((ids.len(), rows.len()), (150, positions.len()));
    let mut engine = engine(name);
    let mut all = Vec::new();
    engine.feed_all(&ids, &mut all).unwrap();
    let vocab_size = engine.vocab_size();
    for (&position, expected) in positions.iter().zip(&rows) {
        engine.reset();
        let chunks = engine.feed(&ids[..=position]).unwrap();
        let singles = &all[position * vocab_size..][..vocab_size];
        for (how, found) in [("chunks", chunks), ("singles", singles)] {
            let difference = difference(found, expected);
            assert!(
                difference < tolerance,
                "{name}, position {position}, in {how}: {difference:.1e} of the deviation"
            );
        }
    }
}

#[test]
fn float_models_agree_with_the_oracle() {
    for name in FLOATS {
        check_parity(name, FLOAT_TOLERANCE);
    }
}

#[test]
fn quantized_models_agree_with_the_oracle() {
    for name in ROUNDED {
        check_parity(name, ROUNDED_TOLERANCE);
    }
}

#[test]
fn the_tolerance_tells_another_context() {
    for name in FLOATS.into_iter().chain(ROUNDED) {
        let Oracle { mut ids, rows, .. } = oracle(name);
        ids[..149].iter_mut().for_each(|id| *id ^= 1);
        let mut engine = engine(name);
        let found = engine.feed(&ids).unwrap();
        let difference = difference(found, rows.last().unwrap());
        assert!(difference > 2.0 * ROUNDED_TOLERANCE, "{name}: {difference}");
    }
}

#[test]
fn every_architecture_conforms() {
    for name in FLOATS.into_iter().chain(ROUNDED) {
        let mut engine = engine(name);
        assert_eq!(engine.numerics(), Numerics::CpuDependent);
        conformance::check_all(engine.as_mut());
    }
}

#[test]
fn a_second_engine_gives_the_same_bits() {
    for name in ROUNDED {
        let ids = oracle(name).ids;
        let bits = |engine: &mut dyn Engine| -> Vec<u32> {
            let logits = engine.feed(&ids).unwrap();
            logits.iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(
            bits(engine(name).as_mut()),
            bits(engine(name).as_mut()),
            "{name}"
        );
    }
}

#[test]
fn the_context_ends_where_candles_tables_do() {
    let bundle = load("llama-f32");
    let cut = "context of 8192 tokens cut to 4096";
    assert!(bundle.card.warnings.iter().any(|text| text == cut));
    let mut engine = engine("llama-f32");
    assert_eq!(engine.context_limit(), MAX_POSITIONS);
    let ids = vec![5; MAX_POSITIONS];
    engine.feed(&ids[1..]).unwrap();
    let logits = engine.feed(&[5]).unwrap();
    engine::check_finite(logits, MAX_POSITIONS - 1).unwrap();
    let full = Error::ContextFull {
        limit: MAX_POSITIONS,
        wanted: MAX_POSITIONS + 1,
    };
    assert_eq!(engine.feed(&[5]).map(<[f32]>::len), Err(full));
}

#[test]
fn another_number_of_threads_than_candles_is_refused() {
    let wanted = engine::quantized::n_threads() + 1;
    let refused = engine::build(load("qwen3-q8_0").network, Some(wanted));
    let text = refused.err().expect("no such engine").to_string();
    assert!(text.contains(&format!("{wanted} wanted")), "{text}");
}

#[test]
fn harms_are_planted_where_the_engine_allows_them() {
    let plant = |harm: &str| Planted::new(engine("qwen3-q8_0"), harm.parse::<Harm>().unwrap());
    let refused = plant("slow:30").err().expect("candle takes nothing back");
    assert!(refused.to_string().contains("`slow:30`"), "{refused}");
    let mut spoilt = plant("nan@1").unwrap();
    assert!(engine::check_finite(spoilt.feed(&[1]).unwrap(), 0).is_ok());
    assert!(engine::check_finite(spoilt.feed(&[1]).unwrap(), 1).is_err());
}

#[test]
fn the_built_in_texts_are_read() {
    let bundle = load("llama-k");
    let mut engine = engine::build(bundle.network, None).unwrap();
    let readings = texts::read_all(engine.as_mut(), &bundle.codec).unwrap();
    assert_eq!(readings.len(), 3);
    for reading in &readings {
        assert_eq!(reading.n_tokens, reading.n_whole);
        // Random weights that are sure of themselves read worse than a guess among 272.
        assert!(reading.perplexity > 272.0, "{reading:?}");
        assert!((10.0..272.0).contains(&reading.without_context));
        assert!(reading.bits_per_byte > 8.0);
    }
    let check = |paragraphs| {
        let limits = texts::Limits {
            paragraphs,
            summaries: None,
        };
        texts::check(&readings, limits)
    };
    assert!(check(None).is_err());
    assert!(check(Some(30.0)).is_err());
    assert!(check(Some(f64::INFINITY)).is_ok());
}

#[track_caller]
fn check_card(name: &str, family: Family, line: &str) {
    let card = load(name).card;
    assert_eq!(
        (card.family, card.numerics),
        (family, Numerics::CpuDependent)
    );
    assert_eq!((card.codes_digest, card.head), (None, None));
    assert_eq!(card.stop_ids, [271]);
    let text = card.to_string();
    assert!(text.starts_with(line), "{text}");
    assert!(
        text.ends_with("stop 271 · head as stored · numerics cpu-dependent"),
        "{text}"
    );
}

#[test]
fn cards_say_what_was_detected() {
    check_card(
        "llama-q4_0",
        Family::Llama,
        "llama 30k · gguf-q4_0 · 2x32/32 · vocab 272 · silu (architecture) · no sub-norms · rope interleaved 1e4 · scale per block (tensor types) · 5 F32 + 14 Q4_0 + 2 Q8_0 · gguf metadata ",
    );
    check_card(
        "llama-k",
        Family::Llama,
        "llama 283k · gguf-mixed · 1x256/64 · ",
    );
    check_card(
        "qwen2-f16",
        Family::Qwen2,
        "qwen2 21k · gguf-float · 2x32/32 · ",
    );
    check_card(
        "qwen3-q8_0",
        Family::Qwen3,
        "qwen3 27k · gguf-q8_0 · 2x32/32 · vocab 272 · silu (architecture) · no sub-norms · q/k norms · rope half-split 1e6 · ",
    );
}

#[test]
fn inspect_prints_the_card_the_check_and_the_logits() {
    let lab = Lab::new();
    let path = fixture("qwen2-mixed");
    let folder = alone(&bytes("qwen2-mixed"));
    let folder = folder.path().to_str().unwrap();
    assert!(path.exists());
    // Random weights read nothing, which only a manifest may allow.
    let ran = lab.run(&["inspect", folder, "--check"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    let words = "reads none of the built-in texts better than without context";
    assert!(ran.stderr.contains(words), "{}", ran.all());
    for line in [
        "family          qwen2",
        "numerics        cpu-dependent",
        "head            as stored",
        "codes digest    none: the weights are not ternary",
        "  passed     names, shapes, scales, norms, vocabulary",
        "  perplexity ",
    ] {
        let found = ran.stdout.lines().any(|text| text.starts_with(line));
        assert!(found, "no `{line}` in\n{}", ran.stdout);
    }
    let Oracle {
        ids,
        positions,
        rows,
    } = oracle("qwen2-mixed");
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let ids = ids.join(",");
    let ran = lab.run(&["inspect", folder, "--token-ids", &ids, "--logits", "l.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let json: Value = serde_json::from_slice(&fs::read(lab.path("l.json")).unwrap()).unwrap();
    let found: Vec<Vec<f32>> = serde_json::from_value(json["logits"].clone()).unwrap();
    let last = difference(&found[positions[2]], &rows[2]);
    assert!(last < ROUNDED_TOLERANCE, "{last}");
}

/// The file is refused with these words.
#[track_caller]
fn check_refused(bytes: &[u8], words: &str) {
    let Err(error) = try_load(bytes) else {
        panic!("accepted, expected `{words}`");
    };
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {source}");
    assert!(text.contains(words), "`{text}` lacks `{words}`");
}

/// Puts other text of the same length in every place.
fn renamed(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "the file keeps its layout");
    let places: Vec<usize> = (0..=bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!places.is_empty(), "no {from}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// A key more, before the others.
fn with_key(mut bytes: Vec<u8>, key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut added = [&text(key)[..], &kind.to_le_bytes(), value].concat();
    // A text that makes it a multiple of the alignment, so that the padding stays right.
    let filler = [&text("test.filler")[..], &8u32.to_le_bytes()].concat();
    let room = (added.len() + filler.len() + 8).next_multiple_of(32);
    let spaces = " ".repeat(room - added.len() - filler.len() - 8);
    added.extend([&filler[..], &text(&spaces)].concat());
    let n = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) + 2;
    bytes[16..24].copy_from_slice(&n.to_le_bytes());
    bytes.splice(24..24, added);
    bytes
}

/// Other bytes at a place of a tensor.
fn poked(name: &str, tensor: &str, at: u64, value: &[u8]) -> Vec<u8> {
    let gguf = Gguf::open(&fixture(name)).unwrap();
    let at = usize::try_from(gguf.data_offset + gguf.tensors[tensor].offset + at).unwrap();
    let mut bytes = bytes(name);
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn a_key_more_that_changes_nothing_is_read() {
    let bytes = with_key(
        bytes("llama-q4_0"),
        "llama.attention.sliding_window",
        4,
        &4096u32.to_le_bytes(),
    );
    assert!(try_load(&bytes).is_ok());
}

#[test]
fn tensors_are_expected_by_name() {
    check_refused(
        &renamed(bytes("qwen2-f16"), "blk.1.attn_q.bias", "blk.1.attn_x.bias"),
        "tensor `blk.1.attn_q.bias` is missing",
    );
    check_refused(
        &renamed(bytes("llama-k"), "output_norm.weight", "output_norm.weighs"),
        "tensor `output_norm.weight` is missing",
    );
    // candle would leave the biases out without a word.
    check_refused(
        &renamed(bytes("qwen2-f16"), "qwen2", "llama"),
        "tensor `blk.0.attn_k.bias` fits nothing in a llama model",
    );
    // candle would take the embedding for a head it cannot find.
    check_refused(
        &renamed(
            bytes("llama-f32"),
            "\u{d}\0\0\0\0\0\0\0output.weight",
            "\u{d}\0\0\0\0\0\0\0outqut.weight",
        ),
        "tensor `outqut.weight` fits nothing in a llama model",
    );
    check_refused(
        &renamed(bytes("llama-f32"), "llama", "qwen2"),
        "tensor `blk.0.attn_q.bias` is missing",
    );
}

#[test]
fn shapes_follow_from_the_keys() {
    let kv = |n: u32| with_value("qwen2-f16", "qwen2.attention.head_count_kv", n);
    check_refused(
        &kv(1),
        "tensor `blk.0.attn_k.weight` has shape [16, 32], the configuration gives [8, 32]",
    );
    check_refused(&kv(3), "a divisor of the 4 heads");
    check_refused(
        &renamed(bytes("qwen3-q8_0"), "qwen3", "qwen2"),
        "4 heads of 16 beside a width of 32 in architecture `qwen2`",
    );
    check_refused(
        &with_value("llama-f32", "llama.rope.dimension_count", 4),
        "`llama.rope.dimension_count` of 4 beside heads of 8 is not supported",
    );
}

/// A fixture whose 32-bit value of a key is another.
fn with_value(name: &str, key: &str, value: u32) -> Vec<u8> {
    let mut bytes = bytes(name);
    let places: Vec<usize> = (0..bytes.len() - key.len())
        .filter(|at| bytes[*at..].starts_with(key.as_bytes()))
        .collect();
    let [at] = places[..] else {
        panic!("{} times {key}", places.len())
    };
    let at = at + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn variants_that_candle_does_not_compute_are_refused() {
    let number = 4u32.to_le_bytes();
    let text = [&4u64.to_le_bytes()[..], b"yarn"].concat();
    let none = [0u8];
    for (key, kind, value, words) in [
        (
            "llama.logit_scale",
            4,
            &number[..],
            "`llama.logit_scale` is not supported",
        ),
        (
            "llama.attention.sliding_window",
            4,
            &number,
            "a sliding window of 4 tokens",
        ),
        ("llama.expert_count", 4, &number, "a mixture of 4 experts"),
        (
            "llama.attention.causal",
            7,
            &none,
            "attention that is not causal",
        ),
        ("llama.rope.scaling.type", 8, &text, "rotary scaling `yarn`"),
    ] {
        check_refused(&with_key(bytes("llama-q4_0"), key, kind, value), words);
    }
    let relu2 = [&5u64.to_le_bytes()[..], b"relu2"].concat();
    let activation = with_key(bytes("qwen3-f16"), "qwen3.hidden_activation", 8, &relu2);
    check_refused(&activation, "activation relu2 in a plain model");
}

#[test]
fn values_that_are_no_numbers_are_refused_with_their_place() {
    let nan = [0x00, 0x7e];
    let infinite = f32::INFINITY.to_le_bytes();
    check_refused(
        &poked("qwen3-q8_0", "blk.1.ffn_up.weight", 3 * 34, &nan),
        "tensor `blk.1.ffn_up.weight` holds NaN at index 96",
    );
    for (tensor, at, index) in [
        ("blk.0.attn_q.weight", 144 + 2, 256),
        ("blk.0.attn_k.weight", 82, 0),
        ("blk.0.attn_v.weight", 208, 0),
        ("blk.0.attn_output.weight", 110 + 108, 256),
        ("blk.0.ffn_gate.weight", 2, 0),
    ] {
        let words = format!("tensor `{tensor}` holds NaN at index {index}");
        check_refused(&poked("llama-k", tensor, at, &nan), &words);
    }
    check_refused(
        &poked("qwen2-mixed", "blk.0.attn_k.bias", 8, &infinite),
        "tensor `blk.0.attn_k.bias` holds inf at index 2",
    );
    check_refused(
        &poked("llama-f32", "output_norm.weight", 0, &[0; 128]),
        "tensor `output_norm.weight` holds only zeros",
    );
}

#[test]
fn types_that_candle_does_not_know_are_refused() {
    // IQ4_NL has blocks of the size of Q4_0.
    let mut iq4_nl = bytes("llama-q4_0");
    let name = b"blk.0.attn_q.weight";
    let at = iq4_nl.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 16;
    assert_eq!(iq4_nl[at], 2, "the type of the tensor");
    iq4_nl[at] = 20;
    check_refused(&iq4_nl, "type IQ4_NL");
    iq4_nl[at] = 99;
    check_refused(&iq4_nl, "type id 99");
}

fn record(lab: &Lab, role: &str) -> RunRecord {
    serde_json::from_slice(&lab.output(&format!("{role}.record.json"))).unwrap()
}

/// A working directory with a fixture as the model `plain`.
fn lab(name: &str) -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.path("plain")).unwrap();
    lab.write("plain/model.gguf", bytes(name));
    lab
}

#[test]
fn a_plain_candidate_is_compared_with_a_ternary_baseline() {
    let lab = lab("llama-k");
    let ran = lab.compare("1.0.0", "plain", &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    let reasons = report.verdict.reasons.join("\n");
    assert!(reasons.contains("object_recall"), "{reasons}");
    let candidate = record(&lab, "candidate");
    let card = candidate.model.card.expect("the model was loaded");
    assert!(card.ends_with("numerics cpu-dependent"), "{card}");
    assert!(candidate.failure.is_none(), "{:?}", candidate.failure);
    // Every pass ran, and outputs written again in another process were the same.
    assert_eq!(
        candidate.outputs.len(),
        record(&lab, "baseline").outputs.len()
    );
    assert!(!candidate.memory.is_empty());
    let timed = candidate
        .outputs
        .iter()
        .filter(|output| output.times.is_some());
    assert_eq!(timed.count(), candidate.plan.n_timed);
}

#[test]
fn a_plain_baseline_is_compared_with_a_ternary_candidate() {
    let lab = lab("qwen3-q8_0");
    lab.copy(&root().join("eval-sets/smoke/1.0.0"), "scenes");
    let ran = lab.compare("plain", "1.1.0", &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    assert!(record(&lab, "baseline").failure.is_none());
}

#[test]
fn a_plain_model_that_is_broken_fails_as_candidate() {
    let lab = lab("qwen2-mixed");
    let broken = poked("qwen2-mixed", "blk.1.ffn_down.weight", 0, &[0x00, 0x7e]);
    lab.write("plain/model.gguf", broken);
    let ran = lab.compare("1.0.0", "plain", &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    assert!(ran.all().contains("blk.1.ffn_down.weight"), "{}", ran.all());
}

#[test]
fn a_harm_that_needs_going_back_is_no_verdict() {
    let lab = lab("qwen3-q8_0");
    let ran = lab.compare("1.0.0", "plain", &["--plant", "candidate=slow:30"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
}
