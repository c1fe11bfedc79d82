//! The canonical report as bytes.

use super::escape;
use crate::gate::file::ReportFile;

/// `file` as indented JSON with a line feed at the end; equal reports give equal bytes.
///
/// Characters that a terminal or a build log acts upon are spelled as escapes.
///
/// # Panics
/// Never: a report is plain data with text keys.
pub fn render(file: &ReportFile) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(file).expect("a report is plain data");
    text.push('\n');
    escape::json(&text).into_bytes()
}
