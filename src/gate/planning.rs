//! How large a run must be: scenes, launches and minutes for given margins, from a pilot.
//!
//! In: a judged pilot and a policy. Out: one [`PlannedCheck`] for each required statistical check.
//! Spread and pace are taken from the pilot as they are, so the numbers are orders of magnitude.
//! Normal theory where Student's t decides: the noncentral t for one look, drawn launches where the
//! policy looks at them several times. Drawing from the pilot where betting, Tango's bound, McNemar's
//! test or a share of scenes does.

use serde::{Deserialize, Serialize};

use super::checks::{Sampled, Statistical, statistical};
use super::comparison::Comparison;
use super::pace::Pace;
use super::policy::{Method, Policy};
use super::sample::{Levels, Rules, Sample};
use super::simulate::{moved, n_units};
use super::verdict::Outcome;
use crate::stats::mean::moments;
use crate::stats::power::power;
use crate::stats::sequential::MeanTest;

/// Chance with which a planned run is to pass an equal model, and to fail a loss at the margin.
pub const CHANCE: f64 = 0.95;
/// More scenes than this are not planned.
const MOST_SCENES: usize = 20_000;
/// More launches than this are not planned.
const MOST_LAUNCHES: usize = 1_000;
/// Drawings by which a chance is judged: ± 2 points.
const TRIALS: usize = 2_000;

/// The plan of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCheck {
    /// Metric id.
    pub metric: String,
    /// Largest loss accepted: a share for scores, a ratio for times.
    pub margin: f64,
    /// What is counted: `scenes`, `clusters` or `launches`.
    pub unit: String,
    /// Units of the pilot.
    pub n_pilot: usize,
    /// Standard deviation of one unit in the pilot; absent without a spread.
    pub sd: Option<f64>,
    /// Chance that a run as large as the pilot passes an equal model.
    pub passes_equal: f64,
    /// Chance that a run as large as the pilot fails a loss as large as the margin.
    pub fails_at_margin: f64,
    /// Units with which an equal model passes with chance [`CHANCE`]; absent when unaffordable.
    pub n_to_pass: Option<usize>,
    /// Units with which a loss at the margin fails with chance [`CHANCE`]; absent when
    /// unaffordable.
    pub n_to_fail: Option<usize>,
    /// Units of the first look at which an equal model passes with chance one half; absent for
    /// scenes, and when no look does.
    pub first_look: Option<usize>,
    /// Seconds the larger of both numbers takes on this machine; absent when unknown.
    pub seconds: Option<f64>,
}

/// Plans every required statistical check of `policy` that has values in the pilot.
///
/// The same arguments give the same plan.
pub fn plan(pilot: &Comparison, policy: &Policy) -> Vec<PlannedCheck> {
    let family = statistical(pilot, policy);
    let levels = Levels {
        pass: policy.confidence.false_pass,
        fail: policy.confidence.false_fail / family.len().max(1) as f64,
    };
    let pace = Pace::of(pilot);
    let of = |check: &Statistical| {
        let case = Case {
            sampled: check.sampled.as_ref()?,
            levels,
        };
        Some(case.plan(&check.metric, pace))
    };
    family.iter().filter_map(of).collect()
}

struct Case<'a> {
    sampled: &'a Sampled,
    levels: Levels,
}

