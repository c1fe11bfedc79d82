//! Makes the scene set `eval-sets/cenas-pt/0.1.0`: generated scenes and hand-written ones.
//!
//! `cargo run --release --example make_scene_set` writes the same bytes on every machine.

#![allow(clippy::print_stdout, reason = "a command line program")]

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use vv_eval::scene::analytic::{Analytic, Event};
use vv_eval::scene::dice::Dice;
use vv_eval::scene::facts::Facts;
use vv_eval::scene::generate;
use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::phrasing::{self, Family};
use vv_eval::scene::set::{DraftInfo, Generator, Scene, draft};
use vv_eval::units::Sha256;

/// Seed of the worlds; apart from every seed a model is trained with.
const SEED: u64 = 20_261_201;
/// Generated scenes.
const N_GENERATED: u64 = 68;
const HAND_WRITTEN: &str = include_str!("hand_written.toml");
const OUT: &str = "eval-sets/cenas-pt/0.1.0";
const PROMPT: &str = "scene_summarizer.prompt";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandWritten {
    scene: Vec<HandWrittenScene>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandWrittenScene {
    id: String,
    duration_s: u32,
    /// Label, number at once, first and last second, confidence.
    tracks: Vec<(String, u32, u32, u32, f64)>,
    references: Vec<String>,
}

fn main() -> Result<()> {
    let out = Path::new(OUT);
    let prompt = std::fs::read_to_string(out.join(PROMPT)).context("reading the prompt")?;
    let mut scenes: Vec<Scene> = (0..N_GENERATED).map(generated).collect();
    let hand: HandWritten = toml::from_str(HAND_WRITTEN)?;
    scenes.extend(hand.scene.iter().map(hand_written));
    for scene in &scenes {
        scene.analytic.check()?;
        ensure!(
            scene.references.len() >= 2,
            "{} needs two references",
            scene.id
        );
    }
    let n = scenes.len();
    let info = DraftInfo {
        name: "cenas-pt",
        version: "0.1.0",
        created: "2026-11-24",
        prompt: (PROMPT, &prompt),
        min_scenes: 60,
        generator: Some(Generator {
            name: "cargo run --release --example make_scene_set".into(),
            version: "1".into(),
            seed: SEED,
            families: ["E", "F", "G"].map(String::from).to_vec(),
        }),
    };
    let draft = draft(scenes, info);
    std::fs::write(out.join("scenes.jsonl"), &draft.scenes_jsonl)?;
    std::fs::write(out.join("set.toml"), &draft.set_toml)?;
    println!(
        "{n} scenes, {} bytes, written to {OUT}",
        draft.scenes_jsonl.len()
    );
    Ok(())
}

fn generated(index: u64) -> Scene {
    let analytic = generate::analytic(SEED, "cenas-pt", index);
    let facts = Facts::of(&analytic, &BUILT_IN);
    let mut dice = Dice::new(SEED, "cenas-pt-text", index);
    // Two different families, so that references differ in plan and not only in words.
    let first = dice.below(3) as usize;
    let second = (first + 1 + dice.below(2) as usize) % 3;
    let mut references: Vec<String> = Vec::new();
    for family in [first, second] {
        let mut text = phrasing::tell(&facts, &BUILT_IN, Family::HELD_OUT[family], &mut dice);
        while references.contains(&text) {
            text = phrasing::tell(&facts, &BUILT_IN, Family::HELD_OUT[family], &mut dice);
        }
        references.push(text);
    }
    let source = BTreeMap::from([
        ("dataset".into(), "synthetic".into()),
        ("license".into(), "MIT OR Apache-2.0".into()),
        ("seed".into(), SEED.to_string()),
        ("index".into(), index.to_string()),
    ]);
    let slices = slices(&facts);
    Scene {
        analytic,
        id: format!("gen-{index:03}"),
        references,
        slices,
        source,
        ..Scene::default()
    }
}

fn hand_written(scene: &HandWrittenScene) -> Scene {
    let mut events = Vec::new();
    for at_s in (0..=scene.duration_s).step_by(2) {
        for (label, n, from_s, to_s, confidence) in &scene.tracks {
            for slot in 0..if (*from_s..=*to_s).contains(&at_s) {
                *n
            } else {
                0
            } {
                events.push(Event {
                    frame_timestamp_seconds: f64::from(at_s),
                    event_type: "object_detection".into(),
                    label: Some(label.clone()),
                    confidence: *confidence,
                    bounding_box: Some([f64::from(80 * slot), 320.0, 60.0, 90.0]),
                });
            }
        }
    }
    let analytic = Analytic {
        source_video_path: format!("/videos/{}.mp4", scene.id),
        source_video_hash_sha256: Sha256::of(scene.id.as_bytes()).to_string(),
        processing_timestamp_utc: "2026-11-01T12:00:00Z".into(),
        duration_seconds: f64::from(scene.duration_s),
        frames_analyzed: Some(u64::from(scene.duration_s / 2 + 1)),
        events,
    };
    let mut slices = slices(&Facts::of(&analytic, &BUILT_IN));
    slices.push("hand-written".into());
    let source = BTreeMap::from([
        ("dataset".into(), "hand-written".into()),
        ("license".into(), "MIT OR Apache-2.0".into()),
        ("author".into(), "vv-eval authors".into()),
    ]);
    let (id, references) = (scene.id.clone(), scene.references.clone());
    Scene {
        analytic,
        id,
        references,
        slices,
        source,
        ..Scene::default()
    }
}

/// Named subsets by what the detections show.
fn slices(facts: &Facts) -> Vec<String> {
    const VEHICLES: [&str; 5] = ["car", "truck", "bus", "motorcycle", "bicycle"];
    let mut names = Vec::new();
    if facts.is_empty() {
        names.push("empty");
    } else if facts.salient.iter().all(|label| label == "person") {
        names.push("people-only");
    } else if facts
        .salient
        .iter()
        .all(|label| VEHICLES.contains(&label.as_str()))
    {
        names.push("vehicles-only");
    } else {
        names.push("mixed");
    }
    if facts.labels.values().any(|seen| seen.max_at_once >= 6) {
        names.push("crowd");
    }
    if facts.labels.len() > facts.salient.len() {
        names.push("noise");
    }
    names.into_iter().map(String::from).collect()
}
