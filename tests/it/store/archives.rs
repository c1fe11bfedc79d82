//! The rows of the catalogue that are about archives and the files of a model, through
//! `model install`; digest and size in the manifest are right.

use std::fs;

use super::super::test_archive::{END, directory, entry, file, gz, header, pax, summed, tar};
use super::case::{Row, check_all};
use super::{Host, artifact, gguf, manifest, sha256};

/// The weights every row has, so that nothing but what is wrong is a reason.
fn weights() -> Vec<u8> {
    file("model.gguf", &gguf("two"))
}

/// A row that publishes these bytes under this name.
fn named(filename: &'static str, id: String, said: (i32, &'static str), bytes: Vec<u8>) -> Row {
    let make = move |host: &Host, _| {
        fs::write(host.path("repo").join(filename), &bytes).unwrap();
        let url = format!("repo:{filename}");
        manifest("1.1.0", &[artifact(filename, &url, &bytes)]).into_bytes()
    };
    Row::new(id, said, make)
}

/// A row with a compressed archive.
fn packed(id: impl Into<String>, said: (i32, &'static str), bytes: Vec<u8>) -> Row {
    named("m.tar.gz", id.into(), said, bytes)
}

/// A row with the weights and further entries.
fn with(id: impl Into<String>, said: (i32, &'static str), entries: &[Vec<u8>]) -> Row {
    let all = [&[weights()], entries].concat();
    packed(id, said, gz(&tar(&all)))
}

/// A row with exactly these files.
fn of(id: impl Into<String>, said: (i32, &'static str), files: &[(&str, &[u8])]) -> Row {
    let entries: Vec<_> = files.iter().map(|(name, data)| file(name, data)).collect();
    packed(id, said, gz(&tar(&entries)))
}

fn streams() -> Vec<Row> {
    let good = gz(&tar(&[weights(), file("README.md", b"x")]));
    let changed = |from_end: usize| {
        let mut bytes = good.clone();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        bytes
    };
    let whole = tar(&[weights(), file("README.md", b"x")]);
    let (first, second) = whole.split_at(700);
    vec![
        packed("A02a", (30, "other bytes"), b"random bytes".to_vec()),
        packed("A02b", (30, "a zip file"), b"PK\x03\x04rest".to_vec()),
        packed("A02c", (30, "an xz stream"), b"\xfd7zXZ\0rest".to_vec()),
        packed("A02d", (30, ""), gz(b"")),
        packed(
            "A03 W3 W4",
            (30, "cut short"),
            good[..good.len() / 2].to_vec(),
        ),
        packed("A04a", (30, "compression is damaged"), changed(8)),
        packed("A04b", (30, "compression is damaged"), changed(1)),
        packed("A05", (0, ""), [gz(first), gz(second)].concat()),
        packed("A06a", (30, ""), [&good[..], b"garbage"].concat()),
        packed("A06b", (0, ""), [&good[..], &[0; 5000]].concat()),
        packed("A07", (30, "two zero blocks"), gz(&weights())),
        packed("A08a", (30, "cut short"), gz(&weights()[..530])),
        packed("A08b", (30, "checksum"), {
            let mut wrong = whole.clone();
            wrong[0] = b'M';
            gz(&wrong)
        }),
        packed("A09a", (30, "no file"), gz(&END)),
        packed("A09b", (30, "no file"), gz(&tar(&[directory("a/")]))),
    ]
}

fn names() -> Vec<Row> {
    let mut rows = Vec::new();
    let refused: [(&str, &[u8], &str); 14] = [
        ("A10a W7", b"../x.txt", "`..`"),
        ("A10b", b"a/../../x.txt", "`..`"),
        ("A10c", b"/abs.txt", "absolute"),
        ("A10d", b"C:\\x.txt", ""),
        ("A10e", b"..\\x.txt", ""),
        ("A18a", b"", "empty name"),
        ("A18b", b".", "`.`"),
        ("A18c", b"\x1b[31mred.txt", "control character"),
        ("A18d", "a\u{202e}txt.exe".as_bytes(), ""),
        ("A18e", b"a\xffb.txt", "UTF-8"),
        ("A18f", b"a.txt ", ""),
        ("A18f dot", b"a.txt.", ""),
        ("A18g", b"CON", "device"),
        ("A17c NFD", "e\u{301}.txt".as_bytes(), "normal form C"),
    ];
    for (id, name, words) in refused {
        rows.push(with(id, (31, words), &[entry(b'0', name, b"x")]));
    }
    let twice = |id, name: &str| with(id, (31, ""), &[file(name, b"x")]);
    rows.push(twice("A17a", "model.gguf"));
    rows.push(twice("A17b", "Model.gguf"));
    let deep = format!("{}x.txt\0", "a/".repeat(500));
    let deep = [
        entry(b'L', b"././@LongLink", deep.as_bytes()),
        file("x.txt", b"x"),
    ];
    rows.push(with("A20d", (31, ""), &deep));
    rows
}

fn kinds() -> Vec<Row> {
    let mut rows = Vec::new();
    let link = |kind, target: &str| {
        let mut block = header(kind, b"link", "00000000000\0");
        block[157..157 + target.len()].copy_from_slice(target.as_bytes());
        summed(block)
    };
    for (id, target) in [
        ("A11a W8", "model.gguf"),
        ("A11b W8", "../../../sentinel"),
        ("A11c W8", "/etc/passwd"),
        ("A11d W8", "nowhere"),
    ] {
        rows.push(with(id, (31, "symbolic link"), &[link(b'2', target)]));
    }
    let through = [link(b'2', "../../../.."), file("link/x.txt", b"x")];
    rows.push(with("A11e W8", (31, "symbolic link"), &through));
    rows.push(with(
        "A11 hard",
        (31, "hard link"),
        &[link(b'1', "model.gguf")],
    ));
    for (id, kind, words) in [
        ("A12a W10", b'3', "character device"),
        ("A12b W10", b'4', "block device"),
        ("A12c W10", b'6', "named pipe"),
        ("A12d W10", b'Z', "unknown type"),
        ("A12e W10", b'7', "contiguous"),
    ] {
        rows.push(with(id, (31, words), &[link(kind, "")]));
    }
    // 1 TiB as base 256.
    let mut sparse = header(b'S', b"big.txt", "00000000000\0");
    sparse[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    rows.push(with("A13a", (31, "sparse"), &[summed(sparse)]));
    let records = pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]);
    rows.push(with(
        "A13b",
        (31, "sparse"),
        &[records, file("a.txt", b"1")],
    ));
    rows
}

fn extensions() -> Vec<Row> {
    let long = entry(b'L', b"././@LongLink", b"long.txt\0");
    let path = pax(&[("path", "p.txt")]);
    let a = file("a.txt", b"1");
    let record =
        |id, words, data: &[u8]| with(id, (30, words), &[entry(b'x', b"p", data), a.clone()]);
    let mut nested = header(b'x', b"p", "10000000000\0");
    nested.extend(b"12 path=ab\n");
    nested.resize(1024, 0);
    vec![
        with(
            "A14a",
            (31, "two different lengths"),
            &[pax(&[("size", "5")]), a.clone()],
        ),
        with(
            "A14b",
            (31, "two kinds"),
            &[path.clone(), long.clone(), a.clone()],
        ),
        with("A14b turned", (31, "two kinds"), &[long, path, a.clone()]),
        with(
            "A14c",
            (0, ""),
            &[file("README.md", &tar(&[file("../hidden", b"1")]))],
        ),
        record("A15a", "", b"0 path=a\n"),
        record("A15b", "", b"99999999999999999999 path=a\n"),
        record("A15c", "a line end", b"10 path=ab"),
        record("A15d", "", b"1000000000 path=a\n"),
        with("A15 claim", (31, "more than 65536"), &[nested]),
        with(
            "A16a",
            (31, "more than 65536"),
            &[
                entry(b'L', b"././@LongLink", &vec![b'a'; 1 << 20]),
                a.clone(),
            ],
        ),
        with(
            "A16b",
            (31, "255 bytes"),
            &[pax(&[("path", &"a".repeat(5000))]), a.clone()],
        ),
    ]
}

/// Modes, owners and times no file may have; the weights come through all the same.
fn attributes() -> Vec<Row> {
    let altered = |id, at: usize, field: &[u8]| {
        let mut bytes = weights();
        bytes[at..at + field.len()].copy_from_slice(field);
        let data = bytes.split_off(512);
        packed(id, (0, ""), gz(&tar(&[[summed(bytes), data].concat()])))
    };
    let extended = pax(&[
        ("SCHILY.xattr.user.x", "y"),
        ("SCHILY.acl.access", "user::rwx"),
        ("mtime", "-1"),
    ]);
    let mut closed = header(b'5', b"d", "00000000000\0");
    closed[100..108].copy_from_slice(b"0000000\0");
    vec![
        altered("A19a W9", 100, b"0004755\0"),
        altered("A19b W9", 100, b"0000777\0"),
        with("A19c", (0, ""), &[summed(closed), file("d/a.txt", b"1")]),
        altered("A19d", 108, b"0012345\0"),
        packed("A19e", (0, ""), gz(&tar(&[extended, weights()]))),
        altered("A19f 2106", 136, b"40000000000\0"),
        altered("A19f 1901", 136, &(-2_177_452_800i128).to_be_bytes()[4..]),
        altered("A19f before 1970", 136, &[0xff; 12]),
    ]
}

/// Bytes of a safetensors file.
fn safetensors(header: &str, n_data_bytes: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; n_data_bytes]].concat()
}

