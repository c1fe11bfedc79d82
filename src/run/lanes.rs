//! The two lanes of a worker and their timed regions.
//!
//! A timed region holds the model's work and nothing else: text is tokenised, room is made and
//! buffers are allocated when a generation is opened; replies are formatted after the clocks
//! have been read.

use std::time::Instant;

use super::probe::{Stopwatch, ns_between};
use super::protocol::{
    BatchOutcome, BatchOutput, BatchRequest, GenerateAnswer, Refusal, RefusalKind, Timing,
};
use super::worker::Subject;
use crate::engine::{self, DecodeLimits, Engine};
use crate::record::StopReason;

/// A prepared natural output.
#[derive(Debug)]
pub(super) struct Natural {
    prompt: String,
    /// Tokens of the prompt.
    pub(super) n_prompt: usize,
    limits: DecodeLimits,
    /// When each token was chosen; room for all of them.
    chosen_at: Vec<Instant>,
}

/// How much of a prompt and of the context a forced generation uses, in tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForcedLimits {
    pub(super) prompt_tokens: usize,
    pub(super) context_tokens: usize,
}

/// A prepared stretch of forced decoding.
#[derive(Debug)]
pub(super) struct Forced {
    prompt_ids: Vec<u32>,
    text_ids: Vec<u32>,
    /// Forced tokens fed since the prompt; `None` before the first prefill.
    cursor: Option<usize>,
}

impl Natural {
    /// Tokenises `prompt` to size the buffers; the timed region tokenises again.
    pub(super) fn open(
        subject: &mut dyn Subject,
        prompt: String,
        max_new_tokens: usize,
        ignore_stop: bool,
    ) -> Result<Self, Refusal> {
        let n_prompt = prompt_ids(subject, &prompt)?.len();
        let limit = subject.engine().context_limit();
        let room = n_prompt.saturating_add(max_new_tokens).min(limit);
        subject.engine().reset();
        subject
            .engine()
            .reserve(room)
            .map_err(|error| from_engine(&error))?;
        let stop_ids = if ignore_stop {
            Vec::new()
        } else {
            subject.stop_ids().to_vec()
        };
        Ok(Self {
            prompt,
            n_prompt,
            limits: DecodeLimits {
                max_new_tokens,
                stop_ids,
            },
            // One more than fits: the stop token may be reported too.
            chosen_at: Vec::with_capacity(room - n_prompt + 1),
        })
    }

    /// Writes the output.
    ///
    /// * `accepted`: when the request was accepted
    pub(super) fn generate(
        &mut self,
        subject: &mut dyn Subject,
        accepted: Instant,
    ) -> Result<GenerateAnswer, Refusal> {
        subject.engine().reset();
        self.chosen_at.clear();
        let ids = encoded(subject.encode_prompt(&self.prompt))?;
        let chosen_at = &mut self.chosen_at;
        let mut on_token = |_, _| chosen_at.push(Instant::now());
        let (token_ids, stop) =
            engine::generate_greedy(subject.engine(), &ids, &self.limits, &mut on_token)
                .map_err(|error| from_engine(&error))?;
        let ended = Instant::now();
        let text = subject.decode(&token_ids).map_err(refused)?;
        let ready = Instant::now();

        // An output that is only a stop token chose it right before the end.
        let first = self.chosen_at.first().copied().unwrap_or(ended);
        let n_timed = token_ids.len().min(self.chosen_at.len());
        Ok(GenerateAnswer {
            n_prompt: ids.len(),
            text,
            stop: recorded(stop),
            ttft_ns: ns_between(accepted, first),
            itl_ns: self.chosen_at[..n_timed]
                .windows(2)
                .map(|pair| ns_between(pair[0], pair[1]))
                .collect(),
            e2e_ns: ns_between(accepted, ready),
            token_ids,
        })
    }
}

impl Forced {
    /// Tokenises both texts and makes room.
    ///
    /// The prompt goes without its chat template: with equal tokenizers both roles then feed the
    /// same ids, and the work does not depend on which ids they are.
    ///
    /// * `limits`: how much of the prompt and of the context to use; never more than half the
    ///   context for the prompt, so that there is room to decode
    pub(super) fn open(
        subject: &mut dyn Subject,
        prompt: &str,
        text: &str,
        limits: ForcedLimits,
    ) -> Result<Self, Refusal> {
        let mut prompt_ids = encoded(subject.encode_text(prompt))?;
        let mut text_ids = encoded(subject.encode_text(text))?;
        let limit = subject.engine().context_limit().min(limits.context_tokens);
        prompt_ids.truncate(limits.prompt_tokens.min(limit / 2).max(1));
        text_ids.truncate(limit.saturating_sub(prompt_ids.len()));
        if text_ids.is_empty() {
            return Err(refused(format!(
                "a context of {limit} tokens has no room to decode"
            )));
        }
        subject.engine().reset();
        subject
            .engine()
            .reserve(prompt_ids.len() + text_ids.len())
            .map_err(|error| from_engine(&error))?;
        Ok(Self {
            prompt_ids,
            text_ids,
            cursor: None,
        })
    }

    /// Tokens of the prompt that are used.
    pub(super) fn n_prompt(&self) -> usize {
        self.prompt_ids.len()
    }

    /// Forced tokens that fit behind the prompt.
    pub(super) fn n_forced(&self) -> usize {
        self.text_ids.len()
    }

    /// Feeds the prompt into an empty context, timed.
    pub(super) fn prefill(&mut self, engine: &mut dyn Engine) -> Result<Timing, Refusal> {
        engine.reset();
        let region = Stopwatch::start();
        let selected = feed_and_select(engine, &self.prompt_ids);
        let timing = region.stop(self.prompt_ids.len());
        selected.map_err(|error| from_engine(&error))?;
        self.cursor = Some(0);
        Ok(timing)
    }

