//! Renders a verdict for people and machines.
//!
//! In: a [`ReportFile`]. Out: bytes. [`Report`] holds formatted strings only, so every format says
//! the same; nothing here decides. Strings may hold untrusted text: each renderer escapes it.

mod certificate;
pub mod costs;
pub mod csv;
pub mod diff;
pub mod escape;
pub mod github;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
mod likelihood;
mod machine;
pub mod markdown;
pub mod plot;
pub mod scores;
mod table;
pub mod terminal;
mod trust;
pub mod unjudged;
pub mod wording;

use std::collections::BTreeMap;

use crate::gate::Outcome;
use crate::gate::file::{EvidenceFile, ReportFile, WorstSceneFile};
use crate::gate::scene_file::{DetectionFile, SceneFile};
use crate::gate::words::signed;
use crate::metric::Better;
use crate::record::ModelIdentity;
use crate::units::Sha256;
use wording::Lang;

/// Characters of a model's text that any human format shows; the canonical report has all.
const MOST_TEXT: usize = 10_000;

/// What every human format shows, in the order it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The language of the texts below.
    pub lang: Lang,
    /// The outcome, for colour and marks.
    pub outcome: Outcome,
    /// From → to and what follows, e.g. `tiny 1.0.0 → 1.1.0 must not be promoted`.
    pub headline: String,
    /// `exit 1`; absent when no command ends with this report.
    pub exit: Option<String>,
    /// Warnings that belong directly below the verdict.
    pub warnings: Vec<String>,
    /// One sentence per failed or undecided check.
    pub why: Vec<String>,
    /// What a failed worker last wrote to stderr.
    pub last_words: Option<String>,
    /// Titles of the table.
    pub columns: [String; 7],
    /// One row per check.
    pub rows: Vec<Row>,
    /// Why numbers of the table are missing.
    pub footnotes: Vec<String>,
    /// How many scenes flipped in each direction; absent when nothing was run.
    pub flips: Option<String>,
    /// Worst scenes, the worst first.
    pub worst: Vec<WorstView>,
    /// Scenes that lost something, in all.
    pub n_scenes_worse: usize,
    /// Titles of the table of slices.
    pub slice_columns: [String; 7],
    /// One row per slice and metric.
    pub slices: Vec<[String; 7]>,
    /// One row per time or memory figure.
    pub costs: Vec<[String; 4]>,
    /// What the verdict rests on.
    pub trust: Vec<String>,
    /// Digests of everything that was tested.
    pub tested: Vec<String>,
    /// The command that measures the same again; absent when nothing was run.
    pub again: Option<String>,
    /// What the bounds claim, then what the outcomes do.
    pub how_to_read: Vec<String>,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Text of each column.
    pub cells: [String; 7],
    /// The outcome, for colour; `None` for a watched check.
    pub outcome: Option<Outcome>,
}

/// A scene on which the candidate lost something.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstView {
    /// Scene id.
    pub scene: String,
    /// Kind of fault, what went wrong, and by how much.
    pub cause: String,
    /// The baseline's text.
    pub baseline_text: String,
    /// The candidate's text.
    pub candidate_text: String,
    /// What was seen in the scene, in one line; absent when the report does not know.
    pub detections: Option<String>,
    /// Summaries a person agreed to.
    pub references: Vec<String>,
}

impl Report {
    /// The view of a saved report in English; see [`Report::in_language`].
    pub fn of(file: &ReportFile, exit_code: Option<u8>) -> Self {
        Self::in_language(file, exit_code, Lang::En)
    }

