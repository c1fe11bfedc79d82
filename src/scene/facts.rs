//! What a scene's detections support: labels, counts, spans.

use std::collections::{BTreeMap, BTreeSet};

use super::analytic::Analytic;
use super::lexicon::Lexicon;

/// Confidence from which a detection shows that something is there.
pub const PRESENT: f64 = 0.5;
/// Confidence from which a detection supports a mention of it.
pub const SUPPORTED: f64 = 0.25;
/// Frames in which a label must be seen to have to be mentioned.
const SALIENT_FRAMES: usize = 2;

/// What was seen of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelFacts {
    /// First and last second with a detection of at least [`PRESENT`].
    pub span_s: (f64, f64),
    /// Frames with at least one such detection.
    pub n_frames: usize,
    /// Largest number of such detections in one frame.
    pub max_at_once: u32,
}

/// What a scene supports.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Labels detected with at least [`PRESENT`], by COCO key.
    pub labels: BTreeMap<String, LabelFacts>,
    /// Labels that must be mentioned: seen in two frames, or in all if there are fewer.
    pub salient: BTreeSet<String>,
    /// Labels that may be mentioned: any detection of at least [`SUPPORTED`].
    pub supported: BTreeSet<String>,
    /// Events whose label the lexicon does not know.
    pub n_unknown_labels: usize,
}

impl Facts {
    /// Reads the facts off the detections; the order of events does not matter.
    pub fn of(analytic: &Analytic, lexicon: &Lexicon) -> Self {
        let mut facts = Self::default();
        // Milliseconds make frame times comparable without rounding surprises.
        let mut boxes: BTreeMap<(String, i64), u32> = BTreeMap::new();
        let mut frames: BTreeSet<i64> = BTreeSet::new();
        for event in &analytic.events {
            let label = match event.event_type.as_str() {
                "face_detection" => Some("face"),
                "object_detection" => event.label.as_deref().and_then(|l| lexicon.key_of(l)),
                _ => continue,
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "videos last hours, not aeons"
            )]
            let at_ms = (event.frame_timestamp_seconds * 1000.0).round() as i64;
            if event.confidence >= PRESENT {
                frames.insert(at_ms);
            }
            let Some(label) = label else {
                facts.n_unknown_labels += 1;
                continue;
            };
            if event.confidence >= SUPPORTED {
                facts.supported.insert(label.to_owned());
            }
            if event.confidence >= PRESENT {
                *boxes.entry((label.to_owned(), at_ms)).or_default() += 1;
            }
        }
        for ((label, at_ms), n) in boxes {
            let at_s = at_ms as f64 / 1000.0;
            let seen = facts.labels.entry(label).or_insert(LabelFacts {
                span_s: (at_s, at_s),
                n_frames: 0,
                max_at_once: 0,
            });
            seen.span_s.1 = at_s;
            seen.n_frames += 1;
            seen.max_at_once = seen.max_at_once.max(n);
        }
        let needed = SALIENT_FRAMES.min(frames.len());
        let seen_enough = facts
            .labels
            .iter()
            .filter(|(_, seen)| seen.n_frames >= needed);
        // A face is a person who stood close: the summary is asked for the person.
        facts.salient = seen_enough
            .map(|(label, _)| {
                if label == "face" {
                    "person".to_owned()
                } else {
                    label.clone()
                }
            })
            .collect();
        if facts.supported.contains("face") {
            facts.supported.insert("person".to_owned());
        }
        if facts.supported.contains("person") {
            facts.supported.insert("face".to_owned());
        }
        facts
    }

    /// The facts of a scene.
    pub fn of_scene(scene: &super::Scene, lexicon: &Lexicon) -> Self {
        Self::of(&scene.analytic, lexicon)
    }

    /// Whether no frame holds a detection of at least [`PRESENT`].
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::analytic::Event;
    use super::super::lexicon::BUILT_IN;
    use super::*;

    fn facts(events: &[(f64, &str, f64)]) -> Facts {
        let event = |&(at, label, confidence): &(f64, &str, f64)| Event {
            frame_timestamp_seconds: at,
            event_type: if label == "face" {
                "face_detection"
            } else {
                "object_detection"
            }
            .into(),
            label: (label != "face").then(|| label.to_owned()),
            confidence,
            bounding_box: None,
        };
        let analytic = Analytic {
            source_video_path: "v.mp4".into(),
            source_video_hash_sha256: "0".repeat(64),
            processing_timestamp_utc: "2026-11-01T00:00:00Z".into(),
            duration_seconds: 60.0,
            frames_analyzed: 60,
            events: events.iter().map(event).collect(),
        };
        Facts::of(&analytic, &BUILT_IN)
    }

    #[test]
    fn salient_needs_two_frames_and_supported_any_hint() {
        let found = facts(&[
            (1.0, "car", 0.9),
            (2.0, "carro", 0.9),
            (2.0, "dog", 0.6),
            (3.0, "cat", 0.3),
        ]);
        assert_eq!(found.salient.iter().collect::<Vec<_>>(), ["car"]);
        assert_eq!(
            found.supported.iter().collect::<Vec<_>>(),
            ["car", "cat", "dog"]
        );
        assert_eq!(found.labels["car"].span_s, (1.0, 2.0));
    }

    #[test]
    fn order_of_events_does_not_matter() {
        let events = [
            (4.0, "car", 0.9),
            (2.0, "car", 0.8),
            (2.0, "car", 0.7),
            (9.0, "bus", 0.9),
        ];
        let mut reversed = events;
        reversed.reverse();
        assert_eq!(facts(&events), facts(&reversed));
        assert_eq!(facts(&events).labels["car"].max_at_once, 2);
    }

    #[test]
    fn a_face_asks_for_the_person() {
        let found = facts(&[(1.0, "face", 0.9), (2.0, "face", 0.9)]);
        assert_eq!(found.salient.iter().collect::<Vec<_>>(), ["person"]);
        assert!(found.supported.contains("person"));
    }

    #[test]
    fn ghosts_alone_leave_the_scene_empty() {
        let found = facts(&[(1.0, "cat", 0.31)]);
        assert!(found.is_empty() && found.salient.is_empty());
    }

    #[test]
    fn unknown_labels_are_counted_and_ignored() {
        let found = facts(&[(1.0, "dragon", 0.9), (2.0, "dragon", 0.9)]);
        assert_eq!((found.n_unknown_labels, found.labels.len()), (2, 0));
    }
}
