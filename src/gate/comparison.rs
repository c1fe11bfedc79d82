//! Two records that may be compared, with their scores.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hint::Hint;
use crate::metric::{SceneScores, Score, cost::role_name, likelihood, outputs};
use crate::record::{self, Role, RunRecord};
use crate::stats::PairedSample;
use crate::stats::sample::Pair;

/// One role's record and the scores of its outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What was observed.
    pub record: RunRecord,
    /// One entry per scene, in planned order; may be cut short when the record has a failure.
    pub scores: Vec<SceneScores>,
}

/// Two roles that were checked to be comparable.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    baseline: Evidence,
    candidate: Evidence,
    tags: BTreeMap<String, SceneTags>,
}

/// What a scene set says of a scene and the records do not repeat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SceneTags {
    /// The camera that recorded it; scenes of one camera are not independent.
    pub camera: Option<String>,
    /// Named subsets it belongs to.
    pub slices: Vec<String>,
}

/// Why two records may not be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A field that must match does not.
    #[error(
        "the records are not comparable: `{field}` is {baseline} in the baseline's and {candidate} in the candidate's"
    )]
    NotComparable {
        /// Path of the field in the record.
        field: &'static str,
        /// The baseline's value.
        baseline: String,
        /// The candidate's value.
        candidate: String,
    },
    /// A record was made for the other role.
    #[error("the record given as {expected} was made as {found}")]
    WrongRole {
        /// Role it was given as.
        expected: &'static str,
        /// Role written in it.
        found: &'static str,
    },
    /// The record's form is not known.
    #[error(
        "record version {found} is not known, this program reads {}",
        record::SCHEMA_VERSION
    )]
    SchemaVersion {
        /// Version written in the record.
        found: u32,
    },
    /// The plan has no scenes.
    #[error("the plan has no scenes")]
    NoScenes,
    /// The plan names a scene twice.
    #[error("scene `{scene}` occurs twice in the plan")]
    DuplicateScene {
        /// Scene id.
        scene: String,
    },
    /// Outputs or scores are not exactly those of the plan.
    #[error("the {role} has {what} of `{found}` where the plan has `{planned}`")]
    WrongScene {
        /// `baseline` or `candidate`.
        role: &'static str,
        /// `an output` or `scores`.
        what: &'static str,
        /// Scene id found, or `nothing`.
        found: String,
        /// Scene id planned, or `nothing`.
        planned: String,
    },
    /// The texts a role has read are not those of the plan, or a likelihood is no number.
    #[error("the {role}'s reading of scene `{scene}` {problem}")]
    BadReading {
        /// `baseline` or `candidate`.
        role: &'static str,
        /// Scene id.
        scene: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A score is NaN, infinite, out of range, or of a metric that does not exist.
    #[error("the {role}'s `{metric}` of scene `{scene}` is {value}, which is {problem}")]
    BadScore {
        /// `baseline` or `candidate`.
        role: &'static str,
        /// Scene id.
        scene: String,
        /// Metric id.
        metric: String,
        /// The value.
        value: f64,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotComparable { .. } | Self::WrongScene { .. } => {
                Some("measure both models in one run: `vv-eval compare BASELINE CANDIDATE`".into())
            }
            Self::WrongRole { .. } => Some("give the baseline's record first".into()),
            Self::SchemaVersion { .. }
            | Self::NoScenes
            | Self::DuplicateScene { .. }
            | Self::BadReading { .. }
            | Self::BadScore { .. } => None,
        }
    }
}

/// Scene-wise values of one metric in both roles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Paired {
    /// Scenes where both roles have a value.
    pub(crate) sample: PairedSample,
    /// Scenes where at least one has none, for a reason.
    pub(crate) n_absent: usize,
}

impl Comparison {
    /// Checks that the two roles were run on the same scenes, in one run, under one plan.
    ///
    /// When a model failed, only the identity of the run is demanded: what is missing then is
    /// evidence, not a fault of the record.
    ///
    /// # Errors
    /// [`Error`], naming the field, the scene or the metric.
    pub fn new(baseline: Evidence, candidate: Evidence) -> Result<Self, Error> {
        for (expected, evidence) in [(Role::Baseline, &baseline), (Role::Candidate, &candidate)] {
            check_header(expected, &evidence.record)?;
        }
        let (base, cand) = (&baseline.record, &candidate.record);
        check_same_run(base, cand)?;
        let is_complete = base.failure.is_none() && cand.failure.is_none();
        if is_complete {
            check_same_host(base, cand)?;
        }
        for evidence in [&baseline, &candidate] {
            check_scores(evidence)?;
            check_readings(&evidence.record, is_complete)?;
            if is_complete {
                check_scenes(evidence)?;
            }
        }
        Ok(Self {
            baseline,
            candidate,
            tags: BTreeMap::new(),
        })
    }

