//! Where an artifact may come from, as written in a manifest.

use std::path::{Path, PathBuf};

use super::finding::quoted;
use super::http_url::HttpUrl;
use super::lint::Breach;
use super::object_url::ObjectUrl;

/// A checked URL of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// `repo:PATH`: a file beside the manifest.
    Repo(PathBuf),
    /// Anything that has to be fetched.
    Remote {
        /// By which means.
        scheme: Scheme,
        /// As written. May hold a secret in its query: never show it, show [`Url::shown`].
        text: String,
    },
}

/// The known ways to fetch an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// Plain HTTP.
    Http,
    /// An object store with the S3 protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
    /// A Git LFS object of the repository.
    Lfs,
    /// A file that DVC keeps, by the `.dvc` file beside the manifest.
    Dvc,
    /// A file of the host.
    File,
}

const SCHEMES: [Scheme; 8] = [
    Scheme::Https,
    Scheme::Http,
    Scheme::S3,
    Scheme::Gs,
    Scheme::Az,
    Scheme::Lfs,
    Scheme::Dvc,
    Scheme::File,
];

impl Scheme {
    /// The word before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
            Self::Lfs => "lfs",
            Self::Dvc => "dvc",
            Self::File => "file",
        }
    }
}

impl Url {
    /// Checks the text of a URL.
    pub(super) fn parse(text: &str) -> Result<Self, Breach> {
        let refused =
            |expected: &str| Breach::refused(expected, format!("`{}`", without_secrets(text)));
        if text.chars().any(char::is_control) {
            return Err(refused("a URL without control characters"));
        }
        let known = "a URL: repo:PATH, https, http, s3, gs, az, lfs, dvc or file";
        let Some((scheme, rest)) = text.split_once(':') else {
            let hint = "for a file beside the manifest, write `repo:` before its path";
            return Err(refused(known).hint(hint));
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "repo" {
            return relative(rest)
                .map(|path| Self::Repo(path.to_owned()))
                .ok_or_else(|| {
                    refused(
                        "a path below the manifest's directory, without `.`, `..` or empty parts",
                    )
                });
        }
        let scheme = SCHEMES.into_iter().find(|known| known.as_str() == scheme);
        let scheme = scheme.ok_or_else(|| refused(known))?;
        if text.contains(char::is_whitespace) {
            return Err(refused("a URL without spaces"));
        }
        check_remote(scheme, rest, &refused)?;
        Ok(Self::Remote {
            scheme,
            text: text.to_owned(),
        })
    }

    /// Reads a URL that no manifest wrote.
    ///
    /// # Errors
    /// What was expected, and what was found, without secrets.
    pub fn read(text: &str) -> Result<Self, (String, String)> {
        Self::parse(text).map_err(|breach| (breach.expected, breach.found))
    }

    /// The URL without query, fragment and user information, escaped.
    pub fn shown(&self) -> String {
        match self {
            Self::Repo(path) => format!("repo:{}", crate::durable::shown(path)),
            Self::Remote { text, .. } => without_secrets(text),
        }
    }

    /// The URL as one that HTTP serves; `None` for other schemes.
    pub fn http(&self) -> Option<HttpUrl> {
        match self {
            Self::Remote {
                scheme: Scheme::Http | Scheme::Https,
                text,
            } => HttpUrl::parse(text).ok(),
            _ => None,
        }
    }

    /// The URL as one of an object in a cloud store; `None` for other schemes.
    pub fn object(&self) -> Option<ObjectUrl> {
        match self {
            Self::Remote {
                scheme: Scheme::S3 | Scheme::Gs | Scheme::Az,
                text,
            } => ObjectUrl::parse(text).ok(),
            _ => None,
        }
    }

    /// The last component of its path; empty when there is none.
    pub(super) fn file_name(&self) -> &str {
        let path = match self {
            Self::Repo(path) => path.to_str().unwrap_or_default(),
            Self::Remote {
                scheme: Scheme::Dvc,
                text,
            } => text.strip_suffix(".dvc").unwrap_or(text),
            Self::Remote { text, .. } => before_query(text),
        };
        path.rsplit(['/', ':']).next().unwrap_or_default()
    }
}

/// `path` when it cannot lead out of the directory it is joined to.
fn relative(path: &str) -> Option<&Path> {
    let is_safe =
        path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\\');
    is_safe.then(|| Path::new(path))
}

fn check_remote(
    scheme: Scheme,
    rest: &str,
    refused: &impl Fn(&str) -> Breach,
) -> Result<(), Breach> {
    match scheme {
        Scheme::Lfs => match relative(rest) {
            Some(_) => Ok(()),
            None => Err(refused("a path below the manifest's directory")),
        },
        Scheme::Dvc => match relative(rest) {
            Some(path) if path.extension().is_some_and(|it| it == "dvc") => Ok(()),
            _ => Err(refused(
                "the path of a `.dvc` file below the manifest's directory",
            )),
        },
        Scheme::File => match rest.strip_prefix("//").unwrap_or(rest).strip_prefix('/') {
            Some(path) if !path.is_empty() => Ok(()),
            _ => Err(refused("`file:` and an absolute path")),
        },
        Scheme::Https | Scheme::Http => {
            let url = format!("{}:{rest}", scheme.as_str());
            let url = HttpUrl::parse(&url).map_err(refused)?;
            check_host(&url.host().to_string())
        }
        Scheme::S3 | Scheme::Gs | Scheme::Az => {
            let url = format!("{}:{rest}", scheme.as_str());
            let url = ObjectUrl::parse(&url).map_err(refused)?;
            check_host(&url.bucket().name)
        }
    }
}

/// Refuses the hosts of examples.
fn check_host(host: &str) -> Result<(), Breach> {
    if is_placeholder(host) {
        let found = format!("the placeholder host `{}`", quoted(host));
        return Err(Breach::refused("the host that holds the artifact", found)
            .hint("put the real URL of the artifact in its place"));
    }
    Ok(())
}

/// Whether a host name is reserved for examples.
fn is_placeholder(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    [
        "example.com",
        "example.net",
        "example.org",
        "example",
        "invalid",
    ]
    .iter()
    .any(|reserved| {
        host.strip_suffix(reserved)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

fn before_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// The text of a URL, checked or not, without query, fragment and user information.
fn without_secrets(text: &str) -> String {
    let kept = before_query(text);
    let shown = match (kept.split_once("//"), kept.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, after))) => format!("{scheme}//…@{after}"),
        (None, Some((_, after))) => format!("…@{after}"),
        (_, None) => kept.to_owned(),
    };
    quoted(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn accepts(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|breach| panic!("{text}: {breach:?}"))
    }

    #[track_caller]
    fn refuses(text: &str, word: &str) {
        let breach = Url::parse(text).expect_err(text);
        let message = format!("{} / {}", breach.expected, breach.found);
        assert!(message.contains(word), "{text}: {message}");
    }

    #[test]
    fn known_schemes_are_read() {
        assert_eq!(
            accepts("repo:weights/a b.bin"),
            Url::Repo("weights/a b.bin".into())
        );
        for text in [
            "https://models.acme.dev/a.tar.gz?sig=1",
            "HTTP://127.0.0.1:8080/a",
            "s3://bucket/a",
            "gs://bucket/a",
            "az://container/a",
            "lfs:models/a.bin",
            "dvc:models/a.bin.dvc",
            "file:///srv/a.tar",
        ] {
            assert!(matches!(accepts(text), Url::Remote { .. }), "{text}");
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for text in [
            "ftp://h/a",
            "gopher://h/a",
            "data:,x",
            "javascript:1",
            "models/a.bin",
            "",
        ] {
            refuses(text, "repo:PATH");
        }
    }

    #[test]
    fn repository_paths_stay_below_the_manifest() {
        for text in [
            "repo:",
            "repo:/etc/passwd",
            "repo:../a",
            "repo:a/../b",
            "repo:a//b",
        ] {
            refuses(text, "below the manifest");
        }
        for text in [
            "repo:./a",
            "repo:a/",
            "repo:a\\b",
            "lfs:../a",
            "dvc:../a.dvc",
            "dvc:a.bin",
        ] {
            refuses(text, "below the manifest");
        }
    }

    #[test]
    fn hosts_are_real() {
        refuses("https://example.com/a", "placeholder");
        refuses("https://your-storage.EXAMPLE.com./a", "placeholder");
        refuses("https://models.example/a", "placeholder");
        refuses("https://a.invalid/a", "placeholder");
        refuses("https:///a", "host");
        refuses("https:a", "host");
        accepts("https://notexample.com/a");
    }

    #[test]
    fn secrets_are_not_shown() {
        refuses("https://user:pass@host/a", "…@host");
        let breach = Url::parse("ftp://u:topsecret@h/a?token=topsecret").expect_err("a scheme");
        assert!(!format!("{breach:?}").contains("topsecret"), "{breach:?}");
        assert_eq!(
            accepts("https://h/a?sig=topsecret#x").shown(),
            "https://h/a"
        );
    }

    #[test]
    fn spaces_and_control_characters_are_refused() {
        refuses("https://h/a b", "spaces");
        refuses("repo:a\u{1b}b", "control");
        refuses("repo:a\0b", "control");
    }
}
