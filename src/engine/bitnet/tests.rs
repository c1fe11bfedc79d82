use proptest::prelude::*;

use super::*;
use crate::engine::conformance;
use crate::model::synthetic::{Spec, synthetic};
use crate::model::{HeadStorage, Witness, arena};

const SPEC: Spec = Spec {
    n_layers: 2,
    vocab_size: 128,
    max_positions: 200,
    ..Spec::TINY
};

fn engine(spec: Spec, setup: Setup) -> BitNet {
    let (config, weights) = synthetic(spec, 7);
    BitNet::with(&config, weights, setup)
}

fn tiny() -> BitNet {
    engine(SPEC, Setup::default())
}

fn setups() -> impl Iterator<Item = Setup> {
    let threads = [1, 2, 3];
    let pair = move |kernel| threads.map(|n_threads| Setup { kernel, n_threads });
    Kernel::all().into_iter().flat_map(pair)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn it_conforms_on_every_kernel_and_number_of_threads() {
    for setup in setups() {
        let mut engine = engine(SPEC, setup);
        assert_eq!(engine.setup(), setup);
        conformance::check_all(&mut engine);
        conformance::sequences_get_the_bits_they_get_alone(&mut engine);
    }
}

#[test]
fn threads_share_out_keys_evenly() {
    let at = |sequence, position| Token { sequence, position };
    let prompt: Vec<Token> = (300..428).map(|position| at(0, position)).collect();
    let scenes: Vec<Token> = (0..8).map(|i| at(i, 700 - 90 * i)).collect();
    for (tokens, n_heads) in [(&prompt, 5), (&scenes, 20), (&vec![at(0, 900)], 20)] {
        for n_threads in [1, 2, 3, 7] {
            let edges = forward::shares(tokens, n_heads, n_threads);
            assert_eq!(edges[0], 0);
            assert_eq!(edges[n_threads], tokens.len() * n_heads);
            let keys = |pair: usize| tokens[pair / n_heads].position + 1;
            let total: usize = (0..tokens.len() * n_heads).map(keys).sum();
            let largest = tokens.iter().map(|t| t.position + 1).max().unwrap();
            for part in edges[..=n_threads].windows(2) {
                let share: usize = (part[0]..part[1]).map(keys).sum();
                // No share is off by more than a head at either end.
                assert!(share.abs_diff(total / n_threads) <= 2 * largest, "{part:?}");
            }
        }
    }
}

#[test]
fn logits_do_not_depend_on_kernel_or_threads() {
    for head in [HeadStorage::Int8, HeadStorage::F16, HeadStorage::Exact] {
        // Odd numbers of heads and rows, so that shares differ.
        let spec = Spec {
            hidden_size: 60,
            intermediate_size: 101,
            n_heads: 5,
            n_kv_heads: 5,
            vocab_size: 97,
            head,
            ..SPEC
        };
        let ids: Vec<u32> = (0..150).map(|i| i * 7 % 97).collect();
        let mut expected = None;
        for setup in setups() {
            let found = bits(engine(spec, setup).feed(&ids).unwrap());
            assert_eq!(
                &found,
                expected.get_or_insert_with(|| found.clone()),
                "{setup:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Prompts of any length, in any company, on any kernel and threads: the same bits.
    #[test]
    fn batched_sequences_equal_single_ones(
        lengths in prop::collection::vec(1usize..20, 1..10), steps in 1usize..5, pick: prop::sample::Index,
    ) {
        let setups: Vec<Setup> = setups().collect();
        let mut together = engine(SPEC, setups[pick.index(setups.len())]);
        let mut alone = engine(SPEC, Setup { kernel: Kernel::SCALAR, n_threads: 1 });
        let id = |i: usize| u32::try_from(i * 31 % 128).unwrap();
        let prompt = |s: usize| -> Vec<u32> { (0..lengths[s]).map(|i| id(i + s)).collect() };
        together.open(lengths.len(), 30).unwrap();
        for s in 0..lengths.len() {
            together.feed_sequence(s, &prompt(s)).unwrap();
        }
        for step in 0..steps {
            let next: Vec<(usize, u32)> = (0..lengths.len()).map(|s| (s, id(step + 3 * s))).collect();
            let rows = bits(together.feed_each(&next).unwrap());
            for (s, row) in rows.chunks(128).enumerate() {
                alone.reset();
                let fed: Vec<u32> = (0..=step).map(|step| id(step + 3 * s)).collect();
                let whole = [prompt(s), fed].concat();
                prop_assert_eq!(row, bits(alone.feed(&whole).unwrap()));
            }
        }
    }
}

#[test]
fn a_copied_prefix_is_as_good_as_a_fed_one() {
    let mut engine = tiny();
    let prompt: Vec<u32> = (0..40).collect();
    let whole = bits(engine.feed(&prompt).unwrap());
    engine.open(3, 60).unwrap();
    engine.feed_sequence(0, &prompt[..33]).unwrap();
    engine.copy_prefix(0, 2, 30);
    assert_eq!(bits(engine.feed_sequence(2, &prompt[30..]).unwrap()), whole);
    engine.copy_prefix(2, 0, 10);
    assert_eq!(bits(engine.feed_sequence(0, &prompt[10..]).unwrap()), whole);
}

#[test]
fn a_refused_batch_feeds_nothing() {
    let mut engine = tiny();
    engine.open(2, 5).unwrap();
    engine.feed_sequence(0, &[1]).unwrap();
    engine.feed_sequence(1, &[1, 2]).unwrap();
    let before = engine.cache.length(0);
    assert!(matches!(
        engine.feed_each(&[(0, 1), (1, 128)]),
        Err(Error::UnknownToken { id: 128, .. })
    ));
    assert_eq!(engine.cache.length(0), before);
    let full = Error::ContextFull {
        limit: 200,
        wanted: 201,
    };
    assert_eq!(engine.open(2, 201), Err(full));
}

#[test]
fn a_batch_grows_beyond_what_was_reserved() {
    let mut engine = tiny();
    let alone = bits(engine.feed(&[1, 2, 3, 4, 5]).unwrap());
    engine.open(2, 2).unwrap();
    engine.feed_sequence(0, &[9]).unwrap();
    engine.feed_sequence(1, &[1, 2]).unwrap();
    for id in 3..5 {
        engine.feed_each(&[(0, 7), (1, id)]).unwrap();
    }
    let rows = bits(engine.feed_each(&[(1, 5)]).unwrap());
    assert_eq!(rows, alone);
}

#[test]
fn the_feed_forward_values_may_exceed_what_f16_holds() {
    let mut z = [300.0];
    super::super::kernels::float::gate_relu2(Kernel::chosen(), &mut z, &[10.0]);
    assert!(z[0] > 65_504.0 && z[0].is_finite());
}

/// The largest product of a squared gate and its value that a trace lets compute.
#[derive(Default)]
struct LargestGated {
    /// Of gate and up.
    scales: [f32; 2],
    /// Of each token.
    activations: Vec<f32>,
    /// Sums of the gate.
    gates: Vec<i32>,
    largest: f32,
}

impl Trace for LargestGated {
    fn quantized(&mut self, _: usize, input: Input, values: &Quantized) {
        if input == Input::Mlp {
            self.activations = values.factors().iter().map(|r| 1.0 / r).collect();
        }
    }

    fn sums(&mut self, _: usize, projection: Projection, sums: &[i32]) {
        match projection {
            Projection::Gate => self.gates = sums.to_vec(),
            Projection::Up => {
                let width = sums.len() / self.activations.len();
                for (i, (gate, up)) in self.gates.iter().zip(sums).enumerate() {
                    let x = self.activations[i / width];
                    let gate = (*gate as f32 * self.scales[0] * x).max(0.0);
                    let gated = (gate * gate * (*up as f32 * self.scales[1] * x)).abs();
                    self.largest = self.largest.max(gated);
                }
            }
            _ => {}
        }
    }
}

// Pitfall 13: the norm before `down` takes a common factor away, unless something overflowed.
#[test]
fn a_feed_forward_layer_beyond_f16_gives_what_a_small_one_gives() {
    let run = |factor: f32| {
        let (config, mut weights) = synthetic(SPEC, 7);
        let mut scales = [0.0; 2];
        for layer in &mut weights.layers {
            for (matrix, scale) in [&mut layer.gate, &mut layer.up]
                .into_iter()
                .zip(&mut scales)
            {
                *scale = matrix.scale() * factor;
                let shape = [matrix.n_out(), matrix.n_in()];
                let codes = matrix.codes().to_vec();
                *matrix = TernaryMatrix::new("w", shape, codes, *scale).unwrap();
            }
        }
        let mut trace = LargestGated {
            scales,
            ..LargestGated::default()
        };
        let mut engine = BitNet::with(&config, weights, Setup::default());
        let logits = engine.feed_traced(&[1, 2, 3], &mut trace).unwrap().to_vec();
        (logits, trace.largest)
    };
    let (small, of_small) = run(1.0 / 16.0);
    let (large, of_large) = run(64.0);
    assert!(of_small < 65_504.0, "{of_small}");
    assert!(of_large > 1e3 * 65_504.0, "{of_large}");
    // Only the epsilon of the norm, and a rounding it tips over, tell the two apart.
    let spread = small.iter().fold(0f32, |most, x| most.max(x.abs()));
    for (small, large) in small.iter().zip(&large) {
        assert!((small - large).abs() < 0.01 * spread, "{small} {large}");
    }
}

#[test]
fn a_nan_weight_shows_in_the_logits() {
    let mut engine = tiny();
    engine.final_norm[3] = f32::NAN;
    let logits = engine.feed(&[1, 5]).unwrap();
    assert!(logits.iter().all(|x| x.is_nan()));
}

#[test]
fn the_norms_before_o_and_down_matter() {
    let spec = Spec {
        n_layers: 1,
        vocab_size: 64,
        max_positions: 8,
        ..Spec::TINY
    };
    let run = |remove: fn(&mut LayerWeights)| {
        let (config, mut weights) = synthetic(spec, 7);
        remove(&mut weights.layers[0]);
        BitNet::new(&config, weights)
            .feed(&[1, 2])
            .unwrap()
            .to_vec()
    };
    let whole = run(|_| ());
    assert_ne!(whole, run(|layer| layer.attn_sub_norm = None));
    assert_ne!(whole, run(|layer| layer.ffn_sub_norm = None));
}

#[test]
fn feeding_after_a_reservation_moves_no_buffer() {
    let mut engine = tiny();
    engine.reserve(150).unwrap();
    engine.feed(&[1; 130]).unwrap();
    let places = |e: &BitNet| {
        (
            e.cache.places(),
            (e.scratch.weights.as_ptr(), e.scratch.weights.capacity()),
            (e.logits.as_ptr(), e.logits.capacity()),
            (e.tokens.as_ptr(), e.tokens.capacity()),
        )
    };
    let before = places(&engine);
    engine.reset();
    engine.feed(&[2; 64]).unwrap();
    for id in 0..30 {
        engine.feed(&[id]).unwrap();
    }
    assert_eq!(before, places(&engine));
}

#[test]
fn weights_that_are_not_those_of_their_file_are_refused() {
    let (config, mut weights) = synthetic(SPEC, 7);
    let up = weights.layers[1].up.clone();
    let shape = [up.n_out(), up.n_in()];
    let signs = |row: usize, out: &mut [i8]| {
        for (column, sign) in out.iter_mut().enumerate() {
            *sign = up.sign(row, column);
        }
    };
    let sound = weights.layers[1]
        .up
        .clone()
        .with_witness(Some(Witness::new(shape, signs)));
    // Rows that begin one column late.
    let shifted = |row: usize, out: &mut [i8]| {
        signs(row, out);
        out.rotate_left(1);
    };
    let wrong = sound
        .clone()
        .with_witness(Some(Witness::new(shape, shifted)));
    weights.layers[1].up = sound;
    let load = |weights: Weights| BitNet::checked(&config, weights, Setup::default());
    assert!(load(weights).is_ok());

    let (_, mut weights) = synthetic(SPEC, 7);
    weights.layers[1].up = wrong;
    let error = load(weights).err().expect("the sums differ");
    assert_eq!(
        (error.layer, error.projection, error.row),
        (1, "mlp.up_proj", 0)
    );
    assert_ne!(error.expected, error.found);
}

#[test]
fn packed_weights_stand_on_their_boundary() {
    let engine = tiny();
    for layer in &engine.layers {
        for matrix in [&layer.q, &layer.v, &layer.down] {
            assert!(
                matrix
                    .row(0)
                    .as_ptr()
                    .addr()
                    .is_multiple_of(arena::ALIGNMENT)
            );
        }
    }
}
