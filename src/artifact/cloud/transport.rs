//! Carries requests of `object_store` with our own client.
//!
//! A request for the object has a [`Slot`] with it, where the answer is left unread; any other
//! request is about credentials. Hosts of the environment are the operator's word and are asked
//! whatever their address; other hosts are asked under the rules of every source.

use std::fmt;
use std::future::{Future, ready};
use std::io::Read as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use ureq::Body;
use ureq::http::request::Parts;
use ureq::http::{Request, Response, header};

use super::super::error::Transfer;
use super::super::http::End;
use super::super::http_agent::{Agents, failed};
use super::super::source::Refusal;
use super::super::{Condition, Error};
use super::Cloud;
use super::stores::Settings;
use crate::manifest::{Host, HttpUrl, ObjectUrl, Store};

/// Longest answer to a request for credentials, in bytes.
const MAX_CREDENTIAL_BYTES: u64 = 1 << 20;

/// An answer, or how the attempt ended.
type Answered = Result<Response<Body>, End>;

/// Where the answer to a request for the object is left.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Answered>>>);

impl Slot {
    fn put(&self, answer: Result<Response<Body>, End>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// What was left there; `None` when the object was never asked for.
    pub(super) fn take(&self) -> Option<Result<Response<Body>, End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// Why `object_store` got no answer; the reason itself is kept elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the request was not answered")]
struct Unanswered;

/// One object's way to its store.
#[derive(Debug, Clone)]
pub(super) struct Transport(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shown: String,
    store: Store,
    checked: Arc<Agents>,
    trusting: Arc<Agents>,
    /// Hosts of the environment.
    named: Vec<Host>,
    /// Whether plain HTTP is allowed beyond loopback literals.
    allows_http: bool,
    rules: Arc<super::Rules>,
    /// What became of the last request for credentials that failed.
    failure: Mutex<Option<(Condition, String)>>,
}

impl Transport {
    pub(super) fn new(cloud: &Cloud, settings: &Settings<'_>) -> Self {
        Self(Arc::new(Inner {
            shown: settings.object.shown(),
            store: settings.object.bucket().store,
            checked: Arc::clone(&cloud.checked),
            trusting: Arc::clone(&cloud.trusting),
            named: settings.endpoints(),
            allows_http: cloud.rules.allow_http || settings.allows_http(),
            rules: Arc::clone(&cloud.rules),
            failure: Mutex::new(None),
        }))
    }

    /// Why the object was never asked for.
    pub(super) fn failure(&self, object: &ObjectUrl) -> End {
        let failure = self
            .0
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (condition, problem) = failure.unwrap_or_else(|| {
            let problem = "the credentials of the environment cannot be used".to_owned();
            (Condition::Invalid, problem)
        });
        let transfer = Transfer {
            advice: Some(
                "look at the credentials in the environment (AWS_*, GOOGLE_* or AZURE_*); \
                 docs/manifest.md lists the variables",
            ),
            ..Transfer::new(condition, object.shown(), problem)
        };
        match condition {
            Condition::Network => End::Again(transfer, None),
            _ => End::Final(Error::Transfer(Box::new(transfer))),
        }
    }

    fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        let slot = parts.extensions.remove::<Slot>();
        let body = body.as_bytes().map(|bytes| bytes.to_vec());
        let body = body.filter(|bytes| !bytes.is_empty());
        let unanswered = || HttpError::new(HttpErrorKind::Unknown, Unanswered);
        let Some(slot) = slot else {
            return self.credentials(parts, body).map_err(|failure| {
                *self
                    .0
                    .failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(failure);
                unanswered()
            });
        };
        match self.object(parts) {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                let copy = HttpResponse::from_parts(
                    parts.clone(),
                    HttpResponseBody::from(Vec::<u8>::new()),
                );
                slot.put(Ok(Response::from_parts(parts, body)));
                Ok(copy)
            }
            Err(end) => {
                slot.put(Err(end));
                Err(unanswered())
            }
        }
    }

