//! Whole runs against a worker that is a shell script and answers from a table.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::record::{FailureKind, StopReason, TextSource};
use crate::units::{Bytes, Sha256};

/// Answers every request at once. `HOOK` runs before each answer and may change `body`, or end the
/// worker; it sees `role`, `op`, `scene` (all scenes of a batch) and a folder `dir` of its own.
const SCRIPT: &str = r#"
dir=$1; role=; scene=; handle=0; tok=$(printf '%064d' 1); card=fake
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  op=${line#*\"do\":}
  case "$op" in
    '{"hello"'*)
      case "$op" in *candidate*) role=candidate ;; *) role=baseline ;; esac
      body='{"hello":{"protocol":4,"version":"0","pid":1,"kernel":"fake-kernel"}}' ;;
    '{"load"'*)
      body='{"load":{"load_ns":5,"load_cpu_ns":4,"verify_ns":1,"card":"fake '$role'","tokenizer_sha256":"'$tok'","context_limit":64,"threads":1,"anon_bytes":2048,"huge_bytes":1024}}' ;;
    '{"warmup"'*) body='"warmup"' ;;
    '{"open"'*)
      scene=${op#*\"scene\":\"}; scene=${scene%%\"*}; handle=$((handle+1))
      case "$op" in *'{"forced"'*) forced=48 ;; *) forced=0 ;; esac
      body='{"open":{"handle":'$handle',"n_prompt":16,"n_forced":'$forced'}}' ;;
    '{"prefill"'*) body='{"prefill":{"tokens":16,"wall_ns":16000000,"cpu_ns":15000000}}' ;;
    '{"decode"'*)
      tokens=${op#*\"tokens\":}; tokens=${tokens%%\}*}
      body='{"decode":{"tokens":'$tokens',"wall_ns":'$((tokens*2000000))',"cpu_ns":'$((tokens*1900000))'}}' ;;
    '{"generate"'*)
      body='{"generate":{"n_prompt":16,"token_ids":[1,2],"text":"'$role' '$scene'","stop":"eos","ttft_ns":3,"itl_ns":[4],"e2e_ns":9}}' ;;
    '{"generate_batch"'*)
      rest=$op; outputs=; scene=
      while :; do case "$rest" in
        *'"scene":"'*)
          rest=${rest#*\"scene\":\"}; one=${rest%%\"*}; scene="$scene $one"
          outputs=$outputs',{"ok":{"n_prompt":16,"token_ids":[1,2],"text":"'$role' '$one'","stop":"eos"}}' ;;
        *) break ;;
      esac; done
      body='{"generate_batch":{"outputs":['${outputs#,}']}}' ;;
    '{"read"'*)
      # The texts of the first scene only: a worker may stop when it likes.
      texts=; first=${op#*\"texts\":[}; first=${first%%]*}; scene=${op#*\"scene\":\"}; scene=${scene%%\"*}
      while :; do case "$first" in
        *'"is_compared":true'*'"is_compared":'*) first=${first#*'"is_compared":true'}; compared=1 ;;
        *'"is_compared":false'*) first=${first#*'"is_compared":false'}; compared= ;;
        *) break ;;
      esac
      case "$compared/$op" in
        1/*'"compare"'*) texts="$texts"',{"nll":[0.5,0.25],"divergence":[0.125,0.0],"other_first":[0]}' ;;
        *) texts="$texts"',{"nll":[0.5,0.25]}' ;;
      esac; done
      body='{"read":{"scenes":[{"texts":['${texts#,}']}]}}' ;;
    '{"close"'*) body='"close"' ;;
    '{"snapshot"'*) body='{"snapshot":{"peak_bytes":4096,"anon_bytes":2048,"file_bytes":1024,"is_reset":true}}' ;;
    '"bye"'*) body='"bye"' ;;
  esac
  outcome=ok
  HOOK
  printf '%s\n' "{\"id\":$id,\"$outcome\":$body}"
  case "$op" in '"bye"'*) exit 0 ;; esac
done
"#;

/// Ends the candidate's worker while it writes scene `s2`.
const CRASH: &str = r#"case "$role/$scene/$op" in candidate/*s2*/*generate*) echo "thread panicked" >&2; kill -9 $$ ;; esac"#;

