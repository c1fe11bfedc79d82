//! What a report says of the scenes themselves, so that its reader needs no scene set beside it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{EstimateFile, ReportFile, SceneScoresFile};
use super::rule::{Rule, rule};
use crate::metric::Better;
use crate::scene::lexicon::Lexicon;
use crate::scene::{Facts, Scene, SceneSet};
use crate::stats::bounded::mean_loss;

/// One scene as a reader of the report needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SceneFile {
    /// Scene id.
    pub scene: String,
    /// Slices the scene belongs to, sorted.
    pub slices: Vec<String>,
    /// Summaries a person agreed to.
    pub references: Vec<String>,
    /// What was seen, by label; empty when nothing was.
    pub detections: Vec<DetectionFile>,
}

/// What was seen of one label in a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetectionFile {
    /// COCO label.
    pub label: String,
    /// Largest number in one frame.
    pub most_at_once: u32,
    /// First second in view, from the start of the video.
    pub first_s: f64,
    /// Last second in view.
    pub last_s: f64,
}

/// The change of one metric on one slice. It shows where a loss sits; it decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceFile {
    /// Name of the slice.
    pub slice: String,
    /// Metric id.
    pub metric: String,
    /// Scenes of the slice with a value in both roles.
    pub n: usize,
    /// Mean of the baseline on them.
    pub baseline: f64,
    /// Mean of the candidate on them.
    pub candidate: f64,
    /// Mean difference with its bounds; absent where the scenes are too few for any.
    pub estimate: Option<EstimateFile>,
}

impl SceneFile {
    fn of(scene: &Scene, lexicon: &Lexicon) -> Self {
        let facts = Facts::of_scene(scene, lexicon);
        let detections = facts.labels.iter().map(|(label, seen)| DetectionFile {
            label: label.clone(),
            most_at_once: seen.max_at_once,
            first_s: seen.span_s.0,
            last_s: seen.span_s.1,
        });
        let slices: BTreeSet<&String> = scene.slices.iter().collect();
        Self {
            scene: scene.id.clone(),
            slices: slices.into_iter().cloned().collect(),
            references: scene.references.clone(),
            detections: detections.collect(),
        }
    }
}

impl ReportFile {
    /// The report with what is known of its scenes, in planned order, and the changes by slice.
    ///
    /// A scene of `set` that was not planned is left out.
    #[must_use]
    pub fn with_scenes(self, set: &SceneSet) -> Self {
        let by_id: BTreeMap<&str, &Scene> = set
            .scenes
            .iter()
            .map(|scene| (scene.id.as_str(), scene))
            .collect();
        let planned = self.evidence.iter();
        let planned = planned.flat_map(|evidence| &evidence.baseline_record.plan.scene_ids);
        let details = planned
            .filter_map(|id| by_id.get(id.as_str()))
            .map(|scene| SceneFile::of(scene, set.lexicon))
            .collect();
        self.with_scene_files(details)
    }

    /// As [`Self::with_scenes`], with what is known given.
    #[must_use]
    pub fn with_scene_files(mut self, details: Vec<SceneFile>) -> Self {
        self.scene_details = details;
        self.slices = slices(&self);
        self.sealed()
    }
}

/// Changes of the scene means the policy names, slice by slice in the order of their names.
fn slices(file: &ReportFile) -> Vec<SliceFile> {
    let Some(evidence) = &file.evidence else {
        return Vec::new();
    };
    let of = |scores: &'_ [SceneScoresFile]| -> BTreeMap<String, BTreeMap<String, Option<f64>>> {
        let entries = scores.iter();
        entries
            .map(|scores| (scores.scene.clone(), scores.metrics.clone()))
            .collect()
    };
    let baseline = of(&evidence.baseline_scores);
    let candidate = of(&evidence.candidate_scores);
    let names: BTreeSet<&String> = file
        .scene_details
        .iter()
        .flat_map(|scene| &scene.slices)
        .collect();
    let metrics: Vec<&str> = file
        .policy
        .checks
        .iter()
        .map(|check| check.metric.as_str())
        .filter(|metric| {
            rule(metric).is_some_and(|rule| matches!(rule, Rule::SceneMean | Rule::SceneRate))
        })
        .collect();
    let mut found = Vec::new();
    for name in names {
        let scenes: Vec<&str> = file
            .scene_details
            .iter()
            .filter(|scene| scene.slices.contains(name))
            .map(|scene| scene.scene.as_str())
            .collect();
        for metric in &metrics {
            let value = |of: &BTreeMap<String, BTreeMap<String, Option<f64>>>, scene: &str| {
                of.get(scene)?.get(*metric).copied().flatten()
            };
            let pairs: Vec<(f64, f64)> = scenes
                .iter()
                .filter_map(|scene| Some((value(&baseline, scene)?, value(&candidate, scene)?)))
                .collect();
            found.extend(slice(
                name,
                metric,
                &pairs,
                file.policy.confidence.false_pass,
            ));
        }
    }
    found
}

