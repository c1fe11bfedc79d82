//! Whether a saved report still says what its raw samples and its policy say.
//!
//! In: a [`ReportFile`]. Out: every field that does not hold. Needs no model and no scene set: the
//! scores are taken as they stand, and their digest with them; whoever has the scene set can score
//! the outputs again and compare with [`first_difference`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::certificate::Certificate;
use super::comparison::{Comparison, Evidence};
use super::file::{EvidenceFile, ReportFile, SceneScoresFile};
use super::policy::Mode;
use super::seal::Seal;
use super::waiver;
use super::{JudgeOptions, identical_verdict, judge};
use crate::hint::Hint;
use crate::metric::{self, SceneScores, Score};
use crate::record::RunRecord;
use crate::units::Sha256;

/// More replicates than this are no certificate of this program.
const MOST_REPLICATES: usize = 100_000;

/// Longest value shown in a message.
const MOST_SHOWN: usize = 120;

/// Changed parts named one by one; more have one cause.
const MOST_PARTS: usize = 8;

/// Why a report is not verified at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Of a run with a planted harm, which proves nothing of the models.
    #[error("the report is of a run with a harm planted on purpose: it never counts")]
    Planted,
}

impl Hint for Error {}

/// A field of a report that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {written}, {expected}")]
pub struct Mismatch {
    /// Dotted path of the field.
    pub field: String,
    /// What stands there.
    pub written: String,
    /// What would have to stand there, or why it may not.
    pub expected: String,
}

impl ReportFile {
    /// The comparison the report was made of; the error names the field that keeps it from being
    /// one. `None` when nothing was run.
    ///
    /// # Errors
    /// [`Mismatch`] when records or scores are not comparable.
    pub fn comparison(&self) -> Result<Option<Comparison>, Mismatch> {
        let Some(evidence) = &self.evidence else {
            return Ok(None);
        };
        let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
        let baseline = as_evidence(base, &evidence.baseline_scores)?;
        let candidate = as_evidence(cand, &evidence.candidate_scores)?;
        let comparison = Comparison::new(baseline, candidate).map_err(|error| Mismatch {
            field: "evidence".to_owned(),
            written: "not a comparison".to_owned(),
            expected: error.to_string(),
        })?;
        Ok(Some(comparison.with_tags(evidence.scene_tags.clone())))
    }
}

/// A record with the scores saved beside it.
fn as_evidence(record: &RunRecord, scores: &[SceneScoresFile]) -> Result<Evidence, Mismatch> {
    let role = record.role.as_str();
    let read = scores.iter().enumerate().map(|(i, scores)| {
        scores.as_scores().map_err(|id| Mismatch {
            field: format!("evidence.{role}_scores[{i}].metrics.{id}"),
            written: "a score".to_owned(),
            expected: "and there is no such metric".to_owned(),
        })
    });
    Ok(Evidence {
        record: record.clone(),
        scores: read.collect::<Result<_, _>>()?,
    })
}

impl SceneScoresFile {
    /// The scores as the gate takes them; the error is the id of a metric that does not exist.
    fn as_scores(&self) -> Result<SceneScores, String> {
        let score = |(id, value): (&String, &Option<f64>)| {
            let row = metric::find(id).ok_or_else(|| id.clone())?;
            let score = value.map_or(Score::Absent("absent in the report"), Score::Value);
            Ok::<_, String>((row.id, score))
        };
        Ok(SceneScores {
            scene: self.scene.clone(),
            scores: self.metrics.iter().map(score).collect::<Result<_, _>>()?,
            notes: self.notes.clone(),
            reasons: Vec::new(),
        })
    }
}

