//! Whether the machine let times be judged: design flags and noise flags over two records.
//!
//! Coin flips keep a noisy machine honest, so a noise flag takes a pass away and lets a fail stand.
//! A design flag says that what the coin flips rest on did not hold; it takes both away. No flag
//! ever makes anything pass, and no segment is dropped. Pressure, context switches, load and clock
//! rates are in the record for a reader; they do not judge, because the procedure has to work on a
//! busy machine.

use super::verdict::{CheckResult, Outcome};
use crate::metric::cost::{ForcedCost, control_log_ratios};
use crate::record::health::{HUGE_SHARE, STEAL_SHARE};
use crate::record::{ArenaPages, Launch, MachineRecord, RunRecord, Segment, SegmentHealth};
use crate::stats::Estimate;
use crate::stats::mean::t_estimate;
use crate::stats::rank::hodges_lehmann;

/// CPU time of the waiting role as a share of the working role's segment.
const IDLE_SHARE: f64 = 0.01;
/// Error rate of each bound of the control.
const CONTROL_ALPHA: f64 = 0.001;
/// Error rate of each bound of the noise floor.
const FLOOR_ALPHA: f64 = 0.025;
/// Share of segments in which the CPU quota was used up.
const THROTTLED_SHARE: f64 = 0.05;
/// Page faults from the disk within one segment.
const MAJOR_FAULTS: u64 = 10;
/// Share of launches that had to be repeated.
const REPEATED_SHARE: f64 = 0.2;

/// Every cost with its metric.
pub(crate) const COSTS: [(ForcedCost, &str); 3] = [
    (ForcedCost::CpuPerToken, "cpu_ms_per_token"),
    (ForcedCost::WallPerToken, "wall_ms_per_token"),
    (ForcedCost::PrefillCpuPerToken, "prefill_cpu_ms_per_token"),
];

/// What a flag takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The design did not hold: passes and fails of times become undecided.
    Design,
    /// The machine was noisy: passes of times become undecided.
    Noise,
}

/// Something about the machine that speaks against times being judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// Short name, e.g. `steal`.
    pub name: &'static str,
    /// What it takes away.
    pub severity: Severity,
    /// The one metric it is about; `None` for all times of launches.
    pub metric: Option<&'static str>,
    /// One sentence with the figure and the allowance.
    pub text: String,
}

/// All flags of a run, design flags first.
pub fn flags(baseline: &RunRecord, candidate: &RunRecord) -> Vec<Flag> {
    if baseline.launches.is_empty() || candidate.launches.is_empty() {
        return Vec::new();
    }
    let records = [baseline, candidate];
    let mut found = Vec::new();
    found.extend(huge_pages(records));
    found.extend(idle_role(records));
    for (cost, metric) in COSTS {
        found.extend(control(records, cost, metric));
    }
    found.extend(steal(baseline));
    found.extend(throttling(records));
    found.extend(swap(records));
    found.extend(repeated(baseline));
    found
}

/// What the control launches show where nothing differs: the log ratio of two workers with the same
/// files, with a 95 % interval. `None` below two control launches.
pub fn noise_floor(
    baseline: &RunRecord,
    candidate: &RunRecord,
    cost: ForcedCost,
) -> Option<Estimate> {
    t_estimate(&control_centres([baseline, candidate], cost)?, FLOOR_ALPHA).ok()
}

/// Takes away from checks on times what the flags speak against.
///
/// * `again`: what would settle them
/// * `is_time`: whether a metric is a time of launches
pub(crate) fn downgrade(
    checks: &mut [CheckResult],
    flags: &[Flag],
    again: &str,
    is_time: impl Fn(&str) -> bool,
) {
    for check in checks.iter_mut().filter(|check| is_time(&check.metric)) {
        let against: Vec<&Flag> = flags
            .iter()
            .filter(|flag| flag.metric.is_none_or(|metric| metric == check.metric))
            .filter(|flag| match (check.outcome, flag.severity) {
                (Some(Outcome::Pass), _) | (Some(Outcome::Fail), Severity::Design) => true,
                (Some(Outcome::Fail), Severity::Noise)
                | (Some(Outcome::Inconclusive | Outcome::Invalid) | None, _) => false,
            })
            .collect();
        if against.is_empty() {
            continue;
        }
        let would_be = check.outcome.map_or("", Outcome::name);
        let texts: Vec<&str> = against.iter().map(|flag| flag.text.as_str()).collect();
        check.outcome = Some(Outcome::Inconclusive);
        check.reason = Some(format!(
            "{} would {would_be}, but the machine does not allow it: {}",
            check.metric,
            texts.join("; ")
        ));
        check.needed = Some(format!("{again}; `vv-eval doctor` says what to change"));
    }
}

fn design(name: &'static str, text: String) -> Flag {
    Flag {
        name,
        severity: Severity::Design,
        metric: None,
        text,
    }
}

