//! The seam: everything observed of one model on one scene set, as saved on disk.
//!
//! Upstream (`run`) writes it, downstream (`metric`, `gate`, `report`) are pure functions of it.
//! All times are integers in nanoseconds or floats named by unit; unknown is `None`.

pub mod host;
pub mod observation;

use serde::{Deserialize, Serialize};

pub use host::HostKey;
pub use observation::{Failure, Launch, MemoryRun, OutputObservation, Segment, StopReason};

use crate::units::{Bytes, Sha256};

/// Version of the on-disk form.
pub const SCHEMA_VERSION: u32 = 1;

/// Which model of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model now pinned.
    Baseline,
    /// The model proposed.
    Candidate,
}

/// What one model was seen to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Where.
    pub host: HostKey,
    /// How: order, sizes, limits.
    pub plan: PlanSummary,
    /// The harm planted on purpose; such a record never earns a verdict that counts.
    pub planted: Option<String>,
    /// One entry per run of the memory pass.
    pub memory: Vec<MemoryRun>,
    /// One entry per scene, in planned order.
    pub outputs: Vec<OutputObservation>,
    /// One entry per launch of the latency pass.
    pub launches: Vec<Launch>,
    /// What ended the model's run early, if anything did.
    pub failure: Option<Failure>,
}

/// Identity of a model: digests decide, labels inform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// The plan the run followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSummary {
    /// Hex seed from which every order was drawn; derived from the digests of the inputs.
    pub seed: Sha256,
    /// Scene ids in planned order.
    pub scene_ids: Vec<String>,
    /// Launches of the latency pass.
    pub n_launches: usize,
    /// Decode pairs in each launch.
    pub pairs_per_launch: usize,
    /// Forced tokens in each decode segment; `None` when the latency pass did not run.
    pub segment_tokens: Option<usize>,
    /// Limit of new tokens per output.
    pub max_new_tokens: usize,
    /// Worker threads of each model.
    pub threads: usize,
    /// Version of the measurement protocol; times under different versions are not compared.
    pub protocol_version: u32,
}
