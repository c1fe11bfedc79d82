//! `*.analytic.json` as the video pipeline writes it.
//!
//! Unknown keys are ignored here, because the pipeline may grow; wrong types and values out of
//! range are errors with their JSON path.

use serde::{Deserialize, Serialize};

/// Detections of one video.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Analytic {
    /// Path of the video on the recording host; informative.
    pub source_video_path: String,
    /// SHA-256 of the video, 64 lower-case hex digits.
    pub source_video_hash_sha256: String,
    /// When the detector ran, RFC 3339 UTC.
    pub processing_timestamp_utc: String,
    /// Length of the video in seconds, > 0.
    pub duration_seconds: f64,
    /// Number of frames the detector looked at.
    pub frames_analyzed: Option<u64>,
    /// Detections, in no particular order.
    pub events: Vec<Event>,
}

/// One detection in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds from the start of the video, >= 0.
    pub frame_timestamp_seconds: f64,
    /// `object_detection` or `face_detection`; others are ignored.
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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{path}` is {found}, expected {expected}")]
pub struct OutOfRange {
    /// JSON path below the analytic object.
    pub path: String,
    /// What is allowed.
    pub expected: &'static str,
    /// What the file holds.
    pub found: f64,
}

impl Analytic {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first value outside its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let positive = self.duration_seconds.is_finite() && self.duration_seconds > 0.0;
        require(
            positive,
            "duration_seconds",
            "a length above 0",
            self.duration_seconds,
        )?;
        for (i, event) in self.events.iter().enumerate() {
            let time = event.frame_timestamp_seconds;
            let path = || format!("events[{i}].frame_timestamp_seconds");
            require(
                time.is_finite() && time >= 0.0,
                path,
                "a time of at least 0",
                time,
            )?;
            let path = || format!("events[{i}].confidence");
            let confidence = event.confidence;
            require(
                (0.0..=1.0).contains(&confidence),
                path,
                "a value in [0, 1]",
                confidence,
            )?;
        }
        Ok(())
    }
}

/// A path that is only built when it is needed.
trait LazyPath {
    fn text(self) -> String;
}

impl LazyPath for &str {
    fn text(self) -> String {
        self.to_owned()
    }
}

impl<F: FnOnce() -> String> LazyPath for F {
    fn text(self) -> String {
        self()
    }
}

fn require(
    holds: bool,
    path: impl LazyPath,
    expected: &'static str,
    found: f64,
) -> Result<(), OutOfRange> {
    if holds {
        Ok(())
    } else {
        Err(OutOfRange {
            path: path.text(),
            expected,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analytic(duration_seconds: f64, time: f64, confidence: f64) -> Analytic {
        Analytic {
            source_video_path: "v.mp4".into(),
            source_video_hash_sha256: "0".repeat(64),
            processing_timestamp_utc: "2026-11-01T00:00:00Z".into(),
            duration_seconds,
            frames_analyzed: Some(1),
            events: vec![Event {
                frame_timestamp_seconds: time,
                event_type: "object_detection".into(),
                label: Some("car".into()),
                confidence,
                bounding_box: None,
            }],
        }
    }

    #[test]
    fn values_out_of_range_are_named_by_path() {
        let path = |a: Analytic| a.check().map_err(|e| e.path).err();
        assert_eq!(path(analytic(10.0, 1.0, 0.9)), None);
        assert_eq!(
            path(analytic(0.0, 1.0, 0.9)).as_deref(),
            Some("duration_seconds")
        );
        let time = path(analytic(10.0, -1.0, 0.9));
        assert_eq!(time.as_deref(), Some("events[0].frame_timestamp_seconds"));
        let confidence = path(analytic(10.0, 1.0, 1.5));
        assert_eq!(confidence.as_deref(), Some("events[0].confidence"));
    }
}
