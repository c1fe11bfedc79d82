//! `vv-eval compare`: joins the stages from models to verdict.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Failure;
use super::args::Format;
use super::exit::Exit;
use super::output::print;
use super::progress::{Shown, say};
use super::settings::{self, role_index};
use crate::artifact::Resolved;
use crate::durable::{self, write_atomic};
use crate::gate::file::ReportFile;
use crate::gate::{Comparison, Evidence, JudgeOptions, Outcome, identical_verdict, judge, waiver};
use crate::metric::outputs::{self, Job, Said};
use crate::record::{Role, RunRecord, SceneSetIdentity};
use crate::report::{Report, json, markdown, terminal};
use crate::run::{
    Effort, PairInputs, RoleInput, RunPlan, SceneInput, SeedInputs, WorkerCommand, identity,
    run_pair,
};
use crate::scene::{Scene, SceneSet, prompt};

/// Fresh runs of the memory pass per role.
const MEMORY_RUNS: usize = 3;

/// Runs the comparison, writes its reports, prints one, and gives the verdict's exit code.
pub(super) fn run(settings: &settings::Compare) -> Result<Exit, Failure> {
    for (role, model) in [
        ("baseline", &settings.baseline),
        ("candidate", &settings.candidate),
    ] {
        for warning in &model.warnings {
            say(&format!("warning: {role}: {warning}"));
        }
    }
    let [baseline, candidate] = [&settings.baseline, &settings.candidate]
        .map(|model| identity(&model.files, &model.name, model.version.as_deref()));
    let is_planted = settings.planted.iter().any(Option::is_some);
    let identical = identical_verdict(&baseline, &candidate);
    let mut report = match identical {
        Some(verdict) if !settings.force_run && !is_planted => {
            ReportFile::without_run(&baseline, &candidate, &settings.policy, &verdict)
        }
        _ => measured(settings)?,
    };
    report.notices.splice(..0, settings.notices.iter().cloned());
    deliver(settings, &report)
}

/// Runs both models and judges what was seen.
fn measured(settings: &settings::Compare) -> Result<ReportFile, Failure> {
    let inputs = inputs(settings)?;
    let plan = plan(settings, inputs.scenes.len());
    let mut progress = Shown::new(settings.is_quiet);
    let begun = Instant::now();
    let records = run_pair(&inputs, &plan, &mut progress);
    progress.finish(begun.elapsed());
    let (baseline, candidate) = records.map_err(|error| {
        let exit = if error.is_internal() {
            Exit::Internal
        } else {
            Exit::Invalid
        };
        Failure::invalid(error).with_exit(exit)
    })?;
    for record in [&baseline, &candidate] {
        record.save(&settings.out).map_err(Failure::invalid)?;
    }
    let [baseline, candidate] = evidence(&settings.scenes, [baseline, candidate]);
    let comparison = Comparison::new(baseline, candidate).map_err(Failure::invalid)?;
    let options = JudgeOptions {
        judge_planted: settings.judges_planted,
    };
    let verdict = judge(&comparison, &settings.policy, options);
    let mut report = ReportFile::of_comparison(&comparison, &settings.policy, &verdict);
    report.notices = waiver::notices(&comparison, &settings.policy);
    Ok(report)
}

fn inputs(settings: &settings::Compare) -> Result<PairInputs, Failure> {
    let worker = WorkerCommand::this_program().map_err(|error| {
        let hint = "vv-eval must be able to start itself";
        Failure::usage(format!("cannot find this program: {error}"), hint).with_exit(Exit::Internal)
    })?;
    let role = |role: Role, model: &Resolved| RoleInput {
        files: model.files.clone(),
        name: model.name.clone(),
        version: model.version.clone(),
        load: settings.load[role_index(role)].clone(),
        planted: settings.planted[role_index(role)].clone(),
    };
    Ok(PairInputs {
        baseline: role(Role::Baseline, &settings.baseline),
        candidate: role(Role::Candidate, &settings.candidate),
        scenes: scene_inputs(&settings.scenes),
        scene_set: SceneSetIdentity {
            name: settings.scenes.name.clone(),
            version: settings.scenes.version.clone(),
            scenes_sha256: settings.scenes.scenes_sha256,
            prompt_sha256: settings.scenes.template.sha256(),
            renderer: prompt::RENDERER.to_owned(),
            lexicon_sha256: settings.scenes.lexicon.sha256,
        },
        worker,
        journal_dir: settings.out.clone(),
    })
}

