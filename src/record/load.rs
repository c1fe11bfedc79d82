//! How a model was loaded: what was asked for, and what each worker then was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// What a model's files do not say, or what the user decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadSettings {
    /// How the output head is kept in memory: `int8`, `f16` or `exact`; equal in both roles.
    pub head: String,
    /// Values per block of `I2_S` tensors: 128 or 64. Means nothing to other tensors.
    pub i2s_layout: u32,
    /// Whether float projections are masters; `None` leaves it to the files.
    pub is_online: Option<bool>,
    /// Ids that end an output, besides those the files name.
    pub stop_token_ids: Vec<u32>,
    /// Largest perplexity of the built-in paragraphs accepted, above 0; `None` when not checked.
    pub max_load_perplexity: Option<f64>,
    /// Largest perplexity of the built-in summaries accepted, above 0; `None` when not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_summary_perplexity: Option<f64>,
}

impl LoadSettings {
    /// The same without limits of perplexity: no text is read to load the model then.
    #[must_use]
    pub fn without_limits(&self) -> Self {
        Self {
            max_load_perplexity: None,
            max_summary_perplexity: None,
            ..self.clone()
        }
    }
}

impl Default for LoadSettings {
    /// What holds when neither manifest nor user says anything.
    fn default() -> Self {
        Self {
            head: "int8".to_owned(),
            i2s_layout: 128,
            is_online: None,
            stop_token_ids: Vec::new(),
            max_load_perplexity: None,
            max_summary_perplexity: None,
        }
    }
}

/// One worker that loaded the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerFacts {
    /// What it was started for: `load`, `memory`, `outputs`, `latency`, `likelihood`.
    pub pass: String,
    /// Compute kernel it chose.
    pub kernel: String,
    /// Threads that computed.
    pub threads: usize,
    /// Anonymous resident memory after loading.
    pub anon_bytes: Bytes,
    /// The part of it on huge pages; `None` where the system does not say.
    pub huge_bytes: Option<Bytes>,
}

impl WorkerFacts {
    /// Share of anonymous memory on huge pages after loading, in [0, 1].
    pub fn huge_share(&self) -> Option<f64> {
        let huge = self.huge_bytes?;
        (self.anon_bytes > Bytes(0)).then(|| (huge.0 as f64 / self.anon_bytes.0 as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(anon: u64, huge: Option<u64>, expected: Option<f64>) {
        let facts = WorkerFacts {
            pass: "memory".to_owned(),
            kernel: "scalar".to_owned(),
            threads: 1,
            anon_bytes: Bytes(anon),
            huge_bytes: huge.map(Bytes),
        };
        assert_eq!(facts.huge_share(), expected);
    }

    #[test]
    fn an_unknown_share_is_not_zero() {
        check(8, Some(6), Some(0.75));
        check(8, Some(0), Some(0.0));
        check(8, None, None);
        check(0, Some(0), None);
    }
}
