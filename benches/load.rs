//! Load time and peak memory of a whole engine at the shape of the published 2-billion-weight model.
//!
//! Writes a packed checkpoint of random weights once, then loads it in a fresh process each round:
//! from the request to an engine that has read a prompt. What of it is verification, the digests of
//! the files that every start computes before it parses them, stands beside it. Memory is the
//! process's own peak, beside the bytes that have to be there: packed weights, head, keys and
//! values, activations. Ends with a table in Markdown: medians and ranges.
//!
//! `cargo bench --bench load [-- --threads N] [--rounds N] [--cold]`
//!
//! With `--cold` the files are taken out of the page cache before each round, so that they come
//! from the disk, once: verification reads them first.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Map, Value, json};
use vv_eval::artifact;
use vv_eval::engine::{BitNet, Engine as _, Setup};
use vv_eval::model::synthetic::Spec;
use vv_eval::model::{LoadOptions, ModelBundle, ModelConfig};
use vv_eval::run::probe;

const SPEC: Spec = Spec::TWO_BILLION;
/// Tokens the context is reserved for, and of the prompt that is read.
const CONTEXT: usize = 1024;
const PROMPT: usize = 512;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the bench's report"
)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--test") {
        return;
    }
    let option = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)
    };
    let number = |name: &str| option(name).and_then(|n| n.parse::<usize>().ok());
    let n_threads = number("--threads").unwrap_or(2);
    if let Some(folder) = option("--child") {
        return println!("{}", measure(Path::new(folder), n_threads));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load-2b4t");
    if !folder.join("config.json").exists() {
        eprintln!("writing {} layers, about 1.2 GB", SPEC.n_layers);
        write_checkpoint(&folder).expect("the checkpoint can be written");
    }
    let is_cold = arguments.iter().any(|a| a == "--cold");
    let mut rounds: Vec<Map<String, Value>> = Vec::new();
    for round in 1..=number("--rounds").unwrap_or(5) {
        if is_cold {
            forget(&folder).expect("the files can be taken out of the page cache");
        }
        let this = std::env::current_exe().expect("the bench has a path");
        let child = Command::new(this)
            .args(["--child", folder.to_str().expect("the path is text")])
            .args(["--threads", &n_threads.to_string()])
            .output()
            .expect("the child runs");
        assert!(
            child.status.success(),
            "{}",
            String::from_utf8_lossy(&child.stderr)
        );
        print!("round {round}: {}", String::from_utf8_lossy(&child.stdout));
        rounds.push(serde_json::from_slice(&child.stdout).expect("the child prints an object"));
    }
    println!("{}", table(&rounds, n_threads, is_cold));
}

