//! `vv-eval plan`: how large a run must be, from a pilot.

use std::fmt::Write as _;

use super::Failure;
use super::args::{self, PlanFormat};
use super::exit::Exit;
use super::output::print;
use super::{report, settings};
use crate::durable;
use crate::gate::Policy;
use crate::gate::file::ReportFile;
use crate::gate::planning::{CHANCE, PlannedCheck, plan};
use crate::gate::policy::Margin;
use crate::record::RunRecord;

/// Plans every check and prints the plan.
pub(super) fn run(args: &args::Plan) -> Result<Exit, Failure> {
    let path = report::file_of(&args.from);
    let shown = durable::shown(&path);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::usage(
            format!("cannot read {shown}: {error}"),
            "name the report.json of a pilot run, or the directory of the run, with --from",
        )
    })?;
    let file = ReportFile::from_json(&bytes).map_err(Failure::invalid)?;
    let mut policy = match &args.policy {
        Some(path) => settings::policy(Some(path))?,
        None => file.policy.clone(),
    };
    for margin in &args.margin {
        set_margin(&mut policy, margin)?;
    }
    let comparison = file.comparison().map_err(|mismatch| {
        Failure::usage(
            format!("{shown} cannot be planned from: {mismatch}"),
            "`vv-eval verify` says what else does not hold",
        )
    })?;
    let Some(comparison) = comparison else {
        return Err(Failure::usage(
            format!("{shown} is of a comparison that needed no run"),
            "make a pilot with `vv-eval compare A B --force-run`",
        ));
    };
    let planned = plan(&comparison, &policy);
    if planned.is_empty() {
        return Err(Failure::usage(
            format!("{shown} has values of no required statistical check of the policy"),
            "name a policy with --policy whose checks the pilot has measured",
        ));
    }
    let note = other_pairs(comparison.baseline(), &policy);
    match args.format {
        PlanFormat::Terminal => {
            let note = note.map_or(String::new(), |note| format!("{note}\n"));
            print(format!("{}{note}", table(&planned)).as_bytes())?;
        }
        PlanFormat::Json => {
            let document = serde_json::json!({
                "schema_version": 1,
                "chance": CHANCE,
                "policy_sha256": policy.digest(),
                "checks": planned,
                "note": note,
            });
            let text = serde_json::to_string_pretty(&document).expect("a plan is plain data");
            print(format!("{text}\n").as_bytes())?;
        }
    }
    Ok(Exit::Pass)
}

/// What to know of a plan whose pilot had launches of another size.
fn other_pairs(pilot: &RunRecord, policy: &Policy) -> Option<String> {
    let (found, planned) = (pilot.plan.pairs_per_launch, policy.effort.pairs);
    let is_measured = !pilot.launches.is_empty();
    (is_measured && found != planned).then(|| {
        format!(
            "the pilot's launches have {found} pairs, the policy's {planned}: spread and time of a \
             launch are the pilot's"
        )
    })
}

/// Enters `METRIC=VALUE`.
fn set_margin(policy: &mut Policy, text: &str) -> Result<(), Failure> {
    let wrong = |problem: String| {
        Failure::usage(
            format!("`--margin {text}`: {problem}"),
            "write a required check of the policy and a number above 0: object_recall=0.03",
        )
    };
    let (metric, value) = text
        .split_once('=')
        .ok_or_else(|| wrong("is not METRIC=VALUE".to_owned()))?;
    let value: f64 = value
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value > 0.0)
        .ok_or_else(|| wrong(format!("`{value}` is not a number above 0")))?;
    let check = policy
        .checks
        .iter_mut()
        .find(|check| check.metric == metric)
        .ok_or_else(|| wrong(format!("the policy does not check `{metric}`")))?;
    check.margin = match check.margin {
        Some(Margin::Absolute(_)) if value < 1.0 => Some(Margin::Absolute(value)),
        Some(Margin::Relative(_)) => Some(Margin::Relative(value)),
        Some(Margin::Absolute(_)) => return Err(wrong("accepts any loss".to_owned())),
        Some(Margin::Memory { .. }) | None => {
            return Err(wrong(format!("`{metric}` does not rest on a sample")));
        }
    };
    Ok(())
}

fn table(planned: &[PlannedCheck]) -> String {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let number = |n: Option<usize>| n.map_or("–".to_owned(), |n| n.to_string());
    let rows = planned.iter().map(|check| {
        [
            check.metric.clone(),
            format!("{:.1} %", 100.0 * check.margin),
            check.sd.map_or("–".to_owned(), |sd| format!("{sd:.3}")),
            format!("{} {}", check.n_pilot, check.unit),
            percent(check.passes_equal),
            percent(check.fails_at_margin),
            number(check.n_to_pass),
            number(check.n_to_fail),
            number(check.first_look),
            check.seconds.map_or("–".to_owned(), time),
        ]
    });
    let titles = [
        "check", "margin", "sd", "pilot", "passes", "fails", "n pass", "n fail", "look", "time",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 10]> = std::iter::once(titles).chain(rows).collect();
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    let _ = write!(
        text,
        "\npasses, fails: chance that a run as large as the pilot passes an equal model, and fails a \
         loss as large as the margin\nn pass, n fail: scenes or launches for a chance of {} of each; \
         time: of the larger, on this machine\nlook: launches of the first look at which an equal \
         model is more likely to pass than not\n",
        percent(CHANCE)
    );
    text
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.ceil()),
        s if s < 5_400.0 => format!("{:.0} min", (s / 60.0).ceil()),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
