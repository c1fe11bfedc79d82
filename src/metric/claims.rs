//! Text → mentions of objects: which label, how many, denied or not.
//!
//! The simple form of the checker: it knows nothing of the scene, reads no times and no order.

use crate::scene::lexicon::{Lexicon, Scope};
use crate::scene::text::{Token, nfc, tokens};

/// Words after a negator within which a mention is denied.
const NEGATION_REACH: usize = 4;
/// Words before a mention among which its number is looked for.
const NUMBER_REACH: usize = 3;

/// One mention of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// COCO labels, read as `scope` says.
    pub labels: Vec<String>,
    /// Whether all or any of the labels are meant.
    pub scope: Scope,
    /// The words as written.
    pub surface: String,
    /// Byte span in the NFC text.
    pub span: (usize, usize),
    /// Whether the text says that it is not there.
    pub is_negated: bool,
    /// Ambiguous word: counts for recall, never as an invention.
    pub is_weak: bool,
    /// Stated number; `None` when the text gives none.
    pub count: Option<u32>,
}

/// Finds the mentions in `text`, in order.
pub fn mentions(text: &str, lexicon: &Lexicon) -> Vec<Mention> {
    let text = nfc(text);
    let tokens = tokens(&text);
    let words: Vec<&str> = tokens
        .iter()
        .map(|token| matchable(token, lexicon))
        .collect();
    let mut found: Vec<Mention> = Vec::new();
    let mut negation = Negation::default();
    let mut previous_end = 0;
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at].is_word() {
            negation.punctuation(&tokens[at].lower);
            at += 1;
            continue;
        }
        if let Some(n) = lexicon.negator_at(&words[at..]) {
            if lexicon.negation_exempt_at(&words[at + n..]).is_none() {
                negation.open();
            }
            // A negating phrase is no mention, but its last word may begin one.
            at += n;
            continue;
        }
        let Some((n, sense)) = lexicon.surface_at(&words[at..]) else {
            negation.word();
            at += 1;
            continue;
        };
        if sense.scope != Scope::Nothing {
            let span = (tokens[at].span.0, tokens[at + n - 1].span.1);
            found.push(Mention {
                labels: sense.labels.clone(),
                scope: sense.scope,
                surface: text[span.0..span.1].to_owned(),
                span,
                is_negated: negation.mention(),
                is_weak: sense.is_weak,
                count: count_before(&tokens, previous_end, at, lexicon),
            });
        }
        at += n;
        previous_end = at;
    }
    found.retain_mut(|mention| {
        mention.is_negated |= mention.count == Some(0);
        true
    });
    found
}

/// Whether the text states that nothing was there.
pub fn states_emptiness(text: &str, lexicon: &Lexicon) -> bool {
    let tokens = tokens(&nfc(text));
    let words: Vec<&str> = tokens.iter().map(|token| token.folded.as_str()).collect();
    (0..words.len()).any(|at| lexicon.states_emptiness_at(&words[at..]))
}

/// The folded word; nothing, where folding would turn an ordinary word into an object.
fn matchable<'a>(token: &'a Token, lexicon: &Lexicon) -> &'a str {
    if lexicon.is_fold_exception(&token.lower) {
        ""
    } else {
        &token.folded
    }
}

/// Scope of a negator: open until it meets too many words, a comma before its first mention, or
/// the end of the sentence.
#[derive(Default)]
struct Negation {
    words_left: usize,
    is_used: bool,
}

impl Negation {
    fn open(&mut self) {
        *self = Self {
            words_left: NEGATION_REACH,
            is_used: false,
        };
    }

    fn word(&mut self) {
        self.words_left = self.words_left.saturating_sub(1);
    }

    fn punctuation(&mut self, mark: &str) {
        if mark != "," || !self.is_used {
            self.words_left = 0;
        }
    }

    fn mention(&mut self) -> bool {
        let is_negated = self.words_left > 0;
        if is_negated {
            // One negator denies a whole list: "não há carros, motos nem ônibus".
            *self = Self {
                words_left: 2,
                is_used: true,
            };
        }
        is_negated
    }
}

/// The number in the few words before a mention, not crossing punctuation or another mention.
fn count_before(tokens: &[Token], from: usize, at: usize, lexicon: &Lexicon) -> Option<u32> {
    for back in (from.max(at.saturating_sub(NUMBER_REACH))..at).rev() {
        let token = &tokens[back];
        if !token.is_word() {
            return None;
        }
        if let Some(n) = lexicon.number(&token.folded) {
            // Digits beside a colon belong to a time.
            let is_time = back > 0 && tokens[back - 1].lower == ":";
            return (!is_time).then_some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::lexicon::BUILT_IN;

    /// `2 person` asserted with a number, `person` without, `-person` denied.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = mentions(text, &BUILT_IN)
            .iter()
            .map(|m| {
                let sign = if m.is_negated { "-" } else { "" };
                let count = m.count.map_or_else(String::new, |n| format!("{n} "));
                let joint = if m.scope == Scope::Any { "|" } else { "+" };
                format!("{sign}{count}{}", m.labels.join(joint))
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn numbers_and_articles_count() {
        check(
            "A cena mostra duas pessoas e um carro.",
            &["2 person", "1 car"],
        );
        check("Às 00:10 surgem 3 caminhões.", &["3 truck"]);
        check("Entre 00:10 e 00:40 carros passam.", &["car"]);
        check("As pessoas são vistas entre 00:10 e 00:40.", &["person"]);
    }

    #[test]
    fn accents_and_case_do_not_matter_but_other_words_do() {
        check("ONIBUS e Ônibus", &["bus", "bus"]);
        check("faça o favor de andar dois metros", &[]);
        check("um banco de dados", &[]);
    }

    #[test]
    fn negation_reaches_its_list_and_no_further() {
        check(
            "Não há carros, motos nem ônibus.",
            &["-car", "-motorcycle", "-bus"],
        );
        check("Sem alarde, três ônibus passam.", &["3 bus"]);
        check("Não há nada além de duas pessoas.", &["2 person"]);
        check("Nenhum carro foi visto. Um gato passa.", &["-car", "1 cat"]);
    }

    #[test]
    fn compound_surfaces() {
        check(
            "um guarda-chuva e um ciclista",
            &["1 umbrella", "1 bicycle+person"],
        );
        let vehicle = "car|truck|bus|motorcycle|bicycle|train";
        check("dois veículos", &[&format!("2 {vehicle}")]);
    }

    #[test]
    fn emptiness_is_recognised() {
        assert!(states_emptiness("O local permaneceu vazio.", &BUILT_IN));
        assert!(!states_emptiness("A rua aparece calma.", &BUILT_IN));
    }
}
