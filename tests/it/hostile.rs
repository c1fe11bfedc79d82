//! Headers and files made to fill the memory end in an error, in a fraction of the memory there
//! is: `inspect` runs with a limit that the kernel enforces.

use std::fmt::Write as _;
use std::fs;
use std::process::Output;

use super::common::{Lab, PROGRAM, root};

/// Memory the program may write to, in KiB: all of the heap, every mapping of its own and the
/// stacks. An allocation beyond it fails, and with it the words expected.
const LIMIT_KIB: u64 = 512 << 10;

/// About 100 MB.
const SIZE: usize = 100_000_000;

fn inspect(lab: &Lab, path: &str, limit_kib: u64) -> Output {
    assert_cmd::Command::new("sh")
        .current_dir(lab.path("."))
        // Stacks of one thread for each core would count on a machine with many of them.
        .env("RAYON_NUM_THREADS", "2")
        .args([
            "-c",
            "ulimit -d \"$1\" && exec \"$0\" inspect \"$2\"",
            PROGRAM,
        ])
        .args([&limit_kib.to_string(), path])
        .output()
        .unwrap()
}

/// Expects exit code 3, these words, and no more memory than allowed.
#[track_caller]
fn check(lab: &Lab, path: &str, words: &str) {
    let output = inspect(lab, path, LIMIT_KIB);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let shown: String = stderr.chars().take(2000).collect();
    assert_eq!(output.status.code(), Some(3), "{words}: {shown}");
    assert!(stderr.contains(words), "no `{words}` in {shown}");
    let is_bound = words.contains("at most") || words.contains("more than");
    assert!(!is_bound || stderr.contains("hint: "), "{shown}");
    assert!(stderr.len() < 4000, "a message of {} bytes", stderr.len());
}

fn gguf(n_tensors: usize, n_keys: usize) -> Vec<u8> {
    let mut file = Vec::with_capacity(SIZE + 1000);
    file.extend(b"GGUF");
    file.extend(3u32.to_le_bytes());
    file.extend((n_tensors as u64).to_le_bytes());
    file.extend((n_keys as u64).to_le_bytes());
    file
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

#[track_caller]
fn check_gguf(bytes: &[u8], words: &str) {
    let lab = Lab::new();
    lab.write("model.gguf", bytes);
    check(&lab, "model.gguf", words);
}

#[test]
fn a_gguf_of_keys_only() {
    let n = SIZE / 20;
    let mut file = gguf(0, n);
    for i in 0..n {
        text(&mut file, &format!("{i:x}"));
        file.extend(0u32.to_le_bytes());
        file.push(1);
    }
    check_gguf(&file, "keys, expected at most 65536");
}

#[test]
fn a_gguf_of_as_many_keys_as_are_read() {
    let n = 1 << 16;
    let mut file = gguf(0, n);
    let long = "x".repeat(SIZE / n - 30);
    for i in 0..n {
        text(&mut file, &format!("{i:x}"));
        file.extend(8u32.to_le_bytes());
        text(&mut file, &long);
    }
    check_gguf(&file, "no key `general.architecture`");
}

#[test]
fn a_gguf_of_tensors_only() {
    let n = SIZE / 37;
    let mut file = gguf(n, 0);
    for i in 0..n {
        text(&mut file, &format!("{i:x}"));
        file.extend(1u32.to_le_bytes());
        file.extend(1u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        file.extend((i as u64 * 32).to_le_bytes());
    }
    check_gguf(&file, "tensors, expected at most 131072");
}

#[test]
fn a_gguf_of_empty_texts() {
    let mut file = gguf(0, 1);
    text(&mut file, "texts");
    file.extend([9u32, 8].map(u32::to_le_bytes).concat());
    file.extend((SIZE as u64 / 8).to_le_bytes());
    file.resize(file.len() + SIZE / 8 * 8, 0);
    check_gguf(&file, "no key `general.architecture`");
}

#[test]
fn a_gguf_whose_architecture_has_a_name_without_end() {
    let mut file = gguf(0, 1);
    text(&mut file, "general.architecture");
    file.extend(8u32.to_le_bytes());
    text(&mut file, &"\u{1}".repeat(SIZE));
    check_gguf(&file, "a text of 100000000 bytes, expected a name");
}

/// A directory with a configuration and a container with this header.
fn checkpoint(header: &str) -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.path("model")).unwrap();
    let config = root().join("tests/fixtures/bitnet-tiny-direct/config.json");
    fs::copy(config, lab.path("model/config.json")).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    lab.write("model/model.safetensors", file);
    lab
}

/// A map of `entry` under names of their own, as long as a header may be.
fn entries(entry: &str) -> String {
    let mut map = String::with_capacity(SIZE);
    for i in 0.. {
        let before = if i == 0 { '{' } else { ',' };
        write!(map, "{before}\"{i:x}\":{entry}").unwrap();
        if map.len() > SIZE - 200 {
            break;
        }
    }
    map + "}"
}

const EMPTY: &str = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;

#[test]
fn a_safetensors_header_of_metadata_only() {
    let header = format!(r#"{{"__metadata__":{}}}"#, entries("\"\""));
    check(&checkpoint(&header), "model", "tensor `model");
}

#[test]
fn a_safetensors_header_of_empty_tensors() {
    let lab = checkpoint(&entries(EMPTY));
    check(&lab, "model", "more than 131072 tensors");
}

#[test]
fn a_safetensors_header_with_a_shape_without_end() {
    let shape = "1,".repeat(SIZE / 2 - 100);
    let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{shape}1],"data_offsets":[0,1]}}}}"#);
    check(&checkpoint(&header), "model", "more than 8 sizes");
}

#[test]
fn a_safetensors_header_with_a_name_without_end() {
    let name = "x".repeat(SIZE - 200);
    let header = format!(r#"{{"a":{{"{name}":1}}}}"#);
    check(&checkpoint(&header), "model", "unknown field `xxx");
    let header = format!(r#"{{"{name}":{EMPTY}}}"#);
    check(
        &checkpoint(&header),
        "model",
        "bytes, expected at most 1024",
    );
}

#[test]
fn files_beside_the_weights_that_are_longer_than_any() {
    for (name, n_bytes, limit) in [
        ("config.json", SIZE, 16 << 20),
        ("model.safetensors.index.json", SIZE, 64 << 20),
        // Just short enough to be read.
        ("config.json", (16 << 20) - 10, 0),
    ] {
        let lab = checkpoint("{}");
        let zeros = "0,".repeat(n_bytes / 2 - 10);
        lab.write(&format!("model/{name}"), format!("{{\"x\":[{zeros}0]}}"));
        if limit == 0 {
            check(&lab, "model", "no key `");
        } else {
            check(&lab, "model", &format!("expected at most {limit}"));
        }
    }
}

#[test]
fn the_limit_of_these_tests_is_enforced() {
    let lab = checkpoint(&" ".repeat(SIZE));
    let said = |limit_kib| {
        let output = inspect(&lab, "model", limit_kib);
        String::from_utf8(output.stderr).unwrap()
    };
    let enough = said(LIMIT_KIB);
    assert!(enough.contains("header is malformed"), "{enough}");
    let too_little = said(90 << 10);
    assert!(!too_little.contains("malformed"), "100 MB in 90 MiB");
}
