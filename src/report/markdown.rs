//! The comment on a pull request: verdict first, at most [`MOST_CHARS`] characters.

use super::escape::{cut, lines, markdown_block, markdown_code, markdown_text};
use super::{Report, WorstView, wording};

/// Length of a report; platforms cut or refuse comments above 65,536 characters.
pub const MOST_CHARS: usize = 60_000;
/// Scenes shown; the rest are counted.
const MOST_SCENES: usize = 10;
/// Characters of a model's text.
const MOST_TEXT: usize = 2_000;
/// Characters of one sentence or label.
const MOST_LINE: usize = 1_000;
/// Reasons shown; there are rarely more than checks.
const MOST_REASONS: usize = 20;

/// The report as Markdown. When it is too long, the mildest scenes go first; verdict, reasons,
/// table and origins stay.
pub fn render(report: &Report) -> String {
    let mut n_scenes = report.worst.len().min(MOST_SCENES);
    loop {
        let text = render_with(report, n_scenes);
        if n_scenes == 0 || text.chars().count() <= MOST_CHARS {
            return text;
        }
        n_scenes -= 1;
    }
}

fn render_with(report: &Report, n_scenes: usize) -> String {
    let (mark, word) = wording::outcome(report.outcome);
    let exit = report.exit.iter().map(|exit| format!(" · {exit}"));
    let headline = text(&report.headline);
    let mut parts = vec![format!(
        "## {mark} {word} — {headline}{}",
        exit.collect::<String>()
    )];
    parts.extend(
        report
            .warnings
            .iter()
            .map(|warning| format!("**{}**", text(warning))),
    );
    parts.extend([title(wording::WHY), reasons(&report.why)]);
    if let Some(words) = &report.last_words {
        parts.extend([
            format!("{}:", wording::LAST_WORDS),
            markdown_block(&tail(words)),
        ]);
    }
    if !report.rows.is_empty() {
        parts.extend([title(wording::CHECKS), table(report)]);
        parts.extend(report.footnotes.iter().map(|note| text(note)));
    }
    if report.n_scenes_worse > 0 {
        parts.push(title(wording::LOOK_FIRST));
        parts.extend(report.worst[..n_scenes].iter().map(worst));
        let hidden = report.n_scenes_worse.saturating_sub(n_scenes);
        parts.extend((hidden > 0).then(|| wording::more_scenes(hidden)));
    }
    for (name, lines) in [
        (wording::TRUST, &report.trust),
        (wording::TESTED, &report.tested),
        (wording::HOW_TO_READ, &report.how_to_read),
    ] {
        parts.extend([title(name), bullets(lines)]);
    }
    parts.join("\n\n") + "\n"
}

fn title(name: &str) -> String {
    format!("### {name}")
}

fn reasons(why: &[String]) -> String {
    let list = bullets(&why[..why.len().min(MOST_REASONS)]);
    match why.len().saturating_sub(MOST_REASONS) {
        0 => list,
        hidden => format!("{list}\n- … {hidden} more"),
    }
}

fn bullets(lines: &[String]) -> String {
    let items: Vec<String> = lines
        .iter()
        .map(|line| format!("- {}", text(line)))
        .collect();
    items.join("\n")
}

fn text(line: &str) -> String {
    markdown_text(&cut(line, MOST_LINE))
}

fn table(report: &Report) -> String {
    let line = |cells: &[String; 7]| {
        let cells = cells.clone().map(|cell| text(&cell));
        format!("| {} |", cells.join(" | "))
    };
    let rule = "| --- | ---: | ---: | --- | --- | --- | --- |".to_owned();
    let rows = report.rows.iter().map(|row| line(&row.cells));
    let lines: Vec<String> = [line(&report.columns), rule]
        .into_iter()
        .chain(rows)
        .collect();
    lines.join("\n")
}

/// A text in full, or cut after escaping, which may lengthen it eightfold.
fn block(text: &str) -> String {
    markdown_block(&cut(&lines(text), MOST_TEXT))
}

fn worst(scene: &WorstView) -> String {
    format!(
        "{} {}\n\nbaseline:\n\n{}\n\ncandidate:\n\n{}",
        markdown_code(&cut(&scene.scene, MOST_LINE)),
        text(&scene.cause),
        block(&scene.baseline_text),
        block(&scene.candidate_text),
    )
}

/// The end of a long log: the last words tell most.
fn tail(words: &str) -> String {
    let skipped = words.chars().count().saturating_sub(MOST_TEXT);
    words.chars().skip(skipped).collect()
}
