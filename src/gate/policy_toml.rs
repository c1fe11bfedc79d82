//! Reads `gate.toml`: strictly, and with the line of whatever is wrong.

use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::policy::{
    Check, ClusterBy, Collapse, Confidence, Demand, Effort, Exempt, Lane, Limit, MEMORY_FLOOR,
    Margin, Method, Mode, Origin, Policy, PolicyError, ScenesPolicy, SentinelsPolicy, SlicePolicy,
};
use super::rule::{Rule, VALID_AT_LEAST, rule};
use super::sources::{ArchivePolicy, SourcesPolicy};
use super::waiver::Waiver;
use crate::hint::did_you_mean;
use crate::units::{Bytes, Sha256};

/// Scenes of a slice below which it is not worth declaring.
const SLICE_SCENES: usize = 30;

/// What a candidate model must show before it may replace the one in use.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "gate.toml")]
pub(super) struct GateToml {
    /// Version of this form: 1.
    schema_version: u32,
    /// What the verdict is for; it picks the built-in values of every key left out.
    mode: Mode,
    /// On which scenes.
    #[serde(default)]
    scenes: ScenesToml,
    /// Error rates, and by which bounds they are kept.
    #[serde(default)]
    confidence: ConfidenceToml,
    /// How much work a comparison is worth.
    #[serde(default)]
    effort: EffortToml,
    /// Where artifacts may come from.
    #[serde(default)]
    sources: SourcesPolicy,
    /// What an archive may unpack to.
    #[serde(default)]
    archive: ArchivePolicy,
    /// When a scene counts as fallen apart, by its loss of `fact_score`.
    #[serde(default)]
    collapse: CollapseToml,
    /// What is checked; a list here replaces the built-in one.
    check: Option<Vec<CheckToml>>,
    /// Subsets of scenes that may veto and never approve.
    #[serde(default)]
    slice: Vec<SliceToml>,
    /// Scenes that must hold one by one.
    sentinels: Option<SentinelsToml>,
    /// Losses that are accepted for a while.
    #[serde(default)]
    waiver: Vec<WaiverToml>,
    /// Rules of the store on a host: `vv-eval model` reads them, the gate does not.
    #[schemars(with = "Option<serde_json::Value>")]
    #[expect(dead_code, reason = "may stand there, and is another reader's")]
    store: Option<serde::de::IgnoredAny>,
    /// When a release on trial is left: `vv-eval model` reads them, the gate does not.
    #[schemars(with = "Option<serde_json::Value>")]
    #[expect(dead_code, reason = "may stand there, and is another reader's")]
    health: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaiverToml {
    /// Metric id of a required check with a margin.
    check: String,
    /// Name of a declared slice; left out, the waiver is of the check over all scenes and of no
    /// slice.
    slice: Option<String>,
    /// Judged against this: instead of the margin, the same kind and larger; on a slice instead of
    /// twice the margin, and larger than that.
    ceiling: MarginToml,
    /// Last day it holds, `YYYY-MM-DD` in UTC.
    expires: String,
    /// Where the loss is being worked on.
    issue: Option<String>,
    /// Why it is accepted.
    reason: String,
    /// Who accepted it.
    approved_by: String,
}

#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScenesToml {
    /// Name of the set: eval-sets/<set>/<version>.
    set: Option<String>,
    /// Version of the set; the highest where none is named.
    version: Option<String>,
    /// `sha256:` and the digest of the set's scenes.jsonl.
    digest: Option<String>,
    /// `sha256:` and the digest of the lexicon that summaries are read by, extensions included.
    lexicon: Option<String>,
    /// Fewest scenes with a value in both models, at least 60.
    min_scenes: Option<usize>,
    /// What makes scenes dependent; every scene must name it.
    cluster_by: Option<ClusterBy>,
}

