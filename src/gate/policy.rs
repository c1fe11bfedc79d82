//! What is demanded of a candidate: checks, margins, error rates, effort.
//!
//! A policy comes from `gate.toml` ([`Policy::parse`]) or is built in ([`Policy::built_in`]). Either
//! way it is checked once, so that a check that could never pass, or could never fail, is refused
//! before anything is run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::{Rule, VALID_AT_LEAST, rule};
use super::sources::{ArchivePolicy, SourcesPolicy};
use super::waiver::Waiver;
use crate::hint::Hint;
use crate::stats::sequential::{Look, Looks};
use crate::units::{Bytes, Sha256};

/// Version of `gate.toml` and of the policy inside a report.
pub const SCHEMA_VERSION: u32 = 1;

/// Fewest scenes on which quality is ever decided: below it the t bound is not to be trusted.
pub const MIN_SCENES: usize = 60;

/// Fewest scenes with a value in both roles that a promotion asks for by itself: sets of 300 scenes
/// hold some, here one in eight, on which a score such as a recall has nothing to say.
const PROMOTION_SCENES: usize = 250;

/// Fewest launches on which times are ever decided.
pub const MIN_LAUNCHES: usize = 4;

/// Least memory a policy may leave a worker: a process of this program takes some of it before any
/// model.
pub const LEAST_WORKER_MEMORY: Bytes = Bytes(64 << 20);

/// Smallest allowance of memory: two huge pages, to which arenas round up.
pub const MEMORY_FLOOR: Bytes = Bytes(4 << 20);

/// The rules one comparison is judged by; field names are the keys of `gate.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What the verdict is for.
    pub mode: Mode,
    /// On which scenes.
    pub scenes: ScenesPolicy,
    /// At which error rates.
    pub confidence: Confidence,
    /// With how much work.
    pub effort: Effort,
    /// When a scene counts as fallen apart.
    pub collapse: Collapse,
    /// What is checked, in the order of the report.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
    /// Subsets of scenes that may veto, in the order of the report.
    #[serde(rename = "slice")]
    pub slices: Vec<SlicePolicy>,
    /// Scenes that must hold one by one; `None` when none are demanded.
    pub sentinels: Option<SentinelsPolicy>,
    /// Losses that are accepted for a while.
    #[serde(rename = "waiver", default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// Where artifacts may come from.
    #[serde(default, skip_serializing_if = "SourcesPolicy::is_default")]
    pub sources: SourcesPolicy,
    /// What an archive may unpack to.
    #[serde(default, skip_serializing_if = "ArchivePolicy::is_default")]
    pub archive: ArchivePolicy,
    /// Where it came from; not part of the digest.
    pub origin: Origin,
}

/// What the verdict is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A quick look: 60 scenes or more, plug-in statistics.
    Smoke,
    /// A promotion: sets of 300 scenes or more, bounds that hold for any distribution.
    Promotion,
    /// The first model ever: nothing to compare with, limits only.
    Bootstrap,
}

/// Which scenes count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenesPolicy {
    /// Name of the set; `None` accepts any.
    pub set: Option<String>,
    /// Version of the set; `None` accepts any.
    pub version: Option<String>,
    /// SHA-256 of the set's `scenes.jsonl`; `None` accepts any.
    pub digest: Option<Sha256>,
    /// SHA-256 of the lexicon that summaries are read by, extensions included; `None` accepts that of
    /// the set, extended or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexicon: Option<Sha256>,
    /// Fewest scenes with a value in both roles, at least [`MIN_SCENES`].
    pub min_scenes: usize,
    /// What makes scenes dependent; `None` takes each scene for a draw of its own.
    pub cluster_by: Option<ClusterBy>,
}

/// What makes scenes dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterBy {
    /// Scenes of one camera; every scene must name its own.
    Camera,
}

/// Error rates, and by which bounds they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// Chance that one required check passes at its margin, in (0, 0.5).
    pub false_pass: f64,
    /// Chance that any required check fails an equal model, in (0, 0.5).
    pub false_fail: f64,
    /// Chance that any slice vetoes an equal model, in (0, 0.5).
    pub slice_fail: f64,
    /// Bounds of scores; a check may name another.
    pub method: Method,
}

/// How the pass side of a score over scenes is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Betting: holds for any distribution at any number of scenes, and needs more of them.
    Guaranteed,
    /// Student's t and the studentised bootstrap, Tango's bound for 0/1 scores: asymptotic.
    PlugIn,
}

