//! Why a sample supports no estimate: one list for all of `stats`.

/// What keeps a statistic from being computed. No statistic invents a number instead.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Error {
    /// Fewer units than the statistic is defined for.
    #[error("{found} values are too few, at least {needed} are needed")]
    TooFew {
        /// Units given.
        found: usize,
        /// Fewest units that would do.
        needed: usize,
    },
    /// All values are equal: the spread of the population is unknown, not zero.
    #[error("all {n} values are equal, so their spread is unknown")]
    NoSpread {
        /// Units given.
        n: usize,
    },
    /// A value is NaN or infinite.
    #[error("value {index} is not a finite number")]
    NotFinite {
        /// Position of the first such value, from 0.
        index: usize,
    },
    /// A value lies outside the scale it was declared on.
    #[error("value {index} is {value}, which is not between {low} and {high}")]
    OutOfRange {
        /// Position of the first such value, from 0.
        index: usize,
        /// The value.
        value: f64,
        /// Smallest value of the scale.
        low: f64,
        /// Largest value of the scale.
        high: f64,
    },
    /// Two lists that belong together differ in length.
    #[error("{found} entries belong to {expected} values")]
    Lengths {
        /// Entries given.
        found: usize,
        /// Values they belong to.
        expected: usize,
    },
    /// An error rate that no one-sided bound can have: at one half it is the estimate itself.
    #[error("level {alpha} is not between 0 and 0.5")]
    Level {
        /// The level.
        alpha: f64,
    },
    /// A setting of the procedure that makes no sense.
    #[error("{name} is {value}, it must be {demand}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be, in words.
        demand: &'static str,
    },
    /// Fewer resamples than the level needs: a quantile beyond about ten of them is noise.
    #[error("{found} resamples are too few for this level, at least {needed} are needed")]
    TooFewResamples {
        /// Resamples given.
        found: usize,
        /// Fewest that would do.
        needed: usize,
    },
    /// Bounds that do not enclose their own estimate: resamples all on one side of it, or values
    /// that drift with their order.
    #[error("the bounds do not enclose the estimate, the sample is too odd for this method")]
    Unstable,
}

/// Refuses NaN and infinities, naming the first.
///
/// # Errors
/// [`Error::NotFinite`].
pub(super) fn check_finite(values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { index }),
        None => Ok(()),
    }
}

/// Refuses values outside [`low`, `high`], NaN among them.
///
/// # Errors
/// [`Error::NotFinite`], [`Error::OutOfRange`].
pub(super) fn check_range(values: &[f64], low: f64, high: f64) -> Result<(), Error> {
    check_finite(values)?;
    let outside = |value: &f64| *value < low || *value > high;
    match values.iter().position(outside) {
        Some(index) => Err(Error::OutOfRange {
            index,
            value: values[index],
            low,
            high,
        }),
        None => Ok(()),
    }
}

/// Refuses a level outside (0, 0.5], NaN included.
///
/// # Errors
/// [`Error::Level`].
pub(super) fn check_level(alpha: f64) -> Result<(), Error> {
    if alpha > 0.0 && alpha <= 0.5 {
        Ok(())
    } else {
        Err(Error::Level { alpha })
    }
}

/// Refuses fewer than `needed` units.
///
/// # Errors
/// [`Error::TooFew`].
pub(super) fn check_count(found: usize, needed: usize) -> Result<(), Error> {
    if found < needed {
        Err(Error::TooFew { found, needed })
    } else {
        Ok(())
    }
}
