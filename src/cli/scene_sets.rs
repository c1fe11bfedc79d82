//! The scene set, the sentinels and the lexicon that a command names or a policy demands.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::durable;
use crate::gate::Policy;
use crate::gate::policy::SentinelsPolicy;
use crate::manifest::compare_versions;
use crate::scene::lexicon::{Lexicon, lint};
use crate::scene::{Scene, SceneSet};

/// Folder of scene sets named by NAME[@VERSION].
const EVAL_SETS: &str = "eval-sets";

/// Directory of a set given by path or by name.
pub(super) fn set_directory(named: &str) -> Result<PathBuf, Failure> {
    if Path::new(named).is_dir() {
        return Ok(PathBuf::from(named));
    }
    let (name, version) = named
        .split_once('@')
        .map_or((named, None), |(name, version)| (name, Some(version)));
    find_set(name, version)
}

/// The lexicon of a scene set, with the words of the user's file where one is named.
pub(super) fn lexicon_of(
    base: &'static Lexicon,
    extension: Option<&Path>,
) -> Result<&'static Lexicon, Failure> {
    let Some(path) = extension else {
        return Ok(base);
    };
    let shown = durable::shown(path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = "name a TOML file in UTF-8 with --lexicon FILE";
        Failure::usage(format!("cannot read lexicon {shown}: {error}"), hint)
    })?;
    let hint = "docs/metrics.md shows what a file with words of your own looks like";
    let extended = base
        .extended_by(&text)
        .map_err(|error| Failure::usage(format!("{shown}: {error}"), hint))?;
    let findings = lint::new_findings(base, &extended);
    if !findings.is_empty() {
        let lines = findings
            .iter()
            .map(|finding| format!("\n  {}: {}", finding.rule, finding.message));
        let message = format!(
            "{shown} contradicts the lexicon {}{}",
            base.version,
            lines.collect::<String>()
        );
        return Err(Failure::usage(message, hint));
    }
    // One per process at most, needed to its end, like those compiled in.
    Ok(Box::leak(Box::new(extended)))
}

/// Refuses a lexicon that is not the one the policy pins.
pub(super) fn check_lexicon(lexicon: &Lexicon, policy: &Policy) -> Result<(), Failure> {
    match policy.scenes.lexicon {
        Some(expected) if expected != lexicon.sha256 => Err(Failure::usage(
            format!(
                "the lexicon is not the one the policy pins\n  expected:  sha256 {expected}\n  \
                 found:     sha256 {} ({})",
                lexicon.sha256, lexicon.version
            ),
            "change `scenes.lexicon` of the policy in review, or give the file it was made with by \
             --lexicon FILE",
        )),
        _ => Ok(()),
    }
}

/// The scene set named, else the policy's, checked against what the policy pins.
pub(super) fn scenes(named: Option<&str>, policy: &Policy) -> Result<SceneSet, Failure> {
    let pinned = &policy.scenes;
    let directory = match (named, &pinned.set) {
        (Some(named), _) => set_directory(named)?,
        (None, Some(set)) => find_set(set, pinned.version.as_deref())?,
        (None, None) => {
            return Err(Failure::usage(
                "no scene set: the policy names none",
                "name one with --scenes NAME[@VERSION] or --scenes DIR",
            ));
        }
    };
    let set = SceneSet::load(&directory).map_err(Failure::invalid)?;
    check_pin(policy, &set, &durable::shown(&directory))?;
    Ok(set)
}

/// Refuses a scene set that is not the one the policy pins by digest.
///
/// * `place`: where it was found, for the message
pub(super) fn check_pin(policy: &Policy, set: &SceneSet, place: &str) -> Result<(), Failure> {
    match policy.scenes.digest {
        Some(expected) if expected != set.scenes_sha256 => Err(Failure::usage(
            format!(
                "scene set {place} is not the one the policy pins\n  expected:  sha256 \
                 {expected}\n  found:     sha256 {}",
                set.scenes_sha256
            ),
            "change `scenes.digest` of the policy in review, or use the pinned set",
        )),
        _ => Ok(()),
    }
}

