//! One child process as the supervisor sees it: spawn, send a line, wait for a line, end it.
//!
//! A worker never outlives the supervisor. It sits in its own process group, which is killed and
//! reaped on a timeout and on drop. When the supervisor itself dies (an interrupt at the terminal
//! does not reach the worker's group), the worker is killed by its parent-death signal or ends at
//! the end of its input. The parent-death signal follows the *thread* that spawned the worker, so
//! workers are spawned from the thread that waits for them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, prlimit};

use super::protocol::{self, LineRead};
use crate::engine::kernels::KERNEL_VARIABLE;
use crate::units::Bytes;

/// How much of a worker's stderr is kept.
const STDERR_KEPT_BYTES: usize = 64 << 10;

/// How long a worker that closed its output may take to be gone.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Variables a worker inherits; everything else is cleared.
const INHERITED: [&str; 4] = ["PATH", "HOME", "TMPDIR", KERNEL_VARIABLE];

/// What to start as a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This very program under its hidden command, so that both roles run identical code.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn this_program() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args: vec!["__worker".into()],
        })
    }
}

/// Why no line arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// The worker's output ended; this is how the worker did.
    Ended(Ending),
    /// The time was up; the worker was killed.
    TimedOut,
    /// The line is longer than allowed; the worker was killed.
    TooLong,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It closed its output but stayed; killed.
    Lingered,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Lingered => f.write_str("closed its output without exiting"),
        }
    }
}

/// A running worker.
pub(super) struct WorkerProcess {
    child: Child,
    /// `None` once the worker's input was closed.
    to_worker: Option<Sender<Vec<u8>>>,
    from_worker: Receiver<Result<Vec<u8>, TooLong>>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    /// Disconnects when stderr has been read to its end.
    stderr_end: Receiver<()>,
    ending: Option<Ending>,
}

/// Marks a line beyond the limit.
struct TooLong;

impl WorkerProcess {
    /// Starts a worker with an almost empty environment.
    ///
    /// * `threads`: what its thread pools are told to use
    /// * `memory`: most memory it may take for itself; `None` sets no limit
    pub(super) fn spawn(
        command: &WorkerCommand,
        threads: usize,
        memory: Option<Bytes>,
    ) -> io::Result<Self> {
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(inherited)
            .env("LANG", "C.UTF-8")
            .env("RAYON_NUM_THREADS", threads.to_string())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(most) = memory {
            limit_memory(&mut child, most)?;
        }
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");

        // Writing has its own thread: a worker that reads nothing must not block the supervisor.
        let (to_worker, lines_out) = channel::<Vec<u8>>();
        std::thread::spawn(move || write_lines(stdin, &lines_out));
        let (lines_in, from_worker) = channel();
        std::thread::spawn(move || read_lines(stdout, &lines_in));
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (stderr_open, stderr_end) = channel();
        let kept = Arc::clone(&tail);
        std::thread::spawn(move || {
            keep_tail(stderr, &kept);
            drop(stderr_open);
        });
        Ok(Self {
            child,
            to_worker: Some(to_worker),
            from_worker,
            stderr: tail,
            stderr_end,
            ending: None,
        })
    }

    /// Sends one line, newline included. A worker that is gone shows when its answer is awaited.
    pub(super) fn send(&mut self, line: Vec<u8>) {
        if let Some(to_worker) = &self.to_worker {
            // Fails only when the writing thread met a closed pipe.
            let _ = to_worker.send(line);
        }
    }

    /// Whether the worker has said something nobody asked for.
    pub(super) fn has_unexpected_line(&self) -> bool {
        match self.from_worker.try_recv() {
            Ok(_) => true,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => false,
        }
    }

