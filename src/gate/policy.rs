//! What is demanded of a candidate: checks, margins, error rates, effort.
//!
//! A policy comes from `gate.toml` ([`Policy::parse`]) or is built in ([`Policy::built_in`]). Either
//! way it is checked once, so that a check that could never pass, or could never fail, is refused
//! before anything is run.

use serde::{Deserialize, Serialize};

use super::rule::{Rule, rule};
use super::sources::{ArchivePolicy, SourcesPolicy};
use super::waiver::Waiver;
use crate::hint::{Hint, did_you_mean};
use crate::metric;
use crate::stats::bounded::draws_needed;
use crate::units::{Bytes, Sha256};

/// Version of `gate.toml` and of the policy inside a report.
pub const SCHEMA_VERSION: u32 = 1;

/// Fewest scenes on which quality is ever decided: below it the t bound is not to be trusted.
pub const MIN_SCENES: usize = 60;

/// Fewest launches on which times are ever decided.
pub const MIN_LAUNCHES: usize = 4;

/// Smallest allowance of memory: two huge pages, to which arenas round up.
pub const MEMORY_FLOOR: Bytes = Bytes(4 << 20);

/// The rules one comparison is judged by; field names are the keys of `gate.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What is checked, in the order of the report.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A quick look with plug-in statistics.
    Smoke,
}

/// Which scenes count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenesPolicy {
    /// Name of the set; `None` accepts any.
    pub set: Option<String>,
    /// Version of the set; `None` accepts any.
    pub version: Option<String>,
    /// SHA-256 of the set's `scenes.jsonl`; `None` accepts any.
    pub digest: Option<Sha256>,
    /// Fewest scenes with a value in both roles, at least [`MIN_SCENES`].
    pub min_scenes: usize,
}

/// Error rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// Chance that one required check passes at its margin, in (0, 0.5).
    pub false_pass: f64,
    /// Chance that any required check fails an equal model, in (0, 0.5).
    pub false_fail: f64,
}

/// How much work a comparison is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Seconds after which a scene counts as hung.
    pub scene_timeout_s: u64,
}

/// One thing that is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Metric id.
    pub metric: String,
    /// Lane of a time; `None` where lanes mean nothing.
    pub lane: Option<Lane>,
    /// Largest loss accepted; `None` where the rule has none, or the check is only watched.
    pub margin: Option<Margin>,
    /// Whether it decides; otherwise it is watched: printed, never deciding.
    pub required: bool,
}

/// How token ids were chosen while the clock ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The same token ids in both roles.
    Forced,
    /// Each model's own tokens and stopping.
    Natural,
}

