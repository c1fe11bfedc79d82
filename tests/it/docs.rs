//! The documents exist and their links lead somewhere.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files at the root and below `docs/`.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    folders.retain(|folder| folder.is_dir());
    collect(root(), &mut found, &mut Vec::new());
    while let Some(folder) = folders.pop() {
        collect(&folder, &mut found, &mut folders);
    }
    found.sort();
    found
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
}

/// Targets of `[text](target)` outside fenced blocks and code spans.
fn links(markdown: &str) -> Vec<String> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
            let targets = text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            found.extend(targets.map(|target| {
                target
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }));
        }
    }
    found
}

#[test]
fn links_are_found_outside_code() {
    let text = "see [a](x.md#p \"t\") and `[b](y.md)` ![c](z.svg)\n```\n[d](w.md)\n```\n";
    assert_eq!(links(text), ["x.md#p", "z.svg"]);
}

#[test]
fn the_documents_of_the_root_exist() {
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
}

#[test]
fn relative_links_lead_to_files() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a readable document");
        let folder = document.parent().expect("a document is in a folder");
        for link in links(&text) {
            let path = link.split('#').next().unwrap_or_default();
            let is_elsewhere =
                path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !is_elsewhere && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links to files that do not exist:\n{}",
        broken.join("\n")
    );
}

/// Tests named in the table of pitfalls, with the number of the row.
fn pitfall_tests(markdown: &str) -> Vec<(usize, String)> {
    let table = markdown.split("## Pitfalls").nth(1).expect("the section");
    let mut found = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let number = cells[0].trim_start_matches("| ").parse();
        let (Ok(number), Some(tests)) = (number, cells.get(2)) else {
            continue;
        };
        let names = tests.split('`').skip(1).step_by(2);
        found.extend(names.map(|name| (number, name.to_owned())));
    }
    found
}

/// Whether a test of this path stands in the source.
fn is_test(path: &str) -> bool {
    let Some((modules, name)) = path.rsplit_once("::") else {
        return false;
    };
    let Some((package, modules)) = modules.split_once("::") else {
        return false;
    };
    let modules = modules.trim_end_matches("::tests").replace("::", "/");
    let folder = match package {
        "it" => "tests/it",
        "vv_eval" => "src",
        "train_reference" => "examples/train_reference",
        _ => return false,
    };
    let files = ["{}.rs", "{}_tests.rs", "{}/tests.rs", "{}/mod.rs"];
    files.iter().any(|file| {
        let path = root().join(folder).join(file.replace("{}", &modules));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let head = format!("fn {name}(");
        let Some((before, _)) = text.split_once(&head) else {
            return false;
        };
        // Attributes stand between the end of the item before and the name.
        let attributes = before.rsplit(['}', ';']).next().unwrap_or_default();
        attributes.contains("#[test]")
    })
}

#[test]
fn every_pitfall_has_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/formats.md")).expect("a document");
    let tests = pitfall_tests(&text);
    let numbers: std::collections::BTreeSet<usize> = tests.iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, (1..=20).collect(), "a pitfall has no test");
    let missing: Vec<&String> = tests
        .iter()
        .map(|(_, path)| path)
        .filter(|path| !is_test(path))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn tests_that_do_not_exist_are_noticed() {
    assert!(is_test("it::docs::tests_that_do_not_exist_are_noticed"));
    assert!(!is_test("it::docs::is_test"));
    assert!(!is_test("it::docs::a_test_nobody_wrote"));
    assert!(!is_test(
        "vv_eval::docs::tests_that_do_not_exist_are_noticed"
    ));
    let row =
        "## Pitfalls\n\n| nr | pitfall | tests |\n| --- | --- | --- |\n| 7 | x | `a::b` `c::d` |\n";
    let expected = [(7, "a::b".to_owned()), (7, "c::d".to_owned())];
    assert_eq!(pitfall_tests(row), expected);
}
