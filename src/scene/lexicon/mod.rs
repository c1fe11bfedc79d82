//! Labels ↔ Portuguese words: what a word may mean, and how a label is said.
//!
//! In: a lexicon file, and further ones that extend it. Out: a [`Lexicon`] whose tables answer
//! what stands at a place of a text. Every list that depends on the language is data in the file.
//!
//! The files are compiled in. Scene sets name theirs by digest, so earlier versions stay here
//! when a newer one is added: see [`by_digest`].

pub mod lint;
mod phrases;
mod senses;
mod source;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use phrases::{Phrases, Vocabulary};
pub use phrases::{UNKNOWN, WordId};
pub use senses::{Kind, Number, Sense, Surface};
use senses::{range, surfaces};
use source::Source;
pub use source::{Gender, Hypernym};

use super::facts::CountRange;
use super::text::{Token, tokens};
use crate::units::Sha256;

/// The newest lexicon of this build.
pub static BUILT_IN: LazyLock<Lexicon> = LazyLock::new(|| compiled_in(VERSION_0_3));

/// The lexicon of the scene sets made before `pt-BR/0.3`.
static BEFORE_0_3: LazyLock<Lexicon> = LazyLock::new(|| compiled_in(VERSION_0_2));

const VERSION_0_3: &str = include_str!("pt-br-0.3.toml");
const VERSION_0_2: &str = include_str!("pt-br-0.2.toml");

fn compiled_in(source: &str) -> Lexicon {
    Lexicon::parse(source).expect("a compiled-in lexicon parses")
}

/// The compiled-in lexicon whose file has this digest.
pub fn by_digest(sha256: &Sha256) -> Option<&'static Lexicon> {
    let known: [&'static Lexicon; 2] = [&BUILT_IN, &BEFORE_0_3];
    known.into_iter().find(|lexicon| lexicon.sha256 == *sha256)
}

/// The versions [`by_digest`] knows, for messages.
pub fn known_versions() -> String {
    let shown = |lexicon: &Lexicon| format!("{} ({})", lexicon.sha256, lexicon.version);
    format!("{}, {}", shown(&BUILT_IN), shown(&BEFORE_0_3))
}

/// Why a lexicon file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not TOML, an unknown key, a wrong type.
    #[error("{message}")]
    Toml {
        /// Position and reason.
        message: String,
    },
    /// No `lexicon_version`.
    #[error("`lexicon_version` is missing, expected a name like \"pt-BR/0.3\"")]
    Version,
    /// Another way of folding words.
    #[error("`fold` is {found:?}, expected {expected:?}")]
    Fold {
        /// What this build does.
        expected: &'static str,
        /// What the file asks for.
        found: String,
    },
    /// A label lacks what only extensions may leave out.
    #[error("label `{coco}` has no `{field}`")]
    Label {
        /// The label.
        coco: String,
        /// What is missing.
        field: &'static str,
    },
    /// A word stands for a label that no table defines.
    #[error("`{word}` stands for `{label}`, which is no label of the lexicon")]
    UnknownLabel {
        /// The word.
        word: String,
        /// The label.
        label: String,
    },
    /// An interval that holds no number.
    #[error("`{phrase}` has the interval [{}, {}], expected [smallest, largest or -1]", .found[0], .found[1])]
    Interval {
        /// The phrase.
        phrase: String,
        /// The interval.
        found: [i64; 2],
    },
}

/// One label and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// English COCO name, the label's key.
    pub coco: String,
    /// Gender of `canon`.
    pub gender: Gender,
    /// Kind of thing, for templates.
    pub group: String,
    /// Canonical noun: singular, plural.
    pub canon: [String; 2],
    /// Every singular surface.
    pub singular: Vec<String>,
    /// Every plural surface.
    pub plural: Vec<String>,
}

/// The plain lists of phrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Opens a negation: *não há*.
    Negator,
    /// Denies the mention right before it: *não foi vista*.
    PostNegator,
    /// Takes a negator back when it follows: *além de*.
    NegationExempt,
    /// May stand between denied things: *ou*.
    ScopeLink,
    /// Ends a negation: *mas*.
    ScopeBreaker,
    /// States that nothing is there: *vazio*.
    Emptiness,
    /// Speaks of others than those named: *outros*.
    OtherWord,
    /// Makes an article a number: *apenas*.
    OnlyWord,
    /// Makes a number the smallest: *pelo menos*.
    AtLeast,
    /// Makes a number the largest: *no máximo*.
    AtMost,
    /// *mais de*.
    MoreThan,
    /// *menos de*.
    LessThan,
    /// *cerca de*.
    About,
    /// Makes the digits after it a name: *câmera*.
    NumberBlocker,
    /// Makes a duration an instant: *aos*.
    InstantMarker,
    /// Says that the sentence tells what came first.
    OrderFirst,
    /// Says that the sentence tells what came after the ones before.
    OrderNext,
    /// Says that the sentence does not follow the order of the text.
    OrderSkip,
    /// Colours that are also things: *laranja*.
    Colour,
}

