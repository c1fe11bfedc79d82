use super::*;

const PLAIN: &str = r#"{
  "source_video_path": "/videos/patio.mp4",
  "source_video_hash_sha256": "0000000000000000000000000000000000000000000000000000000000000000",
  "processing_timestamp_utc": "2026-11-01T00:00:00Z",
  "duration_seconds": 10,
  "frames_analyzed": 10,
  "events": [
    {"frame_timestamp_seconds": 4, "event_type": "object_detection", "label": "car",
     "confidence": 0.9, "bounding_box": [1, 2, 3, 4]},
    {"frame_timestamp_seconds": 1.5, "event_type": "face_detection",
     "confidence": 0.5, "bounding_box": [1, 2, 3, 4]}
  ]
}"#;

/// Reads the plain file with `from` replaced by `to`, which must stand in it.
fn edited(from: &str, to: &str) -> Result<Reading, ReadError> {
    assert!(PLAIN.contains(from), "nothing to replace: {from}");
    read(PLAIN.replacen(from, to, 1).as_bytes())
}

#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    let error = edited(from, to).expect_err("is refused").to_string();
    assert_eq!(error, expected, "{from} -> {to}");
}

#[track_caller]
fn warned(from: &str, to: &str, expected: &[&str]) {
    let reading = edited(from, to).expect("is read");
    let found = reading.warnings.iter();
    let found: Vec<String> = found
        .map(|w| format!("{}: {}", w.path, w.message))
        .collect();
    assert_eq!(found, expected, "{from} -> {to}");
}

#[test]
fn a_plain_file_is_read_as_it_stands() {
    let reading = read(PLAIN.as_bytes()).expect("is read");
    assert_eq!((reading.warnings, reading.unknown_keys), (vec![], vec![]));
    let times: Vec<f64> = reading
        .analytic
        .events
        .iter()
        .map(|event| event.frame_timestamp_seconds)
        .collect();
    assert_eq!(times, [4.0, 1.5], "unsorted events keep their order");
    assert_eq!(reading.analytic.events[1].label, None);
}

#[test]
fn an_empty_scene_is_a_scene() {
    let json = br#"{"duration_seconds": 3.5, "events": []}"#;
    let reading = read(json).expect("is read");
    let paths: Vec<&str> = reading.warnings.iter().map(|w| w.path.as_str()).collect();
    let fields = [
        "source_video_path",
        "source_video_hash_sha256",
        "processing_timestamp_utc",
        "frames_analyzed",
    ];
    assert_eq!(paths, fields);
    let again = serde_json::to_value(&reading.analytic).expect("plain data");
    assert_eq!(
        again,
        serde_json::json!({"duration_seconds": 3.5, "events": []})
    );
}

#[test]
fn wrong_types_are_named_by_line_and_path() {
    refused(
        "\"confidence\": 0.5",
        "\"confidence\": \"high\"",
        "11:25: `events[1].confidence`: invalid type: string \"high\", expected f64",
    );
    refused(
        "\"confidence\": 0.5",
        "\"confidence\": NaN",
        "11:20: `events[1].confidence`: expected value",
    );
    refused(
        "\"frames_analyzed\": 10",
        "\"frames_analyzed\": 10.5",
        "6:25: `frames_analyzed`: invalid type: floating point `10.5`, expected u64",
    );
    refused(
        "[1, 2, 3, 4]",
        "[1, 2, 3]",
        "9:49: `events[0].bounding_box`: invalid length 3, expected an array of length 4",
    );
    refused(
        "\"label\": \"car\"",
        "\"label\": [\"car\"]",
        "8:78: `events[0].label`: invalid type: sequence, expected a string",
    );
}

