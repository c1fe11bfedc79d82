//! Tokens per second of whole models with synthetic weights: a prompt of 128, then 64 tokens.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vv_eval::engine::{BitNet, Engine as _, Rewind as _, argmax};
use vv_eval::model::synthetic::{Spec, synthetic};

const PROMPT: usize = 128;
const GENERATED: usize = 64;

fn whole_models(c: &mut Criterion) {
    for (name, spec) in [("small", Spec::SMALL), ("tiny", Spec::TINY)] {
        let (config, weights) = synthetic(spec, 1);
        let mut engine = BitNet::new(&config, weights);
        engine
            .reserve(PROMPT + GENERATED)
            .expect("the context is longer");
        let prompt: Vec<u32> = (0..1000).step_by(7).take(PROMPT).collect();

        let mut group = c.benchmark_group(name);
        group.warm_up_time(Duration::from_millis(300));
        group
            .measurement_time(Duration::from_secs(1))
            .sample_size(10);
        group.throughput(Throughput::Elements(PROMPT as u64));
        group.bench_function("prefill", |b| {
            b.iter(|| {
                engine.reset();
                black_box(engine.feed(black_box(&prompt)).expect("the prompt fits")[0])
            });
        });
        engine.reset();
        let first = argmax(engine.feed(&prompt).expect("the prompt fits"));
        group.throughput(Throughput::Elements(GENERATED as u64));
        group.bench_function("decode", |b| {
            b.iter_batched(
                || first,
                |first| {
                    engine.rewind(engine.position() - PROMPT);
                    (0..GENERATED).fold(first, |id, _| {
                        argmax(engine.feed(&[id]).expect("the output fits"))
                    })
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, whole_models);
criterion_main!(benches);
