//! Memory pass: one model at a time, alone, with the longest prompt and the longest output.

use std::borrow::Cow;

use crate::record::journal::Entry;
use crate::record::{MemoryPhase, MemoryRun, Role};
use crate::run::pair::turns;
use crate::run::protocol::{Lane, MemoryAnswer, OpenRequest};
use crate::run::supervisor::{At, Fault};
use crate::run::{Run, SceneInput};

impl Run<'_> {
    /// Measures each role `memory_runs` times, the roles taking turns.
    pub(in crate::run) fn memory_pass(&mut self) -> Result<(), Fault> {
        // Bytes stand for tokens: both roles get the same scene although tokenizers may differ.
        let Some(longest) = self
            .inputs
            .scenes
            .iter()
            .max_by_key(|scene| scene.prompt_text.len())
        else {
            return Ok(());
        };
        let total = 2 * self.plan.effort.memory_runs;
        for round in 0..self.plan.effort.memory_runs {
            for (turn, role) in turns(self.plan.memory_first).into_iter().enumerate() {
                if self.records.of(role).memory.len() > round {
                    continue;
                }
                self.progress
                    .step("memory", 2 * round + turn, total, role.as_str());
                let run = self.repeating(|run| run.memory_run(role, longest))?;
                self.append(&Entry::Memory {
                    role,
                    run: Cow::Borrowed(&run),
                })?;
                self.records.of_mut(role).memory.push(run);
            }
        }
        self.progress.step("memory", total, total, "");
        Ok(())
    }

    fn memory_run(&mut self, role: Role, longest: &SceneInput) -> Result<MemoryRun, Fault> {
        let at = At::scene("memory", &longest.id);
        let (mut worker, load) = self.loaded(role, "memory")?;
        // One peak per phase, where the system lets a peak be forgotten.
        let loaded = worker.snapshot(true, at)?;
        let request = OpenRequest {
            scene: longest.id.clone(),
            prompt: longest.prompt_text.clone(),
            // Stop tokens are ignored: caches and scratch grow as large as they ever can.
            lane: Lane::Natural {
                max_new_tokens: self.plan.effort.max_new_tokens,
                ignore_stop: true,
            },
        };
        let handle = worker.open(request, at)?.handle;
        worker.generate(handle, at)?;
        let ended = worker.snapshot(false, at)?;
        worker.close(handle, at)?;
        worker.bye(at)?;
        Ok(MemoryRun {
            load_ns: load.load_ns,
            load_cpu_ns: Some(load.load_cpu_ns),
            load_peak_bytes: loaded.peak_bytes,
            // Where the peak could not be reset, the last reading is the maximum already.
            peak_bytes: loaded.peak_bytes.max(ended.peak_bytes),
            anon_bytes: ended.anon_bytes,
            file_bytes: ended.file_bytes,
            phases: vec![
                phase("load", &loaded, true),
                phase("inference", &ended, loaded.is_reset),
            ],
        })
    }
}

/// * `is_own_peak`: whether the peak was forgotten when the phase began
fn phase(name: &str, seen: &MemoryAnswer, is_own_peak: bool) -> MemoryPhase {
    MemoryPhase {
        name: name.to_owned(),
        peak_bytes: seen.peak_bytes,
        is_own_peak,
        anon_bytes: seen.anon_bytes,
        file_bytes: seen.file_bytes,
        shmem_bytes: seen.shmem_bytes,
        pss_bytes: seen.pss_bytes,
        pss_file_bytes: seen.pss_file_bytes,
        huge_bytes: seen.huge_bytes,
    }
}
