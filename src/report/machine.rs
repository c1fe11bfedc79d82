//! What the report says of the machine and of the run's history.

use super::wording;
use crate::gate::file::EvidenceFile;
use crate::gate::health::{COSTS, flags, noise_floor};
use crate::gate::words::signed;

/// One line each: flags, noise floor, an early end, a resumed run, outputs of earlier runs.
pub(super) fn lines(evidence: &EvidenceFile) -> Vec<String> {
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let mut lines: Vec<String> = flags(base, cand)
        .into_iter()
        .map(|flag| format!("the machine: {}", flag.text))
        .collect();
    let floors: Vec<String> = COSTS
        .into_iter()
        .filter_map(|(cost, metric)| {
            let floor = noise_floor(base, cand, cost)?.map(f64::exp_m1);
            let [point, low, high] = [floor.point, floor.low, floor.high].map(|x| signed(x, 1));
            Some(format!("{metric} {point} % [{low}, {high}]"))
        })
        .collect();
    if !floors.is_empty() {
        lines.push(format!(
            "noise floor, the baseline beside itself in {}: {}",
            wording::count_of(base.controls.len(), "launch", "launches"),
            floors.join(", ")
        ));
    }
    lines.extend(base.plan.stopped.clone());
    if base.n_resumed > 0 {
        let times = wording::count(base.n_resumed, "time");
        lines.push(format!(
            "killed and resumed {times}; nothing was done twice"
        ));
    }
    let n_reused = base.reused_outputs.len() + cand.reused_outputs.len();
    if n_reused > 0 {
        lines.push(format!(
            "{} of earlier runs with the same files, prompts, limits and program; times never",
            wording::count(n_reused, "output")
        ));
    }
    lines
}
