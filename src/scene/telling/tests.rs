use std::collections::BTreeSet;

use super::super::Scene;
use super::super::lexicon::BUILT_IN;
use super::super::world::{self, Profile};
use super::*;

fn facts(seed: u64, n: u64) -> Vec<(Facts, bool)> {
    (0..n)
        .filter_map(|i| {
            let profile = Profile::scheduled(seed, "telling", i);
            let staged = world::stage(seed, "telling", i, profile)?;
            let scene = Scene {
                analytic: staged.analytic,
                time_base: staged.time_base,
                facts: staged.facts,
                ..Scene::default()
            };
            Some((Facts::of_scene(&scene, &BUILT_IN), profile.is_portuguese))
        })
        .collect()
}

#[test]
fn every_family_tells_every_scene_in_its_own_way() {
    for (i, (facts, is_portuguese)) in facts(9, 60).iter().enumerate() {
        let mut texts = BTreeSet::new();
        for family in Family::ALL {
            let mut dice = Dice::stream(9, &format!("telling {i}"));
            let text = tell(facts, *is_portuguese, &BUILT_IN, family, &mut dice);
            let n = text.chars().count();
            assert!((20..=600).contains(&n), "{n} characters: {text}");
            assert!(text.ends_with('.') && !text.contains("  "), "{text}");
            texts.insert(text);
        }
        assert_eq!(texts.len(), 8, "{texts:#?}");
    }
}

#[test]
fn the_same_stream_tells_the_same() {
    let (facts, _) = &facts(9, 8)[7];
    let told = |name| {
        tell(
            facts,
            false,
            &BUILT_IN,
            Family::H,
            &mut Dice::stream(1, name),
        )
    };
    assert_eq!(told("a"), told("a"));
}

#[test]
fn letters_name_families() {
    assert_eq!("G".parse(), Ok(Family::G));
    assert_eq!("Z".parse::<Family>(), Err(UnknownFamily("Z".into())));
}

#[test]
fn times_of_day_pass_midnight() {
    let night = TimeBase::WallClock { start_s: 86_280 };
    assert_eq!(at(night, 60_000), "23:59");
    assert_eq!(at(night, 120_000), "00:00");
    assert_eq!(at(TimeBase::Offset, 119_900), "01:59");
}
