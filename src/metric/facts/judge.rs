//! The rules: one function per kind of error.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Detail, FactError, Rule};
use crate::metric::claims::{Claims, Mention, Sentence, TimeClaim};
use crate::scene::Facts;
use crate::scene::facts::CountRange;

/// Seconds by which a time may be off, whatever its form.
const TOLERANCE_S: f64 = 2.0;

/// What was counted on the way.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_field_names, reason = "counts start with n")]
pub(super) struct Tally {
    pub(super) n_covered: usize,
    pub(super) n_keys: usize,
    pub(super) n_supported_keys: usize,
    pub(super) n_counts: usize,
    pub(super) n_times: usize,
    pub(super) n_order_pairs: usize,
    pub(super) n_misspelt: usize,
    pub(super) n_unverifiable: usize,
    pub(super) n_weak_unsupported: usize,
}

/// A mention, or a label that a mention implies, that the text asserts.
#[derive(Debug, Clone, Copy)]
struct Assertion<'a> {
    sentence: usize,
    mention: &'a Mention,
    key: &'a str,
    labels: &'a [String],
    /// Whether it is only implied: then it brings no number.
    is_implied: bool,
}

impl Assertion<'_> {
    fn is_supported(&self, facts: &Facts) -> bool {
        self.labels
            .iter()
            .any(|label| facts.supported.contains(label))
    }

    fn error(&self, rule: Rule, claimed: Option<Detail>, allowed: Option<Detail>) -> FactError {
        at_mention(rule, self.sentence, self.mention, claimed, allowed)
    }
}

fn at_mention(
    rule: Rule,
    sentence: usize,
    mention: &Mention,
    claimed: Option<Detail>,
    allowed: Option<Detail>,
) -> FactError {
    FactError {
        rule,
        sentence: Some(sentence),
        span: Some(mention.span),
        surface: Some(mention.surface.clone()),
        claimed,
        allowed,
    }
}

fn of_text(rule: Rule, allowed: Option<Detail>) -> FactError {
    FactError {
        rule,
        sentence: None,
        span: None,
        surface: None,
        claimed: None,
        allowed,
    }
}

/// Every error, in the order of the text and what is missing last, and what was counted.
pub(super) fn judge(claims: &Claims, facts: &Facts) -> (Vec<FactError>, Tally) {
    let mut tally = Tally::default();
    for mention in claims.mentions() {
        tally.n_misspelt += usize::from(mention.is_misspelt);
        tally.n_unverifiable += usize::from(mention.is_unverifiable && !mention.is_negated);
    }
    let asserted = assertions(claims);
    tally.n_weak_unsupported = asserted
        .iter()
        .filter(|said| said.mention.is_weak && !said.is_implied && !said.is_supported(facts))
        .count();
    // What is ambiguous and not in the scene means something else: it claims nothing.
    let asserted: Vec<Assertion<'_>> = asserted
        .into_iter()
        .filter(|said| said.is_supported(facts) || !said.mention.is_weak)
        .collect();

    let mut errors = hallucinations(&asserted, facts, &mut tally);
    errors.extend(contradictions(claims, facts));
    errors.extend(counts(&asserted, facts, &mut tally));
    errors.extend(times(claims, &asserted, facts, &mut tally));
    errors.extend(order(claims, &asserted, facts, &mut tally));
    errors.sort_by_key(|error| (error.sentence, error.span, error.rule));
    if facts.is_empty() && (!claims.states_emptiness() || !asserted.is_empty()) {
        errors.push(of_text(Rule::EmptyNotStated, None));
    }
    for label in &facts.salient {
        if asserted.iter().any(|said| covers(said, label)) {
            tally.n_covered += 1;
        } else {
            let allowed = Some(Detail::Label(label.clone()));
            errors.push(of_text(Rule::Missing, allowed));
        }
    }
    (errors, tally)
}

