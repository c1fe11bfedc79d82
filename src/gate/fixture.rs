//! A hand-made comparison: sixty scenes, six launches, nothing wrong with it.

use std::collections::BTreeMap;

use super::comparison::{Comparison, Error, Evidence, SceneTags};
use super::policy::Policy;
use super::{JudgeOptions, Outcome, Verdict, judge};
use crate::metric::{SceneScores, Score};
use crate::record::{
    self, HostKey, Launch, LoadSettings, MemoryRun, ModelIdentity, NaturalTimes, OutputObservation,
    Reading, ReadingDistance, Role, RunRecord, SceneSetIdentity, Segment, Sentinels, StopReason,
    TextSource, WorkerFacts,
};
use crate::record::{FileIdentity, PlanSummary};
use crate::units::{Bytes, Sha256};

pub(crate) const N_SCENES: usize = 60;
/// Scenes with natural-lane times.
const N_TIMED: usize = 20;
/// Scenes whose texts both roles have read.
const N_READ: usize = 30;
const N_LAUNCHES: usize = 6;
const N_PAIRS: usize = 4;

/// Two roles with equal scores and times that differ by noise only.
pub(crate) fn roles() -> (Evidence, Evidence) {
    (evidence(Role::Baseline), evidence(Role::Candidate))
}

/// Judges the fixture under the built-in policy after an edit of both roles.
pub(crate) fn judge_edited(edit: impl FnOnce(&mut Evidence, &mut Evidence)) -> Verdict {
    let comparison = compare_edited(edit).expect("the edited records are comparable");
    judge(&comparison, &Policy::built_in(), JudgeOptions::default())
}

/// Judges the fixture under an edited policy after an edit of both roles.
pub(crate) fn judge_under(
    policy: impl FnOnce(&mut Policy),
    edit: impl FnOnce(&mut Evidence, &mut Evidence),
) -> Verdict {
    let mut demanded = Policy::built_in();
    policy(&mut demanded);
    let comparison = compare_edited(edit).expect("the edited records are comparable");
    judge(
        &comparison.with_tags(tags()),
        &demanded,
        JudgeOptions::default(),
    )
}

/// Every third scene was filmed at night; six cameras of ten scenes each.
pub(crate) fn tags() -> BTreeMap<String, SceneTags> {
    let tags = |i: usize| SceneTags {
        camera: Some(format!("cam-{}", i % 6)),
        slices: if i.is_multiple_of(3) {
            vec!["night".to_owned()]
        } else {
            Vec::new()
        },
    };
    (0..N_SCENES)
        .map(|i| (format!("scene-{i:02}"), tags(i)))
        .collect()
}

/// Makes the last `n` scenes sentinels.
pub(crate) fn with_sentinels(n: usize) -> impl Fn(&mut Evidence, &mut Evidence) {
    move |base, cand| {
        for evidence in [base, cand] {
            let ids = &evidence.record.plan.scene_ids;
            let ids = ids[ids.len() - n..].to_vec();
            evidence.record.sentinels = Some(Sentinels {
                set: SceneSetIdentity {
                    name: "sentinelas-pt".into(),
                    ..evidence.record.scenes.clone()
                },
                ids,
            });
        }
    }
}

/// The outcome of [`judge_edited`], or invalid where the records are refused.
pub(crate) fn outcome_of(edit: impl FnOnce(&mut Evidence, &mut Evidence)) -> Outcome {
    match compare_edited(edit) {
        Ok(comparison) => judge(&comparison, &Policy::built_in(), JudgeOptions::default()).outcome,
        Err(_) => Outcome::Invalid,
    }
}

/// Compares the fixture after an edit of both roles.
pub(crate) fn compare_edited(
    edit: impl FnOnce(&mut Evidence, &mut Evidence),
) -> Result<Comparison, Error> {
    let (mut base, mut cand) = roles();
    edit(&mut base, &mut cand);
    Comparison::new(base, cand)
}

