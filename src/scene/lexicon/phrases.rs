//! Phrases of words as a trie over word numbers: the longest one at a place, forwards or back.

use std::collections::HashMap;

/// Number of a word in a `Vocabulary`; [`UNKNOWN`] matches nothing.
pub type WordId = u32;

/// The number of every word that no phrase contains.
pub const UNKNOWN: WordId = 0;

/// Numbers of the folded words that occur in phrases.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    ids: HashMap<String, WordId>,
}

impl Vocabulary {
    /// The number of `word`, given a new one if it has none.
    pub(super) fn intern(&mut self, word: &str) -> WordId {
        let next = WordId::try_from(self.ids.len() + 1).expect("a lexicon is small");
        *self.ids.entry(word.to_owned()).or_insert(next)
    }

    /// The number of `word`.
    pub(super) fn id(&self, word: &str) -> WordId {
        self.ids.get(word).copied().unwrap_or(UNKNOWN)
    }
}

/// A set of phrases, each with a value.
#[derive(Debug)]
pub(super) struct Phrases<T> {
    /// Child of (node, word); the root is node 0.
    children: HashMap<(u32, WordId), u32>,
    values: HashMap<u32, T>,
}

impl<T> Phrases<T> {
    pub(super) fn new() -> Self {
        Self {
            children: HashMap::new(),
            values: HashMap::new(),
        }
    }

    /// The value at `words`, made by `make` if the phrase is new.
    pub(super) fn entry(&mut self, words: &[WordId], make: impl FnOnce() -> T) -> &mut T {
        let mut node = 0;
        for &word in words {
            let next = u32::try_from(self.children.len() + 1).expect("a lexicon is small");
            node = *self.children.entry((node, word)).or_insert(next);
        }
        self.values.entry(node).or_insert_with(make)
    }

    /// Longest phrase that is a prefix of `words`: its length in words, and its value.
    pub(super) fn longest(&self, words: impl IntoIterator<Item = WordId>) -> Option<(usize, &T)> {
        let mut node = 0;
        let mut found = None;
        for (i, word) in words.into_iter().enumerate() {
            let Some(&next) = self.children.get(&(node, word)) else {
                break;
            };
            node = next;
            if let Some(value) = self.values.get(&node) {
                found = Some((i + 1, value));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_phrase_wins_and_unknown_words_end_it() {
        let mut words = Vocabulary::default();
        let [banco, de, dados] = ["banco", "de", "dados"].map(|word| words.intern(word));
        let mut phrases = Phrases::new();
        phrases.entry(&[banco], || "bench");
        phrases.entry(&[banco, de, dados], || "nothing");
        assert_eq!(phrases.longest([banco, de, dados]), Some((3, &"nothing")));
        assert_eq!(phrases.longest([banco, de, banco]), Some((1, &"bench")));
        assert_eq!(phrases.longest([de, dados]), None);
        assert_eq!(phrases.longest([words.id("praça"), banco]), None);
    }
}
