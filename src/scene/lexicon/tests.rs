use super::lint::lint;
use super::*;

/// What the whole of `phrase` stands for, if it is one surface.
fn meaning(lexicon: &Lexicon, phrase: &str) -> Option<String> {
    let words: Vec<WordId> = tokens(phrase).iter().map(|t| lexicon.word_id(t)).collect();
    let (n, surface) = lexicon.surface_at(&words)?;
    (n == words.len()).then(|| surface.sense.key.clone())
}

#[test]
fn every_surface_means_its_label() {
    for lexicon in [&*BUILT_IN, &*BEFORE_0_3] {
        assert_eq!(lexicon.labels.len(), 81);
        for label in &lexicon.labels {
            for surface in label.singular.iter().chain(&label.plural) {
                let found = meaning(lexicon, surface);
                assert_eq!(found.as_deref(), Some(label.coco.as_str()), "{surface}");
            }
        }
    }
}

#[test]
fn the_built_in_lexicon_has_no_fault() {
    assert_eq!(lint(&BUILT_IN), []);
}

#[test]
fn versions_are_found_by_digest() {
    let old = "c78ea7e96dfd9e89d02f2bdee3ad07632e3793bfb3d9b348d26064eb51b9084d";
    let found = by_digest(&old.parse().expect("a digest")).expect("is known");
    assert_eq!(found.version, "pt-BR/0.2");
    let newest = by_digest(&BUILT_IN.sha256).expect("is known");
    assert_eq!(newest.version, "pt-BR/0.3");
    assert!(by_digest(&Sha256::of(b"another")).is_none());
    assert!(known_versions().contains(old));
}

#[test]
fn hypernyms_stop_surfaces_and_implications() {
    let sense = |word: &str| {
        let words: Vec<WordId> = tokens(word).iter().map(|t| BUILT_IN.word_id(t)).collect();
        let found = BUILT_IN.surface_at(&words);
        found
            .map(|(_, surface)| surface.sense.clone())
            .expect("a surface")
    };
    assert_eq!(sense("banco de dados").kind, Kind::Nothing);
    assert!(sense("veículos").labels.contains(&"truck".to_owned()));
    assert_eq!(sense("motociclistas").implied, ["person"]);
    assert_eq!(sense("ônibus").number, Number::Either);
    assert_eq!(sense("casal").collective, Some(CountRange::exactly(2)));
    assert!(sense("banco").is_weak && sense("mulher").is_unverifiable);
}

#[test]
fn detector_labels_in_both_languages_meet() {
    assert_eq!(BUILT_IN.key_of("dog"), Some("dog"));
    assert_eq!(BUILT_IN.key_of("Cachorro"), Some("dog"));
    assert_eq!(BUILT_IN.key_of("Traffic_Light"), Some("traffic light"));
    assert_eq!(BUILT_IN.key_of("guarda-chuva"), Some("umbrella"));
    assert_eq!(BUILT_IN.key_of("dragon"), None);
    assert_eq!(BUILT_IN.key_of(""), None);
}

const EXTENSION: &str = r#"
lexicon_version = "loja/1"
stop_surfaces = ["carro-chefe"]
negators = ["falta de"]
[numerals]
"sessentinha" = 60
[[labels]]
coco = "car"
singular = ["caranga"]
plural = ["carangas"]
[[labels]]
coco = "forklift"
gender = "f"
group = "vehicle"
canon = ["empilhadeira", "empilhadeiras"]
singular = ["empilhadeira"]
plural = ["empilhadeiras"]
[[hypernyms]]
singular = "veículo"
plural = "veículos"
any_of = ["forklift"]
"#;

#[test]
fn an_extension_adds_words_and_both_files_are_digested() {
    let extended = BUILT_IN.extended_by(EXTENSION).expect("is read");
    assert_eq!(extended.version, "pt-BR/0.3+loja/1");
    let digests = [VERSION_0_3, EXTENSION].map(|text| Sha256::of(text.as_bytes()));
    assert_eq!(extended.sources, digests);
    assert_ne!(extended.sha256, BUILT_IN.sha256);
    assert_eq!(meaning(&extended, "carangas").as_deref(), Some("car"));
    assert_eq!(meaning(&extended, "carros").as_deref(), Some("car"));
    assert_eq!(
        meaning(&extended, "empilhadeira").as_deref(),
        Some("forklift")
    );
    assert_eq!(meaning(&extended, "carro-chefe").as_deref(), Some(""));
    assert_eq!(extended.key_of("forklift"), Some("forklift"));
    assert_eq!(lint(&extended), []);
    let lines = format!("{}\n{}\n", digests[0], digests[1]);
    assert_eq!(extended.sha256, Sha256::of(lines.as_bytes()));
    assert_eq!(lint::new_findings(&BUILT_IN, &extended), []);
}

