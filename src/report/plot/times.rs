//! Times: ratios launch by launch, and distributions of single measurements.

use super::Plot;
use super::svg::{Anchor, Scale, Svg, round_in};
use crate::gate::file::{CheckFile, ReportFile};
use crate::gate::words::{self, signed};
use crate::metric::cost::{ForcedCost, log_ratios};
use crate::report::costs::Cost;
use crate::report::wording::Lang;

const WIDTH: f64 = 372.0;
const HEIGHT: f64 = 170.0;
/// Points of a curve, however many values there are.
const MOST_POINTS: usize = 100;

const FORCED: [(&str, ForcedCost); 3] = [
    ("cpu_ms_per_token", ForcedCost::CpuPerToken),
    ("wall_ms_per_token", ForcedCost::WallPerToken),
    ("prefill_cpu_ms_per_token", ForcedCost::PrefillCpuPerToken),
];

/// Ratios of the forced lane; `None` where no launch pairs.
pub(super) fn launches(file: &ReportFile, lang: Lang) -> Option<Plot> {
    let evidence = file.evidence.as_ref()?;
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let ratios: Vec<(&str, Vec<f64>)> = FORCED
        .iter()
        .filter_map(|(metric, cost)| {
            let launches = log_ratios(*cost, base, cand).ok()?;
            let means = launches
                .iter()
                .filter(|pairs| !pairs.is_empty())
                .map(|pairs| {
                    let mean = pairs.iter().sum::<f64>() / pairs.len() as f64;
                    mean.exp_m1()
                });
            let means: Vec<f64> = means.collect();
            (!means.is_empty()).then_some((*metric, means))
        })
        .collect();
    if ratios.is_empty() {
        return None;
    }
    let [title, caption] = lang.words().plots.launches;
    let percent = |ratio: f64| format!("{} %", lang.number(&signed(ratio, 2)));
    let mut rows = Vec::new();
    for (metric, launches) in &ratios {
        for (i, ratio) in launches.iter().enumerate() {
            rows.push(vec![(*metric).to_owned(), i.to_string(), percent(*ratio)]);
        }
    }
    let columns = [
        lang.words().slice_columns[1].to_owned(),
        lang.unit("launches"),
        "%".to_owned(),
    ];
    Some(Plot {
        id: "launches".to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svgs: vec![strip(&ratios, &file.verdict.checks, lang)],
        columns: columns.to_vec(),
        rows,
        has_roles: false,
    })
}

/// One row of dots for each metric, with the bounds of its check and the line of the allowance.
fn strip(ratios: &[(&str, Vec<f64>)], checks: &[CheckFile], lang: Lang) -> String {
    const WIDE: f64 = 760.0;
    let of = |metric: &str| checks.iter().find(|check| check.metric == metric);
    let mut reach = 0.005f64;
    for (metric, launches) in ratios {
        let estimate = of(metric).and_then(|check| check.estimate.as_ref());
        let bounds = estimate
            .iter()
            .flat_map(|estimate| [estimate.low, estimate.high]);
        for value in launches.iter().copied().chain(bounds) {
            reach = reach.max(value.abs());
        }
    }
    let height = 40.0 * ratios.len() as f64 + 40.0;
    let bottom = height - 28.0;
    let scale = Scale::new((-reach, reach), (220.0, WIDE - 16.0));
    let mut svg = Svg::new(WIDE, height);
    for tick in scale.ticks(6.0, 0.01) {
        svg.line((scale.at(tick), 8.0), (scale.at(tick), bottom), "grid");
        let digits = usize::from(reach < 0.05);
        let label = format!("{} %", lang.number(&signed(tick, digits)));
        svg.text((scale.at(tick), bottom + 18.0), Anchor::Middle, &label);
    }
    svg.line((scale.at(0.0), 8.0), (scale.at(0.0), bottom), "zero");
    for (i, (metric, launches)) in ratios.iter().enumerate() {
        let y = 40.0 * i as f64 + 26.0;
        svg.text((208.0, y + 4.0), Anchor::End, metric);
        let check = of(metric);
        if let Some(estimate) = check.and_then(|check| check.estimate.as_ref()) {
            let (low, high) = (scale.at(estimate.low), scale.at(estimate.high));
            svg.line((low, y + 11.0), (high, y + 11.0), "bar watched");
        }
        let allowed = check.and_then(|check| check.allowed);
        if let Some(allowed) = allowed.filter(|allowed| allowed.abs() <= reach) {
            svg.line(
                (scale.at(allowed), y - 14.0),
                (scale.at(allowed), y + 16.0),
                "limit",
            );
        }
        for ratio in launches {
            svg.dot((scale.at(*ratio), y), "launch");
        }
    }
    svg.finish(lang.words().plots.launches[0])
}