    /// Two records of which only the launches are looked at: outputs and scores may be missing.
    pub(crate) fn of_times(baseline: Evidence, candidate: Evidence) -> Result<Self, Error> {
        check_same_run(&baseline.record, &candidate.record)?;
        Ok(Self {
            baseline,
            candidate,
            tags: BTreeMap::new(),
        })
    }

    /// The same comparison, knowing cameras and slices by scene id.
    #[must_use]
    pub fn with_tags(self, tags: BTreeMap<String, SceneTags>) -> Self {
        Self { tags, ..self }
    }

    /// Cameras and slices by scene id.
    pub fn tags(&self) -> &BTreeMap<String, SceneTags> {
        &self.tags
    }

    /// Ids of the scenes that belong to the set of sentinels and to no sample.
    fn sentinel_ids(&self) -> BTreeSet<&str> {
        let sentinels = self.baseline.record.sentinels.iter();
        sentinels
            .flat_map(|sentinels| sentinels.ids.iter().map(String::as_str))
            .collect()
    }

    /// The cluster of each scene, numbered by the names of the cameras.
    pub(crate) fn clusters(&self, scenes: &[String]) -> Result<Vec<usize>, String> {
        let camera = |scene: &String| {
            let tags = self.tags.get(scene);
            tags.and_then(|tags| tags.camera.as_deref()).ok_or_else(|| {
                format!("scenes are clustered by camera, and scene {scene} names none")
            })
        };
        let cameras = scenes.iter().map(camera).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&str> = cameras.iter().copied().collect();
        let number: BTreeMap<&str, usize> = names.into_iter().zip(0..).collect();
        Ok(cameras.iter().map(|camera| number[camera]).collect())
    }

    /// The baseline's record.
    pub fn baseline(&self) -> &RunRecord {
        &self.baseline.record
    }

    /// The candidate's record.
    pub fn candidate(&self) -> &RunRecord {
        &self.candidate.record
    }

    /// The baseline's scores, in planned order.
    pub fn baseline_scores(&self) -> &[SceneScores] {
        &self.baseline.scores
    }

    /// The candidate's scores, in planned order.
    pub fn candidate_scores(&self) -> &[SceneScores] {
        &self.candidate.scores
    }

    /// Values of `metric` where both roles have one; the error is a sentence naming what is missing.
    pub(crate) fn paired(&self, metric: &str) -> Result<Paired, String> {
        let mut pairs = Vec::new();
        let mut n_absent = 0;
        let sentinels = self.sentinel_ids();
        for (base, cand) in self.baseline.scores.iter().zip(&self.candidate.scores) {
            if sentinels.contains(base.scene.as_str()) {
                continue;
            }
            let of = |role: &str, scores: &SceneScores| {
                let missing = || {
                    format!(
                        "{metric} was not scored for scene {} of the {role}",
                        scores.scene
                    )
                };
                scores
                    .scores
                    .get(metric)
                    .map(Score::value)
                    .ok_or_else(missing)
            };
            match (of("baseline", base)?, of("candidate", cand)?) {
                (Some(baseline), Some(candidate)) => {
                    pairs.push(Pair {
                        key: base.scene.clone(),
                        baseline,
                        candidate,
                    });
                }
                _ => n_absent += 1,
            }
        }
        let sample = PairedSample::new(pairs).map_err(|error| format!("{metric}: {error}"))?;
        Ok(Paired { sample, n_absent })
    }
}

fn check_header(expected: Role, record: &RunRecord) -> Result<(), Error> {
    if record.schema_version != record::SCHEMA_VERSION {
        return Err(Error::SchemaVersion {
            found: record.schema_version,
        });
    }
    if record.role != expected {
        let (expected, found) = (role_name(expected), role_name(record.role));
        return Err(Error::WrongRole { expected, found });
    }
    let mut ids: Vec<&str> = record.plan.scene_ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    if ids.is_empty() {
        return Err(Error::NoScenes);
    }
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::DuplicateScene {
            scene: pair[0].to_owned(),
        }),
        None => Ok(()),
    }
}

