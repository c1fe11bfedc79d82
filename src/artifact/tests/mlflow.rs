//! A registry of MLflow, answered by a server on loopback.

use super::server::{Request, Server, Step, whole};
use crate::artifact::mlflow::{Name, Registered};
use crate::artifact::reach::Patience;
use crate::artifact::source::Rules;
use crate::artifact::{Cache, Error, Fetcher, Reach};
use crate::hint::Hint as _;
use crate::manifest::HttpUrl;

fn json(text: &str) -> Vec<Step> {
    whole(
        "200 OK",
        &[("Content-Type", "application/json")],
        text.as_bytes(),
    )
}

/// As MLflow 3.18 says that something is not there.
fn absent() -> Vec<Step> {
    let text = r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"secret <b>not</b> found"}"#;
    whole("404 Not Found", &[], text.as_bytes())
}

/// A registry with version 7 of `bitnet`, `champion`, whose files are in one directory.
fn registry(request: &Request, status: &str, place: &str, files: &[&str]) -> Vec<Step> {
    let version =
        format!(r#"{{"model_version":{{"name":"bitnet","version":"7","status":"{status}"}}}}"#);
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    match path.strip_prefix("/base/api/2.0/").unwrap_or_default() {
        "mlflow/registered-models/alias" if query == "name=bitnet&alias=champion" => json(&version),
        "mlflow/model-versions/get" if query == "name=bitnet&version=7" => json(&version),
        "mlflow/model-versions/get-download-uri" if query == "name=bitnet&version=7" => {
            json(&format!(r#"{{"artifact_uri":"{place}"}}"#))
        }
        "mlflow/logged-models/m-1" => json(
            r#"{"model":{"info":{"artifact_uri":"mlflow-artifacts:/1/models/m-1/artifacts"}}}"#,
        ),
        "mlflow-artifacts/artifacts" => {
            let entry = |name: &&str| {
                let is_dir = name.ends_with('/');
                let name = name.trim_end_matches('/');
                format!(r#"{{"path":"{name}","is_dir":{is_dir},"file_size":3}}"#)
            };
            let files: Vec<String> = files.iter().map(entry).collect();
            json(&format!(r#"{{"files":[{}]}}"#, files.join(",")))
        }
        _ => absent(),
    }
}

fn ask(server: &Server, name: &str, rules: Rules) -> Result<Registered, Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let reach = Reach {
        patience: Patience {
            retries: 0,
            ..Patience::default()
        },
        ..Reach::default()
    };
    let cache = Cache::open(dir.path()).expect("made");
    let fetcher = Fetcher::new(rules, reach, cache).expect("good certificates");
    let tracking = HttpUrl::parse(&server.url("/base/")).expect("a URL");
    let name = Name::parse(name).expect("a model").expect("a name");
    fetcher.registered(&tracking, &name)
}

#[track_caller]
fn fails(result: Result<Registered, Error>, code: u8, words: &str) {
    let error = result.expect_err(words);
    assert_eq!(error.condition().code(), code, "{error}");
    let text = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(text.contains(words), "{words}: {text}");
    assert!(!text.contains("secret"), "{text}");
}

const PLACE: &str = "mlflow-artifacts:/1/run/artifacts/model";

#[test]
fn an_alias_becomes_the_url_of_one_version() {
    for (place, folder) in [
        (PLACE, "1/run/artifacts/model"),
        ("models:/m-1", "1/models/m-1/artifacts"),
    ] {
        let server = Server::start(move |request| {
            registry(request, "READY", place, &["MLmodel", "code/", "b 1.tar.gz"])
        });
        let found = ask(&server, "mlflow:/bitnet@champion", Rules::default()).expect("found");
        assert_eq!(
            (found.version.as_str(), found.filename.as_str()),
            ("7", "b 1.tar.gz")
        );
        let url = format!("/base/api/2.0/mlflow-artifacts/artifacts/{folder}/b%201.tar.gz");
        assert_eq!(found.url, server.url(&url));
        let again = ask(&server, "models:/bitnet/7", Rules::default()).expect("found");
        assert_eq!(again, found);
    }
}

#[test]
fn a_place_that_is_a_file_or_elsewhere_is_taken_as_it_is() {
    let server =
        Server::start(|request| registry(request, "READY", "mlflow-artifacts:/1/run/m.gguf", &[]));
    let found = ask(&server, "mlflow:/bitnet@champion", Rules::default()).expect("found");
    assert!(found.url.ends_with("/artifacts/1/run/m.gguf"), "{found:?}");
    let server =
        Server::start(|request| registry(request, "READY", "s3://models/v7/m.tar.gz", &[]));
    let found = ask(&server, "mlflow:/bitnet@champion", Rules::default()).expect("found");
    assert_eq!(found.url, "s3://models/v7/m.tar.gz");
    let server = Server::start(|request| registry(request, "READY", "/mnt/secret/model", &[]));
    fails(
        ask(&server, "mlflow:/bitnet@champion", Rules::default()),
        11,
        "--serve-artifacts",
    );
}

#[test]
fn n26_what_the_registry_does_not_have_is_said() {
    let all = |status: &'static str, files: &'static [&'static str]| {
        Server::start(move |request| registry(request, status, PLACE, files))
    };
    let check = |server: Server, name: &str, code, words: &str| {
        fails(ask(&server, name, Rules::default()), code, words);
    };
    let good = || all("READY", &["m.tar.gz"]);
    check(good(), "mlflow:/bitnet@gone", 21, "RESOURCE_DOES_NOT_EXIST");
    check(good(), "mlflow:/other@champion", 21, "status 404");
    check(good(), "mlflow:/bitnet/8", 21, "status 404");
    let pending = all("PENDING_REGISTRATION", &["m.tar.gz"]);
    check(pending, "mlflow:/bitnet@champion", 21, "not ready");
    check(all("READY", &[]), "mlflow:/bitnet@champion", 11, "none");
    let two = all("READY", &["a.gguf", "b.gguf"]);
    check(two, "mlflow:/bitnet@champion", 11, "a.gguf, b.gguf");
    let page = Server::start(|_| whole("200 OK", &[], b"<html>secret</html>"));
    check(page, "mlflow:/bitnet@champion", 21, "not understood");
    let endless = Server::start(|_| whole("200 OK", &[], &vec![b' '; 2 << 20]));
    check(endless, "mlflow:/bitnet@champion", 21, "too long");
    let busy = Server::start(|_| whole("503 Service Unavailable", &[], b""));
    check(busy, "mlflow:/bitnet@champion", 21, "status 503");
}

#[test]
fn n26_an_alias_that_moves_meanwhile_changes_nothing() {
    let server = Server::start(|request| {
        if request.target.contains("/alias") && request.n_before > 0 {
            return json(r#"{"model_version":{"version":"8","status":"READY"}}"#);
        }
        registry(request, "READY", PLACE, &["m.tar.gz"])
    });
    let found = ask(&server, "mlflow:/bitnet@champion", Rules::default()).expect("found");
    assert_eq!(found.version, "7");
    let aliases = server.requests();
    let asked = aliases.iter().filter(|it| it.target.contains("/alias"));
    assert_eq!(asked.count(), 1, "an alias is read once");
}

#[test]
fn a_server_that_is_not_allowed_is_not_asked() {
    let server = Server::start(|_| absent());
    let rules = Rules {
        requires_host_list: true,
        ..Rules::default()
    };
    fails(
        ask(&server, "mlflow:/bitnet@champion", rules),
        11,
        "allow_hosts",
    );
    assert_eq!(server.requests().len(), 0);
}
