//! `*.analytic.json` as the video pipeline writes it.
//!
//! In: the bytes of a file. Out: an [`Analytic`], and what is odd but usable as warnings. Unknown
//! keys are allowed, because the pipeline may grow; wrong types, keys that stand twice and values
//! out of range are errors with line and JSON path.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::json::{self, ReadError};

/// An event the object detector wrote.
pub const OBJECT: &str = "object_detection";
/// An event the face detector wrote.
pub const FACE: &str = "face_detection";
/// Seconds by which a detection may lie past the end of the video without a warning.
const PAST_THE_END_S: f64 = 1.0;

/// Detections of one video.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Analytic {
    /// Path of the video on the recording host; informative. Empty when the file does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_video_path: String,
    /// SHA-256 of the video, 64 lower-case hex digits. Empty when the file does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_video_hash_sha256: String,
    /// When the detector ran, RFC 3339 UTC. Empty when the file does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub processing_timestamp_utc: String,
    /// Length of the video in seconds, > 0.
    pub duration_seconds: f64,
    /// Number of frames the detector looked at; `None` when the file does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames_analyzed: Option<u64>,
    /// Detections, in no particular order.
    pub events: Vec<Event>,
}

/// One detection in one frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Event {
    /// Seconds from the start of the video, >= 0.
    pub frame_timestamp_seconds: f64,
    /// [`OBJECT`] or [`FACE`]; others are ignored.
    pub event_type: String,
    /// English COCO name or a Portuguese word; may be absent for faces.
    #[serde(default)]
    pub label: Option<String>,
    /// Detector confidence in [0, 1].
    pub confidence: f64,
    /// `[x, y, w, h]` in pixels; no score uses it.
    #[serde(default)]
    pub bounding_box: Option<[f64; 4]>,
}

/// A value that the type allows and the contract does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is {found}, expected {expected}")]
pub struct OutOfRange {
    /// JSON path below the analytic object.
    pub path: String,
    /// What is allowed.
    pub expected: &'static str,
    /// What the file holds.
    pub found: String,
}

/// Something odd that does not stop the file from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// JSON path below the analytic object; of the first of several.
    pub path: String,
    /// What is odd.
    pub message: String,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The detections.
    pub analytic: Analytic,
    /// What is odd about them.
    pub warnings: Vec<Warning>,
    /// Paths of keys the contract does not know, without indices, e.g. `events[].track_id`.
    pub unknown_keys: Vec<String>,
    /// The file as it stands, unknown keys included.
    pub raw: serde_json::Value,
}

/// Reads an analytic file.
///
/// # Errors
/// [`ReadError`] with line and path: syntax, `NaN`, a key that stands twice, a wrong type, a
/// missing field that scores need, a value out of range.
pub fn read(bytes: &[u8]) -> Result<Reading, ReadError> {
    let raw: serde_json::Value = json::read(bytes)?;
    let analytic: Analytic = json::read(bytes)?;
    analytic.check().map_err(|error| {
        let (line, column) = json::position_of(bytes, &error.path);
        ReadError {
            line,
            column,
            message: format!("{}, expected {}", error.found, error.expected),
            path: error.path,
        }
    })?;
    Ok(Reading {
        warnings: analytic.warnings(),
        unknown_keys: unknown_keys(&raw),
        analytic,
        raw,
    })
}

impl Analytic {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first value outside its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let duration = self.duration_seconds;
        let is_positive = duration.is_finite() && duration > 0.0;
        require(
            is_positive,
            "duration_seconds",
            "a length above 0",
            &duration,
        )?;
        let hash = &self.source_video_hash_sha256;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_hash = hash.is_empty() || hash.len() == 64 && hash.bytes().all(is_hex);
        let (path, wanted) = ("source_video_hash_sha256", "64 lower-case hex digits");
        require(is_hash, path, wanted, &quoted(hash))?;
        let at = &self.processing_timestamp_utc;
        let is_time = at.is_empty() || is_utc(at);
        let (path, wanted) = (
            "processing_timestamp_utc",
            "a time like 2026-11-01T12:00:00Z",
        );
        require(is_time, path, wanted, &quoted(at))?;
        for (i, event) in self.events.iter().enumerate() {
            event.check().map_err(|error| OutOfRange {
                path: format!("events[{i}].{}", error.path),
                ..error
            })?;
        }
        Ok(())
    }

    /// Names of the fields the contract has and this file lacks; a released set may lack none.
    pub fn missing_fields(&self) -> Vec<&'static str> {
        let no_box = |event: &Event| event.bounding_box.is_none();
        [
            ("source_video_path", self.source_video_path.is_empty()),
            (
                "source_video_hash_sha256",
                self.source_video_hash_sha256.is_empty(),
            ),
            (
                "processing_timestamp_utc",
                self.processing_timestamp_utc.is_empty(),
            ),
            ("frames_analyzed", self.frames_analyzed.is_none()),
            ("events[].bounding_box", self.events.iter().any(no_box)),
        ]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect()
    }

    /// Detections of a type no score knows.
    pub fn n_unknown_event_types(&self) -> usize {
        self.events
            .iter()
            .filter(|event| !event.is_known_type())
            .count()
    }

    /// What is odd but usable: missing fields, detections past the end, unknown event types.
    pub fn warnings(&self) -> Vec<Warning> {
        let missing = self.missing_fields().into_iter().map(|path| Warning {
            path: path.to_owned(),
            message: "missing; no score needs it, a released set does".to_owned(),
        });
        let end_s = self.duration_seconds + PAST_THE_END_S;
        let late = self.of_events("frame_timestamp_seconds", |event| {
            (event.frame_timestamp_seconds > end_s)
                .then(|| format!("{} s", event.frame_timestamp_seconds))
        });
        let late = late.map(|(path, found, n)| Warning {
            path,
            message: format!(
                "{found} lies past the end at {} s; {n} such events",
                self.duration_seconds
            ),
        });
        let unknown = self.of_events("event_type", |event| {
            (!event.is_known_type()).then(|| quoted(&event.event_type))
        });
        let unknown = unknown.map(|(path, found, n)| Warning {
            path,
            message: format!("{found} is no known type; {n} such events are ignored"),
        });
        missing.chain(late).chain(unknown).collect()
    }

    /// Path and finding of the first event with one, and how many have one.
    fn of_events(
        &self,
        field: &str,
        finding: impl Fn(&Event) -> Option<String>,
    ) -> Option<(String, String, usize)> {
        let mut found = self
            .events
            .iter()
            .enumerate()
            .filter_map(|(i, event)| Some((format!("events[{i}].{field}"), finding(event)?)));
        let (path, text) = found.next()?;
        Some((path, text, 1 + found.count()))
    }
}

