//! Every kernel against the definition, bit for bit, and the definition against plain formulas.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::head::{HeadInput, logits};
use super::pack::{GROUP, PackedMatrix};
use super::quantize::Quantized;
use super::ternary::{multiply, multiply_add, products};
use super::{Kernel, Split, float};
use crate::model::arena::Arena;
use crate::model::synthetic::random_matrix;
use crate::model::{HeadStorage, Table, TernaryMatrix};

fn quantized(kernel: Kernel, x: &[f32], n_in: usize) -> Quantized {
    let mut quantized = Quantized::new(x.len() / n_in, n_in);
    quantized.fill(kernel, x, n_in);
    quantized
}

/// All sums, `[tokens, n_out]`, the rows in two calls that begin and end at odd rows.
fn sums(kernel: Kernel, weights: &PackedMatrix, x: &Quantized) -> Vec<i32> {
    let n_out = weights.n_out();
    let mut sums = vec![i32::MIN; x.n_tokens() * n_out];
    for rows in [0..n_out / 2, n_out / 2..n_out] {
        products(kernel, weights, rows, x, |row, token, sum| {
            assert_eq!(sums[token * n_out + row], i32::MIN, "a product comes once");
            sums[token * n_out + row] = sum;
        });
    }
    sums
}

/// The plainest loop.
fn oracle(matrix: &TernaryMatrix, q: &[i8]) -> Vec<i32> {
    let row = |row| {
        let products = q.iter().enumerate();
        let products = products.map(|(j, q)| i32::from(matrix.sign(row, j)) * i32::from(*q));
        products.sum()
    };
    (0..matrix.n_out()).map(row).collect()
}

/// Activations with extremes and zero rows between noise.
fn activations(n: usize, n_in: usize, seed: u64) -> Vec<f32> {
    let value = |i: usize| match (i / n_in + usize::try_from(seed % 5).unwrap()) % 5 {
        0 => 0.0,
        1 if i.is_multiple_of(2) => 127.0,
        1 => -127.0,
        _ => ((i as f32 + seed as f32) * 0.37).sin() * 40.0,
    };
    (0..n * n_in).map(value).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_kernel_gives_the_exact_sums(
        // Now and then several blocks of rows and several tiles of tokens.
        n_out in prop_oneof![1usize..13, 60usize..90], n_in in 1usize..1100,
        tokens in 1usize..20, seed: u64,
    ) {
        // A matrix of one or two columns may have no zero by chance.
        let n_in = n_in + 8;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let matrix = random_matrix(&mut rng, [n_out + 3, n_in], 1.0);
        let packed = PackedMatrix::new(&matrix);
        let x = activations(tokens, n_in, seed % 1000);
        let q = quantized(Kernel::SCALAR, &x, n_in);
        let expected: Vec<i32> = (0..tokens).flat_map(|t| oracle(&matrix, &q.row(t))).collect();
        for kernel in Kernel::all() {
            let own = quantized(kernel, &x, n_in);
            for token in 0..tokens {
                prop_assert_eq!(own.row(token), q.row(token));
            }
            prop_assert_eq!(own.sums(), q.sums());
            prop_assert_eq!(bits(own.factors()), bits(q.factors()));
            prop_assert_eq!(sums(kernel, &packed, &own), expected.clone(), "{}", kernel);
        }
    }

    #[test]
    fn every_kernel_gives_the_same_logits(
        width in 1usize..300, n_rows in 1usize..20, tokens in 1usize..9, seed: u32,
    ) {
        let wave = |n: usize, by: f32| -> Vec<f32> {
            (0..n).map(|i| ((i as f32 + seed as f32 % 97.0) * by).sin() * 3.0).collect()
        };
        let rows = wave(n_rows * width, 0.61);
        let h = wave(tokens * width, 0.17);
        for storage in [HeadStorage::Int8, HeadStorage::F16, HeadStorage::Exact] {
            let table = Table::from_values(storage, width, &rows);
            let expected = head(Kernel::SCALAR, &table, &h, tokens);
            for kernel in Kernel::all() {
                let found = head(kernel, &table, &h, tokens);
                prop_assert_eq!(bits(&found), bits(&expected), "{} {}", kernel, storage);
            }
            // Alone and in company: the same bits.
            let alone: Vec<f32> = h
                .chunks(width)
                .flat_map(|h| head(Kernel::chosen(), &table, h, 1))
                .collect();
            prop_assert_eq!(bits(&alone), bits(&expected));
        }
    }

    #[test]
    fn every_kernel_gives_the_same_floats(n in 1usize..200, positions in 1usize..40, seed: u32) {
        let wave = |n: usize, by: f32| -> Vec<f32> {
            (0..n).map(|i| ((i as f32 + seed as f32 % 97.0) * by).sin() * 3.0).collect()
        };
        let d = 2 * n.div_ceil(8);
        let (a, b) = (wave(n, 0.3), wave(n, 0.7));
        let (q, k, v) = (wave(3 * d, 0.2), wave(positions * d, 0.5), wave(positions * d, 0.9));
        let all = |kernel: Kernel| -> Vec<u32> {
            let mut normed = vec![0.0; n];
            float::rms_norm(kernel, &a, &b, 1e-5, &mut normed);
            let mut attended = vec![0.0; 3 * d];
            let mut weights = vec![0.0; 3 * positions];
            float::attend(kernel, &q, &k, &v, &mut weights, &mut attended, d);
            let mut head = q[..d].to_vec();
            float::rotate(kernel, &mut head, &k[..d / 2], &v[..d / 2]);
            let (mut silu, mut relu) = (a.clone(), a.clone());
            float::gate_silu(kernel, &mut silu, &b);
            float::gate_relu2(kernel, &mut relu, &b);
            let dot = float::dot(kernel, &a, &b);
            let all = [normed, attended, weights, head, silu, relu, vec![dot]].concat();
            bits(&all)
        };
        let expected = all(Kernel::SCALAR);
        for kernel in Kernel::all() {
            prop_assert_eq!(all(kernel), expected.clone(), "{}", kernel);
        }
    }
}

