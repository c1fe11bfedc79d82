//! What the machine did while it was measured: disturbances of single segments, and the state of
//! the whole machine over a launch.
//!
//! A source the system does not offer is `None`, never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// Share of arenas on huge pages below which times of a launch are not decided, in [0, 1].
pub const HUGE_SHARE: f64 = 0.95;
/// Share of CPU time taken by the hypervisor above which times do not pass, in [0, 1].
pub const STEAL_SHARE: f64 = 0.02;

/// What disturbed one timed segment, read by the worker right before and right after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentHealth {
    /// Times a thread of the worker gave its CPU away, to wait.
    pub voluntary_switches: Option<u64>,
    /// Times a thread of the worker was put aside for another process.
    pub involuntary_switches: Option<u64>,
    /// Page faults served without the disk.
    pub minor_faults: Option<u64>,
    /// Page faults served from the disk.
    pub major_faults: Option<u64>,
    /// Time the hypervisor took from the CPUs of this machine, all together; in steps of a clock
    /// tick, so single segments mostly show 0.
    pub steal_ns: Option<u64>,
    /// Scheduling periods in which the container's CPU quota was used up.
    pub throttled_periods: Option<u64>,
    /// Time in which some task of the machine waited for a CPU; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_us: Option<u64>,
    /// Time in which some task of the machine waited for memory; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure_us: Option<u64>,
    /// CPU time of this worker between its last answer and this request, while the other role
    /// worked.
    pub idle_cpu_ns: u64,
}

impl SegmentHealth {
    /// Both stretches of one segment together; what one of them does not tell is not told.
    #[must_use]
    pub fn plus(self, later: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self {
            voluntary_switches: sum(self.voluntary_switches, later.voluntary_switches),
            involuntary_switches: sum(self.involuntary_switches, later.involuntary_switches),
            minor_faults: sum(self.minor_faults, later.minor_faults),
            major_faults: sum(self.major_faults, later.major_faults),
            steal_ns: sum(self.steal_ns, later.steal_ns),
            throttled_periods: sum(self.throttled_periods, later.throttled_periods),
            cpu_pressure_us: sum(self.cpu_pressure_us, later.cpu_pressure_us),
            memory_pressure_us: sum(self.memory_pressure_us, later.memory_pressure_us),
            idle_cpu_ns: self.idle_cpu_ns.saturating_add(later.idle_cpu_ns),
        }
    }
}

/// Huge pages under the weights, tables and caches of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArenaPages {
    /// Resident memory of arenas that could lie on huge pages: tails below 2 MiB do not count.
    pub eligible_bytes: Bytes,
    /// The part of it that does.
    pub huge_bytes: Bytes,
}

impl ArenaPages {
    /// Share on huge pages, in [0, 1]; `None` where nothing could lie on one.
    pub fn share(&self) -> Option<f64> {
        let eligible = self.eligible_bytes.0;
        (eligible > 0).then(|| (self.huge_bytes.0 as f64 / eligible as f64).min(1.0))
    }
}

/// The machine over one launch: differences between its end and its beginning, except where a
/// field says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineRecord {
    /// Monotonic time.
    pub elapsed_ns: u64,
    /// Time of all CPUs together, idle time included.
    pub cpu_ns: Option<u64>,
    /// The idle part of it.
    pub idle_ns: Option<u64>,
    /// The part the hypervisor took.
    pub steal_ns: Option<u64>,
    /// Mean number of runnable tasks over a minute, at the end.
    pub load_1m: Option<f64>,
    /// Time in which some task waited for a CPU.
    pub cpu_pressure_us: Option<u64>,
    /// Time in which some task waited for memory.
    pub memory_pressure_us: Option<u64>,
    /// Time in which some task waited for a disk.
    pub io_pressure_us: Option<u64>,
    /// Scheduling periods of the container's CPU quota.
    pub quota_periods: Option<u64>,
    /// The periods among them in which the quota was used up.
    pub throttled_periods: Option<u64>,
    /// Time for which tasks of the container were held back.
    pub throttled_us: Option<u64>,
    /// Pages read back from swap, of the whole machine.
    pub swapped_in_pages: Option<u64>,
    /// Pages written to swap, of the whole machine.
    pub swapped_out_pages: Option<u64>,
    /// Processes of the container that were killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Clock rate at the beginning, mean over CPUs; often a constant on virtual machines.
    pub mhz_before: Option<f64>,
    /// Clock rate at the end.
    pub mhz_after: Option<f64>,
    /// Hottest sensor at the end, in degrees Celsius.
    pub temperature_c: Option<f64>,
    /// The CPUs that both workers were kept on; absent where they could run on any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Vec<usize>>,
}

/// Memory of a worker at the end of one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryPhase {
    /// `load`, or `inference`: the longest prompt and the longest output.
    pub name: String,
    /// `VmHWM` since the phase began, where [`is_own_peak`](Self::is_own_peak); else since the
    /// worker began.
    pub peak_bytes: Bytes,
    /// Whether the peak before this phase could be forgotten.
    pub is_own_peak: bool,
    /// Anonymous resident memory at the end of the phase.
    pub anon_bytes: Bytes,
    /// File-backed resident memory.
    pub file_bytes: Bytes,
    /// Shared resident memory.
    pub shmem_bytes: Option<Bytes>,
    /// Proportional share of all resident memory: pages of several processes count in part.
    pub pss_bytes: Option<Bytes>,
    /// The same of file-backed memory only.
    pub pss_file_bytes: Option<Bytes>,
    /// Anonymous memory on huge pages.
    pub huge_bytes: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_unknown() {
        let share = |eligible, huge| {
            let pages = ArenaPages {
                eligible_bytes: Bytes(eligible),
                huge_bytes: Bytes(huge),
            };
            pages.share()
        };
        assert_eq!(share(0, 0), None);
        assert_eq!(share(4, 3), Some(0.75));
        assert_eq!(share(4, 6), Some(1.0));
    }

    #[test]
    fn stretches_add_up_where_both_tell() {
        let stretch = |steal_ns, idle_cpu_ns| SegmentHealth {
            minor_faults: Some(2),
            steal_ns,
            idle_cpu_ns,
            ..SegmentHealth::default()
        };
        let both = stretch(Some(10), 3).plus(stretch(Some(5), 4));
        assert_eq!((both.steal_ns, both.idle_cpu_ns), (Some(15), 7));
        assert_eq!(both.minor_faults, Some(4));
        assert_eq!(both.voluntary_switches, None);
        assert_eq!(stretch(Some(10), 0).plus(stretch(None, 0)).steal_ns, None);
    }
}
