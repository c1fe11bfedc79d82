//! Where the bytes of an artifact come from, and which places are allowed (rules R12 to R14).
//!
//! In: a [`Url`] of a manifest and the [`Rules`] of the policy and the command line. Out: a
//! [`Source`] that may be read, or a [`Refusal`]. Opens nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::hint::Hint;
use crate::manifest::{
    Artifact, Bucket, Host, HttpUrl, ObjectUrl, Release, Scheme, Url, is_public,
};
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
    /// A file that DVC keeps: its `.dvc` file beside the manifest.
    Dvc(PathBuf),
    /// A file behind HTTP.
    Http(HttpUrl),
    /// An object of a cloud store.
    Object(ObjectUrl),
}

impl Source {
    /// Whether it may have to be fetched from another host.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::File(_) | Self::Lfs(_) => false,
            Self::Dvc(_) | Self::Http(_) | Self::Object(_) => true,
        }
    }
}

/// Reads the entries of `sources.allow_hosts`: hosts, and buckets such as `s3://models`.
///
/// # Errors
/// The number of the first entry that is neither.
pub fn allowed(list: &[String]) -> Result<(Vec<Host>, Vec<Bucket>), usize> {
    let (mut hosts, mut buckets) = (Vec::new(), Vec::new());
    for (i, text) in list.iter().enumerate() {
        match (Host::parse(text), Bucket::parse(text)) {
            (Some(host), _) => hosts.push(host),
            (None, Some(bucket)) => buckets.push(bucket),
            (None, None) => return Err(i),
        }
    }
    Ok((hosts, buckets))
}

/// Which sources are allowed; from `[sources]` of the policy and the flags of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Hosts that may be asked; where no bucket is named either, every public one.
    pub allow_hosts: Vec<Host>,
    /// Buckets that may be asked; where no host is named either, every one.
    pub allow_buckets: Vec<Bucket>,
    /// Whether empty lists allow nothing instead: a pull request must not choose hosts.
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
            allow_buckets: Vec::new(),
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
    /// [`Refusal`] for `file:` and `http:` without their flag, and hosts and buckets that are not
    /// allowed.
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
            Scheme::Dvc => Ok(Source::Dvc(base.join(after_scheme))),
            Scheme::File if self.allow_file => {
                let path = after_scheme.strip_prefix("//").unwrap_or(after_scheme);
                Ok(Source::File(PathBuf::from(path)))
            }
            Scheme::File => refuse(
                "a source a manifest may choose",
                "`file:`, which reads any file of this host",
                "allow it with --allow-file, or name the file beside the manifest by `repo:PATH`",
            ),
            Scheme::S3 | Scheme::Gs | Scheme::Az => {
                let object = url.object().ok_or_else(|| Refusal {
                    what: url.shown(),
                    expected: "the URL of an object in a cloud store".to_owned(),
                    found: "none".to_owned(),
                    advice: None,
                })?;
                self.check_object(&object)?;
                Ok(Source::Object(object))
            }
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
        if self.must_be_listed() && !self.allow_hosts.contains(host) {
            return refuse(
                &self.listed("a host"),
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

    /// Whether an object may be asked for. Which host serves it is for the environment and the
    /// provider to say, so its bucket is what the list names.
    ///
    /// # Errors
    /// [`Refusal`] for a bucket that is not on the list.
    pub fn check_object(&self, object: &ObjectUrl) -> Result<(), Refusal> {
        let bucket = object.bucket();
        if !self.must_be_listed() || self.allow_buckets.contains(bucket) {
            return Ok(());
        }
        Err(Refusal {
            what: object.shown(),
            expected: self.listed("a bucket"),
            found: format!("`{bucket}`"),
            advice: Some(
                "add the bucket, such as \"s3://models\", to `[sources] allow_hosts` of gate.toml, \
                 in a change of its own",
            ),
        })
    }

    /// Whether only listed hosts and buckets may be asked.
    pub(super) fn must_be_listed(&self) -> bool {
        self.requires_host_list || !self.allow_hosts.is_empty() || !self.allow_buckets.is_empty()
    }

    /// What the list would have allowed, as a sentence.
    fn listed(&self, what: &str) -> String {
        let hosts = self.allow_hosts.iter().map(Host::to_string);
        let listed: Vec<String> = hosts
            .chain(self.allow_buckets.iter().map(Bucket::to_string))
            .collect();
        match listed.as_slice() {
            [] => format!("{what} that `sources.allow_hosts` of the policy names; it names none"),
            listed => format!("{what} of `sources.allow_hosts`: {}", listed.join(", ")),
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
    fn buckets_are_listed_beside_hosts() {
        let base = Path::new("/r");
        let s3 = remote(Scheme::S3, "s3://models/m");
        let source = Rules::default().source(&s3, base);
        assert!(matches!(source, Ok(Source::Object(_))), "{source:?}");
        let list = ["models.acme.dev".to_owned(), "s3://models".to_owned()];
        let (allow_hosts, allow_buckets) = allowed(&list).expect("a host and a bucket");
        let rules = Rules {
            allow_hosts,
            allow_buckets,
            ..Rules::default()
        };
        assert!(rules.source(&s3, base).is_ok());
        for (scheme, text) in [
            (Scheme::S3, "s3://other/m"),
            // The same name in another store is another bucket.
            (Scheme::Gs, "gs://models/m"),
            (Scheme::Https, "https://elsewhere.dev/m"),
        ] {
            let refusal = rules.source(&remote(scheme, text), base).expect_err(text);
            let words = "models.acme.dev, s3://models";
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
        let only_buckets = Rules {
            allow_hosts: Vec::new(),
            ..rules
        };
        refuses(&only_buckets, "https://models.acme.dev/a", "s3://models");
        let gate = Rules {
            requires_host_list: true,
            ..Rules::default()
        };
        let refusal = gate.source(&s3, base).expect_err("a gate wants a list");
        assert!(refusal.to_string().contains("it names none"), "{refusal}");
        for wrong in ["s3://models/m", "https://h", "s3://"] {
            assert_eq!(
                allowed(&["h".to_owned(), wrong.to_owned()]),
                Err(1),
                "{wrong}"
            );
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