/// Refuses the model of a role as broken.
fn refusing(role: &str) -> String {
    format!(
        r#"case "$role/$op" in {role}/*load*) outcome=err
        body='{{"kind":"load_refused","message":"bad shape"}}' ;; esac"#
    )
}

fn once(hook: &str) -> String {
    format!(
        "if [ ! -e $dir/mark ]; then {} fi",
        hook.replace("kill -9", ": > $dir/mark; kill -9")
    )
}

#[derive(Default)]
pub(super) struct Steps(Vec<String>);

impl Progress for Steps {
    fn step(&mut self, phase: &str, done: usize, total: usize, _: &str) {
        self.0.push(format!("{phase} {done}/{total}"));
    }
}

fn role_input(name: &str) -> RoleInput {
    RoleInput {
        files: ModelFiles {
            files: BTreeMap::new(),
            is_pinned: false,
            release_digest: Sha256::of(name.as_bytes()),
            origin: name.into(),
        },
        name: name.to_owned(),
        version: None,
        load: LoadSettings::default(),
        planted: None,
    }
}

pub(super) fn pair_inputs(folder: &Path, hook: &str, n_scenes: usize) -> PairInputs {
    let digest = Sha256::of(b"set");
    let script = SCRIPT.replace("HOOK", hook);
    PairInputs {
        baseline: role_input("old"),
        candidate: role_input("new"),
        scenes: (1..=n_scenes)
            .map(|i| SceneInput {
                id: format!("s{i}"),
                prompt_text: "p".repeat(i),
                forced_text: format!("reference {i}"),
                references: vec![format!("reference {i}"), format!("other {i}")],
            })
            .collect(),
        sentinels: None,
        scene_set: SceneSetIdentity {
            name: "set".to_owned(),
            version: "1".to_owned(),
            scenes_sha256: digest,
            prompt_sha256: digest,
            renderer: "scene-text/1".to_owned(),
            lexicon_sha256: digest,
        },
        worker: WorkerCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into(), "worker".into(), folder.into()],
        },
        journal_dir: folder.join("run"),
        resumes: false,
        cache_dir: None,
    }
}

pub(super) fn plan(n_scenes: usize, timeout: Duration) -> RunPlan {
    let digest = Sha256::of(b"x");
    let seeds = SeedInputs {
        baseline: digest,
        candidate: digest,
        scene_set: digest,
        policy: digest,
    };
    let effort = Effort {
        n_launches: 2,
        pairs_per_launch: 3,
        memory_runs: 2,
        scene_timeout: timeout,
        ..Effort::default()
    };
    RunPlan::new(&seeds, n_scenes, effort)
}

struct Seen {
    outcome: Result<(RunRecord, RunRecord), Error>,
    steps: Vec<String>,
    journal: String,
}

fn run(hook: &str) -> Seen {
    run_within(hook, Duration::from_secs(60))
}

fn run_within(hook: &str, timeout: Duration) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let inputs = pair_inputs(folder.path(), hook, 5);
    let mut steps = Steps::default();
    let outcome = run_pair(&inputs, &plan(5, timeout), &mut steps);
    let journal = std::fs::read_to_string(folder.path().join("run/journal.jsonl")).unwrap();
    Seen {
        outcome,
        steps: steps.0,
        journal,
    }
}

