//! The seam: everything observed of one model on one scene set, as saved on disk.
//!
//! Upstream (`run`) writes it, downstream (`metric`, `gate`, `report`) are pure functions of it.
//! All times are integers in nanoseconds or floats named by unit; unknown is `None`.

pub mod environment;
pub mod file;
pub mod health;
pub mod host;
pub mod journal;
pub mod load;
pub mod observation;
pub mod reading;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use environment::{Environment, comparability_key};
pub use file::Error;
pub use health::{ArenaPages, MachineRecord, MemoryPhase, SegmentHealth};
pub use host::HostKey;
pub use load::{LoadSettings, WorkerFacts};
pub use observation::{
    Failure, FailureKind, Launch, MemoryRun, NaturalTimes, OutputObservation, Segment, StopReason,
};
pub use reading::{Reading, ReadingDistance, TextSource};

use crate::units::{Bytes, Sha256};

/// Version of the on-disk form.
pub const SCHEMA_VERSION: u32 = 2;

/// Which model of a comparison.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model now pinned.
    Baseline,
    /// The model proposed.
    Candidate,
}

/// What one model was seen to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Same for the two records taken together, interleaved, in one run.
    pub run_id: String,
    /// Which model this is.
    pub role: Role,
    /// RFC 3339 UTC, when the run began.
    pub started_at: String,
    /// What was run.
    pub model: ModelIdentity,
    /// On which scenes.
    pub scenes: SceneSetIdentity,
    /// Sentinels run along with them; absent when none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinels: Option<Sentinels>,
    /// Where.
    pub host: HostKey,
    /// How: order, sizes, limits.
    pub plan: PlanSummary,
    /// How the model was loaded.
    pub load: LoadSettings,
    /// Every worker that loaded the model, in order; those of repeated work included.
    pub workers: Vec<WorkerFacts>,
    /// The harm planted on purpose; such a record never earns a verdict that counts.
    pub planted: Option<String>,
    /// One entry per run of the memory pass.
    pub memory: Vec<MemoryRun>,
    /// One entry per scene, in planned order.
    pub outputs: Vec<OutputObservation>,
    /// One entry per launch of the latency pass.
    pub launches: Vec<Launch>,
    /// One entry per text of the likelihood pass: of the scenes read, in planned order, the
    /// references, then what the baseline and what the candidate wrote. Absent in older records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// What ended the model's run early, if anything did.
    pub failure: Option<Failure>,
    /// One sentence each: why a promised pass is missing, or which work had to be repeated.
    pub notes: Vec<String>,
    /// What surrounded the run; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Launches with the baseline's files in both workers, this role's half: what the design shows
    /// where nothing differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<Launch>,
    /// Launches that had to be repeated because a worker crashed or hung.
    #[serde(default)]
    pub n_repeated_launches: usize,
    /// Times the run was taken up again after it had been killed.
    #[serde(default)]
    pub n_resumed: usize,
    /// Outputs that were taken over from an earlier run of the same model, scene, prompt, program
    /// and limits. Times and memory never are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reused_outputs: Vec<ReusedOutput>,
}

impl RunRecord {
    /// Key of this program on this machine, whatever its threads; `None` in older records.
    pub fn machine_key(&self) -> Option<Sha256> {
        let environment = self.environment.as_ref()?;
        Some(comparability_key(&self.host, environment, 0, 0))
    }

    /// Key under which times of other runs have anything to do with those of this one; `None` in
    /// older records, which do not tell their surroundings.
    pub fn comparability_key(&self) -> Option<Sha256> {
        let (threads, protocol) = (self.plan.threads, self.plan.protocol_version);
        let environment = self.environment.as_ref()?;
        Some(comparability_key(
            &self.host,
            environment,
            threads,
            protocol,
        ))
    }
}

/// An output of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReusedOutput {
    /// Scene id.
    pub scene: String,
    /// Run that wrote it.
    pub run_id: String,
    /// RFC 3339 UTC, when that run began.
    pub run_at: String,
}

