//! `vv-eval verify`: the verdict of a report, computed again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::Failure;
use super::args;
use super::evidence::{planned_otherwise, score_records, tags};
use super::exit::Exit;
use super::judge::{scene_set, set_if_there};
use super::output::print;
use super::report;
use crate::durable;
use crate::gate::SceneTags;
use crate::gate::certificate::{Certificate, REPLICATES};
use crate::gate::file::{EvidenceFile, ReportFile, SceneScoresFile};
use crate::gate::verify::{Mismatch, first_difference, verify};
use crate::record::SceneSetIdentity;
use crate::report::{escape, json};
use crate::scene::SceneSet;

/// Fields shown; the rest are counted.
const MOST_FIELDS: usize = 20;

/// Says whether the report holds.
pub(super) fn run(args: &args::Verify) -> Result<Exit, Failure> {
    let path = report::file_of(&args.report);
    let shown = durable::shown(&path);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::usage(
            format!("cannot read {shown}: {error}"),
            "name a report.json that `vv-eval compare` has written, or the directory of its run",
        )
    })?;
    let file = ReportFile::from_json(&bytes).map_err(Failure::invalid)?;
    let mut found = verify(&file).map_err(Failure::invalid)?;
    let again = match &file.evidence {
        Some(evidence) => rescored(evidence, args.scenes.as_deref(), args.lexicon.as_deref())?,
        None => Rescored::Nothing,
    };
    if let Rescored::Differs(mismatch) = &again {
        found.push(mismatch.clone());
    }
    found.extend(chosen_seed(&file));
    found.extend(weak_certificate(&file));
    if found.is_empty() && json::render(&file) != bytes {
        found.push(Mismatch {
            field: ".".to_owned(),
            written: "not in the form this program writes".to_owned(),
            expected: "although it says the same".to_owned(),
        });
    }
    print(told(&file, &shown, &found, &again).as_bytes())?;
    Ok(if found.is_empty() {
        Exit::Pass
    } else {
        Exit::Fail
    })
}

/// What scoring the outputs again gave.
enum Rescored {
    /// Nothing was run, so there is nothing to score.
    Nothing,
    /// The scene set is not here: scores are taken as they stand.
    NotHere,
    /// The same scores.
    Same(String),
    /// Other scores.
    Differs(Mismatch),
}

/// Scores the outputs of the report again, where their scene sets are at hand.
fn rescored(
    evidence: &EvidenceFile,
    named: Option<&str>,
    lexicon: Option<&Path>,
) -> Result<Rescored, Failure> {
    let record = &evidence.baseline_record;
    let set = match (named, lexicon) {
        (None, None) => match at_hand(&record.scenes, "evidence.baseline_record.scenes") {
            Ok(set) => set,
            Err(mismatch) => return Ok(Rescored::Differs(mismatch)),
        },
        _ => Some(scene_set(&record.scenes, named, lexicon)?),
    };
    let sentinels = record.sentinels.as_ref();
    let found = sentinels.map(|it| at_hand(&it.set, "evidence.baseline_record.sentinels.set"));
    let found = match found.transpose() {
        Ok(found) => found.flatten(),
        Err(mismatch) => return Ok(Rescored::Differs(mismatch)),
    };
    let (Some(set), true) = (set, sentinels.is_some() == found.is_some()) else {
        return Ok(Rescored::NotHere);
    };
    let value = |tags: &BTreeMap<String, SceneTags>| {
        serde_json::to_value(tags).expect("tags are plain data")
    };
    // Which scenes belong to a slice is the set's to say.
    let mismatch = first_difference(
        &value(&evidence.scene_tags),
        &value(&tags(&set)),
        "evidence.scene_tags",
    );
    if let Some(mismatch) = mismatch {
        return Ok(Rescored::Differs(mismatch));
    }
    let records = [
        evidence.baseline_record.clone(),
        evidence.candidate_record.clone(),
    ];
    let written = [&evidence.baseline_scores, &evidence.candidate_scores];
    let scored = score_records(&set, found.as_ref(), records);
    for (role, (written, again)) in ["baseline", "candidate"]
        .into_iter()
        .zip(written.into_iter().zip(&scored))
    {
        let again: Vec<SceneScoresFile> = again.scores.iter().map(SceneScoresFile::from).collect();
        let value = |scores: &[SceneScoresFile]| {
            serde_json::to_value(scores).expect("scores are plain data")
        };
        let path = format!("evidence.{role}_scores");
        if let Some(mismatch) = first_difference(&value(written), &value(&again), &path) {
            return Ok(Rescored::Differs(mismatch));
        }
    }
    Ok(Rescored::Same(format!("{}@{}", set.name, set.version)))
}

/// The scene set of a record, where it is at hand and the same; one that is at hand and another is
/// a mismatch.
fn at_hand(recorded: &SceneSetIdentity, path: &str) -> Result<Option<SceneSet>, Mismatch> {
    set_if_there(recorded).map_err(|(what, written, expected)| Mismatch {
        field: format!("{path}.{what}"),
        written,
        expected,
    })
}

/// Orders that follow from no digest of the report, and of which it does not tell.
fn chosen_seed(file: &ReportFile) -> Option<Mismatch> {
    // An edited policy is named as such, and older reports did not tell.
    if file.policy_sha256 != file.policy.digest() || file.seal.parts.is_empty() {
        return None;
    }
    let evidence = file.evidence.as_ref()?;
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let notice = planned_otherwise(base, cand, &file.policy)?;
    (!file.notices.contains(&notice)).then(|| Mismatch {
        field: "evidence.baseline_record.plan.seed".to_owned(),
        written: base.plan.seed.to_string(),
        expected: "and does not follow from the models, the scenes and the policy of the report"
            .to_owned(),
    })
}

/// A certificate that is missing, or made with less than the usual effort.
fn weak_certificate(file: &ReportFile) -> Option<Mismatch> {
    let found = file.certificate.as_ref().map(|it| it.replicates);
    if found == Some(REPLICATES) {
        return None;
    }
    let comparison = file.comparison().ok()??;
    Certificate::of(&comparison, &file.policy, 1).map(|_| Mismatch {
        field: "certificate".to_owned(),
        written: found.map_or("absent".to_owned(), |n| format!("{n} replicates")),
        expected: format!("{REPLICATES} replicates"),
    })
}

fn told(file: &ReportFile, name: &str, found: &[Mismatch], again: &Rescored) -> String {
    let outcome = crate::gate::Outcome::from(file.verdict.outcome).name();
    let mut text = String::new();
    let mut line = |words: &str| {
        let _ = writeln!(text, "{}", escape::one_line(words));
    };
    if found.is_empty() {
        line(&format!("✓ {name} holds: verdict {outcome}"));
    } else {
        line(&format!("✗ {name} does not hold"));
    }
    for mismatch in found.iter().take(MOST_FIELDS) {
        line(&format!("  {mismatch}"));
    }
    if found.len() > MOST_FIELDS {
        line(&format!("  … {} more", found.len() - MOST_FIELDS));
    }
    if found.is_empty() {
        line(&format!(
            "  computed again from the raw samples under policy sha256:{}",
            file.policy_sha256
        ));
    }
    line(match again {
        Rescored::Nothing => "  nothing was run: both models are the same files",
        Rescored::NotHere => "  scores as they stand: their scene set is not below eval-sets/",
        Rescored::Same(_) => "  scores: taken again from the outputs, and the same",
        Rescored::Differs(_) => "  scores: taken again from the outputs, and not the same",
    });
    if let Rescored::Same(set) = again {
        line(&format!("  scenes {set}"));
    }
    text
}