#[test]
fn a_whole_run_fills_both_records() {
    let Seen {
        outcome,
        steps,
        journal,
    } = run("");
    let (baseline, candidate) = outcome.unwrap();
    assert_eq!(baseline.run_id, candidate.run_id);
    assert_eq!(baseline.host.kernel, "fake-kernel");
    for record in [&baseline, &candidate] {
        let role = record.role;
        assert_eq!(record.model.card, Some(format!("fake {role}")));
        assert_eq!(record.memory.len(), 2);
        assert_eq!(record.memory[0].peak_bytes, Bytes(4096));
        let scenes: Vec<_> = record
            .outputs
            .iter()
            .map(|output| output.scene.clone())
            .collect();
        assert_eq!(scenes, record.plan.scene_ids);
        assert_eq!(record.outputs[0].text, format!("{role} {}", scenes[0]));
        assert_eq!(record.outputs[0].stop, StopReason::Eos);
        assert_eq!(
            record
                .launches
                .iter()
                .map(|launch| launch.index)
                .collect::<Vec<_>>(),
            [0, 1]
        );
        // 2 ms per token: 40 tokens make 80 ms.
        assert_eq!(record.plan.segment_tokens, Some(40));
        let read: Vec<_> = record
            .readings
            .iter()
            .map(|it| (it.scene.clone(), it.text))
            .collect();
        let planned = scenes.iter().flat_map(|scene| {
            let texts = [
                TextSource::Reference(0),
                TextSource::Reference(1),
                TextSource::BaselineOutput,
                TextSource::CandidateOutput,
            ];
            texts.map(|text| (scene.clone(), text))
        });
        assert_eq!(read, planned.collect::<Vec<_>>());
        for reading in &record.readings {
            assert_eq!(reading.nll, [0.5, 0.25]);
            let is_reference = matches!(reading.text, TextSource::Reference(_));
            let is_compared = role == Role::Candidate && is_reference;
            assert_eq!(reading.distance.is_some(), is_compared, "{reading:?}");
        }
        assert_eq!(record.readings[2].n_bytes, "baseline s1".len());
        assert_eq!(record.failure, None);
        assert_eq!(record.notes, [""; 0]);
    }
    for (one, two) in baseline.launches.iter().zip(&candidate.launches) {
        assert_eq!((one.decode.len(), one.prefill.len()), (3, 3));
        let segments = one.decode.iter().zip(&two.decode);
        for (a, b) in segments.chain(one.prefill.iter().zip(&two.prefill)) {
            assert_eq!((&a.scene, a.n_tokens), (&b.scene, b.n_tokens));
            assert_ne!(a.went_first, b.went_first);
        }
    }
    assert_eq!(steps.first().unwrap(), "memory 0/4");
    assert!(steps.contains(&"outputs 10/10".to_owned()));
    assert!(steps.contains(&"latency 2/2".to_owned()));
    assert_eq!(steps.last().unwrap(), "likelihood 5/5");
    // One launch is calibration.
    let units = |name: &str| journal.matches(&format!("\"unit\":{{\"{name}\"")).count();
    let counted = [
        "header",
        "loads",
        "worker",
        "memory",
        "output",
        "times",
        "calibration",
        "launch",
        "readings",
    ]
    .map(units);
    assert_eq!(counted, [1, 2, 18, 4, 10, 10, 1, 2, 5]);
    assert_eq!(journal.lines().count(), counted.iter().sum::<usize>());
}

#[test]
fn the_records_of_a_run_can_be_saved_and_loaded() {
    let (baseline, candidate) = run("").outcome.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for record in [baseline, candidate] {
        let path = record.save(folder.path()).unwrap();
        assert_eq!(RunRecord::load(&path).unwrap(), record);
    }
}

#[test]
fn a_model_that_crashes_twice_has_failed() {
    let Seen {
        outcome, journal, ..
    } = run(CRASH);
    // The longest prompt is that of `s5`, so the memory pass is not hit.
    let (baseline, candidate) = outcome.unwrap();
    let failure = candidate.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Crashed);
    assert_eq!(
        (failure.pass.as_str(), failure.scene.as_deref()),
        ("outputs", Some("s2"))
    );
    assert_eq!(
        (failure.detail.as_str(), failure.stderr_tail.as_str()),
        ("signal 9", "thread panicked")
    );
    assert_eq!(baseline.failure, None);
    assert!(baseline.launches.is_empty() && candidate.launches.is_empty());
    assert_eq!(candidate.notes.len(), 1);
    assert!(journal.lines().last().unwrap().contains("\"failure\""));
}

