//! `vv-eval inspect`: the card and the exact logits.

use serde_json::Value;

use super::common::{Lab, model, root};

/// A model of which another implementation computed the logits; it has no tokenizer.
const FIXTURE: &str = "tests/fixtures/bitnet-tiny-direct";

#[track_caller]
fn check_card(version: &str, names: &[&str]) {
    let ran = Lab::new().run(&["inspect", model(version).to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for name in names {
        let line = ran.stdout.lines().find(|line| line.starts_with(name));
        let value = line.map_or("", |line| line[name.len()..].trim());
        assert!(!value.is_empty(), "no {name} in\n{}", ran.stdout);
    }
}

/// Expects exit code 3 and these words on stderr.
#[track_caller]
fn check_refused(lab: &Lab, arguments: &[&str], words: &[&str]) {
    let ran = lab.run(arguments);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    for word in words {
        assert!(ran.stderr.contains(word), "no {word} in\n{}", ran.stderr);
    }
}

/// The rows of logits in a JSON file.
fn logits(text: &str) -> Vec<Vec<f64>> {
    let json: Value = serde_json::from_str(text).unwrap();
    serde_json::from_value(json["logits"].clone()).unwrap()
}

#[test]
fn the_card_names_what_was_detected() {
    check_card(
        "1.0.0",
        &[
            "family",
            "activation",
            "vocabulary",
            "codes digest",
            "tokenizer",
        ],
    );
}

#[test]
fn logits_agree_with_the_other_implementation() {
    let lab = Lab::new();
    let fixture = root().join(FIXTURE);
    let fixture = fixture.to_str().unwrap();
    let ran = lab.run(&[
        "inspect",
        fixture,
        "--token-ids",
        "1,5,9,33,2",
        "--logits",
        "l.json",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let found = logits(&std::fs::read_to_string(lab.path("l.json")).unwrap());
    let expected = std::fs::read_to_string(root().join(FIXTURE).join("expected.json")).unwrap();
    let expected = logits(&expected);
    assert_eq!((found.len(), found[0].len()), (5, 64));
    for (found, expected) in found.concat().iter().zip(expected.concat()) {
        assert!(
            (found - expected).abs() < 1e-4,
            "{found} instead of {expected}"
        );
    }
}

#[test]
fn a_check_prints_the_perplexity_of_both_paragraphs() {
    let ran = Lab::new().run(&["inspect", model("1.1.0").to_str().unwrap(), "--check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for language in ["Portuguese", "English"] {
        let line = ran.stdout.lines().find(|line| line.contains(language));
        let words: Vec<&str> = line
            .expect("a line per paragraph")
            .split_whitespace()
            .collect();
        assert_eq!(words[0], "perplexity");
        let value: f64 = words[1].parse().unwrap();
        assert!(value > 1.0 && value.is_finite(), "{value}");
        assert!(
            words.contains(&"tokens") || words.contains(&"tokens,"),
            "{words:?}"
        );
    }
}

#[test]
fn the_head_is_kept_as_asked() {
    let path = model("1.0.0");
    let path = path.to_str().unwrap();
    for (flags, expected) in [
        (&[][..], "int8"),
        (&["--head", "f16"], "f16"),
        (&["--head", "exact", "--i2s-layout", "64"], "exact"),
    ] {
        let ran = Lab::new().run(&[&["inspect", path], flags].concat());
        let line = ran.stdout.lines().find(|line| line.starts_with("head"));
        assert_eq!(line.unwrap().split_whitespace().last(), Some(expected));
    }
    check_refused(
        &Lab::new(),
        &["inspect", path, "--head", "int4"],
        &["int4", "int8"],
    );
    check_refused(
        &Lab::new(),
        &["inspect", path, "--i2s-layout", "32"],
        &["32", "64"],
    );
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    let fixture = root().join(FIXTURE);
    let fixture = fixture.to_str().unwrap();
    let lab = Lab::new();
    let arguments = [
        "inspect",
        fixture,
        "--token-ids",
        "1,64",
        "--logits",
        "l.json",
    ];
    check_refused(
        &lab,
        &arguments,
        &["error: ", "token id 64", "64", "hint: ", "0 to 63"],
    );
    assert!(!lab.path("l.json").exists());
}

#[test]
fn a_broken_model_is_refused() {
    let lab = Lab::new();
    lab.copy(&root().join(FIXTURE), "broken");
    lab.write("broken/model.safetensors", "short");
    let words = [
        "error: ",
        "model.safetensors is not a valid safetensors file",
        "hint: ",
    ];
    check_refused(&lab, &["inspect", "broken"], &words);
}