/// Everything in `file` that does not hold, the most telling first; empty when the report holds.
///
/// Digests of the parts, the digest of the policy, then verdict, certificate and everything else
/// that follows from samples and policy, computed again bit for bit.
///
/// # Errors
/// [`Error::Planted`]: such a report never counts, so there is nothing to verify.
pub fn verify(file: &ReportFile) -> Result<Vec<Mismatch>, Error> {
    let is_planted = |evidence: &EvidenceFile| {
        evidence.baseline_record.planted.is_some() || evidence.candidate_record.planted.is_some()
    };
    if file.evidence.as_ref().is_some_and(is_planted) {
        return Err(Error::Planted);
    }
    let mut found = broken_seal(file);
    found.extend(broken_policy(file));
    match recomputed(file) {
        Ok(again) => {
            let (written, again) = (without_inputs(file), without_inputs(&again));
            found.extend(first_difference(&written, &again, ""));
        }
        Err(mismatch) => found.push(mismatch),
    }
    // The digest of the whole comes last: it is broken by anything, and names nothing.
    let again = Seal::as_written(file);
    if let Some(whole) = mismatched("seal.report", file.seal.report, again.report) {
        found.push(whole);
    }
    Ok(found)
}

fn broken_seal(file: &ReportFile) -> Vec<Mismatch> {
    let (written, again) = (&file.seal, Seal::as_written(file));
    let mut found = broken_parts(&written.parts, &again.parts);
    let wholes = [
        (
            "evidence.baseline_record",
            written.baseline_record,
            again.baseline_record,
        ),
        (
            "evidence.candidate_record",
            written.candidate_record,
            again.candidate_record,
        ),
        (
            "evidence.baseline_scores",
            written.baseline_scores,
            again.baseline_scores,
        ),
        (
            "evidence.candidate_scores",
            written.candidate_scores,
            again.candidate_scores,
        ),
    ]
    .into_iter()
    .filter_map(|(field, written, again)| mismatched(field, written, again));
    found.extend(wholes);
    found
}

/// Parts that are not as they were sealed, in the order of their paths.
fn broken_parts(
    written: &BTreeMap<String, String>,
    again: &BTreeMap<String, String>,
) -> Vec<Mismatch> {
    let shown = |digits: Option<&String>| {
        digits.map_or("absent".to_owned(), |digits| format!("sha256:{digits}…"))
    };
    let paths: BTreeSet<&String> = written.keys().chain(again.keys()).collect();
    let mut paths: Vec<&String> = paths.into_iter().collect();
    paths.sort_by_cached_key(|path| places(path));
    let differ = paths
        .into_iter()
        .filter(|path| written.get(*path) != again.get(*path));
    let mut broken: Vec<Mismatch> = differ
        .map(|path| Mismatch {
            field: path.clone(),
            written: format!("sealed as {}", shown(written.get(path))),
            expected: format!("and it is {}", shown(again.get(path))),
        })
        .collect();
    let n = broken.len();
    if n > MOST_PARTS {
        broken.truncate(MOST_PARTS);
        broken.push(Mismatch {
            field: "seal.parts".to_owned(),
            written: format!("a list in which {n} parts do not hold"),
            expected: format!("and the first {MOST_PARTS} of them are named"),
        });
    }
    broken
}

/// A path cut at its brackets, numbers as numbers: `outputs[2]` comes before `outputs[10]`.
fn places(path: &str) -> Vec<(Option<usize>, &str)> {
    let parts = path.split(['[', ']']);
    parts.map(|part| (part.parse().ok(), part)).collect()
}

fn broken_policy(file: &ReportFile) -> Vec<Mismatch> {
    let again = file.policy.digest();
    let digest = mismatched("policy_sha256", Some(file.policy_sha256), Some(again));
    let policy = file.policy.check().err().map(|error| Mismatch {
        field: format!("policy.{}", error.key),
        written: "not usable".to_owned(),
        expected: error.problem,
    });
    digest.into_iter().chain(policy).collect()
}

fn mismatched(field: &str, written: Option<Sha256>, again: Option<Sha256>) -> Option<Mismatch> {
    let shown = |digest: Option<Sha256>| {
        digest.map_or("absent".to_owned(), |digest| format!("sha256:{digest}"))
    };
    (written != again).then(|| Mismatch {
        field: field.to_owned(),
        written: format!("sealed as {}", shown(written)),
        expected: format!("and its digest is {}", shown(again)),
    })
}