/// Refuses unless `baseline` and `candidate`, the values of `field`, are equal; shows them as a
/// record does.
fn same<T: PartialEq + Serialize>(
    field: &'static str,
    baseline: &T,
    candidate: &T,
) -> Result<(), Error> {
    if baseline == candidate {
        return Ok(());
    }
    let shown = |value: &T| {
        serde_json::to_string(value).unwrap_or_else(|error| format!("unreadable ({error})"))
    };
    let (baseline, candidate) = (shown(baseline), shown(candidate));
    Err(Error::NotComparable {
        field,
        baseline,
        candidate,
    })
}

fn check_same_run(base: &RunRecord, cand: &RunRecord) -> Result<(), Error> {
    same("run_id", &base.run_id, &cand.run_id)?;
    let (a, b) = (&base.scenes, &cand.scenes);
    same("scenes.scenes_sha256", &a.scenes_sha256, &b.scenes_sha256)?;
    same("scenes.prompt_sha256", &a.prompt_sha256, &b.prompt_sha256)?;
    same(
        "scenes.lexicon_sha256",
        &a.lexicon_sha256,
        &b.lexicon_sha256,
    )?;
    same("scenes.renderer", &a.renderer, &b.renderer)?;
    same("scenes.name", &a.name, &b.name)?;
    same("scenes.version", &a.version, &b.version)?;
    same("sentinels", &base.sentinels, &cand.sentinels)?;
    let (a, b) = (&base.plan, &cand.plan);
    same(
        "plan.protocol_version",
        &a.protocol_version,
        &b.protocol_version,
    )?;
    same("plan.max_new_tokens", &a.max_new_tokens, &b.max_new_tokens)?;
    same("plan.seed", &a.seed, &b.seed)?;
    same("plan.threads", &a.threads, &b.threads)?;
    same("load.head", &base.load.head, &cand.load.head)?;
    same("plan.batch", &a.batch, &b.batch)?;
    same("plan.n_timed", &a.n_timed, &b.n_timed)?;
    same("plan.n_read", &a.n_read, &b.n_read)?;
    same("plan.n_launches", &a.n_launches, &b.n_launches)?;
    same(
        "plan.pairs_per_launch",
        &a.pairs_per_launch,
        &b.pairs_per_launch,
    )?;
    if let Some((x, y)) = a.scene_ids.iter().zip(&b.scene_ids).find(|(x, y)| x != y) {
        return same("plan.scene_ids", x, y);
    }
    same("plan.scene_ids", &a.scene_ids.len(), &b.scene_ids.len())
}

fn check_same_host(base: &RunRecord, cand: &RunRecord) -> Result<(), Error> {
    same(
        "plan.segment_tokens",
        &base.plan.segment_tokens,
        &cand.plan.segment_tokens,
    )?;
    let (a, b) = (&base.host, &cand.host);
    same("host.cpu", &a.cpu, &b.cpu)?;
    same("host.kernel", &a.kernel, &b.kernel)?;
    same(
        "host.vv_eval_version",
        &a.vv_eval_version,
        &b.vv_eval_version,
    )?;
    same("host.rustc", &a.rustc, &b.rustc)?;
    same("host", a, b)
}

fn check_scenes(evidence: &Evidence) -> Result<(), Error> {
    let record = &evidence.record;
    let outputs = record.outputs.iter().map(|output| output.scene.as_str());
    let scores = evidence.scores.iter().map(|scores| scores.scene.as_str());
    check_order(record, "an output", &outputs.collect::<Vec<_>>())?;
    check_order(record, "scores", &scores.collect::<Vec<_>>())
}

fn check_order(record: &RunRecord, what: &'static str, found: &[&str]) -> Result<(), Error> {
    let planned = &record.plan.scene_ids;
    for i in 0..planned.len().max(found.len()) {
        let plan = planned.get(i).map_or("nothing", String::as_str);
        let here = found.get(i).copied().unwrap_or("nothing");
        if plan != here {
            return Err(Error::WrongScene {
                role: role_name(record.role),
                what,
                found: here.to_owned(),
                planned: plan.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_readings(record: &RunRecord, is_complete: bool) -> Result<(), Error> {
    match likelihood::fault(record, is_complete) {
        None => Ok(()),
        Some((scene, problem)) => Err(Error::BadReading {
            role: role_name(record.role),
            scene: scene.to_owned(),
            problem,
        }),
    }
}

fn check_scores(evidence: &Evidence) -> Result<(), Error> {
    for scene in &evidence.scores {
        if let Some((id, value, problem)) = outputs::fault(scene) {
            return Err(Error::BadScore {
                role: role_name(evidence.record.role),
                scene: scene.scene.clone(),
                metric: id.to_owned(),
                value,
                problem,
            });
        }
    }
    Ok(())
}
