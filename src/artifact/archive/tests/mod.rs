//! The catalogue of bad archives. Headers are written here byte by byte, so that the reader is not
//! tested by the code it reads with; `tar` and Python stand beside it where they are installed.

mod bytes;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::artifact::Promise;
use crate::hint::Hint as _;
use crate::manifest::Url;
use crate::units::Sha256;
use bytes::{END, directory, entry, file, gz, header, pax, summed, tar};

fn artifact(bytes: &[u8], format: Format, strip: u8) -> Artifact {
    Artifact {
        filename: "model.tar.gz".to_owned(),
        urls: vec![Url::Repo("model.tar.gz".into())],
        sha256: Sha256::of(bytes),
        size: Some(Bytes(bytes.len() as u64)),
        unpacked: None,
        target: "bitnet".to_owned(),
        strip_components: strip,
        format,
    }
}

/// Unpacks `bytes` into `room/inner` and gives what was unpacked; `room` has a sentinel beside it.
fn run(
    room: &Path,
    bytes: &[u8],
    artifact: &Artifact,
    limits: &Limits,
) -> Result<Destination, Error> {
    let packed = room.join("packed");
    std::fs::write(&packed, bytes).expect("written");
    std::fs::write(room.join("sentinel"), "here").expect("written");
    std::fs::create_dir(room.join("inner")).expect("made");
    let promise = Promise {
        sha256: artifact.sha256,
        size: artifact.size,
    };
    let blob = Blob::open(&packed, promise).expect("as promised");
    let mut destination = Destination::open(&room.join("inner"))?;
    let done = unpack(&blob, artifact, limits, &mut destination);
    let outside: Vec<_> = std::fs::read_dir(room)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(
        outside.len(),
        3,
        "something was written outside: {outside:?}"
    );
    assert_eq!(
        std::fs::read(room.join("sentinel")).expect("there"),
        b"here"
    );
    done.map(|()| destination)
}

fn room() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[track_caller]
fn refuses_with(bytes: &[u8], format: Format, strip: u8, limits: &Limits, code: u8, words: &str) {
    let room = room();
    let error = run(room.path(), bytes, &artifact(bytes, format, strip), limits)
        .expect_err("a bad archive");
    assert_eq!(error.condition().code(), code, "{error}");
    let text = error.to_string();
    assert!(text.contains(words), "no `{words}` in: {text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(error.hint().is_some(), "{error:?}");
}

/// The archive is refused, packed and not.
#[track_caller]
fn refuses(bytes: &[u8], code: u8, words: &str) {
    let limits = Limits::default();
    refuses_with(bytes, Format::Tar, 0, &limits, code, words);
    refuses_with(&gz(bytes), Format::TarGz, 0, &limits, code, words);
}

#[track_caller]
fn accepts_with(bytes: &[u8], format: Format, strip: u8) -> BTreeMap<String, Vec<u8>> {
    let room = room();
    let artifact = artifact(bytes, format, strip);
    let destination = run(room.path(), bytes, &artifact, &Limits::default())
        .unwrap_or_else(|error| panic!("{error}"));
    let mut found = BTreeMap::new();
    for (name, unpacked) in destination.files() {
        let path = destination.path().join(name);
        let data = std::fs::read(&path).expect("unpacked");
        assert_eq!(unpacked.sha256, Sha256::of(&data));
        assert_eq!(unpacked.size, Bytes(data.len() as u64));
        let metadata = path.metadata().expect("unpacked");
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o444, "{name}");
        assert_eq!(metadata.uid(), rustix::process::getuid().as_raw(), "{name}");
        found.insert(name.clone(), data);
    }
    found
}

/// The archive unpacks to these files, packed and not.
#[track_caller]
fn accepts(bytes: &[u8], files: &[(&str, &[u8])]) {
    let expected: BTreeMap<String, Vec<u8>> = files
        .iter()
        .map(|(name, data)| ((*name).to_owned(), data.to_vec()))
        .collect();
    assert_eq!(accepts_with(bytes, Format::Tar, 0), expected);
    assert_eq!(accepts_with(&gz(bytes), Format::TarGz, 0), expected);
}

#[test]
fn a02_what_is_not_gzip_is_named() {
    let check = |bytes: &[u8], words| {
        refuses_with(bytes, Format::TarGz, 0, &Limits::default(), 30, words);
    };
    check(b"random bytes", "begins with other bytes");
    check(b"PK\x03\x04rest", "a zip file");
    check(b"\xfd7zXZ\0rest", "an xz stream");
    check(b"\x28\xb5\x2f\xfdrest", "a zstd stream");
    check(b"<!doctype html>", "a web page");
    check(b"", "empty");
    check(&gz(b""), "two zero blocks");
}

