//! Families A to D: what models are trained on.

use std::fmt::Write as _;

use super::super::dice::Dice;
use super::noun::{capitalised, list};
use super::{Family, Group, Item, counted, joint_verb};

/// An empty scene, one wording a family.
pub(super) fn empty(family: Family) -> &'static str {
    match family {
        Family::A => "O local permaneceu vazio durante todo o vídeo.",
        Family::B => "Nenhuma movimentação foi registrada no vídeo.",
        Family::C => "A cena ficou vazia, sem movimento algum.",
        _ => "Nada aconteceu: o local ficou vazio.",
    }
}

/// A: what there is, then when the first and the last of it are seen.
pub(super) fn overview(items: &[Item], dice: &mut Dice) -> String {
    let opening = dice.pick(&["A cena mostra", "O vídeo mostra", "A câmera registra"]);
    let mut text = format!("{opening} {}.", list(&counted(items)));
    let (first, last) = (&items[0], &items[items.len() - 1]);
    for item in [first, last].into_iter().take(items.len()) {
        let seen = item.noun.participle("vist");
        let verb = item.noun.verb("é", "são");
        let subject = capitalised(&item.noun.definite());
        let _ = write!(text, " {subject} {verb} {seen} {}.", item.between());
    }
    text
}

/// B: first, then, finally.
pub(super) fn chronicle(items: &[Item], dice: &mut Dice) -> String {
    let (first, rest) = items.split_first().expect("a story has items");
    let verb = first.noun.verb("aparece", "aparecem");
    let Some((last, middle)) = rest.split_last() else {
        let end = if first.from == first.to {
            String::new()
        } else {
            format!(
                ", que {} até {}",
                first.noun.verb("fica", "ficam"),
                first.to
            )
        };
        return format!("Às {} {verb} {}{end}.", first.from, first.noun.counted());
    };
    let opening = dice.pick(&["Primeiro", "No início"]);
    let mut text = format!(
        "{opening} {verb} {}, às {}",
        first.noun.counted(),
        first.from
    );
    for (i, item) in middle.iter().enumerate() {
        let link = if i % 2 == 0 { "depois" } else { "em seguida" };
        let _ = write!(text, "; {link}, {}", item.noun.counted());
    }
    let link = if middle.is_empty() {
        "depois"
    } else {
        "por fim"
    };
    let _ = write!(text, "; {link}, {}, às {}.", last.noun.counted(), last.from);
    text
}

/// C: one sentence with a clause inside or before it.
pub(super) fn one_sentence(items: &[Item], dice: &mut Dice) -> String {
    let (first, rest) = items.split_first().expect("a story has items");
    let subject = capitalised(&first.noun.counted());
    if rest.is_empty() {
        let comes = first.noun.verb("entra", "entram");
        let goes = first.noun.verb("some", "somem");
        return if first.from == first.to {
            format!(
                "{subject}, que {comes} em cena às {}, logo {goes}.",
                first.from
            )
        } else {
            let (from, to) = (&first.from, &first.to);
            format!("{subject}, que {comes} em cena às {from}, {goes} às {to}.")
        };
    }
    let others = list(&counted(rest));
    // Things do not enter: only what moves does.
    if first.group != Group::Others && dice.chance(500) {
        let comes = first.noun.verb("entra", "entram");
        let shares = first.noun.verb("divide", "dividem");
        format!(
            "{subject}, que {comes} em cena às {}, {shares} o espaço com {others}.",
            first.from
        )
    } else {
        let is = first.noun.verb("está", "estão");
        let come = joint_verb(rest, "surge", "surgem");
        let subject = first.noun.counted();
        format!(
            "Enquanto {subject} {is} em cena, {}, {come} {others}.",
            first.span()
        )
    }
}

/// D: each time, then what comes.
pub(super) fn times_first(items: &[Item], dice: &mut Dice) -> String {
    let (first, rest) = items.split_first().expect("a story has items");
    let verb = match dice.below(2) {
        0 => first.noun.verb("surge", "surgem"),
        _ if first.group == Group::Others => first.noun.verb("nota-se", "notam-se"),
        _ => first.noun.verb("chega", "chegam"),
    };
    let mut text = format!("Às {} {verb} {}", first.from, first.noun.counted());
    if rest.is_empty() {
        if first.from == first.to {
            text.push_str(", por pouco tempo.");
        } else {
            let _ = write!(text, ", até {}.", first.to);
        }
        return text;
    }
    let (timed, listed) = rest.split_at(rest.len().min(2));
    for item in timed {
        let _ = write!(text, "; às {}, {}", item.from, item.noun.counted());
    }
    if !listed.is_empty() {
        let _ = write!(text, "; e ainda {}", list(&counted(listed)));
    }
    text.push('.');
    text
}
