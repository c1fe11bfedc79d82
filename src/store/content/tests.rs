//! One case a row of the catalogue of bad files.

use std::fs;
use std::path::Path;

use super::super::record::Target;
use super::super::verify::digest_tree;
use super::*;

/// A safetensors file with the given header and so many bytes of data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; data]].concat()
}

const ONE_TENSOR: &str = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;

/// A GGUF file with one key, `general.alignment`, and one tensor of four bytes.
fn gguf(version: u32, n_tensors: u64, alignment: u32, name_length: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(n_tensors.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(17u64.to_le_bytes());
    bytes.extend(b"general.alignment");
    bytes.extend(4u32.to_le_bytes());
    bytes.extend(alignment.to_le_bytes());
    bytes.extend(name_length.to_le_bytes());
    bytes.extend(b"x");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(4u64.to_le_bytes());
    bytes.extend(24u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(32) + 4, 0);
    bytes
}

/// Checks a directory with the good files of a model, and `changes` made to them.
fn check_files(changes: &[(&str, Option<&[u8]>)], allowed: &[&str]) -> Result<(), Error> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("bitnet");
    let good = safetensors(ONE_TENSOR, 4);
    let files: [(&str, Option<&[u8]>); 3] = [
        ("config.json", Some(b"{}")),
        ("tokenizer.json", Some(b"{}")),
        ("model.safetensors", Some(&good)),
    ];
    for (name, bytes) in files.iter().chain(changes) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }
    let target = Target::new("bitnet", digest_tree(&root).unwrap());
    let allowed: Vec<String> = allowed.iter().map(|it| (*it).to_owned()).collect();
    check(Path::new(dir.path()), &[target], &allowed)
}

#[track_caller]
fn accepts(changes: &[(&str, Option<&[u8]>)], allowed: &[&str]) {
    check_files(changes, allowed).unwrap();
}

