//! Policy and environment become the rules of a fetcher.

use std::path::{Path, PathBuf};

use super::progress::say;
use super::{Failure, settings};
use crate::artifact::archive::Limits;
use crate::artifact::reach::{Credentials, Environment, Event, Patience};
use crate::artifact::source::{self, Rules};
use crate::artifact::{self, Cache, Fetcher, Means, Reach, Resolved};
use crate::gate::Policy;
use crate::manifest::Host;

/// Environment variable with a PEM file of certificate authorities, as OpenSSL and curl read it.
pub(super) const CERTIFICATES: &str = "SSL_CERT_FILE";

/// A path the environment holds.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The rules of a policy. `http:` beyond loopback and `file:` stay forbidden.
pub(super) fn rules(policy: &Policy) -> Result<Rules, Failure> {
    let sources = &policy.sources;
    let wrong = |key: &str, i: usize, text: &str, what: &str| {
        let text = text.escape_debug();
        let message = format!("policy: `sources.{key}[{i}]`: `{text}` is no {what}");
        Failure::usage(
            message,
            "write a host name alone, e.g. \"models.acme.dev\", or a bucket, e.g. \"s3://models\"",
        )
    };
    let (allow_hosts, allow_buckets) = source::allowed(&sources.allow_hosts).map_err(|i| {
        wrong(
            "allow_hosts",
            i,
            &sources.allow_hosts[i],
            "host and no bucket",
        )
    })?;
    let private = sources.allow_private.iter().enumerate();
    let allow_private = private
        .map(|(i, text)| Host::parse(text).ok_or_else(|| wrong("allow_private", i, text, "host")))
        .collect::<Result<Vec<Host>, Failure>>()?;
    Ok(Rules {
        allow_hosts,
        allow_buckets,
        allow_private,
        max_artifact: sources.max_artifact_bytes,
        max_total: sources.max_total_bytes,
        ..Rules::default()
    })
}

/// What one archive may write.
pub(super) fn limits(policy: &Policy) -> Limits {
    let archive = &policy.archive;
    Limits {
        max_entries: archive.max_entries,
        max_unpacked: archive.max_unpacked_bytes,
        max_ratio: archive.max_ratio,
        ratio_floor: archive.ratio_floor_bytes,
    }
}

/// A fetcher under `rules`, with its cache.
///
/// * `cache`: the directory of the flag, or `None`
/// * `retries`: attempts after the first one, or `None` for the usual number
pub(super) fn fetcher(
    policy: &Policy,
    rules: Rules,
    cache: &Path,
    (is_offline, retries): (bool, Option<u32>),
) -> Result<Fetcher, Failure> {
    let usual = Patience::default();
    let patience = Patience {
        retries: retries.unwrap_or(usual.retries),
        min_bytes_per_s: policy.sources.min_throughput_bytes_per_s,
        ..usual
    };
    let credentials = Credentials::from_environment()
        .map_err(|message| Failure::usage(message, "set both variables, or none of them"))?;
    let reach = Reach {
        patience,
        credentials,
        certificates: variable(CERTIFICATES),
        environment: Environment::of_this_process(),
        is_offline,
    };
    let cache = Cache::open(cache).map_err(Failure::invalid)?;
    Fetcher::new(rules, reach, cache).map_err(Failure::invalid)
}

/// Where fetched files are kept: the flag, `VV_EVAL_CACHE`, or the cache of this user.
pub(super) fn cache_directory(named: Option<&Path>) -> PathBuf {
    named
        .map(Path::to_owned)
        .or_else(settings::cache_dir)
        .unwrap_or_else(|| std::env::temp_dir().join("vv-eval-cache"))
}

/// Finds the model at `path`, and fetches what of it is not on this host.
pub(super) fn resolve(path: &Path, policy: &Policy) -> Result<Resolved, Failure> {
    // Only who has to fetch needs a cache.
    match artifact::resolve(path) {
        Err(artifact::Error::Remote { .. }) => {}
        done => return done.map_err(Failure::invalid),
    }
    let rules = rules(policy)?;
    let cache = cache_directory(None);
    let fetcher = fetcher(policy, rules, &cache, (false, None))?;
    let mut means = Means {
        fetcher: Some(&fetcher),
        limits: limits(policy),
        workspace: Some(&cache),
        listener: &mut tell,
    };
    artifact::resolve_with(path, &mut means).map_err(Failure::invalid)
}

/// Tells people what happens during transfers.
pub(in crate::cli) fn tell(event: Event) {
    if let Event::Note(text) = event {
        say(&format!("note: {text}"));
    }
}
