//! Runs two models on one scene set and records everything seen.
//!
//! In: [`PairInputs`] (digested files, scenes, what to start as a worker) and a [`RunPlan`].
//! Out: one [`RunRecord`] per role. Judges nothing, prints nothing, loads no model: each model
//! lives in worker processes, and this side only takes turns, waits and writes down.
//!
//! Both models are loaded once to see that they can be, the baseline first. Then come four passes,
//! each in fresh workers: *memory* (one model alone), *outputs* (both models' own words in batches,
//! some of them again alone and timed), *latency* (launches of coin-flipped pairs of timed segments)
//! and *likelihood* (both models read the references and each other's words).
//! A model that crashes, hangs or computes nonsense ends the run early with
//! [`failure`](RunRecord::failure) set; that is a result, not an error.

mod cache;
mod cgroup;
pub mod environment;
mod error;
pub mod fitness;
mod health;
pub mod host;
mod lanes;
mod machine;
mod pair;
mod passes;
pub mod plan;
pub mod probe;
pub mod protocol;
pub mod reading;
mod resume;
mod seats;
mod smoke;
mod subject;
mod supervisor;
pub mod worker;
mod worker_process;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use error::Error;
pub use plan::{Effort, RunPlan, SeedInputs};
pub use smoke::{SmokeFailure, SmokeTest, smoke};
pub use subject::{load_options, text_limits};
pub use worker::worker_main;
pub use worker_process::WorkerCommand;

use crate::artifact::ModelFiles;
use crate::record::journal::{Entry, Journal};
use crate::record::{
    FileIdentity, LoadSettings, ModelIdentity, Role, RunRecord, SCHEMA_VERSION, SceneSetIdentity,
    Sentinels, WorkerFacts,
};
use crate::units::Hasher;
use cache::Cache;
use pair::Pair;
use passes::SegmentSizes;
use protocol::{FileRequest, LoadRequest};
use seats::Seats;
use supervisor::{At, Company, Fault, Session, is_worth_repeating, repetition};

/// One model of the comparison.
#[derive(Debug, Clone)]
pub struct RoleInput {
    /// Its digested files.
    pub files: ModelFiles,
    /// Label from the manifest, or the directory's name.
    pub name: String,
    /// Label from the manifest.
    pub version: Option<String>,
    /// How to load it.
    pub load: LoadSettings,
    /// The harm to plant; such a run never earns a verdict that counts.
    pub planted: Option<String>,
}

impl RoleInput {
    fn identity(&self) -> ModelIdentity {
        identity(&self.files, &self.name, self.version.as_deref())
    }
}

/// One scene as the models see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneInput {
    /// Its id.
    pub id: String,
    /// The prompt.
    pub prompt_text: String,
    /// Text fed in the forced lane: the scene's first reference.
    pub forced_text: String,
    /// Texts both models read to see how likely they find them: every reference.
    pub references: Vec<String>,
}

/// Everything a run needs to know.
#[derive(Debug, Clone)]
pub struct PairInputs {
    /// The model now pinned.
    pub baseline: RoleInput,
    /// The model proposed.
    pub candidate: RoleInput,
    /// The scenes, in the set's order.
    pub scenes: Vec<SceneInput>,
    /// What the scenes and the prompt are.
    pub scene_set: SceneSetIdentity,
    /// Which of the scenes are sentinels; `None` when none are.
    pub sentinels: Option<Sentinels>,
    /// What to start as a worker.
    pub worker: WorkerCommand,
    /// Folder of the journal.
    pub journal_dir: PathBuf,
    /// Whether to go on from the journal that is there, if one is.
    pub resumes: bool,
    /// Folder of outputs of earlier runs; `None` computes everything again and keeps nothing.
    pub cache_dir: Option<PathBuf>,
}

impl PairInputs {
    fn role(&self, role: Role) -> &RoleInput {
        match role {
            Role::Baseline => &self.baseline,
            Role::Candidate => &self.candidate,
        }
    }
}

/// Hears how far a run is.
pub trait Progress {
    /// A step was done. Never called while a segment is timed.
    ///
    /// * `phase`: `memory`, `outputs`, `latency` or `likelihood`
    /// * `done`, `total`: steps of the phase
    /// * `detail`: a scene id or a role
    fn step(&mut self, phase: &str, done: usize, total: usize, detail: &str);

    /// Asked at every look of the plan but the last, between launches: whether further launches
    /// would change nothing any more, and why. Both records are as a whole run of so many launches
    /// would leave them.
    fn look(&mut self, baseline: &RunRecord, candidate: &RunRecord) -> Option<String> {
        let _ = (baseline, candidate);
        None
    }
}

