//! Rows of the catalogue that need a name, a proxy, a registry, or a server that does something
//! while it is asked.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::super::common::PROGRAM;
use super::super::test_server::{Request, Server, Step, good, head, whole};
use super::super::test_tls::{Proof, TlsServer, answer};
use super::{Host, Ran, SECRET, artifact, gguf, manifest, sha256, tell};

const NO_RETRY: [&str; 4] = ["--smoke", "none", "--retries", "0"];

/// A host with release 1.0.0.
fn host() -> Host {
    let host = Host::new();
    host.installed("1.0.0", "one");
    host
}

/// Has the manifest ask for version 1.1.0 at `url`.
fn wants(host: &Host, url: &str) {
    host.set_manifest(manifest(
        "1.1.0",
        &[artifact("model.gguf", url, &gguf("two"))],
    ));
}

fn policy(host: &Host, text: &str) {
    fs::write(host.path("repo/gate.toml"), text).unwrap();
}

#[track_caller]
fn install(host: &Host, flags: &[&str]) -> Ran {
    host.model("install", &[&NO_RETRY[..], flags].concat())
}

/// What was current stays so.
#[track_caller]
fn keeps(host: &Host, ran: &Ran, code: i32, words: &str) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, code, "{all}");
    assert!(all.contains(words), "no `{words}` in {all}");
    assert_eq!(
        (host.current(), host.weights()),
        (Some(1), Some(gguf("one")))
    );
    host.is_tidy();
}

#[track_caller]
fn arrives(host: &Host, ran: &Ran) {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(
        (host.current(), host.weights()),
        (Some(2), Some(gguf("two")))
    );
    assert_eq!(host.model("verify", &[]).code, 0);
    host.is_tidy();
}

fn serving() -> Server {
    Server::start(|request| good(request, &gguf("two")))
}

#[test]
fn m30_plain_http_needs_its_flag_and_a_private_host_its_name() {
    let (host, server) = (host(), serving());
    // A name, and no literal of loopback.
    let url = server.url("/m").replace("127.0.0.1", "localhost");
    wants(&host, &url);
    keeps(&host, &install(&host, &[]), 11, "--allow-http");
    // The flag opens plain http, and no private address.
    keeps(
        &host,
        &install(&host, &["--allow-http"]),
        11,
        "public address",
    );
    assert_eq!(server.requests().len(), 0);
    policy(&host, "[sources]\nallow_private = [\"localhost\"]\n");
    arrives(&host, &install(&host, &["--allow-http"]));
}