    /// Waits for one line; on anything else the worker is ended.
    pub(super) fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, NoLine> {
        match self.from_worker.recv_timeout(timeout) {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(TooLong)) => {
                self.kill();
                Err(NoLine::TooLong)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(NoLine::TimedOut)
            }
            Err(RecvTimeoutError::Disconnected) => Err(NoLine::Ended(self.wait())),
        }
    }

    /// Closes the worker's input and waits for its end.
    pub(super) fn finish(&mut self) -> Ending {
        self.to_worker = None;
        self.wait()
    }

    /// Kills the worker's process group and reaps the worker.
    pub(super) fn kill(&mut self) {
        self.to_worker = None;
        if self.ending.is_none() {
            let ending = self.kill_group();
            self.ending = Some(ending);
        }
    }

    /// The last lines of stderr, at most `max_lines`. Complete once the worker has ended.
    pub(super) fn stderr_tail(&self, max_lines: usize) -> String {
        if self.ending.is_some() {
            // Disconnects when all is read; a process that escaped the group could hold it open.
            let _ = self.stderr_end.recv_timeout(EXIT_GRACE);
        }
        let kept = self
            .stderr
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim().lines().collect();
        lines[lines.len().saturating_sub(max_lines)..].join("\n")
    }

    /// Waits for a worker whose output has ended or whose input was closed.
    fn wait(&mut self) -> Ending {
        if let Some(ending) = self.ending {
            return ending;
        }
        let deadline = Instant::now() + EXIT_GRACE;
        while !self.has_exited() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let has_exited = self.has_exited();
        let last = self.kill_group();
        let ending = if has_exited { last } else { Ending::Lingered };
        self.ending = Some(ending);
        ending
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Whether the worker has exited; leaves it to be reaped.
    fn has_exited(&self) -> bool {
        let Some(pid) = self.pid() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None))
    }

    /// Kills the worker and whatever it started, and reaps the worker. Its process id cannot
    /// have been given to somebody else, because it is reaped only after that.
    fn kill_group(&mut self) -> Ending {
        if let Some(pid) = self.pid() {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        // A worker that has exited keeps its own status.
        let _ = self.child.kill();
        self.child.wait().map_or(Ending::Lingered, ending_of)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Limits what a fresh child may allocate; files it only maps do not count. A child that cannot be
/// limited is ended.
fn limit_memory(child: &mut Child, most: Bytes) -> io::Result<()> {
    // The child's own hard limit stays the highest.
    let hard = getrlimit(Resource::Data).maximum;
    let most = hard.map_or(most.0, |hard| hard.min(most.0));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let limited = pid.map(|pid| prlimit(Some(pid), Resource::Data, limit));
    match limited {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
        None => Err(io::Error::other("the worker has no process id")),
    }
}

fn ending_of(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Status(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Lingered,
    }
}

fn write_lines(mut stdin: ChildStdin, lines: &Receiver<Vec<u8>>) {
    for line in lines {
        // A closed pipe shows on the reading side, with the reason.
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_lines(stdout: ChildStdout, lines: &Sender<Result<Vec<u8>, TooLong>>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        let message = match protocol::read_line(&mut stdout, &mut line, protocol::MAX_LINE_BYTES) {
            Ok(LineRead::Whole) => Ok(std::mem::take(&mut line)),
            Ok(LineRead::TooLong) => Err(TooLong),
            // A torn last line is what a dying worker leaves; its ending says more.
            Ok(LineRead::End) | Err(_) => return,
        };
        let is_last = message.is_err();
        if lines.send(message).is_err() || is_last {
            return;
        }
    }
}

fn keep_tail(mut stderr: ChildStderr, kept: &Mutex<VecDeque<u8>>) {
    let mut chunk = [0u8; 4096];
    loop {
        let n = match stderr.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut kept = kept
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.extend(&chunk[..n]);
        let excess = kept.len().saturating_sub(STDERR_KEPT_BYTES);
        kept.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> WorkerProcess {
        let command = WorkerCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
        };
        WorkerProcess::spawn(&command, 1, None).unwrap()
    }

    #[track_caller]
    fn check_ending(script: &str, expected: Ending, stderr: &str) {
        let mut worker = shell(script);
        assert_eq!(worker.receive(LONG), Err(NoLine::Ended(expected)));
        assert_eq!(worker.stderr_tail(3), stderr);
    }

    #[test]
    fn endings_are_told_apart() {
        check_ending("exit 0", Ending::Status(0), "");
        check_ending("echo oh >&2; exit 101", Ending::Status(101), "oh");
        check_ending(
            "echo torn >&2; printf half; kill -9 $$",
            Ending::Signal(9),
            "torn",
        );
        check_ending("kill -ABRT $$", Ending::Signal(6), "");
    }

    #[test]
    fn lines_come_back_in_order() {
        let mut worker = shell("read -r a; echo \"1 $a\"; read -r b; echo \"2 $b\"");
        worker.send(b"x\n".to_vec());
        worker.send(b"y\n".to_vec());
        assert_eq!(worker.receive(LONG), Ok(b"1 x".to_vec()));
        assert_eq!(worker.receive(LONG), Ok(b"2 y".to_vec()));
        assert_eq!(worker.finish(), Ending::Status(0));
    }

    #[test]
    fn a_silent_worker_is_killed_when_its_time_is_up() {
        let mut worker = shell("echo waiting >&2; sleep 600");
        let started = Instant::now();
        assert_eq!(
            worker.receive(Duration::from_millis(200)),
            Err(NoLine::TimedOut)
        );
        // The shell's child holds stderr too: that it is closed shows the group was killed.
        worker.stderr_tail(1);
        assert!(started.elapsed() < LONG);
        assert_eq!(worker.finish(), Ending::Signal(9));
    }

    #[test]
    fn a_worker_that_reads_nothing_does_not_block_the_supervisor() {
        let mut worker = shell("sleep 600");
        for _ in 0..8 {
            worker.send(vec![b'x'; 1 << 20]);
        }
        assert_eq!(
            worker.receive(Duration::from_millis(50)),
            Err(NoLine::TimedOut)
        );
    }

    #[test]
    fn an_endless_line_is_cut_off() {
        let mut worker = shell("exec cat /dev/zero");
        assert_eq!(worker.receive(LONG), Err(NoLine::TooLong));
    }

    #[test]
    fn only_the_end_of_stderr_is_kept() {
        let mut worker =
            shell("i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done");
        worker.receive(LONG).unwrap_err();
        assert_eq!(worker.stderr_tail(2), "line 19998\nline 19999");
        assert!(worker.stderr_tail(usize::MAX).len() <= STDERR_KEPT_BYTES);
    }

    #[test]
    fn memory_is_limited_for_the_worker_alone() {
        let command = WorkerCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "read -r line; ulimit -d; ulimit -Hd".into()],
        };
        let most = Bytes(96 << 20);
        let mut worker = WorkerProcess::spawn(&command, 1, Some(most)).unwrap();
        worker.send(b"now\n".to_vec());
        for _ in ["soft", "hard"] {
            // In KiB.
            assert_eq!(worker.receive(LONG), Ok(b"98304".to_vec()));
        }
        assert!(
            getrlimit(Resource::Data)
                .current
                .is_none_or(|own| own > most.0)
        );
    }

    #[test]
    fn the_environment_is_cleared() {
        let mut worker = shell("env | sed 's/=.*//' | sort | tr '\\n' ' '; echo");
        let line = String::from_utf8(worker.receive(LONG).unwrap()).unwrap();
        let allowed = [
            "HOME",
            "LANG",
            "OLDPWD",
            "PATH",
            "PWD",
            "RAYON_NUM_THREADS",
            "SHLVL",
            "TMPDIR",
            "_",
        ];
        for name in line.split_whitespace() {
            assert!(allowed.contains(&name), "{name}");
        }
        assert!(line.contains("RAYON_NUM_THREADS"));
    }
}
