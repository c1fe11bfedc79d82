//! One artifact of a manifest from wherever it is: the cache, this host, or its mirrors in turn.

use std::path::{Path, PathBuf};

use super::cache::{Blob, Cache, Partial};
use super::error::Fetched;
use super::http::Http;
use super::lfs::{MAX_POINTER_BYTES, Pointer, looks_like_pointer};
use super::reach::{Event, Listener, Reach};
use super::source::{Rules, Source};
use super::{Error, Promise, digest};
use crate::durable;
use crate::manifest::{Artifact, HttpUrl, Release};

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

    /// Where each artifact may come from, mirrors in order; opens nothing.
    ///
    /// * `base`: the manifest's directory
    ///
    /// # Errors
    /// [`Error::Refused`] for the first source, or size, that is not allowed.
    pub fn sources(&self, release: &Release, base: &Path) -> Result<Vec<Vec<Source>>, Error> {
        Ok(self.rules.sources(release, base)?)
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
                Source::Http(url) => match self.cache.find(promise) {
                    Ok(Some(blob)) => Ok(blob),
                    Ok(None) if self.is_offline => Err(Error::Offline {
                        index,
                        sha256: artifact.sha256,
                    }),
                    Ok(None) => self.fetch(url, promise, listener),
                    Err(error) => Err(error),
                },
                local => open_local(local, artifact),
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

    /// Fetches into the cache; bytes that are wrong are fetched once more, from their beginning.
    fn fetch(
        &self,
        url: &HttpUrl,
        promise: Promise,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        let mut partial = self.cache.partial(promise.sha256)?;
        // Another process may have finished it while this one waited for the lock.
        if let Some(blob) = self.cache.find(promise)? {
            partial.discard();
            return Ok(blob);
        }
        let first = match self.fetch_once(url, promise, partial, listener) {
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
        self.fetch_once(url, promise, partial, listener)
    }

    fn fetch_once(
        &self,
        url: &HttpUrl,
        promise: Promise,
        mut partial: Partial,
        listener: Listener<'_>,
    ) -> Result<Blob, Error> {
        let is_whole = promise.size.is_some_and(|size| size.0 == partial.length());
        let fetched = if is_whole {
            Fetched {
                url: url.shown(),
                content_type: None,
                is_encoded: false,
            }
        } else {
            self.http.download(url, promise, &mut partial, listener)?
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
/// Never: sources behind HTTP are the fetcher's.
pub(super) fn open_local(source: &Source, artifact: &Artifact) -> Result<Blob, Error> {
    let promise = Promise {
        sha256: artifact.sha256,
        size: artifact.size,
    };
    match source {
        Source::File(path) => Blob::open(path, promise),
        Source::Lfs(path) => open_lfs(path, promise),
        Source::Http(_) => unreachable!("sources behind HTTP are the fetcher's"),
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
