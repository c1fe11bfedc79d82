//! Paraphrases: the same said otherwise. None may bring a factual error.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::Case;
use super::edits::{is_plural, like, noun_phrase, number, sentences, splice};
use crate::metric::claims;
use crate::scene::lexicon::Gender;

/// One way to say the same otherwise.
pub(super) struct Paraphrase {
    pub(super) name: &'static str,
    /// The other text; `None` where there is nothing to say otherwise.
    pub(super) make: fn(&Case) -> Option<String>,
}

pub(super) const PARAPHRASES: &[Paraphrase] = &[
    Paraphrase {
        name: "synonyms",
        make: synonyms,
    },
    Paraphrase {
        name: "digits for number words",
        make: digits,
    },
    Paraphrase {
        name: "number words for digits",
        make: words,
    },
    Paraphrase {
        name: "sentences in another order",
        make: other_order,
    },
    Paraphrase {
        name: "lower case",
        make: |case| Some(case.clean.to_lowercase()),
    },
    Paraphrase {
        name: "upper case",
        make: |case| Some(case.clean.to_uppercase()),
    },
    Paraphrase {
        name: "accents dropped",
        make: |case| {
            Some(
                case.clean
                    .nfd()
                    .filter(|c| !is_combining_mark(*c))
                    .collect(),
            )
        },
    },
    Paraphrase {
        name: "decomposed (NFD)",
        make: |case| Some(case.clean.nfd().collect()),
    },
    Paraphrase {
        name: "wider words",
        make: wider,
    },
    Paraphrase {
        name: "one line per sentence",
        make: |case| Some(sentences(&case.clean).join("\n")),
    },
    Paraphrase {
        name: "an opening about nothing",
        make: |case| {
            Some(format!(
                "No vídeo analisado, observa-se o seguinte. {}",
                case.clean
            ))
        },
    },
];

/// Another word of the same label and number; of several the one the case's number picks.
fn synonyms(case: &Case) -> Option<String> {
    let edit = |mention: claims::Mention| {
        let label = case.lexicon.label(&mention.key)?;
        let forms = if is_plural(&mention, label) {
            &label.plural
        } else {
            &label.singular
        };
        let is_plain = |word: &&String| {
            let claims = claims::read(word, case.facts.time_base, case.lexicon);
            let mut mentions = claims.mentions();
            let is_same = |m: &claims::Mention| {
                m.key == mention.key && m.implied.is_empty() && m.quantity.is_none() && !m.is_weak
            };
            mentions.next().is_some_and(is_same) && **word != mention.surface.to_lowercase()
        };
        let others: Vec<&String> = forms.iter().filter(is_plain).collect();
        let other = others.get(case.index % others.len().max(1))?;
        // A word that implies more, or a collective one, says something else.
        let is_replaceable =
            mention.implied.is_empty() && mention.quantity.is_none_or(|q| q.hi.is_some());
        is_replaceable.then(|| (mention.span, like(&mention.surface, other)))
    };
    let edits: Vec<_> = case.mentions().into_iter().filter_map(edit).collect();
    (!edits.is_empty()).then(|| splice(&case.clean, edits))
}

/// Number words before objects as digits.
fn digits(case: &Case) -> Option<String> {
    let edit = |mention: claims::Mention| {
        let n = mention
            .quantity
            .filter(|q| q.hi == Some(q.lo) && q.lo > 1)?
            .lo;
        let span = noun_phrase(&case.clean, &mention);
        let old = &case.clean[span.0..span.1];
        let first = old.split_whitespace().next()?.to_lowercase();
        let is_word = [Gender::Feminine, Gender::Masculine]
            .iter()
            .any(|&g| number(n, g) == first);
        is_word.then(|| ((span.0, span.0 + first.len()), n.to_string()))
    };
    let edits: Vec<_> = case.mentions().into_iter().filter_map(edit).collect();
    (!edits.is_empty()).then(|| splice(&case.clean, edits))
}

/// Digits before objects as number words.
fn words(case: &Case) -> Option<String> {
    let spelt = [
        (11, "onze"),
        (12, "doze"),
        (13, "treze"),
        (14, "catorze"),
        (15, "quinze"),
        (20, "vinte"),
        (22, "vinte e dois"),
    ];
    let edit = |mention: claims::Mention| {
        let n = mention.quantity.filter(|q| q.hi == Some(q.lo))?.lo;
        let span = noun_phrase(&case.clean, &mention);
        let old = &case.clean[span.0..span.1];
        let label = case.lexicon.label(&mention.key)?;
        let word = match n {
            2..=10 => number(n, label.gender),
            _ => spelt.iter().find(|(value, _)| *value == n)?.1.to_owned(),
        };
        let digits = n.to_string();
        old.starts_with(&digits)
            .then(|| ((span.0, span.0 + digits.len()), word))
    };
    let edits: Vec<_> = case.mentions().into_iter().filter_map(edit).collect();
    (!edits.is_empty()).then(|| splice(&case.clean, edits))
}

/// Sentences reversed, where none says what came first.
fn other_order(case: &Case) -> Option<String> {
    let claims = claims::read(&case.clean, case.facts.time_base, case.lexicon);
    let says_order = |s: &claims::Sentence| s.says_first || s.says_next || s.skips_order;
    let mut sentences = sentences(&case.clean);
    if sentences.len() < 2 || claims.sentences.iter().any(says_order) {
        return None;
    }
    sentences.reverse();
    Some(sentences.join(" "))
}

/// *veículo* for a car, *animal* for a dog, where the scene has no other of that kind.
fn wider(case: &Case) -> Option<String> {
    let edit = |mention: claims::Mention| {
        let label = case.lexicon.label(&mention.key)?;
        let wider = ["veículo", "animal", "bagagem"];
        let hypernym = case.lexicon.hypernyms().iter().find(|hypernym| {
            wider.contains(&hypernym.singular.as_str()) && hypernym.any_of.contains(&mention.key)
        })?;
        let is_only = |other: &&String| hypernym.any_of.contains(other);
        let is_single = case.facts.supported.iter().filter(is_only).count() == 1;
        let word = if is_plural(&mention, label) {
            &hypernym.plural
        } else {
            &hypernym.singular
        };
        (is_single && mention.implied.is_empty())
            .then(|| (mention.span, like(&mention.surface, word)))
    };
    let edits: Vec<_> = case.mentions().into_iter().filter_map(edit).collect();
    (!edits.is_empty()).then(|| splice(&case.clean, edits))
}
