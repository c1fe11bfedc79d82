//! Collects the [`Environment`] of a run.

use rustix::time::{ClockId, clock_getres};

use super::cgroup::Cgroup;
use super::health::keyed;
use crate::artifact::digest::digest_file;
use crate::record::Environment;
use crate::units::{Bytes, Sha256};

/// Describes this machine and this program in full.
pub fn collect() -> Environment {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let flags = first(&cpuinfo, "flags").or_else(|| first(&cpuinfo, "Features"));
    let group = Cgroup::of_this_process();
    let [wall_step_ns, cpu_step_ns] = clock_steps();
    Environment {
        binary_sha256: binary_sha256(),
        source_revision: option_env!("VV_EVAL_REVISION").map(str::to_owned),
        libc: libc(),
        microcode: first(&cpuinfo, "microcode"),
        is_virtual: flags
            .as_ref()
            .filter(|_| cfg!(target_arch = "x86_64"))
            .map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
        cpu_flags_sha256: flags.map(|flags| Sha256::of(flags.as_bytes())),
        huge_page_mode: huge_page_mode(),
        governor: governor(),
        cpu_quota: group.cpu_quota(),
        memory_limit_bytes: group.memory_limit(),
        memory_bytes: meminfo("MemTotal:"),
        page_bytes: Some(Bytes(rustix::param::page_size() as u64)),
        wall_step_ns,
        cpu_step_ns,
    }
}

/// Memory one process can have here: that of the machine, or of its container where that is less.
pub fn memory() -> Option<Bytes> {
    let limit = Cgroup::of_this_process().memory_limit();
    limit.into_iter().chain(meminfo("MemTotal:")).min()
}

/// Smallest steps of the wall and the CPU clock, in nanoseconds.
pub(super) fn clock_steps() -> [Option<u64>; 2] {
    [ClockId::Monotonic, ClockId::ProcessCPUTime].map(|clock| {
        let step = clock_getres(clock);
        let seconds = u64::try_from(step.tv_sec).ok()?;
        let ns = u64::try_from(step.tv_nsec).ok()?;
        Some(seconds * 1_000_000_000 + ns).filter(|ns| *ns > 0)
    })
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Digest of this program's file: two runs under one digest ran the same code. `None` where it
/// cannot be read.
pub fn binary_sha256() -> Option<Sha256> {
    let path = std::env::current_exe().ok()?;
    Some(digest_file(&path).ok()?.sha256())
}

/// First value of a key of `/proc/cpuinfo`.
fn first(cpuinfo: &str, key: &str) -> Option<String> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

/// The kind of C library; its version is not told without calling it.
fn libc() -> Option<String> {
    let kind = if cfg!(target_env = "musl") {
        "musl"
    } else if cfg!(target_env = "gnu") {
        "gnu"
    } else {
        return None;
    };
    Some(kind.to_owned())
}

/// The bracketed word of `always [madvise] never`.
pub(super) fn huge_page_mode() -> Option<String> {
    chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")?)
}

fn chosen(text: &str) -> Option<String> {
    let (word, _) = text.split_once('[')?.1.split_once(']')?;
    Some(word.to_owned())
}

/// Frequency governor of the first CPU.
pub(super) fn governor() -> Option<String> {
    let text = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?;
    Some(text.trim().to_owned())
}

/// A line of `/proc/meminfo` in bytes.
pub(super) fn meminfo(key: &str) -> Option<Bytes> {
    let kib = keyed(&read("/proc/meminfo")?, key)?;
    Some(Bytes(kib * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_mode_stands_in_brackets() {
        assert_eq!(
            chosen("always [madvise] never\n").as_deref(),
            Some("madvise")
        );
        assert_eq!(chosen("always madvise never"), None);
    }

    #[test]
    fn the_first_cpu_speaks_for_all() {
        let text = "flags\t\t: fpu vme\nmicrocode\t: 0x1\n\nflags\t\t: other\n";
        assert_eq!(first(text, "flags").as_deref(), Some("fpu vme"));
        assert_eq!(first(text, "Features"), None);
    }

    #[test]
    fn this_environment_is_described() {
        let here = collect();
        assert!(here.binary_sha256.is_some());
        assert!(here.page_bytes.is_some_and(|page| page >= Bytes(4096)));
        assert!(here.wall_step_ns.is_some_and(|step| step < 1_000_000));
    }
}
