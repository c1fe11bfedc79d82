//! Corruptions: texts that a gate must not let pass as if nothing had changed.

use super::edits::{
    capitalised, counted, is_plural, like, none_of, noun_phrase, salad_of, sentences, splice,
    tidied,
};
use super::{Case, Output};
use crate::metric::claims::{self, Mention};
use crate::record::StopReason;
use crate::scene::lexicon::Label;

/// One way to spoil a text.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// What is done, in a few words.
    pub(super) what: &'static str,
    /// The spoiled text; `None` where the scene or the text offers nothing to spoil.
    pub(super) make: fn(&Case, &[Case]) -> Option<Output>,
    /// Whether the gated scores must catch it; the others are known blind spots.
    pub(super) must_be_caught: bool,
}

const fn must(
    name: &'static str,
    what: &'static str,
    make: fn(&Case, &[Case]) -> Option<Output>,
) -> Kind {
    Kind {
        name,
        what,
        make,
        must_be_caught: true,
    }
}

const fn blind(
    name: &'static str,
    what: &'static str,
    make: fn(&Case, &[Case]) -> Option<Output>,
) -> Kind {
    Kind {
        must_be_caught: false,
        ..must(name, what, make)
    }
}

pub(super) const KINDS: &[Kind] = &[
    must(
        "wrong count",
        "a number two above the possible ones",
        wrong_count,
    ),
    must(
        "label swap",
        "an object becomes one that is not there",
        label_swap,
    ),
    must(
        "invention, new sentence",
        "*Um cavalo também aparece.*",
        invention_behind,
    ),
    must(
        "invention, inside",
        "*e um cavalo* behind the first object",
        invention_inside,
    ),
    must(
        "object dropped",
        "every mention of a salient object becomes *algo*",
        dropped,
    ),
    must("denial", "an object becomes *nenhum …*", denial),
    must(
        "denial behind the objects",
        "*… não foram vistos* behind two of them",
        late_denial,
    ),
    must(
        "times shifted",
        "the times of a sentence moved to where its objects are not",
        shifted,
    ),
    must(
        "times swapped",
        "two sentences exchange their times",
        swapped_times,
    ),
    must(
        "order reversed",
        "*primeiro … depois …* against the order of appearance",
        reversed_order,
    ),
    must(
        "false emptiness",
        "the text says that nothing was there",
        false_emptiness,
    ),
    must(
        "text of another scene",
        "the reference of the next scene",
        other_scene,
    ),
    must("English", "what is there, in English", english),
    must(
        "truncation",
        "the first 60 %, ended by the token limit",
        truncated,
    ),
    must("loop", "the last sentence six times", looped),
    must(
        "generic sentence",
        "*A cena mostra o local filmado pela câmera.*",
        generic,
    ),
    must("raw detections", "the events as JSON", raw_events),
    must("empty", "no text at all", |_, _| Some(String::new().into())),
    must("word salad", "the words in random order", salad),
    blind(
        "word salad, tidied",
        "the same in lower case without marks, one capital and one full stop",
        tidied_salad,
    ),
    blind(
        "typos in other words",
        "two letters swapped in every long word that is no object",
        typos,
    ),
    blind(
        "agreement errors",
        "articles of the other gender",
        agreement,
    ),
];

/// The label of a mention.
fn label(case: &Case, mention: &Mention) -> &'static Label {
    case.lexicon
        .label(&mention.key)
        .expect("a mention of a label")
}

/// Mentions of salient labels that no other mention covers.
fn salient(case: &Case) -> Vec<Mention> {
    let mut mentions = case.mentions();
    mentions.retain(|mention| case.facts.salient.contains(&mention.key));
    mentions
}

/// Replaces the noun phrase of a mention.
fn replaced(case: &Case, mention: &Mention, with: &str) -> String {
    let span = noun_phrase(&case.clean, mention);
    let old = &case.clean[span.0..span.1];
    splice(&case.clean, vec![(span, like(old, with))])
}

fn wrong_count(case: &Case, _: &[Case]) -> Option<Output> {
    let (mention, hi) = case.mentions().into_iter().find_map(|mention| {
        let hi = case.facts.counts.get(&mention.key)?.hi?;
        mention.implied.is_empty().then_some((mention, hi))
    })?;
    let with = counted(hi + 2, label(case, &mention));
    Some(replaced(case, &mention, &with).into())
}

fn label_swap(case: &Case, _: &[Case]) -> Option<Output> {
    let mention = case.mentions().into_iter().next()?;
    let stranger = case.stranger();
    let noun = &stranger.canon[usize::from(is_plural(&mention, label(case, &mention)))];
    let noun = like(&mention.surface, noun);
    Some(splice(&case.clean, vec![(mention.span, noun)]).into())
}

fn invention_behind(case: &Case, _: &[Case]) -> Option<Output> {
    let invented = capitalised(&counted(1, case.stranger()));
    Some(format!("{} {invented} também aparece no local.", case.clean).into())
}

