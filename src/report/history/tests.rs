use super::*;
use crate::gate::fixture::{compare_edited, set_scores};
use crate::gate::{JudgeOptions, Policy, judge};

/// A report whose candidate recalls `recall` of the objects, begun on a day of January.
fn entry(day: usize, recall: f64) -> Entry {
    let comparison = compare_edited(|base, cand| {
        set_scores(cand, "object_recall", |_| recall);
        for evidence in [base, cand] {
            evidence.record.started_at = format!("2026-01-{day:02}T03:04:05Z");
        }
    });
    let comparison = comparison.expect("comparable");
    let policy = Policy::built_in();
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    let mut file = ReportFile::of_comparison(&comparison, &policy, &verdict);
    file.verdict
        .checks
        .retain(|check| check.metric == "object_recall" || check.metric == "load_ms");
    Entry::of(&format!("reports/run-{day}"), &file)
}

fn history() -> History {
    let unreadable = vec!["cannot use report reports/x: \u{1b}[2J".to_owned()];
    History::new(
        vec![entry(3, 0.2), entry(1, 0.8), entry(2, 0.85)],
        unreadable,
    )
}

#[test]
fn runs_stand_in_the_order_of_time_with_their_trend() {
    insta::assert_snapshot!(terminal(&history(), Lang::En), @r"
    time                  verdict  from        to          scenes          folder
    2026-01-01T03:04:05Z  ✓ PASS   tiny 1.0.0  tiny 1.1.0  cenas-pt@1.0.0  reports/run-1
    2026-01-02T03:04:05Z  ✓ PASS   tiny 1.0.0  tiny 1.1.0  cenas-pt@1.0.0  reports/run-2
    2026-01-03T03:04:05Z  ✗ FAIL   tiny 1.0.0  tiny 1.1.0  cenas-pt@1.0.0  reports/run-3

    Trend of the candidate by metric
    metric         runs  last     lowest   highest
    object_recall  ▇█▁   20.0 %   20.0 %   85.0 %
    load_ms        ▅▅▅   20.0 ms  20.0 ms  20.0 ms

    not readable as reports:
      cannot use report reports/x: \u{1b}[2J
    ");
}

#[test]
fn a_change_of_level_is_marked_in_a_long_history() {
    let level = |day: usize| if day <= 12 { 0.80 } else { 0.5 };
    let noise = |day: usize| ((day * 7) % 5) as f64 / 1000.0;
    let entries = (1..=24).map(|day| entry(day, level(day) + noise(day)));
    let history = History::new(entries.collect(), Vec::new());
    let trends = history.trends();
    let marks: Vec<usize> = trends[0]
        .points
        .iter()
        .enumerate()
        .filter_map(|(i, point)| point.is_change.then_some(i))
        .collect();
    assert!(marks.iter().any(|at| (10..=14).contains(at)), "{marks:?}");
    let text = terminal(&history, Lang::En);
    let day = marks[0] + 1;
    let told =
        format!("\n  | object_recall: the level changes before the run of 2026-01-{day:02}\n");
    assert!(text.contains(&told), "{text}");
    let page = String::from_utf8(html(&history, Lang::PtBr)).expect("UTF-8");
    let told = format!("object_recall (o nível muda antes da execução de 2026-01-{day:02})");
    assert!(page.contains(&told));
    assert!(
        trends[1].points.iter().all(|point| !point.is_change),
        "a constant has none"
    );
}

#[test]
fn the_page_has_a_plot_for_each_metric_and_hollow_dots_for_what_did_not_pass() {
    let page = String::from_utf8(html(&history(), Lang::PtBr)).expect("UTF-8");
    assert_eq!(page.matches("<svg").count(), 2);
    assert_eq!(
        page.matches("class=\"run hollow\"").count(),
        2,
        "one run in two plots"
    );
    assert!(page.contains("Execuções anteriores") && page.contains("85,0 %"));
    assert!(page.contains("\\u{1b}[2J") && !page.contains('\u{1b}'));
}

#[test]
fn json_has_every_run_and_nothing_is_nothing() {
    let json: serde_json::Value = serde_json::from_slice(&history().json()).expect("JSON");
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["runs"][2]["outcome"], "fail");
    assert_eq!(json["runs"][2]["values"][0]["metric"], "object_recall");
    let empty = History::new(Vec::new(), Vec::new());
    assert_eq!(terminal(&empty, Lang::En), "no report was found\n");
    assert!(!html(&empty, Lang::En).is_empty());
}

#[test]
fn a_verdict_without_a_run_stands_at_the_time_its_folder_is_named_by() {
    let mut identical = entry(9, 0.8);
    identical.folder = "reports/20260102T120000Z-a-vs-a".to_owned();
    identical.started_at = None;
    identical.values.clear();
    let history = History::new(vec![entry(3, 0.8), identical, entry(1, 0.8)], Vec::new());
    let folders: Vec<&str> = history
        .entries
        .iter()
        .map(|it| it.folder.as_str())
        .collect();
    assert_eq!(
        folders,
        [
            "reports/run-1",
            "reports/20260102T120000Z-a-vs-a",
            "reports/run-3"
        ]
    );
}
