//! `vv-eval inspect`: the card and the exact logits.

use serde_json::{Value, json};
use vv_eval::engine::texts::SUMMARIES;
use vv_eval::scene::Analytic;
use vv_eval::scene::analytic::{Event, OBJECT};
use vv_eval::scene::facts::TimeBase;
use vv_eval::scene::prompt::Template;

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

/// What a check says in JSON; exit code and words of an error beside it.
fn checked(lab: &Lab, arguments: &[&str]) -> (Value, Option<i32>, String) {
    let ran = lab.run(&[&["inspect", "--check", "--format", "json"], arguments].concat());
    let json = serde_json::from_str(&ran.stdout);
    let json: Value = json.unwrap_or_else(|error| panic!("{error}: {}", ran.all()));
    (json["check"].clone(), ran.code, ran.stderr)
}

#[test]
fn a_check_prints_the_perplexity_of_every_text() {
    let ran = Lab::new().run(&["inspect", model("1.1.0").to_str().unwrap(), "--check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for text in [
        "Portuguese paragraph",
        "English paragraph",
        "summaries behind their prompts",
    ] {
        let line = ran.stdout.lines().find(|line| line.contains(text));
        let line = line.unwrap_or_else(|| panic!("no {text} in\n{}", ran.stdout));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "perplexity");
        let value: f64 = words[1].parse().unwrap();
        assert!(value > 1.0 && value.is_finite(), "{value}");
        for unit in ["tokens;", "bits a byte;", "without context"] {
            assert!(line.contains(unit), "no {unit} in {line}");
        }
    }
    let rule = "  allowed    one text below its figure without context";
    assert!(ran.stdout.contains(rule), "{}", ran.stdout);
}

#[test]
fn every_reference_model_passes_by_its_summaries() {
    let lab = Lab::new();
    for version in ["1.0.0", "1.0.0-q4_0", "1.1.0", "1.1.1-undertrained"] {
        let path = model(version);
        let (check, code, stderr) = checked(&lab, &[path.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{version}: {stderr}");
        assert_eq!(
            (&check["is_sound"], &check["decided_by"]),
            (&json!(true), &json!("rule"))
        );
        let reading = &check["readings"][2];
        assert_eq!(reading["text"], "summaries");
        let of = |key: &str| reading[key].as_f64().unwrap();
        assert!(
            of("perplexity") < of("perplexity_without_context"),
            "{version}: {reading}"
        );
        assert!(of("bits_per_byte") < 4.0, "{version}: {reading}");
        assert_eq!(reading["n_tokens"], reading["n_tokens_whole"]);
    }
}

// Pitfall 7: nothing in a file tells the layouts of I2_S apart, only what the model reads.
#[test]
fn the_check_tells_a_wrong_block_layout() {
    let lab = Lab::new();
    let original = model("1.1.0");
    let original = original.to_str().unwrap();
    let ran = lab.run(&["model", "convert", original, "m", "--to", "gguf-i2_s"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let (right, code, _) = checked(&lab, &["m"]);
    assert_eq!((code, &right["is_sound"]), (Some(0), &json!(true)));
    let (wrong, code, stderr) = checked(&lab, &["m", "--i2s-layout", "64"]);
    assert_eq!((code, &wrong["is_sound"]), (Some(3), &json!(false)));
    for words in [
        "the model reads none of the built-in texts better than without context",
        "of the summaries behind their prompts, expected below",
        "hint: ",
        "--i2s-layout 64 or 128",
    ] {
        assert!(stderr.contains(words), "no {words} in\n{stderr}");
    }
    let summaries = |check: &Value| check["readings"][2]["perplexity"].as_f64().unwrap();
    assert!(
        summaries(&wrong) > 10.0 * summaries(&right),
        "{wrong} {right}"
    );
}

#[test]
fn the_manifest_may_limit_what_a_model_reads_its_summaries_with() {
    let lab = Lab::new();
    let limited = |name: &str, limit: &str| {
        lab.pinned("1.1.0", name);
        let options = format!("{{\"model_options\": {{\"max_summary_perplexity\": {limit}}},");
        lab.edit(&format!("{name}/model_manifest.json"), "{", &options);
    };
    limited("strict", "1.01");
    let words = [
        "perplexity of the built-in summaries",
        "the manifest allows 1.01 (max_summary_perplexity)",
    ];
    check_refused(&lab, &["inspect", "strict", "--check"], &words);
    limited("fair", "50");
    let (check, code, stderr) = checked(&lab, &["fair"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(check["decided_by"], "manifest");
    assert_eq!(check["max_summary_perplexity"], 50.0);
    assert_eq!(check["max_load_perplexity"], Value::Null);
}

#[test]
fn the_card_in_json_says_what_the_text_says() {
    let path = model("1.0.0-q4_0");
    let path = path.to_str().unwrap();
    let lab = Lab::new();
    let text = lab.run(&["inspect", path]);
    let ran = lab.run(&["inspect", path, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["is_pinned"], true);
    assert!(json.get("check").is_none());
    let card = &json["card"];
    assert_eq!(card["container"], "gguf-q4_0");
    for key in ["codes_sha256", "layers_sha256"] {
        let digest = card[key].as_str().unwrap();
        assert!(text.stdout.contains(digest), "no {key} in {}", text.stdout);
    }
    let files = json["files"].as_array().unwrap();
    assert!(files.len() >= 4);
    for file in files {
        assert!(text.stdout.contains(file["sha256"].as_str().unwrap()));
    }
}

/// Frames of detections: label, how many at once, first and last second, number of frames.
fn seen(label: &str, n: usize, first: u32, last: u32, n_frames: u32) -> Vec<Event> {
    let at =
        |frame: u32| f64::from(first) + f64::from((last - first) * frame) / f64::from(n_frames - 1);
    (0..n_frames)
        .flat_map(|frame| {
            let event = Event {
                frame_timestamp_seconds: at(frame),
                event_type: OBJECT.to_owned(),
                label: Some(label.to_owned()),
                confidence: 0.9,
                bounding_box: None,
            };
            // All of them in the first frame, one in the others.
            vec![event; if frame == 0 { n } else { 1 }]
        })
        .collect()
}

#[test]
fn the_prompts_of_the_check_are_those_of_the_program() {
    let scenes = [
        (
            90.0,
            None,
            vec![seen("car", 2, 5, 40, 20), seen("person", 1, 12, 31, 14)],
        ),
        (45.0, None, vec![]),
        (
            130.0,
            None,
            vec![seen("person", 3, 8, 112, 61), seen("truck", 1, 33, 75, 27)],
        ),
        (
            200.0,
            Some(14 * 3600 + 30 * 60),
            vec![seen("bus", 1, 12, 65, 31), seen("bicycle", 2, 120, 140, 11)],
        ),
    ];
    let template = std::fs::read_to_string(root().join("prompts/scene_summarizer.prompt")).unwrap();
    let template = Template::new(template).unwrap();
    for ((duration_seconds, start_s, events), (prompt, _)) in scenes.into_iter().zip(SUMMARIES) {
        let analytic = Analytic {
            duration_seconds,
            events: events.concat(),
            ..Analytic::default()
        };
        let time_base = start_s.map_or(TimeBase::Offset, |start_s| TimeBase::WallClock { start_s });
        assert_eq!(template.render(&analytic, &time_base), prompt);
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
