//! Damaged, contradictory and unusual GGUF models: each is refused with a sentence that names the
//! trouble, or read with a note of what was assumed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vv_eval::artifact::digest_directory;
use vv_eval::engine::texts::{self, Limits, Reading, Text};
use vv_eval::engine::{self, BitNet, Engine as _};
use vv_eval::hint::Hint as _;
use vv_eval::model::gguf::{Array, GgmlType, Gguf, Strings, Value, blocks};
use vv_eval::model::safetensors::SafeTensors;
use vv_eval::model::{
    Activation, Error, HeadStorage, I2sLayout, LayerWeights, LoadOptions, ModelBundle, Rows, Table,
    TernaryMatrix,
};

use super::common::{Lab, root};

const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const BF16: u32 = 30;
const I2S: u32 = 36;

fn fixture(path: &str) -> PathBuf {
    root().join("tests/fixtures").join(path)
}

/// A fixture, parsed, to be changed and loaded.
#[derive(Clone)]
struct File {
    keys: BTreeMap<String, Value>,
    tensors: Vec<(String, Tensor)>,
    /// Files beside it.
    others: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Clone)]
struct Tensor {
    /// Outermost first, as in other formats.
    shape: Vec<usize>,
    type_id: u32,
    bytes: Vec<u8>,
}

