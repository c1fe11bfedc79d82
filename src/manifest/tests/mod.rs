//! The rules of a manifest, one after the other; the schema stands in a file of its own.

mod schema;

use proptest::prelude::*;

use super::*;
use crate::hint::Hint as _;

const TODAY: &str = "2025-11-23";
const GOOD: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A good manifest with `artifact` fields and `top` fields put in or replaced by raw JSON.
fn manifest(top: &[(&str, &str)], artifact: &[(&str, &str)]) -> String {
    let artifacts = format!("[{}]", artifact_json(artifact));
    let mut whole = vec![
        ("model_name", "\"m\""),
        ("version", "\"1.0.0\""),
        ("artifacts", artifacts.as_str()),
    ];
    replace(&mut whole, top);
    object(&whole)
}

/// A good artifact with fields put in or replaced.
fn artifact_json(changes: &[(&str, &str)]) -> String {
    let digest = format!("\"{GOOD}\"");
    let mut fields = vec![
        ("filename", "\"weights.bin\""),
        ("url", "\"repo:weights.bin\""),
        ("sha256", digest.as_str()),
        ("size_bytes", "3"),
        ("target_path_in_container", "\"/app/models/bitnet\""),
    ];
    replace(&mut fields, changes);
    object(&fields)
}

/// Puts fields in, replaces them, or with an empty text leaves them out.
fn replace<'a>(fields: &mut Vec<(&'a str, &'a str)>, changes: &[(&'a str, &'a str)]) {
    for &(key, value) in changes {
        fields.retain(|(known, _)| *known != key);
        if !value.is_empty() {
            fields.push((key, value));
        }
    }
}

fn object(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    format!("{{\n  {}\n}}", fields.join(",\n  "))
}

/// The JSON text of a string.
fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

#[track_caller]
fn accept(text: impl AsRef<[u8]>) -> (ModelManifest, Vec<Warning>) {
    let text = text.as_ref();
    wire::parse(text, TODAY)
        .unwrap_or_else(|findings| panic!("{findings:#?}\n{}", String::from_utf8_lossy(text)))
}

/// The manifest is good and exactly one warning names `path`.
#[track_caller]
fn warns(text: impl AsRef<[u8]>, path: &str) {
    let (_, warnings) = accept(text);
    let paths: Vec<&str> = warnings
        .iter()
        .map(|warning| warning.path.as_str())
        .collect();
    assert_eq!(paths, [path]);
}

/// The manifest is refused with `class`, and one finding at `path` says `words`.
#[track_caller]
fn check(text: impl AsRef<[u8]>, class: Class, path: &str, words: &str) {
    let findings = wire::parse(text.as_ref(), TODAY).expect_err("a broken rule");
    let error = Error::Findings {
        path: "m.json".into(),
        findings: findings.clone(),
    };
    assert_eq!(error.class(), class, "{error}");
    let hint = error.hint().unwrap_or_default();
    let is_it =
        |finding: &Finding| finding.path == path && format!("{finding} {hint}").contains(words);
    assert!(
        findings.iter().any(is_it),
        "no `{words}` at `{path}`:\n{error}\nhint: {hint}"
    );
    assert!(
        !error
            .to_string()
            .replace('\n', "")
            .contains(char::is_control),
        "{error:?}"
    );
}

#[track_caller]
fn check_top(key: &str, value: &str, class: Class, words: &str) {
    check(manifest(&[(key, value)], &[]), class, key, words);
}

#[track_caller]
fn check_artifact(key: &str, value: &str, class: Class, words: &str) {
    check(
        manifest(&[], &[(key, value)]),
        class,
        &format!("artifacts[0].{key}"),
        words,
    );
}

use Class::{Invalid, Refused};

#[test]
fn a_good_manifest_has_no_warnings() {
    let (manifest, warnings) = accept(manifest(&[], &[]));
    assert_eq!(warnings, []);
    assert_eq!(manifest.release.artifacts[0].format, Format::File);
    assert_eq!(manifest.release.artifacts[0].target, "bitnet");
}

