//! What every format has in common: the verdict, its limits, and that no text of others acts.

use crate::gate::comparison::Comparison;
use crate::gate::file::OutcomeFile;
use crate::gate::file_rules::{SentinelsFile, VetoFile, ViolationFile};
use crate::gate::fixture::{compare_edited, set_scores};
use crate::gate::policy::{Margin, Origin};
use crate::gate::waiver::{self, Waiver};
use crate::gate::{Evidence, JudgeOptions, Policy, identical_verdict, judge};
use crate::metric::Score;
use crate::record::observation::{Failure, FailureKind};
use crate::report::markdown::Place;
use crate::report::unjudged::Unjudged;
use crate::report::wording::Lang;
use crate::report::*;
use crate::units::is_invisible;

fn file_of(comparison: &Comparison) -> ReportFile {
    let policy = Policy::built_in();
    let verdict = judge(comparison, &policy, JudgeOptions::default());
    ReportFile::of_comparison(comparison, &policy, &verdict)
}

fn file(edit: impl FnOnce(&mut Evidence, &mut Evidence)) -> ReportFile {
    file_of(&compare_edited(edit).expect("comparable"))
}

/// A report of every outcome, an identical pair among the passes.
fn files() -> Vec<ReportFile> {
    let pass = file(|_, _| ());
    let model = &pass.baseline;
    let verdict = identical_verdict(model, model).expect("the same files");
    let identical = ReportFile::without_run(model, model, &Policy::built_in(), &verdict);
    let fail = file(|_, cand| set_scores(cand, "object_recall", |_| 0.3));
    let undecided = file(|_, cand| {
        set_scores(
            cand,
            "object_recall",
            |i| if i % 9 == 0 { 0.3 } else { 0.8 },
        );
    });
    let invalid = file(|base, _| base.record.failure = Some(failure("signal 11")));
    vec![pass, identical, fail, undecided, invalid]
}

fn failure(detail: &str) -> Failure {
    Failure {
        kind: FailureKind::Crashed,
        pass: "outputs".into(),
        scene: None,
        detail: detail.into(),
        stderr_tail: detail.into(),
    }
}

/// Every human and machine format by name.
fn formats(file: &ReportFile, lang: Lang) -> Vec<(&'static str, String)> {
    let code = match Outcome::from(file.verdict.outcome) {
        Outcome::Pass => 0,
        Outcome::Fail => 1,
        Outcome::Inconclusive => 2,
        Outcome::Invalid => 3,
    };
    let report = Report::in_language(file, Some(code), lang);
    let entry = history::Entry::of("reports/run", file);
    let history = history::History::new(vec![entry], vec!["x".into()]);
    let text = |bytes| String::from_utf8(bytes).expect("every format is UTF-8");
    vec![
        ("terminal", terminal::render(&report, false)),
        ("terminal-color", terminal::render(&report, true)),
        ("markdown", markdown::render(&report, Place::Comment)),
        ("summary", markdown::render(&report, Place::Summary)),
        ("html", text(html::render(&report, file))),
        ("junit", text(junit::render(&report))),
        ("csv", text(csv::render(file))),
        ("json", text(json::render(file))),
        (
            "github",
            github::annotations(&report, Some("model_manifest.json")),
        ),
        (
            "outputs",
            github::outputs(report.outcome, code, "out/report.json"),
        ),
        ("history", history::terminal(&history, lang)),
        ("history-html", text(history::html(&history, lang))),
        ("history-json", text(history.json())),
    ]
}

