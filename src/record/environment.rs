//! The machine and the build in full, and the key under which two runs' times have anything to do
//! with each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HostKey;
use crate::units::{Bytes, Hasher, Sha256};

/// What surrounds a run besides its [`HostKey`]. What the system does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Digest of this program's file.
    pub binary_sha256: Option<Sha256>,
    /// Revision this program was built from, with `-dirty` behind it when files had changed.
    pub source_revision: Option<String>,
    /// The C library it runs with.
    pub libc: Option<String>,
    /// Microcode revision of the first CPU.
    pub microcode: Option<String>,
    /// Digest of the CPU's feature flags as the kernel lists them.
    pub cpu_flags_sha256: Option<Sha256>,
    /// Whether a hypervisor is present.
    pub is_virtual: Option<bool>,
    /// Mode of transparent huge pages: `always`, `madvise` or `never`.
    pub huge_page_mode: Option<String>,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// CPUs the container's quota amounts to; `None` without a quota.
    pub cpu_quota: Option<f64>,
    /// Memory the container may use; `None` without a limit.
    pub memory_limit_bytes: Option<Bytes>,
    /// Memory of the machine.
    pub memory_bytes: Option<Bytes>,
    /// Size of a page.
    pub page_bytes: Option<Bytes>,
    /// Smallest step of the monotonic clock.
    pub wall_step_ns: Option<u64>,
    /// Smallest step of the process's CPU clock.
    pub cpu_step_ns: Option<u64>,
}

/// Digest of everything that must be equal for times of two runs to be worth setting side by side.
///
/// Equal keys choose history: durations for planning, controls, self-tests. They never make times
/// of two runs comparable in a verdict; that takes one interleaved run.
///
/// * `threads`: compute threads of each worker
/// * `protocol_version`: version of the measuring
pub fn comparability_key(
    host: &HostKey,
    environment: &Environment,
    threads: usize,
    protocol_version: u32,
) -> Sha256 {
    let mut hasher = Hasher::default();
    let parts = [
        host.cpu.clone(),
        host.usable_cpus.to_string(),
        host.os_release.clone(),
        host.vv_eval_version.clone(),
        host.rustc.clone(),
        host.kernel.clone(),
        host.detected_features.join(" "),
        host.compiled_features.join(" "),
        format!("{:?}", environment.binary_sha256),
        format!("{:?}", environment.cpu_flags_sha256),
        format!("{:?}", environment.is_virtual),
        format!("{:?}", environment.huge_page_mode),
        format!("{:?}", environment.governor),
        format!("{:?}", environment.cpu_quota),
        threads.to_string(),
        protocol_version.to_string(),
    ];
    for part in parts {
        // Lengths keep neighbouring parts from running into each other.
        hasher.update(format!("{}:", part.len()).as_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_key_moves_with_what_times_depend_on_and_with_nothing_else() {
        let host = sample().host;
        let here = Environment::default();
        let key = comparability_key(&host, &here, 1, 3);
        let other_quota = Environment {
            cpu_quota: Some(1.5),
            ..here.clone()
        };
        let other_kernel = HostKey {
            kernel: "avx2".to_owned(),
            ..host.clone()
        };
        for other in [
            comparability_key(&host, &other_quota, 1, 3),
            comparability_key(&other_kernel, &here, 1, 3),
            comparability_key(&host, &here, 2, 3),
            comparability_key(&host, &here, 1, 4),
        ] {
            assert_ne!(other, key);
        }
        let more_memory = Environment {
            memory_bytes: Some(Bytes(1)),
            microcode: Some("2".to_owned()),
            ..here
        };
        assert_eq!(comparability_key(&host, &more_memory, 1, 3), key);
    }
}
