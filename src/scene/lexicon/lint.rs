//! What makes a lexicon contradict itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lexicon, folded_key, lower_key};
use crate::scene::text::nfc;

/// One fault of a lexicon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule.
    pub rule: &'static str,
    /// What is wrong, with the words concerned.
    pub message: String,
}

/// Looks for faults. A sound lexicon gives none.
///
/// * `no-word`: a surface or phrase without letters or digits
/// * `two-meanings`: one folded surface for two labels, hypernyms or stop surfaces
/// * `no-surface`: a weak, unverifiable, implying or collective word that is no surface
/// * `negator-inside`: a negator in the middle of a surface, which could never be matched
/// * `never-matched`: a surface written like a fold exception
/// * `needless-exception`: a fold exception that folds to no word of any surface
/// * `canon`: a canonical noun that is not among the surfaces of its number
/// * `not-nfc`: a word that is not in NFC
/// * `no-list`: a list without which texts cannot be read
pub fn lint(lexicon: &Lexicon) -> Vec<Finding> {
    let mut findings = Vec::new();
    let surfaces = surfaces(lexicon);
    words_exist(lexicon, &surfaces, &mut findings);
    meanings_are_single(&surfaces, &mut findings);
    roles_are_surfaces(lexicon, &surfaces, &mut findings);
    negators_stand_alone(lexicon, &surfaces, &mut findings);
    exceptions_make_sense(lexicon, &surfaces, &mut findings);
    canon_is_a_surface(lexicon, &mut findings);
    lists_are_filled(lexicon, &mut findings);
    findings
}

/// Faults of an extended lexicon that the one it extends does not have.
pub fn new_findings(base: &Lexicon, extended: &Lexicon) -> Vec<Finding> {
    let old = lint(base);
    let mut findings = lint(extended);
    findings.retain(|finding| !old.contains(finding));
    findings
}

fn note(findings: &mut Vec<Finding>, rule: &'static str, message: String) {
    findings.push(Finding { rule, message });
}

/// Every surface with what it belongs to.
fn surfaces(lexicon: &Lexicon) -> Vec<(&String, String)> {
    let stop = lexicon.source.stop_surfaces.iter();
    let stop = stop.map(|surface| (surface, "(stop surface)".to_owned()));
    let of_label = lexicon.labels.iter().flat_map(|label| {
        let all = label.singular.iter().chain(&label.plural);
        all.map(|surface| (surface, label.coco.clone()))
    });
    let of_hypernym = lexicon.source.hypernyms.iter().flat_map(|hypernym| {
        [&hypernym.singular, &hypernym.plural]
            .map(|surface| (surface, format!("(hypernym {})", hypernym.singular)))
    });
    stop.chain(of_label).chain(of_hypernym).collect()
}

fn words_exist(lexicon: &Lexicon, surfaces: &[(&String, String)], findings: &mut Vec<Finding>) {
    let lists = super::lists(&lexicon.source).into_iter().flatten();
    let maps = &lexicon.source;
    let keys = maps.numerals.keys().chain(maps.time_units_s.keys());
    let keys = keys.chain(maps.vague.keys());
    for phrase in surfaces.iter().map(|(s, _)| *s).chain(lists).chain(keys) {
        if folded_key(phrase).is_empty() {
            note(
                findings,
                "no-word",
                format!("`{phrase}` has no letter or digit"),
            );
        }
        if nfc(phrase) != **phrase {
            note(findings, "not-nfc", format!("`{phrase}` is not in NFC"));
        }
    }
}

fn meanings_are_single(surfaces: &[(&String, String)], findings: &mut Vec<Finding>) {
    let mut meanings: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for (surface, meaning) in surfaces {
        meanings
            .entry(folded_key(surface))
            .or_default()
            .insert(meaning);
    }
    for (folded, found) in meanings.iter().filter(|(_, found)| found.len() > 1) {
        let found: Vec<&str> = found.iter().map(|meaning| meaning.as_str()).collect();
        let message = format!("`{folded}` stands for {}", found.join(" and "));
        note(findings, "two-meanings", message);
    }
}

fn roles_are_surfaces(
    lexicon: &Lexicon,
    surfaces: &[(&String, String)],
    findings: &mut Vec<Finding>,
) {
    let known: BTreeSet<String> = surfaces.iter().map(|(s, _)| folded_key(s)).collect();
    let source = &lexicon.source;
    let roles = [
        (
            "weak_surfaces",
            source.weak_surfaces.iter().collect::<Vec<_>>(),
        ),
        (
            "unverifiable_surfaces",
            source.unverifiable_surfaces.iter().collect(),
        ),
        ("implies", source.implies.keys().collect()),
        ("collective", source.collective.keys().collect()),
    ];
    for (list, words) in roles {
        for word in words
            .into_iter()
            .filter(|word| !known.contains(&folded_key(word)))
        {
            let message = format!("`{word}` of {list} is no surface");
            note(findings, "no-surface", message);
        }
    }
}

fn negators_stand_alone(
    lexicon: &Lexicon,
    surfaces: &[(&String, String)],
    findings: &mut Vec<Finding>,
) {
    let negators = lexicon
        .source
        .negators
        .iter()
        .map(|n| format!(" {} ", folded_key(n)));
    let negators: Vec<String> = negators.collect();
    for (surface, _) in surfaces {
        let padded = format!(" {} ", folded_key(surface));
        if let Some(negator) = negators.iter().find(|negator| padded.contains(*negator)) {
            let message = format!("`{surface}` holds the negator `{}`", negator.trim());
            note(findings, "negator-inside", message);
        }
    }
}

fn exceptions_make_sense(
    lexicon: &Lexicon,
    surfaces: &[(&String, String)],
    findings: &mut Vec<Finding>,
) {
    let words = |key: fn(&str) -> String| -> BTreeSet<String> {
        let keys = surfaces.iter().map(|(surface, _)| key(surface));
        keys.flat_map(|key| key.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let (folded, lower) = (words(folded_key), words(lower_key));
    for exception in &lexicon.source.fold_exceptions {
        if !folded.contains(&folded_key(exception)) {
            let message = format!("`{exception}` folds to no word of a surface");
            note(findings, "needless-exception", message);
        }
        if lower.contains(&lower_key(exception)) {
            let message = format!("`{exception}` is a surface and a fold exception");
            note(findings, "never-matched", message);
        }
    }
}

fn canon_is_a_surface(lexicon: &Lexicon, findings: &mut Vec<Finding>) {
    for label in &lexicon.labels {
        let forms = [&label.singular, &label.plural];
        for (noun, surfaces) in label.canon.iter().zip(forms) {
            if !surfaces.contains(noun) {
                let message = format!("`{noun}` is no such surface of `{}`", label.coco);
                note(findings, "canon", message);
            }
        }
    }
}

fn lists_are_filled(lexicon: &Lexicon, findings: &mut Vec<Finding>) {
    let source = &lexicon.source;
    let needed = [
        ("labels", source.labels.is_empty()),
        ("negators", source.negators.is_empty()),
        ("emptiness", source.emptiness.is_empty()),
        ("numerals", source.numerals.is_empty()),
        ("time_units_s", source.time_units_s.is_empty()),
        ("function_words", source.function_words.is_empty()),
    ];
    for (list, _) in needed.iter().filter(|(_, is_empty)| *is_empty) {
        note(findings, "no-list", format!("`{list}` is empty"));
    }
}
