//! Data on stdout, or in a file that was named instead.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::Failure;
use super::exit::Exit;
use crate::durable::write_atomic;

/// Writes `bytes` to stdout. A reader that went away is not an error: the exit code stays the
/// verdict's.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure {
            exit: Exit::Invalid,
            error: anyhow::Error::new(error).context("cannot write to stdout"),
            hint: None,
        }),
        _ => Ok(()),
    }
}

/// Puts `bytes` in a file, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_atomic(path, bytes).map_err(Failure::invalid)
}
