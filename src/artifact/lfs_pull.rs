//! Has `git-lfs` bring the object of a pointer into the repository the pointer stands in.
//!
//! The program goes where the clone's own configuration says, so it is run only where the policy
//! leaves hosts open. What it brings is verified like any other file.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::Transfer;
use super::{Condition, Error};
use crate::durable::shown;

/// Longest part of what `git-lfs` said that is passed on, in characters.
const MAX_SAID: usize = 300;

/// Asks `git-lfs` for the object of a pointer.
///
/// * `path`: where the pointer stands
/// * `pointer`: its text
///
/// Gives whether there is a `git-lfs` to ask. How long it waits for a silent server is its own
/// setting (`lfs.activitytimeout`, 30 s).
///
/// # Errors
/// [`Error::Transfer`] with its words about it, addresses left out.
pub(super) fn pull(path: &Path, pointer: &[u8]) -> Result<bool, Error> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(false);
    };
    if !is_there(directory) {
        return Ok(false);
    }
    let failed = |problem: String| {
        let transfer = Transfer {
            advice: Some("run `git lfs pull` in the repository to see all it says"),
            ..Transfer::new(Condition::ServerUnusable, shown(path), problem)
        };
        Error::Transfer(Box::new(transfer))
    };
    let mut child = git(directory)
        .args(["lfs", "smudge", "--"])
        .arg(name)
        // It would give the pointer back instead.
        .env_remove("GIT_LFS_SKIP_SMUDGE")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("git does not start: {error}")))?;
    // A program that ended already tells why.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(pointer));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(format!("git was lost: {error}")))?;
    if output.status.success() {
        return Ok(true);
    }
    let said = words(&String::from_utf8_lossy(&output.stderr));
    Err(failed(format!("git-lfs failed: {said}")))
}

fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory);
    command
}

fn is_there(directory: &Path) -> bool {
    let found = git(directory)
        .args(["lfs", "version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// The first line about an error, else the last that says something; without addresses, which may
/// hold a password.
fn words(said: &str) -> String {
    let is_error = |line: &&str| line.to_ascii_lowercase().contains("error");
    let says = |line: &&str| !line.trim().is_empty();
    let line = said.lines().find(is_error);
    let line = line.or_else(|| said.lines().rev().find(says));
    let word = |word: &str| {
        if word.contains("://") || word.contains('@') {
            "…".to_owned()
        } else {
            word.to_owned()
        }
    };
    let words: Vec<String> = line
        .unwrap_or("nothing")
        .split_whitespace()
        .map(word)
        .collect();
    let text: String = words.join(" ").chars().take(MAX_SAID).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_hold_no_address() {
        let said = "Downloading m (3 B)\nError: https://u:topsecret@h/x \x1b[31mnot found by u@h\n\
                    \nUse `git lfs logs last` to view the log.\n";
        let words = super::words(said);
        assert!(words.contains("Error:"), "{words}");
        assert!(words.contains("not found"), "{words}");
        assert!(
            !words.contains("topsecret") && !words.contains('\x1b'),
            "{words}"
        );
        assert_eq!(
            super::words("a\nbatch response: no\n\n"),
            "batch response: no"
        );
        assert_eq!(super::words(""), "nothing");
    }
}
