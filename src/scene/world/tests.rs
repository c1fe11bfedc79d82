use std::collections::BTreeMap;

use super::super::Scene;
use super::super::facts::Facts;
use super::*;

fn plain(seed: u64, n: u64) -> Vec<Staged> {
    (0..n)
        .filter_map(|i| stage(seed, "t", i, Profile::PLAIN))
        .collect()
}

fn scheduled(seed: u64, n: u64) -> Vec<Option<Staged>> {
    (0..n)
        .map(|i| stage(seed, "t", i, Profile::scheduled(seed, "t", i)))
        .collect()
}

#[test]
fn equal_arguments_give_equal_scenes_and_others_differ() {
    let at = |seed, i| stage(seed, "t", i, Profile::scheduled(seed, "t", i));
    assert_eq!(at(1, 7), at(1, 7));
    assert_ne!(at(1, 7), at(1, 8));
    assert_ne!(at(1, 7), at(2, 7));
}

#[test]
fn a_scene_is_the_same_on_every_machine() {
    // Bytes of scene 12 as first made, x86-64; aarch64 must give the same.
    let staged = stage(20_261_201, "golden", 12, Profile::PLAIN).expect("a sound scene");
    let json = serde_json::to_string(&staged.analytic).expect("plain data");
    assert_eq!(Sha256::of(json.as_bytes()).short(), "689b99041cdb");
}

#[test]
fn values_keep_the_contract() {
    for staged in scheduled(5, 120).iter().flatten() {
        assert_eq!(staged.analytic.check(), Ok(()));
        let events = &staged.analytic.events;
        let last = staged.analytic.duration_seconds;
        assert!(
            events
                .iter()
                .all(|event| event.frame_timestamp_seconds <= last)
        );
        let n = staged.analytic.frames_analyzed.expect("counted");
        assert!(n >= 1);
    }
}

/// Value at quantile `u` of sorted `values`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index within the list"
)]
fn quantile(values: &[f64], u: f64) -> f64 {
    values[(u * (values.len() - 1) as f64).round() as usize]
}

#[track_caller]
fn near(found: f64, expected: f64, what: &str) {
    assert!(
        (found / expected - 1.0).abs() <= 0.1,
        "{what}: {found}, expected {expected} ± 10 %"
    );
}

/// 5,000 worlds, staged without the drops: the priors are those of the captions.
#[test]
fn lengths_labels_and_tracks_follow_the_captions() {
    let worlds: Vec<track::World> = (0..5000)
        .map(|i| track::world(&mut stream(11, "prior", i, "world"), Profile::PLAIN))
        .collect();
    let sorted = |of: &dyn Fn(&track::World) -> f64| {
        let mut values: Vec<f64> = worlds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let lengths = sorted(&|world| world.duration_ms as f64 / 1000.0);
    let tracks = sorted(&|world| world.drawn.len() as f64);
    for (u, seconds, n) in [(0.1, 22.0, 2.0), (0.5, 71.0, 6.0), (0.9, 330.0, 18.0)] {
        near(quantile(&lengths, u), seconds, "length");
        near(quantile(&tracks, u), n, "tracks");
    }
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    let drawn = worlds.iter().flat_map(|world| &world.drawn);
    for label in drawn {
        *counts.entry(label).or_default() += 1.0;
    }
    let total: f64 = counts.values().sum();
    let weights: f64 = prior::KINDS.iter().map(|kind| f64::from(kind.weight)).sum();
    // Labels come in runs within a scene: rare ones scatter more than a tenth over 5,000 scenes.
    let mut rest = [0.0, 0.0];
    for kind in &prior::KINDS {
        let [found, expected] = [counts[kind.label] / total, f64::from(kind.weight) / weights];
        if kind.share >= 500 {
            near(found, expected, kind.label);
        } else {
            rest = [rest[0] + found, rest[1] + expected];
        }
        if kind.share >= 150 {
            assert!(
                (found / expected - 1.0).abs() < 0.3,
                "{}: {found} of {expected}",
                kind.label
            );
        }
    }
    near(rest[0], rest[1], "all other labels");
}

#[test]
fn few_scenes_contradict_their_world() {
    let staged = scheduled(3, 600);
    let dropped = staged.iter().filter(|scene| scene.is_none()).count();
    assert!(
        dropped * 20 <= staged.len(),
        "{dropped} of {} dropped",
        staged.len()
    );
    assert!(dropped > 0, "the check never fires");
}

#[test]
fn what_is_known_agrees_with_the_detections() {
    for staged in scheduled(4, 200).into_iter().flatten() {
        let scene = Scene {
            analytic: staged.analytic,
            time_base: staged.time_base,
            facts: staged.facts,
            ..Scene::default()
        };
        let facts = Facts::of_scene(&scene, &BUILT_IN);
        for (label, known) in &scene.facts.labels {
            if let (Some(tracks), Some(seen)) = (known.tracks, facts.labels.get(label)) {
                assert!(seen.max_at_once <= tracks, "{label}");
            }
        }
        for [lo, hi] in scene.facts.counts.values() {
            assert!(lo <= hi);
        }
        for label in scene.facts.required.iter().flatten() {
            assert!(
                facts.supported.contains(label),
                "{label} is required and not supported"
            );
        }
    }
}

#[test]
fn unknown_labels_are_unknown_in_both_languages() {
    for (english, portuguese) in UNKNOWN {
        assert_eq!(BUILT_IN.key_of(english), None, "{english}");
        assert_eq!(BUILT_IN.key_of(portuguese), None, "{portuguese}");
    }
}

#[test]
fn the_first_scenes_do_not_depend_on_how_many_are_made() {
    let [few, many] = [plain(9, 5), plain(9, 30)];
    assert_eq!(few[..], many[..few.len()]);
}
