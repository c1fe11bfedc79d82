//! Digests inside a report, by which a change of any byte of it shows.
//!
//! No protection against someone who makes a whole report anew; that is what signatures are for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::ReportFile;
use crate::units::Sha256;

/// Digests of the parts of a report and of all of it, over their compact JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Digest of `evidence.baseline_record`.
    pub baseline_record: Option<Sha256>,
    /// Digest of `evidence.candidate_record`.
    pub candidate_record: Option<Sha256>,
    /// Digest of `evidence.baseline_scores`.
    pub baseline_scores: Option<Sha256>,
    /// Digest of `evidence.candidate_scores`.
    pub candidate_scores: Option<Sha256>,
    /// Digest of the report with this field left out.
    pub report: Option<Sha256>,
}

impl Seal {
    /// The seal a report should have.
    ///
    /// # Panics
    /// Never: a report is plain data.
    pub fn of(file: &ReportFile) -> Self {
        let evidence = file.evidence.as_ref();
        let parts = Self {
            baseline_record: evidence.map(|it| digest(&it.baseline_record)),
            candidate_record: evidence.map(|it| digest(&it.candidate_record)),
            baseline_scores: evidence.map(|it| digest(&it.baseline_scores)),
            candidate_scores: evidence.map(|it| digest(&it.candidate_scores)),
            report: None,
        };
        let without = ReportFile {
            seal: parts.clone(),
            ..file.clone()
        };
        Self {
            report: Some(digest(&without)),
            ..parts
        }
    }
}

impl ReportFile {
    /// The same report under its seal.
    #[must_use]
    pub(super) fn sealed(self) -> Self {
        Self {
            seal: Seal::of(&self),
            ..self
        }
    }
}

fn digest(part: &impl Serialize) -> Sha256 {
    Sha256::of(&serde_json::to_vec(part).expect("a report is plain data"))
}