fn invention_inside(case: &Case, _: &[Case]) -> Option<Output> {
    let at = case.mentions().first()?.span.1;
    let invented = format!(" e {}", counted(1, case.stranger()));
    Some(splice(&case.clean, vec![((at, at), invented)]).into())
}

fn dropped(case: &Case, _: &[Case]) -> Option<Output> {
    let lost = salient(case).first()?.key.clone();
    let claims = claims::read(&case.clean, case.facts.time_base, case.lexicon);
    let names = |mention: &&Mention| {
        mention
            .labels
            .iter()
            .chain(&mention.implied)
            .any(|label| *label == lost)
    };
    let edit = |mention: &Mention| (noun_phrase(&case.clean, mention), "algo".to_owned());
    let edits = claims.mentions().filter(names).map(edit).collect();
    Some(splice(&case.clean, edits).into())
}

fn denial(case: &Case, _: &[Case]) -> Option<Output> {
    let mention = salient(case).into_iter().next()?;
    Some(replaced(case, &mention, &none_of(label(case, &mention))).into())
}

/// `mm:ss` from the start, or `hh:mm` of the day: as the clean text writes it.
fn clock(case: &Case, old: &str, at_s: f64) -> Option<String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times inside a video"
    )]
    let at_s = at_s.round() as u64;
    let is_clock = old.len() == 5 && old.as_bytes()[2] == b':';
    let clock = match case.facts.time_base {
        crate::scene::facts::TimeBase::Offset => at_s,
        crate::scene::facts::TimeBase::WallClock { start_s } => {
            (at_s + u64::from(start_s)) / 60 % (24 * 60)
        }
    };
    is_clock.then(|| format!("{:02}:{:02}", clock / 60, clock % 60))
}

/// Seconds at which nothing that a sentence names was there, far from every span.
fn elsewhere(case: &Case, sentence: &claims::Sentence) -> Option<f64> {
    let named = sentence.mentions.iter();
    let named = named.flat_map(|mention| mention.labels.iter().chain(&mention.implied));
    let spans: Vec<(f64, f64)> = named
        .filter_map(|label| Some(case.facts.seen(label)?.span_s))
        .collect();
    let far_s = if case.facts.time_base.is_offset() {
        5.0
    } else {
        130.0
    };
    let is_free = |at: &f64| {
        spans
            .iter()
            .all(|&(a, b)| *at < a - far_s || *at > b + far_s)
    };
    let steps = (0u32..40).map(|step| case.facts.duration_s * f64::from(step) / 40.0);
    let mut free = steps.filter(is_free);
    (!spans.is_empty()).then(|| free.next())?
}

fn shifted(case: &Case, _: &[Case]) -> Option<Output> {
    let claims = claims::read(&case.clean, case.facts.time_base, case.lexicon);
    claims.sentences.iter().find_map(|sentence| {
        let time = sentence.times.first()?;
        let at_s = elsewhere(case, sentence)?;
        let with = clock(case, &time.surface, at_s)?;
        Some(splice(&case.clean, vec![(time.span, with)]).into())
    })
}

fn swapped_times(case: &Case, _: &[Case]) -> Option<Output> {
    let claims = claims::read(&case.clean, case.facts.time_base, case.lexicon);
    let spans = |sentence: &claims::Sentence| -> Vec<(f64, f64)> {
        let labels = sentence
            .mentions
            .iter()
            .flat_map(|m| m.labels.iter().chain(&m.implied));
        labels
            .filter_map(|label| Some(case.facts.seen(label)?.span_s))
            .collect()
    };
    let timed: Vec<_> = claims
        .sentences
        .iter()
        .filter(|s| !s.times.is_empty())
        .collect();
    let slack_s = if case.facts.time_base.is_offset() {
        2.0
    } else {
        60.0
    };
    let is_out = |at_s: f64, sentence| {
        let spans = spans(sentence);
        let outside = |&(a, b): &(f64, f64)| at_s < a - slack_s || at_s > b + slack_s;
        !spans.is_empty() && spans.iter().all(outside)
    };
    for (i, one) in timed.iter().enumerate() {
        for other in &timed[i + 1..] {
            let (a, b) = (&one.times[0], &other.times[0]);
            if is_out(b.at_s, one) || is_out(a.at_s, other) {
                let edits = vec![(a.span, b.surface.clone()), (b.span, a.surface.clone())];
                return Some(splice(&case.clean, edits).into());
            }
        }
    }
    None
}

fn reversed_order(case: &Case, _: &[Case]) -> Option<Output> {
    let mut labels: Vec<(&String, f64)> = case
        .facts
        .salient
        .iter()
        .filter_map(|label| Some((label, case.facts.seen(label)?.span_s.0)))
        .collect();
    labels.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (latest, earliest) = (labels.first()?.1, labels.last()?.1);
    if latest - earliest <= 2.0 {
        return None;
    }
    let tell = |(i, (label, _)): (usize, &(&String, f64))| {
        let label = case.lexicon.label(label)?;
        let opening = if i == 0 { "Primeiro" } else { "Depois" };
        let n = case
            .facts
            .labels
            .get(&label.coco)
            .map_or(1, |seen| seen.max_at_once);
        Some(format!("{opening} aparece {}.", counted(n, label)))
    };
    let told: Option<Vec<String>> = labels.iter().enumerate().map(tell).collect();
    Some(told?.join(" ").into())
}

