//! Batches against decoding one by one.

use proptest::prelude::*;

use super::*;
use crate::engine::BitNet;
use crate::model::synthetic::{Spec, synthetic};

const CONTEXT: usize = 24;
const VOCAB: usize = 32;

fn engine() -> BitNet {
    let spec = Spec {
        n_layers: 1,
        vocab_size: VOCAB,
        max_positions: CONTEXT,
        ..Spec::TINY
    };
    let (config, weights) = synthetic(spec, 5);
    BitNet::new(&config, weights)
}

/// A batch without any sharing of work: one engine per sequence, fed one by one.
struct Several {
    engines: Vec<BitNet>,
    /// Tokens of each sequence.
    fed: Vec<Vec<u32>>,
    logits: Vec<f32>,
    /// Tokens computed, copies not counted.
    n_computed: usize,
    /// Calls of `feed_each` and the sequences of the largest.
    calls: (usize, usize),
    /// Logits of a sequence are NaN from the moment it holds this token.
    poison: Option<u32>,
}

impl Several {
    fn new(poison: Option<u32>) -> Self {
        Self {
            engines: vec![engine()],
            fed: vec![Vec::new()],
            logits: Vec::new(),
            n_computed: 0,
            calls: (0, 0),
            poison,
        }
    }

    fn feed_one(&mut self, sequence: usize, ids: &[u32]) -> Result<(), Error> {
        let mut logits = self.engines[sequence].feed(ids)?.to_vec();
        self.n_computed += ids.len();
        self.fed[sequence].extend_from_slice(ids);
        if self
            .poison
            .is_some_and(|id| self.fed[sequence].contains(&id))
        {
            logits[1] = f32::NAN;
        }
        self.logits.extend_from_slice(&logits);
        Ok(())
    }
}

impl Engine for Several {
    fn vocab_size(&self) -> usize {
        VOCAB
    }
    fn context_limit(&self) -> usize {
        CONTEXT
    }
    fn position(&self) -> usize {
        self.fed[0].len()
    }
    fn reset(&mut self) {
        self.engines[0].reset();
        self.fed[0].clear();
    }
    fn reserve(&mut self, tokens: usize) -> Result<(), Error> {
        self.engines[0].reserve(tokens)
    }
    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.feed_sequence(0, ids)
    }
    fn feed_all(&mut self, _: &[u32], _: &mut Vec<f32>) -> Result<(), Error> {
        unreachable!("nobody asks for all logits")
    }
    fn as_batch(&mut self) -> Option<&mut dyn Batch> {
        Some(self)
    }
}

impl Batch for Several {
    fn open(&mut self, n: usize, tokens: usize) -> Result<(), Error> {
        assert!(tokens <= CONTEXT);
        self.engines = (0..n).map(|_| engine()).collect();
        self.fed = vec![Vec::new(); n];
        Ok(())
    }

    fn copy_prefix(&mut self, from: usize, to: usize, tokens: usize) {
        let ids = self.fed[from][..tokens].to_vec();
        self.engines[to].reset();
        if tokens > 0 {
            self.engines[to].feed(&ids).unwrap();
        }
        self.fed[to] = ids;
    }

    fn feed_sequence(&mut self, sequence: usize, ids: &[u32]) -> Result<&[f32], Error> {
        self.logits.clear();
        self.feed_one(sequence, ids)?;
        Ok(&self.logits)
    }

    fn feed_each(&mut self, next: &[(usize, u32)]) -> Result<&[f32], Error> {
        self.calls = (self.calls.0 + 1, self.calls.1.max(next.len()));
        self.logits.clear();
        for &(sequence, id) in next {
            self.feed_one(sequence, &[id])?;
        }
        Ok(&self.logits)
    }
}

fn one_by_one(
    engine: &mut dyn Engine,
    prompts: &[Vec<u32>],
    limits: &DecodeLimits,
) -> Vec<Decoded> {
    let single = |ids: &Vec<u32>| generate_greedy(engine, ids, limits, &mut |_, _| {});
    prompts.iter().map(single).collect()
}

