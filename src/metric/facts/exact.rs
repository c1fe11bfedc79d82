//! Exactness: the named objects are the salient ones, each with its number at once.
//!
//! Stricter than the factual errors, and blind to times and order. Made for the synthetic worlds
//! of the first scene set, where a summary can say neither more nor less.

use std::collections::BTreeSet;

use super::{Score, judge_claims};
use crate::metric::claims::{self, Claims, Mention};
use crate::metric::form::scored_part;
use crate::scene::Facts;
use crate::scene::lexicon::Lexicon;

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
    /// One line per factual error, then what else keeps the text from being exact.
    pub notes: Vec<String>,
}

/// Scores `text` against `facts`.
pub fn score(text: &str, facts: &Facts, lexicon: &Lexicon) -> ObjectScores {
    let claims = claims::read(scored_part(text), facts.time_base, lexicon);
    let judgement = judge_claims(&claims, facts);
    let mut notes: Vec<String> = judgement.errors.iter().map(ToString::to_string).collect();
    let is_exact = is_exact(&claims, facts, &mut notes);
    ObjectScores {
        recall: judgement.scores.object_recall,
        precision: judgement.scores.object_precision,
        exact: Score::Value(f64::from(u8::from(is_exact))),
        notes,
    }
}

/// Whether a text names exactly the salient labels, each with the number seen at once.
pub(super) fn is_exact(claims: &Claims, facts: &Facts, notes: &mut Vec<String>) -> bool {
    let asserted: Vec<&Mention> = claims.mentions().filter(|m| !m.is_negated).collect();
    if facts.salient.is_empty() {
        return claims.states_emptiness() && asserted.is_empty();
    }
    let named = |mention: &Mention| -> Vec<String> {
        let all = mention.labels.iter().chain(&mention.implied);
        all.map(|label| match label.as_str() {
            "face" => "person".to_owned(),
            _ => label.clone(),
        })
        .collect()
    };
    let is_plain = asserted.iter().all(|mention| !mention.is_hypernym);
    let all_named: BTreeSet<String> = asserted.iter().flat_map(|m| named(m)).collect();
    let counts_hold = counts_hold(&asserted, facts, notes);
    is_plain && all_named == facts.salient && counts_hold
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
            .filter(|m| m.key == *label && m.implied.is_empty());
        let counts: BTreeSet<u32> = of_label.filter_map(|m| stated(m)).collect();
        let wrong = counts.iter().find(|&&n| n != seen.max_at_once);
        if let Some(n) = wrong {
            notes.push(format!(
                "not exact: {label} {n}, seen {} at once",
                seen.max_at_once
            ));
        }
        all_hold &= counts.len() == 1 && wrong.is_none();
    }
    all_hold
}

/// The one number a mention states; an article counts as 1 here.
fn stated(mention: &Mention) -> Option<u32> {
    match mention.quantity {
        Some(range) => range.hi.filter(|&hi| hi == range.lo),
        None => mention.has_article.then_some(1),
    }
}
