//! Runs of the program under `strace`: recorded call by call, cut short at one of them, or told by
//! one of them that it failed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use super::super::{Host, Ran, tell};
use super::Scene;
use crate::common::PROGRAM;

/// Calls that change a file system or make a change last.
const CHANGING: [&str; 27] = [
    "chmod",
    "copy_file_range",
    "creat",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "symlink",
    "symlinkat",
    "sync",
    "truncate",
    "unlink",
    "unlinkat",
    "write",
];

/// Longest text of one argument, in bytes: nothing a scene writes is cut off.
const MAX_TEXT: &str = "1048576";

/// One system call of a recorded run.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    /// Which of its kind it was in its process, from 1.
    pub(super) nth: usize,
    /// Arguments as `strace` writes them, texts in hexadecimal escapes.
    pub(super) arguments: Vec<String>,
    /// What follows the equals sign.
    pub(super) result: String,
}

impl Call {
    /// Whether it changed a file of the host, or made a change of it last.
    pub(super) fn is_change(&self, host: &Host) -> bool {
        let creates = || {
            let name = self.name.as_str();
            name.starts_with("open") && self.arguments.iter().any(|it| it.contains("O_CREAT"))
        };
        (CHANGING.contains(&self.name.as_str()) || creates())
            && !self.result.starts_with('-')
            && self.touches(host.root())
    }

    /// Whether it makes changes last.
    pub(super) fn is_flush(&self) -> bool {
        ["fsync", "fdatasync"].contains(&self.name.as_str())
    }

    /// Whether it gives `current` another meaning.
    pub(super) fn is_commit(&self) -> bool {
        let current = format!("{}\"", escaped(Path::new(".vv/current")));
        self.name == "rename"
            && self
                .arguments
                .last()
                .is_some_and(|it| it.ends_with(&current))
    }

    /// Whether it names something below a directory, or the directory itself.
    pub(super) fn touches(&self, directory: &Path) -> bool {
        let root = escaped(directory);
        self.arguments.iter().any(|it| it.contains(&root))
    }
}

/// A path in the hexadecimal escapes of `strace -xx`.
pub(super) fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

/// Whether this machine lets one process trace another; says so where it does not.
pub(super) fn can_trace() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        tell("skipped: strace is missing or may not trace here");
    }
    can
}

/// Lets a scene run to its end and gives every call it made.
pub(super) fn record(host: &Host, scene: Scene) -> Vec<Call> {
    let (output, calls) = record_with(host, scene, &[]);
    assert!(output.status.success(), "{scene:?}: {output:?}");
    assert!(calls.len() > 100, "{scene:?}: only {} calls", calls.len());
    calls
}

/// As [`record`], of a run in which a call fails with an error and does nothing.
pub(super) fn record_failing(host: &Host, scene: Scene, call: &Call, error: &str) -> Vec<Call> {
    let inject = format!("inject={}:error={error}:when={}", call.name, call.nth);
    record_with(host, scene, &["-e", &inject]).1
}

fn record_with(host: &Host, scene: Scene, further: &[&str]) -> (Output, Vec<Call>) {
    let log = host.root().with_extension("trace");
    let (command, arguments) = scene.command();
    let output = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", MAX_TEXT, "-o"])
        .arg(&log)
        .args(further)
        .arg(PROGRAM)
        .args(host.arguments(command, arguments))
        .current_dir(host.root())
        .output()
        .unwrap();
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    let mut counts = HashMap::new();
    let lines = text.lines();
    let calls = lines.filter_map(|line| parse(line, &mut counts)).collect();
    (output, calls)
}

/// A line of `strace -f`: the process, a space, the call. `None` for the end of a call that was
/// begun on an earlier line, for signals and for exits.
fn parse(line: &str, counts: &mut HashMap<(String, String), usize>) -> Option<Call> {
    let (process, call) = line.split_once(' ')?;
    let call = call.trim_start();
    if call.starts_with(['<', '-', '+']) {
        return None;
    }
    let (name, rest) = call.split_once('(')?;
    let nth = counts
        .entry((process.to_owned(), name.to_owned()))
        .or_default();
    *nth += 1;
    let (arguments, result) = split(rest);
    Some(Call {
        name: name.to_owned(),
        nth: *nth,
        arguments,
        result,
    })
}

/// Takes the arguments apart at the commas that stand in no text, list or structure.
fn split(text: &str) -> (Vec<String>, String) {
    let mut arguments = vec![String::new()];
    let mut depth = 0usize;
    let mut is_quoted = false;
    let mut rest = text.char_indices();
    for (at, c) in rest.by_ref() {
        match c {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' | '[' | '{' | '<' => depth += 1,
            ')' if depth == 0 => {
                let result = text[at + 1..].trim_start().trim_start_matches("= ");
                return (arguments, result.to_owned());
            }
            // The arrow of a structure's member is no bracket.
            '>' if text[..at].ends_with(['-', '=']) => {}
            ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        let last = arguments.last_mut().expect("there is one from the start");
        if !(last.is_empty() && c == ' ') {
            last.push(c);
        }
    }
    // Another process spoke before the call was over.
    (arguments, String::new())
}

/// Runs a scene and sends a signal at the moment it makes a call, which is not made then.
pub(super) fn signal_at(host: &Host, scene: Scene, call: &Call, signal: &str) -> ExitStatus {
    let inject = format!("inject={}:signal={signal}:when={}", call.name, call.nth);
    let trace = format!("trace={}", call.name);
    let (command, further) = scene.command();
    // What a shell starts in the background ignores interrupts, and so would its children.
    Command::new("env")
        .args(["--default-signal=INT,TERM", "strace"])
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
        .arg(PROGRAM)
        .args(host.arguments(command, further))
        .current_dir(host.root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

/// As [`signal_at`] with a signal nobody can catch. Gives whether the program died of it.
pub(super) fn kill_at(host: &Host, scene: Scene, call: &Call) -> bool {
    const SIGKILL: i32 = 9;
    let status = signal_at(host, scene, call, "KILL");
    let is_killed = status.signal() == Some(SIGKILL);
    assert!(is_killed || status.success(), "{scene:?}: {status}");
    is_killed
}

/// Runs a scene in which a call fails with an error and does nothing.
#[track_caller]
pub(super) fn fail_at(host: &Host, scene: Scene, call: &Call, error: &str) -> Ran {
    let inject = format!("inject={}:error={error}:when={}", call.name, call.nth);
    let trace = format!("trace={}", call.name);
    let under = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let (command, further) = scene.command();
    host.model_under(&under, command, further, &[])
}