fn noise(name: &'static str, text: String) -> Flag {
    Flag {
        severity: Severity::Noise,
        ..design(name, text)
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Both roles' launches and, in the same places, controls.
fn all_launches(records: [&RunRecord; 2]) -> impl Iterator<Item = &Launch> {
    records
        .into_iter()
        .flat_map(|record| record.launches.iter().chain(&record.controls))
}

fn huge_pages(records: [&RunRecord; 2]) -> Option<Flag> {
    let shares = all_launches(records)
        .filter_map(|launch| launch.pages.as_ref())
        .filter_map(ArenaPages::share);
    let least = shares.reduce(f64::min)?;
    (least < HUGE_SHARE).then(|| {
        design(
            "huge_pages",
            format!(
                "only {} of a worker's arenas lay on huge pages, {} are needed",
                percent(least),
                percent(HUGE_SHARE)
            ),
        )
    })
}

/// Segments of a launch pair by pair, the one that went first first.
fn in_order<'a>(
    base: &'a [Segment],
    cand: &'a [Segment],
) -> impl Iterator<Item = [&'a Segment; 2]> {
    base.iter().zip(cand).map(|(base, cand)| {
        if base.went_first {
            [base, cand]
        } else {
            [cand, base]
        }
    })
}

/// Halves of the same launches, role by role.
fn pairs(records: [&RunRecord; 2]) -> impl Iterator<Item = (&Launch, &Launch)> {
    let [base, cand] = records;
    base.launches.iter().zip(&cand.launches)
}

fn idle_role(records: [&RunRecord; 2]) -> Option<Flag> {
    let (mut idle_ns, mut worked_ns) = (0u64, 0u64);
    for (base, cand) in pairs(records) {
        let decode = in_order(&base.decode, &cand.decode);
        for [first, second] in decode.chain(in_order(&base.prefill, &cand.prefill)) {
            let Some(health) = second.health else {
                continue;
            };
            idle_ns += health.idle_cpu_ns;
            worked_ns += first.wall_ns;
        }
    }
    let share = idle_ns as f64 / worked_ns as f64;
    (worked_ns > 0 && share > IDLE_SHARE).then(|| {
        design(
            "idle_role_busy",
            format!(
                "the waiting worker used {} of the other's time, at most {} may be",
                percent(share),
                percent(IDLE_SHARE)
            ),
        )
    })
}

/// Centre of each control's log ratios; `None` where they cannot be had.
fn control_centres(records: [&RunRecord; 2], cost: ForcedCost) -> Option<Vec<f64>> {
    let ratios = control_log_ratios(cost, records[0], records[1]).ok()?;
    ratios
        .iter()
        .map(|pairs| hodges_lehmann(pairs).ok())
        .collect()
}

fn control(records: [&RunRecord; 2], cost: ForcedCost, metric: &'static str) -> Option<Flag> {
    let control = t_estimate(&control_centres(records, cost)?, CONTROL_ALPHA).ok()?;
    let excludes = control.low > 0.0 || control.high < 0.0;
    excludes.then(|| Flag {
        metric: Some(metric),
        ..design(
            "control",
            format!(
                "{metric}: the baseline beside itself differs by {} (99.8 % interval {} to {}, \
                 {} launches)",
                percent(control.point.exp_m1()),
                percent(control.low.exp_m1()),
                percent(control.high.exp_m1()),
                control.n
            ),
        )
    })
}

/// Sum of a figure over machine records; `None` where none of them has it.
fn total(record: &RunRecord, of: impl Fn(&MachineRecord) -> Option<u64>) -> Option<u64> {
    let launches = record.launches.iter().chain(&record.controls);
    let figures = launches.filter_map(|launch| of(launch.machine.as_ref()?));
    figures.reduce(|sum, figure| sum + figure)
}

fn steal(record: &RunRecord) -> Option<Flag> {
    let stolen = total(record, |machine| machine.steal_ns)?;
    let all = total(record, |machine| machine.cpu_ns)?;
    let share = stolen as f64 / all as f64;
    (all > 0 && share > STEAL_SHARE).then(|| {
        noise(
            "steal",
            format!(
                "the hypervisor took {} of the CPU time, at most {} may be",
                percent(share),
                percent(STEAL_SHARE)
            ),
        )
    })
}

/// Health of every segment.
fn healths(records: [&RunRecord; 2]) -> impl Iterator<Item = &SegmentHealth> {
    all_launches(records)
        .flat_map(|launch| launch.decode.iter().chain(&launch.prefill))
        .filter_map(|segment| segment.health.as_ref())
}

fn throttling(records: [&RunRecord; 2]) -> Option<Flag> {
    let throttled = healths(records).filter_map(|health| health.throttled_periods);
    let (mut hit, mut all) = (0usize, 0usize);
    for periods in throttled {
        all += 1;
        hit += usize::from(periods > 0);
    }
    let share = hit as f64 / all as f64;
    (all > 0 && share > THROTTLED_SHARE).then(|| {
        noise(
            "throttling",
            format!(
                "the container's CPU quota was used up in {} of the segments, at most {} may be",
                percent(share),
                percent(THROTTLED_SHARE)
            ),
        )
    })
}

fn swap(records: [&RunRecord; 2]) -> Option<Flag> {
    let pages = total(records[0], |machine| machine.swapped_in_pages).unwrap_or(0);
    if pages > 0 {
        let text = format!("{pages} pages were read back from swap while times were taken");
        return Some(noise("swap", text));
    }
    let faults = healths(records).filter_map(|health| health.major_faults);
    let most = faults.max()?;
    (most > MAJOR_FAULTS).then(|| {
        noise(
            "major_faults",
            format!(
                "a segment had {most} page faults from the disk, at most {MAJOR_FAULTS} may be"
            ),
        )
    })
}

fn repeated(record: &RunRecord) -> Option<Flag> {
    let (again, launches) = (record.n_repeated_launches, record.launches.len());
    let share = again as f64 / launches as f64;
    (share > REPEATED_SHARE).then(|| {
        noise(
            "repeated_launches",
            format!(
                "{again} of {launches} launches had to be repeated, at most {} may be",
                percent(REPEATED_SHARE)
            ),
        )
    })
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
