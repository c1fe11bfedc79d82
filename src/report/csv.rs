//! The report in long form: one value per row, both roles below each other.
//!
//! `kind` tells rows apart: `verdict`, `notice`, `reason`, `check`, `slice`, `score`, `time`,
//! `memory`. Every row has every column, so a spreadsheet or a data frame filters by `kind` and needs
//! no other rule.

use super::escape::spreadsheet_text;
use crate::gate::file::{CheckFile, OutcomeFile, ReportFile, SceneScoresFile};
use crate::gate::{Outcome, Scale};
use crate::metric::cost::ForcedCost;
use crate::record::{Launch, RunRecord, Segment};

/// Titles of the columns.
pub const TITLES: [&str; 12] = [
    "kind", "subject", "role", "metric", "version", "unit", "value", "low", "high", "allowed",
    "outcome", "detail",
];

/// One row; what does not apply stays empty.
#[derive(Default)]
struct Row<'a> {
    kind: &'static str,
    subject: String,
    role: &'static str,
    metric: &'a str,
    version: Option<u32>,
    unit: &'a str,
    value: Option<f64>,
    bounds: Option<(f64, f64)>,
    allowed: Option<f64>,
    outcome: Option<OutcomeFile>,
    detail: &'a str,
}

/// The table with its titles, in UTF-8.
///
/// Values are those of the canonical report, unrounded, in the unit beside them: shares as
/// fractions, changes as in the report's `scale`. An absent value is an empty cell with the reason
/// in `detail`.
///
/// # Panics
/// Never: nothing fails to be written to memory.
pub fn render(file: &ReportFile) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(TITLES).expect("memory takes it");
    let mut write = |row: Row<'_>| {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let outcome = row.outcome.map(|outcome| Outcome::from(outcome).name());
        let cells = [
            row.kind.to_owned(),
            spreadsheet_text(&row.subject),
            row.role.to_owned(),
            spreadsheet_text(row.metric),
            row.version
                .map_or(String::new(), |version| version.to_string()),
            spreadsheet_text(row.unit),
            number(row.value),
            number(row.bounds.map(|bounds| bounds.0)),
            number(row.bounds.map(|bounds| bounds.1)),
            number(row.allowed),
            outcome.unwrap_or_default().to_owned(),
            spreadsheet_text(row.detail),
        ];
        table.write_record(cells).expect("memory takes it");
    };
    write(Row {
        kind: "verdict",
        outcome: Some(file.verdict.outcome),
        detail: if file.verdict.counts {
            ""
        } else {
            "does not count"
        },
        ..Row::default()
    });
    let notices = file.notices.iter().map(|text| ("notice", text));
    let reasons = file.verdict.reasons.iter().map(|text| ("reason", text));
    for (kind, detail) in notices.chain(reasons) {
        write(Row {
            kind,
            detail,
            ..Row::default()
        });
    }
    for check in &file.verdict.checks {
        check_rows(check, &mut write);
    }
    for slice in &file.slices {
        let bounds = slice.estimate.as_ref().map(|it| (it.low, it.high));
        write(Row {
            kind: "slice",
            subject: slice.slice.clone(),
            metric: &slice.metric,
            unit: Scale::Difference.name(),
            value: Some(slice.candidate - slice.baseline),
            bounds,
            ..Row::default()
        });
    }
    if let Some(evidence) = &file.evidence {
        let roles = [
            (&evidence.baseline_scores, &evidence.baseline_record),
            (&evidence.candidate_scores, &evidence.candidate_record),
        ];
        for (scores, record) in roles {
            for scene in scores {
                score_rows(scene, record.role.as_str(), &mut write);
            }
        }
        for (_, record) in roles {
            time_rows(record, &mut write);
            memory_rows(record, &mut write);
        }
    }
    table.into_inner().expect("memory takes it")
}

fn check_rows<'a>(check: &'a CheckFile, write: &mut impl FnMut(Row<'a>)) {
    let row = || Row {
        kind: "check",
        metric: &check.metric,
        version: Some(check.metric_version),
        ..Row::default()
    };
    for (role, value) in [("baseline", check.baseline), ("candidate", check.candidate)] {
        write(Row {
            role,
            unit: &check.unit,
            value,
            ..row()
        });
    }
    write(Row {
        subject: "change".to_owned(),
        unit: Scale::from(check.scale).name(),
        value: check.change,
        bounds: check.estimate.as_ref().map(|it| (it.low, it.high)),
        allowed: check.allowed,
        outcome: check.outcome,
        detail: check.reason.as_deref().unwrap_or_default(),
        ..row()
    });
}

fn score_rows<'a>(
    scores: &'a SceneScoresFile,
    role: &'static str,
    write: &mut impl FnMut(Row<'a>),
) {
    for (metric, value) in &scores.metrics {
        let known = crate::metric::find(metric);
        write(Row {
            kind: "score",
            subject: scores.scene.clone(),
            role,
            metric,
            version: known.map(|row| row.version),
            unit: known.map_or("", |row| row.unit),
            value: *value,
            detail: scores.absent.get(metric).map_or("", String::as_str),
            ..Row::default()
        });
    }
}

fn time_rows(record: &RunRecord, write: &mut impl FnMut(Row<'static>)) {
    let role = record.role.as_str();
    let mut write = |subject: String, metric: &'static str, value: Option<f64>| {
        write(Row {
            kind: "time",
            subject,
            role,
            metric,
            version: crate::metric::find(metric).map(|row| row.version),
            unit: "ms",
            value,
            ..Row::default()
        });
    };
    for launch in &record.launches {
        for (cost, metric, segments) in forced(launch) {
            for (pair, segment) in segments.iter().enumerate() {
                let subject = format!("launch {} pair {pair}", launch.index);
                write(subject, metric, cost.ms_per_token(segment));
            }
        }
    }
    for output in &record.outputs {
        let Some(times) = &output.times else { continue };
        let ms = |ns: u64| Some(ns as f64 / 1e6);
        write(output.scene.clone(), "ttft_ms", ms(times.ttft_ns));
        write(output.scene.clone(), "e2e_ms", ms(times.e2e_ns));
    }
}

fn forced(launch: &Launch) -> [(ForcedCost, &'static str, &[Segment]); 3] {
    [
        (ForcedCost::CpuPerToken, "cpu_ms_per_token", &launch.decode),
        (
            ForcedCost::WallPerToken,
            "wall_ms_per_token",
            &launch.decode,
        ),
        (
            ForcedCost::PrefillCpuPerToken,
            "prefill_cpu_ms_per_token",
            &launch.prefill,
        ),
    ]
}

fn memory_rows(record: &RunRecord, write: &mut impl FnMut(Row<'static>)) {
    for (i, run) in record.memory.iter().enumerate() {
        let figures = [
            ("load_ms", "ms", run.load_ns as f64 / 1e6),
            ("load_peak_bytes", "bytes", run.load_peak_bytes.0 as f64),
            ("peak_bytes", "bytes", run.peak_bytes.0 as f64),
            ("anon_bytes", "bytes", run.anon_bytes.0 as f64),
            ("file_bytes", "bytes", run.file_bytes.0 as f64),
        ];
        for (metric, unit, value) in figures {
            write(Row {
                kind: if unit == "ms" { "time" } else { "memory" },
                subject: format!("run {i}"),
                role: record.role.as_str(),
                metric,
                unit,
                value: Some(value),
                ..Row::default()
            });
        }
    }
}
