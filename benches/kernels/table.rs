//! Tables of every kernel on every shape, beside what the memory of this machine gives.
//!
//! Criterion compares a figure with its own past; a share of the bandwidth needs both measured in
//! turn, so these are taken here.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use vv_eval::engine::kernels::head::{HeadInput, logits};
use vv_eval::engine::kernels::pack::PackedMatrix;
use vv_eval::engine::kernels::pool::Pool;
use vv_eval::engine::kernels::quantize::Quantized;
use vv_eval::engine::kernels::stream::fold;
use vv_eval::engine::kernels::ternary::multiply;
use vv_eval::engine::kernels::{Kernel, Split};
use vv_eval::model::arena::{Arena, Slab};
use vv_eval::model::synthetic::random_matrix;
use vv_eval::model::{HeadStorage, Table};

/// Model, matrix and `[n_out, n_in]`.
const SHAPES: [(&str, &str, [usize; 2]); 11] = [
    ("reference", "q, k, v, o", [192, 192]),
    ("reference", "gate, up", [512, 192]),
    ("reference", "down", [192, 512]),
    ("tiny", "q, o", [256, 256]),
    ("tiny", "k, v", [128, 256]),
    ("tiny", "gate, up", [768, 256]),
    ("tiny", "down", [256, 768]),
    ("2B-4T", "q, o", [2560, 2560]),
    ("2B-4T", "k, v", [640, 2560]),
    ("2B-4T", "gate, up", [6912, 2560]),
    ("2B-4T", "down", [2560, 6912]),
];

/// The output heads, 8-bit rows.
const HEADS: [(&str, [usize; 2]); 3] = [
    ("reference", [865, 192]),
    ("tiny", [4096, 256]),
    ("2B-4T", [128_256, 2560]),
];

/// The model whose matrices no cache holds: they are also read from memory.
const STREAMED: &str = "2B-4T";

/// Copies of a matrix are read one after the other until they are as many bytes.
const MEMORY: usize = 512 << 20;

/// Time of one sample, at least.
const SAMPLE: Duration = Duration::from_millis(40);

/// Rows handed to a thread come in multiples of this.
const GRANULE: usize = 2;

/// What is measured with.
struct Setup {
    kernel: Kernel,
    pool: Pool,
    n_samples: usize,
}

/// A line of a table; what does not apply is not there.
#[derive(Default)]
struct Row {
    /// GMAC/s of one token, the matrix in cache.
    single: Option<f64>,
    /// GMAC/s of 128 tokens, the matrix in cache.
    chunk: Option<f64>,
    /// One token, the matrix from memory.
    memory: Option<Read>,
    /// GMAC/s of eight tokens, the matrix from memory.
    batch: Option<f64>,
}

/// Medians of samples taken in turn.
struct Read {
    /// GB/s of matrices.
    rate: f64,
    /// GB/s of a plain read.
    bandwidth: f64,
    /// The first as a share of the second.
    share: f64,
}

#[expect(clippy::print_stdout, reason = "this is the bench's report")]
pub(crate) fn print(arguments: &[String]) {
    let option = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let n_threads = option("--threads").unwrap_or(2);
    let n_samples = option("--samples").unwrap_or(7).max(1);
    let mut probe = Slab::<u64>::zeroed(MEMORY / 8);
    // Pages never written would all be one and the same page of zeros.
    probe.fill(0x5555_5555_5555_5555);
    let processor = processor();
    println!("{processor}, {n_threads} threads, medians of {n_samples} samples.");
    for kernel in Kernel::all() {
        let mut setup = Setup {
            kernel,
            pool: Pool::new(n_threads),
            n_samples,
        };
        println!("\n### {kernel}\n");
        println!(
            "| model | matrix | rows × columns | 1 token, in cache, GMAC/s | 128 tokens, in cache, \
             GMAC/s | 1 token, from memory, GB/s | plain read, GB/s | share | 8 tokens, from \
             memory, GMAC/s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        );
        // The plain definition computes for longer than any memory takes.
        let is_streamed = |model: &str| model == STREAMED && kernel != Kernel::SCALAR;
        for (model, name, shape) in SHAPES {
            let row = ternary(&mut setup, &probe, is_streamed(model), shape);
            println!("{}", row.line(model, name, shape));
        }
        for (model, shape) in HEADS {
            let row = head(&mut setup, &probe, is_streamed(model), shape);
            println!("{}", row.line(model, "head", shape));
        }
    }
    println!(
        "\nMAC: a multiplication with its addition; the head reads two planes of every token. From \
         memory: {} MiB of copies of a ternary matrix, or the head, each byte read once. The plain \
         read beside it takes steps as large as the matrix, with the same threads, barriers, pages \
         and prefetching, sample by sample in turn.",
        MEMORY >> 20
    );
}

/// The processor's own name.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("unknown processor").to_owned()
}