#[test]
fn an_extension_answers_for_its_own_faults_only() {
    let extension =
        "lexicon_version = \"x/1\"\n[[labels]]\ncoco = \"truck\"\nsingular = [\"carro\"]\n";
    let extended = BUILT_IN.extended_by(extension).expect("is read");
    let found = lint::new_findings(&BUILT_IN, &extended);
    let [finding] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(finding.rule, "two-meanings");
    assert_eq!(finding.message, "`carro` stands for car and truck");
    assert_eq!(lint::new_findings(&extended, &extended), []);
}

#[track_caller]
fn refused(extension: &str, expected: &str) {
    let text = format!("lexicon_version = \"x\"\n{extension}");
    let error = BUILT_IN.extended_by(&text).expect_err("is refused");
    let error = error.to_string();
    assert!(error.contains(expected), "{error}\nlacks {expected}");
}

#[test]
fn broken_files_are_refused_with_a_reason() {
    let error = Lexicon::parse("fold = \"x\"").expect_err("is refused");
    assert_eq!(error, Error::Version);
    refused("fold = \"stem\"", "`fold` is \"stem\"");
    refused("negaters = []", "unknown field `negaters`");
    refused("negators = 3", "line 2, column 12");
    refused(
        "[[labels]]\ncoco = \"drone\"",
        "label `drone` has no `gender`",
    );
    refused("[vague]\n\"uns\" = [5, 2]", "`uns` has the interval [5, 2]");
    refused(
        "[implies]\n\"ciclista\" = [\"unicorn\"]",
        "`ciclista` stands for `unicorn`",
    );
    refused(
        "[[hypernyms]]\nsingular = \"trem-bala\"\nplural = \"trens-bala\"\nany_of = [\"tain\"]",
        "`trem-bala` stands for `tain`",
    );
}

#[track_caller]
fn finds(extension: &str, rule: &str, message: &str) {
    let text = format!("lexicon_version = \"x\"\n{extension}");
    let lexicon = BUILT_IN.extended_by(&text).expect("is read");
    let found: Vec<(&str, String)> = lint(&lexicon)
        .into_iter()
        .map(|finding| (finding.rule, finding.message))
        .collect();
    assert_eq!(found, [(rule, message.to_owned())], "{extension}");
}

#[test]
fn each_fault_is_found() {
    finds(
        "negators = [\"…\"]",
        "no-word",
        "`…` has no letter or digit",
    );
    finds(
        "[[labels]]\ncoco = \"car\"\nsingular = [\"camião\"]",
        "two-meanings",
        "`camiao` stands for car and truck",
    );
    finds(
        "stop_surfaces = [\"bola\"]",
        "two-meanings",
        "`bola` stands for (stop surface) and sports ball",
    );
    finds(
        "weak_surfaces = [\"geringonça\"]",
        "no-surface",
        "`geringonça` of weak_surfaces is no surface",
    );
    finds(
        "[collective]\n\"bando\" = [3, -1]",
        "no-surface",
        "`bando` of collective is no surface",
    );
    finds(
        "stop_surfaces = [\"carro sem motorista\"]",
        "negator-inside",
        "`carro sem motorista` holds the negator `sem`",
    );
    finds(
        "fold_exceptions = [\"maçã\"]",
        "never-matched",
        "`maçã` is a surface and a fold exception",
    );
    finds(
        "fold_exceptions = [\"xícarã\", \"qualquér\"]",
        "needless-exception",
        "`qualquér` folds to no word of a surface",
    );
    finds(
        "[[labels]]\ncoco = \"car\"\ncanon = [\"bólido\", \"carros\"]",
        "canon",
        "`bólido` is no such surface of `car`",
    );
    finds(
        "colours = [\"cafe\u{301}\"]",
        "not-nfc",
        "`cafe\u{301}` is not in NFC",
    );
    let empty = Lexicon::parse("lexicon_version = \"x\"").expect("is read");
    assert!(lint(&empty).iter().all(|finding| finding.rule == "no-list"));
    assert_eq!(lint(&empty).len(), 6);
}
