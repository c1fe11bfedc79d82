//! Earlier runs and how the candidates' values moved over them.
//!
//! In: one [`Entry`] per report. Out: text, JSON, or a page with a plot for each metric. Nothing
//! here judges: values of different machines or scene sets stand beside each other as they are.

mod page;
mod terminal;

use serde::Serialize;

use super::plot::trend::Point;
use super::wording::Lang;
use crate::gate::Outcome;
use crate::gate::file::ReportFile;
use crate::stats::changepoint::{self, MIN_VALUES};
use crate::stats::rng::Seed;
use crate::units::Sha256;

pub use page::render as html;
pub use terminal::render as terminal;

/// Version of the JSON form.
pub const SCHEMA_VERSION: u32 = 1;
/// Chance of a change of level being marked where there is none.
const ALPHA: f64 = 0.01;
const PERMUTATIONS: usize = 999;

/// One run, as the list and the plots need it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Folder of the report, as it was found.
    pub folder: String,
    /// RFC 3339 UTC, when the run began; absent when nothing had to be run.
    pub started_at: Option<String>,
    /// `pass`, `fail`, `inconclusive` or `invalid`.
    pub outcome: &'static str,
    /// Whether the verdict may be acted on.
    pub counts: bool,
    /// Name and version of the baseline, or its digest.
    pub baseline: String,
    /// Name and version of the candidate, or its digest.
    pub candidate: String,
    /// `name@version` of the scenes; absent when nothing had to be run.
    pub scenes: Option<String>,
    /// The machine; absent when nothing had to be run.
    pub cpu: Option<String>,
    /// Values of the candidate in the order of the policy.
    pub values: Vec<Value>,
    #[serde(skip)]
    verdict: Outcome,
}

/// A candidate's value in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Value {
    /// Metric id.
    pub metric: String,
    /// Unit of the value.
    pub unit: String,
    /// The value.
    pub candidate: f64,
    /// Its change against the baseline of the run, on the scale of the check.
    pub change: Option<f64>,
}

/// The runs, the earliest first.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// One entry per report.
    pub entries: Vec<Entry>,
    /// What was found and could not be read, with the reason.
    pub unreadable: Vec<String>,
}

/// The values of one metric over the runs that have it.
pub(super) struct Trend<'a> {
    pub(super) metric: &'a str,
    pub(super) unit: &'a str,
    pub(super) points: Vec<Point>,
    /// What the first and the last of them are called.
    pub(super) ends: [&'a str; 2],
    /// When the runs began before which the level changes.
    pub(super) changes: Vec<&'a str>,
}

impl Trend<'_> {
    /// Last, lowest and highest value; a trend has at least one.
    fn figures(&self) -> [f64; 3] {
        let values = self.points.iter().map(|point| point.value);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let last = self.points.last().map_or(low, |point| point.value);
        [last, low, high]
    }

    /// Where the level changes: `the level changes before the run of 2026-01-13`.
    fn changes(&self, lang: Lang) -> Option<String> {
        let words = &lang.words().history;
        let days = self.changes.join(", ");
        (!self.changes.is_empty()).then(|| format!("{} {days}", words.change))
    }
}

impl Entry {
    /// The entry of a report found in `folder`.
    pub fn of(folder: &str, file: &ReportFile) -> Self {
        let model = |model: &crate::record::ModelIdentity| match &model.version {
            Some(version) => format!("{} {version}", model.name),
            None => format!("{} {}", model.name, model.release_digest.short()),
        };
        let record = file.evidence.as_ref().map(|it| &it.candidate_record);
        let scenes = file.scenes.as_ref();
        let verdict = Outcome::from(file.verdict.outcome);
        let checks = file.verdict.checks.iter();
        Self {
            folder: folder.to_owned(),
            started_at: record.map(|record| record.started_at.clone()),
            outcome: verdict.name(),
            counts: file.verdict.counts,
            baseline: model(&file.baseline),
            candidate: model(&file.candidate),
            scenes: scenes.map(|scenes| format!("{}@{}", scenes.name, scenes.version)),
            cpu: record.map(|record| record.host.cpu.clone()),
            values: checks
                .filter_map(|check| {
                    Some(Value {
                        metric: check.metric.clone(),
                        unit: check.unit.clone(),
                        candidate: check.candidate?,
                        change: check.change,
                    })
                })
                .collect(),
            verdict,
        }
    }

