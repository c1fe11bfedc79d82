//! x
pub mod host;
pub mod plan;
pub mod probe;
pub mod protocol;
mod lanes;
mod worker_process;
pub mod worker;
