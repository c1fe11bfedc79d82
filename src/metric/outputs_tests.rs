use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::metric::find;
use crate::scene::lexicon::BUILT_IN;

fn scene(references: &[&str]) -> Scene {
    let event = |at: u32, label: &str| {
        json!({"frame_timestamp_seconds": at, "event_type": "object_detection", "label": label,
               "confidence": 0.9})
    };
    let events: Vec<_> = (10..30)
        .flat_map(|at| [event(at, "person"), event(at, "person"), event(at, "car")])
        .collect();
    serde_json::from_value(json!({
        "id": "s1",
        "analytic": {
            "source_video_path": "v.mp4", "source_video_hash_sha256": "0".repeat(64),
            "processing_timestamp_utc": "2026-11-01T00:00:00Z", "duration_seconds": 60.0,
            "frames_analyzed": 60, "events": events,
        },
        "references": references,
    }))
    .unwrap()
}

fn said(text: &str) -> Said<'_> {
    Said {
        text,
        keywords: None,
        stop: Some(StopReason::Eos),
        n_tokens: Some(7),
    }
}

fn scores(scene: &Scene, text: &str) -> SceneScores {
    Prepared::new(scene, &BUILT_IN).score(&said(text)).scores
}

const REFERENCE: &str = "Às 00:10 surgem duas pessoas e um carro.";

#[test]
fn every_row_of_a_text_has_a_value_or_a_reason() {
    let found = scores(&scene(&[REFERENCE]), REFERENCE).scores;
    for row in METRICS {
        match row.source {
            Source::Record => assert!(!found.contains_key(row.id), "{}", row.id),
            Source::Text(_) | Source::Facts => match &found[row.id] {
                Score::Value(value) => assert_eq!(row.fault(*value), None, "{}", row.id),
                Score::Absent(reason) => {
                    assert!(!reason.is_empty() && !row.absent.is_empty(), "{}", row.id);
                }
            },
        }
    }
}

#[test]
fn the_two_ways_to_score_agree_and_order_is_kept() {
    let scenes = [scene(&[REFERENCE]), scene(&[])];
    let texts = ["Duas pessoas passam.", "Um gato passa.", ""];
    let jobs: Vec<Job<'_, 2>> = scenes
        .iter()
        .flat_map(|scene| {
            texts.map(|text| Job {
                scene,
                said: [Some(said(text)), None],
            })
        })
        .collect();
    let scored = score_all(&jobs, &BUILT_IN);
    assert_eq!(scored.len(), 6);
    for (job, [first, second]) in jobs.iter().zip(scored) {
        assert_eq!(second, None);
        let text = job.said[0].unwrap().text;
        assert_eq!(first.unwrap().scores, scores(job.scene, text), "{text}");
    }
}

#[test]
fn the_absence_of_a_gated_score_depends_on_the_scene_only() {
    let gated = [
        "valid",
        "fact_ok",
        "hallucination_rate",
        "object_recall",
        "fact_score",
        "chrf_pp",
    ];
    for scene in [scene(&[REFERENCE]), scene(&[])] {
        let is_absent = |text: &str| {
            let found = scores(&scene, text).scores;
            gated.map(|metric| found[metric].value().is_none())
        };
        for text in ["", "Nada.", "Um gato.", "{\"summary_text\": 3}", "\u{fffd}"] {
            assert_eq!(is_absent(text), is_absent(REFERENCE), "{text:?}");
        }
    }
}

#[test]
fn removing_all_text_improves_no_gated_score_but_one() {
    let scene = scene(&[REFERENCE]);
    let empty = scores(&scene, "").scores;
    for text in [REFERENCE, "Um gato passa.", "Duas pessoas passam.", "x"] {
        let found = scores(&scene, text).scores;
        for metric in ["valid", "fact_ok", "object_recall", "fact_score", "chrf_pp"] {
            assert!(
                empty[metric].value() <= found[metric].value(),
                "{metric} of {text}"
            );
        }
    }
}

#[test]
fn an_invalid_output_has_no_fact_score() {
    let scene = scene(&[REFERENCE]);
    let cut = Said {
        stop: Some(StopReason::MaxTokens),
        ..said(REFERENCE)
    };
    let found = Prepared::new(&scene, &BUILT_IN).score(&cut).scores;
    assert_eq!(found.scores["fact_score"], Score::Value(0.0));
    assert_eq!(found.scores["fact_ok"], Score::Value(1.0));
    assert!(
        found.notes.contains(&"form: truncated".to_owned()),
        "{:?}",
        found.notes
    );
}

#[test]
fn a_length_out_of_all_proportion_is_noted() {
    let scene = scene(&[REFERENCE]);
    let noted = |text: &str| {
        let notes = scores(&scene, text).notes;
        notes.iter().any(|note| note.starts_with("length: "))
    };
    assert!(noted("Pessoas."));
    assert!(!noted(REFERENCE));
    assert!(noted(&format!("{REFERENCE} ").repeat(4)));
}

#[test]
fn scores_that_no_computation_can_give_are_found() {
    let mut found = scores(&scene(&[REFERENCE]), REFERENCE);
    assert_eq!(fault(&found), None);
    found.scores.insert("chrf_pp", Score::Value(1.5));
    assert_eq!(fault(&found), Some(("chrf_pp", 1.5, "out of range")));
    found.scores = BTreeMap::from([("chrf_p", Score::Value(0.5))]);
    assert_eq!(
        fault(&found).map(|(_, _, problem)| problem),
        Some("of no known metric")
    );
}

#[test]
fn aggregates_leave_absent_scores_out() {
    let scenes = [scene(&[REFERENCE]), scene(&[])].map(|scene| scores(&scene, REFERENCE));
    let of = |metric| Aggregate::of(scenes.iter(), metric);
    let chrf = of("chrf_pp").unwrap();
    assert_eq!((chrf.n, chrf.mean, chrf.n_absent), (1, Some(1.0), 1));
    let keywords = of("keyword_f1").unwrap();
    assert_eq!((keywords.n, keywords.mean, keywords.n_absent), (0, None, 2));
    assert_eq!(of("peak_bytes"), None);
}

#[test]
fn the_table_knows_its_gated_rows() {
    assert!(find("fact_ok").is_some() && find("fact-ok").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_has_finite_scores_in_range(text in "\\PC{0,60}|[a-zçãé .,:0-9]{0,200}", cut in any::<bool>()) {
        let scene = scene(&[REFERENCE, ""]);
        let said = Said { stop: cut.then_some(StopReason::MaxTokens), ..said(&text) };
        let scored = Prepared::new(&scene, &BUILT_IN).score(&said);
        prop_assert_eq!(fault(&scored.scores), None);
    }

    #[test]
    fn composition_of_accents_changes_no_score(words in prop::collection::vec(
        prop::sample::select(vec!["Às", "00:10", "ônibus", "pessoas", "duas", "não", "há", "câmera",
            "caminhões", "três", "e", "à", "praça.", "é", "um", "cão,"]), 0..20)) {
        use unicode_normalization::UnicodeNormalization as _;
        let text = words.join(" ");
        let decomposed: String = text.nfd().collect();
        let scene = scene(&["Às 00:10 três pessoas à praça.", REFERENCE]);
        prop_assert_eq!(scores(&scene, &text).scores, scores(&scene, &decomposed).scores);
    }
}
