//! One file over HTTP into a partial file: resume, retries, idle timeout, redirects, bounds.
//!
//! In: a checked URL and what was promised of the file. Out: a partial file that is complete as far
//! as the server tells; whether its bytes are the promised ones is for the caller to see.
//!
//! The bytes on the wire are the bytes kept: no encoding is asked for and none is undone. Redirects
//! are followed here, one by one, each under the same rules as the URL of the manifest.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::{HeaderMap, Response, header};

use super::cache::Partial;
use super::error::{Fetched, Transfer};
use super::http_agent::{Agents, failed, words};
use super::http_answer::{Answer, ContentRange, entity_tag, retry_after};
use super::reach::{Credentials, Event, Listener, Patience, Reach};
use super::source::{Refusal, Rules};
use super::{Condition, Error, Promise, digest};
use crate::manifest::{HttpUrl, ObjectUrl};
use crate::units::Bytes;

/// Most redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes of an error's body that are looked at.
const MAX_ERROR_BYTES: u64 = 16 << 10;

/// Progress after which earlier failures are forgotten: a long file over a bad line may break off
/// any number of times, as long as it moves on.
const FORGIVEN_AFTER: u64 = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// A file behind HTTP.
    Web(&'a HttpUrl),
    /// An object of a cloud store.
    Object(&'a ObjectUrl),
}

impl Place<'_> {
    /// As messages name it.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Web(url) => url.shown(),
            Self::Object(url) => url.shown(),
        }
    }

    /// What tells whether two name one file.
    fn key(self) -> String {
        match self {
            Self::Web(url) => url.without_query(),
            Self::Object(url) => url.text(),
        }
    }
}

/// Asks servers.
#[derive(Debug)]
pub(super) struct Http {
    agents: Agents,
    rules: Arc<Rules>,
    patience: Patience,
    credentials: Option<Credentials>,
    sleep: fn(Duration),
    #[cfg(feature = "cloud")]
    cloud: super::cloud::Cloud,
}

/// How one attempt ended that did not bring the whole file.
#[derive(Debug)]
pub(super) enum End {
    /// Worth another attempt, after a wait the server asked for.
    Again(Transfer, Option<Duration>),
    /// The stored part is no beginning of what the server has: once more from 0.
    Restart(Transfer),
    /// Not worth another attempt.
    Final(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Http {
    /// * `rules`: hold for every URL, every address a name resolves to, and every redirect
    ///
    /// # Errors
    /// [`Error::Unreadable`] about the file of certificates.
    pub(super) fn new(rules: Rules, reach: Reach) -> Result<Self, Error> {
        let rules = Arc::new(rules);
        let patience = reach.patience;
        let tls = super::trust::tls_config(reach.certificates.as_deref())?;
        Ok(Self {
            agents: Agents::new(&tls, &patience, Some(&rules)),
            #[cfg(feature = "cloud")]
            cloud: super::cloud::Cloud::new(&tls, &patience, &rules, reach.environment),
            rules,
            patience,
            credentials: reach.credentials,
            sleep: std::thread::sleep,
        })
    }

    /// The same, with another way to wait; for tests, which never sleep.
    #[cfg(test)]
    pub(super) fn with_sleep(self, sleep: fn(Duration)) -> Self {
        Self { sleep, ..self }
    }

    /// Brings the file at `place` into `partial`, which may hold its beginning.
    ///
    /// * `promise`: bounds the body; its digest is not checked here
    ///
    /// Gives where the last bytes came from.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Transfer`], [`Error::Mismatch`] about the length, and
    /// [`Error::Write`].
    pub(super) fn download(
        &self,
        place: Place<'_>,
        promise: Promise,
        partial: &mut Partial,
        listener: Listener<'_>,
    ) -> Result<Fetched, Error> {
        let mut failures = 0;
        let mut attempts = 0;
        let mut has_restarted = false;
        let mut furthest = partial.length();
        loop {
            attempts += 1;
            let end = match self.attempt(place, promise, partial, listener) {
                Ok(fetched) => return Ok(fetched),
                Err(end) => end,
            };
            if partial.length() >= furthest.saturating_add(FORGIVEN_AFTER) {
                failures = 0;
            }
            furthest = furthest.max(partial.length());
            let (mut failure, wait) = match end {
                End::Final(Error::Transfer(mut transfer)) => {
                    transfer.attempts = attempts;
                    return Err(Error::Transfer(transfer));
                }
                End::Final(error) => return Err(error),
                End::Restart(failure) if !has_restarted => {
                    has_restarted = true;
                    partial.clear()?;
                    listener(Event::Note(format!(
                        "{failure}; once more from its beginning"
                    )));
                    continue;
                }
                End::Again(failure, wait) if failures < self.patience.retries => {
                    failures += 1;
                    (
                        failure,
                        Some(wait.unwrap_or_else(|| self.backoff(failures, attempts))),
                    )
                }
                End::Restart(failure) | End::Again(failure, _) => (failure, None),
            };
            failure.attempts = attempts;
            let Some(wait) = wait else {
                return Err(Error::Transfer(Box::new(failure)));
            };
            listener(Event::Note(format!(
                "{failure}; again in {:.1} s",
                wait.as_secs_f64()
            )));
            (self.sleep)(wait);
        }
    }

    /// A short answer, whole.
    ///
    /// Gives its status and body; retries where no answer came, or one to try again after.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Transfer`]; also for an answer longer than `limit` bytes.
    pub(super) fn read(&self, url: &HttpUrl, limit: u64) -> Result<(u16, Vec<u8>), Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (mut failure, wait) = match self.read_once(url, limit) {
                Ok(answer) => return Ok(answer),
                Err(End::Final(error)) => return Err(error),
                Err(End::Again(failure, wait)) => (failure, wait),
                Err(End::Restart(failure)) => (failure, None),
            };
            failure.attempts = attempts;
            if attempts > self.patience.retries {
                return Err(Error::Transfer(Box::new(failure)));
            }
            (self.sleep)(wait.unwrap_or_else(|| self.backoff(attempts, attempts)));
        }
    }

