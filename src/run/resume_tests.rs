//! Runs with canned workers, cut off after each line of their journal and taken up again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::tests::{Steps, pair_inputs, plan};
use super::*;
use crate::record::journal::FILE_NAME;
use crate::record::{Environment, PlannedLook};
use crate::units::{Bytes, Sha256};

const N_SCENES: usize = 5;

/// Notes every scene a worker is asked to write, in a batch or alone.
const LOG: &str = r#"case "$op" in
    '{"generate_batch"'*) for one in $scene; do echo "$role $one" >> $dir/batches; done ;;
    '{"generate"'*) echo "$role $scene" >> $dir/alone ;;
esac"#;

fn long() -> Duration {
    Duration::from_secs(60)
}

fn go(folder: &Path, resumes: bool) -> Result<(RunRecord, RunRecord), Error> {
    let mut inputs = pair_inputs(folder, LOG, N_SCENES);
    inputs.resumes = resumes;
    run_pair(&inputs, &plan(N_SCENES, long()), &mut Steps::default())
}

/// The plan with so many launches of the baseline beside itself.
fn controlled(controls: usize) -> RunPlan {
    let digest = Sha256::of(b"x");
    let seeds = SeedInputs {
        baseline: digest,
        candidate: digest,
        scene_set: digest,
        policy: digest,
    };
    let effort = plan(N_SCENES, long()).effort;
    RunPlan::new(&seeds, N_SCENES, Effort { controls, ..effort })
}

fn journal(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("run").join(FILE_NAME)).unwrap()
}

fn lines(folder: &Path, name: &str) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// The record as it would be without its times, its workers and its history.
fn quality(record: &RunRecord) -> String {
    let outputs: Vec<_> = record
        .outputs
        .iter()
        .map(|output| crate::record::OutputObservation {
            times: None,
            ..output.clone()
        })
        .collect();
    serde_json::to_string(&(&record.model, &record.plan, outputs, &record.readings)).unwrap()
}

#[test]
fn a_run_cut_off_after_any_line_goes_on_and_does_nothing_twice() {
    let whole = tempfile::tempdir().unwrap();
    let (base, cand) = go(whole.path(), false).unwrap();
    let text = journal(whole.path());
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    // Every third line keeps the test short; the step is no divisor of any pass's length.
    for cut in (1..all.len()).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let kept = all[..cut].concat();
        // A half of the next line stands behind, as a kill leaves it.
        let torn = &all[cut][..all[cut].len() / 2];
        std::fs::write(
            folder.path().join("run").join(FILE_NAME),
            kept.clone() + torn,
        )
        .unwrap();
        let (base_again, cand_again) = go(folder.path(), true).unwrap();
        for (again, first) in [(&base_again, &base), (&cand_again, &cand)] {
            assert_eq!(quality(again), quality(first), "cut after line {cut}");
            assert_eq!(
                (again.run_id.as_str(), again.n_resumed),
                (first.run_id.as_str(), 1)
            );
            assert_eq!((again.launches.len(), again.memory.len()), (2, 2));
            assert!(again.outputs.iter().all(|output| output.times.is_some()));
        }
        let text = journal(folder.path());
        assert!(text.starts_with(&kept), "cut after line {cut}");
        assert_eq!(text.matches("{\"readings\":{").count(), N_SCENES);
        for role in ["baseline", "candidate"] {
            for scene in 1..=N_SCENES {
                let unit = format!(
                    "{{\"output\":{{\"role\":\"{role}\",\"output\":{{\"scene\":\"s{scene}\""
                );
                assert_eq!(text.matches(&unit).count(), 1, "{unit} after line {cut}");
                let is_kept = kept.contains(&unit);
                let n_written = lines(folder.path(), "batches")
                    .get(&format!("{role} s{scene}"))
                    .copied();
                assert_eq!(
                    n_written.is_none(),
                    is_kept,
                    "{role} s{scene} after line {cut}"
                );
            }
        }
    }
}

