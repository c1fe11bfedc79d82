//! Readers and writers at the same time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::*;

/// How often the current release changes under the readers.
const N_FLIPS: usize = 200;

/// Reads as docs/store.md asks readers to: the real path once, then only below it.
fn read_release(models: &Path) -> (String, String) {
    let base = fs::canonicalize(models.join("bitnet")).unwrap();
    let info = fs::read(base.parent().unwrap().join(".current_model_info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    let version =
        fs::read_to_string(base.parent().unwrap().join(".current_model_version")).unwrap();
    assert_eq!(info["version"].as_str().unwrap(), version.trim_end());
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(base.join("config.json")).unwrap()).unwrap();
    (
        version.trim_end().to_owned(),
        config["release"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn s11_readers_over_200_flips_see_weights_and_record_of_one_release() {
    let host = Host::new();
    let mut manifests = Vec::new();
    for (version, weights) in [("1.0.0", "one"), ("1.1.0", "two")] {
        host.release(version, weights);
        manifests.push(fs::read(host.manifest()).unwrap());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (models, is_over) = (host.path("models"), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut n_seen = [0usize; 2];
                while !is_over.load(Ordering::Relaxed) {
                    match read_release(&models) {
                        (v, w) if v == "1.0.0" && w == "one" => n_seen[0] += 1,
                        (v, w) if v == "1.1.0" && w == "two" => n_seen[1] += 1,
                        mixed => panic!("{mixed:?}"),
                    }
                }
                n_seen
            })
        })
        .collect();
    for flip in 0..N_FLIPS {
        fs::write(host.manifest(), &manifests[flip % 2]).unwrap();
        assert_eq!(host.try_install().unwrap().change, Change::Restored);
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        let n_seen = reader.join().unwrap();
        assert!(n_seen.iter().all(|n| *n > 0), "{n_seen:?}");
    }
    let flips = host
        .events()
        .iter()
        .filter(|(event, _)| event.is_flip())
        .count();
    assert_eq!(flips, N_FLIPS + 2);
}

#[test]
fn s12_an_open_file_keeps_its_bytes_through_flip_and_gc() {
    use std::io::{Read as _, Seek as _};
    let mut host = Host::new();
    host.policy.keep = 0;
    host.release("1.0.0", "one");
    let mut opened = fs::File::open(host.path("models/bitnet/config.json")).unwrap();
    for (i, version) in ["1.1.0", "1.2.0", "1.3.0"].iter().enumerate() {
        host.release(version, &format!("w{i}"));
    }
    assert!(!host.layout().generation(1).exists());
    let mut text = String::new();
    opened.rewind().unwrap();
    opened.read_to_string(&mut text).unwrap();
    assert!(text.contains("one"), "{text}");
}

#[test]
fn s09_eight_installers_that_wait_end_in_one_generation() {
    let host = Arc::new(Host::new());
    host.publish("1.0.0", "one");
    let barrier = Arc::new(Barrier::new(8));
    let installers: Vec<_> = (0..8)
        .map(|_| {
            let (host, barrier) = (Arc::clone(&host), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                host.try_with(|it| it.wait = Duration::from_secs(60))
                    .unwrap()
                    .change
            })
        })
        .collect();
    let changes: Vec<Change> = installers
        .into_iter()
        .map(|it| it.join().unwrap())
        .collect();
    let n = |change| changes.iter().filter(|it| **it == change).count();
    assert_eq!((n(Change::Installed), n(Change::Unchanged)), (1, 7));
    assert_eq!(host.layout().generation_numbers().unwrap(), [1]);
    host.holds();
    host.is_tidy();
}

#[test]
fn s09_of_eight_installers_that_do_not_wait_one_succeeds() {
    let host = Arc::new(Host::new());
    host.publish("1.0.0", "one");
    let n_refused = Arc::new(AtomicUsize::new(0));
    let holds_lock = Arc::new(Barrier::new(8));
    let first = {
        let (host, n_refused, holds_lock) = (
            Arc::clone(&host),
            Arc::clone(&n_refused),
            Arc::clone(&holds_lock),
        );
        thread::spawn(move || {
            let manifest = host.manifest();
            // The smoke test of the first one lasts until the seven others have tried.
            let mut smoke = |_: Candidate<'_>| {
                holds_lock.wait();
                while n_refused.load(Ordering::SeqCst) < 7 {
                    thread::yield_now();
                }
                Ok(())
            };
            install(
                &host.layout(),
                &host.request(&manifest),
                &mut smoke,
                &mut |_| {},
            )
            .unwrap()
            .generation
        })
    };
    let others: Vec<_> = (0..7)
        .map(|_| {
            let (host, n_refused, holds_lock) = (
                Arc::clone(&host),
                Arc::clone(&n_refused),
                Arc::clone(&holds_lock),
            );
            thread::spawn(move || {
                holds_lock.wait();
                let refused = host.try_install();
                n_refused.fetch_add(1, Ordering::SeqCst);
                matches!(refused, Err(Error::Busy { .. }))
            })
        })
        .collect();
    assert!(others.into_iter().all(|it| it.join().unwrap()));
    assert_eq!(first.join().unwrap(), 1);
    host.holds();
}

#[test]
fn s10_installers_rollbacks_and_collections_exclude_each_other() {
    use super::super::rollback::{self, rollback};
    let host = Arc::new(Host::new());
    host.release("1.0.0", "one");
    host.release("1.1.0", "two");
    let work = |what: usize| {
        let host = Arc::clone(&host);
        thread::spawn(move || {
            for _ in 0..15 {
                let wait = Duration::from_secs(60);
                if what == 0 {
                    host.try_with(|it| it.wait = wait).unwrap();
                } else {
                    let request = rollback::Request {
                        to: Some(rollback::Named::Number(1)),
                        mark_bad: None,
                        reason: None,
                        wait,
                        is_dry_run: false,
                    };
                    rollback(&host.layout(), &request).unwrap();
                }
            }
        })
    };
    for worker in [work(0), work(1)] {
        worker.join().unwrap();
    }
    host.holds();
    host.is_tidy();
    let ledger = host.ledger();
    assert_eq!((ledger.believed, ledger.tail.n_broken), (host.current(), 0));
}
