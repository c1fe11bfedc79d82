//! Verdicts against those of another gate, the crate `veridict`, on the same paired files.
//!
//! It judges the mean difference by a percentile bootstrap and the direction by an exact sign test.
//! Both gates must decide a file alike, or differ for a reason on the list below; a difference
//! without a reason fails the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use veridict::verdict::Thresholds;
use veridict::{BootstrapMethod, CiMethod, MetricConfig, Report, Verdict, compare_one, input};

use super::policy::{Method, Policy};
use super::sample::{Levels, Rules, Sample, Shown};
use super::verdict::Outcome;
use crate::stats;
use crate::stats::bounded::mean_loss;
use crate::stats::distribution::normal_quantile;
use crate::stats::rng::{Seed, Stream};

/// Files of graded scores; half as many of 0/1 scores.
const FILES: u64 = 1_200;
const MARGIN: f64 = 0.05;
const LEVELS: Levels = Levels {
    pass: 0.05,
    fail: 0.01,
};
const RESAMPLES: usize = 1_999;

/// Why the two gates may decide a file differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Without a loss seen we allow for losses that n scenes may all have missed; a bootstrap knows
    /// only what it saw, and without spread its interval has width zero.
    Unseen,
    /// The percentile bootstrap has no small-sample correction: its interval is narrower than
    /// Student's t by a factor near sqrt((n − 1)/n)·z/t, and follows the skew of the sample. The line
    /// lies between both bounds, and they differ by at most a fifth of the half-width.
    NearTheLine,
    /// We pass only what both Student's t and the studentised bootstrap pass: the line lies between
    /// the two, and they pass what t passes. A loss that is certain then fails here.
    Cautious,
    /// Bets hold for any distribution and any number of scenes, and need more of them: they pass
    /// what we leave undecided.
    Guaranteed,
    /// Bets that were won by the scenes drawn first stay won, whatever follows, as long as the mean
    /// of all lies within the margin: we pass what they do not.
    WonEarly,
    /// Tango's score bound allows for scenes that differ and were not drawn; the bootstrap draws
    /// again what it has. The bounds differ by at most 2/n, two scenes.
    TwoScenes,
}

/// A paired file: `{"id": …, "baseline": …, "candidate": …}`, one scene a line, and its losses.
struct File {
    text: String,
    losses: Vec<f64>,
}

impl File {
    fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let (mut text, mut losses) = (String::new(), Vec::new());
        for (scene, (baseline, candidate)) in pairs.enumerate() {
            losses.push(baseline - candidate);
            let id = format!("s{scene}");
            let line =
                serde_json::json!({ "id": id, "baseline": baseline, "candidate": candidate });
            writeln!(text, "{line}").expect("a string takes any text");
        }
        Self { text, losses }
    }

    fn graded(index: u64) -> Self {
        let mut stream = Seed::of_digest([11; 32]).stream(index);
        let n = n_scenes(&mut stream);
        let (kind, mean) = (stream.below(5), 0.08 * stream.share() - 0.01);
        Self::of((0..n).map(|_| {
            let noise = normal_quantile(stream.share().max(1e-12));
            let loss = match kind {
                0 => mean + 0.2 * noise,
                1 => mean + 0.03 * noise,
                2 if stream.share() < 0.6 => 0.0,
                2 => mean / 0.4 + 0.12 * noise,
                3 => mean + 0.08 * (-(1.0 - stream.share()).ln() - 1.0),
                // Gains only, or nothing at all.
                _ if mean < 0.03 => -0.05 * stream.share() * f64::from(stream.below(2)),
                _ => 0.0,
            };
            let baseline = 0.5 + 0.2 * stream.share();
            (baseline, (baseline - loss).clamp(0.0, 1.0))
        }))
    }

    /// 0/1 scores: up to a fifth of the scenes differ, with more losses than gains or as many.
    fn rate(index: u64) -> Self {
        let mut stream = Seed::of_digest([12; 32]).stream(index);
        let n = n_scenes(&mut stream);
        let (differing, lost) = (0.2 * stream.share(), 0.5 + 0.5 * stream.share());
        Self::of((0..n).map(|_| {
            let is_right = f64::from(stream.below(2));
            match (stream.share() < differing, stream.share() < lost) {
                (true, true) => (1.0, 0.0),
                (true, false) => (0.0, 1.0),
                (false, _) => (is_right, is_right),
            }
        }))
    }

    /// What veridict says of the file when both of its thresholds lie at `line`.
    fn peer(&self, metric: MetricConfig, line: f64, alpha: f64) -> Report {
        let thresholds = Thresholds::new(line, line).expect("a line");
        let records = input::parse_jsonl(self.text.as_bytes());
        let confidence = 1.0 - 2.0 * alpha;
        compare_one(
            records,
            metric,
            confidence,
            &thresholds,
            RESAMPLES,
            7,
            false,
            false,
        )
        .expect("a paired file")
    }
}

