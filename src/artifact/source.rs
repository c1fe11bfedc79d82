//! Where the bytes of an artifact come from, and which places are allowed (rules R12 to R14).
//!
//! In: a [`Url`] of a manifest and the [`Rules`] of the policy and the command line. Out: a
//! [`Source`] that may be read, or a [`Refusal`]. Opens nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::hint::Hint;
use crate::manifest::{Artifact, Host, HttpUrl, Release, Scheme, Url, is_public};
use crate::units::Bytes;

/// Most bytes of one artifact, when the policy does not say (16 GiB).
pub const MAX_ARTIFACT_BYTES: Bytes = Bytes(16 << 30);

/// Most bytes of all artifacts together, when the policy does not say (32 GiB).
pub const MAX_TOTAL_BYTES: Bytes = Bytes(32 << 30);

/// A place that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this host: `repo:PATH` beside the manifest, or `file:`.
    File(PathBuf),
    /// A file beside the manifest that Git LFS keeps: the file itself, or its pointer.
    Lfs(PathBuf),
    /// A file behind HTTP.
    Http(HttpUrl),
}

/// Which sources are allowed; from `[sources]` of the policy and the flags of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Hosts that may be asked; empty allows every public one.
    pub allow_hosts: Vec<Host>,
    /// Whether an empty `allow_hosts` allows none instead: a pull request must not choose hosts.
    pub requires_host_list: bool,
    /// Hosts that may be asked although their address is not public.
    pub allow_private: Vec<Host>,
    /// Whether `http:` is allowed beyond loopback literals.
    pub allow_http: bool,
    /// Whether `file:` is allowed.
    pub allow_file: bool,
    /// Most bytes of one artifact.
    pub max_artifact: Bytes,
    /// Most bytes of all artifacts of a release together.
    pub max_total: Bytes,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow_hosts: Vec::new(),
            requires_host_list: false,
            allow_private: Vec::new(),
            allow_http: false,
            allow_file: false,
            max_artifact: MAX_ARTIFACT_BYTES,
            max_total: MAX_TOTAL_BYTES,
        }
    }
}

/// A source, or a size, that policy or safety refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused by policy: {what}\n  expected:  {expected}\n  found:     {found}")]
pub struct Refusal {
    /// What is refused: a URL without its query, or a value; escaped.
    pub what: String,
    /// What would have been allowed.
    pub expected: String,
    /// What stands there instead.
    pub found: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

impl Hint for Refusal {
    fn hint(&self) -> Option<String> {
        self.advice.map(str::to_owned)
    }
}

impl Rules {
    /// The place a URL of a manifest names.
    ///
    /// * `base`: the manifest's directory, which `repo:` and `lfs:` are relative to
    ///
    /// # Errors
    /// [`Refusal`] for `file:` and `http:` without their flag, hosts that are not allowed, and
    /// object stores, which this build does not read.
    pub fn source(&self, url: &Url, base: &Path) -> Result<Source, Refusal> {
        let (scheme, text) = match url {
            Url::Repo(path) => return Ok(Source::File(base.join(path))),
            Url::Remote { scheme, text } => (*scheme, text),
        };
        let refuse = |expected: &str, found: &str, advice| {
            Err(Refusal {
                what: url.shown(),
                expected: expected.to_owned(),
                found: found.to_owned(),
                advice: Some(advice),
            })
        };
        let after_scheme = text.split_once(':').map_or("", |(_, rest)| rest);
        match scheme {
            Scheme::Lfs => Ok(Source::Lfs(base.join(after_scheme))),
            Scheme::File if self.allow_file => {
                let path = after_scheme.strip_prefix("//").unwrap_or(after_scheme);
                Ok(Source::File(PathBuf::from(path)))
            }
            Scheme::File => refuse(
                "a source a manifest may choose",
                "`file:`, which reads any file of this host",
                "allow it with --allow-file, or name the file beside the manifest by `repo:PATH`",
            ),
            Scheme::S3 | Scheme::Gs | Scheme::Az => refuse(
                "repo, lfs, https, http or file",
                "an object store, and this program was built without feature cloud",
                "name the object by its https URL, presigned if it is private",
            ),
            Scheme::Http | Scheme::Https => {
                let url = url.http().ok_or_else(|| Refusal {
                    what: url.shown(),
                    expected: "an http or https URL".to_owned(),
                    found: "none".to_owned(),
                    advice: None,
                })?;
                self.check_url(&url)?;
                Ok(Source::Http(url))
            }
        }
    }

