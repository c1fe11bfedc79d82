use super::super::fixture::{roles, scale_times};
use super::super::{Comparison, Evidence, JudgeOptions, Policy, judge};
use super::*;
use crate::record::LoadSettings;
use crate::units::Bytes;

/// Gives every launch of both roles a machine record, pages and quiet segments.
fn quiet(evidence: &mut Evidence) {
    let record = &mut evidence.record;
    for launch in &mut record.launches {
        launch.machine = Some(MachineRecord {
            cpu_ns: Some(1_000_000),
            steal_ns: Some(0),
            swapped_in_pages: Some(0),
            ..MachineRecord::default()
        });
        launch.pages = Some(ArenaPages {
            eligible_bytes: Bytes(100),
            huge_bytes: Bytes(100),
        });
        for segment in launch.decode.iter_mut().chain(&mut launch.prefill) {
            segment.health = Some(SegmentHealth {
                major_faults: Some(0),
                throttled_periods: Some(0),
                ..SegmentHealth::default()
            });
        }
    }
}

/// A quiet run after an edit.
fn edited(edit: impl Fn(&mut RunRecord)) -> [RunRecord; 2] {
    let (mut base, mut cand) = roles();
    for evidence in [&mut base, &mut cand] {
        quiet(evidence);
        edit(&mut evidence.record);
    }
    [base.record, cand.record]
}

#[track_caller]
fn check(edit: impl Fn(&mut RunRecord), expected: &[(&str, Severity)]) {
    let [base, cand] = edited(edit);
    let found = flags(&base, &cand);
    let found: Vec<_> = found.iter().map(|it| (it.name, it.severity)).collect();
    assert_eq!(found, expected);
}

fn each_segment(record: &mut RunRecord, edit: impl Fn(usize, &mut Segment)) {
    for launch in &mut record.launches {
        let segments = launch.decode.iter_mut().chain(&mut launch.prefill);
        segments
            .enumerate()
            .for_each(|(i, segment)| edit(i, segment));
    }
}

fn each_machine(record: &mut RunRecord, edit: impl Fn(&mut MachineRecord)) {
    for launch in &mut record.launches {
        edit(launch.machine.as_mut().unwrap());
    }
}

#[test]
fn a_quiet_machine_raises_no_flag() {
    check(|_| {}, &[]);
}

#[test]
fn what_the_system_does_not_tell_raises_no_flag() {
    let (base, cand) = roles();
    assert_eq!(flags(&base.record, &cand.record), []);
}

#[test]
fn each_disturbance_has_its_flag() {
    use Severity::{Design, Noise};
    let pages = |huge| {
        move |record: &mut RunRecord| {
            record.launches[2].pages = Some(ArenaPages {
                eligible_bytes: Bytes(100),
                huge_bytes: Bytes(huge),
            });
        }
    };
    check(pages(94), &[("huge_pages", Design)]);
    check(pages(95), &[]);
    let idle = |share: u64| {
        move |record: &mut RunRecord| {
            each_segment(record, |_, segment| {
                segment.health.as_mut().unwrap().idle_cpu_ns = segment.wall_ns * share / 1000;
            });
        }
    };
    check(idle(12), &[("idle_role_busy", Design)]);
    check(idle(8), &[]);
    let stolen = |ns| {
        move |record: &mut RunRecord| each_machine(record, |machine| machine.steal_ns = Some(ns))
    };
    check(stolen(21_000), &[("steal", Noise)]);
    check(stolen(20_000), &[]);
    let throttled = |every: usize| {
        move |record: &mut RunRecord| {
            each_segment(record, |i, segment| {
                segment.health.as_mut().unwrap().throttled_periods =
                    Some(u64::from(i.is_multiple_of(every)));
            });
        }
    };
    check(throttled(2), &[("throttling", Noise)]);
    check(
        |record| each_machine(record, |machine| machine.swapped_in_pages = Some(1)),
        &[("swap", Noise)],
    );
    let faults = |n| {
        move |record: &mut RunRecord| {
            record.launches[0].decode[1]
                .health
                .as_mut()
                .unwrap()
                .major_faults = Some(n);
        }
    };
    check(faults(11), &[("major_faults", Noise)]);
    check(faults(10), &[]);
    // 2 of 6 launches.
    check(
        |record| record.n_repeated_launches = 2,
        &[("repeated_launches", Noise)],
    );
    check(|record| record.n_repeated_launches = 1, &[]);
}

