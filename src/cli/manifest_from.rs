//! Where the next artifact of `manifest bump` comes from: a file, DVC, or a registry of MLflow.

use std::path::{Path, PathBuf};

use super::Failure;
use super::args_manifest::Bump;
use super::manifest::{POLICY, read_policy};
use super::progress::say;
use super::sources;
use crate::artifact::Fetcher;
use crate::artifact::mlflow::{Name, TRACKING};
use crate::artifact::source::Source;
use crate::durable::{Temporary, shown};
use crate::gate::Policy;
use crate::manifest::{HttpUrl, Url};

/// The next artifact, on this host.
pub(super) struct Found {
    /// The file, or a directory with every file the manifest names.
    pub(super) path: PathBuf,
    /// Where it is served, where its origin says so.
    pub(super) url: Option<String>,
    /// Keeps what was fetched for as long as it is looked at.
    _room: Option<Temporary>,
}

/// Finds the artifact `--from` names, and fetches it where it is elsewhere.
pub(super) fn find(args: &Bump) -> Result<Found, Failure> {
    let text = args.from.to_str().unwrap_or_default();
    if let Some(path) = text.strip_prefix("dvc:") {
        return from_dvc(args, Path::new(path));
    }
    match Name::parse(text) {
        Some(Ok(name)) => from_registry(args, &name),
        Some(Err(expected)) => Err(Failure::usage(
            format!("`{}` names no registered model", text.escape_debug()),
            format!("write mlflow:/ and {expected}, e.g. mlflow:/bitnet@champion"),
        )),
        None => Ok(Found {
            path: args.from.clone(),
            url: None,
            _room: None,
        }),
    }
}

/// A fetcher under the policy beside the manifest, with a cache of its own.
fn fetcher(args: &Bump, room: &Temporary) -> Result<Fetcher, Failure> {
    let beside = args.manifest.with_file_name(POLICY);
    let policy = if beside.exists() {
        read_policy(&beside)?
    } else {
        Policy::built_in()
    };
    let rules = sources::rules(&policy)?;
    sources::fetcher(&policy, rules, room.path(), (false, None))
}

/// The file of a `.dvc` file; the manifest goes on naming the latter.
fn from_dvc(args: &Bump, path: &Path) -> Result<Found, Failure> {
    let room = Temporary::create(None).map_err(Failure::invalid)?;
    let fetcher = fetcher(args, &room)?;
    let url = format!("dvc:{}", below_manifest(args, path)?);
    let name = path.file_stem().and_then(|name| name.to_str());
    let name = name.filter(|_| path.extension().is_some_and(|it| it == "dvc"));
    let name = name.ok_or_else(|| {
        Failure::usage(
            format!("`{}` is no `.dvc` file", shown(path)),
            "name the file `dvc add` wrote, e.g. dvc:models/bitnet.tar.gz.dvc",
        )
    })?;
    let sources = fetcher.dvc_sources(path).map_err(Failure::invalid)?;
    let source = sources.first().ok_or_else(|| {
        Failure::usage(
            format!("the file of `{}` is nowhere to be found", shown(path)),
            "run `dvc add` here, or `dvc remote add --default` and `dvc push` where it is",
        )
    })?;
    let found = obtain(&fetcher, source, &room, name)?;
    // DVC's cache calls it by its digest.
    let path = room.path().join(name);
    if found != path {
        std::fs::copy(&found, &path).map_err(|error| {
            let message = format!("cannot copy `{}`: {error}", shown(&found));
            Failure::usage(
                message,
                "look whether the file can be read, and for free space",
            )
        })?;
    }
    Ok(Found {
        path,
        url: Some(url),
        _room: Some(room),
    })
}

/// The path of a file as a URL of the manifest names it.
fn below_manifest(args: &Bump, path: &Path) -> Result<String, Failure> {
    let base = match args.manifest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let inside = || {
        let path = path.canonicalize().ok()?;
        let base = base.canonicalize().ok()?;
        Some(path.strip_prefix(base).ok()?.to_str()?.to_owned())
    };
    inside().ok_or_else(|| {
        Failure::usage(
            format!(
                "`{}` is no file in or below the manifest's directory",
                shown(path)
            ),
            "the manifest names it relative to itself; move one of the two",
        )
    })
}

/// The file of one version of a registered model; an alias is read once, here.
fn from_registry(args: &Bump, name: &Name) -> Result<Found, Failure> {
    let tracking = std::env::var(TRACKING).unwrap_or_default();
    let tracking = HttpUrl::parse(&tracking).map_err(|expected| {
        Failure::usage(
            format!("{TRACKING} is no address of a tracking server; expected {expected}"),
            format!("set it, e.g. {TRACKING}=https://mlflow.acme.dev"),
        )
    })?;
    let room = Temporary::create(None).map_err(Failure::invalid)?;
    let fetcher = fetcher(args, &room)?;
    let found = fetcher
        .registered(&tracking, name)
        .map_err(Failure::invalid)?;
    say(&format!(
        "note: version {} of the registered model, `{}`",
        found.version,
        found.filename.escape_debug()
    ));
    let url = Url::read(&found.url).map_err(|(expected, it)| {
        Failure::usage(
            format!("the registry names {it}; expected {expected}"),
            "download the file and name it with --from FILE --url URL",
        )
    })?;
    let base = Path::new(".");
    let rules = fetcher.rules();
    let source = rules
        .source(&url, base)
        .map_err(|refusal| Failure::invalid(crate::artifact::Error::from(refusal)))?;
    let path = obtain(&fetcher, &source, &room, &found.filename)?;
    Ok(Found {
        path,
        url: Some(found.url),
        _room: Some(room),
    })
}

fn obtain(
    fetcher: &Fetcher,
    source: &Source,
    room: &Temporary,
    name: &str,
) -> Result<PathBuf, Failure> {
    fetcher
        .obtain_unpinned(source, (room.path(), name), &mut sources::tell)
        .map_err(Failure::invalid)
}