#[test]
fn a_crash_that_does_not_repeat_is_noted() {
    let (baseline, candidate) = run(&once(CRASH)).outcome.unwrap();
    assert_eq!(candidate.failure, None);
    let [note] = &candidate.notes[..] else {
        panic!("{:?}", candidate.notes)
    };
    assert!(
        note.starts_with("candidate: signal 9 in a batch of 5 scenes, `s"),
        "{note}"
    );
    assert!(
        note.ends_with(" in pass outputs; repeated in a fresh worker"),
        "{note}"
    );
    assert_eq!(baseline.notes, candidate.notes);
    assert_eq!(candidate.outputs.len(), 5);
    assert_eq!(candidate.launches.len(), 2);
}

#[test]
fn only_one_crash_of_a_role_is_forgiven() {
    // Each scene is written once a worker has crashed over it.
    let hook = r#"case "$role/$scene/$op" in candidate/*s[24]*/*generate*)
        if [ ! -e "$dir/$scene" ]; then : > "$dir/$scene"; kill -9 $$; fi ;; esac"#;
    let (_, candidate) = run(hook).outcome.unwrap();
    assert_eq!(candidate.failure.unwrap().pass, "outputs");
    assert_eq!(candidate.notes.len(), 1);
}

#[test]
fn a_launch_counts_whole_or_not_at_all() {
    let hook = r#"case "$role/$op" in candidate/*decode*) [ -e $dir/n ] || : > $dir/n
        if [ "$(wc -c < $dir/n)" -eq 5 ]; then echo x >> $dir/n; kill -9 $$; fi
        printf x >> $dir/n ;; esac"#;
    let (baseline, candidate) = run(hook).outcome.unwrap();
    assert_eq!(candidate.notes.len(), 1);
    for record in [baseline, candidate] {
        assert_eq!(record.launches.len(), 2);
        assert!(
            record
                .launches
                .iter()
                .all(|launch| launch.decode.len() == 3)
        );
    }
}

#[test]
fn a_model_that_hangs_twice_has_failed() {
    let hook = r#"case "$role/$op" in candidate/*generate*) exec sleep 600 ;; esac"#;
    let (_, candidate) = run_within(hook, Duration::from_millis(500))
        .outcome
        .unwrap();
    let failure = candidate.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.pass.as_str()),
        (FailureKind::TimedOut, "memory")
    );
    assert_eq!(failure.detail, "no answer within 500ms");
    assert_eq!(candidate.notes.len(), 1);
}

#[test]
fn a_model_that_cannot_be_loaded_has_failed_at_once() {
    let (baseline, candidate) = run(&refusing("candidate")).outcome.unwrap();
    let failure = candidate.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.pass.as_str()),
        (FailureKind::LoadRefused, "load")
    );
    assert_eq!(
        (failure.detail.as_str(), failure.scene),
        ("bad shape", None)
    );
    assert!(candidate.notes.is_empty());
    assert_eq!(candidate.model.card, None);
    assert_eq!(baseline.failure, None);
}

#[test]
fn a_baseline_that_cannot_be_loaded_gives_no_records() {
    // Whatever is wrong with the candidate: without a baseline nothing can be said of it.
    for role in ["baseline", "[bc]*"] {
        let error = run(&refusing(role)).outcome.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the baseline cannot be judged: bad shape"
        );
    }
}

#[test]
fn scenes_beyond_the_timed_ones_have_no_times() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = pair_inputs(folder.path(), "", 40);
    let plan = plan(40, Duration::from_secs(60));
    let (baseline, candidate) = run_pair(&inputs, &plan, &mut Steps::default()).unwrap();
    for record in [baseline, candidate] {
        assert_eq!((record.outputs.len(), record.plan.n_timed), (40, 20));
        let scenes: Vec<_> = record.outputs.iter().map(|output| &output.scene).collect();
        assert_eq!(scenes, record.plan.scene_ids.iter().collect::<Vec<_>>());
        for (i, output) in record.outputs.iter().enumerate() {
            assert_eq!(output.times.is_some(), i < 20, "{i}");
        }
        assert_eq!(record.outputs[0].times.as_ref().unwrap().ttft_ns, 3);
    }
}

