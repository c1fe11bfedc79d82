//! What the first installer gets wrong, and this one must not: the rows of the list that no other
//! test holds.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::super::test_server::{Server, good, whole};
use super::{Host, artifact, gguf, make_writable, manifest};

const FLAGS: [&str; 4] = ["--smoke", "none", "--retries", "0"];

#[test]
fn w05_the_same_version_with_other_bytes_is_installed() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host.set_manifest(host.release("1.0.0", "two"));
    let ran = host.model("install", &FLAGS);
    assert_eq!(
        (ran.code, host.weights()),
        (0, Some(gguf("two"))),
        "{}",
        ran.stdout
    );
    let warnings = ran.json["warnings"].to_string();
    assert!(warnings.contains("1.0.0"), "{warnings}");
}

#[test]
fn w06_bit_rot_is_found_and_repaired() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let weights = host.path("models/bitnet/model.gguf");
    make_writable(&weights);
    let mut bytes = gguf("one");
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, &bytes).unwrap();
    assert_eq!(host.model("verify", &[]).code, 51);
    let ran = host.model("install", &FLAGS);
    assert_eq!((ran.code, host.current()), (0, Some(2)), "{}", ran.stdout);
    assert_eq!(host.weights(), Some(gguf("one")));
    assert_eq!(host.model("verify", &[]).code, 0);
}

#[test]
fn w14_a_part_that_answers_500_fails_the_second_time_too() {
    let server = Server::start(|request| match request.target.as_str() {
        "/two" => good(request, &gguf("two")),
        _ => whole("500 Internal Server Error", &[], b""),
    });
    let host = Host::new();
    host.installed("1.0.0", "one");
    let two = artifact("model.gguf", &server.url("/two"), &gguf("two"));
    let notes = artifact("notes.txt", &server.url("/notes"), b"n");
    host.set_manifest(manifest("1.1.0", &[two, notes]));
    for _ in 0..2 {
        let ran = host.model("install", &FLAGS);
        assert_eq!((ran.code, host.current()), (21, Some(1)), "{}", ran.stdout);
        assert_eq!(ran.json["error"]["retryable"], true);
    }
    assert_eq!(host.weights(), Some(gguf("one")));
    // What came whole the first time was not fetched again.
    let of_two = server
        .requests()
        .iter()
        .filter(|it| it.target == "/two")
        .count();
    assert_eq!(of_two, 1);
}

#[test]
fn w17_a_record_that_is_a_list_is_rewritten() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let record = host.path("models/.vv/generations/000001/.current_model_info.json");
    make_writable(&record);
    fs::write(&record, "[1]").unwrap();
    let ran = host.model("install", &FLAGS);
    assert_eq!((ran.code, host.current()), (0, Some(2)), "{}", ran.stdout);
    let text = fs::read_to_string(host.path("models/.current_model_info.json")).unwrap();
    assert!(text.contains("\"model_name\": \"bitnet\""), "{text}");
}

#[test]
fn w21_the_record_is_never_written_in_place() {
    // The first installer opens its record for writing; a power cut then leaves bytes of zero. Here
    // each record is a file of its own that nothing writes to again.
    let host = Host::new();
    host.installed("1.0.0", "one");
    let record = host.path("models/.current_model_info.json");
    let flag = host.path("models/.model_updated_flag");
    let open = fs::File::open(&record).unwrap();
    let before = fs::read(&record).unwrap();
    let inodes = |path| fs::metadata(path).unwrap().ino();
    let (of_record, of_flag) = (inodes(&record), inodes(&flag));
    host.installed("1.1.0", "two");
    assert_ne!(inodes(&record), of_record);
    assert_ne!(inodes(&flag), of_flag, "replaced by a rename");
    let mut still = Vec::new();
    std::io::Read::read_to_end(&mut &open, &mut still).unwrap();
    assert_eq!(still, before);
}
