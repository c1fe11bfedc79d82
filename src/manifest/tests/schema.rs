//! The committed JSON Schema against the reader: they agree on what the schema can express.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::manifest::{SCHEMA, options, wire};

const TODAY: &str = "2025-11-23";
const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::validator_for(&schema).expect("the schema can be used")
}

fn good() -> Value {
    json!({
        "model_name": "m",
        "version": "1.0.0",
        "artifacts": [{
            "filename": "m.tar.gz",
            "url": "https://models.acme.dev/m.tar.gz",
            "sha256": DIGEST,
            "size_bytes": 3,
            "target_path_in_container": "/app/models/bitnet",
        }],
    })
}

/// The good manifest with a value put at a JSON pointer; a null takes the key away.
fn with(pointer: &str, value: Value) -> Value {
    let mut all = good();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = all
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("an object");
    match value {
        Value::Null => drop(parent.remove(key)),
        value => drop(parent.insert(key.to_owned(), value)),
    }
    all
}

fn reads(manifest: &Value) -> bool {
    wire::parse(manifest.to_string().as_bytes(), TODAY).is_ok()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn the_schema_and_the_reader_agree() {
    let validator = validator();
    let in_artifact = |key: &str| format!("/artifacts/0/{key}");
    let mut n = [0, 0];
    let mut check = |pointer: &str, value: Value, is_good: bool| {
        let shown = value.to_string();
        let manifest = with(pointer, value);
        assert_eq!(
            reads(&manifest),
            is_good,
            "the reader on {pointer} = {shown}"
        );
        let says = validator.is_valid(&manifest);
        assert_eq!(says, is_good, "the schema on {pointer} = {shown}");
        n[usize::from(is_good)] += 1;
    };
    check("/x_team", json!("video"), true);
    for key in ["shasum", "checksum", "md5", "uri", "size", "sha_256"] {
        check(&in_artifact(key), json!(DIGEST), false);
    }
    for key in ["/model_name", "/version", "/artifacts"] {
        check(key, Value::Null, false);
        check(key, json!(7), false);
        check(key, json!(""), false);
    }
    for version in [
        "1",
        "v1.2",
        "1.2.3.4",
        "1.0-rc.1",
        "1.0+b",
        "v1.0.0-a.b+c-d",
    ] {
        check("/version", json!(version), true);
    }
    for version in [
        "latest",
        "1.2.3.4.5",
        "1.",
        ".1",
        "1-",
        "1+",
        "1.0\n",
        "YYYY.1",
        "1 ",
    ] {
        check("/version", json!(version), false);
    }
    check("/version", json!("1".repeat(65)), false);
    check("/model_name", json!("a".repeat(128)), true);
    check("/model_name", json!("a".repeat(129)), false);
    check("/model_name", json!("a\u{1b}b"), false);
    check("/schema_version", json!(1), true);
    check("/schema_version", json!(2), false);
    check("/notes", json!("x".repeat(4096)), true);
    check("/notes", json!("x".repeat(4097)), false);
    check("/release_date", json!("2025-05-01"), true);
    check("/release_date", json!("YYYY-MM-DD"), false);
    check("/release_date", json!(20_250_501), false);
    check("/requires", json!({"summarize_scene": ">=2.1,<3"}), true);
    check("/requires", json!({"summarize_scene": "2.1"}), false);
    check("/requires", json!([]), false);
    check(
        "/model_options",
        json!({"i2s_layout": 64, "stop_token_ids": [1, 2]}),
        true,
    );
    check(
        "/model_options",
        json!({"quantization_mode": "offline", "max_load_perplexity": 17.5}),
        true,
    );
    check("/model_options", json!({"i2s_layout": 65}), false);
    check(
        "/model_options",
        json!({"max_summary_perplexity": 2.5}),
        true,
    );
    check("/model_options", json!({"max_load_perplexity": 0}), false);
    check(
        "/model_options",
        json!({"max_summary_perplexity": 0}),
        false,
    );
    check("/model_options", json!({"other": 1}), false);
    check("/artifacts", json!([]), false);
    check("/artifacts", json!({}), false);
    check(
        "/artifacts",
        Value::Array(vec![good()["artifacts"][0].clone(); 16]),
        true,
    );
    check(
        "/artifacts",
        Value::Array(vec![good()["artifacts"][0].clone(); 17]),
        false,
    );
    check("/url", json!("repo:a"), false);
    check("/sha256", json!(DIGEST), false);
    for key in ["filename", "url", "sha256", "target_path_in_container"] {
        check(&in_artifact(key), Value::Null, false);
        check(&in_artifact(key), json!(""), false);
        check(&in_artifact(key), json!(1), false);
    }
    check(&in_artifact("size_bytes"), Value::Null, true);
    for size in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("12"),
        json!(123_456_789),
        json!(1_u64 << 63),
    ] {
        check(&in_artifact("size_bytes"), size, false);
    }
    for digest in [DIGEST.to_uppercase(), format!("sha256:{DIGEST}")] {
        check(&in_artifact("sha256"), json!(digest), true);
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for digest in [
        &DIGEST[1..],
        &"0".repeat(64),
        &"f".repeat(64),
        empty,
        "new_sha256_hash",
    ] {
        check(&in_artifact("sha256"), json!(digest), false);
    }
    for target in ["/app/models/bitnet/", "/app/models/a.b_c-d"] {
        check(
            &in_artifact("target_path_in_container"),
            json!(target),
            true,
        );
    }
    for target in [
        "/",
        "/app/models",
        "/app/models/..",
        "/app/models/a/b",
        "/app/models/.vv",
        "bitnet",
        "/app/models/-x",
    ] {
        check(
            &in_artifact("target_path_in_container"),
            json!(target),
            false,
        );
    }
    for name in ["a/b", ".x", "-x", "a\\b", "a\u{7}"] {
        check(&in_artifact("filename"), json!(name), false);
    }
    for url in [
        "repo:d/a.bin",
        "lfs:a.bin",
        "http://127.0.0.1:1/a",
        "file:///srv/a",
        "s3://b/k",
        "HTTPS://h.dev/a",
    ] {
        check(&in_artifact("url"), json!(url), true);
    }
    for url in [
        "ftp://h/a",
        "a.bin",
        "https://u@h/a",
        "repo:/etc/x",
        "file:a",
        "https://h/a b",
        "data:,x",
    ] {
        check(&in_artifact("url"), json!(url), false);
    }
    check(&in_artifact("urls"), json!(["repo:a", "repo:b"]), true);
    check(&in_artifact("urls"), json!([]), false);
    check(&in_artifact("urls"), json!("repo:a"), false);
    for format in ["tar.gz", "tar", "file"] {
        check(&in_artifact("format"), json!(format), true);
    }
    check(&in_artifact("format"), json!("zip"), false);
    check(&in_artifact("strip_components"), json!(3), true);
    check(&in_artifact("strip_components"), json!(4), false);
    check(&in_artifact("unpacked_bytes"), json!(0), false);
    println!(
        "{} good and {} bad manifests, the schema and the reader agree",
        n[1], n[0]
    );
}

#[test]
fn the_flat_form_is_in_the_schema() {
    let validator = validator();
    let flat = json!({"model_name": "m", "version": "1", "url": "repo:a", "sha256": DIGEST});
    assert!(validator.is_valid(&flat) && reads(&flat));
    let without = json!({"model_name": "m", "version": "1", "url": "repo:a"});
    assert!(!validator.is_valid(&without) && !reads(&without));
}

#[test]
fn manifests_of_the_reference_models_are_valid() {
    let validator = validator();
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("eval-sets/reference-models");
    let mut n = 0;
    for entry in std::fs::read_dir(folder)
        .expect("reference models")
        .flatten()
    {
        let path = entry.path().join(crate::manifest::FILE_NAME);
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        assert!(validator.is_valid(&manifest), "{}", path.display());
        n += 1;
    }
    assert!(n > 2, "only {n} manifests were found");
}

/// A field the reader knows is in the schema, and the other way round.
#[test]
fn the_schema_has_every_field_of_the_reader() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let keys = |pointer: &str| {
        let object = schema
            .pointer(pointer)
            .and_then(Value::as_object)
            .expect(pointer);
        let mut keys: Vec<String> = object.keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |known: &[&str]| {
        let mut known: Vec<String> = known.iter().map(|key| (*key).to_owned()).collect();
        known.sort();
        known
    };
    assert_eq!(keys("/properties"), sorted(&wire::MANIFEST_KEYS));
    assert_eq!(
        keys("/$defs/artifact/properties"),
        sorted(&wire::ARTIFACT_KEYS)
    );
    assert_eq!(
        keys("/properties/model_options/properties"),
        sorted(&options::KEYS)
    );
}
