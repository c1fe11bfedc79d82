//! Is this machine fit to measure on: looks at what a comparison will depend on and says what to
//! change. Loads no model and leaves nothing behind.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::cgroup::Cgroup;
use super::environment::{self, governor, huge_page_mode, meminfo};
use super::health::{arena_pages, cpu_line, keyed};
use super::machine::load_1m;
use super::probe::{self, Stopwatch, ns_between};
use crate::model::arena::Slab;
use crate::record::ArenaPages;
use crate::record::health::{HUGE_SHARE, STEAL_SHARE};
use crate::units::Bytes;

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// Measuring works, but takes longer or says less.
    Poor,
    /// Times or memory cannot be decided here.
    Unfit,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, with its unit.
    pub found: String,
    /// What to change; `None` when nothing has to be.
    pub advice: Option<String>,
}

/// Memory a comparison of small models needs beside other work.
const ROOM: Bytes = Bytes(1 << 30);
/// Arena that is tried for huge pages.
const TRIAL_BYTES: usize = 64 << 20;
/// Equal pieces of work timed one after the other.
const PIECES: usize = 24;
/// How long such a piece lasts, about.
const PIECE: Duration = Duration::from_millis(40);
/// A segment lasts so many steps of the clock at least.
const STEPS: u64 = 1_000;
/// Shortest segment, in nanoseconds.
const SEGMENT_NS: u64 = 20_000_000;

/// Looks at everything; takes about two seconds of one CPU.
///
/// * `threads`: compute threads of a worker
/// * `out`: folder where reports will be written; made when it is missing, and removed again
pub fn examine(threads: usize, out: &Path) -> Vec<Finding> {
    let mut findings = vec![huge_pages(), placement()];
    findings.extend(cpus(threads));
    findings.push(clock());
    findings.push(memory());
    findings.push(peaks());
    findings.push(swap());
    findings.push(load());
    findings.extend(steadiness());
    findings.push(folder(out));
    findings
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        what,
        state: State::Good,
        found: found.into(),
        advice: None,
    }
}

fn lacking(
    what: &'static str,
    state: State,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        what,
        state,
        found: found.into(),
        advice: Some(advice.into()),
    }
}

fn huge_pages() -> Finding {
    let what = "huge pages";
    let advice = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
    match huge_page_mode().as_deref() {
        Some(mode @ ("madvise" | "always")) => good(what, format!("mode {mode}")),
        Some(mode) => lacking(what, State::Unfit, format!("mode {mode}"), advice),
        None => lacking(
            what,
            State::Poor,
            "the kernel does not say",
            "use a kernel with transparent huge pages: without them times depend on where pages lie",
        ),
    }
}

/// Whether an arena really gets huge pages now.
fn placement() -> Finding {
    let what = "placement";
    let mut trial = Slab::<u8>::zeroed(TRIAL_BYTES);
    // Every page is touched, as weights would.
    trial.fill(1);
    let share = arena_pages().as_ref().and_then(ArenaPages::share);
    drop(trial);
    let Some(share) = share else {
        return lacking(
            what,
            State::Poor,
            "unknown: /proc/self/smaps does not tell",
            "mount /proc with its usual options",
        );
    };
    let found = format!("{:.0} % of 64 MiB on huge pages", 100.0 * share);
    if share >= HUGE_SHARE {
        return good(what, found);
    }
    lacking(
        what,
        State::Unfit,
        found,
        "free memory is in small pieces: stop other work, then \
         echo 1 | sudo tee /proc/sys/vm/compact_memory",
    )
}

fn cpus(threads: usize) -> Vec<Finding> {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let plural = if usable == 1 { "CPU" } else { "CPUs" };
    let mut findings = vec![if threads > usable {
        lacking(
            "CPUs",
            State::Unfit,
            format!("{usable} {plural} for {threads} threads"),
            format!("set effort.threads of the policy to {usable} or less"),
        )
    } else if usable < 2 {
        lacking(
            "CPUs",
            State::Poor,
            format!("{usable} {plural}"),
            "use two: everything else on the machine takes turns with the model",
        )
    } else {
        good("CPUs", format!("{usable} for {threads} threads"))
    }];
    findings.push(match Cgroup::of_this_process().cpu_quota() {
        Some(quota) if quota < threads as f64 => lacking(
            "CPU quota",
            State::Unfit,
            format!("{quota:.2} CPUs for {threads} threads"),
            "raise the container's CPU limit above effort.threads: work will be held back",
        ),
        Some(quota) => good("CPU quota", format!("{quota:.2} CPUs")),
        None => good("CPU quota", "none"),
    });
    findings.push(match governor().as_deref() {
        Some("performance") => good("governor", "performance"),
        Some(other) => lacking(
            "governor",
            State::Poor,
            other,
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        ),
        None => good("governor", "not told (usual on virtual machines)"),
    });
    findings
}

