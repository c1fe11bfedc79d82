//! The rows of the catalogue that are about servers and what they answer, through `model install`.

use std::fs;
use std::net::TcpListener;

use super::super::test_server::{Request, Server, Step, good, head, whole};
use super::case::{Published, Row, check_all};
use super::{Host, SECRET, artifact, gguf, manifest, sha256};

/// Attempts are many and waits short.
const PATIENT: &[&str] = &[
    "--retries",
    "4",
    "--backoff-ms",
    "1",
    "--idle-timeout",
    "0.3",
];

/// Two attempts.
const TWICE: &[&str] = &[
    "--retries",
    "1",
    "--backoff-ms",
    "1",
    "--idle-timeout",
    "0.3",
];

/// Plain http beyond loopback, once.
const ABROAD: &[&str] = &["--retries", "0", "--allow-http", "--connect-timeout", "5"];

/// The manifest of release 1.1.0, with its weights at `url`.
fn at(url: &str) -> String {
    manifest("1.1.0", &[artifact("model.gguf", url, &gguf("two"))])
}

/// The same, without the size.
fn unsized_at(url: &str) -> String {
    let size = format!(",\"size_bytes\":{}", gguf("two").len());
    let text = at(url);
    assert!(text.contains(&size), "{text}");
    text.replacen(&size, "", 1)
}

/// A row to be: whose server gives the weights its own way.
struct Served {
    id: &'static str,
    said: (i32, &'static str),
    n_requests: usize,
    path: &'static str,
    publish: fn(&str) -> String,
}

/// * `said`: exit code, and what the message says
/// * `n_requests`: how often the server is asked
fn served(id: &'static str, said: (i32, &'static str), n_requests: usize) -> Served {
    Served {
        id,
        said,
        n_requests,
        path: "/m",
        publish: at,
    }
}

impl Served {
    fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn unsized_(self) -> Self {
        Self {
            publish: unsized_at,
            ..self
        }
    }

    fn by(
        self,
        answer: impl Fn(&Request, &[u8]) -> Vec<Step> + Send + Sync + Copy + 'static,
    ) -> Row {
        let make = move |_: &Host, _| {
            let server = Server::start(move |request| answer(request, &gguf("two")));
            let url = server.url(&format!("{}?sig={SECRET}", self.path));
            Published {
                manifest: (self.publish)(&url).into_bytes(),
                server: Some(server),
            }
        };
        Row::new(self.id, self.said, make)
            .with(PATIENT)
            .asking(move |requests| requests.len() == self.n_requests)
            .keeping_downloads()
    }
}

/// A row without a server.
fn nowhere(id: &'static str, said: (i32, &'static str), url: fn() -> String) -> Row {
    Row::new(id, said, move |_: &Host, _| at(&url()).into_bytes())
        .with(ABROAD)
        .keeping_downloads()
}

/// The beginning of a whole answer, with a strong tag.
fn beginning(body: &[u8], n_bytes: usize) -> Vec<u8> {
    let length = body.len().to_string();
    let headers = [("ETag", "\"v1\""), ("Content-Length", length.as_str())];
    [head("200 OK", &headers), body[..n_bytes].to_vec()].concat()
}

/// The first answer breaks off in the middle; `then` decides about what is asked for next.
fn broken_off(
    request: &Request,
    body: &[u8],
    then: impl Fn(&Request, &[u8]) -> Vec<Step>,
) -> Vec<Step> {
    match (request.n_before, request.header("range")) {
        (0, _) => vec![Step::Send(beginning(body, CUT)), Step::Reset],
        (_, None) => good(request, body),
        (_, Some(_)) => then(request, body),
    }
}

/// Where answers break off.
const CUT: usize = 20;

/// A part under a `Content-Range` of the server's choice.
fn part(body: &[u8], range: Option<&str>) -> Vec<Step> {
    let headers: Vec<(&str, &str)> = range.iter().map(|it| ("Content-Range", *it)).collect();
    whole("206 Partial Content", &headers, &body[CUT..])
}

fn redirect(to: &str) -> Vec<Step> {
    whole("302 Found", &[("Location", to)], b"moved")
}

/// Redirects from `/hop/N` to `/hop/N-1`.
fn hops(request: &Request, body: &[u8]) -> Vec<Step> {
    let path = request.target.split('?').next().unwrap();
    match path
        .strip_prefix("/hop/")
        .and_then(|n| n.parse::<u32>().ok())
    {
        Some(n @ 1..) => redirect(&format!("/hop/{}", n - 1)),
        _ => good(request, body),
    }
}

