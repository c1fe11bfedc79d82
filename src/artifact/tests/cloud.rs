//! Objects of cloud stores, asked of a server on loopback that answers as the three stores do.

use std::time::Duration;

use super::http::{Case, body};
use super::server::{Request, Server, Step, head, whole};
use crate::artifact::reach::Environment;
use crate::manifest::{Bucket, Host};

/// Key of the account in every test, as Azure wants it: base64.
const AZURE_KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";

/// An object as a store gives it: with a strong tag, and the rest of it where it is still the same.
fn object(request: &Request, content: &[u8]) -> Vec<Step> {
    let tag = ("ETag", "\"v1\"");
    let modified = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    if request
        .header("if-match")
        .is_some_and(|tag| tag != "\"v1\"")
    {
        return refusal("412 Precondition Failed", "PreconditionFailed");
    }
    if request.header("range").is_none() {
        return whole("200 OK", &[tag, modified], content);
    }
    let from = request.range_start();
    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
    let headers = [tag, modified, ("Content-Range", range.as_str())];
    whole("206 Partial Content", &headers, &content[from..])
}

/// An error as all three stores tell it.
fn refusal(status: &str, code: &str) -> Vec<Step> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code>\
         <Message>the key is secret</Message></Error>"
    );
    whole(
        status,
        &[("Content-Type", "application/xml")],
        text.as_bytes(),
    )
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Environment::new(variables.iter().map(own))
}

/// The environment of an S3 store at `server`, with credentials.
fn s3(server: &Server) -> Environment {
    environment(&[
        ("AWS_ENDPOINT_URL", &server.url("")),
        ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
        ("AWS_SECRET_ACCESS_KEY", "secret-of-s3"),
        ("AWS_SESSION_TOKEN", "secret-token"),
        ("AWS_REGION", "sa-east-1"),
    ])
}

const S3: &str = "s3://models/v1/m.tar.gz";

fn case(url: &str, content: &[u8], environment: Environment) -> Case {
    Case {
        environment,
        ..Case::new(url.to_owned(), content)
    }
}

#[test]
fn an_object_of_s3_is_asked_for_with_a_signature() {
    let content = body(300_000);
    let whole = content.clone();
    let server = Server::start(move |request| object(request, &whole));
    let of = format!("{S3}?versionId=aB3.x");
    let done = case(&of, &content, s3(&server)).run().arrives();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].target, "/models/v1/m.tar.gz?versionId=aB3.x");
    let signed = requests[0].header("authorization").expect("signed");
    assert!(
        signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/"),
        "{signed}"
    );
    assert!(signed.contains("/sa-east-1/s3/aws4_request"), "{signed}");
    assert_eq!(
        requests[0].header("x-amz-security-token"),
        Some("secret-token")
    );
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    // What came is found again without asking.
    let again = Case {
        is_offline: true,
        ..done.case
    };
    again.run().arrives();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_object_of_google_is_asked_for_with_a_token() {
    let server = Server::start(|request| object(request, b"abc"));
    let environment = environment(&[
        ("GOOGLE_BASE_URL", &server.url("")),
        ("GOOGLE_BEARER_TOKEN", "secret-bearer"),
    ]);
    case("gs://models/v1/m.tar.gz?generation=17", b"abc", environment)
        .run()
        .arrives();
    let request = &server.requests()[0];
    assert_eq!(request.target, "/models/v1%2Fm%2Etar%2Egz?generation=17");
    assert_eq!(
        request.header("authorization"),
        Some("Bearer secret-bearer")
    );
    // As it is stored, whatever its encoding says.
    assert_eq!(request.header("accept-encoding"), Some("gzip"));
}