fn head(kernel: Kernel, table: &Table, h: &[f32], tokens: usize) -> Vec<f32> {
    let mut arena = Arena::new(HeadInput::room(table.width()));
    let mut input = HeadInput::in_arena(&mut arena, table.width());
    input.begin(tokens).copy_from_slice(h);
    input.finish(kernel, table);
    let mut out = vec![f32::NAN; tokens * table.n_rows()];
    {
        let split = Split::new(&mut out, table.n_rows(), 2, 4);
        for part in 0..2 {
            logits(kernel, table, &input, &mut split.take(part));
        }
    }
    out
}

#[test]
fn eight_bit_logits_are_close_to_exact_ones() {
    let wave = |n: usize, by: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * by).sin()).collect() };
    let (rows, h) = (wave(50 * 200, 0.61), wave(200, 0.17));
    let logits = |storage| {
        let table = Table::from_values(storage, 200, &rows);
        head(Kernel::chosen(), &table, &h, 1)
    };
    let (exact, int8) = (logits(HeadStorage::Exact), logits(HeadStorage::Int8));
    // Half a step of 1/127 in each of 200 weights, at random signs, times inputs of about 0.7:
    // far below 200 * 0.5 / 127 * 1 = 0.79, the bound if all errors had one sign.
    let worst = exact
        .iter()
        .zip(&int8)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst > 0.0 && worst < 0.1, "{worst}");
    // What remains after the table's own rounding is the input's 15 bits.
    let table = Table::from_values(HeadStorage::Int8, 200, &rows);
    let mut rounded = vec![0.0; 50 * 200];
    for (row, values) in rounded.chunks_exact_mut(200).enumerate() {
        table.read(row, values);
    }
    let table = Table::from_values(HeadStorage::Exact, 200, &rounded);
    let exact = head(Kernel::chosen(), &table, &h, 1);
    let worst = exact
        .iter()
        .zip(&int8)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 3e-3, "{worst}");
}

#[test]
fn what_is_not_finite_reaches_the_logits() {
    let table = Table::from_values(HeadStorage::Int8, 4, &[1.0, 2.0, 3.0, 4.0]);
    for bad in [f32::NAN, f32::INFINITY] {
        for kernel in Kernel::all() {
            assert!(!head(kernel, &table, &[1.0, bad, 0.0, 1.0], 1)[0].is_finite());
        }
    }
    assert_eq!(head(Kernel::SCALAR, &table, &[0.0; 4], 1)[0].to_bits(), 0);
}

