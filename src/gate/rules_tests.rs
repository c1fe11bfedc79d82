//! Slices, sentinels, limits, methods, looks and signs of an unfair comparison.

use super::fixture::{judge_under, scaled, set_scores, with_sentinels};
use super::policy::{ClusterBy, Demand, Exempt, Limit, Method, Mode, SentinelsPolicy, SlicePolicy};
use super::*;

fn check_of<'a>(verdict: &'a Verdict, metric: &str) -> &'a CheckResult {
    let found = verdict.checks.iter().find(|check| check.metric == metric);
    found.expect("the policy checks it")
}

fn with_slice(name: &'static str, min_scenes: usize) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.slices.push(SlicePolicy {
            name: name.into(),
            min_scenes,
        });
    }
}

fn demanding(demand: Demand, exempt: &'static [&'static str]) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.sentinels = Some(SentinelsPolicy {
            set: "sentinelas-pt".into(),
            version: None,
            digest: None,
            demand,
            exempt: exempt
                .iter()
                .map(|scene| Exempt {
                    scene: (*scene).into(),
                    reason: "under review".into(),
                })
                .collect(),
        });
    }
}

/// Recall falls at night only; the mean over all scenes stays within the margin.
fn worse_at_night(by: f64) -> impl FnOnce(&mut Evidence, &mut Evidence) {
    move |_, cand| {
        set_scores(cand, "object_recall", |i| {
            let wobble = 0.01 * ((i * 7 % 5) as f64 - 2.0);
            let night = if i % 3 == 0 { by } else { -by / 2.0 };
            0.8 - night - wobble
        });
    }
}

#[test]
fn a_slice_vetoes_what_the_mean_hides() {
    let verdict = judge_under(with_slice("night", 20), worse_at_night(0.15));
    assert_eq!(
        check_of(&verdict, "object_recall").outcome,
        Some(Outcome::Pass)
    );
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(
        verdict.reasons,
        [
            "slice night: object_recall fell by 15.0 points on 20 scenes, shown to be a loss and at \
          least twice what is allowed (5.0 points)"
        ]
    );
    let night = verdict
        .slices
        .iter()
        .find(|it| it.metric == "object_recall");
    let night = night.unwrap();
    assert!(night.vetoes && night.p_worse.unwrap() <= night.fail_level.unwrap());
}

#[test]
fn a_slice_within_twice_the_margin_vetoes_nothing() {
    let verdict = judge_under(with_slice("night", 20), worse_at_night(0.09));
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    // Every required score over scenes is looked at.
    assert_eq!(verdict.slices.len(), 3);
    assert!(verdict.slices.iter().all(|it| !it.vetoes && it.n == 20));
}

#[test]
fn a_slice_never_approves() {
    let bad = |_: &mut Evidence, cand: &mut Evidence| {
        set_scores(
            cand,
            "object_recall",
            |i| if i % 3 == 0 { 0.9 } else { 0.3 },
        );
    };
    let verdict = judge_under(with_slice("night", 20), bad);
    assert_eq!(verdict.outcome, Outcome::Fail);
}

#[test]
fn a_missing_slice_is_invalid() {
    for (name, least, found) in [("dawn", 1, 0), ("night", 30, 20)] {
        let verdict = judge_under(with_slice(name, least), |_, _| {});
        assert_eq!(verdict.outcome, Outcome::Invalid);
        let expected = format!("slice {name} has {found} scenes, the policy demands {least}");
        assert_eq!(verdict.reasons, [expected]);
    }
}

#[test]
fn one_sentinel_lost_fails_although_every_mean_improves() {
    let lost = |base: &mut Evidence, cand: &mut Evidence| {
        with_sentinels(5)(base, cand);
        set_scores(cand, "object_recall", |_| 0.95);
        cand.scores[58]
            .scores
            .insert("fact_ok", crate::metric::Score::Value(0.0));
        cand.scores[58].notes.push("hallucination: dog".into());
    };
    let verdict = judge_under(demanding(Demand::All, &[]), lost);
    let sentinels = verdict.sentinels.clone().unwrap();
    assert_eq!(
        (sentinels.outcome, sentinels.n, sentinels.n_held),
        (Outcome::Fail, 5, 4)
    );
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(
        verdict.reasons[0],
        "sentinel scene-58 is lost: hallucination: dog"
    );
    // Sentinels are no sample: 55 scenes are left for the means.
    assert_eq!(check_of(&verdict, "object_recall").n, 55);
}

