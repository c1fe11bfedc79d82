//! What the gated scores catch, counted, and held against the table in the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::edits::{salad_of, tidied};
use super::harmful::{KINDS, Kind};
use super::harmless::{PARAPHRASES, Paraphrase};
use super::{Case, cases};
use crate::metric::order::WordOrder;
use crate::scene::SceneSet;
use crate::scene::lexicon::BUILT_IN;

/// Smallest share of scenes on which a corruption must be caught.
const DETECTION: f64 = 0.95;
/// Largest share of paraphrases with a factual error.
const FALSE_ALARMS: f64 = 0.03;
/// Largest share of paraphrases whose words are called disordered.
const FALSE_DISORDER: f64 = 0.01;
/// Random orders of each text that the check of word order is tried on.
const ORDERS: usize = 10;
/// Where the table stands in the document.
const MARKS: [&str; 2] = ["<!-- corruptions -->", "<!-- /corruptions -->"];

/// How one kind of corruption fared.
struct Fate {
    n: usize,
    n_caught: usize,
    /// Scenes by score that noticed.
    by: BTreeMap<&'static str, usize>,
    /// Sum of the changes of chrF++.
    chrf_change: f64,
    /// Texts that nothing noticed.
    missed: Vec<String>,
}

fn fate(kind: &Kind, cases: &[Case]) -> Fate {
    let mut fate = Fate {
        n: 0,
        n_caught: 0,
        by: BTreeMap::new(),
        chrf_change: 0.0,
        missed: Vec::new(),
    };
    for case in cases {
        let Some(output) = (kind.make)(case, cases) else {
            continue;
        };
        let (spoiled, clean) = (case.gated(&output), case.gated(&case.clean_output()));
        let worse = spoiled.worse_than(clean);
        fate.chrf_change += spoiled.chrf_pp - clean.chrf_pp;
        fate.n += 1;
        fate.n_caught += usize::from(!worse.is_empty());
        if worse.is_empty() {
            fate.missed
                .push(format!("{}: {}", case.scene.id, output.text));
        }
        for name in worse {
            *fate.by.entry(name).or_default() += 1;
        }
    }
    fate
}

/// What became of one kind of paraphrase.
struct Alarms {
    n: usize,
    /// Texts with a factual error.
    wrong: Vec<String>,
    /// Texts whose words are called disordered.
    disordered: Vec<String>,
}

fn alarms(paraphrase: &Paraphrase, cases: &[Case]) -> Alarms {
    let made: Vec<(&Case, String)> = cases
        .iter()
        .filter_map(|case| Some((case, (paraphrase.make)(case)?)))
        .collect();
    let those = |is: fn(&Case, &str) -> bool| {
        let texts = made.iter().filter(|(case, text)| is(case, text));
        texts
            .map(|(case, text)| format!("{}: {text}", case.scene.id))
            .collect()
    };
    Alarms {
        n: made.len(),
        wrong: those(|case, text| !case.is_fact_ok(text)),
        disordered: those(|case, text| WordOrder::of(text, case.lexicon).is_disordered()),
    }
}

/// Random orders of the texts of one half, and how many of them are called disordered as they are
/// and tidied.
fn salads(cases: &[Case], half: usize) -> (usize, [usize; 2]) {
    let (mut n, mut found) = (0, [0, 0]);
    for case in cases.iter().skip(half).step_by(2) {
        for draw in 0..ORDERS {
            let salad = salad_of(&case.clean, case.index * ORDERS + draw);
            n += 1;
            for (found, text) in found.iter_mut().zip([tidied(&salad), salad]) {
                let is_disordered = WordOrder::of(&text, case.lexicon).is_disordered();
                *found += usize::from(is_disordered);
            }
        }
    }
    found.reverse();
    (n, found)
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn rendered(cases: &[Case]) -> String {
    const SCORES: [&str; 5] = [
        "valid",
        "fact_ok",
        "hallucination_rate",
        "object_recall",
        "chrf_pp",
    ];
    let mut text = String::from("| corruption | what is done | texts | caught |");
    for score in SCORES {
        let _ = write!(text, " `{score}` |");
    }
    text.push_str(" mean change of `chrf_pp` |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for kind in KINDS {
        let fate = fate(kind, cases);
        let name = if kind.must_be_caught {
            kind.name.to_owned()
        } else {
            format!("*{}* (blind spot)", kind.name)
        };
        let caught = percent(fate.n_caught, fate.n);
        let _ = write!(text, "| {name} | {} | {} | {caught} |", kind.what, fate.n);
        for score in SCORES {
            let n = fate.by.get(score).copied().unwrap_or(0);
            let _ = write!(text, " {} |", percent(n, fate.n));
        }
        // Adding 0 turns a rounded -0 into 0.
        let change = (100.0 * fate.chrf_change / fate.n.max(1) as f64).round() + 0.0;
        let _ = writeln!(text, " {change:+.0} pt |");
    }
    text.push_str(
        "\n| harmless paraphrase | texts | with a factual error | `disorder` |\n| --- | --- | --- | --- |\n",
    );
    for paraphrase in PARAPHRASES {
        let Alarms {
            n,
            wrong,
            disordered,
        } = alarms(paraphrase, cases);
        let [wrong, disordered] = [wrong, disordered].map(|texts| percent(texts.len(), n));
        let _ = writeln!(
            text,
            "| {} | {n} | {wrong} | {disordered} |",
            paraphrase.name
        );
    }
    text.push_str(
        "\n| words in random order | texts | `disorder` | `disorder`, tidied |\n| --- | --- | --- | --- |\n",
    );
    for (half, name) in ["texts the rules were made on", "the other half"]
        .iter()
        .enumerate()
    {
        let (n, found) = salads(cases, half);
        let [as_is, tidied] = found.map(|found| percent(found, n));
        let _ = writeln!(text, "| {name} | {n} | {as_is} | {tidied} |");
    }
    text
}

#[test]
fn every_kind_of_corruption_is_caught() {
    let cases = cases();
    let mut missed = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.must_be_caught) {
        let fate = fate(kind, &cases);
        assert!(
            fate.n >= 3,
            "`{}` was tried on {} texts only",
            kind.name,
            fate.n
        );
        if (fate.n_caught as f64) < DETECTION * fate.n as f64 {
            let texts = fate.missed.join("\n  ");
            missed.push(format!(
                "{}: {} of {}\n  {texts}",
                kind.name, fate.n_caught, fate.n
            ));
        }
    }
    assert!(
        missed.is_empty(),
        "not caught often enough:\n{}",
        missed.join("\n")
    );
}

