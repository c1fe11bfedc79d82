//! Every change with its bounds, told as a share of what is allowed.

use super::Plot;
use super::svg::{Anchor, Scale, Svg};
use crate::gate::Outcome;
use crate::gate::file::CheckFile;
use crate::report::table;
use crate::report::wording::Lang;

const WIDTH: f64 = 760.0;
const ROW: f64 = 26.0;
/// Left and right end of the axis.
const AXIS: (f64, f64) = (220.0, 560.0);
/// Shares of the allowance at the ends; what lies beyond stands at them.
const ENDS: (f64, f64) = (-1.5, 2.5);

/// * `alpha`: error rate of each bound
///
/// `None` without a required check that has a change and an allowance.
pub(super) fn draw(checks: &[CheckFile], alpha: f64, lang: Lang) -> Option<Plot> {
    let rows: Vec<(&CheckFile, [f64; 3])> = checks
        .iter()
        .filter(|check| check.required)
        .filter_map(|check| Some((check, shares(check)?)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let words = &lang.words().plots;
    let [title, caption] = words.intervals;
    let height = ROW * rows.len() as f64 + 50.0;
    let bottom = height - 30.0;
    let scale = Scale::new(ENDS, AXIS);
    let mut svg = Svg::new(WIDTH, height);
    for (at, class) in [(0.0, "zero"), (1.0, "limit")] {
        svg.line((scale.at(at), 10.0), (scale.at(at), bottom), class);
    }
    let [better, same, allowed] = words.axis;
    svg.text(
        (scale.at(ENDS.0), bottom + 18.0),
        Anchor::Start,
        &format!("← {better}"),
    );
    svg.text((scale.at(0.0), bottom + 18.0), Anchor::Middle, same);
    svg.text((scale.at(1.0), bottom + 18.0), Anchor::Start, allowed);
    for (i, (check, [low, point, high])) in rows.iter().enumerate() {
        let y = ROW * i as f64 + 24.0;
        let outcome = check.outcome.map(Outcome::from);
        svg.text((AXIS.0 - 12.0, y + 4.0), Anchor::End, &check.metric);
        // What lies beyond an end comes in from it, with an arrow.
        let (mut from, mut to) = (scale.at(*low), scale.at(*high));
        if *high > ENDS.1 {
            from = from.min(AXIS.1 - 24.0);
            svg.text((AXIS.1 + 8.0, y + 4.0), Anchor::Start, "→");
        }
        if *low < ENDS.0 {
            to = to.max(AXIS.0 + 24.0);
        }
        if to > from {
            svg.line((from, y), (to, y), class(outcome));
        }
        svg.mark((scale.at(*point), y), outcome);
        let cells = table::row(lang, check).cells;
        svg.text((AXIS.1 + 28.0, y + 4.0), Anchor::Start, &cells[3]);
    }
    let titles = lang.columns(alpha);
    // Check, change, allowed, outcome.
    let places = [0, 3, 5, 6];
    Some(Plot {
        id: "intervals".to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svgs: vec![svg.finish(title)],
        columns: places.map(|i| titles[i].clone()).to_vec(),
        rows: rows
            .iter()
            .map(|(check, _)| {
                let cells = table::row(lang, check).cells;
                places.map(|i| cells[i].clone()).to_vec()
            })
            .collect(),
        has_roles: false,
    })
}

fn class(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Pass) => "bar pass",
        Some(Outcome::Inconclusive) => "bar open",
        Some(Outcome::Fail | Outcome::Invalid) => "bar fail",
        None => "bar watched",
    }
}

/// Lower bound, point and upper bound as shares of the allowance, harm to the right.
fn shares(check: &CheckFile) -> Option<[f64; 3]> {
    let allowed = check.allowed.filter(|allowed| *allowed != 0.0)?;
    let point = check.change?;
    let (low, high) = match &check.estimate {
        Some(estimate) => (estimate.low, estimate.high),
        None => (point, point),
    };
    let shares = [low / allowed, point / allowed, high / allowed];
    Some(if allowed < 0.0 {
        [shares[2], shares[1], shares[0]]
    } else {
        shares
    })
}
