use std::collections::BTreeSet;

use super::*;

const SCHEMA_CASES: &str = include_str!("../../tests/fixtures/summary/cases.json");

/// The top-level keys found wrong; `.` for the document, a missing or an unknown key.
fn wrong_keys(document: &str) -> Vec<String> {
    let Err(violations) = Summary::read(document.as_bytes()) else {
        return Vec::new();
    };
    let of_document = ["is missing", "is not a key of the contract"];
    let key = |violation: &Violation| {
        let key = violation.key.split('[').next().unwrap_or_default();
        let is_of_document = of_document.contains(&violation.problem.as_str());
        (if is_of_document { "." } else { key }).to_owned()
    };
    let keys: BTreeSet<String> = violations.iter().map(key).collect();
    keys.into_iter().collect()
}

#[test]
fn the_contract_is_the_schema() {
    let cases: Vec<Value> = serde_json::from_str(SCHEMA_CASES).unwrap();
    assert_eq!(
        cases.len(),
        144,
        "a comparison that compared less proves less"
    );
    for case in &cases {
        let expected: Vec<String> = serde_json::from_value(case["keys"].clone()).unwrap();
        let found = wrong_keys(&case["document"].to_string());
        assert_eq!(found, expected, "{}", case["id"]);
    }
    let n_good = cases
        .iter()
        .filter(|case| case["keys"] == serde_json::json!([]))
        .count();
    assert_eq!(n_good, 32);
}

fn good() -> Value {
    let cases: Vec<Value> = serde_json::from_str(SCHEMA_CASES).unwrap();
    cases[0]["document"].clone()
}

#[test]
fn a_summary_is_read_whole() {
    let summary = Summary::read(good().to_string().as_bytes()).unwrap();
    assert_eq!(summary.model_name, "bitnet-summarizer");
    assert_eq!(summary.keywords, ["pessoa", "pátio"]);
    assert_eq!(summary.sentiment.as_deref(), Some("neutro"));
    assert_eq!(summary.confidence_score, Some(0.8));
}

#[test]
fn repeated_keys_and_broken_documents_are_named() {
    let text = good().to_string();
    let twice = text.replacen('{', r#"{"model_name":"x","#, 1);
    let found = Summary::read(twice.as_bytes()).unwrap_err();
    assert_eq!(found, [violation("model_name", "stands twice")]);
    let found = Summary::read(b"{").unwrap_err();
    assert_eq!(found[0].key, ".");
    assert!(
        found[0].to_string().contains("is not a JSON object"),
        "{}",
        found[0]
    );
    let found = Summary::read(&[b'{', 0xff]).unwrap_err();
    assert_eq!(found[0].key, ".");
}

#[test]
fn a_summary_of_another_scene_model_or_prompt_disagrees() {
    let summary = Summary::read(good().to_string().as_bytes()).unwrap();
    let expected = Expected {
        source_video_hash_sha256: &"a".repeat(64),
        model_name: "bitnet-summarizer",
        model_version: "1.3.0",
        prompt_sha256: "0123456789abcdef".repeat(4).parse().unwrap(),
    };
    assert_eq!(summary.disagreements(&expected), []);
    let other = Expected {
        model_version: "1.4.0",
        prompt_sha256: Sha256::of(b"other"),
        ..expected
    };
    let keys: Vec<String> = summary
        .disagreements(&other)
        .into_iter()
        .map(|v| v.key)
        .collect();
    assert_eq!(keys, ["model_version", "prompt_used_hash_sha256"]);
}

#[test]
fn plain_text_is_trimmed_and_normalised() {
    let text = ModelText::read(" Um o\u{302}nibus.\n");
    assert_eq!(text.summary, "Um ônibus.");
    assert_eq!((text.keywords, text.is_object), (None, false));
}

#[test]
fn an_object_gives_its_parts_with_or_without_a_fence() {
    let object = r#"{"keywords": ["ônibus"], "summary_text": " Um ônibus. ", "sentiment": null}"#;
    for text in [
        object.to_owned(),
        format!("```json\n{object}\n```\n"),
        format!("```\n{object}```"),
    ] {
        let read = ModelText::read(&text);
        assert_eq!(read.summary, "Um ônibus.", "{text}");
        assert_eq!(read.keywords.as_deref(), Some(&["ônibus".to_owned()][..]));
        assert!(read.is_object && read.violations.is_empty(), "{text}");
    }
}

#[test]
fn what_is_not_one_object_with_a_summary_is_text() {
    for text in [
        r#"{"texto": "Um ônibus."}"#,
        r#"{"summary_text": "Um"} {"summary_text": "dois"}"#,
        r#"["summary_text"]"#,
        "```json\n{\"summary_text\": \"Um\"}",
        "{summary_text: Um}",
    ] {
        let read = ModelText::read(text);
        assert!(!read.is_object, "{text}");
        assert_eq!(read.summary, text);
    }
}

#[test]
fn an_object_names_what_it_breaks() {
    let read = ModelText::read(
        r#"{"summary_text": " ", "keywords": ["a", "a", 1, ""], "model_name": "m", "confidence_score": 2}"#,
    );
    let found: Vec<String> = read.violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "`summary_text` is blank",
            "`keywords[1]` stands twice",
            "`keywords[2]` is not a text",
            "`keywords[3]` is empty",
            "`model_name` is not a key of the contract",
            "`confidence_score` is not a number in [0, 1]",
        ]
    );
}

#[test]
fn half_surrogates_become_the_replacement_character() {
    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(whole_escapes(json), expected);
    }
    check(r"\ud83d\udc4d", r"\ud83d\udc4d");
    check(r"a\ud83d", r"a\ufffd");
    check(r"\udc4d\ud83d", r"\ufffd\ufffd");
    check(r"\ud83d\ud83d\udc4d", r"\ufffd\ud83d\udc4d");
    check(r"\\ud83d", r"\\ud83d");
    check(r"\\\ud83d.", r"\\\ufffd.");
    check(r"\uD83Dx", r"\ufffdx");
    check(r"\u+83d é \", r"\u+83d é \");
    check(r"\ud83dé", r"\ufffdé");
}
