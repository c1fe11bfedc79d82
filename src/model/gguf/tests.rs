//! The reader against damaged files, and the decoders against values of other implementations.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::codes::{self, NotTernary};
use super::*;
use crate::hint::Hint as _;
use crate::model::{Error, I2sLayout, TernaryMatrix};

/// A GGUF written field by field, so that any field can be wrong.
#[derive(Clone)]
struct Builder {
    version: u32,
    keys: Vec<(String, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    n_tensors: Option<u64>,
    n_keys: Option<u64>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A value with its type number before it.
fn typed(kind: u32, value: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), value].concat()
}

impl Builder {
    /// Two float tensors of 8 values, each filling one alignment.
    fn sound() -> Self {
        Self {
            version: 3,
            keys: vec![("general.architecture".to_owned(), typed(8, &text("bitnet")))],
            tensors: vec![
                ("a".to_owned(), vec![8], 0, 0),
                ("b".to_owned(), vec![4, 2], 0, 32),
            ],
            n_tensors: None,
            n_keys: None,
            data: 64,
        }
    }

    fn key(mut self, name: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.push((name.to_owned(), typed(kind, value)));
        self
    }

    /// One tensor in `data` bytes.
    fn only(dims: &[u64], type_id: u32, data: usize) -> Self {
        Self {
            tensors: vec![("a".to_owned(), dims.to_vec(), type_id, 0)],
            data,
            ..Self::sound()
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(
            self.n_tensors
                .unwrap_or(self.tensors.len() as u64)
                .to_le_bytes(),
        );
        file.extend(self.n_keys.unwrap_or(self.keys.len() as u64).to_le_bytes());
        for (name, value) in &self.keys {
            file.extend(text(name));
            file.extend(value);
        }
        for (name, dims, kind, offset) in &self.tensors {
            file.extend(text(name));
            file.extend(u32::try_from(dims.len()).unwrap().to_le_bytes());
            for n in dims {
                file.extend(n.to_le_bytes());
            }
            file.extend(kind.to_le_bytes());
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32) + self.data, 1);
        file
    }

    fn open(&self) -> Result<Gguf, Error> {
        open(&self.bytes())
    }

    #[track_caller]
    fn check_refused(&self, words: &str) {
        check_refused(&self.bytes(), words);
    }
}

fn open(bytes: &[u8]) -> Result<Gguf, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Gguf::open(file.path())
}

#[track_caller]
fn check_refused(bytes: &[u8], words: &str) {
    let error = open(bytes).expect_err("the file is refused");
    let source = std::error::Error::source(&error).map_or(String::new(), ToString::to_string);
    assert!(
        source.contains(words),
        "`{error}: {source}` lacks `{words}`"
    );
    assert!(error.hint().is_some());
}

#[test]
fn a_sound_file_is_read() {
    for version in [2, 3] {
        let file = Builder {
            version,
            ..Builder::sound()
        };
        let gguf = file.open().unwrap();
        assert_eq!(gguf.tensors["b"].dims, [4, 2]);
        assert_eq!((gguf.alignment, gguf.tensors["b"].bytes), (32, 32));
        let mut bytes = [0; 4];
        gguf.read("b", 28, &mut bytes).unwrap();
        assert_eq!(bytes, [1; 4]);
    }
}

#[test]
fn values_of_every_type_are_kept() {
    let gguf = Builder::sound()
        .key("u8", 0, &[200])
        .key("i16", 3, &[254, 255])
        .key("f32", 6, &1.5f32.to_le_bytes())
        .key("yes", 7, &[1])
        .key(
            "list",
            9,
            &[
                &4u32.to_le_bytes()[..],
                &2u64.to_le_bytes(),
                &[7, 0, 0, 0, 8, 0, 0, 0],
            ]
            .concat(),
        )
        .key(
            "texts",
            9,
            &[
                &8u32.to_le_bytes()[..],
                &2u64.to_le_bytes(),
                &text("á"),
                &text(""),
            ]
            .concat(),
        )
        .open()
        .unwrap();
    assert_eq!(gguf.metadata["u8"].as_u64(), Some(200));
    assert_eq!(gguf.metadata["i16"], Value::I16(-2));
    assert_eq!(gguf.metadata["f32"].as_f64(), Some(1.5));
    assert_eq!(gguf.metadata["yes"].as_bool(), Some(true));
    assert_eq!(gguf.metadata["list"], Value::Array(Array::U32(vec![7, 8])));
    let texts = gguf.metadata["texts"].as_strings().unwrap();
    assert_eq!(texts.iter().collect::<Vec<_>>(), ["á", ""]);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = Builder::sound()
        .key(
            "texts",
            9,
            &[&8u32.to_le_bytes()[..], &1u64.to_le_bytes(), &text("x")].concat(),
        )
        .bytes();
    for length in 0..whole.len() {
        assert!(open(&whole[..length]).is_err(), "{length} bytes");
    }
    assert!(open(&whole).is_ok());
}

