//! A seeded synthetic world: objects cross a camera's view, a noisy detector watches.
//!
//! In: a seed and a number. Out: an [`Analytic`]. Scene `i` does not depend on how many are made,
//! and every random number comes from a `ChaCha8` stream of its own.

use super::analytic::{Analytic, Event};
use super::dice::Dice;
use crate::units::Sha256;

/// Labels of this world and how often a kind of object is drawn, in parts of their sum.
pub const LABELS: [(&str, u32); 16] = [
    ("person", 20),
    ("car", 12),
    ("truck", 7),
    ("motorcycle", 6),
    ("bus", 6),
    ("bicycle", 6),
    ("dog", 6),
    ("backpack", 5),
    ("handbag", 5),
    ("cat", 4),
    ("suitcase", 4),
    ("umbrella", 4),
    ("bird", 4),
    ("horse", 3),
    ("chair", 4),
    ("bottle", 4),
];

/// Objects of one kind that are in view together.
struct Group {
    label: &'static str,
    enter_s: u32,
    leave_s: u32,
    n_objects: u32,
}

/// Draws one scene's world and what the detector reports of it.
///
/// * `seed`, `purpose`, `index`: which scene; equal arguments give equal bytes on any machine
pub fn analytic(seed: u64, purpose: &str, index: u64) -> Analytic {
    let mut dice = Dice::new(seed, purpose, index);
    let duration_s = dice.between(20, 180);
    let step_s = if duration_s <= 60 { 2 } else { 5 };
    // 8 % of scenes stay empty; the others hold one to four kinds of object.
    let n_kinds = dice.weighted(&[8, 24, 30, 24, 14]);
    let mut groups: Vec<Group> = Vec::new();
    while groups.len() < n_kinds {
        let weights = LABELS.map(|(_, weight)| weight);
        let label = LABELS[dice.weighted(&weights)].0;
        if groups.iter().all(|group| group.label != label) {
            groups.push(group(&mut dice, label, duration_s, step_s));
        }
    }
    let mut events = Vec::new();
    for at_s in (0..=duration_s).step_by(step_s as usize) {
        for group in groups
            .iter()
            .filter(|group| (group.enter_s..=group.leave_s).contains(&at_s))
        {
            for slot in 0..group.n_objects {
                // One box in thirty is missed.
                if !dice.chance(33) {
                    events.push(detection(&mut dice, at_s, group.label, slot, 5200, 9900));
                }
            }
        }
        // Ghosts the detector does not believe in, and rare flashes that it does.
        if dice.chance(20) {
            let label = dice.pick(&LABELS).0;
            events.push(detection(&mut dice, at_s, label, 9, 2600, 4700));
        }
        let absent: Vec<&str> = LABELS
            .iter()
            .map(|(label, _)| *label)
            .filter(|label| groups.iter().all(|group| group.label != *label))
            .collect();
        if n_kinds > 0 && dice.chance(6) {
            let label = *dice.pick(&absent);
            events.push(detection(&mut dice, at_s, label, 9, 5100, 6500));
        }
    }
    let video = Sha256::of(format!("{seed}|{purpose}|{index}").as_bytes());
    Analytic {
        source_video_path: format!("/videos/{purpose}-{index:05}.mp4"),
        source_video_hash_sha256: video.to_string(),
        processing_timestamp_utc: "2026-11-01T12:00:00Z".to_owned(),
        duration_seconds: f64::from(duration_s),
        frames_analyzed: Some(u64::from(duration_s / step_s + 1)),
        events,
    }
}

fn group(dice: &mut Dice, label: &'static str, duration_s: u32, step_s: u32) -> Group {
    let n_frames = duration_s / step_s;
    let first = dice.below(n_frames - 3);
    let longest = (n_frames - first).min(12);
    let stay = dice.between(3, longest.max(3));
    Group {
        label,
        enter_s: first * step_s,
        leave_s: ((first + stay) * step_s).min(duration_s),
        n_objects: 1 + u32::try_from(dice.weighted(&[46, 20, 12, 9, 7, 6])).unwrap_or(0),
    }
}

/// A detection with a confidence drawn from `low..=high` ten-thousandths.
fn detection(dice: &mut Dice, at_s: u32, label: &str, slot: u32, low: u32, high: u32) -> Event {
    let confidence = f64::from(dice.between(low, high)) / 10_000.0;
    let (x, y) = (slot * 120 + dice.below(60), 300 + dice.below(120));
    let (w, h) = (40 + dice.below(80), 60 + dice.below(90));
    Event {
        frame_timestamp_seconds: f64::from(at_s),
        event_type: "object_detection".to_owned(),
        label: Some(label.to_owned()),
        confidence,
        bounding_box: Some([x, y, w, h].map(f64::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::lexicon::BUILT_IN;
    use super::*;

    #[test]
    fn equal_arguments_give_equal_scenes_and_others_differ() {
        assert_eq!(analytic(1, "t", 7), analytic(1, "t", 7));
        assert_ne!(analytic(1, "t", 7), analytic(1, "t", 8));
        assert_ne!(analytic(1, "t", 7), analytic(2, "t", 7));
    }

    #[test]
    fn the_world_has_empty_crowded_and_mixed_scenes() {
        let facts: Vec<Facts> = (0..300)
            .map(|i| Facts::of(&analytic(3, "t", i), &BUILT_IN))
            .collect();
        let empty = facts.iter().filter(|f| f.is_empty()).count();
        assert!((10..50).contains(&empty), "{empty} of 300 empty");
        let widest = facts.iter().map(|f| f.salient.len()).max();
        assert_eq!(widest, Some(4));
        let crowd = facts
            .iter()
            .flat_map(|f| f.labels.values())
            .map(|l| l.max_at_once)
            .max();
        assert_eq!(crowd, Some(6));
        let flashes = facts
            .iter()
            .filter(|f| f.labels.len() > f.salient.len())
            .count();
        assert!(
            flashes > 10,
            "{flashes} scenes with a flash the summary may leave out"
        );
    }

    #[test]
    fn values_keep_the_contract() {
        for i in 0..100 {
            assert_eq!(analytic(5, "t", i).check(), Ok(()));
        }
    }
}