#[test]
fn m02_m03_what_is_not_json_is_located() {
    check("", Invalid, "", "1:1");
    check(" \n ", Invalid, "", "2:2");
    check("Este é o manifesto", Invalid, "", "1:1");
    check("{\n \"model_name\": \"x", Invalid, "model_name", "2:18");
}

#[test]
fn m04_deep_nesting_is_refused() {
    check("[".repeat(10_000), Invalid, &"[0]".repeat(32), "32 levels");
}

#[test]
fn m05_a_byte_order_mark_is_skipped() {
    warns(format!("\u{feff}{}", manifest(&[], &[])), "");
}

#[test]
fn m06_other_encodings_are_refused() {
    let utf16: Vec<u8> = manifest(&[], &[])
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    check(
        [b"\xFF\xFE".as_slice(), &utf16].concat(),
        Invalid,
        "",
        "UTF-16",
    );
    check(&utf16, Invalid, "", "UTF-16");
    check(
        b"{\"description\": \"descri\xE7\xE3o\"}",
        Invalid,
        "",
        "encoded as UTF-8",
    );
}

#[test]
fn m07_the_top_level_is_an_object() {
    check("[]", Invalid, "", "a list");
    check("null", Invalid, "", "null");
    check("\"x\"", Invalid, "", "a string");
}

#[test]
fn m08_duplicate_keys_are_refused() {
    let text = manifest(&[], &[]).replace(
        "\"size_bytes\"",
        &format!("\"sha256\": \"{GOOD}\", \"size_bytes\""),
    );
    check(text, Invalid, "artifacts[0].sha256", "a second time");
}

#[test]
fn m09_unknown_keys_warn() {
    warns(manifest(&[("team", "\"x\"")], &[]), "team");
    warns(manifest(&[], &[("team", "1")]), "artifacts[0].team");
}

#[test]
fn m10_misspelt_keys_are_refused_with_a_suggestion() {
    for key in ["shasum", "sha_256", "checksum", "md5", "sha265", "SHA256"] {
        let text = manifest(&[], &[("sha256", ""), (key, "\"x\"")]);
        check(text, Invalid, &format!("artifacts[0].{key}"), "rename");
    }
    check_artifact("uri", "\"repo:x\"", Invalid, "to `url`");
    check_artifact("size", "3", Invalid, "to `size_bytes`");
    check_top("artifact", "[]", Invalid, "to `artifacts`");
    check_top("model_nmae", "\"m\"", Invalid, "to `model_name`");
}

#[test]
fn m11_the_version_is_a_text() {
    check_top("version", "1", Invalid, "a number");
    check_top("version", "null", Invalid, "null");
    check_top("version", "\"\"", Invalid, "a version such as");
    check_top("version", "", Invalid, "no such key");
}

#[test]
fn m12_versions_are_kept_as_written() {
    for version in ["v1.1", "1.1", "1", "1.2.3.4", "1.2.0-rc.1+b-7"] {
        let (manifest, _) = accept(manifest(&[("version", &quote(version))], &[]));
        assert_eq!(manifest.version, version);
    }
}

#[test]
fn m13_other_versions_are_refused() {
    check_top("version", "\"latest\"", Invalid, "moves");
    let long = format!("\"{}\"", "1".repeat(300));
    check_top("version", &long, Invalid, "a version such as");
    for version in [
        "1\n",
        "1\u{1b}[31m",
        "1.",
        "1.2.3.4.5",
        "1-",
        "1+",
        "vv1",
        "1.x",
        "1 ",
        "-1",
    ] {
        check_top("version", &quote(version), Invalid, "a version such as");
    }
}

#[test]
fn m14_artifacts_are_a_list_with_entries() {
    check(
        manifest(&[("artifacts", "")], &[]),
        Invalid,
        "",
        "`artifacts`, or `url`",
    );
    check_top("artifacts", "null", Invalid, "null");
    check_top("artifacts", "{}", Invalid, "an object");
    check_top("artifacts", "[]", Invalid, "1 to 16 entries");
    check_top(
        "artifacts",
        &format!("[{}1]", "1,".repeat(16)),
        Invalid,
        "1 to 16 entries",
    );
}

