//! The lexicon file as written, and how a second file extends the first.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;

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

/// How every word is folded before it is matched; the only way this build knows.
const FOLD: &str = "nfkd-strip-mn-lower";

/// One `[[labels]]` table; in an extension everything but `coco` may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelSource {
    pub(super) coco: String,
    pub(super) gender: Option<Gender>,
    pub(super) group: Option<String>,
    pub(super) canon: Option<[String; 2]>,
    #[serde(default)]
    pub(super) singular: Vec<String>,
    #[serde(default)]
    pub(super) plural: Vec<String>,
}

/// One `[[hypernyms]]` table: a word for several labels, such as *veículo*.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hypernym {
    /// The word; also the key of its mentions.
    pub singular: String,
    /// Its plural.
    pub plural: String,
    /// The labels it may mean.
    pub any_of: Vec<String>,
}

/// An interval of a file: smallest and largest number, -1 for no upper end.
pub(super) type Interval = [i64; 2];

/// A lexicon file, key by key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Source {
    pub(super) lexicon_version: String,
    pub(super) fold: String,
    pub(super) stop_surfaces: Vec<String>,
    pub(super) colours: Vec<String>,
    pub(super) fold_exceptions: Vec<String>,
    pub(super) negators: Vec<String>,
    pub(super) post_negators: Vec<String>,
    pub(super) negation_exempt: Vec<String>,
    pub(super) scope_links: Vec<String>,
    pub(super) scope_breakers: Vec<String>,
    pub(super) emptiness: Vec<String>,
    pub(super) other_words: Vec<String>,
    pub(super) only_words: Vec<String>,
    pub(super) at_least: Vec<String>,
    pub(super) at_most: Vec<String>,
    pub(super) more_than: Vec<String>,
    pub(super) less_than: Vec<String>,
    pub(super) about: Vec<String>,
    pub(super) number_blockers: Vec<String>,
    pub(super) instant_markers: Vec<String>,
    pub(super) time_units_s: BTreeMap<String, u32>,
    pub(super) order_first: Vec<String>,
    pub(super) order_next: Vec<String>,
    pub(super) order_skip: Vec<String>,
    pub(super) weak_surfaces: Vec<String>,
    pub(super) unverifiable_surfaces: Vec<String>,
    pub(super) function_words: Vec<String>,
    pub(super) english_label_exempt: Vec<String>,
    pub(super) numerals: BTreeMap<String, u32>,
    pub(super) vague: BTreeMap<String, Interval>,
    pub(super) collective: BTreeMap<String, Interval>,
    pub(super) implies: BTreeMap<String, Vec<String>>,
    pub(super) labels: Vec<LabelSource>,
    pub(super) hypernyms: Vec<Hypernym>,
}

impl Source {
    /// Reads a complete lexicon or an extension.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let source: Self = toml::from_str(text).map_err(|error| Error::Toml {
            message: error.to_string().trim_end().to_owned(),
        })?;
        if source.lexicon_version.is_empty() {
            return Err(Error::Version);
        }
        if !source.fold.is_empty() && source.fold != FOLD {
            return Err(Error::Fold {
                expected: FOLD,
                found: source.fold,
            });
        }
        Ok(source)
    }

    /// Adds the words of `more`: lists grow, maps are overwritten key by key.
    pub(super) fn extend(&mut self, more: Self) {
        self.lexicon_version = format!("{}+{}", self.lexicon_version, more.lexicon_version);
        let lists = [
            (&mut self.stop_surfaces, more.stop_surfaces),
            (&mut self.colours, more.colours),
            (&mut self.fold_exceptions, more.fold_exceptions),
            (&mut self.negators, more.negators),
            (&mut self.post_negators, more.post_negators),
            (&mut self.negation_exempt, more.negation_exempt),
            (&mut self.scope_links, more.scope_links),
            (&mut self.scope_breakers, more.scope_breakers),
            (&mut self.emptiness, more.emptiness),
            (&mut self.other_words, more.other_words),
            (&mut self.only_words, more.only_words),
            (&mut self.at_least, more.at_least),
            (&mut self.at_most, more.at_most),
            (&mut self.more_than, more.more_than),
            (&mut self.less_than, more.less_than),
            (&mut self.about, more.about),
            (&mut self.number_blockers, more.number_blockers),
            (&mut self.instant_markers, more.instant_markers),
            (&mut self.order_first, more.order_first),
            (&mut self.order_next, more.order_next),
            (&mut self.order_skip, more.order_skip),
            (&mut self.weak_surfaces, more.weak_surfaces),
            (&mut self.unverifiable_surfaces, more.unverifiable_surfaces),
            (&mut self.function_words, more.function_words),
            (&mut self.english_label_exempt, more.english_label_exempt),
        ];
        for (mine, theirs) in lists {
            mine.extend(theirs);
        }
        self.time_units_s.extend(more.time_units_s);
        self.numerals.extend(more.numerals);
        self.vague.extend(more.vague);
        self.collective.extend(more.collective);
        self.implies.extend(more.implies);
        for label in more.labels {
            match self.labels.iter_mut().find(|own| own.coco == label.coco) {
                Some(own) => own.extend(label),
                None => self.labels.push(label),
            }
        }
        for hypernym in more.hypernyms {
            let same = |own: &&mut Hypernym| own.singular == hypernym.singular;
            match self.hypernyms.iter_mut().find(same) {
                Some(own) => own.any_of.extend(hypernym.any_of),
                None => self.hypernyms.push(hypernym),
            }
        }
    }
}

impl LabelSource {
    fn extend(&mut self, more: Self) {
        self.gender = more.gender.or(self.gender);
        self.canon = more.canon.or(self.canon.take());
        self.group = more.group.or(self.group.take());
        self.singular.extend(more.singular);
        self.plural.extend(more.plural);
    }
}
