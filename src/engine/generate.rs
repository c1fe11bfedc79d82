//! Decoding of outputs, one by one or many together.

use super::{Batch, DecodeLimits, Engine, Error, StopReason, argmax, check_finite};

/// An output and why it ended, or why there is none.
pub type Decoded = Result<(Vec<u32>, StopReason), Error>;

/// Feeds a prompt to an empty context and decodes greedily until a limit is met.
///
/// * `prompt_ids`: at least one
/// * `on_token`: called with index, from 0, and id of each output token as soon as it is chosen;
///   the stop token is not part of the output
///
/// Gives the output tokens and why they ended. The last token chosen is not fed.
///
/// # Errors
/// [`Error::ContextFull`] when the prompt alone does not fit, [`Error::UnknownToken`],
/// [`Error::NotFinite`].
///
/// # Panics
/// When `prompt_ids` is empty.
pub fn generate_greedy(
    engine: &mut dyn Engine,
    prompt_ids: &[u32],
    limits: &DecodeLimits,
    on_token: &mut dyn FnMut(usize, u32),
) -> Decoded {
    engine.reset();
    let context_limit = engine.context_limit();
    let mut output = Vec::with_capacity(limits.max_new_tokens.min(context_limit));
    let mut position = prompt_ids.len();
    let mut logits = engine.feed(prompt_ids)?;
    loop {
        let n_before = output.len();
        let step = choose(logits, position, context_limit, limits, &mut output)?;
        if output.len() > n_before {
            on_token(n_before, output[n_before]);
        }
        match step {
            Step::Stop(reason) => return Ok((output, reason)),
            Step::Feed(id) => logits = engine.feed(&[id])?,
        }
        position += 1;
    }
}

/// Decodes every prompt as [`generate_greedy`] does, with the same outputs, many at once where the
/// engine can do that.
///
/// * `prompts`: `[prompts]` token ids, each at least one
/// * `max_batch`: contexts held at the same time, at least 1
///
/// Gives one entry per prompt, in their order; an error of one does not touch the others.
///
/// # Panics
/// When a prompt is empty or `max_batch` is 0.
pub fn generate_all(
    engine: &mut dyn Engine,
    prompts: &[Vec<u32>],
    limits: &DecodeLimits,
    max_batch: usize,
) -> Vec<Decoded> {
    if let Some(batch) = engine.as_batch() {
        return generate_batch(batch, prompts, limits, max_batch);
    }
    let single = |ids: &Vec<u32>| generate_greedy(engine, ids, limits, &mut |_, _| {});
    prompts.iter().map(single).collect()
}

/// Decodes many prompts together, each as [`generate_greedy`] would.
///
/// What all prompts have in common at their beginning is computed once and copied. Sequences that
/// end make place for prompts that wait.
///
/// * `prompts`: `[prompts]` token ids, each at least one
/// * `max_batch`: sequences decoded at the same time, at least 1; one more holds the common part
///
/// Gives one entry per prompt, in their order; an error of one does not touch the others.
///
/// # Panics
/// When a prompt is empty or `max_batch` is 0.
pub fn generate_batch(
    engine: &mut dyn Batch,
    prompts: &[Vec<u32>],
    limits: &DecodeLimits,
    max_batch: usize,
) -> Vec<Decoded> {
    assert!(max_batch > 0, "a batch has a sequence");
    let mut batch = Batching {
        context_limit: engine.context_limit(),
        limits,
        prompts,
        prefix: 0,
        done: prompts.iter().map(|ids| refusal(engine, ids)).collect(),
        running: Vec::new(),
    };
    let mut waiting: Vec<usize> = (0..prompts.len())
        .rev()
        .filter(|&prompt| batch.done[prompt].is_none())
        .collect();
    if !waiting.is_empty()
        && let Err(error) = batch.open(engine, &waiting, max_batch)
    {
        waiting
            .drain(..)
            .for_each(|p| batch.done[p] = Some(Err(error.clone())));
    }
    let mut free: Vec<usize> = (1..=max_batch).rev().collect();
    loop {
        while let Some(&sequence) = free.last() {
            let Some(prompt) = waiting.pop() else { break };
            if batch.begin(engine, prompt, sequence) {
                free.pop();
            }
        }
        if batch.running.is_empty() {
            break;
        }
        batch.step(engine, &mut free);
    }
    let done = batch.done.into_iter();
    done.map(|output| output.expect("every prompt was decoded or refused"))
        .collect()
}

