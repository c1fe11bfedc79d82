//! Whole generated scenes: world, detections, what is known, references, keywords, slices.

use std::collections::BTreeMap;

use super::Scene;
use super::dice::Dice;
use super::facts::Facts;
use super::lexicon::BUILT_IN;
use super::slice::slices;
use super::telling::{Family, tell};
use super::world::{self, Profile};

/// Version of worlds and templates; raised whenever the same arguments give other bytes.
pub const VERSION: &str = "1";
/// Name of the stream that generated sets draw their scenes from.
pub const STREAM: &str = "cenas-pt";
/// Share of scenes that may be left out before the generator itself is at fault.
pub const MAX_LEFT_OUT: f64 = 0.05;

/// What to generate.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Seed of worlds and texts.
    pub seed: u64,
    /// Name of the stream; part of every draw.
    pub purpose: &'a str,
    /// Families of the references.
    pub families: &'a [Family],
}

/// Generated scenes, and how many were left out.
#[derive(Debug)]
pub struct Made {
    /// The scenes, by index.
    pub scenes: Vec<Scene>,
    /// Indices whose noise contradicts the world or whose references are not accepted.
    pub left_out: Vec<u64>,
}

/// Makes `n` scenes, leaving out those that contradict themselves.
///
/// * `accepts`: whether a reference of the scene is true to it
pub fn make(n: usize, order: &Order<'_>, accepts: &dyn Fn(&Scene, &str) -> bool) -> Made {
    let mut made = Made {
        scenes: Vec::new(),
        left_out: Vec::new(),
    };
    // Ends because few scenes are left out: at worst one in twenty, far from all.
    for index in 0.. {
        if made.scenes.len() >= n || made.left_out.len() > n + 20 {
            break;
        }
        let scene = scene(order, index);
        match scene.filter(|scene| scene.references.iter().all(|text| accepts(scene, text))) {
            Some(scene) => made.scenes.push(scene),
            None => made.left_out.push(index),
        }
    }
    made
}

/// Scene `index` of an order; `None` when the detector's noise contradicts its world.
pub fn scene(order: &Order<'_>, index: u64) -> Option<Scene> {
    let &Order {
        seed,
        purpose,
        families,
    } = order;
    let profile = Profile::scheduled(seed, purpose, index);
    let staged = world::stage(seed, purpose, index, profile)?;
    let letters: Vec<&str> = families.iter().map(|family| family.letter()).collect();
    let source = [
        ("dataset", "synthetic".to_owned()),
        ("license", "MIT OR Apache-2.0".to_owned()),
        ("generator", format!("vv-eval scenes generate {VERSION}")),
        ("seed", seed.to_string()),
        ("index", index.to_string()),
        ("families", letters.join(",")),
    ];
    let mut scene = Scene {
        id: format!("gen-{index:04}"),
        analytic: staged.analytic,
        time_base: staged.time_base,
        facts: staged.facts,
        source: BTreeMap::from(source.map(|(key, value)| (key.to_owned(), value))),
        ..Scene::default()
    };
    let facts = Facts::of_scene(&scene, &BUILT_IN);
    let mut dice = world::stream(seed, purpose, index, "text");
    scene.references = references(&facts, profile.is_portuguese, families, &mut dice);
    scene.keywords = keywords(&facts);
    scene.slices = slices(&scene, &facts, &BUILT_IN)
        .into_iter()
        .map(str::to_owned)
        .collect();
    if profile.is_night {
        scene.slices.push("night".to_owned());
        scene.slices.sort_unstable();
    }
    Some(scene)
}

/// Two texts, of different families where there are two.
fn references(
    facts: &Facts,
    is_portuguese: bool,
    families: &[Family],
    dice: &mut Dice,
) -> Vec<String> {
    let n = u32::try_from(families.len()).expect("there are eight families");
    let first = dice.below(n);
    let second = if n > 1 {
        (first + 1 + dice.below(n - 1)) % n
    } else {
        first
    };
    let mut texts: Vec<String> = Vec::new();
    for at in [first, second] {
        let family = families[at as usize];
        // A second draw of one family may come out the same.
        let text = (0..20)
            .map(|_| tell(facts, is_portuguese, &BUILT_IN, family, dice))
            .find(|text| !texts.contains(text));
        texts.extend(text);
    }
    texts
}

/// Canonical singular nouns of what must be told.
fn keywords(facts: &Facts) -> Vec<String> {
    facts
        .salient
        .iter()
        .filter_map(|label| Some(BUILT_IN.label(label)?.canon[0].clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_whole_and_independent_of_their_number() {
        let order = Order {
            seed: 7,
            purpose: "t",
            families: &Family::RELEASED,
        };
        let few = make(6, &order, &|_, _| true);
        let many = make(25, &order, &|_, _| true);
        assert_eq!(few.scenes[..], many.scenes[..6]);
        for scene in &many.scenes {
            assert_eq!(scene.references.len(), 2, "{}", scene.id);
            assert_ne!(scene.references[0], scene.references[1]);
            assert!(!scene.slices.is_empty(), "{}", scene.id);
        }
    }

    #[test]
    fn scenes_whose_references_are_refused_are_left_out_and_counted() {
        let order = Order {
            seed: 7,
            purpose: "t",
            families: &Family::RELEASED,
        };
        let made = make(10, &order, &|scene, _| scene.id != "gen-0003");
        assert!(made.left_out.contains(&3));
        assert_eq!(made.scenes.len(), 10);
    }
}
