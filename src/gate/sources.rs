//! `[sources]` and `[archive]` of a policy: where artifacts may come from, what they may unpack to.
//!
//! Only read and bounded here; the stage that fetches turns them into its rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// Where artifacts may come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesPolicy {
    /// Hosts that may be asked; empty allows any public one, and none at all in a gate.
    pub allow_hosts: Vec<String>,
    /// Hosts that may be asked although their address is not public.
    pub allow_private: Vec<String>,
    /// Most bytes of one artifact.
    pub max_artifact_bytes: Bytes,
    /// Most bytes of all artifacts of a release together.
    pub max_total_bytes: Bytes,
    /// Slowest download accepted, in bytes per second over a minute; 0 accepts any.
    pub min_throughput_bytes_per_s: u64,
}

impl Default for SourcesPolicy {
    fn default() -> Self {
        Self {
            allow_hosts: Vec::new(),
            allow_private: Vec::new(),
            max_artifact_bytes: Bytes(16 << 30),
            max_total_bytes: Bytes(32 << 30),
            min_throughput_bytes_per_s: 0,
        }
    }
}

/// What one archive may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchivePolicy {
    /// Most files and directories.
    pub max_entries: usize,
    /// Most bytes in files.
    pub max_unpacked_bytes: Bytes,
    /// Most bytes unpacked from each byte of the archive.
    pub max_ratio: u64,
    /// Bytes up to which the ratio does not count.
    pub ratio_floor_bytes: Bytes,
}

impl Default for ArchivePolicy {
    fn default() -> Self {
        Self {
            max_entries: 4096,
            max_unpacked_bytes: Bytes(32 << 30),
            max_ratio: 200,
            ratio_floor_bytes: Bytes(64 << 20),
        }
    }
}

impl SourcesPolicy {
    /// Keys of the table.
    pub(super) const KEYS: &'static [&'static str] = &[
        "allow_hosts",
        "allow_private",
        "max_artifact_bytes",
        "max_total_bytes",
        "min_throughput_bytes_per_s",
    ];

    /// Whether nothing departs from the defaults; such a table is not written.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first key whose value could never be met, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        if self.max_artifact_bytes.0 == 0 {
            return Some(("max_artifact_bytes", "must be at least 1"));
        }
        (self.max_total_bytes < self.max_artifact_bytes)
            .then_some(("max_total_bytes", "is below max_artifact_bytes"))
    }
}

impl ArchivePolicy {
    /// Keys of the table.
    pub(super) const KEYS: &'static [&'static str] = &[
        "max_entries",
        "max_unpacked_bytes",
        "max_ratio",
        "ratio_floor_bytes",
    ];

    /// Whether nothing departs from the defaults; such a table is not written.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first key whose value could never be met, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let zero = "must be at least 1";
        match self {
            Self { max_entries: 0, .. } => Some(("max_entries", zero)),
            Self {
                max_unpacked_bytes: Bytes(0),
                ..
            } => Some(("max_unpacked_bytes", zero)),
            Self { max_ratio: 0, .. } => Some(("max_ratio", zero)),
            _ => None,
        }
    }
}
