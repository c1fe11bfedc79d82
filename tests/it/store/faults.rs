//! The rows of the catalogue that are about manifests and the files they name.

use std::fs;

use super::case::{Row, check_all};
use super::{Host, SECRET, artifact, gguf, manifest, sha256};

/// A good manifest with one text replaced by another.
fn edit(
    id: &'static str,
    from: &'static str,
    to: impl Into<String>,
    code: i32,
    words: &'static str,
) -> Row {
    let to = to.into();
    made(id, code, words, move |_, text| {
        assert!(text.contains(from), "{id}: no {from} in {text}");
        text.replacen(from, &to, 1).into_bytes()
    })
}

/// Bytes of its own.
fn bytes(id: &'static str, bytes: impl Into<Vec<u8>>, code: i32, words: &'static str) -> Row {
    let bytes = bytes.into();
    made(id, code, words, move |_, _| bytes.clone())
}

fn made(
    id: &'static str,
    code: i32,
    words: &'static str,
    make: impl Fn(&Host, String) -> Vec<u8> + 'static,
) -> Row {
    Row::new(id, (code, words), make)
}

const VERSION: &str = r#""version":"1.1.0""#;
const URL: &str = "repo:two.gguf";
const TARGET: &str = "/app/models/bitnet";
const FILENAME: &str = r#""filename":"model.gguf""#;

fn digest() -> String {
    sha256(&gguf("two"))
}

