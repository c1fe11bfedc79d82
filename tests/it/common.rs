//! Runs the program as its users do: in a working directory of its own, with a time limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_vv-eval");

/// A run that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(480);

/// Few launches and few texts read, and times only watched: no verdict depends on the speed of the
/// machine.
pub(crate) const FAST_POLICY: &str = r#"
schema_version = 1
mode = "smoke"

[effort]
launches = 4
pairs = 2
likelihood_scenes = 4
scene_timeout_s = 60

[[check]]
metric = "object_recall"
margin = { absolute = 0.05 }

[[check]]
metric = "valid"

[[check]]
metric = "cpu_ms_per_token"
required = false

[[check]]
metric = "peak_bytes"
required = false
"#;

/// What a run of the program left behind.
pub(crate) struct Ran {
    /// Exit code; `None` when a signal, or the time limit, ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Everything printed, for a message.
    pub(crate) fn all(&self) -> String {
        format!("{:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

/// A working directory with the fast policy as its `gate.toml`.
pub(crate) struct Lab {
    directory: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        lab.write("gate.toml", FAST_POLICY);
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// With the ten scenes of the smoke set, for what does not hang on a verdict: they decide
    /// nothing, but are read in a few seconds.
    pub(crate) fn of_few_scenes() -> Self {
        let lab = Self::new();
        lab.copy(&root().join("eval-sets/smoke/1.0.0"), "scenes");
        lab
    }

    /// Replaces text that must be there in a file of the working directory.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "no {from} in {name}");
        self.write(name, text.replacen(from, to, 1));
    }

    /// Copies a reference model, its manifest included.
    pub(crate) fn pinned(&self, version: &str, name: &str) {
        self.copy(&model(version), name);
    }

    /// Copies a reference model without its manifest.
    pub(crate) fn bare(&self, version: &str, name: &str) {
        self.copy(&model(version), name);
        fs::remove_file(self.path(name).join("model_manifest.json")).unwrap();
    }

    /// Copies the files of a directory.
    pub(crate) fn copy(&self, from: &Path, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.path(name).join(entry.file_name())).unwrap();
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// Runs the program with further environment variables.
    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output: Output = assert_cmd::Command::new(PROGRAM)
            .current_dir(self.directory.path())
            .env_remove("NO_COLOR")
            // Outputs of other tests, and of whoever runs them, are not taken over.
            .env("VV_EVAL_CACHE", self.path("cache"))
            .envs(environment.iter().copied())
            .args(arguments)
            .timeout(TIME_LIMIT)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        Ran {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Compares two models, given by reference version or by a name in the working directory.
    pub(crate) fn compare(&self, baseline: &str, candidate: &str, further: &[&str]) -> Ran {
        let arguments = self.compare_arguments(baseline, candidate);
        let arguments: Vec<&str> = arguments
            .iter()
            .map(String::as_str)
            .chain(further.iter().copied())
            .collect();
        self.run(&arguments)
    }

    /// Arguments of a comparison on the scenes of the repository, with `out` as its output.
    pub(crate) fn compare_arguments(&self, baseline: &str, candidate: &str) -> Vec<String> {
        let mut arguments = vec!["compare".to_owned()];
        arguments.extend([baseline, candidate].map(|name| {
            let path = if self.path(name).exists() {
                PathBuf::from(name)
            } else {
                model(name)
            };
            path.to_str().unwrap().to_owned()
        }));
        let scenes = scene_set();
        // Scenes copied to the working directory are meant to be used.
        let scenes = if self.path("scenes").exists() {
            "scenes"
        } else {
            scenes.to_str().unwrap()
        };
        arguments.extend(["--scenes", scenes, "--out", "out"].map(str::to_owned));
        arguments
    }

    /// Bytes of a file in the output directory.
    pub(crate) fn output(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("out").join(name)).unwrap()
    }

    pub(crate) fn has_output(&self, name: &str) -> bool {
        self.path("out").join(name).exists()
    }
}

/// Directory of a reference model; a path that does not exist for any other name.
pub(crate) fn model(version: &str) -> PathBuf {
    root().join("eval-sets/reference-models").join(version)
}

/// Directory of the scene set.
pub(crate) fn scene_set() -> PathBuf {
    root().join("eval-sets/cenas-pt/0.1.0")
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