    fn read_once(&self, url: &HttpUrl, limit: u64) -> Result<(u16, Vec<u8>), End> {
        let (at, response) = self.request(url, None)?;
        let status = response.status().as_u16();
        let answer = Answer::new(at.shown(), status, response.headers());
        if matches!(status, 408 | 425 | 429 | 500..=599) {
            let wait = retry_after(response.headers(), std::time::SystemTime::now());
            let wait = wait.map(|wait| wait.min(self.patience.max_retry_after));
            return Err(End::Again(answer.refused(), wait));
        }
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_reader().take(limit + 1);
        match body.read_to_end(&mut bytes) {
            Ok(n) if n as u64 > limit => {
                let failure = answer.unusable("its answer is too long");
                Err(End::Final(Error::Transfer(Box::new(failure))))
            }
            Ok(_) => Ok((status, bytes)),
            Err(error) => Err(End::Again(answer.network(error.kind().to_string()), None)),
        }
    }

    /// Doubled with each failure, within bounds, and spread over the upper half.
    fn backoff(&self, failures: u32, attempts: u32) -> Duration {
        let doubled = self
            .patience
            .backoff
            .saturating_mul(1 << failures.saturating_sub(1).min(16))
            .min(self.patience.max_backoff);
        // Only has to differ between hosts that failed together: the process and the time do.
        let salt = std::process::id()
            .wrapping_mul(31)
            .wrapping_add(attempts)
            .wrapping_add(clock_noise());
        doubled.mul_f64(0.5 + f64::from(salt % 512) / 1024.0)
    }

    fn attempt(
        &self,
        place: Place<'_>,
        promise: Promise,
        partial: &mut Partial,
        listener: Listener<'_>,
    ) -> Result<Fetched, End> {
        let key = place.key();
        let etag = partial.etag(&key).map(str::to_owned);
        if etag.is_none() && partial.length() > 0 {
            partial.clear()?;
        }
        let from = partial.length();
        let resume = etag.as_deref().map(|etag| (from, etag));
        let (answer, response) = self.ask(place, resume)?;
        let total = match answer.status {
            200 => {
                let declared = answer.length()?;
                check_length(&answer, declared, promise, partial)?;
                partial.clear()?;
                partial.note(&key, entity_tag(response.headers()).as_deref())?;
                declared
            }
            206 => {
                let range = answer.range(response.headers());
                let is_ours = etag.is_some()
                    && entity_tag(response.headers()).is_none_or(|tag| Some(tag) == etag)
                    && range.is_some_and(|range| range.continues(from, promise.size));
                let Some(ContentRange { total, .. }) = range.filter(|_| is_ours) else {
                    return Err(End::Restart(
                        answer.unusable("it answers another range than the one asked for"),
                    ));
                };
                let rest = answer.length()?;
                if rest.is_some_and(|rest| rest != total - from) {
                    return Err(End::Restart(
                        answer.unusable("its length is not that of its range"),
                    ));
                }
                Some(total)
            }
            412 | 416 => {
                return Err(End::Restart(
                    answer.unusable("it has no such range of the file"),
                ));
            }
            408 | 425 | 429 | 500..=599 => {
                let wait = retry_after(response.headers(), std::time::SystemTime::now());
                let wait = wait.map(|wait| wait.min(self.patience.max_retry_after));
                return Err(End::Again(answer.refused(), wait));
            }
            _ => return Err(End::Final(Error::Transfer(Box::new(answer.refused())))),
        };
        self.receive(&answer, response, total, promise, partial, listener)?;
        Ok(answer.fetched())
    }