#[test]
fn a_finished_run_is_taken_up_without_work() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = go(folder.path(), false).unwrap();
    let (batches, alone) = (
        lines(folder.path(), "batches"),
        lines(folder.path(), "alone"),
    );
    let (again, _) = go(folder.path(), true).unwrap();
    assert_eq!(again.launches, first.launches);
    assert_eq!(again.outputs, first.outputs);
    assert_eq!(
        (again.readings.len(), &again.readings),
        (20, &first.readings)
    );
    assert_eq!(lines(folder.path(), "batches"), batches);
    assert_eq!(lines(folder.path(), "alone"), alone);
}

#[test]
fn a_failure_before_the_kill_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let hook = r#"case "$role/$scene/$op" in candidate/*s2*/*generate*) kill -9 $$ ;; esac"#;
    let mut inputs = pair_inputs(folder.path(), hook, N_SCENES);
    let first = run_pair(&inputs, &plan(N_SCENES, long()), &mut Steps::default()).unwrap();
    // With workers that would do well now.
    inputs.worker = pair_inputs(folder.path(), "", N_SCENES).worker;
    inputs.resumes = true;
    let again = run_pair(&inputs, &plan(N_SCENES, long()), &mut Steps::default()).unwrap();
    assert!(again.1.failure.is_some());
    assert_eq!(
        (again.1.failure, again.1.notes),
        (first.1.failure, first.1.notes)
    );
}

#[test]
fn another_plan_is_named_when_a_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    go(folder.path(), false).unwrap();
    let mut inputs = pair_inputs(folder.path(), LOG, N_SCENES);
    inputs.resumes = true;
    let mut plan = plan(N_SCENES, long());
    plan.effort.max_new_tokens += 1;
    let error = run_pair(&inputs, &plan, &mut Steps::default()).unwrap_err();
    assert!(
        matches!(error, Error::ForeignJournal { field: "plan", .. }),
        "{error}"
    );
    let with_controls = controlled(1);
    let error = run_pair(&inputs, &with_controls, &mut Steps::default()).unwrap_err();
    assert!(
        matches!(error, Error::ForeignJournal { field: "plan", .. }),
        "{error}"
    );
    inputs.candidate.load.head = "f16".to_owned();
    let error = run_pair(&inputs, &plan, &mut Steps::default()).unwrap_err();
    assert!(error.to_string().contains("`load` was"), "{error}");
}

/// A change of what surrounds a run.
type Edit = fn(&mut Environment);

#[test]
fn another_machine_is_named_when_a_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = pair_inputs(folder.path(), LOG, N_SCENES);
    let record = empty_records(&inputs, &plan(N_SCENES, long()), "now").unwrap();
    let before = resume::header(&inputs, &record.baseline);
    assert!(before.environment.is_some());
    assert!(resume::check_same(&before, &before).is_ok());
    let edits: [(&str, Edit); 4] = [
        ("huge_page_mode", |it| {
            it.huge_page_mode = Some("never?".into());
        }),
        ("governor", |it| it.governor = Some("powersave?".into())),
        ("cpu_quota", |it| it.cpu_quota = Some(0.25)),
        ("memory_limit_bytes", |it| {
            it.memory_limit_bytes = Some(Bytes(1));
        }),
    ];
    for (field, edit) in edits {
        let mut now = before.clone();
        edit(now.environment.as_mut().unwrap());
        let error = resume::check_same(&before, &now).unwrap_err();
        assert!(
            error.to_string().contains(&format!("`{field}` was")),
            "{error}"
        );
    }
}

#[test]
fn nothing_to_resume_is_a_fresh_run() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = go(folder.path(), true).unwrap();
    assert_eq!((base.n_resumed, base.outputs.len()), (0, N_SCENES));
}

/// Stops at the look after so many launches.
struct Referee {
    at: usize,
    seen: Vec<usize>,
}

impl Progress for Referee {
    fn step(&mut self, _: &str, _: usize, _: usize, _: &str) {}

