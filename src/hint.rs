//! Advice printed after an error, apart from the error itself.

/// An error that may know what the user can do about it.
pub trait Hint {
    /// One sentence, imperative, with a command that can be pasted where there is one.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The known word closest to `word`, when it is near enough to be a slip of the keyboard.
///
/// Nearness is the Damerau–Levenshtein distance (optimal string alignment): at most 2, and at
/// most a third of the word's length rounded up.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3).min(2);
    known
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Number of insertions, deletions, substitutions and swaps of neighbours between two words.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["sha256", "size_bytes", "margin"];
        assert_eq!(did_you_mean("shasum", known), None);
        assert_eq!(did_you_mean("sha_256", known), Some("sha256"));
        assert_eq!(did_you_mean("magrin", known), Some("margin"));
        assert_eq!(did_you_mean("team", known), None);
    }
}
