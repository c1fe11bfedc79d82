//! Ternary products of one token and of a prompt chunk, kernel by kernel, on the shapes of the
//! tiny and the 2-billion-weight model; in cache.
//!
//! `cargo bench --bench kernels -- --table [--threads N] [--samples N]` measures the same and the
//! products from memory beside this machine's read bandwidth, and prints tables in Markdown.

mod table;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use vv_eval::engine::kernels::pack::PackedMatrix;
use vv_eval::engine::kernels::quantize::Quantized;
use vv_eval::engine::kernels::ternary::multiply;
use vv_eval::engine::kernels::{Kernel, Split};
use vv_eval::model::synthetic::random_matrix;

/// `[n_out, n_in]` of the projections: `q`/`o`, `k`/`v`, `gate`/`up`, `down`.
const SHAPES: [[usize; 2]; 8] = [
    [256, 256],
    [128, 256],
    [768, 256],
    [256, 768],
    [2560, 2560],
    [640, 2560],
    [6912, 2560],
    [2560, 6912],
];

fn ternary_products(c: &mut Criterion) {
    for kernel in Kernel::all() {
        for tokens in [1, 8, 128] {
            let mut group = c.benchmark_group(format!("ternary/{kernel}/{tokens} tokens"));
            group.warm_up_time(Duration::from_millis(100));
            group
                .measurement_time(Duration::from_millis(300))
                .sample_size(10);
            for [n_out, n_in] in SHAPES {
                let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(1), [n_out, n_in], 1.0);
                let packed = PackedMatrix::new(&matrix);
                let inputs: Vec<f32> = (0..tokens * n_in).map(|i| (i as f32).sin()).collect();
                let mut quantized = Quantized::new(tokens, n_in);
                quantized.fill(kernel, &inputs, n_in);
                let mut out = vec![0.0; tokens * n_out];
                // Elements are multiplications with an addition each.
                group.throughput(Throughput::Elements((tokens * n_out * n_in) as u64));
                group.bench_function(format!("{n_out}x{n_in}"), |b| {
                    b.iter(|| {
                        let split = Split::new(&mut out, n_out, 1, 2);
                        multiply(kernel, &packed, black_box(&quantized), &mut split.take(0));
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, ternary_products);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|a| a == "--table") {
        return table::print(&arguments);
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
