//! How servers are asked: with which patience, by whom, and who hears of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::manifest::{Host, HttpUrl};

/// Patience with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// Attempts after the first one.
    pub retries: u32,
    /// Longest wait for a connection, name resolution and TLS included.
    pub connect: Duration,
    /// Longest silence of the server.
    pub idle: Duration,
    /// Wait before the second attempt; doubled before each further one.
    pub backoff: Duration,
    /// Longest wait between attempts.
    pub max_backoff: Duration,
    /// Longest `Retry-After` that is honoured.
    pub max_retry_after: Duration,
    /// Slowest body accepted, in bytes per second; 0 accepts any.
    pub min_bytes_per_s: u64,
    /// Time over which the speed of a body is averaged.
    pub speed_window: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 5,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
            min_bytes_per_s: 0,
            speed_window: Duration::from_secs(60),
        }
    }
}

/// A header that proves who asks, for one host only.
#[derive(Clone)]
pub struct Credentials {
    host: Host,
    authorization: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(… for {})", self.host)
    }
}

impl Credentials {
    /// Environment variable with the whole value of the `Authorization` header.
    pub const VALUE: &'static str = "VV_EVAL_AUTHORIZATION";
    /// Environment variable with the one host it is sent to.
    pub const HOST: &'static str = "VV_EVAL_AUTHORIZATION_HOST";

    /// What the environment holds; `None` when it holds neither variable.
    ///
    /// # Errors
    /// A sentence, when only one is set, or one cannot be used. The value is never part of it.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (read(Self::VALUE), read(Self::HOST)) {
            (None, None) => Ok(None),
            (Some(value), Some(host)) => Self::new(&host, value).map(Some),
            (Some(_), None) => Err(format!("{} needs {} beside it", Self::VALUE, Self::HOST)),
            (None, Some(_)) => Err(format!("{} needs {} beside it", Self::HOST, Self::VALUE)),
        }
    }

    /// * `authorization`: the value of the header, e.g. `Bearer …`
    ///
    /// # Errors
    /// A sentence that names the variable at fault.
    pub fn new(host: &str, authorization: String) -> Result<Self, String> {
        let host = Host::parse(host).ok_or_else(|| format!("{} names no host", Self::HOST))?;
        let is_header = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if !authorization.bytes().all(is_header) {
            return Err(format!("{} is no header value", Self::VALUE));
        }
        Ok(Self {
            host,
            authorization,
        })
    }

    /// The header for a URL: over TLS, or to a loopback address, and to its host only.
    pub(super) fn for_url(&self, url: &HttpUrl) -> Option<&str> {
        let is_private = url.is_tls() || url.host().is_loopback_literal();
        (is_private && *url.host() == self.host).then_some(self.authorization.as_str())
    }
}

/// What the environment says of cloud stores: where they are and who asks.
///
/// Taken once, so that what a run asks for does not depend on when it does. Only names are shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Beginnings of the variables that count.
    const PREFIXES: [&'static str; 4] = ["AWS_", "GOOGLE_", "AZURE_", "VV_EVAL_INSTANCE_"];

    /// Variable that lets the machine's own identity be asked for, at the address its provider
    /// keeps for that.
    pub const INSTANCE: &'static str = "VV_EVAL_INSTANCE_CREDENTIALS";

    /// What the variables of this process say; what is not UTF-8 does not count.
    pub fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::new(std::env::vars_os().filter_map(text))
    }

    /// The variables among these that are about cloud stores and not empty.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let counts = |(name, value): &(String, String)| {
            !value.is_empty() && Self::PREFIXES.iter().any(|it| name.starts_with(it))
        };
        Self(variables.into_iter().filter(counts).collect())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a variable says yes.
    pub fn says_yes(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes")
        })
    }

    /// Names and values of the variables that begin so.
    pub fn beginning(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let of = self
            .0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix));
        of.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How to reach servers.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Patience with them.
    pub patience: Patience,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// PEM file with the certificate authorities that alone are trusted; `None` for Mozilla's.
    pub certificates: Option<PathBuf>,
    /// What is known of cloud stores and who asks them.
    pub environment: Environment,
    /// Whether to ask none at all.
    pub is_offline: bool,
}

/// What happens during a transfer, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something worth a line: a retry, a mirror that failed. Escaped, without secrets.
    Note(String),
    /// Bytes there are, and bytes there will be where the server says.
    Progress {
        /// Bytes in the partial file.
        done: u64,
        /// Its length once complete.
        total: Option<u64>,
    },
}

/// Who hears of events.
pub type Listener<'a> = &'a mut dyn FnMut(Event);
