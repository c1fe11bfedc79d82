//! How likely a model finds given text.

use super::{Engine, Error, check_finite};

/// Logits held at once, at most, unless one position has more: 8 MiB of floats.
const MAX_LOGITS: usize = 2 << 20;

/// Feeds `ids` to an empty context and gives the natural logarithm of the probability of each but
/// the first, given those before it.
///
/// * `ids`: at least one
/// * `sink`: called once per probability, in order
///
/// Logits are computed with the exact float head and in chunks, so that memory does not grow with
/// the text.
///
/// # Errors
/// As [`Engine::feed_all`]; [`Error::NotFinite`].
///
/// # Panics
/// When `ids` is empty.
pub fn log_probs(
    engine: &mut dyn Engine,
    ids: &[u32],
    sink: &mut dyn FnMut(f64),
) -> Result<(), Error> {
    assert!(!ids.is_empty(), "a text holds at least one token");
    engine.reset();
    let vocab_size = engine.vocab_size();
    let chunk = (MAX_LOGITS / vocab_size).max(1);
    let mut logits = Vec::new();
    // The logits after the last token predict nothing.
    let fed = &ids[..ids.len() - 1];
    for (n, piece) in fed.chunks(chunk).enumerate() {
        engine.feed_all(piece, &mut logits)?;
        for (i, row) in logits.chunks_exact(vocab_size).enumerate() {
            let position = n * chunk + i;
            check_finite(row, position)?;
            let next = ids[position + 1];
            let Some(&logit) = row.get(next as usize) else {
                return Err(Error::UnknownToken {
                    id: next,
                    vocab_size,
                });
            };
            sink(f64::from(logit) - log_sum_exp(row));
        }
    }
    Ok(())
}

/// `exp` of the mean negative [`log_probs`]; `None` below two tokens.
///
/// # Errors
/// As [`log_probs`].
pub fn perplexity(engine: &mut dyn Engine, ids: &[u32]) -> Result<Option<f64>, Error> {
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

/// Logarithm of the sum of exponentials; the largest logit is taken out so that none overflows.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let terms = logits.iter().map(|x| f64::from(x - largest).exp());
    f64::from(largest) + terms.sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
