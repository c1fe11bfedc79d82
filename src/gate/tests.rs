use proptest::prelude::*;

use super::fixture::{
    N_SCENES, compare_edited, judge_edited, judge_under, outcome_of, roles, scale_times, set_scores,
};
use super::policy::Mode;
use super::*;
use crate::metric::{Score, likelihood};
use crate::record::PlannedLook;
use crate::units::{Bytes, Sha256};

fn failure(kind: FailureKind) -> Failure {
    Failure {
        kind,
        pass: "outputs".into(),
        scene: Some("scene-07".into()),
        detail: "signal 11".into(),
        stderr_tail: String::new(),
    }
}

fn check_of<'a>(verdict: &'a Verdict, metric: &str) -> &'a CheckResult {
    verdict
        .checks
        .iter()
        .find(|check| check.metric == metric)
        .expect("the policy checks it")
}

/// Outcome and reason of one check of the edited fixture.
#[track_caller]
fn check(
    metric: &str,
    edit: impl FnOnce(&mut Evidence, &mut Evidence),
    outcome: Outcome,
    reason: &str,
) {
    let verdict = judge_edited(edit);
    let found = check_of(&verdict, metric);
    let text = match (&found.reason, &found.needed) {
        (Some(reason), Some(needed)) => format!("{reason}; {needed}"),
        (Some(reason), None) => reason.clone(),
        (None, _) => String::new(),
    };
    assert_eq!((found.outcome, text.as_str()), (Some(outcome), reason));
    assert_eq!(verdict.outcome, outcome, "{:?}", verdict.reasons);
}

/// A recall that falls by `mean` and wobbles by `sd` around it.
fn recall_loss(mean: f64, sd: f64) -> impl FnOnce(&mut Evidence, &mut Evidence) {
    move |base, cand| {
        set_scores(base, "object_recall", |_| 0.5);
        set_scores(cand, "object_recall", |i| {
            0.5 - mean + if i % 2 == 0 { sd } else { -sd }
        });
    }
}

#[test]
fn equal_models_pass() {
    let verdict = judge_edited(|_, _| {});
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    assert_eq!(verdict.reasons, Vec::<String>::new());
    assert!(verdict.counts && !verdict.identical_artifacts);
    let recall = check_of(&verdict, "object_recall").estimate.unwrap();
    assert!(
        recall.low > -0.05 && recall.low < -0.04,
        "no loss seen, 4.9 points certified"
    );
}

#[test]
fn a_large_loss_of_recall_fails() {
    check(
        "object_recall",
        recall_loss(0.2, 0.1),
        Outcome::Fail,
        "object_recall fell by 20.0 points (95 % bounds −22.2 to −17.8, 60 scenes); at most 5.0 \
         points are allowed",
    );
}

#[test]
fn a_certain_loss_below_the_margin_fails_when_it_is_not_shown_to_stay_there() {
    check(
        "object_recall",
        recall_loss(0.04, 0.06),
        Outcome::Fail,
        "object_recall fell by 4.0 points (95 % bounds −5.3 to −2.7, 60 scenes); it is worse for \
         certain and not shown to stay within 5.0 points",
    );
}

#[test]
fn a_certain_loss_within_the_margin_passes_with_a_note() {
    check(
        "object_recall",
        recall_loss(0.02, 0.02),
        Outcome::Pass,
        "object_recall is worse for certain (95 % bounds −2.44 to −1.56, 60 scenes), but within \
         the allowance",
    );
}

#[test]
fn an_interval_across_the_margin_is_undecided() {
    check(
        "object_recall",
        recall_loss(0.01, 0.3),
        Outcome::Inconclusive,
        "object_recall: the change lies between −7.5 and +5.5 points (95 % bounds, 60 scenes); \
         down to −5.0 points is allowed; about 296 more scenes would settle it (≈ 6 s here)",
    );
}

#[test]
fn an_equal_loss_everywhere_has_no_spread_but_an_outcome() {
    let flat =
        |loss| move |base: &mut Evidence, cand: &mut Evidence| recall_loss(loss, 0.0)(base, cand);
    assert_eq!(outcome_of(flat(0.5)), Outcome::Fail);
    check(
        "object_recall",
        flat(0.01),
        Outcome::Inconclusive,
        "object_recall: the change lies between −5.8 and +3.9 points (95 % bounds, 60 scenes); \
         down to −5.0 points is allowed; about 13 more scenes would settle it (≈ 1 s here)",
    );
}

