//! Arbitrary bytes as a `model_manifest.json`: read, repaired, written again.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vv_eval::hint::Hint as _;
use vv_eval::manifest::{self, Draft, diff};

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("model_manifest.json");
    let read = manifest::parse(bytes, path);
    if let Err(error) = &read {
        let _ = (error.to_string(), error.hint(), error.class());
    }
    let Ok(mut draft) = Draft::parse(bytes) else {
        assert!(read.is_err(), "what has no tree is no manifest");
        return;
    };
    draft.fix();
    let again = manifest::parse(draft.text().as_bytes(), path);
    if let Ok(read) = read {
        let again = again.expect("a repair keeps a good manifest good");
        let (before, after) = (&read.manifest, &again.manifest);
        assert_eq!(before.release.digest(), after.release.digest(), "the same release");
        let _ = diff(before, after);
    }
});
