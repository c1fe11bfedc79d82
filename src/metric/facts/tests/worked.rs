//! The worked examples of the specification, row by row.

use super::*;

#[test]
fn worked_examples_of_scene_w() {
    let w = &scene_w();
    check(
        w,
        "Duas pessoas surgem às 00:10 e uma bicicleta passa às 00:30. Um caminhão cruza a cena às \
         01:20.",
        &[],
        &[
            ("object_recall", 1.0),
            ("object_precision", 1.0),
            ("count_accuracy", 1.0),
            ("time_accuracy", 1.0),
            ("order_accuracy", ABSENT),
            ("slot_error_rate", 0.0),
            ("fact_score", 1.0),
        ],
    );
    check(
        w,
        "Três pessoas surgem às 00:10 e uma bicicleta passa às 00:30. Um caminhão cruza a cena às \
         01:20.",
        &["count pessoas 3/2"],
        &[("slot_error_rate", 1.0 / 7.0), ("count_accuracy", 0.0)],
    );
    check(
        w,
        "Duas pessoas surgem às 00:10 e um cavalo passa às 00:30. Um caminhão cruza a cena às \
         01:20.",
        &["hallucination cavalo horse/-", "missing - -/bicycle"],
        &[
            ("time_accuracy", 1.0),
            ("slot_error_rate", 2.0 / 7.0),
            ("object_recall", 2.0 / 3.0),
            ("object_precision", 2.0 / 3.0),
            ("hallucination_rate", 1.0),
        ],
    );
    check(
        w,
        "Duas pessoas surgem às 00:10 e uma bicicleta passa às 00:30. Nenhum caminhão cruza a cena.",
        &["contradiction caminhão 0/truck", "missing - -/truck"],
        &[("slot_error_rate", 2.0 / 6.0), ("hallucination_rate", 1.0)],
    );
    check(
        w,
        "Duas pessoas e um ciclista aparecem; depois, às 01:20, surge um ônibus.",
        &["hallucination ônibus bus/-", "missing - -/truck"],
        &[("slot_error_rate", 2.0 / 5.0)],
    );
    check(
        w,
        "Um caminhão aparece. Em seguida, duas pessoas e uma bicicleta passam.",
        &[
            "order pessoas truck before person/person before truck",
            "order bicicleta truck before bicycle/bicycle before truck",
        ],
        &[
            ("slot_error_rate", 0.0),
            ("order_accuracy", 0.0),
            ("fact_score", 1.0 - 2.0 / 5.0),
        ],
    );
    check(
        w,
        "Um caminhão passa. Antes, duas pessoas e uma bicicleta.",
        &[],
        &[("order_accuracy", ABSENT)],
    );
}

#[test]
fn worked_examples_of_scene_w_without_errors() {
    let w = &scene_w();
    let fine = |text: &str, scores: &[(&str, f64)]| check(w, text, &[], scores);
    fine(
        "Duas pessoas passam com uma bicicleta e um guarda-chuva, perto de um caminhão e de um \
         cachorro.",
        &[("object_precision", 1.0)],
    );
    fine(
        "Duas pessoas passam com uma bicicleta e um caminhão; não há guarda-chuvas nem cachorros.",
        &[("hallucination_rate", 0.0)],
    );
    fine(
        "Pessoas passam a dois metros de um caminhão e de uma bicicleta.",
        &[("count_accuracy", ABSENT)],
    );
    fine(
        "Pelo menos duas pessoas, uma bicicleta e um caminhão aparecem durante dois minutos.",
        &[("count_accuracy", 1.0), ("time_accuracy", ABSENT)],
    );
    fine(
        "Duas pessoas descansam num banco ao lado da bicicleta; um caminhão passa.",
        &[("weak_unsupported", 1.0), ("object_precision", 1.0)],
    );
    fine(
        "Não há nada além de duas pessoas, uma bicicleta e um caminhão.",
        &[],
    );
    fine(
        "duas pessoas, bicicleta e caminhao",
        &[("accent_errors", 1.0)],
    );
}

#[test]
fn worked_examples_of_scene_w_with_errors() {
    let w = &scene_w();
    check(
        w,
        "Vinte e duas pessoas, uma bicicleta e um caminhão aparecem.",
        &["count pessoas 22/2"],
        &[("slot_error_rate", 1.0 / 4.0)],
    );
    check(
        w,
        "Apenas um veículo e duas pessoas aparecem no local.",
        &["count veículo 1/2"],
        &[("slot_error_rate", 1.0 / 5.0), ("object_recall", 1.0)],
    );
    check(
        w,
        "Duas pessoas saem às 00:50. Passam uma bicicleta e um caminhão.",
        &["time 00:50 50 s/8 to 42 s"],
        &[("slot_error_rate", 1.0 / 5.0), ("time_accuracy", 0.0)],
    );
    check(
        w,
        "A cena mostra movimento na rua.",
        &[
            "missing - -/bicycle",
            "missing - -/person",
            "missing - -/truck",
        ],
        &[
            ("object_recall", 0.0),
            ("object_precision", ABSENT),
            ("slot_error_rate", 1.0),
        ],
    );
}

