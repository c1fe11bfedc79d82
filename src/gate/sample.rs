//! The values a statistical check rests on, and what they show.
//!
//! Everything here is on the scale of losses: positive is worse, whatever the metric. Words, units
//! and records stay outside, so that the certificate can ask the same questions of resampled
//! values.

use super::policy::{Collapse, MIN_LAUNCHES, Method};
use super::verdict::Outcome;
use crate::stats::bounded::{self, cautious_loss, mean_loss, mean_upper};
use crate::stats::cluster::{
    MIN_CLUSTERS, SANDWICH_FROM, cluster_means, clustered_estimate, clustered_mean,
};
use crate::stats::distribution::{binomial_sf, t_sf};
use crate::stats::mean::{Moments, moments, t_estimate};
use crate::stats::paired_proportion::Discordant;
use crate::stats::proportion;
use crate::stats::resample::Resamples;
use crate::stats::rng::Seed;
use crate::stats::sequential::Looks;
use crate::stats::{self, Error, Estimate, betting};

/// Values of one check.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sample {
    /// Losses of a graded score, `[n]` in [−1, 1], by scene id.
    Graded(Vec<f64>),
    /// Losses of a 0/1 score, `[n]`, each −1, 0 or 1, by scene id.
    Rate(Vec<f64>),
    /// Losses of either kind, by scene id, with the cluster of each scene.
    Clustered(Vec<f64>, Vec<usize>),
    /// Losses of the score by which scenes fall apart, `[n]` in [−1, 1], by scene id.
    Collapse(Vec<f64>),
    /// Centres of the log ratios of each launch, in the order of the launches.
    Launches(Vec<f64>),
}

/// By what rule a sample is decided.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Bounds of scores.
    pub(crate) method: Method,
    /// Largest loss accepted, above 0: a share, or a log ratio for launches.
    pub(crate) margin: f64,
    /// When a scene counts as fallen apart.
    pub(crate) collapse: Collapse,
    /// When launches are looked at; `None` for a single look at all of them.
    pub(crate) looks: Option<Looks>,
    /// Seed of this check's resamples and of the order of its bets.
    pub(crate) seed: Seed,
    /// Bootstrap resamples.
    pub(crate) resamples: usize,
}

/// The one-sided levels a check is decided at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels {
    /// False-pass rate of the check.
    pub(crate) pass: f64,
    /// The check's share of the false-fail rate.
    pub(crate) fail: f64,
}

/// What a sample shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shown {
    /// Pass, fail or inconclusive.
    pub(crate) outcome: Outcome,
    /// The loss with bounds at the pass level (of the look that decided, or the last).
    pub(crate) loss: Estimate,
    /// Lower bound of the loss at the fail level of the same look.
    pub(crate) fail_bound: f64,
}

impl Sample {
    /// The values, whatever they stand for.
    pub(crate) fn values(&self) -> &[f64] {
        match self {
            Self::Graded(values)
            | Self::Rate(values)
            | Self::Clustered(values, _)
            | Self::Collapse(values)
            | Self::Launches(values) => values,
        }
    }

    /// The same sample with other values in the same places.
    pub(crate) fn with(&self, values: Vec<f64>) -> Self {
        match self {
            Self::Graded(_) => Self::Graded(values),
            Self::Rate(_) => Self::Rate(values),
            Self::Clustered(_, clusters) => Self::Clustered(values, clusters.clone()),
            Self::Collapse(_) => Self::Collapse(values),
            Self::Launches(_) => Self::Launches(values),
        }
    }

    /// What the sample shows at `levels`.
    ///
    /// # Errors
    /// Those of the estimators: too few units, no spread where one is needed.
    pub(crate) fn shown(&self, rules: &Rules, levels: Levels) -> Result<Shown, Error> {
        if let Self::Launches(centres) = self {
            return launches_shown(centres, rules, levels);
        }
        let loss = self.estimate(rules, levels.pass)?;
        let fail_bound = self.lower(rules, levels.fail)?;
        let is_severe = self.has_severe_collapse(rules);
        let outcome = if self.is_within(&loss, rules) && !is_severe {
            Outcome::Pass
        } else if self.p_worse(rules) <= levels.fail {
            Outcome::Fail
        } else {
            Outcome::Inconclusive
        };
        Ok(Shown {
            outcome,
            loss,
            fail_bound,
        })
    }

