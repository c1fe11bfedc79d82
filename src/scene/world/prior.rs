//! What is filmed, how long and how much: the priors of the simulated world.
//!
//! Source: shares, durations and events of 23,542 English sentences that people wrote about 1,854
//! surveillance videos (UCA captions of the UCF-Crime videos, Apache-2.0). Captions name what
//! people find worth telling; how often a detector sees a thing differs.

use super::super::dice::{Dice, geometric};

/// A label of the world.
pub(super) struct Kind {
    /// English COCO name.
    pub(super) label: &'static str,
    /// Sentences that name it, in hundredths of a per cent.
    pub(super) share: u32,
    /// Weight of a draw: the share in per cent to the power 0.7, times 100, so that rare labels
    /// are seen.
    pub(super) weight: u32,
    /// Height in pixels of an object at the lower edge of the picture.
    pub(super) height: u32,
    /// Width in per mille of the height.
    pub(super) width: u32,
    /// Whether it crosses the view; the others stand where they are.
    pub(super) is_mobile: bool,
}

const fn kind(
    label: &'static str,
    share: u32,
    weight: u32,
    size: (u32, u32),
    is_mobile: bool,
) -> Kind {
    Kind {
        label,
        share,
        weight,
        height: size.0,
        width: size.1,
        is_mobile,
    }
}

/// Every label of the world, the most frequent first.
pub(super) const KINDS: [Kind; 28] = [
    kind("person", 7260, 2008, (360, 400), true),
    kind("car", 2530, 960, (280, 1700), true),
    kind("truck", 520, 317, (480, 1600), true),
    kind("dining table", 390, 259, (220, 1800), false),
    kind("handbag", 290, 211, (110, 1000), true),
    kind("motorcycle", 270, 200, (240, 1300), true),
    kind("cell phone", 195, 160, (60, 600), false),
    kind("bus", 175, 148, (520, 2200), true),
    kind("bicycle", 102, 101, (230, 1500), true),
    kind("laptop", 97, 98, (100, 1300), false),
    kind("chair", 93, 95, (200, 700), false),
    kind("backpack", 56, 67, (130, 800), true),
    kind("bottle", 43, 55, (80, 350), false),
    kind("dog", 42, 54, (160, 1400), true),
    kind("bed", 30, 43, (220, 2200), false),
    kind("couch", 26, 39, (240, 2200), false),
    kind("tv", 20, 32, (180, 1600), false),
    kind("knife", 20, 32, (60, 400), false),
    kind("train", 18, 30, (520, 3000), true),
    kind("cup", 15, 27, (60, 800), false),
    kind("suitcase", 13, 24, (170, 700), true),
    kind("traffic light", 9, 19, (200, 400), false),
    kind("umbrella", 8, 17, (140, 1100), true),
    kind("bench", 5, 12, (200, 2000), false),
    kind("cat", 5, 12, (100, 1300), true),
    kind("bird", 2, 6, (70, 1100), true),
    kind("horse", 1, 4, (400, 1200), true),
    kind("cow", 1, 4, (340, 1500), true),
];

/// The kind called `label`; a potted plant, which no caption names, included.
pub(super) fn kind_of(label: &str) -> &'static Kind {
    const PLANT: Kind = kind("potted plant", 0, 0, (180, 700), false);
    KINDS
        .iter()
        .find(|kind| kind.label == label)
        .unwrap_or(&PLANT)
}

/// Whether fewer than one sentence in a hundred names `label`.
pub fn is_rare(label: &str) -> bool {
    kind_of(label).share < 100
}

/// Length of a video in seconds at quantile `u`: 10, 22, 71, 330 and 1800 s at 0, 10, 50, 90 and
/// 100 %, log-linear in between.
pub fn duration_s(u: f64) -> f64 {
    const POINTS: [(f64, f64); 5] = [
        (0.0, 10.0),
        (0.1, 22.0),
        (0.5, 71.0),
        (0.9, 330.0),
        (1.0, 1800.0),
    ];
    along(&POINTS, u)
}

/// Number of tracks at quantile `u`: 2, 6, 18 and 40 at 10, 50, 90 and 100 %, rising evenly from
/// 0 below the first.
pub fn tracks(u: f64) -> f64 {
    const POINTS: [(f64, f64); 4] = [(0.1, 2.0), (0.5, 6.0), (0.9, 18.0), (1.0, 40.0)];
    if u < 0.1 { 20.0 * u } else { along(&POINTS, u) }
}

fn along(points: &[(f64, f64)], u: f64) -> f64 {
    let last = points[points.len() - 1].1;
    points
        .windows(2)
        .find(|pair| u < pair[1].0)
        .map_or(last, |pair| {
            let [(from, low), (to, high)] = [pair[0], pair[1]];
            geometric(low, high, (u - from) / (to - from))
        })
}

/// How many people go together: the quantifiers of the captions from *two* to *eight*.
pub(super) fn group_size(dice: &mut Dice) -> usize {
    2 + dice.weighted(&[2691, 755, 258, 88, 39, 22, 7])
}

/// One label by the flattened prior.
pub(super) fn any(dice: &mut Dice) -> &'static str {
    KINDS[dice.weighted(&KINDS.each_ref().map(|kind| kind.weight))].label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_flattened_shares() {
        for kind in &KINDS {
            let flat = 100.0 * (f64::from(kind.share) / 100.0).powf(0.7);
            assert!(
                (flat - f64::from(kind.weight)).abs() <= 0.5,
                "{}",
                kind.label
            );
        }
    }

    #[test]
    fn the_quantiles_are_those_measured() {
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
        assert!(near(duration_s(0.1), 22.0) && near(duration_s(0.9), 330.0));
        assert!(near(tracks(0.1), 2.0) && near(tracks(0.5), 6.0) && near(tracks(0.05), 1.0));
    }
}
