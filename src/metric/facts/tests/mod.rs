//! The factual rules on scenes of known content.

mod failure_modes;
mod properties;
mod worked;

use std::collections::BTreeMap;

use super::*;
use crate::scene::Scene;
use crate::scene::analytic::{Analytic, Event};
use crate::scene::facts::{KnownFacts, KnownLabel, TimeBase};
use crate::scene::lexicon::BUILT_IN;

/// Boxes of a label: first and last second, every how many seconds, how many at once, confidence.
type Track = (&'static str, u32, u32, u32, u32, f64);

fn scene(duration_s: f64, tracks: &[Track]) -> Scene {
    let mut events = Vec::new();
    for &(label, from, to, step, n, confidence) in tracks {
        for at in (from..=to).step_by(step as usize) {
            for slot in 0..n {
                events.push(Event {
                    frame_timestamp_seconds: f64::from(at),
                    event_type: if label == "face" {
                        "face_detection".into()
                    } else {
                        "object_detection".into()
                    },
                    label: Some(label.into()),
                    confidence,
                    bounding_box: Some([f64::from(slot) * 50.0, f64::from(from), 40.0, 90.0]),
                });
            }
        }
    }
    Scene {
        analytic: Analytic {
            duration_seconds: duration_s,
            events,
            ..Analytic::default()
        },
        ..Scene::default()
    }
}

fn with_tracks(mut scene: Scene, tracks: &[(&str, u32)]) -> Scene {
    let label = |&(label, tracks): &(&str, u32)| {
        let known = KnownLabel {
            tracks: Some(tracks),
            ..KnownLabel::default()
        };
        (label.to_owned(), known)
    };
    scene.facts = KnownFacts {
        labels: tracks.iter().map(label).collect(),
        ..KnownFacts::default()
    };
    scene
}

/// Scene W: people, a bicycle, a truck; an umbrella hardly seen and a dog seen once.
fn scene_w() -> Scene {
    let tracks = [
        ("person", 10, 40, 2, 1, 0.9),
        ("bicycle", 30, 60, 2, 1, 0.9),
        ("truck", 80, 100, 2, 1, 0.9),
        ("umbrella", 50, 50, 2, 1, 0.4),
        ("dog", 52, 52, 2, 1, 0.6),
    ];
    let mut scene = scene(120.0, &tracks);
    // The second person.
    let second = self::scene(120.0, &[("person", 20, 30, 2, 1, 0.9)]);
    scene.analytic.events.extend(second.analytic.events);
    with_tracks(scene, &[("person", 2), ("bicycle", 1), ("truck", 1)])
}

fn empty() -> Scene {
    scene(90.0, &[])
}

fn wall_clock() -> Scene {
    let tracks = [("person", 0, 30, 5, 1, 0.9), ("bus", 120, 300, 5, 1, 0.9)];
    Scene {
        time_base: TimeBase::WallClock { start_s: 52_200 },
        ..scene(600.0, &tracks)
    }
}

fn of(text: &str, scene: &Scene) -> Judgement {
    judge(text, &Facts::of_scene(scene, &BUILT_IN), &BUILT_IN)
}

/// An error as `rule surface claimed/allowed`.
fn shown(error: &FactError) -> String {
    let detail = |detail: &Option<Detail>| detail.as_ref().map_or("-".into(), ToString::to_string);
    format!(
        "{} {} {}/{}",
        error.rule.name(),
        error.surface.as_deref().unwrap_or("-"),
        detail(&error.claimed),
        detail(&error.allowed)
    )
}

/// One text: its errors, and scores as `metric value`, absent ones as `metric -`.
#[track_caller]
fn check(scene: &Scene, text: &str, errors: &[&str], scores: &[(&str, f64)]) {
    let found = of(text, scene);
    let lines: Vec<String> = found.errors.iter().map(shown).collect();
    assert_eq!(lines, errors, "{text}");
    assert_eq!(found.is_ok(), errors.is_empty(), "{text}");
    let by_id: BTreeMap<&str, Score> = found.scores().into_iter().collect();
    for &(id, expected) in scores {
        let value = by_id[id].value().unwrap_or(f64::NAN);
        let is_equal = (value - expected).abs() < 1e-12 || value.is_nan() && expected.is_nan();
        assert!(is_equal, "{id} is {value}, expected {expected}: {text}");
    }
    let fact_ok = f64::from(u8::from(errors.is_empty()));
    assert_eq!(by_id["fact_ok"], Score::Value(fact_ok), "{text}");
    // Every span holds the surface, in the text as given.
    for error in &found.errors {
        if let (Some((from, to)), Some(surface)) = (error.span, &error.surface) {
            assert_eq!(&text[from..to], surface, "{text}");
        }
    }
}

const ABSENT: f64 = f64::NAN;
