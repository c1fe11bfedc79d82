//! The first installer, its Python unchanged, against a store of ours: it never damages the model.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::common::root;
use super::{Host, gguf, make_writable, tell};

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output();
    let is_there = found.is_ok_and(|output| output.status.success());
    if !is_there {
        tell("skipped: there is no python3");
    }
    is_there
}

/// Runs the first installer and gives what it returned, or what it raised.
fn seed(host: &Host, archive: &Path) -> String {
    let output = Command::new("python3")
        .arg("-B")
        .arg(root().join("tests/fixtures/seed/drive.py"))
        .arg(host.manifest())
        .arg(host.path("models"))
        .arg(archive)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An archive in the first installer's format, and a manifest that names it.
fn archive(host: &Host, version: &str) -> std::path::PathBuf {
    let path = host.path(&format!("bitnet_v{version}.tar.gz"));
    let folder = host.path("packed");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("model.gguf"), gguf("packed")).unwrap();
    let status = Command::new("tar")
        .arg("-czf")
        .arg(&path)
        .arg("-C")
        .arg(&folder)
        .arg("model.gguf")
        .status();
    assert!(status.unwrap().success());
    let bytes = fs::read(&path).unwrap();
    let artifact = super::artifact(
        &format!("bitnet_v{version}.tar.gz"),
        "https://models.acme.dev/m.tar.gz",
        &bytes,
    );
    host.set_manifest(super::manifest(version, &[artifact]));
    path
}

#[test]
fn s23_the_first_installer_finds_its_version_installed() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    host.installed("1.0.0", "one");
    let archive = archive(&host, "1.0.0");
    assert_eq!(seed(&host, &archive), "True");
    assert_eq!(host.weights(), Some(gguf("one")));
    assert_eq!(host.model("verify", &[]).code, 0);
}

#[test]
fn s23_the_first_installer_does_not_delete_through_our_link() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    host.installed("1.0.0", "one");
    let archive = archive(&host, "1.1.0");
    assert_eq!(seed(&host, &archive), "OSError");
    assert_eq!(host.weights(), Some(gguf("one")));
    assert_eq!(host.model("verify", &[]).code, 0);
    // And our own tool goes on from there.
    host.installed("1.2.0", "two");
    assert_eq!(host.weights(), Some(gguf("two")));
}

#[test]
fn s23_the_first_installer_with_another_target_damages_no_weights() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    host.installed("1.0.0", "one");
    let first = fs::read(host.manifest()).unwrap();
    let archive = archive(&host, "1.1.0");
    let text = fs::read_to_string(host.manifest()).unwrap();
    host.set_manifest(text.replace("/app/models/bitnet", "/app/models/bitnet2"));
    let returned = seed(&host, &archive);
    assert_eq!(host.weights(), Some(gguf("one")));
    // As root it wrote its record through our link; anybody else may not.
    let verified = host.model("verify", &[]);
    let is_through = returned == "True";
    assert_eq!(verified.code, if is_through { 51 } else { 0 }, "{returned}");
    assert!(!is_through || verified.stdout.contains(".current_model_info.json"));
    fs::remove_dir_all(host.path("models/bitnet2")).unwrap();
    host.set_manifest(first);
    let ran = host.model("install", &["--smoke", "none"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights(), Some(gguf("one")));
    assert_eq!(host.model("verify", &[]).code, 0);
}

#[test]
fn s14_what_the_first_installer_installed_is_taken_over() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    fs::create_dir(host.path("models")).unwrap();
    let archive = archive(&host, "0.9.0");
    assert_eq!(seed(&host, &archive), "True");
    assert!(
        host.path("models/bitnet")
            .symlink_metadata()
            .unwrap()
            .is_dir()
    );
    host.installed("1.0.0", "one");
    assert!(
        host.path("models/bitnet")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
    let ran = host.model("rollback", &[]);
    assert_eq!((ran.code, ran.json["version"].as_str()), (0, Some("0.9.0")));
    assert_eq!(host.weights(), Some(gguf("packed")));
    host.is_tidy();
}

#[test]
fn w03_w04_the_fault_is_the_first_installers_and_not_ours() {
    // Half an archive under the right checksum: the first installer leaves half of a model and
    // calls the earlier version installed. Ours keeps the earlier release whole.
    if !has_python() {
        return;
    }
    let host = Host::new();
    fs::create_dir(host.path("models")).unwrap();
    let whole = archive(&host, "1.0.0");
    assert_eq!(seed(&host, &whole), "True");
    let first = fs::read(host.manifest()).unwrap();
    let bytes = fs::read(&whole).unwrap();
    let cut = host.path("cut.tar.gz");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let artifact = super::artifact(
        "cut.tar.gz",
        "https://models.acme.dev/c.tar.gz",
        &bytes[..bytes.len() / 2],
    );
    host.set_manifest(super::manifest("1.1.0", &[artifact]));
    let raised = seed(&host, &cut);
    assert_ne!(raised, "True");
    host.set_manifest(first);
    assert_ne!(
        fs::read(host.path("models/bitnet/model.gguf")).ok(),
        Some(gguf("packed")),
        "{raised}"
    );
    fs::remove_dir_all(host.path("models")).unwrap();
}

#[test]
fn readers_as_the_document_describes_them_find_one_release() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    host.installed("1.0.0", "one");
    let reader = r#"
import json, os, sys
base = os.path.realpath(sys.argv[1] + "/bitnet")
info = json.load(open(os.path.dirname(base) + "/.current_model_info.json"))
flag = json.load(open(sys.argv[1] + "/.model_updated_flag"))
assert flag["generation"] == info["generation"], (flag, info)
assert open(sys.argv[1] + "/.current_model_version").read() == info["version"] + "\n"
print(info["version"], info["model_name"], len(open(base + "/model.gguf", "rb").read()))
"#;
    let output = Command::new("python3")
        .args(["-c", reader])
        .arg(host.path("models"))
        .output()
        .unwrap();
    let expected = format!("1.0.0 bitnet {}\n", gguf("one").len());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    make_writable(&host.path("models"));
}