/// How much work a comparison is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// Launches of the latency pass.
    pub launches: usize,
    /// Decode pairs in each launch.
    pub pairs: usize,
    /// Worker threads of each model.
    pub threads: usize,
    /// Limit of new tokens per output.
    pub max_new_tokens: usize,
    /// Scenes whose references and outputs both models read, to say how likely they find them; 0
    /// leaves that out. Decides nothing. Policies of older reports do not name it.
    #[serde(default, skip_serializing_if = "crate::units::is_zero")]
    pub likelihood_scenes: usize,
    /// Seconds after which a scene counts as hung.
    pub scene_timeout_s: u64,
    /// Most memory a worker may take for itself; `None` leaves it what the machine, or its container,
    /// has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_memory_bytes: Option<Bytes>,
    /// Most outputs in progress at the same time while the scenes are written.
    pub batch: usize,
    /// Scenes written again alone, for their times and to see that outputs repeat.
    pub timed_scenes: usize,
    /// Runs of the memory pass per role.
    pub memory_runs: usize,
    /// Launches after which times are looked at; empty for a single look at all of them.
    pub looks: Vec<usize>,
    /// Share of the error rates spent at each look, together at most 1.
    pub shares: Vec<f64>,
}

/// When a scene counts as fallen apart, by its loss of `fact_score`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collapse {
    /// Loss from which on a scene collapsed, in (0, 1]; single errors cost at most 0.2.
    pub drop: f64,
    /// Loss from which on one scene is enough to block a pass by plug-in statistics.
    pub severe: f64,
    /// Share of collapsed scenes regarded as normal: a fail needs more for certain.
    pub normal: f64,
}

/// A subset of scenes that may veto and never approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlicePolicy {
    /// Name of the slice, as in the scene set.
    pub name: String,
    /// Fewest scenes of it; a run with fewer is invalid.
    pub min_scenes: usize,
}

/// Scenes that must hold one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentinelsPolicy {
    /// Name of their set.
    pub set: String,
    /// Version of it; `None` takes the highest.
    pub version: Option<String>,
    /// SHA-256 of the set's `scenes.jsonl`; `None` accepts any.
    pub digest: Option<Sha256>,
    /// What is demanded of them.
    pub demand: Demand,
    /// Sentinels that are let off, each with its reason.
    pub exempt: Vec<Exempt>,
}

/// What is demanded of sentinels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Every one is summarised without an error.
    All,
    /// None is lost that the baseline holds.
    Kept,
}

/// A sentinel that is let off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exempt {
    /// Scene id.
    pub scene: String,
    /// Why.
    pub reason: String,
}

/// One thing that is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Metric id.
    pub metric: String,
    /// Lane of a time; `None` where lanes mean nothing.
    pub lane: Option<Lane>,
    /// Largest loss accepted; `None` where the rule has none, or the check is only watched.
    pub margin: Option<Margin>,
    /// Bound of the candidate alone; `None` where there is none.
    pub limit: Option<Limit>,
    /// Bounds of this check; `None` takes those of the policy.
    pub method: Option<Method>,
    /// Whether it decides; otherwise it is watched: printed, never deciding.
    pub required: bool,
}

/// A bound of the candidate's own value, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Limit {
    /// The value must reach it.
    AtLeast(f64),
    /// The value must not exceed it.
    AtMost(f64),
}

/// How token ids were chosen while the clock ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The same token ids in both roles.
    Forced,
    /// Each model's own tokens and stopping.
    Natural,
}

/// Largest loss accepted; always > 0 and finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Margin {
    /// In the metric's unit.
    Absolute(f64),
    /// As a share of the baseline: 0.1 accepts ten percent more.
    Relative(f64),
    /// As a share of the baseline, or so many bytes, whichever is more.
    Memory {
        /// Share of the baseline.
        relative: f64,
        /// Bytes always accepted.
        floor_bytes: Bytes,
    },
}

/// Where a policy came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Compiled in.
    BuiltIn,
    /// A file, as it was named.
    File(String),
}

/// A policy that cannot be used: which key, where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}`{key}`: {problem}", place(file, *line))]
pub struct PolicyError {
    /// The file, as it was named; empty for a policy inside a report.
    pub file: String,
    /// Line, from 1, when it is known.
    pub line: Option<usize>,
    /// Dotted path of the key, e.g. `check[0].margin`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Hint for PolicyError {}

fn place(file: &str, line: Option<usize>) -> String {
    match (file, line) {
        ("", _) => String::new(),
        (file, None) => format!("{file}: "),
        (file, Some(line)) => format!("{file}:{line}: "),
    }
}

impl Policy {
    /// The policy in force without a `gate.toml`.
    pub fn built_in() -> Self {
        Self::built_in_for(Mode::Smoke)
    }