/// What follows from the logits after a token.
enum Step {
    /// The token just chosen is fed next.
    Feed(u32),
    /// The output has ended.
    Stop(StopReason),
}

/// Chooses the next token, appends it to `output` and says how to go on: the one definition of
/// when an output ends.
///
/// * `position`: tokens fed so far
fn choose(
    logits: &[f32],
    position: usize,
    context_limit: usize,
    limits: &DecodeLimits,
    output: &mut Vec<u32>,
) -> Result<Step, Error> {
    check_finite(logits, position - 1)?;
    if output.len() == limits.max_new_tokens {
        return Ok(Step::Stop(StopReason::MaxTokens));
    }
    let id = argmax(logits);
    if limits.stop_ids.contains(&id) {
        return Ok(Step::Stop(StopReason::Eos));
    }
    output.push(id);
    if output.len() == limits.max_new_tokens {
        Ok(Step::Stop(StopReason::MaxTokens))
    } else if position == context_limit {
        Ok(Step::Stop(StopReason::ContextFull))
    } else {
        Ok(Step::Feed(id))
    }
}

/// Why the engine would refuse a prompt, without feeding it.
fn refusal(engine: &dyn Batch, prompt: &[u32]) -> Option<Decoded> {
    assert!(!prompt.is_empty(), "a prompt holds at least one token");
    let (limit, vocab_size) = (engine.context_limit(), engine.vocab_size());
    let unknown = prompt.iter().find(|id| **id as usize >= vocab_size);
    if let Some(&id) = unknown {
        Some(Err(Error::UnknownToken { id, vocab_size }))
    } else if prompt.len() > limit {
        let wanted = prompt.len();
        Some(Err(Error::ContextFull { limit, wanted }))
    } else {
        None
    }
}

/// One output being written.
struct Running {
    prompt: usize,
    sequence: usize,
    /// Tokens in the sequence.
    position: usize,
    output: Vec<u32>,
    /// Chosen, not fed yet.
    next: u32,
}

/// The state of one call of [`generate_batch`].
struct Batching<'a> {
    context_limit: usize,
    limits: &'a DecodeLimits,
    prompts: &'a [Vec<u32>],
    /// Tokens at the start of every prompt that sequence 0 holds.
    prefix: usize,
    /// One entry per prompt; `None` while it waits or runs.
    done: Vec<Option<Decoded>>,
    running: Vec<Running>,
}

impl Batching<'_> {
    /// Makes room and feeds the common beginning of the `waiting` prompts to sequence 0.
    fn open(
        &mut self,
        engine: &mut dyn Batch,
        waiting: &[usize],
        max_batch: usize,
    ) -> Result<(), Error> {
        let prompts: Vec<&[u32]> = waiting
            .iter()
            .map(|&p| self.prompts[p].as_slice())
            .collect();
        let longest = prompts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        // The last token chosen is not fed.
        let further = self.limits.max_new_tokens.saturating_sub(1);
        let room = longest.saturating_add(further).min(self.context_limit);
        engine.open(1 + max_batch.min(prompts.len()), room)?;
        let prefix = common_prefix(&prompts);
        if prefix > 0 {
            engine.feed_sequence(0, &prompts[0][..prefix])?;
        }
        self.prefix = prefix;
        Ok(())
    }

    /// Feeds a prompt to a free sequence; gives whether the sequence is in use then.
    fn begin(&mut self, engine: &mut dyn Batch, prompt: usize, sequence: usize) -> bool {
        let ids = &self.prompts[prompt];
        engine.copy_prefix(0, sequence, self.prefix);
        let mut running = Running {
            prompt,
            sequence,
            position: ids.len(),
            output: Vec::new(),
            next: 0,
        };
        let logits = match engine.feed_sequence(sequence, &ids[self.prefix..]) {
            Ok(logits) => logits,
            Err(error) => {
                self.done[prompt] = Some(Err(error));
                return false;
            }
        };
        match running.advance(logits, self.context_limit, self.limits) {
            Some(ended) => self.done[prompt] = Some(ended),
            None => self.running.push(running),
        }
        self.done[prompt].is_none()
    }

    /// Feeds every running sequence its token; those that end leave their sequence to others.
    fn step(&mut self, engine: &mut dyn Batch, free: &mut Vec<usize>) {
        let next: Vec<(usize, u32)> = self.running.iter().map(|r| (r.sequence, r.next)).collect();
        let vocab_size = engine.vocab_size();
        let logits = match engine.feed_each(&next) {
            Ok(logits) => logits,
            // Room was made and ids come from the vocabulary: an engine that refuses all the same
            // refuses every sequence of the call.
            Err(error) => {
                for running in self.running.drain(..) {
                    self.done[running.prompt] = Some(Err(error.clone()));
                    free.push(running.sequence);
                }
                return;
            }
        };
        let mut rows = logits.chunks_exact(vocab_size);
        let (done, limits, context_limit) = (&mut self.done, self.limits, self.context_limit);
        self.running.retain_mut(|running| {
            running.position += 1;
            let row = rows.next().expect("one row of logits per sequence");
            let ended = running.advance(row, context_limit, limits);
            let goes_on = ended.is_none();
            if !goes_on {
                done[running.prompt] = ended;
                free.push(running.sequence);
            }
            goes_on
        });
    }
}

