//! Where such checkers go wrong, each cure with its example, and the limits that stay.

use super::*;

/// The rules that `text` breaks in scene W, what is missing left out.
#[track_caller]
fn breaks(text: &str, rules: &[Rule]) {
    let errors = of(text, &scene_w()).errors;
    let found: Vec<Rule> = errors
        .iter()
        .map(|error| error.rule)
        .filter(|rule| *rule != Rule::Missing)
        .collect();
    assert_eq!(found, rules, "{text}: {errors:?}");
}

#[test]
fn words_that_folding_turns_into_things() {
    for text in [
        "Faça o favor de esperar dois metros adiante.",
        "A maca e a seda estão na taca.",
        "O piá olha.",
    ] {
        breaks(text, &[]);
    }
    breaks(
        "Uma faca e um metrô.",
        &[Rule::Hallucination, Rule::Hallucination],
    );
    breaks("uma maçã", &[Rule::Hallucination]);
}

#[test]
fn ambiguous_words_are_no_inventions_but_are_named() {
    for text in [
        "Um banco fica vazio.",
        "O monitor e a planta aparecem.",
        "O segurança observa a face do prédio.",
        "Alguém come um lanche junto ao forno.",
    ] {
        breaks(text, &[]);
    }
    let bench = scene(60.0, &[("bench", 0, 60, 2, 1, 0.9)]);
    check(
        &bench,
        "Um banco fica vazio.",
        &[],
        &[("object_recall", 1.0)],
    );
}

#[test]
fn stop_surfaces_and_colours_are_no_things() {
    for text in [
        "O banco de dados e a sala de jantar.",
        "Uma bicicleta laranja e um caminhão de cor laranja.",
        "Uma pessoa de camiseta laranja espera no ponto de ônibus.",
        "Uma pessoa passa pela faixa de pedestres com o porta-malas aberto.",
        "Uma pessoa perto do semáforo de pedestres",
    ] {
        let found = of(text, &scene_w());
        let invented: Vec<String> = found
            .errors
            .iter()
            .filter(|error| error.rule == Rule::Hallucination)
            .map(shown)
            .collect();
        let lights = text.contains("semáforo");
        assert_eq!(invented.len(), usize::from(lights), "{text}: {invented:?}");
    }
    breaks("Uma laranja rola.", &[Rule::Hallucination]);
}

#[test]
fn wider_words_cover_what_they_may_mean() {
    for text in [
        "Uma picape passa.",
        "Um furgão passa.",
        "Dois veículos passam.",
        "Um bicho passa.",
    ] {
        breaks(text, &[]);
    }
    breaks("Três veículos passam.", &[Rule::Count]);
    breaks("Uma ambulância passa.", &[]);
    breaks("Uma bagagem fica.", &[Rule::Hallucination]);
}

#[test]
fn counts_inside_the_possible_numbers_are_right() {
    let mut open = scene_w();
    open.facts = KnownFacts::default();
    let text = "Nove pessoas, uma bicicleta e um caminhão aparecem.";
    check(&open, text, &[], &[("count_accuracy", 1.0)]);
    let text = "Uma única pessoa, uma bicicleta e um caminhão aparecem.";
    check(&open, text, &["count pessoa 1/2 or more"], &[]);
}

#[test]
fn parts_of_a_whole_are_no_totals() {
    let three = with_tracks(
        scene(60.0, &[("person", 0, 60, 2, 3, 0.9)]),
        &[("person", 3)],
    );
    for text in [
        "Um homem e duas mulheres conversam.",
        "Uma pessoa espera; depois chegam mais duas pessoas.",
        "Uma pessoa espera com duas outras pessoas.",
    ] {
        check(&three, text, &[], &[("count_accuracy", 1.0)]);
    }
    check(
        &three,
        "Duas mulheres conversam.",
        &["count mulheres 2/3"],
        &[],
    );
    check(
        &three,
        "Um homem e quatro mulheres conversam.",
        &["count mulheres 4 or more/3"],
        &[],
    );
}