/// The place that tells the verdict in a format, and what it must hold.
fn verdict_of(name: &str, text: &str, outcome: Outcome, lang: Lang) -> (String, String) {
    let (mark, word) = lang.outcome(outcome);
    let word = word.to_owned();
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    match name {
        "terminal" => (first(text), format!("{mark} {word}   ")),
        "terminal-color" => (first(text), format!("{mark} {word}\u{1b}[0m   ")),
        "markdown" | "summary" => (first(text), format!("## {mark} {word} — ")),
        "html" => {
            let places: Vec<&str> = text.split("<p class=\"verdict\">").collect();
            assert_eq!(places.len(), 2, "one verdict");
            (first(places[1]), format!("</span> {word}</p>"))
        }
        "junit" => {
            let case = text
                .split("<testcase name=\"verdict\"")
                .nth(1)
                .expect("a case");
            let case = case.split("</testcase>").next().expect("its end");
            let kind = match outcome {
                Outcome::Pass => "<system-out>",
                Outcome::Fail => "<failure message=",
                Outcome::Inconclusive => "type=\"inconclusive\"",
                Outcome::Invalid => "<error message=",
            };
            let bad = ["<failure", "<error"].iter().any(|tag| case.contains(tag));
            assert_eq!(bad, outcome != Outcome::Pass, "{case}");
            (case.to_owned(), kind.to_owned())
        }
        "csv" => {
            let line = text.lines().nth(1).expect("a row").to_owned();
            (line, format!("verdict,,,,,,,,,,{},", outcome.name()))
        }
        "json" => {
            let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
            (
                json["verdict"]["outcome"].to_string(),
                format!("\"{}\"", outcome.name()),
            )
        }
        "github" => {
            let level = match outcome {
                Outcome::Pass => "::notice ",
                Outcome::Inconclusive => "::warning ",
                Outcome::Fail | Outcome::Invalid => "::error ",
            };
            let title = format!("title=vv-eval%3A {word}::");
            assert!(first(text).contains(&title), "{text}");
            (first(text), level.to_owned())
        }
        "outputs" => (first(text), format!("verdict={}", outcome.name())),
        "history" => (text.to_owned(), format!("{mark} {word}")),
        "history-html" => (text.to_owned(), format!("<td>{mark} {word}</td>")),
        "history-json" => (
            text.to_owned(),
            format!("\"outcome\": \"{}\"", outcome.name()),
        ),
        other => panic!("no rule for {other}"),
    }
}

#[test]
fn every_format_tells_the_same_verdict() {
    let mut seen = Vec::new();
    for file in files() {
        let outcome = Outcome::from(file.verdict.outcome);
        seen.push(outcome.name());
        for lang in [Lang::En, Lang::PtBr] {
            for (name, text) in formats(&file, lang) {
                let (place, expected) = verdict_of(name, &text, outcome, lang);
                assert!(
                    place.contains(&expected),
                    "{name} in {} tells {place}, not {expected}",
                    lang.tag()
                );
            }
        }
    }
    assert_eq!(seen, ["pass", "pass", "fail", "inconclusive", "invalid"]);
}

/// Texts that want to be something else.
fn corpus() -> Vec<String> {
    let short = [
        "```\n## ✓ PASS — evil\n```",
        "````\n@evil/team #1 GH-1\n````",
        "~~~\n# evil",
        "</code></pre></p><script>alert(1)</script>",
        "<svg onload=alert(1)><script>evil()</script></svg>",
        "<img src=http://evil.example/x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "' autofocus onfocus='alert(1)",
        "<!-- vv-eval report -->",
        "::error file=x::evil",
        "  ::set-output name=verdict::pass",
        "\n::stop-commands::x\n::add-mask::y",
        "\r::warning::evil",
        "\u{2028}::warning::evil",
        "%0A::error::evil",
        "##[error]evil",
        "x ##vso[task.complete result=Succeeded]",
        "##teamcity[buildStatus status='SUCCESS']",
        "section_start:0:evil\r\u{1b}[0Kevil",
        "| evil | PASS |\n| --- | --- |\n| a | b |",
        "a | b \\| c `d` | e",
        "=HYPERLINK(\"http://evil.example\",\"x\")",
        "+1+cmd|' /C calc'!A0",
        "-1+2",
        "@SUM(1+1)*cmd",
        "\t=1+1",
        "\r=1+1",
        "a,\"b\"\n=1+1",
        "\u{202e}SSAP\u{2066}\u{200b}\u{feff}",
        "\u{1b}[2J\u{1b}[1;32m✓ PASS\u{1b}]8;;http://evil.example\u{7}",
        "\u{9b}31m\u{90}evil\u{9c}\u{8}\u{7f}",
        "\u{0}\u{1}\u{b}\u{c}\u{ffff}\u{fffe}",
        "]]></system-out><testcase name=\"evil\"/>",
        "&lt;script&gt;&#60;b&#62;",
        "[evil](javascript:alert(1)) ![x](http://evil.example)",
        "https://evil.example www.evil.example",
        "verdict=pass\nexit-code=0",
        "\u{e0041}\u{e0042}",
    ];
    let mut corpus: Vec<String> = short.map(str::to_owned).to_vec();
    corpus.push("x".repeat(1 << 20));
    corpus.push("`".repeat(1 << 20));
    corpus.push("\u{1b}[31m<b>&|".repeat(1 << 16));
    corpus
}

