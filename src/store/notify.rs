//! Tells the running system that another generation is current: a command of the operator, started
//! without a shell and within a time limit.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::layout::Layout;
use crate::durable::shown;
use crate::units::Sha256;

/// How often a running command is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// A command and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Program and arguments; never empty.
    pub command: Vec<OsString>,
    /// It is killed after this.
    pub timeout: Duration,
}

/// What became current.
#[derive(Debug, Clone, Copy)]
pub struct News<'a> {
    /// Its generation.
    pub generation: u64,
    /// Version label.
    pub version: &'a str,
    /// Its identity.
    pub release: Sha256,
}

impl Notification {
    /// Runs the command with `VV_GENERATION`, `VV_VERSION`, `VV_RELEASE_DIGEST` and
    /// `VV_MODELS_DIR` in its environment. What it prints goes to our stderr, so that stdout stays
    /// data.
    ///
    /// # Errors
    /// In words: it could not be started, failed, or took too long.
    pub fn run(&self, layout: &Layout, news: &News<'_>) -> Result<(), String> {
        let (program, arguments) = self.command.split_first().ok_or("no command was given")?;
        let name = shown(program.as_ref());
        let mut child = Command::new(program)
            .args(arguments)
            .env("VV_GENERATION", news.generation.to_string())
            .env("VV_VERSION", news.version)
            .env("VV_RELEASE_DIGEST", format!("sha256:{}", news.release))
            .env("VV_MODELS_DIR", layout.models())
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("`{name}` could not be started: {error}"))?;
        let deadline = Instant::now() + self.timeout;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("`{name}` failed: {status}")),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Ok(None) => {
                    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                    // Its children too; what is gone already needs no signal.
                    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                    let _ = child.wait();
                    let seconds = self.timeout.as_secs();
                    return Err(format!(
                        "`{name}` took longer than {seconds} s and was killed"
                    ));
                }
                Err(error) => return Err(format!("`{name}` cannot be waited for: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &[&str], timeout: Duration) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let notification = Notification {
            command: command.iter().map(OsString::from).collect(),
            timeout,
        };
        let news = News {
            generation: 7,
            version: "1.0; exit 3",
            release: Sha256::of(b"x"),
        };
        notification.run(&Layout::new(dir.path()), &news)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_command_gets_what_became_current_and_no_shell() {
        run(
            &[
                "sh",
                "-c",
                "test \"$VV_GENERATION\" = 7 && test \"$VV_VERSION\" = '1.0; exit 3'",
            ],
            LONG,
        )
        .unwrap();
        // Without a shell this is one argument and no redirection.
        run(&["test", "a > b", "=", "a > b"], LONG).unwrap();
    }

    #[test]
    fn a_command_that_fails_or_hangs_is_told_of() {
        assert!(
            run(&["false"], LONG)
                .unwrap_err()
                .contains("exit status: 1")
        );
        assert!(
            run(&["/nonexistent/x"], LONG)
                .unwrap_err()
                .contains("could not be started")
        );
        let hung = run(&["sh", "-c", "sleep 600 & wait"], Duration::from_millis(50));
        assert!(hung.unwrap_err().contains("was killed"));
    }
}
