//! Runs that are killed and taken up again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vv_eval::record::{OutputObservation, RunRecord};

use super::common::{Lab, PROGRAM};

/// Few launches and scenes written again: the parts that may be interrupted are all there.
const POLICY: &str = r#"
schema_version = 1
mode = "smoke"

[effort]
launches = 4
pairs = 2
likelihood_scenes = 20

[[check]]
metric = "object_recall"
margin = { absolute = 0.05 }

[[check]]
metric = "cpu_ms_per_token"
required = false
"#;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("gate.toml", POLICY);
    lab
}

/// Outputs of a role without their times, as text.
fn said(lab: &Lab, role: &str) -> String {
    let record: RunRecord =
        serde_json::from_slice(&lab.output(&format!("{role}.record.json"))).unwrap();
    let outputs: Vec<OutputObservation> = record
        .outputs
        .into_iter()
        .map(|output| OutputObservation {
            times: None,
            ..output
        })
        .collect();
    assert!(!outputs.is_empty());
    serde_json::to_string(&outputs).unwrap()
}

/// How often each unit stands in the journal: outputs and times by role and scene, launches, scenes
/// read.
fn units(journal: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(journal).unwrap();
    let mut units = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let unit = &line["unit"];
        let name = if let Some(output) = unit.get("output") {
            format!("{} {}", output["role"], output["output"]["scene"])
        } else if let Some(launch) = unit.get("launch") {
            format!("launch {}", launch["baseline"]["index"])
        } else if unit.get("times").is_some() {
            format!("times {} {}", unit["times"]["role"], unit["times"]["scene"])
        } else if let Some(readings) = unit.get("readings") {
            format!("readings {}", readings["baseline"][0]["scene"])
        } else if let Some(memory) = unit.get("memory") {
            format!("memory {}", memory["role"])
        } else {
            continue;
        };
        *units.entry(name).or_default() += 1;
    }
    units
}

/// What the journal held last when the run was killed: names of units.
fn last_before_kills(journal: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(journal).unwrap();
    let names = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        match &line["unit"] {
            serde_json::Value::String(name) => name.clone(),
            unit => unit.as_object().unwrap().keys().next().unwrap().clone(),
        }
    });
    let names: Vec<String> = names.collect();
    let before = names.windows(2).filter(|pair| pair[1] == "resumed");
    before.map(|pair| pair[0].clone()).collect()
}

/// Kills the run after each of `delays`, then lets it end; gives the exit code.
fn killed_and_resumed(lab: &Lab, delays: &[Duration]) -> (i32, usize) {
    let mut n_killed = 0;
    let spawn = || {
        Command::new(PROGRAM)
            .args(lab.compare_arguments("1.0.0", "1.1.0"))
            .args(["--resume", "--no-cache"])
            .current_dir(lab.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    for delay in delays {
        let mut child = spawn();
        let begun = Instant::now();
        while begun.elapsed() < *delay && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code().unwrap(), n_killed);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        n_killed += 1;
    }
    let status = spawn().wait().unwrap();
    (status.code().unwrap(), n_killed)
}

/// Delays that no two runs share, from a multiplicative generator: nothing depends on the clock.
fn delays(n: usize, most_ms: u64) -> Vec<Duration> {
    let mut state = 20_261_126u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            Duration::from_millis(20 + (state >> 33) % most_ms)
        })
        .collect()
}

/// Outputs of an uninterrupted run.
fn whole() -> ([String; 2], BTreeMap<String, usize>) {
    let lab = lab();
    let ran = lab.compare("1.0.0", "1.1.0", &["--no-cache"]);
    assert!(matches!(ran.code, Some(0..=2)), "{}", ran.all());
    let units = units(&lab.path("out/journal.jsonl"));
    (
        ["baseline", "candidate"].map(|role| said(&lab, role)),
        units,
    )
}

fn check(n_kills: usize, most_ms: u64, least_killed: usize) {
    let (expected, expected_units) = whole();
    let times = |name: &str| if name.starts_with("memory") { 3 } else { 1 };
    assert!(expected_units.iter().all(|(name, n)| *n == times(name)));
    let lab = lab();
    let (code, n_killed) = killed_and_resumed(&lab, &delays(n_kills, most_ms));
    assert!((0..=2).contains(&code), "{code}");
    assert!(n_killed >= least_killed, "killed {n_killed} times only");
    for (role, expected) in ["baseline", "candidate"].into_iter().zip(&expected) {
        assert_eq!(&said(&lab, role), expected, "{role}");
    }
    // Nothing twice, nothing lost.
    assert_eq!(units(&lab.path("out/journal.jsonl")), expected_units);
    let record: RunRecord = serde_json::from_slice(&lab.output("baseline.record.json")).unwrap();
    assert!(
        record.n_resumed > 0,
        "nothing had been begun when it was killed"
    );
}

#[test]
fn a_run_killed_a_few_times_ends_as_if_nothing_had_happened() {
    check(4, 1500, 2);
}