/// Identity of a model: digests decide, labels inform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelIdentity {
    /// Label from the manifest, or the directory's name.
    pub name: String,
    /// Label from the manifest; `None` for a bare directory.
    pub version: Option<String>,
    /// Whether a manifest pinned the digests.
    pub is_pinned: bool,
    /// Identity of the whole file set.
    pub release_digest: Sha256,
    /// File name, digest and size, sorted by name.
    pub files: Vec<FileIdentity>,
    /// One line describing what was detected, e.g. `bitnet 1.2M · hf-packed · …`; absent when the
    /// model never loaded.
    pub card: Option<String>,
    /// Digest of the tokenizer file; equal digests mean equal token ids.
    pub tokenizer_sha256: Option<Sha256>,
    /// Identity of the ternary codes with their scales, whatever container they came in; absent
    /// when the model never loaded, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers_sha256: Option<Sha256>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    /// File name without directories.
    pub name: String,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: Bytes,
}

/// Identity of the scene set and of everything that shapes the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SceneSetIdentity {
    /// Name from `set.toml`.
    pub name: String,
    /// Version from `set.toml`.
    pub version: String,
    /// SHA-256 of the bytes of `scenes.jsonl`.
    pub scenes_sha256: Sha256,
    /// SHA-256 of the prompt template's bytes.
    pub prompt_sha256: Sha256,
    /// Name of the scene renderer, e.g. `scene-text/1`.
    pub renderer: String,
    /// SHA-256 of the lexicon's bytes.
    pub lexicon_sha256: Sha256,
}

/// Scenes that must hold one by one, run along with the scene set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinels {
    /// The set they come from.
    pub set: SceneSetIdentity,
    /// Their ids, which stand among the scenes of the plan.
    pub ids: Vec<String>,
}

/// The plan the run followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanSummary {
    /// Hex seed from which every order was drawn; derived from the digests of the inputs.
    pub seed: Sha256,
    /// Scene ids in planned order.
    pub scene_ids: Vec<String>,
    /// Most outputs in progress at the same time while the scenes are written.
    pub batch: usize,
    /// Scenes written again alone, the first of `scene_ids`: their natural-lane times are known,
    /// and both texts were equal.
    pub n_timed: usize,
    /// Scenes whose texts both models read, the first of `scene_ids`; 0 in older records.
    #[serde(default, skip_serializing_if = "crate::units::is_zero")]
    pub n_read: usize,
    /// Launches of the latency pass: those that were taken, once the pass is over.
    pub n_launches: usize,
    /// Launches with the baseline in both places; 0 in older records.
    #[serde(default, skip_serializing_if = "crate::units::is_zero")]
    pub n_controls: usize,
    /// When the launches are looked at, and which share of each level every look may spend. Without
    /// any there is one look, after the last launch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<PlannedLook>,
    /// Why the latency pass ended before its last planned launch; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Decode pairs in each launch.
    pub pairs_per_launch: usize,
    /// Forced tokens in each decode segment; `None` when the latency pass did not run.
    pub segment_tokens: Option<usize>,
    /// Limit of new tokens per output.
    pub max_new_tokens: usize,
    /// Worker threads of each model.
    pub threads: usize,
    /// Most memory a worker may take for itself, where the policy limits it; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_memory_bytes: Option<Bytes>,
    /// Version of the measurement protocol; times under different versions are not compared.
    pub protocol_version: u32,
}