#[test]
fn a03_a04_cut_and_damaged_streams_are_malformed() {
    let check = |bytes: &[u8], words| {
        refuses_with(bytes, Format::TarGz, 0, &Limits::default(), 30, words);
    };
    let good = gz(&tar(&[file("a", &[7; 5000])]));
    for end in [good.len() - 1, good.len() - 8, good.len() / 2, 11] {
        check(&good[..end], "cut short");
    }
    let mut wrong = good.clone();
    let crc = good.len() - 8;
    wrong[crc] ^= 1;
    check(&wrong, "compression is damaged");
    let mut wrong = good.clone();
    let length = good.len() - 1;
    wrong[length] ^= 1;
    check(&wrong, "compression is damaged");
}

#[test]
fn a05_a06_all_members_count_and_only_zeros_follow() {
    let whole = tar(&[file("a", b"1"), file("b", b"2")]);
    let (first, second) = whole.split_at(700);
    let members = [gz(first), gz(second)].concat();
    let expected = [("a", b"1".to_vec()), ("b", b"2".to_vec())];
    let expected: BTreeMap<_, _> = expected.map(|(name, data)| (name.to_owned(), data)).into();
    assert_eq!(accepts_with(&members, Format::TarGz, 0), expected);
    let padded = [gz(&whole), vec![0; 70_000]].concat();
    assert_eq!(accepts_with(&padded, Format::TarGz, 0), expected);
    for tail in [&b"garbage"[..], b"\0\0x"] {
        let bytes = [gz(&whole), tail.to_vec()].concat();
        refuses_with(
            &bytes,
            Format::TarGz,
            0,
            &Limits::default(),
            30,
            "something else",
        );
    }
}

#[test]
fn a07_a08_ends_are_checked() {
    let one = file("a", b"1");
    refuses(&one, 30, "two zero blocks");
    refuses(&[one.clone(), vec![0; 512]].concat(), 30, "one zero block");
    refuses(
        &[one.clone(), vec![0; 512], file("b", b"2")].concat(),
        30,
        "one zero block",
    );
    refuses(&one[..700], 30, "cut short");
    refuses(
        &[one.clone(), one[..100].to_vec()].concat(),
        30,
        "cut short",
    );
    refuses(
        &[tar(std::slice::from_ref(&one)), b"x".to_vec()].concat(),
        31,
        "after the end",
    );
    refuses(
        &[tar(std::slice::from_ref(&one)), file("b", b"2")].concat(),
        31,
        "after the end",
    );
    accepts(
        &[tar(std::slice::from_ref(&one)), vec![0; 10_240]].concat(),
        &[("a", b"1")],
    );
    let mut wrong = tar(&[one]);
    wrong[0] = b'b';
    refuses(&wrong, 30, "checksum");
}

#[test]
fn a09_an_archive_without_files_is_malformed() {
    refuses(&END, 30, "no file");
    refuses(&tar(&[directory("a/"), directory("a/b")]), 30, "no file");
}

#[test]
fn a10_a18_names_that_lead_elsewhere_or_mislead_are_unsafe() {
    let mut n = 0;
    let mut check = |name: &[u8], words: &str| {
        n += 1;
        refuses(
            &tar(&[file("ok", b"1"), entry(b'0', name, b"x")]),
            31,
            words,
        );
    };
    check(b"../x", "`..`");
    check(b"a/../../x", "`..`");
    check(b"/abs", "absolute");
    check(b"C:\\x", "backslash");
    check(b"C:x", "drive letter");
    check(b"..\\x", "backslash");
    check(b"", "empty name");
    check(b".", "`.`");
    check(b"./", "empty name");
    check(b"a/./b", "`.`");
    check(b"a//b", "empty component");
    check(b"a/", "empty component");
    check(b"\x1b[31mred", "control character");
    check(b"a\nb", "control character");
    check("a\u{202e}gnp.exe".as_bytes(), "order of text");
    for hidden in ["\u{200b}", "\u{ad}", "\u{3164}", "\u{fe0f}", "\u{e0041}"] {
        check(format!("a{hidden}").as_bytes(), "not seen");
    }
    check(b"a\xffb", "not UTF-8");
    check(b"a ", "space or a dot");
    check(b"a.", "space or a dot");
    check(b"CON", "device");
    check(b"nul.txt", "device");
    check(b"dir/LPT1", "device");
    check("e\u{301}".as_bytes(), "normal form C");
    check(b".vv", "the store");
    check(b".VV-x/a", "the store");
    check(b".current_model_info.json", "the store");
    check(b".model_updated_flag", "the store");
    check(b".git/config", "signatures");
    check(b".gitattributes", "signatures");
    check(b"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", "deeper");
    println!("{n} names refused");
}

