//! The control group of this process: its limits, and where its counters are.
//!
//! Source: cgroups(7); Documentation/admin-guide/cgroup-v2.rst of Linux; for version 1
//! Documentation/scheduler/sched-bwc.rst and Documentation/admin-guide/cgroup-v1/memory.rst.

use std::path::{Path, PathBuf};

use crate::units::Bytes;

/// Where control groups are mounted by convention.
const ROOT: &str = "/sys/fs/cgroup";

/// A version-1 memory limit from here on is the kernel's way of saying none.
const NO_LIMIT: u64 = 1 << 60;

/// Directories of this process's group, for CPU and for memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cgroup {
    cpu: Option<PathBuf>,
    memory: Option<PathBuf>,
    is_unified: bool,
}

impl Cgroup {
    /// Finds the group; nothing is known where control groups are not mounted.
    pub(super) fn of_this_process() -> Self {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(&text, Path::new(ROOT))
    }

    /// * `text`: of `/proc/self/cgroup`; `root`: where groups are mounted
    fn find(text: &str, root: &Path) -> Self {
        if root.join("cgroup.controllers").is_file() {
            let path = text.lines().find_map(|line| line.strip_prefix("0::"));
            let directory = inside(root, path.unwrap_or("/"));
            return Self {
                cpu: directory.clone(),
                memory: directory,
                is_unified: true,
            };
        }
        let of = |controller: &str| {
            let (names, path) = text.lines().find_map(|line| {
                let (names, path) = line.split_once(':')?.1.split_once(':')?;
                names
                    .split(',')
                    .any(|name| name == controller)
                    .then_some((names, path))
            })?;
            [names, controller]
                .iter()
                .find_map(|name| inside(&root.join(name), path))
        };
        Self {
            cpu: of("cpu"),
            memory: of("memory"),
            is_unified: false,
        }
    }

    fn cpu_file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.cpu.as_ref()?.join(name)).ok()
    }

    fn memory_file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.memory.as_ref()?.join(name)).ok()
    }

    /// The file with `nr_periods` and `nr_throttled`, when there is one.
    pub(super) fn cpu_stat_path(&self) -> Option<PathBuf> {
        let path = self.cpu.as_ref()?.join("cpu.stat");
        path.is_file().then_some(path)
    }

    /// Text of that file.
    pub(super) fn cpu_stat(&self) -> Option<String> {
        self.cpu_file("cpu.stat")
    }

    /// CPUs the quota amounts to; `None` without a quota.
    pub(super) fn cpu_quota(&self) -> Option<f64> {
        let (quota, period) = if self.is_unified {
            let text = self.cpu_file("cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?)
        } else {
            let number = |name| self.cpu_file(name)?.trim().parse::<f64>().ok();
            (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
        };
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }

    /// Memory the group may use; `None` without a limit.
    pub(super) fn memory_limit(&self) -> Option<Bytes> {
        let name = if self.is_unified {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        let limit: u64 = self.memory_file(name)?.trim().parse().ok()?;
        (limit < NO_LIMIT).then_some(Bytes(limit))
    }

    /// Memory the group uses now, page cache included.
    pub(super) fn memory_used(&self) -> Option<Bytes> {
        let name = if self.is_unified {
            "memory.current"
        } else {
            "memory.usage_in_bytes"
        };
        self.memory_file(name)?.trim().parse().ok().map(Bytes)
    }

    /// Processes of the group killed so far for want of memory.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let name = if self.is_unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        super::health::keyed(&self.memory_file(name)?, "oom_kill")
    }
}

/// The directory of a group below a mount. Inside a container the path is often told as seen from
/// outside; the mount's own root is the group then.
fn inside(mount: &Path, path: &str) -> Option<PathBuf> {
    let told = mount.join(path.trim_start_matches('/'));
    [told, mount.to_owned()]
        .into_iter()
        .find(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn limits_of_version_2_are_read() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("cgroup.controllers", "cpu memory"),
                ("box/a/cpu.max", "150000 100000\n"),
                ("box/a/cpu.stat", "nr_periods 9\nnr_throttled 2\n"),
                ("box/a/memory.max", "max\n"),
                ("box/a/memory.events", "low 0\noom 1\noom_kill 4\n"),
            ],
        );
        let group = Cgroup::find("0::/box/a\n", root.path());
        assert_eq!(group.cpu_quota(), Some(1.5));
        assert_eq!(group.memory_limit(), None);
        assert_eq!(group.oom_kills(), Some(4));
        assert!(group.cpu_stat().unwrap().contains("nr_throttled 2"));
        assert!(group.cpu_stat_path().is_some());
    }

    #[test]
    fn limits_of_version_1_are_read() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
                ("memory/box/memory.limit_in_bytes", "1048576\n"),
                ("memory/box/memory.oom_control", "under_oom 0\noom_kill 0\n"),
            ],
        );
        let text = "4:memory:/box\n2:cpu,cpuacct:/as-seen-from-outside\n0::/\n";
        let group = Cgroup::find(text, root.path());
        assert_eq!(group.cpu_quota(), None);
        assert_eq!(group.memory_limit(), Some(Bytes(1 << 20)));
        assert_eq!(group.oom_kills(), Some(0));
        write(root.path(), &[("cpu,cpuacct/cpu.cfs_quota_us", "50000\n")]);
        assert_eq!(group.cpu_quota(), Some(0.5));
    }

    #[test]
    fn without_groups_nothing_is_known() {
        let root = tempfile::tempdir().unwrap();
        let group = Cgroup::find("", &root.path().join("nowhere"));
        assert_eq!(group, Cgroup::default());
        assert_eq!((group.cpu_quota(), group.memory_limit()), (None, None));
        assert_eq!(group.cpu_stat_path(), None);
    }
}
