//! What the end-to-end tests cannot reach: containers that lie, and texts in all their forms.

use std::fs;
use std::os::unix::fs::FileExt as _;

use serde_json::json;

use super::*;
use crate::hint::Hint as _;
use crate::model::gguf::Value;

/// A model whose rows are whole blocks of every type; no tokenizer.
fn source(directory: &Path) -> ModelFiles {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bitnet-tiny-direct");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixture.join(name), directory.join(name)).expect("the fixture is there");
    }
    digest_directory(directory).expect("readable")
}

/// Converts, damages one byte of the file of weights, and says what the check finds.
#[track_caller]
fn check_found(tensor: &str, words: &str) {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = source(from.path());
    let options = LoadOptions::default();
    convert(&files, &options, Form::GgufI2S, to.path(), None).expect("converted");
    let path = to.path().join("model-i2_s.gguf");
    let gguf = gguf::Gguf::open(&path).expect("readable");
    let at = gguf.data_offset + gguf.tensors[tensor].offset;
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    // Still a valid code, or a float a little off.
    byte[0] = match byte[0] & 3 {
        0 => byte[0] | 1,
        _ => byte[0] & !3,
    };
    file.write_all_at(&byte, at).unwrap();

    let mut source = Source::open(&files, &options).unwrap();
    let written = digest_directory(to.path()).unwrap();
    let mut again = Source::open(&written, &options).unwrap();
    check::same(&source, &again).expect("the text is the same");
    let read = |source: &mut Source| Fingerprint::of(source, None).map_err(Error::from).unwrap();
    let error = read(&mut source)
        .check_equal(&read(&mut again))
        .unwrap_err();
    assert!(error.is_internal());
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("bug")));
}

#[test]
fn a_code_that_changed_is_found() {
    check_found(
        "blk.1.ffn_up.weight",
        "differs from its source in the codes of `model.layers.1.mlp.up_proj.weight`",
    );
}

#[test]
fn a_table_value_that_changed_is_found() {
    check_found(
        "token_embd.weight",
        "the values of `model.embed_tokens.weight`",
    );
}

#[test]
fn a_gain_that_changed_is_found() {
    check_found(
        "blk.0.attn_sub_norm.weight",
        "the values of `model.layers.0.self_attn.attn_sub_norm.weight`",
    );
}

#[test]
fn names_are_read_back_as_printed() {
    for form in Form::ALL {
        assert_eq!(form.to_string().parse(), Ok(form));
    }
    assert!("gguf-q8_0".parse::<Form>().is_err());
}

#[test]
fn a_single_precision_number_is_written_short_and_read_back() {
    assert_eq!(json!(checkpoint::shortest(1e-5)).to_string(), "0.00001");
    for bits in (0x3000_0000..0x3f80_0000u32).step_by(77_777) {
        let x = f32::from_bits(bits);
        #[expect(clippy::cast_possible_truncation, reason = "as it is read")]
        let read = checkpoint::shortest(x) as f32;
        assert_eq!(read.to_bits(), bits);
    }
}

/// A byte-level vocabulary of four tokens.
fn vocabulary() -> serde_json::Value {
    json!({
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": "x" }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "use_regex": false },
        ]},
        "decoder": { "type": "ByteLevel" },
        "added_tokens": [
            { "id": 3, "content": "<s>", "special": true },
            { "id": 5, "content": "[PAD4]", "special": false },
        ],
        "model": {
            "type": "BPE", "ignore_merges": true,
            "vocab": { "a": 0, "b": 1, "ab": 2 }, "merges": [["a", "b"]],
        },
    })
}

fn keys(json: &serde_json::Value, n_rows: usize) -> Option<BTreeMap<String, Value>> {
    let keys = gguf::keys_of(json.to_string().as_bytes(), n_rows)?;
    Some(keys.into_iter().collect())
}

#[test]
fn rows_without_token_get_names_that_no_token_has() {
    let keys = keys(&vocabulary(), 7).expect("a byte-level vocabulary");
    let tokens = keys["tokenizer.ggml.tokens"].as_strings().expect("texts");
    let tokens: Vec<&str> = tokens.iter().collect();
    assert_eq!(
        tokens,
        ["a", "b", "ab", "<s>", "[PAD4]_", "[PAD4]", "[PAD6]"]
    );
    let types = gguf::Array::I32(vec![1, 1, 1, 3, 5, 4, 5]);
    assert_eq!(keys["tokenizer.ggml.token_type"], Value::Array(types));
    let merges = keys["tokenizer.ggml.merges"].as_strings().expect("texts");
    assert_eq!(merges.iter().collect::<Vec<_>>(), ["a b"]);
    assert!(
        !keys.contains_key("tokenizer.ggml.pre"),
        "the rule has no name"
    );
}

#[test]
fn tokenizers_of_other_kinds_have_no_keys() {
    assert!(keys(&vocabulary(), 5).is_none(), "a token without row");
    for (pointer, value) in [
        ("/model/type", json!("Unigram")),
        ("/model/byte_fallback", json!(true)),
        ("/decoder/type", json!("Metaspace")),
        ("/model/vocab/b", json!(0)),
        ("/model/merges/0", json!(7)),
        ("/added_tokens/0/id", json!(2)),
    ] {
        let mut json = vocabulary();
        match json.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => json["model"]["byte_fallback"] = value,
        }
        assert!(keys(&json, 7).is_none(), "{pointer}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let fit = Error::Fit {
        tensor: "blk.0.attn_q.weight".to_owned(),
        what: "values in a row",
        values: 192,
        kind: GgmlType::TQ1_0,
        block: 256,
        fitting: vec![Form::HfPacked, Form::GgufQ4_0],
    };
    assert_eq!(
        fit.to_string(),
        "tensor `blk.0.attn_q.weight` has 192 values in a row, TQ1_0 has blocks of 256"
    );
    assert_eq!(
        fit.hint().as_deref(),
        Some("containers that fit: --to hf-packed, --to gguf-q4_0")
    );
}