#[test]
fn m15_the_two_forms_do_not_mix() {
    check_top("url", "\"repo:x\"", Invalid, "both");
    check_top("sha256", &quote(GOOD), Invalid, "both");
}

#[test]
fn m16_the_flat_form_is_read() {
    let text = object(&[
        ("model_name", "\"BitNet-4bit-Summarizer\""),
        ("version", "\"1.2.0\""),
        (
            "url",
            "\"https://models.acme.dev/bitnet-v1.2.0.tar.gz?sig=1\"",
        ),
        ("sha256", &quote(GOOD)),
        ("size_bytes", "7"),
    ]);
    let (manifest, warnings) = accept(text);
    assert_eq!(warnings, []);
    let [artifact] = manifest.release.artifacts.as_slice() else {
        panic!("one artifact")
    };
    assert_eq!(artifact.filename, "bitnet-v1.2.0.tar.gz");
    assert_eq!(artifact.format, Format::TarGz);
    assert_eq!(artifact.target, "bitnet");
    check(
        "{\"model_name\":\"m\",\"version\":\"1\",\"size_bytes\":1}",
        Invalid,
        "url",
        "no such key",
    );
    check(
        "{\"model_name\":\"m\",\"version\":\"1\",\"url\":\"repo:a\"}",
        Invalid,
        "sha256",
        "no such key",
    );
}

#[test]
fn m17_a_missing_size_warns() {
    warns(
        manifest(&[], &[("size_bytes", "")]),
        "artifacts[0].size_bytes",
    );
}

#[test]
fn m18_digests_have_64_hex_digits() {
    check_artifact("sha256", &quote(&GOOD[1..]), Invalid, "63 characters");
    check_artifact(
        "sha256",
        &quote(&format!("{GOOD}0")),
        Invalid,
        "65 characters",
    );
    check_artifact("sha256", &quote(&GOOD.replace('b', "g")), Invalid, "`g`");
    check_artifact(
        "sha256",
        &quote(&GOOD.replacen("78", " 8", 1)),
        Invalid,
        "` `",
    );
    accept(manifest(
        &[],
        &[("sha256", &quote(&format!("sha256:{GOOD}")))],
    ));
}

#[test]
fn m19_upper_case_digests_are_normalised() {
    let text = manifest(&[], &[("sha256", &quote(&GOOD.to_uppercase()))]);
    warns(&text, "artifacts[0].sha256");
    assert_eq!(
        accept(text).0.release.artifacts[0].sha256,
        Sha256::of(b"abc")
    );
}

#[test]
fn m20_m21_placeholders_are_named() {
    for digest in [
        "abcdef123456...",
        "sha256_hash_of_the_tar_gz_file",
        "new_sha256_hash",
    ] {
        check_artifact("sha256", &quote(digest), Refused, digest);
    }
    check_artifact("sha256", &quote(&"0".repeat(64)), Refused, "placeholder");
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    check_artifact("sha256", &quote(empty), Refused, "empty file");
    check_artifact("url", "\"https://a.example.com/x\"", Refused, "placeholder");
    check_artifact("url", "\"https://a.example/x\"", Refused, "placeholder");
    check_artifact("url", "\"https://a.invalid/x\"", Refused, "placeholder");
    check_artifact("size_bytes", "123456789", Refused, "placeholder");
    check_top("version", "\"YYYY.1\"", Refused, "placeholder");
    check_top("release_date", "\"YYYY-MM-DD\"", Refused, "placeholder");
}

#[test]
fn m22_sizes_are_positive_integers() {
    for size in [
        "-1",
        "1.5",
        "0",
        "9223372036854775808",
        "18446744073709551616",
        "1e3",
    ] {
        check_artifact("size_bytes", size, Invalid, size);
    }
    check_artifact("size_bytes", "\"12\"", Invalid, "a string");
}