/// A run in progress.
struct Run<'a> {
    inputs: &'a PairInputs,
    plan: &'a RunPlan,
    progress: &'a mut dyn Progress,
    journal: Journal,
    records: Pair<RunRecord>,
    notes: Vec<String>,
    /// Why launches ended before the plan did.
    stopped: Option<String>,
    /// Whether a role's worker has crashed or hung before; the second time is a failure, wherever
    /// it happens.
    is_pardoned: Pair<bool>,
    /// Whether a role's model has been loaded alone.
    loads: Pair<bool>,
    /// Sizes of the timed segments, once they are fixed.
    sizes: Option<SegmentSizes>,
    /// CPUs that workers started now are kept on; all of them when `None`.
    seats: Option<Seats>,
    /// Workers that hold models.
    company: Company,
    /// When this process began to work on the run.
    begun: Instant,
}

/// Runs both models through the plan.
///
/// Workers die with the thread that calls this; see `worker_process`.
///
/// # Errors
/// [`Error`] when there is no pair of records to judge. A failing model is not an error.
pub fn run_pair(
    inputs: &PairInputs,
    plan: &RunPlan,
    progress: &mut dyn Progress,
) -> Result<(RunRecord, RunRecord), Error> {
    check(inputs, plan)?;
    let mut run = Run::open(inputs, plan, progress)?;
    // A model that failed before the run was killed has failed.
    if !run.has_failed() {
        match run.passes() {
            Ok(()) => {}
            Err(Fault::Failed { role, failure }) => {
                run.journal.append(&Entry::Failure {
                    role,
                    failure: Cow::Borrowed(&failure),
                })?;
                run.records.of_mut(role).failure = Some(*failure);
            }
            Err(Fault::Broken(error)) => return Err(error),
        }
    }
    let Pair {
        mut baseline,
        mut candidate,
    } = run.records;
    baseline.notes.clone_from(&run.notes);
    candidate.notes = run.notes;
    Ok((baseline, candidate))
}

