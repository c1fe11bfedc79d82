//! Texts made wrong on purpose, to see which score notices.
//!
//! In: hand-written scenes with their references. Out: for every kind of corruption the share of
//! scenes on which the gated scores get worse, and for every harmless paraphrase the share on
//! which a factual error appears. The table in `docs/metrics.md` is what the tests here compute.
//!
//! A corruption is caught on a scene when a gated score is worse than for the clean text: `valid`,
//! `fact_ok` or `hallucination_rate` turns bad, `object_recall` falls, or chrF++ falls by more than
//! a point. The clean text is a reference; chrF++ is taken against the scene's other references.

mod edits;
#[expect(
    clippy::unnecessary_wraps,
    reason = "the table's functions are of one type"
)]
mod harmful;
mod harmless;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use super::claims::{self, Mention};
use super::facts::judge_claims;
use super::outputs;
use crate::record::{OutputObservation, StopReason};
use crate::scene::facts::CountRange;
use crate::scene::lexicon::Lexicon;
use crate::scene::{Facts, Scene, SceneSet};

/// Sets whose hand-written scenes are used.
const SETS: [&str; 3] = ["cenas-pt/0.1.0", "sentinelas-pt/1.0.0", "cenas-pt/1.0.0"];

/// One text of one scene.
struct Case {
    scene: Scene,
    facts: Facts,
    lexicon: &'static Lexicon,
    /// A reference, taken as the output of a model.
    clean: String,
    /// Number of the case, for what has to be drawn.
    index: usize,
}

/// A text and why it ended.
struct Output {
    text: String,
    stop: StopReason,
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self {
            text,
            stop: StopReason::Eos,
        }
    }
}

/// The gated scores of one output.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gated {
    is_valid: bool,
    is_fact_ok: bool,
    hallucinates: bool,
    recall: Option<f64>,
    chrf_pp: f64,
}

/// How much chrF++ may fall before it counts, as a fraction.
const CHRF_SLACK: f64 = 0.01;

impl Gated {
    /// Names of the gated scores that are worse than `clean`.
    fn worse_than(self, clean: Self) -> Vec<&'static str> {
        let lost_recall = self.recall.zip(clean.recall).is_some_and(|(a, b)| a < b);
        [
            ("valid", clean.is_valid && !self.is_valid),
            ("fact_ok", clean.is_fact_ok && !self.is_fact_ok),
            (
                "hallucination_rate",
                !clean.hallucinates && self.hallucinates,
            ),
            ("object_recall", lost_recall),
            ("chrf_pp", self.chrf_pp < clean.chrf_pp - CHRF_SLACK),
        ]
        .into_iter()
        .filter_map(|(name, is_worse)| is_worse.then_some(name))
        .collect()
    }
}

impl Case {
    fn gated(&self, output: &Output) -> Gated {
        let observation = OutputObservation {
            scene: self.scene.id.clone(),
            n_prompt: 0,
            token_ids: Vec::new(),
            text: output.text.clone(),
            stop: output.stop,
            times: None,
        };
        let scores = outputs::score(&self.scene, &observation, self.lexicon).scores;
        let value = |id: &str| scores[id].value();
        let flag = |id: &str| value(id) == Some(1.0);
        Gated {
            is_valid: flag("valid"),
            is_fact_ok: flag("fact_ok"),
            hallucinates: flag("hallucination_rate"),
            recall: value("object_recall"),
            chrf_pp: value("chrf_pp").expect("every case keeps a reference"),
        }
    }

    fn clean_output(&self) -> Output {
        self.clean.clone().into()
    }

    /// Mentions of single labels that the clean text asserts and the scene supports.
    fn mentions(&self) -> Vec<Mention> {
        let claims = claims::read(&self.clean, self.facts.time_base, self.lexicon);
        claims
            .mentions()
            .filter(|m| !m.is_negated && !m.is_hypernym && self.facts.supported.contains(&m.key))
            .cloned()
            .collect()
    }

    /// A label that neither the scene supports nor the text could mean, by its canonical noun.
    fn stranger(&self) -> &'static crate::scene::lexicon::Label {
        const CHOICE: [&str; 6] = ["horse", "airplane", "elephant", "boat", "cow", "train"];
        let free: Vec<&str> = CHOICE
            .into_iter()
            .filter(|label| !self.facts.supported.contains(*label))
            .collect();
        let label = free[self.index % free.len()];
        self.lexicon.label(label).expect("a COCO label")
    }

    /// Whether the text has no factual error.
    fn is_fact_ok(&self, text: &str) -> bool {
        let claims = claims::read(text, self.facts.time_base, self.lexicon);
        judge_claims(&claims, &self.facts).is_ok()
    }
}

/// Every reference of every hand-written scene that is clean and not the only one.
fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval-sets");
    let mut cases: Vec<Case> = Vec::new();
    let mut seen = BTreeSet::new();
    for set in SETS {
        let set = SceneSet::load(&root.join(set)).expect("a released set loads");
        for scene in set.scenes {
            // A generated world may have references written by hand.
            let is_hand_written = scene
                .source
                .get("dataset")
                .is_some_and(|d| d == "hand-written")
                || scene.slices.iter().any(|slice| slice == "hand-written");
            if !is_hand_written || !seen.insert(scene.id.clone()) {
                continue;
            }
            for (i, reference) in scene.references.iter().enumerate() {
                let mut others = scene.clone();
                others.references.remove(i);
                let facts = counted(Facts::of_scene(&scene, &crate::scene::lexicon::BUILT_IN));
                let case = Case {
                    facts,
                    lexicon: &crate::scene::lexicon::BUILT_IN,
                    clean: reference.clone(),
                    index: cases.len(),
                    scene: with_tracks(others),
                };
                if !case.scene.references.is_empty() && case.is_fact_ok(reference) {
                    cases.push(case);
                }
            }
        }
    }
    assert!(cases.len() >= 20, "only {} clean texts", cases.len());
    cases
}

/// The facts if as many objects of a kind were there as were seen at once, where nobody says.
fn counted(mut facts: Facts) -> Facts {
    for (label, range) in &mut facts.counts {
        if let (None, Some(seen)) = (range.hi, facts.labels.get(label)) {
            *range = CountRange::exactly(seen.max_at_once);
        }
    }
    facts
}

/// The same for the scene: the known number of objects, where nobody says.
fn with_tracks(mut scene: Scene) -> Scene {
    let facts = Facts::of_scene(&scene, &crate::scene::lexicon::BUILT_IN);
    for (label, seen) in &facts.labels {
        let known = scene.facts.labels.entry(label.clone()).or_default();
        known.tracks = known.tracks.or(Some(seen.max_at_once));
    }
    scene
}
