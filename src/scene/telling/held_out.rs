//! Families E to H: what models are checked on and never trained on.

use std::fmt::Write as _;

use super::super::dice::Dice;
use super::super::facts::Facts;
use super::noun::{Noun, capitalised, list};
use super::{Family, Group, Item, Story, counted, joint_participle, joint_verb};

/// An empty scene.
pub(super) fn empty(family: Family, facts: &Facts, dice: &mut Dice) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "videos last hours, not aeons"
    )]
    let seconds = facts.duration_s as u64;
    let wordings = match family {
        Family::E => vec![
            "Nenhuma pessoa e nenhum veículo passaram diante da câmera.".to_owned(),
            "Sem atividade: ninguém entrou no quadro.".to_owned(),
        ],
        Family::F => vec![
            format!("Ao longo dos {seconds} segundos de gravação, o espaço esteve deserto."),
            "Em nenhum momento houve movimento diante da câmera.".to_owned(),
            "A filmagem inteira traz um espaço vazio.".to_owned(),
        ],
        Family::G => vec![
            "Não foram registradas ocorrências no período.".to_owned(),
            "Não houve registro de pessoas nem de veículos.".to_owned(),
            "Nenhum objeto foi detectado no período.".to_owned(),
        ],
        _ => vec![
            "Não há pessoas, veículos nem animais na imagem.".to_owned(),
            "Ninguém aparece, e nada se move.".to_owned(),
            "A imagem traz somente um espaço deserto.".to_owned(),
        ],
    };
    dice.pick(&wordings).clone()
}

/// E: people, then vehicles, then the rest.
pub(super) fn by_group(items: &[Item], dice: &mut Dice) -> String {
    let of = |group: Group| -> Vec<Item> {
        items
            .iter()
            .filter(|item| item.group == group)
            .cloned()
            .collect()
    };
    let mut sentences = Vec::new();
    let people = of(Group::People);
    if let Some(person) = people.first() {
        let verb = person.noun.verb("circula", "circulam");
        let subject = capitalised(&person.noun.counted());
        sentences.push(format!("{subject} {verb} pelo local {}.", person.between()));
    }
    let vehicles = of(Group::Vehicles);
    if !vehicles.is_empty() {
        let what = list(&counted(&vehicles));
        sentences.push(match dice.below(2) {
            0 => format!(
                "Quanto aos veículos, há {what}, a partir das {}.",
                vehicles[0].from
            ),
            _ => format!(
                "Entre os veículos estão {what}, desde as {}.",
                vehicles[0].from
            ),
        });
    }
    let others = of(Group::Others);
    if !others.is_empty() {
        let verb = joint_verb(&others, "nota-se", "notam-se");
        let what = list(&counted(&others));
        let start = if sentences.is_empty() {
            format!("{}, a partir das {}", capitalised(verb), others[0].from)
        } else {
            format!(
                "Também {}",
                if verb == "nota-se" {
                    "se nota"
                } else {
                    "se notam"
                }
            )
        };
        sentences.push(format!("{start} {what}."));
    }
    sentences.join(" ")
}

/// F: how long each thing stays.
pub(super) fn presence(items: &[Item], dice: &mut Dice) -> String {
    let stay = |item: &Item| -> String {
        let length = item.length_s;
        if item.share >= 0.8 {
            "durante quase toda a gravação".to_owned()
        } else if item.share >= 0.45 {
            "por boa parte da gravação".to_owned()
        } else if length == 0 {
            "por um instante".to_owned()
        } else if length == 1 {
            "por um segundo".to_owned()
        } else if length < 120 {
            format!("por {length} segundos")
        } else {
            format!("por cerca de {} minutos", (length + 30) / 60)
        }
    };
    let (timed, listed) = items.split_at(items.len().min(4));
    let mut clauses = Vec::new();
    for (i, item) in timed.iter().enumerate() {
        let subject = item.noun.counted();
        let verb = item.noun.verb("permanece", "permanecem");
        let stays = stay(item);
        clauses.push(match (i, dice.below(2)) {
            (0, 0) => format!(
                "{} {verb} no quadro {stays}, desde as {}",
                capitalised(&subject),
                item.from
            ),
            (0, _) => format!("{} {verb} à vista {stays}", capitalised(&subject)),
            (_, 0) => format!("{subject}, {stays}"),
            (_, _) => format!("{subject} {stays}, a partir das {}", item.from),
        });
    }
    let mut text = format!("{}.", clauses.join("; "));
    if !listed.is_empty() {
        let verb = joint_verb(listed, "Também ficou", "Também ficaram");
        let seen = joint_participle(listed, "gravad");
        let _ = write!(text, " {verb} {seen} {}.", list(&counted(listed)));
    }
    text
}

