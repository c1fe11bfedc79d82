//! What would settle an undecided check.

use crate::stats::bounded::draws_needed;
use crate::stats::mean::{Moments, moments};
use crate::stats::power::units_needed;

/// More scenes than this are not worth proposing.
pub(crate) const MOST_SCENES: usize = 5_000;
/// More launches than this are not worth proposing.
const MOST_LAUNCHES: usize = 200;

/// The one-sided levels a check is decided at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    /// False-pass rate of the check.
    pub(crate) pass: f64,
    /// The check's share of the false-fail rate.
    pub(crate) fail: f64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Units {
    Scenes,
    Launches,
}

/// A sentence on what would settle a check whose losses are known.
///
/// * `losses`: `[n]`, one per unit, on the scale of `margin`
pub(crate) fn needed(losses: &[f64], margin: f64, levels: Levels, units: Units) -> String {
    let most = match units {
        Units::Scenes => MOST_SCENES,
        Units::Launches => MOST_LAUNCHES,
    };
    let total = match moments(losses) {
        Ok(Moments { mean, sd, .. }) => {
            let pass = units_needed(margin - mean, sd, levels.pass, most);
            let fail = units_needed(mean, sd, levels.fail, most);
            pass.into_iter().chain(fail).min()
        }
        Err(_) if units == Units::Scenes => without_spread(losses, margin, levels.pass, most),
        Err(_) => None,
    };
    match total {
        Some(total) => more(total.saturating_sub(losses.len()).max(1), units),
        None => "the effect sits at the margin; no affordable sample decides it".to_owned(),
    }
}

/// `about 70 more scenes would settle it`.
pub(crate) fn more(n: usize, units: Units) -> String {
    let unit = match (units, n) {
        (Units::Scenes, 1) => "scene",
        (Units::Scenes, _) => "scenes",
        (Units::Launches, 1) => "launch",
        (Units::Launches, _) => "launches",
    };
    format!("about {n} more {unit} would settle it")
}

/// Scenes after which the largest loss seen leaves too little room for an unseen one.
fn without_spread(losses: &[f64], margin: f64, alpha: f64, most: usize) -> Option<usize> {
    let largest = losses.iter().copied().reduce(f64::max)?;
    // Solves largest + (1 − largest)·q < margin for the unseen share q.
    let room = (margin - largest) / (1.0 - largest);
    if room <= 0.0 || room >= 1.0 {
        return None;
    }
    Some(draws_needed(room, alpha)).filter(|n| *n <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels {
        pass: 0.05,
        fail: 0.0025,
    };

    fn spread(mean: f64, sd: f64, n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| if i % 2 == 0 { mean - sd } else { mean + sd })
            .collect()
    }

    #[test]
    fn an_equal_but_noisy_model_needs_more_scenes() {
        let text = needed(&spread(0.0, 0.3, 60), 0.05, LEVELS, Units::Scenes);
        assert_eq!(text, "about 168 more scenes would settle it");
    }

    #[test]
    fn a_loss_at_the_margin_settles_by_failing() {
        let text = needed(&spread(0.05, 0.3, 60), 0.05, LEVELS, Units::Scenes);
        assert_eq!(text, "about 432 more scenes would settle it");
    }

    #[test]
    fn a_hopeless_spread_is_said_to_be_one() {
        let text = needed(&spread(0.05, 5.0, 6), 0.1, LEVELS, Units::Launches);
        assert_eq!(
            text,
            "the effect sits at the margin; no affordable sample decides it"
        );
    }

    #[test]
    fn equal_small_losses_need_the_rule_of_three() {
        let text = needed(&[0.01; 60], 0.05, LEVELS, Units::Scenes);
        assert_eq!(text, "about 13 more scenes would settle it");
        let text = needed(&[0.05; 60], 0.05, LEVELS, Units::Scenes);
        assert_eq!(
            text,
            "the effect sits at the margin; no affordable sample decides it"
        );
    }
}
