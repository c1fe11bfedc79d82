//! The runs as a page with a plot for each metric.

use super::{History, Trend};
use crate::gate::words;
use crate::report::html::{Page, table};
use crate::report::plot::trend;
use crate::report::wording::Lang;

/// Rows of the list, the latest; the JSON form has all.
const MOST_ROWS: usize = 500;

/// The page, whole in itself.
pub fn render(history: &History, lang: Lang) -> Vec<u8> {
    let words = &lang.words().history;
    let mut page = Page::new(lang, words.title);
    page.header(None, words.title, "");
    page.contents(&[("runs", words.title), ("trends", words.trends)]);
    page.open_section("runs", words.title);
    if history.entries.is_empty() {
        page.paragraph(words.nothing);
    } else {
        let first = history.entries.len().saturating_sub(MOST_ROWS);
        let rows = history.entries[first..].iter().rev();
        let rows: Vec<Vec<String>> = rows.map(|it| History::row(it, lang).to_vec()).collect();
        let titles = words.columns.map(str::to_owned);
        page.push(&table(words.title, &titles, &rows, &[], lang));
        if first > 0 {
            page.paragraph(&lang.more(first));
        }
    }
    if !history.unreadable.is_empty() {
        page.paragraph(&format!("{}:", words.unreadable));
        page.list(&history.unreadable);
    }
    page.close_section();
    page.open_section("trends", words.trends);
    page.paragraph(words.caption);
    let trends = history.trends();
    page.push("<div class=\"panels\">\n");
    for trend in &trends {
        let svg = trend::draw(trend.metric, trend.unit, &trend.points, trend.ends, lang);
        page.push(&svg);
    }
    page.push("</div>\n");
    let rows: Vec<Vec<String>> = trends.iter().map(|trend| figures(trend, lang)).collect();
    let titles = words.trend_columns.map(str::to_owned);
    page.push(&table(words.trends, &titles, &rows, &[1, 2, 3, 4], lang));
    page.close_section();
    page.finish()
}

/// Metric, number of runs, last, lowest and highest value, then where the level changes.
fn figures(trend: &Trend<'_>, lang: Lang) -> Vec<String> {
    let shown = trend
        .figures()
        .map(|value| lang.number(&words::value(value, trend.unit)));
    let changes = trend.changes(lang);
    let changes = changes.map_or(String::new(), |changes| format!(" ({changes})"));
    let name = format!("{}{changes}", trend.metric);
    let [last, low, high] = shown;
    vec![name, trend.points.len().to_string(), last, low, high]
}
