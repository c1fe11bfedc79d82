//! How likely two models find the references, and each what the other wrote.
//!
//! In: the readings of both records. Out: scores of scenes, figures of the whole set, and how far
//! the models are from each other. Nothing here decides: a model finds likely what is like itself.

use super::fidelity::{Fidelity, Position, TokenizersDiffer, bits_per_byte, same_tokenizer};
use super::{SceneScores, Score};
use crate::record::{Reading, Role, RunRecord, TextSource};

/// Metric: bits per byte of the references.
pub const REFERENCE: &str = "ref_bits_per_byte";
/// Metric: bits per byte of the model's own output.
pub const OWN: &str = "own_bits_per_byte";
/// Metric: bits per byte of the model's output under the other model.
pub const CROSS: &str = "cross_bits_per_byte";

const NOT_READ: &str = "the scene was not read";
const NO_REFERENCE: &str = "the scene has no reference";
const NO_TEXT: &str = "the text is empty or was not read";

/// Enters the scores by scene in those of both roles, the baseline's first.
pub fn enter(scores: &mut [Vec<SceneScores>; 2], records: [&RunRecord; 2]) {
    let [base, cand] = records;
    for (scores, (own, other)) in scores.iter_mut().zip([(base, cand), (cand, base)]) {
        for scene in scores {
            for (id, score) in of_scene(&scene.scene, own, other) {
                scene.scores.insert(id, score);
            }
        }
    }
}

/// The text that a role wrote.
fn written_by(role: Role) -> TextSource {
    match role {
        Role::Baseline => TextSource::BaselineOutput,
        Role::Candidate => TextSource::CandidateOutput,
    }
}

fn of_scene(scene: &str, own: &RunRecord, other: &RunRecord) -> [(&'static str, Score); 3] {
    let written = written_by(own.role);
    [
        (REFERENCE, reference(scene, own)),
        (OWN, output(scene, own, written)),
        (CROSS, output(scene, other, written)),
    ]
}

/// Readings of one scene; they stand together.
fn of<'a>(record: &'a RunRecord, scene: &'a str) -> impl Iterator<Item = &'a Reading> {
    let readings = record.readings.iter();
    readings
        .skip_while(move |reading| reading.scene != scene)
        .take_while(move |reading| reading.scene == scene)
}

fn is_reference(reading: &Reading) -> bool {
    matches!(reading.text, TextSource::Reference(_))
}

/// Mean over the references of the scene.
fn reference(scene: &str, record: &RunRecord) -> Score {
    let mut readings = of(record, scene).peekable();
    if readings.peek().is_none() {
        return Score::Absent(NOT_READ);
    }
    let mut references = readings.filter(|reading| is_reference(reading)).peekable();
    if references.peek().is_none() {
        return Score::Absent(NO_REFERENCE);
    }
    let bits: Vec<f64> = references.filter_map(bits).collect();
    if bits.is_empty() {
        return Score::Absent(NO_TEXT);
    }
    Score::Value(bits.iter().sum::<f64>() / bits.len() as f64)
}

fn output(scene: &str, reader: &RunRecord, written: TextSource) -> Score {
    match of(reader, scene).find(|reading| reading.text == written) {
        None => Score::Absent(NOT_READ),
        Some(reading) => bits(reading).map_or(Score::Absent(NO_TEXT), Score::Value),
    }
}

fn bits(reading: &Reading) -> Option<f64> {
    if reading.absent.is_some() {
        return None;
    }
    bits_per_byte(
        reading.nll.iter().map(|nll| f64::from(*nll)),
        reading.n_bytes,
    )
}

/// Bits by bytes of many texts together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corpus {
    /// Bits of all texts by their bytes.
    pub bits_per_byte: f64,
    /// Texts.
    pub n_texts: usize,
}

impl Corpus {
    /// Of the texts that were read in every one of `records`, under the first of them; `None`
    /// without one.
    fn of<'a>(
        records: &[&'a RunRecord],
        is_wanted: impl Fn(&Reading) -> bool + 'a,
    ) -> Option<Self> {
        let (first, others) = records.split_first()?;
        let (mut nats, mut n_bytes, mut n_texts) = (0.0, 0, 0);
        for (i, reading) in first.readings.iter().enumerate() {
            let is_everywhere = others.iter().all(|record| {
                let other = record.readings.get(i);
                other.is_some_and(|other| is_same(reading, other) && other.absent.is_none())
            });
            if is_wanted(reading) && reading.absent.is_none() && is_everywhere {
                nats += reading.nll.iter().map(|nll| f64::from(*nll)).sum::<f64>();
                n_bytes += reading.n_bytes;
                n_texts += 1;
            }
        }
        let bits_per_byte = bits_per_byte(std::iter::once(nats), n_bytes)?;
        Some(Self {
            bits_per_byte,
            n_texts,
        })
    }
}

fn is_same(one: &Reading, other: &Reading) -> bool {
    (&one.scene, one.text, one.n_bytes) == (&other.scene, other.text, other.n_bytes)
}

