//! The report as a page, for reading closely.

use super::{Page, line, table, table_of};
use crate::gate::file::ReportFile;
use crate::report::diff::{self, Piece};
use crate::report::escape::{html, lines};
use crate::report::plot::{self, Plot};
use crate::report::wording::Lang;
use crate::report::{Report, WorstView};

/// Characters of a model's text.
const MOST_TEXT: usize = 6_000;
/// Characters of a failed worker's last words.
const MOST_LAST_WORDS: usize = 8_000;
/// Rows of the figures below a plot.
const MOST_FIGURES: usize = 300;

/// The page, whole in itself.
///
/// * `report`: the view of `file`
/// * `file`: where the plots have their figures from
pub fn render(report: &Report, file: &ReportFile) -> Vec<u8> {
    let (lang, words) = (report.lang, report.lang.words());
    let plots = plot::of(file, lang);
    let mut page = Page::new(lang, &format!("vv-eval: {}", report.headline));
    let exit = report.exit.as_deref().unwrap_or_default();
    page.header(Some(report.outcome), &report.headline, exit);
    for warning in &report.warnings {
        page.push(&format!("<p class=\"warning\">{}</p>\n", line(warning)));
    }
    let sections = [
        ("why", words.why, true),
        ("checks", words.checks, !report.rows.is_empty()),
        ("look-first", words.look_first, report.n_scenes_worse > 0),
        ("slices", words.slices, !report.slices.is_empty()),
        ("costs", words.costs, !report.costs.is_empty()),
        ("trust", words.trust, true),
        ("tested", words.tested, true),
        ("how-to-read", words.how_to_read, true),
    ];
    let present = sections.iter().filter(|(.., is_there)| *is_there);
    let present: Vec<(&str, &str)> = present.map(|(id, title, _)| (*id, *title)).collect();
    page.contents(&present);
    for (id, title) in present {
        page.open_section(id, title);
        match id {
            "why" => why(&mut page, report),
            "checks" => {
                checks(&mut page, report);
                draw(&mut page, &plots.checks, lang);
            }
            "look-first" => look_first(&mut page, report),
            "slices" => {
                let rows = report.slices.iter().map(|row| (row.as_slice(), None));
                let columns = &report.slice_columns;
                page.push(&table_of(title, columns, rows, &[2, 3, 5], lang));
                page.note(words.slice_note);
                draw(&mut page, &plots.slices, lang);
            }
            "costs" => {
                let columns = words.cost_columns.map(str::to_owned);
                let rows = report.costs.iter().map(|row| (row.as_slice(), None));
                page.push(&table_of(title, &columns, rows, &[1, 2, 3], lang));
                page.note(words.cost_note);
                draw(&mut page, &plots.costs, lang);
            }
            "trust" => page.list(&report.trust),
            "tested" => {
                page.list(&report.tested);
                if let Some(again) = &report.again {
                    let again = html(again);
                    page.push(&format!("<p>{}: <code>{again}</code></p>\n", words.again));
                }
            }
            _ => page.list(&report.how_to_read),
        }
        page.close_section();
    }
    page.finish()
}

/// A page of one scene alone.
pub fn render_scene(scene: &WorstView, lang: Lang) -> Vec<u8> {
    let mut page = Page::new(lang, &format!("vv-eval: {}", scene.scene));
    page.header(None, &scene.scene, "");
    page.contents(&[]);
    page.push(&article(scene, lang));
    page.finish()
}

fn why(page: &mut Page, report: &Report) {
    page.list(&report.why);
    if let Some(words) = &report.last_words {
        page.paragraph(&format!("{}:", report.lang.words().last_words));
        let skipped = words.chars().count().saturating_sub(MOST_LAST_WORDS);
        let tail: String = words.chars().skip(skipped).collect();
        page.push(&format!("<pre>{}</pre>\n", html(&tail)));
    }
}

fn checks(page: &mut Page, report: &Report) {
    let rows = report.rows.iter();
    let rows = rows.map(|row| (row.cells.as_slice(), row.outcome));
    let title = report.lang.words().checks;
    let columns = &report.columns;
    page.push(&table_of(title, columns, rows, &[1, 2], report.lang));
    for note in &report.footnotes {
        page.note(note);
    }
}