/// The candidate does not hold scene-59, and the baseline neither where `both`.
fn unheld(both: bool) -> impl FnOnce(&mut Evidence, &mut Evidence) {
    move |base, cand| {
        with_sentinels(5)(base, cand);
        let wrong = |evidence: &mut Evidence| {
            evidence.scores[59]
                .scores
                .insert("fact_ok", crate::metric::Score::Value(0.0));
        };
        wrong(cand);
        if both {
            wrong(base);
        }
    }
}

#[test]
fn what_is_demanded_of_sentinels_is_what_counts() {
    let outcome = |demand, exempt, both| {
        let verdict = judge_under(demanding(demand, exempt), unheld(both));
        verdict.sentinels.unwrap().outcome
    };
    assert_eq!(outcome(Demand::All, &[], false), Outcome::Fail);
    assert_eq!(outcome(Demand::All, &[], true), Outcome::Fail);
    assert_eq!(outcome(Demand::Kept, &[], false), Outcome::Fail);
    assert_eq!(outcome(Demand::Kept, &[], true), Outcome::Pass);
    assert_eq!(outcome(Demand::All, &["scene-59"], false), Outcome::Pass);
    assert_eq!(outcome(Demand::All, &["scene-03"], false), Outcome::Invalid);
}

#[test]
fn sentinels_that_were_not_run_are_invalid() {
    let verdict = judge_under(demanding(Demand::All, &[]), |_, _| {});
    assert_eq!(verdict.outcome, Outcome::Invalid);
    assert_eq!(
        verdict.reasons,
        ["sentinels of sentinelas-pt are demanded and were not run"]
    );
    let other = |base: &mut Evidence, cand: &mut Evidence| {
        with_sentinels(3)(base, cand);
        for evidence in [base, cand] {
            evidence.record.sentinels.as_mut().unwrap().set.name = "x".into();
        }
    };
    let verdict = judge_under(demanding(Demand::All, &[]), other);
    assert_eq!(verdict.outcome, Outcome::Invalid);
}

#[test]
fn a_limit_fails_whatever_the_change() {
    let limit = |metric: &'static str, limit: Limit| {
        move |policy: &mut Policy| {
            let check = policy.checks.iter_mut().find(|it| it.metric == metric);
            check.unwrap().limit = Some(limit);
        }
    };
    let verdict = judge_under(limit("object_recall", Limit::AtLeast(0.85)), |_, _| {});
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(
        verdict.reasons,
        ["object_recall of the candidate is 80.0 %; at least 85.0 % is demanded"]
    );
    let verdict = judge_under(
        limit("peak_bytes", Limit::AtMost(99.0 * 1_048_576.0)),
        |_, _| {},
    );
    assert_eq!(
        verdict.reasons,
        ["peak_bytes of the candidate is 100.0 MiB; at most 99.0 MiB is demanded"]
    );
    let within = limit("peak_bytes", Limit::AtMost(101.0 * 1_048_576.0));
    assert_eq!(judge_under(within, |_, _| {}).outcome, Outcome::Pass);
    // A watched time becomes a required one by its limit.
    let load = |policy: &mut Policy| {
        let check = policy.checks.iter_mut().find(|it| it.metric == "load_ms");
        let check = check.unwrap();
        (check.limit, check.required) = (Some(Limit::AtMost(10.0)), true);
    };
    assert_eq!(
        judge_under(load, |_, _| {}).reasons,
        ["load_ms of the candidate is 20.0 ms; at most 10.0 ms is demanded"]
    );
}

#[test]
fn a_limit_does_not_decide_what_too_few_launches_cannot() {
    let limits = |policy: &mut Policy| {
        policy
            .checks
            .retain(|check| check.metric == "cpu_ms_per_token");
        policy.checks[0].margin = None;
        policy.checks[0].limit = Some(Limit::AtMost(1e9));
    };
    assert_eq!(judge_under(limits, |_, _| {}).outcome, Outcome::Pass);
    let verdict = judge_under(limits, |base, cand| {
        for evidence in [base, cand] {
            evidence.record.launches.truncate(1);
            evidence.record.plan.n_launches = 1;
        }
    });
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{verdict:?}");
}

#[test]
fn too_few_scenes_do_not_make_outputs_valid() {
    let only_valid = |policy: &mut Policy| {
        policy.checks.retain(|check| check.metric == "valid");
        policy.scenes.min_scenes = 61;
    };
    let verdict = judge_under(only_valid, |_, _| {});
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{verdict:?}");
}