#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfidenceToml {
    /// Chance that one required check passes at its margin, in (0, 0.5).
    false_pass: Option<f64>,
    /// Chance that any required check fails an equal model, in (0, 0.5).
    false_fail: Option<f64>,
    /// Chance that any slice vetoes an equal model, in (0, 0.5).
    slice_fail: Option<f64>,
    /// Bounds of scores over scenes; a check may name another.
    method: Option<Method>,
}

#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct EffortToml {
    /// Launches of the latency pass: fresh pairs of processes.
    launches: Option<usize>,
    /// Timed segments of each model in a launch.
    pairs: Option<usize>,
    /// Worker threads of each model.
    threads: Option<usize>,
    /// Limit of new tokens per output.
    max_new_tokens: Option<usize>,
    /// Scenes whose references and outputs both models read, to say how likely they are.
    likelihood_scenes: Option<usize>,
    /// Seconds after which a scene counts as hung.
    scene_timeout_s: Option<u64>,
    /// Most memory a worker may take for itself; as much as there is when left out.
    worker_memory_bytes: Option<u64>,
    /// Most outputs in progress at the same time.
    batch: Option<usize>,
    /// Scenes written again alone, for their times and to see that outputs repeat.
    timed_scenes: Option<usize>,
    /// Runs of the memory pass per model.
    memory_runs: Option<usize>,
    /// Launches after which times are looked at; the last is `launches`.
    looks: Option<Vec<usize>>,
    /// Share of the error rates spent at each look, together at most 1.
    shares: Option<Vec<f64>>,
}

#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct CollapseToml {
    /// Loss from which on a scene collapsed, in (0, 1].
    drop: Option<f64>,
    /// Loss from which on one scene blocks a pass by plug-in statistics.
    severe: Option<f64>,
    /// Share of collapsed scenes regarded as normal, in (0, 0.5).
    normal: Option<f64>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct CheckToml {
    /// Metric id; direction and unit belong to the metric.
    metric: String,
    /// Lane of a time; the metric's own where none is named.
    lane: Option<Lane>,
    /// Largest loss accepted.
    margin: Option<MarginToml>,
    /// Bound of the candidate's own value.
    limit: Option<Limit>,
    /// Bounds of this check; the policy's where none are named.
    method: Option<Method>,
    /// Whether it decides; `false` for a check that is only printed.
    required: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct MarginToml {
    /// In the metric's unit, above 0.
    absolute: Option<f64>,
    /// As a share of the baseline, above 0.
    relative: Option<f64>,
    /// Bytes always accepted; goes with relative, for `peak_bytes` only.
    floor_bytes: Option<u64>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct SliceToml {
    /// Name of the slice, as in the scene set.
    name: String,
    /// Fewest scenes of it; a run with fewer is invalid.
    min_scenes: Option<usize>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct SentinelsToml {
    /// Name of their set: eval-sets/<set>/<version>.
    set: String,
    /// Version of it; the highest where none is named.
    version: Option<String>,
    /// `sha256:` and the digest of the set's scenes.jsonl.
    digest: Option<String>,
    /// What is demanded: every one held, or none lost that the baseline holds.
    demand: Demand,
    /// Sentinels that are let off, each with its reason.
    #[serde(default)]
    exempt: Vec<Exempt>,
}

/// Keys of each table, for the suggestion after an unknown one.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "schema_version",
            "mode",
            "scenes",
            "confidence",
            "effort",
            "collapse",
            "sources",
            "archive",
            "check",
            "slice",
            "sentinels",
            "waiver",
            "store",
            "health",
        ],
    ),
    (
        "scenes",
        &[
            "set",
            "version",
            "digest",
            "lexicon",
            "min_scenes",
            "cluster_by",
        ],
    ),
    (
        "confidence",
        &["false_pass", "false_fail", "slice_fail", "method"],
    ),
    (
        "effort",
        &[
            "launches",
            "pairs",
            "threads",
            "max_new_tokens",
            "likelihood_scenes",
            "scene_timeout_s",
            "worker_memory_bytes",
            "batch",
            "timed_scenes",
            "memory_runs",
            "looks",
            "shares",
        ],
    ),
    ("collapse", &["drop", "severe", "normal"]),
    ("sources", SourcesPolicy::KEYS),
    ("archive", ArchivePolicy::KEYS),
    (
        "check",
        &["metric", "lane", "margin", "limit", "method", "required"],
    ),
    ("check.margin", &["absolute", "relative", "floor_bytes"]),
    ("check.limit", &["at_least", "at_most"]),
    ("slice", &["name", "min_scenes"]),
    (
        "sentinels",
        &["set", "version", "digest", "demand", "exempt"],
    ),
    ("sentinels.exempt", &["scene", "reason"]),
    ("waiver", Waiver::KEYS),
    ("waiver.ceiling", &["absolute", "relative", "floor_bytes"]),
];

