//! Arbitrary bytes as a tar archive, packed and not: nothing is written outside, nothing is huge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vv_eval::artifact::archive::{Destination, Limits, unpack};
use vv_eval::artifact::{Blob, Promise};
use vv_eval::hint::Hint as _;
use vv_eval::manifest::{Artifact, Format, Url};
use vv_eval::units::{Bytes, Sha256};

fuzz_target!(|bytes: &[u8]| {
    let room = tempfile::tempdir().expect("a temporary directory");
    let packed = room.path().join("packed");
    std::fs::write(&packed, bytes).expect("written");
    let limits = Limits {
        max_entries: 64,
        max_unpacked: Bytes(1 << 20),
        max_ratio: 100,
        ratio_floor: Bytes(1 << 20),
    };
    for (format, strip_components) in [(Format::Tar, 0), (Format::Tar, 1), (Format::TarGz, 0)] {
        let inner = room.path().join(format!("{}-{strip_components}", format.as_str()));
        std::fs::create_dir(&inner).expect("made");
        let artifact = Artifact {
            filename: "packed".to_owned(),
            urls: vec![Url::Repo("packed".into())],
            sha256: Sha256::of(bytes),
            size: Some(Bytes(bytes.len() as u64)),
            unpacked: None,
            target: "bitnet".to_owned(),
            strip_components,
            format,
        };
        let promise = Promise { sha256: artifact.sha256, size: artifact.size };
        let blob = Blob::open(&packed, promise).expect("as promised");
        let mut destination = Destination::open(&inner).expect("empty");
        if let Err(error) = unpack(&blob, &artifact, &limits, &mut destination) {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            let _ = (error.hint(), error.condition());
        }
        let total: u64 = destination.files().values().map(|file| file.size.0).sum();
        assert!(total <= 1 << 20, "{total} bytes");
    }
    let outside = std::fs::read_dir(room.path()).expect("readable").count();
    assert_eq!(outside, 4, "something was written outside");
});
