//! Memory by phase, both roles beside each other.

use super::Plot;
use super::svg::{Anchor, Scale, Svg};
use crate::gate::words;
use crate::report::costs::Cost;
use crate::report::wording::Lang;

const WIDTH: f64 = 760.0;
const BAR: f64 = 16.0;
const GROUP: f64 = 2.0 * BAR + 18.0;
const AXIS: (f64, f64) = (220.0, 620.0);

/// `None` without a figure of memory.
pub(super) fn draw(costs: &[Cost], lang: Lang) -> Option<Plot> {
    let phases: Vec<&Cost> = costs.iter().filter(|cost| cost.is_memory()).collect();
    let largest = phases.iter().flat_map(|cost| cost.values.iter().flatten());
    let largest = largest.copied().fold(0.0f64, f64::max);
    if largest <= 0.0 {
        return None;
    }
    let plots = &lang.words().plots;
    let [title, caption] = plots.memory;
    let roles = [lang.words().baseline, lang.words().candidate];
    let scale = Scale::new((0.0, largest), AXIS);
    let mut svg = Svg::new(WIDTH, GROUP * phases.len() as f64 + 12.0);
    let mut rows = Vec::new();
    for (i, cost) in phases.iter().enumerate() {
        let top = GROUP * i as f64 + 10.0;
        svg.text(
            (AXIS.0 - 12.0, top + BAR + 4.0),
            Anchor::End,
            &cost.name(lang),
        );
        for (role, class) in ["base area", "cand area"].into_iter().enumerate() {
            let Some(ends) = cost.ends(role) else {
                continue;
            };
            let y = top + role as f64 * BAR;
            let [low, median, high] = ends.map(|value| scale.at(value));
            svg.rect((AXIS.0, y), (median - AXIS.0, BAR - 2.0), class);
            if high > low {
                svg.line(
                    (low, y + BAR / 2.0 - 1.0),
                    (high, y + BAR / 2.0 - 1.0),
                    "whisker",
                );
            }
            let shown = ends.map(|value| lang.number(&words::value(value, cost.unit)));
            svg.text((high + 8.0, y + BAR - 4.0), Anchor::Start, &shown[1]);
            let n = cost.values[role].len().to_string();
            let row = vec![cost.name(lang), roles[role].to_owned(), n];
            rows.push([row, shown.to_vec()].concat());
        }
    }
    Some(Plot {
        id: "memory".to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svgs: vec![svg.finish(title)],
        columns: plots.quantiles.map(str::to_owned).to_vec(),
        rows,
        has_roles: true,
    })
}
