use super::*;
use crate::gate::comparison::{Comparison, Evidence};
use crate::gate::fixture::{N_SCENES, compare_edited, roles, scale_times, set_scores};
use crate::gate::policy::Policy;
use crate::gate::{JudgeOptions, identical_verdict, judge};
use crate::record::observation::{Failure, FailureKind};

fn file_of(comparison: &Comparison, judge_planted: bool) -> ReportFile {
    let policy = Policy::built_in();
    let verdict = judge(comparison, &policy, JudgeOptions { judge_planted });
    ReportFile::of_comparison(comparison, &policy, &verdict)
}

fn report_of(edit: impl FnOnce(&mut Evidence, &mut Evidence), exit: u8) -> Report {
    Report::of(&file_of(&compare_edited(edit).unwrap(), true), Some(exit))
}

/// Loses recall on every second scene and calls one thing by a hostile name.
fn worse(_: &mut Evidence, cand: &mut Evidence) {
    set_scores(
        cand,
        "object_recall",
        |i| if i % 2 == 0 { 0.3 } else { 0.8 },
    );
    set_scores(cand, "objects_exact", |i| if i == 4 { 0.0 } else { 1.0 });
    set_scores(cand, "chrf_pp", |i| 0.48 - i as f64 / 1000.0);
    cand.scores[4].notes.push("missing: truck".into());
    cand.record.outputs[4].text = "Um \u{1b}[31mgato\u{202e} @team\n```".into();
    cand.record.outputs[58].text = "carro ".repeat(40);
    scale_times(cand, 1.04);
}

fn crashed(_: &mut Evidence, cand: &mut Evidence) {
    cand.record.failure = Some(Failure {
        kind: FailureKind::Crashed,
        pass: "outputs".into(),
        scene: Some("scene-07".into()),
        detail: "signal 11".into(),
        stderr_tail: "thread panicked\n\u{1b}[2Jindex out of bounds\n".into(),
    });
    cand.record.outputs.truncate(7);
    cand.record.launches.clear();
    cand.record.memory.clear();
    cand.scores.truncate(7);
}

#[test]
fn a_fail_shows_what_got_worse_and_where() {
    let report = report_of(worse, 1);
    insta::assert_snapshot!(terminal::render(&report, false), @"");
}

#[test]
fn a_crash_shows_its_cause() {
    let report = report_of(crashed, 1);
    insta::assert_snapshot!(terminal::render(&report, false), @"");
}

#[test]
fn a_pass_shows_what_it_rests_on() {
    let report = report_of(|_, _| {}, 0);
    insta::assert_snapshot!(terminal::render(&report, false), @"");
}

#[test]
fn a_planted_harm_is_announced_below_the_verdict() {
    let report = report_of(|_, cand| cand.record.planted = Some("slow".into()), 0);
    let text = terminal::render(&report, false);
    assert_eq!(
        text.lines().nth(1),
        Some("  This verdict does not count: a harm was planted on purpose to test the gate.")
    );
    assert!(markdown::render(&report).contains("**This verdict does not count"));
}

#[test]
fn identical_artifacts_need_no_run() {
    let (base, _) = roles();
    let model = &base.record.model;
    let policy = Policy::built_in();
    let verdict = identical_verdict(model, model).unwrap();
    let report = Report::of(
        &ReportFile::without_run(model, model, &policy, &verdict),
        Some(0),
    );
    insta::assert_snapshot!(terminal::render(&report, false), @"");
}

#[test]
fn the_first_screen_fits_and_reads_without_colour() {
    let many = |_: &mut Evidence, cand: &mut Evidence| {
        worse(&mut roles().0, cand);
        cand.record.planted = Some("slow".into());
        scale_times(cand, 2.0);
        set_scores(cand, "valid", |_| 0.0);
        cand.record.memory.clear();
        cand.record.model.tokenizer_sha256 = None;
    };
    for report in [
        report_of(worse, 1),
        report_of(crashed, 1),
        report_of(many, 3),
    ] {
        let plain = terminal::render(&report, false);
        assert!(plain.lines().count() <= terminal::MOST_LINES, "{plain}");
        assert!(!plain.contains('\u{1b}'));
        let colored = terminal::render(&report, true);
        assert!(colored.contains("\u{1b}[1;31m"));
        let stripped = ["32", "31", "33"].iter().fold(colored, |text, code| {
            text.replace(&format!("\u{1b}[1;{code}m"), "")
        });
        assert_eq!(stripped.replace("\u{1b}[0m", ""), plain);
    }
}

#[test]
fn markdown_starts_with_the_verdict_and_fences_texts() {
    let report = report_of(worse, 1);
    let text = markdown::render(&report);
    insta::assert_snapshot!(text.lines().take(12).collect::<Vec<_>>().join("\n"), @"");
    assert!(
        text.contains("````text\nUm \\u{1b}[31mgato\\u{202e} @team\n```\n````\n"),
        "{text}"
    );
    assert!(text.contains("… 50 more scenes lost something"));
    assert!(
        text.trim_end()
            .ends_with("watched checks are printed and never decide")
    );
}

#[test]
fn markdown_stays_within_its_budget_by_dropping_the_mildest_scenes() {
    let report = report_of(
        |base, cand| {
            worse(base, cand);
            for evidence in [base, cand] {
                for output in &mut evidence.record.outputs {
                    output.text = "\u{202e}".repeat(10_000);
                }
            }
        },
        1,
    );
    let text = markdown::render(&report);
    assert!(text.chars().count() <= markdown::MOST_CHARS);
    assert!(
        text.contains("… 58 more scenes lost something"),
        "two scenes are left"
    );
    for title in [
        wording::WHY,
        wording::CHECKS,
        wording::TRUST,
        wording::TESTED,
    ] {
        assert!(text.contains(&format!("### {title}\n")));
    }
}

#[test]
fn hostile_names_stay_inert() {
    let report = report_of(
        |base, cand| {
            for evidence in [base, cand] {
                evidence.record.model.name = "x @team\u{1b}[2J <img>".into();
                evidence.record.host.cpu = "a|b\nc".into();
            }
        },
        0,
    );
    let terminal = terminal::render(&report, false);
    assert!(
        terminal.starts_with("✓ PASS   x @team\\u{1b}[2J <img> 1.0.0 → 1.1.0"),
        "{terminal}"
    );
    let markdown = markdown::render(&report);
    assert!(
        markdown.starts_with("## ✓ PASS — ` x @team\\u{1b}[2J <img> 1.0.0 → 1.1.0 may be"),
        "{markdown}"
    );
    assert!(
        markdown.contains("kernel scalar on a\\|b\\\\nc"),
        "{markdown}"
    );
}

#[test]
fn json_holds_the_raw_samples_and_reads_back() {
    let file = file_of(&compare_edited(worse).unwrap(), true);
    let bytes = json::render(&file);
    assert_eq!(bytes.last(), Some(&b'\n'));
    let back: ReportFile = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(back, file);
    let evidence = back.evidence.unwrap();
    assert_eq!(evidence.baseline_record.outputs.len(), N_SCENES);
    assert_eq!(evidence.candidate_scores.len(), N_SCENES);
}
