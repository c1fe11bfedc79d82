//! Records and the scores of their outputs, put together.

use std::collections::{BTreeMap, HashMap};

use crate::gate::{Evidence, Policy, SceneTags};
use crate::metric::SceneScores;
use crate::metric::likelihood;
use crate::metric::outputs::{self, Job, Said};
use crate::record::RunRecord;
use crate::run::SeedInputs;
use crate::scene::{Scene, SceneSet};

/// Both records with the scores of their outputs, in planned order.
///
/// Scenes of `set` and of `sentinels` are read by the lexicon of their own set. A planned scene that
/// neither has is left unscored, which the comparison refuses.
pub(super) fn score_records(
    set: &SceneSet,
    sentinels: Option<&SceneSet>,
    records: [RunRecord; 2],
) -> [Evidence; 2] {
    let mut by_scene: HashMap<&str, [Option<SceneScores>; 2]> = HashMap::new();
    for set in [Some(set), sentinels].into_iter().flatten() {
        by_scene.extend(scores_of(set, &records));
    }
    let in_plan = |place: usize, record: &RunRecord| {
        let planned = record.plan.scene_ids.iter();
        planned
            .filter_map(|id| by_scene.get(id.as_str())?[place].clone())
            .collect::<Vec<_>>()
    };
    let mut scores = [in_plan(0, &records[0]), in_plan(1, &records[1])];
    likelihood::enter(&mut scores, records.each_ref());
    let [baseline, candidate] = records;
    let [baseline_scores, candidate_scores] = scores;
    [
        Evidence {
            record: baseline,
            scores: baseline_scores,
        },
        Evidence {
            record: candidate,
            scores: candidate_scores,
        },
    ]
}

/// Scores of what both roles said of the scenes of one set, by scene id.
fn scores_of<'a>(
    set: &'a SceneSet,
    records: &[RunRecord; 2],
) -> Vec<(&'a str, [Option<SceneScores>; 2])> {
    let outputs = records.each_ref().map(|record| {
        let outputs = record.outputs.iter();
        outputs
            .map(|output| (output.scene.as_str(), output))
            .collect::<HashMap<_, _>>()
    });
    // A role that failed has outputs of the first scenes only.
    let job = |scene: &'a Scene| Job {
        scene,
        said: outputs
            .each_ref()
            .map(|of| of.get(scene.id.as_str()).map(|it| Said::from(*it))),
    };
    let jobs: Vec<Job<'_, 2>> = set.scenes.iter().map(job).collect();
    let scored = outputs::score_all(&jobs, set.lexicon);
    let ids = set.scenes.iter().map(|scene| scene.id.as_str());
    ids.zip(scored)
        .map(|(id, scored)| (id, scored.map(|scored| scored.map(|scored| scored.scores))))
        .collect()
}

/// What a reader is told of a run whose orders do not follow from its models, its scenes and the
/// policy it is judged by; `None` of one whose orders do.
///
/// Seeds derive from the digests of all four, so that nobody can look for lucky ones. A policy that
/// leaves the scene set open stands for the one that names it, as `compare --scenes` does.
pub(super) fn planned_otherwise(
    base: &RunRecord,
    cand: &RunRecord,
    policy: &Policy,
) -> Option<String> {
    let mut named = policy.clone();
    named.scenes.set = Some(base.scenes.name.clone());
    named.scenes.version = Some(base.scenes.version.clone());
    let follows = |policy: &Policy| {
        let seeds = SeedInputs {
            baseline: base.model.release_digest,
            candidate: cand.model.release_digest,
            scene_set: base.scenes.scenes_sha256,
            policy: policy.digest(),
        };
        seeds.seed("run") == base.plan.seed
    };
    (!follows(policy) && !follows(&named)).then(|| {
        "the run's orders and coin flips do not follow from the policy it is judged by: it was \
         planned under another one, or its seed was chosen"
            .to_owned()
    })
}

/// Camera and slices of each scene that names any.
pub(super) fn tags(set: &SceneSet) -> BTreeMap<String, SceneTags> {
    let named = set
        .scenes
        .iter()
        .filter(|scene| scene.camera.is_some() || !scene.slices.is_empty());
    let of = |scene: &Scene| {
        let tags = SceneTags {
            camera: scene.camera.clone(),
            slices: scene.slices.clone(),
        };
        (scene.id.clone(), tags)
    };
    named.map(of).collect()
}