/// As text, because a NaN is not equal to itself.
fn shown(outputs: &[Decoded]) -> Vec<String> {
    outputs.iter().map(|output| format!("{output:?}")).collect()
}

fn limits(max_new_tokens: usize, stop_ids: &[u32]) -> DecodeLimits {
    DecodeLimits {
        max_new_tokens,
        stop_ids: stop_ids.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_batch_says_what_each_prompt_says_alone(
        shared in prop::collection::vec(0..VOCAB as u32, 0..8),
        // Ids up to 33 and lengths up to 30: some prompts are refused.
        tails in prop::collection::vec(prop::collection::vec(0u32..34, 1..22), 1..9),
        stop_ids in prop::collection::vec(0..VOCAB as u32, 0..6),
        max_new_tokens in 0usize..30,
        max_batch in 1usize..6,
        poison in prop::option::of(0..VOCAB as u32),
    ) {
        let prompts: Vec<Vec<u32>> = tails.iter().map(|tail| [&shared[..], tail].concat()).collect();
        let limits = limits(max_new_tokens, &stop_ids);
        let expected = one_by_one(&mut Several::new(poison), &prompts, &limits);
        let found = generate_batch(&mut Several::new(poison), &prompts, &limits, max_batch);
        prop_assert_eq!(shown(&found), shown(&expected));

        let expected = one_by_one(&mut engine(), &prompts, &limits);
        let found = generate_all(&mut engine(), &prompts, &limits, max_batch);
        prop_assert_eq!(shown(&found), shown(&expected));
    }
}

#[test]
fn the_common_beginning_is_computed_once() {
    let shared = [3, 1, 4, 1, 5, 9, 2, 6];
    let prompts: Vec<Vec<u32>> = (10..15)
        .map(|id| [&shared[..], &[id, id]].concat())
        .collect();
    let mut engine = Several::new(None);
    let outputs = generate_batch(&mut engine, &prompts, &limits(1, &[]), 2);
    assert!(outputs.iter().all(Result::is_ok));
    // Eight tokens once, two of each prompt; one new token is chosen and not fed.
    assert_eq!(engine.n_computed, 8 + 5 * 2);
}

#[test]
fn equal_prompts_share_all_but_their_last_token() {
    let prompts = vec![vec![7; 6]; 3];
    let mut engine = Several::new(None);
    let outputs = generate_batch(&mut engine, &prompts, &limits(1, &[]), 8);
    assert_eq!(shown(&outputs[1..]), shown(&outputs[..2]));
    assert_eq!(engine.n_computed, 5 + 3);
}

#[test]
fn sequences_that_end_make_place() {
    let prompts: Vec<Vec<u32>> = (0..6).map(|id| vec![id, id + 1]).collect();
    let mut engine = Several::new(None);
    generate_batch(&mut engine, &prompts, &limits(4, &[]), 3);
    // Four tokens are chosen, three of them fed: two full batches of three steps.
    assert_eq!(engine.calls, (6, 3));
}

#[test]
fn one_bad_prompt_does_not_spoil_the_others() {
    let prompts = vec![
        vec![1, 2],
        vec![1; CONTEXT + 1],
        vec![1, 99],
        vec![1, 30],
        vec![1, 3],
    ];
    let found = generate_batch(&mut Several::new(Some(30)), &prompts, &limits(2, &[]), 2);
    let is_error = |i: usize| found[i].as_ref().unwrap_err();
    assert!(found[0].is_ok() && found[4].is_ok());
    assert!(matches!(is_error(1), Error::ContextFull { wanted: 25, .. }));
    assert!(matches!(is_error(2), Error::UnknownToken { id: 99, .. }));
    assert!(matches!(
        is_error(3),
        Error::NotFinite {
            position: 1,
            index: 1,
            ..
        }
    ));
}

#[test]
fn nothing_to_decode_is_nothing() {
    assert!(generate_batch(&mut Several::new(None), &[], &limits(2, &[]), 2).is_empty());
}
