//! Likelihood pass: both models read the references and what each of them wrote.
//!
//! Nothing is timed and nothing is written by the models. The baseline reads some scenes first and
//! leaves the logits behind the references in a file; the candidate reads the same scenes and
//! compares its own with them.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::record::journal::Entry;
use crate::record::{self, Reading, ReadingDistance, Role, RunRecord, TextSource};
use crate::run::Run;
use crate::run::end_pair;
use crate::run::error::Error;
use crate::run::pair::Pair;
use crate::run::reading::{
    Logits, ReadAnswer, ReadRequest, ReadScene, ReadText, SceneRead, TextRead,
};
use crate::run::supervisor::{At, Fault, Session};

/// Name of the pass.
const PASS: &str = "likelihood";

/// Scenes a worker is asked for at once.
const SCENES_PER_REQUEST: usize = 16;

/// File of logits in the run's folder.
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
        let mut position = self.n_read();
        if position >= total {
            return Ok(());
        }
        let file = LogitsFile::new(self.inputs.journal_dir.join(LOGITS_FILE))?;
        let mut compares = match self.reason_without_distance(file.path()) {
            Some(reason) => {
                self.note_once(no_distance(&reason))?;
                false
            }
            None => true,
        };
        let mut pair =
            self.repeating(|run| run.loaded_pair(Role::Baseline, PASS, |place| place))?;
        while position < total {
            let scene = &self.scene_at(position).id;
            self.progress.step(PASS, position, total, scene);
            let end = total.min(position + SCENES_PER_REQUEST);
            let texts: Vec<Vec<Text>> = (position..end).map(|at| self.texts(at)).collect();
            let path = file.path();
            let write = compares.then(|| Logits::Write(path.to_owned()));
            let answer = self.read_or_again(&mut pair, Role::Baseline, position, &texts, write)?;
            let n = answer.scenes.len();
            let texts = &texts[..n];
            let baseline = self.readings(position, texts, answer);
            let compare = compares.then(|| Logits::Compare(path.to_owned()));
            let answer =
                self.read_or_again(&mut pair, Role::Candidate, position, texts, compare)?;
            if answer.scenes.len() != n {
                return Err(self.cut_short(position, n, answer.scenes.len()));
            }
            if let Some(reason) = &answer.not_compared {
                self.note_once(no_distance(reason))?;
                compares = false;
            }
            let candidate = self.readings(position, texts, answer);
            for (baseline, candidate) in baseline.into_iter().zip(candidate) {
                self.keep_readings(baseline, candidate)?;
            }
            position += n;
        }
        end_pair(pair, At::pass(PASS))?;
        self.progress.step(PASS, total, total, "");
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
            [_] => At::scene(PASS, &self.scene_at(position).id),
            _ => At::pass(PASS),
        };
        match pair.of_mut(role).read(request.clone(), at) {
            Err(fault) => {
                self.pardon(fault)?;
                *pair.of_mut(role) = self.loaded(role, PASS)?.0;
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

    /// What was read, scene by scene.
    fn readings(
        &self,
        position: usize,
        texts: &[Vec<Text>],
        answer: ReadAnswer,
    ) -> Vec<Vec<Reading>> {
        let of_scene = |(i, (texts, read)): (usize, (&Vec<Text>, SceneRead))| {
            let scene = &self.scene_at(position + i).id;
            let readings = texts.iter().zip(read.texts);
            readings
                .map(|(text, read)| reading(scene, text, read))
                .collect()
        };
        let scenes = texts.iter().zip(answer.scenes);
        scenes.enumerate().map(of_scene).collect()
    }

    /// One scene, by both: what only one of them read is read again after a kill.
    fn keep_readings(
        &mut self,
        baseline: Vec<Reading>,
        candidate: Vec<Reading>,
    ) -> Result<(), Fault> {
        self.append(&Entry::Readings {
            baseline: Cow::Borrowed(&baseline),
            candidate: Cow::Borrowed(&candidate),
        })?;
        self.records.baseline.readings.extend(baseline);
        self.records.candidate.readings.extend(candidate);
        Ok(())
    }

    /// Scenes that both have read.
    pub(in crate::run) fn n_read(&self) -> usize {
        let readings = &self.records.baseline.readings;
        readings
            .chunk_by(|one, next| one.scene == next.scene)
            .count()
    }

    /// A note that a run taken up again does not repeat.
    fn note_once(&mut self, text: String) -> Result<(), Fault> {
        if self.notes.contains(&text) {
            return Ok(());
        }
        self.note(text)
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

/// The file of logits, which a killed run may have left; gone when the pass is over.
struct LogitsFile(PathBuf);

impl LogitsFile {
    fn new(path: PathBuf) -> Result<Self, Error> {
        match File::create(&path) {
            Ok(_) => Ok(Self(path)),
            Err(source) => Err(record::Error::Write { path, source }.into()),
        }
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LogitsFile {
    fn drop(&mut self) {
        // One that stays costs room, and the next run in the folder replaces it.
        let _ = std::fs::remove_file(&self.0);
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