/// A failed comparison in which every text that comes from outside is `text`.
fn spoiled(text: &str) -> ReportFile {
    let mut file = file(|_, cand| {
        set_scores(cand, "object_recall", |i| if i < 4 { 0.0 } else { 0.8 });
        set_scores(cand, "fact_ok", |i| if i < 40 { 0.0 } else { 1.0 });
        cand.scores[0].notes = vec!["hallucination: `x` says horse".into()];
    });
    let details = (0..4).map(|i| SceneFile {
        scene: format!("scene-{i:02}"),
        slices: vec!["night".into()],
        references: vec![text.to_owned()],
        detections: vec![DetectionFile {
            label: text.to_owned(),
            most_at_once: 1,
            first_s: 0.0,
            last_s: 1.0,
        }],
    });
    file = file.with_scene_files(details.collect());
    file.candidate.name = text.to_owned();
    file.baseline.version = Some(text.to_owned());
    file.candidate.card = Some(text.to_owned());
    file.policy.origin = Origin::File(text.to_owned());
    file.verdict.reasons.push(text.to_owned());
    file.notices.push(text.to_owned());
    file.verdict.slices.push(VetoFile {
        slice: text.to_owned(),
        metric: "fact_ok".into(),
        n: 30,
        estimate: None,
        certified: None,
        p_worse: Some(0.0),
        fail_level: Some(0.01),
        veto_from: -0.1,
        waived_until: Some(text.to_owned()),
        vetoes: true,
    });
    file.verdict.sentinels = Some(SentinelsFile {
        outcome: OutcomeFile::Fail,
        n: 2,
        n_held: 1,
        violations: vec![ViolationFile {
            scene: text.to_owned(),
            notes: vec![text.to_owned()],
            baseline_holds: true,
        }],
        exempt: vec![text.to_owned()],
    });
    for check in &mut file.verdict.checks {
        if !check.required {
            check.estimate = None;
            check.unit = text.to_owned();
            check.reason = Some(text.to_owned());
        }
    }
    let scene = &mut file.worst_scenes[0];
    scene.candidate_text = Some(text.to_owned());
    scene.candidate_notes.push(text.to_owned());
    file.worst_scenes[1].baseline_text = Some(text.to_owned());
    for slice in &mut file.slices {
        slice.slice = text.to_owned();
    }
    let evidence = file.evidence.as_mut().expect("a run");
    evidence.candidate_record.failure = Some(failure(text));
    for record in [
        &mut evidence.baseline_record,
        &mut evidence.candidate_record,
    ] {
        record.host.cpu = text.to_owned();
        record.run_id = text.to_owned();
        record.outputs[3].scene = text.to_owned();
        record.outputs[3].text = text.to_owned();
    }
    evidence.candidate_scores[3].scene = text.to_owned();
    file
}