#[test]
fn too_few_scenes_with_a_value_decide_nothing() {
    check(
        "object_recall",
        |_, cand| {
            cand.scores[3]
                .scores
                .insert("object_recall", Score::Absent("no salient label"));
        },
        Outcome::Inconclusive,
        "object_recall has a value in both roles on 59 scenes, fewer than the 60 it takes to \
         decide; about 1 more scene would settle it (≈ 1 s here)",
    );
}

#[test]
fn a_required_metric_without_data_is_invalid() {
    check(
        "object_recall",
        |_, cand| {
            for scene in &mut cand.scores {
                scene
                    .scores
                    .insert("object_recall", Score::Absent("no salient label"));
            }
        },
        Outcome::Invalid,
        "object_recall has no value in both roles on any scene",
    );
    check(
        "object_recall",
        |_, cand| {
            cand.scores[3].scores.remove("object_recall");
        },
        Outcome::Invalid,
        "object_recall was not scored for scene scene-03 of the candidate",
    );
}

#[test]
fn invalid_outputs_fail_below_the_rate_or_the_baseline() {
    check(
        "valid",
        |_, cand| set_scores(cand, "valid", |i| if i < 2 { 0.0 } else { 1.0 }),
        Outcome::Fail,
        "valid: 96.7 % of 60 outputs are valid, at least 98.0 % must be",
    );
    check(
        "valid",
        |_, cand| set_scores(cand, "valid", |i| if i < 1 { 0.0 } else { 1.0 }),
        Outcome::Fail,
        "valid fell from 100.0 % to 98.3 % of 60 outputs; no loss is allowed",
    );
    let both = |base: &mut Evidence, cand: &mut Evidence| {
        set_scores(base, "valid", |i| if i == 5 { 0.0 } else { 1.0 });
        set_scores(cand, "valid", |i| if i == 9 { 0.0 } else { 1.0 });
    };
    assert_eq!(outcome_of(both), Outcome::Pass);
}

/// A score that is 0 on the first `lost` scenes of the candidate and 1 elsewhere.
fn lost(metric: &'static str, lost: usize) -> impl FnOnce(&mut Evidence, &mut Evidence) {
    move |base, cand| {
        set_scores(base, metric, |_| 1.0);
        set_scores(cand, metric, |i| if i < lost { 0.0 } else { 1.0 });
    }
}

#[test]
fn wrong_summaries_fail() {
    check("fact_ok", lost("fact_ok", 0), Outcome::Pass, "");
    check(
        "fact_ok",
        lost("fact_ok", 18),
        Outcome::Fail,
        "fact_ok fell by 30.0 points (95 % bounds −40.4 to −21.3, 60 scenes); at most 10.0 points \
         are allowed",
    );
}

#[test]
fn inventions_fail() {
    let invents = |base: &mut Evidence, cand: &mut Evidence| {
        set_scores(base, "hallucination_rate", |_| 0.0);
        set_scores(cand, "hallucination_rate", |i| f64::from(u8::from(i < 18)));
    };
    check(
        "hallucination_rate",
        invents,
        Outcome::Fail,
        "hallucination_rate rose by 30.0 points (95 % bounds +21.3 to +40.4, 60 scenes); at most \
         5.0 points are allowed",
    );
}

#[test]
fn a_deep_fall_of_overlap_fails_whatever_its_spread() {
    let falls = |by: f64| {
        move |base: &mut Evidence, cand: &mut Evidence| {
            set_scores(base, "chrf_pp", |_| 0.6);
            set_scores(cand, "chrf_pp", |i| {
                0.6 - by + if i % 2 == 0 { 0.3 } else { -0.3 }
            });
        }
    };
    check("chrf_pp", falls(0.049), Outcome::Pass, "");
    check(
        "chrf_pp",
        falls(0.06),
        Outcome::Fail,
        "chrf_pp fell by 6.0 points on these 60 scenes; at most 5.0 points are allowed",
    );
}

