//! The word-order file as written, and its tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::scene::lexicon::{Gender, Number};
use crate::scene::text::fold;
use crate::units::Sha256;

/// The newest word-order file of this build.
pub(super) static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::parse(VERSION_0_1).expect("the compiled-in word-order file parses"));

pub(super) const VERSION_0_1: &str = include_str!("pt-br-0.1.toml");

/// Number of a class of words.
pub(super) type Class = usize;

/// The classes that need no list of words, in the order of their numbers.
const BUILT_IN: [&str; 8] = [
    "open", "noun", "time", "digits", "end", "comma", "pause", "mark",
];
pub(super) const OPEN: Class = 0;
pub(super) const NOUN: Class = 1;
pub(super) const TIME: Class = 2;
pub(super) const DIGITS: Class = 3;
pub(super) const END: Class = 4;
pub(super) const COMMA: Class = 5;
pub(super) const PAUSE: Class = 6;
pub(super) const MARK: Class = 7;

/// Points of a pair that is never found in sound prose, and of one that is hardly ever.
const NEVER: u32 = 2;
const RARELY: u32 = 1;

/// Why a word-order file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Not TOML, an unknown key, a wrong type.
    #[error("{0}")]
    Toml(String),
    /// A rule or frame names a class that is not defined.
    #[error("`{rule}` names the class `{class}`, which the file does not define")]
    UnknownClass {
        /// Id of the rule.
        rule: String,
        /// The class.
        class: String,
    },
    /// A word stands in two classes, or a class has the name of a built-in one.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// Not two words.
    #[error("`{0}` is no pair of words")]
    NoPair(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    order_version: String,
    classes: BTreeMap<String, Vec<String>>,
    nouns: NounSource,
    determiners: DeterminerSource,
    rules: Vec<RuleSource>,
    frames: Vec<FrameSource>,
    usual: UsualSource,
    names: NameSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NounSource {
    ms: Vec<String>,
    mp: Vec<String>,
    fs: Vec<String>,
    fp: Vec<String>,
    adjective: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeterminerSource {
    ms: Vec<String>,
    mp: Vec<String>,
    fs: Vec<String>,
    fp: Vec<String>,
    p: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSource {
    id: String,
    what: String,
    first: Vec<String>,
    #[serde(default)]
    never: Vec<String>,
    #[serde(default)]
    rarely: Vec<String>,
    at_most: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameSource {
    id: String,
    what: String,
    opening: Vec<String>,
    next: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsualSource {
    pairs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameSource {
    no_name: Vec<String>,
    behind: Vec<String>,
}

/// What is odd about some words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) id: String,
    /// In a few words, for people.
    pub(super) what: String,
    /// Points that all findings of the rule count together, at most.
    pub(super) at_most: Option<u32>,
}

/// Gender and number that a determiner asks of its noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    /// `None` goes with either.
    pub(super) gender: Option<Gender>,
    pub(super) number: Number,
}

/// A word or a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Word(String),
    Class(Class),
}

/// An opening that asks for certain words behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) rule: Rule,
    pub(super) opening: Vec<Item>,
    pub(super) next: Vec<Item>,
}

/// The tables of a word-order file.
#[derive(Debug)]
pub(super) struct Table {
    /// Version written in the file, e.g. `pt-BR/0.1`.
    pub(super) version: String,
    /// SHA-256 of the file's bytes.
    pub(super) sha256: Sha256,
    /// Rules, as many as there are ids.
    rules: Vec<Rule>,
    /// Points and rule of a class before another, `[classes, classes]`; 0 points for none.
    points: Vec<(u32, usize)>,
    n_classes: usize,
    /// Class of a word, in lower case; accents dropped too where that gives no other word.
    words: HashMap<String, Class>,
    /// Gender and number of the nouns that are no words of the lexicon.
    nouns: HashMap<String, (Gender, Number)>,
    adjectives: HashSet<String>,
    determiners: HashMap<String, Agreement>,
    pub(super) frames: Vec<Frame>,
    usual: HashSet<String>,
    no_names: HashSet<String>,
    before_names: HashSet<Class>,
    number: Class,
}

impl Table {
    /// Reads a word-order file.
    ///
    /// # Errors
    /// [`Error`] with what cannot be read or makes no sense.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let source: Source =
            toml::from_str(text).map_err(|error| Error::Toml(error.to_string()))?;
        let (names, words) = classes(&source.classes)?;
        let class = |rule: &str, name: &String| {
            let found = names.get(name.as_str()).copied();
            found.ok_or_else(|| Error::UnknownClass {
                rule: rule.to_owned(),
                class: name.clone(),
            })
        };
        let n_classes = names.len();
        let mut points = vec![(0, 0); n_classes * n_classes];
        let mut rules: Vec<Rule> = Vec::new();
        for rule in &source.rules {
            let at = rules.iter().position(|known| known.id == rule.id);
            let at = at.unwrap_or_else(|| {
                rules.push(Rule {
                    id: rule.id.clone(),
                    what: rule.what.clone(),
                    at_most: rule.at_most,
                });
                rules.len() - 1
            });
            for first in &rule.first {
                let first = class(&rule.id, first)?;
                for (list, worth) in [(&rule.never, NEVER), (&rule.rarely, RARELY)] {
                    for then in list {
                        points[first * n_classes + class(&rule.id, then)?] = (worth, at);
                    }
                }
            }
        }
        let frames = source.frames.iter().map(|frame| {
            let item = |text: &String| {
                let name = text.strip_prefix('<').and_then(|it| it.strip_suffix('>'));
                Ok(match name {
                    Some(name) => Item::Class(class(&frame.id, &name.to_owned())?),
                    None => Item::Word(text.clone()),
                })
            };
            Ok(Frame {
                rule: Rule {
                    id: frame.id.clone(),
                    what: frame.what.clone(),
                    at_most: None,
                },
                opening: frame.opening.iter().map(item).collect::<Result<_, _>>()?,
                next: frame.next.iter().map(item).collect::<Result<_, _>>()?,
            })
        });
        let before_names = source.names.behind.iter();
        let before_names = before_names.map(|name| class("names", name));
        let pair = |text: &String| match text.split(' ').count() {
            2 => Ok(text.clone()),
            _ => Err(Error::NoPair(text.clone())),
        };
        Ok(Self {
            version: source.order_version,
            sha256: Sha256::of(text.as_bytes()),
            rules,
            points,
            n_classes,
            nouns: nouns(&source.nouns),
            adjectives: source.nouns.adjective.into_iter().collect(),
            determiners: determiners(&source.determiners),
            frames: frames.collect::<Result<_, _>>()?,
            usual: source
                .usual
                .pairs
                .iter()
                .map(pair)
                .collect::<Result<_, _>>()?,
            no_names: source.names.no_name.iter().cloned().collect(),
            before_names: before_names.collect::<Result<_, _>>()?,
            number: class("agreement", &"number".to_owned())?,
            words,
        })
    }

    /// Class of a lower-case word; `None` for an open one.
    pub(super) fn class(&self, lower: &str) -> Option<Class> {
        self.words.get(lower).copied()
    }

    /// Gender and number of a noun of the file.
    pub(super) fn noun(&self, lower: &str) -> Option<(Gender, Number)> {
        self.nouns.get(lower).copied()
    }

    /// Whether a noun is an adjective too.
    pub(super) fn is_adjective(&self, lower: &str) -> bool {
        self.adjectives.contains(lower)
    }

    /// What a determiner asks of its noun.
    pub(super) fn determiner(&self, lower: &str) -> Option<Agreement> {
        self.determiners.get(lower).copied()
    }

    /// Points of a class right before another, and the rule; `None` where nothing is odd.
    pub(super) fn rule(&self, first: Class, then: Class) -> Option<(u32, &Rule)> {
        let (points, rule) = self.points[first * self.n_classes + then];
        (points > 0).then(|| (points, &self.rules[rule]))
    }

    /// Points that the findings of a rule count together, at most.
    pub(super) fn at_most(&self, rule: &str) -> Option<u32> {
        self.rules.iter().find(|it| it.id == rule)?.at_most
    }

    /// What a rule or frame is about.
    pub(super) fn what(&self, rule: &str) -> Option<&str> {
        let frames = self.frames.iter().map(|frame| &frame.rule);
        let found = self.rules.iter().chain(frames).find(|it| it.id == rule)?;
        Some(&found.what)
    }

    /// Whether a word, of no class though it is, begins no name.
    pub(super) fn begins_no_name(&self, lower: &str) -> bool {
        self.no_names.contains(lower)
    }

    /// Whether names may stand behind the class: *o Banco*.
    pub(super) fn takes_a_name(&self, class: Class) -> bool {
        self.before_names.contains(&class)
    }

    /// Whether the class is that of the number words from two on.
    pub(super) fn is_number(&self, class: Class) -> bool {
        class == self.number
    }

    /// Whether two words are usual side by side, whatever their classes.
    pub(super) fn is_usual(&self, first: &str, then: &str) -> bool {
        self.usual.contains(&format!("{first} {then}"))
    }

    /// Every rule that holds of classes.
    #[cfg(test)]
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Pairs that [`Self::is_usual`] knows.
    #[cfg(test)]
    pub(super) fn usual(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.usual.iter();
        pairs.filter_map(|pair| pair.split_once(' '))
    }
}

/// Numbers of the classes by name, and of the words' classes.
type Classes<'a> = (HashMap<&'a str, Class>, HashMap<String, Class>);

