//! What this machine's memory allows, and how much of it decoding reaches.
//!
//! Alternates, round by round in one process, a read probe over as many bytes as the model has
//! (matrix-sized steps with a barrier after each, like a decode pass, on the same kind of pages)
//! and decoding of the 2-billion-weight shape; prints the medians. Not a criterion bench, because
//! a ratio of two things measured minutes apart says little on a shared machine.
//!
//! `cargo bench --bench roofline [-- small|tiny|2b4t] [--threads N] [--rounds N]`

use std::time::Instant;

use vv_eval::engine::kernels::pool::Pool;
use vv_eval::engine::kernels::stream::fold;
use vv_eval::engine::{BitNet, Engine as _, Rewind as _, Setup, argmax};
use vv_eval::model::arena::Slab;
use vv_eval::model::synthetic::{Spec, synthetic};

const PROMPT: usize = 128;
const GENERATED: usize = 16;
/// Bytes of one step: a feed-forward matrix of the large shape.
const STEP: usize = 6912 * 2560 / 4;

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
        .reserve(PROMPT + GENERATED)
        .expect("the context is longer");
    let prompt = [7; PROMPT];
    engine.feed(&prompt).expect("the prompt fits");
    // Keys and values of the whole context are read for every token too.
    let kv = 2 * 4 * config.n_layers * config.kv_width() * (PROMPT + GENERATED / 2);
    let bytes = engine.bytes_per_token() + kv;
    let mut probe = Slab::<u64>::zeroed(bytes / 8);
    // Pages never written would all be one and the same page of zeros.
    probe.fill(0x5555_5555_5555_5555);
    let mut pool = Pool::new(n_threads);
    println!(
        "{name}, {n_threads} threads, kernel {}: {:.1} MB a token ({:.1} MB of them keys and values)",
        setup.kernel,
        bytes as f64 / 1e6,
        kv as f64 / 1e6
    );

    let (mut bandwidths, mut rates, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n_rounds {
        let bandwidth = read(&mut pool, setup, &probe);
        engine.rewind(engine.position() - PROMPT);
        let started = Instant::now();
        (0..GENERATED).fold(1, |id, _| {
            argmax(engine.feed(&[id]).expect("the output fits"))
        });
        let rate = GENERATED as f64 / started.elapsed().as_secs_f64();
        bandwidths.push(bandwidth);
        rates.push(rate);
        shares.push(rate * bytes as f64 / bandwidth);
    }
    println!("read bandwidth   {} GB/s", summary(&bandwidths, 1e-9));
    println!("decode           {} tokens/s", summary(&rates, 1.0));
    println!("share of roofline {} %", summary(&shares, 100.0));
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

/// Median and range.
fn summary(values: &[f64], unit: f64) -> String {
    let mut sorted: Vec<f64> = values.iter().map(|v| v * unit).collect();
    sorted.sort_by(f64::total_cmp);
    format!(
        "{:.1} [{:.1}, {:.1}]",
        sorted[sorted.len() / 2],
        sorted[0],
        sorted[sorted.len() - 1]
    )
}