/// G: the passive voice of a report.
pub(super) fn report(items: &[Item], dice: &mut Dice) -> String {
    let (first, rest) = items.split_first().expect("a story has items");
    if rest.is_empty() {
        let what = first.noun.counted();
        return if dice.below(2) == 0 {
            format!("Foi registrada a passagem de {what} ({}).", first.span())
        } else {
            let was = first.noun.verb("Foi", "Foram");
            let seen = first.noun.participle("observad");
            format!("{was} {seen} {what}, {}.", first.between())
        };
    }
    if rest.len() >= 2 && dice.chance(700) {
        return sequence(first, rest);
    }
    let noun = *dice.pick(&["a presença", "a passagem"]);
    let parts: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(i, item)| {
            if i < 3 {
                format!("de {} ({})", item.noun.counted(), item.span())
            } else {
                format!("de {}", item.noun.counted())
            }
        })
        .collect();
    format!("Foi registrada {noun} {}.", list(&parts))
}

/// First this was registered, then that, and last the rest.
fn sequence(first: &Item, rest: &[Item]) -> String {
    let (last, middle) = rest.split_last().expect("a sequence has three items");
    let was = first.noun.verb("foi", "foram");
    let seen = first.noun.participle("registrad");
    let mut text = format!(
        "Inicialmente {was} {seen} {}, {}.",
        first.noun.counted(),
        first.between()
    );
    let was = joint_verb(middle, "foi", "foram");
    let seen = joint_participle(middle, "constatad");
    let _ = write!(
        text,
        " Posteriormente {was} {seen} {}.",
        list(&counted(middle))
    );
    let was = last.noun.verb("foi", "foram");
    let seen = last.noun.participle("anotad");
    let _ = write!(
        text,
        " Por último {was} {seen} {}, às {}.",
        last.noun.counted(),
        last.from
    );
    text
}

/// H: only these, and not those.
pub(super) fn contrast(story: &Story<'_>, dice: &mut Dice) -> String {
    let items = &story.items;
    let what = list(&counted(items));
    let absent = absent(story, dice);
    let [one, other] = [&absent[0], &absent[1]].map(|noun| noun.bare().to_owned());
    let first = &items[0];
    match dice.below(3) {
        0 => {
            let verb = joint_verb(items, "aparece", "aparecem");
            let from = &first.from;
            format!(
                "Apenas {what} {verb} na imagem, a partir das {from}; não há {one} nem {other}."
            )
        }
        1 => {
            let verb = joint_verb(items, "Vê-se", "Veem-se");
            let none = if absent[0].is_feminine() {
                "nenhuma"
            } else {
                "nenhum"
            };
            format!(
                "{verb} {what}, mas {none} {one}. Tudo começa às {}.",
                first.from
            )
        }
        _ => {
            let verb = joint_verb(items, "ocupa", "ocupam");
            let subject = capitalised(&what);
            format!(
                "{subject} {verb} a imagem, {}, sem {one} nem {other}.",
                first.between()
            )
        }
    }
}

/// Two frequent things, in the singular, that the detections do not support.
fn absent(story: &Story<'_>, dice: &mut Dice) -> [Noun; 2] {
    // The last four are in no world, so that two are always left.
    const FREQUENT: [&str; 12] = [
        "bus",
        "dog",
        "motorcycle",
        "truck",
        "bicycle",
        "cat",
        "train",
        "horse",
        "boat",
        "airplane",
        "sheep",
        "skateboard",
    ];
    let mut free: Vec<&str> = FREQUENT
        .into_iter()
        .filter(|label| !story.facts.supported.contains(*label))
        .collect();
    let mut take = || {
        let at = dice.below(u32::try_from(free.len()).expect("a short list")) as usize;
        let label = free.swap_remove(at);
        Noun::pick(label, 1, story.lexicon, 1000, dice).expect("the lexicon knows COCO")
    };
    [take(), take()]
}
