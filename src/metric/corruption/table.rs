//! What the gated scores catch, counted, and held against the table in the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::harmful::{KINDS, Kind};
use super::harmless::{PARAPHRASES, Paraphrase};
use super::{Case, cases};

/// Smallest share of scenes on which a corruption must be caught.
const DETECTION: f64 = 0.95;
/// Largest share of paraphrases with a factual error.
const FALSE_ALARMS: f64 = 0.03;
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

/// Paraphrases made, and those with a factual error.
fn alarms(paraphrase: &Paraphrase, cases: &[Case]) -> (usize, Vec<String>) {
    let made: Vec<(&Case, String)> = cases
        .iter()
        .filter_map(|case| Some((case, (paraphrase.make)(case)?)))
        .collect();
    let wrong = made.iter().filter(|(case, text)| !case.is_fact_ok(text));
    let wrong = wrong.map(|(case, text)| format!("{}: {text}", case.scene.id));
    (made.len(), wrong.collect())
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
        "\n| harmless paraphrase | texts | with a factual error |\n| --- | --- | --- |\n",
    );
    for paraphrase in PARAPHRASES {
        let (n, wrong) = alarms(paraphrase, cases);
        let share = percent(wrong.len(), n);
        let _ = writeln!(text, "| {} | {n} | {share} |", paraphrase.name);
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
fn paraphrases_bring_no_factual_error() {
    let cases = cases();
    let mut alarmed = Vec::new();
    let mut n_made = 0;
    for paraphrase in PARAPHRASES {
        let (n, wrong) = alarms(paraphrase, &cases);
        n_made += n;
        if wrong.len() as f64 > FALSE_ALARMS * n as f64 {
            alarmed.push(format!(
                "{}: {} of {n}\n  {}",
                paraphrase.name,
                wrong.len(),
                wrong.join("\n  ")
            ));
        }
    }
    assert!(n_made >= 100, "only {n_made} paraphrases were made");
    assert!(alarmed.is_empty(), "false alarms:\n{}", alarmed.join("\n"));
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
