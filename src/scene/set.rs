//! A scene set on disk: `set.toml`, `scenes.jsonl`, the prompt template.
//!
//! Digests and counts are checked while reading; an edited set is refused, not repaired.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::analytic::{Analytic, OutOfRange};
use super::canonical::canonical;
use super::facts::{KnownFacts, TimeBase};
use super::json;
use super::lexicon::{self, Lexicon};
use super::prompt::{RENDERER, Template, TooManyMarkers};
use super::text::nfc;
use crate::hint::{Hint, did_you_mean};
use crate::units::Sha256;

/// One benchmark scene.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The detections, as the pipeline writes them.
    pub analytic: Analytic,
    /// Which camera recorded it; scenes of one camera are not independent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// What is known beyond the detections.
    #[serde(default, skip_serializing_if = "KnownFacts::is_empty")]
    pub facts: KnownFacts,
    /// `[a-z0-9][a-z0-9._-]{0,63}`, unique in the set.
    pub id: String,
    /// Words that sum the scene up; empty means keyword scores are absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Texts the gate must reject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_fail: Vec<String>,
    /// Why the scene exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Summaries a person agreed to; empty means overlap scores are absent.
    pub references: Vec<String>,
    /// Named subsets the scene belongs to.
    #[serde(default)]
    pub slices: Vec<String>,
    /// Where the scene comes from: `dataset`, `license` and free further keys.
    #[serde(default)]
    pub source: BTreeMap<String, String>,
    /// How times in summaries are to be read.
    #[serde(default, skip_serializing_if = "TimeBase::is_offset")]
    pub time_base: TimeBase,
}

/// A versioned, digested collection of scenes and the prompt they are put with.
#[derive(Debug, Clone)]
pub struct SceneSet {
    /// Name from `set.toml`.
    pub name: String,
    /// Version from `set.toml`.
    pub version: String,
    /// SHA-256 of the bytes of `scenes.jsonl`.
    pub scenes_sha256: Sha256,
    /// The version of the lexicon the set was made with; its texts are judged by it.
    pub lexicon: &'static Lexicon,
    /// The prompt template.
    pub template: Template,
    /// Scenes in file order, sorted by id.
    pub scenes: Vec<Scene>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetToml {
    schema_version: u32,
    name: String,
    version: String,
    language: String,
    created: String,
    n_scenes: usize,
    scenes_sha256: Sha256,
    license: String,
    min_scenes: usize,
    lexicon: LexiconPin,
    prompt: PromptPin,
    generator: Option<Generator>,
    slices: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LexiconPin {
    version: String,
    sha256: Sha256,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptPin {
    file: String,
    sha256: Sha256,
    renderer: String,
}

/// How the generated part of a set was made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// Command that made it.
    pub name: String,
    /// Version of the generator.
    pub version: String,
    /// Seed of the worlds.
    pub seed: u64,
    /// Template families of the generated references.
    pub families: Vec<String>,
}

/// Why a scene set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or unreadable.
    #[error("cannot read scene set file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// `set.toml` is not what it should be.
    #[error("{}: {message}", path.display())]
    SetToml {
        /// The file.
        path: PathBuf,
        /// Position and reason.
        message: String,
    },
    /// A line of `scenes.jsonl` cannot be used.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// JSON path and reason.
        message: String,
    },
    /// A digest, count or name differs from what `set.toml` promises.
    #[error("{}: {field} differs\n  expected:  {expected}  (set.toml)\n  found:     {found}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        field: String,
        /// Value in `set.toml`.
        expected: String,
        /// Value of the file or of this build.
        found: String,
    },
    /// No scene at all.
    #[error("{}: the scene set is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The prompt template is malformed.
    #[error("{}", path.display())]
    Prompt {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: TooManyMarkers,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some(
                "a scene set is a directory with set.toml, scenes.jsonl and its prompt template; \
                 see eval-sets/README.md"
                    .into(),
            ),
            Self::Mismatch { .. } => Some(
                "a released set is never edited: restore it with `git checkout`, or publish a new \
                 version"
                    .into(),
            ),
            Self::Empty { .. } => Some("a verdict needs at least 60 scenes".into()),
            _ => None,
        }
    }
}

