//! How often this very gate errs on this very data, by resampling it.
//!
//! In: a comparison and a policy. Out: a [`Certificate`]. Two questions are asked of the required
//! statistical checks and the slices; rules without statistics speak of these scenes only.
//!
//! - *Equal models*: if the roles were exchangeable, each scene and each launch could as well have
//!   come out with the roles swapped. So one random sign per scene and one per launch, shared by
//!   all checks, and the whole gate again: the shares of pass, fail and inconclusive. A scene that
//!   fell apart has no sign: scenes fall apart as often as they did in both directions.
//! - *Power*: each check's values, centred, moved to a half, one and two margins and drawn with
//!   replacement: how often the check passes and fails there. At one margin a pass is an error.
//!
//! Blind to what the run itself could not see: a bias of the machine, or scenes nobody drew.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::checks::{Sampled, Statistical, statistical};
use super::comparison::Comparison;
use super::policy::{Collapse, Policy};
use super::sample::{Levels, Rules, Sample, collapsed, holm_levels};
use super::simulate::{moved, n_units};
use super::slices::{Part, parts};
use super::verdict::Outcome;
use super::waiver;
use crate::stats::bounded::unseen_share;
use crate::stats::mean::moments;
use crate::stats::power::detectable_effect;
use crate::stats::proportion;
use crate::stats::rng::{Seed, Stream};

/// Replicates of a certificate.
pub const REPLICATES: usize = 2_000;

/// Bootstrap resamples inside a replicate.
const RESAMPLES: usize = 999;

/// Losses that are tried, in margins.
const EFFECTS: [f64; 3] = [0.5, 1.0, 2.0];

/// Chance with which a loss counts as detectable and a margin as certifiable.
const SURE: f64 = 0.95;

/// Measured error rates of the gate on the data of a run, as saved in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Replicates behind every rate.
    pub replicates: usize,
    /// The whole gate on exchangeable roles; absent when nothing could be flipped.
    pub equal: Option<Rates>,
    /// Whether any score over scenes differs between the roles; if not, equal models say nothing
    /// of the checks on scenes.
    pub scenes_exercised: bool,
    /// Whether there were launches to flip.
    pub launches_exercised: bool,
    /// Largest share of scenes that may behave in a way none of these did.
    pub unseen_share: Option<f64>,
    /// One entry per required statistical check with values, in the order of the policy.
    pub checks: Vec<CheckPower>,
}

/// How often the whole gate decided so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Share of replicates that passed.
    pub pass: f64,
    /// Share that failed.
    pub fail: f64,
    /// Upper 95 % bound of the share that failed.
    pub fail_at_most: f64,
    /// Share left undecided.
    pub inconclusive: f64,
}

/// What one check can tell apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckPower {
    /// Metric id.
    pub metric: String,
    /// Smallest loss that fails with probability 0.95, as a share or a ratio; absent without a
    /// spread, and before the first look.
    pub detectable: Option<f64>,
    /// Smallest margin that an equal model passes with probability 0.95; absent without a spread,
    /// and before the first look.
    pub certifiable: Option<f64>,
    /// Outcomes at a half, one and two margins.
    pub at: Vec<AtEffect>,
}

/// Outcomes of a check when the true loss is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtEffect {
    /// The loss in margins.
    pub margins: f64,
    /// Share of replicates in which the check passed.
    pub pass: f64,
    /// Share in which it failed.
    pub fail: f64,
}

/// A check that has values.
#[derive(Clone)]
struct Ready {
    metric: String,
    sampled: Sampled,
}

