//! Decoding takes no memory and weights are held once, counted by the allocator of this binary.

use std::alloc::System;
use std::process::Command;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use vv_eval::artifact;
use vv_eval::engine::kernels::Kernel;
use vv_eval::engine::{self, Batch as _, BitNet, Engine as _, Setup};
use vv_eval::model::arena::large_regions;
use vv_eval::model::synthetic::{Spec, synthetic};
use vv_eval::model::{LayerWeights, LoadOptions, ModelBundle, TernaryMatrix};

use super::common::root;

/// Counts for all tests of the binary, and changes nothing for them.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Set in the process that counts.
const ALONE: &str = "VV_EVAL_TEST_COUNTS_ALONE";

/// Rounds of which the quietest counts: threads of the test harness, and those of the engine when
/// they sleep for the first time, take some memory once; a buffer of the engine that is made anew
/// is so in every round.
const ROUNDS: usize = 5;

/// Address space in use, in pages, so that mappings past the allocator are seen as well.
fn n_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let size = statm.split(' ').next().and_then(|n| n.parse().ok());
    size.unwrap_or(0)
}

/// Allocations, by any thread, and pages mapped while `work` runs, in the quietest round; growing a
/// buffer counts as an allocation.
fn taken(mut work: impl FnMut()) -> [usize; 2] {
    let round = |_| {
        let pages = n_pages();
        let region = Region::new(ALLOCATOR);
        work();
        let change = region.change();
        let pages = n_pages().saturating_sub(pages);
        [change.allocations + change.reallocations, pages]
    };
    (0..ROUNDS).map(round).min().unwrap()
}

fn count(n_threads: usize) {
    let spec = Spec {
        n_layers: 2,
        vocab_size: 128,
        max_positions: 200,
        ..Spec::TINY
    };
    let (config, weights) = synthetic(spec, 7);
    let setup = Setup {
        kernel: Kernel::chosen(),
        n_threads,
    };
    let mut engine = BitNet::with(&config, weights, setup);
    let control = taken(|| drop(std::hint::black_box(vec![1u8; 9])));
    assert_eq!(control[0], 1, "an allocation is counted");

    engine.reserve(150).unwrap();
    let prompt = [3u32; 110];
    let single = taken(|| {
        engine.reset();
        engine.feed(&prompt).unwrap();
        for id in 0..40 {
            engine.feed(&[id]).unwrap();
        }
    });
    assert_eq!(single, [0, 0], "one by one, {n_threads} threads");

    engine.open(8, 120).unwrap();
    let next: Vec<(usize, u32)> = (0..8).zip(40..).collect();
    let batched = taken(|| {
        for sequence in 0..8 {
            engine.copy_prefix(0, sequence, 0);
            engine.feed_sequence(sequence, &prompt[..70]).unwrap();
        }
        for _ in 0..40 {
            engine.feed_each(&next).unwrap();
        }
    });
    assert_eq!(batched, [0, 0], "in batches, {n_threads} threads");
}

/// Bytes taken from the allocator and not given back.
fn kept(change: Stats) -> isize {
    let kept = change
        .bytes_allocated
        .wrapping_sub(change.bytes_deallocated);
    kept.cast_signed()
}

/// Bytes of the large arenas of this process, which the allocator does not see.
fn mapped() -> usize {
    large_regions().iter().map(ExactSizeIterator::len).sum()
}

/// Loads a model of 20 MB, and keeps a copy of what was read if asked to. Gives the bytes held and
/// the bytes that must be.
fn hold_a_ternary_model(keeps_a_copy: bool) -> [usize; 2] {
    const TOKENS: usize = 128;
    // Every matrix fills a huge page, from where on arenas are listed.
    let spec = Spec {
        hidden_size: 4096,
        intermediate_size: 2048,
        n_layers: 1,
        vocab_size: 1024,
        max_positions: TOKENS,
        ..Spec::TINY
    };
    let before = mapped();
    let region = Region::new(ALLOCATOR);
    let (config, weights) = synthetic(spec, 7);
    let matrices = weights.layers.iter().flat_map(LayerWeights::projections);
    let copy: Option<Vec<TernaryMatrix>> =
        keeps_a_copy.then(|| matrices.map(|(_, matrix)| matrix.clone()).collect());
    let mut engine = BitNet::new(&config, weights);
    engine.reserve(TOKENS).unwrap();
    engine.feed(&[1, 2, 3]).unwrap();
    let found = (mapped() - before).saturating_add_signed(kept(region.change()));
    let read = engine.bytes_per_token();
    let kv = 2 * 4 * config.n_layers * config.kv_width() * TOKENS;
    let widths = config.hidden_size
        + 2 * config.q_width()
        + 2 * config.kv_width()
        + 2 * config.intermediate_size;
    let activations = TOKENS * (4 * widths + config.intermediate_size);
    drop(copy);
    [found, read + kv + activations]
}

/// Loads a plain model in types of which candle keeps a second, repacked form.
///
/// Gives what the engine took when it was built, and what came with its first tokens.
fn hold_a_plain_model_once() -> [isize; 2] {
    let path = root().join("tests/fixtures/plain/llama-k.gguf");
    let found = artifact::resolve(&path).unwrap();
    let bundle = ModelBundle::load(&found.files, &LoadOptions::default()).unwrap();
    let region = Region::new(ALLOCATOR);
    let mut engine = engine::build(bundle.network, None).unwrap();
    let built = kept(region.change());
    let ids: Vec<u32> = (0..64).collect();
    let region = Region::new(ALLOCATOR);
    for ids in [&ids[..], &ids[..1]] {
        engine.feed(ids).unwrap();
        engine.reset();
    }
    [built, kept(region.change())]
}

fn hold_a_plain_model() {
    // The matrix library keeps half a megabyte for every thread from its first large product on,
    // whatever the model: the first engine of a process pays for it.
    hold_a_plain_model_once();
    let [built, grown] = hold_a_plain_model_once();
    let weights = 160_000;
    assert!(built > weights, "{built}");
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        assert!(built > 2 * weights, "candle's copies are counted: {built}");
    }
    assert!(grown < 4096, "{grown} bytes came with the first tokens");
}

/// Runs a test of this module again, in a process of its own: other tests of this binary allocate
/// all the time.
fn alone(name: &str, count: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return count();
    }
    let name = format!("allocations::{name}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
fn decoding_allocates_nothing() {
    alone("decoding_allocates_nothing", || {
        count(1);
        count(2);
    });
}

// Pitfall 15: the form that was read does not stay beside the one that is computed from.
#[test]
fn ternary_weights_are_held_once() {
    alone("ternary_weights_are_held_once", || {
        let is_once = |[found, needed]: [usize; 2]| found < needed + needed / 10;
        let (once, twice) = (hold_a_ternary_model(false), hold_a_ternary_model(true));
        assert!(is_once(once), "bytes held, bytes needed: {once:?}");
        assert!(!is_once(twice), "a copy is noticed: {twice:?}");
    });
}

// Pitfall 15: memory and times are read after candle made its copies, not before.
#[test]
fn copies_of_a_plain_model_are_made_before_anything_is_measured() {
    alone(
        "copies_of_a_plain_model_are_made_before_anything_is_measured",
        hold_a_plain_model,
    );
}
