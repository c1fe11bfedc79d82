//! Claims against the scene's facts: recall and precision of objects, and exactness.
//!
//! Source: the definitions of salient and supported labels are those of [`crate::scene::facts`].

use std::collections::BTreeSet;

use super::Score;
use super::claims::{Mention, mentions, states_emptiness};
use crate::scene::Facts;
use crate::scene::lexicon::{Lexicon, Scope};

/// What a text gets right about a scene's objects.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectScores {
    /// Share of salient labels mentioned; absent when there is none.
    pub recall: Score,
    /// Share of mentioned keys that the detections support; absent when nothing is mentioned.
    pub precision: Score,
    /// 1 when exactly the salient labels are named, each with its number; in an empty scene, when
    /// emptiness is stated and nothing is named.
    pub exact: Score,
    /// One line per error: `missing: truck`, `invented: dog (cachorro)`, `count: car 3, seen 2`.
    pub notes: Vec<String>,
}

/// Scores `text` against `facts`.
pub fn score(text: &str, facts: &Facts, lexicon: &Lexicon) -> ObjectScores {
    let mentions = mentions(text, lexicon);
    let asserted: Vec<&Mention> = mentions.iter().filter(|m| !m.is_negated).collect();
    let mut notes = Vec::new();

    let is_covered = |label: &str| {
        asserted
            .iter()
            .any(|mention| mention.labels.iter().any(|l| same_object(l, label)))
    };
    let n_covered = facts
        .salient
        .iter()
        .filter(|label| is_covered(label))
        .count();
    for label in facts.salient.iter().filter(|label| !is_covered(label)) {
        notes.push(format!("missing: {label}"));
    }
    let recall = if facts.salient.is_empty() {
        Score::Absent("the scene has no salient label")
    } else {
        Score::Value(n_covered as f64 / facts.salient.len() as f64)
    };

    let (mut n_supported, mut seen) = (0usize, BTreeSet::new());
    for mention in &asserted {
        let is_supported = mention
            .labels
            .iter()
            .any(|label| facts.supported.contains(label));
        if mention.is_weak && !is_supported {
            continue;
        }
        if seen.insert(mention.labels.join("|")) {
            n_supported += usize::from(is_supported);
            if !is_supported {
                notes.push(format!(
                    "invented: {} ({})",
                    mention.labels.join("/"),
                    mention.surface
                ));
            }
        }
    }
    let precision = if seen.is_empty() {
        Score::Absent("the text mentions no object")
    } else {
        Score::Value(n_supported as f64 / seen.len() as f64)
    };

    let counts_hold = counts_hold(&asserted, facts, &mut notes);
    let names_exactly = asserted
        .iter()
        .all(|m| m.scope == Scope::All && m.labels.iter().all(|l| facts.salient.contains(l)));
    let is_exact = if facts.salient.is_empty() {
        let is_stated = states_emptiness(text, lexicon);
        if !is_stated {
            notes.push("emptiness is not stated".to_owned());
        }
        is_stated && asserted.is_empty()
    } else {
        n_covered == facts.salient.len() && names_exactly && counts_hold
    };
    ObjectScores {
        recall,
        precision,
        exact: Score::Value(f64::from(u8::from(is_exact))),
        notes,
    }
}

/// Whether every salient label is given its number at least once and never another.
fn counts_hold(asserted: &[&Mention], facts: &Facts, notes: &mut Vec<String>) -> bool {
    let mut all_hold = true;
    for label in &facts.salient {
        let Some(seen) = facts.labels.get(label) else {
            continue;
        };
        let of_label = asserted
            .iter()
            .filter(|m| m.labels.len() == 1 && m.labels[0] == **label);
        let counts: BTreeSet<u32> = of_label.filter_map(|m| m.count).collect();
        let wrong = counts.iter().find(|&&n| n != seen.max_at_once);
        if let Some(n) = wrong {
            notes.push(format!(
                "count: {label} {n}, seen {} at once",
                seen.max_at_once
            ));
        }
        all_hold &= counts.len() == 1 && wrong.is_none();
    }
    all_hold
}

/// A factual error.
#[derive(Debug, Clone, PartialEq)]
pub struct FactError {
    text: String,
    /// Bytes.
    pub span: Option<(usize, usize)>,
    /// Rule.
    pub rule: Rule,
}

/// Rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Any.
    Any,
}

impl Rule {
    /// Name.
    pub fn name(self) -> &'static str {
        "fact"
    }
}