#[test]
fn m23_sizes_have_a_limit() {
    accept(manifest(&[], &[("size_bytes", "17179869184")]));
    check_artifact("size_bytes", "17179869185", Refused, "17179869184");
    check_artifact("size_bytes", "17179869185", Refused, "17179869185");
}

#[test]
fn m24_m25_m26_targets_are_one_name_below_the_root() {
    let long = "a".repeat(4096);
    for target in [
        "/",
        "/app/models",
        "/app/models/",
        "..",
        "/app/models/..",
        ".",
        "",
        "app/models/bitnet",
        "/app/models//bitnet",
        "/app//models/bitnet",
        "/app/models/a\\b",
        "/app/models/a\0",
        "/app/models/bіtnet",
        "/app/models/.vv",
        "/app/models/.current_model_info.json",
        "/app/models/.model_updated_flag",
        "/app/models/-bitnet",
        "/app/models/a/b",
        "/app/models/bitnet//",
        &format!("/app/models/{long}"),
    ] {
        check_artifact(
            "target_path_in_container",
            &quote(target),
            Refused,
            "/app/models/NAME",
        );
    }
    let text = manifest(
        &[],
        &[("target_path_in_container", "\"/app/models/bitnet/\"")],
    );
    assert_eq!(accept(text).0.release.artifacts[0].target, "bitnet");
}

#[test]
fn m27_targets_are_equal_or_clearly_different() {
    let artifact = |target: &str, name: &str| {
        object(&[
            ("filename", &quote(name)),
            ("url", "\"repo:w\""),
            ("sha256", &quote(&Sha256::of(name.as_bytes()).to_string())),
            ("size_bytes", "3"),
            (
                "target_path_in_container",
                &quote(&format!("/app/models/{target}")),
            ),
        ])
    };
    let pair = |a: (&str, &str), b: (&str, &str)| {
        let list = format!("[{},{}]", artifact(a.0, a.1), artifact(b.0, b.1));
        manifest(&[("artifacts", &list)], &[])
    };
    accept(pair(("bitnet", "a"), ("bitnet", "b")));
    accept(pair(("bitnet", "a"), ("bitnet2", "b")));
    let path = "artifacts[1].target_path_in_container";
    check(
        pair(("bitnet", "a"), ("BitNet", "b")),
        Refused,
        path,
        "clearly different",
    );
}

#[test]
fn m28_file_names_are_one_component() {
    let long = "a".repeat(300);
    for name in [
        "a/b",
        "../x",
        "/x",
        "a\\b",
        "a\0",
        "-rf",
        ".x",
        "",
        "e\u{301}",
        long.as_str(),
    ] {
        check_artifact("filename", &quote(name), Refused, "name");
    }
}

#[test]
fn m29_unknown_schemes_are_refused() {
    for url in [
        "ftp://h/a",
        "gopher://h/a",
        "data:,a",
        "javascript:a",
        "weights.bin",
    ] {
        check_artifact("url", &quote(url), Refused, "repo:PATH");
    }
}

#[test]
fn m32_odd_dates_warn() {
    for date in [
        "2025-13-45",
        "2025-11-24",
        "2025-02-29",
        "ontem",
        "2025-1-1",
        "20251123",
    ] {
        warns(
            manifest(&[("release_date", &quote(date))], &[]),
            "release_date",
        );
    }
    for date in [TODAY, "2024-02-29", "2000-02-29"] {
        let (manifest, warnings) = accept(manifest(&[("release_date", &quote(date))], &[]));
        assert_eq!(
            (manifest.release_date.as_deref(), warnings),
            (Some(date), vec![])
        );
    }
}

#[test]
fn requirements_are_comparators() {
    let requires = |text: &str| {
        let value = format!("{{\"summarize_scene\": {}}}", quote(text));
        manifest(&[("requires", &value)], &[])
    };
    accept(requires(">=2.1,<3"));
    for text in ["", "2.1", ">=", "^2", ">=2.1,"] {
        check(
            requires(text),
            Invalid,
            "requires.summarize_scene",
            "comparators",
        );
    }
}

