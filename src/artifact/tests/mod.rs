//! Models found where they are named; transfers and TLS stand in files of their own.

#[cfg(feature = "cloud")]
mod cloud;
mod dvc;
mod http;
mod mlflow;
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod server;
mod tls;
mod tls_server;

use tempfile::TempDir;

use super::*;
use crate::hint::Hint as _;

/// A directory with the given files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside the directory")).expect("created");
        std::fs::write(path, text).expect("written");
    }
    dir
}

/// The JSON of an artifact that holds `text`.
fn artifact(filename: &str, url: &str, text: &str) -> String {
    let sha256 = Sha256::of(text.as_bytes());
    let size = text.len();
    format!(
        r#"{{"filename":"{filename}","url":"{url}","sha256":"{sha256}","size_bytes":{size},"target_path_in_container":"/app/models/bitnet"}}"#
    )
}

fn manifest(artifacts: &[String]) -> String {
    let artifacts = artifacts.join(",");
    format!(r#"{{"model_name":"m","version":"1.0","artifacts":[{artifacts}]}}"#)
}

/// Resolves a directory with two files and the manifest made of `artifacts`.
fn resolve_with(artifacts: &[String]) -> Result<Resolved, Error> {
    let manifest = manifest(artifacts);
    let dir = directory(&[
        ("config.json", "{}"),
        ("sub/weights.bin", "abc"),
        (manifest::FILE_NAME, &manifest),
    ]);
    resolve(dir.path())
}

#[test]
fn a_directory_with_a_manifest_is_read_through_it() {
    let resolved = resolve_with(&[
        artifact("config.json", "repo:config.json", "{}"),
        artifact("weights.bin", "repo:sub/weights.bin", "abc"),
    ])
    .expect("what was promised");
    assert!(resolved.files.is_pinned);
    assert_eq!(resolved.name, "m");
    assert_eq!(resolved.version.as_deref(), Some("1.0"));
    let names: Vec<_> = resolved.files.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["config.json", "weights.bin"]);
}

#[test]
fn a_broken_manifest_never_falls_back_to_the_bare_directory() {
    let dir = directory(&[("config.json", "{}"), (manifest::FILE_NAME, "{")]);
    assert!(matches!(resolve(dir.path()), Err(Error::Manifest(_))));

    let dir = directory(&[("config.json", "{}")]);
    let link = dir.path().join(manifest::FILE_NAME);
    std::os::unix::fs::symlink("gone.json", link).expect("linked");
    assert!(matches!(resolve(dir.path()), Err(Error::Manifest(_))));
}

#[test]
fn a_bare_directory_is_digested_but_not_pinned() {
    let dir = directory(&[
        ("config.json", "{}"),
        ("weights.bin", "abc"),
        (".gitattributes", "x"),
        ("README.md", "x"),
        ("MODEL_CARD.md", "x"),
        ("sub/other.bin", "x"),
    ]);
    let resolved = resolve(dir.path()).expect("two files");
    assert!(!resolved.files.is_pinned);
    assert_eq!(resolved.version, None);
    let names: Vec<_> = resolved.files.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["config.json", "weights.bin"]);
    assert_eq!(
        resolved.name,
        dir.path().file_name().expect("named").to_string_lossy()
    );
}

#[test]
fn the_same_files_have_one_identity_pinned_or_not() {
    let pinned = resolve_with(&[
        artifact("weights.bin", "repo:sub/weights.bin", "abc"),
        artifact("config.json", "repo:config.json", "{}"),
    ])
    .expect("what was promised");
    let dir = directory(&[("config.json", "{}"), ("weights.bin", "abc")]);
    let bare = resolve(dir.path()).expect("two files");
    assert_eq!(pinned.files.release_digest, bare.files.release_digest);
}

#[test]
fn a_mismatch_names_the_entry_of_the_manifest() {
    let error = resolve_with(&[artifact("config.json", "repo:config.json", "[]")])
        .expect_err("other bytes");
    let text = error.to_string();
    assert!(
        text.contains("(model_manifest.json, artifacts[0])"),
        "{text}"
    );
    assert!(text.contains(&Sha256::of(b"{}").to_string()), "{text}");
}

#[track_caller]
fn check(artifacts: &[String], words: &str) {
    let error = resolve_with(artifacts).expect_err("refused");
    assert!(error.to_string().contains(words), "{error}");
    assert!(
        error.hint().is_some() || matches!(error, Error::Unreadable { .. }),
        "{error:?}"
    );
}

#[test]
fn what_this_build_cannot_obtain_is_refused_in_words() {
    let remote = artifact(
        "w.bin",
        "https://models.acme.dev/w.bin?sig=topsecret",
        "abc",
    );
    let error = resolve_with(&[remote]).expect_err("remote");
    assert!(
        error.to_string().contains("reads files of this host only"),
        "{error}"
    );
    assert!(!error.to_string().contains("topsecret"), "{error}");
    check(
        &[artifact("w.tar.gz", "repo:sub/weights.bin", "abc")],
        "cannot unpack `w.tar.gz`",
    );
}

