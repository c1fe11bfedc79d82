//! Looks for what is wrong with a scene set before it is released.
//!
//! In: a set directory or a bare `scenes.jsonl`, and the checks of texts that belong to the stage
//! of metrics. Out: findings; the files are only read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use super::canonical::canonical;
use super::facts::Facts;
use super::lexicon::{BUILT_IN, Lexicon};
use super::set::{self, Error, Scene, SceneSet};
use super::slice::{SLICES, holds};
use super::telling::{Family, tell};
use super::text::{fold, nfc};
use super::world;
use crate::hint::Hint as _;

/// Fewest references of a scene in a released set.
const MIN_REFERENCES: usize = 2;
/// Fewest texts that a sentinel must see rejected.
const MIN_MUST_FAIL: usize = 2;
/// Characters a reference may have.
const LENGTHS: std::ops::RangeInclusive<usize> = 20..=600;
/// Two references more alike than this differ in too little.
const MAX_SIMILARITY: f64 = 0.9;
/// Draws of each training family that references are held against.
const LEAK_DRAWS: u64 = 8;

/// What makes a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The set cannot be read, or a line of it.
    Unreadable,
    /// A line differs from its canonical form, or lines are not sorted.
    NotCanonical,
    /// A digest or count differs from `set.toml`.
    Mismatch,
    /// An id stands twice.
    DuplicateId,
    /// Fewer than two references.
    FewReferences,
    /// A reference shorter or longer than references are.
    Length,
    /// A reference that the gate would reject.
    ReferenceRejected,
    /// Two references that are equal or nearly so.
    SimilarReferences,
    /// A reference that models are trained on.
    Leak,
    /// A text that must fail and does not.
    MustFailAccepted,
    /// A sentinel with fewer than two texts that must fail.
    NoMustFail,
    /// A slice whose rule the data do not meet.
    SliceRule,
    /// Fewer distinct objects than boxes in one frame.
    TracksTooFew,
    /// A detection past the end of the video.
    PastTheEnd,
    /// A field of the analytic contract is missing.
    MissingField,
    /// The scene does not say where it comes from.
    NoSource,
    /// Two scenes with the same detections.
    EqualAnalytic,
    /// A text that is not in NFC.
    NotNfc,
    /// A control character in a text.
    ControlCharacter,
    /// A label that the lexicon does not know; takes part in no score.
    UnknownLabel,
    /// A slice that has no rule.
    UnknownSlice,
}

impl Rule {
    /// Name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NotCanonical => "not-canonical",
            Self::Mismatch => "mismatch",
            Self::DuplicateId => "duplicate-id",
            Self::FewReferences => "few-references",
            Self::Length => "length",
            Self::ReferenceRejected => "reference-rejected",
            Self::SimilarReferences => "similar-references",
            Self::Leak => "leak",
            Self::MustFailAccepted => "must-fail-accepted",
            Self::NoMustFail => "no-must-fail",
            Self::SliceRule => "slice-rule",
            Self::TracksTooFew => "tracks-too-few",
            Self::PastTheEnd => "past-the-end",
            Self::MissingField => "missing-field",
            Self::NoSource => "no-source",
            Self::EqualAnalytic => "equal-analytic",
            Self::NotNfc => "not-nfc",
            Self::ControlCharacter => "control-character",
            Self::UnknownLabel => "unknown-label",
            Self::UnknownSlice => "unknown-slice",
        }
    }

    /// Whether it is only worth knowing.
    pub fn is_warning(self) -> bool {
        matches!(self, Self::UnknownLabel | Self::UnknownSlice)
    }
}

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What makes it one.
    pub rule: Rule,
    /// Scene id, line or file.
    pub place: String,
    /// What was found.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.rule.is_warning() {
            "warning"
        } else {
            "finding"
        };
        write!(
            f,
            "{kind}[{}] {}: {}",
            self.rule.name(),
            self.place,
            self.message
        )
    }
}

/// The checks of texts, which live in a later stage.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    /// Why the gate would reject a text of the scene; nothing when it accepts it.
    pub rejects: &'a dyn Fn(&Scene, &str, &Lexicon) -> Vec<String>,
    /// Likeness of two texts in [0, 1].
    pub similarity: &'a dyn Fn(&str, &str) -> f64,
}