fn check(inputs: &PairInputs, plan: &RunPlan) -> Result<(), Error> {
    let found = inputs.scenes.len();
    if found == 0 {
        return Err(Error::NoScenes);
    }
    let planned = plan.scene_order.len();
    if planned != found {
        return Err(Error::ForeignPlan { planned, found });
    }
    for files in [&inputs.baseline.files, &inputs.candidate.files] {
        let paths = files
            .files
            .values()
            .map(crate::artifact::VerifiedArtifact::path);
        for path in paths.chain([files.origin.as_path()]) {
            if path.to_str().is_none() {
                return Err(Error::PathNotUtf8 {
                    path: path.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// The records before anything was observed. Asks a worker which kernel it chose.
fn empty_records(
    inputs: &PairInputs,
    plan: &RunPlan,
    started_at: &str,
) -> Result<Pair<RunRecord>, Error> {
    let session = Session::start(Role::Baseline, &inputs.worker, &plan.effort)?;
    let host = host::collect(&session.hello().kernel);
    drop(session);
    let environment = environment::collect();
    let mut run_id = Hasher::default();
    run_id.update(plan.seed.as_bytes());
    run_id.update(format!("{started_at} {}", std::process::id()).as_bytes());
    let run_id = run_id.finish().short();
    let scene_ids: Vec<&str> = inputs
        .scenes
        .iter()
        .map(|scene| scene.id.as_str())
        .collect();
    Pair::try_new(Role::Baseline, |role| {
        Ok(RunRecord {
            schema_version: SCHEMA_VERSION,
            run_id: run_id.clone(),
            role,
            started_at: started_at.to_owned(),
            model: inputs.role(role).identity(),
            scenes: inputs.scene_set.clone(),
            sentinels: inputs.sentinels.clone(),
            host: host.clone(),
            plan: plan.summary(&scene_ids, None),
            load: inputs.role(role).load.clone(),
            workers: Vec::new(),
            planted: inputs.role(role).planted.clone(),
            memory: Vec::new(),
            outputs: Vec::new(),
            launches: Vec::new(),
            readings: Vec::new(),
            failure: None,
            notes: Vec::new(),
            environment: Some(environment.clone()),
            controls: Vec::new(),
            n_repeated_launches: 0,
            n_resumed: 0,
            reused_outputs: Vec::new(),
        })
    })
}

/// What is known of a model before it was loaded.
///
/// * `name`, `version`: labels of the manifest; without one, the directory's name and `None`
pub fn identity(files: &ModelFiles, name: &str, version: Option<&str>) -> ModelIdentity {
    let identities = files.files.iter().map(|(name, file)| FileIdentity {
        name: name.clone(),
        sha256: file.sha256(),
        size_bytes: file.size(),
    });
    ModelIdentity {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        is_pinned: files.is_pinned,
        release_digest: files.release_digest,
        files: identities.collect(),
        card: None,
        tokenizer_sha256: None,
        layers_sha256: None,
    }
}

impl<'a> Run<'a> {
    /// Begins the run, or goes on from its journal.
    fn open(
        inputs: &'a PairInputs,
        plan: &'a RunPlan,
        progress: &'a mut dyn Progress,
    ) -> Result<Self, Error> {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let mut records = empty_records(inputs, plan, &crate::units::rfc3339(seconds))?;
        let header = resume::header(inputs, &records.baseline);
        let found = if inputs.resumes {
            Journal::resume(&inputs.journal_dir)?
        } else {
            None
        };
        let (journal, entries) = if let Some((mut journal, mut entries)) = found {
            let Entry::Header(before) = entries.remove(0) else {
                return Err(Error::JournalOrder { line: 1 });
            };
            resume::check_same(&before, &header)?;
            for role in pair::turns(Role::Baseline) {
                let record = records.of_mut(role);
                record.run_id.clone_from(&before.run_id);
                record.started_at.clone_from(&before.started_at);
            }
            journal.append(&Entry::Resumed)?;
            entries.push(Entry::Resumed);
            (journal, entries)
        } else {
            let mut journal = Journal::create(&inputs.journal_dir)?;
            journal.append(&Entry::Header(Cow::Borrowed(&header)))?;
            (journal, Vec::new())
        };
        let mut run = Self {
            inputs,
            plan,
            progress,
            journal,
            records,
            notes: Vec::new(),
            stopped: None,
            is_pardoned: Pair::default(),
            loads: Pair::default(),
            sizes: None,
            seats: None,
            company: Company::default(),
            begun: Instant::now(),
        };
        run.replay(entries)?;
        Ok(run)
    }

    fn passes(&mut self) -> Result<(), Fault> {
        // The baseline first: whether it can be loaded does not depend on a coin.
        for role in pair::turns(Role::Baseline) {
            if !*self.loads.of(role) {
                self.repeating(|run| run.load_check(role))?;
                self.append(&Entry::Loads { role })?;
                *self.loads.of_mut(role) = true;
            }
        }
        self.memory_pass()?;
        self.outputs_pass()?;
        self.latency_pass()?;
        self.likelihood_pass()
    }

    /// The outputs of earlier runs that serve a role, once its model was loaded.
    fn cache(&self, role: Role) -> Option<Cache> {
        let folder = self.inputs.cache_dir.as_ref()?;
        Cache::of(folder, self.inputs.role(role), self.records.of(role))
    }

    /// Loads a model once in a worker of its own and lets it read the built-in texts where its
    /// manifest limits their perplexity. Measured workers do not repeat that: it would stand in
    /// their peak memory.
    fn load_check(&mut self, role: Role) -> Result<(), Fault> {
        let settings = self.inputs.role(role).load.clone();
        let (session, _) = self.loaded_with(role, "load", settings)?;
        session.bye(At::pass("load"))
    }

    /// A fresh worker of a role with its model loaded.
    ///
    /// * `pass`: what it is for, as in [`WorkerFacts`]
    fn loaded(&mut self, role: Role, pass: &str) -> Result<(Session, protocol::LoadAnswer), Fault> {
        let settings = self.inputs.role(role).load.without_limits();
        self.loaded_with(role, pass, settings)
    }

    fn loaded_with(
        &mut self,
        role: Role,
        pass: &str,
        settings: LoadSettings,
    ) -> Result<(Session, protocol::LoadAnswer), Fault> {
        let mut session = Session::start(role, &self.inputs.worker, &self.plan.effort)?;
        session.join(&self.company);
        // Before the model comes, so that its memory and threads come to be there too.
        if self
            .seats
            .as_ref()
            .is_some_and(|seats| !seats.keep(session.hello().pid))
        {
            self.seats = None;
        }
        let mut request = load_request(self.inputs.role(role), self.plan.effort.threads);
        request.settings = settings;
        let answer = session.load(request)?;
        let record = self.records.of_mut(role);
        record.model.card = Some(answer.card.clone());
        record.model.tokenizer_sha256 = Some(answer.tokenizer_sha256);
        record.model.layers_sha256 = answer.layers_sha256;
        let facts = WorkerFacts {
            pass: pass.to_owned(),
            kernel: session.hello().kernel.clone(),
            threads: answer.threads,
            anon_bytes: answer.anon_bytes,
            huge_bytes: answer.huge_bytes,
        };
        record.workers.push(facts.clone());
        let model = record.model.clone();
        self.append(&Entry::Worker {
            role,
            facts: Cow::Owned(facts),
            model: Cow::Owned(model),
        })?;
        Ok((session, answer))
    }

    /// A fresh pair of loaded workers, spawned and loaded one after the other.
    ///
    /// * `model`: whose model stands in the place of which role; its worker answers for it
    fn loaded_pair(
        &mut self,
        first: Role,
        pass: &str,
        model: impl Fn(Role) -> Role,
    ) -> Result<Pair<Session>, Fault> {
        Pair::try_new(first, |place| {
            self.loaded(model(place), pass).map(|(session, _)| session)
        })
    }

    /// The scene at a position of the planned order.
    fn scene_at(&self, position: usize) -> &'a SceneInput {
        let order = &self.plan.scene_order;
        &self.inputs.scenes[order[position % order.len()]]
    }

    /// Does a unit of work; once more, in fresh workers, when a worker crashed, hung or was killed.
    fn repeating<T>(
        &mut self,
        mut unit: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match unit(self) {
            Err(fault) => {
                self.pardon(fault)?;
                unit(self)
            }
            outcome => outcome,
        }
    }

    /// Forgives a role its first crash or hang, for which the machine may be to blame, and notes
    /// it. The other failures are the model's own words and would be the same again.
    fn pardon(&mut self, fault: Fault) -> Result<(), Fault> {
        let Fault::Failed { role, failure } = fault else {
            return Err(fault);
        };
        if !is_worth_repeating(failure.kind) || *self.is_pardoned.of(role) {
            return Err(Fault::Failed { role, failure });
        }
        // Only whole launches stand in the record: whatever fails in that pass is done again.
        let repeats_launch = failure.pass == "latency";
        let text = repetition(role, &failure);
        self.note_that(text, Some(role), repeats_launch)
    }

    fn append(&mut self, unit: &Entry) -> Result<(), Fault> {
        Ok(self.journal.append(unit).map_err(Error::from)?)
    }

    fn note(&mut self, text: String) -> Result<(), Fault> {
        self.note_that(text, None, false)
    }

    fn note_that(
        &mut self,
        text: String,
        pardons: Option<Role>,
        repeats_launch: bool,
    ) -> Result<(), Fault> {
        self.append(&Entry::Note {
            text: Cow::Borrowed(&text),
            pardons,
            repeats_launch,
        })?;
        self.take_note(text, pardons, repeats_launch);
        Ok(())
    }

    fn take_note(&mut self, text: String, pardons: Option<Role>, repeats_launch: bool) {
        if let Some(role) = pardons {
            *self.is_pardoned.of_mut(role) = true;
        }
        for role in pair::turns(Role::Baseline) {
            self.records.of_mut(role).n_repeated_launches += usize::from(repeats_launch);
        }
        self.notes.push(text);
    }

    fn count_resumption(&mut self) {
        for role in pair::turns(Role::Baseline) {
            self.records.of_mut(role).n_resumed += 1;
        }
    }

    fn set_sizes(&mut self, sizes: SegmentSizes) {
        for role in pair::turns(Role::Baseline) {
            self.records.of_mut(role).plan.segment_tokens = Some(sizes.decode);
        }
        self.sizes = Some(sizes);
    }
}

fn load_request(input: &RoleInput, threads: usize) -> LoadRequest {
    let files = input.files.files.iter();
    LoadRequest {
        files: files
            .map(|(name, file)| FileRequest {
                name: name.clone(),
                path: file.path().to_owned(),
                sha256: file.sha256(),
                size_bytes: file.size(),
            })
            .collect(),
        is_pinned: input.files.is_pinned,
        release_digest: input.files.release_digest,
        origin: input.files.origin.clone(),
        settings: input.load.clone(),
        threads,
        planted: input.planted.clone(),
    }
}

/// Ends both workers of a pair and checks their exit statuses.
fn end_pair(pair: Pair<Session>, at: At) -> Result<(), Fault> {
    pair.baseline.bye(at)?;
    pair.candidate.bye(at)
}

#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod tests;
