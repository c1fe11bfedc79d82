//! How often the rules pass and fail when the truth is known.
//!
//! The long test simulates every cell, holds the error rates against what is promised and compares
//! the table with the one in docs/statistics.md:
//!
//! ```text
//! cargo test --release --lib stats::calibration -- --ignored
//! VV_UPDATE=1 cargo test --release --lib stats::calibration -- --ignored   # writes the table
//! ```
//!
//! Seeds are fixed, so the same code gives the same table.

use std::fmt::Write as _;

use super::betting::{Game, bet, shuffled};
use super::bounded::{cautious_loss, mean_loss};
use super::cluster::{cluster_means, clustered_estimate};
use super::distribution::normal_quantile;
use super::mean::t_estimate;
use super::resample::Resamples;
use super::rng::{Seed, Stream};
use super::sequential::Looks;

/// Margin of the scene cells: that of `object_recall` in the built-in policy.
const MARGIN: f64 = 0.05;
/// Margin of the launch cells, as a log ratio.
const LAUNCH_MARGIN: f64 = 0.029_558_802_241_544_43;
const PASS_LEVEL: f64 = 0.05;
/// The false-fail rate of 1 % over three statistical checks, as in the built-in policy.
const FAIL_LEVEL: f64 = 0.01 / 3.0;
const RESAMPLES: usize = 999;
const TRIALS: u64 = 4_000;
const CLUSTER: usize = 5;
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/statistics.md");
const MARKS: [&str; 2] = [
    "<!-- calibration: begin -->\n",
    "<!-- calibration: end -->\n",
];

/// How the losses of scenes are distributed; all have the mean asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    /// Normal, sd .10.
    Gaussian,
    /// Exponential losses, sd .10: few large ones.
    Skewed,
    /// Six of ten scenes unchanged, the others normal with sd .15.
    ZeroInflated,
    /// Clusters of five scenes; half of the variance of .10² is shared.
    Clustered,
    /// A scene loses .6 or nearly nothing; only the share of such scenes varies.
    RareCollapse,
}

const FAMILIES: [(Family, &str); 5] = [
    (Family::Gaussian, "Gaussian"),
    (Family::Skewed, "skewed"),
    (Family::ZeroInflated, "zero-inflated"),
    (Family::Clustered, "clustered"),
    (Family::RareCollapse, "rare collapse"),
];

fn normal(stream: &mut Stream) -> f64 {
    normal_quantile(stream.share().max(1e-16))
}

/// `n` losses with mean `mean`, each in [−1, 1].
fn losses(family: Family, n: usize, mean: f64, stream: &mut Stream) -> Vec<f64> {
    let mut shared = 0.0;
    let mut one = |i: usize| match family {
        Family::Gaussian => mean + 0.1 * normal(stream),
        Family::Skewed => mean + 0.1 * (-(1.0 - stream.share()).ln() - 1.0),
        Family::ZeroInflated if stream.share() < 0.6 => 0.0,
        Family::ZeroInflated => mean / 0.4 + 0.15 * normal(stream),
        Family::Clustered => {
            if i.is_multiple_of(CLUSTER) {
                shared = normal(stream);
            }
            mean + 0.1 * 0.5f64.sqrt() * (shared + normal(stream))
        }
        Family::RareCollapse if stream.share() < mean / 0.6 => 0.6,
        Family::RareCollapse => 0.02 * normal(stream),
    };
    (0..n).map(|i| one(i).clamp(-1.0, 1.0)).collect()
}

/// Trials of one cell that ended so.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    gate_pass: u64,
    gate_fail: u64,
    cautious_pass: u64,
    betting_pass: u64,
    clustered_pass: u64,
    clustered_fail: u64,
}

