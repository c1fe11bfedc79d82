//! What the report says of the machine and of the run's history.

use super::wording::{Lang, Noun};
use crate::gate::file::EvidenceFile;
use crate::gate::health::{COSTS, flags, noise_floor};
use crate::gate::words::signed;

/// One line each: flags, noise floor, an early end, a resumed run, outputs of earlier runs.
pub(super) fn lines(lang: Lang, evidence: &EvidenceFile) -> Vec<String> {
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let machine = lang.pick("the machine", "a máquina");
    let mut lines: Vec<String> = flags(base, cand)
        .into_iter()
        .map(|flag| format!("{machine}: {}", lang.sentence(&flag.text)))
        .collect();
    let floors: Vec<String> = COSTS
        .into_iter()
        .filter_map(|(cost, metric)| {
            let floor = noise_floor(base, cand, cost)?.map(f64::exp_m1);
            let [point, low, high] =
                [floor.point, floor.low, floor.high].map(|x| lang.number(&signed(x, 1)));
            let between = lang.pick(",", ";");
            Some(format!("{metric} {point} % [{low}{between} {high}]"))
        })
        .collect();
    if !floors.is_empty() {
        let begin = lang.pick(
            "noise floor, the baseline beside itself in {}",
            "piso de ruído, o modelo atual ao lado de si mesmo em {}",
        );
        let launches = lang.count(base.controls.len(), Noun::Launch);
        lines.push(format!(
            "{}: {}",
            begin.replace("{}", &launches),
            floors.join(", ")
        ));
    }
    let has_launches = !base.launches.is_empty() && !cand.launches.is_empty();
    if floors.is_empty() && has_launches {
        let said = lang.pick(
            "noise floor: not measured; --control adds launches with the baseline beside itself",
            "piso de ruído: não medido; --control acrescenta lançamentos com o modelo atual ao lado de \
             si mesmo",
        );
        lines.push(said.to_owned());
    }
    lines.extend(base.plan.stopped.as_deref().map(|text| lang.sentence(text)));
    if base.n_resumed > 0 {
        let said = lang.pick(
            "killed and resumed {}; nothing was done twice",
            "interrompida e retomada {}; nada foi feito duas vezes",
        );
        lines.push(said.replace("{}", &lang.count(base.n_resumed, Noun::Time)));
    }
    let n_reused = base.reused_outputs.len() + cand.reused_outputs.len();
    if n_reused > 0 {
        let said = lang.pick(
            "{} of earlier runs with the same files, prompts, limits and program; times never",
            "{} de execuções anteriores com os mesmos arquivos, prompts, limites e programa; tempos \
             nunca",
        );
        lines.push(said.replace("{}", &lang.count(n_reused, Noun::Output)));
    }
    lines
}