fn ternary(setup: &mut Setup, probe: &[u64], is_streamed: bool, shape: [usize; 2]) -> Row {
    let [n_out, n_in] = shape;
    let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(1), shape, 1.0);
    let n_macs = (n_out * n_in) as f64;
    let one = [PackedMatrix::new(&matrix)];
    let [single, chunk] = [1, 128].map(|tokens| {
        let mut products = Products::new(setup.kernel, tokens, shape);
        let rates: Vec<f64> = (0..setup.n_samples)
            .map(|_| rate(|| products.pass(setup, &one)))
            .collect();
        Some(median(rates) * n_macs * tokens as f64 * 1e-9)
    });
    let mut row = Row {
        single,
        chunk,
        ..Row::default()
    };
    if is_streamed {
        let bytes = one[0].bytes();
        let n = MEMORY.div_ceil(bytes);
        let arena = &mut Arena::new(n * PackedMatrix::room(&matrix));
        let copies: Vec<PackedMatrix> = (0..n)
            .map(|_| PackedMatrix::in_arena(arena, &matrix))
            .collect();
        let mut products = Products::new(setup.kernel, 1, shape);
        row.memory = Some(read(setup, probe, bytes, |setup| {
            (n * bytes) as f64 * rate(|| products.pass(setup, &copies))
        }));
        let mut products = Products::new(setup.kernel, 8, shape);
        let rates: Vec<f64> = (0..setup.n_samples)
            .map(|_| rate(|| products.pass(setup, &copies)))
            .collect();
        row.batch = Some(8.0 * median(rates) * n_macs * n as f64 * 1e-9);
    }
    row
}

fn head(setup: &mut Setup, probe: &[u64], is_streamed: bool, shape: [usize; 2]) -> Row {
    let [n_rows, width] = shape;
    let values: Vec<f32> = (0..n_rows * width)
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    let table = Table::from_values(HeadStorage::Int8, width, &values);
    drop(values);
    let n_macs = (n_rows * width) as f64;
    let passes_per_s = |setup: &mut Setup, tokens: usize| {
        let mut input = HeadInput::in_arena(&mut Arena::new(HeadInput::room(width)), width);
        for (i, x) in input.begin(tokens).iter_mut().enumerate() {
            *x = (i as f32 * 0.61).cos();
        }
        input.finish(setup.kernel, &table);
        let mut out = vec![0.0; tokens * n_rows];
        let kernel = setup.kernel;
        rate(|| {
            let split = Split::new(&mut out, n_rows, setup.pool.n_threads(), GRANULE);
            setup.pool.run(|thread| {
                logits(kernel, &table, black_box(&input), &mut split.take(thread));
            });
        })
    };
    let gmacs = |setup: &mut Setup, tokens: usize| {
        let rates: Vec<f64> = (0..setup.n_samples)
            .map(|_| passes_per_s(setup, tokens))
            .collect();
        Some(tokens as f64 * median(rates) * n_macs * 1e-9)
    };
    let bytes = table.bytes();
    if is_streamed {
        Row {
            memory: Some(read(setup, probe, bytes, |setup| {
                bytes as f64 * passes_per_s(setup, 1)
            })),
            batch: gmacs(setup, 8),
            ..Row::default()
        }
    } else {
        Row {
            single: gmacs(setup, 1),
            ..Row::default()
        }
    }
}

