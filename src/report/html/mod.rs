//! Pages that are whole in one file: no script, no request, readable by keyboard and screen reader.
//!
//! A content-security policy in the page forbids scripts, requests and every style sheet but its
//! own, which it names by digest: text that got past the escaping would still do nothing.

mod report;

pub use report::{render, render_scene};

use super::escape::{cut, html};
use super::wording::Lang;
use crate::gate::Outcome;
use crate::units::Sha256;

const STYLE: &str = include_str!("style.css");
/// Characters of a line or a cell.
pub(super) const MOST_LINE: usize = 1_000;

/// A page in the making.
pub(super) struct Page {
    lang: Lang,
    text: String,
    is_open: bool,
}

impl Page {
    /// The head of a page.
    pub(super) fn new(lang: Lang, title: &str) -> Self {
        let (tag, title) = (lang.tag(), html(&cut(title, 200)));
        let (skip, digest) = (
            lang.words().skip,
            base64(Sha256::of(STYLE.as_bytes()).as_bytes()),
        );
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        );
        let text = format!(
            "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#main\">{skip}</a>\n"
        );
        Self {
            lang,
            text,
            is_open: false,
        }
    }

    /// The banner: mark and word of an outcome, a heading, and a line below it.
    pub(super) fn header(&mut self, outcome: Option<Outcome>, heading: &str, below: &str) {
        let class = outcome.map_or("", class);
        self.push(&format!("<header class=\"{class}\">\n"));
        if let Some(outcome) = outcome {
            let (mark, word) = self.lang.outcome(outcome);
            self.push(&format!(
                "<p class=\"verdict\"><span aria-hidden=\"true\">{mark}</span> {word}</p>\n"
            ));
        }
        self.push(&format!("<h1>{}</h1>\n", line(heading)));
        if !below.is_empty() {
            self.push(&format!("<p>{}</p>\n", line(below)));
        }
        self.push("</header>\n");
    }

    /// The navigation, by id and title of the sections; the main part begins after it.
    pub(super) fn contents(&mut self, sections: &[(&str, &str)]) {
        let name = self.lang.words().contents;
        self.push(&format!("<nav aria-label=\"{name}\">\n<ul>\n"));
        for (id, title) in sections {
            self.push(&format!("<li><a href=\"#{id}\">{}</a></li>\n", html(title)));
        }
        self.push("</ul>\n</nav>\n<main id=\"main\" tabindex=\"-1\">\n");
        self.is_open = true;
    }

    pub(super) fn open_section(&mut self, id: &str, title: &str) {
        self.push(&format!(
            "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n",
            html(title)
        ));
    }

    pub(super) fn close_section(&mut self) {
        self.push("</section>\n");
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.push(&format!("<p>{}</p>\n", line(text)));
    }

    pub(super) fn note(&mut self, text: &str) {
        self.push(&format!("<p class=\"note\">{}</p>\n", line(text)));
    }

    pub(super) fn list(&mut self, lines: &[String]) {
        self.push("<ul>\n");
        for text in lines {
            self.push(&format!("<li>{}</li>\n", line(text)));
        }
        self.push("</ul>\n");
    }

    /// Adds markup that was made safe already.
    pub(super) fn push(&mut self, markup: &str) {
        self.text.push_str(markup);
    }

    /// The bytes of the page.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.is_open {
            self.push("</main>\n");
        }
        self.push("<footer><p>vv-eval</p></footer>\n</body>\n</html>\n");
        self.text.into_bytes()
    }
}

/// Class of an outcome in the style sheet.
fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail | Outcome::Invalid => "fail",
        Outcome::Inconclusive => "open",
    }
}

/// One line of text, escaped and cut.
fn line(text: &str) -> String {
    html(&cut(text, MOST_LINE))
}

/// A table that scrolls by itself, so that the page never does sideways.
///
/// * `label`: what it holds, for those who cannot see it
/// * `right`: columns of numbers
pub(super) fn table(
    label: &str,
    titles: &[String],
    rows: &[Vec<String>],
    right: &[usize],
    lang: Lang,
) -> String {
    let rows = rows.iter().map(|row| (row.as_slice(), None));
    table_of(label, titles, rows, right, lang)
}

/// As [`table`]; an outcome colours the last cell of its row and puts a mark before it.
fn table_of<'a>(
    label: &str,
    titles: &[String],
    rows: impl Iterator<Item = (&'a [String], Option<Outcome>)>,
    right: &[usize],
    lang: Lang,
) -> String {
    let class_of = |i: usize| {
        if right.contains(&i) {
            " class=\"number\""
        } else {
            ""
        }
    };
    let (label, scroll) = (html(label), lang.words().scroll);
    let mut out = format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{label}: {scroll}\" tabindex=\"0\">\n\
         <table>\n<thead><tr>"
    );
    for (i, title) in titles.iter().enumerate() {
        out += &format!("<th scope=\"col\"{}>{}</th>", class_of(i), line(title));
    }
    out += "</tr></thead>\n<tbody>\n";
    for (cells, outcome) in rows {
        out += "<tr>";
        for (i, cell) in cells.iter().enumerate() {
            let cell = line(cell);
            let is_last = i + 1 == cells.len();
            match outcome.filter(|_| is_last) {
                Some(outcome) => {
                    let (mark, _) = lang.outcome(outcome);
                    let class = class(outcome);
                    out += &format!(
                        "<td class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {cell}</td>"
                    );
                }
                None if i == 0 => out += &format!("<th scope=\"row\">{cell}</th>"),
                None => out += &format!("<td{}>{cell}</td>", class_of(i)),
            }
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>\n</div>\n"
}

/// Base64 with padding, as a content-security policy writes digests (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= three.len() {
                let at = (bits >> (18 - 6 * digit)) & 63;
                out.push(char::from(DIGITS[at as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
