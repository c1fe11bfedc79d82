//! Latency pass: launches of coin-flipped pairs of timed segments, equal work in both roles.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::calibrate::SegmentSizes;
use crate::record::journal::Entry;
use crate::record::{Launch, Role, RunRecord, Segment};
use crate::run::error::Error;
use crate::run::machine::Machine;
use crate::run::pair::{Pair, turns};
use crate::run::plan::LaunchPlan;
use crate::run::protocol::{Lane, OpenAnswer, OpenRequest, Timing};
use crate::run::seats::Seats;
use crate::run::supervisor::{At, Fault, Session};
use crate::run::{Run, end_pair};

/// Forced text is gathered up to so many bytes per token of context; a token of Portuguese text
/// has fewer.
const BYTES_PER_TOKEN: usize = 8;

/// Tokens of the warm-up, unmeasured.
const WARMUP_TOKENS: usize = 64;

/// Turns a decode segment is taken in, each some ten milliseconds for models that are fast enough.
const SLICES: usize = 8;

impl Run<'_> {
    /// Times both roles in the launches of the plan, or notes why it cannot.
    ///
    /// Ends early when a look shows that further launches would change nothing, and when the budget
    /// has no room for another launch.
    pub(in crate::run) fn latency_pass(&mut self) -> Result<(), Fault> {
        if let Some(reason) = self.reason_without_latency() {
            return self.note(format!("no latency was measured: {reason}"));
        }
        let total = self.plan.launches.len();
        self.progress.step("latency", 0, total, "calibration");
        let sizes = match self.sizes {
            Some(sizes) => sizes,
            None => self.fix_sizes()?,
        };
        let mut pace = Pace::default();
        let stopped = loop {
            let index = self.records.baseline.launches.len();
            if index >= total {
                break None;
            }
            // A stop is final: going on would be another look at the times.
            if self.stopped.is_some() {
                break self.stopped.clone();
            }
            if let Some(reason) = self.reason_to_stop(index, &pace) {
                self.append(&Entry::Stopped {
                    reason: Cow::Borrowed(&reason),
                })?;
                break Some(reason);
            }
            self.progress.step("latency", index, total, "launch");
            let begun = Instant::now();
            while self.is_control_due(index) {
                self.control(sizes)?;
            }
            // A launch counts whole or not at all.
            let plan = self.plan;
            let launch = &plan.launches[index];
            let seen = self.repeating(|run| run.launch(index, launch, sizes, |role| role))?;
            self.append(&Entry::Launch {
                baseline: Cow::Borrowed(&seen.baseline),
                candidate: Cow::Borrowed(&seen.candidate),
            })?;
            self.records.baseline.launches.push(seen.baseline);
            self.records.candidate.launches.push(seen.candidate);
            pace.add(begun.elapsed());
        };
        let n_launches = self.records.baseline.launches.len();
        for role in turns(Role::Baseline) {
            let plan = &mut self.records.of_mut(role).plan;
            plan.n_launches = n_launches;
            plan.stopped.clone_from(&stopped);
        }
        self.progress.step("latency", total, total, "");
        Ok(())
    }

    fn fix_sizes(&mut self) -> Result<SegmentSizes, Fault> {
        let sizes = self.repeating(Self::calibrate)?;
        self.append(&Entry::Calibration {
            context: sizes.context,
            prompt: sizes.prompt,
            decode: sizes.decode,
        })?;
        self.set_sizes(sizes);
        Ok(sizes)
    }

    /// Why no further launch is needed, or affordable, after `n` of them.
    fn reason_to_stop(&mut self, n: usize, pace: &Pace) -> Option<String> {
        if self.plan.effort.looks.iter().any(|look| look.launches == n) {
            let whole = |record: &RunRecord| {
                let mut record = record.clone();
                record.plan.n_launches = n;
                record
            };
            let (baseline, candidate) = (
                whole(&self.records.baseline),
                whole(&self.records.candidate),
            );
            if let Some(reason) = self.progress.look(&baseline, &candidate) {
                return Some(format!("after {n} launches: {reason}"));
            }
        }
        let budget = self.plan.effort.budget?;
        let needed = self.begun.elapsed() + pace.mean();
        (needed > budget).then(|| {
            let minutes = budget.as_secs_f64() / 60.0;
            format!("after {n} launches: the budget of {minutes:.1} minutes is used up")
        })
    }

    fn is_control_due(&self, index: usize) -> bool {
        let done = self.records.baseline.controls.len();
        self.plan
            .controls
            .get(done)
            .is_some_and(|control| control.before <= index)
    }

    /// One launch with the baseline's files in both workers.
    fn control(&mut self, sizes: SegmentSizes) -> Result<(), Fault> {
        let index = self.records.baseline.controls.len();
        let plan = self.plan;
        let launch = &plan.controls[index].launch;
        let seen = self.repeating(|run| run.launch(index, launch, sizes, |_| Role::Baseline))?;
        self.append(&Entry::Control {
            baseline: Cow::Borrowed(&seen.baseline),
            candidate: Cow::Borrowed(&seen.candidate),
        })?;
        self.records.baseline.controls.push(seen.baseline);
        self.records.candidate.controls.push(seen.candidate);
        Ok(())
    }

    fn reason_without_latency(&self) -> Option<&'static str> {
        let digest = |role| self.records.of(role).model.tokenizer_sha256;
        if self.plan.launches.is_empty() {
            Some("the plan has no launches")
        } else if self
            .inputs
            .scenes
            .iter()
            .all(|scene| scene.forced_text.trim().is_empty())
        {
            Some("no scene has a reference to force")
        } else if digest(Role::Baseline) != digest(Role::Candidate) {
            Some("the tokenizers differ, so equal text is not equal work")
        } else {
            None
        }
    }

    /// One launch, on the CPUs that are its turn.
    fn launch(
        &mut self,
        index: usize,
        plan: &LaunchPlan,
        sizes: SegmentSizes,
        model: impl Fn(Role) -> Role,
    ) -> Result<Pair<Launch>, Fault> {
        let machine = Machine::read();
        self.seats = Seats::of_launch(index, self.plan.effort.threads);
        let seen = self.measured_launch(index, plan, sizes, model, &machine);
        self.seats = None;
        seen
    }

    fn measured_launch(
        &mut self,
        index: usize,
        plan: &LaunchPlan,
        sizes: SegmentSizes,
        model: impl Fn(Role) -> Role,
        machine: &Machine,
    ) -> Result<Pair<Launch>, Fault> {
        let mut pair = self.loaded_pair(plan.spawn_first, "latency", model)?;
        let at = At::pass("latency");
        for role in turns(plan.spawn_first) {
            pair.of_mut(role)
                .warmup(WARMUP_TOKENS.min(sizes.decode), at)?;
        }
        let empty = || Launch {
            index,
            decode: Vec::new(),
            prefill: Vec::new(),
            machine: None,
            pages: None,
        };
        let mut seen = Pair {
            baseline: empty(),
            candidate: empty(),
        };
        for planned in &plan.pairs {
            let scene = &self.inputs.scenes[planned.scene].id;
            let at = At::scene("latency", scene);
            let opened = self.open_forced(&mut pair, planned.scene, sizes)?;
            for role in turns(planned.prefill_first) {
                let timing = pair.of_mut(role).prefill(opened.of(role).handle, at)?;
                let segment = segment(scene, timing, role == planned.prefill_first);
                seen.of_mut(role).prefill.push(segment);
            }
            let handles = Pair {
                baseline: opened.baseline.handle,
                candidate: opened.candidate.handle,
            };
            let first = planned.decode_first;
            let timings = interleaved(first, sizes.decode, |role, tokens| {
                pair.of_mut(role).decode(*handles.of(role), tokens, at)
            })?;
            for role in turns(first) {
                let segment = segment(scene, *timings.of(role), role == first);
                seen.of_mut(role).decode.push(segment);
            }
            for role in turns(planned.prefill_first) {
                pair.of_mut(role).close(opened.of(role).handle, at)?;
            }
        }
        for role in turns(Role::Baseline) {
            seen.of_mut(role).pages = pair.of_mut(role).snapshot(false, at)?.pages;
        }
        end_pair(pair, at)?;
        let mut machine = machine.until_now();
        machine.cpus = self.seats.as_ref().map(|seats| seats.cpus().to_vec());
        for role in turns(Role::Baseline) {
            seen.of_mut(role).machine = Some(machine.clone());
        }
        Ok(seen)
    }

    /// Prepares the same forced generation in both workers.
    ///
    /// * `scene`: index into the caller's scenes
    pub(super) fn open_forced(
        &self,
        pair: &mut Pair<Session>,
        scene: usize,
        sizes: SegmentSizes,
    ) -> Result<Pair<OpenAnswer>, Fault> {
        let text = self.forced_text(scene, sizes.context.saturating_mul(BYTES_PER_TOKEN));
        let scene = &self.inputs.scenes[scene];
        let at = At::scene("latency", &scene.id);
        let opened = Pair::try_new(Role::Baseline, |role| {
            let request = OpenRequest {
                scene: scene.id.clone(),
                prompt: scene.prompt_text.clone(),
                lane: Lane::Forced {
                    text: text.clone(),
                    prompt_tokens: sizes.prompt,
                    context_tokens: sizes.context,
                },
            };
            pair.of_mut(role).open(request, at)
        })?;
        let counts = |answer: &OpenAnswer| (answer.n_prompt, answer.n_forced);
        if counts(&opened.baseline) != counts(&opened.candidate) {
            return Err(Fault::Broken(Error::Protocol {
                role: Role::Candidate,
                detail: format!(
                    "scene `{}` has other token counts than the baseline",
                    scene.id
                ),
                stderr_tail: String::new(),
            }));
        }
        Ok(opened)
    }

    /// The scene's reference and, while that is short, those of the scenes after it.
    fn forced_text(&self, scene: usize, enough_bytes: usize) -> String {
        let order = &self.plan.scene_order;
        let start = order.iter().position(|&other| other == scene).unwrap_or(0);
        let mut text = String::new();
        for offset in 0..order.len() {
            if text.len() >= enough_bytes {
                break;
            }
            let reference = self.scene_at(start + offset).forced_text.trim();
            if !text.is_empty() && !reference.is_empty() {
                text.push(' ');
            }
            text.push_str(reference);
        }
        text
    }
}

