//! The only integration binary: each further one would link candle again.

mod model_files;
mod parity;
