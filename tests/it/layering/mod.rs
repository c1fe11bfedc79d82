//! The direction of imports and the absences the architecture promises, checked on the source.

mod rules;
mod source;

use std::path::{Path, PathBuf};

use source::Source;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file with its path below `src/`, and every folder.
fn tree() -> (Vec<Source>, Vec<PathBuf>) {
    let mut files = Vec::new();
    let mut folders = Vec::new();
    let mut pending = vec![root()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path.clone());
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a readable source file");
                let below = path.strip_prefix(root()).expect("a path below the root");
                files.push(Source::new(&below.to_string_lossy(), &text));
            }
        }
    }
    assert!(files.len() > 10, "found only {} source files", files.len());
    (files, folders)
}

#[track_caller]
fn holds(rule: impl Fn(&Source) -> Vec<String>) {
    let (files, _) = tree();
    let broken: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn stages_import_only_what_stands_before_them() {
    holds(rules::stage_imports);
    let (files, _) = tree();
    assert!(
        files.iter().any(|file| !file.imports.is_empty()),
        "no import was seen at all"
    );
}

#[test]
fn outside_crates_stay_in_their_stages() {
    holds(rules::outside_crates);
}

#[test]
fn invariant_11_unsafe_is_confined() {
    holds(rules::unsafe_code);
}

#[test]
fn invariant_13_printing_happens_in_the_command_line_only() {
    holds(rules::printing);
}

#[test]
fn files_are_short_enough_to_read() {
    holds(rules::length);
}

#[test]
fn every_folder_introduces_itself() {
    let (_, folders) = tree();
    for folder in folders {
        let path = folder.join("mod.rs");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text.starts_with("//! "),
            "{} does not open with `//!`",
            path.display()
        );
    }
}

#[test]
fn modules_stand_in_data_flow_order() {
    let text = std::fs::read_to_string(root().join("lib.rs")).expect("a library root");
    let found = source::modules(&text);
    let order = rules::STAGES.iter().map(|(stage, _)| *stage);
    let expected: Vec<&str> = order
        .filter(|stage| found.iter().any(|f| f == stage))
        .collect();
    assert_eq!(
        found, expected,
        "lib.rs lists its modules in another order than the architecture"
    );
}

/// The checker sees `n` violations of `rule` in a file planted at `path`.
#[track_caller]
fn check(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str, n: usize) {
    let broken = rule(&Source::new(path, text));
    assert_eq!(broken.len(), n, "{path}: {text}\n{broken:#?}");
}

#[test]
fn planted_imports_are_caught() {
    let check = |path, text, n| check(rules::stage_imports, path, text, n);
    check("stats/mod.rs", "use crate::units::Bytes;", 1);
    check(
        "metric/mod.rs",
        "use crate::{scene::Scene, record, run::plan};",
        1,
    );
    check(
        "metric/chrf.rs",
        "fn f() { crate::durable::write_atomic(); }",
        1,
    );
    check("record/mod.rs", "type T = Vec<crate::gate::Verdict>;", 1);
    check(
        "gate/mod.rs",
        "fn f() { assert!(x == crate::report::Y); }",
        1,
    );
    check("artifact/mod.rs", "use super::store::Store;", 1);
    check("artifact/digest.rs", "use super::super::store::Store;", 1);
    check("artifact/digest.rs", "use super::store::Store;", 0);
    check("manifest/mod.rs", "use crate::cli::exit;", 1);
    check("scene/mod.rs", "use crate::*;", 1);
    check("scene/mod.rs", "mod inner { use super::super::run; }", 1);
    check("unheard/mod.rs", "use crate::units::Bytes;", 1);
    check(
        "main.rs",
        "fn main() { vv_eval::run::go(); vv_eval::cli::main(); }",
        1,
    );
    check("cli/run.rs", "use crate::{run, gate, report};", 0);
    check(
        "manifest/mod.rs",
        "/// See [`X`](crate::store::X).\nuse crate::hint::Hint;",
        0,
    );
}

#[test]
fn test_modules_may_use_synthetic_models_only() {
    let check = |path, text, n| check(rules::stage_imports, path, text, n);
    check(
        "run/mod.rs",
        "#[cfg(test)] mod tests { use crate::model::synthetic; }",
        0,
    );
    check(
        "record/mod.rs",
        "#[cfg(test)] mod tests { use crate::engine::scripted::S; }",
        0,
    );
    check(
        "record/mod.rs",
        "#[cfg(test)] mod tests { use crate::engine::bitnet; }",
        1,
    );
    check("record/tests.rs", "use crate::model::synthetic;", 0);
    check("record/mod.rs", "use crate::model::synthetic;", 1);
    check(
        "record/mod.rs",
        "#[cfg(not(test))] mod m { use crate::model::synthetic; }",
        1,
    );
}

#[test]
fn children_of_production_are_strangers() {
    let check = |text, n| check(rules::stage_imports, "production/monitor.rs", text, n);
    check("use super::events::Event;", 0);
    check("use super::feedback::Judgement;", 1);
    check("use crate::production::Shared;", 0);
}

#[test]
fn planted_crates_are_caught() {
    let check = |path, text, n| check(rules::outside_crates, path, text, n);
    check("metric/mod.rs", "use candle_core::Tensor;", 1);
    check(
        "gate/mod.rs",
        "fn f() -> anyhow::Result<()> { anyhow::bail!(\"x\") }",
        2,
    );
    check("model/config.rs", "use rustix::mm;", 1);
    check("model/arena.rs", "use rustix::mm;", 0);
    check("model/config.rs", "use ::toml::Value;", 1);
    check(
        "manifest/mod.rs",
        "fn f() { assert!(tempfile::tempdir().is_ok()); }",
        1,
    );
    check(
        "manifest/mod.rs",
        "#[cfg(test)] mod tests { use tempfile::tempdir; }",
        0,
    );
}

#[test]
fn planted_unsafe_and_printing_are_caught() {
    check(
        rules::unsafe_code,
        "model/config.rs",
        "fn f() { unsafe { g() } }",
        1,
    );
    check(
        rules::unsafe_code,
        "model/config.rs",
        "m! { unsafe fn g(); }",
        1,
    );
    check(
        rules::unsafe_code,
        "engine/kernels/avx2.rs",
        "unsafe fn g() {}",
        0,
    );
    check(
        rules::unsafe_code,
        "model/arena.rs",
        "unsafe impl Send for A {}",
        0,
    );
    check(
        rules::printing,
        "run/mod.rs",
        "fn f() { eprintln!(\"x\") }",
        1,
    );
    check(
        rules::printing,
        "cli/mod.rs",
        "fn f() { println!(\"x\") }",
        0,
    );
}

#[test]
fn planted_length_is_caught() {
    let long = "// line\n".repeat(601);
    check(rules::length, "run/mod.rs", &long, 1);
    check(rules::length, "run/tests.rs", &long, 0);
    let tested = format!("// line\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    check(rules::length, "run/mod.rs", &tested, 0);
}