#[test]
fn longer_outputs_fail_and_shorter_ones_do_not() {
    let tokens = |factor: f64| {
        move |base: &mut Evidence, cand: &mut Evidence| {
            set_scores(base, "output_tokens", |i| 20.0 + i as f64);
            set_scores(cand, "output_tokens", |i| (20.0 + i as f64) * factor);
        }
    };
    check("output_tokens", tokens(0.5), Outcome::Pass, "");
    check("output_tokens", tokens(1.09), Outcome::Pass, "");
    check(
        "output_tokens",
        tokens(1.2),
        Outcome::Fail,
        "output_tokens rose by 20.0 % on these 60 scenes; at most 10.0 % are allowed",
    );
}

#[test]
fn scenes_that_fall_apart_fail_although_the_mean_hardly_moves() {
    let collapse = |n| lost("fact_score", n);
    check("collapse_rate", collapse(0), Outcome::Pass, "");
    check(
        "collapse_rate",
        collapse(2),
        Outcome::Inconclusive,
        "scene scene-00 lost 100 points of fact_score, and plug-in bounds do not see how often \
         that happens; collapse_rate: the change lies between +0.6 and +10.1 points (95 % bounds, \
         60 scenes); up to +5.0 points is allowed; about 446 more scenes would settle it (≈ 10 s \
         here)",
    );
    check(
        "collapse_rate",
        collapse(8),
        Outcome::Fail,
        "8 of 60 scenes fell apart (95 % bounds +6.8 to +22.8, 60 scenes); at most 5.0 % may",
    );
}

#[test]
fn slower_candidates_fail_and_faster_ones_pass() {
    check(
        "cpu_ms_per_token",
        |_, cand| scale_times(cand, 1.14),
        Outcome::Fail,
        "cpu_ms_per_token rose by 14.08 % (95 % bounds +13.69 to +14.47, 6 launches); at most \
         10.0 % are allowed",
    );
    assert_eq!(outcome_of(|_, cand| scale_times(cand, 1.03)), Outcome::Pass);
    assert_eq!(outcome_of(|_, cand| scale_times(cand, 0.5)), Outcome::Pass);
}

#[test]
fn noisy_times_are_undecided() {
    check(
        "cpu_ms_per_token",
        |_, cand| {
            for launch in &mut cand.record.launches {
                let noise = if launch.index % 2 == 0 { 60 } else { 0 };
                for segment in &mut launch.decode {
                    segment.cpu_ns += segment.cpu_ns * noise / 100;
                }
            }
        },
        Outcome::Inconclusive,
        "cpu_ms_per_token: the change lies between +2.4 and +56.5 % (95 % bounds, 6 launches); \
         up to +10.0 % is allowed; about 16 more launches would settle it (≈ 13 s here)",
    );
}

/// A policy with looks of its own judges no times of a run that was looked at otherwise.
#[test]
fn times_taken_with_other_looks_are_undecided() {
    let looked_at = |launches: usize| {
        judge_under(
            |policy| (policy.effort.looks, policy.effort.shares) = (vec![3, 6], vec![0.5, 0.5]),
            move |base, cand| {
                for evidence in [base, cand] {
                    let look = |launches, share| PlannedLook { launches, share };
                    evidence.record.plan.looks = vec![look(launches, 0.5), look(6, 0.5)];
                }
            },
        )
    };
    let same = looked_at(3);
    let time = check_of(&same, "cpu_ms_per_token");
    assert_eq!(time.outcome, Some(Outcome::Pass), "{:?}", time.reason);
    let other = looked_at(4);
    let time = check_of(&other, "cpu_ms_per_token");
    assert_eq!(time.outcome, Some(Outcome::Inconclusive));
    let (reason, needed) = (time.reason.as_ref().unwrap(), time.needed.as_ref().unwrap());
    assert!(reason.contains("at other moments"), "{reason}");
    assert!(
        needed.contains("6 launches") && needed.contains("under this policy"),
        "{needed}"
    );
}

/// In a first promotion both roles are the one model: what breaks it is its own failure.
#[test]
fn a_first_model_that_breaks_has_failed() {
    let broken = |is_first: bool| {
        judge_under(
            move |policy| {
                if is_first {
                    *policy = Policy::built_in_for(Mode::Bootstrap);
                }
            },
            |base, cand| {
                cand.record.model = base.record.model.clone();
                base.record.failure = Some(failure(FailureKind::Crashed));
            },
        )
    };
    let first = broken(true);
    assert_eq!(first.outcome, Outcome::Fail, "{:?}", first.reasons);
    assert!(
        first
            .reasons
            .iter()
            .any(|it| it.starts_with("the candidate")),
        "{:?}",
        first.reasons
    );
    assert_eq!(broken(false).outcome, Outcome::Invalid);
}

