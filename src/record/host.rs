//! What must match for two times to be comparable.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine, the build and the kernel that took the times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostKey {
    /// `model name` of the first CPU, or `unknown`.
    pub cpu: String,
    /// CPUs this process may use.
    pub usable_cpus: usize,
    /// Kernel release.
    pub os_release: String,
    /// Version of this program.
    pub vv_eval_version: String,
    /// Compiler that built it.
    pub rustc: String,
    /// Compute kernel chosen by the engine, e.g. `scalar`.
    pub kernel: String,
    /// Instruction sets detected at run time that the engine could use.
    pub detected_features: Vec<String>,
    /// Instruction sets fixed at compile time.
    pub compiled_features: Vec<String>,
}