/// Sets one metric of every scene.
pub(crate) fn set_scores(evidence: &mut Evidence, metric: &'static str, of: impl Fn(usize) -> f64) {
    for (i, scene) in evidence.scores.iter_mut().enumerate() {
        scene.scores.insert(metric, Score::Value(of(i)));
    }
}

/// Multiplies the times of every segment.
pub(crate) fn scale_times(evidence: &mut Evidence, factor: f64) {
    for launch in &mut evidence.record.launches {
        for segment in launch.decode.iter_mut().chain(&mut launch.prefill) {
            segment.cpu_ns = scaled(segment.cpu_ns, factor);
            segment.wall_ns = scaled(segment.wall_ns, factor);
        }
    }
}

pub(crate) fn scaled(ns: u64, factor: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of the fixture are small and positive"
    )]
    let scaled = (ns as f64 * factor) as u64;
    scaled
}

fn evidence(role: Role) -> Evidence {
    let record = record(role);
    let scores = record
        .plan
        .scene_ids
        .iter()
        .map(|scene| scene_scores(scene))
        .collect();
    Evidence { record, scores }
}

fn scene_scores(scene: &str) -> SceneScores {
    let values = [
        ("object_recall", 0.8),
        ("object_precision", 0.9),
        ("fact_ok", 1.0),
        ("hallucination_rate", 0.0),
        ("fact_score", 1.0),
        ("valid", 1.0),
        ("empty", 0.0),
        ("truncated", 0.0),
        ("loop", 0.0),
        ("chrf_pp", 0.5),
        ("output_tokens", 3.0),
    ];
    let scores: BTreeMap<_, _> = values
        .into_iter()
        .map(|(metric, value)| (metric, Score::Value(value)))
        .collect();
    SceneScores {
        scene: scene.to_owned(),
        scores,
        notes: Vec::new(),
        reasons: Vec::new(),
    }
}

fn record(role: Role) -> RunRecord {
    let scene_ids: Vec<String> = (0..N_SCENES).map(|i| format!("scene-{i:02}")).collect();
    let (name, version) = match role {
        Role::Baseline => ("tiny", "1.0.0"),
        Role::Candidate => ("tiny", "1.1.0"),
    };
    RunRecord {
        schema_version: record::SCHEMA_VERSION,
        run_id: "run-1".into(),
        role,
        started_at: "2026-01-02T03:04:05Z".into(),
        model: ModelIdentity {
            name: name.into(),
            version: Some(version.into()),
            is_pinned: true,
            release_digest: Sha256::of(version.as_bytes()),
            files: vec![FileIdentity {
                name: "model.safetensors".into(),
                sha256: Sha256::of(version.as_bytes()),
                size_bytes: Bytes(1000),
            }],
            card: Some("bitnet 1.2M".into()),
            tokenizer_sha256: Some(Sha256::of(b"tokenizer")),
            layers_sha256: Some(Sha256::of(version.as_bytes())),
        },
        scenes: SceneSetIdentity {
            name: "cenas-pt".into(),
            version: "1.0.0".into(),
            scenes_sha256: Sha256::of(b"scenes"),
            prompt_sha256: Sha256::of(b"prompt"),
            renderer: "scene-text/1".into(),
            lexicon_sha256: Sha256::of(b"lexicon"),
        },
        sentinels: None,
        host: host(),
        outputs: scene_ids
            .iter()
            .enumerate()
            .map(|(i, scene)| output(scene, i < N_TIMED))
            .collect(),
        plan: PlanSummary {
            seed: Sha256::of(b"seed"),
            scene_ids,
            batch: 8,
            n_timed: N_TIMED,
            n_read: N_READ,
            n_launches: N_LAUNCHES,
            n_controls: 0,
            looks: Vec::new(),
            stopped: None,
            pairs_per_launch: N_PAIRS,
            segment_tokens: Some(32),
            max_new_tokens: 160,
            threads: 1,
            worker_memory_bytes: None,
            protocol_version: 2,
        },
        load: LoadSettings::default(),
        workers: [96, 97]
            .map(|huge| WorkerFacts {
                pass: "memory".into(),
                kernel: "scalar".into(),
                threads: 1,
                anon_bytes: Bytes(100 << 20),
                huge_bytes: Some(Bytes(huge << 20)),
            })
            .to_vec(),
        planted: None,
        memory: (0..3).map(|_| memory_run()).collect(),
        launches: (0..N_LAUNCHES).map(|index| launch(role, index)).collect(),
        readings: scene_ids_read(N_READ)
            .flat_map(|scene| readings(role, &scene))
            .collect(),
        failure: None,
        notes: Vec::new(),
        environment: None,
        controls: Vec::new(),
        n_repeated_launches: 0,
        n_resumed: 0,
        reused_outputs: Vec::new(),
    }
}