#[test]
fn a_first_model_is_judged_by_limits_alone() {
    let bootstrap = |policy: &mut Policy| *policy = Policy::built_in_for(Mode::Bootstrap);
    let verdict = judge_under(bootstrap, |base, cand| {
        cand.record.model = base.record.model.clone();
    });
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    assert_eq!(judge_under(bootstrap, |_, _| {}).outcome, Outcome::Invalid);
    let verdict = judge_under(bootstrap, |base, cand| {
        cand.record.model = base.record.model.clone();
        for evidence in [base, cand] {
            set_scores(evidence, "object_recall", |_| 0.4);
        }
    });
    assert_eq!(
        verdict.reasons,
        [
            "first promotion: there is no baseline, so only limits were checked, on the candidate \
             alone",
            "object_recall of the candidate is 40.0 %; at least 50.0 % is demanded"
        ]
    );
}

fn guaranteed(policy: &mut Policy) {
    policy.confidence.method = Method::Guaranteed;
    policy.scenes.min_scenes = 60;
    for check in &mut policy.checks {
        if check.metric == "object_recall" || check.metric == "hallucination_rate" {
            check.margin = Some(policy::Margin::Absolute(0.10));
        }
    }
}

#[test]
fn guaranteed_bounds_pass_equal_models_and_fail_worse_ones() {
    let verdict = judge_under(guaranteed, |_, _| {});
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    let recall = check_of(&verdict, "object_recall");
    let estimate = recall.estimate.unwrap();
    assert_eq!(estimate.method.name(), "betting");
    assert_eq!(recall.certified, Some(estimate.low));
    let worse = |_: &mut Evidence, cand: &mut Evidence| {
        set_scores(cand, "object_recall", |i| 0.6 + 0.01 * (i % 2) as f64);
    };
    assert_eq!(judge_under(guaranteed, worse).outcome, Outcome::Fail);
}

#[test]
fn the_certified_bound_stands_beside_the_plug_in_one() {
    let verdict = judge_under(|_| {}, |_, _| {});
    for metric in ["fact_ok", "hallucination_rate", "object_recall"] {
        let check = check_of(&verdict, metric);
        let (certified, allowed) = (check.certified.unwrap(), check.allowed.unwrap());
        assert!(certified * allowed > 0.0, "{metric}: {certified} {allowed}");
        assert!(check.p_worse.is_some() && check.fail_level.is_some());
    }
    assert_eq!(check_of(&verdict, "cpu_ms_per_token").certified, None);
}

#[test]
fn scenes_of_one_camera_are_no_independent_scenes() {
    let clustered = |policy: &mut Policy| policy.scenes.cluster_by = Some(ClusterBy::Camera);
    // One camera of six loses everything; scene by scene that is a clear loss, by camera it is one.
    let lost = |_: &mut Evidence, cand: &mut Evidence| {
        set_scores(
            cand,
            "object_recall",
            |i| if i % 6 == 0 { 0.3 } else { 0.8 },
        );
    };
    let by_scene = judge_under(|_| {}, lost);
    assert_eq!(
        check_of(&by_scene, "object_recall").outcome,
        Some(Outcome::Fail)
    );
    let by_camera = judge_under(clustered, lost);
    let recall = check_of(&by_camera, "object_recall");
    assert_eq!(recall.outcome, Some(Outcome::Inconclusive), "{recall:?}");
    assert_eq!(recall.estimate.unwrap().n, 6);
    let unnamed = |policy: &mut Policy| policy.scenes.cluster_by = Some(ClusterBy::Camera);
    let mut policy = Policy::built_in();
    unnamed(&mut policy);
    let comparison = fixture::compare_edited(|_, _| {}).unwrap();
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    assert_eq!(verdict.outcome, Outcome::Invalid);
    assert!(
        verdict.reasons[0].contains("names none"),
        "{:?}",
        verdict.reasons
    );
}

