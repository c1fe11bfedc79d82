//! Folding and tokens of Portuguese text.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Canonical composition (NFC), applied to every text before anything else looks at it.
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// Lower case without accents: lower-cased, NFKD, combining marks removed.
///
/// Used for matching words of the lexicon only; overlap metrics keep accents.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .collect()
}

/// One token: a run of letters and digits, or one of `, ; : ( ) . ! ?` or a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token lower-cased (NFC, accents kept).
    pub lower: String,
    /// The token folded.
    pub folded: String,
    /// Byte span in the text.
    pub span: (usize, usize),
}

impl Token {
    /// Whether the token is a run of letters and digits.
    pub fn is_word(&self) -> bool {
        self.lower.chars().all(char::is_alphanumeric)
    }
}

/// Splits NFC `text` into tokens; whatever is neither a word nor listed punctuation is dropped.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut word_start = None;
    for (at, c) in text.char_indices().chain([(text.len(), '\n')]) {
        if c.is_alphanumeric() {
            word_start.get_or_insert(at);
            continue;
        }
        if let Some(start) = word_start.take() {
            found.push(token(text, start, at));
        }
        if at < text.len() && matches!(c, ',' | ';' | ':' | '(' | ')' | '.' | '!' | '?' | '\n') {
            found.push(token(text, at, at + c.len_utf8()));
        }
    }
    found
}

fn token(text: &str, start: usize, end: usize) -> Token {
    let piece = &text[start..end];
    Token {
        lower: piece.to_lowercase(),
        folded: fold(piece),
        span: (start, end),
    }
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
    fn tokens_keep_spans_and_sentence_marks() {
        let found = tokens("Às 00:10, um cão.");
        let words: Vec<&str> = found.iter().map(|t| t.folded.as_str()).collect();
        assert_eq!(words, ["as", "00", ":", "10", ",", "um", "cao", "."]);
        assert_eq!(found[6].span, (14, 18));
    }
}