#[test]
fn launches_without_any_spread_are_undecided() {
    check(
        "wall_ms_per_token",
        |base, cand| {
            for (base, cand) in base.record.launches.iter().zip(&mut cand.record.launches) {
                for (base, cand) in base.decode.iter().zip(&mut cand.decode) {
                    cand.wall_ns = base.wall_ns;
                }
            }
        },
        Outcome::Inconclusive,
        "wall_ms_per_token has no interval: all launches agree to the last digit, so the clock is \
         too coarse or the times are not real; another run with 6 launches (≈ 5 s here) on a machine \
         with a finer clock would settle it",
    );
}

fn keep_launches(n: usize) -> impl FnOnce(&mut Evidence, &mut Evidence) {
    move |base, cand| {
        for evidence in [base, cand] {
            evidence.record.plan.n_launches = n;
            evidence.record.launches.truncate(n);
        }
    }
}

#[test]
fn few_launches_are_undecided_and_none_is_invalid() {
    check(
        "cpu_ms_per_token",
        keep_launches(3),
        Outcome::Inconclusive,
        "cpu_ms_per_token has 3 launches, fewer than the 4 it takes to decide; about 1 more \
         launch would settle it (≈ 1 s here)",
    );
    assert_eq!(outcome_of(keep_launches(4)), Outcome::Pass);
    check(
        "cpu_ms_per_token",
        keep_launches(0),
        Outcome::Invalid,
        "cpu_ms_per_token was not measured: no launches",
    );
}

#[test]
fn launches_or_pairs_the_plan_promised_must_be_there() {
    check(
        "cpu_ms_per_token",
        |_, cand| {
            cand.record.launches.pop();
        },
        Outcome::Invalid,
        "cpu_ms_per_token: the candidate has 5 launches, the plan has 6",
    );
    check(
        "cpu_ms_per_token",
        |base, cand| {
            base.record.launches[2].decode.pop();
            cand.record.launches[2].decode.pop();
        },
        Outcome::Invalid,
        "cpu_ms_per_token: launch 2 has 3 segments of the baseline and 3 of the candidate, the \
         plan has 4",
    );
}

#[test]
fn other_tokenizers_make_forced_times_invalid() {
    check(
        "wall_ms_per_token",
        |_, cand| cand.record.model.tokenizer_sha256 = Some(Sha256::of(b"other")),
        Outcome::Invalid,
        "wall_ms_per_token cannot be compared: the tokenizers differ, so the roles cannot be fed \
         the same tokens",
    );
}

fn peaks(base: [u64; 3], cand: [u64; 3]) -> impl FnOnce(&mut Evidence, &mut Evidence) {
    let set = |evidence: &mut Evidence, mib: [u64; 3]| {
        for (run, mib) in evidence.record.memory.iter_mut().zip(mib) {
            run.peak_bytes = Bytes(mib << 20);
        }
    };
    move |b, c| {
        set(b, base);
        set(c, cand);
    }
}

#[test]
fn memory_has_a_relative_allowance_with_a_floor() {
    assert_eq!(outcome_of(peaks([100; 3], [104; 3])), Outcome::Pass);
    assert_eq!(outcome_of(peaks([1000; 3], [1020; 3])), Outcome::Pass);
    check(
        "peak_bytes",
        peaks([100; 3], [105; 3]),
        Outcome::Fail,
        "peak_bytes rose from 100.0 MiB to 105.0 MiB (3 runs); at most 104.0 MiB are allowed",
    );
    assert_eq!(outcome_of(peaks([1000; 3], [1021; 3])), Outcome::Fail);
    check(
        "peak_bytes",
        peaks([100; 3], [104, 105, 105]),
        Outcome::Inconclusive,
        "peak_bytes: 104.0 MiB to 105.0 MiB in 3 runs, and 104.0 MiB are allowed: the runs \
         straddle the limit; peaks that agree in 6 new runs of the memory pass would settle it, without \
         other load on the machine",
    );
    check(
        "peak_bytes",
        peaks([100; 3], [100, 101, 103]),
        Outcome::Inconclusive,
        "peak_bytes of the candidate varies from 100.0 MiB to 103.0 MiB between runs, too much to \
         decide; peaks that agree in 3 new runs of the memory pass would settle it, without other load \
         on the machine",
    );
    check(
        "peak_bytes",
        |_, cand| cand.record.memory.clear(),
        Outcome::Invalid,
        "peak_bytes was not measured, or is 0",
    );
    check(
        "peak_bytes",
        |_, cand| cand.record.memory.truncate(2),
        Outcome::Inconclusive,
        "peak_bytes was measured in 2 runs, fewer than the 3 it takes to decide; 1 more run of the \
         memory pass would settle it",
    );
}

