//! ROUGE, chrF and BLEU against their reference implementations: the golden file, and ports of them
//! on generated texts.

use proptest::prelude::*;
use rougers::{RougeScorer, RougeType, Tokenizer};
use sacrebleu_rs::{Bleu, Chrf};
use serde_json::Value;

use super::rouge::{Profile, Rouge, Triple};
use super::{bleu, chrf, rouge};
use crate::scene::text::nfc;

const GOLDEN: &str = include_str!("../../tests/golden/overlap.json");
const N_CASES: usize = 206;
/// Agreement on the oracle's scale: points for chrF and BLEU, fractions for ROUGE.
const TOLERANCE: f64 = 1e-9;

struct Case {
    id: String,
    output: String,
    references: Vec<String>,
    values: Value,
}

fn texts(list: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

fn golden() -> (Value, Vec<Case>) {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden["cases"].as_array().unwrap().iter().map(|case| Case {
        id: case["id"].as_str().unwrap().to_owned(),
        output: case["output"].as_str().unwrap().to_owned(),
        references: texts(&case["references"]),
        values: case.clone(),
    });
    let cases: Vec<Case> = cases.collect();
    assert_eq!(
        cases.len(),
        N_CASES,
        "a comparison that compared less proves less"
    );
    (golden, cases)
}

#[track_caller]
fn close(id: &str, name: &str, ours: f64, theirs: f64) {
    let difference = (ours - theirs).abs();
    assert!(
        difference <= TOLERANCE,
        "{id}: {name} is {ours}, expected {theirs}"
    );
}

fn chrf_points(output: &str, references: &[String], kind: chrf::Kind) -> f64 {
    let counts = chrf::References::new(references).counts(output);
    100.0 * chrf::best(&counts, kind).unwrap().score
}

fn bleu_points(output: &str, references: &[String]) -> f64 {
    let counts = bleu::References::new(references).counts(output);
    100.0 * counts.unwrap().score()
}

#[test]
fn chrf_and_bleu_agree_with_sacrebleu() {
    for case in golden().1 {
        let theirs = |name: &str| case.values[name].as_f64().unwrap();
        let chrf = |kind| chrf_points(&case.output, &case.references, kind);
        close(&case.id, "chrF2", chrf(chrf::Kind::Chrf2), theirs("chrf2"));
        close(
            &case.id,
            "chrF++",
            chrf(chrf::Kind::ChrfPp),
            theirs("chrf2pp"),
        );
        close(
            &case.id,
            "BLEU",
            bleu_points(&case.output, &case.references),
            theirs("bleu"),
        );
    }
}

#[test]
fn the_scores_of_the_corpus_agree_with_sacrebleu() {
    let (golden, cases) = golden();
    let [mut chrf2, mut chrf_pp] = [chrf::Counts::default(); 2];
    let mut bleu = bleu::Counts::default();
    let kept: Vec<&Case> = cases
        .iter()
        .filter(|case| !case.id.starts_with("edge-"))
        .collect();
    assert_eq!(Some(kept.len() as u64), golden["corpus"]["n"].as_u64());
    for case in kept {
        // The oracle had two streams; the second repeats a lone reference.
        let references = &case.references[..case.references.len().min(2)];
        let counts = chrf::References::new(references).counts(&case.output);
        chrf2.add(&chrf::best(&counts, chrf::Kind::Chrf2).unwrap().counts);
        chrf_pp.add(&chrf::best(&counts, chrf::Kind::ChrfPp).unwrap().counts);
        bleu.add(
            &bleu::References::new(references)
                .counts(&case.output)
                .unwrap(),
        );
    }
    let theirs = |name: &str| golden["corpus"][name].as_f64().unwrap();
    close(
        "corpus",
        "chrF2",
        100.0 * chrf2.score(chrf::Kind::Chrf2),
        theirs("chrf2"),
    );
    close(
        "corpus",
        "chrF++",
        100.0 * chrf_pp.score(chrf::Kind::ChrfPp),
        theirs("chrf2pp"),
    );
    close("corpus", "BLEU", 100.0 * bleu.score(), theirs("bleu"));
}

fn types(rouge: &Rouge) -> [(&'static str, Triple); 4] {
    [
        ("rouge1", rouge.rouge1),
        ("rouge2", rouge.rouge2),
        ("rougeL", rouge.rouge_l),
        ("rougeLsum", rouge.rouge_lsum),
    ]
}

#[test]
fn rouge_agrees_with_rouge_score_in_both_profiles() {
    for case in golden().1 {
        for (profile, name) in [
            (Profile::Google, "rouge_google"),
            (Profile::Unicode, "rouge_unicode"),
        ] {
            // The oracle's Unicode tokenizer normalises by itself; ours expects it done.
            let (output, references) = match profile {
                Profile::Google => (case.output.clone(), case.references.clone()),
                Profile::Unicode => (
                    nfc(&case.output),
                    case.references.iter().map(|text| nfc(text)).collect(),
                ),
            };
            let found = rouge::References::new(&references, profile)
                .score(&output)
                .unwrap();
            for (kind, triple) in types(&found) {
                let theirs = &case.values[name][kind];
                let ours = [triple.precision, triple.recall, triple.f1];
                for (i, ours) in ours.into_iter().enumerate() {
                    close(&case.id, kind, ours, theirs[i].as_f64().unwrap());
                }
            }
        }
    }
}

#[test]
fn tokens_agree_with_rouge_score() {
    let (golden, _) = golden();
    let rows = golden["tokens"].as_array().unwrap();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        assert_eq!(Profile::Google.words(text), texts(&row["google"]), "{text}");
        assert_eq!(
            Profile::Unicode.words(&nfc(text)),
            texts(&row["unicode"]),
            "{text}"
        );
    }
}

#[test]
fn composed_and_decomposed_texts_score_alike_once_normalised() {
    let decomposed = "A\u{300} noite, tre\u{302}s caminho\u{303}es.";
    let composed = "À noite, três caminhões.".to_owned();
    assert_eq!(nfc(decomposed), composed);
    let references = [composed];
    let score = rouge::References::new(&references, Profile::Unicode).score(&nfc(decomposed));
    assert!((score.unwrap().rouge_lsum.f1 - 1.0).abs() < f64::EPSILON);
    for kind in [chrf::Kind::Chrf2, chrf::Kind::ChrfPp] {
        close(
            "nfd",
            "chrF",
            chrf_points(&nfc(decomposed), &references, kind),
            100.0,
        );
    }
    close(
        "nfd",
        "BLEU",
        bleu_points(&nfc(decomposed), &references),
        100.0,
    );
}

/// A few words of a small vocabulary, so that texts share some, with marks, numbers and accents.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "a",
            "o",
            "carro",
            "carros",
            "ônibus",
            "às",
            "À",
            "São",
            "três",
            "10:02",
            "3,5",
            "(2)",
            "“duas”",
            "fim.",
            "fim...",
            "guarda-chuva",
            "d'água",
            "&amp;",
            "1-2",
            "É",
            "ß",
            "Σ",
            "não,",
            "...",
            "-",
            "\u{a0}",
            "2.5.",
            "x_y",
            "👍",
            "pessoa",
        ])
        .prop_map(str::to_owned),
        "[a-zà-ú0-9.,;:!?()'\"-]{1,6}",
    ];
    let gap = prop::sample::select(vec![" ", " ", " ", " ", "  ", "\n", "\n\n", "\t"]);
    prop::collection::vec((word, gap), 0..24)
        .prop_map(|parts| parts.into_iter().map(|(word, gap)| word + gap).collect())
}

