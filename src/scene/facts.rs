//! What a scene supports: labels, spans, possible numbers of objects.
//!
//! In: the detections, and what a person or the simulated world knows besides. Out: [`Facts`],
//! which do not depend on the order of the events, on events written twice, or on the language of
//! their labels.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::analytic::{Analytic, Event, FACE, OBJECT};
use super::lexicon::Lexicon;
use super::set::Scene;

/// Confidence from which a detection shows that something is there.
pub const PRESENT: f64 = 0.5;
/// Confidence from which a detection supports a mention of it.
pub const SUPPORTED: f64 = 0.25;
/// Frames in which a label must be seen to have to be mentioned.
const SALIENT_FRAMES: usize = 2;
/// Labels that vouch for each other: a face is a person who stood close.
const TWINS: [(&str, &str); 2] = [("face", "person"), ("person", "face")];

/// Confidences from which detections count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// From here a detection shows that something is there.
    pub present: f64,
    /// From here a detection supports a mention.
    pub supported: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            present: PRESENT,
            supported: SUPPORTED,
        }
    }
}

/// How times in a text are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum TimeBase {
    /// `01:20` is a minute and twenty seconds from the start of the video.
    #[default]
    Offset,
    /// `01:20` is twenty past one.
    WallClock {
        /// Start of the recording, in seconds of the day.
        start_s: u32,
    },
}

impl TimeBase {
    /// Whether times count from the start of the video, which is the default.
    pub fn is_offset(&self) -> bool {
        *self == Self::Offset
    }
}

/// What a person or the simulated world knows beyond the detections; wins over them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownFacts {
    /// By label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, KnownLabel>,
    /// Replaces the labels that must be mentioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<Vec<String>>,
    /// Added to the labels that may be mentioned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Replaces the possible numbers of objects, `[smallest, largest]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, [u32; 2]>,
    /// Labels by appearance; informative.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
}

impl KnownFacts {
    /// Whether nothing is known beyond the detections.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of one label. All but `tracks` is informative.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownLabel {
    /// Distinct objects over the whole video; `None` leaves their number open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracks: Option<u32>,
    /// First second in view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<f64>,
    /// Last second in view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<f64>,
    /// Most objects in view at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_simultaneous: Option<u32>,
    /// Frames with at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
}

/// What was seen of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelFacts {
    /// First and last second with a detection that shows it.
    pub span_s: (f64, f64),
    /// Frames with at least one such detection.
    pub n_frames: usize,
    /// Largest number of such detections in one frame.
    pub max_at_once: u32,
}

/// Numbers of objects that are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountRange {
    /// Smallest.
    pub lo: u32,
    /// Largest, at least `lo`; `None` when there is no upper end.
    pub hi: Option<u32>,
}

impl CountRange {
    /// Exactly `n`.
    pub fn exactly(n: u32) -> Self {
        Self { lo: n, hi: Some(n) }
    }

    /// `n` or more.
    pub fn at_least(n: u32) -> Self {
        Self { lo: n, hi: None }
    }

    /// Whether some number lies in both.
    pub fn meets(self, other: Self) -> bool {
        self.hi.is_none_or(|hi| hi >= other.lo) && other.hi.is_none_or(|hi| hi >= self.lo)
    }

    /// The numbers that sums of one of each can have.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: u32, b: u32| a.saturating_add(b);
        Self {
            lo: sum(self.lo, other.lo),
            hi: self.hi.zip(other.hi).map(|(a, b)| sum(a, b)),
        }
    }
}

impl std::fmt::Display for CountRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.hi {
            Some(hi) if hi == self.lo => write!(f, "{hi}"),
            Some(hi) => write!(f, "{} to {hi}", self.lo),
            None => write!(f, "{} or more", self.lo),
        }
    }
}

/// What a scene supports. Labels are COCO keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Length of the video in seconds.
    pub duration_s: f64,
    /// How times in a text are to be read.
    pub time_base: TimeBase,
    /// Seconds of the frames that show anything, an unknown label included; sorted, distinct.
    pub frames_s: Vec<f64>,
    /// Labels that some detection shows.
    pub labels: BTreeMap<String, LabelFacts>,
    /// Labels that must be mentioned: shown in two frames, or in all if there are fewer.
    pub salient: BTreeSet<String>,
    /// Labels that may be mentioned, the salient ones included.
    pub supported: BTreeSet<String>,
    /// Possible numbers of objects, of every supported label.
    pub counts: BTreeMap<String, CountRange>,
    /// Events whose label the lexicon does not know.
    pub n_unknown_labels: usize,
    /// Labels the lexicon does not know, as written.
    pub unknown_labels: BTreeSet<String>,
}

impl Facts {
    /// The facts of detections alone, with times counted from the start.
    pub fn of(analytic: &Analytic, lexicon: &Lexicon) -> Self {
        let (known, thresholds) = (KnownFacts::default(), Thresholds::default());
        Self::build(analytic, &known, lexicon, thresholds)
    }

    /// The facts of a scene, with what is known beyond its detections.
    pub fn of_scene(scene: &Scene, lexicon: &Lexicon) -> Self {
        Self::at(scene, lexicon, Thresholds::default())
    }

    /// The facts of a scene if detections counted from other confidences.
    pub fn at(scene: &Scene, lexicon: &Lexicon, thresholds: Thresholds) -> Self {
        let facts = Self::build(&scene.analytic, &scene.facts, lexicon, thresholds);
        Self {
            time_base: scene.time_base,
            ..facts
        }
    }

