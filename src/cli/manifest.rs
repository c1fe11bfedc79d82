//! `vv-eval manifest`: checks manifests, tells what changed, pins the next release.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Failure;
use super::args_manifest::{Bump, Diff, Lint, ManifestAction};
use super::exit::Exit;
use super::manifest_from;
use super::output::print;
use super::progress::say;
use super::sources;
use crate::artifact::archive::{self, Destination, Limits};
use crate::artifact::{Blob, Promise, digest};
use crate::durable::{Temporary, shown, write_atomic};
use crate::gate::Policy;
use crate::manifest::{
    self, Artifact, Draft, Format, Loaded, ModelManifest, NewArtifact, Url, compare_versions, diff,
};
use crate::promotion::git::Repository;
use crate::report::escape::one_line;

/// Policy file looked for beside the manifest.
pub(super) const POLICY: &str = "gate.toml";

/// Runs the command.
pub(super) fn run(action: &ManifestAction) -> Result<Exit, Failure> {
    match action {
        ManifestAction::Lint(args) => lint(args),
        ManifestAction::Diff(args) => compare(args).map(|()| Exit::Pass),
        ManifestAction::Bump(args) => bump(args).map(|()| Exit::Pass),
        ManifestAction::Schema => print(manifest::SCHEMA.as_bytes()).map(|()| Exit::Pass),
    }
}

/// Prints every finding and warning, one after the other, with where they stand.
fn lint(args: &Lint) -> Result<Exit, Failure> {
    let path = &args.manifest;
    let mut bytes = manifest::read_bytes(path).map_err(Failure::invalid)?;
    if args.fix {
        bytes = fix(path, bytes)?;
    }
    let mut out = String::new();
    let mut n_findings = 0;
    match manifest::parse(&bytes, path) {
        Ok(loaded) => {
            let kind = if args.strict { "error" } else { "warning" };
            for warning in &loaded.warnings {
                let _ = writeln!(
                    out,
                    "{}:{kind}: {}",
                    shown(path),
                    one_line(&warning.to_string())
                );
            }
            if args.strict {
                n_findings += loaded.warnings.len();
            }
            for refusal in refused(args, &loaded)? {
                n_findings += 1;
                let _ = writeln!(out, "{}:error: {}", shown(path), refusal.replace('\n', " "));
            }
            if n_findings == 0 {
                let release = loaded.manifest.release.digest();
                let version = &loaded.manifest.version;
                let _ = writeln!(
                    out,
                    "{}: version {version}, release sha256 {release}",
                    shown(path)
                );
            }
        }
        Err(manifest::Error::Findings { findings, .. }) => {
            n_findings += findings.len();
            for finding in &findings {
                let _ = writeln!(out, "{}:error: {finding}", shown(path));
                if let Some(hint) = &finding.hint {
                    let _ = writeln!(out, "    hint:      {hint}");
                }
            }
        }
        Err(error) => return Err(Failure::invalid(error)),
    }
    print(out.as_bytes())?;
    Ok(if n_findings == 0 {
        Exit::Pass
    } else {
        Exit::Fail
    })
}

/// Sources and sizes that the policy refuses, one sentence each.
fn refused(args: &Lint, loaded: &Loaded) -> Result<Vec<String>, Failure> {
    let beside = args.manifest.with_file_name(POLICY);
    let named = args
        .policy
        .clone()
        .or_else(|| beside.exists().then_some(beside));
    let Some(policy) = named else {
        return Ok(Vec::new());
    };
    let policy = read_policy(&policy)?;
    let rules = sources::rules(&policy)?;
    let release = &loaded.manifest.release;
    let urls = release.artifacts.iter().flat_map(|artifact| &artifact.urls);
    let mut found: Vec<String> = urls
        .filter(|url| url.http().is_some() || url.object().is_some())
        .filter_map(|url| rules.source(url, Path::new(".")).err())
        .map(|refusal| refusal.to_string())
        .collect();
    found.extend(
        rules
            .check_sizes(release)
            .err()
            .map(|refusal| refusal.to_string()),
    );
    Ok(found)
}

pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read policy {}: {error}", shown(path));
        Failure::usage(message, "name an existing file with --policy")
    })?;
    Policy::parse(&text, &shown(path)).map_err(Failure::invalid)
}

/// Repairs what can be repaired without a doubt, on the disk; gives the text there is then.
fn fix(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    // What is no JSON is reported by the lint.
    let Ok(mut draft) = Draft::parse(&bytes) else {
        return Ok(bytes);
    };
    let done = draft.fix();
    if done.is_empty() {
        return Ok(bytes);
    }
    let text = draft.text().into_bytes();
    write_atomic(path, &text).map_err(Failure::invalid)?;
    for what in done {
        say(&format!("fixed: {what}"));
    }
    Ok(text)
}

