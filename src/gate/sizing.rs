//! What would settle an undecided check: scenes, launches, minutes.

use super::pace::{Pace, duration};
use super::policy::Method;
use super::sample::{Levels, Rules, Sample, collapsed};
use crate::stats::betting::{self, Game, chance_to_certify};
use crate::stats::bounded::draws_needed;
use crate::stats::cluster::cluster_means;
use crate::stats::mean::{Moments, moments};
use crate::stats::paired_proportion::Discordant;
use crate::stats::power::{POWER, power, units_needed};
use crate::stats::proportion;
use crate::stats::sequential::{Look, Looks};

/// More scenes than this are not worth proposing.
pub(crate) const MOST_SCENES: usize = 5_000;
/// More launches than this are not worth proposing.
const MOST_LAUNCHES: usize = 200;
/// Resamples by which the chance to pass by betting is judged.
const TRIALS: usize = 1_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Units {
    Scenes,
    Launches,
}

/// A sentence on what would settle a check.
///
/// The smallest sample with which the check passes, or fails, with chance [`POWER`] if effect and
/// spread are what they look like now.
pub(crate) fn needed(
    sample: &Sample,
    rules: &Rules,
    levels: Levels,
    units: Units,
    pace: Pace,
) -> String {
    let found = match sample {
        Sample::Collapse(losses) => {
            let (k, n) = collapsed(losses, &rules.collapse);
            rate_total(k, n, rules.margin, levels.pass)
        }
        _ => total(sample, rules, levels, units),
    };
    match found {
        Some(total) => {
            let n_more = total.saturating_sub(sample.values().len()).max(1);
            more(n_more, units, pace)
        }
        None if matches!(sample, Sample::Collapse(_)) => {
            "the share of collapsed scenes is too near the margin for any affordable sample"
                .to_owned()
        }
        None => "the effect sits at the margin; no affordable sample decides it".to_owned(),
    }
}

/// `about 70 more scenes would settle it (≈ 9 min here)`.
pub(crate) fn more(n: usize, units: Units, pace: Pace) -> String {
    let (unit, seconds) = match (units, n) {
        (Units::Scenes, 1) => ("scene", pace.scene_s),
        (Units::Scenes, _) => ("scenes", pace.scene_s),
        (Units::Launches, 1) => ("launch", pace.launch_s),
        (Units::Launches, _) => ("launches", pace.launch_s),
    };
    let time = duration(n, seconds).map_or(String::new(), |time| format!(" (≈ {time})"));
    format!("about {n} more {unit} would settle it{time}")
}

/// Units in all with which the check is settled; `None` beyond what is affordable.
fn total(sample: &Sample, rules: &Rules, levels: Levels, units: Units) -> Option<usize> {
    if let (Sample::Launches(centres), Some(looks)) = (sample, &rules.looks) {
        return by_looks(centres, rules.margin, levels, looks);
    }
    let most = match units {
        Units::Scenes => MOST_SCENES,
        Units::Launches => MOST_LAUNCHES,
    };
    // Scenes of a cluster come together: clusters are counted, and scenes are told.
    let (values, per_unit) = match sample {
        Sample::Clustered(losses, clusters) => {
            let means = cluster_means(losses, clusters).ok()?;
            let size = losses.len().div_ceil(means.len().max(1));
            (means, size)
        }
        _ => (sample.values().to_vec(), 1),
    };
    let fail = moments(&values).ok().and_then(|found| {
        let Moments { mean, sd, .. } = found;
        units_needed(mean, sd, levels.fail, most)
    });
    let pass = match (sample, rules.method) {
        (Sample::Launches(_), _) => by_t(&values, rules, levels, most),
        (_, Method::Guaranteed) => by_betting(&values, rules, levels, most),
        (Sample::Rate(_), Method::PlugIn) => {
            by_t(&values, rules, levels, most).or_else(|| by_tango(&values, rules, levels, most))
        }
        (_, Method::PlugIn) => by_t(&values, rules, levels, most)
            .or_else(|| without_spread(&values, rules.margin, levels.pass, most)),
    };
    let units = pass.into_iter().chain(fail).min()?;
    Some(units * per_unit)
}