/// Findings in the set directory or the bare `scenes.jsonl` at `path`.
///
/// # Errors
/// [`Error::Read`] when the scenes cannot be read at all; everything else is a finding.
pub fn lint(path: &Path, checks: &Checks<'_>) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let (scenes_path, lexicon, is_sentinel) = if path.is_dir() {
        let found = SceneSet::load(path);
        let about = match &found {
            Ok(set) => (set.lexicon, set.name.starts_with("sentinelas")),
            Err(_) => (&*BUILT_IN, false),
        };
        if let Err(error) = found {
            findings.extend(of_error(&error));
        }
        (path.join("scenes.jsonl"), about.0, about.1)
    } else {
        (path.to_owned(), &*BUILT_IN, false)
    };
    let bytes = std::fs::read(&scenes_path).map_err(|source| Error::Read {
        path: scenes_path.clone(),
        source,
    })?;
    let scenes = lines(&bytes, &mut findings);
    for scene in &scenes {
        Look {
            scene,
            facts: Facts::of_scene(scene, lexicon),
            lexicon,
            checks,
            is_sentinel,
            findings: &mut findings,
        }
        .all();
    }
    twins(&scenes, &mut findings);
    findings.sort_by_key(|finding| finding.rule.is_warning());
    Ok(findings)
}

/// A set that does not load is a finding; what its lines say is found again line by line.
fn of_error(error: &Error) -> Option<Finding> {
    let rule = match error {
        Error::Mismatch { .. } => Rule::Mismatch,
        Error::Line { .. } => return None,
        Error::Read { .. } | Error::SetToml { .. } | Error::Empty { .. } | Error::Prompt { .. } => {
            Rule::Unreadable
        }
    };
    let hint = error
        .hint()
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default();
    Some(Finding {
        rule,
        place: "set.toml".to_owned(),
        message: format!("{error}{hint}"),
    })
}

/// The scenes that can be read, with findings about their lines.
fn lines(bytes: &[u8], findings: &mut Vec<Finding>) -> Vec<Scene> {
    let mut add = |rule, line: usize, message: String| {
        findings.push(Finding {
            rule,
            place: format!("line {line}"),
            message,
        });
    };
    let mut scenes: Vec<Scene> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if body.len() == bytes.len() {
        add(
            Rule::NotCanonical,
            bytes.split(|&b| b == b'\n').count(),
            "no final line feed".into(),
        );
    }
    for (i, line) in body.split(|&byte| byte == b'\n').enumerate() {
        let scene = match set::parse_line(line) {
            Ok(scene) => scene,
            Err(reason) => {
                add(Rule::Unreadable, i + 1, reason);
                continue;
            }
        };
        let value: serde_json::Value = serde_json::from_slice(line).expect("it was just read");
        if canonical(&value).as_bytes() != line {
            let message = format!("scene `{}` differs from its canonical form", scene.id);
            add(Rule::NotCanonical, i + 1, message);
        }
        if let Some(before) = by_id.insert(scene.id.clone(), i + 1) {
            let message = format!("the id `{}` stands in line {before} too", scene.id);
            add(Rule::DuplicateId, i + 1, message);
        } else if scenes.last().is_some_and(|last| last.id > scene.id) {
            let message = format!("scene `{}` is not sorted by id", scene.id);
            add(Rule::NotCanonical, i + 1, message);
        }
        scenes.push(scene);
    }
    scenes
}

/// One scene under the glass.
struct Look<'a> {
    scene: &'a Scene,
    facts: Facts,
    lexicon: &'a Lexicon,
    checks: &'a Checks<'a>,
    is_sentinel: bool,
    findings: &'a mut Vec<Finding>,
}

