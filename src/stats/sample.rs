//! Paired values of the two roles, checked once.

/// Values of both roles on the same units, sorted by key.
///
/// Only [`PairedSample::new`] builds one: values are finite and keys unique. Sorting makes every
/// sum independent of the order in which the units were run.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedSample {
    pairs: Vec<Pair>,
}

/// One unit seen under both roles.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The unit's key, e.g. a scene id.
    pub key: String,
    /// Value under the baseline.
    pub baseline: f64,
    /// Value under the candidate.
    pub candidate: f64,
}

/// Why values do not make a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A value is NaN or infinite.
    #[error("value of `{key}` is not finite")]
    NotFinite {
        /// Key of the unit.
        key: String,
    },
    /// Two units have the same key.
    #[error("`{key}` occurs twice")]
    Duplicate {
        /// The repeated key.
        key: String,
    },
}

impl PairedSample {
    /// Checks and sorts `pairs`. An empty sample is allowed: each estimator says what it needs.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] and [`SampleError::Duplicate`], naming the key.
    pub fn new(mut pairs: Vec<Pair>) -> Result<Self, SampleError> {
        pairs.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(twins) = pairs.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(SampleError::Duplicate {
                key: twins[0].key.clone(),
            });
        }
        for pair in &pairs {
            if !pair.baseline.is_finite() || !pair.candidate.is_finite() {
                return Err(SampleError::NotFinite {
                    key: pair.key.clone(),
                });
            }
        }
        Ok(Self { pairs })
    }

    /// Number of units.
    pub fn n(&self) -> usize {
        self.pairs.len()
    }

    /// The units, sorted by key.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// `[n]` candidate − baseline, in the metric's unit.
    pub fn differences(&self) -> Vec<f64> {
        self.pairs
            .iter()
            .map(|pair| pair.candidate - pair.baseline)
            .collect()
    }

    /// Mean of the baseline's values; `None` for an empty sample.
    pub fn baseline_mean(&self) -> Option<f64> {
        self.mean_of(|pair| pair.baseline)
    }

    /// Mean of the candidate's values; `None` for an empty sample.
    pub fn candidate_mean(&self) -> Option<f64> {
        self.mean_of(|pair| pair.candidate)
    }

    fn mean_of(&self, value: impl Fn(&Pair) -> f64) -> Option<f64> {
        (!self.pairs.is_empty())
            .then(|| self.pairs.iter().map(value).sum::<f64>() / self.pairs.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, baseline: f64, candidate: f64) -> Pair {
        Pair {
            key: key.to_owned(),
            baseline,
            candidate,
        }
    }

    #[test]
    fn units_are_sorted_by_key() {
        let sample = PairedSample::new(vec![pair("b", 0.5, 1.0), pair("a", 1.0, 0.0)]).unwrap();
        assert_eq!(sample.differences(), [-1.0, 0.5]);
        assert_eq!(sample.baseline_mean(), Some(0.75));
        assert_eq!(sample.candidate_mean(), Some(0.5));
    }

    #[test]
    fn a_repeated_key_is_refused() {
        let found = PairedSample::new(vec![pair("a", 0.0, 0.0), pair("a", 1.0, 1.0)]);
        assert_eq!(found, Err(SampleError::Duplicate { key: "a".into() }));
    }

    #[test]
    fn values_that_are_not_numbers_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let expected = Err(SampleError::NotFinite { key: "a".into() });
            assert_eq!(PairedSample::new(vec![pair("a", bad, 0.0)]), expected);
            assert_eq!(PairedSample::new(vec![pair("a", 0.0, bad)]), expected);
        }
    }

    #[test]
    fn an_empty_sample_has_no_mean() {
        let sample = PairedSample::new(Vec::new()).unwrap();
        assert_eq!((sample.n(), sample.baseline_mean()), (0, None));
    }
}
