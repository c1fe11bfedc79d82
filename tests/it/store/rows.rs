//! The table of docs/store.md that names the tests of each fault: complete, and of tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::common::root;

/// Faults of file systems, crashes and concurrency in the catalogue.
const N_ROWS: usize = 23;

/// Names of the functions below a directory that are tests.
pub(super) fn tests(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
            continue;
        }
        if path.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for after in text.split("#[test]").skip(1) {
            let name = after
                .split_once("fn ")
                .and_then(|(_, it)| it.split_once('('));
            found.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_fault_of_the_catalogue_names_tests_that_exist() {
    let mut exist = BTreeSet::new();
    for directory in ["src/store", "tests/it/store"] {
        tests(&root().join(directory), &mut exist);
    }
    assert!(exist.len() > 100, "{} tests", exist.len());
    let text = fs::read_to_string(root().join("docs/store.md")).unwrap();
    let (_, table) = text.split_once("| Row | Fault | Tests |").unwrap();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, id, _, named, _] = cells[..] else {
            continue;
        };
        let is_row = id.len() == 3 && id[1..].bytes().all(|byte| byte.is_ascii_digit());
        if !is_row {
            continue;
        }
        rows.push(id.to_owned());
        let tests: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{id} names no test");
        for name in tests {
            assert!(exist.contains(name), "{id}: there is no test `{name}`");
        }
    }
    let expected: Vec<String> = (1..=N_ROWS).map(|row| format!("S{row:02}")).collect();
    assert_eq!(rows, expected);
}