/// A tar with these files.
fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, text.as_bytes())
            .expect("into memory");
    }
    builder.into_inner().expect("into memory")
}

/// Resolves a manifest whose artifacts are the given files beside it.
fn resolve_files(files: &[(&str, Vec<u8>)]) -> Result<Resolved, Error> {
    let dir = directory(&[]);
    let entries: Vec<String> = files
        .iter()
        .map(|(name, bytes)| {
            std::fs::write(dir.path().join(name), bytes).expect("written");
            let sha256 = Sha256::of(bytes);
            format!(
                r#"{{"filename":"{name}","url":"repo:{name}","sha256":"{sha256}","size_bytes":{},"target_path_in_container":"/app/models/bitnet"}}"#,
                bytes.len()
            )
        })
        .collect();
    std::fs::write(dir.path().join(manifest::FILE_NAME), manifest(&entries)).expect("written");
    resolve(dir.path())
}

#[test]
fn archives_are_unpacked_for_as_long_as_the_model_is_held() {
    let archive = tar_of(&[("config.json", "{}"), ("README.md", "x"), ("d/x.json", "1")]);
    let resolved = resolve_files(&[("m.tar", archive), ("w.bin", b"abc".to_vec())]).expect("good");
    assert_eq!(names(&resolved.files), ["config.json", "w.bin"]);
    let config = &resolved.files.files["config.json"];
    assert_eq!(config.read().expect("unpacked"), b"{}");
    let path = config.path().to_owned();
    drop(resolved);
    assert!(!path.exists(), "what was unpacked is gone");
}

#[test]
fn an_archive_with_everything_one_level_down_says_so() {
    let archive = tar_of(&[("m/config.json", "{}"), ("m/w.bin", "1")]);
    let error = resolve_files(&[("m.tar", archive)]).expect_err("nothing at its top");
    let Error::Archive { source, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        source.to_string().contains("`\"strip_components\": 1`"),
        "{source}"
    );
    assert_eq!(error.condition().code(), 30);
}

#[test]
fn a_file_and_an_archive_that_holds_it_are_refused() {
    let archive = tar_of(&[("w.bin", "1")]);
    let files = [("m.tar", archive), ("w.bin", b"abc".to_vec())];
    let error = resolve_files(&files).expect_err("the same file twice");
    assert_eq!(error.condition().code(), 31, "{error}");
}

