//! Differences scene by scene, sorted: where a mean comes from.

use std::collections::BTreeMap;

use super::Plot;
use super::svg::{Anchor, Scale, Svg};
use crate::gate::file::{EvidenceFile, ReportFile, ScaleFile};
use crate::gate::words::signed;
use crate::metric::Better;
use crate::report::wording::Lang;

const WIDTH: f64 = 372.0;
const HEIGHT: f64 = 150.0;
/// Columns drawn, however many scenes there are.
const MOST_COLUMNS: usize = 200;

/// `None` without a check on scenes that both roles have values of.
pub(super) fn draw(file: &ReportFile, lang: Lang) -> Option<Plot> {
    let evidence = file.evidence.as_ref()?;
    let checks = file.verdict.checks.iter();
    let metrics: Vec<(&str, Vec<f64>)> = checks
        .filter(|check| check.scale == ScaleFile::Difference && check.unit == "fraction")
        .map(|check| (check.metric.as_str(), gains(evidence, &check.metric)))
        .filter(|(_, gains)| !gains.is_empty())
        .collect();
    if metrics.is_empty() {
        return None;
    }
    let words = &lang.words().plots;
    let [title, caption] = words.differences;
    let mut rows = Vec::new();
    let mut svgs = Vec::new();
    for (metric, gains) in &metrics {
        let counts = signs(gains).map(|n| n.to_string());
        // A line along zero shows nothing that its row of figures does not.
        if gains.iter().any(|gain| *gain != 0.0) {
            svgs.push(panel(metric, gains, &counts, lang));
        }
        rows.push([vec![(*metric).to_owned()], counts.to_vec()].concat());
    }
    let [better, equal, worse] = words.signs;
    let columns = [lang.words().slice_columns[1], better, equal, worse];
    Some(Plot {
        id: "differences".to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svgs,
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        has_roles: false,
    })
}

/// Differences of every scene with a value in both roles, a loss below zero, the largest gain
/// first.
fn gains(evidence: &EvidenceFile, metric: &str) -> Vec<f64> {
    let sign = match crate::metric::find(metric).map(|row| row.better) {
        Some(Better::Lower) => -1.0,
        _ => 1.0,
    };
    let scores = evidence.baseline_scores.iter();
    let baseline: BTreeMap<&str, f64> = scores
        .filter_map(|scores| Some((scores.scene.as_str(), (*scores.metrics.get(metric)?)?)))
        .collect();
    let scores = evidence.candidate_scores.iter();
    let mut gains: Vec<f64> = scores
        .filter_map(|scores| {
            let candidate = (*scores.metrics.get(metric)?)?;
            Some(sign * (candidate - baseline.get(scores.scene.as_str())?))
        })
        .collect();
    gains.sort_by(|a, b| b.total_cmp(a));
    gains
}

/// Scenes that are better, equal, worse.
fn signs(gains: &[f64]) -> [usize; 3] {
    let n_better = gains.iter().filter(|gain| **gain > 0.0).count();
    let n_worse = gains.iter().filter(|gain| **gain < 0.0).count();
    [n_better, gains.len() - n_better - n_worse, n_worse]
}

fn panel(metric: &str, gains: &[f64], counts: &[String; 3], lang: Lang) -> String {
    let words = &lang.words().plots;
    let largest = gains.iter().fold(0.0f64, |most, gain| most.max(gain.abs()));
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let (left, right, top, bottom) = (70.0, WIDTH - 8.0, 30.0, HEIGHT - 26.0);
    let y = Scale::new((-largest, largest), (bottom, top));
    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.styled_text((left, 16.0), Anchor::Start, "panel", metric);
    for end in [-largest, 0.0, largest] {
        let label = format!("{} pt", lang.number(&signed(end, 0)));
        svg.text((left - 6.0, y.at(end) + 4.0), Anchor::End, &label);
    }
    let n_columns = gains.len().min(MOST_COLUMNS);
    let width = (right - left) / n_columns as f64;
    for column in 0..n_columns {
        // The scene in the middle of those the column stands for.
        let gain = gains[(2 * column + 1) * gains.len() / (2 * n_columns)];
        let (zero, end) = (y.at(0.0), y.at(gain));
        let corner = (left + column as f64 * width, zero.min(end));
        let height = (zero - end).abs();
        if height > 0.0 {
            let class = if gain > 0.0 { "better" } else { "worse" };
            // A hair wider than the step: no gaps between columns.
            svg.rect(corner, (width + 0.15, height), class);
        }
    }
    svg.line((left, y.at(0.0)), (right, y.at(0.0)), "zero");
    let told: Vec<String> = counts
        .iter()
        .zip(words.signs)
        .map(|(n, sign)| format!("{n} {sign}"))
        .collect();
    let told = told.join(" · ");
    svg.text((left, HEIGHT - 8.0), Anchor::Start, &told);
    svg.finish(&format!("{metric}: {told}"))
}
