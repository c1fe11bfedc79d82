//! The store as a whole, on real file systems.

mod crash;
mod health;
mod readers;
mod repair;
mod steps;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::install::{Candidate, Change, Outcome, Request, SmokeFailure, install};
use super::journal::{self, Event};
use super::ledger::Ledger;
use super::source::Sources;
use super::verify::Depth;
use super::{Current, Error, Layout, Policy, recover};
use crate::manifest::FILE_NAME;
use crate::units::Sha256;

/// Header of a safetensors file without tensors.
const EMPTY_HEADER: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

/// A host: a manifest with its files in `repo/`, and a models directory.
pub(super) struct Host {
    root: PathBuf,
    _dir: Option<TempDir>,
    policy: Policy,
    sources: Sources,
}

impl Host {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        fs::create_dir(root.join("repo")).unwrap();
        Self {
            _dir: Some(dir),
            ..Self::at(root)
        }
    }

    /// A host that was made by another process.
    pub(super) fn at(root: PathBuf) -> Self {
        Self {
            root,
            _dir: None,
            policy: Policy {
                min_free: crate::units::Bytes(0),
                gc_grace: Duration::ZERO,
                ..Policy::default()
            },
            sources: Sources::default(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.path("repo").join(FILE_NAME)
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(&self.path("models"))
    }

    /// Publishes a release whose weights are told by `weights`, and makes the manifest name it.
    pub(super) fn publish(&self, version: &str, weights: &str) {
        self.publish_files(version, &release_files(weights), "");
    }

    /// As [`Host::publish`] with files of one's own; `further` is JSON put into the manifest.
    pub(super) fn publish_files(&self, version: &str, files: &[(String, Vec<u8>)], further: &str) {
        let artifacts: Vec<String> = files
            .iter()
            .map(|(name, bytes)| {
                let sha256 = Sha256::of(bytes);
                let blob = format!("blob-{sha256}");
                fs::write(self.path("repo").join(&blob), bytes).unwrap();
                let (target, name) = name.split_once('/').unwrap();
                format!(
                    r#"{{"filename":"{name}","format":"file","url":"repo:{blob}","sha256":"{sha256}","size_bytes":{},"target_path_in_container":"/app/models/{target}"}}"#,
                    bytes.len()
                )
            })
            .collect();
        let text = format!(
            r#"{{"model_name":"BitNet-4bit-Summarizer","version":"{version}",{further}"artifacts":[{}]}}"#,
            artifacts.join(",")
        );
        fs::write(self.manifest(), text).unwrap();
    }

    pub(super) fn request<'a>(&'a self, manifest: &'a Path) -> Request<'a> {
        Request {
            manifest,
            policy: &self.policy,
            // Programs that other tests start hold the lock until they are executed.
            wait: Duration::from_secs(10),
            is_strict: false,
            is_dry_run: false,
            allows_downgrade: false,
            allows_known_bad: false,
            allows_gap: false,
            keeps_blobs: false,
            consumer: None,
            sources: &self.sources,
        }
    }

    pub(super) fn try_install(&self) -> Result<Outcome, Error> {
        self.try_with(|_| {})
    }

    pub(super) fn try_with(&self, change: impl FnOnce(&mut Request<'_>)) -> Result<Outcome, Error> {
        let manifest = self.manifest();
        let mut request = self.request(&manifest);
        change(&mut request);
        install(&self.layout(), &request, &mut |_| Ok(()), &mut |_| {})
    }

    #[track_caller]
    pub(super) fn install(&self) -> Outcome {
        let outcome = self.try_install().unwrap();
        self.holds();
        outcome
    }

    /// Installs a release and gives its generation.
    #[track_caller]
    pub(super) fn release(&self, version: &str, weights: &str) -> u64 {
        self.publish(version, weights);
        self.install().generation
    }

    pub(super) fn current(&self) -> Option<u64> {
        match self.layout().read_current().unwrap() {
            Current::Generation(number) => Some(number),
            Current::Absent => None,
            Current::Broken { found } => panic!("current is {found}"),
        }
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("models").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(super) fn info(&self) -> serde_json::Value {
        serde_json::from_slice(&self.read(super::INFO_FILE)).unwrap()
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::read(&self.layout()).unwrap()
    }

    pub(super) fn events(&self) -> Vec<(Event, Option<u64>)> {
        let mut events = Vec::new();
        journal::read(&self.layout(), |_, entry| {
            events.push((entry.event, entry.generation));
        })
        .unwrap();
        events
    }

    /// Invariants I1 and I2, and that nothing temporary is left.
    #[track_caller]
    pub(super) fn holds(&self) {
        let layout = self.layout();
        let Some(number) = self.current() else {
            return;
        };
        let examined =
            super::install::examine(&layout, &self.ledger(), number, Depth::Full).unwrap();
        assert!(examined.damages.is_empty(), "{:#?}", examined.damages);
        let record = examined.record.unwrap();
        let info = self.info();
        assert_eq!(info["generation"], number);
        assert_eq!(info["version"], record.version.as_str());
        let version = String::from_utf8(self.read(super::VERSION_FILE)).unwrap();
        assert_eq!(version, format!("{}\n", record.version));
        for target in &record.targets {
            for file in &target.files {
                let bytes = self.read(&format!("{}/{}", target.name, file.path));
                assert_eq!(Sha256::of(&bytes), file.sha256, "{}", file.path);
            }
        }
    }

    /// Nothing temporary is left and the flag names the current generation.
    #[track_caller]
    pub(super) fn is_tidy(&self) {
        let staging = self.path("models/.vv/staging");
        let left: Vec<_> = fs::read_dir(staging).map_or(Vec::new(), |it| it.flatten().collect());
        assert!(left.is_empty(), "{left:?}");
        let flag: serde_json::Value = serde_json::from_slice(&self.read(super::FLAG_FILE)).unwrap();
        assert_eq!(flag["generation"].as_u64(), self.current());
    }

    /// Overwrites an installed file, whatever its mode.
    pub(super) fn spoil(&self, name: &str, bytes: &[u8]) {
        let path = self.path("models").join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    }
}

/// The files of a small release; every one of them is told by `weights`.
pub(super) fn release_files(weights: &str) -> Vec<(String, Vec<u8>)> {
    let config = format!(r#"{{"release":"{weights}"}}"#);
    // The header of no tensors says nothing, so the data that tells releases apart goes there.
    let header = format!(r#"{{"__metadata__":{{"weights":"{weights}"}}}}"#);
    let mut model = (header.len() as u64).to_le_bytes().to_vec();
    model.extend(header.as_bytes());
    assert_ne!(model, EMPTY_HEADER);
    vec![
        ("bitnet/config.json".into(), config.clone().into_bytes()),
        ("bitnet/model.safetensors".into(), model),
        ("bitnet/tokenizer.json".into(), config.into_bytes()),
    ]
}

/// Every path below a directory with its inode, mode and time of change.
pub(super) fn snapshot(directory: &Path) -> Vec<(PathBuf, u64, u32, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            found.push((path, metadata.ino(), metadata.mode(), metadata.mtime_nsec()));
        }
    }
    found.sort();
    found
}

/// Deletes a tree even where directories are read-only.
pub(super) fn remove(path: &Path) {
    recover::remove_tree(path).unwrap();
}
