//! What a worker reads of itself and of its machine around a timed segment, and where its arenas
//! lie. Nothing here is called inside a timed region.

use std::ops::Range;
use std::path::PathBuf;

use super::cgroup::Cgroup;
use crate::model::arena::{self, HUGE_PAGE};
use crate::record::{ArenaPages, SegmentHealth};
use crate::units::Bytes;

const NS_PER_S: u64 = 1_000_000_000;

/// Where a worker finds its counters; resolved once.
#[derive(Debug)]
pub(super) struct Sources {
    cpu_stat: Option<PathBuf>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    voluntary_switches: Option<u64>,
    involuntary_switches: Option<u64>,
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    steal_ns: Option<u64>,
    throttled_periods: Option<u64>,
    cpu_pressure_us: Option<u64>,
    memory_pressure_us: Option<u64>,
}

impl Sources {
    pub(super) fn find() -> Self {
        Self {
            cpu_stat: Cgroup::of_this_process().cpu_stat_path(),
        }
    }

    /// Reads everything; what cannot be read is `None`.
    pub(super) fn read(&self) -> Counters {
        let (voluntary_switches, involuntary_switches) = switches();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let machine = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let cpu_stat = self.cpu_stat.as_ref();
        let cpu_stat = cpu_stat.and_then(|path| std::fs::read_to_string(path).ok());
        Counters {
            voluntary_switches,
            involuntary_switches,
            minor_faults: stat_field(&stat, 10),
            major_faults: stat_field(&stat, 12),
            steal_ns: cpu_line(&machine).map(|cpu| cpu.steal_ns),
            throttled_periods: cpu_stat.and_then(|text| keyed(&text, "nr_throttled")),
            cpu_pressure_us: waited_us("cpu"),
            memory_pressure_us: waited_us("memory"),
        }
    }
}

impl Counters {
    /// What happened from `self` to `later`.
    ///
    /// * `idle_cpu_ns`: as in [`SegmentHealth`]
    pub(super) fn until(self, later: Self, idle_cpu_ns: u64) -> SegmentHealth {
        SegmentHealth {
            voluntary_switches: rise(self.voluntary_switches, later.voluntary_switches),
            involuntary_switches: rise(self.involuntary_switches, later.involuntary_switches),
            minor_faults: rise(self.minor_faults, later.minor_faults),
            major_faults: rise(self.major_faults, later.major_faults),
            steal_ns: rise(self.steal_ns, later.steal_ns),
            throttled_periods: rise(self.throttled_periods, later.throttled_periods),
            cpu_pressure_us: rise(self.cpu_pressure_us, later.cpu_pressure_us),
            memory_pressure_us: rise(self.memory_pressure_us, later.memory_pressure_us),
            idle_cpu_ns,
        }
    }
}

/// Time in which some task of the machine waited for `kind` so far: `cpu`, `memory` or `io`.
pub(super) fn waited_us(kind: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/pressure/{kind}")).ok()?;
    some_total(&text)
}

/// Total of the `some` line of a file below `/proc/pressure`, in microseconds.
fn some_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

/// The rise of a counter; `None` when either reading is missing.
pub(super) fn rise(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// Context switches of all threads so far: voluntary, involuntary.
fn switches() -> (Option<u64>, Option<u64>) {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return (None, None);
    };
    let mut sums = (None, None);
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else {
            continue;
        };
        let add = |sum: &mut Option<u64>, name: &str| {
            if let Some(count) = keyed(&status, name) {
                *sum = Some(sum.unwrap_or(0) + count);
            }
        };
        add(&mut sums.0, "voluntary_ctxt_switches:");
        add(&mut sums.1, "nonvoluntary_ctxt_switches:");
    }
    sums
}

/// The number after `key` at the beginning of a line.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(key)).then(|| words.next()?.parse().ok())?
    })
}

/// A field of `/proc/<pid>/stat` by its number in proc(5), from 3 on.
fn stat_field(text: &str, number: usize) -> Option<u64> {
    // The second field is the program's name in brackets and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

/// Time of all CPUs since the machine began, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units stand in names")]
pub(super) struct CpuLine {
    pub(super) total_ns: u64,
    pub(super) idle_ns: u64,
    pub(super) steal_ns: u64,
}

/// Reads the sum over CPUs from the text of `/proc/stat`.
pub(super) fn cpu_line(text: &str) -> Option<CpuLine> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let fields = line.split_whitespace().skip(1).map(str::parse::<u64>);
    let ticks: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
    // user nice system idle iowait irq softirq steal; guest time is part of user already.
    let [.., steal] = *ticks.get(..8)? else {
        return None;
    };
    let ns_per_tick = NS_PER_S / rustix::param::clock_ticks_per_second().max(1);
    Some(CpuLine {
        total_ns: ticks[..8].iter().sum::<u64>() * ns_per_tick,
        idle_ns: (ticks[3] + ticks[4]) * ns_per_tick,
        steal_ns: steal * ns_per_tick,
    })
}

/// Huge pages under this process's arenas; `None` where the kernel does not say. Walks the page
/// tables.
pub(super) fn arena_pages() -> Option<ArenaPages> {
    let text = std::fs::read_to_string("/proc/self/smaps").ok()?;
    pages_within(&text, &arena::large_regions())
}

