//! Scenes: what the cameras saw, what people said of it, and how it is put to a model.
//!
//! In: a scene-set directory. Out: a [`SceneSet`] whose digests were checked. Knows no model.

pub mod analytic;
pub mod facts;
pub mod generate;
pub mod given;
pub mod json;
pub mod lexicon;
pub mod phrasing;
pub mod prompt;
pub mod set;
pub mod summary;
pub mod text;

pub use analytic::Analytic;
pub use facts::Facts;
pub use set::{Error, Scene, SceneSet};
