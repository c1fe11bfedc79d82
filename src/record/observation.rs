//! What was seen: outputs, timed segments, memory snapshots, failures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::health::{ArenaPages, MachineRecord, MemoryPhase, SegmentHealth};
use crate::units::Bytes;

/// Why an output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A stop token was chosen.
    Eos,
    /// The limit of new tokens was reached: the text is cut.
    MaxTokens,
    /// The model's context was full: the text is cut.
    ContextFull,
}

/// The natural output of one model on one scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputObservation {
    /// Scene id.
    pub scene: String,
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens after the prompt without the stop token.
    pub token_ids: Vec<u32>,
    /// The decoded text.
    pub text: String,
    /// Why it ended.
    pub stop: StopReason,
    /// How long the same output took when it was written alone; `None` when it was only written
    /// in a batch, which tells nothing of the times a user sees.
    pub times: Option<NaturalTimes>,
}

/// Times of one output written alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NaturalTimes {
    /// Request accepted → first token chosen: tokenisation, prefill, selection.
    pub ttft_ns: u64,
    /// Time between completions of consecutive tokens, `n_out - 1` values.
    pub itl_ns: Vec<u64>,
    /// Request accepted → text ready.
    pub e2e_ns: u64,
}

/// One timed stretch of forced decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Scene whose prompt and reference were fed.
    pub scene: String,
    /// Tokens fed inside the timed region.
    pub n_tokens: usize,
    /// Monotonic time.
    pub wall_ns: u64,
    /// Process CPU time, user and system, all threads.
    pub cpu_ns: u64,
    /// Whether this role went first in its pair.
    pub went_first: bool,
    /// What disturbed it; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<SegmentHealth>,
}

/// One launch of the latency pass, this role's half.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Number of the launch, from 0.
    pub index: usize,
    /// Decode segments; entry `k` pairs with entry `k` of the other role.
    pub decode: Vec<Segment>,
    /// Prefill segments, paired likewise.
    pub prefill: Vec<Segment>,
    /// The machine over the launch, equal in both roles; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineRecord>,
    /// Huge pages of this role's worker at the end; `None` where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<ArenaPages>,
}

/// One run of the memory pass: the model alone in a fresh worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryRun {
    /// Accepting the load request → ready to prefill; digest checks excluded.
    pub load_ns: u64,
    /// The same, CPU time; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_cpu_ns: Option<u64>,
    /// `VmHWM` of the worker after loading.
    pub load_peak_bytes: Bytes,
    /// `VmHWM` of the worker after the longest prompt and output: the gated figure.
    pub peak_bytes: Bytes,
    /// Anonymous resident memory at the end.
    pub anon_bytes: Bytes,
    /// File-backed resident memory at the end.
    pub file_bytes: Bytes,
    /// Memory phase by phase: load, inference; empty in older records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<MemoryPhase>,
}

/// What ended a model's run early. Evidence against a candidate; a baseline's makes the run invalid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// Pass in which it happened: `load`, `memory`, `outputs`, `latency`, `likelihood`.
    pub pass: String,
    /// Scene being worked on, when there was one.
    pub scene: Option<String>,
    /// One line: signal, limit, or the refusal's words.
    pub detail: String,
    /// The last lines the worker wrote to stderr.
    pub stderr_tail: String,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The model's files were refused when loading.
    LoadRefused,
    /// The worker panicked or was ended by a signal.
    Crashed,
    /// The worker wanted more memory than it may have, or than there was.
    OutOfMemory,
    /// The worker did not answer in time and was killed.
    TimedOut,
    /// Logits were NaN or infinite.
    NotFinite,
    /// A prompt could not be tokenised, rendered or held in the context.
    PromptRefused,
}