impl Case<'_> {
    fn plan(&self, metric: &str, pace: Pace) -> PlannedCheck {
        let Sampled { sample, rules, .. } = self.sampled;
        let n_pilot = n_units(sample);
        let (unit, seconds_each) = match sample {
            Sample::Launches(_) => ("launches", pace.launch_s),
            Sample::Clustered(losses, _) => {
                let size = losses.len() as f64 / n_pilot.max(1) as f64;
                ("clusters", pace.scene_s.map(|seconds| seconds * size))
            }
            _ => ("scenes", pace.scene_s),
        };
        let n_to_pass = self.needed(|n| self.chance(Outcome::Pass, self.equal(), n));
        let n_to_fail = self.needed(|n| self.chance(Outcome::Fail, rules.margin, n));
        let larger = n_to_pass.zip(n_to_fail).map(|(a, b)| a.max(b));
        PlannedCheck {
            metric: metric.to_owned(),
            margin: match sample {
                Sample::Launches(_) => rules.margin.exp_m1(),
                _ => rules.margin,
            },
            unit: unit.to_owned(),
            n_pilot,
            sd: moments(sample.values()).ok().map(|found| found.sd),
            passes_equal: self.chance(Outcome::Pass, self.equal(), n_pilot),
            fails_at_margin: self.chance(Outcome::Fail, rules.margin, n_pilot),
            n_to_pass,
            n_to_fail,
            first_look: self.first_look(),
            seconds: larger.zip(seconds_each).map(|(n, each)| n as f64 * each),
        }
    }

    /// The true loss of an equal model: none, or the share of collapses regarded as normal.
    fn equal(&self) -> f64 {
        match self.sampled.sample {
            Sample::Collapse(_) => self.sampled.rules.collapse.normal,
            _ => 0.0,
        }
    }

    /// Chance of `outcome` with `n` units and the true loss `loss`.
    fn chance(&self, outcome: Outcome, loss: f64, n: usize) -> f64 {
        self.by_theory(outcome, loss, n)
            .unwrap_or_else(|| self.by_drawing(outcome, loss, n))
    }

    /// Chance of normal units; `None` where Student's t is not what decides, or the pilot has no
    /// spread.
    fn by_theory(&self, outcome: Outcome, loss: f64, n: usize) -> Option<f64> {
        let Sampled { sample, rules, .. } = self.sampled;
        let is_t = match sample {
            Sample::Launches(_) => true,
            Sample::Graded(_) => outcome == Outcome::Fail || rules.method == Method::PlugIn,
            Sample::Rate(_) | Sample::Clustered(..) | Sample::Collapse(_) => false,
        };
        let sd = moments(sample.values()).ok().filter(|_| is_t)?.sd;
        if let (Sample::Launches(_), Some(looks)) = (sample, &rules.looks) {
            let Some(looks) = looks.within(n) else {
                return Some(0.0);
            };
            let test = MeanTest {
                margin: rules.margin,
                pass: self.levels.pass,
                fail: self.levels.fail,
            };
            let seed = rules.seed.derive("plan");
            let chances = looks.chances(&test, (loss, sd), TRIALS, &seed).ok()?;
            return Some(match outcome {
                Outcome::Pass => chances.pass,
                _ => chances.fail,
            });
        }
        match outcome {
            Outcome::Pass => power((rules.margin - loss) / sd, n, self.levels.pass).ok(),
            _ => power(loss / sd, n, self.levels.fail).ok(),
        }
    }

    fn by_drawing(&self, outcome: Outcome, loss: f64, n: usize) -> f64 {
        let Sampled { sample, rules, .. } = self.sampled;
        let rules = Rules {
            resamples: 499,
            looks: None,
            ..rules.clone()
        };
        let seed = rules.seed.derive(&format!("plan|{n}"));
        let hits = (0..TRIALS).filter(|trial| {
            let mut stream = seed.stream(*trial as u64);
            let drawn = moved(sample, &rules, loss, n, &mut stream);
            drawn.outcome(&rules, self.levels) == outcome
        });
        hits.count() as f64 / TRIALS as f64
    }

    /// Smallest number of units with which `chance` reaches [`CHANCE`]; within one percent where
    /// it is simulated.
    fn needed(&self, chance: impl Fn(usize) -> f64) -> Option<usize> {
        let most = match self.sampled.sample {
            Sample::Launches(_) => MOST_LAUNCHES,
            _ => MOST_SCENES,
        };
        let mut high = 4;
        while chance(high) < CHANCE {
            if high >= most {
                return None;
            }
            high = (high * 2).min(most);
        }
        let mut low = high / 2;
        while high - low > 1 + high / 100 {
            let middle = usize::midpoint(low, high);
            if chance(middle) >= CHANCE {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    fn first_look(&self) -> Option<usize> {
        let Sampled { sample, rules, .. } = self.sampled;
        let (Sample::Launches(centres), Some(looks)) = (sample, &rules.looks) else {
            return None;
        };
        let sd = moments(centres).ok()?.sd;
        let passes = |index: &usize| {
            let look = looks.looks()[*index];
            let level = self.levels.pass * look.share;
            power(rules.margin / sd, look.units, level).is_ok_and(|chance| chance >= 0.5)
        };
        let index = (0..looks.looks().len()).find(passes)?;
        Some(looks.looks()[index].units)
    }
}

#[cfg(test)]
#[path = "planning_tests.rs"]
mod tests;
