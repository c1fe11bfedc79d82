//! Tries one model in a worker of its own before anything depends on it.

use std::time::Duration;

use super::error::Error;
use super::plan::Effort;
use super::protocol::{Lane, OpenRequest};
use super::supervisor::{At, Fault, Session};
use super::worker_process::WorkerCommand;
use super::{RoleInput, SceneInput, load_request};
use crate::record::{Failure, Role};

/// Tokens a loaded model is fed to see that it computes numbers.
const WARMUP_TOKENS: usize = 8;

/// Limit of new tokens of the scene.
const SCENE_TOKENS: usize = 32;

/// What to try, and how long it may take.
#[derive(Debug, Clone)]
pub struct SmokeTest {
    /// What to start as a worker.
    pub worker: WorkerCommand,
    /// Threads it computes with.
    pub threads: usize,
    /// A scene to summarise; `None` to load the model only.
    pub scene: Option<SceneInput>,
    /// Longest time for loading, and again for the scene.
    pub timeout: Duration,
}

/// Why a model did not pass.
#[derive(Debug)]
pub enum SmokeFailure {
    /// The model failed, or its format is not read: its own words.
    Model {
        /// What happened.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The test itself could not be run.
    Broken(Error),
}

/// Loads a model in a worker, its sanity gates and the perplexity its manifest promises included,
/// feeds it some tokens, and lets it summarise the scene where there is one.
///
/// # Errors
/// [`SmokeFailure::Model`] for a model that is refused, crashes, hangs, computes what is no number
/// or writes nothing.
pub fn smoke(model: &RoleInput, test: &SmokeTest) -> Result<(), SmokeFailure> {
    let effort = Effort {
        threads: test.threads,
        scene_timeout: test.timeout,
        load_timeout: test.timeout,
        segment_timeout: test.timeout,
        ..Effort::default()
    };
    try_model(model, test, &effort).map_err(|fault| match fault {
        Fault::Failed { failure, .. } => words(&failure),
        Fault::Broken(Error::NotJudgeable { message, hint, .. }) => SmokeFailure::Model {
            problem: message,
            hint,
        },
        Fault::Broken(error) => SmokeFailure::Broken(error),
    })?
}

fn words(failure: &Failure) -> SmokeFailure {
    let mut problem = failure.detail.clone();
    if let Some(last) = failure.stderr_tail.lines().last() {
        problem.push_str(&format!(" ({last})"));
    }
    SmokeFailure::Model {
        problem,
        hint: None,
    }
}

fn try_model(
    model: &RoleInput,
    test: &SmokeTest,
    effort: &Effort,
) -> Result<Result<(), SmokeFailure>, Fault> {
    let mut session = Session::start(Role::Candidate, &test.worker, effort)?;
    session.load(load_request(model, test.threads))?;
    session.warmup(WARMUP_TOKENS, At::pass("smoke"))?;
    if let Some(scene) = &test.scene {
        let at = At::scene("smoke", &scene.id);
        let request = OpenRequest {
            scene: scene.id.clone(),
            prompt: scene.prompt_text.clone(),
            lane: Lane::Natural {
                max_new_tokens: SCENE_TOKENS,
                ignore_stop: false,
            },
        };
        let opened = session.open(request, at)?;
        let answer = session.generate(opened.handle, at)?;
        session.close(opened.handle, at)?;
        if answer.text.trim().is_empty() {
            return Ok(Err(SmokeFailure::Model {
                problem: format!("its summary of scene `{}` is empty", scene.id),
                hint: None,
            }));
        }
    }
    session.bye(At::pass("smoke"))?;
    Ok(Ok(()))
}
