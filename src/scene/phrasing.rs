//! Portuguese reference summaries from facts, in families that differ in plan and syntax.
//!
//! Models are trained on families A–D; scene sets use E–G, so that a model tuned to its
//! templates gains nothing on them.

use std::fmt::Write as _;

use super::dice::Dice;
use super::facts::{Facts, LabelFacts};
use super::lexicon::{Gender, Lexicon};
use super::prompt::clock;

/// A way of telling a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Overview with counts, then one sentence per label with its span.
    A,
    /// Chronological: first, then, finally.
    B,
    /// One sentence with subordinate clauses.
    C,
    /// Times first.
    D,
    /// Overview only, with the span of the whole.
    E,
    /// Duration and presence.
    F,
    /// Passive register of a report.
    G,
}

impl Family {
    /// Families that models may be trained on.
    pub const TRAINING: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];
    /// Families that scene sets use; never trained on.
    pub const HELD_OUT: [Self; 3] = [Self::E, Self::F, Self::G];
}

/// One thing to tell: a salient label.
struct Item {
    /// Noun phrase with number, e.g. `duas pessoas`.
    counted: String,
    /// With the definite article, e.g. `as pessoas`.
    definite: String,
    is_plural: bool,
    is_feminine: bool,
    from: String,
    to: String,
    length_s: i64,
}

impl Item {
    fn verb<'a>(&self, singular: &'a str, plural: &'a str) -> &'a str {
        if self.is_plural { plural } else { singular }
    }

    fn participle(&self, stem: &str) -> String {
        let vowel = if self.is_feminine { "a" } else { "o" };
        format!("{stem}{vowel}{}", if self.is_plural { "s" } else { "" })
    }
}

/// Number words up to ten as Portuguese agrees them; digits above.
fn number(n: u32, gender: Gender) -> String {
    const WORDS: [&str; 8] = [
        "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez",
    ];
    match (n, gender) {
        (1, Gender::Feminine) => "uma".into(),
        (1, Gender::Masculine) => "um".into(),
        (2, Gender::Feminine) => "duas".into(),
        (2, Gender::Masculine) => "dois".into(),
        (3..=10, _) => WORDS[n as usize - 3].into(),
        _ => n.to_string(),
    }
}

/// Items in the order of the prompt: by first time, then label.
fn items(facts: &Facts, lexicon: &Lexicon) -> Vec<Item> {
    let mut seen: Vec<(&String, &LabelFacts)> = facts
        .labels
        .iter()
        .filter(|(label, _)| facts.salient.contains(*label))
        .collect();
    seen.sort_by(|a, b| a.1.span_s.0.total_cmp(&b.1.span_s.0).then(a.0.cmp(b.0)));
    seen.into_iter()
        .filter_map(|(label, seen)| Some(item(lexicon.label(label)?, seen)))
        .collect()
}

fn item(words: &super::lexicon::Label, seen: &LabelFacts) -> Item {
    let is_plural = seen.max_at_once > 1;
    let noun = &words.canon[usize::from(is_plural)];
    let article = match (words.gender, is_plural) {
        (Gender::Feminine, false) => "a",
        (Gender::Feminine, true) => "as",
        (Gender::Masculine, false) => "o",
        (Gender::Masculine, true) => "os",
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "videos last hours, not aeons"
    )]
    let [from_ms, to_ms] = [seen.span_s.0, seen.span_s.1].map(|s| (s * 1000.0) as i64);
    Item {
        counted: format!("{} {noun}", number(seen.max_at_once, words.gender)),
        definite: format!("{article} {noun}"),
        is_plural,
        is_feminine: words.gender == Gender::Feminine,
        from: clock(from_ms),
        to: clock(to_ms),
        length_s: (to_ms - from_ms) / 1000,
    }
}

/// `a, b e c`.
fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} e {last}", head.join(", ")),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// Tells the scene's salient facts in one family.
///
/// * `dice`: chooses among equal wordings; the same stream gives the same text
pub fn tell(facts: &Facts, lexicon: &Lexicon, family: Family, dice: &mut Dice) -> String {
    let items = items(facts, lexicon);
    if items.is_empty() {
        return tell_empty(family, dice).to_owned();
    }
    match family {
        Family::A => overview_then_spans(&items, dice),
        Family::B => chronological(&items, dice),
        Family::C => one_sentence(&items, dice),
        Family::D => times_first(&items, dice),
        Family::E => overview(&items, dice),
        Family::F => presence(&items, dice),
        Family::G => report(&items, dice),
    }
}

fn tell_empty(family: Family, dice: &mut Dice) -> &'static str {
    match family {
        Family::A => "O local permaneceu vazio durante todo o vídeo.",
        Family::B => "Nenhuma movimentação foi registrada no vídeo.",
        Family::C => "A cena ficou vazia, sem movimento algum.",
        Family::D => "Nada aconteceu: o local ficou vazio.",
        _ => dice.pick::<&'static str>(&[
            "Não houve movimentação no período.",
            "Nenhum objeto foi detectado; a cena esteve vazia.",
            "O vídeo não mostra ninguém: nada foi registrado.",
        ]),
    }
}

