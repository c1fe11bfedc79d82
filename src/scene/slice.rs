//! Named subsets of scenes, each with a rule that the data must meet.

use std::collections::BTreeSet;

use super::Scene;
use super::facts::{Facts, PRESENT, SUPPORTED, TimeBase};
use super::lexicon::Lexicon;
use super::telling::told;
use super::text::fold;
use super::world::prior;

/// Every slice with a meaning, and the rule in words.
pub const SLICES: &[(&str, &str)] = &[
    ("counts", "a reference states a number of at least two"),
    ("crowd", "at least six boxes of one label in a frame"),
    ("empty", "no detection with confidence of at least 0.5"),
    ("face", "face detections with confidence of at least 0.5"),
    ("labels-pt", "Portuguese labels in the analytic file"),
    ("long", "at least 300 s or 100 events"),
    (
        "mixed",
        "something to tell, neither people alone nor vehicles alone",
    ),
    ("night", "filmed at night; the detections do not show it"),
    (
        "noise",
        "confused labels, one-frame labels, or a tenth of the events below 0.5",
    ),
    (
        "order",
        "a reference tells at least three things in a sequence",
    ),
    ("people-only", "only people to tell"),
    (
        "rare-label",
        "a thing to tell that fewer than one caption in a hundred names",
    ),
    (
        "sparse",
        "one to eight events with confidence of at least 0.5",
    ),
    ("unknown-label", "a label that the lexicon does not know"),
    ("unsorted", "events not in the order of time"),
    ("vehicles-only", "only vehicles to tell"),
    ("wallclock", "times of day"),
];

/// Labels that are vehicles.
const VEHICLES: [&str; 8] = [
    "car",
    "truck",
    "bus",
    "motorcycle",
    "bicycle",
    "train",
    "airplane",
    "boat",
];
/// Number words from two on, folded.
const NUMBERS: [&str; 12] = [
    "dois", "duas", "tres", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez", "onze",
    "doze",
];
/// Words that put what follows into a sequence, folded.
const SEQUENCE: [&str; 10] = [
    "primeiro",
    "inicialmente",
    "depois",
    "em seguida",
    "posteriormente",
    "mais tarde",
    "por fim",
    "por ultimo",
    "finalmente",
    "logo apos",
];

/// Slices that the scene's data put it in; `night`, which no datum shows, is left out.
///
/// * `facts`: of the scene, with what is known of it
pub fn slices(scene: &Scene, facts: &Facts, lexicon: &Lexicon) -> BTreeSet<&'static str> {
    SLICES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| holds(name, scene, facts, lexicon) == Some(true))
        .collect()
}

/// Whether the scene meets the rule of the slice `name`; `None` when no rule can tell.
pub fn holds(name: &str, scene: &Scene, facts: &Facts, lexicon: &Lexicon) -> Option<bool> {
    let events = &scene.analytic.events;
    let required = &facts.salient;
    let met = match name {
        "empty" => facts.is_empty(),
        "people-only" => !required.is_empty() && required.iter().all(|label| label == "person"),
        "vehicles-only" => {
            !required.is_empty() && required.iter().all(|label| VEHICLES.contains(&&**label))
        }
        "mixed" => {
            !required.is_empty()
                && !required.iter().all(|label| label == "person")
                && !required.iter().all(|label| VEHICLES.contains(&&**label))
        }
        "crowd" => facts.labels.values().any(|seen| seen.max_at_once >= 6),
        "long" => scene.analytic.duration_seconds >= 300.0 || events.len() >= 100,
        "sparse" => {
            let n = events
                .iter()
                .filter(|event| event.confidence >= PRESENT)
                .count();
            (1..=8).contains(&n)
        }
        "noise" => is_noisy(scene, facts),
        "counts" => scene.references.iter().any(|text| states_number(text)),
        "order" => told(facts).len() >= 3 && scene.references.iter().any(|text| is_sequence(text)),
        "face" => facts.labels.contains_key("face"),
        "labels-pt" => events.iter().any(|event| {
            event.label.as_deref().is_some_and(|label| {
                let key = lexicon.key_of(label);
                key.is_some_and(|key| fold(key) != fold(label))
            })
        }),
        "unknown-label" => facts.n_unknown_labels > 0,
        "unsorted" => {
            !events.is_sorted_by(|a, b| a.frame_timestamp_seconds <= b.frame_timestamp_seconds)
        }
        "wallclock" => matches!(scene.time_base, TimeBase::WallClock { .. }),
        "rare-label" => required.iter().any(|label| prior::is_rare(label)),
        _ => return None,
    };
    Some(met)
}

/// One-frame labels, labels known to be the detector's mistakes, or many weak events.
fn is_noisy(scene: &Scene, facts: &Facts) -> bool {
    let flashes = facts.frames_s.len() > 1 && facts.labels.values().any(|seen| seen.n_frames == 1);
    let is_mistake =
        |label: &String| !scene.facts.labels.is_empty() && !scene.facts.labels.contains_key(label);
    let mistakes = scene.facts.allowed.iter().any(is_mistake);
    let events = &scene.analytic.events;
    let weak = events
        .iter()
        .filter(|event| event.confidence < PRESENT && event.event_type == "object_detection");
    let n_weak = weak.count();
    let ghosts = events.iter().any(|event| event.confidence < SUPPORTED);
    flashes || mistakes || (n_weak >= 3 && 10 * n_weak >= events.len() && ghosts)
}

/// Whether a number of at least two stands in the text that is neither a time nor a length of it.
fn states_number(text: &str) -> bool {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    pieces.iter().enumerate().any(|(i, piece)| {
        let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
        let word = fold(word);
        let digits: Option<u32> = word.parse().ok();
        let is_number = NUMBERS.contains(&word.as_str()) || digits.is_some_and(|n| n >= 2);
        let next = pieces.get(i + 1).map(|next| fold(next)).unwrap_or_default();
        let is_length = ["segundo", "minuto", "hora"]
            .iter()
            .any(|unit| next.starts_with(unit));
        is_number && !is_length
    })
}

fn is_sequence(text: &str) -> bool {
    let folded = fold(text);
    SEQUENCE.iter().any(|phrase| folded.contains(phrase))
}
