//! All text for readers that does not come from the verdict itself.

use crate::gate::Outcome;
use crate::gate::policy::{Confidence, Origin};
use crate::gate::words::level;

/// Title of the reasons.
pub const WHY: &str = "Why";
/// Title of the table.
pub const CHECKS: &str = "Checks";
/// Title of the worst scenes.
pub const LOOK_FIRST: &str = "Look here first";
/// Title of what the verdict rests on.
pub const TRUST: &str = "Can this be trusted?";
/// Title of the digests.
pub const TESTED: &str = "What was tested";
/// Title of the explanation.
pub const HOW_TO_READ: &str = "How to read this report";
/// A number that does not exist.
pub const NOT_AVAILABLE: &str = "n/a";
/// Allowance of a check that does not decide.
pub const WATCHED: &str = "watched";
/// Outcome of a check that does not decide.
pub const NO_OUTCOME: &str = "–";
/// Stands for a text that was never produced.
pub const NO_TEXT: &str = "(no text)";

/// Mark and word of an outcome; colour is never the only signal.
pub fn outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Pass => ("✓", "PASS"),
        Outcome::Fail => ("✗", "FAIL"),
        Outcome::Inconclusive => ("?", "INCONCLUSIVE"),
        Outcome::Invalid => ("!", "INVALID"),
    }
}

/// Outcome of one check in the table: what stops a promotion stands in capitals.
pub fn check_outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Inconclusive => "UNDECIDED",
        Outcome::Invalid => "INVALID",
    }
}

/// What the outcome means for the promotion.
pub fn consequence(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "may be promoted",
        Outcome::Fail => "must not be promoted",
        Outcome::Inconclusive => "was not decided",
        Outcome::Invalid => "was not judged",
    }
}

/// The sentence under a verdict that may not be acted on.
pub const DOES_NOT_COUNT: &str =
    "This verdict does not count: a harm was planted on purpose to test the gate.";

/// The one reason of a pass.
pub const ALL_WITHIN: &str = "every required check was shown to stay within its allowance";

/// Titles of the table's columns; `alpha` is the error rate of each bound.
pub fn columns(alpha: f64) -> [String; 7] {
    let change = format!("change [{} % bounds]", level(alpha));
    [
        "check",
        "baseline",
        "candidate",
        &change,
        "n",
        "allowed",
        "outcome",
    ]
    .map(str::to_owned)
}

/// Opens the list of changes without bounds.
pub const NO_INTERVAL: &str = "no interval";
/// Opens the list of checks without a number.
pub const NO_VALUE: &str = "no value";

/// Title of what a failed worker last wrote.
pub const LAST_WORDS: &str = "The worker's last lines on stderr";

/// A number of things, in the singular where there is one.
pub fn count(n: usize, unit: &str) -> String {
    if n == 1 {
        format!("1 {unit}")
    } else {
        format!("{n} {unit}s")
    }
}

/// A number of things whose plural is irregular.
pub fn count_of(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Share of memory on huge pages in the workers of a role, e.g. `baseline 96–97 %`.
///
/// * `shares`: one per worker, in [0, 1]; `None` where the system did not say
pub fn huge_pages(role: &str, shares: impl Iterator<Item = Option<f64>>) -> String {
    let shares: Option<Vec<f64>> = shares.collect();
    let percent = |share: f64| format!("{:.0}", 100.0 * share);
    let least = |a: f64, b: f64| a.min(b);
    let Some((low, high)) = shares.as_deref().and_then(|shares| {
        let low = shares.iter().copied().reduce(least)?;
        Some((
            percent(low),
            percent(shares.iter().copied().reduce(f64::max)?),
        ))
    }) else {
        return format!("{role} unknown");
    };
    if low == high {
        format!("{role} {low} %")
    } else {
        format!("{role} {low}–{high} %")
    }
}

/// How many scenes lost something, beyond those shown.
pub fn more_scenes(n: usize) -> String {
    format!("… {} lost something", count(n, "more scene"))
}

/// Where the policy came from.
pub fn origin(origin: &Origin) -> String {
    match origin {
        Origin::BuiltIn => "built-in policy".to_owned(),
        Origin::File(path) => format!("policy {path}"),
    }
}

/// The error rates the verdict was made at.
pub fn error_rates(confidence: Confidence) -> String {
    format!(
        "at most {} % false passes per check, {} % false fails in all",
        level(1.0 - confidence.false_pass),
        level(1.0 - confidence.false_fail),
    )
}

/// Equal ternary layers in both roles.
///
/// * `containers`: of the baseline and of the candidate, where they differ
pub fn same_layers(digest: &str, containers: Option<&(String, String)>) -> String {
    match containers {
        Some((baseline, candidate)) => format!(
            "same weights, other container: {baseline} and {candidate} hold the same ternary layers, {digest}"
        ),
        None => format!("same ternary layers in both roles, {digest}"),
    }
}

/// Whether digests were promised by a manifest.
pub fn pinned(is_pinned: bool) -> &'static str {
    if is_pinned { "pinned" } else { "unpinned" }
}

/// What the bounds and the outcomes claim; the sentence on bounds comes first.
pub fn how_to_read(alpha: f64) -> Vec<String> {
    vec![
        format!(
            "each bound misses the true change with probability at most {} %; scenes stand for \
             the population they were drawn from, and nothing else",
            level(1.0 - alpha)
        ),
        "pass: for every required check the evidence rules out a loss as large as allowed".into(),
        "fail: a loss was shown and not shown to stay within the allowance, or a rule was broken"
            .into(),
        "inconclusive: neither could be shown; the reasons name what would settle it".into(),
        "invalid: the run may not be judged at all".into(),
        "watched checks are printed and never decide".into(),
    ]
}
