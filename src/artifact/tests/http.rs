//! The catalogue of download faults, each against a server on loopback.

#![allow(
    clippy::similar_names,
    reason = "a server and what is served stand side by side"
)]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::server::{Request, Server, Step, good, head, whole};
use crate::artifact::reach::{Credentials, Environment, Event, Patience};
use crate::artifact::*;
use crate::hint::Hint as _;
use crate::manifest::{Artifact, Format, Scheme};
use crate::units::Bytes;

thread_local! {
    /// Waits the client asked for, instead of sleeping.
    static WAITS: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
}

fn note_wait(wait: Duration) {
    WAITS.with_borrow_mut(|waits| waits.push(wait));
}

/// A file of `n` bytes that differ.
pub(super) fn body(n: usize) -> Vec<u8> {
    (0..n)
        .map(|i| u8::try_from(i % 251).expect("below 251"))
        .collect()
}

fn patience() -> Patience {
    Patience {
        retries: 3,
        connect: Duration::from_secs(5),
        idle: Duration::from_millis(200),
        backoff: Duration::from_millis(100),
        max_retry_after: Duration::from_secs(60),
        ..Patience::default()
    }
}

/// A fetcher with its cache, and what is asked of it.
pub(super) struct Case {
    pub(super) dir: TempDir,
    pub(super) rules: Rules,
    pub(super) patience: Patience,
    pub(super) credentials: Option<Credentials>,
    pub(super) environment: Environment,
    pub(super) certificates: Option<std::path::PathBuf>,
    pub(super) is_offline: bool,
    pub(super) urls: Vec<String>,
    pub(super) content: Vec<u8>,
    pub(super) size: Option<usize>,
}

/// What came of it.
pub(super) struct Done {
    pub(super) result: Result<Blob, Error>,
    notes: Vec<String>,
    pub(super) waits: Vec<Duration>,
    pub(super) case: Case,
}

impl Case {
    pub(super) fn new(url: String, content: &[u8]) -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            rules: Rules::default(),
            patience: patience(),
            credentials: None,
            environment: Environment::default(),
            certificates: None,
            is_offline: false,
            urls: vec![url],
            content: content.to_vec(),
            size: Some(content.len()),
        }
    }

    pub(super) fn without_size(self) -> Self {
        Self { size: None, ..self }
    }

    fn artifact(&self) -> Artifact {
        let remote = |text: &String| Url::Remote {
            scheme: match text.split_once(':').map_or("", |(scheme, _)| scheme) {
                "https" => Scheme::Https,
                "s3" => Scheme::S3,
                "gs" => Scheme::Gs,
                "az" => Scheme::Az,
                "dvc" => Scheme::Dvc,
                _ => Scheme::Http,
            },
            text: text.clone(),
        };
        Artifact {
            filename: "model.tar.gz".to_owned(),
            urls: self.urls.iter().map(remote).collect(),
            sha256: Sha256::of(&self.content),
            size: self.size.map(|size| Bytes(size as u64)),
            unpacked: None,
            target: "bitnet".to_owned(),
            strip_components: 0,
            format: Format::TarGz,
        }
    }

    pub(super) fn run(self) -> Done {
        WAITS.with_borrow_mut(Vec::clear);
        let cache = Cache::open(self.dir.path()).expect("made");
        let reach = Reach {
            patience: self.patience.clone(),
            credentials: self.credentials.clone(),
            certificates: self.certificates.clone(),
            environment: self.environment.clone(),
            is_offline: self.is_offline,
        };
        let fetcher = Fetcher::new(self.rules.clone(), reach, cache)
            .expect("good certificates")
            .with_http(|http| http.with_sleep(note_wait));
        let release = Release {
            artifacts: vec![self.artifact()],
            model_options: None,
        };
        let mut notes = Vec::new();
        let mut listener = |event| {
            if let Event::Note(text) = event {
                notes.push(text);
            }
        };
        let result = fetcher
            .sources(&release, self.dir.path())
            .and_then(|sources| {
                fetcher.obtain((0, &release.artifacts[0]), &sources[0], &mut listener)
            });
        Done {
            result,
            notes,
            waits: WAITS.with_borrow(Clone::clone),
            case: self,
        }
    }
}