#[test]
fn one_scene_that_cannot_be_written_leaves_the_others_of_its_batch() {
    let hook = r#"case "$role/$op" in candidate/*generate_batch*)
        good='{"ok":{"n_prompt":16,"token_ids":.1,2.,"text":"'$role' s2","stop":"eos"}}'
        bad='{"err":{"kind":"not_finite","message":"logit 3 is NaN"}}'
        body=$(printf '%s' "$body" | sed "s/$good/$bad/") ;; esac"#;
    let (_, candidate) = run(hook).outcome.unwrap();
    let failure = candidate.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.scene.as_deref()),
        (FailureKind::NotFinite, Some("s2"))
    );
    let planned = candidate.plan.scene_ids.iter();
    let before = planned.take_while(|scene| *scene != "s2").count();
    assert_eq!(candidate.outputs.len(), before);
}

#[test]
fn a_batch_may_take_as_long_as_its_scenes_together() {
    // Each worker of the candidate takes as long for a batch as two of its five scenes may.
    let hook = r#"case "$role/$op" in candidate/*generate_batch*) sleep 2 ;; esac"#;
    let (_, candidate) = run_within(hook, Duration::from_secs(1)).outcome.unwrap();
    assert_eq!((candidate.failure, candidate.notes.len()), (None, 0));
}

#[test]
fn every_worker_that_loaded_a_model_is_described() {
    let (baseline, candidate) = run("").outcome.unwrap();
    for record in [baseline, candidate] {
        let passes: Vec<_> = record.workers.iter().map(|w| w.pass.as_str()).collect();
        let expected = [
            "load",
            "memory",
            "memory",
            "outputs",
            "outputs",
            "latency",
            "latency",
            "latency",
            "likelihood",
        ];
        assert_eq!(passes, expected);
        let worker = &record.workers[0];
        assert_eq!((worker.kernel.as_str(), worker.threads), ("fake-kernel", 1));
        assert_eq!(worker.huge_share(), Some(0.5));
    }
}