#[test]
fn pointers_lead_to_the_objects_of_the_repository() {
    let sha256 = Sha256::of(b"abc").to_string();
    let pointer = |oid: &str, size: u32| {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
    };
    let resolve_pointer = |text: &str, objects: &[(&str, &str)]| {
        let manifest = manifest(&[artifact("w.bin", "lfs:w.bin", "abc")]);
        let dir = directory(&[
            ("w.bin", text),
            (manifest::FILE_NAME, &manifest),
            (".git/HEAD", "x"),
        ]);
        for (path, text) in objects {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        resolve(dir.path()).map(|resolved| resolved.files.files["w.bin"].sha256())
    };
    let object = format!(
        ".git/lfs/objects/{}/{}/{sha256}",
        &sha256[..2],
        &sha256[2..4]
    );
    let good = pointer(&sha256, 3);
    let found = resolve_pointer(&good, &[(&object, "abc")]).expect("pulled");
    assert_eq!(found, Sha256::of(b"abc"));
    assert!(resolve_pointer("abc", &[]).is_ok(), "checked out whole");
    let check = |result: Result<Sha256, Error>, code: u8| {
        let error = result.expect_err("refused");
        assert_eq!(error.condition().code(), code, "{error}");
    };
    let absent = resolve_pointer(&good, &[]);
    assert!(
        absent
            .as_ref()
            .expect_err("absent")
            .hint()
            .expect("advice")
            .contains("git lfs pull")
    );
    check(absent, 30);
    check(resolve_pointer(&good, &[(&object, "abd")]), 23);
    check(
        resolve_pointer(&pointer(&Sha256::of(b"x").to_string(), 3), &[]),
        23,
    );
    check(resolve_pointer(&pointer(&sha256, 4), &[]), 22);
    check(resolve_pointer(&good.replace("size 3", "size 03"), &[]), 10);
}

#[test]
fn artifacts_are_distinct_files_of_one_directory() {
    let file = artifact("config.json", "repo:config.json", "{}");
    check(&[file.clone(), file.clone()], "two artifacts are named");
    let other = artifact("w", "repo:w", "x").replace("models/bitnet", "models/extra");
    check(&[file, other], "several directories (bitnet, extra)");
}

#[test]
fn a_missing_artifact_is_named() {
    check(&[artifact("gone.bin", "repo:gone.bin", "x")], "gone.bin");
    check(&[artifact("sub", "repo:sub", "x")], "sub");
}

#[test]
fn a_path_that_is_no_model_says_what_was_looked_for() {
    let error = resolve(Path::new("/nonexistent/model")).expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/model"), "{error}");
    assert!(error.hint().is_some());
    let dir = directory(&[("weights.bin", "abc"), ("empty/README.md", "x")]);
    let file = dir.path().join("weights.bin");
    assert!(matches!(resolve(&file), Err(Error::NotAModel { .. })));
    let empty = dir.path().join("empty");
    assert!(matches!(resolve(&empty), Err(Error::EmptyDirectory { .. })));
}

#[test]
fn a_manifest_file_is_named_directly() {
    let text = manifest(&[artifact("config.json", "repo:config.json", "{}")]);
    let dir = directory(&[("config.json", "{}"), ("next.json", &text)]);
    assert!(
        resolve(&dir.path().join("next.json"))
            .expect("good")
            .files
            .is_pinned
    );
}

#[test]
fn warnings_of_the_manifest_are_passed_on() {
    let text = manifest(&[artifact("config.json", "repo:config.json", "{}")]).replacen(
        '{',
        "{\"team\":1,",
        1,
    );
    let dir = directory(&[("config.json", "{}"), (manifest::FILE_NAME, &text)]);
    let resolved = resolve(dir.path()).expect("good");
    assert_eq!(resolved.warnings.len(), 1);
    assert!(
        resolved.warnings[0].contains("1:2 team"),
        "{:?}",
        resolved.warnings
    );
}

/// Names of the files of a model.
fn names(files: &ModelFiles) -> Vec<&str> {
    files.files.keys().map(String::as_str).collect()
}

#[test]
fn a_gguf_file_is_read_with_what_shapes_its_prompts() {
    let dir = directory(&[
        ("m.gguf", "GGUF..."),
        ("other.gguf", "GGUF..."),
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("generation_config.json", "{}"),
        ("README.md", "x"),
    ]);
    let resolved = resolve(&dir.path().join("m.gguf")).expect("a model");
    let expected = ["generation_config.json", "m.gguf", "tokenizer.json"];
    assert_eq!(names(&resolved.files), expected);
    assert!(!resolved.files.is_pinned);
    assert_eq!((resolved.name.as_str(), resolved.version), ("m", None));
    assert!(resolved.warnings.is_empty() && resolved.options.is_none());

    let alone = directory(&expected.map(|name| match name {
        "m.gguf" => (name, "GGUF..."),
        _ => (name, "{}"),
    }));
    let whole = resolve(alone.path()).expect("a bare directory");
    assert_eq!(resolved.files.release_digest, whole.files.release_digest);
}

#[test]
fn the_name_of_a_gguf_file_says_nothing_and_its_bytes_do() {
    let dir = directory(&[("weights.bin", "GGUF..."), ("m.gguf", "weights")]);
    assert!(resolve(&dir.path().join("weights.bin")).is_ok());
    let error = resolve(&dir.path().join("m.gguf")).expect_err("no model");
    assert!(matches!(error, Error::NotAModel { .. }), "{error}");
}

#[test]
fn one_part_of_a_split_gguf_brings_the_others() {
    let dir = directory(&[
        ("m-00001-of-00003.gguf", "GGUF1"),
        ("m-00002-of-00003.gguf", "GGUF2"),
        ("m-00003-of-00003.gguf", "GGUF3"),
        ("m-00001-of-00002.gguf", "GGUF4"),
        ("n-00002-of-00003.gguf", "GGUF5"),
    ]);
    let resolved = resolve(&dir.path().join("m-00001-of-00003.gguf")).expect("a model");
    let expected = [1, 2, 3].map(|i| format!("m-0000{i}-of-00003.gguf"));
    assert_eq!(names(&resolved.files), expected);
    assert_eq!(resolved.name, "m");
    // Parts that are missing are found out when the model is loaded.
    let resolved = resolve(&dir.path().join("m-00001-of-00002.gguf")).expect("a model");
    assert_eq!(names(&resolved.files), ["m-00001-of-00002.gguf"]);
}

#[test]
fn a_gguf_file_named_beside_its_manifest_is_unpinned_with_a_warning() {
    let dir = directory(&[("m.gguf", "GGUF..."), (manifest::FILE_NAME, "{}")]);
    let resolved = resolve(&dir.path().join("m.gguf")).expect("a model");
    assert!(!resolved.files.is_pinned);
    let [warning] = resolved.warnings.as_slice() else {
        panic!("{:?}", resolved.warnings)
    };
    assert!(
        warning.contains("model_manifest.json was not read"),
        "{warning}"
    );
}
