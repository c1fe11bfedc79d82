//! Tries a release in a worker before it becomes current.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Failure;
use super::super::args::Head;
use super::super::exit::Exit;
use super::super::settings::load_settings;
use super::args::Smoke;
use crate::artifact::ModelFiles;
use crate::artifact::digest::verify_file;
use crate::run::{self, RoleInput, SceneInput, SmokeTest, WorkerCommand};
use crate::scene::facts::TimeBase;
use crate::scene::generate;
use crate::scene::prompt::Template;
use crate::store::install::{Candidate, SmokeFailure};
use crate::store::record::{FileRecord, Target};

/// The prompt of the video system.
const PROMPT: &str = include_str!("../../../prompts/scene_summarizer.prompt");

/// Seed of the scene; any one does.
const SEED: u64 = 1;

/// A candidate that did not pass, or a test that could not be run.
pub(super) struct Refused {
    pub(super) failure: SmokeFailure,
    /// Set when the model is not to blame.
    pub(super) broken: Option<Failure>,
}

impl From<SmokeFailure> for Refused {
    fn from(failure: SmokeFailure) -> Self {
        Self {
            failure,
            broken: None,
        }
    }
}

/// Loads every target that carries weights in a worker of its own.
pub(super) fn test(
    how: Smoke,
    timeout: Duration,
    candidate: &Candidate<'_>,
) -> Result<(), Refused> {
    if how == Smoke::None {
        return Ok(());
    }
    let worker = WorkerCommand::this_program().map_err(|error| {
        broken(Failure::usage(
            format!("cannot find this program: {error}"),
            "vv-eval must be able to start itself",
        ))
    })?;
    let test = SmokeTest {
        worker,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        scene: (how == Smoke::Scene).then(scene),
        timeout,
    };
    for target in candidate
        .targets
        .iter()
        .filter(|target| has_weights(target))
    {
        let model = model(candidate, target)?;
        run::smoke(&model, &test).map_err(|failure| match failure {
            run::SmokeFailure::Model { problem, hint } => SmokeFailure { problem, hint }.into(),
            run::SmokeFailure::Broken(error) => {
                let exit = if error.is_internal() {
                    Exit::Internal
                } else {
                    Exit::Invalid
                };
                broken(Failure::invalid(error).with_exit(exit))
            }
        })?;
    }
    Ok(())
}

fn broken(failure: Failure) -> Refused {
    Refused {
        failure: SmokeFailure {
            problem: "the test could not be run".into(),
            hint: None,
        },
        broken: Some(failure),
    }
}

/// The files of a model: those in subdirectories do not belong to it.
fn files_of_model(target: &Target) -> impl Iterator<Item = &FileRecord> {
    target.files.iter().filter(|file| !file.path.contains('/'))
}

fn has_weights(target: &Target) -> bool {
    let has = |ending: &str| files_of_model(target).any(|file| file.path.ends_with(ending));
    has(".gguf") || has(".safetensors")
}

/// The files of a target as a model, which are still the recorded ones.
fn model(candidate: &Candidate<'_>, target: &Target) -> Result<RoleInput, Refused> {
    let directory = candidate.directory.join(&target.name);
    let mut files = BTreeMap::new();
    for file in files_of_model(target) {
        let path = directory.join(&file.path);
        let found = verify_file(&path, file.sha256, Some(file.size_bytes));
        let found = found.map_err(|error| broken(Failure::invalid(error).with_exit(Exit::Io)))?;
        files.insert(file.path.clone(), found);
    }
    let i2s_layout = candidate.options.and_then(|options| options.i2s_layout);
    Ok(RoleInput {
        files: ModelFiles {
            files,
            is_pinned: true,
            release_digest: candidate.release,
            origin: directory,
        },
        name: candidate.name.to_owned(),
        version: Some(candidate.version.to_owned()),
        load: load_settings(candidate.options, Head::default(), i2s_layout),
        planted: None,
    })
}

/// A made-up scene in the words of the video system's prompt.
fn scene() -> SceneInput {
    let template = Template::new(PROMPT.to_owned()).expect("the built-in prompt has one marker");
    let analytic = generate::analytic(SEED, "smoke", 0);
    SceneInput {
        id: "smoke".to_owned(),
        prompt_text: template.render(&analytic, &TimeBase::default()),
        forced_text: String::new(),
        references: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Bytes, Sha256};

    fn target(files: &[(&str, &[u8])]) -> Target {
        let record = |(path, bytes): &(&str, &[u8])| FileRecord {
            path: (*path).to_owned(),
            size_bytes: Bytes(bytes.len() as u64),
            sha256: Sha256::of(bytes),
        };
        Target {
            name: "bitnet".to_owned(),
            tree_sha256: Sha256::of(b"tree"),
            files: files.iter().map(record).collect(),
        }
    }

    #[test]
    fn weights_one_level_down_make_no_model() {
        assert!(has_weights(&target(&[("m.gguf", b"x")])));
        assert!(!has_weights(&target(&[
            ("old/m.gguf", b"x"),
            ("a.json", b"{}")
        ])));
    }

    #[test]
    fn only_the_recorded_bytes_are_tried() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bitnet")).unwrap();
        std::fs::write(dir.path().join("bitnet/m.gguf"), "one").unwrap();
        let check = |bytes: &[u8]| {
            let targets = [target(&[("m.gguf", bytes)])];
            let candidate = Candidate {
                directory: dir.path(),
                targets: &targets,
                options: None,
                name: "bitnet",
                version: "1",
                release: Sha256::of(b"release"),
            };
            model(&candidate, &targets[0]).is_ok()
        };
        assert_eq!((check(b"one"), check(b"two")), (true, false));
    }
}