fn scaled(segment: &mut Segment, factor: f64) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of the fixture are small and positive"
    )]
    let scale = |ns: u64| (ns as f64 * factor) as u64;
    segment.wall_ns = scale(segment.wall_ns);
    segment.cpu_ns = scale(segment.cpu_ns);
}

/// Uses the launches of both roles as controls, the candidate's slowed down.
fn with_controls(by: f64) -> [RunRecord; 2] {
    let mut records = edited(|_| {});
    for record in &mut records {
        record.controls = record.launches.clone();
    }
    for launch in &mut records[1].controls {
        let segments = launch.decode.iter_mut().chain(&mut launch.prefill);
        segments.for_each(|segment| scaled(segment, by));
    }
    records
}

#[test]
fn a_baseline_that_differs_from_itself_is_a_flaw_of_the_design() {
    let [base, cand] = with_controls(1.0);
    assert_eq!(flags(&base, &cand), []);
    let floor = noise_floor(&base, &cand, ForcedCost::CpuPerToken).unwrap();
    assert!(floor.low < 0.0 && floor.high > 0.0 && floor.n == 6);
    let [base, cand] = with_controls(1.1);
    let found = flags(&base, &cand);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|flag| flag.name == "control"));
    assert_eq!(
        noise_floor(&edited(|_| {})[0], &cand, ForcedCost::CpuPerToken),
        None
    );
}

/// The outcome of `cpu_ms_per_token` when the candidate's times are scaled and the run is edited.
fn outcome(factor: f64, edit: impl Fn(&mut RunRecord)) -> (Option<Outcome>, Option<String>) {
    let (mut base, mut cand) = roles();
    for evidence in [&mut base, &mut cand] {
        quiet(evidence);
        edit(&mut evidence.record);
    }
    scale_times(&mut cand, factor);
    let comparison = Comparison::new(base, cand).unwrap();
    let verdict = judge(&comparison, &Policy::built_in(), JudgeOptions::default());
    let checks = verdict.checks.into_iter();
    let mut cpu = checks.filter(|check| check.metric == "cpu_ms_per_token");
    let cpu = cpu.next().unwrap();
    (cpu.outcome, cpu.reason)
}

#[test]
fn noise_takes_a_pass_away_and_lets_a_fail_stand() {
    let noisy = |record: &mut RunRecord| {
        each_machine(record, |machine| machine.steal_ns = Some(900_000));
    };
    assert_eq!(outcome(1.0, |_| {}).0, Some(Outcome::Pass));
    let (undecided, reason) = outcome(1.0, noisy);
    assert_eq!(undecided, Some(Outcome::Inconclusive));
    let reason = reason.unwrap();
    assert!(
        reason.contains("would pass, but") && reason.contains("90.0 % of the CPU time"),
        "{reason}"
    );
    assert_eq!(outcome(1.5, noisy).0, Some(Outcome::Fail));
}

#[test]
fn a_broken_design_takes_a_fail_away_too() {
    let misplaced = |record: &mut RunRecord| {
        record.launches[0].pages = Some(ArenaPages {
            eligible_bytes: Bytes(100),
            huge_bytes: Bytes(0),
        });
    };
    assert_eq!(outcome(1.5, |_| {}).0, Some(Outcome::Fail));
    for factor in [1.0, 1.5] {
        assert_eq!(outcome(factor, misplaced).0, Some(Outcome::Inconclusive));
    }
}

#[test]
fn quality_is_not_touched_by_the_machine() {
    let (mut base, mut cand) = roles();
    for evidence in [&mut base, &mut cand] {
        quiet(evidence);
        evidence.record.load = LoadSettings::default();
        each_machine(&mut evidence.record, |machine| {
            machine.steal_ns = Some(900_000);
        });
    }
    let comparison = Comparison::new(base, cand).unwrap();
    let verdict = judge(&comparison, &Policy::built_in(), JudgeOptions::default());
    for check in verdict.checks.iter().filter(|check| check.required) {
        let is_time = check.metric.ends_with("_ms_per_token");
        let expected = if is_time {
            Outcome::Inconclusive
        } else {
            Outcome::Pass
        };
        assert_eq!(check.outcome, Some(expected), "{}", check.metric);
    }
}
