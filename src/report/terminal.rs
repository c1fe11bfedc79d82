//! The first screen: at most [`MOST_LINES`] lines where it can be, readable without colour.
//!
//! The worst scenes are what a reader of a failing run needs: watched rows give way to them, then
//! the lines on scenes and program. Both are in every other format.

use super::diff;
use super::escape::one_line;
use super::wording::{Lang, NO_OUTCOME};
use super::{Report, Row, WorstView};
use crate::gate::Outcome;

/// Lines of the first screen.
pub const MOST_LINES: usize = 40;
/// Warnings shown; the rest are counted.
const MOST_WARNINGS: usize = 3;
/// Last lines of stderr shown.
const MOST_STDERR: usize = 4;
/// Lines on the models, which stay when those on scenes and program give way.
const MODEL_LINES: usize = 2;
/// Characters of a reason or a line about the run.
const MOST_LINE: usize = 400;
/// Characters of a line about what was tested; model cards are long and whole in the other formats.
const MOST_TESTED: usize = 150;
/// Characters of a model's text or a cause.
const MOST_TEXT: usize = 100;
/// Characters of a cell of the table.
const MOST_CELL: usize = 60;
/// Columns with numbers of one role: they line up on the right.
const NUMBERS: [usize; 2] = [1, 2];

/// What a screen shows of what may give way.
#[derive(Clone, Copy)]
struct Shown {
    /// Rows that never decide.
    watched: bool,
    /// Lines on scenes and program.
    tested: bool,
    /// Scenes; the rest are counted.
    n_scenes: usize,
    /// Reasons, and warnings up to [`MOST_WARNINGS`]; the rest are counted.
    n_reasons: usize,
}

/// Watched rows, lines on scenes and program, scenes, reasons; the fullest screen first.
const SCREENS: [(bool, bool, usize, usize); 6] = [
    (true, true, 2, 4),
    (false, true, 2, 4),
    (false, false, 2, 4),
    (false, false, 1, 4),
    (false, false, 0, 4),
    (false, false, 0, 2),
];

/// The report as text; `color` adds terminal colours to the outcomes and nothing else.
pub fn render(report: &Report, color: bool) -> String {
    let screens = SCREENS.map(|(watched, tested, n_scenes, n_reasons)| {
        let shown = Shown {
            watched,
            tested,
            n_scenes,
            n_reasons,
        };
        screen(report, shown, color)
    });
    let fitting = screens.iter().find(|lines| lines.len() <= MOST_LINES);
    let lines = fitting.unwrap_or(&screens[SCREENS.len() - 1]);
    lines.join("\n") + "\n"
}

fn screen(report: &Report, shown: Shown, color: bool) -> Vec<String> {
    let lang = report.lang;
    let is_watched = |row: &&Row| row.outcome.is_none() && row.cells[6] == NO_OUTCOME;
    let rows: Vec<&Row> = report
        .rows
        .iter()
        .filter(|row| shown.watched || !is_watched(row))
        .collect();
    let table = table(report, &rows, color);
    let width = table.iter().map(|line| line.width).max().unwrap_or(0);
    let mut lines = vec![verdict_line(report, width, color)];
    let n_warnings = shown.n_reasons.min(MOST_WARNINGS);
    lines.extend(first(lang, &report.warnings, n_warnings));
    lines.push(String::new());
    lines.push(lang.words().why.to_owned());
    lines.extend(first(lang, &report.why, shown.n_reasons));
    lines.extend(last_words(report));
    if !rows.is_empty() {
        lines.push(String::new());
        lines.extend(table.into_iter().map(|line| line.text));
        let hidden = report.rows.len() - rows.len();
        if hidden > 0 {
            lines.push(format!(
                "  {} ({})",
                lang.more(hidden),
                lang.words().watched
            ));
        }
        // They speak of rows without an outcome; with the watched rows most of them go.
        if rows.iter().any(|row| row.outcome.is_none()) {
            lines.extend(report.footnotes.iter().map(|note| line(lang, note)));
        }
    }
    if !report.worst.is_empty() {
        lines.push(String::new());
        let title = lang.words().look_first;
        let flips = report.flips.as_ref();
        lines.push(flips.map_or(title.to_owned(), |flips| format!("{title} ({flips})")));
        lines.extend(worst(report, shown.n_scenes));
    }
    lines.push(String::new());
    lines.push(lang.words().trust.to_owned());
    lines.extend(report.trust.iter().map(|text| line(lang, text)));
    let n_tested = if shown.tested {
        report.tested.len()
    } else {
        MODEL_LINES
    };
    let tested = report.tested.iter().take(n_tested);
    lines.extend(tested.map(|text| line(lang, &lang.cut(text, MOST_TESTED))));
    let bounds = report
        .how_to_read
        .first()
        .filter(|_| !report.rows.is_empty());
    lines.extend(bounds.map(|text| line(lang, text)));
    lines
}

/// `✗ FAIL   tiny 1.0.0 → 1.1.0 must not be promoted      exit 1`, the code at the table's edge.
fn verdict_line(report: &Report, width: usize, color: bool) -> String {
    let lang = report.lang;
    let (mark, word) = report.lang.outcome(report.outcome);
    let headline = lang.cut(&one_line(&report.headline), 2 * MOST_TEXT);
    let exit = report.exit.as_deref().unwrap_or("");
    let plain = format!("{mark} {word}   {headline}");
    let gap = width
        .saturating_sub(plain.chars().count() + exit.chars().count())
        .max(2);
    let verdict = paint(&format!("{mark} {word}"), Some(report.outcome), color);
    format!("{verdict}   {headline}{}{exit}", " ".repeat(gap))
        .trim_end()
        .to_owned()
}

