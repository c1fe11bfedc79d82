//! Wrong input ends with exit code 3, words that help, and no report. A candidate whose files are
//! broken is no wrong input: it fails.

use std::fs;

use vv_eval::gate::file::ReportFile;
use vv_eval::record::FailureKind;

use super::common::{Lab, Ran};

/// Expects exit code 3, an error with these words, and no report.
#[track_caller]
fn check(lab: &Lab, ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    let is_error = |line: &str| line.starts_with("error: ");
    assert!(ran.stderr.lines().any(is_error), "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in\n{}", ran.stderr);
    }
    assert!(!lab.has_output("report.json"));
}

/// Compares with a model at `path`, in either role.
#[track_caller]
fn check_model(lab: &Lab, path: &str, words: &[&str]) {
    check(lab, &lab.compare(path, "1.1.0", &[]), words);
    check(lab, &lab.compare("1.1.0", path, &[]), words);
}

/// Changes the first `from` of a pinned model's manifest.
#[track_caller]
fn check_manifest(from: &str, to: &str, words: &[&str]) {
    let lab = Lab::new();
    lab.pinned("1.0.0", "model");
    lab.edit("model/model_manifest.json", from, to);
    check_model(&lab, "model", &[&["model_manifest.json"], words].concat());
}

/// Expects exit code 1 and a report that says so with these words.
#[track_caller]
fn check_fails(lab: &Lab, ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    assert!(report.verdict.counts);
    let reasons = report.verdict.reasons.join("\n");
    for word in words {
        assert!(reasons.contains(word), "no `{word}` in\n{reasons}");
    }
    let failure = report.evidence.unwrap().candidate_record.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::LoadRefused);
}

/// Changes a file of a bare model, so that it is found out when it is loaded: a broken candidate
/// fails, a broken baseline is nothing to compare with, and `inspect` refuses both.
#[track_caller]
fn check_bare(file: &str, change: impl Fn(Vec<u8>) -> Vec<u8>, words: &[&str]) {
    let lab = Lab::new();
    lab.bare("1.0.0", "model");
    let path = lab.path("model").join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    check(&lab, &lab.compare("model", "1.1.0", &[]), words);
    check(&lab, &lab.run(&["inspect", "model"]), words);
    // In a report the advice stands behind the reason.
    let words: Vec<&str> = words.iter().copied().filter(|w| *w != "hint: ").collect();
    check_fails(&lab, &lab.compare("1.1.0", "model", &[]), &words);
}

/// Replaces bytes that must be there, keeping the length.
fn patched(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut windows = bytes.windows(from.len());
    let place = windows.position(|window| window == from.as_bytes());
    let place = place.expect("the text is there");
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "no {from}");
    text.replacen(from, to, 1).into_bytes()
}

/// Changes the scenes and nothing else of the set.
#[track_caller]
fn check_scenes(change: impl Fn(&str) -> String, words: &[&str]) {
    let lab = Lab::new();
    lab.copy(&super::common::scene_set(), "scenes");
    let text = fs::read_to_string(lab.path("scenes/scenes.jsonl")).unwrap();
    lab.write("scenes/scenes.jsonl", change(&text));
    check(&lab, &lab.compare("1.0.0", "1.1.0", &[]), words);
}

/// Uses another `gate.toml`.
#[track_caller]
fn check_policy(text: &str, words: &[&str]) {
    let lab = Lab::new();
    lab.write("gate.toml", text);
    check(&lab, &lab.compare("1.0.0", "1.0.0", &[]), words);
}

#[test]
fn a_model_that_is_not_there() {
    let lab = Lab::new();
    check_model(&lab, "/no/such/model", &["no model at `/no/such/model`"]);
}

#[test]
fn a_file_that_is_no_manifest() {
    let lab = Lab::new();
    lab.write("model.bin", "weights");
    check_model(
        &lab,
        "model.bin",
        &["`model.bin` is neither a manifest", "nor a directory"],
    );
}

#[test]
fn a_manifest_that_is_not_json() {
    check_manifest("{", "[{", &[]);
    check_manifest("\"artifacts\"", "artifacts", &["2:3"]);
}

#[test]
fn a_manifest_with_a_value_of_the_wrong_type() {
    check_manifest(
        "\"artifacts\": [",
        "\"artifacts\": 1, \"x\": [",
        &["artifacts", "expected:", "found:", "number"],
    );
    check_manifest(
        "\"size_bytes\": ",
        "\"size_bytes\": true, \"x\": ",
        &["artifacts[0].size_bytes", "expected:  a number", "found:"],
    );
}

#[test]
fn a_manifest_with_a_misspelt_key() {
    check_manifest(
        "\"sha256\"",
        "\"sha_256\"",
        &["artifacts[0].sha_256", "rename `sha_256` to `sha256`"],
    );
}

#[test]
fn a_manifest_with_a_short_digest() {
    check_manifest(
        "\"sha256\": \"",
        "\"sha256\": \"abc\", \"x\": \"",
        &["artifacts[0].sha256", "expected:", "found:", "64"],
    );
}

