//! Likelihood pass: both models read the references and what each of them wrote.
//!
//! Nothing is timed and nothing is written by the models. The baseline reads some scenes first and
//! leaves the logits behind the references in a file; the candidate reads the same scenes and
//! compares its own with them.

use std::path::Path;

use crate::record::journal::Entry;
use crate::record::{self, Reading, ReadingDistance, Role, RunRecord, TextSource};
use crate::run::Run;
use crate::run::end_pair;
use crate::run::error::Error;
use crate::run::pair::Pair;
use crate::run::reading::{Logits, ReadAnswer, ReadRequest, ReadScene, ReadText, TextRead};
use crate::run::supervisor::{At, Fault, Session};

/// Scenes a worker is asked for at once.
const SCENES_PER_REQUEST: usize = 16;

/// File of logits in the run's folder; gone when the pass is over.
const LOGITS_FILE: &str = "logits.tmp";

/// A text and what it is.
struct Text {
    source: TextSource,
    text: String,
}

impl Run<'_> {
    /// Lets both models read the texts of the first scenes.
    pub(in crate::run) fn likelihood_pass(&mut self) -> Result<(), Fault> {
        let total = self.plan.n_read();
        if total == 0 {
            return Ok(());
        }
        let folder = self.inputs.journal_dir.clone();
        let file = tempfile::Builder::new()
            .prefix(LOGITS_FILE)
            .tempfile_in(&folder)
            .map_err(|source| {
                let path = folder.join(LOGITS_FILE);
                Error::from(record::Error::Write { path, source })
            })?;
        let mut compares = match self.reason_without_distance(file.path()) {
            Some(reason) => {
                self.note(no_distance(&reason))?;
                false
            }
            None => true,
        };
        let mut pair = self.repeating(|run| run.loaded_pair(Role::Baseline, "likelihood"))?;
        let mut position = 0;
        while position < total {
            let scene = &self.scene_at(position).id;
            self.progress.step("likelihood", position, total, scene);
            let end = total.min(position + SCENES_PER_REQUEST);
            let texts: Vec<Vec<Text>> = (position..end).map(|at| self.texts(at)).collect();
            let path = file.path();
            let write = compares.then(|| Logits::Write(path.to_owned()));
            let answer = self.read_or_again(&mut pair, Role::Baseline, position, &texts, write)?;
            let n = answer.scenes.len();
            let texts = &texts[..n];
            self.keep_readings(Role::Baseline, position, texts, answer)?;
            let compare = compares.then(|| Logits::Compare(path.to_owned()));
            let answer =
                self.read_or_again(&mut pair, Role::Candidate, position, texts, compare)?;
            if answer.scenes.len() != n {
                return Err(self.cut_short(position, n, answer.scenes.len()));
            }
            if let Some(reason) = &answer.not_compared {
                self.note(no_distance(reason))?;
                compares = false;
            }
            self.keep_readings(Role::Candidate, position, texts, answer)?;
            position += n;
        }
        end_pair(pair, At::pass("likelihood"))?;
        self.progress.step("likelihood", total, total, "");
        Ok(())
    }

    fn reason_without_distance(&self, file: &Path) -> Option<String> {
        let digest = |record: &RunRecord| record.model.tokenizer_sha256;
        let (base, cand) = (&self.records.baseline, &self.records.candidate);
        if digest(base) != digest(cand) {
            Some("the tokenizers differ".to_owned())
        } else if file.to_str().is_none() {
            Some("the name of the run's folder is not UTF-8".to_owned())
        } else {
            None
        }
    }

    /// The references of a scene and what both models wrote of it.
    fn texts(&self, position: usize) -> Vec<Text> {
        let references = self.scene_at(position).references.iter().enumerate();
        let references = references.map(|(i, text)| Text {
            source: TextSource::Reference(i),
            text: text.clone(),
        });
        let written = [
            (TextSource::BaselineOutput, &self.records.baseline),
            (TextSource::CandidateOutput, &self.records.candidate),
        ];
        let written = written.map(|(source, record)| Text {
            source,
            text: record.outputs[position].text.clone(),
        });
        references.chain(written).collect()
    }

    /// Some scenes; once more in a fresh worker, as [`Run::repeating`] does.
    fn read_or_again(
        &mut self,
        pair: &mut Pair<Session>,
        role: Role,
        position: usize,
        texts: &[Vec<Text>],
        logits: Option<Logits>,
    ) -> Result<ReadAnswer, Fault> {
        let request = ReadRequest {
            scenes: texts
                .iter()
                .enumerate()
                .map(|(i, texts)| self.read_scene(position + i, texts))
                .collect(),
            logits,
        };
        let at = match request.scenes.as_slice() {
            [_] => At::scene("likelihood", &self.scene_at(position).id),
            _ => At::pass("likelihood"),
        };
        match pair.of_mut(role).read(request.clone(), at) {
            Err(fault) => {
                self.pardon(fault)?;
                *pair.of_mut(role) = self.loaded(role, "likelihood")?.0;
                pair.of_mut(role).read(request, at)
            }
            outcome => outcome,
        }
    }

    fn read_scene(&self, position: usize, texts: &[Text]) -> ReadScene {
        let scene = self.scene_at(position);
        let text = |text: &Text| ReadText {
            text: text.text.clone(),
            is_compared: matches!(text.source, TextSource::Reference(_)),
        };
        ReadScene {
            scene: scene.id.clone(),
            prompt: scene.prompt_text.clone(),
            texts: texts.iter().map(text).collect(),
        }
    }

    fn keep_readings(
        &mut self,
        role: Role,
        position: usize,
        texts: &[Vec<Text>],
        answer: ReadAnswer,
    ) -> Result<(), Fault> {
        for (i, (texts, read)) in texts.iter().zip(answer.scenes).enumerate() {
            let scene = &self.scene_at(position + i).id;
            let readings = texts.iter().zip(read.texts);
            let readings: Vec<Reading> = readings
                .map(|(text, read)| reading(scene, text, read))
                .collect();
            self.append(&Entry::Readings {
                role,
                readings: &readings,
            })?;
            self.records.of_mut(role).readings.extend(readings);
        }
        Ok(())
    }

    /// The candidate read fewer scenes than the baseline, which only a bug makes it do.
    fn cut_short(&self, position: usize, asked: usize, found: usize) -> Fault {
        Fault::Broken(Error::Protocol {
            role: Role::Candidate,
            detail: format!(
                "{found} of {asked} scenes were read from scene `{}` on",
                self.scene_at(position).id
            ),
            stderr_tail: String::new(),
        })
    }
}

fn reading(scene: &str, text: &Text, read: TextRead) -> Reading {
    let TextRead {
        nll,
        divergence,
        other_first,
        absent,
    } = read;
    Reading {
        scene: scene.to_owned(),
        text: text.source,
        n_bytes: text.text.len(),
        nll,
        distance: divergence.map(|divergence| ReadingDistance {
            divergence,
            other_first,
        }),
        absent,
    }
}

fn no_distance(reason: &str) -> String {
    format!("no distance between next tokens was measured: {reason}")
}