#[test]
fn other_fields_keep_their_rules() {
    check_top("schema_version", "2", Invalid, "the integer 1");
    check_top("schema_version", "\"1\"", Invalid, "a string");
    check_top("model_name", "\"\"", Invalid, "empty");
    check_top("model_name", "\"a\\nb\"", Invalid, "control");
    check_top("notes", "null", Invalid, "null");
    check_top("description", &quote(&"x".repeat(4097)), Invalid, "4097");
    check_artifact("strip_components", "4", Invalid, "0 to 3");
    check_artifact("format", "\"zip\"", Invalid, "tar.gz, tar or file");
    check_artifact("urls", "[]", Invalid, "1 to 8");
    check_artifact("unpacked_bytes", "-1", Invalid, "-1");
    check(
        manifest(&[], &[("url", "")]),
        Invalid,
        "artifacts[0].url",
        "no such key",
    );
    accept(manifest(
        &[],
        &[("url", ""), ("urls", "[\"repo:a\", \"https://h.dev/a\"]")],
    ));
    accept(manifest(&[("schema_version", "1")], &[]));
}

#[test]
fn model_options_are_closed() {
    let check = |options: &str, path: &str, words: &str| {
        let path = format!("model_options.{path}");
        check(
            manifest(&[("model_options", options)], &[]),
            Invalid,
            &path,
            words,
        );
    };
    check("{\"team\": 1}", "team", "one of the keys");
    check("{\"i2s_layout\": 32}", "i2s_layout", "128 or 64");
    check(
        "{\"quantization_mode\": \"x\"}",
        "quantization_mode",
        "offline or online",
    );
    check(
        "{\"stop_token_ids\": [-1]}",
        "stop_token_ids[0]",
        "a token id",
    );
    for key in ["max_load_perplexity", "max_summary_perplexity"] {
        check(&format!("{{\"{key}\": 0}}"), key, "above 0");
    }
}

#[test]
fn all_findings_are_listed_by_position() {
    let text = manifest(
        &[("version", "\"latest\"")],
        &[("size_bytes", "0"), ("sha256", "1")],
    );
    let findings = wire::parse(text.as_bytes(), TODAY).expect_err("three broken rules");
    assert_eq!(findings.len(), 3);
    assert!(findings.is_sorted_by_key(|finding| finding.position));
}

#[test]
fn a_flood_of_odd_keys_is_cut_short() {
    let many = |count: usize, value: &str| -> String {
        let keys: Vec<String> = (0..count)
            .map(|n| format!("\"k{n:07}\":{value},"))
            .collect();
        keys.concat()
    };
    let good = manifest(&[], &[]);
    let (_, warnings) = accept(good.replacen('{', &format!("{{{}", many(80_000, "1")), 1));
    assert_eq!(warnings.len(), finding::MAX_LISTED);
    accept(manifest(&[(&"k".repeat(1_000_000), "1")], &[]));

    let twice = format!("{{{0}{0}\"z\":1}}", many(40_000, "1"));
    check(twice, Invalid, "k0000000", "a second time");
    let mirrors = format!("[{}]", ["\"ftp:x\""; 8].join(","));
    let refused = artifact_json(&[("urls", &mirrors), ("url", "")]);
    let list = format!("[{},{{}}]", vec![refused; 15].join(","));
    check_worst(&manifest(&[("artifacts", &list)], &[]), Invalid);
}

#[track_caller]
fn check_worst(text: &str, class: Class) {
    let findings = wire::parse(text.as_bytes(), TODAY).expect_err("a broken rule");
    assert_eq!(findings.len(), finding::MAX_LISTED);
    let error = Error::Findings {
        path: "m.json".into(),
        findings,
    };
    assert_eq!(error.class(), class);
    assert!(error.to_string().contains("or more"), "{error}");
}

