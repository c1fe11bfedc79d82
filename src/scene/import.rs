//! A folder of analytic files with references → scenes.
//!
//! `X.analytic.json` and `X.ref.txt` (references separated by blank lines), optionally
//! `X.facts.json` and `X.keywords.txt` (one a line). The id of a scene is `X`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::analytic::{self, Warning};
use super::facts::{Facts, KnownFacts};
use super::json::{self, ReadError};
use super::lexicon::BUILT_IN;
use super::set::{Scene, check_scene};
use super::slice::slices;
use super::text::nfc;
use crate::hint::Hint;

const ANALYTIC: &str = ".analytic.json";

/// Why a folder cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or the folder is missing or unreadable.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file is not what it should be.
    #[error("{}:{}", path.display(), error)]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, JSON path and reason.
        error: ReadError,
    },
    /// A text file is not UTF-8.
    #[error("{}:{line}: the text is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first wrong byte, from 1.
        line: usize,
    },
    /// An analytic file has no references beside it.
    #[error("scene `{id}` has no references (looked for {})", path.display())]
    NoReferences {
        /// Id of the scene.
        id: String,
        /// The file that is missing or blank.
        path: PathBuf,
    },
    /// The name of a file is no scene id, or its scene breaks a rule of scene sets.
    #[error("{}: {message}", path.display())]
    Scene {
        /// The analytic file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file belongs to no analytic file.
    #[error("{} belongs to no scene: there is no {wanted}", path.display())]
    Stray {
        /// The file.
        path: PathBuf,
        /// The analytic file that would make it one.
        wanted: String,
    },
    /// Not one analytic file.
    #[error("{} holds no `*.analytic.json`", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoReferences { .. } => {
                Some("write the references into it, separated by blank lines".into())
            }
            Self::Empty { .. } | Self::Stray { .. } => Some(
                "a scene is `X.analytic.json` with `X.ref.txt` and, where known, `X.facts.json` and \
                 `X.keywords.txt`"
                    .into(),
            ),
            _ => None,
        }
    }
}

/// Scenes of a folder, and what is odd about their files.
#[derive(Debug)]
pub struct Imported {
    /// Scenes by id.
    pub scenes: Vec<Scene>,
    /// File and oddity.
    pub warnings: Vec<(PathBuf, Warning)>,
}

/// Reads every scene of `dir`.
///
/// Slices are those that the data show. References come as written, in NFC.
///
/// # Errors
/// [`Error`] names the file and, where there is one, line and JSON path.
pub fn import(dir: &Path) -> Result<Imported, Error> {
    let mut names = names(dir)?;
    names.sort_unstable();
    let ids: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(ANALYTIC))
        .collect();
    if ids.is_empty() {
        return Err(Error::Empty { path: dir.into() });
    }
    for name in &names {
        let parts = [".ref.txt", ".facts.json", ".keywords.txt"];
        let of = parts.iter().find_map(|part| name.strip_suffix(part));
        if let Some(id) = of.filter(|id| !ids.contains(id)) {
            return Err(Error::Stray {
                path: dir.join(name),
                wanted: format!("{id}{ANALYTIC}"),
            });
        }
    }
    let mut imported = Imported {
        scenes: Vec::new(),
        warnings: Vec::new(),
    };
    for id in ids {
        let (scene, warnings) = scene(dir, id)?;
        imported.scenes.push(scene);
        imported.warnings.extend(warnings);
    }
    Ok(imported)
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let fail = |source| Error::Read {
        path: dir.into(),
        source,
    };
    std::fs::read_dir(dir)
        .map_err(fail)?
        .map(|entry| {
            Ok(entry
                .map_err(fail)?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

fn scene(dir: &Path, id: &str) -> Result<(Scene, Vec<(PathBuf, Warning)>), Error> {
    let path = dir.join(format!("{id}{ANALYTIC}"));
    let as_json = |path: &Path, error| Error::Json {
        path: path.into(),
        error,
    };
    let reading = analytic::read(&read(&path)?).map_err(|error| as_json(&path, error))?;
    let references_path = dir.join(format!("{id}.ref.txt"));
    let references = match text(&references_path) {
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Vec::new()
        }
        found => paragraphs(&found?),
    };
    if references.is_empty() {
        return Err(Error::NoReferences {
            id: id.to_owned(),
            path: references_path,
        });
    }
    let facts_path = dir.join(format!("{id}.facts.json"));
    let facts = if facts_path.is_file() {
        json::read(&read(&facts_path)?).map_err(|error| as_json(&facts_path, error))?
    } else {
        KnownFacts::default()
    };
    let keywords_path = dir.join(format!("{id}.keywords.txt"));
    let keywords = if keywords_path.is_file() {
        let lines = text(&keywords_path)?;
        lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(nfc)
            .collect()
    } else {
        Vec::new()
    };
    let mut scene = Scene {
        id: id.to_owned(),
        analytic: reading.analytic,
        facts,
        references,
        keywords,
        source: BTreeMap::from([("dataset".to_owned(), "imported".to_owned())]),
        ..Scene::default()
    };
    check_scene(&scene).map_err(|message| Error::Scene {
        path: path.clone(),
        message,
    })?;
    let facts = Facts::of_scene(&scene, &BUILT_IN);
    scene.slices = slices(&scene, &facts, &BUILT_IN)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let warnings = reading
        .warnings
        .into_iter()
        .map(|warning| (path.clone(), warning))
        .collect();
    Ok((scene, warnings))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path)?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Error::NotUtf8 {
            path: path.into(),
            line: before.split(|&byte| byte == b'\n').count(),
        }
    })
}