fn scene_ids_read(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|i| format!("scene-{i:02}"))
}

/// Four tokens of each of three texts; a token costs the baseline two bits and the candidate one.
fn readings(role: Role, scene: &str) -> Vec<Reading> {
    let nll = match role {
        Role::Baseline => 2.0 * std::f32::consts::LN_2,
        Role::Candidate => std::f32::consts::LN_2,
    };
    let texts = [
        TextSource::Reference(0),
        TextSource::BaselineOutput,
        TextSource::CandidateOutput,
    ];
    let reading = |text| Reading {
        scene: scene.to_owned(),
        text,
        n_bytes: 16,
        nll: vec![nll; 4],
        distance: (role == Role::Candidate && text == TextSource::Reference(0)).then(|| {
            ReadingDistance {
                divergence: vec![0.25, 0.0, 0.5, 0.25],
                other_first: vec![2],
            }
        }),
        absent: None,
    };
    texts.map(reading).into()
}

fn host() -> HostKey {
    HostKey {
        cpu: "cpu".into(),
        usable_cpus: 2,
        os_release: "6.1".into(),
        vv_eval_version: "0.1.0".into(),
        rustc: "1.89.0".into(),
        kernel: "scalar".into(),
        detected_features: Vec::new(),
        compiled_features: Vec::new(),
    }
}

fn output(scene: &str, is_timed: bool) -> OutputObservation {
    OutputObservation {
        scene: scene.to_owned(),
        n_prompt: 40,
        token_ids: vec![1, 2, 3],
        text: format!("Um carro passa em {scene}."),
        stop: StopReason::Eos,
        times: is_timed.then(|| NaturalTimes {
            ttft_ns: 8_000_000,
            itl_ns: vec![1_000_000, 1_000_000],
            e2e_ns: 10_100_000,
        }),
    }
}

fn memory_run() -> MemoryRun {
    MemoryRun {
        load_ns: 20_000_000,
        load_cpu_ns: None,
        load_peak_bytes: Bytes(90 << 20),
        peak_bytes: Bytes(100 << 20),
        anon_bytes: Bytes(80 << 20),
        file_bytes: Bytes(20 << 20),
        phases: Vec::new(),
    }
}

/// The candidate's times wander by up to half a percent from launch to launch.
fn launch(role: Role, index: usize) -> Launch {
    let noise = match role {
        Role::Baseline => 1.0,
        Role::Candidate => 1.0 + 0.005 * ((index * 7 + 1) as f64).sin(),
    };
    let segment = |pair: usize, wall_ns: u64| Segment {
        scene: format!("scene-{pair:02}"),
        n_tokens: 32,
        wall_ns: scaled(wall_ns, noise),
        cpu_ns: scaled(wall_ns, noise * 0.95),
        went_first: pair.is_multiple_of(2) == (role == Role::Baseline),
        health: None,
    };
    Launch {
        index,
        decode: (0..N_PAIRS).map(|pair| segment(pair, 64_000_000)).collect(),
        prefill: (0..N_PAIRS).map(|pair| segment(pair, 32_000_000)).collect(),
        machine: None,
        pages: None,
    }
}
