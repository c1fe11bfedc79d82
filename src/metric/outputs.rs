//! Scores of one output text: the per-scene rows of the metric table.

use std::collections::BTreeMap;

use super::form::{Form, scored_part};
use super::{SceneScores, Score, chrf, facts};
use crate::record::OutputObservation;
use crate::scene::lexicon::Lexicon;
use crate::scene::text::nfc;
use crate::scene::{Facts, Scene};

/// Scores what a model said of a scene.
pub fn score(scene: &Scene, output: &OutputObservation, lexicon: &Lexicon) -> SceneScores {
    let text = output.text.as_str();
    let form = Form::of(text, output.stop);
    let text = nfc(scored_part(text));
    let known = Facts::of_scene(scene, lexicon);
    let factual = facts::judge(&text, &known, lexicon).scores;
    let objects = facts::score(&text, &known, lexicon);
    let fact_score = if form.is_valid() {
        factual.fact_score
    } else {
        Score::Value(0.0)
    };
    let flag = |is_set: bool| Score::Value(f64::from(u8::from(is_set)));
    let chrf_pp = chrf::chrf_pp(&text, &scene.references);
    let scores = BTreeMap::from([
        ("fact_ok", factual.fact_ok),
        ("hallucination_rate", factual.hallucination_rate),
        ("fact_score", fact_score),
        ("object_recall", objects.recall),
        ("object_precision", objects.precision),
        ("objects_exact", objects.exact),
        ("count_accuracy", factual.count_accuracy),
        ("time_accuracy", factual.time_accuracy),
        ("order_accuracy", factual.order_accuracy),
        ("slot_error_rate", factual.slot_error_rate),
        ("valid", flag(form.is_valid())),
        ("empty", flag(form.is_empty)),
        ("truncated", flag(form.is_truncated)),
        ("loop", flag(form.is_loop)),
        (
            "chrf_pp",
            chrf_pp.map_or(Score::Absent("the scene has no reference"), Score::Value),
        ),
        ("output_tokens", Score::Value(output.token_ids.len() as f64)),
    ]);
    let form_notes = form.flags().into_iter().map(|flag| format!("form: {flag}"));
    let notes = form_notes.chain(objects.notes).collect();
    SceneScores {
        scene: scene.id.clone(),
        scores,
        notes,
    }
}
