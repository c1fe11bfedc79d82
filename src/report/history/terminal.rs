//! The runs as a table, and a small curve for each metric.

use super::{History, Trend};
use crate::gate::words;
use crate::report::escape::{cut, one_line};
use crate::report::wording::Lang;

/// Characters of a cell.
const MOST_CELL: usize = 60;
/// Runs of a small curve, the latest.
const MOST_RUNS: usize = 40;
/// Heights of a curve.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The history as text.
pub fn render(history: &History, lang: Lang) -> String {
    let words = &lang.words().history;
    let mut lines = Vec::new();
    if history.entries.is_empty() {
        lines.push(words.nothing.to_owned());
    } else {
        let rows = history
            .entries
            .iter()
            .map(|entry| History::row(entry, lang));
        lines.extend(table(
            &words.columns.map(str::to_owned),
            &rows.collect::<Vec<_>>(),
        ));
        lines.extend([String::new(), words.trends.to_owned()]);
        lines.extend(trends(history, lang));
    }
    if !history.unreadable.is_empty() {
        lines.extend([String::new(), format!("{}:", words.unreadable)]);
        let unreadable = history.unreadable.iter();
        lines.extend(unreadable.map(|what| format!("  {}", cut(&one_line(what), 200))));
    }
    lines.join("\n") + "\n"
}

fn trends(history: &History, lang: Lang) -> Vec<String> {
    let titles = lang.words().history.trend_columns.map(str::to_owned);
    let trends = history.trends();
    let rows: Vec<[String; 5]> = trends
        .iter()
        .map(|trend| {
            let figures = trend.figures();
            let shown = figures.map(|it| lang.number(&words::value(it, trend.unit)));
            let [last, low, high] = shown;
            let curve = curve(trend, figures[1], figures[2]);
            [trend.metric.to_owned(), curve, last, low, high]
        })
        .collect();
    let mut lines = table(&titles, &rows);
    let marked = trends
        .iter()
        .filter_map(|trend| Some((trend.metric, trend.changes(lang)?)));
    lines.extend(marked.map(|(metric, changes)| format!("  | {}: {changes}", one_line(metric))));
    lines
}

/// One character per run, a bar before a change of level.
fn curve(trend: &Trend<'_>, low: f64, high: f64) -> String {
    let first = trend.points.len().saturating_sub(MOST_RUNS);
    let mut out = String::new();
    for point in &trend.points[first..] {
        if point.is_change {
            out.push('|');
        }
        let share = if high > low {
            (point.value - low) / (high - low)
        } else {
            0.5
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of seven is a place in the list"
        )]
        let height = (share * 7.0).round() as usize;
        out.push(BARS[height.min(7)]);
    }
    out
}

/// Columns as wide as their longest cell, two spaces apart.
fn table<const N: usize>(titles: &[String; N], rows: &[[String; N]]) -> Vec<String> {
    let shown: Vec<[String; N]> = [titles.clone()]
        .iter()
        .chain(rows)
        .map(|row| row.clone().map(|cell| cut(&one_line(&cell), MOST_CELL)))
        .collect();
    let mut widths = [0; N];
    for row in &shown {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    shown.iter().map(line).collect()
}
