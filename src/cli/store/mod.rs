//! `vv-eval model install`, `status`, `verify`, `rollback`, `history`, `gc`, `doctor`, `fetch`,
//! `pack`: the store of one host and the archives it installs.
//!
//! Each command gives a `Reply`; with `--json` it is one object on stdout, for errors too.

pub mod args;
mod fault;
mod install;
mod look;
mod pack;
mod settings;
mod smoke;

use std::ffi::OsString;

use serde_json::{Map, Value, json};

use super::Failure;
use super::exit::Exit;
use super::output::print;
use super::progress::say;
use crate::report::escape::{lines, one_line};
use crate::store::{Current, Layout};
use args::StoreCommand;
use fault::Fault;
use settings::Settings;

/// What a command found or did.
struct Reply {
    exit: Exit,
    /// Members of the JSON object besides the common ones.
    members: Map<String, Value>,
    /// The same for people.
    text: String,
    /// What was odd, one line each.
    warnings: Vec<String>,
    /// What was tidied up, one line each.
    notes: Vec<String>,
}

impl Reply {
    /// * `members`: a JSON object
    fn new(exit: Exit, members: Value, text: String) -> Self {
        let members = match members {
            Value::Object(members) => members,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self {
            exit,
            members,
            text,
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn to_json(&self, command: &str, layout: &Layout) -> Value {
        let current = match layout.read_current() {
            Ok(Current::Generation(number)) => Some(number),
            Ok(Current::Absent | Current::Broken { .. }) | Err(_) => None,
        };
        let mut all = json!({
            "schema_version": 1,
            "command": command,
            "code": self.exit.code(),
            "current_generation": current,
            "warnings": self.warnings,
            "notes": self.notes,
        });
        for (key, value) in &self.members {
            all[key] = value.clone();
        }
        all
    }
}

/// Prints the object of `--json` for arguments that are not understood, where it was asked for.
///
/// Which store was meant is not known then, so no generation is named.
pub(in crate::cli) fn tell_usage(arguments: &[OsString], error: &clap::Error) {
    let words: Vec<&str> = arguments.iter().filter_map(|it| it.to_str()).collect();
    if words.get(1) != Some(&"model") || !words.contains(&"--json") {
        return;
    }
    // What is wrong may take several lines; how to use the command comes after an empty one.
    let text = error.to_string();
    let (message, _) = text.split_once("\n\n").unwrap_or((&text, ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message = lines(message);
    // Nobody is left to tell when stdout is gone.
    let _ = print_json(&json!({
        "schema_version": 1,
        "command": words.get(2),
        "code": Exit::Invalid.code(),
        "current_generation": null,
        "error": {
            "code": Exit::Invalid.code(),
            "name": Exit::Invalid.name(),
            "message": message,
            "hint": "vv-eval model --help lists the commands, and each has --help",
            "retryable": false,
            "current_generation": null,
            "details": {},
        },
    }));
}

/// Runs a command of the store.
pub(in crate::cli) fn run(command: &StoreCommand) -> Result<Exit, Failure> {
    let common = command.common();
    let settings = Settings::new(common);
    match act(command, &settings) {
        Ok(reply) => {
            for warning in &reply.warnings {
                say(&format!("warning: {}", one_line(warning)));
            }
            for note in &reply.notes {
                say(&format!("note: {}", one_line(note)));
            }
            if settings.is_json {
                print_json(&reply.to_json(command.name(), &settings.layout))?;
            } else {
                print(lines(&reply.text).as_bytes())?;
            }
            Ok(reply.exit)
        }
        Err(fault) => {
            if common.json {
                print_json(&fault.to_json(command.name(), &settings.layout))?;
            }
            Err(fault.into_failure())
        }
    }
}

fn print_json(value: &Value) -> Result<(), Failure> {
    print(format!("{value:#}\n").as_bytes())
}

fn act(command: &StoreCommand, settings: &Settings) -> Result<Reply, Fault> {
    match command {
        StoreCommand::Install(args) => install::install(args, settings),
        StoreCommand::Status(args) => look::status(args, settings),
        StoreCommand::Verify(args) => install::verify(args, settings),
        StoreCommand::Rollback(args) => install::rollback(args, settings),
        StoreCommand::History(args) => look::history(args, settings),
        StoreCommand::Gc(args) => install::gc(args, settings),
        StoreCommand::Doctor(args) => look::doctor(args, settings),
        StoreCommand::Pack(args) => pack::pack(args, settings),
        StoreCommand::Fetch(args) => install::fetch(args, settings),
    }
}

/// A digest as reports write it.
fn digest(sha256: crate::units::Sha256) -> String {
    format!("sha256:{sha256}")
}
