//! What each surface stands for.

use std::collections::{HashMap, HashSet};

use super::phrases::{Phrases, Vocabulary};
use super::source::{Interval, Source};
use super::{Error, Label, folded_key, ids_of, lower_key};
use crate::scene::facts::CountRange;
use crate::scene::text::Token;

/// What kind of word a surface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A label's own word; it may imply further labels, as *ciclista* does.
    Label,
    /// A word for any of several labels: *veículo*.
    Hypernym,
    /// It is consumed and claims nothing: *banco de dados*.
    Nothing,
}

/// Grammatical number of a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// One.
    Singular,
    /// Several.
    Plural,
    /// The form does not tell: *ônibus*.
    Either,
}

/// What a surface stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sense {
    /// COCO label, or the singular of the hypernym; empty for [`Kind::Nothing`].
    pub key: String,
    /// The label, or those the hypernym may mean.
    pub labels: Vec<String>,
    /// Labels it implies besides: *motoboy* implies a person.
    pub implied: Vec<String>,
    /// What kind of word it is.
    pub kind: Kind,
    /// Its number.
    pub number: Number,
    /// Ambiguous: counts for recall, never as an invention.
    pub is_weak: bool,
    /// Says what no detection can confirm, such as sex or age.
    pub is_unverifiable: bool,
    /// How many a collective word means: *casal*.
    pub collective: Option<CountRange>,
}

/// A surface of the lexicon: its sense and how it may be written.
#[derive(Debug)]
pub struct Surface {
    /// What it stands for.
    pub sense: Sense,
    /// Lower-case spellings, accents kept.
    spellings: HashSet<String>,
}

impl Surface {
    /// Whether the words are written as in the lexicon, accents included.
    pub fn is_spelt_by(&self, words: &[Token]) -> bool {
        let lower: Vec<&str> = words.iter().map(|token| token.lower.as_str()).collect();
        self.spellings.contains(&lower.join(" "))
    }
}

/// Every surface with its sense. Stop surfaces win over labels, labels over hypernyms.
pub(super) fn surfaces(
    source: &Source,
    labels: &[Label],
    words: &mut Vocabulary,
) -> Result<Phrases<Surface>, Error> {
    let table = SenseTable::new(source, labels)?;
    let mut surfaces: Phrases<Surface> = Phrases::new();
    let mut add = |surface: &str, sense: Sense| {
        let number = sense.number;
        let key = sense.key.clone();
        let entry = surfaces.entry(&ids_of(surface, words), || Surface {
            sense,
            spellings: HashSet::new(),
        });
        if entry.sense.key == key {
            entry.spellings.insert(lower_key(surface));
            if entry.sense.number != number {
                entry.sense.number = Number::Either;
            }
        }
    };
    for stop in &source.stop_surfaces {
        add(stop, table.sense("", Kind::Nothing, stop, Number::Either)?);
    }
    for label in labels {
        let forms = [
            (&label.singular, Number::Singular),
            (&label.plural, Number::Plural),
        ];
        for (surfaces, number) in forms {
            for surface in surfaces {
                add(
                    surface,
                    table.sense(&label.coco, Kind::Label, surface, number)?,
                );
            }
        }
    }
    for hypernym in &source.hypernyms {
        let forms = [
            (&hypernym.singular, Number::Singular),
            (&hypernym.plural, Number::Plural),
        ];
        for (surface, number) in forms {
            let mut sense = table.sense(&hypernym.singular, Kind::Hypernym, surface, number)?;
            sense.labels.clone_from(&hypernym.any_of);
            table.check_labels(surface, &sense.labels)?;
            add(surface, sense);
        }
    }
    Ok(surfaces)
}

/// The surfaces with a special role, folded.
struct SenseTable {
    weak: HashSet<String>,
    unverifiable: HashSet<String>,
    implied: HashMap<String, Vec<String>>,
    collective: HashMap<String, CountRange>,
    labels: HashSet<String>,
}

impl SenseTable {
    fn new(source: &Source, labels: &[Label]) -> Result<Self, Error> {
        let folded = |list: &[String]| list.iter().map(|word| folded_key(word)).collect();
        let mut collective = HashMap::new();
        for (word, interval) in &source.collective {
            collective.insert(folded_key(word), range(word, *interval)?);
        }
        let implied = source.implies.iter();
        Ok(Self {
            weak: folded(&source.weak_surfaces),
            unverifiable: folded(&source.unverifiable_surfaces),
            implied: implied
                .map(|(word, labels)| (folded_key(word), labels.clone()))
                .collect(),
            collective,
            labels: labels.iter().map(|label| label.coco.clone()).collect(),
        })
    }

    fn sense(&self, key: &str, kind: Kind, surface: &str, number: Number) -> Result<Sense, Error> {
        let folded = folded_key(surface);
        let is_label = kind == Kind::Label;
        let implied = self.implied.get(&folded).filter(|_| is_label);
        let implied: Vec<String> = implied.cloned().unwrap_or_default();
        self.check_labels(surface, &implied)?;
        Ok(Sense {
            key: key.to_owned(),
            labels: if is_label {
                vec![key.to_owned()]
            } else {
                Vec::new()
            },
            implied: implied.into_iter().filter(|label| label != key).collect(),
            kind,
            number,
            is_weak: self.weak.contains(&folded),
            is_unverifiable: self.unverifiable.contains(&folded),
            collective: self.collective.get(&folded).copied(),
        })
    }

    fn check_labels(&self, word: &str, labels: &[String]) -> Result<(), Error> {
        match labels.iter().find(|label| !self.labels.contains(*label)) {
            None => Ok(()),
            Some(label) => Err(Error::UnknownLabel {
                word: word.to_owned(),
                label: label.clone(),
            }),
        }
    }
}

/// An interval of the file as a range of numbers.
pub(super) fn range(phrase: &str, found: Interval) -> Result<CountRange, Error> {
    let wrong = || Error::Interval {
        phrase: phrase.to_owned(),
        found,
    };
    let lo = u32::try_from(found[0]).map_err(|_| wrong())?;
    let hi = match found[1] {
        -1 => None,
        hi => Some(
            u32::try_from(hi)
                .ok()
                .filter(|&hi| hi >= lo)
                .ok_or_else(wrong)?,
        ),
    };
    Ok(CountRange { lo, hi })
}
