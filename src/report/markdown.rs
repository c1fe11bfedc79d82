//! The comment on a pull request and the summary of a job step: verdict first, within a size.
//!
//! Untrusted text stands in code or fences only, and no HTML is written besides [`MARKER`].

use super::escape::{cut, lines, markdown_block, markdown_code, markdown_text, one_line};
use super::wording::Lang;
use super::{Report, WorstView};

/// Characters of a comment; platforms cut or refuse comments above 65,536.
pub const MOST_CHARS: usize = 60_000;
/// Bytes of a step summary; platforms drop one above 1 MiB without a word.
pub const MOST_BYTES: usize = 1_000_000;
/// The last line, by which the comment of an earlier run is found and replaced.
pub const MARKER: &str = "<!-- vv-eval report -->";

/// Characters of one sentence or label, once what cannot be seen is spelled out.
const MOST_LINE: usize = 1_000;
/// Characters they are cut to at last, when nothing else is left to go.
const LEAST_LINE: usize = 60;
/// Warnings shown; there are rarely more than waivers.
const MOST_WARNINGS: usize = 20;
/// Reasons shown; there are rarely more than checks.
const MOST_REASONS: usize = 20;

/// Where the text will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A comment on a pull request: at most [`MOST_CHARS`] characters.
    Comment,
    /// The summary of a job step: at most [`MOST_BYTES`] bytes.
    Summary,
}

impl Place {
    /// Scenes shown; the rest are counted.
    fn most_scenes(self) -> usize {
        match self {
            Self::Comment => 10,
            Self::Summary => 50,
        }
    }

    /// Characters of a model's text.
    fn most_text(self) -> usize {
        match self {
            Self::Comment => 2_000,
            Self::Summary => 8_000,
        }
    }

    fn holds(self, text: &str) -> bool {
        match self {
            Self::Comment => text.chars().count() <= MOST_CHARS,
            Self::Summary => text.len() <= MOST_BYTES,
        }
    }
}

/// What may be left out, the mildest first.
#[derive(Clone, Copy)]
struct Shown {
    n_scenes: usize,
    n_slices: usize,
    costs: bool,
    /// Characters of a line.
    line: usize,
    place: Place,
}

/// The report as Markdown. When it is too long, the mildest scenes go first, then the slices, then
/// the distributions; verdict, reasons, table and origins stay, at worst with shortened lines.
pub fn render(report: &Report, place: Place) -> String {
    let mut shown = Shown {
        n_scenes: report.worst.len().min(place.most_scenes()),
        n_slices: report.slices.len(),
        costs: true,
        line: MOST_LINE,
        place,
    };
    loop {
        let text = render_with(report, shown);
        if place.holds(&text) {
            return text;
        }
        if shown.n_scenes > 0 {
            shown.n_scenes -= 1;
        } else if shown.n_slices > 0 {
            shown.n_slices /= 2;
        } else if shown.costs {
            shown.costs = false;
        } else if shown.line > LEAST_LINE {
            shown.line = (shown.line / 2).max(LEAST_LINE);
        } else {
            return text;
        }
    }
}

fn render_with(report: &Report, shown: Shown) -> String {
    let words = report.lang.words();
    let text = |line: &str| text(line, shown.line);
    let (mark, word) = report.lang.outcome(report.outcome);
    let exit = report.exit.iter().map(|exit| format!(" · {exit}"));
    let headline = text(&report.headline);
    let mut parts = vec![format!(
        "## {mark} {word} — {headline}{}",
        exit.collect::<String>()
    )];
    let warnings = report.warnings.iter().take(MOST_WARNINGS);
    parts.extend(warnings.map(|warning| format!("**{}**", text(warning))));
    let hidden = report.warnings.len().saturating_sub(MOST_WARNINGS);
    parts.extend((hidden > 0).then(|| format!("**{}**", report.lang.more(hidden))));
    parts.extend([title(words.why), reasons(report, shown)]);
    if let Some(last) = &report.last_words {
        let most = shown.place.most_text().min(4 * shown.line);
        let tail = tail(&lines(last), most);
        parts.extend([format!("{}:", words.last_words), markdown_block(&tail)]);
    }
    if !report.rows.is_empty() {
        let rows = report.rows.iter().map(|row| row.cells.as_slice());
        let table = table(&report.columns, rows, &[1, 2], shown.line);
        parts.extend([title(words.checks), table]);
        parts.extend(report.footnotes.iter().map(|note| text(note)));
    }
    parts.extend(look_first(report, shown));
    parts.extend(details(report, shown));
    for (name, lines) in [
        (words.trust, &report.trust),
        (words.tested, &report.tested),
        (words.how_to_read, &report.how_to_read),
    ] {
        parts.extend([title(name), bullets(lines, shown.line)]);
    }
    parts.push(MARKER.to_owned());
    parts.join("\n\n") + "\n"
}

