//! Labels ↔ Portuguese surfaces: what a word may mean, and how a label is said.
//!
//! The data is `lexicon.toml`, compiled in; its digest stands in every record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

use super::text::{fold, nfc, tokens};
use crate::units::Sha256;

const SOURCE: &str = include_str!("lexicon.toml");

/// The lexicon compiled into this build.
pub static BUILT_IN: LazyLock<Lexicon> =
    LazyLock::new(|| Lexicon::parse(SOURCE).expect("the compiled-in lexicon parses"));

/// Grammatical gender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Gender {
    /// Feminine.
    #[serde(rename = "f")]
    Feminine,
    /// Masculine.
    #[serde(rename = "m")]
    Masculine,
}

/// One label and its words.
#[derive(Debug, Clone, Deserialize)]
pub struct Label {
    /// English COCO name, the label's key.
    pub coco: String,
    /// Gender of `canon`.
    pub gender: Gender,
    /// Canonical noun: singular, plural.
    pub canon: [String; 2],
    /// Every singular surface.
    pub singular: Vec<String>,
    /// Every plural surface.
    pub plural: Vec<String>,
}

/// A word for several labels, such as *veículo*.
#[derive(Debug, Clone, Deserialize)]
struct Hypernym {
    singular: String,
    plural: String,
    any_of: Vec<String>,
}

/// How a surface stands for its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It means every one of its labels: a label's own word, or *ciclista* (bicycle and person).
    All,
    /// It means any of its labels: *veículo*.
    Any,
    /// It is consumed and means nothing: *banco de dados*.
    Nothing,
}

/// What a surface stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sense {
    /// COCO labels, read as `scope` says.
    pub labels: Vec<String>,
    /// How the labels are meant.
    pub scope: Scope,
    /// Whether the surface is only a plural form.
    pub is_plural: bool,
    /// Ambiguous: counts for recall, never as an invention.
    pub is_weak: bool,
}

#[derive(Deserialize)]
struct Source {
    lexicon_version: String,
    stop_surfaces: Vec<String>,
    fold_exceptions: Vec<String>,
    english_label_exempt: Vec<String>,
    negators: Vec<String>,
    negation_exempt: Vec<String>,
    emptiness: Vec<String>,
    function_words: Vec<String>,
    weak_surfaces: Vec<String>,
    numerals: BTreeMap<String, u32>,
    implies: BTreeMap<String, Vec<String>>,
    labels: Vec<Label>,
    hypernyms: Vec<Hypernym>,
}

/// A parsed lexicon with its matching tables.
#[derive(Debug)]
pub struct Lexicon {
    /// Version written in the file, e.g. `pt-BR/0.2`.
    pub version: String,
    /// SHA-256 of the file's bytes.
    pub sha256: Sha256,
    /// All labels.
    pub labels: Vec<Label>,
    /// English names that are Portuguese words too.
    pub english_label_exempt: Vec<String>,
    surfaces: PhraseTable<Sense>,
    negators: PhraseTable<()>,
    negation_exempt: PhraseTable<()>,
    emptiness: PhraseTable<()>,
    fold_exceptions: HashSet<String>,
    function_words: HashSet<String>,
    numerals: HashMap<String, u32>,
    by_surface: HashMap<String, String>,
}

/// Phrases of folded words; finds the longest one at a place.
#[derive(Debug)]
struct PhraseTable<T> {
    phrases: HashMap<Vec<String>, T>,
    longest: usize,
}

impl<T> PhraseTable<T> {
    fn new() -> Self {
        Self {
            phrases: HashMap::new(),
            longest: 0,
        }
    }

    fn insert(&mut self, phrase: &str, value: T) {
        let words: Vec<String> = tokens(&nfc(phrase))
            .into_iter()
            .map(|token| token.folded)
            .collect();
        self.longest = self.longest.max(words.len());
        self.phrases.entry(words).or_insert(value);
    }

    /// Longest phrase starting at `words[0]`: its length in words, and its value.
    fn longest_at(&self, words: &[&str]) -> Option<(usize, &T)> {
        (1..=self.longest.min(words.len())).rev().find_map(|n| {
            let key: Vec<String> = words[..n].iter().map(|&word| word.to_owned()).collect();
            self.phrases.get(&key).map(|value| (n, value))
        })
    }
}

