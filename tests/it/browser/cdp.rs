//! Speaks the DevTools protocol with a headless Chromium over two pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// An answer that takes longer never comes.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// The first browser found, named by `CHROMIUM` or on the path.
pub(super) fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let folders = std::env::var_os("PATH")?;
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let paths = std::env::split_paths(&folders);
    let mut paths = paths.flat_map(|folder| names.map(|name| folder.join(name)));
    paths.find(|path| path.is_file())
}

/// A running browser; killed when dropped.
pub(super) struct Browser {
    process: Child,
    requests: File,
    answers: Receiver<Value>,
    next_id: u64,
    /// Messages that came while an answer was waited for.
    pub(super) events: Vec<Value>,
    _folder: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    pub(super) fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        let made = Command::new("mkfifo").args([&to, &from]).status();
        assert!(made.expect("mkfifo runs").success(), "no pipes");
        // The shell puts the pipes where the browser looks for them.
        let process = Command::new("sh")
            .arg("-c")
            .arg("exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\"")
            .arg(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-extensions",
                "--disable-sync",
                "--force-device-scale-factor=1",
                "--remote-debugging-pipe",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .env("TO", &to)
            .env("FROM", &from)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        let requests = OpenOptions::new().write(true).open(&to).expect("a pipe");
        let answers = File::open(&from).expect("a pipe");
        let (send, receive) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(answers);
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).expect("a message is JSON");
                if send.send(value).is_err() {
                    break;
                }
                message.clear();
            }
        });
        Self {
            process,
            requests,
            answers: receive,
            next_id: 0,
            events: Vec::new(),
            _folder: folder,
        }
    }

    /// Calls a method and gives its result.
    ///
    /// * `session`: of a page; empty for the browser itself
    #[track_caller]
    pub(super) fn call(&mut self, session: &str, method: &str, parameters: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut request = json!({"id": id, "method": method});
        request["params"] = parameters;
        if !session.is_empty() {
            request["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&request).expect("plain data");
        bytes.push(0);
        self.requests
            .write_all(&bytes)
            .expect("the browser listens");
        let answer = self.wait(|message| message["id"] == id, method);
        assert!(
            answer.get("error").is_none(),
            "{method}: {}",
            answer["error"]
        );
        answer["result"].clone()
    }

    /// Waits for an event of a page.
    #[track_caller]
    pub(super) fn event(&mut self, session: &str, method: &str) {
        let is_it =
            |message: &Value| message["method"] == method && message["sessionId"] == session;
        if !self.events.iter().any(is_it) {
            let event = self.wait(is_it, method);
            self.events.push(event);
        }
    }

    #[track_caller]
    fn wait(&mut self, is_it: impl Fn(&Value) -> bool, what: &str) -> Value {
        let end = Instant::now() + TIME_LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.answers.recv_timeout(left);
            let message = message.unwrap_or_else(|error| panic!("no answer to {what}: {error}"));
            if is_it(&message) {
                return message;
            }
            self.events.push(message);
        }
    }
}