/// Ternary products of a few tokens with matrices of one shape.
struct Products {
    n_out: usize,
    quantized: Quantized,
    out: Vec<f32>,
}

impl Products {
    fn new(kernel: Kernel, tokens: usize, [n_out, n_in]: [usize; 2]) -> Self {
        let inputs: Vec<f32> = (0..tokens * n_in).map(|i| (i as f32).sin()).collect();
        let mut quantized = Quantized::new(tokens, n_in);
        quantized.fill(kernel, &inputs, n_in);
        Self {
            n_out,
            quantized,
            out: vec![0.0; tokens * n_out],
        }
    }

    /// One after the other, each on all threads.
    fn pass(&mut self, setup: &mut Setup, matrices: &[PackedMatrix]) {
        let n_threads = setup.pool.n_threads();
        for matrix in matrices {
            let split = Split::new(&mut self.out, self.n_out, n_threads, GRANULE);
            let (kernel, quantized) = (setup.kernel, &self.quantized);
            setup.pool.run(|thread| {
                multiply(
                    kernel,
                    matrix,
                    black_box(quantized),
                    &mut split.take(thread),
                );
            });
        }
    }
}

/// Measures bytes per second and a plain read in turn.
///
/// * `step`: bytes read between two barriers
fn read(
    setup: &mut Setup,
    probe: &[u64],
    step: usize,
    mut measured: impl FnMut(&mut Setup) -> f64,
) -> Read {
    let (mut rates, mut bandwidths, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.n_samples {
        let bandwidth = size_of_val(probe) as f64 * rate(|| plain_read(setup, probe, step));
        let rate = measured(setup);
        rates.push(rate * 1e-9);
        bandwidths.push(bandwidth * 1e-9);
        shares.push(rate / bandwidth);
    }
    Read {
        rate: median(rates),
        bandwidth: median(bandwidths),
        share: median(shares),
    }
}

/// Reads everything once.
fn plain_read(setup: &mut Setup, probe: &[u64], step: usize) {
    let (kernel, n_threads) = (setup.kernel, setup.pool.n_threads());
    for step in probe.chunks(step / 8) {
        setup.pool.run(|thread| {
            let own = step.chunks(step.len().div_ceil(n_threads)).nth(thread);
            black_box(fold(kernel, own.unwrap_or(&[])));
        });
    }
}

/// Calls per second, over [`SAMPLE`] or one call, whichever takes longer.
fn rate(mut call: impl FnMut()) -> f64 {
    // The first call fills the caches and is not counted, unless it is long enough for that not to
    // matter.
    let started = Instant::now();
    call();
    let first = started.elapsed();
    if first > 10 * SAMPLE {
        return 1.0 / first.as_secs_f64();
    }
    let started = Instant::now();
    let mut n = 0u32;
    while n == 0 || started.elapsed() < SAMPLE {
        call();
        n += 1;
    }
    f64::from(n) / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Row {
    fn line(&self, model: &str, name: &str, [rows, columns]: [usize; 2]) -> String {
        let cell = |value: Option<f64>| value.map_or("–".to_owned(), |x| format!("{x:.1}"));
        let memory = self.memory.as_ref();
        let share = memory.map_or("–".to_owned(), |read| {
            format!("{:.0} %", 100.0 * read.share)
        });
        format!(
            "| {model} | {name} | {rows}×{columns} | {} | {} | {} | {} | {share} | {} |",
            cell(self.single),
            cell(self.chunk),
            cell(memory.map(|read| read.rate)),
            cell(memory.map(|read| read.bandwidth)),
            cell(self.batch),
        )
    }
}
