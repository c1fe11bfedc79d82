//! What a process can read about itself: memory from `/proc/self`, wall and CPU clocks.
//!
//! A worker reads its own peak: resource usage of a child starts at its parent's peak and misleads.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::run::protocol::Timing;
use crate::units::Bytes;

/// Memory figures of `/proc/self/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// `VmHWM`: largest resident size since the start or the last reset.
    pub peak: Bytes,
    /// `RssAnon`: anonymous resident memory now.
    pub anon: Bytes,
    /// `RssFile`: file-backed resident memory now.
    pub file: Bytes,
}

/// Why memory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read /proc/self/status")]
    Read(#[from] std::io::Error),
    /// A line is missing or is not a number of kB.
    #[error("/proc/self/status has no usable `{field}`")]
    Field {
        /// Name of the line.
        field: &'static str,
    },
}

/// Reads this process's memory.
///
/// # Errors
/// [`Error::Read`], [`Error::Field`].
pub fn memory() -> Result<Memory, Error> {
    parse_status(&std::fs::read_to_string("/proc/self/status")?)
}

/// Reads the memory figures from the text of `/proc/<pid>/status`.
///
/// # Errors
/// [`Error::Field`] naming the first line that is missing or malformed.
pub fn parse_status(text: &str) -> Result<Memory, Error> {
    Ok(Memory {
        peak: field(text, "VmHWM")?,
        anon: field(text, "RssAnon")?,
        file: field(text, "RssFile")?,
    })
}

/// A line `name:   123 kB`; the kernel's kB are 1024 bytes.
fn field(text: &str, name: &'static str) -> Result<Bytes, Error> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
        .map(Bytes)
        .ok_or(Error::Field { field: name })
}

/// Figures of `/proc/self/smaps_rollup`, which costs a walk of the page tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rollup {
    /// `Pss`.
    pub pss: Option<Bytes>,
    /// `Pss_File`.
    pub pss_file: Option<Bytes>,
    /// `AnonHugePages`.
    pub huge: Option<Bytes>,
}

/// Reads this process's rollup; what the kernel does not say is `None`.
pub fn rollup() -> Rollup {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let of = |name| field(&text, name).ok();
    Rollup {
        pss: of("Pss"),
        pss_file: of("Pss_File"),
        huge: of("AnonHugePages"),
    }
}

/// `RssShmem` of this process: shared resident memory now.
pub fn shmem_bytes() -> Option<Bytes> {
    field(
        &std::fs::read_to_string("/proc/self/status").ok()?,
        "RssShmem",
    )
    .ok()
}

/// `AnonHugePages` of this process: anonymous memory on huge pages now. `None` where the kernel does
/// not say; it walks the page tables, so never call it inside a timed region.
pub fn huge_bytes() -> Option<Bytes> {
    rollup().huge
}

/// Starts a new memory peak at the current resident size; gives whether the system allowed it.
pub fn reset_peak() -> bool {
    // 5 resets VmHWM: proc_pid_clear_refs(5), Linux 4.0.
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// CPU time of this process so far, user and system, all threads, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

/// Whole nanoseconds between two moments; 584 years fit.
pub fn ns_between(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

/// A running timed region: wall was read, then CPU; at the end CPU, then wall.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    wall: Instant,
    cpu_ns: u64,
}

impl Stopwatch {
    /// Begins a region.
    pub fn start() -> Self {
        let wall = Instant::now();
        Self {
            wall,
            cpu_ns: cpu_ns(),
        }
    }

    /// Ends it, having fed `tokens`.
    pub fn stop(self, tokens: usize) -> Timing {
        let cpu = cpu_ns();
        let wall = Instant::now();
        Timing {
            tokens,
            wall_ns: ns_between(self.wall, wall),
            cpu_ns: cpu.saturating_sub(self.cpu_ns),
            health: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "Name:\tvv-eval\nVmPeak:\t  999999 kB\nVmHWM:\t   13556 kB\n\
        VmRSS:\t   13000 kB\nRssAnon:\t    9000 kB\nRssFile:\t    4000 kB\nRssShmem:\t 0 kB\n";

    #[track_caller]
    fn check_missing(from: &str, to: &str, name: &str) {
        let message = parse_status(&SAMPLE.replace(from, to))
            .unwrap_err()
            .to_string();
        assert_eq!(message, format!("/proc/self/status has no usable `{name}`"));
    }

    #[test]
    fn status_is_read_in_bytes() {
        let memory = parse_status(SAMPLE).unwrap();
        assert_eq!(
            memory,
            Memory {
                peak: Bytes(13_556 * 1024),
                anon: Bytes(9_000 * 1024),
                file: Bytes(4_000 * 1024)
            }
        );
    }

    #[test]
    fn a_missing_or_odd_line_is_named_and_never_zero() {
        check_missing("VmHWM", "VmHwm", "VmHWM");
        check_missing("9000 kB", "9000", "RssAnon");
        check_missing("9000 kB", "-1 kB", "RssAnon");
        check_missing("4000 kB", "99999999999999999999 kB", "RssFile");
        check_missing("4000 kB", "18446744073709551615 kB", "RssFile");
        check_missing("RssFile", "XRssFile", "RssFile");
    }

    #[test]
    fn this_process_has_memory_and_a_peak_above_it() {
        let memory = memory().unwrap();
        assert!(memory.peak >= memory.anon);
        assert!(memory.anon > Bytes(0));
    }

    #[test]
    fn huge_pages_are_read_from_the_rollup() {
        let rollup = "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:    9000 kB\n\
            AnonHugePages:     4096 kB\nShmemPmdMapped:        0 kB\n";
        assert_eq!(field(rollup, "AnonHugePages").unwrap(), Bytes(4 << 20));
        if let Some(huge) = huge_bytes() {
            assert!(huge <= memory().unwrap().peak);
        }
    }

    #[test]
    fn clocks_do_not_run_backwards() {
        let region = Stopwatch::start();
        let before = cpu_ns();
        assert!(cpu_ns() >= before);
        assert_eq!(region.stop(3).tokens, 3);
    }
}