fn clock() -> Finding {
    let here = environment::clock_steps();
    let found = |ns: Option<u64>| ns.map_or("unknown".to_owned(), |ns| format!("{ns} ns"));
    let text = format!("steps of {} wall, {} CPU", found(here[0]), found(here[1]));
    let is_fine = here
        .iter()
        .all(|step| step.is_some_and(|ns| ns * STEPS <= SEGMENT_NS));
    if is_fine {
        return good("clocks", text);
    }
    lacking(
        "clocks",
        State::Unfit,
        text,
        "use a kernel with high-resolution timers: segments cannot be timed",
    )
}

fn memory() -> Finding {
    let what = "memory";
    let group = Cgroup::of_this_process();
    let available = meminfo("MemAvailable:");
    let left = group.memory_limit().zip(group.memory_used());
    let left = left.map(|(limit, used)| Bytes(limit.0.saturating_sub(used.0)));
    let Some(room) = available.into_iter().chain(left).min() else {
        return lacking(
            what,
            State::Poor,
            "unknown",
            "make sure both models fit beside each other",
        );
    };
    let found = format!("{room} free");
    if room >= ROOM {
        return good(what, found);
    }
    lacking(
        what,
        State::Poor,
        found,
        "stop other work or raise the container's limit: both models are resident at once",
    )
}

fn peaks() -> Finding {
    if probe::reset_peak() {
        good("peak memory", "readable for each phase")
    } else {
        lacking(
            "peak memory",
            State::Poor,
            "one peak for all phases: /proc/self/clear_refs cannot be written",
            "run as a user who may write it; the gated figure is not affected",
        )
    }
}

fn swap() -> Finding {
    let what = "swap";
    let used = meminfo("SwapTotal:").zip(meminfo("SwapFree:"));
    let used = used.map(|(total, free)| Bytes(total.0.saturating_sub(free.0)));
    match used {
        Some(Bytes(0)) | None => good(what, "not in use"),
        Some(used) => lacking(
            what,
            State::Poor,
            format!("{used} in use"),
            "sudo swapoff -a; sudo swapon -a: pages read back while times are taken cost the verdict",
        ),
    }
}

fn load() -> Finding {
    let what = "other work";
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match load_1m(&text) {
        Some(load) if load > usable as f64 => lacking(
            what,
            State::Poor,
            format!("{load:.1} tasks want {usable} CPUs"),
            "nothing has to be done; a quiet machine decides with fewer launches",
        ),
        Some(load) => good(what, format!("{load:.1} tasks want {usable} CPUs")),
        None => good(what, "not told"),
    }
}