/// One decode segment of each role in [`SLICES`] turns: A B, B A, A B, …
///
/// What slows a machine down for longer than a turn meets both roles. Turns add up; every turn has
/// the same tokens in both roles.
fn interleaved<E>(
    first: Role,
    tokens: usize,
    mut decode: impl FnMut(Role, usize) -> Result<Timing, E>,
) -> Result<Pair<Timing>, E> {
    let nothing = Timing {
        tokens: 0,
        wall_ns: 0,
        cpu_ns: 0,
        health: None,
    };
    let mut total = Pair {
        baseline: nothing,
        candidate: nothing,
    };
    let n_slices = SLICES.min(tokens).max(1);
    for slice in 0..n_slices {
        let share = tokens * (slice + 1) / n_slices - tokens * slice / n_slices;
        let leader = if slice % 2 == 0 { first } else { first.other() };
        for role in turns(leader) {
            total.of_mut(role).add(decode(role, share)?);
        }
    }
    Ok(total)
}

fn segment(scene: &str, timing: Timing, went_first: bool) -> Segment {
    Segment {
        scene: scene.to_owned(),
        n_tokens: timing.tokens,
        wall_ns: timing.wall_ns,
        cpu_ns: timing.cpu_ns,
        went_first,
        health: timing.health,
    }
}

