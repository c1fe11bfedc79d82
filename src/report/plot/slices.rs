//! Mean changes of every metric on every slice, with their bounds.

use super::Plot;
use super::svg::{Anchor, Scale, Svg};
use crate::gate::file_rules::VetoFile;
use crate::gate::scene_file::SliceFile;
use crate::gate::words::signed;
use crate::report::table;
use crate::report::wording::Lang;

const WIDTH: f64 = 372.0;
const ROW: f64 = 20.0;
const AXIS: (f64, f64) = (150.0, 360.0);
/// Slices of one panel; the table has all.
const MOST_ROWS: usize = 30;

/// `None` without slices.
///
/// * `declared`: what the slices that the policy names say
pub(super) fn draw(
    slices: &[SliceFile],
    declared: &[VetoFile],
    alpha: f64,
    lang: Lang,
) -> Option<Plot> {
    let mut metrics: Vec<&str> = Vec::new();
    for slice in slices {
        if !metrics.contains(&slice.metric.as_str()) {
            metrics.push(&slice.metric);
        }
    }
    if metrics.is_empty() {
        return None;
    }
    let panels = metrics.iter().map(|metric| {
        let rows = slices.iter().filter(|slice| slice.metric == *metric);
        panel(metric, &rows.take(MOST_ROWS).collect::<Vec<_>>(), lang)
    });
    let [title, caption] = lang.words().plots.slices;
    Some(Plot {
        id: "slices-plot".to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svgs: panels.collect(),
        columns: lang.slice_columns(alpha).to_vec(),
        rows: slices
            .iter()
            .map(|slice| table::slice(lang, slice, declared).to_vec())
            .collect(),
        has_roles: false,
    })
}

fn panel(metric: &str, rows: &[&SliceFile], lang: Lang) -> String {
    let height = ROW * rows.len() as f64 + 62.0;
    let bottom = height - 28.0;
    let reach = rows
        .iter()
        .map(|row| ends(row))
        .fold(0.01f64, |most, [low, _, high]| most.max(-low).max(high));
    let scale = Scale::new((-reach, reach), AXIS);
    let mut svg = Svg::new(WIDTH, height);
    svg.styled_text((AXIS.0, 16.0), Anchor::Start, "panel", metric);
    svg.line((scale.at(0.0), 26.0), (scale.at(0.0), bottom), "zero");
    for end in [-reach, 0.0, reach] {
        let label = format!("{} pt", lang.number(&signed(end, 0)));
        let anchor = if end < 0.0 {
            Anchor::Start
        } else if end > 0.0 {
            Anchor::End
        } else {
            Anchor::Middle
        };
        svg.text((scale.at(end), bottom + 18.0), anchor, &label);
    }
    for (i, row) in rows.iter().enumerate() {
        let y = ROW * i as f64 + 38.0;
        let label = format!("{} ({})", row.slice, row.n);
        svg.text((AXIS.0 - 10.0, y + 4.0), Anchor::End, &label);
        let [low, point, high] = ends(row);
        svg.line((scale.at(low), y), (scale.at(high), y), "bar watched");
        svg.mark((scale.at(point), y), None);
    }
    svg.finish(&format!("{}: {metric}", lang.words().slices))
}

/// Lower bound, point and upper bound; all the same without an estimate.
fn ends(slice: &SliceFile) -> [f64; 3] {
    match &slice.estimate {
        Some(estimate) => [estimate.low, estimate.point, estimate.high],
        None => [slice.candidate - slice.baseline; 3],
    }
}