#[test]
fn what_scores_need_may_not_be_missing() {
    let missing = |from: &str, field: &str, path: &str| {
        let error = edited(from, "").expect_err("is refused");
        assert_eq!(error.message, format!("missing field `{field}`"));
        assert_eq!(error.path, path);
    };
    missing("\"duration_seconds\": 10,", "duration_seconds", "");
    let time = "\"frame_timestamp_seconds\": 1.5, ";
    missing(time, "frame_timestamp_seconds", "events[1]");
    missing("\"confidence\": 0.9, ", "confidence", "events[0]");
    let kind = "\"event_type\": \"object_detection\", ";
    missing(kind, "event_type", "events[0]");
    refused(
        " \"label\": \"car\",",
        "",
        "8:5: `events[0].label`: missing, expected the name of the detected object",
    );
    refused(
        "\"label\": \"car\"",
        "\"label\": null",
        "8:79: `events[0].label`: missing, expected the name of the detected object",
    );
}

#[test]
fn values_out_of_range_are_named_by_line_and_path() {
    refused(
        "\"duration_seconds\": 10",
        "\"duration_seconds\": 0",
        "5:23: `duration_seconds`: 0, expected a length above 0",
    );
    refused(
        "\"frame_timestamp_seconds\": 1.5",
        "\"frame_timestamp_seconds\": -1.5",
        "10:33: `events[1].frame_timestamp_seconds`: -1.5, expected a time of at least 0",
    );
    refused(
        "\"confidence\": 0.5",
        "\"confidence\": 1.5",
        "11:20: `events[1].confidence`: 1.5, expected a value in [0, 1]",
    );
    refused(
        "[1, 2, 3, 4]",
        "[1, 2, 3, -4]",
        "9:41: `events[0].bounding_box`: [1.0, 2.0, 3.0, -4.0], expected [x, y, w, h] with w and h \
         of at least 0",
    );
    refused(
        "2026-11-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "4:31: `processing_timestamp_utc`: \"2026-13-01T00:00:00Z\", expected a time like \
         2026-11-01T12:00:00Z",
    );
    let error = edited("\"00000000", "\"ABCD0000").expect_err("is refused");
    assert_eq!(error.path, "source_video_hash_sha256");
}

#[test]
fn keys_that_stand_twice_are_refused() {
    refused(
        "\"confidence\": 0.9",
        "\"confidence\": 0.9, \"confidence\": 0.8",
        "9:38: `events[0].confidence`: duplicate key `confidence`",
    );
    refused(
        "\"frames_analyzed\"",
        "\"duration_seconds\"",
        "6:22: `duration_seconds`: duplicate key `duration_seconds`",
    );
}

#[test]
fn odd_values_are_warned_of() {
    warned(
        "\"frame_timestamp_seconds\": 4",
        "\"frame_timestamp_seconds\": 11.5",
        &["events[0].frame_timestamp_seconds: 11.5 s lies past the end at 10 s; 1 such events"],
    );
    warned(
        "\"frame_timestamp_seconds\": 4",
        "\"frame_timestamp_seconds\": 11",
        &[],
    );
    warned(
        "face_detection",
        "plate_detection",
        &["events[1].event_type: \"plate_detection\" is no known type; 1 such events are ignored"],
    );
    warned(
        ", \"bounding_box\": [1, 2, 3, 4]",
        "",
        &["events[].bounding_box: missing; no score needs it, a released set does"],
    );
}

#[test]
fn unknown_keys_are_kept_and_ignored() {
    let to = "\"camera\": {\"id\": 3}, \"frames_analyzed\"";
    let reading = edited("\"frames_analyzed\"", to).expect("is read");
    assert_eq!(reading.unknown_keys, ["camera"]);
    assert_eq!(reading.raw["camera"]["id"], 3);
    let to = "\"track_id\": 7, \"confidence\": 0.9";
    let reading = edited("\"confidence\": 0.9", to).expect("is read");
    assert_eq!(reading.unknown_keys, ["events[].track_id"]);
    let plain = read(PLAIN.as_bytes()).expect("is read");
    assert_eq!(reading.analytic, plain.analytic);
}
