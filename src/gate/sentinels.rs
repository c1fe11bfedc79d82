//! Sentinels: scenes that must hold one by one, whatever the means say. No statistics.

use super::comparison::Comparison;
use super::policy::{Demand, Policy, SentinelsPolicy};
use super::verdict::{Outcome, SentinelsResult, Violation};
use crate::metric::{SceneScores, Score};
use crate::record::Sentinels;

/// A sentinel is held when its text is valid and has no factual error.
const HELD_BY: [&str; 2] = ["valid", "fact_ok"];

/// Judges the sentinels the policy demands: the result, and sentences with their outcomes.
///
/// `None` when none are demanded, or when a model's failure already decided.
pub(crate) fn judge_sentinels(
    comparison: &Comparison,
    policy: &Policy,
) -> Option<(SentinelsResult, Vec<(Outcome, String)>)> {
    let demanded = policy.sentinels.as_ref()?;
    let (base, cand) = (comparison.baseline(), comparison.candidate());
    if base.failure.is_some() || cand.failure.is_some() {
        return None;
    }
    match judged(comparison, demanded) {
        Ok(result) => {
            let of = |violation: &Violation| (Outcome::Fail, sentence(violation));
            let reasons = result.violations.iter().map(of).collect();
            Some((result, reasons))
        }
        Err(problem) => {
            let result = SentinelsResult {
                outcome: Outcome::Invalid,
                n: 0,
                n_held: 0,
                violations: Vec::new(),
                exempt: Vec::new(),
            };
            Some((result, vec![(Outcome::Invalid, problem)]))
        }
    }
}

fn judged(comparison: &Comparison, demanded: &SentinelsPolicy) -> Result<SentinelsResult, String> {
    let run = comparison.baseline().sentinels.as_ref();
    let Some(run) = run else {
        return Err(format!(
            "sentinels of {} are demanded and were not run",
            demanded.set
        ));
    };
    matches_demand(run, demanded)?;
    if let Some(exempt) = demanded
        .exempt
        .iter()
        .find(|exempt| !run.ids.contains(&exempt.scene))
    {
        return Err(format!(
            "sentinel {} is exempt and not in {}@{}",
            exempt.scene, run.set.name, run.set.version
        ));
    }
    let mut result = SentinelsResult {
        outcome: Outcome::Pass,
        n: 0,
        n_held: 0,
        violations: Vec::new(),
        exempt: Vec::new(),
    };
    for id in &run.ids {
        let candidate = scores_of(comparison.candidate_scores(), id, "candidate")?;
        let baseline = scores_of(comparison.baseline_scores(), id, "baseline")?;
        let holds = holds(candidate, "candidate")?;
        let baseline_holds = self::holds(baseline, "baseline")?;
        if demanded.exempt.iter().any(|exempt| exempt.scene == *id) {
            result.exempt.extend((!holds).then(|| id.clone()));
            continue;
        }
        result.n += 1;
        result.n_held += usize::from(holds);
        let counts = match demanded.demand {
            Demand::All => true,
            Demand::Kept => baseline_holds,
        };
        if !holds && counts {
            result.violations.push(Violation {
                scene: id.clone(),
                notes: candidate.notes.clone(),
                baseline_holds,
            });
        }
    }
    if !result.violations.is_empty() {
        result.outcome = Outcome::Fail;
    }
    Ok(result)
}

/// Refuses other sentinels than the policy names.
fn matches_demand(run: &Sentinels, demanded: &SentinelsPolicy) -> Result<(), String> {
    let digest = run.set.scenes_sha256.to_string();
    let pinned = demanded.digest.map(|digest| digest.to_string());
    for (what, found, wanted) in [
        ("set", &run.set.name, Some(&demanded.set)),
        ("version", &run.set.version, demanded.version.as_ref()),
        ("digest", &digest, pinned.as_ref()),
    ] {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(format!(
                "the {what} of the sentinels is {found}, the policy demands {wanted}"
            ));
        }
    }
    if run.ids.is_empty() {
        return Err("the run has no sentinel".to_owned());
    }
    Ok(())
}

fn scores_of<'a>(
    scores: &'a [SceneScores],
    id: &str,
    role: &str,
) -> Result<&'a SceneScores, String> {
    let found = scores.iter().find(|scores| scores.scene == id);
    found.ok_or_else(|| format!("sentinel {id} was not run by the {role}"))
}

fn holds(scores: &SceneScores, role: &str) -> Result<bool, String> {
    let is_one = |metric: &str| match scores.scores.get(metric).and_then(Score::value) {
        Some(value) => Ok(value >= 1.0),
        None => Err(format!(
            "{metric} has no value for sentinel {} of the {role}",
            scores.scene
        )),
    };
    Ok(is_one(HELD_BY[0])? && is_one(HELD_BY[1])?)
}

fn sentence(violation: &Violation) -> String {
    let what = if violation.notes.is_empty() {
        "its text is not right".to_owned()
    } else {
        violation.notes.join(", ")
    };
    let lost = if violation.baseline_holds {
        "lost"
    } else {
        "not held"
    };
    format!("sentinel {} is {lost}: {what}", violation.scene)
}
