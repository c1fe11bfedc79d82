//! One artifact of a manifest from wherever it is: the cache, this host, or its mirrors in turn.

use std::path::{Path, PathBuf};

use super::cache::{Blob, Cache, Partial};
use super::dvc::{self, Location};
use super::error::Fetched;
use super::http::{Http, Place};
use super::lfs::{MAX_POINTER_BYTES, Pointer, looks_like_pointer};
use super::reach::{Event, Listener, Reach};
use super::source::{Refusal, Rules, Source};
use super::{Error, Promise, digest, mlflow};
use crate::durable;
use crate::manifest::{Artifact, HttpUrl, Release, Url};
use crate::units::Sha256;

/// Obtains artifacts under the rules of a policy.
#[derive(Debug)]
pub struct Fetcher {
    rules: Rules,
    http: Http,
    cache: Cache,
    is_offline: bool,
}

impl Fetcher {
    /// * `cache`: where whole and unfinished downloads are kept
    ///
    /// # Errors
    /// [`Error::Unreadable`] about the file of certificates.
    pub fn new(rules: Rules, reach: Reach, cache: Cache) -> Result<Self, Error> {
        let is_offline = reach.is_offline;
        let http = Http::new(rules.clone(), reach)?;
        Ok(Self {
            rules,
            http,
            cache,
            is_offline,
        })
    }

    #[cfg(test)]
    pub(super) fn with_http(self, change: impl FnOnce(Http) -> Http) -> Self {
        let http = change(self.http);
        Self { http, ..self }
    }

    /// The rules sources are held against.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Where each artifact may come from, mirrors in order; opens nothing.
    ///
    /// * `base`: the manifest's directory
    ///
    /// # Errors
    /// [`Error::Refused`] for the first source, or size, that is not allowed; as
    /// [`check_means`].
    pub fn sources(&self, release: &Release, base: &Path) -> Result<Vec<Vec<Source>>, Error> {
        let sources = self.rules.sources(release, base)?;
        check_means(&sources)?;
        Ok(sources)
    }

    /// Obtains one artifact: its bytes are the promised ones.
    ///
    /// * `index`: its place in the manifest
    /// * `sources`: as [`Fetcher::sources`] gave them
    ///
    /// A mirror that fails is told to `listener`, and the next one is asked.
    ///
    /// # Errors
    /// That of the last mirror, or [`Error::Offline`].
    ///
    /// # Panics
    /// When `sources` is empty: a manifest names at least one URL for each artifact.
    pub fn obtain(
        &self,
        (index, artifact): (usize, &Artifact),
        sources: &[Source],
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        let promise = Promise {
            sha256: artifact.sha256,
            size: artifact.size,
        };
        let mut last: Option<Error> = None;
        let told = |error: &Error| {
            let text = error.to_string().replace('\n', " ");
            Event::Note(format!("an earlier mirror failed: {text}"))
        };
        for source in sources {
            let found = match source {
                Source::File(_) | Source::Lfs(_) => self.local(source, artifact, listener),
                Source::Http(url) => self.remote((index, promise), Place::Web(url), listener),
                Source::Object(url) => self.remote((index, promise), Place::Object(url), listener),
                Source::Dvc(path) => self.fetch_dvc((index, promise), path, listener),
            };
            match found {
                Ok(blob) => {
                    if let Some(error) = &last {
                        listener(told(error));
                    }
                    return Ok(blob);
                }
                Err(error) => {
                    if let Some(earlier) = last.replace(error) {
                        listener(told(&earlier));
                    }
                }
            }
        }
        Err(last.expect("a manifest names at least one URL for each artifact"))
    }