fn trial(family: Family, n: usize, mean: f64, seed: &Seed, tally: &mut Tally) {
    let losses = losses(family, n, mean, &mut seed.stream(0));
    let passes = mean_loss(&losses, PASS_LEVEL).expect("a sample").high < MARGIN;
    let is_loss = mean_loss(&losses, FAIL_LEVEL).expect("a sample").low > 0.0;
    tally.gate_pass += u64::from(passes);
    tally.gate_fail += u64::from(!passes && is_loss);
    // Resampling takes a hundred times as long; it is done where a pass would be an error.
    if passes && mean > 0.0 {
        let boot = seed.derive("bootstrap");
        let resamples = Resamples::Seeded {
            seed: &boot,
            count: RESAMPLES,
        };
        let wider = cautious_loss(&losses, PASS_LEVEL, resamples).expect("a sample");
        tally.cautious_pass += u64::from(wider.high < MARGIN);
    }
    let clusters: Vec<usize> = (0..n).map(|i| i / CLUSTER).collect();
    let units = if family == Family::Clustered {
        let at = |alpha| clustered_estimate(&losses, &clusters, alpha).expect("clusters");
        let passes = at(PASS_LEVEL).high < MARGIN;
        tally.clustered_pass += u64::from(passes);
        tally.clustered_fail += u64::from(!passes && at(FAIL_LEVEL).low > 0.0);
        cluster_means(&losses, &clusters).expect("clusters")
    } else {
        losses
    };
    let differences: Vec<f64> = units.iter().map(|loss| -loss).collect();
    let bets = Game {
        planned: units.len(),
        margin: MARGIN,
        alpha: PASS_LEVEL,
    };
    let order = shuffled(&differences, seed);
    let crossed = bet(&order, &bets).expect("a game").crossed_at;
    tally.betting_pass += u64::from(crossed.is_some());
}

fn percent(count: u64) -> String {
    format!("{:.1}", count as f64 / TRIALS as f64 * 100.0)
}

/// Three standard errors of a rate over all trials.
fn slack(rate: f64) -> f64 {
    3.0 * (rate * (1.0 - rate) / TRIALS as f64).sqrt()
}

#[track_caller]
fn at_most(count: u64, rate: f64, what: &str) {
    let found = count as f64 / TRIALS as f64;
    assert!(
        found <= rate + slack(rate),
        "{what}: {found}, promised {rate}"
    );
}

fn scene_table() -> String {
    let mut table = String::from(
        "| losses | n | truth | gate: pass / fail | with the bootstrap: pass | betting: pass | \
         clustered t: pass / fail |\n|---|---|---|---|---|---|---|\n",
    );
    for (family, name) in FAMILIES {
        for n in [30, 60, 120, 300] {
            for (truth, mean) in [("equal", 0.0), ("at the margin", MARGIN)] {
                let cell = Seed::of_digest([1; 32]).derive(&format!("{name} {n} {truth}"));
                let mut tally = Tally::default();
                for index in 0..TRIALS {
                    let seed = cell.derive(&index.to_string());
                    trial(family, n, mean, &seed, &mut tally);
                }
                check_scenes(
                    family,
                    n,
                    mean,
                    &tally,
                    &format!("{name}, n = {n}, {truth}"),
                );
                let clustered = if family == Family::Clustered {
                    let [pass, fail] = [tally.clustered_pass, tally.clustered_fail].map(percent);
                    format!("{pass} / {fail}")
                } else {
                    "–".to_owned()
                };
                let [pass, fail] = [tally.gate_pass, tally.gate_fail].map(percent);
                let [cautious, bets] = [tally.cautious_pass, tally.betting_pass].map(percent);
                let cautious = if mean > 0.0 {
                    cautious
                } else {
                    "–".to_owned()
                };
                writeln!(
                    table,
                    "| {name} | {n} | {truth} | {pass} / {fail} | {cautious} | {bets} | {clustered} |"
                )
                .expect("a string takes any text");
            }
        }
    }
    table
}

/// What is promised of the scene rules.
fn check_scenes(family: Family, n: usize, mean: f64, tally: &Tally, what: &str) {
    let is_equal = mean == 0.0;
    if is_equal && family == Family::Gaussian {
        at_most(tally.gate_fail, FAIL_LEVEL, what);
    }
    if is_equal && family == Family::Clustered && n >= 120 {
        // A sandwich of few clusters is a little too narrow.
        at_most(tally.clustered_fail, 2.0 * FAIL_LEVEL, what);
    }
    if !is_equal {
        // Exact whatever the distribution.
        at_most(tally.betting_pass, PASS_LEVEL, what);
        if family == Family::Skewed && n >= 60 || family == Family::ZeroInflated {
            at_most(tally.cautious_pass, 1.2 * PASS_LEVEL, what);
        }
        if family == Family::Gaussian {
            at_most(tally.gate_pass, PASS_LEVEL, what);
        }
        if family == Family::Clustered && n >= 120 {
            at_most(tally.clustered_pass, 1.3 * PASS_LEVEL, what);
        }
    }
}