#[test]
fn a_message_names_place_expectation_and_finding() {
    let findings = wire::parse(manifest(&[], &[("sha256", "\"abc\"")]).as_bytes(), TODAY)
        .expect_err("a short digest");
    let error = Error::Findings {
        path: "model_manifest.json".into(),
        findings,
    };
    insta::assert_snapshot!(error, @r"
    manifest `model_manifest.json` breaks 1 rule
      9:13 artifacts[0].sha256
        expected:  64 hex digits
        found:     `abc` (3 characters)
    ");
}

/// A release of one archive with the digest of `abc`.
fn vector(options: &str) -> Release {
    let format = ("format", "\"tar.gz\"");
    accept(manifest(&[("model_options", options)], &[format]))
        .0
        .release
}

#[test]
fn release_digests_equal_the_published_vectors() {
    let check = |options, digest: &str| assert_eq!(vector(options).digest().to_string(), digest);
    check(
        "",
        "a4f19124bc77c264130eecfa7b35006d4bef9f96aff6bbaf9fe6d006b5339db4",
    );
    check(
        "{\"i2s_layout\": 64}",
        "d181624841f33e06b18ec3979e278414c660a63fb088c5297336953819de6e8b",
    );
}

#[test]
fn options_enter_the_identity_with_sorted_keys() {
    let a =
        vector("{\"stop_token_ids\": [2, 1], \"i2s_layout\": 64, \"max_load_perplexity\": 50.0}");
    let b = vector("{\"max_load_perplexity\":50.0,\"i2s_layout\":64,\"stop_token_ids\":[2,1]}");
    assert_eq!(a.digest(), b.digest());
    let options = a.model_options.expect("given");
    assert_eq!(
        options.canonical_json,
        r#"{"i2s_layout":64,"max_load_perplexity":50.0,"stop_token_ids":[2,1]}"#
    );
}

#[test]
fn m01_m04_files_that_are_no_manifest_are_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let missing = dir.path().join("absent.json");
    let error = read(&missing).expect_err("missing");
    assert!(error.to_string().contains("absent.json"), "{error}");
    assert!(matches!(read(dir.path()), Err(Error::Unreadable { .. })));

    let long = dir.path().join("long.json");
    std::fs::write(&long, " ".repeat(2 << 20)).expect("written");
    assert!(matches!(read(&long), Err(Error::TooLong { .. })));
}

#[test]
fn links_stay_in_their_directory_or_repository() {
    let outer = tempfile::tempdir().expect("a temporary directory");
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).expect("created");
    std::fs::write(outer.path().join("real.json"), manifest(&[], &[])).expect("written");
    let link = inner.join("link.json");
    std::os::unix::fs::symlink("../real.json", &link).expect("linked");
    assert!(matches!(read(&link), Err(Error::LinkLeaves { .. })));
    std::fs::create_dir(outer.path().join(".git")).expect("created");
    let loaded = read(&link).expect("inside the repository");
    assert_eq!(loaded.sha256, Sha256::of(manifest(&[], &[]).as_bytes()));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::parse(&bytes, TODAY);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        edits in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..3u8), 1..6)
    ) {
        let options = "{\"i2s_layout\": 64, \"stop_token_ids\": [1]}";
        let mut bytes = manifest(&[("model_options", options)], &[]).into_bytes();
        for (at, byte, kind) in edits {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Err(findings) = wire::parse(&bytes, TODAY) {
            prop_assert!(!findings.is_empty());
        }
    }

    #[test]
    fn the_order_of_artifacts_is_no_part_of_the_identity(names in "[a-z]{1,6}", swap in any::<bool>()) {
        let (manifest, _) = accept(manifest(&[], &[]));
        let mut release = manifest.release;
        let mut second = release.artifacts[0].clone();
        second.filename = names;
        release.artifacts.push(second);
        let before = release.digest();
        if swap {
            release.artifacts.reverse();
        }
        release.artifacts[0].urls = vec![Url::Repo("elsewhere".into())];
        prop_assert_eq!(release.digest(), before);
    }
}
