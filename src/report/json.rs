//! The canonical report as bytes.

use crate::gate::file::ReportFile;

/// `file` as indented JSON with a line feed at the end; equal reports give equal bytes.
///
/// # Panics
/// Never: a report is plain data with text keys.
pub fn render(file: &ReportFile) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(file).expect("a report is plain data");
    bytes.push(b'\n');
    bytes
}