#[test]
fn watched_checks_never_decide() {
    let verdict = judge_edited(|_, cand| {
        set_scores(cand, "object_precision", |_| 0.0);
        for output in &mut cand.record.outputs {
            if let Some(times) = &mut output.times {
                times.ttft_ns *= 100;
            }
        }
    });
    assert_eq!(verdict.outcome, Outcome::Pass);
    let ttft = check_of(&verdict, "ttft_ms");
    assert_eq!((ttft.outcome, ttft.estimate), (None, None));
    assert!((ttft.change.unwrap() - 99.0).abs() < 1e-9);
    assert_eq!((ttft.n, ttft.n_absent), (20, 40));
    assert!(check_of(&verdict, "object_precision").estimate.is_some());
}

#[test]
fn a_candidate_that_fails_fails_the_gate() {
    let kinds = [
        (FailureKind::LoadRefused, "could not be loaded"),
        (FailureKind::Crashed, "crashed"),
        (FailureKind::TimedOut, "hung and was killed"),
        (FailureKind::OutOfMemory, "ran out of memory"),
        (
            FailureKind::NotFinite,
            "computed logits that are not finite",
        ),
    ];
    for (kind, words) in kinds {
        let verdict = judge_edited(|_, cand| {
            cand.record.failure = Some(failure(kind));
            cand.record.outputs.truncate(7);
            cand.record.launches.clear();
            cand.record.memory.clear();
            cand.scores.truncate(7);
        });
        assert_eq!(verdict.outcome, Outcome::Fail);
        let expected =
            format!("the candidate {words} in the outputs pass at scene scene-07: signal 11");
        assert_eq!(verdict.reasons, [expected]);
        assert!(verdict.checks.iter().all(|check| check.outcome.is_none()));
    }
}

#[test]
fn what_a_failure_of_the_candidate_kept_the_baseline_from_reading_is_no_fault() {
    let verdict = judge_edited(|base, cand| {
        cand.record.failure = Some(failure(FailureKind::LoadRefused));
        for evidence in [base, cand] {
            evidence.record.readings.clear();
            evidence.record.outputs.clear();
            evidence.scores.clear();
        }
    });
    assert_eq!(verdict.outcome, Outcome::Fail);
}

#[test]
fn a_baseline_that_fails_makes_the_run_invalid() {
    let verdict = judge_edited(|base, cand| {
        base.record.failure = Some(failure(FailureKind::Crashed));
        cand.record.failure = Some(failure(FailureKind::Crashed));
    });
    assert_eq!(verdict.outcome, Outcome::Invalid);
    assert_eq!(verdict.reasons.len(), 2);
}

#[test]
fn planted_records_are_invalid_unless_asked_for_and_never_count() {
    let comparison = compare_edited(|_, cand| {
        cand.record.planted = Some("slow".into());
        scale_times(cand, 2.0);
    })
    .unwrap();
    let policy = Policy::built_in();
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    assert_eq!((verdict.outcome, verdict.counts), (Outcome::Invalid, false));
    let verdict = judge(
        &comparison,
        &policy,
        JudgeOptions {
            judge_planted: true,
        },
    );
    assert_eq!((verdict.outcome, verdict.counts), (Outcome::Fail, false));
}

#[test]
fn identical_files_are_named() {
    let (base, cand) = roles();
    assert_eq!(
        identical_verdict(&base.record.model, &cand.record.model),
        None
    );
    let verdict = identical_verdict(&base.record.model, &base.record.model).unwrap();
    assert!(verdict.identical_artifacts && verdict.outcome == Outcome::Pass);
    assert!(verdict.reasons[0].starts_with("identical artifacts"));
}

