//! Nouns with their articles, numbers and agreement.

use super::super::dice::Dice;
use super::super::lexicon::{Gender, Lexicon};

/// Other words for a label: singular, plural, gender.
type Synonym = (&'static str, &'static str, Gender);

use Gender::{Feminine as F, Masculine as M};

/// Synonyms that references use beside the canonical noun; every one is a surface of the lexicon.
const SYNONYMS: &[(&str, &[Synonym])] = &[
    (
        "person",
        &[("indivíduo", "indivíduos", M), ("pedestre", "pedestres", M)],
    ),
    ("car", &[("automóvel", "automóveis", M)]),
    ("truck", &[("carreta", "carretas", F)]),
    ("motorcycle", &[("moto", "motos", F)]),
    ("bicycle", &[("bike", "bikes", F)]),
    ("dog", &[("cão", "cães", M)]),
    ("bird", &[("ave", "aves", F)]),
    ("cell phone", &[("telefone", "telefones", M)]),
    ("laptop", &[("laptop", "laptops", M)]),
    ("dining table", &[("mesa", "mesas", F)]),
    ("tv", &[("televisor", "televisores", M)]),
    ("chair", &[("poltrona", "poltronas", F)]),
    ("suitcase", &[("mala de viagem", "malas de viagem", F)]),
    ("umbrella", &[("sombrinha", "sombrinhas", F)]),
];

/// A noun in the number it is told in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noun {
    word: String,
    gender: Gender,
    n: u32,
}

impl Noun {
    /// A word for `label`, told of `n` objects; `None` when the lexicon lacks the label.
    ///
    /// * `plain`: chances in a thousand that the canonical noun is taken although there are others
    pub(super) fn pick(
        label: &str,
        n: u32,
        lexicon: &Lexicon,
        plain: u32,
        dice: &mut Dice,
    ) -> Option<Self> {
        let entry = lexicon.label(label)?;
        let others = SYNONYMS
            .iter()
            .find(|(of, _)| *of == label)
            .map(|(_, list)| *list);
        let is_plain = dice.chance(plain);
        let (word, gender) = match others {
            Some(others) if !is_plain => {
                let (singular, plural, gender) = *dice.pick(others);
                (if n > 1 { plural } else { singular }, gender)
            }
            _ => (entry.canon[usize::from(n > 1)].as_str(), entry.gender),
        };
        Some(Self {
            word: word.to_owned(),
            gender,
            n,
        })
    }

    /// `uma pessoa`, `dois carros`, `12 pessoas`.
    pub(super) fn counted(&self) -> String {
        format!("{} {}", number(self.n, self.gender), self.word)
    }

    /// `as pessoas`, `o carro`.
    pub(super) fn definite(&self) -> String {
        format!("{} {}", self.article(), self.word)
    }

    /// The noun alone.
    pub(super) fn bare(&self) -> &str {
        &self.word
    }

    fn article(&self) -> &'static str {
        match (self.gender, self.is_plural()) {
            (F, false) => "a",
            (F, true) => "as",
            (M, false) => "o",
            (M, true) => "os",
        }
    }

    pub(super) fn is_plural(&self) -> bool {
        self.n > 1
    }

    pub(super) fn is_feminine(&self) -> bool {
        self.gender == F
    }

    /// The verb form that agrees.
    pub(super) fn verb<'a>(&self, singular: &'a str, plural: &'a str) -> &'a str {
        if self.is_plural() { plural } else { singular }
    }

    /// `visto`, `vista`, `vistos`, `vistas`.
    pub(super) fn participle(&self, stem: &str) -> String {
        participle(stem, self.is_feminine(), self.is_plural())
    }
}

/// A participle in gender and number.
pub(super) fn participle(stem: &str, is_feminine: bool, is_plural: bool) -> String {
    let vowel = if is_feminine { "a" } else { "o" };
    format!("{stem}{vowel}{}", if is_plural { "s" } else { "" })
}

/// Number words up to ten as Portuguese agrees them; digits above.
pub(super) fn number(n: u32, gender: Gender) -> String {
    const WORDS: [&str; 8] = [
        "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez",
    ];
    match (n, gender) {
        (1, F) => "uma".into(),
        (1, M) => "um".into(),
        (2, F) => "duas".into(),
        (2, M) => "dois".into(),
        (3..=10, _) => WORDS[n as usize - 3].into(),
        _ => n.to_string(),
    }
}

/// `a, b e c`.
pub(super) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} e {last}", head.join(", ")),
    }
}

/// With an upper-case first letter.
pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::lexicon::BUILT_IN;
    use super::*;

    #[test]
    fn numbers_agree_in_gender() {
        let words = |gender| [1, 2, 3, 10, 11].map(|n| number(n, gender)).join(" ");
        assert_eq!(words(F), "uma duas três dez 11");
        assert_eq!(words(M), "um dois três dez 11");
    }

    #[test]
    fn nouns_agree_with_their_articles_and_verbs() {
        let noun = |label, n| {
            Noun::pick(label, n, &BUILT_IN, 1000, &mut Dice::stream(1, "n")).expect("known")
        };
        let cars = noun("car", 2);
        assert_eq!(cars.counted(), "dois carros");
        assert_eq!(cars.verb("passa", "passam"), "passam");
        let person = noun("person", 1);
        assert_eq!(
            (person.counted(), person.definite()),
            ("uma pessoa".into(), "a pessoa".into())
        );
        assert_eq!(person.participle("vist"), "vista");
        assert!(Noun::pick("dragon", 1, &BUILT_IN, 0, &mut Dice::stream(1, "n")).is_none());
    }

    #[test]
    fn every_synonym_is_a_surface_of_its_label() {
        for (label, synonyms) in SYNONYMS {
            for (singular, plural, _) in *synonyms {
                let entry = BUILT_IN.label(label).expect("a label of the lexicon");
                assert!(entry.singular.iter().any(|s| s == singular), "{singular}");
                assert!(entry.plural.iter().any(|s| s == plural), "{plural}");
            }
        }
    }
}