#[test]
fn paraphrases_bring_no_factual_error_and_no_disorder() {
    let cases = cases();
    let mut alarmed = Vec::new();
    let mut n_made = 0;
    for paraphrase in PARAPHRASES {
        let alarms = alarms(paraphrase, &cases);
        n_made += alarms.n;
        for (texts, most) in [
            (alarms.wrong, FALSE_ALARMS),
            (alarms.disordered, FALSE_DISORDER),
        ] {
            if texts.len() as f64 > most * alarms.n as f64 {
                let (n, name) = (alarms.n, paraphrase.name);
                alarmed.push(format!(
                    "{name}: {} of {n}\n  {}",
                    texts.len(),
                    texts.join("\n  ")
                ));
            }
        }
    }
    assert!(n_made >= 100, "only {n_made} paraphrases were made");
    assert!(alarmed.is_empty(), "false alarms:\n{}", alarmed.join("\n"));
}

#[test]
fn random_orders_are_found_on_texts_no_rule_was_made_for() {
    let cases = cases();
    for half in 0..2 {
        let (n, [as_is, _]) = salads(&cases, half);
        assert!(
            as_is as f64 >= DETECTION * n as f64,
            "half {half}: {as_is} of {n}"
        );
    }
}

#[test]
fn no_reference_of_any_set_is_out_of_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval-sets");
    let mut n = 0;
    for set in super::SETS.iter().chain(&["smoke/1.0.0"]) {
        let set = SceneSet::load(&root.join(set)).expect("a released set loads");
        for scene in &set.scenes {
            for text in scene.references.iter().chain(&scene.must_fail) {
                let order = WordOrder::of(text, &BUILT_IN);
                assert!(
                    !order.is_disordered(),
                    "{}: {text}\n{:?}",
                    scene.id,
                    order.slips()
                );
                assert_eq!(order.n_agreement_errors(), 0, "{}: {text}", scene.id);
                n += 1;
            }
        }
    }
    assert!(n > 800, "only {n} texts");
}

#[test]
fn wrong_articles_are_counted_where_the_noun_is_known() {
    let kind = KINDS.iter().find(|kind| kind.name == "agreement errors");
    let kind = kind.expect("the kind is in the suite");
    let cases = cases();
    let texts = cases
        .iter()
        .filter_map(|case| Some((case, (kind.make)(case, &cases)?)));
    let seen: Vec<bool> = texts
        .map(|(case, output)| WordOrder::of(&output.text, case.lexicon).n_agreement_errors() > 0)
        .collect();
    let n_seen = seen.iter().filter(|is_seen| **is_seen).count();
    assert!(n_seen * 2 >= seen.len(), "{n_seen} of {}", seen.len());
}

#[test]
fn the_clean_texts_are_clean() {
    for case in cases() {
        let clean = case.gated(&case.clean_output());
        assert!(
            clean.is_valid && clean.is_fact_ok,
            "{}: {}",
            case.scene.id,
            case.clean
        );
        assert_eq!(clean.worse_than(clean), Vec::<&str>::new());
    }
}

#[test]
fn the_document_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = std::fs::read_to_string(&path).expect("docs/metrics.md is readable");
    let shown = document
        .split_once(MARKS[0])
        .and_then(|(_, rest)| rest.split_once(MARKS[1]))
        .map(|(table, _)| table.trim())
        .expect("docs/metrics.md has the marks of the table");
    let computed = rendered(&cases());
    assert!(
        shown == computed.trim(),
        "the table in docs/metrics.md is not what the suite computes; it should read:\n\n{computed}"
    );
}
