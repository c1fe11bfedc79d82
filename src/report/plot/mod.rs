//! Plots of a report as inline SVG, each with its figures in a table for those who cannot see it.
//!
//! Colours are classes of the page's style sheet; shapes and dashes tell the same as colours. The
//! size of a plot does not grow with the number of scenes.

mod differences;
mod intervals;
mod memory;
mod slices;
mod svg;
mod times;
pub(super) mod trend;

use super::costs;
use super::wording::Lang;
use crate::gate::file::ReportFile;

/// A plot with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Unique in the page, of letters and hyphens.
    pub id: String,
    /// Title.
    pub title: String,
    /// What is to be seen and how to read it.
    pub caption: String,
    /// `<svg>` elements.
    pub svgs: Vec<String>,
    /// Titles of the figures.
    pub columns: Vec<String>,
    /// The figures.
    pub rows: Vec<Vec<String>>,
    /// Whether both roles are drawn, so that a key is needed.
    pub has_roles: bool,
}

/// The plots of a report, by the section they stand in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plots {
    /// Changes against their allowances, and differences scene by scene.
    pub checks: Vec<Plot>,
    /// Changes by slice.
    pub slices: Vec<Plot>,
    /// Times and memory.
    pub costs: Vec<Plot>,
}

/// Draws what the report has the figures for.
pub fn of(file: &ReportFile, lang: Lang) -> Plots {
    let costs = costs::of(file);
    let alpha = file.policy.confidence.false_pass;
    Plots {
        checks: [
            intervals::draw(&file.verdict.checks, alpha, lang),
            differences::draw(file, lang),
        ]
        .into_iter()
        .flatten()
        .collect(),
        slices: slices::draw(&file.slices, &file.verdict.slices, alpha, lang)
            .into_iter()
            .collect(),
        costs: [
            times::launches(file, lang),
            times::distributions(&costs, lang),
            memory::draw(&costs, lang),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}