/// Takes the files of a directory out of the page cache; they were flushed when they were written.
fn forget(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = File::open(entry?.path())?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Medians and ranges of the rounds.
fn table(rounds: &[Map<String, Value>], n_threads: usize, is_cold: bool) -> String {
    let rows = [
        ("verify_s", "verification: SHA-256 of every file", "s"),
        (
            "read_s",
            "reading, checking and both digests of the layers",
            "s",
        ),
        ("build_s", "repacking into the layout of the kernels", "s"),
        ("load_s", "request to engine ready, after verification", "s"),
        ("start_s", "the same with verification", "s"),
        ("verify_share", "verification as a share of it", "%"),
        ("peak_after_load_mb", "peak memory after load", "MB"),
        ("peak_mb", "peak memory with prompt and context", "MB"),
        (
            "needed_mb",
            "packed weights, head, keys and values, activations",
            "MB",
        ),
        ("ratio", "peak ÷ needed", ""),
    ];
    let from = if is_cold {
        "from the disk"
    } else {
        "from the page cache"
    };
    let n = rounds.len();
    let mut text = format!(
        "\n{from}, {n_threads} threads, kernel {}, median [range] of {n} rounds\n\n| | |\n| --- | --- |\n",
        Setup::default().kernel
    );
    for (key, name, unit) in rows {
        let mut values: Vec<f64> = rounds
            .iter()
            .filter_map(|round| round.get(key)?.as_f64())
            .collect();
        values.sort_by(f64::total_cmp);
        let [Some(low), Some(high)] = [values.first(), values.last()] else {
            continue;
        };
        let median = values[values.len() / 2];
        let digits = if matches!(unit, "MB" | "%") { 0 } else { 2 };
        let _ = writeln!(
            text,
            "| {name} | {median:.digits$} [{low:.digits$}, {high:.digits$}] {unit} |"
        );
    }
    text
}

/// Loads and reads a prompt; gives seconds and bytes as JSON.
fn measure(folder: &Path, n_threads: usize) -> Value {
    let asked = Instant::now();
    let files = artifact::resolve(folder).expect("the folder holds a model");
    let verified = asked.elapsed();
    let started = Instant::now();
    let bundle = ModelBundle::load(&files.files, &LoadOptions::default());
    let (config, weights) = bundle.expect("the model loads").network.into_bitnet();
    let read = started.elapsed();
    let setup = Setup {
        n_threads,
        ..Setup::default()
    };
    let mut engine = BitNet::with(&config, weights, setup);
    let loaded = started.elapsed();
    let loaded_peak = probe::memory().expect("the process has a status").peak;
    engine.reserve(CONTEXT).expect("the context is longer");
    let id = |i: usize| u32::try_from(i * 7919 % config.vocab_size).expect("ids fit u32");
    let prompt: Vec<u32> = (0..PROMPT).map(id).collect();
    engine.feed(&prompt).expect("the prompt fits");
    let peak = probe::memory().expect("the process has a status").peak;
    let needed = needed_bytes(&engine, &config);
    json!({
        "verify_s": verified.as_secs_f64(),
        "read_s": read.as_secs_f64(),
        "build_s": loaded.saturating_sub(read).as_secs_f64(),
        "load_s": loaded.as_secs_f64(),
        "start_s": (verified + loaded).as_secs_f64(),
        "verify_share": 100.0 * verified.as_secs_f64() / (verified + loaded).as_secs_f64(),
        "peak_after_load_mb": loaded_peak.0 / 1_000_000,
        "peak_mb": peak.0 / 1_000_000,
        "needed_mb": needed / 1_000_000,
        "ratio": peak.0 as f64 / needed as f64,
    })
}

/// Packed weights, head, keys and values of the context, and one chunk of activations.
fn needed_bytes(engine: &BitNet, config: &ModelConfig) -> usize {
    let kv = 2 * 4 * config.n_layers * config.kv_width() * CONTEXT;
    let widths = config.hidden_size
        + 2 * config.q_width()
        + 2 * config.kv_width()
        + 2 * config.intermediate_size;
    let activations = 128 * (4 * widths + config.intermediate_size) + 4 * config.vocab_size;
    engine.bytes_per_token() + kv + activations
}

/// Writes a packed checkpoint of [`SPEC`] with random codes.
fn write_checkpoint(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let tensors = tensors();
    let mut header = Map::new();
    let mut at = 0;
    for (name, dtype, shape) in &tensors {
        let bytes = shape.iter().product::<usize>() * if *dtype == "U8" { 1 } else { 2 };
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [at, at + bytes]}),
        );
        at += bytes;
    }
    let header = serde_json::to_vec(&header)?;
    let mut file =
        BufWriter::with_capacity(1 << 20, File::create(folder.join("model.safetensors"))?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let mut noise = Noise(1);
    for (name, dtype, shape) in &tensors {
        let n: usize = shape.iter().product();
        for _ in 0..n {
            match *dtype {
                "U8" => file.write_all(&[noise.codes()])?,
                // bfloat16 1.0, and small values around zero for the table.
                _ if name.contains("embed") => file.write_all(&noise.bf16())?,
                _ => file.write_all(&[0x80, 0x3f])?,
            }
        }
    }
    file.into_inner()?.sync_all()?;
    let reference =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("eval-sets/reference-models/1.0.0");
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        fs::copy(reference.join(name), folder.join(name))?;
    }
    // Written last: it says that the rest is whole.
    fs::write(folder.join("config.json"), config().to_string())
}

/// Name, type and shape of every tensor in file order.
fn tensors() -> Vec<(String, &'static str, Vec<usize>)> {
    let Spec {
        hidden_size: hidden,
        intermediate_size: inter,
        n_heads,
        n_kv_heads,
        ..
    } = SPEC;
    let kv = hidden / n_heads * n_kv_heads;
    let mut all = vec![(
        "model.embed_tokens.weight".to_owned(),
        "BF16",
        vec![SPEC.vocab_size, hidden],
    )];
    for layer in 0..SPEC.n_layers {
        let mut add = |part: &str, dtype, shape| {
            all.push((format!("model.layers.{layer}.{part}"), dtype, shape));
        };
        for (part, out, width) in [
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", inter, hidden),
            ("mlp.up_proj", inter, hidden),
            ("mlp.down_proj", hidden, inter),
        ] {
            add(&format!("{part}.weight"), "U8", vec![out / 4, width]);
            add(&format!("{part}.weight_scale"), "BF16", vec![1]);
        }
        for (part, width) in [
            ("input_layernorm", hidden),
            ("post_attention_layernorm", hidden),
            ("self_attn.attn_sub_norm", hidden),
            ("mlp.ffn_sub_norm", inter),
        ] {
            add(&format!("{part}.weight"), "BF16", vec![width]);
        }
    }
    all.push(("model.norm.weight".to_owned(), "BF16", vec![hidden]));
    all
}

fn config() -> Value {
    json!({
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": SPEC.vocab_size,
        "hidden_size": SPEC.hidden_size,
        "intermediate_size": SPEC.intermediate_size,
        "num_hidden_layers": SPEC.n_layers,
        "num_attention_heads": SPEC.n_heads,
        "num_key_value_heads": SPEC.n_kv_heads,
        "hidden_act": "relu2",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "max_position_embeddings": SPEC.max_positions,
        "tie_word_embeddings": true,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    })
}

/// Marsaglia (2003), "Xorshift RNGs", 64 bits.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Four codes of 0 to 2, half of them 1.
    fn codes(&mut self) -> u8 {
        let bits = self.next() >> 32;
        (0..4).fold(0, |byte, i| {
            let code = [0, 1, 1, 2][(bits >> (2 * i) & 3) as usize];
            byte | code << (2 * i)
        })
    }

    /// A bfloat16 of magnitude 1/128 to 1/64, either sign.
    fn bf16(&mut self) -> [u8; 2] {
        let bits = self.next().to_le_bytes()[5];
        [bits & 0x7f, 0x3c | bits & 0x80]
    }
}
