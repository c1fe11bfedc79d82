//! Models of an MLflow registry: an alias or a version becomes the URL of one file.
//!
//! In: `mlflow:/NAME@ALIAS` or `mlflow:/NAME/VERSION` and the address of the tracking server. Out:
//! [`Registered`], one version and where its file is served. An alias moves, so it is read once,
//! here; what a manifest then holds is the URL of that one version, under its digest.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::Transfer;
use super::http::Http;
use super::source::Refusal;
use super::{Condition, Error};
use crate::manifest::{HttpUrl, Url, quoted};

/// Environment variable with the address of the tracking server, as MLflow itself reads it.
pub const TRACKING: &str = "MLFLOW_TRACKING_URI";

/// Longest answer of the tracking server, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Ends of the names of files that hold a whole model.
const MODEL_FILES: [&str; 4] = [".tar.gz", ".tgz", ".tar", ".gguf"];

/// A model as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    name: String,
    which: Which,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Alias(String),
    Version(String),
}

impl Name {
    /// Reads `mlflow:/NAME@ALIAS` or `mlflow:/NAME/VERSION`; MLflow's own `models:/…` is the same.
    ///
    /// # Errors
    /// What was expected; `None` for a text that is about something else.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let rest = text
            .strip_prefix("mlflow:/")
            .or_else(|| text.strip_prefix("models:/"))?;
        let (name, which) = match (rest.split_once('@'), rest.split_once('/')) {
            (Some((name, alias)), _) => (name, Which::Alias(alias.to_owned())),
            (None, Some((name, version))) => (name, Which::Version(version.to_owned())),
            (None, None) => return Some(Err("NAME@ALIAS or NAME/VERSION")),
        };
        let is_right = match &which {
            Which::Alias(alias) => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                (1..=255).contains(&alias.len()) && alias.chars().all(is_plain)
            }
            Which::Version(version) => {
                (1..=20).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit())
            }
        };
        let is_name = (1..=255).contains(&name.len())
            && !name.contains(|c: char| c.is_control() || "/:".contains(c));
        Some(if is_right && is_name {
            Ok(Self {
                name: name.to_owned(),
                which,
            })
        } else {
            Err("NAME@ALIAS or NAME/VERSION")
        })
    }
}

/// One version of a registered model, and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The number the registry gave it.
    pub version: String,
    /// Name of the file.
    pub filename: String,
    /// Where it is served, as a manifest writes it.
    pub url: String,
}

#[derive(Deserialize)]
struct ByAlias {
    model_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Download {
    artifact_uri: String,
}

#[derive(Deserialize)]
struct Logged {
    model: LoggedModel,
}

#[derive(Deserialize)]
struct LoggedModel {
    info: LoggedInfo,
}

#[derive(Deserialize)]
struct LoggedInfo {
    artifact_uri: String,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    files: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default)]
    is_dir: bool,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error_code: String,
}

/// Asks a registry where the file of a model is.
///
/// * `tracking`: address of the server, with the path it is served under
///
/// # Errors
/// [`Error::Transfer`] when the server cannot be asked, does not know the model or its alias, or has
/// the version not ready; [`Error::Refused`] for a server the rules do not allow, a place that is
/// not behind it, or several files that could be meant.
///
/// Source: MLflow 3.18, "REST API"; `mlflow/server/handlers.py` for the artifacts.
pub(super) fn locate(http: &Http, tracking: &HttpUrl, name: &Name) -> Result<Registered, Error> {
    let server = Server { http, tracking };
    let model = encoded(&name.name);
    let found: ByAlias = match &name.which {
        Which::Alias(alias) => server.ask(&format!(
            "mlflow/registered-models/alias?name={model}&alias={}",
            encoded(alias)
        ))?,
        Which::Version(version) => server.ask(&format!(
            "mlflow/model-versions/get?name={model}&version={version}"
        ))?,
    };
    let Version { version, status } = found.model_version;
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(server.unusable("its version is no number"));
    }
    if status.as_deref().is_some_and(|status| status != "READY") {
        let problem = format!(
            "version {version} of `{}` is not ready ({})",
            quoted(&name.name),
            quoted(&status.unwrap_or_default())
        );
        return Err(server.unusable(&problem));
    }
    // From here on the number counts: an alias that moves meanwhile changes nothing.
    let download: Download = server.ask(&format!(
        "mlflow/model-versions/get-download-uri?name={model}&version={version}"
    ))?;
    let mut place = download.artifact_uri;
    if let Some(id) = place.strip_prefix("models:/") {
        // A logged model, which MLflow 3 keeps apart from runs.
        let logged: Logged = server.ask(&format!("mlflow/logged-models/{}", encoded(id)))?;
        place = logged.model.info.artifact_uri;
    }
    let (filename, url) = server.file(&place)?;
    Ok(Registered {
        version,
        filename,
        url,
    })
}

struct Server<'a> {
    http: &'a Http,
    tracking: &'a HttpUrl,
}

