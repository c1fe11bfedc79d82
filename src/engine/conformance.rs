//! What every engine must do, as checks that panic on a violation.

use super::{Batch, Engine, Error};
use crate::model::Numerics;

/// Largest change of a logit, as a share of the spread of all logits, when the same tokens are split
/// otherwise between calls of a [`Numerics::CpuDependent`] engine. Such engines may round
/// activations to 8 bits in other blocks for one token than for many, an error of 1/254 of the
/// largest value of a block in every product; a token at a wrong position or missing from the
/// context moves logits by a third of their spread.
const SPLIT_TOLERANCE: f32 = 0.02;

/// Runs all checks. The context limit must be at least 70 tokens, the vocabulary at least 8.
///
/// # Panics
/// When a promise of [`Engine`] is broken.
pub fn check_all(engine: &mut dyn Engine) {
    equal_input_gives_equal_bits(engine);
    match engine.numerics() {
        Numerics::Fixed => splitting_the_input_changes_no_bit(engine),
        Numerics::CpuDependent => splitting_the_input_changes_little(engine),
    }
    all_positions_equal_the_last_of_each_prefix(engine);
    reset_forgets_everything(engine);
    too_long_a_context_is_refused(engine);
    an_unknown_token_is_refused(engine);
}

/// A prompt longer than any chunk an engine is likely to compute at once.
fn prompt(engine: &dyn Engine) -> Vec<u32> {
    let vocab = u32::try_from(engine.vocab_size()).expect("token ids fit u32");
    (0..70).map(|i| (i * 7 + i / 5) % vocab).collect()
}

fn logits(engine: &mut dyn Engine, pieces: &[&[u32]]) -> Vec<u32> {
    engine.reset();
    let mut last = Vec::new();
    for piece in pieces {
        let logits = engine.feed(piece).expect("the prompt fits");
        last = logits.iter().map(|x| x.to_bits()).collect();
    }
    assert_eq!(last.len(), engine.vocab_size(), "one logit per token");
    last
}

/// The same tokens twice give the same bits.
///
/// # Panics
/// When they do not.
pub fn equal_input_gives_equal_bits(engine: &mut dyn Engine) {
    let ids = prompt(engine);
    let first = logits(engine, &[&ids]);
    assert_eq!(first, logits(engine, &[&ids]), "two runs differ");
}

/// Feeding at once, in pieces or token by token gives the same bits.
///
/// # Panics
/// When it does not.
pub fn splitting_the_input_changes_no_bit(engine: &mut dyn Engine) {
    let ids = prompt(engine);
    let whole = logits(engine, &[&ids]);
    for pieces in splits(&ids) {
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(
            whole,
            logits(engine, &pieces),
            "pieces of {lengths:?} differ"
        );
    }
}

/// Feeding at once, in pieces or token by token gives nearly the same logits.
///
/// # Panics
/// When they differ by more than `SPLIT_TOLERANCE`.
pub fn splitting_the_input_changes_little(engine: &mut dyn Engine) {
    let ids = prompt(engine);
    let floats = |bits: Vec<u32>| -> Vec<f32> { bits.into_iter().map(f32::from_bits).collect() };
    let whole = floats(logits(engine, &[&ids]));
    let least = whole.iter().copied().fold(f32::INFINITY, f32::min);
    let spread = whole.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
    assert!(spread > 0.0, "logits tell tokens apart");
    for pieces in splits(&ids) {
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        let split = floats(logits(engine, &pieces));
        for (token, (a, b)) in whole.iter().zip(split).enumerate() {
            let change = (a - b).abs() / spread;
            assert!(
                change <= SPLIT_TOLERANCE,
                "pieces of {lengths:?} change logit {token} by {change} of the spread"
            );
        }
    }
}

/// Ways to split a prompt: token by token, in pieces of one size, and tokens alone between others.
fn splits(ids: &[u32]) -> Vec<Vec<&[u32]>> {
    let mut all: Vec<Vec<&[u32]>> = [1, 2, 13, 64, 69]
        .into_iter()
        .map(|size| ids.chunks(size).collect())
        .collect();
    all.push(vec![&ids[..1], &ids[1..31], &ids[31..32], &ids[32..]]);
    all
}