fn attempts() -> Vec<Row> {
    vec![
        nowhere("N01a", (20, "nowhere.home.arpa"), || {
            "http://nowhere.home.arpa/m".to_owned()
        }),
        nowhere("N01b", (20, ""), || {
            let closed = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/m", closed.local_addr().unwrap())
        }),
        served("N03a", (20, "in time"), 2)
            .by(|_, _| vec![Step::Hang])
            .with(TWICE),
        served("N03b", (0, ""), 2)
            .by(|request, body| match request.n_before {
                0 => vec![Step::Send(beginning(body, CUT)), Step::Hang],
                _ => good(request, body),
            })
            .asking(|requests| requests[1].range_start() == CUT),
        served("N04 without a minimum", (0, ""), 1).by(|_, body| {
            let mut steps = vec![Step::Send(beginning(body, 0))];
            steps.extend(body.iter().map(|byte| Step::Send(vec![*byte])));
            steps
        }),
        served("N05", (0, ""), 4)
            .by(|request, body| {
                let (from, mut steps) = (request.range_start(), good(request, body));
                if request.n_before < 3
                    && let Step::Send(bytes) = &mut steps[0]
                {
                    bytes.truncate(bytes.len() - (body.len() - from) + 10);
                    steps.push(Step::Reset);
                }
                steps
            })
            .asking(|requests| {
                let starts: Vec<usize> = requests.iter().map(Request::range_start).collect();
                starts == [0, 10, 20, 30]
            }),
        served("N06", (0, ""), 5).by(|request, body| match request.n_before {
            0 => whole("500 Internal Server Error", &[], b"oops"),
            1 => whole("502 Bad Gateway", &[], b""),
            2 => whole("503 Service Unavailable", &[], b""),
            3 => whole("504 Gateway Timeout", &[], b""),
            _ => good(request, body),
        }),
        served("N07a", (0, ""), 2).by(|request, body| match request.n_before {
            0 => whole("429 Too Many Requests", &[("Retry-After", "1")], b""),
            _ => good(request, body),
        }),
        served("N07b", (0, ""), 2).by(|request, body| match request.n_before {
            0 => {
                let date = ("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT");
                whole("503 Service Unavailable", &[date], b"")
            }
            _ => good(request, body),
        }),
        served("N07d", (0, ""), 2).by(|request, body| match request.n_before {
            0 => whole("503 Service Unavailable", &[("Retry-After", "soon")], b""),
            _ => good(request, body),
        }),
    ]
}

fn statuses() -> Vec<Row> {
    let status = |id, status: &'static str, words| {
        served(id, (21, words), 1).by(move |_, _| whole(status, &[], b""))
    };
    let page = |_: &Request, _: &[u8]| {
        let kind = ("Content-Type", "text/html; charset=utf-8");
        whole("200 OK", &[kind], b"<!doctype html><title>Log in</title>")
    };
    let long = "x".repeat(1 << 20);
    let long: &'static str = long.leak();
    vec![
        status("N08a", "401 Unauthorized", "presigned URL"),
        status("N08b", "403 Forbidden", "presigned URL"),
        status("N08c", "404 Not Found", "404"),
        status("N08d", "410 Gone", "410"),
        // Bytes that are whole and wrong are fetched once more.
        served("N09a", (22, "text/html"), 2).by(page),
        served("N09b", (23, "web page"), 2).unsized_().by(page),
        served("N22a", (21, ""), 1)
            .by(move |_, body| whole("200 OK", &[("X-Long", long)], body))
            .asking(|_| true),
        served("N22b", (21, ""), 1)
            .by(|_, _| {
                let many = "X: y\r\n".repeat(10_000);
                vec![Step::Send(
                    format!("HTTP/1.1 200 OK\r\n{many}\r\nabc").into_bytes(),
                )]
            })
            .asking(|_| true),
    ]
}

