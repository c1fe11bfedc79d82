//! S01, S02, S04, S20, S21: models directories on full, read-only, foreign and odd file systems,
//! and users that may not write.
//!
//! What has to be mounted for a test is mounted for its process alone where a namespace can be had;
//! a test whose machine permits nothing of it says so and is skipped.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::server::{Answer, Server};
use super::{Host, Ran, artifact, gguf, manifest, tell};
use crate::common::PROGRAM;

/// A user without privileges.
const NOBODY: u32 = 65534;

const INSTALL: &[&str] = &["--smoke", "none", "--retries", "0"];

/// Runs the program after `script`, a line of shell, in a namespace of mounts of its own.
///
/// * `script`: may use `$M`, the models directory
///
/// `None` where the machine does not permit that; says so then.
#[track_caller]
fn under(host: &Host, script: &str, command: &str, further: &[&str]) -> Option<Ran> {
    let is_root = fs::metadata(host.root()).unwrap().uid() == 0;
    let namespace: &[&str] = if is_root { &["-m"] } else { &["-r", "-m"] };
    let models = host.path("models");
    let tried = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-ec", script])
        .env("M", &models)
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        tell(&format!("skipped: `{script}` is not permitted here"));
        return None;
    }
    let script = format!("{script}; exec \"$@\"");
    let mut all = vec!["unshare"];
    all.extend(namespace);
    all.extend(["sh", "-ec", script.as_str(), "sh"]);
    let environment = [("M", models.to_str().unwrap())];
    Some(host.model_under(&all, command, further, &environment))
}

/// A host with a release of 1.1.0 to install over one of 1.0.0.
fn host() -> Host {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.set_manifest(host.release("1.1.0", "two"));
    host
}

/// That the release before is current and whole.
#[track_caller]
fn is_kept(host: &Host, ran: &Ran, code: i32) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, code, "{all}");
    assert_eq!(host.weights(), Some(gguf("one")), "{all}");
    assert_eq!(host.model("verify", &[]).code, 0, "{all}");
    host.is_tidy();
}

#[test]
fn s04_a_read_only_mount_is_refused_and_kept() {
    let host = host();
    let script = "mount --bind \"$M\" \"$M\"; mount -o remount,bind,ro \"$M\"";
    if let Some(ran) = under(&host, script, "install", INSTALL) {
        is_kept(&host, &ran, 42);
    }
}

/// Runs the program as a user without privileges; `None` where this process cannot become one.
fn as_nobody(host: &Host, command: &str, further: &[&str]) -> Option<Ran> {
    let under = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
    ];
    let tried = Command::new(under[0])
        .args(&under[1..])
        .arg(PROGRAM)
        .args(["model", "--help"])
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        tell("skipped: the program cannot be run as another user here");
        return None;
    }
    // The directory of a test belongs to its user alone.
    super::make_writable(host.root());
    Some(host.model_under(&under, command, further, &[]))
}

