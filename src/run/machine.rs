//! The machine as the supervisor sees it, before and after a launch.

use std::time::Instant;

use super::cgroup::Cgroup;
use super::health::{CpuLine, cpu_line, keyed, rise, waited_us};
use super::probe::ns_between;
use crate::record::MachineRecord;

/// The machine's counters at one moment.
#[derive(Debug)]
pub(super) struct Machine {
    at: Instant,
    cpu: Option<CpuLine>,
    pressure_us: [Option<u64>; 3],
    quota_periods: Option<u64>,
    throttled_periods: Option<u64>,
    throttled_us: Option<u64>,
    swapped_in_pages: Option<u64>,
    swapped_out_pages: Option<u64>,
    oom_kills: Option<u64>,
    mhz: Option<f64>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Machine {
    /// Reads everything; what the system does not tell is `None`.
    pub(super) fn read() -> Self {
        let group = Cgroup::of_this_process();
        let cpu_stat = group.cpu_stat().unwrap_or_default();
        let vmstat = read("/proc/vmstat");
        // Version 1 counts in nanoseconds, version 2 in microseconds.
        let throttled_us = keyed(&cpu_stat, "throttled_usec")
            .or_else(|| Some(keyed(&cpu_stat, "throttled_time")? / 1000));
        Self {
            at: Instant::now(),
            cpu: cpu_line(&read("/proc/stat")),
            pressure_us: ["cpu", "memory", "io"].map(waited_us),
            quota_periods: keyed(&cpu_stat, "nr_periods"),
            throttled_periods: keyed(&cpu_stat, "nr_throttled"),
            throttled_us,
            swapped_in_pages: keyed(&vmstat, "pswpin"),
            swapped_out_pages: keyed(&vmstat, "pswpout"),
            oom_kills: oom_kills(),
            mhz: mean_mhz(&read("/proc/cpuinfo")),
        }
    }

    /// What happened since, up to now.
    pub(super) fn until_now(&self) -> MachineRecord {
        let now = Self::read();
        let cpu =
            |of: fn(&CpuLine) -> u64| rise(self.cpu.as_ref().map(of), now.cpu.as_ref().map(of));
        let waited = |i: usize| rise(self.pressure_us[i], now.pressure_us[i]);
        MachineRecord {
            elapsed_ns: ns_between(self.at, now.at),
            cpu_ns: cpu(|line| line.total_ns),
            idle_ns: cpu(|line| line.idle_ns),
            steal_ns: cpu(|line| line.steal_ns),
            load_1m: load_1m(&read("/proc/loadavg")),
            cpu_pressure_us: waited(0),
            memory_pressure_us: waited(1),
            io_pressure_us: waited(2),
            quota_periods: rise(self.quota_periods, now.quota_periods),
            throttled_periods: rise(self.throttled_periods, now.throttled_periods),
            throttled_us: rise(self.throttled_us, now.throttled_us),
            swapped_in_pages: rise(self.swapped_in_pages, now.swapped_in_pages),
            swapped_out_pages: rise(self.swapped_out_pages, now.swapped_out_pages),
            oom_kills: rise(self.oom_kills, now.oom_kills),
            mhz_before: self.mhz,
            mhz_after: now.mhz,
            temperature_c: hottest_c(),
            cpus: None,
        }
    }
}

/// Processes killed so far for want of memory: of this group, else of the machine.
pub(super) fn oom_kills() -> Option<u64> {
    let of_group = Cgroup::of_this_process().oom_kills();
    of_group.or_else(|| keyed(&read("/proc/vmstat"), "oom_kill"))
}

/// First figure of `/proc/loadavg`.
pub(super) fn load_1m(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Mean of the `cpu MHz` lines of `/proc/cpuinfo`.
fn mean_mhz(text: &str) -> Option<f64> {
    let rates: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.trim() == "cpu MHz")
        .filter_map(|(_, rate)| rate.trim().parse().ok())
        .collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

/// Hottest of the thermal zones, in degrees Celsius.
fn hottest_c() -> Option<f64> {
    let zones = std::fs::read_dir("/sys/class/thermal").ok()?.flatten();
    zones
        .filter_map(|zone| std::fs::read_to_string(zone.path().join("temp")).ok())
        .filter_map(|text| text.trim().parse::<f64>().ok())
        .map(|thousandths| thousandths / 1000.0)
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read() {
        assert_eq!(load_1m("2.60 2.02 2.02 3/244 1234\n"), Some(2.6));
        assert_eq!(load_1m(""), None);
        let cpuinfo = "processor\t: 0\ncpu MHz\t\t: 2400.0\nprocessor\t: 1\ncpu MHz\t\t: 2600.0\n";
        assert_eq!(mean_mhz(cpuinfo), Some(2500.0));
        assert_eq!(mean_mhz("processor : 0\n"), None);
    }

    #[test]
    fn time_passes_between_two_readings() {
        let before = Machine::read();
        let record = before.until_now();
        assert!(record.elapsed_ns > 0);
        if let (Some(cpu), Some(idle)) = (record.cpu_ns, record.idle_ns) {
            assert!(idle <= cpu);
        }
    }
}