impl Policy {
    /// Reads the text of a `gate.toml`.
    ///
    /// * `file`: the name under which the text was found, for messages and [`Origin`]
    ///
    /// Keys left out keep the built-in value; a `[[check]]` list replaces the built-in list.
    ///
    /// # Errors
    /// [`PolicyError`] with file, line and key: bad syntax, an unknown key (with a suggestion), a
    /// wrong type, or anything [`Policy::check`] refuses.
    pub fn parse(text: &str, file: &str) -> Result<Self, PolicyError> {
        Self::parse_as(text, file, None)
    }

    /// The same for another mode than the file's: what the file leaves out is that mode's.
    ///
    /// # Errors
    /// Those of [`Policy::parse`].
    pub fn parse_as(text: &str, file: &str, mode: Option<Mode>) -> Result<Self, PolicyError> {
        let fault = |key: &str, span: Option<Range<usize>>, problem: String| PolicyError {
            file: file.to_owned(),
            line: span.map(|span| line_of(text, span.start)),
            key: key.to_owned(),
            problem,
        };
        let document = DeTable::parse(text)
            .map_err(|error| fault("syntax", error.span(), error.message().to_owned()))?;
        unknown_key(document.get_ref(), "", "").map_or(Ok(()), |(key, span, problem)| {
            Err(fault(&key, Some(span), problem))
        })?;
        let syntax = toml::Deserializer::parse(text)
            .map_err(|error| fault("syntax", error.span(), error.message().to_owned()))?;
        let read: GateToml = serde_path_to_error::deserialize(syntax).map_err(|error| {
            let key = error.path().to_string();
            let inner = error.into_inner();
            fault(&key, inner.span(), inner.message().to_owned())
        })?;
        let located = |error: PolicyError| {
            let span = locate(document.get_ref(), &error.key);
            fault(&error.key, span, error.problem)
        };
        let read = GateToml {
            mode: mode.unwrap_or(read.mode),
            ..read
        };
        let policy = read.into_policy(file).map_err(located)?;
        policy.check().map_err(located)?;
        Ok(policy)
    }
}