impl SceneSet {
    /// Reads the set in `dir` and checks every digest and count it promises.
    ///
    /// # Errors
    /// [`Error`] names the file and, for scenes, the line and the JSON path.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let set_path = dir.join("set.toml");
        let set = read_set_toml(&set_path)?;
        let scenes_path = dir.join("scenes.jsonl");
        let bytes = read(&scenes_path)?;
        let scenes = parse_scenes(&scenes_path, &bytes)?;
        let prompt_path = dir.join(&set.prompt.file);
        let prompt_text = text(&prompt_path, read(&prompt_path)?)?;
        let template = Template::new(prompt_text).map_err(|source| Error::Prompt {
            path: prompt_path.clone(),
            source,
        })?;

        let promise = |path: &Path, field: &str, expected: String, found: String| {
            if expected == found {
                return Ok(());
            }
            Err(Error::Mismatch {
                path: path.into(),
                field: field.into(),
                expected,
                found,
            })
        };
        let found = Sha256::of(&bytes);
        promise(
            &scenes_path,
            "sha256",
            set.scenes_sha256.to_string(),
            found.to_string(),
        )?;
        let n = scenes.len().to_string();
        promise(
            &scenes_path,
            "number of scenes",
            set.n_scenes.to_string(),
            n,
        )?;
        for (slice, n) in count_slices(&scenes, &set.slices) {
            let expected = set.slices.get(&slice).copied().unwrap_or(0).to_string();
            promise(
                &scenes_path,
                &format!("slice `{slice}`"),
                expected,
                n.to_string(),
            )?;
        }
        let found = template.sha256().to_string();
        promise(&prompt_path, "sha256", set.prompt.sha256.to_string(), found)?;
        promise(
            &set_path,
            "prompt renderer",
            set.prompt.renderer,
            RENDERER.into(),
        )?;
        let pinned = &set.lexicon;
        let lexicon = lexicon::by_digest(&pinned.sha256).ok_or_else(|| Error::Mismatch {
            path: set_path.clone(),
            field: "lexicon sha256".into(),
            expected: format!("{} ({})", pinned.sha256, pinned.version),
            found: lexicon::known_versions(),
        })?;
        let version = lexicon.version.clone();
        promise(&set_path, "lexicon version", set.lexicon.version, version)?;
        Ok(Self {
            name: set.name,
            version: set.version,
            scenes_sha256: set.scenes_sha256,
            lexicon,
            template,
            scenes,
        })
    }
}

impl SceneSet {
    /// Reads a bare `scenes.jsonl`, which nothing pins, and its digest.
    ///
    /// # Errors
    /// [`Error`] names the file, the line and the JSON path.
    pub fn load_bare(path: &Path) -> Result<(Vec<Scene>, Sha256), Error> {
        let bytes = read(path)?;
        Ok((parse_scenes(path, &bytes)?, Sha256::of(&bytes)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| Error::SetToml {
        path: path.into(),
        message: format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()),
    })
}

fn read_set_toml(path: &Path) -> Result<SetToml, Error> {
    let source = text(path, read(path)?)?;
    let set: SetToml = toml::from_str(&source).map_err(|error| Error::SetToml {
        path: path.into(),
        message: with_suggestion(&error.to_string()),
    })?;
    if set.schema_version != 1 {
        let message = format!(
            "schema_version is {}, this build reads 1",
            set.schema_version
        );
        return Err(Error::SetToml {
            path: path.into(),
            message,
        });
    }
    Ok(set)
}

/// Adds "did you mean" to serde's message about an unknown field.
fn with_suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let suggestion = message
        .contains("unknown field")
        .then(|| names.next().and_then(|word| did_you_mean(word, names)))
        .flatten();
    match suggestion {
        Some(known) => format!("{}; did you mean `{known}`?", message.trim_end()),
        None => message.trim_end().to_owned(),
    }
}

fn parse_scenes(path: &Path, bytes: &[u8]) -> Result<Vec<Scene>, Error> {
    let mut scenes: Vec<Scene> = Vec::new();
    let mut ids = BTreeSet::new();
    for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let fail = |message: String| Error::Line {
            path: path.into(),
            line: i + 1,
            message,
        };
        if line.is_empty() {
            // Only the piece after the final line feed may be empty.
            if bytes.split(|&byte| byte == b'\n').count() == i + 1 {
                continue;
            }
            return Err(fail("blank line, expected one scene per line".into()));
        }
        let scene = parse_line(line).map_err(fail)?;
        if !ids.insert(scene.id.clone()) {
            return Err(fail(format!("duplicate scene id `{}`", scene.id)));
        }
        scenes.push(scene);
    }
    if scenes.is_empty() {
        return Err(Error::Empty { path: path.into() });
    }
    Ok(scenes)
}