/// One tensor of the header.
fn tensor(name: &str, from: u64, to: u64) -> String {
    let n = to.saturating_sub(from);
    format!(r#""{name}":{{"dtype":"U8","shape":[{n}],"data_offsets":[{from},{to}]}}"#)
}

fn models() -> Vec<Row> {
    let sound = safetensors(&format!("{{{}}}", tensor("a", 0, 8)), 8);
    let model = |id, said, weights: &[u8]| {
        let files: [(&str, &[u8]); 3] = [
            ("config.json", b"{}"),
            ("tokenizer.json", b"{}"),
            ("model.safetensors", weights),
        ];
        of(id, said, &files)
    };
    let tensors =
        |id, header: String, n_data_bytes| model(id, (30, ""), &safetensors(&header, n_data_bytes));
    let mut long = sound.clone();
    long[..8].copy_from_slice(&200_000_000u64.to_le_bytes());
    let header = |id, at: usize, field: &[u8]| {
        let mut bytes = gguf("two");
        bytes[at..at + field.len()].copy_from_slice(field);
        of(id, (30, ""), &[("model.gguf", &bytes)])
    };
    let mut unaligned = b"GGUF".to_vec();
    unaligned.extend(3u32.to_le_bytes());
    unaligned.extend(0u64.to_le_bytes());
    unaligned.extend(1u64.to_le_bytes());
    unaligned.extend(17u64.to_le_bytes());
    unaligned.extend(b"general.alignment");
    // Type 4 is u32.
    unaligned.extend(4u32.to_le_bytes());
    unaligned.extend(0u32.to_le_bytes());
    let beside: [(&str, &[u8]); 4] = [
        ("config.json", b"{}"),
        ("tokenizer.json", b"{}"),
        ("model.safetensors", &sound),
        ("model.gguf", &gguf("two")),
    ];
    vec![
        // What the rows below change is sound before.
        of("A23 sound", (0, ""), &beside),
        of(
            "A22a",
            (30, "config.json"),
            &[("model.safetensors", &sound), ("tokenizer.json", b"{}")],
        ),
        of(
            "A22b",
            (30, "tokenizer.json"),
            &[("model.safetensors", &sound), ("config.json", b"{}")],
        ),
        of("A22c", (30, "no weights"), &[("README.md", b"x")]),
        tensors("A23a", format!("{{{}}}", tensor("a", 0, 8)), 7),
        tensors("A23b", format!("{{{}}}", tensor("a", 0, 8)), 9),
        tensors(
            "A23c",
            format!("{{{},{}}}", tensor("a", 0, 8), tensor("b", 4, 12)),
            12,
        ),
        tensors("A23d", format!("{{{}}}", tensor("a", 0, 1 << 40)), 8),
        model("A23e", (30, ""), &long),
        tensors(
            "A23f",
            format!("{{{},{}}}", tensor("a", 0, 4), tensor("a", 4, 8)),
            8,
        ),
        header("A24a", 0, b"GGML"),
        header("A24b", 4, &99u32.to_le_bytes()),
        header("A24c", 8, &(1u64 << 63).to_le_bytes()),
        header("A24d", 24, &(1u64 << 40).to_le_bytes()),
        of("A24e", (30, ""), &[("model.gguf", &unaligned)]),
    ]
}

/// What could run, and JSON without bounds.
fn hostile() -> Vec<Row> {
    let pickle = b"\x80\x02}q\0.";
    let nested = "[".repeat(10_000);
    let huge = format!("{{\"a\":\"{}\"}}", " ".repeat(100 << 20));
    let plain = |id: &str, said, entries: &[Vec<u8>]| {
        named(
            "m.tar",
            id.to_owned(),
            said,
            tar(&[&[weights()], entries].concat()),
        )
    };
    let allowed = |host: &Host, _| {
        let policy = "[archive]\nallow = [\"pytorch_model.bin\"]\n";
        fs::write(host.path("repo/gate.toml"), policy).unwrap();
        let bytes = gz(&tar(&[weights(), file("pytorch_model.bin", pickle)]));
        fs::write(host.path("repo/m.tar.gz"), &bytes).unwrap();
        manifest("1.1.0", &[artifact("m.tar.gz", "repo:m.tar.gz", &bytes)]).into_bytes()
    };
    vec![
        with("A25a", (31, "pickle"), &[file("pytorch_model.bin", pickle)]),
        with("A25b", (31, "zip"), &[file("m.pt", b"PK\x03\x04data.pkl")]),
        with(
            "A25c",
            (31, "not part of a model"),
            &[file("load.py", b"x")],
        ),
        with("A25d", (31, "ELF"), &[file("tool", b"\x7fELF")]),
        with("A25e", (31, "ELF"), &[file("notes.txt", b"\x7fELF")]),
        Row::new("A25f", (0, ""), allowed),
        plain(
            "A26a",
            (30, "more than"),
            &[file("config.json", huge.as_bytes())],
        ),
        with(
            "A26b",
            (30, "JSON"),
            &[file("config.json", nested.as_bytes())],
        ),
    ]
}

fn folders() -> Vec<Row> {
    let bytes = gz(&tar(&[directory("m/"), file("m/model.gguf", &gguf("two"))]));
    let stripped = {
        let bytes = bytes.clone();
        move |host: &Host, _| {
            fs::write(host.path("repo/m.tar.gz"), &bytes).unwrap();
            let text = manifest("1.1.0", &[artifact("m.tar.gz", "repo:m.tar.gz", &bytes)]);
            text.replacen("\"filename\"", "\"strip_components\":1,\"filename\"", 1)
                .into_bytes()
        }
    };
    vec![
        packed("A21", (30, "strip_components"), bytes),
        Row::new("A21 stripped", (0, ""), stripped),
    ]
}

#[test]
fn archives_of_the_catalogue() {
    let rows = [
        streams(),
        names(),
        kinds(),
        extensions(),
        attributes(),
        models(),
        hostile(),
        folders(),
    ];
    check_all(&rows.into_iter().flatten().collect::<Vec<_>>());
}

/// A tar.gz of 4 MB with 4 GiB of zeros in one file.
fn zeros() -> Vec<u8> {
    const PIECE_BYTES: usize = 16 << 20;
    const N_PIECES: usize = 256;
    // 4 GiB as base 256.
    let mut block = header(b'0', b"zeros.txt", "00000000000\0");
    block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    // A stream may have many members, so the zeros are compressed once.
    let mut bytes = gz(&summed(block));
    bytes.extend(gz(&vec![0; PIECE_BYTES]).repeat(N_PIECES));
    bytes.extend(gz(&END));
    bytes
}

#[test]
fn a20_bombs_are_refused_at_the_limits_nobody_set() {
    let many: Vec<Vec<u8>> = (0..100_000)
        .map(|i| file(&format!("{i}.txt"), b""))
        .collect();
    let one = gz(&tar(&[file("zeros.txt", &vec![0; 256 << 20])]));
    let rows = [
        packed("A20a", (32, "far more than its own size"), one),
        packed("A20b", (32, "far more than its own size"), zeros()),
        packed("A20c", (32, "more than 4096 entries"), gz(&tar(&many))),
    ];
    check_all(&rows);
}

#[test]
fn w09_modes_and_owners_of_an_archive_are_not_kept() {
    use std::os::unix::fs::MetadataExt as _;
    let host = Host::new();
    let mut set_user_id = weights();
    set_user_id[100..108].copy_from_slice(b"0004777\0");
    let data = set_user_id.split_off(512);
    let bytes = gz(&tar(&[[summed(set_user_id), data].concat()]));
    fs::write(host.path("repo/m.tar.gz"), &bytes).unwrap();
    host.set_manifest(manifest(
        "1.0.0",
        &[artifact("m.tar.gz", "repo:m.tar.gz", &bytes)],
    ));
    let ran = host.model("install", &["--smoke", "none"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let found = fs::metadata(host.path("models/bitnet/model.gguf")).unwrap();
    let own = fs::metadata(host.path("sentinel")).unwrap();
    assert_eq!(
        (found.mode() & 0o7777, found.uid(), found.gid()),
        (0o444, own.uid(), own.gid())
    );
    assert_eq!(sha256(&gguf("two")), sha256(&host.weights().unwrap()));
}
