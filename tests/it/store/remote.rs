//! Releases behind HTTP and in archives.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::server::{Answer, Server};
use super::{Host, Ran, SECRET, gguf, manifest, sha256};

/// An entry of an archive.
#[derive(Debug, Clone)]
struct Entry {
    name: Vec<u8>,
    kind: tar::EntryType,
    mode: u32,
    link: &'static str,
    data: Vec<u8>,
}

fn file(name: &str, data: &[u8]) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        kind: tar::EntryType::Regular,
        mode: 0o644,
        link: "",
        data: data.to_vec(),
    }
}

fn special(name: &str, kind: tar::EntryType, link: &'static str) -> Entry {
    Entry {
        kind,
        link,
        ..file(name, b"")
    }
}

/// The header of an entry.
///
/// * `size`: the length it declares
fn header(entry: &Entry, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..entry.name.len()].copy_from_slice(&entry.name);
    header.set_entry_type(entry.kind);
    header.set_mode(entry.mode);
    header.set_uid(12345);
    header.set_gid(54321);
    header.set_mtime(1);
    header.set_size(size);
    header.as_old_mut().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
    header.set_cksum();
    header
}

/// A tar.gz of exactly these entries, however wrong they are.
fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let header = header(entry, entry.data.len() as u64);
        tar.append(&header, entry.data.as_slice()).unwrap();
    }
    compressed(&tar.into_inner().unwrap())
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
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
    let bytes = archive(&[file("model.gguf", &gguf("two")), file("README.md", b"x")]);
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
    let bytes = archive(&[file("model.gguf", &gguf("two"))]);
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
    let bytes = archive(&[file("model.gguf", &gguf("two"))]);
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    let lab = Lab::new(&bytes, Answer::ok(&other));
    let ran = lab.install(&[]);
    assert_eq!(ran.code, 23, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(lab.server.asked().len(), 2);
    lab.is_refused(23, "expected");
}

#[test]
fn n08_n09_answers_that_cannot_be_used_keep_what_is_there() {
    let bytes = archive(&[file("model.gguf", &gguf("two"))]);
    Lab::new(&bytes, Answer::status("404 Not Found")).is_refused(21, "404");
    let page = Answer::ok(b"<html>log in</html>").with("Content-Type: text/html");
    Lab::new(&bytes, page).is_refused(22, "text/html");
    let away = Answer::status("302 Found").with("Location: http://169.254.169.254/latest");
    Lab::new(&bytes, away).is_refused(11, "169.254.169.254");
}

#[test]
fn w15_a_label_on_the_transport_changes_no_bytes() {
    let bytes = archive(&[file("model.gguf", &gguf("two"))]);
    let lab = Lab::new(&bytes, Answer::ok(&bytes).with("Content-Encoding: gzip"));
    assert_eq!(lab.install(&[]).code, 0);
    assert_eq!(lab.host.weights(), Some(gguf("two")));
}

#[test]
fn a01_a_hostile_archive_with_other_bytes_is_never_parsed() {
    let hostile = archive(&[file("../x", b"x")]);
    let good = archive(&[file("model.gguf", &gguf("two"))]);
    let mut padded = hostile;
    padded.resize(good.len(), 0);
    Lab::new(&good, Answer::ok(&padded)).is_refused(23, "");
}

#[test]
fn archives_of_the_catalogue_that_are_refused() {
    let good = file("model.gguf", &gguf("two"));
    let whole = archive(std::slice::from_ref(&good));
    let check = |bytes: &[u8], code, words: &str| Lab::of(bytes).is_refused(code, words);
    check(b"not an archive at all", 30, "");
    // W3: cut short under the right checksum.
    check(&whole[..whole.len() / 2], 30, "");
    check(&archive(&[]), 30, "");
    let with = |entry: Entry| archive(&[good.clone(), entry]);
    // W7, W8, W10.
    check(&with(file("../../../x", b"x")), 31, "");
    check(
        &with(special("link", tar::EntryType::Symlink, "/tmp")),
        31,
        "",
    );
    check(
        &with(special("hard", tar::EntryType::Link, "model.gguf")),
        31,
        "",
    );
    check(&with(special("fifo", tar::EntryType::Fifo, "")), 31, "");
    check(&with(special("null", tar::EntryType::Char, "")), 31, "");
    check(&with(file("model.gguf", b"again")), 31, "");
    check(&with(file("bitnet\x1b[31m.txt", b"x")), 31, "");
    check(&with(file("run.sh", b"#!/bin/sh")), 31, "");
    check(
        &archive(&[file("deep/model.gguf", &gguf("two"))]),
        30,
        "strip_components",
    );
    // A bomb: 100 MB of zeros.
    check(
        &archive(&[good.clone(), file("zeros.txt", &vec![0; 100 << 20])]),
        32,
        "",
    );
}

/// A tar.gz of 1 MB with 1 GiB of zeros in one file.
fn zeros() -> Vec<u8> {
    const PIECE_BYTES: usize = 16 << 20;
    const N_PIECES: usize = 64;
    let size = (PIECE_BYTES * N_PIECES) as u64;
    let mut bytes = compressed(header(&file("zeros.txt", b""), size).as_bytes());
    // A stream may have many members, so the zeros are compressed once.
    bytes.extend(compressed(&vec![0; PIECE_BYTES]).repeat(N_PIECES));
    bytes.extend(compressed(&[0; 1024]));
    bytes
}

#[test]
fn a20_bombs_are_refused_at_the_limits_nobody_set() {
    // Address space in KiB and seconds of the processor: the program stops early, or is stopped.
    let limited = [
        "sh",
        "-c",
        "ulimit -v 1048576; ulimit -t 60; exec \"$@\"",
        "sh",
    ];
    let files: Vec<Entry> = (0..100_000)
        .map(|i| file(&format!("{i}.txt"), b"x"))
        .collect();
    for (bytes, words) in [
        (archive(&files), "more than 4096 entries"),
        (zeros(), "far more than its own size"),
    ] {
        let host = Host::new();
        fs::write(host.path("repo/m.tar.gz"), &bytes).unwrap();
        host.set_manifest(manifest("1.1.0", &[artifact("repo:m.tar.gz", &bytes)]));
        let ran = host.model_under(&limited, "install", &["--smoke", "none"], &[]);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, 32, "{all}");
        assert!(all.contains(words), "{words}: {all}");
        assert_eq!((host.current(), host.weights()), (None, None));
        host.is_tidy();
    }
}

#[test]
fn w09_modes_and_owners_of_an_archive_are_not_kept() {
    use std::os::unix::fs::MetadataExt as _;
    let entry = Entry {
        mode: 0o4777,
        ..file("model.gguf", &gguf("two"))
    };
    let lab = Lab::of(&archive(&[entry]));
    assert_eq!(lab.install(&[]).code, 0);
    let found = fs::metadata(lab.host.path("models/bitnet/model.gguf")).unwrap();
    let own = fs::metadata(lab.host.path("sentinel")).unwrap();
    assert_eq!(
        (found.mode() & 0o7777, found.uid(), found.gid()),
        (0o444, own.uid(), own.gid())
    );
}

#[test]
fn a21_strip_components_takes_the_outer_directory_off() {
    let lab = Lab::of(&archive(&[file("m/model.gguf", &gguf("two"))]));
    let text = fs::read_to_string(lab.host.manifest()).unwrap();
    lab.host
        .set_manifest(text.replacen("\"filename\"", "\"strip_components\":1,\"filename\"", 1));
    let ran = lab.install(&[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(lab.host.weights(), Some(gguf("two")));
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