#[test]
fn other_scenes_than_the_policy_demands_are_invalid() {
    let judged = |edit: fn(&mut Policy)| {
        let mut policy = Policy::built_in();
        edit(&mut policy);
        let comparison = compare_edited(|_, _| {}).unwrap();
        judge(&comparison, &policy, JudgeOptions::default()).outcome
    };
    assert_eq!(
        judged(|policy| policy.scenes.set = Some("x".into())),
        Outcome::Invalid
    );
    assert_eq!(
        judged(|policy| policy.scenes.version = Some("2".into())),
        Outcome::Invalid
    );
    assert_eq!(
        judged(|policy| policy.scenes.digest = Some(Sha256::of(b"x"))),
        Outcome::Invalid
    );
    assert_eq!(judged(|policy| policy.scenes.set = None), Outcome::Pass);
}

#[test]
fn an_unchecked_policy_cannot_let_a_check_slip_through() {
    let mut policy = Policy::built_in();
    policy.checks[0].margin = None;
    let comparison = compare_edited(|_, _| {}).unwrap();
    assert_eq!(
        judge(&comparison, &policy, JudgeOptions::default()).outcome,
        Outcome::Invalid
    );
}

#[test]
fn what_differs_is_shown_as_the_record_shows_it() {
    let other = Sha256::of(b"another set");
    let refused = compare_edited(|_, cand| cand.record.scenes.scenes_sha256 = other);
    let text = refused.map(|_| ()).unwrap_err().to_string();
    let shown = format!("and \"{other}\" in the candidate's");
    assert!(text.contains(&shown), "{text}");
}

#[track_caller]
fn not_comparable(expected: &str, edit: impl FnOnce(&mut RunRecord)) {
    match compare_edited(|_, cand| edit(&mut cand.record)) {
        Err(Error::NotComparable { field, .. }) => assert_eq!(field, expected),
        other => panic!("expected a refusal of {expected}, got {other:?}"),
    }
}

#[test]
fn records_of_different_runs_are_not_compared() {
    let other = Sha256::of(b"other");
    not_comparable("run_id", |record| record.run_id = "run-2".into());
    not_comparable("scenes.scenes_sha256", |record| {
        record.scenes.scenes_sha256 = other;
    });
    not_comparable("scenes.prompt_sha256", |record| {
        record.scenes.prompt_sha256 = other;
    });
    not_comparable("scenes.lexicon_sha256", |record| {
        record.scenes.lexicon_sha256 = other;
    });
    not_comparable("scenes.renderer", |record| {
        record.scenes.renderer = "x/2".into();
    });
    not_comparable("load.head", |record| record.load.head = "f16".into());
    not_comparable("plan.batch", |record| record.plan.batch = 1);
    not_comparable("plan.n_timed", |record| record.plan.n_timed = 3);
    not_comparable("plan.n_read", |record| record.plan.n_read = 3);
    not_comparable("plan.protocol_version", |record| {
        record.plan.protocol_version = 3;
    });
    not_comparable("plan.max_new_tokens", |record| {
        record.plan.max_new_tokens = 1;
    });
    not_comparable("plan.scene_ids", |record| record.plan.scene_ids.swap(0, 1));
    not_comparable("plan.scene_ids", |record| {
        record.plan.scene_ids.pop();
    });
    not_comparable("plan.threads", |record| record.plan.threads = 2);
    not_comparable("host.cpu", |record| record.host.cpu = "other".into());
    not_comparable("host.kernel", |record| record.host.kernel = "avx2".into());
    not_comparable("host", |record| record.host.usable_cpus = 64);
}

