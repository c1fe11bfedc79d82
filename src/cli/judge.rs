//! `vv-eval judge`: two saved records under a policy, without a model.

use std::path::Path;

use super::Failure;
use super::args::{self, Color};
use super::deliver::{Delivery, deliver};
use super::evidence::{planned_otherwise, score_records, tags};
use super::exit::Exit;
use super::{scene_sets, settings};
use crate::durable;
use crate::gate::certificate::{Certificate, REPLICATES};
use crate::gate::file::ReportFile;
use crate::gate::{Comparison, JudgeOptions, judge, waiver};
use crate::record::{RunRecord, SceneSetIdentity};
use crate::scene::SceneSet;

/// Judges the records and gives the verdict's exit code.
pub(super) fn run(args: &args::Judge, color: Color) -> Result<Exit, Failure> {
    let mut policy = settings::policy(args.policy.as_deref())?;
    let baseline = RunRecord::load(&args.baseline).map_err(Failure::invalid)?;
    let candidate = RunRecord::load(&args.candidate).map_err(Failure::invalid)?;
    let (scenes, lexicon) = (args.scenes.as_deref(), args.lexicon.as_deref());
    let set = scene_set(&baseline.scenes, scenes, lexicon)?;
    if args.scenes.is_some() {
        // As for `compare`: the flag wins over the policy's names, not over its digest.
        policy.scenes.set = Some(set.name.clone());
        policy.scenes.version = Some(set.version.clone());
    }
    let sentinels = baseline.sentinels.as_ref();
    let sentinels = sentinels
        .map(|sentinels| scene_set(&sentinels.set, args.sentinels.as_deref(), None))
        .transpose()?;
    if let Some(out) = &args.out {
        durable::reserve_directory(out).map_err(Failure::invalid)?;
    }
    let [baseline, candidate] = score_records(&set, sentinels.as_ref(), [baseline, candidate]);
    let comparison = Comparison::new(baseline, candidate)
        .map_err(Failure::invalid)?
        .with_tags(tags(&set));
    let options = JudgeOptions {
        judge_planted: args.judge_scripted,
    };
    let verdict = judge(&comparison, &policy, options);
    let certificate = Certificate::of(&comparison, &policy, REPLICATES);
    let mut notices = waiver::notices(&comparison, &policy);
    let (base, cand) = (comparison.baseline(), comparison.candidate());
    notices.extend(planned_otherwise(base, cand, &policy));
    let file = ReportFile::of_comparison(&comparison, &policy, &verdict)
        .with_scenes(&set)
        .with_notices(notices)
        .with_certificate(certificate);
    let delivery = Delivery {
        out: args.out.as_deref(),
        format: args.format,
        also: &[],
        lang: args.lang.lang(),
        uses_color: settings::uses_color(color),
        is_quiet: false,
    };
    deliver(&delivery, &file)
}

/// The scene set a record was made with: the one named, else by its own name below eval-sets/.
///
/// * `lexicon`: file of words that extend the lexicon of the set
///
/// Digests of scenes, prompt and lexicon must be those of the record; otherwise its outputs would be
/// scored by other rules than they were written for.
pub(super) fn scene_set(
    recorded: &SceneSetIdentity,
    named: Option<&str>,
    lexicon: Option<&Path>,
) -> Result<SceneSet, Failure> {
    let directory = match named {
        Some(named) => scene_sets::set_directory(named)?,
        None => scene_sets::find_set(&recorded.name, Some(&recorded.version))?,
    };
    if !directory.is_dir() {
        return Err(Failure::usage(
            format!(
                "the scene set {}@{} of the record is not at {}",
                recorded.name,
                recorded.version,
                durable::shown(&directory)
            ),
            "run from the repository's root, or name it: --scenes NAME@VERSION or DIR",
        ));
    }
    let mut set = SceneSet::load(&directory).map_err(Failure::invalid)?;
    set.lexicon = scene_sets::lexicon_of(set.lexicon, lexicon)?;
    match difference(recorded, &set) {
        None => Ok(set),
        Some(("lexicon_sha256", expected, found)) => Err(Failure::usage(
            format!(
                "the lexicon is not the one the record was made with\n  expected:  sha256 {expected}\n  \
                 found:     sha256 {found} ({})",
                set.lexicon.version
            ),
            "give the file the record was made with by --lexicon FILE, and none where it had none",
        )),
        Some((what, expected, found)) => Err(Failure::usage(
            format!(
                "{} is not the scene set of the record\n  field:     {what}\n  expected:  {expected}\n  \
                 found:     {found}",
                durable::shown(&directory)
            ),
            "name the scene set the record was made with: --scenes NAME@VERSION or DIR",
        )),
    }
}

/// The first digest in which a scene set differs from the recorded one.
pub(super) fn difference(
    recorded: &SceneSetIdentity,
    set: &SceneSet,
) -> Option<(&'static str, String, String)> {
    let found = [
        ("scenes_sha256", recorded.scenes_sha256, set.scenes_sha256),
        (
            "prompt_sha256",
            recorded.prompt_sha256,
            set.template.sha256(),
        ),
        (
            "lexicon_sha256",
            recorded.lexicon_sha256,
            set.lexicon.sha256,
        ),
    ];
    found
        .into_iter()
        .find(|(_, expected, found)| expected != found)
        .map(|(what, expected, found)| (what, expected.to_string(), found.to_string()))
}

/// The scene set of a record below eval-sets/; `None` where none of its name is there.
///
/// The error is what differs of the one that is there: name, digest of the record, digest found.
pub(super) fn set_if_there(
    recorded: &SceneSetIdentity,
) -> Result<Option<SceneSet>, (&'static str, String, String)> {
    let directory = scene_sets::find_set(&recorded.name, Some(&recorded.version)).ok();
    let set = directory.and_then(|directory| SceneSet::load(&directory).ok());
    match set.as_ref().and_then(|set| difference(recorded, set)) {
        None => Ok(set),
        Some(difference) => Err(difference),
    }
}
