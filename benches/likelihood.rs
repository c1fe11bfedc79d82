//! The likelihood pass: what a scene costs one model, prompt and four texts of it, prefill only.
//!
//! Synthetic weights as in `decode`, and with `VV_EVAL_BENCH_MODEL=DIR` a model from disk. `scene` is
//! what a worker does of each scene: the prompt once, each text in one go, the probability of every
//! token; `compared` also holds every distribution against another model's. `token by token` is the
//! same feed without prefill and with the prompt anew for each text, for the ratio. The large shape
//! takes 1 GB of memory; `cargo bench --bench likelihood -- tiny` leaves it out.

mod common;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use vv_eval::artifact;
use vv_eval::engine::likelihood::{Distance, Reader, log_prob};
use vv_eval::engine::{BitNet, Engine, Error, Setup};
use vv_eval::model::synthetic::{Spec, synthetic};
use vv_eval::model::{LoadOptions, ModelBundle};

/// Tokens of a prompt, and of two references and two outputs of a middling scene.
const PROMPT: usize = 128;
const TEXTS: [usize; 4] = [48, 48, 64, 64];

fn ids(n: usize, from: usize, vocab: usize) -> Vec<u32> {
    (from..from + n)
        .map(|i| u32::try_from(i * 7919 % vocab).expect("ids fit u32"))
        .collect()
}

/// Reads the texts behind the prompt; gives the sum of −ln p so that nothing is left out.
fn scene(
    engine: &mut dyn Engine,
    prompt: &[u32],
    texts: &[Vec<u32>],
    other: Option<&[f32]>,
) -> f64 {
    let mut reader = Reader::new(engine);
    let mut sum = 0.0;
    for text in texts {
        let read = reader.read(prompt, text, &mut |logits, id| {
            sum -= log_prob(logits, id);
            if let Some(other) = other {
                sum += Distance::of(other, logits).divergence;
            }
            Ok::<(), Error>(())
        });
        read.expect("the text fits");
    }
    sum
}

/// The same sum, one token at a time and every text from the start.
fn token_by_token(engine: &mut dyn Engine, prompt: &[u32], texts: &[Vec<u32>]) -> f64 {
    let mut sum = 0.0;
    for text in texts {
        engine.reset();
        let (last, before) = prompt.split_last().expect("the prompt is not empty");
        for id in before {
            engine.feed(&[*id]).expect("the prompt fits");
        }
        let fed = std::iter::once(last).chain(text);
        for (id, next) in fed.zip(text) {
            let logits = engine.feed(&[*id]).expect("the text fits");
            sum -= log_prob(logits, *next);
        }
    }
    sum
}

fn model(c: &mut Criterion, name: &str, engine: &mut BitNet) {
    let vocab = engine.vocab_size();
    let prompt = ids(PROMPT, 0, vocab);
    let texts: Vec<Vec<u32>> = TEXTS
        .iter()
        .enumerate()
        .map(|(i, n)| ids(*n, 1000 * (i + 1), vocab))
        .collect();
    let is_large = engine.bytes_per_token() > 100 << 20;
    let n_threads = engine.setup().n_threads;
    let other = engine.feed(&prompt).expect("the prompt fits").to_vec();
    if !is_large {
        let [together, apart] = [
            scene(engine, &prompt, &texts, None),
            token_by_token(engine, &prompt, &texts),
        ];
        let is_equal = together.to_bits() == apart.to_bits();
        assert!(is_equal, "the same probabilities, bit for bit");
    }

    let mut group = c.benchmark_group(format!("likelihood/{name}/{n_threads}T"));
    group.warm_up_time(Duration::from_millis(300));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.measurement_time(Duration::from_secs(if is_large { 20 } else { 2 }));
    let n_tokens = PROMPT + TEXTS.iter().sum::<usize>();
    group.throughput(Throughput::Elements(n_tokens as u64));
    group.bench_function("scene", |b| {
        b.iter(|| black_box(scene(engine, black_box(&prompt), &texts, None)));
    });
    group.bench_function("compared", |b| {
        b.iter(|| black_box(scene(engine, black_box(&prompt), &texts, Some(&other))));
    });
    // Minutes for the large shape, whose decoding `decode` times.
    if !is_large {
        group.bench_function("token by token", |b| {
            b.iter(|| black_box(token_by_token(engine, black_box(&prompt), &texts)));
        });
    }
    group.finish();
}

fn synthetic_models(c: &mut Criterion) {
    for (name, spec, threads) in [
        ("small", Spec::SMALL, &[1][..]),
        ("tiny", Spec::TINY, &[1, 2]),
        ("2b4t", Spec::TWO_BILLION, &[2]),
    ] {
        for &n_threads in threads {
            if !common::is_wanted(&format!("likelihood/{name}/{n_threads}T")) {
                continue;
            }
            let (config, weights) = synthetic(spec, 1);
            let setup = Setup {
                n_threads,
                ..Setup::default()
            };
            model(c, name, &mut BitNet::with(&config, weights, setup));
        }
    }
}

/// The model a directory holds.
fn given_model(c: &mut Criterion) {
    let Some(folder) = std::env::var_os("VV_EVAL_BENCH_MODEL") else {
        return;
    };
    let found = artifact::resolve(Path::new(&folder)).expect("VV_EVAL_BENCH_MODEL names a model");
    let bundle = ModelBundle::load(&found.files, &LoadOptions::default());
    let (config, weights) = bundle.expect("the model loads").network.into_bitnet();
    model(c, "given", &mut BitNet::new(&config, weights));
}

criterion_group!(benches, synthetic_models, given_model);
criterion_main!(benches);