/// Both, checked.
fn classes(source: &BTreeMap<String, Vec<String>>) -> Result<Classes<'_>, Error> {
    let built_in = BUILT_IN.iter().enumerate();
    let mut names: HashMap<&str, Class> = built_in.map(|(i, name)| (*name, i)).collect();
    let mut words = HashMap::new();
    for (name, list) in source {
        let class = names.len();
        if names.insert(name, class).is_some() {
            return Err(Error::Twice(name.clone()));
        }
        for word in list {
            if words.insert(word.clone(), class).is_some() {
                return Err(Error::Twice(word.clone()));
            }
        }
    }
    // *ate* is *até* written without accents; *as* is a word of its own.
    let bare: Vec<(String, Class)> = words
        .iter()
        .map(|(word, class)| (fold(word), *class))
        .filter(|(bare, _)| !words.contains_key(bare))
        .collect();
    words.extend(bare);
    Ok((names, words))
}

fn nouns(source: &NounSource) -> HashMap<String, (Gender, Number)> {
    let lists = [
        (&source.ms, Gender::Masculine, Number::Singular),
        (&source.mp, Gender::Masculine, Number::Plural),
        (&source.fs, Gender::Feminine, Number::Singular),
        (&source.fp, Gender::Feminine, Number::Plural),
    ];
    let of = |(list, gender, number): (&Vec<String>, Gender, Number)| {
        let words = list.clone().into_iter();
        words.map(move |word| (word, (gender, number)))
    };
    lists.into_iter().flat_map(of).collect()
}

fn determiners(source: &DeterminerSource) -> HashMap<String, Agreement> {
    let lists = [
        (&source.ms, Some(Gender::Masculine), Number::Singular),
        (&source.mp, Some(Gender::Masculine), Number::Plural),
        (&source.fs, Some(Gender::Feminine), Number::Singular),
        (&source.fp, Some(Gender::Feminine), Number::Plural),
        (&source.p, None, Number::Plural),
    ];
    let of = |(list, gender, number): (&Vec<String>, Option<Gender>, Number)| {
        let words = list.clone().into_iter();
        words.map(move |word| (word, Agreement { gender, number }))
    };
    lists.into_iter().flat_map(of).collect()
}