/// Empirical distributions of every time; `None` without any.
pub(super) fn distributions(costs: &[Cost], lang: Lang) -> Option<Plot> {
    let times: Vec<&Cost> = costs.iter().filter(|cost| !cost.is_memory()).collect();
    if times.is_empty() {
        return None;
    }
    let words = &lang.words().plots;
    let [title, caption] = words.times;
    let roles = [lang.words().baseline, lang.words().candidate];
    let mut rows = Vec::new();
    for cost in &times {
        for (role, name) in roles.iter().enumerate() {
            let Some(ends) = cost.ends(role) else {
                continue;
            };
            let [low, median, high] = ends.map(|it| lang.number(&words::value(it, cost.unit)));
            let n = cost.values[role].len().to_string();
            rows.push(vec![
                cost.name(lang),
                (*name).to_owned(),
                n,
                low,
                median,
                high,
            ]);
        }
    }
    Some(Plot {
        id: "times".to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svgs: times.iter().map(|cost| curves(cost, lang)).collect(),
        columns: words.quantiles.map(str::to_owned).to_vec(),
        rows,
        has_roles: true,
    })
}

fn curves(cost: &Cost, lang: Lang) -> String {
    let (left, right, top, bottom) = (52.0, WIDTH - 14.0, 30.0, HEIGHT - 28.0);
    let all = cost.values.iter().flatten();
    let low = all.clone().copied().fold(f64::INFINITY, f64::min);
    let high = all.copied().fold(f64::NEG_INFINITY, f64::max);
    let x = Scale::new((low, high), (left, right));
    let y = Scale::new((0.0, 1.0), (bottom, top));
    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.styled_text((left, 16.0), Anchor::Start, "panel", &cost.name(lang));
    for share in [0.0, 0.5, 1.0] {
        svg.line((left, y.at(share)), (right, y.at(share)), "grid");
        let label = format!("{:.0} %", share * 100.0);
        svg.text((left - 6.0, y.at(share) + 4.0), Anchor::End, &label);
    }
    for tick in x.ticks(4.0, round_in(cost.unit)) {
        let label = lang.number(&words::value(tick, cost.unit));
        svg.line((x.at(tick), bottom), (x.at(tick), bottom + 4.0), "zero");
        // The label of a tick at the edge would leave the drawing.
        let (place, anchor) = match x.at(tick) {
            at if at > right - 24.0 => (right + 10.0, Anchor::End),
            at => (at, Anchor::Middle),
        };
        svg.text((place, bottom + 18.0), anchor, &label);
    }
    for (values, class) in cost.values.iter().zip(["base curve", "cand curve"]) {
        svg.polyline(&steps(values, x, y), class);
    }
    let name = cost.name(lang);
    svg.finish(&format!("{}: {name}", lang.words().plots.times[0]))
}

/// The share of values up to each, as steps.
fn steps(values: &[f64], x: Scale, y: Scale) -> Vec<(f64, f64)> {
    let n = values.len();
    let n_points = n.min(MOST_POINTS);
    let mut points = Vec::new();
    let mut before = y.at(0.0);
    for point in 1..=n_points {
        let rank = point * n / n_points;
        let (at, share) = (x.at(values[rank - 1]), y.at(rank as f64 / n as f64));
        points.extend([(at, before), (at, share)]);
        before = share;
    }
    points
}
