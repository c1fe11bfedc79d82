//! The scenes to look at first.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::comparison::Comparison;
use crate::metric::SceneScores;
use crate::record::RunRecord;

/// Metrics by which a scene got worse, the most telling first.
pub const RANKED_BY: [&str; 3] = ["object_recall", "fact_ok", "chrf_pp"];

/// A scene on which the candidate lost something.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstScene {
    /// Scene id.
    pub scene: String,
    /// Candidate − baseline for each metric of [`RANKED_BY`]; `None` where a value is absent.
    pub changes: [Option<f64>; 3],
    /// Reasons of factual errors of the baseline.
    pub baseline_notes: Vec<String>,
    /// Reasons of factual errors of the candidate.
    pub candidate_notes: Vec<String>,
    /// The baseline's text; `None` when it produced none.
    pub baseline_text: Option<String>,
    /// The candidate's text; `None` when it produced none.
    pub candidate_text: Option<String>,
}

/// Scenes with a loss by any metric of [`RANKED_BY`], the largest loss first.
///
/// Ties in one metric are broken by the next, then by scene id, so the order is always the same.
pub fn worst_scenes(comparison: &Comparison) -> Vec<WorstScene> {
    let pairs = comparison
        .baseline_scores()
        .iter()
        .zip(comparison.candidate_scores());
    let [baseline_texts, candidate_texts] =
        [comparison.baseline(), comparison.candidate()].map(texts);
    let mut scenes: Vec<WorstScene> = pairs
        .filter(|(base, cand)| base.scene == cand.scene)
        .map(|(base, cand)| WorstScene {
            scene: base.scene.clone(),
            changes: RANKED_BY.map(|metric| change(metric, base, cand)),
            baseline_notes: base.notes.clone(),
            candidate_notes: cand.notes.clone(),
            baseline_text: text(&baseline_texts, &base.scene),
            candidate_text: text(&candidate_texts, &base.scene),
        })
        .filter(|scene| scene.changes.iter().flatten().any(|change| *change < 0.0))
        .collect();
    scenes.sort_by(severity);
    scenes
}

fn change(metric: &str, base: &SceneScores, cand: &SceneScores) -> Option<f64> {
    let of = |scores: &SceneScores| {
        scores
            .scores
            .get(metric)
            .and_then(crate::metric::Score::value)
    };
    Some(of(cand)? - of(base)?)
}

/// Texts by scene.
fn texts(record: &RunRecord) -> HashMap<&str, &str> {
    let outputs = record.outputs.iter();
    outputs
        .map(|output| (output.scene.as_str(), output.text.as_str()))
        .collect()
}

fn text(of: &HashMap<&str, &str>, scene: &str) -> Option<String> {
    of.get(scene).map(|&text| text.to_owned())
}

fn severity(a: &WorstScene, b: &WorstScene) -> Ordering {
    let by_metric = a.changes.iter().zip(&b.changes).map(|(a, b)| {
        // An absent value is no loss.
        a.unwrap_or(0.0).total_cmp(&b.unwrap_or(0.0))
    });
    by_metric
        .fold(Ordering::Equal, Ordering::then)
        .then_with(|| a.scene.cmp(&b.scene))
}
