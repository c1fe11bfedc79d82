use super::*;
use crate::record::tests::sample;
use crate::record::{ReadingDistance, TextSource};
use crate::units::Sha256;

const LN_2: f32 = std::f32::consts::LN_2;

fn reading(scene: &str, text: TextSource, n_bytes: usize, nll: &[f32]) -> Reading {
    Reading {
        scene: scene.to_owned(),
        text,
        n_bytes,
        nll: nll.to_vec(),
        distance: None,
        absent: None,
    }
}

fn absent(reading: Reading) -> Reading {
    Reading {
        nll: Vec::new(),
        distance: None,
        absent: Some("too long".to_owned()),
        ..reading
    }
}

fn record(role: Role, readings: Vec<Reading>) -> RunRecord {
    let mut record = sample();
    record.role = role;
    record.failure = None;
    record.plan.scene_ids = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    record.plan.n_read = 2;
    record.readings = readings;
    record
}

/// Two scenes: the first with two references, the second with none and an empty output of the
/// candidate. A token costs `bits` bits.
fn readings(bits: f32) -> Vec<Reading> {
    let nll = [bits * LN_2; 4];
    vec![
        reading("a", TextSource::Reference(0), 8, &nll),
        reading("a", TextSource::Reference(1), 4, &nll),
        reading("a", TextSource::BaselineOutput, 16, &nll),
        reading("a", TextSource::CandidateOutput, 2, &nll[..1]),
        reading("b", TextSource::BaselineOutput, 4, &nll),
        absent(reading("b", TextSource::CandidateOutput, 0, &[])),
    ]
}

fn pair() -> [RunRecord; 2] {
    [
        record(Role::Baseline, readings(2.0)),
        record(Role::Candidate, readings(1.0)),
    ]
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6,
        "{found} against {expected}"
    );
}

#[track_caller]
fn check(found: &Score, expected: Result<f64, &'static str>) {
    match (found, expected) {
        (Score::Value(found), Ok(expected)) => close(*found, expected),
        (Score::Absent(found), Err(expected)) => assert_eq!(*found, expected),
        (found, expected) => panic!("{found:?} against {expected:?}"),
    }
}

#[test]
fn scenes_have_the_scores_of_their_texts() {
    let [base, cand] = pair();
    let mut scores = [vec![], vec![]];
    for scores in &mut scores {
        scores.extend(["a", "b", "c"].map(|scene| SceneScores {
            scene: scene.to_owned(),
            scores: std::collections::BTreeMap::new(),
            notes: Vec::new(),
            reasons: Vec::new(),
        }));
    }
    enter(&mut scores, [&base, &cand]);
    let [of_base, of_cand] = &scores;
    // Eight bits on 8 bytes and on 4: the mean of 1 and 2.
    check(&of_base[0].scores[REFERENCE], Ok(1.5));
    check(&of_cand[0].scores[REFERENCE], Ok(0.75));
    // Its own output, then the same under the other model.
    check(&of_base[0].scores[OWN], Ok(0.5));
    check(&of_base[0].scores[CROSS], Ok(0.25));
    check(&of_cand[0].scores[OWN], Ok(0.5));
    check(&of_cand[0].scores[CROSS], Ok(1.0));
    check(&of_base[1].scores[REFERENCE], Err(NO_REFERENCE));
    check(&of_base[1].scores[CROSS], Ok(1.0));
    check(&of_cand[1].scores[CROSS], Err(NO_TEXT));
    for scores in [of_base, of_cand] {
        for id in [REFERENCE, OWN, CROSS] {
            check(&scores[2].scores[id], Err(NOT_READ));
        }
    }
}

#[test]
fn a_set_is_summed_over_texts_that_both_have_read() {
    let [mut base, cand] = pair();
    let found = Likelihoods::of(&base, &cand);
    let references = found.references.unwrap();
    // Sixteen bits on 12 bytes.
    close(references.baseline.bits_per_byte, 16.0 / 12.0);
    close(references.candidate.bits_per_byte, 8.0 / 12.0);
    assert_eq!(references.baseline.n_texts, 2);
    let outputs = found.candidate_outputs.unwrap();
    close(outputs.baseline.bits_per_byte, 1.0);
    assert_eq!(outputs.baseline.n_texts, 1);
    base.readings[1] = absent(base.readings[1].clone());
    let references = Likelihoods::of(&base, &cand).references.unwrap();
    assert_eq!(references.candidate.n_texts, 1);
    close(references.candidate.bits_per_byte, 0.5);
}