/// Largest loss accepted; always > 0 and finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        let watch = |metric| check(metric, None, false);
        let memory = Margin::Memory {
            relative: 0.02,
            floor_bytes: MEMORY_FLOOR,
        };
        Self {
            schema_version: SCHEMA_VERSION,
            mode: Mode::Smoke,
            scenes: ScenesPolicy {
                set: Some("cenas-pt".to_owned()),
                version: None,
                digest: None,
                min_scenes: MIN_SCENES,
            },
            confidence: Confidence {
                false_pass: 0.05,
                false_fail: 0.01,
            },
            effort: Effort {
                launches: 10,
                pairs: 20,
                threads: 1,
                max_new_tokens: 160,
                scene_timeout_s: 300,
            },
            checks: vec![
                check("fact_ok", Some(Margin::Absolute(0.10)), true),
                check("hallucination_rate", Some(Margin::Absolute(0.05)), true),
                check("object_recall", Some(Margin::Absolute(0.05)), true),
                check("collapse_rate", Some(Margin::Absolute(0.05)), true),
                check("valid", None, true),
                check("chrf_pp", Some(Margin::Absolute(0.05)), true),
                check("output_tokens", Some(Margin::Relative(0.10)), true),
                check("cpu_ms_per_token", Some(Margin::Relative(0.10)), true),
                check("wall_ms_per_token", Some(Margin::Relative(0.15)), true),
                check("peak_bytes", Some(memory), true),
                watch("object_precision"),
                watch("ttft_ms"),
                watch("prefill_cpu_ms_per_token"),
                watch("load_ms"),
            ],
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
        let shares = |check: &&Check| {
            check.required && rule(&check.metric).is_some_and(Rule::is_statistical)
        };
        self.checks.iter().filter(shares).count()
    }

    /// Refuses a policy that contradicts itself or could never be met.
    ///
    /// # Errors
    /// [`PolicyError`] with the key and no file or line; [`Policy::parse`] adds those.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.schema_version != SCHEMA_VERSION {
            let found = self.schema_version;
            let problem = format!("version {found} is not known, this program reads 1");
            return Err(refuse("schema_version", problem));
        }
        for (key, rate) in [
            ("confidence.false_pass", self.confidence.false_pass),
            ("confidence.false_fail", self.confidence.false_fail),
        ] {
            if !(rate > 0.0 && rate < 0.5) {
                return Err(refuse(key, format!("{rate} is not between 0 and 0.5")));
            }
        }
        if let Some((key, problem)) = self.sources.problem() {
            return Err(refuse(&format!("sources.{key}"), problem));
        }
        if let Some((key, problem)) = self.archive.problem() {
            return Err(refuse(&format!("archive.{key}"), problem));
        }
        self.check_effort()?;
        if self.checks.is_empty() {
            return Err(refuse(
                "check",
                "the list is empty; leave it out for the built-in checks",
            ));
        }
        for (i, check) in self.checks.iter().enumerate() {
            self.check_one(i, check)?;
        }
        if !self.checks.iter().any(|check| check.required) {
            return Err(refuse(
                "check",
                "no check is required, so nothing could fail",
            ));
        }
        self.check_waivers()
    }

    fn check_effort(&self) -> Result<(), PolicyError> {
        if self.scenes.min_scenes < MIN_SCENES {
            let problem = format!("fewer than {MIN_SCENES} scenes never decide quality");
            return Err(refuse("scenes.min_scenes", problem));
        }
        let effort = &self.effort;
        let seconds = usize::try_from(effort.scene_timeout_s).unwrap_or(usize::MAX);
        for (key, value) in [
            ("effort.pairs", effort.pairs),
            ("effort.threads", effort.threads),
            ("effort.max_new_tokens", effort.max_new_tokens),
            ("effort.scene_timeout_s", seconds),
        ] {
            if value == 0 {
                return Err(refuse(key, "must be at least 1"));
            }
        }
        let times = |check: &Check| matches!(rule(&check.metric), Some(Rule::Launches(_)));
        let decides_times = self
            .checks
            .iter()
            .any(|check| check.required && times(check));
        if decides_times && effort.launches < MIN_LAUNCHES {
            let problem = format!("fewer than {MIN_LAUNCHES} launches never decide a time");
            return Err(refuse("effort.launches", problem));
        }
        Ok(())
    }

    fn check_one(&self, i: usize, check: &Check) -> Result<(), PolicyError> {
        let refuse = |key: &str, problem: String| refuse(&format!("check[{i}].{key}"), problem);
        let id = &check.metric;
        let Some(rule) = rule(id) else {
            let known = metric::METRICS.iter().map(|metric| metric.id);
            let advice = did_you_mean(id, known)
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(refuse("metric", format!("`{id}` is not a metric{advice}")));
        };
        if self.checks[..i].iter().any(|earlier| earlier.metric == *id) {
            return Err(refuse("metric", format!("`{id}` is checked twice")));
        }
        if check.required && !rule.decides() {
            let problem = format!("`{id}` has no decision rule, it can only be watched");
            return Err(refuse("required", problem));
        }
        if let Some(lane) = check.lane.filter(|lane| rule.lane() != Some(*lane)) {
            let problem = format!("`{id}` is not measured on the {} lane", lane.name());
            return Err(refuse("lane", problem));
        }
        self.check_margin(check, rule)
            .map_err(|problem| refuse("margin", problem))
    }

    fn check_margin(&self, check: &Check, rule: Rule) -> Result<(), String> {
        let id = &check.metric;
        let wanted = match rule {
            Rule::SceneMean | Rule::Tripwire | Rule::Collapse => "{ absolute = … }",
            Rule::Launches(_) | Rule::SceneRatio => "{ relative = … }",
            Rule::Peak => "{ relative = …, floor_bytes = … }",
            _ if check.margin.is_some() => return Err(format!("`{id}` takes no margin")),
            _ => return Ok(()),
        };
        let share = match (rule, check.margin) {
            (_, None) if !check.required => return Ok(()),
            (Rule::SceneMean | Rule::Tripwire | Rule::Collapse, Some(Margin::Absolute(share)))
            | (Rule::Launches(_) | Rule::SceneRatio, Some(Margin::Relative(share)))
            | (
                Rule::Peak,
                Some(Margin::Memory {
                    relative: share, ..
                }),
            ) => share,
            (_, None) => return Err(format!("is missing; `{id}` takes {wanted}")),
            (_, Some(_)) => return Err(format!("`{id}` takes {wanted}")),
        };
        if !share.is_finite() || share <= 0.0 {
            return Err(format!("{share} is not a finite number above 0"));
        }
        match rule {
            Rule::SceneMean | Rule::Collapse => self.check_reachable(share)?,
            Rule::Tripwire if share >= 1.0 => return Err(any_loss(share)),
            _ => {}
        }
        Ok(())
    }

    /// A candidate that never loses a scene must be able to pass.
    fn check_reachable(&self, margin: f64) -> Result<(), String> {
        if margin >= 1.0 {
            return Err(any_loss(margin));
        }
        let needed = draws_needed(margin, self.confidence.false_pass);
        if self.scenes.min_scenes < needed {
            return Err(format!(
                "{margin} needs scenes.min_scenes of at least {needed}: with fewer, even a \
                 candidate that never loses could not be shown to stay within it"
            ));
        }
        Ok(())
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

fn any_loss(margin: f64) -> String {
    format!("{margin} accepts any loss, scores lie between 0 and 1")
}

fn check(metric: &str, margin: Option<Margin>, required: bool) -> Check {
    let lane = rule(metric).and_then(Rule::lane);
    Check {
        metric: metric.to_owned(),
        lane,
        margin,
        required,
    }
}

fn refuse(key: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError {
        file: String::new(),
        line: None,
        key: key.to_owned(),
        problem: problem.into(),
    }
}
