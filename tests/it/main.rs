//! The only integration binary: each further one would link the engine again.

mod allocations;
mod arena;
mod bad_input;
mod browser;
mod cast;
mod common;
mod compare;
mod convert;
mod docs;
mod faults;
mod fuzz_cases;
mod gate;
mod gguf_files;
#[cfg(target_os = "linux")]
mod hostile;
mod inspect;
mod judge;
#[cfg(target_os = "linux")]
mod killed;
mod layering;
mod likelihood;
mod manifest;
mod memory;
mod model_files;
mod modes;
mod noise;
mod parity;
mod plain;
mod policy;
mod reports;
mod resume;
mod scenes;
mod score;
mod store;
#[path = "../../src/artifact/archive/tests/bytes.rs"]
mod test_archive;
#[allow(dead_code, reason = "the unit tests use the rest of it")]
#[path = "../../src/artifact/tests/server.rs"]
mod test_server;
#[path = "../../src/artifact/tests/tls_server.rs"]
mod test_tls;
mod workflows;