    /// The view of a saved report.
    ///
    /// * `exit_code`: the code the command will end with, if it ends with this verdict
    pub fn in_language(file: &ReportFile, exit_code: Option<u8>, lang: Lang) -> Self {
        let verdict = &file.verdict;
        let words = lang.words();
        let outcome = Outcome::from(verdict.outcome);
        let alpha = file.policy.confidence.false_pass;
        let names = from_to(&file.baseline, &file.candidate);
        let reasons = verdict.reasons.iter();
        let mut why: Vec<String> = reasons.map(|reason| lang.sentence(reason)).collect();
        if why.is_empty() && outcome == Outcome::Pass {
            why.push(words.all_within.to_owned());
        }
        let not_counting = (!verdict.counts).then(|| words.does_not_count.to_owned());
        let details: BTreeMap<&str, &SceneFile> = file
            .scene_details
            .iter()
            .map(|details| (details.scene.as_str(), details))
            .collect();
        let worst = file.worst_scenes.iter();
        let worst = worst.map(|scene| worst_view(lang, scene, details.get(&*scene.scene).copied()));
        Self {
            lang,
            outcome,
            headline: format!("{names} {}", lang.consequence(outcome)),
            exit: exit_code.map(|code| format!("{} {code}", words.exit)),
            warnings: not_counting
                .into_iter()
                .chain(file.notices.iter().map(|notice| lang.sentence(notice)))
                .collect(),
            why,
            last_words: file.evidence.as_ref().and_then(last_words),
            columns: lang.columns(alpha),
            rows: verdict
                .checks
                .iter()
                .map(|check| table::row(lang, check))
                .collect(),
            footnotes: table::footnotes(lang, &verdict.checks),
            flips: file.evidence.as_ref().map(|evidence| flips(lang, evidence)),
            worst: worst.collect(),
            n_scenes_worse: file.n_scenes_worse,
            slice_columns: lang.slice_columns(alpha),
            slices: file
                .slices
                .iter()
                .map(|slice| table::slice(lang, slice, &verdict.slices))
                .collect(),
            costs: table::costs(lang, &costs::of(file)),
            trust: trust::trust(lang, file),
            tested: trust::tested(lang, file),
            again: trust::again(file),
            how_to_read: lang.how_to_read(alpha),
        }
    }

    /// The view of one scene, whether or not it got worse; `None` when both roles have no text of
    /// it.
    pub fn scene(file: &ReportFile, id: &str, lang: Lang) -> Option<WorstView> {
        let details = file.scene_details.iter().find(|it| it.scene == id);
        if let Some(worst) = file.worst_scenes.iter().find(|it| it.scene == id) {
            return Some(worst_view(lang, worst, details));
        }
        let evidence = file.evidence.as_ref()?;
        let text = |role: usize| {
            let record = [&evidence.baseline_record, &evidence.candidate_record][role];
            let outputs = record.outputs.iter();
            let mut texts = outputs.filter(|output| output.scene == id);
            texts.next().map(|output| output.text.clone())
        };
        let notes = |role: usize| {
            let scores = [&evidence.baseline_scores, &evidence.candidate_scores][role].iter();
            let mut notes = scores.filter(|scores| scores.scene == id);
            notes
                .next()
                .map(|scores| scores.notes.clone())
                .unwrap_or_default()
        };
        let [baseline_text, candidate_text] = [0, 1].map(text);
        if baseline_text.is_none() && candidate_text.is_none() {
            return None;
        }
        let scene = WorstSceneFile {
            scene: id.to_owned(),
            changes: BTreeMap::new(),
            baseline_notes: notes(0),
            candidate_notes: notes(1),
            baseline_text,
            candidate_text,
        };
        Some(worst_view(lang, &scene, details))
    }
}

/// `tiny 1.0.0 → 1.1.0`, or digests where labels do not tell the models apart.
fn from_to(baseline: &ModelIdentity, candidate: &ModelIdentity) -> String {
    let label = |model: &ModelIdentity| match &model.version {
        Some(version) => version.clone(),
        None => model.release_digest.short(),
    };
    let (from, to) = (label(baseline), label(candidate));
    let same_name = baseline.name == candidate.name;
    if same_name && (from != to || baseline.release_digest == candidate.release_digest) {
        format!("{} {from} → {to}", baseline.name)
    } else if same_name {
        let (from, to) = (
            baseline.release_digest.short(),
            candidate.release_digest.short(),
        );
        format!("{} {from} → {to}", baseline.name)
    } else {
        format!("{} {from} → {} {to}", baseline.name, candidate.name)
    }
}

