//! Scores as one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{NOT_VALIDATED, Sheet};
use crate::metric::facts::FactError;
use crate::metric::order::{self, Slip};
use crate::metric::outputs::{Explained, Scored};
use crate::metric::{METRICS, Score};
use crate::report::escape;
use crate::units::Sha256;

/// Version of the form.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    set: Set<'a>,
    lexicon_sha256: Sha256,
    lexicon_version: &'a str,
    word_order_sha256: Sha256,
    word_order_version: &'a str,
    notes: Vec<&'static str>,
    scenes: Vec<Scene<'a>>,
    aggregate: BTreeMap<&'static str, Aggregated>,
    corpus: BTreeMap<&'static str, Value>,
    metric_versions: BTreeMap<&'static str, u32>,
}

#[derive(Serialize)]
struct Set<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    is_pinned: bool,
    scenes_sha256: Sha256,
}

#[derive(Serialize)]
struct Scene<'a> {
    id: &'a str,
    metrics: BTreeMap<&'static str, Value>,
    absent: BTreeMap<&'static str, &'static str>,
    reasons: Vec<Value>,
    word_order: Vec<Value>,
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Vec<AtConfidence>>,
}

#[derive(Serialize)]
struct AtConfidence {
    conf: f64,
    metrics: BTreeMap<&'static str, Value>,
    reasons: Vec<Value>,
}

#[derive(Serialize)]
struct Aggregated {
    n: usize,
    mean: Value,
    absent: usize,
}

/// The bytes of the document, a line feed at the end.
///
/// Keys stand in one order and whole numbers without a fraction, so equal scores give equal bytes.
/// Characters that a terminal or a build log acts upon are spelled as escapes.
///
/// # Panics
/// Never: the document is plain data.
pub fn render(sheet: &Sheet) -> Vec<u8> {
    let set = &sheet.set;
    let corpus = sheet.corpus();
    let (word_order_version, word_order_sha256) = order::version();
    let document = Document {
        schema_version: SCHEMA_VERSION,
        set: Set {
            name: set.name.as_deref(),
            version: set.version.as_deref(),
            is_pinned: set.name.is_some(),
            scenes_sha256: set.scenes_sha256,
        },
        lexicon_sha256: set.lexicon_sha256,
        lexicon_version: &set.lexicon_version,
        word_order_sha256,
        word_order_version,
        notes: vec![NOT_VALIDATED],
        scenes: scenes(sheet),
        aggregate: sheet
            .aggregates()
            .map(|(metric, aggregate)| {
                let aggregated = Aggregated {
                    n: aggregate.n,
                    mean: number(aggregate.mean),
                    absent: aggregate.n_absent,
                };
                (metric.id, aggregated)
            })
            .collect(),
        corpus: [
            ("chrf2", corpus.chrf2),
            ("chrf_pp", corpus.chrf_pp),
            ("bleu", corpus.bleu),
            ("distinct_1", corpus.distinct_1),
            ("distinct_2", corpus.distinct_2),
        ]
        .map(|(name, score)| (name, number(score)))
        .into(),
        metric_versions: METRICS
            .iter()
            .map(|metric| (metric.id, metric.version))
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain data");
    text.push('\n');
    escape::json(&text).into_bytes()
}

fn scenes(sheet: &Sheet) -> Vec<Scene<'_>> {
    let explained = |i: usize| {
        let all = sheet.explained.as_ref()?;
        Some(all[i].iter().map(at_confidence).collect())
    };
    let scored = sheet.scored.iter().enumerate();
    scored
        .map(|(i, scored)| scene(scored, explained(i)))
        .collect()
}

fn scene(scored: &Scored, explain: Option<Vec<AtConfidence>>) -> Scene<'_> {
    let scene = &scored.scores;
    let entries = scene.scores.iter();
    let absent = entries.clone().filter_map(|(id, score)| match score {
        Score::Absent(reason) => Some((*id, *reason)),
        Score::Value(_) => None,
    });
    Scene {
        id: &scene.scene,
        absent: absent.collect(),
        metrics: entries
            .map(|(id, score)| (*id, number(score.value())))
            .collect(),
        reasons: scene.reasons.iter().map(FactError::to_json).collect(),
        word_order: scored.slips.iter().map(Slip::to_json).collect(),
        notes: &scene.notes,
        explain,
    }
}

fn at_confidence(explained: &Explained) -> AtConfidence {
    let scores = explained.judgement.scores();
    AtConfidence {
        conf: explained.present,
        metrics: scores
            .into_iter()
            .map(|(id, score)| (id, number(score.value())))
            .collect(),
        reasons: explained
            .judgement
            .errors
            .iter()
            .map(FactError::to_json)
            .collect(),
    }
}

/// A number, whole ones without a fraction; null for none.
pub(super) fn number(value: Option<f64>) -> Value {
    /// Beyond this not every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        None => Value::Null,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number within 2^53"
        )]
        Some(value) if value.fract() == 0.0 && value.abs() < EXACT => Value::from(value as i64),
        Some(value) => Value::from(value),
    }
}
