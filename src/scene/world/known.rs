//! What is known about a scene because its world is known.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::{KnownFacts, KnownLabel, PRESENT};
use super::super::lexicon::BUILT_IN;
use super::detector::Watched;
use super::track::World;

/// Frames in which a label must be reported to have to be mentioned.
const SALIENT_FRAMES: usize = 2;

/// What was reported under one label.
#[derive(Default)]
struct Reported {
    /// World tracks of this very label with a report under it.
    tracks: BTreeSet<usize>,
    /// Reports of at least [`PRESENT`] by frame.
    boxes: BTreeMap<i64, u32>,
}

/// Facts of the world for the reader of its detections; `None` when the two contradict.
pub(super) fn facts(world: &World, watched: &Watched) -> Option<KnownFacts> {
    let mut reported: BTreeMap<&str, Reported> = BTreeMap::new();
    let mut frames: BTreeSet<i64> = BTreeSet::new();
    for report in &watched.reports {
        let event = &report.event;
        #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds")]
        let at_ms = (event.frame_timestamp_seconds * 1000.0).round() as i64;
        if event.confidence >= PRESENT {
            frames.insert(at_ms);
        }
        let label = event.label.as_deref().unwrap_or("face");
        if BUILT_IN.label(label).is_none() {
            continue;
        }
        let of_label = reported.entry(label).or_default();
        if let Some(i) = report.track.filter(|&i| world.tracks[i].label == label) {
            of_label.tracks.insert(i);
        }
        if event.confidence >= PRESENT {
            *of_label.boxes.entry(at_ms).or_default() += 1;
        }
    }
    let needed = SALIENT_FRAMES.min(frames.len());
    let mut facts = KnownFacts::default();
    let (mut required, mut is_default) = (BTreeSet::new(), true);
    let mut order: Vec<(i64, &str)> = Vec::new();
    for (&label, of_label) in &reported {
        let is_salient = !of_label.boxes.is_empty() && of_label.boxes.len() >= needed;
        if label == "face" {
            if is_salient {
                required.insert("person".to_owned());
            }
            continue;
        }
        let is_real = world.tracks.iter().any(|track| track.label == label);
        if !is_real {
            // Only the detector's mistakes show it; a reader cannot know better.
            is_default &= !is_salient;
            if of_label.boxes.len() >= SALIENT_FRAMES {
                facts.allowed.push(label.to_owned());
            }
            continue;
        }
        let n_tracks = u32::try_from(of_label.tracks.len()).expect("worlds are small");
        let reported_at_once = of_label.boxes.values().copied().max().unwrap_or(0);
        if reported_at_once > n_tracks {
            return None;
        }
        facts.allowed.push(label.to_owned());
        if let Some((&first, _)) = of_label.boxes.first_key_value() {
            order.push((first, label));
        }
        let true_at_once = in_view_at_once(world, watched, label);
        if true_at_once < reported_at_once {
            facts
                .counts
                .insert(label.to_owned(), [true_at_once, n_tracks]);
        }
        if n_tracks > 0 {
            let known = KnownLabel {
                tracks: Some(n_tracks),
                max_simultaneous: Some(true_at_once),
                ..KnownLabel::default()
            };
            facts.labels.insert(label.to_owned(), known);
        }
        if is_salient {
            required.insert(label.to_owned());
        }
    }
    if !is_default {
        facts.required = Some(required.into_iter().collect());
    }
    order.sort_unstable();
    facts.order = order
        .into_iter()
        .map(|(_, label)| label.to_owned())
        .collect();
    Some(facts)
}

/// Most objects of `label` in view in one frame, hidden ones included.
fn in_view_at_once(world: &World, watched: &Watched, label: &str) -> u32 {
    let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
    for (track, frames) in world.tracks.iter().zip(&watched.in_view) {
        if track.label == label {
            for &at_ms in frames {
                *counts.entry(at_ms).or_default() += 1;
            }
        }
    }
    counts.into_values().max().unwrap_or(0)
}