#[test]
fn an_object_of_azure_is_asked_for_with_the_key_of_its_account() {
    let server = Server::start(|request| object(request, b"abc"));
    let environment = environment(&[
        ("AZURE_STORAGE_ENDPOINT", &server.url("")),
        ("AZURE_STORAGE_ACCOUNT_NAME", "acme"),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
    ]);
    case("az://models/v1/m.tar.gz", b"abc", environment)
        .run()
        .arrives();
    let request = &server.requests()[0];
    assert_eq!(request.target, "/models/v1/m.tar.gz");
    let signed = request.header("authorization").expect("signed");
    assert!(signed.starts_with("SharedKey acme:"), "{signed}");
    assert!(request.header("x-ms-version").is_some());
}

#[test]
fn without_credentials_nobody_signs_and_nobody_is_asked_for_any() {
    let server = Server::start(|request| object(request, b"abc"));
    let base = server.url("");
    for (url, variables) in [
        (S3, vec![("AWS_ENDPOINT_URL", base.as_str())]),
        ("gs://models/m", vec![("GOOGLE_BASE_URL", base.as_str())]),
        (
            "az://models/m",
            vec![
                ("AZURE_STORAGE_ENDPOINT", base.as_str()),
                ("AZURE_STORAGE_ACCOUNT_NAME", "acme"),
            ],
        ),
    ] {
        case(url, b"abc", environment(&variables)).run().arrives();
        let request = server.requests().pop().expect("it was asked");
        assert_eq!(request.header("authorization"), None, "{url}");
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_body_that_breaks_off_is_resumed_with_its_tag() {
    // Small enough to be on its way before the reset overtakes it.
    let content = body(40_000);
    let whole = content.clone();
    let server = Server::start(move |request| {
        let mut steps = object(request, &whole);
        if request.n_before < 2 {
            let Step::Send(bytes) = &mut steps[0] else {
                unreachable!()
            };
            let rest = whole.len() - request.range_start();
            bytes.truncate(bytes.len() - rest + 10_000);
            steps.push(Step::Reset);
        }
        steps
    });
    case(S3, &content, s3(&server)).run().arrives();
    let requests = server.requests();
    let starts: Vec<usize> = requests.iter().map(Request::range_start).collect();
    assert_eq!(starts, [0, 10_000, 20_000], "every byte was sent once");
    assert_eq!(requests[0].header("if-match"), None);
    assert_eq!(requests[1].header("if-match"), Some("\"v1\""));
    assert_eq!(requests[1].header("if-range"), None);
    // Each is signed anew.
    assert_ne!(
        requests[0].header("authorization"),
        requests[1].header("authorization")
    );
}

#[test]
fn an_object_that_was_replaced_meanwhile_begins_anew() {
    let content = body(40_000);
    let whole = content.clone();
    let server = Server::start(move |request| match request.n_before {
        0 => {
            let headers = [
                ("ETag", "\"v0\""),
                ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("Content-Length", "40000"),
            ];
            let start = [head("200 OK", &headers), vec![7; 10_000]].concat();
            vec![Step::Send(start), Step::Reset]
        }
        _ => object(request, &whole),
    });
    case(S3, &content, s3(&server)).run().arrives();
    let starts: Vec<usize> = server.requests().iter().map(Request::range_start).collect();
    assert_eq!(starts, [0, 10_000, 0]);
}

#[test]
fn n24_what_is_not_there_or_not_allowed_ends_at_once() {
    for (url, status, code, words) in [
        (S3, "404 Not Found", "NoSuchKey", "bucket, key and version"),
        (
            S3,
            "404 Not Found",
            "NoSuchVersion",
            "status 404 (NoSuchVersion)",
        ),
        (S3, "403 Forbidden", "InvalidAccessKeyId", "credentials"),
        (S3, "403 Forbidden", "SignatureDoesNotMatch", "AWS_*"),
        (S3, "403 Forbidden", "RequestTimeTooSkewed", "set the clock"),
        (S3, "400 Bad Request", "InvalidRequest", "region"),
        (
            S3,
            "301 Moved Permanently",
            "PermanentRedirect",
            "AWS_REGION",
        ),
        (S3, "410 Gone", "x", "status 410"),
    ] {
        let server = Server::start(move |_| refusal(status, code));
        let done = case(url, b"abc", s3(&server)).run().ends(21, words);
        assert_eq!(server.requests().len(), 1, "{status} {code}");
        let error = done.result.expect_err("failed");
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(url), "{error}");
    }
}

#[test]
fn n24_throttling_passes_and_a_store_that_stays_busy_is_given_up() {
    let server = Server::start(|request| match request.n_before {
        0 => {
            let mut steps = refusal("503 Slow Down", "SlowDown");
            let Step::Send(bytes) = &mut steps[0] else {
                unreachable!()
            };
            let text = String::from_utf8(bytes.clone()).expect("text");
            *bytes = text
                .replacen("\r\n", "\r\nRetry-After: 2\r\n", 1)
                .into_bytes();
            steps
        }
        1 => refusal("429 Too Many Requests", "TooManyRequests"),
        _ => object(request, b"abc"),
    });
    let done = case(S3, b"abc", s3(&server)).run().arrives();
    assert_eq!(done.waits.len(), 2);
    assert_eq!(done.waits[0], Duration::from_secs(2));

    let server = Server::start(|_| refusal("503 Slow Down", "SlowDown"));
    let done = case(S3, b"abc", s3(&server)).run();
    let done = done.ends(21, "status 503 (SlowDown) (after 4 requests)");
    assert!(done.result.expect_err("failed").is_retryable());
}

#[test]
fn bodies_stop_at_the_promised_length() {
    let content = body(1000);
    // It says so, and nothing is read.
    let server = Server::start(|request| object(request, &body(2000)));
    case(S3, &content, s3(&server)).run().ends(22, "2000 bytes");
    // It does not say, and sends without an end.
    let server = Server::start(|_| {
        let start = head("200 OK", &[("ETag", "\"v1\"")]);
        vec![Step::Send(start), Step::Endless(vec![1; 4096])]
    });
    case(S3, &content, s3(&server)).run().ends(22, "bytes");
    let other = vec![9; 1000];
    let server = Server::start(move |request| object(request, &other));
    case(S3, &content, s3(&server)).run().ends(23, "expected");
    assert_eq!(server.requests().len(), 2, "once more from its beginning");
}

#[test]
fn silence_and_absence_are_network() {
    let server = Server::start(|_| vec![Step::Hang]);
    case(S3, b"abc", s3(&server)).run().ends(20, "in time");
    assert_eq!(server.requests().len(), 4);
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound")
    };
    let nowhere = format!("http://{gone}");
    let nowhere = environment(&[("AWS_ENDPOINT_URL", nowhere.as_str())]);
    case(S3, b"abc", nowhere).run().ends(20, "after 4 requests");
}

