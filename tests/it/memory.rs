//! Peak memory is the worker's own, and every byte of it.

use std::time::Duration;

use vv_eval::artifact;
use vv_eval::record::{LoadSettings, RunRecord, SceneSetIdentity};
use vv_eval::run::{
    Effort, PairInputs, Progress, RoleInput, RunPlan, SceneInput, SeedInputs, WorkerCommand,
    run_pair,
};
use vv_eval::units::Sha256;

use super::common::{PROGRAM, model};

const MIB: u64 = 1 << 20;

struct Silent;

impl Progress for Silent {
    fn step(&mut self, _: &str, _: usize, _: usize, _: &str) {}
}

fn role(planted: Option<&str>) -> RoleInput {
    let model = artifact::resolve(&model("1.1.0")).unwrap();
    RoleInput {
        files: model.files,
        name: model.name,
        version: model.version,
        load: LoadSettings::default(),
        planted: planted.map(str::to_owned),
    }
}

/// Runs the memory pass of two roles in real workers.
fn measured(planted: [Option<&str>; 2]) -> [RunRecord; 2] {
    let folder = tempfile::tempdir().unwrap();
    let digest = Sha256::of(b"memory");
    let [baseline, candidate] = planted.map(role);
    let inputs = PairInputs {
        baseline,
        candidate,
        scenes: vec![SceneInput {
            id: "one".to_owned(),
            prompt_text: "carro 09:00-09:05 ".repeat(8),
            forced_text: String::new(),
            references: Vec::new(),
        }],
        scene_set: SceneSetIdentity {
            name: "memory".to_owned(),
            version: "1".to_owned(),
            scenes_sha256: digest,
            prompt_sha256: digest,
            renderer: "text".to_owned(),
            lexicon_sha256: digest,
        },
        worker: WorkerCommand {
            program: PROGRAM.into(),
            args: vec!["__worker".into()],
        },
        sentinels: None,
        journal_dir: folder.path().to_owned(),
        resumes: false,
        cache_dir: None,
    };
    let seeds = SeedInputs {
        baseline: digest,
        candidate: digest,
        scene_set: digest,
        policy: digest,
    };
    let effort = Effort {
        n_launches: 0,
        memory_runs: 3,
        max_new_tokens: 40,
        scene_timeout: Duration::from_secs(60),
        ..Effort::default()
    };
    let (baseline, candidate) =
        run_pair(&inputs, &RunPlan::new(&seeds, 1, effort), &mut Silent).unwrap();
    [baseline, candidate]
}

/// Median peak of the memory pass, in bytes.
fn peak(record: &RunRecord) -> u64 {
    assert_eq!(record.failure, None);
    let mut peaks: Vec<u64> = record.memory.iter().map(|run| run.peak_bytes.0).collect();
    assert_eq!(peaks.len(), 3);
    peaks.sort_unstable();
    peaks[1]
}

#[track_caller]
fn assert_alike(found: u64, expected: u64) {
    // Peaks of these small models differ by up to 3 % from start to start, more where huge pages
    // join; 4 MiB is 0.8 % of what is held beside them.
    assert!(
        found.abs_diff(expected) < 4 * MIB,
        "{found} against {expected}"
    );
}

/// 512 MiB, every page of it touched.
fn ballast() -> Vec<u8> {
    let mut ballast = vec![0u8; 512 << 20];
    for page in ballast.chunks_mut(4096) {
        page[0] = 1;
    }
    ballast
}

#[test]
fn memory_of_the_parent_and_of_the_other_worker_is_not_counted() {
    let [base, cand] = measured([None, None]);
    let (base, cand) = (peak(&base), peak(&cand));
    // The same files in both places.
    assert_alike(cand, base);

    let held = ballast();
    let [with_fat_parent, _] = measured([None, None]);
    std::hint::black_box(&held);
    drop(held);
    assert_alike(peak(&with_fat_parent), base);

    // Half a gigabyte of its own, so that a hundredth of the reading is more than starts differ by.
    let [alone, _] = measured([Some("ballast:512"), None]);
    let alone = peak(&alone);
    let assert_same = |found: u64| {
        let change = found as f64 / alone as f64 - 1.0;
        assert!(change.abs() < 0.01, "{found} against {alone}");
    };
    let [beside_fat, _] = measured([Some("ballast:512"), Some("ballast:512")]);
    assert_same(peak(&beside_fat));
    let held = ballast();
    let [with_fat_parent, _] = measured([Some("ballast:512"), None]);
    std::hint::black_box(&held);
    assert_same(peak(&with_fat_parent));
    drop(held);

    let [fat, beside_fat] = measured([Some("ballast:512"), None]);
    assert_alike(peak(&beside_fat), cand);
    let held = peak(&fat) - base;
    assert!(held.abs_diff(512 * MIB) < 4 * MIB, "{held}");
}

#[test]
fn a_transient_of_a_millisecond_is_seen_in_the_phase_it_lived_in() {
    let [calm, brief] = measured([None, Some("transient:64")]);
    let seen = peak(&brief) - peak(&calm);
    assert!(seen.abs_diff(64 * MIB) < 2 * MIB, "{seen}");
    let peaks = |record: &RunRecord| {
        let phases = record.memory[0].phases.iter();
        let phases: Vec<_> = phases
            .map(|phase| (phase.name.clone(), phase.peak_bytes.0, phase.is_own_peak))
            .collect();
        let [(load, of_load, _), (inference, of_inference, is_own)] = &phases[..] else {
            panic!("{phases:?}")
        };
        assert_eq!((load.as_str(), inference.as_str()), ("load", "inference"));
        (*of_load, *of_inference, *is_own)
    };
    let (calm_load, _, _) = peaks(&calm);
    let (load, inference, is_own) = peaks(&brief);
    assert!(load.abs_diff(calm_load) < 2 * MIB);
    if is_own {
        assert!(inference > load + 60 * MIB, "{load} {inference}");
    }
}