/// Scenes that flipped by `fact_ok`, in both directions.
fn flips(lang: Lang, evidence: &EvidenceFile) -> String {
    const METRIC: &str = "fact_ok";
    let baseline: BTreeMap<&str, Option<f64>> = evidence
        .baseline_scores
        .iter()
        .map(|scores| {
            (
                scores.scene.as_str(),
                scores.metrics.get(METRIC).copied().flatten(),
            )
        })
        .collect();
    let changes: Vec<f64> = evidence
        .candidate_scores
        .iter()
        .filter_map(|scores| {
            let candidate = scores.metrics.get(METRIC).copied().flatten()?;
            let baseline = baseline.get(scores.scene.as_str()).copied().flatten()?;
            Some(candidate - baseline)
        })
        .collect();
    let n_lost = changes.iter().filter(|change| **change < 0.0).count();
    let n_won = changes.iter().filter(|change| **change > 0.0).count();
    lang.flips(METRIC, n_lost, n_won)
}

fn worst_view(lang: Lang, scene: &WorstSceneFile, details: Option<&SceneFile>) -> WorstView {
    // The same error may be made twice in one text, and is told once.
    let mut new: Vec<&String> = Vec::new();
    for note in &scene.candidate_notes {
        if !scene.baseline_notes.contains(note) && !new.contains(&note) {
            new.push(note);
        }
    }
    let losses = scene.changes.iter().filter(|(metric, change)| {
        match crate::metric::find(metric).map(|row| row.better) {
            Some(Better::Higher) => **change < 0.0,
            Some(Better::Lower) => **change > 0.0,
            Some(Better::Neither) | None => false,
        }
    });
    let losses = losses.map(|(metric, change)| {
        let change = lang.number(&signed(*change, 1));
        format!("{metric} {change} pt")
    });
    let mut kinds: Vec<&str> = Vec::new();
    for kind in new.iter().filter_map(|note| lang.cause(note)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let kinds = (!kinds.is_empty()).then(|| kinds.join(", "));
    let notes = new.iter().map(|note| lang.sentence(note));
    let no_text = lang.words().no_text;
    let text = |text: &Option<String>| lang.cut(text.as_deref().unwrap_or(no_text), MOST_TEXT);
    WorstView {
        scene: scene.scene.clone(),
        cause: kinds
            .into_iter()
            .chain(notes)
            .chain(losses)
            .collect::<Vec<_>>()
            .join(" · "),
        baseline_text: text(&scene.baseline_text),
        candidate_text: text(&scene.candidate_text),
        detections: details.map(|details| detections(lang, &details.detections)),
        references: details.map_or(Vec::new(), |details| details.references.clone()),
    }
}

/// `person ≤ 2, 10–40 s; car ≤ 1, 3–5 s`, or that there are none.
fn detections(lang: Lang, seen: &[DetectionFile]) -> String {
    if seen.is_empty() {
        return lang.words().none.to_owned();
    }
    let one = |seen: &DetectionFile| {
        let [first, last] = [seen.first_s, seen.last_s].map(|at| lang.number(&format!("{at:.1}")));
        format!("{} ≤ {}, {first}–{last} s", seen.label, seen.most_at_once)
    };
    seen.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn last_words(evidence: &EvidenceFile) -> Option<String> {
    let records = [&evidence.baseline_record, &evidence.candidate_record];
    let failure = records.iter().find_map(|record| record.failure.as_ref())?;
    let tail = failure.stderr_tail.trim_end();
    (!tail.is_empty()).then(|| tail.to_owned())
}

/// A digest as people read it.
fn digest(digest: &Sha256) -> String {
    format!("sha256:{}…", digest.short())
}

#[cfg(test)]
mod tests;
