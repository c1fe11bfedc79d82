//! From records to the samples that statistical checks rest on.

use super::super::comparison::{Comparison, Paired};
use super::super::policy::{Check, ClusterBy, Margin, Method, Policy};
use super::super::rule::{Rule, rule};
use super::super::sample::{Rules, Sample};
use super::{Case, harm_sign};
use crate::stats::resample::RESAMPLES;
use crate::stats::rng::Seed;

/// The score by whose fall scenes count as fallen apart.
pub(super) const COLLAPSE_SCORE: &str = "fact_score";

/// A sample with the rules it is decided by.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    pub(crate) sample: Sample,
    pub(crate) rules: Rules,
    /// Scene id of each value; empty for launches.
    pub(crate) scenes: Vec<String>,
}

/// A required check that rests on a sample.
#[derive(Debug, Clone)]
pub(crate) struct Statistical {
    pub(crate) metric: String,
    /// `None` where nothing was measured: the check keeps its share of the level.
    pub(crate) sampled: Option<Sampled>,
}

impl Statistical {
    pub(crate) fn p_worse(&self) -> f64 {
        let sampled = self.sampled.as_ref();
        sampled.map_or(1.0, |it| it.sample.p_worse(&it.rules))
    }
}

/// The required statistical checks of the policy, in its order.
pub(crate) fn statistical(comparison: &Comparison, policy: &Policy) -> Vec<Statistical> {
    let shares = |check: &&Check| policy.is_statistical(check);
    let of = |check: &Check| Statistical {
        metric: check.metric.clone(),
        sampled: sampled(comparison, policy, check),
    };
    policy.checks.iter().filter(shares).map(of).collect()
}

/// The sample of a check; `None` where it cannot be had, which the check itself explains.
fn sampled(comparison: &Comparison, policy: &Policy, check: &Check) -> Option<Sampled> {
    let failed = |record: &crate::record::RunRecord| record.failure.is_some();
    if failed(comparison.baseline()) || failed(comparison.candidate()) {
        return None;
    }
    let levels = super::Levels {
        pass: policy.confidence.false_pass,
        fail: policy.confidence.false_fail,
    };
    let case = Case {
        comparison,
        policy,
        check,
        levels,
    };
    match rule(&check.metric)? {
        Rule::SceneMean | Rule::SceneRate => {
            let paired = comparison.paired(&check.metric).ok()?;
            case.of_scenes(&paired)
                .ok()
                .filter(|it| !it.scenes.is_empty())
        }
        Rule::Collapse => {
            let paired = comparison.paired(COLLAPSE_SCORE).ok()?;
            Some(case.of_collapse(&paired)).filter(|it| !it.scenes.is_empty())
        }
        Rule::Launches(cost) => case.of_launches(case.centres(cost).ok()?).into(),
        _ => None,
    }
}

impl Case<'_> {
    pub(super) fn rules(&self) -> Rules {
        let margin = match self.check.margin {
            Some(Margin::Absolute(share)) => share,
            Some(Margin::Relative(share)) => share.ln_1p(),
            // Nothing is decided by it.
            Some(Margin::Memory { .. }) | None => f64::INFINITY,
        };
        let key = Seed::of_digest(*self.comparison.baseline().plan.seed.as_bytes());
        let is_split = !self.policy.effort.looks.is_empty();
        Rules {
            method: self.policy.method_of(self.check),
            margin,
            collapse: self.policy.collapse,
            looks: self.policy.effort.looks_plan().filter(|_| is_split),
            seed: key.attempt(1, &format!("check|{}", self.check.metric)),
            resamples: RESAMPLES,
        }
    }

    /// Losses of a score, scene by scene; the error says which scene has no cluster.
    pub(super) fn of_scenes(&self, paired: &Paired) -> Result<Sampled, String> {
        let sign = harm_sign(&self.check.metric);
        let differences = paired.sample.differences();
        let losses: Vec<f64> = differences.iter().map(|d| sign * d).collect();
        let pairs = paired.sample.pairs().iter();
        let scenes: Vec<String> = pairs.map(|pair| pair.key.clone()).collect();
        let is_rate = rule(&self.check.metric) == Some(Rule::SceneRate);
        let sample = match self.policy.scenes.cluster_by {
            Some(ClusterBy::Camera) => {
                Sample::Clustered(losses, self.comparison.clusters(&scenes)?)
            }
            None if is_rate => Sample::Rate(losses),
            None => Sample::Graded(losses),
        };
        Ok(Sampled {
            sample,
            rules: self.rules(),
            scenes,
        })
    }

    /// Losses of the score by which scenes fall apart.
    pub(super) fn of_collapse(&self, paired: &Paired) -> Sampled {
        let differences = paired.sample.differences();
        let pairs = paired.sample.pairs().iter();
        Sampled {
            sample: Sample::Collapse(differences.iter().map(|d| -d).collect()),
            rules: Rules {
                method: self.policy.confidence.method,
                ..self.rules()
            },
            scenes: pairs.map(|pair| pair.key.clone()).collect(),
        }
    }

    pub(super) fn of_launches(&self, centres: Vec<f64>) -> Sampled {
        Sampled {
            sample: Sample::Launches(centres),
            rules: Rules {
                method: Method::PlugIn,
                ..self.rules()
            },
            scenes: Vec::new(),
        }
    }
}