    /// Feeds `tokens` given ids one by one, timed.
    ///
    /// When the context or the text ends before the segment, the prompt is fed again outside the
    /// timed region and decoding goes on from there.
    pub(super) fn decode(
        &mut self,
        engine: &mut dyn Engine,
        tokens: usize,
    ) -> Result<Timing, Refusal> {
        let mut total = Timing {
            tokens: 0,
            wall_ns: 0,
            cpu_ns: 0,
            health: None,
        };
        while total.tokens < tokens {
            let cursor = match self.cursor {
                Some(cursor) if cursor < self.text_ids.len() => cursor,
                _ => {
                    self.prefill(engine)?;
                    0
                }
            };
            let n = (tokens - total.tokens).min(self.text_ids.len() - cursor);
            let ids = &self.text_ids[cursor..cursor + n];
            let region = Stopwatch::start();
            let fed = ids
                .iter()
                .try_for_each(|&id| feed_and_select(engine, &[id]).map(drop));
            let timing = region.stop(n);
            fed.map_err(|error| from_engine(&error))?;
            total.tokens += n;
            total.wall_ns += timing.wall_ns;
            total.cpu_ns += timing.cpu_ns;
            self.cursor = Some(cursor + n);
        }
        Ok(total)
    }
}

/// Feeds `ids` and selects the next token as an output would, although nobody uses it.
fn feed_and_select(engine: &mut dyn Engine, ids: &[u32]) -> Result<u32, engine::Error> {
    let last = engine.position() + ids.len() - 1;
    let logits = engine.feed(ids)?;
    engine::check_finite(logits, last)?;
    Ok(std::hint::black_box(engine::argmax(logits)))
}

/// Feeds `tokens` arbitrary ids so that the first measured work is not the first work.
pub(super) fn warm_up(engine: &mut dyn Engine, tokens: usize) -> Result<(), Refusal> {
    engine.reset();
    let vocab = engine.vocab_size().max(1);
    for i in 0..tokens.min(engine.context_limit()) {
        // Spread over the table; the modulus keeps it inside u32 and the vocabulary.
        let id = u32::try_from((i * 7_919) % vocab).unwrap_or(0);
        feed_and_select(engine, &[id]).map_err(|error| from_engine(&error))?;
    }
    engine.reset();
    Ok(())
}

/// Writes the scenes of a batch; a scene that cannot be written does not spoil the others.
pub(super) fn generate_batch(
    subject: &mut dyn Subject,
    request: &BatchRequest,
) -> Vec<BatchOutcome> {
    let prompts = request.scenes.iter();
    let prompts: Vec<Result<Vec<u32>, Refusal>> = prompts
        .map(|scene| prompt_ids(subject, &scene.prompt))
        .collect();
    let accepted: Vec<Vec<u32>> = prompts.iter().flatten().cloned().collect();
    let limits = DecodeLimits {
        max_new_tokens: request.max_new_tokens,
        stop_ids: subject.stop_ids().to_vec(),
    };
    let decoded = engine::generate_all(subject.engine(), &accepted, &limits, request.max_batch);
    subject.engine().reset();
    let mut decoded = decoded.into_iter();
    let mut output = |prompt: Result<Vec<u32>, Refusal>| {
        let n_prompt = prompt?.len();
        let decoded = decoded.next().expect("one output per accepted prompt");
        let (token_ids, stop) = decoded.map_err(|error| from_engine(&error))?;
        Ok(BatchOutput {
            n_prompt,
            text: subject.decode(&token_ids).map_err(refused)?,
            stop: recorded(stop),
            token_ids,
        })
    };
    let outcome = |output| match output {
        Ok(output) => BatchOutcome {
            ok: Some(output),
            err: None,
        },
        Err(refusal) => BatchOutcome {
            ok: None,
            err: Some(refusal),
        },
    };
    prompts
        .into_iter()
        .map(|prompt| outcome(output(prompt)))
        .collect()
}

/// Token ids of a prompt that leaves room for an output.
fn prompt_ids(subject: &mut dyn Subject, prompt: &str) -> Result<Vec<u32>, Refusal> {
    let ids = encoded(subject.encode_prompt(prompt))?;
    let (n_prompt, limit) = (ids.len(), subject.engine().context_limit());
    if n_prompt >= limit {
        return Err(refused(format!(
            "prompt has {n_prompt} tokens, the context holds {limit}"
        )));
    }
    Ok(ids)
}

/// The reason as it stands in the record.
fn recorded(stop: engine::StopReason) -> StopReason {
    match stop {
        engine::StopReason::Eos => StopReason::Eos,
        engine::StopReason::MaxTokens => StopReason::MaxTokens,
        engine::StopReason::ContextFull => StopReason::ContextFull,
    }
}

fn encoded(ids: Result<Vec<u32>, String>) -> Result<Vec<u32>, Refusal> {
    let ids = ids.map_err(refused)?;
    if ids.is_empty() {
        return Err(refused("the text has no tokens".to_owned()));
    }
    Ok(ids)
}

pub(super) fn refused(message: String) -> Refusal {
    Refusal {
        kind: RefusalKind::PromptRefused,
        message,
        hint: None,
    }
}

fn from_engine(error: &engine::Error) -> Refusal {
    let kind = match error {
        engine::Error::NotFinite { .. } => RefusalKind::NotFinite,
        engine::Error::ContextFull { .. } | engine::Error::UnknownToken { .. } => {
            RefusalKind::PromptRefused
        }
        engine::Error::Library { .. } => RefusalKind::Internal,
    };
    Refusal {
        kind,
        message: error.to_string(),
        hint: None,
    }
}
