//! Renders a verdict for people and machines.
//!
//! In: a [`ReportFile`]. Out: text. [`Report`] holds formatted strings only, so every format says
//! the same; nothing here decides. Strings may hold untrusted text: each renderer escapes it.

pub mod escape;
pub mod json;
pub mod markdown;
pub mod scores;
pub mod terminal;
pub mod wording;

use crate::gate::file::{
    AgreementFile, CheckFile, EstimateFile, EvidenceFile, ReportFile, WorstSceneFile,
};
use crate::gate::words::{self, decimals, signed, unit_of};
use crate::gate::{Outcome, Scale};
use crate::metric::Better;
use crate::record::{ModelIdentity, RunRecord, WorkerFacts};
use crate::units::Sha256;

/// What every human format shows, in the order it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
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
    /// Worst scenes, the worst first.
    pub worst: Vec<WorstView>,
    /// Scenes that lost something, in all.
    pub n_scenes_worse: usize,
    /// What the verdict rests on.
    pub trust: Vec<String>,
    /// Digests of everything that was tested.
    pub tested: Vec<String>,
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
    /// What went wrong and by how much.
    pub cause: String,
    /// The baseline's text.
    pub baseline_text: String,
    /// The candidate's text.
    pub candidate_text: String,
}

impl Report {
    /// The view of a saved report.
    ///
    /// * `exit_code`: the code the command will end with, if it ends with this verdict
    pub fn of(file: &ReportFile, exit_code: Option<u8>) -> Self {
        let verdict = &file.verdict;
        let outcome = Outcome::from(verdict.outcome);
        let alpha = file.policy.confidence.false_pass;
        let names = from_to(&file.baseline, &file.candidate);
        let mut why = verdict.reasons.clone();
        if why.is_empty() && outcome == Outcome::Pass {
            why.push(wording::ALL_WITHIN.to_owned());
        }
        let not_counting = (!verdict.counts).then(|| wording::DOES_NOT_COUNT.to_owned());
        Self {
            outcome,
            headline: format!("{names} {}", wording::consequence(outcome)),
            exit: exit_code.map(|code| format!("exit {code}")),
            warnings: not_counting
                .into_iter()
                .chain(file.notices.iter().cloned())
                .collect(),
            why,
            last_words: file.evidence.as_ref().and_then(last_words),
            columns: wording::columns(alpha),
            rows: verdict.checks.iter().map(row).collect(),
            footnotes: footnotes(&verdict.checks),
            worst: file.worst_scenes.iter().map(worst_view).collect(),
            n_scenes_worse: file.n_scenes_worse,
            trust: trust(file),
            tested: tested(file),
            how_to_read: wording::how_to_read(alpha),
        }
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

fn row(check: &CheckFile) -> Row {
    let value = |value: Option<f64>| match value {
        Some(value) => words::value(value, &check.unit),
        None => wording::NOT_AVAILABLE.to_owned(),
    };
    let outcome = check.outcome.map(Outcome::from);
    let outcome_text = match outcome {
        Some(outcome) => wording::check_outcome(outcome),
        None if check.required => wording::NOT_AVAILABLE,
        None => wording::NO_OUTCOME,
    };
    Row {
        cells: [
            check.metric.clone(),
            value(check.baseline),
            value(check.candidate),
            change(check),
            sample_size(check),
            allowed(check),
            outcome_text.to_owned(),
        ],
        outcome,
    }
}

fn sample_size(check: &CheckFile) -> String {
    match check.n {
        0 => wording::NOT_AVAILABLE.to_owned(),
        n => format!("{n} {}", check.n_unit),
    }
}

/// `−0.7 pt [−3.2, +1.9]`; without an interval the change stands alone.
fn change(check: &CheckFile) -> String {
    let unit = unit_of(Scale::from(check.scale));
    match (check.change, &check.estimate) {
        (None, _) => wording::NOT_AVAILABLE.to_owned(),
        (Some(change), None) => format!("{} {unit}", signed(change, 1)),
        (
            Some(_),
            Some(EstimateFile {
                point, low, high, ..
            }),
        ) => {
            let digits = decimals(*low, *high);
            let [point, low, high] = [point, low, high].map(|bound| signed(*bound, digits));
            format!("{point} {unit} [{low}, {high}]")
        }
    }
}

fn allowed(check: &CheckFile) -> String {
    let unit = unit_of(Scale::from(check.scale));
    match (check.allowed, check.at_least) {
        (_, Some(least)) => format!("no loss, ≥ {}", words::value(least, &check.unit)),
        (Some(allowed), None) if check.required => format!("{} {unit}", signed(allowed, 1)),
        (_, None) if check.required => wording::NOT_AVAILABLE.to_owned(),
        (_, None) => wording::WATCHED.to_owned(),
    }
}

/// Why rows have no interval, and why others have no value at all: at most one line each.
fn footnotes(checks: &[CheckFile]) -> Vec<String> {
    // The reasons of checks with an outcome stand above the table.
    let open = checks
        .iter()
        .filter(|check| check.outcome.is_none() && check.estimate.is_none());
    let (valued, bare): (Vec<_>, Vec<_>) = open.partition(|check| check.change.is_some());
    [(wording::NO_INTERVAL, valued), (wording::NO_VALUE, bare)]
        .into_iter()
        .filter_map(|(what, checks)| Some(format!("{what}: {}", by_reason(&checks)?)))
        .collect()
}

/// `ttft_ms, e2e_ms (one process per role); load_ms (too few loads)`; `None` without reasons.
fn by_reason(checks: &[&CheckFile]) -> Option<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for check in checks {
        let Some(reason) = check.reason.as_deref() else {
            continue;
        };
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, metrics)) => metrics.push(&check.metric),
            None => groups.push((reason, vec![&check.metric])),
        }
    }
    let texts: Vec<String> = groups
        .iter()
        .map(|(reason, metrics)| format!("{} ({reason})", metrics.join(", ")))
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn worst_view(scene: &WorstSceneFile) -> WorstView {
    let new = scene
        .candidate_notes
        .iter()
        .filter(|note| !scene.baseline_notes.contains(note));
    let losses = scene.changes.iter().filter(|(metric, change)| {
        match crate::metric::find(metric).map(|row| row.better) {
            Some(Better::Higher) => **change < 0.0,
            Some(Better::Lower) => **change > 0.0,
            Some(Better::Neither) | None => false,
        }
    });
    let losses = losses.map(|(metric, change)| format!("{metric} {} pt", signed(*change, 1)));
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| wording::NO_TEXT.to_owned());
    WorstView {
        scene: scene.scene.clone(),
        cause: new.cloned().chain(losses).collect::<Vec<_>>().join(" · "),
        baseline_text: text(&scene.baseline_text),
        candidate_text: text(&scene.candidate_text),
    }
}

