//! The check on scenes that fell apart: means hide a few of them, readers do not.

use super::super::comparison::Paired;
use super::super::policy::{ClusterBy, Margin};
use super::super::sample::collapsed;
use super::super::sizing::Units;
use super::super::verdict::{CheckResult, Outcome, Scale};
use super::super::words;
use super::Case;
use super::sampled::COLLAPSE_SCORE as SCORE;
use crate::stats::cluster::MIN_CLUSTERS;

impl Case<'_> {
    /// Passes when the share of collapsed scenes is shown to stay within the margin, and fails
    /// when it is shown to lie above what is normal. Plug-in statistics cannot see a rare collapse,
    /// so there one severe scene blocks a pass.
    pub(super) fn collapse(&self, mut result: CheckResult) -> CheckResult {
        let paired = match self.comparison.paired(SCORE) {
            Ok(paired) => paired,
            Err(problem) => return result.settle(Outcome::Invalid, problem),
        };
        let Paired { sample, n_absent } = &paired;
        result.scale = Scale::Difference;
        result.n = sample.n();
        result.n_absent = *n_absent;
        if sample.n() == 0 {
            let reason = format!("{SCORE} has no value in both roles on any scene");
            return result.settle(Outcome::Invalid, reason);
        }
        let sampled = self.of_collapse(&paired);
        let (k, n) = collapsed(sampled.sample.values(), &sampled.rules.collapse);
        result.candidate = Some(k as f64 / n as f64);
        let Some(Margin::Absolute(margin)) = self.check.margin else {
            return self.decide(result, &sampled, Units::Scenes, |share| share);
        };
        result.allowed = Some(margin);
        if let Some(few) = self.too_few(sample.n()) {
            let shown = self.decide(result, &sampled, Units::Scenes, |share| share);
            return shown.undecided(few.reason, few.more);
        }
        let result = self.decide(result, &sampled, Units::Scenes, |share| share);
        if let Some(ClusterBy::Camera) = self.policy.scenes.cluster_by {
            let clusters = match self.comparison.clusters(&sampled.scenes) {
                Ok(clusters) => clusters,
                Err(problem) => return result.settle(Outcome::Invalid, problem),
            };
            let n = clusters.iter().max().map_or(0, |last| last + 1);
            if n < MIN_CLUSTERS {
                let reason = format!(
                    "{SCORE} comes from {n} cameras, fewer than the {MIN_CLUSTERS} it takes to decide"
                );
                let needed = format!(
                    "scenes of {} more cameras would settle it",
                    MIN_CLUSTERS - n
                );
                return result.undecided(reason, needed);
            }
        }
        match (
            result.outcome,
            sampled.sample.severe_collapse(&sampled.rules),
        ) {
            (Some(Outcome::Fail), _) => {
                let reason = words::collapsed(&result, k, margin);
                result.settle(Outcome::Fail, reason)
            }
            (Some(Outcome::Inconclusive), Some(worst)) => {
                let loss = sampled.sample.values()[worst];
                let severe = words::severe(&sampled.scenes[worst], SCORE, loss);
                if result.estimate.is_some_and(|share| share.high <= margin) {
                    let advice = "look at the scene; only bounds that hold for any distribution \
                                  (`method = \"guaranteed\"`) would settle it";
                    return result.undecided(severe, advice);
                }
                let (reason, needed) = (result.reason.clone(), result.needed.clone());
                let reason = format!("{severe}; {}", reason.unwrap_or_default());
                result.undecided(reason, needed.unwrap_or_default())
            }
            _ => result,
        }
    }
}
