//! Untrusted text made safe for each format.
//!
//! Model output, scene ids, model names and error details may hold anything: terminal sequences,
//! direction marks that reorder a line, Markdown that pings people.

use std::fmt::Write as _;

use crate::units::is_invisible;

/// Text with every invisible or line-breaking character shown as an escape.
///
/// Line breaks become `\n`, so the result is always one line.
pub fn one_line(text: &str) -> String {
    escaped(text, false)
}

/// As [`one_line`], but line feeds stay.
pub fn lines(text: &str) -> String {
    escaped(text, true)
}

fn escaped(text: &str, keep_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if keep_lines => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    without_commands(&out)
}

/// Text that no log of a build service takes for a command.
///
/// Services read `::name::` at the start of a line, spaces aside, and `##[name]` or `##name[`
/// anywhere in it.
fn without_commands(text: &str) -> String {
    let is_harmless = !text.contains("##") && !text.contains("::");
    if is_harmless {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let body = line.trim_start();
        let line = if body.starts_with("::") {
            out.push_str(&line[..line.len() - body.len()]);
            out.push_str("\\u{3a}");
            &body[1..]
        } else {
            line
        };
        let mut name_begins = None;
        for (at, c) in line.char_indices() {
            match c {
                '#' if line[..at].ends_with('#') => name_begins = Some(at + 1),
                '[' if name_begins.is_some() => {
                    out.push_str("\\u{5b}");
                    continue;
                }
                c if c.is_ascii_alphanumeric() || c == '.' || c == '-' => {}
                _ => name_begins = None,
            }
            out.push(c);
        }
    }
    out
}

