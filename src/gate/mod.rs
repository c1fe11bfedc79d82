//! Judges two run records against a policy.
//!
//! In: a [`Comparison`] and a [`Policy`]. Out: a [`Verdict`].
//! Does no I/O and reads no clock, so a saved record is judged the same way tomorrow.
//!
//! Each required statistical check passes when the upper bound of its loss, at the false-pass rate,
//! stays below the margin. It fails when it does not pass and a loss is shown at its level of the
//! false-fail rate. Anything else is undecided. All required checks must pass (intersection–union:
//! Berger 1982, *Technometrics* 24(4)); any one may fail, hence levels by Holm (1979).
//! Sentinels, limits and the rules for single scenes need no statistics. Slices may veto.

pub mod certificate;
mod checks;
pub mod comparison;
mod design;
pub mod earlier;
pub mod file;
pub mod file_rules;
pub mod health;
pub mod likelihood_file;
mod pace;
pub mod planning;
pub mod policy;
mod policy_check;
pub mod policy_explain;
mod policy_toml;
pub mod read;
pub(crate) mod rule;
pub(crate) mod sample;
pub mod scene_file;
pub mod schema;
pub mod seal;
mod sentinels;
mod simulate;
mod sizing;
pub(crate) mod slices;
pub mod sources;
pub mod verdict;
pub mod verify;
pub mod waiver;
pub(crate) mod words;
pub mod worst;

use checks::times_settled;
pub use comparison::{Comparison, Error, Evidence, SceneTags};
pub use policy::Policy;
pub use verdict::{CheckResult, Outcome, Scale, Verdict, identical_verdict};

use crate::record::RunRecord;
use crate::record::observation::{Failure, FailureKind};

/// What every verdict of a first promotion says of itself.
const FIRST_PROMOTION: &str = "first promotion: there is no baseline, so only limits were checked, \
    on the candidate alone";

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
    let is_first = policy.mode == policy::Mode::Bootstrap;
    let is_beside_itself = verdict::are_identical(&base.model, &cand.model);
    let mut failure = cand.failure.as_ref();
    if let Some(of_baseline) = &base.failure {
        if is_first && is_beside_itself {
            // Both roles are the one model, and it came first in that of the baseline.
            failure = Some(of_baseline);
        } else {
            invalid.push(format!("the baseline {}", describe(of_baseline)));
        }
    }
    let failed = failure.map(|failure| format!("the candidate {}", describe(failure)));
    if is_first && !is_beside_itself {
        invalid.push(
            "a first promotion has no baseline: the candidate is measured beside itself only"
                .to_owned(),
        );
    }
    let mut checks = waiver::judge_waived(comparison, policy);
    design::downgrade(comparison, &mut checks);
    let again = pace::again(comparison, "on a quieter machine");
    health::downgrade(&mut checks, &health::flags(base, cand), &again, |metric| {
        matches!(rule::rule(metric), Some(rule::Rule::Launches(_)))
    });
    let family = checks::statistical(comparison, policy);
    let slices = slices::judge_slices(comparison, policy, &family);
    let (sentinels, of_sentinels) = sentinels::judge_sentinels(comparison, policy).unzip();

    let mut rules = slices.reasons;
    rules.extend(of_sentinels.into_iter().flatten());
    let of_run = if !invalid.is_empty() {
        Outcome::Invalid
    } else if failed.is_some() {
        Outcome::Fail
    } else {
        Outcome::Pass
    };
    let of_checks = checks.iter().filter_map(|check| check.outcome);
    let of_rules = rules.iter().map(|(outcome, _)| *outcome);
    let outcome = of_checks.chain(of_rules).fold(of_run, Outcome::max);
    let mut reasons = invalid;
    if is_first {
        reasons.push(FIRST_PROMOTION.to_owned());
    }
    reasons.extend(failed);
    reasons.extend(sorted_reasons(rules, &checks));
    Verdict {
        outcome,
        counts: !planted,
        identical_artifacts: verdict::are_identical(&base.model, &cand.model),
        checks,
        slices: slices.results,
        sentinels,
        reasons,
    }
}

/// Whether a run may stop: every required check on times is decided at a look of the policy.
///
/// * `baseline`, `candidate`: records with the launches so far, their plans with as many
///
/// Records that cannot be compared settle nothing.
pub fn times_are_settled(baseline: &RunRecord, candidate: &RunRecord, policy: &Policy) -> bool {
    let evidence = |record: &RunRecord| Evidence {
        record: RunRecord {
            // Outputs are another matter, and may not be there yet.
            failure: None,
            ..record.clone()
        },
        scores: Vec::new(),
    };
    Comparison::of_times(evidence(baseline), evidence(candidate)).is_ok_and(|comparison| {
        // A run must not stop on times that the verdict would take back.
        times_settled(&comparison, policy) && !design::has_signs(&comparison, policy)
    })
}

/// Sentences of rules and required checks that did not pass, the most severe first.
fn sorted_reasons(rules: Vec<(Outcome, String)>, checks: &[CheckResult]) -> Vec<String> {
    let of_checks = checks.iter().filter_map(|check| {
        let outcome = check.outcome.filter(|outcome| *outcome != Outcome::Pass)?;
        let reason = check.reason.clone()?;
        let text = match &check.needed {
            Some(needed) => format!("{reason}; {needed}"),
            None => reason,
        };
        Some((outcome, text))
    });
    let mut open: Vec<(Outcome, String)> = rules.into_iter().chain(of_checks).collect();
    open.sort_by_key(|(outcome, _)| std::cmp::Reverse(*outcome));
    open.into_iter().map(|(_, text)| text).collect()
}

/// Sentences on how the scenes run differ from those the policy demands.
fn scene_mismatch(record: &RunRecord, policy: &Policy) -> Vec<String> {
    let (found, wanted) = (&record.scenes, &policy.scenes);
    let digest = found.scenes_sha256.to_string();
    let demanded = wanted.digest.map(|digest| digest.to_string());
    let lexicon = found.lexicon_sha256.to_string();
    let demanded_lexicon = wanted.lexicon.map(|digest| digest.to_string());
    [
        ("set", &found.name, &wanted.set),
        ("version", &found.version, &wanted.version),
        ("digest", &digest, &demanded),
        ("lexicon", &lexicon, &demanded_lexicon),
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
        FailureKind::OutOfMemory => "ran out of memory",
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
mod calibration_tests;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod veridict_tests;
#[cfg(test)]
mod waiver_tests;
