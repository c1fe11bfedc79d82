//! What the operator decided about installations: `[sources]`, `[archive]`, `[store]` and `[health]`
//! of `gate.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::artifact::archive::Limits;
use crate::artifact::source::{self, Rules};
use crate::durable::shown;
use crate::hint::Hint;
use crate::manifest::Host;
use crate::units::Bytes;

/// Rules of one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Newest generations that were current that are kept, the current one among them.
    pub keep: usize,
    /// How long a generation stays after it ceased to be current.
    pub gc_grace: Duration,
    /// Space left free, whatever happens.
    pub min_free: Bytes,
    /// Whether a version may never name other bytes than before.
    pub immutable_versions: bool,
    /// Age of the manifest's file from which `status` warns; `None` for never.
    pub stale_manifest: Option<Duration>,
    /// Patterns of file names accepted beside those of a model; from `[archive]`.
    pub allow: Vec<String>,
    /// Which sources are allowed, flags apart; from `[sources]`.
    pub rules: Rules,
    /// Slowest download accepted, in bytes per second; 0 accepts any.
    pub min_bytes_per_s: u64,
    /// What one archive may write; from `[archive]`.
    pub limits: Limits,
    /// When a trial generation is confirmed or condemned.
    pub health: HealthRules,
}

/// When a trial generation is confirmed or condemned.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthRules {
    /// Starts without a summary that condemn it.
    pub tries: usize,
    /// Summaries that confirm it.
    pub good_after_scenes: u64,
    /// Failed loads it may have.
    pub max_load_errors: u64,
    /// Largest share of summaries that may fail, in [0, 1].
    pub max_inference_error_rate: f64,
    /// Time after which it is condemned when it was not confirmed.
    pub deadline: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep: 2,
            gc_grace: Duration::from_secs(24 * 3600),
            min_free: Bytes(64 << 20),
            immutable_versions: false,
            stale_manifest: None,
            allow: Vec::new(),
            rules: Rules::default(),
            min_bytes_per_s: 0,
            limits: Limits::default(),
            health: HealthRules::default(),
        }
    }
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            tries: 3,
            good_after_scenes: 20,
            max_load_errors: 0,
            max_inference_error_rate: 0.05,
            deadline: Duration::from_secs(24 * 3600),
        }
    }
}

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("policy `{}`: {problem}", shown(.path))]
pub struct PolicyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl Hint for PolicyError {
    fn hint(&self) -> Option<String> {
        Some("docs/store.md lists the keys of [store] and [health] with their values".into())
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreToml {
    keep: Option<usize>,
    gc_grace_hours: Option<u32>,
    min_free_bytes: Option<u64>,
    immutable_versions: Option<bool>,
    stale_manifest_days: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthToml {
    tries: Option<usize>,
    good_after_scenes: Option<u64>,
    max_load_errors: Option<u64>,
    max_inference_error_rate: Option<f64>,
    deadline_hours: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourcesToml {
    #[serde(default)]
    allow_hosts: Vec<String>,
    #[serde(default)]
    allow_private: Vec<String>,
    max_artifact_bytes: Option<u64>,
    max_total_bytes: Option<u64>,
    min_throughput_bytes_per_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveToml {
    #[serde(default)]
    allow: Vec<String>,
    max_entries: Option<usize>,
    max_unpacked_bytes: Option<u64>,
    max_ratio: Option<u64>,
    ratio_floor_bytes: Option<u64>,
}

impl SourcesToml {
    fn rules(&self) -> Result<Rules, String> {
        let default = Rules::default();
        let (allow_hosts, allow_buckets) = source::allowed(&self.allow_hosts).map_err(|i| {
            let text = self.allow_hosts[i].escape_debug();
            format!("sources.allow_hosts: `{text}` is no host and no bucket")
        })?;
        Ok(Rules {
            allow_hosts,
            allow_buckets,
            allow_private: hosts("allow_private", &self.allow_private)?,
            max_artifact: self.max_artifact_bytes.map_or(default.max_artifact, Bytes),
            max_total: self.max_total_bytes.map_or(default.max_total, Bytes),
            ..default
        })
    }
}

fn hosts(key: &str, list: &[String]) -> Result<Vec<Host>, String> {
    let of = |text: &String| {
        Host::parse(text)
            .ok_or_else(|| format!("sources.{key}: `{}` is no host", text.escape_debug()))
    };
    list.iter().map(of).collect()
}

impl ArchiveToml {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            max_entries: self.max_entries.unwrap_or(default.max_entries),
            max_unpacked: self.max_unpacked_bytes.map_or(default.max_unpacked, Bytes),
            max_ratio: self.max_ratio.unwrap_or(default.max_ratio),
            ratio_floor: self.ratio_floor_bytes.map_or(default.ratio_floor, Bytes),
        }
    }
}

/// Only these tables are ours; the others are checked by whom they concern.
#[derive(Deserialize)]
struct PolicyToml {
    #[serde(default)]
    sources: SourcesToml,
    #[serde(default)]
    archive: ArchiveToml,
    #[serde(default)]
    store: StoreToml,
    #[serde(default)]
    health: HealthToml,
}

impl Policy {
    /// Reads the tables of a policy file that concern installations.
    ///
    /// # Errors
    /// [`PolicyError`]: no TOML, a key these tables do not have, a value out of range.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let wrong = |problem: String| PolicyError {
            path: path.to_owned(),
            problem,
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let read: PolicyToml = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let PolicyToml {
            sources,
            archive,
            store,
            health,
        } = read;
        let default = Self::default();
        let hours = |hours: Option<u32>, default: Duration| {
            hours.map_or(default, |hours| {
                Duration::from_secs(u64::from(hours) * 3600)
            })
        };
        let rate = health.max_inference_error_rate;
        if rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            return Err(wrong(
                "health.max_inference_error_rate is not in [0, 1]".into(),
            ));
        }
        if health.tries == Some(0) {
            return Err(wrong("health.tries is 0; the first start needs one".into()));
        }
        let days = store.stale_manifest_days.filter(|days| *days > 0);
        Ok(Self {
            keep: store.keep.unwrap_or(default.keep),
            gc_grace: hours(store.gc_grace_hours, default.gc_grace),
            min_free: store.min_free_bytes.map_or(default.min_free, Bytes),
            immutable_versions: store
                .immutable_versions
                .unwrap_or(default.immutable_versions),
            stale_manifest: days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            rules: sources.rules().map_err(wrong)?,
            min_bytes_per_s: sources.min_throughput_bytes_per_s.unwrap_or(0),
            limits: archive.limits(),
            allow: archive.allow,
            health: HealthRules {
                tries: health.tries.unwrap_or(default.health.tries),
                good_after_scenes: health
                    .good_after_scenes
                    .unwrap_or(default.health.good_after_scenes),
                max_load_errors: health
                    .max_load_errors
                    .unwrap_or(default.health.max_load_errors),
                max_inference_error_rate: rate.unwrap_or(default.health.max_inference_error_rate),
                deadline: hours(health.deadline_hours, default.health.deadline),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, PolicyError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.toml");
        std::fs::write(&path, text).unwrap();
        Policy::read(&path)
    }

    #[test]
    fn keys_left_out_keep_their_defaults_and_other_tables_are_left_alone() {
        assert_eq!(
            read("mode = \"smoke\"\n[[check]]\nmetric = \"x\"").unwrap(),
            Policy::default()
        );
        let policy =
            read("[store]\nkeep = 5\nstale_manifest_days = 30\n[health]\ntries = 1").unwrap();
        assert_eq!((policy.keep, policy.health.tries), (5, 1));
        assert_eq!(
            policy.stale_manifest,
            Some(Duration::from_secs(30 * 86_400))
        );
        assert_eq!(policy.min_free, Policy::default().min_free);
    }

    #[test]
    fn slips_are_refused() {
        let check = |text: &str, words: &str| {
            let error = read(text).unwrap_err();
            assert!(error.problem.contains(words), "{error}");
        };
        check("[store]\nkep = 5", "kep");
        check("[health]\nmax_inference_error_rate = 1.5", "[0, 1]");
        check("[health]\ntries = 0", "tries");
        check(
            "[sources]\nallow_hosts = [\"https://x/\"]",
            "sources.allow_hosts",
        );
        check("[archive]\nmax_ratios = 1", "max_ratios");
        check("[store", "TOML");
    }
}
