//! Digests inside a report, by which a change of any byte of it shows, and where.
//!
//! No protection against someone who makes a whole report anew; that is what signatures are for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::ReportFile;
use crate::units::Sha256;

/// Hexadecimal digits of a part's digest: it tells where a change is, the whole digests that there
/// is one.
const PART_DIGITS: usize = 16;

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
    /// Beginnings of the digests of what is given and not computed, by dotted path: fields of the
    /// records, and each launch, output, scored scene and scene by itself. Empty in older reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// Digest of the report with this field left out.
    pub report: Option<Sha256>,
}

impl Seal {
    /// The seal a report should have.
    ///
    /// # Panics
    /// Never: a report is plain data.
    pub fn of(file: &ReportFile) -> Self {
        Self::with_parts(file, parts(file))
    }

    /// The same of the form a report was sealed in: older ones name no parts.
    pub(super) fn as_written(file: &ReportFile) -> Self {
        if file.seal.parts.is_empty() {
            Self::with_parts(file, BTreeMap::new())
        } else {
            Self::of(file)
        }
    }

    fn with_parts(file: &ReportFile, parts: BTreeMap<String, String>) -> Self {
        let evidence = file.evidence.as_ref();
        let inner = Self {
            baseline_record: evidence.map(|it| digest(&it.baseline_record)),
            candidate_record: evidence.map(|it| digest(&it.candidate_record)),
            baseline_scores: evidence.map(|it| digest(&it.baseline_scores)),
            candidate_scores: evidence.map(|it| digest(&it.candidate_scores)),
            parts,
            report: None,
        };
        let without = ReportFile {
            seal: inner.clone(),
            ..file.clone()
        };
        Self {
            report: Some(digest(&without)),
            ..inner
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

/// Digests of what `verify` cannot compute again, as fine as a reader asks: "which launch was it?".
fn parts(file: &ReportFile) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let given = [
        ("evidence", serde_json::to_value(&file.evidence)),
        ("scene_details", serde_json::to_value(&file.scene_details)),
        ("notices", serde_json::to_value(&file.notices)),
        ("earlier", serde_json::to_value(&file.earlier)),
    ];
    for (path, value) in given {
        split(path, &value.expect("a report is plain data"), &mut found);
    }
    found
}

/// Objects are split into their fields, lists of objects into their entries; entries stay whole.
fn split(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !path.ends_with(']') => {
            for (key, value) in fields {
                split(&format!("{path}.{key}"), value, found);
            }
        }
        Value::Array(entries) if entries.first().is_some_and(Value::is_object) => {
            for (i, entry) in entries.iter().enumerate() {
                split(&format!("{path}[{i}]"), entry, found);
            }
        }
        value => {
            let digits: String = digest(value)
                .to_string()
                .chars()
                .take(PART_DIGITS)
                .collect();
            found.insert(path.to_owned(), digits);
        }
    }
}

fn digest(part: &impl Serialize) -> Sha256 {
    Sha256::of(&serde_json::to_vec(part).expect("a report is plain data"))
}
