//! Likelihoods of made-up models whose probabilities are known.

use proptest::prelude::*;

use super::*;
use crate::engine::BitNet;
use crate::model::synthetic::{Spec, synthetic};

/// The same logits after every token; counts rows asked for at once.
struct Fixed {
    row: Vec<f32>,
    n: usize,
    most_rows: usize,
}

fn fixed(row: &[f32]) -> Fixed {
    Fixed {
        row: row.to_vec(),
        n: 0,
        most_rows: 0,
    }
}

impl Engine for Fixed {
    fn vocab_size(&self) -> usize {
        self.row.len()
    }
    fn context_limit(&self) -> usize {
        usize::MAX
    }
    fn position(&self) -> usize {
        self.n
    }
    fn reset(&mut self) {
        self.n = 0;
    }
    fn reserve(&mut self, _: usize) -> Result<(), Error> {
        Ok(())
    }
    fn feed(&mut self, _: &[u32]) -> Result<&[f32], Error> {
        unreachable!("all logits are needed")
    }
    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.n += ids.len();
        self.most_rows = self.most_rows.max(ids.len());
        *logits = self.row.repeat(ids.len());
        Ok(())
    }
}

/// Gives the natural logarithm of the probability of each of `ids` but the first, given those
/// before it.
fn log_probs(engine: &mut dyn Engine, ids: &[u32], sink: &mut dyn FnMut(f64)) -> Result<(), Error> {
    let (first, rest) = ids.split_at(1);
    Reader::new(engine).read(first, rest, &mut |logits, id| {
        sink(log_prob(logits, id));
        Ok(())
    })
}

/// `exp` of the mean negative [`log_probs`]; `None` below two tokens.
fn perplexity(engine: &mut dyn Engine, ids: &[u32]) -> Result<Option<f64>, Error> {
    let (mut sum, mut n) = (0.0, 0_u32);
    if ids.is_empty() {
        return Ok(None);
    }
    log_probs(engine, ids, &mut |log_prob| {
        sum += log_prob;
        n += 1;
    })?;
    Ok((n > 0).then(|| (-sum / f64::from(n)).exp()))
}

#[track_caller]
fn check(row: &[f32], ids: &[u32], expected: f64) {
    let found = perplexity(&mut fixed(row), ids).unwrap().unwrap();
    assert!((found / expected - 1.0).abs() < 1e-6, "{found}");
}

#[test]
fn a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large() {
    check(&[0.5; 7], &[1, 2, 3, 4], 7.0);
}

#[test]
fn perplexity_is_the_geometric_mean_of_inverse_probabilities() {
    // Probabilities 1/2, 1/4, 1/4; the first token is given.
    let row = [2f32.ln(), 0.0, 0.0];
    check(&row, &[2, 0], 2.0);
    check(&row, &[0, 1, 0], 8f64.sqrt());
}

#[test]
fn large_logits_do_not_overflow() {
    check(&[1e5, 1e5, -1e5], &[0, 1, 0], 2.0);
}

#[test]
fn logits_are_asked_for_in_chunks_of_bounded_size() {
    let mut engine = fixed(&vec![0.0; 1 << 17]);
    let mut n = 0;
    log_probs(&mut engine, &[1; 40], &mut |_| n += 1).unwrap();
    assert_eq!((n, engine.n, engine.most_rows), (39, 39, 16));
}

#[test]
fn one_token_has_no_perplexity() {
    assert_eq!(perplexity(&mut fixed(&[0.0]), &[0]), Ok(None));
    assert_eq!(perplexity(&mut fixed(&[0.0]), &[]), Ok(None));
}

#[test]
fn a_logit_that_is_not_finite_and_an_unknown_token_are_named() {
    let error = perplexity(&mut fixed(&[0.0, f32::NAN]), &[0, 0]).unwrap_err();
    assert!(matches!(
        error,
        Error::NotFinite {
            position: 0,
            index: 1,
            ..
        }
    ));
    let error = perplexity(&mut fixed(&[0.0, 0.0]), &[0, 5]).unwrap_err();
    assert_eq!(
        error,
        Error::UnknownToken {
            id: 5,
            vocab_size: 2
        }
    );
}

/// Vocabulary of four, three positions; figures by numpy in f64.
const FIRST: [[f32; 4]; 3] = [
    [1.0, 0.0, 2.0, -1.0],
    [0.5, 0.5, 0.0, 0.0],
    [4.0, 1.0, 0.0, 0.0],
];
const OTHER: [[f32; 4]; 3] = [
    [0.5, 0.2, 2.2, -1.0],
    [0.0, 1.0, 0.0, 0.0],
    [1.0, 2.0, 0.0, 0.0],
];
const NEXT: [u32; 3] = [2, 1, 0];

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6,
        "{found} against {expected}"
    );
}