#[test]
fn perplexity_limits_are_checked_once_and_not_in_measured_workers() {
    let folder = tempfile::tempdir().unwrap();
    let hook = r#"case "$role/$op" in candidate/*'"max_load_perplexity":30.0'*) printf x >> $dir/checked ;; esac
        case "$role/$op" in candidate/*'"max_summary_perplexity":4.0'*) printf x >> $dir/checked ;; esac"#;
    let mut inputs = pair_inputs(folder.path(), hook, 2);
    inputs.candidate.load.max_load_perplexity = Some(30.0);
    inputs.candidate.load.max_summary_perplexity = Some(4.0);
    let plan = plan(2, Duration::from_secs(60));
    let (_, candidate) = run_pair(&inputs, &plan, &mut Steps::default()).unwrap();
    assert_eq!(candidate.load, inputs.candidate.load);
    let n_checked = std::fs::read(folder.path().join("checked")).unwrap().len();
    assert_eq!(n_checked, 2);
}

#[test]
fn a_model_that_may_not_be_judged_gives_no_records() {
    let hook = r#"case "$op" in *load*) outcome=err
        body='{"kind":"not_judgeable","message":"config.json changed"}' ;; esac"#;
    assert!(matches!(run(hook).outcome, Err(Error::NotJudgeable { .. })));
}

#[test]
fn outputs_that_do_not_repeat_give_no_records() {
    // An output written alone is longer than in its batch.
    let hook = r#"case "$role/$op" in candidate/'{"generate"'*)
        body='{"generate":{"n_prompt":16,"token_ids":[1,2,3],"text":"","stop":"eos","ttft_ns":3,"itl_ns":[4,4],"e2e_ns":9}}' ;; esac"#;
    let error = run(hook).outcome.unwrap_err();
    let Error::NotDeterministic {
        role,
        position,
        first,
        second,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (role, position, first, second),
        (Role::Candidate, 2, None, Some(3))
    );
}

#[test]
fn different_tokenizers_leave_latency_out() {
    let hook = r#"case "$role/$op" in candidate/*load*)
        body='{"load":{"load_ns":5,"load_cpu_ns":4,"verify_ns":1,"card":"x","tokenizer_sha256":"'$(printf '%064d' 2)'","context_limit":64,"threads":1,"anon_bytes":2048,"huge_bytes":1024}}' ;; esac"#;
    let (baseline, candidate) = run(hook).outcome.unwrap();
    for record in [baseline, candidate] {
        assert!(record.launches.is_empty());
        assert_eq!(record.plan.segment_tokens, None);
        assert!(
            record.notes[0].contains("the tokenizers differ"),
            "{:?}",
            record.notes
        );
        assert_eq!(record.outputs.len(), 5);
        assert!(
            record.notes[1].contains("no distance between next tokens"),
            "{:?}",
            record.notes
        );
        // Bits per byte need no common tokenizer.
        assert_eq!(record.readings.len(), 20);
        assert!(record.readings.iter().all(|it| it.distance.is_none()));
    }
}

#[test]
fn a_crash_over_a_text_is_forgiven_once_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let hook = once(r#"case "$role/$op" in candidate/'{"read"'*) kill -9 $$ ;; esac"#);
    let inputs = pair_inputs(folder.path(), &hook, 5);
    let plan = plan(5, Duration::from_secs(60));
    let (_, candidate) = run_pair(&inputs, &plan, &mut Steps::default()).unwrap();
    assert_eq!((candidate.failure, candidate.notes.len()), (None, 1));
    assert_eq!(candidate.readings.len(), 20);
    let left = std::fs::read_dir(folder.path().join("run")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["journal.jsonl"]);
}

#[test]
fn a_model_that_reads_nonsense_has_failed() {
    let hook = r#"case "$role/$op" in candidate/'{"read"'*) outcome=err
        body='{"kind":"not_finite","message":"logit 3 is NaN"}' ;; esac"#;
    let (baseline, candidate) = run(hook).outcome.unwrap();
    let failure = candidate.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.pass.as_str()),
        (FailureKind::NotFinite, "likelihood")
    );
    // A scene counts when both have read it.
    assert_eq!((baseline.readings.len(), candidate.readings.len()), (0, 0));
}

#[test]
fn a_vocabulary_of_another_size_leaves_the_distance_out() {
    let hook = r#"case "$op" in *'"compare"'*)
        body='{"read":{"scenes":[{"texts":['$(printf '%s' "$texts" | sed 's/,"divergence":[^}]*}/}/g; s/^,//')']}],"not_compared":"the vocabularies differ in size"}}' ;; esac"#;
    let (_, candidate) = run(hook).outcome.unwrap();
    assert_eq!(candidate.failure, None);
    let [note] = &candidate.notes[..] else {
        panic!("{:?}", candidate.notes)
    };
    assert!(note.ends_with("the vocabularies differ in size"), "{note}");
    assert!(candidate.readings.iter().all(|it| it.distance.is_none()));
}

#[test]
fn a_plan_without_likelihoods_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = pair_inputs(folder.path(), "", 3);
    let mut plan = plan(3, Duration::from_secs(60));
    plan.effort.read_scenes = 0;
    let (baseline, candidate) = run_pair(&inputs, &plan, &mut Steps::default()).unwrap();
    for record in [baseline, candidate] {
        assert_eq!((record.plan.n_read, record.readings.len()), (0, 0));
        assert!(record.workers.iter().all(|it| it.pass != "likelihood"));
    }
}

#[test]
fn a_run_on_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |n_scenes, planned| {
        let inputs = pair_inputs(folder.path(), "", n_scenes);
        run_pair(
            &inputs,
            &plan(planned, Duration::from_secs(1)),
            &mut Steps::default(),
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(refused(0, 0), "the scene set has no scenes");
    assert_eq!(refused(2, 3), "the plan covers 3 scenes, the set has 2");
}
