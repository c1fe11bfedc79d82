//! What must hold for any text and any scene.

use proptest::prelude::*;

use super::*;
use crate::scene::lexicon::Label;

/// A scene in which `label` is seen all along, and nothing else.
fn only(label: &str) -> Scene {
    scene(60.0, &[(leak(label), 0, 60, 2, 2, 0.9)])
}

/// Labels of the lexicon live as long as the program.
fn leak(label: &str) -> &'static str {
    let own = BUILT_IN.label(label).expect("a COCO label");
    &own.coco
}

fn article(label: &Label) -> [&'static str; 2] {
    match label.gender {
        crate::scene::lexicon::Gender::Feminine => ["Uma", "Nenhuma"],
        crate::scene::lexicon::Gender::Masculine => ["Um", "Nenhum"],
    }
}

/// The rules a text breaks.
fn broken(text: &str, scene: &Scene) -> Vec<Rule> {
    of(text, scene)
        .errors
        .iter()
        .map(|error| error.rule)
        .collect()
}

#[test]
fn every_label_is_recognised_in_singular_and_plural_plain_and_denied() {
    let elsewhere = |label: &Label| {
        only(if label.coco == "boat" {
            "zebra"
        } else {
            "boat"
        })
    };
    for label in &BUILT_IN.labels {
        let [a, no] = article(label);
        let here = only(&label.coco);
        let there = elsewhere(label);
        for surface in label.singular.iter().chain(&label.plural) {
            let plain = [
                format!("{a} {surface} aparece no local."),
                format!("Vários {surface} aparecem no local."),
            ];
            for text in plain {
                let implied = label.coco != "face" && surface_implies(surface);
                let found = broken(&text, &here);
                let is_right = found.is_empty() || implied && found == [Rule::Hallucination];
                let is_collective = matches!(surface.as_str(), "casal" | "multidão" | "multidões");
                assert!(is_right || is_collective, "{text}: {found:?}");
                let found = of(&text, &there);
                let is_weak = found.scores.weak_unsupported.value() == Some(1.0);
                let is_invented = found.scores.hallucination_rate.value() == Some(1.0);
                assert!(is_weak || is_invented, "{text}");
            }
            let denied = [
                format!("{no} {surface} foi visto."),
                format!("Não há {surface} no local."),
                format!("O local está sem {surface}."),
            ];
            for text in denied {
                let expected: &[Rule] = match label.coco.as_str() {
                    // The person is asked for: a face may be out of sight.
                    "face" => &[Rule::Missing],
                    _ => &[Rule::Contradiction, Rule::Missing],
                };
                assert_eq!(broken(&text, &here), expected, "{text}");
                assert_eq!(broken(&text, &there), [Rule::Missing], "{text}");
            }
        }
    }
}

fn surface_implies(surface: &str) -> bool {
    let claims = claims::read(surface, TimeBase::Offset, &BUILT_IN);
    claims.mentions().any(|mention| !mention.implied.is_empty())
}

/// Texts put together from pieces that matter to the rules.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "duas pessoas",
        "Três",
        "um",
        "pessoa",
        "caminhão",
        "caminhões (4)",
        "bicicleta",
        "ônibus",
        "gato",
        "veículos",
        "cachorros",
        "não há",
        "nenhum",
        "sem",
        "nem",
        "mas",
        "apenas",
        "e",
        ",",
        ";",
        ".",
        "\n",
        "às 00:10",
        "às 01:20",
        "entre 00:05 e 00:50",
        "aos doze segundos",
        "durante dois minutos",
        "depois",
        "em seguida",
        "primeiro",
        "antes",
        "vazio",
        "ninguém",
        "pelo menos",
        "mais de",
        "vinte e",
        "grupo de",
        "laranja",
        "banco",
        "motoboy",
        "casal",
        "não foi visto",
        "outros",
        "câmera 3",
        "faça",
        "ca\u{303}es",
        "\u{202e}",
    ]);
    prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.join(" "))
}

fn scenes() -> impl Strategy<Value = Scene> {
    prop::sample::select(vec![
        scene_w(),
        empty(),
        wall_clock(),
        only("person"),
        only("dog"),
    ])
}

/// Scores that count errors, as numbers that grow with quality; absent ones left out.
fn quality(judgement: &Judgement, id: &str) -> Option<f64> {
    let by_id: BTreeMap<&str, Score> = judgement.scores().into_iter().collect();
    let sign = match id {
        "hallucination_rate" | "slot_error_rate" => -1.0,
        _ => 1.0,
    };
    by_id[id].value().map(|value| sign * value)
}

