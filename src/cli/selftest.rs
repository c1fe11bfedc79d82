//! `vv-eval selftest`: runs every planted harm through this program and says what was caught.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args_fitness::Selftest;
use super::earlier::{Found, remember};
use super::exit::Exit;
use super::output::print;
use super::progress::say;
use super::{Failure, scene_sets, settings};
use crate::durable::Temporary;
use crate::gate::earlier::SelftestFound;
use crate::hint::did_you_mean;
use crate::report::escape;
use crate::selftest::cases::{CASES, Case, Plant};
use crate::selftest::{Proof, Subjects, prove};
use crate::units::Sha256;

/// Runs the chosen cases; 1 when one of them was not caught.
pub(super) fn run(args: &Selftest) -> Result<Exit, Failure> {
    if args.list {
        print(listed().as_bytes())?;
        return Ok(Exit::Pass);
    }
    let chosen = chosen(args)?;
    if !args.models.is_dir() {
        return Err(Failure::usage(
            format!("no reference models in {}", args.models.display()),
            "run from the repository's root, or name their folder with --models DIR",
        ));
    }
    let program = std::env::current_exe().map_err(|error| {
        let hint = "vv-eval must be able to start itself";
        Failure::usage(format!("cannot find this program: {error}"), hint).with_exit(Exit::Internal)
    })?;
    let temporary = Temporary::create(None).map_err(Failure::invalid)?;
    let work = args.keep.as_deref().unwrap_or(temporary.path());
    let subjects = Subjects {
        program,
        models: absolute(&args.models)?,
        scenes: absolute(&scene_sets::set_directory(&args.scenes)?)?,
        work: absolute(work)?,
    };
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let mut proofs = Vec::new();
    for case in &chosen {
        if !args.quiet {
            say(&format!("{}: {}", case.name, case.what));
        }
        proofs.push(prove(case, &subjects));
    }
    print(rendered(&proofs).as_bytes())?;
    if chosen.len() == CASES.len() {
        keep(&proofs, &crate::units::rfc3339(seconds));
    }
    let all_caught = proofs.iter().all(|proof| proof.result.is_ok());
    Ok(if all_caught { Exit::Pass } else { Exit::Fail })
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::usage(
            format!("cannot resolve {}: {error}", path.display()),
            "name an existing path",
        )
    })
}

/// The cases asked for, in the table's order.
fn chosen(args: &Selftest) -> Result<Vec<&'static Case>, Failure> {
    for name in &args.case {
        if !CASES.iter().any(|case| case.name == name) {
            let known = CASES.iter().map(|case| case.name);
            let advice = did_you_mean(name, known).map_or_else(
                || "`vv-eval selftest --list` shows the cases".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(Failure::usage(format!("`{name}` is not a case"), advice));
        }
    }
    let is_chosen = |case: &&Case| {
        (args.case.is_empty() || args.case.iter().any(|name| name == case.name))
            && !(args.quick && case.rules.takes_times())
    };
    let chosen: Vec<&Case> = CASES.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(Failure::usage(
            "no case is left",
            "leave out --quick, or name another --case",
        ));
    }
    Ok(chosen)
}

/// Keeps the result for the reports of later runs.
fn keep(proofs: &[Proof], at: &str) {
    let missed = proofs.iter().filter(|proof| proof.result.is_err());
    let missed: Vec<String> = missed.map(|proof| proof.case.to_owned()).collect();
    let found = SelftestFound {
        at: at.to_owned(),
        n_caught: proofs.len() - missed.len(),
        n_cases: proofs.len(),
        missed,
    };
    let keys: BTreeSet<Sha256> = proofs
        .iter()
        .filter_map(|proof| proof.machine_key)
        .collect();
    for key in keys {
        remember(settings::cache_dir(), key, Found::Selftest(found.clone()));
    }
}

fn rendered(proofs: &[Proof]) -> String {
    let mut text = String::new();
    for proof in proofs {
        let seconds = proof.took.as_secs_f64();
        let (mark, detail) = match &proof.result {
            Ok(()) => ("caught", String::new()),
            Err(detail) => ("MISSED", format!("  {}", escape::one_line(detail))),
        };
        let _ = writeln!(text, "{mark}  {:<16} {seconds:>6.1} s{detail}", proof.case);
    }
    let n_caught = proofs.iter().filter(|proof| proof.result.is_ok()).count();
    let _ = writeln!(text, "\nharms caught: {n_caught}/{}", proofs.len());
    text
}

fn listed() -> String {
    let mut text = String::new();
    for case in CASES {
        let codes: Vec<String> = case.codes.iter().map(ToString::to_string).collect();
        let harm = match case.plant {
            Plant::Nothing => String::new(),
            Plant::Harm(role, harm) => format!(" ({role} {harm})"),
            Plant::FlippedBit => " (bit flipped on disk)".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:<16} exit {:<7} {}{harm}",
            case.name,
            codes.join(" or "),
            case.what
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_missed_is_told_with_its_reason() {
        let proofs = [
            Proof {
                case: "crash",
                result: Ok(()),
                took: Duration::from_millis(1500),
                machine_key: None,
            },
            Proof {
                case: "nan",
                result: Err("exit code 0 instead of 1: \u{1b}[31m".to_owned()),
                took: Duration::from_secs(2),
                machine_key: None,
            },
        ];
        let text = rendered(&proofs);
        assert!(
            text.starts_with("caught  crash               1.5 s\n"),
            "{text}"
        );
        assert!(
            text.contains("MISSED  nan                 2.0 s  exit code 0"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.ends_with("harms caught: 1/2\n"), "{text}");
    }

    #[test]
    fn the_list_names_every_case() {
        let text = listed();
        assert_eq!(text.lines().count(), CASES.len());
        assert!(text.contains("slow-3           exit 1"), "{text}");
    }
}