#[test]
fn a_leading_dot_is_dropped_and_the_root_is_no_entry() {
    let archive = tar(&[
        directory("./"),
        directory("."),
        file("./a", b"1"),
        directory("./d/"),
    ]);
    accepts(&archive, &[("a", b"1")]);
    accepts(
        &tar(&[file("sub/.gitignore", b"1")]),
        &[("sub/.gitignore", b"1")],
    );
}

#[test]
fn a11_a12_links_and_devices_are_unsafe() {
    let mut n = 0;
    for (kind, words) in [
        (b'1', "hard link"),
        (b'2', "symbolic link"),
        (b'3', "character device"),
        (b'4', "block device"),
        (b'6', "named pipe"),
        (b'7', "contiguous"),
        (b'S', "sparse"),
        (b'K', "long link name"),
        (b'g', "global extended header"),
        (b'Z', "unknown type"),
        (b'V', "unknown type"),
    ] {
        for target in ["inside", "../outside", "/etc/passwd", "nowhere"] {
            let mut block = header(kind, b"link", "00000000000\0");
            block[157..157 + target.len()].copy_from_slice(target.as_bytes());
            let archive = tar(&[file("inside", b"1"), summed(block), file("link/x", b"2")]);
            refuses(&archive, 31, words);
            n += 1;
        }
    }
    println!("{n} links and devices refused");
}

#[test]
fn a13_sparse_files_are_unsafe() {
    refuses(
        &tar(&[
            pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]),
            file("a", b"1"),
        ]),
        31,
        "sparse",
    );
}

#[test]
fn a14_extensions_that_readers_take_differently_are_unsafe() {
    let named = entry(b'L', b"././@LongLink", b"long\0");
    refuses(
        &tar(&[pax(&[("size", "5")]), file("a", b"1")]),
        31,
        "two different lengths",
    );
    refuses(
        &tar(&[pax(&[("path", "p")]), named.clone(), file("a", b"1")]),
        31,
        "two kinds",
    );
    refuses(
        &tar(&[named.clone(), pax(&[("path", "p")]), file("a", b"1")]),
        31,
        "two kinds",
    );
    refuses(
        &tar(&[named.clone(), named.clone(), file("a", b"1")]),
        31,
        "second long name",
    );
    refuses(
        &tar(&[pax(&[("path", "p")]), pax(&[]), file("a", b"1")]),
        31,
        "second extended header",
    );
    refuses(
        &tar(&[file("a", b"1"), named.clone()]),
        30,
        "after the extension",
    );
    accepts(&tar(&[named, file("a", b"1")]), &[("long", b"1")]);
    accepts(
        &tar(&[
            pax(&[("path", "câmera"), ("mtime", "1.5")]),
            file("a", b"1"),
        ]),
        &[("câmera", b"1")],
    );
    // The size of the header may be left to the extension.
    let mut large = header(b'0', b"a", "00000000000\0");
    large.extend_from_slice(&[b'1'; 3]);
    large.resize(1024, 0);
    accepts(&tar(&[pax(&[("size", "3")]), large]), &[("a", b"111")]);
    // An archive inside a file is data.
    let inner = tar(&[file("hidden", b"1")]);
    accepts(
        &tar(&[file("a", &inner), file("b", b"2")]),
        &[("a", &inner), ("b", b"2")],
    );
}

#[test]
fn a15_malformed_records_are_malformed() {
    let mut n = 0;
    let mut check = |data: &[u8], words: &str| {
        n += 1;
        refuses(&tar(&[entry(b'x', b"p", data), file("a", b"1")]), 30, words);
    };
    check(b"0 path=a\n", "not that of its record");
    check(b"99999999999999999999 path=a\n", "without a length");
    check(b"9999999999999999999 path=a\n", "not that of its record");
    check(b"1000000000 path=a\n", "not that of its record");
    check(b"10 path=ab", "a line end");
    check(b"path=a\n", "without a length");
    check(b"pa th=a\n", "no number");
    check(b"+9 path=a\n", "no number");
    check(b"7 path\n", "without a value");
    check(b"nospace", "without a length");
    check(b"11 size=-1\n", "no number");
    check(b"30 size=9223372036854775808\nxx", "a line end");
    check(b"28 size=9223372036854775808\n", "no number");
    check(b"9 path=a\n9 path=b\n", "given twice");
    println!("{n} malformed records refused");
}

