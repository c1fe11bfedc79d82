//! The tables of allowed imports, and the rules that read them.

use super::source::Source;

/// Stages in the order data flows, each with the stages it may import besides the leaves.
pub(super) const STAGES: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("hint", &[]),
    ("durable", &[]),
    ("stats", &[]),
    ("manifest", &[]),
    ("artifact", &["manifest"]),
    ("attest", &[]),
    ("store", &["manifest", "artifact", "attest"]),
    ("scene", &[]),
    ("model", &["artifact"]),
    ("engine", &["model"]),
    ("record", &["manifest", "scene"]),
    (
        "run",
        &["manifest", "artifact", "scene", "model", "engine", "record"],
    ),
    ("metric", &["scene", "record"]),
    ("gate", &["stats", "metric", "scene", "record"]),
    ("promotion", &["manifest", "attest", "record", "gate"]),
    (
        "selftest",
        &["scene", "model", "engine", "record", "run", "gate"],
    ),
    (
        "production",
        &[
            "stats", "manifest", "store", "scene", "model", "engine", "record", "run", "metric",
            "gate",
        ],
    ),
    (
        "report",
        &[
            "stats",
            "metric",
            "scene",
            "record",
            "gate",
            "promotion",
            "selftest",
            "production",
        ],
    ),
    ("cli", &["*"]),
];

/// Stages any other may import, the ones below apart.
const LEAVES: &[&str] = &["units", "hint", "durable"];

/// Leaves a stage may nevertheless not import: pure stages do no I/O.
const WITHOUT: &[(&str, &[&str])] = &[
    ("stats", LEAVES),
    ("metric", &["durable"]),
    ("gate", &["durable"]),
    ("attest", &["durable"]),
    ("report", &["durable"]),
];

/// What test code may import besides.
const FOR_TESTS: &[[&str; 2]] = &[["model", "synthetic"], ["engine", "scripted"]];

/// Outside crates and the only stages, or modules of a stage, that may use them.
const CRATES: &[(&[&str], &[&str])] = &[
    (
        &[
            "candle_core",
            "candle_nn",
            "candle_transformers",
            "tokenizers",
            "minijinja",
            "half",
        ],
        &["model", "engine"],
    ),
    (&["statrs"], &["stats"]),
    (
        &["ureq", "object_store", "tokio", "tar", "flate2"],
        &["artifact"],
    ),
    (&["p256"], &["attest"]),
    (&["sha2"], &["units", "artifact", "stats::rng"]),
    (&["hmac"], &["stats::rng"]),
    (
        &["rustix", "tempfile"],
        &["durable", "artifact", "store", "run", "model::arena"],
    ),
    (&["toml"], &["gate", "scene", "store", "metric::order"]),
    (
        &["unicode_normalization"],
        &["metric", "scene", "manifest", "artifact"],
    ),
    (&["unicode_segmentation"], &["metric", "scene"]),
    (
        &[
            "clap",
            "clap_complete",
            "clap_mangen",
            "indicatif",
            "anyhow",
        ],
        &["cli"],
    ),
    (&["quick_junit", "similar"], &["report"]),
    // Derived where a form is kept on disk.
    (&["schemars"], &["units", "manifest", "record", "gate"]),
    (&["csv"], &["report", "production"]),
    (&["whatlang"], &["metric"]),
    (
        &["rand_chacha", "rand_core"],
        &["stats", "scene", "model::synthetic", "run"],
    ),
    (&["libm"], &["engine", "model"]),
    (
        &["serde_path_to_error"],
        &["gate", "scene", "manifest", "record", "run"],
    ),
];

/// Longest file, in lines without its tests.
const MAX_LINES: usize = 600;

/// Files that are one table and may be long.
const TABLES: &[&str] = &["report/wording/sentences.rs", "selftest/cases.rs"];

