//! When a model reads well enough.

use super::{Error, Reading, Text};

/// Largest perplexities a manifest accepts, each above 0; `None` where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Of the paragraphs: `max_load_perplexity`.
    pub paragraphs: Option<f64>,
    /// Of the summaries: `max_summary_perplexity`.
    pub summaries: Option<f64>,
}

impl Limits {
    /// Whether the manifest says anything.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    fn of(self, text: Text) -> Option<f64> {
        match text {
            Text::Portuguese | Text::English => self.paragraphs,
            Text::Summaries => self.summaries,
        }
    }
}

/// Holds what was read against the limits; without any, one text must be read better than it could
/// be without context.
///
/// One text is enough because a sound model knows either kind; a model whose weights are read
/// wrongly knows none. A limit is sharper: a wrong activation may leave enough to pass the rule.
///
/// # Errors
/// [`Error::TooPerplexed`] with the text furthest beyond its limit, [`Error::NotRead`],
/// [`Error::Guessed`].
pub fn check(readings: &[Reading], limits: Limits) -> Result<(), Error> {
    if !limits.is_any() {
        if readings.iter().any(Reading::is_better_than_guessed) {
            return Ok(());
        }
        return Err(Error::Guessed {
            readings: readings.to_vec(),
        });
    }
    for text in [Text::Portuguese, Text::English, Text::Summaries] {
        let is_read = readings.iter().any(|reading| reading.text == text);
        if limits.of(text).is_some() && !is_read {
            return Err(Error::NotRead { text });
        }
    }
    let limited = readings
        .iter()
        .filter_map(|reading| Some((reading, limits.of(reading.text)?)));
    // What is not a number is not within the limit.
    let excess = |(reading, allowed): &(&Reading, f64)| match reading.perplexity / allowed {
        excess if excess.is_nan() => f64::INFINITY,
        excess => excess,
    };
    let worst = limited.max_by(|a, b| excess(a).total_cmp(&excess(b)));
    match worst {
        Some((reading, allowed)) if reading.perplexity.is_nan() || reading.perplexity > allowed => {
            Err(Error::TooPerplexed {
                reading: reading.clone(),
                allowed,
            })
        }
        _ => Ok(()),
    }
}
