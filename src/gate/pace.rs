//! What one more scene or launch costs on this machine, estimated from the times in the records.

use super::comparison::Comparison;
use crate::metric::cost;
use crate::record::{Launch, RunRecord};
use crate::stats::rank::median;

/// Seconds per unit, for both roles together; `None` where the records hold no times.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pace {
    /// One more scene: its output written alone. In a batch it takes less.
    pub(crate) scene_s: Option<f64>,
    /// One more launch: from the start of its workers to their end.
    pub(crate) launch_s: Option<f64>,
}

impl Pace {
    pub(crate) fn of(comparison: &Comparison) -> Self {
        let records = [comparison.baseline(), comparison.candidate()];
        let both = |of: fn(&RunRecord) -> Option<f64>| Some(of(records[0])? + of(records[1])?);
        Self {
            scene_s: both(scene_s),
            launch_s: whole_launch_s(comparison.baseline()).or_else(|| both(launch_s)),
        }
    }
}

/// Median end-to-end time of the outputs written alone.
fn scene_s(record: &RunRecord) -> Option<f64> {
    let mut times: Vec<f64> = record.outputs.iter().filter_map(cost::e2e_ms).collect();
    Some(median(&mut times).ok()? / 1000.0)
}

/// Median time of a launch, both roles in it; `None` in records that do not tell it.
fn whole_launch_s(record: &RunRecord) -> Option<f64> {
    let of = |launch: &Launch| Some(launch.machine.as_ref()?.elapsed_ns as f64 / 1e9);
    let mut launches: Vec<f64> = record.launches.iter().map(of).collect::<Option<_>>()?;
    median(&mut launches).ok().filter(|seconds| *seconds > 0.0)
}

/// Median load time and median time of all segments of a launch.
fn launch_s(record: &RunRecord) -> Option<f64> {
    let mut loads: Vec<f64> = record.memory.iter().map(cost::load_ms).collect();
    let of = |launch: &Launch| {
        let segments = launch.decode.iter().chain(&launch.prefill);
        segments.map(|segment| segment.wall_ns as f64 / 1e6).sum()
    };
    let mut launches: Vec<f64> = record.launches.iter().map(of).collect();
    Some((median(&mut loads).ok()? + median(&mut launches).ok()?) / 1000.0)
}

/// `another run with 10 launches (≈ 40 s here) on a quieter machine would settle it`.
///
/// * `how`: what must be different about it
pub(crate) fn again(comparison: &Comparison, how: &str) -> String {
    let n = comparison.baseline().launches.len();
    let time = duration(n, Pace::of(comparison).launch_s);
    let time = time.map_or(String::new(), |time| format!(" (≈ {time})"));
    format!("another run with {n} launches{time} {how} would settle it")
}

/// `5 s here`, `9 min here`, `3.5 h here`; `None` for an unknown pace.
pub(crate) fn duration(units: usize, seconds: Option<f64>) -> Option<String> {
    let seconds = units as f64 * seconds?;
    Some(if seconds < 90.0 {
        format!("{:.0} s here", seconds.ceil())
    } else if seconds < 5_400.0 {
        format!("{:.0} min here", (seconds / 60.0).ceil())
    } else {
        format!("{:.1} h here", seconds / 3_600.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::compare_edited;
    use crate::record::MachineRecord;

    #[test]
    fn a_launch_is_two_loads_and_its_segments() {
        let pace = Pace::of(&compare_edited(|_, _| {}).unwrap());
        // 20 ms to load, four decode segments of 64 ms and four prefill segments of 32 ms, twice.
        assert!(
            (pace.launch_s.unwrap() - 2.0 * 0.404).abs() < 0.01,
            "{pace:?}"
        );
        assert!(
            (pace.scene_s.unwrap() - 2.0 * 0.0101).abs() < 1e-9,
            "{pace:?}"
        );
    }

    #[test]
    fn a_launch_takes_what_the_machine_says_it_took() {
        let comparison = compare_edited(|base, _| {
            for launch in &mut base.record.launches {
                launch.machine = Some(MachineRecord {
                    elapsed_ns: 2_500_000_000,
                    ..MachineRecord::default()
                });
            }
        });
        assert_eq!(Pace::of(&comparison.unwrap()).launch_s, Some(2.5));
    }

    #[test]
    fn without_times_there_is_no_pace() {
        let comparison = compare_edited(|base, _| {
            base.record.launches.clear();
            base.record.plan.n_launches = 0;
            for output in &mut base.record.outputs {
                output.times = None;
            }
        });
        // Plans differ then, so the records are not even compared.
        assert!(comparison.is_err());
        assert_eq!(duration(5, None), None);
    }

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        let of = |seconds| duration(1, Some(seconds)).unwrap();
        assert_eq!(of(4.2), "5 s here");
        assert_eq!(of(500.0), "9 min here");
        assert_eq!(of(12_600.0), "3.5 h here");
    }
}
