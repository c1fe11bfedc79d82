//! Scenes: what the cameras saw, what people said of it, and how it is put to a model.
//!
//! In: a scene-set directory. Out: a [`SceneSet`] whose digests were checked. Knows no model.

pub mod analytic;
pub mod canonical;
pub mod census;
pub mod dice;
pub mod facts;
pub mod generate;
pub mod given;
pub mod import;
pub mod json;
pub mod lexicon;
pub mod lint;
pub mod phrasing;
pub mod prompt;
pub mod set;
pub mod slice;
pub mod summary;
pub mod synthetic;
pub mod telling;
pub mod text;
pub mod world;

pub use analytic::Analytic;
pub use facts::Facts;
pub use set::{Error, Scene, SceneSet};