#[test]
fn what_the_rules_refuse_is_never_asked() {
    let server = Server::start(|request| object(request, b"abc"));
    let mut other = case(S3, b"abc", s3(&server));
    other.rules.allow_buckets = vec![Bucket::parse("s3://elsewhere").expect("a bucket")];
    other.run().ends(11, "s3://elsewhere");
    // The host of the endpoint is the operator's word and no bucket's.
    let mut host = case(S3, b"abc", s3(&server));
    host.rules.allow_hosts = vec![Host::parse("127.0.0.1").expect("a host")];
    host.run().ends(11, "`s3://models`");
    assert_eq!(server.requests().len(), 0);
    let mut listed = case(S3, b"abc", s3(&server));
    listed.rules.requires_host_list = true;
    listed.rules.allow_buckets = vec![Bucket::parse("s3://models").expect("a bucket")];
    listed.run().arrives();
    // The pattern of the provider's hosts resolves to an address that is not public.
    let region = environment(&[("AWS_REGION", "x"), ("AWS_ENDPOINT_URL", "http://h.intern")]);
    case(S3, b"abc", region).run().ends(11, "AWS_ALLOW_HTTP");
}

#[test]
fn plain_http_beyond_loopback_needs_a_word() {
    let named = |further: &[(&str, &str)]| {
        let all = [
            &[("AWS_ENDPOINT_URL", "http://nowhere.invalid")][..],
            further,
        ]
        .concat();
        let mut case = case(S3, b"abc", environment(&all));
        case.patience.retries = 0;
        case.patience.connect = Duration::from_secs(2);
        case
    };
    named(&[]).run().ends(11, "https, or http to a loopback");
    named(&[("AWS_ALLOW_HTTP", "false")]).run().ends(11, "http");
    named(&[("AWS_ALLOW_HTTP", "true")]).run().ends(20, S3);
    let mut flag = named(&[]);
    flag.rules.allow_http = true;
    flag.run().ends(20, S3);
}

