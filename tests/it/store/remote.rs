//! Releases behind HTTP and in archives.

use std::fs;

use super::super::test_archive::{file, gz, tar};
use super::server::{Answer, Server};
use super::{Host, Ran, SECRET, gguf, manifest, sha256};

/// A tar.gz of these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> = files.iter().map(|(name, data)| file(name, data)).collect();
    gz(&tar(&entries))
}

fn artifact(url: &str, bytes: &[u8]) -> String {
    super::artifact("m.tar.gz", url, bytes)
}

/// A host with release 1.0.0, and version 1.1.0 published as an archive behind HTTP.
struct Lab {
    host: Host,
    server: Server,
}

impl Lab {
    /// * `promised`: bytes the manifest pins
    /// * `answer`: what the server says
    fn new(promised: &[u8], answer: Answer) -> Self {
        let host = Host::new();
        host.installed("1.0.0", "one");
        let server = Server::new([("/m.tar.gz", answer)]);
        let url = format!("{}?sig={SECRET}", server.url("/m.tar.gz"));
        host.set_manifest(manifest("1.1.0", &[artifact(&url, promised)]));
        Self { host, server }
    }

    fn of(bytes: &[u8]) -> Self {
        Self::new(bytes, Answer::ok(bytes))
    }

    #[track_caller]
    fn install(&self, flags: &[&str]) -> Ran {
        let mut all = vec!["--smoke", "none", "--retries", "0"];
        all.extend(flags);
        self.host.model("install", &all)
    }

    /// Fails with a code and keeps what is installed, twice over.
    #[track_caller]
    fn is_refused(&self, code: i32, words: &str) {
        for _ in 0..2 {
            let ran = self.install(&[]);
            let all = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, code, "{all}");
            assert!(all.contains(words), "{words}: {all}");
            assert_eq!(
                (self.host.current(), self.host.weights()),
                (Some(1), Some(gguf("one")))
            );
        }
        assert_eq!(self.host.model("verify", &[]).code, 0);
        // W4: going back to the earlier manifest is a no-op that is true.
        self.host.set_manifest(self.host.release("1.0.0", "one"));
        let ran = self.install(&[]);
        assert_eq!(
            (ran.code, ran.json["change"].as_str()),
            (0, Some("unchanged")),
            "{}",
            ran.stderr
        );
        self.host.is_tidy();
    }
}

#[test]
fn an_archive_behind_http_is_installed_and_not_fetched_again() {
    let bytes = archive(&[("model.gguf", &gguf("two")), ("README.md", b"x")]);
    let lab = Lab::of(&bytes);
    let ran = lab.install(&[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(lab.host.weights(), Some(gguf("two")));
    assert_eq!(lab.install(&[]).json["change"], "unchanged");
    assert_eq!(lab.server.asked().len(), 1);
    assert_eq!(
        fs::read_dir(lab.host.path("models/.vv/blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
    lab.host.is_tidy();
}

#[test]
fn n28_what_was_fetched_before_installs_without_network() {
    let bytes = archive(&[("model.gguf", &gguf("two"))]);
    let lab = Lab::of(&bytes);
    let absent = lab.install(&["--offline"]);
    assert_eq!(absent.code, 20, "{}", absent.stderr);
    let fetched = lab.host.model("fetch", &["--retries", "0"]);
    assert_eq!(fetched.code, 0, "{}{}", fetched.stdout, fetched.stderr);
    assert_eq!(lab.host.current(), Some(1));
    let blob = lab
        .host
        .path("models/.vv/blobs/sha256")
        .join(sha256(&bytes));
    let whole = fs::read(&blob).unwrap();
    super::make_writable(&blob);
    fs::write(&blob, b"damaged").unwrap();
    assert_eq!(lab.install(&["--offline"]).code, 20);
    fs::write(&blob, whole).unwrap();
    assert_eq!(lab.install(&["--offline"]).code, 0);
    assert_eq!(lab.server.asked().len(), 1);
}

#[test]
fn n20_other_bytes_are_fetched_once_more_and_then_refused() {
    let bytes = archive(&[("model.gguf", &gguf("two"))]);
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    let lab = Lab::new(&bytes, Answer::ok(&other));
    let ran = lab.install(&[]);
    assert_eq!(ran.code, 23, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(lab.server.asked().len(), 2);
    lab.is_refused(23, "expected");
}

#[test]
fn w15_a_label_on_the_transport_changes_no_bytes() {
    let bytes = archive(&[("model.gguf", &gguf("two"))]);
    let lab = Lab::new(&bytes, Answer::ok(&bytes).with("Content-Encoding: gzip"));
    assert_eq!(lab.install(&[]).code, 0);
    assert_eq!(lab.host.weights(), Some(gguf("two")));
}

#[test]
fn a01_a_hostile_archive_with_other_bytes_is_never_parsed() {
    let hostile = archive(&[("../x", b"x")]);
    let good = archive(&[("model.gguf", &gguf("two"))]);
    let mut padded = hostile;
    padded.resize(good.len(), 0);
    Lab::new(&good, Answer::ok(&padded)).is_refused(23, "");
}

#[test]
fn what_pack_makes_is_what_install_takes() {
    let host = Host::new();
    fs::create_dir(host.path("repo/new")).unwrap();
    fs::write(host.path("repo/new/model.gguf"), gguf("packed")).unwrap();
    let out = host.path("models/out.tar.gz");
    fs::create_dir(host.path("models")).unwrap();
    let packed = host.model(
        "pack",
        &[
            host.path("repo/new").to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ],
    );
    assert_eq!(packed.code, 0, "{}{}", packed.stdout, packed.stderr);
    let bytes = fs::read(&out).unwrap();
    assert_eq!(packed.json["artifact"]["sha256"], sha256(&bytes).as_str());
    fs::remove_file(&out).unwrap();
    fs::write(host.path("repo/out.tar.gz"), &bytes).unwrap();
    host.set_manifest(manifest("1.0.0", &[artifact("repo:out.tar.gz", &bytes)]));
    let ran = host.model("install", &["--smoke", "none"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights(), Some(gguf("packed")));
    // What could run is not packed in the first place.
    fs::write(host.path("repo/new/load.py"), "import os").unwrap();
    let refused = host.model(
        "pack",
        &[
            host.path("repo/new").to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ],
    );
    assert_eq!(refused.code, 31, "{}", refused.stderr);
    assert!(!out.exists());
}

#[test]
fn m29_files_of_the_host_need_to_be_allowed() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let bytes = gguf("two");
    fs::write(host.path("far.gguf"), &bytes).unwrap();
    let url = format!("file://{}", host.path("far.gguf").display());
    host.set_manifest(manifest(
        "1.1.0",
        &[super::artifact("model.gguf", &url, &bytes)],
    ));
    let ran = host.model("install", &["--smoke", "none"]);
    assert_eq!((ran.code, host.current()), (11, Some(1)), "{}", ran.stderr);
    let ran = host.model("install", &["--smoke", "none", "--allow-file"]);
    assert_eq!((ran.code, host.current()), (0, Some(2)), "{}", ran.stderr);
}