impl Done {
    /// The file came, whole, and nothing unfinished stays.
    #[track_caller]
    pub(super) fn arrives(self) -> Self {
        let blob = self
            .result
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}\n{:?}", self.notes));
        assert_eq!(blob.checked().read().expect("readable"), self.case.content);
        let left = std::fs::read_dir(self.case.dir.path().join("partial"))
            .expect("there")
            .count();
        assert_eq!(left, 0, "something unfinished stays");
        self
    }

    /// It ended with this code, said these words, and told no secret; nothing wrong is kept.
    #[track_caller]
    pub(super) fn ends(self, code: u8, words: &str) -> Self {
        let Err(error) = &self.result else {
            panic!("it arrived, and {code} was expected")
        };
        assert_eq!(error.condition().code(), code, "{error}");
        let text = format!(
            "{error}\n{}\n{:?}",
            error.hint().unwrap_or_default(),
            self.notes
        );
        assert!(text.contains(words), "no `{words}` in: {text}");
        assert!(!text.contains("secret"), "{text}");
        let error = error.to_string();
        assert!(
            !error.replace('\n', "").contains(char::is_control),
            "{error:?}"
        );
        let blobs = self.case.dir.path().join("blobs/sha256");
        assert_eq!(
            std::fs::read_dir(blobs).expect("there").count(),
            0,
            "a blob was kept"
        );
        self
    }
}

/// Serves one file at every path by `answer`.
fn serve(answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Server {
    Server::start(answer)
}

#[test]
fn a_file_is_fetched_once_and_then_found() {
    let content = body(300_000);
    let served = content.clone();
    let server = serve(move |request| good(request, &served));
    let done = Case::new(server.url("/m?sig=secret"), &content)
        .run()
        .arrives();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert_eq!(requests[0].header("range"), None);
    assert_eq!(requests[0].header("authorization"), None);
    let again = Case {
        is_offline: true,
        ..done.case
    };
    again.run().arrives();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn n01_unreachable_servers_are_asked_again_and_then_given_up() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound")
    };
    let done = Case::new(format!("http://{gone}/m?x=secret"), b"abc").run();
    let done = done.ends(20, "after 4 requests");
    assert_eq!(done.waits.len(), 3);
    assert!(done.result.expect_err("failed").is_retryable());
    let base = Duration::from_millis(100);
    for (i, wait) in done.waits.iter().enumerate() {
        let doubled = base * (1 << i);
        assert!((doubled / 2..=doubled).contains(wait), "{i}: {wait:?}");
    }
}

#[test]
fn n01_names_that_do_not_resolve_are_unreachable() {
    let mut case = Case::new("http://nowhere.invalid/m".to_owned(), b"abc");
    case.rules.allow_http = true;
    case.patience.retries = 0;
    case.patience.connect = Duration::from_secs(2);
    case.run().ends(20, "http://nowhere.invalid/m");
}

#[test]
fn n03_silence_is_waited_for_only_so_long() {
    let server = serve(|_| vec![Step::Hang]);
    Case::new(server.url("/m"), b"abc")
        .run()
        .ends(20, "in time");
    assert_eq!(server.requests().len(), 4);

    let content = body(100_000);
    let served = content.clone();
    let server = serve(move |request| match request.n_before {
        0 => vec![
            Step::Send(
                [
                    head(
                        "200 OK",
                        &[("ETag", "\"v1\""), ("Content-Length", "100000")],
                    ),
                    served[..60_000].to_vec(),
                ]
                .concat(),
            ),
            Step::Hang,
        ],
        _ => good(request, &served),
    });
    Case::new(server.url("/m"), &content).run().arrives();
    assert_eq!(server.requests()[1].range_start(), 60_000);
}

#[test]
fn n04_a_drip_is_fine_unless_the_policy_minds() {
    let drip = |_: &Request| {
        let mut steps = vec![Step::Send(head("200 OK", &[("Content-Length", "6")]))];
        steps.extend(body(6).into_iter().map(|byte| Step::Send(vec![byte])));
        steps
    };
    let server = serve(drip);
    Case::new(server.url("/m"), &body(6)).run().arrives();
    let mut case = Case::new(server.url("/m"), &body(6));
    case.patience.min_bytes_per_s = u64::MAX;
    case.patience.speed_window = Duration::ZERO;
    case.run().ends(20, "the policy demands");
}