/// Texts between blank lines, their own line breaks turned into spaces.
fn paragraphs(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            is_open = false;
        } else if is_open {
            let last = found.last_mut().expect("a paragraph is open");
            last.push(' ');
            last.push_str(&nfc(line));
        } else {
            found.push(nfc(line));
            is_open = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETECTIONS: &str = r#"{
  "source_video_path": "v.mp4",
  "source_video_hash_sha256": "0000000000000000000000000000000000000000000000000000000000000000",
  "processing_timestamp_utc": "2026-11-01T12:00:00Z",
  "duration_seconds": 20,
  "frames_analyzed": 2,
  "events": [
    {"frame_timestamp_seconds": 4, "event_type": "object_detection", "label": "dog",
     "confidence": 0.9, "bounding_box": [0, 0, 10, 10]},
    {"frame_timestamp_seconds": 6, "event_type": "object_detection", "label": "dog",
     "confidence": 0.8, "bounding_box": [0, 0, 10, 10]}
  ]
}"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        dir
    }

    #[test]
    fn a_folder_becomes_scenes() {
        let dir = folder(&[
            ("patio-1.analytic.json", DETECTIONS),
            (
                "patio-1.ref.txt",
                "Um cachorro passa\nàs 00:04.\n\n\nPassa um ca\u{303}o.\n",
            ),
            (
                "patio-1.facts.json",
                r#"{"labels": {"dog": {"tracks": 1}}}"#,
            ),
            ("patio-1.keywords.txt", "cachorro\n"),
            ("notes.md", "not a part of any scene"),
        ]);
        let imported = import(dir.path()).expect("a sound folder");
        let [scene] = &imported.scenes[..] else {
            panic!("one scene");
        };
        assert_eq!(scene.id, "patio-1");
        assert_eq!(
            scene.references,
            ["Um cachorro passa às 00:04.", "Passa um cão."]
        );
        assert_eq!(scene.facts.labels["dog"].tracks, Some(1));
        assert_eq!(scene.keywords, ["cachorro"]);
        assert!(scene.slices.contains(&"sparse".to_owned()));
        assert_eq!(imported.warnings, []);
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let dir = folder(files);
        let message = import(dir.path()).expect_err("is refused").to_string();
        for part in expected {
            assert!(message.contains(part), "{message}\nlacks {part}");
        }
    }

    #[test]
    fn broken_files_are_named_with_line_and_path() {
        let text = ("a.ref.txt", "Um cachorro passa.");
        let broken = DETECTIONS.replace("\"confidence\": 0.8", "\"confidence\": 1.8");
        check(
            &[("a.analytic.json", &broken), text],
            &["a.analytic.json:11:", "`events[1].confidence`"],
        );
        let typo = ("a.facts.json", "{\n \"lables\": {}\n}");
        check(
            &[("a.analytic.json", DETECTIONS), text, typo],
            &["a.facts.json:2:", "lables"],
        );
        check(
            &[("a.analytic.json", DETECTIONS)],
            &["`a` has no references", "a.ref.txt"],
        );
        check(
            &[
                ("A b.analytic.json", DETECTIONS),
                ("A b.ref.txt", "Um cão."),
            ],
            &["scene id"],
        );
        check(&[("a.ref.txt", "x")], &["no `*.analytic.json`"]);
        let stray = ("b.ref.txt", "Um cão.");
        check(
            &[("a.analytic.json", DETECTIONS), text, stray],
            &["b.ref.txt", "b.analytic.json"],
        );
    }
}
