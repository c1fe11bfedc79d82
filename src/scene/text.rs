//! Folding and tokens of Portuguese text.
//!
//! Texts may come in any normal form: tokens hold NFC words, their spans are bytes of the text as
//! given.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// Canonical composition (NFC), applied to every text before anything else looks at it.
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// Lower case without accents: lower-cased, NFKD, combining marks removed.
///
/// Used for matching words of the lexicon only; overlap metrics keep accents.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.to_lowercase()
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .collect()
}

/// White space as Python's `str.split` knows it: Unicode's, and U+001C to U+001F.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Lower-case words of the NFC text: maximal runs of letters and digits.
pub fn words(text: &str) -> Vec<String> {
    let is_word = |token: &Token| token.is_word();
    let found = tokens(text).into_iter().filter(is_word);
    found.map(|token| token.lower).collect()
}

/// One token: a run of letters and digits, or one of `, ; : ( )`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token lower-cased (NFC, accents kept).
    pub lower: String,
    /// The token folded.
    pub folded: String,
    /// Byte span in the text as given.
    pub span: (usize, usize),
}

impl Token {
    /// Whether the token is a run of letters and digits.
    pub fn is_word(&self) -> bool {
        !self.is_mark()
    }

    /// Whether the token is punctuation.
    pub fn is_mark(&self) -> bool {
        matches!(self.lower.as_str(), "," | ";" | ":" | "(" | ")")
    }

    /// Whether the token is `mark`.
    pub fn is(&self, mark: &str) -> bool {
        self.lower == mark
    }

    /// Whether the token consists of ASCII digits.
    pub fn is_digits(&self) -> bool {
        self.lower.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// Splits `text` into tokens; whatever is neither a word nor listed punctuation is dropped.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut word = Word::default();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        // A letter and the accents written after it are one character of NFC.
        let mut end = at + c.len_utf8();
        while let Some(&(mark_at, mark)) = chars.peek() {
            if canonical_combining_class(mark) == 0 {
                break;
            }
            end = mark_at + mark.len_utf8();
            chars.next();
        }
        if end == at + c.len_utf8() {
            word.take(c, (at, end), &mut found);
        } else {
            let cluster = text[at..end].nfc();
            cluster.for_each(|c| word.take(c, (at, end), &mut found));
        }
    }
    word.end(&mut found);
    found
}

/// The word being read.
#[derive(Default)]
struct Word {
    text: String,
    span: (usize, usize),
}

impl Word {
    fn take(&mut self, c: char, span: (usize, usize), found: &mut Vec<Token>) {
        if c.is_alphanumeric() {
            if self.text.is_empty() {
                self.span = span;
            }
            self.text.push(c);
            self.span.1 = span.1;
            return;
        }
        self.end(found);
        if matches!(c, ',' | ';' | ':' | '(' | ')') {
            found.push(Token {
                lower: c.to_string(),
                folded: c.to_string(),
                span,
            });
        }
    }

    fn end(&mut self, found: &mut Vec<Token>) {
        if self.text.is_empty() {
            return;
        }
        let text = nfc(&std::mem::take(&mut self.text));
        found.push(Token {
            lower: text.to_lowercase(),
            folded: fold(&text),
            span: self.span,
        });
    }
}

/// Byte spans of the sentences of `text`, those without a token left out.
///
/// A sentence ends after `. ! ? ;` followed by white space, and at a line break.
pub fn sentences(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_before_space = chars.peek().is_some_and(|&(_, next)| is_space(next));
        let is_end = matches!(c, '.' | '!' | '?' | ';') && is_before_space;
        let is_break = matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if is_end || is_break {
            found.push((start, at + c.len_utf8()));
            start = at + c.len_utf8();
        }
    }
    found.push((start, text.len()));
    found.retain(|&(from, to)| text[from..to].contains(char::is_alphanumeric));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_drops_accents_and_case() {
        assert_eq!(fold("Caminhões À noite"), "caminhoes a noite");
        assert_eq!(fold(&nfc("o\u{302}nibus")), "onibus");
    }

    #[test]
    fn tokens_keep_spans_and_marks() {
        let found = tokens("Às 00:10, um_cão.");
        let words: Vec<&str> = found.iter().map(|t| t.folded.as_str()).collect();
        assert_eq!(words, ["as", "00", ":", "10", ",", "um", "cao"]);
        assert_eq!(found[6].span, (14, 18));
    }

    #[test]
    fn decomposed_text_gives_the_same_words_with_spans_of_its_own() {
        let (composed, decomposed) = (
            "um cão, três ônibus",
            "um ca\u{303}o, tre\u{302}s o\u{302}nibus",
        );
        assert_eq!(words(composed), words(decomposed));
        let found = tokens(decomposed);
        let (from, to) = found[1].span;
        assert_eq!(&decomposed[from..to], "ca\u{303}o");
        assert_eq!(found[1].lower, "cão");
    }

    #[test]
    fn marks_that_compose_with_nothing_end_a_word_as_in_nfc() {
        // x with a circumflex exists only as two characters, and the mark is no letter.
        assert_eq!(words("ax\u{302}b"), ["ax", "b"]);
        assert_eq!(words("\u{302}a"), ["a"]);
    }

    #[test]
    fn sentences_end_at_marks_before_white_space_and_at_line_breaks() {
        let split = |text: &str| -> Vec<String> {
            let pieces = sentences(text).into_iter();
            pieces
                .map(|(a, b)| text[a..b].trim_matches(is_space).to_owned())
                .collect()
        };
        assert_eq!(
            split("Um carro. Uma moto; dois\ncães!"),
            ["Um carro.", "Uma moto;", "dois", "cães!"]
        );
        assert_eq!(split("placa 3.5 de 1;2"), ["placa 3.5 de 1;2"]);
        assert_eq!(split(" \n . \n"), Vec::<String>::new());
        assert_eq!(split("Um?\u{1c}Dois"), ["Um?", "Dois"]);
    }
}
