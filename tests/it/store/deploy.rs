//! The files for operators do what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use super::super::common::{PROGRAM, root};
use super::{Host, tell};

fn shim(host: &Host, name: &str, further: &[&str]) -> Option<Output> {
    let output = Command::new("python3")
        .arg(root().join("deploy").join(name))
        .args(further)
        .env("VV_EVAL", PROGRAM)
        .env("VV_MODELS_DIR", host.path("models"))
        .env("VV_MODEL_MANIFEST", host.manifest())
        .env(
            "VV_RESTART",
            format!("sh {}", host.path("restart").display()),
        )
        .output();
    if output.is_err() {
        tell("skipped: there is no python3");
    }
    output.ok()
}

#[test]
fn bootstrap_installs_and_starts_with_what_is_there() {
    let host = Host::new();
    host.set_manifest(host.release("1.0.0", "one"));
    let Some(ran) = shim(&host, "bootstrap.py", &["--smoke", "none"]) else {
        return;
    };
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(host.current(), Some(1));
    host.set_manifest("{");
    let ran = shim(&host, "bootstrap.py", &["--smoke", "none"]).unwrap();
    assert!(
        ran.status.success(),
        "the installed model is whole: {ran:?}"
    );
    let empty = Host::new();
    empty.set_manifest("{");
    assert_eq!(
        shim(&empty, "bootstrap.py", &[]).unwrap().status.code(),
        Some(10)
    );
}

#[test]
fn bootstrap_starts_with_what_is_there_whatever_the_policy_says() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    fs::write(host.path("repo/gate.toml"), "[store]\nkep = 5\n").unwrap();
    // The directory is told by the flag alone.
    let models = host.path("models");
    let models = models.to_str().unwrap();
    for named in [
        &["--models-dir", models][..],
        &[&format!("--models-dir={models}")],
    ] {
        let output = Command::new("python3")
            .arg(root().join("deploy/bootstrap.py"))
            .args(named)
            .args(["--notify-cmd", "true", "--models-dir", "/nowhere"])
            .env("VV_EVAL", PROGRAM)
            .env("VV_MODEL_MANIFEST", host.manifest())
            .output();
        let Ok(ran) = output else {
            tell("skipped: there is no python3");
            return;
        };
        assert!(ran.status.success(), "the model is whole: {ran:?}");
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(said.contains("kep"), "the policy is named: {said}");
    }
}

#[test]
fn update_restarts_the_summarizer_when_the_model_changed() {
    let host = Host::new();
    let restart = format!(
        "echo \"$VV_GENERATION\" >> {}\n",
        host.path("restarted").display()
    );
    fs::write(host.path("restart"), restart).unwrap();
    host.set_manifest(host.release("1.0.0", "one"));
    for _ in 0..2 {
        let Some(ran) = shim(&host, "update_model.py", &["--smoke", "none"]) else {
            return;
        };
        assert!(ran.status.success(), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(host.path("restarted")).unwrap(), "1\n");
}

#[test]
fn the_compose_snippet_passes_our_own_check() {
    let host = Host::new();
    let snippet = root().join("deploy/docker-compose.yml");
    let ran = host.model("doctor", &["--compose", snippet.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    fs::write(
        host.path("leaf.yml"),
        "x:\n  - ./models/bitnet:/app/models/bitnet:ro\n",
    )
    .unwrap();
    let ran = host.model(
        "doctor",
        &["--compose", host.path("leaf.yml").to_str().unwrap()],
    );
    assert_eq!(ran.code, 1, "{}", ran.stdout);
}

#[test]
fn units_name_commands_this_program_knows() {
    for unit in ["vv-model-install.service", "vv-model-health.service"] {
        let text = fs::read_to_string(root().join("deploy").join(unit)).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let mut words = line.split_whitespace().skip(1).collect::<Vec<_>>();
        // What follows this flag belongs to another program.
        let at = words
            .iter()
            .position(|word| *word == "--notify-cmd")
            .unwrap();
        words.truncate(at);
        words.push("--help");
        let ran = Command::new(PROGRAM).args(&words).output().unwrap();
        assert!(ran.status.success(), "{unit}: {ran:?}");
        let help = String::from_utf8(ran.stdout).unwrap();
        for flag in words
            .iter()
            .filter(|word| word.starts_with("--") && **word != "--help")
        {
            assert!(help.contains(flag), "{unit}: {flag}");
        }
    }
    let mode = fs::metadata(root().join("deploy/bootstrap.py"))
        .unwrap()
        .permissions()
        .mode();
    assert!(mode & 0o111 != 0, "the shims are programs");
}
