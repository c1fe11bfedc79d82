//! Scores of output texts: the rows of the metric table that need a scene, and nothing of a record.
//!
//! Work on one scene is independent of the others, so scenes are scored in parallel; the order of
//! the results is that of the scenes, whatever the number of threads.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::corpus::Counts;
use super::facts::{self, FactError, Judgement};
use super::form::{self, Form, Repetition, read_part};
use super::order::{Slip, WordOrder};
use super::text::{scored_part, words};
use super::{METRICS, SceneScores, Score, Source, bleu, chrf, keywords, rouge};
use crate::record::{OutputObservation, StopReason};
use crate::scene::facts::Thresholds;
use crate::scene::lexicon::Lexicon;
use crate::scene::summary::ModelText;
use crate::scene::text::nfc;
use crate::scene::{Facts, Scene};

/// Shares of the references' length outside which an output is remarked upon.
const LENGTHS: std::ops::RangeInclusive<f64> = 0.33..=3.0;

/// What a system said of one scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said<'a> {
    /// The text as it was written.
    pub text: &'a str,
    /// Keywords given apart from the text; `None` leaves them to the text.
    pub keywords: Option<&'a [String]>,
    /// Why the text ended, where that is known.
    pub stop: Option<StopReason>,
    /// Tokens without the stop token, where they were counted.
    pub n_tokens: Option<usize>,
}

impl<'a> From<&'a OutputObservation> for Said<'a> {
    fn from(output: &'a OutputObservation) -> Self {
        Self {
            text: &output.text,
            keywords: None,
            stop: Some(output.stop),
            n_tokens: Some(output.token_ids.len()),
        }
    }
}

/// One output with its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Scores by metric.
    pub scores: SceneScores,
    /// What it adds to the scores of the corpus.
    pub counts: Counts,
    /// What is odd about the order of its words, by place.
    pub slips: Vec<Slip>,
}

/// One scene and what each of `N` systems said of it.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a, const N: usize> {
    /// The scene.
    pub scene: &'a Scene,
    /// One entry per system; `None` where it said nothing.
    pub said: [Option<Said<'a>>; N],
}

/// Scores the outputs of `N` systems, in the order of `jobs`.
///
/// What can be made ready of a scene is made once for all systems, and only scenes in progress are
/// held.
pub fn score_all<const N: usize>(
    jobs: &[Job<'_, N>],
    lexicon: &Lexicon,
) -> Vec<[Option<Scored>; N]> {
    let score = |job: &Job<'_, N>| {
        let ready = Prepared::new(job.scene, lexicon);
        job.said.map(|said| said.map(|said| ready.score(&said)))
    };
    jobs.par_iter().map(score).collect()
}

/// Scores what one model said of one scene.
pub fn score(scene: &Scene, output: &OutputObservation, lexicon: &Lexicon) -> SceneScores {
    Prepared::new(scene, lexicon)
        .score(&Said::from(output))
        .scores
}

/// A judgement with detections counted from another confidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The confidence from which a detection shows that something is there.
    pub present: f64,
    /// What the text gets wrong then.
    pub judgement: Judgement,
}

/// Confidences near the one in force: a detection at 0.49 or 0.51 flips what is supported.
const NEARBY: [f64; 2] = [0.4, 0.6];

/// Judges the outputs of one system at nearby confidences, in the order of `jobs`; nothing where
/// it said nothing.
pub fn explain_all(jobs: &[Job<'_, 1>], lexicon: &Lexicon) -> Vec<Vec<Explained>> {
    let explain = |job: &Job<'_, 1>| {
        let [said] = &job.said;
        let at = |said: &Said<'_>| {
            let output = ModelText::read(said.text);
            NEARBY.map(|present| explained(job.scene, &output, present, lexicon))
        };
        said.iter().flat_map(at).collect()
    };
    jobs.par_iter().map(explain).collect()
}

fn explained(scene: &Scene, output: &ModelText, present: f64, lexicon: &Lexicon) -> Explained {
    let thresholds = Thresholds {
        present,
        ..Thresholds::default()
    };
    let facts = Facts::at(scene, lexicon, thresholds);
    Explained {
        present,
        judgement: judge(output, &facts, lexicon),
    }
}

/// A scene ready to score any number of outputs.
pub struct Prepared<'a> {
    scene: &'a Scene,
    lexicon: &'a Lexicon,
    facts: Facts,
    references: Vec<String>,
    chrf: chrf::References,
    rouge: rouge::References,
    bleu: bleu::References,
}

/// Everything seen of one output, from which the rows of the table take their values.
pub struct Looked<'a> {
    pub(super) said: &'a Said<'a>,
    pub(super) scene: &'a Scene,
    pub(super) form: Form,
    pub(super) order: &'a WordOrder,
    pub(super) repetition: Repetition,
    pub(super) facts: Vec<(&'static str, Score)>,
    pub(super) chrf2: Option<f64>,
    pub(super) chrf_pp: Option<f64>,
    pub(super) rouge: Option<rouge::Rouge>,
    pub(super) bleu: Option<f64>,
    pub(super) length_ratio: Option<f64>,
    pub(super) keyword_f1: Option<f64>,
    pub(super) n_english: usize,
}

impl<'a> Prepared<'a> {
    /// Reads the scene's facts and counts the n-grams of its references.
    pub fn new(scene: &'a Scene, lexicon: &'a Lexicon) -> Self {
        let of = |text: &String| scored_part(&nfc(text)).to_owned();
        let references: Vec<String> = scene.references.iter().map(of).collect();
        Self {
            facts: Facts::of_scene(scene, lexicon),
            chrf: chrf::References::new(&references),
            rouge: rouge::References::new(&references, rouge::Profile::Unicode),
            bleu: bleu::References::new(&references),
            references,
            scene,
            lexicon,
        }
    }

