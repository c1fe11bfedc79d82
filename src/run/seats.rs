//! The CPUs both workers of a launch share.
//!
//! CPUs of one machine are not equally fast at one time: a neighbour on the other half of a core, or
//! on the same cores of a virtual machine's host, slows one of them down for seconds. Two workers
//! that the scheduler keeps on different CPUs would carry that difference through a whole launch,
//! where no number of interleaved segments averages it away. So both sit on the same CPUs, and each
//! launch on the next ones.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs of one launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seats {
    cpus: Vec<usize>,
}

impl Seats {
    /// CPUs for launch `index` of workers with `threads` threads; `None` where the workers need all
    /// that this process may use, or the system does not tell.
    pub(super) fn of_launch(index: usize, threads: usize) -> Option<Self> {
        let allowed = sched_getaffinity(None).ok()?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|&cpu| allowed.is_set(cpu))
            .collect();
        Self::among(&usable, index, threads)
    }

    fn among(usable: &[usize], index: usize, threads: usize) -> Option<Self> {
        if threads == 0 || threads >= usable.len() {
            return None;
        }
        let first = index * threads;
        let mut cpus: Vec<usize> = (first..first + threads)
            .map(|seat| usable[seat % usable.len()])
            .collect();
        cpus.sort_unstable();
        Some(Self { cpus })
    }

    /// Their numbers, in order.
    pub(super) fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// Keeps a process, and every thread it starts from now on, on these CPUs.
    ///
    /// Says whether the system allowed it.
    pub(super) fn keep(&self, pid: u32) -> bool {
        let mut set = CpuSet::new();
        for &cpu in &self.cpus {
            set.set(cpu);
        }
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| sched_setaffinity(Some(pid), &set).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(usable: &[usize], index: usize, threads: usize, expected: Option<&[usize]>) {
        let seats = Seats::among(usable, index, threads);
        assert_eq!(seats.as_ref().map(Seats::cpus), expected);
    }

    #[test]
    fn launches_take_the_cpus_in_turn() {
        check(&[0, 1], 0, 1, Some(&[0]));
        check(&[0, 1], 1, 1, Some(&[1]));
        check(&[0, 1], 2, 1, Some(&[0]));
        check(&[2, 5, 7], 1, 2, Some(&[2, 7]));
    }

    #[test]
    fn workers_that_need_every_cpu_are_left_alone() {
        check(&[0, 1], 0, 2, None);
        check(&[3], 0, 1, None);
        check(&[], 0, 1, None);
        check(&[0, 1], 0, 0, None);
    }

    #[test]
    fn a_process_stays_on_its_cpus() {
        let Some(seats) = Seats::of_launch(1, 1) else {
            // One CPU leaves nothing to choose.
            return;
        };
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(seats.keep(child.id()));
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let allowed = sched_getaffinity(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(allowed.count(), 1);
        assert!(allowed.is_set(seats.cpus()[0]));
    }

    #[test]
    fn a_process_that_is_not_there_is_not_kept() {
        let seats = Seats { cpus: vec![0] };
        assert!(!seats.keep(0));
        assert!(!seats.keep(u32::MAX));
    }
}
