//! `vv-eval policy`: is it valid, and what is in force.

use std::fmt::Write as _;

use super::Failure;
use super::args::{self, PolicyMode};
use super::exit::Exit;
use super::output::print;
use super::progress::say;
use super::settings;
use crate::gate::Policy;
use crate::gate::policy::Mode;
use crate::gate::policy_explain::{InForce, explain, explain_built_in, schema};
use crate::manifest;
use crate::report::escape;

pub(super) fn run(command: &args::Policy) -> Result<Exit, Failure> {
    match command {
        args::Policy::Check(args) => check(args),
        args::Policy::Explain(args) => explained(args),
    }
}

fn check(args: &args::PolicyFile) -> Result<Exit, Failure> {
    let found = settings::policy_text(args.file.as_deref())?;
    let (policy, name) = match found {
        Some((text, file)) => {
            let policy = Policy::parse(&text, &file).map_err(Failure::invalid)?;
            (policy, file)
        }
        None => (Policy::built_in(), "the built-in policy".to_owned()),
    };
    policy
        .check_expiry(&manifest::today())
        .map_err(Failure::invalid)?;
    let required = policy.checks.iter().filter(|check| check.required).count();
    let mut text = format!(
        "{name} is valid: mode {}, {required} required checks ({} statistical), {} watched\n\
         sha256:{}\n",
        policy.mode.name(),
        policy.n_statistical(),
        policy.checks.len() - required,
        policy.digest(),
    );
    for waiver in &policy.waivers {
        let line = format!("waiver: {}: {}", waiver.allowance(), waiver.grounds());
        let _ = writeln!(text, "{}", escape::one_line(&line));
    }
    print(text.as_bytes())?;
    warn(&policy);
    Ok(Exit::Pass)
}

fn warn(policy: &Policy) {
    for warning in policy.warnings() {
        say(&format!("warning: {warning}"));
    }
}

fn explained(args: &args::Explain) -> Result<Exit, Failure> {
    if args.schema {
        print(schema().as_bytes())?;
        return Ok(Exit::Pass);
    }
    let built_in = |mode| (explain_built_in(mode), "built in".to_owned());
    let ((policy, values), name) = match args.mode {
        Some(PolicyMode::Smoke) => built_in(Mode::Smoke),
        Some(PolicyMode::Promotion) => built_in(Mode::Promotion),
        Some(PolicyMode::Bootstrap) => built_in(Mode::Bootstrap),
        None => match settings::policy_text(args.file.as_deref())? {
            Some((text, file)) => (explain(&text, &file).map_err(Failure::invalid)?, file),
            None => built_in(Mode::Smoke),
        },
    };
    print(table(&values, &name).as_bytes())?;
    warn(&policy);
    Ok(Exit::Pass)
}

/// `key = value   # gate.toml:12`, one line each.
fn table(values: &[InForce], name: &str) -> String {
    let width = values.iter().map(|value| value.key.chars().count()).max();
    let width = width.unwrap_or(0);
    let settings: Vec<String> = values
        .iter()
        .map(|value| {
            let (key, value) = (&value.key, &value.value);
            escape::one_line(&format!("{key:width$} = {value}"))
        })
        .collect();
    let edge = settings.iter().map(|line| line.chars().count());
    let edge = edge.filter(|width| *width <= 70).max().unwrap_or(0);
    let mut text = String::new();
    for (line, value) in settings.iter().zip(values) {
        let origin = match value.line {
            Some(line) => format!("{name}:{line}"),
            None => "default".to_owned(),
        };
        let _ = writeln!(text, "{line:edge$}  # {}", escape::one_line(&origin));
    }
    text
}