fn scene_inputs(set: &SceneSet) -> Vec<SceneInput> {
    let input = |scene: &Scene| SceneInput {
        id: scene.id.clone(),
        prompt_text: set.template.render(&scene.analytic, &scene.time_base),
        forced_text: scene.references.first().cloned().unwrap_or_default(),
    };
    set.scenes.iter().map(input).collect()
}

fn plan(settings: &settings::Compare, n_scenes: usize) -> RunPlan {
    let seeds = SeedInputs {
        baseline: settings.baseline.files.release_digest,
        candidate: settings.candidate.files.release_digest,
        scene_set: settings.scenes.scenes_sha256,
        policy: settings.policy.digest(),
    };
    let effort = &settings.policy.effort;
    let effort = Effort {
        n_launches: effort.launches,
        pairs_per_launch: effort.pairs,
        threads: effort.threads,
        max_new_tokens: effort.max_new_tokens,
        memory_runs: MEMORY_RUNS,
        scene_timeout: Duration::from_secs(effort.scene_timeout_s),
        ..Effort::default()
    };
    RunPlan::new(&seeds, n_scenes, effort)
}

/// Both records with the scores of their outputs, in planned order.
fn evidence(set: &SceneSet, records: [RunRecord; 2]) -> [Evidence; 2] {
    let by_id: HashMap<&str, &Scene> = set
        .scenes
        .iter()
        .map(|scene| (scene.id.as_str(), scene))
        .collect();
    let outputs = records.each_ref().map(|record| {
        let outputs = record.outputs.iter();
        outputs
            .map(|output| (output.scene.as_str(), output))
            .collect::<HashMap<_, _>>()
    });
    // A role that failed has outputs of the first scenes only.
    let planned = records[0].plan.scene_ids.iter();
    let jobs: Vec<Job<'_, 2>> = planned
        .filter_map(|id| {
            let scene = by_id.get(id.as_str())?;
            let said = outputs
                .each_ref()
                .map(|of| of.get(id.as_str()).map(|it| Said::from(*it)));
            Some(Job { scene, said })
        })
        .collect();
    let mut scores = [Vec::new(), Vec::new()];
    for scored in outputs::score_all(&jobs, set.lexicon) {
        for (scores, scored) in scores.iter_mut().zip(scored) {
            scores.extend(scored.map(|scored| scored.scores));
        }
    }
    let [baseline_scores, candidate_scores] = scores;
    let [baseline, candidate] = records;
    [
        Evidence {
            record: baseline,
            scores: baseline_scores,
        },
        Evidence {
            record: candidate,
            scores: candidate_scores,
        },
    ]
}

/// Writes the reports whole, then prints one; the exit code comes last.
fn deliver(settings: &settings::Compare, file: &ReportFile) -> Result<Exit, Failure> {
    let exit = Exit::from(Outcome::from(file.verdict.outcome));
    let report = Report::of(file, Some(exit.code()));
    let (json, markdown) = (json::render(file), markdown::render(&report).into_bytes());
    for (name, bytes) in [("report.json", &json), ("report.md", &markdown)] {
        write_atomic(&settings.out.join(name), bytes).map_err(Failure::invalid)?;
    }
    match settings.format {
        Format::Terminal => print(terminal::render(&report, settings.uses_color).as_bytes())?,
        Format::Json => print(&json)?,
        Format::Markdown => print(&markdown)?,
    }
    if !settings.is_quiet {
        say(&format!("reports in {}", durable::shown(&settings.out)));
    }
    Ok(exit)
}