    /// The outcome alone: what [`Sample::shown`] decides, without the bounds that do not matter.
    /// Inconclusive where there is no estimate.
    pub(crate) fn outcome(&self, rules: &Rules, levels: Levels) -> Outcome {
        if let Self::Launches(centres) = self {
            let shown = launches_shown(centres, rules, levels);
            return shown.map_or(Outcome::Inconclusive, |shown| shown.outcome);
        }
        if self.passes(rules, levels.pass) {
            Outcome::Pass
        } else if self.p_worse(rules) <= levels.fail {
            Outcome::Fail
        } else {
            Outcome::Inconclusive
        }
    }

    fn passes(&self, rules: &Rules, alpha: f64) -> bool {
        match (self, rules.method) {
            (Self::Graded(losses) | Self::Rate(losses), Method::Guaranteed) => {
                let order = betting::shuffled(&negated(losses), &rules.seed);
                let game = betting::Game {
                    planned: losses.len(),
                    margin: rules.margin,
                    alpha,
                };
                let crosses =
                    betting::bet(&order, &game).is_ok_and(|bets| bets.crossed_at.is_some());
                // Early gains do not make up for a mean beyond the margin.
                crosses
                    && self
                        .estimate(rules, alpha)
                        .is_ok_and(|loss| loss.high < rules.margin)
            }
            (Self::Graded(losses), Method::PlugIn) => {
                // Resampling takes a hundred times as long: only where t has not refused already.
                let by_t = mean_loss(losses, alpha);
                by_t.is_ok_and(|by_t| by_t.high < rules.margin)
                    && self
                        .estimate(rules, alpha)
                        .is_ok_and(|loss| loss.high < rules.margin)
            }
            _ => {
                let loss = self.estimate(rules, alpha);
                loss.is_ok_and(|loss| self.is_within(&loss, rules))
                    && !self.has_severe_collapse(rules)
            }
        }
    }

    /// Whether the bounds rule out a loss as large as the margin.
    fn is_within(&self, loss: &Estimate, rules: &Rules) -> bool {
        match self {
            // The bound of a rate may reach the line: 1 − 0.05^(1/59) is 5 % and no more.
            Self::Collapse(_) => loss.high <= rules.margin,
            _ => loss.high < rules.margin,
        }
    }

    /// Position of the worst scene that alone blocks a pass of plug-in statistics.
    pub(crate) fn severe_collapse(&self, rules: &Rules) -> Option<usize> {
        let Self::Collapse(losses) = self else {
            return None;
        };
        if rules.method == Method::Guaranteed {
            return None;
        }
        // Of equals the first.
        let places = (0..losses.len()).rev();
        let worst = places.max_by(|a, b| losses[*a].total_cmp(&losses[*b]))?;
        (losses[worst] >= rules.collapse.severe).then_some(worst)
    }

    fn has_severe_collapse(&self, rules: &Rules) -> bool {
        self.severe_collapse(rules).is_some()
    }

    /// The loss with one-sided bounds at `alpha`, by the method of the rules.
    fn estimate(&self, rules: &Rules, alpha: f64) -> Result<Estimate, Error> {
        match (self, rules.method) {
            (Self::Graded(losses) | Self::Rate(losses), Method::Guaranteed) => {
                bets(losses, &rules.seed, alpha)
            }
            (Self::Graded(losses), Method::PlugIn) => {
                let seed = rules.seed.derive("bootstrap");
                let resamples = Resamples::Seeded {
                    seed: &seed,
                    count: rules.resamples,
                };
                cautious_loss(losses, alpha, resamples)
            }
            (Self::Rate(losses), Method::PlugIn) => {
                let discordant = Discordant::of_differences(&negated(losses))?;
                Ok(discordant.tango(alpha)?.negated())
            }
            (Self::Clustered(losses, clusters), Method::Guaranteed) => {
                let means = cluster_means(losses, clusters)?;
                if means.len() < MIN_CLUSTERS {
                    return Err(Error::TooFew {
                        needed: MIN_CLUSTERS,
                        found: means.len(),
                    });
                }
                bets(&means, &rules.seed, alpha)
            }
            (Self::Clustered(losses, clusters), Method::PlugIn) => {
                clustered_loss(losses, clusters, alpha)
            }
            (Self::Collapse(losses), _) => {
                let (k, n) = collapsed(losses, &rules.collapse);
                rate(k, n, alpha)
            }
            (Self::Launches(centres), _) => t_estimate(centres, alpha),
        }
    }

    /// Upper bound of the mean loss that holds for any distribution; `None` where there is none.
    pub(crate) fn certified(&self, rules: &Rules, alpha: f64) -> Option<f64> {
        let losses = match self {
            Self::Graded(losses) | Self::Rate(losses) => losses.clone(),
            Self::Clustered(losses, clusters) => cluster_means(losses, clusters).ok()?,
            Self::Collapse(_) | Self::Launches(_) => return None,
        };
        let order = betting::shuffled(&negated(&losses), &rules.seed);
        betting::certified_loss(&order, order.len(), alpha).ok()
    }