#[test]
fn denials_before_and_right_behind_the_thing() {
    breaks("Não há trens, barcos nem cavalos.", &[]);
    breaks("Não foram vistos caminhões.", &[Rule::Contradiction]);
    breaks(
        "O caminhão não foi visto e duas pessoas passaram.",
        &[Rule::Contradiction],
    );
    breaks("Sem alarde, três ônibus passam.", &[Rule::Hallucination]);
    breaks("Nada foi visto, exceto duas malas.", &[Rule::Hallucination]);
    breaks("Não há carros, mas um caminhão passa.", &[]);
    breaks("Zero caminhões passaram.", &[Rule::Contradiction]);
    breaks("O caminhão não aparece mais depois disso.", &[]);
    breaks("Um caminhão passa; não há outros veículos.", &[]);
    breaks("Um caminhão passa. Nenhum outro caminhão foi visto.", &[]);
    breaks("Não há outros veículos.", &[Rule::Contradiction]);
    // A limit: a negator of something else, without a comma.
    breaks("Passam sem parar duas pessoas.", &[Rule::Contradiction]);
}

#[test]
fn what_cannot_be_known_claims_nothing() {
    breaks("Ela sai com o outro.", &[]);
    breaks("A primeira das pessoas sai.", &[]);
    let found = of("Dois homens e uma biciclta.", &scene_w());
    assert_eq!(found.scores.unverifiable, Score::Value(1.0));
    assert_eq!(
        found.scores.object_recall,
        Score::Value(1.0 / 3.0),
        "typos are missing"
    );
}

#[test]
fn the_time_of_a_pronoun_is_held_against_any_detection() {
    breaks("Ela sai às 00:45.", &[]);
    breaks("Ela sai às 01:10.", &[Rule::Time]);
    breaks("O vídeo termina às 02:00.", &[]);
    breaks("O vídeo termina às 02:40.", &[Rule::Time]);
    breaks("Nada acontece às 01:10.", &[]);
}

#[test]
fn unknown_labels_require_nothing_and_are_counted() {
    let dragon = scene(60.0, &[("dragon", 0, 60, 2, 1, 0.9)]);
    let counted = [("unknown_labels", 31.0), ("object_recall", ABSENT)];
    check(&dragon, "Algo passa.", &[], &counted);
}

#[test]
fn order_is_claimed_by_words_and_not_by_sentences() {
    breaks("Um caminhão passa. Duas pessoas passam.", &[]);
    breaks(
        "Primeiro, um caminhão passa. Duas pessoas passam.",
        &[Rule::Order],
    );
    breaks("Duas pessoas passam. Por fim, um caminhão passa.", &[]);
    breaks(
        "Um caminhão passa às 01:30. Depois, às 00:20, duas pessoas passam.",
        &[],
    );
    breaks(
        "Um caminhão passa. Ao mesmo tempo, e depois, duas pessoas passam.",
        &[],
    );
    breaks("Um caminhão e, depois, duas pessoas passam.", &[]);
}

#[test]
fn faces_and_people_vouch_for_each_other() {
    let faces = scene(60.0, &[("face", 10, 20, 2, 1, 0.9)]);
    for text in ["Uma pessoa aparece às 00:15.", "Um rosto aparece às 00:15."] {
        check(&faces, text, &[], &[("object_recall", 1.0)]);
    }
    let wrong = ["time 00:40 40 s/8 to 22 s"];
    check(&faces, "Uma pessoa aparece às 00:40.", &wrong, &[]);
    check(
        &faces,
        "Nenhum rosto foi visto.",
        &["missing - -/person"],
        &[],
    );
}

#[test]
fn reasons_are_readable_and_complete() {
    let found = of(
        "Às 00:10, três pessoas e um cavalo. Nenhum caminhão.",
        &scene_w(),
    );
    let lines: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    let expected = [
        "count: `pessoas` says 3, the scene allows 2",
        "hallucination: `cavalo` says horse",
        "contradiction: `caminhão` says 0, the scene allows truck",
        "missing: bicycle",
        "missing: truck",
    ];
    assert_eq!(lines, expected);
    let json = serde_json::json!({"rule": "count", "sentence": 0, "span": [17, 24],
        "surface": "pessoas", "claimed": [3, 3], "allowed": [2, 2]});
    assert_eq!(found.errors[0].to_json(), json);
    let json = serde_json::json!({"rule": "missing", "sentence": null, "span": null,
        "surface": null, "claimed": null, "allowed": "bicycle"});
    assert_eq!(found.errors[3].to_json(), json);
}
