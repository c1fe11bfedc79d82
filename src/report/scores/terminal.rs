//! Scores for a person: what they come to, then every text with something wrong.

use super::{NOT_VALIDATED, Sheet};
use crate::metric::outputs::{Explained, Scored};
use crate::metric::{Metric, Score};
use crate::report::escape::{cut, one_line};
use crate::report::wording::count;
use crate::units::Sha256;

/// Longest line of untrusted text, in characters.
const MOST_TEXT: usize = 200;

/// The sheet as text.
pub fn render(sheet: &Sheet) -> String {
    let mut lines = head(sheet);
    lines.push(String::new());
    lines.extend(table(sheet));
    lines.push(String::new());
    lines.extend(wrong(sheet));
    lines.push(String::new());
    lines.push(format!("note: {NOT_VALIDATED}"));
    lines.join("\n") + "\n"
}

fn head(sheet: &Sheet) -> Vec<String> {
    let set = &sheet.set;
    let name = match (&set.name, &set.version) {
        (Some(name), Some(version)) => one_line(&format!("{name}@{version}")),
        (Some(name), None) => one_line(name),
        (None, _) => "an unpinned scenes.jsonl".to_owned(),
    };
    let digest = |digest: &Sha256| format!("sha256:{}…", digest.short());
    vec![format!(
        "{} of {name} {} · lexicon {} {}",
        count(sheet.scored.len(), "output"),
        digest(&set.scenes_sha256),
        one_line(&set.lexicon_version),
        digest(&set.lexicon_sha256),
    )]
}

fn table(sheet: &Sheet) -> Vec<String> {
    let corpus = sheet.corpus();
    let of_corpus = |id: &str| match id {
        "chrf2" => corpus.chrf2,
        "chrf_pp" => corpus.chrf_pp,
        "bleu" => corpus.bleu,
        "distinct_1" => corpus.distinct_1,
        "distinct_2" => corpus.distinct_2,
        _ => None,
    };
    let title = ["metric", "mean", "corpus", "n", "absent"];
    let [metric, mean, corpus, n, absent] = title;
    let mut lines = vec![format!(
        "{metric:<20}{mean:>10}{corpus:>10}{n:>8}{absent:>8}"
    )];
    for (metric, aggregate) in sheet.aggregates() {
        let mean = aggregate
            .mean
            .map_or("n/a".to_owned(), |mean| shown(mean, metric));
        let corpus = of_corpus(metric.id).map_or(String::new(), |score| shown(score, metric));
        lines.push(format!(
            "{:<20}{mean:>10}{corpus:>10}{:>8}{:>8}",
            metric.id, aggregate.n, aggregate.n_absent
        ));
    }
    lines
}

/// A value in the unit of its metric: percent of a fraction, else two decimals.
fn shown(value: f64, metric: &Metric) -> String {
    if metric.unit == "fraction" {
        format!("{:.1} %", value * 100.0)
    } else {
        format!("{value:.2}")
    }
}

/// Every scene with a note, then every error of its text with its place.
fn wrong(sheet: &Sheet) -> Vec<String> {
    let remarked = |scored: &&Scored| !scored.scores.notes.is_empty();
    let n = sheet.scored.iter().filter(remarked).count();
    let of = count(sheet.scored.len(), "output");
    let mut lines = vec![if n == 0 {
        "nothing was found wrong in any output".to_owned()
    } else {
        format!("something is wrong in {n} of {of}")
    }];
    for (i, scored) in sheet.scored.iter().enumerate() {
        let explained = sheet.explained.as_ref().map(|all| all[i].as_slice());
        let explained = explain(scored, explained.unwrap_or_default());
        if !remarked(&scored) && explained.is_empty() {
            continue;
        }
        lines.push(format!("  {}", one_line(&scored.scores.scene)));
        lines.extend(
            notes(scored)
                .iter()
                .chain(&explained)
                .map(|note| format!("    {}", cut(&one_line(note), MOST_TEXT))),
        );
    }
    lines
}

/// `hallucination: horse (cavalo) · bytes 3 to 9 of the text`, and notes that are no errors.
fn notes(scored: &Scored) -> Vec<String> {
    let found = &scored.scores;
    let errors: Vec<String> = found.reasons.iter().map(ToString::to_string).collect();
    let others = found
        .notes
        .iter()
        .filter(|note| !errors.contains(note))
        .cloned();
    let places = found.reasons.iter().zip(&errors).map(|(reason, error)| {
        let rule = reason.rule.name();
        let named = if error.contains(rule) {
            error.clone()
        } else {
            format!("{rule}: {error}")
        };
        match reason.span {
            Some((from, to)) => format!("{named} · bytes {from} to {to} of the text"),
            None => named,
        }
    });
    others.chain(places).collect()
}

/// Which facts of the text hang on a detection near the confidence that counts as present.
fn explain(scored: &Scored, explained: &[Explained]) -> Vec<String> {
    let ok = |score: Option<&Score>| score.and_then(Score::value);
    let now = ok(scored.scores.scores.get("fact_ok"));
    let mut lines = Vec::new();
    for Explained { present, judgement } in explained {
        let facts = judgement.scores();
        let then = ok(facts
            .iter()
            .find(|(id, _)| *id == "fact_ok")
            .map(|(_, score)| score));
        if then == now {
            continue;
        }
        let errors: Vec<String> = judgement.errors.iter().map(ToString::to_string).collect();
        let errors = if errors.is_empty() {
            "no factual error".to_owned()
        } else {
            errors.join("; ")
        };
        lines.push(format!(
            "at confidence {present:.1} instead of 0.5: {errors}"
        ));
    }
    lines
}