#[test]
fn n05_a_connection_reset_in_the_body_is_resumed() {
    // Small enough to be on its way before the reset overtakes it.
    let content = body(40_000);
    let served = content.clone();
    let server = serve(move |request| {
        let from = request.range_start();
        let mut steps = good(request, &served);
        if request.n_before < 3 {
            let Step::Send(bytes) = &mut steps[0] else {
                unreachable!()
            };
            let rest = served.len() - from;
            bytes.truncate(bytes.len() - rest + 10_000);
            steps.push(Step::Reset);
        }
        steps
    });
    Case::new(server.url("/m"), &content).run().arrives();
    let starts: Vec<usize> = server.requests().iter().map(Request::range_start).collect();
    assert_eq!(
        starts,
        [0, 10_000, 20_000, 30_000],
        "every byte was sent once"
    );
    assert_eq!(server.requests()[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn n05_a_beginning_of_an_earlier_process_is_resumed() {
    let content = body(50_000);
    let served = content.clone();
    let server = serve(move |request| match request.header("range") {
        None => vec![
            Step::Send(
                [
                    head("200 OK", &[("ETag", "\"v1\""), ("Content-Length", "50000")]),
                    served[..20_000].to_vec(),
                ]
                .concat(),
            ),
            Step::Reset,
        ],
        _ => good(request, &served),
    });
    let mut case = Case::new(server.url("/m?sig=secret1"), &content);
    case.patience.retries = 0;
    // The client library does not tell a reset from an early end.
    let failed = case.run().ends(22, "ended after 20000 of 50000 bytes");
    // The signature of a presigned URL changes, the file does not.
    let again = Case {
        urls: vec![server.url("/m?sig=secret2")],
        ..failed.case
    };
    again.run().arrives();
    assert_eq!(server.requests()[1].range_start(), 20_000);
}

#[test]
fn n05_without_a_strong_tag_it_begins_anew() {
    for tag in ["W/\"v1\"", ""] {
        let content = body(50_000);
        let served = content.clone();
        let server = serve(move |request| {
            assert_eq!(request.header("range"), None);
            let headers = [("ETag", tag)];
            let headers = if tag.is_empty() {
                &headers[..0]
            } else {
                &headers[..]
            };
            let mut steps = whole("200 OK", headers, &served);
            if request.n_before == 0 {
                let Step::Send(bytes) = &mut steps[0] else {
                    unreachable!()
                };
                bytes.truncate(bytes.len() - 10_000);
                steps.push(Step::Reset);
            }
            steps
        });
        Case::new(server.url("/m"), &content).run().arrives();
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn n06_server_errors_pass() {
    let server = serve(|request| match request.n_before {
        0 => whole("500 Internal Server Error", &[], b"oops"),
        1 => whole("503 Service Unavailable", &[], b""),
        2 => whole("504 Gateway Timeout", &[], b""),
        _ => good(request, b"abc"),
    });
    Case::new(server.url("/m"), b"abc").run().arrives();
    let server = serve(|_| whole("502 Bad Gateway", &[], b""));
    let done = Case::new(server.url("/m"), b"abc")
        .run()
        .ends(21, "status 502");
    assert_eq!(server.requests().len(), 4);
    assert!(done.result.expect_err("failed").is_retryable());
}

#[test]
fn n07_retry_after_is_honoured_within_bounds() {
    #[track_caller]
    fn waits(value: &'static str, check: impl Fn(Duration) -> bool) {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let server = serve(move |request| match request.n_before {
                0 => whole(status, &[("Retry-After", value)], b""),
                _ => good(request, b"abc"),
            });
            let done = Case::new(server.url("/m"), b"abc").run().arrives();
            assert_eq!(done.waits.len(), 1);
            assert!(check(done.waits[0]), "{value}: {:?}", done.waits);
        }
    }
    waits("2", |wait| wait == Duration::from_secs(2));
    waits("0", |wait| wait == Duration::ZERO);
    waits("999999", |wait| wait == Duration::from_secs(60));
    waits("Sat, 01 Jan 2050 00:00:00 GMT", |wait| {
        wait == Duration::from_secs(60)
    });
    waits("Thu, 01 Jan 1970 00:00:00 GMT", |wait| {
        wait == Duration::ZERO
    });
    waits("soon", |wait| wait <= Duration::from_millis(100));
}

#[test]
fn n08_refusals_are_final() {
    for (status, words) in [
        ("401 Unauthorized", "presigned URL"),
        ("403 Forbidden", "presigned URL"),
        ("404 Not Found", "status 404"),
        ("410 Gone", "status 410"),
        ("300 Multiple Choices", "where to"),
        ("204 No Content", "status 204"),
        ("304 Not Modified", "status 304"),
    ] {
        let server = serve(move |_| vec![Step::Send(head(status, &[("Content-Length", "0")]))]);
        let done = Case::new(server.url("/m?x=secret"), b"abc")
            .run()
            .ends(21, words);
        assert_eq!(server.requests().len(), 1, "{status}");
        assert!(!done.result.expect_err("failed").is_retryable());
    }
}

#[test]
fn n09_a_login_page_is_named() {
    let page = b"<!doctype html><title>Log in</title>";
    let server = serve(|_| {
        whole(
            "200 OK",
            &[("Content-Type", "text/html; charset=utf-8")],
            page,
        )
    });
    let content = body(100);
    Case::new(server.url("/m"), &content)
        .run()
        .ends(22, "served as text/html");
    Case::new(server.url("/m"), &content)
        .without_size()
        .run()
        .ends(23, "web page");
    let long = Case::new(server.url("/m"), &body(5000)).run();
    long.ends(22, "served as text/html");
}

#[test]
fn n10_a_body_that_is_always_short_is_a_matter_of_its_length() {
    let content = body(1000);
    let served = content.clone();
    let server = serve(move |request| {
        let mut steps = good(request, &served);
        let Step::Send(bytes) = &mut steps[0] else {
            unreachable!()
        };
        bytes.pop();
        steps
    });
    Case::new(server.url("/m"), &content)
        .run()
        .ends(22, "ended after 999 of 1000 bytes");
    let starts: Vec<usize> = server.requests().iter().map(Request::range_start).collect();
    assert_eq!(starts, [0, 999, 999, 999], "it was resumed first");
}

#[test]
fn n11_bodies_stop_at_the_promised_length() {
    let content = body(5000);
    let server = serve(|_| {
        vec![
            Step::Send(head("200 OK", &[])),
            Step::Endless(vec![7; 4096]),
        ]
    });
    Case::new(server.url("/m"), &content)
        .run()
        .ends(22, "5000 bytes");
    let mut case = Case::new(server.url("/m"), &content).without_size();
    case.rules.max_artifact = Bytes(100_000);
    case.run().ends(22, "bytes");
    let longer = [content.clone(), vec![0]].concat();
    let server = serve(move |_| whole("200 OK", &[], &longer));
    Case::new(server.url("/m"), &content)
        .run()
        .ends(22, "5001 bytes");
}

#[test]
fn n12_a_body_without_a_length_is_fine() {
    let content = body(3000);
    let served = content.clone();
    let server = serve(move |_| {
        let mut bytes = head("200 OK", &[("Transfer-Encoding", "chunked")]);
        for chunk in served.chunks(700) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        vec![Step::Send(bytes)]
    });
    Case::new(server.url("/m"), &content).run().arrives();
    Case::new(server.url("/m"), &content)
        .without_size()
        .run()
        .arrives();
    let served = content.clone();
    let server = serve(move |_| vec![Step::Send([head("200 OK", &[]), served.clone()].concat())]);
    Case::new(server.url("/m"), &content).run().arrives();
}

/// The first answer breaks off after 400 of 1000 bytes; then `answer` decides.
fn resumed(
    answer: impl Fn(&Request, &[u8]) -> Vec<Step> + Send + Sync + 'static,
) -> (Server, Vec<u8>) {
    let content = body(1000);
    let served = content.clone();
    let server = serve(move |request| match request.header("range") {
        None if request.n_before == 0 => vec![
            Step::Send(
                [
                    head("200 OK", &[("ETag", "\"v1\""), ("Content-Length", "1000")]),
                    served[..400].to_vec(),
                ]
                .concat(),
            ),
            Step::Reset,
        ],
        None => good(request, &served),
        Some(_) => answer(request, &served),
    });
    (server, content)
}

#[test]
fn n13_a_range_that_is_ignored_begins_anew() {
    let (server, content) = resumed(|_, served| whole("200 OK", &[("ETag", "\"v1\"")], served));
    Case::new(server.url("/m"), &content).run().arrives();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn n13_a_tag_that_changed_begins_anew() {
    // A server that honours If-Range sends the whole new file.
    let (server, content) = resumed(|_, served| whole("200 OK", &[("ETag", "\"v2\"")], served));
    Case::new(server.url("/m"), &content).run().arrives();
    // One that does not shows the new tag on the part.
    let (server, content) = resumed(|_, served| {
        let range = ("Content-Range", "bytes 400-999/1000");
        whole(
            "206 Partial Content",
            &[("ETag", "\"v2\""), range],
            &served[400..],
        )
    });
    Case::new(server.url("/m"), &content).run().arrives();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn n14_a_wrong_part_is_dropped_once() {
    let mut n = 0;
    for range in [
        Some("bytes 300-999/1000"),
        Some("bytes 500-999/1000"),
        Some("bytes 400-998/1000"),
        Some("bytes 400-999/1001"),
        Some("bytes 400-999/*"),
        Some("bytes */1000"),
        Some("nonsense"),
        None,
    ] {
        let wrong = move |_: &Request, served: &[u8]| {
            let headers: Vec<(&str, &str)> = range
                .iter()
                .map(|range| ("Content-Range", *range))
                .collect();
            whole("206 Partial Content", &headers, &served[400..])
        };
        let (server, content) = resumed(wrong);
        Case::new(server.url("/m"), &content).run().arrives();
        assert_eq!(server.requests()[2].header("range"), None, "{range:?}");
        n += 1;
    }
    println!("{n} wrong parts dropped");
    // A server that breaks off again and answers wrongly again is given up.
    let content = body(1000);
    let served = content.clone();
    let server = serve(move |request| match request.header("range") {
        None => vec![
            Step::Send(
                [
                    head("200 OK", &[("ETag", "\"v1\""), ("Content-Length", "1000")]),
                    served[..400].to_vec(),
                ]
                .concat(),
            ),
            Step::Reset,
        ],
        Some(_) => whole("206 Partial Content", &[], &served[400..]),
    });
    Case::new(server.url("/m"), &content)
        .run()
        .ends(21, "another range");
    // A part nobody asked for.
    let server = serve(|_| {
        whole(
            "206 Partial Content",
            &[("Content-Range", "bytes 0-2/3")],
            b"abc",
        )
    });
    Case::new(server.url("/m"), b"abc")
        .run()
        .ends(21, "another range");
}

#[test]
fn n14_multipart_ranges_are_unusable() {
    let (server, content) = resumed(|_, served| {
        let headers = [
            ("Content-Type", "multipart/byteranges; boundary=x"),
            ("Content-Range", "bytes 400-999/1000"),
        ];
        whole("206 Partial Content", &headers, &served[400..])
    });
    Case::new(server.url("/m"), &content).run().arrives();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn n15_a_part_that_is_too_long_is_dropped() {
    let (server, content) = resumed(|_, _| whole("416 Range Not Satisfiable", &[], b""));
    Case::new(server.url("/m"), &content).run().arrives();
    assert_eq!(server.requests()[2].header("range"), None);
}

#[test]
fn n16_an_encoding_that_is_only_a_label_is_ignored() {
    let content = [&[0x1f, 0x8b][..], &body(500)].concat();
    let served = content.clone();
    let server = serve(move |_| whole("200 OK", &[("Content-Encoding", "gzip")], &served));
    Case::new(server.url("/m"), &content).run().arrives();
}

#[test]
fn n17_compression_on_the_fly_is_named() {
    let server = serve(|_| whole("200 OK", &[("Content-Encoding", "gzip")], &body(2000)));
    let content = body(3000);
    Case::new(server.url("/m"), &content)
        .run()
        .ends(22, "on the fly");
    Case::new(server.url("/m"), &content)
        .without_size()
        .run()
        .ends(23, "on the fly");
}

/// Answers `/hop/N` with a redirect to `/hop/N-1`, and everything else with the file.
fn hops(request: &Request) -> Vec<Step> {
    let hop = request
        .target
        .strip_prefix("/hop/")
        .and_then(|n| n.parse::<u32>().ok());
    match hop {
        Some(0) | None => good(request, b"abc"),
        Some(n) => redirect(&format!("/hop/{}", n - 1)),
    }
}

fn redirect(to: &str) -> Vec<Step> {
    whole("302 Found", &[("Location", to)], b"moved")
}

#[test]
fn n18_redirects_are_followed_so_far() {
    let server = serve(hops);
    Case::new(server.url("/hop/3"), b"abc").run().arrives();
    Case::new(server.url("/hop/5"), b"abc").run().arrives();
    Case::new(server.url("/hop/6"), b"abc")
        .run()
        .ends(21, "more than 5 redirects");
    let server = serve(|_| redirect("/m"));
    Case::new(server.url("/m"), b"abc")
        .run()
        .ends(21, "more than 5 redirects");
    for status in [
        "301 Moved Permanently",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let server = serve(move |request| match request.target.as_str() {
            "/m" => whole(status, &[("Location", "n?sig=secret")], b""),
            _ => good(request, b"abc"),
        });
        Case::new(server.url("/m"), b"abc").run().arrives();
    }
}

#[test]
fn n19_redirects_lead_nowhere_the_rules_forbid() {
    let mut n = 0;
    for to in [
        "file:///etc/passwd",
        "ftp://h/a?x=secret",
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest?x=secret",
        "http://10.0.0.1/x",
        "http://0x7f000001/x",
        "http://user:secret@127.0.0.1/x",
        "http://elsewhere.dev/x?x=secret",
        "//elsewhere.dev/x",
    ] {
        let server = serve(move |_| redirect(to));
        Case::new(server.url("/m"), b"abc")
            .run()
            .ends(11, "refused by policy");
        assert_eq!(server.requests().len(), 1, "{to}");
        n += 1;
    }
    let server = serve(|_| redirect("https://elsewhere.dev/x"));
    let mut case = Case::new(server.url("/m"), b"abc");
    case.rules.allow_hosts = vec![crate::manifest::Host::parse("127.0.0.1").expect("a host")];
    case.run().ends(11, "allow_hosts");
    println!("{} redirects refused", n + 1);
}

#[test]
fn n19_credentials_stay_with_their_host() {
    let second = Arc::new(serve(|request| good(request, b"abc")));
    // The other loopback address is another host.
    let to = format!("http://localhost:{}/m", second.port());
    let first = serve(move |_| redirect(&to));
    let mut case = Case::new(first.url("/m"), b"abc");
    let localhost = crate::manifest::Host::parse("localhost").expect("a host");
    case.rules.allow_http = true;
    case.rules.allow_private = vec![localhost];
    case.credentials = Credentials::new("127.0.0.1", "Bearer secret".to_owned()).ok();
    case.run().arrives();
    assert_eq!(
        first.requests()[0].header("authorization"),
        Some("Bearer secret")
    );
    assert_eq!(second.requests()[0].header("authorization"), None);
}

#[test]
fn n20_other_bytes_are_fetched_twice_and_refused() {
    let server = serve(|request| good(request, b"abd"));
    let done = Case::new(server.url("/m?x=secret"), b"abc").run();
    let done = done.ends(23, &Sha256::of(b"abc").to_string());
    assert_eq!(server.requests().len(), 2);
    let text = done.result.expect_err("failed").to_string();
    assert!(text.contains(&Sha256::of(b"abd").to_string()), "{text}");
    assert!(text.contains(&server.url("/m")), "{text}");
    let server = serve(|request| match request.n_before {
        0 => whole("200 OK", &[], b"abd"),
        _ => good(request, b"abc"),
    });
    Case::new(server.url("/m"), b"abc").run().arrives();
}

#[test]
fn n21_the_next_mirror_is_asked() {
    let bad = serve(|request| good(request, b"abd"));
    let gone = serve(|_| whole("404 Not Found", &[], b""));
    let fine = serve(|request| good(request, b"abc"));
    let mut case = Case::new(bad.url("/m"), b"abc");
    case.urls.push(gone.url("/m"));
    case.urls.push(fine.url("/m"));
    let done = case.run().arrives();
    assert!(
        done.notes.iter().any(|note| note.contains("mirror failed")),
        "{:?}",
        done.notes
    );
    let mut case = Case::new(bad.url("/m"), b"abc");
    case.urls.push(gone.url("/m"));
    case.run().ends(21, "status 404");
}

#[test]
fn n22_headers_are_bounded() {
    let server = serve(|_| whole("200 OK", &[("X-Long", &"x".repeat(1 << 20))], b"abc"));
    Case::new(server.url("/m"), b"abc").run().ends(21, "");
    let server = serve(|_| {
        let many = "X: y\r\n".repeat(10_000);
        vec![Step::Send(
            format!("HTTP/1.1 200 OK\r\n{many}\r\nabc").into_bytes(),
        )]
    });
    Case::new(server.url("/m"), b"abc").run().ends(21, "");
}

#[test]
fn answers_that_are_no_http_are_unusable() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let server = serve(move |_| vec![Step::Send(bytes.to_vec())]);
        Case::new(server.url("/m"), b"abc").run().ends(21, "");
    }
    for lengths in [&["3", "4"][..], &["three"], &["-3"]] {
        let server = serve(move |_| {
            let headers: Vec<_> = lengths
                .iter()
                .map(|length| ("Content-Length", *length))
                .collect();
            vec![Step::Send(
                [head("200 OK", &headers), b"abc".to_vec()].concat(),
            )]
        });
        Case::new(server.url("/m"), b"abc").run().ends(21, "");
    }
}

#[test]
fn n25_a_pointer_in_place_of_the_model_is_named() {
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5000\n",
        Sha256::of(&body(5000))
    );
    let server = serve(move |request| good(request, pointer.as_bytes()));
    Case::new(server.url("/m"), &body(5000))
        .run()
        .ends(30, "git lfs pull");
    Case::new(server.url("/m"), &body(5000))
        .without_size()
        .run()
        .ends(30, "git lfs pull");
}

#[test]
fn n28_offline_uses_only_what_is_whole() {
    let server = serve(|request| good(request, b"abc"));
    let case = Case::new(server.url("/m"), b"abc");
    let absent = Case {
        is_offline: true,
        ..case
    };
    let done = absent.run().ends(20, "--offline");
    let blob = done
        .case
        .dir
        .path()
        .join("blobs/sha256")
        .join(Sha256::of(b"abc").to_string());
    std::fs::write(&blob, b"abd").expect("written");
    let done = done.case.run().ends(20, "--offline");
    assert_eq!(server.requests().len(), 0);
    let online = Case {
        is_offline: false,
        ..done.case
    };
    online.run().arrives();
}

#[test]
fn two_that_want_the_same_file_fetch_it_once() {
    let content = body(200_000);
    let served = content.clone();
    let server = Arc::new(serve(move |request| good(request, &served)));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let url = server.url("/m");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let cache = Cache::open(dir.path()).expect("made");
                let fetcher =
                    Fetcher::new(Rules::default(), Reach::default(), cache).expect("good");
                let artifact = Case::new(url.clone(), &content).artifact();
                let source = Source::Http(crate::manifest::HttpUrl::parse(&url).expect("a URL"));
                let blob = fetcher.obtain((0, &artifact), &[source], &mut |_| {});
                assert_eq!(
                    blob.expect("arrives").checked().read().expect("readable"),
                    content
                );
            });
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn objects_of_cloud_stores_need_a_build_that_knows_them() {
    let object = |text| Source::Object(crate::manifest::ObjectUrl::parse(text).expect(text));
    let web = crate::manifest::HttpUrl::parse("https://h/m").expect("a URL");
    let mirrored = vec![object("s3://models/m"), Source::Http(web)];
    assert!(super::super::fetch::check_local_means(std::slice::from_ref(&mirrored)).is_ok());
    let sources = [mirrored, vec![object("gs://models/m?generation=1")]];
    let error = super::super::fetch::check_local_means(&sources).expect_err("no means");
    assert_eq!(error.condition().code(), 3);
    let text = format!("{error} {}", error.hint().expect("advice"));
    for words in ["gs://models/m", "feature `cloud`", "--features cloud"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(
        super::super::fetch::check_means(&sources).is_ok(),
        cfg!(feature = "cloud")
    );
}

#[test]
fn sources_are_refused_before_any_is_asked() {
    let server = serve(|request| good(request, b"abc"));
    let mut case = Case::new(server.url("/m"), b"abc");
    case.urls.push("http://models.acme.dev/m".to_owned());
    case.run().ends(11, "https");
    let mut case = Case::new(server.url("/m"), b"abc");
    case.rules.max_artifact = Bytes(2);
    case.run().ends(11, "max_artifact_bytes");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn credentials_come_whole_or_not_at_all() {
    assert!(Credentials::new("not a host", "Bearer x".to_owned()).is_err());
    let broken =
        Credentials::new("h.dev", "Bearer secret\r\nX: y".to_owned()).expect_err("a header");
    assert!(!broken.contains("secret"), "{broken}");
    let good = Credentials::new("h.dev", "Bearer secret".to_owned()).expect("a header");
    assert!(!format!("{good:?}").contains("secret"));
}
