//! How likely a model finds given text, and how far two models are from each other on it.
//!
//! Text is only fed, never written: all tokens of a piece go through the model together.

use super::{Engine, Error, argmax, check_finite};

/// Logits held at once, at most, unless one position has more: 8 MiB of floats.
const MAX_LOGITS: usize = 2 << 20;

/// Reads texts that follow prompts.
///
/// Takes the logits before each token of a text, `[vocab]`, and that token.
type Sink<'a, E> = &'a mut dyn FnMut(&[f32], u32) -> Result<(), E>;

/// What a prompt shares with the tokens fed before it is not fed again, where the engine can take
/// tokens back: texts of one prompt cost the prompt once, and prompts that begin alike cost their
/// beginning once. By the promise of [`Numerics::Fixed`](crate::model::Numerics::Fixed) this
/// changes no bit of the logits.
pub struct Reader<'a> {
    engine: &'a mut dyn Engine,
    /// Tokens in the engine's context.
    held: Vec<u32>,
    /// `[rows, vocab]` of the piece in work.
    logits: Vec<f32>,
}

impl<'a> Reader<'a> {
    /// Empties the engine's context.
    pub fn new(engine: &'a mut dyn Engine) -> Self {
        engine.reset();
        Self {
            engine,
            held: Vec::new(),
            logits: Vec::new(),
        }
    }

    /// Shows the logits from which each token of `text` would be chosen, given `prompt` and the
    /// tokens before it.
    ///
    /// * `prompt`: at least one token
    /// * `sink`: called once per token of `text`, in order, with the logits `[vocab_size]`, all
    ///   finite, and the token, which is one of them; an error of it ends the reading
    ///
    /// Logits are asked for in pieces, so that memory does not grow with the text.
    ///
    /// # Errors
    /// As [`Self::fits`], before anything is fed; [`Error::Library`]; [`Error::NotFinite`]; those
    /// of `sink`.
    ///
    /// # Panics
    /// When `prompt` is empty.
    pub fn read<E: From<Error>>(
        &mut self,
        prompt: &[u32],
        text: &[u32],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        assert!(!prompt.is_empty(), "something is fed before the text");
        if text.is_empty() {
            return Ok(());
        }
        self.fits(prompt, text)?;
        let read = self.read_fitting(prompt, text, sink);
        if read.is_err() {
            self.engine.reset();
            self.held.clear();
        }
        read
    }

    /// Whether the vocabulary has all tokens and the context holds them, the last one of the text
    /// apart: the logits after it predict nothing, so it is not fed.
    ///
    /// # Errors
    /// [`Error::UnknownToken`], [`Error::ContextFull`].
    pub fn fits(&self, prompt: &[u32], text: &[u32]) -> Result<(), Error> {
        let vocab_size = self.engine.vocab_size();
        let mut ids = prompt.iter().chain(text);
        if let Some(&id) = ids.find(|id| **id as usize >= vocab_size) {
            return Err(Error::UnknownToken { id, vocab_size });
        }
        let wanted = prompt.len() + text.len().saturating_sub(1);
        let limit = self.engine.context_limit();
        if wanted > limit {
            return Err(Error::ContextFull { limit, wanted });
        }
        Ok(())
    }

    /// Number of logits per token.
    pub fn vocab_size(&self) -> usize {
        self.engine.vocab_size()
    }

    fn read_fitting<E: From<Error>>(
        &mut self,
        prompt: &[u32],
        text: &[u32],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let (last, before) = prompt.split_last().expect("the prompt is not empty");
        let kept = self.keep(before);
        if kept < before.len() {
            self.engine.feed(&before[kept..])?;
            self.held.extend_from_slice(&before[kept..]);
        }
        let vocab_size = self.engine.vocab_size();
        let chunk = (MAX_LOGITS / vocab_size).max(1);
        let fed: Vec<u32> = std::iter::once(*last)
            .chain(text[..text.len() - 1].iter().copied())
            .collect();
        let mut next = text.iter();
        for piece in fed.chunks(chunk) {
            let first = self.held.len();
            self.engine.feed_all(piece, &mut self.logits)?;
            self.held.extend_from_slice(piece);
            let rows = self.logits.chunks_exact(vocab_size);
            for (i, (row, &id)) in rows.zip(&mut next).enumerate() {
                check_finite(row, first + i)?;
                sink(row, id)?;
            }
        }
        Ok(())
    }

    /// Takes back all but the tokens that `prompt` begins with, and gives how many those are.
    fn keep(&mut self, prompt: &[u32]) -> usize {
        let same = self.held.iter().zip(prompt).take_while(|(a, b)| a == b);
        let kept = same.count();
        match self.engine.as_rewind() {
            Some(engine) if kept > 0 => {
                engine.rewind(self.held.len() - kept);
                self.held.truncate(kept);
                kept
            }
            _ => {
                self.engine.reset();
                self.held.clear();
                0
            }
        }
    }
}

/// Natural logarithm of the probability of one token, computed in f64.
///
/// * `logits`: `[vocab_size]` before the softmax, all finite
///
/// # Panics
/// When the vocabulary does not hold `id`.
pub fn log_prob(logits: &[f32], id: u32) -> f64 {
    LogSoftmax::of(logits).log_prob(logits[id as usize])
}

/// How two models differ in what may follow one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Kullback–Leibler divergence of the other model's distribution from the first one's, over the
    /// whole vocabulary, in nats.
    pub divergence: f64,
    /// Whether both find the same token most probable; ties go to the lowest id.
    pub is_same_first: bool,
}

impl Distance {
    /// Compares the logits of two models.
    ///
    /// * `first`, `other`: `[vocab_size]` logits before the softmax, all finite
    ///
    /// Everything is computed in f64 with the largest logit taken out. Equal logits give a
    /// divergence of exactly 0.
    ///
    /// # Panics
    /// When the vocabularies differ in size or are empty.
    ///
    /// Source: Kullback & Leibler (1951), *Annals of Mathematical Statistics* 22(1), 79–86.
    pub fn of(first: &[f32], other: &[f32]) -> Self {
        let (n, found) = (first.len(), other.len());
        assert_eq!(n, found, "the vocabularies differ in size");
        let (from, to) = (LogSoftmax::of(first), LogSoftmax::of(other));
        let terms = first.iter().zip(other).map(|(&a, &b)| {
            let (a, b) = (from.log_prob(a), to.log_prob(b));
            a.exp() * (a - b)
        });
        Self {
            divergence: terms.sum(),
            is_same_first: argmax(first) == argmax(other),
        }
    }
}

/// The normaliser of one row of logits; the largest logit is taken out so that nothing overflows.
struct LogSoftmax {
    largest: f64,
    log_sum: f64,
}

impl LogSoftmax {
    fn of(logits: &[f32]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let largest = f64::from(largest);
        let terms = logits.iter().map(|&x| (f64::from(x) - largest).exp());
        Self {
            largest,
            log_sum: terms.sum::<f64>().ln(),
        }
    }

    fn log_prob(&self, logit: f32) -> f64 {
        f64::from(logit) - self.largest - self.log_sum
    }
}

#[cfg(test)]
#[path = "likelihood_tests.rs"]
mod tests;