impl Tensor {
    fn floats(shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        Self {
            shape: shape.to_vec(),
            type_id: F32,
            bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    fn ones(width: usize) -> Self {
        Self::floats(&[width], &vec![1.0; width])
    }

    /// Weights -1, 0 and 1 as floats.
    fn ternary(shape: [usize; 2]) -> Self {
        let n = shape[0] * shape[1];
        let values: Vec<f32> = (0..n).map(|i| (i * i / 3 % 3) as f32 - 1.0).collect();
        Self::floats(&shape, &values)
    }
}

impl File {
    fn of(name: &str) -> Self {
        let gguf = Gguf::open(&fixture("gguf").join(name)).expect("a fixture");
        let mut infos: Vec<_> = gguf.tensors.iter().collect();
        infos.sort_by_key(|(_, info)| info.offset);
        let tensors = infos.into_iter().map(|(name, info)| {
            let mut bytes = vec![0; usize::try_from(info.bytes).unwrap()];
            gguf.read(name, 0, &mut bytes).expect("its bytes");
            let dims = info.dims.iter().rev();
            let tensor = Tensor {
                shape: dims.map(|n| usize::try_from(*n).unwrap()).collect(),
                type_id: info.kind.id(),
                bytes,
            };
            (name.clone(), tensor)
        });
        Self {
            tensors: tensors.collect(),
            keys: gguf.metadata.clone(),
            others: Vec::new(),
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        self.keys.insert(key.to_owned(), value);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.set(key, Value::String(text.to_owned()));
    }

    fn tensor(&mut self, name: &str) -> &mut Tensor {
        let found = self.tensors.iter_mut().find(|(n, _)| n == name);
        &mut found.unwrap_or_else(|| panic!("no {name}")).1
    }

    fn add(&mut self, name: &str, tensor: Tensor) {
        self.tensors.push((name.to_owned(), tensor));
    }

    fn remove(&mut self, name: &str) {
        let n = self.tensors.len();
        self.tensors.retain(|(other, _)| other != name);
        assert_eq!(self.tensors.len(), n - 1, "no {name}");
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = b"GGUF".to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            head.extend(text(key));
            head.extend(typed(value));
        }
        let mut data = Vec::new();
        for (name, tensor) in &self.tensors {
            head.extend(text(name));
            head.extend(u32::try_from(tensor.shape.len()).unwrap().to_le_bytes());
            for n in tensor.shape.iter().rev() {
                head.extend((*n as u64).to_le_bytes());
            }
            head.extend(tensor.type_id.to_le_bytes());
            head.extend((data.len() as u64).to_le_bytes());
            data.extend_from_slice(&tensor.bytes);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        head.resize(head.len().next_multiple_of(32), 0);
        head.extend(data);
        head
    }

    /// A directory with the file and what stands beside it.
    fn folder(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("model.gguf"), self.bytes()).unwrap();
        for (name, bytes) in &self.others {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn load_as(&self, options: &LoadOptions) -> Result<ModelBundle, Error> {
        let folder = self.folder();
        ModelBundle::load(&digest_directory(folder.path()).unwrap(), options)
    }

    fn load(&self) -> Result<ModelBundle, Error> {
        self.load_as(&LoadOptions::default())
    }

    #[track_caller]
    fn check_refused(&self, words: &str) -> Error {
        self.check_refused_as(&LoadOptions::default(), words)
    }

    #[track_caller]
    fn check_refused_as(&self, options: &LoadOptions, words: &str) -> Error {
        let Err(error) = self.load_as(options) else {
            panic!("accepted, expected `{words}`");
        };
        let text = error.to_string();
        assert!(text.contains(words), "`{text}` lacks `{words}`");
        error
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A value with its type number before it.
fn typed(value: &Value) -> Vec<u8> {
    let list = |kind: u32, n: usize| {
        let head = [9u32.to_le_bytes(), kind.to_le_bytes()].concat();
        [head, (n as u64).to_le_bytes().to_vec()].concat()
    };
    let with = |kind: u32, bytes: &[u8]| [&kind.to_le_bytes(), bytes].concat();
    match value {
        Value::U32(n) => with(4, &n.to_le_bytes()),
        Value::F32(x) => with(6, &x.to_le_bytes()),
        Value::Bool(is_so) => with(7, &[u8::from(*is_so)]),
        Value::String(string) => with(8, &text(string)),
        Value::Array(Array::Strings(strings)) => {
            let all = strings.iter().flat_map(text);
            list(8, strings.len()).into_iter().chain(all).collect()
        }
        Value::Array(Array::I32(numbers)) => {
            let all = numbers.iter().flat_map(|n| n.to_le_bytes());
            list(5, numbers.len()).into_iter().chain(all).collect()
        }
        other => panic!("no fixture holds {other:?}"),
    }
}

fn direct() -> File {
    File::of("direct-i2_s.gguf")
}

#[test]
fn a_rewritten_file_still_loads() {
    for name in [
        "direct-i2_s",
        "direct-q4_0",
        "llama-i2_s",
        "wide-tq1_0",
        "wide-q2_0-128",
    ] {
        let file = File::of(&format!("{name}.gguf"));
        let found = file
            .load()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            found.card.warnings.iter().all(|w| !w.contains("scale")),
            "{name}"
        );
    }
}

#[test]
fn variants_that_compute_differently_are_refused() {
    let mut file = direct();
    file.add("rope_freqs.weight", Tensor::ones(8));
    file.check_refused("tensor `rope_freqs.weight`");

    let mut file = direct();
    let key = "bitnet-b1.58.rope.scaling.type";
    file.text(key, "yarn");
    file.check_refused("rotary scaling `yarn` is not supported");
    file.text(key, "none");
    assert!(file.load().is_ok());
    file.set("bitnet-b1.58.rope.scaling.factor", Value::F32(1.0));
    assert!(file.load().is_ok());
    file.set("bitnet-b1.58.rope.scaling.factor", Value::F32(4.0));
    file.check_refused("rotary scaling by 4 is not supported");

    let mut file = direct();
    file.set("bitnet-b1.58.rope.scale_linear", Value::F32(2.0));
    file.check_refused("rotary scaling by 2 is not supported");

    let mut file = direct();
    file.set("bitnet-b1.58.expert_count", Value::U32(8));
    file.check_refused("a mixture of 8 experts is not supported");
}

#[test]
fn missing_tensors_are_named() {
    for name in [
        "token_embd.weight",
        "output_norm.weight",
        "blk.0.attn_norm.weight",
        "blk.1.attn_sub_norm.weight",
        "blk.0.ffn_sub_norm.weight",
        "blk.1.ffn_norm.weight",
        "blk.1.attn_q.weight",
        "blk.0.ffn_down.weight",
    ] {
        let mut file = direct();
        file.remove(name);
        file.check_refused(&format!("tensor `{name}` is missing"));
    }
}

#[test]
fn unknown_tensors_are_named() {
    for (name, fixture, family) in [
        ("blk.0.attn_q.bias", "direct-i2_s.gguf", "bitnet"),
        ("blk.2.attn_norm.weight", "direct-i2_s.gguf", "bitnet"),
        ("blk.0.attn_q_norm.weight", "direct-i2_s.gguf", "bitnet"),
        ("blk.0.ffn_up.weight_scale", "direct-i2_s.gguf", "bitnet"),
        (
            "blk.0.attn_sub_norm.weight",
            "llama-i2_s.gguf",
            "llama-bitnet",
        ),
    ] {
        let mut file = File::of(fixture);
        file.add(name, Tensor::ones(64));
        file.check_refused(&format!("tensor `{name}` fits nothing in a {family} model"));
    }
}

// Pitfall 9: the fastest dimension comes first.
#[test]
fn shapes_are_named_as_in_other_formats() {
    let mut file = direct();
    file.tensor("blk.1.ffn_gate.weight").shape.reverse();
    file.check_refused(
        "tensor `blk.1.ffn_gate.weight` has shape [64, 96], the configuration gives [96, 64]",
    );
}

// Pitfall 5: a head may be wider than the quotient says.
#[test]
fn the_width_of_a_head_comes_from_its_key() {
    let file = File::of("llama-i2_s.gguf");
    let (config, _) = file.load().unwrap().network.into_bitnet();
    assert_eq!(
        (config.head_dim, config.hidden_size / config.n_heads),
        (32, 16)
    );
    let mut file = file;
    file.set("llama.attention.value_length", Value::U32(16));
    file.check_refused("`llama.attention.value_length` of 16 beside heads of 32");
    file.keys.remove("llama.attention.value_length");
    file.keys.remove("llama.attention.key_length");
    file.check_refused("tensor `blk.0.attn_q.weight` has shape [128, 64]");
}

#[test]
fn floats_that_are_not_numbers_are_refused() {
    let not_a_number = f32::NAN.to_le_bytes();
    let mut file = direct();
    file.tensor("token_embd.weight").bytes[40..44].copy_from_slice(&not_a_number);
    file.check_refused("tensor `token_embd.weight` holds NaN at index 10");

    let mut file = direct();
    let infinity = f32::INFINITY.to_le_bytes();
    file.tensor("blk.1.ffn_sub_norm.weight").bytes[8..12].copy_from_slice(&infinity);
    file.check_refused("tensor `blk.1.ffn_sub_norm.weight` holds inf at index 2");

    let mut file = direct();
    file.tensor("output_norm.weight").bytes.fill(0);
    file.check_refused("tensor `output_norm.weight` holds only zeros");

    let mut file = File::of("direct-q4_0.gguf");
    file.tensor("blk.0.attn_v.scale").bytes = not_a_number.to_vec();
    file.check_refused("tensor `blk.0.attn_v.scale` holds NaN");
    file.tensor("blk.0.attn_v.scale").bytes = (-0.5f32).to_le_bytes().to_vec();
    file.check_refused("scale of `blk.0.attn_v.scale` is -0.5");

    for scale in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let mut file = direct();
        let tensor = file.tensor("blk.1.attn_output.weight");
        let at = tensor.bytes.len() - 32;
        tensor.bytes[at..at + 4].copy_from_slice(&scale.to_le_bytes());
        file.check_refused("scale of `blk.1.attn_output.weight` is");
    }

    // The scale of the first block of a TQ2_0 tensor stands last in it.
    let mut file = File::of("wide-tq2_0.gguf");
    file.tensor("blk.0.ffn_up.weight").bytes[64..66].copy_from_slice(&[0, 0x7e]);
    file.check_refused("scale of `blk.0.ffn_up.weight` is NaN");
}

#[test]
fn group_scales_name_the_block() {
    let mut file = File::of("wide-tq2_0.gguf");
    let (at, half) = (5 * 66 + 64, half::f16::from_f32(0.5).to_le_bytes());
    file.tensor("blk.0.ffn_up.weight").bytes[at..at + 2].copy_from_slice(&half);
    file.check_refused("and 0.5 (block 5): group scales are not supported");
}

#[test]
fn the_code_3_is_refused_where_it_stands() {
    let mut file = direct();
    file.tensor("blk.1.ffn_up.weight").bytes[3] |= 0b1100_0000;
    file.check_refused("tensor `blk.1.ffn_up.weight` holds code 3 at row 0, column 3");
    let mut file = File::of("wide-q2_0.gguf");
    // Byte 1 of the codes of block 7.
    file.tensor("blk.0.ffn_up.weight").bytes[7 * 18 + 3] |= 0b11;
    let error = file.check_refused("tensor `blk.0.ffn_up.weight` should hold 0 and one magnitude");
    assert!(error.to_string().ends_with("in block 7"), "{error}");
}

// Pitfall 13: dead channels of real models have gains that f16 would flush to zero.
#[test]
fn the_smallest_gains_keep_their_value() {
    let mut file = direct();
    let mut gains = vec![1e-34f32; 96];
    gains[1] = 1.5e-39;
    file.tensor("blk.0.ffn_sub_norm.weight").bytes =
        gains.iter().flat_map(|g| g.to_le_bytes()).collect();
    let (_, weights) = file.load().unwrap().network.into_bitnet();
    let found = weights.layers[0].ffn_sub_norm.as_deref().unwrap();
    assert_eq!(found, gains);
}

/// A BitNet model without text whose matrices are as small as can be.
fn tiny(architecture: &str, n_layers: u32, vocab_size: usize) -> File {
    const WIDTH: usize = 4;
    let mut file = File {
        keys: BTreeMap::new(),
        tensors: Vec::new(),
        others: Vec::new(),
    };
    file.text("general.architecture", architecture);
    for (key, n) in [
        ("context_length", 8),
        ("embedding_length", 4),
        ("block_count", n_layers),
        ("feed_forward_length", 4),
        ("attention.head_count", 1),
    ] {
        file.set(&format!("{architecture}.{key}"), Value::U32(n));
    }
    let eps = "attention.layer_norm_rms_epsilon";
    file.set(&format!("{architecture}.{eps}"), Value::F32(1e-5));
    let table = Tensor {
        shape: vec![vocab_size, WIDTH],
        type_id: F16,
        bytes: 0x3c00u16.to_le_bytes().repeat(vocab_size * WIDTH),
    };
    file.add("token_embd.weight", table);
    file.add("output_norm.weight", Tensor::ones(WIDTH));
    for n in 0..n_layers {
        for part in ["attn_norm", "ffn_norm", "attn_sub_norm", "ffn_sub_norm"] {
            file.add(&format!("blk.{n}.{part}.weight"), Tensor::ones(WIDTH));
        }
        for part in [
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
        ] {
            let name = format!("blk.{n}.{part}.weight");
            file.add(&name, Tensor::ternary([WIDTH, WIDTH]));
        }
    }
    file
}

#[track_caller]
fn check_activation(file: &File, act: Activation, source: &str) {
    let card = file.load().unwrap().card;
    assert_eq!((card.act, card.act_source), (act, source));
    let is_warned = card.warnings.iter().any(|w| w.contains("relu2 assumed"));
    assert_eq!(is_warned, source == "shape of 2B-4T", "{:?}", card.warnings);
}

// Pitfall 3.
#[test]
fn the_activation_follows_the_architecture_unless_it_is_stated() {
    use Activation::{Relu2, Silu};
    check_activation(&tiny("bitnet-b1.58", 2, 9), Relu2, "architecture");
    check_activation(&tiny("bitnet-25", 2, 9), Relu2, "architecture");
    check_activation(&tiny("bitnet", 2, 9), Silu, "architecture");
    let mut stated = tiny("bitnet", 2, 9);
    stated.text("bitnet.hidden_activation", "relu2");
    check_activation(&stated, Relu2, "hidden_activation");
    stated.text("bitnet.hidden_activation", "gelu");
    stated.check_refused("key `bitnet.hidden_activation`");
}

// Pitfall 3: converters of 2026 write 2B-4T under the name that once meant silu.
#[test]
fn the_shape_of_2b_4t_means_relu2_with_a_warning() {
    use Activation::{Relu2, Silu};
    check_activation(&tiny("bitnet", 30, 128_256), Relu2, "shape of 2B-4T");
    check_activation(&tiny("bitnet", 29, 128_256), Silu, "architecture");
    check_activation(&tiny("bitnet", 30, 128_255), Silu, "architecture");
}

#[test]
fn counts_of_tokens_that_contradict_the_table_are_refused() {
    let mut file = direct();
    file.set("bitnet-b1.58.vocab_size", Value::U32(65));
    let error = file.check_refused(
        "key `bitnet-b1.58.vocab_size` announces 65 tokens, the embedding table has 64 rows",
    );
    assert!(matches!(error, Error::VocabularySize { n: 65, .. }));

    let mut file = with_vocabulary(END_OF_TURN);
    let key = "tokenizer.ggml.tokens";
    let tokens = file.keys[key].as_strings().unwrap();
    let rows = tokens.len();
    let one_more: Strings = tokens.iter().chain(["<|one more|>"]).collect();
    file.set(key, Value::Array(Array::Strings(one_more)));
    let n = rows + 1;
    let error = file.check_refused(&format!(
        "key `{key}` announces {n} tokens, the embedding table has {rows} rows"
    ));
    assert!(matches!(error, Error::VocabularySize { .. }));
}

/// A table in blocks of a type, with small scales and otherwise any bytes, and its values.
fn table_of(kind: GgmlType, [n_rows, width]: [usize; 2]) -> (Tensor, Vec<f32>) {
    let scales: &[usize] = match kind {
        GgmlType::Q4_0 | GgmlType::Q8_0 | GgmlType::Q2_0 => &[0],
        GgmlType::Q4K => &[0, 2],
        GgmlType::Q6K => &[208],
        GgmlType::TQ1_0 => &[52],
        GgmlType::TQ2_0 => &[64],
        other => panic!("{other} is no block type of tables"),
    };
    let (values, size) = kind.block().unwrap();
    let n_blocks = n_rows * width / usize::try_from(values).unwrap();
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    };
    let mut bytes = Vec::new();
    for _ in 0..n_blocks {
        let start = bytes.len();
        bytes.extend((0..size).map(|_| next()));
        for at in scales {
            let scale = half::f16::from_f32(f32::from(1 + next() % 7) / 512.0);
            bytes[start + at..][..2].copy_from_slice(&scale.to_le_bytes());
        }
    }
    let mut decoded = vec![0.0; n_rows * width];
    blocks::decode(kind, &bytes, &mut decoded);
    let tensor = Tensor {
        shape: vec![n_rows, width],
        type_id: kind.id(),
        bytes,
    };
    (tensor, decoded)
}

/// Loads with tables in blocks and with the same values as floats: equal rows, equal logits.
#[track_caller]
fn check_tables(embedding: GgmlType, head: Option<GgmlType>, storage: HeadStorage) {
    const SHAPE: [usize; 2] = [32, 256];
    let options = LoadOptions {
        head: storage,
        ..LoadOptions::default()
    };
    let (mut in_blocks, mut in_floats) = (File::of("wide-tq2_0.gguf"), File::of("wide-tq2_0.gguf"));
    assert_eq!(in_blocks.tensor("token_embd.weight").shape, SHAPE);
    let (tensor, values) = table_of(embedding, SHAPE);
    *in_blocks.tensor("token_embd.weight") = tensor;
    *in_floats.tensor("token_embd.weight") = Tensor::floats(&SHAPE, &values);
    let head = head.map(|kind| (kind, table_of(kind, SHAPE)));
    if let Some((_, (tensor, values))) = &head {
        in_blocks.add("output.weight", tensor.clone());
        in_floats.add("output.weight", Tensor::floats(&SHAPE, values));
    }
    let (a, b) = (in_blocks.load_as(&options), in_floats.load_as(&options));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.card.weight_types.contains_key(&embedding.to_string()));
    assert_eq!(
        logits_of(a, &[1, 5, 9, 30, 2]),
        logits_of(b, &[1, 5, 9, 30, 2])
    );

    let (_, weights) = in_blocks.load_as(&options).unwrap().network.into_bitnet();
    let rows = |table: &Table| match table.rows() {
        Rows::F32(all) => Some(all.iter().map(|x| x.to_bits()).collect::<Vec<_>>()),
        Rows::F16(_) | Rows::Int8 { .. } => None,
    };
    let bits = |values: &[f32]| Some(values.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
    if storage == HeadStorage::Exact {
        assert_eq!(rows(&weights.embedding), bits(&values), "{embedding}");
        if let Some((kind, (_, values))) = &head {
            assert_eq!(rows(weights.head.as_ref().unwrap()), bits(values), "{kind}");
        }
    }
}

#[test]
fn tables_in_blocks_are_read_as_their_values() {
    use GgmlType::{Q2_0, Q4_0, Q4K, Q6K, Q8_0, TQ1_0, TQ2_0};
    for kind in [Q4_0, Q8_0, Q6K, Q4K, TQ1_0, TQ2_0, Q2_0] {
        for storage in [HeadStorage::Exact, HeadStorage::F16, HeadStorage::Int8] {
            check_tables(kind, None, storage);
        }
    }
    for (embedding, head) in [(Q4_0, Q6K), (Q6K, Q8_0), (Q8_0, Q4K), (Q4K, Q4_0)] {
        check_tables(embedding, Some(head), HeadStorage::Exact);
        check_tables(embedding, Some(head), HeadStorage::Int8);
    }
}

/// Codes of an `I2_S` tensor in blocks of 128, written with four rows of a column in a byte.
fn interleaved(bytes: &[u8], [n_rows, width]: [usize; 2]) -> Vec<u8> {
    let n = n_rows * width;
    assert!(n.is_multiple_of(128) && n_rows.is_multiple_of(4));
    let code = |row: usize, column: usize| {
        let (block, at) = ((row * width + column) / 128, (row * width + column) % 128);
        bytes[block * 32 + at % 32] >> (6 - 2 * (at / 32)) & 3
    };
    let four =
        |first: usize, column: usize| (0..4).fold(0, |byte, i| byte << 2 | code(first + i, column));
    let groups = (0..n_rows).step_by(4);
    let mut found: Vec<u8> = groups
        .flat_map(|first| (0..width).map(move |column| four(first, column)))
        .collect();
    found.extend(&bytes[n / 4..]);
    found
}

// Pitfall 7: nothing in the file tells the three layouts of I2_S apart, only what the model reads.
#[test]
fn every_other_layout_of_i2_s_is_noticed_by_what_the_model_reads() {
    let lab = Lab::new();
    let original = super::common::model("1.1.0");
    let arguments = [
        "model",
        "convert",
        original.to_str().unwrap(),
        "m",
        "--to",
        "gguf-i2_s",
    ];
    let ran = lab.run(&arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let path = lab.path("m/model-i2_s.gguf");
    let read = |i2s_layout: I2sLayout| {
        let options = LoadOptions {
            i2s_layout,
            ..LoadOptions::default()
        };
        let files = digest_directory(&lab.path("m")).unwrap();
        let bundle = ModelBundle::load(&files, &options).unwrap();
        let mut engine = engine::build(bundle.network, None).unwrap();
        texts::read_all(engine.as_mut(), &bundle.codec).unwrap()
    };
    let judged = |readings: &[Reading]| texts::check(readings, Limits::default());
    let summaries = |readings: &[Reading]| {
        let reading = readings.iter().find(|r| r.text == Text::Summaries);
        reading.expect("they fit the context").perplexity
    };
    let sound = read(I2sLayout::Blocks128);
    judged(&sound).unwrap();
    let sound = summaries(&sound);
    let check_noticed = |layout: I2sLayout, name: &str| {
        let found = read(layout);
        assert!(judged(&found).is_err(), "{name}: {found:?}");
        let found = summaries(&found);
        assert!(found > 10.0 * sound, "{name}: {found} beside {sound}");
    };
    check_noticed(I2sLayout::Blocks64, "blocks of 64");

    let gguf = Gguf::open(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let mut n_changed = 0;
    for info in gguf
        .tensors
        .values()
        .filter(|info| info.kind == GgmlType::I2S)
    {
        let start = usize::try_from(gguf.data_offset + info.offset).unwrap();
        let range = start..start + usize::try_from(info.bytes).unwrap();
        let [n_rows, width] = info.shape()[..] else {
            panic!("a matrix");
        };
        let changed = interleaved(&bytes[range.clone()], [n_rows, width]);
        bytes[range].copy_from_slice(&changed);
        n_changed += 1;
    }
    assert!(n_changed >= 7);
    fs::write(&path, bytes).unwrap();
    check_noticed(I2sLayout::Blocks128, "four rows in a byte");
}

#[test]
fn a_directory_with_both_containers_is_read_as_safetensors() {
    let folder = direct().folder();
    let original = fixture("bitnet-tiny-direct");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(original.join(name), folder.path().join(name)).unwrap();
    }
    let files = digest_directory(folder.path()).unwrap();
    let card = ModelBundle::load(&files, &LoadOptions::default())
        .unwrap()
        .card;
    assert_eq!(card.container, "hf-packed");
    let note = "a GGUF file beside the safetensors was not read";
    assert!(
        card.warnings.iter().any(|w| w == note),
        "{:?}",
        card.warnings
    );
}

/// The model of `direct-i2_s.gguf` with a vocabulary, whose last token is `last`.
fn with_vocabulary(last: &str) -> File {
    let mut file = direct();
    let vocabulary = Gguf::open(&fixture("gguf/vocabulary-llama-bpe.gguf")).unwrap();
    for (key, value) in vocabulary.metadata {
        if key.starts_with("tokenizer.") {
            file.set(&key, value);
        }
    }
    let tokens = file.keys["tokenizer.ggml.tokens"].as_strings().unwrap();
    let mut changed: Vec<&str> = tokens.iter().collect();
    changed.push(last);
    let n = changed.len();
    let strings: Strings = changed.into_iter().collect();
    file.set(
        "tokenizer.ggml.tokens",
        Value::Array(Array::Strings(strings)),
    );
    let Value::Array(Array::I32(types)) = &file.keys["tokenizer.ggml.token_type"] else {
        panic!("types are numbers");
    };
    let control = [types.as_slice(), &[3]].concat();
    file.set(
        "tokenizer.ggml.token_type",
        Value::Array(Array::I32(control)),
    );
    file.set(
        "bitnet-b1.58.vocab_size",
        Value::U32(u32::try_from(n).unwrap()),
    );
    let values: Vec<f32> = (0..n * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    *file.tensor("token_embd.weight") = Tensor::floats(&[n, 64], &values);
    file
}

const END_OF_TURN: &str = "<|eot_id|>";

// Pitfall 11: the metadata hold the converters' placeholder, and `<|eot_id|>` is declared nowhere.
#[test]
fn a_2b_4t_file_gets_the_template_and_the_end_it_does_not_state() {
    let file = with_vocabulary(END_OF_TURN);
    let placeholder = file.keys["tokenizer.chat_template"].as_str().unwrap();
    assert!(placeholder.contains("BITNETAssistant:"));
    let bundle = file.load().unwrap();
    let template = bundle.template().unwrap();
    assert_eq!(template.origin(), "built-in");
    assert_eq!(
        template.render(" Uma pessoa entrou.\n").unwrap(),
        "<s>User: Uma pessoa entrou.<|eot_id|>Assistant: "
    );
    let tokenizer = bundle.tokenizer().unwrap();
    let end = tokenizer.id(END_OF_TURN).unwrap();
    assert_eq!(bundle.stop_ids, [2, end]);
    let ids = bundle.encode_prompt("Uma pessoa entrou.").unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 1);
    assert_eq!(
        (ids[0], ids.iter().filter(|id| **id == end).count()),
        (1, 1)
    );
}

#[test]
fn without_the_end_of_a_turn_there_is_no_template_either() {
    let card = with_vocabulary("<|other|>").load().unwrap().card;
    assert_eq!((card.template, card.stop_ids), (None, vec![2]));
    assert!(
        card.warnings
            .iter()
            .any(|w| w.starts_with("no chat template"))
    );
}

// Pitfall 11: template and tokenizer may both add the token.
#[test]
fn a_prompt_begins_with_one_bos_whoever_adds_it() {
    let mut file = with_vocabulary(END_OF_TURN);
    let key = "tokenizer.chat_template";
    for (template, origin) in [
        ("{{ bos_token }}{{ messages[0].content }}", "gguf metadata"),
        ("{{ messages[0].content }}", "gguf metadata"),
    ] {
        file.text(key, template);
        let bundle = file.load().unwrap();
        assert_eq!(bundle.template().unwrap().origin(), origin);
        let ids = bundle.encode_prompt("um carro").unwrap();
        assert_eq!(ids.iter().filter(|id| **id == 1).count(), 1, "{template}");
        assert_eq!(ids[0], 1, "{template}");
    }
    file.text(
        key,
        "{{ bos_token }}{{ bos_token }}{{ messages[0].content }}",
    );
    let error = file.load().unwrap().encode_prompt("um carro").unwrap_err();
    assert!(matches!(error, Error::BosCount { found: 2 }), "{error}");
}

#[test]
fn files_beside_a_gguf_win_over_its_metadata() {
    let mut file = with_vocabulary(END_OF_TURN);
    let tokenizer = root().join("tests/fixtures/tokenizer-616/tokenizer.json");
    file.others
        .push(("tokenizer.json", fs::read(tokenizer).unwrap()));
    file.others
        .push(("chat_template.jinja", b"{{ messages[0].content }}".to_vec()));
    file.others.push((
        "generation_config.json",
        br#"{"eos_token_id": [5]}"#.to_vec(),
    ));
    let bundle = file.load().unwrap();
    assert_eq!(bundle.card.tokenizer.unwrap().source, "tokenizer.json");
    assert_eq!(bundle.card.template.unwrap().source, "chat_template.jinja");
    assert_eq!(bundle.stop_ids, [2, 5]);
}

/// Blocks of one magnitude as `Q4_0`, 7, 8 and 9 at d = 1.
fn four_bits(shape: [usize; 2]) -> Tensor {
    let mut bytes = Vec::new();
    for block in 0..shape[0] * shape[1] / 32 {
        bytes.extend(half::f16::ONE.to_le_bytes());
        bytes.extend((0..16).map(|j| match (block * 7 + j * j) % 3 {
            0 => 0x78,
            1 => 0x89,
            _ => 0x97,
        }));
    }
    Tensor {
        shape: shape.to_vec(),
        type_id: Q4_0,
        bytes,
    }
}

/// A llama model in `Q4_0` whose gate is longer than what is probed before loading.
fn four_bit_llama() -> File {
    const HIDDEN: usize = 512;
    const INTER: usize = 256;
    const HEAD: usize = 32;
    let mut file = File::of("llama-q4_0.gguf");
    for (key, n) in [
        ("embedding_length", 512),
        ("block_count", 1),
        ("feed_forward_length", 256),
        ("attention.head_count", 1),
        ("attention.head_count_kv", 1),
        ("vocab_size", 8),
    ] {
        file.set(&format!("llama.{key}"), Value::U32(n));
    }
    file.tensors.clear();
    let table = vec![0.5; 8 * HIDDEN];
    file.add("token_embd.weight", Tensor::floats(&[8, HIDDEN], &table));
    for part in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        file.add(&format!("{part}.weight"), Tensor::ones(HIDDEN));
    }
    for (part, shape) in [
        ("attn_q", [HEAD, HIDDEN]),
        ("attn_k", [HEAD, HIDDEN]),
        ("attn_v", [HEAD, HIDDEN]),
        ("attn_output", [HIDDEN, HEAD]),
        ("ffn_gate", [INTER, HIDDEN]),
        ("ffn_up", [INTER, HIDDEN]),
        ("ffn_down", [HIDDEN, INTER]),
    ] {
        file.add(&format!("blk.0.{part}.weight"), four_bits(shape));
    }
    file
}

#[test]
fn a_late_block_that_is_not_ternary_is_an_error_with_its_place() {
    let mut file = four_bit_llama();
    assert_eq!(file.load().unwrap().card.container, "gguf-q4_0");
    let late = 4000;
    let bytes = &mut file.tensor("blk.0.ffn_gate.weight").bytes;
    assert!(late * 18 > 64 << 10 && bytes.len() > late * 18);
    bytes[late * 18 + 5] = 0x3a;
    let error =
        file.check_refused("tensor `blk.0.ffn_gate.weight` should hold 0 and one magnitude");
    assert!(error.to_string().ends_with("in block 4000"), "{error}");
    assert!(error.hint().unwrap().contains("blocks before it"));

    let mut file = four_bit_llama();
    let two = half::f16::from_f32(2.0).to_le_bytes();
    file.tensor("blk.0.ffn_gate.weight").bytes[late * 18..late * 18 + 2].copy_from_slice(&two);
    file.check_refused("blocks of tensor `blk.0.ffn_gate.weight` have scales 1 and 2 (block 4000)");
}

/// The masters of `bitnet-tiny-online` in a GGUF.
fn masters() -> File {
    let mut file = direct();
    let path = fixture("bitnet-tiny-online/model.safetensors");
    let source = SafeTensors::open(fs::File::open(path).unwrap()).unwrap();
    file.set("bitnet-b1.58.vocab_size", Value::U32(48));
    file.set("tokenizer.ggml.bos_token_id", Value::U32(0));
    file.set("tokenizer.ggml.eos_token_id", Value::U32(1));
    let names = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.attn_sub_norm", "attn_sub_norm"),
        ("mlp.ffn_sub_norm", "ffn_sub_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    file.tensors.clear();
    for (name, info) in source.tensors() {
        assert_eq!(info.dtype.to_string(), "BF16");
        let n: usize = info.shape.iter().product();
        let mut bytes = vec![0; 2 * n];
        source.read_at(name, 0, &mut bytes).unwrap();
        let name = names
            .iter()
            .fold(name.clone(), |name, (from, to)| name.replace(from, to));
        let tensor = Tensor {
            shape: info.shape.clone(),
            type_id: BF16,
            bytes,
        };
        file.add(&name, tensor);
    }
    file
}

fn online() -> LoadOptions {
    LoadOptions {
        is_online: Some(true),
        head: HeadStorage::Exact,
        ..LoadOptions::default()
    }
}

fn logits(bundle: ModelBundle) -> Vec<u32> {
    logits_of(bundle, &[1, 5, 9, 33, 2])
}

fn logits_of(bundle: ModelBundle, ids: &[u32]) -> Vec<u32> {
    let (config, weights) = bundle.network.into_bitnet();
    let mut engine = BitNet::new(&config, weights);
    let mut logits = Vec::new();
    engine.feed_all(ids, &mut logits).unwrap();
    logits.into_iter().map(f32::to_bits).collect()
}

// Pitfall 2: masters are averaged when the manifest says so, and only then.
#[test]
fn masters_are_quantized_when_the_manifest_says_that_they_are_some() {
    let original = digest_directory(&fixture("bitnet-tiny-online")).unwrap();
    let original = ModelBundle::load(&original, &online()).unwrap();
    let file = masters();
    let bundle = file.load_as(&online()).unwrap();
    let card = &bundle.card;
    assert_eq!(card.layers_digest, original.card.layers_digest);
    assert_eq!(
        (card.container, card.scale, card.scale_source),
        ("gguf-masters", "absmean", "quantization_mode")
    );
    assert_eq!(logits(bundle), logits(original));

    let error = file.check_refused("should hold 0 and one magnitude");
    let hint = error.hint().unwrap();
    assert!(hint.contains("model_options"), "{hint}");
    direct().check_refused_as(&online(), "has dtype I2_S, expected F32, F16 or BF16");
    assert_eq!(direct().tensor("blk.0.attn_q.weight").type_id, I2S);

    let mut scaled = file.clone();
    scaled.add("blk.0.attn_q.scale", Tensor::ones(1));
    scaled.check_refused_as(&online(), "tensor `blk.0.attn_q.scale` beside masters");
    let averaged = tiny("bitnet", 1, 9);
    averaged.check_refused_as(&online(), "`blk.0.attn_q.weight` is ternary already");
}

#[test]
fn llama_masters_return_to_the_row_order_of_their_checkpoint() {
    let mut file = File::of("llama-i2_s.gguf");
    let mut expected = Vec::new();
    for (name, tensor) in &mut file.tensors {
        if tensor.type_id != I2S {
            continue;
        }
        let shape = [tensor.shape[0], tensor.shape[1]];
        let value = |row: usize, column: usize| ((row * 31 + column * 17) as f32 * 0.7).sin();
        let places = (0..shape[0]).flat_map(|row| (0..shape[1]).map(move |j| (row, j)));
        let values: Vec<f32> = places.clone().map(|(row, j)| value(row, j)).collect();
        expected.push((
            name.clone(),
            TernaryMatrix::from_masters(name, shape, &values).unwrap(),
        ));
        // Row h*32 + 2i + half of the file is row h*32 + half*16 + i.
        let is_permuted = name.contains("attn_q") || name.contains("attn_k");
        let original = |row: usize| {
            if is_permuted {
                row / 32 * 32 + row % 2 * 16 + row % 32 / 2
            } else {
                row
            }
        };
        let stored: Vec<f32> = places.map(|(row, j)| value(original(row), j)).collect();
        *tensor = Tensor::floats(&shape, &stored);
    }
    let (_, weights) = file.load_as(&online()).unwrap().network.into_bitnet();
    let found = weights.layers.iter().flat_map(LayerWeights::projections);
    assert_eq!(expected.len(), 14);
    for ((_, found), (name, expected)) in found.zip(expected) {
        assert!(*found == expected, "{name}");
    }
}

/// A line of the card.
#[track_caller]
fn check_card(lab: &Lab, path: &str, name: &str, words: &str) {
    let ran = lab.run(&["inspect", path]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let line = ran.stdout.lines().find(|line| line.starts_with(name));
    assert!(
        line.is_some_and(|line| line.contains(words)),
        "{}",
        ran.all()
    );
}

#[test]
fn a_gguf_file_is_named_like_a_directory() {
    let lab = Lab::new();
    lab.write("m.gguf", with_vocabulary(END_OF_TURN).bytes());
    check_card(&lab, "m.gguf", "model", "m without version, unpinned");
    check_card(&lab, "m.gguf", "container", "gguf-i2_s");
    check_card(&lab, "m.gguf", "tokenizer", "gguf metadata");
    let tokenizer = root().join("tests/fixtures/tokenizer-616/tokenizer.json");
    lab.write("tokenizer.json", fs::read(tokenizer).unwrap());
    check_card(&lab, "m.gguf", "tokenizer", "tokenizer.json, sha256");

    fs::create_dir(lab.path("copy")).unwrap();
    for name in ["m.gguf", "tokenizer.json"] {
        fs::copy(lab.path(name), lab.path("copy").join(name)).unwrap();
    }
    let ran = lab.compare("m.gguf", "copy/m.gguf", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("(unpinned)"), "{}", ran.all());
    // Without a tokenizer of its own there is nothing to ask of it.
    lab.write("bare.gguf", direct().bytes());
    fs::remove_file(lab.path("tokenizer.json")).unwrap();
    let ran = lab.compare("1.1.0", "bare.gguf", &[]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(ran.stderr.contains("has no tokenizer"), "{}", ran.all());
}

#[test]
fn the_first_part_names_the_whole_set() {
    let mut first = with_vocabulary(END_OF_TURN);
    let n = u32::try_from(first.tensors.len()).unwrap();
    let mut second = tiny("bitnet-b1.58", 0, 1);
    second.tensors = first.tensors.split_off(10);
    for (no, file) in [(0, &mut first), (1, &mut second)] {
        file.set("split.no", Value::U32(no));
        file.set("split.count", Value::U32(2));
        file.set("split.tensors.count", Value::U32(n));
    }
    let lab = Lab::new();
    lab.write("m-00001-of-00002.gguf", first.bytes());
    let ran = lab.run(&["inspect", "m-00001-of-00002.gguf"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("part 1 of 2, 1 parts are there"),
        "{}",
        ran.all()
    );
    lab.write("m-00002-of-00002.gguf", second.bytes());
    check_card(
        &lab,
        "m-00001-of-00002.gguf",
        "model",
        "m without version, unpinned",
    );
    check_card(&lab, "m-00001-of-00002.gguf", "tensors", "14 I2_S");
}
