//! x
pub mod host;
pub mod plan;
pub mod probe;
pub mod protocol;
mod lanes;
pub mod worker;
