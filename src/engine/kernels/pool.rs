//! Threads that compute one region at a time, together.
//!
//! A decoded token has about 150 regions of some ten to hundred microseconds. Threads therefore
//! wait for the next one by spinning for a while before they sleep, and every thread knows its
//! share without asking.

#![expect(unsafe_code, reason = "threads that live on run closures that borrow")]

use std::cell::UnsafeCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};

/// Rounds a thread spins for the next region before it sleeps: some tens of microseconds, longer
/// than the serial work between two regions of a token.
const SPIN_ROUNDS: u32 = 20_000;

/// Threads for parallel regions; the caller is thread 0.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(Thread, JoinHandle<()>)>,
}

type Region<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    /// The region to run; written by the owner while no worker runs one.
    region: UnsafeCell<Option<Region<'static>>>,
    /// Number of regions begun; a worker runs each once.
    begun: AtomicU64,
    /// Workers that have not finished the region.
    unfinished: AtomicUsize,
    /// Which workers sleep or are about to, a bit each.
    asleep: AtomicU64,
    has_panicked: AtomicBool,
    is_over: AtomicBool,
}

// SAFETY: `region` is written only by the owner, before `begun` is raised and after `unfinished`
// has fallen to 0, and read by workers only between these two.
unsafe impl Sync for Shared {}
// SAFETY: the region is a shared reference to something `Sync`.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `n_threads` threads, the caller included.
    ///
    /// # Panics
    /// When `n_threads` is 0 or above 64, or the system refuses a thread.
    pub fn new(n_threads: usize) -> Self {
        assert!((1..=64).contains(&n_threads), "one to 64 threads");
        let shared = Arc::new(Shared {
            region: UnsafeCell::new(None),
            begun: AtomicU64::new(0),
            unfinished: AtomicUsize::new(0),
            asleep: AtomicU64::new(0),
            has_panicked: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let workers = (1..n_threads).map(|index| {
            let shared = Arc::clone(&shared);
            let handle = thread::Builder::new()
                .name(format!("kernel-{index}"))
                .spawn(move || shared.work(index))
                .expect("the system gives a thread");
            (handle.thread().clone(), handle)
        });
        let workers = workers.collect();
        Self { shared, workers }
    }

    /// Number of threads, the caller included.
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `region` once with every thread's index, at the same time, and waits for all.
    ///
    /// # Panics
    /// When a call panics.
    pub fn run(&mut self, region: impl Fn(usize) + Sync) {
        if self.workers.is_empty() {
            return region(0);
        }
        let shared = &*self.shared;
        let borrowed: Region<'_> = &region;
        // SAFETY: only the lifetime changes. No worker touches the region after `unfinished` has
        // fallen to 0, and this call does not return before, not even by a panic of its own share.
        let lasting: Region<'static> = unsafe { std::mem::transmute(borrowed) };
        // SAFETY: no region is running, so no worker reads.
        unsafe { *shared.region.get() = Some(lasting) };
        shared
            .unfinished
            .store(self.workers.len(), Ordering::Relaxed);
        // Sequentially consistent with a worker's last look before it sleeps: either it sees the
        // new region or its bit is seen here.
        shared.begun.fetch_add(1, Ordering::SeqCst);
        let asleep = shared.asleep.load(Ordering::SeqCst);
        if asleep != 0 {
            for (i, (thread, _)) in self.workers.iter().enumerate() {
                if asleep >> i & 1 == 1 {
                    thread.unpark();
                }
            }
        }
        let own = panic::catch_unwind(AssertUnwindSafe(|| region(0)));
        let mut rounds = 0u32;
        while shared.unfinished.load(Ordering::Acquire) != 0 {
            rounds += 1;
            if rounds.is_multiple_of(SPIN_ROUNDS) {
                // A worker may be waiting for this very core.
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
        if let Err(payload) = own {
            panic::resume_unwind(payload);
        }
        assert!(
            !shared.has_panicked.swap(false, Ordering::Relaxed),
            "a thread of the pool panicked"
        );
    }
}

impl Shared {
    fn work(&self, index: usize) {
        let mut done = 0;
        loop {
            self.wait(index - 1, done);
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            done += 1;
            // SAFETY: the owner wrote the region before it raised `begun`, and waits for
            // `unfinished` before it writes again.
            let region = unsafe { *self.region.get() }.expect("a region was begun");
            if panic::catch_unwind(AssertUnwindSafe(|| region(index))).is_err() {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.unfinished.fetch_sub(1, Ordering::Release);
        }
    }

    /// Returns when more than `done` regions were begun or the pool is over.
    fn wait(&self, bit: usize, done: u64) {
        let is_ready =
            || self.begun.load(Ordering::SeqCst) > done || self.is_over.load(Ordering::Acquire);
        for _ in 0..SPIN_ROUNDS {
            if is_ready() {
                return;
            }
            std::hint::spin_loop();
        }
        self.asleep.fetch_or(1 << bit, Ordering::SeqCst);
        while !is_ready() {
            thread::park();
        }
        self.asleep.fetch_and(!(1 << bit), Ordering::SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for (thread, handle) in self.workers.drain(..) {
            thread.unpark();
            // A worker catches the panics of its regions and has no others.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_every_region_once() {
        for n_threads in 1..=4 {
            let mut pool = Pool::new(n_threads);
            let counts: Vec<AtomicUsize> = (0..n_threads).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..500 {
                pool.run(|thread| {
                    counts[thread].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 500));
        }
    }

    #[test]
    fn threads_that_sleep_are_woken() {
        let mut pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        for _ in 0..3 {
            // Longer than a thread spins.
            while pool.shared.asleep.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            pool.run(|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(count.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives_it() {
        for bad in 0..2 {
            let mut pool = Pool::new(2);
            let region = |thread| assert!(thread != bad, "planned");
            let caught = panic::catch_unwind(AssertUnwindSafe(|| pool.run(region)));
            assert!(caught.is_err());
        }
    }
}