/// Every mention that is not denied, and what it implies, in the order of the text.
fn assertions(claims: &Claims) -> Vec<Assertion<'_>> {
    let mut found = Vec::new();
    for (sentence, of_sentence) in claims.sentences.iter().enumerate() {
        for mention in of_sentence.mentions.iter().filter(|m| !m.is_negated) {
            found.push(Assertion {
                sentence,
                mention,
                key: &mention.key,
                labels: &mention.labels,
                is_implied: false,
            });
            found.extend(mention.implied.iter().map(|label| Assertion {
                sentence,
                mention,
                key: label,
                labels: std::slice::from_ref(label),
                is_implied: true,
            }));
        }
    }
    found
}

/// Whether an assertion names a salient label: itself, by a wider word, or as its face.
fn covers(said: &Assertion<'_>, salient: &str) -> bool {
    let names = |label: &String| label == salient || label == "face" && salient == "person";
    said.labels.iter().any(names)
}

fn hallucinations(asserted: &[Assertion<'_>], facts: &Facts, tally: &mut Tally) -> Vec<FactError> {
    let mut keys = BTreeSet::new();
    let mut errors = Vec::new();
    for said in asserted {
        if !keys.insert(said.key) {
            continue;
        }
        tally.n_keys += 1;
        if said.is_supported(facts) {
            tally.n_supported_keys += 1;
        } else {
            let claimed = Some(Detail::Label(said.key.to_owned()));
            errors.push(said.error(Rule::Hallucination, claimed, None));
        }
    }
    errors
}

fn contradictions(claims: &Claims, facts: &Facts) -> Vec<FactError> {
    let mut errors = Vec::new();
    let mut named: BTreeSet<&String> = BTreeSet::new();
    for (sentence, of_sentence) in claims.sentences.iter().enumerate() {
        for mention in &of_sentence.mentions {
            if !mention.is_negated {
                named.extend(&mention.labels);
                continue;
            }
            // "Um carro passa; não há outros veículos" denies others than the named one.
            let is_of_others =
                mention.is_other && mention.labels.iter().any(|label| named.contains(label));
            let mut labels = mention.labels.iter();
            let denied = labels.find(|label| facts.salient.contains(*label));
            if let Some(label) = denied.filter(|_| !is_of_others) {
                let claimed = Some(Detail::Count(CountRange::exactly(0)));
                let allowed = Some(Detail::Label(label.clone()));
                let rule = Rule::Contradiction;
                errors.push(at_mention(rule, sentence, mention, claimed, allowed));
            }
        }
    }
    errors
}

fn counts(asserted: &[Assertion<'_>], facts: &Facts, tally: &mut Tally) -> Vec<FactError> {
    let mut errors = Vec::new();
    for said in asserted.iter().filter(|said| !said.is_implied) {
        let supported = said
            .labels
            .iter()
            .filter_map(|label| facts.counts.get(label));
        let possible = supported.copied().reduce(CountRange::plus);
        let (Some(claimed), Some(possible)) = (said.mention.quantity, possible) else {
            continue;
        };
        // "um homem e duas mulheres": two of three people, not two people in all. So with a wider
        // word beside a narrower one: "dois veículos e um ônibus".
        let may_be_part = said.mention.is_unverifiable || said.mention.is_hypernym;
        let is_part = said.mention.is_other
            || may_be_part && asserted.iter().any(|other| shares(said, other));
        let claimed = if is_part {
            CountRange::at_least(claimed.lo)
        } else {
            claimed
        };
        tally.n_counts += 1;
        if !claimed.meets(possible) {
            let (claimed, allowed) = (Detail::Count(claimed), Detail::Count(possible));
            errors.push(said.error(Rule::Count, Some(claimed), Some(allowed)));
        }
    }
    errors
}

/// Whether another mention speaks of a label that this one may mean.
fn shares(said: &Assertion<'_>, other: &Assertion<'_>) -> bool {
    let is_another = said.mention.span != other.mention.span;
    is_another && other.labels.iter().any(|label| said.labels.contains(label))
}

fn times(
    claims: &Claims,
    asserted: &[Assertion<'_>],
    facts: &Facts,
    tally: &mut Tally,
) -> Vec<FactError> {
    let mut errors = Vec::new();
    for (index, sentence) in claims.sentences.iter().enumerate() {
        if sentence.times.is_empty() {
            continue;
        }
        let said = asserted.iter().filter(|said| said.sentence == index);
        let said: Vec<&Assertion<'_>> = said.collect();
        tally.n_times += sentence.times.len();
        for time in &sentence.times {
            if let Some(spans) = wrong_time(time, sentence, &said, facts) {
                errors.push(FactError {
                    rule: Rule::Time,
                    sentence: Some(index),
                    span: Some(time.span),
                    surface: Some(time.surface.clone()),
                    claimed: Some(Detail::AtS(time.at_s)),
                    allowed: Some(Detail::SpansS(spans)),
                });
            }
        }
    }
    errors
}

/// Where the time would have been right, if it is wrong.
fn wrong_time(
    time: &TimeClaim,
    sentence: &Sentence,
    said: &[&Assertion<'_>],
    facts: &Facts,
) -> Option<Vec<(f64, f64)>> {
    let slack_s = time.resolution_s.max(TOLERANCE_S);
    let widened = |(from, to): (f64, f64)| (from - slack_s, to + slack_s);
    let holds = |&(from, to): &(f64, f64)| from <= time.at_s && time.at_s <= to;
    let video = widened((0.0, facts.duration_s));
    if !holds(&video) {
        return Some(vec![video]);
    }
    let labels = said.iter().flat_map(|said| said.labels);
    let spans: BTreeMap<&String, (f64, f64)> = labels
        .filter_map(|label| Some((label, widened(facts.seen(label)?.span_s))))
        .collect();
    if !spans.is_empty() {
        let is_right = spans.values().any(holds);
        return (!is_right).then(|| spans.into_values().collect());
    }
    // What is mentioned was never there: the mention is judged, not its time.
    let is_about_nothing = sentence.has_negator
        || sentence.states_emptiness
        || sentence.mentions.iter().any(|mention| mention.is_negated);
    let is_at_an_end = [0.0, facts.duration_s].map(|end| widened((end, end)));
    if !said.is_empty() || is_about_nothing || facts.is_empty() || is_at_an_end.iter().any(holds) {
        return None;
    }
    let from = facts
        .frames_s
        .partition_point(|&at| at < time.at_s - slack_s);
    let is_near = facts
        .frames_s
        .get(from)
        .is_some_and(|&at| at <= time.at_s + slack_s);
    let shown = [facts.frames_s.first(), facts.frames_s.last()];
    let [Some(&first), Some(&last)] = shown else {
        return None;
    };
    (!is_near).then(|| vec![widened((first, last))])
}

fn order(
    claims: &Claims,
    asserted: &[Assertion<'_>],
    facts: &Facts,
    tally: &mut Tally,
) -> Vec<FactError> {
    // Where each label is first named; wider words name none.
    let mut first: Vec<(&String, &Assertion<'_>)> = Vec::new();
    for said in asserted {
        let [label] = said.labels else {
            continue;
        };
        if !said.mention.is_hypernym && first.iter().all(|(known, _)| *known != label) {
            first.push((label, said));
        }
    }
    let mut errors = Vec::new();
    for (i, (earlier, before)) in first.iter().enumerate() {
        for (later, after) in &first[i + 1..] {
            let sentences = [before, after].map(|said| &claims.sentences[said.sentence]);
            if before.sentence == after.sentence || !claims_order(sentences) {
                continue;
            }
            let seen = [earlier, later].map(|label| facts.seen(label));
            let [Some(seen_before), Some(seen_after)] = seen else {
                continue;
            };
            let lead_s = seen_after.span_s.0 - seen_before.span_s.0;
            if lead_s.abs() <= TOLERANCE_S {
                continue;
            }
            tally.n_order_pairs += 1;
            if lead_s < 0.0 {
                let in_order =
                    |a: &String, b: &String| Some(Detail::Order(vec![a.clone(), b.clone()]));
                let claimed = in_order(earlier, later);
                errors.push(after.error(Rule::Order, claimed, in_order(later, earlier)));
            }
        }
    }
    errors
}

/// Whether two sentences, in this order, say that what they tell came in this order.
fn claims_order([earlier, later]: [&Sentence; 2]) -> bool {
    let is_checked_already = !earlier.times.is_empty() && !later.times.is_empty();
    let leaves_order = earlier.skips_order || later.skips_order;
    (later.says_next || earlier.says_first) && !is_checked_already && !leaves_order
}