#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "called with a value each time"
)]
fn refuses(changes: &[(&str, Option<&[u8]>)], kind: ContentProblem, words: &str) {
    let error = check_files(changes, &[]).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    let Error::Content { kind: found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(found, kind);
}

use ContentProblem::{Malformed, Unsafe};

#[test]
fn a_model_is_accepted() {
    accepts(&[], &[]);
    accepts(
        &[
            ("LICENSE", Some(b"MIT")),
            ("README.md", Some(b"x")),
            ("sub/vocab.txt", Some(b"x")),
        ],
        &[],
    );
    let good = gguf(3, 1, 32, 1);
    let only = [
        ("m.gguf", Some(&good[..])),
        ("model.safetensors", None),
        ("config.json", None),
        ("tokenizer.json", None),
    ];
    accepts(&only, &[]);
}

#[test]
fn a22_a_model_without_one_of_its_parts_is_named() {
    refuses(&[("config.json", None)], Malformed, "no config.json");
    refuses(&[("tokenizer.json", None)], Malformed, "no tokenizer.json");
    refuses(&[("model.safetensors", None)], Malformed, "no weights");
}

#[test]
fn a23_safetensors_headers_cover_their_data() {
    let check = |bytes: Vec<u8>, words: &str| {
        refuses(&[("model.safetensors", Some(&bytes))], Malformed, words);
    };
    check(safetensors(ONE_TENSOR, 3), "the file has 3");
    check(safetensors(ONE_TENSOR, 5), "the file has 5");
    let two = |second: &str| {
        format!(r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},"{second}}}}}"#)
    };
    check(
        safetensors(
            &two(r#"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]"#),
            6,
        ),
        "expected from 4",
    );
    check(
        safetensors(
            &two(r#"b":{"dtype":"U8","shape":[4],"data_offsets":[9,13]"#),
            8,
        ),
        "expected from 4",
    );
    check(
        safetensors(
            &two(r#"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]"#),
            8,
        ),
        "tensor `a` twice",
    );
    let mut long = safetensors(ONE_TENSOR, 4);
    long[..8].copy_from_slice(&200_000_000u64.to_le_bytes());
    check(long, "its header claims 200000000");
    check(b"short".to_vec(), "too few");
}

#[test]
fn headers_made_to_fill_the_memory_are_refused_by_their_counts() {
    let check = |header: &str, words: &str| {
        let bytes = safetensors(header, 0);
        refuses(&[("model.safetensors", Some(&bytes))], Malformed, words);
    };
    let tensors = |n: usize| {
        let all =
            (0..n).map(|i| format!(r#""{i:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#));
        format!("{{{}}}", all.collect::<Vec<_>>().join(","))
    };
    check(
        &tensors(json::MAX_TENSORS + 1),
        "more than 131072 tensors, which no model has",
    );
    let bytes = safetensors(&tensors(json::MAX_TENSORS), 0);
    accepts(&[("model.safetensors", Some(&bytes))], &[]);
    let with = |name: &str, dtype: &str, shape: &str| {
        format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,0]}}}}"#)
    };
    check(
        &with(&"x".repeat(2000), "U8", "0"),
        "a name of 2000 bytes, expected at most 1024",
    );
    check(
        &with("a", &"U".repeat(99), "0"),
        "a type of numbers of 99 bytes",
    );
    check(
        &with("a", "U8", &["0"; 9].join(",")),
        "a shape of more than 8 sizes",
    );
    let long = "x".repeat(100_000);
    check(
        &format!(r#"{{"a":{{"dtype":"U8","{long}":1}}}}"#),
        "unknown field `xxx",
    );
    check(
        r#"{"__metadata__":{},"__metadata__":{}}"#,
        "`__metadata__` twice",
    );
    check("{} x", "no list of tensors");

    let many: Vec<String> = (0..=1 << 20).map(|i| format!("\"{i:x}\":0")).collect();
    let many = format!("{{{}}}", many.join(","));
    refuses(
        &[("config.json", Some(many.as_bytes()))],
        Malformed,
        "an object of more than 1048576 keys",
    );
}

#[test]
fn a24_gguf_headers_are_held_against_the_file() {
    let check = |bytes: Vec<u8>, words: &str| {
        refuses(&[("m.gguf", Some(&bytes))], Malformed, words);
    };
    check(b"GGML12345678".to_vec(), "does not begin");
    check(gguf(99, 1, 32, 1), "version is 99");
    check(gguf(3, 1 << 63, 32, 1), "more than fit");
    check(gguf(3, 1, 32, 1 << 40), "more than the file has");
    check(gguf(3, 1, 0, 1), "not a power of two");
    check(gguf(3, 1, 32, 1)[..20].to_vec(), "ends inside");
    let whole = gguf(3, 1, 32, 1);
    check(whole[..whole.len() - 1].to_vec(), "beyond its end");
    check(whole[..whole.len() - 4].to_vec(), "beyond its end");
}

#[test]
fn a_gguf_file_cut_in_its_last_tensor_is_named_whatever_the_type() {
    for (kind, n_values, n_bytes) in [(0, 4, 16), (8, 64, 68), (14, 512, 420), (36, 64, 48)] {
        let mut whole = gguf(3, 1, 32, 1);
        // Number of values, type and offset of the tensor end its description.
        let end = 24 + 8 + 17 + 8 + 8 + 1 + 4;
        whole[end..end + 8].copy_from_slice(&u64::to_le_bytes(n_values));
        whole[end + 8..end + 12].copy_from_slice(&u32::to_le_bytes(kind));
        whole.resize((end + 20).next_multiple_of(32) + n_bytes, 0);
        accepts(&[("m.gguf", Some(&whole))], &[]);
        let cut = &whole[..whole.len() - 1];
        refuses(&[("m.gguf", Some(cut))], Malformed, "beyond its end");
    }
}

#[test]
fn a_gguf_key_has_bounds() {
    let key = vec![b'k'; 1 << 16];
    let mut long = b"GGUF\x03\0\0\0".to_vec();
    long.extend(0u64.to_le_bytes());
    long.extend(1u64.to_le_bytes());
    long.extend((key.len() as u64).to_le_bytes());
    long.extend(key);
    long.extend([0; 64]);
    refuses(&[("m.gguf", Some(&long))], Malformed, "a key claims 65536");
}

#[test]
fn a25_what_could_run_is_refused_by_its_content() {
    let zip = b"PK\x03\x04....data.pkl";
    refuses(
        &[("pytorch_model.bin", Some(b"\x80\x02}q\x00."))],
        Unsafe,
        "pickle",
    );
    refuses(&[("model.pt", Some(zip))], Unsafe, "zip archive");
    refuses(
        &[("load.py", Some(b"import os"))],
        Unsafe,
        "not part of a model",
    );
    refuses(&[("tool.txt", Some(b"\x7fELF\x02\x01"))], Unsafe, "ELF");
    refuses(&[("run.md", Some(b"#!/bin/sh\n"))], Unsafe, "script");
    accepts(
        &[("pytorch_model.bin", Some(b"\x80\x02}q\x00."))],
        &["*.bin"],
    );
}

#[test]
fn a26_json_has_bounds() {
    let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
    refuses(
        &[("config.json", Some(&deep))],
        Malformed,
        "recursion limit",
    );
    let long = vec![b' '; (16 << 20) + 1];
    refuses(&[("config.json", Some(&long))], Malformed, "more than any");
    refuses(
        &[("config.json", Some(b"{\"a\":1,\"a\":2}"))],
        Malformed,
        "`a` twice",
    );
    refuses(&[("config.json", Some(b"{} x"))], Malformed, "strict JSON");
    refuses(&[("chat.json", Some(b"\xff"))], Malformed, "strict JSON");
}

#[test]
fn a21_everything_one_level_down_proposes_to_strip() {
    let good = safetensors(ONE_TENSOR, 4);
    let changes = [
        ("m/config.json", Some(&b"{}"[..])),
        ("m/model.safetensors", Some(&good[..])),
        ("config.json", None),
        ("tokenizer.json", None),
        ("model.safetensors", None),
    ];
    let error = check_files(&changes, &[]).unwrap_err();
    let Error::Content { hint, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        hint.as_ref().unwrap().contains("strip_components"),
        "{error}"
    );
}

#[test]
fn n25e_a_pointer_in_place_of_a_model_says_what_to_do() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let error = check_files(&[("model.safetensors", Some(pointer))], &[]).unwrap_err();
    let Error::Content { hint, kind, .. } = &error else {
        panic!("{error}")
    };
    assert!(hint.as_ref().unwrap().contains("git lfs pull"), "{error}");
    assert_eq!(*kind, Malformed);
}

#[test]
fn patterns_have_one_wildcard() {
    for (pattern, name, expected) in [
        ("*.bin", "a.bin", true),
        ("*.bin", "a.bin.txt", false),
        ("vocab", "vocab", true),
        ("vocab", "vocab2", false),
        ("a*c", "abc", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "ac", false),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}
