//! Every reference model earns its verdict, for its own reason, on the set they are made to be judged
//! on, cenas-pt 1.0.0.
//!
//! All rows in one test, because outputs are taken over from one comparison to the next; it writes
//! 330 summaries of each of five models, which takes minutes in a debug build, so it is ignored:
//!
//! ```sh
//! cargo test --release --test it cast -- --ignored
//! ```
//!
//! A model that invents objects is told from a truthful one in every run of the suite, on the first
//! part of the same scenes.

use std::path::Path;

use vv_eval::gate::file::{CheckFile, OutcomeFile, ReportFile};
use vv_eval::scene::SceneSet;
use vv_eval::scene::set::{DraftInfo, draft};

use super::common::{Lab, root};

/// The quality checks of the built-in policy. Times need quiet cores and are left out, but for a
/// memory whose difference no machine hides.
const POLICY: &str = r#"
schema_version = 1
mode = "smoke"

[scenes]
set = "cenas-pt"
version = "1.0.0"

[effort]
launches = 4
pairs = 2
likelihood_scenes = 0
scene_timeout_s = 300

[[check]]
metric = "fact_ok"
margin = { absolute = 0.10 }

[[check]]
metric = "hallucination_rate"
margin = { absolute = 0.05 }

[[check]]
metric = "object_recall"
margin = { absolute = 0.05 }

[[check]]
metric = "collapse_rate"
margin = { absolute = 0.05 }

[[check]]
metric = "valid"
limit = { at_least = 0.98 }

[[check]]
metric = "chrf_pp"
margin = { absolute = 0.05 }

[[check]]
metric = "output_tokens"
lane = "natural"
margin = { relative = 0.10 }

[[check]]
metric = "peak_bytes"
margin = { relative = 0.02, floor_bytes = 4194304 }
"#;

/// A comparison of the cast and what it must come to.
struct Row {
    baseline: &'static str,
    candidate: &'static str,
    outcome: OutcomeFile,
    /// Required checks that fail, at least.
    fails: &'static [&'static str],
    /// Required checks that pass, at least.
    passes: &'static [&'static str],
}

const QUALITY: &[&str] = &[
    "fact_ok",
    "hallucination_rate",
    "object_recall",
    "collapse_rate",
    "valid",
    "chrf_pp",
    "output_tokens",
];

const CAST: &[Row] = &[
    Row {
        baseline: "1.0.0",
        candidate: "1.1.0",
        outcome: OutcomeFile::Pass,
        fails: &[],
        passes: QUALITY,
    },
    Row {
        baseline: "1.1.0",
        candidate: "1.0.0",
        outcome: OutcomeFile::Fail,
        fails: &["fact_ok"],
        passes: &["peak_bytes"],
    },
    Row {
        baseline: "1.1.0",
        candidate: "1.1.1-undertrained",
        outcome: OutcomeFile::Fail,
        fails: &["fact_ok", "object_recall"],
        passes: &["peak_bytes"],
    },
    Row {
        baseline: "1.1.0",
        candidate: "1.1.2-heavy",
        outcome: OutcomeFile::Fail,
        fails: &["peak_bytes"],
        passes: QUALITY,
    },
    Row {
        baseline: "1.1.0",
        candidate: "1.1.3-hallucinating",
        outcome: OutcomeFile::Fail,
        fails: &["fact_ok", "hallucination_rate"],
        passes: &["chrf_pp", "valid", "peak_bytes"],
    },
];

/// Compares on the scenes of the working directory, with outputs taken over from `cache`.
fn compared(lab: &Lab, row: &Row, cache: &Path) -> ReportFile {
    let arguments = lab.compare_arguments(row.baseline, row.candidate);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cache = cache.to_str().unwrap();
    let ran = lab.run_with(&arguments, &[("VV_EVAL_CACHE", cache)]);
    let code = match row.outcome {
        OutcomeFile::Pass => 0,
        _ => 1,
    };
    assert_eq!(
        ran.code,
        Some(code),
        "{} → {}: {}",
        row.baseline,
        row.candidate,
        ran.all()
    );
    serde_json::from_slice(&lab.output("report.json")).unwrap()
}

/// Outcome of a required check.
fn outcome(report: &ReportFile, metric: &str) -> Option<OutcomeFile> {
    check(report, metric).outcome
}

fn check<'a>(report: &'a ReportFile, metric: &str) -> &'a CheckFile {
    let mut checks = report.verdict.checks.iter();
    let found = checks.find(|check| check.metric == metric && check.required);
    found.unwrap_or_else(|| panic!("{metric} is required"))
}

#[test]
#[ignore = "minutes: writes 330 summaries of each of five models"]
fn every_reference_model_earns_its_verdict() {
    let cache = tempfile::tempdir().unwrap();
    for row in CAST {
        let lab = Lab::new();
        lab.write("gate.toml", POLICY);
        lab.copy(&root().join("eval-sets/cenas-pt/1.0.0"), "scenes");
        let report = compared(&lab, row, cache.path());
        let name = format!("{} → {}", row.baseline, row.candidate);
        assert_eq!(report.verdict.outcome, row.outcome, "{name}");
        for metric in row.fails {
            assert_eq!(
                outcome(&report, metric),
                Some(OutcomeFile::Fail),
                "{name}: {metric}"
            );
            let mut reasons = report.verdict.reasons.iter();
            assert!(
                reasons.any(|reason| reason.contains(metric)),
                "{name}: {metric}"
            );
        }
        for metric in row.passes {
            assert_eq!(
                outcome(&report, metric),
                Some(OutcomeFile::Pass),
                "{name}: {metric}"
            );
        }
    }
}

/// Scenes of the quick comparison; enough for a loss of thirty points and more to show.
const N_QUICK: usize = 80;

/// Writes a part of the set into the working directory.
fn some_scenes(lab: &Lab) {
    let set = root().join("eval-sets/cenas-pt/1.0.0");
    let mut scenes = SceneSet::load(&set).unwrap().scenes;
    scenes.truncate(N_QUICK);
    let prompt_file = "scene_summarizer.prompt";
    let prompt = std::fs::read_to_string(set.join(prompt_file)).unwrap();
    let info = DraftInfo {
        name: "part",
        version: "0.0.0-draft",
        created: "1970-01-01",
        prompt: (prompt_file, &prompt),
        min_scenes: 60,
        generator: None,
    };
    let part = draft(scenes, info);
    std::fs::create_dir(lab.path("scenes")).unwrap();
    lab.write("scenes/scenes.jsonl", part.scenes_jsonl);
    lab.write("scenes/set.toml", part.set_toml);
    lab.write(&format!("scenes/{prompt_file}"), &prompt);
}

#[test]
fn inventions_fail_although_overlap_sees_nothing() {
    let lab = Lab::new();
    let (_, checks) = POLICY.split_once("[effort]").unwrap();
    lab.write(
        "gate.toml",
        format!("schema_version = 1\nmode = \"smoke\"\n[effort]{checks}"),
    );
    some_scenes(&lab);
    let row = CAST.last().unwrap();
    assert_eq!(row.candidate, "1.1.3-hallucinating");
    let report = compared(&lab, row, &lab.path("cache"));
    assert_eq!(
        outcome(&report, "hallucination_rate"),
        Some(OutcomeFile::Fail)
    );
    assert_eq!(outcome(&report, "chrf_pp"), Some(OutcomeFile::Pass));
    let change = check(&report, "chrf_pp").change.unwrap();
    assert!(change > -0.02, "overlap hardly moves: {change}");
}
