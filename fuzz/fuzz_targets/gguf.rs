//! Arbitrary bytes as a GGUF file: reader, decoders, loader, and the tokenizer in the metadata.
#![no_main]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vv_eval::artifact::ModelFiles;
use vv_eval::artifact::digest::digest_file;
use vv_eval::hint::Hint as _;
use vv_eval::model::gguf::{Gguf, blocks};
use vv_eval::model::{I2sLayout, LoadOptions, ModelBundle};
use vv_eval::units::Sha256;

/// Most values decoded of one tensor; the first blocks show what there is to see.
const MAX_VALUES: u64 = 1 << 16;

/// Panics of other crates are let through to where this program contains them, or to the fuzzer's
/// own catch; all others are reported where they happen.
fn hook() {
    std::panic::set_hook(Box::new(|info| {
        let is_foreign = |place: &std::panic::Location<'_>| place.file().contains("/registry/");
        if !info.location().is_some_and(is_foreign) {
            eprintln!("{info}");
            std::process::abort();
        }
    }));
}

fuzz_target!(init: hook(), |bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    match Gguf::open(file.path()) {
        Ok(gguf) => decode(&gguf),
        Err(error) => {
            let _ = (error.to_string(), error.hint());
            return;
        }
    }
    for is_online in [None, Some(false), Some(true)] {
        for i2s_layout in [I2sLayout::Blocks128, I2sLayout::Blocks64] {
            load(file.path(), i2s_layout, is_online);
        }
    }
});

fn decode(gguf: &Gguf) {
    for (name, info) in &gguf.tensors {
        let Some((values, block_bytes)) = info.kind.block() else {
            continue;
        };
        if !blocks::is_decodable(info.kind) {
            continue;
        }
        let n_blocks = info.n_values().min(MAX_VALUES) / values;
        let mut bytes = vec![0; usize::try_from(n_blocks * block_bytes).expect("a few blocks")];
        let mut out = vec![0.0; usize::try_from(n_blocks * values).expect("a few values")];
        gguf.read(name, 0, &mut bytes)
            .expect("the tensor is in the file");
        blocks::decode(info.kind, &bytes, &mut out);
    }
}

fn load(path: &Path, i2s_layout: I2sLayout, is_online: Option<bool>) {
    let artifact = digest_file(path).expect("a readable file");
    let files = ModelFiles {
        release_digest: Sha256::of(b""),
        files: BTreeMap::from([("model.gguf".to_owned(), artifact)]),
        is_pinned: false,
        origin: path.to_owned(),
    };
    let options = LoadOptions {
        i2s_layout,
        is_online,
        ..LoadOptions::default()
    };
    match ModelBundle::load(&files, &options) {
        Ok(bundle) => {
            if let Ok(ids) = bundle.encode_prompt("Às 12h30, uma pessoa entrou. 👋") {
                let _ = bundle.codec.decode(&ids);
            }
            if let Some(tokenizer) = bundle.tokenizer() {
                let ids: Vec<u32> = (0..tokenizer.id_limit().min(64)).collect();
                let _ = tokenizer.decode(&ids);
            }
        }
        Err(error) => {
            let _ = (error.to_string(), error.hint());
        }
    }
}
