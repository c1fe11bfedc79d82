//! Clients of HTTP and the addresses they may reach.

use std::fmt;
use std::io;
use std::sync::Arc;

use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy, config::Config, http::Uri, tls::TlsConfig};

use super::error::Transfer;
use super::http::End;
use super::reach::Patience;
use super::source::{Refusal, Rules};
use super::{Condition, Error};
use crate::manifest::{Host, HttpUrl};

/// Longest header block of an answer, in bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Clients with one patience, one list of certificate authorities and one set of rules.
pub(super) struct Agents {
    /// Through the proxy of the environment, where there is one.
    proxied: Agent,
    /// Never through a proxy.
    direct: Agent,
}

impl fmt::Debug for Agents {
    /// The settings of a client may hold the password of a proxy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

impl Agents {
    /// * `rules`: hold for every address a name resolves to; `None` where the operator of this
    ///   host chose the names
    pub(super) fn new(tls: &TlsConfig, patience: &Patience, rules: Option<&Arc<Rules>>) -> Self {
        let agent = |proxy: Option<Proxy>| {
            let config = Config::builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_connect(Some(patience.connect))
                .timeout_resolve(Some(patience.connect))
                .timeout_per_read(Some(patience.idle))
                .timeout_per_write(Some(patience.idle))
                .max_response_header_size(MAX_HEADER_BYTES)
                .max_idle_connections(0)
                .accept_encoding("identity")
                .user_agent(concat!("vv-eval/", env!("CARGO_PKG_VERSION")))
                .tls_config(tls.clone())
                .proxy(proxy)
                .build();
            let resolver = CheckedResolver {
                inner: DefaultResolver::default(),
                rules: rules.map(Arc::clone),
            };
            Agent::with_parts(config, DefaultConnector::default(), resolver)
        };
        Self {
            proxied: agent(Proxy::try_from_env()),
            direct: agent(None),
        }
    }

    /// Who asks for a URL: a proxy cannot reach this host's loopback.
    pub(super) fn of(&self, url: &HttpUrl) -> &Agent {
        if url.host().is_loopback_literal() {
            &self.direct
        } else {
            &self.proxied
        }
    }
}

/// An error before there was an answer.
///
/// * `shown`: what was asked for, as messages name it
pub(super) fn failed(shown: &str, error: ureq::Error) -> End {
    use ureq::Error as E;
    let network = |problem: String| Transfer::new(Condition::Network, shown.to_owned(), problem);
    match error {
        E::Other(inner) => match inner.downcast::<Refusal>() {
            Ok(refusal) => End::Final(Error::Refused(*refusal)),
            Err(inner) => End::Final(Error::Transfer(Box::new(network(inner.to_string())))),
        },
        E::Io(error) if is_tls_failure(&error) => {
            End::Final(Error::Transfer(Box::new(network(format!("TLS: {error}")))))
        }
        E::Io(error) => End::Again(network(error.to_string()), None),
        E::Timeout(_) => End::Again(
            network("the server did not answer in time".to_owned()),
            None,
        ),
        E::HostNotFound | E::ConnectionFailed => End::Again(network(words(&error)), None),
        E::Rustls(_)
        | E::Tls(_)
        | E::Pem(_)
        | E::TlsRequired
        | E::ConnectProxyFailed(_)
        | E::InvalidProxyUrl => End::Final(Error::Transfer(Box::new(network(words(&error))))),
        other => {
            let problem = words(&other);
            let transfer = Transfer::new(Condition::ServerUnusable, shown.to_owned(), problem);
            End::Final(Error::Transfer(Box::new(transfer)))
        }
    }
}

/// Errors of rustls come wrapped when they arise in a handshake.
fn is_tls_failure(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

/// The words of an error of ureq, without the text of any URL.
pub(super) fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the name of the host does not resolve".to_owned(),
        ureq::Error::BadUri(_) => "not a URL".to_owned(),
        ureq::Error::InvalidProxyUrl => "the proxy of the environment is no URL".to_owned(),
        ureq::Error::LargeResponseHeader(..) => {
            format!("its headers are longer than {MAX_HEADER_BYTES} bytes")
        }
        other => other.to_string().escape_debug().to_string(),
    }
}

/// Resolves names, and refuses addresses that the rules do.
#[derive(Debug)]
struct CheckedResolver {
    inner: DefaultResolver,
    /// `None` accepts every address.
    rules: Option<Arc<Rules>>,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let Some(rules) = &self.rules else {
            return Ok(found);
        };
        // The proxy of the environment is the operator's word, not the manifest's.
        let is_proxy = config.proxy().is_some_and(|proxy| {
            Some(proxy.host()) == uri.host() && Some(proxy.port()) == uri.port_u16()
        });
        if is_proxy {
            return Ok(found);
        }
        let host = uri
            .host()
            .and_then(Host::parse)
            .ok_or(ureq::Error::HostNotFound)?;
        for address in &found {
            rules
                .check_address(&host, address.ip())
                .map_err(|refusal| ureq::Error::Other(Box::new(refusal)))?;
        }
        Ok(found)
    }
}
