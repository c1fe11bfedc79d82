//! Judges two run records against a policy.

pub mod policy;
mod policy_toml;
pub(crate) mod rule;