#[test]
fn m31_hosts_of_no_list_and_private_addresses_are_never_asked() {
    let (host, server) = (host(), serving());
    wants(&host, &server.url("/m"));
    policy(&host, "[sources]\nallow_hosts = [\"models.acme.dev\"]\n");
    keeps(&host, &install(&host, &[]), 11, "models.acme.dev");
    policy(&host, "");
    for url in ["https://169.254.169.254/m", "https://10.0.0.1/m"] {
        wants(&host, url);
        keeps(&host, &install(&host, &[]), 11, "public address");
    }
    // A name that resolves to such an address.
    let name = server.url("/m").replace("127.0.0.1", "localhost");
    wants(&host, &name.replace("http:", "https:"));
    keeps(&host, &install(&host, &[]), 11, "public address");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn m34_m35_a_version_below_needs_to_have_been_here() {
    let host = Host::new();
    host.installed("1.1.0", "two");
    host.set_manifest(host.release("1.0.0", "one"));
    let ran = install(&host, &[]);
    assert_eq!((ran.code, host.current()), (11, Some(1)), "{}", ran.stdout);
    assert!(ran.stdout.contains("--allow-downgrade"), "{}", ran.stdout);
    host.installed("1.2.0", "three");
    // A revert in git: this release was current here before.
    host.set_manifest(host.release("1.1.0", "two"));
    let ran = install(&host, &[]);
    assert_eq!(
        (ran.code, host.weights()),
        (0, Some(gguf("two"))),
        "{}",
        ran.stdout
    );
    let history = host.model("history", &[]);
    let events = history.json["reigns"].as_array().unwrap();
    assert_eq!(events.last().unwrap()["event"], "rollback");
}

#[test]
fn m37_the_manifest_that_was_read_first_is_what_is_installed() {
    let host = host();
    let path = host.manifest();
    let later = manifest(
        "9.9.9",
        &[artifact("model.gguf", "repo:no.gguf", &gguf("no"))],
    );
    let replaced = Arc::new(Mutex::new(path.clone()));
    let server = Server::start(move |request| {
        fs::write(&*replaced.lock().unwrap(), &later).unwrap();
        good(request, &gguf("two"))
    });
    wants(&host, &server.url("/m"));
    let first = fs::read(&path).unwrap();
    // The neighbour of the models is changed by the server, not by the program.
    let ran = assert_cmd::Command::new(PROGRAM)
        .args(["model", "install", "--json", "--models-dir"])
        .arg(host.path("models"))
        .arg("--manifest")
        .arg(&path)
        .args(NO_RETRY)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_ne!(fs::read(&path).unwrap(), first, "it was replaced meanwhile");
    assert_eq!(host.weights(), Some(gguf("two")));
    let record = fs::read_to_string(host.path("models/.current_model_info.json")).unwrap();
    assert!(record.contains(&sha256(&first)), "{record}");
    assert!(record.contains("1.1.0"), "{record}");
}

#[test]
fn n01_an_address_without_a_route_is_network() {
    let host = host();
    policy(&host, "[sources]\nallow_private = [\"255.255.255.255\"]\n");
    wants(&host, "http://255.255.255.255/m");
    keeps(
        &host,
        &install(&host, &["--allow-http"]),
        20,
        "255.255.255.255",
    );
}

#[test]
fn n02_n19_servers_that_prove_nothing_or_lead_to_plain_http_end_at_once() {
    let file = answer("200 OK", "", &gguf("two"));
    let plain = serving();
    let location = format!("Location: {}\r\n", plain.url("/m"));
    let moved = answer("302 Found", &location, b"");
    let own = "IP:127.0.0.1";
    let old = &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..];
    let rows = [
        ("N02a", own, Proof::Expired, &file, &[][..], 20, "Expired"),
        (
            "N02b",
            "DNS:elsewhere.dev",
            Proof::Given,
            &file,
            &[],
            20,
            "not valid for",
        ),
        (
            "N02c",
            own,
            Proof::SelfSigned,
            &file,
            &[],
            20,
            "invalid peer certificate",
        ),
        ("N02d", own, Proof::Given, &file, old, 20, "TLS"),
        (
            "N19a",
            own,
            Proof::Given,
            &moved,
            &[],
            11,
            "https as before",
        ),
    ];
    for (id, name, proof, content, further, code, words) in rows {
        let Some(server) = TlsServer::start(name, proof, &[("m", content)], further) else {
            return tell("skipped: there is no `openssl` on this host");
        };
        let host = host();
        wants(&host, &server.url("m"));
        let authority = server.authority();
        let environment = [("SSL_CERT_FILE", authority.to_str().unwrap())];
        // With attempts to spare: none of these is tried again.
        let flags = ["--smoke", "none", "--retries", "2", "--backoff-ms", "1"];
        let ran = host.model_with("install", &flags, &environment);
        keeps(&host, &ran, code, words);
        assert!(!ran.stdout.contains("requests"), "{id}: {}", ran.stdout);
    }
    assert_eq!(plain.requests().len(), 0);
    let server = TlsServer::start(own, Proof::Given, &[("m", &file)], &[]).unwrap();
    let host = host();
    wants(&host, &server.url("m"));
    let authority = server.authority();
    let environment = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    arrives(&host, &host.model_with("install", &NO_RETRY, &environment));
}

#[test]
fn n05_n21_what_one_run_broke_off_or_one_mirror_spoilt_the_next_mends() {
    let host = host();
    let content = gguf("two");
    let answer = content.clone();
    let server = Server::start(move |request: &Request| {
        let cut = answer.len() / 2;
        match (request.target.as_str(), request.n_before) {
            ("/cut", 0) => {
                let length = answer.len().to_string();
                let headers = [("ETag", "\"v1\""), ("Content-Length", length.as_str())];
                let start = [head("200 OK", &headers), answer[..cut].to_vec()].concat();
                vec![Step::Send(start), Step::Reset]
            }
            ("/hop", _) => whole("302 Found", &[("Location", "/m")], b""),
            ("/corrupt", _) => good(request, &vec![9; answer.len()]),
            _ => good(request, &answer),
        }
    });
    // Broken off by one run, completed by the next.
    wants(&host, &server.url("/cut"));
    keeps(&host, &install(&host, &[]), 22, "ended after");
    arrives(&host, &install(&host, &[]));
    let cuts: Vec<usize> = server
        .requests()
        .iter()
        .filter(|request| request.target == "/cut")
        .map(Request::range_start)
        .collect();
    assert_eq!(cuts, [0, content.len() / 2], "every byte was sent once");

    // A corrupt mirror first, a good one behind a redirect second.
    let urls = format!(
        r#""urls":["{}","{}"]"#,
        server.url("/corrupt"),
        server.url("/hop")
    );
    let three = artifact("model.gguf", "repo:x", &content).replace(r#""url":"repo:x""#, &urls);
    let text = manifest(
        "1.2.0",
        &[three.replacen('{', r#"{"strip_components":0,"#, 1)],
    );
    let fresh = Host::new();
    fresh.set_manifest(text);
    let ran = install(&fresh, &[]);
    assert_eq!(
        (ran.code, fresh.weights()),
        (0, Some(content)),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("an earlier mirror failed"),
        "{}",
        ran.stderr
    );
}

/// A proxy that answers by itself whatever it is asked for, and remembers who was asked.
fn proxy(content: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = through(stream, &content, &seen);
        }
    });
    (url, asked)
}