/// Launches with which a look to come decides with chance [`POWER`], at the share of the level it
/// has; beyond the last look, a longer run whose last look has the last share.
fn by_looks(centres: &[f64], margin: f64, levels: Levels, looks: &Looks) -> Option<usize> {
    let Moments { mean, sd, .. } = moments(centres).ok()?;
    let sides = [(margin - mean, levels.pass), (mean, levels.fail)];
    let decides = |look: &&Look| {
        sides.iter().any(|(gap, level)| {
            power(gap / sd, look.units, level * look.share).is_ok_and(|chance| chance >= POWER)
        })
    };
    let mut to_come = looks.looks().iter().filter(|it| it.units > centres.len());
    if let Some(look) = to_come.find(decides) {
        return Some(look.units);
    }
    let last = looks.looks().last()?;
    let longer = sides.iter().filter_map(|(gap, level)| {
        units_needed(*gap, sd, level * last.share, MOST_LAUNCHES)
            .map(|units| units.max(last.units + 1))
    });
    longer.min()
}

fn by_t(values: &[f64], rules: &Rules, levels: Levels, most: usize) -> Option<usize> {
    let Moments { mean, sd, .. } = moments(values).ok()?;
    units_needed(rules.margin - mean, sd, levels.pass, most)
}

/// Scenes with which roles that never differ are shown to stay within the margin.
fn by_tango(losses: &[f64], rules: &Rules, levels: Levels, most: usize) -> Option<usize> {
    if losses.iter().any(|loss| *loss != 0.0) {
        return None;
    }
    let shows = |n: &usize| {
        let agreed = Discordant::new(0, 0, *n as u64).and_then(|none| none.tango(levels.pass));
        agreed.is_ok_and(|bounds| bounds.high < rules.margin)
    };
    (losses.len() + 1..=most).find(shows)
}

