//! Text → claims: what is mentioned, how many, when, and what is denied.
//!
//! In: a text, the lexicon, and how its times are to be read. Out: [`Claims`], sentence by
//! sentence. Knows no scene: whether a claim is true is asked in [`super::facts`].
//!
//! Every step looks at a bounded number of words around a place, so the work grows with the
//! length of the text and with nothing else.

mod negation;
mod quantity;
mod times;

use std::collections::BTreeSet;

use crate::scene::facts::{CountRange, TimeBase};
use crate::scene::lexicon::{Kind, Lexicon, List, Sense, UNKNOWN, WordId};
use crate::scene::text::{Token, sentences, tokens};
use negation::Scope;
use quantity::Quantity;

/// Tokens after a mention within which a colour word is a colour: *moto laranja*.
const COLOUR_REACH: usize = 2;

/// One mention of an object.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a property of its own"
)]
pub struct Mention {
    /// COCO label, or the singular of a hypernym.
    pub key: String,
    /// The label, or those the hypernym may mean.
    pub labels: Vec<String>,
    /// Labels it implies besides.
    pub implied: Vec<String>,
    /// The words as written.
    pub surface: String,
    /// Byte span in the text as given.
    pub span: (usize, usize),
    /// Whether it stands for any of several labels.
    pub is_hypernym: bool,
    /// Whether the text says that it is not there.
    pub is_negated: bool,
    /// Ambiguous word: counts for recall, never as an invention.
    pub is_weak: bool,
    /// Says what no detection can confirm.
    pub is_unverifiable: bool,
    /// Found only because accents were dropped.
    pub is_misspelt: bool,
    /// Follows a word like *outros*: others than those named before.
    pub is_other: bool,
    /// Preceded by *um* or *uma*, which claims no number.
    pub has_article: bool,
    /// Claimed number; `None` when the text claims none.
    pub quantity: Option<CountRange>,
}

/// A claim that something was at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeClaim {
    /// Seconds from the start of the video.
    pub at_s: f64,
    /// How coarse the form is, in seconds: 2, 60 or 3600.
    pub resolution_s: f64,
    /// The words as written.
    pub surface: String,
    /// Byte span in the text as given.
    pub span: (usize, usize),
}

/// One sentence and what it claims.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says whether some list has a phrase in the sentence"
)]
pub struct Sentence {
    /// Byte span in the text as given.
    pub span: (usize, usize),
    /// Mentions in written order.
    pub mentions: Vec<Mention>,
    /// Times in written order.
    pub times: Vec<TimeClaim>,
    /// Whether it has a negator.
    pub has_negator: bool,
    /// Whether it states that nothing is there.
    pub states_emptiness: bool,
    /// Whether it says that it tells what came first.
    pub says_first: bool,
    /// Whether it says that it tells what came next.
    pub says_next: bool,
    /// Whether it says that it leaves the order of the text.
    pub skips_order: bool,
}

/// Everything a text claims.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims {
    /// Sentences that have at least one word.
    pub sentences: Vec<Sentence>,
}

/// Reads the claims of `text`.
///
/// * `time_base`: how clock times are meant; durations do not depend on it
pub fn read(text: &str, time_base: TimeBase, lexicon: &Lexicon) -> Claims {
    let of_span = |span| Reader::new(text, span, time_base, lexicon).read();
    Claims {
        sentences: sentences(text).into_iter().map(of_span).collect(),
    }
}

impl Claims {
    /// Mentions in written order.
    pub fn mentions(&self) -> impl Iterator<Item = &Mention> {
        self.sentences
            .iter()
            .flat_map(|sentence| &sentence.mentions)
    }

    /// Whether the text states that nothing is there.
    pub fn states_emptiness(&self) -> bool {
        self.sentences
            .iter()
            .any(|sentence| sentence.states_emptiness)
    }

    /// Keywords of a text that brought none: the canonical noun of each label that is mentioned
    /// and not denied, in order of first mention.
    pub fn derived_keywords(&self, lexicon: &Lexicon) -> Vec<String> {
        let asserted = self.mentions().filter(|mention| !mention.is_negated);
        let labels = asserted
            .filter(|mention| !mention.is_hypernym)
            .flat_map(|mention| mention.labels.iter().chain(&mention.implied));
        let mut met = BTreeSet::new();
        labels
            .filter(|label| met.insert(*label))
            .filter_map(|label| Some(lexicon.label(label)?.canon[0].clone()))
            .collect()
    }
}