/// No line acts on a terminal or in the log of a build service.
#[track_caller]
fn check_inert(name: &str, text: &str) {
    // Our own colours; that there are no others is counted in `check_format`.
    let text = match name {
        "terminal-color" => ["1;31", "1;32", "1;33", "0"]
            .iter()
            .fold(text.to_owned(), |text, code| {
                text.replace(&format!("\u{1b}[{code}m"), "")
            }),
        _ => text.to_owned(),
    };
    for line in text.split(['\n', '\r']) {
        let shown = cut_for_message(line);
        let trimmed = line.trim_start();
        if name == "github" {
            let ours = ["::error ", "::warning ", "::notice "];
            let is_ours = trimmed.is_empty() || ours.iter().any(|own| line.starts_with(own));
            assert!(is_ours, "{name}: {shown}");
        } else {
            assert!(!trimmed.starts_with("::"), "{name}: {shown}");
        }
        for (at, _) in line.match_indices("##") {
            let name_of = line[at..].trim_start_matches('#');
            let rest = name_of.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            assert!(!rest.starts_with('['), "{name}: {shown}");
        }
        let hidden = line.chars().find(|c| c.is_control() || is_invisible(*c));
        assert_eq!(hidden, None, "{name}: {shown}");
    }
}

fn cut_for_message(line: &str) -> String {
    escape::cut(&escape::one_line(line), 300)
}

/// Tags of a page in their order, marks of the word diff and list items aside.
fn tags(page: &str) -> Vec<String> {
    let tags = page.split('<').skip(1).filter_map(|rest| {
        let tag = rest.split('>').next()?;
        let name = tag.split([' ', '\n']).next()?;
        let is_free = ["del", "/del", "ins", "/ins"].contains(&name);
        (!is_free).then(|| {
            // Attributes hold labels and coordinates: their names are the skeleton.
            let names: Vec<&str> = tag.split('"').step_by(2).map(str::trim).collect();
            names.join(" ")
        })
    });
    tags.collect()
}

/// Markdown outside fences and code.
fn prose(markdown: &str) -> String {
    let mut fence: Option<String> = None;
    let mut out = String::new();
    for line in markdown.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line.trim_end() == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 && line[ticks.len()..].chars().all(char::is_alphanumeric) => {
                fence = Some(ticks);
            }
            None => {
                out.push_str(&without_code(line));
                out.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "a fence stays open");
    out
}

/// A line without its code spans, which end at the next run of as many back-ticks.
fn without_code(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        if rest[..at].ends_with('\\') {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        }
        out.push_str(&rest[..at]);
        let n = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let body = &rest[at + n..];
        let ticks = "`".repeat(n);
        let end = body.match_indices(&ticks).find(|(end, _)| {
            let after = &body[end + n..];
            !after.starts_with('`') && !body[..*end].ends_with('`')
        });
        if let Some((end, _)) = end {
            rest = &body[end + n..];
        } else {
            out.push_str(&rest[at..at + n]);
            rest = body;
        }
    }
    out + rest
}

#[test]
fn hostile_text_changes_no_verdict_and_gives_no_command() {
    for lang in [Lang::En, Lang::PtBr] {
        let benign = formats(&spoiled("benign"), lang);
        for text in corpus() {
            let file = spoiled(&text);
            let rendered = formats(&file, lang);
            for ((name, rendered), (_, usual)) in rendered.iter().zip(&benign) {
                check_inert(name, rendered);
                let (place, expected) = verdict_of(name, rendered, Outcome::Fail, lang);
                assert!(
                    place.contains(&expected),
                    "{name}: {}",
                    cut_for_message(&place)
                );
                check_format(name, rendered, usual);
            }
            check_scene(&file, lang);
        }
    }
}

