//! Words and n-grams that the metrics of texts share.
//!
//! Everything here expects NFC; [`crate::scene::text::nfc`] comes first.

use std::collections::HashMap;

/// Longest text that is scored, in bytes. A table of the longest common subsequence of two texts
/// is then at most about 8,000 by 8,000.
pub const SIZE_LIMIT: usize = 16 * 1024;

/// The part of a text that is scored: its first [`SIZE_LIMIT`] bytes, cut between characters.
pub fn scored_part(text: &str) -> &str {
    let end = (0..=SIZE_LIMIT.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

/// White space as Python's `str.split` has it: Unicode's and U+001C–U+001F.
pub(super) fn is_white_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Lower-case runs of letters and digits, accents kept.
///
/// The underscore separates. In Python: `re.findall(r"[^\W_]+", text.lower())`; the two differ
/// only for exotic marks such as circled letters.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Id of a word that no reference has.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// Numbers of the words of some references; every other word is [`UNKNOWN`].
#[derive(Debug, Default)]
pub(super) struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    /// Ids of `words`, new ones for those not met before.
    pub(super) fn learn(&mut self, words: &[String]) -> Vec<u32> {
        let mut id = |word: &String| {
            let next = u32::try_from(self.0.len()).expect("a text holds fewer than 2^32 words");
            *self.0.entry(word.clone()).or_insert(next)
        };
        words.iter().map(&mut id).collect()
    }

    /// Ids of `words`.
    pub(super) fn look_up(&self, words: &[String]) -> Vec<u32> {
        let id = |word: &String| self.0.get(word).copied().unwrap_or(UNKNOWN);
        words.iter().map(id).collect()
    }
}

/// The n-grams of one order of one text as sorted integers: exact, and compared by one merge.
#[derive(Debug, Clone, Default)]
pub(super) struct Grams(Vec<u128>);

impl Grams {
    /// All runs of `n` words, ids from a [`Vocabulary`].
    ///
    /// # Panics
    /// When `n` is 0 or above 4: more do not fit the integer.
    pub(super) fn of_words(ids: &[u32], n: usize) -> Self {
        assert!((1..=4).contains(&n), "{n} words do not fit 128 bits");
        Self::packed(ids.iter().copied(), n, 32)
    }

    /// All runs of `n` characters.
    ///
    /// # Panics
    /// When `n` is 0 or above 6: more do not fit the integer.
    pub(super) fn of_characters(characters: &[char], n: usize) -> Self {
        assert!((1..=6).contains(&n), "{n} characters do not fit 128 bits");
        Self::packed(characters.iter().map(|&c| u32::from(c)), n, 21)
    }

    fn packed(items: impl ExactSizeIterator<Item = u32>, n: usize, bits: usize) -> Self {
        let mask = u128::MAX >> (128 - n * bits);
        let mut window = 0u128;
        let mut grams = Vec::with_capacity((items.len() + 1).saturating_sub(n));
        for (i, item) in items.enumerate() {
            window = ((window << bits) | u128::from(item)) & mask;
            if i + 1 >= n {
                grams.push(window);
            }
        }
        grams.sort_unstable();
        Self(grams)
    }

    /// Number of n-grams, repeats included.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Number of different n-grams.
    pub(super) fn n_distinct(&self) -> usize {
        self.runs().count()
    }

    /// Each different n-gram with its count, in ascending order.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u128, usize)> {
        self.0
            .chunk_by(|a, b| a == b)
            .map(|run| (run[0], run.len()))
    }

    /// How often `gram` occurs.
    pub(super) fn count(&self, gram: u128) -> usize {
        let from = self.0.partition_point(|other| *other < gram);
        self.0[from..].partition_point(|other| *other == gram)
    }

    /// Number of matches with `other`, each n-gram clipped to its smaller count.
    pub(super) fn matches(&self, other: &Self) -> usize {
        let (mut i, mut j, mut n) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    (i, j, n) = (i + 1, j + 1, n + 1);
                }
            }
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn words_keep_accents_and_split_at_everything_else() {
        assert_eq!(
            words("O Ônibus, às 10:02; saída_de d'água"),
            ["o", "ônibus", "às", "10", "02", "saída", "de", "d", "água"]
        );
        assert!(words("… — !").is_empty());
    }

    #[test]
    fn the_scored_part_ends_between_characters() {
        let text = "ã".repeat(SIZE_LIMIT);
        assert_eq!(scored_part(&text).len(), SIZE_LIMIT);
        let shifted = format!("a{text}");
        assert_eq!(scored_part(&shifted).len(), SIZE_LIMIT - 1);
        assert_eq!(scored_part("curto"), "curto");
    }

    #[test]
    fn matches_are_clipped_and_unknown_words_match_nothing() {
        let mut vocabulary = Vocabulary::default();
        let reference = vocabulary.learn(&owned(&["a", "b", "a", "c"]));
        let output = vocabulary.look_up(&owned(&["a", "a", "a", "x", "x"]));
        let (output, reference) = (Grams::of_words(&output, 1), Grams::of_words(&reference, 1));
        assert_eq!((output.len(), output.n_distinct()), (5, 2));
        assert_eq!(output.matches(&reference), 2);
        assert_eq!(reference.matches(&output), 2);
        assert_eq!(reference.count(0), 2);
        assert_eq!(reference.count(9), 0);
    }

    #[test]
    fn texts_shorter_than_the_order_have_no_grams() {
        assert_eq!(Grams::of_characters(&['a', 'b'], 3).len(), 0);
        assert_eq!(Grams::of_characters(&[], 6).len(), 0);
        assert_eq!(Grams::of_characters(&['\u{10ffff}'; 7], 6).n_distinct(), 1);
    }
}