#[test]
#[ignore = "minutes: kills a run at fifty random points"]
fn a_run_killed_at_fifty_points_ends_as_if_nothing_had_happened() {
    let mut killed = 0;
    let mut places = BTreeSet::new();
    let (expected, expected_units) = whole();
    let mut points = delays(400, 2500).into_iter();
    while killed < 50 {
        let lab = lab();
        let some: Vec<Duration> = points.by_ref().take(5).collect();
        assert!(!some.is_empty(), "the points ran out after {killed} kills");
        let (code, n) = killed_and_resumed(&lab, &some);
        killed += n;
        assert!((0..=2).contains(&code), "{code}");
        for (role, expected) in ["baseline", "candidate"].into_iter().zip(&expected) {
            assert_eq!(&said(&lab, role), expected, "{role}");
        }
        let journal = lab.path("out/journal.jsonl");
        assert_eq!(units(&journal), expected_units);
        places.extend(last_before_kills(&journal));
    }
    println!("killed {killed} times, after {places:?}");
    for pass in ["memory", "output", "times", "launch", "readings"] {
        assert!(places.contains(pass), "never killed after a unit `{pass}`");
    }
}

#[test]
fn a_run_is_not_resumed_with_anything_changed() {
    let lab = lab();
    killed_once(&lab);
    lab.edit("gate.toml", "pairs = 2", "pairs = 3");
    let ran = lab.compare("1.0.0", "1.1.0", &["--resume"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("plan.seed (the policy)"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("run without --resume"),
        "{}",
        ran.stderr
    );
    lab.edit("gate.toml", "pairs = 3", "pairs = 2");
    let ran = lab.compare("1.0.0", "1.1.1-undertrained", &["--resume"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(ran.stderr.contains("`candidate` was"), "{}", ran.stderr);
}

/// Begins a run and kills it once something stands in its journal.
fn killed_once(lab: &Lab) {
    let mut child = Command::new(PROGRAM)
        .args(lab.compare_arguments("1.0.0", "1.1.0"))
        .env("VV_EVAL_CACHE", lab.path("cache"))
        .current_dir(lab.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let journal = lab.path("out/journal.jsonl");
    while fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 4 {
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "nothing was begun"
        );
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_edited_journal_is_refused() {
    let lab = lab();
    killed_once(&lab);
    let text = fs::read_to_string(lab.path("out/journal.jsonl")).unwrap();
    let edited = text.replacen("\"role\":\"baseline\"", "\"role\":\"candidate\"", 1);
    assert_ne!(edited, text);
    lab.write("out/journal.jsonl", edited);
    let ran = lab.compare("1.0.0", "1.1.0", &["--resume"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(ran.stderr.contains("of the journal"), "{}", ran.stderr);
}

#[test]
fn unchanged_outputs_are_taken_over_and_times_are_not() {
    let lab = lab();
    let record = |role: &str| -> RunRecord {
        serde_json::from_slice(&lab.output(&format!("{role}.record.json"))).unwrap()
    };
    assert!(matches!(
        lab.compare("1.0.0", "1.1.0", &[]).code,
        Some(0..=2)
    ));
    let first = record("baseline");
    assert!(first.reused_outputs.is_empty());
    assert!(matches!(
        lab.compare("1.0.0", "1.1.0", &[]).code,
        Some(0..=2)
    ));
    for role in ["baseline", "candidate"] {
        let second = record(role);
        assert_eq!(second.reused_outputs.len(), second.outputs.len());
        assert!(
            second
                .reused_outputs
                .iter()
                .all(|it| it.run_id == first.run_id)
        );
        assert_ne!(second.run_id, first.run_id);
        // Some scenes are written again, and everything is timed again.
        let n_timed = second
            .outputs
            .iter()
            .filter(|it| it.times.is_some())
            .count();
        assert_eq!(n_timed, second.plan.n_timed);
        assert_eq!((second.launches.len(), second.memory.len()), (4, 3));
        assert_ne!(second.launches, first.launches);
    }
    // Other limits are another key, and so is a cache nobody wants.
    assert!(matches!(
        lab.compare("1.0.0", "1.1.0", &["--no-cache"]).code,
        Some(0..=2)
    ));
    assert!(record("baseline").reused_outputs.is_empty());
    lab.edit("gate.toml", "pairs = 2", "pairs = 2\nmax_new_tokens = 60");
    assert!(matches!(
        lab.compare("1.0.0", "1.1.0", &[]).code,
        Some(0..=2)
    ));
    assert!(record("baseline").reused_outputs.is_empty());
}

#[test]
fn a_damaged_entry_of_the_cache_is_written_again() {
    let lab = lab();
    assert!(matches!(
        lab.compare("1.0.0", "1.1.0", &[]).code,
        Some(0..=2)
    ));
    let expected = said(&lab, "baseline");
    let mut folders = vec![lab.path("cache")];
    let mut damaged = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replacen("carro", "barco", 1)).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 100, "{damaged}");
    assert!(matches!(
        lab.compare("1.0.0", "1.1.0", &[]).code,
        Some(0..=2)
    ));
    assert_eq!(said(&lab, "baseline"), expected);
}
