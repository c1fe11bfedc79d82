//! Scene → prompt text. The template is a file, digested as bytes; the renderer has a name.

use std::fmt::Write as _;

use super::analytic::Analytic;
use super::facts::{PRESENT, TimeBase};
use crate::units::Sha256;

/// Name of the renderer below; part of a scene set's identity.
pub const RENDERER: &str = "scene-text/1";

const MARKER: &str = "{{cena}}";

/// A prompt template with at most one `{{cena}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    sha256: Sha256,
}

/// A template with more than one marker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the marker `{{{{cena}}}}` stands {found} times, expected once")]
pub struct TooManyMarkers {
    /// Number of markers found.
    pub found: usize,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TooManyMarkers`] when `{{cena}}` stands more than once.
    pub fn new(text: String) -> Result<Self, TooManyMarkers> {
        let found = text.matches(MARKER).count();
        if found > 1 {
            return Err(TooManyMarkers { found });
        }
        Ok(Self {
            sha256: Sha256::of(text.as_bytes()),
            text,
        })
    }

    /// SHA-256 of the template's bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The prompt for one scene; without a marker the scene follows after an empty line.
    pub fn render(&self, analytic: &Analytic, time_base: &TimeBase) -> String {
        let scene = scene_text(analytic, time_base);
        if self.text.contains(MARKER) {
            self.text.replacen(MARKER, &scene, 1)
        } else {
            format!("{}\n\n{scene}", self.text)
        }
    }
}

/// What one line of the prompt says.
struct Line<'a> {
    label: &'a str,
    first_ms: i64,
    last_ms: i64,
    frames: Vec<(i64, u32)>,
}

/// The detections of at least [`PRESENT`] as text, one line a label, by first time, then label.
///
/// Times are `mm:ss` from the start, or `hh:mm:ss` of the day after a line that says when the
/// recording began; both rounded down. Labels stand as in the analytic file.
pub fn scene_text(analytic: &Analytic, time_base: &TimeBase) -> String {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for event in &analytic.events {
        if event.confidence < PRESENT {
            continue;
        }
        let label = match event.event_type.as_str() {
            "face_detection" => "face",
            "object_detection" => event.label.as_deref().unwrap_or("?"),
            _ => continue,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "videos last hours, not aeons"
        )]
        let at_ms = (event.frame_timestamp_seconds * 1000.0).round() as i64;
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.add(at_ms),
            None => lines.push(Line {
                label,
                first_ms: at_ms,
                last_ms: at_ms,
                frames: vec![(at_ms, 1)],
            }),
        }
    }
    lines.sort_by(|a, b| (a.first_ms, a.label).cmp(&(b.first_ms, b.label)));

    let mut text = String::new();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "videos last hours, not aeons"
    )]
    let duration_ms = (analytic.duration_seconds * 1000.0).round() as i64;
    let _ = write!(text, "Duração: {}", clock(duration_ms));
    if !time_base.is_offset() {
        let _ = write!(text, "\nInício: {}", time(*time_base, 0));
    }
    if lines.is_empty() {
        text.push_str("\nnenhuma detecção");
    }
    for line in &lines {
        let at_once = line.frames.iter().map(|(_, n)| *n).max().unwrap_or(0);
        let n_frames = line.frames.len();
        let frames = if n_frames == 1 { "quadro" } else { "quadros" };
        let (first, last) = (
            time(*time_base, line.first_ms),
            time(*time_base, line.last_ms),
        );
        let _ = write!(
            text,
            "\n{}: até {at_once}, {first} a {last}, {n_frames} {frames}",
            line.label
        );
    }
    text
}

impl Line<'_> {
    fn add(&mut self, at_ms: i64) {
        self.first_ms = self.first_ms.min(at_ms);
        self.last_ms = self.last_ms.max(at_ms);
        match self.frames.iter_mut().find(|(frame, _)| *frame == at_ms) {
            Some((_, n)) => *n += 1,
            None => self.frames.push((at_ms, 1)),
        }
    }
}

/// A time in milliseconds from the start as the prompt writes it.
fn time(time_base: TimeBase, ms: i64) -> String {
    match time_base {
        TimeBase::Offset => clock(ms),
        TimeBase::WallClock { start_s } => {
            let second = i64::from(start_s) + ms.div_euclid(1000);
            let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
            format!("{hour:02}:{minute:02}:{:02}", second % 60)
        }
    }
}

/// `mm:ss` of a time in milliseconds, rounded down; minutes may pass 99.
pub fn clock(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::super::analytic::Event;
    use super::*;

    fn analytic(events: &[(f64, &str, f64)]) -> Analytic {
        let event = |&(at, label, confidence): &(f64, &str, f64)| Event {
            frame_timestamp_seconds: at,
            event_type: "object_detection".into(),
            label: Some(label.to_owned()),
            confidence,
            bounding_box: None,
        };
        Analytic {
            source_video_path: "v.mp4".into(),
            source_video_hash_sha256: "0".repeat(64),
            processing_timestamp_utc: "2026-11-01T00:00:00Z".into(),
            duration_seconds: 120.0,
            frames_analyzed: Some(60),
            events: events.iter().map(event).collect(),
        }
    }

    #[test]
    fn a_scene_reads_as_documented() {
        let events = [
            (10.0, "person", 0.9),
            (30.0, "bicycle", 0.8),
            (12.0, "person", 0.9),
            (12.0, "person", 0.7),
            (52.9, "dog", 0.6),
            (14.0, "cat", 0.4),
        ];
        let text = scene_text(&analytic(&events), &TimeBase::Offset);
        assert_eq!(
            text,
            "Duração: 02:00\nperson: até 2, 00:10 a 00:12, 2 quadros\n\
             bicycle: até 1, 00:30 a 00:30, 1 quadro\ndog: até 1, 00:52 a 00:52, 1 quadro"
        );
    }

    #[track_caller]
    fn golden(time_base: TimeBase, events: &[(f64, &str, f64)], expected: &str) {
        assert_eq!(scene_text(&analytic(events), &time_base), expected);
    }

    #[test]
    fn times_of_day_follow_the_start() {
        let start_s = 86_280;
        golden(
            TimeBase::WallClock { start_s },
            &[
                (60.0, "truck", 0.9),
                (119.9, "truck", 0.9),
                (120.0, "truck", 0.9),
            ],
            "Duração: 02:00\nInício: 23:58:00\ntruck: até 1, 23:59:00 a 00:00:00, 3 quadros",
        );
    }

    #[test]
    fn a_crowd_is_counted_in_its_fullest_frame() {
        let mut events: Vec<(f64, &str, f64)> = vec![(4.0, "person", 0.8); 9];
        events.extend([(6.0, "person", 0.9), (6.0, "person", 0.4)]);
        let expected = "Duração: 02:00\nperson: até 9, 00:04 a 00:06, 2 quadros";
        golden(TimeBase::Offset, &events, expected);
    }

    #[test]
    fn labels_stand_as_the_detector_wrote_them() {
        golden(
            TimeBase::Offset,
            &[
                (3.0, "forklift", 0.9),
                (3.0, "ônibus", 0.9),
                (3.0, "carro", 0.9),
            ],
            "Duração: 02:00\ncarro: até 1, 00:03 a 00:03, 1 quadro\n\
             forklift: até 1, 00:03 a 00:03, 1 quadro\nônibus: até 1, 00:03 a 00:03, 1 quadro",
        );
    }

    #[test]
    fn unsorted_events_give_the_same_text() {
        let mut events = vec![
            (10.0, "person", 0.9),
            (4.0, "car", 0.8),
            (12.0, "person", 0.9),
        ];
        let sorted = scene_text(&analytic(&events), &TimeBase::Offset);
        events.reverse();
        assert_eq!(scene_text(&analytic(&events), &TimeBase::Offset), sorted);
    }

    #[test]
    fn an_empty_scene_says_so() {
        assert_eq!(
            scene_text(&analytic(&[]), &TimeBase::Offset),
            "Duração: 02:00\nnenhuma detecção"
        );
    }

    #[test]
    fn the_template_takes_the_scene_once() {
        let render =
            |t: &str| Template::new(t.into()).map(|t| t.render(&analytic(&[]), &TimeBase::Offset));
        assert!(render("Resuma:\n{{cena}}\nFim.").is_ok_and(|t| t.ends_with("detecção\nFim.")));
        assert!(render("Resuma.").is_ok_and(|t| t.starts_with("Resuma.\n\nDuração")));
        assert_eq!(render("{{cena}}{{cena}}"), Err(TooManyMarkers { found: 2 }));
    }
}
