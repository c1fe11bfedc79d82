//! What the whole gate does on this machine, run after run: a model beside itself, with and without
//! planted slowness and a busy neighbour. Hours long, so ignored; its table is committed.
//!
//! ```sh
//! VV_EVAL_NOISE_RUNS=60 cargo test --release --test it noise -- --ignored --nocapture
//! ```
//!
//! `VV_EVAL_NOISE_PLANT=slow:10` plants that in the candidate, `VV_EVAL_NOISE_HOG=1` starts a busy
//! process in the middle of every run, `VV_EVAL_NOISE_PROGRAM=FILE` measures with another build than
//! the one beside the tests. Rows are appended to `docs/results/noise.csv`, numbered from where it
//! ends or from `VV_EVAL_NOISE_FIRST`: several of these may run at once, each a neighbour of the others.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vv_eval::gate::file::{OutcomeFile, ReportFile};
use vv_eval::metric::cost::{ForcedCost, log_ratios};
use vv_eval::record::RunRecord;
use vv_eval::stats::mean::t_estimate;
use vv_eval::stats::proportion::upper_bound;
use vv_eval::stats::rank::hodges_lehmann;

use super::common::{Lab, PROGRAM, model, root};

const HEADER: &str = "run,planted,hog,outcome,failed_checks,launches,cpu_ratio,cpu_low,cpu_high,\
wall_ratio,wall_low,wall_high,load_1m,seconds,revision,cpu\n";

/// Share of runs whose 95 % interval of a ratio must contain 1.
const COVERAGE: f64 = 0.93;

/// Share of runs with 3 % more work that is meant to be caught; 10 % more always is.
const POWER: f64 = 0.95;

/// Effort and checks of a run in which slowness is planted: the launches, looks and margins of a
/// promotion, since a loss as large as its margin passes in one run of twenty by design, and a few
/// launches of which one is far off decide nothing.
const STRICT: &str = r#"launches = 60
pairs = 6
looks = [15, 25, 40, 60]
shares = [0.08, 0.17, 0.25, 0.50]
[[check]]
metric = "object_recall"
margin = { absolute = 0.05 }
[[check]]
metric = "cpu_ms_per_token"
margin = { relative = 0.03 }
[[check]]
metric = "wall_ms_per_token"
margin = { relative = 0.05 }
[[check]]
metric = "peak_bytes"
margin = { relative = 0.02, floor_bytes = 4194304 }
"#;

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// One run of the gate; a row of the table.
struct Row {
    outcome: String,
    /// Metrics of the checks that failed.
    failed: Vec<String>,
    n_launches: usize,
    /// Ratio of CPU time with its 95 % interval, then of wall time.
    ratios: [[f64; 3]; 2],
    load: f64,
    seconds: f64,
    /// What the program was built from.
    revision: String,
    cpu: String,
}

fn ratio(records: [&RunRecord; 2], cost: ForcedCost) -> [f64; 3] {
    let launches = log_ratios(cost, records[0], records[1]).unwrap();
    let centres: Vec<f64> = launches
        .iter()
        .map(|pairs| hodges_lehmann(pairs).unwrap())
        .collect();
    let estimate = t_estimate(&centres, 0.025).unwrap();
    [estimate.point, estimate.low, estimate.high].map(f64::exp)
}

/// Occupies a CPU until it is dropped.
struct Hog(Child);