fn overview_then_spans(items: &[Item], dice: &mut Dice) -> String {
    let counted: Vec<String> = items.iter().map(|item| item.counted.clone()).collect();
    let opening = dice.pick(&["A cena mostra", "O vídeo mostra", "A câmera registra"]);
    let mut text = format!("{opening} {}.", list(&counted));
    for item in items {
        let seen = item.participle("vist");
        let verb = item.verb("é", "são");
        let subject = capitalised(&item.definite);
        let _ = write!(
            text,
            " {subject} {verb} {seen} entre {} e {}.",
            item.from, item.to
        );
    }
    text
}

fn chronological(items: &[Item], dice: &mut Dice) -> String {
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        let opening = match i {
            0 => *dice.pick(&["Primeiro", "No início"]),
            i if i + 1 == items.len() => "Por fim",
            _ => *dice.pick(&["Depois", "Em seguida"]),
        };
        let verb = item.verb("aparece", "aparecem");
        let gap = if i == 0 { "" } else { " " };
        let _ = write!(
            text,
            "{gap}{opening}, às {}, {verb} {}.",
            item.from, item.counted
        );
    }
    text
}

fn one_sentence(items: &[Item], dice: &mut Dice) -> String {
    let link = *dice.pick(&["enquanto", "e"]);
    let clauses: Vec<String> = items
        .iter()
        .map(|item| {
            let verb = item.verb("fica", "ficam");
            format!(
                "{} {verb} em cena de {} a {}",
                item.counted, item.from, item.to
            )
        })
        .collect();
    let (first, rest) = clauses
        .split_first()
        .expect("scenes without items are told as empty");
    let mut text = capitalised(first);
    for clause in rest {
        let _ = write!(text, ", {link} {clause}");
    }
    text.push('.');
    text
}

fn times_first(items: &[Item], dice: &mut Dice) -> String {
    let mut sentences = Vec::new();
    for item in items {
        let verb = match dice.below(2) {
            0 => item.verb("surge", "surgem"),
            _ => item.verb("chega", "chegam"),
        };
        let (from, to) = (&item.from, &item.to);
        sentences.push(format!("Às {from} {verb} {}, até {to}.", item.counted));
    }
    sentences.join(" ")
}

fn overview(items: &[Item], dice: &mut Dice) -> String {
    let counted: Vec<String> = items.iter().map(|item| item.counted.clone()).collect();
    let first = items
        .iter()
        .map(|item| &item.from)
        .min()
        .expect("at least one item");
    let last = items
        .iter()
        .map(|item| &item.to)
        .max()
        .expect("at least one item");
    match dice.below(2) {
        0 => format!("No vídeo há {}, entre {first} e {last}.", list(&counted)),
        _ => format!(
            "{} passam pelo local de {first} até {last}.",
            capitalised(&list(&counted))
        )
        .replace(
            " passam",
            if items.len() == 1 && !items[0].is_plural {
                " passa"
            } else {
                " passam"
            },
        ),
    }
}

fn presence(items: &[Item], dice: &mut Dice) -> String {
    let mut sentences = Vec::new();
    for item in items {
        let verb = item.verb("permanece", "permanecem");
        let seconds = item.length_s;
        let subject = capitalised(&item.counted);
        sentences.push(match dice.below(2) {
            0 => format!(
                "{subject} {verb} por {seconds} segundos, desde {}.",
                item.from
            ),
            _ => format!("{subject} {verb} no local durante {seconds} segundos."),
        });
    }
    sentences.join(" ")
}

fn report(items: &[Item], dice: &mut Dice) -> String {
    let noun = *dice.pick(&["a presença", "a passagem"]);
    let parts: Vec<String> = items
        .iter()
        .map(|item| format!("{} ({} a {})", item.counted, item.from, item.to))
        .collect();
    format!("Foi registrada {noun} de {}.", list(&parts))
}

#[cfg(test)]
mod tests {
    use super::super::generate;
    use super::super::lexicon::BUILT_IN;
    use super::*;

    #[test]
    fn numbers_agree_in_gender() {
        assert_eq!(number(2, Gender::Feminine), "duas");
        assert_eq!(number(2, Gender::Masculine), "dois");
        assert_eq!(
            (number(10, Gender::Feminine), number(11, Gender::Feminine)),
            ("dez".into(), "11".into())
        );
    }

    #[test]
    fn every_family_tells_every_scene_and_no_two_tell_it_alike() {
        for i in 0..50 {
            let facts = Facts::of(&generate::analytic(9, "phrasing", i), &BUILT_IN);
            let mut texts: Vec<String> = Family::TRAINING
                .iter()
                .chain(&Family::HELD_OUT)
                .map(|&family| tell(&facts, &BUILT_IN, family, &mut Dice::new(9, "phrasing", i)))
                .collect();
            assert!(texts.iter().all(|text| text.ends_with('.')));
            if facts.salient.len() > 1 {
                texts.sort();
                texts.dedup();
                assert_eq!(texts.len(), 7, "{texts:#?}");
            }
        }
    }
}