const LISTS: usize = List::Colour as usize + 1;

/// A list of phrases, to be matched in both directions.
#[derive(Debug)]
struct BothWays {
    forwards: Phrases<()>,
    backwards: Phrases<()>,
}

/// A parsed lexicon with its matching tables.
#[derive(Debug)]
pub struct Lexicon {
    /// Version written in the file, e.g. `pt-BR/0.3`; of an extended lexicon `base+extension`.
    pub version: String,
    /// SHA-256 of the file's bytes; of an extended lexicon, of the digests of its files, one a line.
    pub sha256: Sha256,
    /// Digests of the files it was read from.
    pub sources: Vec<Sha256>,
    /// All labels.
    pub labels: Vec<Label>,
    source: Source,
    words: Vocabulary,
    surfaces: Phrases<Surface>,
    lists: Vec<BothWays>,
    vague: Phrases<CountRange>,
    numerals: HashMap<WordId, u32>,
    units_s: HashMap<WordId, u32>,
    fold_exceptions: HashSet<String>,
    function_words: HashSet<String>,
    keys: HashMap<String, String>,
}

impl Lexicon {
    /// Reads a lexicon file.
    ///
    /// # Errors
    /// [`Error`] with the position of what cannot be read, or the word that makes no sense.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let digest = Sha256::of(text.as_bytes());
        Self::build(Source::read(text)?, digest, vec![digest])
    }

    /// This lexicon with the words of a further file.
    ///
    /// The file has the same keys, all but `lexicon_version` optional: lists grow, single entries
    /// are overwritten, labels of the same name gain its words.
    ///
    /// # Errors
    /// [`Error`] as in [`Self::parse`].
    pub fn extended_by(&self, extension: &str) -> Result<Self, Error> {
        let mut source = self.source.clone();
        source.extend(Source::read(extension)?);
        let mut digests = self.sources.clone();
        digests.push(Sha256::of(extension.as_bytes()));
        let lines: Vec<String> = digests.iter().map(ToString::to_string).collect();
        let lines = lines.join("\n") + "\n";
        Self::build(source, Sha256::of(lines.as_bytes()), digests)
    }

    fn build(source: Source, sha256: Sha256, sources: Vec<Sha256>) -> Result<Self, Error> {
        let mut words = Vocabulary::default();
        let labels = labels(&source)?;
        let surfaces = surfaces(&source, &labels, &mut words)?;
        let lists = lists(&source)
            .into_iter()
            .map(|list| both_ways(list, &mut words))
            .collect();
        let mut vague = Phrases::new();
        for (phrase, interval) in &source.vague {
            let range = range(phrase, *interval)?;
            let mut ids = ids_of(phrase, &mut words);
            ids.reverse();
            vague.entry(&ids, || range);
        }
        let mut number_words = |table: &std::collections::BTreeMap<String, u32>| {
            let entry = |(word, n): (&String, &u32)| Some((*ids_of(word, &mut words).first()?, *n));
            table.iter().filter_map(entry).collect()
        };
        let numerals = number_words(&source.numerals);
        let units_s = number_words(&source.time_units_s);
        let lower = |list: &[String]| list.iter().map(|word| lower_key(word)).collect();
        Ok(Self {
            version: source.lexicon_version.clone(),
            sha256,
            sources,
            keys: detector_keys(&labels),
            labels,
            words,
            surfaces,
            lists,
            vague,
            numerals,
            units_s,
            fold_exceptions: lower(&source.fold_exceptions),
            function_words: lower(&source.function_words),
            source,
        })
    }

    /// The label called `coco`.
    pub fn label(&self, coco: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.coco == coco)
    }

    /// Words that stand for any of several labels.
    pub fn hypernyms(&self) -> &[Hypernym] {
        &self.source.hypernyms
    }

    /// English label names that are Portuguese words too; never a leak.
    pub fn english_label_exempt(&self) -> &[String] {
        &self.source.english_label_exempt
    }

    /// COCO key of a detector's label, given in English or Portuguese; `None` if unknown.
    pub fn key_of(&self, detector_label: &str) -> Option<&str> {
        self.keys
            .get(&folded_key(detector_label))
            .map(String::as_str)
    }

    /// Number of a token's word in the phrases of this lexicon.
    ///
    /// A word that folding would turn into another, such as *faça*, matches nothing.
    pub fn word_id(&self, token: &Token) -> WordId {
        if !token.is_word() || self.fold_exceptions.contains(&token.lower) {
            UNKNOWN
        } else {
            self.words.id(&token.folded)
        }
    }

    /// Longest surface at the start of `words`: its length in words, and what it is.
    pub fn surface_at(&self, words: &[WordId]) -> Option<(usize, &Surface)> {
        self.surfaces.longest(words.iter().copied())
    }

    /// Length of the longest phrase of `list` at the start of `words`.
    pub fn phrase_at(&self, list: List, words: &[WordId]) -> Option<usize> {
        let phrases = &self.lists[list as usize].forwards;
        phrases.longest(words.iter().copied()).map(|(n, ())| n)
    }

    /// Length of the longest phrase of `list` at the end of `words`.
    pub fn phrase_before(&self, list: List, words: &[WordId]) -> Option<usize> {
        let phrases = &self.lists[list as usize].backwards;
        let backwards = words.iter().rev().copied();
        phrases.longest(backwards).map(|(n, ())| n)
    }

    /// The vague number at the end of `words`: *grupo de*.
    pub fn vague_before(&self, words: &[WordId]) -> Option<CountRange> {
        let found = self.vague.longest(words.iter().rev().copied());
        found.map(|(_, range)| *range)
    }

    /// Value of a number word.
    pub fn numeral(&self, word: WordId) -> Option<u32> {
        self.numerals.get(&word).copied()
    }

    /// Seconds of a unit of time.
    pub fn unit_s(&self, word: WordId) -> Option<u32> {
        self.units_s.get(&word).copied()
    }

    /// Seconds of a unit of time, given as lower-case letters.
    pub fn unit_named_s(&self, lower: &str) -> Option<u32> {
        self.unit_s(self.words.id(&folded_key(lower)))
    }

    /// Whether the lower-case word is a frequent Portuguese function word.
    pub fn is_function_word(&self, lower: &str) -> bool {
        self.function_words.contains(lower)
    }
}

