//! Makes the scene sets `sentinelas-pt`, `cenas-pt` and `smoke`, version 1.0.0.
//!
//! `cargo run --release --example make_scene_sets` writes the same bytes on every machine. Worlds
//! and detections of `cenas-pt` come from the generator; the references of some of its scenes, and
//! everything of the other sets, are written by hand in the files beside this one.

#![allow(clippy::print_stdout, reason = "a command line program")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use vv_eval::metric::accept;
use vv_eval::scene::analytic::{Analytic, Event};
use vv_eval::scene::facts::{Facts, KnownFacts, KnownLabel, TimeBase};
use vv_eval::scene::lexicon::BUILT_IN;
use vv_eval::scene::prompt::scene_text;
use vv_eval::scene::set::{DraftInfo, Generator, Scene, draft};
use vv_eval::scene::slice::slices;
use vv_eval::scene::synthetic::{MAX_LEFT_OUT, Order, STREAM, VERSION, make};
use vv_eval::scene::telling::Family;
use vv_eval::units::Sha256;

/// Seed of the worlds; apart from every seed a model is trained with.
const SEED: u64 = 20_261_201;
/// Scenes of `cenas-pt`.
const N_SCENES: usize = 330;
/// The first scenes of `smoke`, by index of their list.
const SMOKE: [&str; 10] = [
    "s01-fantasma",
    "s03-guarda-chuva",
    "s04-meia-noite",
    "s05-duas-pessoas",
    "s06-estacionamento",
    "s07-multidao",
    "s13-sequencia",
    "s15-rotulos-em-portugues",
    "s16-empilhadeira",
    "s20-mala-esquecida",
];
const SENTINELS: &str = include_str!("sentinelas.toml");
const REFERENCES: &str = include_str!("referencias.toml");
const PROMPT: &str = "scene_summarizer.prompt";
const LICENCE: &str = "MIT OR Apache-2.0";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentinels {
    scene: Vec<Sentinel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentinel {
    id: String,
    note: String,
    duration_s: u32,
    /// Seconds between frames.
    #[serde(default = "two")]
    step_s: u32,
    /// Start of the recording, `hh:mm:ss`.
    start: Option<String>,
    #[serde(default)]
    night: bool,
    #[serde(default)]
    unsorted: bool,
    /// Label, number at once, first and last second, confidence.
    tracks: Vec<(String, u32, u32, u32, f64)>,
    #[serde(default)]
    known: BTreeMap<String, u32>,
    required: Option<Vec<String>>,
    #[serde(default)]
    allowed: Vec<String>,
    references: Vec<String>,
    /// Error types or form flags, and the text that shows them.
    must_fail: Vec<(String, String)>,
}

fn two() -> u32 {
    2
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Scene id of `cenas-pt` → its references.
    references: BTreeMap<String, Vec<String>>,
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--show") {
        return show();
    }
    let sentinels: Sentinels = toml::from_str(SENTINELS)?;
    let sentinels = sentinels
        .scene
        .iter()
        .map(sentinel)
        .collect::<Result<Vec<Scene>>>()?;
    let smoke = sentinels
        .iter()
        .filter(|scene| SMOKE.contains(&scene.id.as_str()));
    let smoke: Vec<Scene> = smoke
        .map(|scene| Scene {
            must_fail: Vec::new(),
            ..scene.clone()
        })
        .collect();
    ensure!(smoke.len() == SMOKE.len(), "a smoke scene is no sentinel");
    write("smoke", smoke, 1, None)?;
    write("sentinelas-pt", sentinels, 1, None)?;
    let generator = Generator {
        name: "vv-eval scenes generate".into(),
        version: VERSION.into(),
        seed: SEED,
        families: letters(),
    };
    write("cenas-pt", scenes()?, 60, Some(generator))
}

fn letters() -> Vec<String> {
    Family::RELEASED
        .map(|family| family.letter().to_owned())
        .to_vec()
}

fn generated() -> Result<Vec<Scene>> {
    let order = Order {
        seed: SEED,
        purpose: STREAM,
        families: &Family::RELEASED,
    };
    let made = make(N_SCENES, &order, &|scene, text| {
        accept::rejects(scene, text, &BUILT_IN).is_empty()
    });
    let share = made.left_out.len() as f64 / N_SCENES as f64;
    println!("left out: {:?}", made.left_out);
    ensure!(share <= MAX_LEFT_OUT, "{share} of the scenes are left out");
    Ok(made.scenes)
}

/// Generated scenes, some with references written by hand.
fn scenes() -> Result<Vec<Scene>> {
    let written: Written = toml::from_str(REFERENCES)?;
    let mut written = written.references;
    let mut scenes = generated()?;
    for scene in &mut scenes {
        let Some(references) = written.remove(&scene.id) else {
            continue;
        };
        scene.references = references;
        let facts = Facts::of_scene(scene, &BUILT_IN);
        let is_night = scene.slices.iter().any(|slice| slice == "night");
        scene.slices = named(scene, &facts, is_night);
        scene.slices.push("hand-written".into());
        scene.slices.sort_unstable();
        scene.source.remove("families");
        let author = "vv-eval authors, from the rendered detections";
        scene.source.insert("author".into(), author.into());
    }
    ensure!(written.is_empty(), "no such scenes: {:?}", written.keys());
    Ok(scenes)
}

