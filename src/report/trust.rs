//! What a verdict rests on, and the digests of what was tested.

use super::wording::{Lang, Noun};
use super::{certificate, digest, likelihood, machine};
use crate::gate::earlier::SelftestFound;
use crate::gate::file::{AgreementFile, EvidenceFile, ReportFile};
use crate::record::{ModelIdentity, Role, RunRecord, WorkerFacts};

/// What was completed, on which machine, under which policy.
pub(super) fn trust(lang: Lang, file: &ReportFile) -> Vec<String> {
    let policy = &file.policy;
    let evidence = file.evidence.iter();
    let mut lines: Vec<String> = evidence
        .map(|evidence| evidence_line(lang, evidence, file.agreement.as_ref()))
        .collect();
    let likelihoods = file.likelihoods.iter();
    lines.extend(likelihoods.flat_map(|file| likelihood::lines(lang, file)));
    lines.extend(
        file.evidence
            .iter()
            .map(|evidence| machine_line(lang, evidence)),
    );
    let machine = file.evidence.iter();
    let earlier = file.earlier.as_ref();
    lines.extend(machine.flat_map(|evidence| machine::lines(lang, evidence, earlier)));
    lines.extend(certificate::lines(lang, file));
    lines.extend(earlier.map(|earlier| selftest_line(lang, earlier.selftest.as_ref())));
    let mut confidence = policy.confidence;
    if !policy.slices.is_empty() {
        confidence.false_fail += confidence.slice_fail;
    }
    lines.push(format!(
        "{} {} · {}",
        lang.origin(&policy.origin),
        digest(&file.policy_sha256),
        lang.error_rates(confidence),
    ));
    lines
}

/// `self-test of this program on this machine at …: 13 of 13 cases caught`.
fn selftest_line(lang: Lang, found: Option<&SelftestFound>) -> String {
    let Some(found) = found else {
        let said = lang.pick(
            "self-test: none of this program on this machine is known; `vv-eval selftest` makes one",
            "autoteste: nenhum deste programa nesta máquina é conhecido; `vv-eval selftest` faz um",
        );
        return said.to_owned();
    };
    let missed = match found.missed.as_slice() {
        [] => String::new(),
        names => format!(
            "; {} {}",
            lang.pick("missed:", "perdidos:"),
            names.join(", ")
        ),
    };
    lang.pick(
        "self-test of this program on this machine at {at}: {n} of {of} cases caught{missed}",
        "autoteste deste programa nesta máquina em {at}: {n} de {of} casos detectados{missed}",
    )
    .replace("{at}", &found.at)
    .replace("{n}", &found.n_caught.to_string())
    .replace("{of}", &found.n_cases.to_string())
    .replace("{missed}", &missed)
}

/// `60/60 scenes in both roles, 12 with equal tokens · 6 launches × 20 pairs · one host: …`.
fn evidence_line(lang: Lang, evidence: &EvidenceFile, agreement: Option<&AgreementFile>) -> String {
    let equal = agreement.map_or(String::new(), |agreement| match agreement.absent {
        Some(_) => lang
            .pick(", other tokenizers", ", tokenizadores diferentes")
            .to_owned(),
        None => lang
            .pick(", {} with equal tokens", ", {} com tokens iguais")
            .replace("{}", &agreement.n_exact.to_string()),
    });
    let (base, cand) = (&evidence.baseline_record, &evidence.candidate_record);
    let done = base.outputs.len().min(cand.outputs.len());
    let n_launches = base.launches.len().min(cand.launches.len());
    let host = &base.host;
    let planned = base.plan.scene_ids.len();
    let scenes = lang.pick("scenes in both roles", "cenas nos dois modelos");
    let on = lang.pick("on", "em");
    format!(
        "{done}/{planned} {scenes}{equal} · {n_launches} {} × {} · {}, kernel {} {on} {}",
        lang.unit("launches"),
        lang.count(base.plan.pairs_per_launch, Noun::Pair),
        lang.count(base.plan.threads, Noun::Thread),
        host.kernel,
        host.cpu,
    )
}

