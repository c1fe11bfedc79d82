//! What fuzzing found stays fixed, and the seeds it starts from are what they claim to be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vv_eval::artifact::ModelFiles;
use vv_eval::artifact::digest::digest_file;
use vv_eval::model::safetensors::SafeTensors;
use vv_eval::model::{Error, LoadOptions, ModelBundle, ModelConfig, Tokenizer};
use vv_eval::units::Sha256;

fn found(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/fuzz")
        .join(name)
}

fn seed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name)
}

fn load(path: &Path) -> Result<ModelBundle, Error> {
    let artifact = digest_file(path).expect("a readable file");
    let files = ModelFiles {
        release_digest: Sha256::of(b""),
        files: BTreeMap::from([("model.gguf".to_owned(), artifact)]),
        is_pinned: false,
        origin: path.to_owned(),
    };
    ModelBundle::load(&files, &LoadOptions::default())
}

fn tokenizer(path: &Path) -> Result<Tokenizer, Error> {
    Tokenizer::parse(path, &fs::read(path).expect("a readable file"))
}

#[track_caller]
fn check_refused<T>(result: Result<T, Error>, words: &str) {
    let text = result.err().expect("the file is refused").to_string();
    assert!(text.contains(words), "`{text}` lacks `{words}`");
}

#[test]
fn a_tokenizer_broken_inside_its_decoder_is_refused() {
    let path = found("tokenizer/json-broken-in-decoder");
    check_refused(tokenizer(&path), "expected `,` or `}`");
}

#[test]
fn the_same_inside_a_gguf_is_refused() {
    let path = found("gguf/json-broken-in-decoder");
    check_refused(load(&path), "expected value");
}

/// A seed that is refused early would leave most of the code out of reach.
#[track_caller]
fn check_model(name: &str, has_tokenizer: bool) {
    let bundle = load(&seed(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(bundle.tokenizer().is_some(), has_tokenizer, "{name}");
}

#[test]
fn seeds_of_the_gguf_target_are_whole_models() {
    check_model("gguf/i2s", true);
    check_model("gguf/i2s-llama", true);
    check_model("gguf/template", true);
    check_model("gguf/tokenizer-json", true);
    check_model("gguf/q4_0-llama", false);
    check_model("gguf/q8_0-embedding", false);
}

#[test]
fn seeds_of_the_tokenizer_target_encode_text() {
    for name in ["bpe", "bpe-old-merges", "unigram", "wordlevel", "wordpiece"] {
        let tokenizer = tokenizer(&seed("tokenizer").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let ids = tokenizer.encode("ab", false).expect("ids");
        assert!(!ids.is_empty(), "{name}");
    }
}

#[test]
fn seeds_of_the_other_targets_are_read() {
    for name in ["direct", "inverse", "llama", "online"] {
        let path = seed("config").join(name);
        let bytes = fs::read(&path).expect("a readable file");
        ModelConfig::parse(&path, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["two", "every-dtype", "empty"] {
        let file = fs::File::open(seed("safetensors").join(name)).expect("a readable file");
        SafeTensors::open(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn seeds_of_manifests_and_archives_are_good_ones() {
    use vv_eval::artifact::archive::{Destination, Limits, unpack};
    use vv_eval::artifact::{Blob, Promise};
    use vv_eval::manifest::{self, Artifact, Format, Url};

    for name in ["flat", "list"] {
        let path = seed("manifest").join(name);
        let bytes = fs::read(&path).expect("a readable file");
        manifest::parse(&bytes, &path).expect("a manifest");
    }
    for (name, format) in [
        ("gnu", Format::Tar),
        ("pax.gz", Format::TarGz),
        ("ustar.gz", Format::TarGz),
    ] {
        let path = seed("archive").join(name);
        let sha256 = Sha256::of(&fs::read(&path).expect("a readable file"));
        let artifact = Artifact {
            filename: name.to_owned(),
            urls: vec![Url::Repo(name.into())],
            sha256,
            size: None,
            unpacked: None,
            target: "bitnet".to_owned(),
            strip_components: 0,
            format,
        };
        let blob = Blob::open(&path, Promise { sha256, size: None }).expect("as promised");
        let room = tempfile::tempdir().expect("a temporary directory");
        let mut destination = Destination::open(room.path()).expect("empty");
        unpack(&blob, &artifact, &Limits::default(), &mut destination).expect(name);
        assert_eq!(destination.files().len(), 2, "{name}");
    }
}