    fn look(&mut self, baseline: &RunRecord, candidate: &RunRecord) -> Option<String> {
        assert_eq!(baseline.launches.len(), baseline.plan.n_launches);
        assert_eq!(candidate.launches.len(), candidate.plan.n_launches);
        self.seen.push(baseline.launches.len());
        (baseline.launches.len() == self.at).then(|| "it is decided".to_owned())
    }
}

fn looked(at: usize, budget: Option<Duration>) -> (RunRecord, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let inputs = pair_inputs(folder.path(), "", 2);
    let looks = [1, 2, 4].map(|launches| PlannedLook {
        launches,
        share: 0.3,
    });
    let plan = plan(2, long());
    let effort = Effort {
        n_launches: 4,
        looks: looks.to_vec(),
        controls: 2,
        budget,
        ..plan.effort
    };
    let digest = Sha256::of(b"x");
    let seeds = SeedInputs {
        baseline: digest,
        candidate: digest,
        scene_set: digest,
        policy: digest,
    };
    let mut referee = Referee {
        at,
        seen: Vec::new(),
    };
    let plan = RunPlan::new(&seeds, 2, effort);
    let (baseline, candidate) = run_pair(&inputs, &plan, &mut referee).unwrap();
    assert_eq!(baseline.plan, candidate.plan);
    assert_eq!(baseline.controls.len(), candidate.controls.len());
    (baseline, referee.seen)
}

#[test]
fn a_look_that_decides_ends_the_launches() {
    let (record, seen) = looked(2, None);
    assert_eq!(
        (seen, record.launches.len(), record.plan.n_launches),
        (vec![1, 2], 2, 2)
    );
    let reason = record.plan.stopped.unwrap();
    assert_eq!(reason, "after 2 launches: it is decided");
}

#[test]
fn a_run_that_is_never_decided_takes_all_its_launches() {
    let (record, seen) = looked(9, None);
    assert_eq!((seen, record.launches.len()), (vec![1, 2], 4));
    assert_eq!(record.plan.stopped, None);
    assert_eq!(record.controls.len(), 2);
    // Controls are the baseline twice: their workers are the baseline's.
    let of_latency = |record: &RunRecord| {
        let workers = record.workers.iter();
        workers.filter(|worker| worker.pass == "latency").count()
    };
    // One to calibrate, one a launch, two a control.
    assert_eq!(of_latency(&record), 1 + 4 + 2 * 2);
}

#[test]
fn a_budget_that_is_used_up_begins_no_launch() {
    let (record, _) = looked(9, Some(Duration::from_nanos(1)));
    assert_eq!((record.launches.len(), record.plan.n_launches), (0, 0));
    let reason = record.plan.stopped.unwrap();
    assert!(
        reason.contains("the budget of 0.0 minutes is used up"),
        "{reason}"
    );
}

#[test]
fn outputs_of_an_earlier_run_are_taken_over_and_a_planted_run_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, planted: Option<&str>| {
        let here = folder.path().join(name);
        std::fs::create_dir(&here).unwrap();
        let mut inputs = pair_inputs(&here, LOG, N_SCENES);
        inputs.cache_dir = Some(folder.path().join("cache"));
        inputs.candidate.planted = planted.map(str::to_owned);
        let (_, candidate) =
            run_pair(&inputs, &plan(N_SCENES, long()), &mut Steps::default()).unwrap();
        (candidate, lines(&here, "batches").len())
    };
    // A planted candidate: only the baseline's five are kept.
    let (planted, written) = run("planted", Some("slow:3"));
    assert_eq!((planted.reused_outputs.len(), written), (0, 2 * N_SCENES));
    let (first, written) = run("first", None);
    assert_eq!((first.reused_outputs.len(), written), (0, N_SCENES));
    let (second, written) = run("second", None);
    assert_eq!((second.reused_outputs.len(), written), (N_SCENES, 0));
    assert_eq!(second.reused_outputs[0].run_id, first.run_id);
    assert_eq!(quality(&second), quality(&first));
    let (again, written) = run("planted again", Some("slow:3"));
    assert_eq!((again.reused_outputs.len(), written), (0, N_SCENES));
}
