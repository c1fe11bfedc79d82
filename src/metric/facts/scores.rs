//! From errors and counts to scores.

use super::error::{FactError, Rule};
use super::judge::Tally;
use crate::metric::Score;
use crate::scene::Facts;

/// Slots a text is taken to have at least, so that one slip of a short text is no collapse.
const LEAST_SLOTS: usize = 5;

/// The factual scores of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct FactScores {
    /// Share of salient labels mentioned.
    pub object_recall: Score,
    /// Share of mentioned keys that the detections support.
    pub object_precision: Score,
    /// Share of claimed numbers that are possible.
    pub count_accuracy: Score,
    /// Share of claimed times that are right.
    pub time_accuracy: Score,
    /// Share of claimed orders that are right.
    pub order_accuracy: Score,
    /// Errors per slot, order errors left out; may exceed 1.
    pub slot_error_rate: Score,
    /// 1 less errors per slot, order errors included, of at least `LEAST_SLOTS` slots. Knows
    /// nothing of the form: an invalid output scores 0 whatever stands here.
    pub fact_score: Score,
    /// 1 when there is no error.
    pub fact_ok: Score,
    /// 1 when something is invented or denied.
    pub hallucination_rate: Score,
    /// Mentions found only because accents were dropped.
    pub accent_errors: Score,
    /// Mentions of what no detection can confirm: sex, age, role.
    pub unverifiable: Score,
    /// Ambiguous words whose label is not in the scene.
    pub weak_unsupported: Score,
    /// Detections whose label the lexicon does not know.
    pub unknown_labels: Score,
}

impl FactScores {
    pub(super) fn new(tally: &Tally, errors: &[FactError], facts: &Facts) -> Self {
        let n = |rule: Rule| errors.iter().filter(|error| error.rule == rule).count();
        let n_invented = n(Rule::Hallucination);
        let n_unstated = usize::from(n(Rule::EmptyNotStated) > 0 && n_invented == 0);
        let n_errors = n(Rule::Missing)
            + n_invented
            + n(Rule::Contradiction)
            + n(Rule::Count)
            + n(Rule::Time)
            + n_unstated;
        let n_slots = facts.salient.len() + tally.n_counts + tally.n_times;
        let n_with_order = n_errors + n(Rule::Order);
        let loss = n_with_order as f64 / n_slots.max(LEAST_SLOTS) as f64;
        let flag = |holds: bool| Score::Value(f64::from(u8::from(holds)));
        let count = |n: usize| Score::Value(n as f64);
        let right = |rule: Rule, of: usize| of - n(rule);
        Self {
            object_recall: share(
                tally.n_covered,
                facts.salient.len(),
                "the scene has no salient label",
            ),
            object_precision: share(
                tally.n_supported_keys,
                tally.n_keys,
                "the text mentions no object",
            ),
            count_accuracy: share(
                right(Rule::Count, tally.n_counts),
                tally.n_counts,
                "the text claims no number",
            ),
            time_accuracy: share(
                right(Rule::Time, tally.n_times),
                tally.n_times,
                "the text claims no time",
            ),
            order_accuracy: share(
                right(Rule::Order, tally.n_order_pairs),
                tally.n_order_pairs,
                "the text claims no order",
            ),
            slot_error_rate: Score::Value(n_errors as f64 / n_slots.max(1) as f64),
            fact_score: Score::Value(1.0 - loss.min(1.0)),
            fact_ok: flag(errors.is_empty()),
            hallucination_rate: flag(n_invented + n(Rule::Contradiction) > 0),
            accent_errors: count(tally.n_misspelt),
            unverifiable: count(tally.n_unverifiable),
            weak_unsupported: count(tally.n_weak_unsupported),
            unknown_labels: count(facts.n_unknown_labels),
        }
    }

    /// The scores by metric id.
    pub fn by_id(&self) -> Vec<(&'static str, Score)> {
        [
            ("object_recall", &self.object_recall),
            ("object_precision", &self.object_precision),
            ("count_accuracy", &self.count_accuracy),
            ("time_accuracy", &self.time_accuracy),
            ("order_accuracy", &self.order_accuracy),
            ("slot_error_rate", &self.slot_error_rate),
            ("fact_score", &self.fact_score),
            ("fact_ok", &self.fact_ok),
            ("hallucination_rate", &self.hallucination_rate),
            ("accent_errors", &self.accent_errors),
            ("unverifiable", &self.unverifiable),
            ("weak_unsupported", &self.weak_unsupported),
            ("unknown_labels", &self.unknown_labels),
        ]
        .map(|(id, score)| (id, score.clone()))
        .to_vec()
    }
}

fn share(part: usize, whole: usize, absent: &'static str) -> Score {
    if whole == 0 {
        Score::Absent(absent)
    } else {
        Score::Value(part as f64 / whole as f64)
    }
}
