use proptest::prelude::*;

use super::*;
use crate::gate::policy::Policy;
use crate::stats::multiplicity::holm;

const LEVELS: Levels = Levels {
    pass: 0.05,
    fail: 0.0025,
};

fn rules(method: Method, margin: f64) -> Rules {
    Rules {
        method,
        margin,
        collapse: Policy::built_in().collapse,
        looks: None,
        seed: Seed::of_digest([5; 32]),
        resamples: 499,
    }
}

fn wobble(mean: f64, sd: f64, n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| mean + sd * ((i * 37 % n) as f64 / n as f64 - 0.5) * 12f64.sqrt())
        .collect()
}

/// `lost` scenes lost, `won` scenes won, the rest the same.
fn flips(lost: usize, won: usize, n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| match i {
            i if i < lost => 1.0,
            i if i < lost + won => -1.0,
            _ => 0.0,
        })
        .collect()
}

#[track_caller]
fn check(sample: &Sample, method: Method, margin: f64, expected: Outcome) {
    let rules = rules(method, margin);
    let shown = sample.shown(&rules, LEVELS).unwrap();
    assert_eq!(shown.outcome, expected, "{shown:?}");
    assert_eq!(sample.outcome(&rules, LEVELS), expected, "the short way");
    assert!(shown.loss.low <= shown.loss.point && shown.loss.point <= shown.loss.high);
}

#[test]
fn every_kind_of_sample_passes_fails_and_stays_open() {
    use Method::{Guaranteed, PlugIn};
    use Outcome::{Fail, Inconclusive, Pass};
    let graded = |mean, sd, n| Sample::Graded(wobble(mean, sd, n));
    for method in [Guaranteed, PlugIn] {
        check(&graded(0.0, 0.05, 300), method, 0.03, Pass);
        check(&graded(0.06, 0.05, 300), method, 0.03, Fail);
        check(&graded(0.01, 0.3, 100), method, 0.03, Inconclusive);
        check(&Sample::Rate(flips(3, 3, 300)), method, 0.05, Pass);
        check(&Sample::Rate(flips(40, 2, 300)), method, 0.05, Fail);
        check(&Sample::Rate(flips(9, 4, 100)), method, 0.05, Inconclusive);
        let clusters: Vec<usize> = (0..300).map(|i| i / 5).collect();
        let clustered = |mean| Sample::Clustered(wobble(mean, 0.05, 300), clusters.clone());
        check(&clustered(0.0), method, 0.08, Pass);
        check(&clustered(0.1), method, 0.08, Fail);
    }
    check(&Sample::Collapse(vec![0.0; 60]), PlugIn, 0.05, Pass);
    let fell = |loss: f64, k: usize| {
        Sample::Collapse((0..60).map(|i| if i < k { loss } else { 0.0 }).collect())
    };
    check(&fell(0.3, 8), PlugIn, 0.05, Fail);
    check(&fell(0.3, 1), PlugIn, 0.05, Inconclusive);
    check(&Sample::Launches(wobble(0.0, 0.01, 10)), PlugIn, 0.03, Pass);
    check(
        &Sample::Launches(wobble(0.05, 0.01, 10)),
        PlugIn,
        0.03,
        Fail,
    );
    check(
        &Sample::Launches(wobble(0.02, 0.04, 10)),
        PlugIn,
        0.03,
        Inconclusive,
    );
}

#[test]
fn one_severe_scene_blocks_a_pass_of_plug_in_bounds_only() {
    let mut losses = vec![0.0; 300];
    losses[7] = 0.6;
    let sample = Sample::Collapse(losses);
    check(&sample, Method::PlugIn, 0.05, Outcome::Inconclusive);
    assert_eq!(
        sample.severe_collapse(&rules(Method::PlugIn, 0.05)),
        Some(7)
    );
    check(&sample, Method::Guaranteed, 0.05, Outcome::Pass);
}

#[test]
fn equal_losses_have_no_spread_and_a_p_value_that_agrees_with_their_bound() {
    for (loss, n) in [(0.5, 60), (0.05, 60), (0.01, 400), (0.0, 60), (-0.3, 60)] {
        let losses = vec![loss; n];
        let p = p_mean(&losses);
        for level in [0.05, 0.0025, 1e-4] {
            let low = mean_loss(&losses, level).unwrap().low;
            assert_eq!(low > 0.0, p < level, "{loss} × {n} at {level}: p = {p}");
        }
    }
}

#[test]
fn the_fail_bound_lies_above_the_null_exactly_when_the_p_value_says_so() {
    let rules = rules(Method::PlugIn, 0.05);
    let samples = [
        Sample::Graded(wobble(0.03, 0.1, 60)),
        Sample::Graded(wobble(0.01, 0.1, 60)),
        Sample::Rate(flips(10, 0, 300)),
        Sample::Rate(flips(9, 0, 300)),
        Sample::Rate(flips(20, 4, 300)),
        Sample::Rate(flips(0, 0, 300)),
        Sample::Launches(wobble(0.01, 0.02, 12)),
        Sample::Collapse(flips(4, 0, 60)),
        Sample::Collapse(flips(3, 0, 60)),
    ];
    for sample in samples {
        let p = sample.p_worse(&rules);
        let null = match &sample {
            Sample::Collapse(_) => rules.collapse.normal,
            _ => 0.0,
        };
        for level in [0.05, 0.01, 0.002, 0.001_67, 1e-5] {
            let low = sample.lower(&rules, level).unwrap();
            assert_eq!(
                low > null,
                p < level,
                "{sample:?} at {level}: {low}, p = {p}"
            );
        }
    }
}

