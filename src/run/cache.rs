//! Outputs of earlier runs, kept so that a model's unchanged words are not computed twice.
//!
//! What a model writes depends on its files, how they are loaded, the prompt, the limits and the
//! code; all of that is in the key. Where numerics depend on the CPU, the machine is in it too.
//! Times and memory are never kept. An entry carries its own digest: a damaged one is computed
//! again. That outputs repeat is not believed but checked: every run writes some scenes again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RoleInput;
use crate::durable::write_atomic;
use crate::record::{OutputObservation, ReusedOutput, RunRecord};
use crate::units::{Hasher, Sha256};

/// Version of the entries' form and of the key.
const VERSION: u32 = 1;

/// An entry on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Digest of `body`'s text.
    sha256: Sha256,
    /// A [`Body`] as JSON text.
    body: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    key: Sha256,
    run_id: String,
    run_at: String,
    output: OutputObservation,
}

/// Outputs of one model as one program writes them.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    /// What all keys of this model share.
    model: Sha256,
}

impl Cache {
    /// The cache of a model that was loaded once.
    ///
    /// * `folder`: of all cached outputs
    /// * `record`: of the role, its model described and its environment known
    ///
    /// Gives `None` where nothing may be kept: a harm was planted, or the program does not know its
    /// own digest.
    pub(super) fn of(folder: &Path, input: &RoleInput, record: &RunRecord) -> Option<Self> {
        if input.planted.is_some() {
            return None;
        }
        let environment = record.environment.as_ref()?;
        let binary = environment.binary_sha256?;
        let mut hasher = Hasher::default();
        let mut add = |part: &str| {
            hasher.update(format!("{}:", part.len()).as_bytes());
            hasher.update(part.as_bytes());
        };
        add(&VERSION.to_string());
        add(&binary.to_string());
        add(&record.model.release_digest.to_string());
        for file in &record.model.files {
            add(&file.name);
            add(&file.sha256.to_string());
        }
        add(&serde_json::to_string(&input.load).ok()?);
        add(&record.plan.max_new_tokens.to_string());
        if record.model.layers_sha256.is_none() {
            // No ternary layers: floats of another library, equal on one machine only.
            add(&record.comparability_key()?.to_string());
        }
        Some(Self {
            folder: folder.to_owned(),
            model: hasher.finish(),
        })
    }

    fn key(&self, scene: &str, prompt: &str) -> Sha256 {
        let mut hasher = Hasher::default();
        hasher.update(self.model.as_bytes());
        hasher.update(format!("{}:{scene}", scene.len()).as_bytes());
        hasher.update(prompt.as_bytes());
        hasher.finish()
    }

    fn path(&self, key: Sha256) -> PathBuf {
        let name = key.to_string();
        self.folder.join(&name[..2]).join(format!("{name}.json"))
    }

    /// The output of a scene and where it comes from; `None` when there is none, or no whole one.
    pub(super) fn find(
        &self,
        scene: &str,
        prompt: &str,
    ) -> Option<(OutputObservation, ReusedOutput)> {
        let key = self.key(scene, prompt);
        let text = std::fs::read(self.path(key)).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        if Sha256::of(kept.body.as_bytes()) != kept.sha256 {
            return None;
        }
        let body: Body = serde_json::from_str(&kept.body).ok()?;
        let is_meant = body.key == key && body.output.scene == scene && body.output.times.is_none();
        is_meant.then(|| {
            let reused = ReusedOutput {
                scene: scene.to_owned(),
                run_id: body.run_id,
                run_at: body.run_at,
            };
            (body.output, reused)
        })
    }

    /// Keeps an output. A cache that cannot be written costs time, not the run.
    pub(super) fn keep(&self, record: &RunRecord, prompt: &str, output: &OutputObservation) {
        let key = self.key(&output.scene, prompt);
        let body = Body {
            key,
            run_id: record.run_id.clone(),
            run_at: record.started_at.clone(),
            output: OutputObservation {
                times: None,
                ..output.clone()
            },
        };
        let Ok(body) = serde_json::to_string(&body) else {
            return;
        };
        let kept = Kept {
            sha256: Sha256::of(body.as_bytes()),
            body,
        };
        let path = self.path(key);
        let (Some(folder), Ok(bytes)) = (path.parent(), serde_json::to_vec(&kept)) else {
            return;
        };
        if std::fs::create_dir_all(folder).is_ok() {
            let _ = write_atomic(&path, &bytes);
        }
    }
}