fn look_first(page: &mut Page, report: &Report) {
    let lang = report.lang;
    if let Some(flips) = &report.flips {
        page.paragraph(flips);
    }
    let [base, cand] = lang.words().diff_key;
    page.push(&format!(
        "<p class=\"note\"><del>{base}</del> · <ins>{cand}</ins></p>\n"
    ));
    for scene in &report.worst {
        page.push(&article(scene, lang));
    }
    let hidden = report.n_scenes_worse.saturating_sub(report.worst.len());
    if hidden > 0 {
        page.paragraph(&lang.more_scenes(hidden));
    }
}

/// One scene: cause, detections, both texts side by side, references.
fn article(scene: &WorstView, lang: Lang) -> String {
    let words = lang.words();
    let mut out = format!(
        "<article>\n<h3><code>{}</code></h3>\n<p>{}</p>\n",
        line(&scene.scene),
        line(&scene.cause)
    );
    if let Some(detections) = &scene.detections {
        let detections = line(detections);
        out += &format!("<p class=\"note\">{}: {detections}</p>\n", words.detections);
    }
    // Escapes of invisible characters are words like others; the diff sees what the reader sees.
    let shown = |text: &str| lines(&lang.cut(text, MOST_TEXT));
    let sides = diff::words(&shown(&scene.baseline_text), &shown(&scene.candidate_text));
    out += "<div class=\"sides\">\n";
    let names = [(words.baseline, "del"), (words.candidate, "ins")];
    for ((name, tag), pieces) in names.into_iter().zip(&sides) {
        let text: String = pieces.iter().map(|it| piece(it, tag)).collect();
        out +=
            &format!("<div class=\"side\"><h4>{name}</h4>\n<p lang=\"pt-BR\">{text}</p></div>\n");
    }
    out += "</div>\n";
    if !scene.references.is_empty() {
        out += &format!("<details><summary>{}</summary>\n<ul>\n", words.references);
        for reference in &scene.references {
            let reference = html(&lang.cut(reference, MOST_TEXT));
            out += &format!("<li lang=\"pt-BR\">{reference}</li>\n");
        }
        out += "</ul>\n</details>\n";
    }
    out + "</article>\n"
}

fn piece(piece: &Piece, tag: &str) -> String {
    let text = html(&piece.text);
    if piece.is_own {
        format!("<{tag}>{text}</{tag}>")
    } else {
        text
    }
}

fn draw(page: &mut Page, plots: &[Plot], lang: Lang) {
    let words = lang.words();
    for plot in plots {
        let (id, title) = (&plot.id, html(&plot.title));
        page.push(&format!(
            "<figure aria-labelledby=\"{id}\">\n<figcaption><h3 id=\"{id}\">{title}</h3>\n\
             <p>{}</p></figcaption>\n",
            html(&plot.caption)
        ));
        if plot.has_roles {
            page.push(&key(lang));
        }
        let wide = if plot.svgs.len() == 1 { " wide" } else { "" };
        page.push(&format!("<div class=\"panels{wide}\">\n"));
        for svg in &plot.svgs {
            page.push(svg);
            page.push("\n");
        }
        page.push("</div>\n");
        let rows = &plot.rows[..plot.rows.len().min(MOST_FIGURES)];
        let figures = table(&plot.title, &plot.columns, rows, &[], lang);
        page.push(&format!(
            "<details><summary>{}</summary>\n{figures}</details>\n</figure>\n",
            words.figures
        ));
    }
}

/// Which line is which role.
fn key(lang: Lang) -> String {
    let words = lang.words();
    let entry = |class: &str, name: &str| {
        format!(
            "<li><svg viewBox=\"0 0 40 10\" aria-hidden=\"true\"><line class=\"{class}\" x1=\"0\" \
             y1=\"5\" x2=\"40\" y2=\"5\"/></svg> {name}</li>\n"
        )
    };
    let (base, cand) = (
        entry("base", words.baseline),
        entry("cand", words.candidate),
    );
    format!("<ul class=\"key\">\n{base}{cand}</ul>\n")
}
