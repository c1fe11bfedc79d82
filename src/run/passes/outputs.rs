//! Outputs pass: each model's own words, scene by scene, then a check that they repeat.

use crate::record::journal::Entry;
use crate::record::{OutputObservation, Role};
use crate::run::error::Error;
use crate::run::pair::{Pair, turns};
use crate::run::protocol::{Lane, OpenRequest};
use crate::run::supervisor::{At, Fault, Session};
use crate::run::{Run, SceneInput, end_pair};

/// Scenes written twice to see that outputs repeat.
const REPEATED_SCENES: usize = 3;

impl Run<'_> {
    /// Lets both models answer every scene, then the first scenes again in fresh workers.
    ///
    /// The repeated outputs need no place in the record: they are equal, or the run is invalid.
    pub(in crate::run) fn outputs_pass(&mut self) -> Result<(), Fault> {
        let n_scenes = self.plan.scene_order.len();
        let n_repeated = n_scenes.min(REPEATED_SCENES);
        let total = n_scenes + n_repeated;

        let mut pair = self.repeating(|run| run.loaded_pair(run.plan.outputs_first[0]))?;
        for position in 0..n_scenes {
            let scene = self.scene_at(position);
            self.progress.step("outputs", position, total, &scene.id);
            for role in turns(self.plan.outputs_first[position]) {
                let output = self.output_or_again(&mut pair, role, scene)?;
                self.append(&Entry::Output {
                    role,
                    output: &output,
                })?;
                self.records.of_mut(role).outputs.push(output);
            }
        }
        end_pair(pair, At::pass("outputs"))?;

        let mut pair = self.repeating(|run| run.loaded_pair(run.plan.outputs_first[0]))?;
        for position in 0..n_repeated {
            let scene = self.scene_at(position);
            self.progress
                .step("outputs", n_scenes + position, total, &scene.id);
            for role in turns(self.plan.outputs_first[position]) {
                let again = self.output_or_again(&mut pair, role, scene)?;
                check_same(role, &self.records.of(role).outputs[position], &again)?;
            }
        }
        end_pair(pair, At::pass("outputs"))?;
        self.progress.step("outputs", total, total, "");
        Ok(())
    }

    /// One output; once more in a fresh worker, as [`Run::repeating`] does.
    fn output_or_again(
        &mut self,
        pair: &mut Pair<Session>,
        role: Role,
        scene: &SceneInput,
    ) -> Result<OutputObservation, Fault> {
        match self.output(pair.of_mut(role), scene) {
            Err(fault) => {
                self.pardon(fault)?;
                *pair.of_mut(role) = self.loaded(role)?.0;
                self.output(pair.of_mut(role), scene)
            }
            outcome => outcome,
        }
    }

    fn output(&self, worker: &mut Session, scene: &SceneInput) -> Result<OutputObservation, Fault> {
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
        Ok(OutputObservation {
            scene: scene.id.clone(),
            n_prompt: answer.n_prompt,
            token_ids: answer.token_ids,
            text: answer.text,
            stop: answer.stop,
            ttft_ns: answer.ttft_ns,
            itl_ns: answer.itl_ns,
            e2e_ns: answer.e2e_ns,
        })
    }
}

/// Refuses two outputs of one scene that differ.
fn check_same(
    role: Role,
    first: &OutputObservation,
    second: &OutputObservation,
) -> Result<(), Error> {
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