    /// The answer, and what its headers say.
    ///
    /// * `resume`: where to go on, and the entity tag of what came before
    fn ask(
        &self,
        place: Place<'_>,
        resume: Option<(u64, &str)>,
    ) -> Result<(Answer, Response<Body>), End> {
        match place {
            Place::Web(url) => {
                let (at, response) = self.request(url, resume)?;
                let status = response.status().as_u16();
                Ok((
                    Answer::new(at.shown(), status, response.headers()),
                    response,
                ))
            }
            Place::Object(object) => {
                let response = self.ask_store(object, resume)?;
                let status = response.status().as_u16();
                let answer = Answer::new(object.shown(), status, response.headers());
                if status < 300 {
                    return Ok((answer.of_store(None), response));
                }
                let (parts, body) = response.into_parts();
                let mut text = Vec::new();
                // What cannot be read tells no reason.
                let _ = body
                    .into_reader()
                    .take(MAX_ERROR_BYTES)
                    .read_to_end(&mut text);
                let answer = answer.of_store(Some(&text));
                Ok((
                    answer,
                    Response::from_parts(parts, Body::builder().data(text)),
                ))
            }
        }
    }

    #[cfg(feature = "cloud")]
    fn ask_store(
        &self,
        object: &ObjectUrl,
        resume: Option<(u64, &str)>,
    ) -> Result<Response<Body>, End> {
        self.rules.check_object(object).map_err(Error::Refused)?;
        self.cloud.ask(object, resume)
    }

    #[cfg(not(feature = "cloud"))]
    #[expect(clippy::unused_self, reason = "the other build needs it")]
    fn ask_store(&self, object: &ObjectUrl, _: Option<(u64, &str)>) -> Result<Response<Body>, End> {
        Err(End::Final(Error::NoCloud {
            url: object.shown(),
        }))
    }

    /// The answer behind all redirects, and the URL that gave it.
    fn request(
        &self,
        url: &HttpUrl,
        resume: Option<(u64, &str)>,
    ) -> Result<(HttpUrl, Response<Body>), End> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.rules.check_url(&at).map_err(Error::Refused)?;
            let mut request = self.agents.of(&at).get(at.text());
            if let Some((from, etag)) = resume {
                request = request
                    .header(header::RANGE, format!("bytes={from}-"))
                    .header(header::IF_RANGE, etag);
            }
            let authorization = self.credentials.as_ref().and_then(|it| it.for_url(&at));
            if let Some(value) = authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            let response = request.call().map_err(|error| failed(&at.shown(), error))?;
            let status = response.status();
            if !status.is_redirection() || status == 304 {
                return Ok((at, response));
            }
            at = next_hop(&at, response.headers(), status.as_u16())?;
        }
        let problem = format!("more than {MAX_REDIRECTS} redirects");
        Err(End::Final(Error::Transfer(Box::new(Transfer::new(
            Condition::ServerUnusable,
            at.shown(),
            problem,
        )))))
    }

    /// Takes in a body whose headers were accepted.
    fn receive(
        &self,
        answer: &Answer,
        response: Response<Body>,
        total: Option<u64>,
        promise: Promise,
        partial: &mut Partial,
        listener: Listener<'_>,
    ) -> Result<(), End> {
        let Bytes(limit) = promise.size.unwrap_or(self.rules.max_artifact);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut window = (Instant::now(), partial.length());
        loop {
            let n = match body.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken_body(answer, error, total, partial)),
            };
            if n == 0 {
                break;
            }
            let room = limit.saturating_sub(partial.length());
            if n as u64 > room {
                let found = partial.length() + n as u64;
                partial.clear()?;
                let error = digest::mismatch(partial.path(), promise, None, Bytes(found));
                return Err(End::Final(error.fetched_from(answer.fetched())));
            }
            partial.append(&buffer[..n])?;
            listener(Event::Progress {
                done: partial.length(),
                total: total.or(promise.size.map(|Bytes(size)| size)),
            });
            self.check_speed(answer, &mut window, partial.length())?;
        }
        let expected = total.or(promise.size.map(|Bytes(size)| size));
        match expected {
            Some(expected) if partial.length() < expected => Err(End::Again(
                too_short(answer, partial.length(), expected),
                None,
            )),
            _ => Ok(()),
        }
    }

    fn check_speed(
        &self,
        answer: &Answer,
        window: &mut (Instant, u64),
        length: u64,
    ) -> Result<(), End> {
        let elapsed = window.0.elapsed();
        let slowest = self.patience.min_bytes_per_s;
        if slowest == 0 || elapsed < self.patience.speed_window {
            return Ok(());
        }
        let per_s = (length - window.1) as f64 / elapsed.as_secs_f64();
        *window = (Instant::now(), length);
        if per_s < slowest as f64 {
            let problem = format!("{per_s:.0} bytes/s, the policy demands {slowest}");
            return Err(End::Again(answer.network(problem), None));
        }
        Ok(())
    }
}