fn n_scenes(stream: &mut Stream) -> usize {
    [60, 80, 120, 200][stream.below(4) as usize]
}

const MEAN: MetricConfig = MetricConfig::MeanDiff {
    bootstrap_method: BootstrapMethod::Percentile,
};
const SIGN: MetricConfig = MetricConfig::SignTest {
    ci_method: CiMethod::Exact,
};

/// What veridict says of both sides: bounds on the scale of losses.
struct Peer {
    outcome: Outcome,
    /// Largest loss it allows for.
    high: f64,
    /// Smallest.
    low: f64,
    fails: bool,
}

impl Peer {
    /// * `fails_by`: the metric that shows a loss
    fn of(file: &File, fails_by: MetricConfig) -> Self {
        // Pass: the loss is below the margin. In its terms the difference is above −margin.
        let pass = file.peer(MEAN, -MARGIN, LEVELS.pass);
        let fail = file.peer(fails_by, 0.0, LEVELS.fail);
        let mean = file.losses.iter().sum::<f64>() / file.losses.len() as f64;
        assert!(
            (pass.effect + mean).abs() < 1e-9,
            "the same mean difference"
        );
        let fails = fail.verdict == Verdict::Fail;
        Self {
            outcome: match (pass.verdict == Verdict::Pass, fails) {
                (true, _) => Outcome::Pass,
                (false, true) => Outcome::Fail,
                (false, false) => Outcome::Inconclusive,
            },
            high: -pass.ci_low,
            low: -fail.ci_high,
            fails,
        }
    }
}

fn rules(method: Method) -> Rules {
    Rules {
        method,
        margin: MARGIN,
        collapse: Policy::built_in().collapse,
        looks: None,
        seed: Seed::of_digest([3; 32]),
        resamples: 999,
    }
}

/// Whether `line` lies between two bounds that differ by at most `most`.
fn is_between(ours: f64, theirs: f64, line: f64, most: f64) -> bool {
    (ours - line) * (theirs - line) <= 0.0 && (ours - theirs).abs() <= most
}

/// Why a graded file is decided differently; `None` when there is no reason on the list.
fn reason(losses: &[f64], method: Method, shown: &Shown, peer: &Peer) -> Option<Reason> {
    let by_t = mean_loss(losses, LEVELS.pass).ok()?;
    let strict = mean_loss(losses, LEVELS.fail).ok()?;
    let near = |bound: f64, theirs: f64, line: f64, of: &stats::Estimate| {
        is_between(bound, theirs, line, 0.2 * (of.high - of.low) / 2.0)
    };
    let we_pass = shown.outcome == Outcome::Pass;
    let they_pass = peer.outcome == Outcome::Pass;
    if we_pass != they_pass {
        if near(by_t.high, peer.high, MARGIN, &by_t) {
            return Some(Reason::NearTheLine);
        }
        let is_open = shown.outcome == Outcome::Inconclusive;
        if they_pass && is_open && method == Method::Guaranteed {
            return Some(Reason::Guaranteed);
        }
        let is_within = shown.loss.point < MARGIN && shown.loss.high < MARGIN;
        if we_pass && is_within && method == Method::Guaranteed {
            return Some(Reason::WonEarly);
        }
        if they_pass && by_t.high < MARGIN && shown.loss.high >= MARGIN {
            return Some(Reason::Cautious);
        }
    } else if near(strict.low, peer.low, 0.0, &strict) {
        return Some(Reason::NearTheLine);
    }
    let is_unseen = matches!(
        by_t.method,
        stats::Method::LargestSeen | stats::Method::NoLoss
    );
    is_unseen.then_some(Reason::Unseen)
}

