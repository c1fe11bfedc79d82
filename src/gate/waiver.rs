//! Accepted losses: a check may lose more than its margin, up to a ceiling, until a day.
//!
//! A waiver is read from the policy, so that it is reviewed where the margin is. It raises the
//! allowance of one check and nothing else: an invalid run, a failed model, a digest that does not
//! match and checks without a margin cannot be waived.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::judge_checks;
use super::comparison::Comparison;
use super::policy::{Check, Margin, Policy, PolicyError};
use super::verdict::{CheckResult, Outcome};
use crate::units::is_date;

/// An accepted loss of one check; field names are the keys of `[[waiver]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Metric id of the check.
    pub check: String,
    /// Judged against this instead of the margin; the same kind of margin, and larger.
    pub ceiling: Margin,
    /// Last day it holds, `YYYY-MM-DD` in UTC.
    pub expires: String,
    /// Where the loss is being worked on.
    pub issue: Option<String>,
    /// Why it is accepted.
    pub reason: String,
    /// Who accepted it.
    pub approved_by: String,
}

/// Longest text of a waiver, in characters.
const MAX_TEXT: usize = 500;

impl Waiver {
    /// Keys of the table.
    pub(super) const KEYS: &'static [&'static str] = &[
        "check",
        "ceiling",
        "expires",
        "issue",
        "reason",
        "approved_by",
    ];

    /// Whether its last day lies before `day`.
    ///
    /// * `day`: `YYYY-MM-DD`, or a time that begins so
    pub fn has_expired(&self, day: &str) -> bool {
        // Dates of this form sort as text.
        day.get(..10).is_none_or(|day| *self.expires < *day)
    }
}

impl Policy {
    /// Refuses waivers that expired before `day`: whoever accepted the loss accepted it until then.
    ///
    /// # Errors
    /// [`PolicyError`] with the key of the first one.
    pub fn check_expiry(&self, day: &str) -> Result<(), PolicyError> {
        let expired = self
            .waivers
            .iter()
            .position(|waiver| waiver.has_expired(day));
        match expired {
            None => Ok(()),
            Some(i) => Err(refuse(
                i,
                "expires",
                format!("the waiver expired on {}", self.waivers[i].expires),
            )),
        }
    }

    /// Refuses waivers that contradict the checks; part of [`Policy::check`].
    pub(super) fn check_waivers(&self) -> Result<(), PolicyError> {
        for (i, waiver) in self.waivers.iter().enumerate() {
            let id = &waiver.check;
            if self.waivers[..i].iter().any(|earlier| earlier.check == *id) {
                return Err(refuse(i, "check", format!("`{id}` is waived twice")));
            }
            let check = self
                .checks
                .iter()
                .find(|check| check.metric == *id && check.required);
            let Some(check) = check else {
                let problem = format!("`{id}` is no required check of this policy");
                return Err(refuse(i, "check", problem));
            };
            let Some(margin) = check.margin else {
                let problem = format!("`{id}` has no margin, so it cannot be waived");
                return Err(refuse(i, "check", problem));
            };
            check_ceiling(margin, waiver.ceiling).map_err(|why| refuse(i, "ceiling", why))?;
            if !is_date(&waiver.expires) {
                let problem = format!("`{}` is no day of the form 2027-01-31", waiver.expires);
                return Err(refuse(i, "expires", problem));
            }
            for (key, text) in [
                ("reason", Some(&waiver.reason)),
                ("approved_by", Some(&waiver.approved_by)),
                ("issue", waiver.issue.as_ref()),
            ] {
                let length = text.map_or(1, |text| text.trim().chars().count());
                if !(1..=MAX_TEXT).contains(&length) {
                    let problem = format!("must have 1 to {MAX_TEXT} characters");
                    return Err(refuse(i, key, problem));
                }
            }
        }
        Ok(())
    }

    /// The waiver of a check that holds on `day`.
    fn waiver_of(&self, check: &Check, day: &str) -> Option<&Waiver> {
        let waiver = self
            .waivers
            .iter()
            .find(|waiver| waiver.check == check.metric)?;
        (check.required && !waiver.has_expired(day)).then_some(waiver)
    }
}

