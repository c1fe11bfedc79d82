//! Cells of the tables: checks, slices, times and memory.

use super::Row;
use super::costs::Cost;
use super::wording::{Lang, NO_OUTCOME, NOT_AVAILABLE};
use crate::gate::file::{CheckFile, EstimateFile};
use crate::gate::file_rules::VetoFile;
use crate::gate::scene_file::SliceFile;
use crate::gate::words::{self, decimals, signed, unit_of};
use crate::gate::{Outcome, Scale};

pub(super) fn row(lang: Lang, check: &CheckFile) -> Row {
    let value = |value: Option<f64>| match value {
        Some(value) => lang.number(&words::value(value, &check.unit)),
        None => NOT_AVAILABLE.to_owned(),
    };
    let outcome = check.outcome.map(Outcome::from);
    let outcome_text = match outcome {
        Some(outcome) => lang.check_outcome(outcome),
        None if check.required => NOT_AVAILABLE,
        None => NO_OUTCOME,
    };
    Row {
        cells: [
            check.metric.clone(),
            value(check.baseline),
            value(check.candidate),
            change(lang, check),
            sample_size(lang, check),
            allowed(lang, check),
            outcome_text.to_owned(),
        ],
        outcome,
    }
}

fn sample_size(lang: Lang, check: &CheckFile) -> String {
    match check.n {
        0 => NOT_AVAILABLE.to_owned(),
        n => format!("{n} {}", lang.unit(&check.n_unit)),
    }
}

/// `−0.7 pt [−3.2, +1.9]`; without an interval the change stands alone.
fn change(lang: Lang, check: &CheckFile) -> String {
    let unit = unit_of(Scale::from(check.scale));
    match (check.change, &check.estimate) {
        (None, _) => NOT_AVAILABLE.to_owned(),
        (Some(change), None) => lang.number(&format!("{} {unit}", signed(change, 1))),
        (Some(_), Some(estimate)) => bounded(lang, estimate, unit),
    }
}

fn allowed(lang: Lang, check: &CheckFile) -> String {
    let unit = unit_of(Scale::from(check.scale));
    let value = |limit| lang.number(&words::value(limit, &check.unit));
    let limit = match (check.at_least, check.at_most) {
        (Some(least), _) => Some(format!("≥ {}", value(least))),
        (None, Some(most)) => Some(format!("≤ {}", value(most))),
        (None, None) => None,
    };
    let change = |allowed| lang.number(&format!("{} {unit}", signed(allowed, 1)));
    match (check.allowed, limit) {
        (Some(0.0), Some(limit)) => format!("{}, {limit}", lang.words().no_loss),
        (Some(allowed), Some(limit)) => format!("{}, {limit}", change(allowed)),
        (None, Some(limit)) => limit,
        (Some(allowed), None) if check.required => change(allowed),
        (_, None) if check.required => NOT_AVAILABLE.to_owned(),
        (_, None) => lang.words().watched.to_owned(),
    }
}

/// Why rows have no interval, and why others have no value at all: at most one line each.
pub(super) fn footnotes(lang: Lang, checks: &[CheckFile]) -> Vec<String> {
    // The reasons of checks with an outcome stand above the table.
    let open = checks
        .iter()
        .filter(|check| check.outcome.is_none() && check.estimate.is_none());
    let (valued, bare): (Vec<_>, Vec<_>) = open.partition(|check| check.change.is_some());
    let words = lang.words();
    [(words.no_interval, valued), (words.no_value, bare)]
        .into_iter()
        .filter_map(|(what, checks)| Some(format!("{what}: {}", by_reason(lang, &checks)?)))
        .collect()
}

/// `ttft_ms, e2e_ms (one process per role); load_ms (too few loads)`; `None` without reasons.
fn by_reason(lang: Lang, checks: &[&CheckFile]) -> Option<String> {
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
        .map(|(reason, metrics)| format!("{} ({})", metrics.join(", "), lang.sentence(reason)))
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// `[slice, metric, baseline, candidate, change, n, certified]`.
///
/// * `declared`: what the slices that the policy names say, each under each check
pub(super) fn slice(lang: Lang, slice: &SliceFile, declared: &[VetoFile]) -> [String; 7] {
    let value = |value: f64| lang.number(&words::value(value, "fraction"));
    let change = match &slice.estimate {
        Some(estimate) => bounded(lang, estimate, "pt"),
        None => lang.number(&format!(
            "{} pt",
            signed(slice.candidate - slice.baseline, 1)
        )),
    };
    [
        slice.slice.clone(),
        slice.metric.clone(),
        value(slice.baseline),
        value(slice.candidate),
        change,
        slice.n.to_string(),
        declared
            .iter()
            .find(|it| it.slice == slice.slice && it.metric == slice.metric)
            .map_or(NO_OUTCOME.to_owned(), |it| certified(lang, it)),
    ]
}

/// `−12.3 pt`, and whether the slice vetoes by it or would without a waiver.
fn certified(lang: Lang, veto: &VetoFile) -> String {
    let bound = match veto.certified {
        Some(bound) => lang.number(&format!("{} pt", signed(bound, 1))),
        None => NOT_AVAILABLE.to_owned(),
    };
    let waived = veto.waived_until.as_ref();
    let waived = waived.map(|day| format!("{} {day}", lang.pick("waived until", "dispensado até")));
    let vetoes = veto.vetoes.then(|| lang.pick("vetoes", "veta").to_owned());
    let parts = [Some(bound), waived, vetoes];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// `−0.7 pt [−3.2, +1.9]`; where commas part decimals, something else parts the bounds.
fn bounded(lang: Lang, estimate: &EstimateFile, unit: &str) -> String {
    let EstimateFile {
        point, low, high, ..
    } = estimate;
    let digits = decimals(*low, *high);
    let bound = |bound: &f64| lang.number(&signed(*bound, digits));
    let [point, low, high] = [point, low, high].map(bound);
    let between = lang.pick(",", ";");
    format!("{point} {unit} [{low}{between} {high}]")
}

/// `[measure, baseline, candidate, n]`, the values as smallest · median · largest.
pub(super) fn costs(lang: Lang, costs: &[Cost]) -> Vec<[String; 4]> {
    let cell = |cost: &Cost, role: usize| {
        let Some(ends) = cost.ends(role) else {
            return NOT_AVAILABLE.to_owned();
        };
        let shown = ends.map(|value| lang.number(&words::value(value, cost.unit)));
        if shown[0] == shown[2] {
            shown[1].clone()
        } else {
            shown.join(" · ")
        }
    };
    let n = |cost: &Cost| {
        let [base, cand] = [0, 1].map(|role| cost.values[role].len());
        if base == cand {
            base.to_string()
        } else {
            format!("{base} / {cand}")
        }
    };
    costs
        .iter()
        .map(|cost| [cost.name(lang), cell(cost, 0), cell(cost, 1), n(cost)])
        .collect()
}