#[test]
fn too_little_shows_nothing() {
    let rules = rules(Method::PlugIn, 0.05);
    let shown = |sample: Sample| sample.shown(&rules, LEVELS);
    assert!(shown(Sample::Graded(Vec::new())).is_err());
    assert!(shown(Sample::Launches(vec![0.01])).is_err());
    assert!(shown(Sample::Launches(vec![0.01; 9])).is_err(), "no spread");
    let four: Vec<usize> = (0..60).map(|i| i % 4).collect();
    assert!(shown(Sample::Clustered(wobble(0.0, 0.1, 60), four.clone())).is_err());
    for sample in [
        Sample::Graded(Vec::new()),
        Sample::Launches(vec![0.5; 9]),
        Sample::Clustered(wobble(0.5, 0.1, 60), four),
    ] {
        assert_eq!(sample.outcome(&rules, LEVELS), Outcome::Inconclusive);
    }
}

#[test]
fn the_first_look_that_decides_is_the_last_one_taken() {
    let looks = Looks::without_continuation();
    let rules = Rules {
        looks: Some(looks),
        ..rules(Method::PlugIn, 0.03)
    };
    let at = |centres: Vec<f64>| Sample::Launches(centres).shown(&rules, LEVELS).unwrap();
    // Quiet at first, then slow: what passed at six launches stays passed.
    let mut centres = wobble(0.0, 0.002, 6);
    centres.extend(wobble(0.2, 0.002, 14));
    let found = at(centres.clone());
    assert_eq!((found.outcome, found.loss.n), (Outcome::Pass, 6));
    assert!((found.loss.alpha - 0.05 * 0.08).abs() < 1e-12);
    // Noise at first: decided later, at another level.
    let mut centres = wobble(0.0, 0.06, 6);
    centres.extend(wobble(0.0, 0.001, 14));
    let found = at(centres);
    assert_eq!(found.outcome, Outcome::Pass);
    assert!(found.loss.n > 6);
    // Between two looks the launches of the first count.
    assert_eq!(at(wobble(0.02, 0.05, 9)).loss.n, 6);
    let five = Sample::Launches(wobble(0.0, 0.01, 5)).shown(&rules, LEVELS);
    let none = Err(Error::TooFew {
        found: 5,
        needed: 6,
    });
    assert_eq!(five, none);
}

#[test]
fn levels_by_holm_reject_what_holm_rejects() {
    let alpha = 0.01;
    for p in [
        vec![0.5, 0.001, 0.004, 0.2],
        vec![0.0024, 0.0032, 0.0049, 0.009],
        vec![0.9, 0.9],
        vec![0.011],
        vec![0.01],
        vec![],
    ] {
        let levels = holm_levels(&p, alpha);
        let adjusted = if p.is_empty() {
            Vec::new()
        } else {
            holm(&p).unwrap()
        };
        for ((p, level), adjusted) in p.iter().zip(&levels).zip(adjusted) {
            assert_eq!(*p <= *level, adjusted <= alpha, "{p} {level} {adjusted}");
        }
        assert_eq!(levels.len(), p.len());
    }
    // Nothing rejected: Bonferroni's share for all.
    let levels = holm_levels(&[0.5, 0.6], 0.01);
    assert!(levels.iter().all(|level| (level - 0.005).abs() < 1e-15));
}

fn losses() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-0.5..0.5f64, 60..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn swapping_roles_mirrors_the_loss(values in losses(), guaranteed: bool) {
        let method = if guaranteed { Method::Guaranteed } else { Method::PlugIn };
        let rules = rules(method, 0.05);
        let mirrored = Sample::Graded(values.iter().map(|v| -v).collect());
        let there = Sample::Graded(values).shown(&rules, LEVELS).unwrap().loss;
        let back = mirrored.shown(&rules, LEVELS).unwrap().loss.negated();
        for (a, b) in [(there.point, back.point), (there.low, back.low), (there.high, back.high)] {
            prop_assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn a_gain_for_every_scene_never_worsens_the_outcome(
        values in losses(), gain in 0.0..0.3f64, guaranteed: bool, by_launch: bool,
    ) {
        let method = if guaranteed { Method::Guaranteed } else { Method::PlugIn };
        let rules = rules(method, 0.06);
        let values: Vec<f64> = values.iter().map(|v| 0.3 * v).collect();
        let better: Vec<f64> = values.iter().map(|v| v - gain).collect();
        let of = |values: Vec<f64>| {
            let sample = if by_launch { Sample::Launches(values) } else { Sample::Graded(values) };
            sample.outcome(&rules, LEVELS)
        };
        prop_assert!(of(better) <= of(values));
    }

    #[test]
    fn a_scene_won_back_never_worsens_a_rate(lost in 0..30usize, won in 0..30usize, guaranteed: bool) {
        let method = if guaranteed { Method::Guaranteed } else { Method::PlugIn };
        let rules = rules(method, 0.08);
        // The scenes that were lost are the first: winning one back keeps all others in place.
        let before = flips(lost + 1, won, 200);
        let mut after = before.clone();
        after[lost] = 0.0;
        let p = |values: &[f64]| Sample::Rate(values.to_vec()).p_worse(&rules);
        prop_assert!(p(&after) >= p(&before));
        if !guaranteed {
            let of = |values: &[f64]| Sample::Rate(values.to_vec()).outcome(&rules, LEVELS);
            prop_assert!(of(&after) <= of(&before));
        }
    }
}
