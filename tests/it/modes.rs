//! What a verdict is for, how long it may take, and whether machine and gate are fit for it.

use vv_eval::gate::file::{OutcomeFile, ReportFile};
use vv_eval::record::RunRecord;

use super::common::{Lab, Ran, model, scene_set};

fn report(lab: &Lab) -> ReportFile {
    serde_json::from_slice(&lab.output("report.json")).unwrap()
}

fn record(lab: &Lab, role: &str) -> RunRecord {
    serde_json::from_slice(&lab.output(&format!("{role}.record.json"))).unwrap()
}

fn first_promotion(lab: &Lab, least: &str) -> Ran {
    lab.write(
        "gate.toml",
        format!(
            "schema_version = 1\nmode = \"smoke\"\n[effort]\nlikelihood_scenes = 4\n\
             [scenes]\nmin_scenes = 60\n[[check]]\nmetric = \"chrf_pp\"\n\
             limit = {{ at_least = {least} }}\n"
        ),
    );
    let (model, scenes) = (model("1.1.0"), scene_set());
    let [model, scenes] = [&model, &scenes].map(|path| path.to_str().unwrap());
    let arguments = [
        "compare",
        "--mode",
        "bootstrap",
        model,
        "--scenes",
        scenes,
        "--out",
        "out",
    ];
    lab.run(&arguments)
}

#[test]
fn a_first_model_is_held_against_limits_and_says_so() {
    // The second time with the texts of the first.
    let lab = Lab::new();
    for (least, code, outcome) in [
        ("0.1", 0, OutcomeFile::Pass),
        ("0.999", 1, OutcomeFile::Fail),
    ] {
        let ran = first_promotion(&lab, least);
        assert_eq!(ran.code, Some(code), "{}", ran.all());
        assert!(
            ran.stdout.contains("first promotion: there is no baseline"),
            "{}",
            ran.all()
        );
        let report = report(&lab);
        assert_eq!(report.verdict.outcome, outcome);
        assert!(report.verdict.reasons[0].starts_with("first promotion"));
        // Nobody to be faster than.
        assert!(record(&lab, "candidate").launches.is_empty());
        assert!(!record(&lab, "candidate").outputs.is_empty());
    }
}

#[test]
fn a_first_promotion_with_two_models_and_a_comparison_with_one_are_refused() {
    let lab = Lab::new();
    lab.write("gate.toml", "schema_version = 1\nmode = \"smoke\"\n");
    let model = model("1.1.0");
    let model = model.to_str().unwrap();
    let scenes = scene_set();
    let scenes = scenes.to_str().unwrap();
    let ran = lab.run(&[
        "compare",
        "--mode",
        "bootstrap",
        model,
        model,
        "--scenes",
        scenes,
    ]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("--mode bootstrap MODEL"),
        "{}",
        ran.stderr
    );
    let ran = lab.run(&["compare", model, "--scenes", scenes]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("no candidate was named"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_budget_ends_the_launches_and_the_rest_is_judged() {
    let lab = Lab::of_few_scenes();
    lab.edit("gate.toml", "launches = 4", "launches = 200");
    let ran = lab.compare("1.0.0", "1.1.0", &["--budget", "1s"]);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    let record = record(&lab, "candidate");
    assert!(record.launches.len() < 200);
    assert_eq!(record.plan.n_launches, record.launches.len());
    let reason = record.plan.stopped.unwrap();
    assert!(
        reason.contains("the budget of 0.0 minutes is used up"),
        "{reason}"
    );
    assert!(ran.stdout.contains(&reason), "{}", ran.stdout);
}

#[test]
fn control_launches_are_the_baseline_twice() {
    let lab = Lab::of_few_scenes();
    let ran = lab.compare("1.0.0", "1.1.0", &["--control"]);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    let [base, cand] = ["baseline", "candidate"].map(|role| record(&lab, role));
    assert_eq!((base.controls.len(), cand.controls.len()), (6, 6));
    assert!(
        ran.stdout
            .contains("noise floor, the baseline beside itself in 6 launches")
    );
    let here = base.environment.unwrap();
    assert!(here.binary_sha256.is_some());
    for launch in base.launches.iter().chain(&base.controls) {
        let machine = launch.machine.as_ref().unwrap();
        assert!(machine.elapsed_ns > 0);
        for segment in launch.decode.iter().chain(&launch.prefill) {
            let health = segment.health.unwrap();
            // The other worker's half of a pair is waited for, not computed.
            assert!(
                health.idle_cpu_ns < segment.wall_ns,
                "{health:?} {segment:?}"
            );
        }
    }
}

#[test]
fn a_run_without_controls_tells_what_the_last_ones_showed() {
    let lab = Lab::of_few_scenes();
    let floor = "noise floor, not measured here; of ";
    // What a planted harm showed is not told of a machine.
    let planted = [
        "--control",
        "--plant",
        "candidate=slow:5",
        "--judge-scripted",
    ];
    for arguments in [&planted[..], &["--control"], &["--control", "--no-cache"]] {
        let ran = lab.compare("1.0.0", "1.1.0", arguments);
        assert!(matches!(ran.code, Some(1 | 2)), "{}", ran.all());
        assert!(
            ran.stdout
                .contains("noise floor, the baseline beside itself")
        );
        let kept = std::fs::read_to_string(lab.path("cache/earlier.jsonl"));
        let n_kept = kept.map_or(0, |text| text.matches("noise_floor").count());
        assert_eq!(n_kept, usize::from(arguments != planted), "{arguments:?}");
    }
    let ran = lab.compare("1.0.0", "1.1.0", &[]);
    assert!(ran.stdout.contains(floor), "{}", ran.all());
    assert!(
        ran.stdout
            .contains("in 6 launches × 2 pairs: cpu_ms_per_token"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("self-test: none of this program"),
        "{}",
        ran.stdout
    );
    let holds = lab.run(&["verify", "out"]);
    assert_eq!(holds.code, Some(0), "{}", holds.all());
    let ran = lab.compare("1.0.0", "1.1.0", &["--no-cache"]);
    assert!(
        ran.stdout.contains("noise floor: not measured"),
        "{}",
        ran.stdout
    );
}

#[test]
fn the_doctor_looks_at_the_machine() {
    let lab = Lab::new();
    let ran = lab.run(&["doctor"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.all());
    assert_eq!(
        ran.code == Some(1),
        ran.stdout.contains("UNFIT"),
        "{}",
        ran.stdout
    );
    for what in ["huge pages", "CPU quota", "clocks", "output folder"] {
        assert!(ran.stdout.contains(what), "{}", ran.stdout);
    }
    assert!(!lab.path("reports").exists());
}

#[test]
fn planted_harms_are_caught_through_the_program() {
    let lab = Lab::new();
    let models = model("1.1.0");
    let models = models.parent().unwrap().to_str().unwrap();
    let scenes = scene_set();
    let scenes = scenes.to_str().unwrap();
    let mut arguments = vec!["selftest", "--models", models, "--scenes", scenes];
    for case in ["crash", "wrong-digest", "nan", "undertrained", "fat"] {
        arguments.extend(["--case", case]);
    }
    let ran = lab.run(&arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(
        ran.stdout.ends_with("\nharms caught: 5/5\n"),
        "{}",
        ran.stdout
    );
    let ran = lab.run(&["selftest", "--case", "crsh"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    assert!(
        ran.stderr.contains("did you mean `crash`?"),
        "{}",
        ran.stderr
    );
}
