//! A case of the catalogue of bad inputs: what is published, how `model install` ends, and the state
//! of the store after it.
//!
//! Every row that must keep the current release is run twice: with an earlier release installed,
//! and on an empty store. What every run of the program must keep is asserted in [`Host::model`].

use std::fs;
use std::path::Path;

use super::super::test_server::{Request, Server};
use super::tree::{Tree, changes, tree};
use super::{Host, gguf, tell};

/// What becomes of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// What was current stays so.
    Kept,
    /// The new release is current.
    New,
}

use State::{Kept, New};

/// What the host is told to install.
pub(super) struct Published {
    pub(super) manifest: Vec<u8>,
    /// Whom the manifest sends it to.
    pub(super) server: Option<Server>,
}

impl From<Vec<u8>> for Published {
    fn from(manifest: Vec<u8>) -> Self {
        Self {
            manifest,
            server: None,
        }
    }
}

/// Makes what is published out of a good manifest, and may change the repository.
type Make = Box<dyn Fn(&Host, String) -> Published>;

/// What the server must have been asked.
type Asked = Box<dyn Fn(&[Request]) -> bool>;

/// One case.
pub(super) struct Row {
    pub(super) id: String,
    make: Make,
    flags: &'static [&'static str],
    pub(super) code: i32,
    pub(super) state: State,
    /// What the error or the warnings must say.
    words: &'static str,
    asked: Asked,
    /// Whether what was downloaded may stay, to be gone on with or not fetched again.
    may_keep_downloads: bool,
}

impl Row {
    pub(super) fn new<P: Into<Published>>(
        id: impl Into<String>,
        (code, words): (i32, &'static str),
        make: impl Fn(&Host, String) -> P + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            make: Box::new(move |host, good| make(host, good).into()),
            flags: &[],
            code,
            state: if code == 0 { New } else { Kept },
            words,
            asked: Box::new(|_| true),
            may_keep_downloads: false,
        }
    }

    pub(super) fn with(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }

    pub(super) fn asking(self, asked: impl Fn(&[Request]) -> bool + 'static) -> Self {
        Self {
            asked: Box::new(asked),
            ..self
        }
    }

    pub(super) fn keeping_downloads(self) -> Self {
        Self {
            may_keep_downloads: true,
            ..self
        }
    }

    /// Publishes and installs; gives what the run said, and the server for its log.
    pub(super) fn run(&self, host: &Host) -> (super::Ran, Option<Server>) {
        let good = host.release("1.1.0", "two");
        let Published { manifest, server } = (self.make)(host, good);
        // M01: there is none.
        if self.id != "M01" {
            host.set_manifest(manifest);
        }
        let mut flags = vec!["--smoke", "none"];
        flags.extend(self.flags);
        (host.model("install", &flags), server)
    }

    /// What a row that must keep everything changed all the same, as text; empty for nothing.
    ///
    /// * `standing`: the models directory before the run
    fn changed(&self, standing: &Tree, host: &Host) -> String {
        let mut changed = changes(standing, &tree(&host.path("models")));
        if standing.is_empty() {
            // What the manifest says alone is refused before there is a store.
            let n_known = if [10, 11].contains(&self.code) && !self.may_keep_downloads {
                N_OF_LOCK
            } else {
                EMPTY_STORE.len()
            };
            let known = &EMPTY_STORE[..n_known];
            let is_known = |path: &Path| known.iter().any(|known| path == Path::new(known));
            changed.retain(|path| !is_known(path));
        }
        if self.may_keep_downloads {
            changed.retain(|path| !DOWNLOADS.iter().any(|below| path.starts_with(below)));
        }
        let names: Vec<String> = changed.iter().map(|it| it.display().to_string()).collect();
        names.join(", ")
    }

    fn check(&self, host: &Host, before: Option<u64>) -> Result<(), String> {
        let weights = host.weights();
        let standing = tree(&host.path("models"));
        let (ran, server) = self.run(host);
        let all = format!("{}\n{}", ran.stdout, ran.stderr);
        if ran.code != self.code {
            return Err(format!("exit {} instead of {}: {all}", ran.code, self.code));
        }
        if !all.contains(self.words) {
            return Err(format!("does not say `{}`: {all}", self.words));
        }
        let requests = server.map(|it| it.requests()).unwrap_or_default();
        if !(self.asked)(&requests) {
            return Err(format!("asked {requests:?}: {all}"));
        }
        let is_kept = host.current() == before && host.weights() == weights;
        if is_kept != (self.state == Kept) {
            return Err(format!("the store is not {:?}: {all}", self.state));
        }
        match self.state {
            Kept => {
                let changed = self.changed(&standing, host);
                if !changed.is_empty() {
                    return Err(format!("changed {changed}: {all}"));
                }
            }
            // Every row that is accepted is another way to the same release.
            New => {
                if installed_weights(host) != [gguf("two")] {
                    return Err(format!("other weights are installed: {all}"));
                }
            }
        }
        if before.is_some() || self.state == New {
            let verified = host.model("verify", &[]);
            if verified.code != 0 {
                return Err(verified.stdout);
            }
        }
        let message = ran.json["error"]["message"].as_str();
        if self.code != 0 && message.is_none_or(str::is_empty) {
            return Err(format!("no message: {all}"));
        }
        if fs::read(host.path("sentinel")).unwrap() != b"untouched" {
            return Err("the neighbour was touched".into());
        }
        host.is_tidy();
        if self.state == Kept && before.is_some() {
            // W4: going back to the earlier manifest is a no-op that is true.
            let _ = fs::remove_file(host.path("repo/gate.toml"));
            host.set_manifest(host.release("1.0.0", "one"));
            let ran = host.model("install", &["--smoke", "none"]);
            if (ran.code, ran.json["change"].as_str()) != (0, Some("unchanged")) {
                return Err(format!(
                    "the earlier manifest: {}{}",
                    ran.stdout, ran.stderr
                ));
            }
        }
        Ok(())
    }
}

/// How many of [`EMPTY_STORE`] the lock needs.
const N_OF_LOCK: usize = 3;

/// What a refused release may leave where nothing was installed before: a store without any.
const EMPTY_STORE: [&str; 9] = [
    "",
    ".vv",
    ".vv/lock",
    ".vv/FORMAT",
    ".vv/blobs",
    ".vv/blobs/sha256",
    ".vv/generations",
    ".vv/partial",
    ".vv/staging",
];

/// Where downloads are kept; they are digested again before they are used.
const DOWNLOADS: [&str; 2] = [".vv/partial", ".vv/blobs"];

/// The installed files that are weights, whatever their names.
fn installed_weights(host: &Host) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(host.path("models/bitnet")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    let files = files.map(|path| fs::read(path).unwrap());
    files.filter(|bytes| bytes.starts_with(b"GGUF")).collect()
}

#[track_caller]
pub(super) fn check_all(rows: &[Row]) {
    let mut failures = Vec::new();
    let mut n = 0;
    for row in rows {
        let host = Host::new();
        host.installed("1.0.0", "one");
        n += 1;
        failures.extend(
            row.check(&host, Some(1))
                .err()
                .map(|text| format!("{}: {text}", row.id)),
        );
        if row.state == Kept {
            n += 1;
            let host = Host::new();
            host.release("1.0.0", "one");
            failures.extend(
                row.check(&host, None)
                    .err()
                    .map(|text| format!("{} (empty): {text}", row.id)),
            );
        }
    }
    tell(&format!("{n} cases of {} rows", rows.len()));
    assert!(
        failures.is_empty(),
        "{} of {n} cases:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