/// The scene with the hostile texts, shown alone.
#[track_caller]
fn check_scene(file: &ReportFile, lang: Lang) {
    let id = &file.worst_scenes[0].scene;
    let view = Report::scene(file, id, lang).expect("it has texts");
    check_inert("terminal", &terminal::render_scene(&view, lang));
    let markdown = markdown::render_scene(&view, lang);
    check_inert("markdown", &markdown);
    let prose = prose(&markdown);
    assert!(!prose.contains("<script") && !prose.contains("@evil"));
    let page = String::from_utf8(html::render_scene(&view, lang)).expect("UTF-8");
    check_inert("html", &page);
    assert!(!page.contains("<script") && !page.contains("<img"));
}

/// What is particular to a format.
#[track_caller]
fn check_format(name: &str, rendered: &str, benign: &str) {
    match name {
        "html" | "history-html" => {
            assert!(tags(rendered) == tags(benign), "{name} has other elements");
            assert!(!rendered.contains("<script"), "{name}");
        }
        "markdown" | "summary" => {
            let prose = prose(rendered);
            for risk in [
                "<img",
                "<script",
                "<svg",
                "@evil",
                "evil.example",
                "javascript:",
            ] {
                assert!(
                    !prose.contains(risk),
                    "{name}: {risk} in {}",
                    cut_for_message(&prose)
                );
            }
            assert_eq!(
                prose.matches("## ").count(),
                self::prose(benign).matches("## ").count()
            );
            // Inside code it is text.
            assert_eq!(
                prose.matches(markdown::MARKER).count(),
                1,
                "{name} has one marker"
            );
            check_size(name, rendered);
            assert!(rendered.trim_end().ends_with(markdown::MARKER));
        }
        "junit" => {
            let count = |text: &str, tag: &str| text.matches(tag).count();
            for tag in ["<testcase ", "<failure ", "<error ", "<skipped "] {
                assert_eq!(count(rendered, tag), count(benign, tag), "{tag}");
            }
            assert!(rendered.len() < 64 * 1024 * count(rendered, "<testcase "));
        }
        "csv" => {
            let rows = |text: &str| {
                let mut reader = ::csv::Reader::from_reader(text.as_bytes());
                let rows = reader.records().map(|row| row.expect("a row"));
                rows.collect::<Vec<_>>()
            };
            let found = rows(rendered);
            assert_eq!(found.len(), rows(benign).len(), "rows");
            for cell in found.iter().flat_map(::csv::StringRecord::iter) {
                let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                assert!(!is_formula || cell.parse::<f64>().is_ok(), "{cell}");
            }
        }
        "github" => assert_eq!(rendered.lines().count(), benign.lines().count()),
        "outputs" => assert_eq!(rendered, benign),
        "json" => {
            let file = ReportFile::from_json(rendered.as_bytes()).expect("a report");
            assert!(
                json::render(&file) == rendered.as_bytes(),
                "json is not stable"
            );
        }
        "terminal" => {
            assert!(rendered.lines().all(|line| line.chars().count() < 10_000));
        }
        "terminal-color" => {
            let count = |text: &str| text.matches('\u{1b}').count();
            assert_eq!(count(rendered), count(benign), "colours of somebody else");
        }
        _ => {}
    }
}

/// What a platform takes of a comment and of a summary.
#[track_caller]
fn check_size(name: &str, text: &str) {
    let (chars, bytes) = (text.chars().count(), text.len());
    let is_comment = name == "markdown";
    assert!(
        !is_comment || chars <= markdown::MOST_CHARS,
        "{chars} characters"
    );
    assert!(bytes <= markdown::MOST_BYTES, "{name}: {bytes} bytes");
}