impl Hog {
    fn start() -> Self {
        let child = Command::new("/bin/sh")
            .args(["-c", "while :; do :; done"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one_run(lab: &Lab, number: usize, plant: Option<&str>, has_hog: bool) -> Row {
    // Orders derive from the policy's digest: a limit of time that nothing reaches makes each run
    // draw its own.
    let policy = format!(
        "schema_version = 1\nmode = \"smoke\"\n[effort]\nscene_timeout_s = {}\n{}",
        300 + number,
        plant.map_or("", |_| STRICT)
    );
    lab.write("gate.toml", policy);
    let model = model("1.1.0");
    let program = from_environment("VV_EVAL_NOISE_PROGRAM");
    let mut command = Command::new(program.as_deref().unwrap_or(PROGRAM));
    command
        .arg("compare")
        .args([&model, &model])
        .args(["--force-run", "--quiet", "--out", "out", "--scenes"])
        .arg(super::common::scene_set())
        .env("VV_EVAL_CACHE", lab.path("cache"))
        .current_dir(lab.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(harm) = plant {
        command.args(["--plant", &format!("candidate={harm}"), "--judge-scripted"]);
    }
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut hog = None;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        let journal = fs::read_to_string(lab.path("out/journal.jsonl")).unwrap_or_default();
        let is_half_way = journal.matches("\"unit\":{\"launch\"").count() >= 5;
        if has_hog && is_half_way && hog.is_none() {
            hog = Some(Hog::start());
        }
        assert!(
            begun.elapsed() < Duration::from_secs(1800),
            "run {number} hangs"
        );
        thread::sleep(Duration::from_millis(500));
    };
    drop(hog);
    assert!(code.is_some_and(|code| code <= 2), "run {number}: {code:?}");
    let report: ReportFile = serde_json::from_slice(&lab.output("report.json")).unwrap();
    fs::remove_file(lab.path("out/journal.jsonl")).unwrap();
    let evidence = report.evidence.unwrap();
    let records = [&evidence.baseline_record, &evidence.candidate_record];
    let loads = records[0].launches.iter();
    let loads: Vec<f64> = loads
        .filter_map(|launch| launch.machine.as_ref()?.load_1m)
        .collect();
    let failed = report.verdict.checks.iter();
    let failed = failed.filter(|check| check.outcome == Some(OutcomeFile::Fail));
    Row {
        failed: failed.map(|check| check.metric.clone()).collect(),
        outcome: format!("{:?}", report.verdict.outcome).to_lowercase(),
        n_launches: records[0].launches.len(),
        ratios: [
            ratio(records, ForcedCost::CpuPerToken),
            ratio(records, ForcedCost::WallPerToken),
        ],
        load: loads.iter().sum::<f64>() / loads.len().max(1) as f64,
        seconds: begun.elapsed().as_secs_f64(),
        revision: built_from(records[0]),
        cpu: records[0].host.cpu.replace(',', " "),
    }
}

/// The revision of the program, else the digest of its file.
fn built_from(record: &RunRecord) -> String {
    let environment = record.environment.as_ref().unwrap();
    let digest = || environment.binary_sha256.map(|it| format!("sha256:{it}"));
    let known = environment.source_revision.clone().or_else(digest);
    known.unwrap_or_default()
}

fn table() -> PathBuf {
    root().join("docs/results/noise.csv")
}

/// Adds to the table in one write, so that several of these may fill it.
fn append(text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(table());
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
#[ignore = "hours: about a minute for each of VV_EVAL_NOISE_RUNS runs (60 by default)"]
fn whole_gates_fill_the_table() {
    let n_runs = from_environment("VV_EVAL_NOISE_RUNS").map_or(60, |n| n.parse().unwrap());
    let plant = from_environment("VV_EVAL_NOISE_PLANT");
    let has_hog = from_environment("VV_EVAL_NOISE_HOG").is_some();
    fs::create_dir_all(table().parent().unwrap()).unwrap();
    let text = fs::read_to_string(table()).unwrap_or_default();
    if text.is_empty() {
        append(HEADER);
    }
    // Runs of an interrupted table are not repeated under the same seed.
    let last = text
        .lines()
        .filter_map(|line| line.split_once(',')?.0.parse().ok());
    let next = last.max().map_or(0, |last: usize| last + 1);
    let first = from_environment("VV_EVAL_NOISE_FIRST").map_or(next, |n| n.parse().unwrap());
    let lab = Lab::new();
    for number in first..first + n_runs {
        let row = one_run(&lab, number, plant.as_deref(), has_hog);
        let [cpu, wall] = row
            .ratios
            .map(|ratio| ratio.map(|x| format!("{x:.5}")).join(","));
        append(&format!(
            "{number},{},{},{},{},{},{cpu},{wall},{:.2},{:.1},{},{}\n",
            plant.as_deref().unwrap_or("none"),
            u8::from(has_hog),
            row.outcome,
            row.failed.join("+"),
            row.n_launches,
            row.load,
            row.seconds,
            row.revision,
            row.cpu
        ));
    }
}

/// What the published table says, series by series.
#[derive(Default)]
struct Series {
    n: u64,
    n_failed: u64,
    /// Runs in which the CPU time was why.
    n_slow: u64,
    /// Runs whose interval of the ratio contains 1: of CPU time, of wall time.
    n_inside: [u64; 2],
}

fn published() -> BTreeMap<(String, bool), Series> {
    let mut series: BTreeMap<_, Series> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(table()).unwrap();
    let names = reader.headers().unwrap().clone();
    for row in reader.records() {
        let row = row.unwrap();
        let field = |name: &str| &row[names.iter().position(|it| it == name).unwrap()];
        let number = |name: &str| field(name).parse::<f64>().unwrap();
        let one = series
            .entry((field("planted").to_owned(), field("hog") == "1"))
            .or_default();
        one.n += 1;
        one.n_failed += u64::from(field("outcome") == "fail");
        let mut failed = field("failed_checks").split('+');
        one.n_slow += u64::from(failed.any(|it| it == "cpu_ms_per_token"));
        for (count, kind) in one.n_inside.iter_mut().zip(["cpu", "wall"]) {
            let [low, high] = ["low", "high"].map(|end| number(&format!("{kind}_{end}")));
            *count += u64::from(low <= 1.0 && 1.0 <= high);
        }
    }
    series
}

#[test]
fn the_published_runs_hold_the_rates() {
    let published = published();
    assert!(!published.is_empty(), "the table is empty");
    for ((planted, has_hog), series) in published {
        let Series {
            n,
            n_failed,
            n_slow,
            n_inside: [cpu, wall],
        } = series;
        println!(
            "{planted}, hog {has_hog}: {n} runs, {n_failed} failed, {cpu} and {wall} contain 1"
        );
        if planted == "none" {
            assert_eq!(n_failed, 0, "{n} runs of a model beside itself");
            for inside in [cpu, wall] {
                let share = inside as f64 / n as f64;
                assert!(share >= COVERAGE, "{inside} of {n} intervals contain 1");
            }
        } else if planted == "slow:3" {
            // Few runs: what they show must not refute it.
            let at_most = upper_bound(n_slow, n, 0.05).unwrap();
            assert!(at_most >= POWER, "{planted}: {n_slow} of {n} were caught");
        } else {
            assert_eq!(n_slow, n, "{planted} was missed");
        }
    }
}