fn pair() -> impl Strategy<Value = (String, Vec<String>)> {
    (text(), prop::collection::vec(text(), 1..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn chrf_equals_a_port_of_sacrebleu((output, references) in pair()) {
        // The port takes one stream per reference, each with one text.
        let streams: Vec<Vec<String>> = references.iter().map(|text| vec![text.clone()]).collect();
        for (kind, word_order) in [(chrf::Kind::Chrf2, 0), (chrf::Kind::ChrfPp, 2)] {
            let theirs = Chrf { word_order, ..Chrf::default() };
            let best = theirs.sentence_score(&output, &references).score;
            let corpus = theirs.corpus_score(std::slice::from_ref(&output), &streams).score;
            prop_assert_eq!(best.to_bits(), corpus.to_bits());
            let ours = chrf_points(&output, &references, kind);
            prop_assert!((ours - best).abs() <= TOLERANCE, "{ours} against {best}");
        }
    }

    #[test]
    fn bleu_equals_a_port_of_sacrebleu((output, references) in pair()) {
        let theirs = Bleu { effective_order: true, ..Bleu::default() };
        let theirs = theirs.sentence_score(&output, &references).score;
        let ours = bleu_points(&output, &references);
        prop_assert!((ours - theirs).abs() <= TOLERANCE, "{ours} against {theirs}");
    }

    #[test]
    fn rouge_equals_a_port_of_rouge_score((output, references) in pair()) {
        let kinds = [RougeType::N(1), RougeType::N(2), RougeType::L, RougeType::LSum];
        for (profile, tokenizer) in [
            (Profile::Google, Tokenizer::new(false)),
            (Profile::Unicode, Tokenizer::unicode()),
        ] {
            let scorer = RougeScorer::with_tokenizer(kinds.to_vec(), tokenizer).unwrap();
            // The port's Unicode words are those of UAX 29 ("3,5" is one) and their case is folded
            // ("ß" is "ss" there, where rouge_score lowers only): only scores are compared.
            let apart = |text: &String| match profile {
                Profile::Google => text.clone(),
                Profile::Unicode => {
                    let text = text.replace('ß', "beta");
                    let lines = text.split('\n').map(|line| profile.words(line).join(" "));
                    lines.collect::<Vec<_>>().join("\n")
                }
            };
            let output = apart(&output);
            let references: Vec<String> = references.iter().map(apart).collect();
            let theirs = scorer.score_multi(&references, &output).unwrap();
            let ours = rouge::References::new(&references, profile).score(&output).unwrap();
            for (kind, (name, ours)) in kinds.into_iter().zip(types(&ours)) {
                let theirs = theirs.get(kind).unwrap();
                let both = [
                    (ours.precision, theirs.precision),
                    (ours.recall, theirs.recall),
                    (ours.f1, theirs.fmeasure),
                ];
                for (ours, theirs) in both {
                    prop_assert!((ours - theirs).abs() <= TOLERANCE, "{name}: {ours} {theirs}");
                }
            }
        }
    }

    #[test]
    fn a_text_against_itself_is_perfect(text in text()) {
        prop_assume!(text.chars().any(char::is_alphanumeric));
        let references = [nfc(&text)];
        let text = nfc(&text);
        for kind in [chrf::Kind::Chrf2, chrf::Kind::ChrfPp] {
            prop_assert!((chrf_points(&text, &references, kind) - 100.0).abs() <= TOLERANCE);
        }
        prop_assert!((bleu_points(&text, &references) - 100.0).abs() <= TOLERANCE);
        let found = rouge::References::new(&references, Profile::Unicode).score(&text).unwrap();
        for triple in [found.rouge1, found.rouge_l, found.rouge_lsum] {
            prop_assert!((triple.f1 - 1.0).abs() <= TOLERANCE);
        }
    }
}