#[test]
fn worked_examples_of_an_empty_scene() {
    let empty = &empty();
    check(
        empty,
        "Nada acontece entre 00:00 e 01:30.",
        &[],
        &[("object_recall", ABSENT), ("time_accuracy", 1.0)],
    );
    let unstated = "empty_not_stated - -/-";
    let rate = |rate: f64| [("slot_error_rate", rate)];
    check(empty, "A rua aparece calma.", &[unstated], &rate(1.0));
    check(
        empty,
        "A cena fica vazia até a chegada de um gato.",
        &["hallucination gato cat/-", unstated],
        &rate(1.0),
    );
}

#[test]
fn worked_examples_of_a_wall_clock_scene() {
    let wall = &wall_clock();
    check(
        wall,
        "Um ônibus chegou às 14:32 e partiu às 14:35; antes, às 14:30, uma pessoa passou.",
        &[],
        &[("time_accuracy", 1.0)],
    );
    check(
        wall,
        "Um ônibus chegou às 14:50. Uma pessoa passou.",
        &["time 14:50 1200 s/-60 to 660 s"],
        &[("time_accuracy", 0.0)],
    );
}

#[test]
fn worked_examples_of_the_sentinels() {
    let ghost = scene(45.0, &[("cat", 20, 20, 1, 1, 0.31)]);
    for text in [
        "Nenhuma movimentação foi registrada nos 45 segundos.",
        "O local permaneceu vazio.",
    ] {
        check(&ghost, text, &[], &[]);
    }
    let unstated = ["empty_not_stated - -/-"];
    check(&ghost, "Um gato cruzou o pátio às 00:20.", &unstated, &[]);
    check(&ghost, "O vídeo mostra o pátio.", &unstated, &[]);

    let bench = scene(
        80.0,
        &[
            ("person", 10, 50, 2, 2, 0.9),
            ("umbrella", 10, 50, 2, 1, 0.9),
            ("bench", 0, 80, 2, 1, 0.9),
        ],
    );
    let bench = with_tracks(bench, &[("person", 2), ("umbrella", 1), ("bench", 1)]);
    for text in [
        "Duas pessoas com um guarda-chuva ficam perto de um banco entre 00:10 e 00:50.",
        "Às 00:10 chegam dois indivíduos sob um guarda-chuva; o banco aparece durante todo o vídeo.",
    ] {
        check(&bench, text, &[], &[]);
    }
    let wrong = [
        "Três pessoas com um guarda-chuva ficam perto de um banco entre 00:10 e 00:50.",
        "Duas pessoas sem guarda-chuva ficam perto de um banco entre 00:10 e 00:50.",
        "Às 01:10 chegam duas pessoas com um guarda-chuva; há um banco no local.",
    ];
    let rules = [
        vec![Rule::Count],
        vec![Rule::Contradiction, Rule::Missing],
        vec![Rule::Time],
    ];
    for (text, expected) in wrong.into_iter().zip(rules) {
        let found: Vec<Rule> = of(text, &bench).errors.iter().map(|e| e.rule).collect();
        assert_eq!(found, expected, "{text}");
    }

    let midnight = Scene {
        time_base: TimeBase::WallClock { start_s: 86_280 },
        ..scene(300.0, &[("truck", 60, 180, 2, 1, 0.9)])
    };
    let midnight = with_tracks(midnight, &[("truck", 1)]);
    for text in [
        "Um caminhão chega às 23:59 e sai às 00:01.",
        "Um veículo de carga é visto entre 23:59 e 00:01.",
    ] {
        check(&midnight, text, &[], &[]);
    }
    let rules = |text: &str| -> Vec<Rule> {
        let errors = of(text, &midnight).errors;
        errors.iter().map(|error| error.rule).collect()
    };
    assert_eq!(rules("Um caminhão chega às 00:20."), [Rule::Time]);
    assert_eq!(rules("Dois caminhões chegam às 23:59."), [Rule::Count]);
}

#[test]
fn the_pair_of_section_11() {
    let w = &scene_w();
    check(
        w,
        "Às 00:10 aparecem dois indivíduos; às 00:30 vem uma bike e, por fim, às 01:20, um veículo \
         de carga.",
        &[],
        &[],
    );
}
