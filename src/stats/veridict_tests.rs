//! The pass and fail rules against another gate: the crate `veridict`, which compares paired files
//! by a percentile bootstrap of the mean difference.
//!
//! Both rules judge the same files. They must agree, or differ for a reason on the list below; a
//! difference without a reason fails the test.

use std::fmt::Write as _;

use veridict::verdict::Thresholds;
use veridict::{BootstrapMethod, MetricConfig, Report, Verdict, compare_one, input};

use super::bounded::mean_loss;
use super::distribution::normal_quantile;
use super::rng::Seed;
use super::{Estimate, Method};

const FILES: u64 = 1_200;
const MARGIN: f64 = 0.05;
const PASS_LEVEL: f64 = 0.05;
const FAIL_LEVEL: f64 = 0.01;
const RESAMPLES: usize = 1_999;

/// Why the two gates may decide a file differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Without a loss seen we allow for losses that n scenes may all have missed; a bootstrap knows
    /// only what it saw, and without spread its interval has width zero.
    Unseen,
    /// The percentile bootstrap has no small-sample correction: its interval is narrower than
    /// Student's t by a factor near sqrt((n − 1)/n)·z/t, and follows the skew of the sample. The line
    /// lies between both bounds, and the bounds differ by at most a fifth of the half-width.
    NearTheLine,
}

/// A paired file: `{"id": …, "baseline": …, "candidate": …}`, one scene a line.
fn file(index: u64) -> (usize, String, Vec<f64>) {
    let mut stream = Seed::of_digest([11; 32]).stream(index);
    let n = [60, 80, 120, 200][stream.below(4) as usize];
    let (kind, mean) = (stream.below(5), 0.08 * stream.share() - 0.01);
    let mut text = String::new();
    let mut losses = Vec::new();
    for scene in 0..n {
        let noise = normal_quantile(stream.share().max(1e-12));
        let loss = match kind {
            0 => mean + 0.1 * noise,
            1 => mean + 0.03 * noise,
            2 if stream.share() < 0.6 => 0.0,
            2 => mean / 0.4 + 0.12 * noise,
            3 => mean + 0.08 * (-(1.0 - stream.share()).ln() - 1.0),
            // Gains only, or nothing at all.
            _ if mean < 0.03 => -0.05 * stream.share() * f64::from(stream.below(2)),
            _ => 0.0,
        };
        let baseline = 0.5 + 0.2 * stream.share();
        let candidate = (baseline - loss).clamp(0.0, 1.0);
        losses.push(baseline - candidate);
        let id = format!("s{scene}");
        let line = serde_json::json!({ "id": id, "baseline": baseline, "candidate": candidate });
        writeln!(text, "{line}").expect("a string takes any text");
    }
    (n, text, losses)
}

/// What veridict says of a file when both thresholds lie at `line`.
fn peer(text: &str, line: f64, alpha: f64) -> Report {
    let metric = MetricConfig::MeanDiff {
        bootstrap_method: BootstrapMethod::Percentile,
    };
    let thresholds = Thresholds::new(line, line).expect("a line");
    let records = input::parse_jsonl(text.as_bytes());
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

/// Reason of a difference at `line`, on the scale of losses; `None` when there is none on the list.
fn reason(ours: &Estimate, bound: f64, theirs: f64, line: f64) -> Option<Reason> {
    let half_width = (ours.high - ours.low) / 2.0;
    let lies_between = (bound - line) * (theirs - line) <= 0.0;
    match ours.method {
        Method::LargestSeen | Method::NoLoss => Some(Reason::Unseen),
        _ if lies_between && (bound - theirs).abs() <= 0.2 * half_width => {
            Some(Reason::NearTheLine)
        }
        _ => None,
    }
}

#[test]
fn verdicts_agree_with_veridict_or_differ_for_a_known_reason() {
    let (mut agreed, mut differed) = (0u64, std::collections::BTreeMap::new());
    let (mut passed, mut failed) = (0u64, 0u64);
    for index in 0..FILES {
        let (n, text, losses) = file(index);
        let ours = mean_loss(&losses, PASS_LEVEL).expect("a sample");
        let strict = mean_loss(&losses, FAIL_LEVEL).expect("a sample");
        // Pass: the loss is below the margin. In their terms the difference is above −margin.
        let pass = peer(&text, -MARGIN, PASS_LEVEL);
        let fail = peer(&text, 0.0, FAIL_LEVEL);
        assert_eq!(usize::try_from(pass.paired_count).unwrap(), n);
        assert!(
            (pass.effect + ours.point).abs() < 1e-9,
            "the same mean difference"
        );
        let both = [
            (
                ours.high < MARGIN,
                pass.verdict == Verdict::Pass,
                &ours,
                ours.high,
                -pass.ci_low,
                MARGIN,
            ),
            (
                strict.low > 0.0,
                fail.verdict == Verdict::Fail,
                &strict,
                strict.low,
                -fail.ci_high,
                0.0,
            ),
        ];
        passed += u64::from(both[0].0);
        failed += u64::from(both[1].0);
        for (we, they, estimate, bound, theirs, line) in both {
            if we == they {
                agreed += 1;
                continue;
            }
            let why = reason(estimate, bound, theirs, line);
            assert!(
                why.is_some(),
                "file {index}, {n} scenes, line {line}: {bound} here, {theirs} there, no reason listed"
            );
            *differed.entry(why).or_insert(0u64) += 1;
        }
    }
    let n_differed: u64 = differed.values().sum();
    assert_eq!(agreed + n_differed, 2 * FILES);
    // Both outcomes occur often, so that the comparison compares something.
    assert!(
        passed > FILES / 4 && failed > FILES / 4,
        "{passed} passed, {failed} failed"
    );
    assert!(n_differed < FILES / 10, "{differed:?}");
}
