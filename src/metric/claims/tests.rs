use super::*;
use crate::scene::lexicon::BUILT_IN;

fn claims(text: &str) -> Claims {
    read(text, TimeBase::Offset, &BUILT_IN)
}

/// `[2,2] person` with a number, `person` without, `-person` denied, `bicycle+person` implied.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = claims(text);
    let shown: Vec<String> = found.mentions().map(shown).collect();
    assert_eq!(shown, expected, "{text}");
}

fn shown(mention: &Mention) -> String {
    let sign = if mention.is_negated { "-" } else { "" };
    let number = mention.quantity.map_or_else(String::new, |range| {
        let hi = range.hi.map_or("∞".to_owned(), |hi| hi.to_string());
        format!("[{},{hi}] ", range.lo)
    });
    let named: Vec<&str> = std::iter::once(&mention.key)
        .chain(&mention.implied)
        .map(String::as_str)
        .collect();
    format!("{sign}{number}{}", named.join("+"))
}

#[test]
fn numbers_in_words_and_digits() {
    check("duas pessoas e 3 carros", &["[2,2] person", "[3,3] car"]);
    check("vinte e duas pessoas", &["[22,22] person"]);
    check("cento e vinte e um carros", &["[121,121] car"]);
    check("1.200 pessoas", &["[1200,1200] person"]);
    check("três e quatro carros", &["[4,4] car"]);
    check(
        "caminhões (4) e motos (00:10)",
        &["[4,4] truck", "motorcycle"],
    );
    check("0 carros", &["-[0,0] car"]);
    check("99999999999 carros", &["car"]);
}

#[test]
fn articles_claim_nothing_unless_a_word_makes_them() {
    check("um carro e uma moto", &["car", "motorcycle"]);
    check(
        "apenas um carro, um único gato, só uma moto",
        &["[1,1] car", "[1,1] cat", "[1,1] motorcycle"],
    );
    check("pelo menos uma pessoa", &["[1,∞] person"]);
    check("mais de um carro", &["[2,∞] car"]);
    check("vinte e uma pessoas", &["[21,21] person"]);
    assert!(
        claims("um carro")
            .mentions()
            .all(|mention| mention.has_article)
    );
}

#[test]
fn modifiers_widen_the_number() {
    check("pelo menos três carros", &["[3,∞] car"]);
    check("mais de três carros", &["[4,∞] car"]);
    check("menos de três carros", &["[0,2] car"]);
    check("no máximo três carros", &["[0,3] car"]);
    check("até três carros", &["[3,3] car"]);
    check("cerca de dez carros", &["[8,12] car"]);
    check("aproximadamente duas pessoas", &["[1,3] person"]);
    check("pelo menos vinte e duas pessoas", &["[22,∞] person"]);
}

#[test]
fn vague_and_collective_numbers() {
    check(
        "várias pessoas e um grupo de ciclistas",
        &["[3,∞] person", "[3,∞] bicycle+person"],
    );
    check("ambas as motos", &["[2,2] motorcycle"]);
    check("um casal e uma multidão", &["[2,2] person", "[8,∞] person"]);
    check("meia dúzia de carros", &["[6,6] car"]);
    check("algumas das pessoas", &["[2,∞] person"]);
}

#[test]
fn what_stops_the_search_for_a_number() {
    check("na câmera 3 carros passam", &["car"]);
    check("às 00:10 carros passam", &["car"]);
    check("dois, carros", &["car"]);
    check("duas motos e carros", &["[2,2] motorcycle", "car"]);
    check("dois dos que ali estavam carros", &["car"]);
    check("2,5 carros", &["car"]);
    check("placa:4 carros", &["car"]);
}

#[test]
fn negation_reaches_its_list_and_no_further() {
    check(
        "Não há trens, barcos nem cavalos.",
        &["-train", "-boat", "-horse"],
    );
    check("Sem alarde, três ônibus passam.", &["[3,3] bus"]);
    check("Não há nada além de duas pessoas.", &["[2,2] person"]);
    check("Sem carros, mas com motos.", &["-car", "motorcycle"]);
    check("Sem carros: motos passam.", &["-car", "motorcycle"]);
    check("Nenhum carro foi visto. Um gato passa.", &["-car", "cat"]);
    check(
        "Não há carros ou motos de pessoas",
        &["-car", "-motorcycle", "-person"],
    );
    check(
        "não há um dois três quatro cinco seis carros",
        &["[6,6] car"],
    );
    check("Nenhum carro e a moto passa.", &["-car", "-motorcycle"]);
    check("Nenhum carro, um gato passa.", &["-car", "cat"]);
    check("A moto não foi vista, o gato sim.", &["-motorcycle", "cat"]);
}