/// A sentence as its tokens, with the numbers of their words.
struct Reader<'a> {
    text: &'a str,
    span: (usize, usize),
    time_base: TimeBase,
    lexicon: &'a Lexicon,
    tokens: Vec<Token>,
    /// Word numbers; [`UNKNOWN`] where nothing may match, times included.
    words: Vec<WordId>,
    /// Whether the token belongs to a time or to a duration.
    is_masked: Vec<bool>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, span: (usize, usize), time_base: TimeBase, lexicon: &'a Lexicon) -> Self {
        let mut tokens = tokens(&text[span.0..span.1]);
        for token in &mut tokens {
            token.span.0 += span.0;
            token.span.1 += span.0;
        }
        Self {
            text,
            span,
            time_base,
            lexicon,
            words: tokens.iter().map(|token| lexicon.word_id(token)).collect(),
            is_masked: vec![false; tokens.len()],
            tokens,
        }
    }

    fn read(mut self) -> Sentence {
        let times = times::find(&mut self);
        let mut sentence = Sentence {
            span: self.span,
            times,
            ..Sentence::default()
        };
        self.note_phrases(&mut sentence);
        self.find_mentions(&mut sentence);
        sentence
    }

    fn note_phrases(&self, sentence: &mut Sentence) {
        for at in 0..self.words.len() {
            let has = |list| self.lexicon.phrase_at(list, &self.words[at..]).is_some();
            sentence.has_negator |= has(List::Negator);
            sentence.states_emptiness |= has(List::Emptiness);
            sentence.says_first |= has(List::OrderFirst);
            sentence.says_next |= has(List::OrderNext);
            sentence.skips_order |= has(List::OrderSkip);
        }
    }

    /// Goes through the tokens once, keeping the scope of negators.
    fn find_mentions(&self, sentence: &mut Sentence) {
        let mut scope = Scope::default();
        // Where the previous mention ended: look-backs stop there.
        let mut previous_end = None;
        let mut at = 0;
        while at < self.tokens.len() {
            let ahead = &self.words[at..];
            if let Some(n) = self.post_negator(at, previous_end) {
                // "A moto não foi vista": the denied thing stands before its negator.
                if let Some(mention) = sentence.mentions.last_mut() {
                    mention.is_negated = true;
                }
                scope.close();
                at += n;
            } else if let Some(n) = self.lexicon.phrase_at(List::Negator, ahead) {
                let after = &ahead[n..];
                let is_exempt = self
                    .lexicon
                    .phrase_at(List::NegationExempt, after)
                    .is_some();
                if !is_exempt {
                    scope.open(at + n);
                }
                at += n;
            } else if let Some(n) = self.lexicon.phrase_at(List::ScopeBreaker, ahead) {
                scope.close();
                at += n;
            } else if let Some((n, surface)) = self.lexicon.surface_at(ahead) {
                let is_colour = n == 1
                    && previous_end.is_some_and(|end| at < end + COLOUR_REACH)
                    && self.lexicon.phrase_at(List::Colour, &ahead[..1]).is_some();
                if is_colour || surface.sense.kind == Kind::Nothing {
                    for place in at..at + n {
                        scope.other(place, &self.tokens[place], false);
                    }
                    at += n;
                    continue;
                }
                let is_denied = scope.mention();
                let found = quantity::of_mention(self, at, n, previous_end.unwrap_or(0));
                let found = found.or_collective(&surface.sense);
                let words = &self.tokens[at..at + n];
                let is_misspelt = !surface.is_spelt_by(words);
                let mut mention = self.mention(&surface.sense, at, n, found);
                mention.is_negated |= is_denied;
                mention.is_misspelt = is_misspelt;
                sentence.mentions.push(mention);
                at += n;
                previous_end = Some(at);
            } else {
                let is_link = self
                    .lexicon
                    .phrase_at(List::ScopeLink, &ahead[..1])
                    .is_some();
                scope.other(at, &self.tokens[at], is_link);
                at += 1;
            }
        }
    }

    /// Length of a negator right behind a mention; *não aparece mais* says that it left.
    fn post_negator(&self, at: usize, previous_end: Option<usize>) -> Option<usize> {
        let ahead = &self.words[at..];
        let n = self.lexicon.phrase_at(List::PostNegator, ahead)?;
        let says_more = self
            .tokens
            .get(at + n)
            .is_some_and(|token| token.is("mais"));
        (previous_end == Some(at) && !says_more).then_some(n)
    }

    fn mention(&self, sense: &Sense, at: usize, n: usize, found: Quantity) -> Mention {
        let span = (self.tokens[at].span.0, self.tokens[at + n - 1].span.1);
        let before = &self.words[..at];
        let is_nothing = found.range.is_some_and(|range| range.hi == Some(0));
        Mention {
            key: sense.key.clone(),
            labels: sense.labels.clone(),
            implied: sense.implied.clone(),
            surface: self.text[span.0..span.1].to_owned(),
            span,
            is_hypernym: sense.kind == Kind::Hypernym,
            is_negated: is_nothing,
            is_weak: sense.is_weak,
            is_unverifiable: sense.is_unverifiable,
            is_misspelt: false,
            is_other: self
                .lexicon
                .phrase_before(List::OtherWord, before)
                .is_some(),
            has_article: found.has_article,
            quantity: found.range,
        }
    }

    /// Whether token `at` follows the one before it without anything between.
    fn touches(&self, at: usize) -> bool {
        at > 0 && self.tokens[at - 1].span.1 == self.tokens[at].span.0
    }

    fn mask(&mut self, from: usize, to: usize) {
        self.words[from..to].fill(UNKNOWN);
        self.is_masked[from..to].fill(true);
    }
}

#[cfg(test)]
mod tests;