/// The text of a cell that no spreadsheet takes for a formula.
///
/// A cell that begins with one of `= + - @`, a wide form of them, a tab or a carriage return is
/// one: an apostrophe before it makes it text. Invisible characters are shown as escapes.
pub fn spreadsheet_text(text: &str) -> String {
    let starts = [
        '=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ];
    let mark = if text.starts_with(starts) { "'" } else { "" };
    format!("{mark}{}", one_line(text))
}

/// A cell of a CSV file as it stands between commas; see [`spreadsheet_text`].
pub fn csv_cell(text: &str) -> String {
    let text = spreadsheet_text(text);
    if text.contains(['"', ',']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// At most `most` characters; a longer text ends with its true length.
pub fn cut(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most).collect();
    format!("{head}… ({length} characters)")
}

/// One line of Markdown text, with no markup of its own.
///
/// Text that could become a mention, a link or HTML is shown as code, where all of these are inert.
pub fn markdown_text(text: &str) -> String {
    let line = one_line(text);
    let lower = line.to_ascii_lowercase();
    if ["@", "#", "<", "&", "://", "www.", "gh-"]
        .iter()
        .any(|risk| lower.contains(risk))
    {
        return markdown_code(&line);
    }
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '|' | '!' | '>' | '$'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// One line as inline code, safe in tables too.
pub fn markdown_code(text: &str) -> String {
    // A table splits at pipes before it reads code, and only there is `\|` a pipe: spell it out.
    let line = one_line(text).replace('|', "¦");
    let ticks = "`".repeat(longest_run(&line, '`') + 1);
    format!("{ticks} {line} {ticks}")
}

/// A block of code around `text`, fenced by more back-ticks than any run within.
pub fn markdown_block(text: &str) -> String {
    let body = lines(text);
    let fence = "`".repeat((longest_run(&body, '`') + 1).max(3));
    format!("{fence}text\n{body}\n{fence}")
}

/// Text for HTML, between tags or in a quoted attribute; line feeds stay.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in lines(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Bytes of a JSON document with what terminals and build logs act upon spelled as escapes.
///
/// The document's value stays the same: such characters stand in strings only.
pub fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    let mut units = [0; 2];
    for c in document.chars() {
        let is_command = c == '[' && ends_like_command(&out);
        if is_command || (c != '\n' && (c.is_control() || is_invisible(c))) {
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether an opening bracket here would make `##name[`, of which JSON has none outside strings.
fn ends_like_command(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    text.trim_end_matches(is_name).ends_with("##")
}

fn longest_run(text: &str, of: char) -> usize {
    let runs = text.split(|c| c != of).map(|run| run.chars().count());
    runs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_are_no_formulas_and_keep_to_their_cell() {
        assert_eq!(csv_cell("patio-07"), "patio-07");
        assert_eq!(csv_cell("=1+1"), "'=1+1");
        for start in ["+", "-", "@"] {
            assert_eq!(csv_cell(start), format!("'{start}"));
        }
        assert_eq!(csv_cell("\tx"), "'\\tx");
        assert_eq!(csv_cell("\rx"), "'\\rx");
        assert_eq!(csv_cell("a, \"b\"\nc"), "\"a, \"\"b\"\"\\nc\"");
        assert_eq!(csv_cell("=a,b"), "\"'=a,b\"");
    }

    #[test]
    fn no_line_is_a_command_of_a_build_service() {
        assert_eq!(one_line("::error::x"), "\\u{3a}:error::x");
        assert_eq!(
            one_line("  ::set-output name=a::b"),
            "  \\u{3a}:set-output name=a::b"
        );
        assert_eq!(one_line("a ::b:: c"), "a ::b:: c");
        assert_eq!(lines("a\n::error::x"), "a\n\\u{3a}:error::x");
        assert_eq!(one_line("a ##[error]b"), "a ##\\u{5b}error]b");
        assert_eq!(one_line("###vso[x] ##[y]"), "###vso\\u{5b}x] ##\\u{5b}y]");
        assert_eq!(one_line("## title [link]"), "## title [link]");
    }

    #[test]
    fn json_keeps_its_value_and_loses_its_commands() {
        let value = serde_json::json!({"a##[b": "##vso[x] \u{9b}31m\u{202e}\u{e0041} [1] \u{7f}"});
        let plain = serde_json::to_string_pretty(&value).expect("plain data");
        let escaped = json(&plain);
        assert!(
            !escaped.contains("##[") && !escaped.contains("##vso["),
            "{escaped}"
        );
        assert!(escaped.is_ascii(), "{escaped}");
        let back: serde_json::Value = serde_json::from_str(&escaped).expect("still JSON");
        assert_eq!(back, value);
        assert_eq!(json("[1, \"ação\"]"), "[1, \"ação\"]");
    }

    #[test]
    fn html_has_no_markup_of_its_own() {
        assert_eq!(
            html("<a href='x' title=\"y\">&\u{202e}</a>\n"),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;\\u{202e}&lt;/a&gt;\n"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(one_line("a\u{1b}[31mb\u{7}"), "a\\u{1b}[31mb\\u{7}");
        assert_eq!(one_line("x\r\ny\tz"), "x\\r\\ny\\tz");
        assert_eq!(
            one_line("\u{202e}gnp.exe\u{2066}"),
            "\\u{202e}gnp.exe\\u{2066}"
        );
        assert_eq!(
            one_line("\u{9b}31m\u{200b}\u{feff}"),
            "\\u{9b}31m\\u{200b}\\u{feff}"
        );
        assert_eq!(one_line("ação — 日本"), "ação — 日本");
        assert_eq!(lines("a\nb\u{2028}c"), "a\nb\\u{2028}c");
    }

    #[test]
    fn long_texts_say_how_long_they_were() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("ação longa", 4), "ação… (10 characters)");
    }

    #[test]
    fn markdown_has_no_life_of_its_own() {
        assert_eq!(markdown_text("object_recall fell"), "object\\_recall fell");
        assert_eq!(markdown_text("a | b *c*"), "a \\| b \\*c\\*");
        assert_eq!(markdown_text("ping @team"), "` ping @team `");
        assert_eq!(markdown_text("see https://x.y"), "` see https://x.y `");
        assert_eq!(markdown_text("<img src=x>"), "` <img src=x> `");
        assert_eq!(markdown_code("a`b``c|d"), "``` a`b``c¦d ```");
        assert_eq!(
            markdown_block("x\n```\n@all"),
            "````text\nx\n```\n@all\n````"
        );
    }
}
