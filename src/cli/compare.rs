//! `vv-eval compare`: joins the stages from models to verdict.

use std::time::{Duration, Instant};

use super::Failure;
use super::deliver::{Delivery, deliver};
use super::earlier::{self, Found};
use super::evidence::{score_records, tags};
use super::exit::Exit;
use super::progress::{Shown, say};
use super::settings::{self, role_index};
use crate::artifact::Resolved;
use crate::gate::certificate::{Certificate, REPLICATES};
use crate::gate::earlier::FloorFound;
use crate::gate::file::ReportFile;
use crate::gate::policy::{Check, Mode};
use crate::gate::rule::{Rule, rule};
use crate::gate::{
    Comparison, JudgeOptions, Policy, health, identical_verdict, judge, times_are_settled, waiver,
};
use crate::record::{PlannedLook, Role, RunRecord, SceneSetIdentity, Sentinels, journal};
use crate::run::{
    Effort, PairInputs, Progress, RoleInput, RunPlan, SceneInput, SeedInputs, WorkerCommand,
    identity, run_pair,
};
use crate::scene::{Scene, SceneSet, prompt};

/// Control launches of a promotion, and where they are asked for.
const CONTROLS: usize = 6;

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
    let report = match identical {
        Some(verdict) if !settings.force_run && !is_planted => {
            ReportFile::without_run(&baseline, &candidate, &settings.policy, &verdict)
        }
        _ => measured(settings)?,
    };
    let notices = settings.notices.iter().chain(&report.notices);
    let notices = notices.cloned().collect();
    let report = report.with_notices(notices);
    let delivery = Delivery {
        out: Some(&settings.out),
        format: settings.format,
        also: &settings.reports,
        lang: settings.lang,
        uses_color: settings.uses_color,
        is_quiet: settings.is_quiet,
    };
    deliver(&delivery, &report)
}

/// Runs both models and judges what was seen.
fn measured(settings: &settings::Compare) -> Result<ReportFile, Failure> {
    let inputs = inputs(settings)?;
    let plan = plan(settings, inputs.scenes.len());
    let out = &settings.out;
    let is_unfinished = out.join(journal::FILE_NAME).is_file() && !out.join("report.json").exists();
    if is_unfinished && !settings.resumes {
        say("warning: the run begun in this folder was not finished; --resume would go on from it");
    }
    let mut watch = Watch {
        shown: Shown::new(settings.is_quiet),
        policy: &settings.policy,
    };
    let begun = Instant::now();
    let records = run_pair(&inputs, &plan, &mut watch);
    watch.shown.finish(begun.elapsed());
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
    let sentinels = settings.sentinels.as_ref();
    let [baseline, candidate] = score_records(&settings.scenes, sentinels, [baseline, candidate]);
    let comparison = Comparison::new(baseline, candidate)
        .map_err(Failure::invalid)?
        .with_tags(tags(&settings.scenes));
    let options = JudgeOptions {
        judge_planted: settings.judges_planted,
    };
    let verdict = judge(&comparison, &settings.policy, options);
    let certificate = Certificate::of(&comparison, &settings.policy, REPLICATES);
    let report = ReportFile::of_comparison(&comparison, &settings.policy, &verdict)
        .with_scenes(&settings.scenes)
        .with_notices(waiver::notices(&comparison, &settings.policy))
        .with_certificate(certificate);
    // Without a cache nothing is taken over and nothing kept.
    let Some(folder) = &settings.cache_dir else {
        return Ok(report);
    };
    let report = report.with_earlier(earlier::recall(folder, comparison.baseline()));
    let is_planted = settings.planted.iter().any(Option::is_some);
    if let Some(key) = report.comparability_key
        && let Some(floor) = FloorFound::of(&comparison).filter(|_| !is_planted)
    {
        earlier::remember(Some(folder.clone()), key, Found::NoiseFloor(floor));
    }
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
        scenes: scene_inputs(&settings.scenes)
            .chain(settings.sentinels.iter().flat_map(scene_inputs))
            .collect(),
        scene_set: set_identity(&settings.scenes),
        sentinels: settings.sentinels.as_ref().map(|set| Sentinels {
            set: set_identity(set),
            ids: set.scenes.iter().map(|scene| scene.id.clone()).collect(),
        }),
        worker,
        journal_dir: settings.out.clone(),
        resumes: settings.resumes,
        cache_dir: settings
            .cache_dir
            .as_ref()
            .map(|folder| folder.join("outputs")),
    })
}

fn set_identity(set: &SceneSet) -> SceneSetIdentity {
    SceneSetIdentity {
        name: set.name.clone(),
        version: set.version.clone(),
        scenes_sha256: set.scenes_sha256,
        prompt_sha256: set.template.sha256(),
        renderer: prompt::RENDERER.to_owned(),
        lexicon_sha256: set.lexicon.sha256,
    }
}

fn scene_inputs(set: &SceneSet) -> impl Iterator<Item = SceneInput> {
    let input = |scene: &Scene| SceneInput {
        id: scene.id.clone(),
        prompt_text: set.template.render(&scene.analytic, &scene.time_base),
        forced_text: scene.references.first().cloned().unwrap_or_default(),
        references: scene.references.clone(),
    };
    set.scenes.iter().map(input)
}

fn plan(settings: &settings::Compare, n_scenes: usize) -> RunPlan {
    let seeds = SeedInputs {
        baseline: settings.baseline.files.release_digest,
        candidate: settings.candidate.files.release_digest,
        scene_set: settings.scenes.scenes_sha256,
        policy: settings.policy.digest(),
    };
    let effort = &settings.policy.effort;
    let looks = effort.looks.iter().zip(&effort.shares);
    let effort = Effort {
        n_launches: if needs_launches(&settings.policy) {
            effort.launches
        } else {
            0
        },
        looks: looks
            .map(|(&launches, &share)| PlannedLook { launches, share })
            .collect(),
        pairs_per_launch: effort.pairs,
        threads: effort.threads,
        max_new_tokens: effort.max_new_tokens,
        read_scenes: effort.likelihood_scenes,
        batch: effort.batch,
        timed_scenes: effort.timed_scenes,
        memory_runs: effort.memory_runs,
        scene_timeout: Duration::from_secs(effort.scene_timeout_s),
        worker_memory: effort.worker_memory_bytes,
        budget: settings.budget,
        controls: if settings.has_control || settings.policy.mode == Mode::Promotion {
            CONTROLS
        } else {
            0
        },
        ..Effort::default()
    };
    RunPlan::new(&seeds, n_scenes, effort)
}

/// Whether launches are worth taking: a first promotion has nobody to be faster than, unless a time
/// has a limit.
fn needs_launches(policy: &Policy) -> bool {
    let is_time =
        |check: &Check| check.required && matches!(rule(&check.metric), Some(Rule::Launches(_)));
    policy.mode != Mode::Bootstrap || policy.checks.iter().any(is_time)
}

/// Shows how far the run is and ends the launches when they have decided.
struct Watch<'a> {
    shown: Shown,
    policy: &'a Policy,
}

impl Progress for Watch<'_> {
    fn step(&mut self, phase: &str, done: usize, total: usize, detail: &str) {
        self.shown.step(phase, done, total, detail);
    }

    fn look(&mut self, baseline: &RunRecord, candidate: &RunRecord) -> Option<String> {
        // What the machine takes away now, more launches may give back.
        let is_quiet = health::flags(baseline, candidate).is_empty();
        let is_settled = is_quiet && times_are_settled(baseline, candidate, self.policy);
        is_settled.then(|| "every check on times is decided".to_owned())
    }
}
