//! Files that DVC keeps: where they are found, and that the manifest's digest decides.

use std::path::PathBuf;

use super::http::Case;
use super::server::{Server, good, whole};

/// The MD5 of `abc`, RFC 1321, section A.5.
const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

const INSIDE: &str = "files/md5/90/0150983cd24fb0d6963f7d28e17f72";

/// A repository of DVC with `m.bin.dvc`, whose file is in `remote`.
///
/// * `content`: what the manifest pins
fn case(remote: &str, content: &[u8]) -> Case {
    let case = Case::new("dvc:m.bin.dvc".to_owned(), content);
    let dvc = case.dir.path().join(".dvc");
    std::fs::create_dir(&dvc).expect("made");
    let config = format!("[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n");
    std::fs::write(dvc.join("config"), config).expect("written");
    let file = format!("outs:\n- md5: {MD5}\n  size: 3\n  hash: md5\n  path: m.bin\n");
    std::fs::write(case.dir.path().join("m.bin.dvc"), file).expect("written");
    case
}

/// Puts a file into DVC's own cache.
fn cached(case: &Case, bytes: &[u8]) -> PathBuf {
    let path = case.dir.path().join(".dvc/cache").join(INSIDE);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn a_file_is_fetched_from_the_default_remote() {
    let server = Server::start(|request| good(request, b"abc"));
    let done = case(&server.url("/store"), b"abc").run().arrives();
    assert_eq!(server.requests()[0].target, format!("/store/{INSIDE}"));
    let offline = Case {
        is_offline: true,
        ..done.case
    };
    offline.run().arrives();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_cache_of_dvc_is_nearer_and_damage_there_is_passed_over() {
    let server = Server::start(|request| good(request, b"abc"));
    let near = case(&server.url("/store"), b"abc");
    cached(&near, b"abc");
    near.run().arrives();
    assert_eq!(server.requests().len(), 0);
    let damaged = case(&server.url("/store"), b"abc");
    cached(&damaged, b"abd");
    damaged.run().arrives();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn n27_the_md5_of_dvc_decides_nothing() {
    // Right by MD5, and not the bytes the manifest pins.
    let server = Server::start(|request| good(request, b"abc"));
    case(&server.url("/store"), b"xyz")
        .run()
        .ends(23, "expected");
    let near = case("/nowhere/else", b"xyz");
    cached(&near, b"abc");
    // The remote would be any file of this host.
    near.run().ends(11, "file:");
}

#[test]
fn a_remote_keeps_the_rules_of_every_source() {
    let server = Server::start(|_| whole("404 Not Found", &[], b""));
    case(&server.url("/store"), b"abc")
        .run()
        .ends(21, "status 404");
    case("http://h.dev/store", b"abc").run().ends(11, "https");
    let mut unlisted = case(&server.url("/store"), b"abc");
    unlisted.rules.requires_host_list = true;
    unlisted.run().ends(11, "allow_hosts");
    case("gdrive://x", b"abc").run().ends(10, "`gdrive:`");
    let mut offline = case(&server.url("/store"), b"abc");
    offline.is_offline = true;
    offline.run().ends(20, "--offline");
    let alone = case(&server.url("/store"), b"abc");
    std::fs::write(alone.dir.path().join(".dvc/config"), "").expect("written");
    alone.run().ends(10, "no default remote");
    assert_eq!(server.requests().len(), 1);
}
