//! vv-eval decides whether a candidate model may replace the baseline pinned in
//! `model_manifest.json`.
//!
//! The stages below stand in the order data flows through them.

pub mod hint;
pub mod units;

pub mod stats;

pub mod artifact;
pub mod engine;
pub mod metric;
pub mod record;

pub mod gate;
pub mod report;