impl Event {
    /// Whether scores know this type of event.
    pub fn is_known_type(&self) -> bool {
        matches!(self.event_type.as_str(), OBJECT | FACE)
    }

    /// Checks one event; the path starts at the event.
    fn check(&self) -> Result<(), OutOfRange> {
        let time = self.frame_timestamp_seconds;
        let is_time = time.is_finite() && time >= 0.0;
        let path = "frame_timestamp_seconds";
        require(is_time, path, "a time of at least 0", &time)?;
        let is_share = (0.0..=1.0).contains(&self.confidence);
        require(
            is_share,
            "confidence",
            "a value in [0, 1]",
            &self.confidence,
        )?;
        let has_label = self
            .label
            .as_ref()
            .is_some_and(|label| !label.trim().is_empty());
        let needs_label = self.event_type == OBJECT;
        let found = self.label.as_ref().map_or("missing".into(), |l| quoted(l));
        let wanted = "the name of the detected object";
        require(has_label || !needs_label, "label", wanted, &found)?;
        if let Some(sides) = self.bounding_box {
            let is_finite = sides.iter().all(|side| side.is_finite());
            let is_box = is_finite && sides[2] >= 0.0 && sides[3] >= 0.0;
            let wanted = "[x, y, w, h] with w and h of at least 0";
            require(is_box, "bounding_box", wanted, &format!("{sides:?}"))?;
        }
        Ok(())
    }
}

fn require(
    holds: bool,
    path: &str,
    expected: &'static str,
    found: &dyn std::fmt::Display,
) -> Result<(), OutOfRange> {
    if holds {
        Ok(())
    } else {
        Err(OutOfRange {
            path: path.to_owned(),
            expected,
            found: found.to_string(),
        })
    }
}

/// The text for a message: escaped and cut.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("{start:?}")
}

/// Whether `text` is `YYYY-MM-DDTHH:MM:SS[.fff](Z|+00:00)`.
fn is_utc(text: &str) -> bool {
    let Some(local) = text.strip_suffix('Z').or(text.strip_suffix("+00:00")) else {
        return false;
    };
    let (seconds, fraction) = local.split_once('.').unwrap_or((local, "0"));
    let shape = "dddd-dd-ddTdd:dd:dd".bytes();
    let has_shape = seconds.len() == 19
        && shape.zip(seconds.bytes()).all(|(want, is)| match want {
            b'd' => is.is_ascii_digit(),
            mark => is == mark,
        });
    let part = |from: usize, to: usize| seconds[from..to].parse().unwrap_or(u32::MAX);
    has_shape
        && (1..=12).contains(&part(5, 7))
        && (1..=31).contains(&part(8, 10))
        && part(11, 13) < 24
        && part(14, 16) < 60
        && part(17, 19) <= 60
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Keys of a file that no field of the types above reads.
fn unknown_keys(raw: &serde_json::Value) -> Vec<String> {
    const TOP: [&str; 6] = [
        "source_video_path",
        "source_video_hash_sha256",
        "processing_timestamp_utc",
        "duration_seconds",
        "frames_analyzed",
        "events",
    ];
    const OF_EVENT: [&str; 5] = [
        "frame_timestamp_seconds",
        "event_type",
        "label",
        "confidence",
        "bounding_box",
    ];
    let known = BTreeMap::from([("", &TOP[..]), ("events[].", &OF_EVENT[..])]);
    let mut found = BTreeSet::new();
    let mut note = |place: &'static str, value: &serde_json::Value| {
        let keys = value.as_object().into_iter().flat_map(|map| map.keys());
        for key in keys.filter(|key| !known[place].contains(&key.as_str())) {
            found.insert(format!("{place}{key}"));
        }
    };
    note("", raw);
    for event in raw["events"].as_array().into_iter().flatten() {
        note("events[].", event);
    }
    found.into_iter().collect()
}

#[cfg(test)]
#[path = "analytic_tests.rs"]
mod tests;