/// A phrase as its folded words.
fn folded_key(phrase: &str) -> String {
    let words: Vec<String> = words_of(phrase).map(|token| token.folded).collect();
    words.join(" ")
}

/// A phrase as its lower-case words, accents kept.
fn lower_key(phrase: &str) -> String {
    let words: Vec<String> = words_of(phrase).map(|token| token.lower).collect();
    words.join(" ")
}

fn words_of(phrase: &str) -> impl Iterator<Item = Token> {
    tokens(phrase).into_iter().filter(Token::is_word)
}

fn ids_of(phrase: &str, words: &mut Vocabulary) -> Vec<WordId> {
    words_of(phrase)
        .map(|token| words.intern(&token.folded))
        .collect()
}

fn both_ways(list: &[String], words: &mut Vocabulary) -> BothWays {
    let mut both = BothWays {
        forwards: Phrases::new(),
        backwards: Phrases::new(),
    };
    for phrase in list {
        let mut ids = ids_of(phrase, words);
        both.forwards.entry(&ids, || ());
        ids.reverse();
        both.backwards.entry(&ids, || ());
    }
    both
}

/// The lists of the file, in the order of [`List`].
fn lists(source: &Source) -> [&[String]; LISTS] {
    [
        &source.negators,
        &source.post_negators,
        &source.negation_exempt,
        &source.scope_links,
        &source.scope_breakers,
        &source.emptiness,
        &source.other_words,
        &source.only_words,
        &source.at_least,
        &source.at_most,
        &source.more_than,
        &source.less_than,
        &source.about,
        &source.number_blockers,
        &source.instant_markers,
        &source.order_first,
        &source.order_next,
        &source.order_skip,
        &source.colours,
    ]
}

fn labels(source: &Source) -> Result<Vec<Label>, Error> {
    let complete = |label: &source::LabelSource| {
        let missing = |field| Error::Label {
            coco: label.coco.clone(),
            field,
        };
        Ok(Label {
            coco: label.coco.clone(),
            gender: label.gender.ok_or_else(|| missing("gender"))?,
            group: label.group.clone().unwrap_or_default(),
            canon: label.canon.clone().ok_or_else(|| missing("canon"))?,
            singular: label.singular.clone(),
            plural: label.plural.clone(),
        })
    };
    source.labels.iter().map(complete).collect()
}

/// COCO key by folded detector label: English names first, then every Portuguese word.
fn detector_keys(labels: &[Label]) -> HashMap<String, String> {
    let mut keys: HashMap<String, String> = labels
        .iter()
        .map(|label| (folded_key(&label.coco), label.coco.clone()))
        .collect();
    for label in labels {
        for surface in label.singular.iter().chain(&label.plural) {
            keys.entry(folded_key(surface))
                .or_insert_with(|| label.coco.clone());
        }
    }
    keys
}

#[cfg(test)]
mod tests;
