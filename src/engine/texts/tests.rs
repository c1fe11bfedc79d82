use super::*;
use crate::model::Numerics;

fn reading(text: Text, perplexity: f64) -> Reading {
    Reading {
        text,
        n_tokens: 200,
        n_whole: 200,
        perplexity,
        bits_per_byte: 1.0,
        without_context: 40.0,
    }
}

fn readings(portuguese: f64, english: f64, summaries: f64) -> [Reading; 3] {
    [
        reading(Text::Portuguese, portuguese),
        reading(Text::English, english),
        reading(Text::Summaries, summaries),
    ]
}

#[track_caller]
fn check_words(readings: &[Reading], limits: [Option<f64>; 2], expected: Option<&str>) {
    let [paragraphs, summaries] = limits;
    let limits = Limits {
        paragraphs,
        summaries,
    };
    let found = check(readings, limits).map_err(|error| error.to_string());
    match expected {
        None => assert_eq!(found, Ok(())),
        Some(words) => {
            let found = found.unwrap_err();
            assert!(found.contains(words), "{found}");
        }
    }
}

#[test]
fn the_worst_paragraph_decides_where_paragraphs_are_limited() {
    let check = |portuguese, english, words| {
        // Summaries are read as badly as can be, and count for nothing here.
        let readings = readings(portuguese, english, 1e9);
        check_words(&readings, [Some(30.0), None], words);
    };
    check(17.0, 30.0, None);
    check(
        99.8,
        17.0,
        Some(
            "Portuguese paragraph is 99.8 over 200 tokens, the manifest allows 30 (max_load_perplexity)",
        ),
    );
    check(17.0, f64::NAN, Some("English paragraph is NaN"));
    check(f64::INFINITY, 17.0, Some("the manifest allows 30"));
}

#[test]
fn summaries_have_a_limit_of_their_own() {
    let check = |summaries, words| {
        let readings = readings(1e5, 1e5, summaries);
        check_words(&readings, [None, Some(4.0)], words);
    };
    check(4.0, None);
    check(
        4.5,
        Some(
            "built-in summaries behind their prompts is 4.5 over 200 tokens, the manifest allows 4 (max_summary_perplexity)",
        ),
    );
    check(f64::NAN, Some("is NaN"));
}

#[test]
fn with_both_limits_the_text_furthest_beyond_its_own_is_named() {
    let both = [Some(30.0), Some(4.0)];
    check_words(&readings(29.0, 10.0, 3.9), both, None);
    check_words(&readings(60.0, 10.0, 40.0), both, Some("summaries"));
    check_words(&readings(600.0, 10.0, 40.0), both, Some("Portuguese"));
}

#[test]
fn a_limit_of_what_was_not_read_is_no_pass() {
    let all = readings(1.0, 1.0, 1.0);
    let only_paragraphs = &all[..2];
    check_words(only_paragraphs, [Some(30.0), None], None);
    check_words(
        only_paragraphs,
        [None, Some(4.0)],
        Some("limits the perplexity of the built-in summaries"),
    );
    check_words(&[], [None, None], Some("none of the built-in texts"));
}

#[test]
fn without_limits_one_text_must_be_read_better_than_guessed() {
    let check = |readings: [Reading; 3], words| check_words(&readings, [None, None], words);
    check(readings(39.9, 1e6, 1e6), None);
    check(readings(1e6, 39.9, f64::INFINITY), None);
    check(readings(f64::NAN, 1e6, 39.9), None);
    check(
        readings(40.0, 812.44, f64::NAN),
        Some(
            "perplexity 40.0 of the Portuguese paragraph, expected below 40.0; \
             perplexity 812.4 of the English paragraph, expected below 40.0; \
             perplexity NaN of the summaries",
        ),
    );
}

#[test]
fn the_refusals_name_likely_causes() {
    let all = readings(100.0, 100.0, 100.0);
    for paragraphs in [None, Some(30.0)] {
        let limits = Limits {
            paragraphs,
            summaries: None,
        };
        let hint = check(&all, limits).unwrap_err().hint().unwrap();
        for cause in ["activation", "I2_S", "rope", "scale"] {
            assert!(hint.contains(cause), "{hint}");
        }
    }
}