impl Lexicon {
    /// Reads a lexicon file.
    ///
    /// # Errors
    /// The TOML reader's message with line and column.
    pub fn parse(source: &str) -> Result<Self, toml::de::Error> {
        let file: Source = toml::from_str(source)?;
        let weak: HashSet<&String> = file.weak_surfaces.iter().collect();
        let mut surfaces = PhraseTable::new();
        let mut by_surface = HashMap::new();
        for stop in &file.stop_surfaces {
            let sense = Sense {
                labels: Vec::new(),
                scope: Scope::Nothing,
                is_plural: false,
                is_weak: false,
            };
            surfaces.insert(stop, sense);
        }
        let mut add = |surface: &String, labels: &[String], scope: Scope, is_plural: bool| {
            let mut labels = labels.to_vec();
            if let Some(implied) = file.implies.get(surface) {
                labels.clone_from(implied);
            }
            let sense = Sense {
                labels,
                scope,
                is_plural,
                is_weak: weak.contains(surface),
            };
            surfaces.insert(surface, sense);
        };
        for label in &file.labels {
            let own = std::slice::from_ref(&label.coco);
            label
                .singular
                .iter()
                .for_each(|s| add(s, own, Scope::All, false));
            label
                .plural
                .iter()
                .for_each(|s| add(s, own, Scope::All, true));
            by_surface.insert(fold(&label.coco), label.coco.clone());
            for surface in label.singular.iter().chain(&label.plural) {
                by_surface
                    .entry(fold(surface))
                    .or_insert_with(|| label.coco.clone());
            }
        }
        for hypernym in &file.hypernyms {
            add(&hypernym.singular, &hypernym.any_of, Scope::Any, false);
            add(&hypernym.plural, &hypernym.any_of, Scope::Any, true);
        }
        Ok(Self {
            version: file.lexicon_version,
            sha256: Sha256::of(source.as_bytes()),
            surfaces,
            negators: phrases(&file.negators),
            negation_exempt: phrases(&file.negation_exempt),
            emptiness: phrases(&file.emptiness),
            fold_exceptions: file.fold_exceptions.into_iter().collect(),
            function_words: file.function_words.into_iter().collect(),
            numerals: file
                .numerals
                .into_iter()
                .map(|(word, n)| (fold(&word), n))
                .collect(),
            by_surface,
            english_label_exempt: file.english_label_exempt,
            labels: file.labels,
        })
    }

    /// The label called `coco`.
    pub fn label(&self, coco: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.coco == coco)
    }

    /// COCO key of a detector's label, given in English or Portuguese; `None` if unknown.
    pub fn key_of(&self, detector_label: &str) -> Option<&str> {
        self.by_surface
            .get(&fold(&nfc(detector_label)))
            .map(String::as_str)
    }

    /// Longest surface starting at the first of the folded `words`.
    pub fn surface_at(&self, words: &[&str]) -> Option<(usize, &Sense)> {
        self.surfaces.longest_at(words)
    }

    /// Longest negating phrase starting at the first word, e.g. *não há*: its length in words.
    pub fn negator_at(&self, words: &[&str]) -> Option<usize> {
        self.negators.longest_at(words).map(|(n, ())| n)
    }

    /// Phrase after a negator that takes the negation back, e.g. *além de*: its length in words.
    pub fn negation_exempt_at(&self, words: &[&str]) -> Option<usize> {
        self.negation_exempt.longest_at(words).map(|(n, ())| n)
    }

    /// Whether a phrase that states emptiness starts at the first word.
    pub fn states_emptiness_at(&self, words: &[&str]) -> bool {
        self.emptiness.longest_at(words).is_some()
    }

    /// Whether the unfolded lower-case word must not match anything, e.g. *faça*.
    pub fn is_fold_exception(&self, lower: &str) -> bool {
        self.fold_exceptions.contains(lower)
    }

    /// Whether the lower-case word is a frequent Portuguese function word.
    pub fn is_function_word(&self, lower: &str) -> bool {
        self.function_words.contains(lower)
    }

    /// Value of a number word or of digits.
    pub fn number(&self, folded: &str) -> Option<u32> {
        folded
            .parse()
            .ok()
            .or_else(|| self.numerals.get(folded).copied())
    }
}

fn phrases(list: &[String]) -> PhraseTable<()> {
    let mut table = PhraseTable::new();
    for phrase in list {
        table.insert(phrase, ());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(surface: &str) -> Vec<String> {
        let folded: Vec<String> = tokens(surface).into_iter().map(|t| t.folded).collect();
        let words: Vec<&str> = folded.iter().map(String::as_str).collect();
        BUILT_IN
            .surface_at(&words)
            .map(|(_, sense)| sense.labels.clone())
            .unwrap_or_default()
    }

    #[test]
    fn every_label_is_found_by_its_canonical_noun() {
        for label in &BUILT_IN.labels {
            for noun in &label.canon {
                assert!(
                    labels_of(noun).contains(&label.coco),
                    "{noun} is not {}",
                    label.coco
                );
            }
        }
    }

    #[test]
    fn surfaces_hypernyms_and_stop_surfaces() {
        assert_eq!(labels_of("cães"), ["dog"]);
        assert_eq!(labels_of("ciclista"), ["bicycle", "person"]);
        assert!(labels_of("veículo").contains(&"truck".to_owned()));
        assert!(labels_of("banco de dados").is_empty());
    }

    #[test]
    fn detector_labels_in_both_languages_meet() {
        assert_eq!(BUILT_IN.key_of("dog"), Some("dog"));
        assert_eq!(BUILT_IN.key_of("Cachorro"), Some("dog"));
        assert_eq!(BUILT_IN.key_of("dragon"), None);
    }
}
