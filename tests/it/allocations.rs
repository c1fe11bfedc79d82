//! Decoding takes no memory, counted by the allocator of this binary.

use std::alloc::System;
use std::process::Command;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use vv_eval::engine::kernels::Kernel;
use vv_eval::engine::{Batch as _, BitNet, Engine as _, Setup};
use vv_eval::model::synthetic::{Spec, synthetic};

/// Counts for all tests of the binary, and changes nothing for them.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Set in the process that counts.
const ALONE: &str = "VV_EVAL_TEST_COUNTS_ALONE";

/// Allocations while `work` runs, by any thread; growing a buffer counts as one.
fn n_allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Address space in use, in pages, so that mappings past the allocator are seen as well.
fn n_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let size = statm.split(' ').next().and_then(|n| n.parse().ok());
    size.unwrap_or(0)
}

fn count(n_threads: usize) {
    const TOKENS: usize = 150;
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
    assert_eq!(n_allocations(|| drop(std::hint::black_box(vec![1u8]))), 1);

    engine.reserve(TOKENS).unwrap();
    let pages = n_pages();
    let prompt = [3u32; 70];
    let single = n_allocations(|| {
        engine.feed(&prompt).unwrap();
        for id in 0..80 {
            engine.feed(&[id]).unwrap();
        }
    });
    assert_eq!(single, 0, "one by one, {n_threads} threads");
    assert_eq!(n_pages(), pages, "one by one, {n_threads} threads");

    engine.open(8, TOKENS).unwrap();
    let next: Vec<(usize, u32)> = (0..8).zip(40..).collect();
    // The first step of a width may still grow the rows of logits.
    for sequence in 0..8 {
        engine.feed_sequence(sequence, &prompt).unwrap();
    }
    engine.feed_each(&next).unwrap();
    let pages = n_pages();
    let batched = n_allocations(|| {
        for _ in 0..70 {
            engine.feed_each(&next).unwrap();
        }
    });
    assert_eq!(batched, 0, "in batches, {n_threads} threads");
    assert_eq!(n_pages(), pages, "in batches, {n_threads} threads");
}

#[test]
fn decoding_allocates_nothing() {
    if std::env::var_os(ALONE).is_some() {
        count(1);
        count(2);
        return;
    }
    // Other tests of this binary allocate all the time: a process of its own counts.
    let name = "allocations::decoding_allocates_nothing";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}
