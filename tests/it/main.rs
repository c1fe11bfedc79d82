//! The only integration binary: each further one would link the engine again.

mod arena;
mod bad_input;
mod common;
mod compare;
mod convert;
mod docs;
mod faults;
mod fuzz_cases;
mod gate;
mod gguf_files;
mod inspect;
#[cfg(target_os = "linux")]
mod killed;
mod layering;
mod model_files;
mod parity;
mod plain;
mod scenes;
mod score;
mod store;
#[allow(dead_code, reason = "the unit tests use the rest of it")]
#[path = "../../src/artifact/test_server.rs"]
mod test_server;
