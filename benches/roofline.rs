//! What this machine's memory allows, and how much of it decoding reaches.
//!
//! Alternates, round by round in one process, a read probe over as many bytes as the model has
//! (matrix-sized steps with a barrier after each, like a decode pass, on the same kind of pages)
//! and decoding of the 2-billion-weight shape; prints the medians. Not a criterion bench, because
//! a ratio of two things measured minutes apart says little on a shared machine.
//!
//! Prefill and eight scenes together stand beside them.
//!
//! `cargo bench --bench roofline [-- small|tiny|2b4t] [--threads N] [--rounds N] [--json]`

use std::time::Instant;

use vv_eval::engine::kernels::pool::Pool;
use vv_eval::engine::kernels::stream::fold;
use vv_eval::engine::{Batch as _, BitNet, Engine as _, Setup, argmax};
use vv_eval::model::arena::Slab;
use vv_eval::model::synthetic::{Spec, synthetic};

const PROMPT: usize = 128;
const GENERATED: usize = 16;
const SCENES: usize = 8;
/// Bytes of one step: a feed-forward matrix of the large shape.
const STEP: usize = 6912 * 2560 / 4;

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
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let (n_threads, n_rounds) = (
        option("--threads").unwrap_or(2),
        option("--rounds").unwrap_or(9),
    );
    let is_named = |name: &&str| arguments.iter().any(|a| a == name);
    let name = ["small", "tiny"]
        .into_iter()
        .find(is_named)
        .unwrap_or("2b4t");
    let spec = match name {
        "small" => Spec::SMALL,
        "tiny" => Spec::TINY,
        _ => Spec::TWO_BILLION,
    };
    let (config, weights) = synthetic(spec, 1);
    let setup = Setup {
        n_threads,
        ..Setup::default()
    };
    let mut engine = BitNet::with(&config, weights, setup);
    engine
        .reserve(512 + GENERATED)
        .expect("the context is longer");
    decode(&mut engine);
    let n_weights = 4 * (engine.bytes_per_token() - config.vocab_size * (config.hidden_size + 4));
    // Keys and values of the whole context are read for every token too.
    let kv = 2 * 4 * config.n_layers * config.kv_width() * (PROMPT + GENERATED / 2);
    let bytes = engine.bytes_per_token() + kv;
    let mut probe = Slab::<u64>::zeroed(bytes / 8);
    // Pages never written would all be one and the same page of zeros.
    probe.fill(0x5555_5555_5555_5555);
    let mut pool = Pool::new(n_threads);
    eprintln!(
        "{name}, {n_threads} threads, kernel {}: {:.1} MB a token ({:.1} MB of them keys and values)",
        setup.kernel,
        bytes as f64 / 1e6,
        kv as f64 / 1e6
    );

    let prompts: &[usize] = if name == "2b4t" { &[128, 512] } else { &[128] };
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut note = |name: &str, value: f64| match rows.iter_mut().find(|(n, _)| n == name) {
        Some((_, values)) => values.push(value),
        None => rows.push((name.to_owned(), vec![value])),
    };
    for _ in 0..n_rounds {
        let bandwidth = read(&mut pool, setup, &probe);
        note("bandwidth_gb_s", bandwidth * 1e-9);
        for &n in prompts {
            let rate = prefill(&mut engine, n);
            note(&format!("prefill_{n}"), rate);
            note("prefill_gmac_s", rate * n_weights as f64 * 1e-9);
        }
        let alone = decode(&mut engine);
        note("decode", alone);
        note("roofline_share", alone * bytes as f64 / bandwidth);
        let together = decode_scenes(&mut engine);
        note("decode_8_scenes", together);
        note("batch_ratio", together / alone);
    }
    if arguments.iter().any(|a| a == "--json") {
        let pair = |(name, values): &(String, Vec<f64>)| format!("\"{name}\": {}", median(values));
        println!(
            "{{{}}}",
            rows.iter().map(pair).collect::<Vec<_>>().join(", ")
        );
        return;
    }
    for (name, values) in &rows {
        println!("{name:<16} {}", summary(values));
    }
}

/// `n` ids spread over the vocabulary.
fn ids(engine: &BitNet, n: usize) -> Vec<u32> {
    let vocab = engine.vocab_size();
    let id = |i: usize| u32::try_from(i * 7919 % vocab).expect("ids fit u32");
    (0..n).map(id).collect()
}

/// Tokens per second of a prompt.
fn prefill(engine: &mut BitNet, n: usize) -> f64 {
    let prompt = ids(engine, n);
    engine.reset();
    let started = Instant::now();
    engine.feed(&prompt).expect("the prompt fits");
    n as f64 / started.elapsed().as_secs_f64()
}

/// Tokens per second one by one, after a prompt.
fn decode(engine: &mut BitNet) -> f64 {
    let prompt = ids(engine, PROMPT);
    engine.reset();
    engine.feed(&prompt).expect("the prompt fits");
    let started = Instant::now();
    (0..GENERATED).fold(1, |id, _| {
        argmax(engine.feed(&[id]).expect("the output fits"))
    });
    GENERATED as f64 / started.elapsed().as_secs_f64()
}

/// Tokens per second of eight scenes together, after a prompt each.
fn decode_scenes(engine: &mut BitNet) -> f64 {
    let prompt = ids(engine, PROMPT);
    let vocab = engine.vocab_size();
    engine
        .open(SCENES, PROMPT + GENERATED)
        .expect("the scenes fit");
    engine.feed_sequence(0, &prompt).expect("the prompt fits");
    for scene in 1..SCENES {
        engine.copy_prefix(0, scene, PROMPT);
    }
    let mut next: Vec<(usize, u32)> = (0..SCENES).map(|scene| (scene, 1)).collect();
    let started = Instant::now();
    for _ in 0..GENERATED {
        let logits = engine.feed_each(&next).expect("the outputs fit");
        for ((_, id), logits) in next.iter_mut().zip(logits.chunks_exact(vocab)) {
            *id = argmax(logits);
        }
    }
    let elapsed = started.elapsed().as_secs_f64();
    let longest = engine.context_limit().min(512 + GENERATED);
    engine.open(1, longest).expect("the context is longer");
    (SCENES * GENERATED) as f64 / elapsed
}

/// Bytes per second over four passes.
fn read(pool: &mut Pool, setup: Setup, probe: &[u64]) -> f64 {
    const PASSES: usize = 4;
    let started = Instant::now();
    for _ in 0..PASSES {
        for step in probe.chunks(STEP / 8) {
            pool.run(|thread| {
                let share = step.len().div_ceil(setup.n_threads);
                let own = step.chunks(share).nth(thread).unwrap_or(&[]);
                std::hint::black_box(fold(setup.kernel, own));
            });
        }
    }
    (PASSES * size_of_val(probe)) as f64 / started.elapsed().as_secs_f64()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> f64 {
    sorted(values)[values.len() / 2]
}

/// Median and range.
fn summary(values: &[f64]) -> String {
    let sorted = sorted(values);
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.3} [{low:.3}, {high:.3}]", median(values))
}