/// Judges every check by its margin and, where that is not met and a waiver holds, by its ceiling.
///
/// The day is that of the candidate's record, so a saved record is judged the same way tomorrow.
pub(super) fn judge_waived(comparison: &Comparison, policy: &Policy) -> Vec<CheckResult> {
    let strict = judge_checks(comparison, policy);
    let Some(eased) = eased(comparison, policy) else {
        return strict;
    };
    let day = &comparison.candidate().started_at;
    let eased = judge_checks(comparison, &eased);
    let results = strict.into_iter().zip(eased).zip(&policy.checks);
    results
        .map(
            |((strict, eased), check)| match policy.waiver_of(check, day) {
                Some(waiver) if is_open(&strict) => waived(eased, waiver),
                _ => strict,
            },
        )
        .collect()
}

/// The policy with the ceilings of the waivers that hold as margins; `None` where none holds.
pub(super) fn eased(comparison: &Comparison, policy: &Policy) -> Option<Policy> {
    let day = &comparison.candidate().started_at;
    let mut eased = policy.clone();
    let mut is_eased = false;
    for (check, strict) in eased.checks.iter_mut().zip(&policy.checks) {
        if let Some(waiver) = policy.waiver_of(strict, day) {
            check.margin = Some(waiver.ceiling);
            is_eased = true;
        }
    }
    is_eased.then_some(eased)
}

fn is_open(result: &CheckResult) -> bool {
    matches!(result.outcome, Some(Outcome::Fail | Outcome::Inconclusive))
}

/// What was judged by a ceiling says so.
fn waived(mut result: CheckResult, waiver: &Waiver) -> CheckResult {
    let note = format!(
        "waived until {} up to {}",
        waiver.expires,
        shown(waiver.ceiling)
    );
    result.reason = Some(match result.reason {
        Some(reason) => format!("{reason} ({note})"),
        None => note,
    });
    result
}

/// One sentence for each waiver, and whether it was needed; they stand above everything else.
pub fn notices(comparison: &Comparison, policy: &Policy) -> Vec<String> {
    if policy.waivers.is_empty() {
        return Vec::new();
    }
    let day = &comparison.candidate().started_at;
    let strict = judge_checks(comparison, policy);
    let waived = judge_waived(comparison, policy);
    let of = |waiver: &Waiver| {
        let place = strict
            .iter()
            .position(|result| result.metric == waiver.check)?;
        let use_of_it = if waiver.has_expired(day) {
            "expired, so it does not count"
        } else if is_open(&waived[place]) {
            "not enough"
        } else if is_open(&strict[place]) {
            "in use"
        } else {
            "not needed: remove it"
        };
        let issue = waiver
            .issue
            .as_ref()
            .map_or(String::new(), |issue| format!(", {issue}"));
        Some(format!(
            "waiver: {} may lose up to {} until {} ({use_of_it}): {} (approved by {}{issue})",
            waiver.check,
            shown(waiver.ceiling),
            waiver.expires,
            waiver.reason,
            waiver.approved_by,
        ))
    };
    policy.waivers.iter().filter_map(of).collect()
}

/// A ceiling of the kind of the margin, and above it.
fn check_ceiling(margin: Margin, ceiling: Margin) -> Result<(), String> {
    let (least, most, end) = match (margin, ceiling) {
        (Margin::Absolute(least), Margin::Absolute(most)) => (least, most, 1.0),
        (Margin::Relative(least), Margin::Relative(most)) => (least, most, f64::INFINITY),
        (
            Margin::Memory {
                relative: least,
                floor_bytes,
            },
            Margin::Memory {
                relative: most,
                floor_bytes: floor,
            },
        ) => {
            if floor < floor_bytes {
                return Err("floor_bytes is below the margin's".to_owned());
            }
            (least, most, f64::INFINITY)
        }
        _ => return Err("is not the kind of margin the check has".to_owned()),
    };
    if most.is_finite() && most > least && most < end {
        return Ok(());
    }
    Err(format!(
        "{most} is not a finite number above the margin, {least}"
    ))
}

/// `0.06`, `6 %`, `6 % or 8388608 bytes`.
fn shown(ceiling: Margin) -> String {
    let percent = |share: f64| format!("{} %", (share * 1e6).round() / 1e4);
    match ceiling {
        Margin::Absolute(share) => format!("{share}"),
        Margin::Relative(share) => percent(share),
        Margin::Memory {
            relative,
            floor_bytes,
        } => {
            format!("{} or {floor_bytes}", percent(relative))
        }
    }
}

fn refuse(i: usize, key: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError {
        file: String::new(),
        line: None,
        key: format!("waiver[{i}].{key}"),
        problem: problem.into(),
    }
}