proptest! {
    #[test]
    fn scores_keep_their_ranges_and_spans_their_text(text in texts(), scene in scenes()) {
        let found = of(&text, &scene);
        for (id, score) in found.scores() {
            let Some(value) = score.value() else { continue };
            let top = match id {
                "slot_error_rate" | "accent_errors" | "unverifiable" | "weak_unsupported"
                | "unknown_labels" => f64::MAX,
                _ => 1.0,
            };
            prop_assert!((0.0..=top).contains(&value), "{id} is {value}");
        }
        for error in &found.errors {
            if let (Some((from, to)), Some(surface)) = (error.span, &error.surface) {
                prop_assert_eq!(&text[from..to], surface.as_str());
            }
        }
        prop_assert_eq!(found.is_ok(), found.scores.fact_ok == Score::Value(1.0));
    }

    #[test]
    fn an_unsupported_mention_never_helps(text in texts(), scene in scenes()) {
        let before = of(&text, &scene);
        for addition in [" Um cavalo aparece.", "\nVários aviões passam.", ". Há três zebras."] {
            let after = of(&format!("{text}{addition}"), &scene);
            for id in ["fact_ok", "hallucination_rate", "object_precision"] {
                // Where nothing was mentioned before, there was no precision to lose.
                let Some(earlier) = quality(&before, id) else { continue };
                let later = quality(&after, id).unwrap_or(f64::MAX);
                prop_assert!(later <= earlier, "{id} rose from {earlier} to {later}");
            }
        }
    }

    #[test]
    fn saying_nothing_never_helps(text in texts(), scene in scenes()) {
        let (said, silent) = (of(&text, &scene), of("", &scene));
        for id in ["fact_ok", "object_recall", "fact_score"] {
            let silence = quality(&silent, id).unwrap_or(0.0);
            let speech = quality(&said, id).unwrap_or(0.0);
            // `fact_score` of nothing is taken away by `valid`; the others are 0 by themselves.
            prop_assert!(id == "fact_score" || silence <= speech, "{id}: {silence} > {speech}");
        }
        prop_assert_eq!(silent.scores.fact_ok, Score::Value(0.0));
        prop_assert_eq!(
            said.scores.object_recall.value().is_some(),
            silent.scores.object_recall.value().is_some(),
            "whether recall applies may not depend on the text"
        );
    }

    #[test]
    fn normal_forms_are_judged_alike(text in texts(), scene in scenes()) {
        use unicode_normalization::UnicodeNormalization as _;
        let (composed, decomposed): (String, String) = (text.nfc().collect(), text.nfd().collect());
        let (a, b) = (of(&composed, &scene), of(&decomposed, &scene));
        prop_assert_eq!(a.scores, b.scores);
        prop_assert_eq!(a.errors.len(), b.errors.len());
    }

    #[test]
    fn how_detections_are_written_does_not_matter(text in texts(), seed in any::<u64>()) {
        let scene = scene_w();
        let mut other = scene.clone();
        let events = &mut other.analytic.events;
        // Some order, half of the events twice, Portuguese labels.
        events.sort_by_key(|event| {
            let at = event.frame_timestamp_seconds.to_bits();
            at.wrapping_mul(seed | 1).rotate_left(17) ^ event.confidence.to_bits()
        });
        let twice: Vec<Event> = events.iter().step_by(2).cloned().collect();
        events.extend(twice);
        for event in events.iter_mut() {
            let label = event.label.as_deref().and_then(|label| BUILT_IN.label(label));
            event.label = label.map(|label| label.canon[0].clone());
        }
        prop_assert_eq!(of(&text, &other), of(&text, &scene));
    }

    #[test]
    fn any_text_is_judged_without_panic(text in "\\PC{0,200}", scene in scenes()) {
        let found = of(&text, &scene);
        for error in found.errors {
            prop_assert!(error.span.is_none_or(|(from, to)| text.get(from..to).is_some()));
        }
    }
}

#[test]
fn hostile_texts_end_in_bounded_time() {
    let w = &scene_w();
    let start = std::time::Instant::now();
    for text in [
        "carro ".repeat(200_000),
        "não há um carro, ".repeat(10_000),
        "vinte e ".repeat(10_000),
        "00:10:".repeat(200_000),
        "1 minuto e ".repeat(100_000),
        "pessoa\u{301}\u{301}".repeat(50_000),
        "\u{301}".repeat(500_000),
        "a".repeat(1 << 20),
        "((((((((".repeat(100_000),
        "\u{202e}\u{0}\u{7f}\u{feff} pessoa".repeat(10_000),
        format!("{} pessoas", "9".repeat(1 << 20)),
        "depois carro. antes pessoa. ".repeat(10_000),
    ] {
        let found = of(&text, w);
        assert!(
            found
                .scores
                .slot_error_rate
                .value()
                .is_some_and(f64::is_finite)
        );
    }
    // A hundred times what it takes: quadratic work on a megabyte would need hours.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn what_lies_past_the_size_limit_is_not_read() {
    let filler = "palavra ".repeat(2100);
    let found = of(&format!("{filler} cavalo"), &scene_w());
    assert_eq!(found.scores.hallucination_rate, Score::Value(0.0));
    let cut = of(&"ã".repeat(10_000), &scene_w());
    assert_eq!(cut.errors.len(), 3, "cut between characters");
}