#[track_caller]
fn refused(edit: impl FnOnce(&mut Evidence), expected: &str) {
    let error = compare_edited(|_, cand| edit(cand)).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn scores_that_are_no_scores_are_refused() {
    for (bad, problem) in [
        (f64::NAN, "NaN, which is not a finite number"),
        (f64::INFINITY, "inf, which is not a finite number"),
        (-0.1, "-0.1, which is out of range"),
        (1.5, "1.5, which is out of range"),
    ] {
        let expected = format!("the candidate's `object_recall` of scene `scene-00` is {problem}");
        refused(|cand| set_scores(cand, "object_recall", |_| bad), &expected);
    }
    refused(
        |cand| set_scores(cand, "objet_recall", |_| 1.0),
        "the candidate's `objet_recall` of scene `scene-00` is 1, which is of no known metric",
    );
}

#[test]
fn missing_doubled_and_strange_scenes_are_refused() {
    refused(
        |cand| {
            cand.record.outputs.pop();
        },
        "the candidate has an output of `nothing` where the plan has `scene-59`",
    );
    refused(
        |cand| cand.scores[1].scene = "scene-00".into(),
        "the candidate has scores of `scene-00` where the plan has `scene-01`",
    );
    refused(
        |cand| cand.record.plan.scene_ids[1] = "scene-00".into(),
        "scene `scene-00` occurs twice in the plan",
    );
    refused(
        |cand| cand.record.plan.scene_ids.clear(),
        "the plan has no scenes",
    );
    refused(
        |cand| cand.record.role = crate::record::Role::Baseline,
        "the record given as candidate was made as baseline",
    );
    refused(
        |cand| cand.record.schema_version = 9,
        "record version 9 is not known, this program reads 2",
    );
}

#[test]
fn the_worst_scenes_come_first() {
    let comparison = compare_edited(|_, cand| {
        set_scores(cand, "object_recall", |i| match i {
            9 => 0.0,
            4 | 5 => 0.5,
            _ => 0.8,
        });
        set_scores(
            cand,
            "chrf_pp",
            |i| if i == 5 || i == 7 { 0.1 } else { 0.5 },
        );
        cand.scores[9].notes.push("missing: truck".into());
    })
    .unwrap();
    let scenes = worst::worst_scenes(&comparison);
    let ids: Vec<&str> = scenes.iter().map(|scene| scene.scene.as_str()).collect();
    assert_eq!(ids, ["scene-09", "scene-05", "scene-04", "scene-07"]);
    assert_eq!(scenes[0].candidate_notes, ["missing: truck"]);
    assert_eq!(worst::worst_scenes(&compare_edited(|_, _| {}).unwrap()), []);
}

#[test]
fn a_report_survives_a_round_trip_and_equal_input_gives_equal_bytes() {
    let bytes = || {
        let comparison = compare_edited(recall_loss(0.2, 0.1)).unwrap();
        let policy = Policy::built_in();
        let verdict = judge(&comparison, &policy, JudgeOptions::default());
        let file = file::ReportFile::of_comparison(&comparison, &policy, &verdict);
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(
            serde_json::from_str::<file::ReportFile>(&text).unwrap(),
            file
        );
        text
    };
    assert_eq!(bytes(), bytes());
}

/// What a watched check shows.
#[track_caller]
fn check_shown(metric: &str, baseline: Option<f64>, candidate: f64, n: usize, n_unit: &str) {
    let toml = format!(
        "schema_version = 1\nmode = \"smoke\"\n[scenes]\nset = \"cenas-pt\"\n\
         [[check]]\nmetric = \"valid\"\n[[check]]\nmetric = \"{metric}\"\nrequired = false\n"
    );
    let policy = Policy::parse(&toml, "gate.toml").unwrap();
    let comparison = compare_edited(|base, cand| {
        let mut scores = [base.scores.clone(), cand.scores.clone()];
        likelihood::enter(&mut scores, [&base.record, &cand.record]);
        [base.scores, cand.scores] = scores;
    })
    .unwrap();
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    let check = &verdict.checks[1];
    assert_eq!((check.outcome, check.n, check.n_unit), (None, n, n_unit));
    assert_eq!(verdict.outcome, Outcome::Pass);
    let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-6;
    assert!(close(check.candidate, candidate), "{check:?}");
    assert_eq!(check.baseline.is_some(), baseline.is_some());
    assert!(
        baseline.is_none_or(|it| close(check.baseline, it)),
        "{check:?}"
    );
}

#[test]
fn likelihoods_and_distances_are_shown_and_decide_nothing() {
    // Four tokens of two bits, or one, on sixteen bytes.
    check_shown("ref_bits_per_byte", Some(0.5), 0.25, 30, "scenes");
    check_shown("own_bits_per_byte", Some(0.5), 0.25, 30, "scenes");
    check_shown("cross_bits_per_byte", Some(0.25), 0.5, 30, "scenes");
    check_shown("kld_mean", None, 0.25, 120, "tokens");
    check_shown("kld_p99", None, 0.5, 120, "tokens");
    check_shown("top1_agreement", None, 0.75, 120, "tokens");
}

#[test]
fn readings_of_other_texts_than_planned_are_refused() {
    refused(
        |cand| {
            cand.record.readings.truncate(3);
        },
        "the candidate's reading of scene `scene-01` is missing",
    );
    refused(
        |cand| cand.record.readings[0].nll[2] = f32::NAN,
        "the candidate's reading of scene `scene-00` has a likelihood that is no number from 0 on",
    );
}

#[test]
fn a_lexicon_other_than_the_pinned_one_is_not_judged() {
    let policy = |text: &str| {
        let digest = Sha256::of(text.as_bytes());
        let toml = format!(
            "schema_version = 1\nmode = \"smoke\"\n[scenes]\nlexicon = \"sha256:{digest}\"\n"
        );
        Policy::parse(&toml, "gate.toml").unwrap()
    };
    let comparison = compare_edited(|_, _| {}).unwrap();
    let judged = |text| judge(&comparison, &policy(text), JudgeOptions::default());
    assert_eq!(judged("lexicon").outcome, Outcome::Pass);
    let verdict = judged("another");
    assert_eq!(verdict.outcome, Outcome::Invalid);
    assert!(
        verdict.reasons[0].starts_with("the scene lexicon is "),
        "{:?}",
        verdict.reasons
    );
}

fn scores() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..=1.0f64, N_SCENES)
}

