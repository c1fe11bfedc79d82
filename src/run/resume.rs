//! Takes a killed run up again: what its journal holds is put back into the records, and the passes
//! go on behind it.
//!
//! A unit counts whole or not at all, so nothing is done twice and nothing is lost. Orders come from
//! the same seed; outputs are those the killed run would have written, because they depend on
//! neither the process nor the batch.

use std::borrow::Cow;

use super::passes::SegmentSizes;
use super::{Error, PairInputs, Run};
use crate::record::journal::{Entry, Header};
use crate::record::{Environment, Role, RunRecord, SCHEMA_VERSION};

/// The first line of a run's journal.
pub(super) fn header(inputs: &PairInputs, record: &RunRecord) -> Header {
    let roles = [&inputs.baseline, &inputs.candidate];
    let environment = record.environment.as_ref();
    Header {
        schema_version: SCHEMA_VERSION,
        run_id: record.run_id.clone(),
        started_at: record.started_at.clone(),
        plan: record.plan.clone(),
        scenes: record.scenes.clone(),
        sentinels: record.sentinels.clone(),
        host: record.host.clone(),
        binary_sha256: environment.and_then(|environment| environment.binary_sha256),
        environment: environment.cloned(),
        baseline: inputs.baseline.identity(),
        candidate: inputs.candidate.identity(),
        load: roles.map(|role| role.load.clone()),
        planted: roles.map(|role| role.planted.clone()),
    }
}

/// Refuses to go on from a run that was started with anything else.
pub(super) fn check_same(before: &Header, now: &Header) -> Result<(), Error> {
    let fields = [
        same(
            "schema_version",
            &before.schema_version,
            &now.schema_version,
        ),
        same("binary_sha256", &before.binary_sha256, &now.binary_sha256),
        same("baseline", &before.baseline, &now.baseline),
        same("candidate", &before.candidate, &now.candidate),
        same("scenes", &before.scenes, &now.scenes),
        same("sentinels", &before.sentinels, &now.sentinels),
        same("load", &before.load, &now.load),
        same("planted", &before.planted, &now.planted),
        // Models and scenes are equal by now: another seed is another policy.
        same("plan.seed (the policy)", &before.plan.seed, &now.plan.seed),
        same("plan", &before.plan, &now.plan),
        same("host", &before.host, &now.host),
        // What times depend on besides: launches of one run have it in common.
        same_there("huge_page_mode", before, now, |it| {
            it.huge_page_mode.clone()
        }),
        same_there("governor", before, now, |it| it.governor.clone()),
        same_there("cpu_quota", before, now, |it| it.cpu_quota),
        same_there("memory_limit_bytes", before, now, |it| {
            it.memory_limit_bytes
        }),
    ];
    fields.into_iter().collect()
}

fn same_there<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    before: &Header,
    now: &Header,
    of: impl Fn(&Environment) -> Option<T>,
) -> Result<(), Error> {
    let there = |header: &Header| header.environment.as_ref().and_then(&of);
    same(field, &there(before), &there(now))
}

fn same<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    before: &T,
    now: &T,
) -> Result<(), Error> {
    if before == now {
        return Ok(());
    }
    Err(Error::ForeignJournal {
        field,
        before: cut(&format!("{before:?}")),
        now: cut(&format!("{now:?}")),
    })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Run<'_> {
    /// Puts the units of a journal, its header apart, into the records.
    ///
    /// # Errors
    /// [`Error::JournalOrder`] when a unit is not the next one of the plan; [`Error::EndedInvalid`].
    pub(super) fn replay(&mut self, entries: Vec<Entry<'static>>) -> Result<(), Error> {
        for (index, entry) in entries.into_iter().enumerate() {
            if let Entry::Invalid { reason } = entry {
                let reason = reason.into_owned();
                return Err(Error::EndedInvalid { reason });
            }
            // The header is line 1.
            self.replay_one(entry)
                .ok_or(Error::JournalOrder { line: index + 2 })?;
        }
        Ok(())
    }

    /// `None` for a unit that is not the next one.
    fn replay_one(&mut self, entry: Entry<'static>) -> Option<()> {
        match entry {
            Entry::Header(_) | Entry::Invalid { .. } => return None,
            Entry::Stopped { reason } => self.stopped = Some(reason.into_owned()),
            Entry::Worker { role, facts, model } => {
                let record = self.records.of_mut(role);
                record.model = model.into_owned();
                record.workers.push(facts.into_owned());
            }
            Entry::Loads { role } => *self.loads.of_mut(role) = true,
            Entry::Memory { role, run } => self.records.of_mut(role).memory.push(run.into_owned()),
            Entry::Output {
                role,
                output,
                reused,
            } => {
                let position = self.records.of(role).outputs.len();
                self.is_planned(position, &output.scene)?;
                let record = self.records.of_mut(role);
                record.outputs.push(output.into_owned());
                record.reused_outputs.extend(reused.map(Cow::into_owned));
            }
            Entry::Times { role, scene, times } => {
                let mut outputs = self.records.of_mut(role).outputs.iter_mut();
                let output = outputs.find(|output| output.scene == scene)?;
                if output.times.replace(times.into_owned()).is_some() {
                    return None;
                }
            }
            Entry::Calibration {
                context,
                prompt,
                decode,
            } => self.set_sizes(SegmentSizes {
                context,
                prompt,
                decode,
            }),
            Entry::Launch {
                baseline,
                candidate,
            } => {
                let next = self.records.baseline.launches.len();
                if (baseline.index, candidate.index) != (next, next) {
                    return None;
                }
                self.records.baseline.launches.push(baseline.into_owned());
                self.records.candidate.launches.push(candidate.into_owned());
            }
            Entry::Control {
                baseline,
                candidate,
            } => {
                let next = self.records.baseline.controls.len();
                if (baseline.index, candidate.index) != (next, next) {
                    return None;
                }
                self.records.baseline.controls.push(baseline.into_owned());
                self.records.candidate.controls.push(candidate.into_owned());
            }
            Entry::Readings {
                baseline,
                candidate,
            } => {
                let position = self.n_read();
                for reading in baseline.iter().chain(candidate.iter()) {
                    self.is_planned(position, &reading.scene)?;
                }
                if baseline.is_empty() || baseline.len() != candidate.len() {
                    return None;
                }
                let records = &mut self.records;
                records.baseline.readings.extend(baseline.into_owned());
                records.candidate.readings.extend(candidate.into_owned());
            }
            Entry::Failure { role, failure } => {
                self.records.of_mut(role).failure = Some(failure.into_owned());
            }
            Entry::Note {
                text,
                pardons,
                repeats_launch,
            } => self.take_note(text.into_owned(), pardons, repeats_launch),
            Entry::Resumed => self.count_resumption(),
        }
        Some(())
    }

    fn is_planned(&self, position: usize, scene: &str) -> Option<()> {
        let index = *self.plan.scene_order.get(position)?;
        (self.inputs.scenes[index].id == scene).then_some(())
    }

    /// Whether everything has been done, by the journal's word.
    pub(super) fn has_failed(&self) -> bool {
        [Role::Baseline, Role::Candidate]
            .iter()
            .any(|role| self.records.of(*role).failure.is_some())
    }
}
