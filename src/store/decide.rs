//! What is to be done for a manifest: steps S3 and S4, which write nothing.
//!
//! In: the manifest, what is installed, the journal and the policy. Out: by which means the release
//! becomes current, or why it does not.

use std::cmp::Ordering;

use super::install::{Change, Request, examine};
use super::layout::{Current, Layout};
use super::ledger::Ledger;
use super::record::{self, Labels, Origin, Record};
use super::verify::Depth;
use super::{Error, Refusal, adopt, links, version};
use crate::manifest::{Loaded, ModelManifest};
use crate::units::Sha256;

/// What is to be done, before anything is.
pub(super) struct Decided<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) release: Sha256,
    pub(super) previous: Option<u64>,
    pub(super) means: Means,
    pub(super) plain: Vec<&'a str>,
    pub(super) warnings: Vec<String>,
}

/// By which means a release becomes current.
pub(super) enum Means {
    Nothing(Record),
    Restore { record: Record, sha256: Sha256 },
    Relabel { record: Record },
    Obtain,
}

impl Means {
    pub(super) fn change(&self) -> Change {
        match self {
            Self::Nothing(_) => Change::Unchanged,
            Self::Restore { .. } => Change::Restored,
            Self::Relabel { .. } => Change::Relabelled,
            Self::Obtain => Change::Installed,
        }
    }
}

/// Steps S3 and S4: what the manifest wants, what is there, and what policy says of it.
pub(super) fn decide<'a>(
    layout: &Layout,
    request: &Request<'_>,
    loaded: &'a Loaded,
    ledger: &Ledger,
    current: &Current,
) -> Result<Decided<'a>, Error> {
    let manifest = &loaded.manifest;
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    if request.is_strict && !warnings.is_empty() {
        return Err(Error::Strict { warnings });
    }
    let labels = labels(loaded);
    let release = manifest.release.digest();
    let targets = target_names(manifest);
    let installed = match current {
        Current::Absent => None,
        Current::Generation(number) => {
            Some((*number, examine(layout, ledger, *number, Depth::Full)?))
        }
        Current::Broken { found } => {
            return Err(Error::corrupt(&layout.current(), format!("it is {found}"))
                .with_hint("vv-eval model doctor --repair returns to the last good generation"));
        }
    };
    links::check(layout, &targets)?;
    let plain = adopt::plain_targets(layout, &targets)?;
    if let Some(record) = installed
        .as_ref()
        .and_then(|(_, examined)| examined.record.as_ref())
    {
        adopt::check_plain(layout, &plain, record)?;
    }
    if let Some((_, examined)) = &installed
        && let Some(record) = examined.sound()
        && record.release_digest == release
        && record.has_labels(&labels)
    {
        return Ok(Decided {
            previous: Some(record.generation),
            means: Means::Nothing(record.clone()),
            labels,
            release,
            plain,
            warnings,
        });
    }
    let before = installed
        .as_ref()
        .and_then(|(_, examined)| examined.record.as_ref());
    request.sources.check(&manifest.release, request.manifest)?;
    judge(request, manifest, release, before, ledger, &mut warnings)?;
    if let Some((number, examined)) = &installed
        && !examined.damages.is_empty()
    {
        let first = &examined.damages[0];
        warnings.push(format!(
            "generation {number} is damaged ({}: {}) and will be replaced",
            first.path, first.problem
        ));
    }
    Ok(Decided {
        previous: installed.as_ref().map(|(number, _)| *number),
        means: means(layout, ledger, &labels, release)?,
        labels,
        release,
        plain,
        warnings,
    })
}

/// What policy says of replacing one release by another.
fn judge(
    request: &Request<'_>,
    manifest: &ModelManifest,
    release: Sha256,
    before: Option<&Record>,
    ledger: &Ledger,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    check_consumer(request.consumer, manifest, warnings)?;
    let known_bad = ledger.known_bad.get(&release);
    if let Some(reason) = known_bad
        && !request.allows_known_bad
    {
        let reason = reason.clone();
        return Err(Error::Refused(Refusal::KnownBad { release, reason }));
    }
    let Some(before) = before.filter(|before| before.release_digest != release) else {
        return Ok(());
    };
    match version::compare(&manifest.version, &before.version) {
        Some(Ordering::Less) => {
            let was_here = ledger.was_current.contains(&release) && known_bad.is_none();
            if !was_here && !request.allows_downgrade {
                return Err(Error::Refused(Refusal::Downgrade {
                    current: before.version.clone(),
                    wanted: manifest.version.clone(),
                }));
            }
        }
        Some(Ordering::Equal) if request.policy.immutable_versions => {
            return Err(Error::Refused(Refusal::VersionReused {
                version: manifest.version.clone(),
                current: before.release_digest,
                wanted: release,
            }));
        }
        Some(Ordering::Equal) => warnings.push(format!(
            "version: {} was installed with other bytes before (release sha256:{})",
            manifest.version,
            before.release_digest.short()
        )),
        Some(Ordering::Greater) => {}
        None => warnings.push(format!(
            "version: {} cannot be compared with {}, so this may be a downgrade",
            manifest.version, before.version
        )),
    }
    Ok(())
}

fn check_consumer(
    consumer: Option<&str>,
    manifest: &ModelManifest,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(requires) = &manifest.requires_summarize_scene else {
        return Ok(());
    };
    match consumer.map(|found| (found, version::satisfies(found, requires))) {
        Some((found, Some(false) | None)) => Err(Error::Refused(Refusal::Consumer {
            requires: requires.clone(),
            found: found.to_owned(),
        })),
        Some((_, Some(true))) => Ok(()),
        None => {
            warnings.push(format!(
                "requires.summarize_scene: {requires} was not checked: the version on this host is \
                 not known (--consumer summarize_scene=VERSION)"
            ));
            Ok(())
        }
    }
}

/// Looks for the release, or its files, among the generations on disk.
fn means(
    layout: &Layout,
    ledger: &Ledger,
    labels: &Labels<'_>,
    release: Sha256,
) -> Result<Means, Error> {
    let artifacts = record::artifacts_digest(labels.release);
    let mut relabel = None;
    for number in layout.generation_numbers()?.into_iter().rev() {
        let Ok((record, _)) = Record::read(&layout.generation(number)) else {
            continue;
        };
        if record.artifacts_digest != artifacts || record.origin != Origin::Manifest {
            continue;
        }
        let examined = examine(layout, ledger, number, Depth::Full)?;
        if record.release_digest == release
            && record.has_labels(labels)
            && let (Some(record), Some(sha256)) = (examined.sound(), examined.record_sha256)
        {
            let record = record.clone();
            return Ok(Means::Restore { record, sha256 });
        }
        if relabel.is_none()
            && let Some(record) = examined.files_sound()
        {
            relabel = Some(record.clone());
        }
    }
    Ok(relabel.map_or(Means::Obtain, |record| Means::Relabel { record }))
}

fn labels(loaded: &Loaded) -> Labels<'_> {
    let manifest = &loaded.manifest;
    Labels {
        origin: Origin::Manifest,
        version: &manifest.version,
        model_name: &manifest.model_name,
        manifest_sha256: Some(loaded.sha256),
        requires_summarize_scene: manifest.requires_summarize_scene.as_deref(),
        release: &manifest.release,
    }
}

/// Names of the targets, each once, in written order.
fn target_names(manifest: &ModelManifest) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for artifact in &manifest.release.artifacts {
        if !names.contains(&artifact.target.as_str()) {
            names.push(&artifact.target);
        }
    }
    names
}