/// Times equal work over and over: how much of it the machine takes away, and how even it is.
fn steadiness() -> Vec<Finding> {
    let machine = || cpu_line(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let throttled = || {
        let text = Cgroup::of_this_process().cpu_stat()?;
        keyed(&text, "nr_throttled")
    };
    let rounds = rounds_of(PIECE);
    let (before, held_back) = (machine(), throttled());
    let mut cpu: Vec<u64> = Vec::with_capacity(PIECES);
    let mut waited = 0u64;
    for _ in 0..PIECES {
        let region = Stopwatch::start();
        std::hint::black_box(work(rounds));
        let timing = region.stop(1);
        cpu.push(timing.cpu_ns);
        waited += timing.wall_ns.saturating_sub(timing.cpu_ns);
    }
    let after = machine();
    cpu.sort_unstable();
    let (low, middle, high) = (cpu[PIECES / 4], cpu[PIECES / 2], cpu[3 * PIECES / 4]);
    let spread = (high - low) as f64 / middle.max(1) as f64;
    let shown = format!(
        "equal work differs by {:.1} % (middle half)",
        100.0 * spread
    );
    let mut findings = vec![if spread <= 0.05 {
        good("steadiness", shown)
    } else {
        lacking(
            "steadiness",
            State::Poor,
            shown,
            "stop other work; launches will be needed to the last one",
        )
    }];
    let total: u64 = cpu.iter().sum::<u64>() + waited;
    let share = waited as f64 / total.max(1) as f64;
    findings.push(good(
        "waiting",
        format!("{:.1} % of the time no CPU was free", 100.0 * share),
    ));
    if let Some((before, after)) = before.zip(after) {
        let stolen = after.steal_ns.saturating_sub(before.steal_ns);
        let share = stolen as f64 / after.total_ns.saturating_sub(before.total_ns).max(1) as f64;
        let found = format!("{:.1} % of CPU time taken by the hypervisor", 100.0 * share);
        findings.push(if share <= STEAL_SHARE {
            good("steal", found)
        } else {
            lacking(
                "steal",
                State::Poor,
                found,
                "use a machine whose CPUs are not shared: passes of times are not given above 2 %",
            )
        });
    }
    let held_back = held_back.zip(throttled()).map(|(a, b)| b.saturating_sub(a));
    if held_back.is_some_and(|periods| periods > 0) {
        findings.push(lacking(
            "throttling",
            State::Poor,
            "the container's CPU quota was used up while nothing else was asked of it",
            "raise the container's CPU limit",
        ));
    }
    findings
}

/// Some arithmetic that no compiler takes away.
fn work(rounds: u64) -> u64 {
    (0..rounds).fold(1u64, |state, round| {
        (state ^ round)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(17)
    })
}

/// Rounds of [`work`] that take about so long.
fn rounds_of(wanted: Duration) -> u64 {
    let mut rounds = 1u64 << 16;
    loop {
        let begun = Instant::now();
        std::hint::black_box(work(rounds));
        let took = ns_between(begun, Instant::now()).max(1);
        let wanted_ns = u64::try_from(wanted.as_nanos()).unwrap_or(u64::MAX);
        if took * 4 >= wanted_ns {
            return rounds.saturating_mul(wanted_ns) / took;
        }
        rounds *= 2;
    }
}

/// Whether reports and the journal can be written, and how long a line of the journal takes.
fn folder(out: &Path) -> Finding {
    let what = "output folder";
    let made = out
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let made: Vec<&Path> = made.collect();
    let trial = || {
        fs::create_dir_all(out)?;
        let mut file = tempfile::tempfile_in(out)?;
        let begun = Instant::now();
        file.write_all(&[b'x'; 4096])?;
        file.sync_data()?;
        std::io::Result::Ok(begun.elapsed())
    };
    let tried = trial();
    for folder in made {
        // Only when it is empty: somebody may have begun to use it.
        let _ = fs::remove_dir(folder);
    }
    let shown = crate::durable::shown(out);
    match tried {
        Ok(took) if took < Duration::from_millis(250) => good(
            what,
            format!(
                "{shown}: a line of the journal takes {:.1} ms",
                took.as_secs_f64() * 1e3
            ),
        ),
        Ok(took) => lacking(
            what,
            State::Poor,
            format!(
                "{shown}: a line of the journal takes {:.0} ms",
                took.as_secs_f64() * 1e3
            ),
            "name a directory on a local disk with --out DIR",
        ),
        Err(error) => lacking(
            what,
            State::Unfit,
            format!("{shown}: {error}"),
            "name a writable directory with --out DIR",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_looked_at_and_nothing_is_left_behind() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("reports");
        let findings = examine(1, &out);
        assert!(!out.exists());
        for what in [
            "huge pages",
            "placement",
            "CPUs",
            "CPU quota",
            "clocks",
            "memory",
            "swap",
            "steadiness",
            "output folder",
        ] {
            assert!(
                findings.iter().any(|finding| finding.what == what),
                "{what}"
            );
        }
        for finding in &findings {
            assert_eq!(
                finding.advice.is_some(),
                finding.state != State::Good,
                "{finding:?}"
            );
        }
    }

    #[test]
    fn more_threads_than_cpus_are_unfit() {
        let found = cpus(4096);
        assert_eq!(found[0].state, State::Unfit);
        assert!(
            found[0]
                .advice
                .as_deref()
                .unwrap()
                .contains("effort.threads")
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_unfit() {
        let found = folder(Path::new("/proc/nowhere"));
        assert_eq!(found.state, State::Unfit, "{found:?}");
    }
}