/// Adds up the mappings of `/proc/<pid>/smaps` that overlap `regions`.
///
/// The last bytes of a region that do not fill a huge page can never lie on one and do not count.
fn pages_within(smaps: &str, regions: &[Range<usize>]) -> Option<ArenaPages> {
    let (mut resident, mut huge) = (0u64, 0u64);
    let mut is_known = false;
    let mut is_arena = false;
    for line in smaps.lines() {
        if let Some(range) = mapping(line) {
            is_arena = regions
                .iter()
                .any(|region| region.start < range.end && range.start < region.end);
        } else if is_arena {
            let kib = |name: &str| keyed(line, name).map(|kib| kib * 1024);
            resident += kib("Rss:").unwrap_or(0);
            if let Some(bytes) = kib("AnonHugePages:") {
                is_known = true;
                huge += bytes;
            }
        }
    }
    if regions.is_empty() {
        return Some(ArenaPages {
            eligible_bytes: Bytes(0),
            huge_bytes: Bytes(0),
        });
    }
    let tails: usize = regions.iter().map(|region| region.len() % HUGE_PAGE).sum();
    let eligible = resident.saturating_sub(tails as u64).max(huge);
    is_known.then_some(ArenaPages {
        eligible_bytes: Bytes(eligible),
        huge_bytes: Bytes(huge),
    })
}

/// The addresses of a line that opens a mapping: `7f00-7f10 rw-p 00000000 00:00 0`.
fn mapping(line: &str) -> Option<Range<usize>> {
    let (range, rest) = line.split_once(' ')?;
    // Permissions follow; the other lines are `Name: value`.
    rest.starts_with(['r', '-']).then_some(())?;
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::model::arena::Slab;

    #[test]
    fn counters_of_this_process_rise() {
        let sources = Sources::find();
        let before = sources.read();
        let touched: Vec<u8> = vec![1; 8 << 20];
        assert!(std::hint::black_box(&touched).iter().all(|byte| *byte == 1));
        let health = before.until(sources.read(), 7);
        assert_eq!(health.idle_cpu_ns, 7);
        // Memory may come from pages the process already has: a count, but not always a rise.
        assert!(health.minor_faults.is_some(), "{health:?}");
    }

    #[test]
    fn a_missing_reading_is_no_rise() {
        assert_eq!(rise(Some(3), Some(5)), Some(2));
        assert_eq!((rise(None, Some(5)), rise(Some(3), None)), (None, None));
    }

    #[test]
    fn the_cpu_line_is_read_in_nanoseconds() {
        let ns = NS_PER_S / rustix::param::clock_ticks_per_second();
        let text = "cpu  10 1 2 30 4 0 3 5 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let expected = CpuLine {
            total_ns: 55 * ns,
            idle_ns: 34 * ns,
            steal_ns: 5 * ns,
        };
        assert_eq!(cpu_line(text), Some(expected));
        assert_eq!(cpu_line("cpu  10 1 2 30\n"), None);
        assert_eq!(cpu_line("intr 5\n"), None);
    }

    #[test]
    fn pressure_is_read_from_the_line_of_some() {
        let pressure = "some avg10=1.0 avg60=0.5 avg300=0.1 total=7939\nfull avg10=0.0 total=5\n";
        assert_eq!(some_total(pressure), Some(7939));
        assert_eq!(some_total(""), None);
    }

    #[test]
    fn fields_after_an_odd_name_are_found() {
        let text = "7 (a b) c) S 1 7 7 0 -1 4194304 123 0 4 0 9 8 0 0";
        assert_eq!(
            (stat_field(text, 10), stat_field(text, 12)),
            (Some(123), Some(4))
        );
        assert_eq!(stat_field("", 10), None);
    }

    const SMAPS: &str = "\
7f0000000000-7f0000600000 rw-p 00000000 00:00 0 \n\
Size:               6144 kB\nRss:                6144 kB\nAnonHugePages:      4096 kB\n\
7f0001000000-7f0001100000 r--p 00000000 08:01 9   /usr/lib/libc.so.6\n\
Rss:                1024 kB\nAnonHugePages:         0 kB\n";

    #[track_caller]
    fn check_pages(regions: &[Range<usize>], eligible: u64, huge: u64) {
        let found = pages_within(SMAPS, regions).unwrap();
        assert_eq!(
            (found.eligible_bytes, found.huge_bytes),
            (Bytes(eligible), Bytes(huge))
        );
    }

    #[test]
    fn only_arenas_count_and_their_tails_do_not() {
        let start = 0x7f00_0000_0000;
        let arena = |bytes| start..start + bytes;
        check_pages(slice::from_ref(&arena(6 << 20)), 6 << 20, 4 << 20);
        check_pages(slice::from_ref(&arena(5 << 20)), 5 << 20, 4 << 20);
        check_pages(&[], 0, 0);
        assert_eq!(pages_within("", slice::from_ref(&arena(2 << 20))), None);
    }

    #[test]
    fn an_arena_of_this_process_is_found() {
        let mut slab = Slab::<u8>::zeroed(4 << 20);
        slab.fill(1);
        if let Some(pages) = arena_pages() {
            assert!(pages.eligible_bytes >= Bytes(4 << 20), "{pages:?}");
            assert!(pages.huge_bytes <= pages.eligible_bytes);
        }
    }
}