    /// A file of another host, which may be in the cache.
    fn remote(
        &self,
        (index, promise): (usize, Promise),
        place: Place<'_>,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        match self.cache.find(promise)? {
            Some(blob) => Ok(blob),
            None if self.is_offline => Err(Error::Offline {
                index,
                sha256: promise.sha256,
            }),
            None => self.fetch(place, promise, listener),
        }
    }

    /// A file that DVC keeps: out of its cache in the repository, else from its remote.
    fn fetch_dvc(
        &self,
        (index, promise): (usize, Promise),
        path: &Path,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        if let Some(blob) = self.cache.find(promise)? {
            return Ok(blob);
        }
        let mut last = None;
        for source in self.dvc_sources(path)? {
            let found = match &source {
                Source::Http(url) => self.remote((index, promise), Place::Web(url), listener),
                Source::Object(url) => self.remote((index, promise), Place::Object(url), listener),
                Source::File(path) | Source::Lfs(path) | Source::Dvc(path) => {
                    Blob::open(path, promise)
                }
            };
            match found {
                Err(error) => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| dvc::NoLocation::nowhere(path).into()))
    }

    /// The places the file of a `.dvc` file may be at, nearest first; those of this repository only
    /// where it is there.
    ///
    /// # Errors
    /// [`Error::Dvc`], and [`Error::Refused`] for a remote that is not allowed.
    pub fn dvc_sources(&self, path: &Path) -> Result<Vec<Source>, Error> {
        let mut sources = Vec::new();
        for location in dvc::locate(path)? {
            match location {
                Location::Cached(file) if file.is_file() => sources.push(Source::File(file)),
                Location::Cached(_) => {}
                Location::Remote(text) => {
                    let url = Url::read(&text).map_err(|(expected, found)| Refusal {
                        what: format!("the remote of `{}`", durable::shown(path)),
                        expected,
                        found,
                        advice: None,
                    })?;
                    sources.push(self.rules.source(&url, Path::new("."))?);
                }
            }
        }
        Ok(sources)
    }

    /// A file of this host; where a Git LFS pointer stands in its place, the object it names, which
    /// `git-lfs` is asked for.
    fn local(
        &self,
        source: &Source,
        artifact: &Artifact,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        let error = match open_local(source, artifact) {
            Err(error @ Error::NotPulled { .. }) => error,
            Err(Error::Mismatch(mismatch)) if mismatch.is_lfs_pointer => Error::Mismatch(mismatch),
            done => return done,
        };
        let (Source::File(path) | Source::Lfs(path)) = source else {
            return Err(error);
        };
        // It goes where the clone says: not where only the hosts of a list may be asked.
        if self.is_offline || self.rules.must_be_listed() {
            return Err(error);
        }
        let promise = Promise {
            sha256: artifact.sha256,
            size: artifact.size,
        };
        let start = read_start(path)?;
        let is_the_one = Pointer::parse(&start)
            .is_ok_and(|it| it.sha256 == promise.sha256 && it.size <= self.rules.max_artifact);
        if !is_the_one {
            return Err(error);
        }
        let shown = durable::shown(path);
        listener(Event::Note(format!("git-lfs is asked for `{shown}`")));
        if super::lfs_pull::pull(path, &start)? {
            return open_lfs(path, promise);
        }
        Err(error)
    }

    /// Asks an MLflow registry where the file of a model is.
    ///
    /// * `tracking`: address of its server
    ///
    /// # Errors
    /// As the registry's; [`Error::Transfer`] when it cannot be asked or does not know the model.
    pub fn registered(
        &self,
        tracking: &HttpUrl,
        name: &mlflow::Name,
    ) -> Result<mlflow::Registered, Error> {
        mlflow::locate(&self.http, tracking, name)
    }

    /// Obtains a file nobody promised anything about, for pinning it.
    ///
    /// * `into`: an existing directory
    /// * `name`: what the file is called there
    ///
    /// # Errors
    /// As [`Fetcher::obtain`], digests apart; [`Error::Remote`] for a `.dvc` file, whose places
    /// [`Fetcher::dvc_sources`] gives.
    pub fn obtain_unpinned(
        &self,
        source: &Source,
        (into, name): (&Path, &str),
        listener: Listener<'_>,
    ) -> Result<PathBuf, Error> {
        let place = match source {
            Source::File(path) | Source::Lfs(path) => return Ok(path.clone()),
            Source::Http(url) => Place::Web(url),
            Source::Object(url) => Place::Object(url),
            Source::Dvc(path) => {
                return Err(Error::Remote {
                    index: 0,
                    url: durable::shown(path),
                });
            }
        };
        let cache = Cache::open(into)?;
        // Any digest does: the file is not settled under it.
        let promise = Promise {
            sha256: Sha256::of(name.as_bytes()),
            size: None,
        };
        let mut partial = cache.partial(promise.sha256)?;
        self.http.download(place, promise, &mut partial, listener)?;
        let path = into.join(name);
        std::fs::rename(partial.path(), &path).map_err(|source| durable::Error {
            operation: "name the file",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// Fetches into the cache; bytes that are wrong are fetched once more, from their beginning.
    fn fetch(
        &self,
        place: Place<'_>,
        promise: Promise,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        let mut partial = self.cache.partial(promise.sha256)?;
        // Another process may have finished it while this one waited for the lock.
        if let Some(blob) = self.cache.find(promise)? {
            partial.discard();
            return Ok(blob);
        }
        let first = match self.fetch_once(place, promise, partial, listener) {
            Err(error @ Error::Mismatch(_)) => error,
            done => return done,
        };
        if let Error::Mismatch(mismatch) = &first
            && mismatch.is_lfs_pointer
        {
            return Err(first);
        }
        listener(Event::Note(
            "other bytes than promised; fetched once more from their beginning".to_owned(),
        ));
        partial = self.cache.partial(promise.sha256)?;
        partial.clear()?;
        self.fetch_once(place, promise, partial, listener)
    }

    fn fetch_once(
        &self,
        place: Place<'_>,
        promise: Promise,
        mut partial: Partial,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        let is_whole = promise.size.is_some_and(|size| size.0 == partial.length());
        let fetched = if is_whole {
            Fetched {
                url: place.shown(),
                content_type: None,
                is_encoded: false,
            }
        } else {
            self.http.download(place, promise, &mut partial, listener)?
        };
        let start = partial.start(usize::try_from(MAX_POINTER_BYTES).unwrap_or(1024));
        self.cache
            .settle(partial, promise)
            .map_err(|error| match error {
                Error::Mismatch(mut mismatch) => {
                    mismatch.fetched = Some(fetched);
                    mismatch.is_lfs_pointer = looks_like_pointer(&start);
                    Error::Mismatch(mismatch)
                }
                other => other,
            })
    }
}

/// Whether there are means to ask for at least one source of each artifact, before any is asked.
///
/// # Errors
/// [`Error::NoCloud`] in a build without cloud stores.
pub fn check_means(sources: &[Vec<Source>]) -> Result<(), Error> {
    if cfg!(feature = "cloud") {
        return Ok(());
    }
    check_local_means(sources)
}

/// The same for a build without cloud stores.
pub(super) fn check_local_means(sources: &[Vec<Source>]) -> Result<(), Error> {
    let object = |source: &Source| match source {
        Source::Object(url) => Some(url.shown()),
        Source::File(_) | Source::Lfs(_) | Source::Dvc(_) | Source::Http(_) => None,
    };
    let without = sources.iter().find_map(|mirrors| {
        let urls: Option<Vec<String>> = mirrors.iter().map(object).collect();
        urls?.into_iter().next()
    });
    without.map_or(Ok(()), |url| Err(Error::NoCloud { url }))
}

/// The first source that gives the bytes, else the error of the last.
///
/// * `sources`: at least one
pub(super) fn first_of(
    sources: &[Source],
    mut open: impl FnMut(&Source) -> Result<Blob, Error>,
) -> Result<Blob, Error> {
    let (last, before) = sources.split_last().expect("an artifact has a source");
    before
        .iter()
        .find_map(|source| open(source).ok())
        .map_or_else(|| open(last), Ok)
}

/// Opens a source of this host.
///
/// # Panics
/// Never: what is on other hosts is the fetcher's.
pub(super) fn open_local(source: &Source, artifact: &Artifact) -> Result<Blob, Error> {
    let promise = Promise {
        sha256: artifact.sha256,
        size: artifact.size,
    };
    match source {
        Source::File(path) => Blob::open(path, promise),
        Source::Lfs(path) => open_lfs(path, promise),
        Source::Dvc(_) | Source::Http(_) | Source::Object(_) => {
            unreachable!("what is on other hosts is the fetcher's")
        }
    }
}

/// The file a Git LFS path stands for: itself where it was checked out whole, else the object the
/// pointer names, out of the repository's own store.
fn open_lfs(path: &Path, promise: Promise) -> Result<Blob, Error> {
    let start = read_start(path)?;
    if !looks_like_pointer(&start) {
        return Blob::open(path, promise);
    }
    let pointer = Pointer::parse(&start).map_err(|source| Error::Pointer {
        path: path.to_owned(),
        source,
    })?;
    let is_size = promise.size.is_none_or(|size| size == pointer.size);
    if pointer.sha256 != promise.sha256 || !is_size {
        let found = (pointer.sha256 != promise.sha256).then_some(pointer.sha256);
        let error = digest::mismatch(path, promise, found, pointer.size);
        return Err(match error {
            // The pointer itself is at fault, so pulling its file would not help.
            Error::Mismatch(mut mismatch) => {
                mismatch.is_lfs_pointer = false;
                Error::Mismatch(mismatch)
            }
            other => other,
        });
    }
    let hex = pointer.sha256.to_string();
    let object = git_directory(path).map(|git| {
        let objects = git.join("lfs").join("objects");
        objects.join(&hex[..2]).join(&hex[2..4]).join(&hex)
    });
    match object {
        Some(object) if object.is_file() => Blob::open(&object, promise),
        _ => Err(Error::NotPulled {
            path: path.to_owned(),
        }),
    }
}

fn read_start(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let mut start = Vec::new();
    durable::open_regular(path)
        .and_then(|(file, _)| file.take(MAX_POINTER_BYTES).read_to_end(&mut start))
        .map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    Ok(start)
}

/// The directory with the objects of the repository a file belongs to; that of the main work tree
/// where the file is in a linked one.
fn git_directory(path: &Path) -> Option<PathBuf> {
    let start = path.canonicalize().ok()?;
    let dot_git = start
        .ancestors()
        .map(|above| above.join(".git"))
        .find(|git| git.exists())?;
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let text = std::fs::read_to_string(&dot_git).ok()?;
    let own = dot_git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    match std::fs::read_to_string(own.join("commondir")) {
        Ok(common) => Some(own.join(common.trim())),
        Err(_) => Some(own),
    }
}