impl Certificate {
    /// The certificate of a judged comparison.
    ///
    /// * `replicates`: at least 1; [`REPLICATES`] in a report
    ///
    /// The same arguments give the same certificate on any number of threads: each replicate has a
    /// stream of its own. `None` when no required check rests on a sample.
    pub fn of(comparison: &Comparison, policy: &Policy, replicates: usize) -> Option<Self> {
        let family = statistical(comparison, policy);
        // A waived check is judged by its ceiling; slices are not waived.
        let eased = waiver::eased(comparison, policy);
        let judged = statistical(comparison, eased.as_ref().unwrap_or(policy));
        let ready: Vec<Ready> = judged.iter().filter_map(ready).collect();
        if ready.is_empty() || replicates == 0 {
            return None;
        }
        let key = Seed::of_digest(*comparison.baseline().plan.seed.as_bytes());
        let seed = key.attempt(1, "certificate");
        let gate = Gate {
            parts: parts(comparison, policy, &family)
                .into_iter()
                .map(|part| Part {
                    sampled: cheaper(&part.sampled),
                    ..part
                })
                .collect(),
            scenes: scenes_of(&ready),
            policy,
            family: &ready,
        };
        let by_scene = |ready: &&Ready| !matches!(ready.sampled.sample, Sample::Launches(_));
        let differs = |ready: &Ready| ready.sampled.sample.values().iter().any(|v| *v != 0.0);
        let scenes_exercised = ready.iter().filter(by_scene).any(differs);
        let launches_exercised = ready.iter().any(|ready| !by_scene(&ready));
        let equal = (scenes_exercised || launches_exercised)
            .then(|| gate.equal(&seed.derive("equal"), replicates));
        let n_scenes = gate.scenes.len();
        Some(Self {
            replicates,
            equal,
            scenes_exercised,
            launches_exercised,
            unseen_share: (n_scenes > 0)
                .then(|| unseen_share(n_scenes, policy.confidence.false_pass)),
            checks: ready
                .iter()
                .map(|ready| gate.power(ready, &seed, replicates))
                .collect(),
        })
    }
}

fn ready(check: &Statistical) -> Option<Ready> {
    Some(Ready {
        metric: check.metric.clone(),
        sampled: cheaper(check.sampled.as_ref()?),
    })
}

/// The same sample under rules that resample less.
fn cheaper(sampled: &Sampled) -> Sampled {
    Sampled {
        rules: Rules {
            resamples: RESAMPLES,
            ..sampled.rules.clone()
        },
        ..sampled.clone()
    }
}

/// Scene ids of all samples, sorted.
fn scenes_of(ready: &[Ready]) -> Vec<String> {
    let mut ids: Vec<String> = ready
        .iter()
        .flat_map(|it| it.sampled.scenes.clone())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The statistical part of the gate, ready to be repeated.
struct Gate<'a> {
    policy: &'a Policy,
    family: &'a [Ready],
    parts: Vec<Part>,
    scenes: Vec<String>,
}

/// One sign per scene and one per launch.
struct Signs<'a> {
    scenes: &'a [String],
    of_scenes: Vec<f64>,
    of_launches: Vec<f64>,
}

impl Signs<'_> {
    fn flipped(&self, sampled: &Sampled) -> Sampled {
        let sample = &sampled.sample;
        let scene = |id: &String| {
            let place = self.scenes.binary_search(id).expect("every id is listed");
            self.of_scenes[place]
        };
        let flipped: Vec<f64> = match sample {
            Sample::Launches(centres) => {
                let pairs = centres.iter().zip(&self.of_launches);
                pairs.map(|(value, sign)| value * sign).collect()
            }
            // Scenes of a cluster belong together and are swapped together.
            Sample::Clustered(losses, clusters) => {
                let pairs = losses.iter().zip(clusters);
                pairs
                    .map(|(value, cluster)| value * self.of_scenes[*cluster])
                    .collect()
            }
            _ => {
                let pairs = sample.values().iter().zip(&sampled.scenes);
                pairs.map(|(value, id)| value * scene(id)).collect()
            }
        };
        Sampled {
            sample: sample.with(flipped),
            ..sampled.clone()
        }
    }
}