fn compare(args: &Diff) -> Result<(), Failure> {
    let before = read_named(&args.before)?;
    let after = read_named(&args.after)?;
    let changes = diff(&before, &after);
    let mut out = String::new();
    if changes.is_empty() {
        out.push_str("nothing changed\n");
    }
    for change in changes {
        let _ = writeln!(out, "{}", one_line(&change.to_string()));
    }
    print(out.as_bytes())
}

/// A manifest by path, or by revision and path.
fn read_named(named: &str) -> Result<ModelManifest, Failure> {
    let path = Path::new(named);
    if path.exists() {
        return Ok(manifest::read(path).map_err(Failure::invalid)?.manifest);
    }
    let Some((revision, inside)) = named.split_once(':') else {
        return Ok(manifest::read(path).map_err(Failure::invalid)?.manifest);
    };
    let repository = Repository::open(Path::new(".")).map_err(Failure::invalid)?;
    let commit = repository.resolve(revision).map_err(Failure::invalid)?;
    let found = repository
        .blob(&commit, inside, manifest::MAX_MANIFEST_BYTES)
        .map_err(Failure::invalid)?;
    let bytes = found.ok_or_else(|| {
        Failure::usage(
            format!(
                "there is no `{}` at {}",
                inside.escape_debug(),
                revision.escape_debug()
            ),
            "the path is relative to the top of the repository",
        )
    })?;
    Ok(manifest::parse(&bytes, path)
        .map_err(Failure::invalid)?
        .manifest)
}

/// Writes the manifest of the next release.
fn bump(args: &Bump) -> Result<(), Failure> {
    let path = &args.manifest;
    let bytes = manifest::read_bytes(path).map_err(Failure::invalid)?;
    let before = manifest::parse(&bytes, path)
        .map_err(Failure::invalid)?
        .manifest;
    let mut draft = Draft::parse(&bytes).map_err(|findings| {
        Failure::invalid(manifest::Error::Findings {
            path: path.clone(),
            findings,
        })
    })?;
    draft.fix();
    let found = manifest_from::find(args)?;
    let url = args.url.as_deref().or(found.url.as_deref());
    for (index, from) in replaced(args, &found.path, &before)? {
        let new = new_artifact((&args.version, url), &before, index, &from)?;
        draft.set_artifact(index, &new);
    }
    draft.set_version(&args.version);
    draft.set_date(&manifest::today());
    let text = draft.text();
    // Whatever rule the new text breaks, the version's included, is found here.
    let after = manifest::parse(text.as_bytes(), path)
        .map_err(Failure::invalid)?
        .manifest;
    warn_of_versions(&before, &after);
    if args.dry_run {
        return print(text.as_bytes());
    }
    write_atomic(path, text.as_bytes()).map_err(Failure::invalid)?;
    let mut out = String::new();
    for change in diff(&before, &after) {
        let _ = writeln!(out, "{}", one_line(&change.to_string()));
    }
    print(out.as_bytes())
}

fn warn_of_versions(before: &ModelManifest, after: &ModelManifest) {
    let is_other = before.release.digest() != after.release.digest();
    let (old, new) = (&before.version, &after.version);
    match compare_versions(old, new) {
        std::cmp::Ordering::Greater => {
            say(&format!(
                "warning: version {new} is below {old}, the one before"
            ));
        }
        std::cmp::Ordering::Equal if is_other => {
            say(&format!(
                "warning: version {new} now names other bytes than before"
            ));
        }
        _ => {}
    }
}

/// Which artifacts are replaced, and by which files.
///
/// * `from`: the file, or the directory with all of them
fn replaced(
    args: &Bump,
    from: &Path,
    before: &ModelManifest,
) -> Result<Vec<(usize, PathBuf)>, Failure> {
    let artifacts = &before.release.artifacts;
    let names = || {
        let names: Vec<&str> = artifacts.iter().map(|it| it.filename.as_str()).collect();
        names.join(", ")
    };
    let by_name = |name: &str| artifacts.iter().position(|it| it.filename == name);
    if from.is_dir() {
        if args.artifact.is_some() || (artifacts.len() > 1 && args.url.is_some()) {
            return Err(Failure::usage(
                "--artifact and --url are about one file, but --from is a directory",
                "name the file with --from, once for each artifact",
            ));
        }
        let all = artifacts.iter().enumerate();
        return Ok(all.map(|(i, it)| (i, from.join(&it.filename))).collect());
    }
    let index = match (&args.artifact, artifacts.len()) {
        (Some(name), _) => by_name(name),
        (None, 1) => Some(0),
        (None, _) => from
            .file_name()
            .and_then(|name| by_name(&name.to_string_lossy())),
    };
    index
        .map(|index| vec![(index, from.to_owned())])
        .ok_or_else(|| {
            Failure::usage(
                "which of the artifacts is replaced is not clear",
                format!("name it with --artifact FILENAME; there are: {}", names()),
            )
        })
}