    /// Whether a URL may be asked, as far as its text tells; redirects come here too.
    ///
    /// # Errors
    /// [`Refusal`] for plain HTTP beyond loopback, a host that is not on the list, or an address
    /// that is not public.
    pub fn check_url(&self, url: &HttpUrl) -> Result<(), Refusal> {
        let host = url.host();
        let refuse = |expected: &str, found: String, advice| {
            Err(Refusal {
                what: url.shown(),
                expected: expected.to_owned(),
                found,
                advice: Some(advice),
            })
        };
        if !url.is_tls() && !self.allow_http && !host.is_loopback_literal() {
            return refuse(
                "https, or http to a loopback address",
                "http".to_owned(),
                "serve the file over https; --allow-http allows plain http where there is no other \
                 way",
            );
        }
        let must_be_listed = self.requires_host_list || !self.allow_hosts.is_empty();
        if must_be_listed && !self.allow_hosts.contains(host) {
            let listed: Vec<String> = self.allow_hosts.iter().map(Host::to_string).collect();
            let expected = match listed.as_slice() {
                [] => "a host that `sources.allow_hosts` of the policy names; it names none".into(),
                listed => format!("a host of `sources.allow_hosts`: {}", listed.join(", ")),
            };
            return refuse(
                &expected,
                format!("`{host}`"),
                "add the host to `[sources] allow_hosts` of gate.toml, in a change of its own",
            );
        }
        match host {
            Host::Address(address) if !host.is_loopback_literal() => {
                self.check_address(host, *address)
            }
            _ => Ok(()),
        }
    }

    /// Whether an address a host resolved to may be asked.
    ///
    /// # Errors
    /// [`Refusal`] when it is not public and neither `allow_private` names the host nor the host
    /// is the literal of a loopback address.
    pub fn check_address(&self, host: &Host, address: IpAddr) -> Result<(), Refusal> {
        let is_allowed =
            is_public(address) || host.is_loopback_literal() || self.allow_private.contains(host);
        if is_allowed {
            return Ok(());
        }
        Err(Refusal {
            what: format!("host `{host}`"),
            expected: "a public address".to_owned(),
            found: address.to_string(),
            advice: Some("if this host is yours, add it to `[sources] allow_private` of gate.toml"),
        })
    }

    /// Where each artifact of a release may come from, mirrors in order; opens nothing.
    ///
    /// * `base`: the manifest's directory
    ///
    /// # Errors
    /// [`Refusal`] for the first source, or size, that is not allowed.
    pub fn sources(&self, release: &Release, base: &Path) -> Result<Vec<Vec<Source>>, Refusal> {
        self.check_sizes(release)?;
        let of = |artifact: &Artifact| {
            let urls = artifact.urls.iter();
            urls.map(|url| self.source(url, base)).collect()
        };
        release.artifacts.iter().map(of).collect()
    }