#[test]
fn other_files_and_versions_are_refused() {
    check_refused(b"PK\x03\x04 and more", "expected \"GGUF\"");
    for version in [0, 1, 4, 3 << 24] {
        Builder {
            version,
            ..Builder::sound()
        }
        .check_refused("expected 2 or 3");
    }
}

#[test]
fn huge_counts_are_refused_before_anything_is_allocated() {
    for n in [1 << 20, 1 << 62, u64::MAX] {
        Builder {
            n_tensors: Some(n),
            ..Builder::sound()
        }
        .check_refused(&format!("announces {n} tensors, expected at most 131072"));
        Builder {
            n_keys: Some(n),
            ..Builder::sound()
        }
        .check_refused(&format!("announces {n} keys, expected at most 65536"));
        for kind in [0u32, 4, 8, 12] {
            let list = [kind.to_le_bytes().as_slice(), &n.to_le_bytes()].concat();
            Builder::sound()
                .key("x", 9, &list)
                .check_refused("left for the header");
        }
        Builder::sound()
            .key("x", 8, &n.to_le_bytes())
            .check_refused("left for the header");
    }
}

#[test]
fn counts_that_are_allowed_must_still_fit_the_file() {
    Builder {
        n_tensors: Some(1 << 17),
        ..Builder::sound()
    }
    .check_refused("the list of tensors at byte 24 takes 4325376 bytes");
    Builder {
        n_keys: Some(1 << 16),
        ..Builder::sound()
    }
    .check_refused("the metadata at byte 24 takes 917504 bytes");
}

#[test]
fn a_header_longer_than_the_limit_is_refused_without_reading_it() {
    // A sparse file of 1 TiB whose one text claims all of it.
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = Builder::sound()
        .key("x", 8, &(1u64 << 39).to_le_bytes())
        .bytes();
    fs::write(file.path(), header).unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    let error = Gguf::open(file.path()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("left for the header"), "{source}");
}

#[test]
fn odd_values_are_refused() {
    Builder::sound()
        .key("x", 13, &[])
        .check_refused("value type 13");
    Builder::sound()
        .key("x", 7, &[2])
        .check_refused("truth value 2");
    let list = |kind: u32, n: u64| [kind.to_le_bytes().as_slice(), &n.to_le_bytes()].concat();
    Builder::sound()
        .key("x", 9, &list(9, 0))
        .check_refused("array of arrays");
    Builder::sound()
        .key("x", 9, &[list(7, 1), vec![3]].concat())
        .check_refused("truth value 3");
    Builder::sound()
        .key("x", 8, &[&1u64.to_le_bytes()[..], &[0xff]].concat())
        .check_refused("not UTF-8");
    Builder::sound()
        .key("", 0, &[1])
        .check_refused("name of 0 bytes");
}

#[test]
fn equal_names_are_refused() {
    Builder::sound()
        .key("general.architecture", 0, &[1])
        .check_refused("occurs twice");
    let mut file = Builder::sound();
    file.tensors[1].0 = "a".to_owned();
    file.check_refused("tensor `a` occurs twice");
    file.tensors[1].0 = "n".repeat(64);
    file.check_refused("name of 64 bytes");
}

#[test]
fn odd_dimensions_are_refused() {
    Builder::only(&[8, 0], 0, 32).check_refused("numbers above 0");
    Builder::only(&[], 0, 32).check_refused("0 dimensions");
    Builder::only(&[1, 1, 1, 1, 8], 0, 32).check_refused("5 dimensions");
    Builder::only(&[u64::MAX, 2], 0, 32).check_refused("overflow");
    Builder::only(&[1 << 62], 0, 32).check_refused("overflow");
    Builder::only(&[33], 2, 32).check_refused("multiple of 32");
}

