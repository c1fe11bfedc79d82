//! Outputs pass: each model's own words in batches, then some of them again alone.
//!
//! Batches give the texts, quickly; what a user waits for is only seen when an output is written
//! alone. Both are the same tokens, or the run is invalid: that the second writing agrees shows that
//! outputs depend on neither the process nor the company they are written in.

use std::borrow::Cow;

use crate::record::journal::Entry;
use crate::record::{NaturalTimes, OutputObservation, ReusedOutput, Role};
use crate::run::cache::Cache;
use crate::run::error::Error;
use crate::run::pair::{Pair, turns};
use crate::run::protocol::{
    BatchOutput, BatchRequest, BatchScene, GenerateAnswer, Lane, OpenRequest, Refusal,
};
use crate::run::supervisor::{At, Fault, Session};
use crate::run::{Run, SceneInput};

/// Scenes a worker is asked for at once; the roles take turns between requests.
const SCENES_PER_REQUEST: usize = 16;

/// One entry per scene of a batch.
type Written = Vec<Result<BatchOutput, Refusal>>;

/// Workers that are started when they are first needed.
type Workers = Pair<Option<Session>>;

impl Run<'_> {
    /// Lets both models answer every scene, then the first scenes again in fresh workers.
    pub(in crate::run) fn outputs_pass(&mut self) -> Result<(), Fault> {
        self.write_all()?;
        self.time_some()?;
        self.keep_outputs();
        Ok(())
    }

    /// Keeps for later runs what this one wrote, now that some of it was seen to repeat.
    fn keep_outputs(&self) {
        for role in turns(Role::Baseline) {
            let Some(cache) = self.cache(role) else {
                continue;
            };
            let record = self.records.of(role);
            for (position, output) in record.outputs.iter().enumerate() {
                let mut reused = record.reused_outputs.iter();
                if !reused.any(|it| it.scene == output.scene) {
                    cache.keep(record, &self.scene_at(position).prompt_text, output);
                }
            }
        }
    }

    /// Writes every scene that was not written yet, in batches; takes over what earlier runs wrote.
    fn write_all(&mut self) -> Result<(), Fault> {
        let n_scenes = self.plan.scene_order.len();
        let total = n_scenes + self.plan.n_timed();
        let caches = Pair {
            baseline: self.cache(Role::Baseline),
            candidate: self.cache(Role::Candidate),
        };
        let mut workers = Workers::default();
        for start in (0..n_scenes).step_by(SCENES_PER_REQUEST) {
            let end = n_scenes.min(start + SCENES_PER_REQUEST);
            let scene = self.scene_at(start);
            self.progress.step("outputs", start, total, &scene.id);
            for role in turns(self.plan.outputs_first[start]) {
                let next = self.records.of(role).outputs.len().max(start);
                let cache = caches.of(role).as_ref();
                self.write_some(&mut workers, role, next..end, cache)?;
            }
        }
        end(workers)
    }

    /// Writes the scenes of some positions, or takes them from the cache, and keeps them in order.
    fn write_some(
        &mut self,
        workers: &mut Workers,
        role: Role,
        positions: std::ops::Range<usize>,
        cache: Option<&Cache>,
    ) -> Result<(), Fault> {
        let found: Vec<_> = positions
            .clone()
            .map(|position| {
                let scene = self.scene_at(position);
                cache.and_then(|cache| cache.find(&scene.id, &scene.prompt_text))
            })
            .collect();
        let missing = positions.clone().zip(&found);
        let missing: Vec<usize> = missing
            .filter_map(|(position, found)| found.is_none().then_some(position))
            .collect();
        let written = if missing.is_empty() {
            Vec::new()
        } else {
            self.batch_or_again(workers, role, &missing)?
        };
        let mut written = written.into_iter();
        for (position, found) in positions.zip(found) {
            let scene = self.scene_at(position);
            if let Some((output, reused)) = found {
                self.keep(role, output, Some(reused))?;
                continue;
            }
            let output = written.next().expect("one entry per scene asked for");
            let output = output.map_err(|refusal| {
                let worker = workers.of_mut(role).as_mut();
                let worker = worker.expect("the worker that refused");
                worker.refused(refusal, At::scene("outputs", &scene.id))
            })?;
            let output = observed(&scene.id, output);
            self.keep(role, output, None)?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        role: Role,
        output: OutputObservation,
        reused: Option<ReusedOutput>,
    ) -> Result<(), Fault> {
        self.append(&Entry::Output {
            role,
            output: Cow::Borrowed(&output),
            reused: reused.as_ref().map(Cow::Borrowed),
        })?;
        let record = self.records.of_mut(role);
        record.outputs.push(output);
        record.reused_outputs.extend(reused);
        Ok(())
    }

    /// Writes the first scenes again, alone, and takes their times.
    fn time_some(&mut self) -> Result<(), Fault> {
        let (n_scenes, n_timed) = (self.plan.scene_order.len(), self.plan.n_timed());
        let total = n_scenes + n_timed;
        let mut workers = Workers::default();
        for position in 0..n_timed {
            let scene = self.scene_at(position);
            self.progress
                .step("outputs", n_scenes + position, total, &scene.id);
            for role in turns(self.plan.outputs_first[position]) {
                if self.records.of(role).outputs[position].times.is_some() {
                    continue;
                }
                let answer = self.output_or_again(&mut workers, role, scene)?;
                let output = &self.records.of(role).outputs[position];
                if let Err(error) = check_same(role, output, &answer) {
                    // Asking again until it happens to agree would hide it.
                    self.append(&Entry::Invalid {
                        reason: Cow::Owned(error.to_string()),
                    })?;
                    return Err(error.into());
                }
                let output = &mut self.records.of_mut(role).outputs[position];
                let times = output.times.insert(NaturalTimes {
                    ttft_ns: answer.ttft_ns,
                    itl_ns: answer.itl_ns,
                    e2e_ns: answer.e2e_ns,
                });
                let times = times.clone();
                self.append(&Entry::Times {
                    role,
                    scene: Cow::Borrowed(&scene.id),
                    times: Cow::Owned(times),
                })?;
            }
        }
        end(workers)?;
        self.progress.step("outputs", total, total, "");
        Ok(())
    }

    /// The worker of a role, started and loaded when there is none yet.
    fn ready<'w>(
        &mut self,
        workers: &'w mut Workers,
        role: Role,
    ) -> Result<&'w mut Session, Fault> {
        let slot = workers.of_mut(role);
        if slot.is_none() {
            *slot = Some(self.repeating(|run| run.loaded(role, "outputs"))?.0);
        }
        Ok(slot.as_mut().expect("just filled"))
    }

    /// One batch; once more in a fresh worker, as [`Run::repeating`] does. Then the scenes are asked
    /// for one by one, so that a second crash names its scene.
    ///
    /// * `positions`: of the planned order, at least one
    fn batch_or_again(
        &mut self,
        workers: &mut Workers,
        role: Role,
        positions: &[usize],
    ) -> Result<Written, Fault> {
        let worker = self.ready(workers, role)?;
        match self.batch(worker, positions) {
            Err(fault) => {
                self.pardon(fault)?;
                *workers.of_mut(role) = None;
                let mut written = Vec::new();
                let worker = self.ready(workers, role)?;
                for position in positions {
                    written.extend(self.batch(worker, &[*position])?);
                }
                Ok(written)
            }
            outcome => outcome,
        }
    }

    fn batch(&self, worker: &mut Session, positions: &[usize]) -> Result<Written, Fault> {
        let scenes = positions.iter();
        let scenes: Vec<&SceneInput> = scenes.map(|position| self.scene_at(*position)).collect();
        let request = BatchRequest {
            scenes: scenes
                .iter()
                .map(|scene| BatchScene {
                    scene: scene.id.clone(),
                    prompt: scene.prompt_text.clone(),
                })
                .collect(),
            max_new_tokens: self.plan.effort.max_new_tokens,
            max_batch: self.plan.effort.batch,
        };
        let (first, last) = match scenes.as_slice() {
            [only] => return worker.generate_batch(request, At::scene("outputs", &only.id)),
            [first, .., last] => (&first.id, &last.id),
            [] => return Ok(Vec::new()),
        };
        let written = worker.generate_batch(request, At::pass("outputs"));
        written.map_err(|mut fault| {
            if let Fault::Failed { failure, .. } = &mut fault {
                let n = scenes.len();
                let detail = &failure.detail;
                failure.detail =
                    format!("{detail} in a batch of {n} scenes, `{first}` to `{last}`");
            }
            fault
        })
    }

    /// One output, alone; once more in a fresh worker, as [`Run::repeating`] does.
    fn output_or_again(
        &mut self,
        workers: &mut Workers,
        role: Role,
        scene: &SceneInput,
    ) -> Result<GenerateAnswer, Fault> {
        let worker = self.ready(workers, role)?;
        match self.output(worker, scene) {
            Err(fault) => {
                self.pardon(fault)?;
                *workers.of_mut(role) = None;
                let worker = self.ready(workers, role)?;
                self.output(worker, scene)
            }
            outcome => outcome,
        }
    }

    fn output(&self, worker: &mut Session, scene: &SceneInput) -> Result<GenerateAnswer, Fault> {
        let at = At::scene("outputs", &scene.id);
        let max_new_tokens = self.plan.effort.max_new_tokens;
        let request = OpenRequest {
            scene: scene.id.clone(),
            prompt: scene.prompt_text.clone(),
            lane: Lane::Natural {
                max_new_tokens,
                ignore_stop: false,
            },
        };
        let handle = worker.open(request, at)?.handle;
        let answer = worker.generate(handle, at)?;
        worker.close(handle, at)?;
        Ok(answer)
    }
}

/// Ends the workers that were started and checks their exit statuses.
fn end(workers: Workers) -> Result<(), Fault> {
    for worker in [workers.baseline, workers.candidate].into_iter().flatten() {
        worker.bye(At::pass("outputs"))?;
    }
    Ok(())
}

fn observed(scene: &str, output: BatchOutput) -> OutputObservation {
    OutputObservation {
        scene: scene.to_owned(),
        n_prompt: output.n_prompt,
        token_ids: output.token_ids,
        text: output.text,
        stop: output.stop,
        times: None,
    }
}

/// Refuses two outputs of one scene that differ.
fn check_same(role: Role, first: &OutputObservation, second: &GenerateAnswer) -> Result<(), Error> {
    let (one, two) = (&first.token_ids, &second.token_ids);
    if one == two {
        return Ok(());
    }
    let position = one.iter().zip(two).take_while(|(a, b)| a == b).count();
    Err(Error::NotDeterministic {
        role,
        scene: first.scene.clone(),
        position,
        first: one.get(position).copied(),
        second: two.get(position).copied(),
    })
}
