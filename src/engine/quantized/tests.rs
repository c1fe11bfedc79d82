//! The stream candle reads from. What candle computes of it is compared in `tests/it/plain.rs`.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::Value;

use super::source::Source;
use crate::model::Error;
use crate::model::gguf::Gguf;
use crate::model::synthetic::{Spec, synthetic};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plain/qwen2-mixed.gguf")
}

#[test]
fn tensors_stand_one_after_the_other() {
    let gguf = Gguf::open(&fixture()).unwrap();
    let mut expected = Vec::new();
    for (name, info) in &gguf.tensors {
        let mut bytes = vec![0; usize::try_from(info.bytes).unwrap()];
        gguf.read(name, 0, &mut bytes).unwrap();
        expected.extend(bytes);
    }
    let mut source = Source::new(&gguf);
    let mut found = Vec::new();
    source.read_to_end(&mut found).unwrap();
    assert_eq!(found, expected);
    let middle = expected.len() / 2;
    assert_eq!(
        source.seek(SeekFrom::End(0)).unwrap(),
        expected.len() as u64
    );
    source.seek(SeekFrom::Start(middle as u64)).unwrap();
    source.seek(SeekFrom::Current(-7)).unwrap();
    let mut few = [0; 1000];
    source.read_exact(&mut few).unwrap();
    assert_eq!(few[..], expected[middle - 7..][..1000]);
    assert!(source.seek(SeekFrom::Current(-(1 << 40))).is_err());
    assert_eq!(source.into_unused().unwrap(), None);
}

#[test]
fn a_tensor_that_nobody_read_is_named() {
    let gguf = Gguf::open(&fixture()).unwrap();
    let mut source = Source::new(&gguf);
    let mut first = vec![0; usize::try_from(gguf.tensors["blk.0.attn_k.bias"].bytes).unwrap()];
    source.read_exact(&mut first).unwrap();
    assert_eq!(source.into_unused().unwrap(), Some("blk.0.attn_k.weight"));
}

#[test]
fn trouble_with_the_files_is_kept_even_where_candle_swallows_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(fixture(), &path).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(gguf.data_offset + 10))
        .unwrap();
    let mut source = Source::new(&gguf);
    let (config, _) = synthetic(Spec::SMALL, 1);
    let content = source.content(&config);
    let read = content.tensor(&mut source, "token_embd.weight", &Device::Cpu);
    assert!(read.is_err());
    assert!(matches!(source.into_unused(), Err(Error::Io { .. })));
}

#[test]
fn candle_is_told_what_was_checked() {
    let gguf = Gguf::open(&fixture()).unwrap();
    let (config, _) = synthetic(Spec::SMALL, 1);
    let content = Source::new(&gguf).content(&config);
    let count = |key: &str| match content.metadata[key] {
        Value::U32(n) => n as usize,
        _ => panic!("{key} is no count"),
    };
    assert_eq!(count("bitnet.context_length"), config.max_positions);
    assert_eq!(count("bitnet.attention.key_length"), config.head_dim);
    assert_eq!(count("general.dtype"), 0, "the rotary table is in f32");
    assert_eq!(content.tensor_infos.len(), gguf.tensors.len());
    let embedding = &content.tensor_infos["token_embd.weight"];
    assert_eq!(embedding.shape.dims(), [272, 64]);
}