fn through(
    mut stream: TcpStream,
    content: &[u8],
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let request = |reader: &mut BufReader<TcpStream>| -> std::io::Result<String> {
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        Ok(first)
    };
    let mut first = request(&mut reader)?;
    seen.lock().unwrap().push(first.clone());
    if first.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        first = request(&mut reader)?;
    }
    assert!(first.starts_with("GET "), "{first}");
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(content)?;
    // Until the other side has read it all.
    let _ = reader.read(&mut [0]);
    Ok(())
}

#[test]
fn n23_the_proxy_of_the_environment_is_asked() {
    let host = host();
    wants(&host, "http://models.acme.dev/m");
    let (url, asked) = proxy(gguf("two"));
    let with_password = url.replacen("http://", &format!("http://user:{SECRET}@"), 1);
    let flags = [&NO_RETRY[..], &["--allow-http"]].concat();
    let environment = [
        ("HTTP_PROXY", with_password.as_str()),
        ("http_proxy", &with_password),
        ("HTTPS_PROXY", ""),
        ("ALL_PROXY", ""),
        ("NO_PROXY", ""),
    ];
    let ran = host.model_with("install", &flags, &environment);
    arrives(&host, &ran);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("models.acme.dev"), "{asked:?}");
}

#[test]
fn n23_a_proxy_that_refuses_ends_it() {
    let host = host();
    wants(&host, "https://models.acme.dev/m");
    let proxy = Server::start(|_| whole("407 Proxy Authentication Required", &[], b""));
    let address = proxy.url("");
    let environment = [
        ("HTTPS_PROXY", address.as_str()),
        ("ALL_PROXY", ""),
        ("NO_PROXY", ""),
    ];
    let flags = ["--smoke", "none"];
    keeps(
        &host,
        &host.model_with("install", &flags, &environment),
        20,
        "proxy",
    );
    assert_eq!(proxy.requests().len(), 1, "one attempt only");
}

#[test]
fn n24_an_object_of_a_cloud_store_needs_a_build_that_reads_it() {
    let host = host();
    wants(&host, "s3://models/m.gguf");
    let ran = install(&host, &["--dry-run"]);
    if cfg!(feature = "cloud") {
        let server = serving();
        let endpoint = server.url("");
        let environment = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ];
        assert_eq!(ran.code, 0, "{}", ran.stdout);
        let ran = host.model_with("fetch", &["--retries", "0"], &environment);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        arrives(&host, &install(&host, &["--offline"]));
        assert_eq!(server.requests()[0].target, "/models/m.gguf");
    } else {
        keeps(&host, &ran, 3, "--features cloud");
        keeps(&host, &install(&host, &[]), 3, "feature `cloud`");
    }
}

#[test]
fn n25_a_pointer_of_another_size_is_refused() {
    let host = host();
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
        sha256(&gguf("two")),
        gguf("two").len() + 1
    );
    fs::write(host.path("repo/two.gguf"), pointer).unwrap();
    wants(&host, "lfs:two.gguf");
    keeps(&host, &install(&host, &[]), 22, "expected");
}