#[test]
fn tensors_follow_each_other_inside_the_file() {
    for offset in [0, 31, 33, 64, 1 << 40, u64::MAX - 31] {
        let mut file = Builder::sound();
        file.tensors[1].3 = offset;
        assert!(file.open().is_err(), "{offset}");
    }
    let mut file = Builder::sound();
    file.tensors[0].3 = 32;
    file.check_refused("begins at data offset 32");
    Builder {
        data: 96,
        ..Builder::sound()
    }
    .check_refused("takes 32 bytes as F32 and padding to 32, the file gives it 64");
    Builder {
        data: 32,
        ..Builder::sound()
    }
    .check_refused("takes 32 bytes as F32 and padding to 32, the file gives it 0");
}

#[test]
fn the_padding_of_the_last_tensor_may_be_missing() {
    assert_eq!(
        Builder::only(&[5], 0, 20).open().unwrap().tensors["a"].bytes,
        20
    );
    assert_eq!(
        Builder::only(&[5], 0, 32).open().unwrap().tensors["a"].bytes,
        20
    );
    Builder::only(&[5], 0, 24)
        .check_refused("takes 20 bytes as F32 and padding to 32, the file gives it 24");
}

#[test]
fn the_alignment_is_a_power_of_two() {
    let with = |n: u32| Builder::sound().key("general.alignment", 4, &n.to_le_bytes());
    for n in [0, 24, 1 << 21] {
        with(n).check_refused("power of two");
    }
    Builder::sound()
        .key("general.alignment", 10, &32u64.to_le_bytes())
        .open()
        .unwrap_err();
    with(64).check_refused("takes 32 bytes as F32 and padding to 64");
    assert_eq!(with(32).open().unwrap().alignment, 32);
}

#[track_caller]
fn check_kind(dims: &[u64], type_id: u32, data: usize, expected: GgmlType) {
    let gguf = Builder::only(dims, type_id, data).open().unwrap();
    assert_eq!(gguf.tensors["a"].kind, expected);
}

// Pitfall 8.
#[test]
fn ids_that_engines_use_differently_are_told_apart_by_size() {
    check_kind(&[128, 4], 36, 160, GgmlType::I2S);
    check_kind(&[128, 4], 42, 144, GgmlType::Q2_0);
    check_kind(&[128, 4], 42, 136, GgmlType::Q2_0Wide);
    check_kind(&[128, 4], 39, 272, GgmlType::Mxfp4);
    check_kind(&[128, 4], 39, 300, GgmlType::Tl2);
    check_kind(&[128, 4], 38, 160, GgmlType::Tl1);
    check_kind(&[128, 4], 200, 160, GgmlType::Unknown(200));
    Builder::only(&[128, 1], 42, 64).check_refused("both fit its 64 bytes");
    Builder::only(&[128, 4], 42, 150).check_refused("144 or 136 bytes");
    Builder::only(&[128, 4], 36, 128).check_refused("takes 160 bytes");
}

#[test]
fn every_type_that_is_recognised_only_says_what_to_do_instead() {
    for kind in [
        GgmlType::Tl1,
        GgmlType::Tl2,
        GgmlType::Mxfp4,
        GgmlType::Nvfp4,
        GgmlType::Unknown(99),
    ] {
        assert!(
            kind.refusal().unwrap().contains("; convert the original"),
            "{kind}"
        );
    }
    assert!(GgmlType::I2S.refusal().is_none());
}

