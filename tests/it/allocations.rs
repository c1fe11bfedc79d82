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