/// The report that samples and policy of `file` make.
fn recomputed(file: &ReportFile) -> Result<ReportFile, Mismatch> {
    let Some(comparison) = file.comparison()? else {
        // A first promotion is its own baseline and must have been run.
        let verdict = identical_verdict(&file.baseline, &file.candidate)
            .filter(|_| file.policy.mode != Mode::Bootstrap);
        let verdict = verdict.ok_or_else(|| Mismatch {
            field: "evidence".to_owned(),
            written: "absent".to_owned(),
            expected: "and the two models are not the same files".to_owned(),
        })?;
        let (base, cand) = (&file.baseline, &file.candidate);
        let again = ReportFile::without_run(base, cand, &file.policy, &verdict);
        return Ok(again.with_notices(file.notices.clone()));
    };
    let verdict = judge(&comparison, &file.policy, JudgeOptions::default());
    // Scenes, notices of a pull request and earlier runs are given; what follows from them is
    // computed.
    let mut again = ReportFile::of_comparison(&comparison, &file.policy, &verdict)
        .with_scene_files(file.scene_details.clone())
        .with_notices(notices(file, &comparison)?)
        .with_earlier(file.earlier.clone());
    if file.comparability_key.is_none() {
        // Older reports do not name it.
        again.comparability_key = None;
    }
    let Some(certificate) = &file.certificate else {
        return Ok(again);
    };
    let replicates = certificate.replicates;
    if replicates > MOST_REPLICATES {
        return Err(Mismatch {
            field: "certificate.replicates".to_owned(),
            written: replicates.to_string(),
            expected: format!("and no certificate has more than {MOST_REPLICATES}"),
        });
    }
    let certificate = Certificate::of(&comparison, &file.policy, replicates);
    Ok(again.with_certificate(certificate))
}

/// The notices of the report, among which those of its waivers must be.
fn notices(file: &ReportFile, comparison: &Comparison) -> Result<Vec<String>, Mismatch> {
    let of_waivers = waiver::notices(comparison, &file.policy);
    match of_waivers.iter().find(|it| !file.notices.contains(it)) {
        None => Ok(file.notices.clone()),
        Some(missing) => Err(Mismatch {
            field: "notices".to_owned(),
            written: format!("a list of {}", file.notices.len()),
            expected: format!("and lacks: {missing}"),
        }),
    }
}

/// The report without what is given and not computed: raw samples and their digests.
fn without_inputs(file: &ReportFile) -> Value {
    let bare = ReportFile {
        evidence: None,
        seal: Seal::default(),
        ..file.clone()
    };
    serde_json::to_value(bare).expect("a report is plain data")
}

/// The first field in which two documents differ, in the order of `written`.
///
/// * `path`: dotted path of both, empty for whole documents
pub fn first_difference(written: &Value, again: &Value, path: &str) -> Option<Mismatch> {
    let join = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match (written, again) {
        (Value::Object(a), Value::Object(b)) => {
            let inner = a.iter().find_map(|(key, value)| {
                let other = b.get(key).unwrap_or(&Value::Null);
                first_difference(value, other, &join(key))
            });
            let missing = || {
                let key = b.keys().find(|key| !a.contains_key(*key))?;
                first_difference(&Value::Null, &b[key], &join(key))
            };
            inner.or_else(missing)
        }
        (Value::Array(a), Value::Array(b)) => {
            let inner = a
                .iter()
                .zip(b)
                .enumerate()
                .find_map(|(i, (a, b))| first_difference(a, b, &format!("{path}[{i}]")));
            let lengths = (a.len() != b.len()).then(|| Mismatch {
                field: path.to_owned(),
                written: format!("a list of {}", a.len()),
                expected: format!("and {} follow from the samples", b.len()),
            });
            inner.or(lengths)
        }
        (a, b) if a == b => None,
        (a, b) => Some(Mismatch {
            field: path.to_owned(),
            written: shown(a),
            expected: format!("and {} follows from the samples and the policy", shown(b)),
        }),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
