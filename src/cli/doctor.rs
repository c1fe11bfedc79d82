//! `vv-eval doctor`: is this machine fit to measure, and what to change.

use std::fmt::Write as _;
use std::path::Path;

use super::args_fitness::Doctor;
use super::exit::Exit;
use super::output::print;
use super::{Failure, settings};
use crate::report::escape;
use crate::run::fitness::{Finding, State, examine};

/// Prints what was found; fails when times or memory could not be decided here.
pub(super) fn run(args: &Doctor) -> Result<Exit, Failure> {
    let policy = settings::policy(args.policy.as_deref())?;
    let out = args.out.as_deref().unwrap_or(Path::new(settings::REPORTS));
    let findings = examine(policy.effort.threads, out);
    print(rendered(&findings).as_bytes())?;
    let is_unfit = findings.iter().any(|finding| finding.state == State::Unfit);
    Ok(if is_unfit { Exit::Fail } else { Exit::Pass })
}

fn mark(state: State) -> &'static str {
    match state {
        State::Good => "ok",
        State::Poor => "poor",
        State::Unfit => "UNFIT",
    }
}

fn rendered(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let found = escape::one_line(&finding.found);
        let _ = writeln!(
            text,
            "{:<6} {:<14} {found}",
            mark(finding.state),
            finding.what
        );
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "{:21} → {}", "", escape::one_line(advice));
        }
    }
    let worst = findings.iter().map(|finding| finding.state).max();
    text.push_str(match worst {
        Some(State::Unfit) => "\nThis machine is not fit to decide times or memory as it is.\n",
        Some(State::Poor) => "\nThis machine can measure; what is poor costs launches or detail.\n",
        Some(State::Good) | None => "\nThis machine is fit to measure.\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below_what_it_is_about() {
        let findings = [
            Finding {
                what: "CPUs",
                state: State::Good,
                found: "2 for 1 threads".to_owned(),
                advice: None,
            },
            Finding {
                what: "huge pages",
                state: State::Unfit,
                found: "mode never".to_owned(),
                advice: Some("change it".to_owned()),
            },
        ];
        let expected = "ok     CPUs           2 for 1 threads\n\
            UNFIT  huge pages     mode never\n                      → change it\n\
            \nThis machine is not fit to decide times or memory as it is.\n";
        assert_eq!(rendered(&findings), expected);
    }
}
