//! Whether the gate accepts a text as a summary of a scene, and how alike two texts are.
//!
//! What `scenes lint` and `scenes generate` hold references and must-fail texts against.

use super::facts;
use super::form::{Form, read_part};
use super::order::WordOrder;
use super::rouge::{Profile, References};
use crate::scene::lexicon::Lexicon;
use crate::scene::summary::ModelText;
use crate::scene::{Facts, Scene};

/// Why the gate rejects `text`: form flags by name, then factual errors; nothing if it accepts it.
pub fn rejects(scene: &Scene, text: &str, lexicon: &Lexicon) -> Vec<String> {
    let output = ModelText::read(text);
    let part = read_part(&output);
    let order = WordOrder::of(part, lexicon);
    let flags = Form::of(&output, None, &order, lexicon).flags();
    let facts = Facts::of_scene(scene, lexicon);
    let judgement = facts::judge(part, &facts, lexicon);
    let flags = flags.into_iter().map(str::to_owned);
    flags
        .chain(judgement.errors.iter().map(ToString::to_string))
        .collect()
}

/// F1 of ROUGE-L of two texts, in [0, 1].
pub fn similarity(a: &str, b: &str) -> f64 {
    References::new(&[a.to_owned()], Profile::Unicode)
        .score(b)
        .map_or(0.0, |rouge| rouge.rouge_l.f1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::analytic::{Analytic, Event};
    use crate::scene::lexicon::BUILT_IN;

    #[test]
    fn true_texts_are_accepted_and_others_say_why() {
        let event = |at_s| Event {
            frame_timestamp_seconds: at_s,
            event_type: "object_detection".into(),
            label: Some("dog".into()),
            confidence: 0.9,
            bounding_box: None,
        };
        let scene = Scene {
            analytic: Analytic {
                duration_seconds: 30.0,
                events: vec![event(4.0), event(6.0)],
                ..Analytic::default()
            },
            ..Scene::default()
        };
        let why = |text| rejects(&scene, text, &BUILT_IN);
        assert_eq!(why("Um cachorro passa às 00:04."), Vec::<String>::new());
        assert!(
            why("Um gato passa às 00:04.")
                .iter()
                .any(|why| why.starts_with("missing"))
        );
        assert_eq!(why("Um cachorro passa correndo"), ["truncated"]);
    }

    #[test]
    fn equal_texts_are_alike_and_others_less() {
        assert!((similarity("um cão passa", "Um cão passa.") - 1.0).abs() < 1e-12);
        assert!(similarity("um cão passa", "dois carros param") < 0.1);
    }
}
