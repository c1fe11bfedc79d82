//! The model store through the program, on real directories.

mod answers;
mod archives;
mod case;
mod catalogue;
mod commands;
mod crash;
mod damage;
mod deploy;
mod faults;
mod network;
mod peers;
mod places;
mod readers;
mod remote;
mod rows;
mod seed;
mod server;
mod tree;
mod weaknesses;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::common::PROGRAM;

/// A run that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(480);

/// G6: 256 MiB of memory and 60 s of the processor, whatever an input claims; who takes more is
/// stopped.
const BOUNDED: &str = "ulimit -d 262144; ulimit -t 60; exec \"$@\"";

/// What must appear nowhere.
pub(super) const SECRET: &str = "topsecret";

/// A line that is seen whether the test passes or not.
pub(super) fn tell(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A host: `repo/` with a manifest and its files, `models/`, and a neighbour of both.
pub(super) struct Host {
    dir: TempDir,
    /// Directories the program may write to besides the models.
    lent: Vec<PathBuf>,
}

/// One run of the program.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) json: Value,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::lending(&[])
    }

    /// An empty directory, to be filled.
    pub(super) fn bare() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            lent: Vec::new(),
        }
    }

    /// A host in a directory of its own below `parent`.
    pub(super) fn new_in(parent: &Path) -> Self {
        Self::made(tempfile::tempdir_in(parent).unwrap(), &[])
    }

    /// A host where the program may also write to these directories.
    pub(super) fn lending(names: &[&str]) -> Self {
        Self::made(tempfile::tempdir().unwrap(), names)
    }

    fn made(dir: TempDir, names: &[&str]) -> Self {
        let lent = names.iter().map(|name| dir.path().join(name)).collect();
        let host = Self { dir, lent };
        fs::create_dir(host.path("repo")).unwrap();
        fs::write(host.path("sentinel"), "untouched").unwrap();
        host
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.path("repo/model_manifest.json")
    }

    /// What a command of the store is started with.
    pub(super) fn arguments(&self, command: &str, further: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["model", command, "--json", "--models-dir"]
            .map(OsString::from)
            .to_vec();
        arguments.push(self.path("models").into());
        arguments.push("--manifest".into());
        arguments.push(self.manifest().into());
        arguments.extend(further.iter().map(OsString::from));
        arguments
    }

    /// Runs a command of the store with `--json` and checks what every run must keep.
    #[track_caller]
    pub(super) fn model(&self, command: &str, further: &[&str]) -> Ran {
        self.model_with(command, further, &[])
    }

    #[track_caller]
    pub(super) fn model_with(
        &self,
        command: &str,
        further: &[&str],
        environment: &[(&str, &str)],
    ) -> Ran {
        self.model_under(&[], command, further, environment)
    }

    /// As [`Host::model_with`], started by another program.
    ///
    /// * `under`: that program and its arguments
    #[track_caller]
    pub(super) fn model_under(
        &self,
        under: &[&str],
        command: &str,
        further: &[&str],
        environment: &[(&str, &str)],
    ) -> Ran {
        let outside = self.outside();
        let output: Output = assert_cmd::Command::new("/bin/sh")
            .args(["-c", BOUNDED, "sh"])
            .args(under)
            .arg(PROGRAM)
            .args(self.arguments(command, further))
            .env_remove("VV_SUMMARIZE_SCENE_VERSION")
            .env("PRIVATE_TOKEN", SECRET)
            .envs(environment.iter().copied())
            .current_dir(self.dir.path())
            .timeout(TIME_LIMIT)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let all = format!("{stdout}\n{stderr}");
        let code = output
            .status
            .code()
            .unwrap_or_else(|| panic!("killed: {all}"));
        // G1: nothing outside the models directory changes.
        assert_eq!(self.outside(), outside, "{all}");
        // G3: one object on stdout, with the code of the process and the generation that is current.
        let json: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {all}"));
        assert_eq!(json["code"], code, "{all}");
        let current = self.current();
        assert_eq!(json["current_generation"].as_u64(), current, "{all}");
        if code >= 3 && json.get("error").is_some() {
            assert_eq!(json["error"]["code"], code, "{all}");
            assert_eq!(
                json["error"]["current_generation"].as_u64(),
                current,
                "{all}"
            );
        }
        // G4 and G5: no secret anywhere, no raw control characters, no panic.
        let journal = fs::read_to_string(self.path("models/.vv/journal.jsonl")).unwrap_or_default();
        // What a crash left of a last line is not what the program wrote.
        let journal = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (name, text) in [
            ("stdout", stdout.as_str()),
            ("stderr", stderr.as_str()),
            ("journal", journal),
        ] {
            assert!(!text.contains(SECRET), "{name}: {text}");
            let is_raw = |c: char| c.is_control() && c != '\n';
            assert!(!text.chars().any(is_raw), "{name}: {text:?}");
        }
        assert!(!stderr.contains("panicked") && code != 4, "{all}");
        Ran {
            code,
            json,
            stdout,
            stderr,
        }
    }

    /// Everything but the models directory: path, length and mode.
    fn outside(&self) -> Vec<(PathBuf, u64, u32)> {
        let mut found = Vec::new();
        let mut pending = vec![self.dir.path().to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path == self.path("models") || self.lent.contains(&path) {
                    continue;
                }
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    pending.push(path);
                } else {
                    found.push((path, metadata.len(), metadata.mode()));
                }
            }
        }
        found.sort();
        found
    }

    pub(super) fn current(&self) -> Option<u64> {
        let text = fs::read_link(self.path("models/.vv/current")).ok()?;
        if !self.path("models/.vv/current").is_dir() {
            return None;
        }
        text.to_str()?.strip_prefix("generations/")?.parse().ok()
    }

    /// Publishes a release and gives the text of a good manifest for it.
    pub(super) fn release(&self, version: &str, weights: &str) -> String {
        let bytes = gguf(weights);
        fs::write(self.path("repo").join(format!("{weights}.gguf")), &bytes).unwrap();
        manifest(
            version,
            &[artifact(
                "model.gguf",
                &format!("repo:{weights}.gguf"),
                &bytes,
            )],
        )
    }

    pub(super) fn set_manifest(&self, bytes: impl AsRef<[u8]>) {
        fs::write(self.manifest(), bytes).unwrap();
    }

    /// Installs a release that must be accepted.
    #[track_caller]
    pub(super) fn installed(&self, version: &str, weights: &str) {
        self.set_manifest(self.release(version, weights));
        let ran = self.model("install", &["--smoke", "none"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }

    /// Bytes of the installed model.
    pub(super) fn weights(&self) -> Option<Vec<u8>> {
        fs::read(self.path("models/bitnet/model.gguf")).ok()
    }

    /// Where nothing temporary may be left.
    #[track_caller]
    pub(super) fn is_tidy(&self) {
        for name in ["models/.vv/staging", "models"] {
            let entries =
                fs::read_dir(self.path(name)).map_or(Vec::new(), |it| it.flatten().collect());
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_known = ["bitnet", ".vv"].contains(&name.as_str())
                    || name.starts_with(".current_model_")
                    || name == ".model_updated_flag";
                assert!(is_known, "left over: {}", entry.path().display());
            }
        }
    }
}

/// The smallest GGUF file that says whose it is.
pub(super) fn gguf(weights: &str) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    for (i, text) in ["general.name", weights].iter().enumerate() {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
        if i == 0 {
            bytes.extend(8u32.to_le_bytes());
        }
    }
    bytes
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    vv_eval::units::Sha256::of(bytes).to_string()
}

/// One entry of `artifacts`.
pub(super) fn artifact(filename: &str, url: &str, bytes: &[u8]) -> String {
    format!(
        r#"{{"filename":"{filename}","url":"{url}","sha256":"{}","size_bytes":{},"target_path_in_container":"/app/models/bitnet"}}"#,
        sha256(bytes),
        bytes.len()
    )
}

pub(super) fn manifest(version: &str, artifacts: &[String]) -> String {
    format!(
        r#"{{"model_name":"BitNet-4bit-Summarizer","version":"{version}","release_date":"2025-05-01","description":"d","artifacts":[{}],"notes":"n"}}"#,
        artifacts.join(",")
    )
}

pub(super) fn make_writable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
