//! Scores in long form: one score per row.

use std::fmt::Write as _;

use super::Sheet;
use super::json::number;
use crate::metric::Score;
use crate::report::escape::csv_cell;

/// Titles of the columns.
const TITLES: &str = "scene,metric,version,unit,value,absent,detail\n";

/// The table with its titles; an absent value is an empty cell with the reason beside it.
///
/// `detail` of the rows `valid` and `fact_ok` tells what is wrong with the text.
pub fn render(sheet: &Sheet) -> String {
    let mut table = TITLES.to_owned();
    let metrics: Vec<_> = sheet.aggregates().map(|(metric, _)| metric).collect();
    for scored in &sheet.scored {
        let scores = &scored.scores;
        for metric in &metrics {
            let Some(score) = scores.scores.get(metric.id) else {
                continue;
            };
            let (value, absent) = match score {
                Score::Value(value) => (number(Some(*value)).to_string(), ""),
                Score::Absent(reason) => (String::new(), *reason),
            };
            let errors: Vec<String> = scores.reasons.iter().map(ToString::to_string).collect();
            let detail = match metric.id {
                "fact_ok" => errors.join("; "),
                "valid" => {
                    let is_form = |note: &&String| !errors.contains(note);
                    let form: Vec<&str> = scores
                        .notes
                        .iter()
                        .filter(is_form)
                        .map(String::as_str)
                        .collect();
                    form.join("; ")
                }
                _ => String::new(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "{},{},{},{},{value},{},{}",
                csv_cell(&scores.scene),
                metric.id,
                metric.version,
                metric.unit,
                csv_cell(absent),
                csv_cell(&detail),
            );
        }
    }
    table
}