#[test]
fn settings_that_cannot_be_used_are_named_and_not_shown() {
    let server = Server::start(|request| object(request, b"abc"));
    let base = server.url("");
    for (url, variables, words) in [
        (
            S3,
            vec![
                ("AWS_ENDPOINT_URL", base.as_str()),
                ("AWS_ACCESS_KEY_ID", "secret-id"),
            ],
            "set are AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL",
        ),
        (
            "az://models/m",
            vec![],
            "AZURE_STORAGE_ACCOUNT_NAME is not set",
        ),
        (
            "az://models/m",
            vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", "acme"),
                ("AZURE_STORAGE_ACCOUNT_KEY", "!secret!"),
            ],
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
        (
            "gs://models/m",
            vec![("GOOGLE_SERVICE_ACCOUNT", "/nonexistent/secret.json")],
            "GOOGLE_SERVICE_ACCOUNT",
        ),
    ] {
        let done = case(url, b"abc", environment(&variables)).run();
        done.ends(3, words);
    }
    assert_eq!(server.requests().len(), 0);
    let environment = s3(&server);
    let shown = format!("{environment:?}");
    assert!(shown.contains("AWS_SECRET_ACCESS_KEY"), "{shown}");
    assert!(!shown.contains("secret-of-s3"), "{shown}");
}

#[test]
fn the_machines_own_identity_is_asked_for_only_where_the_environment_says_so() {
    let server = Server::start(|request| {
        let target = request.target.as_str();
        match target {
            "/latest/api/token" => whole("200 OK", &[], b"metadata-token"),
            "/latest/meta-data/iam/security-credentials/" => whole("200 OK", &[], b"role"),
            "/latest/meta-data/iam/security-credentials/role" => whole(
                "200 OK",
                &[("Content-Type", "application/json")],
                br#"{"AccessKeyId":"AKIDROLE","SecretAccessKey":"secret","Token":"secret-session","Expiration":"2099-01-01T00:00:00Z"}"#,
            ),
            _ => object(request, b"abc"),
        }
    });
    let base = server.url("");
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", base.as_str()),
        ("AWS_METADATA_ENDPOINT", base.as_str()),
    ];
    case(S3, b"abc", environment(&variables)).run().arrives();
    assert_eq!(server.requests().len(), 1, "the object alone");
    variables.push((Environment::INSTANCE, "true"));
    case(S3, b"abc", environment(&variables)).run().arrives();
    let last = server.requests().pop().expect("asked");
    assert_eq!(server.requests().len(), 5);
    let signed = last.header("authorization").expect("signed");
    assert!(signed.contains("AKIDROLE"), "{signed}");
    assert_eq!(last.header("x-amz-security-token"), Some("secret-session"));
}

#[test]
fn who_gives_no_credentials_is_named() {
    let server = Server::start(|request| match request.target.as_str() {
        "/credentials" => refusal("500 Internal Server Error", "secret"),
        _ => object(request, b"abc"),
    });
    let dir = tempfile::tempdir().expect("a temporary directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "secret").expect("written");
    let environment = environment(&[
        ("AWS_ENDPOINT_URL", &server.url("")),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &server.url("/credentials"),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.to_str().expect("UTF-8"),
        ),
    ]);
    let done = case(S3, b"abc", environment).run();
    done.ends(21, "credentials from `127.0.0.1`: status 500");
    assert_eq!(server.requests().len(), 1, "the object was never asked for");
}