fn size() -> String {
    format!("\"size_bytes\":{}", gguf("two").len())
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn manifests() -> Vec<Row> {
    let good = digest();
    let version =
        |id, text: &str, code, words| edit(id, VERSION, format!("\"version\":{text}"), code, words);
    let with_digest = |id, text: String, code, words| {
        made(id, code, words, move |_, manifest| {
            manifest.replacen(&digest(), &text, 1).into_bytes()
        })
    };
    let with_size = |id, text: &str, code, words| {
        let text = format!("\"size_bytes\":{text}");
        made(id, code, words, move |_, manifest| {
            manifest.replacen(&size(), &text, 1).into_bytes()
        })
    };
    let artifacts = |id, text: &'static str, code, words| {
        made(id, code, words, move |_, manifest| {
            let from = manifest.find("\"artifacts\":").unwrap();
            let to = manifest.find(",\"notes\"").unwrap();
            format!(
                "{}\"artifacts\":{text}{}",
                &manifest[..from],
                &manifest[to..]
            )
            .into_bytes()
        })
    };
    let target = |id, text: &str, code, words| edit(id, TARGET, text, code, words);
    let filename = |id, text: &str, code, words| {
        edit(id, FILENAME, format!("\"filename\":{text}"), code, words)
    };
    let url = |id, text: &str, code, words| edit(id, URL, text, code, words);
    let mut rows = vec![
        made("M01", 10, "model_manifest.json", |host, _| {
            let _ = fs::remove_file(host.manifest());
            Vec::new()
        }),
        bytes("M02a", "", 10, ""),
        bytes("M02b", " \n\t", 10, ""),
        bytes("M03a", "the new model", 10, "1:1"),
        edit("M03b", ",\"notes\":\"n\"}", "", 10, "1:"),
        made("M04a", 10, "longer than", |_, text| {
            format!("{text}{}", " ".repeat(2 << 20)).into_bytes()
        }),
        bytes("M04b", "[".repeat(10_000), 10, ""),
        made("M05 W19", 0, "byte order mark", |_, text| {
            [b"\xef\xbb\xbf", text.as_bytes()].concat()
        }),
        made("M06a", 10, "UTF-8", |_, text| {
            text.encode_utf16().flat_map(u16::to_le_bytes).collect()
        }),
        made("M06b", 10, "UTF-8", |_, text| {
            let at = text.find("\"d\"").unwrap() + 1;
            let mut bytes = text.into_bytes();
            bytes[at] = 0xe9;
            bytes
        }),
        bytes("M07a", "[]", 10, "object"),
        bytes("M07b", "null", 10, "object"),
        bytes("M07c", "\"x\"", 10, "object"),
        edit(
            "M08",
            "\"size_bytes\"",
            format!("\"sha256\":\"{good}\",\"size_bytes\""),
            10,
            "artifacts[0].sha256",
        ),
        edit("M09", "\"notes\"", "\"team\":\"x\",\"notes\"", 0, "team"),
        edit(
            "M09 strict",
            "\"notes\"",
            "\"team\":\"x\",\"notes\"",
            10,
            "team",
        )
        .with(&["--strict"]),
        edit("M10a", "\"sha256\"", "\"shasum\"", 10, "sha256"),
        edit("M10b", "\"sha256\"", "\"sha_256\"", 10, "sha256"),
        version("M11a", "1.1", 10, "version"),
        version("M11b", "null", 10, "version"),
        version("M11c", "\"\"", 10, "version"),
        edit("M11d", "\"version\":\"1.1.0\",", "", 10, "version"),
        version("M12a", "\"v1.1\"", 0, ""),
        version("M12b", "\"1.1\"", 0, ""),
        version("M13a", "\"latest\"", 10, "version"),
        made("M13b", 10, "version", |_, text| {
            text.replacen("1.1.0", &"1".repeat(300), 1).into_bytes()
        }),
        version("M13c", "\"1.1\\n\"", 10, "version"),
        version("M13d", "\"\\u001b[31m1.1\"", 10, "version"),
        made("M14a", 10, "", |_, _| {
            br#"{"model_name":"m","version":"1.1.0"}"#.to_vec()
        }),
        artifacts("M14b", "null", 10, "artifacts"),
        artifacts("M14c", "{}", 10, "artifacts"),
        artifacts("M14d W12", "[]", 10, "artifacts"),
        made("M15", 10, "", |_, text| {
            let flat = format!(r#","url":"repo:two.gguf","sha256":"{}","notes""#, digest());
            text.replacen(",\"notes\"", &flat, 1).into_bytes()
        }),
        made("M16", 0, "", |_, _| {
            format!(
                r#"{{"model_name":"m","version":"1.1.0","url":"repo:two.gguf","sha256":"{}","description":"d"}}"#,
                digest()
            )
            .into_bytes()
        }),
        made("M17", 0, "size_bytes", |_, text| {
            text.replacen(&format!(",{}", size()), "", 1).into_bytes()
        }),
        made("M17 strict", 10, "size_bytes", |_, text| {
            text.replacen(&format!(",{}", size()), "", 1).into_bytes()
        })
        .with(&["--strict"]),
        with_digest("M18a", good[..63].to_owned(), 10, "sha256"),
        with_digest("M18b", format!("{good}0"), 10, "sha256"),
        with_digest("M18c", format!("g{}", &good[1..]), 10, "sha256"),
        with_digest(
            "M18d",
            format!("{} {}", &good[..31], &good[32..]),
            10,
            "sha256",
        ),
        with_digest("M18e", format!("sha256:{good}"), 0, ""),
        with_digest("M19 W18", good.to_uppercase(), 0, "upper case"),
        with_digest("M20a", "abcdef123456...".into(), 11, "placeholder"),
        with_digest(
            "M20b",
            "sha256_hash_of_the_tar_gz_file".into(),
            11,
            "placeholder",
        ),
        with_digest("M20c", "new_sha256_hash".into(), 11, "placeholder"),
        with_digest("M20d", "0".repeat(64), 11, ""),
        url(
            "M20e",
            "https://your-storage.example.com/a.tar.gz",
            11,
            "placeholder",
        ),
        with_size("M20f", "123456789", 11, "placeholder"),
        version("M20g", "\"1.YYYY\"", 11, "placeholder"),
        with_digest("M21", sha256(b""), 11, ""),
        with_size("M22a", "-1", 10, "size_bytes"),
        with_size("M22b", "1.5", 10, "size_bytes"),
        with_size("M22c", "\"12\"", 10, "size_bytes"),
        with_size("M22d", "0", 10, "size_bytes"),
        with_size("M22e", "9223372036854775808", 10, "size_bytes"),
        with_size("M22f", "18446744073709551616", 10, "size_bytes"),
        with_size("M23", "17179869185", 11, "17179869185"),
        target("M24a W2", "/", 11, ""),
        target("M24b", "/app/models", 11, ""),
        target("M24c", "..", 11, ""),
        target("M24d W1", "/app/models/..", 11, ""),
        target("M24e", ".", 11, ""),
        target("M24f", "", 11, ""),
        target("M25a", "bitnet", 11, ""),
        target("M25b", "/app/models//bitnet", 11, ""),
        target("M25c", "/app/models/bit\\\\net", 11, ""),
        target("M25d", "/app/models/bit\\u0000net", 11, ""),
        target("M25e", "/app/models/b\u{456}tnet", 11, ""),
        target("M25f", &format!("/app/models/{}", "b".repeat(4096)), 11, ""),
        target("M25g", "/app/models/bitnet/", 0, ""),
        target("M26a", "/app/models/.vv", 11, ""),
        target("M26b", "/app/models/.current_model_info.json", 11, ""),
        target("M26c", "/app/models/.model_updated_flag", 11, ""),
        target("M26d", "/app/models/-bitnet", 11, ""),
        made("M27a W13", 0, "", |host, _| {
            fs::write(host.path("repo/notes.txt"), "n").unwrap();
            let two = artifact("model.gguf", "repo:two.gguf", &gguf("two"));
            manifest(
                "1.1.0",
                &[two, artifact("notes.txt", "repo:notes.txt", b"n")],
            )
            .into_bytes()
        }),
        made("M27b", 31, "", |_, _| {
            let one = artifact("model.gguf", "repo:one.gguf", &gguf("one"));
            let two = artifact("model.gguf", "repo:two.gguf", &gguf("two"));
            manifest("1.1.0", &[two, one]).into_bytes()
        }),
        filename("M28a", "\"a/x\"", 11, ""),
        filename("M28b W11", "\"../x\"", 11, ""),
        filename("M28c W11", "\"/etc/x\"", 11, ""),
        filename("M28d", "\"a\\u0000\"", 11, ""),
        filename("M28e", "\"-rf\"", 11, ""),
        made("M28f", 11, "", |_, text| {
            text.replacen("model.gguf", &"a".repeat(300), 1)
                .into_bytes()
        }),
        url("M29a", "ftp://h/a", 11, ""),
        url("M29b", "gopher://h/a", 11, ""),
        url("M29c", "data:,x", 11, ""),
        url("M29d", "javascript:1", 11, ""),
        url("M29e", "models/a", 11, ""),
        edit("M32a", "2025-05-01", "2025-13-45", 0, "release_date"),
        edit(
            "M32a strict",
            "2025-05-01",
            "2025-13-45",
            10,
            "release_date",
        )
        .with(&["--strict"]),
        edit("M32b", "2025-05-01", "2999-01-01", 0, "release_date"),
        edit(
            "M32b strict",
            "2025-05-01",
            "2999-01-01",
            10,
            "release_date",
        )
        .with(&["--strict"]),
        edit(
            "M33",
            "\"notes\"",
            "\"requires\":{\"summarize_scene\":\">=2.1\"},\"notes\"",
            11,
            ">=2.1",
        )
        .with(&["--consumer", "summarize_scene=2.0"]),
        edit(
            "M33 unknown",
            "\"notes\"",
            "\"requires\":{\"summarize_scene\":\">=2.1\"},\"notes\"",
            0,
            "requires.summarize_scene",
        ),
        edit(
            "M33 satisfied",
            "\"notes\"",
            "\"requires\":{\"summarize_scene\":\">=2.1\"},\"notes\"",
            0,
            "",
        )
        .with(&["--consumer", "summarize_scene=2.1"]),
    ];
    rows.push(url(
        "P15c",
        &format!("https://user:{SECRET}@models.acme.dev/a"),
        11,
        "",
    ));
    rows.push(url(
        "P15a",
        &format!("ftp://models.acme.dev/a?sig={SECRET}"),
        11,
        "",
    ));
    rows
}

fn files() -> Vec<Row> {
    vec![
        made("N20 digest", 23, "expected", |host, text| {
            let mut bytes = gguf("two");
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(host.path("repo/two.gguf"), bytes).unwrap();
            text.into_bytes()
        }),
        made("W20 size", 22, "expected", |_, text| {
            text.replacen(&size(), "\"size_bytes\":7", 1).into_bytes()
        }),
        made("W14 a part is missing", 41, "gone.txt", |_, _| {
            let two = artifact("model.gguf", "repo:two.gguf", &gguf("two"));
            manifest("1.1.0", &[two, artifact("gone.txt", "repo:gone.txt", b"n")]).into_bytes()
        }),
        made("N25e", 30, "git lfs pull", |host, _| {
            let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
            fs::write(host.path("repo/p.gguf"), pointer).unwrap();
            manifest("1.1.0", &[artifact("model.gguf", "repo:p.gguf", pointer)]).into_bytes()
        }),
        made("A22c", 30, "no weights", |host, _| {
            fs::write(host.path("repo/config.json"), "{}").unwrap();
            manifest(
                "1.1.0",
                &[artifact("config.json", "repo:config.json", b"{}")],
            )
            .into_bytes()
        }),
        made("A24a", 30, "GGUF", |host, _| {
            fs::write(host.path("repo/bad.gguf"), "GGML").unwrap();
            manifest("1.1.0", &[artifact("model.gguf", "repo:bad.gguf", b"GGML")]).into_bytes()
        }),
        made("A25c", 31, "not part of a model", |host, _| {
            fs::write(host.path("repo/load.py"), "x").unwrap();
            let two = artifact("model.gguf", "repo:two.gguf", &gguf("two"));
            manifest("1.1.0", &[two, artifact("load.py", "repo:load.py", b"x")]).into_bytes()
        }),
        made("A25d", 31, "ELF", |host, _| {
            fs::write(host.path("repo/tool.txt"), "\x7fELF").unwrap();
            let two = artifact("model.gguf", "repo:two.gguf", &gguf("two"));
            manifest(
                "1.1.0",
                &[two, artifact("tool.txt", "repo:tool.txt", b"\x7fELF")],
            )
            .into_bytes()
        }),
    ]
}

#[test]
fn manifests_of_the_catalogue() {
    check_all(&manifests());
}

#[test]
fn files_of_the_catalogue() {
    check_all(&files());
}

#[test]
fn a_manifest_that_is_refused_twice_is_refused_for_the_same_reason() {
    // W14: the first installer's second run called a release with a part missing installed.
    let rows = files();
    let row = rows.iter().find(|row| row.id.starts_with("W14")).unwrap();
    let host = Host::new();
    host.installed("1.0.0", "one");
    assert_eq!(row.run(&host).0.code, row.code);
    assert_eq!(row.run(&host).0.code, row.code);
    assert_eq!(host.weights(), Some(gguf("one")));
}
