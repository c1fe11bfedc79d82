//! Ternary products of one token and of a prompt tile, on the shapes of two small models.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use vv_eval::engine::kernels::pack::PackedMatrix;
use vv_eval::engine::kernels::scalar::{Quantized, products};
use vv_eval::model::synthetic::random_matrix;

/// `[n_out, n_in]` of the projections: `q`/`o`, `k`/`v`, `gate`/`up`, `down`.
const SHAPES: [[usize; 2]; 7] = [
    [256, 256],
    [128, 256],
    [768, 256],
    [256, 768],
    [192, 192],
    [512, 192],
    [192, 512],
];

fn ternary_products(c: &mut Criterion) {
    for tokens in [1, 64] {
        let mut group = c.benchmark_group(format!("ternary_{tokens}_tokens"));
        group.warm_up_time(Duration::from_millis(200));
        group
            .measurement_time(Duration::from_millis(500))
            .sample_size(20);
        for [n_out, n_in] in SHAPES {
            let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(1), [n_out, n_in], 1.0);
            let packed = PackedMatrix::new(&matrix);
            let inputs: Vec<f32> = (0..tokens * n_in).map(|i| (i as f32).sin()).collect();
            let mut quantized = Quantized::default();
            quantized.fill(&inputs, n_in);
            let mut unpacked = Vec::new();
            let mut out = vec![0; tokens * n_out];
            // Elements are multiplications with an addition each.
            group.throughput(Throughput::Elements((tokens * n_out * n_in) as u64));
            group.bench_function(format!("{n_out}x{n_in}"), |b| {
                b.iter(|| {
                    products(&packed, black_box(&quantized), &mut unpacked, &mut out);
                    black_box(out[0])
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, ternary_products);
criterion_main!(benches);