#[test]
fn the_texts_are_about_as_long_as_promised() {
    for (text, paragraph) in PARAGRAPHS {
        let words = paragraph.split_whitespace().count();
        assert!((120..=200).contains(&words), "{text}: {words}");
    }
    for (prompt, summary) in SUMMARIES {
        assert!(prompt.starts_with("Resuma a cena em português.\nDuração: "));
        assert!((6..20).contains(&summary.split(' ').count()), "{summary}");
    }
}

/// Knows one distribution and no context.
struct Fixed {
    row: Vec<f32>,
    fed: usize,
    limit: usize,
}

impl Fixed {
    /// The logarithms of these weights.
    fn of(weights: &[f32]) -> Self {
        Self {
            row: weights.iter().map(|weight| weight.ln()).collect(),
            fed: 0,
            limit: 1000,
        }
    }
}

impl Engine for Fixed {
    fn vocab_size(&self) -> usize {
        self.row.len()
    }

    fn context_limit(&self) -> usize {
        self.limit
    }

    fn numerics(&self) -> Numerics {
        Numerics::Fixed
    }

    fn position(&self) -> usize {
        self.fed
    }

    fn reset(&mut self) {
        self.fed = 0;
    }

    fn reserve(&mut self, _: usize) -> Result<(), EngineError> {
        Ok(())
    }

    fn feed(&mut self, ids: &[u32]) -> Result<&[f32], EngineError> {
        self.fed += ids.len();
        assert!(self.fed <= self.limit, "fed beyond the context");
        Ok(&self.row)
    }

    fn feed_all(&mut self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), EngineError> {
        self.feed(ids)?;
        *logits = self.row.repeat(ids.len());
        Ok(())
    }
}

/// Reads `ids` behind the token 0.
fn read(engine: &mut Fixed, ids: &[u32], n_bytes: usize) -> Reading {
    let mut tally = Tally {
        n_bytes,
        ..Tally::default()
    };
    let limit = engine.context_limit();
    let mut reader = Reader::new(engine);
    tally.read(&mut reader, limit, &[0], ids).unwrap();
    tally.reading(Text::Summaries).unwrap()
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
}

#[test]
fn figures_are_those_of_their_definitions() {
    // Shares 1/2, 1/4, 1/8 and 1/8, as the text has them: 1.75 bits a token.
    let ids = [0, 0, 0, 0, 1, 1, 2, 3];
    let found = read(&mut Fixed::of(&[4.0, 2.0, 1.0, 1.0]), &ids, 28);
    assert_eq!((found.n_tokens, found.n_whole), (8, 8));
    assert_close(found.perplexity, 2f64.powf(1.75));
    assert_close(found.bits_per_byte, 0.5);
    assert_close(found.without_context, 2f64.powf(1.75));

    // A uniform guess among four: two bits a token, whatever the text is.
    let found = read(&mut Fixed::of(&[1.0; 4]), &ids, 16);
    assert_close(found.perplexity, 4.0);
    assert_close(found.bits_per_byte, 1.0);
    assert!(!found.is_better_than_guessed());
}

#[test]
fn nothing_without_context_passes_for_a_reader() {
    let ids = [3, 1, 2, 2, 0, 1, 2, 3, 2, 1];
    for a in 1..6u8 {
        for b in 1..6u8 {
            let row = [1.0, f32::from(a), f32::from(b), 1.5];
            let found = read(&mut Fixed::of(&row), &ids, 10);
            // Rounding of the logits to f32 may win a billionth.
            assert!(
                found.perplexity > found.without_context * (1.0 - 1e-6),
                "{row:?}"
            );
        }
    }
}

#[test]
fn a_text_is_read_as_far_as_the_context_goes() {
    let mut engine = Fixed::of(&[1.0; 4]);
    engine.limit = 5;
    // Five tokens fed, the first of them the prompt: five predicted.
    let found = read(&mut engine, &[0, 1, 2, 3, 0, 1, 2, 3, 0, 1], 30);
    assert_eq!((found.n_tokens, found.n_whole), (5, 10));
    assert_close(found.perplexity, 4.0);
    // Half of the tokens stand for half of the bytes.
    assert_close(found.bits_per_byte, 10.0 / 15.0);

    let mut tally = Tally::default();
    let mut reader = Reader::new(&mut engine);
    tally.read(&mut reader, 5, &[0; 6], &[1, 2]).unwrap();
    assert_eq!(tally.n_whole, 2);
    assert_eq!(tally.reading(Text::Summaries), None);
}