/// As many scenes as asked for, half of them lost, each with a long text that escaping lengthens.
fn many(n: usize) -> ReportFile {
    let comparison = compare_edited(|base, cand| {
        let ids: Vec<String> = (0..n).map(|i| format!("scene-{i:05}")).collect();
        for evidence in [&mut *base, &mut *cand] {
            let (output, scores) = (
                evidence.record.outputs[59].clone(),
                evidence.scores[59].clone(),
            );
            evidence.record.plan.scene_ids.clone_from(&ids);
            evidence.record.plan.n_timed = 0;
            evidence.record.plan.n_read = 0;
            evidence.record.readings.clear();
            let mut outputs = Vec::new();
            evidence.scores.clear();
            for id in &ids {
                let mut output = output.clone();
                output.scene.clone_from(id);
                output.text = format!("{id} {}", "\u{1b}`<|".repeat(400));
                outputs.push(output);
                let mut scores = scores.clone();
                scores.scene.clone_from(id);
                evidence.scores.push(scores);
            }
            evidence.record.outputs = outputs;
        }
        for scene in cand.scores.iter_mut().step_by(2) {
            scene.scores.insert("object_recall", Score::Value(0.1));
            scene.notes = vec![format!("hallucination: `{}`", "a".repeat(3_000))];
        }
    });
    let file = file_of(&comparison.expect("comparable"));
    let details = (0..n).map(|i| SceneFile {
        scene: format!("scene-{i:05}"),
        slices: vec![format!("slice-{}", i % 300)],
        references: vec!["r".repeat(100)],
        detections: Vec::new(),
    });
    file.with_scene_files(details.collect())
}

#[test]
fn hostile_text_changes_nothing_of_what_could_not_be_judged() {
    for lang in [Lang::En, Lang::PtBr] {
        for text in corpus() {
            let unjudged = Unjudged {
                lang,
                exit: 3,
                is_bug: false,
                notices: vec![text.clone(); 100],
                cause: text.clone(),
            };
            let markdown = unjudged.markdown();
            let told = lang.not_judged(false, 3);
            assert!(markdown.starts_with(&format!("{told}\n")), "{told}");
            assert_eq!(prose(&markdown).matches(&told).count(), 1, "said once");
            assert!(markdown.chars().count() <= 60_000, "{}", markdown.len());
            check_inert("markdown", &markdown);
            let tests = String::from_utf8(unjudged.junit()).expect("UTF-8");
            check_inert("junit", &tests);
            assert_eq!(tests.matches("<testcase ").count(), 1);
            assert_eq!(tests.matches("<error ").count(), 1);
        }
    }
}

#[test]
fn ten_thousand_scenes_keep_every_limit() {
    let file = many(10_000);
    assert_eq!(file.n_scenes_worse, 5_000);
    for lang in [Lang::En, Lang::PtBr] {
        let report = Report::in_language(&file, Some(1), lang);
        for (name, text) in formats(&file, lang) {
            let (place, expected) = verdict_of(name, &text, Outcome::Fail, lang);
            assert!(place.contains(&expected), "{name}");
            match name {
                "markdown" | "summary" => {
                    check_size(name, &text);
                    for line in report.why.iter().chain(&report.trust) {
                        let line = escape::markdown_text(line);
                        assert!(text.contains(&line), "{name} lost {line}");
                    }
                    check_rows(&report, &text);
                    let rest = lang.pick("more scenes lost something", "cenas perderam algo");
                    assert!(text.contains(rest), "{name}");
                }
                "github" => assert!(text.lines().count() <= github::MOST_ANNOTATIONS),
                "html" => assert!(text.len() < 8 << 20, "{} bytes", text.len()),
                "terminal" => assert!(text.lines().count() <= terminal::MOST_LINES),
                _ => {}
            }
        }
    }
}

/// No row of the table of checks is lost.
#[track_caller]
fn check_rows(report: &Report, markdown: &str) {
    for row in &report.rows {
        let row = escape::markdown_text(&row.cells[0]);
        assert!(markdown.contains(&format!("| {row} |")), "lost {row}");
    }
}

