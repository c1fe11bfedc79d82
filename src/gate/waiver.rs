//! Accepted losses: a check, or a check on one slice, may lose more than its margin, up to a
//! ceiling, until a day.
//!
//! A waiver is read from the policy, so that it is reviewed where the margin is. It covers what it
//! names and nothing else: one of a whole check raises that check's allowance and leaves the vetoes
//! of slices as they are, one of a slice moves that slice's veto and leaves the check and the other
//! slices. An invalid run, a failed model, a digest that does not match, a slice that is missing, a
//! limit, a sentinel and a check without a margin cannot be waived.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::{judge_checks, statistical};
use super::comparison::Comparison;
use super::policy::{Check, Margin, Origin, Policy, PolicyError};
use super::rule::{Rule, rule};
use super::slices::{VETO_FROM, judge_slices};
use super::verdict::{CheckResult, Outcome, SliceResult};
use crate::hint::did_you_mean;
use crate::units::is_date;

/// An accepted loss of one check; field names are the keys of `[[waiver]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Metric id of the check.
    pub check: String,
    /// Declared slice whose veto it moves; `None` for the check over all scenes, and for no slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Judged against this: instead of the margin, the same kind and larger; on a slice instead of
    /// twice the margin, and larger than that.
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

/// What a waiver that holds allows a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OnSlice<'a> {
    /// Mean loss from which on the slice vetoes, a share.
    pub(crate) most: f64,
    /// Last day it holds.
    pub(crate) until: &'a str,
}

/// Longest text of a waiver, in characters.
const MAX_TEXT: usize = 500;

impl Waiver {
    /// Keys of the table.
    pub(super) const KEYS: &'static [&'static str] = &[
        "check",
        "slice",
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

    /// What it allows: `chrf_pp may lose up to 10 points until 2027-01-31`.
    pub fn allowance(&self) -> String {
        let on = self.slice.as_ref();
        let on = on.map_or(String::new(), |slice| format!(" in slice {slice}"));
        let (check, ceiling) = (&self.check, shown(self.ceiling));
        format!(
            "{check}{on} may lose up to {ceiling} until {}",
            self.expires
        )
    }

    /// Why and by whom: `style (approved by ana, #212)`.
    pub fn grounds(&self) -> String {
        let issue = self.issue.as_ref();
        let issue = issue.map_or(String::new(), |issue| format!(", {issue}"));
        format!("{} (approved by {}{issue})", self.reason, self.approved_by)
    }

    fn covers(&self, check: &str, slice: Option<&str>) -> bool {
        self.check == check && self.slice.as_deref() == slice
    }
}

impl Policy {
    /// Refuses waivers that expired before `day`: whoever accepted the loss accepted it until then.
    ///
    /// # Errors
    /// [`PolicyError`] with file and key of the first one.
    pub fn check_expiry(&self, day: &str) -> Result<(), PolicyError> {
        let expired = |waiver: &Waiver| waiver.has_expired(day);
        let Some(i) = self.waivers.iter().position(expired) else {
            return Ok(());
        };
        let problem = format!(
            "the waiver expired on {}: renew it in review, or remove it",
            self.waivers[i].expires
        );
        let file = match &self.origin {
            Origin::BuiltIn => String::new(),
            Origin::File(file) => file.clone(),
        };
        Err(PolicyError {
            file,
            ..refuse(i, "expires", problem)
        })
    }

    /// Refuses waivers that contradict the checks; part of [`Policy::check`].
    pub(super) fn check_waivers(&self) -> Result<(), PolicyError> {
        for (i, waiver) in self.waivers.iter().enumerate() {
            self.check_waiver(i, waiver)?;
        }
        Ok(())
    }

    fn check_waiver(&self, i: usize, waiver: &Waiver) -> Result<(), PolicyError> {
        let (id, slice) = (&waiver.check, waiver.slice.as_deref());
        let mut earlier = self.waivers[..i].iter();
        if earlier.any(|earlier| earlier.covers(id, slice)) {
            let on = slice.map_or(String::new(), |slice| format!(" on slice `{slice}`"));
            return Err(refuse(i, "check", format!("`{id}` is waived twice{on}")));
        }
        let mut checks = self.checks.iter();
        let check = checks.find(|check| check.metric == *id && check.required);
        let Some(check) = check else {
            let problem = format!("`{id}` is no required check of this policy");
            return Err(refuse(i, "check", problem));
        };
        let Some(margin) = check.margin else {
            let problem = format!("`{id}` has no margin, so it cannot be waived");
            return Err(refuse(i, "check", problem));
        };
        match slice {
            None => check_ceiling(margin, waiver.ceiling),
            Some(slice) => {
                self.check_slice(id, slice)
                    .map_err(|why| refuse(i, "slice", why))?;
                check_slice_ceiling(margin, waiver.ceiling)
            }
        }
        .map_err(|why| refuse(i, "ceiling", why))?;
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
        Ok(())
    }