#[test]
fn a_manifest_with_a_negative_size() {
    check_manifest(
        "\"size_bytes\": ",
        "\"size_bytes\": -",
        &["artifacts[0].size_bytes", "expected:", "found:     `-"],
    );
}

#[test]
fn a_manifest_with_a_wrong_size() {
    check_manifest(
        "\"size_bytes\": ",
        "\"size_bytes\": 9",
        &[
            "config.json",
            "expected:",
            "found:",
            "artifacts[0]",
            "hint: ",
        ],
    );
}

#[test]
fn a_weight_that_was_changed_after_it_was_pinned() {
    let lab = Lab::new();
    lab.pinned("1.0.0", "model");
    let path = lab.path("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let words = [
        "model/model.safetensors",
        "expected:  sha256",
        "found:     sha256",
    ];
    check_model(&lab, "model", &words);
}

#[test]
fn an_unknown_key_and_an_upper_case_digest_are_only_warned_of() {
    let lab = Lab::new();
    lab.pinned("1.0.0", "model");
    let path = "model/model_manifest.json";
    lab.edit(path, "\"size_bytes\": ", "\"note\": 1, \"size_bytes\": ");
    let text = fs::read_to_string(lab.path(path)).unwrap();
    let start = text.find("\"sha256\": \"").unwrap() + "\"sha256\": \"".len();
    let digest = &text[start..start + 64];
    lab.edit(path, digest, &digest.to_ascii_uppercase());
    let ran = lab.compare("model", "1.0.0", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for word in [
        "warning: baseline: ",
        "artifacts[0].note: unknown key",
        "upper case",
    ] {
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
}

#[test]
fn weights_that_end_early() {
    check_bare(
        "model.safetensors",
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        &[
            "model.safetensors is not a valid safetensors file",
            "hint: ",
        ],
    );
}

#[test]
fn a_tensor_of_another_type() {
    check_bare(
        "model.safetensors",
        |bytes| {
            let (from, to) = (
                r#""dtype":"F32","shape":[192]"#,
                r#""dtype":"U8","shape": [768]"#,
            );
            patched(bytes, from, to)
        },
        &["tensor `model.layers.0.", "has dtype U8, expected"],
    );
    check_bare(
        "model.safetensors",
        |bytes| patched(bytes, r#""dtype":"F32""#, r#""dtype":"F33""#),
        &[
            "model.safetensors is not a valid safetensors file",
            "dtype `F33`, expected one of",
            "hint: ",
        ],
    );
}

// Other programs read these: nothing is wrong with the model.
#[test]
fn a_tensor_of_a_type_that_is_not_read_is_invalid_in_both_roles() {
    for kind in ["I32", "U32"] {
        let lab = Lab::new();
        lab.bare("1.0.0", "model");
        let path = lab.path("model/model.safetensors");
        let stated = format!(r#""dtype":"{kind}""#);
        let bytes = patched(fs::read(&path).unwrap(), r#""dtype":"F32""#, &stated);
        fs::write(&path, bytes).unwrap();
        let kind = format!("of type {kind} is not supported");
        let words = [
            "model.safetensors: tensor `",
            &kind,
            "hint: save the weights as BF16",
        ];
        check_model(&lab, "model", &words);
        check(&lab, &lab.run(&["inspect", "model"]), &words);
    }
}

/// A type of lookup tables in one tensor of a sound GGUF, whose size fits only the type it had.
#[track_caller]
fn check_lookup_tables(id: u32, name: &str) {
    let lab = Lab::new();
    let path = super::common::root().join("tests/fixtures/gguf/direct-i2_s.gguf");
    let mut bytes = fs::read(path).unwrap();
    // Name, two dimensions, type.
    let tensor = b"blk.1.ffn_gate.weight";
    let mut windows = bytes.windows(tensor.len());
    let at = windows.position(|window| window == tensor).unwrap() + tensor.len() + 4 + 2 * 8;
    assert_eq!(bytes[at..at + 4], 36u32.to_le_bytes());
    bytes[at..at + 4].copy_from_slice(&id.to_le_bytes());
    lab.write("model.gguf", bytes);
    let refused = format!("tensor `blk.1.ffn_gate.weight` of type {name} is not supported\n");
    let words = [
        "model.gguf: ",
        &refused,
        "hint: ",
        "mean nothing without the build that wrote them; convert the original checkpoint to I2_S",
    ];
    check_model(&lab, "model.gguf", &words);
    check(&lab, &lab.run(&["inspect", "model.gguf"]), &words);
}

// Pitfall 8.
#[test]
fn lookup_table_types_are_invalid_in_both_roles() {
    check_lookup_tables(38, "TL1");
    check_lookup_tables(39, "TL2");
}

#[test]
fn a_tensor_of_another_shape() {
    check_bare(
        "model.safetensors",
        |bytes| patched(bytes, "[865,192]", "[192,865]"),
        &[
            "tensor `model.embed_tokens.weight` has shape [192, 865]",
            "[865, 192]",
        ],
    );
    check_bare(
        "config.json",
        |bytes| {
            replaced(
                bytes,
                r#""intermediate_size": "#,
                r#""intermediate_size": 1"#,
            )
        },
        &["tensor `model.", "has shape", "the configuration gives"],
    );
}

#[test]
fn a_configuration_without_a_width() {
    check_bare(
        "config.json",
        |bytes| replaced(bytes, "\"hidden_size\"", "\"hidden_sizes\""),
        &["config.json has no key `hidden_size`"],
    );
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model() {
    check_bare(
        "tokenizer.json",
        |bytes| {
            let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            json["model"]["vocab"]["beyond"] = 99_999.into();
            serde_json::to_vec(&json).unwrap()
        },
        &["tokenizer does not match the vocabulary", "99999", "hint: "],
    );
}

#[test]
fn a_kind_of_model_that_is_not_read_is_invalid_in_both_roles() {
    let lab = Lab::new();
    lab.bare("1.0.0", "model");
    let (from, to) = ("\"model_type\": \"bitnet\"", "\"model_type\": \"mamba\"");
    lab.edit("model/config.json", from, to);
    check_model(&lab, "model", &["mamba", "cannot be judged"]);
}

#[test]
fn a_broken_baseline_is_invalid_whatever_the_candidate_is() {
    let lab = Lab::new();
    for name in ["old", "new"] {
        lab.bare("1.0.0", name);
        lab.write(
            &format!("{name}/model.safetensors"),
            format!("short {name}"),
        );
    }
    let words = ["the baseline cannot be judged", "safetensors"];
    check(&lab, &lab.compare("old", "new", &[]), &words);
}

#[test]
fn a_candidate_that_reads_worse_than_its_manifest_allows_fails() {
    let limited = |key: &str, limit: &str| {
        let lab = Lab::new();
        lab.pinned("1.0.0", "model");
        let options = format!("{{\"model_options\": {{\"{key}\": {limit}}},");
        lab.edit("model/model_manifest.json", "{", &options);
        lab
    };
    let lab = limited("max_load_perplexity", "1.5");
    let words = ["perplexity of the built-in", "the manifest allows 1.5"];
    check(&lab, &lab.compare("model", "1.1.0", &[]), &words);
    check(&lab, &lab.run(&["inspect", "model", "--check"]), &words);
    check_fails(&lab, &lab.compare("1.1.0", "model", &[]), &words);
    let lab = limited("max_load_perplexity", "1e30");
    let ran = lab.run(&["inspect", "model", "--check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let lab = limited("max_summary_perplexity", "1.01");
    let words = ["built-in summaries", "the manifest allows 1.01"];
    check_fails(&lab, &lab.compare("1.1.0", "model", &[]), &words);
}

#[test]
fn a_scene_that_is_not_json() {
    check_scenes(
        |text| text.replacen("\n{", "\n", 1),
        &["scenes/scenes.jsonl:2: "],
    );
}

#[test]
fn a_scene_twice() {
    check_scenes(
        |text| {
            let first = text.lines().next().unwrap();
            format!("{first}\n{text}")
        },
        &["scenes/scenes.jsonl:2: duplicate scene id"],
    );
}

#[test]
fn no_scene() {
    check_scenes(|_| String::new(), &["the scene set is empty", "hint: "]);
}

#[test]
fn scenes_that_were_edited() {
    check_scenes(
        |text| text.replacen("\"confidence\":0.5", "\"confidence\":0.6", 1),
        &[
            "sha256 differs",
            "expected:",
            "found:",
            "(set.toml)",
            "hint: ",
        ],
    );
}

#[test]
fn a_policy_with_a_misspelt_key() {
    check_policy(
        "schema_version = 1\nmode = \"smoke\"\n[effort]\nlaunch = 4\n",
        &["gate.toml:4: `effort.launch`", "did you mean `launches`?"],
    );
}

#[test]
fn a_policy_that_is_not_there() {
    let lab = Lab::new();
    let ran = lab.compare("1.0.0", "1.0.0", &["--policy", "other.toml"]);
    check(&lab, &ran, &["cannot read policy other.toml", "hint: "]);
}

#[test]
fn an_output_directory_that_cannot_be_made() {
    let lab = Lab::new();
    let arguments = lab.compare_arguments("1.0.0", "1.0.0");
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    *arguments.last_mut().unwrap() = "gate.toml/out";
    let ran = lab.run(&arguments);
    check(
        &lab,
        &ran,
        &["cannot make the directory `gate.toml/out`", "hint: "],
    );
}

#[test]
fn arguments_that_are_not_known() {
    let lab = Lab::new();
    for arguments in [
        &["compare", "--polcy", "x"][..],
        &["compare", "one"],
        &["compar"],
        &["inspect"],
        &[],
    ] {
        let ran = lab.run(arguments);
        assert_eq!(ran.code, Some(3), "{arguments:?} {}", ran.all());
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn help_is_an_answer() {
    for (arguments, word) in [
        (&["--help"][..], "Exit codes: "),
        (&["compare", "--help"], "Examples:"),
        (&["inspect", "--help"], "Examples:"),
        (&["--version"], "vv-eval "),
    ] {
        let ran = Lab::new().run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?} {}", ran.all());
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
}
