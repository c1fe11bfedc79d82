//! `vv-eval history`: the reports below a directory, and the trend of each metric.

use std::path::{Path, PathBuf};

use super::args::{self, HistoryFormat};
use super::output::{print, write};
use super::{Failure, report};
use crate::durable;
use crate::report::history::{self, Entry, History};

/// Folders looked into below the one named.
const MOST_DEPTH: usize = 3;

/// Lists the runs in the format asked for.
pub(super) fn run(args: &args::History) -> Result<(), Failure> {
    let history = find(&args.directory)?;
    let lang = args.lang.lang();
    let bytes = match args.format {
        HistoryFormat::Terminal => history::terminal(&history, lang).into_bytes(),
        HistoryFormat::Json => history.json(),
        HistoryFormat::Html => history::html(&history, lang),
    };
    match &args.out {
        Some(path) => write(path, &bytes),
        None => print(&bytes),
    }
}

/// Every report below `directory`; those that cannot be read are named and hide none.
fn find(directory: &Path) -> Result<History, Failure> {
    let mut runs = Vec::new();
    let mut open = vec![(directory.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        if report::is_run(&folder) {
            runs.push(folder);
            continue;
        }
        let children = match folders(&folder) {
            Ok(children) => children,
            Err(error) if depth == 0 => {
                let shown = durable::shown(directory);
                return Err(Failure::usage(
                    format!("cannot look for reports in {shown}: {error}"),
                    "name the directory that `vv-eval compare` writes to",
                ));
            }
            // A folder this user may not read holds none of their runs.
            Err(_) => continue,
        };
        if depth < MOST_DEPTH {
            open.extend(children.into_iter().map(|child| (child, depth + 1)));
        }
    }
    runs.sort();
    let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
    for folder in runs {
        match report::read(&folder.join(report::REPORT)) {
            Ok(file) => entries.push(Entry::of(&durable::shown(&folder), &file)),
            Err(failure) => unreadable.push(format!("{:#}", failure.error)),
        }
    }
    Ok(History::new(entries, unreadable))
}

/// Folders in a folder, links left aside: they may lead in circles.
fn folders(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