/// `20 scenes again alone, with equal tokens · head int8 · huge pages after load: …`.
fn machine_line(lang: Lang, evidence: &EvidenceFile) -> String {
    let records = [&evidence.baseline_record, &evidence.candidate_record];
    let n_repeated = |record: &RunRecord| {
        let outputs = record.outputs.iter();
        outputs.filter(|output| output.times.is_some()).count()
    };
    let n_repeated = records.map(n_repeated).into_iter().min().unwrap_or(0);
    let [base, cand] = records.map(|record| {
        let shares = record.workers.iter().map(WorkerFacts::huge_share);
        lang.huge_pages(role_name(lang, record.role), shares)
    });
    format!(
        "{} {} · {} {} · {} {base}, {cand}",
        lang.count(n_repeated, Noun::Scene),
        lang.pick(
            "again alone, with equal tokens",
            "outra vez sozinhas, com tokens iguais"
        ),
        lang.pick("head", "camada de saída"),
        records[0].load.head,
        lang.pick("huge pages after load:", "páginas grandes após a carga:"),
    )
}

/// A role in a sentence.
pub(super) fn role_name(lang: Lang, role: Role) -> &'static str {
    match role {
        Role::Baseline => lang.words().baseline,
        Role::Candidate => lang.words().candidate,
    }
}

/// Digests of both models, the scenes, and the program.
pub(super) fn tested(lang: Lang, file: &ReportFile) -> Vec<String> {
    let model = |role: Role, model: &ModelIdentity| {
        let card = model
            .card
            .as_deref()
            .map_or(String::new(), |card| format!(" · {card}"));
        let state = lang.pinned(model.is_pinned);
        let role = role_name(lang, role);
        format!("{role} {} ({state}){card}", digest(&model.release_digest))
    };
    let mut lines = vec![
        model(Role::Candidate, &file.candidate),
        model(Role::Baseline, &file.baseline),
    ];
    lines.extend(same_layers(lang, &file.baseline, &file.candidate));
    if let Some(scenes) = &file.scenes {
        lines.push(format!(
            "{} {}@{} {} · prompt {} · {} {} · {}",
            lang.unit("scenes"),
            scenes.name,
            scenes.version,
            digest(&scenes.scenes_sha256),
            digest(&scenes.prompt_sha256),
            lang.pick("lexicon", "léxico"),
            digest(&scenes.lexicon_sha256),
            scenes.renderer,
        ));
    }
    if let Some(evidence) = &file.evidence {
        let record = &evidence.baseline_record;
        let [run, at] = [lang.pick("run", "execução"), lang.pick("at", "em")];
        let key = file.comparability_key.map_or(String::new(), |key| {
            let name = lang.pick("comparability key", "chave de comparabilidade");
            format!(" · {name} {}", digest(&key))
        });
        lines.push(format!(
            "vv-eval {} · rustc {} · {run} {} {at} {}{key}",
            record.host.vv_eval_version, record.host.rustc, record.run_id, record.started_at
        ));
    }
    lines
}

/// The command that measures the same scenes again, models to be filled in.
pub(super) fn again(file: &ReportFile) -> Option<String> {
    let scenes = file.scenes.as_ref()?;
    Some(format!(
        "vv-eval compare BASELINE CANDIDATE --scenes {}@{}",
        scenes.name, scenes.version
    ))
}

/// What equal digests of the layers prove of two models that are not the same files.
pub(super) fn same_layers(
    lang: Lang,
    baseline: &ModelIdentity,
    candidate: &ModelIdentity,
) -> Option<String> {
    let layers = baseline.layers_sha256.as_ref()?;
    if candidate.layers_sha256.as_ref() != Some(layers)
        || baseline.release_digest == candidate.release_digest
    {
        return None;
    }
    // The container is the second part of a card.
    let container = |model: &ModelIdentity| {
        let mut parts = model.card.as_deref()?.split(" · ");
        parts.nth(1).map(str::to_owned)
    };
    let containers = container(baseline).zip(container(candidate));
    let containers = containers.filter(|(a, b)| a != b);
    Some(lang.same_layers(&digest(layers), containers.as_ref()))
}
