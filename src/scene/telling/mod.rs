//! Portuguese reference summaries from detections and facts, in families that differ in plan,
//! syntax and vocabulary.
//!
//! Models are trained on families A–D, checks during development use E, released scene sets F–H:
//! a model tuned to its templates gains nothing on them.

mod held_out;
mod noun;
mod training;

use std::str::FromStr;

use super::dice::Dice;
use super::facts::{Facts, TimeBase};
use super::lexicon::Lexicon;
use super::prompt::clock;
use noun::Noun;

/// A way of telling a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Overview with counts, then one sentence per label with its span.
    A,
    /// Chronological: first, then, finally.
    B,
    /// One sentence with subordinate clauses.
    C,
    /// Times first.
    D,
    /// People first, then vehicles, then the rest.
    E,
    /// Duration and presence.
    F,
    /// Passive register of a report.
    G,
    /// Contrast and absence.
    H,
}

impl Family {
    /// Families that models may be trained on.
    pub const TRAINING: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];
    /// The family of checks during development.
    pub const DEVELOPMENT: Self = Self::E;
    /// Families of released scene sets; never trained on.
    pub const RELEASED: [Self; 3] = [Self::F, Self::G, Self::H];
    /// Every family.
    pub const ALL: [Self; 8] = [
        Self::A,
        Self::B,
        Self::C,
        Self::D,
        Self::E,
        Self::F,
        Self::G,
        Self::H,
    ];

    /// The letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
            Self::F => "F",
            Self::G => "G",
            Self::H => "H",
        }
    }
}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|family| family.letter() == text)
            .ok_or_else(|| UnknownFamily(text.to_owned()))
    }
}

/// A word that names no family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no template family, expected one of A to H")]
pub struct UnknownFamily(pub String);

/// What a label is, for the plan of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    People,
    Vehicles,
    Others,
}

fn group(label: &str) -> Group {
    match label {
        "person" => Group::People,
        "car" | "truck" | "bus" | "motorcycle" | "bicycle" | "train" => Group::Vehicles,
        _ => Group::Others,
    }
}

/// One thing to tell.
#[derive(Debug, Clone)]
struct Item {
    noun: Noun,
    group: Group,
    /// Clock text of the first and the last detection.
    from: String,
    to: String,
    /// Seconds between them, rounded down.
    length_s: i64,
    /// Share of the video between them.
    share: f64,
}

impl Item {
    /// `entre 00:10 e 00:40`, or `às 00:10` when both are the same.
    fn between(&self) -> String {
        if self.from == self.to {
            format!("às {}", self.from)
        } else {
            format!("entre {} e {}", self.from, self.to)
        }
    }

    /// `das 00:10 às 00:40`, or `às 00:10`.
    fn span(&self) -> String {
        if self.from == self.to {
            format!("às {}", self.from)
        } else {
            format!("de {} a {}", self.from, self.to)
        }
    }
}

/// What is told of a scene.
struct Story<'a> {
    /// At least one thing, by first time, then by label as it stands in the detections.
    items: Vec<Item>,
    facts: &'a Facts,
    lexicon: &'a Lexicon,
}

/// Tells a scene in one family.
///
/// * `facts`: of the scene, with its time base and what is known of it
/// * `is_portuguese`: whether the detections carry Portuguese labels; the prompt sorts by them
/// * `dice`: chooses among equal wordings; the same stream gives the same text
///
/// Every label that the detections show in two frames is named, be it right or a mistake of the
/// detector: a reader of the detections cannot tell. A face is told as its person.
pub fn tell(
    facts: &Facts,
    is_portuguese: bool,
    lexicon: &Lexicon,
    family: Family,
    dice: &mut Dice,
) -> String {
    // Trained texts keep to one word for most things; held-out ones vary it.
    let plain = if Family::TRAINING.contains(&family) {
        800
    } else {
        450
    };
    let items = items(facts, is_portuguese, lexicon, plain, dice);
    if items.is_empty() {
        return match family {
            Family::A | Family::B | Family::C | Family::D => training::empty(family).to_owned(),
            _ => held_out::empty(family, facts, dice),
        };
    }
    let story = Story {
        items,
        facts,
        lexicon,
    };
    match family {
        Family::A => training::overview(&story.items, dice),
        Family::B => training::chronicle(&story.items, dice),
        Family::C => training::one_sentence(&story.items, dice),
        Family::D => training::times_first(&story.items, dice),
        Family::E => held_out::by_group(&story.items, dice),
        Family::F => held_out::presence(&story.items, dice),
        Family::G => held_out::report(&story.items, dice),
        Family::H => held_out::contrast(&story, dice),
    }
}