#[test]
fn s04_a_store_of_another_user_is_refused_and_kept() {
    let host = host();
    if let Some(ran) = as_nobody(&host, "install", INSTALL) {
        is_kept(&host, &ran, 42);
    }
    let host = Host::new();
    host.set_manifest(host.release("1.1.0", "two"));
    fs::create_dir(host.path("models")).unwrap();
    if let Some(ran) = as_nobody(&host, "install", INSTALL) {
        assert_eq!(ran.code, 42, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(fs::read_dir(host.path("models")).unwrap().count(), 0);
    }
    // The models directory is theirs, the store's own is not.
    let host = self::host();
    chown(host.path("models"), Some(NOBODY), Some(NOBODY)).unwrap_or_default();
    if let Some(ran) = as_nobody(&host, "install", INSTALL) {
        is_kept(&host, &ran, 42);
    }
}

#[test]
fn s21_an_ordinary_user_installs_rolls_back_and_collects() {
    let host = Host::new();
    fs::create_dir(host.path("models")).unwrap();
    if chown(host.path("models"), Some(NOBODY), Some(NOBODY)).is_err() {
        tell("skipped: not root");
        return;
    }
    for (version, weights) in [("1.0.0", "one"), ("1.1.0", "two"), ("1.2.0", "three")] {
        host.set_manifest(host.release(version, weights));
        let Some(ran) = as_nobody(&host, "install", INSTALL) else {
            return;
        };
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
    let done = |command, further: &[&str]| {
        let ran = as_nobody(&host, command, further).expect("it went before");
        assert_eq!(ran.code, 0, "{command}: {}{}", ran.stdout, ran.stderr);
    };
    done("rollback", &["--to", "2"]);
    // Files of 0444 in directories of 0555.
    done("gc", &["--keep", "1", "--grace", "0"]);
    done("verify", &[]);
    let generations = fs::read_dir(host.path("models/.vv/generations")).unwrap();
    assert_eq!(generations.count(), 2);
}

#[test]
fn s21_root_of_a_user_namespace_installs() {
    let host = host();
    let tried = Command::new("unshare").args(["-r", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        tell("skipped: no user namespaces here");
        return;
    }
    let ran = host.model_under(&["unshare", "-r"], "install", INSTALL, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights(), Some(gguf("two")));
}

#[test]
fn s20_a_store_on_another_file_system_than_its_directory_is_refused() {
    let host = Host::new();
    host.set_manifest(host.release("1.1.0", "two"));
    fs::create_dir_all(host.path("models/.vv")).unwrap();
    let script = "mount -t tmpfs none \"$M/.vv\"";
    if let Some(ran) = under(&host, script, "install", INSTALL) {
        assert_eq!(ran.code, 41, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("another file system"), "{}", ran.stdout);
        assert!(!host.path("models/bitnet").exists());
    }
}

#[test]
fn s20_a_file_system_without_links_is_refused() {
    let vfat = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !vfat.contains("vfat") {
        tell("skipped: this kernel has no vfat");
        return;
    }
    let host = Host::new();
    host.set_manifest(host.release("1.1.0", "two"));
    fs::create_dir(host.path("models")).unwrap();
    let image = host.path("models.image");
    let made = Command::new("mkfs.vfat")
        .arg("-C")
        .arg(&image)
        .arg("4096")
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        tell("skipped: no mkfs.vfat");
        return;
    }
    let script = format!("mount -o loop {} \"$M\"", image.display());
    if let Some(ran) = under(&host, &script, "install", INSTALL) {
        assert_eq!(ran.code, 41, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn s20_an_overlay_holds_a_store() {
    let host = Host::new();
    host.set_manifest(host.release("1.1.0", "two"));
    fs::create_dir(host.path("models")).unwrap();
    // Of a tmpfs, because no overlay stands on another one.
    let script = "mount -t tmpfs none \"$M\"; mkdir \"$M/a\" \"$M/b\" \"$M/c\"; \
                  mount -t overlay none -o lowerdir=\"$M/a\",upperdir=\"$M/b\",workdir=\"$M/c\" \"$M\"";
    // What the namespace holds is gone with it: the command itself has to tell.
    let verify = format!(
        "{script}; \"$P\" model install --smoke none --models-dir \"$M\" --manifest \"$F\""
    );
    let is_root = fs::metadata(host.root()).unwrap().uid() == 0;
    let run = |script: &str| {
        Command::new("unshare")
            .args(if is_root { &["-m"][..] } else { &["-r", "-m"] })
            .args(["sh", "-ec", script])
            .env("M", host.path("models"))
            .env("F", host.manifest())
            .env("P", PROGRAM)
            .output()
    };
    if !run(script).is_ok_and(|output| output.status.success()) {
        tell("skipped: no overlay can be mounted here");
        return;
    }
    let ran = run(&format!(
        "{verify}; \"$P\" model verify --models-dir \"$M\" --manifest \"$F\"; cat \"$M/bitnet/model.gguf\""
    ))
    .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.ends_with(&gguf("two")), "{ran:?}");
}

/// An archive whose manifest does not tell how much it holds: the whole is far below the ratio at
/// which archives are refused.
fn swelling(n_bytes: usize) -> Vec<u8> {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    add("model.gguf", &gguf("two"));
    let mut line = Vec::new();
    while line.len() < n_bytes {
        writeln!(line, "word {} and some more of the same", line.len()).unwrap();
    }
    add("words.txt", &line);
    tar.into_inner().unwrap().finish().unwrap()
}

/// The archive of `swelling` as release 1.1.0, its size not declared.
fn publish(host: &Host, url: &str, bytes: &[u8]) {
    let text = manifest("1.1.0", &[artifact("m.tar.gz", url, bytes)]);
    let size = format!("\"size_bytes\":{},", bytes.len());
    assert!(text.contains(&size));
    host.set_manifest(text.replacen(&size, "", 1));
    fs::write(host.path("repo/gate.toml"), "[store]\nmin_free_bytes = 0\n").unwrap();
}

/// Installs on a file system of so many bytes, in which the current release is copied first.
fn on_small(host: &Host, n_bytes: usize) -> Option<Ran> {
    let script = format!("mount -t tmpfs -o size={n_bytes} none \"$M\"; cp -a \"$M.old/.\" \"$M\"");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(host.path("models"))
        .arg(host.path("models.old"))
        .status();
    assert!(copied.unwrap().success());
    under(host, &script, "install", INSTALL)
}

#[test]
fn s02_a_disk_that_fills_up_while_an_archive_is_unpacked() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let bytes = swelling(6 << 20);
    fs::write(host.path("repo/m.tar.gz"), &bytes).unwrap();
    publish(&host, "repo:m.tar.gz", &bytes);
    if let Some(ran) = on_small(&host, 3 << 20) {
        assert_eq!(ran.code, 40, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.json["error"]["retryable"].as_bool().unwrap_or_default());
    }
}

#[test]
fn s02_a_disk_that_fills_up_during_a_download() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let bytes = swelling(24 << 20);
    assert!(bytes.len() > 3 << 19, "{} bytes", bytes.len());
    let server = Server::new([("/m.tar.gz", Answer::ok(&bytes))]);
    publish(&host, &server.url("/m.tar.gz"), &bytes);
    if let Some(ran) = on_small(&host, 1 << 20) {
        assert_eq!(ran.code, 40, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn s02_a_file_larger_than_the_process_may_write() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let bytes = swelling(6 << 20);
    fs::write(host.path("repo/m.tar.gz"), &bytes).unwrap();
    publish(&host, "repo:m.tar.gz", &bytes);
    // 1 MiB; the signal that would end the process is ignored, so the write fails with EFBIG.
    let limited = [
        "sh",
        "-c",
        "trap '' XFSZ; ulimit -f 2048; exec \"$@\"",
        "sh",
    ];
    let ran = host.model_under(&limited, "install", INSTALL, &[]);
    is_kept(&host, &ran, 40);
    let ran = host.model("install", INSTALL);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn s01_too_little_space_is_seen_before_anything_is_written() {
    let host = Host::new();
    host.set_manifest(host.release("1.1.0", "two"));
    let policy = format!("[store]\nmin_free_bytes = {}\n", 1u64 << 60);
    fs::write(host.path("repo/gate.toml"), policy).unwrap();
    let ran = host.model("install", INSTALL);
    assert_eq!(ran.code, 40, "{}{}", ran.stdout, ran.stderr);
    let left = |path: &Path| -> Vec<_> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|it| it.unwrap().file_name()).collect()
    };
    assert_eq!(left(&host.path("models")), [".vv"]);
    assert_eq!(left(&host.path("models/.vv")), ["lock"]);
}

#[test]
#[ignore = "reads a journal of 1 GiB several times; see docs/store.md"]
fn s19_a_journal_of_any_length_is_read_as_a_stream() {
    let host = host();
    let journal = host.path("models/.vv/journal.jsonl");
    let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
    // A last line of zeros, without an end.
    file.set_len(1 << 30).unwrap();
    let limited = ["sh", "-c", "ulimit -v 1000000; exec \"$@\"", "sh"];
    let ran = host.model_under(&limited, "install", INSTALL, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights(), Some(gguf("two")));
    assert!(fs::metadata(&journal).unwrap().len() < 1 << 20);
    assert_eq!(host.model("history", &[]).code, 0);
}