impl Server<'_> {
    fn api(&self, rest: &str) -> String {
        let base = self.tracking.without_query();
        format!("{}/api/2.0/{rest}", base.trim_end_matches('/'))
    }

    fn unusable(&self, problem: &str) -> Error {
        Error::Transfer(Box::new(Transfer {
            advice: Some("look at the model and its alias in the registry"),
            ..Transfer::new(
                Condition::ServerUnusable,
                self.tracking.shown(),
                problem.to_owned(),
            )
        }))
    }

    fn ask<T: DeserializeOwned>(&self, rest: &str) -> Result<T, Error> {
        let url = HttpUrl::parse(&self.api(rest)).map_err(|expected| self.unusable(expected))?;
        let (status, body) = self.http.read(&url, MAX_ANSWER)?;
        if status == 200 {
            return serde_json::from_slice(&body)
                .map_err(|error| self.unusable(&format!("its answer is not understood: {error}")));
        }
        let refused: Option<Refused> = serde_json::from_slice(&body).ok();
        let code = refused.map_or(String::new(), |it| it.error_code);
        let is_word = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        let problem = if !code.is_empty() && code.len() < 60 && code.bytes().all(is_word) {
            format!("status {status} ({code})")
        } else {
            format!("status {status}")
        };
        Err(self.unusable(&problem))
    }

    /// Name and URL of the one file at a place the registry gave.
    fn file(&self, place: &str) -> Result<(String, String), Error> {
        let is_model = |name: &str| MODEL_FILES.iter().any(|end| name.ends_with(end));
        let Some(path) = self.proxied(place) else {
            // Somewhere else, which only a manifest's rules open; the place must be the file itself.
            let name = place.rsplit('/').next().unwrap_or_default();
            let is_url = Url::read(place).is_ok();
            return if is_url && is_model(name) {
                Ok((name.to_owned(), place.to_owned()))
            } else {
                Err(self.elsewhere(place))
            };
        };
        let listed: Listing = self.ask(&format!(
            "mlflow-artifacts/artifacts?path={}",
            encoded(&path)
        ))?;
        let names = listed.files.iter().filter(|entry| !entry.is_dir);
        let names = names.map(|entry| entry.path.rsplit('/').next().unwrap_or_default());
        let names: Vec<&str> = names.collect();
        let chosen: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| is_model(name))
            .collect();
        let path = match (chosen.as_slice(), names.is_empty()) {
            ([name], _) => format!("{path}/{name}"),
            // A place that holds nothing may be the file itself.
            ([], true) if is_model(&path) => path,
            _ => return Err(self.several(&names)),
        };
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let parts: Vec<String> = path.split('/').map(encoded).collect();
        let rest = format!("mlflow-artifacts/artifacts/{}", parts.join("/"));
        Ok((name, self.api(&rest)))
    }

    /// The path of a place behind the tracking server; `None` for any other.
    fn proxied(&self, place: &str) -> Option<String> {
        let rest = place.strip_prefix("mlflow-artifacts:")?;
        let path = match rest.strip_prefix("//") {
            // The host it names must be this one: `mlflow-artifacts://HOST:PORT/PATH`.
            Some(rest) => {
                let (authority, path) = rest.split_once('/')?;
                let own = self.tracking.without_query();
                let own = own.split("//").nth(1)?.split('/').next()?;
                (authority == own).then_some(path)?
            }
            None => rest,
        };
        let path = path.trim_matches('/');
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        path.split('/').all(is_plain).then(|| path.to_owned())
    }

    fn elsewhere(&self, place: &str) -> Error {
        let scheme = place.split_once(':').map_or("", |(scheme, _)| scheme);
        Error::Refused(Refusal {
            what: format!("the place of the model behind `{}`", self.tracking.shown()),
            expected: "a place the tracking server serves (mlflow-artifacts:), or one file".into(),
            found: format!("`{}:…`", quoted(scheme)),
            advice: Some(
                "start the server with --serve-artifacts, or download the file and name it with \
                 --from FILE --url URL",
            ),
        })
    }

    fn several(&self, names: &[&str]) -> Error {
        let names: Vec<String> = names.iter().take(10).map(|name| quoted(name)).collect();
        Error::Refused(Refusal {
            what: format!("the files of the model behind `{}`", self.tracking.shown()),
            expected: format!("one file that ends with {}", MODEL_FILES.join(", ")),
            found: if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
            advice: Some("pack the model with `vv-eval model pack` and register that one file"),
        })
    }
}

/// Text inside a query or one component of a path.
///
/// Source: RFC 3986, section 2.3, unreserved characters.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let of = |name: &str, which| {
            Some(Ok(Name {
                name: name.to_owned(),
                which,
            }))
        };
        let alias = |text: &str| Which::Alias(text.to_owned());
        assert_eq!(
            Name::parse("mlflow:/bitnet@champion"),
            of("bitnet", alias("champion"))
        );
        assert_eq!(Name::parse("models:/a b@x-1"), of("a b", alias("x-1")));
        let seven = Which::Version("7".to_owned());
        assert_eq!(Name::parse("mlflow:/bitnet/7"), of("bitnet", seven));
        for text in ["dist/m.tar.gz", "dvc:m.dvc", "mlflow", ""] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
        for text in [
            "mlflow:/",
            "mlflow:/bitnet",
            "mlflow:/bitnet@",
            "mlflow:/@champion",
            "mlflow:/bitnet/latest",
            "mlflow:/bitnet/-1",
            "mlflow:/a/b@c",
            "mlflow:/bitnet@a&b",
            "mlflow:/a:b@c",
        ] {
            assert!(matches!(Name::parse(text), Some(Err(_))), "{text}");
        }
    }

    #[test]
    fn what_has_a_meaning_in_a_url_is_encoded() {
        assert_eq!(encoded("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
        assert_eq!(encoded("a-1._~"), "a-1._~");
    }
}