#[test]
fn surfaces_longest_first() {
    check(
        "banco de dados, vaso sanitário, cachorro-quente",
        &["toilet", "hot dog"],
    );
    check("GUARDA-CHUVA e guarda chuva", &["umbrella", "umbrella"]);
    check(
        "moto laranja, moto cor laranja, laranja",
        &["motorcycle", "motorcycle", "orange"],
    );
    check(
        "um motoboy e dois veículos",
        &["motorcycle+person", "[2,2] veículo"],
    );
    check("onibus", &["bus"]);
    let is_misspelt = |text: &str| claims(text).mentions().any(|mention| mention.is_misspelt);
    assert!(is_misspelt("onibus") && !is_misspelt("ÔNIBUS") && !is_misspelt("o\u{302}nibus"));
}

/// Times as `seconds±resolution`, in order.
#[track_caller]
fn times(text: &str, time_base: TimeBase, expected: &[&str]) {
    let found = read(text, time_base, &BUILT_IN);
    let times = found.sentences.iter().flat_map(|sentence| &sentence.times);
    let shown: Vec<String> = times
        .map(|t| format!("{}±{}", t.at_s, t.resolution_s))
        .collect();
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn clock_times_from_the_start() {
    let offset = |text: &str, expected: &[&str]| times(text, TimeBase::Offset, expected);
    offset("às 00:10 e às 1:02:03", &["10±2", "3723±2"]);
    offset("entre 00:10-00:30", &["10±2", "30±2"]);
    offset("às 100:00: um carro", &["6000±2"]);
    offset(
        "às 10h, 10h02, 10 h 02",
        &["36000±3600", "36120±60", "36120±60"],
    );
    offset("00:60, 1:2, 1:2:3:4, 1234:10, 00:10h, a00:10", &[]);
    offset("12:30:45:50 carros", &[]);
}

#[test]
fn clock_times_of_the_day() {
    let from = |start_s| TimeBase::WallClock { start_s };
    times("às 14:32 e 14:32:30", from(52_200), &["120±60", "150±2"]);
    times("às 00:01", from(86_280), &["180±60"]);
    times("às 23:59", from(60), &["86280±60"]);
    times(
        "às 14h32, aos 12 segundos",
        from(52_200),
        &["120±60", "12±2"],
    );
}

#[test]
fn durations_claim_nothing_and_instants_do() {
    let offset = |text: &str, expected: &[&str]| times(text, TimeBase::Offset, expected);
    offset("durante dois minutos, por 12 segundos, em 2,5 min", &[]);
    offset(
        "aos 12 segundos, até os 20s, desde vinte e dois segundos",
        &["12±2", "20±2", "22±2"],
    );
    offset("a partir de 2,5 min e aos 1.5 min", &["150±60", "90±60"]);
    offset("aos 1 minuto e 20 segundos", &["80±2"]);
    offset("por volta de 1 min 20 s", &["80±2"]);
    offset("aos 99999999999999999999 segundos", &[]);
    check("durante dois minutos carros passam", &["car"]);
    check("por 10 segundos, 3 carros", &["[3,3] car"]);
}

#[test]
fn sentences_say_what_they_are_about() {
    let found = claims("Primeiro, nada. Depois, sem pressa; antes, vazio!");
    let flags: Vec<[bool; 5]> = found
        .sentences
        .iter()
        .map(|s| {
            [
                s.says_first,
                s.says_next,
                s.skips_order,
                s.has_negator,
                s.states_emptiness,
            ]
        })
        .collect();
    let expected = [
        [true, false, false, false, true],
        [false, true, false, true, false],
        [false, false, true, false, true],
    ];
    assert_eq!(flags, expected);
}

#[test]
fn spans_are_bytes_of_the_text_as_given() {
    let text = "ca\u{303}es e o\u{302}nibus. Às 00:10, pessoa";
    for mention in claims(text).mentions() {
        let (from, to) = mention.span;
        assert_eq!(&text[from..to], mention.surface);
    }
    let found = claims(text);
    let surfaces: Vec<&str> = found.mentions().map(|m| m.surface.as_str()).collect();
    assert_eq!(surfaces, ["ca\u{303}es", "o\u{302}nibus", "pessoa"]);
    assert_eq!(found.sentences[1].times[0].surface, "00:10");
}

#[test]
fn keywords_are_the_nouns_of_what_is_asserted() {
    let text = "Dois ciclistas e um táxi; nenhum ônibus. Um veículo, um carro.";
    let found = claims(text).derived_keywords(&BUILT_IN);
    assert_eq!(found, ["bicicleta", "pessoa", "carro"]);
}