fn line(lang: Lang, text: &str) -> String {
    format!("  {}", lang.cut(&one_line(text), MOST_LINE))
}

/// The first of some sentences, and how many more there are.
fn first(lang: Lang, all: &[String], most: usize) -> Vec<String> {
    let shown = all.iter().take(most);
    let mut lines: Vec<String> = shown.map(|text| line(lang, text)).collect();
    if all.len() > most {
        lines.push(format!("  {}", lang.more(all.len() - most)));
    }
    lines
}

/// The end of what the worker wrote.
fn last_words(report: &Report) -> Vec<String> {
    let Some(words) = &report.last_words else {
        return Vec::new();
    };
    let lang = report.lang;
    let all: Vec<&str> = words.lines().collect();
    let tail = &all[all.len().saturating_sub(MOST_STDERR)..];
    let tail = tail
        .iter()
        .map(|text| format!("    {}", lang.cut(&one_line(text), MOST_TEXT)));
    [format!("  {}", report.lang.words().last_words)]
        .into_iter()
        .chain(tail)
        .collect()
}

/// A line and the columns it takes on screen, colours aside.
struct TableLine {
    text: String,
    width: usize,
}

fn table(report: &Report, shown: &[&Row], color: bool) -> Vec<TableLine> {
    let lang = report.lang;
    let escape = |cells: &[String; 7]| {
        cells
            .clone()
            .map(|cell| lang.cut(&one_line(&cell), MOST_CELL))
    };
    let titles = escape(&report.columns);
    let rows: Vec<[String; 7]> = shown.iter().map(|row| escape(&row.cells)).collect();
    let mut widths = [0; 7];
    for cells in rows.iter().chain([&titles]) {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let outcomes = shown.iter().map(|row| row.outcome);
    let body = rows
        .iter()
        .zip(outcomes)
        .map(|(cells, outcome)| join(cells, &widths, outcome, color));
    [join(&titles, &widths, None, false)]
        .into_iter()
        .chain(body)
        .collect()
}

fn join(
    cells: &[String; 7],
    widths: &[usize; 7],
    outcome: Option<Outcome>,
    color: bool,
) -> TableLine {
    let last = cells.len() - 1;
    let mut text = String::new();
    for (i, cell) in cells[..last].iter().enumerate() {
        let space = " ".repeat(widths[i] - cell.chars().count());
        let (left, right) = if NUMBERS.contains(&i) {
            (space.as_str(), "")
        } else {
            ("", space.as_str())
        };
        text.extend([left, cell, right, "  "]);
    }
    let width = text.chars().count() + cells[last].chars().count();
    text.push_str(&paint(&cells[last], outcome, color));
    TableLine { text, width }
}

fn worst(report: &Report, most: usize) -> Vec<String> {
    let (lang, words) = (report.lang, report.lang.words());
    let [base, cand] = [words.baseline, words.candidate];
    let mut lines = Vec::new();
    for scene in report.worst.iter().take(most) {
        let cause = lang.cut(&one_line(&scene.cause), MOST_TEXT);
        lines.push(format!(
            "  {}  {cause}",
            lang.cut(&one_line(&scene.scene), MOST_TEXT)
        ));
        lines.push(format!(
            "    {base:<9}  {}",
            lang.cut(&one_line(&scene.baseline_text), MOST_TEXT)
        ));
        lines.push(format!(
            "    {cand:<9}  {}",
            lang.cut(&one_line(&scene.candidate_text), MOST_TEXT)
        ));
    }
    let hidden = report.n_scenes_worse.saturating_sub(most);
    if hidden > 0 {
        lines.push(format!("  {}", report.lang.more_scenes(hidden)));
    }
    lines
}

/// One scene: cause, detections, both texts, the words they do not share, references.
pub fn render_scene(scene: &WorstView, lang: Lang) -> String {
    let words = lang.words();
    let [base, cand] = [&scene.baseline_text, &scene.candidate_text].map(|text| one_line(text));
    let diff = diff::marked(&base, &cand);
    let mut rows = vec![
        (words.baseline, base),
        (words.candidate, cand),
        ("diff", diff),
    ];
    let references = scene.references.iter();
    rows.extend(references.map(|text| (words.references, one_line(text))));
    let detections = scene.detections.iter();
    rows.extend(detections.map(|text| (words.detections, one_line(text))));
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let head = [&scene.scene, &scene.cause].map(|text| lang.cut(&one_line(text), MOST_LINE));
    let mut lines = vec![head.join("  ").trim_end().to_owned()];
    lines.extend(
        rows.iter()
            .map(|(name, text)| format!("  {name:<width$}  {text}")),
    );
    lines.join("\n") + "\n"
}

fn paint(text: &str, outcome: Option<Outcome>, color: bool) -> String {
    let code = match outcome {
        Some(Outcome::Pass) => "32",
        Some(Outcome::Fail | Outcome::Invalid) => "31",
        Some(Outcome::Inconclusive) => "33",
        None => return text.to_owned(),
    };
    if color {
        format!("\u{1b}[1;{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
