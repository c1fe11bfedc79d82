//! What a pull request on the manifest asks for, and which revision may say what.
//!
//! In: a repository, a base and a head. Out: a [`Request`]: baseline manifest, policy and scenes of
//! the base, the candidate's manifest of the head, and what else the pull request touches. Only
//! git is asked; no artifact is fetched and no model is run.

mod files;
pub mod git;
mod request;

pub use files::export;
pub use request::{Error, Head, Paths, Request};

#[cfg(test)]
mod tests;
