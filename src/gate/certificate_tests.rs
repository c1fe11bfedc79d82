use super::*;
use crate::gate::fixture::{compare_edited, set_scores};
use crate::gate::policy::Policy;

/// A comparison with noise in every score and no true difference.
fn noisy(sd: f64) -> Comparison {
    compare_edited(|base, cand| {
        set_scores(base, "object_recall", |_| 0.5);
        set_scores(cand, "object_recall", |i| {
            0.5 + sd * ((i * 37 % 60) as f64 / 30.0 - 1.0)
        });
        set_scores(base, "fact_ok", |i| if i % 20 == 3 { 0.0 } else { 1.0 });
        set_scores(cand, "fact_ok", |i| if i % 20 == 4 { 0.0 } else { 1.0 });
    })
    .unwrap()
}

#[test]
fn equal_models_rarely_fail_and_a_loss_of_two_margins_mostly_does() {
    let found = Certificate::of(&noisy(0.1), &Policy::built_in(), 200).unwrap();
    let equal = found.equal.unwrap();
    assert!(equal.fail <= 0.03, "{equal:?}");
    assert!(equal.pass + equal.fail + equal.inconclusive > 0.999);
    assert!(equal.fail_at_most >= equal.fail);
    let recall = found.checks.iter().find(|it| it.metric == "object_recall");
    let recall = recall.unwrap();
    let at = |margins: f64| {
        let found = recall
            .at
            .iter()
            .find(|at| (at.margins - margins).abs() < 1e-9);
        *found.unwrap()
    };
    assert!(at(1.0).pass < 0.12, "{recall:?}");
    assert!(at(2.0).fail > 0.9, "{recall:?}");
    assert!(at(0.5).pass > at(1.0).pass && at(1.0).pass >= at(2.0).pass);
    assert!(recall.detectable.unwrap() > recall.certifiable.unwrap());
    assert!(found.scenes_exercised && found.launches_exercised);
    assert!((found.unseen_share.unwrap() - 0.0487).abs() < 1e-3);
}

/// At a look launches have a share of the level: a larger loss is needed, and a wider margin.
#[test]
fn launches_are_certified_at_the_level_of_their_look() {
    let of = |looks: &[usize], shares: &[f64]| {
        let mut policy = Policy::built_in();
        policy.effort.looks = looks.to_vec();
        policy.effort.shares = shares.to_vec();
        let found = Certificate::of(&noisy(0.1), &policy, 1).unwrap();
        let mut checks = found.checks.into_iter();
        let cpu = checks.find(|it| it.metric == "cpu_ms_per_token").unwrap();
        (cpu.detectable, cpu.certifiable)
    };
    // The fixture has six launches.
    let (whole, shared) = (of(&[], &[]), of(&[6, 10], &[0.2, 0.8]));
    assert!(shared.0 > whole.0 && whole.0.is_some(), "{shared:?}");
    assert!(shared.1 > whole.1 && whole.1.is_some(), "{shared:?}");
    assert_eq!(of(&[6], &[1.0]), whole);
    assert_eq!(of(&[8, 10], &[0.2, 0.8]), (None, None));
}

#[test]
fn identical_outputs_say_nothing_of_the_scenes() {
    let found = Certificate::of(&compare_edited(|_, _| {}).unwrap(), &Policy::built_in(), 50);
    let found = found.unwrap();
    assert!(!found.scenes_exercised && found.launches_exercised);
    let recall = found.checks.iter().find(|it| it.metric == "object_recall");
    assert_eq!(recall.unwrap().detectable, None);
}

#[test]
fn what_a_candidate_broke_is_no_property_of_equal_models() {
    // Twelve scenes fell apart and none rose as far: equal models would not do that.
    let comparison = compare_edited(|base, cand| {
        set_scores(base, "fact_score", |_| 0.8);
        set_scores(cand, "fact_score", |i| if i % 5 == 0 { 0.2 } else { 0.8 });
    })
    .unwrap();
    let found = Certificate::of(&comparison, &Policy::built_in(), 400).unwrap();
    let equal = found.equal.unwrap();
    assert!(equal.fail < 0.02, "{equal:?}");
    // Nor does a candidate that only repairs scenes speak of models that break them.
    let better = compare_edited(|base, cand| {
        set_scores(base, "fact_score", |i| if i % 5 == 0 { 0.2 } else { 0.8 });
        set_scores(cand, "fact_score", |_| 0.8);
    })
    .unwrap();
    let found = Certificate::of(&better, &Policy::built_in(), 400).unwrap();
    let equal = found.equal.unwrap();
    assert!(equal.fail < 0.02, "{equal:?}");
    // Where as many rise, falling apart is what such models do, and the gate stops them.
    let erratic = compare_edited(|base, cand| {
        set_scores(base, "fact_score", |i| if i % 5 == 1 { 0.2 } else { 0.8 });
        set_scores(cand, "fact_score", |i| if i % 5 == 0 { 0.2 } else { 0.8 });
    })
    .unwrap();
    let found = Certificate::of(&erratic, &Policy::built_in(), 400).unwrap();
    let equal = found.equal.unwrap();
    assert!(equal.fail > 0.8, "{equal:?}");
}

#[test]
fn any_number_of_threads_gives_the_same_certificate() {
    let comparison = noisy(0.1);
    let policy = Policy::built_in();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build()
            .unwrap()
            .install(|| Certificate::of(&comparison, &policy, 64).unwrap())
    };
    let one = serde_json::to_string(&with(1)).unwrap();
    for threads in [2, 3] {
        assert_eq!(one, serde_json::to_string(&with(threads)).unwrap());
    }
}

#[test]
fn a_policy_without_statistics_has_no_certificate() {
    let mut policy = Policy::built_in();
    policy.checks.retain(|check| check.metric == "valid");
    assert_eq!(Certificate::of(&noisy(0.1), &policy, 50), None);
    assert_eq!(Certificate::of(&noisy(0.1), &Policy::built_in(), 0), None);
}

#[test]
fn moved_values_have_the_loss_they_are_asked_for() {
    let ready = statistical(&noisy(0.1), &Policy::built_in());
    let seed = Seed::of_digest([8; 32]);
    for check in ready.iter().filter_map(ready_of) {
        let Sampled { sample, rules, .. } = &check.sampled;
        if matches!(sample, Sample::Collapse(_)) {
            continue;
        }
        let mut sum = 0.0;
        for index in 0..400 {
            let drawn = moved(sample, rules, 0.04, 60, &mut seed.stream(index));
            sum += drawn.values().iter().sum::<f64>() / drawn.values().len() as f64;
        }
        assert!(
            (sum / 400.0 - 0.04).abs() < 0.006,
            "{}: {}",
            check.metric,
            sum / 400.0
        );
    }
}

fn ready_of(check: &Statistical) -> Option<Ready> {
    super::ready(check)
}