#[test]
fn a16_long_extensions_are_unsafe() {
    let long = vec![b'a'; 1 << 20];
    refuses(
        &tar(&[entry(b'L', b"././@LongLink", &long), file("a", b"1")]),
        31,
        "more than 65536",
    );
    refuses(
        &tar(&[pax(&[("path", &"a".repeat(5000))]), file("a", b"1")]),
        31,
        "255 bytes",
    );
    let huge = header(b'x', b"p", "77777777777\0");
    refuses(&tar(&[huge, file("a", b"1")]), 31, "more than 65536");
}

#[test]
fn a17_no_name_is_there_twice() {
    let again = "is there already";
    refuses(&tar(&[file("a", b"1"), file("a", b"2")]), 31, again);
    refuses(
        &tar(&[file("Model.bin", b"1"), file("model.bin", b"2")]),
        31,
        again,
    );
    refuses(
        &tar(&[file("straße", b"1"), file("STRASSE", b"2")]),
        31,
        again,
    );
    refuses(
        &tar(&[file("a", b"1"), file("a/b", b"2")]),
        31,
        "a file and a directory",
    );
    refuses(&tar(&[file("a/b", b"1"), file("a", b"2")]), 31, again);
    refuses(
        &tar(&[file("D/a", b"1"), file("d/b", b"2")]),
        31,
        "case only",
    );
    accepts(
        &tar(&[directory("d"), directory("d/"), file("d/a", b"1")]),
        &[("d/a", b"1")],
    );
}

#[test]
fn a19_modes_owners_and_times_of_the_archive_reach_nothing() {
    let mut set_user_id = header(b'0', b"a", "00000000001\0");
    set_user_id[100..108].copy_from_slice(b"0006777\0");
    set_user_id[136..148].copy_from_slice(b"77777777777\0");
    let mut data = summed(set_user_id);
    data.resize(1024, 0);
    data[512] = b'1';
    let mut closed = header(b'5', b"d", "00000000000\0");
    closed[100..108].copy_from_slice(b"0000000\0");
    let attributes = pax(&[("SCHILY.xattr.user.x", "y"), ("mtime", "-1"), ("uid", "0")]);
    let archive = tar(&[
        data,
        summed(closed),
        file("d/b", b"2"),
        attributes,
        file("c", b"3"),
    ]);
    accepts(&archive, &[("a", b"1"), ("d/b", b"2"), ("c", b"3")]);
}