fn last_words(evidence: &EvidenceFile) -> Option<String> {
    let records = [&evidence.baseline_record, &evidence.candidate_record];
    let failure = records.iter().find_map(|record| record.failure.as_ref())?;
    let tail = failure.stderr_tail.trim_end();
    (!tail.is_empty()).then(|| tail.to_owned())
}

fn trust(file: &ReportFile) -> Vec<String> {
    let policy = &file.policy;
    let evidence = file.evidence.iter();
    let mut lines: Vec<String> = evidence
        .map(|evidence| evidence_line(evidence, file.agreement.as_ref()))
        .collect();
    lines.extend(file.evidence.iter().map(machine_line));
    lines.push(format!(
        "{} {} · {}",
        wording::origin(&policy.origin),
        digest(&file.policy_sha256),
        wording::error_rates(policy.confidence),
    ));
    lines
}

/// `60/60 scenes in both roles, 12 with equal tokens · 6 launches × 20 pairs · one host: …`.
fn evidence_line(evidence: &EvidenceFile, agreement: Option<&AgreementFile>) -> String {
    let equal = agreement.map_or(String::new(), |agreement| match agreement.absent {
        Some(_) => ", other tokenizers".to_owned(),
        None => format!(", {} with equal tokens", agreement.n_exact),
    });
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let done = base.outputs.len().min(cand.outputs.len());
    let n_launches = base.launches.len().min(cand.launches.len());
    let host = &base.host;
    format!(
        "{done}/{} scenes in both roles{equal} · {} launches × {} · {}, kernel {} on {}",
        base.plan.scene_ids.len(),
        n_launches,
        wording::count(base.plan.pairs_per_launch, "pair"),
        wording::count(base.plan.threads, "thread"),
        host.kernel,
        host.cpu,
    )
}

/// `20 scenes again alone, equal · head int8 · huge pages after load: baseline 96–97 %, …`.
fn machine_line(evidence: &EvidenceFile) -> String {
    let records = [&evidence.baseline_record, &evidence.candidate_record];
    let n_repeated = |record: &RunRecord| {
        let outputs = record.outputs.iter();
        outputs.filter(|output| output.times.is_some()).count()
    };
    let n_repeated = records.map(n_repeated).into_iter().min().unwrap_or(0);
    let [base, cand] = records.map(|record| {
        let shares = record.workers.iter().map(WorkerFacts::huge_share);
        wording::huge_pages(record.role.as_str(), shares)
    });
    format!(
        "{} again alone, with equal tokens · head {} · huge pages after load: {base}, {cand}",
        wording::count(n_repeated, "scene"),
        records[0].load.head,
    )
}

fn tested(file: &ReportFile) -> Vec<String> {
    let model = |role: &str, model: &ModelIdentity| {
        let card = model
            .card
            .as_deref()
            .map_or(String::new(), |card| format!(" · {card}"));
        let state = wording::pinned(model.is_pinned);
        format!("{role} {} ({state}){card}", digest(&model.release_digest))
    };
    let mut lines = vec![
        model("candidate", &file.candidate),
        model("baseline", &file.baseline),
    ];
    lines.extend(same_layers(&file.baseline, &file.candidate));
    if let Some(scenes) = &file.scenes {
        lines.push(format!(
            "scenes {}@{} {} · prompt {} · lexicon {} · {}",
            scenes.name,
            scenes.version,
            digest(&scenes.scenes_sha256),
            digest(&scenes.prompt_sha256),
            digest(&scenes.lexicon_sha256),
            scenes.renderer,
        ));
    }
    if let Some(evidence) = &file.evidence {
        let record = &evidence.baseline_record;
        lines.push(format!(
            "vv-eval {} · rustc {} · run {} at {}",
            record.host.vv_eval_version, record.host.rustc, record.run_id, record.started_at
        ));
    }
    lines
}

/// What equal digests of the layers prove of two models that are not the same files.
fn same_layers(baseline: &ModelIdentity, candidate: &ModelIdentity) -> Option<String> {
    let layers = baseline.layers_sha256.as_ref()?;
    if candidate.layers_sha256.as_ref() != Some(layers)
        || baseline.release_digest == candidate.release_digest
    {
        return None;
    }
    // The container is the second part of a card.
    let container = |model: &ModelIdentity| {
        let mut parts = model.card.as_deref()?.split(" · ");
        parts.nth(1).map(str::to_owned)
    };
    let containers = container(baseline).zip(container(candidate));
    let containers = containers.filter(|(a, b)| a != b);
    Some(wording::same_layers(&digest(layers), containers.as_ref()))
}

fn digest(digest: &Sha256) -> String {
    format!("sha256:{}…", digest.short())
}

#[cfg(test)]
mod tests;