/// Labels to tell: those seen in two frames, or all when none is.
pub fn told(facts: &Facts) -> Vec<&str> {
    let needed = 2.min(facts.frames_s.len());
    let seen = |needed: usize| -> Vec<&str> {
        facts
            .labels
            .iter()
            .filter(|(_, seen)| seen.n_frames >= needed)
            .map(|(label, _)| label.as_str())
            .collect()
    };
    let mut labels = seen(needed);
    if labels.is_empty() {
        labels = seen(1);
    }
    // The person behind a face is told by the person's own detections, where there are any.
    if labels.contains(&"face") {
        labels.retain(|label| *label != "face" && *label != "person");
        labels.push(if facts.labels.contains_key("person") {
            "person"
        } else {
            "face"
        });
    }
    labels
}

fn items(
    facts: &Facts,
    is_portuguese: bool,
    lexicon: &Lexicon,
    plain: u32,
    dice: &mut Dice,
) -> Vec<Item> {
    let written = |label: &str| match lexicon.label(label) {
        Some(entry) if is_portuguese => entry.canon[0].clone(),
        _ => label.to_owned(),
    };
    let mut labels = told(facts);
    labels.sort_by(|a, b| {
        let first = |label: &str| facts.labels[label].span_s.0;
        first(a)
            .total_cmp(&first(b))
            .then_with(|| written(a).cmp(&written(b)))
    });
    labels
        .into_iter()
        .filter_map(|label| item(facts, label, lexicon, plain, dice))
        .collect()
}

fn item(
    facts: &Facts,
    label: &str,
    lexicon: &Lexicon,
    plain: u32,
    dice: &mut Dice,
) -> Option<Item> {
    let seen = &facts.labels[label];
    let label = if label == "face" { "person" } else { label };
    let n = match facts.counts.get(label) {
        Some(range) => seen
            .max_at_once
            .max(range.lo)
            .min(range.hi.unwrap_or(u32::MAX)),
        None => seen.max_at_once,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "videos last hours, not aeons"
    )]
    let [from_ms, to_ms] = [seen.span_s.0, seen.span_s.1].map(|s| (s * 1000.0).round() as i64);
    Some(Item {
        noun: Noun::pick(label, n.max(1), lexicon, plain, dice)?,
        group: group(label),
        from: at(facts.time_base, from_ms),
        to: at(facts.time_base, to_ms),
        length_s: (to_ms - from_ms) / 1000,
        share: (seen.span_s.1 - seen.span_s.0) / facts.duration_s,
    })
}

/// `mm:ss` from the start, or `hh:mm` of the day; both rounded down.
fn at(time_base: TimeBase, ms: i64) -> String {
    match time_base {
        TimeBase::Offset => clock(ms),
        TimeBase::WallClock { start_s } => {
            let minute = (i64::from(start_s) + ms.div_euclid(1000)) / 60;
            format!("{:02}:{:02}", minute / 60 % 24, minute % 60)
        }
    }
}

fn counted(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.noun.counted()).collect()
}

/// The verb for all items as one subject.
fn joint_verb<'a>(items: &[Item], singular: &'a str, plural: &'a str) -> &'a str {
    match items {
        [one] => one.noun.verb(singular, plural),
        _ => plural,
    }
}

/// The participle for all items as one subject: masculine unless all are feminine.
fn joint_participle(items: &[Item], stem: &str) -> String {
    let is_feminine = items.iter().all(|item| item.noun.is_feminine());
    let is_plural = items.len() > 1 || items[0].noun.is_plural();
    noun::participle(stem, is_feminine, is_plural)
}

#[cfg(test)]
mod tests;