#[test]
fn sizes_that_are_no_numbers_are_malformed() {
    let sizes = [
        "-0000000001\0",
        "0000000000x\0",
        "            ",
        "\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for size in sizes {
        refuses(&tar(&[header(b'0', b"a", size)]), 30, "size is no number");
    }
    for field in [
        [0xff; 12],
        [0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0],
        [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut block = header(b'0', b"a", "00000000000\0");
        block[124..136].copy_from_slice(&field);
        refuses(&tar(&[summed(block)]), 30, "size is no number");
    }
    let mut block = header(b'0', b"a", "00000000000\0");
    block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let mut data = summed(block);
    data.resize(1024, 0);
    data[512] = b'1';
    accepts(&tar(&[data]), &[("a", b"1")]);
    refuses(
        &tar(&[entry(b'5', b"d", b"1")]),
        30,
        "a directory with data",
    );
}

#[test]
fn a20_bombs_stop_early() {
    let limits = Limits {
        max_entries: 10,
        max_unpacked: Bytes(1 << 20),
        max_ratio: 20,
        ratio_floor: Bytes(1 << 16),
    };
    let many: Vec<Vec<u8>> = (0..11).map(|i| file(&format!("f{i}"), b"")).collect();
    refuses_with(
        &gz(&tar(&many)),
        Format::TarGz,
        0,
        &limits,
        32,
        "more than 10 entries",
    );
    let zeros = gz(&tar(&[file("a", &vec![0; 1 << 20])]));
    refuses_with(
        &zeros,
        Format::TarGz,
        0,
        &limits,
        32,
        "far more than its own size",
    );
    let padding = gz(&[tar(&[file("a", b"1")]), vec![0; 1 << 20]].concat());
    refuses_with(
        &padding,
        Format::TarGz,
        0,
        &limits,
        32,
        "far more than its own size",
    );
    // What a header claims is refused before a byte of it is looked for.
    let claims = tar(&[header(b'0', b"a", "77777777777\0")]);
    refuses_with(
        &claims,
        Format::Tar,
        0,
        &limits,
        32,
        "more than 1048576 bytes",
    );
    // Zeros below the floor are honest.
    let few = gz(&tar(&[file("a", &vec![0; 40_000])]));
    let room = room();
    run(
        room.path(),
        &few,
        &artifact(&few, Format::TarGz, 0),
        &limits,
    )
    .expect("below the floor");
}

#[test]
fn the_manifest_lowers_the_limit() {
    let bytes = tar(&[file("a", &[1; 1000])]);
    let mut artifact = artifact(&bytes, Format::Tar, 0);
    artifact.unpacked = Some(Bytes(999));
    let room = room();
    let error = run(room.path(), &bytes, &artifact, &Limits::default()).expect_err("too much");
    assert_eq!(error.condition().code(), 32);
}

#[test]
fn a21_leading_directories_are_removed_on_demand() {
    let archive = tar(&[directory("m/"), file("m/a", b"1"), file("m/d/b", b"2")]);
    let found = accepts_with(&archive, Format::Tar, 1);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "d/b"]);
    let mixed = tar(&[file("m/a", b"1"), file("top", b"2")]);
    refuses_with(
        &mixed,
        Format::Tar,
        1,
        &Limits::default(),
        30,
        "strip_components",
    );
    // The name is checked before its beginning is removed.
    refuses_with(
        &tar(&[file("../a", b"1")]),
        Format::Tar,
        1,
        &Limits::default(),
        31,
        "`..`",
    );
    let hidden = tar(&[file("m/.git/config", b"1")]);
    refuses_with(
        &hidden,
        Format::Tar,
        1,
        &Limits::default(),
        31,
        "signatures",
    );
}

#[test]
fn a27_a_file_swapped_while_it_is_used_is_read_as_it_was_digested() {
    use std::sync::atomic::{AtomicBool, Ordering};
    // Whoever may write beside the blob puts another archive in its place over and over.
    let good = tar(&[file("a", &vec![1; 20_000])]);
    let other = tar(&[file("a", &vec![2; 20_000])]);
    let artifact = artifact(&good, Format::Tar, 0);
    let promise = Promise {
        sha256: artifact.sha256,
        size: artifact.size,
    };
    let dir = room();
    let path = dir.path().join("blob");
    std::fs::write(&path, &good).expect("written");
    let is_done = AtomicBool::new(false);
    let (mut n_read, mut n_refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                if is_done.load(Ordering::SeqCst) {
                    break;
                }
                let next = dir.path().join("next");
                let bytes = if i % 2 == 0 { &other } else { &good };
                std::fs::write(&next, bytes).expect("written");
                std::fs::rename(&next, &path).expect("renamed");
            }
        });
        for i in 0..1000 {
            let inner = dir.path().join(format!("inner-{i}"));
            std::fs::create_dir(&inner).expect("made");
            match Blob::open(&path, promise) {
                Ok(blob) => {
                    let mut destination = Destination::open(&inner).expect("opened");
                    unpack(&blob, &artifact, &Limits::default(), &mut destination)
                        .expect("the bytes that were digested");
                    let found = std::fs::read(inner.join("a")).expect("unpacked");
                    assert_eq!(found, vec![1; 20_000]);
                    n_read += 1;
                }
                Err(crate::artifact::Error::Mismatch(_)) => n_refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        is_done.store(true, Ordering::SeqCst);
    });
    println!("of 1000 races {n_read} read the promised bytes and {n_refused} refused others");
    assert!(
        n_read > 0 && n_refused > 0,
        "no race: {n_read}, {n_refused}"
    );
}

#[test]
fn a_plain_file_keeps_the_name_of_the_manifest() {
    let found = accepts_with(b"weights", Format::File, 0);
    assert_eq!(
        found,
        BTreeMap::from([("model.tar.gz".to_owned(), b"weights".to_vec())])
    );
}