/// Verdict with given recalls.
fn with_recalls(base: &[f64], cand: &[f64]) -> Verdict {
    judge_edited(|b, c| {
        set_scores(b, "object_recall", |i| base[i]);
        set_scores(c, "object_recall", |i| cand[i]);
    })
}

/// Pass is better than inconclusive, inconclusive better than fail.
fn recall_of(verdict: &Verdict) -> Outcome {
    check_of(verdict, "object_recall")
        .outcome
        .expect("it is required")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn swapping_the_roles_mirrors_the_change(base in scores(), cand in scores()) {
        let there = with_recalls(&base, &cand);
        let back = with_recalls(&cand, &base);
        let there = check_of(&there, "object_recall").estimate.unwrap();
        let back = check_of(&back, "object_recall").estimate.unwrap().negated();
        prop_assert!((there.point - back.point).abs() < 1e-12);
        prop_assert!((there.low - back.low).abs() < 1e-12);
        prop_assert!((there.high - back.high).abs() < 1e-12);
        // Not both can lose for certain.
        let failed = |v: &Verdict| recall_of(v) == Outcome::Fail;
        let both = failed(&with_recalls(&base, &cand)) && failed(&with_recalls(&cand, &base));
        prop_assert!(!both);
    }

    #[test]
    fn raising_every_candidate_score_alike_never_worsens_it(
        base in scores(), loss in 0.0..0.2f64, noise in 0.0..0.3f64, gain in 0.0..0.3f64,
    ) {
        let base: Vec<f64> = base.iter().map(|score| 0.35 + 0.3 * score).collect();
        let wobble = |i: usize| noise * ((i * 37 % 60) as f64 / 60.0 - 0.5);
        let low: Vec<f64> = (0..N_SCENES).map(|i| base[i] - loss + wobble(i)).collect();
        let low: Vec<f64> = low.iter().map(|score| score.clamp(0.0, 0.7)).collect();
        let high: Vec<f64> = low.iter().map(|score| score + gain).collect();
        prop_assert!(recall_of(&with_recalls(&base, &high)) <= recall_of(&with_recalls(&base, &low)));
    }

    #[test]
    fn the_order_of_scenes_does_not_matter(base in scores(), cand in scores(), seed in any::<u64>()) {
        let planned = with_recalls(&base, &cand);
        let mut order: Vec<usize> = (0..N_SCENES).collect();
        let mut state = seed | 1;
        for i in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let j = usize::try_from((state >> 33) % (i as u64 + 1)).unwrap();
            order.swap(i, j);
        }
        let shuffled = judge_edited(|b, c| {
            set_scores(b, "object_recall", |i| base[i]);
            set_scores(c, "object_recall", |i| cand[i]);
            for evidence in [b, c] {
                // What the models read decides nothing and stands in the planned order.
                evidence.record.plan.n_read = 0;
                evidence.record.readings.clear();
                let old = evidence.clone();
                for (new, &from) in order.iter().enumerate() {
                    evidence.scores[new] = old.scores[from].clone();
                    evidence.record.outputs[new] = old.record.outputs[from].clone();
                    evidence.record.plan.scene_ids[new] = old.record.plan.scene_ids[from].clone();
                }
            }
        });
        prop_assert_eq!(planned, shuffled);
    }
}