fn distance(divergence: &[f32], other_first: &[usize]) -> ReadingDistance {
    ReadingDistance {
        divergence: divergence.to_vec(),
        other_first: other_first.to_vec(),
    }
}

#[test]
fn distances_are_those_of_the_candidate() {
    let [base, mut cand] = pair();
    cand.readings[0].distance = Some(distance(&[0.5, 0.0, 0.25, 0.25], &[0, 2]));
    cand.readings[1].distance = Some(distance(&[1.0; 4], &[3]));
    let fidelity = Likelihoods::of(&base, &cand).fidelity.unwrap();
    assert_eq!(fidelity.divergence.n, 8);
    close(fidelity.divergence.mean.mean, 5.0 / 8.0);
    close(fidelity.same_first.mean, 5.0 / 8.0);
    // From a quarter to a half.
    close(fidelity.rms_probability_change, 0.25);
}

#[test]
fn a_missing_distance_has_its_reason() {
    let [base, mut cand] = pair();
    let reason = |base: &RunRecord, cand: &RunRecord| Likelihoods::of(base, cand).fidelity;
    assert_eq!(reason(&base, &cand), Err(NoFidelity::NotCompared));
    let unread = record(Role::Baseline, vec![]);
    assert_eq!(reason(&unread, &cand), Err(NoFidelity::NotRead));
    cand.model.tokenizer_sha256 = Some(Sha256::of(b"other"));
    let message = reason(&base, &cand).unwrap_err().to_string();
    assert!(
        message.starts_with("the tokenizers differ: sha256 "),
        "{message}"
    );
}

#[test]
fn readings_that_no_run_makes_are_named() {
    #[track_caller]
    fn check(role: Role, edit: impl FnOnce(&mut RunRecord), expected: Option<(&str, &str)>) {
        let mut record = record(role, readings(1.0));
        edit(&mut record);
        assert_eq!(fault(&record, true), expected);
    }
    let of = Role::Candidate;
    check(of, |_| {}, None);
    check(
        of,
        |it| it.readings[0].distance = Some(distance(&[0.0; 4], &[])),
        None,
    );
    let number = "has a likelihood that is no number from 0 on";
    check(
        of,
        |it| it.readings[0].nll[1] = f32::NAN,
        Some(("a", number)),
    );
    check(of, |it| it.readings[4].nll[1] = -0.5, Some(("b", number)));
    let both = "has no tokens and no reason, or both";
    check(of, |it| it.readings[1].nll.clear(), Some(("a", both)));
    let count = "has another number of divergences than of tokens, or one that is no number";
    check(
        of,
        |it| it.readings[0].distance = Some(distance(&[0.0; 3], &[])),
        Some(("a", count)),
    );
    let places = "has places that are not in the text";
    check(
        of,
        |it| it.readings[0].distance = Some(distance(&[0.0; 4], &[4])),
        Some(("a", places)),
    );
    check(
        of,
        |it| it.readings[0].distance = Some(distance(&[0.0; 4], &[2, 1])),
        Some(("a", places)),
    );
    let none = "has a distance where there is none";
    check(
        of,
        |it| it.readings[2].distance = Some(distance(&[0.0; 4], &[])),
        Some(("a", none)),
    );
    let edit = |it: &mut RunRecord| it.readings[0].distance = Some(distance(&[0.0; 4], &[]));
    check(Role::Baseline, edit, Some(("a", none)));
    check(of, |it| it.readings.truncate(4), Some(("b", "is missing")));
    check(of, |it| it.readings.clear(), Some(("a", "is missing")));
    let other = "stands where the plan has another or none";
    check(of, |it| it.readings.rotate_left(4), Some(("b", other)));
    check(of, |it| it.plan.n_read = 1, Some(("b", other)));
}

#[test]
fn readings_that_a_failure_of_either_role_cut_off_are_no_fault() {
    let mut record = record(Role::Baseline, readings(1.0));
    record.readings.truncate(4);
    assert_eq!(fault(&record, true), Some(("b", "is missing")));
    assert_eq!(fault(&record, false), None);
    record.readings[0].nll[1] = f32::NAN;
    assert!(fault(&record, false).is_some());
}