/// The scenes that lost most.
fn look_first(report: &Report, shown: Shown) -> Vec<String> {
    if report.n_scenes_worse == 0 {
        return Vec::new();
    }
    let lang = report.lang;
    let mut parts = vec![title(lang.words().look_first)];
    parts.extend(report.flips.iter().map(|flips| text(flips, shown.line)));
    let scenes = report.worst[..shown.n_scenes].iter();
    parts.extend(scenes.map(|scene| worst(lang, scene, shown.place)));
    let hidden = report.n_scenes_worse.saturating_sub(shown.n_scenes);
    if hidden > 0 {
        let rest = lang.words().rest;
        parts.push(format!("{}; {rest}", lang.more_scenes(hidden)));
    }
    parts
}

/// Slices and distributions.
fn details(report: &Report, shown: Shown) -> Vec<String> {
    let words = report.lang.words();
    let mut parts = Vec::new();
    if !report.slices.is_empty() {
        parts.push(title(words.slices));
        let rows = report.slices[..shown.n_slices].iter();
        if shown.n_slices > 0 {
            let rows = rows.map(<[String; 7]>::as_slice);
            parts.push(table(&report.slice_columns, rows, &[2, 3, 5], shown.line));
            parts.push(text(words.slice_note, MOST_LINE));
        }
        let hidden = report.slices.len() - shown.n_slices;
        if hidden > 0 {
            parts.push(format!("{}; {}", report.lang.more(hidden), words.rest));
        }
    }
    if !report.costs.is_empty() {
        parts.push(title(words.costs));
        if shown.costs {
            let titles = words.cost_columns.map(str::to_owned);
            let rows = report.costs.iter().map(<[String; 4]>::as_slice);
            let note = text(words.cost_note, MOST_LINE);
            parts.extend([table(&titles, rows, &[1, 2, 3], shown.line), note]);
        } else {
            parts.push(text(words.rest, MOST_LINE));
        }
    }
    parts
}

fn title(name: &str) -> String {
    format!("### {name}")
}

fn reasons(report: &Report, shown: Shown) -> String {
    let why = &report.why;
    let list = bullets(&why[..why.len().min(MOST_REASONS)], shown.line);
    match why.len().saturating_sub(MOST_REASONS) {
        0 => list,
        hidden => format!("{list}\n- {}", report.lang.more(hidden)),
    }
}

fn bullets(lines: &[String], most: usize) -> String {
    let items = lines.iter().map(|line| format!("- {}", text(line, most)));
    items.collect::<Vec<_>>().join("\n")
}

/// One line of at most `most` characters. Cut after what cannot be seen is spelled out, which may
/// lengthen a text eightfold.
fn text(line: &str, most: usize) -> String {
    markdown_text(&cut(&one_line(line), most))
}

/// * `right`: columns of numbers
/// * `most`: characters of a cell
fn table<'a>(
    titles: &[String],
    rows: impl Iterator<Item = &'a [String]>,
    right: &[usize],
    most: usize,
) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| text(cell, most)).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule = (0..titles.len()).map(|i| if right.contains(&i) { "---:" } else { "---" });
    let rule = format!("| {} |", rule.collect::<Vec<_>>().join(" | "));
    let lines = [line(titles), rule].into_iter().chain(rows.map(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// One scene by itself, with its references.
pub fn render_scene(scene: &WorstView, lang: Lang) -> String {
    let mut parts = vec![worst(lang, scene, Place::Summary)];
    if !scene.references.is_empty() {
        parts.push(format!("{}:", lang.words().references));
        let references = scene.references.iter();
        parts.extend(references.map(|text| markdown_block(&cut(text, 2_000))));
    }
    parts.join("\n\n") + "\n"
}

fn worst(lang: Lang, scene: &WorstView, place: Place) -> String {
    let words = lang.words();
    let mut head = format!(
        "{} {}",
        markdown_code(&cut(&one_line(&scene.scene), MOST_LINE)),
        text(&scene.cause, MOST_LINE)
    );
    if let Some(detections) = &scene.detections {
        head += &format!("\n{}: {}", words.detections, text(detections, MOST_LINE));
    }
    // Cut after escaping, which may lengthen a text eightfold.
    let side = |mark: char, side: &str| {
        let side = lang.cut(&lines(side), place.most_text());
        let marked = side.split('\n').map(|line| format!("{mark} {line}"));
        marked.collect::<Vec<_>>().join("\n")
    };
    let body = [
        side('-', &scene.baseline_text),
        side('+', &scene.candidate_text),
    ]
    .join("\n");
    let block = markdown_block(&body).replacen("text\n", "diff\n", 1);
    format!(
        "{head}\n\n− {} · + {}\n\n{block}",
        words.baseline, words.candidate
    )
}

/// The end of a long log: the last words tell most.
fn tail(words: &str, most: usize) -> String {
    let skipped = words.chars().count().saturating_sub(most);
    words.chars().skip(skipped).collect()
}