/// One look of the group-sequential plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedLook {
    /// Launches that must be there.
    pub launches: usize,
    /// Share of each level spent here, in (0, 1].
    pub share: f64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record with something in every list.
    #[expect(clippy::too_many_lines, reason = "one value, spelled out")]
    pub(crate) fn sample() -> RunRecord {
        let digest = Sha256::of(b"sample");
        let segment = Segment {
            scene: "s1".to_owned(),
            n_tokens: 4,
            wall_ns: 10,
            cpu_ns: 9,
            went_first: true,
            health: Some(SegmentHealth {
                idle_cpu_ns: 3,
                ..SegmentHealth::default()
            }),
        };
        RunRecord {
            schema_version: SCHEMA_VERSION,
            run_id: "r1".to_owned(),
            role: Role::Candidate,
            started_at: "2026-01-02T03:04:05Z".to_owned(),
            model: ModelIdentity {
                name: "m".to_owned(),
                version: None,
                is_pinned: false,
                release_digest: digest,
                files: vec![FileIdentity {
                    name: "config.json".to_owned(),
                    sha256: digest,
                    size_bytes: Bytes(3),
                }],
                card: Some("bitnet".to_owned()),
                tokenizer_sha256: Some(digest),
                layers_sha256: Some(digest),
            },
            scenes: SceneSetIdentity {
                name: "set".to_owned(),
                version: "1".to_owned(),
                scenes_sha256: digest,
                prompt_sha256: digest,
                renderer: "scene-text/1".to_owned(),
                lexicon_sha256: digest,
            },
            sentinels: None,
            host: HostKey {
                cpu: "unknown".to_owned(),
                usable_cpus: 2,
                os_release: "6".to_owned(),
                vv_eval_version: "0".to_owned(),
                rustc: "rustc".to_owned(),
                kernel: "scalar".to_owned(),
                detected_features: vec![],
                compiled_features: vec![],
            },
            plan: PlanSummary {
                seed: digest,
                scene_ids: vec!["s1".to_owned()],
                batch: 8,
                n_timed: 1,
                n_read: 1,
                n_launches: 1,
                n_controls: 0,
                looks: vec![PlannedLook {
                    launches: 1,
                    share: 1.0,
                }],
                stopped: None,
                pairs_per_launch: 1,
                segment_tokens: Some(4),
                max_new_tokens: 8,
                threads: 1,
                worker_memory_bytes: None,
                protocol_version: 2,
            },
            load: LoadSettings::default(),
            workers: vec![WorkerFacts {
                pass: "memory".to_owned(),
                kernel: "scalar".to_owned(),
                threads: 1,
                anon_bytes: Bytes(4),
                huge_bytes: None,
            }],
            planted: None,
            memory: vec![MemoryRun {
                load_ns: 1,
                load_cpu_ns: Some(1),
                load_peak_bytes: Bytes(2),
                peak_bytes: Bytes(3),
                anon_bytes: Bytes(4),
                file_bytes: Bytes(5),
                phases: Vec::new(),
            }],
            outputs: vec![OutputObservation {
                scene: "s1".to_owned(),
                n_prompt: 3,
                token_ids: vec![1, 2],
                text: "ab".to_owned(),
                stop: StopReason::Eos,
                times: Some(NaturalTimes {
                    ttft_ns: 5,
                    itl_ns: vec![6],
                    e2e_ns: 12,
                }),
            }],
            launches: vec![Launch {
                index: 0,
                decode: vec![segment.clone()],
                prefill: vec![segment],
                machine: Some(MachineRecord::default()),
                pages: None,
            }],
            readings: vec![Reading {
                scene: "s1".to_owned(),
                text: TextSource::Reference(0),
                n_bytes: 2,
                nll: vec![0.5, 0.25],
                distance: Some(ReadingDistance {
                    divergence: vec![0.125, 0.0],
                    other_first: vec![0],
                }),
                absent: None,
            }],
            failure: Some(Failure {
                kind: FailureKind::Crashed,
                pass: "latency".to_owned(),
                scene: Some("s1".to_owned()),
                detail: "signal 9".to_owned(),
                stderr_tail: String::new(),
            }),
            notes: vec!["one".to_owned()],
            environment: Some(Environment::default()),
            controls: Vec::new(),
            n_repeated_launches: 1,
            n_resumed: 2,
            reused_outputs: Vec::new(),
        }
    }
}
