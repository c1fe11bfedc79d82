use super::*;
use crate::scene::lexicon::BUILT_IN;

fn event(at: f64, label: &str, confidence: f64) -> Event {
    let is_face = label == "face";
    Event {
        frame_timestamp_seconds: at,
        event_type: if is_face { FACE } else { OBJECT }.into(),
        label: (!is_face).then(|| label.to_owned()),
        confidence,
        bounding_box: None,
    }
}

fn scene(events: &[(f64, &str, f64)]) -> Scene {
    Scene {
        analytic: Analytic {
            duration_seconds: 60.0,
            events: events.iter().map(|&(at, l, c)| event(at, l, c)).collect(),
            ..Analytic::default()
        },
        ..Scene::default()
    }
}

fn facts(events: &[(f64, &str, f64)]) -> Facts {
    Facts::of_scene(&scene(events), &BUILT_IN)
}

fn names(labels: &BTreeSet<String>) -> Vec<&str> {
    labels.iter().map(String::as_str).collect()
}

#[test]
fn salient_needs_two_frames_and_supported_any_hint() {
    let found = facts(&[
        (1.0, "car", 0.9),
        (2.0, "carro", 0.9),
        (2.0, "dog", 0.6),
        (3.0, "cat", 0.3),
        (3.0, "horse", 0.2),
    ]);
    assert_eq!(names(&found.salient), ["car"]);
    assert_eq!(names(&found.supported), ["car", "cat", "dog"]);
    assert_eq!(found.labels["car"].span_s, (1.0, 2.0));
    assert_eq!(found.frames_s, [1.0, 2.0]);
    assert_eq!(found.counts["cat"], CountRange::at_least(0));
}

#[test]
fn one_frame_is_enough_when_there_is_only_one() {
    assert_eq!(names(&facts(&[(4.0, "car", 0.5)]).salient), ["car"]);
    let found = facts(&[(4.0, "car", 0.5), (5.0, "bus", 0.5)]);
    assert_eq!(names(&found.salient), Vec::<&str>::new());
}

#[test]
fn neither_order_nor_language_nor_writing_twice_matters() {
    let mut scene = scene(&[
        (4.0, "person", 0.9),
        (4.0, "person", 0.8),
        (2.0, "traffic light", 0.8),
        (2.5, "traffic light", 0.8),
        (9.0, "bus", 0.9),
    ]);
    for (i, event) in scene.analytic.events.iter_mut().enumerate() {
        event.bounding_box = Some([i as f64, 0.0, 1.0, 1.0]);
    }
    let facts = Facts::of_scene(&scene, &BUILT_IN);
    assert_eq!(facts.labels["person"].max_at_once, 2);

    let mut other = scene.clone();
    other.analytic.events.reverse();
    assert_eq!(Facts::of_scene(&other, &BUILT_IN), facts);
    other.analytic.events.extend(scene.analytic.events.clone());
    assert_eq!(Facts::of_scene(&other, &BUILT_IN), facts);
    for event in &mut other.analytic.events {
        event.label = event.label.as_ref().map(|label| {
            let words = BUILT_IN.label(label).expect("a COCO label");
            words.canon[0].to_uppercase()
        });
    }
    assert_eq!(Facts::of_scene(&other, &BUILT_IN), facts);
}

#[test]
fn a_face_asks_for_the_person() {
    let found = facts(&[(1.0, "face", 0.9), (2.0, "face", 0.9), (2.0, "face", 0.8)]);
    assert_eq!(names(&found.salient), ["person"]);
    assert_eq!(names(&found.supported), ["face", "person"]);
    assert_eq!(found.counts["person"], CountRange::at_least(2));
    assert_eq!(
        found.seen("person").map(|seen| seen.span_s),
        Some((1.0, 2.0))
    );
    let people = facts(&[(1.0, "person", 0.9), (1.0, "person", 0.9)]);
    assert_eq!(people.counts["face"], CountRange::at_least(0));
}

#[test]
fn ghosts_alone_leave_the_scene_empty_and_unknown_labels_do_not() {
    let found = facts(&[(1.0, "cat", 0.31)]);
    assert!(found.is_empty() && found.salient.is_empty());
    let found = facts(&[(1.0, "dragon", 0.9), (2.0, "dragon", 0.9)]);
    assert_eq!((found.n_unknown_labels, found.labels.len()), (2, 0));
    assert_eq!(names(&found.unknown_labels), ["dragon"]);
    assert!(!found.is_empty(), "something was there");
}

#[test]
fn events_of_unknown_types_take_no_part() {
    let mut scene = scene(&[(1.0, "car", 0.9), (2.0, "car", 0.9)]);
    scene.analytic.events[1].event_type = "plate_detection".into();
    let found = Facts::of_scene(&scene, &BUILT_IN);
    assert_eq!(found.frames_s, [1.0]);
}

#[test]
fn what_is_known_wins_over_detections() {
    let mut scene = scene(&[
        (1.0, "car", 0.9),
        (1.0, "car", 0.9),
        (2.0, "car", 0.9),
        (2.0, "bus", 0.9),
        (3.0, "bus", 0.9),
    ]);
    scene.facts = serde_json::from_str(
        r#"{"labels": {"car": {"tracks": 5}, "bus": {"tracks": 0}}, "required": ["ônibus"],
            "allowed": ["truck"], "counts": {"truck": [1, 3]}}"#,
    )
    .expect("known facts");
    let found = Facts::of_scene(&scene, &BUILT_IN);
    assert_eq!(names(&found.salient), ["bus"]);
    assert_eq!(names(&found.supported), ["bus", "car", "truck"]);
    let range = |lo, hi| CountRange { lo, hi: Some(hi) };
    assert_eq!(found.counts["car"], range(2, 5));
    assert_eq!(found.counts["bus"], range(1, 1), "at least what was seen");
    assert_eq!(found.counts["truck"], range(1, 3));
}

#[test]
fn other_thresholds_give_other_facts() {
    let scene = scene(&[(1.0, "car", 0.49), (2.0, "car", 0.49)]);
    let at = |present| {
        let thresholds = Thresholds {
            present,
            ..Thresholds::default()
        };
        Facts::at(&scene, &BUILT_IN, thresholds).salient.len()
    };
    assert_eq!((at(0.5), at(0.4)), (0, 1));
}

#[test]
fn count_ranges_meet_and_add() {
    let range = |lo, hi| CountRange { lo, hi: Some(hi) };
    assert!(range(2, 3).meets(range(3, 9)) && !range(2, 3).meets(range(4, 9)));
    assert!(CountRange::at_least(7).meets(CountRange::at_least(2)));
    assert!(!CountRange::at_least(3).meets(range(0, 2)));
    assert_eq!(range(1, 2).plus(range(3, 4)), range(4, 6));
    assert_eq!(
        range(1, 2).plus(CountRange::at_least(3)),
        CountRange::at_least(4)
    );
    let most = CountRange::exactly(u32::MAX);
    assert_eq!(most.plus(most), most, "sums stop at the largest number");
}

#[test]
fn the_time_base_is_read_as_documented() {
    let read = |json: &str| serde_json::from_str::<TimeBase>(json).map_err(|e| e.to_string());
    assert_eq!(read(r#"{"mode":"offset"}"#), Ok(TimeBase::Offset));
    let wall = r#"{"mode":"wallclock","start_s":52200}"#;
    assert_eq!(read(wall), Ok(TimeBase::WallClock { start_s: 52_200 }));
    assert!(read(r#"{"mode":"wallclock"}"#).is_err_and(|e| e.contains("start_s")));
    assert!(read(r#"{"mode":"sundial"}"#).is_err());
}
