//! URLs of objects in cloud stores, in their one spelling, and the buckets a policy may name.

use std::fmt;

use super::finding::quoted;

/// Longest key of an object, in bytes; that of S3 and Google.
const MAX_KEY: usize = 1024;

/// Characters of a key that some store or client would encode twice, or take for something else.
const NOT_IN_KEYS: &str = "\\{}^%`[]\"<>~#|*?";

/// A kind of object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Amazon S3, or whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Store {
    /// The scheme of its URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }

    /// The query parameter that names one version of an object, as the store itself calls it.
    fn version_parameter(self) -> &'static str {
        match self {
            Self::S3 => "versionId",
            Self::Gs => "generation",
            Self::Az => "versionid",
        }
    }

    fn read(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once("://")?;
        [Self::S3, Self::Gs, Self::Az]
            .into_iter()
            .find(|store| scheme.eq_ignore_ascii_case(store.as_str()))
            .map(|store| (store, rest))
    }
}

/// A bucket, or container, of a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// The kind of store it is in.
    pub store: Store,
    /// Its name.
    pub name: String,
}

impl Bucket {
    /// Reads `s3://NAME`, `gs://NAME` or `az://NAME`; `None` for anything else, a final `/` or a
    /// key included.
    pub fn parse(text: &str) -> Option<Self> {
        let (store, name) = Store::read(text)?;
        is_bucket(name).then(|| Self {
            store,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.store.as_str(), self.name)
    }
}

/// An object: `s3://BUCKET/KEY`, `gs://BUCKET/KEY` or `az://CONTAINER/KEY`, perhaps with the one
/// version of it that is meant (`?versionId=`, `?generation=`, `?versionid=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUrl {
    bucket: Bucket,
    key: String,
    version: Option<String>,
}

impl ObjectUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What was expected, when `text` is none. Keys and versions are taken as they are written:
    /// nothing in them is decoded, so characters that are usually encoded are refused in keys.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (store, rest) = Store::read(text).ok_or("s3://, gs:// or az://")?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let (name, key) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return Err("a host after `//`");
        }
        if name.contains(['@', ':', '\\']) {
            return Err("a host without user information");
        }
        if !is_bucket(name) {
            return Err("a bucket of lower-case letters, digits, `.`, `_` and `-`");
        }
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if key.len() > MAX_KEY || !key.split('/').all(is_plain) {
            return Err("the key of an object, without `.`, `..` or empty parts");
        }
        let is_allowed = |c: char| c.is_ascii_graphic() && !NOT_IN_KEYS.contains(c);
        if !key.chars().all(is_allowed) {
            return Err(
                "a key of printable ASCII characters without \\ { } ^ % ` [ ] \" < > ~ # | * ?",
            );
        }
        let version = match query {
            Some(query) => Some(version(store, query).ok_or(match store {
                Store::S3 => "no query but `versionId=` and the id of one version",
                Store::Gs => "no query but `generation=` and the number of one version",
                Store::Az => "no query but `versionid=` and the id of one version",
            })?),
            None => None,
        };
        Ok(Self {
            bucket: Bucket {
                store,
                name: name.to_owned(),
            },
            key: key.to_owned(),
            version,
        })
    }

    /// Where the object is.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Its name there.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The version that is meant; `None` for the newest.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The URL without its query, escaped and cut when long.
    pub fn shown(&self) -> String {
        quoted(&format!("{}/{}", self.bucket, self.key))
    }

    /// The URL in full, for telling whether two name one file; it holds no secret.
    pub fn text(&self) -> String {
        let plain = format!("{}/{}", self.bucket, self.key);
        match &self.version {
            Some(version) => {
                let parameter = self.bucket.store.version_parameter();
                format!("{plain}?{parameter}={version}")
            }
            None => plain,
        }
    }
}

/// The version a query names; `None` for a query that does anything else.
fn version(store: Store, query: &str) -> Option<String> {
    let (name, value) = query.split_once('=')?;
    let is_value = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/+=".contains(&byte);
    let is_one = name.eq_ignore_ascii_case(store.version_parameter())
        && (1..=MAX_KEY).contains(&value.len())
        && value.bytes().all(is_value);
    is_one.then(|| value.to_owned())
}

fn is_bucket(name: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    bytes.len() <= 222
        && is_end(first)
        && is_end(last)
        && !name.contains("..")
        && bytes
            .iter()
            .all(|&byte| is_end(byte) || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_and_written_back() {
        for (text, shown) in [
            ("s3://models/v1.1/m.tar.gz", "s3://models/v1.1/m.tar.gz"),
            ("S3://models/m", "s3://models/m"),
            ("gs://a_b.acme.dev/m+1=2", "gs://a_b.acme.dev/m+1=2"),
            ("az://models/d/m@1", "az://models/d/m@1"),
        ] {
            let url = ObjectUrl::parse(text).expect(text);
            assert_eq!(url.shown(), shown);
            assert_eq!((url.text().as_str(), url.version()), (shown, None));
        }
        for (text, version) in [
            ("s3://models/m?versionId=aB3_.-x", "aB3_.-x"),
            ("s3://models/m?versionId=3/L4kq+x=", "3/L4kq+x="),
            ("gs://models/m?generation=1712", "1712"),
            (
                "az://models/m?versionId=2024-01-02T03:04:05.6Z",
                "2024-01-02T03:04:05.6Z",
            ),
        ] {
            let url = ObjectUrl::parse(text);
            let url = url.unwrap_or_else(|expected| panic!("{text}: {expected}"));
            assert_eq!(url.version(), Some(version));
            assert!(!url.shown().contains('?'));
            assert!(url.text().ends_with(version));
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for (text, expected) in [
            ("s3:models/m", "s3://"),
            ("https://models/m", "s3://"),
            ("s3:///m", "a host after"),
            ("s3://user:pass@models/m", "user information"),
            ("s3://models:80/m", "user information"),
            ("s3://Models/m", "lower-case"),
            ("s3://-m/k", "lower-case"),
            ("s3://a..b/k", "lower-case"),
            ("s3://models", "the key"),
            ("s3://models/", "the key"),
            ("s3://models/a/../b", "the key"),
            ("s3://models//b", "the key"),
            ("s3://models/a%2fb", "printable"),
            ("s3://models/a#b", "printable"),
            ("s3://models/\u{e9}", "printable"),
            ("s3://models/m?", "no query but"),
            ("s3://models/m?sig=topsecret", "no query but"),
            ("s3://models/m?versionId=", "no query but"),
            ("s3://models/m?versionId=a&x=b", "no query but"),
            ("s3://models/m?generation=1", "versionId"),
            ("gs://models/m?versionId=1", "generation"),
        ] {
            let found = ObjectUrl::parse(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
            assert!(!found.contains("topsecret"));
        }
        let long = format!("s3://models/{}", "k".repeat(MAX_KEY + 1));
        assert!(ObjectUrl::parse(&long).is_err());
    }

    #[test]
    fn buckets_are_named_alone() {
        let bucket = Bucket::parse("gs://models").expect("a bucket");
        assert_eq!(bucket.to_string(), "gs://models");
        for text in [
            "models",
            "gs://",
            "gs://models/",
            "gs://models/m",
            "ftp://models",
        ] {
            assert_eq!(Bucket::parse(text), None, "{text}");
        }
    }
}
