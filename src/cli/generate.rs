//! `vv-eval completions` and `vv-eval man`: what shells and `man` know of the command line.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Failure;
use super::args::Cli;
use super::output::print;
use crate::durable::{self, write_atomic};

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    print(&completions_of(shell))
}

fn completions_of(shell: Shell) -> Vec<u8> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut out);
    out
}

/// Prints the manual page of the program, or writes one page for each command into a directory.
pub(super) fn man(out: Option<&Path>) -> Result<(), Failure> {
    let pages = pages().map_err(|error| {
        Failure::usage(
            format!("cannot make the manual: {error}"),
            "this is a bug of vv-eval",
        )
    })?;
    let Some(directory) = out else {
        let (_, page) = &pages[0];
        return print(page);
    };
    durable::reserve_directory(directory).map_err(Failure::invalid)?;
    for (name, page) in &pages {
        write_atomic(&directory.join(name), page).map_err(Failure::invalid)?;
    }
    Ok(())
}

/// File name and text of every page, that of the program first.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    collect(&command, "vv-eval", &mut pages)?;
    Ok(pages)
}

fn collect(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> std::io::Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone().disable_help_subcommand(true)).render(&mut page)?;
    pages.push((format!("{name}.1"), page));
    let shown = command
        .get_subcommands()
        .filter(|it| !it.is_hide_set() && it.get_name() != "help");
    for sub in shown {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::Elvish,
            Shell::PowerShell,
        ] {
            let text = String::from_utf8(completions_of(shell)).expect("UTF-8");
            for command in Cli::command()
                .get_subcommands()
                .filter(|it| !it.is_hide_set())
            {
                assert!(
                    text.contains(command.get_name()),
                    "{shell}: {}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let pages = pages().expect("made");
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "vv-eval.1");
        for name in [
            "vv-eval-compare.1",
            "vv-eval-gate.1",
            "vv-eval-manifest-lint.1",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(
            !names.iter().any(|name| name.contains("__worker")),
            "{names:?}"
        );
        for (name, page) in &pages {
            assert!(
                page.starts_with(b".ie") || page.starts_with(b".TH"),
                "{name}"
            );
        }
    }
}