/// Stages `stage` may import; `*` stands for every one.
fn allowed(stage: &str) -> Option<Vec<&'static str>> {
    match stage {
        // The roots join nothing by themselves.
        "main" => return Some(vec!["cli"]),
        "lib" => return Some(Vec::new()),
        _ => {}
    }
    let (_, listed) = STAGES.iter().find(|(name, _)| *name == stage)?;
    let without = WITHOUT
        .iter()
        .find(|(name, _)| *name == stage)
        .map_or(&[][..], |(_, no)| no);
    let leaves = LEAVES.iter().filter(|leaf| !without.contains(leaf));
    Some(leaves.chain(*listed).copied().collect())
}

/// Arrows between stages that the table does not have.
pub(super) fn stage_imports(source: &Source) -> Vec<String> {
    let stage = source.stage();
    let Some(allowed) = allowed(stage) else {
        return vec![format!(
            "src/{}: `{stage}` is no stage of the architecture",
            source.path
        )];
    };
    let mut broken = Vec::new();
    for import in source.imports.iter().filter(|import| import.is_inside) {
        let Some(to) = import.path.first() else {
            continue;
        };
        let child = import.path.get(1).map_or("", String::as_str);
        let is_for_tests = import.is_test && FOR_TESTS.contains(&[to.as_str(), child]);
        let is_allowed = to == stage && !is_stranger(source, child)
            || to != stage && (allowed.contains(&to.as_str()) || allowed.contains(&"*"));
        if !is_allowed && !is_for_tests {
            broken.push(format!(
                "src/{}:{}: `{stage}` imports `crate::{}`; it may import {}",
                source.path,
                import.line,
                import.path.join("::"),
                if allowed.is_empty() {
                    "nothing".to_owned()
                } else {
                    allowed.join(", ")
                },
            ));
        }
    }
    broken
}

/// Whether `child` is a sibling that a child of `production` may not know.
fn is_stranger(source: &Source, child: &str) -> bool {
    let [stage, own, ..] = source.module.as_slice() else {
        return false;
    };
    let is_module = child.starts_with(|c: char| c.is_ascii_lowercase());
    stage == "production" && is_module && child != own && child != "events"
}

/// Outside crates used where they are not allowed; test code is free.
pub(super) fn outside_crates(source: &Source) -> Vec<String> {
    let module = source.module.join("::");
    let mut broken = Vec::new();
    for import in source
        .imports
        .iter()
        .filter(|import| !import.is_inside && !import.is_test)
    {
        let name = import.path[0].as_str();
        let Some((_, homes)) = CRATES.iter().find(|(crates, _)| crates.contains(&name)) else {
            continue;
        };
        let is_home = |home: &str| {
            module
                .strip_prefix(home)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        if !homes.iter().any(|home| is_home(home)) {
            broken.push(format!(
                "src/{}:{}: `{}` is used outside {}",
                source.path,
                import.line,
                import.path.join("::"),
                homes.join(", "),
            ));
        }
    }
    broken
}

/// `unsafe` outside the kernels and the arena.
pub(super) fn unsafe_code(source: &Source) -> Vec<String> {
    let is_home = source.path.starts_with("engine/kernels/") || source.path == "model/arena.rs";
    let lines = if is_home {
        Vec::new()
    } else {
        source.lines_of(|word, _| word == "unsafe")
    };
    let message = |line| format!("src/{}:{line}: `unsafe` outside the kernels", source.path);
    lines.into_iter().map(message).collect()
}

/// Printing outside the command line.
pub(super) fn printing(source: &Source) -> Vec<String> {
    const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
    let is_printing = |word: &str, next: Option<char>| MACROS.contains(&word) && next == Some('!');
    // Tests tell how many cases they held, and what they skipped.
    let lines = if source.stage() == "cli" || source.is_test_file() {
        Vec::new()
    } else {
        source.lines_of(is_printing)
    };
    let message = |line| format!("src/{}:{line}: printing outside `cli`", source.path);
    lines.into_iter().map(message).collect()
}

/// Files longer than a reader's patience.
pub(super) fn length(source: &Source) -> Vec<String> {
    let is_exempt = source.is_test_file() || TABLES.contains(&source.path.as_str());
    let n = source
        .text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .count();
    if is_exempt || n <= MAX_LINES {
        return Vec::new();
    }
    vec![format!(
        "src/{}: {n} lines without tests, at most {MAX_LINES}",
        source.path
    )]
}