#[test]
fn distances_and_probabilities_are_those_of_numpy() {
    let expected = [
        (0.440_190, 0.306_588, 0.038_628, true),
        (1.167_224, 0.743_668, 0.076_444, false),
        (0.082_886, 1.493_812, 1.126_466, false),
    ];
    for (i, (first, other, divergence, is_same_first)) in expected.into_iter().enumerate() {
        close(-log_prob(&FIRST[i], NEXT[i]), first);
        close(-log_prob(&OTHER[i], NEXT[i]), other);
        let found = Distance::of(&FIRST[i], &OTHER[i]);
        close(found.divergence, divergence);
        assert_eq!(found.is_same_first, is_same_first, "{i}");
    }
}

proptest! {
    #[test]
    fn a_model_is_no_distance_from_itself(row in prop::collection::vec(-50f32..50.0, 1..20)) {
        let found = Distance::of(&row, &row);
        prop_assert_eq!(found.divergence.to_bits(), 0.0f64.to_bits());
        prop_assert!(found.is_same_first);
    }

    #[test]
    fn divergence_is_never_negative_but_by_rounding(
        first in prop::collection::vec(-20f32..20.0, 9),
        other in prop::collection::vec(-20f32..20.0, 9),
    ) {
        let found = Distance::of(&first, &other).divergence;
        prop_assert!(found >= -1e-12 && found.is_finite(), "{}", found);
        prop_assert!(log_prob(&first, 0) <= 0.0);
    }
}

fn small_model() -> BitNet {
    let spec = Spec {
        n_layers: 2,
        vocab_size: 64,
        max_positions: 40,
        ..Spec::SMALL
    };
    let (config, weights) = synthetic(spec, 5);
    BitNet::new(&config, weights)
}

/// The logits before each token of a text, fed token by token to an empty context.
fn plainly(prompt: &[u32], text: &[u32]) -> Vec<Vec<f32>> {
    let mut engine = small_model();
    let mut rows = vec![engine.feed(prompt).unwrap().to_vec()];
    for id in &text[..text.len() - 1] {
        rows.push(engine.feed(&[*id]).unwrap().to_vec());
    }
    rows
}

#[test]
fn texts_read_one_after_another_have_the_logits_of_a_fresh_context() {
    let mut engine = small_model();
    let mut reader = Reader::new(&mut engine);
    // The same prompt again, a longer one, one that begins alike, another, and single tokens.
    let cases: [(&[u32], &[u32]); 7] = [
        (&[1, 2, 3, 4], &[5, 6, 7]),
        (&[1, 2, 3, 4], &[8]),
        (&[1, 2, 3, 4, 5, 6], &[7, 9]),
        (&[1, 2, 60], &[5, 6, 7]),
        (&[9], &[1, 2]),
        (&[9], &[1, 2]),
        (&[1, 2, 3, 4], &[5, 6, 7]),
    ];
    for (prompt, text) in cases {
        let mut rows = Vec::new();
        reader
            .read(prompt, text, &mut |row, id| {
                assert_eq!(id, text[rows.len()]);
                rows.push(row.to_vec());
                Ok::<(), Error>(())
            })
            .unwrap();
        assert_eq!(rows, plainly(prompt, text), "{prompt:?} {text:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_does_not_spoil_the_next_text() {
    let mut engine = small_model();
    let mut reader = Reader::new(&mut engine);
    let mut read = |prompt: &[u32], text: &[u32]| {
        let mut rows = Vec::new();
        let outcome: Result<(), Error> = reader.read(prompt, text, &mut |row, _| {
            rows.push(row.to_vec());
            Ok(())
        });
        outcome.map(|()| rows)
    };
    assert_eq!(read(&[1], &[]), Ok(vec![]));
    assert_eq!(read(&[1; 30], &[1; 11]).map(|rows| rows.len()), Ok(11));
    let full = Error::ContextFull {
        limit: 40,
        wanted: 41,
    };
    assert_eq!(read(&[1; 30], &[1; 12]), Err(full));
    let unknown = Error::UnknownToken {
        id: 64,
        vocab_size: 64,
    };
    assert_eq!(read(&[1, 2], &[3, 64]), Err(unknown.clone()));
    assert_eq!(read(&[1, 64, 2], &[3]), Err(unknown));
    assert_eq!(read(&[1, 2], &[3, 4]), Ok(plainly(&[1, 2], &[3, 4])));
}
