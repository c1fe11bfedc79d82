use serde_json::Value;

use super::*;
use crate::stats::golden::{assert_close, cases, find, number, numbers};

const SEED: [u8; 32] = [5; 32];

/// The rows of a case: a matrix, or text with one character per position.
fn rows(case: &Value) -> Vec<Vec<usize>> {
    let of_name = |name: &str| find(&format!("rows_{name}"))["output"].clone();
    let idx = &case["input"]["idx"];
    match idx.as_array() {
        Some(rows) => rows
            .iter()
            .map(|row| {
                let row = row.as_array().expect("a row");
                let position = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
                row.iter().map(position).collect()
            })
            .collect(),
        None => of_name(case["name"].as_str().unwrap())
            .as_array()
            .expect("rows as text")
            .iter()
            .map(|row| {
                let row = row.as_str().expect("a row");
                row.bytes().map(|byte| usize::from(byte - b'0')).collect()
            })
            .collect(),
    }
}

#[test]
fn bootstrap_agrees_with_scipy_on_its_own_resamples() {
    for case in cases("bca_") {
        let values = numbers(&case["input"]["d"]);
        let rows = rows(&case);
        assert_eq!(rows.len(), 999);
        let (resamples, output) = (Resamples::Rows(&rows), &case["output"]);
        let found = bca(&values, 0.05, resamples).unwrap();
        assert_close(found.low, number(&output["low"]), 1e-9);
        assert_close(found.high, number(&output["high"]), 1e-9);
        let found = percentile(&values, 0.05, resamples).unwrap();
        assert_close(found.low, number(&output["pct_low"]), 1e-9);
        assert_close(found.high, number(&output["pct_high"]), 1e-9);
        let se = bootstrap_se(&values, resamples).unwrap();
        assert_close(se, number(&output["se"]), 1e-9);
    }
}

#[test]
fn studentised_bootstrap_agrees_with_numpy() {
    for case in cases("boot_t_") {
        let source = find(case["input"]["case"].as_str().unwrap());
        let values = numbers(&source["input"]["d"]);
        let rows = rows(&source);
        let found = studentised(&values, 0.05, Resamples::Rows(&rows)).unwrap();
        assert_close(found.low, number(&case["output"]["low"]), 1e-9);
        assert_close(found.high, number(&case["output"]["high"]), 1e-9);
    }
}

#[test]
fn sign_flips_agree_with_scipy() {
    for case in cases("signflip_exact_") {
        let values = numbers(&case["input"]["d"]);
        let found = sign_flip(&values, number(&case["input"]["delta"])).unwrap();
        assert_close(found, number(&case["output"]["p"]), 1e-12);
        let seed = Seed::of_digest(SEED);
        let sampled = sign_flip_sampled(&values, number(&case["input"]["delta"]), &seed, 20_000);
        assert!((sampled.unwrap() - found).abs() < 0.008);
    }
}

#[test]
fn resamples_do_not_depend_on_threads() {
    let values: Vec<f64> = (0..60).map(|i| f64::from(i * 17 % 23) / 23.0).collect();
    let run = || {
        let seed = Seed::of_digest(SEED);
        let count = 999;
        let seeded = Resamples::Seeded { seed: &seed, count };
        let found = studentised(&values, 0.05, seeded).unwrap();
        [found.low.to_bits(), found.high.to_bits()]
    };
    let alone = run();
    for n_threads in [2, 7] {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(run)).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), alone);
            }
        });
    }
    // Stream r depends on r alone: half of the rows, drawn by themselves, are the same rows.
    let seed = Seed::of_digest(SEED);
    let means = |count| {
        let seeded = Resamples::Seeded { seed: &seed, count };
        seeded.map(&values, |drawn| drawn.iter().sum())
    };
    assert_eq!(means(100)[..50], means(50));
}

#[test]
fn too_few_resamples_for_the_level_are_refused() {
    let values = [0.1, 0.4, 0.2, 0.7];
    let seed = Seed::of_digest(SEED);
    let with = |count| Resamples::Seeded { seed: &seed, count };
    let refused = Err(Error::TooFewResamples {
        found: 999,
        needed: 5_000,
    });
    assert_eq!(studentised(&values, 0.002, with(999)), refused);
    assert!(studentised(&values, 0.002, with(RESAMPLES)).is_ok());
    assert!(sign_flip_sampled(&values, 0.0, &seed, 0).is_err());
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let values = [0.1, 0.4, 0.2];
    let short = vec![vec![0, 1]; 999];
    assert_eq!(
        bca(&values, 0.05, Resamples::Rows(&short)),
        Err(Error::Lengths {
            found: 2,
            expected: 3
        })
    );
    let beyond = vec![vec![0, 1, 3]; 999];
    assert!(matches!(
        percentile(&values, 0.05, Resamples::Rows(&beyond)),
        Err(Error::Setting { .. })
    ));
}

#[test]
fn resamples_all_on_one_side_settle_nothing() {
    let values = [0.0, 0.0, 1.0];
    let rows = vec![vec![0, 0, 1]; 999];
    for method in [bca, percentile] {
        assert_eq!(
            method(&values, 0.05, Resamples::Rows(&rows)),
            Err(Error::Unstable)
        );
    }
}

#[test]
fn two_values_give_no_interval_of_width_zero() {
    let seed = Seed::of_digest(SEED);
    let seeded = Resamples::Seeded {
        seed: &seed,
        count: 999,
    };
    // Every resample has no spread or the mean of the sample.
    assert_eq!(
        studentised(&[0.0, 0.025], 0.05, seeded),
        Err(Error::Unstable)
    );
}

#[test]
fn degenerate_samples_have_no_interval() {
    let seed = Seed::of_digest(SEED);
    let seeded = Resamples::Seeded {
        seed: &seed,
        count: 999,
    };
    for method in [studentised, bca, percentile] {
        let run = |values: &[f64]| method(values, 0.05, seeded);
        assert_eq!(
            run(&[]),
            Err(Error::TooFew {
                found: 0,
                needed: 2
            })
        );
        assert_eq!(
            run(&[0.3]),
            Err(Error::TooFew {
                found: 1,
                needed: 2
            })
        );
        assert_eq!(run(&[0.3; 9]), Err(Error::NoSpread { n: 9 }));
        assert_eq!(run(&[0.3, f64::NAN]), Err(Error::NotFinite { index: 1 }));
        assert!(matches!(
            method(&[0.1, 0.2], 0.0, seeded),
            Err(Error::Level { .. })
        ));
    }
    assert_eq!(
        sign_flip(&[], 0.0),
        Err(Error::TooFew {
            found: 0,
            needed: 1
        })
    );
    assert_eq!(
        sign_flip(&[f64::NAN], 0.0),
        Err(Error::NotFinite { index: 0 })
    );
    assert!(matches!(
        sign_flip(&[0.1; 21], 0.0),
        Err(Error::Setting { .. })
    ));
    assert!(matches!(
        sign_flip(&[0.1], f64::NAN),
        Err(Error::Setting { .. })
    ));
    // Nothing but zeros: every sign vector equals the one seen.
    assert_eq!(sign_flip(&[0.0; 8], 0.0), Ok(1.0));
}
