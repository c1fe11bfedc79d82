//! Which words two texts do not share.

use similar::{ChangeTag, DiffableStr as _, TextDiff};

/// A stretch of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The words with the spaces between them.
    pub text: String,
    /// Whether the other text lacks them.
    pub is_own: bool,
}

/// Both texts in pieces: the pieces of each, joined, are the text.
///
/// Words end as Unicode says (UAX 29), so `pátio,` and `pátio` share the word; a time of day like
/// `00:38` is one. No clock bounds the work, so that equal texts give equal pieces: texts beyond a few thousand words are the caller's
/// to cut.
pub fn words(baseline: &str, candidate: &str) -> [Vec<Piece>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    each(baseline, candidate, |tag, text| match tag {
        ChangeTag::Equal => sides.iter_mut().for_each(|side| add(side, text, false)),
        ChangeTag::Delete => add(&mut sides[0], text, true),
        ChangeTag::Insert => add(&mut sides[1], text, true),
    });
    sides.map(|side| joined(&side))
}

/// Pieces in which a space between two that the other text lacks belongs to them.
fn joined(pieces: &[Piece]) -> Vec<Piece> {
    let is_own = |at: usize| pieces.get(at).is_some_and(|piece| piece.is_own);
    let mut out = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let is_space = piece.text.trim().is_empty() && i > 0 && is_own(i - 1) && is_own(i + 1);
        add(&mut out, &piece.text, piece.is_own || is_space);
    }
    out
}

/// Both texts in one line, as `git diff --word-diff` marks them: `[-carro-]{+ônibus+} azul`.
pub fn marked(baseline: &str, candidate: &str) -> String {
    let mut out = String::new();
    let mut open = ChangeTag::Equal;
    let marks = |tag| match tag {
        ChangeTag::Equal => ("", ""),
        ChangeTag::Delete => ("[-", "-]"),
        ChangeTag::Insert => ("{+", "+}"),
    };
    each(baseline, candidate, |tag, text| {
        if tag != open {
            out.push_str(marks(open).1);
            out.push_str(marks(tag).0);
            open = tag;
        }
        out.push_str(text);
    });
    out.push_str(marks(open).1);
    out
}

fn each(baseline: &str, candidate: &str, mut take: impl FnMut(ChangeTag, &str)) {
    let (baseline, candidate) = (tokens(baseline), tokens(candidate));
    let diff = TextDiff::from_slices(&baseline, &candidate);
    for change in diff.iter_all_changes() {
        take(change.tag(), change.value());
    }
}

/// Words and what stands between them: joined, they are the text.
fn tokens(text: &str) -> Vec<&str> {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let parts = text.tokenize_unicode_words();
    let mut tokens: Vec<&str> = Vec::with_capacity(parts.len());
    let (mut start, mut end) = (0, 0);
    for (i, part) in parts.iter().enumerate() {
        end += part.len();
        let next = parts.get(i + 1).copied().unwrap_or_default();
        // `00`, `:` and `38` are one time.
        let is_within = (next == ":"
            && digit(part.chars().next_back())
            && digit(parts.get(i + 2).and_then(|after| after.chars().next())))
            || (*part == ":" && i > 0 && start < end - 1 && digit(next.chars().next()));
        if !is_within {
            tokens.push(&text[start..end]);
            start = end;
        }
    }
    tokens
}

/// Lengthens the last piece, or begins a new one.
fn add(side: &mut Vec<Piece>, text: &str, is_own: bool) {
    match side.last_mut() {
        Some(last) if last.is_own == is_own => last.text.push_str(text),
        _ => side.push(Piece {
            text: text.to_owned(),
            is_own,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_that_differ_are_marked_in_their_own_text() {
        let marked = marked("Um carro azul.", "Um ônibus azul, parado.");
        assert_eq!(marked, "Um [-carro-]{+ônibus+} azul{+, parado+}.");
        let [base, cand] = words("Um carro azul.", "Um ônibus azul, parado.");
        let own = |side: Vec<Piece>| {
            let own = side.into_iter().filter(|piece| piece.is_own);
            own.map(|piece| piece.text).collect::<Vec<_>>()
        };
        assert_eq!(own(base), ["carro"]);
        assert_eq!(own(cand), ["ônibus", ", parado"]);
        let [base, _] = words("um carro azul", "dois ônibus azul");
        assert_eq!(own(base), ["um carro"]);
    }

    #[test]
    fn a_time_of_day_is_one_word() {
        let marked = marked(
            "Às 00:38 um carro, até 00:52.",
            "Às 00:38 um carro, até 01:52.",
        );
        assert_eq!(marked, "Às 00:38 um carro, até [-00:52-]{+01:52+}.");
        assert_eq!(
            tokens("01:02:03, a: b:2 ::"),
            [
                "01:02:03", ",", " ", "a", ":", " ", "b", ":", "2", " ", ":", ":"
            ]
        );
    }

    #[test]
    fn equal_and_empty_texts_have_nothing_of_their_own() {
        assert_eq!(marked("igual", "igual"), "igual");
        assert_eq!(marked("", "novo"), "{+novo+}");
        assert_eq!(words("", ""), [Vec::new(), Vec::new()]);
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(base in "\\PC{0,40}", cand in "\\PC{0,40}") {
            let sides = words(&base, &cand);
            let joined = sides.map(|side| side.into_iter().map(|piece| piece.text).collect::<String>());
            prop_assert_eq!(joined, [base, cand]);
        }
    }
}