fn named(scene: &Scene, facts: &Facts, is_night: bool) -> Vec<String> {
    let night = is_night.then_some("night");
    let found = slices(scene, facts, &BUILT_IN).into_iter().chain(night);
    found.map(str::to_owned).collect()
}

fn sentinel(written: &Sentinel) -> Result<Scene> {
    let mut events = Vec::new();
    for at_s in (0..=written.duration_s).step_by(written.step_s as usize) {
        for (label, n, from_s, to_s, confidence) in &written.tracks {
            let is_there = (*from_s..=*to_s).contains(&at_s);
            for slot in 0..if is_there { *n } else { 0 } {
                events.push(event(at_s, label, slot, *confidence));
            }
        }
    }
    if written.unsorted {
        events.reverse();
    }
    let label = |&tracks: &u32| KnownLabel {
        tracks: Some(tracks),
        ..KnownLabel::default()
    };
    let known = written.known.iter().map(|(k, n)| (k.clone(), label(n)));
    let facts = KnownFacts {
        labels: known.collect(),
        required: written.required.clone(),
        allowed: written.allowed.clone(),
        ..KnownFacts::default()
    };
    let source = [
        ("dataset", "hand-written"),
        ("license", LICENCE),
        ("author", "vv-eval authors"),
    ];
    let mut scene = Scene {
        id: written.id.clone(),
        note: Some(written.note.clone()),
        analytic: Analytic {
            source_video_path: format!("/videos/{}.mp4", written.id),
            source_video_hash_sha256: Sha256::of(written.id.as_bytes()).to_string(),
            processing_timestamp_utc: "2026-11-01T12:00:00Z".into(),
            duration_seconds: f64::from(written.duration_s),
            frames_analyzed: Some(u64::from(written.duration_s / written.step_s + 1)),
            events,
        },
        facts,
        references: written.references.clone(),
        must_fail: written
            .must_fail
            .iter()
            .map(|(_, text)| text.clone())
            .collect(),
        source: source
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        time_base: start(written.start.as_deref())?,
        ..Scene::default()
    };
    let facts = Facts::of_scene(&scene, &BUILT_IN);
    scene.keywords = facts
        .salient
        .iter()
        .filter_map(|label| Some(BUILT_IN.label(label)?.canon[0].clone()))
        .collect();
    scene.slices = named(&scene, &facts, written.night);
    scene.slices.sort_unstable();
    for (promised, text) in &written.must_fail {
        let reasons = accept::rejects(&scene, text, &BUILT_IN);
        let promised: BTreeSet<&str> = promised.split(' ').collect();
        let shown: BTreeSet<&str> = reasons
            .iter()
            .map(|why| why.split(':').next().unwrap_or_default())
            .map(|why| why.trim_start_matches("not "))
            .collect();
        ensure!(
            promised == shown,
            "{}: «{text}» promises {promised:?} and shows {reasons:?}",
            scene.id
        );
    }
    Ok(scene)
}

fn event(at_s: u32, label: &str, slot: u32, confidence: f64) -> Event {
    let is_face = label == "face";
    let kind = if is_face {
        "face_detection"
    } else {
        "object_detection"
    };
    Event {
        frame_timestamp_seconds: f64::from(at_s),
        event_type: kind.into(),
        label: (!is_face).then(|| label.to_owned()),
        confidence,
        bounding_box: Some([f64::from(80 * slot), 320.0, 60.0, 90.0]),
    }
}

fn start(start: Option<&str>) -> Result<TimeBase> {
    let Some(start) = start else {
        return Ok(TimeBase::Offset);
    };
    let parts: Vec<u32> = start
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("start {start}"))?;
    let [h, m, s] = parts[..] else {
        anyhow::bail!("start {start} is not hh:mm:ss");
    };
    Ok(TimeBase::WallClock {
        start_s: 3600 * h + 60 * m + s,
    })
}

/// Writes a set and holds its references against the gate.
fn write(
    name: &str,
    scenes: Vec<Scene>,
    min_scenes: usize,
    generator: Option<Generator>,
) -> Result<()> {
    let out: PathBuf = Path::new("eval-sets").join(name).join("1.0.0");
    std::fs::create_dir_all(&out)?;
    for scene in &scenes {
        for text in &scene.references {
            let reasons = accept::rejects(scene, text, &BUILT_IN);
            if !reasons.is_empty() {
                println!("{}: «{text}»: {}", scene.id, reasons.join("; "));
            }
        }
    }
    let prompt = include_str!("../../prompts/scene_summarizer.prompt");
    let n = scenes.len();
    let info = DraftInfo {
        name,
        version: "1.0.0",
        created: "2026-11-25",
        prompt: (PROMPT, prompt),
        min_scenes,
        generator,
    };
    let draft = draft(scenes, info);
    std::fs::write(out.join(PROMPT), prompt)?;
    std::fs::write(out.join("scenes.jsonl"), &draft.scenes_jsonl)?;
    std::fs::write(out.join("set.toml"), &draft.set_toml)?;
    println!("{name}: {n} scenes, {} bytes", draft.scenes_jsonl.len());
    Ok(())
}

/// Prints the scenes of `cenas-pt` as their prompts show them, to write references from.
fn show() -> Result<()> {
    for scene in generated()? {
        println!("--- {} {}", scene.id, scene.slices.join(" "));
        println!("{}", scene_text(&scene.analytic, &scene.time_base));
    }
    Ok(())
}