fn bodies() -> Vec<Row> {
    let compressed = |_: &Request, body: &[u8]| {
        let packed = super::super::test_archive::gz(body);
        whole("200 OK", &[("Content-Encoding", "gzip")], &packed)
    };
    vec![
        served("N10", (22, "ended after"), 2)
            .by(|request, body| {
                let mut steps = good(request, body);
                if let Step::Send(bytes) = &mut steps[0] {
                    bytes.pop();
                }
                steps
            })
            .with(TWICE)
            .asking(|requests| requests[1].range_start() == gguf("two").len() - 1),
        served("N11a", (22, "expected"), 2)
            .by(|_, body| whole("200 OK", &[], &[body, b"more"].concat())),
        served("N11b", (22, ""), 2).by(|_, _| {
            vec![
                Step::Send(head("200 OK", &[])),
                Step::Endless(vec![7; 4096]),
            ]
        }),
        served("N12", (0, ""), 1).by(|_, body| {
            let mut bytes = head("200 OK", &[("Transfer-Encoding", "chunked")]);
            for chunk in body.chunks(7) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            vec![Step::Send(bytes)]
        }),
        served("N13", (0, ""), 2).by(|request, body| {
            broken_off(request, body, |_, body| {
                whole("200 OK", &[("ETag", "\"v1\"")], body)
            })
        }),
        served("N14a", (0, ""), 3).by(|request, body| {
            broken_off(request, body, |_, body| {
                let range = format!("bytes {}-{}/{}", CUT - 1, body.len() - 1, body.len());
                part(body, Some(&range))
            })
        }),
        served("N14b", (0, ""), 3)
            .by(|request, body| broken_off(request, body, |_, body| part(body, None))),
        served("N14c", (0, ""), 3).by(|request, body| {
            broken_off(request, body, |_, body| {
                let range = format!("bytes {CUT}-{}/*", body.len() - 1);
                part(body, Some(&range))
            })
        }),
        served("N14d", (0, ""), 3).by(|request, body| {
            broken_off(request, body, |_, body| {
                let range = format!("bytes {CUT}-{}/{}", body.len() - 1, body.len() + 1);
                part(body, Some(&range))
            })
        }),
        served("N14 always", (21, "another range"), 4).by(|request, body| {
            match request.header("range") {
                None => vec![Step::Send(beginning(body, CUT)), Step::Reset],
                Some(_) => part(body, None),
            }
        }),
        served("N15", (0, ""), 3).by(|request, body| {
            broken_off(request, body, |_, _| {
                whole("416 Range Not Satisfiable", &[], b"")
            })
        }),
        served("N17a", (22, "on the fly"), 2).by(compressed),
        served("N17b", (23, "on the fly"), 2)
            .unsized_()
            .by(compressed),
        served("N20", (23, "expected"), 2)
            .by(|request, body| {
                let mut other = body.to_vec();
                other[30] ^= 1;
                good(request, &other)
            })
            .asking(|requests| {
                requests.len() == 2 && requests.iter().all(|it| it.header("range").is_none())
            }),
        served("N25e", (30, "git lfs pull"), 1)
            .unsized_()
            .by(|request, body| {
                let pointer = format!(
                    "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
                    sha256(body),
                    body.len()
                );
                good(request, pointer.as_bytes())
            }),
    ]
}

fn redirects() -> Vec<Row> {
    vec![
        served("N18a", (0, ""), 4).at("/hop/3").by(hops),
        served("N18b", (21, "redirects"), 6).at("/hop/6").by(hops),
        served("N18c", (21, "redirects"), 6).by(|_, _| redirect("/m")),
        served("N19b", (11, ""), 1).by(|_, _| redirect("file:///etc/passwd")),
        served("N19c", (11, "169.254.169.254"), 1)
            .by(|_, _| redirect("http://169.254.169.254/latest")),
        served("N19d", (11, "localhost"), 1)
            .by(|request, _| {
                let port = request.header("host").unwrap().rsplit(':').next().unwrap();
                redirect(&format!("http://localhost:{port}/m"))
            })
            .with(ABROAD),
    ]
}

#[test]
fn answers_of_the_catalogue() {
    let rows = [attempts(), statuses(), bodies(), redirects()];
    check_all(&rows.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn n11_no_more_is_written_than_was_promised() {
    // A file of more than 4 KiB ends the program; all the store writes by itself is shorter.
    let short = ["sh", "-c", "ulimit -f 8; exec \"$@\"", "sh"];
    let flags = ["--smoke", "none", "--retries", "0"];
    let server = Server::start(|_| {
        let endless = Step::Endless(vec![7; 64 << 10]);
        vec![Step::Send(head("200 OK", &[])), endless]
    });
    let host = Host::new();
    host.set_manifest(at(&server.url("/m")));
    let ran = host.model_under(&short, "install", &flags, &[]);
    assert_eq!(ran.code, 22, "{}", ran.stdout);
}

#[test]
fn n19_credentials_stay_with_their_host_through_the_program() {
    let host = Host::new();
    host.installed("1.0.0", "one");
    let second = Server::start(|request| good(request, &gguf("two")));
    let elsewhere = second.url("/m").replace("127.0.0.1", "localhost");
    let first = Server::start(move |_| redirect(&elsewhere));
    host.set_manifest(at(&first.url("/m")));
    let policy = "[sources]\nallow_private = [\"localhost\"]\n";
    fs::write(host.path("repo/gate.toml"), policy).unwrap();
    let bearer = format!("Bearer {SECRET}");
    let environment = [
        ("VV_EVAL_AUTHORIZATION", bearer.as_str()),
        ("VV_EVAL_AUTHORIZATION_HOST", "127.0.0.1"),
    ];
    let flags = [&["--smoke", "none"], ABROAD].concat();
    let ran = host.model_with("install", &flags, &environment);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(host.weights(), Some(gguf("two")));
    let sent = |server: &Server| {
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        requests[0].header("authorization").map(str::to_owned)
    };
    assert_eq!((sent(&first), sent(&second)), (Some(bearer), None));
}
