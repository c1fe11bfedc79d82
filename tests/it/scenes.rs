//! `vv-eval scenes`, and the released sets.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;

use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::telling::{Family, tell};
use vv_eval::scene::world::{self, Profile};
use vv_eval::scene::{Facts, Scene, SceneSet};

use super::common::{Lab, root};

/// The released sets that lint holds to every rule.
const RELEASED: [&str; 3] = ["sentinelas-pt", "cenas-pt", "smoke"];

fn released(name: &str) -> PathBuf {
    root().join("eval-sets").join(name).join("1.0.0")
}

fn loaded(name: &str) -> SceneSet {
    SceneSet::load(&released(name)).expect("a released set loads")
}

#[test]
fn equal_arguments_make_equal_sets_that_lint_accepts() {
    let lab = Lab::new();
    for out in ["a/1", "b/1"] {
        let ran = lab.run(&[
            "scenes", "generate", "--seed", "5", "--n", "25", "--out", out,
        ]);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
    }
    let [a, b] = ["a", "b"].map(|name| fs::read(lab.path(name).join("1/scenes.jsonl")).unwrap());
    assert!(a == b && a.split(|byte| *byte == b'\n').count() == 26);
    let ran = lab.run(&["scenes", "lint", "a/1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let ran = lab.run(&["scenes", "stats", "a/1"]);
    assert!(
        ran.code == Some(0) && ran.stdout.starts_with("25 scenes\n"),
        "{}",
        ran.all()
    );
    let ran = lab.run(&[
        "scenes", "generate", "--seed", "5", "--n", "25", "--out", "a/1",
    ]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    let ran = lab.run(&[
        "scenes",
        "generate",
        "--seed",
        "5",
        "--n",
        "2",
        "--families",
        "Z",
        "--out",
        "c",
    ]);
    assert!(
        ran.code == Some(3) && ran.stderr.contains("`Z`"),
        "{}",
        ran.all()
    );
}

#[test]
fn a_set_with_findings_exits_with_one() {
    let lab = Lab::new();
    lab.copy(&released("smoke"), "set");
    let edited = "set/scenes.jsonl";
    lab.edit(
        edited,
        "Duas pessoas atravessam a cena",
        "Nove pessoas atravessam a cena",
    );
    let ran = lab.run(&["scenes", "lint", "set"]);
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    for part in [
        "finding[mismatch]",
        "finding[reference-rejected] scene `s05-duas-pessoas`",
        "count",
    ] {
        assert!(ran.stdout.contains(part), "{}", ran.all());
    }
    // The bare lines are still canonical; only what they say is wrong.
    let ran = lab.run(&["scenes", "lint", edited]);
    assert!(
        ran.code == Some(1) && !ran.stdout.contains("mismatch"),
        "{}",
        ran.all()
    );
}

#[test]
fn a_folder_is_imported_or_refused_with_its_line() {
    let lab = Lab::new();
    fs::create_dir(lab.path("in")).unwrap();
    let analytic = r#"{"duration_seconds": 30, "events": [
  {"frame_timestamp_seconds": 4, "event_type": "object_detection", "label": "dog", "confidence": 0.9},
  {"frame_timestamp_seconds": 6, "event_type": "object_detection", "label": "dog", "confidence": 0.9}
]}"#;
    lab.write("in/patio-1.analytic.json", analytic);
    lab.write(
        "in/patio-1.ref.txt",
        "Um cachorro passa às 00:04.\n\nPassa um cão.\n",
    );
    let ran = lab.run(&["scenes", "import", "in", "--out", "patio/1"]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("bounding_box"),
        "{}",
        ran.all()
    );
    let ran = lab.run(&["scenes", "lint", "patio/1"]);
    assert!(
        ran.code == Some(1) && ran.stdout.contains("missing-field"),
        "{}",
        ran.all()
    );
    lab.edit(
        "in/patio-1.analytic.json",
        "\"frame_timestamp_seconds\": 6",
        "\"frame_timestamp_seconds\": -6",
    );
    let ran = lab.run(&["scenes", "import", "in", "--out", "patio/2"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    for part in [
        "patio-1.analytic.json:3:",
        "events[1].frame_timestamp_seconds",
    ] {
        assert!(ran.stderr.contains(part), "{}", ran.all());
    }
}

#[test]
fn released_sets_have_no_findings() {
    let lab = Lab::new();
    for name in RELEASED {
        let set = released(name);
        let ran = lab.run(&["scenes", "lint", set.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.all());
    }
}

#[test]
fn one_edited_byte_is_refused_with_both_digests() {
    for (file, from, to) in [
        ("scenes.jsonl", "cena", "Cena"),
        ("scene_summarizer.prompt", "Resuma", "resuma"),
        ("set.toml", "sha256 = \"", "sha256 = \"0000"),
    ] {
        let lab = Lab::new();
        lab.copy(&released("smoke"), "set");
        let path = format!("set/{file}");
        if file == "set.toml" {
            // The lexicon's digest: the last one but the prompt's.
            let text = fs::read_to_string(lab.path(&path)).unwrap();
            let digest = BUILT_IN.sha256.to_string();
            assert!(text.contains(&digest));
            let other = format!("{}{}", &digest[1..], &digest[..1]);
            lab.write(&path, text.replace(&digest, &other));
        } else {
            lab.edit(&path, from, to);
        }
        let ran = lab.run(&["scenes", "stats", "set"]);
        assert_eq!(ran.code, Some(3), "{file}: {}", ran.all());
        for part in ["sha256", "expected:", "found:"] {
            assert!(ran.stderr.contains(part), "{file}: {}", ran.all());
        }
    }
}

#[test]
fn the_generated_part_is_what_the_generator_gives() {
    let lab = Lab::new();
    let set = loaded("cenas-pt");
    let n = set.scenes.len().to_string();
    let ran = lab.run(&[
        "scenes", "generate", "--seed", "20261201", "--n", &n, "--out", "again/1",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let [released, again] = [
        fs::read_to_string(released("cenas-pt").join("scenes.jsonl")).unwrap(),
        fs::read_to_string(lab.path("again/1/scenes.jsonl")).unwrap(),
    ];
    let mut n_written = 0;
    for ((scene, line), other) in set.scenes.iter().zip(released.lines()).zip(again.lines()) {
        if scene.slices.iter().any(|slice| slice == "hand-written") {
            n_written += 1;
            let again: Scene = serde_json::from_str(other).unwrap();
            assert_eq!(scene.analytic, again.analytic, "{}", scene.id);
            assert_eq!(scene.facts, again.facts, "{}", scene.id);
        } else {
            assert_eq!(line, other, "{}", scene.id);
        }
    }
    assert!(
        n_written >= 60,
        "{n_written} scenes with hand-written references"
    );
}

/// Slices of eval-sets with the fewest scenes each must have.
const LEAST: [(&str, usize); 18] = [
    ("empty", 32),
    ("people-only", 40),
    ("vehicles-only", 40),
    ("mixed", 40),
    ("crowd", 30),
    ("long", 30),
    ("sparse", 30),
    ("noise", 30),
    ("counts", 40),
    ("order", 40),
    ("face", 20),
    ("labels-pt", 15),
    ("unknown-label", 10),
    ("unsorted", 15),
    ("wallclock", 20),
    ("rare-label", 20),
    ("night", 30),
    ("hand-written", 60),
];

#[test]
fn every_slice_is_full() {
    let in_slice = |set: &SceneSet, name: &str| {
        let of = |scene: &&Scene| scene.slices.iter().any(|slice| slice == name);
        set.scenes.iter().filter(of).count()
    };
    let [cenas, sentinels] = ["cenas-pt", "sentinelas-pt"].map(loaded);
    assert!(cenas.scenes.len() >= 320);
    assert!((24..=30).contains(&sentinels.scenes.len()));
    for (name, least) in LEAST {
        let n = in_slice(&cenas, name);
        assert!(n >= least, "{name}: {n} of at least {least}");
        let n = in_slice(&sentinels, name);
        assert!(n > 0 || name == "hand-written", "no sentinel is in {name}");
    }
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Eight words in a row that a training text and a hand-written reference may share.
const SHARED: [&str; 0] = [];

#[test]
fn hand_written_references_share_no_eight_words_with_training_texts() {
    let mut trained: HashSet<Vec<String>> = HashSet::new();
    for i in 0..1500 {
        let profile = Profile::scheduled(99, "hold-out", i);
        let Some(staged) = world::stage(99, "hold-out", i, profile) else {
            continue;
        };
        let scene = Scene {
            analytic: staged.analytic,
            time_base: staged.time_base,
            facts: staged.facts,
            ..Scene::default()
        };
        let facts = Facts::of_scene(&scene, &BUILT_IN);
        for family in Family::TRAINING {
            let mut dice = world::stream(99, "hold-out", i, family.letter());
            let text = tell(&facts, profile.is_portuguese, &BUILT_IN, family, &mut dice);
            trained.extend(words(&text).windows(8).map(<[String]>::to_vec));
        }
    }
    assert!(trained.len() > 10_000);
    let mut shared = BTreeSet::new();
    for set in RELEASED.map(loaded) {
        let written = |scene: &&Scene| scene.source.contains_key("author");
        for text in set
            .scenes
            .iter()
            .filter(written)
            .flat_map(|scene| &scene.references)
        {
            for run in words(text).windows(8) {
                if trained.contains(run) {
                    shared.insert(run.join(" "));
                }
            }
        }
    }
    let shared: Vec<&String> = shared.iter().collect();
    assert_eq!(shared, SHARED.map(String::from).iter().collect::<Vec<_>>());
}

#[test]
fn prompts_say_nothing_but_the_detections() {
    const FIXED: &str =
        "Resuma a cena em português Duração Início nenhuma detecção até quadros quadro";
    for set in RELEASED.map(loaded) {
        for scene in &set.scenes {
            let prompt = set.template.render(&scene.analytic, &scene.time_base);
            let labels = scene
                .analytic
                .events
                .iter()
                .filter_map(|event| event.label.as_deref());
            let allowed: HashSet<String> = labels.chain([FIXED, "face"]).flat_map(words).collect();
            for word in words(&prompt) {
                let is_number = word.chars().all(|c| c.is_ascii_digit());
                assert!(
                    is_number || allowed.contains(&word),
                    "{}: `{word}`",
                    scene.id
                );
            }
        }
    }
}