fn false_emptiness(case: &Case, _: &[Case]) -> Option<Output> {
    let is_false = !case.facts.is_empty();
    is_false.then(|| {
        "O local permaneceu vazio durante todo o vídeo."
            .to_owned()
            .into()
    })
}

fn other_scene(case: &Case, all: &[Case]) -> Option<Output> {
    let others = all.iter().cycle().skip(case.index + 1).take(all.len());
    // Of scenes with the same objects a text may be right.
    let mut others = others.filter(|other| other.facts.salient != case.facts.salient);
    Some(others.next()?.clean.clone().into())
}

fn english(case: &Case, _: &[Case]) -> Option<Output> {
    let seen: Vec<String> = case
        .facts
        .salient
        .iter()
        .map(|label| {
            match case
                .facts
                .labels
                .get(label)
                .map_or(1, |seen| seen.max_at_once)
            {
                1 => format!("one {label}"),
                n => format!("{n} {label}s"),
            }
        })
        .collect();
    let text = if seen.is_empty() {
        "Nothing happened in front of the camera during the whole video.".to_owned()
    } else {
        format!(
            "The camera shows {} moving through the scene during the video.",
            seen.join(" and ")
        )
    };
    Some(text.into())
}

fn truncated(case: &Case, _: &[Case]) -> Option<Output> {
    let n = case.clean.chars().count() * 3 / 5;
    let text = case.clean.chars().take(n).collect();
    let stop = StopReason::MaxTokens;
    Some(Output { text, stop })
}

fn looped(case: &Case, _: &[Case]) -> Option<Output> {
    let last = *sentences(&case.clean).last()?;
    Some(format!("{} {}", case.clean, [last; 5].join(" ")).into())
}

fn generic(_: &Case, _: &[Case]) -> Option<Output> {
    Some(
        "A cena mostra o local filmado pela câmera."
            .to_owned()
            .into(),
    )
}

fn salad(case: &Case, _: &[Case]) -> Option<Output> {
    Some(salad_of(&case.clean, case.index).into())
}

fn tidied_salad(case: &Case, _: &[Case]) -> Option<Output> {
    Some(tidied(&salad_of(&case.clean, case.index)).into())
}

fn raw_events(case: &Case, _: &[Case]) -> Option<Output> {
    let text = serde_json::to_string(&case.scene.analytic).ok()?;
    Some(text.into())
}

fn late_denial(case: &Case, _: &[Case]) -> Option<Output> {
    let mentions = salient(case);
    let [one, other, ..] = mentions.as_slice() else {
        return None;
    };
    let nouns = [one, other].map(|mention| {
        let label = label(case, mention);
        counted(case.facts.counts[&label.coco].lo.max(1), label)
    });
    let text = format!(
        "{} {} e {} não foram vistos.",
        case.clean,
        capitalised(&nouns[0]),
        nouns[1]
    );
    Some(text.into())
}

fn typos(case: &Case, _: &[Case]) -> Option<Output> {
    let mentions = case.mentions();
    let is_object = |at: usize| mentions.iter().any(|m| (m.span.0..m.span.1).contains(&at));
    let mut text: Vec<char> = Vec::new();
    let mut word: Vec<(usize, char)> = Vec::new();
    for (at, c) in case.clean.char_indices().chain([(case.clean.len(), ' ')]) {
        if c.is_alphabetic() {
            word.push((at, c));
            continue;
        }
        let is_spoiled = word.len() >= 6 && !is_object(word[0].0);
        if is_spoiled {
            let (a, b) = (word[2].1, word[3].1);
            (word[2].1, word[3].1) = (b, a);
        }
        text.extend(word.drain(..).map(|(_, c)| c));
        text.push(c);
    }
    let text: String = text.into_iter().collect();
    let text = text.trim_end().to_owned();
    (text != case.clean).then(|| text.into())
}

fn agreement(case: &Case, _: &[Case]) -> Option<Output> {
    let swap = |word: &str| {
        let pairs = [
            ("um", "uma"),
            ("o", "a"),
            ("os", "as"),
            ("dois", "duas"),
            ("do", "da"),
            ("no", "na"),
        ];
        let lower = word.to_lowercase();
        let other = pairs.iter().find_map(|&(m, f)| match lower.as_str() {
            is if is == m => Some(f),
            is if is == f => Some(m),
            _ => None,
        })?;
        Some(like(word, other))
    };
    let words = case
        .clean
        .split(' ')
        .map(|word| swap(word).unwrap_or_else(|| word.to_owned()));
    let text = words.collect::<Vec<_>>().join(" ");
    (text != case.clean).then(|| text.into())
}
