//! The check on peak memory: a rule on every run, without statistics.

use super::super::policy::Margin;
use super::super::verdict::{CheckResult, Outcome};
use super::super::words;
use super::Case;
use crate::metric::cost;
use crate::record::RunRecord;
use crate::stats::rank::median;
use crate::units::Bytes;

/// Memory runs of one role on which peaks are decided.
const MIN_MEMORY_RUNS: usize = 3;
/// Spread of the peaks of one role above which memory is not decided: share of the median.
const PEAK_SPREAD_SHARE: f64 = 0.005;
/// The same in bytes; the larger of the two counts.
const PEAK_SPREAD_BYTES: f64 = 1_048_576.0;

impl Case<'_> {
    pub(super) fn peak(&self, mut result: CheckResult) -> CheckResult {
        let id = &self.check.metric;
        result.n_unit = "runs";
        let base = Peaks::of(self.comparison.baseline());
        let cand = Peaks::of(self.comparison.candidate());
        let (Some(base), Some(cand)) = (base, cand) else {
            return result.settle(Outcome::Invalid, format!("{id} was not measured, or is 0"));
        };
        result.n = base.n.min(cand.n);
        (result.baseline, result.candidate) = (Some(base.median), Some(cand.median));
        result.change = Some(cand.median / base.median - 1.0);
        let Some(Margin::Memory {
            relative,
            floor_bytes,
        }) = self.check.margin
        else {
            return result;
        };
        let limit = |peak: f64| limit(peak, relative, floor_bytes);
        result.allowed = Some(limit(base.median) / base.median - 1.0);
        if result.n < MIN_MEMORY_RUNS {
            let reason = format!(
                "{id} was measured in {} runs, fewer than the {MIN_MEMORY_RUNS} it takes to decide",
                result.n
            );
            let n_more = MIN_MEMORY_RUNS - result.n;
            let runs = if n_more == 1 { "run" } else { "runs" };
            let needed = format!("{n_more} more {runs} of the memory pass would settle it");
            return result.undecided(reason, needed);
        }
        if let Some(role) = [("baseline", &base), ("candidate", &cand)]
            .iter()
            .find(|it| it.1.varies())
        {
            let reason = format!(
                "{id} of the {} varies from {} to {} between runs, too much to decide",
                role.0,
                words::value(role.1.low, "bytes"),
                words::value(role.1.high, "bytes")
            );
            return result.undecided(reason, again(MIN_MEMORY_RUNS));
        }
        let allowed = words::value(limit(base.median), "bytes");
        let shown = |peak| words::value(peak, "bytes");
        if cand.high <= limit(base.low) {
            return result.settle(Outcome::Pass, None);
        }
        if cand.low > limit(base.high) {
            let reason = format!(
                "{id} rose from {} to {} ({} runs); at most {allowed} are allowed",
                shown(base.median),
                shown(cand.median),
                result.n
            );
            return result.settle(Outcome::Fail, reason);
        }
        let reason = format!(
            "{id}: {} to {} in {} runs, and {allowed} are allowed: the runs straddle the limit",
            shown(cand.low),
            shown(cand.high),
            result.n
        );
        let n_more = 2 * result.n;
        result.undecided(reason, again(n_more))
    }
}

/// What may settle runs that do not agree.
fn again(n_runs: usize) -> String {
    format!(
        "peaks that agree in {n_runs} new runs of the memory pass would settle it, without other load \
         on the machine"
    )
}

/// Largest accepted peak for a baseline's.
fn limit(peak: f64, relative: f64, floor: Bytes) -> f64 {
    (peak * (1.0 + relative)).max(peak + floor.0 as f64)
}

/// Peaks of one role's memory runs, in bytes.
struct Peaks {
    low: f64,
    median: f64,
    high: f64,
    n: usize,
}

impl Peaks {
    /// `None` without runs, or when a peak is 0: nothing was measured then.
    fn of(record: &RunRecord) -> Option<Self> {
        let mut peaks: Vec<f64> = record
            .memory
            .iter()
            .map(|run| cost::peak_bytes(run) as f64)
            .collect();
        let median = median(&mut peaks).ok()?;
        let (low, high) = (peaks[0], peaks[peaks.len() - 1]);
        (low > 0.0).then_some(Self {
            low,
            median,
            high,
            n: peaks.len(),
        })
    }

    fn varies(&self) -> bool {
        self.high - self.low > (PEAK_SPREAD_SHARE * self.median).max(PEAK_SPREAD_BYTES)
    }
}
