use super::*;
use crate::gate::fixture::{judge_edited, scale_times, set_scores};
use crate::gate::{Evidence, Verdict};
use crate::record::observation::{Failure, FailureKind};
use crate::units::Bytes;

/// Every reason of a verdict and of its checks.
fn sentences(verdict: &Verdict) -> Vec<String> {
    let of_checks = verdict.checks.iter();
    let of_checks = of_checks.flat_map(|check| check.reason.iter().chain(&check.needed));
    verdict.reasons.iter().chain(of_checks).cloned().collect()
}

/// A failure, a loss and a doubt of every kind that the fixture can be brought to.
#[test]
fn what_the_gate_says_is_said_in_portuguese() {
    let edits: [fn(&mut Evidence, &mut Evidence); 8] = [
        |_, _| (),
        |_, cand| {
            set_scores(
                cand,
                "object_recall",
                |i| if i % 2 == 0 { 0.3 } else { 0.8 },
            );
        },
        |_, cand| {
            set_scores(
                cand,
                "object_recall",
                |i| if i % 9 == 0 { 0.3 } else { 0.8 },
            );
        },
        |_, cand| {
            set_scores(cand, "valid", |_| 0.0);
            set_scores(cand, "fact_score", |_| 0.0);
            set_scores(cand, "chrf_pp", |_| 0.1);
            set_scores(cand, "output_tokens", |_| 9.0);
        },
        |_, cand| scale_times(cand, 2.0),
        |_, cand| {
            cand.record
                .memory
                .iter_mut()
                .for_each(|run| run.peak_bytes = Bytes(1 << 30));
        },
        |_, cand| cand.record.memory.clear(),
        |_, cand| {
            cand.record.failure = Some(Failure {
                kind: FailureKind::TimedOut,
                pass: "outputs".into(),
                scene: None,
                detail: "60 s".into(),
                stderr_tail: String::new(),
            });
        },
    ];
    let mut n = 0;
    for edit in edits {
        for sentence in sentences(&judge_edited(edit)) {
            n += 1;
            let told = Lang::PtBr.sentence(&sentence);
            assert_ne!(told, sentence, "not translated");
            assert_eq!(Lang::En.sentence(&sentence), sentence);
        }
    }
    assert!(n > 15, "only {n} sentences were seen");
}

#[test]
fn counts_have_their_number() {
    assert_eq!(Lang::En.count(1, Noun::Launch), "1 launch");
    assert_eq!(Lang::En.count(2, Noun::Launch), "2 launches");
    assert_eq!(Lang::PtBr.count(1, Noun::Pair), "1 par");
    assert_eq!(Lang::PtBr.count(3, Noun::Pair), "3 pares");
}

#[test]
fn a_note_names_its_kind_of_fault() {
    let check = |note, en, pt_br| {
        assert_eq!(Lang::En.cause(note), en, "{note}");
        assert_eq!(Lang::PtBr.cause(note), pt_br, "{note}");
    };
    check("missing: truck", Some("omission"), Some("omissão"));
    check("form: loop", Some("loop"), Some("repetição"));
    check(
        "form: disorder",
        Some("words in no order"),
        Some("palavras sem ordem"),
    );
    check("form: not portuguese", Some("language"), Some("idioma"));
    check(
        "form: new flag",
        Some("broken form"),
        Some("forma quebrada"),
    );
    check("something else", None, None);
}

#[test]
fn a_cut_text_tells_its_length_in_the_language() {
    assert_eq!(Lang::En.cut("ação longa", 4), "ação… (10 characters)");
    assert_eq!(Lang::PtBr.cut("ação longa", 4), "ação… (10 caracteres)");
    assert_eq!(Lang::PtBr.cut("(10 characters)", 40), "(10 characters)");
}
