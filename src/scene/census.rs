//! A set in figures: slices, labels, lengths of texts and videos, scenes that are nearly alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::facts::{Facts, PRESENT};
use super::lexicon::Lexicon;
use super::set::Scene;
use super::world::prior;

/// Shares of the quantiles that are shown.
const SHARES: [f64; 5] = [0.0, 0.1, 0.5, 0.9, 1.0];
/// First references more alike than this make their scenes near duplicates.
const NEAR: f64 = 0.95;
/// Near duplicates that are listed by name.
const MAX_LISTED: usize = 20;

/// Describes scenes as text.
///
/// * `similarity`: likeness of two texts in [0, 1]
pub fn describe(
    scenes: &[Scene],
    lexicon: &Lexicon,
    similarity: &dyn Fn(&str, &str) -> f64,
) -> String {
    let mut text = format!("{} scenes\n", scenes.len());
    let slices = scenes.iter().flat_map(|scene| &scene.slices);
    table(&mut text, "slices", &count(slices.cloned()));
    let facts: Vec<Facts> = scenes
        .iter()
        .map(|scene| Facts::of_scene(scene, lexicon))
        .collect();
    let labels = facts.iter().flat_map(|facts| &facts.salient);
    table(
        &mut text,
        "scenes that must name a label",
        &count(labels.cloned()),
    );

    text.push_str("\nquantiles                   min      10 %      50 %      90 %       max\n");
    let of = |value: &dyn Fn(&Scene) -> f64| scenes.iter().map(value).collect::<Vec<f64>>();
    let lengths = of(&|scene| scene.analytic.duration_seconds);
    row(&mut text, "length, s", lengths);
    cells(
        &mut text,
        "  of the captions' videos",
        SHARES.map(|share| Some(prior::duration_s(share))),
    );
    let present = |scene: &Scene| {
        let events = scene.analytic.events.iter();
        events.filter(|event| event.confidence >= PRESENT).count() as f64
    };
    row(&mut text, "events of 0.5 and more", of(&present));
    let told = facts
        .iter()
        .map(|facts| facts.salient.len() as f64)
        .collect();
    row(&mut text, "labels that must be named", told);
    let references = scenes.iter().flat_map(|scene| &scene.references);
    let (characters, words): (Vec<f64>, Vec<f64>) = references
        .map(|text| {
            (
                text.chars().count() as f64,
                text.split_whitespace().count() as f64,
            )
        })
        .unzip();
    row(&mut text, "characters of a reference", characters);
    row(&mut text, "words of a reference", words);
    near(&mut text, scenes, similarity);
    text
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn table(text: &mut String, title: &str, counts: &BTreeMap<String, usize>) {
    let _ = writeln!(text, "\n{title}");
    for (name, n) in counts {
        let _ = writeln!(text, "  {name:<20}{n:>6}");
    }
}

/// Quantiles by nearest rank.
fn row(text: &mut String, name: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index within the list"
        )]
        let at = (share * values.len().saturating_sub(1) as f64).round() as usize;
        values.get(at).copied()
    };
    cells(text, name, SHARES.map(at));
}

fn cells(text: &mut String, name: &str, values: [Option<f64>; 5]) {
    let _ = write!(text, "{name:<26}");
    for value in values {
        match value {
            Some(value) => {
                let _ = write!(text, "{value:>10.1}");
            }
            None => text.push_str("         –"),
        }
    }
    text.push('\n');
}

fn near(text: &mut String, scenes: &[Scene], similarity: &dyn Fn(&str, &str) -> f64) {
    let mut pairs = Vec::new();
    for (i, a) in scenes.iter().enumerate() {
        for b in &scenes[i + 1..] {
            let (Some(first), Some(second)) = (a.references.first(), b.references.first()) else {
                continue;
            };
            // Texts of very different lengths cannot be that alike.
            let (short, long) = (first.len().min(second.len()), first.len().max(second.len()));
            if 10 * short >= 8 * long && similarity(first, second) > NEAR {
                pairs.push((&a.id, &b.id));
            }
        }
    }
    let _ = writeln!(
        text,
        "\n{} pairs of scenes with nearly equal first references",
        pairs.len()
    );
    for (a, b) in pairs.iter().take(MAX_LISTED) {
        let _ = writeln!(text, "  {a}  {b}");
    }
    if pairs.len() > MAX_LISTED {
        let _ = writeln!(text, "  … and {} more", pairs.len() - MAX_LISTED);
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexicon::BUILT_IN;
    use super::super::synthetic::{Order, make};
    use super::super::telling::Family;
    use super::*;

    #[test]
    fn a_set_is_described_in_figures() {
        let order = Order {
            seed: 2,
            purpose: "census",
            families: &Family::RELEASED,
        };
        let mut scenes = make(12, &order, &|_, _| true).scenes;
        let mut twin = scenes[3].clone();
        twin.id = "twin".into();
        scenes.push(twin);
        let text = describe(&scenes, &BUILT_IN, &|a, b| f64::from(u8::from(a == b)));
        assert!(text.starts_with("13 scenes\n"), "{text}");
        assert!(text.contains("people-only") && text.contains("characters of a reference"));
        assert!(text.contains("gen-0003  twin"), "{text}");
        assert!(
            text.contains("10.0      22.0      71.0     330.0    1800.0"),
            "{text}"
        );
        assert!(!describe(&[], &BUILT_IN, &|_, _| 0.0).contains("NaN"));
    }
}