    /// p-value of "the candidate is no worse"; 1 where the sample shows nothing.
    ///
    /// At or below the check's fail level a loss is shown. Launches: the smallest over the looks,
    /// each divided by its share.
    pub(crate) fn p_worse(&self, rules: &Rules) -> f64 {
        match self {
            Self::Graded(losses) => p_mean(losses),
            Self::Rate(losses) => {
                Discordant::of_differences(&negated(losses)).map_or(1.0, |pairs| pairs.p_worse())
            }
            Self::Clustered(losses, clusters) => p_clustered(losses, clusters),
            Self::Collapse(losses) => match collapsed(losses, &rules.collapse) {
                (_, 0) => 1.0,
                (k, n) => binomial_sf(k, n, rules.collapse.normal),
            },
            Self::Launches(centres) => looks_of(centres, rules)
                .iter()
                .map(|(units, share)| (p_t(&centres[..*units]) / share).min(1.0))
                .fold(1.0, f64::min),
        }
    }

    /// Lower bound of the loss at `level`, the fail side. Of a rate: given the number of scenes on
    /// which the roles differ. Above the null exactly when [`Sample::p_worse`] is below the level.
    fn lower(&self, rules: &Rules, level: f64) -> Result<f64, Error> {
        match self {
            Self::Graded(losses) => Ok(mean_loss(losses, level)?.low),
            Self::Rate(losses) => {
                let lost = losses.iter().filter(|loss| **loss > 0.0).count() as u64;
                let won = losses.iter().filter(|loss| **loss < 0.0).count() as u64;
                if lost + won == 0 {
                    return Ok(0.0);
                }
                let share = proportion::lower_bound(lost, lost + won, level)?;
                Ok((2.0 * share - 1.0) * (lost + won) as f64 / losses.len() as f64)
            }
            Self::Clustered(losses, clusters) => Ok(clustered_loss(losses, clusters, level)?.low),
            Self::Collapse(losses) => {
                let (k, n) = collapsed(losses, &rules.collapse);
                proportion::lower_bound(k, n, level)
            }
            Self::Launches(centres) => Ok(t_estimate(centres, level)?.low),
        }
    }
}

/// Scenes that fell apart, and all of them.
pub(crate) fn collapsed(losses: &[f64], collapse: &Collapse) -> (u64, u64) {
    let fell = losses.iter().filter(|loss| **loss >= collapse.drop).count();
    (fell as u64, losses.len() as u64)
}

/// Looks that the launches at hand allow: number of launches and share of the level.
fn looks_of(centres: &[f64], rules: &Rules) -> Vec<(usize, f64)> {
    match &rules.looks {
        None => vec![(centres.len(), 1.0)],
        Some(looks) => {
            let reached = looks.looks().iter();
            reached
                .filter(|look| look.units <= centres.len())
                .map(|look| (look.units, look.share))
                .collect()
        }
    }
}

/// The first look that decides, or the last one reached.
fn launches_shown(centres: &[f64], rules: &Rules, levels: Levels) -> Result<Shown, Error> {
    let looks = looks_of(centres, rules);
    let mut last = Err(Error::TooFew {
        found: centres.len(),
        needed: rules
            .looks
            .as_ref()
            .map_or(MIN_LAUNCHES, |looks| looks.looks()[0].units),
    });
    for (units, share) in looks {
        let at_look = Levels {
            pass: levels.pass * share,
            fail: levels.fail * share,
        };
        last = one_look(&centres[..units], rules.margin, at_look);
        if last.is_ok_and(|shown| shown.outcome != Outcome::Inconclusive) {
            break;
        }
    }
    last
}

/// What the launches seen so far show at the levels of one look.
fn one_look(seen: &[f64], margin: f64, levels: Levels) -> Result<Shown, Error> {
    let loss = t_estimate(seen, levels.pass)?;
    let fail_bound = t_estimate(seen, levels.fail)?.low;
    let outcome = if loss.high < margin {
        Outcome::Pass
    } else if p_t(seen) <= levels.fail {
        Outcome::Fail
    } else {
        Outcome::Inconclusive
    };
    Ok(Shown {
        outcome,
        loss,
        fail_bound,
    })
}