/// `None` without a scene that both roles have a value on.
fn slice(name: &str, metric: &str, pairs: &[(f64, f64)], alpha: f64) -> Option<SliceFile> {
    let n = pairs.len();
    if n == 0 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n as f64;
    let harm = match crate::metric::find(metric)?.better {
        Better::Higher | Better::Neither => -1.0,
        Better::Lower => 1.0,
    };
    let losses: Vec<f64> = pairs.iter().map(|(b, c)| harm * (c - b)).collect();
    let estimate = mean_loss(&losses, alpha).ok();
    // Scores are shares, so no change is larger than one: few scenes give wider bounds than that.
    let within = |bound: f64| bound.clamp(-1.0, 1.0);
    let estimate = estimate.map(|loss| {
        let change = if harm < 0.0 { loss.negated() } else { loss };
        change.map(within)
    });
    Some(SliceFile {
        slice: name.to_owned(),
        metric: metric.to_owned(),
        n,
        baseline: mean(|pair| pair.0),
        candidate: mean(|pair| pair.1),
        estimate: estimate.as_ref().map(EstimateFile::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::{N_SCENES, compare_edited, set_scores};
    use crate::gate::{JudgeOptions, Policy, judge};

    fn scene(id: usize, slices: &[&str]) -> SceneFile {
        SceneFile {
            scene: format!("scene-{id:02}"),
            slices: slices.iter().map(|&name| name.to_owned()).collect(),
            references: Vec::new(),
            detections: Vec::new(),
        }
    }

    fn report(details: Vec<SceneFile>) -> ReportFile {
        let lost = |i: usize| if i < 20 { 0.0 } else { 1.0 };
        let comparison =
            compare_edited(|_, cand| set_scores(cand, "fact_ok", lost)).expect("comparable");
        let policy = Policy::built_in();
        let verdict = judge(&comparison, &policy, JudgeOptions::default());
        ReportFile::of_comparison(&comparison, &policy, &verdict).with_scene_files(details)
    }

    #[test]
    fn a_loss_shows_in_the_slice_that_has_it() {
        let details = (0..N_SCENES).map(|i| scene(i, &[if i < 20 { "night" } else { "day" }]));
        let report = report(details.collect());
        let find = |name: &str| {
            let mut rows = report.slices.iter();
            rows.find(|row| row.slice == name && row.metric == "fact_ok")
                .expect("the slice is there")
        };
        let (day, night) = (find("day"), find("night"));
        assert_eq!((day.n, night.n), (40, 20));
        assert_eq!((night.baseline, night.candidate), (1.0, 0.0));
        let estimate = night.estimate.as_ref().expect("twenty scenes are enough");
        assert!(
            estimate.point < -0.99 && estimate.high < 0.0,
            "{estimate:?}"
        );
        let estimate = day.estimate.as_ref().expect("forty scenes are enough");
        assert!(estimate.low < 0.0 && estimate.high >= 0.0, "{estimate:?}");
    }

    #[test]
    fn scenes_in_no_slice_and_slices_of_no_scene_are_left_out() {
        assert_eq!(report(vec![scene(0, &[])]).slices, []);
        assert_eq!(report(vec![scene(99, &["night"])]).slices, []);
    }
}