    /// Scores an output.
    pub fn score(&self, said: &Said<'_>) -> Scored {
        let mut output = ModelText::read(said.text);
        if let Some(keywords) = said.keywords {
            output.keywords = Some(keywords.to_vec());
        }
        let part = scored_part(&output.summary);
        let order = WordOrder::of(read_part(&output), self.lexicon);
        let form = Form::of(&output, said.stop, &order, self.lexicon);
        let judgement = judge(&output, &self.facts, self.lexicon);
        let words = words(part);

        let chrf = self.chrf.counts(part);
        let best = |kind| chrf::best(&chrf, kind);
        let (chrf2, chrf_pp) = (best(chrf::Kind::Chrf2), best(chrf::Kind::ChrfPp));
        let bleu = self.bleu.counts(part);
        let keyword_f1 = output
            .keywords
            .as_ref()
            .filter(|_| !self.scene.keywords.is_empty())
            .map(|words| keywords::f1(words, &self.scene.keywords, self.lexicon));
        let looked = Looked {
            said,
            scene: self.scene,
            form,
            order: &order,
            repetition: Repetition::of(&words),
            facts: judgement.scores(),
            chrf2: chrf2.map(|best| best.score),
            chrf_pp: chrf_pp.map(|best| best.score),
            rouge: self.rouge.score(part),
            bleu: bleu.map(|counts| counts.score()),
            length_ratio: form::length_ratio(&output.summary, &self.references),
            keyword_f1,
            n_english: form::english_leak(&words, self.lexicon),
        };
        Scored {
            scores: SceneScores {
                scene: self.scene.id.clone(),
                scores: table(&looked),
                notes: notes(&looked, &output, &judgement.errors),
                reasons: judgement.errors,
            },
            counts: Counts {
                chrf2: chrf2.map(|best| best.counts),
                chrf_pp: chrf_pp.map(|best| best.counts),
                bleu,
                words,
            },
            slips: order.slips().into_iter().cloned().collect(),
        }
    }
}

fn judge(output: &ModelText, facts: &Facts, lexicon: &Lexicon) -> Judgement {
    facts::judge(read_part(output), facts, lexicon)
}

/// The first score that no right computation can give: metric, value, and what is wrong with it.
pub fn fault(scores: &SceneScores) -> Option<(&'static str, f64, &'static str)> {
    scores.scores.iter().find_map(|(id, score)| {
        let value = score.value()?;
        let fault = match super::find(id) {
            Some(row) => row.fault(value)?,
            None => "of no known metric",
        };
        Some((*id, value, fault))
    })
}

/// The value of every row of the table that scores a text.
fn table(looked: &Looked<'_>) -> BTreeMap<&'static str, Score> {
    let value = |row: &super::Metric| {
        let score = match row.source {
            Source::Text(score) => score(looked),
            Source::Facts => {
                let mut facts = looked.facts.iter();
                let (_, score) = facts.find(|(id, _)| *id == row.id)?;
                score.clone()
            }
            Source::Record => return None,
        };
        debug_assert!(
            score.value().is_none_or(|value| row.fault(value).is_none()),
            "{} is {score:?}",
            row.id
        );
        Some((row.id, score))
    };
    METRICS.iter().filter_map(value).collect()
}

fn notes(looked: &Looked<'_>, output: &ModelText, errors: &[FactError]) -> Vec<String> {
    let flags = looked.form.flags().into_iter();
    let mut notes: Vec<String> = flags.map(|flag| format!("form: {flag}")).collect();
    if looked.form.is_disordered {
        notes.push(disorder(looked.order));
    }
    notes.extend(
        output
            .violations
            .iter()
            .map(|violation| format!("contract: {violation}")),
    );
    if let Some(ratio) = looked.length_ratio.filter(|ratio| !LENGTHS.contains(ratio)) {
        notes.push(format!("length: {ratio:.2} of the references"));
    }
    notes.extend(errors.iter().map(ToString::to_string));
    notes
}

/// The words that tell, of many the first: disorder, then `uma às`, `00:12 de Um`.
fn disorder(order: &WordOrder) -> String {
    const MOST: usize = 5;
    let slips = order.slips();
    let words: Vec<String> = slips
        .iter()
        .map(|slip| format!("`{}`", slip.surface))
        .collect();
    let more = if words.len() > MOST { ", …" } else { "" };
    format!(
        "disorder: {}{more}",
        words[..words.len().min(MOST)].join(", ")
    )
}

/// The scores of one metric over scenes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aggregate {
    /// Scenes with a value.
    pub n: usize,
    /// Their mean; `None` without one.
    pub mean: Option<f64>,
    /// Scenes without a value, for a reason.
    pub n_absent: usize,
}

impl Aggregate {
    /// Over the scenes that were scored by `metric` at all; `None` when none was.
    pub fn of<'a>(scenes: impl Iterator<Item = &'a SceneScores>, metric: &str) -> Option<Self> {
        let (mut n, mut n_absent, mut sum) = (0usize, 0, 0.0);
        for score in scenes.filter_map(|scene| scene.scores.get(metric)) {
            match score.value() {
                Some(value) => (n, sum) = (n + 1, sum + value),
                None => n_absent += 1,
            }
        }
        (n + n_absent > 0).then(|| Self {
            n,
            mean: (n > 0).then(|| sum / n as f64),
            n_absent,
        })
    }
}

#[cfg(test)]
#[path = "outputs_tests.rs"]
mod tests;