    /// Refuses a slice that never vetoes by this check.
    fn check_slice(&self, id: &str, slice: &str) -> Result<(), String> {
        if !matches!(rule(id), Some(Rule::SceneMean | Rule::SceneRate)) {
            return Err(format!(
                "`{id}` is no mean over scenes, so no slice vetoes by it"
            ));
        }
        let names = || self.slices.iter().map(|known| known.name.as_str());
        if names().any(|name| name == slice) {
            return Ok(());
        }
        let advice = did_you_mean(slice, names())
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Err(format!(
            "`{slice}` is no slice of this policy, so it vetoes nothing{advice}"
        ))
    }

    /// The waiver of a whole check that holds on `day`.
    fn waiver_of(&self, check: &Check, day: &str) -> Option<&Waiver> {
        let mut waivers = self.waivers.iter();
        let waiver = waivers.find(|waiver| waiver.covers(&check.metric, None))?;
        (check.required && !waiver.has_expired(day)).then_some(waiver)
    }

    /// What is waived of a check on a slice on `day`.
    pub(super) fn waived_on_slice(
        &self,
        check: &str,
        slice: &str,
        day: &str,
    ) -> Option<OnSlice<'_>> {
        let mut waivers = self.waivers.iter();
        let waiver = waivers.find(|waiver| waiver.covers(check, Some(slice)))?;
        let Margin::Absolute(most) = waiver.ceiling else {
            return None;
        };
        let until = waiver.expires.as_str();
        (!waiver.has_expired(day)).then_some(OnSlice { most, until })
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
        Some(reason) => format!("{reason}; {note}"),
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
    let uses = Uses::of(comparison, policy);
    let of = |waiver: &Waiver| {
        let use_of_it = if waiver.has_expired(day) {
            "expired, so it does not count"
        } else {
            uses.of_waiver(waiver)
        };
        let (allowance, grounds) = (waiver.allowance(), waiver.grounds());
        format!("waiver: {allowance} ({use_of_it}): {grounds}")
    };
    policy.waivers.iter().map(of).collect()
}

/// Checks and slices without any waiver and with those that hold.
struct Uses {
    checks: [Vec<CheckResult>; 2],
    slices: [Vec<SliceResult>; 2],
}

impl Uses {
    fn of(comparison: &Comparison, policy: &Policy) -> Self {
        let family = statistical(comparison, policy);
        let unwaived = Policy {
            waivers: Vec::new(),
            ..policy.clone()
        };
        let slices = |policy: &Policy| judge_slices(comparison, policy, &family).results;
        Self {
            checks: [
                judge_checks(comparison, policy),
                judge_waived(comparison, policy),
            ],
            slices: [slices(&unwaived), slices(policy)],
        }
    }

    /// What became of a waiver that holds.
    fn of_waiver(&self, waiver: &Waiver) -> &'static str {
        // Whether what it covers stops the promotion; `None` where that was not judged.
        let stops = |i: usize| match &waiver.slice {
            None => {
                let mut checks = self.checks[i].iter();
                let check = checks.find(|it| it.metric == waiver.check)?;
                let judged = check.outcome.filter(|it| *it != Outcome::Invalid);
                judged.map(|_| is_open(check))
            }
            Some(slice) => {
                let mut slices = self.slices[i].iter();
                let found = slices.find(|it| it.slice == *slice && it.metric == waiver.check);
                found.map(|it| it.vetoes)
            }
        };
        match (stops(0), stops(1)) {
            (None, _) | (_, None) => "not judged in this run",
            (Some(false), _) => "not needed: remove it",
            (Some(true), Some(true)) => "not enough",
            (Some(true), Some(false)) => "in use",
        }
    }
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

/// A ceiling above the loss from which on the slice vetoes anyway.
fn check_slice_ceiling(margin: Margin, ceiling: Margin) -> Result<(), String> {
    let (Margin::Absolute(margin), Margin::Absolute(most)) = (margin, ceiling) else {
        return Err("is not the kind of margin the check has".to_owned());
    };
    let least = VETO_FROM * margin;
    if most > least && most < 1.0 {
        return Ok(());
    }
    Err(format!(
        "{most} is not above {least}, from where the slice vetoes, and below 1"
    ))
}

/// `6 points`, `6 %`, `6 % or 8.0 MiB`.
fn shown(ceiling: Margin) -> String {
    let hundred = |share: f64| (share * 1e6).round() / 1e4;
    let percent = |share: f64| format!("{} %", hundred(share));
    match ceiling {
        Margin::Absolute(share) => format!("{} points", hundred(share)),
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