    /// The built-in policy of a mode, to which a `gate.toml` of that mode adds.
    pub fn built_in_for(mode: Mode) -> Self {
        let is_promotion = mode == Mode::Promotion;
        let pick = |smoke: f64, promotion: f64| if is_promotion { promotion } else { smoke };
        Self {
            schema_version: SCHEMA_VERSION,
            mode,
            scenes: ScenesPolicy {
                set: Some("cenas-pt".to_owned()),
                version: None,
                digest: None,
                lexicon: None,
                min_scenes: if is_promotion {
                    PROMOTION_SCENES
                } else {
                    MIN_SCENES
                },
                cluster_by: None,
            },
            confidence: Confidence {
                false_pass: 0.05,
                false_fail: 0.01,
                slice_fail: 0.005,
                method: if is_promotion {
                    Method::Guaranteed
                } else {
                    Method::PlugIn
                },
            },
            effort: Effort {
                // Many short launches tell more in the same time: they differ among each other by
                // more than the pairs inside one.
                launches: if is_promotion { 60 } else { 10 },
                pairs: if is_promotion { 6 } else { 20 },
                threads: 1,
                max_new_tokens: 160,
                likelihood_scenes: 100,
                scene_timeout_s: 300,
                worker_memory_bytes: None,
                batch: 8,
                timed_scenes: 20,
                memory_runs: 3,
                looks: if is_promotion {
                    vec![15, 25, 40, 60]
                } else {
                    Vec::new()
                },
                shares: if is_promotion {
                    vec![0.08, 0.17, 0.25, 0.50]
                } else {
                    Vec::new()
                },
            },
            collapse: Collapse {
                drop: 0.25,
                severe: 0.50,
                normal: 0.005,
            },
            checks: match mode {
                Mode::Smoke | Mode::Promotion => compared(pick),
                Mode::Bootstrap => limited(),
            },
            slices: Vec::new(),
            sentinels: None,
            waivers: Vec::new(),
            sources: SourcesPolicy::default(),
            archive: ArchivePolicy::default(),
            origin: Origin::BuiltIn,
        }
    }

    /// SHA-256 of what the policy demands, wherever it came from.
    ///
    /// # Panics
    /// Never: a policy is plain data.
    pub fn digest(&self) -> Sha256 {
        let demands = Self {
            origin: Origin::BuiltIn,
            ..self.clone()
        };
        Sha256::of(&serde_json::to_vec(&demands).expect("a policy is plain data"))
    }

    /// Required checks that rest on a sample: they share the false-fail rate.
    pub fn n_statistical(&self) -> usize {
        let shares = |check: &&Check| self.is_statistical(check);
        self.checks.iter().filter(shares).count()
    }

    /// Whether a check rests on a sample and may fail by it.
    pub(crate) fn is_statistical(&self, check: &Check) -> bool {
        let rests_on_sample = rule(&check.metric).is_some_and(Rule::is_statistical);
        self.mode != Mode::Bootstrap && check.required && check.margin.is_some() && rests_on_sample
    }

    /// Bounds by which a check is decided.
    pub fn method_of(&self, check: &Check) -> Method {
        check.method.unwrap_or(self.confidence.method)
    }
}

impl Effort {
    /// When times are looked at, and with which share of the error rates; `None` when the looks
    /// contradict each other, which [`Policy::check`] refuses.
    pub fn looks_plan(&self) -> Option<Looks> {
        if self.looks.is_empty() {
            return Some(Looks::once(self.launches));
        }
        let looks = self.looks.iter().zip(&self.shares);
        let looks = looks.map(|(&units, &share)| Look { units, share });
        Looks::new(looks.collect()).ok()
    }
}

impl Lane {
    /// The lane's name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Natural => "natural",
        }
    }
}

impl Mode {
    /// The mode's name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Promotion => "promotion",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// The built-in checks of a comparison; `pick` takes the allowance of a smoke run and of a
/// promotion.
fn compared(pick: impl Fn(f64, f64) -> f64) -> Vec<Check> {
    let absolute = |metric, share| check(metric, Some(Margin::Absolute(share)), true);
    let relative = |metric, share| check(metric, Some(Margin::Relative(share)), true);
    let watch = |metric| check(metric, None, false);
    let memory = Margin::Memory {
        relative: 0.02,
        floor_bytes: MEMORY_FLOOR,
    };
    vec![
        absolute("fact_ok", pick(0.10, 0.05)),
        absolute("hallucination_rate", pick(0.05, 0.03)),
        absolute("object_recall", pick(0.05, 0.03)),
        absolute("collapse_rate", 0.05),
        valid(),
        absolute("chrf_pp", 0.05),
        relative("output_tokens", 0.10),
        relative("cpu_ms_per_token", pick(0.10, 0.03)),
        relative("wall_ms_per_token", pick(0.15, 0.05)),
        check("peak_bytes", Some(memory), true),
        watch("object_precision"),
        watch("ttft_ms"),
        watch("prefill_cpu_ms_per_token"),
        watch("load_ms"),
    ]
}

/// The built-in checks of a first model: nothing to compare with.
fn limited() -> Vec<Check> {
    let least = |metric, share| Check {
        limit: Some(Limit::AtLeast(share)),
        ..check(metric, None, true)
    };
    let watch = |metric| check(metric, None, false);
    vec![
        valid(),
        least("fact_ok", 0.5),
        least("object_recall", 0.5),
        watch("hallucination_rate"),
        watch("chrf_pp"),
        watch("peak_bytes"),
        watch("load_ms"),
    ]
}

fn valid() -> Check {
    Check {
        limit: Some(Limit::AtLeast(VALID_AT_LEAST)),
        ..check("valid", None, true)
    }
}

fn check(metric: &str, margin: Option<Margin>, required: bool) -> Check {
    let lane = rule(metric).and_then(Rule::lane);
    Check {
        metric: metric.to_owned(),
        lane,
        margin,
        limit: None,
        method: None,
        required,
    }
}