impl Gate<'_> {
    /// Shares of the outcomes when every sign is a coin flip.
    fn equal(&self, seed: &Seed, replicates: usize) -> Rates {
        let outcomes: Vec<Outcome> = (0..replicates)
            .into_par_iter()
            .map(|index| self.replicate(&mut seed.stream(index as u64)))
            .collect();
        let share = |wanted: Outcome| {
            let count = outcomes.iter().filter(|outcome| **outcome == wanted);
            count.count() as f64 / replicates as f64
        };
        let n_failed = outcomes.iter().filter(|it| **it == Outcome::Fail).count();
        Rates {
            pass: share(Outcome::Pass),
            fail: share(Outcome::Fail),
            fail_at_most: proportion::upper_bound(n_failed as u64, replicates as u64, 0.05)
                .unwrap_or(1.0),
            inconclusive: share(Outcome::Inconclusive),
        }
    }

    fn replicate(&self, stream: &mut Stream) -> Outcome {
        let launches = self.family.iter().map(|it| match &it.sampled.sample {
            Sample::Launches(centres) => centres.len(),
            _ => 0,
        });
        let n_launches = launches.max().unwrap_or(0);
        let signs = Signs {
            scenes: &self.scenes,
            of_scenes: self.scenes.iter().map(|_| stream.sign()).collect(),
            of_launches: (0..n_launches).map(|_| stream.sign()).collect(),
        };
        let family: Vec<Sampled> = self
            .family
            .iter()
            .map(|ready| match &ready.sampled {
                // A share of scenes has no sign to flip.
                Sampled {
                    sample: sample @ Sample::Collapse(losses),
                    rules,
                    ..
                } => {
                    let share = equal_share(losses, &rules.collapse);
                    Sampled {
                        sample: moved(sample, rules, share, losses.len(), stream),
                        ..ready.sampled.clone()
                    }
                }
                sampled => signs.flipped(sampled),
            })
            .collect();
        let confidence = self.policy.confidence;
        let p: Vec<f64> = family
            .iter()
            .map(|it| it.sample.p_worse(&it.rules))
            .collect();
        let levels = holm_levels(&p, confidence.false_fail);
        let outcomes = family.iter().zip(levels).map(|(it, fail)| {
            let pass = confidence.false_pass;
            it.sample.outcome(&it.rules, Levels { pass, fail })
        });
        let outcome = outcomes.max().unwrap_or(Outcome::Pass);
        if self.any_veto(&signs) {
            Outcome::Fail
        } else {
            outcome
        }
    }

    fn any_veto(&self, signs: &Signs<'_>) -> bool {
        let parts: Vec<Part> = self
            .parts
            .iter()
            .map(|part| Part {
                sampled: signs.flipped(&part.sampled),
                ..part.clone()
            })
            .collect();
        let p: Vec<f64> = parts
            .iter()
            .map(|part| part.sampled.sample.p_worse(&part.sampled.rules))
            .collect();
        let levels = holm_levels(&p, self.policy.confidence.slice_fail);
        parts
            .iter()
            .zip(levels)
            .any(|(part, level)| part.vetoes(level))
    }

    /// Outcomes of one check at known losses.
    fn power(&self, ready: &Ready, seed: &Seed, replicates: usize) -> CheckPower {
        let Sampled { sample, rules, .. } = &ready.sampled;
        let levels = Levels {
            pass: self.policy.confidence.false_pass,
            fail: self.policy.confidence.false_fail / self.policy.n_statistical().max(1) as f64,
        };
        let seed = seed.derive(&format!("power|{}", ready.metric));
        let at = |margins: f64| {
            let seed = seed.derive(&format!("{margins}"));
            let outcomes: Vec<Outcome> = (0..replicates)
                .into_par_iter()
                .map(|index| {
                    let mut stream = seed.stream(index as u64);
                    let n = n_units(sample);
                    let moved = moved(sample, rules, margins * rules.margin, n, &mut stream);
                    moved.outcome(rules, levels)
                })
                .collect();
            let share = |wanted: Outcome| {
                let count = outcomes.iter().filter(|outcome| **outcome == wanted);
                count.count() as f64 / replicates as f64
            };
            AtEffect {
                margins,
                pass: share(Outcome::Pass),
                fail: share(Outcome::Fail),
            }
        };
        let (detectable, certifiable) = match sample {
            Sample::Collapse(_) | Sample::Clustered(..) => (None, None),
            _ => {
                let distance = |level| effect(sample, rules, level);
                (distance(levels.fail), distance(levels.pass))
            }
        };
        CheckPower {
            metric: ready.metric.clone(),
            detectable,
            certifiable,
            at: EFFECTS.map(at).to_vec(),
        }
    }
}

/// Share of scenes that fall apart where roles are equal: as often as it happened in both
/// directions. What happened in one alone speaks of the candidate: what fell counts up to what the
/// policy calls normal, what rose not at all.
fn equal_share(losses: &[f64], collapse: &Collapse) -> f64 {
    let rose = losses
        .iter()
        .filter(|loss| **loss <= -collapse.drop)
        .count() as u64;
    let (fell, n) = collapsed(losses, collapse);
    let share = |count: u64| count as f64 / n as f64;
    share(fell.min(rose)).max(share(fell).min(collapse.normal))
}

/// Smallest distance that this many units with this spread clear at `alpha` almost surely; as a
/// ratio for launches, which have the share of the level that their last look has.
fn effect(sample: &Sample, rules: &Rules, alpha: f64) -> Option<f64> {
    let found = moments(sample.values()).ok()?;
    let (n, share) = match (sample, &rules.looks) {
        (Sample::Launches(_), Some(looks)) => {
            let look = looks.looks()[looks.at(found.n)?];
            (look.units, look.share)
        }
        _ => (found.n, 1.0),
    };
    let effect = detectable_effect(n, alpha * share, SURE).ok()? * found.sd;
    Some(match sample {
        Sample::Launches(_) => effect.exp_m1(),
        _ => effect,
    })
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