#[test]
fn no_number_of_notices_and_reasons_breaks_a_limit() {
    let mut file = spoiled("benign");
    let text = "\u{1b}*_`|<@x>".repeat(500);
    file.notices = vec![text.clone(); 200];
    file.verdict.reasons = vec![text.clone(); 200];
    for check in &mut file.verdict.checks {
        check.reason = Some(text.clone());
        check.unit.clone_from(&text);
    }
    for lang in [Lang::En, Lang::PtBr] {
        let report = Report::in_language(&file, Some(1), lang);
        for (name, text) in formats(&file, lang) {
            let (place, expected) = verdict_of(name, &text, Outcome::Fail, lang);
            assert!(place.contains(&expected), "{name}");
            match name {
                "markdown" | "summary" => {
                    check_size(name, &text);
                    check_rows(&report, &text);
                    assert!(text.trim_end().ends_with(markdown::MARKER));
                }
                "github" => assert_eq!(text.lines().count(), github::MOST_ANNOTATIONS),
                "terminal" => {
                    let n = text.lines().count();
                    assert!(n <= terminal::MOST_LINES, "{n} lines:\n{text}");
                }
                "junit" => {
                    let n_cases = text.matches("<testcase ").count();
                    assert!(text.len() < 64 * 1024 * n_cases, "{} bytes", text.len());
                }
                _ => {}
            }
        }
    }
}

/// A candidate that loses more than was waived.
fn waived() -> ReportFile {
    let mut policy = Policy::built_in();
    policy.waivers.push(Waiver {
        check: "object_recall".into(),
        slice: None,
        ceiling: Margin::Absolute(0.3),
        expires: "2026-12-31".into(),
        issue: Some("#212".into()),
        reason: "new camera".into(),
        approved_by: "ana".into(),
    });
    let comparison = compare_edited(|_, cand| set_scores(cand, "object_recall", |_| 0.3));
    let comparison = comparison.expect("comparable");
    let verdict = judge(&comparison, &policy, JudgeOptions::default());
    ReportFile::of_comparison(&comparison, &policy, &verdict)
        .with_notices(waiver::notices(&comparison, &policy))
}

#[test]
fn a_waiver_stands_before_every_reason_in_every_format_and_language() {
    let file = waived();
    for lang in [Lang::En, Lang::PtBr] {
        for (name, text) in formats(&file, lang) {
            let is_english = lang == Lang::En || matches!(name, "csv" | "json");
            let [waiver, reason] = if is_english {
                [
                    "may lose up to 30 points until 2026-12-31 (not",
                    "fell by 50.0 points",
                ]
            } else {
                [
                    "pode perder até 30 pontos até 2026-12-31 (não",
                    "caiu 50,0 pontos",
                ]
            };
            match name {
                "outputs" | "history" | "history-html" | "history-json" => {}
                // Keys of an object have no order that matters.
                "json" => assert!(text.contains(waiver), "{name}"),
                _ => {
                    let [waiver, reason] = [waiver, reason].map(|part| text.find(part));
                    assert!(
                        waiver.is_some() && waiver < reason,
                        "{name} in {}: {waiver:?}, {reason:?}\n{text}",
                        lang.tag()
                    );
                }
            }
        }
    }
}

#[test]
fn annotations_are_ten_at_most_and_say_what_is_left_out() {
    let mut file = file(|_, cand| set_scores(cand, "object_recall", |_| 0.3));
    file.verdict.reasons = (0..40).map(|i| format!("reason {i}")).collect();
    let text = github::annotations(&Report::of(&file, Some(1)), None);
    assert_eq!(text.lines().count(), github::MOST_ANNOTATIONS);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[9], "::notice title=vv-eval%3A FAIL::… 32 more");
    assert!(lines[8].ends_with("::reason 7"), "{}", lines[8]);
}

