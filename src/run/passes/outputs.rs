//! Outputs pass: each model's own words in batches, then some of them again alone.
//!
//! Batches give the texts, quickly; what a user waits for is only seen when an output is written
//! alone. Both are the same tokens, or the run is invalid: that the second writing agrees shows that
//! outputs depend on neither the process nor the company they are written in.

use std::ops::Range;

use crate::record::journal::Entry;
use crate::record::{NaturalTimes, OutputObservation, Role};
use crate::run::error::Error;
use crate::run::pair::{Pair, turns};
use crate::run::protocol::{
    BatchOutput, BatchRequest, BatchScene, GenerateAnswer, Lane, OpenRequest, Refusal,
};
use crate::run::supervisor::{At, Fault, Session};
use crate::run::{Run, SceneInput, end_pair};

/// Scenes a worker is asked for at once; the roles take turns between requests.
const SCENES_PER_REQUEST: usize = 16;

/// One entry per scene of a batch.
type Written = Vec<Result<BatchOutput, Refusal>>;

impl Run<'_> {
    /// Lets both models answer every scene, then the first scenes again in fresh workers.
    pub(in crate::run) fn outputs_pass(&mut self) -> Result<(), Fault> {
        self.write_all()?;
        self.time_some()
    }

    /// Writes every scene, in batches.
    fn write_all(&mut self) -> Result<(), Fault> {
        let n_scenes = self.plan.scene_order.len();
        let total = n_scenes + self.plan.n_timed();
        let mut pair = self.repeating(|run| run.fresh_pair())?;
        for start in (0..n_scenes).step_by(SCENES_PER_REQUEST) {
            let batch = start..n_scenes.min(start + SCENES_PER_REQUEST);
            let scene = self.scene_at(start);
            self.progress.step("outputs", start, total, &scene.id);
            for role in turns(self.plan.outputs_first[start]) {
                let written = self.batch_or_again(&mut pair, role, batch.clone())?;
                for (position, output) in batch.clone().zip(written) {
                    let scene = &self.scene_at(position).id;
                    let output = output.map_err(|refusal| {
                        let at = At::scene("outputs", scene);
                        pair.of_mut(role).refused(refusal, at)
                    })?;
                    self.keep(role, scene, output)?;
                }
            }
        }
        end_pair(pair, At::pass("outputs"))
    }

    fn keep(&mut self, role: Role, scene: &str, output: BatchOutput) -> Result<(), Fault> {
        let output = OutputObservation {
            scene: scene.to_owned(),
            n_prompt: output.n_prompt,
            token_ids: output.token_ids,
            text: output.text,
            stop: output.stop,
            times: None,
        };
        self.append(&Entry::Output {
            role,
            output: &output,
        })?;
        self.records.of_mut(role).outputs.push(output);
        Ok(())
    }

    /// Writes the first scenes again, alone, and takes their times.
    fn time_some(&mut self) -> Result<(), Fault> {
        let (n_scenes, n_timed) = (self.plan.scene_order.len(), self.plan.n_timed());
        let total = n_scenes + n_timed;
        let mut pair = self.repeating(|run| run.fresh_pair())?;
        for position in 0..n_timed {
            let scene = self.scene_at(position);
            self.progress
                .step("outputs", n_scenes + position, total, &scene.id);
            for role in turns(self.plan.outputs_first[position]) {
                let answer = self.output_or_again(&mut pair, role, scene)?;
                let output = &mut self.records.of_mut(role).outputs[position];
                check_same(role, output, &answer)?;
                let times = output.times.insert(NaturalTimes {
                    ttft_ns: answer.ttft_ns,
                    itl_ns: answer.itl_ns,
                    e2e_ns: answer.e2e_ns,
                });
                let times = times.clone();
                self.append(&Entry::Times {
                    role,
                    scene: &scene.id,
                    times: &times,
                })?;
            }
        }
        end_pair(pair, At::pass("outputs"))?;
        self.progress.step("outputs", total, total, "");
        Ok(())
    }

    fn fresh_pair(&mut self) -> Result<Pair<Session>, Fault> {
        self.loaded_pair(self.plan.outputs_first[0], "outputs")
    }

    /// One batch; once more in a fresh worker, as [`Run::repeating`] does. Then the scenes are asked
    /// for one by one, so that a second crash names its scene.
    fn batch_or_again(
        &mut self,
        pair: &mut Pair<Session>,
        role: Role,
        batch: Range<usize>,
    ) -> Result<Written, Fault> {
        match self.batch(pair.of_mut(role), batch.clone()) {
            Err(fault) => {
                self.pardon(fault)?;
                *pair.of_mut(role) = self.loaded(role, "outputs")?.0;
                let mut written = Vec::new();
                for position in batch {
                    written.extend(self.batch(pair.of_mut(role), position..position + 1)?);
                }
                Ok(written)
            }
            outcome => outcome,
        }
    }

    fn batch(&self, worker: &mut Session, batch: Range<usize>) -> Result<Written, Fault> {
        let scenes: Vec<&SceneInput> = batch.map(|position| self.scene_at(position)).collect();
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
                failure.detail += &format!(" in a batch of {n} scenes, `{first}` to `{last}`");
            }
            fault
        })
    }

    /// One output, alone; once more in a fresh worker, as [`Run::repeating`] does.
    fn output_or_again(
        &mut self,
        pair: &mut Pair<Session>,
        role: Role,
        scene: &SceneInput,
    ) -> Result<GenerateAnswer, Fault> {
        match self.output(pair.of_mut(role), scene) {
            Err(fault) => {
                self.pardon(fault)?;
                *pair.of_mut(role) = self.loaded(role, "outputs")?.0;
                self.output(pair.of_mut(role), scene)
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
