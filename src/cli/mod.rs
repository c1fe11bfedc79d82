//! The command line: parses, calls the stages, prints, and turns the outcome into an exit code.
//!
//! The only stage that prints. Commands see `settings`, never raw arguments.

pub mod args;
pub mod args_fitness;
pub mod args_gate;
pub mod args_inspect;
pub mod args_judge;
pub mod args_manifest;
pub mod args_report;
mod compare;
mod deliver;
mod doctor;
mod earlier;
mod evidence;
pub mod exit;
mod gate;
mod generate;
#[cfg(test)]
mod help_tests;
mod history;
mod inspect;
mod judge;
mod manifest;
mod manifest_from;
mod model;
mod output;
mod plan;
mod policy;
mod progress;
mod report;
mod scene_sets;
mod scenes;
mod score;
mod selftest;
mod settings;
mod sources;
pub mod store;
mod verify;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser as _;

use crate::engine::kernels::Kernel;
use crate::hint::Hint;
use crate::report::escape::one_line;
use args::{Cli, Command};
use exit::Exit;

/// Why a command did not do its work.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    /// Wrong usage, configuration or input.
    fn invalid<E: std::error::Error + Hint + Send + Sync + 'static>(error: E) -> Self {
        Self {
            exit: Exit::Invalid,
            hint: error.hint(),
            error: error.into(),
        }
    }

    /// A condition of this machine or a bug.
    fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Wrong usage found by the command itself.
    fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let error = anyhow::Error::msg(message.into());
        Self {
            exit: Exit::Invalid,
            error,
            hint: Some(hint.into()),
        }
    }
}

/// Runs the program with `arguments`, the first being its name.
///
/// A panic anywhere becomes [`Exit::Internal`]; no error reaches the runtime, which would exit
/// with 1 and read as "fail".
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    catch_unwind(AssertUnwindSafe(|| dispatch(&arguments))).unwrap_or_else(|_| {
        progress::say("error: internal error, see the message above");
        progress::say("\nhint: this is a bug of vv-eval; please report it");
        Exit::Internal.into()
    })
}

fn dispatch(arguments: &[OsString]) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; clap's other errors are wrong usage.
            let exit = if error.use_stderr() {
                Exit::Invalid
            } else {
                Exit::Pass
            };
            let _ = error.print();
            if exit == Exit::Invalid {
                store::tell_usage(arguments, &error);
            }
            return exit.into();
        }
    };
    if let Command::Worker = cli.command {
        // A worker has codes of its own, which only its supervisor sees.
        return crate::run::worker_main();
    }
    if let Err(error) = Kernel::named() {
        explain(&Failure::invalid(error));
        return Exit::Invalid.into();
    }
    let done = match cli.command {
        Command::Worker => unreachable!("workers have returned"),
        Command::Compare(args) => {
            settings::Compare::new(args, cli.color).and_then(|settings| compare::run(&settings))
        }
        Command::Doctor(args) => doctor::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Report(args) => report::run(&args, cli.color).map(|()| Exit::Pass),
        Command::History(args) => history::run(&args).map(|()| Exit::Pass),
        Command::Judge(args) => judge::run(&args, cli.color),
        Command::Verify(args) => verify::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Policy { command } => policy::run(&command),
        Command::Gate(args) => gate::run(&args, cli.color),
        Command::Manifest(args) => manifest::run(&args.action),
        Command::Score(args) => {
            settings::Score::new(&args).and_then(|settings| score::run(&settings))
        }
        Command::Completions { shell } => generate::completions(shell).map(|()| Exit::Pass),
        Command::Man { out } => generate::man(out.as_deref()).map(|()| Exit::Pass),
        Command::Scenes(args) => scenes::run(&args.action),
        Command::Inspect(args) => inspect::run(&args).map(|()| Exit::Pass),
        Command::Model { command } => model::run(&command),
    };
    done.unwrap_or_else(|failure| {
        explain(&failure);
        failure.exit
    })
    .into()
}

/// Prints an error, what caused it, and the hint apart from both.
fn explain(failure: &Failure) {
    let mut text = format!("error: {}", failure.error);
    for cause in failure.error.chain().skip(1) {
        let _ = write!(text, "\n  caused by: {cause}");
    }
    for line in text.lines() {
        progress::say(&one_line(line));
    }
    if let Some(hint) = &failure.hint {
        progress::say(&format!("\nhint: {hint}"));
    }
}
