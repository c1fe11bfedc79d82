//! A drawing of lines, marks and text; its colours come from the page's style sheet.

use std::fmt::Write as _;

use crate::gate::Outcome;
use crate::report::escape::{cut, html};

/// Characters of a label.
const MOST_LABEL: usize = 60;

/// Where a text hangs on its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A map of an interval of values onto pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// Maps `values` onto `pixels`; an interval without width is widened, so that every value has
    /// a place.
    pub(super) fn new(values: (f64, f64), pixels: (f64, f64)) -> Self {
        let (low, high) = values;
        let pad = if high > low {
            0.0
        } else if high.abs() > 0.0 {
            high.abs() * 0.1
        } else {
            0.05
        };
        Self {
            from: (low - pad, high + pad),
            to: pixels,
        }
    }

    /// The pixel of a value; values beyond the ends stand at them.
    pub(super) fn at(self, value: f64) -> f64 {
        let (low, high) = self.from;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// Round values within the interval, about `n` of them.
    ///
    /// * `unit`: what a round value is a multiple of, e.g. 2^20 for bytes that are shown as MiB
    pub(super) fn ticks(self, n: f64, unit: f64) -> Vec<f64> {
        let (low, high) = (self.from.0 / unit, self.from.1 / unit);
        let raw = (high - low) / n;
        let power = 10f64.powf(raw.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(power * 10.0);
        let mut ticks = Vec::new();
        let mut at = (low / step).ceil();
        while at * step <= high + step * 1e-9 && ticks.len() < 50 {
            // Adding zero turns −0 into 0.
            ticks.push(at * step * unit + 0.0);
            at += 1.0;
        }
        ticks
    }
}

/// What a round value of a unit is a multiple of.
pub(super) fn round_in(unit: &str) -> f64 {
    match unit {
        "bytes" => f64::from(1u32 << 20),
        _ => 1.0,
    }
}

/// A drawing in the making.
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(pixel);
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#
        ));
    }

    /// * `corner`: upper left · `size`: width and height
    pub(super) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str) {
        let [x, y, w, h] = [corner.0, corner.1, size.0, size.1].map(pixel);
        self.push(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{w}" height="{h}"/>"#
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{},{}", pixel(*x), pixel(*y)))
            .collect();
        let points = points.join(" ");
        self.push(format_args!(
            r#"<polyline class="{class}" points="{points}"/>"#
        ));
    }

    pub(super) fn dot(&mut self, at: (f64, f64), class: &str) {
        let (x, y) = (pixel(at.0), pixel(at.1));
        self.push(format_args!(
            r#"<circle class="{class}" cx="{x}" cy="{y}" r="4"/>"#
        ));
    }

    /// A dot, square or diamond by outcome, so that shapes tell outcomes apart without colour.
    pub(super) fn mark(&mut self, at: (f64, f64), outcome: Option<Outcome>) {
        let (x, y) = at;
        match outcome {
            Some(Outcome::Fail | Outcome::Invalid) => {
                self.rect((x - 4.5, y - 4.5), (9.0, 9.0), "mark fail");
            }
            Some(Outcome::Inconclusive) => {
                let [x0, x1, x2] = [x - 6.0, x, x + 6.0].map(pixel);
                let [y0, y1, y2] = [y - 6.0, y, y + 6.0].map(pixel);
                self.push(format_args!(
                    r#"<polygon class="mark open" points="{x1},{y0} {x2},{y1} {x1},{y2} {x0},{y1}"/>"#
                ));
            }
            Some(Outcome::Pass) => self.dot(at, "mark pass"),
            None => self.dot(at, "mark watched"),
        }
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, text: &str) {
        self.styled_text(at, anchor, "", text);
    }

    pub(super) fn styled_text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (pixel(at.0), pixel(at.1));
        let text = html(&cut(text, MOST_LABEL));
        self.push(format_args!(
            r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    /// The element, named `label` for those who cannot see it.
    pub(super) fn finish(self, label: &str) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n{body}</svg>",
            html(label)
        )
    }
}

/// A pixel with one decimal, none where it is whole.
fn pixel(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let shown = |ticks: Vec<f64>| {
            let shown = ticks.iter().map(|tick| format!("{tick:.1}"));
            shown.collect::<Vec<_>>()
        };
        let ticks = Scale::new((-0.13, 0.42), (0.0, 100.0)).ticks(5.0, 1.0);
        assert_eq!(shown(ticks), ["0.0", "0.2", "0.4"]);
        let mib = round_in("bytes");
        let ticks = Scale::new((15.2 * mib, 19.9 * mib), (0.0, 100.0)).ticks(3.0, mib);
        let ticks = ticks.iter().map(|tick| tick / mib).collect();
        assert_eq!(shown(ticks), ["16.0", "18.0"]);
        let constant = Scale::new((3.0, 3.0), (0.0, 100.0)).ticks(5.0, 1.0);
        assert!(!constant.is_empty());
    }

    #[test]
    fn values_beyond_the_ends_stand_at_them() {
        let scale = Scale::new((0.0, 10.0), (100.0, 200.0));
        let places = [-5.0, 0.0, 5.0, 50.0].map(|value| pixel(scale.at(value)));
        assert_eq!(places, ["100", "100", "150", "200"]);
        let constant = Scale::new((2.0, 2.0), (0.0, 10.0));
        assert_eq!(pixel(constant.at(2.0)), "5");
    }

    #[test]
    fn labels_are_escaped_and_cut() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text((0.0, 0.0), Anchor::Start, "<script>alert(1)</script>");
        svg.text((0.0, 0.0), Anchor::Start, &"x".repeat(100_000));
        let text = svg.finish("\"><script>");
        assert!(!text.contains("<script"), "{text}");
        assert!(text.len() < 1_000);
    }
}