/// How long launches take.
#[derive(Debug, Default)]
struct Pace {
    total: Duration,
    n: u32,
}

impl Pace {
    fn add(&mut self, elapsed: Duration) {
        self.total += elapsed;
        self.n += 1;
    }

    /// Mean so far; nothing before the first launch.
    fn mean(&self) -> Duration {
        self.total / self.n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who decoded how many tokens, in order.
    fn order(first: Role, tokens: usize) -> Vec<(Role, usize)> {
        let mut seen = Vec::new();
        let total = interleaved(first, tokens, |role, tokens| {
            seen.push((role, tokens));
            Ok::<_, ()>(Timing {
                tokens,
                wall_ns: 10,
                cpu_ns: 7,
                health: None,
            })
        })
        .unwrap();
        for role in turns(first) {
            let n = seen.iter().filter(|turn| turn.0 == role).count() as u64;
            let sum = total.of(role);
            assert_eq!((sum.wall_ns, sum.cpu_ns), (10 * n, 7 * n));
            assert_eq!(sum.tokens, tokens);
        }
        seen
    }

    #[test]
    fn roles_take_turns_with_the_same_tokens() {
        let (a, b) = (Role::Candidate, Role::Baseline);
        let turns = order(a, 260);
        assert_eq!(turns.len(), 2 * SLICES);
        assert_eq!(
            turns[..6],
            [(a, 32), (b, 32), (b, 33), (a, 33), (a, 32), (b, 32)]
        );
        for pair in turns.chunks(2) {
            assert_eq!(pair[0].1, pair[1].1);
        }
    }

    #[test]
    fn few_tokens_take_few_turns() {
        let (a, b) = (Role::Baseline, Role::Candidate);
        assert_eq!(order(a, 1), [(a, 1), (b, 1)]);
        assert_eq!(order(a, 2), [(a, 1), (b, 1), (b, 1), (a, 1)]);
    }

    #[test]
    fn a_turn_that_fails_ends_the_segment() {
        let mut n = 0;
        let seen = interleaved(Role::Baseline, 100, |_, tokens| {
            n += 1;
            let timing = Timing {
                tokens,
                wall_ns: 1,
                cpu_ns: 1,
                health: None,
            };
            if n == 3 { Err("broken") } else { Ok(timing) }
        });
        assert_eq!((seen, n), (Err("broken"), 3));
    }
}