/// How many files of each outcome, and why the others differ.
#[derive(Debug, Default)]
struct Table {
    agreed: BTreeMap<&'static str, u64>,
    differed: BTreeMap<Reason, u64>,
}

impl Table {
    fn enter(&mut self, shown: &Shown, peer: &Peer, why: impl FnOnce() -> Option<Reason>) {
        if shown.outcome == peer.outcome {
            *self.agreed.entry(shown.outcome.name()).or_default() += 1;
            return;
        }
        let why = why();
        assert!(
            why.is_some(),
            "{shown:?} here, {:?} there with [{}, {}]: no reason listed",
            peer.outcome,
            peer.low,
            peer.high
        );
        *self.differed.entry(why.unwrap()).or_default() += 1;
    }

    fn n_differed(&self) -> u64 {
        self.differed.values().sum()
    }
}

#[test]
fn graded_scores_are_decided_alike_or_differ_for_a_known_reason() {
    for method in [Method::PlugIn, Method::Guaranteed] {
        let mut table = Table::default();
        for index in 0..FILES {
            let file = File::graded(index);
            let peer = Peer::of(&file, MEAN);
            let sample = Sample::Graded(file.losses.clone());
            let shown = sample.shown(&rules(method), LEVELS).unwrap();
            table.enter(&shown, &peer, || {
                reason(&file.losses, method, &shown, &peer)
            });
        }
        println!("graded, {method:?}: {table:?}");
        // Each outcome occurs often, so that the comparison compares something.
        for outcome in [Outcome::Pass, Outcome::Fail, Outcome::Inconclusive] {
            let n = table.agreed.get(outcome.name()).copied().unwrap_or(0);
            assert!(n > FILES / 24, "{outcome:?}: {table:?}");
        }
        if method == Method::PlugIn {
            assert!(table.n_differed() < FILES / 10, "{table:?}");
        }
        // Of 1,200 files few lie so near the margin that bets are won by luck.
        let lucky = table.differed.get(&Reason::WonEarly).copied().unwrap_or(0);
        assert!(lucky <= FILES / 20, "{table:?}");
    }
}

#[test]
fn rates_fail_exactly_alike_and_pass_alike_but_for_two_scenes() {
    let mut table = Table::default();
    for index in 0..FILES / 2 {
        let file = File::rate(index);
        let peer = Peer::of(&file, SIGN);
        let sample = Sample::Rate(file.losses.clone());
        let rules = rules(Method::PlugIn);
        let shown = sample.shown(&rules, LEVELS).unwrap();
        // McNemar's exact test is the exact sign test.
        assert_eq!(
            sample.p_worse(&rules) <= LEVELS.fail,
            peer.fails,
            "file {index}: {shown:?}"
        );
        table.enter(&shown, &peer, || {
            let scenes = 2.0 / file.losses.len() as f64;
            if file.losses.iter().all(|loss| *loss <= 0.0) {
                return Some(Reason::Unseen);
            }
            is_between(shown.loss.high, peer.high, MARGIN, scenes).then_some(Reason::TwoScenes)
        });
    }
    println!("rates: {table:?}");
    for outcome in [Outcome::Pass, Outcome::Fail, Outcome::Inconclusive] {
        let n = table.agreed.get(outcome.name()).copied().unwrap_or(0);
        assert!(n > FILES / 48, "{outcome:?}: {table:?}");
    }
    assert!(table.n_differed() < FILES / 20, "{table:?}");
}
