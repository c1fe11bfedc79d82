//! The view of a report, and what each format makes of it.

mod formats;
mod sample;

use super::markdown::Place;
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

fn report_of(edit: impl FnOnce(&mut Evidence, &mut Evidence), code: u8) -> Report {
    Report::of(&file_of(&compare_edited(edit).unwrap(), true), Some(code))
}

/// Loses recall on every second scene and calls one thing by a hostile name.
fn worse(_: &mut Evidence, cand: &mut Evidence) {
    set_scores(
        cand,
        "object_recall",
        |i| if i % 2 == 0 { 0.3 } else { 0.8 },
    );
    set_scores(cand, "fact_ok", |i| if i == 4 { 0.0 } else { 1.0 });
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
    cand.record.readings.clear();
    cand.record.memory.clear();
    cand.scores.truncate(7);
}

#[test]
fn a_fail_shows_what_got_worse_and_where() {
    let report = report_of(worse, 1);
    insta::assert_snapshot!(terminal::render(&report, false), @r#"
    ✗ FAIL   tiny 1.0.0 → 1.1.0 must not be promoted                                                       exit 1

    Why
      object_recall fell by 25.0 points (95 % bounds −30.4 to −19.6, 60 scenes); at most 5.0 points are allowed

    check                  baseline    candidate  change [95 % bounds]     n           allowed            outcome
    fact_ok                 100.0 %       98.3 %  −1.7 pt [−7.1, +2.7]     60 scenes   −10.0 pt           pass
    hallucination_rate        0.0 %        0.0 %  0.0 pt [−4.3, +4.3]      60 scenes   +5.0 pt            pass
    object_recall            80.0 %       55.0 %  −25.0 pt [−30.4, −19.6]  60 scenes   −5.0 pt            FAIL
    collapse_rate               n/a        0.0 %  0.0 pt [0.0, +4.9]       60 scenes   +5.0 pt            pass
    valid                   100.0 %      100.0 %  0.0 pt                   60 scenes   no loss, ≥ 98.0 %  pass
    chrf_pp                  50.0 %       45.0 %  −5.0 pt                  60 scenes   −5.0 pt            pass
    output_tokens       3.00 tokens  3.00 tokens  0.0 %                    60 scenes   +10.0 %            pass
    cpu_ms_per_token        1.90 ms      1.98 ms  +4.07 % [+3.72, +4.42]   6 launches  +10.0 %            pass
    wall_ms_per_token       2.00 ms      2.08 ms  +4.07 % [+3.72, +4.42]   6 launches  +15.0 %            pass
    peak_bytes            100.0 MiB    100.0 MiB  0.0 %                    3 runs      +4.0 %             pass
      … 4 more (watched)

    Look here first (fact_ok: 1 ok → bad, 0 bad → ok)
      scene-04  omission · missing: truck · chrf_pp −2.4 pt · fact_ok −100.0 pt · object_recall −50.0 pt
        baseline   Um carro passa em scene-04.
        candidate  Um \u{1b}[31mgato\u{202e} @team\n```
      scene-58  chrf_pp −7.8 pt · object_recall −50.0 pt
        baseline   Um carro passa em scene-58.
        candidate  carro carro carro carro carro carro carro carro carro carro carro carro carro carro carro carro carr… (240 characters)
      … 58 more scenes lost something

    Can this be trusted?
      60/60 scenes in both roles, 60 with equal tokens · 6 launches × 4 pairs · 1 thread, kernel scalar on cpu
      bits per byte: 30 references 0.500 under the baseline, 0.250 under the candidate · the candidate's outputs 0.500 under the baseline, its own 0.500
      next tokens of the references: divergence 0.250 ± 0.016 nats, p99 0.500, same first choice on 75.0 % of 120 tokens
      20 scenes again alone, with equal tokens · head int8 · huge pages after load: baseline 96–97 %, candidate 96–97 %
      noise floor: not measured; --control adds launches with the baseline beside itself
      built-in policy sha256:491e1f75b253… · at most 5 % false passes per check, 1 % false fails in all
      candidate sha256:7fbd210ebec1… (pinned) · bitnet 1.2M
      baseline sha256:92521fc3cbd9… (pinned) · bitnet 1.2M
      scenes cenas-pt@1.0.0 sha256:6dd792f8896c… · prompt sha256:cf07194ee232… · lexicon sha256:239aec50c94b… · scene-text/1
      vv-eval 0.1.0 · rustc 1.89.0 · run run-1 at 2026-01-02T03:04:05Z
      each bound misses the true change with probability at most 5 %; scenes stand for the population they were drawn from, and nothing else
    "#);
}

#[test]
fn a_crash_shows_its_cause() {
    let report = report_of(crashed, 1);
    insta::assert_snapshot!(terminal::render(&report, false), @r#"
    ✗ FAIL   tiny 1.0.0 → 1.1.0 must not be promoted                                    exit 1

    Why
      the candidate crashed in the outputs pass at scene scene-07: signal 11
      The worker's last lines on stderr
        thread panicked
        \u{1b}[2Jindex out of bounds

    check                     baseline  candidate  change [95 % bounds]  n    allowed  outcome
    fact_ok                        n/a        n/a  n/a                   n/a  n/a      n/a
    hallucination_rate             n/a        n/a  n/a                   n/a  n/a      n/a
    object_recall                  n/a        n/a  n/a                   n/a  n/a      n/a
    collapse_rate                  n/a        n/a  n/a                   n/a  n/a      n/a
    valid                          n/a        n/a  n/a                   n/a  n/a      n/a
    chrf_pp                        n/a        n/a  n/a                   n/a  n/a      n/a
    output_tokens                  n/a        n/a  n/a                   n/a  n/a      n/a
    cpu_ms_per_token               n/a        n/a  n/a                   n/a  n/a      n/a
    wall_ms_per_token              n/a        n/a  n/a                   n/a  n/a      n/a
    peak_bytes                     n/a        n/a  n/a                   n/a  n/a      n/a
    object_precision               n/a        n/a  n/a                   n/a  watched  –
    ttft_ms                        n/a        n/a  n/a                   n/a  watched  –
    prefill_cpu_ms_per_token       n/a        n/a  n/a                   n/a  watched  –
    load_ms                        n/a        n/a  n/a                   n/a  watched  –
      no value: fact_ok, hallucination_rate, object_recall, collapse_rate, valid, chrf_pp, output_tokens, cpu_ms_per_token, wall_ms_per_token, peak_bytes, object_precision, ttft_ms, prefill_cpu_ms_per_token, load_ms (the candidate failed)

    Can this be trusted?
      7/60 scenes in both roles, 7 with equal tokens · 0 launches × 4 pairs · 1 thread, kernel scalar on cpu
      next tokens not compared: no text was read by both models
      7 scenes again alone, with equal tokens · head int8 · huge pages after load: baseline 96–97 %, candidate 96–97 %
      built-in policy sha256:491e1f75b253… · at most 5 % false passes per check, 1 % false fails in all
      candidate sha256:7fbd210ebec1… (pinned) · bitnet 1.2M
      baseline sha256:92521fc3cbd9… (pinned) · bitnet 1.2M
      scenes cenas-pt@1.0.0 sha256:6dd792f8896c… · prompt sha256:cf07194ee232… · lexicon sha256:239aec50c94b… · scene-text/1
      vv-eval 0.1.0 · rustc 1.89.0 · run run-1 at 2026-01-02T03:04:05Z
      each bound misses the true change with probability at most 5 %; scenes stand for the population they were drawn from, and nothing else
    "#);
}

#[test]
fn a_pass_shows_what_it_rests_on() {
    let report = report_of(|_, _| {}, 0);
    insta::assert_snapshot!(terminal::render(&report, false), @r#"
    ✓ PASS   tiny 1.0.0 → 1.1.0 may be promoted                                                                 exit 0

    Why
      every required check was shown to stay within its allowance

    check                        baseline    candidate  change [95 % bounds]    n           allowed            outcome
    fact_ok                       100.0 %      100.0 %  0.0 pt [−4.3, +4.3]     60 scenes   −10.0 pt           pass
    hallucination_rate              0.0 %        0.0 %  0.0 pt [−4.3, +4.3]     60 scenes   +5.0 pt            pass
    object_recall                  80.0 %       80.0 %  0.0 pt [−4.9, +4.9]     60 scenes   −5.0 pt            pass
    collapse_rate                     n/a        0.0 %  0.0 pt [0.0, +4.9]      60 scenes   +5.0 pt            pass
    valid                         100.0 %      100.0 %  0.0 pt                  60 scenes   no loss, ≥ 98.0 %  pass
    chrf_pp                        50.0 %       50.0 %  0.0 pt                  60 scenes   −5.0 pt            pass
    output_tokens             3.00 tokens  3.00 tokens  0.0 %                   60 scenes   +10.0 %            pass
    cpu_ms_per_token              1.90 ms      1.90 ms  +0.07 % [−0.27, +0.41]  6 launches  +10.0 %            pass
    wall_ms_per_token             2.00 ms      2.00 ms  +0.07 % [−0.27, +0.41]  6 launches  +15.0 %            pass
    peak_bytes                  100.0 MiB    100.0 MiB  0.0 %                   3 runs      +4.0 %             pass
    object_precision               90.0 %       90.0 %  0.0 pt [−4.9, +4.9]     60 scenes   watched            –
    ttft_ms                       8.00 ms      8.00 ms  0.0 %                   20 scenes   watched            –
    prefill_cpu_ms_per_token     0.950 ms     0.952 ms  +0.07 % [−0.27, +0.41]  6 launches  watched            –
    load_ms                       20.0 ms      20.0 ms  0.0 %                   3 runs      watched            –
      no interval: ttft_ms (one process per role); load_ms (too few loads)

    Can this be trusted?
      60/60 scenes in both roles, 60 with equal tokens · 6 launches × 4 pairs · 1 thread, kernel scalar on cpu
      bits per byte: 30 references 0.500 under the baseline, 0.250 under the candidate · the candidate's outputs 0.500 under the baseline, its own 0.500
      next tokens of the references: divergence 0.250 ± 0.016 nats, p99 0.500, same first choice on 75.0 % of 120 tokens
      20 scenes again alone, with equal tokens · head int8 · huge pages after load: baseline 96–97 %, candidate 96–97 %
      noise floor: not measured; --control adds launches with the baseline beside itself
      built-in policy sha256:491e1f75b253… · at most 5 % false passes per check, 1 % false fails in all
      candidate sha256:7fbd210ebec1… (pinned) · bitnet 1.2M
      baseline sha256:92521fc3cbd9… (pinned) · bitnet 1.2M
      scenes cenas-pt@1.0.0 sha256:6dd792f8896c… · prompt sha256:cf07194ee232… · lexicon sha256:239aec50c94b… · scene-text/1
      vv-eval 0.1.0 · rustc 1.89.0 · run run-1 at 2026-01-02T03:04:05Z
      each bound misses the true change with probability at most 5 %; scenes stand for the population they were drawn from, and nothing else
    "#);
}

#[test]
fn a_planted_harm_is_announced_below_the_verdict() {
    let report = report_of(|_, cand| cand.record.planted = Some("slow".into()), 0);
    let text = terminal::render(&report, false);
    assert_eq!(
        text.lines().nth(1),
        Some("  This verdict does not count: a harm was planted on purpose to test the gate.")
    );
    assert!(markdown::render(&report, Place::Comment).contains("**This verdict does not count"));
}

/// What is said of the layers, where anything is.
fn layers_line(edit: impl FnOnce(&mut ModelIdentity, &mut ModelIdentity)) -> Option<String> {
    let (mut base, mut cand) = roles();
    base.record.model.layers_sha256 = Some(Sha256::of(b"layers"));
    cand.record.model.layers_sha256 = Some(Sha256::of(b"layers"));
    base.record.model.card = Some("bitnet 1.2M · hf-packed · 4x192/512".into());
    cand.record.model.card = Some("bitnet 1.2M · gguf-q4_0 · 4x192/512".into());
    edit(&mut base.record.model, &mut cand.record.model);
    trust::same_layers(Lang::En, &base.record.model, &cand.record.model)
}

#[test]
fn equal_layers_are_the_same_weights_whatever_holds_them() {
    let line = layers_line(|_, _| ()).expect("the layers are equal");
    assert!(
        line.starts_with("same weights, other container: hf-packed and gguf-q4_0 hold the same"),
        "{line}"
    );
    let line = layers_line(|base, cand| cand.card.clone_from(&base.card));
    assert!(
        line.expect("equal")
            .starts_with("same ternary layers in both roles")
    );
    let other = layers_line(|_, cand| cand.layers_sha256 = Some(Sha256::of(b"other")));
    assert_eq!(other, None);
    let unknown = layers_line(|base, cand| {
        base.layers_sha256 = None;
        cand.layers_sha256 = None;
    });
    assert_eq!(unknown, None, "two unknowns are not equal");
    let identical = layers_line(|base, cand| cand.release_digest = base.release_digest);
    assert_eq!(identical, None);
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
    insta::assert_snapshot!(terminal::render(&report, false), @r#"
    ✓ PASS   tiny 1.0.0 → 1.0.0 may be promoted                    exit 0

    Why
      identical artifacts: both roles have the same files, byte for byte

    Can this be trusted?
      built-in policy sha256:491e1f75b253… · at most 5 % false passes per check, 1 % false fails in all
      candidate sha256:92521fc3cbd9… (pinned) · bitnet 1.2M
      baseline sha256:92521fc3cbd9… (pinned) · bitnet 1.2M
    "#);
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
    let text = markdown::render(&report, Place::Comment);
    insta::assert_snapshot!(text.lines().take(12).collect::<Vec<_>>().join("\n"), @r#"
    ## ✗ FAIL — tiny 1.0.0 → 1.1.0 must not be promoted · exit 1

    ### Why

    - object\_recall fell by 25.0 points (95 % bounds −30.4 to −19.6, 60 scenes); at most 5.0 points are allowed

    ### Checks

    | check | baseline | candidate | change \[95 % bounds\] | n | allowed | outcome |
    | --- | ---: | ---: | --- | --- | --- | --- |
    | fact\_ok | 100.0 % | 98.3 % | −1.7 pt \[−7.1, +2.7\] | 60 scenes | −10.0 pt | pass |
    | hallucination\_rate | 0.0 % | 0.0 % | 0.0 pt \[−4.3, +4.3\] | 60 scenes | +5.0 pt | pass |
    "#);
    assert!(
        text.contains("````diff\n- Um carro passa em scene-04.\n+ Um \\u{1b}[31mgato\\u{202e} @team\n+ ```\n````\n"),
        "{text}"
    );
    assert!(text.contains("… 50 more scenes lost something"));
    assert!(
        text.trim_end()
            .ends_with("watched checks are printed and never decide\n\n<!-- vv-eval report -->")
    );
}

#[test]
fn markdown_stays_within_its_budget_by_dropping_the_mildest_scenes() {
    let report = report_of(
        |base, cand| {
            worse(base, cand);
            for evidence in [base, cand] {
                for output in &mut evidence.record.outputs {
                    output.text = "`".repeat(10_000);
                }
            }
        },
        1,
    );
    let text = markdown::render(&report, Place::Comment);
    assert!(text.chars().count() <= markdown::MOST_CHARS);
    let n_shown = text.matches("\n− baseline · + candidate\n").count();
    assert!((1..10).contains(&n_shown), "{n_shown} scenes are left");
    let hidden = format!("… {} more scenes lost something", N_SCENES - n_shown);
    assert!(text.contains(&hidden), "{hidden}");
    let words = Lang::En.words();
    for title in [words.why, words.checks, words.trust, words.tested] {
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
    let markdown = markdown::render(&report, Place::Comment);
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
