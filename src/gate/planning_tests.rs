use super::*;
use crate::gate::fixture::{compare_edited, set_scores};
use crate::stats::distribution::normal_quantile;
use crate::stats::power::units_for_power;

/// A pilot whose recalls differ by noise of the given spread, and whose facts sometimes do.
fn pilot() -> Comparison {
    compare_edited(|base, cand| {
        set_scores(base, "object_recall", |_| 0.5);
        set_scores(
            cand,
            "object_recall",
            |i| if i % 2 == 0 { 0.4 } else { 0.6 },
        );
        set_scores(base, "fact_ok", |i| f64::from(u8::from(i % 12 != 3)));
        set_scores(cand, "fact_ok", |i| f64::from(u8::from(i % 12 != 5)));
    })
    .unwrap()
}

fn of<'a>(plan: &'a [PlannedCheck], metric: &str) -> &'a PlannedCheck {
    plan.iter().find(|check| check.metric == metric).unwrap()
}

#[test]
fn scores_that_t_decides_are_planned_by_its_power() {
    let plan = plan(&pilot(), &Policy::built_in());
    let recall = of(&plan, "object_recall");
    let sd = recall.sd.unwrap();
    assert!((sd - 0.1).abs() < 0.001);
    let exact = |alpha| units_for_power(0.05 / sd, alpha, CHANCE).unwrap();
    let near = |found: Option<usize>, exact: f64| {
        let found = found.unwrap() as f64;
        assert!((found - exact.ceil()).abs() <= 2.0, "{found} for {exact}");
    };
    near(recall.n_to_pass, exact(0.05));
    near(recall.n_to_fail, exact(0.01 / 6.0));
    assert_eq!((recall.unit.as_str(), recall.n_pilot), ("scenes", 60));
    // 60 scenes of 20.2 ms are enough for none of both.
    let n = recall.n_to_fail.unwrap();
    assert!((recall.seconds.unwrap() - n as f64 * 0.0202).abs() < 1e-6);
}

#[test]
fn the_chances_are_those_of_simulation() {
    for method in [Method::PlugIn, Method::Guaranteed] {
        let mut policy = Policy::built_in();
        policy.confidence.method = method;
        let pilot = pilot();
        let family = statistical(&pilot, &policy);
        let levels = Levels {
            pass: 0.05,
            fail: 0.01 / 6.0,
        };
        for check in &family {
            let Some(sampled) = &check.sampled else {
                continue;
            };
            let case = Case { sampled, levels };
            for (outcome, loss) in [
                (Outcome::Pass, case.equal()),
                (Outcome::Fail, sampled.rules.margin),
            ] {
                let n = n_units(&sampled.sample);
                let planned = case.chance(outcome, loss, n);
                let drawn = case.by_drawing(outcome, loss, n);
                assert!(
                    (planned - drawn).abs() <= 0.05,
                    "{} {method:?} {outcome:?}: {planned} planned, {drawn} drawn",
                    check.metric
                );
            }
        }
    }
}

#[test]
fn looks_and_launches_are_planned_in_launches() {
    let mut policy = Policy::built_in();
    policy.effort.launches = 20;
    policy.effort.looks = vec![6, 10, 15, 20];
    policy.effort.shares = vec![0.08, 0.17, 0.25, 0.5];
    let plan = plan(&pilot(), &policy);
    let cpu = of(&plan, "cpu_ms_per_token");
    assert_eq!(cpu.unit, "launches");
    assert_eq!(cpu.first_look, Some(6), "{cpu:?}");
    assert!((cpu.margin - 0.10).abs() < 1e-12);
    assert!(cpu.n_to_pass.is_some() && cpu.n_to_fail.is_some());
}

/// The level is split over the looks: what a run can show depends on it, and so does the plan.
#[test]
fn the_chances_of_launches_are_those_of_the_gate_with_its_looks() {
    let mut policy = Policy::built_in();
    policy.effort.launches = 20;
    policy.effort.looks = vec![6, 10, 15, 20];
    policy.effort.shares = vec![0.08, 0.17, 0.25, 0.25];
    let levels = Levels {
        pass: 0.05,
        fail: 0.01 / 6.0,
    };
    let comparison = pilot();
    let family = statistical(&comparison, &policy);
    let cpu = family.iter().find(|it| it.metric == "cpu_ms_per_token");
    let mut sampled = cpu.unwrap().sampled.clone().unwrap();
    let mut stream = sampled.rules.seed.stream(0);
    let mut normal = || normal_quantile(stream.share().max(f64::EPSILON));
    // Twenty launches with a spread somewhat above the margin: decided in some runs only.
    let sd = sampled.rules.margin * 1.2;
    let mut centres: Vec<f64> = (0..20).map(|_| normal() * sd).collect();
    let found = moments(&centres).unwrap();
    for centre in &mut centres {
        *centre = (*centre - found.mean) * sd / found.sd;
    }
    sampled.sample = Sample::Launches(centres);
    let case = Case {
        sampled: &sampled,
        levels,
    };
    let Sampled { rules, .. } = &sampled;
    for (outcome, loss) in [(Outcome::Pass, 0.0), (Outcome::Fail, rules.margin)] {
        let planned = case.chance(outcome, loss, 20);
        let hits = (0..2_000).filter(|_| {
            let centres = (0..20).map(|_| loss + sd * normal()).collect();
            Sample::Launches(centres).outcome(rules, levels) == outcome
        });
        let drawn = hits.count() as f64 / 2_000.0;
        assert!((0.1..0.99).contains(&drawn), "{outcome:?}: {drawn}");
        assert!(
            (planned - drawn).abs() <= 0.05,
            "{outcome:?}: {planned} planned, {drawn} drawn"
        );
    }
    // One look has the whole level, and passes more.
    sampled.rules.looks = None;
    let at_once = Case {
        sampled: &sampled,
        levels,
    };
    let once = at_once.chance(Outcome::Pass, 0.0, 20);
    sampled.rules.looks = policy.effort.looks_plan();
    let split = Case {
        sampled: &sampled,
        levels,
    };
    assert!(split.chance(Outcome::Pass, 0.0, 20) < once);
}

#[test]
fn a_wider_margin_needs_fewer_scenes() {
    let with = |margin: f64| {
        let mut policy = Policy::built_in();
        policy.scenes.min_scenes = 300;
        for check in &mut policy.checks {
            if check.metric == "fact_ok" {
                check.margin = Some(super::super::policy::Margin::Absolute(margin));
            }
        }
        of(&plan(&pilot(), &policy), "fact_ok").n_to_pass.unwrap()
    };
    assert!(with(0.2) < with(0.1) && with(0.1) < with(0.05));
}