#[test]
fn several_archives_share_a_directory_unless_they_meet() {
    let room = room();
    let mut destination = {
        std::fs::create_dir(room.path().join("d")).expect("made");
        Destination::open(&room.path().join("d")).expect("empty")
    };
    let mut add = |bytes: &[u8]| {
        let path = room.path().join("packed");
        std::fs::write(&path, bytes).expect("written");
        let artifact = artifact(bytes, Format::Tar, 0);
        let promise = Promise {
            sha256: artifact.sha256,
            size: None,
        };
        let blob = Blob::open(&path, promise).expect("as promised");
        unpack(&blob, &artifact, &Limits::default(), &mut destination)
    };
    add(&tar(&[file("d/a", b"1")])).expect("the first");
    add(&tar(&[file("d/b", b"2")])).expect("beside it");
    let error = add(&tar(&[file("d/A", b"3")])).expect_err("it meets the first");
    assert_eq!(error.condition().code(), 31);
}

#[test]
fn a_directory_that_is_not_empty_is_not_filled() {
    let room = room();
    std::fs::write(room.path().join("x"), "1").expect("written");
    assert!(Destination::open(room.path()).is_err());
    assert!(Destination::open(&room.path().join("x")).is_err());
    assert!(Destination::open(&room.path().join("absent")).is_err());
}

/// Archives of GNU tar in all its formats unpack to what was packed.
#[test]
fn archives_of_gnu_tar_are_read() {
    let room = room();
    let source = room.path().join("source");
    std::fs::create_dir_all(source.join("deep/er")).expect("made");
    let long = "n".repeat(120);
    let files = [
        ("config.json", b"{}".to_vec()),
        (
            "deep/er/weights.bin",
            (0..=255).cycle().take(70_001).collect(),
        ),
        (long.as_str(), b"long".to_vec()),
        ("câmera.txt", b"accents".to_vec()),
    ];
    let mut n = 0;
    for format in ["gnu", "oldgnu", "ustar", "pax", "v7"] {
        // Old formats have no room for long names.
        let kept: Vec<_> = files
            .iter()
            .filter(|(name, _)| name.len() < 100 || !matches!(format, "v7" | "ustar"))
            .collect();
        for (name, data) in &kept {
            std::fs::write(source.join(name), data).expect("written");
        }
        let packed = room.path().join(format!("{format}.tar.gz"));
        let made = Command::new("tar")
            .arg("--format")
            .arg(format)
            .arg("-C")
            .arg(&source)
            .arg("-czf")
            .arg(&packed)
            .args(kept.iter().map(|(name, _)| name))
            .status();
        let Ok(status) = made else {
            println!("skipped: there is no `tar` on this host");
            return;
        };
        assert!(status.success(), "{format}");
        let found = accepts_with(&std::fs::read(&packed).expect("packed"), Format::TarGz, 0);
        let expected: BTreeMap<String, Vec<u8>> = kept
            .into_iter()
            .map(|(name, data)| ((*name).to_owned(), data.clone()))
            .collect();
        assert_eq!(found, expected, "{format}");
        n += 1;
    }
    println!("{n} formats of tar read");
}

/// Both readers list the same names and sizes of archives with long names and large numbers.
#[test]
fn a14_python_lists_the_same() {
    let inner = tar(&[file("hidden", b"1")]);
    let archive = tar(&[
        entry(b'L', b"././@LongLink", b"some/long name\0"),
        file("a", b"1"),
        pax(&[("path", "câmera")]),
        file("b", &inner),
        directory("d/"),
        file("d/c", &[3; 1500]),
        entry(0, b"old", b"1"),
        entry(0, b"olddir/", b""),
    ]);
    let room = room();
    let path = room.path().join("x.tar");
    std::fs::write(&path, &archive).expect("written");
    let script = "import sys,tarfile\n\
        for m in tarfile.open(sys.argv[1]):\n  \
        if m.isfile(): print(f'{m.name} {m.size}')";
    let listed = Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(&path)
        .env("PYTHONIOENCODING", "utf-8")
        .output();
    let Ok(listed) = listed else {
        println!("skipped: there is no `python3` on this host");
        return;
    };
    let mut theirs: Vec<String> = String::from_utf8(listed.stdout)
        .expect("UTF-8")
        .lines()
        .map(str::to_owned)
        .collect();
    theirs.sort();
    let ours: Vec<String> = accepts_with(&archive, Format::Tar, 0)
        .iter()
        .map(|(name, data)| format!("{name} {}", data.len()))
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 4);
}
