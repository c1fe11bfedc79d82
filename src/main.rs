//! The `vv-eval` program; everything happens in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vv_eval::cli::main(std::env::args_os())
}
