//! vv-eval decides whether a candidate model may replace the baseline pinned in
//! `model_manifest.json`.
//!
//! The stages below stand in the order data flows through them: a manifest names files, verified
//! files become a model, an engine runs it on scenes, a run of both models becomes two records;
//! downstream of the records everything is a pure function: metrics score them, statistics
//! compare the scores, the gate judges, the report shows.

pub mod units;

pub mod hint;

pub mod durable;

pub mod stats;

pub mod manifest;

pub mod artifact;

pub mod store;

pub mod scene;

pub mod model;

pub mod engine;

pub mod record;

pub mod run;

pub mod metric;

pub mod gate;

pub mod promotion;

pub mod selftest;

pub mod report;

pub mod cli;