impl Look<'_> {
    fn add(&mut self, rule: Rule, message: String) {
        self.findings.push(Finding {
            rule,
            place: format!("scene `{}`", self.scene.id),
            message,
        });
    }

    fn all(mut self) {
        self.detections();
        self.known();
        self.slices();
        self.references();
        self.must_fail();
        self.characters();
    }

    fn detections(&mut self) {
        let analytic = &self.scene.analytic;
        for field in analytic.missing_fields() {
            self.add(Rule::MissingField, format!("`analytic.{field}` is missing"));
        }
        let end = analytic.duration_seconds;
        let late = analytic
            .events
            .iter()
            .filter(|event| event.frame_timestamp_seconds > end);
        let n_late = late.count();
        if n_late > 0 {
            self.add(
                Rule::PastTheEnd,
                format!("{n_late} events after the end at {end} s"),
            );
        }
        let unknown = self.facts.unknown_labels.clone();
        for label in unknown {
            self.add(
                Rule::UnknownLabel,
                format!("`{label}` takes part in no score"),
            );
        }
        for key in ["dataset", "license"] {
            if !self.scene.source.contains_key(key) {
                self.add(Rule::NoSource, format!("`source.{key}` is missing"));
            }
        }
    }

    fn known(&mut self) {
        for (label, known) in &self.scene.facts.labels {
            let Some(key) = self.lexicon.key_of(label) else {
                self.add(
                    Rule::UnknownLabel,
                    format!("`facts.labels.{label}` is in no lexicon"),
                );
                continue;
            };
            let at_once = self
                .facts
                .labels
                .get(key)
                .map_or(0, |seen| seen.max_at_once);
            if known.tracks.is_some_and(|tracks| tracks < at_once) {
                let tracks = known.tracks.unwrap_or(0);
                let message = format!("{tracks} objects of `{label}`, but {at_once} in one frame");
                self.add(Rule::TracksTooFew, message);
            }
        }
    }

    fn slices(&mut self) {
        for name in &self.scene.slices {
            match holds(name, self.scene, &self.facts, self.lexicon) {
                Some(true) => {}
                Some(false) => {
                    let rule = SLICES
                        .iter()
                        .find(|(slice, _)| slice == name)
                        .map(|pair| pair.1);
                    let rule = rule.unwrap_or_default();
                    self.add(Rule::SliceRule, format!("`{name}` asks for: {rule}"));
                }
                None if SLICES.iter().any(|(slice, _)| slice == name) || name == "hand-written" => {
                }
                None => self.add(Rule::UnknownSlice, format!("`{name}` has no rule")),
            }
        }
    }

    fn references(&mut self) {
        let references = &self.scene.references;
        if references.len() < MIN_REFERENCES {
            let message = format!("{} references, at least {MIN_REFERENCES}", references.len());
            self.add(Rule::FewReferences, message);
        }
        for (i, text) in references.iter().enumerate() {
            let n = text.chars().count();
            if !LENGTHS.contains(&n) {
                let (low, high) = (LENGTHS.start(), LENGTHS.end());
                self.add(
                    Rule::Length,
                    format!("reference {i} has {n} characters, not {low} to {high}"),
                );
            }
            let reasons = (self.checks.rejects)(self.scene, text, self.lexicon);
            if !reasons.is_empty() {
                let message = format!("reference {i} «{text}»: {}", reasons.join("; "));
                self.add(Rule::ReferenceRejected, message);
            }
            for (j, other) in references.iter().enumerate().skip(i + 1) {
                let alike = (self.checks.similarity)(text, other);
                if fold(text) == fold(other) || alike > MAX_SIMILARITY {
                    let message = format!("references {i} and {j} are alike ({alike:.2})");
                    self.add(Rule::SimilarReferences, message);
                }
            }
        }
        self.leaks();
    }

    /// References that the training families would write for this very scene.
    fn leaks(&mut self) {
        let trained = trained_texts(self.scene, &self.facts, self.lexicon);
        for (i, text) in self.scene.references.iter().enumerate() {
            if trained.contains_key(&fold(text)) {
                self.add(
                    Rule::Leak,
                    format!("reference {i} is a text models are trained on: «{text}»"),
                );
            }
        }
    }

    fn must_fail(&mut self) {
        let texts = &self.scene.must_fail;
        if self.is_sentinel && texts.len() < MIN_MUST_FAIL {
            let message = format!(
                "{} texts that must fail, at least {MIN_MUST_FAIL}",
                texts.len()
            );
            self.add(Rule::NoMustFail, message);
        }
        for (i, text) in texts.iter().enumerate() {
            if (self.checks.rejects)(self.scene, text, self.lexicon).is_empty() {
                self.add(
                    Rule::MustFailAccepted,
                    format!("text {i} is accepted: «{text}»"),
                );
            }
        }
    }

    fn characters(&mut self) {
        let scene = self.scene;
        let texts = [&scene.references, &scene.must_fail, &scene.keywords];
        for text in texts.into_iter().flatten() {
            if nfc(text) != *text {
                self.add(Rule::NotNfc, format!("«{text}»"));
            }
            if text.chars().any(char::is_control) {
                self.add(Rule::ControlCharacter, format!("{text:?}"));
            }
        }
    }
}

/// Folded texts of the training families for a scene.
fn trained_texts(scene: &Scene, facts: &Facts, lexicon: &Lexicon) -> BTreeMap<String, Family> {
    let is_portuguese = holds("labels-pt", scene, facts, lexicon) == Some(true);
    let mut texts = BTreeMap::new();
    for family in Family::TRAINING {
        for draw in 0..LEAK_DRAWS {
            let mut dice = world::stream(draw, "leak", 0, &scene.id);
            let text = tell(facts, is_portuguese, lexicon, family, &mut dice);
            texts.insert(fold(&text), family);
        }
    }
    texts
}

fn twins(scenes: &[Scene], findings: &mut Vec<Finding>) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for scene in scenes {
        // Empty scenes of one length are equal in everything but their names.
        let analytic = &scene.analytic;
        let key = serde_json::to_string(&(analytic.duration_seconds, &analytic.events))
            .expect("a scene is plain data");
        if analytic.events.is_empty() {
            continue;
        }
        if let Some(other) = seen.insert(key, &scene.id) {
            findings.push(Finding {
                rule: Rule::EqualAnalytic,
                place: format!("scene `{}`", scene.id),
                message: format!("has the detections of scene `{other}`"),
            });
        }
    }
}

#[cfg(test)]
mod tests;
