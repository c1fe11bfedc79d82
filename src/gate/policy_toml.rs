//! Reads `gate.toml`: strictly, and with the line of whatever is wrong.

use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::policy::{Check, Confidence, Effort, Lane, MEMORY_FLOOR, Margin, Mode};
use super::policy::{Origin, Policy, PolicyError, ScenesPolicy};
use super::rule::{Rule, rule};
use super::sources::{ArchivePolicy, SourcesPolicy};
use super::waiver::Waiver;
use crate::hint::did_you_mean;
use crate::units::{Bytes, Sha256};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateToml {
    schema_version: u32,
    mode: Mode,
    #[serde(default)]
    scenes: ScenesToml,
    #[serde(default)]
    confidence: ConfidenceToml,
    #[serde(default)]
    effort: EffortToml,
    #[serde(default)]
    sources: SourcesPolicy,
    #[serde(default)]
    archive: ArchivePolicy,
    check: Option<Vec<CheckToml>>,
    #[serde(default)]
    waiver: Vec<WaiverToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiverToml {
    check: String,
    ceiling: MarginToml,
    expires: String,
    issue: Option<String>,
    reason: String,
    approved_by: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenesToml {
    set: Option<String>,
    version: Option<String>,
    digest: Option<String>,
    min_scenes: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfidenceToml {
    false_pass: Option<f64>,
    false_fail: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EffortToml {
    launches: Option<usize>,
    pairs: Option<usize>,
    threads: Option<usize>,
    max_new_tokens: Option<usize>,
    scene_timeout_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckToml {
    metric: String,
    lane: Option<Lane>,
    margin: Option<MarginToml>,
    required: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarginToml {
    absolute: Option<f64>,
    relative: Option<f64>,
    floor_bytes: Option<u64>,
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
            "sources",
            "archive",
            "check",
            "waiver",
        ],
    ),
    ("scenes", &["set", "version", "digest", "min_scenes"]),
    ("confidence", &["false_pass", "false_fail"]),
    (
        "effort",
        &[
            "launches",
            "pairs",
            "threads",
            "max_new_tokens",
            "scene_timeout_s",
        ],
    ),
    ("sources", SourcesPolicy::KEYS),
    ("archive", ArchivePolicy::KEYS),
    ("check", &["metric", "lane", "margin", "required"]),
    ("check.margin", &["absolute", "relative", "floor_bytes"]),
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
        let policy = read.into_policy(file).map_err(located)?;
        policy.check().map_err(located)?;
        Ok(policy)
    }
}

impl GateToml {
    fn into_policy(self, file: &str) -> Result<Policy, PolicyError> {
        let base = Policy::built_in();
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
        let digest = self
            .scenes
            .digest
            .map(|text| read_digest(&text))
            .transpose()?;
        // A named set is not also bound to the built-in one's version, and the other way round.
        let set = self.scenes.set.or(base.scenes.set);
        Ok(Policy {
            schema_version: self.schema_version,
            mode: self.mode,
            scenes: ScenesPolicy {
                set,
                version: self.scenes.version,
                digest,
                min_scenes: self.scenes.min_scenes.unwrap_or(base.scenes.min_scenes),
            },
            confidence: Confidence {
                false_pass: self
                    .confidence
                    .false_pass
                    .unwrap_or(base.confidence.false_pass),
                false_fail: self
                    .confidence
                    .false_fail
                    .unwrap_or(base.confidence.false_fail),
            },
            effort: self.effort.over(base.effort),
            waivers,
            sources: self.sources,
            archive: self.archive,
            checks: checks.transpose()?.unwrap_or(base.checks),
            origin: Origin::File(file.to_owned()),
        })
    }
}

impl EffortToml {
    fn over(self, base: Effort) -> Effort {
        Effort {
            launches: self.launches.unwrap_or(base.launches),
            pairs: self.pairs.unwrap_or(base.pairs),
            threads: self.threads.unwrap_or(base.threads),
            max_new_tokens: self.max_new_tokens.unwrap_or(base.max_new_tokens),
            scene_timeout_s: self.scene_timeout_s.unwrap_or(base.scene_timeout_s),
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
        Ok(Check {
            lane: self.lane.or(rule.and_then(Rule::lane)),
            metric: self.metric,
            margin,
            required: self.required.unwrap_or(true),
        })
    }
}

impl WaiverToml {
    fn into_waiver(self, i: usize) -> Result<Waiver, PolicyError> {
        let ceiling = self.ceiling.into_margin(rule(&self.check));
        Ok(Waiver {
            ceiling: ceiling.map_err(|why| refusal(&format!("waiver[{i}].ceiling"), why))?,
            check: self.check,
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

fn read_digest(text: &str) -> Result<Sha256, PolicyError> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits
        .parse()
        .map_err(|error| refusal("scenes.digest", format!("{error}").as_str()))
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
fn locate(document: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
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
fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.split(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "schema_version = 1\nmode = \"smoke\"\n";

    #[test]
    fn waivers_are_read_whole_or_refused() {
        let waiver = |edit: &dyn Fn(String) -> String| {
            let text = "[[waiver]]\ncheck = \"peak_bytes\"\nceiling = { relative = 0.06 }\n\
                expires = \"2027-01-31\"\nreason = \"wider vocabulary\"\napproved_by = \"ana\"\n";
            Policy::parse(&format!("{HEAD}{}", edit(text.to_owned())), "gate.toml")
        };
        let policy = waiver(&|text| text).expect("good");
        assert_eq!(policy.waivers.len(), 1);
        assert!(policy.check_expiry("2027-01-31").is_ok());
        let error = policy.check_expiry("2027-02-01").expect_err("expired");
        assert!(
            error.to_string().contains("expired on 2027-01-31"),
            "{error}"
        );
        assert_ne!(policy.digest(), Policy::built_in().digest());
        for (from, to, key) in [
            ("peak_bytes", "peak_byte", "waiver[0].check"),
            ("peak_bytes", "valid", "waiver[0].check"),
            ("peak_bytes", "ttft_ms", "waiver[0].check"),
            ("0.06", "0.02", "waiver[0].ceiling"),
            ("0.06", "inf", "waiver[0].ceiling"),
            ("relative", "absolute", "waiver[0].ceiling"),
            ("0.06", "0.06, floor_bytes = 1", "waiver[0].ceiling"),
            ("2027-01-31", "31.01.2027", "waiver[0].expires"),
            ("2027-01-31", "2027-13-01", "waiver[0].expires"),
            ("wider vocabulary", " ", "waiver[0].reason"),
            ("\"ana\"", "\"\"", "waiver[0].approved_by"),
            ("reason", "reasons", "waiver[0].reasons"),
        ] {
            let error = waiver(&|text| text.replace(from, to)).expect_err(to);
            assert_eq!(error.key, key, "{error}");
            assert!(error.line.is_some(), "{error}");
        }
        assert!(
            waiver(&|text| text.clone() + &text).is_err(),
            "the same check twice"
        );
        assert!(
            waiver(&|text| text.replace("approved_by", "# ")).is_err(),
            "nobody approved it"
        );
    }

    #[test]
    fn sources_and_archives_are_bounded_by_the_policy() {
        let text = "[sources]\nallow_hosts = [\"models.acme.dev\"]\nmax_artifact_bytes = 1000\n\
            [archive]\nmax_ratio = 10\n";
        let policy = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").expect("good");
        assert_eq!(policy.sources.allow_hosts, ["models.acme.dev"]);
        assert_eq!(policy.sources.max_artifact_bytes, Bytes(1000));
        assert_eq!(policy.archive.max_ratio, 10);
        assert_eq!(policy.archive.max_entries, 4096);
        assert_ne!(policy.digest(), Policy::built_in().digest());
        let plain = Policy::parse(HEAD, "gate.toml").expect("good");
        assert!(plain.sources.is_default() && plain.archive.is_default());
        for (text, key) in [
            ("[sources]\nallow_host = []\n", "sources.allow_host"),
            (
                "[sources]\nmax_artifact_bytes = 0\n",
                "sources.max_artifact_bytes",
            ),
            (
                "[sources]\nmax_total_bytes = 1\n",
                "sources.max_total_bytes",
            ),
            ("[archive]\nmax_ratios = 1\n", "archive.max_ratios"),
            ("[archive]\nmax_ratio = 0\n", "archive.max_ratio"),
            ("[archive]\nmax_entries = -1\n", "archive.max_entries"),
        ] {
            let error = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").expect_err(text);
            assert_eq!(error.key, key, "{error}");
            assert!(error.line.is_some(), "{error}");
        }
    }

    #[track_caller]
    fn refused(rest: &str, expected: &str) {
        let error = Policy::parse(&format!("{HEAD}{rest}"), "gate.toml").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    fn one_check(body: &str) -> String {
        format!("[[check]]\n{body}\n")
    }

    #[test]
    fn a_short_file_keeps_the_built_in_rules() {
        let found = Policy::parse(HEAD, "gate.toml").unwrap();
        assert_eq!(found.origin, Origin::File("gate.toml".into()));
        assert_eq!(found.digest(), Policy::built_in().digest());
    }

    #[test]
    fn the_built_in_policy_holds() {
        assert_eq!(Policy::built_in().check(), Ok(()));
        assert_eq!(Policy::built_in().n_statistical(), 6);
    }

    #[test]
    fn a_list_of_checks_replaces_the_built_in_one() {
        let text = "[scenes]\nset = \"x\"\nversion = \"1\"\nmin_scenes = 100\n\
            [effort]\nlaunches = 8\n\
            [[check]]\nmetric = \"object_recall\"\nmargin = { absolute = 0.03 }\n\
            [[check]]\nmetric = \"peak_bytes\"\nmargin = { relative = 0.02 }\n\
            [[check]]\nmetric = \"ttft_ms\"\nrequired = false\n";
        let found = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").unwrap();
        assert_eq!(found.checks.len(), 3);
        assert_eq!(found.effort.launches, 8);
        let memory = Margin::Memory {
            relative: 0.02,
            floor_bytes: MEMORY_FLOOR,
        };
        assert_eq!(found.checks[1].margin, Some(memory));
        assert_eq!(found.checks[2].lane, Some(Lane::Natural));
        assert_ne!(found.digest(), Policy::built_in().digest());
    }

    #[test]
    fn unknown_keys_are_refused_with_a_suggestion() {
        refused(
            "modus = 1\n",
            "gate.toml:3: `modus`: unknown key; did you mean `mode`?",
        );
        refused(
            "[efort]\n",
            "gate.toml:3: `efort`: unknown key; did you mean `effort`?",
        );
        refused(
            "[effort]\nlaunch = 3\n",
            "gate.toml:4: `effort.launch`: unknown key; did you mean `launches`?",
        );
        refused(
            &one_check("metric = \"valid\"\nrequire = true"),
            "gate.toml:5: `check[0].require`: unknown key; did you mean `required`?",
        );
        refused(
            &one_check("metric = \"object_recall\"\nmargin = { absolut = 1 }"),
            "gate.toml:5: `check[0].margin.absolut`: unknown key; did you mean `absolute`?",
        );
        refused(
            "[scenes]\nteam = 1\n",
            "gate.toml:4: `scenes.team`: unknown key; known here: set, version, digest, min_scenes",
        );
    }

    #[test]
    fn wrong_types_and_modes_name_key_and_line() {
        refused(
            "[effort]\nlaunches = \"six\"\n",
            "gate.toml:4: `effort.launches`: invalid type: string \"six\", expected usize",
        );
        let error = Policy::parse("schema_version = 1\nmode = \"fast\"\n", "g").unwrap_err();
        assert_eq!(
            error.to_string(),
            "g:2: `mode`: unknown variant `fast`, expected `smoke`"
        );
        let error = Policy::parse("mode = \"smoke\"\n", "g").unwrap_err();
        assert!(
            error.to_string().contains("missing field `schema_version`"),
            "{error}"
        );
        let error = Policy::parse("schema_version = 2\nmode = \"smoke\"\n", "g").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("g:1: `schema_version`: version 2"),
            "{error}"
        );
        let error = Policy::parse("a = = 1", "g").unwrap_err();
        assert!(error.to_string().starts_with("g:1: `syntax`: "), "{error}");
    }

    #[test]
    fn an_unknown_metric_is_refused_with_a_suggestion() {
        refused(
            &one_check("metric = \"object_recal\"\nmargin = { absolute = 0.05 }"),
            "gate.toml:4: `check[0].metric`: `object_recal` is not a metric; did you mean \
             `object_recall`?",
        );
    }

    #[test]
    fn margins_must_be_positive_and_finite() {
        for bad in ["0", "0.0", "-0.0", "-0.05", "nan", "inf", "-inf"] {
            let body = format!("metric = \"cpu_ms_per_token\"\nmargin = {{ relative = {bad} }}");
            let error = Policy::parse(&format!("{HEAD}{}", one_check(&body)), "g").unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("g:5: `check[0].margin`: "), "{message}");
            assert!(
                message.ends_with("is not a finite number above 0"),
                "{message}"
            );
        }
    }

    #[test]
    fn margins_must_suit_the_metric() {
        let check = |body: &str, problem: &str| {
            let error = Policy::parse(&format!("{HEAD}{}", one_check(body)), "g").unwrap_err();
            assert_eq!(
                (error.key.as_str(), error.problem.as_str()),
                ("check[0].margin", problem)
            );
        };
        check(
            "metric = \"object_recall\"",
            "is missing; `object_recall` takes { absolute = … }",
        );
        check(
            "metric = \"object_recall\"\nmargin = { relative = 0.1 }",
            "`object_recall` takes { absolute = … }",
        );
        check(
            "metric = \"cpu_ms_per_token\"\nmargin = { absolute = 0.1 }",
            "`cpu_ms_per_token` takes { relative = … }",
        );
        check(
            "metric = \"valid\"\nmargin = { absolute = 0.1 }",
            "`valid` takes no margin",
        );
        check(
            "metric = \"object_recall\"\nmargin = { absolute = 0.1, relative = 0.1 }",
            "is either absolute or relative, not both",
        );
        check(
            "metric = \"object_recall\"\nmargin = {}",
            "needs absolute or relative",
        );
        check(
            "metric = \"object_recall\"\nmargin = { absolute = 1.5 }",
            "1.5 accepts any loss, scores lie between 0 and 1",
        );
        check(
            "metric = \"object_recall\"\nmargin = { absolute = 0.03 }",
            "0.03 needs scenes.min_scenes of at least 99: with fewer, even a candidate that never \
             loses could not be shown to stay within it",
        );
    }

    #[test]
    fn lists_that_demand_nothing_are_refused() {
        refused(
            "check = []\n",
            "gate.toml:3: `check`: the list is empty; leave it out for the built-in checks",
        );
        refused(
            &one_check("metric = \"chrf_pp\"\nrequired = false"),
            "gate.toml:3: `check`: no check is required, so nothing could fail",
        );
    }

    #[test]
    fn duplicates_and_rules_that_do_not_exist_are_refused() {
        refused(
            &one_check("metric = \"valid\"").repeat(2),
            "gate.toml:6: `check[1].metric`: `valid` is checked twice",
        );
        refused(
            &one_check("metric = \"ttft_ms\""),
            "gate.toml:3: `check[0].required`: `ttft_ms` has no decision rule, it can only be \
             watched",
        );
        refused(
            &one_check("metric = \"ttft_ms\"\nlane = \"forced\"\nrequired = false"),
            "gate.toml:5: `check[0].lane`: `ttft_ms` is not measured on the forced lane",
        );
    }

    #[test]
    fn efforts_and_rates_that_decide_nothing_are_refused() {
        let key = |rest: &str| {
            Policy::parse(&format!("{HEAD}{rest}"), "g")
                .unwrap_err()
                .key
        };
        assert_eq!(key("[scenes]\nmin_scenes = 59\n"), "scenes.min_scenes");
        assert_eq!(key("[scenes]\ndigest = \"abc\"\n"), "scenes.digest");
        assert_eq!(key("[effort]\nlaunches = 3\n"), "effort.launches");
        assert_eq!(key("[effort]\nthreads = 0\n"), "effort.threads");
        assert_eq!(
            key("[confidence]\nfalse_pass = 0\n"),
            "confidence.false_pass"
        );
        assert_eq!(
            key("[confidence]\nfalse_fail = nan\n"),
            "confidence.false_fail"
        );
    }
}
