//! The value of one metric over many runs.

use super::svg::{Anchor, Scale, Svg, round_in};
use crate::gate::Outcome;
use crate::gate::words;
use crate::report::wording::Lang;

const WIDTH: f64 = 372.0;
const HEIGHT: f64 = 170.0;
/// Runs drawn, the latest; the table has all.
pub(in crate::report) const MOST_RUNS: usize = 100;

/// One run's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) struct Point {
    /// The candidate's value.
    pub(in crate::report) value: f64,
    /// What was decided in that run.
    pub(in crate::report) outcome: Outcome,
    /// Whether the level changes before it.
    pub(in crate::report) is_change: bool,
}

/// The curve of a metric, the earliest run on the left.
///
/// * `ends`: what the first and the last run are called
pub(in crate::report) fn draw(
    metric: &str,
    unit: &str,
    points: &[Point],
    ends: [&str; 2],
    lang: Lang,
) -> String {
    let points = &points[points.len().saturating_sub(MOST_RUNS)..];
    let (left, right, top, bottom) = (92.0, WIDTH - 14.0, 30.0, HEIGHT - 30.0);
    let low = points
        .iter()
        .map(|it| it.value)
        .fold(f64::INFINITY, f64::min);
    let high = points
        .iter()
        .map(|it| it.value)
        .fold(f64::NEG_INFINITY, f64::max);
    let x = Scale::new(
        (0.0, (points.len().max(2) - 1) as f64),
        (left + 8.0, right - 8.0),
    );
    let y = Scale::new((low, high), (bottom - 6.0, top + 6.0));
    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.styled_text((left, 16.0), Anchor::Start, "panel", metric);
    for tick in y.ticks(3.0, round_in(unit)) {
        svg.line((left, y.at(tick)), (right, y.at(tick)), "grid");
        let label = lang.number(&words::value(tick, unit));
        svg.text((left - 6.0, y.at(tick) + 4.0), Anchor::End, &label);
    }
    let places: Vec<(f64, f64)> = points
        .iter()
        .enumerate()
        .map(|(i, point)| (x.at(i as f64), y.at(point.value)))
        .collect();
    for (place, _) in places.iter().zip(points).filter(|(_, it)| it.is_change) {
        svg.line((place.0 - 4.0, top), (place.0 - 4.0, bottom), "limit");
    }
    svg.polyline(&places, "cand curve");
    for (place, point) in places.iter().zip(points) {
        let is_pass = point.outcome == Outcome::Pass;
        svg.dot(*place, if is_pass { "run" } else { "run hollow" });
    }
    let [first, last] = ends;
    svg.text((left, HEIGHT - 8.0), Anchor::Start, first);
    if points.len() > 1 {
        svg.text((right, HEIGHT - 8.0), Anchor::End, last);
    }
    svg.finish(&format!("{}: {metric}", lang.words().history.trends))
}