/// Launches with spread `sd` around `mean`: pass, fail and the launches used.
fn launches(plan: &Looks, mean: f64, sd: f64, stream: &mut Stream) -> (bool, bool, usize) {
    let most = plan.looks().last().expect("a look").units;
    let values: Vec<f64> = (0..most).map(|_| mean + sd * normal(stream)).collect();
    for (index, look) in plan.looks().iter().enumerate() {
        let at = |alpha| {
            let level = plan.level(index, alpha).expect("a level");
            t_estimate(&values[..look.units], level).expect("a spread")
        };
        let passes = at(PASS_LEVEL).high < LAUNCH_MARGIN;
        let fails = !passes && at(FAIL_LEVEL).low > 0.0;
        if passes || fails {
            return (passes, fails, look.units);
        }
    }
    (false, false, most)
}

fn launch_table() -> String {
    let mut table = String::from(
        "| launches | true change | pass / fail | launches used |\n|---|---|---|---|\n",
    );
    let plans = [
        ("10, one look", Looks::once(10)),
        ("20, one look", Looks::once(20)),
        ("looks at 6, 10, 15, 20", Looks::without_continuation()),
        (
            "the same, a quarter kept for 40",
            Looks::with_continuation(),
        ),
    ];
    for (name, plan) in plans {
        for (truth, mean) in [
            ("none", 0.0),
            ("+1.5 %", 0.015f64.ln_1p()),
            ("+3 %", LAUNCH_MARGIN),
        ] {
            let cell = Seed::of_digest([2; 32]).derive(&format!("{name} {truth}"));
            let (mut passed, mut failed, mut used) = (0, 0, 0);
            for index in 0..TRIALS {
                let found = launches(&plan, mean, 0.022, &mut cell.stream(index));
                passed += u64::from(found.0);
                failed += u64::from(found.1);
                used += found.2;
            }
            match truth {
                "none" => at_most(failed, FAIL_LEVEL, name),
                "+3 %" => at_most(passed, PASS_LEVEL, name),
                _ => {}
            }
            let used = used as f64 / TRIALS as f64;
            let (pass, fail) = (percent(passed), percent(failed));
            writeln!(table, "| {name} | {truth} | {pass} / {fail} | {used:.1} |")
                .expect("a string takes any text");
        }
    }
    table
}

/// The page's text before, between and after the marks.
fn parts(page: &str) -> [String; 3] {
    let (before, rest) = page
        .split_once(MARKS[0])
        .expect("the page has the first mark");
    let (between, after) = rest
        .split_once(MARKS[1])
        .expect("the page has the second mark");
    [before, between, after].map(str::to_owned)
}

#[test]
#[ignore = "simulates for minutes; the command stands at the top of the file"]
fn rules_keep_their_error_rates() {
    let found = format!("\n{}\n{}\n", scene_table(), launch_table());
    let page = std::fs::read_to_string(PAGE).expect("docs/statistics.md");
    let [before, between, after] = parts(&page);
    if std::env::var_os("VV_UPDATE").is_some() {
        let page = format!("{before}{}{found}{}{after}", MARKS[0], MARKS[1]);
        std::fs::write(PAGE, page).expect("docs/statistics.md can be written");
    } else {
        assert_eq!(found, between, "the table is out of date");
    }
}

#[test]
fn families_have_the_mean_they_are_asked_for() {
    for (family, name) in FAMILIES {
        for mean in [0.0, MARGIN] {
            let mut stream = Seed::of_digest([4; 32]).derive(name).stream(0);
            let losses = losses(family, 40_000, mean, &mut stream);
            let found = super::sum::exact_mean(&losses);
            // Sd of the mean is at most 0.17/200.
            assert!((found - mean).abs() < 0.003, "{name}: {found}, not {mean}");
        }
    }
}
