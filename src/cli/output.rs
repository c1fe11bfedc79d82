//! Data on stdout.

use std::io::{ErrorKind, Write as _};

use super::Failure;
use super::exit::Exit;

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