#[test]
fn the_largest_sums_do_not_wrap() {
    let n_in = 40 * GROUP + 3;
    // Every weight is 1 but the first, every activation 127.
    let mut codes = vec![0b10_10_10_10; n_in.div_ceil(4)];
    codes[0] = 0b10_10_10_01;
    *codes.last_mut().unwrap() = 0b10_10_10;
    let matrix = TernaryMatrix::new("w", [1, n_in], codes, 1.0).unwrap();
    let packed = PackedMatrix::new(&matrix);
    let expected = 127 * (i32::try_from(n_in).unwrap() - 1);
    for kernel in Kernel::all() {
        for tokens in [1, 2, 8] {
            for sign in [1, -1] {
                let q = quantized(kernel, &vec![sign as f32; tokens * n_in], n_in);
                assert_eq!(sums(kernel, &packed, &q), vec![sign * expected; tokens]);
            }
        }
    }
}

#[test]
fn products_equal_a_dense_product_of_the_dequantized_matrix() {
    let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(3), [40, 300], 0.75);
    let x: Vec<f32> = (0..2 * 300)
        .map(|i| (i as f32 * 0.37).sin() * 127.0)
        .collect();
    let q = quantized(Kernel::chosen(), &x, 300);
    let out = sums(Kernel::chosen(), &PackedMatrix::new(&matrix), &q);

    let device = Device::Cpu;
    let weights = Tensor::from_vec(matrix.dequantize(), (40, 300), &device).unwrap();
    let values: Vec<f32> = (0..2).flat_map(|t| q.row(t)).map(f32::from).collect();
    let inputs = Tensor::from_vec(values, (2, 300), &device).unwrap();
    let dense = inputs.matmul(&weights.t().unwrap()).unwrap();
    let dense: Vec<f32> = dense.flatten_all().unwrap().to_vec1().unwrap();
    for (sum, dense) in out.iter().zip(dense) {
        // Multiples of 0.75 below 2^20 are exact in f32, whatever the order.
        assert_eq!(
            (*sum as f32 * matrix.scale()).to_bits(),
            (dense + 0.0).to_bits()
        );
    }
}

#[test]
fn multiplying_scales_each_sum_once_and_adding_adds() {
    let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(3), [5, 70], 0.3);
    let packed = PackedMatrix::new(&matrix);
    let x: Vec<f32> = (0..3 * 70).map(|i| (i as f32 * 0.7).sin()).collect();
    for kernel in Kernel::all() {
        let q = quantized(kernel, &x, 70);
        let sums = sums(kernel, &packed, &q);
        let mut out = vec![0.0; 3 * 5];
        multiply(
            kernel,
            &packed,
            &q,
            &mut Split::new(&mut out, 5, 1, 1).take(0),
        );
        for (i, (y, sum)) in out.iter().zip(&sums).enumerate() {
            let expected = *sum as f32 * (0.3 / q.factors()[i / 5]);
            assert_eq!(y.to_bits(), expected.to_bits());
        }
        let mut sum = vec![1.0; 3 * 5];
        multiply_add(
            kernel,
            &packed,
            &q,
            &mut Split::new(&mut sum, 5, 1, 1).take(0),
        );
        let expected: Vec<f32> = out.iter().map(|y| 1.0 + y).collect();
        assert_eq!(bits(&sum), bits(&expected));
    }
}

#[test]
#[should_panic(expected = "operands differ in width")]
fn operands_of_different_width_are_a_bug() {
    let matrix = random_matrix(&mut ChaCha8Rng::seed_from_u64(1), [2, 64], 1.0);
    let q = quantized(Kernel::SCALAR, &[1.0; 60], 60);
    sums(Kernel::SCALAR, &PackedMatrix::new(&matrix), &q);
}

#[test]
fn the_kernel_of_this_process_runs_on_this_machine() {
    assert!(Kernel::all().contains(&Kernel::chosen()));
    assert_eq!(Kernel::all()[0], Kernel::SCALAR);
}
