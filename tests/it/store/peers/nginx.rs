//! nginx: ranges, TLS under an authority of our own, compression that is not asked for.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Missing, Peer, arrives, ends, entity_tag, free_port, model, program, resumes, wants};
use crate::store::Host;
use crate::test_tls::{Proof, make_certificates};

pub(super) fn check() -> Result<(), Missing> {
    let nginx = program("nginx", "-v")?;
    let host = Host::new();
    host.installed("1.0.0", "one");
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    make_certificates(dir.path(), "IP:127.0.0.1", Proof::Given)
        .ok_or_else(|| Missing("there is no openssl".to_owned()))?;
    fs::create_dir(at("files")).unwrap();
    fs::write(at("files/model.gguf"), model(1)).unwrap();
    let (plain, tls) = (free_port(), free_port());
    fs::write(at("nginx.conf"), configuration(dir.path(), plain, tls)).unwrap();
    let mut command = Command::new(nginx);
    command
        .args(["-p"])
        .arg(dir.path())
        .arg("-c")
        .arg(at("nginx.conf"));
    command.args(["-g", "daemon off;"]);
    let peer = Peer::start(&mut command, plain, &at("log"));

    let secure = format!("https://127.0.0.1:{tls}/model.gguf");
    let authority = at("ca.pem");
    let trusted = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    wants(&host, "1.1.0", &secure, &model(1));
    ends(&host, &[], 20, "UnknownIssuer");
    arrives(&host, &trusted, &model(1));

    fs::write(at("files/model.gguf"), model(2)).unwrap();
    let url = peer.url("/model.gguf");
    wants(&host, "1.2.0", &url, &model(2));
    resumes(&host, &[], &url, &entity_tag(&url), &model(2));
    let log = fs::read_to_string(at("access.log")).unwrap();
    assert!(log.contains(" 206 "), "{log}");

    wants(&host, "1.3.0", &peer.url("/gone.gguf"), &model(3));
    ends(&host, &[], 21, "status 404");
    // A file of the old length and other bytes.
    wants(&host, "1.3.0", &url, &model(3));
    ends(&host, &[], 23, "expected");
    Ok(())
}

fn configuration(dir: &Path, plain: u16, tls: u16) -> String {
    let dir = dir.display();
    // Compressed for whoever says that he takes it; we do not.
    format!(
        "worker_processes 1;
        pid {dir}/pid;
        error_log {dir}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log {dir}/access.log;
            client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
            uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
            gzip on; gzip_min_length 1; gzip_types *;
            server {{
                listen 127.0.0.1:{plain};
                listen 127.0.0.1:{tls} ssl;
                ssl_certificate {dir}/cert.pem;
                ssl_certificate_key {dir}/key.pem;
                root {dir}/files;
            }}
        }}"
    )
}