#[test]
fn looks_spend_the_level_and_stop_early() {
    let looks = |policy: &mut Policy| {
        policy.effort.launches = 6;
        policy.effort.looks = vec![4, 6];
        policy.effort.shares = vec![0.2, 0.8];
    };
    let verdict = judge_under(looks, |_, _| {});
    let cpu = check_of(&verdict, "cpu_ms_per_token");
    assert_eq!((cpu.outcome, cpu.n), (Some(Outcome::Pass), 4));
    assert!((cpu.estimate.unwrap().alpha - 0.01).abs() < 1e-12);
    let mut policy = Policy::built_in();
    looks(&mut policy);
    let (base, cand) = fixture::roles();
    assert!(times_are_settled(&base.record, &cand.record, &policy));
    // Three launches reach no look, and without looks nothing is settled early.
    let short = |evidence: &Evidence| {
        let mut record = evidence.record.clone();
        record.plan.n_launches = 3;
        record.launches.truncate(3);
        record
    };
    assert!(!times_are_settled(&short(&base), &short(&cand), &policy));
    assert!(!times_are_settled(
        &base.record,
        &cand.record,
        &Policy::built_in()
    ));
}

/// More launches, each with the given change of the candidate's times.
fn launches(factors: &[f64]) -> impl FnOnce(&mut Evidence, &mut Evidence) + '_ {
    move |base, cand| {
        for evidence in [&mut *base, &mut *cand] {
            let first = evidence.record.launches[0].clone();
            evidence.record.plan.n_launches = factors.len();
            evidence.record.launches = (0..factors.len())
                .map(|index| crate::record::Launch {
                    index,
                    ..first.clone()
                })
                .collect();
        }
        for (launch, factor) in cand.record.launches.iter_mut().zip(factors) {
            for segment in launch.decode.iter_mut().chain(&mut launch.prefill) {
                segment.cpu_ns = scaled(segment.cpu_ns, *factor);
                segment.wall_ns = scaled(segment.wall_ns, *factor);
            }
        }
    }
}

#[test]
fn a_machine_that_drifts_decides_no_times() {
    let steady = [
        1.0, 1.002, 0.998, 1.001, 0.999, 1.003, 0.997, 1.001, 1.0, 0.999,
    ];
    let verdict = judge_under(|_| {}, launches(&steady));
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    let drifting: Vec<f64> = steady
        .iter()
        .enumerate()
        .map(|(i, factor)| if i < 5 { *factor } else { factor * 1.02 })
        .collect();
    let verdict = judge_under(|_| {}, launches(&drifting));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert!(
        verdict.reasons[0].contains("drifted"),
        "{:?}",
        verdict.reasons
    );
}

#[test]
fn whoever_goes_second_must_not_be_slower_for_it() {
    let verdict = judge_under(
        |_| {},
        |base, cand| {
            for evidence in [base, cand] {
                for segment in evidence
                    .record
                    .launches
                    .iter_mut()
                    .flat_map(|launch| &mut launch.decode)
                {
                    if !segment.went_first {
                        segment.cpu_ns += segment.cpu_ns / 20;
                    }
                }
            }
        },
    );
    let cpu = check_of(&verdict, "cpu_ms_per_token");
    assert_eq!(cpu.outcome, Some(Outcome::Inconclusive));
    assert!(cpu.reason.as_ref().unwrap().contains("whoever goes second"));
    // Wall times were fair, so they are decided.
    assert_eq!(
        check_of(&verdict, "wall_ms_per_token").outcome,
        Some(Outcome::Pass)
    );
}

#[test]
fn holm_names_more_failing_checks_than_bonferroni() {
    // Two clear losses leave the third a larger share of the level.
    let verdict = judge_under(
        |_| {},
        |_, cand| {
            set_scores(cand, "object_recall", |i| 0.3 + 0.01 * (i % 2) as f64);
            set_scores(cand, "hallucination_rate", |i| f64::from(u8::from(i < 30)));
            // Nine scenes lost: p = 2^-9 = 0.00195, above 0.01/6 and below 0.01/4.
            set_scores(cand, "fact_ok", |i| f64::from(u8::from(i >= 9)));
        },
    );
    let facts = check_of(&verdict, "fact_ok");
    assert!((facts.p_worse.unwrap() - 0.5f64.powi(9)).abs() < 1e-12);
    assert_eq!(facts.outcome, Some(Outcome::Fail), "{facts:?}");
    assert!(facts.fail_level.unwrap() > 0.01 / 6.0);
}

#[test]
fn one_severe_collapse_is_named_and_blocks_a_plug_in_pass() {
    let severe = |_: &mut Evidence, cand: &mut Evidence| {
        cand.scores[7]
            .scores
            .insert("fact_score", crate::metric::Score::Value(0.3));
    };
    let verdict = judge_under(|_| {}, severe);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert!(
        verdict.reasons[0].starts_with("scene scene-07 lost 70 points of fact_score"),
        "{:?}",
        verdict.reasons
    );
}
