//! What fuzzing found stays fixed, the seeds it starts from are what they claim to be, and no
//! bytes put over a sound file make anything panic.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use vv_eval::artifact::ModelFiles;
use vv_eval::artifact::digest::digest_file;
use vv_eval::hint::Hint as _;
use vv_eval::model::safetensors::SafeTensors;
use vv_eval::model::{Error, I2sLayout, LoadOptions, ModelBundle, ModelConfig, Tokenizer};
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
    load_files(&[("model.gguf", path)], &LoadOptions::default())
}

/// Loads files under these names.
fn load_files(files: &[(&str, &Path)], options: &LoadOptions) -> Result<ModelBundle, Error> {
    let digested = files.iter().map(|(name, path)| {
        let artifact = digest_file(path).expect("a readable file");
        ((*name).to_owned(), artifact)
    });
    let files = ModelFiles {
        release_digest: Sha256::of(b""),
        files: digested.collect(),
        is_pinned: false,
        origin: files[0].1.to_owned(),
    };
    ModelBundle::load(&files, options)
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
    check_model("gguf/plain-llama", false);
    check_model("gguf/plain-qwen3", false);
    check_model("gguf/tq1_0", false);
    check_model("gguf/tq2_0", false);
    let online = LoadOptions {
        is_online: Some(true),
        ..LoadOptions::default()
    };
    let masters = load_files(&[("model.gguf", &seed("gguf/masters"))], &online);
    let card = masters.unwrap_or_else(|error| panic!("{error}")).card;
    assert_eq!(card.container, "gguf-masters");
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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Every file of a folder that holds some.
fn all_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "md"));
    paths.sort();
    assert!(!paths.is_empty(), "{}", folder.display());
    paths
}

/// Bytes put over a file, and where it ends then.
#[derive(Debug, Clone)]
struct Damage {
    at: Index,
    /// Only in the first bytes, where headers are.
    first: usize,
    with: Vec<u8>,
    cut: Option<Index>,
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let first = prop_oneof![Just(16usize), Just(1500), Just(8000), Just(usize::MAX)];
        let with = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..=8),
            // Sizes and counts at their limits, and what means something in JSON.
            Just(vec![0xff; 8]),
            Just(vec![0; 8]),
            Just(b"99999999".to_vec()),
            Just(b"null".to_vec()),
            Just(b"\"\\[]{}".to_vec()),
        ];
        let cut = proptest::option::weighted(0.2, any::<Index>());
        (any::<Index>(), first, with, cut).prop_map(|(at, first, with, cut)| Self {
            at,
            first,
            with,
            cut,
        })
    }

    fn done_to(&self, path: &Path) -> Vec<u8> {
        let mut bytes = fs::read(path).expect("a readable file");
        let at = self.at.index(bytes.len().min(self.first));
        let n = self.with.len().min(bytes.len() - at);
        bytes[at..at + n].copy_from_slice(&self.with[..n]);
        if let Some(cut) = self.cut {
            bytes.truncate(cut.index(bytes.len().min(self.first)));
        }
        bytes
    }
}

/// Words for whatever was refused; a model that was loaded takes a prompt.
fn answered(result: Result<ModelBundle, Error>) {
    match result {
        Ok(bundle) => {
            if let Ok(ids) = bundle.encode_prompt("Às 12h30, uma pessoa entrou. 👋") {
                let _ = bundle.codec.decode(&ids);
            }
        }
        Err(error) => assert!(!(error.to_string(), error.hint()).0.is_empty()),
    }
}

fn options(which: usize) -> LoadOptions {
    LoadOptions {
        i2s_layout: [I2sLayout::Blocks128, I2sLayout::Blocks64][which % 2],
        is_online: [None, Some(true), Some(false)][which % 3],
        ..LoadOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_a_gguf_panic(damage in Damage::any(), which in any::<Index>(), option in 0usize..6) {
        let folders = [fixture("gguf"), fixture("plain")];
        let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| all_of(folder)).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, damage.done_to(&files[which.index(files.len())])).unwrap();
        answered(load_files(&[("model.gguf", &path)], &options(option)));
    }

    #[test]
    fn no_bytes_make_a_checkpoint_panic(damage in Damage::any(), which in 0usize..4, option in 0usize..3, is_config: bool) {
        let original = fixture(["bitnet-tiny-direct", "bitnet-tiny-inverse", "bitnet-tiny-llama", "bitnet-tiny-online"][which]);
        let folder = tempfile::tempdir().unwrap();
        let [config, weights] = ["config.json", "model.safetensors"].map(|name| {
            let (from, to) = (original.join(name), folder.path().join(name));
            let bytes = if is_config == (name == "config.json") {
                damage.done_to(&from)
            } else {
                fs::read(from).unwrap()
            };
            fs::write(&to, bytes).unwrap();
            to
        });
        let files = [("config.json", config.as_path()), ("model.safetensors", weights.as_path())];
        answered(load_files(&files, &options(option)));
    }

    #[test]
    fn no_bytes_make_a_safetensors_header_panic(damage in Damage::any(), which in any::<Index>()) {
        let mut files = all_of(&seed("safetensors"));
        files.push(fixture("bitnet-tiny-direct/model.safetensors"));
        let bytes = damage.done_to(&files[which.index(files.len())]);
        match SafeTensors::open(Cursor::new(bytes.as_slice())) {
            Ok(container) => {
                let ends = container.tensors().values().map(|info| info.data_offsets[1]);
                prop_assert!(ends.max().unwrap_or(0) + 8 <= bytes.len() as u64);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_bytes_make_a_configuration_panic(damage in Damage::any(), which in any::<Index>(), option in 0usize..3) {
        let files = all_of(&seed("config"));
        let bytes = damage.done_to(&files[which.index(files.len())]);
        let is_online = options(option).is_online;
        match ModelConfig::parse_as(Path::new("config.json"), &bytes, is_online) {
            Ok(config) => {
                prop_assert!(config.n_heads.is_multiple_of(config.n_kv_heads));
                prop_assert!(config.head_dim.is_multiple_of(2));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_bytes_make_a_tokenizer_panic(damage in Damage::any(), which in any::<Index>(), text in ".{0,20}") {
        let files = all_of(&seed("tokenizer"));
        let bytes = damage.done_to(&files[which.index(files.len())]);
        if let Ok(tokenizer) = Tokenizer::parse(Path::new("tokenizer.json"), &bytes) {
            for text in ["Às 12h30 <|eot_id|>\r\n don't", text.as_str()] {
                if let Ok(ids) = tokenizer.encode(text, true) {
                    let _ = tokenizer.decode(&ids);
                }
            }
            let _ = tokenizer.decode(&[0, 1, 250, u32::MAX]);
        }
    }
}