#[test]
fn csv_is_long_and_holds_both_roles_and_every_score() {
    let file = file(|_, _| ());
    let bytes = csv::render(&file);
    let mut reader = ::csv::Reader::from_reader(bytes.as_slice());
    assert_eq!(reader.headers().expect("titles"), &csv::TITLES[..]);
    let rows: Vec<::csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let count = |kind: &str, role: &str| {
        let of = rows.iter().filter(|row| &row[0] == kind && &row[2] == role);
        of.count()
    };
    let evidence = file.evidence.as_ref().expect("a run");
    let n_scores = evidence
        .baseline_scores
        .iter()
        .map(|it| it.metrics.len())
        .sum::<usize>();
    for role in ["baseline", "candidate"] {
        assert_eq!(count("score", role), n_scores);
        assert_eq!(count("check", role), file.verdict.checks.len());
        // 6 launches × (4 + 4 + 4) segments, 20 scenes × 2 times, 3 loads.
        assert_eq!(count("time", role), 6 * 12 + 20 * 2 + 3);
        assert_eq!(count("memory", role), 3 * 4);
    }
    let recall = rows
        .iter()
        .find(|row| &row[0] == "score" && &row[3] == "object_recall");
    let recall: Vec<&str> = recall.expect("a row").iter().collect();
    let expected = [
        "score",
        "scene-00",
        "baseline",
        "object_recall",
        "2",
        "fraction",
        "0.8",
    ];
    assert_eq!(recall[..7], expected);
}

#[test]
fn junit_has_a_case_for_the_verdict_and_one_for_each_check() {
    let file = file(|_, cand| set_scores(cand, "object_recall", |_| 0.3));
    let text = String::from_utf8(junit::render(&Report::of(&file, Some(1)))).expect("UTF-8");
    let n_checks = file.verdict.checks.len();
    let n_watched = file
        .verdict
        .checks
        .iter()
        .filter(|check| !check.required)
        .count();
    let suite = format!(
        "<testsuite name=\"vv-eval\" tests=\"{}\" disabled=\"{n_watched}\" errors=\"0\" failures=\"2\">",
        n_checks + 1
    );
    assert!(text.contains(&suite), "{text}");
    assert_eq!(text.matches("<skipped ").count(), n_watched);
    assert!(text.contains("<testcase name=\"object_recall\" classname=\"vv-eval.check\">"));
    assert!(text.contains("type=\"fail\""));
}

#[test]
fn the_page_has_its_plots_its_landmarks_and_no_way_out() {
    let file = spoiled("benign");
    for lang in [Lang::En, Lang::PtBr] {
        let page = html::render(&Report::in_language(&file, Some(1), lang), &file);
        let page = String::from_utf8(page).expect("UTF-8");
        let tag = format!("<html lang=\"{}\">", lang.tag());
        let parts = [
            &*tag,
            "<header",
            "<nav aria-label=",
            "<main id=\"main\"",
            "<footer>",
        ];
        for part in parts {
            assert_eq!(page.matches(part).count(), 1, "{part}");
        }
        for plot in [
            "intervals",
            "differences",
            "times",
            "launches",
            "memory",
            "slices-plot",
        ] {
            let figure = format!("<figure aria-labelledby=\"{plot}\">");
            assert_eq!(page.matches(&figure).count(), 1, "{plot}");
        }
        for way in [
            "http://", "https://", "src=", "url(", "@import", "<link", "<script", "style=",
        ] {
            assert!(!page.contains(way), "{way}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}

#[test]
fn equal_reports_give_equal_bytes_in_every_format() {
    let make = || formats(&spoiled("x"), Lang::PtBr);
    assert!(make() == make());
}

#[test]
fn one_scene_is_shown_whether_it_got_worse_or_not() {
    let file = spoiled("benign");
    let view = Report::scene(&file, "scene-10", Lang::En).expect("it has texts");
    assert_eq!(view.candidate_text, "Um carro passa em scene-10.");
    let text = terminal::render_scene(&view, Lang::En);
    assert!(
        text.contains("diff       Um carro passa em scene-10."),
        "{text}"
    );
    let worst = Report::scene(&file, &file.worst_scenes[0].scene, Lang::En).expect("it is there");
    assert_eq!(worst.candidate_text, "benign");
    assert!(terminal::render_scene(&worst, Lang::En).contains("{+benign+}"));
    assert_eq!(Report::scene(&file, "scene-99", Lang::En), None);
}
