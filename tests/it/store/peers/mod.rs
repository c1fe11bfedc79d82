//! Servers and programs of others, each started here or named as missing.
//!
//! One test, so that what ran and what was skipped stands in one line at its end. Programs are
//! looked for on the path and in the directories of `VV_PEERS_PATH`; a name in
//! `VV_PEERS_REQUIRED` (with commas) must not be missing.

mod cloud;
mod mlflow;
mod nginx;
mod repositories;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Host, Ran, gguf, sha256, tell};

/// Longest wait until a server listens: the largest of them imports for half a minute.
const START: Duration = Duration::from_secs(120);

/// A signature of nobody: moto asks that there is one, and for no more.
const ANYBODY: &str = "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/us-east-1/s3/aws4_request, \
                       SignedHeaders=host, Signature=0";

/// Why a peer did not run.
struct Missing(String);

type Check = fn() -> Result<(), Missing>;

const PEERS: [(&str, Check); 7] = [
    ("nginx", nginx::check),
    ("moto", cloud::check_s3),
    ("gcp-storage-emulator", cloud::check_google),
    ("azurite", cloud::check_azure),
    ("git-lfs", repositories::check_lfs),
    ("dvc", repositories::check_dvc),
    ("mlflow", mlflow::check),
];

#[test]
fn real_peers() {
    let running = PEERS.map(|(name, check)| (name, std::thread::spawn(check)));
    let (mut ran, mut skipped, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let required = std::env::var("VV_PEERS_REQUIRED").unwrap_or_default();
    for (name, thread) in running {
        match thread.join() {
            Ok(Ok(())) => ran.push(name),
            Ok(Err(Missing(reason))) => {
                if required.split(',').any(|wanted| wanted == name) {
                    failed.push(format!("{name} is required: {reason}"));
                }
                skipped.push(format!("{name} ({reason})"));
            }
            // It told what was wrong where it was wrong.
            Err(_) => failed.push(name.to_owned()),
        }
    }
    let list = |names: String| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names
        }
    };
    tell(&format!(
        "peers: ran {} of {}: {}; skipped {}",
        ran.len(),
        PEERS.len(),
        list(ran.join(", ")),
        list(skipped.join(", ")),
    ));
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

/// A program that starts when asked with `probe`.
fn program(name: &str, probe: &str) -> Result<PathBuf, Missing> {
    let own = std::env::var_os("VV_PEERS_PATH").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&own)
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into()]);
    let mut found = directories.map(|directory| directory.join(name));
    let found = found
        .find(|path| path.is_file())
        .ok_or_else(|| Missing(format!("no `{name}` here")))?;
    let probed = Command::new(&found)
        .arg(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match probed {
        Ok(status) if status.success() => Ok(found),
        _ => Err(Missing(format!("`{name} {probe}` fails"))),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A server that ends with its test.
struct Peer {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Peer {
    /// Starts a server and waits until it listens.
    ///
    /// * `log`: where what it says is kept
    #[track_caller]
    fn start(command: &mut Command, port: u16, log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut peer = Self {
            child,
            port,
            log: log.to_owned(),
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let is_running = peer.child.try_wait().unwrap().is_none();
            assert!(
                is_running && began.elapsed() < START,
                "{command:?} does not listen: {}",
                peer.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that must succeed, and gives what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// The `n`th model of a release, long enough to be fetched in parts.
fn model(n: u8) -> Vec<u8> {
    let mut bytes = gguf(&format!("weights {n}"));
    // What follows the last key is alignment; its length is this test's own.
    bytes.resize(300_000, 0);
    bytes
}

/// Has a host ask for one file at `url`.
fn wants(host: &Host, version: &str, url: &str, bytes: &[u8]) {
    let artifact = super::artifact("model.gguf", url, bytes);
    host.set_manifest(super::manifest(version, &[artifact]));
}

/// Installs what the manifest names.
#[track_caller]
fn install(host: &Host, further: &[&str], environment: &[(&str, &str)]) -> Ran {
    let flags = [&["--smoke", "none", "--retries", "1"], further].concat();
    host.model_with("install", &flags, environment)
}

#[track_caller]
fn arrives(host: &Host, environment: &[(&str, &str)], bytes: &[u8]) -> Ran {
    let ran = install(host, &[], environment);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights().as_deref(), Some(bytes));
    ran
}

#[track_caller]
fn ends(host: &Host, environment: &[(&str, &str)], code: i32, words: &str) {
    let before = (host.current(), host.weights());
    let ran = install(host, &[], environment);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, code, "{all}");
    assert!(all.contains(words), "no `{words}` in {all}");
    assert_eq!((host.current(), host.weights()), before, "{all}");
}

/// Leaves the beginning of a file as an earlier run would have, its bytes wrong: only a run that
/// goes on from there finds other bytes than promised, and begins anew.
#[track_caller]
fn resumes(host: &Host, environment: &[(&str, &str)], key: &str, etag: &str, bytes: &[u8]) {
    let partial = host.path("models/.vv/partial");
    fs::create_dir_all(&partial).unwrap();
    let name = sha256(bytes);
    fs::write(partial.join(format!("{name}.part")), vec![1; 1000]).unwrap();
    let origin = serde_json::json!({ "schema_version": 1, "url": key, "etag": etag });
    fs::write(partial.join(format!("{name}.json")), origin.to_string()).unwrap();
    let ran = arrives(host, environment, bytes);
    let words = "fetched once more from their beginning";
    assert!(
        ran.stderr.contains(words),
        "it was not resumed: {}",
        ran.stderr
    );
}

/// Asks a server for something and gives its strong entity tag.
fn entity_tag(url: &str) -> String {
    let answer = ureq::head(url)
        .header("authorization", ANYBODY)
        .call()
        .unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap();
    tag.to_owned()
}
