//! What `--help` promises: every command has examples, and they can be pasted.

use clap::{Command, CommandFactory as _, Parser as _};

use super::args::Cli;

/// Columns of a line that no terminal of the width the help is made for breaks.
const MOST_COLUMNS: usize = 100;

/// A command by the words that reach it, `vv-eval` first.
struct Reached {
    path: Vec<String>,
    command: Command,
}

/// Every command that is shown, those with subcommands included.
fn commands() -> Vec<Reached> {
    let mut found = Vec::new();
    let mut open = vec![Reached {
        path: vec!["vv-eval".to_owned()],
        command: Cli::command(),
    }];
    while let Some(here) = open.pop() {
        let shown = here.command.get_subcommands();
        let shown = shown.filter(|it| !it.is_hide_set() && it.get_name() != "help");
        open.extend(shown.map(|sub| Reached {
            path: [&here.path[..], &[sub.get_name().to_owned()]].concat(),
            command: sub.clone(),
        }));
        found.push(here);
    }
    found
}

/// Command lines of a help text, as typed.
fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let lines = help.lines().filter(|line| line.starts_with("  vv-eval "));
    // An explanation stands two spaces or more behind the command.
    let typed = lines.map(|line| line.trim_start().split("  ").next().unwrap_or_default());
    typed.map(str::to_owned).collect()
}

/// The words of a command line before a pipe or a redirection; quotes are single ones.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    let end = words.iter().position(|word| word == ">" || word == "|");
    words.truncate(end.unwrap_or(words.len()));
    words
}

#[test]
fn every_command_has_an_example_of_itself() {
    let commands = commands();
    assert!(commands.len() > 30, "{}", commands.len());
    for Reached { path, command } in commands {
        let is_leaf = command.get_subcommands().next().is_none();
        let examples = examples(&command);
        let begins = format!("{} ", path.join(" "));
        let is_own = |line: &&String| format!("{line} ").starts_with(&begins);
        let n_own = examples.iter().filter(is_own).count();
        assert!(!is_leaf || n_own > 0, "{} has no example", path.join(" "));
        assert_eq!(
            n_own,
            examples.len(),
            "an example of another command: {begins}"
        );
    }
}

#[test]
fn every_example_can_be_pasted() {
    let mut n = 0;
    for Reached { path, command } in commands() {
        for line in examples(&command) {
            let parsed = Cli::try_parse_from(words(&line));
            assert!(
                parsed.is_ok(),
                "{}: {line}\n{}",
                path.join(" "),
                parsed.expect_err("it is one")
            );
            n += 1;
        }
    }
    assert!(n > 60, "only {n} examples were found");
}

#[test]
fn lines_of_examples_are_not_broken() {
    for Reached { command, .. } in commands() {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= MOST_COLUMNS, "{line}");
        }
    }
}

#[test]
fn every_argument_is_explained() {
    for Reached { path, command } in commands() {
        assert!(command.get_about().is_some(), "{}", path.join(" "));
        for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
            let (name, help) = (argument.get_id(), argument.get_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 5, "{}: {name}", path.join(" "));
        }
    }
}

#[test]
fn words_are_parted_as_a_shell_would() {
    assert_eq!(words("a --b 'c d' > e"), ["a", "--b", "c d"]);
    assert_eq!(words("man | man -l -"), ["man"]);
}
