//! Takes over plain directories of an earlier installer, without a moment without a model.
//!
//! The directory's files become generation 0 and current; then one exchange of names puts the link
//! where the directory stood.

use std::fs;

use super::journal::{Event, News, Writer};
use super::layout::{Current, INFO_FILE, Layout};
use super::links::{self, Place, link_text};
use super::record::{Labels, Origin, Record};
use super::stage::Staged;
use super::step::{Step, reached};
use super::{Error, clock, durable_failure, flip, recover, verify};
use crate::durable;
use crate::manifest::{Artifact, Format, Release};
use crate::units::Bytes;

/// Number of the generation that takes over what stood there before.
const ADOPTED: u64 = 0;

/// Longest version label taken from an earlier installer's record, in bytes.
const MAX_VERSION_BYTES: usize = 64;

/// Names of targets at which plain directories stand.
pub(super) fn plain_targets<'a>(
    layout: &Layout,
    targets: &[&'a str],
) -> Result<Vec<&'a str>, Error> {
    let mut plain = Vec::new();
    for name in targets {
        if links::target_place(layout, name)? == Place::Plain {
            plain.push(*name);
        }
    }
    Ok(plain)
}

/// Refuses plain directories beside a generation that does not hold the same files: nobody knows
/// what they are.
pub(super) fn check_plain(layout: &Layout, plain: &[&str], current: &Record) -> Result<(), Error> {
    for name in plain {
        let path = layout.public(name);
        let found = verify::digest_tree(&path)?;
        let is_same = current.targets.iter().any(|target| {
            target.name == *name && target.files.len() == found.len() && {
                found.iter().all(|file| target.files.contains(file))
            }
        });
        if !is_same {
            let problem = "a directory this store did not make stands where its link belongs";
            return Err(Error::corrupt(&path, problem)
                .with_hint("move the directory away and run the command again"));
        }
    }
    Ok(())
}

/// Makes the plain directories generation 0 and puts links in their places.
///
/// * `plain`: names of plain directories; with generations on disk, all of them checked copies
/// * `allows_gap`: whether a moment without a model is accepted where names cannot be exchanged
pub(super) fn adopt(
    layout: &Layout,
    plain: &[&str],
    journal: &mut Writer,
    allows_gap: bool,
) -> Result<(), Error> {
    if layout.read_current()? == Current::Absent {
        make_generation(layout, plain, journal)?;
    }
    // The link must not be on the disk before the store it leads into has a name there.
    durable::sync(layout.models())?;
    for name in plain {
        exchange(layout, name, allows_gap)?;
    }
    reached(Step::Exchanged);
    Ok(())
}

fn make_generation(layout: &Layout, plain: &[&str], journal: &mut Writer) -> Result<(), Error> {
    let staged = Staged::new(layout)?;
    let mut targets = Vec::new();
    for name in plain {
        let from = layout.public(name);
        let files = verify::digest_tree(&from)?;
        if !files.is_empty() {
            staged.link_target(&from, name, &files)?;
            targets.push(staged.digest(name)?);
        }
    }
    if targets.is_empty() {
        return Ok(());
    }
    let release = Release {
        artifacts: targets
            .iter()
            .flat_map(|target| {
                target.files.iter().map(|file| Artifact {
                    filename: file.path.clone(),
                    urls: Vec::new(),
                    sha256: file.sha256,
                    size: Some(file.size_bytes),
                    unpacked: None,
                    target: target.name.clone(),
                    strip_components: 0,
                    format: Format::File,
                })
            })
            .collect(),
        model_options: None,
    };
    let labels = Labels {
        origin: Origin::Migrated,
        version: &stated_version(layout),
        model_name: plain.first().copied().unwrap_or_default(),
        manifest_sha256: None,
        requires_summarize_scene: None,
        release: &release,
    };
    let sizes: Vec<Bytes> = release.artifacts.iter().filter_map(|it| it.size).collect();
    let installed_at = clock::text(clock::now());
    let record = Record::new(&labels, ADOPTED, installed_at, &sizes, targets);
    let record_sha256 = staged.finish(&record)?;
    // A run that was cut short may have left one that nothing names.
    recover::remove_tree(&layout.generation(ADOPTED))?;
    staged.name(layout, ADOPTED)?;
    reached(Step::Adopted);
    journal.append(News {
        event: Event::Migrated,
        generation: Some(ADOPTED),
        release: Some(record.release_digest),
        record: Some(record_sha256),
        version: Some(record.version.clone()),
        manifest: None,
        reason: Some("a plain directory stood there".into()),
    })?;
    flip::set_current(layout, ADOPTED)?;
    reached(Step::AdoptedCurrent);
    Ok(())
}

/// The version an earlier installer's record states, when it can be read.
fn stated_version(layout: &Layout) -> String {
    let read = fs::read(layout.public(INFO_FILE)).ok();
    let info = read.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let version = info.as_ref().and_then(|info| info.get("version")?.as_str());
    let is_usable = |text: &&str| {
        (1..=MAX_VERSION_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    version.filter(is_usable).unwrap_or("unknown").to_owned()
}

/// Puts the link where the directory stands, in one step; the directory goes to staging.
fn exchange(layout: &Layout, name: &str, allows_gap: bool) -> Result<(), Error> {
    let public = layout.public(name);
    let aside = layout.temporary("plain")?;
    let link = |at| std::os::unix::fs::symlink(link_text(name), at);
    link(&aside).map_err(durable_failure("link", &aside))?;
    match durable::exchange(&aside, &public) {
        Ok(()) => {}
        Err(error) if error.source.kind() == std::io::ErrorKind::Unsupported => {
            if !allows_gap {
                return Err(Error::Unsupported {
                    path: public,
                    problem: "its file system cannot exchange two names; --allow-gap accepts a \
                              moment without a model"
                        .into(),
                });
            }
            let kept = layout.temporary("plain")?;
            durable::rename_to_free(&public, &kept)?;
            durable::rename_to_free(&aside, &public)?;
        }
        Err(error) => return Err(error.into()),
    }
    recover::remove_tree(&aside)
}