/// One sort of text under both models, over the same texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Both {
    /// Under the baseline.
    pub baseline: Corpus,
    /// Under the candidate.
    pub candidate: Corpus,
}

/// What two models make of the same texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihoods {
    /// The references.
    pub references: Option<Both>,
    /// What the baseline wrote.
    pub baseline_outputs: Option<Both>,
    /// What the candidate wrote.
    pub candidate_outputs: Option<Both>,
    /// Next-token distributions on the references, or why they were not compared.
    pub fidelity: Result<Fidelity, NoFidelity>,
}

/// Why next-token distributions were not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFidelity {
    /// Token ids of one mean nothing to the other.
    #[error("{0}")]
    Tokenizers(TokenizersDiffer),
    /// The plan has no likelihood pass, or a role failed before it.
    #[error("no text was read by both models")]
    NotRead,
    /// The tokenizers are equal and the vocabularies are not; the notes of the run say more.
    #[error("next-token distributions were not compared; the notes of the run say why")]
    NotCompared,
}

impl Likelihoods {
    /// Sums up two records of one run.
    pub fn of(baseline: &RunRecord, candidate: &RunRecord) -> Self {
        let both = |is_wanted: fn(&Reading) -> bool| {
            Some(Both {
                baseline: Corpus::of(&[baseline, candidate], is_wanted)?,
                candidate: Corpus::of(&[candidate, baseline], is_wanted)?,
            })
        };
        Self {
            references: both(is_reference),
            baseline_outputs: both(|reading| reading.text == TextSource::BaselineOutput),
            candidate_outputs: both(|reading| reading.text == TextSource::CandidateOutput),
            fidelity: fidelity(baseline, candidate),
        }
    }
}

fn fidelity(baseline: &RunRecord, candidate: &RunRecord) -> Result<Fidelity, NoFidelity> {
    same_tokenizer(baseline, candidate).map_err(NoFidelity::Tokenizers)?;
    if baseline.readings.is_empty() || candidate.readings.is_empty() {
        return Err(NoFidelity::NotRead);
    }
    let readings = baseline.readings.iter().zip(&candidate.readings);
    let readings = readings.filter(|(base, cand)| is_same(base, cand));
    let positions: Vec<Position> = readings.flat_map(|(b, c)| positions(b, c)).collect();
    Fidelity::of(&positions).ok_or(NoFidelity::NotCompared)
}

/// The positions of one text; none where no distance was measured.
fn positions<'a>(
    baseline: &'a Reading,
    candidate: &'a Reading,
) -> impl Iterator<Item = Position> + 'a {
    let distance = candidate.distance.iter();
    distance.flat_map(move |distance| {
        let nll = baseline.nll.iter().zip(&candidate.nll);
        let values = nll.zip(&distance.divergence).enumerate();
        values.map(|(i, ((base, cand), divergence))| Position {
            baseline_nll: f64::from(*base),
            candidate_nll: f64::from(*cand),
            divergence: f64::from(*divergence),
            is_same_first: distance.other_first.binary_search(&i).is_err(),
        })
    })
}

/// What is wrong with the readings of a record, which only a bug or an edit can have done to them:
/// the scene, and the rest of a sentence.
///
/// * `is_complete`: whether neither role failed; what a failure of either cut off is missing from
///   both records
pub fn fault(record: &RunRecord, is_complete: bool) -> Option<(&str, &'static str)> {
    let planned = record.plan.scene_ids.iter().take(record.plan.n_read);
    let planned: Vec<&str> = planned.map(String::as_str).collect();
    let found = record.readings.iter().map(|reading| reading.scene.as_str());
    let mut found: Vec<&str> = found.collect();
    found.dedup();
    for (i, scene) in found.iter().enumerate() {
        if planned.get(i) != Some(scene) {
            return Some((scene, "stands where the plan has another or none"));
        }
    }
    if is_complete && found.len() < planned.len() {
        return Some((planned[found.len()], "is missing"));
    }
    record.readings.iter().find_map(|reading| {
        let problem = fault_of(reading, record.role)?;
        Some((reading.scene.as_str(), problem))
    })
}

fn fault_of(reading: &Reading, role: Role) -> Option<&'static str> {
    let is_number = |value: &f32| value.is_finite() && *value >= 0.0;
    if !reading.nll.iter().all(is_number) {
        return Some("has a likelihood that is no number from 0 on");
    }
    if reading.absent.is_some() != reading.nll.is_empty() {
        return Some("has no tokens and no reason, or both");
    }
    let distance = reading.distance.as_ref()?;
    let n = reading.nll.len();
    if role == Role::Baseline || !is_reference(reading) {
        return Some("has a distance where there is none");
    }
    if distance.divergence.len() != n || !distance.divergence.iter().all(is_number) {
        return Some("has another number of divergences than of tokens, or one that is no number");
    }
    let places = &distance.other_first;
    let is_ascending = places.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_ascending || places.last().is_some_and(|place| *place >= n) {
        return Some("has places that are not in the text");
    }
    None
}

#[cfg(test)]
#[path = "likelihood_tests.rs"]
mod tests;