/// The entry for a file: its digest, its size, and where it will be.
///
/// * `url`: where it is served; `None` for where the one before was
fn new_artifact(
    (version, url): (&str, Option<&str>),
    before: &ModelManifest,
    index: usize,
    from: &Path,
) -> Result<NewArtifact, Failure> {
    let old = &before.release.artifacts[index];
    let found = digest::digest_file(from).map_err(Failure::invalid)?;
    let Some(filename) = from.file_name().and_then(OsStr::to_str) else {
        let error = crate::artifact::Error::NameNotUtf8 {
            path: from.to_owned(),
        };
        return Err(Failure::invalid(error));
    };
    let filename = filename.to_owned();
    let url = match url {
        Some(url) => url.to_owned(),
        None => next_url(
            &old.urls[0],
            (&old.filename, &filename),
            (&before.version, version),
        ),
    };
    let new = Artifact {
        filename: filename.clone(),
        sha256: found.sha256(),
        size: Some(found.size()),
        unpacked: None,
        ..old.clone()
    };
    Ok(NewArtifact {
        filename,
        url,
        sha256: found.sha256(),
        size: found.size(),
        unpacked: unpacked(from, &new)?,
    })
}

/// The URL with the new file name and version in place of the old ones; without its query, which
/// signed the old file.
fn next_url(
    url: &Url,
    (old_name, name): (&str, &str),
    (old_version, version): (&str, &str),
) -> String {
    let (start, text) = match url {
        Url::Repo(path) => ("repo:", path.to_string_lossy().into_owned()),
        Url::Remote { text, .. } => (
            "",
            text.split(['?', '#']).next().unwrap_or_default().to_owned(),
        ),
    };
    let text = match text.strip_suffix(old_name) {
        Some(folder) => format!("{}{name}", with_version(folder, old_version, version)),
        None => with_version(&text, old_version, version),
    };
    format!("{start}{text}")
}

/// A path with one version for another, where a component is that version alone.
fn with_version(path: &str, old: &str, new: &str) -> String {
    let bare = |version: &str| version.strip_prefix('v').unwrap_or(version).to_owned();
    let (old, new) = (bare(old), bare(new));
    let parts = path.split('/').map(|part| match part {
        part if part == old => new.clone(),
        part if part.strip_prefix('v') == Some(&old) => format!("v{new}"),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Proves that an archive can be installed; gives the bytes of its files.
fn unpacked(path: &Path, artifact: &Artifact) -> Result<Option<crate::units::Bytes>, Failure> {
    if artifact.format == Format::File {
        return Ok(None);
    }
    let promise = Promise {
        sha256: artifact.sha256,
        size: artifact.size,
    };
    let blob = Blob::open(path, promise).map_err(Failure::invalid)?;
    let room = Temporary::create(None).map_err(Failure::invalid)?;
    let mut destination = Destination::open(room.path()).map_err(Failure::invalid)?;
    archive::unpack(&blob, artifact, &Limits::default(), &mut destination)
        .map_err(Failure::invalid)?;
    let total = destination.files().values().map(|file| file.size.0).sum();
    Ok(Some(crate::units::Bytes(total)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Scheme;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let url = match url.strip_prefix("repo:") {
            Some(path) => Url::Repo(path.into()),
            None => Url::Remote {
                scheme: Scheme::Https,
                text: url.to_owned(),
            },
        };
        let next = next_url(&url, ("m-1.0.tar.gz", "m-1.1.tar.gz"), ("v1.0", "1.1"));
        assert_eq!(next, expected);
    }

    #[test]
    fn urls_follow_the_release() {
        check(
            "https://h/models/m-1.0.tar.gz",
            "https://h/models/m-1.1.tar.gz",
        );
        check(
            "https://h/v1.0/m-1.0.tar.gz?sig=x",
            "https://h/v1.1/m-1.1.tar.gz",
        );
        check("https://h/1.0/m-1.0.tar.gz", "https://h/1.1/m-1.1.tar.gz");
        check("https://h/11.0/latest", "https://h/11.0/latest");
        check("repo:dist/m-1.0.tar.gz", "repo:dist/m-1.1.tar.gz");
    }
}
