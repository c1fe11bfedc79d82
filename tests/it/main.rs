//! The only integration binary: each further one would link the engine again.

mod docs;
mod layering;
mod model_files;
mod parity;