impl FactError {
    /// JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"rule": "fact", "text": self.text})
    }
}

impl std::fmt::Display for FactError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a text gets wrong and what that scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The errors, in the order of the text.
    pub errors: Vec<FactError>,
    scores: Vec<(&'static str, Score)>,
}

impl Judgement {
    /// Score by metric id.
    pub fn scores(&self) -> Vec<(&'static str, Score)> {
        self.scores.clone()
    }
}

/// Judges `text` against `facts`.
pub fn judge(text: &str, facts: &Facts, lexicon: &Lexicon) -> Judgement {
    let found = score(text, facts, lexicon);
    Judgement {
        errors: found
            .notes
            .into_iter()
            .map(|text| FactError {
                text,
                span: None,
                rule: Rule::Any,
            })
            .collect(),
        scores: vec![
            ("object_recall", found.recall),
            ("object_precision", found.precision),
            ("fact_ok", found.exact),
        ],
    }
}

/// A face is a person for the purpose of being mentioned.
fn same_object(mentioned: &str, label: &str) -> bool {
    mentioned == label || (mentioned == "face" && label == "person")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::analytic::{Analytic, Event};
    use crate::scene::lexicon::BUILT_IN;

    fn facts(seen: &[(&str, u32)]) -> Facts {
        let mut events = Vec::new();
        for &(label, n) in seen {
            for at in 0..3 * n {
                events.push(Event {
                    frame_timestamp_seconds: f64::from(at % 3),
                    event_type: "object_detection".into(),
                    label: Some(label.to_owned()),
                    confidence: 0.9,
                    bounding_box: None,
                });
            }
        }
        let analytic = Analytic {
            source_video_path: "v.mp4".into(),
            source_video_hash_sha256: "0".repeat(64),
            processing_timestamp_utc: "2026-11-01T00:00:00Z".into(),
            duration_seconds: 60.0,
            frames_analyzed: 60,
            events,
        };
        Facts::of(&analytic, &BUILT_IN)
    }

    #[track_caller]
    fn check(text: &str, recall: f64, precision: Option<f64>, exact: f64) {
        let facts = facts(&[("person", 2), ("car", 1)]);
        let scores = score(text, &facts, &BUILT_IN);
        assert_eq!(scores.recall, Score::Value(recall), "recall of {text}");
        assert_eq!(scores.precision.value(), precision, "precision of {text}");
        assert_eq!(
            scores.exact,
            Score::Value(exact),
            "exactness of {text}: {:?}",
            scores.notes
        );
    }

    #[test]
    fn texts_about_two_people_and_a_car() {
        check(
            "Duas pessoas e um carro passam. As pessoas saem.",
            1.0,
            Some(1.0),
            1.0,
        );
        check("Três pessoas e um carro passam.", 1.0, Some(1.0), 0.0);
        check("Pessoas e um carro passam.", 1.0, Some(1.0), 0.0);
        check("Duas pessoas passam.", 0.5, Some(1.0), 0.0);
        check(
            "Duas pessoas, um carro e um gato passam.",
            1.0,
            Some(2.0 / 3.0),
            0.0,
        );
        check("Duas pessoas e um veículo passam.", 1.0, Some(1.0), 0.0);
        check(
            "Duas pessoas passam; nenhum carro foi visto.",
            0.5,
            Some(1.0),
            0.0,
        );
        check("A rua está calma.", 0.0, None, 0.0);
        check("", 0.0, None, 0.0);
    }

    #[test]
    fn an_empty_scene_wants_its_emptiness_stated() {
        let empty = facts(&[]);
        let exact = |text| score(text, &empty, &BUILT_IN).exact.value();
        assert_eq!(exact("O local permaneceu vazio."), Some(1.0));
        assert_eq!(exact("A rua aparece calma."), Some(0.0));
        assert_eq!(exact("O local ficou vazio até um gato passar."), Some(0.0));
        assert_eq!(score("Nada.", &empty, &BUILT_IN).recall.value(), None);
    }

    #[test]
    fn errors_are_named() {
        let facts = facts(&[("person", 2), ("car", 1)]);
        let notes = score("Três pessoas e um gato.", &facts, &BUILT_IN).notes;
        let expected = [
            "missing: car",
            "invented: cat (gato)",
            "count: person 3, seen 2 at once",
        ];
        assert_eq!(notes, expected);
    }
}