impl GateToml {
    fn into_policy(self, file: &str) -> Result<Policy, PolicyError> {
        let base = Policy::built_in_for(self.mode);
        let checks = self.check.map(|list| {
            list.into_iter()
                .enumerate()
                .map(|(i, check)| check.into_check(i))
                .collect()
        });
        let waivers = self.waiver.into_iter().enumerate();
        let waivers = waivers
            .map(|(i, waiver)| waiver.into_waiver(i))
            .collect::<Result<_, _>>()?;
        let scenes = self.scenes;
        let pinned =
            |key: &str, text: Option<String>| text.map(|text| read_digest(key, &text)).transpose();
        let digest = pinned("scenes.digest", scenes.digest)?;
        let lexicon = pinned("scenes.lexicon", scenes.lexicon)?;
        let confidence = self.confidence;
        Ok(Policy {
            schema_version: self.schema_version,
            mode: self.mode,
            scenes: ScenesPolicy {
                // A named set is not also bound to the built-in one's version, and the other way
                // round.
                set: scenes.set.or(base.scenes.set),
                version: scenes.version,
                digest,
                lexicon,
                min_scenes: scenes.min_scenes.unwrap_or(base.scenes.min_scenes),
                cluster_by: scenes.cluster_by,
            },
            confidence: Confidence {
                false_pass: confidence.false_pass.unwrap_or(base.confidence.false_pass),
                false_fail: confidence.false_fail.unwrap_or(base.confidence.false_fail),
                slice_fail: confidence.slice_fail.unwrap_or(base.confidence.slice_fail),
                method: confidence.method.unwrap_or(base.confidence.method),
            },
            effort: self.effort.over(base.effort),
            collapse: Collapse {
                drop: self.collapse.drop.unwrap_or(base.collapse.drop),
                severe: self.collapse.severe.unwrap_or(base.collapse.severe),
                normal: self.collapse.normal.unwrap_or(base.collapse.normal),
            },
            waivers,
            sources: self.sources,
            archive: self.archive,
            checks: checks.transpose()?.unwrap_or(base.checks),
            slices: self.slice.into_iter().map(SliceToml::into_slice).collect(),
            sentinels: self
                .sentinels
                .map(SentinelsToml::into_sentinels)
                .transpose()?,
            origin: Origin::File(file.to_owned()),
        })
    }
}

impl EffortToml {
    fn over(self, base: Effort) -> Effort {
        // Looks of the built-in plan end at its own number of launches.
        let keeps_looks = self
            .launches
            .is_none_or(|launches| launches == base.launches);
        let (looks, shares) = if keeps_looks {
            (base.looks, base.shares)
        } else {
            (Vec::new(), Vec::new())
        };
        Effort {
            launches: self.launches.unwrap_or(base.launches),
            pairs: self.pairs.unwrap_or(base.pairs),
            threads: self.threads.unwrap_or(base.threads),
            max_new_tokens: self.max_new_tokens.unwrap_or(base.max_new_tokens),
            likelihood_scenes: self.likelihood_scenes.unwrap_or(base.likelihood_scenes),
            scene_timeout_s: self.scene_timeout_s.unwrap_or(base.scene_timeout_s),
            worker_memory_bytes: self
                .worker_memory_bytes
                .map(Bytes)
                .or(base.worker_memory_bytes),
            batch: self.batch.unwrap_or(base.batch),
            timed_scenes: self.timed_scenes.unwrap_or(base.timed_scenes),
            memory_runs: self.memory_runs.unwrap_or(base.memory_runs),
            looks: self.looks.unwrap_or(looks),
            shares: self.shares.unwrap_or(shares),
        }
    }
}

impl CheckToml {
    fn into_check(self, i: usize) -> Result<Check, PolicyError> {
        let rule = rule(&self.metric);
        let margin = self
            .margin
            .map(|margin| margin.into_margin(rule))
            .transpose();
        let margin = margin.map_err(|problem| refusal(&format!("check[{i}].margin"), problem))?;
        let usual = (rule == Some(Rule::ValidRate)).then_some(Limit::AtLeast(VALID_AT_LEAST));
        Ok(Check {
            lane: self.lane.or(rule.and_then(Rule::lane)),
            metric: self.metric,
            margin,
            limit: self.limit.or(usual),
            method: self.method,
            required: self.required.unwrap_or(true),
        })
    }
}

impl SliceToml {
    fn into_slice(self) -> SlicePolicy {
        SlicePolicy {
            name: self.name,
            min_scenes: self.min_scenes.unwrap_or(SLICE_SCENES),
        }
    }
}

