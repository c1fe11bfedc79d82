//! Decoding of one output.

use super::{DecodeLimits, Engine, Error, StopReason, argmax, check_finite};

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
) -> Result<(Vec<u32>, StopReason), Error> {
    engine.reset();
    let mut output = Vec::with_capacity(limits.max_new_tokens.min(engine.context_limit()));
    let mut position = prompt_ids.len();
    let mut logits = engine.feed(prompt_ids)?;
    loop {
        check_finite(logits, position - 1)?;
        if output.len() == limits.max_new_tokens {
            return Ok((output, StopReason::MaxTokens));
        }
        let id = argmax(logits);
        if limits.stop_ids.contains(&id) {
            return Ok((output, StopReason::Eos));
        }
        on_token(output.len(), id);
        output.push(id);
        if output.len() == limits.max_new_tokens {
            return Ok((output, StopReason::MaxTokens));
        }
        if position == engine.context_limit() {
            return Ok((output, StopReason::ContextFull));
        }
        logits = engine.feed(&[id])?;
        position += 1;
    }
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