/// The set of sentinels the policy demands, checked against what it pins.
///
/// A sentinel may not bear the id of a scene of the set: both stand in one plan.
pub(super) fn sentinels(policy: &Policy, scenes: &SceneSet) -> Result<Option<SceneSet>, Failure> {
    let Some(demanded) = &policy.sentinels else {
        return Ok(None);
    };
    let directory = find_set(&demanded.set, demanded.version.as_deref())?;
    let set = SceneSet::load(&directory).map_err(Failure::invalid)?;
    check_sentinels(demanded, &set, scenes, &durable::shown(&directory))?;
    Ok(Some(set))
}

/// Refuses sentinels that are not those the policy pins, or share a scene with the set.
///
/// * `place`: where they were found, for the message
pub(super) fn check_sentinels(
    demanded: &SentinelsPolicy,
    set: &SceneSet,
    scenes: &SceneSet,
    place: &str,
) -> Result<(), Failure> {
    if let Some(expected) = demanded.digest
        && expected != set.scenes_sha256
    {
        return Err(Failure::usage(
            format!(
                "the sentinels of {place} are not those the policy pins\n  expected:  sha256 \
                 {expected}\n  found:     sha256 {}",
                set.scenes_sha256
            ),
            "change `sentinels.digest` of the policy in review, or use the pinned set",
        ));
    }
    let known: HashSet<&str> = scenes
        .scenes
        .iter()
        .map(|scene| scene.id.as_str())
        .collect();
    if let Some(twin) = set
        .scenes
        .iter()
        .find(|scene| known.contains(scene.id.as_str()))
    {
        return Err(Failure::usage(
            format!(
                "scene `{}` stands in {}@{} and among the sentinels of {}@{}",
                twin.id, scenes.name, scenes.version, set.name, set.version
            ),
            "judge by another scene set, or leave `[sentinels]` out of the policy",
        ));
    }
    Ok(())
}

/// Refuses slices that the scene set cannot fill before anything is run.
pub(super) fn slices_exist(policy: &Policy, scenes: &SceneSet) -> Result<(), Failure> {
    for slice in &policy.slices {
        let is_in = |scene: &&Scene| scene.slices.contains(&slice.name);
        let n = scenes.scenes.iter().filter(is_in).count();
        if n < slice.min_scenes {
            let known: BTreeSet<&str> = scenes
                .scenes
                .iter()
                .flat_map(|scene| scene.slices.iter().map(String::as_str))
                .collect();
            let known: Vec<&str> = known.into_iter().collect();
            return Err(Failure::usage(
                format!(
                    "slice `{}` has {n} scenes in {}@{}, the policy demands {}",
                    slice.name, scenes.name, scenes.version, slice.min_scenes
                ),
                format!("its slices are: {}", known.join(", ")),
            ));
        }
    }
    Ok(())
}

/// `eval-sets/NAME/VERSION`; the highest version when none is named.
pub(super) fn find_set(name: &str, version: Option<&str>) -> Result<PathBuf, Failure> {
    let folder = Path::new(EVAL_SETS).join(name);
    if let Some(version) = version {
        return Ok(folder.join(version));
    }
    let entries = std::fs::read_dir(&folder).map_err(|error| {
        Failure::usage(
            format!(
                "no scene set `{name}`: cannot read {}: {error}",
                durable::shown(&folder)
            ),
            "run from the repository's root, or name a directory with --scenes DIR",
        )
    })?;
    let versions = entries
        .flatten()
        .filter(|entry| entry.path().join("set.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let highest = versions.max_by(|a, b| compare_versions(a, b));
    highest.map(|version| folder.join(version)).ok_or_else(|| {
        Failure::usage(
            format!(
                "no version of scene set `{name}` in {}",
                durable::shown(&folder)
            ),
            "a scene set is a directory with set.toml and scenes.jsonl",
        )
    })
}