/// A registry of MLflow with one model, `champion`, in the state `status`.
fn registry(status: &'static str) -> Server {
    Server::start(move |request| {
        let target = request.target.as_str();
        let json = |text: String| whole("200 OK", &[], text.as_bytes());
        if target.contains("/registered-models/alias?name=bitnet&alias=champion") {
            return json(format!(
                r#"{{"model_version":{{"version":"7","status":"{status}"}}}}"#
            ));
        }
        if target.contains("/get-download-uri?name=bitnet&version=7") {
            return json(r#"{"artifact_uri":"mlflow-artifacts:/1/r/artifacts"}"#.to_owned());
        }
        if target.contains("/artifacts?path=") {
            return json(r#"{"files":[{"path":"model.gguf","is_dir":false}]}"#.to_owned());
        }
        if target.ends_with("/artifacts/1/r/artifacts/model.gguf") {
            return good(request, &gguf("two"));
        }
        whole(
            "404 Not Found",
            &[],
            br#"{"error_code":"RESOURCE_DOES_NOT_EXIST"}"#,
        )
    })
}

fn bump(host: &Host, from: &str, tracking: &str) -> (i32, String) {
    let output = assert_cmd::Command::new(PROGRAM)
        .args([
            "manifest",
            "bump",
            "--from",
            from,
            "--version",
            "1.1.0",
            "--manifest",
        ])
        .arg(host.manifest())
        .env("MLFLOW_TRACKING_URI", tracking)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[test]
fn n26_an_alias_of_a_registry_is_pinned_once() {
    let (host, server) = (host(), registry("READY"));
    let (code, said) = bump(&host, "mlflow:/bitnet@champion", &server.url("/"));
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(host.manifest()).unwrap();
    let url = server.url("/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/model.gguf");
    assert!(
        text.contains(&url) && text.contains(&sha256(&gguf("two"))),
        "{text}"
    );
    arrives(&host, &install(&host, &[]));
    let of_alias = server
        .requests()
        .iter()
        .filter(|it| it.target.contains("alias"))
        .count();
    assert_eq!(of_alias, 1, "an installation resolves no moving name");
}

#[test]
fn n26_what_a_registry_does_not_have_leaves_the_manifest_alone() {
    let host = host();
    let before = fs::read(host.manifest()).unwrap();
    let ready = registry("READY");
    for (from, tracking, words) in [
        (
            "mlflow:/bitnet@gone",
            ready.url("/").as_str(),
            "RESOURCE_DOES_NOT_EXIST",
        ),
        ("mlflow:/bitnet@champion", "", "MLFLOW_TRACKING_URI"),
        ("mlflow:/bitnet", ready.url("/").as_str(), "NAME@ALIAS"),
        ("dvc:gone.dvc", "", "gone.dvc"),
    ] {
        let (code, said) = bump(&host, from, tracking);
        assert_eq!(code, 3, "{from}: {said}");
        assert!(said.contains(words), "{from}: {said}");
    }
    let pending = registry("PENDING_REGISTRATION");
    let (code, said) = bump(&host, "mlflow:/bitnet@champion", &pending.url("/"));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("not ready"), "{said}");
    assert_eq!(fs::read(host.manifest()).unwrap(), before);
}

#[test]
fn n27_the_place_comes_from_dvc_and_the_digest_from_the_manifest() {
    const INSIDE: &str = "files/md5/90/0150983cd24fb0d6963f7d28e17f72";
    let host = host();
    let server = Server::start(|request| {
        if request.target.ends_with(INSIDE) {
            good(request, &gguf("two"))
        } else {
            whole("404 Not Found", &[], b"")
        }
    });
    let repo = host.path("repo");
    fs::create_dir(repo.join(".dvc")).unwrap();
    let config = format!(
        "[core]\n    remote = r\n['remote \"r\"']\n    url = {}\n",
        server.url("")
    );
    fs::write(repo.join(".dvc/config"), config).unwrap();
    let file = "outs:\n- md5: 900150983cd24fb0d6963f7d28e17f72\n  size: 3\n  hash: md5\n  path: model.gguf\n";
    fs::write(repo.join("model.gguf.dvc"), file).unwrap();
    let named = format!("dvc:{}", repo.join("model.gguf.dvc").display());
    let (code, said) = bump(&host, &named, "");
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(host.manifest()).unwrap();
    assert!(text.contains("\"dvc:model.gguf.dvc\""), "{text}");
    arrives(&host, &install(&host, &[]));

    // Of the same length: only the digest tells.
    let other = artifact("model.gguf", "dvc:model.gguf.dvc", &gguf("owt"));
    host.set_manifest(manifest("1.2.0", &[other]));
    let ran = install(&host, &[]);
    assert_eq!((ran.code, host.current()), (23, Some(2)), "{}", ran.stdout);
}