/// Scenes with which bets on scenes like these certify the margin with chance [`POWER`].
fn by_betting(losses: &[f64], rules: &Rules, levels: Levels, most: usize) -> Option<usize> {
    let gains: Vec<f64> = losses.iter().map(|loss| -loss).collect();
    let gains = betting::shuffled(&gains, &rules.seed);
    let certifies = |planned: usize| {
        let game = Game {
            planned,
            margin: rules.margin,
            alpha: levels.pass,
        };
        chance_to_certify(&gains, &game, TRIALS, &rules.seed).is_ok_and(|chance| chance >= POWER)
    };
    let (mut fails, mut holds) = (losses.len(), losses.len() + 1);
    while !certifies(holds) {
        if holds >= most {
            return None;
        }
        (fails, holds) = (holds, (holds * 3 / 2).min(most));
    }
    // Chances are simulated: five scenes more or less are not told apart.
    while holds - fails > 5 {
        let middle = usize::midpoint(fails, holds);
        if certifies(middle) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    Some(holds)
}

/// Scenes of the same share of collapses that would show it to stay within the margin.
fn rate_total(k: u64, n: u64, margin: f64, alpha: f64) -> Option<usize> {
    let share = k as f64 / n as f64;
    let shows = |total: &u64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of scenes"
        )]
        let k = (share * *total as f64).ceil() as u64;
        proportion::upper_bound(k, *total, alpha).is_ok_and(|high| high <= margin)
    };
    let total = (n + 1..=MOST_SCENES as u64).find(shows)?;
    usize::try_from(total).ok()
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
    use crate::gate::policy::Policy;
    use crate::stats::rng::Seed;

    const LEVELS: Levels = Levels {
        pass: 0.05,
        fail: 0.0025,
    };

    fn rules(method: Method, margin: f64) -> Rules {
        Rules {
            method,
            margin,
            collapse: Policy::built_in().collapse,
            looks: None,
            seed: Seed::of_digest([3; 32]),
            resamples: 999,
        }
    }

    fn spread(mean: f64, sd: f64, n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| if i % 2 == 0 { mean - sd } else { mean + sd })
            .collect()
    }

    #[track_caller]
    fn check(sample: &Sample, method: Method, margin: f64, units: Units, expected: &str) {
        let found = needed(
            sample,
            &rules(method, margin),
            LEVELS,
            units,
            Pace::default(),
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn an_equal_but_noisy_model_needs_more_scenes() {
        let sample = Sample::Graded(spread(0.0, 0.3, 60));
        check(
            &sample,
            Method::PlugIn,
            0.05,
            Units::Scenes,
            "about 168 more scenes would settle it",
        );
    }

    #[test]
    fn minutes_follow_from_the_pace() {
        let pace = Pace {
            scene_s: Some(2.0),
            launch_s: None,
        };
        let text = needed(
            &Sample::Graded(spread(0.0, 0.3, 60)),
            &rules(Method::PlugIn, 0.05),
            LEVELS,
            Units::Scenes,
            pace,
        );
        assert_eq!(text, "about 168 more scenes would settle it (≈ 6 min here)");
    }

    #[test]
    fn a_loss_at_the_margin_settles_by_failing() {
        let sample = Sample::Graded(spread(0.05, 0.3, 60));
        check(
            &sample,
            Method::PlugIn,
            0.05,
            Units::Scenes,
            "about 432 more scenes would settle it",
        );
    }

    #[test]
    fn a_hopeless_spread_is_said_to_be_one() {
        let hopeless = "the effect sits at the margin; no affordable sample decides it";
        let launches = Sample::Launches(spread(0.05, 5.0, 6));
        check(&launches, Method::PlugIn, 0.1, Units::Launches, hopeless);
        let bets = Sample::Graded(spread(0.03, 0.9, 60));
        check(&bets, Method::Guaranteed, 0.05, Units::Scenes, hopeless);
    }

    #[test]
    fn launches_are_settled_at_a_look() {
        let looked = |looks: Looks, sample: &Sample| {
            let rules = Rules {
                looks: Some(looks),
                ..rules(Method::PlugIn, 0.03)
            };
            total(sample, &rules, LEVELS, Units::Launches)
        };
        let equal = Sample::Launches(spread(0.0, 0.025, 6));
        let once = total(
            &equal,
            &rules(Method::PlugIn, 0.03),
            LEVELS,
            Units::Launches,
        );
        // One look would do with seven launches; the look at ten has a sixth of the level.
        assert_eq!(once, Some(7));
        assert_eq!(looked(Looks::without_continuation(), &equal), Some(15));
        // After the last look a longer run, at the level its last look will have.
        let wide = Sample::Launches(spread(0.0, 0.05, 20));
        let longer = looked(Looks::without_continuation(), &wide).unwrap();
        let at = |n| power(0.03 / moments(wide.values()).unwrap().sd, n, 0.025).unwrap();
        assert!(at(longer) >= POWER && at(longer - 1) < POWER, "{longer}");
    }

    #[test]
    fn equal_small_losses_need_the_rule_of_three() {
        let sample = Sample::Graded(vec![0.01; 60]);
        check(
            &sample,
            Method::PlugIn,
            0.05,
            Units::Scenes,
            "about 13 more scenes would settle it",
        );
        let hopeless = "the effect sits at the margin; no affordable sample decides it";
        let sample = Sample::Graded(vec![0.05; 60]);
        check(&sample, Method::PlugIn, 0.05, Units::Scenes, hopeless);
    }

    #[test]
    fn what_betting_needs_is_found_by_trying() {
        let sample = Sample::Graded(spread(0.0, 0.08, 100));
        let found = total(
            &sample,
            &rules(Method::Guaranteed, 0.02),
            LEVELS,
            Units::Scenes,
        );
        let found = found.unwrap();
        let chance = |planned| {
            let game = Game {
                planned,
                margin: 0.02,
                alpha: 0.05,
            };
            let gains: Vec<f64> = sample.values().iter().map(|loss| -loss).collect();
            chance_to_certify(&gains, &game, 4_000, &Seed::of_digest([9; 32])).unwrap()
        };
        let at = chance(found);
        assert!((at - POWER).abs() < 0.05, "{found} scenes: {at}");
    }

    #[test]
    fn what_is_missing_to_a_pass_is_counted_in_scenes() {
        // None of 50: 59 scenes show a share below 5 %, as 0.95^59 < 0.05.
        assert_eq!(rate_total(0, 50, 0.05, 0.05), Some(59));
        assert_eq!(rate_total(10, 50, 0.05, 0.05), None);
    }
}