    /// The time for a list, or the folder's name where nothing had to be run.
    fn when(&self) -> &str {
        self.started_at.as_deref().unwrap_or(&self.folder)
    }
}

impl History {
    /// Puts the entries in the order of time, those without one by their folder's name.
    pub fn new(mut entries: Vec<Entry>, unreadable: Vec<String>) -> Self {
        let name = |entry: &Entry| {
            let name = entry.folder.rsplit('/').next().unwrap_or_default();
            // Folders are named by a time without its marks, which sorts as the time does.
            let digits: String = entry
                .started_at
                .as_deref()
                .unwrap_or(name)
                .chars()
                .filter(|c| !matches!(c, '-' | ':'))
                .collect();
            (digits, entry.folder.clone())
        };
        entries.sort_by_cached_key(name);
        Self {
            entries,
            unreadable,
        }
    }

    /// The history as one JSON object.
    ///
    /// # Panics
    /// Never: it is plain data.
    pub fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            schema_version: u32,
            runs: &'a [Entry],
            unreadable: &'a [String],
        }
        let document = Document {
            schema_version: SCHEMA_VERSION,
            runs: &self.entries,
            unreadable: &self.unreadable,
        };
        let mut text = serde_json::to_string_pretty(&document).expect("plain data");
        text.push('\n');
        super::escape::json(&text).into_bytes()
    }

    /// The trend of every metric that any run has a value of, in the order of first appearance.
    pub(super) fn trends(&self) -> Vec<Trend<'_>> {
        let mut metrics: Vec<(&str, &str)> = Vec::new();
        for value in self.entries.iter().flat_map(|entry| &entry.values) {
            if !metrics.iter().any(|(known, _)| *known == value.metric) {
                metrics.push((&value.metric, &value.unit));
            }
        }
        let trend = |(metric, unit)| {
            let runs: Vec<(&Entry, f64)> = self
                .entries
                .iter()
                .filter_map(|entry| {
                    let mut values = entry.values.iter();
                    let value = values.find(|value| value.metric == metric)?;
                    Some((entry, value.candidate))
                })
                .collect();
            let values: Vec<f64> = runs.iter().map(|(_, value)| *value).collect();
            let changes = changes(metric, &values);
            let days = changes.iter().map(|i| day(runs[*i].0.when()));
            let days = days.collect();
            let points = runs.iter().enumerate().map(|(i, (entry, value))| Point {
                value: *value,
                outcome: entry.verdict,
                is_change: changes.contains(&i),
            });
            let first = runs.len().saturating_sub(super::plot::trend::MOST_RUNS);
            let ends = [runs.get(first), runs.last()];
            Trend {
                metric,
                unit,
                points: points.collect(),
                ends: ends.map(|run| run.map_or("", |(entry, _)| day(entry.when()))),
                changes: days,
            }
        };
        metrics.into_iter().map(trend).collect()
    }

    /// What the list shows of a run: time, verdict, from, to, scenes, folder.
    fn row(entry: &Entry, lang: Lang) -> [String; 6] {
        let (mark, word) = lang.outcome(entry.verdict);
        let counts = if entry.counts {
            String::new()
        } else {
            format!(" ({})", lang.pick("does not count", "não vale"))
        };
        [
            entry.when().to_owned(),
            format!("{mark} {word}{counts}"),
            entry.baseline.clone(),
            entry.candidate.clone(),
            entry.scenes.clone().unwrap_or_else(|| "–".to_owned()),
            entry.folder.clone(),
        ]
    }
}

/// The date of a time, or as much of a name.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// Runs before which the level changes; none in a short or constant series.
fn changes(metric: &str, values: &[f64]) -> Vec<usize> {
    if values.len() < MIN_VALUES {
        return Vec::new();
    }
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let seed = Seed::of_digest(*Sha256::of(&bytes).as_bytes());
    let seed = seed.derive(&format!("changes of {metric}"));
    let found = changepoint::changes(values, ALPHA, PERMUTATIONS, &seed);
    found.map_or(Vec::new(), |changes| {
        changes.iter().map(|it| it.at).collect()
    })
}

#[cfg(test)]
mod tests;