/// The logits of all positions are those of the prefixes.
///
/// # Panics
/// When they are not.
pub fn all_positions_equal_the_last_of_each_prefix(engine: &mut dyn Engine) {
    let ids = prompt(engine);
    engine.reset();
    let mut all = Vec::new();
    engine.feed_all(&ids, &mut all).expect("the prompt fits");
    assert_eq!(engine.position(), ids.len(), "every token counts");
    let rows: Vec<&[f32]> = all.chunks_exact(engine.vocab_size()).collect();
    assert_eq!(rows.len(), ids.len(), "one row per token");
    engine.reset();
    for (id, row) in ids.iter().zip(rows) {
        let single = engine.feed(&[*id]).expect("the prompt fits");
        assert!(
            single
                .iter()
                .zip(row)
                .all(|(a, b)| a.to_bits() == b.to_bits()),
            "a row differs"
        );
    }
}

/// After a reset nothing of the earlier context is left.
///
/// # Panics
/// When something is.
pub fn reset_forgets_everything(engine: &mut dyn Engine) {
    let fresh = logits(engine, &[&[1, 2, 3]]);
    engine.feed(&[4, 5, 6, 7]).expect("the tokens fit");
    assert_eq!(engine.position(), 7, "every token counts");
    engine.reset();
    assert_eq!(engine.position(), 0, "a reset empties the context");
    assert_eq!(
        fresh,
        logits(engine, &[&[1, 2, 3]]),
        "a reset leaves traces"
    );
}

/// A context over the limit is refused, and the context stays as it was.
///
/// # Panics
/// When it is accepted, or refused with another error.
pub fn too_long_a_context_is_refused(engine: &mut dyn Engine) {
    let limit = engine.context_limit();
    engine.reset();
    engine.feed(&[1]).expect("one token fits");
    let full = Error::ContextFull {
        limit,
        wanted: limit + 1,
    };
    assert_eq!(
        engine.feed(&vec![1; limit]).map(<[f32]>::len),
        Err(full.clone())
    );
    assert_eq!(
        engine.feed_all(&vec![1; limit], &mut Vec::new()),
        Err(full.clone())
    );
    assert_eq!(engine.reserve(limit + 1), Err(full));
    assert_eq!(engine.position(), 1, "a refusal changes nothing");
    engine
        .reserve(70.min(limit))
        .expect("the limit was not reached");
    engine.feed(&[1]).expect("the context is still usable");
}

/// A token outside the vocabulary is refused, and the context stays as it was.
///
/// # Panics
/// When it is accepted, or refused with another error.
pub fn an_unknown_token_is_refused(engine: &mut dyn Engine) {
    let vocab_size = engine.vocab_size();
    let id = u32::try_from(vocab_size).expect("token ids fit u32");
    engine.reset();
    let error = Error::UnknownToken { id, vocab_size };
    assert_eq!(engine.feed(&[1, id]).map(<[f32]>::len), Err(error.clone()));
    assert_eq!(engine.feed_all(&[1, id], &mut Vec::new()), Err(error));
    assert_eq!(engine.position(), 0, "a refusal changes nothing");
}

/// Sequences fed together get the bits each gets alone, and do not see each other.
///
/// # Panics
/// When they do not.
pub fn sequences_get_the_bits_they_get_alone(engine: &mut dyn Batch) {
    let vocab_size = engine.vocab_size();
    let ids = prompt(engine);
    let prompts = [&ids[..9], &ids[5..6], &ids[20..50]];
    let expected: Vec<Vec<u32>> = prompts
        .iter()
        .map(|ids| logits(engine, &[&ids[..], &[3]]))
        .collect();
    engine.open(prompts.len(), 60).expect("the prompts fit");
    for (sequence, ids) in prompts.iter().enumerate() {
        engine
            .feed_sequence(sequence, ids)
            .expect("the prompt fits");
    }
    let next = [(2, 3), (0, 3), (1, 3)];
    let rows = engine.feed_each(&next).expect("one token fits");
    assert_eq!(rows.len(), next.len() * vocab_size, "one row per sequence");
    for ((sequence, _), row) in next.iter().zip(rows.chunks_exact(vocab_size)) {
        let bits: Vec<u32> = row.iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits, expected[*sequence], "sequence {sequence} differs");
    }
    engine.open(1, 60).expect("one sequence fits");
    assert_eq!(engine.position(), 0, "opening empties the context");
}