/// One line of `scenes.jsonl`; the reason names the JSON path.
pub(super) fn parse_line(line: &[u8]) -> Result<Scene, String> {
    json::reject_duplicate_keys(line).map_err(|error| match error.path.as_str() {
        "" => error.message,
        path => format!("`{path}`: {}", error.message),
    })?;
    let mut json = serde_json::Deserializer::from_slice(line);
    let scene: Scene = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let reason = with_suggestion(&error.into_inner().to_string());
        if place == "." {
            reason
        } else {
            format!("`{place}`: {reason}")
        }
    })?;
    json.end()
        .map_err(|error| format!("text after the scene: {error}"))?;
    check_scene(&scene)?;
    Ok(scene)
}

pub(super) fn check_scene(scene: &Scene) -> Result<(), String> {
    let id = scene.id.as_bytes();
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_id = (1..=64).contains(&id.len())
        && lower(&id[0])
        && id.iter().all(|byte| lower(byte) || b"._-".contains(byte));
    if !is_id {
        return Err(format!(
            "scene id {:?} is not of the form [a-z0-9][a-z0-9._-]{{0,63}}",
            scene.id
        ));
    }
    scene.analytic.check().map_err(
        |OutOfRange {
             path,
             expected,
             found,
         }| {
            format!(
                "`analytic.{path}` of scene `{}` is {found}, expected {expected}",
                scene.id
            )
        },
    )?;
    if scene
        .references
        .iter()
        .any(|reference| nfc(reference) != *reference)
    {
        return Err(format!("a reference of scene `{}` is not in NFC", scene.id));
    }
    Ok(())
}

fn count_slices(scenes: &[Scene], promised: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = promised.keys().map(|k| (k.clone(), 0)).collect();
    for slice in scenes.iter().flat_map(|scene| &scene.slices) {
        *counts.entry(slice.clone()).or_default() += 1;
    }
    counts
}

/// The two files of a set, ready to be written.
pub struct Draft {
    /// Bytes of `scenes.jsonl`: one canonical object per line, sorted by id.
    pub scenes_jsonl: String,
    /// Bytes of `set.toml`.
    pub set_toml: String,
}

/// What a new set is called and made of.
pub struct DraftInfo<'a> {
    /// Name of the set.
    pub name: &'a str,
    /// Version of the set.
    pub version: &'a str,
    /// Date, `YYYY-MM-DD`.
    pub created: &'a str,
    /// Template file beside the set, and its bytes.
    pub prompt: (&'a str, &'a str),
    /// Fewest scenes that a verdict may rest on.
    pub min_scenes: usize,
    /// How the generated scenes were made; `None` when all were written by hand.
    pub generator: Option<Generator>,
}

/// Writes scenes in canonical form and the `set.toml` that pins them.
///
/// Canonical as [`canonical`] has it.
///
/// # Panics
/// When a value cannot be written as JSON or TOML, which a checked [`Scene`] cannot cause.
pub fn draft(mut scenes: Vec<Scene>, info: DraftInfo<'_>) -> Draft {
    scenes.sort_by(|a, b| a.id.cmp(&b.id));
    let mut scenes_jsonl = String::new();
    for scene in &scenes {
        let value = serde_json::to_value(scene).expect("a scene is plain data");
        scenes_jsonl.push_str(&canonical(&value));
        scenes_jsonl.push('\n');
    }
    let set = SetToml {
        schema_version: 1,
        name: info.name.into(),
        version: info.version.into(),
        language: "pt-BR".into(),
        created: info.created.into(),
        n_scenes: scenes.len(),
        scenes_sha256: Sha256::of(scenes_jsonl.as_bytes()),
        license: "MIT OR Apache-2.0".into(),
        min_scenes: info.min_scenes,
        lexicon: LexiconPin {
            version: lexicon::BUILT_IN.version.clone(),
            sha256: lexicon::BUILT_IN.sha256,
        },
        prompt: PromptPin {
            file: info.prompt.0.into(),
            sha256: Sha256::of(info.prompt.1.as_bytes()),
            renderer: RENDERER.into(),
        },
        generator: info.generator,
        slices: count_slices(&scenes, &BTreeMap::new()),
    };
    Draft {
        scenes_jsonl,
        set_toml: toml::to_string(&set).expect("set.toml is plain data"),
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