/// Mean loss with bounds by betting on either side, in the order of the seed.
///
/// Early scenes may prove what later ones contradict; the bounds are then widened to the mean, which
/// only makes them miss less often.
fn bets(losses: &[f64], seed: &Seed, alpha: f64) -> Result<Estimate, Error> {
    let gains = betting::shuffled(&negated(losses), seed);
    match betting::estimate(&gains, gains.len(), alpha) {
        Err(Error::Unstable) => {}
        found => return found.map(Estimate::negated),
    }
    let high = betting::certified_loss(&gains, gains.len(), alpha)?;
    let low = -betting::certified_loss(&negated(&gains), gains.len(), alpha)?;
    let point = bounded::estimate(losses, 1.0, alpha)?.point;
    Ok(Estimate {
        point,
        low: low.min(point),
        high: high.max(point),
        alpha,
        n: losses.len(),
        method: stats::Method::Betting,
    })
}

/// Mean loss of clustered scenes: the sandwich, and without a spread or a loss what the clusters'
/// means allow.
fn clustered_loss(losses: &[f64], clusters: &[usize], alpha: f64) -> Result<Estimate, Error> {
    let means = cluster_means(losses, clusters)?;
    match clustered_estimate(losses, clusters, alpha) {
        Err(Error::NoSpread { .. }) => bounded::estimate(&means, 1.0, alpha),
        Ok(found) if losses.iter().all(|loss| *loss <= 0.0) => Ok(Estimate {
            high: mean_upper(&means, 1.0, alpha)?.max(found.point),
            method: stats::Method::NoLoss,
            ..found
        }),
        found => found,
    }
}

/// One-sided p-value of Student's t against "the mean is at most 0"; 1 without a spread.
fn p_t(values: &[f64]) -> f64 {
    moments(values).map_or(1.0, |found| p_of(&found))
}

fn p_of(found: &Moments) -> f64 {
    t_sf(found.mean / found.standard_error(), (found.n - 1) as f64)
}

/// The p-value that goes with [`mean_loss`]: Student's t, or the smallest loss where all are equal.
fn p_mean(losses: &[f64]) -> f64 {
    match moments(losses) {
        Ok(found) => p_of(&found),
        Err(Error::NoSpread { .. } | Error::TooFew { .. }) => {
            // The lower bound m − (1 + m)(1 − α^(1/n)) is above 0 from α = (1 + m)^−n on.
            let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
            if losses.is_empty() || least <= 0.0 {
                1.0
            } else {
                (1.0 + least).powi(-i32::try_from(losses.len()).unwrap_or(i32::MAX))
            }
        }
        Err(_) => 1.0,
    }
}

fn p_clustered(losses: &[f64], clusters: &[usize]) -> f64 {
    let Ok(means) = cluster_means(losses, clusters) else {
        return 1.0;
    };
    if means.len() < MIN_CLUSTERS {
        return 1.0;
    }
    if means.len() < SANDWICH_FROM {
        return p_mean(&means);
    }
    match clustered_mean(losses, clusters) {
        Ok(found) => t_sf(found.mean / found.se, (found.n_clusters - 1) as f64),
        Err(Error::NoSpread { .. }) => p_mean(&means),
        Err(_) => 1.0,
    }
}

/// A share with its bounds.
///
/// Source: Clopper & Pearson (1934), *Biometrika* 26(4), 404–413.
fn rate(k: u64, n: u64, alpha: f64) -> Result<Estimate, Error> {
    let low = proportion::lower_bound(k, n, alpha)?;
    let high = proportion::upper_bound(k, n, alpha)?;
    Ok(Estimate {
        point: k as f64 / n as f64,
        low,
        high,
        alpha,
        n: usize::try_from(n).expect("a number of scenes"),
        method: stats::Method::ClopperPearson,
    })
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

/// Level of each test so that all together keep `alpha`, by Holm's step-down.
///
/// * `p`: `[m]` p-values
///
/// A test is rejected exactly when its p-value is at or below its level here. Tests that are not
/// rejected share the level of the step at which the procedure stopped.
///
/// Source: Holm (1979), *Scandinavian Journal of Statistics* 6(2), 65–70.
pub(crate) fn holm_levels(p: &[f64], alpha: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]).then(a.cmp(b)));
    let step = |k: usize| alpha / (p.len() - k) as f64;
    let n_rejected = order
        .iter()
        .enumerate()
        .take_while(|(k, i)| p[**i] <= step(*k))
        .count();
    let mut levels = vec![alpha; p.len()];
    for (k, i) in order.into_iter().enumerate() {
        levels[i] = step(k.min(n_rejected).min(p.len() - 1));
    }
    levels
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