    /// Whether the sizes a release declares are within bounds.
    ///
    /// # Errors
    /// [`Refusal`] with both numbers.
    pub fn check_sizes(&self, release: &Release) -> Result<(), Refusal> {
        let sizes = || release.artifacts.iter().filter_map(|it| it.size);
        let total = sizes().fold(0u64, |sum, Bytes(size)| sum.saturating_add(size));
        let named = |what: &str, Bytes(limit): Bytes, found: u64, key: &str| Refusal {
            what: what.to_owned(),
            expected: format!("at most {limit} bytes (`sources.{key}` of the policy)"),
            found: format!("{found} bytes"),
            advice: None,
        };
        if let Some(Bytes(size)) = sizes().find(|size| *size > self.max_artifact) {
            let what = "the size of an artifact";
            return Err(named(what, self.max_artifact, size, "max_artifact_bytes"));
        }
        if total > self.max_total.0 {
            let what = "the sizes of the artifacts together";
            return Err(named(what, self.max_total, total, "max_total_bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).expect("a host")
    }

    fn http(text: &str) -> HttpUrl {
        HttpUrl::parse(text).expect("a URL")
    }

    fn remote(scheme: Scheme, text: &str) -> Url {
        Url::Remote {
            scheme,
            text: text.to_owned(),
        }
    }

    #[test]
    fn local_sources_are_beside_the_manifest() {
        let rules = Rules::default();
        let base = Path::new("/r");
        let source = rules.source(&Url::Repo("a/b".into()), base);
        assert_eq!(source, Ok(Source::File("/r/a/b".into())));
        let source = rules.source(&remote(Scheme::Lfs, "lfs:a.bin"), base);
        assert_eq!(source, Ok(Source::Lfs("/r/a.bin".into())));
    }

    #[test]
    fn files_of_the_host_need_the_flag() {
        let url = remote(Scheme::File, "file:///srv/a.tar");
        let base = Path::new("/r");
        assert!(Rules::default().source(&url, base).is_err());
        let rules = Rules {
            allow_file: true,
            ..Rules::default()
        };
        assert_eq!(
            rules.source(&url, base),
            Ok(Source::File("/srv/a.tar".into()))
        );
    }

    #[test]
    fn object_stores_say_what_is_missing() {
        for (scheme, text) in [
            (Scheme::S3, "s3://b/k"),
            (Scheme::Gs, "gs://b/k"),
            (Scheme::Az, "az://b/k"),
        ] {
            let refusal = Rules::default().source(&remote(scheme, text), Path::new("/r"));
            let text = refusal.expect_err("refused").to_string();
            assert!(text.contains("built without feature cloud"), "{text}");
        }
    }

    #[track_caller]
    fn refuses(rules: &Rules, url: &str, words: &str) {
        let refusal = rules.check_url(&http(url)).expect_err(url);
        assert!(refusal.to_string().contains(words), "{refusal}");
        assert!(!refusal.to_string().contains("secret"), "{refusal}");
    }

    #[test]
    fn plain_http_is_for_loopback_unless_allowed() {
        let rules = Rules::default();
        refuses(
            &rules,
            "http://models.acme.dev/a?sig=secret",
            "found:     http",
        );
        assert_eq!(rules.check_url(&http("http://127.0.0.1:8080/a")), Ok(()));
        assert_eq!(rules.check_url(&http("http://[::1]/a")), Ok(()));
        let rules = Rules {
            allow_http: true,
            ..Rules::default()
        };
        assert_eq!(rules.check_url(&http("http://models.acme.dev/a")), Ok(()));
    }

    #[test]
    fn a_host_list_is_exhaustive() {
        let listed = Rules {
            allow_hosts: vec![host("models.acme.dev")],
            ..Rules::default()
        };
        assert_eq!(
            listed.check_url(&http("https://MODELS.acme.dev./a")),
            Ok(())
        );
        refuses(&listed, "https://acme.dev/a", "models.acme.dev");
        refuses(&listed, "http://127.0.0.1/a", "allow_hosts");
        let demanding = Rules {
            requires_host_list: true,
            ..Rules::default()
        };
        refuses(&demanding, "https://models.acme.dev/a", "it names none");
    }

    #[test]
    fn private_addresses_need_their_hosts_name() {
        let rules = Rules::default();
        refuses(&rules, "https://169.254.169.254/latest", "public address");
        refuses(&rules, "https://[::ffff:10.0.0.1]/a", "public address");
        let inner = host("models.intern");
        let address = "10.0.0.1".parse().expect("an address");
        assert!(rules.check_address(&inner, address).is_err());
        let loopback = "127.0.0.1".parse().expect("an address");
        // A name that resolves to loopback is not a literal.
        assert!(rules.check_address(&host("localhost"), loopback).is_err());
        let rules = Rules {
            allow_private: vec![inner.clone()],
            ..Rules::default()
        };
        assert_eq!(rules.check_address(&inner, address), Ok(()));
    }
}
