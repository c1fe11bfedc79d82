//! Judges two run records against a policy.
//!
//! In: a [`Comparison`] and a [`Policy`]. Out: a [`Verdict`].
//! Does no I/O and reads no clock, so a saved record is judged the same way tomorrow.
//!
//! Each required statistical check passes when the upper bound of its loss, at the false-pass rate,
//! stays below the margin. It fails when it does not pass and the lower bound of its loss, at its
//! share of the false-fail rate, lies above zero. Anything else is undecided. All required checks
//! must pass (intersection–union: Berger 1982, *Technometrics* 24(4)); any one may fail, hence the
//! Bonferroni share.

mod checks;
pub mod comparison;
pub mod file;
pub mod policy;
mod policy_toml;
pub(crate) mod rule;
mod sizing;
pub mod sources;
pub mod verdict;
pub mod waiver;
pub(crate) mod words;
pub mod worst;

pub use comparison::{Comparison, Error, Evidence};
pub use policy::Policy;
pub use verdict::{CheckResult, Outcome, Scale, Verdict, identical_verdict};

use crate::record::RunRecord;
use crate::record::observation::{Failure, FailureKind};

/// How a judgement departs from the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JudgeOptions {
    /// Judge records with a planted harm, for tests and the self-test; the verdict never counts.
    pub judge_planted: bool,
}

/// Judges `comparison` under `policy`.
///
/// The same arguments give the same verdict, bit for bit.
pub fn judge(comparison: &Comparison, policy: &Policy, options: JudgeOptions) -> Verdict {
    let (base, cand) = (comparison.baseline(), comparison.candidate());
    let planted = base.planted.is_some() || cand.planted.is_some();
    let mut invalid = scene_mismatch(base, policy);
    // A policy built by hand may never have been checked; a check without its margin must not pass.
    invalid.extend(
        policy
            .check()
            .err()
            .map(|error| format!("the policy is not usable: {error}")),
    );
    if planted && !options.judge_planted {
        let harm = cand.planted.as_ref().or(base.planted.as_ref());
        let harm = harm.map_or("", String::as_str);
        invalid.push(format!(
            "a harm was planted on purpose ({harm}); no such run is judged"
        ));
    }
    if let Some(failure) = &base.failure {
        invalid.push(format!("the baseline {}", describe(failure)));
    }
    let failed = cand
        .failure
        .as_ref()
        .map(|failure| format!("the candidate {}", describe(failure)));
    let checks: Vec<CheckResult> = policy
        .checks
        .iter()
        .map(|check| waiver::judge_waived(comparison, policy, check))
        .collect();

    let of_run = if !invalid.is_empty() {
        Outcome::Invalid
    } else if failed.is_some() {
        Outcome::Fail
    } else {
        Outcome::Pass
    };
    let of_checks = checks.iter().filter_map(|check| check.outcome).max();
    let outcome = of_checks.map_or(of_run, |worst| worst.max(of_run));
    let mut reasons = invalid;
    reasons.extend(failed);
    reasons.extend(check_reasons(&checks));
    Verdict {
        outcome,
        counts: !planted,
        identical_artifacts: verdict::are_identical(&base.model, &cand.model),
        checks,
        reasons,
    }
}

/// Sentences of the required checks that did not pass, the most severe first.
fn check_reasons(checks: &[CheckResult]) -> Vec<String> {
    let mut open: Vec<(Outcome, String)> = checks
        .iter()
        .filter_map(|check| {
            let outcome = check.outcome.filter(|outcome| *outcome != Outcome::Pass)?;
            let reason = check.reason.clone()?;
            let text = match &check.needed {
                Some(needed) => format!("{reason}; {needed}"),
                None => reason,
            };
            Some((outcome, text))
        })
        .collect();
    open.sort_by_key(|(outcome, _)| std::cmp::Reverse(*outcome));
    open.into_iter().map(|(_, text)| text).collect()
}

/// Sentences on how the scenes run differ from those the policy demands.
fn scene_mismatch(record: &RunRecord, policy: &Policy) -> Vec<String> {
    let (found, wanted) = (&record.scenes, &policy.scenes);
    let digest = found.scenes_sha256.to_string();
    let demanded = wanted.digest.map(|digest| digest.to_string());
    [
        ("set", &found.name, &wanted.set),
        ("version", &found.version, &wanted.version),
        ("digest", &digest, &demanded),
    ]
    .into_iter()
    .filter_map(|(what, found, wanted)| {
        let wanted = wanted.as_ref().filter(|wanted| *wanted != found)?;
        Some(format!(
            "the scene {what} is {found}, the policy demands {wanted}"
        ))
    })
    .collect()
}

/// `crashed in the outputs pass at scene a: signal 11`.
fn describe(failure: &Failure) -> String {
    let what = match failure.kind {
        FailureKind::LoadRefused => "could not be loaded",
        FailureKind::Crashed => "crashed",
        FailureKind::TimedOut => "hung and was killed",
        FailureKind::NotFinite => "computed logits that are not finite",
        FailureKind::PromptRefused => "could not take the prompt",
    };
    let scene = failure
        .scene
        .as_ref()
        .map_or(String::new(), |scene| format!(" at scene {scene}"));
    format!(
        "{what} in the {} pass{scene}: {}",
        failure.pass, failure.detail
    )
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiver_tests;