impl Running {
    /// Takes the next token from `logits`; gives the output when it has ended.
    fn advance(
        &mut self,
        logits: &[f32],
        context_limit: usize,
        limits: &DecodeLimits,
    ) -> Option<Decoded> {
        let step = choose(
            logits,
            self.position,
            context_limit,
            limits,
            &mut self.output,
        );
        match step {
            Ok(Step::Feed(id)) => {
                self.next = id;
                None
            }
            Ok(Step::Stop(reason)) => Some(Ok((std::mem::take(&mut self.output), reason))),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Tokens at the start that all prompts share; every prompt keeps at least one for itself, whose
/// logits choose its first token. A prompt that is alone shares nothing.
fn common_prefix(prompts: &[&[u32]]) -> usize {
    let [first, rest @ ..] = prompts else {
        return 0;
    };
    if rest.is_empty() {
        return 0;
    }
    let shared = |other: &&[u32]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    let shortest = prompts.iter().map(|ids| ids.len()).min().unwrap_or(0);
    let shared = rest.iter().map(shared).min().unwrap_or(0);
    shared.min(shortest.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::BitNet;
    use crate::model::synthetic::{Spec, synthetic};

    fn engine() -> BitNet {
        let (config, weights) = synthetic(
            Spec {
                max_positions: 12,
                ..Spec::SMALL
            },
            1,
        );
        BitNet::new(&config, weights)
    }

    fn decode(max_new_tokens: usize, stop_ids: Vec<u32>) -> (Vec<u32>, StopReason) {
        let limits = DecodeLimits {
            max_new_tokens,
            stop_ids,
        };
        let mut seen = Vec::new();
        let result = generate_greedy(&mut engine(), &[1, 2, 3], &limits, &mut |i, id| {
            assert_eq!(i, seen.len());
            seen.push(id);
        });
        let (output, reason) = result.unwrap();
        assert_eq!(output, seen);
        (output, reason)
    }

    #[test]
    fn an_output_ends_at_the_token_limit() {
        let (output, reason) = decode(4, vec![]);
        assert_eq!((output.len(), reason), (4, StopReason::MaxTokens));
        assert_eq!(decode(0, vec![]), (vec![], StopReason::MaxTokens));
    }

    #[test]
    fn an_output_ends_before_a_stop_token() {
        let (free, _) = decode(4, vec![]);
        let first = free.iter().position(|id| *id == free[3]).unwrap();
        assert_eq!(
            decode(4, vec![free[3]]),
            (free[..first].to_vec(), StopReason::Eos)
        );
    }

    #[test]
    fn an_output_ends_where_the_context_does() {
        let (output, reason) = decode(100, vec![]);
        // Twelve positions hold the prompt of 3 and 9 tokens; a tenth is chosen but not fed.
        assert_eq!((output.len(), reason), (10, StopReason::ContextFull));
    }
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod batch_tests;