#[test]
fn the_parts_of_a_split_model_belong_together() {
    let part = |no: u16, name: &str, count: u16, total: i32| {
        let mut file = Builder::only(&[8], 0, 32)
            .key("split.no", 2, &no.to_le_bytes())
            .key("split.count", 2, &count.to_le_bytes())
            .key("split.tensors.count", 5, &total.to_le_bytes());
        name.clone_into(&mut file.tensors[0].0);
        file.bytes()
    };
    let open = |files: &[Vec<u8>]| {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..files.len())
            .map(|i| folder.path().join(i.to_string()))
            .collect();
        for (path, file) in paths.iter().zip(files) {
            fs::write(path, file).unwrap();
        }
        let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
        Gguf::open_parts(&paths)
    };
    let whole = open(&[part(1, "b", 2, 2), part(0, "a", 2, 2)]).unwrap();
    assert_eq!(whole.tensors.len(), 2);
    let mut bytes = [0; 32];
    whole.read("b", 0, &mut bytes).unwrap();
    for files in [
        vec![part(0, "a", 2, 2)],
        vec![part(0, "a", 2, 2), part(0, "b", 2, 2)],
        vec![part(0, "a", 2, 2), part(2, "b", 2, 2)],
        vec![part(0, "a", 2, 3), part(1, "b", 2, 3)],
        vec![part(0, "a", 2, 2), part(1, "a", 2, 2)],
        vec![part(0, "a", 3, 2), part(1, "b", 3, 2)],
    ] {
        assert!(open(&files).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(at in 0usize..400, with in any::<[u8; 8]>(), n in 1usize..9) {
        let list = [&8u32.to_le_bytes()[..], &2u64.to_le_bytes(), &text("x"), &text("y")].concat();
        let mut file = Builder::sound().key("texts", 9, &list).key("n", 4, &[1, 0, 0, 0]).bytes();
        let at = at % (file.len() - 8);
        file[at..at + n].copy_from_slice(&with[..n]);
        let bytes = file.len() as u64;
        if let Ok(header) = Header::read(file.as_slice(), bytes) {
            prop_assert!(header.tensors.len() <= 2);
        }
        let _ = open(&file);
    }
}

fn golden(file: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    serde_json::from_slice(&fs::read(&path).expect("the vectors are there")).unwrap()
}

fn bytes(hex: &Json) -> Vec<u8> {
    let digits = hex.as_str().expect("hex digits").as_bytes();
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    assert!(!digits.is_empty());
    digits.chunks_exact(2).map(pair).collect()
}

fn floats(hex: &Json) -> Vec<f32> {
    bytes(hex)
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect()
}

fn signs(list: &Json) -> Vec<i8> {
    let sign = |n: &Json| i8::try_from(n.as_i64().unwrap()).unwrap();
    list.as_array().unwrap().iter().map(sign).collect()
}

fn decoded(kind: GgmlType, bytes: &[u8]) -> Vec<f32> {
    let (values, size) = kind.block().unwrap();
    let n = bytes.len() / usize::try_from(size).unwrap() * usize::try_from(values).unwrap();
    let mut out = vec![f32::NAN; n];
    blocks::decode(kind, bytes, &mut out);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| (x + 0.0).to_bits()).collect()
}

#[test]
fn float_blocks_decode_to_the_values_of_the_reference() {
    let golden = golden("blocks.json");
    for (kind, name) in [
        (GgmlType::Q4_0, "Q4_0"),
        (GgmlType::Q8_0, "Q8_0"),
        (GgmlType::Q6K, "Q6_K"),
    ] {
        let vector = &golden["formats"][name];
        let found = decoded(kind, &bytes(&vector["bytes_hex"]));
        assert_eq!(
            bits(&found),
            bits(&floats(&vector["dequant_f32_hex"])),
            "{name}"
        );
    }
    let vector = &self::golden("gguf.json")["q4_k"];
    let found = decoded(GgmlType::Q4K, &bytes(&vector["bytes_hex"]));
    assert_eq!(bits(&found), bits(&floats(&vector["dequant_f32_hex"])));
}

#[test]
fn plain_floats_are_taken_as_they_are() {
    let mut out = [0.0; 2];
    blocks::decode(GgmlType::F16, &[0, 0x3c, 0, 0xc0], &mut out);
    assert_eq!(out.as_slice(), [1.0, -2.0].as_slice());
    blocks::decode(GgmlType::BF16, &[0x80, 0x3f, 0, 0xc0], &mut out);
    assert_eq!(out.as_slice(), [1.0, -2.0].as_slice());
    blocks::decode(GgmlType::F32, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], &mut out);
    assert_eq!(out.as_slice(), [1.0, -2.0].as_slice());
}

