//! The comment on a pull request: verdict first, at most [`MOST_CHARS`] characters.

use super::escape::{cut, markdown_block, markdown_code, markdown_text};
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
    let exit = report
        .exit
        .as_ref()
        .map_or(String::new(), |exit| format!(" · {exit}"));
    let mut out = format!("## {mark} {word} — {}{exit}\n\n", text(&report.headline));
    for warning in &report.warnings {
        out.push_str(&format!("**{}**\n\n", text(warning)));
    }
    section(&mut out, wording::WHY, reasons(&report.why));
    if let Some(words) = &report.last_words {
        let block = markdown_block(&tail(words));
        out.push_str(&format!("{}:\n\n{block}\n", wording::LAST_WORDS));
    }
    if !report.rows.is_empty() {
        out.push_str(&format!("### {}\n\n{}\n", wording::CHECKS, table(report)));
        for note in &report.footnotes {
            out.push_str(&format!("{}\n\n", text(note)));
        }
    }
    if report.n_scenes_worse > 0 {
        out.push_str(&format!("### {}\n\n", wording::LOOK_FIRST));
        for scene in &report.worst[..n_scenes] {
            out.push_str(&worst(scene));
        }
        let hidden = report.n_scenes_worse.saturating_sub(n_scenes);
        if hidden > 0 {
            out.push_str(&format!("{}\n\n", wording::more_scenes(hidden)));
        }
    }
    section(&mut out, wording::TRUST, bullets(&report.trust));
    section(&mut out, wording::TESTED, bullets(&report.tested));
    section(&mut out, wording::HOW_TO_READ, bullets(&report.how_to_read));
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// The end of a long log: the last words tell most.
fn tail(words: &str) -> String {
    let skipped = words.chars().count().saturating_sub(MOST_TEXT);
    words.chars().skip(skipped).collect()
}

fn section(out: &mut String, title: &str, body: String) {
    out.push_str(&format!("### {title}\n\n{body}\n"));
}

fn reasons(why: &[String]) -> String {
    let mut list = bullets(&why[..why.len().min(MOST_REASONS)]);
    if why.len() > MOST_REASONS {
        list.push_str(&format!("- … {} more\n", why.len() - MOST_REASONS));
    }
    list
}

fn bullets(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("- {}\n", text(line)))
        .collect()
}

fn text(line: &str) -> String {
    markdown_text(&cut(line, MOST_LINE))
}

fn table(report: &Report) -> String {
    let line = |cells: &[String; 7]| {
        format!(
            "| {} |\n",
            cells.clone().map(|cell| text(&cell)).join(" | ")
        )
    };
    let body: String = report.rows.iter().map(|row| line(&row.cells)).collect();
    format!(
        "{}| --- | ---: | ---: | --- | --- | --- | --- |\n{body}",
        line(&report.columns)
    )
}

fn worst(scene: &WorstView) -> String {
    format!(
        "{} {}\n\nbaseline:\n\n{}\ncandidate:\n\n{}\n",
        markdown_code(&cut(&scene.scene, MOST_LINE)),
        text(&scene.cause),
        markdown_block(&cut(&scene.baseline_text, MOST_TEXT)),
        markdown_block(&cut(&scene.candidate_text, MOST_TEXT)),
    )
}
