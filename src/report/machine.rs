//! What the report says of the machine and of the run's history.

use super::wording::{Lang, Noun};
use crate::gate::earlier::{Earlier, FloorFound};
use crate::gate::file::EvidenceFile;
use crate::gate::health::{COSTS, flags, noise_floor};
use crate::gate::words::signed;

/// One line each: flags, noise floor, an early end, a resumed run, outputs of earlier runs.
pub(super) fn lines(lang: Lang, evidence: &EvidenceFile, earlier: Option<&Earlier>) -> Vec<String> {
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let machine = lang.pick("the machine", "a máquina");
    let mut lines: Vec<String> = flags(base, cand)
        .into_iter()
        .map(|flag| format!("{machine}: {}", lang.sentence(&flag.text)))
        .collect();
    lines.extend(floor_line(
        lang,
        evidence,
        earlier.and_then(|earlier| earlier.noise_floor.as_ref()),
    ));
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

/// What the baseline beside itself shows: in this run, else in an earlier one on the same machine.
fn floor_line(lang: Lang, evidence: &EvidenceFile, earlier: Option<&FloorFound>) -> Option<String> {
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let here: Vec<String> = COSTS
        .into_iter()
        .filter_map(|(cost, metric)| {
            let floor = noise_floor(base, cand, cost)?.map(f64::exp_m1);
            Some(change(lang, metric, [floor.point, floor.low, floor.high]))
        })
        .collect();
    if !here.is_empty() {
        let begin = lang.pick(
            "noise floor, the baseline beside itself in {}",
            "piso de ruído, o modelo atual ao lado de si mesmo em {}",
        );
        let launches = lang.count(base.controls.len(), Noun::Launch);
        return Some(format!(
            "{}: {}",
            begin.replace("{}", &launches),
            here.join(", ")
        ));
    }
    if base.launches.is_empty() || cand.launches.is_empty() {
        return None;
    }
    let Some(earlier) = earlier else {
        let said = lang.pick(
            "noise floor: not measured; --control adds launches with the baseline beside itself",
            "piso de ruído: não medido; --control acrescenta lançamentos com o modelo atual ao lado de \
             si mesmo",
        );
        return Some(said.to_owned());
    };
    let begin = lang.pick(
        "noise floor, not measured here; of {model} on this machine at {at} in {n} × {pairs}",
        "piso de ruído, não medido aqui; de {model} nesta máquina em {at} em {n} × {pairs}",
    );
    let changes = earlier.changes.iter();
    let changes: Vec<String> = changes
        .map(|(metric, shares)| change(lang, metric, *shares))
        .collect();
    let begin = begin
        .replace("{at}", &earlier.at)
        .replace("{pairs}", &lang.count(earlier.pairs, Noun::Pair))
        .replace("{n}", &lang.count(earlier.n_launches, Noun::Launch))
        .replace("{model}", &earlier.model);
    Some(format!("{begin}: {}", changes.join(", ")))
}

/// `cpu_ms_per_token +0.1 % [−0.5, +0.7]`.
fn change(lang: Lang, metric: &str, shares: [f64; 3]) -> String {
    let [point, low, high] = shares.map(|x| lang.number(&signed(x, 1)));
    let between = lang.pick(",", ";");
    format!("{metric} {point} % [{low}{between} {high}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::earlier::SelftestFound;
    use crate::gate::file::ReportFile;
    use crate::gate::fixture::compare_edited;
    use crate::gate::{JudgeOptions, Policy, judge};
    use crate::record::Environment;
    use crate::report::trust::trust;

    #[test]
    fn what_earlier_runs_on_the_machine_found_is_told_with_its_date() {
        let comparison = compare_edited(|base, cand| {
            for evidence in [base, cand] {
                evidence.record.environment = Some(Environment::default());
            }
        })
        .unwrap();
        let policy = Policy::built_in();
        let verdict = judge(&comparison, &policy, JudgeOptions::default());
        let file = ReportFile::of_comparison(&comparison, &policy, &verdict);
        let said = |file: &ReportFile, lang| trust(lang, file).join("\n");
        let unasked = said(&file, Lang::En);
        assert!(!unasked.contains("self-test"), "{unasked}");
        let unknown = said(
            &file.clone().with_earlier(Some(Earlier::default())),
            Lang::En,
        );
        assert!(unknown.contains("noise floor: not measured;"), "{unknown}");
        assert!(unknown.contains("self-test: none of this program"));
        let earlier = Earlier {
            selftest: Some(SelftestFound {
                at: "2026-01-02T03:04:05Z".to_owned(),
                n_caught: 12,
                n_cases: 13,
                missed: vec!["fat".to_owned()],
            }),
            noise_floor: Some(FloorFound {
                at: "2026-01-03T03:04:05Z".to_owned(),
                model: "tiny 1.1.0".to_owned(),
                n_launches: 6,
                pairs: 20,
                changes: [("cpu_ms_per_token".to_owned(), [0.001, -0.005, 0.007])].into(),
            }),
        };
        let file = file.with_earlier(Some(earlier));
        let known = said(&file, Lang::En);
        for line in [
            "noise floor, not measured here; of tiny 1.1.0 on this machine at 2026-01-03T03:04:05Z in \
             6 launches × 20 pairs: cpu_ms_per_token +0.1 % [−0.5, +0.7]",
            "self-test of this program on this machine at 2026-01-02T03:04:05Z: 12 of 13 cases \
             caught; missed: fat",
        ] {
            assert!(known.lines().any(|it| it == line), "{known}");
        }
        let portuguese = said(&file, Lang::PtBr);
        assert!(portuguese.contains("cpu_ms_per_token +0,1 % [−0,5; +0,7]"));
        assert!(portuguese.contains("12 de 13 casos detectados; perdidos: fat"));
    }
}
