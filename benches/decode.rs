//! Tokens per second of whole models: prompts, single tokens, and eight scenes at once.
//!
//! Synthetic weights in the shapes of a reference model, of the tiny benchmark and of the
//! 2-billion-weight model, and with `VV_EVAL_BENCH_MODEL=DIR` a model from disk, whose load is
//! timed too. The large shape takes 1 GB of memory and some minutes;
//! `cargo bench --bench decode -- tiny` leaves it out.

mod common;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use vv_eval::artifact;
use vv_eval::engine::{Batch as _, BitNet, Engine as _, Rewind as _, Setup, argmax};
use vv_eval::model::synthetic::{Spec, synthetic};
use vv_eval::model::{LoadOptions, ModelBundle};

const PROMPT: usize = 128;
const GENERATED: usize = 64;
const SCENES: usize = 8;

/// Prompts of these lengths, then decoding after the first.
fn model(c: &mut Criterion, name: &str, engine: &mut BitNet, prompts: &[usize]) {
    let vocab = engine.vocab_size();
    let longest = *prompts.iter().max().expect("there are prompts");
    let ids = |n: usize| -> Vec<u32> {
        (0..n)
            .map(|i| u32::try_from(i * 7919 % vocab).expect("ids fit u32"))
            .collect()
    };
    let is_large = engine.bytes_per_token() > 100 << 20;
    let n_threads = engine.setup().n_threads;

    let mut group = c.benchmark_group(format!("{name}/{n_threads}T"));
    group.warm_up_time(Duration::from_millis(300));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.measurement_time(Duration::from_secs(if is_large { 10 } else { 1 }));
    engine
        .reserve(longest + GENERATED)
        .expect("the context is longer");
    for &n in prompts {
        let prompt = ids(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("prefill {n}"), |b| {
            b.iter(|| {
                engine.reset();
                black_box(engine.feed(black_box(&prompt)).expect("the prompt fits")[0])
            });
        });
    }
    engine.reset();
    let generated = if is_large { GENERATED / 4 } else { GENERATED };
    let first = argmax(engine.feed(&ids(PROMPT)).expect("the prompt fits"));
    group.throughput(Throughput::Elements(generated as u64));
    group.bench_function("decode", |b| {
        b.iter_batched(
            || first,
            |first| {
                engine.rewind(engine.position() - PROMPT);
                (0..generated).fold(first, |id, _| {
                    argmax(engine.feed(&[id]).expect("the output fits"))
                })
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements((SCENES * generated) as u64));
    engine
        .open(SCENES, PROMPT + GENERATED)
        .expect("the scenes fit");
    engine
        .feed_sequence(0, &ids(PROMPT))
        .expect("the prompt fits");
    group.bench_function(format!("decode {SCENES} scenes"), |b| {
        b.iter(|| {
            let mut next: Vec<(usize, u32)> = (0..SCENES).map(|s| (s, first)).collect();
            for scene in (0..SCENES).rev() {
                engine.copy_prefix(0, scene, PROMPT);
            }
            for _ in 0..generated {
                let logits = engine.feed_each(&next).expect("the outputs fit");
                for ((_, id), logits) in next.iter_mut().zip(logits.chunks_exact(vocab)) {
                    *id = argmax(logits);
                }
            }
            next[0].1
        });
    });
    group.finish();
}

fn synthetic_models(c: &mut Criterion) {
    for (name, spec, threads, prompts) in [
        ("small", Spec::SMALL, &[1][..], &[PROMPT][..]),
        ("tiny", Spec::TINY, &[1, 2], &[PROMPT]),
        ("2b4t", Spec::TWO_BILLION, &[2], &[PROMPT, 512]),
    ] {
        for &n_threads in threads {
            if !common::is_wanted(&format!("{name}/{n_threads}T")) {
                continue;
            }
            let (config, weights) = synthetic(spec, 1);
            let setup = Setup {
                n_threads,
                ..Setup::default()
            };
            model(c, name, &mut BitNet::with(&config, weights, setup), prompts);
        }
    }
}

/// The model a directory holds: its load, then as the synthetic ones.
fn given_model(c: &mut Criterion) {
    let Some(folder) = std::env::var_os("VV_EVAL_BENCH_MODEL") else {
        return;
    };
    let found = artifact::resolve(Path::new(&folder)).expect("VV_EVAL_BENCH_MODEL names a model");
    let load = || {
        let bundle = ModelBundle::load(&found.files, &LoadOptions::default());
        let (config, weights) = bundle.expect("the model loads").network.into_bitnet();
        BitNet::new(&config, weights)
    };
    c.benchmark_group("given")
        .sample_size(10)
        .bench_function("load", |b| b.iter(load));
    model(c, "given", &mut load(), &[PROMPT]);
}

criterion_group!(benches, synthetic_models, given_model);
criterion_main!(benches);