fn vocabulary(pre: &str) -> Gguf {
    let file = format!("tests/fixtures/gguf/vocabulary-{pre}.gguf");
    Gguf::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Ids of every text against those of llama.cpp, and the texts back from them.
#[track_caller]
fn check_tokens(pre: &str) {
    let golden = golden("tokens.json");
    let found = text::tokenizer(&vocabulary(pre)).unwrap().unwrap();
    let texts = golden["texts"].as_array().unwrap();
    assert!(texts.len() >= 10);
    for (text, wanted) in texts.iter().zip(golden[pre].as_array().unwrap()) {
        let text = text.as_str().unwrap();
        let ids = found.tokenizer.encode(text, true).unwrap();
        assert_eq!(serde_json::json!(ids), *wanted, "{text:?}");
        if !text.contains("<|") {
            assert_eq!(found.tokenizer.decode(&ids).unwrap(), text);
        }
    }
}

// Pitfall 10: digits in threes and whole tokens before merges, or neither.
#[test]
fn texts_become_the_ids_that_llama_cpp_gives_them() {
    check_tokens("llama-bpe");
    check_tokens("qwen2");
}

/// A tokenizer built from metadata, written as `tokenizer.json`, gives the same metadata.
#[track_caller]
fn check_vocabulary(pre: &str) {
    let gguf = vocabulary(pre);
    let json = text::tokenizer(&gguf).unwrap().unwrap().tokenizer.to_json();
    let n = gguf.metadata["tokenizer.ggml.tokens"].as_strings().unwrap();
    let keys = super::keys_of(json.unwrap().as_bytes(), n.len()).unwrap();
    assert_eq!(keys.len(), 5);
    for (key, value) in keys {
        assert_eq!(Some(&value), gguf.metadata.get(&key), "{key}");
    }
}

#[test]
fn a_vocabulary_becomes_a_file_and_the_file_the_vocabulary() {
    check_vocabulary("llama-bpe");
    check_vocabulary("qwen2");
}

// Pitfall 10.
#[test]
fn a_vocabulary_without_a_known_rule_is_refused() {
    let mut gguf = vocabulary("llama-bpe");
    let refuse = |gguf: &Gguf, words: &str| {
        let Err(error) = text::tokenizer(gguf) else {
            panic!("accepted, expected `{words}`");
        };
        assert!(error.to_string().contains(words), "{error}");
    };
    let pre = "tokenizer.ggml.pre".to_owned();
    gguf.metadata
        .insert(pre.clone(), Value::String("gpt-2".to_owned()));
    refuse(&gguf, "pre-tokenizer `gpt-2` without a tokenizer.json");
    gguf.metadata.remove(&pre);
    refuse(&gguf, "a vocabulary without `tokenizer.ggml.pre`");
    let spm = Value::String("llama".to_owned());
    gguf.metadata.insert("tokenizer.ggml.model".to_owned(), spm);
    refuse(&gguf, "tokenizer `llama` without a tokenizer.json");
}

// Pitfall 10: the published 2B-4T file has no `pre`, but only one vocabulary of its shape exists.
#[test]
fn the_llama_3_vocabulary_needs_no_stated_rule() {
    let mut gguf = vocabulary("llama-bpe");
    gguf.metadata.remove("tokenizer.ggml.pre");
    gguf.metadata.remove("tokenizer.ggml.token_type");
    let key = "tokenizer.ggml.tokens";
    let mut tokens = gguf.metadata[key].as_strings().unwrap().clone();
    for id in tokens.len()..128_256 {
        match id {
            128_000 => tokens.push("<|begin_of_text|>"),
            _ => tokens.push(&format!("unused {id}")),
        }
    }
    gguf.metadata
        .insert(key.to_owned(), Value::Array(Array::Strings(tokens)));
    let found = text::tokenizer(&gguf).unwrap().unwrap();
    assert!(found.warnings[0].contains("llama-bpe by its vocabulary"));
    let found = found.tokenizer.encode("1234", true).unwrap();
    let stated = text::tokenizer(&vocabulary("llama-bpe")).unwrap().unwrap();
    assert_eq!(found, stated.tokenizer.encode("1234", true).unwrap());
}

// Pitfall 11.
#[test]
fn the_placeholder_of_converters_is_no_template() {
    let mut gguf = vocabulary("llama-bpe");
    assert_eq!(text::template(&gguf).unwrap(), None);
    let key = "tokenizer.chat_template".to_owned();
    gguf.metadata
        .insert(key, Value::String("{{ bos_token }}".to_owned()));
    assert_eq!(
        text::template(&gguf).unwrap().as_deref(),
        Some("{{ bos_token }}")
    );
}

/// Signs and magnitude of ternary bytes.
fn ternary(kind: GgmlType, layout: I2sLayout, bytes: &[u8]) -> Result<(Vec<i8>, f32), NotTernary> {
    let found = codes::extract(kind, layout, bytes)?;
    let code = |byte: &u8| [0, 2, 4, 6].map(|shift| (byte >> shift & 3).cast_signed() - 1);
    Ok((found.bytes.iter().flat_map(code).collect(), found.scale))
}

#[test]
fn ternary_blocks_become_the_codes_they_were_made_from() {
    let golden = golden("blocks.json");
    let wanted = signs(&golden["ternary_512"]);
    let layout = I2sLayout::Blocks128;
    for (kind, name) in [
        (GgmlType::TQ1_0, "TQ1_0"),
        (GgmlType::TQ2_0, "TQ2_0"),
        (GgmlType::I2S, "I2_S"),
    ] {
        let bytes = bytes(&golden["formats"][name]["bytes_hex"]);
        let (found, scale) = ternary(kind, layout, &bytes).unwrap();
        assert_eq!(found, wanted, "{name}");
        assert!((scale / 0.0371 - 1.0).abs() < 5e-4, "{name}: {scale}");
        if kind != GgmlType::I2S {
            let values: Vec<f32> = wanted.iter().map(|t| f32::from(*t) * scale).collect();
            assert_eq!(bits(&decoded(kind, &bytes)), bits(&values), "{name}");
        }
    }
}

#[test]
fn blocks_of_zeros_may_have_any_scale() {
    let golden = golden("gguf.json");
    let wanted = signs(&golden["ternary"]);
    assert!(wanted[256..512].iter().all(|t| *t == 0));
    for (kind, name) in [
        (GgmlType::TQ1_0, "tq1_0"),
        (GgmlType::TQ2_0, "tq2_0"),
        (GgmlType::Q4_0, "q4_0"),
    ] {
        let (found, scale) = ternary(kind, I2sLayout::Blocks128, &bytes(&golden[name])).unwrap();
        assert_eq!(found, wanted, "{name}");
        assert_eq!(scale.to_bits(), 0.5f32.to_bits(), "{name}");
    }
}

/// A 4-bit block with this scale and nibbles that repeat.
fn q4_0(d: f32, nibbles: [u8; 2]) -> Vec<u8> {
    let mut block = half::f16::from_f32(d).to_le_bytes().to_vec();
    block.resize(18, nibbles[0] | nibbles[1] << 4);
    block
}

#[track_caller]
fn check_four_bits(blocks: &[Vec<u8>], expected: Result<([i8; 2], f32), NotTernary>) {
    let found = ternary(GgmlType::Q4_0, I2sLayout::Blocks128, &blocks.concat());
    let found = found.map(|(signs, scale)| ([signs[0], signs[16]], scale));
    assert_eq!(found, expected);
}

#[test]
fn four_bit_blocks_are_ternary_when_they_hold_one_magnitude() {
    check_four_bits(&[q4_0(2.0, [7, 9])], Ok(([-1, 1], 2.0)));
    check_four_bits(&[q4_0(-2.0, [7, 9])], Ok(([1, -1], 2.0)));
    check_four_bits(
        &[q4_0(2.0, [7, 9]), q4_0(-1.0, [10, 6])],
        Ok(([-1, 1], 2.0)),
    );
    check_four_bits(&[q4_0(0.5, [0, 8]), q4_0(0.5, [15, 0])], Ok(([-1, 0], 4.0)));
    check_four_bits(&[q4_0(9.0, [8, 8]), q4_0(0.0, [3, 4])], Ok(([0, 0], 0.0)));
    check_four_bits(
        &[q4_0(1.0, [7, 9]), q4_0(1.0, [7, 10])],
        Err(NotTernary::Values {
            block: 1,
            value: 2.0,
        }),
    );
    check_four_bits(
        &[q4_0(1.0, [7, 9]), q4_0(2.0, [7, 9])],
        Err(NotTernary::Scales {
            block: 1,
            first: 1.0,
            other: 2.0,
        }),
    );
}

#[test]
fn scales_that_are_no_numbers_are_refused() {
    let mut block = [0u8; 66];
    block[64..].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let found = ternary(GgmlType::TQ2_0, I2sLayout::Blocks128, &block);
    assert!(matches!(found, Err(NotTernary::Scale(x)) if x.is_nan()));
    let found = ternary(
        GgmlType::Q4_0,
        I2sLayout::Blocks128,
        &q4_0(f32::INFINITY, [7, 9]),
    );
    assert_eq!(found.unwrap_err(), NotTernary::Scale(f32::INFINITY));
}

#[test]
fn both_block_forms_of_q2_0_are_read_and_its_value_2_is_refused() {
    let block = |codes: usize, byte: u8| {
        let mut block = half::f16::from_f32(0.25).to_le_bytes().to_vec();
        block.resize(2 + codes, byte);
        block
    };
    for (kind, n) in [(GgmlType::Q2_0, 16), (GgmlType::Q2_0Wide, 32)] {
        let bytes = block(n, 0b10_01_00_10);
        let (found, scale) = ternary(kind, I2sLayout::Blocks128, &bytes).unwrap();
        assert_eq!(
            (&found[..4], found.len(), scale.to_bits()),
            (&[1, -1, 0, 1][..], 4 * n, 0.25f32.to_bits())
        );
        assert_eq!(decoded(kind, &bytes)[..4], [0.25, -0.25, 0.0, 0.25]);
        let found = ternary(kind, I2sLayout::Blocks128, &block(n, 0b11));
        assert_eq!(
            found.unwrap_err(),
            NotTernary::Values {
                block: 0,
                value: 0.5
            }
        );
    }
}

#[test]
fn rows_of_odd_width_are_padded_and_heads_regain_their_order() {
    let joined = vec![0b10_01_00_10u8, 0b00_10].into();
    assert_eq!(
        *codes::padded_rows(joined, [2, 3]),
        [0b01_00_10, 0b00_10_10]
    );
    // Two heads of width 4: file rows 0 1 2 3 are rows 0 2 1 3 of the original.
    let original = codes::unpermuted(&[0u8, 2, 1, 3, 4, 6, 5, 7], 8, 4);
    assert_eq!(*original, [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// Codes of the signs in a file of vectors.
fn unsigned(list: &Json) -> Vec<u8> {
    signs(list)
        .iter()
        .map(|t| (t + 1).cast_unsigned())
        .collect()
}

#[track_caller]
fn check_encoded(kind: GgmlType, codes: &[u8], scale: f32, expected: &[u8]) {
    let mut found = vec![7];
    super::encode(kind, codes, scale, &mut found);
    assert_eq!(&found[1..], expected, "{kind}");
    assert_eq!(super::encoded_len(kind, codes.len()), expected.len());
}

#[test]
fn codes_become_the_bytes_of_the_reference() {
    let golden = golden("encoded.json");
    let codes = unsigned(&golden["ternary"]);
    for (kind, name) in [
        (GgmlType::TQ1_0, "tq1_0"),
        (GgmlType::TQ2_0, "tq2_0"),
        (GgmlType::Q4_0, "q4_0"),
        (GgmlType::I2S, "i2_s"),
    ] {
        check_encoded(kind, &codes, 0.3, &bytes(&golden[name]));
    }
}

#[test]
fn packed_codes_are_those_of_the_reference() {
    let golden = golden("encoded.json");
    let (packed, shape) = (bytes(&golden["packed"]), [6, 512]);
    let matrix = TernaryMatrix::from_packed("w", shape, &packed, 0.3).unwrap();
    let read = |row| (0..512).map(move |column| (row, column));
    let found: Vec<i8> = (0..6)
        .flat_map(read)
        .map(|(row, column)| matrix.sign(row, column))
        .collect();
    assert_eq!(found, signs(&golden["ternary"]));
    assert_eq!(matrix.packed(), packed);
}

// Pitfall 6: rows a quarter of the matrix apart in one byte; made by transformers' own layout.
#[test]
fn published_packed_bytes_are_the_codes_they_were_made_from() {
    let golden = golden("blocks.json");
    let (packed, shape) = (bytes(&golden["formats"]["HF_PACK"]["bytes_hex"]), [8, 64]);
    let matrix = TernaryMatrix::from_packed("w", shape, &packed, 0.0371).unwrap();
    let places = (0..8).flat_map(|row| (0..64).map(move |column| (row, column)));
    let found: Vec<i8> = places
        .map(|(row, column)| matrix.sign(row, column))
        .collect();
    assert_eq!(found, signs(&golden["ternary_512"]));
    assert_eq!(matrix.packed(), packed);
}

// Other engines made these bytes; their scale is the block's own.
#[test]
fn published_blocks_are_written_again_but_for_their_scale() {
    let golden = golden("blocks.json");
    let codes = unsigned(&golden["ternary_512"]);
    for (kind, name, at, size) in [
        (GgmlType::TQ1_0, "TQ1_0", 52, 54),
        (GgmlType::TQ2_0, "TQ2_0", 64, 66),
    ] {
        let mut expected = bytes(&golden["formats"][name]["bytes_hex"]);
        for block in expected.chunks_exact_mut(size) {
            block[at..at + 2].copy_from_slice(&half::f16::ONE.to_le_bytes());
        }
        check_encoded(kind, &codes, 1.0, &expected);
    }
    let i2_s = bytes(&golden["formats"]["I2_S"]["bytes_hex"]);
    let scale = f32::from_le_bytes(i2_s[128..132].try_into().unwrap());
    check_encoded(GgmlType::I2S, &codes, scale, &i2_s);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(draws in proptest::collection::vec(0u8..3, 512), scale in 1e-3f32..3.0) {
        for kind in [GgmlType::TQ1_0, GgmlType::TQ2_0, GgmlType::Q4_0, GgmlType::I2S] {
            let mut bytes = Vec::new();
            super::encode(kind, &draws, scale, &mut bytes);
            let (found, read) = ternary(kind, I2sLayout::Blocks128, &bytes).unwrap();
            let wanted: Vec<i8> = draws.iter().map(|code| code.cast_signed() - 1).collect();
            prop_assert_eq!(&found, &wanted);
            let held = if kind == GgmlType::I2S { scale } else { 1.0 };
            prop_assert_eq!(read.to_bits(), held.to_bits());
        }
    }

    #[test]
    fn what_is_written_is_read(text in ".{0,20}", n in any::<u64>(), x in any::<i8>(), tokens in proptest::collection::vec(".{0,5}", 0..4)) {
        let list: Strings = tokens.iter().map(String::as_str).collect();
        let values = [
            Value::U8(n.to_le_bytes()[0]),
            Value::I8(x),
            Value::U16(n.to_le_bytes()[0].into()),
            Value::I16(x.into()),
            Value::U32(7),
            Value::I32(x.into()),
            Value::F32(0.5),
            Value::Bool(x > 0),
            Value::String(text),
            Value::Array(Array::Strings(list)),
            Value::U64(n),
            Value::I64(x.into()),
            Value::F64(0.25),
            Value::Array(Array::I32(vec![1, x.into()])),
            Value::Array(Array::F32(vec![0.5])),
            Value::Array(Array::Bool(vec![true, x > 0])),
            Value::Array(Array::U8(vec![1, 2])),
            Value::Array(Array::F64(Vec::new())),
        ];
        let metadata: Vec<(String, Value)> = values
            .into_iter()
            .enumerate()
            .map(|(i, value)| (format!("key.{i:02}"), value))
            .collect();
        let tensors = [
            super::write::Listed { name: "a".to_owned(), dims: vec![3], kind: GgmlType::F32, bytes: 12 },
            super::write::Listed { name: "b".to_owned(), dims: vec![32, 2], kind: GgmlType::Q4_0, bytes: 36 },
        ];
        let mut file = Vec::new();
        super::write::header(&mut file, &metadata, &tensors).unwrap();
        prop_assert_eq!(file.len() % 32, 0);
        let header = Header::read(file.as_slice(), file.len() as u64 + 96).unwrap();
        prop_assert_eq!(header.metadata.into_iter().collect::<Vec<_>>(), metadata);
        prop_assert_eq!(header.data_offset, file.len() as u64);
        let offsets: Vec<u64> = header.tensors.iter().map(|tensor| tensor.offset).collect();
        prop_assert_eq!(offsets, [0, 32]);
        prop_assert_eq!(&header.tensors[1].dims, &[32, 2]);
        prop_assert_eq!(header.tensors[1].type_id, GgmlType::Q4_0.id());
    }
}