    /// The answer to a request for the object.
    fn object(&self, mut parts: Parts) -> Result<Response<Body>, End> {
        let url = self.url(&parts)?;
        let is_named = self.0.named.contains(url.host());
        if !url.is_tls() && !self.0.allows_http && !url.host().is_loopback_literal() {
            return Err(End::Final(Error::Refused(Refusal {
                what: format!("{} at `{}`", self.0.shown, url.host()),
                expected: "https, or http to a loopback address".to_owned(),
                found: "http".to_owned(),
                advice: Some(
                    "name an https endpoint; AWS_ALLOW_HTTP, GOOGLE_ALLOW_HTTP or AZURE_ALLOW_HTTP \
                     set to true allows plain http where there is no other way",
                ),
            })));
        }
        let agents = if is_named {
            &self.0.trusting
        } else {
            if let Host::Address(address) = url.host() {
                let checked = self.0.rules.check_address(url.host(), *address);
                checked.map_err(Error::Refused)?;
            }
            &self.0.checked
        };
        if self.0.store == Store::Gs {
            // Otherwise Google unpacks what is stored with `Content-Encoding: gzip`.
            let gzip = header::HeaderValue::from_static("gzip");
            parts.headers.insert(header::ACCEPT_ENCODING, gzip);
        }
        carry(agents, &url, parts, None).map_err(|error| failed(&self.0.shown, error))
    }

    /// The answer to a request for credentials, or what became of it.
    fn credentials(
        &self,
        parts: Parts,
        body: Option<Vec<u8>>,
    ) -> Result<HttpResponse, (Condition, String)> {
        let unusable = |problem: &str| (Condition::Invalid, format!("credentials: {problem}"));
        let url = HttpUrl::parse(&parts.uri.to_string())
            .map_err(|_| unusable("the environment names no URL to ask for them"))?;
        let host = url.host().to_string();
        let answer = carry(&self.0.trusting, &url, parts, body).map_err(|error| {
            match failed(&host, error) {
                End::Again(transfer, _) | End::Restart(transfer) => {
                    let problem = format!("credentials from `{host}`: {}", transfer.problem);
                    (transfer.condition, problem)
                }
                End::Final(error) => {
                    let problem = format!("credentials from `{host}`: {error}");
                    (error.condition(), problem)
                }
            }
        })?;
        let (parts, body) = answer.into_parts();
        if !parts.status.is_success() {
            let status = parts.status.as_u16();
            let problem = format!("credentials from `{host}`: status {status}");
            return Err((Condition::ServerUnusable, problem));
        }
        let mut bytes = Vec::new();
        body.into_reader()
            .take(MAX_CREDENTIAL_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| {
                let problem = format!("credentials from `{host}`: {}", error.kind());
                (Condition::Network, problem)
            })?;
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }

    fn url(&self, parts: &Parts) -> Result<HttpUrl, End> {
        HttpUrl::parse(&parts.uri.to_string()).map_err(|expected| {
            let transfer = Transfer {
                advice: Some("look at the endpoint in the environment"),
                ..Transfer::new(
                    Condition::Invalid,
                    self.0.shown.clone(),
                    format!("its store has no usable URL; expected {expected}"),
                )
            };
            End::Final(Error::Transfer(Box::new(transfer)))
        })
    }
}

/// Asks, and leaves the body of the answer unread.
fn carry(
    agents: &Agents,
    url: &HttpUrl,
    mut parts: Parts,
    body: Option<Vec<u8>>,
) -> Result<Response<Body>, ureq::Error> {
    // The client counts for itself, and sends none where there is no body.
    parts.headers.remove(header::CONTENT_LENGTH);
    let agent = agents.of(url);
    match body {
        Some(body) => agent.run(Request::from_parts(parts, body)),
        None => agent.run(Request::from_parts(parts, ())),
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Transport {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(ready(self.send(request)))
    }
}