impl SentinelsToml {
    fn into_sentinels(self) -> Result<SentinelsPolicy, PolicyError> {
        let digest = self
            .digest
            .map(|text| read_digest("sentinels.digest", &text))
            .transpose()?;
        Ok(SentinelsPolicy {
            set: self.set,
            version: self.version,
            digest,
            demand: self.demand,
            exempt: self.exempt,
        })
    }
}

impl WaiverToml {
    fn into_waiver(self, i: usize) -> Result<Waiver, PolicyError> {
        let ceiling = self.ceiling.into_margin(rule(&self.check));
        Ok(Waiver {
            ceiling: ceiling.map_err(|why| refusal(&format!("waiver[{i}].ceiling"), why))?,
            check: self.check,
            slice: self.slice,
            expires: self.expires,
            issue: self.issue,
            reason: self.reason,
            approved_by: self.approved_by,
        })
    }
}

impl MarginToml {
    fn into_margin(self, rule: Option<Rule>) -> Result<Margin, &'static str> {
        match (self.absolute, self.relative, self.floor_bytes) {
            (Some(share), None, None) => Ok(Margin::Absolute(share)),
            (None, Some(relative), None) if rule == Some(Rule::Peak) => Ok(Margin::Memory {
                relative,
                floor_bytes: MEMORY_FLOOR,
            }),
            (None, Some(share), None) => Ok(Margin::Relative(share)),
            (None, Some(relative), Some(floor)) => Ok(Margin::Memory {
                relative,
                floor_bytes: Bytes(floor),
            }),
            (Some(_), Some(_), _) => Err("is either absolute or relative, not both"),
            (Some(_), None, Some(_)) => Err("floor_bytes goes with relative only"),
            (None, None, _) => Err("needs absolute or relative"),
        }
    }
}

fn read_digest(key: &str, text: &str) -> Result<Sha256, PolicyError> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits
        .parse()
        .map_err(|error| refusal(key, format!("{error}").as_str()))
}

fn refusal(key: &str, problem: &str) -> PolicyError {
    let (file, key, problem) = (String::new(), key.to_owned(), problem.to_owned());
    PolicyError {
        file,
        line: None,
        key,
        problem,
    }
}

/// The first key that no table of [`KEYS`] knows: its path, place and a sentence.
///
/// * `table`: name of the table in [`KEYS`]; `path`: the same with list positions
fn unknown_key(
    found: &DeTable<'_>,
    table: &str,
    path: &str,
) -> Option<(String, Range<usize>, String)> {
    let (_, known) = KEYS.iter().find(|(name, _)| *name == table)?;
    let join = |prefix: &str, key: &str| {
        if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}.{key}")
        }
    };
    for (key, value) in found {
        let name = key.get_ref().as_ref();
        let here = join(path, name);
        if !known.contains(&name) {
            let problem = match did_you_mean(name, known.iter().copied()) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            return Some((here, key.span(), problem));
        }
        let inner = join(table, name);
        let nested = match value.get_ref() {
            DeValue::Table(child) => unknown_key(child, &inner, &here),
            DeValue::Array(list) => list.iter().enumerate().find_map(|(i, item)| {
                let child = item.get_ref().as_table()?;
                unknown_key(child, &inner, &format!("{here}[{i}]"))
            }),
            _ => None,
        };
        if nested.is_some() {
            return nested;
        }
    }
    None
}

/// Place of the key at a dotted path, or of the nearest table above it.
pub(super) fn locate(document: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut table = document;
    let mut place = None;
    for part in path.split('.') {
        let (name, position) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, value)) = table.get_key_value(name) else {
            break;
        };
        let item = match (value.get_ref(), position) {
            (DeValue::Array(list), Some(i)) => list.get(i)?,
            _ => value,
        };
        place = Some(if position.is_some() {
            item.span()
        } else {
            key.span()
        });
        let Some(child) = item.get_ref().as_table() else {
            break;
        };
        table = child;
    }
    place
}

/// Line of a byte offset, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.split(|byte| *byte == b'\n').count()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
