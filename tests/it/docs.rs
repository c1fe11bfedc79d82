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