    fn build(
        analytic: &Analytic,
        known: &KnownFacts,
        lexicon: &Lexicon,
        thresholds: Thresholds,
    ) -> Self {
        let mut facts = Self {
            duration_s: analytic.duration_seconds,
            ..Self::default()
        };
        facts.see(analytic, lexicon, thresholds);
        let key = |label: &String| lexicon.key_of(label).map(str::to_owned);
        facts.salient = match &known.required {
            Some(required) => required.iter().filter_map(key).collect(),
            None => facts.seen_enough(),
        };
        facts.supported.extend(known.allowed.iter().filter_map(key));
        facts.supported.extend(facts.salient.iter().cloned());
        for (label, twin) in TWINS {
            if facts.supported.contains(label) {
                facts.supported.insert(twin.to_owned());
            }
        }
        facts.counts = facts.possible_counts(known, lexicon);
        facts
    }

    /// Goes through the detections once.
    fn see(&mut self, analytic: &Analytic, lexicon: &Lexicon, thresholds: Thresholds) {
        // Milliseconds make frame times comparable without rounding surprises.
        let mut boxes: BTreeMap<(&str, i64), u32> = BTreeMap::new();
        let mut frames: BTreeSet<i64> = BTreeSet::new();
        let mut met = HashSet::new();
        for event in &analytic.events {
            let label = match event.event_type.as_str() {
                FACE => Some("face"),
                OBJECT => event.label.as_deref().and_then(|l| lexicon.key_of(l)),
                _ => continue,
            };
            let at_ms = milliseconds(event.frame_timestamp_seconds);
            let is_present = event.confidence >= thresholds.present;
            if is_present {
                frames.insert(at_ms);
            }
            let Some(label) = label else {
                self.n_unknown_labels += 1;
                self.unknown_labels
                    .insert(event.label.clone().unwrap_or_default());
                continue;
            };
            if event.confidence >= thresholds.supported {
                self.supported.insert(label.to_owned());
            }
            // A box written twice is one box; without boxes two events are two objects.
            let is_new = identity(event, label, at_ms).is_none_or(|box_| met.insert(box_));
            if is_present && is_new {
                *boxes.entry((label, at_ms)).or_default() += 1;
            }
        }
        self.frames_s = frames.into_iter().map(seconds).collect();
        for ((label, at_ms), n) in boxes {
            let at_s = seconds(at_ms);
            let seen = self.labels.entry(label.to_owned()).or_insert(LabelFacts {
                span_s: (at_s, at_s),
                n_frames: 0,
                max_at_once: 0,
            });
            seen.span_s.1 = at_s;
            seen.n_frames += 1;
            seen.max_at_once = seen.max_at_once.max(n);
        }
    }

    /// Labels shown in enough frames that a summary has to name them.
    fn seen_enough(&self) -> BTreeSet<String> {
        let needed = SALIENT_FRAMES.min(self.frames_s.len());
        let seen = self
            .labels
            .iter()
            .filter(|(_, seen)| seen.n_frames >= needed);
        // The summary is asked for the person, not for the face.
        seen.map(|(label, _)| match label.as_str() {
            "face" => "person".to_owned(),
            _ => label.clone(),
        })
        .collect()
    }

    fn possible_counts(
        &self,
        known: &KnownFacts,
        lexicon: &Lexicon,
    ) -> BTreeMap<String, CountRange> {
        let mut counts = BTreeMap::new();
        for label in &self.supported {
            // Two faces at once are two people; people turn their backs, so not the reverse.
            let seen = match label.as_str() {
                "face" => self.labels.get(label),
                _ => self.seen(label),
            };
            let lo = seen.map_or(0, |seen| seen.max_at_once);
            counts.insert(label.clone(), CountRange::at_least(lo));
        }
        for (label, of_label) in &known.labels {
            let range = lexicon.key_of(label).and_then(|key| counts.get_mut(key));
            if let (Some(range), Some(tracks)) = (range, of_label.tracks) {
                range.hi = Some(tracks.max(range.lo));
            }
        }
        for (label, &[lo, hi]) in &known.counts {
            if let Some(range) = lexicon.key_of(label).and_then(|key| counts.get_mut(key)) {
                *range = CountRange {
                    lo,
                    hi: Some(hi.max(lo)),
                };
            }
        }
        counts
    }

    /// What was seen of a label; of a person never seen, what was seen of faces, and the reverse.
    pub fn seen(&self, label: &str) -> Option<&LabelFacts> {
        let twin = || TWINS.iter().find(|(one, _)| *one == label);
        let of_twin = || twin().and_then(|(_, other)| self.labels.get(*other));
        self.labels.get(label).or_else(of_twin)
    }

    /// Whether no frame shows anything.
    pub fn is_empty(&self) -> bool {
        self.frames_s.is_empty()
    }
}

/// What makes two events one; `None` without a box.
fn identity<'a>(event: &Event, label: &'a str, at_ms: i64) -> Option<(&'a str, i64, [u64; 5])> {
    let [x, y, w, h] = event.bounding_box?.map(f64::to_bits);
    Some((label, at_ms, [x, y, w, h, event.confidence.to_bits()]))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "videos last hours, not aeons; the cast saturates"
)]
fn milliseconds(at_s: f64) -> i64 {
    (at_s * 1000.0).round() as i64
}

fn seconds(at_ms: i64) -> f64 {
    at_ms as f64 / 1000.0
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