/// Where a redirect leads.
fn next_hop(at: &HttpUrl, headers: &HeaderMap, status: u16) -> Result<HttpUrl, End> {
    let location = headers.get(header::LOCATION);
    let Some(location) = location.and_then(|value| value.to_str().ok()) else {
        let answer = Answer::new(at.shown(), status, headers);
        let transfer = answer.unusable("a redirect that says not where to");
        return Err(End::Final(Error::Transfer(Box::new(transfer))));
    };
    let refuse = |found: String, expected: &str| {
        Error::Refused(Refusal {
            what: format!("a redirect of {}", at.shown()),
            expected: expected.to_owned(),
            found,
            advice: None,
        })
    };
    let next = at.join(location).map_err(|expected| {
        let scheme = location.split(['/', '?', '#']).next().unwrap_or_default();
        let scheme: String = scheme.chars().take(40).collect();
        refuse(format!("`{}…`", scheme.escape_debug()), expected)
    })?;
    if at.is_tls() && !next.is_tls() {
        return Err(refuse(next.shown(), "https as before").into());
    }
    Ok(next)
}

/// Noise of a clock, in nanoseconds.
fn clock_noise() -> u32 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos() >> 10)
}

/// Refuses a whole answer whose declared length is not the promised one, before its body.
fn check_length(
    answer: &Answer,
    declared: Option<u64>,
    promise: Promise,
    partial: &Partial,
) -> Result<(), End> {
    match (declared, promise.size) {
        // Short enough for a Git LFS pointer: the body tells.
        (Some(declared), Some(Bytes(size))) if declared < 1024 && declared < size => Ok(()),
        (Some(declared), Some(Bytes(size))) if declared != size => {
            let error = digest::mismatch(partial.path(), promise, None, Bytes(declared));
            Err(End::Final(error.fetched_from(answer.fetched())))
        }
        _ => Ok(()),
    }
}

fn too_short(answer: &Answer, length: u64, expected: u64) -> Transfer {
    Transfer {
        condition: Condition::SizeMismatch,
        ..answer.network(format!("the body ended after {length} of {expected} bytes"))
    }
}

/// An error while a body was read: where it ended too early, its length is at fault. ureq takes a
/// reset of the connection for its end, so both end here.
fn broken_body(answer: &Answer, error: io::Error, total: Option<u64>, partial: &Partial) -> End {
    let is_clean = error.kind() == io::ErrorKind::UnexpectedEof;
    if let (true, Some(total)) = (is_clean, total) {
        return End::Again(too_short(answer, partial.length(), total), None);
    }
    match ureq::Error::from(error) {
        ureq::Error::Io(error) => End::Again(answer.network(error.to_string()), None),
        ureq::Error::Timeout(_) => End::Again(answer.network("the server fell silent"), None),
        other => End::Again(answer.network(words(&other)), None),
    }
}
